//! What is on this machine: the configuration, the state directory, the operational log, where the bot's own health is
//! served.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, access};
use scalebot_adapters::doctor::Finding;
use scalebot_adapters::ledger::{SqliteLedger, Storage as _, postgres};
use scalebot_adapters::process::Holder;
use scalebot_commands::ports::Ledger as _;
use scalebot_commands::supervisor::parked;
use scalebot_commands::units::Millis;
use tokio::net::{TcpListener, TcpStream};

use super::Look;
use crate::config::Config;
use crate::discord;
use crate::state_dir::StateDir;
use crate::storage;

const CONFIGURATION: &str = "configuration";
const STATE: &str = "state directory";
const LOG: &str = "operational log";
const HEALTH: &str = "health and metrics";
const HEARTBEAT: &str = "heartbeat";

pub(super) fn looks<'a>(config: &'a Config, dir: &'a StateDir) -> Vec<Look<'a>> {
    vec![
        Look::at(CONFIGURATION, async { configuration(config) }),
        Look::at(STATE, async { vec![state(dir)] }),
        Look::at(LOG, log(dir)),
        Look::at("chat", chat(config)),
        Look::at(HEALTH, health(config, dir)),
        Look::at(HEARTBEAT, heartbeat(config)),
    ]
}

fn configuration(config: &Config) -> Vec<Finding> {
    let mut found = Vec::new();
    let targets = config.targets();
    let names: Vec<_> = targets.iter().map(|(name, ..)| name.as_str()).collect();
    found.push(Finding::ok(
        CONFIGURATION,
        format!("{} can be used; fleets: {}", config.file.display(), names.join(", ")),
    ));
    for (name, settings, policy) in &targets {
        let digest = policy.digest().to_string();
        found.push(Finding::ok(format!("limits of {name}"), format!("digest {}", digest.get(..8).unwrap_or(&digest))));
        if settings.halt.sources.is_empty() {
            found.push(Finding::warn(
                format!("limits of {name}"),
                "no source of truth about the halt is named, so every scaling needs governance's approval",
                "Name those that there are in halt.sources.",
            ));
        }
        if policy.approval.requester_may {
            found.push(Finding::warn(
                format!("limits of {name}"),
                "whoever asks for a scaling may approve it, so that one person alone can scale during a halt",
                "Set approval.requester_may = false.",
            ));
        }
    }
    found
}

fn state(dir: &StateDir) -> Finding {
    let path = dir.path();
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            return Finding::failed(STATE, format!("{shown} is not a directory"), "Name another: state.directory.");
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(path),
        Err(error) => {
            return Finding::failed(STATE, format!("{shown}: {error}"), "Let the bot's user enter the directory.");
        }
    }
    if let Err(error) = access(path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let text = format!("{shown} cannot be written by this user ({error})");
        return Finding::failed(STATE, text, "Give the directory to the bot's user, or run this as that user.");
    }
    if dir.ledger().exists() && !dir.mark().exists() {
        let text = format!("{shown} holds the log of a rehearsal");
        return Finding::failed(STATE, text, "Name another directory: state.directory.");
    }
    match Holder::of(&dir.drill_lock()) {
        Ok(Holder::Nobody) => Finding::ok(STATE, format!("{shown} can be used; no process holds it")),
        Ok(Holder::Living) => Finding::ok(STATE, format!("{shown} is held by a process: the service runs")),
        Err(error) => Finding::failed(
            STATE,
            format!("its lock cannot be looked at ({error})"),
            "Let this user read the directory.",
        ),
    }
}

/// The service makes what is missing, where it may.
fn absent(path: &Path) -> Finding {
    let mut above = path.ancestors().skip(1);
    let Some(there) = above.find(|above| above.exists()) else {
        return Finding::failed(STATE, "nothing is above it", "Name another: state.directory.");
    };
    match access(there, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Finding::ok(STATE, format!("{} is not there yet; the service makes it", path.display())),
        Err(error) => Finding::failed(
            STATE,
            format!("{} is not there, and this user cannot make it in {} ({error})", path.display(), there.display()),
            "Make it, and give it to the bot's user.",
        ),
    }
}

async fn log(dir: &StateDir) -> Vec<Finding> {
    let Some(settings) = storage::server(dir) else { return vec![in_file(dir).await] };
    let mut found = postgres::check(settings).await;
    if let Err(why) = storage::nothing_is_left_behind(dir).await {
        found.push(Finding::failed(LOG, why, "Until then the service does not begin."));
    }
    found
}

