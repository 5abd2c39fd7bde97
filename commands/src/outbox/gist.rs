//! What an event says, in a line for whoever reads the log channel: for each kind the words that matter. A body that
//! this version cannot read, or a kind that it does not know, is told by its plain fields.

mod changes;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::approval::{Ballot, Mark, VoteRefused};
use crate::card::{is_remark, sentence};
use crate::checks::{Check, Decision, Follows};
use crate::desk::CommandRefused;
use crate::event::{Event, Kind};
use crate::figures::{Load, percent};
use crate::journal::{Answer, Answered, CancelRequested, ClockJump, Parked, PersonsAnswer, Resumed};
use crate::request::{Direction, Requested, escaped};
use crate::steps::Finished;
use crate::steps::ask::{Attested, Rationale};
use crate::steps::assess::Assessed;
use crate::steps::document::{Documented, FollowUp};
use crate::steps::escalate::Escalated;
use crate::steps::monitor::Monitored;
use crate::steps::permit::{Asked, Decided};
use crate::steps::precheck::Prechecked;
use crate::steps::scale::Scaling;
use crate::steps::verify::{Verification, Verified};
use crate::steps::wait::Waited;
use crate::units::{InstanceId, Replicas};
use crate::witness::WitnessGap;

/// The most that is told of an event, in characters.
pub(super) const LONGEST: usize = 300;

/// The most of one text in it.
const TEXT: usize = 160;

/// What an event says, in a few words: one line, bounded, with nothing in it that a terminal or a chat would obey.
pub fn gist(event: &Event) -> String {
    let Ok(Value::Object(mut body)) = serde_json::from_str(&event.body) else {
        return "(unreadable)".to_owned();
    };
    // The journal's own fields, which no body has.
    body.remove("step");
    body.remove("v");
    let known = Kind::parse(&event.kind).and_then(|kind| words(kind, &body));
    safe(&known.unwrap_or_else(|| fields(&body)), LONGEST)
}

/// One line, escaped. Where our own texts have a line's end, a space does.
fn safe(text: &str, longest: usize) -> String {
    escaped(&text.replace('\n', " "), longest)
}

