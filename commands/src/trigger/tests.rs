//! Every condition at, below and above its limit, and with figures missing.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::figures::{BACKEND_BOUNDS_MS, Histogram};
use crate::policy::FreezeWindow;
use crate::ports::Instance;
use crate::reading::Absence;
use crate::request::{Request, parse};
use crate::units::Millis;

const NOW: &str = "2026-01-08T12:00:00Z";
const MEMORY: u64 = 1_000;

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn policy() -> Policy {
    let mut policy = Policy::default();
    policy.load.memory_limit_bytes = Some(MEMORY);
    policy
}

/// What every instance does.
#[derive(Clone, Copy)]
struct Each {
    /// All requests take so long.
    ms: f64,
    cpu: Option<f64>,
    memory: Option<u64>,
    busy: Option<f64>,
}

/// Neither so much that more would be needed nor so little that fewer would do.
const WELL: Each = Each { ms: 200.0, cpu: Some(0.5), memory: Some(500), busy: Some(0.6) };

/// Four instances over five minutes, ten requests a second each.
fn fleet(each: Each) -> Seen {
    let ids = ["api-1", "api-2", "api-3", "api-4"].map(InstanceId::new);
    let instance = |id: &InstanceId| Instance {
        id: id.clone(),
        address: None,
        started_at: now(),
        state: InstanceState::Ready,
        detail: None,
        restarts: 0,
    };
    let load = |id: &InstanceId| {
        let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
        for _ in 0..3_000 {
            latency.record(each.ms);
        }
        InstanceLoad {
            instance: id.clone(),
            requests: 3_000,
            errors: 0,
            latency,
            cpu: each.cpu,
            memory_bytes: each.memory,
            saturation: each.busy,
        }
    };
    Seen {
        fleet: FleetState { instances: ids.iter().map(instance).collect(), ..FleetState::unseen(Replicas(4)) },
        load: Reading::Known(Load {
            until: now(),
            window: Duration::from_mins(5).into(),
            instances: ids.iter().map(load).collect(),
            missing: vec![],
        }),
        warnings: Warnings::default(),
    }
}

fn load(seen: &mut Seen) -> &mut Load {
    match &mut seen.load {
        Reading::Known(load) => load,
        Reading::Unknown { .. } => panic!("it is known"),
    }
}

fn warning(critical: bool) -> EarlyWarning {
    EarlyWarning {
        mode: "pool exhaustion".into(),
        metric: "db_pool_in_use".into(),
        value: 14.0,
        threshold: 12.0,
        critical,
        recommended: "scale out".into(),
    }
}

fn found(policy: &Policy, seen: &Seen) -> Vec<(Trigger, u32)> {
    evaluate(policy, seen, now()).iter().map(|holds| (holds.trigger, holds.to.0)).collect()
}

#[test]
fn a_fleet_that_is_well_is_left_alone() {
    assert_eq!(found(&policy(), &fleet(WELL)), []);
}

#[test]
fn latency_holds_above_its_limit_and_suggests_what_was_measured_to_be_needed() {
    // All in one bucket from 250 to 500 ms: p99 is 497.5 ms.
    let busy = |ms| fleet(Each { ms, busy: Some(0.95), ..WELL });
    for (limit, holds) in [(497.4, true), (497.5, false), (497.6, false)] {
        let mut policy = policy();
        policy.load.p99_ms = limit;
        // 40 requests/s on four that are busy 95 %: at 75 % it takes 5.07.
        let wanted = if holds { vec![(Trigger::Latency, 6)] } else { vec![] };
        assert_eq!(found(&policy, &busy(400.0)), wanted, "limit {limit} ms");
    }
    let said = &evaluate(&policy(), &busy(700.0), now())[0];
    assert_eq!(said.because, "p99 995 ms, limit 500 ms, over 5 min");
    let Basis::Measured(capacity) = said.basis else { panic!("{said:?}") };
    assert!((capacity.load - 40.0).abs() < 1e-9 && (capacity.per_instance - 40.0 / 3.8).abs() < 1e-9, "{capacity:?}");
}

