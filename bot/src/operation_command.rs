//! `scalebot operation`, `status` and `cancel`: what a person on the host sees and does without any chat. Looking makes
//! no file and changes none. Doing something takes the state's lock, so that no process carries anything out meanwhile,
//! and a new epoch, so that none can afterwards.

mod record;
mod words;

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::ledger::{Storage, Taken};
use scalebot_commands::break_glass::{self, NotDone};
use scalebot_commands::desk::Abandoned;
use scalebot_commands::outbox::Outbox;
use scalebot_commands::units::{Epoch, OperationId};
use scalebot_commands::witness;
use tokio::time::{Instant, sleep, timeout};

use self::record::{Holder, Operation, Overview, Sought};
use crate::cli::{OperationArgs, OperationCommand, StateArgs};
use crate::control::{self, Cancelled, NoAnswer};
use crate::drill;
use crate::drill::state::{Locked, State};
use crate::run_command;
use crate::service::{front, in_words};
use crate::state_dir::StateDir;
use crate::storage;
use crate::system::System;

/// How long a process that holds the state may take until it can be spoken to.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Between two tries.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// How something ended, with what is said about it.
enum Ended {
    /// As asked.
    Done(String),
    /// Otherwise, and nothing is wrong with the state.
    Otherwise(String),
    /// The state cannot be used.
    Unusable(String),
}

impl Ended {
    /// Says it, and returns the exit code.
    fn said(self) -> ExitCode {
        let (text, code) = match self {
            Self::Done(text) => (text, 0),
            Self::Otherwise(text) => (text, 1),
            Self::Unusable(text) => (text, 2),
        };
        if code == 2 {
            eprintln!("{}", text.trim_end());
        } else {
            // Whoever reads no further has seen enough; the exit code says the rest.
            let _ = writeln!(std::io::stdout().lock(), "{}", text.trim_end());
        }
        ExitCode::from(code)
    }
}

/// What goes wrong on the way is a state that cannot be used.
impl From<Result<Ended, String>> for Ended {
    fn from(result: Result<Ended, String>) -> Self {
        result.unwrap_or_else(Self::Unusable)
    }
}

/// Runs `scalebot operation`.
pub(crate) async fn run(command: OperationCommand) -> ExitCode {
    match command {
        OperationCommand::List(args) => Ended::from(list(&args).await).said(),
        OperationCommand::Show { one } => Ended::from(show(&one).await).said(),
        OperationCommand::Resume { one } => Box::pin(resume(&one)).await,
        OperationCommand::Abandon { one, reason } => Ended::from(abandon(&one, reason).await).said(),
    }
}

/// Runs `scalebot status`.
pub(crate) async fn status(args: StateArgs) -> ExitCode {
    Ended::from(looked_at(&args).await).said()
}

/// Runs `scalebot cancel`.
pub(crate) async fn cancel(args: StateArgs) -> ExitCode {
    Ended::from(cancelled(&args).await).said()
}

/// Holds an operation that is to be resumed against the log.
///
/// # Errors
/// The exit code, when there is nothing to resume. Why was said.
pub(crate) async fn must_be_unfinished(dir: &StateDir, operation: &OperationId) -> Result<(), ExitCode> {
    match Operation::read(dir, operation).await {
        Ok(Some(one)) if one.held.is_some() => Ok(()),
        Ok(Some(one)) => Err(Ended::Otherwise(words::ended_already(&one)).said()),
        Ok(None) => Err(Ended::Otherwise(words::unknown(operation.as_str())).said()),
        Err(why) => Err(Ended::Unusable(why).said()),
    }
}

async fn list(args: &StateArgs) -> Result<Ended, String> {
    let dir = &StateDir::named(args)?;
    let overview = Overview::read(dir).await?;
    Ok(Ended::Done(words::list(dir, overview.as_ref())))
}

async fn show(OperationArgs { id, state }: &OperationArgs) -> Result<Ended, String> {
    let dir = &StateDir::named(state)?;
    let operation = match record::seek(dir, id).await? {
        Sought::Found(operation) => operation,
        otherwise => return Ok(Ended::Otherwise(words::not_found(id, &otherwise))),
    };
    let holder = Holder::of(dir).await?;
    Ok(match Operation::read(dir, &operation).await? {
        Some(one) => Ended::Done(words::show(dir, &one, &holder)),
        None => Ended::Otherwise(words::unknown(id)),
    })
}

async fn looked_at(args: &StateArgs) -> Result<Ended, String> {
    let dir = &StateDir::named(args)?;
    let overview = Overview::read(dir).await?;
    let holder = Holder::of(dir).await?;
    Ok(Ended::Done(words::status(dir, overview.as_ref(), &holder)))
}

async fn resume(one: &OperationArgs) -> ExitCode {
    let dir = match StateDir::named(&one.state) {
        Ok(dir) => dir,
        Err(why) => return Ended::Unusable(why).said(),
    };
    match record::seek(&dir, &one.id).await {
        Ok(Sought::Found(operation)) => match dir.config() {
            Some(config) => run_command::resume(Arc::clone(config), &operation).await,
            None => drill::command::resume(&dir, &operation).await,
        },
        Ok(otherwise) => Ended::Otherwise(words::not_found(&one.id, &otherwise)).said(),
        Err(why) => Ended::Unusable(why).said(),
    }
}

