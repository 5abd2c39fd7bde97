//! `/scale status`: the fleet, its load, the halt, what is under way, and what waits for somebody.

use std::collections::BTreeSet;

use futures::join;

use super::{LOOKED_AT, Question, follow_ups, no_operation, progress};
use crate::card::{self, Card, clock};
use crate::checks::{self, Check};
use crate::context::Context;
use crate::desk::requested_of;
use crate::escalation::Acknowledged;
use crate::event::{Event, Kind};
use crate::halt::{self, Conclusion};
use crate::ports::{FleetState, LedgerError};
use crate::reading::Reading;
use crate::request::Direction;
use crate::steps::escalate::Escalated;
use crate::units::{OperationId, Person, Replicas, TargetName, Timestamp};

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct StatusSeen {
    /// The fleet.
    pub fleet: Reading<FleetState>,
    /// Its load against the limits; empty where the fleet could not be seen.
    pub figures: Vec<Check>,
    /// What the sources of truth say about the halt.
    pub halt: Conclusion,
    /// The operation under way, or why that could not be told.
    pub under_way: Result<Option<UnderWay>, String>,
    /// Escalations that nobody has acknowledged, newest first.
    pub escalations: Result<Vec<OpenEscalation>, String>,
    /// How many follow-ups are open.
    pub follow_ups: Result<usize, String>,
}

/// An operation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnderWay {
    /// Which.
    pub operation: OperationId,
    /// The command, and who gave it; `None` when it cannot be read.
    pub asked: Option<(String, Person)>,
    /// Since when.
    pub since: Timestamp,
    /// What it is doing.
    pub at: &'static str,
}

/// An escalation that nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenEscalation {
    /// Its number: the `seq` of its event.
    pub number: u64,
    /// How grave, to whom, what, since when.
    pub words: String,
}

pub(super) async fn answer(question: &Question<'_>) -> Card {
    let Question { ports, desk, asker } = question;
    let operation = no_operation();
    let requested = question.as_if_requested("/scale status".to_owned(), Direction::Up, Replicas(0));
    let cx = Context { ports, policy: desk.policy, operation: &operation, request: &requested, reason: None };
    let seen = async {
        let fleet: Reading<FleetState> = cx.fleet().await.into();
        let figures = match fleet.known() {
            Some(known) => checks::figures(&cx, known).await,
            None => Vec::new(),
        };
        (fleet, figures)
    };
    let asked = halt::ask(&*ports.world, &ports.target.halt, desk.policy.time.look);
    let ((fleet, figures), sources, under_way, escalations, follow_ups) =
        join!(seen, asked, under_way(question), escalations(question), follow_ups::open(question));
    let said = |error: LedgerError| error.to_string();
    let seen = StatusSeen {
        fleet,
        figures,
        halt: halt::conclude(&sources),
        under_way: under_way.map_err(said),
        escalations: escalations.map_err(said),
        follow_ups: follow_ups.map(|(open, _)| open.len()).map_err(said),
    };
    card::status(asker, &seen)
}

/// The operation that holds the target.
pub(super) async fn under_way(question: &Question<'_>) -> Result<Option<UnderWay>, LedgerError> {
    let Question { ports, asker, .. } = question;
    let held = ports.ledger.claims().await?.into_iter().find(|held| held.target == *asker.target);
    let Some(held) = held else { return Ok(None) };
    let events = ports.ledger.events_of(&held.operation).await?;
    let asked = requested_of(&events).map(|requested| (requested.command, requested.by));
    let at = progress::of(&events);
    Ok(Some(UnderWay { operation: held.operation, asked, since: held.since, at }))
}

async fn escalations(question: &Question<'_>) -> Result<Vec<OpenEscalation>, LedgerError> {
    let ledger = &question.ports.ledger;
    let raised = ledger.latest(Kind::Escalated.as_str(), LOOKED_AT).await?;
    let acknowledged = ledger.latest(Kind::Acknowledged.as_str(), LOOKED_AT).await?;
    let mut open = Vec::new();
    for event in unacknowledged(&raised, &acknowledged) {
        if of_target(question, event.operation.as_ref(), question.asker.target).await? {
            open.push(OpenEscalation { number: event.seq, words: words(event) });
        }
    }
    Ok(open)
}

/// Those of `raised` that none of `acknowledged` answers.
fn unacknowledged<'a>(raised: &'a [Event], acknowledged: &[Event]) -> Vec<&'a Event> {
    let seen: BTreeSet<u64> = acknowledged
        .iter()
        .filter_map(|event| serde_json::from_str::<Acknowledged>(&event.body).ok())
        .map(|acknowledged| acknowledged.escalation)
        .collect();
    raised.iter().filter(|event| !seen.contains(&event.seq)).collect()
}

/// Whether that operation is on that target. One that cannot be read may be, and is not left out.
pub(super) async fn of_target(
    question: &Question<'_>,
    operation: Option<&OperationId>,
    target: &TargetName,
) -> Result<bool, LedgerError> {
    // With one fleet there is nothing to look up.
    let Some(operation) = operation.filter(|_| question.desk.targets.len() > 1) else { return Ok(true) };
    let events = question.ports.ledger.events_of(operation).await?;
    Ok(requested_of(&events).is_none_or(|requested| requested.target == *target))
}

fn words(event: &Event) -> String {
    let since = event.time().map_or_else(String::new, |at| format!(" since {}", clock(at)));
    let mut body: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&event.body).unwrap_or_default();
    // The journal's own fields, which no body has.
    body.remove("step");
    body.remove("v");
    match serde_json::from_value::<Escalated>(body.into()) {
        Ok(told) => {
            format!("{} to the {}{since}: {}", told.severity.words(), told.to.words(), told.condition.words())
        }
        Err(_) => format!("cannot be read by this version{since}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hash;
    use crate::units::Epoch;

    fn event(seq: u64, kind: Kind, body: &str) -> Event {
        Event {
            seq,
            at: "2026-01-08T03:12:00Z".into(),
            operation: None,
            op_seq: 0,
            epoch: Epoch(1),
            kind: kind.as_str().into(),
            body: body.into(),
            prev: Hash::GENESIS,
            hash: Hash::GENESIS,
        }
    }

    #[test]
    fn an_escalation_is_open_until_exactly_that_one_is_acknowledged() {
        let raised = [event(9, Kind::Escalated, "{}"), event(4, Kind::Escalated, "{}")];
        let of = |escalation: u64| {
            let body = format!(r#"{{"escalation":{escalation},"operation":"o","by":"mara"}}"#);
            event(20, Kind::Acknowledged, &body)
        };
        let open = |acknowledged: &[Event]| -> Vec<u64> {
            unacknowledged(&raised, acknowledged).iter().map(|event| event.seq).collect()
        };
        assert_eq!(open(&[]), [9, 4]);
        assert_eq!(open(&[of(4), of(77)]), [9]);
        assert_eq!(open(&[of(4), of(9)]), Vec::<u64>::new());
        assert_eq!(open(&[event(20, Kind::Acknowledged, "{}")]), [9, 4]);
    }
}
