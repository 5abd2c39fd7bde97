//! The invariants: what must hold whatever happens, checked at the moment at which it could be broken.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_commands::approval::BoundHalt;
use scalebot_commands::event::{Event, Kind, Proof};
use scalebot_commands::journal::{Fence, GUARD_LIMIT, Signal};
use scalebot_commands::ports::{RemoveOrder, ScaleOrder};
use scalebot_commands::steps::scale::Scaling;
use scalebot_commands::units::{Epoch, OperationId, Replicas};
use serde_json::Value;

use super::changes::{Changes, Known};
use super::model::{Model, Ordered};
use super::ports::{head, is};

/// What has been seen of everything.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) violations: Vec<String>,
    proof: Proof,
    operations: BTreeMap<OperationId, Operation>,
    /// Every look at the fleet of each process: when it saw what it saw, if it did.
    looks: BTreeMap<usize, Vec<Option<Duration>>>,
    /// When each process last read each halt source.
    halt_reads: BTreeMap<(usize, usize), Duration>,
    /// Signals that were handed to a process, with how many steps it has recorded since.
    handed: Vec<Handed>,
}

/// What has been seen of one operation.
#[derive(Default)]
struct Operation {
    length: u64,
    plan: Option<(u64, u64)>,
    intents: Vec<Intent>,
    /// What was approved, by the request's digest: each halt source's word.
    asked: BTreeMap<String, Vec<BoundHalt>>,
    approved: Vec<String>,
    cancelled: bool,
    landed: Option<Duration>,
    set: Option<(Replicas, Replicas)>,
    changes: Changes,
    documented: bool,
    finished: bool,
}

struct Intent {
    scaling: Scaling,
    process: usize,
    epoch: Epoch,
    at: Duration,
    read_at: Option<Duration>,
    acted: bool,
    answered: bool,
}

struct Handed {
    process: usize,
    operation: OperationId,
    kind: &'static str,
    steps: u32,
}

/// How many steps of an operation may be recorded before a signal is.
const STEPS_BEFORE_HEARD: u32 = 4;

impl Judge {
    /// A process looks at the fleet; the number of that look.
    pub(super) fn looks(&mut self, process: usize) -> usize {
        let looks = self.looks.entry(process).or_default();
        looks.push(None);
        looks.len() - 1
    }

    /// What that look shows is as of now.
    pub(super) fn saw(&mut self, process: usize, look: usize, now: Duration) {
        if let Some(look) = self.looks.entry(process).or_default().get_mut(look) {
            *look = Some(now);
        }
    }

    pub(super) fn read_halt(&mut self, process: usize, source: usize, now: Duration) {
        self.halt_reads.insert((process, source), now);
    }

    pub(super) fn landed(&mut self, now: Duration, order: &ScaleOrder) {
        let operation = self.operations.entry(order.operation.clone()).or_default();
        operation.landed = Some(now);
        if operation.set.replace((order.from, order.to)) == Some((order.from, order.to)) {
            self.violations.push(format!("operation {} has set the count twice", order.operation));
        }
    }

    pub(super) fn handed(&mut self, process: usize, operation: &OperationId, signal: &Signal) {
        let kind = match signal {
            Signal::Cancel(_) => Kind::CancelRequested,
            Signal::Cast(_) => Kind::VoteCast,
            Signal::Withdrawn(_) => Kind::VoteWithdrawn,
            Signal::Reason(_) => Kind::ReasonGiven,
            Signal::Attest(_) => Kind::AttestationGiven,
        };
        self.handed.push(Handed { process, operation: operation.clone(), kind: kind.as_str(), steps: 0 });
    }

    pub(super) fn died(&mut self, process: usize) {
        self.handed.retain(|handed| handed.process != process);
    }

