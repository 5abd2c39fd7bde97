//! Rows and what they stand for. A row that does not hold exactly what was once written there is an error: nothing is
//! put right in reading.

use scalebot_commands::event::{Event, Hash};
use scalebot_commands::ports::{ClaimHeld, Post};
use scalebot_commands::units::{Epoch, OperationId, TargetName};

use super::fault::Fault;
use super::way::Columns;

/// A count or a place as the database holds it.
pub(super) fn stored(number: u64, what: &str) -> Result<i64, Fault> {
    i64::try_from(number).map_err(|_| Fault::Unfit(format!("{what} {number} is beyond what the log can hold")))
}

/// A count or a place out of the database.
pub(super) fn number(row: &impl Columns, column: &str) -> Result<u64, Fault> {
    maybe_number(row, column)?.ok_or_else(|| Fault::Unreadable(format!("the column {column} holds nothing")))
}

/// A count or a place that may be missing.
pub(super) fn maybe_number(row: &impl Columns, column: &str) -> Result<Option<u64>, Fault> {
    let found = row.maybe_number(column)?;
    found
        .map(|found| u64::try_from(found).map_err(|_| Fault::Unreadable(format!("{column} {found} is below zero"))))
        .transpose()
}

/// A text out of the database.
pub(super) fn text<'r>(row: &'r impl Columns, column: &str) -> Result<&'r str, Fault> {
    row.maybe_text(column)?.ok_or_else(|| Fault::Unreadable(format!("the column {column} holds nothing")))
}

/// A hash out of the database.
pub(super) fn hash(row: &impl Columns, column: &str) -> Result<Hash, Fault> {
    Hash::parse(text(row, column)?).ok_or_else(|| Fault::Unreadable(format!("the column {column} holds no hash")))
}

/// A hash that may be missing.
pub(super) fn maybe_hash(row: &impl Columns, column: &str) -> Result<Option<Hash>, Fault> {
    row.maybe_text(column)?.map(|_| hash(row, column)).transpose()
}

/// An event, every text as it was written.
pub(super) fn event(row: &impl Columns) -> Result<Event, Fault> {
    let operation = row.maybe_text("operation")?;
    // For the event's hash an empty name and no name are the same, so an empty one can only come from outside.
    if operation == Some("") {
        return Err(Fault::Unreadable("an operation's name is empty".to_owned()));
    }
    Ok(Event {
        seq: number(row, "seq")?,
        at: text(row, "at")?.to_owned(),
        operation: operation.map(OperationId::new),
        op_seq: number(row, "op_seq")?,
        epoch: Epoch(number(row, "epoch")?),
        kind: text(row, "kind")?.to_owned(),
        body: text(row, "body")?.to_owned(),
        prev: hash(row, "prev")?,
        hash: hash(row, "hash")?,
    })
}

/// A claim.
pub(super) fn claim(row: &impl Columns) -> Result<ClaimHeld, Fault> {
    Ok(ClaimHeld {
        target: TargetName::new(text(row, "target")?),
        operation: OperationId::new(text(row, "operation")?),
        since: text(row, "since")?.parse().map_err(|_| Fault::Unreadable("a claim's time is no time".to_owned()))?,
    })
}

/// A post.
pub(super) fn post(row: &impl Columns) -> Result<Post, Fault> {
    Ok(Post {
        first: number(row, "first")?,
        last: number(row, "last")?,
        hash: hash(row, "hash")?,
        text: text(row, "text")?.to_owned(),
    })
}
