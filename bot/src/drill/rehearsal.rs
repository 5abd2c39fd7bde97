//! A rehearsal under way: the ports of its one fleet, the log, and the tasks beside the operation.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::documents::Folder;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::duty::Begin;
use scalebot_commands::event::Event;
use scalebot_commands::journal::{Inbox, NotHeard, PersonsAnswer, Signal, Signals};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::Room as _;
use scalebot_commands::request::{self, Request};
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::{Millis, OperationId, Person, TargetName};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::attach::{self, Attached};
use super::command::settings;
use super::duty::OnDuty;
use super::files;
use super::lines::Asked;
use super::persona::{self, Line, Said};
use super::room::RehearsalRoom;
use super::state::State;
use super::wiring;
use super::with::With;
use crate::cli::DrillArgs;
use crate::console::{Console, Medium};
use crate::reception::Reply;
use crate::service::{Fleet, Log, Service, UnderWay};
use crate::state_dir::StateDir;

/// How long a Prometheus may take to have figures of the fleet.
const MEASURED_WITHIN: Duration = Duration::from_secs(30);

/// What a rehearsal was found in.
pub(crate) enum Entered {
    /// A new world.
    Fresh,
    /// A living world, with nothing under way.
    Living,
    /// An operation that was not finished.
    Unfinished(OperationId),
}

/// What became of what somebody typed.
pub(crate) enum Taken {
    /// An operation was opened.
    Opened(OperationId),
    /// It was answered, or passed on.
    Answered,
    /// It was refused; why was said.
    Refused,
}

/// A rehearsal under way.
pub(crate) struct Rehearsal {
    service: Service,
    fleet: TargetName,
    /// How long it watches.
    monitor: Millis,
    room: Arc<RehearsalRoom>,
    world: Option<Attached>,
    tasks: Vec<JoinHandle<()>>,
    vote: Option<Mark>,
    dir: StateDir,
    /// Whether a Prometheus has to find the instances first.
    is_measured_elsewhere: bool,
    /// What goes on beside operations.
    pub(super) duty: OnDuty,
}