#[test]
fn cpu_and_memory_hold_above_their_limits_of_any_instance() {
    let cpu = |cpu| found(&policy(), &fleet(Each { cpu: Some(cpu), ..WELL }));
    assert_eq!([cpu(0.70), cpu(0.701)], [vec![], vec![(Trigger::Cpu, 5)]]);
    let memory = |bytes| found(&policy(), &fleet(Each { memory: Some(bytes), ..WELL }));
    assert_eq!([memory(800), memory(801)], [vec![], vec![(Trigger::Memory, 5)]]);

    let mut one = fleet(WELL);
    load(&mut one).instances[2].cpu = Some(0.95);
    let said = &evaluate(&policy(), &one, now())[0];
    assert_eq!(said.because, "CPU mean 61 %, api-3 95 %, limit 70 %, over 5 min");
    // One that is over its limit is so whatever the others do not tell.
    load(&mut one).instances[0].cpu = None;
    let said = &evaluate(&policy(), &one, now())[0];
    assert_eq!(said.because, "CPU mean 65 % of those that tell, api-3 95 %, limit 70 %, over 5 min");
}

#[test]
fn an_early_warning_of_any_instance_holds_and_the_critical_one_is_named_first() {
    let mut seen = fleet(WELL);
    seen.warnings.active = vec![warning(false), warning(true)];
    let said = &evaluate(&policy(), &seen, now())[0];
    assert_eq!((said.trigger, said.to), (Trigger::EarlyWarning, Replicas(5)));
    assert_eq!(said.because, "early warning pool exhaustion (critical): db_pool_in_use 14 beyond 12, and 1 more");
    // It needs no figures.
    seen.load = Reading::Unknown { why: "no answer".into(), absence: Absence::Unanswered };
    let said = &evaluate(&policy(), &seen, now())[0];
    assert_eq!((said.to, said.basis), (Replicas(5), Basis::OneMore));
}

#[test]
fn a_plan_holds_from_as_long_before_as_instances_may_take_to_its_end_while_there_are_fewer() {
    let mut policy = policy();
    policy.count.largest_step_percent = 200;
    policy.triggers.planned = vec![Planned {
        from: "2026-01-08T13:00:00Z".parse().unwrap(),
        until: "2026-01-08T15:00:00Z".parse().unwrap(),
        instances: Replicas(8),
        why: "the \"big\" campaign".into(),
    }];
    let at = |time: &str, wanted: u32| {
        let mut seen = fleet(WELL);
        seen.fleet.wanted = Replicas(wanted);
        let holds = evaluate(&policy, &seen, time.parse().unwrap());
        holds.iter().map(|holds| (holds.trigger, holds.to.0)).collect::<Vec<_>>()
    };
    let plan = vec![(Trigger::Planned, 8)];
    assert_eq!(at("2026-01-08T12:49:59Z", 4), []);
    assert_eq!(at("2026-01-08T12:50:00Z", 4), plan);
    assert_eq!(at("2026-01-08T14:59:59Z", 7), plan);
    assert_eq!(at("2026-01-08T15:00:00Z", 4), []);
    assert_eq!(at("2026-01-08T14:00:00Z", 8), []);
    let said = &evaluate(&policy, &fleet(WELL), "2026-01-08T13:00:00Z".parse().unwrap())[0];
    assert_eq!(
        said.because,
        "planned: 8 from 2026-01-08 13:00:00 UTC until 2026-01-08 15:00:00 UTC, the 'big' campaign"
    );
}