async fn abandon(OperationArgs { id, state }: &OperationArgs, reason: String) -> Result<Ended, String> {
    let dir = &StateDir::named(state)?;
    let operation = match record::seek(dir, id).await? {
        Sought::Found(operation) => operation,
        otherwise => return Ok(Ended::Otherwise(words::not_found(id, &otherwise))),
    };
    let state = State::open(Some(dir.path()))?;
    let _lock = match state.lock()? {
        Locked::Ours(lock) => lock,
        Locked::Held(holder) => return Ok(Ended::Otherwise(words::held(dir, &holder))),
    };
    let log = Log::open(dir).await?;
    let abandoned = Abandoned { by: control::myself(), reason };
    let done = break_glass::abandon(&*log.ledger, &log.system, log.epoch, &operation, &abandoned).await;
    let ended = match done {
        Ok(finished) => {
            let left = log.ledger.events_of(&operation).await.map(|events| break_glass::left_behind(&events));
            Ended::Done(words::abandoned(dir, &operation, &finished, left.as_deref().ok()))
        }
        Err(refused @ (NotDone::Unknown(_) | NotDone::Ended(..))) => Ended::Otherwise(refused.to_string()),
        Err(error @ NotDone::Interrupted(_)) => Ended::Unusable(error.to_string()),
    };
    log.close(dir).await;
    Ok(ended)
}

async fn cancelled(args: &StateArgs) -> Result<Ended, String> {
    let dir = &StateDir::named(args)?;
    // Where nothing is recorded nothing is made either.
    if Overview::read(dir).await?.is_none() {
        return Ok(Ended::Otherwise(words::nothing_to_cancel()));
    }
    let state = State::open(Some(dir.path()))?;
    let began = Instant::now();
    loop {
        let holder = match state.lock()? {
            Locked::Ours(_lock) => return cancel_unattended(dir).await,
            Locked::Held(holder) => holder,
        };
        match control::cancel(&dir.control_socket()).await {
            Ok(answers) => return answered(dir, &holder, &answers).await,
            // It is just beginning, or just ending.
            Err(NoAnswer::NotListening) if began.elapsed() < ANSWERS_WITHIN => {
                // The process here may only wait until it leads.
                if let Some(leader) =
                    record::leader(dir).await?.filter(|leader| *leader != storage::of_process(&holder))
                {
                    return Ok(Ended::Otherwise(words::led(&leader)));
                }
                sleep(TRY_EVERY).await;
            }
            Err(NoAnswer::NotListening) => return Err(words::deaf(dir, &holder, "nothing listens there")),
            Err(NoAnswer::Failed(why)) => return Err(words::deaf(dir, &holder, &why)),
        }
    }
}

/// What the process that holds the state made of it, for each operation that it carries out.
async fn answered(dir: &StateDir, holder: &str, answers: &[Cancelled]) -> Result<Ended, String> {
    if answers.is_empty() {
        let overview = Overview::read(dir).await?;
        return Ok(Ended::Otherwise(words::holder_is_idle(dir, holder, overview.as_ref())));
    }
    let text = answers
        .iter()
        .map(|answer| words::cancel_answered(dir, answer.operation(), answer))
        .collect::<Vec<_>>()
        .join("\n");
    let all = answers.iter().all(|answer| matches!(answer, Cancelled::Recorded(_) | Cancelled::Already(_)));
    Ok(if all { Ended::Done(text) } else { Ended::Otherwise(text) })
}

/// Nobody carries anything out: the cancel is put on record for whoever does.
async fn cancel_unattended(dir: &StateDir) -> Result<Ended, String> {
    let unfinished = Overview::read(dir).await?.map_or_else(Vec::new, |overview| overview.unfinished);
    if unfinished.is_empty() {
        return Ok(Ended::Otherwise(words::nothing_to_cancel()));
    }
    let log = Log::open(dir).await?;
    let mut texts = Vec::new();
    for one in &unfinished {
        match break_glass::cancel(&*log.ledger, &log.system, log.epoch, &one.id, control::myself()).await {
            Ok(now) => texts.push(words::cancel_on_record(dir, one, now)),
            Err(error) => {
                log.close(dir).await;
                return Err(error.to_string());
            }
        }
    }
    log.close(dir).await;
    Ok(Ended::Done(texts.join("\n")))
}

/// How long the log channel may take to say what it was told last.
const WITNESS: Duration = Duration::from_secs(5);

/// The log, taken over. Only with the state's lock in hand.
struct Log {
    ledger: Arc<dyn Storage>,
    epoch: Epoch,
    system: System,
}

impl Log {
    async fn open(dir: &StateDir) -> Result<Self, String> {
        storage::nothing_is_left_behind(dir).await?;
        let ledger = storage::open(dir, |_| {}).await.map_err(|error| error.to_string())?;
        // While the channel cannot be read, the glass can be broken all the same.
        if let Ok(channel) = front::log_channel(dir)
            && let Ok(Ok(Some(gap))) = timeout(WITNESS, witness::compare(&*ledger, &*channel)).await
        {
            ledger.close().await;
            return Err(in_words(&gap, &dir.option()));
        }
        let taken = ledger.lead(&storage::myself()).await;
        let epoch = match taken.map_err(|error| error.to_string()) {
            Ok(Taken::Ours(epoch)) => epoch,
            Ok(Taken::Led(led)) => {
                ledger.close().await;
                return Err(words::led(&led.by));
            }
            Err(why) => {
                ledger.close().await;
                return Err(why);
            }
        };
        Ok(Self { ledger, epoch, system: System::new() })
    }

    /// Tells the log channel, and leaves the log complete by itself.
    async fn close(self, dir: &StateDir) {
        let told = match front::log_channel(dir) {
            Ok(channel) => {
                let outbox =
                    Outbox { ledger: &*self.ledger, posts: &*self.ledger, channel: &*channel, world: &self.system };
                outbox.flush(true).await.map_err(|error| error.to_string())
            }
            Err(why) => Err(why),
        };
        if let Err(why) = told {
            eprintln!("The log channel could not be told; whoever uses this state next tells it: {why}");
        }
        self.ledger.resign().await;
        self.ledger.close().await;
    }
}
