//! What can go wrong with the log, and how that is said: what happened, and what to do.

use scalebot_commands::ports::{AppendError, LedgerError};

use super::way::Way;

/// Why the log was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    /// The content is not what was written: damaged by the machine or by somebody.
    #[error("{0}")]
    Damaged(String),
    /// The content may be in order, but cannot be come by: rights, locks, space, a version that is too old.
    #[error("{0}")]
    Unusable(String),
    /// The content cannot be come by now, and may well be in a moment: the database restarts, or is not reached.
    #[error("{0}")]
    Away(String),
}

impl From<LedgerError> for StorageError {
    fn from(error: LedgerError) -> Self {
        Self::Unusable(error.0)
    }
}

impl From<StorageError> for LedgerError {
    fn from(error: StorageError) -> Self {
        Self(error.to_string())
    }
}

/// Why work on a connection ended, before it is said where.
#[derive(Debug)]
pub enum Fault {
    /// The database says so.
    Storage(sqlx::Error),
    /// A row does not hold what belongs there.
    Unreadable(String),
    /// What was to be written may not be.
    Unfit(String),
    /// It is another log of which that is to be said.
    Elsewhere(StorageError),
    /// It cannot be used now.
    Away(String),
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
    /// The same in words, about what is there.
    pub(super) fn about<W: Way>(self, way: &W) -> StorageError {
        match self {
            Self::Storage(error) => way.explain(&error),
            Self::Unreadable(detail) => StorageError::Damaged(format!("{}: {detail}", way.place())),
            Self::Unfit(detail) => StorageError::Unusable(format!("{}: {detail}", way.place())),
            Self::Elsewhere(error) => error,
            Self::Away(detail) => StorageError::Away(format!("{} {detail}", way.place())),
            Self::Refused(error) => StorageError::Unusable(error.to_string()),
        }
    }

    /// The same as an append's answer.
    pub(super) fn of_append<W: Way>(self, way: &W) -> AppendError {
        match self {
            Self::Refused(error) => error,
            other => AppendError::Unavailable(other.about(way).into()),
        }
    }
}
