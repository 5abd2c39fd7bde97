//! A card as text and a chart as a picture, drawn as the program itself draws them, for whoever has only a card: the
//! benchmarks measure what these cost.

use scalebot_commands::card::{Card, Chart, Tone};

use crate::console::{Style, text};

/// The card as a terminal shows it that is `columns` wide, in 256 colours and UTF-8.
pub fn card_as_text(card: &Card, columns: usize) -> String {
    let variable = |name: &str| (name == "LC_ALL").then(|| "C.UTF-8".to_owned());
    text(card, Style::detect(true, Some(columns), variable))
}

/// The chart as a PNG, in the tone of its card.
///
/// # Errors
/// In words, why there is no picture: nothing was observed, or drawing failed.
pub fn chart_as_png(chart: &Chart, tone: Tone) -> Result<Vec<u8>, String> {
    crate::chart::draw(&crate::chart::Chart::of(chart, tone)).map_err(|error| error.to_string())
}