    fn signals(&mut self, process: usize, operation: &OperationId, event: &Event, is_step: bool) {
        let mine = |handed: &Handed| handed.process == process && handed.operation == *operation;
        if let Some(heard) = self.handed.iter().position(|handed| mine(handed) && handed.kind == event.kind) {
            self.handed.remove(heard);
        }
        if is(event, Kind::Finished) {
            self.handed.retain(|handed| handed.operation != *operation);
        } else if is_step {
            for handed in self.handed.iter_mut().filter(|handed| mine(handed)) {
                handed.steps += 1;
                if handed.steps > STEPS_BEFORE_HEARD {
                    self.violations.push(format!("a {} handed to process {process} is lost", handed.kind));
                }
            }
        }
    }

    pub(super) fn removed(&mut self, now: Duration, order: &RemoveOrder) {
        let operation = self.operations.entry(order.operation.clone()).or_default();
        operation.landed = Some(now);
    }

    /// What the operation had planned to take away, and whom it found there.
    pub(super) fn changes(&self, operation: &OperationId) -> Option<&Changes> {
        self.operations.get(operation).map(|seen| &seen.changes)
    }

    /// Which operations have not ended.
    pub(super) fn unfinished(&self) -> Vec<&OperationId> {
        self.operations.iter().filter(|(_, seen)| !seen.finished).map(|(operation, _)| operation).collect()
    }
}

