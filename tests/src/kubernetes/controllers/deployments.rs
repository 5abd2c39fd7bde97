//! A Deployment's `ReplicaSets`: one for its present template, scaled; the earlier ones, scaled down as the new one's pods
//! become available.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use serde_json::{Value, json};

use super::super::managed::Author;
use super::super::resource::{DEPLOYMENTS, REPLICA_SETS};
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{MANAGER, condition, count, each, is_owned, reference, set_condition, share};

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

pub(super) fn step(state: &mut State) -> bool {
    each(state, &DEPLOYMENTS, sync)
}

fn sync(state: &mut State, key: &Key, deployment: &Value) -> bool {
    let sets = state.store.within(&REPLICA_SETS, &key.namespace);
    let mut own: Vec<Value> = sets.into_iter().filter(|set| is_owned(set, deployment)).collect();
    own.sort_by_key(revision);
    let template = template_of(&deployment["spec"]["template"]);
    let current = own.iter().position(|set| template_of(&set["spec"]["template"]) == template);
    let paused = deployment["spec"]["paused"] == true;
    let mut changed = false;
    match current {
        None if !paused => return create_set(state, key, deployment, &own),
        _ => {}
    }
    let new = current.map(|at| own.remove(at));
    let newest = own.iter().map(revision).max().unwrap_or(0);
    if let Some(new) = new.as_ref().filter(|new| revision(new) <= newest) {
        // A template that was in use before is in use again.
        let set = Key::of(&REPLICA_SETS, new);
        let next = (newest + 1).to_string();
        changed |= state.store.edit(&REPLICA_SETS, &set, Part::Main, MANAGER, |set| {
            set["metadata"]["annotations"][REVISION] = next.clone().into();
        });
    }
    let wanted = count(&deployment["spec"]["replicas"]);
    let strategy = &deployment["spec"]["strategy"];
    let (mut surge, mut missing) = (
        share(&strategy["rollingUpdate"]["maxSurge"], wanted, true),
        share(&strategy["rollingUpdate"]["maxUnavailable"], wanted, false),
    );
    if strategy["type"] == "Recreate" {
        (surge, missing) = (0, wanted);
    } else if surge == 0 && missing == 0 {
        missing = 1;
    }
    let active: Vec<&Value> = own.iter().filter(|set| count(&set["spec"]["replicas"]) > 0).collect();
    match &new {
        // While paused, or with one set alone, the count is the set's count.
        Some(new) if active.is_empty() => changed |= scale(state, deployment, new, wanted),
        None if active.len() == 1 => changed |= scale(state, deployment, active[0], wanted),
        Some(new) if !paused => changed |= roll(state, deployment, new, &own, wanted, surge, missing),
        _ => changed |= in_proportion(state, deployment, new.as_ref(), &own, wanted + surge),
    }
    changed | tell(state, key, new.as_ref(), &own, missing)
}

/// What of the template makes a set another set.
fn template_of(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(HASH);
    }
    template
}

