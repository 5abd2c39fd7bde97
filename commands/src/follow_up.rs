//! Follow-ups after they were opened: what somebody has to see to later, until it is done.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::event::Event;
use crate::units::{OperationId, Person, Timestamp};

/// The body of `follow_up_closed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowUpClosed {
    /// The `seq` of the `follow_up` event.
    pub follow_up: u64,
    /// Who says that it is done; `None` when it was found to be.
    pub by: Option<Person>,
    /// Why it is closed, in a sentence.
    pub because: String,
}

/// A follow-up that nobody has closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFollowUp {
    /// Its number: the `seq` of its event.
    pub number: u64,
    /// Since when it is open; `None` when that cannot be read.
    pub since: Option<Timestamp>,
    /// The operation that left it.
    pub operation: Option<OperationId>,
    /// What is to be done.
    pub what: String,
    /// Why.
    pub because: String,
    /// Whether it is about a declared count that differs from the live one: such a one can be seen to be settled.
    pub is_declared_count: bool,
}

/// Those of `follow_ups` that none of `closed` closes, oldest first. What cannot be read stays open.
pub fn open(follow_ups: &[Event], closed: &[Event]) -> Vec<OpenFollowUp> {
    let closed: BTreeSet<u64> = closed
        .iter()
        .filter_map(|event| serde_json::from_str::<FollowUpClosed>(&event.body).ok())
        .map(|closed| closed.follow_up)
        .collect();
    let mut open: Vec<OpenFollowUp> =
        follow_ups.iter().filter(|event| !closed.contains(&event.seq)).map(read).collect();
    open.sort_by_key(|follow_up| follow_up.number);
    open.dedup_by_key(|follow_up| follow_up.number);
    open
}

fn read(event: &Event) -> OpenFollowUp {
    /// As it stands in the log: with the step in which it was left, by which its sort is known.
    #[derive(Deserialize)]
    struct Left {
        step: Option<String>,
        what: String,
        because: String,
    }
    let left = serde_json::from_str(&event.body).unwrap_or_else(|_| Left {
        step: None,
        what: "What it asks for cannot be read by this version.".to_owned(),
        because: "Look at its event in the log.".to_owned(),
    });
    OpenFollowUp {
        number: event.seq,
        since: event.time(),
        operation: event.operation.clone(),
        what: left.what,
        because: left.because,
        is_declared_count: left.step.is_some_and(|step| step.ends_with("/declared")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Hash;
    use crate::units::Epoch;

    fn event(seq: u64, body: &str) -> Event {
        Event {
            seq,
            at: "2026-01-08T03:12:00Z".into(),
            operation: Some(OperationId::new("019b-7f3a01")),
            op_seq: seq,
            epoch: Epoch(1),
            kind: String::new(),
            body: body.into(),
            prev: Hash::GENESIS,
            hash: Hash::GENESIS,
        }
    }

    fn left(seq: u64, step: &str) -> Event {
        event(seq, &format!(r#"{{"step":"document/follow-up/{step}","v":1,"what":"w{seq}","because":"b"}}"#))
    }

    fn closed(seq: u64, follow_up: u64) -> Event {
        event(seq, &format!(r#"{{"follow_up":{follow_up},"by":null,"because":"settled"}}"#))
    }

    fn numbers(follow_ups: &[Event], closed: &[Event]) -> Vec<u64> {
        open(follow_ups, closed).iter().map(|open| open.number).collect()
    }

    #[test]
    fn what_nobody_closed_is_open_oldest_first() {
        let all = [left(9, "capacity"), left(4, "declared"), left(2, "capacity")];
        assert_eq!(numbers(&all, &[]), [2, 4, 9]);
        assert_eq!(numbers(&all, &[closed(10, 4), closed(11, 4), closed(12, 77)]), [2, 9]);
        assert_eq!(numbers(&all, &[closed(10, 2), closed(11, 4), closed(12, 9)]), Vec::<u64>::new());
    }

    #[test]
    fn only_the_one_about_the_declared_count_is_known_as_such() {
        let open = open(&[left(4, "declared"), left(2, "capacity")], &[]);
        assert_eq!(open.iter().map(|open| open.is_declared_count).collect::<Vec<_>>(), [false, true]);
        assert_eq!((open[1].what.as_str(), open[1].because.as_str()), ("w4", "b"));
    }

    #[test]
    fn what_cannot_be_read_stays_open_and_closes_nothing() {
        let open = open(&[event(4, "{}"), left(2, "capacity")], &[event(5, r#"{"follow_up":"2"}"#)]);
        assert_eq!(open.len(), 2);
        assert!(open[1].what.contains("cannot be read"));
    }
}
