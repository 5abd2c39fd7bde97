//! The objects as the typed API has them: read, with what the server fills in, and written again.

use k8s_openapi::api::{
    apps::v1::{Deployment, ReplicaSet, StatefulSet},
    authentication::v1::SelfSubjectReview,
    authorization::v1::SelfSubjectAccessReview,
    autoscaling::v1::Scale,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{Event, LimitRange, Namespace, Node, Pod, ResourceQuota, Service},
    discovery::v1::EndpointSlice,
    policy::v1::PodDisruptionBudget,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Reads an object by its type and writes it again: what the type does not know is lost.
///
/// # Errors
/// When it is not such an object.
pub fn reread(kind: &str, object: &Value) -> Result<Value, String> {
    match kind {
        "Deployment" => round::<Deployment>(object),
        "ReplicaSet" => round::<ReplicaSet>(object),
        "StatefulSet" => round::<StatefulSet>(object),
        "SelfSubjectReview" => round::<SelfSubjectReview>(object),
        "SelfSubjectAccessReview" => round::<SelfSubjectAccessReview>(object),
        "HorizontalPodAutoscaler" => round::<HorizontalPodAutoscaler>(object),
        "Event" => round::<Event>(object),
        "LimitRange" => round::<LimitRange>(object),
        "Namespace" => round::<Namespace>(object),
        "Node" => round::<Node>(object),
        "Pod" => round::<Pod>(object),
        "ResourceQuota" => round::<ResourceQuota>(object),
        "Service" => round::<Service>(object),
        "EndpointSlice" => round::<EndpointSlice>(object),
        "PodDisruptionBudget" => round::<PodDisruptionBudget>(object),
        "Scale" => round::<Scale>(object),
        // Of a custom type there is no more to know than what was written.
        "ScaledObject" => Ok(object.clone()),
        other => Err(format!("no kind \"{other}\" is registered")),
    }
}

fn round<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, String> {
    let typed: T = serde_json::from_value(object.clone()).map_err(|error| error.to_string())?;
    serde_json::to_value(typed).map_err(|error| error.to_string())
}

/// Fills in what the server fills in when nobody says otherwise.
pub(crate) fn fill_in(kind: &str, object: &mut Value) {
    match kind {
        "Deployment" => {
            let spec = &mut object["spec"];
            or(spec, "replicas", 1);
            or(spec, "revisionHistoryLimit", 10);
            or(spec, "progressDeadlineSeconds", 600);
            or(spec, "strategy", json!({}));
            or(&mut spec["strategy"], "type", "RollingUpdate");
            if spec["strategy"]["type"] == "RollingUpdate" {
                or(&mut spec["strategy"], "rollingUpdate", json!({}));
                or(&mut spec["strategy"]["rollingUpdate"], "maxSurge", "25%");
                or(&mut spec["strategy"]["rollingUpdate"], "maxUnavailable", "25%");
            }
            fill_in_pod(&mut spec["template"]["spec"]);
        }
        "ReplicaSet" => {
            or(&mut object["spec"], "replicas", 1);
            fill_in_pod(&mut object["spec"]["template"]["spec"]);
        }
        "StatefulSet" => {
            let spec = &mut object["spec"];
            or(spec, "replicas", 1);
            or(spec, "podManagementPolicy", "OrderedReady");
            or(spec, "revisionHistoryLimit", 10);
            or(spec, "updateStrategy", json!({ "type": "RollingUpdate", "rollingUpdate": { "partition": 0 } }));
            or(
                spec,
                "persistentVolumeClaimRetentionPolicy",
                json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }),
            );
            fill_in_pod(&mut spec["template"]["spec"]);
        }
        "Pod" => {
            let spec = &mut object["spec"];
            fill_in_pod(spec);
            or(spec, "enableServiceLinks", true);
            or(spec, "serviceAccountName", "default");
            let seconds = |key: &str| json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 });
            let usual = json!([seconds("node.kubernetes.io/not-ready"), seconds("node.kubernetes.io/unreachable")]);
            or(spec, "tolerations", usual);
            or(spec, "priority", 0);
            or(spec, "preemptionPolicy", "PreemptLowerPriority");
            or(object, "status", json!({}));
            or(&mut object["status"], "phase", "Pending");
            let class = quality(&object["spec"]);
            or(&mut object["status"], "qosClass", class);
        }
        "Service" => {
            let spec = &mut object["spec"];
            or(spec, "type", "ClusterIP");
            or(spec, "clusterIP", "10.96.0.17");
            or(spec, "clusterIPs", json!(["10.96.0.17"]));
            or(spec, "sessionAffinity", "None");
            or(spec, "internalTrafficPolicy", "Cluster");
            or(spec, "ipFamilies", json!(["IPv4"]));
            or(spec, "ipFamilyPolicy", "SingleStack");
            for port in spec["ports"].as_array_mut().into_iter().flatten() {
                or(port, "protocol", "TCP");
                let own = port["port"].clone();
                or(port, "targetPort", own);
            }
            or(object, "status", json!({ "loadBalancer": {} }));
        }
        "Node" => or(&mut object["spec"], "podCIDR", "10.244.0.0/24"),
        "Namespace" => {
            or(object, "spec", json!({ "finalizers": ["kubernetes"] }));
            or(object, "status", json!({ "phase": "Active" }));
            let name = object["metadata"]["name"].clone();
            or(&mut object["metadata"], "labels", json!({ "kubernetes.io/metadata.name": name }));
        }
        "HorizontalPodAutoscaler" => {
            or(&mut object["spec"], "minReplicas", 1);
            or(
                &mut object["spec"],
                "metrics",
                json!([{
                    "type": "Resource",
                    "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 } },
                }]),
            );
        }
        _ => {}
    }
}

