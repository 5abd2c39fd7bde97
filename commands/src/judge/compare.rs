//! New instances against the others in the same minutes. What changes for all alike (load, the database, the hour)
//! cancels out within each sample, so that what remains is the new instances' own doing.

use std::collections::BTreeMap;

use super::reason::{Finding, Reason, Statistic};
use super::statistics::{Contribution, Mean, binomial_tail, clumping};
use super::watch::{Sample, Watched};
use super::{ERROR_FLOOR, LATENCY_FLOOR, SIGNIFICANCE, SIGNIFICANCE_ERRORS};
use crate::units::InstanceId;

/// A third of the time is looked at alone when it has so many samples.
const FEWEST_IN_A_THIRD: usize = 10;
/// Errors of clumps larger than this count as if in clumps of this: a burst is what is looked for, and must not
/// excuse itself.
const MOST_CLUMPS: f64 = 2.0;

/// What the comparison found.
#[derive(Default)]
pub(super) struct Comparison {
    /// Each thing that was compared or could not be.
    pub reasons: Vec<Reason>,
    /// The new instances that are at fault; empty when none is.
    pub culprits: Vec<InstanceId>,
}

/// Compares; `fewest` is how many requests each side must have answered.
pub(super) fn compare(watched: &Watched<'_>, fewest: u64, error_limit: f64) -> Comparison {
    let newcomers = watched.newcomers();
    let floor = if error_limit.is_finite() && error_limit > 0.0 { ERROR_FLOOR.min(error_limit) } else { ERROR_FLOOR };
    let mut found = Comparison::default();
    starved(watched, &newcomers, fewest, &mut found);
    for question in [Question::Latency, Question::Errors(floor)] {
        ask(question, watched, &newcomers, fewest, &mut found);
    }
    found.culprits.sort();
    found.culprits.dedup();
    found
}

/// A new instance that is asked nothing while others are is failing, whatever else it says of itself: over the whole
/// watch, or from some moment to its end that is at least a third of it.
fn starved(watched: &Watched<'_>, newcomers: &[usize], fewest: u64, found: &mut Comparison) {
    for place in newcomers {
        let mut even_share = 0.0;
        let mut run = 0;
        let mut read = 0;
        let mut over = false;
        for sample in watched.samples.iter().rev() {
            let Some((_, load)) = sample.readings.iter().find(|(known, _)| known == place) else { continue };
            read += 1;
            over |= load.requests > 0;
            if !over {
                run += 1;
                let requests: f64 = sample.readings.iter().map(|(_, load)| load.requests as f64).sum();
                even_share += requests / sample.readings.len() as f64;
            }
        }
        if run == 0 || run * 3 < read || even_share < fewest.min(20) as f64 {
            continue;
        }
        let member = vec![watched.roster[*place].id.clone()];
        let reason = Reason::new(Statistic::NewcomerRequests, Finding::Bad, run)
            .value(0.0)
            .against(even_share)
            .about(member.clone());
        found.reasons.push(if run < read { reason.detail("it stopped getting any") } else { reason });
        found.culprits.extend(member);
    }
}

#[derive(Clone, Copy)]
enum Question {
    Latency,
    /// With the floor below which a difference of shares does not matter.
    Errors(f64),
}

/// A difference between some new instances and all old ones.
struct Difference {
    new: f64,
    old: f64,
    chance: f64,
    samples: usize,
    detail: Option<&'static str>,
    /// Large enough to matter.
    matters: bool,
}

