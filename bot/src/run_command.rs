//! `scalebot run`: the service. It takes the state's lock, the log and a new epoch, carries on what is unfinished, and
//! then whatever people ask for, until it is told to stop.
//!
//! SIGTERM ends it within 5 s, whatever it waits for: what is being written is written to its end, the log channel is
//! told as far as that goes, and operations stay where their log says that they are. Whoever starts it again carries them
//! on.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::documents::Folder;
use scalebot_adapters::hosts::Hosts;
use scalebot_adapters::ledger::Storage;
use scalebot_commands::event::Event;
use scalebot_commands::judge::Verdict;
use scalebot_commands::ports::{self, World};
use scalebot_commands::steps::Outcome;
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::OperationId;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::config::Config;
use crate::config::target::FleetSettings;
use crate::drill::state::{Locked, State};
use crate::operation_command;
use crate::service::fleets::{self, Processes, Systems};
use crate::service::heartbeat::Heartbeat;
use crate::service::registrar::Registrar;
use crate::service::standby::{self, NotLeading};
use crate::service::watch::{self, Observed, Seat, Watch};
use crate::service::{CLOSED_WITHIN, Carried, End, Fleet, Log, Running, Service, front, is_witnessed, until_witnessed};
use crate::state_dir::StateDir;
use crate::stop::{Asked, Stop};
use crate::storage;
use crate::system::System;

/// How long the last posts may take once the process is told to stop.
const LAST_POSTS: Duration = Duration::from_millis(2_500);

/// How long it may take to look up what is left unfinished, and to give the lead back. All of these together, with the
/// log's own time to be closed, stay under 5 s.
const LAST_LOOK: Duration = Duration::from_millis(500);

const _: () = assert!(
    LAST_POSTS.as_millis() + 2 * LAST_LOOK.as_millis() + CLOSED_WITHIN.as_millis() + crate::LAST_WORDS.as_millis()
        < 5_000
);

/// Runs it until it is told to stop; returns the exit code.
pub(crate) async fn run(file: &Path) -> ExitCode {
    match Config::load(file) {
        Ok(config) => serve(Arc::new(config), None).await,
        Err(wrong) => unusable(&wrong.to_string()),
    }
}

/// Carries that unfinished operation on, and nothing else; returns the exit code of its end.
pub(crate) async fn resume(config: Arc<Config>, operation: &OperationId) -> ExitCode {
    serve(config, Some(operation)).await
}

async fn serve(config: Arc<Config>, only: Option<&OperationId>) -> ExitCode {
    let stop = Stop::listen();
    let dir = StateDir::of_service(Arc::clone(&config));
    if let Err(why) = fleets::make(dir.path()) {
        return unusable(&why);
    }
    let state = match State::open(Some(dir.path())) {
        Ok(state) => state,
        Err(why) => return unusable(&why),
    };
    let _lock = match state.lock() {
        Ok(Locked::Ours(lock)) => lock,
        Ok(Locked::Held(holder)) => return unusable(&in_use(&dir, &holder)),
        Err(why) => return unusable(&why),
    };
    if let Err(why) = mark(&dir) {
        return unusable(&why);
    }
    // With the lock in hand nobody else can end it any more.
    if let Some(operation) = only
        && let Err(code) = operation_command::must_be_unfinished(&dir, operation).await
    {
        return code;
    }
    if let Err(why) = storage::nothing_is_left_behind(&dir).await {
        return unusable(&why);
    }
    let clock: Arc<dyn World> = Arc::new(System::new());
    // The front first: it also says where the program's own log goes.
    let front = match front::connect(&config, &dir, &clock) {
        Ok(front) => front,
        Err(why) => return unusable(&why),
    };
    let seat = Seat::default();
    let http = &config.sections.http;
    if http.enabled
        && let Err(why) = watch::serve(seat.clone(), http.listen).await
    {
        return unusable(&why);
    }
    let observed = Arc::new(Observed::new(Arc::clone(&clock)));
    let seen = {
        let observed = Arc::clone(&observed);
        move |event: &Event| observed.see(event)
    };
    let log = match standby::until_leading(&dir, &seat, only.is_none(), &stop, seen).await {
        Ok(log) => {
            let observed = Arc::clone(&observed);
            log.on_failure(move || observed.could_not_append())
        }
        Err(NotLeading::Asked(asked)) => return code_of_stop(asked),
        Err(NotLeading::Unusable(why)) => return unusable(&why),
    };
    let ledger = Arc::clone(&log.ledger);
    let served = async {
        // Fleets may be a while in coming.
        let begun = tokio::select! {
            biased;
            asked = stop.requested() => Err(code_of_stop(asked)),
            begun = Begun::begin(&config, &dir, front, log, observed, &seat) => begun.map_err(|why| unusable(&why)),
        };
        match begun {
            Ok(begun) => begun.until_its_end(&dir, only, &stop).await,
            Err(code) => {
                resign(&*ledger).await;
                code
            }
        }
    };
    tokio::select! {
        biased;
        // Whatever is under way is dropped where it is: it is no longer this process's.
        why = ledger.until_lost() => {
            eprintln!(
                "This process leads no longer, so it ends at once: {why}.\nWhat was under way is carried on by whoever leads. \
                 Started again, this one waits until it may."
            );
            ExitCode::FAILURE
        }
        code = served => code,
    }
}

