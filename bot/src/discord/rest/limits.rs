//! When a request may be sent: Discord's limits, learned from its answers and kept before they are hit.
//!
//! A bucket holds the routes that share a limit, apart for each channel, server and webhook. While nothing is known of
//! one, one request at a time finds out. What Discord refuses with a 429 closes the bucket, or everything, for as long
//! as it says; nothing is sent meanwhile, so that a refusal is never answered with another request.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many requests are sent in a second at most. Discord's limit is 50; a rest is for what acknowledges.
const PER_SECOND: u32 = 40;

/// How many refusals of ours (401, 403, 429) there may be in [`WINDOW`]. Discord bans the address at 10,000.
const REFUSALS: u32 = 2_000;

/// Over which refusals are counted.
const WINDOW: Duration = Duration::from_mins(10);

/// How many buckets are remembered. Those of interactions come and go.
const REMEMBERED: usize = 2_000;

/// The longest wait that is believed.
const LONGEST: Duration = Duration::from_hours(24);

/// A route as far as limits go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    /// The method and the path without its identifiers: what shares a limit.
    pub(crate) pattern: &'static str,
    /// The channel, server or webhook: what has a limit of its own.
    pub(crate) major: String,
    /// Acknowledges: waits for nothing but what was refused.
    pub(crate) urgent: bool,
}

/// What an answer says about its bucket.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) bucket: Option<String>,
    pub(crate) limit: Option<u32>,
    pub(crate) remaining: Option<u32>,
    pub(crate) reset_after: Option<Duration>,
}

/// A bucket's name, or its route's as long as that is not known, and whose it is.
type Key = (String, String);

/// Where a request counts as under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket(Key);

/// Whether a request may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Now.
    Go(Ticket),
    /// Not before that moment.
    At(Instant),
    /// When one that is under way has been answered.
    AfterAnother,
}

/// All that is known of Discord's limits.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    buckets: HashMap<Key, Bucket>,
    /// Which bucket a route is in, as Discord names it.
    names: HashMap<&'static str, String>,
    closed_until: Option<Instant>,
    second: Option<(Instant, u32)>,
    refusals: Option<(Instant, u32)>,
}

#[derive(Debug, Default)]
struct Bucket {
    limit: u32,
    /// How many more may be sent; `None` while nothing is known.
    left: Option<u32>,
    /// When there are as many as the limit again.
    reset: Option<Instant>,
    /// Closed by a refusal.
    closed_until: Option<Instant>,
    under_way: u32,
}

impl Limits {
    /// Whether a request on this route may be sent now. With [`Turn::Go`] it counts as under way, until its ticket comes
    /// back with [`Self::answered`].
    pub(crate) fn ask(&mut self, route: &Route, now: Instant) -> Turn {
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Turn::At(until);
        }
        if let Some((since, count)) = self.refusals
            && count >= REFUSALS
            && now < since + WINDOW
        {
            return Turn::At(since + WINDOW);
        }
        if let Some((since, count)) = self.second
            && !route.urgent
            && count >= PER_SECOND
            && now < since + Duration::from_secs(1)
        {
            return Turn::At(since + Duration::from_secs(1));
        }
        let key = self.key(route);
        if let Some(turn) = self.buckets.entry(key.clone()).or_default().ask(now, route.urgent) {
            return turn;
        }
        match &mut self.second {
            Some((since, count)) if now < *since + Duration::from_secs(1) => *count += 1,
            second => *second = Some((now, 1)),
        }
        Turn::Go(Ticket(key))
    }

    /// A request that had its turn is no longer under way; what its answer told, if there was one.
    pub(crate) fn answered(&mut self, route: &Route, ticket: &Ticket, told: Option<&Told>, now: Instant) {
        if let Some(bucket) = self.buckets.get_mut(&ticket.0) {
            bucket.under_way = bucket.under_way.saturating_sub(1);
        }
        if let Some(name) = told.and_then(|told| told.bucket.as_deref())
            && self.names.get(route.pattern).is_none_or(|known| known != name)
        {
            self.rename(route.pattern, name);
        }
        if let Some(told) = told {
            self.bucket(route).learn(told, now);
        }
        self.forget(now);
    }

    /// Discord refused with a 429: nothing is sent until `wait` has passed, on this route or anywhere.
    pub(crate) fn refused(&mut self, route: &Route, wait: Duration, global: bool, now: Instant) {
        let until = now + wait.min(LONGEST);
        let closed = if global { &mut self.closed_until } else { &mut self.bucket(route).closed_until };
        *closed = Some(closed.map_or(until, |before| before.max(until)));
    }

    /// Counts an answer that Discord counts against us.
    pub(crate) fn count_refusal(&mut self, now: Instant) {
        match &mut self.refusals {
            Some((since, count)) if now < *since + WINDOW => *count += 1,
            refusals => *refusals = Some((now, 1)),
        }
    }

    /// The route is in another bucket than was known. What was refused under the old name holds under the new one, in every
    /// channel and server; requests under way count where they were sent, until their answers come.
    fn rename(&mut self, pattern: &'static str, name: &str) {
        let old = self.names.insert(pattern, name.to_owned()).unwrap_or_else(|| pattern.to_owned());
        let of_old = self.buckets.iter().filter(|((known, _), _)| *known == old);
        let closed: Vec<_> = of_old.map(|((_, major), bucket)| (major.clone(), bucket.closed_until)).collect();
        for (major, closed_until) in closed {
            let known = self.buckets.entry((name.to_owned(), major)).or_default();
            known.closed_until = known.closed_until.max(closed_until);
        }
    }

    fn key(&self, route: &Route) -> Key {
        let name = self.names.get(route.pattern).map_or(route.pattern, String::as_str);
        (name.to_owned(), route.major.clone())
    }

    fn bucket(&mut self, route: &Route) -> &mut Bucket {
        let key = self.key(route);
        self.buckets.entry(key).or_default()
    }

    fn forget(&mut self, now: Instant) {
        if self.buckets.len() > REMEMBERED {
            self.buckets.retain(|_, bucket| !bucket.is_idle(now));
        }
    }
}