#[test]
fn fewer_are_suggested_only_well_within_the_limits_of_those_that_stay() {
    let idle = |each| found(&policy(), &fleet(each));
    // At most 0.675 busy, 0.63 CPU and 720 bytes for each that stays.
    let little = Each { ms: 200.0, cpu: Some(0.1), memory: Some(100), busy: Some(0.3) };
    assert_eq!(idle(little), [(Trigger::Idle, 2)]);
    assert_eq!(idle(Each { busy: Some(0.506), ..little }), [(Trigger::Idle, 3)]);
    assert_eq!(idle(Each { busy: Some(0.507), ..little }), []);
    assert_eq!(idle(Each { cpu: Some(0.472), ..little }), [(Trigger::Idle, 3)]);
    assert_eq!(idle(Each { cpu: Some(0.473), ..little }), []);
    assert_eq!(idle(Each { memory: Some(540), ..little }), [(Trigger::Idle, 3)]);
    assert_eq!(idle(Each { memory: Some(541), ..little }), []);
    // p99 is 248.5 ms: at most nine tenths of its limit.
    for (limit, fewer) in [(276.0, vec![]), (276.2, vec![(Trigger::Idle, 2)])] {
        let mut policy = policy();
        policy.load.p99_ms = limit;
        assert_eq!(found(&policy, &fleet(little)), fewer, "limit {limit} ms");
    }
    let mut failing = fleet(little);
    load(&mut failing).instances[0].errors = 121;
    assert_eq!(found(&policy(), &failing), []);
    let said = &evaluate(&policy(), &fleet(little), now())[0];
    assert_eq!(
        said.because,
        "2 would be busy 60 % (limit 75 %) and use 20 % CPU (limit 70 %); p99 248 ms, limit 500 ms, over 5 min"
    );

    let mut few = policy();
    few.count.minimum = Replicas(3);
    assert_eq!(found(&few, &fleet(little)), [(Trigger::Idle, 3)]);
    few.count.minimum = Replicas(4);
    assert_eq!(found(&few, &fleet(little)), []);
    let mut step = policy();
    step.count.largest_step_percent = 25;
    assert_eq!(found(&step, &fleet(little)), [(Trigger::Idle, 3)]);
    let mut planned = policy();
    planned.triggers.planned = vec![Planned {
        from: now(),
        until: "2026-01-08T15:00:00Z".parse().unwrap(),
        instances: Replicas(4),
        why: "campaign".into(),
    }];
    assert_eq!(found(&planned, &fleet(little)), []);
}

#[test]
fn a_suggestion_stays_within_what_one_step_may_do_and_is_not_made_where_nothing_may_be_done() {
    let overrun = fleet(Each { ms: 700.0, busy: Some(1.0), ..WELL });
    let with = |set: &dyn Fn(&mut CountLimits)| {
        let mut policy = policy();
        // So that eight would be needed.
        policy.load.busy = 0.5;
        set(&mut policy.count);
        found(&policy, &overrun)
    };
    assert_eq!(with(&|_| {}), [(Trigger::Latency, 8)]);
    assert_eq!(with(&|count| count.largest_step_percent = 50), [(Trigger::Latency, 6)]);
    assert_eq!(with(&|count| count.maximum = Some(Replicas(5))), [(Trigger::Latency, 5)]);
    assert_eq!(with(&|count| count.maximum = Some(Replicas(4))), []);
    assert_eq!(with(&|count| count.maximum = Some(Replicas(2))), []);
    // A freeze is no reason to be silent: a governance lead may lift it, and the check says so.
    let freeze = FreezeWindow { from: now(), until: Timestamp::MAX, why: "quarter".into() };
    assert_eq!(with(&|count| count.freeze = vec![freeze.clone()]), [(Trigger::Latency, 8)]);
}

#[test]
fn figures_that_do_not_cover_the_window_say_nothing() {
    let slow = Each { ms: 700.0, busy: Some(0.95), ..WELL };
    let over = |window: u64, since_change: Option<u64>| {
        let mut seen = fleet(slow);
        load(&mut seen).window = Millis(window * 1_000);
        seen.fleet.changed_at = since_change.map(|seconds| now() - Duration::from_secs(seconds));
        found(&policy(), &seen)
    };
    let holds = [(Trigger::Latency, 6)];
    assert_eq!(over(239, None), []);
    assert_eq!(over(240, None), holds);
    // Since the count last changed there is no more to look back on.
    assert_eq!(over(8, Some(10)), holds);
    assert_eq!(over(7, Some(7)), []);
    assert_eq!(over(8, Some(11)), []);
}

