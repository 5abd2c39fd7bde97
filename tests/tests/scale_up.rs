//! Scaling up as people live it: what goes wrong, what governance decides, what changes meanwhile. Through the real
//! program, on real processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, Ended, Running, kinds};
use serde_json::{Value, json};

fn run(arguments: &[&'static str]) -> (Drill, Ended) {
    let drill = Drill::new();
    let all: Vec<&str> = ["/scale up 6", "--monitor", "20s"].into_iter().chain(arguments.iter().copied()).collect();
    let ended = drill.run(&all);
    drill.proved(&ended.events);
    (drill, ended)
}

/// Somebody types the lines; nothing is typed before it is wanted.
fn talk(drill: &Drill, arguments: &[&str]) -> Running {
    // Where nobody is heard, the test is to fail soon.
    let all: Vec<&str> = ["--monitor", "20s", "--approval-timeout", "1m"].iter().chain(arguments).copied().collect();
    let mut running = drill.start_with_input(&all, Stdio::piped());
    running.types("operator> /scale up 6");
    running
}

/// What the new instances broke is taken back: four again, all verified, what they wrote is kept, and that role was told
/// of that condition.
fn taken_back(arguments: &[&'static str], because: &[&str], role: &str, condition: &str) -> Ended {
    let (_drill, ended) = run(arguments);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let finished = ended.only("finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("rolled_back"), &json!(4)), "{finished}");
    for words in because {
        assert!(finished["reason"].as_str().unwrap().contains(words), "{words}: {finished}");
    }
    assert_eq!(ended.only("rolled_back")["done"], json!(true));
    let again = ended.events.iter().rfind(|event| event["kind"] == "verified").unwrap();
    assert_eq!((&again["body"]["step"], &again["body"]["result"]), (&json!("back/verify"), &json!("passed")));
    let kept = ended.only("logs_saved")["kept"].as_array().unwrap().clone();
    let names: Vec<&str> = kept.iter().map(|kept| kept["instance"].as_str().unwrap()).collect();
    assert_eq!(names, ["api-5", "api-6"], "{kept:?}");
    for kept in &kept {
        let log = std::fs::read_to_string(kept["place"].as_str().unwrap()).unwrap();
        assert!(log.contains("started"), "{log}");
        assert!(ended.said.contains(kept["place"].as_str().unwrap()), "{}", ended.said);
    }
    // Routing to them stops before they are ended.
    let kinds = ended.kinds();
    let place = |kind: &str| kinds.iter().position(|one| one == kind);
    if let (Some(drained), Some(ended)) = (place("draining"), place("rolling_back")) {
        assert!(drained < ended, "{kinds:?}");
    }
    let escalated = ended.only("escalated");
    assert_eq!((&escalated["to"], &escalated["condition"]), (&json!(role), &json!(condition)));
    ended
}

/// It was refused before anything was done, and that role was told.
fn refused_at_four(arguments: &[&'static str], because: &[&str]) {
    let (_drill, ended) = run(arguments);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let finished = ended.only("finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("refused"), &json!(4)), "{finished}");
    for words in because {
        assert!(finished["reason"].as_str().unwrap().contains(words), "{words}: {finished}");
    }
    assert_eq!(ended.only("escalated")["to"], "infrastructure_team");
    assert!(!ended.kinds().contains(&"scaling".to_owned()));
}

#[test]
fn an_instance_that_never_becomes_ready_is_named_when_the_time_for_it_is_over() {
    let because = ["Not ready", "api-5", "api-6", "database"];
    taken_back(&["--fault", "never-ready"], &because, "infrastructure_team", "infrastructure_limits");
}

#[test]
fn an_instance_that_crashes_ends_the_wait_at_once_and_is_named() {
    let ended = taken_back(&["--fault", "crash"], &["has failed"], "infrastructure_team", "infrastructure_limits");
    let took = ended.only("not_ready")["took"].as_u64().unwrap();
    assert!(took < 30_000, "it waited {took} ms, to the end of the time for it");
}

#[test]
fn new_instances_that_are_slow_are_found_by_the_watch_and_named() {
    let because = ["Mean latency of the new instances", "api-5", "api-6"];
    let ended = taken_back(&["--fault", "slow"], &because, "system_architect", "not_improving");
    assert_eq!(ended.only("finished")["verdict"], "regressed");
    assert_eq!(ended.only("monitored")["judgement"]["culprits"], json!(["api-5", "api-6"]));
}

#[test]
fn an_instance_with_another_hash_chain_is_found_by_comparing_the_same_sequence_numbers() {
    let because = ["api-5, api-6, chain: ", "at sequence"];
    let ended = taken_back(&["--fault", "diverged-chain"], &because, "system_architect", "consistency");
    let first = ended.events.iter().find(|event| event["kind"] == "verified").unwrap();
    assert_eq!(first["body"]["result"], "inconsistent");
}

#[test]
fn an_instance_that_holds_another_halt_state_is_found() {
    let because = ["api-5, api-6, halt: says halted"];
    taken_back(&["--fault", "diverged-halt"], &because, "system_architect", "consistency");
}

#[test]
fn an_instance_that_does_not_reach_its_keys_is_found() {
    let because = ["api-5, api-6, keys: "];
    taken_back(&["--fault", "no-keys"], &because, "system_architect", "consistency");
}

#[test]
fn without_room_it_is_refused_and_the_infrastructure_team_is_told() {
    refused_at_four(&["--fault", "no-room"], &["room", "0 more fit"]);
}

#[test]
fn without_database_connections_it_is_refused_with_the_figures() {
    refused_at_four(&["--fault", "database-full"], &["Database connections", "180 needed"]);
}

#[test]
fn during_a_halt_it_is_done_once_a_lead_has_approved_exactly_that() {
    let (_drill, ended) = run(&["--halted", "--approve"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    let asked = ended.only("approval_requested");
    let approved = ended.only("approved");
    assert_eq!(approved["by"], json!(["lead"]));
    assert_eq!(approved["request"], asked["digest"]);
    assert_eq!(ended.only("scaling")["approval"], asked["digest"]);
    assert_eq!(ended.only("escalated")["to"], "governance_lead");
    assert!(ended.said.contains(&asked["digest"].as_str().unwrap()[..8]), "{}", ended.said);
    let said = ended.said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("halt table and halt signals say halted since"), "{said}");
}

#[test]
fn during_a_halt_it_is_not_done_when_a_lead_rejects() {
    let (_drill, ended) = run(&["--halted", "--reject"]);
    assert_eq!((ended.code, &ended.only("finished")["outcome"]), (Some(1), &json!("rejected")));
    assert_eq!(ended.only("finished")["ended_at"], 4);
    assert!(!ended.kinds().contains(&"scaling".to_owned()));
}

#[test]
fn during_a_halt_it_expires_when_nobody_decides_in_time() {
    let (_drill, ended) = run(&["--halted", "--approval-timeout", "2s"]);
    assert_eq!((ended.code, &ended.only("finished")["outcome"]), (Some(1), &json!("expired")));
    assert_eq!(ended.only("finished")["ended_at"], 4);
    assert!(!ended.kinds().contains(&"scaling".to_owned()));
}

#[test]
fn marks_of_the_requester_and_of_others_than_leads_do_not_count_and_another_leads_does() {
    let drill = Drill::new();
    let mut running =
        drill.start_with_input(&["--halted", "--monitor", "20s", "--approval-timeout", "1m"], Stdio::piped());
    running.types("lead2> /scale up 6");
    running.until("approval_requested");
    running.types("lead2> approve");
    assert!(running.until("vote_refused")["body"]["why"].as_str().unwrap().contains("their own request"));
    running.types("viewer> approve");
    assert!(running.until("vote_refused")["body"]["why"].as_str().unwrap().contains("Only a governance lead"));
    running.types("lead> reject");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.only("finished")["outcome"], "rejected");
    assert_eq!(ended.only("rejected")["by"], json!(["lead"]));
    drill.proved(&ended.events);
}

#[test]
fn what_changes_after_the_approval_makes_it_void_and_the_next_request_says_what_changed() {
    let drill = Drill::new();
    let mut running = talk(&drill, &["--halted"]);
    let first = running.until("approval_requested")["body"].clone();
    // Somebody clears the table; the signals still say halted.
    drill.happen("clear", &json!({ "sources": "table", "reason": "ceremony" }));
    running.types("lead> approve");
    running.until("approved");
    let second = running.until("approval_requested")["body"].clone();
    assert_ne!(first["digest"], second["digest"]);
    let changed = second["changed"].to_string();
    // Found by the checks after the approval, which say what was before; a guard would say only that it is otherwise.
    assert!(changed.contains("halt table: halted since") && changed.contains("before, not halted now"), "{changed}");
    assert!(second["why"].to_string().contains("but halt table says not halted"), "{second}");
    running.types("lead> approve");
    let scaling = running.until("scaling");
    assert_eq!(scaling["body"]["approval"], second["digest"]);
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    drill.proved(&ended.events);
}

#[test]
fn in_a_script_a_mark_waits_until_it_is_asked_for() {
    let drill = Drill::new();
    let mut running = talk(&drill, &["--halted"]);
    running.types("");
    running.types("lead> approve");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!(ended.only("approved")["by"], json!(["lead"]));
    drill.proved(&ended.events);
}

#[test]
fn a_halt_that_begins_while_the_fleet_is_watched_changes_nothing_and_governance_is_told() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s"]);
    running.until("verified");
    drill.happen("halt", &json!({ "sources": "both", "reason": "integrity violation" }));
    let told = running.until("escalated");
    assert_eq!((&told["body"]["to"], &told["body"]["severity"]), (&json!("governance_lead"), &json!("critical")));
    let ended = running.end();
    assert_eq!(ended.only("finished")["ended_at"], 6);
    assert_eq!(ended.kinds().iter().filter(|kind| *kind == "scaling").count(), 1);
    drill.proved(&ended.events);
}

#[test]
fn halt_sources_that_cannot_be_read_are_no_proof_that_there_is_no_halt() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s", "--approval-timeout", "1s"]);
    running.until_it_warms_up();
    drill.happen("outage", &json!({ "part": "redis", "down": true }));
    let asked = running.until("prechecked");
    let checks = asked["body"]["checks"].as_array().unwrap().clone();
    let halt = checks.iter().find(|check| check["name"] == "halt state").unwrap();
    assert_eq!((&halt["status"], &halt["follows"]), (&json!("unknown"), &json!("approval")), "{halt}");
    let ended = running.end();
    assert_ne!(ended.only("finished")["outcome"], "completed");
    assert_eq!(ended.only("finished")["ended_at"], 4);
}

#[test]
fn a_breached_complexity_budget_asks_for_approval() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s", "--reject"]);
    running.until_it_warms_up();
    drill.happen("complexity", &json!({ "adr_count": 16, "ceremony_types": 6, "cross_component_deps": 11 }));
    let why = running.until("approval_requested")["body"]["why"].to_string();
    assert!(why.contains("complexity budget") && why.contains("16 of 15"), "{why}");
    let ended = running.end();
    assert_eq!(ended.only("finished")["outcome"], "rejected");
}

#[test]
fn an_instance_that_was_down_before_is_named_and_does_not_spoil_the_scaling() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s"]);
    running.until_it_warms_up();
    drill.happen("kill", &json!({ "instance": "api-3" }));
    let prechecked = running.until("prechecked");
    let checks = prechecked["body"]["checks"].as_array().unwrap();
    let count = checks.iter().find(|check| check["name"] == "instance count").unwrap();
    assert_eq!(count["status"], "warn", "{count}");
    let verified = running.until("verified");
    assert_eq!(verified["body"]["result"], "passed", "{verified}");
    let ended = running.end();
    assert_eq!(ended.only("finished")["outcome"], "completed", "{}", ended.said);
    drill.proved(&ended.events);
}

#[test]
fn somebody_who_changes_the_count_in_the_middle_is_noticed_and_not_fought() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s"]);
    running.until("verified");
    drill.a_colleague_sets(6, 7);
    let ended = running.end();
    assert_eq!(ended.code, Some(1));
    let finished = ended.only("finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("failed"), &json!(7)));
    assert!(finished["reason"].as_str().unwrap().contains("olleague set the count to 7"), "{finished}");
    assert!(ended.only("interference")["what"].as_str().unwrap().contains("a colleague set the count to 7"));
    drill.proved(&ended.events);
}

#[test]
fn cancelled_while_the_fleet_is_watched_it_stops_and_leaves_the_fleet_as_it_is() {
    let drill = Drill::new();
    let mut running = talk(&drill, &["--halted", "--approve"]);
    running.until("verified");
    running.types("operator> cancel");
    running.hangs_up();
    let ended = running.end();
    let finished = ended.only("finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("cancelled"), &json!(6)), "{finished}");
    drill.proved(&ended.events);
}

#[test]
fn without_a_trigger_and_without_a_reason_that_is_recorded_and_blocks_nothing() {
    let (_drill, ended) = run(&["--load", "4"]);
    assert_eq!(ended.only("rationale")["reason"], Value::Null);
    let checks = ended.only("prechecked")["checks"].as_array().unwrap();
    let rationale = checks.iter().find(|check| check["name"] == "rationale").unwrap();
    assert_eq!((&rationale["status"], &rationale["figure"]), (&json!("warn"), &json!("no reason given")));
    assert!(ended.kinds().contains(&"scaled".to_owned()), "{:?}", kinds(&ended.events));
}

#[test]
fn bad_input_is_answered_with_the_right_form_and_nothing_is_done() {
    let drill = Drill::new();
    let bad = [
        "/scale up six",
        "/scale up ٦",
        "/scale up 0",
        "/scale up -1",
        "/scale up 1.5",
        "/scale up 99999999999",
        "/scale upp 6",
        "/scale up 6 please",
        "/scale up 6 reason:\"never closed",
        "/scale up",
        "hello",
    ];
    let ended = drill.run(&bad);
    assert_eq!((ended.code, ended.events.len()), (Some(1), 0));
    assert!(
        ended.said.split_whitespace().collect::<Vec<_>>().join(" ").matches("/scale up 6").count() >= bad.len(),
        "{}",
        ended.said
    );

    let recorded = Drill::new();
    let ended = recorded.run(&["/scale up 6 target:nowhere", "/scale up 3", "/scale up 9"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.only("command_refused")["reason"].as_str().unwrap().contains("no target \"nowhere\""));
    let reasons: Vec<&str> = ended
        .events
        .iter()
        .filter(|event| event["kind"] == "finished")
        .map(|event| event["body"]["reason"].as_str().unwrap())
        .collect();
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("/scale down 3"), "{}", reasons[0]);
    assert!(reasons[1].contains("at most 100 %"), "{}", reasons[1]);
    recorded.proved(&ended.events);
}
