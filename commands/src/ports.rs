//! What the bot needs of the outside, as traits that adapters implement.
//!
//! A port has few methods and speaks the domain's words with units. An adapter never retries a refusal and never
//! guesses: what it could not find out is an error, and the runbook decides what that means.

mod fleet;
mod ledger;
mod people;
mod readings;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

pub use self::fleet::{
    Bounds, Choice, Declared, DisruptionBudget, Fleet, FleetState, Headroom, Held, Hold, HoldOrder, Instance,
    InstanceState, OrderAnswer, Precondition, ReleaseOrder, RemoveOrder, ScaleOrder, Steering,
};
pub use self::ledger::{AppendError, ClaimHeld, Ledger, LedgerError, Post, Posts, Samples};
pub use self::people::{Announced, Documents, LogChannel, Role, Room, Slot};
pub use self::readings::{
    Chain, ChainLink, ComplexityBudget, ComplexityDimension, Draining, EarlyWarning, Governance, HaltOrder,
    HaltReading, HaltSource, Metrics, NamedCheck, Pool, PoolBudget, Probe, Readiness, RouteOrder, Routed, Traffic,
    Work,
};
use crate::units::{TargetName, Timestamp};

/// Why the outside gave no answer, by what an operator would do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing answers there: start it, or correct the address.
    #[error("{what} cannot be reached ({detail})")]
    Unreachable {
        /// Which system, in words.
        what: String,
        /// What was seen.
        detail: String,
    },
    /// It did not answer in time: it is overloaded or hangs.
    #[error("{what} did not answer within {} s", limit.as_secs_f64())]
    TimedOut {
        /// Which system, in words.
        what: String,
        /// The limit that it had.
        limit: Duration,
    },
    /// It answered that we may not: grant what it names.
    #[error("{what} refused: {detail}")]
    Refused {
        /// Which system, in words.
        what: String,
        /// Its own words.
        detail: String,
    },
    /// It answered something that cannot be understood: its version or a proxy in between is to be looked at.
    #[error("{what} answered something unexpected ({detail})")]
    Unreadable {
        /// Which system, in words.
        what: String,
        /// What was wrong about the answer.
        detail: String,
    },
    /// It does not serve this question (a 404 on a configured path). Never healthy, never halted: not known.
    #[error("{what} does not serve this ({detail})")]
    NotServed {
        /// Which system, in words.
        what: String,
        /// What was asked.
        detail: String,
    },
    /// The thing itself no longer exists; waiting will not bring it back.
    #[error("{what} no longer exists ({detail})")]
    Gone {
        /// What is gone, in words.
        what: String,
        /// How that was seen.
        detail: String,
    },
}

impl PortError {
    /// Whether asking again a moment later may be answered otherwise.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Unreadable { .. })
    }
}

/// Time, identifiers and randomness. The only clock that this crate knows, so that every path is reproducible.
pub trait World: Send + Sync {
    /// The wall clock, UTC.
    fn now(&self) -> Timestamp;
    /// A clock that never goes back, since some fixed moment of this process.
    fn monotonic(&self) -> Duration;
    /// Ends after this long.
    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()>;
    /// A new identifier: sortable by time, never given twice.
    fn unique_id(&self) -> String;
    /// A random number.
    fn random(&self) -> u64;
}

/// A fleet with everything that is asked about it.
#[derive(Clone)]
pub struct Target {
    /// Its name, as configured.
    pub name: TargetName,
    /// Its instances and their count.
    pub fleet: Arc<dyn Fleet>,
    /// Who is routed to.
    pub traffic: Arc<dyn Traffic>,
    /// Its load.
    pub metrics: Arc<dyn Metrics>,
    /// Every source of truth about the halt. An empty list is explicit: then nothing can say that it is not halted.
    pub halt: Vec<Arc<dyn HaltSource>>,
    /// One instance's own word.
    pub probe: Arc<dyn Probe>,
    /// The hash chain's source of truth, where there is one.
    pub chain: Option<Arc<dyn Chain>>,
    /// The connection budgets that every instance draws on.
    pub pools: Vec<Arc<dyn Pool>>,
    /// The complexity budget, where one is configured.
    pub governance: Option<Arc<dyn Governance>>,
    /// Dashboards to look at, by their URLs, as configured.
    pub dashboards: Vec<String>,
}

/// Everything that an operation talks to.
#[derive(Clone)]
pub struct Ports {
    /// Time, identifiers, randomness.
    pub world: Arc<dyn World>,
    /// The operational log.
    pub ledger: Arc<dyn Ledger>,
    /// What monitoring saw, beside the log.
    pub samples: Arc<dyn Samples>,
    /// Where people are.
    pub room: Arc<dyn Room>,
    /// The documents that the bot keeps.
    pub documents: Arc<dyn Documents>,
    /// The fleet.
    pub target: Target,
}
