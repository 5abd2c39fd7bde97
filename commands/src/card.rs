//! What is said to people: a view model that knows no chat system. The bot draws it as text, an embed or an image.

use serde::Serialize;

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
