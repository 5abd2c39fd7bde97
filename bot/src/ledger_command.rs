//! `scalebot ledger`: reads and proves the operational log. It changes none of its files, so that it can be run by an
//! auditor on a copy, or beside a living bot; only what says so in its name writes anything.

mod backup;
mod loss;
mod moving;
mod show;

#[cfg(test)]
mod tests;

use std::io::{self, BufWriter, ErrorKind, Write};
use std::ops::RangeInclusive;
use std::process::ExitCode;

use futures::StreamExt as _;
use scalebot_adapters::ledger::{Storage, StorageError};
use scalebot_commands::audit::{Audit, Audited};
use scalebot_commands::event::Event;
use scalebot_commands::ports::Announced;
use scalebot_commands::request::escaped;

use crate::cli::{LedgerCommand, StateArgs};
use crate::service::front;
use crate::state_dir::StateDir;
use crate::storage;

/// Done as asked.
const DONE: u8 = 0;
/// The log is not as it was written.
const NOT_IN_ORDER: u8 = 1;
/// The log cannot be come by.
const UNUSABLE: u8 = 2;

/// How often a log is opened again that was written to while it was read without locks.
const ATTEMPTS: usize = 5;

/// How much is said of what is wrong, in characters. It may quote what somebody put into the log.
const WRONG: usize = 1_000;

/// How many gaps between posts are named.
const GAPS: usize = 5;

/// Runs the command on standard output and standard error.
pub(crate) async fn run(command: LedgerCommand) -> ExitCode {
    let out = io::stdout().lock();
    ExitCode::from(execute(&command, &mut BufWriter::new(out), &mut io::stderr()).await)
}

/// Why a command broke off.
#[derive(Debug)]
enum Failed {
    /// What was asked for is not as it was written.
    Damaged(String),
    /// What was asked for cannot be come by.
    Unusable(String),
    /// What was said could not be written.
    Output(io::Error),
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl From<StorageError> for Failed {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Damaged(text) => Self::Damaged(text),
            StorageError::Unusable(text) | StorageError::Away(text) => Self::Unusable(text),
        }
    }
}

/// Runs the command; returns the exit code. Findings go to `out`, why nothing could be found to `err`.
async fn execute(command: &LedgerCommand, out: &mut impl Write, err: &mut impl Write) -> u8 {
    let (mut code, done) = match command {
        LedgerCommand::Verify(args) => match verify(args).await {
            Ok(verdict) => (verdict.code, out.write_all(verdict.text.as_bytes()).map_err(Failed::from)),
            Err(failed) => (UNUSABLE, Err(failed)),
        },
        LedgerCommand::Backup { state, file } => match backup::make(state, file).await {
            Ok(verdict) => (verdict.code, out.write_all(verdict.text.as_bytes()).map_err(Failed::from)),
            Err(failed) => (UNUSABLE, Err(failed)),
        },
        LedgerCommand::AcceptLoss { state, reason } => match loss::accept(state, reason).await {
            Ok(verdict) => (verdict.code, out.write_all(verdict.text.as_bytes()).map_err(Failed::from)),
            Err(why) => (UNUSABLE, Err(Failed::Unusable(why))),
        },
        LedgerCommand::Move { service, to } => match moving::carry_out(service, *to).await {
            Ok(verdict) => (verdict.code, out.write_all(verdict.text.as_bytes()).map_err(Failed::from)),
            Err(why) => (UNUSABLE, Err(Failed::Unusable(why))),
        },
        LedgerCommand::Show(args) => (DONE, print(args, out, show::line).await),
        LedgerCommand::Export(args) => (DONE, print(args, out, Event::line).await),
    };
    // What was read before something broke off is still said.
    let flushed = out.flush().map_err(Failed::from);
    let why = match done.and(flushed) {
        // Whoever read it has seen enough.
        Ok(()) => return code,
        Err(Failed::Output(error)) if error.kind() == ErrorKind::BrokenPipe => return code,
        Err(Failed::Output(error)) => {
            code = code.max(NOT_IN_ORDER);
            format!("the output could not be written ({error})")
        }
        Err(Failed::Damaged(text)) => {
            code = NOT_IN_ORDER;
            text
        }
        Err(Failed::Unusable(text)) => {
            code = UNUSABLE;
            text
        }
    };
    // Where not even this can be said, the exit code says it.
    writeln!(err, "scalebot ledger: {}", escaped(&why, WRONG)).ok();
    code
}

/// Prints every event, a line each.
async fn print(args: &StateArgs, out: &mut impl Write, line: fn(&Event) -> String) -> Result<(), Failed> {
    let state = &StateDir::named(args).map_err(Failed::Unusable)?;
    state.must_exist().map_err(Failed::Unusable)?;
    let mut printed = 0;
    for _ in 0..ATTEMPTS {
        let Some(ledger) = storage::open_to_read(state).await? else {
            let is_unused = posts(state).await?.iter().all(|post| post.foreign);
            return if is_unused { Ok(()) } else { Err(Failed::Damaged(gone(state))) };
        };
        let done = print_from(&*ledger, &mut printed, out, line).await;
        let moved_on = ledger.has_moved_on();
        ledger.close().await;
        if !moved_on || matches!(done, Err(Failed::Output(_))) {
            return done;
        }
    }
    Err(always_written(state))
}

/// Prints the events after the first `printed`, and counts them.
async fn print_from(
    ledger: &dyn Storage,
    printed: &mut usize,
    out: &mut impl Write,
    line: fn(&Event) -> String,
) -> Result<(), Failed> {
    let mut events = ledger.events().skip(*printed);
    while let Some(event) = events.next().await {
        writeln!(out, "{}", line(&event?))?;
        *printed += 1;
    }
    Ok(())
}

