//! Whether an approval stands, found out anew from what is in the log and from who people are: never by what the bot
//! concluded itself. Nothing is done under one that is void, late, withdrawn, or the requester's.

use std::collections::BTreeSet;
use std::time::Duration;

use scalebot_commands::approval::{Ballot, Bound, BoundHalt, Mark};
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::halt::SourceSays;
use scalebot_commands::journal::GUARD_LIMIT;
use serde_json::Value;

use super::effects::Intent;
use crate::model::People;

/// What was asked of governance, and what was said, in one operation.
#[derive(Default)]
pub(crate) struct Approvals {
    requests: Vec<Request>,
    said: Vec<Said>,
}

// Each is a fact of its own, found in another event.
#[allow(clippy::struct_excessive_bools)]
struct Request {
    digest: String,
    op_seq: u64,
    by: Written,
    bound: Option<Bound>,
    decide_within: Duration,
    execute_within: Duration,
    quorum: usize,
    requester_may: bool,
    needs_reason: bool,
    approved: bool,
    /// Why it cannot be used any more.
    void: Option<String>,
    /// An intent was announced under it: from there on it covers what is left of its plan.
    used: bool,
}

struct Said {
    op_seq: u64,
    by: Written,
    ballot: Ballot,
    withdrawn: bool,
}

/// By whom something was written, when, and by how much that one's clock was ahead then, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    pub(crate) process: usize,
    pub(crate) at: Duration,
    pub(crate) ahead: i64,
    /// When the process last went on after it had stood still.
    pub(crate) thawed: Duration,
}

/// How long an event may be on its way to the log.
const ON_ITS_WAY: Duration = Duration::from_secs(7);

impl Written {
    /// How much longer than it is a time may be taken for that began with `earlier`. None by one process, which has a clock
    /// that never goes back; across two by as much as the later one's clock is behind.
    fn slack(&self, earlier: &Self) -> Duration {
        if self.process == earlier.process {
            return Duration::ZERO;
        }
        ON_ITS_WAY + Duration::from_millis(u64::try_from(earlier.ahead - self.ahead).unwrap_or_default())
    }

    /// How long something of that process may have been on its way, when it stood still meanwhile.
    fn delay(&self, since: Duration) -> Duration {
        if self.thawed >= since { self.at.saturating_sub(since) } else { ON_ITS_WAY }
    }
}

fn millis(value: &Value) -> Duration {
    Duration::from_millis(value.as_u64().unwrap_or_default())
}

impl Approvals {
    pub(crate) fn appended(&mut self, kind: Kind, event: &Event, body: &Value, by: Written) {
        let op_seq = event.op_seq;
        match kind {
            Kind::ApprovalRequested => {
                for before in &mut self.requests {
                    before.void.get_or_insert_with(|| "another request followed it".to_owned());
                }
                self.requests.push(Request {
                    digest: body["digest"].as_str().unwrap_or_default().to_owned(),
                    op_seq,
                    by,
                    bound: serde_json::from_value(body["bound"].clone()).ok(),
                    decide_within: millis(&body["decide_within"]),
                    execute_within: Duration::ZERO,
                    quorum: body["quorum"].as_u64().unwrap_or(1) as usize,
                    requester_may: body["requester_may"] == true,
                    needs_reason: body["lifts"].as_array().is_some_and(|lifts| !lifts.is_empty()),
                    approved: false,
                    void: None,
                    used: false,
                });
            }
            Kind::Approved | Kind::Rejected | Kind::Expired => {
                let Some(asked) = self.requests.last_mut() else { return };
                if kind == Kind::Approved {
                    asked.approved = true;
                    asked.execute_within = millis(&body["execute_within"]);
                } else {
                    asked.void.get_or_insert_with(|| format!("it was {kind}"));
                }
            }
            Kind::VoteCast | Kind::VoteWithdrawn => {
                if let Ok(ballot) = serde_json::from_value(body.clone()) {
                    self.said.push(Said { op_seq, by, ballot, withdrawn: kind == Kind::VoteWithdrawn });
                }
            }
            Kind::ClockJump => {
                for asked in &mut self.requests {
                    asked.void.get_or_insert_with(|| "the clock went back since".to_owned());
                }
            }
            _ => {}
        }
    }

    /// When the request that is open was put, and how long there is to decide on it.
    pub(crate) fn asked(&self) -> Option<(Written, Duration)> {
        self.requests.last().map(|asked| (asked.by, asked.decide_within))
    }

