//! Ten thousand made-up scalings, each from a seed: load and latency that drift, lasting ups and downs of the fleet
//! and of each instance, a warm-up, gaps. They show how often the judge is wrong, both ways.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use fastrand::Rng;

use super::{Consistency, Direction, Evidence, Judgement, Verdict, judge};
use crate::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use crate::policy::Policy;
use crate::units::{InstanceId, Millis, Timestamp};

const TRACES: u64 = 10_000;
const SERVICE: Duration = Duration::from_mins(15);
const REHEARSAL: Duration = Duration::from_mins(1);

/// What is the matter with the new instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    /// Nothing: they are like the others.
    Nothing,
    /// Each request takes half as long again.
    HalfSlower,
    /// 3 % of their requests fail on top of what fails everywhere, for as long as they are watched.
    Errors,
    /// The same for a third of the time.
    ErrorBurst,
}

/// The standard normal distribution function from a table, because it is needed some hundred million times.
struct Normal {
    below: Vec<f64>,
    /// The logarithms of the buckets' bounds.
    log_bounds: [f64; 10],
}

impl Normal {
    const STEPS: f64 = 128.0;
    const END: f64 = 6.0;

    fn table() -> Self {
        let steps = (2.0 * Self::END * Self::STEPS) as usize;
        let below = |n: usize| super::statistics::normal_tail(Self::END - n as f64 / Self::STEPS);
        Self { below: (0..=steps + 1).map(below).collect(), log_bounds: BACKEND_BOUNDS_MS.map(f64::ln) }
    }

    fn below(&self, z: f64) -> f64 {
        let place = (z + Self::END).clamp(0.0, 2.0 * Self::END) * Self::STEPS;
        let at = place as usize;
        self.below[at] + (self.below[at + 1] - self.below[at]) * (place - at as f64)
    }
}

/// A nearly normal value of mean 0 and deviation 1.
fn normal(rng: &mut Rng) -> f64 {
    let sum: f64 = (0..6).map(|_| rng.f64()).sum();
    (sum - 3.0) * std::f64::consts::SQRT_2
}

fn between(rng: &mut Rng, range: RangeInclusive<f64>) -> f64 {
    range.start() + (range.end() - range.start()) * rng.f64()
}

/// How many of `n` hit with chance `p`: exact when few are expected, else by the normal approximation.
fn binomial(rng: &mut Rng, n: u64, p: f64) -> u64 {
    if n == 0 || p <= 0.0 {
        return 0;
    }
    if p > 0.5 {
        return n - binomial(rng, n, (1.0 - p).max(0.0));
    }
    let mean = n as f64 * p;
    if mean > 12.0 {
        let drawn = mean + (mean * (1.0 - p)).sqrt() * normal(rng);
        return (drawn.round().max(0.0) as u64).min(n);
    }
    // By inversion: walk up the distribution function.
    let odds = p / (1.0 - p);
    let mut chance = (n as f64 * (1.0 - p).ln()).exp();
    let mut left = rng.f64();
    let mut hits = 0;
    while left > chance && hits < n {
        left -= chance;
        hits += 1;
        chance *= odds * (n - hits + 1) as f64 / hits as f64;
    }
    hits
}

/// Latencies of `n` requests, lognormal.
fn latencies(rng: &mut Rng, table: &Normal, n: u64, log_median: f64, sigma: f64) -> Histogram {
    let mut histogram = Histogram::empty(&BACKEND_BOUNDS_MS);
    let whole = (log_median + 0.5 * sigma * sigma).exp();
    let (mut left, mut share_left) = (n, 1.0);
    let (mut below, mut below_sum) = (0.0, 0.0);
    for (bucket, count) in histogram.counts.iter_mut().enumerate() {
        let (upto, upto_sum) = match table.log_bounds.get(bucket) {
            Some(bound) => {
                let z = (bound - log_median) / sigma;
                (table.below(z), whole * table.below(z - sigma))
            }
            None => (1.0, whole),
        };
        let share = upto - below;
        if left == 0 {
            break;
        }
        if share > 1e-12 {
            let hits = binomial(rng, left, (share / share_left).min(1.0));
            *count = hits;
            left -= hits;
            let mean = (upto_sum - below_sum) / share;
            histogram.sum_ms += hits as f64 * mean + 0.15 * mean * (hits as f64).sqrt() * normal(rng);
            share_left -= share;
        }
        (below, below_sum) = (upto, upto_sum);
    }
    histogram.sum_ms = histogram.sum_ms.max(0.0);
    histogram
}

/// Ups and downs that last: each value is correlated with the one before.
struct Wave {
    rho: f64,
    spread: f64,
    now: f64,
}

