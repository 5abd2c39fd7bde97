//! Prerequisite: no active halt, or a governance lead's approval. Whether the plan may be carried out, and under what.
//!
//! An approval that was given is checked against fresh checks before it is used. What has changed in between makes it
//! void: then a new request shows what changed, a few times at most.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use super::assess::Assessed;
use super::escalate::{self, Condition};
use super::precheck::{self, Plan, Prechecked};
use super::{Ending, Outcome};
use super::{back, body, guard, halt_offer};
use crate::approval::{self, Bound, Question, Standing, Tally, VoteRefused};
use crate::authority::{self, Action};
use crate::card;
use crate::checks::{Decision, Follows};
use crate::context::Context;
use crate::event::Kind;
use crate::halt;
use crate::journal::{Body, Heard, Interrupted, Journal, Recorded, Stop};
use crate::mutation::mutated;
use crate::patience::Deadline;
use crate::ports::Slot;
use crate::reading::Reading;
use crate::units::{Millis, Person, Replicas, Timestamp};

/// The body of `approval_requested`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// SHA-256 of `bound`, in hexadecimal; a card shows its first eight characters.
    pub digest: String,
    /// Exactly what is to be approved.
    pub bound: Bound,
    /// Why an approval is needed, one sentence each.
    pub why: Vec<String>,
    /// What is different from the request before, when this one follows a void approval.
    pub changed: Vec<String>,
    /// How long there is to decide.
    pub decide_within: Millis,
    /// How many approvals are needed.
    pub quorum: u32,
    /// Whether who asked for the operation may approve it.
    pub requester_may: bool,
    /// The checks that an approval lifts, by name; then it has to say why, and is never the requester's own.
    pub lifts: Vec<String>,
}

body!(Asked, ApprovalRequested, 1);

/// The body of `approved`, `rejected` and `expired`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Decided {
    /// What was decided.
    pub decision: Verdict,
    /// By whom; nobody when it expired.
    pub by: Vec<Person>,
    /// When the last vote that decided was read; `None` when it expired.
    pub voted_at: Option<Timestamp>,
    /// The request.
    pub request: String,
    /// How long it may be carried out, when it was approved.
    pub execute_within: Option<Millis>,
    /// In a sentence.
    pub reason: String,
}

/// What was decided on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It may be done.
    Approved,
    /// It may not.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// Who asked for the operation, or who may, cancelled it.
    Cancelled,
    /// Somebody else changed the fleet meanwhile, so that what was asked is not what would be done.
    Interfered,
}

impl Body for Decided {
    const VERSION: u32 = 1;
    fn kind(&self) -> Kind {
        match self.decision {
            Verdict::Approved => Kind::Approved,
            Verdict::Rejected => Kind::Rejected,
            Verdict::Expired | Verdict::Cancelled | Verdict::Interfered => Kind::Expired,
        }
    }
}

/// Under what the plan may be carried out.
#[derive(Clone, Debug, PartialEq)]
pub enum Permit {
    /// Nothing asks for an approval.
    NotNeeded,
    /// Governance has approved exactly this.
    Approved(Box<Approval>),
}

/// An approval that was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    /// What was asked.
    pub asked: Asked,
    /// Where in the operation it was asked.
    pub asked_at: u64,
    /// When the time to decide was over.
    pub decide_by: Timestamp,
    /// When it was given.
    pub given_at: Timestamp,
    /// How long it may be used.
    pub execute_within: Duration,
    /// How many events the operation had when it was given.
    pub length: u64,
}

/// The body of `overridden`: a governance lead has lifted what a check refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Overridden {
    /// Who.
    pub by: Vec<Person>,
    /// The request.
    pub request: String,
    /// The checks that were lifted, by name.
    pub checks: Vec<String>,
    /// Why, in their words.
    pub reason: String,
}

body!(Overridden, Overridden, 1);

/// How often the checks are made and a request is put, because what it was for has changed.
const ROUNDS: u32 = 3;

/// Where an operation is in asking for a permit.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    begun: u32,
    escalated: bool,
    changed: Vec<String>,
    /// The count to go back to, once something was changed under an earlier permit.
    known_good: Option<Replicas>,
}

impl Rounds {
    /// The round that the permit at hand was obtained in, from 1.
    pub fn number(&self) -> u32 {
        self.begun
    }

    /// Where in the journal the effects under the permit at hand stand.
    pub fn prefix(&self) -> String {
        if self.begun == 1 { String::new() } else { format!("round/{}/", self.begun) }
    }

