//! Going down with a drain, and back, as people live it: through the real program, on real processes under load.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, Ended, Running};
use serde_json::{Value, json};

/// Half of what four instances carry, on six.
const HALF: [&str; 6] = ["--instances", "6", "--load", "19", "--monitor", "20s"];

fn with<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    first.iter().chain(then).copied().collect()
}

/// What the load generator itself counts.
fn load(drill: &Drill) -> Value {
    serde_json::from_str(&drill.world_says("GET", "/load", &json!(null))).unwrap()
}

fn traffic(drill: &Drill) -> Vec<Value> {
    serde_json::from_str(&drill.world_says("GET", "/traffic", &json!(null))).unwrap()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["kind"] == kind).map(|event| &event["body"]).collect()
}

fn check<'a>(prechecked: &'a Value, name: &str) -> &'a Value {
    prechecked["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).unwrap()
}

/// Somebody types the lines.
fn talk(drill: &Drill, arguments: &[&str], command: &str) -> Running {
    let mut running = drill.start_with_input(arguments, Stdio::piped());
    running.types(command);
    running
}

fn finished(ended: &Ended) -> Value {
    of_kind(&ended.events, "finished").last().copied().unwrap().clone()
}

#[test]
fn six_go_down_to_four_under_load_and_not_one_request_is_lost() {
    let drill = Drill::new();
    let mut running = drill.start(&with(&HALF, &["/scale down 4 reason:\"night\""]));
    running.until("monitored");
    let counted = load(&drill);
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_eq!((&counted["failed"], &counted["dropped"]), (&json!(0), &json!(0)), "{counted}");
    assert!(counted["ok"].as_u64().unwrap() > 300, "{counted}");

    let end = finished(&ended);
    assert_eq!(
        (&end["outcome"], &end["ended_at"], &end["verdict"]),
        (&json!("completed"), &json!(4), &json!("stable"))
    );
    let victims: Vec<Value> = of_kind(&ended.events, "prechecked")[0]["plan"]["victims"]
        .as_array()
        .unwrap()
        .iter()
        .map(|victim| victim["instance"].clone())
        .collect();
    assert_eq!(victims, [json!("api-6"), json!("api-5")]);
    let drained: Vec<Value> = of_kind(&ended.events, "draining").iter().map(|body| body["instance"].clone()).collect();
    let gone: Vec<Value> =
        of_kind(&ended.events, "terminating").iter().map(|body| body["instances"][0].clone()).collect();
    assert_eq!((&drained, &gone), (&victims, &victims));
    // One after the other, each out of the balancer and idle before it is ended, and gone before the next.
    let steps: Vec<String> = ended
        .kinds()
        .into_iter()
        .filter(|kind| ["draining", "drained", "terminating", "terminated"].contains(&kind.as_str()))
        .collect();
    assert_eq!(steps, ["draining", "drained", "terminating", "terminated"].repeat(2));
    for body in of_kind(&ended.events, "drained") {
        assert_eq!((&body["ended"], &body["in_flight"]), (&json!("idle"), &json!(0)));
    }
    drill.proved(&ended.events);
}

#[test]
fn with_a_balancer_that_only_says_so_the_same_loses_requests() {
    let drill = Drill::new();
    let mut running = drill.start(&with(&HALF, &["/scale down 4 reason:\"night\""]));
    running.until_it_warms_up();
    drill.happen("lying-balancer", &json!({ "lies": true }));
    running.until("monitored");
    let counted = load(&drill);
    running.end();
    assert!(counted["failed"].as_u64().unwrap() > 0, "{counted}");
}

#[test]
fn under_full_load_going_down_is_refused_with_what_each_would_have_to_carry() {
    let drill = Drill::new();
    let ended = drill.run(&["--instances", "6", "--monitor", "20s", "/scale down 4 reason:\"night\""]);
    assert_eq!((ended.code, &finished(&ended)["outcome"]), (Some(1), &json!("refused")), "{}", ended.said);
    let prechecked = of_kind(&ended.events, "prechecked")[0].clone();
    let busy = check(&prechecked, "busy share");
    assert_eq!((&busy["status"], &busy["follows"]), (&json!("fail"), &json!("override")), "{busy}");
    assert!(busy["figure"].as_str().unwrap().contains("for each of 4") && busy["limit"] == "75 %, each and mean");
    assert!(ended.said.contains("governance lead may lift this"), "{}", ended.said);
    assert!(of_kind(&ended.events, "draining").is_empty());
    drill.proved(&ended.events);
}

