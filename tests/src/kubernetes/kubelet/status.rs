//! A pod's status as a kubelet writes it.

use serde_json::{Value, json};

use super::super::controllers::set_condition;
use super::super::resource::{NODES, PODS};
use super::super::state::State;
use super::super::store::{Key, Part};
use super::MANAGER;

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Container {
    /// Nothing yet, or not now: why, in a word and in a sentence.
    Waiting(&'static str, String),
    Running,
    /// It has ended, and is started again presently.
    Ended(Exit),
}

/// How a container ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: i32,
    pub(crate) reason: String,
    pub(crate) started: String,
    pub(crate) finished: String,
}

impl Exit {
    pub(crate) fn now(state: &State, code: i32, reason: &str) -> Self {
        let at = state.store.at();
        Self { code, reason: reason.to_owned(), started: at.clone(), finished: at }
    }
}

/// What is to be seen of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) container: Container,
    pub(crate) ready: bool,
    pub(crate) restarts: u32,
    /// How the container before ended, where there was one.
    pub(crate) last: Option<Exit>,
    pub(crate) address: String,
}

/// Writes it down; `false` where it stands so already.
pub(crate) fn write(state: &mut State, key: &Key, seen: &Seen) -> bool {
    let at = state.store.at();
    let Some(pod) = state.store.get(key).cloned() else { return false };
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let host =
        state.store.get(&Key::new(&NODES, "", node)).map(|node| node["status"]["addresses"][0]["address"].clone());
    let spec = &pod["spec"]["containers"][0];
    let name = spec["name"].as_str().unwrap_or_default().to_owned();
    let was = &pod["status"]["containerStatuses"][0];
    let running = seen.container == Container::Running;
    let ready = running && seen.ready;
    let terminated = |exit: &Exit| {
        json!({ "terminated": {
            "exitCode": exit.code, "reason": exit.reason, "startedAt": exit.started, "finishedAt": exit.finished,
            "containerID": id(&key.name, seen.restarts.saturating_sub(1)),
        } })
    };
    // It stays as it was written first: how often it is looked at is no news.
    let last = match &seen.last {
        Some(exit)
            if was["lastState"]["terminated"]["exitCode"] == exit.code && was["restartCount"] == seen.restarts =>
        {
            was["lastState"].clone()
        }
        Some(exit) => terminated(exit),
        None => json!({}),
    };
    let doing = match &seen.container {
        Container::Waiting(reason, message) if message.is_empty() => json!({ "waiting": { "reason": reason } }),
        Container::Waiting(reason, message) => json!({ "waiting": { "reason": reason, "message": message } }),
        Container::Ended(exit) => terminated(exit),
        Container::Running => {
            let same = was["restartCount"] == seen.restarts && was["state"]["running"].is_object();
            let since = if same { was["state"]["running"]["startedAt"].clone() } else { at.as_str().into() };
            json!({ "running": { "startedAt": since } })
        }
    };
    let mut container = json!({
        "name": name, "ready": ready, "restartCount": seen.restarts, "started": running, "image": spec["image"],
        "imageID": if running { format!("{}@sha256:{:064x}", spec["image"].as_str().unwrap_or_default(), 72) } else { String::new() },
        "state": doing, "lastState": last,
    });
    if running {
        container["containerID"] = id(&key.name, seen.restarts).into();
    }
    state.store.edit(&PODS, key, Part::Status, MANAGER, |pod| {
        let status = &mut pod["status"];
        status["phase"] =
            if matches!(seen.container, Container::Waiting(..)) && seen.last.is_none() { "Pending" } else { "Running" }
                .into();
        if status["startTime"].is_null() {
            status["startTime"] = at.as_str().into();
        }
        if let Some(host) = &host {
            status["hostIP"] = host.clone();
            status["hostIPs"] = json!([{ "ip": host }]);
        }
        status["podIP"] = seen.address.as_str().into();
        status["podIPs"] = json!([{ "ip": seen.address }]);
        status["containerStatuses"] = json!([container]);
        set_condition(status, &at, "PodReadyToStartContainers", true, "", "", false);
        set_condition(status, &at, "Initialized", true, "", "", false);
        let unready = format!("containers with unready status: [{name}]");
        let (reason, message) = if ready { ("", "") } else { ("ContainersNotReady", unready.as_str()) };
        set_condition(status, &at, "Ready", ready, reason, message, false);
        set_condition(status, &at, "ContainersReady", ready, reason, message, false);
        bare(status);
    })
}

/// A reason that is none is left out.
fn bare(status: &mut Value) {
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        for field in ["reason", "message"] {
            if condition[field] == "" {
                condition[field] = Value::Null;
            }
        }
    }
}

fn id(name: &str, restarts: u32) -> String {
    let sum = name.bytes().fold(u64::from(restarts), |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
    format!("containerd://{sum:064x}")
}
