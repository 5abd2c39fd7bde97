//! Rollback, step 3: where a constitutional problem was found, a governance lead is offered to halt the system. Nothing
//! waits for the answer.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::back::digest;
use super::body;
use super::finish::Trouble;
use super::permit::{self, Votes};
use crate::approval::Tally;
use crate::card;
use crate::context::Context;
use crate::event::Kind;
use crate::halt;
use crate::journal::{Acted, Effect, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::patience::{Deadline, within};
use crate::ports::{HaltOrder, PortError, Slot};
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
    /// Who said so.
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

/// Offers a governance lead to halt the system, where what was found is a constitutional matter.
pub async fn make(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
) -> Result<Option<Recorded<HaltOffered>>, Interrupted> {
    if !trouble.constitutional {
        return Ok(None);
    }
    let offered = HaltOffered {
        digest: digest(cx, "halt"),
        because: trouble.because.clone(),
        within: cx.policy.approval.decide_within.into(),
    };
    let offered = journal.step("back/halt/offer", |_| async { offered }).await?;
    cx.show(Slot::HaltOffer, card::halt_offered(cx, &offered.body)).await;
    Ok(Some(offered))
}

/// Halts the system if a lead says so before the offer lapses. By now the fleet is back, so nothing waits for it but this
/// operation's end; where nobody attends, not even that.
pub async fn take_answer(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    offered: Option<Recorded<HaltOffered>>,
) -> Result<Option<String>, Interrupted> {
    let Some(offered) = offered else { return Ok(None) };
    let answered = answer(cx, journal, &offered).await?.body;
    if answered.halt != Some(true) {
        cx.show(Slot::HaltOffer, card::halt_answered(cx, &answered, None)).await;
        return Ok(None);
    }
    let effected =
        journal.effect("back/halt", &HaltSystem { cx, by: &answered.by, because: &offered.body.because }).await?;
    let done = effected.why_not().map_or(Ok(()), Err);
    cx.show(Slot::HaltOffer, card::halt_answered(cx, &answered, Some(&done))).await;
    let by = answered.by.iter().map(Person::as_str).collect::<Vec<_>>().join(", ");
    Ok(Some(match done {
        Ok(()) => format!("The system was halted on the word of {by}."),
        Err(why) => format!("{by} wanted the system halted, and that failed: {why}. Halt it by hand."),
    }))
}

async fn answer(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    offered: &Recorded<HaltOffered>,
) -> Result<Recorded<HaltAnswered>, Interrupted> {
    const KEY: &str = "back/halt/answer";
    if let Some(answered) = journal.replay(KEY)? {
        return Ok(answered);
    }
    let world = &*cx.ports.world;
    let deadline = Deadline::after(world, offered.at, offered.body.within.duration());
    let votes = Votes {
        digest: &offered.body.digest,
        asked_at: offered.op_seq,
        // Halting is the safe side: whoever is a lead may say so.
        requester_may: true,
        quorum: 1,
        needs_reason: false,
        decide_by: offered.at + offered.body.within.duration(),
    };
    let answered = loop {
        journal.signals().await?;
        let (tally, unknown) = permit::count(cx, journal, &votes, cx.policy.time.look).await?;
        match tally {
            Tally::Approved(by) => break HaltAnswered { halt: Some(true), by },
            Tally::Rejected(by) => break HaltAnswered { halt: Some(false), by: vec![by] },
            Tally::Open => {}
        }
        let over =
            deadline.is_over(world) || !cx.ports.room.attended() || journal.heard().cancelled_after(offered.op_seq);
        if over {
            break HaltAnswered { halt: None, by: vec![] };
        }
        let pause = if unknown { ASK_AGAIN.min(deadline.left(world)) } else { deadline.left(world) };
        journal.listen(pause).await?;
    };
    journal.record_step(KEY, answered).await
}

/// How long until it is asked again who somebody is.
const ASK_AGAIN: Duration = Duration::from_secs(2);

struct HaltSystem<'a> {
    cx: &'a Context<'a>,
    by: &'a [Person],
    because: &'a str,
}

#[async_trait]
impl Effect for HaltSystem<'_> {
    type Intent = Halting;

    fn answered(&self) -> Kind {
        Kind::HaltingAnswered
    }

    async fn guard(&self, _: &Heard) -> Result<Halting, Stop> {
        if self.cx.ports.target.governance.is_none() {
            return Err(Stop::Gone("no way to halt the system is configured".to_owned()));
        }
        let message = crate::request::escaped(&self.because.replace('\n', " "), MESSAGE);
        Ok(Halting { by: self.by.to_vec(), message })
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
