//! The journal: how the runbook survives being killed at any instant.
//!
//! The runbook talks to the outside in three ways only. A **step** observes or decides: its outcome is appended before
//! the runbook moves on, and on re-entry it is returned instead of being found out again. An **effect** changes the
//! outside: guard, intent, act, answer ([`Effect`]). A **signal** comes from people or the world into an inbox, is
//! appended by the operation's own task, and is looked at only where the runbook says so.
//!
//! A step is named by a path (`scale/2`, `verify`). On re-entry the names are compared with what the ledger holds: what
//! does not fit parks the operation, because a runbook that changed under it must not guess.

mod appender;
mod effect;
mod signal;
mod unfit;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::appender::Appender;
pub use self::effect::{Acted, Answer, Answered, Effect, Effected, Fence, Found, GUARD_LIMIT, Stop};
pub use self::signal::{
    Answer as PersonsAnswer, CANCELS_WAITING, CancelRequested, Heard, Inbox, NotHeard, Signal, Signals, WAITING,
};
pub(crate) use self::unfit::{BY_ITS_OWN, unreadable};
use crate::event::{Claim, Draft, Event, Hash, Kind};
use crate::mutation::mutated;
use crate::ports::{AppendError, Ledger, LedgerError, Ports, Room, World};
use crate::units::{Epoch, OperationId, Timestamp};

/// What a step's outcome looks like in the ledger.
///
/// A body refuses unknown fields and carries its own version, so that an older or newer program never takes one for
/// something it is not.
pub trait Body: Serialize + DeserializeOwned {
    /// The version of its shape.
    const VERSION: u32;
    /// The kind of event that it is the body of.
    fn kind(&self) -> Kind;
}

/// Why the runbook stopped without an outcome. Nothing was journaled; whoever supervises enters it again, or not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Interrupted {
    /// The operational log cannot be written or read: entered again, with back-off.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Another process has taken over: this one ends.
    #[error("{0}")]
    Fenced(String),
    /// What the ledger holds does not fit this runbook: waits for a person.
    #[error("the operation is parked: {reason}")]
    Parked {
        /// What did not fit.
        reason: String,
    },
}

impl From<AppendError> for Interrupted {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Unavailable(error) => Self::Ledger(error),
            AppendError::Fenced { .. } | AppendError::Claimed(_) => Self::Fenced(error.to_string()),
        }
    }
}

/// The name under which a parking is escalated. It has the form of a step and is none: a version of the program that can
/// carry the operation on goes on as if it were not there.
pub(crate) const PARKING: &str = "parked";

/// A step's outcome as it is written: with the step's name and the version of its shape.
#[derive(Serialize)]
struct Named<'a, T> {
    step: &'a str,
    v: u32,
    #[serde(flatten)]
    body: &'a T,
}

/// The body of `resumed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Resumed {
    /// The `op_seq` of the last event before.
    pub after: u64,
}

/// The body of `clock_jump`: the wall clock stands before this event's predecessor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ClockJump {
    /// When the event before was written.
    pub last: Timestamp,
}

/// The body of `parked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Parked {
    /// What did not fit.
    pub reason: String,
}

/// A step's outcome, with its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded<T> {
    /// The outcome.
    pub body: T,
    /// Its place in the operation.
    pub op_seq: u64,
    /// When it was appended. Deadlines are counted from here, so that a restart does not extend them.
    pub at: Timestamp,
}

/// A recorded step as it stands: the event, its body without the step's name and version, and when it was appended.
type RecordedStep = (Event, Map<String, Value>, Timestamp);

/// One operation's journal. A single task owns it.
pub struct Journal<'a> {
    operation: OperationId,
    epoch: Epoch,
    ledger: Arc<dyn Ledger>,
    world: Arc<dyn World>,
    room: Arc<dyn Room>,
    recorded: Vec<Event>,
    read: usize,
    heard: Heard,
    inbox: &'a mut Inbox,
    /// When this process opened it, by the monotonic clock: from then on no other one appends.
    opened: Duration,
    /// Attempts at effects whose answer was lost.
    unanswered: Vec<effect::Unanswered>,
}

