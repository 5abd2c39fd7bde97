//! Everything that exists in a run, apart from the bot's own memory: the world outside, time, and the record of both.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures::channel::mpsc::UnboundedSender;
use jiff::SignedDuration;
use scalebot_commands::approval::{Ballot, Standing};
use scalebot_commands::event::Draft;
use scalebot_commands::journal::{Signal, Signals};
use scalebot_commands::policy::{Policy, TakeBack, Trigger};
use scalebot_commands::ports::{
    FleetState, HaltOrder, HaltReading, HoldOrder, OrderAnswer, Post, ReleaseOrder, RemoveOrder, Role, RouteOrder,
    ScaleOrder,
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
    /// A bot is started on that machine.
    Start(usize),
    /// The bot is killed.
    Kill,
    /// Another bot is started although the old one lives on: a zombie from then on.
    Usurp,
    /// That zombie ends at last.
    Bury(usize),
    /// A process that stood still goes on.
    Thaw(usize),
    /// The wall clock of that machine is set by so many milliseconds.
    Jump(usize, i64),
    /// The chat system tells the bot nothing for so long. What was said meanwhile is told then.
    Deaf(Duration),
    /// That person is given the roles that they have, or loses all.
    Roles(&'static str, bool),
    /// What a process had given up is written to the log after all.
    Append(usize, Box<Draft>),
    /// What a process had given up is posted after all.
    Post(Box<Post>),
    /// Somebody says something that is no signal to an operation.
    Say(Word),
    /// Somebody sends a signal to an operation; to the one under way where none is named.
    Signal(Option<OperationId>, Signal),
    /// That halt source says halted from now on, or no longer.
    Halt(usize, bool),
    /// Somebody else sets the count to so much more or less.
    Others(i32),
    /// The fleet is replaced by another of the same name.
    Replace,
    /// Somebody lets an instance have requests again that was taken out.
    LetIn,
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

/// What somebody says to the bot.
#[derive(Clone, Debug)]
pub(super) enum Word {
    /// A command.
    Command(Request, Person),
    /// That they see to what is open.
    Acknowledge(Person),
    /// That what is proposed is to be done.
    Start(Person),
    /// That it is not.
    Dismiss(Person),
}

/// A process of the bot, as the world sees it.
pub(super) struct Process {
    pub(super) alive: bool,
    /// It is stopped, and nothing of it goes on until it thaws.
    pub(super) frozen: bool,
    /// When it last went on after that.
    pub(super) thawed: Duration,
    /// The machine that it runs on: whose wall clock it has.
    pub(super) host: usize,
    /// Something was called that kills it.
    pub(super) doomed: bool,
    pub(super) words: UnboundedSender<Word>,
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
    Halt(HaltOrder),
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
            Self::Halt(order) => &order.operation,
        }
    }

    /// Whether it is taken whatever has changed since: a load balancer does not compare and swap, nor does a halt.
    pub(super) fn is_unconditional(&self) -> bool {
        matches!(self, Self::Route(_) | Self::Halt(_))
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
            Self::Halt(_) => write!(f, "the halt"),
        }
    }
}

/// An order on its way.
pub(super) struct InFlight {
    pub(super) process: usize,
    pub(super) left: Duration,
    pub(super) order: Ordered,
    pub(super) answer: Option<OrderAnswer>,
}

/// What one seed's chat holds.
pub(super) struct People {
    /// Whether somebody watches the console.
    pub(super) attended: bool,
    /// Who has lost their roles, and since when.
    pub(super) revoked: BTreeMap<&'static str, Duration>,
    /// Until when the bot is told nothing of what they say.
    pub(super) deaf_until: Duration,
    /// Since when it is not.
    pub(super) deaf_since: Duration,
    /// What is asked of them, by operation and digest, the newest last.
    pub(super) asked: Vec<(OperationId, String)>,
    /// The marks that they made.
    pub(super) marks: Vec<(OperationId, Ballot)>,
}

/// Who has which roles, as long as they are not taken from them. Whoever leads is a person, except for one.
pub(super) const LEADS: [&str; 4] = ["lead", "lead2", "chief", "robot"];
pub(super) const OPERATORS: [&str; 2] = ["operator", "chief"];
pub(super) const ARCHITECT: &str = "architect";

impl People {
    /// Whether somebody holds a role that makes marks count, and is a person; `since` when they have lost it, else.
    pub(super) fn may_decide(&self, name: &str) -> Result<(), Option<Duration>> {
        if !LEADS.contains(&name) || name == "robot" {
            return Err(None);
        }
        self.revoked.get(name).map_or(Ok(()), |since| Err(Some(*since)))
    }

    pub(super) fn standing(&self, name: &str, role: Role) -> Standing {
        let holds_role = !self.revoked.contains_key(name)
            && match role {
                Role::GovernanceLead => LEADS.contains(&name),
                Role::Operator => OPERATORS.contains(&name),
                Role::InfrastructureTeam | Role::SystemArchitect => name == ARCHITECT,
            };
        Standing { is_person: name != "robot", holds_role }
    }
}

/// One source of truth about the halt.
pub(super) struct SimHalt {
    pub(super) reading: HaltReading,
    /// Since when it says so, in virtual time.
    pub(super) since: Duration,
    /// Everything that it ever said, with since when.
    past: Vec<(Duration, HaltReading)>,
}

impl SimHalt {
    pub(super) fn says(&mut self, now: Duration, reading: HaltReading) {
        self.past.push((now, reading.clone()));
        (self.reading, self.since) = (reading, now);
    }

