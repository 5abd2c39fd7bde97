//! Where people are: the room with its cards, the log channel, the documents.

use async_trait::async_trait;

use super::{PortError, Post};
use crate::card::Card;
use crate::event::Hash;
use crate::units::OperationId;

/// The place where people see what an operation does. What cannot be shown never stops an operation by itself.
#[async_trait]
pub trait Room: Send + Sync {
    /// Shows a card, or shows it anew where the operation already has one in that slot.
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError>;
}

/// The cards an operation has, in the order in which they appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// What was found and what follows from it.
    Precheck,
    /// How far it is.
    Progress,
    /// What verification found.
    Verification,
    /// How it ended.
    Summary,
}

/// The channel that is told of every event, and is the log's outside witness.
#[async_trait]
pub trait LogChannel: Send + Sync {
    /// Posts it; returns the channel's identifier of the message.
    ///
    /// # Errors
    /// Also when it is not known whether the channel has taken it.
    async fn post(&self, post: &Post) -> Result<String, PortError>;

    /// Whether a post with exactly these events and this hash is already there: its identifier.
    async fn find(&self, post: &Post) -> Result<Option<String>, PortError>;

    /// Every post in the channel that carries a seal, oldest first.
    async fn sealed(&self) -> Result<Vec<Announced>, PortError>;
}

/// What a post in the log channel says of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// The first event in it.
    pub first: u64,
    /// The last event in it.
    pub last: u64,
    /// The last event's hash, as posted.
    pub hash: Hash,
}

/// The documents that the bot keeps current.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Replaces the capacity document as a whole; returns where it is.
    async fn write_capacity(&self, text: &str) -> Result<String, PortError>;
}
