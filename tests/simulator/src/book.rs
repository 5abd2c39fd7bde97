//! The simulated operational log: what the `Ledger`, `Samples` and `Posts` traits promise, in memory.

use std::collections::BTreeMap;

use scalebot_commands::event::{Claim, Draft, Event, Hash};
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{AppendError, ClaimHeld, LedgerError, Post};
use scalebot_commands::units::{Epoch, OperationId};

/// The log and its side tables.
#[derive(Default)]
pub(super) struct Book {
    pub(super) events: Vec<Event>,
    pub(super) claims: Vec<ClaimHeld>,
    pub(super) samples: BTreeMap<OperationId, BTreeMap<u64, Load>>,
    pub(super) posted: u64,
    pub(super) planned: Option<Post>,
    epoch: u64,
}

impl Book {
    /// A new process takes the log over.
    pub(super) fn take_over(&mut self) -> Epoch {
        self.epoch += 1;
        Epoch(self.epoch)
    }

    /// Whether that process may still write.
    pub(super) fn leads(&self, epoch: Epoch) -> Result<(), LedgerError> {
        if epoch.0 == self.epoch {
            return Ok(());
        }
        Err(LedgerError(format!("this process holds epoch {}, in force is {}", epoch.0, self.epoch)))
    }

    pub(super) fn of(&self, operation: &OperationId) -> Vec<Event> {
        self.events.iter().filter(|event| event.operation.as_ref() == Some(operation)).cloned().collect()
    }

    /// One transaction: the epoch, the place in the operation, the claim and the link are checked and written together.
    pub(super) fn append(&mut self, draft: &Draft) -> Result<Event, AppendError> {
        self.leads(draft.epoch).map_err(|error| AppendError::Fenced { detail: error.0 })?;
        let next = match &draft.operation {
            None => 0,
            Some(operation) => self.of(operation).len() as u64 + 1,
        };
        if draft.op_seq != next {
            let detail = format!("the operation is at op_seq {next}, {} was written for {}", draft.kind, draft.op_seq);
            return Err(AppendError::Fenced { detail });
        }
        match (&draft.claim, &draft.operation) {
            (Claim::Take(target), Some(operation)) => {
                if let Some(held) = self.claims.iter().find(|held| held.target == *target) {
                    return Err(AppendError::Claimed(held.clone()));
                }
                self.claims.push(ClaimHeld { target: target.clone(), operation: operation.clone(), since: draft.at });
            }
            (Claim::Release, Some(operation)) => self.claims.retain(|held| held.operation != *operation),
            _ => {}
        }
        let (seq, prev) = self.events.last().map_or((1, Hash::GENESIS), |last| (last.seq + 1, last.hash));
        let event = Event::place(draft, seq, prev);
        self.events.push(event.clone());
        Ok(event)
    }
}
