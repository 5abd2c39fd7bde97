//! Who steers by themselves: a `HorizontalPodAutoscaler` keeps the count within its bounds and at what it finds needed; a
//! KEDA `ScaledObject` makes one, unless it is paused.

use serde_json::{Value, json};

use super::super::managed::Author;
use super::super::resource::{AUTOSCALERS, DEPLOYMENTS, Resource, SCALED_OBJECTS, STATEFUL_SETS};
use super::super::state::State;
use super::super::store::{Key, Part};
use super::{MANAGER, count, each, is_owned, reference, set_condition};

const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_AT: &str = "autoscaling.keda.sh/paused-replicas";

fn scaled(reference: &Value) -> Option<&'static Resource> {
    match reference["kind"].as_str().unwrap_or("Deployment") {
        "Deployment" => Some(&DEPLOYMENTS),
        "StatefulSet" => Some(&STATEFUL_SETS),
        _ => None,
    }
}

pub(super) fn step(state: &mut State) -> bool {
    each(state, &AUTOSCALERS, |state, key, autoscaler| {
        let reference = &autoscaler["spec"]["scaleTargetRef"];
        let Some(resource) = scaled(reference) else { return false };
        let target = Key::new(resource, &key.namespace, reference["name"].as_str().unwrap_or_default());
        let at = state.store.at();
        let Some(workload) = state.store.get(&target).cloned() else { return false };
        let is = count(&workload["spec"]["replicas"]);
        let (least, most) = (count(&autoscaler["spec"]["minReplicas"]), count(&autoscaler["spec"]["maxReplicas"]));
        // None at all is how a person switches it off.
        let needed =
            state.needed.get(&format!("{}/{}", key.namespace, key.name)).map_or(is, |needed| i64::from(*needed));
        let disabled = |direction: &str| autoscaler["spec"]["behavior"][direction]["selectPolicy"] == "Disabled";
        let up_to = if disabled("scaleUp") { needed.min(is) } else { needed };
        let allowed = if disabled("scaleDown") { up_to.max(is) } else { up_to };
        // Its bounds count even where its policies are disabled.
        let wanted = if is == 0 { 0 } else { allowed.clamp(least, most) };
        let mut changed = false;
        if wanted != is {
            let mut new = workload.clone();
            new["spec"]["replicas"] = wanted.into();
            let author = Author { manager: MANAGER, subresource: Some("scale") };
            changed |= state.store.update(resource, &target, new, Part::Main, author).is_ok();
            let why = if needed == wanted {
                "cpu resource utilization (percentage of request) above target"
            } else if is > most {
                "Current number of replicas above Spec.MaxReplicas"
            } else {
                "Current number of replicas below Spec.MinReplicas"
            };
            let message = format!("New size: {wanted}; reason: {why}");
            state.store.tell("horizontal-pod-autoscaler", autoscaler, "Normal", "SuccessfulRescale", &message);
        }
        let mut status = json!({
            "currentReplicas": count(&workload["status"]["replicas"]), "desiredReplicas": wanted, "currentMetrics": null,
            "conditions": autoscaler["status"]["conditions"], "lastScaleTime": autoscaler["status"]["lastScaleTime"],
        });
        if changed {
            status["lastScaleTime"] = at.as_str().into();
        }
        let able = "the HPA controller was able to get the target's current scale";
        set_condition(&mut status, &at, "AbleToScale", true, "SucceededGetScale", able, false);
        let active = "the HPA was able to successfully calculate a replica count";
        set_condition(&mut status, &at, "ScalingActive", wanted > 0, "ValidMetricFound", active, false);
        let (reason, message) = if needed < least {
            ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
        } else if needed > most {
            ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
        } else {
            ("DesiredWithinRange", "the desired count is within the acceptable range")
        };
        set_condition(&mut status, &at, "ScalingLimited", wanted != needed, reason, message, false);
        changed | state.store.edit(&AUTOSCALERS, key, Part::Status, MANAGER, |one| one["status"] = status)
    })
}

pub(super) fn keda(state: &mut State) -> bool {
    each(state, &SCALED_OBJECTS, |state, key, object| {
        let annotations = &object["metadata"]["annotations"];
        let at = annotations[PAUSED_AT].as_str().and_then(|text| text.parse::<i64>().ok());
        let paused = at.is_some() || annotations[PAUSED] == "true";
        let own = state.store.within(&AUTOSCALERS, &key.namespace).into_iter().find(|one| is_owned(one, object));
        let mut reference_to = object["spec"]["scaleTargetRef"].clone();
        super::super::types::or(&mut reference_to, "kind", "Deployment");
        super::super::types::or(&mut reference_to, "apiVersion", "apps/v1");
        let mut changed = false;
        match own {
            Some(own) if paused => changed |= state.store.remove(&Key::of(&AUTOSCALERS, &own)).is_some(),
            Some(own) => {
                changed |=
                    state.store.edit(&AUTOSCALERS, &Key::of(&AUTOSCALERS, &own), Part::Main, "keda-operator", |one| {
                        one["spec"]["minReplicas"] = count(&object["spec"]["minReplicaCount"]).max(1).into();
                        one["spec"]["maxReplicas"] = object["spec"]["maxReplicaCount"].as_i64().unwrap_or(100).into();
                    });
            }
            None if paused => {}
            None => {
                let autoscaler = json!({
                    "metadata": {
                        "name": format!("keda-hpa-{}", key.name), "namespace": key.namespace,
                        "labels": { "app.kubernetes.io/managed-by": "keda-operator", "scaledobject.keda.sh/name": key.name },
                        "ownerReferences": reference(object),
                    },
                    "spec": {
                        "scaleTargetRef": reference_to,
                        "minReplicas": count(&object["spec"]["minReplicaCount"]).max(1),
                        "maxReplicas": object["spec"]["maxReplicaCount"].as_i64().unwrap_or(100),
                    },
                });
                let author = Author { manager: "keda-operator", subresource: None };
                changed |= state.store.create(&AUTOSCALERS, autoscaler, author).is_ok();
            }
        }
        if let (Some(wanted), Some(resource)) = (at, scaled(&reference_to)) {
            let target = Key::new(resource, &key.namespace, reference_to["name"].as_str().unwrap_or_default());
            if let Some(mut workload) = state.store.get(&target).cloned() {
                workload["spec"]["replicas"] = wanted.into();
                let was = workload["metadata"]["resourceVersion"].clone();
                let author = Author { manager: "keda-operator", subresource: Some("scale") };
                let done = state.store.update(resource, &target, workload, Part::Main, author);
                changed |= done.is_ok_and(|done| done["metadata"]["resourceVersion"] != was);
            }
        }
        let moment = state.store.at();
        changed
            | state.store.edit(&SCALED_OBJECTS, key, Part::Status, "keda-operator", |one| {
                let status = &mut one["status"];
                let reason = if paused { "ScaledObjectPaused" } else { "ScaledObjectUnpaused" };
                if status.is_null() {
                    *status = json!({});
                }
                set_condition(status, &moment, "Paused", paused, reason, "", false);
                status["pausedReplicaCount"] = at.map_or(Value::Null, Value::from);
            })
    })
}
