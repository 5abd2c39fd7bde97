//! How a bot comes by its world: the living one in the state directory, or a new one; and how it keeps it alive and
//! ends it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use clap::ValueEnum as _;
use scalebot_adapters::process::{Holder, WorldClient};
use scalebot_commands::ports::PortError;
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

use super::around::{AROUND, Around};
use super::settings::{FleetKind, Settings, WorldInfo};
use super::world::{READY, this_program};
use super::{containers, files};

/// How long a new world may take until it is ready; it gives up by itself a little earlier.
const READY_WITHIN: Duration = Duration::from_secs(45);

/// The same where its instances are containers, which may be cleared away first.
const CONTAINERS_WITHIN: Duration = Duration::from_mins(4);

/// How long a world that is just beginning may take until it answers.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// How long a world may take to end everything.
const ENDS_WITHIN: Duration = Duration::from_secs(15);

/// The same where an engine has to remove its containers.
const REMOVES_WITHIN: Duration = Duration::from_mins(1);

/// Between two pings.
pub(crate) const PING_EVERY: Duration = Duration::from_secs(30);

/// Between two looks at a world that is coming or going.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long one question may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Why there is no world to rehearse in, in words for the person who started the rehearsal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoWorld(pub(crate) String);

impl std::fmt::Display for NoWorld {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoWorld {}

/// A living world.
#[derive(Debug)]
pub(crate) struct Attached {
    /// Which one.
    pub(crate) info: WorldInfo,
    /// Whether it was started just now, rather than found alive.
    pub(crate) started: bool,
    /// What every adapter asks it through.
    pub(crate) client: WorldClient,
    lock: PathBuf,
    // Only so that its exit is collected while this process lives.
    process: Option<Child>,
}

/// The world that lives in that state directory, if any.
///
/// # Errors
/// When one lives that does not answer, or it cannot be told.
pub(crate) async fn attach(state: &Path) -> Result<Option<Attached>, NoWorld> {
    let (state, socket) = place(state)?;
    find(&state, &socket).await
}

/// The world that lives in that state directory, or else a new one with these settings and that around it.
///
/// # Errors
/// When there can be none, in words that say why and what to do.
pub(crate) async fn start_or_attach(state: &Path, settings: Settings, around: &Around) -> Result<Attached, NoWorld> {
    let (state, socket) = place(state)?;
    match find(&state, &socket).await? {
        Some(living) => Ok(living),
        None => start(Command::new(this_program()), &state, &socket, settings, around).await,
    }
}

/// Asks where no world lives: everything that is asked of it is answered with [`PortError::Gone`].
///
/// # Errors
/// As [`attach`].
pub(crate) fn absent(state: &Path) -> Result<WorldClient, NoWorld> {
    let (state, socket) = place(state)?;
    client(&socket, &state.join(files::WORLD_LOCK))
}

/// Asks the world that lives, or will live, in that directory, which need not exist yet.
///
/// # Errors
/// When the path is too long for a socket.
pub(crate) fn client_at(state: &Path) -> Result<WorldClient, NoWorld> {
    let socket = files::socket_in(state).map_err(NoWorld)?;
    client(&socket, &state.join(files::WORLD_LOCK))
}

/// The directory as an absolute path, and its socket.
fn place(state: &Path) -> Result<(PathBuf, PathBuf), NoWorld> {
    let state = state
        .canonicalize()
        .map_err(|error| NoWorld(format!("The state directory {} cannot be used: {error}.", state.display())))?;
    let socket = files::socket_in(&state).map_err(NoWorld)?;
    Ok((state, socket))
}

async fn find(state: &Path, socket: &Path) -> Result<Option<Attached>, NoWorld> {
    let lock = state.join(files::WORLD_LOCK);
    let cannot_tell = |error| NoWorld(format!("{} cannot be looked at: {error}.", lock.display()));
    let client = client(socket, &lock)?;
    let began = Instant::now();
    loop {
        if Holder::of(&lock).map_err(cannot_tell)? == Holder::Nobody {
            return Ok(None);
        }
        match client.get::<WorldInfo>("/world").await {
            Ok(info) => {
                ping(&client).await.map_err(|error| NoWorld(error.to_string()))?;
                return Ok(Some(Attached { info, started: false, client, lock, process: None }));
            }
            // It is just beginning, or just ending.
            Err(error) if error.may_pass() && began.elapsed() < ANSWERS_WITHIN => sleep(LOOK_EVERY).await,
            Err(PortError::Gone { .. }) => return Ok(None),
            Err(error) => {
                let holder = std::fs::read_to_string(&lock).unwrap_or_default();
                return Err(NoWorld(format!(
                    "A world lives in {} ({}) and does not answer: {error}. End that process, then start again.",
                    state.display(),
                    holder.trim()
                )));
            }
        }
    }
}

fn client(socket: &Path, lock: &Path) -> Result<WorldClient, NoWorld> {
    WorldClient::new(socket, lock, LIMIT).map_err(|error| NoWorld(error.to_string()))
}

/// Starts a world apart from this process, and waits for the line that says that it is ready.
async fn start(
    mut command: Command,
    state: &Path,
    socket: &Path,
    settings: Settings,
    around: &Around,
) -> Result<Attached, NoWorld> {
    let log = state.join(files::WORLD_LOG);
    let failed =
        |why: String| NoWorld(format!("The rehearsal's world could not be started. {why} Its log: {}", log.display()));

    let errors = log_file(&log).map_err(|error| failed(format!("The log cannot be written: {error}.")))?;
    command.arg("drill-world").arg("--state").arg(state);
    command.args(["--instances", &settings.instances.to_string(), "--load", &settings.load.to_string()]);
    command.args(["--seed", &settings.seed.to_string()]);
    if settings.halted {
        command.arg("--halted");
    }
    if let Some(fault) = settings.fault.and_then(|fault| fault.to_possible_value()) {
        command.args(["--fault", fault.get_name()]);
    }
    command.env_clear().envs(around.told().map(|told| (AROUND, told)));
    let within = if settings.fleet == FleetKind::Process {
        READY_WITHIN
    } else {
        let kind = settings.fleet.to_possible_value();
        command.args(kind.iter().flat_map(|kind| ["--fleet", kind.get_name()]));
        command.arg("--engine").arg(containers::socket().map_err(NoWorld)?);
        // Compose is found, and finds its own settings, as the bot would.
        command.envs(containers::PASSED_ON.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        CONTAINERS_WITHIN
    };
    // A group of its own: what is typed at the bot's terminal does not reach it.
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let mut process = command.spawn().map_err(|error| failed(format!("Its process: {error}.")))?;
    let output = process.stdout.take().ok_or_else(|| failed("Its output cannot be read.".to_owned()))?;

    let mut lines = BufReader::new(output).lines();
    match timeout(within, lines.next_line()).await {
        Ok(Ok(Some(line))) if line == READY => {}
        Ok(Ok(Some(why))) => {
            // It ends by itself; nothing of it is left once that is said.
            if timeout(ENDS_WITHIN, process.wait()).await.is_err() {
                let _ = process.start_kill();
            }
            return Err(failed(why));
        }
        Ok(_) => return Err(failed("Its process ended before it was ready.".to_owned())),
        Err(_) => {
            let _ = process.start_kill();
            return Err(failed(format!("It was not ready within {} s.", within.as_secs())));
        }
    }
    let lock = state.join(files::WORLD_LOCK);
    let client = client(socket, &lock)?;
    let info = client.get("/world").await.map_err(|error| failed(format!("{error}.")))?;
    Ok(Attached { info, started: true, client, lock, process: Some(process) })
}

/// Continues the log of earlier worlds in the same directory; readable by its owner only.
fn log_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

async fn ping(client: &WorldClient) -> Result<(), PortError> {
    client.tell("/ping", &json!({})).await
}

impl Attached {
    /// Ends the world, and waits until nothing of it is left. A world that is gone already has ended.
    ///
    /// # Errors
    /// In words, when it did not end.
    pub(crate) async fn end(mut self) -> Result<(), NoWorld> {
        match self.client.tell("/end", &json!({})).await {
            // Without an answer the lock tells.
            Ok(()) | Err(PortError::Gone { .. } | PortError::Unreachable { .. } | PortError::TimedOut { .. }) => {}
            Err(error) => return Err(NoWorld(format!("The rehearsal's world did not end: {error}."))),
        }
        let gone = async {
            while !matches!(Holder::of(&self.lock), Ok(Holder::Nobody)) {
                sleep(LOOK_EVERY).await;
            }
            if let Some(process) = &mut self.process {
                let _ = process.wait().await;
            }
        };
        let within = if self.info.containers.is_some() { REMOVES_WITHIN } else { ENDS_WITHIN };
        timeout(within, gone).await.map_err(|_| {
            NoWorld(format!(
                "The rehearsal's world (process {}) did not end within {} s.",
                self.info.pid,
                within.as_secs()
            ))
        })
    }
}

/// Tells the world every 30 s that somebody still needs it. Ends only when the world is gone, and says how that was
/// seen; whatever else goes wrong is tried again.
pub(crate) async fn keep_alive(client: &WorldClient) -> PortError {
    loop {
        if let Err(gone @ PortError::Gone { .. }) = ping(client).await {
            return gone;
        }
        sleep(PING_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings =
        Settings { instances: 4, load: 0.0, seed: 1, halted: false, fault: None, fleet: FleetKind::Process };

    async fn started_with(script: &str) -> (tempfile::TempDir, Result<Attached, NoWorld>) {
        let state = tempfile::tempdir().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]);
        let (path, socket) = place(state.path()).unwrap();
        let result = start(shell, &path, &socket, SETTINGS, &Around::default()).await;
        (state, result)
    }

    #[tokio::test]
    async fn a_world_that_says_why_it_cannot_begin_is_quoted_and_its_log_named() {
        let (state, result) = started_with("echo 'There is no port.'; echo details >&2; exit 2").await;
        let log = state.path().canonicalize().unwrap().join(files::WORLD_LOG);
        let said = result.unwrap_err().0;
        let wanted =
            format!("The rehearsal's world could not be started. There is no port. Its log: {}", log.display());
        assert_eq!(said, wanted);
    }

    #[tokio::test]
    async fn a_world_that_dies_or_says_it_is_ready_and_is_not_is_no_world() {
        let (_state, died) = started_with("exit 1").await;
        assert!(died.unwrap_err().0.contains("Its process ended before it was ready."));
        let (_state, absent) = started_with("echo ready").await;
        assert!(absent.unwrap_err().0.contains("no longer exists"));
    }

    #[tokio::test]
    async fn where_no_process_holds_the_lock_there_is_no_world() {
        let state = tempfile::tempdir().unwrap();
        assert!(attach(state.path()).await.unwrap().is_none());
        std::fs::write(state.path().join(files::WORLD_LOCK), "process 1\n").unwrap();
        drop(std::os::unix::net::UnixListener::bind(state.path().join(files::WORLD_SOCKET)).unwrap());
        assert!(attach(state.path()).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_lock_that_is_held_by_a_world_that_never_answers_is_said_with_its_holder() {
        let state = tempfile::tempdir().unwrap();
        let lock = state.path().join(files::WORLD_LOCK);
        std::fs::write(&lock, "process 4711\n").unwrap();
        let held = File::open(&lock).unwrap();
        held.try_lock().unwrap();
        tokio::time::pause();
        let said = attach(state.path()).await.unwrap_err().0;
        assert!(said.contains("(process 4711) and does not answer"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_world_is_pinged_until_it_is_gone_and_a_failed_ping_is_no_end() {
        let state = tempfile::tempdir().unwrap();
        let lock = state.path().join(files::WORLD_LOCK);
        let held = File::create(&lock).unwrap();
        held.try_lock().unwrap();
        let client = client(&state.path().join(files::WORLD_SOCKET), &lock).unwrap();
        // Its process lives and does not answer.
        let mut kept = std::pin::pin!(keep_alive(&client));
        assert!(timeout(PING_EVERY * 5, &mut kept).await.is_err());
        drop(held);
        let gone = timeout(PING_EVERY * 2, kept).await.unwrap();
        assert!(matches!(gone, PortError::Gone { .. }), "{gone:?}");
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_or_too_deep_is_refused_in_words() {
        let state = tempfile::tempdir().unwrap();
        let absent = attach(&state.path().join("absent")).await.unwrap_err().0;
        assert!(absent.contains("absent cannot be used"), "{absent}");
        let deep = state.path().join("d".repeat(100));
        std::fs::create_dir(&deep).unwrap();
        let said = start_or_attach(&deep, SETTINGS, &Around::default()).await.unwrap_err().0;
        assert!(said.contains("Choose a shorter --state directory."), "{said}");
    }
}