impl Wave {
    fn new(rng: &mut Rng, rho: RangeInclusive<f64>, spread: RangeInclusive<f64>) -> Self {
        let spread = between(rng, spread);
        Self { rho: between(rng, rho), spread, now: spread * normal(rng) }
    }

    fn next(&mut self, rng: &mut Rng) -> f64 {
        self.now = self.rho * self.now + (1.0 - self.rho * self.rho).sqrt() * self.spread * normal(rng);
        self.now
    }
}

struct Trace {
    window: Duration,
    since: Timestamp,
    before: Load,
    samples: Vec<Load>,
    newcomers: Vec<InstanceId>,
    /// Each reading of a new instance, with what it is when something is the matter.
    variants: Vec<Variant>,
}

struct Variant {
    sample: usize,
    place: usize,
    plain: u64,
    failing: u64,
    in_burst: bool,
    /// Slow while the trace is not, and the other way round.
    other: Histogram,
}

/// What a trace is made of.
struct Maker<'a> {
    normal: &'a Normal,
    /// How strongly consecutive samples may be correlated.
    rho: RangeInclusive<f64>,
    /// Whether anything is ever the matter with the new instances; if not, that need not be made up.
    variants: bool,
}

impl Maker<'_> {
    /// The same seed gives the same fleet whatever is the matter with its new instances.
    fn make(&self, seed: u64, window: Duration) -> Trace {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let policy = Policy::rehearsal(window);
        let interval = policy.time.sample_interval();
        let warm_up = policy.time.warm_up().as_secs_f64();
        let count = (window.as_secs_f64() / interval.as_secs_f64()).round() as usize;
        let since: Timestamp = "2026-01-08T03:00:00Z".parse().unwrap();

        let total = rng.usize(2..=20);
        let new = rng.usize(1..=(total / 2).clamp(1, 10));
        let old = total - new;
        let names: Vec<InstanceId> = (0..total).map(|n| InstanceId::new(format!("api-{n:02}"))).collect();
        let rate = between(rng, 10_f64.ln()..=200_f64.ln()).exp();
        let rate_drift = between(rng, -0.7..=0.7);
        let log_median = between(rng, 50_f64.ln()..=400_f64.ln());
        let sigma = between(rng, 0.3..=0.8);
        let latency_drift = between(rng, -0.4..=0.4);
        let errors = between(rng, 0.0003_f64.ln()..=0.005_f64.ln()).exp();
        let cold = between(rng, 0.0..=1.1);
        let mut fleet = Wave::new(rng, self.rho.clone(), 0.05..=0.25);
        let mut trouble = Wave::new(rng, self.rho.clone(), 0.2..=0.8);
        let own_rho = between(rng, self.rho.clone());
        let own_spread = between(rng, 0.0..=0.10);
        let mut own: Vec<Wave> =
            (0..total).map(|_| Wave::new(rng, own_rho..=own_rho, own_spread..=own_spread)).collect();
        let built: Vec<f64> = (0..total).map(|_| 0.02 * normal(rng)).collect();
        let weight: Vec<f64> = (0..total).map(|_| between(rng, 0.9..=1.1)).collect();
        // A stretch that was not observed; and a single reading fails now and then.
        let gap = rng.usize(0..=count * 2 / 15);
        let gap_at = rng.usize(0..=count - gap);
        // Half of the fleets have a minute of trouble that hits all alike.
        let storm_at = rng.usize(0..count * 2);
        let burst_at = between(rng, 0.0..=2.0 / 3.0);

        let before = {
            let readings = (0..old)
                .map(|n| {
                    let requests = (rate * 300.0 / old as f64) as u64;
                    let latency = latencies(rng, self.normal, requests, log_median + 0.2 + built[n], sigma);
                    reading(&names[n], requests, binomial(rng, requests, errors), latency)
                })
                .collect();
            Load { until: since, window: Millis(300_000), instances: readings, missing: Vec::new() }
        };

        let mut samples: Vec<Load> = Vec::new();
        let mut variants = Vec::new();
        for n in 0..count {
            let at = (n as f64 + 0.5) * interval.as_secs_f64();
            let through = at / window.as_secs_f64();
            let watched = (at - warm_up) / (window.as_secs_f64() - warm_up);
            let level = log_median + latency_drift * through + fleet.next(rng);
            let mut failing = errors * trouble.next(rng).exp();
            if (storm_at..storm_at + count / 15).contains(&n) {
                failing += 0.03;
            }
            let arriving = rate * interval.as_secs_f64() * (rate_drift * (through - 0.5)).exp() / total as f64;
            let until = since + interval * u32::try_from(n + 1).unwrap();
            let mut load = Load { until, window: interval.into(), instances: Vec::new(), missing: Vec::new() };
            let skip = (gap_at..gap_at + gap).contains(&n);
            for instance in 0..total {
                let mut level = level + built[instance] + own[instance].next(rng);
                let newcomer = instance >= old;
                if newcomer {
                    level += cold * (-4.0 * at / warm_up).exp();
                }
                if skip {
                    continue;
                }
                if rng.u8(..) < 4 {
                    load.missing.push(names[instance].clone());
                    continue;
                }
                let expected = arriving * weight[instance];
                let requests = (expected + 0.3 * expected.sqrt() * normal(rng)).round().max(0.0) as u64;
                let failed = binomial(rng, requests, failing.min(1.0));
                if newcomer && self.variants {
                    variants.push(Variant {
                        sample: samples.len(),
                        place: load.instances.len(),
                        plain: failed,
                        failing: failed + binomial(rng, requests - failed, 0.03),
                        in_burst: watched >= burst_at && watched < burst_at + 1.0 / 3.0,
                        other: latencies(rng, self.normal, requests, level + 1.5_f64.ln(), sigma),
                    });
                }
                let latency = latencies(rng, self.normal, requests, level, sigma);
                load.instances.push(reading(&names[instance], requests, failed, latency));
            }
            if !skip {
                samples.push(load);
            }
        }
        Trace { window, since, before, samples, newcomers: names[old..].to_vec(), variants }
    }
}