    /// Something was changed by now: the count to go back to stays the one from before that.
    pub fn has_changed(&mut self, from: Replicas) {
        self.known_good.get_or_insert(from);
    }

    /// The count from before the first change, where there was one.
    pub fn known_good(&self) -> Option<Replicas> {
        self.known_good
    }

    /// The plan, with the count to go back to.
    fn going_back(&self, mut checked: Prechecked) -> Prechecked {
        if let (Some(known_good), Some(plan)) = (self.known_good, &mut checked.plan) {
            plan.rollback_to = known_good;
        }
        checked
    }

    /// Whether what stopped the effect is a matter for governance, and may be put to it once more.
    pub fn may_ask_again(&mut self, stop: &Stop) -> bool {
        match stop {
            Stop::Halted(why) | Stop::Void(why) if self.begun < ROUNDS => {
                self.changed = vec![why.clone()];
                true
            }
            _ => false,
        }
    }
}

/// How long it is waited before it is asked again whether people are heard.
const UNHEARD_PAUSE: Duration = Duration::from_millis(500);

/// How long what people said while nobody listened is waited for beyond the time to decide, so that it is told that it
/// came too late.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// How long whoever waits for people's words waits before it asks again who somebody is.
pub(super) const STANDING_PAUSE: Duration = Duration::from_secs(2);

/// Finds out whether the plan may be carried out, asking governance where the checks say so.
///
/// # Errors
/// The inner one: how the operation ends instead.
pub async fn obtain(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    assessed: &Assessed,
    rounds: &mut Rounds,
) -> Result<Result<(Plan, Permit), Ending>, Interrupted> {
    rounds.begun += 1;
    let mut checked = rounds.going_back(precheck::validate(cx, journal, rounds.begun, assessed).await?.body);
    loop {
        let plan = match refused(cx, journal, &checked).await? {
            Ok(plan) => plan,
            Err(ending) => return Ok(Err(ending)),
        };
        if checked.decision == Decision::Proceed {
            return Ok(Ok((plan, Permit::NotNeeded)));
        }
        let approval = match ask(cx, journal, rounds, &plan, &checked).await? {
            Ok(approval) => approval,
            Err(ending) => return Ok(Err(ending)),
        };
        // Minutes have passed since the checks. What was approved must still be what would be done, and no check that
        // passed may refuse now.
        let again = rounds.going_back(precheck::again(cx, journal, rounds.begun).await?.body);
        let now = again.plan.as_ref().map(|plan| Bound::of(cx, plan, &again));
        let changes = match &now {
            Some(now) if again.decision == Decision::Approval => approval.asked.bound.changes(now),
            _ => Vec::new(),
        };
        if again.decision == Decision::Approval && now.is_some() && changes.is_empty() {
            return Ok(Ok((plan, Permit::Approved(Box::new(approval)))));
        }
        if rounds.begun == ROUNDS && again.decision == Decision::Approval {
            let reason = format!(
                "What was approved changed {ROUNDS} times before it could be done.\n{}",
                card::in_lines(&changes)
            );
            return Ok(Err(Ending::before_any_change(Outcome::Expired, Some(plan), reason)));
        }
        rounds.begun += 1;
        rounds.changed = changes;
        checked = again;
    }
}

/// The plan, unless the checks refuse it.
async fn refused(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    checked: &Prechecked,
) -> Result<Result<Plan, Ending>, Interrupted> {
    let outcome = match (checked.decision, &checked.plan) {
        (Decision::Proceed | Decision::Approval, Some(plan)) => return Ok(Ok(plan.clone())),
        (Decision::Failed, _) => Outcome::Failed,
        _ => Outcome::Refused,
    };
    let reason = card::in_lines(&checked.reasons);
    if checked.infrastructure_limits() {
        escalate::to_role(cx, journal, "precheck/escalate", Condition::InfrastructureLimits, &reason).await?;
    }
    Ok(Err(Ending::before_any_change(outcome, checked.plan.clone(), reason)))
}

