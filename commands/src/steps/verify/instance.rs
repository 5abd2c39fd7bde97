//! One instance's own word, and what it is worth beside the sources of truth and the load balancer.

use futures::future::join_all;
use futures::join;

use super::Finding;
use crate::checks::Status;
use crate::context::Context;
use crate::halt::Conclusion;
use crate::patience::within;
use crate::ports::{ChainLink, HaltReading, Instance, NamedCheck, Readiness, Routed};
use crate::reading::Reading;

/// What an instance answered to everything that it was asked.
pub(super) struct Answers {
    healthy: Reading<bool>,
    ready: Reading<Readiness>,
    halt: Reading<HaltReading>,
    keys: Reading<Option<NamedCheck>>,
    /// Its view of the chain at each pinned sequence number.
    pub(super) links: Vec<(u64, Reading<Option<ChainLink>>)>,
}

pub(super) async fn ask(cx: &Context<'_>, instance: &Instance, sequences: &[u64]) -> Answers {
    let world = &*cx.ports.world;
    let probe = &cx.ports.target.probe;
    let limit = cx.policy.time.look;
    let what = format!("instance {}", instance.id);
    let (healthy, ready, halt, keys, links) = join!(
        within(world, limit, &what, probe.healthy(instance)),
        within(world, limit, &what, probe.ready(instance)),
        within(world, limit, &what, probe.halt(instance)),
        within(world, limit, &what, probe.keys(instance)),
        join_all(sequences.iter().map(|sequence| async {
            let link = within(world, limit, &what, probe.link(instance, *sequence)).await;
            (*sequence, link.into())
        })),
    );
    Answers { healthy: healthy.into(), ready: ready.into(), halt: halt.into(), keys: keys.into(), links }
}

/// Everything but the chain, which needs all instances.
pub(super) fn findings(
    instance: &Instance,
    answers: &Answers,
    routed: &Reading<Vec<Routed>>,
    halted: &Conclusion,
) -> Vec<Finding> {
    vec![
        Finding::of("health", false, &required(&answers.healthy), |healthy| {
            if *healthy { (Status::Pass, "up".to_owned()) } else { (Status::Fail, "not healthy".to_owned()) }
        }),
        Finding::of("ready", false, &required(&answers.ready), readiness),
        Finding::of("routed", false, &required(routed), |routed| {
            match routed.iter().find(|one| one.instance == instance.id) {
                Some(one) if one.receives => {
                    let so_far = one.requests.map(|requests| format!(", {requests} requests so far"));
                    (Status::Pass, format!("routed to{}", so_far.unwrap_or_default()))
                }
                Some(_) => (Status::Fail, "the load balancer knows it but sends it nothing".to_owned()),
                None => (Status::Fail, "the load balancer does not know it".to_owned()),
            }
        }),
        Finding::of("keys", true, &answers.keys, |check| keys(check.as_ref())),
        Finding::of("halt", true, &answers.halt, |says| same_halt(says, halted)),
    ]
}

/// What every instance must serve: "not served here" is no excuse.
fn required<T: Clone>(reading: &Reading<T>) -> Reading<T> {
    match reading {
        Reading::Unknown { why, .. } => {
            Reading::Unknown { why: why.clone(), absence: crate::reading::Absence::Unanswered }
        }
        known @ Reading::Known(_) => known.clone(),
    }
}

fn readiness(readiness: &Readiness) -> (Status, String) {
    let failing: Vec<String> = readiness
        .checks
        .iter()
        .filter(|check| !check.healthy)
        .map(|check| match &check.error {
            Some(error) => format!("{} ({})", check.name, crate::request::quoted(error)),
            None => check.name.clone(),
        })
        .collect();
    if !failing.is_empty() {
        return (Status::Fail, format!("not ready: {}", failing.join(", ")));
    }
    if !readiness.ready {
        return (Status::Fail, "says that it is not ready".to_owned());
    }
    let names: Vec<&str> = readiness.checks.iter().map(|check| check.name.as_str()).collect();
    (Status::Pass, if names.is_empty() { "ready".to_owned() } else { format!("ready: {}", names.join(", ")) })
}

fn keys(check: Option<&NamedCheck>) -> (Status, String) {
    match check {
        None => (Status::NotConfigured, "no key probe is configured".to_owned()),
        Some(check) if check.healthy => (Status::Pass, "reaches its keys".to_owned()),
        Some(check) => {
            let why =
                check.error.as_deref().map_or_else(String::new, |error| format!(": {}", crate::request::quoted(error)));
            (Status::Fail, format!("does not reach its keys{why}"))
        }
    }
}

fn same_halt(says: &HaltReading, truth: &Conclusion) -> (Status, String) {
    let own = if says.halted { "halted" } else { "not halted" };
    match truth {
        Conclusion::NotConfigured => (Status::NotConfigured, format!("says {own}; no source of truth is configured")),
        Conclusion::Unknown(why) => (Status::Unknown, format!("says {own}; {why}")),
        Conclusion::NotHalted if says.halted => {
            (Status::Fail, "says halted, the source of truth says not halted".to_owned())
        }
        Conclusion::Halted(_) | Conclusion::Disagree(_) if !says.halted => {
            (Status::Fail, "says not halted, the source of truth says halted".to_owned())
        }
        Conclusion::NotHalted | Conclusion::Halted(_) | Conclusion::Disagree(_) => {
            (Status::Pass, format!("{own}, as the source of truth"))
        }
    }
}
