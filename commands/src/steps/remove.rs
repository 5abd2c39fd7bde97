//! Scaling down, step 3: end exactly the instance that was drained, and see it gone.

use std::time::Duration;

use async_trait::async_trait;
use futures::join;
use serde::{Deserialize, Serialize};

use super::body;
use super::guard::{Guard, Held};
use super::scale::count_found;
use crate::event::Kind;
use crate::halt::SourceSays;
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::patience::{Stopwatch, within};
use crate::ports::{Draining, PortError, RemoveOrder, Routed};
use crate::units::{InstanceId, Millis, Replicas};

/// The body of `terminating`: the intent to end exactly these instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terminating {
    /// Which fleet.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count afterwards.
    pub to: Replicas,
    /// The generation that the guard saw.
    pub generation: u64,
    /// The version that the guard saw.
    pub version: String,
    /// Who is ended.
    pub instances: Vec<InstanceId>,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

body!(Terminating, Terminating, 1);

/// The body of `terminated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Terminated {
    /// Who was ended.
    pub instances: Vec<InstanceId>,
    /// Who was still there when the time for it was over.
    pub still_there: Vec<InstanceId>,
    /// How long it took.
    pub waited: Millis,
    /// What somebody else did to the fleet meanwhile; `None` where nobody did anything.
    pub interference: Option<String>,
}

body!(Terminated, Terminated, 1);

/// Ends one instance.
struct End<'a> {
    guard: Guard<'a>,
    instance: &'a InstanceId,
    was: Was,
}

/// What became of an instance's requests before it is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Was {
    /// It gets none, by an order.
    TakenOut,
    /// It gets some until it is told to end, because nobody can be taken out before.
    LeftIn,
}

#[async_trait]
impl Effect for End<'_> {
    type Intent = Terminating;

    fn answered(&self) -> Kind {
        Kind::TerminatingAnswered
    }

    fn subject(&self) -> &str {
        self.instance.as_str()
    }

    fn can_wait(&self) -> bool {
        self.was == Was::LeftIn
    }

    async fn guard(&self, heard: &Heard) -> Result<Terminating, Stop> {
        let Held { fleet, halt, approval } = self.guard.read(heard).await?;
        let cx = self.guard.cx;
        let limit = cx.policy.time.guard;
        let (fleet_port, world) = (&cx.ports.target.fleet, &*cx.ports.world);
        let place = fleet_port.describe();
        let budget = within(world, limit, &place, fleet_port.disruptions_allowed());
        let (routed, budget) = join!(cx.routed_within(limit), budget);
        if let Some(budget) = budget.map_err(super::guard::unseen)?.filter(|budget| budget.allowed.0 == 0) {
            return Err(Stop::OverLimit(format!("{} allows no instance to be taken away now", budget.source)));
        }
        let routed = routed.map_err(super::guard::unseen)?;
        let (ours, mut others): (Vec<&Routed>, Vec<&Routed>) =
            routed.iter().filter(|routed| routed.receives).partition(|routed| routed.instance == *self.instance);
        match self.was {
            // It was drained a moment ago; whoever has let requests in again since did not want it ended.
            Was::TakenOut if !ours.is_empty() => {
                return Err(Stop::Changed(format!("somebody else lets {} have requests again", self.instance)));
            }
            // Whoever is the last to get requests goes on getting them.
            Was::LeftIn if others.pop().is_none() => {
                return Err(Stop::OverLimit(format!("no instance but {} gets requests now", self.instance)));
            }
            Was::TakenOut | Was::LeftIn => {}
        }
        Ok(Terminating {
            identity: fleet.identity,
            from: fleet.wanted,
            to: Replicas(fleet.wanted.0.saturating_sub(1)),
            generation: fleet.generation,
            version: fleet.version,
            instances: vec![self.instance.clone()],
            halt,
            approval,
        })
    }

    async fn act(&self, intent: &Terminating, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.guard.cx;
        let order = RemoveOrder {
            identity: intent.identity.clone(),
            from: intent.from,
            to: intent.to,
            version: intent.version.clone(),
            instances: intent.instances.clone(),
            operation: cx.operation.clone(),
        };
        let fleet = &cx.ports.target.fleet;
        let limit = cx.order_limit();
        let answer = within(&*cx.ports.world, limit, &fleet.describe(), fleet.remove(&order, fence)).await?;
        Ok(answer.into())
    }

    async fn find(&self, intent: &Terminating) -> Result<Found, PortError> {
        let now = self.guard.cx.fleet().await?;
        Ok(count_found(self.guard.cx, &now, &intent.identity, (intent.from, intent.to), intent.generation))
    }
}

/// Ends exactly that instance.
pub async fn exactly(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
    was: Was,
) -> Result<Effected<Terminating>, Interrupted> {
    journal.effect(&format!("{prefix}terminate/{instance}"), &End { guard, instance, was }).await
}

/// Whether a request to end that instance may still arrive, because its answer was lost.
pub fn may_still_end(journal: &Journal<'_>, guard: Guard<'_>, instance: &InstanceId) -> bool {
    journal.may_still_arrive(&End { guard, instance, was: Was::TakenOut })
}

/// Whether a request to end that instance, whose answer was lost, has arrived after all.
pub async fn settle(
    journal: &mut Journal<'_>,
    guard: Guard<'_>,
    instance: &InstanceId,
) -> Result<Option<Effected<Terminating>>, Interrupted> {
    journal.settle(&End { guard, instance, was: Was::TakenOut }).await
}

/// Waits until the instance is gone.
pub async fn gone(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
) -> Result<Recorded<Terminated>, Interrupted> {
    let key = format!("{prefix}terminate/{instance}/gone");
    let removed: Vec<InstanceId> = guard.removed.iter().chain([instance]).cloned().collect();
    let guard = Guard { removed: &removed, ..guard };
    journal.step(&key, |_| until_gone(guard, vec![instance.clone()])).await
}

/// Its last writes are over by then, so only the time to exit counts, and that to be seen gone; and the time for its last
/// requests, where they are answered meanwhile.
async fn until_gone(guard: Guard<'_>, instances: Vec<InstanceId>) -> Terminated {
    let cx = guard.cx;
    let world = &*cx.ports.world;
    let began = Stopwatch::since(world, world.now());
    let grace = match cx.draining().await {
        Ok(Draining::AsItEnds { grace, .. }) => grace,
        _ => Duration::ZERO,
    };
    let limit = cx.policy.drain.exit.max(grace) + 2 * cx.policy.time.look;
    loop {
        let (still_there, interference): (Vec<InstanceId>, _) = match cx.fleet().await {
            // A fleet that cannot be seen tells of nobody that they are gone.
            Err(_) => (instances.clone(), None),
            Ok(fleet) => {
                let there = |id: &&InstanceId| fleet.instances.iter().any(|instance| instance.id == **id);
                (instances.iter().filter(there).cloned().collect(), guard.interference(&fleet))
            }
        };
        let waited = began.spent(world);
        if still_there.is_empty() || interference.is_some() || waited >= limit {
            return Terminated { instances, still_there, waited: waited.into(), interference };
        }
        world.sleep(cx.policy.time.poll).await;
    }
}
