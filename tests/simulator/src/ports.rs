//! The ports as one process of the bot has them: each call goes through the gate and then to the model.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_commands::event::{Event, Hash, Kind};
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Chain, ChainLink, Choice, ComplexityBudget, Declared, DisruptionBudget, Draining, EarlyWarning, Fleet, FleetState,
    Governance, HaltOrder, HaltReading, HaltSource, Headroom, Held, HoldOrder, Instance, InstanceState, Metrics,
    NamedCheck, OrderAnswer, Pool, PoolBudget, PortError, Ports, Precondition, Probe, Readiness, ReleaseOrder,
    RemoveOrder, RouteOrder, Routed, ScaleOrder, Steering, Target, Traffic, Work, World,
};
use scalebot_commands::units::{Epoch, InstanceId, Millis, OperationId, Replicas, TargetName, Timestamp, elapsed};

use super::gate::{Fate, Lost, Way};
use super::judge::HaltRead;
use super::model::{GRACE, Happening, InFlight, Model, Ordered, Shared, lock};

/// What one process calls the world through.
#[derive(Clone)]
pub(super) struct Port {
    pub(super) sim: Shared,
    pub(super) process: usize,
    pub(super) epoch: Epoch,
}

/// One halt source, by its number.
struct HaltPort(Port, usize);

impl Port {
    pub(super) fn ports(&self) -> Ports {
        let port = Arc::new(self.clone());
        let halt = (0..2).map(|number| Arc::new(HaltPort(self.clone(), number)) as Arc<dyn HaltSource>).collect();
        Ports {
            world: port.clone(),
            ledger: port.clone(),
            samples: port.clone(),
            room: port.clone(),
            documents: port.clone(),
            target: Target {
                name: TargetName::new("api"),
                fleet: port.clone(),
                traffic: port.clone(),
                metrics: port.clone(),
                halt,
                probe: port.clone(),
                chain: Some(port.clone()),
                governance: Some(port.clone()),
                pools: vec![port],
                dashboards: Vec::new(),
            },
        }
    }

    pub(super) async fn ask<T>(&self, what: &'static str, read: impl FnOnce(&mut Model) -> T) -> Result<T, PortError> {
        self.call(what, read).await.map_err(|lost| lost.port(what))
    }
}

impl Port {
    /// Sends an order: from here on nothing that happens to the caller holds it back.
    async fn send(&self, what: &'static str, order: Ordered, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Fate { mut way, before, after } = self.fate(what);
        let late = {
            let mut model = lock(&self.sim);
            let often = model.weather.late;
            // What comes late there cannot be told from what is wanted.
            !order.is_unconditional() && way == Way::Answered && !model.calm && model.chance(often)
        };
        if late {
            way = Way::Silent;
        }
        // Even the fastest network takes time: an answer that is lost at once does not come before the request.
        let before = before.max(Duration::from_millis(1));
        // The request leaves now; from here on nothing that happens to the caller holds it back.
        let ticket = {
            let mut model = lock(&self.sim);
            model.judge_act(self.process, &order, &fence);
            let ticket = model.in_flight.len();
            let (unconditional, steering) = (order.is_unconditional(), order.is_steering());
            let flight = InFlight { process: self.process, left: model.now, order, answer: None };
            model.in_flight.push(flight);
            if !unconditional && !model.calm && model.chance(25) {
                // Something of what it is about changes just then, and the order no longer fits.
                if steering {
                    let now = model.now;
                    model.steering.touched(now);
                } else {
                    model.fleet.touched();
                    model.fleet_changed();
                }
            }
            let arrives = model.now + before;
            match way {
                Way::Unreachable | Way::DiesBefore | Way::Silent if !late => {}
                _ if late => {
                    model.count("request lands late");
                    let longest = if model.dice.bool() { 7_000 } else { 60_000 };
                    let later = model.between(4_500, longest);
                    model.at(arrives + later, Happening::Land(ticket));
                }
                _ => model.at(arrives, Happening::Land(ticket)),
            }
            if !unconditional && !model.calm && model.chance(30) {
                model.count("request lands twice");
                let later = model.between(0, 20_000);
                model.at(arrives + later, Happening::Land(ticket));
            }
            ticket
        };
        let fate = Fate { way, before, after };
        self.sleep(before).await;
        self.arrives(what, fate).await.map_err(|lost| lost.port(what))?;
        let answer = lock(&self.sim).in_flight[ticket].answer.clone();
        self.returns(what, fate).await.map_err(|lost| lost.port(what))?;
        answer.ok_or_else(|| Lost::TimedOut.port(what))
    }
}