fn reading(instance: &InstanceId, requests: u64, errors: u64, latency: Histogram) -> InstanceLoad {
    let instance = instance.clone();
    InstanceLoad { instance, requests, errors, latency, cpu: None, memory_bytes: None, saturation: None }
}

impl Trace {
    /// Judges it with that the matter.
    fn judged_with(&mut self, matter: Matter) -> Judgement {
        self.turn(matter);
        let judged = self.judged();
        self.turn(match matter {
            Matter::HalfSlower => Matter::HalfSlower,
            Matter::Nothing | Matter::Errors | Matter::ErrorBurst => Matter::Nothing,
        });
        judged
    }

    /// Makes the new instances what they are with that the matter; slower ones, when called again, fast.
    fn turn(&mut self, matter: Matter) {
        for variant in &mut self.variants {
            let load = &mut self.samples[variant.sample].instances[variant.place];
            load.errors = match matter {
                Matter::Errors => variant.failing,
                Matter::ErrorBurst if variant.in_burst => variant.failing,
                _ => variant.plain,
            };
            if matter == Matter::HalfSlower {
                std::mem::swap(&mut load.latency, &mut variant.other);
            }
        }
    }

    fn judged(&self) -> Judgement {
        let policy = Policy::rehearsal(self.window);
        judge(&Evidence {
            direction: Direction::Up,
            before: Some(&self.before),
            since: self.since,
            samples: &self.samples,
            newcomers: &self.newcomers,
            window: self.window,
            warm_up: policy.time.warm_up(),
            limits: &policy.load,
            consistency: &Consistency::Consistent,
        })
    }
}

type Tally = BTreeMap<(Matter, Verdict), u64>;

/// Judges that many traces, each with everything that may be the matter, on all cores.
fn tally(traces: u64, window: Duration, rho: &RangeInclusive<f64>, matters: &[Matter]) -> Tally {
    let normal = Normal::table();
    let maker = Maker { normal: &normal, rho: rho.clone(), variants: matters.len() > 1 };
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get) as u64;
    let mut whole = Tally::new();
    std::thread::scope(|scope| {
        let maker = &maker;
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let mut tally = Tally::new();
                    for seed in (part..traces).step_by(threads as usize) {
                        let mut trace = maker.make(seed, window);
                        for matter in matters {
                            let verdict = trace.judged_with(*matter).verdict;
                            *tally.entry((*matter, verdict)).or_default() += 1;
                        }
                    }
                    tally
                })
            })
            .collect();
        for part in parts {
            for (key, count) in part.join().unwrap() {
                *whole.entry(key).or_default() += count;
            }
        }
    });
    whole
}

fn share(tally: &Tally, matter: Matter, verdict: Verdict) -> f64 {
    let of: u64 = tally.iter().filter(|((known, _), _)| *known == matter).map(|(_, count)| count).sum();
    assert!(of > 0, "nothing was judged with {matter:?}");
    tally.get(&(matter, verdict)).copied().unwrap_or_default() as f64 / of as f64
}

