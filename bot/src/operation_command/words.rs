//! What `scalebot operation`, `status` and `cancel` say: what is, what it means, what to type next.

use scalebot_commands::asked::cancel::Point;
use scalebot_commands::card::clock;
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::NotHeard;
use scalebot_commands::outbox::gist;
use scalebot_commands::request::{escaped, quoted};
use scalebot_commands::steps::Finished;
use scalebot_commands::units::OperationId;

use super::record::{Holder, Operation, Overview, Sought};
use crate::control::{Busy, Cancelled};
use crate::state_dir::StateDir;

/// How many open escalations are shown.
const ESCALATIONS: usize = 5;

/// How much is shown of why something cannot go on, in characters.
const WHY: usize = 300;

/// How many operations are named where several may be meant.
const NAMED: usize = 5;

const NEVER: &str = "Nothing was ever begun here.";

/// Everything that is unfinished, and what ended last.
pub(super) fn list(dir: &StateDir, overview: Option<&Overview>) -> String {
    let Some(overview) = overview else { return NEVER.to_owned() };
    let mut lines = Vec::new();
    match overview.unfinished.as_slice() {
        [] => lines.push("Nothing is unfinished.".to_owned()),
        unfinished => {
            lines.push("Unfinished:".to_owned());
            for one in unfinished {
                lines.push(format!("  {}  {}", one.id.short(), one.asked()));
                lines.extend(state(one).map(|line| format!("    {line}")));
                lines.push(format!("    Look at it: {}", command(dir, "show", &one.id)));
            }
        }
    }
    if !overview.ended.is_empty() {
        lines.push("Ended, latest first:".to_owned());
        for one in &overview.ended {
            let end = one.events.iter().rfind(|event| event.kind == Kind::Finished.as_str());
            lines.push(format!("  {}  {}", one.id.short(), one.asked()));
            lines.extend(end.map(|end| format!("    {}  {}", at(end), gist(end))));
        }
    }
    lines.join("\n")
}

/// Everything that is on record of one operation, and what can be typed next.
pub(super) fn show(dir: &StateDir, one: &Operation, holder: &Holder) -> String {
    let mut lines = vec![format!("Operation {}", escaped(one.id.as_str(), 80)), one.asked(), String::new()];
    lines.extend(one.events.iter().map(line));
    lines.push(String::new());
    if one.held.is_some() {
        lines.push(held_by(holder));
    }
    lines.extend(next(dir, one, holder));
    lines.join("\n")
}

/// What is under way, who carries it out, and what waits for somebody.
pub(super) fn status(dir: &StateDir, overview: Option<&Overview>, holder: &Holder) -> String {
    let mut lines = Vec::new();
    let unfinished = overview.map_or(&[][..], |overview| &overview.unfinished);
    for one in unfinished {
        lines.push(format!("Operation {} is unfinished: {}", one.id.short(), one.asked()));
        lines.extend(state(one));
    }
    match (overview, unfinished) {
        (None, _) => lines.push(NEVER.to_owned()),
        (Some(_), []) => lines.push("Nothing is under way.".to_owned()),
        _ => {}
    }
    lines.push(held_by(holder));
    for one in unfinished {
        lines.push(String::new());
        lines.extend(next(dir, one, holder));
    }
    if let Some(overview) = overview.filter(|overview| !overview.escalations.is_empty()) {
        lines.push(String::new());
        lines.push(format!("Escalations that nobody has acknowledged ({}):", overview.escalations.len()));
        lines.extend(overview.escalations.iter().take(ESCALATIONS).map(|event| format!("  {}", line(event))));
        let more = overview.escalations.len().saturating_sub(ESCALATIONS);
        if more > 0 {
            lines.push(format!("  And {more} more, earlier ones."));
        }
    } else if overview.is_some() {
        lines.push(String::new());
        lines.push("No escalation waits for somebody.".to_owned());
    }
    lines.join("\n")
}

/// Who holds the state, and what they do.
fn held_by(holder: &Holder) -> String {
    match holder {
        Holder::Nobody => "No process holds this state, so nothing is carried out now.".to_owned(),
        Holder::Process { who, busy: Some(Busy { operations, .. }) } => match operations.as_slice() {
            [] => format!("This state is held by {who}, which carries nothing out now."),
            [operation] => format!("It is carried out by {who} (operation {}).", quoted(operation.short())),
            several => {
                let short: Vec<_> = several.iter().map(|operation| quoted(operation.short())).collect();
                format!("They are carried out by {who} (operations {}).", short.join(", "))
            }
        },
        Holder::Process { who, busy: None } => {
            format!("This state is held by {who}, which does not say what it does. It may be just beginning or ending.")
        }
    }
}

