//! Plain hosts (VMs) as the fleet: each runs the backend as one service, and is spoken to by SSH.
//!
//! No orchestrator remembers what is wanted of them, so `state` does, in a file that `store` guards: an order of the runbook
//! changes what is wanted, in one step and under the runbook's fence, and nothing else. What follows from it, host by host,
//! is `tend`'s: a host is made (`provision`), the application is put there, the service started, the load balancer told;
//! the other way round when it is to go. Each sub-step is written down before it is taken and after it, by the one process
//! whose epoch is the latest, and while it holds the lock that its programs hold too (`program`). So a process that is
//! killed anywhere is followed by one that looks at what was begun and goes on there; nothing is made twice, and what cannot
//! be brought to an end is named, with the command that does it.

mod doctor;
mod observe;
mod program;
mod provision;
pub mod settings;
mod ssh;
mod state;
mod steering;
mod store;
mod tend;
mod traffic;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Declared, DisruptionBudget, Fleet, FleetState, Headroom, OrderAnswer, PortError, Precondition, Probe, RemoveOrder,
    ScaleOrder, Steering, Traffic, World,
};
use scalebot_commands::request::escaped;
use scalebot_commands::units::{InstanceId, Replicas, Timestamp};
use tokio::sync::Notify;

use self::provision::Tool;
pub use self::settings::Settings;
use self::ssh::{Ssh, Status};
use self::state::{Host, State};
use self::store::{NotChanged, Store};
use self::traffic::HostsTraffic;
use crate::haproxy::{Haproxy, Registry};
use crate::settings::Unusable;

/// How much of others' words is repeated, in characters.
const QUOTED: usize = 200;

/// Hosts that are one fleet. Cheap to clone; all clones share what they know.
#[derive(Clone)]
pub struct Hosts {
    inner: Arc<Inner>,
}

struct Inner {
    settings: Settings,
    store: Store,
    ssh: Ssh,
    tool: Option<Tool>,
    probe: Arc<dyn Probe>,
    registry: Registry,
    clock: Arc<dyn World>,
    seen: Mutex<Seen>,
    /// Told when there is something to be done.
    ordered: Notify,
}

/// What this process has seen. Nothing that is decided rests on it alone after a restart.
#[derive(Debug, Default)]
struct Seen {
    /// What keeps a host where it is, in words, by its name.
    troubles: BTreeMap<String, String>,
    /// What keeps all of them where they are.
    trouble: Option<String>,
    /// When a service was looked at, and what was found.
    services: BTreeMap<String, Looked>,
    /// Whose service is being looked at.
    looking: BTreeSet<String>,
    /// Which hosts the tool listed last.
    listed: Option<BTreeSet<String>>,
    /// Until when the tool is left alone after it has failed, by the monotonic clock.
    tool_rests_until: Duration,
    /// When it is asked again for its list.
    list_again_at: Duration,
}

/// A look at a service.
#[derive(Debug)]
struct Looked {
    /// Since when the host was in its phase. In another one it says nothing any more.
    phase_since: Timestamp,
    /// When it began, by the monotonic clock.
    at: Duration,
    found: Result<Status, PortError>,
}

impl Hosts {
    /// The hosts that the settings name, with what is remembered of them in that directory. `registry` is their backend in
    /// the load balancer, `probe` how an instance is asked. Nothing is asked, made or begun yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(
        settings: &Settings,
        directory: PathBuf,
        clock: Arc<dyn World>,
        probe: Arc<dyn Probe>,
        registry: Registry,
    ) -> Result<Self, Unusable> {
        settings.usable()?;
        let inner = Inner {
            store: Store::new(directory),
            ssh: Ssh::new(settings),
            tool: settings.provision.as_ref().map(|provision| Tool::new(provision, &settings.limits)),
            settings: settings.clone(),
            probe,
            registry,
            clock,
            seen: Mutex::default(),
            ordered: Notify::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether nobody has looked yet which of them run the service.
    pub fn are_not_taken_down(&self) -> bool {
        self.inner.store.read().is_ok_and(|state| state.is_none())
    }

    /// What an HAProxy says of these hosts, and its orders, which a host obeys also before it has entered.
    pub fn traffic(&self, haproxy: Haproxy) -> Arc<dyn Traffic> {
        Arc::new(HostsTraffic::new(Arc::clone(&self.inner), haproxy))
    }
}

impl Inner {
    /// What is written down.
    fn state(&self) -> Result<State, PortError> {
        self.store.read()?.ok_or_else(|| self.store.absent())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Host and port of an instance.
    fn instance_at(&self, address: &str) -> String {
        let port = self.settings.port;
        if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
    }

    /// Everybody with a host, and where.
    fn reached(state: &State) -> impl Iterator<Item = (&Host, &str)> {
        state.hosts.iter().filter_map(|host| Some((host, host.address.as_deref()?)))
    }

    /// An order that changes what is wanted.
    async fn order(
        &self,
        fence: &Fence<'_>,
        order: impl FnOnce(&mut State, Timestamp) -> OrderAnswer,
    ) -> Result<OrderAnswer, PortError> {
        let now = self.clock.now();
        match self.store.change(fence.epoch(), |state| order(state, now)).await {
            Ok(answer) => {
                self.ordered.notify_one();
                Ok(answer)
            }
            Err(NotChanged::Fenced) => Ok(OrderAnswer::Refused { detail: NotChanged::Fenced.to_string() }),
            Err(NotChanged::Port(error)) => Err(error),
        }
    }
}

#[async_trait]
impl Fleet for Hosts {
    async fn observe(&self) -> Result<FleetState, PortError> {
        observe::fleet(&self.inner).await
    }

    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.inner.order(&fence, |state, now| state.scaled(order, now)).await
    }

    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.inner.order(&fence, |state, now| state.removed(order, now)).await
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError> {
        let state = self.inner.state()?;
        let gone = || PortError::Gone {
            what: instance.to_string(),
            detail: "it is none of the fleet's hosts, or there is no host for it yet".to_owned(),
        };
        let host = state.host(instance.as_str()).ok_or_else(gone)?;
        let address = host.address.as_deref().ok_or_else(gone)?;
        self.inner.ssh.logs(&host.name, address, most).await
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        // Nothing about hosts promises that to others.
        Ok(None)
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        observe::headroom(&self.inner, wanted).await
    }

    fn precondition(&self) -> Precondition {
        // The count is compared and changed in one step, what people do on hosts and with the tool is not.
        Precondition::Advisory
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        steering::steered_by(&self.inner).await
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        steering::declared(&self.inner.settings)
    }

    fn describe(&self) -> String {
        format!("hosts with the service {}", self.inner.settings.service)
    }
}

fn quote(text: &str) -> String {
    format!("\"{}\"", escaped(text, QUOTED))
}
