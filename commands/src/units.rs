//! The words that every module shares: names, counts and identifiers as types of their own, so that a count is
//! never taken for a sequence number and a target never for an instance.

use std::fmt;

pub use jiff::Timestamp;
use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Takes the name as it is; who reads it from a person checks it first.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name!(
    /// A fleet that the bot may scale, by the name configuration gives it.
    TargetName
);
name!(
    /// One running instance of a target, by the name its orchestrator gives it.
    InstanceId
);
name!(
    /// One run of the runbook. Also the mark by which an effect of ours is known again.
    OperationId
);

/// A person, by the name or identifier the chat system gives them; or the bot itself, for what it begins unasked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Person(String);

impl Person {
    /// Whoever is called so by a chat system, a console or the host. Nobody of them is ever [the bot](Self::itself): a
    /// name that is its own is marked.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self(if name == ITSELF { format!("{name} (a person)") } else { name })
    }

    /// The bot itself. That is how the log names whoever began what nobody asked for.
    pub fn itself() -> Self {
        Self(ITSELF.to_owned())
    }

    /// Whether it is the bot itself.
    pub fn is_itself(&self) -> bool {
        self.0 == ITSELF
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The bot's own name.
const ITSELF: &str = "scalebot";

impl OperationId {
    /// The last six characters: enough for a person to tell two operations apart.
    pub fn short(&self) -> &str {
        let start = self.0.char_indices().rev().nth(5).map_or(0, |(at, _)| at);
        &self.0[start..]
    }
}

/// A number of instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Replicas(pub u32);

impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing epoch: raised each time a process takes the ledger over, so that an earlier one can no longer write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Epoch(pub u64);

/// A length of time as it stands in an event: whole milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// The same length of time.
    pub fn duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl From<std::time::Duration> for Millis {
    fn from(length: std::time::Duration) -> Self {
        Self(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }
}

impl fmt::Display for Millis {
    /// As a person says it: `0 s`, `450 ms`, `12 s`, `15 min`, `1 h`, `1 h 5 min`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1000;
        match self.0 {
            0 => f.write_str("0 s"),
            1..1_000 => write!(f, "{} ms", self.0),
            1_000..10_000 if !self.0.is_multiple_of(1_000) => write!(f, "{:.1} s", self.0 as f64 / 1_000.0),
            1_000..120_000 => write!(f, "{seconds} s"),
            120_000..3_600_000 if seconds.is_multiple_of(60) => write!(f, "{} min", seconds / 60),
            120_000..3_600_000 => write!(f, "{} min {} s", seconds / 60, seconds % 60),
            _ if seconds % 3600 < 60 => write!(f, "{} h", seconds / 3600),
            _ => write!(f, "{} h {} min", seconds / 3600, seconds % 3600 / 60),
        }
    }
}

/// How long after `earlier` the moment `later` is; zero when the clock went backwards in between.
pub fn elapsed(earlier: Timestamp, later: Timestamp) -> std::time::Duration {
    std::time::Duration::try_from(later.duration_since(earlier)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_read_as_a_person_says_them() {
        let said: Vec<String> = [0, 450, 1_500, 12_000, 60_000, 120_000, 150_000, 3_600_000, 3_900_000, 172_800_000]
            .map(|ms| Millis(ms).to_string())
            .into();
        let wanted = ["0 s", "450 ms", "1.5 s", "12 s", "60 s", "2 min", "2 min 30 s", "1 h", "1 h 5 min", "48 h"];
        assert_eq!(said, wanted);
    }

    #[test]
    fn nobody_who_is_called_like_the_bot_is_the_bot() {
        let called_so = Person::new(Person::itself().as_str());
        assert_ne!(called_so, Person::itself());
        assert!(!called_so.is_itself() && Person::itself().is_itself());
        assert_eq!(called_so.as_str(), "scalebot (a person)");
        // What the log holds is read as it stands.
        let read: Person = serde_json::from_str("\"scalebot\"").unwrap();
        assert!(read.is_itself());
        assert!(!serde_json::from_value::<Person>(serde_json::to_value(&called_so).unwrap()).unwrap().is_itself());
    }

    #[test]
    fn a_short_operation_is_its_last_six_characters_whatever_they_are() {
        assert_eq!(OperationId::new("019ac3-7f00-abcdef").short(), "abcdef");
        assert_eq!(OperationId::new("op").short(), "op");
        assert_eq!(OperationId::new("ééééééé").short(), "éééééé");
    }
}
