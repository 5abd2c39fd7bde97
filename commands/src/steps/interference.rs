//! The world changes under an operation: somebody else changes the count, replaces the fleet, or an instance ends that
//! the operation did not start. It is named, and the operation stops rather than fights.

use serde::{Deserialize, Serialize};

use super::body;

/// The body of `interference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Interference {
    /// What was noticed, and who is behind it where that is known.
    pub what: String,
}

body!(Interference, Interference, 1);
