//! The fleets that are configured: which adapters each one's ports are. Another kind of fleet or source is an arm here.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::conclave::{Conclave, ConclaveGovernance, KeyProbe};
use scalebot_adapters::docker::{Compose, Swarm};
use scalebot_adapters::haproxy::{Haproxy, Registry};
use scalebot_adapters::hosts::Hosts;
use scalebot_adapters::http::Reach;
use scalebot_adapters::kubernetes::Kubernetes;
use scalebot_adapters::postgres::Postgres;
use scalebot_adapters::process::{
    ConnectionPool, EventChain, ForwarderTraffic, HaltSignalStream, HaltTable, ProcessFleet, WorldClient,
};
use scalebot_adapters::prometheus::Prometheus;
use scalebot_adapters::redis::Redis;
use scalebot_adapters::scrape::Scrape;
use scalebot_adapters::settings::Unusable;
use scalebot_commands::ports::{Chain, Fleet, HaltSource, Metrics, Pool, Target, Traffic, World};
use scalebot_commands::units::TargetName;
use tokio::task::JoinHandle;

use super::Log;
use crate::config::target::{
    ChainSource, FleetSettings, HaltSourceName, MetricsSettings, PoolSource, ProcessSettings, TargetSettings,
    TrafficSource,
};
use crate::drill::around::Around;
use crate::drill::attach::{self, Attached};
use crate::state_dir::StateDir;

/// Between two looks whether an operation has ended whose world is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// One fleet's outside systems, as far as they are configured, for whoever asks them what they can say of themselves.
pub(crate) struct Systems {
    /// Everything that an operation talks to.
    pub(crate) target: Target,
    /// The backend's PostgreSQL.
    pub(crate) postgres: Option<Postgres>,
    /// The backend's Redis.
    pub(crate) redis: Option<Redis>,
    /// The Prometheus that scrapes the fleet.
    pub(crate) prometheus: Option<Prometheus>,
    /// The HAProxy before the fleet.
    pub(crate) haproxy: Option<Haproxy>,
    /// The cluster that the fleet lives in.
    pub(crate) kubernetes: Option<Kubernetes>,
    /// The hosts that are the fleet.
    pub(crate) hosts: Option<Hosts>,
    /// The Docker Compose project that the fleet is a service of.
    pub(crate) compose: Option<Compose>,
    /// The service of Docker Swarm that is the fleet.
    pub(crate) swarm: Option<Swarm>,
}

/// What a fleet of processes is reached through.
pub(crate) struct Processes<'a> {
    settings: &'a ProcessSettings,
    around: Around,
    directory: PathBuf,
    /// What every adapter asks the world through.
    client: WorldClient,
}

impl<'a> Processes<'a> {
    /// Where that fleet's world is, or will be. Nothing is made there.
    ///
    /// # Errors
    /// In words, when there can be none.
    pub(crate) fn at(
        dir: &StateDir,
        name: &TargetName,
        settings: &'a ProcessSettings,
        target: &TargetSettings,
    ) -> Result<Self, String> {
        let haproxy = target.haproxy.as_ref().filter(|_| target.traffic() == TrafficSource::Haproxy);
        let around = settings.around(haproxy);
        let directory = settings.directory.clone().unwrap_or_else(|| dir.of_target(name).join("world"));
        let client = attach::client_at(&directory).map_err(|error| error.0)?;
        Ok(Self { settings, around, directory, client })
    }

    /// Where its world is kept.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The world that lives there, if any.
    ///
    /// # Errors
    /// In words, when one lives that does not answer.
    pub(crate) async fn living(&self) -> Result<Option<Attached>, String> {
        match self.directory.try_exists() {
            Ok(false) => Ok(None),
            _ => attach::attach(&self.directory).await.map_err(|error| error.0),
        }
    }

