//! The scheduler: a node for each pod, or the sentence that says why there is none.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::quantity::{of, requested};
use super::super::resource::{NODES, PODS};
use super::super::selector::Labels;
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{each, set_condition};

const MANAGER: &str = "kube-scheduler";

pub(super) fn step(state: &mut State) -> bool {
    each(state, &PODS, |state, key, pod| {
        let waits = !pod["spec"]["nodeName"].is_string() && !pod["metadata"]["deletionTimestamp"].is_string();
        waits && place(state, key, pod)
    })
}

fn place(state: &mut State, key: &Key, pod: &Value) -> bool {
    let nodes: Vec<Value> = state.store.all(&NODES).map(|(_, node)| node.clone()).collect();
    let mut why: BTreeMap<String, usize> = BTreeMap::new();
    let mut best: Option<(usize, String)> = None;
    let mut full = 0;
    for node in &nodes {
        let name = node["metadata"]["name"].as_str().unwrap_or_default();
        let there: Vec<&Value> = state
            .store
            .all(&PODS)
            .map(|(_, pod)| pod)
            .filter(|pod| pod["spec"]["nodeName"] == name)
            .filter(|pod| pod["status"]["phase"] != "Succeeded" && pod["status"]["phase"] != "Failed")
            .collect();
        let reasons = unfit(pod, node, &there);
        if reasons.is_empty() {
            if best.as_ref().is_none_or(|(count, _)| there.len() < *count) {
                best = Some((there.len(), name.to_owned()));
            }
            continue;
        }
        full +=
            usize::from(reasons.iter().all(|reason| reason.starts_with("Insufficient") || reason == "Too many pods"));
        for reason in reasons {
            *why.entry(reason).or_default() += 1;
        }
    }
    let at = state.store.at();
    if let Some((_, node)) = best {
        let changed =
            state.store.edit(&PODS, key, Part::Main, MANAGER, |pod| pod["spec"]["nodeName"] = node.as_str().into());
        state.store.edit(&PODS, key, Part::Status, MANAGER, |pod| {
            if let Some(all) = pod["status"]["conditions"].as_array_mut() {
                all.retain(|condition| condition["type"] != "PodScheduled");
            }
            let status = &mut pod["status"];
            if !status["conditions"].is_array() {
                status["conditions"] = json!([]);
            }
            let done =
                json!({ "type": "PodScheduled", "status": "True", "lastTransitionTime": at, "lastProbeTime": null });
            if let Some(all) = status["conditions"].as_array_mut() {
                all.push(done);
            }
        });
        let message = format!("Successfully assigned {}/{} to {node}", key.namespace, key.name);
        state.store.tell("default-scheduler", pod, "Normal", "Scheduled", &message);
        return changed;
    }
    let all = nodes.len();
    let mut reasons: Vec<String> = why.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    reasons.sort();
    let mut message = if all == 0 {
        "no nodes available to schedule pods".to_owned()
    } else {
        format!("0/{all} nodes are available: {}.", reasons.join(", "))
    };
    if all > 0 {
        let mut tail = Vec::new();
        if full > 0 {
            tail.push(format!("{full} No preemption victims found for incoming pod"));
        }
        if all > full {
            tail.push(format!("{} Preemption is not helpful for scheduling", all - full));
        }
        tail.sort();
        message.push_str(&format!(" preemption: 0/{all} nodes are available: {}.", tail.join(", ")));
    }
    let changed = state.store.edit(&PODS, key, Part::Status, MANAGER, |pod| {
        set_condition(&mut pod["status"], &at, "PodScheduled", false, "Unschedulable", &message, false);
    });
    if changed {
        state.store.tell("default-scheduler", pod, "Warning", "FailedScheduling", &message);
    }
    changed
}

/// Why a pod cannot be on a node: the first filter that refuses, as the real one tells it.
fn unfit(pod: &Value, node: &Value, there: &[&Value]) -> Vec<String> {
    let labels = &node["metadata"]["labels"];
    if node["spec"]["unschedulable"] == true {
        return vec!["node(s) were unschedulable".to_owned()];
    }
    for taint in node["spec"]["taints"].as_array().into_iter().flatten() {
        let tolerated = |toleration: &Value| {
            let key = toleration["key"].is_null() || toleration["key"] == taint["key"];
            let exists = toleration["operator"] == "Exists";
            let value = exists || toleration["value"] == taint["value"];
            let effect = toleration["effect"].is_null() || toleration["effect"] == taint["effect"];
            key && value && effect
        };
        let hard = taint["effect"] == "NoSchedule" || taint["effect"] == "NoExecute";
        if hard && !pod["spec"]["tolerations"].as_array().into_iter().flatten().any(tolerated) {
            let text = |field: &str| taint[field].as_str().unwrap_or_default();
            return vec![format!("node(s) had untolerated taint {{{}: {}}}", text("key"), text("value"))];
        }
    }
    let selector = Labels::of(&json!({ "matchLabels": pod["spec"]["nodeSelector"] })).unwrap_or_default();
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = required["nodeSelectorTerms"].as_array();
    let fits =
        terms.is_none_or(|terms| terms.iter().any(|term| Labels::of(term).is_some_and(|term| term.fits(labels))));
    if !selector.fits(labels) || !fits {
        return vec!["node(s) didn't match Pod's node affinity/selector".to_owned()];
    }
    let apart = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    for term in apart.as_array().into_iter().flatten().filter(|term| term["topologyKey"] == "kubernetes.io/hostname") {
        let near = Labels::of(&term["labelSelector"]);
        if near.is_some_and(|near| there.iter().any(|other| near.selects(other))) {
            return vec!["node(s) didn't match pod anti-affinity rules".to_owned()];
        }
    }
    let allocatable = &node["status"]["allocatable"];
    let mut reasons = Vec::new();
    if (there.len() as i128 + 1) * 1_000 > of(&allocatable["pods"]) {
        reasons.push("Too many pods".to_owned());
    }
    for what in ["cpu", "memory"] {
        let used: i128 = there.iter().map(|other| requested(other, "requests", what)).sum();
        let wants = requested(pod, "requests", what);
        if wants > 0 && used + wants > of(&allocatable[what]) {
            reasons.push(format!("Insufficient {what}"));
        }
    }
    reasons
}
