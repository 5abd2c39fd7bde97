//! The invariants: what must hold whatever happens, checked at the moment at which it could be broken.

mod approvals;
mod duty;
mod effects;
mod times;

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_commands::event::{Event, Kind, Proof};
use scalebot_commands::halt::SourceSays;
use scalebot_commands::journal::{Fence, GUARD_LIMIT, Signal};
use scalebot_commands::ports::{Post, RemoveOrder, ScaleOrder};
use scalebot_commands::units::{OperationId, Replicas, Timestamp};
use serde_json::Value;

use self::approvals::{Approvals, Written};
use self::duty::SeenDuty;
use self::effects::{Effects, Intent};
use self::times::Times;
use super::changes::Changes;
use super::model::{Model, Ordered, SimHalt};
use super::ports::{head, is};

/// What has been seen of everything.
#[derive(Default)]
pub(super) struct Judge {
    pub(super) violations: Vec<String>,
    proof: Proof,
    operations: BTreeMap<OperationId, Operation>,
    /// Every look at the fleet of each process: as of when it was what it saw, if it saw anything.
    looks: BTreeMap<usize, Vec<Option<Look>>>,
    /// What each process last read of each halt source.
    halt_reads: BTreeMap<(usize, usize), HaltRead>,
    /// Signals that were handed to a process, with how many steps it has recorded since.
    handed: Vec<Handed>,
    duty: SeenDuty,
}

/// A look at the fleet: when, and the moment that it was shown.
#[derive(Clone, Copy)]
struct Look {
    at: Duration,
    as_of: Duration,
}

/// What a process read of a halt source.
#[derive(Clone, Copy)]
pub(super) struct HaltRead {
    /// When.
    pub(super) at: Duration,
    /// The moment that it was shown.
    pub(super) as_of: Duration,
    /// Whether halted, and since when; nothing as long as there is no answer.
    pub(super) said: Option<(bool, Option<Timestamp>)>,
}

/// What has been seen of one operation.
#[derive(Default)]
struct Operation {
    length: u64,
    requester: String,
    /// What it is to undo.
    undoes: Option<OperationId>,
    plan: Option<(u64, u64)>,
    effects: Effects,
    approvals: Approvals,
    times: Times,
    /// Where in the operation somebody asked for it to stop.
    cancelled: Option<u64>,
    landed: Option<Duration>,
    /// What was last looked at before it was written down what became of an intent.
    settled_on: Option<Duration>,
    set: Option<(Replicas, Replicas)>,
    changes: Changes,
    documented: bool,
    /// The count before it, once it has ended.
    from: Option<u64>,
    finished: bool,
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

    /// What that look, made then, shows is as of that moment.
    pub(super) fn saw(&mut self, process: usize, look: usize, at: Duration, as_of: Duration) {
        if let Some(look) = self.looks.entry(process).or_default().get_mut(look) {
            *look = Some(Look { at, as_of });
        }
    }

