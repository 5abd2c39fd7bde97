//! The instance count against the limits of the policy.

use std::time::Duration;

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::policy::{CountLimits, FreezeWindow};
use crate::ports::{FleetState, LedgerError};
use crate::reading::Reading;
use crate::request::Direction;
use crate::units::{Millis, Replicas, Timestamp, elapsed};

const NAME: &str = "instance count";
const RUNBOOK: &str = "1: check current instance count";

/// The fleet at this moment.
pub(super) async fn observe(cx: &Context<'_>) -> Reading<FleetState> {
    cx.fleet().await.into()
}

/// When the last operation on this target ended; `None` when there was none.
pub(super) async fn last_change(cx: &Context<'_>) -> Result<Option<Timestamp>, LedgerError> {
    /// Far more than there can be within a cool-down, since one operation at a time runs on a target.
    const LOOKED_AT: u32 = 50;
    #[derive(serde::Deserialize)]
    struct Ended {
        target: crate::units::TargetName,
        outcome: crate::steps::Outcome,
    }
    let finished = cx.ports.ledger.latest(crate::event::Kind::Finished.as_str(), LOOKED_AT).await?;
    Ok(finished.iter().find_map(|event| {
        let ended: Ended = serde_json::from_str(&event.body).ok()?;
        (ended.target == cx.request.target && ended.outcome.may_have_changed_the_fleet()).then(|| event.time())?
    }))
}

pub(super) fn check(
    cx: &Context<'_>,
    known: &FleetState,
    fleet: &Reading<FleetState>,
    last: &Result<Option<Timestamp>, LedgerError>,
) -> Check {
    let source = cx.ports.target.fleet.describe();
    let fleet = match fleet {
        Reading::Known(fleet) => fleet,
        Reading::Unknown { why, .. } => {
            let follows = if fleet.is_gone() { Follows::Failure } else { Follows::Refusal };
            return Check::unknown(NAME, RUNBOOK, source, why, follows)
                .advice("Nothing is done to a fleet that cannot be seen. See that it can be reached, then ask again.");
        }
    };
    let (from, to) = (fleet.wanted, cx.request.to);
    let figure = format!("{from} now, {} ready; asked for {to}", fleet.ready());
    let check = Check::passed(NAME, RUNBOOK, source, figure).limit(limits(&cx.policy.count));
    let refused = |advice: String| check.clone().came_to(Status::Fail, Follows::Refusal).advice(advice);

    if fleet.identity != known.identity || from != known.wanted {
        return refused(format!(
            "The fleet was changed while it was looked at: it had {} before. Ask again.",
            known.wanted
        ));
    }
    if let Some(advice) = wrong_direction(cx.request.direction, from, to) {
        return refused(advice);
    }
    if let Some(advice) = beyond(&cx.policy.count, from, to) {
        return refused(advice);
    }
    let now = cx.ports.world.now();
    let freeze = frozen(&cx.policy.count.freeze, now);
    match last {
        Err(error) => Check { figure: error.to_string(), ..check.came_to(Status::Unknown, Follows::Refusal) }
            .advice("When the last scaling ended cannot be told, so this one has to wait. Ask again."),
        Ok(Some(ended)) if elapsed(*ended, now) < cx.policy.count.cool_down => {
            let left = cx.policy.count.cool_down.saturating_sub(elapsed(*ended, now));
            check.came_to(Status::Fail, Follows::Refusal).advice(format!(
                "The last scaling ended {} ago; {} have to pass. Ask again in {}. Whoever keeps the configuration can lift that limit.",
                Millis::from(whole_seconds(elapsed(*ended, now))),
                Millis::from(cx.policy.count.cool_down),
                Millis::from(whole_seconds(left) + Duration::from_secs(1))
            ))
        }
        Ok(_) if freeze.is_some() => check.came_to(Status::Fail, Follows::Override).advice(freeze.unwrap_or_default()),
        Ok(_) if fleet.ready() < from && cx.request.direction == Direction::Down => check
            .came_to(Status::Warn, Follows::Nothing)
            .advice("Not every instance is ready now. Those that are not are taken away first."),
        Ok(_) if fleet.ready() < from => check
            .came_to(Status::Warn, Follows::Nothing)
            .advice("Not every instance is ready now. New ones do not mend that: look at those as well."),
        Ok(_) => check,
    }
}

