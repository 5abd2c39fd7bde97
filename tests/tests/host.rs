//! What a person on the host sees and does beside a rehearsal, without any chat: `scalebot operation`, `status` and
//! `cancel`.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt as _;

use scalebot_adapters::ledger::SqliteLedger;
use scalebot_commands::event::{Claim, Draft, Kind};
use scalebot_commands::ports::Ledger as _;
use scalebot_commands::units::{OperationId, TargetName};
use scalebot_tests::binary::{Drill, kinds, only};
use scalebot_tests::schemas::validate;
use serde_json::{Value, json};

const UP_6: [&str; 3] = ["/scale up 6", "--monitor", "20s"];

/// The last characters of an event's operation, as people name it.
fn short(event: &Value) -> String {
    let id = event["operation"].as_str().unwrap();
    id[id.len() - 6..].to_owned()
}

fn assert_done(drill: &Drill, arguments: &[&str], wanted: &[&str]) -> String {
    assert_ends(drill, arguments, 0, wanted)
}

/// Runs a command on the host and holds its exit code and its words against what is wanted.
fn assert_ends(drill: &Drill, arguments: &[&str], code: i32, wanted: &[&str]) -> String {
    let (ended, said) = drill.on_the_host(arguments);
    assert_eq!(ended, Some(code), "{arguments:?}: {said}");
    for words in wanted {
        assert!(said.contains(words), "{arguments:?} does not say \"{words}\": {said}");
    }
    said
}

/// Every event is as its schema says, in a log that is in order and wholly posted.
fn assert_in_order(drill: &Drill) -> Vec<Value> {
    let events = drill.exported();
    for event in &events {
        validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("compared with the log channel up to seq {}", events.len())), "{said}");
    events
}

#[test]
fn an_operation_under_way_is_seen_from_outside_cannot_be_abandoned_and_stops_when_it_is_cancelled() {
    let drill = Drill::new();
    let mut running = drill.start(&UP_6);
    let id = short(&running.until("requested"));
    running.until("scaled");
    let process = format!("process {}", running.pid());

    let unfinished = ["Unfinished:", &id, "/scale up 6 by operator", "Holds api since", "scaled  6 of 6 ready"];
    assert_done(&drill, &["operation", "list"], &unfinished);
    assert_done(
        &drill,
        &["operation", "show", &id],
        &["requested  api up to 6 by operator", &process, "scalebot cancel"],
    );
    assert_done(
        &drill,
        &["status"],
        &["/scale up 6 by operator", &format!("carried out by {process}"), "scalebot cancel"],
    );
    let refused = ["operation", "abandon", &id, "--reason", "it hangs"];
    assert_ends(&drill, &refused, 1, &["Nothing was abandoned", &process, "scalebot cancel --state"]);
    assert_ends(&drill, &["operation", "resume", &id], 2, &["in use by another drill", &process]);
    let socket = drill.state().join("control.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    assert_done(&drill, &["cancel"], &["was asked to stop, and that is on record", "operation show"]);
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(ended.only("cancel_requested")["by"].as_str().unwrap().starts_with("host:"));
    assert_eq!(ended.only("finished")["outcome"], "cancelled");
    assert_eq!(kinds(&ended.events).iter().filter(|kind| *kind == "abandoned").count(), 0);

    assert!(!socket.exists());
    assert_ends(&drill, &["cancel"], 1, &["Nothing is under way"]);
    assert_done(&drill, &["status"], &["Nothing is under way.", "No process holds this state"]);
    assert_done(&drill, &["operation", "list"], &["Nothing is unfinished.", "Ended, latest first:", &id, "cancelled"]);
    assert_done(&drill, &["operation", "show", &id], &["finished  cancelled", "It has ended."]);
    assert_ends(&drill, &["operation", "resume", &id], 1, &["is not unfinished"]);
    assert_ends(&drill, &refused, 1, &["has ended already: cancelled"]);
    assert_in_order(&drill);
}

#[test]
fn an_operation_whose_process_was_killed_is_cancelled_on_record_and_ends_so_when_it_is_resumed() {
    let drill = Drill::new();
    let mut running = drill.start(&UP_6);
    let id = short(&running.until("requested"));
    running.until("scaled");
    running.kill();

    assert_done(&drill, &["status"], &["No process holds this state", &format!("scalebot operation resume {id}")]);
    let resume = format!("scalebot operation resume {id} --state {}", drill.state().display());
    assert_done(&drill, &["cancel"], &["That it is to stop is on record", &resume]);
    assert_done(&drill, &["cancel"], &["was on record before"]);
    assert_done(&drill, &["operation", "list"], &["Somebody has asked for it to stop."]);

    assert_ends(&drill, &["operation", "resume", &id], 1, &["Cancelled"]);
    let events = assert_in_order(&drill);
    assert_eq!(only(&events, "finished")["outcome"], "cancelled");
    assert_eq!(kinds(&events).iter().filter(|kind| *kind == "cancel_requested").count(), 1);
    assert_eq!(drill.world(), None);
}

#[test]
fn an_abandoned_operation_gives_its_fleet_back_and_the_next_one_can_scale() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 5", "--monitor", "20s"]);
    let id = short(&running.until("requested"));
    running.until("scaled");
    running.kill();

    let abandon = ["operation", "abandon", &id, "--reason", "the pager\nwas lost"];
    assert_done(&drill, &abandon, &["is abandoned, and api is free again", "Nobody looked at it"]);
    assert_ends(&drill, &abandon, 1, &["has ended already: failed"]);
    let finished = only(&drill.exported(), "finished").clone();
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("failed"), &Value::Null));
    assert_eq!((&finished["from"], &finished["to"]), (&json!(4), &json!(5)));
    let reason = finished["reason"].as_str().unwrap();
    assert!(reason.contains("the pager was lost") && reason.contains("Look at the fleet"), "{reason}");
    assert_in_order(&drill);

    let next = drill.run(&UP_6);
    assert_eq!(next.only("finished")["from"], 5, "{}", next.said);
    assert_eq!(next.only("finished")["ended_at"], 6, "{}", next.said);
    assert_in_order(&drill);
}

