//! What people ask for: one grammar for console text and, word for word, for chat options.
//!
//! `/scale up N [target:NAME] [reason:"…"]`, where N is the wanted total, and the other commands of [`Word`]. Whatever
//! does not fit gets an answer that shows the right form of that command, and nothing is done.

mod parse;
mod rate;
mod shown;
mod word;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::parse::{NoCommand, parse};
pub use self::rate::Rate;
pub use self::shown::{escaped, quoted};
pub use self::word::Word;
use crate::units::{Millis, OperationId, Person, Replicas, TargetName};

/// The longest text that is read at all, in characters.
pub const MAX_TEXT: usize = 500;

/// The most instances that can be asked for, far beyond what any limit would allow.
pub const MAX_REPLICAS: u32 = 10_000;

/// The most operations that a history shows.
pub const MAX_HISTORY: u32 = 50;

/// How many operations a history shows when nobody says how many.
pub const USUAL_HISTORY: u32 = 10;

/// The longest reason, in characters as they are shown. It leaves room for the rest of the command.
pub const MAX_REASON: usize = 300;

/// The longest name of a target, in characters as they are shown.
pub const MAX_TARGET: usize = 60;

/// A command that was understood. Where no target is named, the first one is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Set the fleet to another count.
    Change {
        /// Which way that is.
        direction: Direction,
        /// The wanted total.
        to: Replicas,
        /// The fleet, where it was named.
        target: Option<TargetName>,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Undo the latest operation.
    Rollback {
        /// The fleet, where it was named.
        target: Option<TargetName>,
        /// Why, in the operator's words.
        reason: Option<String>,
    },
    /// Every check for a wanted count, and nothing done.
    Plan {
        /// The wanted total.
        to: Replicas,
        /// The fleet, where it was named.
        target: Option<TargetName>,
    },
    /// How the fleet is, and what is under way.
    Status {
        /// The fleet, where it was named.
        target: Option<TargetName>,
    },
    /// The last operations.
    History {
        /// How many.
        count: u32,
        /// The fleet, where it was named.
        target: Option<TargetName>,
    },
    /// Stop the operation under way.
    Cancel {
        /// The fleet, where it was named.
        target: Option<TargetName>,
    },
    /// What an instance carries, and how many a load needs.
    Capacity {
        /// The load; `None` means the present one.
        load: Option<Rate>,
        /// The fleet, where it was named.
        target: Option<TargetName>,
    },
    /// What has to be seen to later.
    Followups {
        /// The one that is done, by its number.
        close: Option<u64>,
        /// The fleet, where it was named.
        target: Option<TargetName>,
        /// Why it is closed, in a person's words.
        reason: Option<String>,
    },
    /// What can be asked.
    Help,
}

/// Which way the count is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More instances.
    Up,
    /// Fewer instances.
    Down,
}

impl Direction {
    /// From one count to another; the same count is neither and counts as up.
    pub fn of(from: Replicas, to: Replicas) -> Self {
        if to < from { Self::Down } else { Self::Up }
    }
}

/// The body of `requested`: what was asked for, by whom, under which rules. It opens an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Requested {
    /// The version of the runbook that carries it out.
    pub runbook: u32,
    /// The command in its canonical form.
    pub command: String,
    /// Who asked.
    pub by: Person,
    /// The fleet.
    pub target: TargetName,
    /// Which way.
    pub direction: Direction,
    /// The wanted total.
    pub to: Replicas,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// The operation that it takes back; `None` for a request of its own.
    pub undoes: Option<OperationId>,
    /// SHA-256 of the limits in force, in hexadecimal.
    pub policy: String,
    /// How long the fleet is to be watched afterwards.
    pub monitor: Millis,
}

impl Request {
    /// The word after `/scale`.
    pub fn word(&self) -> Word {
        match self {
            Self::Change { direction: Direction::Up, .. } => Word::Up,
            Self::Change { direction: Direction::Down, .. } => Word::Down,
            Self::Rollback { .. } => Word::Rollback,
            Self::Plan { .. } => Word::Plan,
            Self::Status { .. } => Word::Status,
            Self::History { .. } => Word::History,
            Self::Cancel { .. } => Word::Cancel,
            Self::Capacity { .. } => Word::Capacity,
            Self::Followups { .. } => Word::Followups,
            Self::Help => Word::Help,
        }
    }

    /// The fleet, where it was named.
    pub fn target(&self) -> Option<&TargetName> {
        match self {
            Self::Change { target, .. }
            | Self::Rollback { target, .. }
            | Self::Plan { target, .. }
            | Self::Status { target }
            | Self::History { target, .. }
            | Self::Cancel { target }
            | Self::Capacity { target, .. }
            | Self::Followups { target, .. } => target.as_ref(),
            Self::Help => None,
        }
    }

    /// Why, in a person's words.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Change { reason, .. } | Self::Rollback { reason, .. } | Self::Followups { reason, .. } => {
                reason.as_deref()
            }
            _ => None,
        }
    }
}

impl fmt::Display for Request {
    /// The command in its canonical form: safe to show, and the same request when it is read again.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/scale {}", self.word())?;
        match self {
            Self::Change { to, .. } | Self::Plan { to, .. } => write!(f, " {to}")?,
            Self::History { count, .. } if *count != USUAL_HISTORY => write!(f, " {count}")?,
            Self::Capacity { load: Some(load), .. } => write!(f, " {load}")?,
            Self::Followups { close: Some(number), .. } => write!(f, " close {number}")?,
            _ => {}
        }
        // Both were made plain and short when they were read.
        match self.target() {
            Some(target) if target.as_str().contains(' ') => write!(f, " target:\"{target}\"")?,
            Some(target) => write!(f, " target:{target}")?,
            None => {}
        }
        match self.reason() {
            Some(reason) => write!(f, " reason:\"{reason}\""),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
