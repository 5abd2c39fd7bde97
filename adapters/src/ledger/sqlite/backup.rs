//! A copy of the log, made while it is written to: everything as it was at one moment, in one file that stands by itself.
//! It is read again and proved before it gets its name, and nothing that exists is ever written over.

use std::ffi::OsString;
use std::fs::{File as OsFile, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use scalebot_commands::event::{Hash, Proof};
use scalebot_commands::ports::Ledger as _;

use super::{SqliteLedger, absolute};
use crate::ledger::fault::StorageError;
use crate::ledger::way::{Value, Way as _};
use crate::ledger::{rows, sql};

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// How many events.
    pub events: u64,
    /// The last one's hash.
    pub head: Hash,
    /// How many operations that had not ended at that moment.
    pub unfinished: usize,
}

/// Why there is no backup. Nothing of it is left then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBackedUp {
    /// What is there is not what was written: restore it, or find out who had access.
    #[error("{0}")]
    Damaged(String),
    /// It cannot be read, or the file cannot be made.
    #[error("{0}")]
    Unusable(String),
}

impl From<StorageError> for NotBackedUp {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Damaged(text) => Self::Damaged(text),
            StorageError::Unusable(text) | StorageError::Away(text) => Self::Unusable(text),
        }
    }
}

/// The file while it is not proved; gone with this.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // Where it has its name by now there is nothing any more.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl SqliteLedger {
    /// Writes everything that is on record at this moment into a new file, which only its owner may read. Whoever writes
    /// the log goes on meanwhile.
    ///
    /// # Errors
    /// When there is such a file already, when it cannot be written, and when the log or the copy is not in order.
    pub async fn back_up(&self, to: &Path) -> Result<BackedUp, NotBackedUp> {
        let to = &absolute(to)?;
        let cannot = |error: &io::Error| NotBackedUp::Unusable(format!("{} cannot be made ({error})", to.display()));
        if to.try_exists().map_err(|error| cannot(&error))? {
            return Err(exists(to));
        }
        let at_least = self.last_place().await.map_err(StorageError::from)?;
        let part = beside(to).map_err(|error| cannot(&error))?;
        self.copy_into(&part.0).await?;
        OsFile::open(&part.0).and_then(|file| file.sync_all()).map_err(|error| cannot(&error))?;
        let backed_up = self.proved(&part.0, at_least).await?;

        // Whoever made one of that name meanwhile keeps it.
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(to) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(exists(to)),
            Err(error) => return Err(cannot(&error)),
        }
        std::fs::rename(&part.0, to).map_err(|error| cannot(&error))?;
        if let Some(folder) = to.parent() {
            OsFile::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| cannot(&error))?;
        }
        Ok(backed_up)
    }

    /// What is read and written there by itself; SQLite takes no lock for it that a writer would wait for.
    async fn copy_into(&self, part: &Path) -> Result<(), NotBackedUp> {
        let Some(name) = part.to_str() else {
            return Err(NotBackedUp::Unusable(format!("{} is no name in UTF-8", part.display())));
        };
        let copied = self.way().read(&self.readers, "VACUUM INTO $1", &[Value::Text(name)]).await;
        copied.map(drop).map_err(|error| match self.way().explain(&error) {
            StorageError::Damaged(text) => NotBackedUp::Damaged(text),
            // What is read was open already: it is what is written that cannot be.
            StorageError::Unusable(_) | StorageError::Away(_) => super::words::explain(&error, part).into(),
        })
    }

    /// Reads the copy as whoever restores it will.
    async fn proved(&self, part: &Path, at_least: u64) -> Result<BackedUp, NotBackedUp> {
        let broken = |why: String| NotBackedUp::Damaged(format!("{} {why}", self.way().place()));
        let Some(copy) = Self::open_existing_read_only(part).await? else {
            return Err(broken("was copied, and the copy holds no log".to_owned()));
        };
        let proved = async {
            let whole = copy.way().read(&copy.readers, "PRAGMA integrity_check", &[]).await;
            let whole = whole.map_err(|error| copy.way().explain(&error))?;
            let said = copy.read_all(&whole, |row| Ok(rows::text(row, "integrity_check")?.to_owned()));
            let said = said.map_err(StorageError::from)?;
            if said != ["ok"] {
                return Err(broken(format!("was copied, and the copy is not whole ({})", said.join("; "))));
            }
            let mut proof = Proof::default();
            let mut events = copy.events();
            while let Some(event) = events.try_next().await? {
                proof.take(&event).map_err(|wrong| broken(format!("is not in order ({wrong})")))?;
            }
            let (events, head) = proof.head();
            if events < at_least {
                return Err(broken(format!("was copied, and of {at_least} events the copy holds {events}")));
            }
            let unfinished = copy.claims().await.map_err(StorageError::from)?.len();
            Ok(BackedUp { events, head, unfinished })
        };
        let proved = proved.await;
        copy.close().await;
        let backed_up = proved?;
        self.still_holds(&backed_up).await?;
        Ok(backed_up)
    }

    /// Whether the copy is of this very log.
    async fn still_holds(&self, copy: &BackedUp) -> Result<(), NotBackedUp> {
        if copy.events == 0 {
            return Ok(());
        }
        let seq = i64::try_from(copy.events).unwrap_or(i64::MAX);
        let found = self.read(sql::HASH_OF, &[Value::Number(seq)]).await.map_err(StorageError::from)?;
        let found = self.read_all(&found, |row| rows::hash(row, "hash")).map_err(StorageError::from)?;
        if found.first() == Some(&copy.head) {
            return Ok(());
        }
        Err(NotBackedUp::Damaged(format!("{} was replaced while it was copied", self.way().place())))
    }
}

fn exists(to: &Path) -> NotBackedUp {
    NotBackedUp::Unusable(format!("{} exists already and is left as it is; name another file", to.display()))
}

/// An empty file beside it, for its owner alone.
fn beside(to: &Path) -> io::Result<Part> {
    let mut name = OsString::from(".");
    name.push(to.file_name().ok_or(ErrorKind::InvalidFilename)?);
    name.push(format!(".{}.part", std::process::id()));
    let part = to.with_file_name(name);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part)?;
    Ok(Part(part))
}
