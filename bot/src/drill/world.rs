//! The rehearsal's world: a process of its own that holds the instances, the forwarder before them, the load and the
//! store that they share, and that answers on a Unix socket in the state directory. Its instances are processes of its own,
//! or containers of this machine's engine.
//!
//! It lives apart from the bot so that a bot that is killed finds its fleet again. It is alone in its directory by a
//! lock that it holds while it lives, and no instance outlives it: a process ends with the pipe from it, a container with its
//! socket.

mod api;
mod around;
mod book;
mod children;
mod doorstep;
mod engine;
mod forwarder;
mod load;
mod logs;
mod looks;
mod routes;
mod store;

use std::future::IntoFuture as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use self::around::Surroundings;
use self::book::{Book, Member, Starting};
pub(super) use self::children::this_program;
use self::doorstep::Doorstep;
use self::engine::Engine;
use self::load::Load;
use self::logs::Logs;
use self::routes::Routes;
pub(super) use self::store::{Complexity, Sources, Store};
use super::around::Around;
use super::containers::Containers;
use super::files;
use super::settings::{Fault, Settings, WorldInfo};
use crate::cli::WorldArgs;

/// What the world writes on its standard output, once, when it is ready. Anything else is why it is not.
pub(crate) const READY: &str = "ready";

/// How long a world goes on that nobody pings.
const SILENCE: Duration = Duration::from_mins(10);

/// How many instances a world holds, unless it begins with more or has no room for another.
const ROOM: u32 = 16;

/// How long the first instances may take to become ready.
const FIRST_READY: Duration = Duration::from_secs(30);

/// The same for containers, which an engine makes and asks for their health.
const FIRST_CONTAINERS_READY: Duration = Duration::from_secs(90);

/// How long requests that are under way may take when everything ends.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// How often the chain of events grows while there is load.
const EVENT_EVERY: Duration = Duration::from_secs(1);

/// Runs a world until it is ended.
pub(crate) async fn run(args: WorldArgs) -> ExitCode {
    match live(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let said = format!("{error:#}");
            eprintln!("{} the world ends: {said}", Timestamp::now());
            announce(&said);
            ExitCode::from(2)
        }
    }
}

