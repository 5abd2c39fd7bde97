//! Parking: an operation that cannot go on by itself is put on record as such, and an operator is told, once each time
//! it comes to that. Nothing of the operation has to be readable for it.

use std::time::Duration;

use super::{Ended, FIRST_PAUSE, LONGEST_PAUSE};
use crate::break_glass;
use crate::card;
use crate::event::{Claim, Event, Kind};
use crate::journal::{Appender, Interrupted, PARKING, Parked};
use crate::patience::within;
use crate::ports::{Ports, Slot};
use crate::request::{Requested, escaped};
use crate::steps::Finished;
use crate::steps::escalate::{Condition, Escalated};
use crate::units::{Epoch, Millis, OperationId};

/// The longest reason that is told, in characters.
const REASON: usize = 400;

/// Records that it is parked. While the log cannot be written, that is tried again: a parked operation must be seen.
pub(super) async fn park(
    ports: &Ports,
    look: Duration,
    operation: &OperationId,
    epoch: Epoch,
    reason: String,
) -> Ended {
    // It may repeat what stands in the log, which may be anything.
    let reason = escaped(&reason, REASON);
    let mut pause = FIRST_PAUSE;
    loop {
        match record(ports, look, operation, epoch, &reason).await {
            Ok(None) => return Ended::Parked(reason),
            Ok(Some(abandoned)) => return Ended::Finished(abandoned),
            Err(Interrupted::Fenced(why)) => return Ended::Fenced(why),
            Err(Interrupted::Parked { reason }) => return Ended::Parked(reason),
            Err(Interrupted::Ledger(error)) => {
                let after = Millis::from(pause);
                tracing::warn!(%operation, %error, %after, "the operation could not be recorded as parked");
            }
        }
        ports.world.sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Appends what is missing of the parking. What was abandoned is ended instead.
async fn record(
    ports: &Ports,
    look: Duration,
    operation: &OperationId,
    epoch: Epoch,
    reason: &str,
) -> Result<Option<Finished>, Interrupted> {
    let mut log = Appender::open(&*ports.ledger, &*ports.world, epoch, operation).await?;
    if break_glass::is_abandoned(log.events()) {
        return break_glass::carry_through(&*ports.ledger, &*ports.world, epoch, operation).await.map(Some);
    }
    let known = standing(log.events());
    if known.as_ref().is_none_or(|known| known.reason != reason) {
        log.note(Kind::Parked, &Parked { reason: reason.to_owned() }).await?;
    }
    let escalated = Escalated::of(Condition::Parked, reason);
    if !is_told(log.events()) {
        log.step(PARKING, &escalated, Claim::Keep).await?;
    }
    let request = log.events().first().and_then(|first| serde_json::from_str::<Requested>(&first.body).ok());
    let card = card::parked(operation, request.as_ref(), &escalated);
    let shown = ports.room.show(operation, Slot::Escalation, &card);
    if let Err(error) = within(&*ports.world, look, "the chat system", shown).await {
        tracing::warn!(%operation, %error, "a card could not be shown");
    }
    Ok(None)
}

/// The parking that an operation is in, if it has not gone on since.
pub fn standing(events: &[Event]) -> Option<Parked> {
    let parked = events.iter().rev().find(|event| !is_aside(event))?;
    serde_json::from_str(&parked.body).ok().filter(|_| parked.kind == Kind::Parked.as_str())
}

/// Whether somebody was told of the last parking.
fn is_told(events: &[Event]) -> bool {
    events.iter().rev().take_while(|event| event.kind != Kind::Parked.as_str()).any(is_telling)
}

/// Whether the event says nothing about how far the operation is: it was only entered again, or somebody said something
/// to it.
fn is_aside(event: &Event) -> bool {
    const ASIDE: [Kind; 8] = [
        Kind::Resumed,
        Kind::ClockJump,
        Kind::CancelRequested,
        Kind::VoteCast,
        Kind::VoteWithdrawn,
        Kind::ReasonGiven,
        Kind::AttestationGiven,
        Kind::Abandoned,
    ];
    Kind::parse(&event.kind).is_some_and(|kind| ASIDE.contains(&kind)) || is_telling(event)
}

fn is_telling(event: &Event) -> bool {
    #[derive(serde::Deserialize)]
    struct Telling {
        step: String,
    }
    event.kind == Kind::Escalated.as_str()
        && serde_json::from_str::<Telling>(&event.body).is_ok_and(|telling| telling.step == PARKING)
}
