//! The operational log, and the side tables beside it that its chain does not cover.

use async_trait::async_trait;

use crate::event::{Draft, Event, Hash};
use crate::figures::Load;
use crate::units::{OperationId, TargetName, Timestamp};

/// The append-only log of everything that happened, and the journal that operations resume from.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Appends one event in one transaction, with what it says about the target's claim. When this returns, the event
    /// is on disk.
    async fn append(&self, draft: Draft) -> Result<Event, AppendError>;

    /// Every event of one operation, in order.
    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError>;

    /// At most `limit` events with `seq` greater than `after`, in order.
    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError>;

    /// The targets that an unfinished operation holds.
    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError>;

    /// The last `limit` events of that kind, newest first.
    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError>;
}

/// A target held by an unfinished operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimHeld {
    /// The target.
    pub target: TargetName,
    /// The operation that holds it.
    pub operation: OperationId,
    /// Since when.
    pub since: Timestamp,
}

/// Why an event was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Another process has taken over, or this one lost count: it must stop acting.
    #[error("another process has taken the operational log over ({detail})")]
    Fenced {
        /// What did not match.
        detail: String,
    },
    /// Another operation holds the target.
    #[error("the target is held by operation {}", .0.operation.short())]
    Claimed(ClaimHeld),
    /// The log cannot be written. Nothing may be done that cannot be recorded.
    #[error(transparent)]
    Unavailable(#[from] LedgerError),
}

/// The log cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operational log cannot be used: {0}")]
pub struct LedgerError(pub String);

/// What monitoring saw. Bulky, so beside the chain; the digest in `monitored` covers it. A process from which another
/// has taken over keeps nothing any more: what it added would not be what the digest covers.
#[async_trait]
pub trait Samples: Send + Sync {
    /// Keeps one sample, as number `index` of the operation. Keeping the same index again replaces it.
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError>;
    /// Every sample of the operation, in order.
    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError>;
}

/// A post to the log channel: which events are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
    /// The first event in it.
    pub first: u64,
    /// The last event in it.
    pub last: u64,
    /// The last event's hash: what the log channel is a witness of.
    pub hash: Hash,
    /// What people read.
    pub text: String,
}

/// What is known of the posts: planned before it is sent, confirmed when the channel has taken it. A process from which
/// another has taken over plans and confirms nothing any more.
#[async_trait]
pub trait Posts: Send + Sync {
    /// The last event that a confirmed post covers (0 for none), and the post planned after it, if one was.
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError>;
    /// Fixes what the next post holds, before it is sent for the first time.
    async fn plan(&self, post: &Post) -> Result<(), LedgerError>;
    /// The channel has the planned post, under this identifier.
    async fn confirm(&self, post: &Post, message: &str) -> Result<(), LedgerError>;
}
