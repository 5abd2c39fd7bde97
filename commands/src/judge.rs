//! Is it better, the same, worse, inconsistent, or can we not tell? What monitoring saw goes in, a verdict with its
//! reasons comes out. No clock, no randomness, nothing read from outside: the same evidence gives the same verdict.
//!
//! # The verdict
//! The first of these that holds:
//!
//! 1. **Inconsistent**: instances contradicted one another on halt or hash chain. Nothing outweighs that.
//! 2. **Inconclusive**: under 80 % of the window observed, or under 50 usable samples in a window of 50 or more. With
//!    too little seen, neither praise nor blame is safe, and taking capacity away is an act.
//! 3. **Regressed**, going up: a new instance is the cause. It is slower than the others in the same minutes (by at
//!    least 10 % and more than chance explains), or fails more (by at least 1 percentage point, or the limit where
//!    that is lower, and more than chance explains), or is asked nothing while others are. That is enough even within
//!    the limits: an instance that is half slower than its neighbours is defective, and will be the one that breaks
//!    when load rises. Going down: p99 or errors are over their limit.
//! 4. **Inconclusive**: a signal is missing. It stands after 3 because what is missing may hide harm but cannot undo
//!    harm that was seen. Missing is: consistency not known; under 80 % of the readings had, of all instances or of
//!    one new one; too few requests, in all or on either side of the comparison; requests without latencies.
//! 5. **Not improved**: a limit (p99, errors, CPU, memory) is broken, and no new instance is the cause.
//! 6. **Stable**, going down: within the limits. It is never held against before: fewer instances *are* busier.
//! 7. **Inconclusive**, going up: nothing from before to compare with, so "no worse" would be a guess.
//! 8. **Not improved**, going up: the p99 is worse than before, by at least 10 % and more than chance explains.
//! 9. **Improved**, going up: the p99, or another figure that was over its limit, is better than before by as much.
//! 10. **Stable**: within limits, and no worse.
//!
//! # New against old
//! Before against after cries wolf whenever load drifts, so it never takes anything back (8 only tells somebody).
//! New against old in the *same samples* does not: what changes for all cancels out.
//!
//! - *Latency*: Mann and Whitney's rank test on the buckets' counts in each sample, corrected for ties, added up over
//!   samples with van Elteren's weights. Ranks, because latencies have long tails and come in few buckets. Its
//!   variance is that of independent requests plus what samples differ by beyond that. The second part is widened
//!   as if each sample were correlated with the one before by at least 0.8 (more where the data says so), and Student's
//!   distribution takes the place of the normal one, because it is estimated. The size of the effect is the ratio of
//!   mean latencies, which are exact where buckets are coarse, each minute weighted by the new instances' requests.
//! - *Errors*: pooled proportions. Given all errors of each sample, the new side's part is binomial; errors that come
//!   in clumps count as fewer. Asked of the whole time and of five overlapping thirds, for a burst; the chance is
//!   multiplied by the number of looks.
//! - *Which*: asked of the new instances together and, more strictly, of each alone, so that one bad one among many
//!   is found and named. The chance to find what is not there is held to 0.5 % for
//!   latency and 1 % for errors (which the floor lowers further), shared by a question's parts.
//! - *Not theirs*: the same question is asked of each old instance against the other old ones. Where one of those is
//!   found bad, a new one is only at fault if it is worse than that one by the floor again.
//! - *Enough*: at least 100 requests on each side; 20 when the window is under 5 minutes.
//! - *Even share*: a new instance without a request for the last third of the time or more, while an even share would
//!   have been at least 20, is failing. Under half or over twice an even share is a warning only: balancers differ.
//!
//! The warm-up is left out of all of this, but counts as observed.
//!
//! # How often it is right
//! 10,000 made-up scalings for each row: 2-20 instances, 10-200 requests a second, lognormal latencies around
//! 50-400 ms in the backend's ten buckets, load and latency that drift, ups and downs of the fleet and of each instance
//! that last, errors that come for all at once, a cold start, gaps, readings that fail. As printed by
//! `cargo test -p scalebot-commands --lib judge::traces -- --nocapture`:
//!
//! ```text
//! 15 min, a sample every 15 s, autocorrelation 0-0.8  regressed  inconclusive  not improved  stable or improved
//!   new ones like the others                             0.13 %        0.00 %       53.91 %             45.96 %
//!   new ones 50 % slower                               100.00 %        0.00 %        0.00 %              0.00 %
//!   3 % errors on new ones                             100.00 %        0.00 %        0.00 %              0.00 %
//!   the same, a third of the time                       97.69 %        0.00 %        1.39 %              0.92 %
//! 15 min, a sample every 15 s, autocorrelation 0.8    regressed  inconclusive  not improved  stable or improved
//!   new ones like the others                             0.55 %        0.00 %       53.23 %             46.22 %
//! 60 s, a sample every 3 s, autocorrelation 0-0.8     regressed  inconclusive  not improved  stable or improved
//!   new ones like the others                             0.61 %        0.10 %       53.58 %             45.71 %
//!   new ones 50 % slower                                92.19 %        0.01 %        5.41 %              2.39 %
//!   3 % errors on new ones                              80.66 %        0.01 %       13.71 %              5.62 %
//!   the same, a third of the time                       26.37 %        0.08 %       42.03 %             31.52 %
//! 60 s, a sample every 3 s, autocorrelation 0.8       regressed  inconclusive  not improved  stable or improved
//!   new ones like the others                             1.53 %        0.09 %       52.86 %             45.52 %
//! ```
//!
//! "New ones like the others" and regressed is a false rollback: the aim is at most 2 %. (Many of these fleets are
//! over 500 ms whatever is done, hence "not improved".) In a minute there is not enough to find everything: 3 % of
//! twenty requests is less than one error. It says so by staying below the aims, not by guessing. Of 10,000 without
//! data (nine ways) all are inconclusive.
//!
//! The constants were chosen with these very seeds in sight. On 10,000 others (from 1,000,000 on) the rows come out the
//! same within 0.6 points, false rollbacks at 0.21, 0.45, 0.62 and 1.57 %, and one of the 10,000 fleets with 3 % errors
//! is missed: 100 % is what was seen here, not a promise.
//!
//! Where it ends: each instance here wanders by 0-10 % of its latency. When all wander by the full 10 %, correlated
//! by 0.8, false rollbacks are 1.1 % in 15 min, but 3.7 % in 60 s: sixteen samples cannot tell a slow wave from a
//! lasting difference. A minute is for rehearsing, not for deciding.

