//! A stand-in for an API server: a small cluster whose objects a test changes before it is asked. It answers over HTTP, so
//! that what is asked, and how a refusal is understood, is tested as well.

#![allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{StatusCode, Uri};
use axum::{Json, Router};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::Kubernetes;
use super::server::Server;
use super::settings::Settings;
use super::workload::{self, Observed};
use crate::http::testing;

/// The Deployment of the cluster.
pub(super) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/conclave/deployments/api";
pub(super) const PODS: &str = "/api/v1/namespaces/conclave/pods";
pub(super) const EVERY_POD: &str = "/api/v1/pods";
pub(super) const NODES: &str = "/api/v1/nodes";
pub(super) const QUOTAS: &str = "/api/v1/namespaces/conclave/resourcequotas";
pub(super) const BUDGETS: &str = "/apis/policy/v1/namespaces/conclave/poddisruptionbudgets";
pub(super) const SCALERS: &str = "/apis/autoscaling/v2/namespaces/conclave/horizontalpodautoscalers";
pub(super) const KEDA: &str = "/apis/keda.sh/v1alpha1/namespaces/conclave/scaledobjects";
pub(super) const SERVICE: &str = "/api/v1/namespaces/conclave/services/api";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/conclave/replicasets";
const RANGES: &str = "/api/v1/namespaces/conclave/limitranges";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/conclave/endpointslices";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
const WHO: &str = "/apis/authentication.k8s.io/v1/selfsubjectreviews";

/// A cluster before it is asked.
pub(super) struct Cluster {
    answers: BTreeMap<&'static str, (u16, Value)>,
    denied: Vec<&'static str>,
}

/// The cluster as it is asked.
pub(super) struct Running {
    _server: testing::Server,
    /// Until then the file with the credentials is there.
    _folder: TempDir,
    pub(super) settings: Settings,
}

impl Cluster {
    /// Four ready pods of a Deployment `api`, on two nodes, with nothing else around them.
    pub(super) fn new() -> Self {
        let pods: Vec<Value> = (1..=4).map(pod).collect();
        let node = |name: &str| {
            json!({
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
            })
        };
        let replica_set =
            json!({"metadata": {"name": "api-1", "uid": "rs", "ownerReferences": [owner("Deployment", "api", "dep")]}});
        let service = json!({"metadata": {"name": "api"}, "spec": {"selector": {"app": "api", "receives": "yes"}}});
        let slice = |index: i32| {
            json!({
                "addresses": [format!("10.0.0.{index}")], "conditions": {"ready": true, "serving": true},
                "targetRef": {"kind": "Pod", "name": format!("api-1-{index}"), "namespace": "conclave"},
            })
        };
        let slices = json!([{"metadata": {"name": "api-x"}, "addressType": "IPv4", "endpoints": (1..=4).map(slice).collect::<Vec<_>>()}]);
        let mut cluster = Self { answers: BTreeMap::new(), denied: Vec::new() };
        for empty in [QUOTAS, RANGES, BUDGETS, SCALERS] {
            cluster = cluster.holds(empty, json!([]));
        }
        cluster
            .object(DEPLOYMENT, deployment())
            .object(SERVICE, service)
            .object("/version", version())
            .object(WHO, json!({"status": {"userInfo": {"username": "system:serviceaccount:scalebot:scalebot"}}}))
            .holds(REPLICA_SETS, json!([replica_set]))
            .holds(PODS, json!(pods))
            .holds(EVERY_POD, json!(pods))
            .holds(NODES, json!([node("a"), node("b")]))
            .holds(SLICES, slices)
    }

    /// One object.
    pub(super) fn object(mut self, path: &'static str, object: Value) -> Self {
        self.answers.insert(path, (200, object));
        self
    }

    /// A list.
    pub(super) fn holds(self, path: &'static str, items: Value) -> Self {
        self.object(path, json!({"metadata": {"resourceVersion": "7"}, "items": items}))
    }

    /// Changes the Deployment: what is given takes the place of what is there, down to single values.
    pub(super) fn deployed(mut self, change: Value) -> Self {
        if let Some((_, deployment)) = self.answers.get_mut(DEPLOYMENT) {
            merge(deployment, &change);
        }
        self
    }

    /// Refuses whoever asks there.
    pub(super) fn forbids(mut self, path: &'static str, sentence: &str) -> Self {
        self.answers.insert(path, (403, status(403, "Forbidden", sentence)));
        self
    }

