//! What an operator is asked while their operation is under way.

use super::{Card, Tone};
use crate::context::Context;
use crate::steps::ask::ANSWER_WITHIN;
use crate::units::Millis;

/// Why is it done?
pub fn ask_why(cx: &Context<'_>) -> Card {
    Card::new(Tone::Info, "Why is this done?", cx)
        .line("No limit is known to be exceeded, and no reason was given.")
        .line(format!(
            "{}: answer within {}, for the record. Type \"reason: TEXT\".",
            cx.request.by,
            Millis::from(ANSWER_WITHIN)
        ))
        .line("It goes on either way.")
}

/// Do they reach their keys?
pub fn ask_keys(cx: &Context<'_>, instances: &str) -> Card {
    Card::new(Tone::Warn, "Do the new instances reach their signing keys?", cx)
        .line(format!("Nothing is configured that could tell for {instances}."))
        .line(format!(
            "An operator who has looked says so within {}. Type \"attest: TEXT\".",
            Millis::from(ANSWER_WITHIN)
        ))
        .line("Without an operator's word the verification is inconclusive.")
}