async fn ask(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    rounds: &mut Rounds,
    plan: &Plan,
    checked: &Prechecked,
) -> Result<Result<Approval, Ending>, Interrupted> {
    let rules = &cx.policy.approval;
    let round = rounds.begun;
    let bound = Bound::of(cx, plan, checked);
    let request = Asked {
        digest: bound.digest().to_string(),
        bound,
        why: checked.reasons.clone(),
        changed: rounds.changed.clone(),
        decide_within: time_to_decide(cx, checked).into(),
        quorum: rules.quorum,
        requester_may: rules.requester_may,
        lifts: checked.lifts.clone(),
    };
    let asked = journal.step(&format!("approve/{round}/ask"), |_| async { request }).await?;
    if !rounds.escalated && halt::conclude(&checked.halt).may_be_halted() {
        rounds.escalated = true;
        let why = card::in_lines(&asked.body.why);
        escalate::to_role(cx, journal, "approve/escalate", Condition::ScalingDuringHalt, &why).await?;
    }
    let decide_by = asked.at + asked.body.decide_within.duration();
    let decided = deliberate(cx, journal, (plan, round), &asked, decide_by).await?;
    cx.show(Slot::Approval, card::decided(cx, &asked.body, &decided.body)).await;
    let outcome = match decided.body.decision {
        Verdict::Approved => {
            overridden(cx, journal, round, &asked.body, &decided.body).await?;
            return Ok(Ok(Approval {
                asked: asked.body,
                asked_at: asked.op_seq,
                decide_by,
                // Counted from the vote: what came between it and this record does not lengthen anything.
                given_at: decided.body.voted_at.unwrap_or(decided.at),
                execute_within: decided.body.execute_within.unwrap_or_default().duration(),
                length: decided.op_seq,
            }));
        }
        Verdict::Rejected => Outcome::Rejected,
        // What a check refuses stays refused where nobody lifts it.
        Verdict::Expired if !asked.body.lifts.is_empty() => {
            let reason = format!("{}\n{}", card::in_lines(&checked.reasons), decided.body.reason);
            return Ok(Err(Ending::before_any_change(Outcome::Refused, Some(plan.clone()), reason)));
        }
        Verdict::Expired => Outcome::Expired,
        Verdict::Cancelled => Outcome::Cancelled,
        Verdict::Interfered => {
            let (what, reason) = (decided.body.reason, "Nothing was changed.\nAsk again if it is still wanted.");
            let ending = Ending::before_any_change(Outcome::Refused, Some(plan.clone()), format!("{what}\n{reason}"));
            return Ok(Err(ending.because_of_others(what)));
        }
    };
    Ok(Err(Ending::before_any_change(outcome, Some(plan.clone()), decided.body.reason)))
}

/// How long a lead has to decide. Where nobody attends, what only lifts a limit is not waited for: it is refused.
fn time_to_decide(cx: &Context<'_>, checked: &Prechecked) -> Duration {
    let within = cx.policy.approval.decide_within;
    let only_lifts = checked.checks.iter().all(|check| check.follows != Follows::Approval);
    if only_lifts && !cx.ports.room.attended() { within.min(UNATTENDED) } else { within }
}

/// How long a mark that lifts a limit is waited for where nobody attends.
const UNATTENDED: Duration = Duration::from_secs(5);

/// Records what was lifted, and why, where the approval lifts something.
async fn overridden(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    round: u32,
    asked: &Asked,
    decided: &Decided,
) -> Result<(), Interrupted> {
    if asked.lifts.is_empty() {
        return Ok(());
    }
    let cast = journal.heard().cast();
    let ours = cast.iter().filter(|vote| vote.ballot.request == asked.digest && decided.by.contains(&vote.ballot.by));
    let reasons: Vec<&str> = ours.filter_map(|vote| vote.ballot.reason.as_deref()).collect();
    let overridden = Overridden {
        by: decided.by.clone(),
        request: asked.digest.clone(),
        checks: asked.lifts.clone(),
        reason: crate::request::escaped(&reasons.join("; "), crate::request::MAX_REASON),
    };
    tracing::info!(operation = %cx.operation, "a governance lead has lifted what a check refused");
    journal.step(&format!("approve/{round}/override"), |_| async { overridden }).await?;
    Ok(())
}

