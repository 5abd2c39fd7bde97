//! What a manager's engine is asked about its swarm, and what follows from its answers. The service's specification is kept
//! as it was read: whoever changes the count sends all of it back, what is not known here included.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use scalebot_commands::ports::PortError;
use scalebot_commands::units::{Replicas, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use crate::docker::engine::{Engine, Refusal, in_path, in_query, or_none};

/// How long a task has to end where its service does not say.
const USUAL_GRACE: Duration = Duration::from_secs(10);

/// The label by which a stack marks its services.
const STACK: &str = "com.docker.stack.namespace";

impl Engine {
    /// The service of that name; `None` when there is none.
    pub(super) async fn service(&self, name: &str) -> Result<Option<Service>, PortError> {
        let path = format!("/services/{}", in_path(name));
        let answer = self.http.get(&path).await?;
        if answer.status == StatusCode::NOT_FOUND {
            // A filter that knows no such path says so as well, but not in the engine's words.
            return match serde_json::from_slice::<Refusal>(&answer.body) {
                Ok(refusal) if refusal.message.ends_with("not found") => Ok(None),
                _ => Err(self.http.not_served(&path, "answered 404")),
            };
        }
        self.http.json(&path, &answer).map(Some)
    }

    /// The tasks of that service, those that have ended included as far as the swarm keeps them.
    pub(super) async fn tasks_of(&self, service: &str) -> Result<Vec<Task>, PortError> {
        let filters = serde_json::json!({ "service": [service] }).to_string();
        self.http.get_json(&format!("/tasks?filters={}", in_query(&filters))).await
    }

    /// The tasks of all services that are to run.
    pub(super) async fn tasks_to_run(&self) -> Result<Vec<Task>, PortError> {
        let filters = serde_json::json!({ "desired-state": ["running"] }).to_string();
        self.http.get_json(&format!("/tasks?filters={}", in_query(&filters))).await
    }

    /// The nodes of the swarm.
    pub(super) async fn nodes(&self) -> Result<Vec<Node>, PortError> {
        self.http.get_json("/nodes").await
    }

    /// What the engine is in its swarm.
    pub(super) async fn place_in_swarm(&self) -> Result<PlaceInSwarm, PortError> {
        self.http.get_json("/info").await
    }
}

/// A service.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Service {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) version: Version,
    pub(super) updated_at: Timestamp,
    /// As it was read.
    pub(super) spec: Value,
    #[serde(default)]
    pub(super) previous_spec: Option<Value>,
    #[serde(default)]
    pub(super) update_status: Option<UpdateStatus>,
}

/// It grows with every change of what it is the version of.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    pub(super) index: u64,
}

/// How far a rolling update is.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UpdateStatus {
    /// `updating`, `paused`, `completed`, `rollback_started`, `rollback_paused` or `rollback_completed`.
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) message: String,
}

impl Service {
    /// How many are wanted.
    ///
    /// # Errors
    /// In words, when there is no such number.
    pub(super) fn replicas(&self) -> Result<Replicas, String> {
        let mode = &self.spec["Mode"];
        if let Some(replicated) = mode.get("Replicated") {
            // Swarm takes what is left out for one.
            let count = replicated.get("Replicas").filter(|count| !count.is_null());
            let count = count.map_or(Some(1), Value::as_u64).and_then(|count| u32::try_from(count).ok());
            return count.map(Replicas).ok_or_else(|| "its count is no number of instances".to_owned());
        }
        Err(if mode.get("Global").is_some() {
            "it is a global service: Swarm runs one task on each node, so that there is no count to set. Take nodes in or \
             out, or make it replicated"
                .to_owned()
        } else if mode.get("ReplicatedJob").is_some() || mode.get("GlobalJob").is_some() {
            "it is a job: its tasks run to their end, and are no instances".to_owned()
        } else {
            "it is of a mode that this bot does not know".to_owned()
        })
    }

    /// A label of the service.
    pub(super) fn label(&self, key: &str) -> Option<&str> {
        label(&self.spec, key)
    }

    /// Its name in the files of its stack.
    pub(super) fn name_in_its_stack<'a>(&self, name: &'a str) -> &'a str {
        let within = |stack: &str| name.strip_prefix(stack)?.strip_prefix('_');
        self.label(STACK).and_then(within).unwrap_or(name)
    }

    pub(super) fn container(&self) -> &Value {
        &self.spec["TaskTemplate"]["ContainerSpec"]
    }

    /// How long a task has to end before it is killed.
    pub(super) fn grace(&self) -> Duration {
        self.container()["StopGracePeriod"].as_u64().map_or(USUAL_GRACE, Duration::from_nanos)
    }

    pub(super) fn has_terminal(&self) -> bool {
        self.container()["TTY"] == true
    }

    /// Whether its own health check decides when a task runs.
    pub(super) fn has_health_check(&self) -> bool {
        let test = &self.container()["Healthcheck"]["Test"];
        test.as_array().is_some_and(|test| test.first().is_some_and(|first| first != "NONE"))
    }

    /// What a task of it has for itself.
    pub(super) fn reserves(&self) -> Reserved {
        let reserved = &self.spec["TaskTemplate"]["Resources"]["Reservations"];
        serde_json::from_value(reserved.clone()).unwrap_or_default()
    }

    /// The ports that it publishes in host mode: the container's, and the machine's where that is fixed.
    pub(super) fn host_ports(&self) -> Vec<(u16, Option<u16>)> {
        let ports = self.spec["EndpointSpec"]["Ports"].as_array().map(Vec::as_slice).unwrap_or_default();
        let number = |port: &Value| port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
        ports
            .iter()
            .filter(|port| port["PublishMode"] == "host")
            .filter_map(|port| Some((number(&port["TargetPort"])?, number(&port["PublishedPort"]))))
            .collect()
    }
}

