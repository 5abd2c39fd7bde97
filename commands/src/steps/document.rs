//! Step 6: document the scaling event. The operational log is written all along and posts itself; what is left is the
//! capacity document.

use futures::join;
use serde::{Deserialize, Serialize};

use super::{Ending, body};
use crate::capacity;
use crate::context::Context;
use crate::event::Kind;
use crate::journal::{Interrupted, Journal, Recorded};
use crate::patience::within;
use crate::ports::Declared;
use crate::units::Replicas;

/// The body of `documented`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Documented {
    /// Where the capacity document is; `None` when it could not be written.
    pub capacity: Option<String>,
    /// The count that is written down; `None` when it is not known or nowhere.
    pub declared: Option<Declared>,
    /// The live count; `None` when it could not be seen.
    pub live: Option<Replicas>,
    /// What could not be documented, and why.
    pub problems: Vec<String>,
}

body!(Documented, Documented, 1);

/// The body of `follow_up`: what somebody has to see to later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct FollowUp {
    /// What is to be done, in a sentence.
    pub what: String,
    /// Why.
    pub because: String,
}

body!(FollowUp, FollowUp, 1);

/// How many past operations the capacity document lists.
const HISTORY: u32 = 20;

/// Brings the documents up to date, after a change of the fleet.
pub async fn record(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    ending: &Ending,
) -> Result<Recorded<Documented>, Interrupted> {
    let documented = journal.step("document", |_| write(cx, ending)).await?;
    for (key, follow_up) in follow_ups(ending, &documented.body) {
        journal.step(&format!("document/follow-up/{key}"), |_| async { follow_up }).await?;
    }
    Ok(documented)
}

/// What somebody has to see to later, by the plan and what was documented.
fn follow_ups(ending: &Ending, documented: &Documented) -> Vec<(&'static str, FollowUp)> {
    let mut follow_ups = Vec::new();
    if let Some(plan) = ending.plan.as_ref().filter(|plan| !plan.triggers.is_empty()) {
        follow_ups.push((
            "capacity",
            FollowUp {
                what: "Plan capacity, so that the next rise in load does not need a scaling in a hurry.".to_owned(),
                because: format!("This scaling was reactive: over the limit: {}.", plan.triggers.join(", ")),
            },
        ));
    }
    if let (Some(declared), Some(live)) = (&documented.declared, documented.live)
        && declared.count != live
    {
        follow_ups.push((
            "declared",
            FollowUp {
                what: format!("Write {live} down where {} says {}: {}", declared.place, declared.count, declared.line),
                because: "Whoever deploys next puts the declared count back.".to_owned(),
            },
        ));
    }
    follow_ups
}

async fn write(cx: &Context<'_>, ending: &Ending) -> Documented {
    let mut problems = Vec::new();
    let world = &*cx.ports.world;
    let limit = cx.policy.time.look;
    // Figures from before the change say nothing about the fleet as it is now.
    let since = ending.watched.as_ref().map_or(world.now() - cx.policy.load.sustained, |watched| watched.scaled_at);
    let place = cx.ports.target.fleet.describe();
    let (fleet, load, declared) =
        join!(cx.fleet(), cx.load(since), within(world, limit, &place, cx.ports.target.fleet.declared()),);
    let history = match cx.ports.ledger.latest(Kind::Finished.as_str(), HISTORY).await {
        Ok(history) => history,
        Err(error) => {
            problems.push(error.to_string());
            Vec::new()
        }
    };
    for error in [fleet.as_ref().err(), load.as_ref().err(), declared.as_ref().err()].into_iter().flatten() {
        problems.push(error.to_string());
    }
    let live = fleet.as_ref().ok().map(|state| state.wanted);
    let declared = declared.ok().flatten();
    let text = capacity::document(cx, ending, fleet.ok().as_ref(), load.ok().as_ref(), declared.as_ref(), &history);
    let capacity = match within(world, limit, "the capacity document", cx.ports.documents.write_capacity(&text)).await {
        Ok(place) => Some(place),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    Documented { capacity, declared, live, problems }
}
