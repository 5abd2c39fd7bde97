//! Rows and what they stand for. A row that does not hold exactly what was once written there is an error: nothing is
//! put right in reading.

use scalebot_commands::event::{Event, Hash};
use scalebot_commands::ports::{ClaimHeld, Post};
use scalebot_commands::units::{Epoch, OperationId, TargetName};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::fault::Fault;

/// A count or a place as the database holds it.
pub(super) fn stored(number: u64, what: &str) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Unfit(format!("{what} {number} is beyond what the log can hold")))
}

/// A count or a place out of the database.
pub(super) fn number(row: &SqliteRow, column: &str) -> Result<u64, Fault> {
    let found: i64 = row.try_get(column)?;
    u64::try_from(found).map_err(|_| Fault::Unreadable(format!("{column} {found} is below zero")))
}

/// A hash out of the database.
pub(super) fn hash(row: &SqliteRow, column: &str) -> Result<Hash, Fault> {
    let found: &str = row.try_get(column)?;
    Hash::parse(found).ok_or_else(|| Fault::Unreadable(format!("the column {column} holds no hash")))
}

/// An event, every text as it was written.
pub(super) fn event(row: &SqliteRow) -> Result<Event, Fault> {
    let operation: Option<String> = row.try_get("operation")?;
    // For the event's hash an empty name and no name are the same, so an empty one can only come from outside.
    if operation.as_deref() == Some("") {
        return Err(Fault::Unreadable("an operation's name is empty".to_owned()));
    }
    Ok(Event {
        seq: number(row, "seq")?,
        at: row.try_get("at")?,
        operation: operation.map(OperationId::new),
        op_seq: number(row, "op_seq")?,
        epoch: Epoch(number(row, "epoch")?),
        kind: row.try_get("kind")?,
        body: row.try_get("body")?,
        prev: hash(row, "prev")?,
        hash: hash(row, "hash")?,
    })
}

/// A claim.
pub(super) fn claim(row: &SqliteRow) -> Result<ClaimHeld, Fault> {
    let since: &str = row.try_get("since")?;
    Ok(ClaimHeld {
        target: TargetName::new(row.try_get::<String, _>("target")?),
        operation: OperationId::new(row.try_get::<String, _>("operation")?),
        since: since.parse().map_err(|_| Fault::Unreadable("a claim's time is no time".to_owned()))?,
    })
}

/// A post.
pub(super) fn post(row: &SqliteRow) -> Result<Post, Fault> {
    Ok(Post {
        first: number(row, "first")?,
        last: number(row, "last")?,
        hash: hash(row, "hash")?,
        text: row.try_get("text")?,
    })
}
