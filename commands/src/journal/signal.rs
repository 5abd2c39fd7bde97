//! Signals: what people send into an operation while it runs. The operation's own task appends each to the log before
//! anything is concluded from it, so that after a restart the same ones are there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::channel::mpsc;
use serde::{Deserialize, Serialize};

use crate::approval::{Ballot, Vote};
use crate::event::{Event, Kind};
use crate::units::{Person, Timestamp};

/// What comes from people while an operation runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Somebody asked for the operation to stop.
    Cancel(CancelRequested),
    /// Somebody put a mark on an approval request.
    Cast(Ballot),
    /// Somebody took a mark away again.
    Withdrawn(Ballot),
    /// Somebody said why it is done.
    Reason(Answer),
    /// Somebody gave their word that new instances reach their keys.
    Attest(Answer),
}

/// The body of `reason_given` and of `attestation_given`: what a person answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// Who.
    pub by: Person,
    /// In their words.
    pub text: String,
}

/// The body of `cancel_requested`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CancelRequested {
    /// Who asked.
    pub by: Person,
}

impl Signal {
    /// The kind of event that it is recorded as, and the event's body.
    pub(super) fn event(&self) -> (Kind, serde_json::Result<String>) {
        match self {
            Self::Cancel(cancel) => (Kind::CancelRequested, serde_json::to_string(cancel)),
            Self::Cast(ballot) => (Kind::VoteCast, serde_json::to_string(ballot)),
            Self::Reason(answer) => (Kind::ReasonGiven, serde_json::to_string(answer)),
            Self::Attest(answer) => (Kind::AttestationGiven, serde_json::to_string(answer)),
            Self::Withdrawn(ballot) => (Kind::VoteWithdrawn, serde_json::to_string(ballot)),
        }
    }

    /// Reads it back; `None` for an event that is no signal.
    pub(super) fn of(event: &Event) -> Option<serde_json::Result<Self>> {
        let body = &event.body;
        Some(match Kind::parse(&event.kind)? {
            Kind::CancelRequested => serde_json::from_str(body).map(Self::Cancel),
            Kind::VoteCast => serde_json::from_str(body).map(Self::Cast),
            Kind::ReasonGiven => serde_json::from_str(body).map(Self::Reason),
            Kind::AttestationGiven => serde_json::from_str(body).map(Self::Attest),
            Kind::VoteWithdrawn => serde_json::from_str(body).map(Self::Withdrawn),
            _ => return None,
        })
    }
}

/// Where signals for one operation are put; the operation's journal holds the other end. Bounded by what people can
/// type or press while one operation runs.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::UnboundedReceiver<Signal>,
    /// Taken out, and not known to be in the log. It outlives the journal, so that a log that could not be written for
    /// a moment does not swallow what somebody said.
    unrecorded: Option<Signal>,
    /// The place in the operation at which that was last to be appended.
    tried: Option<u64>,
}

impl Inbox {
    /// A new one, and what signals are put into it with.
    pub fn new() -> (mpsc::UnboundedSender<Signal>, Self) {
        let (sender, receiver) = mpsc::unbounded();
        (sender, Self { receiver, unrecorded: None, tried: None })
    }

    /// Waits for the next signal; `None` when nobody can send one any more. It stays the next one until it is
    /// [`recorded`](Self::recorded).
    pub(super) async fn next(&mut self) -> Option<Signal> {
        if self.unrecorded.is_none() {
            self.unrecorded = self.receiver.next().await;
        }
        self.unrecorded.clone()
    }

    /// The next signal, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<Signal> {
        if self.unrecorded.is_none() {
            self.unrecorded = self.receiver.try_recv().ok();
        }
        self.unrecorded.clone()
    }

    /// Where the next signal was to be appended when its appending was last tried, and where it is now.
    pub(super) fn try_at(&mut self, op_seq: u64) -> Option<u64> {
        self.tried.replace(op_seq)
    }

    /// The next signal is in the log.
    pub(super) fn recorded(&mut self) {
        self.unrecorded = None;
        self.tried = None;
    }
}

/// The signals that the operation was sent so far, as the log holds them, for a step or a guard that has to listen.
#[derive(Clone, Debug, Default)]
pub struct Heard(Arc<Mutex<Vec<Logged>>>, Arc<AtomicU64>);

/// A signal with its place in the log.
#[derive(Clone, Debug)]
struct Logged {
    op_seq: u64,
    at: Timestamp,
    signal: Signal,
}

impl Heard {
    pub(super) fn add(&self, op_seq: u64, at: Timestamp, signal: Signal) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Logged { op_seq, at, signal });
    }

    pub(super) fn clock_jumped(&self, op_seq: u64) {
        self.1.fetch_max(op_seq, Ordering::SeqCst);
    }

    /// Whether the wall clock went back after that event of the operation.
    pub fn clock_jumped_after(&self, op_seq: u64) -> bool {
        self.1.load(Ordering::SeqCst) > op_seq
    }

    /// Whether that signal stands at that place of the operation.
    pub(super) fn holds(&self, op_seq: u64, signal: &Signal) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .any(|logged| logged.op_seq == op_seq && logged.signal == *signal)
    }

    /// How many signals there were so far.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn pick<T>(&self, pick: impl FnMut(&Logged) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(pick).collect()
    }

    /// Who asked for the operation to stop, if anybody did.
    pub fn cancelled_by(&self) -> Option<Person> {
        let cancelled = self.pick(|logged| match &logged.signal {
            Signal::Cancel(cancel) => Some(cancel.by.clone()),
            _ => None,
        });
        cancelled.into_iter().next()
    }

    /// Who asked for it to stop after that event of the operation, oldest first.
    pub fn cancels_after(&self, op_seq: u64) -> Vec<Person> {
        self.pick(|logged| match &logged.signal {
            Signal::Cancel(cancel) if logged.op_seq > op_seq => Some(cancel.by.clone()),
            _ => None,
        })
    }

    /// Every vote that was cast, oldest first.
    pub fn cast(&self) -> Vec<Vote> {
        self.pick(|logged| match &logged.signal {
            Signal::Cast(ballot) => Some(logged.vote(ballot)),
            _ => None,
        })
    }

    /// Every vote that was taken back, oldest first.
    pub fn withdrawn(&self) -> Vec<Vote> {
        self.pick(|logged| match &logged.signal {
            Signal::Withdrawn(ballot) => Some(logged.vote(ballot)),
            _ => None,
        })
    }

    /// Every answer to the question why, oldest first.
    pub fn reasons(&self) -> Vec<Answer> {
        self.pick(|logged| match &logged.signal {
            Signal::Reason(answer) => Some(answer.clone()),
            _ => None,
        })
    }

    /// Every word given on the keys, oldest first.
    pub fn attestations(&self) -> Vec<Answer> {
        self.pick(|logged| match &logged.signal {
            Signal::Attest(answer) => Some(answer.clone()),
            _ => None,
        })
    }
}

impl Logged {
    fn vote(&self, ballot: &Ballot) -> Vote {
        Vote { op_seq: self.op_seq, ballot: ballot.clone(), read_at: self.at }
    }
}
