//! A stage for tests: everything outside in memory, so that the real runbook can play on it and what people are shown
//! can be looked at. Its clock stands still, except that whoever waits moves it on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scalebot_commands::approval::{Ballot, Mark, Standing};
use scalebot_commands::asked::{self, Answer as Answered};
use scalebot_commands::break_glass;
use scalebot_commands::card::Card;
use scalebot_commands::desk::{Abandoned, Desk, Received};
use scalebot_commands::event::{Claim, Draft, Event, Hash};
use scalebot_commands::figures::{BACKEND_BOUNDS_MS, Histogram, InstanceLoad, Load};
use scalebot_commands::journal::{Fence, Inbox, Signal, Signals};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::*;
use scalebot_commands::request;
use scalebot_commands::steps::Finished;
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{Epoch, InstanceId, Millis, OperationId, Person, Replicas, TargetName, Timestamp};
use tokio::sync::Notify;

type Answer<T> = Result<T, PortError>;

/// What ails an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ill {
    Down,
    Unready,
    Unrouted,
    Unknown,
    NoKeys,
    Halted,
    OtherChain,
    Behind,
    /// Serves neither its halt state nor its keys, as an older version would.
    Older,
}

/// How the fleet answers: the p99 of old and new instances, in milliseconds, and how many requests in a hundred fail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) old_ms: f64,
    pub(crate) new_ms: f64,
    pub(crate) failing: u64,
}

/// What everything outside answers, and what was said and written so far.
pub(crate) struct Script {
    pub(crate) clock: Duration,
    /// How far somebody has set the wall clock back.
    pub(crate) set_back: Duration,
    pub(crate) fleet: Answer<FleetState>,
    pub(crate) scale: Answer<OrderAnswer>,
    pub(crate) arrive: (InstanceState, Option<String>),
    pub(crate) headroom: Answer<Headroom>,
    pub(crate) steered_by: Answer<Vec<Steering>>,
    /// What becomes of an order to hold somebody still, and of one to put them back.
    pub(crate) hold: Answer<OrderAnswer>,
    pub(crate) release: Answer<OrderAnswer>,
    /// Who is held still, and under whose mark.
    pub(crate) held: Answer<Vec<(OperationId, Steering)>>,
    /// What somebody else has changed of them.
    pub(crate) held_changed: Option<String>,
    pub(crate) declared: Answer<Option<Declared>>,
    pub(crate) routing: Answer<()>,
    pub(crate) precondition: Precondition,
    /// Who can be ended.
    pub(crate) choice: Choice,
    /// Whom the orchestrator ends first where it chooses itself; then the oldest.
    pub(crate) chooses: Vec<InstanceId>,
    pub(crate) disruptions: Answer<Option<DisruptionBudget>>,
    pub(crate) metrics: Answer<()>,
    pub(crate) before: Option<Manner>,
    pub(crate) after: Option<Manner>,
    pub(crate) halt: [Answer<HaltReading>; 2],
    pub(crate) ill: BTreeMap<&'static str, Ill>,
    pub(crate) keys: bool,
    pub(crate) warnings: Vec<EarlyWarning>,
    pub(crate) drained: Vec<InstanceId>,
    pub(crate) draining: Answer<Draining>,
    /// What the balancer says of each instance; `None` where it does not count.
    pub(crate) in_flight: Option<u32>,
    /// For how many more looks it sends requests to whoever was taken out.
    pub(crate) lag: u32,
    pub(crate) work: Vec<(InstanceId, Work)>,
    pub(crate) head: Answer<Option<u64>>,
    pub(crate) pools: [Answer<PoolBudget>; 2],
    pub(crate) complexity: Answer<ComplexityBudget>,
    pub(crate) attended: bool,
    /// Of whom the chat system tells nothing, and until when.
    pub(crate) untold: BTreeMap<&'static str, Duration>,
    /// Who holds no role any more.
    pub(crate) dismissed: Vec<&'static str>,
    /// What was told to one person only.
    pub(crate) told: Vec<(String, String)>,
    /// How many cards the chat system does not take, the next ones.
    pub(crate) refuses_cards: u32,
    /// Called with every card that is shown.
    pub(crate) on_show: fn(&mut Script, Slot, &Card),
    /// Called with every event once it is written.
    pub(crate) on_event: fn(&mut Script, &Event),
    /// Called whenever somebody is about to look at the fleet.
    pub(crate) on_look: fn(&mut Script),
    pub(crate) shown: Vec<(Slot, Card)>,
    pub(crate) signals: Option<Signals>,
    pub(crate) events: Vec<Event>,
    /// What was changed outside or written down, by the name of the port's method.
    pub(crate) touched: Vec<&'static str>,
    /// What was ordered although it was so already.
    pub(crate) ordered_again: Vec<String>,
    claims: Vec<ClaimHeld>,
    samples: Vec<Load>,
    ids: u32,
    /// The process dies with an event of that kind.
    dies_after: Option<&'static str>,
    died: Arc<Notify>,
}

