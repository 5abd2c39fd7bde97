//! The desk: where a command comes in. It opens an operation, or says why not. A text that is no command never gets
//! here ([`crate::request::parse`]) and is not recorded; a question is answered elsewhere ([`crate::asked`]).

mod rollback;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::asked::cancel::{self, Point};
use crate::authority::{self, Action, Refusal};
use crate::card::clock;
use crate::duty::Begin;
use crate::event::{Claim, Draft, Event, Kind};
use crate::mutation::mutated;
use crate::policy::Policy;
use crate::ports::{AppendError, ClaimHeld, Ledger, LedgerError, Room, World};
use crate::request::{self, Direction, Request, Requested};
use crate::runbook;
use crate::units::{Epoch, OperationId, Person, Replicas, TargetName};

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

/// How often, and how far apart, it is looked whether a command was recorded when the log gave no answer: for as long as the
/// log's server lets a transaction go on that nobody waits for any more.
const LOOKS: u32 = 5;
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received {
    /// An operation was opened.
    Opened(OperationId),
    /// None was, and why: to be shown to who asked.
    Refused(String),
    /// It asks for no operation, and nothing was recorded: [`crate::asked`] answers it.
    Question,
}

/// What an operation is to do, once it is known.
struct Order {
    direction: Direction,
    to: Replicas,
    reason: Option<String>,
    undoes: Option<OperationId>,
}

/// The desk of one process.
pub struct Desk<'a> {
    /// The operational log.
    pub ledger: &'a dyn Ledger,
    /// Time and identifiers.
    pub world: &'a dyn World,
    /// Who knows what people may.
    pub room: &'a dyn Room,
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
        let action = match request {
            Request::Change { .. } => Action::Change,
            Request::Rollback { .. } => Action::Rollback,
            _ => return Ok(Received::Question),
        };
        if let Err(refusal) = self.may(by, action).await {
            return self.refuse(request, by, refusal.to_string()).await;
        }
        self.open(request, by).await
    }

    /// Takes what policy lets the bot begin by itself, which only the duty can hand in. No role is asked for; every check
    /// and approval is.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_by_itself(&self, begin: &Begin) -> Result<Received, LedgerError> {
        match request::parse(begin.command()) {
            Ok(request @ Request::Change { .. }) => self.open(&request, &Person::itself()).await,
            Ok(_) => Ok(Received::Question),
            Err(no_command) => Ok(Received::Refused(no_command.to_string())),
        }
    }

    async fn open(&self, request: &Request, by: &Person) -> Result<Received, LedgerError> {
        let target = match self.target(request.target()) {
            Ok(target) => target.clone(),
            Err(reason) => return self.refuse(request, by, reason).await,
        };
        let order = match request {
            Request::Change { direction, to, reason, .. } => {
                Ok(Order { direction: *direction, to: *to, reason: reason.clone(), undoes: None })
            }
            // Who has the fleet is said before what could be undone if nobody had it.
            _ => match self.ledger.claims().await?.into_iter().find(|held| held.target == target) {
                Some(held) => Err(self.busy(&held).await),
                None => rollback::order(self.ledger, request, &target).await?,
            },
        };
        let Order { direction, to, reason, undoes } = match order {
            Ok(order) => order,
            Err(reason) => return self.refuse(request, by, reason).await,
        };
        let operation = OperationId::new(self.world.unique_id());
        let requested = Requested {
            runbook: runbook::VERSION,
            command: request.to_string(),
            by: by.clone(),
            target: target.clone(),
            direction,
            to,
            reason,
            undoes,
            policy: self.policy.digest().to_string(),
            monitor: self.policy.time.monitor.into(),
        };
        let claim = if mutated!(ClaimNotTaken) { Claim::Keep } else { Claim::Take(target) };
        let draft = self.draft(Some(operation.clone()), 1, Kind::Requested, &requested, claim)?;
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

    /// Whether somebody may stop that operation where it is: who asked for it may, and a governance lead any; the offer to
    /// halt is only the latter's to end. A refusal is recorded.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn may_cancel(
        &self,
        request: &Request,
        operation: &OperationId,
        by: &Person,
    ) -> Result<Result<(), String>, LedgerError> {
        let events = self.ledger.events_of(operation).await?;
        let own = requested_of(&events).is_some_and(|asked| asked.by == *by);
        let point = cancel::point_of(&events);
        let Err(refusal) = self.may(by, point.action(own)).await else { return Ok(Ok(())) };
        let reason = match point {
            Point::Offered => format!("All else is done; what is left is the offer to halt.\n{refusal}"),
            _ => refusal.to_string(),
        };
        self.refuse(request, by, reason.clone()).await?;
        Ok(Err(reason))
    }

    /// Whether somebody may do that, as the chat system says now.
    ///
    /// # Errors
    /// Why not.
    pub async fn may(&self, by: &Person, action: Action) -> Result<(), Refusal> {
        authority::ask(self.room, self.world, self.policy.time.look, by, action).await
    }

    /// Records an event that belongs to no operation.
    ///
    /// # Errors
    /// When the log cannot be used: it may be recorded all the same.
    pub async fn note<T: Serialize>(&self, kind: Kind, body: &T) -> Result<Event, LedgerError> {
        match self.ledger.append(self.draft(None, 0, kind, body, Claim::Keep)?).await {
            Ok(event) => Ok(event),
            Err(AppendError::Unavailable(error)) => Err(error),
            Err(error) => Err(LedgerError(error.to_string())),
        }
    }

    /// The fleet of that name; the first where none is named.
    ///
    /// # Errors
    /// In words, when there is none of that name.
    pub fn target(&self, named: Option<&TargetName>) -> Result<&TargetName, String> {
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

    /// The log gave no answer: the operation may have been opened all the same, or be opened in a moment by what is still on
    /// its way to the log, and would hold its target unseen. Only a last look that finds nothing says that it was not.
    async fn opened_after_all(&self, operation: OperationId, error: LedgerError) -> Result<Received, LedgerError> {
        let mut looked = Err(error.clone());
        for _ in 0..LOOKS {
            self.world.sleep(BETWEEN_LOOKS).await;
            looked = match self.ledger.events_of(&operation).await {
                Ok(events) if !events.is_empty() => return Ok(Received::Opened(operation)),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
        }
        let Err(unread) = looked else { return Err(error) };
        Err(LedgerError(format!("it is not known whether operation {} was opened: {}", operation.short(), unread.0)))
    }

    /// Names the operation that holds the target: what, whose, since when.
    async fn busy(&self, held: &ClaimHeld) -> String {
        let holder = self.ledger.events_of(&held.operation).await.ok().and_then(|events| requested_of(&events));
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

    /// Records that a command started nothing, and why.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn refuse(&self, request: &Request, by: &Person, reason: String) -> Result<Received, LedgerError> {
        let body = CommandRefused { command: request.to_string(), by: by.clone(), reason: reason.clone() };
        self.note(Kind::CommandRefused, &body).await?;
        Ok(Received::Refused(reason))
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

/// What an operation was asked to do, by its events; `None` when this version cannot read it.
pub(crate) fn requested_of(events: &[Event]) -> Option<Requested> {
    serde_json::from_str(&events.first().filter(|first| first.kind == Kind::Requested.as_str())?.body).ok()
}
