//! The rules, one by one. A fleet here is made of instances that all do the same, unless a test says otherwise.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad};
use crate::policy::Policy;
use crate::units::Millis;

const START: &str = "2026-01-08T03:00:00Z";
const QUARTER: Duration = Duration::from_mins(15);

fn id(name: &str) -> InstanceId {
    InstanceId::new(name)
}

/// So many requests, most of them around 150 ms, one in two hundred 700 ms; all that many times as slow.
fn latency(requests: u64, times: f64) -> Histogram {
    let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
    for n in 0..requests {
        latency.record(times * [40.0, 120.0, 130.0, 150.0, 180.0, 200.0, 220.0, 280.0][n as usize % 8]);
    }
    for _ in 0..requests / 200 {
        latency.record(times * 700.0);
    }
    latency
}

fn instance(name: &str, requests: u64, errors: u64, times: f64) -> InstanceLoad {
    let latency = latency(requests, times);
    let requests = latency.total();
    InstanceLoad { instance: id(name), requests, errors, latency, cpu: None, memory_bytes: None, saturation: None }
}

/// Everything a verdict rests on, owned, so that a test can change one thing.
#[derive(Clone, Debug)]
struct Scene {
    direction: Direction,
    before: Option<Load>,
    samples: Vec<Load>,
    newcomers: Vec<InstanceId>,
    window: Duration,
    policy: Policy,
    consistency: Consistency,
}

impl Scene {
    /// Two old instances and two new ones, all alike, watched for that long without a gap.
    fn watched_for(window: Duration) -> Self {
        let policy = Policy::rehearsal(window);
        let interval = policy.time.sample_interval();
        let since: Timestamp = START.parse().unwrap();
        let count = (window.as_secs_f64() / interval.as_secs_f64()).round() as u32;
        let all = || ["old-1", "old-2", "new-1", "new-2"].map(|name| instance(name, 200, 0, 1.0)).to_vec();
        let samples = (1..=count)
            .map(|n| Load { until: since + interval * n, window: interval.into(), instances: all(), missing: vec![] })
            .collect();
        let before = ["old-1", "old-2"].map(|name| instance(name, 4_000, 0, 1.0)).to_vec();
        Self {
            direction: Direction::Up,
            before: Some(Load { until: since, window: Millis(300_000), instances: before, missing: vec![] }),
            samples,
            newcomers: vec![id("new-1"), id("new-2")],
            window,
            policy,
            consistency: Consistency::Consistent,
        }
    }

    fn alike() -> Self {
        Self::watched_for(QUARTER)
    }

    fn down() -> Self {
        Self { direction: Direction::Down, newcomers: vec![], ..Self::alike() }
    }

    /// Changes each reading of the instances whose name begins so, in the samples from..to (by their share of the window).
    fn during(mut self, from: f64, to: f64, name: &str, change: impl Fn(&mut InstanceLoad)) -> Self {
        let count = self.samples.len() as f64;
        for (n, sample) in self.samples.iter_mut().enumerate() {
            if (from..to).contains(&(n as f64 / count)) {
                sample.instances.iter_mut().filter(|load| load.instance.as_str().starts_with(name)).for_each(&change);
            }
        }
        self
    }

    fn with(self, name: &str, change: impl Fn(&mut InstanceLoad)) -> Self {
        self.during(0.0, 1.0, name, change)
    }

    fn before(mut self, change: impl Fn(&mut InstanceLoad)) -> Self {
        self.before.as_mut().unwrap().instances.iter_mut().for_each(change);
        self
    }

    fn missing(mut self, from: f64, to: f64, name: &str) -> Self {
        let count = self.samples.len() as f64;
        for (n, sample) in self.samples.iter_mut().enumerate() {
            if (from..to).contains(&(n as f64 / count)) {
                sample.instances.retain(|load| load.instance.as_str() != name);
                sample.missing.push(id(name));
            }
        }
        self
    }

    fn judged(&self) -> Judgement {
        judge(&Evidence {
            direction: self.direction,
            before: self.before.as_ref(),
            since: START.parse().unwrap(),
            samples: &self.samples,
            newcomers: &self.newcomers,
            window: self.window,
            warm_up: self.policy.time.warm_up(),
            limits: &self.policy.load,
            consistency: &self.consistency,
        })
    }

