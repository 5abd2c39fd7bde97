//! The last operations: when, who, what, and how it ended.

use super::{Card, Row, Tone};
use crate::asked::{Asker, Past};
use crate::judge::Verdict;
use crate::request::{escaped, quoted};
use crate::steps::Outcome;
use crate::units::Timestamp;

/// The card of `/scale history`. `under_way` is the command of the operation that is not among them yet.
pub fn history(asker: &Asker<'_>, past: &[Past], wanted: u32, under_way: Option<&str>) -> Card {
    let title = match past.len() {
        0 => "No operation has ended yet".to_owned(),
        1 => "The last operation".to_owned(),
        several => format!("The last {several} operations"),
    };
    let mut card = Card::answer(Tone::Info, title, asker.footer());
    if let Some(command) = under_way {
        card = card.line(format!("{} is under way and not listed. See /scale status.", escaped(command, 80)));
    }
    if !past.is_empty() && past.len() < wanted as usize {
        card = card.line("There are no more.");
    }
    card.rows = past.iter().map(row).collect();
    card
}

fn row(past: &Past) -> Row {
    let finished = &past.finished;
    let tone = match (finished.outcome, finished.verdict) {
        (Outcome::Completed, Some(Verdict::Inconclusive)) => Tone::Unknown,
        (Outcome::Completed, Some(Verdict::NotImproved)) => Tone::Warn,
        (Outcome::Completed, _) => Tone::Good,
        (Outcome::Cancelled | Outcome::RolledBack | Outcome::Rejected | Outcome::Expired | Outcome::Refused, _) => {
            Tone::Warn
        }
        (Outcome::Failed, _) => Tone::Bad,
    };
    let verdict = finished.verdict.map_or_else(String::new, |verdict| format!(", {verdict}"));
    let asked = match &past.asked {
        Some((command, by)) => format!("{} by {}", escaped(command, 80), quoted(by.as_str())),
        None => "a command that cannot be read".to_owned(),
    };
    let count = |count: Option<crate::units::Replicas>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let change = match (finished.from, finished.ended_at) {
        (Some(from), Some(ended_at)) if from == ended_at => format!("still {from}"),
        (from, ended_at) => format!("{} → {}", count(from), count(ended_at)),
    };
    let text = format!("{asked}: {}{verdict}; {change} ({})", finished.outcome.words(), past.operation.short());
    Row::new(tone, past.at.map_or_else(|| "?".to_owned(), minute), text)
}

/// A moment to the minute, in UTC.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}
