//! Values as an operator writes them, with their units. For `#[serde(with = "…")]`.

/// A length of time, or none: the key left out.
pub(super) mod optional_length {
    use std::time::Duration;

    use scalebot_adapters::settings::length;
    use serde::Deserializer;

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        length::deserialize(from).map(Some)
    }
}

/// A length of time that is kept as milliseconds.
pub(super) mod milliseconds {
    use scalebot_adapters::settings::length;
    use serde::Deserializer;

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        length::deserialize(from).map(|length| length.as_secs_f64() * 1_000.0)
    }
}

/// A share, written in percent.
pub(super) mod share {
    use serde::Deserializer;

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        super::percent(from, 100.0).map(|percent| percent / 100.0)
    }
}

/// Whole percent of the present count.
pub(super) mod step {
    use serde::{Deserializer, de};

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
        let percent = super::percent(from, 10_000.0)?;
        if percent.fract() != 0.0 || percent < 1.0 {
            return Err(de::Error::custom("it must be whole percent, from 1% to 10000%"));
        }
        Ok(percent as u32)
    }
}

/// An amount of memory, or none: the key left out.
pub(super) mod optional_bytes {
    use serde::Deserializer;

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        super::bytes(from).map(Some)
    }
}

/// An amount of memory.
pub(super) mod size {
    use serde::{Deserializer, de};

    /// Reads it.
    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        usize::try_from(super::bytes(from)?).map_err(|_| de::Error::custom("it is more than this machine can hold"))
    }
}

fn percent<'de, D: serde::Deserializer<'de>>(from: D, most: f64) -> Result<f64, D::Error> {
    use serde::{Deserialize as _, de};
    let text = String::deserialize(from)?;
    let wrong = || de::Error::custom(format_args!("{text:?} is no share; write it as 70% or 0.5%, at most {most}%"));
    let number = text.strip_suffix('%').map(str::trim_end).ok_or_else(wrong)?;
    let plain = number.chars().all(|character| character.is_ascii_digit() || character == '.');
    let percent: f64 = number.parse().map_err(|_| wrong())?;
    if plain && (0.0..=most).contains(&percent) { Ok(percent) } else { Err(wrong()) }
}

fn bytes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    use serde::{Deserialize as _, de};
    let text = String::deserialize(from)?;
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    units
        .iter()
        .find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
        })
        .ok_or_else(|| {
            de::Error::custom(format_args!("{text:?} is no amount of memory; write it as 512KiB, 256MiB or 2GiB"))
        })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Values {
        #[serde(with = "super::share")]
        share: f64,
        #[serde(with = "super::step")]
        step: u32,
        #[serde(with = "super::size")]
        size: usize,
        #[serde(with = "super::milliseconds")]
        length: f64,
    }

    fn read(share: &str, step: &str, size: &str, length: &str) -> Result<Values, String> {
        let written = json!({ "share": share, "step": step, "size": size, "length": length });
        serde_json::from_value(written).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_read_with_their_units_and_never_without() {
        let wanted = Values { share: 0.005, step: 150, size: 256 << 20, length: 1_500.0 };
        assert_eq!(read("0.5%", "150%", "256MiB", "1500ms"), Ok(wanted));
        for share in ["0.5", "101%", "-1%", "1e1%", "%", "NaN%", "inf%"] {
            assert!(read(share, "100%", "1MiB", "1s").unwrap_err().contains("no share"), "{share}");
        }
        for step in ["0%", "12.5%", "10001%", "100"] {
            assert!(read("1%", step, "1MiB", "1s").is_err(), "{step}");
        }
        for size in ["0MiB", "1", "1MB", "-1MiB", "99999999999GiB"] {
            assert!(read("1%", "100%", size, "1s").unwrap_err().contains("no amount of memory"), "{size}");
        }
    }
}
