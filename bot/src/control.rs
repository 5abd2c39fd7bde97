//! The control socket: how somebody on the host speaks to the process that carries an operation out, without any chat.
//! It lies in the state directory and can be reached by its owner only; whoever speaks is known by what the system says
//! of the other end, never by what they say of themselves.

mod caller;
mod client;
mod server;

use scalebot_commands::units::OperationId;
use serde::{Deserialize, Serialize};

pub(crate) use self::caller::myself;
pub(crate) use self::client::{NoAnswer, cancel, status};
pub(crate) use self::server::Control;

/// `GET /status`: what the process is busy with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Busy {
    /// The process.
    pub(crate) process: u32,
    /// The operation that it carries out; `None` while it does nothing.
    pub(crate) operation: Option<OperationId>,
}

/// `POST /cancel`: what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cancelled {
    /// It is on record.
    Recorded(OperationId),
    /// One was on record before.
    Already(OperationId),
    /// The operation was told, and it is not on record yet.
    PassedOn(OperationId),
    /// Too much waits to be heard by the operation already: it was not told.
    NotHeard(OperationId),
    /// The fleet is brought back, which is not interrupted: the operation was not told.
    GoingBack(OperationId),
    /// Nothing is left to stop: the operation was not told.
    Over(OperationId),
    /// Only a governance lead's word on the halt is awaited, which is not the host's to give up: the operation was not
    /// told.
    Offered(OperationId),
    /// The operation ended before it was heard.
    TooLate(OperationId),
    /// Nothing is under way.
    NothingUnderWay,
}
