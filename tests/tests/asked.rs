//! Everything that can be asked beside a change of the count, as somebody at a console asks it.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, only};
use scalebot_tests::schemas::validate;
use scalebot_tests::terminal::Terminal;
use serde_json::Value;

/// What a drill says to these lines, typed into it one after another, and how it ends.
fn told(drill: &Drill, arguments: &[&str], lines: &[&str]) -> scalebot_tests::binary::Ended {
    let mut running = drill.start_with_input(arguments, Stdio::piped());
    for line in lines {
        running.types(line);
    }
    running.hangs_up();
    let ended = running.end();
    for event in &ended.events {
        validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    ended
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["kind"].as_str()).collect()
}

#[test]
fn every_question_is_answered_and_leaves_nothing_behind() {
    let drill = Drill::new();
    let questions = [
        "/scale status",
        "viewer> status",
        "viewer> /scale history 5",
        "viewer> capacity 120",
        "viewer> /scale plan 6",
        "operator> /scale plan 2",
        "operator> followups",
        "viewer> help",
    ];
    let ended = told(&drill, &[], &questions);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(kinds(&ended.events), Vec::<&str>::new());
    for words in [
        "api: 4 of 4 instances ready",
        "not halted, as every source says",
        "under way",
        "No operation has ended yet",
        "120 requests/s:",
        "requests/s at 75 % busy, which is the limit",
        "Plan: 4 → 6 (2 more) may be done",
        "Plan: 4 → 2 (2 fewer)",
        "This is a plan: nothing was done, and nobody was asked.",
        "No follow-up is open",
        "What can be asked",
        "lead> override: TEXT",
    ] {
        assert!(ended.said.contains(words), "{words}:\n{}", ended.said);
    }
    // Who asks twice is answered twice, though it is the same.
    assert_eq!(ended.said.matches("instances ready").count(), 2, "{}", ended.said);
    assert_eq!(drill.ledger("verify").0, Some(0));
}

#[test]
fn after_an_operation_its_history_and_its_follow_ups_are_told_and_one_is_closed_once() {
    let drill = Drill::new();
    let lines = ["/scale up 6", "history", "followups", "/scale followups close 999", "status"];
    let first = told(&drill, &["--monitor", "10s"], &lines);
    assert_eq!(first.code, Some(1), "{}", first.said);
    assert!(first.said.contains("/scale up 6 by operator: done"), "{}", first.said);
    let follow_up = first.events.iter().find(|event| event["kind"] == "follow_up").expect("the load asked for it");
    let number = follow_up["seq"].as_u64().unwrap();
    assert!(first.said.contains(&format!("/scale followups close {number}")), "{}", first.said);
    let refused = only(&first.events, "command_refused");
    assert_eq!(refused["command"], "/scale followups close 999");

    // Another process, another day: what was left is still there, and is closed by its number.
    let close = format!("/scale followups close {number} reason:\"it is in the budget\"");
    let second = told(&drill, &[], &[&close, &close]);
    assert_eq!(second.code, Some(1), "{}", second.said);
    let closed = only(&second.events, "follow_up_closed");
    assert_eq!((&closed["follow_up"], &closed["by"]), (&number.into(), &"operator".into()));
    assert_eq!(closed["because"], "it is in the budget");
    assert!(second.said.contains(&format!("No follow-up with the number {number} is open")), "{}", second.said);
    assert_eq!(drill.ledger("verify").0, Some(0));
}

#[test]
fn who_may_not_is_refused_with_whom_to_ask_and_that_is_on_record() {
    let drill = Drill::new();
    let lines = [
        "viewer> /scale up 6",
        "lead> /scale down 3",
        "architect> /scale rollback",
        "infra> followups",
        "lead> /scale followups close 1",
        "/scale rollback",
        "/scale status target:web",
    ];
    let ended = told(&drill, &[], &lines);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_eq!(kinds(&ended.events), ["command_refused"; 7]);
    let who = |event: &Value| event["body"]["by"].as_str().unwrap().to_owned();
    let by: Vec<String> = ended.events.iter().map(who).collect();
    assert_eq!(by, ["viewer", "lead", "architect", "infra", "lead", "operator", "operator"]);
    for words in [
        "Only an operator may change the count.",
        "Only an operator may undo an operation.",
        "Only an operator may see the follow-ups.",
        "Only an operator may close a follow-up.",
        "Ask an operator.",
        "No operation has changed api yet",
        "There is no target \"web\".",
    ] {
        assert!(ended.said.contains(words), "{words}:\n{}", ended.said);
    }
}

#[test]
fn what_is_no_command_is_met_with_the_right_form_of_that_command_and_is_not_recorded() {
    let drill = Drill::new();
    let wrong = [
        ("/scale up six", "/scale up 6"),
        ("/scale down", "/scale down 4"),
        ("/scale rollback now", "/scale rollback"),
        ("/scale plan 0", "/scale plan 6"),
        ("/scale status please", "/scale status"),
        ("/scale history 99", "/scale history 10"),
        ("/scale cancel it", "/scale cancel"),
        ("/scale capacity much", "/scale capacity 120"),
        ("/scale followups close", "/scale followups close 41"),
        ("/scale help me", "/scale help"),
        ("/scale stauts", "/scale status"),
        ("lead> halt", "No halt is offered now"),
        ("architect> acknowledge 4", "Nothing is open that could be acknowledged."),
        ("start", "Nothing is proposed now."),
        ("dismiss", "Nothing is proposed now."),
        ("lead> approve", "Nothing is asked of governance now."),
        ("cancel", "Nothing is under way that could be cancelled."),
    ];
    let lines = wrong.map(|(line, _)| line);
    let ended = told(&drill, &[], &lines);
    assert_eq!((ended.code, ended.events.len()), (Some(1), 0), "{}", ended.said);
    // A line that was too long for the screen was broken.
    let said = ended.said.split_whitespace().collect::<Vec<_>>().join(" ");
    for (line, answer) in wrong {
        assert!(said.contains(answer), "{line}: {answer}\n{}", ended.said);
    }
}

#[test]
fn while_an_operation_is_under_way_questions_are_answered_at_once_and_only_who_may_stops_it() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 60s");
    terminal.until("operator> ");
    terminal.types("/scale up 6");
    terminal.until("Monitoring");
    terminal.types("viewer> status");
    let status = terminal.until("follow-ups");
    assert!(status.contains("/scale up 6 by operator since"), "{status}");
    assert!(status.contains("watching the fleet"), "{status}");
    terminal.types("viewer> /scale history");
    terminal.until("/scale up 6 is under way and not listed");
    terminal.types("operator2> cancel");
    terminal.until("Only a governance lead may cancel what somebody else asked for.");
    terminal.types("lead> /scale cancel");
    terminal.until("It stops, and the fleet stays as it is.");
    terminal.until("Cancelled");
    terminal.until("operator> ");
    terminal.types("quit");
    assert_eq!(terminal.end(), Some(1));

    let all = drill.exported();
    for event in &all {
        validate(event).unwrap();
    }
    let refused = only(&all, "command_refused");
    assert_eq!((&refused["by"], &refused["command"]), (&"operator2".into(), &"/scale cancel".into()));
    assert_eq!(only(&all, "cancel_requested")["by"], "lead");
    assert_eq!(only(&all, "finished")["outcome"], "cancelled");
}