fn fill_in_pod(spec: &mut Value) {
    or(spec, "restartPolicy", "Always");
    or(spec, "dnsPolicy", "ClusterFirst");
    or(spec, "schedulerName", "default-scheduler");
    or(spec, "terminationGracePeriodSeconds", 30);
    or(spec, "securityContext", json!({}));
    for list in ["containers", "initContainers"] {
        for container in spec[list].as_array_mut().into_iter().flatten() {
            or(container, "terminationMessagePath", "/dev/termination-log");
            or(container, "terminationMessagePolicy", "File");
            or(container, "resources", json!({}));
            let latest = container["image"].as_str().is_some_and(|image| {
                let name = image.rsplit('/').next().unwrap_or(image);
                !name.contains([':', '@']) || name.ends_with(":latest")
            });
            or(container, "imagePullPolicy", if latest { "Always" } else { "IfNotPresent" });
            for port in container["ports"].as_array_mut().into_iter().flatten() {
                or(port, "protocol", "TCP");
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                if container[probe].is_object() {
                    let probe = &mut container[probe];
                    or(probe, "timeoutSeconds", 1);
                    or(probe, "periodSeconds", 10);
                    or(probe, "successThreshold", 1);
                    or(probe, "failureThreshold", 3);
                    if probe["httpGet"].is_object() {
                        or(&mut probe["httpGet"], "scheme", "HTTP");
                    }
                }
            }
            // What is limited and not requested is requested as it is limited.
            let limits = container["resources"]["limits"].as_object().cloned().unwrap_or_default();
            for (what, limit) in limits {
                or(&mut container["resources"], "requests", json!({}));
                or(&mut container["resources"]["requests"], &what, limit);
            }
        }
        // An index of what is not there makes it null.
        if let Some(spec) = spec.as_object_mut()
            && spec.get(list).is_some_and(Value::is_null)
        {
            spec.remove(list);
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
fn quality(spec: &Value) -> &'static str {
    let containers = spec["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let set =
        |container: &Value, what: &str| container["resources"][what].as_object().is_some_and(|all| !all.is_empty());
    if containers.iter().all(|one| !set(one, "requests") && !set(one, "limits")) {
        return "BestEffort";
    }
    let full = |one: &Value| {
        ["cpu", "memory"].iter().all(|what| {
            let (limit, request) = (&one["resources"]["limits"][*what], &one["resources"]["requests"][*what]);
            limit.is_string() && limit == request
        })
    };
    if containers.iter().all(full) { "Guaranteed" } else { "Burstable" }
}

/// Sets a field that nobody has set.
pub(crate) fn or(object: &mut Value, field: &str, value: impl Into<Value>) {
    if object.is_null() {
        *object = json!({});
    }
    if object[field].is_null() {
        object[field] = value.into();
    }
}

/// Takes out whatever is null, as the server does: a field is there or it is not.
pub(crate) fn without_null(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_null);
        }
        Value::Array(elements) => elements.iter_mut().for_each(without_null),
        _ => {}
    }
}