    fn verdict(&self) -> Verdict {
        self.judged().verdict
    }
}

fn slower(times: f64) -> impl Fn(&mut InstanceLoad) {
    move |load| load.latency = latency(200, times)
}

fn failing(errors: u64) -> impl Fn(&mut InstanceLoad) {
    move |load| load.errors = errors
}

fn idle(load: &mut InstanceLoad) {
    (load.requests, load.errors) = (0, 0);
    load.latency = Histogram::empty(&BACKEND_BOUNDS_MS);
}

fn said(judged: &Judgement) -> String {
    judged.reasons.first().map(ToString::to_string).unwrap_or_default()
}

// ---- the same, better, worse

#[test]
fn a_fleet_that_is_as_it_was_is_stable() {
    let judged = Scene::alike().judged();
    assert_eq!(judged.verdict, Verdict::Stable);
    assert!(judged.culprits.is_empty());
    assert!((judged.observed_share - 1.0).abs() < 1e-9);
    assert!(judged.reasons.iter().all(|reason| reason.finding == Finding::Good), "{:?}", judged.reasons);
    // Fifty-six samples of four times 201 requests are left after the warm-up.
    assert_eq!(judged.fleet.requests, 56 * 4 * 201);
    assert!((judged.fleet.requests_per_second.unwrap() - 4.0 * 201.0 / 15.0).abs() < 1e-9);
}

#[test]
fn a_fleet_that_was_over_its_limit_and_no_longer_is_has_improved() {
    let judged = Scene::alike().before(|load| load.latency = latency(4_000, 3.0)).judged();
    assert_eq!(judged.verdict, Verdict::Improved);
    assert_eq!(said(&judged), "p99 latency 490 ms, before 995 ms, more than chance explains (56 samples).");
}

#[test]
fn a_p99_better_by_less_than_a_tenth_or_by_chance_is_stable() {
    assert_eq!(Scene::alike().before(|load| load.latency = latency(4_000, 1.02)).verdict(), Verdict::Stable);
    // A hundred requests in all, one more of them slow: that may be chance.
    let few = Scene::alike().before(|load| {
        load.latency = latency(60, 1.0);
        load.latency.record(700.0);
        load.requests = load.latency.total();
    });
    let judged = few.judged();
    assert_eq!(judged.verdict, Verdict::Stable, "{:?}", judged.reasons);
}

#[test]
fn errors_over_the_limit_before_and_gone_now_are_an_improvement() {
    assert_eq!(Scene::alike().before(failing(200)).verdict(), Verdict::Improved);
    assert_eq!(Scene::alike().before(failing(30)).verdict(), Verdict::Stable);
}

#[test]
fn a_cpu_that_was_over_its_limit_must_come_down_and_must_be_known() {
    let busy = Scene::alike().before(|load| load.cpu = Some(0.9));
    assert_eq!(busy.clone().with("", |load| load.cpu = Some(0.5)).verdict(), Verdict::Improved);
    assert_eq!(busy.clone().with("", |load| load.cpu = Some(0.8)).verdict(), Verdict::NotImproved);
    assert_eq!(busy.verdict(), Verdict::Inconclusive);
}

#[test]
fn memory_is_held_against_what_an_instance_may_use() {
    let full = |bytes: u64| move |load: &mut InstanceLoad| load.memory_bytes = Some(bytes << 20);
    assert_eq!(Scene::alike().with("", full(100)).verdict(), Verdict::Stable);
    assert_eq!(Scene::alike().with("", full(250)).verdict(), Verdict::NotImproved);
    assert_eq!(Scene::alike().before(full(250)).with("", full(100)).verdict(), Verdict::Improved);
}

#[test]
fn over_a_limit_while_new_and_old_are_alike_is_not_improved_and_nobody_s_fault() {
    let judged = Scene::alike().with("", slower(3.0)).judged();
    assert_eq!(judged.verdict, Verdict::NotImproved);
    assert!(judged.culprits.is_empty());
    assert_eq!(said(&judged), "p99 latency 995 ms, limit 500 ms (56 samples).");
    assert_eq!(Scene::alike().with("", failing(4)).verdict(), Verdict::NotImproved);
}