/// What an unfinished operation holds, how far it is, and whether it goes on.
fn state(one: &Operation) -> impl Iterator<Item = String> {
    let held = one.held.as_ref();
    let holds = held.map(|held| format!("Holds {} since {}.", escaped(held.target.as_str(), 80), clock(held.since)));
    let last = one.events.iter().rfind(|event| tells_how_far(event)).or_else(|| one.events.last());
    let last = last.map(|event| format!("Last on record: {}", line(event)));
    let parked = one.parked().map(|parked| format!("It cannot go on by itself: {}.", trimmed(&parked.reason)));
    let cancelled = one.is_cancelled().then(|| "Somebody has asked for it to stop.".to_owned());
    let abandoned = has(one, Kind::Abandoned).then(|| "It was abandoned, and its end is not on record yet.".to_owned());
    [holds, last, parked, cancelled, abandoned].into_iter().flatten()
}

/// Whether an event says how far an operation is, rather than that it waits or was looked at.
fn tells_how_far(event: &Event) -> bool {
    let aside = [Kind::Resumed, Kind::ClockJump, Kind::Parked, Kind::Escalated, Kind::CancelRequested, Kind::Abandoned];
    !aside.iter().any(|kind| kind.as_str() == event.kind)
}

/// What can be typed next.
fn next(dir: &StateDir, one: &Operation, holder: &Holder) -> Vec<String> {
    let step = |what: &str, command: String| [what.to_owned(), format!("  {command}")];
    let resume = || command(dir, "resume", &one.id);
    let abandon = || format!("scalebot operation abandon {} --reason \"…\" {}", one.id.short(), dir.option());
    let cancel = || format!("scalebot cancel {}", dir.option());
    if one.held.is_none() {
        return vec!["It has ended. Nothing is left to be done about it.".to_owned()];
    }
    if has(one, Kind::Abandoned) {
        return step("It was abandoned. To put its end on record and free the fleet, type:", abandon()).into();
    }
    let mut lines = Vec::new();
    if let (Some(_), Holder::Process { who, .. }) = (one.parked(), holder) {
        lines.push(format!("It waits for a person, and {who} still holds this state: leave that one first."));
    } else if let Holder::Process { .. } = holder {
        if !one.is_cancelled() {
            lines.extend(step("To ask it to stop, type:", cancel()));
        }
        return lines;
    }
    if one.parked().is_some() {
        lines.extend(step("When the cause is gone, carry it on:", resume()));
        lines.extend(step("To give it up and free the fleet, as it is then:", abandon()));
        return lines;
    }
    lines.extend(step("To carry it on, type:", resume()));
    if !one.is_cancelled() {
        lines.extend(step("To have it end when it is carried on, first type:", cancel()));
    }
    lines.extend(step("To give it up and leave the fleet as it is, type:", abandon()));
    lines
}

/// An operation that has ended cannot be resumed.
pub(super) fn ended_already(one: &Operation) -> String {
    let end = one.events.iter().rfind(|event| event.kind == Kind::Finished.as_str());
    let how = end.map_or_else(String::new, |end| format!("\n{}", line(end)));
    format!("Operation {} is not unfinished, so there is nothing to carry on.{how}", one.id.short())
}

/// No operation bears that name.
pub(super) fn unknown(id: &str) -> String {
    format!("There is no operation {} here.\nscalebot operation list shows what there is.", quoted(id))
}

/// The name means none or several.
pub(super) fn not_found(id: &str, sought: &Sought) -> String {
    match sought {
        Sought::Several(these) => {
            let mut lines = vec![format!("{} may mean {} operations. Write more of it:", quoted(id), these.len())];
            lines.extend(these.iter().take(NAMED).map(|one| format!("  {}", quoted(one.as_str()))));
            lines.join("\n")
        }
        Sought::Nothing | Sought::Found(_) => unknown(id),
    }
}

/// Only what no process carries out can be abandoned.
pub(super) fn held(dir: &StateDir, holder: &str) -> String {
    format!(
        "Nothing was abandoned: {holder} holds this state, and may be changing the fleet now.\nAsk it to stop:\n  \
         scalebot cancel {}\nOr stop that process first; what it carries out stays as it is then.",
        dir.option()
    )
}

/// Another process leads, perhaps on another machine.
pub(super) fn led(leader: &str) -> String {
    format!(
        "Nothing was changed: {leader} leads, and may be changing the fleet now.\nSay it in chat, or type it on that \
         machine. Or stop that process first; what it carries out stays as it is then."
    )
}

/// It was abandoned. `left` is what is to be done about whom it left without requests; `None` where that cannot be told.
pub(super) fn abandoned(
    dir: &StateDir,
    operation: &OperationId,
    finished: &Finished,
    left: Option<&[String]>,
) -> String {
    let target = escaped(finished.target.as_str(), 80);
    let left = match left {
        Some([]) => String::new(),
        Some(left) => format!("{}.\n", left.join(".\n")),
        None => "Who gets no requests cannot be told: look at the balancer.\n".to_owned(),
    };
    format!(
        "Operation {} is abandoned, and {target} is free again.\nIts fleet was left as it is. Nobody looked at it: do \
         that before you ask for anything.\n{left}What was last on record:\n  scalebot operation show {} {}",
        operation.short(),
        operation.short(),
        dir.option()
    )
}

