//! Where people are: the room with its cards, the log channel, the documents.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{PortError, Post};
use crate::approval::Standing;
use crate::card::Card;
use crate::event::Hash;
use crate::units::{InstanceId, OperationId, Person, Timestamp};

/// The place where people see what an operation does. What cannot be shown never stops an operation by itself.
#[async_trait]
pub trait Room: Send + Sync {
    /// Shows a card, or shows it anew where the operation already has one in that slot.
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError>;

    /// Who somebody is at this moment, asked of the chat system itself and never of a memory of it.
    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError>;

    /// Whether somebody is there who could answer a question now.
    fn attended(&self) -> bool;

    /// Tells one person something that nobody else sees.
    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError>;

    /// Answers a question with a card that belongs to no operation.
    async fn reply(&self, person: &Person, card: &Card) -> Result<(), PortError>;

    /// Why changes that nothing forces have to wait now, in words: people are not reached, and they are to see what is
    /// done. `None` where nothing has to.
    fn holds_back(&self) -> Option<String> {
        None
    }

    /// Whether everything that people have said until now was handed in: what they said while nobody listened, too.
    fn hears(&self) -> bool {
        true
    }
}

/// A role that the bot knows, whatever the chat system calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Asks for scalings, and sees them through.
    Operator,
    /// Decides during a halt, and lifts what only governance may lift.
    GovernanceLead,
    /// Sees to the limits of the infrastructure.
    InfrastructureTeam,
    /// Sees to inconsistencies, and to what does not improve.
    SystemArchitect,
}

impl Role {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::GovernanceLead => "governance lead",
            Self::InfrastructureTeam => "infrastructure team",
            Self::SystemArchitect => "system architect",
        }
    }
}

/// The cards an operation has, in the order in which they appear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Slot {
    /// What was found and what follows from it.
    Precheck,
    /// What an operator is asked.
    Question,
    /// What governance is asked, and what became of it.
    Approval,
    /// A role that is told.
    Escalation,
    /// How far it is.
    Progress,
    /// What verification found.
    Verification,
    /// That it is taken back, and how far that is.
    WayBack,
    /// What governance is offered: to halt the system.
    HaltOffer,
    /// How it ended.
    Summary,
}

/// The channel that is told of every event, and is the log's outside witness.
#[async_trait]
pub trait LogChannel: Send + Sync {
    /// Posts it; returns the channel's identifier of the message. The same post sent twice within minutes is one
    /// message, where the channel offers that (a nonce made of its seal): a process that was overtaken a moment ago, or
    /// a request that was given up, may still be on its way.
    ///
    /// # Errors
    /// Also when it is not known whether the channel has taken it.
    async fn post(&self, post: &Post) -> Result<String, PortError>;

    /// Whether a post with exactly these events and this hash is already there: its identifier.
    async fn find(&self, post: &Post) -> Result<Option<String>, PortError>;

    /// Every post in the channel that carries a seal, oldest first.
    async fn sealed(&self) -> Result<Vec<Announced>, PortError>;

    /// The newest post that the bot made; `None` where there is none.
    async fn newest(&self) -> Result<Option<Announced>, PortError> {
        Ok(self.sealed().await?.into_iter().rfind(|post| !post.foreign))
    }
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
    /// Whether it was changed after it was posted.
    pub edited: bool,
    /// Whether somebody else wrote it: it is no witness, and says something about who.
    pub foreign: bool,
    /// When it was posted, by the channel's own word.
    pub posted: Option<Timestamp>,
}

impl Announced {
    /// Of a channel that tells nothing beyond what is posted.
    pub fn plain(first: u64, last: u64, hash: Hash) -> Self {
        Self { first, last, hash, edited: false, foreign: false, posted: None }
    }
}

/// The documents that the bot keeps current.
#[async_trait]
pub trait Documents: Send + Sync {
    /// Replaces the capacity document as a whole; returns where it is.
    async fn write_capacity(&self, text: &str) -> Result<String, PortError>;

    /// Keeps what an instance wrote, for whoever looks into it later; returns where it is.
    async fn keep_logs(&self, operation: &OperationId, instance: &InstanceId, text: &str) -> Result<String, PortError>;
}
