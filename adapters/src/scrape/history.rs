//! Past scrapes, kept in memory, and the difference between two of them.
//!
//! What is kept are running totals from which restarts have been taken out: when an instance's counters begin again,
//! what they show is added to what they had reached, as Prometheus' `increase` does. So the figures of any window are
//! one subtraction, and scrapes in between can be thrown away: all of the last minute are kept, before that one in
//! `keep` / 80, and those that an answer ended with.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::figures::{Histogram, InstanceLoad, Load};
use scalebot_commands::ports::PortError;
use scalebot_commands::units::{InstanceId, Millis, Timestamp, elapsed};

use super::figures::Figures;

/// How long every scrape is kept.
const RECENT: Duration = Duration::from_mins(1);

/// One in so many parts of `keep` is kept after that.
const PARTS: u32 = 80;

/// How many ends of answers are kept for being continued from.
const CONTINUED: usize = 32;

/// A wall clock that went back by up to this was corrected; by more, it was set, and what was before has no place in
/// its time.
const CORRECTION: Duration = Duration::from_mins(1);

/// A process that says it started later than it said before, by more than this, is another one. Exporters that compute
/// the moment anew each time are off by a little.
const RESTARTED: f64 = 2.0;

/// All that is remembered of a fleet's instances. With ten buckets a reading takes some 250 bytes: 500 instances over
/// 20 minutes, thinned, are about 15 MB, 18 MB while a monitor asks.
pub(crate) struct History {
    keep: Duration,
    /// How far apart those are that are kept after [`RECENT`].
    apart: Duration,
    scrapes: VecDeque<Scrape>,
    known: HashMap<Arc<InstanceId>, Known>,
}

/// One look at every instance.
struct Scrape {
    /// When it was over, by the wall clock: rising from one to the next.
    at: Timestamp,
    /// The same by the monotonic clock.
    over: Duration,
    /// An answer ended here: the next may begin here.
    continued: bool,
    /// By instance, sorted.
    readings: Vec<(Arc<InstanceId>, Reading)>,
    missing: Vec<InstanceId>,
    /// Why the first of the missing is.
    why: Option<PortError>,
}

/// What one instance said, or why it did not.
pub(crate) struct Said {
    pub(crate) instance: InstanceId,
    /// When the orchestrator started it.
    pub(crate) started_at: Timestamp,
    /// With the moment at which it was read, by the monotonic clock.
    pub(crate) figures: Result<(Duration, Figures), PortError>,
}

/// The last that an instance said, and what that comes to.
struct Known {
    figures: Figures,
    reading: Reading,
}

/// An instance's running totals.
#[derive(Clone)]
struct Reading {
    read: Duration,
    /// From when on the totals count: the start of the process that was read first.
    since: Timestamp,
    /// Totals of another shape (other buckets, other series) cannot be compared with these.
    shape: u32,
    requests: u64,
    errors: u64,
    bounds_ms: Arc<[f64]>,
    counts: Box<[u64]>,
    sum_ms: f64,
    cpu_seconds: Option<f64>,
    busy_seconds: Option<f64>,
    slots: Option<f64>,
    memory_bytes: Option<u64>,
}

impl History {
    pub(crate) fn new(keep: Duration) -> Self {
        Self { keep, apart: keep / PARTS, scrapes: VecDeque::new(), known: HashMap::new() }
    }

    /// One that throws nothing away that is younger than this.
    pub(crate) fn whole(keep: Duration) -> Self {
        Self { apart: Duration::ZERO, ..Self::new(keep) }
    }

    /// Adds what every instance said.
    pub(crate) fn add(&mut self, now: Timestamp, over: Duration, said: Vec<Said>) {
        let mut scrape = Scrape {
            at: self.place(now),
            over,
            continued: false,
            readings: Vec::new(),
            missing: Vec::new(),
            why: None,
        };
        for Said { instance, started_at, figures } in said {
            match figures {
                Ok((read, figures)) => scrape.readings.push(self.learn(instance, started_at, read, figures)),
                Err(error) => {
                    scrape.missing.push(instance);
                    scrape.why.get_or_insert(error);
                }
            }
        }
        scrape.readings.sort_by(|(one, _), (other, _)| one.cmp(other));
        scrape.missing.sort();
        self.scrapes.push_back(scrape);
        self.thin(over);
    }

    /// The moment of a new scrape: after the one before, whatever the wall clock does.
    fn place(&mut self, now: Timestamp) -> Timestamp {
        let Some(last) = self.scrapes.back().map(|scrape| scrape.at).filter(|last| *last >= now) else { return now };
        if elapsed(now, last) > CORRECTION {
            self.scrapes.clear();
            return now;
        }
        last.checked_add(Duration::from_nanos(1)).unwrap_or(last)
    }

