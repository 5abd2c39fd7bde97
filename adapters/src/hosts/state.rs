//! What is wanted of the hosts and how far each of them is: the memory that an orchestrator would have.
//!
//! Orders change it in one step; whoever tends the hosts brings them there, and writes down each sub-step before it is
//! taken and after it. Here is only what follows from what.

use scalebot_commands::ports::{OrderAnswer, RemoveOrder, ScaleOrder};
use scalebot_commands::units::{InstanceId, Replicas, Timestamp};
use serde::{Deserialize, Serialize};

use super::settings::MAX_HOSTS;

/// The version of its shape.
const VERSION: u32 = 1;

/// How a place is called until there is a host for it.
pub(super) const PLACE: &str = "place-";

/// Everything that is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) version: u32,
    /// Which fleet it is: another file is another fleet.
    pub(super) identity: String,
    /// The fencing epoch of the latest process that tends it. No earlier one changes anything.
    pub(super) epoch: u64,
    /// Grows with every change of the wanted count.
    pub(super) generation: u64,
    /// How many instances are wanted.
    pub(super) wanted: Replicas,
    /// The operation that changed it last.
    pub(super) changed_by: Option<String>,
    pub(super) changed_at: Option<Timestamp>,
    /// Since when the tool that makes hosts is at work, or was when its answer was lost.
    pub(super) provisioning: Option<Timestamp>,
    /// Every host that is, was or is to be an instance. So many as are wanted, and those that are on their way out.
    pub(super) hosts: Vec<Host>,
}

/// One host, or a place for one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Host {
    pub(super) name: String,
    /// `None` as long as there is no host.
    pub(super) address: Option<String>,
    pub(super) phase: Phase,
    /// Since when it is in that phase.
    pub(super) since: Timestamp,
    /// Since when it is one of the fleet's.
    pub(super) joined: Timestamp,
    /// Why it goes no further, in words.
    pub(super) failed: Option<String>,
    /// Whether it is to get no requests, by an order.
    pub(super) barred: bool,
}

/// How far a host is. Each sub-step is written down before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Phase {
    /// There is no host for it yet.
    Wanted,
    /// There is a host, and nothing was done on it.
    Provisioned,
    /// The application is put there, or the answer to that was lost.
    Deploying,
    /// The application is there.
    Deployed,
    /// The service is started, or the answer to that was lost.
    Starting,
    /// The service was started.
    Started,
    /// It was ready, and entered the load balancer.
    Serving,
    /// It is to be ended.
    Stopping,
    /// Its service has ended; it leaves the load balancer.
    Stopped,
    /// It is given back.
    Releasing,
}

impl Phase {
    /// Whether it is one of those that are wanted.
    pub(super) fn is_wanted(self) -> bool {
        self < Self::Stopping
    }
}

impl Host {
    /// A host with nothing done on it.
    pub(super) fn new(name: String, address: Option<String>, phase: Phase, now: Timestamp) -> Self {
        Self { name, address, phase, since: now, joined: now, failed: None, barred: false }
    }
}

impl State {
    /// A fleet of those whose service was found to run.
    pub(super) fn found(identity: String, epoch: u64, running: Vec<Host>) -> Self {
        Self {
            version: VERSION,
            identity,
            epoch,
            generation: 1,
            wanted: count(&running),
            changed_by: None,
            changed_at: None,
            provisioning: None,
            hosts: running,
        }
    }

