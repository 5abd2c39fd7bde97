//! The operational log: in a SQLite file, the embedded default for one bot, or in PostgreSQL, for several of which one
//! leads. What is written, how it is chained, and who may write stands once, in [`Store`]; a `way::Way` is what either
//! database does in its own manner.
//!
//! One connection writes; every write is one transaction, on disk before it returns. A few others read. A write runs to
//! its end even when its caller is dropped: what was committed is always announced, in the order of the log.

mod append;
#[cfg(feature = "failpoints")]
pub mod failpoint;
mod fault;
mod moving;
pub mod postgres;
mod posts;
mod rows;
mod sql;
mod sqlite;
mod storage;
mod way;
mod writer;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Shared, PoisonError};
use std::task::Poll;

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use scalebot_commands::event::{Draft, Event};
use scalebot_commands::ports::{AppendError, ClaimHeld, Ledger, LedgerError};
use scalebot_commands::units::{Epoch, OperationId};
use sqlx::Pool;
use tokio::sync::Mutex;

use self::append::Known;
use self::fault::Fault;
pub use self::fault::StorageError;
pub use self::moving::{Contents, NotMoved, move_log};
pub use self::sqlite::{BackedUp, NotBackedUp};
pub use self::storage::{Led, Storage, Taken};
use self::way::{Statements, Value, Way};
use self::writer::Writer;

/// The log in a SQLite file.
pub type SqliteLedger = Store<sqlite::File>;

/// The log in a PostgreSQL.
pub type PostgresLedger = Store<postgres::Server>;

/// What is called with each event that this handle appended.
type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// A row of that way.
type Row<W> = <<W as Way>::Connection as Statements>::Row;

/// The operational log in one kind of database.
pub struct Store<W: Way> {
    way: Arc<W>,
    readers: Pool<W::Database>,
    /// `None` when opened for reading only.
    writer: Option<Arc<Mutex<Writer<W>>>>,
    hooks: Vec<Hook>,
    /// The epoch that this handle took over with; 0 while it has not.
    taken: AtomicU64,
    /// The last event that this handle knows to be in the log.
    known: Arc<Shared<Known>>,
}

impl<W: Way> Store<W> {
    fn writing(way: W, readers: Pool<W::Database>, conn: Option<W::Connection>) -> Self {
        let way = Arc::new(way);
        let writer = Writer::new(Arc::clone(&way), conn);
        Self { writer: Some(Arc::new(Mutex::new(writer))), ..Self::over(way, readers) }
    }

    fn reading(way: W, readers: Pool<W::Database>) -> Self {
        Self::over(Arc::new(way), readers)
    }

    fn over(way: Arc<W>, readers: Pool<W::Database>) -> Self {
        let (taken, known) = (AtomicU64::new(0), Arc::default());
        Self { way, readers, writer: None, hooks: Vec::new(), taken, known }
    }

    fn way(&self) -> &W {
        &self.way
    }

    /// Calls `hook` with each event that this handle appends: after its commit, in the order of the log, one at a time.
    /// The next append waits for it, so it hands the event on and returns at once; it must not append.
    #[must_use]
    pub fn on_append(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// From now on this handle writes under that epoch, and the log is known to hold that event.
    fn leads(&self, epoch: Epoch, head: Known) {
        self.taken.store(epoch.0, Ordering::SeqCst);
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = head;
    }

    fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As [`write`](Self::write), for what carries no epoch of its own: only while this handle is the one that leads.
    async fn write_as_leader(
        &self,
        work: impl for<'c> Fn(&'c mut W::Connection) -> BoxFuture<'c, Result<(), Fault>> + Send + Sync + 'static,
    ) -> Result<(), LedgerError> {
        let (mine, known) = (Epoch(self.taken.load(Ordering::SeqCst)), self.known());
        let work = Arc::new(work);
        let written = self.write(
            move |conn| {
                let work = Arc::clone(&work);
                Box::pin(async move {
                    append::lead::<W>(conn, mine, known).await?;
                    work(conn).await
                })
            },
            |()| {},
        );
        written.await.map_err(|fault| self.say(fault))
    }

