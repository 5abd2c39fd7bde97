//! The end of an operation: its outcome, and the target's claim given back in the same transaction.

use serde::{Deserialize, Serialize};

use super::body;
use crate::card::{self, in_lines};
use crate::context::Context;
use crate::event::Kind;
use crate::journal::{Effected, Interrupted, Journal, Recorded, Stop};
use crate::judge::Verdict;
use crate::ports::Slot;
use crate::steps::escalate::Condition;
use crate::steps::monitor::Watched;
use crate::steps::precheck::Plan;
use crate::units::{InstanceId, OperationId, Replicas, TargetName};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The count is as asked for.
    Completed,
    /// A check refused it; nothing was done.
    Refused,
    /// A governance lead rejected it; nothing was done.
    Rejected,
    /// Nobody decided in time; nothing was done.
    Expired,
    /// Somebody asked for it to stop.
    Cancelled,
    /// It was done and taken back.
    RolledBack,
    /// It did not succeed, and the fleet is left as it is.
    Failed,
}

impl Outcome {
    /// Whether the fleet may be another than before, so that the cool-down counts from here.
    pub fn may_have_changed_the_fleet(self) -> bool {
        !matches!(self, Self::Refused | Self::Rejected | Self::Expired)
    }

    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Completed => "done",
            Self::Refused => "refused",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::RolledBack => "taken back",
            Self::Failed => "failed",
        }
    }
}

/// The body of `finished`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finished {
    /// The fleet.
    pub target: TargetName,
    /// How it ended.
    pub outcome: Outcome,
    /// The count before; `None` when it was never seen.
    pub from: Option<Replicas>,
    /// The count asked for.
    pub to: Replicas,
    /// The count observed at the end; `None` when it could not be.
    pub ended_at: Option<Replicas>,
    /// What monitoring found, where it came to that.
    pub verdict: Option<Verdict>,
    /// Why it ended so, in a sentence.
    pub reason: String,
}

body!(Finished, Finished, 1);

/// What the runbook came to, before it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Ending {
    /// How it ended.
    pub outcome: Outcome,
    /// The plan, where there was one.
    pub plan: Option<Plan>,
    /// What monitoring found, where it came to that.
    pub verdict: Option<Verdict>,
    /// Why, in a sentence.
    pub reason: String,
    /// Whether the count was changed on the way here.
    pub changed_the_fleet: bool,
    /// What somebody has to be told of, by the runbook's table.
    pub escalation: Option<Condition>,
    /// What was found that is a constitutional matter: governance is offered to halt the system.
    pub constitutional: Option<String>,
    /// What was watched, where it came to that.
    pub watched: Option<Box<Watched>>,
    /// What somebody else did to the fleet meanwhile.
    pub interference: Option<String>,
    /// What was done after the reason above, one sentence each.
    pub afterwards: Vec<String>,
    /// What has to be taken back, where it has to.
    pub trouble: Option<Box<Trouble>>,
}

/// What makes it necessary to go back to the count before.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// What was to be done.
    pub plan: Plan,
    /// The instances that are new since.
    pub newcomers: Vec<InstanceId>,
    /// The new instances that are the cause; none on the way back from fewer, or when it is only asked for.
    pub culprits: Vec<InstanceId>,
    /// What was found.
    pub because: String,
    /// Whether a person asked for it, with a command of its own.
    pub asked_for: bool,
    /// The operation that left the fleet as it is.
    pub left_by: OperationId,
}

/// Of an end that came before the effect.
const UNCHANGED: &str = "Nothing was changed.";

