//! Scaling down, steps 2 and 3 for one instance after the other: out of the balancer, its last requests, ended, gone. One
//! that cannot be ended gets requests again, so that nothing is left between two states.
//!
//! Where nobody can name who is ended, nobody can be taken out of the balancer before. Then all have to be free, since it
//! may be any of them, and each answers its last requests as it ends; the orchestrator is asked for one at a time all the
//! same, so that the load, the halt and who else has changed something are looked at between two.

use super::drain::{self, DrainEnded, PutBack};
use super::guard::Guard;
use super::permit::{Permit, Rounds};
use super::precheck::Plan;
use super::remove::{Turn, Was};
use super::scale::Set;
use super::{Ending, Outcome};
use super::{quiet, reassess, remove};
use crate::card::{in_lines, sentence};
use crate::context::Context;
use crate::halt::SourceSays;
use crate::journal::{Effected, Interrupted, Journal, Stop};
use crate::mutation::mutated;
use crate::units::{InstanceId, Replicas, Timestamp};

/// What is gone by now, over every permit that it took.
#[derive(Clone, Debug, Default)]
pub struct Gone {
    instances: Vec<InstanceId>,
    /// How many of them went under an earlier permit.
    before_this_plan: usize,
    last: Option<(Vec<SourceSays>, Timestamp)>,
    /// Who may be told to end by a request that is still on its way, and under what it was sent.
    on_its_way: Option<Box<(Plan, Permit, Turn)>>,
    /// What is not as it was, in words.
    left: Vec<String>,
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
    /// Whether it is in another state than before.
    is_not_as_before: bool,
    /// Whether it may have been ended all the same.
    may_be_ended: bool,
}

impl Kept {
    fn failed(why: impl Into<String>) -> Self {
        let (outcome, why) = (Outcome::Failed, why.into());
        Self { stop: None, outcome, why, state: None, is_not_as_before: false, may_be_ended: false }
    }

