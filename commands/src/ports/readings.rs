//! What is only read: traffic, load, halt, an instance's own word, the hash chain, connection budgets.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Instance, OrderAnswer, PortError};
use crate::figures::Load;
use crate::journal::Fence;
use crate::units::{InstanceId, OperationId, Timestamp};

/// The load balancer.
#[async_trait]
pub trait Traffic: Send + Sync {
    /// Every instance that it knows, and whether requests are sent to it.
    ///
    /// # Errors
    /// [`PortError::NotServed`] also when the service or backend that it should know is absent.
    async fn routed(&self) -> Result<Vec<Routed>, PortError>;

    /// Sends no new requests to that instance, or sends them again. Doing what is so already is done.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    async fn route(&self, order: &RouteOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError>;

    /// How new requests to an instance can be stopped, as things are now. [`Self::route`] is only asked for where that
    /// is by order.
    ///
    /// # Errors
    /// When that cannot be told.
    async fn draining(&self) -> Result<Draining, PortError> {
        Ok(Draining::ByOrder)
    }

    /// Where that is looked up, as a card says it.
    fn describe(&self) -> String;
}

/// "Send this instance no new requests", or "send it requests again".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteOrder {
    /// The instance.
    pub instance: InstanceId,
    /// Whether new requests are to be sent to it.
    pub receives: bool,
    /// Our mark.
    pub operation: OperationId,
}

/// How new requests to an instance can be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Draining {
    /// By an order of its own, before the instance is told to end, and until it is told otherwise.
    ByOrder,
    /// Only by its end: it gets requests until then, and answers its last ones while it ends.
    AsItEnds {
        /// How long it has for that at most, before it is killed.
        grace: Duration,
        /// Why there is no other way, and how it ends, as a card says it.
        how: String,
    },
}

/// One instance as the load balancer sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The instance, by its fleet's name for it.
    pub instance: InstanceId,
    /// Whether new requests are sent to it.
    pub receives: bool,
    /// Whether it was told to send it none, whatever state the instance is in.
    pub drained: bool,
    /// Requests sent to it since the balancer knows it; `None` where it does not count them.
    pub requests: Option<u64>,
    /// Of these, not answered yet; `None` where it does not tell.
    pub in_flight: Option<u32>,
}

/// The fleet's load.
#[async_trait]
pub trait Metrics: Send + Sync {
    /// Figures since that moment, or over as much of it as there is to look back on. Asking again with the `until` of
    /// one answer continues exactly where that ended: nothing is counted twice, nothing is left out.
    ///
    /// # Errors
    /// When nothing can be said at all. Instances that alone could not be read are in [`Load::missing`].
    async fn load(&self, since: Timestamp) -> Result<Load, PortError>;

    /// Where the figures come from, as a card says it.
    fn describe(&self) -> String;
}

/// One source of truth about the halt.
#[async_trait]
pub trait HaltSource: Send + Sync {
    /// What it says now.
    ///
    /// # Errors
    /// When it cannot be read, or what it says cannot be understood. Never a guess.
    async fn read(&self) -> Result<HaltReading, PortError>;

    /// Its name, as a card says it: "halt table", "halt signals".
    fn name(&self) -> String;
}

/// What a source, or an instance, says about the halt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltReading {
    /// Whether it says halted.
    pub halted: bool,
    /// Since when, where it knows.
    pub since: Option<Timestamp>,
    /// Why, in its own words.
    pub reason: Option<String>,
    /// When the last halt was cleared, where it knows.
    pub cleared_at: Option<Timestamp>,
}

