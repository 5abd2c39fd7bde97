//! `scalebot drill`: carries out commands on a fleet of local processes, as a person at the console sees it.
//!
//! The state directory holds everything: the log, the transcript of the log channel, the world's socket. A drill that
//! was killed is taken up where its log says that it was; one that ends by itself ends its world.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesOrdered;
use scalebot_commands::request::Word;
use scalebot_commands::steps::{Finished, Outcome};
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::OperationId;

use super::duty::Next;
use super::lines::Lines;
use super::persona::{Line, Said};
use super::rehearsal::{Entered, Rehearsal, Taken};
use super::settings::Settings;
use super::state::{Locked, State};
use crate::cli::DrillArgs;
use crate::operation_command;
use crate::state_dir::StateDir;
use crate::stop::Stop;

/// How long load runs before the first command, so that there is something to measure.
const WARM_UP: Duration = Duration::from_secs(10);

/// Somebody interrupted it.
const INTERRUPTED: u8 = 130;

/// How many commands are answered beside an operation at the same time; the next line is read after that.
const ANSWERED_AT_ONCE: usize = 16;

/// How a drill ended.
enum End {
    /// By itself; whether everything was done as asked.
    Done { as_asked: bool },
    /// Somebody interrupted it.
    Interrupted,
    /// Another process has taken over.
    Fenced,
}

/// Another process has taken the log over: whatever is here is its business now.
struct Fenced;

/// Runs a drill and returns its exit code.
pub(crate) async fn run(args: DrillArgs) -> ExitCode {
    drill(args, None).await
}

/// Carries that unfinished operation on, and nothing else; returns the exit code of its end.
pub(crate) async fn resume(dir: &StateDir, operation: &OperationId) -> ExitCode {
    match DrillArgs::resuming(dir.path()) {
        Ok(args) => drill(args, Some(operation)).await,
        Err(why) => unusable(&why.to_string()),
    }
}