/// Waits for governance. Every mark is recorded first and then decided on; what does not count is answered privately.
async fn deliberate(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    (plan, round): (&Plan, u32),
    asked: &Recorded<Asked>,
    decide_by: Timestamp,
) -> Result<Recorded<Decided>, Interrupted> {
    let key = format!("approve/{round}/decision");
    if let Some(decided) = journal.replay(&key)? {
        return Ok(decided);
    }
    let world = &*cx.ports.world;
    let deadline = Deadline::after(world, asked.at, asked.body.decide_within.duration());
    let heard_by = Deadline::after(world, world.now().max(decide_by), HEARD_WITHIN);
    let votes = Votes::on(&asked.body, asked.op_seq, decide_by);
    cx.show(Slot::Approval, card::asking(cx, &asked.body, deadline.left(world))).await;
    let decided = |decision, by, reason: String| Decided {
        decision,
        by,
        voted_at: None,
        request: asked.body.digest.clone(),
        execute_within: (decision == Verdict::Approved).then(|| cx.policy.approval.execute_within.into()),
        reason,
    };
    let outcome = loop {
        // Asked first: what is handed in after that is judged in the next turn.
        let hears = cx.ports.room.hears();
        journal.signals().await?;
        if journal.heard().clock_jumped_after(asked.op_seq) {
            let reason = "The clock went back while a decision was awaited, so the time to decide cannot be told.";
            break decided(Verdict::Expired, vec![], format!("{reason}\nNothing was changed. Ask again."));
        }
        if let Some(by) = journal.heard().cancelled_by() {
            break decided(Verdict::Cancelled, vec![by.clone()], format!("Cancelled by {by}.\nNothing was changed."));
        }
        let (tally, unknown) = count(cx, journal, &votes, cx.policy.time.look).await?;
        match tally {
            Tally::Approved(by) => {
                let names = by.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let voted_at = last_vote(journal, &by);
                break Decided { voted_at, ..decided(Verdict::Approved, by, format!("Approved by {names}.")) };
            }
            Tally::Rejected(by) => {
                break decided(Verdict::Rejected, vec![by.clone()], format!("Rejected by {by}.\nNothing was changed."));
            }
            Tally::Open => {}
        }
        if deadline.is_over(world) && (hears || heard_by.is_over(world)) {
            let within = asked.body.decide_within;
            let reason = format!("No governance lead decided within {within}.\nNothing was changed. Ask again.");
            break decided(Verdict::Expired, vec![], reason);
        }
        let longest = if unknown { STANDING_PAUSE } else { cx.policy.time.sample_interval() };
        let left = if deadline.is_over(world) { heard_by.left(world).min(UNHEARD_PAUSE) } else { deadline.left(world) };
        journal.listen(longest.min(left)).await?;
        // A look that failed says nothing about the fleet; before anything is done it is looked at again.
        if let Ok(fleet) = cx.fleet().await
            && let Some(what) = guard::changed_by_others(&fleet, plan, plan.from, &[])
        {
            break decided(Verdict::Interfered, vec![], card::sentence(&what));
        }
    };
    journal.record_step(&key, outcome).await
}

/// When the last vote of any of them was read.
fn last_vote(journal: &Journal<'_>, by: &[Person]) -> Option<Timestamp> {
    journal.heard().cast().iter().filter(|vote| by.contains(&vote.ballot.by)).map(|vote| vote.read_at).max()
}

/// What is asked of governance in this operation, apart from who asked for the operation.
pub(super) struct Votes<'a> {
    /// What a vote does.
    pub(super) action: &'a Action,
    pub(super) digest: &'a str,
    /// Where in the operation it was asked. What was said before that answered something else.
    pub(super) asked_at: u64,
    pub(super) requester_may: bool,
    pub(super) quorum: u32,
    pub(super) needs_reason: bool,
    pub(super) decide_by: Timestamp,
}

impl<'a> Votes<'a> {
    fn on(asked: &'a Asked, asked_at: u64, decide_by: Timestamp) -> Self {
        Self {
            action: &Action::Decide,
            digest: &asked.digest,
            asked_at,
            requester_may: asked.requester_may,
            needs_reason: !asked.lifts.is_empty(),
            quorum: asked.quorum,
            decide_by,
        }
    }

    pub(super) fn question(&self, cx: &'a Context<'_>) -> Question<'a> {
        let Self { action, digest, asked_at: asked, requester_may, quorum, needs_reason, decide_by } = *self;
        Question { action, digest, asked, requester: &cx.request.by, requester_may, quorum, needs_reason, decide_by }
    }
}