/// What a proof came to, in words.
struct Verdict {
    code: u8,
    text: String,
}

/// Proves the log, and compares it with the log channel.
async fn verify(args: &StateArgs) -> Result<Verdict, Failed> {
    let state = &StateDir::named(args).map_err(Failed::Unusable)?;
    state.must_exist().map_err(Failed::Unusable)?;
    // The channel first: a log that grows meanwhile then only holds more than was posted.
    let posts = posts(state).await?;
    for _ in 0..ATTEMPTS {
        let ledger = match storage::open_to_read(state).await {
            Ok(Some(ledger)) => ledger,
            Ok(None) if posts.iter().all(|post| post.foreign) => return Ok(never_used(state)),
            Ok(None) => return Ok(not_in_order(state, &gone(state), &Audit::against(posts))),
            Err(StorageError::Damaged(text)) => return Ok(not_in_order(state, &text, &Audit::against(posts))),
            Err(StorageError::Unusable(text) | StorageError::Away(text)) => return Err(Failed::Unusable(text)),
        };
        let verdict = prove(state, &*ledger, posts.clone()).await;
        let moved_on = ledger.has_moved_on();
        ledger.close().await;
        if !moved_on {
            return verdict;
        }
    }
    Err(always_written(state))
}

async fn prove(state: &StateDir, ledger: &dyn Storage, posts: Vec<Announced>) -> Result<Verdict, Failed> {
    let mut audit = Audit::against(posts);
    let mut events = ledger.events();
    while let Some(event) = events.next().await {
        let wrong = match event {
            Ok(event) => audit.take(&event).err().map(|wrong| wrong.to_string()),
            Err(StorageError::Damaged(text)) => Some(text),
            Err(StorageError::Unusable(text) | StorageError::Away(text)) => return Err(Failed::Unusable(text)),
        };
        if let Some(wrong) = wrong {
            return Ok(not_in_order(state, &wrong, &audit));
        }
    }
    Ok(match audit.finish() {
        Ok(audited) => in_order(&audited),
        Err((wrong, audit)) => not_in_order(state, &wrong.to_string(), &audit),
    })
}

fn in_order(audited: &Audited) -> Verdict {
    let Audited { events, head, unfinished, compared, unposted, suspects } = audited;
    let mut lines = vec![match events {
        0 => "The operational log is in order, and holds no event.".to_owned(),
        _ => {
            format!(
                "The operational log is in order: {}, the last with hash {head}.",
                count(*events, "event", "events")
            )
        }
    }];
    lines.push(comparison(*compared));
    if let Some(compared) = compared.filter(|compared| compared < events) {
        lines.push(format!("Not posted yet: {}.", span(&(compared + 1..=*events))));
    }
    for gap in unposted.iter().take(GAPS) {
        lines.push(format!("The log channel has no post of {}: it was removed there.", span(gap)));
    }
    if unposted.len() > GAPS {
        lines.push(format!("And {} more gaps like that.", unposted.len() - GAPS));
    }
    for suspect in suspects.iter().take(GAPS) {
        lines.push(format!("Look at this: {suspect}."));
    }
    if suspects.len() > GAPS {
        lines.push(format!("And {} more posts like that.", suspects.len() - GAPS));
    }
    if *unfinished > 0 {
        lines.push(format!("Not ended: {}.", count(*unfinished as u64, "operation", "operations")));
    }
    Verdict { code: DONE, text: lines.join("\n") + "\n" }
}

fn not_in_order(state: &StateDir, wrong: &str, audit: &Audit) -> Verdict {
    let good = match audit.in_order() {
        0 => "No event before that can be relied on.".to_owned(),
        last => format!("In order before that: {}.", span(&(1..=last))),
    };
    let text = format!(
        "The operational log is NOT in order: {}.\n{good} Do not rely on anything after.\n{}\n\
         Keep a copy of {} before anything else is done with it, and find out who had access.\n",
        escaped(wrong, WRONG),
        comparison(audit.compared()),
        whole(state),
    );
    Verdict { code: NOT_IN_ORDER, text }
}

fn never_used(state: &StateDir) -> Verdict {
    let text = format!("Nothing has been recorded in {} yet.\n{}\n", whole(state), comparison(None));
    Verdict { code: DONE, text }
}

/// What holds everything that is to be kept.
fn whole(state: &StateDir) -> String {
    match storage::server(state) {
        Some(_) => storage::place(state),
        None => state.path().display().to_string(),
    }
}

fn comparison(compared: Option<u64>) -> String {
    match compared {
        Some(seq) => format!("It was compared with the log channel up to seq {seq}."),
        None => "It was not compared with a witness.".to_owned(),
    }
}

fn gone(state: &StateDir) -> String {
    let witness = match state.config().and_then(|config| config.sections.discord.as_ref()) {
        Some(_) => "the log channel".to_owned(),
        None => state.transcript().display().to_string(),
    };
    format!("it is gone: {witness} shows that there was one, {} holds none", storage::place(state))
}

fn always_written(state: &StateDir) -> Failed {
    Failed::Unusable(format!("{} changed each time while it was read; try again", storage::place(state)))
}

async fn posts(state: &StateDir) -> Result<Vec<Announced>, Failed> {
    let channel = front::log_channel(state).map_err(Failed::Unusable)?;
    channel.sealed().await.map_err(|error| Failed::Unusable(error.to_string()))
}

fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn span(events: &RangeInclusive<u64>) -> String {
    match (events.start(), events.end()) {
        (first, last) if first == last => format!("event {first}"),
        (first, last) => format!("events {first} to {last}"),
    }
}
