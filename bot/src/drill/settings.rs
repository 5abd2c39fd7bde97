//! How a rehearsal's world is set up, and the faults that it can be told to have.

use scalebot_commands::units::Timestamp;
use serde::{Deserialize, Serialize};

use super::around::Known;
use super::containers::Containers;

/// What a world is started with.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Instances at the start.
    pub(crate) instances: u32,
    /// Requests per second of the load generator.
    pub(crate) load: f64,
    /// Where all its randomness comes from.
    pub(crate) seed: u64,
    /// Whether it is halted at the start, by both sources of truth.
    pub(crate) halted: bool,
    /// What goes wrong in it.
    pub(crate) fault: Option<Fault>,
    /// What its instances are.
    #[serde(default)]
    pub(crate) fleet: FleetKind,
}

/// What a rehearsal's instances are, and who keeps their number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FleetKind {
    /// Processes of this machine
    #[default]
    Process,
    /// Containers of a Docker Compose service, on this machine's engine
    Compose,
    /// Tasks of a Docker Swarm service, on this machine's engine
    Swarm,
}

/// What goes wrong in a world. All but the last two strike new instances only: those that a change of the count adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Fault {
    /// Never becomes ready
    NeverReady,
    /// Exits 1 s after it became ready
    Crash,
    /// Serves each request five times as slowly
    Slow,
    /// Holds another history of the last events
    DivergedChain,
    /// Says the opposite about the halt
    DivergedHalt,
    /// Does not reach its signing keys
    NoKeys,
    /// No further instance fits
    NoRoom,
    /// The database has no connection left for another instance
    DatabaseFull,
}

impl Fault {
    /// Whether it is a fault of new instances rather than of their surroundings.
    pub(crate) fn strikes_instances(self) -> bool {
        !matches!(self, Self::NoRoom | Self::DatabaseFull)
    }
}

/// `GET /world`: which world this is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WorldInfo {
    /// Its boot identifier.
    pub(crate) identity: String,
    /// Its process.
    pub(crate) pid: u32,
    /// When it began.
    pub(crate) started_at: Timestamp,
    /// The forwarder's URL, without a path.
    pub(crate) forwarder: String,
    /// What it was started with.
    pub(crate) settings: Settings,
    /// Which real systems are around it, and what it is called there.
    #[serde(default)]
    pub(crate) around: Option<Known>,
    /// What its containers are called, where its instances are some.
    #[serde(default)]
    pub(crate) containers: Option<Containers>,
}
