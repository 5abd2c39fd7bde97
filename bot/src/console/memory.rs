//! What was already said where nobody watches: whether a card that is shown again is news.

use std::collections::VecDeque;
use std::time::Duration;

use scalebot_commands::card::{Card, Tone};
use scalebot_commands::ports::Slot;
use scalebot_commands::units::OperationId;

/// Progress is printed at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How many cards are remembered. An operation has four, and few operations run at a time.
const REMEMBERED: usize = 64;

/// The cards printed last, one an operation and slot.
#[derive(Default)]
pub(super) struct Memory(VecDeque<Printed>);

struct Printed {
    operation: OperationId,
    slot: Slot,
    at: Duration,
    card: Card,
}

impl Memory {
    /// Whether the card is worth printing: progress when its substance changed, and not right after the last time; any
    /// other card when anything changed.
    pub(super) fn is_news(&self, now: Duration, operation: &OperationId, slot: Slot, card: &Card) -> bool {
        let Some(printed) = self.0.iter().find(|printed| printed.is(operation, slot)) else {
            return true;
        };
        match slot {
            Slot::Progress => {
                now.saturating_sub(printed.at) >= PROGRESS_EVERY && substance(card) != substance(&printed.card)
            }
            _ => *card != printed.card,
        }
    }

    /// Remembers that it was printed.
    pub(super) fn printed(&mut self, now: Duration, operation: &OperationId, slot: Slot, card: &Card) {
        self.0.retain(|printed| !printed.is(operation, slot));
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(Printed { operation: operation.clone(), slot, at: now, card: card.clone() });
    }
}

impl Printed {
    fn is(&self, operation: &OperationId, slot: Slot) -> bool {
        self.operation == *operation && self.slot == slot
    }
}

/// What a card of progress says apart from how long it has taken: the time that passes is no news.
fn substance(card: &Card) -> (Tone, Vec<Vec<&str>>, Vec<Tone>) {
    let said = std::iter::once(&card.title).chain(&card.lines).map(|line| without_lengths_of_time(line)).collect();
    (card.tone, said, card.rows.iter().map(|row| row.tone).collect())
}

/// The words of a line, except a number with a unit of time of a second or more. Milliseconds are a figure, and stay.
fn without_lengths_of_time(line: &str) -> Vec<&str> {
    let punctuation = |c: char| !c.is_alphanumeric();
    let mut kept: Vec<&str> = Vec::new();
    for word in line.split_whitespace() {
        let bare = word.trim_matches(punctuation);
        let unit = bare.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
        if matches!(unit, "s" | "min" | "h") {
            if unit.len() < bare.len() {
                continue;
            }
            let number = kept.last().map(|last| last.trim_matches(punctuation));
            if number.is_some_and(|number| number.parse::<f64>().is_ok()) {
                kept.pop();
                continue;
            }
        }
        kept.push(word);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_that_passes_is_no_news() {
        let same = |one, other| without_lengths_of_time(one) == without_lengths_of_time(other);
        assert!(same("Monitoring: 12 s of 60 s", "Monitoring: 15 s of 60 s"));
        assert!(same("2 min 30 s left (of 15 min).", "59 s left (of 15 min)."));
        assert!(same("waited 1.5s", "waited 3s"));
        assert!(same("waited 10\u{a0}s", "waited 13\u{a0}s"));
        assert!(!same("4 of 6 ready", "5 of 6 ready"));
        assert!(!same("p99 430 ms", "p99 620 ms"));
        assert!(!same("phase s", "phase h"));
    }
}
