//! What the log channel is told of the rarer events, and of what this version does not know. (Whole stories are told in
//! the bot's tests.)

use proptest::prelude::*;

use super::gist::LONGEST;
use super::*;
use crate::event::{Claim, Draft};
use crate::units::Epoch;

fn event(kind: &str, body: &str) -> Event {
    let draft = Draft {
        operation: Some(OperationId::new("019b9b3a-7f3a01")),
        op_seq: 1,
        epoch: Epoch(1),
        at: "2026-01-08T03:12:00Z".parse().unwrap(),
        kind: Kind::Requested,
        body: body.to_owned(),
        claim: Claim::Keep,
    };
    Event { kind: kind.to_owned(), ..Event::place(&draft, 7, Hash::GENESIS) }
}

fn posted(events: &[(&str, &str)]) -> String {
    let events: Vec<Event> = events.iter().map(|(kind, body)| event(kind, body)).collect();
    post(&events).text
}

#[test]
fn the_rarer_events() {
    let request = "493d0b6b15c46d3b4b3c0a2a5f1c7f6bd2b7a3c5d6e7f8091a2b3c4d5e6f7081";
    let withdrawn = format!(r#"{{"by":"lead","mark":"approve","request":"{request}"}}"#);
    insta::assert_snapshot!(
        posted(&[
            ("vote_withdrawn", &withdrawn),
            ("cancel_requested", r#"{"by":"operator"}"#),
            ("resumed", r#"{"after":12}"#),
            ("parked", r#"{"reason":"event 9 belongs to another version of the runbook"}"#),
            ("clock_jump", r#"{"last":"2026-01-08T03:15:00Z"}"#),
            ("scaling_answered", r#"{"step":"scale","v":1,"result":"conflict","adopted":false,"untouched":false,"detail":"the count is 5","stop":null}"#),
            ("scaling_answered", r#"{"step":"scale","v":1,"result":"late","adopted":false,"untouched":true,"detail":"what the guard had read was 2100 ms old, the limit is 2 s","stop":null}"#),
            ("scaling_answered", r#"{"step":"scale","v":1,"result":"done","adopted":true,"untouched":false,"detail":null,"stop":null}"#),
            ("scaling_answered", r#"{"step":"scale","v":1,"result":"unknown","adopted":true,"untouched":false,"detail":"'dana' set the count to 5","stop":null}"#),
            ("scaling_answered", r#"{"step":"scale","v":1,"result":"stopped","adopted":false,"untouched":true,"detail":null,"stop":{"halted":"halt table says halted"}}"#),
        ]),
        @r"
        2026-01-08 03:12:00 UTC  7f3a01  vote withdrawn  lead: approve, request 493d0b6b
        2026-01-08 03:12:00 UTC  7f3a01  cancel requested  by operator
        2026-01-08 03:12:00 UTC  7f3a01  resumed  after event 12 of the operation
        2026-01-08 03:12:00 UTC  7f3a01  parked  waits for a person: event 9 belongs to another version of the runbook
        2026-01-08 03:12:00 UTC  7f3a01  clock jump  the clock stands before the last event, which was written at 2026-01-08 03:15:00 UTC
        2026-01-08 03:12:00 UTC  7f3a01  scaling answered  not done, the fleet had changed: the count is 5
        2026-01-08 03:12:00 UTC  7f3a01  scaling answered  not done, too late: what the guard had read was 2100 ms old, the limit is 2 s
        2026-01-08 03:12:00 UTC  7f3a01  scaling answered  the count is set (the answer was lost; found out by looking)
        2026-01-08 03:12:00 UTC  7f3a01  scaling answered  not known whether it is done: 'dana' set the count to 5 (the answer was lost; found out by looking)
        2026-01-08 03:12:00 UTC  7f3a01  scaling answered  not tried: halt table says halted
        "
    );
}

#[test]
fn what_this_version_does_not_know_is_told_by_its_plain_fields() {
    insta::assert_snapshot!(
        posted(&[
            ("teleported", r#"{"step":"x","v":3,"to":6,"by":"dana","sure":false,"list":[1],"none":null}"#),
            ("finished", r#"{"step":"finish","v":9,"outcome":"transcended","to":6}"#),
            ("finished", "no json"),
            ("finished", "[1]"),
            ("a\u{202e}b", "{}"),
        ]),
        @r"
        2026-01-08 03:12:00 UTC  7f3a01  teleported  by: dana, sure: false, to: 6
        2026-01-08 03:12:00 UTC  7f3a01  finished  outcome: transcended, to: 6
        2026-01-08 03:12:00 UTC  7f3a01  finished  (unreadable)
        2026-01-08 03:12:00 UTC  7f3a01  finished  (unreadable)
        2026-01-08 03:12:00 UTC  7f3a01  a\u{202e}b
        "
    );
}

#[test]
fn what_people_and_machines_wrote_moves_no_cursor_and_fills_no_screen() {
    let hostile = "\\u001b[2J\\u202e".repeat(200);
    let said = posted(&[
        ("reason_given", &format!(r#"{{"by":"\u202edana","text":"{hostile}"}}"#)),
        ("parked", &format!(r#"{{"reason":"one\ntwo {hostile}"}}"#)),
    ]);
    assert!(said.lines().count() == 2 && said.contains("one two \\u{1b}"), "{said}");
    assert!(said.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}')), "{said:?}");
}

proptest! {
    #[test]
    fn whatever_stands_in_an_event_its_gist_is_one_short_line(
        kind in proptest::sample::select(Kind::ALL),
        text in any::<String>(),
        name in "(by|reason|text|what|because|to|from|[a-z]{1,8})",
    ) {
        let body = serde_json::json!({ name: text, "by": text, "text": text, "reason": text, "what": text, "because": text });
        let said = gist(&event(kind.as_str(), &body.to_string()));
        let acts = |c: char| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}');
        prop_assert!(!said.chars().any(acts), "{:?}", said);
        // Each character may be escaped, once.
        prop_assert!(said.chars().count() <= 10 * LONGEST + 1, "{}", said.len());
    }
}
