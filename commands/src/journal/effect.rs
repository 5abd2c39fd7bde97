//! An effect: a change of the outside that happens at most once, whatever is killed when.
//!
//! First the *guard*, read fresh; then the *intent*, appended; then the *act*, within [`GUARD_LIMIT`] of the guard's
//! first reading; then the *answer*, appended before any further intent. An intent without an answer means that a process died in between:
//! then the outside is observed first, and the change adopted if it is ours, tried anew if nothing happened, and
//! anything else stops the operation.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Body, Heard, Interrupted, Journal, Recorded, not_json, unreadable};
use crate::event::{Claim, Kind};
use crate::mutation::mutated;
use crate::ports::{OrderAnswer, PortError};
use crate::units::{Epoch, OperationId, Timestamp};

/// How old a guard's reading may be when the act begins.
pub const GUARD_LIMIT: Duration = Duration::from_secs(2);

/// How often an effect that meets conflicts is tried in all.
const ATTEMPTS: u32 = 5;

/// How long an act's result is looked for when its answer was lost.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);

/// How long to wait between two looks.
const SEARCH_PAUSE: Duration = Duration::from_millis(500);

/// Proof that an intent was appended by the process that may act. Only the journal can make one, so an effect that
/// was not announced does not compile.
#[derive(Debug)]
pub struct Fence<'a> {
    operation: &'a OperationId,
    epoch: Epoch,
}

impl Fence<'_> {
    /// The operation: the mark that the effect leaves outside.
    pub fn operation(&self) -> &OperationId {
        self.operation
    }

    /// The fencing epoch under which the intent was appended.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// One change of the outside.
#[async_trait]
pub trait Effect: Sync {
    /// What is appended before the act: the guard's readings and what is about to be done.
    type Intent: Body + Clone + Send + Sync;

    /// The kind of the event that tells what became of it.
    fn answered(&self) -> Kind;
    /// What it changes, where several effects of one operation have answers of the same kind: the instance's name.
    // What implements it borrows from itself.
    #[allow(clippy::unnecessary_literal_bound)]
    fn subject(&self) -> &str {
        ""
    }
    /// Whether it can as well be done once people are reached again: what a plan begins with, never what puts something
    /// right or ends what was begun.
    fn can_wait(&self) -> bool {
        false
    }
    /// Reads everything that must hold, fresh from the outside, and says what is about to be done; or why not.
    async fn guard(&self, heard: &Heard) -> Result<Self::Intent, Stop>;
    /// Does it, once.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    async fn act(&self, intent: &Self::Intent, fence: Fence<'_>) -> Result<Acted, PortError>;
    /// Whether it was done, seen from outside.
    async fn find(&self, intent: &Self::Intent) -> Result<Found, PortError>;
}

/// Why a guard does not let an effect happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stop {
    /// The system is halted, or it cannot be proved that it is not, and no approval covers that.
    Halted(String),
    /// There is an approval, and it does not hold for what the guard found.
    Void(String),
    /// Somebody asked for the operation to stop.
    Cancelled(String),
    /// The target is not what the plan was made for any more.
    Changed(String),
    /// A limit that held when it was checked does not hold now.
    OverLimit(String),
    /// The target no longer exists.
    Gone(String),
    /// It could not be found out.
    Unknown(String),
}

impl Stop {
    /// In words.
    pub fn why(&self) -> &str {
        match self {
            Self::Halted(why)
            | Self::Void(why)
            | Self::Cancelled(why)
            | Self::Changed(why)
            | Self::OverLimit(why)
            | Self::Gone(why)
            | Self::Unknown(why) => why,
        }
    }
}

/// The outside's answer to an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    /// It is done.
    Done,
    /// Something changed since the guard looked; nothing was done.
    Conflict(String),
    /// The outside will not; nothing was done.
    Refused(String),
}

impl From<OrderAnswer> for Acted {
    fn from(answer: OrderAnswer) -> Self {
        match answer {
            OrderAnswer::Done => Self::Done,
            OrderAnswer::Conflict { detail } => Self::Conflict(detail),
            OrderAnswer::Refused { detail } => Self::Refused(detail),
        }
    }
}

