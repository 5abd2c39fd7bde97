//! The one transaction in which an event is appended: who may write, what is next, whose target it is, and the link
//! to the event before it are all decided and written together or not at all.

use scalebot_commands::event::{Claim, Draft, Event, Hash};
use scalebot_commands::ports::AppendError;
use scalebot_commands::units::{Epoch, OperationId};
use serde_json::value::RawValue;
use sqlx::{Row as _, SqliteConnection};

use super::fault::Fault;
use super::{rows, sql};

/// Appends within the transaction that the connection is in.
pub(super) async fn append(conn: &mut SqliteConnection, draft: &Draft) -> Result<Event, Fault> {
    fits(draft)?;
    lead(conn, draft.epoch).await?;
    next_in_operation(conn, draft).await?;
    claim(conn, draft).await?;
    let head = sqlx::query(sql::HEAD).fetch_optional(&mut *conn).await?;
    let (seq, prev) = match &head {
        Some(row) => (rows::number(row, "seq")? + 1, rows::hash(row, "hash")?),
        None => (1, Hash::GENESIS),
    };
    let event = Event::place(draft, seq, prev);
    sqlx::query(sql::INSERT_EVENT)
        .bind(rows::stored(event.seq, "event")?)
        .bind(&event.at)
        .bind(event.operation.as_ref().map(OperationId::as_str))
        .bind(rows::stored(event.op_seq, "op_seq")?)
        .bind(rows::stored(event.epoch.0, "epoch")?)
        .bind(&event.kind)
        .bind(&event.body)
        .bind(event.prev.to_string())
        .bind(event.hash.to_string())
        .execute(&mut *conn)
        .await?;
    Ok(event)
}

/// Raises the fencing epoch: whoever wrote under an earlier one no longer can.
pub(super) async fn take_over(conn: &mut SqliteConnection) -> Result<Epoch, Fault> {
    let row = sqlx::query(sql::RAISE_EPOCH).fetch_optional(&mut *conn).await?;
    let row = row.ok_or_else(|| Fault::Unreadable("the fencing epoch is missing".to_owned()))?;
    Ok(Epoch(rows::number(&row, "epoch")?))
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

/// Only the process that took the log over last may write.
pub(super) async fn lead(conn: &mut SqliteConnection, mine: Epoch) -> Result<(), Fault> {
    let row = sqlx::query(sql::EPOCH).fetch_optional(&mut *conn).await?;
    let row = row.ok_or_else(|| Fault::Unreadable("the fencing epoch is missing".to_owned()))?;
    let current = rows::number(&row, "epoch")?;
    if current == 0 {
        return fenced("nobody has taken it over yet".to_owned());
    }
    if current != mine.0 {
        return fenced(format!("this process holds epoch {}, in force is {current}", mine.0));
    }
    Ok(())
}

async fn next_in_operation(conn: &mut SqliteConnection, draft: &Draft) -> Result<(), Fault> {
    let (next, whose) = match &draft.operation {
        None => (0, "an event without an operation".to_owned()),
        Some(operation) => {
            let row = sqlx::query(sql::LAST_OF_OPERATION).bind(operation.as_str()).fetch_one(&mut *conn).await?;
            let last: Option<i64> = row.try_get(0)?;
            let last = u64::try_from(last.unwrap_or(0))
                .map_err(|_| Fault::Unreadable(format!("operation {operation} has a place below zero")))?;
            (last + 1, format!("operation {}", operation.short()))
        }
    };
    if draft.op_seq != next {
        return fenced(format!(
            "{whose} is at op_seq {next}, the event {} was written for {}",
            draft.kind, draft.op_seq
        ));
    }
    Ok(())
}

async fn claim(conn: &mut SqliteConnection, draft: &Draft) -> Result<(), Fault> {
    let Some(operation) = &draft.operation else { return Ok(()) };
    match &draft.claim {
        Claim::Keep => {}
        Claim::Take(target) => {
            let held = sqlx::query(sql::CLAIM_OF).bind(target.as_str()).fetch_optional(&mut *conn).await?;
            if let Some(row) = held {
                return Err(AppendError::Claimed(rows::claim(&row)?).into());
            }
            sqlx::query(sql::TAKE_CLAIM)
                .bind(target.as_str())
                .bind(operation.as_str())
                .bind(draft.at.to_string())
                .execute(&mut *conn)
                .await?;
        }
        // Nothing to give back is no reason to leave an end unrecorded.
        Claim::Release => {
            sqlx::query(sql::RELEASE_CLAIM).bind(operation.as_str()).execute(&mut *conn).await?;
        }
    }
    Ok(())
}

fn fenced(detail: String) -> Result<(), Fault> {
    Err(AppendError::Fenced { detail }.into())
}
