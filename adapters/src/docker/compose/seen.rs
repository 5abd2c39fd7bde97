//! The service's containers as they are, and the fleet that they are.

use futures::future::try_join_all;
use scalebot_commands::event::Hash;
use scalebot_commands::ports::{Choice, FleetState, Instance, InstanceState, PortError};
use scalebot_commands::units::{InstanceId, Replicas, Timestamp};
use sha2::{Digest as _, Sha256};

use super::orders::Record;
use super::settings::{Reach, Settings};
use crate::docker::container::{self, Asked};
use crate::docker::engine::{Engine, Inspected};

/// What both lines of Compose write at each container.
pub(super) const NUMBER: &str = "com.docker.compose.container-number";
/// The hash of the configuration that it was made with.
pub(super) const CONFIG_HASH: &str = "com.docker.compose.config-hash";
const PROJECT: &str = "com.docker.compose.project";
const SERVICE: &str = "com.docker.compose.service";
const ONE_OFF: &str = "com.docker.compose.oneoff";

/// What the name of a place holds that stayed empty.
const MISSING: &str = "-missing-";

/// What was seen at one moment.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// Which engine, project and service.
    pub(super) identity: String,
    /// By their numbers.
    pub(super) containers: Vec<Inspected>,
}

/// The service's containers.
///
/// # Errors
/// When the engine cannot be asked, or one has no number.
pub(super) async fn containers(engine: &Engine, settings: &Settings) -> Result<Seen, PortError> {
    let Settings { project, service, .. } = settings;
    let labels = [format!("{PROJECT}={project}"), format!("{SERVICE}={service}"), format!("{ONE_OFF}=False")];
    let (info, listed) = futures::try_join!(engine.info(), engine.labelled(&labels))?;
    // Whoever goes between the list and the look is gone.
    let found = try_join_all(listed.iter().map(|one| engine.inspect(&one.id))).await?;
    let mut containers: Vec<Inspected> = found.into_iter().flatten().collect();
    if let Some(wrong) = containers.iter().find(|container| number(container).is_none()) {
        let name = container::name(wrong);
        return Err(engine.unreadable(format!("container {name} of {service} has no number in its label {NUMBER}")));
    }
    containers.sort_by_key(number);
    Ok(Seen { identity: format!("{}/{project}/{service}", info.id), containers })
}

/// Its number in its service.
pub(super) fn number(container: &Inspected) -> Option<u32> {
    container.config.labels.get(NUMBER)?.parse().ok()
}

/// Whether that is the name of a place that stayed empty.
pub(super) fn is_missing(instance: &InstanceId) -> bool {
    instance.as_str().contains(MISSING)
}

/// The highest numbers first, as the containers' names have them; places that stayed empty before all of them.
pub(super) fn choice(fleet: &FleetState) -> Choice {
    let number = |instance: &Instance| -> Option<u32> {
        let name = instance.id.as_str();
        let digits = name.len() - name.trim_end_matches(|byte: char| byte.is_ascii_digit()).len();
        name[name.len() - digits..].parse().ok()
    };
    let mut instances: Vec<&Instance> = fleet.instances.iter().collect();
    instances.sort_by_key(|instance| std::cmp::Reverse((is_missing(&instance.id), number(instance))));
    Choice::InOrder {
        order: instances.into_iter().map(|instance| instance.id.clone()).collect(),
        why: "Compose ends its highest number first".to_owned(),
    }
}

impl Seen {
    /// The container of that name.
    pub(super) fn of(&self, instance: &InstanceId) -> Option<&Inspected> {
        self.containers.iter().find(|container| container::name(container) == instance.as_str())
    }

    /// Who they are, in an order that does not depend on when it was looked.
    pub(super) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.containers.iter().map(|container| container.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// The fleet, given the order that this bot gave last.
    pub(super) fn fleet(&self, settings: &Settings, last: Option<&Record>) -> FleetState {
        let asked = Asked {
            port: settings.port,
            network: settings.network.as_deref(),
            published: settings.reach == Reach::Published,
        };
        let mut instances: Vec<Instance> =
            self.containers.iter().map(|container| container::instance(container, &asked)).collect();
        let ids = self.ids();
        let ours = last.filter(|record| record.explains(&ids));
        let newest = self.containers.iter().map(|container| container.created).max();
        if let Some(record) = ours {
            instances.extend(self.missing(record, settings));
        }
        FleetState {
            identity: self.identity.clone(),
            wanted: Replicas(u32::try_from(instances.len()).unwrap_or(u32::MAX)),
            generation: generation(newest, self.containers.len()),
            version: self.version(instances.len()),
            changed_by: ours.map(|record| record.operation.to_string()),
            changed_at: newest,
            instances,
        }
    }

    /// The places that Compose was to fill and did not: instances all the same, so that the wait ends on them and the way
    /// back gives them up.
    fn missing(&self, record: &Record, settings: &Settings) -> Vec<Instance> {
        let there = u32::try_from(self.containers.len()).unwrap_or(u32::MAX);
        let places = 1..=record.to.0.saturating_sub(there);
        let why = record.failure.as_deref().unwrap_or("Compose did not make it");
        places
            .map(|place| Instance {
                id: InstanceId::new(format!("{}{MISSING}{place}", settings.service)),
                address: None,
                started_at: record.at,
                state: InstanceState::Failed,
                detail: Some(why.to_owned()),
                restarts: 0,
            })
            .collect()
    }

    /// Another with every container that comes, goes, ends or is started.
    fn version(&self, count: usize) -> String {
        let mut digest = Sha256::new();
        for container in &self.containers {
            digest.update(format!("{} {}\n", container.id, container.state.status));
        }
        digest.update(count.to_string());
        Hash(digest.finalize().into()).to_string()
    }
}

/// Compose counts nothing, so it is made of when the newest container was made and of how many there are. Whoever adds some
/// and takes the same ones away again leaves no trace, and has changed nothing.
fn generation(newest: Option<Timestamp>, count: usize) -> u64 {
    let seconds = newest.and_then(|at| u64::try_from(at.as_second()).ok()).unwrap_or(0);
    seconds.saturating_mul(10_000).saturating_add(u64::try_from(count).unwrap_or(u64::MAX).min(9_999))
}
