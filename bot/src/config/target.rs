//! `[targets.NAME]`: one fleet, and whom everything about it is asked of. What an adapter needs to know is the adapter's
//! own type; here it is only put together. Another kind of fleet is a variant of [`FleetSettings`], another source a
//! variant of one of the lists.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use scalebot_adapters::settings::length;
use scalebot_adapters::{conclave, docker, haproxy, hosts, kubernetes, postgres, prometheus, redis, scrape};
use serde::Deserialize;

use super::policy::PolicySettings;
use crate::drill::around::{Around, Balancer, Scraped};
use crate::drill::settings::{Fault, FleetKind, Settings};

/// One fleet.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TargetSettings {
    /// Its instances and their count.
    pub(crate) fleet: FleetSettings,
    /// How each instance is spoken to.
    #[serde(default)]
    pub(crate) backend: conclave::Config,
    /// How long one question to an instance may take.
    #[serde(default = "instance_time_out", with = "length")]
    pub(crate) instance_time_out: Duration,
    /// Where its load is read.
    #[serde(default)]
    pub(crate) metrics: MetricsSettings,
    /// The sources of truth about the halt.
    pub(crate) halt: HaltSettings,
    /// The hash chain's source of truth.
    #[serde(default)]
    pub(crate) chain: Option<ChainSource>,
    /// The connection budgets that every instance draws on.
    #[serde(default)]
    pub(crate) pools: Vec<PoolSource>,
    /// Who knows which instances get requests, and can change that. `None`: what comes with the fleet.
    #[serde(default)]
    traffic: Option<TrafficSource>,
    /// Whether the complexity budget is asked for.
    #[serde(default = "yes")]
    pub(crate) complexity: bool,
    /// The backend's PostgreSQL.
    #[serde(default)]
    pub(crate) postgres: Option<postgres::Settings>,
    /// The backend's Redis.
    #[serde(default)]
    pub(crate) redis: Option<redis::Settings>,
    /// The Prometheus that scrapes the fleet.
    #[serde(default)]
    pub(crate) prometheus: Option<prometheus::Settings>,
    /// The HAProxy before the fleet.
    #[serde(default)]
    pub(crate) haproxy: Option<haproxy::Settings>,
    /// Dashboards to look at.
    #[serde(default)]
    pub(crate) dashboards: Vec<String>,
    /// What differs from `[policy]` for this fleet.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read once more, over what holds for every fleet")]
    policy: PolicySettings,
}

impl TargetSettings {
    /// Who routes requests to its instances.
    pub(crate) fn traffic(&self) -> TrafficSource {
        self.traffic.unwrap_or(match self.fleet {
            FleetSettings::Process(_) => TrafficSource::Process,
            FleetSettings::Kubernetes(_) => TrafficSource::Kubernetes,
            FleetSettings::Hosts(_) => TrafficSource::Haproxy,
            FleetSettings::Compose(_) => TrafficSource::Compose,
            FleetSettings::Swarm(_) => TrafficSource::Swarm,
        })
    }
}

fn instance_time_out() -> Duration {
    Duration::from_secs(4)
}

fn yes() -> bool {
    true
}

/// What runs the instances.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum FleetSettings {
    /// Processes on this machine.
    Process(ProcessSettings),
    /// A Deployment or a `StatefulSet` of a Kubernetes cluster.
    Kubernetes(Box<kubernetes::Settings>),
    /// Plain hosts, by SSH.
    Hosts(Box<hosts::Settings>),
    /// A service of a Docker Compose project.
    Compose(Box<docker::ComposeSettings>),
    /// A service of Docker Swarm.
    Swarm(Box<docker::SwarmSettings>),
}

/// Processes on this machine: a rehearsal's world, for trying the service out before a real fleet is entrusted to it.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ProcessSettings {
    /// Where it is kept; `None` for a directory of its own beneath the service's.
    pub(crate) directory: Option<PathBuf>,
    /// Instances at the start.
    pub(crate) instances: u32,
    /// Requests per second of its load generator.
    pub(crate) load: f64,
    /// Where all its randomness comes from.
    pub(crate) seed: u64,
    /// Whether it begins in a halt.
    pub(crate) halted: bool,
    /// What goes wrong in it.
    pub(crate) fault: Option<Fault>,
    /// Where the load balancer takes its load, where that is not the world's own: a URL without a path.
    pub(crate) through: Option<String>,
    /// The file by which a Prometheus finds its instances (`file_sd_configs`).
    pub(crate) scraped_by: Option<PathBuf>,
}

impl Default for ProcessSettings {
    fn default() -> Self {
        Self {
            directory: None,
            instances: 4,
            load: 38.0,
            seed: 72,
            halted: false,
            fault: None,
            through: None,
            scraped_by: None,
        }
    }
}

impl ProcessSettings {
    /// What its world is started with.
    pub(crate) fn world(&self) -> Settings {
        let Self { instances, load, seed, halted, fault, .. } = *self;
        Settings { instances, load, seed, halted, fault, fleet: FleetKind::Process }
    }

    /// What is around its world.
    pub(crate) fn around(&self, haproxy: Option<&haproxy::Settings>) -> Around {
        let balancer = haproxy.zip(self.through.as_ref());
        let scraped = self.scraped_by.as_ref().map(|file| Scraped { file: file.clone(), labels: BTreeMap::new() });
        Around {
            balancer: balancer
                .map(|(haproxy, through)| Balancer { haproxy: haproxy.clone(), through: through.clone() }),
            scraped,
            ..Around::default()
        }
    }
}

/// Where the load is read.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum MetricsSettings {
    /// From each instance itself.
    Scrape(Box<scrape::Config>),
    /// From `[targets.NAME.prometheus]`.
    Prometheus(Elsewhere),
}

/// What has a section of its own.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Elsewhere {}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self::Scrape(Box::default())
    }
}

/// The sources of truth about the halt.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HaltSettings {
    /// All of them. An empty list is explicit: then nothing can say that the system is not halted.
    pub(crate) sources: Vec<HaltSourceName>,
}

/// A source of truth about the halt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HaltSourceName {
    /// The halt table of `[targets.NAME.postgres]`.
    Postgres,
    /// The stream of halt signals of `[targets.NAME.redis]`.
    Redis,
    /// The halt table of the fleet of processes.
    ProcessTable,
    /// The halt signals of the fleet of processes.
    ProcessSignals,
}

/// A source of truth about the hash chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChainSource {
    /// The event table of `[targets.NAME.postgres]`.
    Postgres,
    /// The store of the fleet of processes.
    Process,
}

/// A connection budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PoolSource {
    /// The connections of `[targets.NAME.postgres]`.
    Postgres,
    /// The connections of `[targets.NAME.redis]`.
    Redis,
    /// The database of the fleet of processes.
    ProcessDatabase,
    /// The Redis of the fleet of processes.
    ProcessRedis,
}

/// Who routes requests to instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrafficSource {
    /// The forwarder of the fleet of processes.
    Process,
    /// The Service of a fleet in Kubernetes.
    Kubernetes,
    /// Whoever resolves the name of a service of Docker Compose.
    Compose,
    /// Whoever resolves the name of a service of Docker Swarm.
    Swarm,
    /// The HAProxy of `[targets.NAME.haproxy]`.
    Haproxy,
}
