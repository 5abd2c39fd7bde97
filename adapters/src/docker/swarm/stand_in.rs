//! An engine that plays the manager of a swarm with one service: it answers as engine 20.10 does, compares the version of an
//! update and keeps the specification before it. What becomes of the tasks, a test says.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, body::Bytes};
use scalebot_commands::ports::{Fleet as _, FleetState, OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::units::{OperationId, Replicas};
use serde_json::{Value, json};

use super::{Swarm, SwarmSettings};
use crate::http::testing::Server;

/// What the swarm is.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) service: Value,
    pub(super) tasks: Vec<Value>,
    pub(super) nodes: Vec<Value>,
    /// What an update is answered in place of being made.
    pub(super) refuses: Option<(u16, &'static str)>,
    /// Every specification that was sent.
    pub(super) sent: Vec<Value>,
}

/// A swarm, and the fleet that the bot has of it.
pub(super) struct Scene {
    cluster: Arc<Mutex<Cluster>>,
    pub(super) fleet: Swarm,
    _engine: Server,
}

type Shared = State<Arc<Mutex<Cluster>>>;

fn lock(cluster: &Mutex<Cluster>) -> MutexGuard<'_, Cluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A task of the service, as the engine answers it, shortened by what nothing follows from.
pub(super) fn task(slot: u32, state: &str, desired: &str) -> Value {
    json!({
        "ID": format!("task{slot}{state}"), "ServiceID": "svc1", "Slot": slot, "NodeID": "node1", "DesiredState": desired,
        "CreatedAt": "2026-11-30T09:44:23.464828012Z",
        "Spec": { "Resources": { "Limits": {}, "Reservations": { "MemoryBytes": 134_217_728 } } },
        "Status": {
            "Timestamp": "2026-11-30T09:44:27.406716495Z", "State": state, "Message": "started",
            "ContainerStatus": { "ContainerID": format!("c{slot}"), "PID": 22402, "ExitCode": 0 },
            "PortStatus": { "Ports": [
                { "Protocol": "tcp", "TargetPort": 8000, "PublishedPort": 32767 + slot, "PublishMode": "host" },
            ] },
        },
        "NetworksAttachments": [
            { "Network": { "Spec": { "Name": "ingress", "Ingress": true } }, "Addresses": ["10.0.0.9/24"] },
            { "Network": { "Spec": { "Name": "conclave" } }, "Addresses": [format!("10.0.1.{slot}/24")] },
        ],
    })
}

/// A node with so many mebibytes.
pub(super) fn node(id: &str, mebibytes: u64) -> Value {
    json!({
        "ID": id, "Spec": { "Labels": null, "Role": "worker", "Availability": "active" },
        "Description": {
            "Hostname": format!("host-{id}"), "Platform": { "Architecture": "x86_64", "OS": "linux" },
            "Resources": { "NanoCPUs": 4_000_000_000_u64, "MemoryBytes": mebibytes << 20 },
            "Engine": { "EngineVersion": "20.10.24" },
        },
        "Status": { "State": "ready", "Addr": "10.9.0.1" },
    })
}

fn service(count: u32) -> Value {
    json!({
        "ID": "svc1", "Version": { "Index": 14 },
        "CreatedAt": "2026-11-30T09:44:23.463532531Z", "UpdatedAt": "2026-11-30T09:44:23.464126625Z",
        "Spec": {
            "Name": "conclave_api", "Labels": { "com.docker.stack.namespace": "conclave" },
            "TaskTemplate": {
                "ContainerSpec": {
                    "Image": "conclave:1", "StopGracePeriod": 20_000_000_000_u64,
                    "Healthcheck": { "Test": ["CMD", "true"] }, "SomethingNew": { "of": ["a", "later", "engine"] },
                },
                "Resources": { "Reservations": { "MemoryBytes": 134_217_728 } },
                "ForceUpdate": 0,
            },
            "Mode": { "Replicated": { "Replicas": count } },
            "EndpointSpec": { "Mode": "dnsrr", "Ports": [
                { "Protocol": "tcp", "TargetPort": 8000, "PublishMode": "host" },
            ] },
        },
    })
}

impl Scene {
    /// A service of so many, all of which run.
    pub(super) async fn of(count: u32) -> Self {
        Self::with(count, |_| ()).await
    }

    /// The same, with settings that are changed.
    pub(super) async fn with(count: u32, change: impl FnOnce(&mut SwarmSettings)) -> Self {
        let cluster = Arc::new(Mutex::new(Cluster {
            service: service(count),
            tasks: (1..=count).map(|slot| task(slot, "running", "running")).collect(),
            nodes: vec![node("node1", 1_024)],
            refuses: None,
            sent: Vec::new(),
        }));
        let routes = Router::new()
            .route("/services/{name}", get(shown))
            .route("/services/{name}/update", post(updated))
            .route("/tasks", get(tasks))
            .route("/tasks/{id}/logs", get(logs))
            .route("/nodes", get(|State(it): Shared| async move { Json(lock(&it).nodes.clone()) }))
            .route("/info", get(info))
            .with_state(Arc::clone(&cluster));
        let engine = Server::start(routes).await;
        let mut settings: SwarmSettings = serde_json::from_value(json!({
            "service": "conclave_api", "socket": format!("tcp:{}", engine.address()), "reach": "published",
            "time_out": "10s",
        }))
        .unwrap();
        change(&mut settings);
        Self { cluster, fleet: Swarm::new(&settings).unwrap(), _engine: engine }
    }

    /// What it is, to be looked at and changed.
    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        lock(&self.cluster)
    }

    /// Somebody changes the specification, as their tool does: labels stay.
    pub(super) fn somebody_changes(&self, change: impl FnOnce(&mut Value)) {
        let mut cluster = self.cluster();
        let mut spec = cluster.service["Spec"].clone();
        change(&mut spec);
        set(&mut cluster, spec);
    }

    pub(super) async fn now(&self) -> FleetState {
        self.fleet.observe().await.unwrap()
    }

    /// An order from what is there now.
    pub(super) async fn order(&self, to: u32) -> ScaleOrder {
        let now = self.now().await;
        ScaleOrder {
            identity: now.identity,
            from: now.wanted,
            to: Replicas(to),
            version: now.version,
            operation: operation(),
        }
    }

    /// An order that is carried out.
    pub(super) async fn goes(&self, to: u32) -> Result<OrderAnswer, PortError> {
        let order = self.order(to).await;
        self.fleet.inner.carry_out(&order).await
    }
}

