//! The ports of a process that may die around every call of theirs, and at every moment of every write of its log.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_adapters::ledger::failpoint::{self, Course};
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::event::{Draft, Event, Kind};
use scalebot_commands::figures::Load;
use scalebot_commands::journal::Fence;
use scalebot_commands::outbox::Outbox;
use scalebot_commands::ports::*;
use scalebot_commands::units::{InstanceId, OperationId, Person, Replicas, Timestamp};
use tokio::sync::Notify;

type Answer<T> = Result<T, PortError>;

/// When a process dies.
#[derive(Clone)]
pub(super) struct Fate(Arc<Lot>);

struct Lot {
    passed: AtomicUsize,
    /// At which moment, the first being 1; `None` for never.
    dies_at: Option<usize>,
    is_dead: AtomicBool,
    /// How many calls of its log are under way. They take real time, and none of the stage's.
    busy: AtomicUsize,
    idle: Notify,
    written: AtomicUsize,
    /// At which moments of its writes the log fails.
    fails: Range<usize>,
    ledger: Mutex<Option<Arc<SqliteLedger>>>,
    died: Notify,
    /// Called at every moment: what a process that died then would leave behind, as one number.
    leaves: Box<dyn Fn() -> u64 + Send + Sync>,
    left: Mutex<Vec<u64>>,
    /// Called when it dies, before anything else can happen.
    on_death: Box<dyn Fn() + Send + Sync>,
}

impl Fate {
    /// Dies at that moment. `on_death` is called right then.
    pub(super) fn dies_at(moment: usize, on_death: impl Fn() + Send + Sync + 'static) -> Self {
        Self::new(Some(moment), || 0, on_death)
    }

    /// Never dies; `leaves` tells at each moment what would be left.
    pub(super) fn lives(leaves: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self::new(None, leaves, || ())
    }

    fn new(
        dies_at: Option<usize>,
        leaves: impl Fn() -> u64 + Send + Sync + 'static,
        on_death: impl Fn() + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Lot {
            passed: AtomicUsize::new(0),
            dies_at,
            is_dead: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            idle: Notify::new(),
            written: AtomicUsize::new(0),
            fails: 0..0,
            ledger: Mutex::default(),
            died: Notify::new(),
            leaves: Box::new(leaves),
            left: Mutex::default(),
            on_death: Box::new(on_death),
        }))
    }

    /// The same, whose log takes nothing at these moments of its writes, the first being 1.
    pub(super) fn whose_log_fails(mut self, moments: Range<usize>) -> Self {
        Arc::get_mut(&mut self.0).expect("nobody has it yet").fails = moments;
        self
    }

    /// Writes of a log on this thread are moments of this process from now on.
    pub(super) fn rules_the_log(&self) {
        let fate = self.clone();
        failpoint::set(move |_| {
            if fate.strikes() {
                return Course::Stops;
            }
            let written = fate.0.written.fetch_add(1, Ordering::SeqCst) + 1;
            if fate.0.fails.contains(&written) { Course::Fails } else { Course::GoesOn }
        });
    }

    /// How many moments its log's writes had.
    pub(super) fn written(&self) -> usize {
        self.0.written.load(Ordering::SeqCst)
    }

    /// The log that it has.
    fn has(&self, ledger: &Arc<SqliteLedger>) {
        *self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(ledger));
    }

    /// Whatever is about to be changed outside must be announced on disk, with nothing known of what came of it.
    async fn is_announced(&self, operation: &OperationId) {
        let ledger = self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone().expect("it has a log");
        let _busy = self.busy();
        let last = ledger.events_of(operation).await.unwrap().last().map(|event| event.kind.clone());
        let answered = last.as_ref().and_then(|kind| Kind::parse(&format!("{kind}_answered")));
        assert!(answered.is_some(), "something is changed outside after {last:?}, and nothing announced it");
    }

    /// Ends when the process has died.
    pub(super) async fn died(&self) {
        self.0.died.notified().await;
    }

    /// What would have been left at each moment.
    pub(super) fn left(&self) -> Vec<u64> {
        self.0.left.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A moment: the process dies here, or goes on. Once it is dead nothing of it goes on.
    fn strikes(&self) -> bool {
        let lot = &self.0;
        if lot.is_dead.load(Ordering::SeqCst) {
            return true;
        }
        let moment = lot.passed.fetch_add(1, Ordering::SeqCst) + 1;
        if lot.dies_at.is_none() {
            let left = (lot.leaves)();
            lot.left.lock().unwrap_or_else(PoisonError::into_inner).push(left);
        }
        if lot.dies_at == Some(moment) {
            lot.is_dead.store(true, Ordering::SeqCst);
            (lot.on_death)();
            lot.died.notify_one();
            return true;
        }
        false
    }

    /// A call of its log is under way for as long as that lives.
    fn busy(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        Busy(self.clone())
    }

    async fn until_idle(&self) {
        loop {
            let idle = self.0.idle.notified();
            if self.0.busy.load(Ordering::SeqCst) == 0 {
                return;
            }
            idle.await;
        }
    }

    async fn moment(&self) {
        if self.strikes() {
            std::future::pending::<()>().await;
        }
    }
}

