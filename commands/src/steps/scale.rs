//! Step 3: set the count. The one change of the outside on the way up, guarded as every effect is.

use std::time::Duration;

use async_trait::async_trait;
use futures::join;
use serde::{Deserialize, Serialize};

use super::{Ending, body};
use crate::approval::BoundHalt;
use crate::context::Context;
use crate::event::Kind;
use crate::halt::{self, SourceSays};
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Stop};
use crate::patience::within;
use crate::ports::{OrderAnswer, PortError, ScaleOrder};
use crate::steps::permit::{Doubt, Permit};
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
    /// What the guard read, and what was done.
    pub intent: Scaling,
    /// When that was known.
    pub at: Timestamp,
}

/// Sets the count as planned, under the permit of that round.
pub async fn to_plan(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    permit: &Permit,
    round: u32,
) -> Result<Effected<Scaling>, Interrupted> {
    let key = if round == 1 { "scale".to_owned() } else { format!("round/{round}/scale") };
    journal.effect(&key, &SetCount { cx, plan, permit }).await
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
    let settled = journal.settle(&SetCount { cx, plan: &plan, permit: &permit }).await?;
    Ok(match settled {
        None => Err(ending),
        Some(Effected::Done(intent, at)) => Ok((plan, Set { intent, at })),
        Some(otherwise) => Err(Ending::not_scaled(otherwise, &plan)),
    })
}

struct SetCount<'a> {
    cx: &'a Context<'a>,
    plan: &'a Plan,
    permit: &'a Permit,
}

impl SetCount<'_> {
    /// What the permit says to what the halt sources say at this moment.
    fn halt_permits(&self, halt: &[SourceSays]) -> Result<(), Stop> {
        match self.permit {
            Permit::NotNeeded => match halt::conclude(halt).why() {
                Some(why) => Err(Stop::Halted(why.to_owned())),
                None => Ok(()),
            },
            Permit::Approved(approval) if approval.asked.bound.halt == BoundHalt::of(halt) => Ok(()),
            Permit::Approved(_) => {
                let conclusion = halt::conclude(halt);
                let why = conclusion.why().unwrap_or("not halted any more");
                Err(Stop::Void(format!("the halt state is another than the one approved: {why}")))
            }
        }
    }

    async fn approval_stands(&self, heard: &Heard, limit: Duration) -> Result<(), Stop> {
        let Permit::Approved(approval) = self.permit else { return Ok(()) };
        approval.still_stands(self.cx, heard, limit).await.map_err(|doubt| match doubt {
            Doubt::Void(why) => Stop::Void(why),
            Doubt::Unknown(why) => Stop::Unknown(why),
        })
    }
}

#[async_trait]
impl Effect for SetCount<'_> {
    type Intent = Scaling;

    fn answered(&self) -> Kind {
        Kind::ScalingAnswered
    }

    async fn guard(&self, heard: &Heard) -> Result<Scaling, Stop> {
        if let Some(by) = heard.cancelled_by() {
            return Err(Stop::Cancelled(format!("cancelled by {by}")));
        }
        let world = &*self.cx.ports.world;
        let target = &self.cx.ports.target;
        let limit = self.cx.policy.time.guard;
        let (halt, fleet, approved) = join!(
            halt::ask(world, &target.halt, limit),
            self.cx.fleet_within(limit),
            self.approval_stands(heard, limit),
        );
        let fleet = fleet.map_err(|error| match error {
            PortError::Gone { .. } => Stop::Gone(error.to_string()),
            error => Stop::Unknown(error.to_string()),
        })?;
        self.halt_permits(&halt)?;
        approved?;
        if fleet.identity != self.plan.identity {
            return Err(Stop::Changed("the fleet was replaced by another of the same name".to_owned()));
        }
        if fleet.wanted != self.plan.from || fleet.generation != self.plan.generation {
            let who =
                fleet.changed_by.as_ref().map_or_else(|| "somebody else".to_owned(), |by| crate::request::quoted(by));
            return Err(Stop::Changed(format!("{who} set the count to {} meanwhile", fleet.wanted)));
        }
        Ok(Scaling {
            identity: fleet.identity,
            from: fleet.wanted,
            to: self.plan.to,
            generation: fleet.generation,
            version: fleet.version,
            halt,
            approval: match self.permit {
                Permit::NotNeeded => None,
                Permit::Approved(approval) => Some(approval.asked.digest.clone()),
            },
        })
    }

    async fn act(&self, intent: &Scaling, fence: Fence<'_>) -> Result<Acted, PortError> {
        let order = ScaleOrder {
            identity: intent.identity.clone(),
            from: intent.from,
            to: intent.to,
            version: intent.version.clone(),
            operation: self.cx.operation.clone(),
        };
        let fleet = &self.cx.ports.target.fleet;
        let limit = self.cx.policy.time.look;
        let answer = within(&*self.cx.ports.world, limit, &fleet.describe(), fleet.scale(&order, fence)).await?;
        Ok(match answer {
            OrderAnswer::Done => Acted::Done,
            OrderAnswer::Conflict { detail } => Acted::Conflict(detail),
            OrderAnswer::Refused { detail } => Acted::Refused(detail),
        })
    }

    async fn find(&self, intent: &Scaling) -> Result<Found, PortError> {
        let now = self.cx.fleet().await?;
        let ours = now.changed_by.as_deref() == Some(self.cx.operation.as_str());
        Ok(if now.identity != intent.identity {
            Found::Otherwise("the fleet was replaced by another of the same name".to_owned())
        } else if now.wanted == intent.to && ours {
            Found::Done
        } else if now.wanted == intent.from && now.generation == intent.generation {
            Found::Untouched
        } else {
            let who = now.changed_by.map_or_else(|| "somebody else".to_owned(), |by| crate::request::quoted(&by));
            Found::Otherwise(format!("{who} set the count to {}", now.wanted))
        })
    }
}
