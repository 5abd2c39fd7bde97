//! The front as a whole: what it is made of, and how long it serves.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use scalebot_commands::ports::{LogChannel, PortError, Room, World};
use secrecy::SecretString;
use serenity::all::{ApplicationId, Reaction, Ready};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::commands;
use super::gateway::{Events, Gateway};
use super::interactions::Interactions;
use super::log_channel::DiscordLog;
use super::marks::Marks;
use super::people::People;
use super::reach::Reach;
use super::rest::Rest;
use super::room::placed::{Board, PlacedFile};
use super::room::{DiscordRoom, Shared};
use super::settings::Settings;
use super::wire::Did;
use crate::measures::Requests;
use crate::reception::Reception;

/// How often the marks of open requests are read although they are told of: one may come before the message that it is
/// on is known.
const READ_ANYWAY: Duration = Duration::from_mins(1);

/// After a failure: the first pause, and the longest.
const AGAIN: Duration = Duration::from_secs(2);
const AGAIN_AT_MOST: Duration = Duration::from_mins(1);

/// How many marks may wait to be passed on. Beyond that they are read anew as a whole.
const MARKS: usize = 1_000;

/// How many people are answered at a time. Who comes after that is told by Discord that there was no answer.
const ANSWERED: usize = 1_000;

/// Discord, for one server.
pub(crate) struct Front {
    rest: Rest,
    token: SecretString,
    settings: Settings,
    people: Arc<People>,
    room: Arc<DiscordRoom>,
    log: Arc<DiscordLog>,
    world: Arc<dyn World>,
    reach: Arc<Reach>,
}

/// Where the front keeps what it has to.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// Which messages show which cards.
    pub(crate) messages: PathBuf,
    /// Where what instances wrote is kept, a folder a fleet; `None` where it is not attached.
    pub(crate) logs: Option<PathBuf>,
}

impl Front {
    /// The front for these settings. Nothing is asked of Discord yet.
    ///
    /// # Errors
    /// In words, when the settings cannot be used.
    pub(crate) fn new(settings: Settings, files: Files, world: Arc<dyn World>) -> Result<Self, String> {
        settings.usable().map_err(|error| error.to_string())?;
        let token = settings.token().map_err(|error| error.to_string())?;
        let base = settings.base().map_err(|error| error.to_string())?;
        let rest = Rest::new(base, &token).map_err(|fault| PortError::from(fault).to_string())?;
        let people = Arc::new(People::new(rest.clone(), settings.guild, settings.roles.clone()));
        let board = Board::load(Arc::new(PlacedFile::new(files.messages)));
        let log = Arc::new(DiscordLog::new(rest.clone(), settings.channels.log));
        let reach = Arc::new(Reach::new(&rest, settings.while_away));
        let room = Arc::new(DiscordRoom::new(Arc::new(Shared {
            reach: Arc::clone(&reach),
            rest: rest.clone(),
            settings: settings.clone(),
            people: Arc::clone(&people),
            board,
            began: world.now(),
            world: Arc::clone(&world),
            logs: files.logs,
        })));
        Ok(Self { rest, token, settings, people, room, log, world, reach })
    }

    /// Where cards are shown, and who knows what people may.
    pub(crate) fn room(&self) -> Arc<dyn Room> {
        Arc::clone(&self.room) as _
    }

    /// The log's witness.
    pub(crate) fn log_channel(&self) -> Arc<dyn LogChannel> {
        Arc::clone(&self.log) as _
    }

    /// Hands in what people do, for as long as that can be done. Returns why it cannot be any more, in words for whoever
    /// runs the bot.
    pub(crate) async fn serve(&self, reception: Arc<dyn Reception>) -> String {
        let marks = Marks {
            rest: self.rest.clone(),
            board: self.room.board().clone(),
            people: Arc::clone(&self.people),
            reception: Arc::clone(&reception),
            in_turn: tokio::sync::Mutex::default(),
        };
        let interactions = Arc::new(Interactions {
            rest: self.rest.clone(),
            settings: self.settings.clone(),
            people: Arc::clone(&self.people),
            reception,
            world: Arc::clone(&self.world),
        });
        let (work, queue) = mpsc::channel(MARKS);
        let handler = Arc::new(Handler {
            rest: self.rest.clone(),
            settings: self.settings.clone(),
            interactions,
            work,
            reach: Arc::clone(&self.reach),
            room_for: Arc::new(Semaphore::new(ANSWERED)),
            tasks: Mutex::default(),
        });
        let events = Arc::clone(&handler) as Arc<dyn Events>;
        let gateway = Gateway::new(self.rest.clone(), self.token.clone(), events, self.reach.connected.clone());
        let ended = tokio::select! {
            ended = Box::pin(gateway.run()) => ended.0,
            () = watch_marks(&marks, queue, &self.reach) => "marks are no longer passed on".to_owned(),
        };
        self.reach.connected.send_replace(false);
        ended
    }

