//! `scalebot drill`: carries out commands on a fleet of local processes, as a person at the console sees it.
//!
//! The state directory holds everything: the log, the transcript of the log channel, the world's socket. A drill that
//! was killed is taken up where its log says that it was; one that ends by itself ends its world.

use std::collections::VecDeque;
use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use scalebot_commands::steps::{Finished, Outcome};
use scalebot_commands::supervisor::Ended;
use scalebot_commands::units::OperationId;

use super::lines::Lines;
use super::persona::{self, Line, Said};
use super::rehearsal::{Entered, Rehearsal};
use super::settings::Settings;
use super::state::{Locked, State};
use crate::cli::DrillArgs;
use crate::stop;

/// How long load runs before the first command, so that there is something to measure.
const WARM_UP: Duration = Duration::from_secs(10);

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
    let (rehearsal, entered) = match Rehearsal::enter(&state, &args).await {
        Ok(entered) => entered,
        Err(why) => return unusable(&why),
    };
    let end = tokio::select! {
        biased;
        () = stop::requested() => End::Interrupted,
        course = carry_out(&rehearsal, entered, &args) => match course {
            Ok(as_asked) => End::Done { as_asked },
            Err(Fenced) => End::Fenced,
        },
    };
    match end {
        End::Interrupted => {
            rehearsal.say(&interrupted(state.dir.path()));
            state.keep();
            ExitCode::from(130)
        }
        // Neither its posts nor its world are this process's any more.
        End::Fenced => {
            state.keep();
            ExitCode::FAILURE
        }
        End::Done { as_asked } => {
            rehearsal.duty.say_what_is_open().await;
            let ended = rehearsal.leave().await;
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

/// A path as it is typed in a shell.
fn as_typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@%,".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn unusable(why: &str) -> ExitCode {
    eprintln!("{why}");
    ExitCode::from(2)
}

/// Everything that was asked for, in turn. Whether all of it was done.
async fn carry_out(rehearsal: &Rehearsal, entered: Entered, args: &DrillArgs) -> Result<bool, Fenced> {
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
    loop {
        if lines.are_awaited() {
            rehearsal.prompt();
        }
        let Some(line) = rehearsal.duty.or_begun(lines.next()).await else { break };
        let Line { by, said } = rehearsal.duty.hear(line, &mut as_asked).await;
        match said {
            Said::Nothing | Said::Acknowledge(_) | Said::Start | Said::Dismiss => {}
            Said::Quit => break,
            Said::Help => rehearsal.say(persona::HELP),
            Said::Vote(_) | Said::Withdraw | Said::Reason(_) | Said::Attest(_) => {
                rehearsal.say("Nobody is asked anything now. Type help to see what can be typed.");
                as_asked = false;
            }
            Said::Cancel => {
                rehearsal.say("Nothing is under way that could be cancelled.");
                as_asked = false;
            }
            Said::Command(text) => match rehearsal.take(&text, &by).await {
                Some(operation) => as_asked &= attend(rehearsal, operation, &mut lines).await?,
                None => as_asked = false,
            },
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
        let (signals, inbox) = Rehearsal::signals();
        let mut running = std::pin::pin!(rehearsal.carry_out(&operation, inbox, signals.clone()));
        let ended = loop {
            let line = tokio::select! {
                biased;
                ended = &mut running => break ended,
                line = lines.next_while_busy(rehearsal.open_request()) => line,
            };
            let Line { by, said } = rehearsal.duty.hear(line, &mut as_asked).await;
            match said {
                // Usually the desk says who has the fleet. As an operation ends, the next may be opened already.
                Said::Command(text) => match rehearsal.take(&text, &by).await {
                    Some(next) => opened.push_back(next),
                    None => as_asked = false,
                },
                said => as_asked &= rehearsal.pass_on(&signals, Line { by, said }),
            }
        };
        as_asked &= was_done(rehearsal, &ended)?;
    }
    Ok(as_asked)
}

fn was_done(rehearsal: &Rehearsal, ended: &Ended) -> Result<bool, Fenced> {
    match ended {
        Ended::Finished(finished) => Ok(is_as_asked(finished)),
        Ended::Parked(why) => {
            rehearsal.say(&format!("The operation cannot go on by itself: {why}."));
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
    Settings { instances: args.instances, load: args.load, seed: args.seed, halted: args.halted, fault: args.fault }
}
