//! Approval by governance: what exactly it is bound to, and the one function that decides whether there is one.
//!
//! An approval is bound to the *effects* of an exact plan and to the *statuses* that made it necessary, never to live
//! percentages, and is compared for equality when it is used. The same function decides for every way in which a mark
//! can be made, on arrival, after a restart, and again an instant before the effect.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::authority::{Action, Refusal};
use crate::checks::{Check, Follows, Status};
use crate::context::Context;
use crate::event::Hash;
use crate::halt::SourceSays;
use crate::mutation::mutated;
use crate::reading::Reading;
use crate::steps::precheck::{Plan, Prechecked};
use crate::units::{InstanceId, Person, Replicas, TargetName, Timestamp};

/// What an approval covers. Two of them are the same approval only if every field is equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// The fleet, by its configured name.
    pub target: TargetName,
    /// Which fleet that is.
    pub identity: String,
    /// The generation of its count.
    pub generation: u64,
    /// The count now.
    pub from: Replicas,
    /// The count afterwards.
    pub to: Replicas,
    /// What is gone back to.
    pub rollback_to: Replicas,
    /// Who is taken away.
    pub victims: Vec<InstanceId>,
    /// Who else steers the count and is held still meanwhile, by name. Missing in what an earlier version wrote.
    #[serde(default)]
    pub holds: Vec<String>,
    /// What each halt source says.
    pub halt: Vec<BoundHalt>,
    /// The status of each check that asks for an approval, and of who else steers.
    pub statuses: BTreeMap<String, Status>,
    /// The checks that are lifted, by name. That one of them needs it no more changes nothing: live figures come and go.
    pub lifts: Vec<String>,
    /// The limits in force, by their digest.
    pub policy: String,
}

/// One halt source's word, as far as an approval is bound to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BoundHalt {
    /// The source.
    pub source: String,
    /// What it says; `None` when it could not be read.
    pub halted: Option<bool>,
    /// Since when.
    pub since: Option<Timestamp>,
}

impl BoundHalt {
    /// Of what the sources said.
    pub fn of(sources: &[SourceSays]) -> Vec<Self> {
        sources
            .iter()
            .map(|says| {
                let reading = says.says.known();
                Self {
                    source: says.source.clone(),
                    halted: reading.map(|reading| reading.halted),
                    since: reading.and_then(|reading| reading.since.filter(|_| reading.halted)),
                }
            })
            .collect()
    }

    /// As a person reads it.
    pub fn words(&self) -> String {
        match (self.halted, self.since) {
            (None, _) => "cannot be read".to_owned(),
            (Some(false), _) => "not halted".to_owned(),
            (Some(true), None) => "halted".to_owned(),
            (Some(true), Some(since)) => format!("halted since {}", crate::card::clock(since)),
        }
    }
}

impl Bound {
    /// Of a plan and what the checks found.
    pub fn of(cx: &Context<'_>, plan: &Plan, checked: &Prechecked) -> Self {
        let binding = |check: &&Check| check.follows == Follows::Approval || BINDING.contains(&check.name.as_str());
        Self {
            target: cx.request.target.clone(),
            identity: plan.identity.clone(),
            generation: plan.generation,
            from: plan.from,
            to: plan.to,
            rollback_to: plan.rollback_to,
            victims: plan.victims.iter().map(|victim| victim.instance.clone()).collect(),
            holds: plan.holds.clone(),
            halt: BoundHalt::of(&checked.halt),
            statuses: checked.checks.iter().filter(binding).map(|check| (check.name.clone(), check.status)).collect(),
            lifts: checked.lifts.clone(),
            // The limits of the process that made the checks: another one may read them back.
            policy: checked.policy.clone(),
        }
    }

    /// SHA-256 over its JSON, whose order of fields is fixed by the type.
    pub fn digest(&self) -> Hash {
        let json = serde_json::to_vec(self).unwrap_or_default();
        Hash(Sha256::digest(&json).into())
    }

