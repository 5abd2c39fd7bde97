//! The fleet as a whole: against its limits, and against how it was before.

use super::reason::{Finding, Reason, Statistic};
use super::statistics::{binomial_tail, clumping};
use super::watch::{Totals, Watched};
use super::{LATENCY_FLOOR, SIGNIFICANCE_BEFORE};
use crate::figures::Histogram;
use crate::policy::LoadLimits;

/// The figures before have no samples of their own to tell how much they come in clumps: at least in pairs.
const LEAST_CLUMPS_BEFORE: f64 = 2.0;

/// Each limit, held against what was watched. CPU and memory are not told by every backend: they are left out where
/// unknown, unless `before` was over that limit and an answer is owed.
pub(super) fn against_limits(
    after: &Totals,
    before: Option<&Totals>,
    limits: &LoadLimits,
    samples: usize,
) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let held = |statistic, value: f64, limit: f64| {
        // Written so that a limit that is no number is never kept to.
        let finding = if value <= limit { Finding::Good } else { Finding::Bad };
        Reason::new(statistic, finding, samples).value(value).against(limit)
    };
    let unknown =
        |statistic, limit: f64, why: &str| Reason::new(statistic, Finding::Unknown, samples).against(limit).detail(why);

    if after.requests > 0 && !after.has_latency() {
        let share = after.latency.total() as f64 / after.requests as f64;
        reasons.push(Reason::new(Statistic::Latencies, Finding::Unknown, samples).value(share).against(0.8));
    }
    reasons.push(match after.percentiles() {
        None => unknown(Statistic::P99, limits.p99_ms, "there are no latencies"),
        // Slower than the slowest bucket: that it is over a lower limit is known, how far is not.
        Some(found) if beyond_buckets(&after.latency) && found.p99_ms <= limits.p99_ms => {
            unknown(Statistic::P99, limits.p99_ms, "slower than the slowest bucket of the histogram")
        }
        Some(found) => held(Statistic::P99, found.p99_ms, limits.p99_ms),
    });
    reasons.push(match after.error_share() {
        None => unknown(Statistic::ErrorShare, limits.error_share, "there were no requests"),
        Some(share) => held(Statistic::ErrorShare, share, limits.error_share),
    });
    for (statistic, figure) in [(Statistic::Cpu, cpu as Figure), (Statistic::Memory, memory as Figure)] {
        let limit = if statistic == Statistic::Cpu { limits.cpu } else { limits.memory };
        match (figure(after, limits), before.and_then(|before| figure(before, limits))) {
            (Some(value), _) => reasons.push(held(statistic, value, limit)),
            (None, Some(before)) if before > limit => {
                reasons.push(unknown(statistic, limit, "it was over its limit before, and can no longer be read"));
            }
            (None, _) => {}
        }
    }
    reasons
}

type Figure = fn(&Totals, &LoadLimits) -> Option<f64>;

fn cpu(totals: &Totals, _: &LoadLimits) -> Option<f64> {
    totals.cpu.value()
}

fn memory(totals: &Totals, limits: &LoadLimits) -> Option<f64> {
    let limit = limits.memory_limit_bytes.filter(|limit| *limit > 0)?;
    Some(totals.memory.value()? / limit as f64)
}

fn beyond_buckets(latency: &Histogram) -> bool {
    let beyond = latency.counts.last().copied().unwrap_or_default();
    beyond as f64 > 0.01 * latency.total() as f64
}

