//! Whom a controller chooses when the count is lowered. The order is the `ReplicaSet` controller's own: first pods on no
//! node, then pending ones, then those that are not ready, then the lowest deletion cost. What it looks at after that
//! (crowded nodes, age, restarts) decides nothing here, since the named pods have the lowest cost there is.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use scalebot_commands::ports::{OrderAnswer, RemoveOrder};
use scalebot_commands::units::{InstanceId, Replicas};

use super::pods;
use super::workload::{MANAGER, Observed, controller};

/// The annotation that holds a pod's deletion cost.
pub(super) const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

/// The cost of a named pod: the lowest that is allowed.
pub(super) const OURS: i32 = i32::MIN;

/// Whether exactly the named pods of a Deployment go when the count is lowered and they have our cost.
///
/// # Errors
/// The answer, where others would go, or fewer.
pub(super) fn would_be(pods: &[Pod], named: &[&Pod], to: Replicas) -> Result<(), OrderAnswer> {
    let refused = |detail: String| Err(OrderAnswer::Refused { detail });
    let counted: Vec<&Pod> = pods.iter().filter(|pod| pods::is_counted(pod)).collect();
    let sets: BTreeSet<&str> = counted.iter().filter_map(|pod| controller(&pod.metadata)).collect();
    if sets.len() > 1 {
        // Each ReplicaSet is given a share of the change, and chooses among its own.
        return refused(format!(
            "a rollout is under way: pods of {} versions run. Wait until it is over, or undo it",
            sets.len()
        ));
    }
    if counted.len().saturating_sub(to.0 as usize) != named.len() {
        return refused(format!(
            "{} pods are there: at a count of {to}, {} of them would end, and {} are named",
            counted.len(),
            counted.len().saturating_sub(to.0 as usize),
            named.len(),
        ));
    }
    let is_named = |pod: &Pod| named.iter().any(|one| pods::name(one) == pods::name(pod));
    // The one of the named that is chosen last.
    let Some(last) = named.iter().map(|pod| rank(pod, OURS)).max() else { return Ok(()) };
    let first = counted.iter().filter(|pod| !is_named(pod)).find(|pod| rank(pod, cost(pod)) <= last);
    match first {
        None => Ok(()),
        Some(pod) => {
            let names: Vec<&str> = named.iter().map(|pod| pods::name(pod)).collect();
            refused(format!("{} would end before {}: {}", pods::name(pod), names.join(", "), why(pod)))
        }
    }
}

/// Whether the named pods of a `StatefulSet` are those with the highest numbers, and are there.
///
/// # Errors
/// The answer, where they are not.
pub(super) fn highest(of: &Observed, pods: &[Pod], order: &RemoveOrder) -> Result<(), OrderAnswer> {
    let numbers = order.to.0..order.from.0;
    let go: Vec<String> = numbers.map(|number| format!("{}-{}", of.name(), of.first_ordinal() + number)).collect();
    let named: BTreeSet<&str> = order.instances.iter().map(InstanceId::as_str).collect();
    if go.iter().map(String::as_str).collect::<BTreeSet<_>>() != named {
        let named = named.into_iter().collect::<Vec<_>>().join(", ");
        return Err(OrderAnswer::Refused {
            detail: format!("a StatefulSet ends the highest numbers first: {} would end, not {named}", go.join(", ")),
        });
    }
    for name in go {
        match pods.iter().find(|pod| pods::name(pod) == name) {
            None => return Err(OrderAnswer::Conflict { detail: format!("there is no {name} any more") }),
            Some(pod) if pods::is_ending(pod) => {
                return Err(OrderAnswer::Conflict { detail: format!("{name} is on its way out already") });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// How early a pod is chosen: the lowest first.
fn rank(pod: &Pod, cost: i32) -> (bool, u8, bool, i32) {
    let phase = match pods::phase(pod) {
        "Pending" => 0,
        "Unknown" => 1,
        _ => 2,
    };
    (is_on_a_node(pod), phase, pods::is_ready(pod), cost)
}

fn is_on_a_node(pod: &Pod) -> bool {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.is_some_and(|node| !node.is_empty())
}

fn why(pod: &Pod) -> String {
    if !is_on_a_node(pod) {
        return "it is on no node yet".to_owned();
    }
    match pods::phase(pod) {
        "Pending" => "it has not started yet".to_owned(),
        "Unknown" => "its node does not answer".to_owned(),
        _ if !pods::is_ready(pod) => "it is not ready".to_owned(),
        _ => format!("its annotation {COST} is as low as can be"),
    }
}

/// A pod's deletion cost. One that is no number counts as none, as it does for the controller.
fn cost(pod: &Pod) -> i32 {
    cost_as_written(pod).and_then(|cost| cost.parse().ok()).unwrap_or(0)
}

/// The same as it stands there.
pub(super) fn cost_as_written(pod: &Pod) -> Option<&str> {
    pod.metadata.annotations.as_ref()?.get(COST).map(String::as_str)
}

/// Whether its cost is one that an order of ours left.
pub(super) fn is_marked(pod: &Pod) -> bool {
    let key = format!("f:{COST}");
    let ours = pod.metadata.managed_fields.iter().flatten().any(|entry| {
        let holds = |fields: &serde_json::Value| {
            let annotations = fields.get("f:metadata").and_then(|metadata| metadata.get("f:annotations"));
            annotations.is_some_and(|annotations| annotations.get(&*key).is_some())
        };
        entry.manager.as_deref().is_some_and(|manager| manager.starts_with(MANAGER))
            && entry.fields_v1.as_ref().is_some_and(|fields| holds(&fields.0))
    });
    ours && cost(pod) == OURS
}

/// What is known of it once its mark is gone.
pub(super) fn unmark(pod: &mut Pod) {
    if let Some(annotations) = &mut pod.metadata.annotations {
        annotations.remove(COST);
    }
}

#[cfg(test)]
mod tests;
