//! The service's slots as instances: each has the task that is in it now, and those before it that ended.
//!
//! A task that crashes is followed by another in the same slot, so the instance stays, and was started again. Those before it
//! are what the swarm keeps of them: a few, by its task history limit.

use std::collections::BTreeMap;

use scalebot_commands::ports::{FleetState, Instance, InstanceState};
use scalebot_commands::request::escaped;
use scalebot_commands::units::{InstanceId, Replicas};

use super::cluster::{Node, Task};
use super::order;
use super::{Seen, SwarmSettings};
use crate::docker::{Reach, container};

/// How long what is said of one instance may be, in characters.
const DETAIL: usize = 200;

/// One that was started so often again is not expected to stay up.
const TOO_MANY_RESTARTS: u32 = 3;

impl Seen {
    /// The fleet.
    pub(super) fn fleet(&self, settings: &SwarmSettings) -> FleetState {
        let service = &self.service;
        FleetState {
            identity: service.id.clone(),
            wanted: self.wanted,
            generation: service.version.index,
            version: service.version.index.to_string(),
            changed_by: order::marked_by(service, self.wanted),
            changed_at: Some(service.updated_at),
            instances: self.instances(settings),
        }
    }

    fn instances(&self, settings: &SwarmSettings) -> Vec<Instance> {
        let slots = by_slot(&self.tasks);
        let (living, ended): (Vec<&Slot<'_>>, Vec<&Slot<'_>>) = slots.iter().partition(|slot| slot.lives());
        let places = self.wanted.0.saturating_sub(counted(living.iter().filter(|slot| !slot.leaves())));
        // One that has ended for good is an instance as long as nothing is in its place; else it is history.
        let ended = ended.into_iter().take(places as usize);
        let mut shown: Vec<&Slot<'_>> = living.into_iter().chain(ended).collect();
        shown.sort_by_key(|slot| slot.number);
        shown.into_iter().map(|slot| self.instance(slot, settings)).collect()
    }

    fn instance(&self, slot: &Slot<'_>, settings: &SwarmSettings) -> Instance {
        let task = slot.now;
        let (state, detail) = slot.state(self.node(task));
        Instance {
            id: InstanceId::new(format!("{}.{}", settings.service, slot.number)),
            address: self.address(task, settings),
            started_at: task.status.timestamp.filter(|_| runs(task)).unwrap_or(task.created_at),
            state,
            detail: detail.map(|detail| escaped(&detail, DETAIL)),
            restarts: slot.restarts(),
        }
    }

    fn node(&self, task: &Task) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == task.node)
    }

    fn address(&self, task: &Task, settings: &SwarmSettings) -> Option<String> {
        match settings.reach {
            Reach::Published => {
                let port = settings.port.or_else(|| only(self.service.host_ports()).map(|(port, _)| port))?;
                let published = task
                    .status
                    .published
                    .as_ref()?
                    .ports
                    .iter()
                    .find(|one| one.protocol == "tcp" && one.target == port && one.mode == "host")?;
                let node = self.node(task)?.address()?;
                (published.published > 0).then(|| container::host_and_port(node, published.published))
            }
            Reach::Address => {
                let named = |name: &str| match &settings.network {
                    Some(network) => name == network,
                    None => true,
                };
                let fit = task.networks_attachments.iter();
                let fit = fit.filter(|one| named(&one.network.spec.name) && !one.network.spec.ingress);
                let address = only(fit.collect())?.addresses.first()?;
                let address = address.split('/').next().filter(|address| !address.is_empty())?;
                Some(container::host_and_port(address, settings.port?))
            }
        }
    }
}

/// The only one.
fn only<T>(all: Vec<T>) -> Option<T> {
    let mut all = all.into_iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn counted<T>(some: impl Iterator<Item = T>) -> u32 {
    u32::try_from(some.count()).unwrap_or(u32::MAX)
}

/// A place of the service, with the task that is in it and those that were.
struct Slot<'a> {
    number: u64,
    now: &'a Task,
    /// The newest first.
    before: Vec<&'a Task>,
}

fn by_slot(tasks: &[Task]) -> Vec<Slot<'_>> {
    let mut slots: BTreeMap<u64, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        slots.entry(task.slot).or_default().push(task);
    }
    slots.into_iter().filter_map(|(number, tasks)| Slot::of(number, tasks)).collect()
}

fn is_to_run(task: &Task) -> bool {
    !matches!(task.desired_state.as_str(), "shutdown" | "remove")
}

fn has_ended(task: &Task) -> bool {
    matches!(task.status.state.as_str(), "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned")
}

/// Whether it ended by itself: one that was told to has the state "shutdown".
fn ended_by_itself(task: &Task) -> bool {
    matches!(task.status.state.as_str(), "complete" | "failed" | "rejected" | "orphaned")
}

/// Whether it serves: with a health check, Swarm says so of nobody who has not passed it.
pub(super) fn runs(task: &Task) -> bool {
    task.status.state == "running"
}