async fn drill(args: DrillArgs, only: Option<&OperationId>) -> ExitCode {
    let stop = Stop::listen();
    let state = match State::open(args.state.as_deref()) {
        Ok(state) => state,
        Err(why) => return unusable(&why),
    };
    let _lock = match state.lock() {
        Ok(Locked::Ours(lock)) => lock,
        Ok(Locked::Held(holder)) => {
            return unusable(&in_use(state.dir.path(), &holder));
        }
        Err(why) => return unusable(&why),
    };
    if state.dir.mark().exists() {
        return unusable(&of_a_service(state.dir.path()));
    }
    // With the lock in hand nobody else can end it any more.
    if let Some(operation) = only
        && let Err(code) = operation_command::must_be_unfinished(&state.dir, operation).await
    {
        return code;
    }
    let entered = tokio::select! {
        biased;
        _ = stop.requested() => {
            eprintln!("{}", interrupted(state.dir.path()));
            state.keep();
            return ExitCode::from(INTERRUPTED);
        }
        entered = Rehearsal::enter(&state, &args) => entered,
    };
    let (rehearsal, entered) = match entered {
        Ok(entered) => entered,
        Err(why) => return unusable(&why),
    };
    let end = tokio::select! {
        biased;
        _ = stop.requested() => End::Interrupted,
        course = Box::pin(carry_out(&rehearsal, entered, &args, only.is_some())) => match course {
            Ok(as_asked) => End::Done { as_asked },
            Err(Fenced) => End::Fenced,
        },
    };
    match end {
        End::Interrupted => {
            rehearsal.say(&interrupted(state.dir.path()));
            rehearsal.pause().await;
            state.keep();
            ExitCode::from(INTERRUPTED)
        }
        // Neither its posts nor its world are this process's any more.
        End::Fenced => {
            state.keep();
            ExitCode::FAILURE
        }
        End::Done { as_asked } => {
            rehearsal.duty.say_what_is_open().await;
            let left = tokio::select! {
                biased;
                _ = stop.requested() => None,
                ended = rehearsal.leave() => Some(ended),
            };
            let Some(ended) = left else {
                eprintln!(
                    "Interrupted as everything was done. The rehearsal's world may need some seconds more to end."
                );
                state.keep();
                return ExitCode::from(INTERRUPTED);
            };
            let fine = as_asked && ended;
            if let Some(said) = state.close(fine) {
                eprintln!("{said}");
            }
            if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}

/// What somebody is told who interrupts it.
pub(super) fn interrupted(dir: &Path) -> String {
    format!(
        "Interrupted. Nothing is lost, and the fleet goes on for 10 min.\nTo take it up again, type:\n  scalebot drill --state {}",
        as_typed(dir)
    )
}

/// What somebody is told whose directory is another drill's.
pub(super) fn in_use(dir: &Path, holder: &str) -> String {
    format!(
        "{} is in use by another drill ({holder}).\nWait until it ends, or choose another --state directory.",
        dir.display()
    )
}

/// What somebody is told whose directory is a service's: its operations are none of a rehearsal's.
fn of_a_service(dir: &Path) -> String {
    format!(
        "{} is the state of a service.\nName another --state directory, or the service's --config FILE.",
        dir.display()
    )
}

/// What somebody is told whose operation cannot go on by itself.
pub(crate) fn parked(dir: &Path, operation: &OperationId, why: &str) -> String {
    let (id, dir) = (operation.short(), as_typed(dir));
    format!(
        "Operation {id} cannot go on by itself: {why}.\nNothing further is done to the fleet, and nothing else can be done to it meanwhile.\nTo see what is on record, type:\n  scalebot operation show {id} --state {dir}\nTo give it up and free the fleet, leave this drill and type:\n  scalebot operation abandon {id} --reason \"…\" --state {dir}"
    )
}

/// A path as it is typed in a shell.
fn as_typed(path: &Path) -> String {
    StateDir::new(path).as_typed()
}

fn unusable(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// Everything that was asked for, in turn. Whether all of it was done.
async fn carry_out(
    rehearsal: &Rehearsal,
    entered: Entered,
    args: &DrillArgs,
    only_unfinished: bool,
) -> Result<bool, Fenced> {
    let mut as_asked = true;
    let mut lines = if args.commands.is_empty() {
        Lines::typed(std::io::stdin().is_terminal())
    } else {
        Lines::given(&args.commands)
    };
    match entered {
        Entered::Unfinished(operation) => as_asked &= attend(rehearsal, operation, &mut lines).await?,
        Entered::Fresh => rehearsal.warm_up(WARM_UP).await,
        Entered::Living => {}
    }
    if only_unfinished {
        return Ok(as_asked);
    }
    loop {
        if lines.are_awaited() {
            rehearsal.prompt();
        }
        let taken = match rehearsal.duty.or_begun(lines.next()).await {
            None => break,
            Some(Next::Begun(begin)) => rehearsal.begin(&begin).await,
            Some(Next::Line(line)) => {
                let Line { by, said } = rehearsal.duty.hear(line, &mut as_asked).await;
                match said {
                    Said::Nothing | Said::Acknowledge(_) | Said::Start | Said::Dismiss => Taken::Answered,
                    Said::Quit => break,
                    Said::Command(text) => rehearsal.take(&text, &by, None).await,
                    Said::Cancel => {
                        rehearsal.take(Word::Cancel.form(), &by, None).await;
                        Taken::Refused
                    }
                    said => {
                        rehearsal.nothing_open(&said);
                        Taken::Refused
                    }
                }
            }
        };
        match taken {
            Taken::Opened(operation) => as_asked &= attend(rehearsal, operation, &mut lines).await?,
            Taken::Answered => {}
            Taken::Refused => as_asked = false,
        }
    }
    Ok(as_asked)
}

/// Carries an operation through, while people may say something to it; and whatever they open as it ends. Whether all of
/// it was done as asked.
async fn attend(rehearsal: &Rehearsal, operation: OperationId, lines: &mut Lines) -> Result<bool, Fenced> {
    let mut as_asked = true;
    let mut opened = VecDeque::from([operation]);
    while let Some(operation) = opened.pop_front() {
        let (under_way, inbox) = rehearsal.under_way(operation.clone());
        let under_way = &under_way;
        let mut running = std::pin::pin!(rehearsal.carry_out(under_way, inbox));
        // What is asked meanwhile is answered beside the operation, which must not wait for it.
        let mut answering = FuturesOrdered::new();
        let mut note = |taken: Taken| match taken {
            Taken::Opened(next) => {
                opened.push_back(next);
                true
            }
            Taken::Answered => true,
            Taken::Refused => false,
        };
        let ended = loop {
            let line = tokio::select! {
                biased;
                ended = &mut running => break ended,
                Some(taken) = answering.next(), if !answering.is_empty() => {
                    as_asked &= note(taken);
                    continue;
                }
                line = lines.next_while_busy(rehearsal.asked()), if answering.len() < ANSWERED_AT_ONCE => line,
            };
            let Line { by, said } = rehearsal.duty.hear(line, &mut as_asked).await;
            let text = match said {
                // Usually the desk says who has the fleet. As an operation ends, the next may be opened already.
                Said::Command(text) => text,
                Said::Cancel => Word::Cancel.form().to_owned(),
                said => {
                    as_asked &= rehearsal.pass_on(&under_way.signals, Line { by, said });
                    continue;
                }
            };
            rehearsal.typed();
            answering.push_back(async move { rehearsal.take(&text, &by, Some(under_way)).await });
        };
        while let Some(taken) = answering.next().await {
            as_asked &= note(taken);
        }
        as_asked &= was_done(rehearsal, &operation, &ended)?;
    }
    Ok(as_asked)
}

fn was_done(rehearsal: &Rehearsal, operation: &OperationId, ended: &Ended) -> Result<bool, Fenced> {
    match ended {
        Ended::Finished(finished) => Ok(is_as_asked(finished)),
        Ended::Parked(why) => {
            rehearsal.say(&parked(rehearsal.dir(), operation, why));
            Ok(false)
        }
        Ended::Fenced(why) => {
            rehearsal.say(&format!("Another process has taken over, so this one stops: {why}."));
            Err(Fenced)
        }
    }
}

/// Inconclusive keeps the fleet and is still no success.
fn is_as_asked(finished: &Finished) -> bool {
    use scalebot_commands::judge::Verdict;
    finished.outcome == Outcome::Completed && finished.verdict != Some(Verdict::Inconclusive)
}

/// What the world is started with.
pub(super) fn settings(args: &DrillArgs) -> Settings {
    let DrillArgs { instances, load, seed, halted, fault, fleet, .. } = *args;
    Settings { instances, load, seed, halted, fault, fleet }
}
