//! The fleet's load: latency, errors, CPU, memory. Over a limit it is a reason to scale up, never one not to.

use super::{Check, Follows, Status, sustained_since};
use crate::context::Context;
use crate::figures::{InstanceLoad, Load, percent};
use crate::ports::FleetState;
use crate::reading::Reading;

const LATENCY: (&str, &str) = ("latency", "1: check request latency percentiles (p50, p95, p99)");
const ERRORS: (&str, &str) = ("errors", "1: review error rates");
const CPU: (&str, &str) = ("CPU", "1: review CPU/memory metrics across all instances");
const MEMORY: (&str, &str) = ("memory", "1: review CPU/memory metrics across all instances");

pub(super) async fn checks(cx: &Context<'_>, known: &FleetState) -> Vec<Check> {
    let metrics = &cx.ports.target.metrics;
    let since = sustained_since(cx, known);
    let load: Reading<Load> = cx.load(since).await.into();
    let source = metrics.describe();
    match load {
        Reading::Unknown { why, .. } => [LATENCY, ERRORS, CPU, MEMORY]
            .map(|(name, runbook)| {
                Check::unknown(name, runbook, &source, &why, Follows::Nothing)
                    .advice("It can go on without, but whether it helps may not be known afterwards.")
            })
            .into(),
        Reading::Known(load) => of(cx, &load, &source).map(|check| check.over(load.window)).into(),
    }
}

pub(super) fn of(cx: &Context<'_>, load: &Load, source: &str) -> [Check; 4] {
    let limits = &cx.policy.load;
    let judged = |name: (&str, &str), figure: Option<(String, bool)>, limit: String| {
        let check = match figure {
            None => Check::unknown(name.0, name.1, source, "no figure is to be had", Follows::Nothing),
            Some((figure, over)) => {
                let check = Check::passed(name.0, name.1, source, figure);
                if over { check.came_to(Status::Fail, Follows::Trigger) } else { check }
            }
        };
        let check = check.limit(limit);
        match load.missing.as_slice() {
            [] => check,
            missing => {
                let status = if check.status == Status::Pass { Status::Warn } else { check.status };
                let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
                Check { status, ..check }.advice(format!("Without {}, which could not be read.", names.join(", ")))
            }
        }
    };
    let latency = load.percentiles().map(|p| {
        let figure = format!("p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms", p.p50_ms, p.p95_ms, p.p99_ms);
        (figure, p.p99_ms > limits.p99_ms)
    });
    let (requests, failed) = load.requests_and_errors();
    let errors = load
        .error_share()
        .map(|share| (format!("{}, {failed} of {requests} requests", percent(share)), share > limits.error_share));
    let cpu =
        shares(load, |instance| instance.cpu).map(|(mean, worst)| (mean_and_worst(mean, worst), worst > limits.cpu));
    let memory = limits.memory_limit_bytes.and_then(|limit| {
        shares(load, |instance| instance.memory_bytes.map(|bytes| bytes as f64 / limit as f64))
            .map(|(mean, worst)| (mean_and_worst(mean, worst), worst > limits.memory))
    });
    [
        judged(LATENCY, latency, format!("p99 {:.0} ms", limits.p99_ms)),
        judged(ERRORS, errors, percent(limits.error_share)),
        judged(CPU, cpu, format!("{:.0} %, each and mean", limits.cpu * 100.0)),
        judged(MEMORY, memory, format!("{:.0} %, each and mean", limits.memory * 100.0)),
    ]
}

/// Mean and worst over all instances; `None` when any of them does not tell.
fn shares(load: &Load, share: impl Fn(&InstanceLoad) -> Option<f64>) -> Option<(f64, f64)> {
    let all: Option<Vec<f64>> = load.instances.iter().map(share).collect();
    let all = all.filter(|all| !all.is_empty())?;
    let worst = all.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((all.iter().sum::<f64>() / all.len() as f64, worst))
}

fn mean_and_worst(mean: f64, worst: f64) -> String {
    format!("mean {:.0} %, worst {:.0} %", mean * 100.0, worst * 100.0)
}
