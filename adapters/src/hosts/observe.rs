//! How the fleet is: what is written down, and what each instance says of itself. What takes a login by SSH is looked up
//! beside it, so that an answer never waits for a host.

use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, stream};
use scalebot_commands::ports::{FleetState, Headroom, Instance, InstanceState, PortError};
use scalebot_commands::units::{InstanceId, Replicas};
use tokio::time::timeout;

use super::settings::Listed;
use super::ssh::Status;
use super::state::{Host, Phase, State};
use super::{Inner, Looked};

/// How soon a service that was looked at is looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// How old a look may be that says that a service has ended.
const FRESH: Duration = Duration::from_secs(15);

/// How many instances are asked at the same time how they are.
const AT_ONCE: usize = 64;

/// How many hosts are named in one sentence.
pub(super) const NAMED: usize = 5;

/// The fleet as it is.
pub(super) async fn fleet(inner: &Arc<Inner>) -> Result<FleetState, PortError> {
    let state = inner.state()?;
    let shown: Vec<Host> = state.hosts.iter().filter(|host| host.phase < Phase::Stopped).cloned().collect();
    let asked: Vec<_> = shown.iter().map(|host| instance(inner, host).boxed()).collect();
    let instances = stream::iter(asked).buffered(AT_ONCE).collect().await;
    Ok(FleetState {
        identity: state.identity.clone(),
        wanted: state.wanted,
        generation: state.generation,
        version: state.token(),
        changed_by: state.changed_by.clone(),
        changed_at: state.changed_at,
        instances,
    })
}

async fn instance(inner: &Arc<Inner>, host: &Host) -> Instance {
    let address = host.address.as_deref().map(|address| inner.instance_at(address));
    let bare = Instance {
        id: InstanceId::new(&*host.name),
        address,
        started_at: host.joined,
        state: InstanceState::Starting,
        detail: None,
        restarts: 0,
    };
    let (state, detail) = told(inner, host, &bare).await;
    Instance { state, detail, ..bare }
}

async fn told(inner: &Arc<Inner>, host: &Host, bare: &Instance) -> (InstanceState, Option<String>) {
    let trouble = {
        let seen = inner.seen();
        seen.troubles.get(&host.name).or(seen.trouble.as_ref()).cloned()
    };
    if !host.phase.is_wanted() {
        return (InstanceState::Terminating, trouble);
    }
    if let Some(why) = &host.failed {
        return (InstanceState::Failed, Some(why.clone()));
    }
    if !is_listed(inner, host) {
        let why = "the inventory does not name this host any more";
        return (InstanceState::Failed, Some(why.to_owned()));
    }
    let doing = match host.phase {
        Phase::Wanted => "a host is made for it",
        Phase::Provisioned | Phase::Deploying => "the application is put there",
        Phase::Deployed | Phase::Starting => "its service is started",
        _ => return running(inner, host, bare, trouble).await,
    };
    (InstanceState::Starting, trouble.or_else(|| Some(doing.to_owned())))
}

/// Of one whose service was started.
async fn running(
    inner: &Arc<Inner>,
    host: &Host,
    bare: &Instance,
    trouble: Option<String>,
) -> (InstanceState, Option<String>) {
    let has_entered = host.phase == Phase::Serving;
    let Err(why) = ready(inner, bare).await else {
        if has_entered {
            return (InstanceState::Ready, None);
        }
        let enters = if host.barred { "it is kept out of the load balancer" } else { "it enters the load balancer" };
        return (InstanceState::Starting, trouble.or_else(|| Some(enters.to_owned())));
    };
    match service(inner, host) {
        Some(Status::Stopped(word)) => (InstanceState::Failed, Some(format!("its service is {word} ({why})"))),
        _ if has_entered => (InstanceState::NotReady, Some(why)),
        _ => (InstanceState::Starting, Some(why)),
    }
}

/// Whether it says that it is ready, or why it is not known or not so.
pub(super) async fn ready(inner: &Inner, instance: &Instance) -> Result<(), String> {
    let limit = inner.settings.limits.ready;
    let late = || PortError::TimedOut { what: instance.id.to_string(), limit };
    let answer = timeout(limit, inner.probe.ready(instance)).await.unwrap_or_else(|_| Err(late()));
    let readiness = answer.map_err(|error| error.to_string())?;
    if readiness.ready {
        return Ok(());
    }
    let wrong: Vec<&str> =
        readiness.checks.iter().filter(|check| !check.healthy).map(|check| check.name.as_str()).collect();
    Err(if wrong.is_empty() {
        "it says that it is not ready".to_owned()
    } else {
        format!("not ready: {}", wrong.join(", "))
    })
}

