//! Rollback, step 3: where a constitutional problem was found, a governance lead is offered to halt the system, whether or
//! not there is anything to take back. Nothing waits for the answer.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::back::digest;
use super::permit::{self, Votes};
use super::{Ending, body};
use crate::approval::{self, Question, Tally};
use crate::authority::{self, Action, Refusal};
use crate::card;
use crate::context::Context;
use crate::event::Kind;
use crate::halt;
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::patience::{Deadline, within};
use crate::ports::{HaltOrder, PortError, Slot};
use crate::reading::Reading;
use crate::units::{Millis, Person};

/// The body of `halt_offered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltOffered {
    /// Names the offer: what a mark on it carries.
    pub digest: String,
    /// What was found.
    pub because: String,
    /// How long the offer stands.
    pub within: Millis,
}

body!(HaltOffered, HaltOffered, 1);

/// The body of `halt_answered`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct HaltAnswered {
    /// Whether the system is to be halted; `None` when nobody said.
    pub halt: Option<bool>,
    /// Who said so, or ended the offer.
    pub by: Vec<Person>,
}

body!(HaltAnswered, HaltAnswered, 1);

/// The body of `halting`: the intent to halt the system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Halting {
    /// On whose word.
    pub by: Vec<Person>,
    /// Why, for people.
    pub message: String,
}

body!(Halting, Halting, 1);

/// The question whether the system is halted.
pub(super) const HALT: &str = "halt";

/// Offers a governance lead to halt the system, where what was found is a constitutional matter: whether or not anything
/// can be taken back.
pub async fn make(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    ending: &Ending,
) -> Result<Option<Recorded<HaltOffered>>, Interrupted> {
    let Some(because) = &ending.constitutional else { return Ok(None) };
    let offered = HaltOffered {
        digest: digest(cx, HALT),
        because: because.clone(),
        within: cx.policy.approval.decide_within.into(),
    };
    let offered = journal.step("halt/offer", |_| async { offered }).await?;
    cx.show(Slot::HaltOffer, card::halt_offered(cx, &offered.body)).await;
    Ok(Some(offered))
}

/// What became of a halt that was wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halted {
    /// The system is halted.
    Done,
    /// The word for it does not hold any more, and why.
    NotWanted(String),
    /// It was wanted, and could not be done or is not known to be, and why.
    Failed(String),
}

/// Halts the system if a lead says so before the offer lapses. By now everything else is done, so nothing waits for it but
/// this operation's end; where nobody attends, not even that. The same end, with what became of it.
pub async fn take_answer(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    offered: Option<Recorded<HaltOffered>>,
    mut ending: Ending,
) -> Result<Ending, Interrupted> {
    let offered = match offered {
        Some(offered) => Some(offered),
        // What only the fleet that is back shows is offered now.
        None => make(cx, journal, &ending).await?,
    };
    let Some(offered) = offered else { return Ok(ending) };
    let answered = answer(cx, journal, &offered).await?;
    if answered.body.halt != Some(true) {
        cx.show(Slot::HaltOffer, card::halt_answered(cx, &answered.body, None)).await;
        return Ok(ending);
    }
    let effected = journal.effect("halt", &HaltSystem { cx, offered: &offered, answered: &answered }).await?;
    let halted = match effected {
        Effected::Done(..) => Halted::Done,
        Effected::Stopped(Stop::Void(why) | Stop::Cancelled(why)) => Halted::NotWanted(why),
        otherwise => Halted::Failed(otherwise.why_not().unwrap_or_default()),
    };
    cx.show(Slot::HaltOffer, card::halt_answered(cx, &answered.body, Some(&halted))).await;
    let by = answered.body.by.iter().map(Person::as_str).collect::<Vec<_>>().join(", ");
    ending.afterwards.push(match halted {
        Halted::Done => format!("The system was halted on the word of {by}."),
        Halted::NotWanted(why) => format!("{by} wanted the system halted, and it was not: {why}."),
        Halted::Failed(why) => format!("{by} wanted the system halted, and that failed: {why}. Halt it by hand."),
    });
    Ok(ending)
}

/// What is asked, of whoever's word is counted or counted again.
fn votes(offered: &Recorded<HaltOffered>) -> Votes<'_> {
    Votes {
        action: &Action::AnswerHaltOffer,
        digest: &offered.body.digest,
        asked_at: offered.op_seq,
        // Halting is the safe side: whoever is a lead may say so.
        requester_may: true,
        quorum: 1,
        needs_reason: false,
        decide_by: offered.at + offered.body.within.duration(),
    }
}

async fn answer(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    offered: &Recorded<HaltOffered>,
) -> Result<Recorded<HaltAnswered>, Interrupted> {
    const KEY: &str = "halt/answer";
    if let Some(answered) = journal.replay(KEY)? {
        return Ok(answered);
    }
    let world = &*cx.ports.world;
    let deadline = Deadline::after(world, offered.at, offered.body.within.duration());
    let votes = votes(offered);
    let mut refused = BTreeSet::new();
    let answered = loop {
        journal.signals().await?;
        let (ended_by, untold) = ended_early(cx, journal.heard(), offered.op_seq, &mut refused).await;
        if let Some(by) = ended_by {
            break HaltAnswered { halt: None, by: vec![by] };
        }
        let (tally, unknown) = permit::count(cx, journal, &votes, cx.policy.time.look).await?;
        match tally {
            Tally::Approved(by) => break HaltAnswered { halt: Some(true), by },
            Tally::Rejected(by) => break HaltAnswered { halt: Some(false), by: vec![by] },
            Tally::Open => {}
        }
        if deadline.is_over(world) || !cx.ports.room.attended() {
            break HaltAnswered { halt: None, by: vec![] };
        }
        let left = deadline.left(world);
        journal.listen(if unknown || untold { permit::STANDING_PAUSE.min(left) } else { left }).await?;
    };
    journal.record_step(KEY, answered).await
}

