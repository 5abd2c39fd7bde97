//! The executor: polls whoever was woken, lets the world's next happening happen, moves time on, and stops at the first
//! thing that is wrong. One thread, no real clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::LocalBoxFuture;
use scalebot_commands::event::Event;
use scalebot_commands::ports::OrderAnswer;

use super::Run;
use super::judge::LIMIT;
use super::model::{Happening, Model, Process, Shared, Word, lock};
use super::ports::{Port, head};
use super::process;

/// Nothing that ends takes this many polls; what does turns on the spot.
const POLLS: u64 = 2_000_000;

/// Wakes one process: puts its number into the queue.
struct Woken {
    process: usize,
    queue: Arc<Mutex<VecDeque<usize>>>,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(self.process);
    }
}

pub(super) struct Driver {
    seed: u64,
    sim: Shared,
    /// The processes; none where one has ended.
    tasks: Vec<Option<LocalBoxFuture<'static, ()>>>,
    queue: Arc<Mutex<VecDeque<usize>>>,
    /// Who was woken while they stood still.
    frozen: Vec<usize>,
    calm_since: Option<Duration>,
    polls: u64,
}

impl Driver {
    pub(super) fn new(seed: u64, traced: bool) -> Self {
        let mut model = Model::new(seed, traced);
        model.draw_script();
        let (initial, weather) = (model.fleet.wanted, format!("{:?}", model.weather));
        model.note("world", || format!("{initial} instances; {weather}"));
        Self {
            seed,
            sim: Arc::new(Mutex::new(model)),
            tasks: Vec::new(),
            frozen: Vec::new(),
            queue: Arc::default(),
            calm_since: None,
            polls: 0,
        }
    }

    pub(super) fn run(mut self) -> Run {
        loop {
            self.poll_woken();
            let wrong = !lock(&self.sim).judge.violations.is_empty();
            if wrong || self.has_ended() || !self.advance() {
                break;
            }
        }
        self.tasks.clear();
        let mut model = lock(&self.sim);
        if model.judge.violations.is_empty() {
            model.judge_end();
        }
        let violations = std::mem::take(&mut model.judge.violations);
        for violation in &violations {
            model.note("judge", || format!("VIOLATION: {violation}"));
        }
        Run {
            seed: self.seed,
            violations,
            trace: model.trace.take().unwrap_or_default(),
            events: std::mem::take::<Vec<Event>>(&mut model.book.events),
            tally: std::mem::take(&mut model.tally),
        }
    }

    fn poll_woken(&mut self) {
        loop {
            let next = self.queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(number) = next else { return };
            if lock(&self.sim).processes.get(number).is_some_and(|process| process.frozen) {
                self.frozen.push(number);
                continue;
            }
            let Some(task) = self.tasks.get_mut(number).and_then(Option::as_mut) else { continue };
            self.polls += 1;
            let waker = Waker::from(Arc::new(Woken { process: number, queue: Arc::clone(&self.queue) }));
            let ended = task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            let doomed = lock(&self.sim).processes[number].doomed;
            if ended {
                lock(&self.sim).note_of(number, || "ends by itself".to_owned());
            }
            if ended || doomed {
                self.bury(number);
            }
        }
    }

    /// A process is gone. Where it led, another is started after a while.
    fn bury(&mut self, number: usize) {
        // Dropped before the model is locked: what it drops takes its timers away.
        if let Some(task) = self.tasks.get_mut(number) {
            *task = None;
        }
        let mut model = lock(&self.sim);
        let led = model.leader() == Some(number);
        let Some(process) = model.processes.get_mut(number).filter(|process| process.alive) else { return };
        process.alive = false;
        process.frozen = false;
        let host = process.host;
        process.inboxes.clear();
        model.judge.died(number);
        model.note("world", || format!("p{number} is gone"));
        if led {
            let pause = if model.chance(100) { model.between(60_000, 600_000) } else { model.between(100, 10_000) };
            model.after(pause, Happening::Start(host));
            if !model.calm && model.chance(100) {
                // While nobody looks.
                let jump = model.a_jump();
                let soon = pause / 2;
                model.after(soon, jump);
            }
        }
    }