/// What an observation says about an act whose answer is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// It was done, by us.
    Done,
    /// Nothing has happened since the guard looked.
    Untouched,
    /// Something else has happened.
    Otherwise(String),
}

/// What became of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done.
    Done,
    /// Something had changed; nothing was done.
    Conflict,
    /// The guard's reading was too old by then; nothing was done.
    Late,
    /// The outside will not.
    Refused,
    /// It cannot be told.
    Unknown,
    /// A guard did not let it happen; there was no intent.
    Stopped,
}

/// The body of the event that answers an intent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answered {
    /// What became of it.
    pub result: Answer,
    /// The answer was lost, and this was found out by looking.
    pub adopted: bool,
    /// Nothing had happened: it is tried anew from the guard.
    pub untouched: bool,
    /// In words, what there is to say.
    pub detail: Option<String>,
    /// Why a guard did not let it happen.
    pub stop: Option<Stop>,
}

impl Answered {
    /// The version of its shape.
    pub(crate) const VERSION: u32 = 1;

    fn from_act(acted: Acted) -> Self {
        let (result, detail) = match acted {
            Acted::Done => (Answer::Done, None),
            Acted::Conflict(detail) => (Answer::Conflict, Some(detail)),
            Acted::Refused(detail) => (Answer::Refused, Some(detail)),
        };
        Self { result, adopted: false, untouched: false, detail, stop: None }
    }

    fn late(age: Duration) -> Self {
        let detail = format!("what the guard had read was {} ms old, the limit is 2 s", age.as_millis());
        Self { result: Answer::Late, adopted: false, untouched: true, detail: Some(detail), stop: None }
    }

    fn stopped(stop: Stop) -> Self {
        Self { result: Answer::Stopped, adopted: false, untouched: true, detail: None, stop: Some(stop) }
    }

    fn from_search(found: Result<Found, PortError>) -> Self {
        let (result, untouched, detail) = match found {
            Ok(Found::Done) => (Answer::Done, false, None),
            Ok(Found::Untouched) => (Answer::Unknown, true, None),
            Ok(Found::Otherwise(detail)) => (Answer::Unknown, false, Some(detail)),
            Err(error) => (Answer::Unknown, false, Some(error.to_string())),
        };
        Self { result, adopted: true, untouched, detail, stop: None }
    }

    fn is_final(&self) -> bool {
        match self.result {
            Answer::Done | Answer::Refused | Answer::Stopped => true,
            Answer::Conflict | Answer::Late => false,
            Answer::Unknown => !self.untouched,
        }
    }
}

/// One attempt at an effect, as recorded.
struct Attempt<I> {
    key: String,
    intent: I,
    intended_at: Timestamp,
    answered: Recorded<Answered>,
}

/// An attempt whose answer was lost, and of which nothing was to be seen: its request may still arrive.
pub(super) struct Unanswered {
    answered: Kind,
    subject: String,
    key: String,
    intent: Value,
}

impl Unanswered {
    /// The step that records what became of it after all.
    fn found_key(&self) -> String {
        format!("{}/found", self.key)
    }
}

/// The step that records that a guard did not let an attempt happen.
fn stopped_key(key: &str) -> String {
    format!("{key}/stopped")
}

/// How an effect ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Effected<I> {
    /// It is done: the intent, and from when on what is to follow within a time counts. That is when the intent was
    /// appended, so that a restart between act and answer lengthens nothing; for a request that arrived late, when that
    /// was found.
    Done(I, Timestamp),
    /// A guard did not let it happen. Nothing was done.
    Stopped(Stop),
    /// The outside will not. Nothing was done.
    Refused(String),
    /// Every attempt met a change by somebody else. Nothing was done.
    Contended(String),
    /// It is not known whether it was done, and looking did not tell.
    Unknown(String),
}

