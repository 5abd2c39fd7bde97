//! What the answers come to: each instance's counters at each moment, as if it had been scraped then.

use std::collections::HashMap;

use scalebot_commands::units::InstanceId;

use super::answer::Series;
use crate::scrape::Figures;

/// The most buckets that a histogram may have.
const MAX_BUCKETS: usize = 64;

/// Beyond this a counter no longer counts in steps of one.
const MAX_COUNT: f64 = 9_007_199_254_740_992.0;

/// What tells a series from the others of its instance, and its values by the moment.
type Apart = (String, Vec<(i64, f64)>);

/// An answer, by instance; the series of one instance are told apart by another label.
#[derive(Clone, Debug, Default)]
pub(super) struct Answer {
    /// The question, to be shown with what is wrong about it.
    pub(super) query: String,
    by_instance: HashMap<InstanceId, Vec<Apart>>,
}

impl Answer {
    /// Sorts the series of an answer by instance and, where `apart` names one, by that label. Those of others than
    /// `known`, by what the label `instance` holds, are of no interest.
    ///
    /// # Errors
    /// When a label is missing, or two series cannot be told apart: they would be counted twice.
    pub(super) fn sorted(
        query: String,
        series: Vec<Series>,
        label: &str,
        apart: Option<&str>,
        known: &HashMap<String, InstanceId>,
    ) -> Result<Self, String> {
        let mut by_instance: HashMap<InstanceId, Vec<Apart>> = HashMap::new();
        for mut one in series {
            let value =
                one.labels.get(label).ok_or_else(|| format!("a series has no label {label}; asked: {query}"))?;
            let Some(instance) = known.get(value) else { continue };
            let apart = match apart {
                None => String::new(),
                Some(apart) => {
                    let missing = || format!("a series of {instance} has no label {apart}; asked: {query}");
                    one.labels.remove(apart).filter(|value| !value.is_empty()).ok_or_else(missing)?
                }
            };
            let others = by_instance.entry(instance.clone()).or_default();
            if others.iter().any(|(other, _)| *other == apart) {
                let why = "several series are of one instance; let the selector find one";
                return Err(format!("{instance}: {why}; asked: {query}"));
            }
            others.push((apart, one.points));
        }
        Ok(Self { query, by_instance })
    }

    /// Whether nothing was found of any instance.
    pub(super) fn is_empty(&self) -> bool {
        self.by_instance.is_empty()
    }

    /// Every instance of which something was found, with when.
    pub(super) fn points(&self) -> impl Iterator<Item = (&InstanceId, &[(i64, f64)])> {
        self.by_instance.iter().filter_map(|(id, series)| Some((id, series.first()?.1.as_slice())))
    }

    /// An instance's only value at that moment, where there is one that can be.
    pub(super) fn gauge(&self, instance: &InstanceId, moment: i64) -> Option<f64> {
        let mut all = self.at(instance, moment);
        all.next().map(|(_, value)| value).filter(|value| value.is_finite() && *value >= 0.0)
    }

    /// An instance's values at that moment.
    fn at<'a>(&'a self, instance: &InstanceId, moment: i64) -> impl Iterator<Item = (&'a str, f64)> + use<'a> {
        let series = self.by_instance.get(instance).map(Vec::as_slice).unwrap_or_default();
        series.iter().filter_map(move |(apart, points)| {
            let at = points.binary_search_by_key(&moment, |(time, _)| *time).ok()?;
            Some((apart.as_str(), points.get(at)?.1))
        })
    }

    /// Whether something was found of an instance before that moment.
    fn has_before(&self, instance: &InstanceId, moment: i64) -> bool {
        let series = self.by_instance.get(instance).map(Vec::as_slice).unwrap_or_default();
        series.iter().any(|(_, points)| points.first().is_some_and(|(first, _)| *first < moment))
    }

    /// An instance's counts at that moment; empty when it has counted nothing yet.
    ///
    /// # Errors
    /// For a value that is no count, and when counts are missing that were there before.
    fn counts(&self, instance: &InstanceId, moment: i64) -> Result<Vec<(&str, f64)>, String> {
        let counts: Vec<(&str, f64)> = self.at(instance, moment).collect();
        if let Some((_, wrong)) = counts.iter().find(|(_, value)| !is_count(*value)) {
            return Err(format!("{wrong} is no count; asked: {}", self.query));
        }
        if counts.is_empty() && self.has_before(instance, moment) {
            return Err(format!("figures have vanished; asked: {}", self.query));
        }
        Ok(counts)
    }
}

