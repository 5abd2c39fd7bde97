//! What a person on the host may do to an operation that no process carries out: ask it to stop, for whoever carries it
//! on, or abandon it, which gives its target back. Nothing of the operation has to be readable for either, and neither
//! is done twice, whenever the process is killed in between.

mod out;

use serde_json::{Map, Value};

pub use self::out::out_of_service;
use crate::card::in_lines;
use crate::desk::Abandoned;
use crate::event::{Claim, Event, Kind};
use crate::journal::{Appender, CancelRequested, Interrupted};
use crate::outbox::gist;
use crate::ports::{Ledger, LedgerError, World};
use crate::steps::hold::still_held;
use crate::steps::{Finished, Outcome};
use crate::units::{Epoch, OperationId, Person, Replicas, TargetName};

/// Why an operation was not abandoned or cancelled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// The log holds no operation of that name: look at its name.
    #[error("There is no operation {0}.")]
    Unknown(OperationId),
    /// It has ended, and holds nothing.
    #[error("Operation {} has ended already: {}. It holds nothing.", .0.short(), .1.words())]
    Ended(OperationId, Outcome),
    /// The log could not be written, or somebody else has taken it over.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<LedgerError> for NotDone {
    fn from(error: LedgerError) -> Self {
        Self::Interrupted(error.into())
    }
}

/// Asks an operation to stop that no process carries out: whoever carries it on ends it. Whether that was not on record
/// already.
pub async fn cancel(
    ledger: &dyn Ledger,
    world: &dyn World,
    epoch: Epoch,
    operation: &OperationId,
    by: Person,
) -> Result<bool, NotDone> {
    let mut log = Appender::open(ledger, world, epoch, operation).await?;
    must_be_unfinished(operation, log.events())?;
    if is_cancelled(log.events()) {
        return Ok(false);
    }
    log.note(Kind::CancelRequested, &CancelRequested { by }).await?;
    Ok(true)
}

/// Frees the target of an operation that no process carries out. How it ended. Where it was abandoned before and only its
/// end is missing, that is added, on the word of who abandoned it first.
pub async fn abandon(
    ledger: &dyn Ledger,
    world: &dyn World,
    epoch: Epoch,
    operation: &OperationId,
    abandoned: &Abandoned,
) -> Result<Finished, NotDone> {
    let mut log = Appender::open(ledger, world, epoch, operation).await?;
    must_be_unfinished(operation, log.events())?;
    if !is_abandoned(log.events()) {
        log.note(Kind::Abandoned, abandoned).await?;
    }
    Ok(end(ledger, &mut log, operation).await?)
}

/// What an operation that is given up leaves for people to put right, a sentence each, by its log alone.
pub fn left_behind(events: &[Event]) -> Vec<String> {
    out_of_service(events).into_iter().chain(still_held(events)).collect()
}

/// Whether somebody has asked for the operation to stop.
pub fn is_cancelled(events: &[Event]) -> bool {
    events.iter().any(|event| event.kind == Kind::CancelRequested.as_str())
}

/// Whether somebody has abandoned the operation.
pub fn is_abandoned(events: &[Event]) -> bool {
    events.iter().any(|event| event.kind == Kind::Abandoned.as_str())
}

/// Ends an operation that was abandoned, and whose end may be missing because the process was killed in between.
pub(crate) async fn carry_through(
    ledger: &dyn Ledger,
    world: &dyn World,
    epoch: Epoch,
    operation: &OperationId,
) -> Result<Finished, Interrupted> {
    let mut log = Appender::open(ledger, world, epoch, operation).await?;
    match ended(log.events()) {
        Some(finished) => Ok(finished),
        None => end(ledger, &mut log, operation).await,
    }
}

fn must_be_unfinished(operation: &OperationId, events: &[Event]) -> Result<(), NotDone> {
    if events.is_empty() {
        return Err(NotDone::Unknown(operation.clone()));
    }
    if events.iter().all(|event| event.kind != Kind::Finished.as_str()) {
        return Ok(());
    }
    let outcome = ended(events).map_or(Outcome::Failed, |finished| finished.outcome);
    Err(NotDone::Ended(operation.clone(), outcome))
}

/// How the operation ended, as far as this version can read it.
fn ended(events: &[Event]) -> Option<Finished> {
    let last = events.iter().rfind(|event| event.kind == Kind::Finished.as_str())?;
    let mut body = body_of(last);
    body.remove("step");
    body.remove("v");
    serde_json::from_value(Value::Object(body)).ok()
}

async fn end(ledger: &dyn Ledger, log: &mut Appender<'_>, operation: &OperationId) -> Result<Finished, Interrupted> {
    let known = Known::of(log.events());
    let target = match known.target {
        Some(target) => target,
        None => ledger.claims().await?.into_iter().find(|held| held.operation == *operation).map_or_else(
            // Neither its request nor its claim says which: then there is nothing that it could hold.
            || TargetName::new("unknown"),
            |held| held.target,
        ),
    };
    let finished = Finished {
        target,
        outcome: Outcome::Failed,
        from: known.from,
        to: known.to,
        ended_at: None,
        verdict: None,
        reason: in_lines(
            [known.abandoned, known.last]
                .into_iter()
                .chain(left_behind(log.events()))
                .chain(["look at the fleet before anything else is asked for".to_owned()]),
        ),
    };
    log.step("finish", &finished, Claim::Release).await?;
    Ok(finished)
}

/// What the log says of an operation, whatever version wrote it.
struct Known {
    target: Option<TargetName>,
    from: Option<Replicas>,
    to: Replicas,
    /// Who abandoned it, and why.
    abandoned: String,
    /// What was last done before that.
    last: String,
}

impl Known {
    fn of(events: &[Event]) -> Self {
        let bodies: Vec<Map<String, Value>> = events.iter().map(body_of).collect();
        let count = |value: &Value| value.as_u64().and_then(|count| u32::try_from(count).ok()).map(Replicas);
        let found = |kind: Kind, path: &[&str]| {
            let of_kind = events.iter().zip(&bodies).filter(|(event, _)| event.kind == kind.as_str());
            let mut values = of_kind.filter_map(|(_, body)| {
                let (first, rest) = path.split_first()?;
                rest.iter().try_fold(body.get(*first)?, |value, name| value.get(name))
            });
            values.next_back()
        };
        let by_whom = |name: &str| found(Kind::Abandoned, &[name]).and_then(Value::as_str).unwrap_or("somebody");
        let before = events.iter().rfind(|event| {
            let aside = [Kind::Abandoned, Kind::Resumed, Kind::ClockJump, Kind::Parked, Kind::Escalated];
            !aside.iter().any(|kind| event.kind == kind.as_str())
        });
        Self {
            target: found(Kind::Requested, &["target"]).and_then(Value::as_str).map(TargetName::new),
            from: found(Kind::Scaling, &["from"])
                .or_else(|| found(Kind::Prechecked, &["plan", "from"]))
                .and_then(count),
            to: found(Kind::Requested, &["to"]).and_then(count).unwrap_or(Replicas(0)),
            abandoned: format!("abandoned by {}: {}", by_whom("by"), by_whom("reason")),
            last: before.map_or_else(String::new, |event| {
                format!("what was last recorded before that is event {} ({}): {}", event.seq, event.kind, gist(event))
            }),
        }
    }
}

fn body_of(event: &Event) -> Map<String, Value> {
    serde_json::from_str(&event.body).unwrap_or_default()
}
