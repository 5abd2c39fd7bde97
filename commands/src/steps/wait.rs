//! Step 3, continued: wait until every instance is ready, or until it is plain that it will not be.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::card;
use crate::context::Context;
use crate::event::Kind;
use crate::halt;
use crate::journal::{Body, Heard, Interrupted, Journal, Recorded};
use crate::patience::{Deadline, Stopwatch};
use crate::ports::{FleetState, Instance, InstanceState, PortError, Slot};
use crate::steps::escalate::Condition;
use crate::steps::finish::Trouble;
use crate::steps::guard;
use crate::steps::precheck::Plan;
use crate::steps::scale::Set;
use crate::steps::{Ending, Outcome};
use crate::units::{InstanceId, Millis, Replicas};

/// The body of `scaled` and of `not_ready`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Waited {
    /// How the wait ended.
    pub ended: WaitEnded,
    /// The wanted count.
    pub wanted: Replicas,
    /// How many were ready at the end.
    pub ready: Replicas,
    /// The instances that the plan did not find there.
    pub newcomers: Vec<InstanceId>,
    /// Which of them are not ready.
    pub culprits: Vec<InstanceId>,
    /// How long it took since the count was set.
    pub took: Millis,
    /// What is wrong, naming the instance; `None` when nothing is.
    pub problem: Option<String>,
    /// Who says that a halt began since the count was set; `None` when nobody does.
    pub halted: Option<String>,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WaitEnded {
    /// The wanted count is reached and every instance has been ready long enough.
    Ready,
    /// An instance cannot become ready any more.
    Hopeless,
    /// The time for it is over.
    TooLate,
    /// Somebody else changed the count.
    Interfered,
    /// Somebody asked for the operation to stop.
    Cancelled,
    /// The fleet no longer exists.
    Gone,
}

impl Body for Waited {
    const VERSION: u32 = 1;
    fn kind(&self) -> Kind {
        if self.ended == WaitEnded::Ready { Kind::Scaled } else { Kind::NotReady }
    }
}

impl Waited {
    /// How the operation ends here; `None` when it goes on.
    pub fn ending(&self, cx: &Context<'_>, plan: &Plan) -> Option<Ending> {
        let problem = self.problem.clone().unwrap_or_default();
        match self.ended {
            WaitEnded::Ready => None,
            WaitEnded::Cancelled => {
                let reason = card::in_lines([&*problem, &left_after_cancel(plan)]);
                Some(Ending::after_the_change(Outcome::Cancelled, plan, reason))
            }
            WaitEnded::Interfered => {
                Some(Ending::after_the_change(Outcome::Failed, plan, problem.clone()).because_of_others(problem))
            }
            WaitEnded::Gone => Some(Ending::after_the_change(Outcome::Failed, plan, problem)),
            WaitEnded::Hopeless | WaitEnded::TooLate => {
                let ending = Ending::after_the_change(Outcome::Failed, plan, problem.clone());
                let trouble = Trouble {
                    plan: plan.clone(),
                    newcomers: self.newcomers.clone(),
                    culprits: self.culprits.clone(),
                    because: problem,
                    asked_for: false,
                    left_by: cx.operation.clone(),
                };
                Some(ending.escalated(Condition::InfrastructureLimits).taken_back(trouble))
            }
        }
    }
}

/// What a cancel means once the count was changed.
pub(super) fn left_after_cancel(plan: &Plan) -> String {
    format!("the fleet stays at {}; /scale rollback brings it back to {}", plan.to, plan.rollback_to)
}

/// Waits, showing how far each instance is. The deadline counts from when the count was set.
pub async fn until_ready(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    set: &Set,
) -> Result<Recorded<Waited>, Interrupted> {
    journal.step("wait", |heard| watch(cx, heard, plan, set)).await
}

