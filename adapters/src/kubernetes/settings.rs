//! Which workload in which cluster is the fleet, and how its instances are reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::settings::{TIME_OUT, Unusable, length};

/// One Deployment or `StatefulSet`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The namespace that holds it.
    pub namespace: String,
    /// The Deployment that is the fleet. Either this or `stateful_set`.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The `StatefulSet` that is the fleet. Either this or `deployment`.
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
    /// An HPA's policies are disabled, a KEDA `ScaledObject` is paused; put back at the end in any case.
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
    /// A `StatefulSet`.
    StatefulSet(&'a str),
}

impl Settings {
    /// Whether the keys can be used, as far as that can be told without a cluster.
    ///
    /// # Errors
    /// Which one cannot, and what would be right.
    pub fn usable(&self) -> Result<(), Unusable> {
        self.workload()?;
        let named = [
            ("namespace", Some(&self.namespace)),
            ("deployment", self.deployment.as_ref()),
            ("stateful_set", self.stateful_set.as_ref()),
            ("service", Some(&self.service)),
            ("container", self.container.as_ref()),
        ];
        for (key, name) in named.into_iter().filter_map(|(key, name)| Some((key, name?))) {
            // They become parts of addresses, where anything else would lead elsewhere.
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.');
            let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = name.as_bytes();
            if bytes.len() > 253 || !bytes.iter().copied().all(plain) || !ends(bytes.first()) || !ends(bytes.last()) {
                let why = "it is no name in Kubernetes: lower-case letters, digits, - and . within";
                return Err(Unusable::new(key, why));
            }
        }
        if self.port == Some(0) {
            return Err(Unusable::new("port", "it must be from 1 to 65535"));
        }
        if self.context.is_some() && self.kubeconfig.is_none() {
            return Err(Unusable::new("context", "it is one of a file's: name the kubeconfig file as well"));
        }
        let files = [("kubeconfig", self.kubeconfig.as_ref()), ("declared", self.declared.as_ref().map(|it| &it.file))];
        for (key, file) in files.into_iter().filter_map(|(key, file)| Some((key, file?))) {
            if !file.is_absolute() {
                return Err(Unusable::new(key, "the file must be an absolute path"));
            }
        }
        Ok(())
    }

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
