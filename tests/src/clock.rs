//! A double's idea of time: real time, and whatever a test has added to it, so that no test waits for minutes.

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