impl Ending {
    /// An end before anything was done.
    pub fn before_any_change(outcome: Outcome, plan: Option<Plan>, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            plan,
            verdict: None,
            reason: reason.into(),
            changed_the_fleet: false,
            escalation: None,
            constitutional: None,
            watched: None,
            interference: None,
            afterwards: Vec::new(),
            trouble: None,
        }
    }

    /// An end after the count was changed.
    pub fn after_the_change(outcome: Outcome, plan: &Plan, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            plan: Some(plan.clone()),
            verdict: None,
            reason: reason.into(),
            changed_the_fleet: true,
            escalation: None,
            constitutional: None,
            watched: None,
            interference: None,
            afterwards: Vec::new(),
            trouble: None,
        }
    }

    /// Why it ended so and what was done then, in lines.
    pub fn in_full(&self) -> String {
        in_lines(self.reason.lines().chain(self.afterwards.iter().map(String::as_str)))
    }

    /// The same end, to be taken back.
    pub fn taken_back(self, trouble: Trouble) -> Self {
        Self { trouble: Some(Box::new(trouble)), ..self }
    }

    /// The same end, brought about by somebody else.
    pub fn because_of_others(self, what: impl Into<String>) -> Self {
        Self { interference: Some(what.into()), ..self }
    }

    /// The same end, of which somebody has to be told because the fleet is neither as it was nor as it was to be. Whoever
    /// cancelled it knows.
    pub fn left_half_done(self) -> Self {
        let told = self.outcome == Outcome::Cancelled || self.escalation.is_some();
        if told { self } else { self.escalated(Condition::InfrastructureLimits) }
    }

    /// The end of a plan that takes nobody away, which no check lets through.
    pub fn nothing_to_do(plan: &Plan) -> Self {
        Self::before_any_change(
            Outcome::Refused,
            Some(plan.clone()),
            in_lines(["nobody was to be taken away", UNCHANGED]),
        )
    }

    /// The same end, with what monitoring found.
    pub fn with_verdict(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// The same end, for a reason that is a constitutional matter where `is` says so.
    pub fn constitutional_if(self, is: bool) -> Self {
        let constitutional = is.then(|| self.reason.clone());
        Self { constitutional, ..self }
    }

    /// The same end, of which somebody has to be told.
    pub fn escalated(self, condition: Condition) -> Self {
        Self { escalation: Some(condition), ..self }
    }

    /// The end of an effect that was not done.
    pub fn not_scaled<I>(effected: Effected<I>, plan: &Plan) -> Self {
        let (outcome, reason) = match effected {
            Effected::Done(..) => (Outcome::Completed, in_lines(["the count was set"])),
            Effected::Stopped(Stop::Cancelled(why)) => (Outcome::Cancelled, in_lines([&*why, UNCHANGED])),
            Effected::Stopped(Stop::Halted(why)) => {
                let next = "Scaling during a halt needs a governance lead's approval. Ask again.";
                (Outcome::Refused, in_lines([&*why, UNCHANGED, next]))
            }
            Effected::Stopped(Stop::Changed(why) | Stop::Void(why) | Stop::OverLimit(why)) => {
                (Outcome::Refused, in_lines([&*why, UNCHANGED, "Ask again if it is still wanted."]))
            }
            Effected::Stopped(Stop::Gone(why)) => (Outcome::Failed, in_lines([why])),
            Effected::Stopped(Stop::Unknown(why)) => (Outcome::Failed, in_lines([&*why, UNCHANGED])),
            Effected::Refused(why) => {
                (Outcome::Failed, in_lines([&*format!("the orchestrator refused: {why}"), UNCHANGED]))
            }
            Effected::Contended(why) => {
                (Outcome::Failed, in_lines([&*format!("somebody else kept changing the fleet: {why}"), UNCHANGED]))
            }
            Effected::Unknown(why) => {
                let unknown = format!("it is not known whether the count was set: {why}");
                let reason = in_lines([&*unknown, "Look at the fleet before you ask again."]);
                return Self::after_the_change(Outcome::Failed, plan, reason);
            }
        };
        Self::before_any_change(outcome, Some(plan.clone()), reason)
    }
}

/// Records the end and shows the summary.
pub async fn with(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    ending: &Ending,
) -> Result<Recorded<Finished>, Interrupted> {
    let may_arrive = !ending.changed_the_fleet && journal.may_be_on_its_way(Kind::ScalingAnswered, "");
    let finished = journal.close("finish", finished(cx, ending, may_arrive)).await?;
    let samples = match &ending.watched {
        Some(_) => cx.ports.samples.kept(cx.operation).await?,
        None => Vec::new(),
    };
    cx.show(Slot::Summary, card::summary(cx, &finished.body, ending.watched.as_deref(), &ending.afterwards, samples))
        .await;
    Ok(finished)
}

/// `may_arrive`: nothing was seen to change, and a request to set the count, whose answer was lost, may be on its way.
async fn finished(cx: &Context<'_>, ending: &Ending, may_arrive: bool) -> Finished {
    let from = ending.plan.as_ref().map(|plan| plan.from);
    let ended_at = cx.fleet().await.ok().map(|state| state.wanted);
    let (mut outcome, mut reason) = (ending.outcome, ending.in_full());
    if may_arrive {
        let to = cx.request.to;
        let said = match ended_at.filter(|count| Some(*count) != from) {
            None => format!("A request to set the count to {to} may still arrive."),
            Some(count) => {
                outcome = Outcome::Failed;
                format!("{count} are wanted now: a request to set the count to {to} may have arrived since.")
            }
        };
        let known = reason.lines().filter(|line| *line != UNCHANGED);
        reason = in_lines(known.chain([&*said, "Look at the fleet before you ask again."]));
    }
    Finished {
        target: cx.request.target.clone(),
        outcome,
        from,
        to: cx.request.to,
        ended_at,
        verdict: ending.verdict,
        reason,
    }
}
