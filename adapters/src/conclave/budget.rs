//! How many observer requests an instance still takes. The backend counts them over the last minute and answers 429
//! beyond; counting them here the same way keeps the bot from using up what observers need, and says how long to wait.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scalebot_commands::ports::{PortError, World};

use crate::http::Http;

/// A minute, and a little for requests that arrive later than they were sent.
const WINDOW: Duration = Duration::from_secs(61);

/// What a 429 that names no time means.
const DEFAULT_WAIT: Duration = Duration::from_mins(1);

/// Beyond so many addresses, those that have not been asked for a while are forgotten.
const REMEMBERED: usize = 1_024;

/// The requests of the last minute, by address.
pub(super) struct Budget {
    world: Arc<dyn World>,
    per_minute: usize,
    addresses: Mutex<HashMap<String, Spent>>,
}

#[derive(Default)]
struct Spent {
    /// When each of the last requests was sent, by the monotonic clock.
    sent: VecDeque<Duration>,
    /// The instance itself said to wait until then.
    closed_until: Duration,
}

impl Spent {
    fn forget(&mut self, now: Duration) {
        while self.sent.front().is_some_and(|at| *at + WINDOW <= now) {
            self.sent.pop_front();
        }
    }
}

impl Budget {
    pub(super) fn new(world: Arc<dyn World>, per_minute: u32) -> Self {
        let per_minute = usize::try_from(per_minute).unwrap_or(usize::MAX);
        Self { world, per_minute, addresses: Mutex::default() }
    }

    /// Counts one request to `address`.
    ///
    /// # Errors
    /// When there is none left: [`PortError::Unreadable`], which may pass, saying how long that takes.
    pub(super) fn take(&self, http: &Http, address: &str) -> Result<(), PortError> {
        let now = self.world.monotonic();
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= REMEMBERED {
            addresses.retain(|_, spent| {
                spent.forget(now);
                !spent.sent.is_empty() || spent.closed_until > now
            });
        }
        let spent = addresses.entry(address.to_owned()).or_default();
        spent.forget(now);
        let mut free_at = spent.closed_until;
        if spent.sent.len() >= self.per_minute {
            let oldest = spent.sent.front().copied().unwrap_or(now);
            free_at = free_at.max(oldest + WINDOW);
        }
        if free_at > now {
            let wait = free_at.saturating_sub(now).as_millis().div_ceil(1_000);
            let allowed = self.per_minute;
            return Err(http.unreadable(format!(
                "not asked: its observer routes take {allowed} requests a minute and these are used up; ask again in {wait} s"
            )));
        }
        spent.sent.push_back(now);
        Ok(())
    }

    /// The instance answered 429: somebody else shares our address there. Nothing is asked of it until it said.
    pub(super) fn exhausted(&self, address: &str, retry_after: Option<Duration>) {
        let until = self.world.monotonic() + retry_after.unwrap_or(DEFAULT_WAIT);
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let spent = addresses.entry(address.to_owned()).or_default();
        spent.closed_until = spent.closed_until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::testing::ManualWorld;

    fn fixture(per_minute: u32) -> (Arc<ManualWorld>, Budget, Http) {
        let world = Arc::new(ManualWorld::new());
        let http = Http::new("instance a", Duration::from_secs(1)).unwrap();
        (world.clone(), Budget::new(world, per_minute), http)
    }

    #[test]
    fn no_minute_whatever_its_beginning_holds_more_than_is_allowed() {
        let (world, budget, http) = fixture(60);
        let mut sent: Vec<Duration> = Vec::new();
        for _ in 0..1_000 {
            if budget.take(&http, "a:1").is_ok() {
                sent.push(world.monotonic());
            }
            world.advance(Duration::from_millis(370));
        }
        for (index, first) in sent.iter().enumerate() {
            let within = sent[index..].iter().filter(|at| **at < *first + Duration::from_mins(1)).count();
            assert!(within <= 60, "{within} requests in the minute from {first:?}");
        }
        assert!(sent.len() >= 350, "370 s allow almost 370 requests, {} were made", sent.len());
    }

    #[test]
    fn an_empty_budget_says_how_long_to_wait_and_is_each_addresss_own() {
        let (world, budget, http) = fixture(2);
        assert!(budget.take(&http, "a:1").is_ok());
        world.advance(Duration::from_secs(10));
        assert!(budget.take(&http, "a:1").is_ok());
        let error = budget.take(&http, "a:1").unwrap_err();
        assert!(error.to_string().ends_with("ask again in 51 s)") && error.may_pass(), "{error}");
        assert!(budget.take(&http, "b:1").is_ok());
        world.advance(Duration::from_secs(51));
        assert!(budget.take(&http, "a:1").is_ok());
        assert!(budget.take(&http, "a:1").is_err());
    }

    #[test]
    fn what_is_remembered_of_addresses_is_bounded() {
        let (world, budget, http) = fixture(2);
        for round in 0..10 {
            for index in 0..400 {
                assert!(budget.take(&http, &format!("{round}-{index}:1")).is_ok());
            }
            world.advance(Duration::from_mins(2));
        }
        assert!(budget.addresses.lock().unwrap().len() <= REMEMBERED + 400);
    }
}
