//! A fleet in memory. Every look at it takes a known time and nothing else, so that what is left is the bot's own cost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::event::{Draft, Event};
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    AppendError, Chain, ChainLink, ClaimHeld, ComplexityBudget, ComplexityDimension, Declared, DisruptionBudget,
    Documents, EarlyWarning, Fleet, FleetState, Governance, HaltOrder, HaltReading, HaltSource, Headroom, Instance,
    InstanceState, Ledger, LedgerError, Metrics, NamedCheck, OrderAnswer, Pool, PoolBudget, PortError, Ports,
    Precondition, Probe, Readiness, RemoveOrder, Role, Room, RouteOrder, Routed, Samples, ScaleOrder, Slot, Steering,
    Target, Traffic, Work, World,
};
use scalebot_commands::units::{InstanceId, Millis, OperationId, Person, Replicas, TargetName, Timestamp};

/// How long looks take.
pub(crate) enum Takes {
    /// Each look of a round another time, in turn.
    InTurn(Vec<Duration>),
    /// Each look at an instance that instance's time, any other look none at all.
    ByInstance(HashMap<InstanceId, Duration>),
}

/// The fleet, and everything that is asked about it.
pub(crate) struct InMemory {
    began: Instant,
    takes: Takes,
    looks: AtomicUsize,
    instances: Vec<Instance>,
}

/// A halt source or a pool of that number.
struct Numbered(Arc<InMemory>, usize);

impl InMemory {
    /// A fleet of that many, all ready.
    pub(crate) fn new(instances: u32, takes: Takes) -> Arc<Self> {
        let started_at = Timestamp::now();
        let instance = |number| Instance {
            id: id(number),
            address: Some(format!("127.0.0.1:{}", 20_000 + number)),
            started_at,
            state: InstanceState::Ready,
            detail: None,
            restarts: 0,
        };
        let instances = (1..=instances).map(instance).collect();
        Arc::new(Self { began: Instant::now(), takes, looks: AtomicUsize::new(0), instances })
    }

    /// Everything that an operation talks to, with two halt sources and two pools.
    pub(crate) fn ports(self: &Arc<Self>) -> Ports {
        let numbered = |number| Arc::new(Numbered(Arc::clone(self), number));
        Ports {
            world: self.clone(),
            ledger: self.clone(),
            samples: self.clone(),
            room: self.clone(),
            documents: self.clone(),
            target: Target {
                name: TargetName::new("api"),
                fleet: self.clone(),
                traffic: self.clone(),
                metrics: self.clone(),
                halt: vec![numbered(0), numbered(1)],
                probe: self.clone(),
                chain: Some(self.clone()),
                pools: vec![numbered(0), numbered(1)],
                governance: Some(self.clone()),
                dashboards: Vec::new(),
            },
        }
    }

    /// The fleet as it is.
    pub(crate) fn state(&self) -> FleetState {
        FleetState {
            identity: "in memory".to_owned(),
            wanted: Replicas(u32::try_from(self.instances.len()).unwrap()),
            generation: 1,
            version: "1".to_owned(),
            changed_by: None,
            changed_at: None,
            instances: self.instances.clone(),
        }
    }

    /// How many looks there have been since this was asked last.
    pub(crate) fn looks(&self) -> usize {
        self.looks.swap(0, Ordering::Relaxed)
    }

    async fn look<T>(&self, found: T) -> Result<T, PortError> {
        let number = self.looks.fetch_add(1, Ordering::Relaxed);
        if let Takes::InTurn(times) = &self.takes {
            tokio::time::sleep(times[number % times.len()]).await;
        }
        Ok(found)
    }

    async fn look_at<T>(&self, instance: &Instance, found: T) -> Result<T, PortError> {
        if let Takes::ByInstance(times) = &self.takes {
            tokio::time::sleep(times[&instance.id]).await;
        }
        self.look(found).await
    }
}

/// The name of an instance.
pub(crate) fn id(number: u32) -> InstanceId {
    InstanceId::new(format!("api-{number}"))
}

/// The load of one instance in a window.
pub(crate) fn load_of(instance: &InstanceId, requests: u64) -> InstanceLoad {
    let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
    for request in 0..requests {
        latency.record(100.0 + 2.0 * (request * 37 % 100) as f64);
    }
    InstanceLoad {
        instance: instance.clone(),
        requests,
        errors: 0,
        latency,
        cpu: Some(0.4),
        memory_bytes: Some(60 << 20),
        saturation: Some(0.5),
    }
}

fn not_halted() -> HaltReading {
    HaltReading { halted: false, since: None, reason: None, cleared_at: None }
}

fn lost() -> LedgerError {
    LedgerError("nothing is recorded here".to_owned())
}

impl World for InMemory {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
    fn monotonic(&self) -> Duration {
        self.began.elapsed()
    }
    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(length))
    }
    fn unique_id(&self) -> String {
        "operation".to_owned()
    }
    fn random(&self) -> u64 {
        72
    }
}

#[async_trait]
impl Fleet for InMemory {
    async fn observe(&self) -> Result<FleetState, PortError> {
        self.look(self.state()).await
    }
    async fn scale(&self, _: &ScaleOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nothing is changed here".to_owned() })
    }

    async fn remove(&self, _: &RemoveOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nothing is changed here".to_owned() })
    }

    async fn logs(&self, _: &InstanceId, _: usize) -> Result<String, PortError> {
        Ok(String::new())
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        Ok(None)
    }
    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        self.look(Headroom { fits: wanted, runs_out: None, source: "memory".to_owned() }).await
    }
    fn precondition(&self) -> Precondition {
        Precondition::Enforced
    }
    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        self.look(Vec::new()).await
    }
    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        let declared = Declared { count: self.state().wanted, place: "fleet.toml".to_owned(), line: String::new() };
        self.look(Some(declared)).await
    }
    fn describe(&self) -> String {
        "a fleet in memory".to_owned()
    }
}