impl<I> Effected<I> {
    /// Why it was not done, or that it is not known, in words; `None` when it was.
    pub fn why_not(&self) -> Option<String> {
        match self {
            Self::Done(..) => None,
            Self::Stopped(stop) => Some(stop.why().to_owned()),
            Self::Refused(why) => Some(format!("it was refused: {why}")),
            Self::Contended(why) => Some(format!("somebody else kept changing it: {why}")),
            Self::Unknown(why) => Some(format!("it is not known whether it was done: {why}")),
        }
    }
}

fn settled<I>(intent: I, answered: Answered, at: Timestamp) -> Effected<I> {
    match answered.result {
        Answer::Done => Effected::Done(intent, at),
        _ => Effected::Unknown(answered.detail.unwrap_or_default()),
    }
}

impl Journal<'_> {
    /// Changes the outside, at most once.
    pub async fn effect<E: Effect>(&mut self, key: &str, effect: &E) -> Result<Effected<E::Intent>, Interrupted> {
        let mut last = String::new();
        for number in 1..=ATTEMPTS {
            let attempt_key = if number == 1 { key.to_owned() } else { format!("{key}/{number}") };
            if let Some(effected) = self.settled_earlier(effect)? {
                return Ok(effected);
            }
            if let Some(stop) = self.stopped_earlier(&attempt_key)? {
                return Ok(Effected::Stopped(stop));
            }
            let attempted = match self.replay::<E::Intent>(&attempt_key)? {
                Some(intent) => {
                    let answered = self.answer_of_the_past(&attempt_key, effect, &intent).await?;
                    Attempt { key: attempt_key, intent: intent.body, intended_at: intent.at, answered }
                }
                None => match self.attempt(&attempt_key, effect).await? {
                    Ok(attempted) => attempted,
                    Err(stop) => return self.stopped(&attempt_key, effect, stop).await,
                },
            };
            let answered = &attempted.answered.body;
            let detail = answered.detail.clone().unwrap_or_default();
            match answered.result {
                Answer::Done => return Ok(Effected::Done(attempted.intent, attempted.intended_at)),
                Answer::Refused => return Ok(self.settle(effect).await?.unwrap_or(Effected::Refused(detail))),
                _ if answered.is_final() => return Ok(Effected::Unknown(detail)),
                Answer::Unknown => self.note_unanswered(effect, attempted)?,
                Answer::Conflict | Answer::Late | Answer::Stopped => {}
            }
            last = detail;
        }
        Ok(self.settle(effect).await?.unwrap_or(Effected::Contended(last)))
    }

    fn note_unanswered<E: Effect>(&mut self, effect: &E, attempt: Attempt<E::Intent>) -> Result<(), Interrupted> {
        let intent = serde_json::to_value(&attempt.intent).map_err(|error| not_json(attempt.intent.kind(), &error))?;
        let subject = effect.subject().to_owned();
        self.unanswered.push(Unanswered { answered: effect.answered(), subject, key: attempt.key, intent });
        Ok(())
    }

    /// A guard said stop. The change that it met may be our own, arrived late.
    async fn stopped<E: Effect>(
        &mut self,
        key: &str,
        effect: &E,
        stop: Stop,
    ) -> Result<Effected<E::Intent>, Interrupted> {
        if let Some(effected) = self.settle(effect).await? {
            return Ok(effected);
        }
        let answered = Answered::stopped(stop.clone());
        self.record_as(effect.answered(), Answered::VERSION, &stopped_key(key), &answered, Claim::Keep).await?;
        Ok(Effected::Stopped(stop))
    }

    /// Before an operation ends as if nothing was done: whether a request whose answer was lost, in this round or an
    /// earlier one, has arrived after all. `None` when there is no such request, or when still nothing has happened.
    pub async fn settle<E: Effect>(&mut self, effect: &E) -> Result<Option<Effected<E::Intent>>, Interrupted> {
        if let Some(effected) = self.settled_earlier(effect)? {
            return Ok(Some(effected));
        }
        let Some((key, intent)) = self.last_unanswered(effect)? else { return Ok(None) };
        if self.next_key().is_some() || mutated!(NoLastLook) {
            // What was concluded then stands further on in the log.
            return Ok(None);
        }
        let found = self.search(effect, &intent).await;
        if found == Ok(Found::Untouched) {
            return Ok(None);
        }
        let answered = Answered::from_search(found);
        let at = self.record_as(effect.answered(), Answered::VERSION, &key, &answered, Claim::Keep).await?;
        Ok(Some(settled(intent, answered, at)))
    }

    /// Whether a request of that effect, whose answer was lost and of which nothing was to be seen, may still arrive.
    pub fn may_still_arrive<E: Effect>(&self, effect: &E) -> bool {
        self.may_be_on_its_way(effect.answered(), effect.subject())
    }

    /// The same, of an effect with answers of that kind about that subject.
    pub(crate) fn may_be_on_its_way(&self, answered: Kind, subject: &str) -> bool {
        self.unanswered.iter().any(|one| one.answered == answered && one.subject == subject)
    }

    /// Whether the log goes on with what became, after all, of an earlier request with answers of that kind about that subject.
    pub(crate) fn goes_on_with_found(&self, answered: Kind, subject: &str) -> bool {
        let last = self.unanswered.iter().rev().find(|one| one.answered == answered && one.subject == subject);
        last.is_some_and(|one| self.next_key() == Some(one.found_key()))
    }

    /// What the log holds of that.
    fn settled_earlier<E: Effect>(&mut self, effect: &E) -> Result<Option<Effected<E::Intent>>, Interrupted> {
        let Some((key, intent)) = self.last_unanswered(effect)? else { return Ok(None) };
        if self.next_key().as_deref() != Some(key.as_str()) {
            return Ok(None);
        }
        Ok(self.next_answer(&key)?.map(|answered| settled(intent, answered.body, answered.at)))
    }

    /// The last attempt whose answer was lost: where what became of it is recorded, and what it was.
    fn last_unanswered<E: Effect>(&self, effect: &E) -> Result<Option<(String, E::Intent)>, Interrupted> {
        let same = |one: &&Unanswered| one.answered == effect.answered() && one.subject == effect.subject();
        let Some(last) = self.unanswered.iter().rev().find(same) else { return Ok(None) };
        let intent = serde_json::from_value(last.intent.clone())
            .map_err(|error| Interrupted::Parked { reason: format!("the intent of {} ({error})", last.key) })?;
        Ok(Some((last.found_key(), intent)))
    }

    /// When the ledger holds that a guard did not let this attempt happen.
    fn stopped_earlier(&mut self, key: &str) -> Result<Option<Stop>, Interrupted> {
        let key = stopped_key(key);
        if self.next_key().as_deref() != Some(key.as_str()) {
            return Ok(None);
        }
        Ok(self.next_answer(&key)?.and_then(|answered| answered.body.stop))
    }

    /// Guard, intent, act, answer.
    async fn attempt<E: Effect>(
        &mut self,
        key: &str,
        effect: &E,
    ) -> Result<Result<Attempt<E::Intent>, Stop>, Interrupted> {
        self.signals().await?;
        if effect.can_wait() {
            self.until_people_are_reached().await?;
        }
        let began = self.world.monotonic();
        let (read_at, intent) = loop {
            let read_at = self.world.monotonic();
            let heard = self.heard.count();
            let intent = match effect.guard(&self.heard).await {
                Ok(intent) => intent,
                // What could not be found out now, or is over a limit, may not be in a moment; an effect never happens
                // without it.
                Err(Stop::Unknown(_) | Stop::OverLimit(_))
                    if self.world.monotonic().saturating_sub(began) < SEARCH_LIMIT =>
                {
                    self.listen(SEARCH_PAUSE).await?;
                    continue;
                }
                Err(stop) => return Ok(Err(stop)),
            };
            // A withdrawal or a cancellation counts until the intent is appended.
            if self.signals().await?.count() == heard {
                break (read_at, intent);
            }
        };
        if mutated!(ActFirst) {
            let _ = effect.act(&intent, Fence { operation: &self.operation, epoch: self.epoch }).await;
        }
        let kind = intent.kind();
        let intended_at = self.record_as(kind, E::Intent::VERSION, key, &intent, Claim::Keep).await?;

        let age = self.world.monotonic().saturating_sub(read_at);
        let answered = if age > GUARD_LIMIT && !mutated!(StaleGuard) {
            Answered::late(age)
        } else {
            let fence = Fence { operation: &self.operation, epoch: self.epoch };
            match effect.act(&intent, fence).await {
                Ok(acted) => Answered::from_act(acted),
                Err(_lost) => Answered::from_search(self.search(effect, &intent).await),
            }
        };
        let answered = self.record_answer(effect, key, answered).await?;
        Ok(Ok(Attempt { key: key.to_owned(), intent, intended_at, answered }))
    }

    /// Waits for as long as the room holds changes back. Whoever cancels meanwhile ends that: the guard sees to the rest.
    async fn until_people_are_reached(&mut self) -> Result<(), Interrupted> {
        let mut said = false;
        while let Some(why) = self.room.holds_back().filter(|_| self.heard.cancelled_by().is_none()) {
            if !std::mem::replace(&mut said, true) {
                tracing::warn!(operation = %self.operation, why, "the next change waits until people are reached");
            }
            self.listen(SEARCH_PAUSE).await?;
        }
        Ok(())
    }

    /// The answer to an intent that the ledger holds: the one recorded, or what an observation says once nobody acts on
    /// it any more.
    async fn answer_of_the_past<E: Effect>(
        &mut self,
        key: &str,
        effect: &E,
        intent: &Recorded<E::Intent>,
    ) -> Result<Recorded<Answered>, Interrupted> {
        let answer_key = format!("{key}/answer");
        if let Some(answered) = self.next_answer(&answer_key)? {
            return Ok(answered);
        }
        if self.is_of_another_process(intent.op_seq) && !mutated!(LooksAtOnce) {
            // Whoever appended it may live, and begin what it says for as long as its guard is fresh.
            let since = self.world.monotonic().saturating_sub(self.opened);
            self.world.sleep(GUARD_LIMIT.saturating_sub(since)).await;
        }
        let found =
            if mutated!(GoAgainUnseen) { Ok(Found::Untouched) } else { self.search(effect, &intent.body).await };
        let answered = Answered::from_search(found);
        self.record_answer(effect, key, answered).await
    }

    /// The next recorded step, which is an answer.
    fn next_answer(&mut self, key: &str) -> Result<Option<Recorded<Answered>>, Interrupted> {
        let Some((event, body, at)) = self.next_recorded(key, Answered::VERSION)? else {
            return Ok(None);
        };
        let body = serde_json::from_value(body.into()).map_err(|error| unreadable(&event, &error))?;
        Ok(Some(Recorded { body, op_seq: event.op_seq, at }))
    }

    async fn record_answer<E: Effect>(
        &mut self,
        effect: &E,
        key: &str,
        body: Answered,
    ) -> Result<Recorded<Answered>, Interrupted> {
        if mutated!(AnswerUnwritten) {
            return Ok(Recorded { body, op_seq: self.length(), at: self.world.now() });
        }
        let answer_key = format!("{key}/answer");
        let at = self.record_as(effect.answered(), Answered::VERSION, &answer_key, &body, Claim::Keep).await?;
        Ok(Recorded { body, op_seq: self.length(), at })
    }

    /// Looks until the outside can be observed, or for so long that it must be said that it cannot be told.
    async fn search<E: Effect>(&self, effect: &E, intent: &E::Intent) -> Result<Found, PortError> {
        let began = self.world.monotonic();
        loop {
            match effect.find(intent).await {
                Err(error) if error.may_pass() && self.world.monotonic().saturating_sub(began) < SEARCH_LIMIT => {
                    self.world.sleep(SEARCH_PAUSE).await;
                }
                found => return found,
            }
        }
    }
}