#[test]
fn a_lead_lifts_that_with_a_reason_and_not_without() {
    let drill = Drill::new();
    let arguments = ["--instances", "6", "--monitor", "20s", "--approval-timeout", "2m"];
    let mut running = talk(&drill, &arguments, "operator> /scale down 5 reason:\"maintenance\"");
    running.until("approval_requested");
    running.types("lead> approve");
    assert!(running.until("vote_refused")["body"]["why"].as_str().unwrap().contains("needs a reason"));
    running.types("lead> override: the campaign is over");
    let lifted = running.until("overridden");
    assert_eq!((&lifted["body"]["by"], &lifted["body"]["reason"]), (&json!(["lead"]), &json!("the campaign is over")));
    running.until("terminated");
    running.hangs_up();
    let ended = running.end();
    let asked = of_kind(&ended.events, "approval_requested")[0];
    assert_eq!(of_kind(&ended.events, "terminating")[0]["approval"], asked["digest"]);
    drill.proved(&ended.events);
}

#[test]
fn who_works_on_something_long_is_left_alone_and_too_few_free_ones_are_refused_by_name() {
    let drill = Drill::new();
    let running =
        drill.start(&with(&HALF, &["/scale down 5 reason:\"night\"", "/scale down 1 reason:\"all but one\""]));
    running.until_it_warms_up();
    for instance in ["api-6", "api-4"] {
        let work = json!({ "instance": instance, "what": "ceremony 12", "constitutional": true, "seconds": 500 });
        drill.happen("work", &work);
    }
    let ended = running.end();
    let prechecked = of_kind(&ended.events, "prechecked");
    assert_eq!(prechecked[0]["plan"]["victims"][0]["instance"], "api-5");
    assert!(
        check(prechecked[0], "long-running work")["figure"].as_str().unwrap().contains("api-6 works on ceremony 12")
    );
    let waited = of_kind(&ended.events, "quiesced");
    assert_eq!((&waited[0]["ended"], &waited[1]["ended"]), (&json!("quiet"), &json!("busy")));
    let last = check(prechecked.last().unwrap(), "long-running work");
    assert_eq!((&last["status"], &last["follows"]), (&json!("fail"), &json!("refusal")), "{last}");
    assert_eq!((&finished(&ended)["outcome"], &finished(&ended)["ended_at"]), (&json!("refused"), &json!(5)));
    drill.proved(&ended.events);
}

#[test]
fn a_request_that_takes_long_is_waited_for_and_one_that_takes_too_long_keeps_its_instance() {
    let drill = Drill::new();
    let mut running = drill.start(&with(&HALF, &["/scale down 4 reason:\"night\""]));
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-6", "seconds": 25 }));
    drill.happen("long-request", &json!({ "instance": "api-5", "seconds": 110 }));
    let first = running.until("drained")["body"].clone();
    assert_eq!((&first["instance"], &first["ended"]), (&json!("api-6"), &json!("idle")), "{first}");
    let second = running.until("drained")["body"].clone();
    assert_eq!((&second["instance"], &second["ended"]), (&json!("api-5"), &json!("still_busy")), "{second}");
    running.until("readmitting_answered");
    assert!(traffic(&drill).iter().any(|one| one["instance"] == "api-5" && one["receives"] == true));
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(5)), "{end}");
    let reason = end["reason"].as_str().unwrap();
    assert!(reason.contains("api-5 is not idle") && reason.contains("api-5 gets requests again"), "{reason}");
    assert!(reason.contains("api-6 was ended before that"), "{reason}");
    drill.proved(&ended.events);
}

#[test]
fn cancelled_while_an_instance_is_drained_that_one_gets_requests_again() {
    let drill = Drill::new();
    let mut running = talk(&drill, &HALF, "operator> /scale down 4 reason:\"night\"");
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-6", "seconds": 40 }));
    running.until("draining_answered");
    running.types("operator> cancel");
    running.until("readmitting_answered");
    assert!(traffic(&drill).iter().all(|one| one["receives"] == true));
    running.hangs_up();
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("cancelled"), &json!(6)), "{end}");
    drill.proved(&ended.events);
}

