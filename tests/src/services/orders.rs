//! What an adapter needs around it: the time, a fleet that is what the test says, and a journal. An order takes the
//! proof that it was announced in an operational log, and only a journal gives that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::event::{Claim, Draft, Kind};
use scalebot_commands::figures::Load;
use scalebot_commands::journal::{Acted, Effect, Effected, Fence, Found, Heard, Inbox, Journal, Stop};
use scalebot_commands::ports::{
    Declared, DisruptionBudget, Documents, EarlyWarning, Fleet, FleetState, HaltReading, Headroom, Instance,
    InstanceState, Ledger as _, LedgerError, Metrics, NamedCheck, OrderAnswer, PortError, Ports, Precondition, Probe,
    Readiness, RemoveOrder, Role, Room, RouteOrder, Routed, Samples, ScaleOrder, Slot, Steering, Target, Traffic, Work,
    World,
};
use scalebot_commands::steps::drain::Routing;
use scalebot_commands::units::{InstanceId, OperationId, Person, Replicas, TargetName, Timestamp};

/// The time as it is.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { began: Instant::now() }
    }
}

impl World for Clock {
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
        4
    }
}

/// A fleet that is what the test says, and is only looked at.
#[derive(Debug, Default)]
pub struct Members(Mutex<Vec<Instance>>);

impl Members {
    /// These, with their addresses.
    pub fn of<'a>(members: impl IntoIterator<Item = (&'a str, String)>) -> Arc<Self> {
        let fleet = Self::default();
        for (id, address) in members {
            fleet.joined_by(id, address);
        }
        Arc::new(fleet)
    }

    /// One more, started now.
    pub fn joined_by(&self, id: &str, address: impl Into<String>) {
        self.0.lock().unwrap().push(Instance {
            id: InstanceId::new(id),
            address: Some(address.into()),
            started_at: Timestamp::now(),
            state: InstanceState::Ready,
            detail: None,
            restarts: 0,
        });
    }
}

fn not_asked<T>() -> Result<T, PortError> {
    Err(PortError::NotServed { what: "the test".to_owned(), detail: "nobody asks this here".to_owned() })
}

#[async_trait]
impl Fleet for Members {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let instances = self.0.lock().unwrap().clone();
        let wanted = Replicas(u32::try_from(instances.len()).unwrap());
        Ok(FleetState { identity: "members".to_owned(), instances, ..FleetState::unseen(wanted) })
    }

    async fn scale(&self, _: &ScaleOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        not_asked()
    }

    async fn remove(&self, _: &RemoveOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        not_asked()
    }

    async fn logs(&self, _: &InstanceId, _: usize) -> Result<String, PortError> {
        not_asked()
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        not_asked()
    }

    async fn headroom(&self, _: Replicas) -> Result<Headroom, PortError> {
        not_asked()
    }

    fn precondition(&self) -> Precondition {
        Precondition::Advisory
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        not_asked()
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        not_asked()
    }

    fn describe(&self) -> String {
        "the members".to_owned()
    }
}

/// An order to the outside.
#[async_trait]
pub trait Order: Sync {
    /// Gives it, once.
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError>;
}

/// Gives an order as the runbook does: announced in an operational log first.
///
/// # Errors
/// Those of the order.
///
/// # Panics
/// When there is no log.
pub async fn given(order: &dyn Order) -> Result<OrderAnswer, PortError> {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(SqliteLedger::open(&folder.path().join("ledger.db")).await.unwrap());
    let epoch = ledger.take_over().await.unwrap();
    let operation = OperationId::new("operation");
    let requested = Draft {
        operation: Some(operation.clone()),
        op_seq: 1,
        epoch,
        at: Timestamp::now(),
        kind: Kind::Requested,
        body: "{}".to_owned(),
        claim: Claim::Take(TargetName::new("api")),
    };
    ledger.append(requested).await.unwrap();

    let nobody = Arc::new(Nobody);
    let ports = Ports {
        world: Arc::new(Clock::default()),
        ledger: ledger.clone(),
        samples: nobody.clone(),
        room: nobody.clone(),
        documents: nobody.clone(),
        target: Target {
            name: TargetName::new("api"),
            fleet: Members::of([]),
            traffic: nobody.clone(),
            metrics: nobody.clone(),
            halt: Vec::new(),
            probe: nobody,
            chain: None,
            pools: Vec::new(),
            governance: None,
            dashboards: Vec::new(),
        },
    };
    let (_signals, mut inbox) = Inbox::new();
    let mut journal = Journal::open(&ports, operation, epoch, &mut inbox).await.unwrap();
    let once = Once { order, answer: Mutex::default() };
    let effected: Effected<Routing> = journal.effect("order", &once).await.unwrap();
    let answer = once.answer.into_inner().unwrap();
    answer.unwrap_or_else(|| panic!("it was not given: {effected:?}"))
}

