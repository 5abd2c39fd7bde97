//! Scaling down, step 3: end exactly the instance that was drained, and see it gone.

use serde::{Deserialize, Serialize};

use super::body;
use crate::halt::SourceSays;
use crate::units::{InstanceId, Millis, Replicas};

/// The body of `terminating`: the intent to end exactly these instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terminating {
    /// Which fleet.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count afterwards.
    pub to: Replicas,
    /// The generation that the guard saw.
    pub generation: u64,
    /// The version that the guard saw.
    pub version: String,
    /// Who is ended.
    pub instances: Vec<InstanceId>,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

body!(Terminating, Terminating, 1);

/// The body of `terminated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terminated {
    /// Who was ended.
    pub instances: Vec<InstanceId>,
    /// Who was still there when the time for it was over.
    pub still_there: Vec<InstanceId>,
    /// How long it took.
    pub waited: Millis,
}

body!(Terminated, Terminated, 1);
