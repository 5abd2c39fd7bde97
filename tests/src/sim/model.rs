//! Everything that exists in a run, apart from the bot's own memory: the world outside, time, and the record of both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use scalebot_commands::journal::{Signal, Signals};
use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::ports::{
    HaltReading, HoldOrder, OrderAnswer, Post, ReleaseOrder, RemoveOrder, RouteOrder, ScaleOrder,
};
use scalebot_commands::request::Request;
use scalebot_commands::units::{OperationId, Person, Timestamp};

use super::book::Book;
use super::fleet::SimFleet;
use super::gate::Weather;
use super::judge::Judge;
use super::steering::SimSteering;

/// What happens in the world at a moment, whatever the bot does.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    /// A bot is started.
    Start,
    /// The bot is killed.
    Kill,
    /// Another bot is started although the old one lives on: a zombie from then on.
    Usurp,
    /// That zombie ends at last.
    Bury(usize),
    /// Somebody types a command.
    Command(Request, Person),
    /// Somebody sends a signal to an operation; to the one under way where none is named.
    Signal(Option<OperationId>, Signal),
    /// That halt source says halted from now on, or no longer.
    Halt(usize, bool),
    /// Somebody else sets the count to so much more or less.
    Others(i32),
    /// The fleet is replaced by another of the same name.
    Replace,
    /// That instance becomes ready, fails, or is not ready for a while.
    Instance(String, scalebot_commands::ports::InstanceState),
    /// A request to scale arrives at the orchestrator.
    Land(usize),
    /// That instance has answered all it had.
    Idle(String),
    /// That instance works on something that takes long, or no longer.
    Work(String, bool),
    /// Somebody puts the autoscaler back by hand, or changes it otherwise.
    Meddle(bool),
    /// The faults stop.
    Calm,
}

/// A process of the bot, as the world sees it.
pub(super) struct Process {
    pub(super) alive: bool,
    /// Something was called that kills it.
    pub(super) doomed: bool,
    pub(super) commands: UnboundedSender<(Request, Person)>,
    pub(super) inboxes: BTreeMap<OperationId, Signals>,
}

/// What the outside is told to change.
#[derive(Clone, Debug)]
pub(super) enum Ordered {
    Scale(ScaleOrder),
    Remove(RemoveOrder),
    Route(RouteOrder),
    Hold(HoldOrder),
    Release(ReleaseOrder),
}

impl Ordered {
    /// Whose order it is.
    pub(super) fn operation(&self) -> &OperationId {
        match self {
            Self::Scale(order) => &order.operation,
            Self::Remove(order) => &order.operation,
            Self::Route(order) => &order.operation,
            Self::Hold(order) => &order.operation,
            Self::Release(order) => &order.operation,
        }
    }

    /// Whether it only changes who gets requests.
    pub(super) fn is_routing(&self) -> bool {
        matches!(self, Self::Route(_))
    }

    /// Whether it is about who else steers, and leaves the fleet itself as it is.
    pub(super) fn is_steering(&self) -> bool {
        matches!(self, Self::Hold(_) | Self::Release(_))
    }
}

impl std::fmt::Display for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Scale(order) => write!(f, "{} → {}", order.from, order.to),
            Self::Remove(order) => write!(f, "{} → {} without {:?}", order.from, order.to, order.instances),
            Self::Route(order) if order.receives => write!(f, "{} in", order.instance),
            Self::Route(order) => write!(f, "{} out", order.instance),
            Self::Hold(order) => write!(f, "{} held", order.hold.name),
            Self::Release(order) => write!(f, "{} released", order.held.name),
        }
    }
}

/// An order on its way.
pub(super) struct InFlight {
    pub(super) process: usize,
    pub(super) order: Ordered,
    pub(super) answer: Option<OrderAnswer>,
    pub(super) landed: bool,
}

/// What one seed's chat holds.
pub(super) struct People {
    /// Whether somebody watches the console.
    pub(super) attended: bool,
}

