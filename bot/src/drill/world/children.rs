//! One instance's process: how it is started, followed, and ended.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum as _;
use rustix::process::{Pid, Signal, kill_process};
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdin, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::World;
use super::book::{Member, Order, Starting};
use super::looks::Looks;
use crate::drill::settings::Fault;

/// How long a process may take to say where it listens.
const ADDRESS: Duration = Duration::from_secs(10);

/// When an instance that was told to end is killed: after everything that it may take by the shutdown order (30 s for
/// requests in flight, 60 s for constitutional work) and 30 s more.
const LAST_RESORT: Duration = Duration::from_mins(2);

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

/// Follows one instance from its start to its end, and the forwarder's looks at it to theirs.
pub(super) async fn live(world: Arc<World>, starting: Starting, fault: Option<Fault>) {
    let Starting { id, number, mut orders } = starting;
    let begun = tokio::select! {
        begun = begin(&world, &id, number, fault) => begun,
        // What was begun is killed with its handle.
        () = world.told_to_end() => Err("the world ended".to_owned()),
    };
    let (left, looks) = match begun {
        Ok(mut process) => {
            let left = process.follow(&mut orders).await;
            // Its last words are kept before anybody learns that it is gone.
            let _ = timeout(LAST_MOMENTS, process.log).await;
            (left, Some(process.looks))
        }
        Err(detail) => (Left::Failed(detail), None),
    };
    // From here on nobody can tell it anything: that is how the book knows that there is no process.
    drop(orders);
    match left {
        Left::Failed(detail) => {
            eprintln!("{} {id}: {detail}", Timestamp::now());
            world.write(|book| {
                let leaving = book.member(&id).is_some_and(Member::is_leaving);
                if leaving { book.remove(&id) } else { book.see(&id, InstanceState::Failed, Some(detail)) }
            });
        }
        Left::AsOrdered => world.write(|book| book.remove(&id)),
    }
    if let Some(mut looks) = looks {
        tokio::select! {
            () = looks.until_silent(&world, &id) => {}
            () = world.told_to_end() => {}
        }
    }
    if world.book().member(&id).is_none() {
        world.routes().forget(&id);
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
async fn begin<'a>(
    world: &'a Arc<World>,
    id: &'a InstanceId,
    number: u32,
    fault: Option<Fault>,
) -> Result<Process<'a>, String> {
    let mut command = Command::new(this_program());
    command.args(["drill-instance", "--name", id.as_str(), "--store"]).arg(&world.socket);
    command.args(["--seed", &world.settings.seed.wrapping_add(u64::from(number)).to_string()]);
    if let Some(fault) = fault.and_then(|fault| fault.to_possible_value()) {
        command.args(["--fault", fault.get_name()]);
    }
    // Its standard input is the pipe that it lives by. Whatever secrets the environment holds are none of its business.
    command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("its process could not be started: {error}"))?;
    let output = child.stdout.take().ok_or("its output cannot be read")?;
    let errors = child.stderr.take().ok_or("its log cannot be read")?;
    let log = tokio::spawn(keep_log(Arc::clone(world), id.clone(), errors));
    let mut lines = BufReader::new(output).lines();
    match timeout(ADDRESS, lines.next_line()).await {
        Ok(Ok(Some(address))) => {
            world.reached_at(id, &address);
            let lifeline = child.stdin.take();
            Ok(Process { world, id, child, lifeline, log, looks: Looks::at(&address)? })
        }
        Ok(_) => match timeout(LAST_MOMENTS, child.wait()).await {
            Ok(Ok(status)) => Err(exited(status)),
            _ => Err("its process said nothing".to_owned()),
        },
        Err(_) => Err(format!("its process did not say within {} s where it listens", ADDRESS.as_secs())),
    }
}

async fn keep_log(world: Arc<World>, id: InstanceId, errors: ChildStderr) {
    if let Err(error) = world.logs.keep(&id, errors).await {
        eprintln!("{} {id}: its log cannot be kept: {error}", Timestamp::now());
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
    log: JoinHandle<()>,
    looks: Looks,
}

impl Process<'_> {
    /// Follows the running process until it has ended: by itself, as it was told to, or with the world.
    async fn follow(&mut self, orders: &mut mpsc::UnboundedReceiver<Order>) -> Left {
        // When a process that was told to end is killed.
        let mut last: Option<Instant> = None;
        loop {
            let deadline = last.unwrap_or_else(|| Instant::now() + LAST_RESORT);
            tokio::select! {
                status = self.child.wait() => {
                    return match (last, status) {
                        (Some(_), Ok(status)) if status.success() => Left::AsOrdered,
                        (_, status) => Left::Failed(status.map_or_else(|error| error.to_string(), exited)),
                    };
                }
                Some(order) = orders.recv() => match order {
                    // It ends as a crash does: the next turn sees it gone.
                    Order::Kill => { let _ = self.child.start_kill(); }
                    Order::Stop if last.is_none() => {
                        self.terminate();
                        last = Some(Instant::now() + LAST_RESORT);
                    }
                    Order::Stop => {}
                },
                () = sleep_until(deadline), if last.is_some() => {
                    eprintln!("{} {} has not ended in its time and is killed", Timestamp::now(), self.id);
                    let _ = self.child.kill().await;
                }
                () = self.world.told_to_end() => {
                    self.close().await;
                    return Left::AsOrdered;
                }
                seen = self.looks.next() => if let Some((state, detail)) = seen {
                    self.world.see(self.id, state, detail);
                },
            }
        }
    }

    /// Sends SIGTERM. Until its exit is collected, which only `follow` does, the number is its own and nobody else's.
    fn terminate(&mut self) {
        let process = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let sent = process.map(|process| kill_process(process, Signal::TERM));
        if let Some(Err(error)) = sent {
            eprintln!("{} {} cannot be told to end: {error}", Timestamp::now(), self.id);
            let _ = self.child.start_kill();
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
