//! The world changes under an operation: somebody else changes the count, replaces the fleet, or an instance ends that
//! the operation did not start. It is named, and the operation stops rather than fights.

use serde::{Deserialize, Serialize};

use super::body;
use crate::context::Context;
use crate::journal::{Interrupted, Journal};

/// The body of `interference`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Interference {
    /// What was noticed, and who is behind it where that is known.
    pub what: String,
}

body!(Interference, Interference, 1);

/// Records it, where it came to that.
pub async fn record(cx: &Context<'_>, journal: &mut Journal<'_>, what: Option<&str>) -> Result<(), Interrupted> {
    let Some(what) = what else { return Ok(()) };
    tracing::warn!(operation = %cx.operation, what, "somebody else changed the fleet");
    let interference = Interference { what: what.to_owned() };
    journal.step("interference", |_| async { interference }).await?;
    Ok(())
}