    fn stopped(stop: Stop) -> Self {
        let outcome = match &stop {
            Stop::Cancelled(_) => Outcome::Cancelled,
            Stop::Halted(_) | Stop::Void(_) | Stop::Changed(_) | Stop::OverLimit(_) => Outcome::Refused,
            Stop::Gone(_) | Stop::Unknown(_) => Outcome::Failed,
        };
        let why = stop.why().to_owned();
        Self { stop: Some(stop), outcome, why, state: None, is_not_as_before: false, may_be_ended: false }
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

    /// Whether what kept the next instance is a matter for governance, and may be put to it once more.
    pub fn may_be_asked_again(&mut self, kept: &Kept, rounds: &mut Rounds) -> bool {
        let again = kept.stop.as_ref().is_some_and(|stop| rounds.may_ask_again(stop));
        if again && kept.is_not_as_before {
            self.left.extend(kept.state.clone());
        }
        again
    }

    fn under_this_plan(&self) -> &[InstanceId] {
        self.instances.get(self.before_this_plan..).unwrap_or_default()
    }

    /// Whose turn it is by the plan: the one after those that are gone.
    fn next(&self, plan: &Plan) -> Option<Turn> {
        let gone = self.under_this_plan().len();
        if gone >= plan.fewer() {
            return None;
        }
        match plan.unnamed {
            Some(_) => Some(Turn::one_of(Replicas(plan.from.0.saturating_sub(u32::try_from(gone).ok()?)))),
            None => plan.victims.get(gone).map(|victim| Turn::Named(victim.instance.clone())),
        }
    }

    /// The plan as it was carried out: with whom the orchestrator has chosen.
    pub fn carried_out(&self, plan: Plan) -> Plan {
        plan.with_who_went(self.under_this_plan())
    }

    /// What the last change was made on, for whoever watches what follows.
    pub fn set(self) -> Option<Set> {
        let (halt, at) = self.last?;
        Some(Set { halt, at })
    }

    /// How an operation ends that could not take away the next one.
    pub fn ending(&self, kept: Kept, plan: &Plan, known_good: Option<Replicas>) -> Ending {
        let mut lines = vec![kept.why.clone()];
        lines.extend(kept.state.filter(|state| !self.left.contains(state)));
        let interference = match &kept.stop {
            Some(Stop::Changed(what)) => Some(what.clone()),
            _ => None,
        };
        let plan = Plan { from: known_good.unwrap_or(plan.from), ..self.carried_out(plan.clone()) };
        let mut ending = if self.instances.is_empty() && kept.may_be_ended {
            Ending::after_the_change(kept.outcome, &plan, in_lines(lines)).left_half_done()
        } else if self.instances.is_empty() {
            lines.push("No instance was ended.".to_owned());
            Ending::before_any_change(kept.outcome, Some(plan), in_lines(lines))
        } else {
            Ending::after_the_change(kept.outcome, &plan, in_lines(lines))
        };
        ending.interference = interference;
        self.with_what_was_done(ending)
    }

    /// The same end, with what was done before it came.
    fn with_what_was_done(&self, ending: Ending) -> Ending {
        let mut lines = vec![ending.reason.replace("Nothing was changed.", "Nothing further was changed.")];
        lines.extend(self.left.iter().map(|left| sentence(left)));
        if self.instances.is_empty() {
            if self.left.is_empty() {
                return ending;
            }
            return Ending { reason: lines.join("\n"), ..ending }.left_half_done();
        }
        lines.push(self.words());
        let outcome = if ending.outcome == Outcome::Cancelled { ending.outcome } else { Outcome::Failed };
        Ending { outcome, reason: lines.join("\n"), changed_the_fleet: true, ..ending }.left_half_done()
    }

    fn words(&self) -> String {
        let names = self.instances.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
        format!(
            "{names} {} ended before that. /scale rollback starts as many again.",
            if self.instances.len() == 1 { "was" } else { "were" }
        )
    }
}

/// Before the next plan is made, and before the operation ends: a request that was on its way may have arrived.
pub async fn what_arrived(cx: &Context<'_>, journal: &mut Journal<'_>, gone: &mut Gone) -> Result<(), Interrupted> {
    let Some(on_its_way) = gone.on_its_way.take() else { return Ok(()) };
    let (plan, permit, turn) = &*on_its_way;
    let removed = gone.under_this_plan().to_vec();
    let guard = Guard { cx, plan, permit, removed: &removed, ending: 0, begun: true };
    if let Some(Effected::Done(intent, at)) = remove::settle(journal, guard, turn).await? {
        gone.left.clear();
        gone.last = Some((intent.halt, at));
        match turn {
            Turn::Named(instance) => gone.instances.push(instance.clone()),
            Turn::Unnamed { .. } => {
                let seen = remove::gone(journal, "late/", guard, turn).await?;
                gone.instances.extend(seen.body.instances);
            }
        }
    } else {
        gone.on_its_way = Some(on_its_way);
    }
    Ok(())
}

/// How an operation ends that gets no permit for what is left of it.
pub async fn so_far(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    mut gone: Gone,
    ending: Ending,
) -> Result<Ending, Interrupted> {
    what_arrived(cx, journal, &mut gone).await?;
    Ok(gone.with_what_was_done(ending))
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
    let Some(turn) = gone.next(plan) else {
        return Ok(Err(Kept::failed("the plan names too few instances")));
    };
    let prefix = rounds.prefix();
    let removed = gone.under_this_plan();
    if !removed.is_empty() {
        let reassessed = reassess::load(cx, journal, &prefix, &turn).await?.body;
        if let Some(why) = reassessed.objection(permit) {
            return Ok(Err(Kept::stopped(Stop::OverLimit(why))));
        }
    }
    let guard = Guard { cx, plan, permit, removed, ending: 0, begun: !removed.is_empty() };

    // Step 2: Drain Instance
    let drained = match &turn {
        Turn::Named(instance) => drain(cx, journal, &prefix, guard, instance).await?,
        Turn::Unnamed { .. } => all_are_free(journal, &prefix, guard, &turn).await?,
    };
    let was = match drained {
        Ok(was) => was,
        Err(kept) => return Ok(Err(kept)),
    };

    // Step 3: Remove Instance
    let guard = Guard { begun: guard.begun || was == Was::TakenOut, ..guard };
    let who = turn.words();
    let (halt, at) = match remove::one(journal, &prefix, guard, &turn, was).await? {
        Effected::Done(intent, at) => (intent.halt, at),
        // Whether it is ending is not known, so it gets no requests that it might not answer.
        Effected::Unknown(why) => {
            let mut kept = Kept::failed(format!("it is not known whether {who} was told to end: {why}"));
            kept.may_be_ended = true;
            kept.state = Some(match was {
                Was::TakenOut => format!("{who} gets no requests. Look at the fleet before you ask again"),
                Was::LeftIn => "Look at the fleet before you ask again".to_owned(),
            });
            return Ok(Err(kept));
        }
        otherwise if remove::may_still_end(journal, guard, &turn) => {
            let mut kept = Kept::of(otherwise, &format!("end {who}"));
            gone.on_its_way = Some(Box::new((plan.clone(), permit.clone(), turn)));
            kept.is_not_as_before = true;
            let without = if was == Was::TakenOut { ", so it gets no requests" } else { "" };
            kept.state = Some(format!(
                "a request to end {who} may still arrive{without}. Look at the fleet before you ask again"
            ));
            return Ok(Err(kept));
        }
        otherwise => {
            let kept = Kept::of(otherwise, &format!("end {who}"));
            return match &turn {
                Turn::Named(instance) => put_back(cx, journal, &prefix, (instance, was), kept).await.map(Err),
                Turn::Unnamed { .. } => Ok(Err(kept)),
            };
        }
    };
    let seen = remove::gone(journal, &prefix, guard, &turn).await?;
    rounds.has_changed(plan.from);
    gone.instances.extend(seen.body.instances.iter().cloned());
    gone.last = Some((halt, seen.at.max(at)));
    if let Some(what) = seen.body.interference {
        return Ok(Err(Kept::stopped(Stop::Changed(what))));
    }
    let went: Vec<&str> = seen.body.instances.iter().map(InstanceId::as_str).collect();
    let waited = seen.body.waited;
    Ok(match (went.as_slice(), seen.body.still_there.as_slice()) {
        ([_], []) => Ok(()),
        ([], _) => Err(Kept::failed(format!("the count was lowered, and {who} is not seen to end after {waited}"))),
        ([one], _) => Err(Kept::failed(format!("{one} was told to end and is still there after {waited}"))),
        (more, _) => {
            Err(Kept::stopped(Stop::Changed(format!("{who} was to end, and these have: {}", more.join(", ")))))
        }
    })
}

/// Takes the instance out of the balancer, where that is done by an order, and waits for its last requests.
///
/// # Errors
/// The inner one: why it stays.
async fn drain(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
) -> Result<Result<Was, Kept>, Interrupted> {
    let by_order = drain::is_by_order(cx, journal, &drain::key(prefix, instance), instance).await;
    let was = if by_order { Was::TakenOut } else { Was::LeftIn };
    let last = if by_order {
        let since = match drain::out_of_the_balancer(journal, prefix, guard, instance).await? {
            Effected::Done(_, at) => at,
            otherwise => {
                let unknown = matches!(otherwise, Effected::Unknown(_));
                let kept = Kept::of(otherwise, &format!("send {instance} no new requests"));
                return if unknown {
                    put_back(cx, journal, prefix, (instance, was), kept).await.map(Err)
                } else {
                    Ok(Err(kept))
                };
            }
        };
        drain::last_requests(journal, prefix, guard, instance, since).await?.body
    } else {
        drain::until_free(journal, prefix, guard, instance).await?.body
    };
    if let Some(why) = last.objection().filter(|_| !mutated!(EndBusy)) {
        let kept = match last.ended {
            DrainEnded::Cancelled => Kept::stopped(Stop::Cancelled(why)),
            DrainEnded::Interfered => Kept::stopped(Stop::Changed(why)),
            _ => Kept::failed(why),
        };
        return put_back(cx, journal, prefix, (instance, was), kept).await.map(Err);
    }
    Ok(Ok(was))
}

/// Waits until nobody works on anything that must not be cut off, since it may be any of them that ends.
///
/// # Errors
/// The inner one: why nobody is ended.
async fn all_are_free(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    turn: &Turn,
) -> Result<Result<Was, Kept>, Interrupted> {
    let quiesced = quiet::until_all_are_free(journal, prefix, guard, turn).await?.body;
    Ok(match quiesced.objection() {
        Some(stop) if !mutated!(EndBusy) => Err(match stop {
            Stop::Unknown(why) | Stop::OverLimit(why) => Kept::failed(why),
            stop => Kept::stopped(stop),
        }),
        _ => Ok(Was::LeftIn),
    })
}

async fn put_back(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    prefix: &str,
    (instance, was): (&InstanceId, Was),
    mut kept: Kept,
) -> Result<Kept, Interrupted> {
    if was == Was::LeftIn || mutated!(LeaveDrained) {
        return Ok(kept);
    }
    kept.state = Some(match drain::put_back(cx, journal, prefix, instance).await? {
        PutBack::Done => format!("{instance} gets requests again"),
        PutBack::Gone(how) => {
            // One that has failed may come to itself again, and would still get none.
            kept.is_not_as_before = true;
            format!("{how}, so it gets no requests")
        }
        PutBack::Unknown(why) => {
            kept.is_not_as_before = true;
            format!("{instance} may still get no requests: {why}. Put it back into the balancer")
        }
    });
    Ok(kept)
}
