//! What can go wrong with the file, and how that is said: what happened, and what to do.

use std::path::Path;

use scalebot_commands::ports::{AppendError, LedgerError};

/// Why the log's file was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The content is not what was written: damaged by the machine or by somebody.
    #[error("{0}")]
    Damaged(String),
    /// The content may be in order, but cannot be come by: rights, locks, space, a version that is too old.
    #[error("{0}")]
    Unusable(String),
}

impl From<StorageError> for LedgerError {
    fn from(error: StorageError) -> Self {
        Self(error.to_string())
    }
}

/// Why work on a connection ended, before the file's name is put to it.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database says so.
    Storage(sqlx::Error),
    /// A row does not hold what belongs there.
    Unreadable(String),
    /// What was to be written may not be.
    Unfit(String),
    /// The ledger's rules forbid it.
    Refused(AppendError),
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<AppendError> for Fault {
    fn from(error: AppendError) -> Self {
        Self::Refused(error)
    }
}

impl Fault {
    /// The same in words, about this file.
    pub(super) fn about(self, file: &Path) -> StorageError {
        match self {
            Self::Storage(error) => explain(&error, file),
            Self::Unreadable(detail) => StorageError::Damaged(format!("{}: {detail}", file.display())),
            Self::Unfit(detail) => StorageError::Unusable(format!("{}: {detail}", file.display())),
            Self::Refused(error) => StorageError::Unusable(error.to_string()),
        }
    }

    /// The same as an append's answer.
    pub(super) fn of_append(self, file: &Path) -> AppendError {
        match self {
            Self::Refused(error) => error,
            other => AppendError::Unavailable(other.about(file).into()),
        }
    }
}

/// SQLite's primary result codes that a person would act upon differently.
mod code {
    pub(super) const ERROR: i64 = 1;
    pub(super) const PERM: i64 = 3;
    pub(super) const BUSY: i64 = 5;
    pub(super) const LOCKED: i64 = 6;
    pub(super) const READONLY: i64 = 8;
    pub(super) const IOERR: i64 = 10;
    pub(super) const CORRUPT: i64 = 11;
    pub(super) const FULL: i64 = 13;
    pub(super) const CANTOPEN: i64 = 14;
    pub(super) const AUTH: i64 = 23;
    pub(super) const NOTADB: i64 = 26;
}

/// Puts the database's error into words.
pub(super) fn explain(error: &sqlx::Error, file: &Path) -> StorageError {
    let file = file.display();
    let unusable = |text: String| StorageError::Unusable(text);
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            return StorageError::Damaged(format!("{file} holds something that does not belong there ({error})"));
        }
        sqlx::Error::PoolTimedOut => {
            return unusable(format!("{file} could not be read in time: the machine is overloaded or the disk hangs"));
        }
        other => return unusable(format!("{file} cannot be used ({other})")),
    };
    let said = database.message();
    match primary(database.as_ref()) {
        Some(code::FULL) => unusable(format!("the disk that holds {file} is full; free some space and it goes on")),
        Some(code::READONLY | code::PERM | code::AUTH) => unusable(format!(
            "{file} cannot be written ({said}); give the bot's user the right to write the file and its directory"
        )),
        Some(code::BUSY | code::LOCKED) => unusable(format!(
            "{file} is locked by another program ({said}); close what has it open, such as a database browser or a backup"
        )),
        Some(code::CANTOPEN) => unusable(format!(
            "{file} cannot be opened; its directory must exist, and the bot's user must be allowed to use it"
        )),
        Some(code::IOERR) => unusable(format!(
            "reading or writing {file} failed ({said}); look at the disk's space and health and at the system's log"
        )),
        Some(code::CORRUPT | code::NOTADB) => StorageError::Damaged(format!(
            "{file} is damaged ({said}); keep a copy of it for the audit, then restore it from a backup"
        )),
        // Our own statements are right: what they do not find was taken away.
        Some(code::ERROR) => StorageError::Damaged(format!(
            "{file} is not built as it was ({said}); keep a copy of it for the audit, then restore it from a backup"
        )),
        _ => unusable(format!("{file} cannot be used ({said})")),
    }
}

/// Whether the database only says that somebody else is at it.
pub(super) fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(primary) == Some(code::BUSY)
}

/// Extended codes hold their primary code in the lowest byte.
fn primary(error: &dyn sqlx::error::DatabaseError) -> Option<i64> {
    Some(error.code()?.parse::<i64>().ok()? & 0xff)
}