/// There is nothing to cancel.
pub(super) fn nothing_to_cancel() -> String {
    "Nothing is under way that could be cancelled.".to_owned()
}

/// The process that holds the state does not answer.
pub(super) fn deaf(dir: &StateDir, holder: &str, why: &str) -> String {
    format!(
        "It is not cancelled: {holder} holds this state and does not answer ({why}).\nInterrupt that process, as \
         Ctrl-C would; then type this once more:\n  scalebot cancel {}",
        dir.option()
    )
}

/// The process that holds the state carries nothing out.
pub(super) fn holder_is_idle(dir: &StateDir, holder: &str, overview: Option<&Overview>) -> String {
    let unfinished = overview.map_or(&[][..], |overview| &overview.unfinished);
    let mut lines = vec![format!("Nothing was cancelled: {holder} holds this state, and carries nothing out now.")];
    for one in unfinished {
        let id = one.id.short();
        lines.push(match one.parked() {
            Some(parked) => format!("Operation {id} cannot go on by itself: {}.", trimmed(&parked.reason)),
            None => format!("Operation {id} is unfinished, and just about to be carried on: try again."),
        });
        lines.push(format!("Look at it: {}", command(dir, "show", &one.id)));
    }
    lines.join("\n")
}

/// What the process made of the cancel.
pub(super) fn cancel_answered(dir: &StateDir, operation: &OperationId, answer: &Cancelled) -> String {
    let id = quoted(operation.short());
    let told = match answer {
        Cancelled::Recorded(_) => format!("Operation {id} was asked to stop, and that is on record."),
        Cancelled::Already(_) => format!("Operation {id} was asked to stop before; nothing was added."),
        Cancelled::PassedOn(_) => {
            format!("Operation {id} was asked to stop, and that is not on record yet: it may be held up.")
        }
        Cancelled::NotHeard(_) => format!("Operation {id} was not told.\n{}", NotHeard::TooMany),
        Cancelled::GoingBack(_) => format!("Operation {id} was not told.\n{}", Point::GoingBack.means()),
        Cancelled::Over(_) => format!("Operation {id} was not told.\n{}", Point::Over.means()),
        Cancelled::Offered(_) => format!("Operation {id} was not told.\n{OFFERED}"),
        Cancelled::TooLate(_) => format!("Operation {id} had ended before it could be stopped."),
    };
    let means = match answer {
        Cancelled::NotHeard(_)
        | Cancelled::GoingBack(_)
        | Cancelled::Over(_)
        | Cancelled::Offered(_)
        | Cancelled::TooLate(_) => String::new(),
        _ => format!("\n{MEANS}"),
    };
    let ends = if matches!(answer, Cancelled::TooLate(_)) { "ended" } else { "ends" };
    format!("{told}{means}\nSee how it {ends}:\n  {}", command(dir, "show", operation))
}

/// What is said while only the word on the halt is awaited.
const OFFERED: &str = "All else is done; what is left is the offer to halt the system.\nOnly a governance lead can \
                       answer or end it. It lapses by itself.";

/// What a cancel means, wherever the operation is.
const MEANS: &str = "It ends at the next point where it can be left.\nBefore the count is set, nothing is changed.\nAfter it, \
                     its summary says how many instances there are then.";

/// The cancel is on record for whoever carries the operation on.
pub(super) fn cancel_on_record(dir: &StateDir, one: &Operation, now: bool) -> String {
    let id = one.id.short();
    let told = if now {
        format!("No process carries operation {id} out now. That it is to stop is on record.")
    } else {
        format!("That operation {id} is to stop was on record before; nothing was added.")
    };
    let next = match one.parked() {
        Some(parked) => format!(
            "It cannot go on by itself, so it cannot end by itself either: {}.\nTo give it up and free the fleet, as it \
             is, type:\n  scalebot operation abandon {id} --reason \"…\" {}",
            trimmed(&parked.reason),
            dir.option()
        ),
        None => format!("It ends when it is carried on; until then it holds its fleet. Type:\n  {}", {
            command(dir, "resume", &one.id)
        }),
    };
    format!("{told}\n{next}")
}

fn has(one: &Operation, kind: Kind) -> bool {
    one.events.iter().any(|event| event.kind == kind.as_str())
}

fn command(dir: &StateDir, what: &str, operation: &OperationId) -> String {
    format!("scalebot operation {what} {} {}", quoted(operation.short()), dir.option())
}

/// An event as people read it.
fn line(event: &Event) -> String {
    let line = format!("{}  {}  {}", at(event), escaped(&event.kind, 40).replace('_', " "), gist(event));
    line.trim_end().to_owned()
}

fn at(event: &Event) -> String {
    event.time().map_or_else(|| escaped(&event.at, 40), clock)
}

/// A reason as part of a sentence.
fn trimmed(reason: &str) -> String {
    escaped(reason.replace('\n', " ").trim_end_matches('.'), WHY)
}