impl<'a> Journal<'a> {
    /// Opens the journal of an operation whose `requested` is in the ledger. When there is more than that, a process
    /// was here before: that it is taken up again is recorded.
    pub async fn open(
        ports: &Ports,
        operation: OperationId,
        epoch: Epoch,
        inbox: &'a mut Inbox,
    ) -> Result<Self, Interrupted> {
        let opened = ports.world.monotonic();
        let recorded = ports.ledger.events_of(&operation).await?;
        let mut journal = Self {
            operation,
            epoch,
            ledger: Arc::clone(&ports.ledger),
            world: Arc::clone(&ports.world),
            room: Arc::clone(&ports.room),
            recorded,
            read: 0,
            heard: Heard::default(),
            inbox,
            opened,
            unanswered: Vec::new(),
        };
        for event in &journal.recorded {
            if event.kind == Kind::ClockJump.as_str() {
                journal.heard.clock_jumped(event.op_seq);
            }
            // It may be somebody's word, and whatever it says must not be passed over.
            if Kind::parse(&event.kind).is_none() {
                return Err(unfit::of_unknown_kind(event));
            }
            let Some(signal) = Signal::of(event) else { continue };
            let at = event.time().ok_or_else(|| unfit::damaged(event, &"its time is no time"))?;
            journal.heard.add(event.op_seq, at, signal.map_err(|error| unreadable(event, &error))?);
        }
        journal.note_clock_jump().await?;
        if journal.recorded.len() > 1 && journal.recorded.last().is_some_and(|last| last.epoch != epoch) {
            let after = journal.recorded.len() as u64;
            journal.append(Kind::Resumed, &Resumed { after }, Claim::Keep).await?;
        }
        Ok(journal)
    }

    /// The operation.
    pub fn operation(&self) -> &OperationId {
        &self.operation
    }

    /// The operation's first event, `requested`.
    pub fn request(&self) -> Result<&Event, Interrupted> {
        self.recorded
            .first()
            .filter(|first| first.kind == Kind::Requested.as_str())
            .ok_or_else(|| Interrupted::Parked { reason: "it has no request in the operational log".to_owned() })
    }

    /// Observes or decides, once: the outcome that the ledger holds, or else what `find_out` says, appended.
    ///
    /// While it is being found out, signals are appended as they come, and `find_out` hears of them.
    pub async fn step<T, F>(&mut self, key: &str, find_out: impl FnOnce(Heard) -> F) -> Result<Recorded<T>, Interrupted>
    where
        T: Body,
        F: Future<Output = T>,
    {
        self.try_step(key, |heard| async { Ok(find_out(heard).await) }).await
    }

    /// A step that may itself be interrupted, because it keeps something in the log's side tables as it goes.
    pub async fn try_step<T, F>(
        &mut self,
        key: &str,
        find_out: impl FnOnce(Heard) -> F,
    ) -> Result<Recorded<T>, Interrupted>
    where
        T: Body,
        F: Future<Output = Result<T, Interrupted>>,
    {
        if let Some(recorded) = self.replay(key)? {
            return Ok(recorded);
        }
        let mut finding = pin!(find_out(self.heard.clone()));
        let body = loop {
            let signal = match select(pin!(self.inbox.next()), finding.as_mut()).await {
                Either::Left((Some(signal), _)) => signal,
                Either::Left((None, _)) => break finding.await?,
                Either::Right((body, _)) => break body?,
            };
            self.hear(signal).await?;
        };
        self.record(key, body, Claim::Keep).await
    }

    /// The operation's last step: its outcome is appended and the target's claim given back in one transaction.
    pub async fn close<T, F>(&mut self, key: &str, find_out: F) -> Result<Recorded<T>, Interrupted>
    where
        T: Body,
        F: Future<Output = T>,
    {
        if let Some(recorded) = self.replay(key)? {
            return Ok(recorded);
        }
        let body = find_out.await;
        self.record(key, body, Claim::Release).await
    }

