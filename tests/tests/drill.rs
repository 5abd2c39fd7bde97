//! The main job, as a person does it: `scalebot drill "/scale up 6"` on real processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use scalebot_adapters::ledger::SqliteLedger;
use scalebot_tests::binary::{Drill, ends_within, kill, kinds, only, told_once};
use scalebot_tests::schemas::validate;
use serde_json::Value;

/// Long enough for a verdict, short enough for a test.
const MONITOR: [&str; 2] = ["--monitor", "20s"];

fn up_6(more: &[&'static str]) -> Vec<&'static str> {
    ["/scale up 6"].into_iter().chain(MONITOR).chain(more.iter().copied()).collect()
}

fn assert_valid(events: &[Value]) {
    for event in events {
        validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
}

/// How often the count was set by us.
fn scalings_done(events: &[Value]) -> usize {
    events.iter().filter(|event| event["kind"] == "scaling_answered" && event["body"]["result"] == "done").count()
}

#[test]
fn four_instances_are_carried_to_six_and_nothing_is_left_behind() {
    let drill = Drill::new();
    let mut running = drill.start(&up_6(&[]));
    running.until("requested");
    assert_eq!(drill.instances().len(), 4);
    running.until("verified");
    assert_eq!(drill.instances().len(), 6, "{}", running.said_so_far());
    let ended = running.end();

    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_valid(&ended.events);
    let order: Vec<String> =
        ended.kinds().into_iter().filter(|kind| !["follow_up", "escalated"].contains(&kind.as_str())).collect();
    assert_eq!(
        order,
        [
            "requested",
            "assessed",
            "prechecked",
            "scaling",
            "scaling_answered",
            "scaled",
            "verified",
            "monitored",
            "documented",
            "finished"
        ]
    );
    let finished = ended.only("finished");
    assert_eq!(finished["outcome"], "completed");
    assert_eq!((&finished["from"], &finished["to"], &finished["ended_at"]), (&4.into(), &6.into(), &6.into()));

    assert_eq!(drill.instances(), Vec::<u32>::new());
    assert_eq!(drill.world(), None);
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("compared with the log channel up to seq {}", ended.events.len())), "{said}");
    assert_eq!(drill.exported(), ended.events);
    let capacity = std::fs::read_to_string(drill.state().join("capacity.md")).unwrap();
    assert!(capacity.contains("| instances | 6 wanted, 6 ready |"), "{capacity}");
}

#[test]
fn what_ends_otherwise_says_so_by_its_exit_code() {
    let drill = Drill::new();
    let refused = drill.run(&["/scale up 4"]);
    assert_eq!(refused.code, Some(1), "{}", refused.said);
    assert_eq!(refused.kinds(), ["requested", "assessed", "prechecked", "finished"]);
    assert_eq!(refused.only("finished")["outcome"], "refused");
    assert!(refused.said.contains("The fleet has 4 already"), "{}", refused.said);
    assert_valid(&refused.events);

    let no_command = Drill::new();
    let ended = no_command.run(&["hello"]);
    assert_eq!((ended.code, ended.events.len()), (Some(1), 0), "{}", ended.said);
    assert!(ended.said.contains("/scale up 6"), "{}", ended.said);

    let flag = Drill::new();
    assert_eq!(flag.run(&["--no-such-flag"]).code, Some(2));
}

#[test]
fn a_state_in_use_is_refused_and_the_holder_named() {
    let drill = Drill::new();
    let mut first = drill.start(&up_6(&[]));
    first.until("requested");
    let second = drill.run(&["/scale up 6"]);
    assert_eq!((second.code, second.events.len()), (Some(2), 0));
    assert!(second.said.contains(&format!("process {}", first.pid())), "{}", second.said);
    kill(first.pid(), "INT");
    assert_eq!(first.end().code, Some(130));
}

#[test]
fn an_interrupted_drill_leaves_its_world_and_is_finished_by_the_next() {
    let drill = Drill::new();
    let mut first = drill.start(&up_6(&[]));
    first.until("scaled");
    kill(first.pid(), "INT");
    let interrupted = first.end();
    assert_eq!(interrupted.code, Some(130));
    assert!(interrupted.said.contains("scalebot drill --state"), "{}", interrupted.said);
    assert_eq!(drill.instances().len(), 6);

    let second = drill.run(&[]);
    assert_eq!(second.code, Some(0), "{}", second.said);
    assert_eq!(kinds(&second.events)[0], "resumed");
    let all = drill.exported();
    assert_valid(&all);
    assert_eq!(scalings_done(&all), 1);
    assert_eq!(only(&all, "finished")["outcome"], "completed");
    assert_eq!(drill.ledger("verify").0, Some(0));
    assert_eq!(drill.world(), None);
}

#[test]
fn killed_at_ten_moments_it_goes_on_where_it_was_and_scales_once() {
    // More at once would be more than two cores carry, and their figures another rehearsal's.
    for moments in [1..=5, 6..=10] {
        std::thread::scope(|scope| {
            for moment in moments {
                scope.spawn(move || killed_at(moment));
            }
        });
    }
}

fn killed_at(moment: usize) {
    let drill = Drill::new();
    let mut first = drill.start(&up_6(&[]));
    for _ in 0..moment {
        first.next_event().unwrap();
    }
    first.kill();

    let second = drill.run(&[]);
    let all = drill.exported();
    assert_valid(&all);
    assert_eq!(second.code, Some(0), "killed after event {moment}: {}", second.said);
    assert_eq!(scalings_done(&all), 1, "killed after event {moment}: {:?}", kinds(&all));
    assert_eq!(only(&all, "finished")["ended_at"], 6);
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(0), "killed after event {moment}: {said}");
    assert_eq!(drill.world(), None);
    told_once(drill.state(), all.len());
}

