//! Brings the hosts to what is wanted: the controller that plain hosts lack.
//!
//! A round makes sure that no later process has taken the hosts over, takes the lock of whoever works on them, and takes
//! each host as many sub-steps further as it goes. Before a sub-step it is written down that it begins, which no process
//! can do that was followed by another; afterwards, how it ended. What was begun and not ended is looked at first.

mod making;

use std::fs::File;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use scalebot_commands::ports::{Instance, InstanceState, PortError};
use scalebot_commands::units::{Epoch, InstanceId};
use tokio::time::timeout;

use super::observe::{self, services};
use super::settings::Listed;
use super::ssh::{Lost, Order, Status};
use super::state::{Host, Phase, State};
use super::store::NotChanged;
use super::{Hosts, Inner};

/// Why nobody works on the hosts just now.
const HELD: &str = "another process, or a program that it started, still works on these hosts";

/// One process at work.
struct Round<'a> {
    inner: &'a Arc<Inner>,
    epoch: Epoch,
    lock: &'a File,
}

/// What became of a host's sub-step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Went {
    /// It is further than it was.
    On,
    /// There is nothing to be done, or it cannot be done now.
    Nowhere,
}

impl Hosts {
    /// Tends the hosts for as long as this process is the latest. `epoch` is the one under which it writes the log: by it
    /// an earlier process is told from a later one.
    pub fn tend(self, epoch: Epoch) -> BoxFuture<'static, ()> {
        self.tend_on(epoch).boxed()
    }

    async fn tend_on(self, epoch: Epoch) {
        let inner = &self.inner;
        loop {
            match round(inner, epoch).await {
                Ok(Went::On) => continue,
                Ok(Went::Nowhere) => {}
                Err(NotChanged::Fenced) => {
                    tracing::error!(fleet = %inner.settings.service, "a later process tends the hosts; this one leaves them");
                    inner.seen().trouble = Some(NotChanged::Fenced.to_string());
                    return;
                }
                Err(NotChanged::Port(error)) => {
                    let why = error.to_string();
                    let mut seen = inner.seen();
                    if seen.trouble.as_ref() != Some(&why) {
                        tracing::warn!(fleet = %inner.settings.service, %why, "the hosts cannot be tended");
                    }
                    seen.trouble = Some(why);
                }
            }
            // Either somebody orders something, or it is time to look again.
            let _ = timeout(inner.settings.limits.every, inner.ordered.notified()).await;
        }
    }
}

async fn round(inner: &Arc<Inner>, epoch: Epoch) -> Result<Went, NotChanged> {
    // From here on no earlier process begins a sub-step, also one that stood still in the middle of its round.
    if inner.store.read()?.is_some() {
        inner.store.change(epoch, |_| ()).await?;
    }
    let Some(lock) = inner.store.work_lock()? else {
        return Err(PortError::Unreachable { what: "the fleet's hosts".to_owned(), detail: HELD.to_owned() }.into());
    };
    let round = Round { inner, epoch, lock: &lock };
    if inner.store.read()?.is_none() {
        round.take_down_what_runs().await?;
    }
    let state = inner.store.change(epoch, |state| state.clone()).await?;
    inner.seen().trouble = None;
    forget(inner, &state);
    let at_once = inner.settings.limits.at_once;
    let with_hosts = state.hosts.iter().filter(|host| host.address.is_some());
    let worked: Vec<_> = with_hosts.map(|host| round.host(&host.name).boxed()).collect();
    let hosts = stream::iter(worked).buffer_unordered(at_once).collect::<Vec<_>>();
    let (made, hosts, kept) = tokio::join!(round.make(&state).boxed(), hosts.boxed(), round.keep(&state).boxed());
    if let Err(error) = kept {
        inner.seen().trouble = Some(error.to_string());
    }
    hosts.into_iter().fold(made, both)
}

/// Whether either went on. Who was followed by another is told so in any case.
fn both(one: Result<Went, NotChanged>, other: Result<Went, NotChanged>) -> Result<Went, NotChanged> {
    match (one, other) {
        (Err(NotChanged::Fenced), _) | (_, Err(NotChanged::Fenced)) => Err(NotChanged::Fenced),
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(Went::On), _) | (_, Ok(Went::On)) => Ok(Went::On),
        (Ok(Went::Nowhere), Ok(Went::Nowhere)) => Ok(Went::Nowhere),
    }
}