    /// What is different in `now`, one sentence each. Empty exactly when both are equal, except that less is to be lifted.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let mut changes = Vec::new();
        if self.identity != now.identity {
            changes.push("the fleet was replaced by another of the same name".to_owned());
        }
        if self.policy != now.policy {
            changes.push("the limits in force are others than before".to_owned());
        }
        let mut differs = |what: &str, before: String, after: String| {
            if before != after {
                changes.push(format!("{what}: {before} before, {after} now"));
            }
        };
        differs("the target", self.target.to_string(), now.target.to_string());
        differs("the count", self.from.to_string(), now.from.to_string());
        differs("how often the count was set", self.generation.to_string(), now.generation.to_string());
        differs("the wanted count", self.to.to_string(), now.to.to_string());
        differs("the count to go back to", self.rollback_to.to_string(), now.rollback_to.to_string());
        differs("the instances taken away", names(&self.victims), names(&now.victims));
        let held = |holds: &[String]| if holds.is_empty() { "nobody".to_owned() } else { holds.join(", ") };
        differs("who is held still meanwhile", held(&self.holds), held(&now.holds));
        for source in self.halt.iter().chain(&now.halt) {
            let says = |all: &[BoundHalt]| {
                let found = all.iter().find(|one| one.source == source.source);
                found.map_or_else(|| "not asked".to_owned(), BoundHalt::words)
            };
            differs(&source.source, says(&self.halt), says(&now.halt));
        }
        for name in now.lifts.iter().filter(|name| !self.lifts.contains(name)) {
            differs(name, "nothing to lift".to_owned(), "over its limit".to_owned());
        }
        for name in self.statuses.keys().chain(now.statuses.keys()) {
            let status = |all: &BTreeMap<String, Status>| all.get(name).map_or("not asked", |status| status.words());
            differs(name, status(&self.statuses).to_owned(), status(&now.statuses).to_owned());
        }
        changes.sort();
        changes.dedup();
        changes
    }
}

fn names(instances: &[InstanceId]) -> String {
    match instances {
        [] => "none".to_owned(),
        some => some.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", "),
    }
}

/// Checks whose status is bound even where they pass: their passing is part of what is approved.
const BINDING: [&str; 3] = ["halt state", "complexity budget", "who else steers"];

/// A mark on an approval request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// ✅
    Approve,
    /// ❌
    Reject,
}

/// The body of `vote_cast`, and of `vote_withdrawn`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Ballot {
    /// Who.
    pub by: Person,
    /// Which mark.
    pub mark: Mark,
    /// The request that carries it, by its digest.
    pub request: String,
    /// Why, in their words; an override needs it.
    pub reason: Option<String>,
}

impl Ballot {
    /// Whether this, withdrawn, means that mark: whatever was said with it.
    fn takes_back(&self, other: &Self) -> bool {
        (&self.by, self.mark, &self.request) == (&other.by, other.mark, &other.request)
    }
}

/// The body of `vote_refused`: a vote that does not count, and why, as the voter was told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct VoteRefused {
    /// Who.
    pub by: Person,
    /// The `op_seq` of the `vote_cast` that does not count.
    pub vote: u64,
    /// Why.
    pub why: String,
}

/// A vote as the log holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vote {
    /// Its place in the operation.
    pub op_seq: u64,
    /// What it is.
    pub ballot: Ballot,
    /// When it was read.
    pub read_at: Timestamp,
}

/// Who somebody is at this moment, by the chat system itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// A person, and no program.
    pub is_person: bool,
    /// Holds a role that may.
    pub holds_role: bool,
}

/// What is asked of governance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// What a vote on it does: who may is [`crate::authority`]'s to say.
    pub action: &'a Action,
    /// The request's digest.
    pub digest: &'a str,
    /// The request's place in the operation. The very same may be asked again, because the approval before is void.
    pub asked: u64,
    /// Who asked for the operation, and may not approve it.
    pub requester: &'a Person,
    /// Whether the requester may approve it all the same.
    pub requester_may: bool,
    /// How many approvals are needed.
    pub quorum: u32,
    /// Whether an approval has to say why, because it lifts what a check refuses.
    pub needs_reason: bool,
    /// Votes read later than this do not count.
    pub decide_by: Timestamp,
}

