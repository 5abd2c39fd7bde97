//! Who an operation that is given up leaves without requests, by its log alone, whatever version wrote it: nobody else
//! puts them back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::body_of;
use crate::event::{Event, Kind};
use crate::request::escaped;

/// What is on record of an instance that may get no requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// It was taken out.
    Out,
    /// It may have been.
    MayBeOut,
    /// It may have been told to end.
    MayBeEnding,
}

/// What became of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Became {
    Done,
    Nothing,
    Unknown,
}

/// The longest name that is shown, in characters.
const NAME: usize = 80;

/// What is to be done about each instance that the operation left without requests, a sentence each; none where it left
/// nobody so.
pub fn out_of_service(events: &[Event]) -> Vec<String> {
    let (left, at_fault) = left(events);
    let said = left.into_iter().map(|(name, left)| {
        let at_fault = at_fault.contains(&name);
        let name = escaped(&name, NAME);
        match left {
            Left::MayBeEnding => {
                format!("{name} gets no requests and may have been told to end: look before it gets any")
            }
            _ if at_fault => {
                format!("{name} was taken out of the balancer for what was found at it: look before it gets requests")
            }
            Left::Out => format!("{name} gets no requests: put {name} back into the balancer"),
            Left::MayBeOut => format!("{name} may get no requests: see whether, and put {name} back into the balancer"),
        }
    });
    said.collect()
}

/// Who is left how, and who was found to be the cause of what was wrong.
fn left(events: &[Event]) -> (BTreeMap<String, Left>, Vec<String>) {
    let mut left = BTreeMap::new();
    let mut at_fault = Vec::new();
    // The last intent of each kind, and the one that nothing has answered.
    let mut intents: Vec<(Kind, Vec<String>)> = Vec::new();
    let mut unanswered = None;
    for event in events {
        let Some(kind) = Kind::parse(&event.kind) else { continue };
        let body = body_of(event);
        let answers = match kind {
            Kind::Draining | Kind::Readmitting | Kind::Terminating | Kind::RollingBack => {
                intents.retain(|(known, _)| *known != kind);
                intents.push((kind, named(&body)));
                unanswered = Some(kind);
                continue;
            }
            Kind::DrainingAnswered => Kind::Draining,
            Kind::ReadmittingAnswered => Kind::Readmitting,
            Kind::TerminatingAnswered => Kind::Terminating,
            Kind::RollingBackAnswered => Kind::RollingBack,
            Kind::Drained => {
                became(Kind::Draining, &named(&body), Became::Done, &mut left);
                continue;
            }
            Kind::Terminated => {
                became(Kind::Terminating, &named(&body), Became::Done, &mut left);
                continue;
            }
            Kind::WayBack => {
                at_fault = texts(body.get("culprits"));
                continue;
            }
            _ => continue,
        };
        if let Some((_, named)) = intents.iter().find(|(kind, _)| *kind == answers) {
            became(answers, named, answer(&body), &mut left);
        }
        unanswered = unanswered.filter(|kind| *kind != answers);
    }
    // It may have been done, and the process died before it could say so.
    if let Some((kind, named)) = intents.into_iter().find(|(kind, _)| Some(*kind) == unanswered) {
        became(kind, &named, Became::Unknown, &mut left);
    }
    (left, at_fault)
}

/// What an intent of that kind, of which that became, means for those that it names.
fn became(kind: Kind, named: &[String], became: Became, left: &mut BTreeMap<String, Left>) {
    for name in named {
        let after = match (kind, became) {
            (_, Became::Nothing) => continue,
            (Kind::Draining, Became::Done) => Left::Out,
            (Kind::Draining | Kind::Readmitting, Became::Unknown) => left.get(name).copied().unwrap_or(Left::MayBeOut),
            (_, Became::Unknown) => Left::MayBeEnding,
            // Who gets requests again, or is told to end, is not left without any.
            (_, Became::Done) => {
                left.remove(name);
                continue;
            }
        };
        left.insert(name.clone(), after);
    }
}

fn answer(body: &Map<String, Value>) -> Became {
    match body.get("result").and_then(Value::as_str) {
        Some("done") => Became::Done,
        Some("conflict" | "late" | "refused" | "stopped") => Became::Nothing,
        _ => Became::Unknown,
    }
}

/// Whom an event names.
fn named(body: &Map<String, Value>) -> Vec<String> {
    let one = body.get("instance").and_then(Value::as_str).map(ToOwned::to_owned);
    one.into_iter().chain(texts(body.get("instances"))).collect()
}

