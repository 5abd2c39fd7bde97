//! The operational log in a SQLite file: the embedded default, for one bot.
//!
//! One connection writes; every write is one `BEGIN IMMEDIATE` transaction, on disk before it returns. A few others
//! read, and in WAL mode neither waits for the other. A write runs to its end even when its caller is dropped: what was
//! committed is always announced, in the order of the log.

mod append;
mod fault;
mod posts;
mod rows;
mod schema;
mod sql;
mod writer;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use scalebot_commands::event::{Draft, Event};
use scalebot_commands::ports::{AppendError, ClaimHeld, Ledger, LedgerError};
use scalebot_commands::units::{Epoch, OperationId};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tokio::sync::Mutex;

pub use self::fault::StorageError;
use self::fault::{Fault, explain};
use self::schema::Found;
use self::writer::Writer;

/// How long another program's lock on the file is waited for.
const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// How long a reader is waited for.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// How many read at once.
const READERS: u32 = 4;

/// What is called with each event that this handle appended.
type Hook = Arc<dyn Fn(&Event) + Send + Sync>;

/// The operational log in a SQLite file.
pub struct SqliteLedger {
    file: PathBuf,
    readers: SqlitePool,
    /// `None` when opened for reading only.
    writer: Option<Arc<Mutex<Writer>>>,
    hooks: Vec<Hook>,
    /// The epoch that this handle took over with; 0 while it has not.
    taken: AtomicU64,
    /// What the file was when it was opened without locks; `None` when SQLite's own locks protect the reading.
    unlocked: Option<Stamp>,
}

/// By what a change of a file is noticed.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    wal: bool,
}

impl SqliteLedger {
    /// Opens the log for reading and writing; makes it where there is none. The directory must exist.
    ///
    /// Whoever wants to append calls [`take_over`](Self::take_over) first.
    ///
    /// # Errors
    /// When the file cannot be used; when it belongs to a later release or another program, it is left as it is.
    pub async fn open(path: &Path) -> Result<Self, LedgerError> {
        let file = absolute(path)?;
        let options = options(&file).synchronous(SqliteSynchronous::Full);
        let mut conn =
            options.clone().create_if_missing(true).connect().await.map_err(|error| explain(&error, &file))?;
        if let Err(fault) = schema::prepare(&mut conn).await {
            conn.close().await.ok();
            return Err(fault.about(&file).into());
        }
        let readers = pool().connect_lazy_with(options.clone().read_only(true));
        let writer = Writer::new(conn, options, file.clone())?;
        Ok(Self {
            file,
            readers,
            writer: Some(Arc::new(Mutex::new(writer))),
            hooks: Vec::new(),
            taken: AtomicU64::new(0),
            unlocked: None,
        })
    }

    /// Opens a log for reading only; `None` where nothing was ever recorded. Makes no file and changes none.
    ///
    /// # Errors
    /// When there is a file that is no log, or one that cannot be read.
    pub async fn open_existing_read_only(path: &Path) -> Result<Option<Self>, StorageError> {
        let file = absolute(path)?;
        let Some(stamp) = Stamp::of(&file)? else { return Ok(None) };
        if stamp.length == 0 {
            // Not even opened: SQLite would delete what lies beside an empty file.
            return if stamp.wal {
                Err(StorageError::Damaged(format!("{} was emptied while it was in use", file.display())))
            } else {
                Ok(None)
            };
        }
        // A reader of a WAL file needs its two companions and makes them where they are missing. Where they are,
        // somebody writes or was killed, and they are needed; where they are not, the file is complete by itself.
        let options = options(&file).read_only(true).immutable(!stamp.wal);
        let mut conn = options.connect().await.map_err(|error| explain(&error, &file))?;
        let found = schema::inspect(&mut conn).await;
        conn.close().await.ok();
        match found.map_err(|fault| fault.about(&file))? {
            Found::Empty => return Ok(None),
            Found::Log(_) => {}
        }
        let readers = pool().connect_lazy_with(options);
        let unlocked = (!stamp.wal).then_some(stamp);
        Ok(Some(Self { file, readers, writer: None, hooks: Vec::new(), taken: AtomicU64::new(0), unlocked }))
    }

    /// Calls `hook` with each event that this handle appends: after its commit, in the order of the log, one at a time.
    /// The next append waits for it, so it hands the event on and returns at once; it must not append.
    #[must_use]
    pub fn on_append(mut self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.hooks.push(Arc::new(hook));
        self
    }