/// An order as an effect.
struct Once<'a> {
    order: &'a dyn Order,
    answer: Mutex<Option<Result<OrderAnswer, PortError>>>,
}

#[async_trait]
impl Effect for Once<'_> {
    type Intent = Routing;

    fn answered(&self) -> Kind {
        Kind::DrainingAnswered
    }

    async fn guard(&self, _: &Heard) -> Result<Routing, Stop> {
        let instance = InstanceId::new("whoever the order names");
        Ok(Routing { instance, receives: false, way_back: true, halt: Vec::new(), approval: None })
    }

    async fn act(&self, _: &Routing, fence: Fence<'_>) -> Result<Acted, PortError> {
        let answer = self.order.give(fence).await;
        *self.answer.lock().unwrap() = Some(answer.clone());
        // A conflict would be tried again; what it was answered is all that is of interest here.
        answer.map(|_| Acted::Done)
    }

    async fn find(&self, _: &Routing) -> Result<Found, PortError> {
        Ok(Found::Otherwise("nobody looks".to_owned()))
    }
}

/// To be asked nothing.
struct Nobody;

#[async_trait]
impl Traffic for Nobody {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        not_asked()
    }

    async fn route(&self, _: &RouteOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        not_asked()
    }

    fn describe(&self) -> String {
        "nobody".to_owned()
    }
}

#[async_trait]
impl Metrics for Nobody {
    async fn load(&self, _: Timestamp) -> Result<Load, PortError> {
        not_asked()
    }

    fn describe(&self) -> String {
        "nobody".to_owned()
    }
}

#[async_trait]
impl Probe for Nobody {
    async fn healthy(&self, _: &Instance) -> Result<bool, PortError> {
        not_asked()
    }
    async fn ready(&self, _: &Instance) -> Result<Readiness, PortError> {
        not_asked()
    }
    async fn halt(&self, _: &Instance) -> Result<HaltReading, PortError> {
        not_asked()
    }
    async fn link(&self, _: &Instance, _: u64) -> Result<Option<scalebot_commands::ports::ChainLink>, PortError> {
        not_asked()
    }
    async fn keys(&self, _: &Instance) -> Result<Option<NamedCheck>, PortError> {
        not_asked()
    }
    async fn work(&self, _: &Instance) -> Result<Vec<Work>, PortError> {
        not_asked()
    }
    async fn warnings(&self, _: &Instance) -> Result<Vec<EarlyWarning>, PortError> {
        not_asked()
    }
}

#[async_trait]
impl Samples for Nobody {
    async fn keep(&self, _: &OperationId, _: u64, _: &Load) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn kept(&self, _: &OperationId) -> Result<Vec<Load>, LedgerError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Room for Nobody {
    async fn show(&self, _: &OperationId, _: Slot, _: &Card) -> Result<(), PortError> {
        not_asked()
    }

    async fn standing(&self, _: &Person, _: Role) -> Result<Standing, PortError> {
        not_asked()
    }

    fn attended(&self) -> bool {
        false
    }

    async fn answer(&self, _: &Person, _: &str) -> Result<(), PortError> {
        not_asked()
    }

    async fn reply(&self, _: &Person, _: &Card) -> Result<(), PortError> {
        not_asked()
    }
}

#[async_trait]
impl Documents for Nobody {
    async fn write_capacity(&self, _: &str) -> Result<String, PortError> {
        not_asked()
    }

    async fn keep_logs(&self, _: &OperationId, _: &InstanceId, _: &str) -> Result<String, PortError> {
        not_asked()
    }
}
