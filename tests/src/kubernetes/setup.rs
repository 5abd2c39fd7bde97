//! What a cluster begins with: its nodes, and one workload with its Service.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::managed::Author;
use super::rbac::User;
use super::resource::{NAMESPACES, NODES};
use super::{Cluster, NAME, NAMESPACE};
use crate::services::certificates::Certificate;

/// The image that every registry has.
pub(crate) const IMAGE: &str = "registry.example/conclave/api:1.4.2";

/// What a cluster begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many pods.
    pub instances: u32,
    /// `Deployment` or `StatefulSet`.
    pub kind: &'static str,
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the pods are.
    pub machines: Machines,
    /// YAML of the workload and its Service, in place of the usual ones.
    pub manifest: Option<String>,
    /// YAML applied before the workload: quotas, budgets, roles.
    pub before: String,
    /// Whether the start waits until all pods are ready.
    pub waits: bool,
}

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// What pods may use of it: CPU, memory, how many pods.
    pub room: (&'static str, &'static str, u32),
}

/// What the pods are.
#[derive(Clone, Debug)]
pub enum Machines {
    /// As a test has them.
    Played,
    /// Processes of the rehearsal's world.
    Real(Real),
}

/// How the rehearsal's world begins.
#[derive(Clone, Debug, Default)]
pub struct Real {
    /// Requests per second.
    pub load: f64,
    /// What is wrong with each new instance, as `scalebot drill --fault` names it.
    pub fault: Option<&'static str>,
    /// Whether it begins in a halt.
    pub halted: bool,
    /// What is around it, as a world is told in `SCALEBOT_DRILL_AROUND`.
    pub around: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        let node = |name: &str| Node { name: name.to_owned(), room: ("4", "8Gi", 110) };
        Self {
            instances: 4,
            kind: "Deployment",
            nodes: ["node-1", "node-2", "node-3"].map(node).into(),
            machines: Machines::Played,
            manifest: None,
            before: String::new(),
            waits: true,
        }
    }
}

impl Setup {
    /// With real instances and that load.
    pub fn real(instances: u32, load: f64) -> Self {
        Self { instances, machines: Machines::Real(Real { load, ..Real::default() }), ..Self::default() }
    }
}

pub(super) fn administrator() -> User {
    User { name: "kubernetes-admin".to_owned(), may_do_all: true }
}

pub(super) fn tls(certificate: &Certificate) -> TlsAcceptor {
    let chain =
        CertificateDer::pem_file_iter(&certificate.certificate).unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(&certificate.key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()))
}

pub(super) fn furnish(cluster: &Cluster, setup: &Setup) {
    cluster.shared.change(|state| {
        let author = Author { manager: "kubeadm", subresource: None };
        for name in ["default", NAMESPACE] {
            state.store.create(&NAMESPACES, json!({ "metadata": { "name": name } }), author).unwrap();
        }
        for (number, node) in setup.nodes.iter().enumerate() {
            state.store.create(&NODES, described(node, number), author).unwrap();
        }
    });
    cluster.apply(&setup.before);
    match &setup.manifest {
        Some(manifest) => cluster.apply(manifest),
        None => cluster.apply(&manifest(setup)),
    }
}

fn described(node: &Node, number: usize) -> Value {
    let (cpu, memory, pods) = node.room;
    let room = json!({ "cpu": cpu, "memory": memory, "pods": pods.to_string() });
    let condition = |kind: &str, is: &str, reason: &str| {
        json!({
            "type": kind, "status": is, "reason": reason, "message": "", "lastHeartbeatTime": "2026-01-08T03:00:00Z",
            "lastTransitionTime": "2026-01-08T03:00:00Z",
        })
    };
    json!({
        "metadata": { "name": node.name, "labels": {
            "kubernetes.io/hostname": node.name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        } },
        "spec": {},
        "status": {
            "capacity": room, "allocatable": room,
            "addresses": [
                { "type": "InternalIP", "address": format!("10.0.0.{}", number + 10) },
                { "type": "Hostname", "address": node.name },
            ],
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("Ready", "True", "KubeletReady"),
            ],
            "nodeInfo": {
                "architecture": "amd64", "bootID": "b", "containerRuntimeVersion": "containerd://2.1.4",
                "kernelVersion": "6.12", "kubeProxyVersion": "", "kubeletVersion": "v1.33.4", "machineID": "m",
                "operatingSystem": "linux", "osImage": "Debian GNU/Linux 12", "systemUUID": "s",
            },
        },
    })
}

/// The workload of every scene. The Service's selector has a key that the workload's has not: a pod can be taken out of
/// the one without being let go by the other.
fn manifest(setup: &Setup) -> String {
    let (kind, instances) = (setup.kind, setup.instances);
    let own = if kind == "StatefulSet" { "  serviceName: api\n  podManagementPolicy: OrderedReady\n" } else { "" };
    format!(
        "\
apiVersion: apps/v1
kind: {kind}
metadata:
  name: {NAME}
  labels: {{ app.kubernetes.io/name: {NAME} }}
spec:
  replicas: {instances}
{own}  selector:
    matchLabels: {{ app.kubernetes.io/name: {NAME} }}
  template:
    metadata:
      labels: {{ app.kubernetes.io/name: {NAME}, receives-requests: \"true\" }}
    spec:
      terminationGracePeriodSeconds: 120
      containers:
        - name: {NAME}
          image: {IMAGE}
          ports: [{{ name: http, containerPort: 8000 }}]
          resources:
            requests: {{ cpu: 250m, memory: 256Mi }}
            limits: {{ memory: 512Mi }}
          readinessProbe:
            httpGet: {{ path: /v1/ready, port: http }}
---
apiVersion: v1
kind: Service
metadata:
  name: {NAME}
spec:
  selector: {{ app.kubernetes.io/name: {NAME}, receives-requests: \"true\" }}
  ports: [{{ name: http, port: 80, targetPort: http }}]
"
    )
}