    /// Says of a right (`list nodes`, `get pods/log`) that it is not granted.
    pub(super) fn denies(mut self, right: &'static str) -> Self {
        self.denied.push(right);
        self
    }

    /// Answers from now on.
    pub(super) async fn run(self) -> Running {
        let cluster = Arc::new(self);
        let router = Router::new().fallback(move |uri: Uri, body: Bytes| {
            let cluster = Arc::clone(&cluster);
            async move { cluster.answer(uri.path(), &body) }
        });
        let server = testing::Server::start(router).await;
        let (folder, settings) = fleet_at(&server.address());
        Running { _server: server, _folder: folder, settings }
    }

    fn answer(&self, path: &str, body: &[u8]) -> (StatusCode, Json<Value>) {
        if path == REVIEWS {
            return (StatusCode::CREATED, Json(self.review(body)));
        }
        match self.answers.get(path) {
            Some((status, answer)) => (StatusCode::from_u16(*status).unwrap(), Json(answer.clone())),
            None => (
                StatusCode::NOT_FOUND,
                Json(status(404, "NotFound", "the server could not find the requested resource")),
            ),
        }
    }

    fn review(&self, body: &[u8]) -> Value {
        let asked: Value = serde_json::from_slice(body).unwrap();
        let about = &asked["spec"]["resourceAttributes"];
        let part = about["subresource"].as_str().map(|part| format!("/{part}")).unwrap_or_default();
        let everywhere = if about["namespace"].is_null() { " everywhere" } else { "" };
        let right =
            format!("{} {}{part}{everywhere}", about["verb"].as_str().unwrap(), about["resource"].as_str().unwrap());
        json!({"spec": asked["spec"], "status": {"allowed": !self.denied.contains(&&*right)}})
    }
}

impl Running {
    pub(super) fn server(&self) -> Server {
        Server::new(&self.settings).unwrap()
    }

    pub(super) fn kubernetes(&self) -> Kubernetes {
        Kubernetes::new(&self.settings).unwrap()
    }

    pub(super) async fn workload(&self) -> Observed {
        workload::read(&self.server(), &self.settings).await.unwrap()
    }
}

/// The settings of the fleet, at an API server there; they hold as long as the folder does.
pub(super) fn fleet_at(address: &str) -> (TempDir, Settings) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "it", "user": {"token": "hidden"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
    });
    std::fs::write(&file, config.to_string()).unwrap();
    let settings =
        json!({"namespace": "conclave", "deployment": "api", "service": "api", "kubeconfig": file, "time_out": "10s"});
    (folder, serde_json::from_value(settings).unwrap())
}

/// A pod of the Deployment, on node `a` or `b`.
pub(super) fn pod(index: u32) -> Value {
    json!({
        "metadata": {
            "name": format!("api-1-{index}"), "namespace": "conclave", "uid": format!("pod-{index}"),
            "labels": {"app": "api", "receives": "yes", "pod-template-hash": "1"},
            "ownerReferences": [owner("ReplicaSet", "api-1", "rs")],
            "creationTimestamp": "2026-11-25T12:00:00Z",
        },
        "spec": {"nodeName": if index.is_multiple_of(2) { "a" } else { "b" }, "containers": [container()]},
        "status": {"phase": "Running", "podIP": format!("10.0.0.{index}")},
    })
}

/// An entry of managed fields, of a manager that holds the count.
pub(super) fn holds_count(manager: &str, operation: &str, at: &str) -> Value {
    json!({
        "manager": manager, "operation": operation, "time": at, "apiVersion": "apps/v1",
        "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {"f:replicas": {}}},
    })
}

fn container() -> Value {
    json!({"name": "api", "image": "api:1", "resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}})
}

fn deployment() -> Value {
    json!({
        "metadata": {"name": "api", "namespace": "conclave", "uid": "dep", "resourceVersion": "41", "generation": 3},
        "spec": {
            "replicas": 4,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {
                "metadata": {"labels": {"app": "api", "receives": "yes"}},
                "spec": {"containers": [container()]},
            },
        },
        "status": {"observedGeneration": 3, "replicas": 4, "readyReplicas": 4, "updatedReplicas": 4},
    })
}

fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true})
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "33", "gitVersion": "v1.33.2", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": "linux/amd64",
    })
}

fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message})
}

fn merge(into: &mut Value, change: &Value) {
    match (into, change) {
        (Value::Object(into), Value::Object(change)) => {
            for (key, value) in change {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, change) => *into = change.clone(),
    }
}