impl World for Port {
    fn now(&self) -> Timestamp {
        lock(&self.sim).wall_of(self.process)
    }
    fn monotonic(&self) -> Duration {
        lock(&self.sim).now
    }
    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Port::sleep(self, length))
    }
    fn unique_id(&self) -> String {
        format!("op-{:08}", lock(&self.sim).serial())
    }
    fn random(&self) -> u64 {
        lock(&self.sim).dice.u64(..)
    }
}

#[async_trait]
impl Fleet for Port {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let index = lock(&self.sim).judge.looks(self.process);
        self.ask("fleet.observe", |model| {
            let as_of = self.shown(model, Duration::from_secs(6));
            model.judge.saw(self.process, index, model.now, as_of);
            model.fleet_as_of(as_of)
        })
        .await
    }

    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.scale", Ordered::Scale(order.clone()), fence).await
    }

    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.remove", Ordered::Remove(order.clone()), fence).await
    }

    fn choice(&self, _: &FleetState) -> Choice {
        if lock(&self.sim).fleet.unnamed {
            return Choice::Unnamed { why: "the simulator ends whom it likes".to_owned() };
        }
        Choice::Any
    }

    async fn logs(&self, instance: &InstanceId, _: usize) -> Result<String, PortError> {
        self.ask("fleet.logs", |_| format!("{instance} has started")).await
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        self.ask("fleet.disruptions", |_| None).await
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        self.ask("fleet.headroom", |_| Headroom { fits: wanted, runs_out: None, source: "the simulator".to_owned() })
            .await
    }

    fn precondition(&self) -> Precondition {
        Precondition::Enforced
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        self.ask("fleet.steered_by", |model| {
            let as_of = self.shown(model, Duration::from_secs(6));
            model.steering.steered_by(as_of)
        })
        .await
    }

    async fn hold(&self, order: &HoldOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.hold", Ordered::Hold(order.clone()), fence).await
    }

    async fn held_by(&self, operation: &OperationId) -> Result<Vec<Held>, PortError> {
        self.ask("fleet.held_by", |model| model.steering.held_by(operation)).await
    }

    async fn release(&self, order: &ReleaseOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.release", Ordered::Release(order.clone()), fence).await
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        self.ask("fleet.declared", |model| {
            let line = format!("replicas: {}", model.declared?);
            Some(Declared { count: Replicas(model.declared?), place: "fleet.yaml:7".to_owned(), line })
        })
        .await
    }

    fn describe(&self) -> String {
        "the simulated fleet".to_owned()
    }
}

#[async_trait]
impl Traffic for Port {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        self.ask("traffic.routed", |model| {
            let known = model.fleet.instances.iter();
            known
                .map(|one| Routed {
                    instance: one.shown.id.clone(),
                    receives: !one.drained && one.shown.state == InstanceState::Ready,
                    drained: one.drained,
                    requests: Some(1),
                    in_flight: Some(one.in_flight),
                })
                .collect()
        })
        .await
    }

    async fn route(&self, order: &RouteOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("traffic.route", Ordered::Route(order.clone()), fence).await
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        self.ask("traffic.draining", |model| {
            if model.fleet.unnamed {
                return Draining::AsItEnds { grace: GRACE, how: "it answers its last requests as it ends".to_owned() };
            }
            Draining::ByOrder
        })
        .await
    }

    fn describe(&self) -> String {
        "the simulated balancer".to_owned()
    }
}

#[async_trait]
impl Metrics for Port {
    async fn load(&self, since: Timestamp) -> Result<Load, PortError> {
        self.ask("metrics.load", |model| {
            // Asked by the bot's clock, and answered by another.
            let window = elapsed(since, model.wall()).min(Duration::from_hours(1));
            let requests = window.as_secs() * 10;
            let as_of = self.shown(model, Duration::from_secs(10));
            let fleet = model.fleet_as_of(as_of);
            let ready = fleet.instances.iter().filter(|one| one.state == InstanceState::Ready);
            let instances = ready.map(|one| {
                let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
                latency.counts[if model.fleet.busy { 6 } else { 3 }] = requests;
                InstanceLoad {
                    instance: one.id.clone(),
                    requests,
                    errors: 0,
                    latency,
                    cpu: Some(0.3),
                    memory_bytes: Some(50 << 20),
                    saturation: Some(0.4),
                }
            });
            let instances = instances.collect();
            Load { until: model.wall(), window: Millis::from(window), instances, missing: Vec::new() }
        })
        .await
    }

