//! The rules of escalation over made-up logs, and over random ones with a clock that may jump.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use proptest::prelude::*;

use super::*;
use crate::event::{Claim, Draft, Hash};
use crate::policy::Policy;
use crate::units::Epoch;

const START: &str = "2026-01-08T03:00:00Z";

/// The two clocks, each moved by hand: seconds since the start.
#[derive(Default)]
struct Clocks(Mutex<(i64, u64)>);

impl Clocks {
    fn pass(&self, seconds: u64) {
        let mut clocks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clocks.0 += i64::try_from(seconds).unwrap();
        clocks.1 += seconds;
    }

    fn jump(&self, seconds: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0 += seconds;
    }

    fn seconds(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

impl World for Clocks {
    fn now(&self) -> Timestamp {
        let start: Timestamp = START.parse().unwrap();
        start + jiff::SignedDuration::from_secs(self.0.lock().unwrap_or_else(PoisonError::into_inner).0)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.seconds())
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        self.pass(length.as_secs());
        std::future::ready(()).boxed()
    }

    fn unique_id(&self) -> String {
        "id".to_owned()
    }

    fn random(&self) -> u64 {
        4
    }
}

/// A log that is written by hand.
#[derive(Default)]
struct Log(Vec<Event>);

impl Log {
    fn write(&mut self, clocks: &Clocks, operation: Option<&str>, kind: Kind, body: String) -> u64 {
        let draft = Draft {
            operation: operation.map(OperationId::new),
            op_seq: u64::from(operation.is_some()),
            epoch: Epoch(1),
            at: clocks.now(),
            kind,
            body,
            claim: Claim::Keep,
        };
        let (seq, prev) = self.0.last().map_or((0, Hash::GENESIS), |event| (event.seq, event.hash));
        self.0.push(Event::place(&draft, seq + 1, prev));
        seq + 1
    }

    fn raise(&mut self, clocks: &Clocks, severity: Severity) -> u64 {
        let (condition, to) = match severity {
            Severity::Critical => ("consistency", "system_architect"),
            Severity::High => ("infrastructure_limits", "infrastructure_team"),
            Severity::Medium => ("not_improving", "system_architect"),
        };
        let severity = serde_json::to_string(&severity).unwrap();
        let body = format!(
            r#"{{"step":"escalate","v":1,"condition":"{condition}","to":"{to}","severity":{severity},"acknowledge_within":0,"because":"it is so"}}"#
        );
        self.write(clocks, Some("op-1"), Kind::Escalated, body)
    }

    fn say_again(&mut self, clocks: &Clocks, hop: &Reescalated) -> u64 {
        self.write(clocks, None, Kind::Reescalated, serde_json::to_string(hop).unwrap())
    }

    fn acknowledge(&mut self, clocks: &Clocks, escalation: u64) -> u64 {
        let body = Acknowledged { escalation, operation: OperationId::new("op-1"), by: Person::new("architect") };
        self.write(clocks, None, Kind::Acknowledged, serde_json::to_string(&body).unwrap())
    }

    fn open(&self) -> Vec<Open> {
        open(&self.0)
    }
}

fn rules() -> EscalationRules {
    let next = vec![(Role::InfrastructureTeam, Role::SystemArchitect), (Role::SystemArchitect, Role::GovernanceLead)];
    EscalationRules { next, ..Policy::default().escalation }
}

/// Says everything that is due, as the loop does; what was said.
fn tick(log: &mut Log, watch: &mut Watch, clocks: &Clocks, rules: &EscalationRules) -> Vec<Reescalated> {
    let said: Vec<Reescalated> = watch.due(clocks, rules, &log.open()).iter().map(|open| open.again(rules)).collect();
    for hop in &said {
        log.say_again(clocks, hop);
    }
    watch.see(clocks, rules, &log.open());
    said
}

fn told(said: &[Reescalated]) -> Vec<(u32, Role)> {
    said.iter().map(|hop| (hop.hop, hop.to)).collect()
}

#[test]
fn what_is_high_goes_to_the_next_role_every_quarter_of_an_hour_and_stays_with_the_last() {
    let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::default());
    log.raise(&clocks, Severity::High);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), []);
    clocks.pass(899);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), []);
    clocks.pass(1);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [(2, Role::SystemArchitect)]);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), []);
    clocks.pass(900);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [(3, Role::GovernanceLead)]);
    clocks.pass(900);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [(4, Role::GovernanceLead)]);
    let open = log.open();
    assert_eq!(open[0].told, [Role::InfrastructureTeam, Role::SystemArchitect, Role::GovernanceLead]);
    assert_eq!(open[0].since, START.parse().unwrap());
}

