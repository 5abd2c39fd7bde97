//! How fast a bot may ask: a bucket for each route and place, fifty requests a second in all, and a ban for an address
//! whose requests are too often invalid. Who asks again before the time it was told is noted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::clock::between;

/// Requests a second over all routes; answers to interactions do not count.
pub const GLOBAL: usize = 50;
const GLOBAL_WINDOW: Duration = Duration::from_secs(1);
/// Invalid requests (401, 403, 429) in ten minutes, after which an address is banned.
pub const INVALID_REQUESTS: usize = 10_000;
const INVALID_WINDOW: Duration = Duration::from_mins(10);
/// A client measures time a little otherwise than this does, and milliseconds are rounded.
const TOLERANCE: Duration = Duration::from_millis(5);

/// A route's allowance: so many requests, all of them back after so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Requests.
    pub requests: u32,
    /// The window, which begins with its first request.
    pub every: Duration,
}

pub(crate) struct Limits {
    /// Allowances that a test set, by the route's name (`POST /channels/{channel_id}/messages`).
    pub(crate) set: BTreeMap<String, Allowance>,
    /// Nothing is limited, as a benchmark wants it.
    pub(crate) off: bool,
    pub(crate) invalid_allowed: usize,
    buckets: HashMap<String, Bucket>,
    all: VecDeque<Timestamp>,
    invalid: VecDeque<Timestamp>,
    /// Until when each bucket must not be asked; the global one under an empty name.
    told_to_wait: HashMap<String, Timestamp>,
}

#[derive(Clone, Copy)]
struct Bucket {
    allowance: Allowance,
    used: u32,
    began: Timestamp,
}

/// Why a request is turned away for now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait {
    pub(crate) retry_after: Duration,
    pub(crate) global: bool,
}

/// Which bucket a request draws from: the route's name and its major parameter.
pub(crate) struct Drawn<'a> {
    pub(crate) route: &'a str,
    pub(crate) family: &'a str,
    pub(crate) place: &'a str,
    /// Answers to interactions stand outside the global limit.
    pub(crate) counts_globally: bool,
}

impl Drawn<'_> {
    fn key(&self) -> String {
        format!("{}:{}", self.family, self.place)
    }

    /// A bucket's name, which tells nothing and is the same for all that share it.
    fn id(&self) -> String {
        let hash = self
            .family
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}{hash:016x}")
    }
}

impl Limits {
    pub(crate) fn new() -> Self {
        Self {
            set: BTreeMap::new(),
            off: false,
            invalid_allowed: INVALID_REQUESTS,
            buckets: HashMap::new(),
            all: VecDeque::new(),
            invalid: VecDeque::new(),
            told_to_wait: HashMap::new(),
        }
    }

    fn allowance(&self, drawn: &Drawn<'_>) -> Allowance {
        let usual = |requests, milliseconds| Allowance { requests, every: Duration::from_millis(milliseconds) };
        self.set.get(drawn.route).copied().unwrap_or_else(|| match drawn.family {
            "send" | "edit" | "read" => usual(5, 5000),
            "delete" => usual(5, 1000),
            "react" => usual(1, 250),
            "webhook" => usual(5, 2000),
            "commands" => usual(20, 20_000),
            _ => usual(50, 1000),
        })
    }

    /// Notes a request that should not have been made yet.
    pub(crate) fn too_early(&mut self, drawn: &Drawn<'_>, now: Timestamp) -> Option<Duration> {
        let keys = [Some(drawn.key()), drawn.counts_globally.then(String::new)];
        let early =
            keys.into_iter().flatten().filter_map(|key| self.told_to_wait.get(&key)).map(|until| between(now, *until));
        early.max().filter(|early| *early > TOLERANCE)
    }

    /// Draws one request, or says how long to wait.
    pub(crate) fn draw(&mut self, drawn: &Drawn<'_>, now: Timestamp) -> Result<(), Wait> {
        if self.off {
            return Ok(());
        }
        if drawn.counts_globally {
            while self.all.front().is_some_and(|at| between(*at, now) >= GLOBAL_WINDOW) {
                self.all.pop_front();
            }
            if let Some(first) = self.all.front().filter(|_| self.all.len() >= GLOBAL) {
                let wait = Wait { retry_after: GLOBAL_WINDOW.saturating_sub(between(*first, now)), global: true };
                self.told(drawn, wait, now);
                return Err(wait);
            }
        }
        let allowance = self.allowance(drawn);
        let fresh = Bucket { allowance, used: 0, began: now };
        let bucket = self.buckets.entry(drawn.key()).or_insert(fresh);
        if between(bucket.began, now) >= bucket.allowance.every || bucket.allowance != allowance {
            *bucket = fresh;
        }
        if bucket.used >= allowance.requests {
            let retry_after = allowance.every.saturating_sub(between(bucket.began, now));
            let wait = Wait { retry_after, global: false };
            self.told(drawn, wait, now);
            return Err(wait);
        }
        bucket.used += 1;
        if drawn.counts_globally {
            self.all.push_back(now);
        }
        Ok(())
    }

    /// Remembers that a wait was asked for.
    pub(crate) fn told(&mut self, drawn: &Drawn<'_>, wait: Wait, now: Timestamp) {
        let key = if wait.global { String::new() } else { drawn.key() };
        if let Ok(until) = now.checked_add(wait.retry_after) {
            self.told_to_wait.insert(key, until);
        }
    }

    /// Another process has the token now: what one was told, the next cannot know.
    pub(crate) fn nobody_was_told(&mut self) {
        self.told_to_wait.clear();
    }

    /// Counts an answer that was 401, 403 or 429.
    pub(crate) fn count_invalid(&mut self, now: Timestamp) {
        self.invalid.push_back(now);
    }

    /// Invalid requests in the last ten minutes.
    pub(crate) fn invalid(&mut self, now: Timestamp) -> usize {
        while self.invalid.front().is_some_and(|at| between(*at, now) >= INVALID_WINDOW) {
            self.invalid.pop_front();
        }
        self.invalid.len()
    }

    /// What every answer says about its bucket.
    pub(crate) fn headers(&self, drawn: &Drawn<'_>, now: Timestamp) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.off {
            return headers;
        }
        let Some(bucket) = self.buckets.get(&drawn.key()) else { return headers };
        let left = bucket.allowance.every.saturating_sub(between(bucket.began, now));
        let reset = now.as_millisecond() as f64 / 1000.0 + left.as_secs_f64();
        let mut put = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        put("x-ratelimit-limit", bucket.allowance.requests.to_string());
        put("x-ratelimit-remaining", bucket.allowance.requests.saturating_sub(bucket.used).to_string());
        put("x-ratelimit-reset", format!("{reset:.3}"));
        put("x-ratelimit-reset-after", format!("{:.3}", left.as_secs_f64()));
        put("x-ratelimit-bucket", drawn.id());
        headers
    }
}

/// What a 429 says in its headers, beside the bucket's.
pub(crate) fn wait_headers(headers: &mut HeaderMap, wait: Wait) {
    let seconds = wait.retry_after.as_secs_f64().ceil().max(1.0) as u64;
    headers.insert("retry-after", HeaderValue::from(seconds));
    headers.insert("x-ratelimit-scope", HeaderValue::from_static(if wait.global { "global" } else { "user" }));
    if wait.global {
        headers.insert("x-ratelimit-global", HeaderValue::from_static("true"));
    }
}
