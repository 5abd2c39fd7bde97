//! The one transaction in which an event is appended: who may write, what is next, whose target it is, and the link
//! to the event before it are all decided and written together or not at all.

use scalebot_commands::event::{Claim, Draft, Event, Hash};
use scalebot_commands::ports::AppendError;
use scalebot_commands::units::{Epoch, OperationId};
use serde_json::value::RawValue;

use super::fault::Fault;
use super::way::{Statements, Value, Way};
use super::{rows, sql};

/// The last event that this process knows to be in the log; `None` while it knows of none.
pub(super) type Known = Option<(u64, Hash)>;

/// Appends within the transaction that the connection is in.
pub(super) async fn append<W: Way>(conn: &mut W::Connection, draft: &Draft, known: Known) -> Result<Event, Fault> {
    fits(draft)?;
    hold::<W>(conn).await?;
    let (seq, operation) = (known.map(|(seq, _)| seq), draft.operation.as_ref().map(OperationId::as_str));
    let standing = [
        // No event has such a place.
        seq.map_or(Ok(-1), |seq| rows::stored(seq, "event")).map(Value::Number)?,
        Value::Maybe(operation),
    ];
    let found = conn.rows(sql::STANDING, &standing).await?;
    let row = found.first().ok_or_else(no_epoch)?;
    leads(draft.epoch, rows::number(row, "epoch")?)?;
    continues_from(known, rows::maybe_hash(row, "known")?)?;
    is_next(draft, rows::maybe_number(row, "last")?)?;
    claim(conn, draft).await?;
    let (seq, prev) = match rows::maybe_number(row, "seq")? {
        Some(seq) => (seq + 1, rows::hash(row, "hash")?),
        None => (1, Hash::GENESIS),
    };
    let event = Event::place(draft, seq, prev);
    insert(conn, &event).await?;
    Ok(event)
}

/// Whoever is writing at this moment comes first, and until the transaction ends nobody else does.
pub(super) async fn hold<W: Way>(conn: &mut W::Connection) -> Result<(), Fault> {
    match W::HOLD {
        Some(hold) => Ok(conn.rows(hold, &[]).await.map(drop)?),
        None => Ok(()),
    }
}

/// Writes an event as it is.
pub(super) async fn insert(conn: &mut impl Statements, event: &Event) -> Result<(), Fault> {
    let (prev, hash) = (event.prev.to_string(), event.hash.to_string());
    let values = [
        Value::Number(rows::stored(event.seq, "event")?),
        Value::Text(&event.at),
        Value::Maybe(event.operation.as_ref().map(OperationId::as_str)),
        Value::Number(rows::stored(event.op_seq, "op_seq")?),
        Value::Number(rows::stored(event.epoch.0, "epoch")?),
        Value::Text(&event.kind),
        Value::Text(&event.body),
        Value::Text(&prev),
        Value::Text(&hash),
    ];
    conn.execute(sql::INSERT_EVENT, &values).await?;
    Ok(())
}

/// The last event's place and hash.
pub(super) async fn head(conn: &mut impl Statements) -> Result<Known, Fault> {
    let found = conn.rows(sql::HEAD, &[]).await?;
    found.first().map(|row| Ok((rows::number(row, "seq")?, rows::hash(row, "hash")?))).transpose()
}

/// Raises the fencing epoch: whoever wrote under an earlier one no longer can. A log that was moved elsewhere is taken
/// over by nobody.
pub(super) async fn take_over<W: Way>(conn: &mut W::Connection) -> Result<(Epoch, Known), Fault> {
    hold::<W>(conn).await?;
    if let Some(moved) = moved(conn).await? {
        return Err(Fault::Unfit(moved.in_words()));
    }
    let raised = conn.rows(sql::RAISE_EPOCH, &[]).await?;
    let raised = raised.first().ok_or_else(no_epoch)?;
    Ok((Epoch(rows::number(raised, "epoch")?), head(conn).await?))
}

/// That a log was moved elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// When.
    pub(super) at: String,
    /// Where to, as people are told.
    pub(super) destination: String,
}

impl Moved {
    pub(super) fn in_words(&self) -> String {
        format!(
            "this log was moved to {} on {}, and nothing is added to it here any more; configure that one. If the move \
             was broken off, carry it out again: scalebot ledger move",
            self.destination, self.at
        )
    }
}

