//! Scaling down, step 3: end exactly the instance that was drained, and see it gone. Where nobody can name one, the count is
//! lowered by one, and it is seen whom the orchestrator has chosen.

use std::time::Duration;

use async_trait::async_trait;
use futures::join;
use serde::{Deserialize, Serialize};

use super::body;
use super::drain::unfit;
use super::guard::{Guard, Held};
use super::scale::count_found;
use crate::checks;
use crate::event::Kind;
use crate::halt::SourceSays;
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::mutation::mutated;
use crate::patience::{Stopwatch, within};
use crate::ports::{Draining, FleetState, InstanceState, PortError, RemoveOrder, Routed, ScaleOrder};
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
    /// Who is ended; nobody where the orchestrator itself chooses as many as the count is lowered by.
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

/// One that is ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Exactly this one.
    Named(InstanceId),
    /// One that the orchestrator chooses.
    Unnamed {
        /// Names it within the operation, by the count, which only ever gets less: "one-of-6".
        key: String,
    },
}

impl Turn {
    /// One of so many, whoever that will be.
    pub fn one_of(count: Replicas) -> Self {
        Self::Unnamed { key: format!("one-of-{count}") }
    }

    /// As steps are named.
    pub fn key(&self) -> &str {
        match self {
            Self::Named(instance) => instance.as_str(),
            Self::Unnamed { key } => key,
        }
    }

    /// Who it is, where anybody has named them.
    pub fn named(&self) -> Option<&InstanceId> {
        match self {
            Self::Named(instance) => Some(instance),
            Self::Unnamed { .. } => None,
        }
    }

    /// As people read it.
    pub fn words(&self) -> String {
        match self {
            Self::Named(instance) => instance.to_string(),
            Self::Unnamed { key } => key.replace('-', " "),
        }
    }
}

/// Ends one instance.
struct End<'a> {
    guard: Guard<'a>,
    turn: &'a Turn,
    was: Was,
}

impl End<'_> {
    /// Whoever is ended and was not named: nobody may be cut off from anything, the last to serve goes on serving, and
    /// each has the time for its last requests.
    async fn anybody_may_end(&self, fleet: &FleetState) -> Result<(), Stop> {
        let cx = self.guard.cx;
        let world = &*cx.ports.world;
        let limit = cx.policy.time.guard;
        let traffic = &cx.ports.target.traffic;
        let place = traffic.describe();
        let (told, draining) = join!(
            within(world, limit, "what instances work on", async { Ok(checks::ask_work(cx, fleet).await) }),
            within(world, limit, &place, traffic.draining()),
        );
        let (told, draining) = (told.map_err(super::guard::unseen)?, draining.map_err(super::guard::unseen)?);
        if let Some(why) = unfit(cx, &draining) {
            return Err(Stop::OverLimit(why));
        }
        if checks::candidates(cx, fleet, &told, &[]).is_empty() && !mutated!(EndBusy) {
            return Err(Stop::OverLimit(checks::not_all_free(fleet, &told)));
        }
        Ok(())
    }
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
        self.turn.key()
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
        let (mut ours, mut others): (Vec<&Routed>, Vec<&Routed>) = routed
            .iter()
            .filter(|routed| routed.receives)
            .partition(|routed| self.turn.named() == Some(&routed.instance));
        if self.turn.named().is_none() {
            self.anybody_may_end(&fleet).await?;
            // It may be any of them.
            ours.extend(others.pop());
        }
        match self.was {
            // It was drained a moment ago; whoever has let requests in again since did not want it ended.
            Was::TakenOut if !ours.is_empty() => {
                return Err(Stop::Changed(format!("somebody else lets {} have requests again", self.turn.words())));
            }
            // Whoever is the last to get requests goes on getting them.
            Was::LeftIn if others.pop().is_none() => {
                return Err(Stop::OverLimit(match self.turn {
                    Turn::Named(instance) => format!("no instance but {instance} gets requests now"),
                    Turn::Unnamed { .. } => "only one instance gets requests now, and it might be ended".to_owned(),
                }));
            }
            Was::TakenOut | Was::LeftIn => {}
        }
        Ok(Terminating {
            identity: fleet.identity,
            from: fleet.wanted,
            to: Replicas(fleet.wanted.0.saturating_sub(1)),
            generation: fleet.generation,
            version: fleet.version,
            instances: self.turn.named().cloned().into_iter().collect(),
            halt,
            approval,
        })
    }

    async fn act(&self, intent: &Terminating, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.guard.cx;
        let Terminating { identity, from, to, version, instances, .. } = intent.clone();
        let operation = cx.operation.clone();
        let fleet = &cx.ports.target.fleet;
        let (world, limit, place) = (&*cx.ports.world, cx.order_limit(), fleet.describe());
        let answer = if instances.is_empty() {
            let order = ScaleOrder { identity, from, to, version, operation };
            within(world, limit, &place, fleet.scale(&order, fence)).await?
        } else {
            let order = RemoveOrder { identity, from, to, version, instances, operation };
            within(world, limit, &place, fleet.remove(&order, fence)).await?
        };
        Ok(answer.into())
    }

    async fn find(&self, intent: &Terminating) -> Result<Found, PortError> {
        let now = self.guard.cx.fleet().await?;
        Ok(count_found(self.guard.cx, &now, &intent.identity, (intent.from, intent.to), intent.generation))
    }
}

