//! How a card looks on one particular medium: with or without colour, in which alphabet, how wide. Decided from the
//! environment in one place, so that the drawing itself knows nothing of it.

use scalebot_commands::card::Tone;

use crate::palette::{self, Rgb};

/// What a line may be at most, however wide the terminal is: longer lines are hard to read.
const WIDEST: usize = 100;
/// What a line may always be, however narrow the terminal says it is.
const NARROWEST: usize = 20;

/// How a card is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// Which colours may be used.
    pub(crate) colour: Colour,
    /// Whether anything beyond ASCII may be used.
    pub(crate) unicode: bool,
    /// How wide a line may be, in display columns.
    pub(crate) width: usize,
}

/// Which colours a medium knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// None, nor any other escape code.
    Plain,
    /// The 256 indexed ones.
    Indexed,
    /// Any.
    True,
}

impl Style {
    /// The style for a medium. `terminal`: a person reads it as it appears, and it understands escape codes;
    /// `columns`: its width where that is known; `variable`: looks up an environment variable.
    pub(crate) fn detect(terminal: bool, columns: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        // An empty variable counts as absent, for `NO_COLOR` (no-color.org) as for the locale (POSIX).
        let variable = |name: &str| variable(name).filter(|value| !value.is_empty());
        let colour = if !terminal || variable("NO_COLOR").is_some() {
            Colour::Plain
        } else if variable("COLORTERM").is_some_and(|value| value == "truecolor" || value == "24bit") {
            Colour::True
        } else {
            Colour::Indexed
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(variable).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        let columns = columns.or_else(|| variable("COLUMNS")?.parse().ok());
        Self {
            colour,
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            width: columns.unwrap_or(WIDEST).clamp(NARROWEST, WIDEST),
        }
    }

    /// The same at the width of a terminal that has that many columns.
    pub(super) fn at_width(self, columns: usize) -> Self {
        Self { width: columns.clamp(NARROWEST, WIDEST), ..self }
    }

    /// The shape and the word for a tone.
    pub(super) fn status(self, tone: Tone) -> (&'static str, &'static str) {
        match (tone, self.unicode) {
            (Tone::Good, true) => ("✔", "pass"),
            (Tone::Good, false) => ("+", "pass"),
            (Tone::Warn, true) => ("▲", "warn"),
            (Tone::Warn, false) => ("!", "warn"),
            (Tone::Bad, true) => ("✖", "fail"),
            (Tone::Bad, false) => ("x", "fail"),
            (Tone::Unknown, _) => ("?", "unknown"),
            (Tone::Info, true) => ("·", "info"),
            (Tone::Info, false) => ("-", "info"),
        }
    }

    /// The text in the colour of a tone.
    pub(super) fn in_tone(self, tone: Tone, text: &str) -> String {
        let rgb = match tone {
            Tone::Good => palette::GREEN,
            // Unknown is never good news: it asks for the same attention as a warning, in its own shape and word.
            Tone::Warn | Tone::Unknown => palette::ORANGE,
            Tone::Bad => palette::VERMILION,
            Tone::Info => palette::BLUE,
        };
        match self.colour {
            Colour::Plain => text.to_owned(),
            Colour::Indexed => format!("\x1b[38;5;{}m{text}\x1b[0m", indexed(rgb)),
            Colour::True => format!("\x1b[38;2;{};{};{}m{text}\x1b[0m", rgb.0, rgb.1, rgb.2),
        }
    }

    /// The text in bold.
    pub(super) fn bold(self, text: &str) -> String {
        self.emphasis(1, text)
    }

    /// The text dimmed.
    pub(super) fn dim(self, text: &str) -> String {
        self.emphasis(2, text)
    }

    fn emphasis(self, code: u8, text: &str) -> String {
        if self.colour == Colour::Plain || text.is_empty() {
            text.to_owned()
        } else {
            format!("\x1b[{code}m{text}\x1b[0m")
        }
    }
}

/// The nearest colour of the 6 x 6 x 6 cube that terminals keep at the indices 16 to 231.
fn indexed(Rgb(red, green, blue): Rgb) -> u8 {
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let nearest =
        |value: u8| (0_u8..).zip(LEVELS).min_by_key(|(_, level)| level.abs_diff(value)).map_or(0, |(at, _)| at);
    16 + 36 * nearest(red) + 6 * nearest(green) + nearest(blue)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(terminal: bool, environment: &[(&str, &str)]) -> Style {
        Style::detect(terminal, None, |name| {
            environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn colours_are_for_terminals_that_do_not_refuse_them() {
        assert_eq!(detect(true, &[]).colour, Colour::Indexed);
        assert_eq!(detect(true, &[("COLORTERM", "truecolor")]).colour, Colour::True);
        assert_eq!(detect(true, &[("COLORTERM", "truecolor"), ("NO_COLOR", "1")]).colour, Colour::Plain);
        assert_eq!(detect(true, &[("NO_COLOR", "")]).colour, Colour::Indexed);
        assert_eq!(detect(false, &[("COLORTERM", "truecolor")]).colour, Colour::Plain);
    }

    #[test]
    fn the_first_locale_variable_that_says_something_decides_on_the_alphabet() {
        assert!(detect(false, &[("LANG", "de_DE.UTF-8")]).unicode);
        assert!(detect(false, &[("LC_ALL", ""), ("LC_CTYPE", "C.utf8"), ("LANG", "C")]).unicode);
        assert!(!detect(false, &[("LC_ALL", "C"), ("LANG", "en_US.UTF-8")]).unicode);
        assert!(!detect(true, &[]).unicode);
    }

    #[test]
    fn a_line_is_as_wide_as_the_medium_within_reason() {
        let width = |columns| Style::detect(true, columns, |_| None).width;
        assert_eq!((width(Some(40)), width(Some(300)), width(Some(1)), width(None)), (40, 100, 20, 100));
        assert_eq!(detect(false, &[("COLUMNS", "72")]).width, 72);
        assert_eq!(detect(false, &[("COLUMNS", "wide")]).width, 100);
    }

    #[test]
    fn the_palette_is_met_as_nearly_as_256_colours_allow() {
        let all = [palette::BLUE, palette::ORANGE, palette::VERMILION, palette::GREEN];
        assert_eq!(all.map(indexed), [25, 178, 166, 35]);
    }
}
