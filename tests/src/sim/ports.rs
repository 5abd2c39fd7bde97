//! The ports as one process of the bot has them: each call goes through the gate and then to the model.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::event::{Draft, Event, Hash, Kind};
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Announced, AppendError, Chain, ChainLink, ClaimHeld, ComplexityBudget, Declared, DisruptionBudget, Documents,
    EarlyWarning, Fleet, FleetState, Governance, HaltOrder, HaltReading, HaltSource, Headroom, Held, HoldOrder,
    Instance, InstanceState, Ledger, LedgerError, LogChannel, Metrics, NamedCheck, OrderAnswer, Pool, PoolBudget,
    PortError, Ports, Post, Posts, Precondition, Probe, Readiness, ReleaseOrder, RemoveOrder, Role, Room, RouteOrder,
    Routed, Samples, ScaleOrder, Slot, Steering, Target, Traffic, Work, World,
};
use scalebot_commands::units::{
    Epoch, InstanceId, Millis, OperationId, Person, Replicas, TargetName, Timestamp, elapsed,
};

use super::gate::{Fate, Lost, Way};
use super::model::{Happening, InFlight, Model, Ordered, Shared, lock};

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

    async fn ask<T>(&self, what: &'static str, read: impl FnOnce(&mut Model) -> T) -> Result<T, PortError> {
        self.call(what, read).await.map_err(|lost| lost.port(what))
    }

    async fn log<T>(
        &self,
        what: &'static str,
        done: impl FnOnce(&mut Model) -> Result<T, LedgerError>,
    ) -> Result<T, LedgerError> {
        self.call(what, done).await.map_err(Lost::ledger)?
    }
}

impl Port {
    /// Sends an order: from here on nothing that happens to the caller holds it back.
    async fn send(&self, what: &'static str, order: Ordered, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Fate { mut way, before, after } = self.fate(what);
        let late = {
            let mut model = lock(&self.sim);
            let often = model.weather.late;
            // A balancer does not compare and swap: what comes late there cannot be told from what is wanted.
            !order.is_routing() && way == Way::Answered && !model.calm && model.chance(often)
        };
        if late {
            way = Way::Silent;
        }
        // Even the fastest network takes time: an answer that is lost at once does not come before the request.
        let before = before.max(Duration::from_millis(1));
        // The request leaves now; from here on nothing that happens to the caller holds it back.
        let ticket = {
            let mut model = lock(&self.sim);
            let wrong = model.judge_act(self.process, &order, &fence);
            model.judge.violations.extend(wrong);
            let ticket = model.in_flight.len();
            let (routing, steering) = (order.is_routing(), order.is_steering());
            let flight = InFlight { process: self.process, order, answer: None, landed: false };
            model.in_flight.push(flight);
            if !routing && !model.calm && model.chance(25) {
                // Something of what it is about changes just then, and the order no longer fits.
                if steering { model.steering.touched() } else { model.fleet.touched() }
            }
            let arrives = model.now + before;
            match way {
                Way::Unreachable | Way::DiesBefore | Way::Silent if !late => model.in_flight[ticket].landed = true,
                _ if late => {
                    model.count("request lands late");
                    let longest = if model.dice.bool() { 7_000 } else { 60_000 };
                    let later = model.between(4_500, longest);
                    model.at(arrives + later, Happening::Land(ticket));
                }
                _ => model.at(arrives, Happening::Land(ticket)),
            }
            if !routing && !model.calm && model.chance(30) {
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
        lock(&self.sim).wall()
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
            model.judge.saw(self.process, index, model.now);
            model.fleet.state()
        })
        .await
    }

    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.scale", Ordered::Scale(order.clone()), fence).await
    }

    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.send("fleet.remove", Ordered::Remove(order.clone()), fence).await
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
        self.ask("fleet.steered_by", |model| model.steering.steered_by()).await
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

    fn describe(&self) -> String {
        "the simulated balancer".to_owned()
    }
}