impl Model {
    /// An event was appended: by whom, and what it says is held against what is known.
    pub(super) fn appended(&mut self, process: usize, event: &Event) {
        if let Err(broken) = self.judge.proof.take(event) {
            self.judge.violations.push(broken.to_string());
        }
        self.people_react(event);
        let Some(id) = event.operation.clone() else { return };
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        self.judge.signals(process, &id, event, body.get("step").is_some());
        let mut wrong: Vec<String> = Vec::new();
        let now = self.now;
        let halted = |source| self.judge.halt_reads.get(&(process, source)).copied();
        let read_at = (0..self.halts.len()).map(halted).min().flatten();
        let looks = self.judge.looks.get(&process).map_or(&[][..], Vec::as_slice);
        let last_seen = looks.iter().rev().find_map(|look| *look);
        // The last look of an operation is for its end's own record, and is not what the end was decided on.
        let decided_on = looks.split_last().and_then(|(_, before)| before.iter().rev().find_map(|look| *look));

        let seen = self.judge.operations.entry(id.clone()).or_default();
        if event.op_seq != seen.length + 1 {
            wrong.push(format!("op_seq {} follows {}", event.op_seq, seen.length));
        }
        seen.length = event.op_seq;
        if seen.finished {
            wrong.push(format!("{} after the end", event.kind));
        }
        let (mut tally, mut named) = (None, None);
        match Kind::parse(&event.kind) {
            Some(Kind::Prechecked) => {
                let count = |name: &str| body["plan"][name].as_u64();
                seen.plan = count("from").zip(count("to"));
                seen.changes.planned(&body);
            }
            Some(Kind::ApprovalRequested) => {
                let halt = serde_json::from_value(body["bound"]["halt"].clone()).unwrap_or_default();
                seen.asked.insert(body["digest"].as_str().unwrap_or_default().to_owned(), halt);
            }
            Some(Kind::Approved) => {
                tally = Some("approved");
                seen.approved.push(body["request"].as_str().unwrap_or_default().to_owned());
            }
            Some(Kind::CancelRequested) => seen.cancelled = true,
            Some(Kind::Scaling) => {
                if seen.intents.last().is_some_and(|before| !before.answered) {
                    wrong.push("an intent follows one that was not answered".to_owned());
                }
                let mut fields = body.clone();
                fields.as_object_mut().map(|fields| (fields.remove("step"), fields.remove("v")));
                match serde_json::from_value(fields) {
                    Ok(scaling) => {
                        let epoch = event.epoch;
                        let intent =
                            Intent { scaling, process, epoch, at: now, read_at, acted: false, answered: false };
                        seen.intents.push(intent);
                    }
                    Err(error) => wrong.push(format!("an intent that cannot be read ({error})")),
                }
            }
            Some(Kind::ScalingAnswered) => {
                let (result, untouched) = (body["result"].as_str().unwrap_or_default(), body["untouched"] == true);
                if result == "done" && seen.landed.is_none() {
                    wrong.push("an answer says done, and nothing was done".to_owned());
                }
                if let Some(intent) = seen.intents.last_mut().filter(|_| result != "stopped") {
                    let looked = last_seen.filter(|seen| *seen >= intent.at);
                    if result == "unknown" && untouched && looked.is_none() {
                        wrong.push("an answer says that nothing happened, and nobody looked".to_owned());
                    }
                    if result == "unknown" && untouched && seen.landed.is_some_and(|landed| looked > Some(landed)) {
                        wrong.push("an answer says that nothing happened, and it had".to_owned());
                    }
                    intent.answered = true;
                }
                tally = Some(match (result, body["adopted"] == true) {
                    ("done", true) if body["step"].as_str().is_some_and(|step| step.ends_with("/found")) => {
                        "found late"
                    }
                    ("done", true) => "adopted",
                    ("done", false) => "done",
                    ("unknown", _) if untouched => "untouched",
                    ("unknown", _) => "unknown",
                    ("conflict", _) => "conflict",
                    ("late", _) => "late",
                    ("refused", _) => "refused by the orchestrator",
                    _ => "stopped by the guard",
                });
            }
            Some(Kind::Monitored) => {
                let kept = self.book.samples.get(&id).map(|kept| kept.values().map(|load| load.window.0).collect());
                let kept: Vec<u64> = kept.unwrap_or_default();
                let told = (body["samples"].as_u64(), body["observed"].as_u64());
                if told != (Some(kept.len() as u64), Some(kept.iter().sum())) {
                    wrong.push(format!("{told:?} samples and ms were monitored, and {kept:?} are kept"));
                }
            }
            Some(Kind::Documented) => seen.documented = true,
            Some(Kind::Resumed) => tally = Some("resumed"),
            Some(Kind::Parked) => {
                wrong.push(format!("it is parked, and nobody changed the program: {}", body["reason"]));
            }
            Some(Kind::Finished) => {
                seen.finished = true;
                named = seen.changes.steering.appended(Kind::Finished, &body);
                tally = Some(match body["outcome"].as_str() {
                    Some("completed") => "finished: completed",
                    Some("cancelled") => "finished: cancelled",
                    Some("refused") => "finished: refused",
                    Some("expired") => "finished: expired",
                    Some("rejected") => "finished: rejected",
                    Some("rolled_back") => "finished: rolled back",
                    _ => "finished: failed",
                });
                if let Some(landed) = seen.landed.filter(|_| !seen.documented)
                    && decided_on > Some(landed)
                {
                    wrong.push(format!("it ends as if nothing was changed, and it was: {}", body["reason"]));
                }
                if self.book.claims.iter().any(|held| held.operation == id) {
                    wrong.push("it has ended and still holds its target".to_owned());
                }
            }
            Some(kind) => {
                let (found, what) =
                    seen.changes.appended(kind, &body, (process, event.epoch, now, read_at), &self.fleet);
                wrong.extend(found);
                tally = what;
            }
            None => {}
        }
        if is(event, Kind::Finished) {
            wrong.extend(self.judge.operations[&id].changes.ended(&id, &body, &self.fleet));
            wrong.extend(self.judge_held(&id));
        }
        if self.book.claims.len() > 1 {
            wrong.push("two operations hold the target".to_owned());
        }
        self.judge.violations.extend(wrong.into_iter().map(|what| format!("operation {id}: {what}")));
        for tally in tally.into_iter().chain(named) {
            self.count(tally);
        }
    }