#[async_trait]
impl Traffic for InMemory {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let routed = self.instances.iter().map(|one| Routed {
            instance: one.id.clone(),
            receives: true,
            drained: false,
            requests: Some(1_000),
            in_flight: Some(0),
        });
        self.look(routed.collect()).await
    }
    async fn route(&self, _: &RouteOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nothing is changed here".to_owned() })
    }
    fn describe(&self) -> String {
        "a forwarder in memory".to_owned()
    }
}

#[async_trait]
impl Metrics for InMemory {
    async fn load(&self, _: Timestamp) -> Result<Load, PortError> {
        let load = Load {
            until: Timestamp::now(),
            window: Millis(300_000),
            instances: self.instances.iter().map(|one| load_of(&one.id, 100)).collect(),
            missing: Vec::new(),
        };
        self.look(load).await
    }
    fn describe(&self) -> String {
        "metrics in memory".to_owned()
    }
}

#[async_trait]
impl HaltSource for Numbered {
    async fn read(&self) -> Result<HaltReading, PortError> {
        self.0.look(not_halted()).await
    }
    fn name(&self) -> String {
        ["halt table", "halt signals"][self.1].to_owned()
    }
}

#[async_trait]
impl Pool for Numbered {
    async fn budget(&self) -> Result<PoolBudget, PortError> {
        self.0
            .look(PoolBudget { limit: 10_000, reserved: 3, others: 7, per_instance: 15, surge: 0, limit_of: None })
            .await
    }
    fn name(&self) -> String {
        ["database connections", "Redis connections"][self.1].to_owned()
    }
}

#[async_trait]
impl Governance for InMemory {
    async fn complexity(&self) -> Result<ComplexityBudget, PortError> {
        let dimensions = vec![ComplexityDimension { name: "ADRs".to_owned(), used: 9, limit: 15 }];
        self.look(ComplexityBudget { dimensions, overall: "within_budget".to_owned() }).await
    }
    async fn halt(&self, _: &HaltOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "nothing is changed here".to_owned() })
    }
}

#[async_trait]
impl Chain for InMemory {
    async fn head(&self) -> Result<Option<u64>, PortError> {
        self.look(Some(1_000)).await
    }
}

#[async_trait]
impl Probe for InMemory {
    async fn healthy(&self, instance: &Instance) -> Result<bool, PortError> {
        self.look_at(instance, true).await
    }
    async fn ready(&self, instance: &Instance) -> Result<Readiness, PortError> {
        let check = |name: &str| NamedCheck { name: name.to_owned(), healthy: true, error: None };
        let checks = ["database", "redis", "event_store"].map(check).into();
        self.look_at(instance, Readiness { ready: true, checks }).await
    }
    async fn halt(&self, instance: &Instance) -> Result<HaltReading, PortError> {
        self.look_at(instance, not_halted()).await
    }
    async fn link(&self, instance: &Instance, sequence: u64) -> Result<Option<ChainLink>, PortError> {
        let hash = |sequence: u64| format!("{sequence:064x}");
        let link = ChainLink { content_hash: hash(sequence), prev_hash: hash(sequence - 1) };
        self.look_at(instance, Some(link)).await
    }
    async fn keys(&self, instance: &Instance) -> Result<Option<NamedCheck>, PortError> {
        let check = NamedCheck { name: "keys".to_owned(), healthy: true, error: None };
        self.look_at(instance, Some(check)).await
    }
    async fn work(&self, instance: &Instance) -> Result<Vec<Work>, PortError> {
        self.look_at(instance, Vec::new()).await
    }
    async fn warnings(&self, instance: &Instance) -> Result<Vec<EarlyWarning>, PortError> {
        self.look_at(instance, Vec::new()).await
    }
}

#[async_trait]
impl Ledger for InMemory {
    async fn append(&self, _: Draft) -> Result<Event, AppendError> {
        Err(lost().into())
    }
    async fn events_of(&self, _: &OperationId) -> Result<Vec<Event>, LedgerError> {
        Err(lost())
    }
    async fn events_after(&self, _: u64, _: u32) -> Result<Vec<Event>, LedgerError> {
        Err(lost())
    }
    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        Err(lost())
    }
    async fn latest(&self, _: &str, _: u32) -> Result<Vec<Event>, LedgerError> {
        self.look(Vec::new()).await.map_err(|error| LedgerError(error.to_string()))
    }
}

#[async_trait]
impl Samples for InMemory {
    async fn keep(&self, _: &OperationId, _: u64, _: &Load) -> Result<(), LedgerError> {
        Err(lost())
    }
    async fn kept(&self, _: &OperationId) -> Result<Vec<Load>, LedgerError> {
        Err(lost())
    }
}

#[async_trait]
impl Room for InMemory {
    async fn show(&self, _: &OperationId, _: Slot, _: &Card) -> Result<(), PortError> {
        Ok(())
    }
    async fn standing(&self, _: &Person, _: Role) -> Result<Standing, PortError> {
        Err(PortError::NotServed { what: "the room".to_owned(), detail: "nobody is here".to_owned() })
    }
    fn attended(&self) -> bool {
        false
    }
    async fn answer(&self, _: &Person, _: &str) -> Result<(), PortError> {
        Ok(())
    }
    async fn reply(&self, _: &Person, _: &Card) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl Documents for InMemory {
    async fn write_capacity(&self, _: &str) -> Result<String, PortError> {
        Ok("nowhere".to_owned())
    }
    async fn keep_logs(&self, _: &OperationId, _: &InstanceId, _: &str) -> Result<String, PortError> {
        Ok("nowhere".to_owned())
    }
}