/// A call of its log.
struct Busy(Fate);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.0.busy.fetch_sub(1, Ordering::SeqCst);
        self.0.0.idle.notify_waiters();
    }
}

/// A log channel that outlives processes. What was posted there stays.
#[derive(Default)]
pub(super) struct Channel(Mutex<Vec<Announced>>);

impl Channel {
    /// Every post, oldest first.
    pub(super) fn posts(&self) -> Vec<Announced> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl LogChannel for Channel {
    async fn post(&self, post: &Post) -> Answer<String> {
        let mut posts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        posts.push(Announced::plain(post.first, post.last, post.hash));
        Ok(posts.len().to_string())
    }

    async fn find(&self, post: &Post) -> Answer<Option<String>> {
        let wanted = Announced::plain(post.first, post.last, post.hash);
        Ok(self.posts().iter().position(|one| *one == wanted).map(|at| (at + 1).to_string()))
    }

    async fn sealed(&self) -> Answer<Vec<Announced>> {
        Ok(self.posts())
    }
}

/// One port of such a process.
pub(super) struct Mortal<T: ?Sized> {
    of: Arc<T>,
    fate: Fate,
}

/// The log of such a process. Whoever appends tells the log channel before anything else is done, so that one moment
/// follows the other in the same order every time.
pub(super) struct Log {
    pub(super) ledger: Arc<SqliteLedger>,
    pub(super) channel: Arc<Channel>,
    pub(super) world: Arc<dyn World>,
    pub(super) fate: Fate,
}

/// Its clocks: the wall's, and one that begins with it.
struct Clocks {
    of: Arc<dyn World>,
    began: Duration,
    fate: Fate,
}

/// These ports, as that process has them.
pub(super) fn ports(outside: Ports, ledger: &Arc<SqliteLedger>, channel: &Arc<Channel>, fate: &Fate) -> (Ports, Log) {
    fn mortal<T: ?Sized>(of: Arc<T>, fate: &Fate) -> Arc<Mortal<T>> {
        Arc::new(Mortal { of, fate: fate.clone() })
    }
    fate.has(ledger);
    let began = outside.world.monotonic();
    let world: Arc<dyn World> = Arc::new(Clocks { of: outside.world, began, fate: fate.clone() });
    let log =
        || Log { ledger: Arc::clone(ledger), channel: Arc::clone(channel), world: world.clone(), fate: fate.clone() };
    let target = outside.target;
    let ports = Ports {
        world: world.clone(),
        ledger: Arc::new(log()),
        samples: Arc::new(log()),
        room: mortal(outside.room, fate),
        documents: mortal(outside.documents, fate),
        target: Target {
            name: target.name,
            fleet: mortal(target.fleet, fate),
            traffic: mortal(target.traffic, fate),
            metrics: mortal(target.metrics, fate),
            halt: target.halt.into_iter().map(|one| mortal(one, fate) as _).collect(),
            probe: mortal(target.probe, fate),
            chain: target.chain.map(|one| mortal(one, fate) as _),
            pools: target.pools.into_iter().map(|one| mortal(one, fate) as _).collect(),
            governance: target.governance.map(|one| mortal(one, fate) as _),
            dashboards: target.dashboards,
        },
    };
    (ports, log())
}

/// The call, with a moment before and one after it.
macro_rules! between {
    ($self:ident, $call:expr) => {{
        $self.fate.moment().await;
        let answer = $call.await;
        $self.fate.moment().await;
        answer
    }};
}

/// The same for a call of the log.
macro_rules! logged {
    ($self:ident, $call:expr) => {{
        let _busy = $self.fate.busy();
        between!($self, $call)
    }};
}

/// The same for what changes something outside.
macro_rules! announced {
    ($self:ident, $order:ident, $call:expr) => {{
        $self.fate.is_announced(&$order.operation).await;
        between!($self, $call)
    }};
}

impl Log {
    /// Tells the log channel; with `all`, everything there is. Whether that could be done.
    pub(super) async fn tell(&self, all: bool) -> bool {
        let outbox = Outbox { ledger: &*self.ledger, posts: self, channel: self, world: &*self.world };
        outbox.flush(all).await.is_ok()
    }
}

#[async_trait]
impl Ledger for Log {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let appended = logged!(self, self.ledger.append(draft));
        self.tell(false).await;
        appended
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        logged!(self, self.ledger.events_of(operation))
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        logged!(self, self.ledger.events_after(after, limit))
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        logged!(self, self.ledger.claims())
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        logged!(self, self.ledger.latest(kind, limit))
    }
}