/// Asks one question of the new instances together, then of each alone, so that one bad one among many is found.
fn ask(question: Question, watched: &Watched<'_>, newcomers: &[usize], fewest: u64, found: &mut Comparison) {
    let statistic = match question {
        Question::Latency => Statistic::NewcomerLatency,
        Question::Errors(_) => Statistic::NewcomerErrors,
    };
    let strata = strata(watched, newcomers);
    let all: Vec<usize> = (0..newcomers.len()).collect();
    let together = match difference(question, &strata, &all, fewest) {
        Ok(difference) => difference,
        Err((new, old)) => {
            let fewer = if new < fewest as f64 { ("the new instances", new) } else { ("the other instances", old) };
            found.reasons.push(Reason::new(statistic, Finding::Unknown, strata.len()).detail(format!(
                "{} answered {:.0} requests in the samples that both are in, at least {fewest} are needed",
                fewer.0,
                // The sum of nothing is minus zero.
                fewer.1.abs()
            )));
            return;
        }
    };
    let allowance = match question {
        Question::Latency => SIGNIFICANCE,
        Question::Errors(_) => SIGNIFICANCE_ERRORS,
    };
    // Half of the allowance for the question to the group, half for those to its members.
    let alone: Vec<(usize, Difference)> = all
        .iter()
        .filter(|_| newcomers.len() > 1)
        .filter_map(|member| Some((*member, difference(question, &strata, &[*member], fewest).ok()?)))
        .collect();
    let each = allowance / 2.0 / newcomers.len().max(1) as f64;
    let worse = |difference: &Difference, limit: f64| difference.matters && difference.chance <= limit;
    let mut guilty: Vec<usize> =
        alone.iter().filter(|(_, difference)| worse(difference, each)).map(|(member, _)| *member).collect();
    let group = worse(&together, allowance / 2.0);
    let shown = match guilty.as_slice() {
        [member] => alone.into_iter().find(|(known, _)| known == member).map_or(together, |(_, alone)| alone),
        _ => together,
    };
    if group && guilty.is_empty() {
        guilty = all;
    }
    let culprits: Vec<InstanceId> = guilty
        .iter()
        .filter_map(|member| newcomers.get(*member))
        .map(|place| watched.roster[*place].id.clone())
        .collect();
    let finding = if culprits.is_empty() { Finding::Good } else { Finding::Bad };
    let mut reason = Reason::new(statistic, finding, shown.samples)
        .value(shown.new)
        .against(shown.old)
        .chance(shown.chance)
        .about(culprits.clone());
    if let (Finding::Bad, Some(detail)) = (finding, shown.detail) {
        reason = reason.detail(detail);
    }
    found.reasons.push(reason);
    found.culprits.extend(culprits);
}

/// One sample's figures: the old instances added up, the new ones each for itself.
struct Stratum {
    old: Side,
    new: Vec<Side>,
    /// Each old instance by its place, with its requests and errors.
    old_each: Vec<(usize, f64, f64)>,
}

#[derive(Clone, Default)]
struct Side {
    counts: Vec<f64>,
    timed: f64,
    sum_ms: f64,
    requests: f64,
    errors: f64,
}

impl Side {
    fn add(&mut self, load: &crate::figures::InstanceLoad) {
        self.requests += load.requests as f64;
        self.errors += load.errors as f64;
        self.sum_ms += load.latency.sum_ms;
        self.add_counts(load.latency.counts.iter().map(|count| *count as f64));
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.sum_ms += other.sum_ms;
        self.add_counts(other.counts.iter().copied());
    }

    fn add_counts(&mut self, counts: impl ExactSizeIterator<Item = f64>) {
        if self.counts.len() < counts.len() {
            self.counts.resize(counts.len(), 0.0);
        }
        for (mine, count) in self.counts.iter_mut().zip(counts) {
            *mine += count;
            self.timed += count;
        }
    }
}

fn strata(watched: &Watched<'_>, newcomers: &[usize]) -> Vec<Stratum> {
    let stratum = |sample: &Sample<'_>| {
        let new = vec![Side::default(); newcomers.len()];
        let mut stratum = Stratum { old: Side::default(), new, old_each: Vec::new() };
        for (place, load) in &sample.readings {
            if let Some(member) = newcomers.iter().position(|newcomer| newcomer == place) {
                stratum.new[member].add(load);
            } else {
                stratum.old.add(load);
                stratum.old_each.push((*place, load.requests as f64, load.errors as f64));
            }
        }
        stratum
    };
    watched.samples.iter().map(stratum).collect()
}

/// Both sides of one sample.
struct Pair<'a> {
    new: Side,
    old: &'a Side,
    old_each: &'a [(usize, f64, f64)],
}

/// The two sides in each sample; `Err` with the requests of each (new, old) when there are too few to compare.
fn difference(
    question: Question,
    strata: &[Stratum],
    members: &[usize],
    fewest: u64,
) -> Result<Difference, (f64, f64)> {
    let pairs: Vec<Pair<'_>> = strata
        .iter()
        .map(|stratum| {
            let mut new = Side::default();
            for side in members.iter().filter_map(|member| stratum.new.get(*member)) {
                new.merge(side);
            }
            Pair { new, old: &stratum.old, old_each: &stratum.old_each }
        })
        .collect();
    match question {
        Question::Latency => latency(&pairs, fewest),
        Question::Errors(floor) => errors(&pairs, fewest, floor),
    }
}

