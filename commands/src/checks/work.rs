//! Scaling down: who works on something that must not be cut off, and who is taken away (runbook, Scaling Down, step 1).

use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::patience::{ask_all, within};
use crate::ports::{Choice, Draining, FleetState, Instance, InstanceState, PortError, Routed, Work};
use crate::reading::Reading;
use crate::request::Direction;
use crate::steps::drain::{too_short, unfit};
use crate::units::{InstanceId, Millis};

const NAME: &str = "long-running work";
const RUNBOOK: &str = "scaling down 1: ensure no instance is handling critical long-running operations";
const DRAIN: (&str, &str) = ("drain", "scaling down 2: drain instance");
const CHOICE: &str = "who is ended";
const BUDGET: (&str, &str) = ("disruption budget", "scaling down 1: verify current load can be handled");

/// An instance that is to be taken away, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Victim {
    /// The instance.
    pub instance: InstanceId,
    /// Why it is this one.
    pub why: String,
}

/// What an instance says that it works on.
pub(crate) type Told = (InstanceId, Reading<Vec<Work>>);

/// Asks every instance what it works on. One without a process works on nothing.
// Boxed, so that whoever awaits it within a port's method need not be proved to be sent between threads for every lifetime.
pub(crate) fn ask<'a>(cx: &'a Context<'_>, known: &'a FleetState) -> BoxFuture<'a, Vec<Told>> {
    let one = move |instance: &'a Instance| async move { (instance.id.clone(), of(cx, instance).await) };
    Box::pin(ask_all(known.instances.iter().map(one)))
}

/// What that instance works on.
pub(crate) async fn of(cx: &Context<'_>, instance: &Instance) -> Reading<Vec<Work>> {
    if instance.state == InstanceState::Failed {
        return Reading::Known(Vec::new());
    }
    let what = format!("instance {}", instance.id);
    within(&*cx.ports.world, cx.policy.time.look, &what, cx.ports.target.probe.work(instance)).await.into()
}

/// Who may be taken away: nobody who works on something that must not be cut off, and nobody of whom it is not known,
/// unless policy has a time to wait for those that do not tell. Who gets no requests anyway comes first, then who is not
/// in service, then the newest. Where the orchestrator has an order of its own, those that come first in it, up to the
/// first who may not be taken away. Where it ends whom it likes, all of them or none: whoever may not be taken away might be
/// the one, and one that is ending already could not be told from it.
pub(crate) fn candidates(cx: &Context<'_>, fleet: &FleetState, told: &[Told], routed: &[Routed]) -> Vec<Victim> {
    let free = |instance: &Instance| {
        let Some((_, work)) = told.iter().find(|(id, _)| *id == instance.id) else { return false };
        match work {
            Reading::Known(work) => work.is_empty(),
            Reading::Unknown { .. } => work.is_not_served() && cx.policy.drain.unmeasured.is_some(),
        }
    };
    let choice = cx.ports.target.fleet.choice(fleet);
    if let Choice::Unnamed { why } = &choice {
        let may_go = |instance: &Instance| instance.state != InstanceState::Terminating && free(instance);
        let all = if fleet.instances.iter().all(may_go) { fleet.instances.as_slice() } else { &[] };
        return all.iter().map(|one| Victim { instance: one.id.clone(), why: why.clone() }).collect();
    }
    if let Choice::InOrder { order, why } = choice {
        let may_go = |id: &InstanceId| {
            let found = fleet.instances.iter().find(|instance| instance.id == *id);
            found.is_some_and(|instance| instance.state != InstanceState::Terminating && free(instance))
        };
        let victim = |instance| Victim { instance, why: why.clone() };
        return order.into_iter().take_while(may_go).map(victim).collect();
    }
    let mut free: Vec<(u8, usize, &Instance)> = fleet
        .instances
        .iter()
        .enumerate()
        .filter(|(_, instance)| instance.state != InstanceState::Terminating && free(instance))
        .map(|(place, instance)| {
            let drained = routed.iter().any(|routed| routed.instance == instance.id && routed.drained);
            let first = match instance.state {
                _ if drained => 0,
                InstanceState::Ready => 2,
                _ => 1,
            };
            (first, place, instance)
        })
        .collect();
    free.sort_by(|(first, place, one), (other_first, other_place, other)| {
        let newest = other.started_at.cmp(&one.started_at).then(other_place.cmp(place));
        first.cmp(other_first).then(newest)
    });
    free.into_iter()
        .map(|(first, _, instance)| {
            let why = match first {
                0 => "gets no requests already",
                1 => "is not in service",
                _ => "newest that works on nothing long-running",
            };
            Victim { instance: instance.id.clone(), why: why.to_owned() }
        })
        .collect()
}

