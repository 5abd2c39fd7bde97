//! The log in a SQLite file: the embedded default, for one bot.
//!
//! Every write is one `BEGIN IMMEDIATE` transaction, on disk before it returns. A few connections read, and in WAL mode
//! neither waits for the other.

mod backup;
pub(super) mod schema;
mod words;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use scalebot_commands::event::Event;
use scalebot_commands::ports::LedgerError;
use scalebot_commands::units::Epoch;
use sqlx::sqlite::{Sqlite, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

pub use self::backup::{BackedUp, NotBackedUp};
use self::schema::Found;
use super::fault::{Fault, StorageError};
use super::storage::{Storage, Taken};
use super::way::{Value, Way, bound};
use super::{SqliteLedger, Store, append, rows, sql};

/// How long another program's lock on the file is waited for.
pub(super) const BUSY_LIMIT: Duration = Duration::from_secs(5);

/// How long a reader is waited for.
const READ_LIMIT: Duration = Duration::from_secs(10);

/// How many read at once.
const READERS: u32 = 4;

/// What each connection may keep of the file in memory: 512 KiB, and not SQLite's 2 MB, since the system keeps it as well.
const CACHE: &str = "-512";

/// A SQLite file.
#[derive(Debug)]
pub struct File {
    path: PathBuf,
    options: SqliteConnectOptions,
    /// Which file it was when it was opened for writing.
    identity: Option<Identity>,
    /// Whether its layout can say that it was moved.
    can_be_moved: bool,
    /// What it was when it was opened without locks; `None` when SQLite's own locks protect the reading.
    unlocked: Option<Stamp>,
}

/// Device and number of a file: another file under the same name has others.
type Identity = (u64, u64);

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
        let path = absolute(path)?;
        let options = options(&path).synchronous(SqliteSynchronous::Full);
        let mut file = File { path, options, identity: None, can_be_moved: true, unlocked: None };
        let opened = file.options.clone().create_if_missing(true).connect().await;
        let mut conn = opened.map_err(|error| file.explain(&error))?;
        if let Err(fault) = schema::prepare(&mut conn).await {
            conn.close().await.ok();
            return Err(fault.about(&file).into());
        }
        file.identity = Some(identity(&file.path).map_err(|error| {
            StorageError::Unusable(format!("{} vanished as soon as it was made ({error})", file.path.display()))
        })?);
        let readers = pool().connect_lazy_with(file.options.clone().read_only(true));
        Ok(Store::writing(file, readers, Some(conn)))
    }

    /// Opens a log for reading only; `None` where nothing was ever recorded. Makes no file and changes none.
    ///
    /// # Errors
    /// When there is a file that is no log, or one that cannot be read.
    pub async fn open_existing_read_only(path: &Path) -> Result<Option<Self>, StorageError> {
        let path = absolute(path)?;
        let Some(stamp) = Stamp::of(&path)? else { return Ok(None) };
        if stamp.length == 0 {
            // Not even opened: SQLite would delete what lies beside an empty file.
            return if stamp.wal {
                Err(StorageError::Damaged(format!("{} was emptied while it was in use", path.display())))
            } else {
                Ok(None)
            };
        }
        // A reader of a WAL file needs its two companions and makes them where they are missing. Where they are,
        // somebody writes or was killed, and they are needed; where they are not, the file is complete by itself.
        let options = options(&path).read_only(true).immutable(!stamp.wal);
        let unlocked = (!stamp.wal).then_some(stamp);
        let mut file = File { path, options, identity: None, can_be_moved: true, unlocked };
        let mut conn = file.options.connect().await.map_err(|error| file.explain(&error))?;
        let found = schema::inspect(&mut conn).await;
        conn.close().await.ok();
        match found.map_err(|fault| fault.about(&file))? {
            Found::Empty => return Ok(None),
            Found::Log(version) => file.can_be_moved = version >= schema::WITH_MARK,
        }
        let readers = pool().connect_lazy_with(file.options.clone());
        Ok(Some(Store::reading(file, readers)))
    }

    /// Makes this process the one that writes: raises the fencing epoch, after which an earlier one's appends are
    /// refused.
    ///
    /// # Errors
    /// When the file cannot be written, and when the log was moved elsewhere.
    pub async fn take_over(&self) -> Result<Epoch, LedgerError> {
        let taken = self.write(|conn| Box::pin(append::take_over::<File>(conn)), |_| {}).await;
        let (epoch, head) = taken.map_err(|fault| self.say(fault))?;
        self.leads(epoch, head);
        Ok(epoch)
    }

    /// Whether a log opened for reading only was written to since. Then what was read may be of two states mixed:
    /// whoever found something wrong opens it again and looks again.
    pub fn has_moved_on(&self) -> bool {
        let file = self.way();
        file.unlocked.as_ref().is_some_and(|stamp| Stamp::of(&file.path).ok().flatten().as_ref() != Some(stamp))
    }
}

