//! A `StatefulSet`'s pods: numbered, made from the first on and ended from the last on, one at a time unless it says
//! otherwise.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::super::admission;
use super::super::managed::Author;
use super::super::resource::{PODS, STATEFUL_SETS};
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{MANAGER, count, each, is_active, is_available, is_owned, is_ready, reference};

const REVISION: &str = "controller-revision-hash";

pub(super) fn step(state: &mut State) -> bool {
    each(state, &STATEFUL_SETS, sync)
}

fn sync(state: &mut State, key: &Key, set: &Value) -> bool {
    let update = revision(key, set);
    let mut changed = false;
    let pods = state.store.within(&PODS, &key.namespace);
    let mut own: Vec<(i64, Value)> =
        pods.into_iter().filter(|pod| is_owned(pod, set)).filter_map(|pod| Some((ordinal(&pod, key)?, pod))).collect();
    own.sort_by_key(|(ordinal, _)| *ordinal);
    let wanted = count(&set["spec"]["replicas"]);
    let in_parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let healthy = |pod: &Value| is_active(pod) && is_ready(pod);
    for (_, pod) in own.iter().filter(|(_, pod)| pod["status"]["phase"] == "Failed") {
        state.store.remove(&Key::of(&PODS, pod));
        changed = true;
    }
    let mut blocked = changed;
    for ordinal in 0..wanted {
        match own.iter().find(|(is, _)| *is == ordinal) {
            None if !blocked => {
                changed |= create_pod(state, key, set, ordinal, &update);
                blocked |= !in_parallel;
            }
            Some((_, pod)) if !healthy(pod) => blocked |= !in_parallel,
            _ => {}
        }
    }
    // Only when all before it are well is the last one told to go, and the next once it has gone.
    for (_, pod) in own.iter().rev().filter(|(ordinal, _)| *ordinal >= wanted) {
        if blocked {
            break;
        }
        if is_active(pod) {
            let pod_key = Key::of(&PODS, pod);
            changed |= state.store.delete(&PODS, &pod_key, None).is_ok();
            let message = format!("delete Pod {} in StatefulSet {} successful", pod_key.name, key.name);
            state.store.tell("statefulset-controller", set, "Normal", "SuccessfulDelete", &message);
        }
        blocked |= !in_parallel;
    }
    let is_old = |pod: &Value| pod["metadata"]["labels"][REVISION] != update.as_str();
    if !blocked && set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        let partition = count(&set["spec"]["updateStrategy"]["rollingUpdate"]["partition"]);
        for (ordinal, pod) in own.iter().rev().filter(|(ordinal, _)| *ordinal >= partition) {
            if !is_active(pod) || (!is_old(pod) && !is_ready(pod)) {
                break;
            }
            if is_old(pod) && *ordinal < wanted {
                changed |= state.store.delete(&PODS, &Key::of(&PODS, pod), None).is_ok();
                break;
            }
        }
    }
    changed | tell(state, key, &update)
}

fn revision(key: &Key, set: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    set["spec"]["template"].to_string().hash(&mut hasher);
    format!("{}-{:010x}", key.name, hasher.finish() >> 24)
}

fn ordinal(pod: &Value, key: &Key) -> Option<i64> {
    pod["metadata"]["name"].as_str()?.strip_prefix(&key.name)?.strip_prefix('-')?.parse().ok()
}

fn create_pod(state: &mut State, key: &Key, set: &Value, ordinal: i64, update: &str) -> bool {
    let template = &set["spec"]["template"];
    let name = format!("{}-{ordinal}", key.name);
    let mut pod = json!({
        "metadata": {
            "name": name, "generateName": format!("{}-", key.name), "namespace": key.namespace,
            "labels": template["metadata"]["labels"], "annotations": template["metadata"]["annotations"],
            "ownerReferences": reference(set),
        },
        "spec": template["spec"],
    });
    let labels = &mut pod["metadata"]["labels"];
    labels[REVISION] = update.into();
    labels["statefulset.kubernetes.io/pod-name"] = name.as_str().into();
    labels["apps.kubernetes.io/pod-index"] = ordinal.to_string().into();
    pod["spec"]["hostname"] = name.as_str().into();
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    admission::limit_ranges(&state.store, &mut pod);
    let author = Author { manager: MANAGER, subresource: None };
    let made = admission::quotas(&state.store, &pod).and_then(|()| state.store.create(&PODS, pod, author));
    match made {
        Ok(_) => {
            let message = format!("create Pod {name} in StatefulSet {} successful", key.name);
            state.store.tell("statefulset-controller", set, "Normal", "SuccessfulCreate", &message);
            true
        }
        Err(failure) => {
            let message = format!("create Pod {name} in StatefulSet {} failed error: {}", key.name, failure.message);
            state.store.tell("statefulset-controller", set, "Warning", "FailedCreate", &message);
            false
        }
    }
}

fn tell(state: &mut State, key: &Key, update: &str) -> bool {
    let Some(set) = state.store.get(key).cloned() else { return false };
    let now = state.store.now();
    let seconds = set["spec"]["minReadySeconds"].as_u64().unwrap_or(0);
    let pods = state.store.within(&PODS, &key.namespace);
    let own: Vec<Value> = pods.into_iter().filter(|pod| is_owned(pod, &set)).collect();
    let updated = own.iter().filter(|pod| is_active(pod) && pod["metadata"]["labels"][REVISION] == update).count();
    let wanted = count(&set["spec"]["replicas"]);
    let had = set["status"]["currentRevision"].as_str().unwrap_or(update);
    let current = if i64::try_from(updated) == Ok(wanted) { update } else { had };
    let of_current = own.iter().filter(|pod| is_active(pod) && pod["metadata"]["labels"][REVISION] == current).count();
    let mut status = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": own.len(), "collisionCount": 0,
        "currentRevision": current, "updateRevision": update,
        "availableReplicas": own.iter().filter(|pod| is_available(pod, seconds, now)).count(),
    });
    let mut some = |field: &str, number: usize| {
        if number > 0 {
            status[field] = number.into();
        }
    };
    some("readyReplicas", own.iter().filter(|pod| is_ready(pod)).count());
    some("currentReplicas", of_current);
    some("updatedReplicas", updated);
    state.store.edit(&STATEFUL_SETS, key, Part::Status, MANAGER, |set| set["status"] = status)
}