/// The answers about everything that is counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) requests: Answer,
    pub(super) halt_refusals: Option<Answer>,
    pub(super) buckets: Answer,
    pub(super) duration: Answer,
    pub(super) started: Option<Answer>,
    pub(super) slots_busy: Option<Answer>,
    pub(super) slots: Option<Answer>,
}

impl Counters {
    /// What an instance had counted at that moment.
    ///
    /// # Errors
    /// Why it cannot be told, with the question.
    pub(super) fn of(&self, instance: &InstanceId, moment: i64) -> Result<Figures, String> {
        let requests = self.requests.counts(instance, moment)?;
        let errors = requests.iter().filter(|(status, _)| status.starts_with('5')).map(|(_, count)| count).sum::<f64>();
        let refusals = match &self.halt_refusals {
            None => 0.0,
            Some(answer) => answer.counts(instance, moment)?.iter().map(|(_, count)| count).sum(),
        };
        if refusals > errors {
            let asked = self.halt_refusals.as_ref().map_or("", |answer| answer.query.as_str());
            return Err(format!("more refusals during a halt than answers 5xx; asked: {asked}"));
        }
        let (bounds_ms, counts) = histogram(self.buckets.counts(instance, moment)?)
            .ok_or_else(|| format!("it is no histogram; asked: {}", self.buckets.query))?;
        let seconds = self.duration.gauge(instance, moment);
        if seconds.is_none() != counts.is_empty() {
            return Err(format!("no sum goes with the buckets; asked: {}", self.duration.query));
        }
        let gauge = |answer: &Option<Answer>| answer.as_ref()?.gauge(instance, moment);
        Ok(Figures {
            requests: requests.iter().map(|(_, count)| count).sum::<f64>() as u64,
            errors: (errors - refusals) as u64,
            bounds_ms,
            counts,
            sum_ms: seconds.unwrap_or(0.0) * 1_000.0,
            cpu_seconds: None,
            memory_bytes: None,
            started: gauge(&self.started),
            busy_seconds: gauge(&self.slots_busy),
            slots: gauge(&self.slots),
        })
    }
}

fn is_count(value: f64) -> bool {
    (0.0..=MAX_COUNT).contains(&value) && value.fract() == 0.0
}