#[test]
fn worse_than_before_within_the_limits_is_not_improved() {
    let judged = Scene::alike().before(|load| load.latency = latency(4_000, 0.5)).judged();
    assert_eq!(judged.verdict, Verdict::NotImproved);
    assert_eq!(judged.reasons[0].statistic, Statistic::P99Before);
}

#[test]
fn without_figures_from_before_no_worse_would_be_a_guess() {
    let mut scene = Scene::alike();
    scene.before = None;
    assert_eq!(scene.verdict(), Verdict::Inconclusive);
    assert_eq!(Scene::alike().before(idle).verdict(), Verdict::Inconclusive);
}

// ---- the new instances as the cause

#[test]
fn new_instances_that_are_half_slower_are_the_cause_even_within_the_limits() {
    let judged = Scene::alike().with("new", slower(1.5)).judged();
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert_eq!(judged.culprits, [id("new-1"), id("new-2")]);
    assert_eq!(
        said(&judged),
        "Mean latency of the new instances (new-1 and new-2) was 251 ms, of the others at the same time 168 ms, \
         more than chance explains (56 samples)."
    );
}

#[test]
fn a_difference_of_a_twentieth_does_not_matter_however_certain_it_is() {
    let judged = Scene::alike().with("new", slower(1.05)).judged();
    assert_eq!(judged.verdict, Verdict::Stable, "{:?}", judged.reasons);
}

#[test]
fn old_instances_that_are_slower_than_the_new_ones_are_no_regression() {
    assert_eq!(Scene::alike().with("old", slower(1.5)).verdict(), Verdict::Stable);
}

#[test]
fn all_getting_slower_at_the_same_time_is_not_the_new_ones_doing() {
    let scene = Scene::alike().during(0.3, 0.7, "", slower(2.0)).during(0.7, 1.0, "", slower(1.4));
    assert_ne!(scene.verdict(), Verdict::Regressed);
}

#[test]
fn one_bad_new_instance_among_good_ones_is_found_and_named() {
    let judged = Scene::alike().with("new-2", slower(2.0)).judged();
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert_eq!(judged.culprits, [id("new-2")]);
}

#[test]
fn slow_during_the_warm_up_is_left_out() {
    // Four of sixty samples are the warm-up: the fifth counts.
    assert_eq!(Scene::alike().during(0.0, 0.066, "new", slower(10.0)).verdict(), Verdict::Stable);
    let judged = Scene::alike().during(0.0, 0.066, "new", failing(200)).judged();
    assert_eq!(judged.fleet.error_share, Some(0.0));
    let judged = Scene::alike().during(0.0, 0.08, "new", failing(200)).judged();
    assert!(judged.fleet.error_share > Some(0.0));
}

#[test]
fn errors_of_the_new_instances_are_the_cause_and_the_same_of_all_are_not() {
    let judged = Scene::alike().with("new", failing(6)).judged();
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert_eq!(judged.culprits, [id("new-1"), id("new-2")]);
    assert_eq!(
        said(&judged),
        "2.99 % of the requests failed on the new instances (new-1 and new-2), 0 % on the others at the same time, \
         more than chance explains (56 samples)."
    );
    assert_eq!(Scene::alike().with("", failing(6)).verdict(), Verdict::NotImproved);
}

#[test]
fn fewer_errors_than_a_percentage_point_more_do_not_matter() {
    let some = |load: &mut InstanceLoad| load.errors = 1;
    assert_eq!(Scene::alike().with("new", some).verdict(), Verdict::Stable);
}

#[test]
fn a_burst_of_errors_in_a_third_of_the_time_is_found() {
    let judged = Scene::alike().during(0.4, 0.6, "new-1", failing(6)).judged();
    assert_eq!(judged.verdict, Verdict::Regressed, "{:?}", judged.reasons);
    assert_eq!(judged.culprits, [id("new-1")]);
    assert!(said(&judged).contains("a burst, in a third of the time"), "{}", said(&judged));
}

