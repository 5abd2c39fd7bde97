//! Who a Service sends requests to: one `EndpointSlice` for each.

use serde_json::{Value, json};

use super::super::managed::Author;
use super::super::resource::{ENDPOINT_SLICES, PODS, SERVICES};
use super::super::selector::Labels;
use super::super::state::State;
use super::super::store::{Key, Part, random};
use super::{MANAGER, each, is_owned, is_ready, reference};

pub(super) fn step(state: &mut State) -> bool {
    each(state, &SERVICES, sync)
}

fn sync(state: &mut State, key: &Key, service: &Value) -> bool {
    let Some(selector) = Labels::of(&json!({ "matchLabels": service["spec"]["selector"] })) else { return false };
    if service["spec"]["selector"].as_object().is_none_or(serde_json::Map::is_empty) {
        return false;
    }
    let pods = state.store.within(&PODS, &key.namespace);
    let routed: Vec<&Value> = pods
        .iter()
        .filter(|pod| selector.selects(pod) && pod["status"]["podIP"].is_string())
        .filter(|pod| pod["status"]["phase"] != "Succeeded" && pod["status"]["phase"] != "Failed")
        .collect();
    let endpoints: Vec<Value> = routed.iter().map(|pod| endpoint(pod)).collect();
    let ports: Vec<Value> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            json!({
                "name": port["name"].as_str().unwrap_or_default(), "protocol": port["protocol"],
                "port": number(&port["targetPort"], routed.first().copied()),
            })
        })
        .collect();
    let slices = state.store.within(&ENDPOINT_SLICES, &key.namespace);
    if let Some(slice) = slices.iter().find(|slice| is_owned(slice, service)) {
        let slice = Key::of(&ENDPOINT_SLICES, slice);
        return state.store.edit(&ENDPOINT_SLICES, &slice, Part::Main, MANAGER, |slice| {
            slice["endpoints"] = endpoints.into();
            slice["ports"] = ports.into();
        });
    }
    let slice = json!({
        "metadata": {
            "name": format!("{}-{}", key.name, random(5)), "generateName": format!("{}-", key.name),
            "namespace": key.namespace, "ownerReferences": reference(service),
            "labels": {
                "kubernetes.io/service-name": key.name,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    state.store.create(&ENDPOINT_SLICES, slice, Author { manager: MANAGER, subresource: None }).is_ok()
}

/// A port by number, or by the name that the pod's container gives it.
fn number(target: &Value, pod: Option<&Value>) -> Value {
    let Some(name) = target.as_str() else { return target.clone() };
    let containers = pod.map(|pod| &pod["spec"]["containers"]).and_then(Value::as_array).into_iter().flatten();
    let mut ports = containers.flat_map(|container| container["ports"].as_array().into_iter().flatten());
    ports.find(|port| port["name"] == name).map_or(Value::Null, |port| port["containerPort"].clone())
}

fn endpoint(pod: &Value) -> Value {
    let serving = is_ready(pod);
    let terminating = pod["metadata"]["deletionTimestamp"].is_string();
    json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": { "ready": serving && !terminating, "serving": serving, "terminating": terminating },
        "nodeName": pod["spec"]["nodeName"],
        "targetRef": {
            "kind": "Pod", "name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"],
            "uid": pod["metadata"]["uid"],
        },
    })
}
