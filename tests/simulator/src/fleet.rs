//! The simulated fleet: an orchestrator that compares and swaps, and instances that become ready, late, or not at all.

use std::time::Duration;

use scalebot_commands::ports::{
    FleetState, Instance, InstanceState, OrderAnswer, RemoveOrder, RouteOrder, ScaleOrder, Work,
};
use scalebot_commands::units::{InstanceId, OperationId, Replicas, Timestamp};

use super::model::{Happening, Model, Ordered};

/// One instance, and in what it differs from the others.
pub(super) struct SimInstance {
    pub(super) shown: Instance,
    /// Contradicts the others on the halt and on the chain.
    pub(super) diverged: bool,
    /// Gets no new requests.
    pub(super) drained: bool,
    /// Who last said whether it gets requests.
    pub(super) routed_by: Option<OperationId>,
    /// When somebody else let it have requests again.
    pub(super) let_in: Option<Duration>,
    /// Requests not answered yet.
    pub(super) in_flight: u32,
    /// What it works on that takes long.
    pub(super) work: Vec<Work>,
    /// Since when, as long as it does.
    pub(super) busy_since: Option<Duration>,
}

/// The fleet as the orchestrator has it.
pub(super) struct SimFleet {
    pub(super) identity: u32,
    pub(super) wanted: u32,
    generation: u64,
    version: u64,
    pub(super) changed_by: Option<String>,
    changed_at: Option<Timestamp>,
    pub(super) instances: Vec<SimInstance>,
    born: u32,
    /// Whether its load is over the limits.
    pub(super) busy: bool,
    /// Whether it ends whom it likes where the count gets less, so that nobody can be named.
    pub(super) unnamed: bool,
}

impl SimFleet {
    pub(super) fn draw(dice: &mut fastrand::Rng, seed: u64) -> Self {
        let mut fleet = Self {
            identity: 1,
            wanted: dice.u32(2..=5),
            generation: 1,
            version: 1,
            changed_by: None,
            changed_at: None,
            instances: Vec::new(),
            born: 0,
            busy: dice.bool(),
            unnamed: seed % 5 == 2,
        };
        for _ in 0..fleet.wanted {
            fleet.bear("2026-01-08T02:00:00Z".parse().expect("a constant"), InstanceState::Ready);
        }
        fleet
    }

    fn bear(&mut self, at: Timestamp, state: InstanceState) -> String {
        self.born += 1;
        let id = format!("i{}", self.born);
        self.instances.push(SimInstance {
            shown: Instance {
                id: InstanceId::new(id.clone()),
                address: Some(format!("127.0.0.1:{}", 9000 + self.born)),
                started_at: at,
                state,
                detail: None,
                restarts: 0,
            },
            diverged: false,
            drained: false,
            routed_by: None,
            let_in: None,
            in_flight: 3,
            work: Vec::new(),
            busy_since: None,
        });
        id
    }

    pub(super) fn state(&self) -> FleetState {
        FleetState {
            identity: format!("fleet-{}", self.identity),
            wanted: Replicas(self.wanted),
            generation: self.generation,
            version: self.version.to_string(),
            changed_by: self.changed_by.clone(),
            changed_at: self.changed_at,
            instances: self.instances.iter().map(|instance| instance.shown.clone()).collect(),
        }
    }

    /// Anything of it has changed.
    pub(super) fn touched(&mut self) {
        self.version += 1;
    }

    pub(super) fn instance(&self, id: &InstanceId) -> Option<&SimInstance> {
        self.instances.iter().find(|instance| instance.shown.id == *id)
    }
}

impl Model {
    /// An order of ours arrives. The same order twice is one change.
    /// `left` is when it was sent.
    pub(super) fn land(&mut self, order: &Ordered, left: Duration) -> OrderAnswer {
        match order {
            Ordered::Scale(order) => self.land_scale(order, left),
            Ordered::Remove(order) => self.land_remove(order, left),
            Ordered::Route(order) => self.land_route(order),
            Ordered::Hold(order) => self.land_hold(order),
            Ordered::Release(order) => self.land_release(order),
            Ordered::Halt(_) => {
                (0..2).for_each(|source| self.halt(source, true));
                OrderAnswer::Done
            }
        }
    }

    /// Somebody lets the first one that was taken out have requests again.
    pub(super) fn let_in(&mut self) {
        let now = self.now;
        if let Some(one) = self.fleet.instances.iter_mut().find(|one| one.drained) {
            (one.drained, one.routed_by, one.in_flight, one.let_in) = (false, None, 3, Some(now));
            self.count("let in by somebody");
        }
    }

    fn land_remove(&mut self, order: &RemoveOrder, left: Duration) -> OrderAnswer {
        let fleet = &self.fleet;
        let ours = fleet.changed_by.as_deref() == Some(order.operation.as_str());
        let state = fleet.state();
        let gone = order.instances.iter().all(|id| fleet.instance(id).is_none());
        if state.identity == order.identity && state.wanted == order.to && ours && gone {
            self.count("the same order twice");
            return OrderAnswer::Done;
        }
        if state.identity != order.identity || state.wanted != order.from || state.version != order.version {
            self.count("conflict at the orchestrator");
            return OrderAnswer::Conflict { detail: format!("version {} is in force", state.version) };
        }
        if order.instances.iter().any(|id| fleet.instance(id).is_none()) {
            return OrderAnswer::Conflict { detail: "an instance is not there".to_owned() };
        }
        if self.chance(25) && !self.calm {
            return OrderAnswer::Refused { detail: "a budget".to_owned() };
        }
        self.judge_removal(order, left);
        self.fleet.instances.retain(|one| !order.instances.contains(&one.shown.id));
        self.set_count(order.to.0, order.operation.as_str());
        self.judge.removed(self.now, order);
        OrderAnswer::Done
    }