impl Bucket {
    /// What a request waits for; `None` where it may be sent, and then counts as under way.
    fn ask(&mut self, now: Instant, urgent: bool) -> Option<Turn> {
        if let Some(until) = self.closed_until.filter(|until| *until > now) {
            return Some(Turn::At(until));
        }
        if self.reset.is_some_and(|reset| reset <= now) {
            self.reset = None;
            self.left = Some(self.limit.max(1).saturating_sub(self.under_way));
        }
        match (self.left, self.reset) {
            _ if urgent => {}
            (Some(0), Some(reset)) => return Some(Turn::At(reset)),
            (None, _) | (Some(0), None) if self.under_way > 0 => return Some(Turn::AfterAnother),
            _ => {}
        }
        self.left = self.left.map(|left| left.saturating_sub(1));
        self.under_way += 1;
        None
    }

    fn learn(&mut self, told: &Told, now: Instant) {
        let (Some(remaining), Some(reset_after)) = (told.remaining, told.reset_after) else {
            return;
        };
        // Answers may overtake one another: within one period the least that was told counts.
        let reset = now + reset_after.min(LONGEST);
        let same = self.reset.is_some_and(|known| reset <= known + Duration::from_millis(100));
        let left = remaining.saturating_sub(self.under_way);
        self.left = Some(if same { self.left.unwrap_or(left).min(left) } else { left });
        self.reset = Some(self.reset.filter(|_| same).unwrap_or(reset));
        self.limit = told.limit.unwrap_or(1);
    }

    fn is_idle(&self, now: Instant) -> bool {
        let past = |moment: Option<Instant>| moment.is_none_or(|moment| moment <= now);
        self.under_way == 0 && past(self.reset) && past(self.closed_until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn route(major: &str) -> Route {
        Route { pattern: "POST channels/*/messages", major: major.to_owned(), urgent: false }
    }

    fn told(remaining: u32, reset_after: u64) -> Told {
        Told {
            bucket: Some("b1".to_owned()),
            limit: Some(5),
            remaining: Some(remaining),
            reset_after: Some(secs(reset_after)),
        }
    }

    /// It may be sent now.
    fn goes(limits: &mut Limits, route: &Route, now: Instant) -> Ticket {
        match limits.ask(route, now) {
            Turn::Go(ticket) => ticket,
            turn => panic!("{route:?}: {turn:?}"),
        }
    }

    #[tokio::test]
    async fn a_route_that_leaves_a_shared_bucket_leaves_nothing_under_way_behind() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let edit = Route { pattern: "PATCH channels/*/messages/*", ..route("1") };
        for route in [&route("1"), &edit] {
            let ticket = goes(&mut limits, route, now);
            limits.answered(route, &ticket, Some(&told(4, 5)), now);
        }
        // Two are under way in the bucket that they share, and one answer says that its route is in another one now.
        let (posting, editing) = (goes(&mut limits, &route("1"), now), goes(&mut limits, &edit, now));
        let other = Told { bucket: Some("b2".to_owned()), limit: Some(1), ..told(0, 5) };
        limits.answered(&edit, &editing, Some(&other), now);
        limits.answered(&route("1"), &posting, None, now);
        assert!(limits.buckets.values().all(|bucket| bucket.under_way == 0), "{limits:?}");
        for after in [5, 10] {
            let later = now + secs(after);
            let ticket = goes(&mut limits, &edit, later);
            limits.answered(&edit, &ticket, Some(&other), later);
        }
    }

    #[tokio::test]
    async fn a_refusal_that_also_names_the_bucket_closes_it() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let ticket = goes(&mut limits, &route("1"), now);
        limits.refused(&route("1"), secs(12), false, now);
        limits.answered(&route("1"), &ticket, Some(&told(0, 5)), now);
        assert_eq!(limits.ask(&route("1"), now + secs(10)), Turn::At(now + secs(12)));
        goes(&mut limits, &route("1"), now + secs(12));
    }

