//! What is shown while an operation is under way: instances becoming ready, and the fleet being watched.

use std::time::Duration;

use super::{Card, Progress, Row, Tone, instances};
use crate::context::Context;
use crate::figures::{Load, percent};
use crate::ports::{FleetState, Instance, InstanceState, Work};
use crate::steps::precheck::Plan;
use crate::units::{InstanceId, Millis};

/// Instances becoming ready.
pub fn waiting(cx: &Context<'_>, plan: &Plan, fleet: &FleetState, spent: Duration, left: Duration) -> Card {
    let ready = fleet.ready();
    let title = format!("Scaling: {ready} of {} ready", instances(plan.to));
    let mut card = Card::new(Tone::Info, title, cx).line(format!(
        "{} so far; {} more to become ready.",
        Millis::from(whole_seconds(spent)),
        Millis::from(whole_seconds(left))
    ));
    card.rows =
        fleet.instances.iter().filter(|instance| !plan.present.contains(&instance.id)).map(instance_row).collect();
    card.progress = Some(Progress { share: (f64::from(ready.0) / f64::from(plan.to.0.max(1))).clamp(0.0, 1.0) });
    card
}

/// Work that must not be cut off, waited for before anything is done.
pub fn waiting_for_work(cx: &Context<'_>, busy: &[String], left: Duration) -> Card {
    let mut card = Card::new(Tone::Info, "Waiting for long-running work to end", cx)
        .line(format!("At most {} more; nothing is changed meanwhile.", Millis::from(whole_seconds(left))));
    card.rows = busy.iter().map(|busy| Row::new(Tone::Warn, "busy", busy)).collect();
    card
}

/// An instance that gets no new requests, and has some left to answer.
pub fn draining(
    cx: &Context<'_>,
    instance: &InstanceId,
    in_flight: Option<u32>,
    work: &[Work],
    spent: Duration,
) -> Card {
    let mut card = Card::new(Tone::Info, format!("Draining {instance}: it gets no new requests"), cx);
    card = card.line(match in_flight {
        Some(count) => {
            let requests = if count == 1 { "request" } else { "requests" };
            format!("{count} {requests} under way, after {}.", Millis::from(whole_seconds(spent)))
        }
        None => format!(
            "{} so far; the balancer does not tell how many requests are under way.",
            Millis::from(whole_seconds(spent))
        ),
    });
    card.rows = work.iter().map(work_row).collect();
    card
}

/// An instance that gets requests until it ends, and works on something that must not be cut off.
pub fn until_free(cx: &Context<'_>, instance: &InstanceId, work: &[Work], spent: Duration) -> Card {
    let title = format!("Before {instance} is ended: waiting until it is free");
    let mut card = Card::new(Tone::Info, title, cx)
        .line(format!("{} so far.", Millis::from(whole_seconds(spent))))
        .line("It gets requests until it is ended; it cannot be taken out before.");
    card.rows = work.iter().map(work_row).collect();
    card
}

fn work_row(work: &Work) -> Row {
    let name = if work.constitutional { "constitutional write" } else { "long-running" };
    Row::new(Tone::Warn, name, crate::request::quoted(&work.what))
}

/// One instance, and where it is in its life.
pub(super) fn instance_row(instance: &Instance) -> Row {
    let (tone, word) = match instance.state {
        InstanceState::Starting => (Tone::Info, "starting"),
        InstanceState::Ready => (Tone::Good, "ready"),
        InstanceState::NotReady => (Tone::Warn, "not ready"),
        InstanceState::Failed => (Tone::Bad, "failed"),
        InstanceState::Terminating => (Tone::Warn, "on its way out"),
    };
    let text = match &instance.detail {
        Some(detail) => format!("{word}: {}", crate::request::escaped(detail, 120)),
        None => word.to_owned(),
    };
    Row::new(tone, instance.id.as_str(), text)
}

/// The fleet being watched after the change. `latest` is the newest sample; `None` while there is none.
pub fn monitoring(
    cx: &Context<'_>,
    latest: Option<&Load>,
    newcomers: &[InstanceId],
    observed: Duration,
    window: Duration,
) -> Card {
    let left = Millis::from(whole_seconds(window.saturating_sub(observed)));
    let mut card = Card::new(Tone::Info, format!("Monitoring: {left} left"), cx);
    match latest.and_then(|load| Some((load, load.percentiles()?))) {
        Some((load, p)) => {
            let (requests, errors) = load.requests_and_errors();
            let limits = &cx.policy.load;
            card = card.line(format!(
                "Latency: p50 {:.0} ms, p95 {:.0} ms, p99 {:.0} ms (limit {:.0} ms).",
                p.p50_ms, p.p95_ms, p.p99_ms, limits.p99_ms
            ));
            card = card.line(format!(
                "Errors: {} (limit {}), {errors} of {requests} requests.",
                percent(load.error_share().unwrap_or_default()),
                percent(limits.error_share)
            ));
            card = card.line(distribution(load, newcomers));
        }
        None => card = card.line("No figures yet."),
    }
    card.progress = Some(Progress { share: (observed.as_secs_f64() / window.as_secs_f64().max(1e-9)).clamp(0.0, 1.0) });
    card
}

fn distribution(load: &Load, newcomers: &[InstanceId]) -> String {
    let (all, _) = load.requests_and_errors();
    let shares: Vec<String> = load
        .instances
        .iter()
        .map(|instance| {
            let share = 100.0 * instance.requests as f64 / (all.max(1)) as f64;
            let new = if newcomers.contains(&instance.instance) { " (new)" } else { "" };
            format!("{}{new} {share:.0} %", instance.instance)
        })
        .collect();
    format!("Requests: {}.", shares.join(", "))
}

/// Times on a card change once a second, not with every look.
fn whole_seconds(length: Duration) -> Duration {
    Duration::from_secs(length.as_secs())
}