    /// Whether people are reached now.
    ///
    /// # Errors
    /// Why not, in words.
    pub(crate) fn is_reached(&self) -> Result<(), String> {
        self.reach.is_reached()
    }

    /// What its requests came to.
    pub(crate) fn requests(&self) -> Arc<Requests> {
        self.rest.requests()
    }
}

/// Passes marks on, one after the other, and reads them all when a session began, from time to time, and after too many
/// at once.
async fn watch_marks(marks: &Marks, mut queue: mpsc::Receiver<(Box<Reaction>, bool)>, reach: &Reach) {
    let mut to_read = reach.to_read.subscribe();
    let mut read_at = Instant::now() + READ_ANYWAY;
    let mut failures = 0;
    loop {
        tokio::select! {
            biased;
            Ok(()) = to_read.changed() => read_at = Instant::now(),
            mark = queue.recv() => match mark {
                Some((reaction, made)) => marks.seen(&reaction, made).await,
                None => return,
            },
            () = sleep_until(read_at) => {
                let upto = *to_read.borrow();
                let result = marks.read_all().await;
                // Where Discord will not have them read, the buttons still do.
                if result.as_ref().err().is_none_or(|error| !error.may_pass()) {
                    reach.read.send_replace(upto);
                }
                let Err(error) = result else {
                    failures = 0;
                    read_at = Instant::now() + READ_ANYWAY;
                    continue;
                };
                tracing::warn!(%error, "the marks of open requests cannot be read; it is tried again");
                read_at = Instant::now() + (AGAIN * 2_u32.pow(failures)).min(AGAIN_AT_MOST);
                failures = (failures + 1).min(5);
            }
        }
    }
}

/// Does what follows from what the gateway tells, in tasks of its own.
struct Handler {
    rest: Rest,
    settings: Settings,
    interactions: Arc<Interactions>,
    work: mpsc::Sender<(Box<Reaction>, bool)>,
    reach: Arc<Reach>,
    room_for: Arc<Semaphore>,
    /// They end with the front.
    tasks: Mutex<JoinSet<()>>,
}

impl Handler {
    /// Some may have been made or taken away that nobody told of.
    fn read_marks(&self) {
        self.reach.to_read.send_modify(|times| *times += 1);
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

impl Events for Handler {
    fn ready(&self, ready: Ready) {
        tracing::info!(bot = %ready.user.id, "connected to Discord");
        self.read_marks();
        let (rest, settings) = (self.rest.clone(), self.settings.clone());
        self.spawn(async move { keep_registered(&rest, ready.application.id, &settings).await });
    }

    fn resumed(&self) {
        self.read_marks();
    }

    fn interaction(&self, did: Did) {
        let Ok(room) = Arc::clone(&self.room_for).try_acquire_owned() else {
            tracing::warn!("too many people at once: one of them is not answered");
            return;
        };
        let interactions = Arc::clone(&self.interactions);
        self.spawn(async move {
            interactions.answer(&did).await;
            drop(room);
        });
    }

    fn reaction(&self, reaction: Reaction, made: bool) {
        if self.work.try_send((Box::new(reaction), made)).is_err() {
            self.read_marks();
        }
    }

    fn reactions_cleared(&self) {
        self.read_marks();
    }
}

/// Registers the command, and says what is wrong where that cannot be done.
async fn keep_registered(rest: &Rest, application: ApplicationId, settings: &Settings) {
    let mut pause = AGAIN;
    loop {
        let fault = match commands::register(rest, application, settings.guild).await {
            Ok(true) => return tracing::info!("the command /scale is registered"),
            Ok(false) => return,
            Err(fault) => fault,
        };
        let again = fault.may_pass();
        let error = PortError::from(fault);
        tracing::warn!(%error, again, "the command /scale cannot be registered");
        if !again {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_AT_MOST);
    }
}

#[cfg(test)]
mod tests;
