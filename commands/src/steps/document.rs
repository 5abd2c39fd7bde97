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

/// The body of `documented`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Documented {
    /// Where the capacity document is; `None` when it could not be written.
    pub capacity: Option<String>,
    /// What could not be documented, and why.
    pub problems: Vec<String>,
}

body!(Documented, Documented, 1);

/// How many past operations the capacity document lists.
const HISTORY: u32 = 20;

/// Brings the documents up to date, after a change of the fleet.
pub async fn record(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    ending: &Ending,
) -> Result<Recorded<Documented>, Interrupted> {
    journal.step("document", |_| write(cx, ending)).await
}

async fn write(cx: &Context<'_>, ending: &Ending) -> Documented {
    let mut problems = Vec::new();
    let world = &*cx.ports.world;
    let limit = cx.policy.time.look;
    let since = world.now() - cx.policy.load.sustained;
    let (fleet, load) = join!(cx.fleet(), cx.load(since));
    let history = match cx.ports.ledger.latest(Kind::Finished.as_str(), HISTORY).await {
        Ok(history) => history,
        Err(error) => {
            problems.push(error.to_string());
            Vec::new()
        }
    };
    for error in [fleet.as_ref().err(), load.as_ref().err()].into_iter().flatten() {
        problems.push(error.to_string());
    }
    let text = capacity::document(cx, ending, fleet.ok().as_ref(), load.ok().as_ref(), &history);
    let capacity = match within(world, limit, "the capacity document", cx.ports.documents.write_capacity(&text)).await {
        Ok(place) => Some(place),
        Err(error) => {
            problems.push(error.to_string());
            None
        }
    };
    Documented { capacity, problems }
}
