//! What lies beside the chain: which posts were planned and confirmed, and what monitoring saw.

use async_trait::async_trait;
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{LedgerError, Post, Posts, Samples};
use scalebot_commands::units::OperationId;
use sqlx::{Row as _, SqliteConnection};

use super::fault::Fault;
use super::{SqliteLedger, rows, sql};

#[async_trait]
impl Posts for SqliteLedger {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        let read = async {
            let mut conn = self.readers.begin().await?;
            let found = position(&mut conn).await?;
            conn.rollback().await?;
            Ok(found)
        };
        read.await.map_err(|fault: Fault| self.say(fault))
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        let post = post.clone();
        self.write_as_leader(move |conn| Box::pin(async move { plan(conn, &post).await })).await
    }

    async fn confirm(&self, post: &Post, message: &str) -> Result<(), LedgerError> {
        let (post, message) = (post.clone(), message.to_owned());
        self.write_as_leader(move |conn| Box::pin(async move { confirm(conn, &post, &message).await })).await
    }
}

#[async_trait]
impl Samples for SqliteLedger {
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        let text = serde_json::to_string(load);
        let text = text.map_err(|error| LedgerError(format!("sample {index} cannot be written as JSON ({error})")))?;
        let operation = operation.clone();
        let kept = self.write_as_leader(move |conn| {
            Box::pin(async move {
                sqlx::query(sql::KEEP_SAMPLE)
                    .bind(operation.as_str())
                    .bind(rows::stored(index, "sample")?)
                    .bind(text)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        });
        kept.await
    }

    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError> {
        let rows = sqlx::query(sql::SAMPLES).bind(operation.as_str()).fetch_all(&self.readers).await;
        self.read_all(&rows.map_err(|error| self.say_of_sql(&error))?, |row| {
            let text: &str = row.try_get("load")?;
            serde_json::from_str(text).map_err(|error| Fault::Unreadable(format!("a sample cannot be read ({error})")))
        })
    }
}

async fn position(conn: &mut SqliteConnection) -> Result<(u64, Option<Post>), Fault> {
    let confirmed: Option<i64> = sqlx::query(sql::CONFIRMED).fetch_one(&mut *conn).await?.try_get(0)?;
    let confirmed = u64::try_from(confirmed.unwrap_or(0))
        .map_err(|_| Fault::Unreadable("a post covers an event below zero".to_owned()))?;
    let planned = sqlx::query(sql::PLANNED).fetch_optional(&mut *conn).await?;
    Ok((confirmed, planned.as_ref().map(rows::post).transpose()?))
}

/// Every event is in exactly one post: a plan continues where the last confirmed post ended, and there is one at a time.
async fn plan(conn: &mut SqliteConnection, post: &Post) -> Result<(), Fault> {
    let (confirmed, planned) = position(conn).await?;
    match planned {
        Some(planned) if planned == *post => return Ok(()),
        Some(planned) => {
            return Err(Fault::Unfit(format!(
                "a post of events {} to {} is planned and not confirmed; no other can be planned before",
                planned.first, planned.last
            )));
        }
        None => {}
    }
    if post.first != confirmed + 1 || post.last < post.first {
        return Err(Fault::Unfit(format!(
            "a post of events {} to {} does not continue the posts, which cover events up to {confirmed}",
            post.first, post.last
        )));
    }
    sqlx::query(sql::PLAN_POST)
        .bind(rows::stored(post.first, "event")?)
        .bind(rows::stored(post.last, "event")?)
        .bind(post.hash.to_string())
        .bind(&post.text)
        .execute(conn)
        .await?;
    Ok(())
}

async fn confirm(conn: &mut SqliteConnection, post: &Post, message: &str) -> Result<(), Fault> {
    let (first, last) = (rows::stored(post.first, "event")?, rows::stored(post.last, "event")?);
    let hash = post.hash.to_string();
    let changed = sqlx::query(sql::CONFIRM_POST)
        .bind(message)
        .bind(first)
        .bind(last)
        .bind(&hash)
        .execute(&mut *conn)
        .await?
        .rows_affected();
    if changed == 1 {
        return Ok(());
    }
    // Confirming again what is confirmed changes nothing, and is no mistake.
    let known = sqlx::query(sql::MESSAGE_OF).bind(first).bind(last).bind(&hash).fetch_optional(&mut *conn).await?;
    let known: Option<String> = known.map(|row| row.try_get("message")).transpose()?;
    if known.as_deref() == Some(message) {
        return Ok(());
    }
    Err(Fault::Unfit(match known {
        Some(other) => format!("the post of events {first} to {last} is confirmed as message {other}, not {message}"),
        None => format!("a post of events {first} to {last} was confirmed that was never planned"),
    }))
}