mod compare;
mod difference;
mod limits;
mod reason;
mod statistics;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod traces;
mod watch;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::reason::{Finding, Reason, Statistic};
use self::watch::{Totals, Watched};
use crate::figures::{Load, Percentiles};
use crate::policy::LoadLimits;
pub use crate::request::Direction;
use crate::units::{InstanceId, Timestamp};

/// The least share of the window, and of readings, that must have been observed.
const LEAST_OBSERVED: f64 = 0.8;
/// The fewest usable samples, in a window that has as many.
const FEWEST_SAMPLES: usize = 50;
/// The fewest requests on each side of a comparison.
const FEWEST_REQUESTS: u64 = 100;
/// The same in a window under [`SHORT_WINDOW`].
const FEWEST_REQUESTS_SHORT: u64 = 20;
const SHORT_WINDOW: Duration = Duration::from_mins(5);
/// A difference in latency smaller than this part of it does not matter.
const LATENCY_FLOOR: f64 = 0.10;
/// A difference in the share of failed requests smaller than this does not matter: one percentage point, as much as
/// a fleet may have in all.
const ERROR_FLOOR: f64 = 0.01;
/// The chance that comparing latency is allowed to find what is not there.
const SIGNIFICANCE: f64 = 0.005;
/// The same for errors; more, because the floor rules out nearly all that chance brings.
const SIGNIFICANCE_ERRORS: f64 = 0.01;
/// The same for the fleet against how it was before, which takes nothing back.
const SIGNIFICANCE_BEFORE: f64 = 0.01;