    fn land_route(&mut self, order: &RouteOrder) -> OrderAnswer {
        let soon = if self.chance(50) && !self.calm { self.between(20_000, 80_000) } else { self.between(0, 12_000) };
        match self.fleet.instances.iter_mut().find(|one| one.shown.id == order.instance) {
            None => OrderAnswer::Refused { detail: format!("it knows no {}", order.instance) },
            Some(one) => {
                one.drained = !order.receives;
                one.routed_by = Some(order.operation.clone());
                if order.receives {
                    one.in_flight = 3;
                } else {
                    self.after(soon, Happening::Idle(order.instance.as_str().to_owned()));
                }
                OrderAnswer::Done
            }
        }
    }

    /// What an instance had is answered, unless it gets requests again.
    pub(super) fn is_idle(&mut self, id: &str) {
        let one = self.fleet.instances.iter_mut().find(|one| one.shown.id.as_str() == id && one.drained);
        if let Some(one) = one {
            one.in_flight = 0;
        }
    }

    pub(super) fn works(&mut self, id: &str, works: bool) {
        let work = Work { what: "ceremony".to_owned(), constitutional: true, since: None };
        let since = works.then_some(self.now);
        if let Some(one) = self.fleet.instances.iter_mut().find(|one| one.shown.id.as_str() == id && !one.drained) {
            one.work = if works { vec![work] } else { Vec::new() };
            one.busy_since = if works { one.busy_since.or(since) } else { None };
        } else if !works && let Some(one) = self.fleet.instances.iter_mut().find(|one| one.shown.id.as_str() == id) {
            one.work.clear();
            one.busy_since = None;
        }
    }

    fn land_scale(&mut self, order: &ScaleOrder, left: Duration) -> OrderAnswer {
        let fleet = &self.fleet;
        let ours = fleet.changed_by.as_deref() == Some(order.operation.as_str());
        let state = fleet.state();
        if state.identity == order.identity && state.wanted == order.to && ours {
            self.count("the same order twice");
            return OrderAnswer::Done;
        }
        if state.identity != order.identity || state.wanted != order.from || state.version != order.version {
            self.count("conflict at the orchestrator");
            return OrderAnswer::Conflict { detail: format!("version {} is in force", state.version) };
        }
        if self.chance(25) && !self.calm {
            return OrderAnswer::Refused { detail: "quota".to_owned() };
        }
        // Whoever has failed works on nothing any more.
        let busy = |one: &SimInstance| one.busy_since.filter(|_| one.shown.state != InstanceState::Failed);
        let before: Vec<_> = self.fleet.instances.iter().map(|one| (one.shown.id.clone(), busy(one))).collect();
        self.set_count(order.to.0, order.operation.as_str());
        let ended = before.into_iter().filter(|(id, _)| self.fleet.instance(id).is_none()).collect();
        self.judge_chosen(order, left, ended);
        self.judge.landed(self.now, order);
        OrderAnswer::Done
    }

    /// As many go as are too many: the last ones, or whomever it likes.
    fn end_down_to(&mut self, count: usize) {
        if !self.fleet.unnamed {
            self.fleet.instances.truncate(count);
        }
        while self.fleet.instances.len() > count {
            let out_of_service = self.fleet.instances.iter().position(|one| one.shown.state != InstanceState::Ready);
            let any = self.dice.usize(..self.fleet.instances.len());
            self.fleet.instances.remove(out_of_service.unwrap_or(any));
            self.count("ended as it likes");
        }
    }

    /// Sets the count, whoever wants it.
    pub(super) fn set_count(&mut self, count: u32, by: &str) {
        let wall = self.wall();
        self.fleet.wanted = count;
        self.fleet.generation += 1;
        self.fleet.version += 1;
        self.fleet.changed_by = Some(by.to_owned());
        self.fleet.changed_at = Some(wall);
        self.end_down_to(count as usize);
        while self.fleet.instances.len() < count as usize {
            let id = self.fleet.bear(wall, InstanceState::Starting);
            let soon = self.between(500, 8_000);
            let luck = if self.calm { 1000 } else { self.dice.u32(..1000) };
            match luck {
                0..30 => {}
                30..60 => self.after(soon, Happening::Instance(id, InstanceState::Failed)),
                60..90 => {
                    self.after(soon, Happening::Instance(id.clone(), InstanceState::Ready));
                    self.after(soon + Duration::from_secs(1), Happening::Instance(id, InstanceState::Failed));
                }
                _ => {
                    if luck < 160
                        && let Some(last) = self.fleet.instances.last_mut()
                    {
                        last.diverged = true;
                    }
                    self.after(soon, Happening::Instance(id, InstanceState::Ready));
                }
            }
        }
        self.fleet_changed();
    }

    pub(super) fn instance_becomes(&mut self, id: &str, state: InstanceState) {
        let instance = self.fleet.instances.iter_mut().find(|instance| instance.shown.id.as_str() == id);
        if let Some(instance) = instance {
            instance.shown.state = state;
            self.fleet.version += 1;
            self.fleet_changed();
        }
    }

    pub(super) fn replace_fleet(&mut self) {
        self.fleet.identity += 1;
        self.fleet.instances.clear();
        self.set_count(self.fleet.wanted, "somebody");
    }
}
