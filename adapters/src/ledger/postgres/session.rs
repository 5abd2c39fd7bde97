//! One session in PostgreSQL, each of whose statements has a limit. One that was given up in the middle of a statement
//! is of no use any more: what it would read next is the answer to another question.

use std::io::{Error as IoError, ErrorKind};
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _};
use tokio::time::timeout;

use crate::ledger::fault::Fault;
use crate::ledger::way::{Statements, Value};

/// How long a farewell may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is said of a server that follows another one.
pub(super) const FOLLOWER: &str = "follows another server and may lag behind it; give the address of the primary";

/// A session.
#[derive(Debug)]
pub struct Session {
    conn: PgConnection,
    limit: Duration,
    /// Whether a statement was given up in it.
    given_up: bool,
}

impl Session {
    /// Begins one with a server that follows no other.
    pub(super) async fn begin(options: &PgConnectOptions, limit: Duration) -> Result<Self, Fault> {
        let connected = timeout(limit, async {
            let mut conn = options.connect().await?;
            let follows = follows(&mut conn).await?;
            Ok::<_, sqlx::Error>((conn, follows))
        });
        let (conn, follows) = connected.await.map_err(|_| out_of_time(limit))??;
        if follows {
            return Err(Fault::Away(FOLLOWER.to_owned()));
        }
        Ok(Self { conn, limit, given_up: false })
    }

    /// Carries out a statement that is no fixed text.
    pub(super) async fn once(&mut self, sql: AssertSqlSafe<String>) -> Result<(), sqlx::Error> {
        self.within(|conn| Box::pin(async move { sqlx::raw_sql(sql).execute(conn).await.map(drop) })).await
    }

    async fn within<'c, T>(
        &'c mut self,
        work: impl FnOnce(&'c mut PgConnection) -> BoxFuture<'c, Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        if self.given_up {
            return Err(out_of_time(self.limit));
        }
        // Also when the caller is dropped in between.
        self.given_up = true;
        let answered = timeout(self.limit, work(&mut self.conn)).await.map_err(|_| out_of_time(self.limit))?;
        self.given_up = false;
        answered
    }
}

/// Whether a server follows another one.
pub(super) async fn follows(conn: &mut PgConnection) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("SELECT pg_catalog.pg_is_in_recovery()").fetch_one(conn).await
}

pub(super) fn out_of_time(limit: Duration) -> sqlx::Error {
    sqlx::Error::Io(IoError::new(ErrorKind::TimedOut, format!("the limit is {} s", limit.as_secs_f64())))
}

impl Statements for Session {
    type Row = PgRow;

    fn rows<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<Vec<PgRow>, sqlx::Error>> {
        Box::pin(self.within(move |conn| conn.rows(sql, values)))
    }

    fn execute<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<u64, sqlx::Error>> {
        Box::pin(self.within(move |conn| conn.execute(sql, values)))
    }

    fn control<'c>(&'c mut self, sql: &'static str) -> BoxFuture<'c, Result<(), sqlx::Error>> {
        Box::pin(self.within(move |conn| conn.control(sql)))
    }

    fn shut(self) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // Where it does not listen, the end of the socket says it.
            let _ = timeout(FAREWELL, self.conn.shut()).await;
        })
    }
}