pub(super) fn operation() -> OperationId {
    OperationId::new("019b9b3a-0001")
}

fn set(cluster: &mut Cluster, spec: Value) {
    let index = cluster.service["Version"]["Index"].as_u64().unwrap();
    cluster.service["PreviousSpec"] = std::mem::replace(&mut cluster.service["Spec"], spec);
    cluster.service["Version"]["Index"] = json!(index + 7);
}

fn said(status: u16, message: &str) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "message": message }))).into_response()
}

async fn shown(State(it): Shared, Path(name): Path<String>) -> Response {
    let cluster = lock(&it);
    if cluster.service["Spec"]["Name"] == *name {
        return Json(cluster.service.clone()).into_response();
    }
    said(404, &format!("service {name} not found"))
}

#[derive(serde::Deserialize)]
struct At {
    version: u64,
}

async fn updated(State(it): Shared, Path(id): Path<String>, Query(at): Query<At>, body: Bytes) -> Response {
    let mut cluster = lock(&it);
    assert_eq!(cluster.service["ID"], *id);
    if let Some((status, message)) = cluster.refuses {
        return said(status, message);
    }
    if cluster.service["Version"]["Index"] != at.version {
        return said(500, "rpc error: code = Unknown desc = update out of sequence");
    }
    let spec: Value = serde_json::from_slice(&body).unwrap();
    cluster.sent.push(spec.clone());
    set(&mut cluster, spec);
    Json(json!({ "Warnings": null })).into_response()
}

async fn tasks(State(it): Shared, Query(asked): Query<std::collections::HashMap<String, String>>) -> Json<Vec<Value>> {
    let filters: Value = serde_json::from_str(&asked["filters"]).unwrap();
    let to_run = filters["desired-state"][0] == "running";
    let tasks = lock(&it).tasks.clone();
    let fits = |task: &Value| {
        if to_run { task["DesiredState"] == "running" } else { task["ServiceID"] == filters["service"][0] }
    };
    Json(tasks.into_iter().filter(fits).collect())
}

async fn logs(Path(id): Path<String>) -> Response {
    let mut framed = vec![1, 0, 0, 0, 0, 0, 0, u8::try_from(id.len() + 1).unwrap()];
    framed.extend_from_slice(id.as_bytes());
    framed.push(b'\n');
    framed.into_response()
}

async fn info() -> Json<Value> {
    Json(json!({
        "ID": "E", "Name": "vm", "ServerVersion": "20.10.24", "MemTotal": 1,
        "Swarm": {
            "NodeID": "node1", "LocalNodeState": "active", "ControlAvailable": true,
            "Cluster": { "ID": "C", "Spec": { "Orchestration": { "TaskHistoryRetentionLimit": 5 } } },
        },
    }))
}
