//! The program is exchanged for another version while an operation is under way. `tests/golden` holds whole operations as
//! each release wrote them; here the version at hand takes each up after every single event.
//!
//! Once for each release, `SCALEBOT_WRITE_GOLDEN=1 cargo test -p scalebot --lib upgrade` writes those of the version at
//! hand. Those of earlier ones are never written again: they are what installations hold.

mod golden;
mod newer;
mod tampered;

use scalebot_commands::event::{Hash, Proof};
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::Replicas;

use self::golden::{Golden, Order, Story};
use super::*;

/// The version at hand.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long the exchange takes.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_hours(2);

/// The stage as the operation left it, and the log as the other version wrote it. What was announced last and has no
/// answer is done or not.
fn left(story: &Story, log: &[Event], last_is_done: bool, since: Duration) -> Stage {
    let stage = Stage::with(story.set_up);
    stage.holds(log, since);
    let orders = golden::orders(log, last_is_done);
    for (by, order) in orders {
        let mut script = stage.script();
        match order {
            Order::Count(to) => script.set_count(to, &by),
            Order::End(instances, to) => script.end(&instances, to, &by),
            Order::Route(instance, receives) => script.route(&instance, receives),
        }
    }
    assert_eq!(stage.script().ordered_again, [""; 0], "{}: the release itself ordered it twice", story.name);
    stage
}

/// Who is there, what count is wanted, and who is out of the balancer.
fn fleet(stage: &Stage) -> (Vec<String>, Replicas, Vec<String>) {
    let script = stage.script();
    let fleet = script.fleet.as_ref().unwrap();
    let names = fleet.instances.iter().map(|one| one.id.to_string()).collect();
    (names, fleet.wanted, script.drained.iter().map(ToString::to_string).collect())
}

/// The log is one chain, in every operation each event in its place.
fn assert_whole(stage: &Stage, case: &str) {
    let script = stage.script();
    let mut proof = Proof::default();
    for (at, event) in script.events.iter().enumerate() {
        proof.take(event).unwrap_or_else(|broken| panic!("{case}: {broken}"));
        let before = script.events[..at].iter().filter(|one| one.operation == event.operation).count() as u64;
        assert_eq!(event.op_seq, before + 1, "{case}: event {}", event.seq);
    }
}

/// Gives every event its place in the chain again.
fn sealed(mut log: Vec<Event>) -> Vec<Event> {
    let mut prev = Hash::GENESIS;
    for event in &mut log {
        event.prev = prev;
        event.hash = event.computed_hash();
        prev = event.hash;
    }
    log
}

/// Whether nothing but the log and what people see was touched.
fn assert_untouched(stage: &Stage, case: &str) {
    let script = stage.script();
    let only = |what: &&&str| !["append", "show"].contains(*what);
    let touched: Vec<_> = script.touched.iter().filter(only).collect();
    assert!(touched.is_empty(), "{case}: {touched:?} was touched");
}

/// Frees the fleet by hand and asks for something else.
async fn assert_abandoned_it_is_free(stage: &Stage, story: &Story, case: &str) {
    let before = stage.script().events.clone();
    let ended = stage.abandon("it is of another version").await;
    assert!(ended.reason.contains("Abandoned by host:dana: it is of another version"), "{case}: {}", ended.reason);
    assert_eq!(stage.claims(), [], "{case}: the fleet is still held");
    assert_eq!(stage.script().events[..before.len()], before, "{case}: something is lost");
    assert_whole(stage, case);
    let taken = stage.take("/scale up 9 reason:\"noon\"", &(story.policy)()).await;
    assert!(matches!(taken, scalebot_commands::desk::Received::Opened(_)), "{case}: {taken:?}");
}

/// The version at hand takes it up: goes on to an end, or parks with a reason. Whether it went on.
async fn taken_up(golden: &Golden, length: usize, last_is_done: bool, since: Duration) -> bool {
    let Golden { release, story, log } = golden;
    let case = format!("{} of {release}, cut after event {length}, last done: {last_is_done}, {since:?}", story.name);
    let stage = left(story, &log[..length], last_is_done, since);
    if stage.claims().is_empty() {
        // Nothing is under way there; whatever is asked next finds the fleet free.
        let taken = stage.take("/scale up 9 reason:\"noon\"", &(story.policy)()).await;
        assert!(matches!(taken, scalebot_commands::desk::Received::Opened(_)), "{case}: {taken:?}");
        return true;
    }
    let ended = stage.take_up(&(story.policy)()).await;
    assert_eq!(stage.script().events[..length], log[..length], "{case}: something is lost");
    assert_eq!(stage.script().ordered_again, [""; 0], "{case}: an effect was repeated");
    assert_whole(&stage, &case);
    match ended {
        Ended::Finished(finished) => {
            assert_eq!(stage.claims(), [], "{case}: it ended and still holds the fleet");
            assert!(!finished.reason.is_empty(), "{case}: it does not say why it ended");
            if since == SHORT && story.ends_alike {
                let whole = left(story, log, false, since);
                let as_ever = super::last(&whole, "finished")["outcome"].clone();
                assert_eq!(super::last(&stage, "finished")["outcome"], as_ever, "{case}: {}", finished.reason);
                assert_eq!(fleet(&stage), fleet(&whole), "{case}: {}", finished.reason);
            }
            true
        }
        Ended::Parked(reason) => {
            assert!(reason.contains("event ") || reason.contains("version"), "{case}: {reason}");
            assert!(!reason.contains("fault of the program"), "{case}: {reason}");
            assert_abandoned_it_is_free(&stage, story, &case).await;
            false
        }
        Ended::Fenced(why) => panic!("{case}: {why}"),
    }
}

#[tokio::test]
async fn every_operation_of_every_release_is_taken_up_after_every_event() {
    golden::write_where_asked().await;
    let all = golden::all();
    assert!(all.iter().any(|golden| golden.release == VERSION), "{VERSION} has none: see how they are written");
    for golden in &all {
        let mut parked = Vec::new();
        for length in 1..=golden.log.len() {
            for last_is_done in [false, true] {
                for since in [SHORT, LONG] {
                    if !taken_up(golden, length, last_is_done, since).await {
                        parked.push(length);
                    }
                }
            }
        }
        let Golden { release, story, .. } = golden;
        // A change that the version at hand cannot read back needs a new version of what it changed.
        assert!(release != VERSION || parked.is_empty(), "{} of {release} parks after {parked:?}", story.name);
    }
}

#[test]
fn a_release_has_an_operation_of_each_kind_and_its_log_holds() {
    for golden in golden::all() {
        let case = format!("{} of {}", golden.story.name, golden.release);
        let stage = Stage::with(golden.story.set_up);
        stage.holds(&golden.log, SHORT);
        assert_whole(&stage, &case);
        let kinds: Vec<&str> = golden.log.iter().map(|event| event.kind.as_str()).collect();
        for kind in golden.story.holds {
            assert!(kinds.contains(kind), "{case} is to hold {kind}: {kinds:?}");
        }
    }
}
