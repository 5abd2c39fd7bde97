//! What was observed, put in order for drawing: seconds from one moment on, lines that end where nothing was observed,
//! and figures that are numbers.

use std::collections::BTreeSet;
use std::time::Duration;

use scalebot_commands::units::{InstanceId, Timestamp};

use scalebot_commands::card::Milestone;

use super::{Chart, Sample};

/// A point of a line: seconds from the story's zero, and a figure.
pub(super) type Reading = (f64, f64);

/// A figure over time, in pieces between which nothing is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Line {
    pub(super) pieces: Vec<Vec<Reading>>,
}

/// One instance's requests per second.
#[derive(Clone, Debug)]
pub(super) struct InstanceLine {
    pub(super) instance: InstanceId,
    pub(super) new: bool,
    pub(super) line: Line,
    /// Whether it was there to the end of the changed fleet, or else of what was observed.
    pub(super) present: bool,
    /// Its requests per second in the samples of the changed fleet, or else in all; `None` where that is not known.
    pub(super) mean: Option<f64>,
    /// Its requests since the change over what an even share would have been; `None` where that cannot be said.
    pub(super) share: Option<f64>,
}

impl Story<'_> {
    /// What a group of instances is called, before its figure. Where none is new, the others are not old.
    pub(super) fn group_name(&self, new: bool) -> &'static str {
        match new {
            true => "new",
            false if self.instances.iter().any(|instance| instance.new) => "old",
            false => "at",
        }
    }
}

impl InstanceLine {
    /// Whether it gets under half or over twice an even share.
    pub(super) fn stands_out(&self) -> bool {
        self.present && self.share.is_some_and(|share| !(0.5..=2.0).contains(&share))
    }
}

/// Everything that the picture shows.
#[derive(Clone, Debug)]
pub(super) struct Story<'a> {
    /// The moment that seconds count from: the change, or else the first sample.
    pub(super) zero: Timestamp,
    /// The first and the last second.
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) p50: Line,
    pub(super) p99: Line,
    pub(super) errors: Line,
    pub(super) instances: Vec<InstanceLine>,
    /// What the old ones answered on the average, and the new ones, without whoever stands out.
    pub(super) old_mean: Line,
    pub(super) new_mean: Line,
    pub(super) marks: Vec<(f64, Milestone)>,
    /// Samples up to the change, by time. All of them where there was none.
    pub(super) before: Vec<&'a Sample>,
    /// Samples of the changed fleet, by time: from its verification, and up to its being taken back, where there were.
    pub(super) after: Vec<&'a Sample>,
}

impl<'a> Story<'a> {
    /// The chart's story; `None` when nothing was observed.
    pub(super) fn of(chart: &'a Chart) -> Option<Self> {
        let mut samples: Vec<&Sample> = chart.samples.iter().collect();
        samples.sort_by_key(|sample| sample.at);
        let (first, last) = (*samples.first()?, *samples.last()?);
        let moment = |what| chart.marks.iter().filter(|mark| mark.what == what).map(|mark| mark.at).min();
        let scaled = moment(Milestone::Scaled);
        let zero = scaled.unwrap_or(first.at);
        let seconds = |at: Timestamp| at.duration_since(zero).as_secs_f64();

        let mut marks: Vec<(f64, Milestone)> = chart.marks.iter().map(|mark| (seconds(mark.at), mark.what)).collect();
        marks.sort_by(|one, other| one.0.total_cmp(&other.0));
        let ends = [seconds(first.at), seconds(last.at)].into_iter().chain(marks.iter().map(|mark| mark.0));
        let (from, to) = ends.fold((f64::MAX, f64::MIN), |(from, to), at| (from.min(at), to.max(at)));

        let until = moment(Milestone::RolledBack).unwrap_or(Timestamp::MAX);
        let (before, after) = match scaled {
            Some(scaled) => {
                let since = moment(Milestone::Verified).unwrap_or(scaled).max(scaled);
                (
                    samples.iter().copied().filter(|sample| sample.at <= scaled).collect(),
                    samples.iter().copied().filter(|sample| sample.at > since && sample.at <= until).collect(),
                )
            }
            None => (samples.clone(), Vec::new()),
        };

        let line = |figure: &dyn Fn(&Sample) -> Option<f64>| line(&samples, &seconds, figure);
        let decisive = if after.is_empty() { &samples } else { &after };
        let names: BTreeSet<&InstanceId> = samples.iter().flat_map(|sample| sample.requests.keys()).collect();
        let instances: Vec<InstanceLine> = names
            .into_iter()
            .map(|instance| InstanceLine {
                instance: instance.clone(),
                new: chart.new.contains(instance),
                line: line(&|sample| rate(sample, instance)),
                present: decisive.last().is_some_and(|sample| sample.requests.contains_key(instance)),
                mean: mean_rate(decisive, instance),
                share: share(&after, instance),
            })
            .collect();
        let mean = |new| {
            line(&|sample| {
                let group = instances.iter().filter(|line| line.new == new && !line.stands_out());
                let rates: Vec<f64> = group.filter_map(|line| rate(sample, &line.instance)).collect();
                (!rates.is_empty()).then(|| rates.iter().sum::<f64>() / rates.len() as f64)
            })
        };
        let (old_mean, new_mean) = (mean(false), mean(true));
        Some(Self {
            zero,
            from,
            to,
            old_mean,
            new_mean,
            p50: line(&|sample| sample.p50_ms),
            p99: line(&|sample| sample.p99_ms),
            errors: line(&|sample| sample.error_share.filter(|share| *share <= 1.0)),
            instances,
            marks,
            before,
            after,
        })
    }
}