fn revision(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn create_set(state: &mut State, key: &Key, deployment: &Value, earlier: &[Value]) -> bool {
    const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut hasher = DefaultHasher::new();
    template_of(&deployment["spec"]["template"]).to_string().hash(&mut hasher);
    let mut left = hasher.finish();
    let hash: String = std::iter::from_fn(|| {
        let character = SAFE[(left % SAFE.len() as u64) as usize];
        left /= SAFE.len() as u64;
        Some(char::from(character))
    })
    .take(10)
    .collect();
    let next = earlier.iter().map(revision).max().unwrap_or(0) + 1;
    let wanted = count(&deployment["spec"]["replicas"]);
    let strategy = &deployment["spec"]["strategy"];
    let most = wanted + share(&strategy["rollingUpdate"]["maxSurge"], wanted, true);
    let there: i64 = earlier.iter().map(|set| count(&set["spec"]["replicas"])).sum();
    let replicas = match strategy["type"].as_str() {
        Some("Recreate") if there > 0 => 0,
        _ => wanted.min((most - there).max(0)),
    };
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = hash.as_str().into();
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = hash.as_str().into();
    let name = format!("{}-{hash}", key.name);
    let set = json!({
        "metadata": {
            "name": name, "namespace": key.namespace, "labels": template["metadata"]["labels"],
            "annotations": {
                REVISION: next.to_string(), "deployment.kubernetes.io/desired-replicas": wanted.to_string(),
                "deployment.kubernetes.io/max-replicas": most.to_string(),
            },
            "ownerReferences": reference(deployment),
        },
        "spec": {
            "replicas": replicas, "selector": selector, "template": template,
            "minReadySeconds": deployment["spec"]["minReadySeconds"],
        },
        "status": { "replicas": 0 },
    });
    let author = Author { manager: MANAGER, subresource: None };
    if state.store.create(&REPLICA_SETS, set, author).is_err() {
        return false;
    }
    let message = format!("Scaled up replica set {name} from 0 to {replicas}");
    state.store.tell("deployment-controller", deployment, "Normal", "ScalingReplicaSet", &message);
    true
}

/// Sets the count of one `ReplicaSet`.
fn scale(state: &mut State, deployment: &Value, set: &Value, to: i64) -> bool {
    let from = count(&set["spec"]["replicas"]);
    let to = to.max(0);
    if from == to {
        return false;
    }
    let key = Key::of(&REPLICA_SETS, set);
    let wanted = count(&deployment["spec"]["replicas"]);
    let changed = state.store.edit(&REPLICA_SETS, &key, Part::Main, MANAGER, |set| {
        set["spec"]["replicas"] = to.into();
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"] = wanted.to_string().into();
    });
    let direction = if to > from { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {} from {from} to {to}", key.name);
    state.store.tell("deployment-controller", deployment, "Normal", "ScalingReplicaSet", &message);
    changed
}

/// One step of a rolling update.
fn roll(
    state: &mut State,
    deployment: &Value,
    new: &Value,
    old: &[Value],
    wanted: i64,
    surge: i64,
    missing: i64,
) -> bool {
    let spec = |set: &Value| count(&set["spec"]["replicas"]);
    let total: i64 = spec(new) + old.iter().map(spec).sum::<i64>();
    if spec(new) > wanted {
        return scale(state, deployment, new, wanted);
    }
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    if recreate {
        let mut changed = false;
        for set in old {
            changed |= scale(state, deployment, set, 0);
        }
        let left: i64 = old.iter().map(|set| count(&set["status"]["replicas"])).sum();
        return changed || (left == 0 && scale(state, deployment, new, wanted));
    }
    if spec(new) < wanted && total < wanted + surge {
        let to = spec(new) + (wanted + surge - total).min(wanted - spec(new));
        return scale(state, deployment, new, to);
    }
    let available = |set: &Value| count(&set["status"]["availableReplicas"]);
    let unavailable_new = spec(new) - available(new);
    let mut may_go = total - (wanted - missing) - unavailable_new;
    // First those that serve nobody.
    for set in old {
        let idle = (spec(set) - available(set)).min(may_go);
        if idle > 0 {
            scale(state, deployment, set, spec(set) - idle);
            return true;
        }
    }
    let serving: i64 = available(new) + old.iter().map(available).sum::<i64>();
    may_go = may_go.min(serving - (wanted - missing));
    for set in old.iter().filter(|set| spec(set) > 0) {
        if may_go > 0 {
            return scale(state, deployment, set, spec(set) - may_go.min(spec(set)));
        }
    }
    false
}

/// While nothing is rolled out, several sets share a change of the count: the largest bears it.
fn in_proportion(state: &mut State, deployment: &Value, new: Option<&Value>, old: &[Value], most: i64) -> bool {
    let spec = |set: &Value| count(&set["spec"]["replicas"]);
    let all: Vec<&Value> = new.into_iter().chain(old).collect();
    let total: i64 = all.iter().map(|set| spec(set)).sum();
    let had = all.iter().filter(|set| spec(set) > 0).find_map(|set| {
        set["metadata"]["annotations"]["deployment.kubernetes.io/desired-replicas"].as_str()?.parse::<i64>().ok()
    });
    let wanted = count(&deployment["spec"]["replicas"]);
    if had == Some(wanted) || total == 0 {
        return false;
    }
    let largest = all.iter().copied().max_by_key(|set| spec(set));
    let change = if had.is_some_and(|had| wanted > had) { (most - total).max(0) } else { wanted.min(most) - total };
    largest.is_some_and(|set| scale(state, deployment, set, spec(set) + change))
}

/// What is said of a deployment.
fn tell(state: &mut State, key: &Key, new: Option<&Value>, old: &[Value], missing: i64) -> bool {
    let Some(deployment) = state.store.get(key).cloned() else { return false };
    let at = state.store.at();
    let now = state.store.now();
    let all: Vec<Value> =
        new.into_iter().chain(old).filter_map(|set| state.store.get(&Key::of(&REPLICA_SETS, set)).cloned()).collect();
    let sum = |field: &str| all.iter().map(|set| count(&set["status"][field])).sum::<i64>();
    let updated = new.and_then(|set| state.store.get(&Key::of(&REPLICA_SETS, set)).cloned()).unwrap_or_default();
    let wanted = count(&deployment["spec"]["replicas"]);
    let (replicas, available) = (sum("replicas"), sum("availableReplicas"));
    let mut status = json!({
        "observedGeneration": deployment["metadata"]["generation"],
        "conditions": deployment["status"]["conditions"],
    });
    // What is none is left out, as the real one leaves it out.
    let mut set = |field: &str, number: i64| {
        if number != 0 {
            status[field] = number.into();
        }
    };
    set("replicas", replicas);
    set("updatedReplicas", count(&updated["status"]["replicas"]));
    set("readyReplicas", sum("readyReplicas"));
    set("availableReplicas", available);
    set(
        "unavailableReplicas",
        (wanted.max(all.iter().map(|set| count(&set["spec"]["replicas"])).sum()) - available).max(0),
    );
    if available >= wanted - missing {
        let message = "Deployment has minimum availability.";
        set_condition(&mut status, &at, "Available", true, "MinimumReplicasAvailable", message, true);
    } else {
        let message = "Deployment does not have minimum availability.";
        set_condition(&mut status, &at, "Available", false, "MinimumReplicasUnavailable", message, true);
    }
    let name = updated["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let new_ready = count(&updated["status"]["replicas"]) == wanted && replicas == wanted && available == wanted;
    let progressing = condition(&deployment, "Progressing").cloned().unwrap_or_default();
    if deployment["spec"]["paused"] == true {
        if progressing["reason"] != "DeploymentPaused" {
            let message = "Deployment is paused";
            set_condition(&mut status, &at, "Progressing", true, "DeploymentPaused", message, true);
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                if condition["type"] == "Progressing" {
                    condition["status"] = "Unknown".into();
                }
            }
        }
    } else if new_ready {
        let message = format!("ReplicaSet \"{name}\" has successfully progressed.");
        set_condition(&mut status, &at, "Progressing", true, "NewReplicaSetAvailable", &message, true);
    } else {
        let complete = progressing["reason"] == "NewReplicaSetAvailable"
            && condition(&deployment, "Progressing").is_some_and(|one| {
                one["message"].as_str().is_some_and(|message| message.contains(&format!("\"{name}\"")))
            });
        let moved = ["updatedReplicas", "readyReplicas", "availableReplicas"]
            .iter()
            .any(|field| count(&status[*field]) > count(&deployment["status"][*field]));
        let since = progressing["lastUpdateTime"].as_str().and_then(|text| text.parse().ok()).unwrap_or(now);
        let limit = count(&deployment["spec"]["progressDeadlineSeconds"]);
        let late = !moved && now.duration_since(since).as_secs() > limit && limit > 0;
        if progressing["reason"] == "ProgressDeadlineExceeded" && !moved {
            // It stays so until something moves.
        } else if complete && !moved {
            // A change of the count alone is no rollout: what was complete is called so.
        } else if late {
            let message = format!("ReplicaSet \"{name}\" has timed out progressing.");
            set_condition(&mut status, &at, "Progressing", false, "ProgressDeadlineExceeded", &message, true);
        } else if moved || progressing.is_null() || !progressing["message"].as_str().unwrap_or_default().contains(&name)
        {
            let message = format!("ReplicaSet \"{name}\" is progressing.");
            set_condition(&mut status, &at, "Progressing", true, "ReplicaSetUpdated", &message, true);
            if let Some(condition) =
                status["conditions"].as_array_mut().into_iter().flatten().find(|one| one["type"] == "Progressing")
            {
                condition["lastUpdateTime"] = at.as_str().into();
            }
        }
    }
    let failure = all.iter().find_map(|set| condition(set, "ReplicaFailure"));
    match failure {
        Some(failure) => {
            let text = |field: &str| failure[field].as_str().unwrap_or_default().to_owned();
            set_condition(&mut status, &at, "ReplicaFailure", true, &text("reason"), &text("message"), true);
        }
        None => {
            if let Some(all) = status["conditions"].as_array_mut() {
                all.retain(|condition| condition["type"] != "ReplicaFailure");
            }
        }
    }
    let revision = updated["metadata"]["annotations"][REVISION].clone();
    state.store.edit(&DEPLOYMENTS, key, Part::Status, MANAGER, |deployment| {
        deployment["status"] = status;
        if revision.is_string() {
            deployment["metadata"]["annotations"][REVISION] = revision;
        }
    })
}