    /// What it said then.
    pub(super) fn as_of(&self, moment: Duration) -> &HaltReading {
        self.past.iter().rev().find(|(since, _)| *since <= moment).map_or(&self.reading, |(_, reading)| reading)
    }
}

/// Everything in a run.
pub(super) struct Model {
    pub(super) now: Duration,
    pub(super) dice: fastrand::Rng,
    pub(super) weather: Weather,
    pub(super) calm: bool,
    pub(super) calm_since: Duration,
    /// When a clock was last set, or a process began or went on.
    pub(super) last_disturbed: Duration,
    pub(super) policy: Policy,
    pub(super) agenda: BTreeMap<(Duration, u64), Happening>,
    pub(super) timers: BTreeMap<(Duration, u64), Waker>,
    serial: u64,
    pub(super) book: Book,
    pub(super) fleet: SimFleet,
    /// The fleet as it was, with since when.
    past: Vec<(Duration, FleetState)>,
    pub(super) steering: SimSteering,
    /// By how many milliseconds each machine's wall clock is ahead.
    pub(super) ahead: [i64; 2],
    /// Whether the bot does its duty beside operations in this seed: it costs as much as they do.
    pub(super) does_duty: bool,
    /// Whether what a plan begins with waits until people are reached.
    pub(super) holds_back: bool,
    pub(super) in_flight: Vec<InFlight>,
    pub(super) halts: Vec<SimHalt>,
    pub(super) people: People,
    /// The count that is written down, where one is.
    pub(super) declared: Option<u32>,
    /// The log channel, with when each post came.
    pub(super) channel: Vec<(Duration, Post)>,
    pub(super) processes: Vec<Process>,
    pub(super) judge: Judge,
    /// What happened, where somebody wants to read it.
    pub(super) trace: Option<Vec<String>>,
    pub(super) tally: BTreeMap<&'static str, u64>,
}

/// How long whoever is ended has for the last requests, where nobody can be named.
pub(super) const GRACE: Duration = Duration::from_secs(20);

/// The model as ports and the driver share it. Only ever used from one thread.
pub(super) type Shared = Arc<Mutex<Model>>;

pub(super) fn lock(shared: &Shared) -> MutexGuard<'_, Model> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
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
        policy.approval.quorum = if dice.u8(..5) == 0 { 2 } else { 1 };
        policy.approval.requester_may = dice.u8(..10) == 0;
        policy.triggers.every = Duration::from_secs(20);
        policy.escalation.critical_again = Duration::from_mins(2);
        policy.escalation.high = Duration::from_mins(1);
        policy.triggers.by_itself = if dice.bool() { vec![Trigger::Latency] } else { Vec::new() };
        let does_duty = dice.u8(..5) == 0;
        let fleet = SimFleet::draw(&mut dice, seed);
        if fleet.unnamed {
            // Nobody counts the last requests of whoever is ended.
            policy.drain.unmeasured = Some(GRACE);
        }
        let people = People {
            attended: dice.u8(..100) < 50,
            revoked: BTreeMap::new(),
            deaf_until: Duration::ZERO,
            deaf_since: Duration::ZERO,
            asked: Vec::new(),
            marks: Vec::new(),
        };
        let declared = dice.bool().then_some(fleet.wanted);
        let clear = HaltReading { halted: false, since: None, reason: None, cleared_at: None };
        let halts = vec![clear.clone(), clear];
        Self {
            now: Duration::ZERO,
            dice,
            weather,
            calm: false,
            calm_since: Duration::ZERO,
            last_disturbed: Duration::ZERO,
            policy,
            agenda: BTreeMap::new(),
            timers: BTreeMap::new(),
            serial: 0,
            book: Book::default(),
            past: vec![(Duration::ZERO, fleet.state())],
            fleet,
            ahead: [0, 0],
            does_duty,
            holds_back: seed.is_multiple_of(3),
            steering: SimSteering::draw(seed),
            in_flight: Vec::new(),
            halts: halts
                .into_iter()
                .map(|reading| SimHalt {
                    past: vec![(Duration::ZERO, reading.clone())],
                    reading,
                    since: Duration::ZERO,
                })
                .collect(),
            people,
            declared,
            channel: Vec::new(),
            processes: Vec::new(),
            judge: Judge::default(),
            trace: traced.then(Vec::new),
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

    /// The wall clock of a process's machine.
    pub(super) fn wall_of(&self, process: usize) -> Timestamp {
        let host = self.processes.get(process).map_or(0, |process| process.host);
        self.wall() + SignedDuration::from_millis(self.ahead[host])
    }

    /// Something of the fleet is otherwise from now on.
    pub(super) fn fleet_changed(&mut self) {
        self.past.push((self.now, self.fleet.state()));
    }

    /// The fleet as it was then.
    pub(super) fn fleet_as_of(&self, moment: Duration) -> FleetState {
        let then = self.past.iter().rev().find(|(since, _)| *since <= moment);
        then.or(self.past.first()).map_or_else(|| self.fleet.state(), |(_, state)| state.clone())
    }

    pub(super) fn note(&mut self, who: &str, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9.3}  {who:<6} {}", self.now.as_secs_f64(), what()));
        }
    }

    pub(super) fn note_of(&mut self, process: usize, what: impl FnOnce() -> String) {
        if self.trace.is_some() {
            self.note(&format!("p{process}"), what);
        }
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
