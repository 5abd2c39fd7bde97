//! SQLite's errors in words.

use std::path::Path;

use crate::ledger::fault::StorageError;

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