/// Bounds in milliseconds and counts that are not cumulative; `None` when the buckets are not those of one histogram:
/// fewer in a wider one, or without the one that holds everything.
fn histogram(buckets: Vec<(&str, f64)>) -> Option<(Vec<f64>, Vec<u64>)> {
    if buckets.is_empty() {
        return Some((Vec::new(), Vec::new()));
    }
    let bound = |(le, count): (&str, f64)| Some((le.parse::<f64>().ok().filter(|le| !le.is_nan())?, count));
    let mut buckets: Vec<(f64, f64)> = buckets.into_iter().map(bound).collect::<Option<_>>()?;
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (last, bounded) = buckets.split_last()?;
    let is_rising = bounded.is_sorted_by(|one, other| one.0 < other.0);
    if last.0 != f64::INFINITY
        || bounded.len() > MAX_BUCKETS
        || !is_rising
        || bounded.iter().any(|one| !one.0.is_finite())
    {
        return None;
    }
    let mut below = 0_u64;
    let mut counts = Vec::with_capacity(buckets.len());
    for (_, cumulative) in &buckets {
        let cumulative = *cumulative as u64;
        counts.push(cumulative.checked_sub(below)?);
        below = cumulative;
    }
    // Rounded to a millionth: 0.035 s is 35 ms, not 35.000000000000004.
    let bounds = bounded.iter().map(|(le, _)| (le * 1e9).round() / 1e6).collect();
    Some((bounds, counts))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LABEL: &str = "instance";

    fn one(apart: &[(&str, &str)], points: &[(i64, f64)]) -> Series {
        let labels = [&[(LABEL, "10.0.0.1:8000")], apart].concat();
        let labels: BTreeMap<_, _> = labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Series { labels, points: points.to_vec() }
    }

    fn known() -> HashMap<String, InstanceId> {
        HashMap::from([("10.0.0.1:8000".into(), id())])
    }

    fn id() -> InstanceId {
        InstanceId::new("api-1")
    }

    fn sorted(series: Vec<Series>, apart: Option<&str>) -> Result<Answer, String> {
        Answer::sorted("the question".into(), series, LABEL, apart, &known())
    }

    fn counters() -> Counters {
        let bucket = |le: &str, count: f64| one(&[("le", le)], &[(1_000, count)]);
        let status = |status: &str, count: f64| one(&[("status", status)], &[(1_000, count)]);
        Counters {
            requests: sorted(vec![status("200", 7.0), status("503", 2.0), status("500", 1.0)], Some("status")).unwrap(),
            buckets: sorted(vec![bucket("+Inf", 10.0), bucket("0.5", 8.0), bucket("0.035", 3.0)], Some("le")).unwrap(),
            duration: sorted(vec![one(&[], &[(1_000, 4.5)])], None).unwrap(),
            ..Counters::default()
        }
    }

    #[test]
    fn an_instances_figures_are_put_together_from_all_answers() {
        let wanted = Figures {
            requests: 10,
            errors: 3,
            bounds_ms: vec![35.0, 500.0],
            counts: vec![3, 5, 2],
            sum_ms: 4_500.0,
            ..Figures::default()
        };
        assert_eq!(counters().of(&id(), 1_000), Ok(wanted));
        // Nothing counted yet is zero, where nothing was there before.
        assert_eq!(counters().of(&id(), 999), Ok(Figures::default()));
        assert_eq!(counters().of(&InstanceId::new("api-2"), 1_000), Ok(Figures::default()));
        let vanished = counters().of(&id(), 2_000).unwrap_err();
        assert!(vanished.contains("vanished") && vanished.contains("the question"), "{vanished}");
    }

    #[test]
    fn what_a_halted_system_refuses_is_no_error() {
        let refusals = |count| Some(sorted(vec![one(&[], &[(1_000, count)])], None).unwrap());
        let with = |count| Counters { halt_refusals: refusals(count), ..counters() }.of(&id(), 1_000);
        assert_eq!(with(2.0).unwrap().errors, 1);
        assert!(with(4.0).unwrap_err().contains("more refusals"));
        assert!(with(f64::NAN).unwrap_err().contains("no count"));
    }

    #[test]
    fn figures_that_cannot_be_are_none() {
        for wrong in [f64::NAN, f64::INFINITY, -1.0, 0.5, 1e17] {
            let requests = sorted(vec![one(&[("status", "200")], &[(1_000, wrong)])], Some("status")).unwrap();
            assert!(Counters { requests, ..counters() }.of(&id(), 1_000).is_err(), "{wrong}");
        }
        for buckets in [
            vec![("0.5", 8.0)],
            vec![("0.5", 8.0), ("+Inf", 7.0)],
            vec![("-Inf", 1.0), ("+Inf", 7.0)],
            vec![("wide", 1.0), ("+Inf", 7.0)],
            vec![("0.5", 1.0), ("0.50", 1.0), ("+Inf", 7.0)],
        ] {
            assert!(histogram(buckets.clone()).is_none(), "{buckets:?}");
        }
        let many: Vec<(String, f64)> = (0..100).map(|le| (le.to_string(), 1.0)).chain([("+Inf".into(), 1.0)]).collect();
        assert!(histogram(many.iter().map(|(le, count)| (le.as_str(), *count)).collect()).is_none());
        let without = Counters { duration: Answer::default(), ..counters() };
        assert!(without.of(&id(), 1_000).unwrap_err().contains("no sum"));
        let negative = Counters { duration: sorted(vec![one(&[], &[(1_000, -1.0)])], None).unwrap(), ..counters() };
        assert!(negative.of(&id(), 1_000).is_err());
    }

    #[test]
    fn series_that_cannot_be_told_apart_are_never_added_up() {
        let twice = sorted(vec![one(&[("job", "a")], &[]), one(&[("job", "b")], &[])], None).unwrap_err();
        assert!(twice.contains("api-1") && twice.contains("let the selector find one"), "{twice}");
        let nameless = Series { labels: BTreeMap::new(), points: Vec::new() };
        assert!(sorted(vec![nameless], None).unwrap_err().contains("no label instance"));
        assert!(sorted(vec![one(&[], &[])], Some("le")).unwrap_err().contains("no label le"));
        // What is none of the fleet's is of no interest.
        let other = Series { labels: BTreeMap::from([(LABEL.into(), "10.9.9.9:1".into())]), points: Vec::new() };
        assert!(sorted(vec![other], None).unwrap().is_empty());
    }
}
