//! Appends to an operation without having to understand what stands in it: for what has to be on record just when its
//! journal cannot be opened or nobody carries it out.

use serde::Serialize;

use super::{ClockJump, Interrupted, Named, not_json};
use crate::event::{Claim, Draft, Event, Kind};
use crate::ports::{Ledger, LedgerError, World};
use crate::units::{Epoch, OperationId};

/// One operation's end of the log. A single task writes there.
pub(crate) struct Appender<'a> {
    ledger: &'a dyn Ledger,
    world: &'a dyn World,
    epoch: Epoch,
    operation: &'a OperationId,
    events: Vec<Event>,
}

impl<'a> Appender<'a> {
    pub(crate) async fn open(
        ledger: &'a dyn Ledger,
        world: &'a dyn World,
        epoch: Epoch,
        operation: &'a OperationId,
    ) -> Result<Self, LedgerError> {
        let events = ledger.events_of(operation).await?;
        Ok(Self { ledger, world, epoch, operation, events })
    }

    /// Every event of the operation.
    pub(crate) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Appends a note.
    pub(crate) async fn note<T: Serialize>(&mut self, kind: Kind, body: &T) -> Result<(), Interrupted> {
        // A clock that went back is recorded first: what comes later can only be compared with what is appended now.
        let now = self.world.now();
        if let Some(last) = self.events.last().and_then(Event::time).filter(|last| now < *last) {
            self.append(Kind::ClockJump, &ClockJump { last }, Claim::Keep).await?;
        }
        self.append(kind, body, Claim::Keep).await
    }

    /// Appends what has the form of a step's outcome.
    pub(crate) async fn step<T: super::Body>(&mut self, key: &str, body: &T, claim: Claim) -> Result<(), Interrupted> {
        self.append(body.kind(), &Named { step: key, v: T::VERSION, body }, claim).await
    }

    async fn append<T: Serialize>(&mut self, kind: Kind, body: &T, claim: Claim) -> Result<(), Interrupted> {
        let draft = Draft {
            operation: Some(self.operation.clone()),
            op_seq: self.events.len() as u64 + 1,
            epoch: self.epoch,
            at: self.world.now(),
            kind,
            body: serde_json::to_string(body).map_err(|error| not_json(kind, &error))?,
            claim,
        };
        self.events.push(self.ledger.append(draft).await?);
        Ok(())
    }
}