    /// A request to scale leaves. What is wrong about that.
    pub(super) fn judge_act(&mut self, process: usize, order: &Ordered, fence: &Fence<'_>) -> Vec<String> {
        let (now, halts) = (self.now, &self.halts);
        let Some(seen) = self.judge.operations.get_mut(order.operation()) else {
            return vec!["an act of an operation that is not in the log".to_owned()];
        };
        if seen.changes.is_theirs(process, order) {
            let known =
                Known { now, halts, fence, cancelled: seen.cancelled, approved: &seen.approved, asked: &seen.asked };
            let wrong = seen.changes.acts(process, order, &known);
            return wrong.into_iter().map(|what| format!("operation {}: {what}", order.operation())).collect();
        }
        let Ordered::Scale(order) = order else { return vec!["an order that no intent names".to_owned()] };
        // A process that was overtaken a moment ago may still act on what it announced before.
        let Some(intent) = seen.intents.iter_mut().rev().find(|intent| intent.process == process) else {
            return vec!["an act without an intent".to_owned()];
        };
        let scaling = &intent.scaling;
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: String| {
            if !holds {
                wrong.push(format!("operation {}: {what}", order.operation));
            }
        };
        let named = (&scaling.identity, scaling.from, scaling.to, &scaling.version);
        must(
            named == (&order.identity, order.from, order.to, &order.version),
            "an act that no intent names".to_owned(),
        );
        must(intent.epoch == fence.epoch(), "the fence is of another epoch than the intent".to_owned());
        must(fence.operation() == &order.operation, "the fence is another operation's".to_owned());
        must(!intent.acted, "one intent is acted on twice".to_owned());
        must(seen.changes.steering.may_change(), "somebody steers who was to be held still before".to_owned());
        intent.acted = true;
        let planned = seen.plan == Some((u64::from(order.from.0), u64::from(order.to.0)));
        must(planned, format!("{} → {} is not what was planned", order.from, order.to));
        must(!seen.cancelled, "it acts although it was cancelled".to_owned());
        let age = intent.read_at.map(|read_at| now - read_at);
        must(age.is_some_and(|age| age <= GUARD_LIMIT), format!("the guard's reading of the halt is {age:?} old"));
        match &scaling.approval {
            None => {
                let says_halted = scaling.halt.iter().any(|says| says.says.known().is_none_or(|says| says.halted));
                must(!says_halted, "it acts although the guard read a halt".to_owned());
                let halted = halts.iter().any(|halt| halt.reading.halted && now - halt.since > GUARD_LIMIT);
                must(!halted, "it acts during a halt of more than 2 s, without approval".to_owned());
            }
            Some(digest) => {
                must(seen.approved.contains(digest), "it acts on an approval that was not given".to_owned());
                let bound = seen.asked.get(digest);
                must(bound == Some(&BoundHalt::of(&scaling.halt)), "the halt is not the one approved".to_owned());
                for (halt, bound) in halts.iter().zip(bound.into_iter().flatten()) {
                    let approved = bound.halted == Some(halt.reading.halted) && bound.since == halt.reading.since;
                    // A source that cannot be read may be approved as that.
                    let known = bound.halted.is_some() && now - halt.since > GUARD_LIMIT;
                    must(approved || !known, format!("{} has changed since it was approved", bound.source));
                }
            }
        }
        wrong
    }

    /// What is wrong when everything has come to rest.
    pub(super) fn judge_end(&mut self) {
        let mut wrong = Vec::new();
        for operation in self.judge.unfinished() {
            wrong.push(format!(
                "operation {operation} has not ended, {} min after the faults did",
                LIMIT.as_secs() / 60
            ));
        }
        // A request to hold it may have arrived after the end.
        let held = self.holder().and_then(|operation| self.judge_held(operation));
        wrong.extend(held.map(|what| format!("when all is at rest: {what}")));
        if self.judge.proof.head() != head(&self.book.events) {
            wrong.push("the chain was not proved to its end".to_owned());
        }
        let mut last = 0;
        for (_, post) in &self.channel {
            let sealed = self.book.events.iter().find(|event| event.seq == post.last).map(|event| event.hash);
            if post.first != last + 1 || sealed != Some(post.hash) {
                wrong.push(format!("a post of {} to {} follows one that ended at {last}", post.first, post.last));
            }
            last = post.last;
        }
        if last != head(&self.book.events).0 {
            wrong.push(format!("{last} of {} events were posted", self.book.events.len()));
        }
        self.judge.violations.extend(wrong);
    }
}

/// Within this time after the faults everything must have ended: three rounds of approval, the longest waits, and one
/// operation after the other.
pub(super) const LIMIT: Duration = Duration::from_mins(90);