#[test]
fn what_is_medium_has_an_hour_and_what_is_critical_is_said_again_to_the_same_role() {
    let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::default());
    log.raise(&clocks, Severity::Medium);
    log.raise(&clocks, Severity::Critical);
    let mut said = Vec::new();
    for _ in 0..4 {
        tick(&mut log, &mut watch, &clocks, &rules());
        clocks.pass(900);
        said.push(told(&tick(&mut log, &mut watch, &clocks, &rules())));
    }
    let critical = |hop| (hop, Role::SystemArchitect);
    assert_eq!(
        said,
        [vec![critical(2)], vec![critical(3)], vec![critical(4)], vec![(2, Role::GovernanceLead), critical(5)]]
    );
}

#[test]
fn without_a_next_role_the_same_is_told_again() {
    let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::default());
    let rules = EscalationRules { next: vec![], ..rules() };
    log.raise(&clocks, Severity::High);
    clocks.pass(900);
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules)), [(2, Role::InfrastructureTeam)]);
}

#[test]
fn after_a_restart_what_is_due_is_said_once_however_long_it_was_down() {
    let (clocks, mut log) = (Clocks::default(), Log::default());
    log.raise(&clocks, Severity::High);
    clocks.pass(10 * 3600);
    let mut watch = Watch::default();
    assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [(2, Role::SystemArchitect)]);
    assert_eq!(told(&tick(&mut log, &mut Watch::default(), &clocks, &rules())), []);
}

#[test]
fn a_number_is_needed_only_where_several_are_open() {
    let (clocks, mut log) = (Clocks::default(), Log::default());
    assert_eq!(meant(&log.open(), None), Meant::Nothing);
    assert_eq!(meant(&log.open(), Some(3)), Meant::NotOpen(3));
    let first = log.raise(&clocks, Severity::High);
    let open = log.open();
    assert_eq!(meant(&open, None), Meant::One(&open[0]));
    let second = log.raise(&clocks, Severity::Critical);
    let open = log.open();
    assert_eq!(meant(&open, None), Meant::Several);
    assert_eq!(meant(&open, Some(second)), Meant::One(&open[1]));
    log.acknowledge(&clocks, first);
    let open = log.open();
    assert_eq!((meant(&open, Some(first)), open[0].escalation), (Meant::NotOpen(first), second));
}

