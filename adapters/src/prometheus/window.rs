//! Which stretch of time an answer is about, so that the next one continues exactly where it ends.
//!
//! A moment up to which every instance has been read since is settled: asked about it again, Prometheus says the same.
//! So an answer ends at such a moment, and never at the present one, whose figures may still be on their way.

use std::collections::BTreeMap;

use scalebot_commands::units::InstanceId;

/// How long Prometheus goes on showing the last that it read, in milliseconds: its own default.
pub(super) const LOOK_BACK: i64 = 300_000;

/// After so many intervals without a reading, the figures are stale.
const STALE_AFTER: i64 = 3;

/// An answer's end is found on a raster of a third of an interval, so that it is not older than need be.
const RASTER: i64 = 3;

/// Beyond so many parts of the raster, whole intervals are fine enough.
const FINE: i64 = 12;

/// When each instance was read: milliseconds since 1970, rising.
#[derive(Clone, Debug, Default)]
pub(super) struct Scrapes(pub(super) BTreeMap<InstanceId, Vec<i64>>);

/// The stretch of time of an answer, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// Where the figures begin to count.
    pub(super) from: i64,
    /// Where they end.
    pub(super) until: i64,
    /// Between two moments that are looked at.
    pub(super) step: i64,
    /// The first moment that is looked at: before `from` where an instance was not read just before it.
    pub(super) start: i64,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoWindow {
    /// No instance was ever read.
    Never,
    /// None was read lately: how old the newest figures are, and may be, in milliseconds.
    Stale { age: i64, limit: i64 },
    /// Nothing was read since the moment that is asked about.
    NotYet,
}

impl Scrapes {
    /// The last time that an instance was read up to that moment, not longer before it than Prometheus shows.
    pub(super) fn last_of(&self, instance: &InstanceId, moment: i64) -> Option<i64> {
        last(self.0.get(instance)?, moment)
    }

    /// Whether an instance's figures at that moment are as good as new.
    pub(super) fn is_fresh(&self, instance: &InstanceId, moment: i64, interval: i64) -> bool {
        self.last_of(instance, moment).is_some_and(|last| moment - last <= STALE_AFTER * interval)
    }

    /// The stretch from `since` up to the last moment that is settled.
    pub(super) fn window(&self, since: i64, now: i64, interval: i64) -> Result<Window, NoWindow> {
        let limit = STALE_AFTER * interval;
        let newest = self.0.values().filter_map(|times| times.last()).max().ok_or(NoWindow::Never)?;
        // By that one's clock: a bot whose own is ahead of Prometheus' by a little has no stale figures.
        let fresh: Vec<&Vec<i64>> =
            self.0.values().filter(|times| times.last().is_some_and(|last| now - last <= limit)).collect();
        let Some(settled) = fresh.iter().filter_map(|times| times.last()).min().copied() else {
            return Err(NoWindow::Stale { age: now - newest, limit });
        };
        let from = if self.0.values().any(|times| last(times, since).is_some()) {
            since
        } else {
            let first = fresh.iter().filter_map(|times| times.iter().find(|time| **time > since)).min();
            *first.ok_or(NoWindow::NotYet)?
        };
        let raster = interval / RASTER;
        let mut parts = (settled - from).div_euclid(raster);
        if parts > FINE {
            parts -= parts % RASTER;
        }
        let until = from + parts * raster;
        let is_read_anew = |times: &&Vec<i64>| {
            last(times, from).is_none_or(|before| last(times, until).is_some_and(|last| last > before))
        };
        if parts < RASTER || !fresh.iter().all(is_read_anew) {
            return Err(NoWindow::NotYet);
        }
        let step = if parts % RASTER == 0 { raster * RASTER } else { raster };
        // Who was not read in time before `from` shows nothing there any more: its figures are found further back.
        let away = fresh.iter().filter_map(|times| last(times, from)).filter(|last| from - last > interval + raster);
        let back = away.min().map_or(0, |last| (from - last + step - 1) / step);
        Ok(Window { from, until, step, start: from - back * step })
    }
}

impl Window {
    /// The moments that are looked at.
    pub(super) fn moments(self) -> impl Iterator<Item = i64> {
        let steps = (self.until - self.start) / self.step;
        (0..=steps).map(move |step| self.start + step * self.step)
    }

    /// Its length in milliseconds.
    pub(super) fn length(self) -> i64 {
        self.until - self.from
    }
}