#[test]
fn a_new_instance_no_worse_than_a_bad_old_one_is_not_the_cause() {
    let both = Scene::alike().with("old-1", slower(1.5)).with("new-1", slower(1.5));
    let judged = both.judged();
    assert_eq!(judged.verdict, Verdict::Stable, "{:?}", judged.reasons);
    let said: Vec<String> = judged.reasons.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|text| text.contains("no worse than old-1, which is not new")), "{said:?}");
    assert_eq!(both.with("new-1", slower(3.0)).judged().culprits, [id("new-1")]);

    let both = Scene::alike().with("old-1", failing(6)).with("new-1", failing(6));
    assert_eq!(both.verdict(), Verdict::NotImproved);
    assert_eq!(both.with("new-1", failing(60)).judged().culprits, [id("new-1")]);
}

#[test]
fn a_new_instance_that_is_asked_nothing_is_failing() {
    let judged = Scene::alike().with("new-1", idle).judged();
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert_eq!(judged.culprits, [id("new-1")]);
    assert_eq!(said(&judged), "0 requests (new-1), while an even share would have been 8442 (56 samples).");
}

#[test]
fn a_new_instance_that_stops_being_asked_is_failing_and_one_that_paused_is_not() {
    let judged = Scene::alike().during(0.5, 1.0, "new-1", idle).judged();
    assert_eq!(judged.verdict, Verdict::Regressed);
    assert!(said(&judged).contains("it stopped getting any"), "{}", said(&judged));
    assert_eq!(Scene::alike().during(0.4, 0.6, "new-1", idle).verdict(), Verdict::Stable);
    assert_eq!(Scene::alike().during(0.9, 1.0, "new-1", idle).verdict(), Verdict::Stable);
}

// ---- what cannot be told

#[test]
fn contradiction_outweighs_everything_else() {
    let mut scene = Scene::alike();
    let words = "says not halted while the halt table says halted".to_owned();
    scene.consistency = Consistency::Inconsistent(vec![Inconsistency { instance: Some(id("old-2")), words }]);
    let judged = scene.judged();
    assert_eq!(judged.verdict, Verdict::Inconsistent);
    assert_eq!(judged.culprits, [id("old-2")]);
    assert_eq!(
        said(&judged),
        "The instances contradict one another (old-2): says not halted while the halt table says halted."
    );
    scene.samples.clear();
    assert_eq!(scene.verdict(), Verdict::Inconsistent);
    scene.consistency = Consistency::Inconsistent(vec![]);
    assert_eq!(scene.verdict(), Verdict::Inconsistent);
}

#[test]
fn consistency_that_could_not_be_told_is_a_missing_signal() {
    let mut scene = Scene::alike();
    scene.consistency = Consistency::Unknown("old-1 did not answer".into());
    assert_eq!(scene.verdict(), Verdict::Inconclusive);
    // It hides nothing that was seen.
    assert_eq!(scene.with("new", failing(60)).verdict(), Verdict::Regressed);
}

#[test]
fn a_gap_counts_against_what_was_observed() {
    let mut scene = Scene::alike();
    scene.samples.drain(20..29);
    let judged = scene.judged();
    assert_eq!(judged.verdict, Verdict::Stable);
    assert!((judged.observed_share - 0.85).abs() < 1e-9);
    scene.samples.drain(20..24);
    let judged = scene.judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert_eq!(said(&judged), "78.3 % of the window was observed; at least 80 % is needed.");
}

#[test]
fn the_same_minute_is_not_observed_twice() {
    let mut scene = Scene::alike();
    scene.samples.truncate(40);
    scene.samples.extend(scene.samples.clone());
    assert_eq!(scene.verdict(), Verdict::Inconclusive);
    assert!((scene.judged().observed_share - 40.0 / 60.0).abs() < 1e-9);
}

#[test]
fn fifty_samples_are_needed_where_there_are_as_many_to_be_had() {
    let thinned = |keep: usize| {
        let mut scene = Scene::alike();
        // Longer samples cover the same time with fewer.
        let surplus = scene.samples.len() - keep;
        for n in 0..surplus {
            scene.samples[n].until = scene.samples[n + 1].until;
            scene.samples[n].window = Millis(30_000);
            scene.samples.remove(n + 1);
        }
        scene
    };
    assert_eq!(thinned(50).verdict(), Verdict::Stable);
    let judged = thinned(49).judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert_eq!(said(&judged), "49 samples were usable; at least 50 are needed.");
}