/// What may happen, in any order.
#[derive(Clone, Debug)]
enum Step {
    Raise(Severity),
    Acknowledge(proptest::sample::Index),
    Pass(u64),
    /// The wall clock jumps while the process lives.
    Jump(i64),
    /// The process is down for a while.
    Restart(u64),
    /// The wall clock jumps while the process is down.
    RestartWithJump(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let severity = prop_oneof![Just(Severity::Critical), Just(Severity::High), Just(Severity::Medium)];
    prop_oneof![
        2 => severity.prop_map(Step::Raise),
        1 => any::<proptest::sample::Index>().prop_map(Step::Acknowledge),
        6 => (1_u64..5_000).prop_map(Step::Pass),
        1 => (-100_000_i64..100_000).prop_map(Step::Jump),
        1 => (0_u64..20_000).prop_map(Step::Restart),
        1 => (-100_000_i64..100_000).prop_map(Step::RestartWithJump),
    ]
}

proptest! {
    #[test]
    fn nothing_is_said_too_soon_or_twice_or_after_it_was_acknowledged_and_nothing_due_is_left_unsaid(
        steps in proptest::collection::vec(step(), 1..60)
    ) {
        let rules = rules();
        let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::default());
        // By the monotonic clock: when each was last said or, where the wall clock was moved while nobody counted, when
        // counting began anew; and whether that happened since.
        let mut last: BTreeMap<u64, (u64, u32)> = BTreeMap::new();
        let mut moved = false;
        for step in steps {
            match step {
                Step::Raise(severity) => {
                    last.insert(log.raise(&clocks, severity), (clocks.seconds(), 1));
                }
                Step::Acknowledge(which) => {
                    let open = log.open();
                    if !open.is_empty() {
                        let one = which.get(&open).escalation;
                        log.acknowledge(&clocks, one);
                        last.remove(&one);
                    }
                }
                Step::Pass(seconds) => clocks.pass(seconds),
                Step::Jump(seconds) => clocks.jump(seconds),
                Step::Restart(down) => {
                    clocks.pass(down);
                    watch = Watch::default();
                }
                Step::RestartWithJump(seconds) => {
                    clocks.jump(seconds);
                    watch = Watch::default();
                    moved = true;
                }
            }
            // A jump before a restart is told by nothing but the wall clock, as one during it.
            moved |= matches!(step, Step::Jump(_));
            let said = tick(&mut log, &mut watch, &clocks, &rules);
            let open = log.open();
            for hop in &said {
                let known = last.get_mut(&hop.escalation);
                prop_assert!(known.is_some(), "{hop:?} was acknowledged");
                let Some((at, count)) = known else { continue };
                prop_assert_eq!(hop.hop, *count + 1);
                let one = open.iter().find(|one| one.escalation == hop.escalation);
                let interval = one.map(|one| one.interval(&rules).as_secs()).unwrap_or_default();
                let since = clocks.seconds() - *at;
                prop_assert!(moved || since >= interval, "{hop:?} after {since} s");
                (*at, *count) = (clocks.seconds(), hop.hop);
            }
            prop_assert_eq!(open.len(), last.len());
            for one in &open {
                let (at, _) = last[&one.escalation];
                let waited = clocks.seconds() - at;
                prop_assert!(moved || waited < one.interval(&rules).as_secs(), "{one:?} is left unsaid for {waited} s");
            }
            // Said once, it is not due again at once, whatever the clocks did.
            prop_assert_eq!(tick(&mut log, &mut watch, &clocks, &rules), vec![]);
            prop_assert!(watch.next(&clocks).is_none_or(|next| next <= rules.medium));
        }
    }

    #[test]
    fn while_the_process_lives_a_wall_clock_that_jumps_changes_nothing(
        jumps in proptest::collection::vec((-100_000_i64..100_000, 1_u64..400), 1..40)
    ) {
        let rules = rules();
        let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::default());
        log.raise(&clocks, Severity::Critical);
        watch.see(&clocks, &rules, &log.open());
        let mut last = 0;
        for (jump, seconds) in jumps {
            clocks.jump(jump);
            clocks.pass(seconds);
            let said = tick(&mut log, &mut watch, &clocks, &rules).len();
            let due = clocks.seconds() - last >= 900;
            prop_assert_eq!(said, usize::from(due), "{} s after it was last said", clocks.seconds() - last);
            if due {
                last = clocks.seconds();
            }
        }
    }
}

#[test]
fn what_this_process_said_is_due_in_time_wherever_the_wall_clock_was_set_to_before_it_saw_it() {
    for jump in [-7200, 7200] {
        let (clocks, mut log, mut watch) = (Clocks::default(), Log::default(), Watch::of(Epoch(1)));
        log.raise(&clocks, Severity::High);
        clocks.jump(jump);
        assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [], "{jump}");
        clocks.pass(15 * 60 - 1);
        assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [], "{jump}");
        clocks.pass(1);
        assert_eq!(told(&tick(&mut log, &mut watch, &clocks, &rules())), [(2, Role::SystemArchitect)], "{jump}");
    }
}
