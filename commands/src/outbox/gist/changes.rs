//! The words of scaling down, of the way back, and of what outlives an operation.

use serde_json::{Map, Value};

use super::{TEXT, after_that, answered, names, read, safe, short};
use crate::checks::Follows;
use crate::desk::Abandoned;
use crate::escalation::{Acknowledged, Reescalated};
use crate::event::Kind;
use crate::follow_up::FollowUpClosed;
use crate::steps::back::{LogsSaved, RolledBack, RollingBack, WayBack, WayBackAsked, WayBackDecided};
use crate::steps::drain::{DrainEnded, Drained, Routing};
use crate::steps::halt_offer::{HaltAnswered, HaltOffered, Halting};
use crate::steps::hold::{Holding, Releasing};
use crate::steps::interference::Interference;
use crate::steps::permit::Overridden;
use crate::steps::quiet::{Busy, Quiesced, QuietEnded};
use crate::steps::reassess::Reassessed;
use crate::steps::remove::{Terminated, Terminating};
use crate::trigger::{Dismissed, Proposed};
use crate::units::{InstanceId, Person};

pub(super) fn words(kind: Kind, body: &Map<String, Value>) -> Option<String> {
    Some(match kind {
        Kind::Holding => {
            let hold = read::<Holding>(body)?.hold;
            format!("about to hold {} still: {}", safe(&hold.who, TEXT), safe(&hold.how, TEXT))
        }
        Kind::HoldingAnswered => answered(&read(body)?, "held still for the operation"),
        Kind::Releasing => format!("about to put {} back", safe(&read::<Releasing>(body)?.held.name, TEXT)),
        Kind::ReleasingAnswered => answered(&read(body)?, "put back to what it was before"),
        Kind::Quiesced => quiesced(&read(body)?),
        Kind::Reassessed => reassessed(&read(body)?),
        Kind::Draining => format!("about to send {} no new requests", read::<Routing>(body)?.instance),
        Kind::DrainingAnswered => answered(&read(body)?, "it gets no new requests"),
        Kind::Drained => drained(&read(body)?),
        Kind::Readmitting => format!("about to send {} requests again", read::<Routing>(body)?.instance),
        Kind::ReadmittingAnswered => answered(&read(body)?, "it gets requests again"),
        Kind::Terminating => {
            let Terminating { from, to, instances, approval, .. } = read(body)?;
            let under = approval.as_deref().map(|request| format!(", approved by request {}", short(request)));
            let whom =
                if instances.is_empty() { "one, as the orchestrator chooses".to_owned() } else { names(&instances) };
            format!("about to end {whom}: {from} → {to}{}", under.unwrap_or_default())
        }
        Kind::TerminatingAnswered => answered(&read(body)?, "told to end"),
        Kind::Terminated => terminated(&read(body)?),
        Kind::WayBackAsked => {
            let WayBackAsked { digest, because, to, within } = read(body)?;
            format!("back to {to}? For {within}, question {}: {}", short(&digest), safe(&because, TEXT))
        }
        Kind::WayBack => way_back(&read(body)?),
        Kind::LogsSaved => logs_saved(&read(body)?),
        Kind::RollingBack => {
            let RollingBack { from, to, instances, .. } = read(body)?;
            let ended = if instances.is_empty() { String::new() } else { format!(", ending {}", names(&instances)) };
            format!("about to go back: {from} → {to}{ended}")
        }
        Kind::RollingBackAnswered => answered(&read(body)?, "the count is back"),
        Kind::RolledBack => rolled_back(&read(body)?),
        Kind::HaltOffered => {
            let HaltOffered { because, within, digest } = read(body)?;
            format!("to governance, for {within}, offer {}: {}", short(&digest), safe(&because, TEXT))
        }
        Kind::HaltAnswered => halt_answered(&read(body)?),
        Kind::Halting => format!("about to halt the system, on the word of {}", people(&read::<Halting>(body)?.by)),
        Kind::HaltingAnswered => answered(&read(body)?, "the system is halted"),
        Kind::Interference => read::<Interference>(body)?.what,
        Kind::Overridden => {
            let Overridden { by, request, checks, reason } = read(body)?;
            let checks = checks.join(", ");
            format!("{} lifted {checks}, request {}: {}", people(&by), short(&request), safe(&reason, TEXT))
        }
        Kind::Acknowledged => {
            let Acknowledged { escalation, operation, by } = read(body)?;
            format!("{by} sees to event {escalation} of operation {}", operation.short())
        }
        Kind::Reescalated => {
            let Reescalated { escalation, operation, hop, to } = read(body)?;
            let to = to.words();
            format!("said {hop} times now, to the {to}: event {escalation} of operation {}", operation.short())
        }
        Kind::Abandoned => {
            let Abandoned { by, reason } = read(body)?;
            format!("by {by}: {}", safe(&reason, TEXT))
        }
        Kind::FollowUpClosed => {
            let FollowUpClosed { follow_up, by, because } = read(body)?;
            let by = by.map_or_else(String::new, |by| format!(" by {by}"));
            format!("event {follow_up}{by}: {}", safe(&because, TEXT))
        }
        Kind::Proposed => {
            let Proposed { target, from, to, because, .. } = read(body)?;
            format!("{target} {from} → {to}: {}", safe(&because, TEXT))
        }
        Kind::Dismissed => format!("by {}", read::<Dismissed>(body)?.by),
        _ => return None,
    })
}