async fn in_file(dir: &StateDir) -> Finding {
    let file = dir.ledger();
    let ledger = match SqliteLedger::open_existing_read_only(&file).await {
        Ok(Some(ledger)) => ledger,
        Ok(None) => return Finding::ok(LOG, "nothing was recorded yet"),
        Err(error) => {
            return Finding::failed(LOG, error.to_string(), "Keep a copy of it, then: scalebot ledger verify.");
        }
    };
    let read = async {
        if let Some(destination) = ledger.moved_to().await? {
            return Ok(Kept::Moved(destination));
        }
        let claims = ledger.claims().await?;
        let mut waiting = Vec::new();
        for held in &claims {
            if parked(&ledger.events_of(&held.operation).await?).is_some() {
                waiting.push(format!("operation {} on {}", held.operation.short(), held.target));
            }
        }
        Ok::<_, scalebot_commands::ports::LedgerError>(Kept::Here(claims.len(), waiting))
    };
    let read = read.await;
    ledger.close().await;
    match read {
        Ok(Kept::Here(unfinished, waiting)) if waiting.is_empty() => {
            Finding::ok(LOG, format!("can be read; unfinished operations: {unfinished}"))
        }
        Ok(Kept::Moved(destination)) => Finding::failed(
            LOG,
            format!("it was moved to {destination}"),
            "Describe that in [ledger]; nothing is added to the file any more.",
        ),
        Ok(Kept::Here(_, waiting)) => Finding::warn(
            LOG,
            format!("cannot go on by itself: {}", waiting.join(", ")),
            format!("Look at it: scalebot operation list {}", dir.option()),
        ),
        Err(error) => Finding::failed(LOG, error.to_string(), "Try again; if it stays so: scalebot ledger verify."),
    }
}

/// What a file holds.
enum Kept {
    /// Where it was moved to.
    Moved(String),
    /// How many unfinished operations, and which of them wait for a person.
    Here(usize, Vec<String>),
}

async fn chat(config: &Config) -> Vec<Finding> {
    let Some(settings) = &config.sections.discord else {
        return vec![Finding::not_configured("chat", "commands are read from standard input, for trying out")];
    };
    // The largest quorum of any fleet has to be found in the server.
    let quorum = config.targets().iter().map(|(_, _, policy)| policy.approval.quorum).max().unwrap_or(1);
    discord::check(settings, quorum).await
}

async fn health(config: &Config, dir: &StateDir) -> Vec<Finding> {
    let listen = config.sections.http.listen;
    if !config.sections.http.enabled {
        return vec![Finding::not_configured(HEALTH, "switched off")];
    }
    let runs = Holder::of(&dir.drill_lock()).is_ok_and(|holder| holder == Holder::Living);
    if runs {
        return vec![served(listen).await];
    }
    let mut found = vec![match TcpListener::bind(listen).await {
        Ok(_) => Finding::ok(HEALTH, format!("{listen} is free for it")),
        Err(error) => Finding::failed(
            HEALTH,
            format!("{listen} cannot be listened on ({error})"),
            "Name another address: http.listen.",
        ),
    }];
    if !listen.ip().is_loopback() {
        found.push(Finding::warn(
            HEALTH,
            format!("{listen} can be reached from other machines, without a password"),
            "Let only the monitoring system reach it, or listen on 127.0.0.1.",
        ));
    }
    found
}

/// The address is not requested: that would say that the bot is ready.
async fn heartbeat(config: &Config) -> Vec<Finding> {
    let Some(settings) = &config.sections.heartbeat else {
        return vec![Finding::not_configured(HEARTBEAT, "nobody is told that the bot is ready")];
    };
    let address = match settings.address() {
        Ok(address) => address,
        Err(error) => return vec![Finding::failed(HEARTBEAT, error.to_string(), "Write down the address once more.")],
    };
    let (host, port) = address.host();
    let every = Millis::from(settings.every);
    let reached = TcpStream::connect((host.as_str(), port)).await;
    let mut found = vec![match reached {
        Ok(_) => {
            Finding::ok(HEARTBEAT, format!("{host} can be reached; it is told every {every} while the bot is ready"))
        }
        Err(error) => Finding::failed(
            HEARTBEAT,
            format!("{host}, port {port}, cannot be reached ({error}), so an alarm would be raised there"),
            "See that this machine may reach it, or correct heartbeat.url.",
        ),
    }];
    if address.is_readable_on_its_way() {
        found.push(Finding::warn(
            HEARTBEAT,
            "the address can be read on its way, and whoever knows it can say that the bot lives",
            "Use an address that begins with https://.",
        ));
    }
    found
}

async fn served(listen: std::net::SocketAddr) -> Finding {
    let asked = async {
        let http = scalebot_adapters::http::Http::new("the service", std::time::Duration::from_secs(3))?;
        http.get(&http.url(&listen.to_string(), "/ready")?).await
    };
    match asked.await {
        Ok(answer) if answer.status.is_success() => {
            Finding::ok(HEALTH, format!("{listen} says that the service is ready"))
        }
        Ok(answer) => Finding::failed(
            HEALTH,
            format!("{listen} says that the service is not ready: {}", String::from_utf8_lossy(&answer.body)),
            "See to what it names.",
        ),
        Err(error) => Finding::unanswered(HEALTH, &error),
    }
}
