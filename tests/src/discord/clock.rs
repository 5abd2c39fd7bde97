//! The double's idea of time: real time, and whatever a test has added to it. Token life, nonce windows, buckets and the
//! three seconds for an answer go by it, so that no test waits for minutes.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock that a test can set forward.
#[derive(Debug)]
pub(crate) struct Clock {
    began: Timestamp,
    running: Instant,
    added: Duration,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { began: Timestamp::now(), running: Instant::now(), added: Duration::ZERO }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.running.elapsed() + self.added).unwrap_or(SignedDuration::MAX);
        self.began.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.added += by;
    }
}

/// How long it is from `earlier` to `later`; nothing where it is the other way round.
pub(crate) fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    Duration::try_from(later.duration_since(earlier)).unwrap_or(Duration::ZERO)
}

/// A moment as Discord writes it: `2026-01-31T12:00:00.250000+00:00`.
pub(crate) fn iso8601(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6f+00:00").to_string()
}