/// Rows of the table in the module's documentation.
fn print(heading: &str, tally: &Tally, matters: &[Matter]) {
    use Verdict::{Improved, Inconclusive, NotImproved, Regressed, Stable};
    println!("\n{heading:<50}  regressed  inconclusive  not improved  stable or improved");
    for matter in matters {
        let percent =
            |verdicts: &[Verdict]| 100.0 * verdicts.iter().map(|verdict| share(tally, *matter, *verdict)).sum::<f64>();
        println!(
            "  {:<50}{:>7.2} %  {:>10.2} %  {:>10.2} %  {:>16.2} %",
            matter.words(),
            percent(&[Regressed]),
            percent(&[Inconclusive]),
            percent(&[NotImproved]),
            percent(&[Stable, Improved])
        );
    }
}

impl Matter {
    const ALL: [Self; 4] = [Self::Nothing, Self::HalfSlower, Self::Errors, Self::ErrorBurst];

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "new ones like the others",
            Self::HalfSlower => "new ones 50 % slower",
            Self::Errors => "3 % errors on new ones",
            Self::ErrorBurst => "the same, a third of the time",
        }
    }
}

/// Judges every trace of that window, says how it went, and holds false rollbacks to 2 %, at the worst
/// autocorrelation that is reckoned with as well.
fn reached(window: Duration, heading: &str) -> impl Fn(Matter) -> f64 {
    let all = tally(TRACES, window, &(0.0..=0.8), &Matter::ALL);
    print(&format!("{heading}, autocorrelation 0-0.8"), &all, &Matter::ALL);
    let worst = tally(TRACES, window, &(0.8..=0.8), &[Matter::Nothing]);
    print(&format!("{heading}, autocorrelation 0.8"), &worst, &[Matter::Nothing]);
    for tally in [&all, &worst] {
        let wrong = share(tally, Matter::Nothing, Verdict::Regressed);
        assert!(wrong <= 0.02, "{wrong} of the healthy scalings would be taken back");
    }
    move |matter| share(&all, matter, Verdict::Regressed)
}

#[test]
fn fifteen_minutes_find_what_is_wrong_and_seldom_what_is_not() {
    let found = reached(SERVICE, "15 min, a sample every 15 s");
    assert!(found(Matter::HalfSlower) >= 0.99);
    assert!((found(Matter::Errors) - 1.0).abs() < f64::EPSILON);
    assert!(found(Matter::ErrorBurst) >= 0.95);
}

/// A rehearsal's minute has sixteen samples and as few as twenty requests of the new instances: it finds less, and must
/// not make up for that by guessing.
#[test]
fn one_minute_finds_less_and_seldom_what_is_not() {
    let found = reached(REHEARSAL, "60 s, a sample every 3 s");
    assert!(found(Matter::HalfSlower) >= 0.9);
    assert!(found(Matter::Errors) >= 0.75);
    assert!(found(Matter::ErrorBurst) >= 0.2);
}

/// Each way in which there can be nothing to judge by.
fn lose_data(trace: &mut Trace, way: u64) {
    let newcomers = trace.newcomers.clone();
    let kept = trace.samples.len() * 7 / 10;
    let each = |trace: &mut Trace, change: &dyn Fn(&mut InstanceLoad)| {
        trace.samples.iter_mut().flat_map(|sample| &mut sample.instances).for_each(change);
    };
    match way % 9 {
        0 => trace.samples.clear(),
        1 => trace.samples.truncate(kept),
        2 => each(trace, &|load| {
            (load.requests, load.errors) = (0, 0);
            load.latency = Histogram::empty(&BACKEND_BOUNDS_MS);
        }),
        3 => each(trace, &|load| {
            load.errors = 0;
            load.latency = Histogram::default();
        }),
        4 => each(trace, &|load| load.latency.sum_ms = f64::NAN),
        5 => {
            for sample in &mut trace.samples {
                sample.missing = sample.instances.drain(..).map(|load| load.instance).collect();
            }
        }
        6 => {
            for sample in &mut trace.samples {
                sample.instances.retain(|load| !newcomers.contains(&load.instance));
                sample.missing.clone_from(&newcomers);
            }
        }
        7 => {
            for sample in &mut trace.samples {
                sample.instances.retain(|load| !newcomers.contains(&load.instance));
            }
        }
        _ => each(trace, &|load| load.latency.bounds_ms[3] = f64::NAN),
    }
}

#[test]
fn no_data_is_never_called_stable() {
    let normal = Normal::table();
    let maker = Maker { normal: &normal, rho: 0.0..=0.8, variants: false };
    for seed in 0..TRACES {
        let window = if seed % 20 == 0 { SERVICE } else { REHEARSAL };
        let mut trace = maker.make(seed, window);
        lose_data(&mut trace, seed / 20 + seed);
        let judged = trace.judged();
        assert_eq!(judged.verdict, Verdict::Inconclusive, "seed {seed}: {:?}", judged.reasons);
    }
}