fn last(times: &[i64], moment: i64) -> Option<i64> {
    let after = times.partition_point(|time| *time <= moment);
    times.get(after.checked_sub(1)?).copied().filter(|last| moment - last <= LOOK_BACK)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const INTERVAL: i64 = 15_000;

    fn scrapes(times: &[&[i64]]) -> Scrapes {
        let named = |(at, times): (usize, &&[i64])| (InstanceId::new(format!("api-{at}")), times.to_vec());
        Scrapes(times.iter().enumerate().map(named).collect())
    }

    /// Read every interval from `first` to `last`.
    fn every(first: i64, last: i64) -> Vec<i64> {
        (0..=(last - first) / INTERVAL).map(|number| first + number * INTERVAL).collect()
    }

    #[test]
    fn an_answer_ends_where_every_instance_has_been_read_since() {
        let (one, other) = (every(0, 300_000), every(7_000, 307_000));
        let window = scrapes(&[&one, &other]).window(240_000, 308_000, INTERVAL).unwrap();
        assert_eq!(window, Window { from: 240_000, until: 300_000, step: INTERVAL, start: 240_000 });
        assert_eq!(window.moments().collect::<Vec<_>>(), [240_000, 255_000, 270_000, 285_000, 300_000]);
    }

    #[test]
    fn less_than_an_interval_is_waited_for() {
        let read = scrapes(&[&every(0, 300_000)]);
        for since in [285_001, 300_000, 302_000] {
            assert_eq!(read.window(since, 303_000, INTERVAL), Err(NoWindow::NotYet), "{since}");
        }
        assert_eq!(read.window(285_000, 303_000, INTERVAL).unwrap().length(), INTERVAL);
        // Long enough, and yet one of them was not read anew in it.
        let late = scrapes(&[&every(0, 300_000), &[270_000, 301_000]]);
        assert_eq!(late.window(275_000, 303_000, INTERVAL), Err(NoWindow::NotYet));
    }

    #[test]
    fn figures_that_are_old_are_not_taken_for_new_ones() {
        let read = scrapes(&[&every(0, 300_000)]);
        assert!(read.window(0, 345_000, INTERVAL).is_ok());
        assert_eq!(read.window(0, 345_001, INTERVAL), Err(NoWindow::Stale { age: 45_001, limit: 45_000 }));
        assert_eq!(scrapes(&[&[]]).window(0, 1, INTERVAL), Err(NoWindow::Never));
        // One that is not read any more holds nobody up.
        let one_away = scrapes(&[&every(0, 300_000), &every(0, 150_000)]);
        assert_eq!(one_away.window(0, 301_000, INTERVAL).unwrap().until, 300_000);
        assert!(!one_away.is_fresh(&InstanceId::new("api-1"), 300_000, INTERVAL));
    }

    #[test]
    fn it_begins_where_there_is_something_to_look_back_on() {
        let window = scrapes(&[&every(600_000, 900_000)]).window(100_000, 900_000, INTERVAL).unwrap();
        assert_eq!((window.from, window.until), (600_000, 900_000));
        // A gap in between is within: counters have counted on.
        let gap = [every(0, 100_000), every(800_000, 900_000)].concat();
        assert_eq!(scrapes(&[&gap]).window(110_000, 900_000, INTERVAL).unwrap().from, 110_000);
    }

    #[test]
    fn who_was_away_at_its_beginning_is_looked_up_before_it() {
        let back = [every(0, 150_000), every(240_000, 300_000)].concat();
        let window = scrapes(&[&every(0, 300_000), &back]).window(225_000, 300_000, INTERVAL).unwrap();
        assert_eq!((window.from, window.start), (225_000, 150_000));
    }

    proptest! {
        #[test]
        fn one_answer_begins_where_the_other_ended_and_nobody_is_read_between_them(
            phases in prop::collection::vec(0..INTERVAL, 1..5),
            polls in prop::collection::vec(1_000..40_000_i64, 1..30),
        ) {
            let begin = 1_000_000;
            let end = begin + polls.iter().sum::<i64>();
            let all: Vec<Vec<i64>> = phases.iter().map(|phase| every(phase + 100_000, end)).collect();
            let (mut now, mut since) = (begin, begin - 60_000);
            for poll in polls {
                now += poll;
                // What is not read yet cannot be known.
                let known: Vec<Vec<i64>> =
                    all.iter().map(|times| times.iter().copied().filter(|time| *time <= now).collect()).collect();
                let known: Vec<&[i64]> = known.iter().map(Vec::as_slice).collect();
                let Ok(window) = scrapes(&known).window(since, now, INTERVAL) else { continue };
                prop_assert_eq!(window.from, since);
                prop_assert!(window.until <= now && window.length() >= INTERVAL);
                prop_assert_eq!(window.moments().last(), Some(window.until));
                for times in &known {
                    // Later readings are all after its end: what holds at its end is settled.
                    prop_assert!(times.last().is_some_and(|last| *last >= window.until));
                }
                since = window.until;
            }
            prop_assert!(now - since <= 40_000 + 2 * INTERVAL, "{} behind", now - since);
        }
    }
}
