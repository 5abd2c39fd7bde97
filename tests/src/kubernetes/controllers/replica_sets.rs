//! A `ReplicaSet`'s pods: as many as are wanted.

use serde_json::{Value, json};

use super::super::admission;
use super::super::managed::Author;
use super::super::resource::{PODS, REPLICA_SETS};
use super::super::selector::Labels;
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{
    MANAGER, controller, count, each, is_active, is_available, is_owned, is_ready, ranking, reference, set_condition,
};

pub(super) fn step(state: &mut State) -> bool {
    each(state, &REPLICA_SETS, sync)
}

fn sync(state: &mut State, key: &Key, set: &Value) -> bool {
    let Some(selector) = Labels::of(&set["spec"]["selector"]) else { return false };
    let mut changed = false;
    for pod in state.store.within(&PODS, &key.namespace) {
        let pod_key = Key::of(&PODS, &pod);
        if is_owned(&pod, set) && !selector.selects(&pod) {
            // One whose labels no longer fit is let go; it lives on, and another takes its place.
            changed |= state.store.edit(&PODS, &pod_key, Part::Main, MANAGER, |pod| {
                pod["metadata"]["ownerReferences"] = Value::Null;
            });
        } else if controller(&pod).is_none() && selector.selects(&pod) && is_active(&pod) {
            changed |= state.store.edit(&PODS, &pod_key, Part::Main, MANAGER, |pod| {
                pod["metadata"]["ownerReferences"] = reference(set);
            });
        }
    }
    let pods = state.store.within(&PODS, &key.namespace);
    let mut own: Vec<Value> = pods.into_iter().filter(|pod| is_owned(pod, set) && is_active(pod)).collect();
    let wanted = count(&set["spec"]["replicas"]);
    let difference = wanted - i64::try_from(own.len()).unwrap_or(i64::MAX);
    let mut failure = None;
    if difference > 0 {
        for _ in 0..difference {
            match create_pod(state, set) {
                Ok(()) => changed = true,
                Err(message) => {
                    failure = Some(("FailedCreate", message));
                    break;
                }
            }
        }
    } else if difference < 0 {
        ranking::sort(state, set, &mut own);
        for pod in own.iter().take(difference.unsigned_abs() as usize) {
            let pod_key = Key::of(&PODS, pod);
            changed |= state.store.delete(&PODS, &pod_key, None).is_ok();
            let message = format!("Deleted pod: {}", pod_key.name);
            state.store.tell("replicaset-controller", set, "Normal", "SuccessfulDelete", &message);
        }
    }
    changed | tell(state, key, failure)
}

/// Makes one more pod from the set's template.
fn create_pod(state: &mut State, set: &Value) -> Result<(), String> {
    let (namespace, name) = (&set["metadata"]["namespace"], set["metadata"]["name"].as_str().unwrap_or_default());
    let template = &set["spec"]["template"];
    let prefix = format!("{name}-");
    let mut pod = json!({
        "metadata": {
            // As the server would make it: what is refused is refused under the name that it would have had.
            "name": format!("{prefix}{}", super::super::store::random(5)), "generateName": prefix,
            "namespace": namespace, "labels": template["metadata"]["labels"],
            "annotations": template["metadata"]["annotations"], "ownerReferences": reference(set),
        },
        "spec": template["spec"],
    });
    admission::limit_ranges(&state.store, &mut pod);
    let author = Author { manager: MANAGER, subresource: None };
    let made = admission::quotas(&state.store, &pod).and_then(|()| state.store.create(&PODS, pod, author));
    match made {
        Ok(pod) => {
            let message = format!("Created pod: {}", pod["metadata"]["name"].as_str().unwrap_or_default());
            state.store.tell("replicaset-controller", set, "Normal", "SuccessfulCreate", &message);
            Ok(())
        }
        Err(failure) => {
            let message = format!("Error creating: {}", failure.message);
            // The name in it is another each time; one event stands for them all.
            let told = super::condition(set, "ReplicaFailure").is_some();
            if !told {
                state.store.tell("replicaset-controller", set, "Warning", "FailedCreate", &message);
            }
            Err(failure.message)
        }
    }
}

fn tell(state: &mut State, key: &Key, failure: Option<(&str, String)>) -> bool {
    let Some(set) = state.store.get(key).cloned() else { return false };
    let (at, now) = (state.store.at(), state.store.now());
    let seconds = set["spec"]["minReadySeconds"].as_u64().unwrap_or(0);
    let pods = state.store.within(&PODS, &key.namespace);
    let own: Vec<Value> = pods.into_iter().filter(|pod| is_owned(pod, &set) && is_active(pod)).collect();
    let labels =
        Labels::of(&json!({ "matchLabels": set["spec"]["template"]["metadata"]["labels"] })).unwrap_or_default();
    let mut status = json!({
        "replicas": own.len(), "observedGeneration": set["metadata"]["generation"],
        "conditions": set["status"]["conditions"],
    });
    let mut some = |field: &str, number: usize| {
        if number > 0 {
            status[field] = number.into();
        }
    };
    some("fullyLabeledReplicas", own.iter().filter(|pod| labels.selects(pod)).count());
    some("readyReplicas", own.iter().filter(|pod| is_ready(pod)).count());
    some("availableReplicas", own.iter().filter(|pod| is_available(pod, seconds, now)).count());
    match failure {
        Some((reason, message)) if super::condition(&set, "ReplicaFailure").is_none() => {
            set_condition(&mut status, &at, "ReplicaFailure", true, reason, &message, false);
        }
        Some(_) => {}
        None => {
            if let Some(all) = status["conditions"].as_array_mut() {
                all.retain(|condition| condition["type"] != "ReplicaFailure");
                if all.is_empty() {
                    status["conditions"] = Value::Null;
                }
            }
        }
    }
    state.store.edit(&REPLICA_SETS, key, Part::Status, MANAGER, |set| set["status"] = status)
}