/// What re-reading halt state and hash chain of all instances found while watching.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// All agreed each time.
    Consistent,
    /// At least once some did not.
    Inconsistent(Vec<Inconsistency>),
    /// It could not be told; why, in words.
    Unknown(String),
}

/// One instance that contradicts the others or the source of truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inconsistency {
    /// The instance; `None` when it cannot be told which is wrong.
    pub instance: Option<InstanceId>,
    /// What was found, as a card says it: "says not halted while the halt table says halted".
    pub words: String,
}

/// What a verdict rests on.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// Which way the fleet was scaled.
    pub direction: Direction,
    /// The assessment's figures, from before the scaling; `None` when there were none.
    pub before: Option<&'a Load>,
    /// When watching began: the window and the warm-up are counted from here.
    pub since: Timestamp,
    /// One an interval, in the order of time, each covering its own window. What was back-filled stands where it belongs.
    pub samples: &'a [Load],
    /// The instances that this scaling started; empty on the way down.
    pub newcomers: &'a [InstanceId],
    /// How long was to be watched.
    pub window: Duration,
    /// The first part of it, left out of the figures.
    pub warm_up: Duration,
    /// The limits of p99, errors, CPU and memory.
    pub limits: &'a LoadLimits,
    /// What re-reading halt state and hash chain found.
    pub consistency: &'a Consistency,
}

/// Better, the same, worse, inconsistent, or not to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Within limits, and better than before by more than chance explains.
    Improved,
    /// Within limits, and no worse.
    Stable,
    /// Over a limit or worse than before, but no new instance is the cause. Capacity stays.
    NotImproved,
    /// The scaling made it worse. It is taken back.
    Regressed,
    /// Instances contradict one another. It is taken back.
    Inconsistent,
    /// Could not be told. Capacity stays.
    Inconclusive,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Improved => "improved",
            Self::Stable => "stable",
            Self::NotImproved => "not improved",
            Self::Regressed => "regressed",
            Self::Inconsistent => "inconsistent",
            Self::Inconclusive => "inconclusive",
        })
    }
}

/// A verdict with everything that a summary and an auditor need.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Everything that was looked at; what decided comes first.
    pub reasons: Vec<Reason>,
    /// The instances at fault, by name; empty unless regressed or inconsistent.
    pub culprits: Vec<InstanceId>,
    /// The fleet after the warm-up.
    pub fleet: FleetFigures,
    /// How requests were spread over instances after the warm-up, by name.
    pub shares: Vec<Share>,
    /// The share of the planned window that was observed, from 0 to 1.
    pub observed_share: f64,
}

impl Judgement {
    /// What decided, in words: one sentence each, joined.
    pub fn decisive(&self) -> String {
        let decided = self.reasons.first().map(|first| first.finding);
        let sentences: Vec<String> =
            self.reasons.iter().filter(|reason| Some(reason.finding) == decided).map(ToString::to_string).collect();
        sentences.join(" ")
    }
}

/// What the fleet did after the warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetFigures {
    /// Requests answered.
    pub requests: u64,
    /// The share of them that failed, from 0 to 1; `None` without requests.
    pub error_share: Option<f64>,
    /// Requests a second; `None` when nothing was observed.
    pub requests_per_second: Option<f64>,
    /// Latency; `None` when there is none.
    pub latency: Option<Percentiles>,
}

/// One instance's part of the requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The instance.
    pub instance: InstanceId,
    /// Whether this scaling started it.
    pub new: bool,
    /// Requests that it answered.
    pub requests: u64,
    /// Requests that an even spread would have given it, in the samples that it is in.
    pub even: f64,
    /// Whether that is worth a warning.
    pub warning: Option<ShareWarning>,
}

/// How an instance's share is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ShareWarning {
    /// Under half an even share.
    UnderHalf,
    /// Over twice an even share.
    OverTwice,
}

