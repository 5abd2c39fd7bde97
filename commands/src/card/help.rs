//! What can be asked: every command with an example, what it does, and who may.

use super::{Card, Row, Tone};
use crate::authority::{Action, any_of};
use crate::request::Word;

/// The card of `/scale help`.
pub fn help() -> Card {
    let mut card = Card::answer(Tone::Info, "What can be asked", "scalebot")
        .line("The number after up, down and plan is how many instances there are to be in all.")
        .line("To up, down and rollback add reason:\"…\" to say why. With several fleets add target:NAME.");
    card.rows = Word::ALL
        .into_iter()
        .map(|word| Row::new(Tone::Info, word.form(), format!("{} ({})", word.does(), who(word))))
        .collect();
    card
}

fn who(word: Word) -> String {
    let action = match word {
        Word::Up | Word::Down => Action::Change,
        Word::Rollback => Action::Rollback,
        Word::Cancel => return "who asked for it, or a governance lead".to_owned(),
        Word::Plan => Action::Plan,
        Word::Status => Action::Status,
        Word::History => Action::History,
        Word::Capacity => Action::Capacity,
        Word::Followups => Action::Followups,
        Word::Help => Action::Help,
    };
    any_of(&action.roles())
}