/// The fleet now against how it was: better or worse only by at least [`LATENCY_FLOOR`] and by more than chance
/// explains. A figure other than the p99 counts as better only when it was over its limit.
pub(super) fn against_before(
    watched: &Watched<'_>,
    after: &Totals,
    before: Option<&Totals>,
    limits: &LoadLimits,
    fewest: u64,
) -> Vec<Reason> {
    let samples = watched.samples.len();
    let missing = |why: String| vec![Reason::new(Statistic::P99Before, Finding::Unknown, samples).detail(why)];
    let Some(before) = before else {
        return missing("there are no figures from before the scaling".into());
    };
    if before.latency.total() < fewest || !before.has_latency() {
        let had = before.latency.total();
        return missing(format!("only {had} latencies from before the scaling, at least {fewest} are needed"));
    }
    let (Some(then), Some(now)) = (before.percentiles(), after.percentiles()) else {
        return missing("there are no latencies".into());
    };

    let mut reasons = Vec::new();
    let compared = |finding| Reason::new(Statistic::P99Before, finding, samples).value(now.p99_ms).against(then.p99_ms);
    let better = now.p99_ms * (1.0 + LATENCY_FLOOR) <= then.p99_ms;
    let worse = now.p99_ms >= then.p99_ms * (1.0 + LATENCY_FLOOR);
    reasons.push(if better || worse {
        // A difference of p99 is one of how many are slow: counts have a chance, a quantile has none.
        let Some(bound) = common_bound(&before.latency, &after.latency, then.p99_ms.max(now.p99_ms)) else {
            return missing("latencies before and after come in different buckets".into());
        };
        let clumps = clumps(watched, |load| (slower(&load.latency, bound), load.latency.total()));
        let slow_before = (slower(&before.latency, bound), before.latency.total());
        let slow_after = (slower(&after.latency, bound), after.latency.total());
        let chance = if better {
            chance_of_more(slow_before, slow_after, clumps)
        } else {
            chance_of_more(slow_after, slow_before, clumps)
        };
        let finding = match chance <= SIGNIFICANCE_BEFORE {
            true if better => Finding::Better,
            true => Finding::Bad,
            false => Finding::Good,
        };
        compared(finding).chance(chance)
    } else {
        compared(Finding::Good)
    });

    if let (Some(then), Some(now)) = (before.error_share(), after.error_share())
        && then > limits.error_share
        && now <= limits.error_share
    {
        let clumps = clumps(watched, |load| (load.errors, load.requests));
        let chance = chance_of_more((before.errors, before.requests), (after.errors, after.requests), clumps);
        let better = chance <= SIGNIFICANCE_BEFORE && now * (1.0 + LATENCY_FLOOR) <= then;
        reasons.push(
            Reason::new(Statistic::ErrorShareBefore, if better { Finding::Better } else { Finding::Good }, samples)
                .value(now)
                .against(then)
                .chance(chance),
        );
    }
    for (statistic, figure, limit) in
        [(Statistic::CpuBefore, cpu as Figure, limits.cpu), (Statistic::MemoryBefore, memory as Figure, limits.memory)]
    {
        if let (Some(then), Some(now)) = (figure(before, limits), figure(after, limits))
            && then > limit
            && now <= limit
        {
            let better = now * (1.0 + LATENCY_FLOOR) <= then;
            let finding = if better { Finding::Better } else { Finding::Good };
            reasons.push(Reason::new(statistic, finding, samples).value(now).against(then));
        }
    }
    reasons
}

/// The largest bucket bound that both have and that is not above `most`, else the smallest that both have.
fn common_bound(one: &Histogram, other: &Histogram, most: f64) -> Option<f64> {
    let common = || one.bounds_ms.iter().copied().filter(|bound| other.bounds_ms.contains(bound));
    common().rfind(|bound| *bound <= most).or_else(|| common().next())
}

/// How many were slower than that bound.
fn slower(latency: &Histogram, bound: f64) -> u64 {
    let buckets = latency.bounds_ms.partition_point(|known| *known <= bound);
    latency.counts.iter().skip(buckets).sum()
}

/// How much hits clump together from one sample to the next.
fn clumps(watched: &Watched<'_>, count: impl Fn(&crate::figures::InstanceLoad) -> (u64, u64)) -> f64 {
    let each: Vec<(f64, f64)> = watched
        .samples
        .iter()
        .map(|sample| {
            sample
                .readings
                .iter()
                .map(|(_, load)| count(load))
                .fold((0.0, 0.0), |(hits, of), (hit, all)| (hits + hit as f64, of + all as f64))
        })
        .collect();
    let (hits, of) = each.iter().fold((0.0, 0.0), |(hits, of), (hit, all)| (hits + hit, of + all));
    let share = if of > 0.0 { hits / of } else { 0.0 };
    let beyond: Vec<(f64, f64)> =
        each.iter().map(|(hits, of)| (hits - share * of, share * (1.0 - share) * of)).collect();
    clumping(&beyond).max(LEAST_CLUMPS_BEFORE)
}

/// The chance that the first has so many more hits, each side given as (hits, of so many), if both had the same share.
fn chance_of_more(first: (u64, u64), second: (u64, u64), clumps: f64) -> f64 {
    let total = first.0 as f64 + second.0 as f64;
    let of = first.1 as f64 + second.1 as f64;
    if total <= 0.0 || of <= 0.0 {
        return 1.0;
    }
    binomial_tail(first.0 as f64 / clumps, total / clumps, first.1 as f64 / of)
}