fn reassessed(reassessed: &Reassessed) -> String {
    let next = reassessed.next.as_ref().map_or("one more", InstanceId::as_str);
    match reassessed.checks.iter().find(|check| check.follows == Follows::Override) {
        None => format!("those that stay can carry the load without {next}"),
        Some(check) => format!("before {next} is taken away, {}: {}", check.name, safe(&check.figure, TEXT)),
    }
}

fn people(by: &[Person]) -> String {
    by.iter().map(Person::as_str).collect::<Vec<_>>().join(", ")
}

fn quiesced(quiesced: &Quiesced) -> String {
    let busy = || {
        let one = |busy: &Busy| {
            let work: Vec<String> = busy.work.iter().map(|work| safe(&work.what, TEXT)).collect();
            format!("{} works on {}", busy.instance, work.join(", "))
        };
        quiesced.busy.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    match quiesced.ended {
        QuietEnded::Quiet if quiesced.busy.is_empty() => "no instance works on anything that takes long".to_owned(),
        QuietEnded::Quiet => format!("enough instances are free: {}", busy()),
        QuietEnded::Busy => format!("too few instances are free after {}: {}", quiesced.waited, busy()),
        QuietEnded::Untold => format!("{} do not tell what they work on", names(&quiesced.untold)),
        QuietEnded::Unseen => "the fleet cannot be seen".to_owned(),
        QuietEnded::Interfered => safe(quiesced.interference.as_deref().unwrap_or_default(), TEXT),
        QuietEnded::Cancelled => "cancelled".to_owned(),
    }
}

fn drained(drained: &Drained) -> String {
    let ended = match drained.ended {
        DrainEnded::Idle => "has answered all it had",
        DrainEnded::WaitedNotMeasured => "was waited for, not measured",
        DrainEnded::AsItEnds => "answers its last requests as it ends, which is waited for and not measured",
        DrainEnded::NothingToWaitFor => "had nothing to answer",
        DrainEnded::StillBusy => "is still busy",
        DrainEnded::Interfered => "was not waited for: somebody else changed the fleet",
        DrainEnded::Unknown => "may still be busy: it cannot be told",
        DrainEnded::Cancelled => "was not waited for: cancelled",
    };
    let problem = drained.problem.as_deref().map_or_else(String::new, |problem| format!(": {}", safe(problem, TEXT)));
    format!("{} {ended}, after {}{problem}", drained.instance, drained.waited)
}

fn terminated(terminated: &Terminated) -> String {
    match terminated.still_there.as_slice() {
        [] if terminated.instances.is_empty() => format!("nobody is gone after {}", terminated.waited),
        [] => format!("{} gone after {}", names(&terminated.instances), terminated.waited),
        late => format!("{} still there after {}", names(late), terminated.waited),
    }
}

fn way_back(way_back: &WayBack) -> String {
    let decided = match way_back.decided {
        WayBackDecided::Automatic | WayBackDecided::Agreed => format!("back to {}", way_back.to),
        WayBackDecided::Declined => "left as it is, as was said".to_owned(),
        WayBackDecided::Interfered => "left as it is: somebody else changed the fleet".to_owned(),
        WayBackDecided::Unanswered => "left as it is: nobody answered".to_owned(),
        WayBackDecided::Never => "left as it is, as policy says".to_owned(),
    };
    let by = way_back.by.as_ref().map_or_else(String::new, |by| format!(" by {by}"));
    format!("{decided}{by}. {}", safe(&way_back.because, TEXT))
}

fn logs_saved(saved: &LogsSaved) -> String {
    let kept: Vec<String> = saved.kept.iter().map(|kept| format!("{}: {}", kept.instance, kept.place)).collect();
    let problems = after_that(&saved.problems);
    if kept.is_empty() { format!("none{problems}") } else { format!("{}{problems}", kept.join(", ")) }
}

fn rolled_back(back: &RolledBack) -> String {
    let problem = back.problem.as_deref().map_or_else(String::new, |problem| format!(": {}", safe(problem, TEXT)));
    let ready = back.ready.map_or_else(|| "?".to_owned(), |ready| ready.to_string());
    let done = if back.done { "back" } else { "not back" };
    let chosen = if back.chosen.is_empty() { String::new() } else { format!(", without {}", names(&back.chosen)) };
    format!("{done} at {}, {ready} ready, after {}{chosen}{problem}", back.to, back.waited)
}

fn halt_answered(answered: &HaltAnswered) -> String {
    match answered.halt {
        Some(true) => format!("halt the system, says {}", people(&answered.by)),
        Some(false) => format!("no halt, says {}", people(&answered.by)),
        None if answered.by.is_empty() => "nobody answered".to_owned(),
        None => format!("no word is awaited any more, says {}", people(&answered.by)),
    }
}
