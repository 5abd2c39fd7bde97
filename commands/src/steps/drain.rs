//! Scaling down, step 2: drain an instance. Marked in the load balancer first, then its requests are waited for.

use serde::{Deserialize, Serialize};

use super::body;
use crate::event::Kind;
use crate::halt::SourceSays;
use crate::journal::Body;
use crate::units::{InstanceId, Millis};

/// The body of `draining` and of `readmitting`: the intent to change whether an instance gets new requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The instance.
    pub instance: InstanceId,
    /// Whether new requests are to be sent to it.
    pub receives: bool,
    /// On the way back, which needs neither an approval nor the absence of a halt.
    pub way_back: bool,
    /// What each source of truth said about the halt; not asked on the way back.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

impl Body for Routing {
    const VERSION: u32 = 1;
    fn kind(&self) -> Kind {
        if self.receives { Kind::Readmitting } else { Kind::Draining }
    }
}

/// The body of `drained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// The instance.
    pub instance: InstanceId,
    /// How the wait ended.
    pub ended: DrainEnded,
    /// Requests that were not answered yet at the end; `None` where the balancer does not tell.
    pub in_flight: Option<u32>,
    /// What it still worked on at the end, in words.
    pub work: Vec<String>,
    /// How long was waited.
    pub waited: Millis,
    /// What is wrong, in words; `None` when nothing is.
    pub problem: Option<String>,
}

body!(Drained, Drained, 1);

/// How the wait for an instance's last requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrainEnded {
    /// It has answered all it had.
    Idle,
    /// It is gone, or was never ready: nothing is to be waited for.
    NothingToWaitFor,
    /// Requests or constitutional writes did not end in time.
    StillBusy,
    /// It cannot be told whether it has answered all.
    Unknown,
    /// Somebody asked for the operation to stop.
    Cancelled,
}