    /// Finds the world alive or starts one, and keeps it alive. While an operation is unfinished whose world is gone, it
    /// is waited for, since it has to find it gone.
    ///
    /// # Errors
    /// In words, when there can be no world.
    pub(crate) async fn enter(self, log: &Log, name: &TargetName) -> Result<JoinHandle<()>, String> {
        let unfinished = log.unfinished().await?.iter().any(|held| held.target == *name);
        make(&self.directory)?;
        let settings = self.settings.world();
        let (directory, client, around) = (self.directory, self.client, self.around);
        let world = if unfinished {
            attach::attach(&directory).await
        } else {
            attach::start_or_attach(&directory, settings, &around).await.map(Some)
        };
        let world = world.map_err(|error| error.0)?;
        let (ledger, clock, name) = (Arc::clone(&log.ledger), Arc::clone(&log.clock), name.clone());
        Ok(tokio::spawn(async move {
            if world.is_none() {
                // What cannot be told may still be under way.
                while !ledger.claims().await.is_ok_and(|claims| claims.iter().all(|held| held.target != name)) {
                    clock.sleep(LOOK_EVERY).await;
                }
                if let Err(why) = attach::start_or_attach(&directory, settings, &around).await {
                    tracing::error!(fleet = %name, %why, "there is no fleet of processes");
                    return;
                }
            }
            let gone = attach::keep_alive(&client).await;
            tracing::error!(fleet = %name, %gone, "the fleet of processes is gone; start the bot again to have a new one");
        }))
    }
}

/// A directory that only its owner can enter.
pub(crate) fn make(directory: &Path) -> Result<(), String> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| format!("The directory {} cannot be made: {error}.", directory.display()))
}