    fn describe(&self) -> String {
        "the simulated metrics".to_owned()
    }
}

#[async_trait]
impl HaltSource for HaltPort {
    async fn read(&self) -> Result<HaltReading, PortError> {
        let Self(port, number) = self;
        // That it cannot be read is known as of when it was asked.
        {
            let mut model = lock(&port.sim);
            let now = model.now;
            model.judge.read_halt(port.process, *number, HaltRead { at: now, as_of: now, said: None });
        }
        port.ask("halt.read", |model| {
            let as_of = port.shown(model, Duration::from_secs(6));
            let reading = model.halts[*number].as_of(as_of).clone();
            let read = HaltRead { at: model.now, as_of, said: Some((reading.halted, reading.since)) };
            model.judge.read_halt(port.process, *number, read);
            reading
        })
        .await
    }

    fn name(&self) -> String {
        format!("halt source {}", self.1)
    }
}

#[async_trait]
impl Probe for Port {
    async fn healthy(&self, instance: &Instance) -> Result<bool, PortError> {
        self.ask("probe.healthy", |model| is_ready(model, instance)).await
    }

    async fn ready(&self, instance: &Instance) -> Result<Readiness, PortError> {
        self.ask("probe.ready", |model| Readiness { ready: is_ready(model, instance), checks: Vec::new() }).await
    }

    async fn halt(&self, instance: &Instance) -> Result<HaltReading, PortError> {
        self.ask("probe.halt", |model| {
            let mut reading = model.halts[0].reading.clone();
            reading.halted = model.halts.iter().any(|source| source.reading.halted);
            reading.halted ^= model.fleet.instance(&instance.id).is_some_and(|one| one.diverged);
            reading
        })
        .await
    }

    async fn link(&self, instance: &Instance, sequence: u64) -> Result<Option<ChainLink>, PortError> {
        self.ask("probe.link", |model| {
            let side = if model.fleet.instance(&instance.id).is_some_and(|one| one.diverged) { "b" } else { "a" };
            let hash = |sequence: u64| format!("{side}{sequence}");
            Some(ChainLink { content_hash: hash(sequence), prev_hash: hash(sequence.saturating_sub(1)) })
        })
        .await
    }

    async fn keys(&self, _: &Instance) -> Result<Option<NamedCheck>, PortError> {
        self.ask("probe.keys", |model| {
            let check = NamedCheck { name: "keys".to_owned(), healthy: true, error: None };
            (!model.people.attended).then_some(check)
        })
        .await
    }

    async fn work(&self, instance: &Instance) -> Result<Vec<Work>, PortError> {
        self.ask("probe.work", |model| {
            model.fleet.instance(&instance.id).map(|one| one.work.clone()).unwrap_or_default()
        })
        .await
    }

    async fn warnings(&self, _: &Instance) -> Result<Vec<EarlyWarning>, PortError> {
        self.ask("probe.warnings", |_| Vec::new()).await
    }
}

fn is_ready(model: &Model, instance: &Instance) -> bool {
    model.fleet.instance(&instance.id).is_some_and(|one| one.shown.state == InstanceState::Ready)
}

#[async_trait]
impl Governance for Port {
    async fn complexity(&self) -> Result<ComplexityBudget, PortError> {
        let within = ComplexityBudget { dimensions: Vec::new(), overall: "within_budget".to_owned() };
        self.ask("governance.complexity", |_| within).await
    }

    async fn halt(&self, order: &HaltOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("governance.halt", Ordered::Halt(order.clone()), fence).await
    }
}

#[async_trait]
impl Chain for Port {
    async fn head(&self) -> Result<Option<u64>, PortError> {
        self.ask("chain.head", |_| Some(42)).await
    }
}

#[async_trait]
impl Pool for Port {
    async fn budget(&self) -> Result<PoolBudget, PortError> {
        self.ask("pool.budget", |_| PoolBudget {
            limit: 500,
            reserved: 3,
            others: 7,
            per_instance: 15,
            surge: 0,
            limit_of: None,
        })
        .await
    }

    fn name(&self) -> String {
        "simulated connections".to_owned()
    }
}

/// The hash that a whole log would be sealed with.
pub(super) fn head(events: &[Event]) -> (u64, Hash) {
    events.last().map_or((0, Hash::GENESIS), |last| (last.seq, last.hash))
}

/// Whether an event is of that kind.
pub(super) fn is(event: &Event, kind: Kind) -> bool {
    event.kind == kind.as_str()
}