    /// Whether all is done that was to be done, or has had all the time that it may take.
    fn has_ended(&self) -> bool {
        let model = lock(&self.sim);
        let Some(calm_since) = self.calm_since else { return false };
        let scripted = |happening: &Happening| match happening {
            Happening::Land(_) | Happening::Start(_) | Happening::Append(..) | Happening::Post(_) => true,
            Happening::Say(word) => matches!(word, Word::Command(..)),
            _ => false,
        };
        let at_rest = model.book.claims.is_empty()
            && model.book.planned.is_none()
            && model.book.posted == head(&model.book.events).0
            && !model.agenda.values().any(scripted);
        at_rest || model.now > calm_since + LIMIT
    }

    /// Time moves on to whatever comes next. False when nothing ever will.
    fn advance(&mut self) -> bool {
        let mut model = lock(&self.sim);
        if self.polls > POLLS {
            model.judge.violations.push("the bot turns on the spot".to_owned());
            return false;
        }
        let agenda = model.agenda.keys().next().copied();
        let timer = model.timers.keys().next().copied();
        match (agenda, timer) {
            (Some(first), timer) if timer.is_none_or(|timer| first.0 <= timer.0) => {
                let Some(happening) = model.agenda.remove(&first) else { return false };
                model.now = model.now.max(first.0);
                drop(model);
                self.happens(happening);
                true
            }
            (_, Some(timer)) => {
                model.now = model.now.max(timer.0);
                let waker = model.timers.remove(&timer);
                drop(model);
                if let Some(waker) = waker {
                    waker.wake();
                }
                true
            }
            (_, None) => false,
        }
    }

