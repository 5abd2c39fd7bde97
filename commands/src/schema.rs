//! The JSON Schema of every kind's body, derived from the types that are written, for whoever reads exports and for the
//! tests that hold every event against it.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, json_schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::approval::{Ballot, VoteRefused};
use crate::desk::{Abandoned, CommandRefused};
use crate::escalation::{Acknowledged, Reescalated};
use crate::event::Kind;
use crate::follow_up::FollowUpClosed;
use crate::journal::{Answered, Body, CancelRequested, ClockJump, Parked, PersonsAnswer, Resumed};
use crate::request::Requested;
use crate::steps::{
    Finished, ask, assess, back, document, drain, escalate, halt_offer, hold, interference, monitor, permit, precheck,
    quiet, reassess, remove, scale, verify, wait,
};
use crate::trigger::{Dismissed, Proposed};
use crate::witness::WitnessGap;

/// A step's outcome as it stands in the log: its own fields, and which step of which version it is.
#[derive(JsonSchema, Serialize, Deserialize)]
struct Named<T> {
    /// Which step of the runbook, as a path.
    step: String,
    /// The version of the body's shape.
    v: u32,
    #[serde(flatten)]
    body: T,
}

/// The schema of that kind's body.
pub fn of(kind: Kind) -> Schema {
    match kind {
        Kind::Requested => plain::<Requested>(kind),
        Kind::Assessed => step::<assess::Assessed>(kind),
        Kind::Prechecked => step::<precheck::Prechecked>(kind),
        Kind::Holding => step::<hold::Holding>(kind),
        Kind::Releasing => step::<hold::Releasing>(kind),
        Kind::Scaling => step::<scale::Scaling>(kind),
        Kind::Scaled | Kind::NotReady => step::<wait::Waited>(kind),
        Kind::Verified => step::<verify::Verified>(kind),
        Kind::Monitored => step::<monitor::Monitored>(kind),
        Kind::Documented => step::<document::Documented>(kind),
        Kind::Finished => step::<Finished>(kind),
        Kind::Parked => plain::<Parked>(kind),
        Kind::Rationale => step::<ask::Rationale>(kind),
        Kind::Attested => step::<ask::Attested>(kind),
        Kind::ReasonGiven | Kind::AttestationGiven => plain::<PersonsAnswer>(kind),
        Kind::ApprovalRequested => step::<permit::Asked>(kind),
        Kind::VoteCast | Kind::VoteWithdrawn => plain::<Ballot>(kind),
        Kind::VoteRefused => plain::<VoteRefused>(kind),
        Kind::Approved | Kind::Rejected | Kind::Expired => step::<permit::Decided>(kind),
        Kind::Escalated => step::<escalate::Escalated>(kind),
        Kind::FollowUp => step::<document::FollowUp>(kind),
        Kind::ClockJump => plain::<ClockJump>(kind),
        Kind::CancelRequested => plain::<CancelRequested>(kind),
        Kind::Resumed => plain::<Resumed>(kind),
        Kind::CommandRefused => plain::<CommandRefused>(kind),
        Kind::WitnessGap => plain::<WitnessGap>(kind),
        Kind::Quiesced => step::<quiet::Quiesced>(kind),
        Kind::Reassessed => step::<reassess::Reassessed>(kind),
        Kind::Draining | Kind::Readmitting => step::<drain::Routing>(kind),
        Kind::Drained => step::<drain::Drained>(kind),
        Kind::Terminating => step::<remove::Terminating>(kind),
        Kind::Terminated => step::<remove::Terminated>(kind),
        Kind::WayBackAsked => step::<back::WayBackAsked>(kind),
        Kind::WayBack => step::<back::WayBack>(kind),
        Kind::LogsSaved => step::<back::LogsSaved>(kind),
        Kind::RollingBack => step::<back::RollingBack>(kind),
        Kind::RolledBack => step::<back::RolledBack>(kind),
        Kind::HaltOffered => step::<halt_offer::HaltOffered>(kind),
        Kind::HaltAnswered => step::<halt_offer::HaltAnswered>(kind),
        Kind::Halting => step::<halt_offer::Halting>(kind),
        Kind::Interference => step::<interference::Interference>(kind),
        Kind::Overridden => step::<permit::Overridden>(kind),
        Kind::ScalingAnswered
        | Kind::HoldingAnswered
        | Kind::ReleasingAnswered
        | Kind::DrainingAnswered
        | Kind::ReadmittingAnswered
        | Kind::TerminatingAnswered
        | Kind::RollingBackAnswered
        | Kind::HaltingAnswered => named::<Answered>(kind, Answered::VERSION),
        Kind::Acknowledged => plain::<Acknowledged>(kind),
        Kind::Reescalated => plain::<Reescalated>(kind),
        Kind::FollowUpClosed => plain::<FollowUpClosed>(kind),
        Kind::Proposed => plain::<Proposed>(kind),
        Kind::Dismissed => plain::<Dismissed>(kind),
        Kind::Abandoned => plain::<Abandoned>(kind),
    }
}

/// The schema of one line of an export: the envelope of every event, with the body left to its kind's schema.
pub fn envelope() -> Schema {
    let hash = serde_json::json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" });
    json_schema!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "event",
        "description": "One event as exports print it, one a line.",
        "type": "object",
        "properties": {
            "seq": { "type": "integer", "minimum": 1, "description": "Position in the log, without gaps." },
            "at": { "type": "string", "format": "date-time", "pattern": "Z$", "description": "When, in UTC." },
            "operation": { "type": ["string", "null"], "minLength": 1, "description": "The operation it belongs to." },
            "op_seq": { "type": "integer", "minimum": 0, "description": "Position in the operation; 0 without one." },
            "epoch": { "type": "integer", "minimum": 1, "description": "The fencing epoch of its writer." },
            "kind": { "enum": Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>() },
            "prev": hash,
            "hash": hash,
            "body": { "type": "object" }
        },
        "required": ["seq", "at", "operation", "op_seq", "epoch", "kind", "prev", "hash", "body"],
        "additionalProperties": false
    })
}

fn step<T: Body + JsonSchema>(kind: Kind) -> Schema {
    named::<T>(kind, T::VERSION)
}

fn named<T: JsonSchema>(kind: Kind, version: u32) -> Schema {
    let mut schema = written::<Named<T>>(kind);
    // Flattening merges the properties and leaves the result open: serde cannot refuse unknown fields of what it
    // flattens. What the type refuses by itself, the step's schema refuses too.
    schema.insert("additionalProperties".to_owned(), false.into());
    if let Some(v) = schema.pointer_mut("/properties/v").and_then(|v| v.as_object_mut()) {
        v.insert("const".to_owned(), version.into());
    }
    if let Some(description) = schema_for!(T).get("description") {
        schema.insert("description".to_owned(), description.clone());
    }
    schema
}

fn plain<T: JsonSchema>(kind: Kind) -> Schema {
    written::<T>(kind)
}

/// The schema of what is written, in which every field stands, also one without a value.
fn written<T: JsonSchema>(kind: Kind) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("title".to_owned(), kind.as_str().into());
    schema
}
