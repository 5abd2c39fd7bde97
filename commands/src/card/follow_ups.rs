//! What somebody has to see to later.

use super::{Card, Row, Tone, sentence};
use crate::asked::Asker;
use crate::follow_up::OpenFollowUp;
use crate::request::escaped;
use crate::units::{Millis, Timestamp, elapsed};

/// The card of `/scale followups`. `settled` were open until they were found to be done just now.
pub fn follow_ups(
    asker: &Asker<'_>,
    now: Timestamp,
    open: &[OpenFollowUp],
    settled: &[OpenFollowUp],
    remarks: &[String],
) -> Card {
    let (tone, title) = match open.len() {
        0 if remarks.is_empty() => (Tone::Good, "No follow-up is open".to_owned()),
        0 => (Tone::Unknown, "No follow-up is known to be open".to_owned()),
        1 => (Tone::Warn, "1 follow-up is open".to_owned()),
        several => (Tone::Warn, format!("{several} follow-ups are open")),
    };
    let mut card = Card::answer(tone, title, asker.footer());
    if let Some(first) = open.first() {
        card = card.line(format!("When one is done, say so: /scale followups close {}", first.number));
    }
    card = card.lines(remarks.iter().map(|remark| sentence(remark)));
    card.rows = open.iter().map(|follow_up| row(Tone::Warn, now, follow_up, "")).collect();
    card.rows.extend(settled.iter().map(|one| row(Tone::Good, now, one, "settled, and closed just now: ")));
    card
}

fn row(tone: Tone, now: Timestamp, follow_up: &OpenFollowUp, before: &str) -> Row {
    let age = follow_up.since.map_or_else(String::new, |since| format!(", {} old", Millis::from(elapsed(since, now))));
    let operation = follow_up.operation.as_ref().map_or("", |operation| operation.short());
    let text = |text: &str| sentence(&escaped(text, 300));
    let text = format!("{before}{} {} ({operation}{age})", text(&follow_up.what), text(&follow_up.because));
    Row::new(tone, follow_up.number.to_string(), text)
}

/// The card of `/scale followups close N`, done.
pub fn closed_follow_up(asker: &Asker<'_>, follow_up: &OpenFollowUp, still_open: usize) -> Card {
    let rest = match still_open {
        0 => "None is open any more.".to_owned(),
        1 => "1 is still open: /scale followups".to_owned(),
        several => format!("{several} are still open: /scale followups"),
    };
    Card::answer(Tone::Good, format!("Follow-up {} is closed", follow_up.number), asker.footer())
        .line(sentence(&escaped(&follow_up.what, 300)))
        .line(rest)
}
