//! How an operation ended.

use super::{Card, Tone, change};
use crate::context::Context;
use crate::judge::Verdict;
use crate::steps::{Finished, Outcome};

/// The card of a finished operation.
pub fn summary(cx: &Context<'_>, finished: &Finished) -> Card {
    let what = change(finished.from, finished.to);
    let tone = match (finished.outcome, finished.verdict) {
        (Outcome::Completed, Some(Verdict::Improved | Verdict::Stable)) => Tone::Good,
        (Outcome::Completed | Outcome::Cancelled, _) => Tone::Warn,
        _ => Tone::Bad,
    };
    let verdict = finished.verdict.map_or_else(String::new, |verdict| format!(", {}", verdict.words()));
    let title = format!("{}{verdict}: {what}", capitalised(finished.outcome.words()));
    let ended = match finished.ended_at {
        Some(count) => format!("The fleet has {count} instances now."),
        None => "How many instances the fleet has now could not be seen.".to_owned(),
    };
    Card::new(tone, title, cx).line(finished.reason.clone()).line(ended)
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
