//! What the tests of the fleet share: objects as a cluster has them, and an API server that serves a few of them over HTTP and keeps in
//! mind what it was asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use k8s_openapi::api::core::v1::Pod;
use scalebot_commands::units::Timestamp;
use serde_json::{Value, json};

use super::Kubernetes;
use super::choice::COST;
use super::named::Named;
use super::server::Server;
use super::settings::Settings;
use crate::http::testing;

pub(super) const UID: &str = "d1";

/// A moment at which all is long since settled.
pub(super) fn now() -> Timestamp {
    "2026-01-08T04:00:00Z".parse().unwrap()
}

/// The settings of a Deployment `api` in the namespace `conclave`.
pub(super) fn settings() -> Settings {
    serde_json::from_value(json!({ "namespace": "conclave", "deployment": "api", "service": "api" })).unwrap()
}

/// A Deployment at version 1000 with that many pods, all of them ready.
pub(super) fn deployment(replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "api", "namespace": "conclave", "uid": UID, "resourceVersion": "1000", "generation": 3,
        },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": "api" } },
            "template": {
                "metadata": { "labels": { "app": "api" } },
                "spec": { "containers": [{ "name": "api", "image": "api:1" }] },
            },
        },
        "status": {
            "observedGeneration": 3, "replicas": replicas, "readyReplicas": replicas, "updatedReplicas": replicas,
            "conditions": [
                { "type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "done" },
            ],
        },
    })
}

/// A `ReplicaSet` of that Deployment.
pub(super) fn replica_set(name: &str, replicas: u32) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "conclave", "uid": name, "generation": 2,
            "creationTimestamp": "2026-01-08T02:00:00Z",
            "ownerReferences": [owner("Deployment", "api", UID)],
        },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "api" } } },
        "status": { "replicas": replicas, "observedGeneration": 2 },
    })
}

/// A ready pod of the `ReplicaSet` `api-7c9f`.
pub(super) fn pod(name: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "conclave", "uid": format!("uid-{name}"), "resourceVersion": "900",
            "creationTimestamp": "2026-01-08T03:00:00Z",
            "labels": { "app": "api" },
            "ownerReferences": [owner("ReplicaSet", "api-7c9f", "api-7c9f")],
        },
        "spec": {
            "nodeName": "node-a",
            "containers": [{ "name": "api", "image": "api:1", "ports": [{ "containerPort": 8000 }] }],
        },
        "status": {
            "phase": "Running", "podIP": "10.1.2.3", "startTime": "2026-01-08T03:00:05Z",
            "conditions": [
                { "type": "PodScheduled", "status": "True" },
                { "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-08T03:00:20Z" },
            ],
            "containerStatuses": [{
                "name": "api", "image": "api:1", "imageID": "", "ready": true, "started": true, "restartCount": 0,
                "state": { "running": { "startedAt": "2026-01-08T03:00:10Z" } },
            }],
        },
    })
}

pub(super) fn owner(kind: &str, name: &str, uid: &str) -> Value {
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": name, "uid": uid, "controller": true })
}

/// A pod that is not ready, its container in that state.
pub(super) fn unready(name: &str, restarts: u32, state: &Value, last: &Value) -> Value {
    let mut pod = pod(name);
    pod["status"]["conditions"][1]["status"] = json!("False");
    pod["status"]["conditions"][1]["lastTransitionTime"] = json!("2026-01-08T03:00:05Z");
    let status = &mut pod["status"]["containerStatuses"][0];
    status["ready"] = json!(false);
    status["restartCount"] = json!(restarts);
    status["state"] = state.clone();
    status["lastState"] = last.clone();
    pod
}

/// A pod that no node has room for.
pub(super) fn unschedulable(name: &str, message: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = Value::Null;
    pod["status"] = json!({
        "phase": "Pending",
        "conditions": [{
            "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message,
        }],
    });
    pod
}

/// The same pod, told to end.
pub(super) fn ending(mut pod: Value) -> Value {
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-08T03:59:00Z");
    pod
}

pub(super) fn read<T: serde::de::DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap()
}

pub(super) fn pods(values: &[Value]) -> Vec<Pod> {
    values.iter().map(read).collect()
}

/// A failure as the API server words it.
pub(super) fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message }))
}

type Answer = dyn Fn(&Asked, &mut Cluster) -> Option<(u16, Value)> + Send + Sync;
type Watched = dyn Fn(&Asked) -> Response + Send + Sync;

/// What it was asked.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path, after the namespace.
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
}

impl Asked {
    /// "GET pods", "PATCH deployments/api/scale".
    pub(super) fn line(&self) -> String {
        let watch = if self.query.contains_key("watch") { "WATCH" } else { self.method.as_str() };
        format!("{watch} {}", self.path)
    }
}

/// What there is.
pub(super) struct Cluster {
    pub(super) deployment: Value,
    pub(super) replica_sets: Vec<Value>,
    pub(super) pods: Vec<Value>,
    pub(super) version: u64,
    pub(super) asked: Vec<Asked>,
}

/// An API server.
pub(super) struct Api {
    cluster: Arc<Mutex<Cluster>>,
    named: Named,
    /// Serves for as long as it is there.
    _http: testing::Server,
}

