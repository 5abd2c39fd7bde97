//! The place where the fleet runs: the load balancer, room for more, who else changes the count, and the count that is
//! written down.

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::patience::within;
use crate::ports::{Bounds, FleetState, Hold, InstanceState};
use crate::units::Replicas;

const ROUTING: (&str, &str) = ("load balancer", "2: ensure load balancer can route to new instances");
const ROOM: (&str, &str) = ("room", "2: verify container/VM quota allows scaling");
const STEERING: (&str, &str) = ("who else steers", "2: verify container/VM quota allows scaling");
const DECLARED: (&str, &str) = ("declared count", "3: update replica count in deployment configuration");

pub(super) async fn routing(cx: &Context<'_>, known: &FleetState) -> Check {
    let source = cx.ports.target.traffic.describe();
    let routed = match cx.routed().await {
        Ok(routed) => routed,
        Err(error) => {
            return Check::unknown(ROUTING.0, ROUTING.1, source, error.to_string(), Follows::Refusal)
                .advice("New instances might get no requests. See that it is there and can be asked, then ask again.");
        }
    };
    let ready: Vec<_> = known.instances.iter().filter(|instance| instance.state == InstanceState::Ready).collect();
    let receiving = ready
        .iter()
        .filter(|instance| routed.iter().any(|routed| routed.instance == instance.id && routed.receives))
        .count();
    let figure = format!("sends requests to {receiving} of {} ready instances", ready.len());
    let check = Check::passed(ROUTING.0, ROUTING.1, source, figure);
    if receiving == 0 {
        check
            .came_to(Status::Fail, Follows::Refusal)
            .advice("It knows none of this fleet's instances, so new ones would not help. Check what it selects.")
    } else if receiving < ready.len() {
        check
            .came_to(Status::Warn, Follows::Nothing)
            .advice("Some ready instances get no requests. That may be all that is wrong.")
    } else {
        check
    }
}

pub(super) async fn room(cx: &Context<'_>, known: &FleetState) -> Check {
    let fleet = &cx.ports.target.fleet;
    let more = Replicas(cx.request.to.0.saturating_sub(known.wanted.0));
    match within(&*cx.ports.world, cx.policy.time.look, &fleet.describe(), fleet.headroom(more)).await {
        Err(error) => Check::unknown(ROOM.0, ROOM.1, fleet.describe(), error.to_string(), Follows::Refusal)
            .advice("It cannot be told whether more instances find room. See that it can be asked, then ask again."),
        Ok(headroom) => {
            let check = |figure: String| Check::passed(ROOM.0, ROOM.1, &headroom.source, figure);
            if headroom.fits >= more {
                return check(format!("{more} more fit, {more} wanted"));
            }
            let runs_out = headroom.runs_out.as_deref().unwrap_or("the room");
            let advice = match headroom.fits {
                Replicas(0) => "Make room first, then ask again. The infrastructure team can.".to_owned(),
                fits => format!("Ask for {} at most, or make room first.", known.wanted.0.saturating_add(fits.0)),
            };
            check(format!("{} more fit, {more} wanted: {runs_out} is used up", headroom.fits))
                .came_to(Status::Fail, Follows::Refusal)
                .advice(advice)
        }
    }
}

/// Besides the check: who can be held still for the time of the operation. Nobody where somebody else cannot be.
pub(super) async fn steering(cx: &Context<'_>) -> (Check, Vec<Hold>) {
    let fleet = &cx.ports.target.fleet;
    let source = fleet.describe();
    let others = match within(&*cx.ports.world, cx.policy.time.look, &source, fleet.steered_by()).await {
        Ok(others) => others,
        Err(error) => {
            let unknown = Check::unknown(STEERING.0, STEERING.1, source, error.to_string(), Follows::Nothing).advice(
                "If an autoscaler or a deployment tool changes the count as well, it may take this change back.",
            );
            return (unknown, Vec::new());
        }
    };
    if others.is_empty() {
        return (Check::passed(STEERING.0, STEERING.1, source, "nobody else changes the count"), Vec::new());
    }
    let who: Vec<String> = others.iter().map(|other| format!("{} {}", other.by, other.effect)).collect();
    let found = Check::passed(STEERING.0, STEERING.1, source, who.join("; "));
    let to_settle: Vec<&str> =
        others.iter().filter(|other| other.hold.is_none()).map(|other| other.settled_by.as_str()).collect();
    if !to_settle.is_empty() {
        let advice = format!("What settles it: {} (then ask again)", to_settle.join("; "));
        return (found.came_to(Status::Fail, Follows::Refusal).advice(advice), Vec::new());
    }
    let holds: Vec<Hold> = others.into_iter().filter_map(|other| other.hold).collect();
    let words: Vec<String> = holds.iter().map(|hold| held(hold, cx.request.to)).collect();
    (found.came_to(Status::Warn, Follows::Nothing).advice(words.join(" ")), holds)
}

/// What is done about one who can be held still, and what that does not change.
fn held(hold: &Hold, to: Replicas) -> String {
    let said = format!("{} is held still for the operation ({}), and put back afterwards.", hold.who, hold.how);
    match hold.bounds {
        Some(bounds) if !bounds.include(to) => {
            let Bounds { least, most } = bounds;
            format!("{said} Then it keeps {least} to {most} again, and {to} does not last: change its bounds first.")
        }
        _ => format!("{said} Then it may change the count again."),
    }
}

pub(super) async fn declared(cx: &Context<'_>, known: &FleetState) -> Check {
    let fleet = &cx.ports.target.fleet;
    let source = fleet.describe();
    match within(&*cx.ports.world, cx.policy.time.look, &source, fleet.declared()).await {
        Err(error) => Check::unknown(DECLARED.0, DECLARED.1, source, error.to_string(), Follows::Nothing),
        Ok(None) => Check::not_configured(DECLARED.0, DECLARED.1, "no place of the declared count is configured"),
        Ok(Some(declared)) => {
            let figure = format!("{} declared, {} live", declared.count, known.wanted);
            let check = Check::passed(DECLARED.0, DECLARED.1, &declared.place, figure);
            if declared.count == known.wanted {
                check
            } else {
                check.came_to(Status::Warn, Follows::Nothing).advice(format!(
                    "Whoever deploys next puts back {}. Change \"{}\" in {}.",
                    declared.count, declared.line, declared.place
                ))
            }
        }
    }
}