/// Requests per second that an instance answered.
fn rate(sample: &Sample, instance: &InstanceId) -> Option<f64> {
    let seconds = sample.window.as_secs_f64();
    let requests = *sample.requests.get(instance)?;
    (seconds > 0.0).then(|| requests as f64 / seconds)
}

/// Requests per second that an instance answered over all samples that hold it.
fn mean_rate(samples: &[&Sample], instance: &InstanceId) -> Option<f64> {
    let held = samples.iter().filter_map(|sample| Some((*sample.requests.get(instance)?, sample.window)));
    let (requests, seconds) = held.fold((0.0, 0.0), |(requests, seconds), (more, window)| {
        (requests + more as f64, seconds + window.as_secs_f64())
    });
    (seconds > 0.0).then(|| requests / seconds)
}

/// What an instance got of an even share, over the samples that hold it.
fn share(samples: &[&Sample], instance: &InstanceId) -> Option<f64> {
    let (mut got, mut even) = (0.0, 0.0);
    for sample in samples {
        if let Some(requests) = sample.requests.get(instance) {
            got += *requests as f64;
            even +=
                sample.requests.values().map(|requests| *requests as f64).sum::<f64>() / sample.requests.len() as f64;
        }
    }
    (even > 0.0).then(|| got / even)
}

/// The figure over time. It breaks off where a sample does not know it, and where an interval was not observed.
fn line(samples: &[&Sample], seconds: &dyn Fn(Timestamp) -> f64, figure: &dyn Fn(&Sample) -> Option<f64>) -> Line {
    let mut pieces: Vec<Vec<Reading>> = Vec::new();
    let mut joined = false;
    let mut before: Option<&Sample> = None;
    for sample in samples {
        joined = joined && before.is_none_or(|before| follows(before, sample));
        match figure(sample).filter(|figure| figure.is_finite() && *figure >= 0.0) {
            Some(figure) => {
                let reading = (seconds(sample.at), figure);
                match pieces.last_mut().filter(|_| joined) {
                    Some(piece) => piece.push(reading),
                    None => pieces.push(vec![reading]),
                }
                joined = true;
            }
            None => joined = false,
        }
        before = Some(sample);
    }
    Line { pieces }
}

/// Whether one sample begins about where the other ended. Readings come a little early or late.
fn follows(before: &Sample, sample: &Sample) -> bool {
    let between = Duration::try_from(sample.at.duration_since(before.at)).unwrap_or_default();
    between.saturating_sub(sample.window) <= (sample.window / 2).max(Duration::from_secs(1))
}

impl Line {
    /// Every reading.
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> + '_ {
        self.pieces.iter().flatten().copied()
    }

    /// The highest figure; zero without any.
    pub(super) fn highest(&self) -> f64 {
        self.readings().map(|reading| reading.1).fold(0.0, f64::max)
    }

    /// The newest reading.
    pub(super) fn last(&self) -> Option<Reading> {
        self.pieces.last()?.last().copied()
    }
}
