//! A rehearsal under way: the ports of its one fleet, the log, and the tasks beside the operation.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::documents::Folder;
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::asked::{self, Answer, cancel};
use scalebot_commands::desk::{Desk, Received};
use scalebot_commands::duty::Begin;
use scalebot_commands::event::Event;
use scalebot_commands::journal::{CancelRequested, Inbox, NotHeard, PersonsAnswer, Signal, Signals};
use scalebot_commands::outbox::{self, Outbox};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{Ledger, LedgerError, Ports, Room, World};
use scalebot_commands::request::{self, Request};
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{Epoch, Millis, OperationId, Person};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::attach::{self, Attached};
use super::command::settings;
use super::duty::OnDuty;
use super::lines::Asked;
use super::persona::{self, Line, Said};
use super::room::RehearsalRoom;
use super::state::State;
use super::wiring;
use crate::cli::DrillArgs;
use crate::console::{Console, Medium};
use crate::control::Control;
use crate::state_dir::StateDir;
use crate::system::System;

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

/// The operation under way, and where signals for it are put.
#[derive(Clone, Copy)]
pub(crate) struct UnderWay<'a> {
    /// The operation.
    pub(crate) operation: &'a OperationId,
    /// Its signals.
    pub(crate) signals: &'a Signals,
}

/// A rehearsal under way.
pub(crate) struct Rehearsal {
    ports: Ports,
    policy: Policy,
    epoch: Epoch,
    room: Arc<RehearsalRoom>,
    posting: Arc<Posting>,
    world: Option<Attached>,
    tasks: Vec<JoinHandle<()>>,
    vote: Option<Mark>,
    dir: StateDir,
    /// Without it, nobody on the host can cancel what is under way; it goes on all the same.
    control: Option<Control>,
    /// What goes on beside operations.
    pub(super) duty: OnDuty,
}

/// The log channel's side: what is posted, and when.
struct Posting {
    ledger: Arc<SqliteLedger>,
    channel: Transcript,
    appended: Arc<Notify>,
    clock: Arc<dyn World>,
}

impl Posting {
    async fn flush(&self, all: bool) {
        let outbox =
            Outbox { ledger: &*self.ledger, posts: &*self.ledger, channel: &self.channel, world: &*self.clock };
        if let Err(error) = outbox.flush(all).await {
            tracing::warn!(%error, "the log channel could not be told; it is tried again");
        }
    }

    /// Posts as events come; routine ones when they have waited long enough.
    async fn run(&self) {
        loop {
            let waited = tokio::time::timeout(outbox::PATIENCE, self.appended.notified()).await.is_err();
            self.flush(waited).await;
        }
    }
}