#[async_trait]
impl Samples for Log {
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        logged!(self, self.ledger.keep(operation, index, load))
    }

    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError> {
        logged!(self, self.ledger.kept(operation))
    }
}

#[async_trait]
impl Posts for Log {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        logged!(self, self.ledger.position())
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        logged!(self, self.ledger.plan(post))
    }

    async fn confirm(&self, post: &Post, message: &str) -> Result<(), LedgerError> {
        logged!(self, self.ledger.confirm(post, message))
    }
}

#[async_trait]
impl LogChannel for Log {
    async fn post(&self, post: &Post) -> Answer<String> {
        between!(self, self.channel.post(post))
    }

    async fn find(&self, post: &Post) -> Answer<Option<String>> {
        between!(self, self.channel.find(post))
    }

    async fn sealed(&self) -> Answer<Vec<Announced>> {
        between!(self, self.channel.sealed())
    }
}

impl World for Clocks {
    fn now(&self) -> Timestamp {
        self.of.now()
    }

    fn monotonic(&self) -> Duration {
        self.of.monotonic().saturating_sub(self.began)
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        let (fate, slept) = (self.fate.clone(), self.of.sleep(length));
        Box::pin(async move {
            fate.moment().await;
            // Whoever waits for something else as well gets to see it first.
            tokio::task::yield_now().await;
            fate.until_idle().await;
            slept.await;
            fate.moment().await;
        })
    }

    fn unique_id(&self) -> String {
        self.of.unique_id()
    }

    fn random(&self) -> u64 {
        self.of.random()
    }
}

#[async_trait]
impl Fleet for Mortal<dyn Fleet> {
    async fn observe(&self) -> Answer<FleetState> {
        between!(self, self.of.observe())
    }

    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.scale(order, fence))
    }

    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.remove(order, fence))
    }

    fn choice(&self, fleet: &FleetState) -> Choice {
        self.of.choice(fleet)
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Answer<String> {
        between!(self, self.of.logs(instance, most))
    }

    async fn disruptions_allowed(&self) -> Answer<Option<DisruptionBudget>> {
        between!(self, self.of.disruptions_allowed())
    }

    async fn headroom(&self, wanted: Replicas) -> Answer<Headroom> {
        between!(self, self.of.headroom(wanted))
    }

    fn precondition(&self) -> Precondition {
        self.of.precondition()
    }

    async fn steered_by(&self) -> Answer<Vec<Steering>> {
        between!(self, self.of.steered_by())
    }

    async fn hold(&self, order: &HoldOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.hold(order, fence))
    }

    async fn held_by(&self, operation: &OperationId) -> Answer<Vec<Held>> {
        between!(self, self.of.held_by(operation))
    }

    async fn release(&self, order: &ReleaseOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.release(order, fence))
    }

    async fn declared(&self) -> Answer<Option<Declared>> {
        between!(self, self.of.declared())
    }

    fn describe(&self) -> String {
        self.of.describe()
    }
}