#[test]
fn when_the_world_dies_every_instance_ends_and_the_operation_says_that_it_failed() {
    let drill = Drill::new();
    let mut running = drill.start(&up_6(&[]));
    running.until("scaled");
    let instances = drill.instances();
    assert_eq!(instances.len(), 6);
    kill(drill.world().unwrap(), "KILL");
    for instance in instances {
        assert!(ends_within(instance, Duration::from_secs(1)), "instance {instance} outlives its world");
    }
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let finished = ended.only("finished");
    assert_eq!(finished["outcome"], "failed");
    assert!(finished["reason"].as_str().unwrap().contains("no longer exists"), "{finished}");
    assert_valid(&ended.events);
    assert_eq!(drill.ledger("verify").0, Some(0));
}

#[test]
fn an_operation_whose_world_died_while_the_bot_was_down_ends_as_failed() {
    let drill = Drill::new();
    let mut first = drill.start(&up_6(&[]));
    first.until("scaled");
    first.kill();
    kill(drill.world().unwrap(), "KILL");
    let second = drill.run(&[]);
    assert_eq!(second.code, Some(1), "{}", second.said);
    assert_eq!(only(&second.events, "finished")["outcome"], "failed");
    assert_eq!(drill.ledger("verify").0, Some(0));
}

#[tokio::test]
async fn one_whose_log_another_process_has_taken_over_stops_and_leaves_everything_as_it_is() {
    let drill = Drill::new();
    let mut first = drill.start(&up_6(&[]));
    first.until("scaled");
    // The lock keeps a second drill out, so the other process takes the log alone.
    SqliteLedger::open(&drill.state().join("ledger.db")).await.unwrap().take_over().await.unwrap();
    let fenced = first.end();
    assert_eq!(fenced.code, Some(1), "{}", fenced.said);
    assert!(fenced.said.contains("Another process has taken over, so this one stops"), "{}", fenced.said);
    assert_eq!(fenced.kinds().back().map(String::as_str), Some("scaled"));
    assert_eq!(drill.exported(), fenced.events);
    assert!(drill.world().is_some());
    assert_eq!(drill.instances().len(), 6);

    let second = drill.run(&[]);
    assert_eq!(second.code, Some(0), "{}", second.said);
    let all = drill.exported();
    assert_eq!((scalings_done(&all), &only(&all, "finished")["ended_at"]), (1, &6.into()));
    assert_eq!(drill.world(), None);
    told_once(drill.state(), all.len());
}
