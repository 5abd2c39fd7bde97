//! How many pods may be taken away at once: the status of each `PodDisruptionBudget`.

use serde_json::{Value, json};

use super::super::resource::{BUDGETS, DEPLOYMENTS, PODS, REPLICA_SETS, STATEFUL_SETS};
use super::super::selector::Labels;
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{MANAGER, controller, count, each, is_active, is_ready, set_condition, share};

pub(super) fn step(state: &mut State) -> bool {
    each(state, &BUDGETS, |state, key, budget| {
        let Some(selector) = Labels::of(&budget["spec"]["selector"]) else { return false };
        let pods = state.store.within(&PODS, &key.namespace);
        let own: Vec<&Value> = pods.iter().filter(|pod| selector.selects(pod) && is_active(pod)).collect();
        let expected = wanted_of(state, key, &own);
        let healthy = own.iter().filter(|pod| is_ready(pod)).count();
        let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
        let least = if budget["spec"]["maxUnavailable"].is_null() {
            share(&budget["spec"]["minAvailable"], expected, true)
        } else {
            (expected - share(&budget["spec"]["maxUnavailable"], expected, true)).max(0)
        };
        let allowed = if expected > 0 { (healthy - least).max(0) } else { 0 };
        let mut status = json!({
            "currentHealthy": healthy, "desiredHealthy": least, "disruptionsAllowed": allowed,
            "expectedPods": expected, "observedGeneration": budget["metadata"]["generation"],
            "conditions": budget["status"]["conditions"],
        });
        let at = state.store.at();
        let reason = if allowed > 0 { "SufficientPods" } else { "InsufficientPods" };
        set_condition(&mut status, &at, "DisruptionAllowed", allowed > 0, reason, "", false);
        if let Some(all) = status["conditions"].as_array_mut() {
            for condition in all {
                condition["observedGeneration"] = budget["metadata"]["generation"].clone();
            }
        }
        state.store.edit(&BUDGETS, key, Part::Status, MANAGER, |budget| budget["status"] = status)
    })
}

/// How many pods whoever controls them wants, all controllers together.
fn wanted_of(state: &State, key: &Key, pods: &[&Value]) -> i64 {
    let mut controllers: Vec<(String, i64)> = Vec::new();
    for pod in pods {
        let Some(mut reference) = controller(pod).cloned() else { continue };
        let mut resource = if reference["kind"] == "StatefulSet" { &STATEFUL_SETS } else { &REPLICA_SETS };
        let named = |resource, reference: &Value| {
            Key::new(resource, &key.namespace, reference["name"].as_str().unwrap_or_default())
        };
        let above = state.store.get(&named(resource, &reference)).and_then(controller).cloned();
        if let Some(above) = above.filter(|above| above["kind"] == "Deployment") {
            (reference, resource) = (above, &DEPLOYMENTS);
        }
        let uid = reference["uid"].to_string();
        if controllers.iter().any(|(known, _)| *known == uid) {
            continue;
        }
        let wanted = state.store.get(&named(resource, &reference)).map_or(0, |one| count(&one["spec"]["replicas"]));
        controllers.push((uid, wanted));
    }
    controllers.iter().map(|(_, wanted)| wanted).sum()
}