/// Everything that an operation on that fleet talks to.
///
/// # Errors
/// In words, when it cannot be used as it is configured.
pub(crate) fn systems(
    dir: &StateDir,
    clock: &Arc<dyn World>,
    name: &TargetName,
    settings: &TargetSettings,
) -> Result<Systems, String> {
    let unusable = |section: &'static str| {
        move |Unusable { key, why }: Unusable| format!("targets.{name}.{section}.{key}: {why}.")
    };
    let postgres = settings.postgres.as_ref().map(Postgres::new).transpose().map_err(unusable("postgres"))?;
    let redis = settings.redis.as_ref().map(Redis::new).transpose().map_err(unusable("redis"))?;
    let kubernetes = match &settings.fleet {
        FleetSettings::Kubernetes(workload) => Some(Kubernetes::new(workload).map_err(unusable("fleet"))?),
        _ => None,
    };
    let reach = kubernetes.as_ref().map_or(Reach::Address, Kubernetes::reach);
    let backend = settings.backend.clone();
    let asked = [backend.paths.work.clone(), keys_path(&backend.keys)];
    let conclave = Conclave::reaching(Arc::clone(clock), settings.instance_time_out, backend, &reach)
        .map_err(|error| format!("targets.{name}.backend: {error}."))?;
    let (mut processes, mut compose, mut swarm, mut hosts) = (None, None, None, None);
    let fleet: Arc<dyn Fleet> = match (&settings.fleet, &kubernetes) {
        (FleetSettings::Process(process), _) => {
            let client = processes.insert(Processes::at(dir, name, process, settings)?.client);
            Arc::new(ProcessFleet::new(client))
        }
        (FleetSettings::Compose(service), _) => {
            let folder = orders(dir, name);
            Arc::new(compose.insert(Compose::new(service, &folder).map_err(unusable("fleet"))?).clone())
        }
        (FleetSettings::Swarm(service), _) => {
            Arc::new(swarm.insert(Swarm::new(service).map_err(unusable("fleet"))?).clone())
        }
        (FleetSettings::Hosts(plain), _) => {
            let haproxy = settings.haproxy.as_ref().ok_or_else(|| missing(name, "haproxy"))?;
            let registry = Registry::new(haproxy).map_err(unusable("haproxy"))?;
            let (directory, probe) = (plain.kept_in(&dir.of_target(name)), Arc::new(conclave.clone()));
            let plain = Hosts::new(plain, directory, Arc::clone(clock), probe, registry).map_err(unusable("fleet"))?;
            Arc::new(hosts.insert(plain).clone())
        }
        (FleetSettings::Kubernetes(_), Some(kubernetes)) => Arc::new(kubernetes.clone()),
        (FleetSettings::Kubernetes(workload), None) => Arc::new(Kubernetes::new(workload).map_err(unusable("fleet"))?),
    };
    // Whoever only follows its instances.
    let onlookers: Arc<dyn Fleet> = match &compose {
        Some(compose) => Arc::new(compose.for_onlookers()),
        None => Arc::clone(&fleet),
    };
    let haproxy = settings.haproxy.as_ref().map(|haproxy| Haproxy::new(haproxy, Arc::clone(&onlookers)));
    let haproxy = haproxy.transpose().map_err(unusable("haproxy"))?;
    let sources = Sources {
        name,
        postgres: postgres.as_ref(),
        redis: redis.as_ref(),
        haproxy: haproxy.as_ref(),
        processes: processes.as_ref(),
        kubernetes: kubernetes.as_ref(),
        hosts: hosts.as_ref(),
        compose: compose.as_ref(),
        swarm: swarm.as_ref(),
    };

    let prometheus = settings.prometheus.clone().map(|mut prometheus| {
        // What the bot itself asks says nothing about the load.
        prometheus.leave_out.extend(asked.iter().flatten().cloned());
        Prometheus::new(&prometheus, Arc::clone(&onlookers), Arc::clone(clock))
    });
    let prometheus = prometheus.transpose().map_err(unusable("prometheus"))?;
    let metrics: Arc<dyn Metrics> = match &settings.metrics {
        MetricsSettings::Prometheus(_) => Arc::new(prometheus.clone().ok_or_else(|| sources.missing("prometheus"))?),
        MetricsSettings::Scrape(scrape) => {
            let mut scrape = (**scrape).clone();
            // What the bot itself asks says nothing about the load.
            scrape.leave_out.extend(asked.into_iter().flatten());
            let scrape = Scrape::reaching(onlookers, Arc::clone(clock), scrape, &reach);
            Arc::new(scrape.map_err(|error| format!("targets.{name}.metrics: {error}."))?)
        }
    };
    let halt = settings.halt.sources.iter().map(|source| sources.halt(*source)).collect::<Result<_, _>>()?;
    let pools = settings.pools.iter().map(|source| sources.pool(*source)).collect::<Result<_, _>>()?;
    let chain = settings.chain.map(|source| sources.chain(source)).transpose()?;
    let traffic = sources.traffic(settings.traffic())?;
    let governance =
        settings.complexity.then(|| Arc::new(ConclaveGovernance::new(conclave.clone(), Arc::clone(&fleet))) as _);
    let target = Target {
        name: name.clone(),
        fleet,
        traffic,
        metrics,
        halt,
        probe: Arc::new(conclave),
        chain,
        pools,
        governance,
        dashboards: settings.dashboards.clone(),
    };
    Ok(Systems { target, postgres, redis, prometheus, haproxy, kubernetes, hosts, compose, swarm })
}

/// Where the orders to a fleet's tool are kept.
fn orders(dir: &StateDir, name: &TargetName) -> PathBuf {
    dir.of_target(name).join("compose")
}

/// Where an instance is asked whether it reaches its keys.
fn keys_path(keys: &KeyProbe) -> Option<String> {
    match keys {
        KeyProbe::Path { path, .. } => Some(path.clone()),
        KeyProbe::None | KeyProbe::ReadinessCheck(_) => None,
    }
}

