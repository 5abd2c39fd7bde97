//! The runbook's trigger conditions, looked at while nothing is under way. When one holds, a scaling is proposed; it is
//! begun by itself only where policy says so for exactly that condition.

use serde::{Deserialize, Serialize};

use crate::policy::Trigger;
use crate::units::{Person, Replicas, TargetName};

/// The body of `proposed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Proposed {
    /// Names the proposal.
    pub proposal: String,
    /// The fleet.
    pub target: TargetName,
    /// The condition.
    pub trigger: Trigger,
    /// The figures, in words with their limits.
    pub because: String,
    /// The count now.
    pub from: Replicas,
    /// The count that is suggested.
    pub to: Replicas,
}

/// The body of `dismissed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dismissed {
    /// The proposal.
    pub proposal: String,
    /// The condition that stays quiet for a time.
    pub trigger: Trigger,
    /// Who.
    pub by: Person,
}