/// Whether it was moved elsewhere.
pub(super) async fn moved(conn: &mut impl Statements) -> Result<Option<Moved>, Fault> {
    let found = conn.rows(sql::MOVED, &[]).await?;
    let read =
        |row| Ok(Moved { at: rows::text(row, "at")?.into(), destination: rows::text(row, "destination")?.into() });
    found.first().map(read).transpose()
}

/// What no ledger could hold is refused before anything is looked up.
fn fits(draft: &Draft) -> Result<(), Fault> {
    let kind = draft.kind;
    let is_object = draft.body.starts_with('{') && serde_json::from_str::<&RawValue>(&draft.body).is_ok();
    // An export is one event a line.
    if !is_object || draft.body.contains(['\n', '\r']) {
        return Err(Fault::Unfit(format!("the body of {kind} is not a JSON object on one line")));
    }
    match &draft.operation {
        Some(operation) if operation.as_str().is_empty() => {
            Err(Fault::Unfit(format!("the event {kind} names an operation without a name")))
        }
        None if draft.claim != Claim::Keep => {
            Err(Fault::Unfit(format!("the event {kind} belongs to no operation, and only an operation holds a target")))
        }
        _ => Ok(()),
    }
}

/// Only the process that took the log over last may write, and only as long as the log holds what that process has
/// written: an older state that was put back beneath it is another log.
pub(super) async fn lead<W: Way>(conn: &mut W::Connection, mine: Epoch, known: Known) -> Result<(), Fault> {
    hold::<W>(conn).await?;
    let found = conn.rows(sql::EPOCH, &[]).await?;
    leads(mine, rows::number(found.first().ok_or_else(no_epoch)?, "epoch")?)?;
    continues(conn, known).await
}

fn leads(mine: Epoch, current: u64) -> Result<(), Fault> {
    if current == 0 {
        return fenced("nobody has taken it over yet".to_owned());
    }
    if current != mine.0 {
        return fenced(format!("this process holds epoch {}, in force is {current}", mine.0));
    }
    Ok(())
}

/// Whether the log still holds the last event that this process knows of.
pub(super) async fn continues(conn: &mut impl Statements, known: Known) -> Result<(), Fault> {
    let Some((seq, _)) = known else { return Ok(()) };
    let found = conn.rows(sql::HASH_OF, &[Value::Number(rows::stored(seq, "event")?)]).await?;
    continues_from(known, found.first().map(|row| rows::hash(row, "hash")).transpose()?)
}

/// Whether what the log holds in the place of the last event that this process knows of is that event.
fn continues_from(known: Known, found: Option<Hash>) -> Result<(), Fault> {
    let Some((seq, hash)) = known else { return Ok(()) };
    match found {
        Some(found) if found == hash => Ok(()),
        Some(_) => fenced(format!("event {seq} is another one now: another state of the log was put back")),
        None => fenced(format!("event {seq} is not there any more: an older state of the log was put back")),
    }
}

fn no_epoch() -> Fault {
    Fault::Unreadable("the fencing epoch is missing".to_owned())
}

fn is_next(draft: &Draft, last: Option<u64>) -> Result<(), Fault> {
    let (next, whose) = match &draft.operation {
        None => (0, "an event without an operation".to_owned()),
        Some(operation) => (last.unwrap_or(0) + 1, format!("operation {}", operation.short())),
    };
    if draft.op_seq != next {
        return fenced(format!(
            "{whose} is at op_seq {next}, the event {} was written for {}",
            draft.kind, draft.op_seq
        ));
    }
    Ok(())
}

async fn claim(conn: &mut impl Statements, draft: &Draft) -> Result<(), Fault> {
    let Some(operation) = &draft.operation else { return Ok(()) };
    match &draft.claim {
        Claim::Keep => {}
        Claim::Take(target) => {
            let held = conn.rows(sql::CLAIM_OF, &[Value::Text(target.as_str())]).await?;
            if let Some(row) = held.first() {
                return Err(AppendError::Claimed(rows::claim(row)?).into());
            }
            let since = draft.at.to_string();
            let values = [Value::Text(target.as_str()), Value::Text(operation.as_str()), Value::Text(&since)];
            conn.execute(sql::TAKE_CLAIM, &values).await?;
        }
        // Nothing to give back is no reason to leave an end unrecorded.
        Claim::Release => {
            conn.execute(sql::RELEASE_CLAIM, &[Value::Text(operation.as_str())]).await?;
        }
    }
    Ok(())
}

fn fenced(detail: String) -> Result<(), Fault> {
    Err(AppendError::Fenced { detail }.into())
}