    /// What was written, if this version can tell what it means.
    ///
    /// # Errors
    /// What cannot be, in words.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let state: Self = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if state.version != VERSION {
            return Err(format!("it is of version {}, and this program knows {VERSION}", state.version));
        }
        if state.wanted != count(&state.hosts) {
            return Err(format!("it wants {} and holds {} hosts", state.wanted, count(&state.hosts)));
        }
        Ok(state)
    }

    pub(super) fn host(&self, name: &str) -> Option<&Host> {
        self.hosts.iter().find(|host| host.name == name)
    }

    pub(super) fn host_mut(&mut self, name: &str) -> Option<&mut Host> {
        self.hosts.iter_mut().find(|host| host.name == name)
    }

    /// The version that an order has to name.
    pub(super) fn token(&self) -> String {
        self.generation.to_string()
    }

    /// Goes from one phase to the next, if the host is still in that one. Whether it was.
    pub(super) fn step(&mut self, name: &str, from: Phase, to: Phase, now: Timestamp) -> bool {
        let Some(host) = self.host_mut(name).filter(|host| host.phase == from && host.failed.is_none()) else {
            return false;
        };
        (host.phase, host.since) = (to, now);
        true
    }

    /// Makes room for more, if everything is still as the order says.
    pub(super) fn scaled(&mut self, order: &ScaleOrder, now: Timestamp) -> OrderAnswer {
        if let Err(detail) = self.is_as_seen(&order.identity, order.from, &order.version) {
            return OrderAnswer::Conflict { detail };
        }
        if order.to <= order.from {
            let detail = "a count of hosts goes down only by naming who goes".to_owned();
            return OrderAnswer::Refused { detail };
        }
        if order.to.0 as usize > MAX_HOSTS {
            return OrderAnswer::Refused { detail: format!("{MAX_HOSTS} hosts at most") };
        }
        self.changed(order.operation.as_str(), order.to, now);
        for number in 1..=order.to.0 - order.from.0 {
            let name = format!("{PLACE}{}-{number}", self.generation);
            self.hosts.push(Host::new(name, None, Phase::Wanted, now));
        }
        OrderAnswer::Done
    }

    /// Has exactly these end, if everything is still as the order says.
    pub(super) fn removed(&mut self, order: &RemoveOrder, now: Timestamp) -> OrderAnswer {
        if let Err(detail) = self.is_as_seen(&order.identity, order.from, &order.version) {
            return OrderAnswer::Conflict { detail };
        }
        let named = |host: &&Host| host.phase.is_wanted() && order.instances.contains(&InstanceId::new(&*host.name));
        let found = self.hosts.iter().filter(named).count();
        if found != order.instances.len() || order.from.0.checked_sub(order.to.0).map(|it| it as usize) != Some(found) {
            let detail = "those that are to go are not all there, or not as many as the count is lower by".to_owned();
            return OrderAnswer::Conflict { detail };
        }
        self.changed(order.operation.as_str(), order.to, now);
        // A place for which there is no host yet is gone at once. A host that is made for it meanwhile is given back.
        let named = |host: &Host| order.instances.contains(&InstanceId::new(&*host.name));
        self.hosts.retain(|host| !(named(host) && host.phase == Phase::Wanted));
        for host in self.hosts.iter_mut().filter(|host| host.phase.is_wanted() && named(host)) {
            // What nobody of this fleet has started is not theirs to end either.
            let to = if host.phase < Phase::Starting { Phase::Stopped } else { Phase::Stopping };
            (host.phase, host.since, host.failed, host.barred) = (to, now, None, true);
        }
        OrderAnswer::Done
    }

    /// Takes over what the tool says there is: a host that is new fills a place, and one for which there is none any more
    /// is given back.
    pub(super) fn provisioned(&mut self, listed: &[super::settings::Listed], now: Timestamp) {
        for one in listed {
            if self.host(&one.name).is_some() {
                continue;
            }
            let place = self.hosts.iter_mut().find(|host| host.phase == Phase::Wanted);
            if let Some(place) = place {
                place.name.clone_from(&one.name);
                place.address = Some(one.address.clone());
                (place.phase, place.since, place.failed) = (Phase::Provisioned, now, None);
            } else {
                let (name, address) = (one.name.clone(), Some(one.address.clone()));
                self.hosts.push(Host::new(name, address, Phase::Stopped, now));
            }
        }
    }

    fn is_as_seen(&self, identity: &str, from: Replicas, version: &str) -> Result<(), String> {
        if self.identity != identity {
            return Err("it is another fleet than the one that was seen".to_owned());
        }
        if self.wanted != from || self.token() != version {
            let who = self.changed_by.as_deref().unwrap_or("nobody known");
            return Err(format!("{} are wanted now, by {}", self.wanted, crate::hosts::quote(who)));
        }
        Ok(())
    }

    fn changed(&mut self, by: &str, to: Replicas, now: Timestamp) {
        self.generation += 1;
        self.wanted = to;
        self.changed_by = Some(by.to_owned());
        self.changed_at = Some(now);
    }
}