/// Judges a scaling by what was seen after it.
pub fn judge(evidence: &Evidence<'_>) -> Judgement {
    let watched = Watched::of(evidence);
    let after = Totals::watched(&watched);
    let before = evidence.before.map(Totals::of);
    let fewest = if evidence.window < SHORT_WINDOW { FEWEST_REQUESTS_SHORT } else { FEWEST_REQUESTS };
    let up = evidence.direction == Direction::Up;

    // Only the way up is compared: with the others, and with before.
    let comparable = before.as_ref().filter(|_| up);
    let compared = if up {
        compare::compare(&watched, fewest, evidence.limits.error_share)
    } else {
        compare::Comparison::default()
    };
    let against_before =
        if up { limits::against_before(&watched, &after, comparable, evidence.limits, fewest) } else { Vec::new() };
    let findings = Findings {
        consistency: consistency(evidence.consistency),
        coverage: coverage(evidence, &watched),
        missing: missing(up, &watched, &after, fewest),
        cause: compared.reasons,
        culprits: compared.culprits,
        limits: limits::against_limits(&after, comparable, evidence.limits, watched.samples.len()),
        before: against_before,
    };

    let verdict = findings.verdict(up);
    let culprits = match (verdict, evidence.consistency) {
        (Verdict::Regressed, _) => findings.culprits.clone(),
        (Verdict::Inconsistent, Consistency::Inconsistent(found)) => {
            let named: std::collections::BTreeSet<_> = found.iter().filter_map(|one| one.instance.clone()).collect();
            named.into_iter().collect()
        }
        _ => Vec::new(),
    };
    Judgement {
        verdict,
        reasons: findings.in_order(verdict),
        culprits,
        fleet: FleetFigures {
            requests: after.requests,
            error_share: after.error_share(),
            requests_per_second: (after.seconds > 0.0).then(|| after.requests as f64 / after.seconds),
            latency: after.percentiles(),
        },
        shares: shares(&watched),
        observed_share: watched.observed,
    }
}

/// Everything found, by the question that it answers.
struct Findings {
    consistency: Vec<Reason>,
    coverage: Vec<Reason>,
    missing: Vec<Reason>,
    cause: Vec<Reason>,
    culprits: Vec<InstanceId>,
    limits: Vec<Reason>,
    before: Vec<Reason>,
}

impl Findings {
    /// The order of the module's documentation.
    fn verdict(&self, up: bool) -> Verdict {
        let any = |reasons: &[Reason], finding| reasons.iter().any(|reason| reason.finding == finding);
        let service = |reason: &Reason| matches!(reason.statistic, Statistic::P99 | Statistic::ErrorShare);
        if any(&self.consistency, Finding::Bad) {
            return Verdict::Inconsistent;
        }
        if any(&self.coverage, Finding::Unknown) {
            return Verdict::Inconclusive;
        }
        let over = self.limits.iter().any(|reason| reason.finding == Finding::Bad && service(reason));
        let too_few = self.missing.iter().any(|reason| reason.statistic == Statistic::Requests);
        if if up { !self.culprits.is_empty() } else { over && !too_few } {
            return Verdict::Regressed;
        }
        let signals = [&self.consistency, &self.missing, &self.cause, &self.limits];
        if signals.iter().any(|reasons| any(reasons, Finding::Unknown)) {
            return Verdict::Inconclusive;
        }
        if any(&self.limits, Finding::Bad) {
            return Verdict::NotImproved;
        }
        if !up {
            return Verdict::Stable;
        }
        if any(&self.before, Finding::Unknown) {
            Verdict::Inconclusive
        } else if any(&self.before, Finding::Bad) {
            Verdict::NotImproved
        } else if any(&self.before, Finding::Better) {
            Verdict::Improved
        } else {
            Verdict::Stable
        }
    }

    /// What decided first, the rest after it in the order of the questions.
    fn in_order(self, verdict: Verdict) -> Vec<Reason> {
        let decisive = match verdict {
            Verdict::Inconclusive => Finding::Unknown,
            Verdict::Improved => Finding::Better,
            Verdict::Stable => Finding::Good,
            Verdict::NotImproved | Verdict::Regressed | Verdict::Inconsistent => Finding::Bad,
        };
        let groups = [self.consistency, self.coverage, self.missing, self.cause, self.limits, self.before];
        let mut reasons: Vec<Reason> = groups.into_iter().flatten().collect();
        reasons.sort_by_key(|reason| reason.finding != decisive);
        reasons
    }
}