    fn learn(
        &mut self,
        instance: InstanceId,
        started_at: Timestamp,
        read: Duration,
        figures: Figures,
    ) -> (Arc<InstanceId>, Reading) {
        let known = self.known.get_key_value(&instance);
        let id = known.map_or_else(|| Arc::new(instance), |(id, _)| id.clone());
        let reading = match known {
            Some((_, known)) => known.followed_by(read, &figures),
            None => Reading::first(read, started_at, &figures),
        };
        self.known.insert(id.clone(), Known { figures, reading: reading.clone() });
        (id, reading)
    }

    fn thin(&mut self, now: Duration) {
        let (keep, apart_by) = (self.keep, self.apart);
        let old = |moment: Duration| now.saturating_sub(moment);
        self.known.retain(|_, known| old(known.reading.read) <= keep);
        let mut continued = 0;
        for scrape in self.scrapes.iter_mut().rev().filter(|scrape| scrape.continued) {
            continued += 1;
            scrape.continued = continued <= CONTINUED;
        }
        let mut kept: Option<Duration> = None;
        self.scrapes.retain(|scrape| {
            if old(scrape.over) > keep {
                return false;
            }
            let apart = kept.is_none_or(|kept| scrape.over.saturating_sub(kept) >= apart_by);
            if apart {
                kept = Some(scrape.over);
            }
            apart || scrape.continued || old(scrape.over) <= RECENT
        });
    }

    /// What happened from the first scrape at or after `since` to the last.
    ///
    /// # Errors
    /// When the last found nobody, or there is no scrape before it in that time.
    pub(crate) fn load(&mut self, since: Timestamp) -> Result<Load, PortError> {
        let unreadable = |detail: String| PortError::Unreadable { what: "the instances' metrics".into(), detail };
        let Some(last) = self.scrapes.len().checked_sub(1) else {
            return Err(unreadable("nothing was read yet".into()));
        };
        let newest = &self.scrapes[last];
        if newest.readings.is_empty() {
            return Err(newest.why.clone().unwrap_or_else(|| unreadable("the fleet has no instances".into())));
        }
        let first = self.scrapes.partition_point(|scrape| scrape.at < since);
        if first >= last {
            return Err(unreadable("nothing to compare with yet; ask again in a few seconds".into()));
        }
        let base = &self.scrapes[first];
        let mut load = Load {
            until: newest.at,
            window: Millis::from(newest.over.saturating_sub(base.over)),
            instances: Vec::with_capacity(newest.readings.len()),
            missing: newest.missing.clone(),
        };
        for (id, reading) in &newest.readings {
            match self.instance_load(first, id, reading) {
                Some(instance) => load.instances.push(instance),
                None => load.missing.push((**id).clone()),
            }
        }
        if load.instances.is_empty() {
            return Err(unreadable("nothing to compare with yet; ask again in a few seconds".into()));
        }
        load.missing.sort();
        self.scrapes[last].continued = true;
        Ok(load)
    }

    /// What an instance did since the scrape number `first`. It is compared with what it last said up to then, be that
    /// earlier because it did not answer: what it did meanwhile was not told in any answer. An instance of which nothing
    /// is known up to then counts from zero if it started since, else from when it was first read. `None` when there is
    /// nothing to compare with.
    fn instance_load(&self, first: usize, id: &InstanceId, reading: &Reading) -> Option<InstanceLoad> {
        let base = self.scrapes.get(first)?;
        let newest = self.scrapes.back()?;
        let before = self.scrapes.iter().take(first + 1).rev().find_map(|scrape| scrape.of(id));
        let (earlier, covered) = match before {
            Some(earlier) => (Some(earlier), reading.read.saturating_sub(earlier.read)),
            None if reading.since >= base.at => (None, elapsed(reading.since, newest.at)),
            None => {
                let earlier = self.scrapes.iter().skip(first + 1).find_map(|scrape| scrape.of(id))?;
                (Some(earlier), reading.read.saturating_sub(earlier.read))
            }
        };
        // The one that was read first is this one, or its figures are of another shape.
        if earlier.is_some_and(|earlier| earlier.shape != reading.shape || earlier.read >= reading.read) {
            return None;
        }
        Some(reading.since_earlier(id, earlier, covered.as_secs_f64()))
    }
}

impl Scrape {
    fn of(&self, id: &InstanceId) -> Option<&Reading> {
        let at = self.readings.binary_search_by(|(known, _)| (**known).cmp(id)).ok()?;
        self.readings.get(at).map(|(_, reading)| reading)
    }
}

