//! The fleet: how many instances there are, which, and how their number is changed.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::PortError;
use crate::journal::Fence;
use crate::units::{InstanceId, OperationId, Replicas, Timestamp};

/// A set of instances whose number can be changed.
#[async_trait]
pub trait Fleet: Send + Sync {
    /// The fleet as it is at this moment.
    async fn observe(&self) -> Result<FleetState, PortError>;

    /// Changes the count, if it is still what the order says it is. Tried once: a conflict is an answer, not an error.
    /// The fence proves that the intent was written by the one process that may act.
    ///
    /// # Errors
    /// When it is not known whether the change was made.
    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError>;

    /// Ends exactly these instances and lowers the count by as many, if everything is still as the order says. The
    /// orchestrator must not choose others. Tried once. Not asked for where [`Self::choice`] is [`Choice::Unnamed`].
    ///
    /// # Errors
    /// When it is not known whether the change was made.
    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError>;

    /// Who of a fleet as observed can be ended by [`Self::remove`]: anybody, unless the orchestrator has an order of its
    /// own.
    fn choice(&self, _fleet: &FleetState) -> Choice {
        Choice::Any
    }

    /// The last of what an instance wrote, at most so many bytes of it, also when it has ended already.
    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError>;

    /// How many instances may be taken away now without breaking what was promised to others; `None` when no such budget
    /// is configured.
    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError>;

    /// How many more instances the place can hold, up to `wanted` more, and what runs out first.
    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError>;

    /// How long an order may take at most, where that is longer than one look at an outside system: where no orchestrator
    /// takes it and carries it out by itself.
    fn order_takes(&self) -> Option<Duration> {
        None
    }

    /// Whether the orchestrator itself refuses a change whose precondition no longer holds.
    fn precondition(&self) -> Precondition;

    /// Who or what else changes the count, and what settles that. Empty when nobody was found.
    async fn steered_by(&self) -> Result<Vec<Steering>, PortError>;

    /// Makes somebody who steers the count leave it alone, for as long as an operation lasts, and keeps with them who did
    /// so and how they were before. Tried once.
    ///
    /// # Errors
    /// When it is not known whether they are held.
    async fn hold(&self, _order: &HoldOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nobody who steers can be held still here".to_owned() })
    }

    /// Who is held still under the mark of that operation, wherever that is written down; nobody's memory is needed for it.
    async fn held_by(&self, _operation: &OperationId) -> Result<Vec<Held>, PortError> {
        Ok(Vec::new())
    }

    /// Puts somebody who is held still back to exactly what they were before, if they are still as [`Self::held_by`] saw
    /// them. Tried once.
    ///
    /// # Errors
    /// When it is not known whether they are put back.
    async fn release(&self, _order: &ReleaseOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nobody who steers is held still here".to_owned() })
    }

    /// The count that is written down where the next deployment takes it from; `None` when no such place is configured.
    async fn declared(&self) -> Result<Option<Declared>, PortError>;

    /// Where the fleet lives, as a card says it: "this machine's processes", "Deployment archon72-api".
    fn describe(&self) -> String;
}

/// Who holds to "only if the count is still this".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// The orchestrator compares and changes in one step.
    Enforced,
    /// We compare just before; somebody else can come in between.
    Advisory,
}

/// Who can be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Exactly whoever an order names.
    Any,
    /// The orchestrator has an order of its own and ends nobody else: the first, then the second.
    InOrder {
        /// In this order.
        order: Vec<InstanceId>,
        /// Why, as a card says it: "a `StatefulSet` ends its highest number first".
        why: String,
    },
    /// Nobody that anybody could name: the orchestrator is given a lower count by [`Fleet::scale`] and ends whom it likes.
    /// Then one that is ended cannot be announced, nor taken out of the balancer before.
    Unnamed {
        /// Why, as a card says it: "Docker Swarm itself chooses whom it ends".
        why: String,
    },
}

/// A fleet as observed at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FleetState {
    /// What the fleet is, beyond its name: a new one under the same name is another (a UID, a boot identifier).
    pub identity: String,
    /// How many instances are wanted, as the orchestrator has it.
    pub wanted: Replicas,
    /// Another with every change of the wanted count, whoever makes it; it grows where the orchestrator counts them.
    pub generation: u64,
    /// Changes with every change of anything; a change that names an old one is refused.
    pub version: String,
    /// The mark of whoever last changed the count, if the orchestrator keeps one.
    pub changed_by: Option<String>,
    /// When the count last changed, if the orchestrator knows.
    pub changed_at: Option<Timestamp>,
    /// Every instance, starting and failing ones included.
    pub instances: Vec<Instance>,
}

impl FleetState {
    /// A fleet that nobody has seen yet.
    pub fn unseen(wanted: Replicas) -> Self {
        Self {
            identity: String::new(),
            wanted,
            generation: 0,
            version: String::new(),
            changed_by: None,
            changed_at: None,
            instances: Vec::new(),
        }
    }

