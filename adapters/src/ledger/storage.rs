//! The log as a whole, whichever database holds it: what a process needs that writes it, or that proves it.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use scalebot_commands::event::Event;
use scalebot_commands::ports::{Ledger, LedgerError, Posts, Samples};
use scalebot_commands::units::Epoch;

use super::fault::StorageError;

/// What became of the wish to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// This process leads, and writes under this epoch.
    Ours(Epoch),
    /// Another one does.
    Led(Led),
}

/// Who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// The process, as it calls itself.
    pub by: String,
    /// How much longer, unless it says so again before.
    pub for_another: Duration,
}

/// The operational log with what lies beside it.
#[async_trait]
pub trait Storage: Ledger + Posts + Samples {
    /// Makes this process, which calls itself `who`, the one that writes, unless another one leads. The fencing epoch is
    /// raised with it, so that whoever led before writes nothing more.
    ///
    /// # Errors
    /// When it cannot be written, and when the log was moved elsewhere.
    async fn lead(&self, who: &str) -> Result<Taken, StorageError>;

    /// Goes on leading, where that has to be said again and again. Ends when this process leads no longer: why.
    async fn until_lost(&self) -> String;

    /// Leads no longer, so that another process may at once.
    async fn resign(&self);

    /// Which process leads, in words; `None` where none does, or where that cannot be seen here.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn leader(&self) -> Result<Option<String>, LedgerError>;

    /// Where it was moved to, as people are told; `None` where it was not.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn moved_to(&self) -> Result<Option<String>, LedgerError>;

    /// The last event's place; 0 where there is none. It takes as long for a short log as for a long one.
    ///
    /// # Errors
    /// When it cannot be read.
    async fn latest_place(&self) -> Result<u64, LedgerError>;

    /// Every row of the log in order, read as it is asked for: memory stays flat however long the log is. It sees the
    /// log as it was when the reading began. Rows whose place is impossible are among them; a row that does not hold
    /// an event is an error, after which nothing more comes.
    fn events(&self) -> BoxStream<'_, Result<Event, StorageError>>;

    /// Whether a log opened for reading only was written to since. Then what was read may be of two states mixed:
    /// whoever found something wrong opens it again and looks again.
    fn has_moved_on(&self) -> bool;

    /// Where it is, as people are told. Holds no secret.
    fn place(&self) -> String;

    /// Closes every connection; what is being written is finished first. To be called last.
    async fn close(&self);
}
