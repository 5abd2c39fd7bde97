//! How an operation ended: the verdict with its reasons, before and after side by side, and the chart.

use super::{Card, Chart, ChartMark, Milestone, Row, Tone, change, instances, sentence};
use crate::context::Context;
use crate::figures::{Load, percent};
use crate::judge::{Finding, Judgement, Reason, Statistic, Verdict};
use crate::steps::monitor::{Monitored, Watched};
use crate::steps::{Finished, Outcome};

/// The card of a finished operation. `samples` are what monitoring saw.
/// `afterwards` is what came after the verdict.
pub fn summary(
    cx: &Context<'_>,
    finished: &Finished,
    watched: Option<&Watched>,
    afterwards: &[String],
    samples: Vec<Load>,
) -> Card {
    let what = change(finished.from, finished.to);
    let tone = match (finished.outcome, finished.verdict) {
        (Outcome::Completed, Some(Verdict::Improved | Verdict::Stable)) => Tone::Good,
        (Outcome::Completed, None) if cx.request.undoes.is_some() => Tone::Good,
        (Outcome::Completed, Some(Verdict::Inconclusive)) => Tone::Unknown,
        (Outcome::Completed | Outcome::Cancelled, _) => Tone::Warn,
        _ => Tone::Bad,
    };
    let verdict = finished.verdict.map_or_else(String::new, |verdict| format!(", {verdict}"));
    let title = format!("{}{verdict}: {what}", capitalised(finished.outcome.words()));
    let mut card = Card::new(tone, title, cx);
    card = match watched {
        Some(watched) if finished.verdict.is_some() => {
            card.lines(reasons(&watched.monitored.judgement)).lines(afterwards.iter().map(|line| sentence(line)))
        }
        _ => card.told(&finished.reason),
    };
    card = card.line(match finished.ended_at {
        Some(count) if Some(count) == finished.from => format!("The fleet has {}, as before.", instances(count)),
        Some(count) => format!("The fleet has {} now.", instances(count)),
        None => "How many instances the fleet has now could not be seen.".to_owned(),
    });
    card = card.lines(next(finished).map(str::to_owned));
    if let Some(watched) = watched {
        let after = Load::over(&samples);
        card.rows = side_by_side(cx, watched.before.as_ref(), after.as_ref());
        card.rows.extend(watched.monitored.judgement.reasons.iter().filter_map(in_use));
        card.rows.push(observed(&watched.monitored));
        if !samples.is_empty() {
            card.chart = Some(chart(cx, finished, watched, samples));
        }
    }
    card
}

/// What is to be done next, where somebody has to.
fn next(finished: &Finished) -> Option<&'static str> {
    let touched = finished.from.is_some() && finished.ended_at != finished.from;
    match (finished.outcome, finished.verdict) {
        (Outcome::Completed, Some(Verdict::NotImproved)) => {
            Some("They stay, but more instances alone do not help. The system architect is told.")
        }
        (Outcome::Completed, Some(Verdict::Inconclusive)) => Some(if finished.from > Some(finished.to) {
            "Whether fewer are enough could not be told: look at the figures yourself."
        } else {
            "They stay. Whether they help could not be told: look at the figures yourself."
        }),
        (Outcome::Failed, _) if touched && finished.ended_at.is_some() => {
            Some("It is left as it is. Look at it, and decide whether that may stay, before you ask for more.")
        }
        (Outcome::Failed, _) if touched => Some("Look at it before you ask again."),
        _ => None,
    }
}

/// The most reasons that a card gives in words.
const SAID: usize = 6;

/// What the verdict rests on, what decided first. What is as it should be and stands in the table is not said as well.
fn reasons(judgement: &Judgement) -> Vec<String> {
    let mut said: Vec<String> = Vec::new();
    for reason in &judgement.reasons {
        let sentence = reason.to_string();
        let shown = reason.finding == Finding::Good && in_the_table(reason.statistic);
        if !shown && !said.contains(&sentence) {
            said.push(sentence);
        }
    }
    if said.len() > SAID {
        let more = said.len() - (SAID - 1);
        said.truncate(SAID - 1);
        said.push(format!("{more} more reasons are in the log."));
    }
    said
}

fn in_the_table(statistic: Statistic) -> bool {
    !matches!(statistic, Statistic::Consistency | Statistic::NewcomerLatency | Statistic::NewcomerErrors)
}

/// CPU and memory, of which the judgement holds the figure and the limit.
fn in_use(reason: &Reason) -> Option<Row> {
    let name = match reason.statistic {
        Statistic::Cpu => "CPU",
        Statistic::Memory => "memory",
        _ => return None,
    };
    let tone = match reason.finding {
        Finding::Good | Finding::Better => Tone::Good,
        Finding::Bad => Tone::Bad,
        Finding::Unknown => Tone::Unknown,
    };
    let figure = reason.value.map_or_else(|| "not known".to_owned(), percent);
    Some(Row::new(tone, name, format!("{figure} (limit {})", percent(reason.against?))))
}

fn observed(monitored: &Monitored) -> Row {
    let Monitored { observed, window, samples, .. } = monitored;
    let tone = if observed >= window { Tone::Good } else { Tone::Warn };
    Row::new(tone, "observed", format!("{observed} of {window}, {samples} samples"))
}

/// A figure of a load, where it is known.
type Figure = fn(&Load) -> Option<f64>;

fn side_by_side(cx: &Context<'_>, before: Option<&Load>, after: Option<&Load>) -> Vec<Row> {
    let limits = &cx.policy.load;
    let ms = |figure: f64| format!("{figure:.0} ms");
    let row = |name: &str, limit: Option<f64>, written: &dyn Fn(f64) -> String, figure: Figure| {
        let (before, after) = (before.and_then(figure), after.and_then(figure));
        let text = |figure: Option<f64>| figure.map_or_else(|| "not known".to_owned(), written);
        let tone = match (after, limit) {
            (None, _) => Tone::Unknown,
            (Some(after), Some(limit)) if after > limit => Tone::Bad,
            (Some(_), Some(_)) => Tone::Good,
            (Some(_), None) => Tone::Info,
        };
        let limit = limit.map_or_else(String::new, |limit| format!(" (limit {})", written(limit)));
        Row::new(tone, name, format!("{} → {}{limit}", text(before), text(after)))
    };
    vec![
        row("p50", None, &ms, |load| Some(load.percentiles()?.p50_ms)),
        row("p95", None, &ms, |load| Some(load.percentiles()?.p95_ms)),
        row("p99", Some(limits.p99_ms), &ms, |load| Some(load.percentiles()?.p99_ms)),
        row("errors", Some(limits.error_share), &percent, Load::error_share),
        row("load", None, &|rate| format!("{rate:.1} requests/s"), Load::requests_per_second),
    ]
}

fn chart(cx: &Context<'_>, finished: &Finished, watched: &Watched, samples: Vec<Load>) -> Chart {
    let from = finished.from.map_or_else(|| "?".to_owned(), |from| from.to_string());
    Chart {
        title: format!("{} {from} → {}", finished.target, finished.to),
        before: watched.before.clone(),
        samples,
        newcomers: watched.newcomers.clone(),
        limit_ms: cx.policy.load.p99_ms,
        error_limit: cx.policy.load.error_share,
        marks: vec![
            ChartMark { at: watched.scaled_at, what: Milestone::Scaled },
            ChartMark { at: watched.verified_at, what: Milestone::Verified },
        ],
        verdict: finished.verdict.map_or_else(|| finished.outcome.words().to_owned(), |verdict| verdict.to_string()),
    }
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
