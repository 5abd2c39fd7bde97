//! What is counted of whole operations on a stage, by a clock that stands where each event says.

use futures::future::BoxFuture;
use scalebot_commands::event::{Claim, Draft, Hash};
use scalebot_commands::ports::PortError;
use scalebot_commands::units::{Epoch, Timestamp};

use super::*;
use crate::testing::{Stage, unreachable};

/// The moment of the event at hand.
#[derive(Default)]
struct Moment(Mutex<Timestamp>);

impl World for Moment {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap()
    }
    fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now().as_millisecond()).unwrap())
    }
    fn sleep(&self, _: Duration) -> BoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }
    fn unique_id(&self) -> String {
        String::new()
    }
    fn random(&self) -> u64 {
        0
    }
}

fn seen(events: &[Event]) -> Counted {
    let moment = Arc::new(Moment::default());
    let observed = Observed::new(Arc::clone(&moment) as _);
    for event in events {
        *moment.0.lock().unwrap() = event.time().unwrap();
        observed.see(event);
    }
    observed.counted()
}

async fn played(stage: &Stage, command: &str) -> Vec<Event> {
    stage.play(command).await;
    stage.script().events.clone()
}

/// An event of one operation, so many seconds after its beginning.
fn event(seq: u64, seconds: i64, kind: Kind) -> Event {
    let at = Timestamp::from_second(1_767_841_920 + seconds).unwrap();
    let operation = Some(OperationId::new("op-000001"));
    let draft = Draft { operation, op_seq: seq, epoch: Epoch(1), at, kind, body: "{}".into(), claim: Claim::Keep };
    Event::place(&draft, seq, Hash::GENESIS)
}

fn took(counted: &Counted, step: &str) -> (u64, f64) {
    (counted.steps[step].count, counted.steps[step].sum)
}

#[tokio::test]
async fn a_scaling_is_counted_by_its_checks_its_steps_and_its_end() {
    let events = played(&Stage::new(), "/scale up 6 reason:\"campaign\"").await;
    let counted = seen(&events);
    assert_eq!(counted.appended, events.len() as u64);
    assert_eq!((counted.ended["completed"], counted.ended["failed"]), (1, 0));
    assert_eq!(counted.checks[&("halt_state", "pass")], 1);
    assert_eq!(counted.checks[&("latency", "fail")], 1, "it is a reason to scale");
    for step in ["assess", "precheck", "scale", "wait_until_ready", "verify", "monitor", "document"] {
        assert_eq!(took(&counted, step).0, 1, "{step}");
    }
    let (_, watched) = took(&counted, "monitor");
    assert!((60.0..90.0).contains(&watched), "a rehearsal watches for a minute, and not {watched} s");
    assert_eq!(took(&counted, "approve").0, 0);
}

#[tokio::test]
async fn every_check_of_every_direction_has_a_label_of_its_own() {
    let away = |stage: &mut crate::testing::Script| {
        stage.halt = [unreachable("the halt table"), unreachable("the halt signals")];
        stage.complexity = Err(PortError::NotServed { what: "the dashboard".into(), detail: "404".into() });
    };
    for command in ["/scale up 6 reason:\"campaign\"", "/scale down 2 reason:\"night\""] {
        let counted = seen(&played(&Stage::with(away), command).await);
        let of =
            |check: &str| counted.checks.iter().filter(|((name, _), _)| *name == check).map(|(_, count)| count).sum();
        let other: u64 = of(OTHER);
        assert_eq!(other, 0, "{command}");
        let halt: u64 = of("halt_state");
        assert!(halt > 0 && counted.checks[&("halt_state", "unknown")] == halt, "{command}");
    }
}

#[test]
fn a_vote_does_not_begin_the_wait_for_a_decision_anew() {
    let counted = seen(&[
        event(1, 0, Kind::ApprovalRequested),
        event(2, 200, Kind::VoteCast),
        event(3, 210, Kind::VoteWithdrawn),
        event(4, 240, Kind::Rejected),
    ]);
    assert_eq!(took(&counted, "approve"), (1, 240.0));
    assert_eq!((counted.approvals["rejected"], counted.approvals["approved"]), (1, 0));
}

#[test]
fn a_step_that_another_process_began_is_not_timed() {
    let counted = seen(&[event(7, 0, Kind::Resumed), event(8, 30, Kind::Monitored), event(9, 31, Kind::Documented)]);
    assert_eq!(took(&counted, "monitor"), (0, 0.0));
    assert_eq!(took(&counted, "document"), (1, 1.0));
}

#[test]
fn what_a_later_version_calls_otherwise_is_counted_and_bounded() {
    let mut event = event(1, 0, Kind::Prechecked);
    event.body =
        r#"{"checks":[{"name":"moon phase","status":"fail","more":1},{"name":"op-1","status":"fail"}]}"#.into();
    let counted = seen(&[event]);
    assert_eq!(counted.checks[&(OTHER, "fail")], 2);
    assert_eq!(counted.checks.len(), (CHECKS.len() + 1) * STATUSES.len());
}

/// Whoever adds a kind decides whether it ends a step, is told beside one, or begins one.
#[test]
fn no_kind_both_ends_a_step_and_is_told_beside_one() {
    for (kind, step) in STEPS {
        assert!(!BESIDE.contains(&kind), "{kind} of {step}");
    }
}
