//! Scaling down, between two instances: whether those that stay can still carry the load. It was predicted before the
//! first one; minutes may have passed since.

use serde::{Deserialize, Serialize};

use super::permit::Permit;
use super::remove::Turn;
use super::{assess, body};
use crate::checks::{self, Check, Follows};
use crate::context::Context;
use crate::journal::{Interrupted, Journal, Recorded};
use crate::units::InstanceId;

/// The body of `reassessed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reassessed {
    /// Who is taken away next, if nothing speaks against it; `None` where the orchestrator itself chooses.
    pub next: Option<InstanceId>,
    /// What each of those that stay will have to carry.
    pub checks: Vec<Check>,
}

body!(Reassessed, Reassessed, 1);

/// Looks at the load once more before the next instance is taken away.
pub async fn load(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    prefix: &str,
    next: &Turn,
) -> Result<Recorded<Reassessed>, Interrupted> {
    let key = format!("{prefix}reassess/{}", next.key());
    journal.step(&key, |_| look(cx, next.named())).await
}

async fn look(cx: &Context<'_>, next: Option<&InstanceId>) -> Reassessed {
    // Over as long as a figure must hold, whatever changed the count meanwhile: a moment's figures decide nothing.
    let load = assess::load_now(cx).await;
    let checks = match cx.fleet().await {
        Ok(fleet) => checks::predicted(cx, &fleet, load),
        // The guard of what comes next looks again, and does nothing to a fleet that cannot be seen.
        Err(_) => Vec::new(),
    };
    Reassessed { next: next.cloned(), checks }
}

impl Reassessed {
    /// Why the next one stays: what a check refuses now, and no approval has lifted. `None` when it may be taken away.
    pub fn objection(&self, permit: &Permit) -> Option<String> {
        let lifted: &[String] = match permit {
            Permit::NotNeeded => &[],
            Permit::Approved(approval) => &approval.asked.lifts,
        };
        let refuses = |check: &&Check| check.follows == Follows::Override && !lifted.contains(&check.name);
        let found: Vec<String> =
            self.checks.iter().filter(refuses).map(|check| format!("{}: {}", check.name, check.figure)).collect();
        let next = || self.next.as_ref().map_or_else(|| "one more".to_owned(), ToString::to_string);
        (!found.is_empty()).then(|| format!("{} is not taken away: {}", next(), found.join("; ")))
    }
}