/// One instance's own word, asked of it directly.
#[async_trait]
pub trait Probe: Send + Sync {
    /// Whether its process answers that it is up.
    async fn healthy(&self, instance: &Instance) -> Result<bool, PortError>;
    /// Whether it says that it is ready, with each named check.
    async fn ready(&self, instance: &Instance) -> Result<Readiness, PortError>;
    /// What it holds the halt state to be.
    async fn halt(&self, instance: &Instance) -> Result<HaltReading, PortError>;
    /// The event of the hash chain at that sequence number as it sees it; `None` when it has none there (yet).
    async fn link(&self, instance: &Instance, sequence: u64) -> Result<Option<ChainLink>, PortError>;
    /// Whether it reaches its HSM or signing keys. There is no standard way to ask: `None` when none is configured.
    async fn keys(&self, instance: &Instance) -> Result<Option<NamedCheck>, PortError>;
    /// What it works on that takes long and must not be cut off. An empty list is its word that there is nothing.
    async fn work(&self, instance: &Instance) -> Result<Vec<Work>, PortError>;
    /// The early warnings that it holds and nobody has acknowledged. They live in each process's memory.
    async fn warnings(&self, instance: &Instance) -> Result<Vec<EarlyWarning>, PortError>;
}

/// Something that an instance works on, longer than a request takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// What it is, in the backend's words.
    pub what: String,
    /// Whether it is a constitutional write, which gets more time to end.
    pub constitutional: bool,
    /// Since when, where it tells.
    pub since: Option<Timestamp>,
}

/// An early warning of the failure prevention system.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct EarlyWarning {
    /// What is about to fail, by the backend's name for it.
    pub mode: String,
    /// The metric that tells.
    pub metric: String,
    /// Its value.
    pub value: f64,
    /// The threshold that it crossed.
    pub threshold: f64,
    /// Whether that is the critical threshold.
    pub critical: bool,
    /// What the backend recommends.
    pub recommended: String,
}

/// The governance functions of the backend that no single instance owns.
#[async_trait]
pub trait Governance: Send + Sync {
    /// The complexity budget (CT-14).
    async fn complexity(&self) -> Result<ComplexityBudget, PortError>;

    /// Halts the system. Only ever on a governance lead's word.
    ///
    /// # Errors
    /// When it is not known whether it was halted.
    async fn halt(&self, order: &HaltOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError>;
}

/// "Halt the system."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HaltOrder {
    /// Why, for people.
    pub message: String,
    /// Our mark.
    pub operation: OperationId,
}

/// The complexity budget (CT-14): each dimension's use against its limit, and the backend's own conclusion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ComplexityBudget {
    /// Each dimension.
    pub dimensions: Vec<ComplexityDimension>,
    /// `within_budget`, `warning` or `breached`; anything else is none of these.
    pub overall: String,
}

/// One dimension of the complexity budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ComplexityDimension {
    /// Its name: "ADRs", "ceremony types", "cross-component dependencies".
    pub name: String,
    /// How much is in use.
    pub used: u32,
    /// How much there may be.
    pub limit: u32,
}

/// What an instance says about being ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Its own conclusion.
    pub ready: bool,
    /// What that rests on.
    pub checks: Vec<NamedCheck>,
}

/// One named readiness check of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NamedCheck {
    /// Its name: `database`, `redis`, `event_store`.
    pub name: String,
    /// What it says.
    pub healthy: bool,
    /// What is wrong, in the instance's words.
    pub error: Option<String>,
}

/// The source of truth of the hash chain.
#[async_trait]
pub trait Chain: Send + Sync {
    /// The last sequence number; `None` when there are no events at all.
    async fn head(&self) -> Result<Option<u64>, PortError>;
}

/// An event of the hash chain, by what makes it the same or another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ChainLink {
    /// The hash of its content.
    pub content_hash: String,
    /// The hash that it continues.
    pub prev_hash: String,
}

/// A budget of connections that every instance draws on.
#[async_trait]
pub trait Pool: Send + Sync {
    /// The budget now.
    async fn budget(&self) -> Result<PoolBudget, PortError>;
    /// Its name, as a card says it: "database connections".
    fn name(&self) -> String;
}

/// A connection budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolBudget {
    /// How many connections are accepted.
    pub limit: u32,
    /// How many of these it keeps for others.
    pub reserved: u32,
    /// How many are in use by others than this fleet.
    pub others: u32,
    /// How many one instance may open at most.
    pub per_instance: u32,
    /// How many more a rollout may open for a while.
    pub surge: u32,
    /// Whose limit it is, where there are several: "the role conclave". `None` for the server's only one.
    pub limit_of: Option<String>,
}
