//! Escalations after they were raised: acknowledged by a person, or passed on in time. They outlive the operation that
//! raised them, so they are kept by the process and not by a journal; every hop is an event without an operation.

use serde::{Deserialize, Serialize};

use crate::ports::Role;
use crate::units::{OperationId, Person};

/// The body of `acknowledged`: somebody has seen an escalation and sees to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The `seq` of the `escalated` event.
    pub escalation: u64,
    /// The operation that raised it.
    pub operation: OperationId,
    /// Who.
    pub by: Person,
}

/// The body of `reescalated`: nobody acknowledged in time, so it is said again or to the next role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reescalated {
    /// The `seq` of the `escalated` event.
    pub escalation: u64,
    /// The operation that raised it.
    pub operation: OperationId,
    /// The how-many-th time it is said, from 2.
    pub hop: u32,
    /// Who is told now.
    pub to: Role,
}