    /// Takes what has come into the inbox, appends it, and returns every signal that the operation was ever sent.
    pub async fn signals(&mut self) -> Result<&Heard, Interrupted> {
        while let Some(signal) = self.inbox.try_next() {
            self.hear(signal).await?;
        }
        Ok(&self.heard)
    }

    async fn hear(&mut self, signal: Signal) -> Result<(), Interrupted> {
        let tried = self.inbox.try_at(self.length() + 1);
        if tried.is_some_and(|op_seq| self.heard.holds(op_seq, &signal)) {
            // It was written, and only the answer was lost.
            self.inbox.recorded();
            return Ok(());
        }
        if mutated!(SwallowSignal) {
            self.inbox.recorded();
        }
        let (kind, body) = signal.event();
        let body = body.map_err(|error| not_json(kind, &error))?;
        let at = self.append_text(kind, body, Claim::Keep).await?;
        self.heard.add(self.length(), at, signal);
        self.inbox.recorded();
        Ok(())
    }

    /// Waits for a signal, at most until `limit` has passed, and appends it. Whether there was one.
    pub async fn listen(&mut self, limit: Duration) -> Result<bool, Interrupted> {
        let world = Arc::clone(&self.world);
        let signal = match select(pin!(self.inbox.next()), world.sleep(limit)).await {
            Either::Left((Some(signal), _)) => signal,
            Either::Left((None, rest)) => {
                rest.await;
                return Ok(false);
            }
            Either::Right(((), _)) => return Ok(false),
        };
        self.hear(signal).await?;
        Ok(true)
    }

    /// Whether nothing further is recorded, or the next recorded step is this one: then it may be taken.
    pub(crate) fn may_take(&self, key: &str) -> Option<bool> {
        self.next_key().map(|next| next == key)
    }

    /// Every signal that the operation was ever sent, without looking for new ones.
    pub fn heard(&self) -> &Heard {
        &self.heard
    }

    /// Appends a note about the operation that is no step of it.
    pub async fn note<T: Serialize>(&mut self, kind: Kind, body: &T) -> Result<(), Interrupted> {
        self.append(kind, body, Claim::Keep).await.map(|_| ())
    }

    /// Every note of that kind, oldest first, with its place in the operation.
    pub fn notes<T: DeserializeOwned>(&self, kind: Kind) -> Result<Vec<(u64, T)>, Interrupted> {
        let of_kind = self.recorded.iter().filter(|event| event.kind == kind.as_str());
        of_kind
            .map(|event| match serde_json::from_str(&event.body) {
                Ok(body) => Ok((event.op_seq, body)),
                Err(error) => Err(unreadable(event, &error)),
            })
            .collect()
    }

    /// Every event of the operation, oldest first.
    pub(crate) fn events(&self) -> &[Event] {
        &self.recorded
    }

    /// How many events the operation has.
    pub fn length(&self) -> u64 {
        self.recorded.len() as u64
    }

