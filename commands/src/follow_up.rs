//! Follow-ups after they were opened: what somebody has to see to later, until it is done.

use serde::{Deserialize, Serialize};

use crate::units::Person;

/// The body of `follow_up_closed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowUpClosed {
    /// The `seq` of the `follow_up` event.
    pub follow_up: u64,
    /// Who says that it is done; `None` when it was found to be.
    pub by: Option<Person>,
    /// Why it is closed, in a sentence.
    pub because: String,
}
