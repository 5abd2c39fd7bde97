//! Step 3: set the count. The one change of the outside on the way up, guarded as every effect is.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::guard::{self, Guard, Held};
use super::{Ending, body};
use crate::context::Context;
use crate::event::Kind;
use crate::halt::SourceSays;
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Stop};
use crate::patience::within;
use crate::ports::{FleetState, PortError, ScaleOrder};
use crate::steps::permit::{Permit, Rounds};
use crate::steps::precheck::Plan;
use crate::units::{Replicas, Timestamp};

/// The body of `scaling`: what the guard read, and what is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scaling {
    /// Which fleet.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count to set.
    pub to: Replicas,
    /// The generation that the guard saw.
    pub generation: u64,
    /// The version that the guard saw, with which the orchestrator refuses a change of something else.
    pub version: String,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

body!(Scaling, Scaling, 1);

/// The count as it was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// What each source of truth said about the halt when it was set.
    pub halt: Vec<SourceSays>,
    /// When that was known.
    pub at: Timestamp,
}

/// Sets the count as planned, under the permit of that round.
pub async fn to_plan(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    permit: &Permit,
    rounds: &Rounds,
) -> Result<Effected<Scaling>, Interrupted> {
    journal.effect(&format!("{}scale", rounds.prefix()), &SetCount::new(cx, plan, permit)).await
}

/// Before an operation ends as if nothing was done: whether a request of an `earlier` round, whose answer was lost, has
/// arrived after all.
///
/// # Errors
/// The inner one: how the operation ends.
pub async fn unless_done_after_all(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    earlier: Option<(Plan, Permit)>,
    ending: Ending,
) -> Result<Result<(Plan, Set), Ending>, Interrupted> {
    let Some((plan, permit)) = earlier else { return Ok(Err(ending)) };
    let settled = journal.settle(&SetCount::new(cx, &plan, &permit)).await?;
    Ok(match settled {
        None => Err(ending),
        Some(Effected::Done(intent, at)) => Ok((plan, Set { halt: intent.halt, at })),
        Some(otherwise) => Err(Ending::not_scaled(otherwise, &plan)),
    })
}

struct SetCount<'a> {
    guard: Guard<'a>,
}

impl<'a> SetCount<'a> {
    fn new(cx: &'a Context<'a>, plan: &'a Plan, permit: &'a Permit) -> Self {
        Self { guard: Guard { cx, plan, permit, removed: &[], ending: 0, begun: false } }
    }
}

#[async_trait]
impl Effect for SetCount<'_> {
    type Intent = Scaling;

    fn answered(&self) -> Kind {
        Kind::ScalingAnswered
    }

    fn can_wait(&self) -> bool {
        true
    }

    async fn guard(&self, heard: &Heard) -> Result<Scaling, Stop> {
        let Held { fleet, halt, approval } = self.guard.read(heard).await?;
        Ok(Scaling {
            identity: fleet.identity,
            from: fleet.wanted,
            to: self.guard.plan.to,
            generation: fleet.generation,
            version: fleet.version,
            halt,
            approval,
        })
    }

    async fn act(&self, intent: &Scaling, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.guard.cx;
        let order = ScaleOrder {
            identity: intent.identity.clone(),
            from: intent.from,
            to: intent.to,
            version: intent.version.clone(),
            operation: cx.operation.clone(),
        };
        let fleet = &cx.ports.target.fleet;
        let answer = within(&*cx.ports.world, cx.order_limit(), &fleet.describe(), fleet.scale(&order, fence)).await?;
        Ok(answer.into())
    }

    async fn find(&self, intent: &Scaling) -> Result<Found, PortError> {
        let now = self.guard.cx.fleet().await?;
        Ok(count_found(self.guard.cx, &now, &intent.identity, (intent.from, intent.to), intent.generation))
    }
}

/// Whether the count was changed by us, nothing happened since the guard looked, or something else did.
pub(super) fn count_found(
    cx: &Context<'_>,
    now: &FleetState,
    identity: &str,
    (from, to): (Replicas, Replicas),
    generation: u64,
) -> Found {
    let ours = now.changed_by.as_deref() == Some(cx.operation.as_str());
    if now.identity != identity {
        Found::Otherwise("the fleet was replaced by another of the same name".to_owned())
    } else if now.wanted == to && ours {
        Found::Done
    } else if now.wanted == from && now.generation == generation {
        Found::Untouched
    } else {
        Found::Otherwise(guard::who_set_the_count(now))
    }
}
