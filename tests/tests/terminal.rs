//! What a person at a terminal can type while an operation is under way.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use scalebot_tests::binary::{Drill, kinds, only};
use scalebot_tests::schemas::validate;
use scalebot_tests::terminal::Terminal;

#[test]
fn a_second_command_is_answered_at_once_with_who_has_the_fleet_since_when() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 20s");
    terminal.until("operator> ");
    terminal.types("/scale up 6");
    terminal.until("Monitoring");
    terminal.types("operator2> /scale up 8");
    terminal.until("/scale up 6 by operator is under way on api since");
    terminal.until("Done, ");
    terminal.until("operator> ");
    terminal.types("quit");
    assert_eq!(terminal.end(), Some(1));

    let all = drill.exported();
    let refused = only(&all, "command_refused");
    assert_eq!((&refused["by"], &refused["command"]), (&"operator2".into(), &"/scale up 8".into()));
    assert_eq!(only(&all, "finished")["ended_at"], 6);
    for event in &all {
        validate(event).unwrap();
    }
}

#[test]
fn a_command_typed_as_another_operation_ends_is_carried_out() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 3s");
    terminal.until("operator> ");
    terminal.types("/scale up 5");
    // The end is on record and the fleet is free again, while the chart is still being drawn.
    terminal.until("Done, ");
    terminal.types("/scale up 6");
    terminal.until("/scale up 6 by operator: looking.");
    terminal.until("Done, ");
    terminal.until("operator> ");
    terminal.types("quit");
    terminal.end();

    let all = drill.exported();
    let ended: Vec<_> = all.iter().filter(|event| event["kind"] == "finished").map(|event| &event["body"]).collect();
    assert_eq!(ended.len(), 2, "{:?}", kinds(&all));
    assert_eq!((&ended[1]["outcome"], &ended[1]["ended_at"]), (&"completed".into(), &6.into()));
}

#[test]
fn without_trigger_and_reason_the_operator_is_asked_why_and_the_answer_is_on_record() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 10s --load 4");
    terminal.until("operator> ");
    terminal.types("/scale up 6");
    terminal.until("Why is this done?");
    terminal.types("reason: the campaign begins at noon");
    // What was typed is echoed before; here it is to stand on the card.
    terminal.until("Precheck passed");
    let seen = terminal.until("Verified");
    assert!(seen.contains("the campaign begins at noon"), "{seen}");
    terminal.until("operator> ");
    terminal.types("quit");
    terminal.end();
    let all = drill.exported();
    assert_eq!(only(&all, "rationale")["reason"], "the campaign begins at noon");
    for event in &all {
        validate(event).unwrap();
    }
}

#[test]
fn where_nothing_tells_of_keys_an_operators_word_by_name_does_and_nobody_elses() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 10s --keys attest");
    terminal.until("operator> ");
    terminal.types("/scale up 6");
    terminal.until("Do the new instances reach their signing keys?");
    terminal.types("viewer> attest: they do");
    terminal.until("Only an operator may attest that");
    terminal.types("operator> attest: I looked at both");
    terminal.until("Monitoring");
    terminal.until("operator> ");
    terminal.types("quit");
    terminal.end();
    let all = drill.exported();
    let attested = only(&all, "attested");
    assert_eq!((&attested["by"], &attested["statement"]), (&"operator".into(), &"I looked at both".into()));
    for event in &all {
        validate(event).unwrap();
    }
}

#[test]
fn where_nothing_tells_of_keys_and_nobody_attests_it_is_no_pass() {
    let drill = Drill::new();
    let ended = drill.run(&["/scale up 6", "--monitor", "10s", "--keys", "attest"]);
    assert_eq!(ended.code, Some(1));
    assert_eq!(ended.only("attested")["by"], serde_json::Value::Null);
    let finished = ended.only("finished");
    assert_eq!(finished["outcome"], "failed");
    assert!(finished["reason"].as_str().unwrap().contains("nobody attested"), "{finished}");
}
