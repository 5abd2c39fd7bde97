//! What the log needs of a database, whichever it is. Everything else is written once, over this.

use std::fmt::Debug;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use scalebot_commands::event::Event;
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteConnection, SqliteRow};
use sqlx::{Connection as _, Pool, Row as _};

use super::fault::{Fault, StorageError};

/// A parameter of a statement: columns are numbers and texts only.
#[derive(Clone, Copy, Debug)]
pub enum Value<'v> {
    /// A number.
    Number(i64),
    /// A text.
    Text(&'v str),
    /// A text, or NULL.
    Maybe(Option<&'v str>),
}

/// A row, by the names of its columns. A column of another type is an error.
pub trait Columns: Send + Sync {
    /// A number, or NULL.
    fn maybe_number(&self, column: &str) -> Result<Option<i64>, sqlx::Error>;
    /// A text, or NULL.
    fn maybe_text(&self, column: &str) -> Result<Option<&str>, sqlx::Error>;
}

/// A connection: one statement after the other.
pub trait Statements: Send + Sized + 'static {
    /// What a row is there.
    type Row: Columns;

    /// Every row that it answers.
    fn rows<'c>(
        &'c mut self,
        sql: &'static str,
        values: &'c [Value<'c>],
    ) -> BoxFuture<'c, Result<Vec<Self::Row>, sqlx::Error>>;

    /// How many rows it wrote.
    fn execute<'c>(&'c mut self, sql: &'static str, values: &'c [Value<'c>])
    -> BoxFuture<'c, Result<u64, sqlx::Error>>;

    /// Begins or ends a transaction.
    fn control<'c>(&'c mut self, sql: &'static str) -> BoxFuture<'c, Result<(), sqlx::Error>>;

    /// Says goodbye, as far as the other end listens.
    fn shut(self) -> BoxFuture<'static, ()>;
}

/// One kind of database, and where one of that kind is.
#[async_trait]
pub trait Way: Debug + Send + Sync + 'static {
    /// The kind, as the driver calls it.
    type Database: sqlx::Database;
    /// A connection to it.
    type Connection: Statements;

    /// Begins a transaction that writes.
    const BEGIN: &'static str;
    /// Waits for whoever appends or raises the epoch, and keeps everybody from either until the transaction ends; `None` where
    /// its begin did that.
    const HOLD: Option<&'static str>;

    /// Whether what was opened is still what is there. Asked before each transaction that writes.
    fn is_there(&self) -> Result<(), Fault>;

    /// A connection that may write.
    async fn connect(&self) -> Result<Self::Connection, Fault>;

    /// Whether a transaction that failed so, and left nothing behind, may be begun again at once.
    fn may_be_repeated(&self, error: &sqlx::Error) -> bool;

    /// Every row that a question answers, by a connection that does not wait for the writer.
    async fn read<'r>(
        &'r self,
        readers: &'r Pool<Self::Database>,
        sql: &'static str,
        values: &'r [Value<'r>],
    ) -> Result<Vec<<Self::Connection as Statements>::Row>, sqlx::Error>;

    /// Every row of the log in order, as it was when the reading began, read as it is asked for.
    fn every_event<'r>(&'r self, readers: &'r Pool<Self::Database>) -> BoxStream<'r, Result<Event, Fault>>;

    /// Which process leads by a lease, as people are told, within the transaction that the connection is in.
    async fn led(conn: &mut Self::Connection) -> Result<Option<String>, Fault>;

    /// Puts the database's error into words: what happened, where, and what to do.
    fn explain(&self, error: &sqlx::Error) -> StorageError;

    /// Where it is, as people are told.
    fn place(&self) -> String;
}

macro_rules! as_both_are {
    ($database:ty, $connection:ty, $row:ty) => {
        impl Columns for $row {
            fn maybe_number(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
                self.try_get(column)
            }

            fn maybe_text(&self, column: &str) -> Result<Option<&str>, sqlx::Error> {
                self.try_get(column)
            }
        }

        impl Statements for $connection {
            type Row = $row;

            fn rows<'c>(
                &'c mut self,
                sql: &'static str,
                values: &'c [Value<'c>],
            ) -> BoxFuture<'c, Result<Vec<$row>, sqlx::Error>> {
                Box::pin(async move { bound::<$database>(sql, values).fetch_all(self).await })
            }

            fn execute<'c>(
                &'c mut self,
                sql: &'static str,
                values: &'c [Value<'c>],
            ) -> BoxFuture<'c, Result<u64, sqlx::Error>> {
                Box::pin(async move { Ok(bound::<$database>(sql, values).execute(self).await?.rows_affected()) })
            }

            fn control<'c>(&'c mut self, sql: &'static str) -> BoxFuture<'c, Result<(), sqlx::Error>> {
                Box::pin(async move { sqlx::raw_sql(sql).execute(self).await.map(drop) })
            }

            fn shut(self) -> BoxFuture<'static, ()> {
                Box::pin(async move { self.close().await.unwrap_or_default() })
            }
        }
    };
}

as_both_are!(Sqlite, SqliteConnection, SqliteRow);
as_both_are!(Postgres, PgConnection, PgRow);

/// The statement with its parameters.
pub(super) fn bound<'v, D>(sql: &'static str, values: &[Value<'v>]) -> sqlx::query::Query<'v, D, D::Arguments>
where
    D: sqlx::Database,
    i64: sqlx::Encode<'v, D> + sqlx::Type<D>,
    &'v str: sqlx::Encode<'v, D> + sqlx::Type<D>,
    Option<&'v str>: sqlx::Encode<'v, D> + sqlx::Type<D>,
{
    values.iter().fold(sqlx::query(sql), |query, value| match *value {
        Value::Number(number) => query.bind(number),
        Value::Text(text) => query.bind(text),
        Value::Maybe(text) => query.bind(text),
    })
}