impl Rehearsal {
    /// Opens the log, finds or starts the world, and takes over.
    ///
    /// # Errors
    /// In words, when the state cannot be used or there can be no world.
    pub(crate) async fn enter(state: &State, args: &DrillArgs) -> Result<(Self, Entered), String> {
        let dir = &state.dir;
        let appended = Arc::new(Notify::new());
        let ledger = SqliteLedger::open(&dir.ledger()).await.map_err(|error| error.to_string())?.on_append({
            let (appended, json) = (Arc::clone(&appended), args.json);
            move |event| {
                if json {
                    print_line(event);
                }
                appended.notify_one();
            }
        });
        let ledger = Arc::new(ledger);
        let epoch = ledger.take_over().await.map_err(|error| error.to_string())?;
        let unfinished = ledger.claims().await.map_err(|error| error.to_string())?.into_iter().next();

        let clock: Arc<dyn World> = Arc::new(System::new());
        // With --json standard output is for events alone.
        let medium = if args.json { Medium::stderr() } else { Medium::stdout() };
        let console = Arc::new(Console::new(Arc::clone(&clock), medium));
        crate::logging::on(Arc::clone(&console));
        let room = Arc::new(RehearsalRoom::new(console, args.is_attended(), dir.charts()));
        let (world, entered) = if let Some(held) = unfinished {
            taken_up(&room);
            (attach::attach(dir.path()).await.map_err(|error| error.0)?, Entered::Unfinished(held.operation))
        } else {
            let attached = attach::start_or_attach(dir.path(), settings(args)).await.map_err(|error| error.0)?;
            let entered = if attached.started { Entered::Fresh } else { Entered::Living };
            (Some(attached), entered)
        };
        // Without a living world its adapters say that it is gone, and so an unfinished operation ends.
        let client = match &world {
            Some(attached) => attached.client.clone(),
            None => attach::absent(dir.path()).map_err(|error| error.0)?,
        };
        let target = wiring::target(&clock, &client, args).map_err(|error| error.to_string())?;
        let channel = Transcript::new(dir.transcript());
        let posting = Arc::new(Posting { ledger: Arc::clone(&ledger), channel, appended, clock: clock.clone() });

        let mut policy = Policy::rehearsal(args.monitor);
        policy.approval.decide_within = args.approval_timeout;
        super::duty::set(&mut policy, args);
        let ports = Ports {
            world: clock,
            ledger: Arc::clone(&ledger) as Arc<dyn Ledger>,
            samples: Arc::clone(&ledger) as Arc<dyn scalebot_commands::ports::Samples>,
            room: Arc::clone(&room) as Arc<dyn Room>,
            documents: Arc::new(Folder::new(dir.path())),
            target,
        };
        let mut tasks = vec![tokio::spawn({
            let posting = Arc::clone(&posting);
            async move { posting.run().await }
        })];
        if world.is_some() {
            let client = client.clone();
            tasks.push(tokio::spawn(async move {
                let gone = attach::keep_alive(&client).await;
                tracing::warn!(%gone, "the rehearsal's world is gone");
            }));
        }
        let control = match Control::open(&dir.control_socket(), Arc::clone(&ports.ledger)) {
            Ok(control) => Some(control),
            Err(why) => {
                room.say(&why);
                room.say("What is under way can be cancelled here, and not by scalebot cancel.");
                None
            }
        };
        let (duty, task) = OnDuty::begin(&ports, &policy, epoch, &room, args.is_attended() || args.propose);
        tasks.push(task);
        let (vote, dir) = (args.vote(), dir.clone());
        let rehearsal = Self { ports, policy, epoch, room, posting, world, tasks, vote, dir, control, duty };
        Ok((rehearsal, entered))
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
    }