#[test]
fn a_rehearsal_of_a_minute_is_judged_on_its_twenty_samples() {
    let minute = Scene::watched_for(Duration::from_mins(1));
    assert_eq!(minute.samples.len(), 20);
    assert_eq!(minute.verdict(), Verdict::Stable);
    assert_eq!(minute.with("new", slower(2.0)).verdict(), Verdict::Regressed);
}

#[test]
fn a_new_instance_that_was_hardly_seen_is_a_missing_signal() {
    assert_eq!(Scene::alike().missing(0.5, 0.55, "new-1").verdict(), Verdict::Stable);
    let judged = Scene::alike().missing(0.5, 0.8, "new-1").judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive);
    assert_eq!(
        said(&judged),
        "Only 67.9 % of the readings (new-1) could be had; at least 80 % is needed (56 samples)."
    );
    // One that no sample even mentions.
    let mut unmentioned = Scene::alike();
    unmentioned.newcomers.push(id("new-3"));
    assert_eq!(unmentioned.verdict(), Verdict::Inconclusive);
    unmentioned.newcomers.clear();
    assert_eq!(unmentioned.verdict(), Verdict::Inconclusive);
}

#[test]
fn a_fleet_of_which_half_could_not_be_read_is_not_judged() {
    let scene = Scene { direction: Direction::Down, newcomers: vec![], ..Scene::alike() };
    assert_eq!(scene.clone().missing(0.0, 0.2, "old-1").verdict(), Verdict::Stable);
    assert_eq!(scene.missing(0.0, 1.0, "old-1").verdict(), Verdict::Inconclusive);
}

#[test]
fn without_requests_nothing_is_stable() {
    assert_eq!(Scene::alike().with("", idle).verdict(), Verdict::Inconclusive);
    assert_eq!(Scene::down().with("", idle).verdict(), Verdict::Inconclusive);
}

#[test]
fn a_hundred_requests_are_needed_on_each_side_and_twenty_in_a_short_window() {
    let few = |scene: Scene, name: &str, each: u64| {
        scene.with(name, move |load| {
            load.latency = latency(each, 1.0);
            load.requests = each;
        })
    };
    // 56 samples with one request each for two new instances; a hundred and more is enough.
    assert_eq!(few(Scene::alike(), "new", 1).verdict(), Verdict::Stable);
    let judged = few(Scene::alike(), "new", 1).missing(0.9, 1.0, "new-2").missing(0.87, 1.0, "new-1").judged();
    assert_eq!(judged.verdict, Verdict::Inconclusive, "{:?}", judged.reasons);
    assert_eq!(
        said(&judged),
        "The new instances could not be compared with the others: the new instances answered 99 requests in the \
         samples that both are in, at least 100 are needed (56 samples)."
    );
    assert_eq!(few(Scene::watched_for(Duration::from_mins(1)), "new", 1).verdict(), Verdict::Stable);
    assert_eq!(few(Scene::alike(), "old", 0).verdict(), Verdict::Inconclusive);
}

#[test]
fn requests_without_latencies_are_not_judged() {
    let untimed = |load: &mut InstanceLoad| load.latency = Histogram::default();
    assert_eq!(Scene::down().with("", untimed).verdict(), Verdict::Inconclusive);
    assert_eq!(Scene::down().with("old", untimed).verdict(), Verdict::Inconclusive);
    assert_eq!(Scene::alike().with("new", untimed).verdict(), Verdict::Inconclusive);
}

#[test]
fn slower_than_the_slowest_bucket_is_not_within_a_limit_beyond_it() {
    let mut scene = Scene::down().with("", slower(100.0));
    scene.policy.load.p99_ms = 20_000.0;
    assert_eq!(scene.verdict(), Verdict::Inconclusive);
    scene.policy.load.p99_ms = 9_000.0;
    assert_eq!(scene.verdict(), Verdict::Regressed);
}

#[test]
fn figures_that_contradict_themselves_are_not_used() {
    let wrong: [fn(&mut InstanceLoad); 7] = [
        |load| load.latency.sum_ms = f64::NAN,
        |load| load.latency.sum_ms = -1.0,
        |load| load.latency.sum_ms = 0.0,
        |load| load.latency.sum_ms = f64::INFINITY,
        |load| load.errors = load.requests + 1,
        |load| load.latency.counts.truncate(3),
        |load| load.latency.counts[0] = u64::MAX,
    ];
    for (n, wrong) in wrong.into_iter().enumerate() {
        assert_eq!(Scene::alike().with("", wrong).verdict(), Verdict::Inconclusive, "all, {n}");
        assert_eq!(Scene::alike().with("new", wrong).verdict(), Verdict::Inconclusive, "new, {n}");
        assert_eq!(Scene::down().with("", wrong).verdict(), Verdict::Inconclusive, "down, {n}");
    }
}

