//! The limits that an operation is held to: each is named when it refuses, with who may lift it; and what a governance
//! lead lifts, and how. Through the real program, on real processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, Running, last_finished, of_kind, only};
use serde_json::{Value, json};

/// A window that is in force for as long as anybody reads this.
const FROZEN: &str = "2020-01-01T00:00:00Z/2120-01-01T00:00:00Z end of the quarter";

/// Who may lift what stands in the configuration.
const KEEPER: &str = "Whoever keeps the configuration can lift that limit";

fn talk(drill: &Drill, arguments: &[&str], command: &str) -> Running {
    let mut running = drill.start_with_input(arguments, Stdio::piped());
    running.types(command);
    running
}

fn check<'a>(prechecked: &'a Value, name: &str) -> &'a Value {
    prechecked["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// How the next operation is refused: its reason.
fn refused(running: &mut Running, command: &str, at: u32) -> String {
    running.types(command);
    let end = running.until("finished")["body"].clone();
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("refused"), &json!(at)), "{command}: {end}");
    end["reason"].as_str().unwrap().to_owned()
}

fn assert_says(reason: &str, words: &[&str]) {
    for words in words {
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn minimum_maximum_largest_step_and_cool_down_are_each_named_with_who_may_lift_them() {
    let drill = Drill::new();
    let limits = ["--minimum", "3", "--maximum", "7", "--largest-step", "50", "--cool-down", "5m", "--monitor", "3s"];
    let mut running = drill.start_with_input(&limits, Stdio::piped());

    let below = refused(&mut running, "/scale down 2 reason:\"night\"", 4);
    assert_says(&below, &["The fleet must not go below 3.", KEEPER]);
    let beyond = refused(&mut running, "/scale up 8", 4);
    assert_says(&beyond, &["The fleet must not go beyond 7.", KEEPER]);
    let step = refused(&mut running, "/scale up 7", 4);
    assert_says(&step, &["One step may change the count by at most 50 %: ask for 6 first, then again.", KEEPER]);

    // What it says to ask for is let through, and only then the time between two changes counts.
    running.types("/scale up 6");
    assert_eq!(running.until("scaled")["body"]["ready"], 6);
    running.until("finished");
    let soon = refused(&mut running, "/scale up 7", 6);
    assert_says(&soon, &["The last scaling ended ", " have to pass. Ask again in ", KEEPER]);
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    // Nobody is asked for what no approval lifts, and only what was let through was done.
    assert!(of_kind(&ended.events, "approval_requested").is_empty());
    assert_eq!(of_kind(&ended.events, "scaling").len(), 1);
    assert_says(&ended.said, &["must not go below 3", "must not go beyond 7", "ask for 6 first"]);
    drill.proved(&ended.events);
}

#[test]
fn within_a_freeze_window_it_is_done_once_a_lead_lifts_that_with_a_reason_and_not_without() {
    let drill = Drill::new();
    let arguments = ["--freeze", FROZEN, "--monitor", "10s"];
    let mut running = talk(&drill, &arguments, "operator> /scale up 6");
    let asked = running.until("approval_requested")["body"].clone();
    let why = asked["why"].to_string();
    assert_says(
        &why,
        &[
            "Nothing may be changed until 2120-01-01",
            "(end of the quarter)",
            "A governance lead may lift this, with a reason.",
        ],
    );
    assert_eq!(asked["lifts"], json!(["instance count"]));
    running.types("lead> approve");
    let without = running.until("vote_refused")["body"]["why"].as_str().unwrap().to_owned();
    assert_says(&without, &["needs a reason"]);
    running.types("lead> override: the shop is down");
    running.until("scaled");
    running.hangs_up();
    let ended = running.end();

    let lifted = ended.only("overridden");
    assert_eq!((&lifted["by"], &lifted["reason"]), (&json!(["lead"]), &json!("the shop is down")));
    assert_eq!(lifted["checks"], json!(["instance count"]));
    assert_eq!(ended.only("scaling")["approval"], asked["digest"]);
    assert_eq!(ended.only("finished")["ended_at"], 6);
    drill.proved(&ended.events);
}

#[test]
fn within_a_freeze_window_it_is_refused_where_nobody_lifts_that_and_nobody_lifts_it_for_themselves() {
    let drill = Drill::new();
    let arguments = ["--freeze", FROZEN, "--monitor", "10s"];
    let mut running = talk(&drill, &arguments, "lead2> /scale up 6");
    running.until("approval_requested");
    running.types("lead2> override: I want it");
    let own = running.until("vote_refused")["body"]["why"].as_str().unwrap().to_owned();
    assert_says(&own, &["their own request"]);
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("refused"), &json!(4)), "{end}");
    assert_says(
        end["reason"].as_str().unwrap(),
        &["end of the quarter", "A governance lead may lift this, with a reason."],
    );
    assert!(of_kind(&ended.events, "scaling").is_empty());
    drill.proved(&ended.events);
}

#[test]
fn a_lead_who_approves_from_the_command_line_lifts_a_limit_and_says_so() {
    let drill = Drill::new();
    // At 38 requests/s each of five would be busy more than 75 %.
    let arguments = ["--instances", "6", "--monitor", "10s", "--approve", "/scale down 5 reason:\"maintenance\""];
    let ended = drill.run(&arguments);
    let lifted = ended.only("overridden");
    assert_eq!((&lifted["by"], &lifted["reason"]), (&json!(["lead"]), &json!("as the command line says")));
    let asked = ended.only("approval_requested");
    assert_eq!(lifted["checks"], asked["lifts"]);
    assert_eq!(check(of_kind(&ended.events, "prechecked")[0], "busy share")["follows"], "override");
    assert_eq!(ended.only("terminating")["approval"], asked["digest"]);
    assert_eq!(ended.only("terminated")["still_there"], json!([]));
    drill.proved(&ended.events);
}

#[test]
fn killed_while_governance_is_asked_it_goes_on_with_the_same_request_and_is_done_once() {
    let drill = Drill::new();
    // An approval is bound to the policy in force, so both processes are held to the same one.
    let policy = ["--halted", "--monitor", "10s", "--approval-timeout", "2m"];
    let mut running = drill.start(&[&policy[..], &["/scale up 6"]].concat());
    let asked = running.until("approval_requested")["body"].clone();
    running.kill();
    let ended = drill.run(&[&policy[1..], &["--approve"]].concat());
    let events = drill.exported();
    assert_eq!(only(&events, "approval_requested")["digest"], asked["digest"]);
    assert_eq!(only(&events, "approved")["request"], asked["digest"]);
    assert_eq!(only(&events, "scaling")["approval"], asked["digest"]);
    let end = last_finished(&events);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("completed"), &json!(6)), "{end}\n{}", ended.said);
    drill.proved(&events);
}