    /// A wall clock that stands before the last event has gone back: that is recorded, because what was to happen
    /// within a time can no longer be told to be in time.
    async fn note_clock_jump(&mut self) -> Result<(), Interrupted> {
        let now = self.world.now();
        match self.recorded.last().and_then(Event::time) {
            Some(last) if now < last && !mutated!(JumpUnsaid) => {
                self.note(Kind::ClockJump, &ClockJump { last }).await?;
                self.heard.clock_jumped(self.length());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Whether an event of this operation was appended by another process than this one.
    fn is_of_another_process(&self, op_seq: u64) -> bool {
        self.recorded.iter().any(|event| event.op_seq == op_seq && event.epoch != self.epoch)
    }

    /// The next step's outcome as the ledger holds it; `None` when the runbook has come to where nothing is recorded.
    pub(crate) fn replay<T: Body>(&mut self, key: &str) -> Result<Option<Recorded<T>>, Interrupted> {
        let Some((event, body, at)) = self.next_recorded(key, T::VERSION)? else {
            return Ok(None);
        };
        let body: T = serde_json::from_value(Value::Object(body)).map_err(|error| unreadable(&event, &error))?;
        if body.kind().as_str() != event.kind {
            let reason = format!("event {} is of kind {}, its content of kind {}", event.seq, event.kind, body.kind());
            return Err(Interrupted::Parked { reason });
        }
        Ok(Some(Recorded { body, op_seq: event.op_seq, at }))
    }

    /// The name of the next recorded step, without moving to it.
    fn next_key(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Named {
            step: String,
        }
        let rest = self.recorded.get(self.read..)?;
        let mut steps = rest.iter().filter_map(|event| serde_json::from_str::<Named>(&event.body).ok());
        steps.find(|named| named.step != PARKING).map(|named| named.step)
    }

    /// Moves to the next recorded step and checks that it is the one the runbook asks for.
    fn next_recorded(&mut self, key: &str, version: u32) -> Result<Option<RecordedStep>, Interrupted> {
        while let Some(event) = self.recorded.get(self.read) {
            self.read += 1;
            let mut body: Map<String, Value> =
                serde_json::from_str(&event.body).map_err(|error| unreadable(event, &error))?;
            let Some(step) = body.remove("step") else {
                // Not a step's outcome: the request, a signal, or a note about the operation.
                continue;
            };
            if step == PARKING {
                continue;
            }
            if step != key {
                let reason = format!(
                    "event {} belongs to step {}, where this version expects \"{key}\"; {BY_ITS_OWN}",
                    event.seq,
                    crate::request::escaped(&step.to_string(), 60)
                );
                return Err(Interrupted::Parked { reason });
            }
            let written = body.remove("v").and_then(|v| v.as_u64());
            if written != Some(u64::from(version)) {
                return Err(unfit::of_another_version(event, written, version));
            }
            let at = event.time().ok_or_else(|| unfit::damaged(event, &"its time is no time"))?;
            return Ok(Some((event.clone(), body, at)));
        }
        Ok(None)
    }

    async fn record<T: Body>(&mut self, key: &str, body: T, claim: Claim) -> Result<Recorded<T>, Interrupted> {
        let at = self.record_as(body.kind(), T::VERSION, key, &body, claim).await?;
        Ok(Recorded { body, op_seq: self.length(), at })
    }

    /// Records the outcome of a step that needed the journal itself to come about.
    pub(crate) async fn record_step<T: Body>(&mut self, key: &str, body: T) -> Result<Recorded<T>, Interrupted> {
        self.record(key, body, Claim::Keep).await
    }

    async fn record_as<T: Serialize>(
        &mut self,
        kind: Kind,
        version: u32,
        key: &str,
        body: &T,
        claim: Claim,
    ) -> Result<Timestamp, Interrupted> {
        // Notes may stand behind the last recorded step; what is recorded now is not to be taken for one to replay.
        if self.next_key().is_none() {
            self.read = self.recorded.len();
        }
        self.append(kind, &Named { step: key, v: version, body }, claim).await
    }

    /// Appends one event of this operation.
    async fn append<T: Serialize>(&mut self, kind: Kind, body: &T, claim: Claim) -> Result<Timestamp, Interrupted> {
        let body = serde_json::to_string(body).map_err(|error| not_json(kind, &error))?;
        self.append_text(kind, body, claim).await
    }

    async fn append_text(&mut self, kind: Kind, body: String, claim: Claim) -> Result<Timestamp, Interrupted> {
        let at = self.world.now();
        let draft = Draft {
            operation: Some(self.operation.clone()),
            op_seq: self.recorded.len() as u64 + 1,
            epoch: self.epoch,
            at,
            kind,
            body,
            claim,
        };
        let event = match self.ledger.append(draft.clone()).await {
            Err(AppendError::Fenced { .. }) if mutated!(FencingIgnored) => Event::place(&draft, 0, Hash::GENESIS),
            appended => appended?,
        };
        // What is appended now is never replayed in this run, unless signals came between recorded steps.
        if self.read == self.recorded.len() {
            self.read += 1;
        }
        self.recorded.push(event);
        Ok(at)
    }
}

fn not_json(kind: Kind, error: &serde_json::Error) -> Interrupted {
    Interrupted::Ledger(LedgerError(format!("the event {kind} cannot be written as JSON: {error}")))
}
