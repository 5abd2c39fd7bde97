//! The desk: where a command comes in. It opens an operation, or says why not. A text that is no command never gets
//! here ([`crate::request::parse`]) and is not recorded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::card::clock;
use crate::event::{Claim, Draft, Kind};
use crate::policy::Policy;
use crate::ports::{AppendError, ClaimHeld, Ledger, LedgerError, World};
use crate::request::{Direction, Request, Requested};
use crate::runbook;
use crate::units::{Epoch, OperationId, Person, TargetName};

/// The body of `command_refused`: a command that started no operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CommandRefused {
    /// The command in its canonical form.
    pub command: String,
    /// Who asked.
    pub by: Person,
    /// Why not, as it was told to them.
    pub reason: String,
}

/// The body of `abandoned`: a person freed the target of an operation that could not go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Abandoned {
    /// Who.
    pub by: Person,
    /// Why, in their words.
    pub reason: String,
}

/// How often, and how far apart, it is looked whether a command was recorded when the log gave no answer.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// An operation was opened.
    Opened(OperationId),
    /// None was, and why: to be shown to who asked.
    Refused(String),
}

/// The desk of one process.
pub struct Desk<'a> {
    /// The operational log.
    pub ledger: &'a dyn Ledger,
    /// Time and identifiers.
    pub world: &'a dyn World,
    /// The limits in force.
    pub policy: &'a Policy,
    /// The fencing epoch of this process.
    pub epoch: Epoch,
    /// The fleets that may be scaled; the first is meant where none is named.
    pub targets: &'a [TargetName],
}

impl Desk<'_> {
    /// Takes a command from a person.
    ///
    /// # Errors
    /// When the log cannot be used. Where it could not even be told whether the operation was opened, the error says so:
    /// whoever runs the bot then has to look for claims that nobody carries out.
    pub async fn take(&self, request: &Request, by: &Person) -> Result<Received, LedgerError> {
        let Request::Up(scale) = request;
        let target = match self.target(scale.target.as_ref()) {
            Ok(target) => target.clone(),
            Err(reason) => return self.refuse(request, by, reason).await,
        };
        let operation = OperationId::new(self.world.unique_id());
        let requested = Requested {
            runbook: runbook::VERSION,
            command: request.to_string(),
            by: by.clone(),
            target: target.clone(),
            direction: Direction::Up,
            to: scale.to,
            reason: scale.reason.clone(),
            undoes: None,
            policy: self.policy.digest().to_string(),
            monitor: self.policy.time.monitor.into(),
        };
        let draft = self.draft(Some(operation.clone()), 1, Kind::Requested, &requested, Claim::Take(target))?;
        match self.ledger.append(draft).await {
            Ok(_) => Ok(Received::Opened(operation)),
            Err(AppendError::Claimed(held)) => {
                let reason = self.busy(&held).await;
                self.refuse(request, by, reason).await
            }
            Err(AppendError::Unavailable(error)) => self.opened_after_all(operation, error).await,
            Err(error @ AppendError::Fenced { .. }) => Err(LedgerError(error.to_string())),
        }
    }

    fn target(&self, named: Option<&TargetName>) -> Result<&TargetName, String> {
        let known = || self.targets.iter().map(TargetName::as_str).collect::<Vec<_>>().join(", ");
        let found = match named {
            None => self.targets.first(),
            Some(name) => self.targets.iter().find(|target| *target == name),
        };
        found.ok_or_else(|| {
            let name = named.map_or_else(String::new, |name| crate::request::quoted(name.as_str()));
            format!("There is no target \"{name}\". There is: {}.\nLeave target: out to mean the first.", known())
        })
    }

    /// The log gave no answer: the operation may have been opened all the same, and would hold its target unseen.
    async fn opened_after_all(&self, operation: OperationId, error: LedgerError) -> Result<Received, LedgerError> {
        let mut unread = error.clone();
        for _ in 0..LOOKS {
            match self.ledger.events_of(&operation).await {
                Ok(events) if events.is_empty() => return Err(error),
                Ok(_) => return Ok(Received::Opened(operation)),
                Err(error) => unread = error,
            }
            self.world.sleep(BETWEEN_LOOKS).await;
        }
        Err(LedgerError(format!("it is not known whether operation {} was opened: {}", operation.short(), unread.0)))
    }

    /// Names the operation that holds the target: what, whose, since when.
    async fn busy(&self, held: &ClaimHeld) -> String {
        let holder = self
            .ledger
            .events_of(&held.operation)
            .await
            .ok()
            .and_then(|events| serde_json::from_str::<Requested>(&events.first()?.body).ok());
        let (command, by) = match &holder {
            Some(holder) => (holder.command.as_str(), holder.by.as_str()),
            None => ("another operation", "somebody"),
        };
        format!(
            "{command} by {} is under way on {} since {} (operation {}).\nOne at a time: wait until it ends, or cancel it.",
            crate::request::quoted(by),
            held.target,
            clock(held.since),
            held.operation.short()
        )
    }

    async fn refuse(&self, request: &Request, by: &Person, reason: String) -> Result<Received, LedgerError> {
        let body = CommandRefused { command: request.to_string(), by: by.clone(), reason: reason.clone() };
        let draft = self.draft(None, 0, Kind::CommandRefused, &body, Claim::Keep)?;
        match self.ledger.append(draft).await {
            Ok(_) => Ok(Received::Refused(reason)),
            Err(AppendError::Unavailable(error)) => Err(error),
            Err(error) => Err(LedgerError(error.to_string())),
        }
    }

    fn draft<T: Serialize>(
        &self,
        operation: Option<OperationId>,
        op_seq: u64,
        kind: Kind,
        body: &T,
        claim: Claim,
    ) -> Result<Draft, LedgerError> {
        let body = serde_json::to_string(body)
            .map_err(|error| LedgerError(format!("the event {kind} cannot be written as JSON: {error}")))?;
        Ok(Draft { operation, op_seq, epoch: self.epoch, at: self.world.now(), kind, body, claim })
    }
}
