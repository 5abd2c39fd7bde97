//! How much one set of instances differs from another in the same samples, and what the chance of that is.

use super::statistics::{Contribution, Mean, binomial_tail, clumping};
use super::watch::{Sample, Watched};
use super::{ERROR_FLOOR, LATENCY_FLOOR};
use crate::figures::InstanceLoad;

/// A third of the time is looked at alone when it has so many samples.
const FEWEST_IN_A_THIRD: usize = 10;
/// Errors of clumps larger than this count as if in clumps of this: a burst is what is looked for, and must not
/// excuse itself.
const MOST_CLUMPS: f64 = 2.0;

/// What one set of instances did in one sample.
#[derive(Clone, Default)]
pub(super) struct Side {
    counts: Vec<f64>,
    timed: f64,
    sum_ms: f64,
    requests: f64,
    errors: f64,
}

impl Side {
    fn add(&mut self, load: &InstanceLoad) {
        self.requests += load.requests as f64;
        self.errors += load.errors as f64;
        self.sum_ms += load.latency.sum_ms;
        let counts = &load.latency.counts;
        if self.counts.len() < counts.len() {
            self.counts.resize(counts.len(), 0.0);
        }
        for (mine, count) in self.counts.iter_mut().zip(counts) {
            *mine += *count as f64;
            self.timed += *count as f64;
        }
    }
}

/// What those instances, by their places in the roster, did in each sample.
pub(super) fn added(watched: &Watched<'_>, places: &[usize]) -> Vec<Side> {
    let mut wanted = vec![false; watched.roster.len()];
    for place in places {
        wanted[*place] = true;
    }
    let in_sample = |sample: &Sample<'_>| {
        let mut side = Side::default();
        for (_, load) in sample.readings.iter().filter(|(place, _)| wanted[*place]) {
            side.add(load);
        }
        side
    };
    watched.samples.iter().map(in_sample).collect()
}

/// What is asked of them.
#[derive(Clone, Copy)]
pub(super) enum Question {
    /// Are they slower?
    Latency,
    /// Do more of their requests fail?
    Errors {
        /// A smaller difference of shares does not matter.
        floor: f64,
    },
}

impl Question {
    pub(super) fn errors(limit: f64) -> Self {
        let usable = limit.is_finite() && limit > 0.0;
        Self::Errors { floor: if usable { ERROR_FLOOR.min(limit) } else { ERROR_FLOOR } }
    }

    /// Whether a figure is so much higher than another that it matters.
    pub(super) fn matters(self, figure: f64, other: f64) -> bool {
        match self {
            Self::Latency => other > 0.0 && figure >= (1.0 + LATENCY_FLOOR) * other,
            Self::Errors { floor } => figure - other >= floor,
        }
    }

    /// How the first differ from the second in the same samples. `Err` with the requests of each when these are fewer
    /// than `fewest` on a side.
    pub(super) fn ask(self, first: &[Side], second: &[Side], fewest: u64) -> Result<Difference, (f64, f64)> {
        let count = |side: &Side| if matches!(self, Self::Latency) { side.timed } else { side.requests };
        let both: Vec<Pair<'_>> = first
            .iter()
            .zip(second)
            .filter(|(new, old)| count(new) > 0.0 && count(old) > 0.0)
            .map(|(new, old)| Pair { new, old })
            .collect();
        let (mut new, mut old) = (0.0, 0.0);
        for pair in &both {
            new += count(pair.new);
            old += count(pair.old);
        }
        if new < fewest as f64 || old < fewest as f64 {
            return Err((new, old));
        }
        let difference = match self {
            Self::Latency => latency(&both),
            Self::Errors { .. } => self.errors_in_spans(&both),
        };
        difference.ok_or((new, old))
    }

    /// Pooled proportions, over the whole and its parts.
    fn errors_in_spans(self, pairs: &[Pair<'_>]) -> Option<Difference> {
        let mut found: Option<Difference> = None;
        for span in spans(pairs.len()) {
            let mut difference = pooled(pairs.get(span.samples).unwrap_or_default());
            difference.chance = (difference.chance * span.looks).min(1.0);
            difference.detail = span.name;
            // The whole comes first, and stays unless a part says more.
            let matters = |one: &Difference| self.matters(one.new, one.old);
            let says_more =
                |known: &Difference| matters(&difference) && (!matters(known) || difference.chance < known.chance);
            if found.as_ref().is_none_or(says_more) {
                found = Some(difference);
            }
        }
        found
    }
}

/// A difference between two sets of instances.
pub(super) struct Difference {
    /// The figure of the first.
    pub new: f64,
    /// That of the second in the same samples.
    pub old: f64,
    /// The chance of such a difference if there were none.
    pub chance: f64,
    /// In how many samples.
    pub samples: usize,
    /// In which part of the time, if not the whole.
    pub detail: Option<&'static str>,
}

/// Both sides of one sample.
#[derive(Clone, Copy)]
struct Pair<'a> {
    new: &'a Side,
    old: &'a Side,
}