/// A label in a specification.
pub(super) fn label<'a>(spec: &'a Value, key: &str) -> Option<&'a str> {
    spec["Labels"].get(key)?.as_str()
}

/// A task.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Task {
    #[serde(rename = "ID")]
    pub(super) id: String,
    #[serde(rename = "ServiceID", default)]
    pub(super) service: String,
    pub(super) created_at: Timestamp,
    #[serde(default)]
    pub(super) slot: u64,
    #[serde(rename = "NodeID", default, deserialize_with = "or_none")]
    pub(super) node: String,
    #[serde(default)]
    pub(super) desired_state: String,
    pub(super) status: Status,
    #[serde(default)]
    pub(super) spec: TaskSpec,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) networks_attachments: Vec<Attachment>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Status {
    #[serde(default)]
    pub(super) timestamp: Option<Timestamp>,
    #[serde(default)]
    pub(super) state: String,
    /// How far it is, as the engine says it.
    #[serde(default)]
    pub(super) message: String,
    /// What is wrong.
    #[serde(default)]
    pub(super) err: String,
    #[serde(rename = "ContainerStatus", default)]
    pub(super) container: Option<ContainerStatus>,
    #[serde(rename = "PortStatus", default)]
    pub(super) published: Option<PortStatus>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ContainerStatus {
    #[serde(rename = "ContainerID", default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) exit_code: i64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PortStatus {
    #[serde(default, deserialize_with = "or_none")]
    pub(super) ports: Vec<Port>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Port {
    #[serde(default)]
    pub(super) protocol: String,
    /// The container's.
    #[serde(rename = "TargetPort", default)]
    pub(super) target: u16,
    /// The node's.
    #[serde(rename = "PublishedPort", default)]
    pub(super) published: u16,
    /// `host` or `ingress`.
    #[serde(rename = "PublishMode", default)]
    pub(super) mode: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaskSpec {
    #[serde(default)]
    pub(super) resources: Option<Resources>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Resources {
    #[serde(default)]
    pub(super) reservations: Option<Reserved>,
}

/// What is kept for one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Reserved {
    #[serde(rename = "NanoCPUs", default)]
    pub(super) cpu: u64,
    #[serde(rename = "MemoryBytes", default)]
    pub(super) memory: u64,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) generic_resources: Vec<Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Attachment {
    pub(super) network: Network,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) addresses: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    pub(super) spec: NetworkSpec,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSpec {
    pub(super) name: String,
    /// Whether it is the one by which ports are published on all nodes.
    #[serde(default)]
    pub(super) ingress: bool,
}

/// A node.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    #[serde(rename = "ID")]
    pub(super) id: String,
    pub(super) spec: NodeSpec,
    pub(super) description: Description,
    pub(super) status: NodeStatus,
    #[serde(default)]
    manager_status: Option<NodeStatus>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeSpec {
    /// `manager` or `worker`.
    #[serde(default)]
    pub(super) role: String,
    /// `active`, `pause` or `drain`.
    #[serde(default)]
    pub(super) availability: String,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Description {
    #[serde(default)]
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) platform: Platform,
    #[serde(default)]
    pub(super) resources: Reserved,
    #[serde(default)]
    pub(super) engine: EngineOfNode,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Platform {
    #[serde(default)]
    pub(super) architecture: String,
    #[serde(rename = "OS", default)]
    pub(super) os: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EngineOfNode {
    #[serde(default, deserialize_with = "or_none")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeStatus {
    /// `ready`, `down`, `unknown` or `disconnected`.
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) addr: String,
}

impl Node {
    /// Whether Swarm gives it new tasks.
    pub(super) fn takes_tasks(&self) -> bool {
        self.status.state == "ready" && self.spec.availability == "active"
    }

    /// Where it is reached; a manager may only know of itself that it listens everywhere.
    pub(super) fn address(&self) -> Option<&str> {
        let plain = |address: &&str| !address.is_empty() && *address != "0.0.0.0" && *address != "::";
        let of_the_manager = || {
            let (host, _) = self.manager_status.as_ref()?.addr.rsplit_once(':')?;
            Some(host.trim_start_matches('[').trim_end_matches(']'))
        };
        Some(self.status.addr.as_str()).filter(plain).or_else(|| of_the_manager().filter(plain))
    }
}

/// What the engine says of its own place in a swarm.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PlaceInSwarm {
    pub(super) name: String,
    pub(super) server_version: String,
    pub(super) swarm: Membership,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Membership {
    /// `inactive`, `pending`, `active`, `error` or `locked`.
    #[serde(default)]
    pub(super) local_node_state: String,
    /// Whether it is a manager.
    #[serde(default)]
    pub(super) control_available: bool,
    #[serde(default)]
    cluster: Option<Value>,
}

impl Membership {
    /// How many tasks that have ended the swarm keeps for each slot.
    pub(super) fn kept_tasks(&self) -> Option<u64> {
        self.cluster.as_ref()?["Spec"]["Orchestration"]["TaskHistoryRetentionLimit"].as_u64()
    }
}
