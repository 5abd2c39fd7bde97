//! What governance is asked, what became of it, and what a role is told.

use std::time::Duration;

use super::{Card, Row, Tone, change};
use crate::approval::BoundHalt;
use crate::context::Context;
use crate::steps::escalate::{Escalated, Severity};
use crate::steps::permit::{Asked, Decided, Verdict};
use crate::units::Millis;

/// The request, with everything that a lead has to know to decide in a minute.
pub fn asking(cx: &Context<'_>, asked: &Asked, left: Duration) -> Card {
    let what = change(Some(asked.bound.from), asked.bound.to);
    let mut card = Card::new(Tone::Warn, format!("A governance lead has to decide: {what}"), cx);
    card = card.lines(asked.why.iter().cloned());
    if !asked.changed.is_empty() {
        card = card.line("What was approved before is void. Changed since:").lines(asked.changed.iter().cloned());
    }
    let minutes = Millis::from(Duration::from_secs(left.as_secs()));
    card = card.line(format!("If it makes things worse, the fleet goes back to {}.", asked.bound.rollback_to));
    card = card.line(format!("Decide within {minutes}: ✅ approve or ❌ reject. One ❌ is enough to reject."));
    card.rows = asked.bound.halt.iter().map(halt).collect();
    let reason = cx.reason.map_or_else(|| "none given".to_owned(), |reason| crate::request::escaped(reason, 200));
    card.rows.push(Row::new(Tone::Info, "reason", reason));
    card.ask = Some(asked.digest.clone());
    card.footer = format!("{} · request {}", card.footer, short(&asked.digest));
    card
}

fn halt(source: &BoundHalt) -> Row {
    let tone = match source.halted {
        Some(true) => Tone::Bad,
        Some(false) => Tone::Good,
        None => Tone::Unknown,
    };
    Row::new(tone, &source.source, source.words())
}

/// What became of the request.
pub fn decided(cx: &Context<'_>, asked: &Asked, decided: &Decided) -> Card {
    let what = change(Some(asked.bound.from), asked.bound.to);
    let (tone, word) = match decided.decision {
        Verdict::Approved => (Tone::Good, "Approved"),
        Verdict::Rejected => (Tone::Bad, "Rejected"),
        Verdict::Expired => (Tone::Bad, "Expired"),
        Verdict::Cancelled => (Tone::Warn, "Cancelled"),
    };
    let mut card = Card::new(tone, format!("{word}: {what}"), cx).line(decided.reason.clone());
    if let Some(within) = decided.execute_within {
        card = card.line(format!("It holds for {within}, for exactly this, and is checked again just before."));
    }
    card.footer = format!("{} · request {}", card.footer, short(&asked.digest));
    card
}

/// A halt that began after the count was set.
pub fn halt_began(cx: &Context<'_>, why: &str) -> Card {
    Card::new(Tone::Bad, "A halt began while the fleet is watched", cx)
        .line(format!("{why}."))
        .line("Nothing further is changed. The watch goes on, and the governance lead is told.")
}

/// What a role is told.
pub fn escalated(cx: &Context<'_>, escalated: &Escalated) -> Card {
    let tone = if escalated.severity == Severity::Medium { Tone::Warn } else { Tone::Bad };
    let title =
        format!("{} for the {}: {}", escalated.severity.words(), escalated.to.words(), escalated.condition.words());
    let soon = match escalated.acknowledge_within {
        Millis(0) => "Acknowledge it at once.".to_owned(),
        within => format!("Acknowledge it within {within}."),
    };
    Card::new(tone, title, cx).line(escalated.because.clone()).line(soon)
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}