async fn watch(cx: &Context<'_>, heard: Heard, plan: &Plan, set: &Set) -> Waited {
    let world = &*cx.ports.world;
    let began = Stopwatch::since(world, set.at);
    let deadline = Deadline::after(world, set.at, cx.policy.time.ready_within);
    // After a restart the deadline may be over before this process has seen any of them ready for long enough.
    let grace = Deadline::after(world, world.now(), cx.policy.time.ready_for + 2 * cx.policy.time.poll);
    let mut ready_since: HashMap<InstanceId, Duration> = HashMap::new();
    let mut last = FleetState::unseen(plan.to);
    let mut trouble;
    let (ended, problem) = loop {
        if let Some(by) = heard.cancelled_by() {
            break (WaitEnded::Cancelled, Some(format!("cancelled by {by}")));
        }
        match cx.fleet().await {
            Err(error @ PortError::Gone { .. }) => break (WaitEnded::Gone, Some(error.to_string())),
            Err(error) => trouble = error.to_string(),
            Ok(state) => {
                trouble = String::new();
                last = state;
                let now = world.monotonic();
                note_ready(&last, &mut ready_since, now);
                let progress = card::waiting(cx, plan, &last, began.spent(world), deadline.left(world));
                cx.show(Slot::Progress, progress).await;
                if let Some(end) = conclude(cx, plan, &last, &ready_since, now) {
                    break end;
                }
            }
        }
        let only_just = in_service(plan, &ready_since, |_| true) >= plan.in_service_afterwards();
        if deadline.is_over(world) && (grace.is_over(world) || !only_just) {
            break (WaitEnded::TooLate, Some(if trouble.is_empty() { unready(&last) } else { trouble }));
        }
        let left = if deadline.is_over(world) { grace.left(world) } else { deadline.left(world) };
        world.sleep(cx.policy.time.poll.min(left)).await;
    };
    let halted = halt::began_since(world, &cx.ports.target.halt, cx.policy.time.look, &set.halt).await;
    let new: Vec<&Instance> = last.instances.iter().filter(|instance| !plan.present.contains(&instance.id)).collect();
    let ids = |some: &mut dyn Iterator<Item = &&Instance>| some.map(|instance| instance.id.clone()).collect();
    Waited {
        ended,
        wanted: plan.to,
        ready: last.ready(),
        newcomers: ids(&mut new.iter()),
        culprits: ids(&mut new.iter().filter(|instance| instance.state != InstanceState::Ready)),
        took: began.spent(world).into(),
        problem,
        halted,
    }
}

fn note_ready(state: &FleetState, ready_since: &mut HashMap<InstanceId, Duration>, now: Duration) {
    let ready: Vec<&InstanceId> =
        state.instances.iter().filter(|one| one.state == InstanceState::Ready).map(|one| &one.id).collect();
    ready_since.retain(|id, _| ready.contains(&id));
    for id in ready {
        ready_since.entry(id.clone()).or_insert(now);
    }
}

fn conclude(
    cx: &Context<'_>,
    plan: &Plan,
    state: &FleetState,
    ready_since: &HashMap<InstanceId, Duration>,
    now: Duration,
) -> Option<(WaitEnded, Option<String>)> {
    if let Some(what) = guard::changed_by_others(state, plan, plan.to, &[]) {
        return Some((WaitEnded::Interfered, Some(what)));
    }
    let ours = |one: &&Instance| plan.answers_for(&one.id);
    if let Some(failed) = state.instances.iter().filter(ours).find(|one| one.state == InstanceState::Failed) {
        return Some((WaitEnded::Hopeless, Some(format!("instance {} has failed: {}", failed.id, reason(failed)))));
    }
    let steady = in_service(plan, ready_since, |since| now.saturating_sub(since) >= cx.policy.time.ready_for);
    (steady >= plan.in_service_afterwards()).then_some((WaitEnded::Ready, None))
}

/// How many of those that the operation answers for are ready, since a moment that will do.
fn in_service(plan: &Plan, ready_since: &HashMap<InstanceId, Duration>, will_do: impl Fn(Duration) -> bool) -> usize {
    ready_since.iter().filter(|(id, since)| plan.answers_for(id) && will_do(**since)).count()
}

fn unready(state: &FleetState) -> String {
    let late: Vec<String> = state
        .instances
        .iter()
        .filter(|one| one.state != InstanceState::Ready)
        .map(|one| format!("{} ({})", one.id, reason(one)))
        .collect();
    match late.as_slice() {
        [] => format!("{} of {} instances appeared", state.instances.len(), state.wanted),
        late => format!("not ready: {}", late.join(", ")),
    }
}

fn reason(instance: &Instance) -> String {
    instance
        .detail
        .as_deref()
        .map_or_else(|| "it gives no reason".to_owned(), |detail| crate::request::escaped(detail, 120))
}