/// Why none may be ended where it may be any of them, in words.
pub(crate) fn not_all_free(fleet: &FleetState, told: &[Told]) -> String {
    let ends = |instance: &&Instance| instance.state == InstanceState::Terminating;
    let ending = fleet.instances.iter().filter(ends).map(|one| format!("{} is still ending", one.id));
    let busy: Vec<String> = ending.chain(who_is_busy(told)).collect();
    format!("it may be any that ends, and not all are free: {}", busy.join("; "))
}

/// Who is not free, in words.
pub(crate) fn who_is_busy(told: &[Told]) -> Vec<String> {
    told.iter()
        .filter_map(|(instance, work)| match work {
            Reading::Known(work) if work.is_empty() => None,
            Reading::Known(work) => {
                let what: Vec<String> = work.iter().map(|work| crate::request::quoted(&work.what)).collect();
                Some(format!("{instance} works on {}", what.join(", ")))
            }
            Reading::Unknown { why, .. } => Some(format!("{instance} does not tell: {why}")),
        })
        .collect()
}

pub(super) fn check(cx: &Context<'_>, fleet: &FleetState, told: &[Told], candidates: &[Victim]) -> Check {
    let wanted = fleet.wanted.0.saturating_sub(cx.request.to.0) as usize;
    let source = format!("{} instances", told.len());
    let busy = who_is_busy(told);
    let untold = told.iter().filter(|(_, work)| work.is_not_served()).count();
    let figure = match busy.as_slice() {
        [] => "no instance works on anything that takes long".to_owned(),
        _ if untold == told.len() => "instances do not tell what they work on".to_owned(),
        busy => busy.join("; "),
    };
    let check = Check::passed(NAME, RUNBOOK, source, figure);
    if candidates.len() >= wanted {
        return match (busy.is_empty(), cx.policy.drain.unmeasured) {
            (true, _) => check,
            (false, Some(wait)) if untold > 0 => check
                .came_to(Status::Warn, Follows::Nothing)
                .advice(format!("Before each is ended, {} are waited, not measured.", Millis::from(wait))),
            (false, _) => {
                check.came_to(Status::Warn, Follows::Nothing).advice("Those are left alone; others are taken away.")
            }
        };
    }
    let known = told.iter().all(|(_, work)| work.known().is_some());
    let status = if known { Status::Fail } else { Status::Unknown };
    let limit = match cx.unnamed() {
        Some(_) => not_all_free(fleet, told),
        None => format!("{wanted} free to be ended, {} are", candidates.len()),
    };
    check.limit(limit).came_to(status, Follows::Refusal).advice(if known {
        "Wait until that work is done, then ask again. It must not be cut off."
    } else {
        "Without proof that nothing is cut off, nothing is ended. See that they tell, then ask again."
    })
}

/// That nobody can say who is ended, where the orchestrator chooses: on the way down it is the plan; on the way up it is what
/// taking it back would mean. `None` where who is ended can be named.
pub(super) fn choice(cx: &Context<'_>, fleet: &FleetState, draining: &Result<Draining, PortError>) -> Option<Check> {
    let why = cx.unnamed()?;
    let source = cx.ports.target.fleet.describe();
    let (from, to) = (fleet.wanted, cx.request.to);
    let short = draining.as_ref().ok().and_then(|draining| unfit(cx, draining));
    Some(match cx.request.direction {
        Direction::Down => {
            let fewer = from.0.saturating_sub(to.0);
            let figure = format!("{why}: which {fewer} of {from} end is not known before, and none is drained first");
            Check::passed(CHOICE, DRAIN.1, source, figure).came_to(Status::Warn, Follows::Nothing).advice(
                "One at a time is ended, while none works on anything long. Each answers its last requests as it ends, and \
                 who it was is recorded.",
            )
        }
        Direction::Up => {
            let figure = format!("{why}: should this be taken back, an old instance may end in place of a new one");
            let check = Check::passed(CHOICE, "rollback 4: scale back to known-good configuration", source, figure);
            match short {
                Some(short) => check
                    .limit(short)
                    .came_to(Status::Warn, Follows::Nothing)
                    .advice("As it is, it would not be taken back: see that each has the time for its last requests."),
                None => check,
            }
        }
    })
}

