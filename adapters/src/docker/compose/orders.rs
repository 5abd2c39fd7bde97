//! The orders that were given to Compose: one at a time, by a child process that holds the lock for as long as it acts,
//! whatever becomes of the bot; and the record of the last one, which is the mark that Compose does not keep.
//!
//! The child holds the lock as its standard input, an open file that it shares with nobody but those that it starts itself.
//! So the lock is free exactly when nobody acts any more, also after the bot was killed.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use scalebot_commands::units::{Epoch, OperationId, Replicas, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

/// Between two looks at a lock that somebody holds.
const PAUSE: Duration = Duration::from_millis(40);

/// How long whoever only looks may hold the lock.
const A_LOOK: Duration = Duration::from_millis(500);

/// How much of what Compose said is kept, in bytes and in characters of one sentence.
const KEPT: u64 = 64 << 10;
const SENTENCE: usize = 300;

/// Where orders are kept.
#[derive(Clone, Debug)]
pub(super) struct Orders {
    folder: PathBuf,
}

/// The last order that this machine's bots gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// Whose it is.
    pub(super) operation: OperationId,
    /// Under which epoch. An older process gives no order after it.
    pub(super) epoch: Epoch,
    pub(super) at: Timestamp,
    pub(super) from: Replicas,
    pub(super) to: Replicas,
    /// Every container before it, by identifier.
    pub(super) before: Vec<String>,
    /// Those that were to go.
    pub(super) ends: Vec<String>,
    /// Every container after it; `None` where nobody was there to see.
    pub(super) after: Option<Vec<String>>,
    /// What Compose said, where it did not do all of it.
    pub(super) failure: Option<String>,
}

impl Record {
    /// Whether these containers are what that order left, in whole or, on the way up, in part.
    pub(super) fn explains(&self, now: &[String]) -> bool {
        if let Some(after) = &self.after {
            return after == now;
        }
        let all_of = |these: &[String], those: &[String]| these.iter().all(|id| those.contains(id));
        let count = u32::try_from(now.len()).unwrap_or(u32::MAX);
        if self.ends.is_empty() && self.to > self.from {
            let some_came = now.len() > self.before.len() && count <= self.to.0;
            return some_came && all_of(&self.before, now);
        }
        let left: Vec<String> = self.before.iter().filter(|id| !self.ends.contains(id)).cloned().collect();
        now.len() == left.len() && all_of(&left, now)
    }
}

/// The lock, held.
#[derive(Debug)]
pub(super) struct Taken(File);

impl Taken {
    /// What a child holds it by.
    ///
    /// # Errors
    /// When the system has no more files to give.
    pub(super) fn for_a_child(&self) -> io::Result<File> {
        self.0.try_clone()
    }
}

impl Orders {
    pub(super) fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn lock(&self) -> PathBuf {
        self.folder.join("compose.lock")
    }

    /// Makes the folder, for its owner alone.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn make(&self) -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)
    }

    /// Returns once nobody acts.
    ///
    /// # Errors
    /// When somebody still does after that time, or the lock cannot be looked at.
    pub(super) async fn free(&self, limit: Duration) -> Result<(), PortError> {
        let until = Instant::now() + limit;
        loop {
            let file = match File::open(self.lock()) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(self.unreadable(&error)),
            };
            match file.try_lock_shared() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(PortError::TimedOut { what: "an order that was given to Compose".to_owned(), limit });
                }
                Err(TryLockError::Error(error)) => return Err(self.unreadable(&error)),
            }
        }
    }

    /// Takes the lock; `None` where somebody acts.
    ///
    /// # Errors
    /// When it cannot be taken by anybody.
    pub(super) async fn take(&self) -> io::Result<Option<Taken>> {
        self.make()?;
        let file =
            OpenOptions::new().create(true).truncate(false).write(true).read(true).mode(0o600).open(self.lock())?;
        let until = Instant::now() + A_LOOK;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Taken(file))),
                Err(TryLockError::WouldBlock) if Instant::now() < until => sleep(PAUSE).await,
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    /// The last order.
    ///
    /// # Errors
    /// When there is one that cannot be read: whose the fleet's count is cannot be told then.
    pub(super) fn last(&self) -> io::Result<Option<Record>> {
        match std::fs::read(self.folder.join("order.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps it, so that it is there also after a power failure. Only whoever holds the lock may.
    ///
    /// # Errors
    /// When it could not be kept.
    pub(super) fn keep(&self, _: &Taken, record: &Record) -> io::Result<()> {
        let new = self.folder.join("order.json.new");
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
        file.write_all(&serde_json::to_vec(record).map_err(io::Error::other)?)?;
        file.sync_all()?;
        std::fs::rename(&new, self.folder.join("order.json"))?;
        File::open(&self.folder)?.sync_all()
    }

    /// Where a child writes to: a file, since a pipe would end it together with the bot.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn output(&self) -> io::Result<File> {
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(self.folder.join("order.log"))
    }

    /// All that the child of the last order said.
    pub(super) fn said(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(self.folder.join("order.log")).and_then(|file| file.take(KEPT).read_to_end(&mut text));
        if read.is_err() { String::new() } else { String::from_utf8_lossy(&text).into_owned() }
    }

    /// The sentence of it that says what went wrong.
    pub(super) fn said_in_short(&self) -> String {
        let said = self.said();
        let lines = || said.lines().map(str::trim).filter(|line| !line.is_empty());
        let grave = lines().rfind(|line| line.to_lowercase().contains("error"));
        escaped(grave.or_else(|| lines().next_back()).unwrap_or("it said nothing"), SENTENCE)
    }

    /// The folder cannot be used.
    pub(super) fn unreadable(&self, error: &io::Error) -> PortError {
        let what = format!("the record of orders in {}", self.folder.display());
        PortError::Unreadable { what, detail: error.to_string() }
    }
}