/// Says one line to whoever started this process. They may be gone, which changes nothing here.
fn announce(line: &str) {
    let mut stdout = std::io::stdout();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Everything that the world holds.
pub(super) struct World {
    settings: Settings,
    identity: String,
    started_at: Timestamp,
    forwarder: String,
    socket: PathBuf,
    declared: PathBuf,
    /// What its instances are called on the engine, where they are containers.
    containers: Option<Containers>,
    book: Mutex<Book>,
    routes: Mutex<Routes>,
    logs: Logs,
    store: Mutex<Store>,
    load: Load,
    surroundings: Arc<Surroundings>,
    changes: watch::Sender<u64>,
    pinged: watch::Sender<Instant>,
    ending: watch::Sender<bool>,
}

impl World {
    fn new(settings: Settings, place: Place, logs: Logs, forwarder: String, surroundings: Surroundings) -> Self {
        let Place { identity, socket, declared, containers } = place;
        let now = Timestamp::now();
        let room =
            if settings.fault == Some(Fault::NoRoom) { settings.instances } else { ROOM.max(settings.instances) };
        Self {
            settings,
            started_at: now,
            forwarder,
            socket,
            declared,
            containers,
            book: Mutex::new(Book::new(identity.clone(), room, now)),
            routes: Mutex::default(),
            logs,
            identity,
            store: Mutex::new(Store::new(&settings, now)),
            load: Load::new(settings.load),
            surroundings: Arc::new(surroundings),
            changes: watch::Sender::new(0),
            pinged: watch::Sender::new(Instant::now()),
            ending: watch::Sender::new(false),
        }
    }

    /// Where its load is sent, without a path.
    fn entrance(&self) -> &str {
        self.surroundings.through().unwrap_or(&self.forwarder)
    }

    fn info(&self) -> WorldInfo {
        WorldInfo {
            identity: self.identity.clone(),
            pid: std::process::id(),
            started_at: self.started_at,
            forwarder: self.forwarder.clone(),
            settings: self.settings,
            around: self.surroundings.known().cloned(),
            containers: self.containers.clone(),
        }
    }

    /// The fleet's book, to read.
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes in the fleet's book, and wakes whoever waits for a change.
    fn write<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        let written = change(&mut self.book());
        self.changes.send_modify(|count| *count += 1);
        written
    }

    /// What the forwarder knows.
    fn routes(&self) -> MutexGuard<'_, Routes> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters where an instance is reached.
    fn reached_at(&self, id: &InstanceId, address: &str) {
        self.routes().reached_at(id, address.to_owned());
        self.write(|book| book.reached_at(id, address.to_owned()));
    }

    /// Enters what a look at an instance came to, with the fleet and with the forwarder.
    fn see(&self, id: &InstanceId, state: InstanceState, detail: Option<String>) {
        self.routes().see(id, state == InstanceState::Ready);
        self.write(|book| book.see(id, state, detail));
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the processes of instances that are in the book.
    fn start(self: &Arc<Self>, starting: Vec<Starting>, new: bool) {
        let fault = self.settings.fault.filter(|fault| new && fault.strikes_instances());
        for instance in starting {
            self.routes().add(instance.id.clone());
            tokio::spawn(children::live(Arc::clone(self), instance, fault));
        }
    }

    /// Waits until the book is as wanted.
    async fn until(&self, wanted: impl Fn(&Book) -> bool) {
        let mut changes = self.changes.subscribe();
        while !wanted(&self.book()) {
            // The sender lives as long as `self`, so this only ends with a change.
            let _ = changes.changed().await;
        }
    }

    /// Ends every instance, and waits until none is left.
    async fn end(&self) {
        self.write(Book::close);
        self.ending.send_replace(true);
        self.until(|book| !book.has_processes()).await;
    }

    async fn told_to_end(&self) {
        // The sender lives as long as `self`.
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    fn ping(&self) {
        self.pinged.send_replace(Instant::now());
    }
}

/// Which world it is, and where it is found.
struct Place {
    identity: String,
    socket: PathBuf,
    declared: PathBuf,
    containers: Option<Containers>,
}

async fn live(args: WorldArgs) -> anyhow::Result<()> {
    let WorldArgs { state, instances, load, seed, halted, fault, fleet, engine } = args;
    let settings = Settings { instances, load, seed, halted, fault, fleet };
    anyhow::ensure!(settings.instances > 0, "A rehearsal needs at least one instance.");
    anyhow::ensure!(settings.load.is_finite() && settings.load >= 0.0, "The load is a number of requests per second.");

    let around = Around::read().context("What is around it, as it was told")?;
    let surroundings = Surroundings::new(around)?;

    let state = state.canonicalize().with_context(|| format!("The directory {}", state.display()))?;
    let mut doorstep = Doorstep::take(&state).await?;
    let socket = doorstep.listen()?;
    let signals = Signals::listen()?;

    let declared = state.join(files::FLEET);
    std::fs::write(&declared, declaration(settings.instances))
        .with_context(|| format!("Writing {}", declared.display()))?;

    let front = TcpListener::bind(("127.0.0.1", 0)).await.context("Opening the forwarder's port")?;
    let forwarder = format!("http://{}", front.local_addr()?);
    let logs = Logs::begin(&state.join(files::INSTANCES)).context("Making a place for the instances' logs")?;
    let identity = uuid::Uuid::now_v7().to_string();
    let containers = engine::named(&settings, engine.as_deref(), &identity, &state);
    let engine = containers.as_ref().map(|containers| Engine::of(containers, settings, &state, doorstep.socket()));
    let engine = engine.transpose()?.map(Arc::new);
    let place = Place { identity, socket: doorstep.socket().to_owned(), declared, containers };
    let world = Arc::new(World::new(settings, place, logs, forwarder, surroundings));

    let (last_answer, mut ended_all) = watch::channel(false);
    let all_gone = async move {
        let _ = ended_all.wait_for(|ended| *ended).await;
    };
    let answering =
        tokio::spawn(axum::serve(socket, api::router(&world)).with_graceful_shutdown(all_gone).into_future());
    tokio::spawn(forwarder::serve(Arc::clone(&world), front)?);

    let ended = {
        let world = Arc::clone(&world);
        async move {
            tokio::select! {
                () = signals.wait() => "it was told to by a signal",
                () = silence(world.pinged.subscribe(), SILENCE) => "nobody has asked after it for 10 minutes",
                () = world.told_to_end() => "it was told to",
            }
        }
    };
    let mut ended = std::pin::pin!(ended);
    let beginning = async {
        begin(&world, engine.as_ref()).await?;
        Arc::clone(&world.surroundings).begin(&world).await
    };
    let begun = tokio::select! {
        why = &mut ended => Err(anyhow::anyhow!("Before it was ready, {why}.")),
        begun = beginning => begun,
    };
    let result = match begun {
        Ok(()) => {
            tokio::spawn(load::generate(Arc::clone(&world))?);
            tokio::spawn(grow_chain(Arc::clone(&world)));
            eprintln!("{} ready: {} at {}", Timestamp::now(), world.identity, world.forwarder);
            announce(READY);
            let why = ended.await;
            eprintln!("{} the world ends: {why}", Timestamp::now());
            Ok(())
        }
        Err(error) => Err(error),
    };

    world.end().await;
    world.surroundings.leave(&world).await;
    if let Some(engine) = &engine
        && let Err(error) = engine.clear().await
    {
        eprintln!("{} {error:#}", Timestamp::now());
    }
    last_answer.send_replace(true);
    // An answer that nobody fetches must not keep the world alive.
    let _ = timeout(LAST_ANSWERS, answering).await;
    doorstep.leave();
    result
}

/// The declaration that the next deployment would read.
fn declaration(instances: u32) -> String {
    format!(
        "# The rehearsal's fleet, as the next deployment would set it up. Written once, when the world began:\n\
         # it is the line that a person changes after scaling.\n\
         instances = {instances}\n"
    )
}

/// Makes the first instances, and waits until they are ready.
async fn begin(world: &Arc<World>, engine: Option<&Arc<Engine>>) -> anyhow::Result<()> {
    let Some(engine) = engine else {
        let first = world.write(|book| book.begin(world.settings.instances, Timestamp::now()));
        world.start(first, false);
        return all_ready(world, FIRST_READY).await;
    };
    engine.begin().await?;
    tokio::spawn(Arc::clone(engine).follow(Arc::clone(world)));
    all_ready(world, FIRST_CONTAINERS_READY).await?;
    engine.strike()
}

/// Waits until the first instances are ready.
async fn all_ready(world: &World, within: Duration) -> anyhow::Result<()> {
    let wanted = world.settings.instances as usize;
    let is = |member: &Member, state: InstanceState| member.seen.state == state;
    let settled = |book: &Book| {
        book.members().filter(|member| is(member, InstanceState::Ready)).count() == wanted
            || book.members().any(|member| is(member, InstanceState::Failed))
    };
    let in_time = timeout(within, world.until(settled)).await.is_ok();
    let book = world.book();
    let when = if in_time { String::new() } else { format!(" within {} s", within.as_secs()) };
    if let Some(laggard) = book.members().find(|member| !is(member, InstanceState::Ready)) {
        let detail = laggard.seen.detail.clone().unwrap_or_default();
        anyhow::bail!("Instance {} did not become ready{when} ({detail}).", laggard.seen.id);
    }
    let came = book.members().count();
    anyhow::ensure!(came == wanted, "Only {came} of {wanted} instances came{when}.");
    Ok(())
}

/// Ends when there was no ping for so long.
async fn silence(mut pinged: watch::Receiver<Instant>, limit: Duration) {
    loop {
        let ends = *pinged.borrow_and_update() + limit;
        tokio::select! {
            biased;
            Ok(()) = pinged.changed() => {}
            () = sleep_until(ends) => return,
        }
    }
}

/// The signals that end a world. A hang-up does not: the world outlives the terminal that it was started from.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn wait(mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                Some(()) = self.hang_up.recv() => {}
            }
        }
    }
}

/// Adds an event every second while there is load.
async fn grow_chain(world: Arc<World>) {
    let mut ticks = tokio::time::interval(EVENT_EVERY);
    loop {
        ticks.tick().await;
        if world.load.rate() > 0.0 {
            world.store().add_event(Timestamp::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_world_that_nobody_pings_ends_and_a_ping_starts_the_wait_anew() {
        let pinged = watch::Sender::new(Instant::now());
        let began = Instant::now();
        let mut silent = std::pin::pin!(silence(pinged.subscribe(), SILENCE));
        assert!(timeout(Duration::from_secs(599), &mut silent).await.is_err());
        pinged.send_replace(Instant::now());
        advance(Duration::from_secs(5)).await;
        assert!(timeout(Duration::ZERO, &mut silent).await.is_err());
        silent.await;
        assert_eq!(began.elapsed().as_secs(), 599 + SILENCE.as_secs());
    }

    #[test]
    fn the_declaration_holds_one_line_to_change() {
        let text = declaration(4);
        assert_eq!(text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>(), ["instances = 4"]);
    }
}