    /// Every row of the log in order, read as it is asked for: memory stays flat however long the log is. It sees the
    /// log as it was when the reading began. Rows whose place is impossible are among them; a row that does not hold
    /// an event is an error, after which nothing more comes.
    pub fn events(&self) -> BoxStream<'_, Result<Event, StorageError>> {
        let mut last = None;
        Box::pin(self.way.every_event(&self.readers).map(move |event| match event {
            Ok(event) => {
                last = Some(event.seq);
                Ok(event)
            }
            Err(fault) => Err(match (fault.about(&*self.way), last) {
                (StorageError::Damaged(text), Some(seq)) => StorageError::Damaged(format!("after event {seq}: {text}")),
                (StorageError::Damaged(text), None) => StorageError::Damaged(format!("at the first event: {text}")),
                (unusable, _) => unusable,
            }),
        }))
    }

    /// Closes every connection; what is being written is finished first. Leaves a file complete by itself, unless
    /// somebody else has it open. To be called last: nothing can be read afterwards.
    pub async fn close(&self) {
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.lock().await.close().await;
        }
    }

    /// Runs `work` in one transaction of the writing connection, then `after`, before anybody else writes. Runs to its
    /// end even if the caller is dropped meanwhile: a write whose caller is gone must still be announced.
    async fn write<T: Send + 'static>(
        &self,
        work: impl for<'c> Fn(&'c mut W::Connection) -> BoxFuture<'c, Result<T, Fault>> + Send + Sync + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Fault> {
        let writer = self.writer.clone().ok_or_else(|| Fault::Unfit("it was opened for reading only".to_owned()))?;
        // Its place in the queue is taken here: whoever closes the log after this waits for it.
        let mut place = Box::pin(writer.lock_owned());
        let first = futures::poll!(&mut place);
        let written = tokio::spawn(async move {
            let mut writer = match first {
                Poll::Ready(writer) => writer,
                Poll::Pending => place.await,
            };
            let written = writer.transact(work).await?;
            after(&written);
            Ok(written)
        });
        written.await.unwrap_or_else(|error| Err(Fault::Unfit(format!("the write was broken off ({error})"))))
    }

    fn say(&self, fault: Fault) -> LedgerError {
        fault.about(&*self.way).into()
    }

    pub(crate) async fn last_place(&self) -> Result<u64, LedgerError> {
        let found = self.read(sql::HEAD, &[]).await?;
        Ok(self.read_all(&found, |row| rows::number(row, "seq"))?.into_iter().next().unwrap_or(0))
    }

    async fn moved(&self) -> Result<Option<String>, LedgerError> {
        let found = self.read(sql::MOVED, &[]).await?;
        let destination = self.read_all(&found, |row| Ok(rows::text(row, "destination")?.to_owned()))?;
        Ok(destination.into_iter().next())
    }

    async fn read(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row<W>>, LedgerError> {
        let found = self.way.read(&self.readers, sql, values).await;
        found.map_err(|error| self.way.explain(&error).into())
    }

    fn read_all<T>(&self, rows: &[Row<W>], read: fn(&Row<W>) -> Result<T, Fault>) -> Result<Vec<T>, LedgerError> {
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|fault| self.say(fault))
    }
}

#[async_trait]
impl<W: Way> Ledger for Store<W> {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let (hooks, known) = (self.hooks.clone(), Arc::clone(&self.known));
        let (draft, before) = (Arc::new(draft), self.known());
        let appended = self
            .write(
                move |conn| {
                    let draft = Arc::clone(&draft);
                    Box::pin(async move { append::append::<W>(conn, &draft, before).await })
                },
                move |event| {
                    *known.lock().unwrap_or_else(PoisonError::into_inner) = Some((event.seq, event.hash));
                    for hook in &hooks {
                        hook(event);
                    }
                },
            )
            .await;
        appended.map_err(|fault| fault.of_append(&*self.way))
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.read_all(&self.read(sql::EVENTS_OF, &[Value::Text(operation.as_str())]).await?, rows::event)
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        // Beyond what the log can hold there is nothing.
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let values = [Value::Number(after), Value::Number(i64::from(limit))];
        self.read_all(&self.read(sql::EVENTS_AFTER, &values).await?, rows::event)
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.read_all(&self.read(sql::CLAIMS, &[]).await?, rows::claim)
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        let values = [Value::Text(kind), Value::Number(i64::from(limit))];
        self.read_all(&self.read(sql::LATEST, &values).await?, rows::event)
    }
}
