//! What lies beside the chain: which posts were planned and confirmed, and what monitoring saw.

use async_trait::async_trait;
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{LedgerError, Post, Posts, Samples};
use scalebot_commands::units::OperationId;

use super::fault::Fault;
use super::way::{Columns, Statements, Value, Way};
use super::{Store, rows, sql};

#[async_trait]
impl<W: Way> Posts for Store<W> {
    async fn position(&self) -> Result<(u64, Option<Post>), LedgerError> {
        let found = self.read(sql::POSITION, &[]).await?;
        placed(&found).map_err(|fault| self.say(fault))
    }

    async fn plan(&self, post: &Post) -> Result<(), LedgerError> {
        let post = post.clone();
        self.write_as_leader(move |conn| {
            let post = post.clone();
            Box::pin(async move { plan(conn, &post).await })
        })
        .await
    }

    async fn confirm(&self, post: &Post, message: &str) -> Result<(), LedgerError> {
        let (post, message) = (post.clone(), message.to_owned());
        self.write_as_leader(move |conn| {
            let (post, message) = (post.clone(), message.clone());
            Box::pin(async move { confirm(conn, &post, &message).await })
        })
        .await
    }
}

#[async_trait]
impl<W: Way> Samples for Store<W> {
    async fn keep(&self, operation: &OperationId, index: u64, load: &Load) -> Result<(), LedgerError> {
        let text = serde_json::to_string(load);
        let text = text.map_err(|error| LedgerError(format!("sample {index} cannot be written as JSON ({error})")))?;
        let operation = operation.clone();
        self.write_as_leader(move |conn| {
            let (operation, text) = (operation.clone(), text.clone());
            Box::pin(async move {
                let number = rows::stored(index, "sample")?;
                let values = [Value::Text(operation.as_str()), Value::Number(number), Value::Text(&text)];
                conn.execute(sql::KEEP_SAMPLE, &values).await?;
                Ok(())
            })
        })
        .await
    }

    async fn kept(&self, operation: &OperationId) -> Result<Vec<Load>, LedgerError> {
        let found = self.read(sql::SAMPLES, &[Value::Text(operation.as_str())]).await?;
        self.read_all(&found, |row| {
            serde_json::from_str(rows::text(row, "load")?)
                .map_err(|error| Fault::Unreadable(format!("a sample cannot be read ({error})")))
        })
    }
}

async fn position(conn: &mut impl Statements) -> Result<(u64, Option<Post>), Fault> {
    placed(&conn.rows(sql::POSITION, &[]).await?)
}

fn placed<R: Columns>(found: &[R]) -> Result<(u64, Option<Post>), Fault> {
    let row = found.first().ok_or_else(|| Fault::Unreadable("the posts cannot be counted".to_owned()))?;
    let planned = rows::maybe_number(row, "last")?.is_some().then(|| rows::post(row)).transpose()?;
    Ok((rows::maybe_number(row, "confirmed")?.unwrap_or(0), planned))
}

/// Every event is in exactly one post: a plan continues where the last confirmed post ended, and there is one at a time.
async fn plan(conn: &mut impl Statements, post: &Post) -> Result<(), Fault> {
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
    let hash = post.hash.to_string();
    let values = [
        Value::Number(rows::stored(post.first, "event")?),
        Value::Number(rows::stored(post.last, "event")?),
        Value::Text(&hash),
        Value::Text(&post.text),
    ];
    conn.execute(sql::PLAN_POST, &values).await?;
    Ok(())
}

async fn confirm(conn: &mut impl Statements, post: &Post, message: &str) -> Result<(), Fault> {
    let (first, last) = (rows::stored(post.first, "event")?, rows::stored(post.last, "event")?);
    let hash = post.hash.to_string();
    let which = [Value::Number(first), Value::Number(last), Value::Text(&hash)];
    let changed = conn.execute(sql::CONFIRM_POST, &[which[0], which[1], which[2], Value::Text(message)]).await?;
    if changed == 1 {
        return Ok(());
    }
    // Confirming again what is confirmed changes nothing, and is no mistake.
    let known = conn.rows(sql::MESSAGE_OF, &which).await?;
    let known = known.first().map(|row| row.maybe_text("message")).transpose()?.flatten().map(str::to_owned);
    if known.as_deref() == Some(message) {
        return Ok(());
    }
    Err(Fault::Unfit(match known {
        Some(other) => format!("the post of events {first} to {last} is confirmed as message {other}, not {message}"),
        None => format!("a post of events {first} to {last} was confirmed that was never planned"),
    }))
}
