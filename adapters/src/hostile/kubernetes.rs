//! The Kubernetes API: the objects around a fleet.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use scalebot_commands::ports::{Fleet as _, Traffic as _};
use scalebot_commands::units::{InstanceId, OperationId, Replicas};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::answer::change;
use super::{Choices, Read, may_be_shown, texts_may_be_shown};
use crate::kubernetes::Settings;
use crate::kubernetes::hostile::{Answers, fleet};

/// The longest end of a log that is asked for, in bytes.
const LOG: usize = 2_000;

/// What is served where, of a fleet that is well.
fn good() -> Vec<(&'static str, Value)> {
    let list = |items: Value| json!({ "metadata": { "resourceVersion": "7" }, "items": items });
    let owner = |kind: &str, name: &str, uid: &str| json!([{ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true }]);
    let container = json!({
        "name": "api", "image": "api:1", "ports": [{ "containerPort": 8000, "name": "http" }],
        "resources": { "requests": { "cpu": "500m", "memory": "1Gi" }, "limits": { "memory": "1Gi" } },
        "lifecycle": { "preStop": { "exec": { "command": ["sleep", "5"] } } },
    });
    let spec = json!({
        "containers": [container], "terminationGracePeriodSeconds": 30, "nodeSelector": { "pool": "api" },
        "tolerations": [{ "key": "k", "operator": "Exists" }],
        "topologySpreadConstraints": [{
            "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": { "matchLabels": { "app": "api" } },
        }],
        "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
            "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "app": "other" } },
        }] } },
    });
    let pod = |index: u32| {
        let mut spec = spec.clone();
        spec["nodeName"] = json!("a");
        json!({
            "metadata": {
                "name": format!("api-1-{index}"), "namespace": "conclave", "uid": format!("pod-{index}"),
                "labels": { "app": "api", "receives": "yes" }, "ownerReferences": owner("ReplicaSet", "api-1", "rs"),
                "creationTimestamp": "2026-11-25T12:00:00Z",
                "annotations": { "controller.kubernetes.io/pod-deletion-cost": "1" },
            },
            "spec": spec,
            "status": {
                "phase": "Running", "podIP": format!("10.0.0.{index}"),
                "conditions": [{ "type": "Ready", "status": "True", "message": "m", "reason": "r" }],
                "containerStatuses": [{
                    "name": "api", "ready": true, "restartCount": 1, "image": "api:1", "imageID": "",
                    "state": { "waiting": { "reason": "CrashLoopBackOff", "message": "back-off" } },
                    "lastState": { "terminated": { "exitCode": 137, "reason": "OOMKilled", "message": "m" } },
                }],
            },
        })
    };
    let deployment = json!({
        "metadata": {
            "name": "api", "namespace": "conclave", "uid": "dep", "resourceVersion": "41", "generation": 3,
            "labels": { "app.kubernetes.io/managed-by": "Helm" },
            "annotations": {
                "argocd.argoproj.io/tracking-id": "conclave:apps/Deployment:conclave/api",
                "kubectl.kubernetes.io/last-applied-configuration": "{\"spec\":{\"replicas\":4}}",
            },
            "managedFields": [{
                "manager": "helm", "operation": "Update", "time": "2026-11-25T12:00:00Z", "apiVersion": "apps/v1",
                "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } },
            }],
        },
        "spec": {
            "replicas": 4, "selector": { "matchLabels": { "app": "api" } },
            "template": { "metadata": { "labels": { "app": "api", "receives": "yes" } }, "spec": spec },
        },
        "status": {
            "observedGeneration": 3, "replicas": 3, "readyReplicas": 2, "updatedReplicas": 3,
            "conditions": [{ "type": "Progressing", "status": "True", "reason": "r", "message": "m" }],
        },
    });
    let set = json!({
        "metadata": { "name": "api-1", "uid": "rs", "ownerReferences": owner("Deployment", "api", "dep") },
        "status": { "replicas": 3, "conditions": [{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"api\" is forbidden: exceeded quota",
        }] },
    });
    let node = json!({
        "metadata": { "name": "a", "labels": { "kubernetes.io/hostname": "a", "pool": "api", "zone": "z" } },
        "spec": { "taints": [{ "key": "k", "effect": "NoSchedule" }] },
        "status": { "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "10" }, "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    let amounts = json!({ "pods": "10", "requests.cpu": "4", "limits.memory": "8Gi" });
    let quota = json!({
        "metadata": { "name": "q" }, "spec": { "hard": amounts, "scopes": ["NotTerminating"] },
        "status": { "hard": amounts, "used": { "pods": "4", "requests.cpu": "2", "limits.memory": "4Gi" } },
    });
    let range = json!({
        "metadata": { "name": "l" }, "spec": { "limits": [{ "type": "Container", "max": { "cpu": "2" }, "default": { "cpu": "1" } }] },
    });
    let budget = json!({
        "metadata": { "name": "b", "generation": 1 }, "spec": { "minAvailable": 3, "selector": { "matchLabels": { "app": "api" } } },
        "status": { "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 4, "desiredHealthy": 3, "expectedPods": 4 },
    });
    let scaler = json!({
        "metadata": { "name": "h", "namespace": "conclave" },
        "spec": { "minReplicas": 2, "maxReplicas": 8, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "api" } },
        "status": { "desiredReplicas": 4, "currentReplicas": 4 },
    });
    let keda = json!({
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": { "name": "s", "namespace": "conclave", "annotations": { "autoscaling.keda.sh/paused": "true" } },
        "spec": { "scaleTargetRef": { "name": "api" }, "minReplicaCount": 1, "maxReplicaCount": 9 },
    });
    let service = json!({ "metadata": { "name": "api" }, "spec": { "selector": { "app": "api", "receives": "yes" } } });
    let slice = json!({
        "metadata": { "name": "api-x" }, "addressType": "IPv4", "endpoints": [{
            "addresses": ["10.0.0.1"], "conditions": { "ready": true, "serving": true },
            "targetRef": { "kind": "Pod", "name": "api-1-1", "namespace": "conclave" },
        }],
    });
    vec![
        ("/apis/apps/v1/namespaces/conclave/deployments/api", deployment),
        ("/api/v1/namespaces/conclave/pods", list(json!([pod(1), pod(2), pod(3)]))),
        ("/api/v1/pods", list(json!([pod(1), pod(2), pod(3)]))),
        ("/apis/apps/v1/namespaces/conclave/replicasets", list(json!([set]))),
        ("/api/v1/nodes", list(json!([node]))),
        ("/api/v1/namespaces/conclave/resourcequotas", list(json!([quota]))),
        ("/api/v1/namespaces/conclave/limitranges", list(json!([range]))),
        ("/apis/policy/v1/namespaces/conclave/poddisruptionbudgets", list(json!([budget]))),
        ("/apis/autoscaling/v2/namespaces/conclave/horizontalpodautoscalers", list(json!([scaler]))),
        ("/apis/keda.sh/v1alpha1/namespaces/conclave/scaledobjects", list(json!([keda]))),
        ("/api/v1/namespaces/conclave/services/api", service),
        ("/apis/discovery.k8s.io/v1/namespaces/conclave/endpointslices", list(json!([slice]))),
        ("/api/v1/namespaces/conclave/pods/api-1-1", pod(1)),
    ]
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| match Builder::new_multi_thread().worker_threads(1).enable_time().build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("{error}"),
    })
}

