//! What the runbook asks of a person while an operation is under way: why it is done, and whether new instances reach
//! their keys where nothing can be asked that tells. Asked once, and never a reason to wait for long.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::assess::Assessed;
use super::guard::Others;
use super::permit::STANDING_PAUSE;
use super::precheck::Plan;
use super::verify::{Verification, Verified};
use super::{body, guard};
use crate::authority::{self, Action, Refusal};
use crate::card;
use crate::checks::{self, Status};
use crate::context::Context;
use crate::journal::{Heard, Interrupted, Journal, PersonsAnswer as Answer, Recorded};
use crate::patience::Deadline;
use crate::ports::{FleetState, Slot};
use crate::request::Direction;
use crate::units::{InstanceId, Person};

/// How long a person has to answer.
pub const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// The body of `rationale`: why it is done, in the operator's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rationale {
    /// Why; `None` when nobody said.
    pub reason: Option<String>,
    /// Who said so.
    pub by: Option<Person>,
}

body!(Rationale, Rationale, 1);

/// The body of `attested`: a person's word, by name, that new instances reach their keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attested {
    /// Who; `None` when nobody did in time.
    pub by: Option<Person>,
    /// The instances.
    pub instances: Vec<InstanceId>,
    /// What they said.
    pub statement: Option<String>,
    /// What somebody else did to the fleet while it was asked; `None` where nobody did anything.
    pub interference: Option<String>,
}

body!(Attested, Attested, 1);

/// Asks the operator why, when neither they nor a trigger condition said so.
pub async fn why(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    assessed: &Assessed,
) -> Result<Option<String>, Interrupted> {
    const KEY: &str = "rationale";
    // Whether it was asked is told by the log where it goes on, not by the limits in force now.
    let is_asked = journal.may_take(KEY).unwrap_or_else(|| cx.reason.is_none() && !is_triggered(cx, assessed));
    if !is_asked {
        return Ok(cx.reason.map(ToOwned::to_owned));
    }
    if let Some(recorded) = journal.replay::<Rationale>(KEY)? {
        return Ok(recorded.body.reason);
    }
    let mut rationale = Rationale { reason: None, by: None };
    if cx.ports.room.attended() {
        cx.show(Slot::Question, card::ask_why(cx)).await;
        let may = |by: &Person| Action::SayWhy { own: *by == cx.request.by };
        // Nothing is planned yet: the plan is made on the fleet as it is then.
        if let Word::Said(answer) = first_word(cx, journal, Heard::reasons, may, &|_| None).await? {
            rationale = Rationale { reason: Some(answer.text), by: Some(answer.by) };
        }
    }
    Ok(journal.record_step(KEY, rationale).await?.body.reason)
}

/// What became of a question.
enum Word {
    /// Somebody said something who may.
    Said(Answer),
    /// Nobody did in time.
    Nobodys,
    /// Somebody else changed the fleet meanwhile: what they did.
    TooLate(String),
}

/// Waits for the first word of somebody who may give it. Anybody else is told who may; of whom that cannot be told at the
/// moment is kept, and asked for again.
async fn first_word(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    words: impl Fn(&Heard) -> Vec<Answer>,
    action: impl Fn(&Person) -> Action,
    others: Others<'_>,
) -> Result<Word, Interrupted> {
    let (room, world) = (&*cx.ports.room, &*cx.ports.world);
    let deadline = Deadline::after(world, world.now(), ANSWER_WITHIN);
    let mut refused = BTreeSet::new();
    journal.signals().await?;
    loop {
        let mut untold = false;
        for (number, answer) in words(journal.heard()).into_iter().enumerate() {
            if refused.contains(&number) {
                continue;
            }
            match authority::ask(room, world, cx.policy.time.look, &answer.by, action(&answer.by)).await {
                Ok(()) => return Ok(Word::Said(answer)),
                Err(Refusal::Untold { .. }) => untold = true,
                Err(refusal) => {
                    cx.answer(&answer.by, &refusal.to_string()).await;
                    refused.insert(number);
                }
            }
        }
        if deadline.is_over(world) || journal.heard().cancelled_by().is_some() {
            return Ok(Word::Nobodys);
        }
        let longest = if untold { STANDING_PAUSE } else { cx.policy.time.sample_interval() };
        journal.listen(longest.min(deadline.left(world))).await?;
        // A look that failed says nothing about the fleet; before anything is done it is looked at again.
        if let Ok(fleet) = cx.fleet().await
            && let Some(what) = others(&fleet)
        {
            return Ok(Word::TooLate(what));
        }
    }
}

fn is_triggered(cx: &Context<'_>, assessed: &Assessed) -> bool {
    cx.request.direction == Direction::Up && assessed.load.known().is_some_and(|load| checks::is_triggered(cx, load))
}

/// Asks for a person's word on the keys of new instances for which nothing is configured that tells. Without it,
/// verification is inconclusive: never a silent pass.
pub async fn keys(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    verified: Recorded<Verified>,
) -> Result<Recorded<Verified>, Interrupted> {
    let instances = untold(plan, &verified.body);
    if instances.is_empty() || verified.body.result != Verification::Passed {
        return Ok(verified);
    }
    let attested = attest(cx, journal, plan, instances).await?.body;
    if attested.interference.is_some() {
        let body = Verified { interference: attested.interference, ..verified.body };
        return Ok(Recorded { body, ..verified });
    }
    if attested.by.is_some() {
        return Ok(verified);
    }
    let problems = vec![format!("{}, keys: nobody attested that they are reached", list(&attested.instances))];
    let body = Verified { result: Verification::Inconclusive, problems, ..verified.body };
    Ok(Recorded { body, ..verified })
}

fn untold(plan: &Plan, verified: &Verified) -> Vec<InstanceId> {
    verified
        .instances
        .iter()
        .filter(|examined| !plan.present.contains(&examined.instance))
        .filter(|examined| {
            examined.findings.iter().any(|one| one.name == "keys" && one.status == Status::NotConfigured)
        })
        .map(|examined| examined.instance.clone())
        .collect()
}

async fn attest(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    instances: Vec<InstanceId>,
) -> Result<Recorded<Attested>, Interrupted> {
    const KEY: &str = "verify/keys";
    if let Some(recorded) = journal.replay(KEY)? {
        return Ok(recorded);
    }
    let mut attested = Attested { by: None, instances, statement: None, interference: None };
    if cx.ports.room.attended() {
        cx.show(Slot::Question, card::ask_keys(cx, &list(&attested.instances))).await;
        let others = |fleet: &FleetState| guard::changed_by_others(fleet, plan, plan.to, &[]);
        match first_word(cx, journal, Heard::attestations, |_| Action::Attest, &others).await? {
            Word::Said(answer) => (attested.by, attested.statement) = (Some(answer.by), Some(answer.text)),
            Word::Nobodys => {}
            Word::TooLate(what) => attested.interference = Some(what),
        }
    }
    journal.record_step(KEY, attested).await
}

fn list(instances: &[InstanceId]) -> String {
    instances.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
