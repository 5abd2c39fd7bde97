//! What of the samples can be used: how much of the window they cover, which readings are sound, and the figures
//! added up by instance. Everything after this works on numbers that cannot overflow or be no number.

use std::collections::{BTreeMap, BTreeSet};

use super::Evidence;
use crate::figures::{Histogram, InstanceLoad, Load, Percentiles};
use crate::units::{InstanceId, Millis, Timestamp, elapsed};

/// No instance answers as many requests in one sample. What claims to is not read as a count.
const MOST_REQUESTS: u64 = 1_000_000_000_000;

/// What was watched, sifted.
pub(super) struct Watched<'a> {
    /// The share of the planned window that usable samples cover, at most 1.
    pub observed: f64,
    /// How many samples were usable, the warm-up's included.
    pub usable: usize,
    /// The usable samples after the warm-up, in the order of time.
    pub samples: Vec<Sample<'a>>,
    /// Every instance that was seen or missed, and every newcomer; in the order of their names, so that no result
    /// depends on the order in which instances were read.
    pub roster: Vec<Member>,
}

/// One instance of the roster.
pub(super) struct Member {
    /// Its name.
    pub id: InstanceId,
    /// Whether this scaling started it.
    pub new: bool,
    /// In how many samples after the warm-up it could be read.
    pub read: usize,
    /// In how many it was expected and could not be.
    pub missed: usize,
}

/// A sample with at least one sound reading.
pub(super) struct Sample<'a> {
    /// How long it covers.
    pub seconds: f64,
    /// Each instance that could be read, by its place in the roster.
    pub readings: Vec<(usize, &'a InstanceLoad)>,
}

impl<'a> Watched<'a> {
    pub(super) fn of(evidence: &Evidence<'a>) -> Self {
        let newcomers: BTreeSet<&InstanceId> = evidence.newcomers.iter().collect();
        let mut names: BTreeMap<&InstanceId, usize> = newcomers.iter().map(|id| (*id, 0)).collect();
        for sample in evidence.samples {
            names.extend(sample.instances.iter().map(|load| (&load.instance, 0)));
            names.extend(sample.missing.iter().map(|id| (id, 0)));
        }
        for (place, slot) in names.values_mut().enumerate() {
            *slot = place;
        }
        let mut roster: Vec<Member> = names
            .keys()
            .map(|id| Member { id: (*id).clone(), new: newcomers.contains(id), read: 0, missed: 0 })
            .collect();

        let bounds = common_bounds(evidence.samples);
        let mut samples = Vec::new();
        let (mut usable, mut covered) = (0, 0.0);
        let mut reached = evidence.since;
        for load in evidence.samples {
            let starts = start_of(load);
            // Time that an earlier sample covered, or before the watch began, is not counted twice.
            let fresh = elapsed(starts.max(reached), load.until).as_secs_f64();
            let readings = sound_readings(load, bounds, &names);
            if fresh <= 0.0 || readings.is_empty() {
                continue;
            }
            usable += 1;
            covered += fresh;
            reached = load.until;
            let window = load.window.duration();
            let middle = elapsed(evidence.since, starts) + window / 2;
            if starts < evidence.since || middle < evidence.warm_up {
                continue;
            }
            let mut read = vec![false; roster.len()];
            for (place, _) in &readings {
                read[*place] = true;
            }
            for (member, read) in roster.iter_mut().zip(&read) {
                member.read += usize::from(*read);
            }
            let mentioned = load.instances.iter().map(|load| &load.instance).chain(&load.missing);
            let expected: BTreeSet<usize> = mentioned.filter_map(|id| names.get(id).copied()).collect();
            for place in expected.into_iter().filter(|place| !read[*place]) {
                roster[place].missed += 1;
            }
            samples.push(Sample { seconds: window.as_secs_f64(), readings });
        }
        let planned = evidence.window.as_secs_f64();
        let observed = if planned > 0.0 { (covered / planned).min(1.0) } else { 0.0 };
        Self { observed, usable, samples, roster }
    }

    /// The places of the newcomers in the roster.
    pub(super) fn newcomers(&self) -> Vec<usize> {
        (0..self.roster.len()).filter(|place| self.roster[*place].new).collect()
    }

    /// Requests answered by each instance, in the order of the roster.
    pub(super) fn requests(&self) -> Vec<u64> {
        let mut requests = vec![0_u64; self.roster.len()];
        for (place, load) in self.samples.iter().flat_map(|sample| &sample.readings) {
            requests[*place] = requests[*place].saturating_add(load.requests);
        }
        requests
    }

    /// The share of instances' readings that could be had.
    pub(super) fn readings_had(&self) -> f64 {
        let (read, missed) = self.roster.iter().fold((0, 0), |(r, m), member| (r + member.read, m + member.missed));
        if read + missed == 0 { 0.0 } else { read as f64 / (read + missed) as f64 }
    }
}

/// What a fleet did, added up.
#[derive(Clone, Debug, Default)]
pub(super) struct Totals {
    pub requests: u64,
    pub errors: u64,
    pub latency: Histogram,
    pub seconds: f64,
    pub cpu: Average,
    pub memory: Average,
}

/// An average over those readings that have the figure.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Average {
    sum: f64,
    readings: u64,
}

impl Average {
    fn add(&mut self, value: Option<f64>) {
        if let Some(value) = value.filter(|value| value.is_finite() && *value >= 0.0) {
            self.sum += value;
            self.readings += 1;
        }
    }

