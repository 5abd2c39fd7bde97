//! What belongs to something that is gone goes too; and what a quota says is used.

use serde_json::json;

use super::super::admission::used;
use super::super::quantity::written;
use super::super::resource::{DEPLOYMENTS, ENDPOINT_SLICES, PODS, QUOTAS, REPLICA_SETS, SERVICES, STATEFUL_SETS};
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{MANAGER, each};

pub(super) fn step(state: &mut State) -> bool {
    let owners = [&DEPLOYMENTS, &REPLICA_SETS, &STATEFUL_SETS, &SERVICES].into_iter();
    let alive: Vec<String> = owners
        .flat_map(|resource| state.store.all(resource).map(|(_, object)| object["metadata"]["uid"].to_string()))
        .collect();
    let mut orphans: Vec<Key> = Vec::new();
    for resource in [&REPLICA_SETS, &PODS, &ENDPOINT_SLICES] {
        orphans.extend(state.store.all(resource).filter_map(|(key, object)| {
            let known = ["Deployment", "ReplicaSet", "StatefulSet", "Service"];
            let mut owners = object["metadata"]["ownerReferences"].as_array()?.iter();
            let gone = owners.any(|owner| {
                known.iter().any(|kind| owner["kind"] == *kind) && !alive.contains(&owner["uid"].to_string())
            });
            (gone && !object["metadata"]["deletionTimestamp"].is_string()).then(|| key.clone())
        }));
    }
    let mut changed = false;
    for key in orphans {
        changed |= state.store.delete(key.type_of(), &key, None).is_ok();
    }
    changed
        | each(state, &QUOTAS, |state, key, quota| {
            let mut status = json!({ "hard": quota["spec"]["hard"], "used": {} });
            for what in quota["spec"]["hard"].as_object().into_iter().flatten().map(|(what, _)| what) {
                status["used"][what] = written(used(&state.store, &key.namespace, what), what).into();
            }
            state.store.edit(&QUOTAS, key, Part::Status, MANAGER, |quota| quota["status"] = status)
        })
}
