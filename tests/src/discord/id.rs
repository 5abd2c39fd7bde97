//! Discord's identifiers: 64 bits whose upper ones are a time, written as decimal text.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// The first millisecond of 2015 since 1970, from which Discord counts.
const EPOCH_MS: i64 = 1_420_070_400_000;

/// The identifier of anything: a user, a role, a channel, a message, a command, an interaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Snowflake(pub u64);

impl Snowflake {
    /// The smallest identifier made at `at`.
    pub fn first_of(at: Timestamp) -> Self {
        Self(u64::try_from(at.as_millisecond() - EPOCH_MS).unwrap_or(0) << 22)
    }

    /// When it was made, to the millisecond.
    pub fn made_at(self) -> Timestamp {
        Timestamp::from_millisecond(i64::try_from(self.0 >> 22).unwrap_or(0) + EPOCH_MS).unwrap_or_default()
    }
}

impl fmt::Display for Snowflake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Snowflake {
    type Err = ();

    /// Decimal digits without a leading zero, as Discord takes them.
    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if plain { text.parse().map(Self).map_err(|_| ()) } else { Err(()) }
    }
}

impl Serialize for Snowflake {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