/// A service that has begun.
struct Begun {
    service: Service,
    front: Arc<dyn front::Front>,
    carried: Carried,
    watch: Watch,
    tasks: Vec<JoinHandle<()>>,
    /// Hosts have no controller of their own, so this process is theirs for as long as it leads.
    tended: Vec<Hosts>,
}

impl Begun {
    async fn begin(
        config: &Config,
        dir: &StateDir,
        front: Arc<dyn front::Front>,
        log: Log,
        observed: Arc<Observed>,
        seat: &Seat,
    ) -> Result<Self, String> {
        let (mut fleets, mut tasks, mut tended) = (Vec::new(), Vec::new(), Vec::new());
        for (name, settings, policy) in config.targets() {
            match &settings.fleet {
                FleetSettings::Process(process) => {
                    tasks.push(Processes::at(dir, &name, process, settings)?.enter(&log, &name).await?);
                }
                // Its instances run whether the bot does or not.
                FleetSettings::Kubernetes(_)
                | FleetSettings::Hosts(_)
                | FleetSettings::Compose(_)
                | FleetSettings::Swarm(_) => {}
            }
            let systems = fleets::systems(dir, &log.clock, &name, settings)?;
            if let Some(compose) = &systems.compose
                // What a process that was killed has ordered is seen to its end before anything is decided.
                && let Err(error) = compose.until_orders_end().await
            {
                tracing::error!(fleet = %name, %error, "an order of an earlier process is still carried out");
            }
            let registered: Option<Arc<dyn ports::Fleet>> = match &settings.fleet {
                FleetSettings::Compose(service) if service.register => {
                    systems.compose.as_ref().map(|compose| Arc::new(compose.for_onlookers()) as _)
                }
                FleetSettings::Swarm(service) if service.register => Some(Arc::clone(&systems.target.fleet)),
                _ => None,
            };
            if let (Some(fleet), Some(haproxy)) = (registered, &settings.haproxy) {
                tasks.push(tokio::spawn(Registrar::new(haproxy, fleet, &name)?.keep()));
            }
            let Systems { target, hosts, .. } = systems;
            tended.extend(hosts);
            let documents = dir.of_target(&name);
            fleets::make(&documents)?;
            let ports = log.ports(front.room(), Arc::new(Folder::new(documents)), target);
            tracing::info!(fleet = %name, policy = %policy.digest(), "a fleet is served");
            fleets.push(Fleet { ports, policy: policy.clone() });
        }
        let mut service = Service::silent(log, front.room(), fleets, front.log_channel());
        if let Err(why) = service.open_control(&dir.control_socket()) {
            tracing::error!(%why, "what is under way cannot be cancelled from the host");
        }
        let carried = Carried::default();
        let watch = Watch::new(&service, &front, &carried, observed);
        if let Some(settings) = &config.sections.heartbeat {
            tasks.push(tokio::spawn(Heartbeat::new(settings, watch.beats())?.beat(watch.clone())));
        }
        seat.taken(watch.clone());
        Ok(Self { service, front, carried, watch, tasks, tended })
    }

