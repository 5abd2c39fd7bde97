//! Figures about load: latency as a histogram that can be added up over instances and samples, and what is read off it.
//!
//! A histogram, not a quantile, is what travels and what is stored: quantiles of several instances or minutes cannot
//! be combined, counts can.

use serde::{Deserialize, Serialize};

use crate::units::{InstanceId, Millis, Timestamp};

/// The upper bounds, in milliseconds, of the backend's latency buckets; one more bucket holds what is slower than all.
pub const BACKEND_BOUNDS_MS: [f64; 10] = [10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1_000.0, 2_500.0, 5_000.0, 10_000.0];

/// How many requests took how long.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    /// Upper bounds in milliseconds, rising.
    pub bounds_ms: Vec<f64>,
    /// Requests in each bucket (not cumulative), then those slower than the last bound.
    pub counts: Vec<u64>,
    /// All latencies added up, in milliseconds. Over the window's length this is how many requests were in flight on
    /// the average.
    pub sum_ms: f64,
}

impl Histogram {
    /// One with no request in it.
    pub fn empty(bounds_ms: &[f64]) -> Self {
        Self { bounds_ms: bounds_ms.to_vec(), counts: vec![0; bounds_ms.len() + 1], sum_ms: 0.0 }
    }

    /// Counts one request.
    pub fn record(&mut self, latency_ms: f64) {
        let bucket = self.bounds_ms.partition_point(|bound| *bound < latency_ms);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
            self.sum_ms += latency_ms;
        }
    }

    /// Adds another's requests; `false`, with nothing added, when the buckets differ and cannot be added.
    #[must_use]
    pub fn add(&mut self, other: &Self) -> bool {
        if self.counts.is_empty() {
            self.clone_from(other);
            return true;
        }
        if other.counts.is_empty() {
            return true;
        }
        if self.bounds_ms != other.bounds_ms || self.counts.len() != other.counts.len() {
            return false;
        }
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine = mine.saturating_add(*theirs);
        }
        self.sum_ms += other.sum_ms;
        true
    }

    /// How many requests it holds.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The latency in milliseconds that the share `q` of requests did not exceed, interpolated within its bucket as
    /// Prometheus' `histogram_quantile` does. Beyond the last bound it is that bound. `None` without requests.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let total = self.total();
        let last = *self.bounds_ms.last()?;
        if total == 0 {
            return None;
        }
        let rank = q.clamp(0.0, 1.0) * total as f64;
        let mut below = 0_u64;
        let mut lower = 0.0;
        for (count, upper) in self.counts.iter().zip(&self.bounds_ms) {
            if *count > 0 && (below + count) as f64 >= rank {
                let within = (rank - below as f64).max(0.0) / *count as f64;
                return Some(lower + (upper - lower) * within);
            }
            below += count;
            lower = *upper;
        }
        Some(last)
    }
}

/// A share as people read it: `0 %`, `0.35 %`, `1.24 %`, `70 %`, `78.3 %`. What is next to nothing is not called
/// nothing, and what is nearly all is not called all.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 9_999.0 {
        return "> 9999 %".to_owned();
    }
    if percent > 0.0 && percent < 0.005 {
        return "< 0.01 %".to_owned();
    }
    if (99.95..100.0).contains(&percent) {
        return "> 99.9 %".to_owned();
    }
    let written = if percent < 9.995 { format!("{percent:.2}") } else { format!("{percent:.1}") };
    format!("{} %", written.trim_end_matches('0').trim_end_matches('.'))
}

/// p50, p95 and p99 in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Percentiles {
    /// Half of the requests were no slower.
    pub p50_ms: f64,
    /// 95 % were no slower.
    pub p95_ms: f64,
    /// 99 % were no slower.
    pub p99_ms: f64,
}

/// What one instance did over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct InstanceLoad {
    /// The instance.
    pub instance: InstanceId,
    /// Requests answered in the window.
    pub requests: u64,
    /// Of these, answered with a server error that is not the halt's own refusal.
    pub errors: u64,
    /// How long they took.
    pub latency: Histogram,
    /// CPU time over wall time, 1.0 being one core fully used; `None` when it cannot be told.
    pub cpu: Option<f64>,
    /// Resident memory in bytes at the window's end; `None` when it cannot be told.
    pub memory_bytes: Option<u64>,
    /// The share of its worker slots that were busy, on the average; `None` where it does not tell.
    pub saturation: Option<f64>,
}