fn texts(value: Option<&Value>) -> Vec<String> {
    let all = value.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_str).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hash;
    use crate::units::Epoch;

    /// Events of these kinds with these bodies.
    fn said(events: &[(Kind, &str)]) -> Vec<String> {
        let event = |(kind, body): &(Kind, &str)| Event {
            seq: 1,
            at: "2026-01-08T03:12:00Z".into(),
            operation: None,
            op_seq: 1,
            epoch: Epoch(1),
            kind: kind.as_str().into(),
            body: (*body).into(),
            prev: Hash::GENESIS,
            hash: Hash::GENESIS,
        };
        out_of_service(&events.iter().map(event).collect::<Vec<_>>())
    }

    const DRAINING: (Kind, &str) = (Kind::Draining, r#"{"instance":"api-3"}"#);
    const OUT: (Kind, &str) = (Kind::DrainingAnswered, r#"{"result":"done"}"#);
    const ENDING: (Kind, &str) = (Kind::Terminating, r#"{"instances":["api-3"]}"#);
    const PUT_BACK: &str = "api-3 gets no requests: put api-3 back into the balancer";

    #[test]
    fn who_was_taken_out_and_neither_ended_nor_put_back_is_named() {
        assert_eq!(said(&[DRAINING, OUT]), [PUT_BACK]);
        assert_eq!(said(&[DRAINING, OUT, (Kind::Drained, r#"{"instance":"api-3"}"#)]), [PUT_BACK]);
        let refused = (Kind::TerminatingAnswered, r#"{"result":"stopped"}"#);
        assert_eq!(said(&[DRAINING, OUT, refused]), [PUT_BACK]);
        assert_eq!(said(&[DRAINING, OUT, ENDING, (Kind::TerminatingAnswered, r#"{"result":"refused"}"#)]), [PUT_BACK]);
    }

    #[test]
    fn who_was_ended_or_put_back_is_not() {
        let ended = (Kind::TerminatingAnswered, r#"{"result":"done"}"#);
        let readmitting = (Kind::Readmitting, r#"{"instance":"api-3"}"#);
        let readmitted = (Kind::ReadmittingAnswered, r#"{"result":"done"}"#);
        let back = (Kind::RollingBack, r#"{"instances":["api-3"]}"#);
        let is_back = (Kind::RollingBackAnswered, r#"{"result":"done"}"#);
        assert_eq!(said(&[DRAINING, OUT, ENDING, ended]), [""; 0]);
        assert_eq!(said(&[DRAINING, OUT, readmitting, readmitted]), [""; 0]);
        assert_eq!(said(&[DRAINING, OUT, back, is_back]), [""; 0]);
        assert_eq!(said(&[DRAINING, (Kind::DrainingAnswered, r#"{"result":"refused"}"#)]), [""; 0]);
        // A lost request that had arrived after all.
        let lost = (Kind::TerminatingAnswered, r#"{"result":"unknown","untouched":true}"#);
        assert_eq!(said(&[DRAINING, OUT, ENDING, lost, ended]), [""; 0]);
        assert_eq!(said(&[]), [""; 0]);
    }

    #[test]
    fn of_whom_it_is_not_known_is_told_what_to_look_at() {
        let may_be_out = "api-3 may get no requests: see whether, and put api-3 back into the balancer";
        let may_be_ending = "api-3 gets no requests and may have been told to end: look before it gets any";
        assert_eq!(said(&[DRAINING]), [may_be_out]);
        assert_eq!(said(&[DRAINING, (Kind::DrainingAnswered, r#"{"result":"unknown"}"#)]), [may_be_out]);
        assert_eq!(said(&[DRAINING, OUT, ENDING]), [may_be_ending]);
        let lost = (Kind::TerminatingAnswered, r#"{"result":"unknown","untouched":true}"#);
        assert_eq!(said(&[DRAINING, OUT, ENDING, lost]), [may_be_ending]);
        let readmitting = (Kind::Readmitting, r#"{"instance":"api-3"}"#);
        assert_eq!(said(&[DRAINING, OUT, readmitting]), [PUT_BACK]);
    }

    #[test]
    fn who_was_taken_out_for_being_the_cause_is_not_to_be_put_back_unseen() {
        let way_back = (Kind::WayBack, r#"{"culprits":["api-3"]}"#);
        let said = said(&[way_back, DRAINING, OUT]);
        assert!(said[0].contains("for what was found at it: look before it gets requests"), "{said:?}");
    }
}
