//! Scaling down, steps 2 and 3 for one instance after the other: out of the balancer, its last requests, ended, gone. One
//! that cannot be ended gets requests again, so that nothing is left between two states.

use super::drain;
use super::guard::Guard;
use super::permit::{Permit, Rounds};
use super::precheck::Plan;
use super::remove;
use super::scale::Set;
use super::{Ending, Outcome};
use crate::card::in_lines;
use crate::context::Context;
use crate::halt::SourceSays;
use crate::journal::{Effected, Interrupted, Journal, Stop};
use crate::units::{InstanceId, Replicas, Timestamp};

/// What is gone by now, over every permit that it took.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    instances: Vec<InstanceId>,
    /// How many of them went under an earlier permit.
    before_this_plan: usize,
    last: Option<(Vec<SourceSays>, Timestamp)>,
}

/// Why an instance was not taken away.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// What a guard met, where it was that.
    pub stop: Option<Stop>,
    outcome: Outcome,
    why: String,
    /// What became of the instance, in words.
    state: Option<String>,
}

impl Kept {
    fn failed(why: impl Into<String>) -> Self {
        Self { stop: None, outcome: Outcome::Failed, why: why.into(), state: None }
    }

    fn stopped(stop: Stop) -> Self {
        let outcome = match &stop {
            Stop::Cancelled(_) => Outcome::Cancelled,
            Stop::Halted(_) | Stop::Void(_) | Stop::Changed(_) => Outcome::Refused,
            Stop::Gone(_) | Stop::Unknown(_) => Outcome::Failed,
        };
        let why = stop.why().to_owned();
        Self { stop: Some(stop), outcome, why, state: None }
    }

    /// Of an effect that was not done, or of which that is not known.
    fn of<I>(effected: Effected<I>, what: &str) -> Self {
        match effected {
            Effected::Stopped(stop) => Self::stopped(stop),
            Effected::Refused(why) => Self::failed(format!("it was refused to {what}: {why}")),
            Effected::Contended(why) => Self::failed(format!("somebody else kept changing the fleet: {why}")),
            Effected::Unknown(why) => Self::failed(format!("it is not known whether this was done: {what} ({why})")),
            Effected::Done(..) => Self::failed(format!("it was done and is not wanted any more: {what}")),
        }
    }
}

impl Gone {
    /// A new plan is carried out from here.
    pub fn under_a_new_plan(&mut self) {
        self.before_this_plan = self.instances.len();
    }

    fn under_this_plan(&self) -> &[InstanceId] {
        self.instances.get(self.before_this_plan..).unwrap_or_default()
    }

    /// What the last change was made on, for whoever watches what follows.
    pub fn set(self) -> Option<Set> {
        let (halt, at) = self.last?;
        Some(Set { halt, at })
    }

    /// How an operation ends that could not take away the next one.
    pub fn ending(&self, kept: Kept, plan: &Plan, known_good: Option<Replicas>) -> Ending {
        let mut lines = vec![kept.why.clone()];
        lines.extend(kept.state);
        let interference = match &kept.stop {
            Some(Stop::Changed(what)) => Some(what.clone()),
            _ => None,
        };
        let plan = Plan { from: known_good.unwrap_or(plan.from), ..plan.clone() };
        let mut ending = if self.instances.is_empty() {
            lines.push("No instance was ended.".to_owned());
            Ending::before_any_change(kept.outcome, Some(plan), in_lines(lines))
        } else {
            let outcome = if kept.outcome == Outcome::Cancelled { kept.outcome } else { Outcome::Failed };
            lines.push(self.words());
            Ending::after_the_change(outcome, &plan, in_lines(lines))
        };
        ending.interference = interference;
        ending
    }

    /// The same end, with what was done before it came.
    pub fn so_far(&self, ending: Ending) -> Ending {
        if self.instances.is_empty() {
            return ending;
        }
        let outcome = if ending.outcome == Outcome::Cancelled { ending.outcome } else { Outcome::Failed };
        let reason = format!(
            "{}\n{}",
            ending.reason.replace("Nothing was changed.", "Nothing further was changed."),
            self.words()
        );
        Ending { outcome, reason, changed_the_fleet: true, ..ending }
    }

    fn words(&self) -> String {
        let names = self.instances.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
        format!(
            "{names} {} ended before that. /scale rollback starts as many again.",
            if self.instances.len() == 1 { "was" } else { "were" }
        )
    }
}

/// Takes the plan's next instance away: the one after those that are gone.
///
/// # Errors
/// The inner one: why it stays.
pub async fn of_next(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    (plan, permit): (&Plan, &Permit),
    rounds: &mut Rounds,
    gone: &mut Gone,
) -> Result<Result<(), Kept>, Interrupted> {
    let Some(victim) = plan.victims.get(gone.under_this_plan().len()) else {
        return Ok(Err(Kept::failed("the plan names too few instances")));
    };
    let instance = &victim.instance;
    let prefix = rounds.prefix();
    let removed = gone.under_this_plan();
    let guard = Guard { cx, plan, permit, removed, begun: !removed.is_empty() };

    // Step 2: Drain Instance
    let drained = drain::out_of_the_balancer(journal, &prefix, guard, instance).await?;
    let since = match drained {
        Effected::Done(_, at) => at,
        otherwise => {
            let unknown = matches!(otherwise, Effected::Unknown(_));
            let kept = Kept::of(otherwise, &format!("send {instance} no new requests"));
            return if unknown { put_back(cx, journal, &prefix, instance, kept).await } else { Ok(Err(kept)) };
        }
    };
    let last = drain::last_requests(cx, journal, &prefix, instance, since).await?.body;
    if let Some(why) = last.objection() {
        let cancelled = last.ended == drain::DrainEnded::Cancelled;
        let kept = if cancelled { Kept::stopped(Stop::Cancelled(why)) } else { Kept::failed(why) };
        return put_back(cx, journal, &prefix, instance, kept).await;
    }

    // Step 3: Remove Instance
    let guard = Guard { begun: true, ..guard };
    let (halt, at) = match remove::exactly(journal, &prefix, guard, instance).await? {
        Effected::Done(intent, at) => (intent.halt, at),
        // Whether it is ending is not known, so it gets no requests that it might not answer.
        Effected::Unknown(why) => {
            let mut kept = Kept::failed(format!("it is not known whether {instance} was told to end: {why}"));
            kept.state = Some(format!("{instance} gets no requests. Look at the fleet before you ask again"));
            return Ok(Err(kept));
        }
        otherwise => {
            let kept = Kept::of(otherwise, &format!("end {instance}"));
            return put_back(cx, journal, &prefix, instance, kept).await;
        }
    };
    let seen = remove::gone(cx, journal, &prefix, instance).await?;
    rounds.has_changed(plan.from);
    gone.instances.push(instance.clone());
    gone.last = Some((halt, seen.at.max(at)));
    if seen.body.still_there.is_empty() {
        return Ok(Ok(()));
    }
    let waited = seen.body.waited;
    Ok(Err(Kept::failed(format!("{instance} was told to end and is still there after {waited}"))))
}

async fn put_back(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    prefix: &str,
    instance: &InstanceId,
    mut kept: Kept,
) -> Result<Result<(), Kept>, Interrupted> {
    kept.state = Some(match drain::put_back(cx, journal, prefix, instance).await? {
        Ok(()) => format!("{instance} gets requests again"),
        Err(why) => format!("{instance} may still get no requests: {why}. Put it back into the balancer"),
    });
    Ok(Err(kept))
}
