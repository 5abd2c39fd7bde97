//! Scaling down: what each of those that stay will have to carry, predicted from measured load. Over a limit it refuses;
//! a governance lead may lift that, with a reason.

use super::{Check, Follows, Status};
use crate::context::Context;
use crate::figures::{InstanceLoad, Load, percent};
use crate::ports::{FleetState, InstanceState, PortError};
use crate::reading::Reading;
use crate::units::{InstanceId, Millis};

const RUNBOOK: &str = "scaling down 1: verify current load can be handled by fewer instances";
const NAMES: [&str; 5] = ["latency", "errors", "CPU", "memory", "busy share"];

/// Who may lift it.
const LIFTED: &str = "A governance lead may lift this, with a reason.";

pub(super) async fn checks(cx: &Context<'_>, known: &FleetState) -> Vec<Check> {
    let source = cx.ports.target.metrics.describe();
    let load: Reading<Load> = cx.load(super::sustained_since(cx, known)).await.into();
    match load {
        Reading::Unknown { why, .. } => unknown(&source, &why),
        Reading::Known(load) => held_against(cx, known, load, &source),
    }
}

/// The same checks on a load that was measured already.
pub(crate) fn on(cx: &Context<'_>, known: &FleetState, load: Result<Load, PortError>) -> Vec<Check> {
    let source = cx.ports.target.metrics.describe();
    match load {
        Err(error) => unknown(&source, &error.to_string()),
        Ok(load) => held_against(cx, known, load, &source),
    }
}

fn held_against(cx: &Context<'_>, known: &FleetState, mut load: Load, source: &str) -> Vec<Check> {
    // Only who is in service carries load: who has failed or is gone has no share of it, and none that could be missing.
    let carries = |id: &InstanceId| {
        known.instances.iter().any(|instance| instance.id == *id && instance.state == InstanceState::Ready)
    };
    load.missing.retain(&carries);
    load.instances.retain(|one| carries(&one.instance));
    let ready = known.ready().0;
    let checks = of(cx, ready, ready.min(cx.request.to.0), &load, source);
    let too_short = load.window.duration() < cx.policy.load.baseline;
    let held = |check: Check| {
        let check = check.over(load.window);
        if too_short && check.status == Status::Pass {
            let least = Millis::from(cx.policy.load.baseline);
            return check.came_to(Status::Unknown, Follows::Override).advice(format!(
                "Measured over {}, which is less than {least}. Ask again in a moment. {LIFTED}",
                load.window
            ));
        }
        check
    };
    checks.into_iter().map(held).collect()
}

fn unknown(source: &str, why: &str) -> Vec<Check> {
    let check = |name: &&str| {
        Check::unknown(name, RUNBOOK, source, why, Follows::Override)
            .advice(format!("Without figures nothing tells whether fewer can carry the load. {LIFTED}"))
    };
    NAMES.iter().map(check).collect()
}

/// One prediction: "32 % now, 48 % for each of 4".
struct Predicted {
    figure: String,
    over: bool,
}

/// What is shared out anew among fewer. What one instance has whatever it does, memory, is not.
fn of(cx: &Context<'_>, from: u32, to: u32, load: &Load, source: &str) -> Vec<Check> {
    let limits = &cx.policy.load;
    let more = f64::from(from) / f64::from(to.max(1));
    let unmeasured = || Predicted { figure: "no figure is to be had".to_owned(), over: true };
    let check = |name: &str, predicted: Option<Predicted>, limit: String| {
        let known = predicted.is_some();
        let Predicted { figure, over } = predicted.unwrap_or_else(unmeasured);
        let check = Check::passed(name, RUNBOOK, source, figure).limit(limit);
        match (known, over) {
            (true, false) if load.missing.is_empty() => check,
            (true, false) => {
                let names: Vec<String> = load.missing.iter().map(ToString::to_string).collect();
                check
                    .came_to(Status::Unknown, Follows::Override)
                    .advice(format!("Without {}, which could not be read. {LIFTED}", names.join(", ")))
            }
            (true, true) => check
                .came_to(Status::Fail, Follows::Override)
                .advice(format!("Fewer instances would be too few for this load. {LIFTED}")),
            (false, _) => check
                .came_to(Status::Unknown, Follows::Override)
                .advice(format!("Without this figure nothing tells whether fewer can carry the load. {LIFTED}")),
        }
    };
    let share = |value: fn(&InstanceLoad) -> Option<f64>, limit: f64| {
        let all: Option<Vec<f64>> = load.instances.iter().map(value).collect();
        let all = all.filter(|all| !all.is_empty())?;
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let worst = all.iter().copied().fold(0.0, f64::max);
        let figure = format!(
            "mean {} now, {} for each of {to}; worst {} → {}",
            percent(mean),
            percent(mean * more),
            percent(worst),
            percent(worst * more)
        );
        Some(Predicted { figure, over: mean * more > limit || worst * more > limit })
    };
    let latency = load.percentiles().map(|p| Predicted {
        // It can only rise; by how much is watched afterwards.
        figure: format!("p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms now", p.p50_ms, p.p95_ms, p.p99_ms),
        over: p.p99_ms > limits.p99_ms,
    });
    let (requests, failed) = load.requests_and_errors();
    let errors = load.error_share().map(|share| Predicted {
        figure: format!("{}, {failed} of {requests} requests now", percent(share)),
        over: share > limits.error_share,
    });
    let memory = limits.memory_limit_bytes.and_then(|limit| {
        let all: Option<Vec<f64>> =
            load.instances.iter().map(|one| one.memory_bytes.map(|bytes| bytes as f64 / limit as f64)).collect();
        let worst = all.filter(|all| !all.is_empty())?.into_iter().fold(0.0, f64::max);
        Some(Predicted { figure: format!("worst {} now", percent(worst)), over: worst > limits.memory })
    });
    let mut checks = vec![
        check("latency", latency, format!("p99 {:.0} ms", limits.p99_ms)),
        check("errors", errors, percent(limits.error_share)),
        check("CPU", share(|one| one.cpu, limits.cpu), format!("{}, each and mean", percent(limits.cpu))),
        check("memory", memory, format!("{}, each", percent(limits.memory))),
    ];
    let rate = load.requests_per_second().map(|rate| {
        let each = |count: u32| rate / f64::from(count.max(1));
        format!("; {:.1} requests/s each now, {:.1} then", each(from), each(to))
    });
    // Not every fleet has worker slots; CPU speaks for the others.
    checks.push(match share(|one| one.saturation, limits.busy) {
        Some(busy) => {
            let figure = format!("{}{}", busy.figure, rate.unwrap_or_default());
            check("busy share", Some(Predicted { figure, ..busy }), format!("{}, each and mean", percent(limits.busy)))
        }
        None => Check::not_configured("busy share", RUNBOOK, "instances do not tell how busy they are"),
    });
    checks
}