/// One source of truth about the halt.
pub(super) struct SimHalt {
    pub(super) reading: HaltReading,
    /// Since when it says so, in virtual time.
    pub(super) since: Duration,
}

/// Everything in a run.
pub(super) struct Model {
    pub(super) now: Duration,
    pub(super) dice: fastrand::Rng,
    pub(super) weather: Weather,
    pub(super) calm: bool,
    pub(super) policy: Policy,
    pub(super) agenda: BTreeMap<(Duration, u64), Happening>,
    pub(super) timers: BTreeMap<(Duration, u64), Waker>,
    serial: u64,
    pub(super) book: Book,
    pub(super) fleet: SimFleet,
    pub(super) steering: SimSteering,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) halts: Vec<SimHalt>,
    pub(super) people: People,
    /// The count that is written down, where one is.
    pub(super) declared: Option<u32>,
    /// The log channel, with when each post came.
    pub(super) channel: Vec<(Duration, Post)>,
    pub(super) processes: Vec<Process>,
    pub(super) judge: Judge,
    pub(super) trace: Vec<String>,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

/// The model as ports and the driver share it. Only ever used from one thread.
pub(super) type Shared = Arc<Mutex<Model>>;

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Model> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed);
        let weather = Weather::draw(&mut dice);
        let mut policy = Policy::rehearsal(Duration::from_secs(100));
        policy.approval.decide_within = Duration::from_mins(3);
        policy.approval.execute_within = Duration::from_mins(2);
        policy.back.rule = match dice.u8(..10) {
            0 => TakeBack::Ask,
            1 => TakeBack::Never,
            _ => TakeBack::Automatic,
        };
        let fleet = SimFleet::draw(&mut dice);
        let people = People { attended: dice.u8(..100) < 50 };
        let declared = dice.bool().then_some(fleet.wanted);
        let clear = HaltReading { halted: false, since: None, reason: None, cleared_at: None };
        let halts = vec![clear.clone(), clear];
        Self {
            now: Duration::ZERO,
            dice,
            weather,
            calm: false,
            policy,
            agenda: BTreeMap::new(),
            timers: BTreeMap::new(),
            serial: 0,
            book: Book::default(),
            fleet,
            steering: SimSteering::draw(seed),
            in_flight: Vec::new(),
            halts: halts.into_iter().map(|reading| SimHalt { reading, since: Duration::ZERO }).collect(),
            people,
            declared,
            channel: Vec::new(),
            processes: Vec::new(),
            judge: Judge::default(),
            trace: Vec::new(),
            tally: BTreeMap::new(),
        }
    }

    /// The wall clock at this moment of virtual time.
    pub(super) fn wall(&self) -> Timestamp {
        let began: Timestamp = "2026-01-08T03:00:00Z".parse().expect("a constant");
        began + self.now
    }

    /// A number never given before in this run.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn at(&mut self, moment: Duration, happening: Happening) {
        let serial = self.serial();
        self.agenda.insert((moment, serial), happening);
    }

    pub(super) fn after(&mut self, length: Duration, happening: Happening) {
        self.at(self.now + length, happening);
    }

    pub(super) fn note(&mut self, who: &str, what: &str) {
        self.trace.push(format!("{:>9.3}  {who:<6} {what}", self.now.as_secs_f64()));
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// A length of time, any one between both being as likely.
    pub(super) fn between(&mut self, shortest_ms: u64, longest_ms: u64) -> Duration {
        Duration::from_millis(self.dice.u64(shortest_ms..=longest_ms))
    }

    /// True so often in a thousand.
    pub(super) fn chance(&mut self, in_a_thousand: u32) -> bool {
        self.dice.u32(..1000) < in_a_thousand
    }

    /// The process that leads: the youngest that lives.
    pub(super) fn leader(&self) -> Option<usize> {
        self.processes.iter().rposition(|process| process.alive)
    }
}