/// Forgets what was seen of hosts that are none of the fleet's any more.
fn forget(inner: &Inner, state: &State) {
    let mut seen = inner.seen();
    seen.troubles.retain(|name, _| state.host(name).is_some());
    seen.services.retain(|name, _| state.host(name).is_some());
}

impl Round<'_> {
    /// At the very first: whose service runs is an instance, whoever started it. As long as one host cannot be asked, it
    /// is not known which fleet there is.
    async fn take_down_what_runs(&self) -> Result<(), NotChanged> {
        let inner = self.inner;
        let listed: Vec<Listed> = match &inner.tool {
            Some(tool) => tool.list().await?.hosts,
            None => inner.settings.hosts.clone(),
        };
        let now = inner.clock.now();
        let mut running = Vec::new();
        for (host, status) in services(inner, listed).await {
            if status? == Status::Runs {
                running.push(Host::new(host.name.clone(), Some(host.address.clone()), Phase::Started, now));
            }
        }
        tracing::info!(fleet = %inner.settings.service, running = running.len(), "taken down which hosts run the service");
        let identity = inner.clock.unique_id();
        inner.store.begin(&State::found(identity, self.epoch.0, running)).await
    }

    /// Whoever serves has a server in the load balancer, also in one that was restarted.
    async fn keep(&self, state: &State) -> Result<(), PortError> {
        let serving = Inner::reached(state).filter(|(host, _)| host.phase == Phase::Serving && !host.barred);
        let serving: Vec<(InstanceId, String)> =
            serving.map(|(host, address)| (InstanceId::new(&*host.name), self.inner.instance_at(address))).collect();
        if serving.is_empty() { Ok(()) } else { self.inner.registry.keep(&serving).await }
    }

    /// As far as one host goes.
    async fn host(&self, name: &str) -> Result<Went, NotChanged> {
        let mut all = Went::Nowhere;
        loop {
            let state = self.inner.state()?;
            let Some(host) = state.host(name) else { return Ok(all) };
            let Some(address) = host.address.clone().filter(|_| host.failed.is_none()) else { return Ok(all) };
            match self.further(host, &address).await? {
                Went::On => {
                    self.inner.seen().troubles.remove(name);
                    all = Went::On;
                }
                Went::Nowhere => return Ok(all),
            }
        }
    }

    async fn further(&self, host: &Host, address: &str) -> Result<Went, NotChanged> {
        match host.phase {
            Phase::Wanted | Phase::Serving | Phase::Releasing => Ok(Went::Nowhere),
            Phase::Provisioned => self.begin(host, address).await,
            Phase::Deploying => self.carry_out(Order::Deploy, host, address, Phase::Deployed).await,
            Phase::Deployed => self.step(host, Phase::Starting).await,
            Phase::Starting => self.carry_out(Order::Start, host, address, Phase::Started).await,
            Phase::Started => self.enter(host, address).await,
            Phase::Stopping => self.end(host, address).await,
            Phase::Stopped => self.leave(host, address).await,
        }
    }

    /// Nothing was done on it yet.
    async fn begin(&self, host: &Host, address: &str) -> Result<Went, NotChanged> {
        let status = match self.inner.ssh.status(&host.name, address).await {
            Ok(status) => status,
            Err(error) => return Ok(self.waits(host, error.to_string())),
        };
        // A host that was made just now may start the service by itself. On one that lay there, somebody did that.
        if status == Status::Runs && self.inner.tool.is_none() {
            let why = "the service runs there already, and nobody of this fleet has started it";
            return self.fails(host, why.to_owned()).await;
        }
        self.step(host, if self.inner.ssh.deploys() { Phase::Deploying } else { Phase::Deployed }).await
    }

    /// Deploys or starts. Both may be done again; what was begun by another process is.
    async fn carry_out(&self, order: Order, host: &Host, address: &str, then: Phase) -> Result<Went, NotChanged> {
        // The phase that is written down says that it begins; here, that it is still to be done, and by us.
        if self.step(host, host.phase).await? == Went::Nowhere {
            return Ok(Went::Nowhere);
        }
        match self.inner.ssh.order(order, &host.name, address, self.lock).await {
            Ok(()) => self.step(host, then).await,
            Err(Lost::Failed(said)) => {
                let what = if order == Order::Deploy { "deploying failed" } else { "its service does not start" };
                self.fails(host, format!("{what} {said}")).await
            }
            Err(Lost::Unknown(error)) => Ok(self.waits(host, error.to_string())),
        }
    }

    /// Once it is ready, it enters the load balancer.
    async fn enter(&self, host: &Host, address: &str) -> Result<Went, NotChanged> {
        let (id, at) = (InstanceId::new(&*host.name), self.inner.instance_at(address));
        let asked = Instance {
            id: id.clone(),
            address: Some(at.clone()),
            started_at: host.joined,
            state: InstanceState::Starting,
            detail: None,
            restarts: 0,
        };
        if host.barred || observe::ready(self.inner, &asked).await.is_err() {
            return Ok(Went::Nowhere);
        }
        if let Err(error) = self.inner.registry.enter(&id, &at).await {
            return Ok(self.waits(host, error.to_string()));
        }
        let went = self.step(host, Phase::Serving).await?;
        // Somebody may have been told meanwhile that it gets none.
        if self.inner.state()?.host(&host.name).is_none_or(|host| host.barred)
            && let Err(error) = self.inner.registry.bar(&id, &at).await
        {
            return Ok(self.waits(host, error.to_string()));
        }
        Ok(went)
    }

    /// No requests at all any more, then its end by its shutdown order.
    async fn end(&self, host: &Host, address: &str) -> Result<Went, NotChanged> {
        if self.step(host, host.phase).await? == Went::Nowhere {
            return Ok(Went::Nowhere);
        }
        let (id, at) = (InstanceId::new(&*host.name), self.inner.instance_at(address));
        if let Err(error) = self.inner.registry.bar(&id, &at).await {
            return Ok(self.waits(host, error.to_string()));
        }
        match self.inner.ssh.status(&host.name, address).await {
            Ok(Status::Stopped(_)) => return self.step(host, Phase::Stopped).await,
            Ok(Status::Runs) => {}
            Err(error) => return Ok(self.waits(host, error.to_string())),
        }
        match self.inner.ssh.order(Order::Stop, &host.name, address, self.lock).await {
            Ok(()) => {}
            Err(Lost::Failed(said)) => return Ok(self.waits(host, format!("its service does not stop {said}"))),
            Err(Lost::Unknown(error)) => return Ok(self.waits(host, error.to_string())),
        }
        match self.inner.ssh.status(&host.name, address).await {
            Ok(Status::Stopped(_)) => self.step(host, Phase::Stopped).await,
            Ok(Status::Runs) => Ok(self.waits(host, "its service runs on after the stop command".to_owned())),
            Err(error) => Ok(self.waits(host, error.to_string())),
        }
    }

    async fn leave(&self, host: &Host, address: &str) -> Result<Went, NotChanged> {
        let at = self.inner.instance_at(address);
        match self.inner.registry.leave(&InstanceId::new(&*host.name), &at).await {
            Ok(true) => self.step(host, Phase::Releasing).await,
            Ok(false) => Ok(self.waits(host, "the load balancer still has connections to it".to_owned())),
            Err(error) => Ok(self.waits(host, error.to_string())),
        }
    }

    /// Writes down that it is in that phase, if it is still in the one that was seen and we are still the latest.
    async fn step(&self, host: &Host, to: Phase) -> Result<Went, NotChanged> {
        let now = if to == host.phase { host.since } else { self.inner.clock.now() };
        let stepped = self.inner.store.change(self.epoch, |state| state.step(&host.name, host.phase, to, now)).await?;
        if stepped && to != host.phase {
            tracing::info!(host = %host.name, from = ?host.phase, ?to, "a host goes on");
        }
        Ok(if stepped { Went::On } else { Went::Nowhere })
    }

    /// It goes no further, and is the runbook's to take back.
    async fn fails(&self, host: &Host, why: String) -> Result<Went, NotChanged> {
        tracing::warn!(host = %host.name, %why, "a host goes no further");
        self.inner
            .store
            .change(self.epoch, |state| {
                if let Some(now) = state.host_mut(&host.name).filter(|now| now.phase == host.phase) {
                    now.failed = Some(why);
                }
            })
            .await?;
        Ok(Went::On)
    }

    /// It stays where it is for now.
    fn waits(&self, host: &Host, why: String) -> Went {
        let mut seen = self.inner.seen();
        if seen.troubles.get(&host.name) != Some(&why) {
            tracing::warn!(host = %host.name, phase = ?host.phase, %why, "a host waits");
        }
        seen.troubles.insert(host.name.clone(), why);
        Went::Nowhere
    }
}