    fn happens(&mut self, happening: Happening) {
        let mut model = lock(&self.sim);
        let is_noise = match &happening {
            Happening::Instance(..) | Happening::Land(_) | Happening::Idle(_) | Happening::Append(..) => true,
            Happening::Say(_) => model.leader().is_none(),
            Happening::Signal(Some(operation), _) => {
                model.leader().is_none_or(|leader| !model.processes[leader].inboxes.contains_key(operation))
            }
            _ => false,
        };
        if !is_noise {
            model.note("world", || format!("{happening:?}"));
        }
        match happening {
            Happening::Start(host) => {
                drop(model);
                self.start(host);
            }
            Happening::Kill => {
                let leader = model.leader();
                drop(model);
                if let Some(number) = leader {
                    self.bury(number);
                }
            }
            Happening::Usurp => {
                if let Some(zombie) = model.leader().filter(|_| !model.calm) {
                    model.count("zombie");
                    let long = model.between(1_000, 90_000);
                    model.after(long, Happening::Bury(zombie));
                    // On the other machine, or on the same where only the process was given up.
                    let host = usize::from(model.dice.bool());
                    drop(model);
                    self.start(host);
                }
            }
            Happening::Thaw(number) => {
                let now = model.now;
                model.last_disturbed = now;
                if let Some(process) = model.processes.get_mut(number) {
                    (process.frozen, process.thawed) = (false, now);
                }
                drop(model);
                self.frozen.retain(|woken| *woken != number);
                self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
            }
            Happening::Jump(host, by) => {
                model.count(if by > 0 { "clock set forwards" } else { "clock set back" });
                model.ahead[host] += by;
                model.last_disturbed = model.now;
            }
            Happening::Deaf(long) => {
                if model.now >= model.people.deaf_until {
                    model.people.deaf_since = model.now;
                }
                model.people.deaf_until = model.people.deaf_until.max(model.now + long);
            }
            Happening::Roles(name, holds) => {
                let now = model.now;
                if holds {
                    model.people.revoked.remove(name);
                } else {
                    model.count("role lost");
                    model.people.revoked.entry(name).or_insert(now);
                }
            }
            Happening::Append(process, draft) => {
                // Whoever wrote it has given up on it.
                let _ = model.append(process, &draft);
            }
            Happening::Post(post) => model.is_posted(&post),
            Happening::LetIn => model.let_in(),
            Happening::Bury(number) => {
                drop(model);
                self.bury(number);
            }
            Happening::Say(word) => match model.leader() {
                Some(leader) => {
                    // The receiver lives as long as the process does.
                    let _ = model.processes[leader].words.unbounded_send(word);
                }
                None => model.after(Duration::from_secs(2), Happening::Say(word)),
            },
            Happening::Signal(operation, signal) if model.now < model.people.deaf_until => {
                model.count("said while nobody listened");
                let (until, later) = (model.people.deaf_until, model.between(0, 500));
                // All at once, and in whatever order.
                model.at(until + later, Happening::Signal(operation, signal));
            }
            Happening::Signal(operation, signal) => {
                let operation = operation.or_else(|| model.book.claims.first().map(|held| held.operation.clone()));
                let Some(operation) = operation else { return };
                let leader = model.leader();
                let sent = leader.and_then(|leader| model.processes[leader].inboxes.get(&operation));
                if sent.is_some_and(|inbox| inbox.send(signal.clone()).is_ok()) {
                    model.judge.handed(leader.unwrap_or_default(), &operation, &signal);
                    if !model.calm && model.chance(40) {
                        model.count("said twice");
                        let later = model.between(0, 20_000);
                        model.after(later, Happening::Signal(Some(operation), signal));
                    }
                } else if model.judge.unfinished().contains(&&operation) {
                    model.after(Duration::from_secs(5), Happening::Signal(Some(operation), signal));
                }
            }
            Happening::Halt(source, halted) => model.halt(source, halted),
            Happening::Others(difference) => {
                let count = model.fleet.wanted.saturating_add_signed(difference).max(1);
                model.set_count(count, "somebody");
            }
            Happening::Replace => model.replace_fleet(),
            Happening::Instance(id, state) => model.instance_becomes(&id, state),
            Happening::Land(ticket) => {
                let Some(flight) = model.in_flight.get(ticket) else { return };
                if matches!(flight.answer, Some(OrderAnswer::Refused { .. })) {
                    // What is sent once more on the way is answered as it was.
                    return;
                }
                let (process, order, left) = (flight.process, flight.order.clone(), flight.left);
                let answer = model.land(&order, left);
                model.note("fleet", || format!("p{process}'s {order} arrives: {answer:?}"));
                if let Some(flight) = model.in_flight.get_mut(ticket) {
                    flight.answer.get_or_insert(answer);
                }
            }
            Happening::Idle(id) => model.is_idle(&id),
            Happening::Work(id, works) => model.works(&id, works),
            Happening::Meddle(puts_back) => model.meddle(puts_back),
            Happening::Calm => {
                model.calm = true;
                model.calm_since = model.now;
                self.calm_since = Some(model.now);
            }
        }
    }

    fn start(&mut self, host: usize) {
        let number = self.tasks.len();
        let (words, receiver) = mpsc::unbounded();
        let (epoch, policy) = {
            let mut model = lock(&self.sim);
            let inboxes = BTreeMap::new();
            model.processes.push(Process {
                alive: true,
                frozen: false,
                thawed: Duration::ZERO,
                host,
                doomed: false,
                words,
                inboxes,
            });
            let epoch = model.book.take_over();
            model.last_disturbed = model.now;
            model.note("world", || format!("p{number} starts with epoch {} on machine {host}", epoch.0));
            (epoch, model.policy.clone())
        };
        let port = Port { sim: Arc::clone(&self.sim), process: number, epoch };
        self.tasks.push(Some(Box::pin(process::live(port, policy, receiver))));
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).push_back(number);
    }
}