/// What the votes come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Not decided yet.
    Open,
    /// So many of those who may have approved, and nobody has rejected.
    Approved(Vec<Person>),
    /// One of those who may has rejected.
    Rejected(Person),
}

/// Decides. `standing` says who each voter is *now*: a voter of whom it is not known does not count, and is not refused
/// either. Returns the votes that will never count, with why.
pub fn decide(
    question: &Question<'_>,
    votes: &[Vote],
    standing: &BTreeMap<Person, Reading<Standing>>,
) -> (Tally, Vec<(u64, String)>) {
    let mut refused = Vec::new();
    let mut counted: Vec<&Vote> = Vec::new();
    let mut may_be_rejected = false;
    for vote in votes {
        match objection(question, vote, standing.get(&vote.ballot.by)) {
            Objection::None => counted.push(vote),
            // Whoever it is that rejects may be a lead: nobody is overruled because they cannot be looked up.
            Objection::NotYet => may_be_rejected |= vote.ballot.mark == Mark::Reject,
            Objection::Never(why) => refused.push((vote.op_seq, why)),
        }
    }
    let against = |vote: &&&Vote| vote.ballot.mark == Mark::Reject && !mutated!(RejectionUnheard);
    if let Some(rejection) = counted.iter().find(against) {
        return (Tally::Rejected(rejection.ballot.by.clone()), refused);
    }
    let mut approvers: Vec<Person> = counted.iter().map(|vote| vote.ballot.by.clone()).collect();
    approvers.sort();
    approvers.dedup();
    if may_be_rejected {
        return (Tally::Open, refused);
    }
    let reached = approvers.len() >= question.quorum.max(1) as usize;
    (if reached { Tally::Approved(approvers) } else { Tally::Open }, refused)
}

enum Objection {
    None,
    NotYet,
    Never(String),
}

fn objection(question: &Question<'_>, vote: &Vote, standing: Option<&Reading<Standing>>) -> Objection {
    let before = vote.op_seq < question.asked && vote.ballot.mark == Mark::Approve;
    if (vote.ballot.request != question.digest || before) && !mutated!(AnyRequest) {
        return Objection::Never(
            "It answers an earlier request. Look at the newest one and decide on that.".to_owned(),
        );
    }
    if vote.read_at > question.decide_by && !mutated!(LateMark) {
        return Objection::Never("It came after the time to decide was over.".to_owned());
    }
    match standing {
        None | Some(Reading::Unknown { .. }) => return Objection::NotYet,
        Some(Reading::Known(standing)) if !standing.is_person => {
            return Objection::Never(Refusal::NoPerson.to_string());
        }
        Some(Reading::Known(standing)) if !standing.holds_role && !mutated!(AnybodysMark) => {
            return Objection::Never(Refusal::Missing(question.action.clone()).to_string());
        }
        Some(Reading::Known(_)) => {}
    }
    if question.needs_reason && vote.ballot.mark == Mark::Approve && vote.ballot.reason.is_none() {
        return Objection::Never("Lifting a limit needs a reason. Say it with your mark: override: TEXT".to_owned());
    }
    // Lifting a limit is never the requester's own, whatever policy says of other approvals.
    let own = (question.needs_reason || !question.requester_may) && !mutated!(OwnApproval);
    if vote.ballot.by == *question.requester && vote.ballot.mark == Mark::Approve && own {
        return Objection::Never("Nobody approves their own request. Another governance lead has to.".to_owned());
    }
    Objection::None
}