#[test]
fn what_is_not_measured_suggests_one_more() {
    let seen = fleet(Each { ms: 700.0, busy: None, ..WELL });
    let said = &evaluate(&policy(), &seen, now())[0];
    assert_eq!((said.to, said.basis), (Replicas(5), Basis::OneMore));
}

#[test]
fn every_suggestion_is_a_command_that_can_be_typed() {
    let mut seen = fleet(Each { ms: 700.0, busy: Some(0.95), ..WELL });
    seen.warnings.active = vec![EarlyWarning { mode: "\"\u{202e}\n".repeat(200), ..warning(true) }];
    let mut policy = policy();
    policy.triggers.planned =
        vec![Planned { from: now(), until: Timestamp::MAX, instances: Replicas(7), why: "\u{1b}[2J \"x".repeat(90) }];
    let holds = evaluate(&policy, &seen, now());
    assert_eq!(
        holds.iter().map(|holds| holds.trigger).collect::<Vec<_>>(),
        [Trigger::Latency, Trigger::Planned, Trigger::EarlyWarning]
    );
    for holds in holds {
        let command = holds.command(&TargetName::new("api"));
        let Ok(Request::Change { to, target, reason, .. }) = parse(&command) else {
            panic!("{command}: {:?}", parse(&command))
        };
        assert_eq!((to, target), (holds.to, Some(TargetName::new("api"))));
        assert!(reason.is_some());
    }
}

#[test]
fn a_condition_that_cannot_be_looked_at_has_not_ceased_to_hold() {
    let told = |seen: &Seen| {
        [Trigger::Latency, Trigger::Cpu, Trigger::Memory, Trigger::Planned, Trigger::EarlyWarning, Trigger::Idle]
            .map(|trigger| is_told(&policy(), seen, trigger, now()))
    };
    let mut seen = fleet(WELL);
    assert_eq!(told(&seen), [true; 6]);
    load(&mut seen).missing = vec![InstanceId::new("api-5")];
    assert_eq!(told(&seen), [false, false, false, true, true, true]);
    seen.load = Reading::Unknown { why: "no answer".into(), absence: Absence::Unanswered };
    seen.warnings.untold = true;
    assert_eq!(told(&seen), [false, false, false, true, false, true]);
    let no_cpu = fleet(Each { cpu: None, ..WELL });
    assert_eq!(told(&no_cpu), [true, false, true, true, true, true]);
}

#[test]
fn a_suggestion_is_another_when_the_fleet_is_or_the_count_by_more_than_a_quarter() {
    let open = |from, to| Proposed {
        proposal: "p".into(),
        target: TargetName::new("api"),
        trigger: Trigger::Latency,
        because: String::new(),
        from: Replicas(from),
        to: Replicas(to),
    };
    let mut holds = evaluate(&policy(), &fleet(Each { ms: 700.0, ..WELL }), now())[0].clone();
    for (to, other) in [(8, false), (10, false), (11, true), (6, false), (5, true)] {
        holds.to = Replicas(to);
        assert_eq!(differs(&open(4, 8), &holds), other, "8 before, {to} now");
    }
    holds.to = Replicas(8);
    assert!(differs(&open(5, 8), &holds));
}

/// What may be missing.
#[derive(Clone, Copy, Debug)]
enum Missing {
    Load,
    Instance(usize),
    Unread,
    Cpu(usize),
    NotANumber(usize),
    Memory(usize),
    Busy(usize),
    Requests,
    Buckets(usize),
    Warnings,
    NotReady(usize),
    Another,
    Window,
}