    /// `None` when no reading had it.
    pub(super) fn value(&self) -> Option<f64> {
        (self.readings > 0).then(|| self.sum / self.readings as f64)
    }
}

impl Totals {
    fn add(&mut self, load: &InstanceLoad) {
        self.requests = self.requests.saturating_add(load.requests);
        self.errors = self.errors.saturating_add(load.errors);
        // Readings with other buckets were sifted out before.
        let _ = self.latency.add(&load.latency);
        self.cpu.add(load.cpu);
        self.memory.add(load.memory_bytes.map(|bytes| bytes as f64));
    }

    /// Over all instances and samples after the warm-up.
    pub(super) fn watched(watched: &Watched<'_>) -> Self {
        let mut totals = Self::default();
        for sample in &watched.samples {
            totals.seconds += sample.seconds;
            for (_, load) in &sample.readings {
                totals.add(load);
            }
        }
        totals
    }

    /// Over the sound readings of one load.
    pub(super) fn of(load: &Load) -> Self {
        let bounds = common_bounds(std::slice::from_ref(load));
        let mut totals = Self { seconds: load.window.duration().as_secs_f64(), ..Self::default() };
        for load in load.instances.iter().filter(|load| is_sound(load, bounds)) {
            totals.add(load);
        }
        totals
    }

    /// `None` without requests.
    pub(super) fn error_share(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.errors as f64 / self.requests as f64)
    }

    /// `None` without latencies.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        Some(Percentiles {
            p50_ms: self.latency.quantile_ms(0.50)?,
            p95_ms: self.latency.quantile_ms(0.95)?,
            p99_ms: self.latency.quantile_ms(0.99)?,
        })
    }

    /// Whether the latencies stand for the requests: at least four in five have one.
    pub(super) fn has_latency(&self) -> bool {
        self.latency.total() as f64 >= 0.8 * self.requests as f64
    }
}

fn start_of(load: &Load) -> Timestamp {
    load.until.checked_sub(length(load.window)).unwrap_or(Timestamp::MIN)
}

fn length(window: Millis) -> jiff::SignedDuration {
    jiff::SignedDuration::from_millis(i64::try_from(window.0).unwrap_or(i64::MAX))
}

/// The buckets that most readings have. Others cannot be compared with them, so the instances that have others count
/// as not read.
fn common_bounds(samples: &[Load]) -> &[f64] {
    let mut seen: Vec<(&[f64], usize)> = Vec::new();
    for load in samples.iter().flat_map(|sample| &sample.instances) {
        let bounds = load.latency.bounds_ms.as_slice();
        if bounds.is_empty() {
            continue;
        }
        if let Some((_, times)) = seen.iter_mut().find(|(known, _)| *known == bounds) {
            *times += 1;
        } else if are_bounds(bounds) {
            seen.push((bounds, 1));
        }
    }
    // Of equally common ones the finer; the order of reading does not decide.
    seen.into_iter()
        .max_by(|(a, times_a), (b, times_b)| {
            let by_value = || a.iter().zip(*b).map(|(x, y)| x.total_cmp(y)).find(|order| order.is_ne());
            (times_a, a.len()).cmp(&(times_b, b.len())).then_with(|| by_value().unwrap_or(std::cmp::Ordering::Equal))
        })
        .map_or(&[], |(bounds, _)| bounds)
}

fn are_bounds(bounds: &[f64]) -> bool {
    bounds.iter().all(|bound| bound.is_finite() && *bound > 0.0) && bounds.windows(2).all(|pair| pair[0] < pair[1])
}

fn sound_readings<'a>(
    load: &'a Load,
    bounds: &[f64],
    names: &BTreeMap<&InstanceId, usize>,
) -> Vec<(usize, &'a InstanceLoad)> {
    let mut readings: Vec<(usize, &InstanceLoad)> = load
        .instances
        .iter()
        .filter(|load| is_sound(load, bounds))
        .filter_map(|load| Some((*names.get(&load.instance)?, load)))
        .collect();
    readings.sort_unstable_by_key(|(place, _)| *place);
    // Two readings of one instance contradict each other: neither is used.
    let twice: BTreeSet<usize> =
        readings.windows(2).filter(|pair| pair[0].0 == pair[1].0).map(|pair| pair[0].0).collect();
    readings.retain(|(place, _)| !twice.contains(place));
    readings
}

/// Whether the figures can be what an instance did: counts that fit together and a sum of latencies that fits them.
fn is_sound(load: &InstanceLoad, bounds: &[f64]) -> bool {
    if load.errors > load.requests || load.requests > MOST_REQUESTS {
        return false;
    }
    let latency = &load.latency;
    if latency.counts.is_empty() && latency.bounds_ms.is_empty() {
        return latency.sum_ms == 0.0;
    }
    if latency.bounds_ms != bounds || latency.counts.len() != bounds.len() + 1 || bounds.is_empty() {
        return false;
    }
    let total = latency.counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
    if total.is_none_or(|total| total > MOST_REQUESTS) {
        return false;
    }
    let (mut least, mut most, mut lower) = (0.0, 0.0, 0.0);
    let upper = bounds.iter().copied().chain([f64::MAX.sqrt()]);
    for (count, upper) in latency.counts.iter().zip(upper) {
        least += *count as f64 * lower;
        most += *count as f64 * upper;
        lower = upper;
    }
    // A reading may catch requests between their count and their sum: generous by half and by one slow request.
    let slack = bounds.last().copied().unwrap_or_default();
    latency.sum_ms >= 0.0 && 2.0 * latency.sum_ms + slack >= least && latency.sum_ms <= 2.0 * most + slack
}