#[async_trait]
impl Storage for SqliteLedger {
    /// Whoever calls it holds the lock of the directory that the file lies in: nobody else leads.
    async fn lead(&self, _: &str) -> Result<Taken, StorageError> {
        Ok(Taken::Ours(self.take_over().await?))
    }

    async fn until_lost(&self) -> String {
        std::future::pending().await
    }

    async fn resign(&self) {}

    async fn leader(&self) -> Result<Option<String>, LedgerError> {
        Ok(None)
    }

    async fn moved_to(&self) -> Result<Option<String>, LedgerError> {
        if self.way().can_be_moved { self.moved().await } else { Ok(None) }
    }

    async fn latest_place(&self) -> Result<u64, LedgerError> {
        self.last_place().await
    }

    fn events(&self) -> BoxStream<'_, Result<Event, StorageError>> {
        Store::events(self)
    }

    fn has_moved_on(&self) -> bool {
        SqliteLedger::has_moved_on(self)
    }

    fn place(&self) -> String {
        self.way().place()
    }

    async fn close(&self) {
        Store::close(self).await;
    }
}

#[async_trait]
impl Way for File {
    type Database = Sqlite;
    type Connection = SqliteConnection;

    const BEGIN: &'static str = "BEGIN IMMEDIATE";
    const HOLD: Option<&'static str> = None;

    fn is_there(&self) -> Result<(), Fault> {
        // SQLite would go on writing into a file that was deleted, and every event would be lost at the end.
        if self.identity.is_some() && identity(&self.path).ok() != self.identity {
            return Err(Fault::Unfit(
                "it was moved, deleted or replaced while in use; put it back and start again".into(),
            ));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<SqliteConnection, Fault> {
        Ok(self.options.connect().await?)
    }

    fn may_be_repeated(&self, _: &sqlx::Error) -> bool {
        false
    }

    async fn read<'r>(
        &'r self,
        readers: &'r SqlitePool,
        sql: &'static str,
        values: &'r [Value<'r>],
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        bound::<Sqlite>(sql, values).fetch_all(readers).await
    }

    fn every_event<'r>(&'r self, readers: &'r SqlitePool) -> BoxStream<'r, Result<Event, Fault>> {
        let found = sqlx::query(sql::EVERY_EVENT).fetch(readers);
        Box::pin(found.map(|row| row.map_err(Fault::from).and_then(|row| rows::event(&row))))
    }

    async fn led(_: &mut SqliteConnection) -> Result<Option<String>, Fault> {
        Ok(None)
    }

    fn explain(&self, error: &sqlx::Error) -> StorageError {
        words::explain(error, &self.path)
    }

    fn place(&self) -> String {
        self.path.display().to_string()
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

pub(super) fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(BUSY_LIMIT)
        .pragma("cache_size", CACHE)
        .disable_statement_logging()
}

fn pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new().max_connections(READERS).acquire_timeout(READ_LIMIT)
}

/// SQLite takes a relative name that begins with `file:` for something else.
fn absolute(path: &Path) -> Result<PathBuf, StorageError> {
    std::path::absolute(path)
        .map_err(|error| StorageError::Unusable(format!("{} is no path ({error})", path.display())))
}

fn identity(file: &Path) -> std::io::Result<Identity> {
    let found = std::fs::metadata(file)?;
    Ok((found.dev(), found.ino()))
}