#[test]
fn somebody_who_changes_the_count_while_it_drains_is_named_and_not_fought() {
    let drill = Drill::new();
    let mut running = drill.start(&with(&HALF, &["/scale down 4 reason:\"night\""]));
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-6", "seconds": 22 }));
    running.until("draining_answered");
    drill.a_colleague_sets(6, 7);
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!(end["ended_at"], 7, "{end}");
    assert!(of_kind(&ended.events, "terminating").is_empty());
    let what = of_kind(&ended.events, "interference")[0]["what"].as_str().unwrap().to_owned();
    assert!(what.contains("a colleague set the count to 7"), "{what}");
    assert!(end["reason"].as_str().unwrap().contains("api-6 gets requests again"), "{end}");
    drill.proved(&ended.events);
}

#[test]
fn an_old_instance_that_is_killed_while_the_fleet_is_watched_stops_the_operation_and_is_named() {
    let drill = Drill::new();
    let mut running = drill.start(&["/scale up 6", "--monitor", "20s"]);
    running.until("verified");
    drill.happen("kill", &json!({ "instance": "api-2" }));
    let noticed = running.until("interference");
    assert!(noticed["body"]["what"].as_str().unwrap().contains("api-2"), "{noticed}");
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(6)), "{end}");
    assert!(of_kind(&ended.events, "rolling_back").is_empty());
    drill.proved(&ended.events);
}

#[test]
fn a_halt_that_begins_between_two_removals_stops_the_second_until_a_lead_approves() {
    let drill = Drill::new();
    let arguments = with(&HALF, &["--approval-timeout", "2m"]);
    let mut running = talk(&drill, &arguments, "operator> /scale down 4 reason:\"night\"");
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-5", "seconds": 24 }));
    running.until("terminated");
    drill.happen("halt", &json!({ "sources": "both", "reason": "integrity violation" }));
    let asked = running.until("approval_requested")["body"].clone();
    assert_eq!((&asked["bound"]["from"], &asked["bound"]["to"]), (&json!(5), &json!(4)), "{asked}");
    assert_eq!(asked["bound"]["rollback_to"], 6, "{asked}");
    // With a reason, should the short window since the first removal need one.
    running.types("lead> override: it is known");
    running.until("terminated");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(of_kind(&ended.events, "terminating")[1]["approval"], asked["digest"]);
    assert_eq!(finished(&ended)["ended_at"], 4);
    drill.proved(&ended.events);
}

#[test]
fn killed_at_every_part_of_it_no_instance_is_ended_twice_and_no_other_than_was_announced() {
    for moment in ["draining", "drained", "terminating", "terminated"] {
        let drill = Drill::new();
        let mut running = drill.start(&with(&HALF, &["/scale down 4 reason:\"night\""]));
        running.until(moment);
        running.kill();
        let ended = drill.run(&["--monitor", "20s"]);
        let events = drill.exported();
        let end = of_kind(&events, "finished").last().copied().unwrap().clone();
        assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("completed"), &json!(4)), "{moment}: {}", ended.said);
        let done =
            events.iter().filter(|event| event["kind"] == "terminating_answered" && event["body"]["result"] == "done");
        assert_eq!(done.count(), 2, "{moment}");
        let mut ended_ones: Vec<&str> =
            of_kind(&events, "terminating").iter().map(|body| body["instances"][0].as_str().unwrap()).collect();
        ended_ones.dedup();
        assert_eq!(ended_ones, ["api-6", "api-5"], "{moment}");
        drill.proved(&events);
    }
}