#[test]
fn an_instance_read_twice_in_a_sample_is_not_counted_twice() {
    let mut scene = Scene::alike();
    for sample in &mut scene.samples {
        let again = sample.instances[2].clone();
        sample.instances.push(again);
    }
    assert_eq!(scene.verdict(), Verdict::Inconclusive);
}

#[test]
fn a_limit_that_is_no_number_is_never_kept_to() {
    let mut scene = Scene::alike();
    scene.policy.load.p99_ms = f64::NAN;
    assert_eq!(scene.verdict(), Verdict::NotImproved);
}

// ---- down

#[test]
fn fewer_instances_are_held_against_the_limits_and_never_against_before() {
    assert_eq!(Scene::down().verdict(), Verdict::Stable);
    assert_eq!(Scene::down().before(|load| load.latency = latency(4_000, 0.3)).verdict(), Verdict::Stable);
    assert_eq!(Scene { before: None, ..Scene::down() }.verdict(), Verdict::Stable);
    let over = Scene::down().with("", slower(3.0));
    assert_eq!(over.verdict(), Verdict::Regressed);
    assert!(over.judged().culprits.is_empty());
    assert_eq!(over.before(|load| load.latency = latency(4_000, 9.0)).verdict(), Verdict::Regressed);
    assert_eq!(Scene::down().with("", failing(4)).verdict(), Verdict::Regressed);
    assert_eq!(Scene::down().with("", |load| load.cpu = Some(0.9)).verdict(), Verdict::NotImproved);
}

// ---- shares, words, the stored form

#[test]
fn a_share_under_half_or_over_twice_an_even_one_is_a_warning_and_no_more() {
    let judged = Scene::alike()
        .with("new-1", |load| *load = instance("new-1", 50, 0, 1.0))
        .with("old-1", |load| *load = instance("old-1", 900, 0, 1.0))
        .judged();
    assert_eq!(judged.verdict, Verdict::Stable);
    let warnings: Vec<_> = judged.shares.iter().map(|share| (share.instance.as_str(), share.warning)).collect();
    assert_eq!(
        warnings,
        [
            ("new-1", Some(ShareWarning::UnderHalf)),
            ("new-2", None),
            ("old-1", Some(ShareWarning::OverTwice)),
            ("old-2", None)
        ]
    );
    let requests: u64 = judged.shares.iter().map(|share| share.requests).sum();
    assert_eq!(requests, judged.fleet.requests);
}