fn limits(limits: &CountLimits) -> String {
    let maximum = limits.maximum.map_or_else(|| "no maximum".to_owned(), |maximum| format!("at most {maximum}"));
    format!("at least {}, {maximum}, step at most {} %", limits.minimum, limits.largest_step_percent)
}

fn wrong_direction(direction: Direction, from: Replicas, to: Replicas) -> Option<String> {
    match direction {
        _ if to == from => Some(format!("The fleet has {from} already. Nothing is to be done.")),
        // Who types "up 3" at four may want three more.
        Direction::Up if to < from => Some(format!(
            "{to} is fewer than the {from} there are. For {to} more: /scale up {}. For fewer: /scale down {to}.",
            from.0.saturating_add(to.0)
        )),
        Direction::Down if to > from => {
            Some(format!("{to} is more than the {from} there are. The number is how many stay."))
        }
        _ => None,
    }
}

/// Nobody waits for a fraction of a second.
fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}

fn frozen(windows: &[FreezeWindow], now: Timestamp) -> Option<String> {
    let window = windows.iter().find(|window| window.from <= now && now < window.until)?;
    Some(format!(
        "Nothing may be changed until {} ({}). A governance lead may lift this, with a reason.",
        crate::card::clock(window.until),
        crate::request::escaped(&window.why, 120)
    ))
}

fn beyond(limits: &CountLimits, from: Replicas, to: Replicas) -> Option<String> {
    let who = "Whoever keeps the configuration can lift that limit.";
    if to < limits.minimum {
        return Some(format!("The fleet must not go below {}. {who}", limits.minimum));
    }
    if let Some(maximum) = limits.maximum.filter(|maximum| to > *maximum) {
        return Some(format!("The fleet must not go beyond {maximum}. {who}"));
    }
    let largest = u64::from(from.0) * u64::from(limits.largest_step_percent) / 100;
    if u64::from(from.0.abs_diff(to.0)) > largest {
        let reach = if to > from { u64::from(from.0) + largest } else { u64::from(from.0).saturating_sub(largest) };
        return Some(format!(
            "One step may change the count by at most {} %: ask for {reach} first, then again. {who}",
            limits.largest_step_percent
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    #[test]
    fn within_a_freeze_window_nothing_may_be_changed_and_its_end_is_said() {
        let windows = [FreezeWindow {
            from: at("2026-01-08T00:00:00Z"),
            until: at("2026-01-09T00:00:00Z"),
            why: "end of the quarter".into(),
        }];
        let said = frozen(&windows, at("2026-01-08T12:00:00Z")).unwrap();
        assert!(said.contains("until 2026-01-09 00:00:00 UTC (end of the quarter)"), "{said}");
        assert_eq!(frozen(&windows, at("2026-01-09T00:00:00Z")), None);
        assert_eq!(frozen(&windows, at("2026-01-07T23:59:59Z")), None);
    }

    #[test]
    fn a_count_beyond_the_limits_is_refused_with_how_far_it_may_go() {
        let limits = CountLimits { maximum: Some(Replicas(9)), ..crate::policy::Policy::default().count };
        let beyond = |from, to| beyond(&limits, Replicas(from), Replicas(to));
        assert_eq!(beyond(4, 8), None);
        assert!(beyond(4, 9).unwrap().contains("ask for 8 first"));
        assert!(beyond(8, 10).unwrap().contains("beyond 9"));
        assert!(beyond(1, 0).unwrap().contains("below 1"));
    }
}