impl Rehearsal {
    /// Opens the log, finds or starts the world, and takes over.
    ///
    /// # Errors
    /// In words, when the state cannot be used or there can be no world.
    pub(crate) async fn enter(state: &State, args: &DrillArgs) -> Result<(Self, Entered), String> {
        let dir = &state.dir;
        let with = With::read(&args.with)?;
        let around = with.around(dir.path());
        let json = args.json;
        let log = Log::take_over(&dir.ledger(), move |event| {
            if json {
                print_line(event);
            }
        })
        .await?;
        let unfinished = log.unfinished().await?.into_iter().next();

        // With --json standard output is for events alone.
        let medium = if args.json { Medium::stderr() } else { Medium::stdout() };
        let console = Arc::new(Console::new(Arc::clone(&log.clock), medium));
        crate::logging::on(Arc::clone(&console));
        let room = Arc::new(RehearsalRoom::new(console, args.is_attended(), dir.charts()));
        let (world, entered) = if let Some(held) = unfinished {
            taken_up(&room);
            (attach::attach(dir.path()).await.map_err(|error| error.0)?, Entered::Unfinished(held.operation))
        } else {
            let attached =
                attach::start_or_attach(dir.path(), settings(args), &around).await.map_err(|error| error.0)?;
            let entered = if attached.started { Entered::Fresh } else { Entered::Living };
            (Some(attached), entered)
        };
        // Without a living world its adapters say that it is gone, and so an unfinished operation ends.
        let client = match &world {
            Some(attached) => attached.client.clone(),
            None => attach::absent(dir.path()).map_err(|error| error.0)?,
        };
        let mark = match &world {
            Some(attached) => with.mark(attached.info.around.as_ref())?,
            // Nothing of it is left there either.
            None => with.mark(around.known.as_ref())?,
        };
        let containers = world.as_ref().and_then(|attached| attached.info.containers.as_ref());
        let kept = containers.map(|containers| containers.kept(&dir.path().join(files::ORDERS))).transpose()?;
        let target = wiring::target(&log.clock, &client, kept.as_ref(), args, &with, &mark)?;
        for line in with.said(&mark, &around) {
            room.say(&line);
        }

        let mut policy = Policy::rehearsal(args.monitor);
        policy.approval.decide_within = args.approval_timeout;
        if let Some(kept) = &kept {
            kept.set(&mut policy);
        }
        super::duty::set(&mut policy, args);
        args.limits.set(&mut policy);
        let ports = log.ports(Arc::clone(&room) as _, Arc::new(Folder::new(dir.path())), target);
        let epoch = log.epoch;
        let channel = Arc::new(Transcript::new(dir.transcript()));
        let fleet = Fleet { ports: ports.clone(), policy: policy.clone() };
        let mut service = Service::begin(log, Arc::clone(&room) as _, vec![fleet], channel);
        let mut tasks = Vec::new();
        if world.is_some() {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                let gone = attach::keep_alive(&client).await;
                tracing::warn!(%gone, "the rehearsal's world is gone");
            }));
        }
        if let Err(why) = service.open_control(&dir.control_socket()) {
            room.say(&why);
            room.say("What is under way can be cancelled here, and not by scalebot cancel.");
        }
        let (duty, task) = OnDuty::begin(&ports, &policy, epoch, &room, args.is_attended() || args.propose);
        tasks.push(task);
        let (vote, dir, fleet, monitor) = (args.vote(), dir.clone(), ports.target.name, policy.time.monitor.into());
        let is_measured_elsewhere = with.has_prometheus();
        Ok((Self { service, fleet, monitor, room, world, tasks, vote, dir, is_measured_elsewhere, duty }, entered))
    }

    /// Where everything is kept.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Says something that belongs to no card.
    pub(crate) fn say(&self, text: &str) {
        self.room.say(text);
    }

    /// Lets the load run for a while, so that there is something to measure.
    pub(crate) async fn warm_up(&self, length: Duration) {
        self.say(&format!("Warming up for {} so that there is load to measure.", Millis::from(length)));
        tokio::time::sleep(length).await;
        if self.is_measured_elsewhere {
            self.until_it_is_measured().await;
        }
    }

    /// A Prometheus that has just heard of the instances takes a while until it has figures of each.
    async fn until_it_is_measured(&self) {
        let Some(fleet) = self.service.fleet(&self.fleet) else { return };
        let (clock, metrics) = (&self.service.log().clock, &fleet.ports.target.metrics);
        let began = clock.monotonic();
        loop {
            let why = match metrics.load(clock.now() - fleet.policy.load.baseline).await {
                Ok(load) if load.missing.is_empty() => return,
                Ok(_) => "it has no figures of some instances".to_owned(),
                Err(error) => error.to_string(),
            };
            if clock.monotonic().saturating_sub(began) > MEASURED_WITHIN {
                self.say(&format!("{} does not measure the fleet yet: {why}.", metrics.describe()));
                self.say("The rehearsal goes on: what is not measured is not known.");
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    /// Takes whatever somebody typed that begins with a command, and says what became of it.
    pub(crate) async fn take(&self, text: &str, by: &Person, under_way: Option<&UnderWay>) -> Taken {
        let request = match request::parse(text) {
            Ok(request) => request,
            Err(no_command) => {
                self.say(&no_command.to_string());
                return Taken::Refused;
            }
        };
        let under_way = under_way.map(std::slice::from_ref).unwrap_or_default();
        let reply = self.service.take(&request, by, under_way).await.reply;
        self.said(reply, by, request == Request::Help).await
    }

    /// Begins what policy lets the bot begin by itself, and says what became of it.
    pub(crate) async fn begin(&self, begin: &Begin) -> Taken {
        let reply = self.service.take_by_itself(begin, &[]).await.reply;
        self.said(reply, &Person::itself(), false).await
    }

    /// Shows what became of what somebody said.
    async fn said(&self, reply: Reply, by: &Person, is_help: bool) -> Taken {
        match reply {
            Reply::Opened { operation, text } => {
                self.say(&text);
                let monitor = self.monitor;
                self.say(&format!("This rehearsal watches for {monitor} afterwards; a service watches for 15 min."));
                Taken::Opened(operation)
            }
            Reply::Card(card) => {
                if let Err(error) = self.room.reply(by, &card).await {
                    tracing::warn!(%error, "an answer could not be shown");
                }
                if is_help {
                    self.say(persona::HELP);
                }
                Taken::Answered
            }
            Reply::Taken(text) => {
                self.say(&text);
                Taken::Answered
            }
            Reply::Refused(reason) => {
                self.say(&reason);
                Taken::Refused
            }
        }
    }

    /// Where signals for an operation are put, and where they are taken from.
    pub(crate) fn under_way(&self, operation: OperationId) -> (UnderWay, Inbox) {
        let (signals, inbox) = Inbox::new();
        (UnderWay { target: self.fleet.clone(), operation, signals }, inbox)
    }

    /// The approval request that is open, by its digest.
    pub(crate) fn open_request(&self) -> watch::Receiver<Option<String>> {
        self.room.open_request()
    }

    /// What governance is asked, for whoever waits until it is.
    pub(crate) fn asked(&self) -> Asked {
        Asked { request: self.room.open_request(), offer: self.room.open_offer() }
    }

    /// Carries an operation through, and has the lead decide where the command line says how.
    pub(crate) async fn carry_out(&self, under_way: &UnderWay, inbox: Inbox) -> Ended {
        let ended = self.service.carry_out(under_way, inbox);
        let deciding = self.decide(&under_way.signals);
        tokio::pin!(ended, deciding);
        tokio::select! {
            biased;
            ended = &mut ended => ended,
            () = &mut deciding => ended.await,
        }
    }

    /// Puts the mark of `--approve` or `--reject` on every request that is opened.
    async fn decide(&self, signals: &Signals) {
        let Some(mark) = self.vote else { return };
        let mut open = self.open_request();
        loop {
            let request = open.borrow_and_update().clone();
            if let Some(request) = request {
                let ballot =
                    Ballot { by: persona::lead(), mark, request, reason: Some("as the command line says".to_owned()) };
                self.heard(&persona::lead(), signals.send(Signal::Cast(ballot)));
            }
            if open.changed().await.is_err() {
                return;
            }
        }
    }

    /// Somebody has typed a line: what is on the screen stays there.
    pub(crate) fn typed(&self) {
        self.room.cursor_moved();
    }

    /// Asks for the next line.
    pub(crate) fn prompt(&self) {
        self.duty.prompted();
        self.room.cursor_moved();
        eprint!("{}", super::duty::PROMPT);
    }

    /// Passes on what a person said to the operation under way. Whether it was something that could be taken.
    pub(crate) fn pass_on(&self, signals: &Signals, line: Line) -> bool {
        self.room.cursor_moved();
        let Line { by, said } = line;
        let open = self.open_request().borrow().clone();
        // Until the count is about to be set, what was approved can be taken back.
        let open = match said {
            Said::Withdraw | Said::Vote(Mark::Reject, _) => open.or_else(|| self.room.latest_request()),
            Said::Halt(_) => self.room.open_offer().borrow().clone(),
            _ => open,
        };
        let from = by.clone();
        let signal = match (said, open) {
            (Said::Reason(text), _) => Signal::Reason(PersonsAnswer { by, text: bounded(&text) }),
            (Said::Attest(text), _) => Signal::Attest(PersonsAnswer { by, text: bounded(&text) }),
            (Said::Quit, _) => {
                self.say(
                    "An operation is under way. Cancel it, or wait for its end; Ctrl-C leaves it to be taken up later.",
                );
                return false;
            }
            // These are taken elsewhere.
            (Said::Nothing | Said::Command(_) | Said::Cancel, _) => return true,
            (Said::TooLong, _) => {
                self.nothing_open(&Said::TooLong);
                return false;
            }
            (Said::Vote(mark, reason), Some(request)) => {
                let reason = reason.as_deref().map(bounded);
                Signal::Cast(Ballot { by, mark, request, reason })
            }
            (Said::Halt(halt), Some(request)) => {
                let mark = if halt { Mark::Approve } else { Mark::Reject };
                Signal::Cast(Ballot { by, mark, request, reason: None })
            }
            (Said::Withdraw, Some(request)) => {
                Signal::Withdrawn(Ballot { by, mark: Mark::Approve, request, reason: None })
            }
            (said, _) => {
                self.nothing_open(&said);
                return false;
            }
        };
        self.heard(&from, signals.send(signal))
    }

    /// Tells whoever was not heard, and nobody else. Whether they were.
    fn heard(&self, by: &Person, sent: Result<(), NotHeard>) -> bool {
        if let Err(why) = sent {
            self.say(&format!("(to {by} only) {why}"));
        }
        sent.is_ok()
    }

    /// Says that there is nothing that this could be said to.
    pub(crate) fn nothing_open(&self, said: &Said) {
        self.say(match said {
            Said::Vote(..) | Said::Withdraw => "Nothing is asked of governance now.",
            Said::Halt(_) => "No halt is offered now, so nothing was halted.",
            Said::Acknowledge(_) => "Nothing is open that could be acknowledged.",
            Said::Start => "Nothing is proposed that could be started.",
            Said::Dismiss => "Nothing is proposed that could be dismissed.",
            Said::TooLong => persona::TOO_LONG,
            _ => "Nobody is asked anything now. Type help to see what can be typed.",
        });
    }

    /// Leaves everything as it is, for whoever takes it up again. What is being written is written to its end.
    pub(crate) async fn pause(&self) {
        for task in &self.tasks {
            task.abort();
        }
        self.service.log().close().await;
    }

    /// Tells the log channel the rest, ends the world, and whether that went well.
    pub(crate) async fn leave(self) -> bool {
        for task in &self.tasks {
            task.abort();
        }
        self.service.leave().await;
        match self.world {
            None => true,
            Some(world) => match world.end().await {
                Ok(()) => true,
                Err(error) => {
                    self.room.say(&error.0);
                    false
                }
            },
        }
    }
}

/// What somebody says for the record, as long as a reason may be and with nothing in it that acts on a screen.
fn bounded(text: &str) -> String {
    request::escaped(text, request::MAX_REASON)
}

/// An unfinished operation goes on in the world that it began in.
fn taken_up(room: &RehearsalRoom) {
    room.say("An operation is unfinished here, and is taken up first.");
    room.say("It goes on in its own world: --fleet, --instances, --halted, --fault, --load and --monitor are ignored.");
}

/// One event on standard output. When nobody reads it any more, that is no reason to stop an operation.
fn print_line(event: &Event) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", event.line()).and_then(|()| out.flush());
}