/// What was seen of its service lately. It is looked at again meanwhile.
fn service(inner: &Arc<Inner>, host: &Host) -> Option<Status> {
    let now = inner.clock.monotonic();
    let mut seen = inner.seen();
    let looked = seen.services.get(&host.name).filter(|looked| looked.phase_since == host.since);
    let age = looked.map(|looked| now.saturating_sub(looked.at));
    let found = looked.filter(|_| age.is_some_and(|age| age <= FRESH)).and_then(|looked| looked.found.clone().ok());
    if age.is_none_or(|age| age >= AGAIN)
        && let Some(address) = host.address.clone()
        && seen.looking.insert(host.name.clone())
    {
        let (inner, name, phase_since) = (Arc::clone(inner), host.name.clone(), host.since);
        tokio::spawn(async move {
            let at = inner.clock.monotonic();
            let found = inner.ssh.status(&name, &address).await;
            let mut seen = inner.seen();
            seen.looking.remove(&name);
            seen.services.insert(name, Looked { phase_since, at, found });
        });
    }
    found
}

/// Whether the inventory still has it, as far as that is known.
fn is_listed(inner: &Inner, host: &Host) -> bool {
    if host.address.is_none() {
        return true;
    }
    if inner.tool.is_some() {
        return inner.seen().listed.as_ref().is_none_or(|listed| listed.contains(&host.name));
    }
    let same = |listed: &Listed| listed.name == host.name && Some(&listed.address) == host.address.as_ref();
    inner.settings.hosts.iter().any(same)
}

/// Of the inventory, who is none of the fleet's.
pub(super) fn spare(inner: &Inner, state: &State) -> Vec<Listed> {
    let free = |listed: &&Listed| state.host(&listed.name).is_none();
    inner.settings.hosts.iter().filter(free).cloned().collect()
}

/// What each of them runs, so many at a time, in their order.
pub(super) async fn services(inner: &Inner, hosts: Vec<Listed>) -> Vec<(Listed, Result<Status, PortError>)> {
    let asked: Vec<_> = hosts.into_iter().map(|host| service_of(inner, host).boxed()).collect();
    stream::iter(asked).buffered(inner.settings.limits.at_once).collect().await
}

async fn service_of(inner: &Inner, host: Listed) -> (Listed, Result<Status, PortError>) {
    let status = inner.ssh.status(&host.name, &host.address).await;
    (host, status)
}

/// Why a spare host cannot be used; `None` where it can.
pub(super) fn unfit(host: &Listed, found: &Result<Status, PortError>) -> Option<String> {
    match found {
        Ok(Status::Stopped(_)) => None,
        Ok(Status::Runs) => Some(format!("on {} the service runs already", host.name)),
        Err(error) => Some(error.to_string()),
    }
}

/// How many more instances find a host.
pub(super) async fn headroom(inner: &Inner, wanted: Replicas) -> Result<Headroom, PortError> {
    let state = inner.state()?;
    if let Some(tool) = &inner.tool {
        let answer = tool.list().await?;
        let fits = Replicas(tool.room(&answer)?).min(wanted);
        let runs_out = (fits < wanted).then(|| "what the provisioning command may make".to_owned());
        return Ok(Headroom { fits, runs_out, source: tool.what() });
    }
    let looked = services(inner, spare(inner, &state)).await;
    let unfit: Vec<String> = looked.iter().filter_map(|(host, found)| unfit(host, found)).collect();
    let fits = u32::try_from(looked.len() - unfit.len()).unwrap_or(u32::MAX);
    let fits = Replicas(fits).min(wanted);
    let why = if unfit.is_empty() { String::new() } else { format!(" ({})", named(&unfit)) };
    let runs_out = (fits < wanted).then(|| format!("the inventory of {} hosts{why}", inner.settings.hosts.len()));
    Ok(Headroom { fits, runs_out, source: "the inventory of hosts".to_owned() })
}

/// The first of them, and how many more there are.
pub(super) fn named(all: &[String]) -> String {
    let shown = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join("; ");
    match all.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