fn consistency(found: &Consistency) -> Vec<Reason> {
    match found {
        Consistency::Consistent => vec![Reason::new(Statistic::Consistency, Finding::Good, 0)],
        Consistency::Unknown(why) => {
            vec![Reason::new(Statistic::Consistency, Finding::Unknown, 0).detail(why.clone())]
        }
        // A claim of inconsistency that names nothing is still one.
        Consistency::Inconsistent(found) if found.is_empty() => {
            vec![Reason::new(Statistic::Consistency, Finding::Bad, 0)]
        }
        Consistency::Inconsistent(found) => found
            .iter()
            .map(|one| {
                Reason::new(Statistic::Consistency, Finding::Bad, 0)
                    .about(one.instance.iter().cloned().collect())
                    .detail(one.words.clone())
            })
            .collect(),
    }
}

fn coverage(evidence: &Evidence<'_>, watched: &Watched<'_>) -> Vec<Reason> {
    let enough = |enough| if enough { Finding::Good } else { Finding::Unknown };
    let observed = Reason::new(Statistic::ObservedShare, enough(watched.observed >= LEAST_OBSERVED), watched.usable)
        .value(watched.observed)
        .against(LEAST_OBSERVED);
    // As monitoring samples: every 15 s, and twenty times in a short window.
    let interval = (evidence.window / 20).min(Duration::from_secs(15));
    let planned = evidence.window.as_nanos().checked_div(interval.as_nanos()).unwrap_or(0);
    let mut reasons = vec![observed];
    if planned >= FEWEST_SAMPLES as u128 {
        reasons.push(
            Reason::new(Statistic::UsableSamples, enough(watched.usable >= FEWEST_SAMPLES), watched.usable)
                .value(watched.usable as f64)
                .against(FEWEST_SAMPLES as f64),
        );
    }
    reasons
}

fn missing(up: bool, watched: &Watched<'_>, after: &Totals, fewest: u64) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let samples = watched.samples.len();
    let unknown = |statistic| Reason::new(statistic, Finding::Unknown, samples);
    let had = watched.readings_had();
    if had < LEAST_OBSERVED {
        reasons.push(unknown(Statistic::Readings).value(had).against(LEAST_OBSERVED));
    }
    for member in watched.roster.iter().filter(|member| member.new) {
        let had = if samples == 0 { 0.0 } else { member.read as f64 / samples as f64 };
        if had < LEAST_OBSERVED {
            let one = vec![member.id.clone()];
            reasons.push(unknown(Statistic::Readings).value(had).against(LEAST_OBSERVED).about(one));
        }
    }
    if after.requests < fewest {
        reasons.push(unknown(Statistic::Requests).value(after.requests as f64).against(fewest as f64));
    }
    if up && watched.newcomers().is_empty() {
        reasons.push(unknown(Statistic::NewcomerLatency).detail("it is not known which they are"));
    }
    reasons
}

fn shares(watched: &Watched<'_>) -> Vec<Share> {
    let requests = watched.requests();
    let mut even = vec![0.0; watched.roster.len()];
    for sample in &watched.samples {
        let all: f64 = sample.readings.iter().map(|(_, load)| load.requests as f64).sum();
        for (place, _) in &sample.readings {
            even[*place] += all / sample.readings.len() as f64;
        }
    }
    watched
        .roster
        .iter()
        .zip(requests.into_iter().zip(even))
        .filter(|(member, _)| member.read > 0)
        .map(|(member, (requests, even))| Share {
            instance: member.id.clone(),
            new: member.new,
            requests,
            even,
            // A handful of requests is uneven by nature.
            warning: match requests as f64 {
                _ if even < FEWEST_REQUESTS_SHORT as f64 => None,
                got if got < 0.5 * even => Some(ShareWarning::UnderHalf),
                got if got > 2.0 * even => Some(ShareWarning::OverTwice),
                _ => None,
            },
        })
        .collect()
}