#[test]
fn verdicts_read_as_the_contract_names_them_and_are_stored_in_snake_case() {
    let judged = Scene::alike().with("", slower(3.0)).judged();
    assert_eq!(judged.verdict.to_string(), "not improved");
    let stored = serde_json::to_string(&judged).unwrap();
    assert!(stored.starts_with(r#"{"verdict":"not_improved""#), "{stored}");
    let read: Judgement = serde_json::from_str(&stored).unwrap();
    assert_eq!(read.verdict, judged.verdict);
    assert_eq!(read.reasons.len(), judged.reasons.len());
    let more = stored.replacen('{', r#"{"extra":1,"#, 1);
    assert!(serde_json::from_str::<Judgement>(&more).is_err());
}

// ---- whatever comes

/// Any figures at all, sensible ones among them.
fn any_load() -> impl Strategy<Value = InstanceLoad> {
    let count = prop_oneof![0..50_u64, Just(0), Just(u64::MAX), any::<u64>()];
    let bounds = prop_oneof![
        4 => Just(BACKEND_BOUNDS_MS.to_vec()),
        1 => Just(vec![]),
        1 => proptest::collection::vec(any::<f64>(), 0..4),
    ];
    let counts = prop_oneof![
        4 => proptest::collection::vec(0..50_u64, 11),
        1 => proptest::collection::vec(count.clone(), 0..12),
    ];
    let sum = prop_oneof![4 => 0.0..50_000.0, 1 => any::<f64>(), 1 => Just(f64::NAN)];
    let name = prop_oneof![Just("old-1"), Just("old-2"), Just("new-1"), Just("new-2")];
    let figure = proptest::option::of(any::<f64>());
    (name, count.clone(), count, bounds, counts, sum, figure).prop_map(
        |(name, requests, errors, bounds_ms, counts, sum_ms, cpu)| InstanceLoad {
            instance: id(name),
            requests,
            errors,
            latency: Histogram { bounds_ms, counts, sum_ms },
            cpu,
            memory_bytes: Some(requests),
            saturation: cpu,
        },
    )
}

fn any_sample() -> impl Strategy<Value = Load> {
    let window = prop_oneof![Just(3_000), any::<u64>()];
    (0..100_i64, window, proptest::collection::vec(any_load(), 0..6)).prop_map(|(at, window, instances)| Load {
        until: START.parse::<Timestamp>().unwrap() + Duration::from_secs(at.unsigned_abs()),
        window: Millis(window),
        instances,
        missing: vec![id("new-2")],
    })
}

/// A minute's watch with uneven load and latency on every instance.
fn any_watch() -> impl Strategy<Value = Scene> {
    let reading = || (5..60_u64, 0.3..2.5_f64, 0..3_u64);
    proptest::collection::vec([reading(), reading(), reading(), reading()], 20).prop_map(|figures| {
        let mut scene = Scene::watched_for(Duration::from_mins(1));
        for (sample, figures) in scene.samples.iter_mut().zip(figures) {
            for (load, (requests, times, errors)) in sample.instances.iter_mut().zip(figures) {
                *load = instance(load.instance.as_str(), requests, errors, times);
            }
        }
        scene
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_the_figures_there_is_a_verdict_and_every_reason_can_be_read(
        samples in proptest::collection::vec(any_sample(), 0..25),
        before in proptest::option::of(any_sample()),
        up in any::<bool>(),
        seconds in prop_oneof![Just(60), 0..2_000_u64, Just(u64::MAX)],
    ) {
        let mut scene = Scene::watched_for(Duration::from_mins(1));
        scene.samples = samples;
        scene.before = before;
        scene.window = Duration::from_secs(seconds);
        scene.direction = if up { Direction::Up } else { Direction::Down };
        let judged = scene.judged();
        prop_assert!((0.0..=1.0).contains(&judged.observed_share));
        for reason in &judged.reasons {
            let text = reason.to_string();
            prop_assert!(text.ends_with('.') && !text.contains("NaN") && !text.contains("inf"), "{}", text);
        }
        let stored = serde_json::to_string(&judged).unwrap();
        prop_assert!(serde_json::from_str::<Judgement>(&stored).is_ok(), "{}", stored);
    }

    #[test]
    fn the_order_in_which_instances_are_read_does_not_matter(scene in any_watch(), seed in any::<u64>()) {
        let mut shuffled = scene.clone();
        let mut rng = fastrand::Rng::with_seed(seed);
        for sample in &mut shuffled.samples {
            rng.shuffle(&mut sample.instances);
        }
        shuffled.newcomers.reverse();
        prop_assert_eq!(shuffled.judged(), scene.judged());
    }

    /// Ranks and ratios know no unit: in other units, limit included, the verdict is the same.
    #[test]
    fn the_unit_of_latency_does_not_matter(scene in any_watch(), power in -6..6_i32) {
        let times = 2_f64.powi(power);
        let mut other = scene.clone();
        let scale = |load: &mut InstanceLoad| {
            load.latency.bounds_ms.iter_mut().for_each(|bound| *bound *= times);
            load.latency.sum_ms *= times;
        };
        other.samples.iter_mut().chain(&mut other.before).flat_map(|load| &mut load.instances).for_each(scale);
        other.policy.load.p99_ms *= times;
        prop_assert_eq!(other.verdict(), scene.verdict());
    }

    #[test]
    fn sums_that_are_no_numbers_are_inconclusive_whatever_else_is_seen(scene in any_watch()) {
        prop_assert_eq!(scene.with("", |load| load.latency.sum_ms = f64::NAN).verdict(), Verdict::Inconclusive);
    }
}