    #[tokio::test]
    async fn what_one_channel_was_refused_holds_when_another_finds_the_buckets_name() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let ticket = goes(&mut limits, &route("1"), now);
        limits.refused(&route("1"), secs(12), false, now);
        limits.answered(&route("1"), &ticket, None, now);
        let ticket = goes(&mut limits, &route("2"), now);
        limits.answered(&route("2"), &ticket, Some(&told(4, 5)), now);
        assert_eq!(limits.ask(&route("1"), now + secs(10)), Turn::At(now + secs(12)));
    }

    #[tokio::test]
    async fn while_nothing_is_known_one_request_finds_out() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let ticket = goes(&mut limits, &route("1"), now);
        assert_eq!(limits.ask(&route("1"), now), Turn::AfterAnother);
        // Another channel has a limit of its own.
        goes(&mut limits, &route("2"), now);
        limits.answered(&route("1"), &ticket, Some(&told(2, 5)), now);
        goes(&mut limits, &route("1"), now);
        goes(&mut limits, &route("1"), now);
        assert_eq!(limits.ask(&route("1"), now), Turn::At(now + secs(5)));
        goes(&mut limits, &route("1"), now + secs(5));
    }

    #[tokio::test]
    async fn what_is_under_way_is_counted_and_the_least_that_was_told_counts() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let ticket = goes(&mut limits, &route("1"), now);
        limits.answered(&route("1"), &ticket, Some(&told(4, 5)), now);
        let tickets: Vec<_> = (0..3).map(|_| goes(&mut limits, &route("1"), now)).collect();
        // The last one's answer arrives first.
        limits.answered(&route("1"), &tickets[2], Some(&told(1, 5)), now);
        limits.answered(&route("1"), &tickets[0], Some(&told(3, 5)), now);
        assert_eq!(limits.ask(&route("1"), now), Turn::At(now + secs(5)));
    }

    #[tokio::test]
    async fn one_that_was_given_up_does_not_hold_the_others_up() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        let ticket = goes(&mut limits, &route("1"), now);
        limits.answered(&route("1"), &ticket, None, now);
        goes(&mut limits, &route("1"), now);
    }

    #[tokio::test]
    async fn a_refusal_closes_its_bucket_and_a_global_one_everything() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        limits.refused(&route("1"), secs(3), false, now);
        assert_eq!(limits.ask(&route("1"), now), Turn::At(now + secs(3)));
        goes(&mut limits, &route("2"), now);
        limits.refused(&route("1"), secs(7), true, now);
        let urgent = Route { urgent: true, ..route("3") };
        assert_eq!(limits.ask(&urgent, now), Turn::At(now + secs(7)), "an acknowledgement waits as well");
        limits.refused(&route("1"), secs(2), true, now);
        assert_eq!(limits.ask(&route("4"), now), Turn::At(now + secs(7)), "a shorter wait shortens nothing");
    }

    #[tokio::test]
    async fn a_second_has_room_for_so_many_and_acknowledgements_have_their_own() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for channel in 0..PER_SECOND {
            goes(&mut limits, &route(&channel.to_string()), now);
        }
        assert_eq!(limits.ask(&route("next"), now), Turn::At(now + secs(1)));
        let urgent = Route { urgent: true, ..route("next") };
        goes(&mut limits, &urgent, now);
        goes(&mut limits, &route("other"), now + secs(1));
    }

    #[tokio::test]
    async fn refusals_stop_everything_long_before_discord_bans_the_address() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for _ in 0..REFUSALS {
            limits.count_refusal(now);
        }
        assert_eq!(limits.ask(&route("1"), now), Turn::At(now + WINDOW));
        goes(&mut limits, &route("1"), now + WINDOW);
    }

    #[tokio::test]
    async fn buckets_of_what_is_over_are_forgotten() {
        let (mut limits, now) = (Limits::default(), Instant::now());
        for number in 0..=REMEMBERED {
            let route = route(&number.to_string());
            let later = now + secs(number as u64);
            let ticket = goes(&mut limits, &route, later);
            limits.answered(&route, &ticket, Some(&told(4, 1)), later);
        }
        assert!(limits.buckets.len() < 10, "{}", limits.buckets.len());
    }
}
