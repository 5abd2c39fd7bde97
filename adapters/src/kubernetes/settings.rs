//! Which workload in which cluster is the fleet, and how its instances are reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::settings::{TIME_OUT, Unusable, length};

/// One Deployment or StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The namespace that holds it.
    pub namespace: String,
    /// The Deployment that is the fleet. Either this or `stateful_set`.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The StatefulSet that is the fleet. Either this or `deployment`.
    #[serde(default)]
    pub stateful_set: Option<String>,
    /// The Service that sends requests to it.
    pub service: String,
    /// The container that is the instance, where a pod has several. `None`: its only one.
    #[serde(default)]
    pub container: Option<String>,
    /// The container's port at which it is asked. `None`: the only one it declares.
    #[serde(default)]
    pub port: Option<u16>,
    /// How an instance is reached.
    #[serde(default)]
    pub reach: Reach,
    /// The file with the cluster's address and credentials. `None`: as a pod in the cluster, by its service account.
    #[serde(default)]
    pub kubeconfig: Option<PathBuf>,
    /// The context in that file. `None`: its current one.
    #[serde(default)]
    pub context: Option<String>,
    /// The file in which the count is written down. `None`: only the cluster itself is asked who declared it.
    #[serde(default)]
    pub declared: Option<DeclaredIn>,
    /// What becomes of an autoscaler for the time of an operation.
    #[serde(default)]
    pub autoscaler: Autoscaler,
    /// How long one question or order may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
}

fn time_out() -> Duration {
    TIME_OUT
}

/// How an instance is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// At its pod's own address, from within the cluster's network.
    #[default]
    Address,
    /// Through the API server (`pods/proxy`), from anywhere.
    Proxy,
}

/// What becomes of an autoscaler for the time of an operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Autoscaler {
    /// It is named, and the operation is refused until a person has settled it.
    #[default]
    Leave,
    /// An HPA's minimum is raised, a KEDA ScaledObject is paused; put back at the end in any case.
    Hold,
}

/// The file in which the count is written down.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredIn {
    /// A YAML file: a manifest, a chart's values.
    pub file: PathBuf,
    /// The key that holds the count, from the top: `spec.replicas`, `api.replicaCount`.
    pub key: String,
}

/// The kind of workload, and its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Workload<'a> {
    /// A Deployment.
    Deployment(&'a str),
    /// A StatefulSet.
    StatefulSet(&'a str),
}

impl Settings {
    /// Which workload it is.
    ///
    /// # Errors
    /// When neither or both are named.
    pub(super) fn workload(&self) -> Result<Workload<'_>, Unusable> {
        match (&self.deployment, &self.stateful_set) {
            (Some(name), None) => Ok(Workload::Deployment(name)),
            (None, Some(name)) => Ok(Workload::StatefulSet(name)),
            (None, None) => {
                Err(Unusable::new("deployment", "name the deployment or the stateful_set that is the fleet"))
            }
            (Some(_), Some(_)) => {
                Err(Unusable::new("stateful_set", "name either deployment or stateful_set, not both"))
            }
        }
    }
}