/// The moment at which every story begins.
const BEGIN: &str = "2026-01-08T03:12:00Z";

impl Script {
    pub(crate) fn now(&self) -> Timestamp {
        BEGIN.parse::<Timestamp>().unwrap() + self.clock - self.set_back
    }

    /// Says something to the operation under way.
    pub(crate) fn signal(&self, signal: Signal) {
        self.signals.as_ref().unwrap().send(signal).unwrap();
    }

    /// Puts a mark on the request that the card asks people to decide on.
    pub(crate) fn vote(&self, card: &Card, by: &str, mark: Mark) {
        if let Some(request) = card.ask.clone() {
            self.signal(Signal::Cast(Ballot { by: Person::new(by), mark, request, reason: None }));
        }
    }

    /// The count is set to that, in that operation's name.
    pub(crate) fn set_count(&mut self, to: Replicas, by: &OperationId) {
        let arrive = self.arrive.clone();
        let Ok(fleet) = &mut self.fleet else { return };
        if fleet.wanted == to {
            self.ordered_again.push(format!("the count of {to}"));
        }
        fleet.wanted = to;
        fleet.generation += 1;
        fleet.changed_by = Some(by.to_string());
        let new = (fleet.instances.len() as u32 + 1..=to.0).map(|number| format!("api-{number}"));
        fleet.instances.extend(new.map(|name| instance(&name, arrive.0, arrive.1.as_deref())));
        while matches!(self.choice, Choice::Unnamed { .. }) && fleet.instances.len() > to.0 as usize {
            let chosen = self.chooses.iter().find_map(|id| fleet.instances.iter().position(|one| one.id == *id));
            fleet.instances.remove(chosen.unwrap_or(0));
        }
    }

    /// These instances are ended, in that operation's name.
    pub(crate) fn end(&mut self, instances: &[InstanceId], to: Replicas, by: &OperationId) {
        let Ok(fleet) = &mut self.fleet else { return };
        let gone = instances.iter().filter(|id| fleet.instances.iter().all(|one| one.id != **id));
        self.ordered_again.extend(gone.map(|id| format!("the end of {id}")));
        fleet.wanted = to;
        fleet.generation += 1;
        fleet.changed_by = Some(by.to_string());
        fleet.instances.retain(|one| !instances.contains(&one.id));
        // The balancer forgets who is gone; another one of that name is new to it.
        self.drained.retain(|one| !instances.contains(one));
    }

    /// The balancer sends requests to that instance from now on, or no longer.
    pub(crate) fn route(&mut self, instance: &InstanceId, receives: bool) {
        if self.drained.contains(instance) != receives {
            self.ordered_again.push(format!("{instance} {}", if receives { "in" } else { "out" }));
        }
        self.drained.retain(|one| one != instance);
        if !receives {
            self.drained.push(instance.clone());
        }
    }

    fn instances(&self) -> Vec<Instance> {
        self.fleet.as_ref().map_or_else(|_| Vec::new(), |fleet| fleet.instances.clone())
    }

    fn ill(&self, instance: &Instance) -> Option<Ill> {
        self.ill.get(instance.id.as_str()).copied()
    }
}

/// An instance of that name in that state.
pub(crate) fn instance(name: &str, state: InstanceState, detail: Option<&str>) -> Instance {
    Instance {
        id: InstanceId::new(name),
        address: None,
        started_at: BEGIN.parse().unwrap(),
        state,
        detail: detail.map(str::to_owned),
        restarts: 0,
    }
}

