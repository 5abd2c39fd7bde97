//! What is said to people: a view model that knows no chat system. The bot draws it as text, an embed or an image.

mod approval;
mod chart;
mod precheck;
mod progress;
mod question;
mod summary;
mod verification;

use serde::Serialize;

pub use self::approval::{asking, decided, escalated, halt_began};
pub use self::chart::{Chart, ChartMark, Milestone};
pub use self::precheck::precheck;
pub use self::progress::{monitoring, waiting};
pub use self::question::{ask_keys, ask_why};
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
        let footer = format!("{} on {} · operation {}", cx.request.by, cx.request.target, cx.operation.short());
        Self { tone, title: title.into(), lines: vec![], rows: vec![], progress: None, ask: None, chart: None, footer }
    }

    fn line(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    fn lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.lines.extend(lines);
        self
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

/// "4 → 6": what a change of the count is.
fn change(from: Option<crate::units::Replicas>, to: crate::units::Replicas) -> String {
    let Some(from) = from else { return format!("? → {to}") };
    let (difference, word) = if to >= from { (to.0 - from.0, "more") } else { (from.0 - to.0, "fewer") };
    format!("{from} → {to} ({difference} {word})")
}
