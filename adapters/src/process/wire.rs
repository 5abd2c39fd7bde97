//! What is said over the world's socket. The world writes these and the adapters read them, so both sides change
//! together. The fleet itself travels as [`scalebot_commands::ports::FleetState`].

use scalebot_commands::units::{InstanceId, OperationId, Replicas, Timestamp};
use serde::{Deserialize, Serialize};

/// `POST /fleet/scale`: "set the count from this to that, if everything is still so".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// The world's boot identifier.
    pub identity: String,
    /// The count that it must have.
    pub from: Replicas,
    /// The count to set.
    pub to: Replicas,
    /// The version that it must have.
    pub version: String,
    /// Whose order it is; the same order twice is one change.
    pub operation: OperationId,
}

/// `POST /fleet/remove`: "end exactly these, if everything is still so".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remove {
    /// The world's boot identifier.
    pub identity: String,
    /// The count that it must have.
    pub from: Replicas,
    /// The count afterwards.
    pub to: Replicas,
    /// The version that it must have.
    pub version: String,
    /// Who is ended.
    pub instances: Vec<InstanceId>,
    /// Whose order it is; the same order twice is one change.
    pub operation: OperationId,
}

/// `POST /traffic/drain`: "send this instance no new requests", or "send it requests again".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// The instance.
    pub instance: InstanceId,
    /// Whether it gets none.
    pub drained: bool,
}

/// The answer to [`Scale`] and [`Remove`]: status 200 with `done`, 409 with `conflict`, 422 with `refused`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scaled {
    /// What became of it.
    pub result: ScaleResult,
    /// In words, what there is to say; empty with `done`.
    pub detail: String,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleResult {
    /// The count is set.
    Done,
    /// Something was no longer as the order says; nothing was done.
    Conflict,
    /// The world will not; nothing was done.
    Refused,
}

/// `GET /fleet/logs/{instance}`: the last of what it wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceLog {
    /// The text.
    pub text: String,
}

/// `GET /fleet/room`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Room {
    /// So many more instances fit.
    pub free: Replicas,
    /// What runs out after these.
    pub limit: String,
}

/// `GET /fleet/declared`: the file as it stands; 404 when there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeclaredFile {
    /// Its path.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// `GET /traffic`: one of the instances that the forwarder knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forwarded {
    /// The instance.
    pub instance: InstanceId,
    /// Whether it gets new requests.
    pub receives: bool,
    /// Whether it was told to get none.
    pub drained: bool,
    /// How many it got.
    pub requests: u64,
    /// Of these, not answered yet.
    pub in_flight: u32,
}

/// `GET /store/halt-table`: every row of the table `halt_state`. There should be exactly one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltTableRows {
    /// The rows.
    pub rows: Vec<HaltRow>,
}

/// One row of the table `halt_state`. Everything but the key may be NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltRow {
    /// Its key.
    pub id: u32,
    /// Whether the system is halted.
    pub is_halted: Option<bool>,
    /// Why, for people.
    pub reason: Option<String>,
    /// The event that told of the crisis.
    pub crisis_event_id: Option<String>,
    /// When the halt began. Survives a clear.
    pub halted_at: Option<Timestamp>,
    /// When the row last changed.
    pub updated_at: Option<Timestamp>,
    /// The ceremony that cleared it.
    pub ceremony_id: Option<String>,
    /// Why it was cleared.
    pub clear_reason: Option<String>,
    /// When it was cleared.
    pub cleared_at: Option<Timestamp>,
}

/// `GET /store/halt-signals`: the stream `halt:signals`, oldest entry first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltSignalEntries {
    /// The entries.
    pub entries: Vec<HaltSignal>,
}

/// One entry of the stream `halt:signals`. Its fields are plain text, as a stream's are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaltSignal {
    /// The entry's identifier in the stream.
    pub id: String,
    /// Why.
    pub reason: String,
    /// The event that told of the crisis.
    pub crisis_event_id: String,
    /// When, RFC 3339.
    pub timestamp: String,
    /// Who signalled.
    pub source_service: String,
}

/// `GET /store/chain/head`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    /// The last sequence number; `None` when there are no events.
    pub head: Option<u64>,
}

/// `GET /store/database` and `GET /store/redis`: a connection budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// How many connections the server accepts.
    pub limit: u32,
    /// How many of these it keeps for others.
    pub reserved: u32,
    /// How many are in use by others than this fleet.
    pub others: u32,
    /// How many one instance may open at most.
    pub per_instance: u32,
}
