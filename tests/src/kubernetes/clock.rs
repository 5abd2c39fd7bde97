//! The cluster's idea of time: real time, and whatever a test has added to it.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

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

/// A moment as the API writes it: whole seconds, `2026-01-31T12:00:00Z`.
pub(crate) fn seconds(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