/// The plain fields, by name.
fn fields(body: &Map<String, Value>) -> String {
    let plain = body.iter().filter_map(|(name, value)| {
        let text = match value {
            Value::String(text) => safe(text, TEXT),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        Some(format!("{}: {text}", safe(name, TEXT)))
    });
    plain.collect::<Vec<_>>().join(", ")
}

fn read<T: DeserializeOwned>(body: &Map<String, Value>) -> Option<T> {
    serde_json::from_value(Value::Object(body.clone())).ok()
}

fn words(kind: Kind, body: &Map<String, Value>) -> Option<String> {
    Some(match kind {
        Kind::Requested => requested(&read(body)?),
        Kind::Assessed => assessed(&read(body)?),
        Kind::Prechecked => prechecked(&read(body)?),
        Kind::Rationale => rationale(read(body)?),
        Kind::Attested => attested(&read(body)?),
        Kind::ReasonGiven | Kind::AttestationGiven => {
            let PersonsAnswer { by, text } = read(body)?;
            format!("{by}: {}", safe(&text, TEXT))
        }
        Kind::ApprovalRequested => asked(&read(body)?),
        Kind::VoteCast | Kind::VoteWithdrawn => {
            let Ballot { by, mark, request, reason } = read(body)?;
            let mark = if mark == Mark::Approve { "approve" } else { "reject" };
            let why = reason.map_or_else(String::new, |reason| format!(": {}", safe(&reason, TEXT)));
            format!("{by}: {mark}, request {}{why}", short(&request))
        }
        Kind::VoteRefused => {
            let VoteRefused { by, why, .. } = read(body)?;
            format!("{by}: {why}")
        }
        Kind::Approved | Kind::Rejected | Kind::Expired => {
            let decided: Decided = read(body)?;
            format!("{} Request {}", decided.reason, short(&decided.request))
        }
        Kind::Scaling => {
            let scaling: Scaling = read(body)?;
            let under = scaling.approval.as_deref().map(|request| format!(", approved by request {}", short(request)));
            format!("about to set the count: {} → {}{}", scaling.from, scaling.to, under.unwrap_or_default())
        }
        Kind::ScalingAnswered => answered(&read(body)?, "the count is set"),
        Kind::Scaled | Kind::NotReady => waited(&read(body)?),
        Kind::Verified => verified(&read(body)?),
        Kind::Monitored => monitored(&read(body)?),
        Kind::Documented => documented(&read(body)?),
        Kind::Finished => finished(&read(body)?),
        Kind::CancelRequested => format!("by {}", read::<CancelRequested>(body)?.by),
        Kind::Resumed => format!("after event {} of the operation", read::<Resumed>(body)?.after),
        Kind::Parked => format!("waits for a person: {}", read::<Parked>(body)?.reason),
        Kind::Escalated => {
            let told: Escalated = read(body)?;
            format!(
                "{} to the {}: {}. {}",
                told.severity.words(),
                told.to.words(),
                told.condition.words(),
                told.because
            )
        }
        Kind::FollowUp => {
            let FollowUp { what, because } = read(body)?;
            format!("{what} {because}")
        }
        Kind::ClockJump => {
            let last = crate::card::clock(read::<ClockJump>(body)?.last);
            format!("the clock stands before the last event, which was written at {last}")
        }
        Kind::CommandRefused => {
            let CommandRefused { command, by, reason } = read(body)?;
            format!("{command} by {by}: {reason}")
        }
        Kind::WitnessGap => {
            let WitnessGap { newest, by, reason } = read(body)?;
            format!("{by} says that events up to {} posted before this are lost: {reason}", newest.last)
        }
        kind => return changes::words(kind, body),
    })
}

fn requested(requested: &Requested) -> String {
    let way = if requested.direction == Direction::Up { "up" } else { "down" };
    let why = requested.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", safe(reason, TEXT)));
    format!("{} {way} to {} by {}{why}", requested.target, requested.to, requested.by)
}

fn assessed(assessed: &Assessed) -> String {
    let fleet = match (assessed.fleet.known(), assessed.fleet.why()) {
        (Some(fleet), _) => format!("{} of {} ready", fleet.ready(), fleet.wanted),
        (None, why) => format!("the fleet could not be seen: {}", why.unwrap_or("no reason is known")),
    };
    let load = match (assessed.load.known(), assessed.load.why()) {
        (Some(load), _) => figures(load),
        (None, why) => format!("no figures: {}", why.unwrap_or("no reason is known")),
    };
    format!("{fleet}; {load}")
}

fn figures(load: &Load) -> String {
    let rate = load.requests_per_second().map(|rate| format!("{rate:.1} requests/s"));
    let p99 = load.percentiles().map(|p| format!("p99 {:.0} ms", p.p99_ms));
    let errors = load.error_share().map(|share| format!("errors {}", percent(share)));
    let known: Vec<String> = [rate, p99, errors].into_iter().flatten().collect();
    if known.is_empty() { "no figures".to_owned() } else { known.join(", ") }
}

fn prechecked(found: &Prechecked) -> String {
    let named = |which: &dyn Fn(&Check) -> bool| {
        let names: Vec<&str> = found.checks.iter().filter(|check| which(check)).map(|check| &*check.name).collect();
        (names.len(), names.join(", "))
    };
    let (remarks, remarked) = named(&is_remark);
    let all = format!("{} checks", found.checks.len());
    let because = |follows: Follows| match named(&|check| check.follows == follows) {
        (0, _) => found.reasons.join(" "),
        (_, these) => these,
    };
    match found.decision {
        Decision::Proceed if remarks == 0 => format!("may be done: {all}"),
        Decision::Proceed => {
            format!("may be done: {all}, {remarks} {} ({remarked})", if remarks == 1 { "remark" } else { "remarks" })
        }
        Decision::Approval if found.lifts.is_empty() => {
            format!("needs approval: {} ({all})", because(Follows::Approval))
        }
        Decision::Approval => format!("needs a governance lead: {} ({all})", found.lifts.join(", ")),
        Decision::Refused => format!("refused: {} ({all})", because(Follows::Refusal)),
        Decision::Failed => format!("failed: {}", found.reasons.join(" ")),
    }
}

fn rationale(rationale: Rationale) -> String {
    match (rationale.reason, rationale.by) {
        (Some(reason), Some(by)) => format!("{by}: {}", safe(&reason, TEXT)),
        (Some(reason), None) => safe(&reason, TEXT),
        (None, _) => "no reason given".to_owned(),
    }
}

fn attested(attested: &Attested) -> String {
    let instances = names(&attested.instances);
    match &attested.by {
        Some(by) => {
            let said = attested.statement.as_deref().unwrap_or_default();
            format!("{by} for the keys of {instances}: {}", safe(said, TEXT))
        }
        None => format!("nobody gave their word for the keys of {instances}"),
    }
}

fn asked(asked: &Asked) -> String {
    let Asked { digest, bound, why, decide_within, .. } = asked;
    format!("{} → {}, within {decide_within}, request {}. {}", bound.from, bound.to, short(digest), why.join(" "))
}

fn answered(answered: &Answered, done: &str) -> String {
    let result = match answered.result {
        Answer::Done => done,
        Answer::Conflict => "not done, the fleet had changed",
        Answer::Late => "not done, too late",
        Answer::Refused => "not done, the orchestrator refused",
        Answer::Unknown if answered.untouched => "not done, nothing has changed",
        Answer::Unknown => "not known whether it is done",
        Answer::Stopped => "not tried",
    };
    let detail = match (&answered.detail, &answered.stop) {
        (Some(detail), _) => format!(": {}", safe(detail, TEXT)),
        (None, Some(stop)) => format!(": {}", safe(stop.why(), TEXT)),
        (None, None) => String::new(),
    };
    let adopted = if answered.adopted { " (the answer was lost; found out by looking)" } else { "" };
    format!("{result}{detail}{adopted}")
}

fn waited(waited: &Waited) -> String {
    let problem = waited.problem.as_deref().map_or_else(String::new, |problem| format!(": {problem}"));
    format!("{} of {} ready after {}{problem}", waited.ready, waited.wanted, waited.took)
}

fn verified(verified: &Verified) -> String {
    let result = match verified.result {
        Verification::Passed => "passed",
        Verification::Inconclusive => "inconclusive",
        Verification::Failing => "failing",
        Verification::Inconsistent => "inconsistent",
    };
    let new = verified.instances.iter().filter(|examined| examined.new).count();
    let chain = match verified.pinned.as_slice() {
        [] => String::new(),
        [only] => format!(", chain compared at {only}"),
        [first, .., last] => format!(", chain compared at {first}-{last}"),
    };
    let all = crate::card::instances(count(verified.instances.len()));
    format!("{result}: {all}, {new} new{chain}, in {}{}", verified.took, after_that(&verified.problems))
}

/// What is wrong, behind what was said before.
fn after_that(problems: &[String]) -> String {
    problems.iter().flat_map(|problem| [". ", problem.trim_end_matches('.')]).collect()
}

fn monitored(monitored: &Monitored) -> String {
    let Monitored { judgement, window, observed, samples, problem, .. } = monitored;
    let p99 = judgement.fleet.latency.map_or_else(|| "p99 not known".to_owned(), |p| format!("p99 {:.0} ms", p.p99_ms));
    let errors = judgement.fleet.error_share.map_or_else(|| "not known".to_owned(), percent);
    let first = judgement.reasons.first().map_or_else(String::new, ToString::to_string);
    let why = problem.as_deref().map_or(first, sentence);
    format!("{}: {p99}, errors {errors}; {observed} of {window} observed, {samples} samples. {why}", judgement.verdict)
}

fn documented(documented: &Documented) -> String {
    let place = documented.capacity.as_deref().unwrap_or("not written");
    format!("capacity document: {}{}", safe(place, TEXT), after_that(&documented.problems))
}

fn finished(finished: &Finished) -> String {
    let verdict = finished.verdict.map_or_else(String::new, |verdict| format!(", {verdict}"));
    let known = |count: Option<Replicas>| count.map_or_else(|| "?".to_owned(), |count| count.to_string());
    let (from, now) = (known(finished.from), known(finished.ended_at));
    // Why the verdict is what it is stands in the event before.
    let why = if finished.verdict.is_none() { format!(". {}", finished.reason) } else { String::new() };
    format!("{}{verdict}: {from} → {}, {now} now{why}", finished.outcome.words(), finished.to)
}

fn names(instances: &[InstanceId]) -> String {
    instances.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", ")
}

fn count(length: usize) -> Replicas {
    Replicas(u32::try_from(length).unwrap_or(u32::MAX))
}

fn short(digest: &str) -> &str {
    digest.get(..8).unwrap_or(digest)
}
