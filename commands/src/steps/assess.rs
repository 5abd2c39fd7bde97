//! Step 1: assess the current state. What the fleet is and what it carries, before anything is decided.

use futures::join;
use serde::{Deserialize, Serialize};

use super::body;
use crate::context::Context;
use crate::figures::Load;
use crate::journal::{Interrupted, Journal, Recorded};
use crate::patience::{Deadline, ask_until};
use crate::ports::{FleetState, PortError};
use crate::reading::Reading;
use crate::units::Timestamp;

/// The body of `assessed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Assessed {
    /// The fleet.
    pub fleet: Reading<FleetState>,
    /// Its load over the last minutes.
    pub load: Reading<Load>,
}

body!(Assessed, Assessed, 1);

/// Observes the fleet and its load. A fleet that cannot be seen is looked for until the policy's limit for that is over.
pub async fn current_state(cx: &Context<'_>, journal: &mut Journal<'_>) -> Result<Recorded<Assessed>, Interrupted> {
    journal.step("assess", |_| observe(cx)).await
}

async fn observe(cx: &Context<'_>) -> Assessed {
    let world = &*cx.ports.world;
    let time = &cx.policy.time;
    let deadline = Deadline::after(world, world.now(), time.assess);
    let since = world.now() - cx.policy.load.sustained;
    let (fleet, load) = join!(ask_until(world, deadline, time.poll, || cx.fleet()), load(cx, since, deadline),);
    Assessed { fleet: fleet.into(), load: load.into() }
}

/// The load over as long as a figure must hold, as soon as there is enough to look back on.
pub(super) async fn load_now(cx: &Context<'_>) -> Result<Load, PortError> {
    let world = &*cx.ports.world;
    let deadline = Deadline::after(world, world.now(), cx.policy.time.assess);
    load(cx, world.now() - cx.policy.load.sustained, deadline).await
}

/// The load, once there is enough to look back on: whoever reads the figures may just have started, after a restart.
/// What there is when the time for it is over has to do.
async fn load(cx: &Context<'_>, since: Timestamp, deadline: Deadline) -> Result<Load, PortError> {
    let world = &*cx.ports.world;
    loop {
        let answer = cx.load(since).await;
        let waits = match &answer {
            Ok(load) => load.window.duration() < cx.policy.load.baseline,
            Err(error) => error.may_pass(),
        };
        if !waits || deadline.is_over(world) {
            return answer;
        }
        world.sleep(cx.policy.time.poll.min(deadline.left(world))).await;
    }
}