#[async_trait]
impl Traffic for Mortal<dyn Traffic> {
    async fn routed(&self) -> Answer<Vec<Routed>> {
        between!(self, self.of.routed())
    }

    async fn route(&self, order: &RouteOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.route(order, fence))
    }

    async fn draining(&self) -> Answer<Draining> {
        between!(self, self.of.draining())
    }

    fn describe(&self) -> String {
        self.of.describe()
    }
}

#[async_trait]
impl Metrics for Mortal<dyn Metrics> {
    async fn load(&self, since: Timestamp) -> Answer<Load> {
        between!(self, self.of.load(since))
    }

    fn describe(&self) -> String {
        self.of.describe()
    }
}

#[async_trait]
impl HaltSource for Mortal<dyn HaltSource> {
    async fn read(&self) -> Answer<HaltReading> {
        between!(self, self.of.read())
    }

    fn name(&self) -> String {
        self.of.name()
    }
}

#[async_trait]
impl Pool for Mortal<dyn Pool> {
    async fn budget(&self) -> Answer<PoolBudget> {
        between!(self, self.of.budget())
    }

    fn name(&self) -> String {
        self.of.name()
    }
}

#[async_trait]
impl Probe for Mortal<dyn Probe> {
    async fn healthy(&self, instance: &Instance) -> Answer<bool> {
        between!(self, self.of.healthy(instance))
    }

    async fn ready(&self, instance: &Instance) -> Answer<Readiness> {
        between!(self, self.of.ready(instance))
    }

    async fn halt(&self, instance: &Instance) -> Answer<HaltReading> {
        between!(self, self.of.halt(instance))
    }

    async fn link(&self, instance: &Instance, sequence: u64) -> Answer<Option<ChainLink>> {
        between!(self, self.of.link(instance, sequence))
    }

    async fn keys(&self, instance: &Instance) -> Answer<Option<NamedCheck>> {
        between!(self, self.of.keys(instance))
    }

    async fn work(&self, instance: &Instance) -> Answer<Vec<Work>> {
        between!(self, self.of.work(instance))
    }

    async fn warnings(&self, instance: &Instance) -> Answer<Vec<EarlyWarning>> {
        between!(self, self.of.warnings(instance))
    }
}

#[async_trait]
impl Chain for Mortal<dyn Chain> {
    async fn head(&self) -> Answer<Option<u64>> {
        between!(self, self.of.head())
    }
}

#[async_trait]
impl Governance for Mortal<dyn Governance> {
    async fn complexity(&self) -> Answer<ComplexityBudget> {
        between!(self, self.of.complexity())
    }

    async fn halt(&self, order: &HaltOrder, fence: Fence<'_>) -> Answer<OrderAnswer> {
        announced!(self, order, self.of.halt(order, fence))
    }
}

#[async_trait]
impl Room for Mortal<dyn Room> {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Answer<()> {
        between!(self, self.of.show(operation, slot, card))
    }

    async fn standing(&self, person: &Person, role: Role) -> Answer<Standing> {
        between!(self, self.of.standing(person, role))
    }

    fn attended(&self) -> bool {
        self.of.attended()
    }

    async fn answer(&self, person: &Person, text: &str) -> Answer<()> {
        between!(self, self.of.answer(person, text))
    }

    async fn reply(&self, person: &Person, card: &Card) -> Answer<()> {
        between!(self, self.of.reply(person, card))
    }

    fn holds_back(&self) -> Option<String> {
        self.of.holds_back()
    }

    fn hears(&self) -> bool {
        self.of.hears()
    }
}

#[async_trait]
impl Documents for Mortal<dyn Documents> {
    async fn write_capacity(&self, text: &str) -> Answer<String> {
        between!(self, self.of.write_capacity(text))
    }

    async fn keep_logs(&self, operation: &OperationId, instance: &InstanceId, text: &str) -> Answer<String> {
        between!(self, self.of.keep_logs(operation, instance, text))
    }
}