/// The API server holds that. How many questions could be answered by it.
///
/// # Panics
/// When something does not hold.
pub fn kubernetes(bytes: &[u8]) -> Read {
    let mut choices = Choices::of(bytes);
    let mut good = good();
    for _ in 0..choices.one_of(5) {
        let at = choices.one_of(good.len());
        if let Some((_, object)) = good.get_mut(at) {
            change(object, &mut choices);
        }
    }
    let mut answers: BTreeMap<&'static str, Vec<u8>> =
        good.into_iter().map(|(path, object)| (path, object.to_string().into_bytes())).collect();
    let log = "/api/v1/namespaces/conclave/pods/api-1-1/log";
    answers.insert(log, choices.rest().to_vec());
    let settings = json!({ "namespace": "conclave", "deployment": "api", "service": "api" });
    let settings: Settings = match serde_json::from_value(settings) {
        Ok(settings) => settings,
        Err(error) => panic!("{error}"),
    };
    runtime().block_on(async {
        let mut read = Read::default();
        let fleet = fleet(Answers(Arc::new(answers)), &settings);
        if let Some(state) = read.or_refused(fleet.observe().await) {
            texts_may_be_shown(&json!(state));
        }
        if let Some(headroom) = read.or_refused(fleet.headroom(Replicas(8)).await) {
            may_be_shown(&headroom.source);
            headroom.runs_out.iter().for_each(|text| may_be_shown(text));
        }
        if let Some(steering) = read.or_refused(fleet.steered_by().await) {
            texts_may_be_shown(&json!(steering));
        }
        if let Some(declared) = read.or_refused(fleet.declared().await) {
            texts_may_be_shown(&json!(declared));
        }
        if let Some(Some(budget)) = read.or_refused(fleet.disruptions_allowed().await) {
            may_be_shown(&budget.source);
        }
        if let Some(held) = read.or_refused(fleet.held_by(&OperationId::new("op-1")).await) {
            texts_may_be_shown(&json!(held));
        }
        if let Some(log) = read.or_refused(fleet.logs(&InstanceId::new("api-1-1"), LOG).await) {
            assert!(log.len() <= LOG, "{} bytes", log.len());
        }
        let traffic = fleet.traffic();
        read.or_refused(traffic.routed().await);
        read.or_refused(traffic.draining().await);
        read
    })
}