/// Where the sources are that configuration names.
struct Sources<'a> {
    name: &'a TargetName,
    postgres: Option<&'a Postgres>,
    redis: Option<&'a Redis>,
    haproxy: Option<&'a Haproxy>,
    processes: Option<&'a WorldClient>,
    kubernetes: Option<&'a Kubernetes>,
    hosts: Option<&'a Hosts>,
    compose: Option<&'a Compose>,
    swarm: Option<&'a Swarm>,
}

impl Sources<'_> {
    fn halt(&self, source: HaltSourceName) -> Result<Arc<dyn HaltSource>, String> {
        Ok(match source {
            HaltSourceName::Postgres => {
                Arc::new(self.postgres.and_then(Postgres::halt_table).ok_or_else(|| self.missing("postgres.halt"))?)
            }
            HaltSourceName::Redis => {
                Arc::new(self.redis.and_then(Redis::halt_stream).ok_or_else(|| self.missing("redis.halt"))?)
            }
            HaltSourceName::ProcessTable => Arc::new(HaltTable::new(self.processes()?)),
            HaltSourceName::ProcessSignals => Arc::new(HaltSignalStream::new(self.processes()?)),
        })
    }

    fn pool(&self, source: PoolSource) -> Result<Arc<dyn Pool>, String> {
        Ok(match source {
            PoolSource::Postgres => Arc::new(
                self.postgres.and_then(Postgres::connections).ok_or_else(|| self.missing("postgres.connections"))?,
            ),
            PoolSource::Redis => {
                Arc::new(self.redis.and_then(Redis::connections).ok_or_else(|| self.missing("redis.connections"))?)
            }
            PoolSource::ProcessDatabase => Arc::new(ConnectionPool::database(self.processes()?)),
            PoolSource::ProcessRedis => Arc::new(ConnectionPool::redis(self.processes()?)),
        })
    }

    fn chain(&self, source: ChainSource) -> Result<Arc<dyn Chain>, String> {
        Ok(match source {
            ChainSource::Postgres => {
                Arc::new(self.postgres.and_then(Postgres::chain).ok_or_else(|| self.missing("postgres.chain"))?)
            }
            ChainSource::Process => Arc::new(EventChain::new(self.processes()?)),
        })
    }

    fn traffic(&self, source: TrafficSource) -> Result<Arc<dyn Traffic>, String> {
        Ok(match source {
            TrafficSource::Process => Arc::new(ForwarderTraffic::new(self.processes()?)),
            TrafficSource::Kubernetes => Arc::new(self.kubernetes.map(Kubernetes::traffic).ok_or_else(|| {
                format!("targets.{}: only a fleet of kind kubernetes has a Service that sends it requests.", self.name)
            })?),
            TrafficSource::Compose => Arc::new(self.compose.map(Compose::by_name).ok_or_else(|| {
                format!("targets.{}: only a fleet of kind compose is a service whose name is resolved.", self.name)
            })?),
            TrafficSource::Swarm => self.swarm.map(Swarm::by_name).ok_or_else(|| {
                format!("targets.{}: only a fleet of kind swarm is a service of Docker Swarm.", self.name)
            })?,
            TrafficSource::Haproxy => {
                let haproxy = self.haproxy.cloned().ok_or_else(|| self.missing("haproxy"))?;
                match (self.hosts, self.swarm) {
                    (Some(hosts), _) => hosts.traffic(haproxy),
                    (None, Some(swarm)) => swarm.behind(Arc::new(haproxy)),
                    (None, None) => Arc::new(haproxy),
                }
            }
        })
    }

    fn processes(&self) -> Result<&WorldClient, String> {
        self.processes.ok_or_else(|| {
            format!("targets.{}: only a fleet of kind process has the sources that are called process.", self.name)
        })
    }

    fn missing(&self, section: &str) -> String {
        missing(self.name, section)
    }
}

fn missing(name: &TargetName, section: &str) -> String {
    format!("targets.{name}: it names a source that [targets.{name}.{section}] would describe, which is not there.")
}