fn missing() -> impl Strategy<Value = Missing> {
    let one = 0_usize..4;
    prop_oneof![
        Just(Missing::Load),
        one.clone().prop_map(Missing::Instance),
        Just(Missing::Unread),
        one.clone().prop_map(Missing::Cpu),
        one.clone().prop_map(Missing::NotANumber),
        one.clone().prop_map(Missing::Memory),
        one.clone().prop_map(Missing::Busy),
        Just(Missing::Requests),
        one.clone().prop_map(Missing::Buckets),
        Just(Missing::Warnings),
        one.prop_map(Missing::NotReady),
        Just(Missing::Another),
        Just(Missing::Window),
    ]
}

fn take_away(seen: &mut Seen, missing: Missing) {
    match missing {
        Missing::Load => seen.load = Reading::Unknown { why: "no answer".into(), absence: Absence::NotServed },
        Missing::Instance(one) => _ = load(seen).instances.remove(one),
        Missing::Unread => load(seen).missing = vec![InstanceId::new("api-4")],
        Missing::Cpu(one) => load(seen).instances[one].cpu = None,
        Missing::NotANumber(one) => load(seen).instances[one].saturation = Some(f64::NAN),
        Missing::Memory(one) => load(seen).instances[one].memory_bytes = None,
        Missing::Busy(one) => load(seen).instances[one].saturation = None,
        Missing::Requests => {
            for one in &mut load(seen).instances {
                (one.requests, one.latency) = (0, Histogram::empty(&BACKEND_BOUNDS_MS));
            }
        }
        Missing::Buckets(one) => {
            load(seen).instances[one].latency = Histogram { counts: vec![1, 1], bounds_ms: vec![9.0], sum_ms: 9.0 };
        }
        Missing::Warnings => seen.warnings.untold = true,
        Missing::NotReady(one) => seen.fleet.instances[one].state = InstanceState::NotReady,
        Missing::Another => seen.fleet.instances[3].id = InstanceId::new("api-9"),
        Missing::Window => load(seen).window = Millis(0),
    }
}

proptest! {
    #[test]
    fn whatever_is_missing_fewer_are_not_proposed(
        gone in missing(), busy in 0.0..0.3_f64, cpu in 0.0..0.3_f64, bytes in 0_u64..300, ms in 1.0..250.0_f64
    ) {
        let idle = |seen: &Seen| found(&policy(), seen).iter().any(|(trigger, _)| *trigger == Trigger::Idle);
        let mut seen = fleet(Each { ms, cpu: Some(cpu), memory: Some(bytes), busy: Some(busy) });
        prop_assert!(idle(&seen));
        take_away(&mut seen, gone);
        prop_assert!(!idle(&seen));
    }

    #[test]
    fn no_suggestion_is_beyond_the_policy_or_the_wrong_way(
        ms in 1.0..3_000.0_f64, busy in proptest::option::of(0.0..1.5_f64), cpu in 0.0..1.5_f64, bytes in 0_u64..1_500,
        minimum in 1_u32..6, maximum in proptest::option::of(1_u32..12), percent in 0_u32..300, warned in any::<bool>()
    ) {
        let mut policy = policy();
        policy.count.minimum = Replicas(minimum);
        policy.count.maximum = maximum.map(Replicas);
        policy.count.largest_step_percent = percent;
        let mut seen = fleet(Each { ms, cpu: Some(cpu), memory: Some(bytes), busy });
        seen.warnings.active = if warned { vec![warning(false)] } else { vec![] };
        for holds in evaluate(&policy, &seen, now()) {
            let (from, to) = (holds.from.0, holds.to.0);
            let right_way = if holds.trigger == Trigger::Idle { to < from && to >= minimum } else { to > from };
            prop_assert!(right_way, "{holds:?}");
            prop_assert!(to < from || maximum.is_none_or(|maximum| to <= maximum));
            prop_assert!(u64::from(from.abs_diff(to)) * 100 <= u64::from(from) * u64::from(percent));
        }
    }
}
