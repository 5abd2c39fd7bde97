//! The gate that every call of a port goes through: where the seed decides whether it is answered, slow, out of date, lost,
//! the last thing that the bot does, or the last for a while; and whether the world changes just then.

use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use scalebot_commands::ports::{LedgerError, PortError};

use super::model::{Happening, Model, Shared, lock};
use super::ports::Port;

/// How bad it is in one seed, each out of a thousand calls. Calm seeds are among them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    slow: u32,
    fails: u32,
    silent: u32,
    lost: u32,
    crash: u32,
    /// How often the bot may still be killed.
    pub(super) deaths: u32,
    /// How often the bot is stopped in the middle of a call, and goes on some time later as if nothing had been.
    freeze: u32,
    /// How often something happens in the world exactly while a call is under way.
    mischief: u32,
    /// How often a request to scale arrives when nobody waits for it any more.
    pub(super) late: u32,
    /// How often an answer shows what was a while ago.
    stale: u32,
    /// One system is away altogether, between these moments.
    outage: Option<(&'static str, Duration, Duration)>,
}

/// The systems that can be away, by how their calls' names begin.
const SYSTEMS: [&str; 8] = ["ledger", "fleet", "halt", "metrics", "room", "probe", "channel", "samples"];

impl Weather {
    pub(super) fn draw(dice: &mut fastrand::Rng) -> Self {
        let mut rate = |rates: [u32; 5]| rates[dice.usize(..5)];
        let (slow, fails, silent) = (rate([0, 5, 20, 60, 150]), rate([0, 0, 2, 6, 20]), rate([0, 0, 1, 3, 12]));
        let (lost, crash, mischief) = (rate([0, 0, 3, 10, 40]), rate([0, 1, 2, 4, 8]), rate([0, 0, 1, 3, 6]));
        let late = rate([0, 0, 50, 150, 400]);
        let (freeze, stale) = (rate([0, 0, 0, 1, 2]), rate([0, 0, 0, 10, 60]));
        let outage = (dice.u8(..4) == 0).then(|| {
            let from = dice.u64(0..60_000);
            let to = from + dice.u64(1_000..40_000);
            (SYSTEMS[dice.usize(..SYSTEMS.len())], Duration::from_millis(from), Duration::from_millis(to))
        });
        Self { slow, fails, silent, lost, crash, deaths: dice.u32(0..=6), freeze, mischief, late, stale, outage }
    }
}

/// What becomes of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is answered.
    Answered,
    /// It never arrives, and that is known at once.
    Unreachable,
    /// It never arrives, and nothing is heard.
    Silent,
    /// It is done, and the answer never comes.
    AnswerLost,
    /// It arrives when the caller has given up.
    Late,
    /// The bot dies before anything is done.
    DiesBefore,
    /// The bot dies when it is done.
    DiesAfter,
}

/// What becomes of one call, and how long each half of it takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) way: Way,
    pub(super) before: Duration,
    pub(super) after: Duration,
}

/// Why there is no answer.
pub(super) enum Lost {
    Unreachable,
    TimedOut,
}

impl Lost {
    pub(super) fn port(self, what: &str) -> PortError {
        match self {
            Self::Unreachable => PortError::Unreachable { what: what.to_owned(), detail: "refused".to_owned() },
            Self::TimedOut => PortError::TimedOut { what: what.to_owned(), limit: Duration::from_secs(2) },
        }
    }

    pub(super) fn ledger(self) -> LedgerError {
        LedgerError(match self {
            Self::Unreachable => "the disk is away".to_owned(),
            Self::TimedOut => "no answer".to_owned(),
        })
    }
}

/// How long the log's own driver waits for an answer.
pub(super) const LOG_LIMIT: Duration = Duration::from_secs(5);

/// How long a call hangs of which nothing is heard. Far longer than any limit that the bot may set.
const HANG: Duration = Duration::from_hours(6);

impl Port {
    /// What becomes of this call.
    pub(super) fn fate(&self, what: &'static str) -> Fate {
        // Effects and what is written about them are where a fault tells most.
        let weight: u32 = match what {
            "fleet.scale" | "fleet.remove" | "fleet.hold" | "fleet.release" | "governance.halt" => 40,
            "traffic.route" => 10,
            "ledger.append" | "channel.post" | "posts.plan" | "posts.confirm" => 8,
            _ => 1,
        };
        let mut model = lock(&self.sim);
        let mut fate = Fate { way: Way::Answered, before: model.between(0, 10), after: model.between(0, 10) };
        if model.calm {
            return fate;
        }
        let Weather { slow, fails, silent, lost, crash, deaths, freeze, mischief, outage, .. } = model.weather;
        if model.chance(slow) {
            fate.before = model.between(0, 3_000);
        }
        if model.chance(slow) {
            fate.after = model.between(0, 3_000);
        }
        let now = model.now;
        fate.way = if outage.is_some_and(|(system, from, to)| what.starts_with(system) && from <= now && now < to)
            || model.chance(fails * weight.div_ceil(2))
        {
            Way::Unreachable
        } else if model.chance(silent * weight.div_ceil(2)) {
            Way::Silent
        } else if model.chance(lost * weight) {
            Way::AnswerLost
        } else if deaths > 0 && model.chance(crash * weight) {
            if model.dice.bool() { Way::DiesBefore } else { Way::DiesAfter }
        } else {
            Way::Answered
        };
        if model.chance(mischief * weight) {
            model.mischief();
        }
        if model.chance(freeze * weight) {
            model.freeze(self.process);
        }
        if fate.way != Way::Answered {
            model.note_of(self.process, || format!("{what}: {:?}", fate.way));
        }
        fate
    }

