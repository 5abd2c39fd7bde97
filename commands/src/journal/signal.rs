//! Signals: what people send into an operation while it runs. The operation's own task appends each to the log before
//! anything is concluded from it, so that after a restart the same ones are there.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt as _;
use futures::channel::mpsc;
use serde::{Deserialize, Serialize};

use crate::approval::{Ballot, Vote};
use crate::event::{Event, Kind};
use crate::mutation::mutated;
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

/// How many signals may wait for an operation to take them.
pub const WAITING: usize = 100;

/// How many more may wait that ask it to stop: whatever else is said, that is heard.
pub const CANCELS_WAITING: usize = 10;

/// Where signals for one operation are put.
#[derive(Clone, Debug)]
pub struct Signals {
    sender: mpsc::UnboundedSender<Signal>,
    waiting: Arc<AtomicUsize>,
}

/// Why a signal was not taken, in words for who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotHeard {
    /// So many wait already.
    #[error("Too much is said at once, so this was not heard.\nSay it again in a moment.")]
    TooMany,
    /// The operation has ended, or is carried out elsewhere now.
    #[error("The operation does not listen any more, so this was not heard.")]
    Ended,
}

impl Signals {
    /// Puts a signal where the operation takes it from.
    ///
    /// # Errors
    /// When it is not taken. Who sent it has to be told: nothing is lost silently.
    pub fn send(&self, signal: Signal) -> Result<(), NotHeard> {
        let most = if matches!(signal, Signal::Cancel(_)) { WAITING + CANCELS_WAITING } else { WAITING };
        let one_more = |waiting: usize| (waiting < most).then_some(waiting + 1);
        self.waiting
            .try_update(Ordering::SeqCst, Ordering::SeqCst, one_more)
            .map_err(|_| if self.sender.is_closed() { NotHeard::Ended } else { NotHeard::TooMany })?;
        self.sender.unbounded_send(signal).map_err(|_| NotHeard::Ended)
    }
}

/// The other end, which the operation's journal holds.
#[derive(Debug)]
pub struct Inbox {
    receiver: mpsc::UnboundedReceiver<Signal>,
    waiting: Arc<AtomicUsize>,
    /// Taken out, and not known to be in the log. It outlives the journal, so that a log that could not be written for
    /// a moment does not swallow what somebody said.
    unrecorded: Option<Signal>,
    /// The place in the operation at which that was last to be appended.
    tried: Option<u64>,
}

impl Inbox {
    /// A new one, and what signals are put into it with.
    pub fn new() -> (Signals, Self) {
        let (sender, receiver) = mpsc::unbounded();
        let waiting = Arc::new(AtomicUsize::new(0));
        let signals = Signals { sender, waiting: Arc::clone(&waiting) };
        (signals, Self { receiver, waiting, unrecorded: None, tried: None })
    }

    fn taken(&self, signal: Option<Signal>) -> Option<Signal> {
        if signal.is_some() {
            self.waiting.fetch_sub(1, Ordering::SeqCst);
        }
        signal
    }

    /// Waits for the next signal; `None` when nobody can send one any more. It stays the next one until it is
    /// [`recorded`](Self::recorded).
    pub(super) async fn next(&mut self) -> Option<Signal> {
        if self.unrecorded.is_none() {
            let next = self.receiver.next().await;
            self.unrecorded = self.taken(next);
        }
        self.unrecorded.clone()
    }

    /// The next signal, if there is one already.
    pub(super) fn try_next(&mut self) -> Option<Signal> {
        if self.unrecorded.is_none() {
            let next = self.receiver.try_recv().ok();
            self.unrecorded = self.taken(next);
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
        self.1.load(Ordering::SeqCst) > op_seq && !mutated!(JumpVoidsNothing)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: usize) -> Signal {
        Signal::Reason(Answer { by: Person::new("viewer"), text: text.to_string() })
    }

    fn cancel() -> Signal {
        Signal::Cancel(CancelRequested { by: Person::new("operator") })
    }

    #[test]
    fn so_many_signals_wait_and_who_says_more_is_told_so_and_is_heard_when_there_is_room() {
        let (signals, mut inbox) = Inbox::new();
        for number in 0..WAITING {
            assert_eq!(signals.send(said(number)), Ok(()));
        }
        // Another who sends shares the same room.
        let another = signals.clone();
        assert_eq!(another.send(said(WAITING)), Err(NotHeard::TooMany));
        assert_eq!(inbox.try_next(), Some(said(0)));
        // As long as it is not in the log it stays the next one.
        assert_eq!(inbox.try_next(), Some(said(0)));
        assert_eq!((another.send(said(WAITING)), signals.send(said(0))), (Ok(()), Err(NotHeard::TooMany)));
        for number in 0..=WAITING {
            assert_eq!(inbox.try_next(), Some(said(number)));
            inbox.recorded();
        }
        assert_eq!(inbox.try_next(), None);
    }

    #[test]
    fn whoever_asks_it_to_stop_is_heard_whatever_else_is_said() {
        let (signals, _inbox) = Inbox::new();
        while signals.send(said(0)).is_ok() {}
        for _ in 0..CANCELS_WAITING {
            assert_eq!(signals.send(cancel()), Ok(()));
        }
        assert_eq!(signals.send(cancel()), Err(NotHeard::TooMany));
    }

    #[test]
    fn an_operation_that_has_ended_hears_nothing_however_much_was_said() {
        let (signals, inbox) = Inbox::new();
        while signals.send(said(0)).is_ok() {}
        drop(inbox);
        assert_eq!(signals.send(said(0)), Err(NotHeard::Ended));
        let (signals, inbox) = Inbox::new();
        drop(inbox);
        assert_eq!(signals.send(said(0)), Err(NotHeard::Ended));
    }
}
