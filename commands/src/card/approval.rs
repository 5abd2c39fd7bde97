//! What governance is asked, what became of it, and what a role is told.

use std::time::Duration;

use super::precheck::ADVISORY;
use super::{Card, Row, Tone, change, sentence};
use crate::approval::BoundHalt;
use crate::context::Context;
use crate::ports::Precondition;
use crate::request::Requested;
use crate::steps::escalate::{Condition, Escalated, Severity};
use crate::steps::permit::{Asked, Decided, Verdict};
use crate::units::{Millis, OperationId};

/// The request, with everything that a lead has to know to decide in a minute.
pub fn asking(cx: &Context<'_>, asked: &Asked, left: Duration) -> Card {
    let what = change(Some(asked.bound.from), asked.bound.to);
    let mut card = Card::new(Tone::Warn, format!("A governance lead has to decide: {what}"), cx);
    card = card.lines(asked.why.iter().map(|why| sentence(why)));
    if !asked.changed.is_empty() {
        card = card.line("What was asked before is void. Changed since:");
        card = card.lines(asked.changed.iter().map(|change| sentence(change)));
    }
    // Rounded up: what is new has all of its time left.
    let minutes = Millis::from(Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0)));
    card = card.line(format!("The count to go back to, should it make things worse: {}.", asked.bound.rollback_to));
    if let Some(why) = cx.unnamed() {
        card = card.line(match asked.bound.from.0.checked_sub(asked.bound.to.0) {
            Some(fewer @ 1..) => sentence(&format!("{why}: nobody can say which {fewer} of {} end", asked.bound.from)),
            _ => sentence(&format!("{why}: should it go back, an old one may end in place of a new one")),
        });
    }
    if cx.ports.target.fleet.precondition() == Precondition::Advisory {
        card = card.line(ADVISORY);
    }
    card = card.line(match asked.quorum {
        0 | 1 => format!("Decide within {minutes}: one ✅ approves it, one ❌ rejects it."),
        quorum => format!("Decide within {minutes}: {quorum} ✅ approve it, one ❌ rejects it."),
    });
    if !cx.policy.approval.requester_may {
        card = card.line(format!("{} asked for it, so somebody else has to approve.", cx.request.by));
    }
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
        Verdict::Interfered => (Tone::Warn, "Not asked any more"),
    };
    let mut card = Card::new(tone, format!("{word}: {what}"), cx).told(&decided.reason);
    if let Some(within) = decided.execute_within {
        card = card.line(format!("It holds for {within}, and for exactly this."));
        card = card.line("Everything is checked once more just before; what has changed makes it void.");
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
        Millis(0) => "Acknowledge it at once. Type: acknowledge".to_owned(),
        within => format!("Acknowledge it within {within}. Type: acknowledge"),
    };
    Card::new(tone, title, cx).told(&escalated.because).line(next(escalated.condition)).line(soon)
}

/// What an operator is told of an operation that cannot go on by itself. Its request may be unreadable, so that the card
/// has to do without.
pub fn parked(operation: &OperationId, request: Option<&Requested>, escalated: &Escalated) -> Card {
    let id = operation.short();
    let footer = match request {
        Some(request) => format!("{} · asked by {} · operation {id}", request.target, request.by),
        None => format!("operation {id}"),
    };
    Card {
        tone: Tone::Bad,
        title: format!(
            "{} for the {}: {}",
            escalated.severity.words(),
            escalated.to.words(),
            escalated.condition.words()
        ),
        lines: Vec::new(),
        rows: Vec::new(),
        progress: None,
        ask: None,
        chart: None,
        footer,
    }
    .told(&escalated.because)
    .line("Nothing further is done to the fleet, and nothing else can be done to it meanwhile.")
    .line(format!("On the host, look at it: scalebot operation show {id}"))
    .line(format!("When the cause is gone: scalebot operation resume {id}"))
    .line(format!("To free the fleet: scalebot operation abandon {id} --reason \"…\""))
    .line(format!("Acknowledge it within {}.", escalated.acknowledge_within))
}

/// What the role does about it.
fn next(condition: Condition) -> &'static str {
    match condition {
        Condition::InfrastructureLimits => "Remove what is in the way; then the operator asks again.",
        Condition::ScalingDuringHalt => "The request to decide on follows.",
        Condition::Consistency => "Look at the instances named before anything else is changed.",
        Condition::NotImproving => "Look at the figures, and at what else may be slow.",
        Condition::Parked => "On the host, look at it with scalebot operation show; then carry it on or abandon it.",
    }
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}