/// Ends that instance and no other, or lowers the count by one where nobody can name who goes.
pub async fn one(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    turn: &Turn,
    was: Was,
) -> Result<Effected<Terminating>, Interrupted> {
    journal.effect(&format!("{prefix}terminate/{}", turn.key()), &End { guard, turn, was }).await
}

/// Whether a request to end that one may still arrive, because its answer was lost.
pub fn may_still_end(journal: &Journal<'_>, guard: Guard<'_>, turn: &Turn) -> bool {
    journal.may_still_arrive(&End { guard, turn, was: Was::TakenOut })
}

/// Whether a request to end that one, whose answer was lost, has arrived after all.
pub async fn settle(
    journal: &mut Journal<'_>,
    guard: Guard<'_>,
    turn: &Turn,
) -> Result<Option<Effected<Terminating>>, Interrupted> {
    journal.settle(&End { guard, turn, was: Was::TakenOut }).await
}

/// Waits until that one is gone; where nobody has named it, until it is seen who went.
pub async fn gone(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    turn: &Turn,
) -> Result<Recorded<Terminated>, Interrupted> {
    let key = format!("{prefix}terminate/{}/gone", turn.key());
    let removed: Vec<InstanceId> = guard.removed.iter().chain(turn.named()).cloned().collect();
    let guard = Guard { removed: &removed, ending: u32::from(turn.named().is_none()), ..guard };
    journal.step(&key, |_| until_gone(guard, turn)).await
}

/// Its last writes are over by then, so only the time to exit counts, and that to be seen gone; and the time for its last
/// requests, where they are answered meanwhile.
async fn until_gone(guard: Guard<'_>, turn: &Turn) -> Terminated {
    let cx = guard.cx;
    let world = &*cx.ports.world;
    let began = Stopwatch::since(world, world.now());
    let grace = match cx.draining().await {
        Ok(Draining::AsItEnds { grace, .. }) => grace,
        _ => Duration::ZERO,
    };
    let limit = cx.policy.drain.exit.max(grace) + 2 * cx.policy.time.look;
    let named = || turn.named().cloned().into_iter().collect::<Vec<InstanceId>>();
    loop {
        let (instances, still_there, interference) = match cx.fleet().await {
            // A fleet that cannot be seen tells of nobody that they are gone.
            Err(_) => (named(), named(), None),
            Ok(fleet) => {
                let (instances, still_there) = match turn {
                    Turn::Named(_) => {
                        let there = |id: &InstanceId| fleet.instances.iter().any(|instance| instance.id == *id);
                        (named(), named().into_iter().filter(there).collect())
                    }
                    Turn::Unnamed { .. } => chosen(&guard, &fleet),
                };
                (instances, still_there, guard.interference(&fleet))
            }
        };
        let waited = began.spent(world);
        let is_gone = !instances.is_empty() && still_there.is_empty();
        if is_gone || interference.is_some() || waited >= limit {
            return Terminated { instances, still_there, waited: waited.into(), interference };
        }
        world.sleep(cx.policy.time.poll).await;
    }
}

/// Of those that the plan found there and that were not gone before: whom the orchestrator has chosen, and who of them has
/// not ended yet.
fn chosen(guard: &Guard<'_>, fleet: &FleetState) -> (Vec<InstanceId>, Vec<InstanceId>) {
    let state = |id: &InstanceId| fleet.instances.iter().find(|one| one.id == *id).map(|instance| instance.state);
    let before = guard.plan.present.iter().filter(|id| !guard.removed.contains(id));
    let chosen: Vec<InstanceId> =
        before.filter(|id| matches!(state(id), None | Some(InstanceState::Terminating))).cloned().collect();
    let still_there = chosen.iter().filter(|id| state(id).is_some()).cloned().collect();
    (chosen, still_there)
}
