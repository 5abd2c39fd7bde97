//! The world that changes under an operation: an instance that somebody else kills, in every step, and an operator who
//! changes their mind in the middle. Through the real program, on real processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, Ended, Running, of_kind};
use serde_json::{Value, json};

/// Half of what four instances carry, on six.
const HALF: [&str; 6] = ["--instances", "6", "--load", "19", "--monitor", "20s"];

fn talk(drill: &Drill, arguments: &[&str], command: &str) -> Running {
    let mut running = drill.start_with_input(arguments, Stdio::piped());
    running.types(command);
    running
}

/// It was noticed, named to people and on record, and nothing further was done to the fleet.
fn noticed(ended: &Ended, outcome: &str, at: u32) {
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!(outcome), &json!(at)), "{end}");
    let what = ended.only("interference")["what"].as_str().unwrap();
    assert!(what.contains("api-2, which was in service before, has ended"), "{what}");
    assert!(end["reason"].as_str().unwrap().contains("api-2"), "{end}");
    assert!(ended.said.contains("api-2"), "{}", ended.said);
    let events = &ended.events;
    let noticed = events.iter().position(|event| event["kind"] == "interference").unwrap();
    for effect in ["scaling", "terminating", "rolling_back"] {
        assert!(of_kind(&events[noticed..], effect).is_empty(), "{effect} after it was noticed");
    }
}

#[test]
fn an_instance_that_somebody_kills_while_governance_is_asked_ends_the_question() {
    let drill = Drill::new();
    let arguments = ["--halted", "--monitor", "20s", "--approval-timeout", "3m", "/scale up 6"];
    let mut running = drill.start(&arguments);
    running.until("approval_requested");
    drill.happen("kill", &json!({ "instance": "api-2" }));
    let ended = running.end();
    noticed(&ended, "refused", 4);
    assert!(of_kind(&ended.events, "scaling").is_empty());
    drill.proved(&ended.events);
}

#[test]
fn an_instance_that_somebody_kills_while_the_fleet_is_verified_stops_it_and_nothing_is_taken_back() {
    let drill = Drill::new();
    // What is wrong with the new ones is asked again for a while, and so the verification lasts.
    let mut running = drill.start(&["--fault", "no-keys", "--monitor", "20s", "/scale up 6"]);
    running.until("scaled");
    drill.happen("kill", &json!({ "instance": "api-2" }));
    let verified = running.until("verified")["body"].clone();
    assert!(verified["interference"].as_str().unwrap().contains("api-2"), "{verified}");
    let ended = running.end();
    noticed(&ended, "failed", 6);
    drill.proved(&ended.events);
}

#[test]
fn an_instance_that_somebody_kills_while_another_drains_stops_that_and_the_drained_one_serves_again() {
    let drill = Drill::new();
    let arguments: Vec<&str> = HALF.into_iter().chain(["/scale down 4 reason:\"night\""]).collect();
    let mut running = drill.start(&arguments);
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-6", "seconds": 35 }));
    running.until("draining_answered");
    drill.happen("kill", &json!({ "instance": "api-2" }));
    let drained = running.until("drained")["body"].clone();
    assert_eq!((&drained["instance"], &drained["ended"]), (&json!("api-6"), &json!("interfered")), "{drained}");
    running.until("readmitting_answered");
    let traffic: Vec<Value> = serde_json::from_str(&drill.world_says("GET", "/traffic", &json!(null))).unwrap();
    assert!(traffic.iter().any(|one| one["instance"] == "api-6" && one["receives"] == true), "{traffic:?}");
    let ended = running.end();
    noticed(&ended, "refused", 6);
    assert!(of_kind(&ended.events, "terminating").is_empty());
    drill.proved(&ended.events);
}

#[test]
fn cancelled_at_the_second_of_two_the_first_stays_gone_and_what_is_said_to_type_brings_it_back() {
    let drill = Drill::new();
    let mut running = talk(&drill, &HALF, "operator> /scale down 4 reason:\"night\"");
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-5", "seconds": 60 }));
    running.until("terminated");
    running.until("draining_answered");
    running.types("operator> cancel");
    running.until("readmitting_answered");
    let end = running.until("finished")["body"].clone();
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("cancelled"), &json!(5)), "{end}");
    let reason = end["reason"].as_str().unwrap();
    for words in ["ancelled by operator", "api-5 gets requests again", "api-6 was ended before that. /scale rollback"] {
        assert!(reason.contains(words), "{words}: {reason}");
    }
    running.types("operator> /scale rollback");
    let back = running.until("finished")["body"].clone();
    assert_eq!((&back["outcome"], &back["ended_at"]), (&json!("completed"), &json!(6)), "{back}");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(of_kind(&ended.events, "terminating").len(), 1);
    assert!(ended.said.contains("what is gone stays gone"), "{}", ended.said);
    drill.proved(&ended.events);
}
