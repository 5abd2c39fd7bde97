//! One instance's process: how it is started, how its readiness is followed, and how it is ended.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum as _;
use reqwest::StatusCode;
use scalebot_adapters::http::Http;
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::{InstanceId, Timestamp};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::{Order, Starting, World};
use crate::drill::settings::Fault;

/// How long a process may take to say where it listens.
const ADDRESS: Duration = Duration::from_secs(10);

/// Between two looks at an instance's readiness, and how long one may take.
const LOOK_EVERY: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_secs(1);

/// So many looks in a row without an answer, and an instance that was ready counts as not ready. One that answers that
/// it is not ready counts so at once.
const SILENT_LOOKS: u32 = 3;

/// How long requests that are under way may take before an instance is ended.
const LAST_REQUESTS: Duration = Duration::from_secs(10);

/// How long a process may take to end once its pipe is closed.
const LAST_MOMENTS: Duration = Duration::from_secs(1);

/// The program that this process runs, also when its file was replaced since.
pub(in crate::drill) fn this_program() -> PathBuf {
    let running = PathBuf::from("/proc/self/exe");
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => running,
    }
}

/// Follows one instance from its start to its end.
pub(super) async fn live(world: Arc<World>, starting: Starting, fault: Option<Fault>) {
    let Starting { id, number, mut orders } = starting;
    let begun = tokio::select! {
        begun = begin(&world, &id, number, fault) => begun,
        // What was begun is killed with its handle.
        () = world.told_to_end() => Err("the world ended".to_owned()),
    };
    let left = match begun {
        Ok((mut child, address)) => {
            let lifeline = child.stdin.take();
            let mut instance = Process { world: &world, id: &id, child, lifeline };
            instance.follow(&address, &mut orders).await
        }
        Err(detail) => Left::Failed(detail),
    };
    // From here on nobody can tell it anything: that is how the book knows that there is no process.
    drop(orders);
    match left {
        Left::Failed(detail) => {
            eprintln!("{} {id}: {detail}", Timestamp::now());
            world.write(|book| {
                let leaving = book.member(&id).is_some_and(|member| member.seen.state == InstanceState::Terminating);
                if leaving { book.remove(&id) } else { book.see(&id, InstanceState::Failed, Some(detail)) }
            });
        }
        Left::AsOrdered => world.write(|book| book.remove(&id)),
    }
}

/// How an instance's process came to its end.
enum Left {
    /// By itself, or it never began.
    Failed(String),
    /// Because it was told to.
    AsOrdered,
}

/// Starts the process, and learns where it listens.
async fn begin(world: &World, id: &InstanceId, number: u32, fault: Option<Fault>) -> Result<(Child, String), String> {
    let mut command = Command::new(this_program());
    command.args(["drill-instance", "--name", id.as_str(), "--store"]).arg(&world.socket);
    command.args(["--seed", &world.settings.seed.wrapping_add(u64::from(number)).to_string()]);
    if let Some(fault) = fault.and_then(|fault| fault.to_possible_value()) {
        command.args(["--fault", fault.get_name()]);
    }
    // Its standard input is the pipe that it lives by. Whatever secrets the environment holds are none of its business.
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("its process could not be started: {error}"))?;
    let output = child.stdout.take().ok_or("its output cannot be read")?;
    let mut lines = BufReader::new(output).lines();
    match timeout(ADDRESS, lines.next_line()).await {
        Ok(Ok(Some(address))) => {
            world.write(|book| book.reached_at(id, address.clone()));
            Ok((child, address))
        }
        Ok(_) => match timeout(LAST_MOMENTS, child.wait()).await {
            Ok(Ok(status)) => Err(exited(status)),
            _ => Err("its process said nothing".to_owned()),
        },
        Err(_) => Err(format!("its process did not say within {} s where it listens", ADDRESS.as_secs())),
    }
}

fn exited(status: ExitStatus) -> String {
    format!("its process ended ({status})")
}

struct Process<'a> {
    world: &'a World,
    id: &'a InstanceId,
    child: Child,
    // Held apart from the child: waiting for that would close it, and the process would end.
    lifeline: Option<ChildStdin>,
}

impl Process<'_> {
    /// Follows the running process, until it ends or is told to.
    async fn follow(&mut self, address: &str, orders: &mut mpsc::UnboundedReceiver<Order>) -> Left {
        let mut readiness = match Readiness::new(address) {
            Ok(readiness) => readiness,
            Err(detail) => return Left::Failed(detail),
        };
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    return Left::Failed(status.map_or_else(|error| error.to_string(), exited));
                }
                order = orders.recv() => match order {
                    Some(Order::Kill) => {
                        // It ends as a crash does: the next turn sees it gone.
                        let _ = self.child.start_kill();
                    }
                    Some(Order::Stop) | None => {
                        self.finish_requests().await;
                        self.close().await;
                        return Left::AsOrdered;
                    }
                },
                () = self.world.told_to_end() => {
                    self.close().await;
                    return Left::AsOrdered;
                }
                seen = async { looks.tick().await; readiness.look().await } => {
                    if let Some((state, detail)) = seen {
                        self.world.write(|book| book.see(self.id, state, detail));
                    }
                }
            }
        }
    }

    /// Waits for the requests that it still has; new ones do not come to an instance on its way out.
    async fn finish_requests(&self) {
        let idle = self.world.until(|book| book.member(self.id).is_none_or(|member| member.in_flight == 0));
        tokio::select! {
            _ = timeout(LAST_REQUESTS, idle) => {}
            () = self.world.told_to_end() => {}
        }
    }

    /// Closes the pipe that the process lives by, and sees it gone.
    async fn close(&mut self) {
        self.lifeline = None;
        if timeout(LAST_MOMENTS, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// What the forwarder goes by: the instance's own word, asked again and again.
struct Readiness {
    http: Http,
    url: String,
    was_ready: bool,
    silent: u32,
}

/// What is read of an instance's answer.
#[derive(Deserialize)]
struct Checks {
    checks: std::collections::BTreeMap<String, Check>,
}

#[derive(Deserialize)]
struct Check {
    healthy: bool,
    error: Option<String>,
}

impl Readiness {
    fn new(address: &str) -> Result<Self, String> {
        let http = Http::new("the instance", LOOK).map_err(|error| error.to_string())?;
        Ok(Self { http, url: format!("http://{address}/v1/ready"), was_ready: false, silent: 0 })
    }

    /// The state that follows from one look; `None` when nothing follows yet.
    async fn look(&mut self) -> Option<(InstanceState, Option<String>)> {
        let waiting = if self.was_ready { InstanceState::NotReady } else { InstanceState::Starting };
        match self.http.get(&self.url).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                self.silent = 0;
                self.was_ready = true;
                Some((InstanceState::Ready, None))
            }
            Ok(answer) => {
                self.silent = 0;
                let failing = serde_json::from_slice::<Checks>(&answer.body)
                    .map_or_else(|_| format!("it answered {}", answer.status), |checks| failing(&checks));
                Some((waiting, Some(failing)))
            }
            Err(error) => {
                self.silent += 1;
                (self.silent >= SILENT_LOOKS).then(|| (waiting, Some(error.to_string())))
            }
        }
    }
}

/// The failing checks in words: "database (the pool is exhausted)".
fn failing(checks: &Checks) -> String {
    let failing: Vec<String> = checks
        .checks
        .iter()
        .filter(|(_, check)| !check.healthy)
        .map(|(name, check)| format!("{name} ({})", check.error.as_deref().unwrap_or("not healthy")))
        .collect();
    if failing.is_empty() { "it says that it is not ready".to_owned() } else { failing.join(", ") }
}