/// Load of that manner: what each instance answered in the window that ends then.
pub(crate) fn load(until: Timestamp, window: Duration, manner: Manner, instances: &[(&str, bool)]) -> Load {
    let requests = (38.0 * window.as_secs_f64()) as u64 / instances.len().max(1) as u64;
    let each = |(name, new): &(&str, bool)| {
        let mut latency = Histogram::empty(&BACKEND_BOUNDS_MS);
        let slowest = if *new { manner.new_ms } else { manner.old_ms };
        for request in 0..requests {
            latency.record(slowest * [0.14, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.99][request as usize % 8]);
        }
        InstanceLoad {
            instance: InstanceId::new(*name),
            requests,
            errors: (requests * manner.failing + 50) / 100,
            latency,
            cpu: Some(0.34),
            memory_bytes: Some(61 << 20),
            saturation: Some(0.4),
        }
    };
    let instances = instances.iter().map(each).collect();
    Load { until, window: Millis::from(window), instances, missing: vec![] }
}

/// Nothing answers there.
pub(crate) fn unreachable<T>(what: &str) -> Answer<T> {
    Err(PortError::Unreachable { what: what.to_owned(), detail: "connection refused".to_owned() })
}

/// What a halt source says.
pub(crate) fn halted(halted: bool) -> HaltReading {
    HaltReading {
        halted,
        since: halted.then(|| "2026-01-08T02:41:00Z".parse().unwrap()),
        reason: halted.then(|| "consensus_failure".to_owned()),
        cleared_at: None,
    }
}

/// Which operations of a log have not ended, with what they hold.
fn unfinished(log: &[Event]) -> Vec<ClaimHeld> {
    let has_ended = |event: &Event| log.iter().any(|one| one.kind == "finished" && one.operation == event.operation);
    let opened = log.iter().filter(|event| event.kind == "requested" && !has_ended(event));
    let held = |event: &Event| ClaimHeld {
        target: TargetName::new("api"),
        operation: event.operation.clone().unwrap(),
        since: event.time().unwrap(),
    };
    opened.map(held).collect()
}

/// Everything outside.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Mutex<Script>>);

#[derive(Clone)]
struct Outside(Arc<Mutex<Script>>);

/// One of several that are alike.
struct Nth(Outside, usize);