    /// The moment that an answer shows: now, or where the seed says so a while ago.
    pub(super) fn shown(&self, model: &mut Model, longest: Duration) -> Duration {
        let stale = model.weather.stale;
        if model.calm || !model.chance(stale) {
            return model.now;
        }
        model.count("stale read");
        let lag = model.between(100, longest.as_millis() as u64);
        let as_of = model.now.saturating_sub(lag);
        model.note_of(self.process, || format!("is shown what was {:.3} s ago", lag.as_secs_f64()));
        as_of
    }

    /// Calls: `done` is what the call does or reads, at the one moment at which that happens.
    pub(super) async fn call<T>(&self, what: &'static str, done: impl FnOnce(&mut Model) -> T) -> Result<T, Lost> {
        let fate = self.fate(what);
        self.with(fate, what, done).await
    }

    /// The same where that was decided before.
    pub(super) async fn with<T>(
        &self,
        fate: Fate,
        what: &'static str,
        done: impl FnOnce(&mut Model) -> T,
    ) -> Result<T, Lost> {
        self.sleep(fate.before).await;
        self.arrives(what, fate).await?;
        let answer = done(&mut lock(&self.sim));
        self.returns(what, fate).await?;
        Ok(answer)
    }

    /// What becomes of this call, and whether it arrives when the caller has given up.
    pub(super) fn late(&self, what: &'static str) -> (Fate, bool) {
        let fate = self.fate(what);
        let mut model = lock(&self.sim);
        let often = model.weather.late / 20;
        let late = fate.way == Way::Answered && !model.calm && model.chance(often);
        (fate, late)
    }

    /// The way there.
    pub(super) async fn arrives(&self, what: &'static str, fate: Fate) -> Result<(), Lost> {
        match fate.way {
            Way::Unreachable => Err(Lost::Unreachable),
            Way::Silent => {
                // A database's own driver gives up by itself; anything else may hang for as long as it likes.
                let bounded = what.starts_with("ledger") || what.starts_with("posts") || what.starts_with("samples");
                self.sleep(if bounded { LOG_LIMIT } else { HANG }).await;
                Err(Lost::TimedOut)
            }
            Way::DiesBefore => self.die(what).await,
            Way::Late => {
                self.sleep(LOG_LIMIT).await;
                Err(Lost::TimedOut)
            }
            Way::Answered | Way::AnswerLost | Way::DiesAfter => Ok(()),
        }
    }

    /// The way back.
    pub(super) async fn returns(&self, what: &'static str, fate: Fate) -> Result<(), Lost> {
        self.sleep(fate.after).await;
        match fate.way {
            Way::AnswerLost => Err(Lost::TimedOut),
            Way::DiesAfter => self.die(what).await,
            _ => Ok(()),
        }
    }

    async fn die<T>(&self, what: &'static str) -> T {
        {
            let mut model = lock(&self.sim);
            model.weather.deaths = model.weather.deaths.saturating_sub(1);
            model.count(if what == "fleet.scale" { "death in scale" } else { "death" });
            if let Some(process) = model.processes.get_mut(self.process) {
                process.doomed = true;
            }
        }
        pending().await
    }

    pub(super) fn sleep(&self, length: Duration) -> Sleep {
        let until = lock(&self.sim).now + length;
        Sleep { sim: self.sim.clone(), process: self.process, until, timer: None }
    }
}

impl Model {
    /// Something happens in the world at this very instant or a moment later.
    fn mischief(&mut self) {
        let longest = [50, 1_500, 30_000][self.dice.usize(..3)];
        let soon = self.between(0, longest);
        let happening = match self.dice.u32(..16) {
            0..3 => Happening::Halt(self.dice.usize(..2), true),
            3 => Happening::Halt(self.dice.usize(..2), false),
            4..6 => Happening::Others(if self.dice.bool() { 1 } else { -1 }),
            6 => Happening::LetIn,
            7 => Happening::Signal(None, super::script::cancel()),
            8 => self.a_jump(),
            9..14 => match self.what_people_say() {
                Some(happening) => happening,
                None => return,
            },
            _ => Happening::Usurp,
        };
        self.after(soon, happening);
    }

    /// That process stands still from here on; longer than its lease, and another takes over.
    fn freeze(&mut self, number: usize) {
        let Some(process) = self.processes.get_mut(number).filter(|process| process.alive && !process.frozen) else {
            return;
        };
        process.frozen = true;
        self.count("freeze");
        let long = if self.dice.bool() { self.between(500, 5_000) } else { self.between(5_000, 90_000) };
        self.note_of(number, || format!("stands still for {:.3} s", long.as_secs_f64()));
        self.after(long, Happening::Thaw(number));
        if long > LEASE && self.leader() == Some(number) {
            self.after(LEASE, Happening::Usurp);
        }
    }
}

/// How long a process that is not heard of leads.
const LEASE: Duration = Duration::from_secs(15);

/// Virtual time passes.
pub(super) struct Sleep {
    sim: Shared,
    process: usize,
    until: Duration,
    timer: Option<(Duration, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut model = lock(&this.sim);
        if let Some(timer) = this.timer.take() {
            model.timers.remove(&timer);
        }
        if model.processes.get(this.process).is_some_and(|process| process.frozen) {
            // The driver asks again when it goes on.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if model.now >= this.until {
            return Poll::Ready(());
        }
        let timer = (this.until, model.serial());
        model.timers.insert(timer, cx.waker().clone());
        this.timer = Some(timer);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer.take() {
            lock(&self.sim).timers.remove(&timer);
        }
    }
}