impl Known {
    /// The totals after the instance said `now`.
    fn followed_by(&self, read: Duration, now: &Figures) -> Reading {
        let (before, total) = (&self.figures, &self.reading);
        let other_buckets =
            !before.bounds_ms.is_empty() && !now.bounds_ms.is_empty() && before.bounds_ms != now.bounds_ms;
        let other_series = before.cpu_seconds.is_some() != now.cpu_seconds.is_some()
            || before.busy_seconds.is_some() != now.busy_seconds.is_some();
        if other_buckets || other_series {
            let mut reading = Reading::first(read, total.since, now);
            reading.shape = total.shape.wrapping_add(1);
            return reading;
        }
        let restarted = now.restarted_since(before);
        let count = |total: u64, before: u64, now: u64| {
            total.saturating_add(if restarted { now } else { now.saturating_sub(before) })
        };
        let measure = |total: f64, before: f64, now: f64| total + if restarted { now } else { (now - before).max(0.0) };
        let optional = |total: Option<f64>, before: Option<f64>, now: Option<f64>| Some(measure(total?, before?, now?));
        let bucket = |counts: &[u64], at: usize| counts.get(at).copied().unwrap_or(0);
        let counts = (0..total.counts.len().max(now.counts.len()))
            .map(|at| count(bucket(&total.counts, at), bucket(&before.counts, at), bucket(&now.counts, at)))
            .collect();
        Reading {
            read,
            since: total.since,
            shape: total.shape,
            requests: count(total.requests, before.requests, now.requests),
            errors: count(total.errors, before.errors, now.errors),
            bounds_ms: if total.counts.is_empty() { now.bounds_ms.as_slice().into() } else { total.bounds_ms.clone() },
            counts,
            sum_ms: measure(total.sum_ms, before.sum_ms, now.sum_ms),
            cpu_seconds: optional(total.cpu_seconds, before.cpu_seconds, now.cpu_seconds),
            busy_seconds: optional(total.busy_seconds, before.busy_seconds, now.busy_seconds),
            slots: now.slots,
            memory_bytes: now.memory_bytes,
        }
    }
}

impl Figures {
    /// Whether this is another process than said `before`: it says that it started later, or a counter is lower.
    fn restarted_since(&self, before: &Self) -> bool {
        // Sums of many numbers may differ in their last digits.
        let lower = |now: f64, before: f64| now < before - before * 1e-9;
        let optional =
            |now: Option<f64>, before: Option<f64>| now.zip(before).is_some_and(|(now, before)| lower(now, before));
        let later = self.started.zip(before.started).is_some_and(|(now, before)| now > before + RESTARTED);
        later
            || self.requests < before.requests
            || self.errors < before.errors
            || self.counts.is_empty() && !before.counts.is_empty()
            || self.counts.iter().zip(&before.counts).any(|(now, before)| now < before)
            || lower(self.sum_ms, before.sum_ms)
            || optional(self.cpu_seconds, before.cpu_seconds)
            || optional(self.busy_seconds, before.busy_seconds)
    }
}

impl Reading {
    /// The totals of an instance of which nothing was known: all that its process did.
    fn first(read: Duration, started_at: Timestamp, figures: &Figures) -> Self {
        // The process knows best when it started; it may have been started anew since the orchestrator noted it.
        let since = figures.started.and_then(|seconds| Timestamp::from_millisecond((seconds * 1_000.0) as i64).ok());
        Self {
            read,
            since: since.unwrap_or(started_at),
            shape: 0,
            requests: figures.requests,
            errors: figures.errors,
            bounds_ms: figures.bounds_ms.as_slice().into(),
            counts: figures.counts.as_slice().into(),
            sum_ms: figures.sum_ms,
            cpu_seconds: figures.cpu_seconds,
            busy_seconds: figures.busy_seconds,
            slots: figures.slots,
            memory_bytes: figures.memory_bytes,
        }
    }

    /// What was done since `earlier` (or since zero), `covered` seconds ago.
    fn since_earlier(&self, id: &InstanceId, earlier: Option<&Self>, covered: f64) -> InstanceLoad {
        let rate = |now: Option<f64>, earlier: Option<Option<f64>>| {
            let increase = (now? - earlier.unwrap_or(Some(0.0))?).max(0.0);
            (covered > 0.0).then(|| increase / covered)
        };
        let before = |at: usize| earlier.and_then(|earlier| earlier.counts.get(at)).copied().unwrap_or(0);
        InstanceLoad {
            instance: id.clone(),
            requests: self.requests.saturating_sub(earlier.map_or(0, |earlier| earlier.requests)),
            errors: self.errors.saturating_sub(earlier.map_or(0, |earlier| earlier.errors)),
            latency: Histogram {
                bounds_ms: self.bounds_ms.to_vec(),
                counts: self.counts.iter().enumerate().map(|(at, count)| count.saturating_sub(before(at))).collect(),
                sum_ms: (self.sum_ms - earlier.map_or(0.0, |earlier| earlier.sum_ms)).max(0.0),
            },
            cpu: rate(self.cpu_seconds, earlier.map(|earlier| earlier.cpu_seconds)),
            memory_bytes: self.memory_bytes,
            saturation: self.slots.filter(|slots| *slots > 0.0).and_then(|slots| {
                let busy = rate(self.busy_seconds, earlier.map(|earlier| earlier.busy_seconds))?;
                Some((busy / slots).min(1.0))
            }),
        }
    }
}

#[cfg(test)]
mod tests;