impl Stage {
    /// Four instances that are well, with a p99 over the limit, and room for more.
    pub(crate) fn new() -> Self {
        let script = Script {
            clock: Duration::ZERO,
            set_back: Duration::ZERO,
            fleet: Ok(FleetState {
                identity: "world-1".into(),
                generation: 1,
                version: "1".into(),
                instances: ["api-1", "api-2", "api-3", "api-4"]
                    .map(|id| instance(id, InstanceState::Ready, None))
                    .into(),
                ..FleetState::unseen(Replicas(4))
            }),
            scale: Ok(OrderAnswer::Done),
            arrive: (InstanceState::Ready, None),
            headroom: Ok(Headroom { fits: Replicas(60), runs_out: None, source: "the rehearsal's world".into() }),
            steered_by: Ok(vec![]),
            hold: Ok(OrderAnswer::Done),
            release: Ok(OrderAnswer::Done),
            held: Ok(vec![]),
            held_changed: None,
            declared: Ok(None),
            routing: Ok(()),
            precondition: Precondition::Enforced,
            choice: Choice::Any,
            chooses: vec![],
            disruptions: Ok(None),
            metrics: Ok(()),
            before: Some(Manner { old_ms: 900.0, new_ms: 900.0, failing: 0 }),
            after: Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 }),
            halt: [Ok(halted(false)), Ok(halted(false))],
            ill: BTreeMap::new(),
            keys: true,
            warnings: vec![],
            drained: vec![],
            draining: Ok(Draining::ByOrder),
            in_flight: Some(0),
            lag: 0,
            work: vec![],
            head: Ok(Some(20)),
            pools: [
                Ok(PoolBudget { limit: 100, reserved: 3, others: 7, per_instance: 15, surge: 0, limit_of: None }),
                Ok(PoolBudget { limit: 10_000, reserved: 0, others: 12, per_instance: 20, surge: 0, limit_of: None }),
            ],
            complexity: Ok(ComplexityBudget {
                dimensions: vec![
                    ComplexityDimension { name: "ADRs".into(), used: 12, limit: 50 },
                    ComplexityDimension { name: "ceremony types".into(), used: 4, limit: 10 },
                ],
                overall: "within_budget".into(),
            }),
            attended: false,
            untold: BTreeMap::new(),
            dismissed: vec![],
            told: vec![],
            refuses_cards: 0,
            on_show: |_, _, _| (),
            on_event: |_, _| (),
            on_look: |_| (),
            shown: vec![],
            signals: None,
            events: vec![],
            touched: vec![],
            ordered_again: vec![],
            claims: vec![],
            samples: vec![],
            ids: 0,
            dies_after: None,
            died: Arc::default(),
        };
        Self(Arc::new(Mutex::new(script)))
    }

    /// The same, set up otherwise.
    pub(crate) fn with(set_up: impl FnOnce(&mut Script)) -> Self {
        let stage = Self::new();
        set_up(&mut stage.script());
        stage
    }

    /// What a log holds that another process wrote, some time after its last event.
    pub(crate) fn holds(&self, log: &[Event], since: Duration) {
        let mut script = self.script();
        script.events = log.to_vec();
        script.claims = unfinished(log);
        script.ids = log.iter().filter(|event| event.kind == "requested").count() as u32;
        let last = log.last().and_then(Event::time).map(|last| last.duration_since(BEGIN.parse().unwrap()));
        script.clock = last.map(|last| Duration::try_from(last).unwrap()).unwrap_or_default() + since;
    }

    /// Who holds what.
    pub(crate) fn claims(&self) -> Vec<ClaimHeld> {
        self.script().claims.clone()
    }

    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last card that was shown in that place.
    pub(crate) fn card(&self, slot: Slot) -> Card {
        self.script().shown.iter().rfind(|(shown, _)| *shown == slot).map(|(_, card)| card.clone()).unwrap()
    }

    /// Every card that was shown in that place.
    pub(crate) fn cards(&self, slot: Slot) -> Vec<Card> {
        self.script().shown.iter().filter(|(shown, _)| *shown == slot).map(|(_, card)| card.clone()).collect()
    }

    pub(crate) fn ports(&self) -> Ports {
        let outside = || Outside(Arc::clone(&self.0));
        let all = Arc::new(outside());
        Ports {
            world: all.clone(),
            ledger: all.clone(),
            samples: all.clone(),
            room: all.clone(),
            documents: all.clone(),
            target: Target {
                name: TargetName::new("api"),
                fleet: all.clone(),
                traffic: all.clone(),
                metrics: all.clone(),
                halt: vec![Arc::new(Nth(outside(), 0)), Arc::new(Nth(outside(), 1))],
                probe: all.clone(),
                chain: Some(all.clone()),
                pools: vec![Arc::new(Nth(outside(), 0)), Arc::new(Nth(outside(), 1))],
                governance: Some(all),
                dashboards: Vec::new(),
            },
        }
    }

    /// Takes the operator's command at the desk.
    pub(crate) async fn take(&self, command: &str, policy: &Policy) -> Received {
        self.take_of("operator", command, policy).await
    }

    /// Answers a question.
    pub(crate) async fn ask(&self, by: &str, question: &str) -> Answered {
        self.ask_under(by, question, &Policy::rehearsal(Duration::from_mins(1))).await
    }

    /// Answers a question under those limits.
    pub(crate) async fn ask_under(&self, by: &str, question: &str, policy: &Policy) -> Answered {
        let ports = self.ports();
        let targets = [TargetName::new("api")];
        let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
        let desk = Desk { ledger, world, room, policy, epoch: Epoch(1), targets: &targets };
        let request = request::parse(question).unwrap();
        asked::answer(&desk, &ports, &request, &Person::new(by)).await.unwrap().unwrap()
    }

    /// Whether a question can be answered; that the log cannot be read is an answer too.
    pub(crate) async fn answers(&self, by: &str, question: &str) -> bool {
        let ports = self.ports();
        let (targets, policy) = ([TargetName::new("api")], Policy::rehearsal(Duration::from_mins(1)));
        let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
        let desk = Desk { ledger, world, room, policy: &policy, epoch: Epoch(1), targets: &targets };
        let request = request::parse(question).unwrap();
        asked::answer(&desk, &ports, &request, &Person::new(by)).await.is_ok()
    }

    /// Takes somebody's command at the desk.
    pub(crate) async fn take_of(&self, by: &str, command: &str, policy: &Policy) -> Received {
        let ports = self.ports();
        let targets = [TargetName::new("api")];
        let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
        let desk = Desk { ledger, world, room, policy, epoch: Epoch(1), targets: &targets };
        desk.take(&request::parse(command).unwrap(), &Person::new(by)).await.unwrap()
    }

    /// Whether somebody may cancel the operation that holds the fleet, at the desk.
    pub(crate) async fn may_cancel(&self, by: &str) -> Result<(), String> {
        let (ports, policy) = (self.ports(), Policy::rehearsal(Duration::from_mins(1)));
        let targets = [TargetName::new("api")];
        let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
        let desk = Desk { ledger, world, room, policy: &policy, epoch: Epoch(1), targets: &targets };
        let operation = self.script().claims[0].operation.clone();
        desk.may_cancel(&request::parse("/scale cancel").unwrap(), &operation, &Person::new(by)).await.unwrap()
    }

    /// Carries the operator's command through, from the desk to its end.
    pub(crate) async fn play_under(&self, command: &str, policy: &Policy) -> Ended {
        let Received::Opened(operation) = self.take(command, policy).await else { panic!("refused at the desk") };
        self.carry_out(&operation, policy, Epoch(1)).await
    }

    async fn carry_out(&self, operation: &OperationId, policy: &Policy, epoch: Epoch) -> Ended {
        let (signals, mut inbox) = Inbox::new();
        self.script().signals = Some(signals);
        Box::pin(supervisor::carry_out(&self.ports(), policy, operation, epoch, &mut inbox)).await
    }

    /// The same under the limits of a rehearsal.
    pub(crate) async fn play(&self, command: &str) -> &Self {
        self.play_under(command, &Policy::rehearsal(Duration::from_mins(1))).await;
        self
    }

    /// The same, until the process dies with the next event of that kind.
    pub(crate) async fn play_until(&self, command: &str, kind: &'static str) -> &Self {
        self.until(kind, self.play(command)).await
    }

    /// The same under those limits.
    pub(crate) async fn play_under_until(&self, command: &str, policy: &Policy, kind: &'static str) -> &Self {
        self.until(kind, async {
            self.play_under(command, policy).await;
            self
        })
        .await
    }

    /// Another process takes the operation up, and carries it through.
    pub(crate) async fn resume(&self) -> &Self {
        self.resume_under(&Policy::rehearsal(Duration::from_mins(1))).await
    }

    /// The same, under other limits.
    pub(crate) async fn resume_under(&self, policy: &Policy) -> &Self {
        let (operation, last) = {
            let script = self.script();
            (script.claims[0].operation.clone(), script.events.last().map_or(0, |event| event.epoch.0))
        };
        self.carry_out(&operation, policy, Epoch(last + 1)).await;
        self
    }

    /// Another process takes up what is unfinished; how it ended for that process.
    pub(crate) async fn take_up(&self, policy: &Policy) -> Ended {
        let last = self.script().events.last().map_or(0, |event| event.epoch.0);
        let operation = self.claims()[0].operation.clone();
        self.carry_out(&operation, policy, Epoch(last + 1)).await
    }

    /// Gives up what is unfinished, from the host.
    pub(crate) async fn abandon(&self, reason: &str) -> Finished {
        let (ports, operation) = (self.ports(), self.claims()[0].operation.clone());
        let last = self.script().events.last().map_or(0, |event| event.epoch.0);
        let abandoned = Abandoned { by: Person::new("host:dana"), reason: reason.to_owned() };
        let (ledger, world) = (&*ports.ledger, &*ports.world);
        break_glass::abandon(ledger, world, Epoch(last + 1), &operation, &abandoned).await.unwrap()
    }

    /// The same, until it dies as well.
    pub(crate) async fn resume_until(&self, kind: &'static str) -> &Self {
        self.until(kind, self.resume()).await
    }

    async fn until(&self, kind: &'static str, played: impl Future<Output = &Self>) -> &Self {
        let died = {
            let mut script = self.script();
            script.dies_after = Some(kind);
            Arc::clone(&script.died)
        };
        tokio::select! {
            biased;
            _ = played => panic!("it ended without {kind}"),
            () = died.notified() => {}
        }
        self.script().dies_after = None;
        self
    }
}