/// Whether Swarm sends it requests, by the service's name.
pub(super) fn is_resolved(task: &Task) -> bool {
    runs(task) && is_to_run(task)
}

/// The instances' names with the tasks that are in them now.
pub(super) fn in_service<'a>(tasks: &'a [Task], service: &str) -> Vec<(InstanceId, &'a Task)> {
    let named = |slot: Slot<'a>| (InstanceId::new(format!("{service}.{}", slot.number)), slot.now);
    by_slot(tasks).into_iter().filter(Slot::lives).map(named).collect()
}

/// The task whose logs tell most of that instance: the one that is in its place if it runs, else the last that did.
pub(super) fn who_wrote<'a>(tasks: &'a [Task], instance: &InstanceId, service: &str) -> Option<&'a Task> {
    let slot: u64 = instance.as_str().strip_prefix(service)?.strip_prefix('.')?.parse().ok()?;
    let has_run = |task: &&Task| task.status.container.as_ref().is_some_and(|container| !container.id.is_empty());
    let mut of_it: Vec<&Task> = tasks.iter().filter(|task| task.slot == slot).filter(has_run).collect();
    of_it.sort_by_key(|task| std::cmp::Reverse((runs(task), task.created_at)));
    // One that has only just begun says less than the one before it that crashed.
    let crashed =
        of_it.iter().find(|task| ended_by_itself(task)).filter(|_| of_it.first().is_some_and(|one| !runs(one)));
    crashed.or(of_it.first()).copied()
}

impl<'a> Slot<'a> {
    fn of(number: u64, mut tasks: Vec<&'a Task>) -> Option<Self> {
        // Who is to run; else who still does; else who was there last.
        tasks.sort_by_key(|task| std::cmp::Reverse((is_to_run(task), !has_ended(task), task.created_at)));
        let mut tasks = tasks.into_iter();
        Some(Slot { number, now: tasks.next()?, before: tasks.collect() })
    }

    /// Whether anything is in it.
    fn lives(&self) -> bool {
        is_to_run(self.now) || !has_ended(self.now)
    }

    /// Whether nobody is to be in it any more.
    fn leaves(&self) -> bool {
        !is_to_run(self.now)
    }

    fn restarts(&self) -> u32 {
        counted(self.before.iter().filter(|task| ended_by_itself(task)))
    }

    fn state(&self, node: Option<&Node>) -> (InstanceState, Option<String>) {
        let task = self.now;
        if self.leaves() {
            return if has_ended(task) {
                (InstanceState::Failed, Some(format!("{}, and is not started again", how_it_ended(task))))
            } else {
                (InstanceState::Terminating, None)
            };
        }
        if let Some(down) = node.filter(|node| node.status.state != "ready") {
            let why = format!("its node {} is {}", down.description.hostname, down.status.state);
            return (InstanceState::NotReady, Some(why));
        }
        if runs(task) {
            return (InstanceState::Ready, None);
        }
        let restarts = self.restarts() + u32::from(ended_by_itself(task));
        let last = std::iter::once(task).chain(self.before.iter().copied()).find(|task| ended_by_itself(task));
        if let Some(last) = last.filter(|_| restarts > 0) {
            let why = format!("{}; it was started again {} times", how_it_ended(last), self.restarts());
            let hopeless = restarts >= TOO_MANY_RESTARTS;
            return (if hopeless { InstanceState::Failed } else { InstanceState::NotReady }, Some(why));
        }
        (InstanceState::Starting, Some(how_far(task)))
    }
}

/// How far one is that does not run yet.
fn how_far(task: &Task) -> String {
    let status = &task.status;
    let said = if status.err.is_empty() { &status.message } else { &status.err };
    match (status.state.as_str(), said.is_empty()) {
        // "no suitable node (insufficient resources on 1 node)"
        ("pending", false) if !status.err.is_empty() => said.clone(),
        ("starting", _) if status.err.is_empty() => "started, and its health check has not passed yet".to_owned(),
        (state, true) => state.to_owned(),
        (state, false) => format!("{state}: {said}"),
    }
}

fn how_it_ended(task: &Task) -> String {
    let status = &task.status;
    let code = status.container.as_ref().map(|container| container.exit_code);
    match (status.state.as_str(), code) {
        ("rejected", _) => format!("it was refused by its node: {}", status.err),
        ("orphaned", _) => "its node was lost".to_owned(),
        // What Swarm says of it beside the code is the code.
        (_, Some(code)) if code != 0 => container::exit(code),
        ("failed", _) if !status.err.is_empty() => format!("it failed: {}", status.err),
        (_, Some(code)) => container::exit(code),
        (_, None) => format!("it ended ({})", status.state),
    }
}

/// How many are to run and have no node yet.
pub(super) fn not_placed(tasks: &[Task]) -> Replicas {
    Replicas(counted(tasks.iter().filter(|task| is_to_run(task) && task.node.is_empty())))
}
