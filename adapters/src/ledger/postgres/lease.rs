//! Which of several processes leads: one row, by the database's own clock. Whoever takes it raises the fencing epoch in
//! the same transaction, so that a process that stood still meanwhile writes nothing more, whatever it believes.

use std::time::Duration;

use scalebot_commands::units::Epoch;

use super::{Server, Session};
use crate::ledger::append::{self, Known};
use crate::ledger::fault::Fault;
use crate::ledger::rows;
use crate::ledger::storage::Led;
use crate::ledger::way::{Columns, Statements as _, Value};

/// Takes it where nobody else holds it; `$3` is its length in milliseconds.
const TAKE: &str = "INSERT INTO lease (one, token, holder, until)
    VALUES (1, $1, $2, pg_catalog.clock_timestamp() + $3 * INTERVAL '1 millisecond')
    ON CONFLICT (one) DO UPDATE SET token = excluded.token, holder = excluded.holder, until = excluded.until
    WHERE lease.until <= pg_catalog.clock_timestamp() OR lease.token = excluded.token";

/// Goes on holding it. One that has run out and that nobody took is still held.
const RENEW: &str = "UPDATE lease SET until = pg_catalog.clock_timestamp() + $2 * INTERVAL '1 millisecond'
    WHERE one = 1 AND token = $1";

/// Gives it back.
pub(super) const RELEASE: &str = "UPDATE lease SET until = pg_catalog.clock_timestamp() WHERE one = 1 AND token = $1";

/// Who holds it, and for how many more milliseconds.
pub(super) const HELD: &str = "SELECT holder,
    CAST(pg_catalog.ceil(EXTRACT(EPOCH FROM until - pg_catalog.clock_timestamp()) * 1000) AS BIGINT) AS left_ms
    FROM lease WHERE one = 1 AND until > pg_catalog.clock_timestamp()";

/// What became of the wish to lead.
pub(super) enum Lead {
    /// This process leads, and this is the log's last event.
    Ours(Epoch, Known),
    /// Another one does.
    Led(Led),
}

/// Takes it, within the transaction that the session is in.
pub(super) async fn take(session: &mut Session, token: &str, who: &str, length: Duration) -> Result<Lead, Fault> {
    let values = [Value::Text(token), Value::Text(who), milliseconds(length)];
    if session.execute(TAKE, &values).await? == 0 {
        let held = session.rows(HELD, &[]).await?;
        // Given back at this very moment: it is there to be taken at the next try.
        let led = held.first().map(led).transpose()?;
        return Ok(Lead::Led(led.unwrap_or(Led { by: "another process".to_owned(), for_another: Duration::ZERO })));
    }
    let (epoch, head) = append::take_over::<Server>(session).await?;
    Ok(Lead::Ours(epoch, head))
}

/// Goes on holding it, and makes sure that the log is still the one that this process writes.
///
/// # Errors
/// `Fault::Refused` when this process leads no longer.
pub(super) async fn renew(session: &mut Session, token: &str, length: Duration, known: Known) -> Result<bool, Fault> {
    append::continues(session, known).await?;
    Ok(session.execute(RENEW, &[Value::Text(token), milliseconds(length)]).await? == 1)
}

pub(super) fn led(row: &impl Columns) -> Result<Led, Fault> {
    let left = rows::number(row, "left_ms")?;
    Ok(Led { by: rows::text(row, "holder")?.to_owned(), for_another: Duration::from_millis(left) })
}

fn milliseconds(length: Duration) -> Value<'static> {
    Value::Number(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
}
