//! Rollback, step 3: where a constitutional problem was found, a governance lead is offered to halt the system. Nothing
//! waits for the answer.

use serde::{Deserialize, Serialize};

use super::body;
use crate::units::{Millis, Person};

/// The body of `halt_offered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltOffered {
    /// Names the offer: what a mark on it carries.
    pub digest: String,
    /// What was found.
    pub because: String,
    /// How long the offer stands.
    pub within: Millis,
}

body!(HaltOffered, HaltOffered, 1);

/// The body of `halt_answered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltAnswered {
    /// Whether the system is to be halted; `None` when nobody said.
    pub halt: Option<bool>,
    /// Who said so.
    pub by: Vec<Person>,
}

body!(HaltAnswered, HaltAnswered, 1);

/// The body of `halting`: the intent to halt the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Halting {
    /// On whose word.
    pub by: Vec<Person>,
    /// Why, for people.
    pub message: String,
}

body!(Halting, Halting, 1);