impl Outside {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self, what: &'static str) {
        self.script().touched.push(what);
    }

    /// Asks one instance, if it answers at all.
    fn ask<T>(&self, instance: &Instance, answer: impl FnOnce(&Script, Option<Ill>) -> T) -> Answer<T> {
        let script = self.script();
        match script.ill(instance) {
            Some(Ill::Unknown) => unreachable(&format!("instance {}", instance.id)),
            ill => Ok(answer(&script, ill)),
        }
    }

    /// Writes an event; whether the process dies with it.
    fn write(&self, draft: &Draft) -> Result<(Event, bool), AppendError> {
        let mut script = self.script();
        match &draft.claim {
            Claim::Take(target) => {
                if let Some(held) = script.claims.iter().find(|held| held.target == *target) {
                    return Err(AppendError::Claimed(held.clone()));
                }
                let operation = draft.operation.clone().unwrap();
                script.claims.push(ClaimHeld { target: target.clone(), operation, since: draft.at });
            }
            Claim::Release => script.claims.retain(|held| Some(&held.operation) != draft.operation.as_ref()),
            Claim::Keep => {}
        }
        let (seq, prev) = script.events.last().map_or((0, Hash::GENESIS), |event| (event.seq, event.hash));
        let event = Event::place(draft, seq + 1, prev);
        script.events.push(event.clone());
        let on_event = script.on_event;
        on_event(&mut script, &event);
        let dies = script.dies_after == Some(event.kind.as_str());
        if dies {
            script.died.notify_one();
        }
        Ok((event, dies))
    }

    fn serves(&self, instance: &Instance, path: &str) -> Answer<()> {
        match self.script().ill(instance) {
            Some(Ill::Older) => {
                Err(PortError::NotServed { what: format!("instance {}", instance.id), detail: path.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

impl World for Outside {
    fn now(&self) -> Timestamp {
        self.script().now()
    }

    fn monotonic(&self) -> Duration {
        self.script().clock
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        let outside = self.clone();
        Box::pin(async move {
            // Whoever waits for something else as well gets to see it first.
            tokio::task::yield_now().await;
            outside.script().clock += length;
        })
    }

    fn unique_id(&self) -> String {
        let mut script = self.script();
        script.ids += 1;
        format!("019b9b3a-7f3a{:02}", script.ids)
    }

    fn random(&self) -> u64 {
        4
    }
}

#[async_trait]
impl Fleet for Outside {
    async fn observe(&self) -> Answer<FleetState> {
        let mut script = self.script();
        let on_look = script.on_look;
        on_look(&mut script);
        script.fleet.clone()
    }

    async fn scale(&self, order: &ScaleOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("scale");
        let mut script = self.script();
        let answer = script.scale.clone();
        if answer == Ok(OrderAnswer::Done) {
            script.set_count(order.to, &order.operation);
        }
        answer
    }

    async fn remove(&self, order: &RemoveOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("remove");
        let mut script = self.script();
        let answer = script.scale.clone();
        if answer == Ok(OrderAnswer::Done) {
            script.end(&order.instances, order.to, &order.operation);
        }
        answer
    }

    fn choice(&self, _: &FleetState) -> Choice {
        self.script().choice.clone()
    }

    async fn logs(&self, instance: &InstanceId, _: usize) -> Answer<String> {
        Ok(format!("{instance} has started\n"))
    }

    async fn disruptions_allowed(&self) -> Answer<Option<DisruptionBudget>> {
        self.script().disruptions.clone()
    }

    async fn headroom(&self, wanted: Replicas) -> Answer<Headroom> {
        self.script().headroom.clone().map(|room| Headroom { fits: room.fits.min(wanted), ..room })
    }

    fn precondition(&self) -> Precondition {
        self.script().precondition
    }

    async fn steered_by(&self) -> Answer<Vec<Steering>> {
        self.script().steered_by.clone()
    }

    async fn hold(&self, order: &HoldOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("hold");
        let mut script = self.script();
        let answer = script.hold.clone();
        if answer == Ok(OrderAnswer::Done) {
            let still = |one: &Steering| one.hold.as_ref().is_some_and(|hold| hold.name == order.hold.name);
            let mut steering = script.steered_by.clone()?;
            let at = steering.iter().position(still).unwrap();
            script.held.as_mut().unwrap().push((order.operation.clone(), steering.remove(at)));
            script.steered_by = Ok(steering);
        }
        answer
    }

    async fn held_by(&self, operation: &OperationId) -> Answer<Vec<Held>> {
        let script = self.script();
        let held = script.held.clone()?.into_iter().filter(|(by, _)| by == operation);
        let of = held.filter_map(|(_, steering)| steering.hold);
        let as_held = |hold: Hold| Held {
            name: hold.name,
            identity: hold.identity,
            version: hold.version,
            undo: hold.before,
            changed: script.held_changed.clone(),
        };
        Ok(of.map(as_held).collect())
    }

    async fn release(&self, order: &ReleaseOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("release");
        let mut script = self.script();
        let answer = script.release.clone();
        if answer == Ok(OrderAnswer::Done) {
            let mut held = script.held.clone()?;
            let still = |one: &Steering| one.hold.as_ref().is_some_and(|hold| hold.name == order.held.name);
            let at = held.iter().position(|(by, one)| *by == order.operation && still(one)).unwrap();
            let (_, steering) = held.remove(at);
            script.steered_by.as_mut().unwrap().push(steering);
            script.held = Ok(held);
        }
        answer
    }

    async fn declared(&self) -> Answer<Option<Declared>> {
        self.script().declared.clone()
    }

    fn describe(&self) -> String {
        "the rehearsal's world".into()
    }
}

#[async_trait]
impl Traffic for Outside {
    async fn routed(&self) -> Answer<Vec<Routed>> {
        let mut script = self.script();
        script.routing.clone()?;
        let lags = script.lag > 0 && !script.drained.is_empty();
        script.lag -= u32::from(lags);
        let routed = |one: &Instance| Routed {
            instance: one.id.clone(),
            receives: script.ill(one) != Some(Ill::Unrouted) && (lags || !script.drained.contains(&one.id)),
            drained: script.drained.contains(&one.id),
            requests: Some(412),
            in_flight: script.in_flight,
        };
        Ok(script.instances().iter().map(routed).collect())
    }

    async fn route(&self, order: &RouteOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("route");
        self.script().route(&order.instance, order.receives);
        Ok(OrderAnswer::Done)
    }

    async fn draining(&self) -> Answer<Draining> {
        self.script().draining.clone()
    }

    fn describe(&self) -> String {
        "the load balancer".into()
    }
}

#[async_trait]
impl Metrics for Outside {
    async fn load(&self, since: Timestamp) -> Answer<Load> {
        let script = self.script();
        script.metrics.clone()?;
        let instances = script.instances();
        let scaled = script.fleet.as_ref().is_ok_and(|fleet| fleet.generation > 1);
        let manner = if scaled { script.after } else { script.before };
        let Some(manner) = manner else { return unreachable("the metrics") };
        let named: Vec<(&str, bool)> =
            instances.iter().enumerate().map(|(at, one)| (one.id.as_str(), at >= 4)).collect();
        let window = Duration::try_from(script.now().duration_since(since)).unwrap();
        Ok(load(script.now(), window, manner, &named))
    }

    fn describe(&self) -> String {
        "the instances' own metrics".into()
    }
}

#[async_trait]
impl HaltSource for Nth {
    async fn read(&self) -> Answer<HaltReading> {
        self.0.script().halt[self.1].clone()
    }

    fn name(&self) -> String {
        ["halt table", "halt signals"][self.1].into()
    }
}

#[async_trait]
impl Pool for Nth {
    async fn budget(&self) -> Answer<PoolBudget> {
        self.0.script().pools[self.1].clone()
    }

    fn name(&self) -> String {
        ["database connections", "Redis connections"][self.1].into()
    }
}

#[async_trait]
impl Probe for Outside {
    async fn healthy(&self, instance: &Instance) -> Answer<bool> {
        self.ask(instance, |_, ill| ill != Some(Ill::Down))
    }

    async fn ready(&self, instance: &Instance) -> Answer<Readiness> {
        self.ask(instance, |_, ill| {
            let ready = ill != Some(Ill::Unready);
            let error = (!ready).then(|| "too many connections".to_owned());
            let check = |name: &str, healthy, error| NamedCheck { name: name.into(), healthy, error };
            Readiness { ready, checks: vec![check("redis", true, None), check("database", ready, error)] }
        })
    }

    async fn halt(&self, instance: &Instance) -> Answer<HaltReading> {
        self.serves(instance, "/v1/halt")?;
        self.ask(instance, |script, ill| {
            let truth = script.halt.iter().flatten().any(|reading| reading.halted);
            halted(truth != (ill == Some(Ill::Halted)))
        })
    }

    async fn link(&self, instance: &Instance, sequence: u64) -> Answer<Option<ChainLink>> {
        self.ask(instance, |_, ill| match ill {
            Some(Ill::Behind) => None,
            Some(Ill::OtherChain) => Some(ChainLink { content_hash: "other".into(), prev_hash: "other".into() }),
            _ => Some(ChainLink { content_hash: format!("c{sequence}"), prev_hash: format!("p{sequence}") }),
        })
    }

    async fn keys(&self, instance: &Instance) -> Answer<Option<NamedCheck>> {
        self.serves(instance, "/v1/keys")?;
        self.ask(instance, |script, ill| {
            let healthy = ill != Some(Ill::NoKeys);
            let error = (!healthy).then(|| "HSM slot 3: session refused".to_owned());
            script.keys.then(|| NamedCheck { name: "keys".into(), healthy, error })
        })
    }

    async fn work(&self, instance: &Instance) -> Answer<Vec<Work>> {
        self.ask(instance, |script, _| {
            script.work.iter().filter(|(at, _)| *at == instance.id).map(|(_, work)| work.clone()).collect()
        })
    }

    async fn warnings(&self, _: &Instance) -> Answer<Vec<EarlyWarning>> {
        Ok(self.script().warnings.clone())
    }
}

#[async_trait]
impl Chain for Outside {
    async fn head(&self) -> Answer<Option<u64>> {
        self.script().head.clone()
    }
}

#[async_trait]
impl Governance for Outside {
    async fn complexity(&self) -> Answer<ComplexityBudget> {
        self.script().complexity.clone()
    }

    async fn halt(&self, _: &HaltOrder, _: Fence<'_>) -> Answer<OrderAnswer> {
        self.touch("halt");
        self.script().halt = [Ok(halted(true)), Ok(halted(true))];
        Ok(OrderAnswer::Done)
    }
}

#[async_trait]
impl Ledger for Outside {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        self.touch("append");
        let (event, dies) = self.write(&draft)?;
        if dies {
            std::future::pending::<()>().await;
        }
        Ok(event)
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        let script = self.script();
        Ok(script.events.iter().filter(|event| event.operation.as_ref() == Some(operation)).cloned().collect())
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        Ok(self.script().events.iter().filter(|event| event.seq > after).take(limit as usize).cloned().collect())
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        Ok(self.script().claims.clone())
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        let script = self.script();
        Ok(script.events.iter().rev().filter(|event| event.kind == kind).take(limit as usize).cloned().collect())
    }
}

#[async_trait]
impl Samples for Outside {
    async fn keep(&self, _: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        self.touch("keep");
        let mut script = self.script();
        script.samples.truncate(index as usize);
        script.samples.push(load.clone());
        Ok(())
    }

    async fn kept(&self, _: &OperationId) -> Result<Vec<Load>, LedgerError> {
        Ok(self.script().samples.clone())
    }
}

#[async_trait]
impl Room for Outside {
    async fn show(&self, _: &OperationId, slot: Slot, card: &Card) -> Answer<()> {
        self.touch("show");
        let mut script = self.script();
        if script.refuses_cards > 0 {
            script.refuses_cards -= 1;
            return unreachable("the chat system");
        }
        script.shown.push((slot, card.clone()));
        let on_show = script.on_show;
        on_show(&mut script, slot, card);
        Ok(())
    }

    async fn standing(&self, person: &Person, role: Role) -> Answer<Standing> {
        let (script, name) = (self.script(), person.as_str());
        if script.untold.get(name).is_some_and(|until| script.clock < *until) {
            return unreachable("the chat system");
        }
        let holds_role = match role {
            _ if script.dismissed.contains(&name) => false,
            Role::GovernanceLead => name.starts_with("lead"),
            _ => name.starts_with("operator"),
        };
        Ok(Standing { is_person: true, holds_role })
    }

    fn attended(&self) -> bool {
        self.script().attended
    }

    async fn answer(&self, person: &Person, text: &str) -> Answer<()> {
        self.script().told.push((person.to_string(), text.to_owned()));
        Ok(())
    }

    async fn reply(&self, _: &Person, card: &Card) -> Answer<()> {
        self.script().shown.push((Slot::Summary, card.clone()));
        Ok(())
    }
}

#[async_trait]
impl Documents for Outside {
    async fn write_capacity(&self, _: &str) -> Answer<String> {
        self.touch("write_capacity");
        Ok("CAPACITY.md".into())
    }

    async fn keep_logs(&self, _: &OperationId, instance: &InstanceId, _: &str) -> Answer<String> {
        self.touch("keep_logs");
        Ok(format!("logs/{instance}.log"))
    }
}