    pub(super) fn read_halt(&mut self, process: usize, source: usize, read: HaltRead) {
        self.halt_reads.insert((process, source), read);
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
        let body: Value = serde_json::from_str(&event.body).unwrap_or_default();
        let known = Kind::parse(&event.kind);
        if let Some(kind) = known {
            self.judge_duty(kind, event, &body);
        }
        let Some(id) = event.operation.clone() else { return };
        self.judge.signals(process, &id, event, body.get("step").is_some());
        let mut wrong: Vec<String> = Vec::new();
        let written = self.written(process, event);
        let now = self.now;
        let looks = self.judge.looks.get(&process).map_or(&[][..], Vec::as_slice);
        let looked_since = |moment: Duration| looks.iter().flatten().rev().take_while(move |look| look.at >= moment);
        // The last look of an operation is for its end's own record, and is not what the end was decided on.
        let decided_on = looks.split_last().and_then(|(_, before)| before.iter().rev().find_map(|look| *look));
        if is(event, Kind::Requested)
            && let Some(other) = self.judge.unfinished().first()
        {
            wrong.push(format!("it is opened while {other} has not ended: two operations on one target"));
        }

        let sources = self.halts.len();
        let reads = &self.judge.halt_reads;
        let seen = self.judge.operations.entry(id.clone()).or_default();
        if event.op_seq != seen.length + 1 {
            wrong.push(format!("op_seq {} follows {}", event.op_seq, seen.length));
        }
        seen.length = event.op_seq;
        if seen.finished {
            wrong.push(format!("{} after the end", event.kind));
        }
        if let Some(kind) = known {
            let read = || (0..sources).map(|source| reads.get(&(process, source)).copied()).collect();
            wrong.extend(seen.effects.appended((kind, event, &body), process, now, read));
            let (asked, intent) = (seen.approvals.asked(), seen.effects.last());
            wrong.extend(seen.times.appended((kind, event, &body), written, (asked, intent), &self.policy));
            seen.approvals.appended(kind, event, &body, written);
        }
        let (mut tally, mut named) = (None, None);
        if let Some(Kind::ScalingAnswered | Kind::TerminatingAnswered) = known {
            // What was found out only once somebody else had changed it too cannot be told apart.
            let otherwise = body["result"] == "unknown" && body["untouched"] == false;
            seen.settled_on = if otherwise { None } else { looked_since(Duration::ZERO).map(|look| look.as_of).next() };
        }
        match known {
            Some(Kind::Requested) => {
                body["by"].as_str().unwrap_or_default().clone_into(&mut seen.requester);
                seen.undoes = body["undoes"].as_str().map(OperationId::new);
            }
            Some(Kind::Prechecked) => {
                let count = |name: &str| body["plan"][name].as_u64();
                seen.plan = count("from").zip(count("to"));
                seen.changes.planned(&body);
            }
            Some(Kind::Approved) => tally = Some("approved"),
            Some(Kind::ClockJump) => tally = Some("clock jump"),
            Some(Kind::CancelRequested) => {
                seen.cancelled.get_or_insert(event.op_seq);
            }
            Some(Kind::ScalingAnswered) => {
                let (result, untouched) = (body["result"].as_str().unwrap_or_default(), body["untouched"] == true);
                if result == "done" && seen.landed.is_none() {
                    wrong.push("an answer says done, and nothing was done".to_owned());
                }
                if let Some(intent) = seen.effects.last().filter(|_| result != "stopped") {
                    // The earliest that any of its looks since shows: it cannot be told from here on which one it went by.
                    let as_of = looked_since(intent.at).map(|look| look.as_of).min();
                    if result == "unknown" && untouched && as_of.is_none() {
                        wrong.push("an answer says that nothing happened, and nobody looked".to_owned());
                    }
                    if result == "unknown" && untouched && seen.landed.is_some_and(|landed| as_of > Some(landed)) {
                        wrong.push("an answer says that nothing happened, and it had".to_owned());
                    }
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
                seen.from = body["from"].as_u64();
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
                let said = body["reason"].as_str().unwrap_or_default().to_lowercase();
                let named = said.contains("may still arrive") || said.contains("may have arrived since");
                if let Some(landed) = seen.landed.filter(|_| !seen.documented)
                    && decided_on.is_some_and(|look| look.as_of > landed)
                    && !(named && seen.settled_on.is_none_or(|settled_on| settled_on <= landed))
                {
                    wrong.push(format!("it ends as if nothing was changed, and it was: {}", body["reason"]));
                }
                if self.book.claims.iter().any(|held| held.operation == id) {
                    wrong.push("it has ended and still holds its target".to_owned());
                }
            }
            Some(kind) => {
                let (found, what) = seen.changes.appended(kind, &body, &self.fleet);
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

    /// By whom an event was written, and by how much that one's clock is ahead.
    fn written(&self, process: usize, event: &Event) -> Written {
        let ahead = event.time().map_or(0, |at| at.duration_since(self.wall()).as_millis());
        let thawed = self.processes.get(process).map_or(Duration::ZERO, |process| process.thawed);
        Written { process, at: self.now, ahead: i64::try_from(ahead).unwrap_or_default(), thawed }
    }

    /// An order leaves. What is wrong about that.
    pub(super) fn judge_act(&mut self, process: usize, order: &Ordered, fence: &Fence<'_>) {
        let id = order.operation().clone();
        let wrong = self.acts(process, order, fence);
        let worded = wrong.into_iter().map(|what| format!("operation {id}: {order}: {what}"));
        self.judge.violations.extend(worded);
    }

    fn acts(&mut self, process: usize, order: &Ordered, fence: &Fence<'_>) -> Vec<String> {
        let now = self.now;
        let ahead = self.wall_of(process).duration_since(self.wall()).as_millis();
        let thawed = self.processes.get(process).map_or(Duration::ZERO, |process| process.thawed);
        let written = Written { process, at: now, ahead: i64::try_from(ahead).unwrap_or_default(), thawed };
        // Where an operation is to be undone, what is gone back to is the count from before that.
        let undone = self.judge.operations.get(order.operation()).and_then(|seen| seen.undoes.clone());
        let undone = undone.and_then(|undone| self.judge.operations.get(&undone)?.from);
        let Some(seen) = self.judge.operations.get_mut(order.operation()) else {
            return vec!["an act of an operation that is not in the log".to_owned()];
        };
        let (intent, mut wrong) = match seen.effects.acts(process, order, fence) {
            Ok(acts) => acts,
            Err(what) => return vec![what],
        };
        let mut must = |holds: bool, what: String| {
            if !holds {
                wrong.push(what);
            }
        };
        let is_free = seen.changes.steering.may_change() || order.is_steering() || matches!(order, Ordered::Halt(_));
        must(is_free, "somebody steers who was to be held still before".to_owned());
        if let (Kind::Scaling, Ordered::Scale(order)) = (intent.kind, order) {
            let planned = seen.plan == Some((u64::from(order.from.0), u64::from(order.to.0)));
            must(planned, "it is not what was planned".to_owned());
        }
        let to = intent.body["to"].as_u64();
        if intent.kind == Kind::RollingBack && seen.undoes.is_some() {
            must(undone.is_some() && to == undone, "the way back leads to another count than before".to_owned());
        }
        wrong.extend(seen.changes.acts(intent.kind, &intent.body));
        if intent.kind == Kind::Halting {
            let by = intent.body["by"].as_array().map(Vec::as_slice).unwrap_or_default();
            let lost = |name: &Value| match self.people.may_decide(name.as_str().unwrap_or_default()) {
                Ok(()) => false,
                Err(since) => since.is_none_or(|since| now.saturating_sub(since) > GUARD_LIMIT),
            };
            if by.is_empty() || by.iter().any(lost) {
                wrong.push("it halts the system on the word of nobody who may say so".to_owned());
            }
        }
        if intent.is_guarded() {
            if seen.cancelled.is_some_and(|cancelled| cancelled < intent.op_seq) {
                wrong.push("it acts although it was cancelled".to_owned());
            }
            wrong.extend(guarded(intent, &self.halts, now));
            if let Some(digest) = intent.body["approval"].as_str() {
                wrong.extend(seen.approvals.acts(digest, intent, (written, &seen.requester, &self.people)));
            }
        }
        wrong
    }

    /// A post comes to the channel: it goes on where the one before ended.
    pub(super) fn judge_post(&mut self, post: &Post) {
        let last = self.channel.last().map_or(0, |(_, before)| before.last);
        let sealed = self.book.events.iter().find(|event| event.seq == post.last).map(|event| event.hash);
        let wrong = if post.first <= last {
            format!("event {} is in two posts", post.first)
        } else if post.first != last + 1 {
            format!("event {} is in no post", last + 1)
        } else if sealed != Some(post.hash) {
            format!("the post up to {} has another seal than the log", post.last)
        } else {
            return;
        };
        self.judge.violations.push(wrong);
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
        let undisturbed = self.last_disturbed.max(self.calm_since);
        if self.does_duty && self.leader().is_some() {
            wrong.extend(self.judge.duty.at_rest(self.now, undisturbed, &self.policy.escalation));
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

/// What is wrong about the guard that an intent followed from, when it is acted on.
fn guarded(intent: &Intent, halts: &[SimHalt], now: Duration) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    let oldest = intent.halt.iter().map(|read| read.map(|read| read.at)).min().flatten();
    let age = oldest.map(|oldest| now.saturating_sub(oldest));
    must(age.is_some_and(|age| age <= GUARD_LIMIT), format!("the guard's reading of the halt is {age:?} old"));
    let says: Vec<SourceSays> = serde_json::from_value(intent.body["halt"].clone()).unwrap_or_default();
    must(says.len() == halts.len(), "the guard did not read every halt source".to_owned());
    for ((says, read), halt) in says.iter().zip(&intent.halt).zip(halts) {
        if let Some(known) = says.says.known() {
            let was_told = read.and_then(|read| read.said);
            must(was_told == Some((known.halted, known.since)), format!("{} did not say that", says.source));
        }
        // What the guard was shown, at the latest, and what was so for long enough to be seen.
        let shown = read.map_or(Duration::ZERO, |read| read.as_of);
        let was_to_be_seen = now.saturating_sub(halt.since) > GUARD_LIMIT && shown >= halt.since;
        if intent.body["approval"].is_null() {
            let halted = says.says.known().is_none_or(|says| says.halted);
            must(!halted, format!("the guard read a halt, or could not tell: {}", says.source));
            must(!(halt.reading.halted && was_to_be_seen), "it acts during a halt of more than 2 s".to_owned());
        } else if was_to_be_seen && let Some(known) = says.says.known() {
            let same = (known.halted, known.since) == (halt.reading.halted, halt.reading.since);
            must(same, format!("{} has changed since it was approved", says.source));
        }
    }
    wrong
}
