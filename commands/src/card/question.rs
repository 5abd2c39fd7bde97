//! What an operator is asked while their operation is under way.

use super::{Card, Tone};
use crate::context::Context;
use crate::steps::ask::ANSWER_WITHIN;
use crate::units::Millis;

/// Why is it done?
pub fn ask_why(cx: &Context<'_>) -> Card {
    Card::new(Tone::Info, "Why is this done?", cx).line("No trigger condition holds and no reason was given.").line(
        format!(
            "{}: answer within {}, for the record. It goes on either way.",
            cx.request.by,
            Millis::from(ANSWER_WITHIN)
        ),
    )
}

/// Do they reach their keys?
pub fn ask_keys(cx: &Context<'_>, instances: &str) -> Card {
    Card::new(Tone::Warn, "Do the new instances reach their signing keys?", cx)
        .line(format!("Nothing is configured that could tell for {instances}."))
        .line(format!(
            "An operator who has looked attests it by name within {}. Without that the verification is inconclusive.",
            Millis::from(ANSWER_WITHIN)
        ))
}
