//! Scaling down, step 1: ensure that no instance is handling critical long-running operations.

use serde::{Deserialize, Serialize};

use super::body;
use crate::ports::Work;
use crate::units::{InstanceId, Millis};

/// The body of `quiesced`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Quiesced {
    /// How the wait ended.
    pub ended: QuietEnded,
    /// Who works on something that must not be cut off, and on what.
    pub busy: Vec<Busy>,
    /// Who does not tell what they work on.
    pub untold: Vec<InstanceId>,
    /// How long was waited.
    pub waited: Millis,
}

body!(Quiesced, Quiesced, 1);

/// How the wait for long-running work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuietEnded {
    /// Enough instances work on nothing that must not be cut off.
    Quiet,
    /// Too few do, and the time for it is over.
    Busy,
    /// Instances do not tell; by policy, a fixed time was waited instead.
    WaitedNotMeasured,
    /// Instances do not tell, and policy has no fixed time to wait instead.
    Untold,
    /// Somebody asked for the operation to stop.
    Cancelled,
}

/// An instance and what it works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// The instance.
    pub instance: InstanceId,
    /// What must not be cut off.
    pub work: Vec<Work>,
}