#[test]
fn a_rollback_ends_exactly_what_was_new_and_another_one_has_nothing_to_undo() {
    let drill = Drill::new();
    let ended = drill.run(&[
        "--load",
        "19",
        "--monitor",
        "20s",
        "/scale up 6 reason:\"try\"",
        "/scale rollback",
        "/scale rollback",
    ]);
    let ends = of_kind(&ended.events, "finished");
    assert_eq!(ends.len(), 2, "{}", ended.said);
    assert_eq!((&ends[1]["outcome"], &ends[1]["ended_at"]), (&json!("completed"), &json!(4)), "{}", ended.said);
    let back = of_kind(&ended.events, "rolling_back")[0];
    let mut instances: Vec<&str> =
        back["instances"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    instances.sort_unstable();
    assert_eq!(instances, ["api-5", "api-6"]);
    assert_eq!(of_kind(&ended.events, "command_refused").len(), 1, "{}", ended.said);
    assert_eq!(ended.code, Some(1));
    drill.proved(&ended.events);
}

#[test]
fn a_rollback_is_refused_where_somebody_has_changed_the_count_since() {
    let drill = Drill::new();
    let arguments = ["--load", "19", "--monitor", "20s"];
    let mut running = talk(&drill, &arguments, "operator> /scale up 6 reason:\"try\"");
    running.until("finished");
    drill.a_colleague_sets(6, 7);
    running.types("operator> /scale rollback");
    running.until("finished");
    running.hangs_up();
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("refused"), &json!(7)), "{end}");
    assert!(end["reason"].as_str().unwrap().contains("olleague set the count to 7 since"), "{end}");
    drill.proved(&ended.events);
}

#[test]
fn a_way_back_that_is_killed_is_finished_by_the_next_process() {
    let drill = Drill::new();
    let mut running = drill.start(&["--monitor", "20s", "--fault", "no-keys", "/scale up 6"]);
    running.until("rolling_back");
    running.kill();
    let ended = drill.run(&[]);
    let events = drill.exported();
    let end = of_kind(&events, "finished").last().copied().unwrap().clone();
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("rolled_back"), &json!(4)), "{}", ended.said);
    assert_eq!(of_kind(&events, "rolled_back").len(), 1);
    drill.proved(&events);
}

#[test]
fn after_a_lead_rejects_the_rest_what_is_gone_is_said_and_nothing_further_is_done() {
    let drill = Drill::new();
    let arguments = with(&HALF, &["--approval-timeout", "2m"]);
    let mut running = talk(&drill, &arguments, "operator> /scale down 4 reason:\"night\"");
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-5", "seconds": 24 }));
    running.until("terminated");
    drill.happen("halt", &json!({ "sources": "both", "reason": "integrity violation" }));
    running.until("approval_requested");
    running.types("lead> reject");
    running.until("finished");
    assert!(traffic(&drill).iter().all(|one| one["receives"] == true));
    running.hangs_up();
    let ended = running.end();
    let end = finished(&ended);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(5)), "{end}");
    let reason = end["reason"].as_str().unwrap();
    assert!(reason.contains("Rejected by lead") && reason.contains("api-6 was ended before that"), "{reason}");
    assert_eq!(of_kind(&ended.events, "terminating").len(), 1);
    drill.proved(&ended.events);
}

#[test]
fn a_constitutional_write_that_begins_while_draining_has_a_minute() {
    let drill = Drill::new();
    let mut running = drill.start(&with(&HALF, &["/scale down 5 reason:\"night\""]));
    // Under way before the command: warming up takes 10 s.
    running.until_it_warms_up();
    drill.happen("long-request", &json!({ "instance": "api-6", "seconds": 20 }));
    running.until("draining_answered");
    let write = json!({ "instance": "api-6", "what": "witness 7", "constitutional": true, "seconds": 36 });
    drill.happen("work", &write);
    let drained = running.until("drained")["body"].clone();
    assert_eq!(drained["ended"], "idle", "{drained}");
    assert!(drained["waited"].as_u64().unwrap() > 30_000, "{drained}");
    let ended = running.end();
    assert_eq!(finished(&ended)["ended_at"], 5, "{}", ended.said);
    drill.proved(&ended.events);
}

#[test]
fn a_rollback_of_going_down_starts_as_many_again() {
    let drill = Drill::new();
    let ended = drill.run(&with(&HALF, &["/scale down 4 reason:\"night\"", "/scale rollback"]));
    let ends = of_kind(&ended.events, "finished");
    assert_eq!((&ends[1]["outcome"], &ends[1]["ended_at"]), (&json!("completed"), &json!(6)), "{}", ended.said);
    let back = of_kind(&ended.events, "rolling_back")[0];
    assert_eq!((&back["from"], &back["to"], &back["instances"]), (&json!(4), &json!(6), &json!([])));
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    drill.proved(&ended.events);
}