    /// How many instances are ready.
    pub fn ready(&self) -> Replicas {
        let ready = self.instances.iter().filter(|instance| instance.state == InstanceState::Ready).count();
        Replicas(u32::try_from(ready).unwrap_or(u32::MAX))
    }
}

/// One instance as the orchestrator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// Host and port at which it is reached; `None` until it has one.
    pub address: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// Where it is in its life.
    pub state: InstanceState,
    /// In words, why it is not ready; `None` when there is nothing to say.
    pub detail: Option<String>,
    /// How often it was started again.
    pub restarts: u32,
}

/// Where an instance is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum InstanceState {
    /// Started, not ready yet.
    Starting,
    /// Ready to serve.
    Ready,
    /// Was ready, or should be, and is not.
    NotReady,
    /// Its process is gone and it will not come back by itself.
    Failed,
    /// On its way out.
    Terminating,
}

/// "Set the count from this to that, if it is still this."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleOrder {
    /// The fleet as the guard saw it, an instant before.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count to set.
    pub to: Replicas,
    /// The version that the guard saw.
    pub version: String,
    /// Our mark: the same order twice is one change.
    pub operation: OperationId,
}

/// "End exactly these, if everything is still so."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveOrder {
    /// The fleet as the guard saw it, an instant before.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count afterwards: as many fewer as instances are named.
    pub to: Replicas,
    /// The version that the guard saw.
    pub version: String,
    /// Who is ended, and nobody else.
    pub instances: Vec<InstanceId>,
    /// Our mark: the same order twice is one change.
    pub operation: OperationId,
}

/// How many instances may be missing at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DisruptionBudget {
    /// How many may be taken away now.
    pub allowed: Replicas,
    /// Whose rule that is, as a person finds it: "`PodDisruptionBudget` archon72-api".
    pub source: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderAnswer {
    /// It is done.
    Done,
    /// Something changed since the guard looked; nothing was done.
    Conflict {
        /// The orchestrator's words.
        detail: String,
    },
    /// The orchestrator will not; nothing was done.
    Refused {
        /// The orchestrator's words.
        detail: String,
    },
}

/// How many more instances fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headroom {
    /// So many more, at most the number asked about.
    pub fits: Replicas,
    /// What runs out first, when fewer fit than were asked about ("memory on this machine").
    pub runs_out: Option<String>,
    /// Where it was looked up.
    pub source: String,
}

/// Somebody or something else that changes the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Steering {
    /// Who: "`HorizontalPodAutoscaler` archon72-api", "a rollout under way".
    pub by: String,
    /// What it would do to our change.
    pub effect: String,
    /// The exact change that settles it.
    pub settled_by: String,
    /// How they can be held still for the time of an operation; `None` where they cannot be, or are to be left alone.
    pub hold: Option<Hold>,
}

/// Somebody who steers and can be held still, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// Names them within the place of the fleet: "hpa/archon72-api".
    pub name: String,
    /// Who, as a person finds them: "`HorizontalPodAutoscaler` archon72-api".
    pub who: String,
    /// Who that is beyond the name (a UID).
    pub identity: String,
    /// Changes with every change of anything of them; an order that names an old one is refused.
    pub version: String,
    /// Between which counts they keep the fleet; `None` where they have no bounds.
    pub bounds: Option<Bounds>,
    /// All that is put back afterwards, as the adapter writes it for itself.
    pub before: String,
    /// What holds them, in words: "it is paused".
    pub how: String,
    /// The exact command by which a person puts them back.
    pub undone_by: String,
}

/// Between which counts somebody keeps the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bounds {
    /// The smallest.
    pub least: Replicas,
    /// The largest.
    pub most: Replicas,
}

impl Bounds {
    /// Whether they leave that count as it is.
    pub fn include(&self, count: Replicas) -> bool {
        (self.least..=self.most).contains(&count)
    }
}

/// "Leave the count alone for as long as this operation lasts, if you are still as the guard saw you."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HoldOrder {
    /// Who, as the guard saw them an instant before.
    pub hold: Hold,
    /// The count now.
    pub from: Replicas,
    /// The count that it may become.
    pub to: Replicas,
    /// Our mark, kept with them.
    pub operation: OperationId,
}

/// Somebody who is held still under an operation's mark, as they are now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// As in [`Hold`].
    pub name: String,
    /// As in [`Hold`].
    pub identity: String,
    /// As in [`Hold`].
    pub version: String,
    /// All that puts them back, as the adapter writes it for itself.
    pub undo: String,
    /// What somebody else has changed of them since they are held; `None` where nobody has, so that they can be put back.
    pub changed: Option<String>,
}

/// "Be again what you were before, if you are still as the guard saw you."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseOrder {
    /// Who, as the guard saw them an instant before.
    pub held: Held,
    /// Whose mark they bear.
    pub operation: OperationId,
}

/// The count as written down outside the running fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// The count that the next deployment would set.
    pub count: Replicas,
    /// Where that stands, as a person finds it: a file and line, a manifest, a chart's value.
    pub place: String,
    /// The line to change, as it stands there now.
    pub line: String,
}
