//! A number of requests per second as a person types it.

use std::fmt;

/// Requests per second, to a thousandth: a whole number of those, so that what is shown is exactly what was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    thousandths: u64,
}

/// Why a text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRate {
    /// It is no number.
    NotANumber,
    /// It is nothing, or absurdly much.
    OutOfRange,
}

impl Rate {
    /// The highest that is read.
    pub const MAX: u32 = 1_000_000;

    /// As a number.
    pub fn per_second(self) -> f64 {
        self.thousandths as f64 / 1_000.0
    }

    /// Reads digits with at most one decimal point between them, and at most three digits behind it.
    pub(super) fn parse(text: &str) -> Result<Self, NoRate> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 3 {
            return Err(NoRate::NotANumber);
        }
        let whole: u64 = whole.parse().map_err(|_| NoRate::OutOfRange)?;
        let part: u64 = format!("{part:0<3}").parse().map_err(|_| NoRate::NotANumber)?;
        let most = u64::from(Self::MAX) * 1_000;
        match whole.checked_mul(1_000).and_then(|whole| whole.checked_add(part)) {
            Some(thousandths) if (1..=most).contains(&thousandths) => Ok(Self { thousandths }),
            _ => Err(NoRate::OutOfRange),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.thousandths / 1_000)?;
        match self.thousandths % 1_000 {
            0 => Ok(()),
            part => write!(f, ".{}", format!("{part:03}").trim_end_matches('0')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_digits_with_at_most_one_point_and_is_shown_as_it_was_meant() {
        let shown = |text: &str| Rate::parse(text).map(|rate| rate.to_string());
        for (typed, meant) in
            [("120", "120"), ("0.5", "0.5"), ("38.250", "38.25"), ("007", "7"), ("1000000", "1000000")]
        {
            assert_eq!(shown(typed), Ok(meant.to_owned()));
        }
        for wrong in ["", ".", ".5", "5.", "1.2.3", "-1", "+1", "1e3", "1,5", "٣", "1.2345", "inf", "NaN"] {
            assert_eq!(shown(wrong), Err(NoRate::NotANumber), "{wrong}");
        }
        for wrong in ["0", "0.000", "1000000.001", "99999999999999999999999"] {
            assert_eq!(shown(wrong), Err(NoRate::OutOfRange), "{wrong}");
        }
    }
}