    fn desk(&self) -> Desk<'_> {
        Desk {
            ledger: &*self.ports.ledger,
            world: &*self.ports.world,
            room: &*self.ports.room,
            policy: &self.policy,
            epoch: self.epoch,
            targets: std::slice::from_ref(&self.ports.target.name),
        }
    }

    /// Takes whatever somebody typed that begins with a command, and says what became of it.
    pub(crate) async fn take(&self, text: &str, by: &Person, under_way: Option<UnderWay<'_>>) -> Taken {
        let request = match request::parse(text) {
            Ok(request) => request,
            Err(no_command) => {
                self.say(&no_command.to_string());
                return Taken::Refused;
            }
        };
        let taken = match self.desk().take(&request, by).await {
            Ok(Received::Opened(operation)) => Ok(self.opened(operation, &request.to_string(), by)),
            Ok(Received::Refused(reason)) => Ok(self.refused(&reason)),
            Ok(Received::Question) => match request {
                Request::Cancel { .. } => self.cancel(&request, by, under_way).await,
                _ => self.answer(&request, by).await,
            },
            Err(error) => return self.opened_after_all(&error, under_way).await,
        };
        taken.unwrap_or_else(|error| self.refused(&error.to_string()))
    }

    /// Begins what policy lets the bot begin by itself, and says what became of it.
    pub(crate) async fn begin(&self, begin: &Begin) -> Taken {
        match self.desk().take_by_itself(begin).await {
            Ok(Received::Opened(operation)) => self.opened(operation, begin.command(), &Person::itself()),
            Ok(Received::Refused(reason)) => self.refused(&reason),
            Ok(Received::Question) => Taken::Answered,
            Err(error) => self.opened_after_all(&error, None).await,
        }
    }

    fn opened(&self, operation: OperationId, command: &str, by: &Person) -> Taken {
        let monitor = Millis::from(self.policy.time.monitor);
        self.say(&format!("{command} by {by}: looking. Operation {}.", operation.short()));
        self.say(&format!("This rehearsal watches for {monitor} afterwards; a service watches for 15 min."));
        Taken::Opened(operation)
    }

    /// The log could not be used: it may be on record all the same, and then somebody has to carry it out.
    async fn opened_after_all(&self, error: &LedgerError, under_way: Option<UnderWay<'_>>) -> Taken {
        self.say(&error.to_string());
        let claims = self.ports.ledger.claims().await.unwrap_or_default();
        let ours = under_way.map(|under_way| under_way.operation);
        match claims.into_iter().find(|held| Some(&held.operation) != ours) {
            Some(held) => {
                self.say(&format!("Operation {} is on record and is carried out.", held.operation.short()));
                Taken::Opened(held.operation)
            }
            None => Taken::Refused,
        }
    }

    fn refused(&self, reason: &str) -> Taken {
        self.say(reason);
        Taken::Refused
    }

    async fn answer(&self, request: &Request, by: &Person) -> Result<Taken, LedgerError> {
        Ok(match asked::answer(&self.desk(), &self.ports, request, by).await? {
            Some(Answer::Card(card)) => {
                if let Err(error) = self.room.reply(by, &card).await {
                    tracing::warn!(%error, "an answer could not be shown");
                }
                if *request == Request::Help {
                    self.say(persona::HELP);
                }
                Taken::Answered
            }
            Some(Answer::Refused(reason)) => self.refused(&reason),
            None => self.refused("That is no question."),
        })
    }

    /// Asks the operation under way to stop, if the person may, and says what that means where it is.
    async fn cancel(
        &self,
        request: &Request,
        by: &Person,
        under_way: Option<UnderWay<'_>>,
    ) -> Result<Taken, LedgerError> {
        let desk = self.desk();
        if let Err(reason) = desk.target(request.target()) {
            desk.refuse(request, by, reason.clone()).await?;
            return Ok(self.refused(&reason));
        }
        let Some(UnderWay { operation, signals }) = under_way else {
            return Ok(self.refused("Nothing is under way that could be cancelled."));
        };
        if let Err(reason) = desk.may_cancel(request, operation, by).await? {
            return Ok(self.refused(&reason));
        }
        let point = cancel::point_of(&self.ports.ledger.events_of(operation).await?);
        if !point.can_stop() {
            desk.refuse(request, by, point.means().to_owned()).await?;
            return Ok(self.refused(point.means()));
        }
        match signals.send(Signal::Cancel(CancelRequested { by: by.clone() })) {
            Ok(()) => {
                self.say(point.means());
                Ok(Taken::Answered)
            }
            Err(NotHeard::Ended) => Ok(self.refused(cancel::Point::Ended.means())),
            Err(why @ NotHeard::TooMany) => Ok(self.refused(&why.to_string())),
        }
    }

    /// Where signals for an operation are put, and where they are taken from.
    pub(crate) fn signals() -> (Signals, Inbox) {
        Inbox::new()
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
    pub(crate) async fn carry_out(&self, operation: &OperationId, mut inbox: Inbox, signals: Signals) -> Ended {
        let _carried = self.control.as_ref().map(|control| control.carries(operation, signals.clone()));
        let ended = supervisor::carry_out(&self.ports, &self.policy, operation, self.epoch, &mut inbox);
        let deciding = self.decide(signals);
        tokio::pin!(ended, deciding);
        tokio::select! {
            biased;
            ended = &mut ended => ended,
            () = &mut deciding => ended.await,
        }
    }

    /// Puts the mark of `--approve` or `--reject` on every request that is opened.
    async fn decide(&self, signals: Signals) {
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

    /// Tells the log channel the rest, ends the world, and whether that went well.
    pub(crate) async fn leave(self) -> bool {
        for task in &self.tasks {
            task.abort();
        }
        self.posting.flush(true).await;
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
    room.say("It goes on in its own world: --instances, --halted, --fault, --load and --monitor are ignored.");
}

/// One event on standard output. When nobody reads it any more, that is no reason to stop an operation.
fn print_line(event: &Event) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", event.line()).and_then(|()| out.flush());
}
