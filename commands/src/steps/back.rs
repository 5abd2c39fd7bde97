//! Rollback: back to the count that is known to be good, when what was done turns out badly.

use serde::{Deserialize, Serialize};

use super::body;
use crate::units::{InstanceId, Millis, Person, Replicas};

/// The body of `way_back`: what was found, and whether the fleet is brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WayBack {
    /// Whether it is.
    pub decided: WayBackDecided,
    /// Who decided it, where somebody was asked.
    pub by: Option<Person>,
    /// What was found.
    pub because: String,
    /// The instances that are the cause.
    pub culprits: Vec<InstanceId>,
    /// The known-good count.
    pub to: Replicas,
}

body!(WayBack, WayBack, 1);

/// Whether the fleet is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WayBackDecided {
    /// Yes, as policy says.
    Automatic,
    /// Yes, as somebody said who was asked.
    Agreed,
    /// No, as somebody said who was asked.
    Declined,
    /// No: nobody answered in time.
    Unanswered,
    /// No, as policy says.
    Never,
}

/// The body of `logs_saved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogsSaved {
    /// Where each instance's is.
    pub kept: Vec<KeptLog>,
    /// What could not be kept, and why.
    pub problems: Vec<String>,
}

body!(LogsSaved, LogsSaved, 1);

/// What one instance wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeptLog {
    /// The instance.
    pub instance: InstanceId,
    /// Where it is kept.
    pub place: String,
}

/// The body of `rolling_back`: the intent to bring the count back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RollingBack {
    /// Which fleet.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The known-good count.
    pub to: Replicas,
    /// The generation that the guard saw.
    pub generation: u64,
    /// The version that the guard saw.
    pub version: String,
    /// Who is ended; empty where instances are added.
    pub instances: Vec<InstanceId>,
}

body!(RollingBack, RollingBack, 1);

/// The body of `rolled_back`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    /// Whether the fleet is at the known-good count, with every instance in service that was before.
    pub done: bool,
    /// The known-good count.
    pub to: Replicas,
    /// The count at the end; `None` when it could not be seen.
    pub wanted: Option<Replicas>,
    /// How many were ready at the end.
    pub ready: Option<Replicas>,
    /// How long it took.
    pub waited: Millis,
    /// In what state things are, where it is not done.
    pub problem: Option<String>,
}

body!(RolledBack, RolledBack, 1);