/// Puts an operation on record that a version of the runbook began which does not exist.
async fn begun_by_another_version(drill: &Drill) -> OperationId {
    let ledger = SqliteLedger::open(&drill.state().join("ledger.db")).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    let operation = OperationId::new("019b9b3a-7f3a-7000-8000-0000007f3a01");
    let body = json!({
        "runbook": 9999, "command": "/scale up 6", "by": "operator", "target": "api", "direction": "up", "to": 6,
        "reason": null, "undoes": null, "policy": "0".repeat(64), "monitor": 20_000,
    });
    let draft = Draft {
        operation: Some(operation.clone()),
        op_seq: 1,
        epoch,
        at: "2026-01-08T03:12:00Z".parse().unwrap(),
        kind: Kind::Requested,
        body: body.to_string(),
        claim: Claim::Take(TargetName::new("api")),
    };
    ledger.append(draft).await.unwrap();
    ledger.close().await;
    operation
}

#[tokio::test]
async fn a_parked_operation_is_told_once_shown_with_what_to_type_and_can_be_abandoned() {
    let drill = Drill::new();
    begun_by_another_version(&drill).await;
    let why = "it was begun by version 9999 of the runbook";
    let abandon = "scalebot operation abandon 7f3a01 --reason";

    let first = drill.run(&[]);
    assert_eq!(first.code, Some(1), "{}", first.said);
    // There is nothing to be resumed after a request alone.
    assert_eq!(first.kinds(), ["parked", "escalated"]);
    let told = first.only("escalated");
    assert_eq!(
        (&told["condition"], &told["to"], &told["severity"]),
        (&json!("parked"), &json!("operator"), &json!("high"))
    );
    for words in [why, abandon, "HIGH for the operator", "scalebot operation show 7f3a01"] {
        assert!(first.said.contains(words), "{words}: {}", first.said);
    }

    assert_ends(&drill, &["operation", "resume", "7f3a01"], 1, &[why, abandon]);
    assert_done(&drill, &["operation", "list"], &["It cannot go on by itself", why]);
    let shown = ["parked  waits for a person", why, abandon, "scalebot operation resume 7f3a01"];
    assert_done(&drill, &["operation", "show", "0000007f3a01"], &shown);
    assert_done(&drill, &["status"], &[why, abandon, "Escalations that nobody has acknowledged (1):"]);
    assert_done(&drill, &["cancel"], &["cannot end by itself either", abandon]);
    // However often it is entered and spoken to, it is one parking, and somebody was told once.
    assert_ends(&drill, &["operation", "resume", "7f3a01"], 1, &[why]);
    let count = |kind: &str| kinds(&drill.exported()).iter().filter(|each| *each == kind).count();
    assert_eq!((count("parked"), count("escalated")), (1, 1));

    assert_done(&drill, &["operation", "abandon", "7f3a01", "--reason", "of another version"], &["api is free again"]);
    assert_done(&drill, &["operation", "list"], &["Nothing is unfinished.", "failed"]);
    let events = assert_in_order(&drill);
    assert_eq!(kinds(&events).iter().rev().take(2).collect::<Vec<_>>(), ["finished", "abandoned"]);
}

#[test]
fn a_state_that_was_never_used_says_so_and_stays_empty_and_one_that_is_not_there_is_refused() {
    let drill = Drill::new();
    assert_done(&drill, &["operation", "list"], &["Nothing was ever begun here."]);
    assert_done(&drill, &["status"], &["Nothing was ever begun here.", "No process holds this state"]);
    assert_ends(&drill, &["cancel"], 1, &["Nothing is under way"]);
    for what in [&["operation", "show", "7f3a01"][..], &["operation", "resume", "7f3a01"]] {
        assert_ends(&drill, what, 1, &["There is no operation 7f3a01 here."]);
    }
    assert_ends(
        &drill,
        &["operation", "abandon", "7f3a01", "--reason", "x"],
        1,
        &["There is no operation 7f3a01 here."],
    );
    for wrong in [&["operation", "abandon", "7f3a01"][..], &["operation", "show", "../etc"], &["operation"]] {
        assert_eq!(drill.on_the_host(wrong).0, Some(2), "{wrong:?}");
    }
    assert_eq!(std::fs::read_dir(drill.state()).unwrap().count(), 0);

    let gone = Drill::new();
    std::fs::remove_dir(gone.state()).unwrap();
    for what in [&["operation", "list"][..], &["status"], &["cancel"], &["operation", "resume", "7f3a01"]] {
        assert_ends(&gone, what, 2, &["does not exist"]);
    }
    assert!(!gone.state().exists());
}
