//! How an operation ended: the verdict with its reasons, before and after side by side, and the chart.

use super::{Card, Chart, ChartMark, Milestone, Row, Tone, change};
use crate::context::Context;
use crate::figures::Load;
use crate::judge::Verdict;
use crate::steps::monitor::Watched;
use crate::steps::{Finished, Outcome};

/// The card of a finished operation. `samples` are what monitoring saw.
pub fn summary(cx: &Context<'_>, finished: &Finished, watched: Option<&Watched>, samples: Vec<Load>) -> Card {
    let what = change(finished.from, finished.to);
    let tone = match (finished.outcome, finished.verdict) {
        (Outcome::Completed, Some(Verdict::Improved | Verdict::Stable)) => Tone::Good,
        (Outcome::Completed, Some(Verdict::Inconclusive)) => Tone::Unknown,
        (Outcome::Completed | Outcome::Cancelled, _) => Tone::Warn,
        _ => Tone::Bad,
    };
    let verdict = finished.verdict.map_or_else(String::new, |verdict| format!(", {verdict}"));
    let title = format!("{}{verdict}: {what}", capitalised(finished.outcome.words()));
    let mut card = Card::new(tone, title.clone(), cx);
    card = match watched {
        Some(watched) if finished.verdict.is_some() => {
            card.lines(watched.monitored.judgement.reasons.iter().map(ToString::to_string))
        }
        _ => card.line(finished.reason.clone()),
    };
    card = card.line(match finished.ended_at {
        Some(count) => format!("The fleet has {count} instances now."),
        None => "How many instances the fleet has now could not be seen.".to_owned(),
    });
    if let Some(watched) = watched {
        let after = Load::over(&samples);
        card.rows = side_by_side(cx, watched.before.as_ref(), after.as_ref());
        if !samples.is_empty() {
            card.chart = Some(chart(cx, finished, watched, samples, title));
        }
    }
    card
}

fn side_by_side(cx: &Context<'_>, before: Option<&Load>, after: Option<&Load>) -> Vec<Row> {
    let limits = &cx.policy.load;
    let row = |name: &str, limit: Option<f64>, unit: &str, digits: usize, figure: &dyn Fn(&Load) -> Option<f64>| {
        let (before, after) = (before.and_then(figure), after.and_then(figure));
        let text =
            |figure: Option<f64>| figure.map_or_else(|| "not known".to_owned(), |f| format!("{f:.digits$} {unit}"));
        let tone = match (after, limit) {
            (None, _) => Tone::Unknown,
            (Some(after), Some(limit)) if after > limit => Tone::Bad,
            (Some(_), Some(_)) => Tone::Good,
            (Some(_), None) => Tone::Info,
        };
        let limit = limit.map_or_else(String::new, |limit| format!(" (limit {limit:.digits$} {unit})"));
        Row::new(tone, name, format!("{} → {}{limit}", text(before), text(after)))
    };
    vec![
        row("p50", None, "ms", 0, &|load| Some(load.percentiles()?.p50_ms)),
        row("p95", None, "ms", 0, &|load| Some(load.percentiles()?.p95_ms)),
        row("p99", Some(limits.p99_ms), "ms", 0, &|load| Some(load.percentiles()?.p99_ms)),
        row("errors", Some(limits.error_share * 100.0), "%", 2, &|load| Some(load.error_share()? * 100.0)),
        row("load", None, "requests/s", 1, &Load::requests_per_second),
    ]
}

fn chart(cx: &Context<'_>, finished: &Finished, watched: &Watched, samples: Vec<Load>, title: String) -> Chart {
    Chart {
        title,
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