/// Counts the votes that stand now. Records and answers those that do not count. Whether somebody's role is not known.
pub(super) async fn count(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    asked: &Votes<'_>,
    limit: Duration,
) -> Result<(Tally, bool), Interrupted> {
    let refused: Vec<VoteRefused> = journal.notes(Kind::VoteRefused)?.into_iter().map(|(_, refused)| refused).collect();
    let mut votes = approval::standing_votes(&journal.heard().cast(), &journal.heard().withdrawn(), &refused);
    // What was said before and carries another request answered that one; and so does a mark on a question of another
    // kind, which may be open at the same time.
    let beside = [back::WAY_BACK, halt_offer::HALT].map(|question| back::digest(cx, question));
    votes.retain(|vote| {
        let request = &vote.ballot.request;
        *request == asked.digest || (vote.op_seq > asked.asked_at && !beside.contains(request))
    });
    let standing = standings(cx, asked.action, votes.iter().map(|vote| &vote.ballot.by), limit).await;
    let (tally, never) = approval::decide(&asked.question(cx), &votes, &standing);
    for (vote, why) in never {
        let Some(by) = votes.iter().find(|cast| cast.op_seq == vote).map(|cast| cast.ballot.by.clone()) else {
            continue;
        };
        cx.answer(&by, &why).await;
        journal.note(Kind::VoteRefused, &VoteRefused { by, vote, why }).await?;
    }
    let unknown = standing.values().any(|standing| standing.known().is_none());
    // Whoever approved may have taken it back, or another be against it, while nobody listened.
    if matches!(tally, Tally::Approved(_)) && !cx.ports.room.hears() {
        return Ok((Tally::Open, true));
    }
    Ok((tally, unknown))
}

/// Who each of them is now, all asked at once.
pub(super) async fn standings(
    cx: &Context<'_>,
    action: &Action,
    people: impl Iterator<Item = &Person>,
    limit: Duration,
) -> BTreeMap<Person, Reading<Standing>> {
    let people: BTreeSet<Person> = people.cloned().collect();
    join_all(people.into_iter().map(|person| async move {
        let standing = authority::standing(&*cx.ports.room, &*cx.ports.world, limit, &person, action).await;
        (person, standing.into())
    }))
    .await
    .into_iter()
    .collect()
}

impl Approval {
    /// Whether it holds at this moment: not too old, not withdrawn, nobody against it, and its voters still hold their
    /// role. `Err` says why not, or what could not be found out.
    pub async fn still_stands(&self, cx: &Context<'_>, heard: &Heard, limit: Duration) -> Result<(), Doubt> {
        let world = &*cx.ports.world;
        if heard.clock_jumped_after(self.length) {
            return Err(Doubt::Void("the clock went back since the approval was given".to_owned()));
        }
        let is_late = Deadline::after(world, self.given_at, self.execute_within).is_over(world);
        if is_late && !mutated!(LateApproval) {
            let within = Millis::from(self.execute_within);
            return Err(Doubt::Void(format!("the approval was given more than {within} ago")));
        }
        if !cx.ports.room.hears() {
            return Err(Doubt::Unknown("it cannot be told yet what people did while nobody listened".to_owned()));
        }
        let votes = Votes::on(&self.asked, self.asked_at, self.decide_by);
        let question = votes.question(cx);
        // Here a vote against counts whenever it came: nobody is overruled by a deadline that has passed meanwhile.
        let votes = approval::standing_votes(&heard.cast(), &heard.withdrawn(), &[]);
        let standing = standings(cx, question.action, votes.iter().map(|vote| &vote.ballot.by), limit).await;
        let late = Question { decide_by: world.now(), ..question.clone() };
        match approval::decide(&late, &votes, &standing).0 {
            Tally::Approved(_) => {}
            Tally::Rejected(by) => return Err(Doubt::Void(format!("{by} has rejected it since"))),
            Tally::Open => {
                if let Some(why) = standing.values().find_map(Reading::why) {
                    return Err(Doubt::Unknown(format!("it cannot be told who has decided: {why}")));
                }
            }
        }
        match approval::decide(&question, &votes, &standing).0 {
            Tally::Approved(_) => Ok(()),
            Tally::Rejected(by) => Err(Doubt::Void(format!("{by} has rejected it"))),
            Tally::Open => match standing.values().find_map(Reading::why) {
                Some(why) => Err(Doubt::Unknown(format!("it cannot be told who approved: {why}"))),
                None => {
                    Err(Doubt::Void("the approval was withdrawn, or who gave it no longer holds the role".to_owned()))
                }
            },
        }
    }
}

/// Why an approval cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It does not hold.
    Void(String),
    /// Whether it holds cannot be told now.
    Unknown(String),
}
