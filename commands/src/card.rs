//! What is said to people: a view model that knows no chat system. The bot draws it as text, an embed or an image.

mod approval;
mod back;
mod capacity;
mod chart;
pub mod duty;
mod follow_ups;
mod help;
mod history;
mod plan;
mod precheck;
mod progress;
mod question;
mod status;
mod summary;
mod verification;

use serde::Serialize;

pub use self::approval::{asking, decided, escalated, halt_began, parked};
pub use self::back::{ask_back, going_back, halt_answered, halt_offered, way_back};
pub use self::capacity::capacity;
pub use self::chart::{Chart, ChartMark, Milestone};
pub use self::follow_ups::{closed_follow_up, follow_ups};
pub use self::help::help;
pub use self::history::history;
pub use self::plan::plan;
pub(crate) use self::precheck::is_remark;
pub use self::precheck::precheck;
pub use self::progress::{draining, monitoring, until_free, waiting, waiting_for_work};
pub use self::question::{ask_keys, ask_why};
pub use self::status::status;
pub use self::summary::summary;
pub use self::verification::verification;
use crate::context::Context;
use crate::units::Timestamp;

/// One message to people.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Card {
    /// What it comes to; the colour and the shape before the title.
    pub tone: Tone,
    /// One line: what happened.
    pub title: String,
    /// Short sentences: what it means and what to do next, one idea a line.
    pub lines: Vec<String>,
    /// A table: what was looked at, and what was found.
    pub rows: Vec<Row>,
    /// How far it is, where that can be said.
    pub progress: Option<Progress>,
    /// The approval request that it asks people to mark, by its digest.
    pub ask: Option<String>,
    /// A picture of it.
    pub chart: Option<Chart>,
    /// What identifies it, small.
    pub footer: String,
}

/// What a card or a row comes to. Always a word and a shape, never colour alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tone {
    /// As it should be.
    Good,
    /// Goes on, but somebody should know.
    Warn,
    /// Not as it should be.
    Bad,
    /// Could not be told.
    Unknown,
    /// Under way, or only for information.
    Info,
}

/// One row of a card's table.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What it comes to.
    pub tone: Tone,
    /// What was looked at.
    pub name: String,
    /// What was found, with units and the limit beside it.
    pub text: String,
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Progress {
    /// From 0 to 1.
    pub share: f64,
}

impl Card {
    fn new(tone: Tone, title: impl Into<String>, cx: &Context<'_>) -> Self {
        let footer = format!("{} · asked by {} · operation {}", cx.request.target, cx.request.by, cx.operation.short());
        Self { tone, title: title.into(), lines: vec![], rows: vec![], progress: None, ask: None, chart: None, footer }
    }

    /// An answer that belongs to no operation.
    fn answer(tone: Tone, title: impl Into<String>, footer: impl Into<String>) -> Self {
        let (title, footer) = (title.into(), footer.into());
        Self { tone, title, lines: vec![], rows: vec![], progress: None, ask: None, chart: None, footer }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
    }

    /// What was said in one text, as the lines it has.
    fn told(self, text: &str) -> Self {
        self.lines(text.lines().map(sentence))
    }
}

impl Row {
    fn new(tone: Tone, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { tone, name: name.into(), text: text.into() }
    }
}

/// A moment as people read it, in UTC.
pub fn clock(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// The text as a sentence: with a capital at its beginning, unless that is a name like "api-5" or "p99", and a full stop
/// at its end, unless it ends in something quoted, which may be there to be copied.
pub(crate) fn sentence(text: &str) -> String {
    let text = text.trim();
    let first = text.split_whitespace().next().unwrap_or_default();
    let is_word = first.trim_end_matches([',', ':', ';']).chars().all(char::is_alphabetic);
    let mut characters = text.chars();
    let mut sentence: String = match characters.next() {
        Some(first) if is_word => first.to_uppercase().chain(characters).collect(),
        _ => text.to_owned(),
    };
    if !sentence.is_empty() && !sentence.ends_with(['.', '!', '?', ':', '…', '"', '\'']) {
        sentence.push('.');
    }
    sentence
}

/// Several texts as one, a line each: how a reason that has several parts stands in the log.
pub(crate) fn in_lines<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    texts.into_iter().map(|text| sentence(text.as_ref())).collect::<Vec<_>>().join("\n")
}

/// "6 instances", "1 instance".
pub(crate) fn instances(count: crate::units::Replicas) -> String {
    format!("{count} {}", if count.0 == 1 { "instance" } else { "instances" })
}

/// "4 → 6": what a change of the count is.
fn change(from: Option<crate::units::Replicas>, to: crate::units::Replicas) -> String {
    let Some(from) = from else { return format!("? → {to}") };
    if from == to {
        return format!("{from} → {to} (no change)");
    }
    let (difference, word) = if to >= from { (to.0 - from.0, "more") } else { (from.0 - to.0, "fewer") };
    format!("{from} → {to} ({difference} {word})")
}