    /// Makes this process the one that writes: raises the fencing epoch, after which an earlier one's appends are
    /// refused.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn take_over(&self) -> Result<Epoch, LedgerError> {
        let epoch =
            self.write(|conn| Box::pin(append::take_over(conn)), |_| {}).await.map_err(|fault| self.say(fault))?;
        self.taken.store(epoch.0, Ordering::SeqCst);
        Ok(epoch)
    }

    /// As [`write`](Self::write), for what carries no epoch of its own: only while this handle is the one that leads.
    async fn write_as_leader(
        &self,
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<(), Fault>> + Send + 'static,
    ) -> Result<(), LedgerError> {
        let mine = Epoch(self.taken.load(Ordering::SeqCst));
        let written = self.write(
            move |conn| {
                Box::pin(async move {
                    append::lead(conn, mine).await?;
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
        let rows = sqlx::query(sql::EVERY_EVENT).fetch(&self.readers);
        Box::pin(rows.map(move |row| {
            let event = row.map_err(Fault::from).and_then(|row| rows::event(&row));
            match event {
                Ok(event) => {
                    last = Some(event.seq);
                    Ok(event)
                }
                Err(fault) => Err(match (fault.about(&self.file), last) {
                    (StorageError::Damaged(text), Some(seq)) => {
                        StorageError::Damaged(format!("after event {seq}: {text}"))
                    }
                    (StorageError::Damaged(text), None) => StorageError::Damaged(format!("at the first event: {text}")),
                    (unusable, _) => unusable,
                }),
            }
        }))
    }

    /// Whether a log opened for reading only was written to since. Then what was read may be of two states mixed:
    /// whoever found something wrong opens it again and looks again.
    pub fn has_moved_on(&self) -> bool {
        self.unlocked.as_ref().is_some_and(|stamp| Stamp::of(&self.file).ok().flatten().as_ref() != Some(stamp))
    }

    /// Closes every connection; what is being written is finished first. Leaves the file complete by itself, unless
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
        work: impl for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, Fault>> + Send + 'static,
        after: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, Fault> {
        let writer = self.writer.clone().ok_or_else(|| Fault::Unfit("it was opened for reading only".to_owned()))?;
        let written = tokio::spawn(async move {
            let mut writer = writer.lock().await;
            let written = writer.transact(work).await?;
            after(&written);
            Ok(written)
        });
        written.await.unwrap_or_else(|error| Err(Fault::Unfit(format!("the write was broken off ({error})"))))
    }

    fn say(&self, fault: Fault) -> LedgerError {
        fault.about(&self.file).into()
    }

    fn say_of_sql(&self, error: &sqlx::Error) -> LedgerError {
        explain(error, &self.file).into()
    }

    fn read_all<T>(&self, rows: &[SqliteRow], read: fn(&SqliteRow) -> Result<T, Fault>) -> Result<Vec<T>, LedgerError> {
        rows.iter().map(read).collect::<Result<_, _>>().map_err(|fault| self.say(fault))
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let hooks = self.hooks.clone();
        let appended = self
            .write(
                move |conn| Box::pin(async move { append::append(conn, &draft).await }),
                move |event| hooks.iter().for_each(|hook| hook(event)),
            )
            .await;
        appended.map_err(|fault| fault.of_append(&self.file))
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        let rows = sqlx::query(sql::EVENTS_OF).bind(operation.as_str()).fetch_all(&self.readers).await;
        self.read_all(&rows.map_err(|error| self.say_of_sql(&error))?, rows::event)
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        // Beyond what the log can hold there is nothing.
        let Ok(after) = i64::try_from(after) else { return Ok(Vec::new()) };
        let rows = sqlx::query(sql::EVENTS_AFTER).bind(after).bind(i64::from(limit)).fetch_all(&self.readers).await;
        self.read_all(&rows.map_err(|error| self.say_of_sql(&error))?, rows::event)
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        let rows = sqlx::query(sql::CLAIMS).fetch_all(&self.readers).await;
        self.read_all(&rows.map_err(|error| self.say_of_sql(&error))?, rows::claim)
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        let rows = sqlx::query(sql::LATEST).bind(kind).bind(i64::from(limit)).fetch_all(&self.readers).await;
        self.read_all(&rows.map_err(|error| self.say_of_sql(&error))?, rows::event)
    }
}

impl Stamp {
    fn of(file: &Path) -> Result<Option<Self>, StorageError> {
        let unusable =
            |error: &std::io::Error| StorageError::Unusable(format!("{} cannot be read ({error})", file.display()));
        let mut wal = file.as_os_str().to_owned();
        wal.push("-wal");
        let wal = Path::new(&wal).try_exists().map_err(|error| unusable(&error))?;
        match std::fs::metadata(file) {
            Ok(found) if found.is_file() => {
                Ok(Some(Self { length: found.len(), modified: found.modified().ok(), wal }))
            }
            Ok(_) => Err(StorageError::Unusable(format!("{} is not a file", file.display()))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unusable(&error)),
        }
    }
}

fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new().filename(file).busy_timeout(BUSY_LIMIT).disable_statement_logging()
}

fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(READ_LIMIT)
}

/// SQLite takes a relative name that begins with `file:` for something else.
fn absolute(path: &Path) -> Result<PathBuf, StorageError> {
    std::path::absolute(path)
        .map_err(|error| StorageError::Unusable(format!("{} is no path ({error})", path.display())))
}
