//! What is counted and timed while it happens, for a monitoring system to read later. Nothing here waits or allocates.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scalebot_commands::units::Timestamp;
use tokio::time::Instant;

/// How long something took, each time, in buckets.
#[derive(Debug)]
pub(crate) struct Histogram {
    /// The upper bounds of the buckets in seconds, rising; what took longer than the last is in one more.
    bounds: &'static [f64],
    counts: Vec<AtomicU64>,
    /// In microseconds.
    sum: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measured {
    /// The upper bound of each bucket in seconds, and how many took no longer.
    pub(crate) upto: Vec<(f64, u64)>,
    /// How many there were.
    pub(crate) count: u64,
    /// How long all of them took together, in seconds.
    pub(crate) sum: f64,
}

impl Histogram {
    /// Nothing was timed yet. The bounds are in seconds and rise.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        let counts = std::iter::repeat_with(AtomicU64::default).take(bounds.len() + 1).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }

    /// It took that long, once more.
    pub(crate) fn took(&self, length: Duration) {
        let seconds = length.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// What was timed until now.
    pub(crate) fn measured(&self) -> Measured {
        let mut count = 0;
        let mut cumulative = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let upto = self.bounds.iter().copied().zip(cumulative.by_ref()).collect();
        // What took longer than the last bound.
        cumulative.for_each(drop);
        Measured { upto, count, sum: self.sum.load(Ordering::Relaxed) as f64 / 1e6 }
    }
}

/// The buckets of requests to a chat system, in seconds.
const REQUEST_BOUNDS: [f64; 8] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What became of a request to a chat system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Became {
    /// It was done.
    Done,
    /// It was refused, for a reason that stays.
    Refused,
    /// There were too many: it was to wait (HTTP 429).
    RateLimited,
    /// There was no answer, or one of a server in trouble.
    Failed,
}

impl Became {
    /// Everything that can become of one.
    pub(crate) const ALL: [Self; 4] = [Self::Done, Self::Refused, Self::RateLimited, Self::Failed];

    /// As a label.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::Failed => "failed",
        }
    }
}

/// The requests to a chat system, each attempt by itself, without the time that it waited for its turn.
#[derive(Debug)]
pub(crate) struct Requests {
    latency: Histogram,
    became: [AtomicU64; Became::ALL.len()],
}

impl Default for Requests {
    fn default() -> Self {
        Self { latency: Histogram::new(&REQUEST_BOUNDS), became: Default::default() }
    }
}

impl Requests {
    /// One is sent now. Dropped without an answer, it has failed.
    pub(crate) fn sent(&self) -> Sent<'_> {
        Sent { requests: self, at: Instant::now(), became: Became::Failed }
    }

    /// How many came to what.
    pub(crate) fn counts(&self) -> [(&'static str, u64); Became::ALL.len()] {
        Became::ALL.map(|became| {
            let count = self.became.get(became as usize).map_or(0, |count| count.load(Ordering::Relaxed));
            (became.label(), count)
        })
    }

    /// How long they took.
    pub(crate) fn latency(&self) -> Measured {
        self.latency.measured()
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(crate) struct Sent<'a> {
    requests: &'a Requests,
    at: Instant,
    became: Became,
}

impl Sent<'_> {
    /// It came to that.
    pub(crate) fn came_to(mut self, became: Became) {
        self.became = became;
    }
}

impl Drop for Sent<'_> {
    fn drop(&mut self) {
        self.requests.latency.took(self.at.elapsed());
        if let Some(count) = self.requests.became.get(self.became as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The heartbeats of this process, by whether they were taken.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    sent: AtomicU64,
    failed: AtomicU64,
    /// When the last one was taken, in milliseconds since 1970; 0 for never.
    last: AtomicU64,
}

impl Beats {
    /// One was taken, or was not.
    pub(crate) fn came_to(&self, taken: bool) {
        if taken {
            self.sent.fetch_add(1, Ordering::Relaxed);
            self.last.store(u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0), Ordering::Relaxed);
        } else {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many came to what.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        [("sent", self.sent.load(Ordering::Relaxed)), ("failed", self.failed.load(Ordering::Relaxed))]
    }

    /// When the last one was taken, in milliseconds since 1970.
    pub(crate) fn last_sent(&self) -> Option<u64> {
        Some(self.last.load(Ordering::Relaxed)).filter(|at| *at > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_exactly_as_long_as_a_bound_is_within_it_and_what_took_longer_than_all_is_counted() {
        let histogram = Histogram::new(&[0.5, 1.0]);
        for millis in [400, 500, 501, 1_000, 9_000] {
            histogram.took(Duration::from_millis(millis));
        }
        let Measured { upto, count, sum } = histogram.measured();
        assert_eq!((upto, count), (vec![(0.5, 2), (1.0, 4)], 5));
        assert!((sum - 11.401).abs() < 1e-9, "{sum}");
    }

    #[tokio::test(start_paused = true)]
    async fn requests_are_counted_by_what_became_of_them_and_one_that_is_given_up_has_failed() {
        let requests = Requests::default();
        let sent = requests.sent();
        tokio::time::advance(Duration::from_millis(30)).await;
        sent.came_to(Became::RateLimited);
        let sent = requests.sent();
        tokio::time::advance(Duration::from_secs(11)).await;
        drop(sent);
        assert_eq!(requests.counts(), [("done", 0), ("refused", 0), ("rate_limited", 1), ("failed", 1)]);
        let latency = requests.latency();
        assert_eq!((latency.upto.first(), latency.upto.last(), latency.count), (Some(&(0.05, 1)), Some(&(10.0, 1)), 2));
    }
}
