//! Pods that are wanted and do not come about. A quota, or whatever else may object to a pod, does not refuse the change of
//! the count: the pod is never made, and only its `ReplicaSet` says why. There is no pod to hang that on, so each place that
//! stays empty is shown as an instance of its own: whoever waits learns the reason, and the way back counts right.

use std::cmp::Reverse;

use k8s_openapi::api::apps::v1::{ReplicaSet, ReplicaSetCondition};
use k8s_openapi::api::core::v1::Pod;
use scalebot_commands::ports::{Instance, InstanceState};
use scalebot_commands::request::escaped;
use scalebot_commands::units::{InstanceId, Timestamp};

use super::pods;
use super::settings::Settings;
use super::workload::{Observed, Owners};

/// How much of the refusal is repeated, in characters.
const QUOTED: usize = 160;

/// What the name of a place has, and that of a pod has not: there, no more than five letters and digits follow.
const MISSING: &str = "-missing-";

/// Whether that is the name of a place that stays empty.
pub(super) fn is_a_place(instance: &InstanceId) -> bool {
    instance.as_str().contains(MISSING)
}

/// Every instance, oldest first: its pods, and after them the places that stay empty for a reason. A pod that has ended is
/// one of them only as long as nothing took its place: its controller does not count it either.
pub(super) fn instances(
    of: &Observed,
    owners: &Owners,
    pods: &[Pod],
    settings: &Settings,
    now: Timestamp,
) -> Vec<Instance> {
    let (mut ended, mut there): (Vec<&Pod>, Vec<&Pod>) =
        pods.iter().partition(|pod| pods::has_ended(pod) && !pods::is_ending(pod));
    let counted = there.iter().filter(|pod| pods::is_counted(pod)).count();
    let empty = (of.wanted().0 as usize).saturating_sub(counted);
    ended.sort_by_key(|pod| Reverse(age_order(pod)));
    ended.truncate(empty);
    let empty = empty - ended.len();
    there.append(&mut ended);
    there.sort_by_key(|pod| age_order(pod));
    let mut instances: Vec<Instance> = there.into_iter().map(|pod| pods::instance(pod, settings, now)).collect();
    let freed_soon = pods.iter().any(pods::is_ending);
    instances.extend(places(of, owners, empty, freed_soon, now));
    instances
}

fn age_order(pod: &Pod) -> (Option<Timestamp>, Option<String>) {
    (pod.metadata.creation_timestamp.as_ref().map(|time| time.0), pod.metadata.name.clone())
}

/// The places that stay empty, where it is said why. Numbered from the top, so that the name of one stays what it is while
/// others are filled.
fn places(of: &Observed, owners: &Owners, empty: usize, freed_soon: bool, now: Timestamp) -> Vec<Instance> {
    if empty == 0 {
        return Vec::new();
    }
    let Some((set, message, since)) = objection(of, owners) else { return Vec::new() };
    let (state, words) = in_words(&message, freed_soon);
    let wanted = of.wanted().0;
    let first = wanted.saturating_sub(u32::try_from(empty).unwrap_or(u32::MAX)) + 1;
    (first..=wanted)
        .map(|number| Instance {
            id: InstanceId::new(format!("{set}{MISSING}{number}-of-{wanted}")),
            address: None,
            started_at: since.unwrap_or(now),
            state,
            detail: Some(words.clone()),
            restarts: 0,
        })
        .collect()
}

/// Which `ReplicaSet` cannot make its pods, why, and since when.
fn objection(of: &Observed, owners: &Owners) -> Option<(String, String, Option<Timestamp>)> {
    let mut sets: Vec<&ReplicaSet> = owners.replica_sets.iter().collect();
    sets.sort_by_key(|set| Reverse(set.metadata.creation_timestamp.as_ref().map(|time| time.0)));
    let its_own = sets.iter().find_map(|set| {
        let failure = failure(set)?;
        let since = failure.last_transition_time.as_ref().map(|time| time.0);
        Some((set.metadata.name.clone()?, failure.message.clone().unwrap_or_default(), since))
    });
    its_own.or_else(|| {
        // What its controller repeats speaks of an earlier count until it has seen this one.
        let repeated = of.holds("ReplicaFailure").filter(|_| of.is_seen_by_its_controller())?;
        Some((sets.first()?.metadata.name.clone()?, repeated.message.clone(), repeated.since))
    })
}

fn failure(set: &ReplicaSet) -> Option<&ReplicaSetCondition> {
    let status = set.status.as_ref()?;
    let current = status.observed_generation >= set.metadata.generation;
    let conditions = status.conditions.as_deref().unwrap_or_default();
    conditions.iter().find(|one| current && one.type_ == "ReplicaFailure" && one.status == "True")
}

/// What an objection means. A quota that is used up, and a rule that a pod breaks, stay so; a webhook that cannot be reached
/// may be reached at the controller's next try.
fn in_words(message: &str, freed_soon: bool) -> (InstanceState, String) {
    let message = pods::one_line(message);
    // `pods "api-7c9f-" is forbidden: exceeded quota: …`
    let why = message.split_once(" is forbidden: ").map_or(&*message, |(_, why)| why);
    let shown = escaped(why, QUOTED);
    let for_good = |ours: &str| (InstanceState::Failed, format!("not created, {ours}: {shown}"));
    if why.contains("exceeded quota") {
        // Pods on their way out count until they are gone.
        if freed_soon {
            return (InstanceState::Starting, format!("not created yet, the quota is used up: {shown}"));
        }
        return for_good("the quota is used up");
    }
    let refused = ["is forbidden", "denied the request", "is invalid"].iter().any(|words| message.contains(words));
    if refused {
        return for_good("the cluster refuses it");
    }
    (InstanceState::Starting, format!("not created yet: {shown}"))
}

#[cfg(test)]
mod tests;