    async fn until_its_end(self, dir: &StateDir, only: Option<&OperationId>, stop: &Stop) -> ExitCode {
        let Self { mut service, front, carried, watch, mut tasks, tended } = self;
        let option = dir.option();
        let witnessed = if only.is_none() {
            until_witnessed(&service, &*front, &watch, &option, stop).await
        } else {
            // Whoever typed that waits for the answer.
            tokio::select! {
                biased;
                asked = stop.requested() => Err(End::Asked(asked)),
                witnessed = is_witnessed(&service, &option) => witnessed.map_err(End::NoFront),
            }
        };
        if witnessed.is_ok() {
            service.tell();
            let epoch = service.log().epoch;
            tasks.extend(tended.into_iter().map(|hosts| tokio::spawn(hosts.tend(epoch))));
        }
        let unfinished = match service.log().unfinished().await {
            Ok(unfinished) => unfinished,
            Err(why) => return unusable(&why),
        };
        let running = Running::new(&service, &*front, carried, watch);
        let (end, ended) = match (only, witnessed) {
            (_, Err(end)) => (end, None),
            (None, Ok(())) => (running.run(unfinished, stop).await, None),
            (Some(operation), Ok(())) => match unfinished.into_iter().find(|held| held.operation == *operation) {
                Some(held) => running.only(held, stop).await,
                None => return unusable("That operation is not unfinished any more."),
            },
        };
        for task in tasks {
            task.abort();
        }
        if let End::Fenced(why) = &end {
            // Neither its posts nor its fleets are this process's any more.
            eprintln!("Another process has taken over, so this one stops: {why}.");
            return ExitCode::FAILURE;
        }
        if timeout(LAST_POSTS, service.leave()).await.is_err() {
            tracing::warn!("the log channel was not told everything; the next process tells the rest");
        }
        if timeout(LAST_LOOK, say_what_is_left(&service, dir)).await.is_err() {
            tracing::warn!("what is left unfinished could not be looked up; the next process carries it on");
        }
        resign(&*service.log().ledger).await;
        service.log().close().await;
        match (end, ended) {
            (End::NoFront(why), _) => unusable(&why),
            (End::Failed(why), _) => {
                eprintln!(
                    "A part of the bot broke, so it stops: {why}.\nStarted again it carries on what is unfinished."
                );
                ExitCode::FAILURE
            }
            (End::Asked(asked), _) => code_of_stop(asked),
            (_, Some(ended)) => code_of(&ended),
            (_, None) => ExitCode::SUCCESS,
        }
    }
}

/// Says whose the directory is. A rehearsal's is refused: its operations are none of a service's.
pub(crate) fn mark(dir: &StateDir) -> Result<(), String> {
    let mark = dir.mark();
    let cannot = |error: std::io::Error| format!("{} cannot be written: {error}.", mark.display());
    if !mark.try_exists().map_err(cannot)? && dir.ledger().exists() {
        return Err(format!(
            "{} holds the log of a rehearsal.\nName another directory in the configuration: state.directory.",
            dir.path().display()
        ));
    }
    let file = dir.config().map(|config| config.file.display().to_string()).unwrap_or_default();
    std::fs::write(&mark, format!("The state of a service, configured by {file}\n")).map_err(cannot)
}

async fn say_what_is_left(service: &Service, dir: &StateDir) {
    for held in service.log().unfinished().await.unwrap_or_default() {
        tracing::warn!(
            operation = %held.operation,
            fleet = %held.target,
            "left unfinished; it is carried on by: scalebot run {}",
            dir.option()
        );
    }
}

/// Another process need not wait for a lease to run out.
async fn resign(ledger: &dyn Storage) {
    if timeout(LAST_LOOK, ledger.resign()).await.is_err() {
        tracing::warn!("the lead could not be given back; whoever waits for it takes over when the lease has run out");
    }
}

fn code_of_stop(asked: Asked) -> ExitCode {
    match asked {
        Asked::Interrupt => ExitCode::from(130),
        Asked::Terminate => ExitCode::SUCCESS,
    }
}

fn in_use(dir: &StateDir, holder: &str) -> String {
    if storage::server(dir).is_some() {
        return format!(
            "{} is in use by another process ({holder}).\nSeveral processes may wait for each other, each with a directory \
             and an address of its own: set SCALEBOT_STATE__DIRECTORY and SCALEBOT_HTTP__LISTEN for this one.",
            dir.path().display()
        );
    }
    format!(
        "{} is in use by another process ({holder}).\nOne process at a time: end that one first, or name another directory \
         in the configuration.",
        dir.path().display()
    )
}

/// Inconclusive keeps the fleet and is still no success.
fn code_of(ended: &Ended) -> ExitCode {
    match ended {
        Ended::Finished(finished)
            if finished.outcome == Outcome::Completed && finished.verdict != Some(Verdict::Inconclusive) =>
        {
            ExitCode::SUCCESS
        }
        Ended::Finished(_) | Ended::Parked(_) | Ended::Fenced(_) => ExitCode::FAILURE,
    }
}

fn unusable(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}
