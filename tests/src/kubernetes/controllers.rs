//! The controllers: each looks at what is wanted and at what is, and takes one step. They run on their own, after each
//! change, as long as one of them finds something to do.

mod autoscaler;
mod collector;
mod deployments;
mod disruption;
mod endpoints;
mod ranking;
mod replica_sets;
mod scheduler;
mod stateful_sets;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::kubelet;
use super::resource::Resource;
use super::state::{Shared, State};
use super::store::Key;

/// Under which name the controllers write.
pub(crate) const MANAGER: &str = "kube-controller-manager";

/// How long they do nothing at most: some of what they wait for is time.
const IDLE: Duration = Duration::from_millis(250);

/// One controller: whether it has changed anything.
type Step = fn(&mut State) -> bool;

/// By the names by which a test makes them stand still.
const ALL: [(&str, Step); 10] = [
    ("keda", autoscaler::keda),
    ("autoscaler", autoscaler::step),
    ("deployments", deployments::step),
    ("replica sets", replica_sets::step),
    ("stateful sets", stateful_sets::step),
    ("collector", collector::step),
    ("scheduler", scheduler::step),
    ("kubelet", kubelet::played),
    ("endpoints", endpoints::step),
    ("disruption", disruption::step),
];

/// Runs until the runtime ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut changed = shared.changed.subscribe();
    loop {
        changed.borrow_and_update();
        let mut busy = false;
        for (name, step) in ALL {
            busy |= shared.change_if(|state| !state.held.contains(name) && step(state));
            // Whoever looks in between sees what a real cluster shows in between.
            tokio::task::yield_now().await;
        }
        if !busy {
            let _ = timeout(IDLE, changed.changed()).await;
        }
    }
}

/// Runs a controller for each object of a type.
fn each(
    state: &mut State,
    resource: &'static Resource,
    mut step: impl FnMut(&mut State, &Key, &Value) -> bool,
) -> bool {
    let all: Vec<(Key, Value)> = state.store.all(resource).map(|(key, object)| (key.clone(), object.clone())).collect();
    let mut changed = false;
    for (key, object) in all {
        changed |= step(state, &key, &object);
    }
    changed
}

/// Whether `owner` controls the object.
pub(crate) fn is_owned(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| reference["uid"] == owner["metadata"]["uid"])
}

/// The reference to whoever controls an object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    object["metadata"]["ownerReferences"].as_array()?.iter().find(|reference| reference["controller"] == true)
}

fn reference(owner: &Value) -> Value {
    json!([{
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    }])
}

/// The condition of that type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Whether a pod says that it is ready.
pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready["status"] == "True")
}

/// Whether a pod counts: it has neither ended nor been told to.
pub(crate) fn is_active(pod: &Value) -> bool {
    let phase = &pod["status"]["phase"];
    *phase != "Succeeded" && *phase != "Failed" && !pod["metadata"]["deletionTimestamp"].is_string()
}

/// Whether a pod has been ready for so many seconds.
fn is_available(pod: &Value, seconds: u64, now: jiff::Timestamp) -> bool {
    if !is_ready(pod) {
        return false;
    }
    let since = condition(pod, "Ready").and_then(|ready| ready["lastTransitionTime"].as_str()?.parse().ok());
    let since: jiff::Timestamp = since.unwrap_or(now);
    seconds == 0 || u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0) >= seconds
}

/// Sets a condition; when it turned is kept where it has not.
pub(crate) fn set_condition(
    status: &mut Value,
    at: &str,
    kind: &str,
    is: bool,
    reason: &str,
    message: &str,
    updates: bool,
) {
    let is = if is { "True" } else { "False" };
    let mut new = json!({
        "type": kind, "status": is, "reason": reason, "message": message, "lastTransitionTime": at,
    });
    if updates {
        new["lastUpdateTime"] = at.into();
    }
    if !status["conditions"].is_array() {
        status["conditions"] = json!([]);
    }
    let Some(all) = status["conditions"].as_array_mut() else { return };
    match all.iter_mut().find(|one| one["type"] == kind) {
        Some(old) if old["status"] == is && old["reason"] == reason && old["message"] == message => {}
        Some(old) => {
            if old["status"] == is {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = new;
        }
        None => all.push(new),
    }
}

/// `25%` of so many, or a plain number.
fn share(value: &Value, of: i64, up: bool) -> i64 {
    if let Some(percent) = value.as_str().and_then(|text| text.strip_suffix('%')?.parse::<i64>().ok()) {
        let product = percent * of;
        return if up { (product + 99).div_euclid(100) } else { product.div_euclid(100) };
    }
    value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

fn count(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}