/// How the last requests of whoever is taken away are seen to; `None` where the balancer takes orders and counts them.
pub(super) fn draining(cx: &Context<'_>, draining: &Result<Draining, PortError>, routed: &[Routed]) -> Option<Check> {
    let source = cx.ports.target.traffic.describe();
    let check = |figure: String| Check::passed(DRAIN.0, DRAIN.1, &source, figure);
    let by_end = match draining {
        Err(error) => {
            let unknown = Check::unknown(DRAIN.0, DRAIN.1, source, error.to_string(), Follows::Refusal);
            return Some(unknown.advice("It cannot be told how requests to an instance are stopped. See that it can."));
        }
        Ok(draining @ Draining::AsItEnds { how, .. }) => Some((draining, how)),
        Ok(draining @ Draining::ByOrder) => {
            if let Some(why) = cx.unnamed().and_then(|_| unfit(cx, draining)) {
                let check = check("requests are stopped by an order for each instance".to_owned());
                return Some(check.limit(why).came_to(Status::Fail, Follows::Refusal).advice(
                    "Let whoever sends requests know of an instance's end by itself, as the service's name does.",
                ));
            }
            None
        }
    };
    let Some((draining, how)) = by_end else {
        if routed.iter().all(|one| one.in_flight.is_some()) {
            return None;
        }
        let check = check("the requests that an instance has under way are not counted".to_owned());
        return Some(match cx.policy.drain.unmeasured {
            None => check
                .came_to(Status::Fail, Follows::Refusal)
                .advice("Set policy.drain.unmeasured: how long is waited instead. Then ask again."),
            Some(wait) => check
                .came_to(Status::Warn, Follows::Nothing)
                .advice(format!("Before each is ended, {} are waited, not measured.", Millis::from(wait))),
        });
    };
    let check = check(format!("an instance gets requests until it ends: {}", crate::request::escaped(how, 200)));
    Some(match too_short(cx, draining) {
        Some(why) => check.limit(why).came_to(Status::Fail, Follows::Refusal).advice(
            "Let instances be taken out before they end, or see that they have the time that policy.drain.unmeasured \
             gives them. Then ask again.",
        ),
        None => check
            .came_to(Status::Warn, Follows::Nothing)
            .advice("Its last requests are answered while it ends: waited, not measured."),
    })
}

/// Whether others were promised that so many instances stay.
pub(super) async fn disruption(cx: &Context<'_>, known: &FleetState) -> Check {
    let fleet = &cx.ports.target.fleet;
    let source = fleet.describe();
    let fewer = known.wanted.0.saturating_sub(cx.request.to.0);
    match within(&*cx.ports.world, cx.policy.time.look, &source, fleet.disruptions_allowed()).await {
        Err(error) => Check::unknown(BUDGET.0, BUDGET.1, source, error.to_string(), Follows::Refusal)
            .advice("It cannot be told whether so many may be missing. See that it can be asked, then ask again."),
        Ok(None) => Check::not_configured(BUDGET.0, BUDGET.1, "no disruption budget is configured"),
        Ok(Some(budget)) => {
            let figure = format!("{} may be taken away now, {fewer} would be", budget.allowed);
            let check = Check::passed(BUDGET.0, BUDGET.1, budget.source, figure);
            // One after the other is taken away, each being gone before the next.
            if budget.allowed.0 >= 1 || fewer == 0 {
                check
            } else {
                check
                    .came_to(Status::Fail, Follows::Refusal)
                    .advice("Wait until every instance is in service, or have the budget changed; then ask again.")
            }
        }
    }
}