    /// An act follows from that intent, under the approval of that digest. What is wrong about it.
    pub(crate) fn acts(
        &mut self,
        digest: &str,
        intent: &Intent,
        (now, requester, people): (Written, &str, &People),
    ) -> Vec<String> {
        let Some(asked) = self.requests.iter().rposition(|asked| asked.digest == digest) else {
            return vec!["it acts under an approval that nobody was asked for".to_owned()];
        };
        let mut wrong = Vec::new();
        let request = &self.requests[asked];
        if !request.approved {
            wrong.push("it acts under an approval that was not given".to_owned());
        }
        if let Some(bound) = &request.bound {
            wrong.extend(not_bound(bound, intent));
        }
        if request.used && request.void.as_deref() != Some("another request followed it") {
            return wrong;
        }
        wrong.extend(request.void.iter().map(|why| format!("it acts under an approval that is void: {why}")));
        if wrong.is_empty() {
            wrong.extend(self.stands(request, intent, (now, requester, people)));
        }
        self.requests[asked].used = true;
        wrong
    }

    /// Whether enough of those who may have said yes, in time, and nobody no.
    fn stands(
        &self,
        request: &Request,
        intent: &Intent,
        (now, requester, people): (Written, &str, &People),
    ) -> Option<String> {
        let before = |said: &&Said| said.op_seq < intent.op_seq;
        let mut approvers: BTreeSet<&str> = BTreeSet::new();
        let (mut last, mut objections): (Option<Written>, Vec<String>) = (None, Vec::new());
        for vote in self.said.iter().filter(before).filter(|said| !said.withdrawn) {
            let by = vote.ballot.by.as_str();
            let taken_back = self.said.iter().filter(before).any(|later| {
                let same = (&later.ballot.by, later.ballot.mark, &later.ballot.request)
                    == (&vote.ballot.by, vote.ballot.mark, &vote.ballot.request);
                later.withdrawn && later.op_seq > vote.op_seq && same
            });
            let late = vote.by.at.saturating_sub(request.by.at)
                > request.decide_within
                    + vote.by.delay(request.by.at + request.decide_within)
                    + vote.by.slack(&request.by);
            let is_for = vote.ballot.mark == Mark::Approve;
            let own = by == requester && (!request.requester_may || request.needs_reason);
            // Who somebody is was asked at most so long ago as the guard's reading is old.
            let no_lead = match people.may_decide(by) {
                Ok(()) => false,
                Err(Some(since)) => now.at.saturating_sub(since) > GUARD_LIMIT,
                Err(None) => true,
            };
            let objection = if vote.ballot.request != request.digest {
                "of another request"
            } else if is_for && vote.op_seq < request.op_seq {
                "from before it was asked"
            } else if taken_back {
                "withdrawn"
            } else if no_lead {
                "of nobody who may decide"
            } else if is_for && own {
                "the requester's own"
            } else if is_for && late {
                "late"
            } else if is_for && request.needs_reason && vote.ballot.reason.is_none() {
                "without a reason"
            } else {
                ""
            };
            if !objection.is_empty() {
                objections.push(format!("{by}'s is {objection}"));
            } else if is_for {
                approvers.insert(by);
                last = Some(vote.by);
            } else if people.may_decide(by).is_ok() && !late {
                return Some(format!("it acts although {by} has rejected it"));
            }
        }
        if approvers.len() < request.quorum.max(1) {
            let objections = objections.join(", ");
            return Some(format!(
                "it acts under an approval that does not stand: {} needed; {objections}",
                request.quorum
            ));
        }
        let last = last?;
        let age = now.at.saturating_sub(last.at);
        (age > request.execute_within + GUARD_LIMIT + now.slack(&last))
            .then(|| format!("it acts under an approval of {} s ago, which is too late", age.as_secs()))
    }
}

/// What an intent does that the approved plan does not name.
fn not_bound(bound: &Bound, intent: &Intent) -> Option<String> {
    let body = &intent.body;
    let victim = |name: &Value| bound.victims.iter().any(|victim| name == victim.as_str());
    let holds = match intent.kind {
        Kind::Scaling => {
            body["from"] == bound.from.0 && body["to"] == bound.to.0 && body["identity"] == *bound.identity
        }
        Kind::Draining => victim(&body["instance"]),
        Kind::Terminating => {
            let none_beyond = body["to"].as_u64().is_some_and(|to| to >= u64::from(bound.to.0));
            none_beyond && body["instances"].as_array().is_some_and(|all| all.iter().all(victim))
        }
        Kind::Holding => bound.holds.iter().any(|name| body["hold"]["name"] == **name),
        _ => true,
    };
    let halt = serde_json::from_value::<Vec<SourceSays>>(body["halt"].clone()).unwrap_or_default();
    if BoundHalt::of(&halt) != bound.halt {
        return Some("the halt is another than the one that was approved".to_owned());
    }
    (!holds).then(|| format!("{} is not what was approved", intent.kind))
}