#[async_trait]
impl Metrics for Port {
    async fn load(&self, since: Timestamp) -> Result<Load, PortError> {
        self.ask("metrics.load", |model| {
            let window = elapsed(since, model.wall());
            let requests = window.as_secs() * 10;
            let ready = model.fleet.instances.iter().filter(|one| one.shown.state == InstanceState::Ready);
            let instances = ready.map(|one| {
                let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
                latency.counts[if model.fleet.busy { 6 } else { 3 }] = requests;
                InstanceLoad {
                    instance: one.shown.id.clone(),
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
            model.judge.read_halt(port.process, *number, now);
        }
        port.ask("halt.read", |model| {
            model.judge.read_halt(port.process, *number, model.now);
            model.halts[*number].reading.clone()
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

    async fn halt(&self, _: &HaltOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.ask("governance.halt", |model| {
            (0..2).for_each(|source| model.halt(source, true));
            OrderAnswer::Done
        })
        .await
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

#[async_trait]
impl Ledger for Port {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let who = format!("p{}", self.process);
        let appended = self.call("ledger.append", |model| {
            let appended = model.book.append(&draft);
            match &appended {
                Ok(event) => {
                    let operation = event.operation.as_ref().map_or("-", OperationId::short);
                    let body: String = event.body.chars().take(160).collect();
                    model.note(&who, &format!("{} #{} {operation} {} {body}", event.seq, event.op_seq, event.kind));
                    model.appended(self.process, event);
                }
                Err(error) => {
                    model.note(&who, &format!("{} is not appended: {error}", draft.kind));
                    if matches!(error, AppendError::Fenced { .. }) {
                        model.count("fenced");
                    }
                }
            }
            appended
        });
        appended.await.map_err(|lost| AppendError::Unavailable(lost.ledger()))?
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.events_of", |model| Ok(model.book.of(operation))).await
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.events_after", |model| {
            Ok(model.book.events.iter().filter(|event| event.seq > after).take(limit as usize).cloned().collect())
        })
        .await
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.log("ledger.claims", |model| Ok(model.book.claims.clone())).await
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.log("ledger.latest", |model| {
            let of_kind = model.book.events.iter().rev().filter(|event| event.kind == kind);
            Ok(of_kind.take(limit as usize).cloned().collect())
        })
        .await
    }
}

#[async_trait]
impl Samples for Port {
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        self.log("samples.keep", |model| {
            model.book.leads(self.epoch)?;
            model.book.samples.entry(operation.clone()).or_default().insert(index, load.clone());
            Ok(())
        })
        .await
    }

    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError> {
        self.log("samples.kept", |model| {
            Ok(model.book.samples.get(operation).map(|kept| kept.values().cloned().collect()).unwrap_or_default())
        })
        .await
    }
}

#[async_trait]
impl Posts for Port {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        self.log("posts.position", |model| Ok((model.book.posted, model.book.planned.clone()))).await
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        self.log("posts.plan", |model| {
            model.book.leads(self.epoch)?;
            model.book.planned = Some(post.clone());
            Ok(())
        })
        .await
    }

    async fn confirm(&self, post: &Post, _message: &str) -> Result<(), LedgerError> {
        self.log("posts.confirm", |model| {
            model.book.leads(self.epoch)?;
            model.book.posted = post.last;
            model.book.planned = None;
            Ok(())
        })
        .await
    }
}

#[async_trait]
impl LogChannel for Port {
    async fn post(&self, post: &Post) -> Result<String, PortError> {
        self.ask("channel.post", |model| {
            // As a chat does that holds to a nonce: what comes twice within minutes is taken once.
            let (now, window) = (model.now, Duration::from_mins(3));
            let same = |there: &&(Duration, Post)| there.1 == *post && now - there.0 < window;
            if model.channel.iter().any(|there| same(&there)) {
                model.count("a post that came twice");
            } else {
                model.channel.push((now, post.clone()));
            }
            post.first.to_string()
        })
        .await
    }

    async fn find(&self, post: &Post) -> Result<Option<String>, PortError> {
        self.ask("channel.find", |model| {
            model.channel.iter().find(|(_, there)| there == post).map(|(_, there)| there.first.to_string())
        })
        .await
    }

    async fn sealed(&self) -> Result<Vec<Announced>, PortError> {
        self.ask("channel.sealed", |model| {
            let seal = |post: &Post| Announced::plain(post.first, post.last, post.hash);
            model.channel.iter().map(|(_, post)| seal(post)).collect()
        })
        .await
    }
}

#[async_trait]
impl Room for Port {
    async fn show(&self, _: &OperationId, _: Slot, _: &Card) -> Result<(), PortError> {
        self.ask("room.show", |_| ()).await
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        let lead = person.as_str().starts_with("lead");
        let holds_role = if role == Role::GovernanceLead { lead } else { person.as_str() == "operator" };
        self.ask("room.standing", |_| Standing { is_person: true, holds_role }).await
    }

    fn attended(&self) -> bool {
        lock(&self.sim).people.attended
    }

    async fn answer(&self, _: &Person, _: &str) -> Result<(), PortError> {
        self.ask("room.answer", |_| ()).await
    }

    async fn reply(&self, _: &Person, _: &Card) -> Result<(), PortError> {
        self.ask("room.reply", |_| ()).await
    }
}

#[async_trait]
impl Documents for Port {
    async fn write_capacity(&self, _: &str) -> Result<String, PortError> {
        self.ask("documents.write", |_| "capacity.md".to_owned()).await
    }

    async fn keep_logs(&self, _: &OperationId, instance: &InstanceId, _: &str) -> Result<String, PortError> {
        self.ask("documents.logs", |_| format!("logs/{instance}.log")).await
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