/// The rank test of Mann and Whitney within each sample, weighted as van Elteren does, over the buckets' counts; the
/// size of the difference as the ratio of mean latencies, each minute weighted by the new instances' requests.
fn latency(pairs: &[Pair<'_>], fewest: u64) -> Result<Difference, (f64, f64)> {
    let both: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.new.timed > 0.0 && pair.old.timed > 0.0).collect();
    let new: f64 = both.iter().map(|pair| pair.new.timed).sum();
    let old: f64 = both.iter().map(|pair| pair.old.timed).sum();
    if new < fewest as f64 || old < fewest as f64 {
        return Err((new, old));
    }
    let ranks: Vec<Contribution> = both.iter().map(|pair| rank(&pair.new, pair.old)).collect();
    let new_sum: f64 = both.iter().map(|pair| pair.new.sum_ms).sum();
    let old_sum: f64 = both.iter().map(|pair| pair.new.timed * pair.old.sum_ms / pair.old.timed).sum();
    Ok(Difference {
        new: new_sum / new,
        old: old_sum / new,
        chance: Mean::over(&ranks).map_or(1.0, |mean| mean.chance_of_more()),
        samples: both.len(),
        detail: None,
        matters: old_sum > 0.0 && new_sum >= (1.0 + LATENCY_FLOOR) * old_sum,
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

/// Pooled proportions: how likely the new side's part of all errors is, when each sample's errors fall on either side
/// as its requests do. Errors that come in clumps count as so many fewer.
fn errors(pairs: &[Pair<'_>], fewest: u64, floor: f64) -> Result<Difference, (f64, f64)> {
    let both: Vec<&Pair<'_>> = pairs.iter().filter(|pair| pair.new.requests > 0.0 && pair.old.requests > 0.0).collect();
    let new: f64 = both.iter().map(|pair| pair.new.requests).sum();
    let old: f64 = both.iter().map(|pair| pair.old.requests).sum();
    if new < fewest as f64 || old < fewest as f64 {
        return Err((new, old));
    }
    let mut found: Option<Difference> = None;
    for span in spans(both.len()) {
        let mut difference = pooled(both.get(span.samples).unwrap_or_default(), floor);
        difference.chance = (difference.chance * span.looks).min(1.0);
        difference.detail = span.name;
        // The whole comes first, and stays unless a part says more.
        let says_more = |known: &Difference| difference.matters && (!known.matters || difference.chance < known.chance);
        if found.as_ref().is_none_or(says_more) {
            found = Some(difference);
        }
    }
    found.ok_or((new, old))
}

fn pooled(pairs: &[&Pair<'_>], floor: f64) -> Difference {
    let (mut hits, mut expected, mut total) = (0.0, 0.0, 0.0);
    let (mut new_requests, mut old_share) = (0.0, 0.0);
    let (mut new_odds, mut old_odds) = (0.5, 0.5);
    for Pair { new, old, .. } in pairs {
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
        .map(|Pair { new, old, .. }| {
            let errors = new.errors + old.errors;
            let part = new.requests * times / (new.requests * times + old.requests);
            (new.errors - errors * part, errors * part * (1.0 - part))
        })
        .collect();
    let clumps = clumping(&beyond).min(MOST_CLUMPS).max(unlike(pairs));
    let new_requests = f64::max(new_requests, 1.0);
    let (new, old) = (hits / new_requests, old_share / new_requests);
    Difference {
        new,
        old,
        chance: if total > 0.0 { binomial_tail(hits / clumps, total / clumps, expected / total) } else { 1.0 },
        samples: pairs.len(),
        detail: None,
        matters: new - old >= floor,
    }
}

/// How unlike the old instances are to one another over these samples: 1.0 when their errors are spread as chance
/// spreads them, more when some fail more than others, so that a new one that does is nothing special.
fn unlike(pairs: &[&Pair<'_>]) -> f64 {
    let mut each: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for Pair { old, old_each, .. } in pairs {
        for (place, requests, errors) in *old_each {
            let part = requests / old.requests;
            let (beyond, variance) = each.entry(*place).or_default();
            *beyond += errors - old.errors * part;
            *variance += old.errors * part * (1.0 - part);
        }
    }
    let sum: f64 = each.values().filter(|(_, v)| *v > 0.0).map(|(beyond, variance)| beyond * beyond / variance).sum();
    // Chance alone makes this sum about one less than the number of instances, and seldom more than two deviations over.
    let others = each.len().saturating_sub(1) as f64;
    if others > 0.0 { (sum / (others + 2.0 * (2.0 * others).sqrt())).max(1.0) } else { 1.0 }
}