/// The votes that stand: withdrawn ones and those refused already are left out.
pub fn standing_votes(cast: &[Vote], withdrawn: &[Vote], refused: &[VoteRefused]) -> Vec<Vote> {
    let is_withdrawn =
        |vote: &Vote| withdrawn.iter().any(|later| later.op_seq > vote.op_seq && later.ballot.takes_back(&vote.ballot));
    cast.iter()
        .filter(|vote| {
            (!is_withdrawn(vote) || mutated!(WithdrawnMark))
                && !refused.iter().any(|refusal| refusal.vote == vote.op_seq)
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "d1";

    fn at(minute: i64) -> Timestamp {
        "2026-01-08T03:00:00Z".parse::<Timestamp>().unwrap()
            + std::time::Duration::from_mins(u64::try_from(minute).unwrap())
    }

    fn vote(op_seq: u64, by: &str, mark: Mark) -> Vote {
        Vote {
            op_seq,
            ballot: Ballot { by: Person::new(by), mark, request: DIGEST.to_owned(), reason: None },
            read_at: at(1),
        }
    }

    fn known(is_person: bool, holds_role: bool) -> Reading<Standing> {
        Reading::Known(Standing { is_person, holds_role })
    }

    fn unknown() -> Reading<Standing> {
        Reading::Unknown {
            why: "the chat system cannot be reached".into(),
            absence: crate::reading::Absence::Unanswered,
        }
    }

    fn tally(votes: &[Vote], quorum: u32) -> (Tally, Vec<u64>) {
        let requester = Person::new("operator");
        let question = Question {
            action: &Action::Decide,
            digest: DIGEST,
            asked: 4,
            requester: &requester,
            requester_may: false,
            quorum,
            needs_reason: false,
            decide_by: at(15),
        };
        let standing = BTreeMap::from([
            (Person::new("lead"), known(true, true)),
            (Person::new("lead2"), known(true, true)),
            (Person::new("operator"), known(true, true)),
            (Person::new("viewer"), known(true, false)),
            (Person::new("bot"), known(false, true)),
            (Person::new("away"), unknown()),
        ]);
        let (tally, refused) = decide(&question, votes, &standing);
        (tally, refused.into_iter().map(|(op_seq, _)| op_seq).collect())
    }

    #[test]
    fn a_leads_mark_decides_and_nobody_elses() {
        use Mark::{Approve, Reject};
        let lead = || Person::new("lead");
        let open = Tally::Open;
        let cases: Vec<(Vec<Vote>, Tally, Vec<u64>)> = vec![
            (vec![], open.clone(), vec![]),
            (vec![vote(5, "lead", Approve)], Tally::Approved(vec![lead()]), vec![]),
            (vec![vote(5, "lead", Reject)], Tally::Rejected(lead()), vec![]),
            // Both marks by one person count as a rejection, in either order.
            (vec![vote(5, "lead", Approve), vote(6, "lead", Reject)], Tally::Rejected(lead()), vec![]),
            (vec![vote(5, "lead", Reject), vote(6, "lead", Approve)], Tally::Rejected(lead()), vec![]),
            // One rejection of any lead rejects.
            (vec![vote(5, "lead2", Approve), vote(6, "lead", Reject)], Tally::Rejected(lead()), vec![]),
            (vec![vote(5, "viewer", Approve)], open.clone(), vec![5]),
            (vec![vote(5, "viewer", Reject)], open.clone(), vec![5]),
            (vec![vote(5, "bot", Approve)], open.clone(), vec![5]),
            // The requester holds the role here, and still does not approve their own request; rejecting it is theirs.
            (vec![vote(5, "operator", Approve)], open.clone(), vec![5]),
            (vec![vote(5, "operator", Reject)], Tally::Rejected(Person::new("operator")), vec![]),
            (vec![vote(5, "lead", Approve), vote(6, "away", Reject)], open.clone(), vec![]),
            (vec![vote(5, "lead", Approve), vote(6, "away", Approve)], Tally::Approved(vec![lead()]), vec![]),
            // Of whom it is not known who they are: neither counted nor refused.
            (vec![vote(5, "away", Approve)], open.clone(), vec![]),
            (vec![vote(5, "nobody", Approve)], open, vec![]),
        ];
        for (votes, wanted, refused) in cases {
            assert_eq!(tally(&votes, 1), (wanted, refused), "{votes:?}");
        }
    }

    #[test]
    fn a_late_vote_and_one_on_another_request_never_count() {
        let late = Vote { read_at: at(16), ..vote(5, "lead", Mark::Approve) };
        let mut other = vote(6, "lead", Mark::Reject);
        other.ballot.request = "d0".into();
        assert_eq!(tally(&[late, other], 1), (Tally::Open, vec![5, 6]));
    }

    #[test]
    fn an_approval_from_before_the_very_same_was_asked_again_does_not_count_and_a_rejection_does() {
        assert_eq!(tally(&[vote(3, "lead", Mark::Approve)], 1), (Tally::Open, vec![3]));
        assert_eq!(tally(&[vote(3, "lead", Mark::Reject)], 1), (Tally::Rejected(Person::new("lead")), vec![]));
    }

    #[test]
    fn a_quorum_is_of_persons_not_of_marks() {
        let twice = [vote(5, "lead", Mark::Approve), vote(6, "lead", Mark::Approve)];
        assert_eq!(tally(&twice, 2).0, Tally::Open);
        let two = [vote(5, "lead", Mark::Approve), vote(6, "lead2", Mark::Approve)];
        assert_eq!(tally(&two, 2).0, Tally::Approved(vec![Person::new("lead"), Person::new("lead2")]));
    }

    #[test]
    fn a_vote_taken_back_is_gone_and_one_cast_again_afterwards_stands() {
        let cast = [vote(5, "lead", Mark::Approve), vote(7, "lead", Mark::Approve)];
        let withdrawn = [vote(6, "lead", Mark::Approve)];
        assert_eq!(standing_votes(&cast[..1], &withdrawn, &[]), vec![]);
        assert_eq!(standing_votes(&cast, &withdrawn, &[]), vec![cast[1].clone()]);
        let refused = [VoteRefused { by: Person::new("lead"), vote: 7, why: String::new() }];
        assert_eq!(standing_votes(&cast, &withdrawn, &refused), vec![]);
    }

    fn bound() -> Bound {
        Bound {
            target: TargetName::new("api"),
            identity: "boot-1".into(),
            generation: 3,
            from: Replicas(4),
            to: Replicas(6),
            rollback_to: Replicas(4),
            victims: vec![],
            holds: vec![],
            halt: vec![BoundHalt { source: "halt table".into(), halted: Some(true), since: Some(at(0)) }],
            statuses: BTreeMap::from([("complexity budget".to_owned(), Status::Pass)]),
            lifts: vec![],
            policy: "p".into(),
        }
    }

    #[test]
    fn what_need_not_be_lifted_any_more_changes_nothing() {
        let asked = Bound { lifts: vec!["latency".into(), "errors".into()], ..bound() };
        let now = Bound { lifts: vec!["errors".into()], ..bound() };
        assert_eq!(asked.changes(&now), Vec::<String>::new());
        assert_eq!(now.changes(&asked), ["latency: nothing to lift before, over its limit now"]);
    }

    #[test]
    fn whatever_differs_changes_the_digest_and_is_said() {
        type Change = fn(&mut Bound);
        let changes: [(Change, &str); 11] = [
            (|b| b.lifts = vec!["latency".into()], "latency: nothing to lift before, over its limit now"),
            (|b| b.target = TargetName::new("web"), "the target: api before, web now"),
            (|b| b.identity = "boot-2".into(), "the fleet was replaced by another of the same name"),
            (|b| b.generation = 4, "how often the count was set: 3 before, 4 now"),
            (|b| b.from = Replicas(5), "the count: 4 before, 5 now"),
            (|b| b.to = Replicas(7), "the wanted count: 6 before, 7 now"),
            (|b| b.rollback_to = Replicas(5), "the count to go back to: 4 before, 5 now"),
            (|b| b.policy = "q".into(), "the limits in force are others than before"),
            (
                |b| b.halt[0].halted = None,
                "halt table: halted since 2026-01-08 03:00:00 UTC before, cannot be read now",
            ),
            (
                |b| b.halt[0].since = Some(at(1)),
                "halt table: halted since 2026-01-08 03:00:00 UTC before, halted since 2026-01-08 03:01:00 UTC now",
            ),
            (
                |b| _ = b.statuses.insert("complexity budget".into(), Status::Fail),
                "complexity budget: pass before, fail now",
            ),
        ];
        assert_eq!(bound().changes(&bound()), Vec::<String>::new());
        for (change, said) in changes {
            let mut other = bound();
            change(&mut other);
            assert_ne!(other.digest(), bound().digest(), "{said}");
            assert_eq!(bound().changes(&other), vec![said.to_owned()]);
        }
    }
}
