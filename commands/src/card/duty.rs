//! What is said beside operations: an escalation that goes on, who sees to it, and a scaling that is proposed.

use std::time::Duration;

use super::{Card, Tone, change, sentence};
use crate::escalation::Open;
use crate::policy::{EscalationRules, Trigger};
use crate::ports::Role;
use crate::steps::escalate::Severity;
use crate::trigger::{Basis, Holds, Proposed};
use crate::units::{Millis, Person};

/// An escalation that is said again, or to the next role, as it stands after that. `before` is who was told last.
pub fn said_again(open: &Open, before: Role, rules: &EscalationRules) -> Card {
    let interval = Millis::from(open.interval(rules));
    let told: Vec<&str> = open.told.iter().map(|role| role.words()).collect();
    let mut card = told_to(open)
        .line(format!("Nobody has acknowledged it since {}.", super::clock(open.since)))
        .told(&open.because);
    if open.to != before {
        card = card.line(format!("It went to the {} before, and goes to the {} now.", before.words(), open.to.words()));
    } else if open.severity != Severity::Critical {
        card = card
            .line(format!("Nobody is configured to be told after the {}, so they are told again.", open.to.words()));
    }
    card = card
        .line(format!("Acknowledge it within {interval}. Type: acknowledge {}", open.escalation))
        .line("That stops the reminders. It changes nothing else.");
    card.footer = format!("said {} times, told: {} · {}", open.hop, told.join(", "), card.footer);
    card
}

/// An escalation that somebody sees to.
pub fn acknowledged(open: &Open, by: &Person) -> Card {
    let card = told_to(open);
    Card { tone: Tone::Good, title: format!("{by} sees to it: {}", open.condition.words()), ..card }
        .told(&open.because)
        .line("Nobody further is told.")
}

fn told_to(open: &Open) -> Card {
    let tone = if open.severity == Severity::Medium { Tone::Warn } else { Tone::Bad };
    let title = format!("{} for the {}: {}", open.severity.words(), open.to.words(), open.condition.words());
    let footer = format!("escalation {} · operation {}", open.escalation, open.operation.short());
    plain(tone, title, footer)
}

/// A scaling that is proposed. `holds` is what it rests on now.
pub fn proposed(proposed: &Proposed, holds: &Holds, quiet: Duration) -> Card {
    let title = format!("Proposed: {}", change(Some(proposed.from), proposed.to));
    let basis = match holds.basis {
        Basis::Measured(capacity) => format!(
            "{:.1} requests/s come in; one instance carries {:.1} when it is never idle (measured).",
            capacity.load, capacity.per_instance
        ),
        Basis::Figures => "Those that stay would be within every limit, with a margin.".to_owned(),
        Basis::OneMore => "What an instance carries is not measured, so one more is suggested.".to_owned(),
        Basis::Plan => "The count is that of the plan, as far as one step may go.".to_owned(),
    };
    // Too much capacity is nothing to worry about.
    let tone = if proposed.trigger == Trigger::Idle { Tone::Info } else { Tone::Warn };
    plain(tone, title, footer(proposed))
        .line(sentence(&format!("{}: {}", proposed.trigger.words(), proposed.because)))
        .line(basis)
        .line("Nothing is done until an operator says so. All checks are made then.")
        .line(format!("Type: start. Or type: dismiss, and this stays quiet for {}.", Millis::from(quiet)))
}

/// A proposal that is begun without being asked, because policy says so for its condition.
pub fn begun(proposed: &Proposed) -> Card {
    let title = format!("Begun by itself: {}", change(Some(proposed.from), proposed.to));
    plain(Tone::Warn, title, footer(proposed))
        .line(sentence(&format!("{}: {}", proposed.trigger.words(), proposed.because)))
        .line("The configuration says to do that for this condition, with every check and approval.")
        .line("To stop it, type: cancel")
}

/// A proposal whose condition no longer holds.
pub fn lapsed(proposed: &Proposed) -> Card {
    let title = format!("No longer proposed: {}", change(Some(proposed.from), proposed.to));
    plain(Tone::Good, title, footer(proposed))
        .line(format!("It no longer holds: {}.", proposed.trigger.words()))
        .line("Nothing is to be done.")
}

/// A proposal that somebody dismissed.
pub fn dismissed(proposed: &Proposed, by: &Person, quiet: Duration) -> Card {
    let title = format!("Dismissed by {by}: {}", change(Some(proposed.from), proposed.to));
    plain(Tone::Info, title, footer(proposed))
        .line(format!(
            "{} is not proposed for {}.",
            super::sentence(proposed.trigger.words()).trim_end_matches('.'),
            Millis::from(quiet)
        ))
        .line("Nothing was changed.")
}

fn footer(proposed: &Proposed) -> String {
    format!("{} · proposal {}", proposed.target, short(&proposed.proposal))
}

/// Enough of a proposal's name to tell two apart.
fn short(proposal: &str) -> &str {
    let start = proposal.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
    &proposal[start..]
}

fn plain(tone: Tone, title: String, footer: String) -> Card {
    Card { tone, title, lines: vec![], rows: vec![], progress: None, ask: None, chart: None, footer }
}