/// What a fleet did over a window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Load {
    /// The end of the window: the moment of the newest reading in it.
    pub until: Timestamp,
    /// The window that the figures really cover; shorter than asked for while there is not that much to look back on.
    pub window: Millis,
    /// Every instance that could be read.
    pub instances: Vec<InstanceLoad>,
    /// The ones that could not: their share of the figures is not known.
    pub missing: Vec<InstanceId>,
}

impl Load {
    /// Requests and server errors over all instances.
    pub fn requests_and_errors(&self) -> (u64, u64) {
        self.instances
            .iter()
            .fold((0, 0), |(requests, errors), instance| (requests + instance.requests, errors + instance.errors))
    }

    /// The share of requests that failed; `None` without requests.
    pub fn error_share(&self) -> Option<f64> {
        let (requests, errors) = self.requests_and_errors();
        (requests > 0).then(|| errors as f64 / requests as f64)
    }

    /// Requests per second over all instances; `None` for an empty window.
    pub fn requests_per_second(&self) -> Option<f64> {
        let seconds = self.window.duration().as_secs_f64();
        (seconds > 0.0).then(|| self.requests_and_errors().0 as f64 / seconds)
    }

    /// Latency over all instances; `None` without requests, or when buckets differ between instances.
    pub fn percentiles(&self) -> Option<Percentiles> {
        let mut whole = Histogram::default();
        for instance in &self.instances {
            if !whole.add(&instance.latency) {
                return None;
            }
        }
        Some(Percentiles {
            p50_ms: whole.quantile_ms(0.50)?,
            p95_ms: whole.quantile_ms(0.95)?,
            p99_ms: whole.quantile_ms(0.99)?,
        })
    }

    /// Adds up consecutive samples into one window; `None` for none, or when their buckets differ.
    pub fn over(samples: &[Self]) -> Option<Self> {
        let (first, rest) = samples.split_first()?;
        let mut whole = first.clone();
        for sample in rest {
            whole.until = sample.until;
            whole.window = Millis(whole.window.0.saturating_add(sample.window.0));
            for load in &sample.instances {
                match whole.instances.iter_mut().find(|known| known.instance == load.instance) {
                    Some(known) => {
                        known.requests += load.requests;
                        known.errors += load.errors;
                        known.cpu = load.cpu;
                        known.memory_bytes = load.memory_bytes;
                        known.saturation = load.saturation;
                        if !known.latency.add(&load.latency) {
                            return None;
                        }
                    }
                    None => whole.instances.push(load.clone()),
                }
            }
            for missing in &sample.missing {
                if !whole.missing.contains(missing) {
                    whole.missing.push(missing.clone());
                }
            }
        }
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_has_as_many_decimals_as_it_takes_and_no_more() {
        let said: Vec<String> =
            [0.0, 0.000_01, 0.0035, 0.01, 0.0124, 0.0999, 0.1, 0.625, 0.7, 0.9996, 1.0, f64::MAX].map(percent).into();
        let wanted = [
            "0 %", "< 0.01 %", "0.35 %", "1 %", "1.24 %", "9.99 %", "10 %", "62.5 %", "70 %", "> 99.9 %", "100 %",
            "> 9999 %",
        ];
        assert_eq!(said, wanted);
    }

    fn histogram(latencies_ms: &[f64]) -> Histogram {
        let mut histogram = Histogram::empty(&BACKEND_BOUNDS_MS);
        for ms in latencies_ms {
            histogram.record(*ms);
        }
        histogram
    }

    fn close(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-6), "{found:?} is not {wanted}");
    }

    #[test]
    fn a_quantile_is_interpolated_within_its_bucket() {
        // Ten requests between 100 and 250 ms: the median is the middle of that bucket.
        let ten = histogram(&[150.0; 10]);
        close(ten.quantile_ms(0.5), 175.0);
        close(ten.quantile_ms(1.0), 250.0);
    }

    #[test]
    fn a_quantile_beyond_the_last_bound_is_that_bound_and_none_without_requests() {
        close(histogram(&[60_000.0]).quantile_ms(0.99), 10_000.0);
        assert_eq!(histogram(&[]).quantile_ms(0.5), None);
        assert_eq!(Histogram::default().quantile_ms(0.5), None);
    }

    #[test]
    fn a_bound_belongs_to_the_bucket_that_it_closes() {
        assert_eq!(histogram(&[250.0]).counts[4], 1);
        assert_eq!(histogram(&[250.1]).counts[5], 1);
    }

    #[test]
    fn histograms_with_other_buckets_are_never_added_up() {
        let mut mine = histogram(&[20.0]);
        let other = Histogram::empty(&[1.0, 2.0]);
        assert!(!mine.add(&other));
        assert_eq!(mine, histogram(&[20.0]));
    }
}
