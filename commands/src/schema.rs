//! The JSON Schema of every kind's body, derived from the types that are written, for whoever reads exports and for the
//! tests that hold every event against it.

use schemars::{JsonSchema, Schema, schema_for};
use serde::{Deserialize, Serialize};

use crate::approval::{Ballot, VoteRefused};
use crate::desk::CommandRefused;
use crate::event::Kind;
use crate::journal::{Answered, Body, CancelRequested, ClockJump, Parked, PersonsAnswer, Resumed};
use crate::request::Requested;
use crate::steps::{Finished, ask, assess, document, escalate, monitor, permit, precheck, scale, verify, wait};

/// A step's outcome as it stands in the log: its own fields, and which step of which version it is.
#[derive(JsonSchema, Serialize, Deserialize)]
struct Named<T> {
    step: String,
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
        Kind::Scaling => step::<scale::Scaling>(kind),
        Kind::ScalingAnswered => named::<Answered>(kind),
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
    }
}

fn step<T: Body + JsonSchema>(kind: Kind) -> Schema {
    named::<T>(kind)
}

fn named<T: JsonSchema>(kind: Kind) -> Schema {
    titled(schema_for!(Named<T>), kind)
}

fn plain<T: JsonSchema>(kind: Kind) -> Schema {
    titled(schema_for!(T), kind)
}

fn titled(mut schema: Schema, kind: Kind) -> Schema {
    schema.insert("title".to_owned(), kind.as_str().into());
    schema
}