/// Who of those that asked the operation to stop since may end the offer, and whether that could not be told of somebody.
/// Anybody else is told once that it is not theirs to end.
async fn ended_early(
    cx: &Context<'_>,
    heard: &Heard,
    offered_at: u64,
    refused: &mut BTreeSet<Person>,
) -> (Option<Person>, bool) {
    let (room, world, limit) = (&*cx.ports.room, &*cx.ports.world, cx.policy.time.look);
    let mut untold = false;
    for by in heard.cancels_after(offered_at) {
        if refused.contains(&by) {
            continue;
        }
        match authority::ask(room, world, limit, &by, Action::AnswerHaltOffer).await {
            Ok(()) => return (Some(by), untold),
            Err(Refusal::Untold { .. }) => untold = true,
            Err(refusal) => {
                cx.answer(&by, &refusal.to_string()).await;
                refused.insert(by);
            }
        }
    }
    (None, untold)
}

struct HaltSystem<'a> {
    cx: &'a Context<'a>,
    offered: &'a Recorded<HaltOffered>,
    answered: &'a Recorded<HaltAnswered>,
}

impl HaltSystem<'_> {
    /// Who wants it at this moment: whoever said so in time, holds the role still and has not taken it back, while nobody
    /// who may has said otherwise.
    async fn wanted_by(&self, heard: &Heard) -> Result<Vec<Person>, Stop> {
        let (cx, world) = (self.cx, &*self.cx.ports.world);
        let usable = cx.policy.approval.execute_within;
        if heard.clock_jumped_after(self.answered.op_seq) {
            return Err(Stop::Void("the clock went back since that was said".to_owned()));
        }
        if Deadline::after(world, self.answered.at, usable).is_over(world) {
            return Err(Stop::Void(format!("that was said more than {} ago", Millis::from(usable))));
        }
        let asked = votes(self.offered);
        let question = asked.question(cx);
        let mut votes = approval::standing_votes(&heard.cast(), &heard.withdrawn(), &[]);
        votes.retain(|vote| vote.ballot.request == asked.digest);
        let cancels = heard.cancels_after(self.offered.op_seq);
        let people = votes.iter().map(|vote| &vote.ballot.by).chain(&cancels);
        let standing = permit::standings(cx, asked.action, people, cx.policy.time.guard).await;
        let may = |by: &&Person| {
            let known = standing.get(*by).and_then(Reading::known);
            known.is_some_and(|known| known.is_person && known.holds_role)
        };
        if let Some(by) = cancels.iter().find(may) {
            return Err(Stop::Cancelled(format!("{by} has asked to stop since")));
        }
        // A word against it counts whenever it came.
        let late = Question { decide_by: world.now(), ..question.clone() };
        if let Tally::Rejected(by) = approval::decide(&late, &votes, &standing).0 {
            return Err(Stop::Void(format!("{by} has said since that it is not to be halted")));
        }
        let untold = standing.values().find_map(Reading::why);
        match (approval::decide(&question, &votes, &standing).0, untold) {
            (Tally::Approved(by), None) => Ok(by),
            (_, Some(why)) => Err(Stop::Unknown(format!("it cannot be told whether that still holds: {why}"))),
            _ => Err(Stop::Void("it was taken back, or who said so no longer holds the role".to_owned())),
        }
    }
}

#[async_trait]
impl Effect for HaltSystem<'_> {
    type Intent = Halting;

    fn answered(&self) -> Kind {
        Kind::HaltingAnswered
    }

    async fn guard(&self, heard: &Heard) -> Result<Halting, Stop> {
        if self.cx.ports.target.governance.is_none() {
            return Err(Stop::Gone("no way to halt the system is configured".to_owned()));
        }
        let by = self.wanted_by(heard).await?;
        let message = crate::request::escaped(&self.offered.body.because.replace('\n', " "), MESSAGE);
        Ok(Halting { by, message })
    }

    async fn act(&self, intent: &Halting, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.cx;
        let Some(governance) = &cx.ports.target.governance else {
            return Ok(Acted::Refused("no way to halt the system is configured".to_owned()));
        };
        let order = HaltOrder { message: intent.message.clone(), operation: cx.operation.clone() };
        let limit = cx.policy.time.look;
        let answer = within(&*cx.ports.world, limit, "the halt", governance.halt(&order, fence)).await?;
        Ok(answer.into())
    }

    /// A system that is halted now is what was wanted, whoever did it.
    async fn find(&self, _: &Halting) -> Result<Found, PortError> {
        let sources = halt::ask(&*self.cx.ports.world, &self.cx.ports.target.halt, self.cx.policy.time.look).await;
        Ok(match halt::conclude(&sources) {
            halt::Conclusion::Halted(_) | halt::Conclusion::Disagree(_) => Found::Done,
            halt::Conclusion::NotHalted => Found::Untouched,
            halt::Conclusion::Unknown(why) => Found::Otherwise(why),
            halt::Conclusion::NotConfigured => Found::Otherwise("no halt source is configured".to_owned()),
        })
    }
}

/// The longest message that goes with a halt, in characters.
const MESSAGE: usize = 300;
