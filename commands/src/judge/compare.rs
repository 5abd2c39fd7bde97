//! New instances against the others in the same minutes. What changes for all alike (load, the database, the hour)
//! cancels out within each sample, so that what remains is the new instances' own doing.

use super::difference::{Difference, Question, Side, added};
use super::reason::{Finding, Reason, Statistic};
use super::watch::Watched;
use super::{SIGNIFICANCE, SIGNIFICANCE_ERRORS};
use crate::units::InstanceId;

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
    let mut found = Comparison::default();
    let (new, old): (Vec<usize>, Vec<usize>) = (0..watched.roster.len()).partition(|place| watched.roster[*place].new);
    starved(watched, &new, fewest, &mut found);
    let fleet = Fleet { watched, fewest, others: added(watched, &old), new, old };
    for question in [Question::Latency, Question::errors(error_limit)] {
        fleet.answer(question, &mut found);
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

/// The two sides, by their places in the roster.
struct Fleet<'a> {
    watched: &'a Watched<'a>,
    fewest: u64,
    new: Vec<usize>,
    old: Vec<usize>,
    /// All old instances, added up.
    others: Vec<Side>,
}

impl Fleet<'_> {
    /// Asks one question of the new instances together, then of each alone, so that one bad one among many is found.
    fn answer(&self, question: Question, found: &mut Comparison) {
        let (statistic, allowance) = match question {
            Question::Latency => (Statistic::NewcomerLatency, SIGNIFICANCE),
            Question::Errors { .. } => (Statistic::NewcomerErrors, SIGNIFICANCE_ERRORS),
        };
        let together = match question.ask(&added(self.watched, &self.new), &self.others, self.fewest) {
            Ok(difference) => difference,
            Err(requests) => {
                let samples = self.watched.samples.len();
                let why = self.too_few(requests);
                found.reasons.push(Reason::new(statistic, Finding::Unknown, samples).detail(why));
                return;
            }
        };
        let worse = |one: &Difference, allowed: f64| question.matters(one.new, one.old) && one.chance <= allowed;
        // Half of the allowance for the question to the group, half for those to its members.
        let half = allowance / 2.0;
        let each = half / self.new.len().max(1) as f64;
        let mut alone: Vec<(usize, Difference)> = Vec::new();
        if self.new.len() > 1 {
            let of_one = |place: &usize| {
                let difference = question.ask(&added(self.watched, &[*place]), &self.others, self.fewest).ok()?;
                Some((*place, difference))
            };
            alone.extend(self.new.iter().filter_map(of_one).filter(|(_, one)| worse(one, each)));
        }
        let group = worse(&together, half);
        let mut excuse = None;
        if (group || !alone.is_empty())
            && let Some((old, figure)) = self.worst_of_the_old(question, |one, of| worse(one, half / of))
        {
            alone.retain(|(_, one)| question.matters(one.new, figure));
            if alone.is_empty() && !(group && question.matters(together.new, figure)) {
                excuse = Some(format!("no worse than {}, which is not new", self.watched.roster[old].id));
            }
        }

        let guilty: Vec<usize> = match alone.as_slice() {
            [] if group && excuse.is_none() => self.new.clone(),
            named => named.iter().map(|(place, _)| *place).collect(),
        };
        let shown = if alone.len() == 1 { alone.remove(0).1 } else { together };
        let culprits: Vec<InstanceId> = guilty.into_iter().map(|place| self.watched.roster[place].id.clone()).collect();
        let finding = if culprits.is_empty() { Finding::Good } else { Finding::Bad };
        let mut reason = Reason::new(statistic, finding, shown.samples)
            .value(shown.new)
            .against(shown.old)
            .chance(shown.chance)
            .about(culprits.clone());
        reason.detail = match finding {
            Finding::Bad => shown.detail.map(str::to_owned),
            _ => excuse,
        };
        found.reasons.push(reason);
        found.culprits.extend(culprits);
    }

    /// The same question to each old instance against the other old ones: the worst that the test finds bad, with its
    /// figure. What is so of instances that were there before is not of the new ones' being new.
    fn worst_of_the_old(&self, question: Question, is_bad: impl Fn(&Difference, f64) -> bool) -> Option<(usize, f64)> {
        if self.old.len() < 2 {
            return None;
        }
        let mut worst: Option<(usize, f64)> = None;
        for one in &self.old {
            let rest: Vec<usize> = self.old.iter().copied().filter(|place| place != one).collect();
            let asked = question.ask(&added(self.watched, &[*one]), &added(self.watched, &rest), self.fewest);
            let Ok(difference) = asked else { continue };
            let higher = worst.is_none_or(|(_, figure)| difference.new > figure);
            if higher && is_bad(&difference, self.old.len() as f64) {
                worst = Some((*one, difference.new));
            }
        }
        worst
    }

    fn too_few(&self, (new, old): (f64, f64)) -> String {
        let fewer = if new < self.fewest as f64 { ("the new instances", new) } else { ("the other instances", old) };
        format!(
            "{} answered {:.0} requests in the samples that both are in, at least {} are needed",
            fewer.0, fewer.1, self.fewest
        )
    }
}