/// The rank test of Mann and Whitney within each sample, weighted as van Elteren does, over the buckets' counts; the
/// size of the difference as that of mean latencies, each minute weighted by the new instances' requests.
fn latency(pairs: &[Pair<'_>]) -> Option<Difference> {
    let ranks: Vec<Contribution> = pairs.iter().map(|pair| rank(pair.new, pair.old)).collect();
    let (mut new, mut new_sum, mut old_sum) = (0.0, 0.0, 0.0);
    for pair in pairs {
        new += pair.new.timed;
        new_sum += pair.new.sum_ms;
        old_sum += pair.new.timed * pair.old.sum_ms / pair.old.timed;
    }
    Some(Difference {
        new: new_sum / new,
        old: old_sum / new,
        chance: Mean::over(&ranks)?.chance_of_more(),
        samples: pairs.len(),
        detail: None,
    })
}

/// By how much more often than not a request of the new side is in a slower bucket than one of the old side (half for
/// the same bucket), from -0.5 to 0.5, with the variance that ranks with so many ties have by chance.
fn rank(new: &Side, old: &Side) -> Contribution {
    let (n, m) = (new.timed, old.timed);
    let all = n + m;
    let (mut below, mut wins, mut ties) = (0.0, 0.0, 0.0);
    for (bucket, slow) in new.counts.iter().enumerate() {
        let old_here = old.counts.get(bucket).copied().unwrap_or_default();
        wins += slow * (below + 0.5 * old_here);
        below += old_here;
        let here = (slow + old_here) / all;
        ties += here * here * here;
    }
    // 1 - sum(t^3 - t) / (N^3 - N), in shares of N so that no cube overflows.
    let untied = if all > 1.0 { ((1.0 - ties) / (1.0 - 1.0 / (all * all))).clamp(0.0, 1.0) } else { 0.0 };
    let weight = n * m / (all + 1.0);
    Contribution { value: wins / (n * m) - 0.5, weight, chance: untied / (12.0 * weight) }
}

/// A run of samples that is searched for errors: how many chances it is charged for, and what it is called.
struct Span {
    samples: std::ops::Range<usize>,
    looks: f64,
    name: Option<&'static str>,
}

/// All samples, and five thirds that overlap by half, for a burst. The whole has one half of the allowance, the thirds
/// share the other.
fn spans(samples: usize) -> Vec<Span> {
    let third = samples.div_ceil(3);
    if third < FEWEST_IN_A_THIRD {
        return vec![Span { samples: 0..samples, looks: 1.0, name: None }];
    }
    let mut spans = vec![Span { samples: 0..samples, looks: 2.0, name: None }];
    spans.extend((0..5).map(|step| {
        let start = (samples - third) * step / 4;
        Span { samples: start..start + third, looks: 10.0, name: Some("a burst, in a third of the time") }
    }));
    spans
}

/// How likely the new side's part of all errors is, when each sample's errors fall on either side as its requests do.
/// Errors that come in clumps count as so many fewer.
fn pooled(pairs: &[Pair<'_>]) -> Difference {
    let (mut hits, mut expected, mut total) = (0.0, 0.0, 0.0);
    let (mut new_requests, mut old_share) = (0.0, 0.0);
    let (mut new_odds, mut old_odds) = (0.5, 0.5);
    for Pair { new, old } in pairs {
        let requests = new.requests + old.requests;
        let errors = new.errors + old.errors;
        hits += new.errors;
        total += errors;
        expected += errors * new.requests / requests;
        new_requests += new.requests;
        old_share += new.requests * old.errors / old.requests;
        new_odds += new.errors * old.requests / requests;
        old_odds += old.errors * new.requests / requests;
    }
    // How errors clump is seen beside the difference, not in it: with the new side failing so many times as often
    // (Mantel and Haenszel), how much do samples still differ?
    let times = new_odds / old_odds;
    let beyond: Vec<(f64, f64)> = pairs
        .iter()
        .map(|Pair { new, old }| {
            let errors = new.errors + old.errors;
            let part = new.requests * times / (new.requests * times + old.requests);
            (new.errors - errors * part, errors * part * (1.0 - part))
        })
        .collect();
    let clumps = clumping(&beyond).min(MOST_CLUMPS);
    let new_requests = f64::max(new_requests, 1.0);
    Difference {
        new: hits / new_requests,
        old: old_share / new_requests,
        chance: if total > 0.0 { binomial_tail(hits / clumps, total / clumps, expected / total) } else { 1.0 },
        samples: pairs.len(),
        detail: None,
    }
}
