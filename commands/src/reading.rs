//! A value from outside, or why there is none. "Could not tell" is a value of its own and never reads as "fine".

use serde::{Deserialize, Serialize};

use crate::ports::PortError;

/// What was read, or why nothing could be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reading<T> {
    /// It was read.
    Known(T),
    /// It could not be read.
    Unknown {
        /// What was tried and what came of it, in words.
        why: String,
        /// What kind of absence that is.
        absence: Absence,
    },
}

/// Why there is no value, as far as it makes a difference to what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Absence {
    /// The thing itself no longer exists: asking again is of no use.
    Gone,
    /// The question is not served there: what is not configured is said as such.
    NotServed,
    /// No answer, or none that could be understood.
    Unanswered,
}

impl<T> Reading<T> {
    /// The value, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown { .. } => None,
        }
    }

    /// Why there is none.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::Known(_) => None,
            Self::Unknown { why, .. } => Some(why),
        }
    }

    /// Whether the thing itself no longer exists.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Unknown { absence: Absence::Gone, .. })
    }

    /// Whether the question is not served there.
    pub fn is_not_served(&self) -> bool {
        matches!(self, Self::Unknown { absence: Absence::NotServed, .. })
    }
}

impl<T> From<Result<T, PortError>> for Reading<T> {
    fn from(result: Result<T, PortError>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(error) => {
                let absence = match error {
                    PortError::Gone { .. } => Absence::Gone,
                    PortError::NotServed { .. } => Absence::NotServed,
                    _ => Absence::Unanswered,
                };
                Self::Unknown { why: error.to_string(), absence }
            }
        }
    }
}
