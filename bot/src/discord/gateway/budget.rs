//! How often the gateway may be tried, and a session begun.

use std::collections::VecDeque;
use std::time::Duration;

use serenity::all::SessionStartLimit;
use tokio::time::Instant;

/// A day, over which Discord counts.
const DAY: Duration = Duration::from_hours(24);

/// How many sessions this process begins in a day at most, of Discord's thousand.
const OURS: usize = 500;

/// How many are left to whoever comes to mend things, and to the process after this one.
const LEFT: u64 = 50;

/// A connection that lived so long was a good one: the next failure is the first again.
const GOOD: Duration = Duration::from_mins(1);

/// The longest wait before it is asked again whether a session may be begun.
const ASK_AGAIN: Duration = Duration::from_mins(30);

/// What was tried so far.
#[derive(Debug)]
pub(super) struct Budget {
    first: Duration,
    most: Duration,
    failures: u32,
    begun: VecDeque<Instant>,
}

impl Budget {
    pub(super) fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0, begun: VecDeque::new() }
    }

    /// How long to wait before the next attempt.
    pub(super) fn pause(&self) -> Duration {
        match self.failures {
            // What broke off once is resumed at once.
            0 | 1 => Duration::ZERO,
            failures => {
                let pause = (self.first * 2_u32.pow((failures - 2).min(16))).min(self.most);
                pause.mul_f64(0.75 + fastrand::f64() / 2.0).min(self.most)
            }
        }
    }

    /// An attempt failed, or a connection ended.
    pub(super) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// A connection ended that lived so long.
    pub(super) fn ended(&mut self, lived: Duration) {
        if lived >= GOOD {
            self.failures = 1;
        }
    }

    /// A session is begun.
    pub(super) fn identifies(&mut self) {
        self.begun.push_back(Instant::now());
    }

    /// How long to wait before a session may be begun; `None` when it may be now.
    pub(super) fn may_identify(&mut self, told: &SessionStartLimit) -> Option<Duration> {
        let now = Instant::now();
        while self.begun.front().is_some_and(|begun| now.duration_since(*begun) >= DAY) {
            self.begun.pop_front();
        }
        if let Some(oldest) = self.begun.front().filter(|_| self.begun.len() >= OURS) {
            return Some(DAY.saturating_sub(now.duration_since(*oldest)).min(ASK_AGAIN));
        }
        // Where fewer are allowed at all, fewer are left.
        let is_short = told.remaining <= LEFT.min(told.total / 20);
        is_short.then(|| Duration::from_millis(told.reset_after).clamp(Duration::from_secs(1), ASK_AGAIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn told(remaining: u64) -> SessionStartLimit {
        let told = serde_json::json!({
            "total": 1_000, "remaining": remaining, "reset_after": 7_200_000, "max_concurrency": 1,
        });
        serde_json::from_value(told).unwrap()
    }

    #[test]
    fn each_failure_waits_longer_and_a_good_connection_forgives() {
        let mut budget = Budget::new(secs(1), secs(600));
        let mut pauses = Vec::new();
        for _ in 0..14 {
            pauses.push(budget.pause());
            budget.failed();
        }
        assert_eq!(pauses[..2], [Duration::ZERO; 2]);
        assert!(pauses[2] <= secs(2) && pauses[6] >= secs(12) && pauses[13] >= secs(450), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= secs(600)));
        budget.ended(secs(59));
        assert!(budget.pause() >= secs(450));
        budget.ended(secs(60));
        assert_eq!(budget.pause(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_days_budget_is_never_used_up() {
        let mut budget = Budget::new(secs(1), secs(600));
        assert_eq!(budget.may_identify(&told(51)), None);
        assert_eq!(budget.may_identify(&told(50)), Some(ASK_AGAIN));
        for _ in 0..OURS {
            assert_eq!(budget.may_identify(&told(900)), None);
            budget.identifies();
        }
        assert_eq!(budget.may_identify(&told(900)), Some(ASK_AGAIN));
        tokio::time::advance(DAY).await;
        assert_eq!(budget.may_identify(&told(900)), None);
    }
}