fn count(hosts: &[Host]) -> Replicas {
    let wanted = hosts.iter().filter(|host| host.phase.is_wanted()).count();
    Replicas(u32::try_from(wanted).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use scalebot_commands::units::OperationId;

    use super::super::settings::Listed;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn fleet(names: &[&str]) -> State {
        let host = |name: &&str| Host::new((*name).to_owned(), Some("10.0.0.1".into()), Phase::Serving, at(0));
        State::found("fleet".into(), 3, names.iter().map(host).collect())
    }

    fn up(state: &State, to: u32) -> ScaleOrder {
        ScaleOrder {
            identity: state.identity.clone(),
            from: state.wanted,
            to: Replicas(to),
            version: state.token(),
            operation: OperationId::new("op"),
        }
    }

    fn down(state: &State, names: &[&str]) -> RemoveOrder {
        let names: Vec<_> = names.iter().map(|name| InstanceId::new(*name)).collect();
        RemoveOrder {
            identity: state.identity.clone(),
            from: state.wanted,
            to: Replicas(state.wanted.0 - u32::try_from(names.len()).unwrap()),
            version: state.token(),
            instances: names,
            operation: OperationId::new("op"),
        }
    }

    fn phases(state: &State) -> Vec<(&str, Phase)> {
        state.hosts.iter().map(|host| (&*host.name, host.phase)).collect()
    }

    fn listed(name: &str) -> Listed {
        Listed { name: name.into(), address: format!("{name}.example") }
    }

    #[test]
    fn an_order_counts_only_while_everything_is_as_it_was_seen() {
        let mut state = fleet(&["a", "b"]);
        let order = up(&state, 4);
        assert_eq!(state.scaled(&order, at(1)), OrderAnswer::Done);
        assert_eq!((state.wanted, state.generation, state.changed_by.as_deref()), (Replicas(4), 2, Some("op")));
        let after = state.clone();
        // The same once more, another fleet, and a count that only the names of those who go may lower.
        assert!(matches!(state.scaled(&order, at(2)), OrderAnswer::Conflict { .. }));
        let other = ScaleOrder { identity: "other".into(), ..up(&state, 5) };
        assert!(matches!(state.scaled(&other, at(2)), OrderAnswer::Conflict { .. }));
        assert!(matches!(state.scaled(&up(&after, 3), at(2)), OrderAnswer::Refused { .. }));
        let strangers = down(&state, &["a", "z"]);
        assert!(matches!(state.removed(&strangers, at(2)), OrderAnswer::Conflict { .. }));
        let too_few = RemoveOrder { to: Replicas(2), ..down(&state, &["a"]) };
        assert!(matches!(state.removed(&too_few, at(2)), OrderAnswer::Conflict { .. }));
        assert_eq!(state, after);
    }

    #[test]
    fn exactly_those_that_are_named_end_and_a_place_without_a_host_is_gone_at_once() {
        let mut state = fleet(&["a", "b"]);
        state.scaled(&up(&state.clone(), 4), at(1));
        state.provisioned(&[listed("a"), listed("b"), listed("c")], at(2));
        assert_eq!(phases(&state)[2..], [("c", Phase::Provisioned), ("place-2-2", Phase::Wanted)]);
        let order = down(&state, &["c", "place-2-2"]);
        assert_eq!(state.removed(&order, at(3)), OrderAnswer::Done);
        assert_eq!(phases(&state), [("a", Phase::Serving), ("b", Phase::Serving), ("c", Phase::Stopped)]);
        let order = down(&state, &["b"]);
        assert_eq!(state.removed(&order, at(3)), OrderAnswer::Done);
        assert_eq!(phases(&state)[1..], [("b", Phase::Stopping), ("c", Phase::Stopped)]);
        // Nobody on their way out is ended twice.
        let again = down(&state, &["c"]);
        assert!(matches!(state.removed(&again, at(4)), OrderAnswer::Conflict { .. }));
    }

    #[test]
    fn a_host_that_was_made_for_a_place_that_is_gone_is_given_back() {
        let mut state = fleet(&["a"]);
        state.scaled(&up(&state.clone(), 2), at(1));
        let order = down(&state, &["place-2-1"]);
        state.removed(&order, at(2));
        state.provisioned(&[listed("a"), listed("late")], at(3));
        assert_eq!(phases(&state), [("a", Phase::Serving), ("late", Phase::Stopped)]);
        assert_eq!(state.wanted, Replicas(1));
    }

    #[test]
    fn what_is_kept_is_read_again_and_nothing_else_is() {
        let state = fleet(&["a"]);
        let kept = serde_json::to_value(&state).unwrap();
        assert_eq!(State::read(kept.to_string().as_bytes()), Ok(state));
        for (field, value) in [("version", 2), ("wanted", 5)] {
            let mut other = kept.clone();
            other[field] = value.into();
            assert!(State::read(other.to_string().as_bytes()).is_err(), "{field}");
        }
        assert!(State::read(b"{}").is_err() && State::read(b"").is_err());
    }

    #[test]
    fn a_sub_step_is_taken_only_from_where_it_begins() {
        let mut state = fleet(&["a"]);
        assert!(!state.step("a", Phase::Deployed, Phase::Starting, at(1)));
        assert!(state.step("a", Phase::Serving, Phase::Started, at(1)));
        state.host_mut("a").unwrap().failed = Some("broken".into());
        assert!(!state.step("a", Phase::Started, Phase::Serving, at(2)));
        assert!(!state.step("z", Phase::Started, Phase::Serving, at(2)));
    }
}