impl Api {
    /// One that serves these pods of a Deployment that wants as many. An answer of the test's own comes first.
    pub(super) async fn of(
        pods: Vec<Value>,
        answer: impl Fn(&Asked, &mut Cluster) -> Option<(u16, Value)> + Send + Sync + 'static,
    ) -> Self {
        Self::watched(pods, answer, |_| forbidden_to_watch()).await
    }

    /// The same, with a watch.
    pub(super) async fn watched(
        pods: Vec<Value>,
        answer: impl Fn(&Asked, &mut Cluster) -> Option<(u16, Value)> + Send + Sync + 'static,
        watched: impl Fn(&Asked) -> Response + Send + Sync + 'static,
    ) -> Self {
        let count = u32::try_from(pods.len()).unwrap();
        let cluster = Arc::new(Mutex::new(Cluster {
            deployment: deployment(count),
            replica_sets: vec![replica_set("api-7c9f", count)],
            pods,
            version: 1000,
            asked: Vec::new(),
        }));
        let (served, answer, watched): (_, Arc<Answer>, Arc<Watched>) =
            (cluster.clone(), Arc::new(answer), Arc::new(watched));
        let http = testing::Server::start(Router::new().fallback(move |method: Method, uri: Uri, body: Bytes| {
            let reply = reply(&served, &*answer, &*watched, method, &uri, &body);
            async move { reply }
        }))
        .await;
        Self { cluster, named: Named::at(&http.address()), _http: http }
    }

    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().unwrap()
    }

    /// What it was asked, in order.
    pub(super) fn asked(&self) -> Vec<String> {
        self.cluster().asked.iter().map(Asked::line).collect()
    }

    /// How often it was asked that.
    pub(super) fn times(&self, line: &str) -> usize {
        self.asked().iter().filter(|asked| *asked == line).count()
    }

    /// The settings by which it is found.
    pub(super) fn settings(&self) -> Settings {
        self.named.settings.clone()
    }

    pub(super) fn server(&self) -> Server {
        Server::new(&self.settings()).unwrap()
    }

    pub(super) fn fleet(&self) -> Kubernetes {
        self.named.kubernetes()
    }
}

pub(super) fn forbidden_to_watch() -> Response {
    let message = "pods is forbidden: User \"bot\" cannot watch resource \"pods\" in API group \"\"";
    response(failure(403, "Forbidden", message))
}

/// A watch that says this and then stays open.
pub(super) fn events(events: &[Value]) -> Response {
    let said = events.iter().fold(String::new(), |said, event| format!("{said}{event}\n"));
    let said = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(said))]);
    Body::from_stream(futures::StreamExt::chain(said, futures::stream::pending())).into_response()
}

fn response((status, body): (u16, Value)) -> Response {
    let text = match body {
        Value::String(text) => text,
        body => body.to_string(),
    };
    (StatusCode::from_u16(status).unwrap(), text).into_response()
}

fn reply(
    cluster: &Mutex<Cluster>,
    answer: &Answer,
    watched: &Watched,
    method: Method,
    uri: &Uri,
    body: &[u8],
) -> Response {
    let path = uri.path();
    let path = path.split_once("/namespaces/conclave/").map_or(path, |(_, path)| path).to_owned();
    let query = uri.query().unwrap_or_default();
    let query = query.split('&').filter_map(|pair| pair.split_once('=')).map(|(k, v)| (k.to_owned(), v.to_owned()));
    let body = serde_json::from_slice(body).unwrap_or(Value::Null);
    let asked = Asked { method, path, query: query.collect(), body };
    let mut cluster = cluster.lock().unwrap();
    cluster.asked.push(asked.clone());
    if asked.query.contains_key("watch") {
        return watched(&asked);
    }
    let answered = answer(&asked, &mut cluster).or_else(|| served(&asked, &mut cluster));
    response(answered.unwrap_or_else(|| failure(404, "NotFound", "there is nothing of that name")))
}

fn served(asked: &Asked, cluster: &mut Cluster) -> Option<(u16, Value)> {
    let version = cluster.version.to_string();
    let list = |items: &[Value]| json!({ "metadata": { "resourceVersion": version }, "items": items });
    Some((
        200,
        match (asked.method.as_str(), &*asked.path) {
            ("GET", "deployments/api") => cluster.deployment.clone(),
            ("GET", "replicasets") => list(&cluster.replica_sets),
            ("GET", "pods") => list(&cluster.pods),
            ("GET", path) => {
                let name = path.strip_prefix("pods/")?;
                cluster.pods.iter().find(|pod| pod["metadata"]["name"] == name)?.clone()
            }
            ("PATCH", "deployments/api/scale") => json!({ "spec": { "replicas": asked.body["spec"]["replicas"] } }),
            ("PATCH", path) => {
                let name = path.strip_prefix("pods/")?;
                let pod = cluster.pods.iter_mut().find(|pod| pod["metadata"]["name"] == name)?;
                pod["metadata"]["annotations"][COST] = asked.body["metadata"]["annotations"][COST].clone();
                if pod["metadata"]["annotations"][COST].is_null() {
                    pod["metadata"]["annotations"] = json!({});
                }
                pod.clone()
            }
            _ => return None,
        },
    ))
}
