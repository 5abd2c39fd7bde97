//! Which file is a log of ours, of which version, and how one becomes one. What is not ours is left as it is.

use std::time::Duration;

use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::time::Instant;

use super::BUSY_LIMIT;
use super::words::is_busy;
use crate::ledger::fault::Fault;
use crate::ledger::sql;

/// Between two tries to set the journal mode.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// Marks a SQLite file as an operational log: "SCAL".
const APPLICATION_ID: i64 = 0x5343_414C;

/// The version that this program reads and writes.
const VERSION: i64 = 2;

/// The first version in which a log can say that it was moved.
pub(in crate::ledger) const WITH_MARK: i64 = 2;

/// The steps from one version to the next. SQLite's pragmas take no parameters, hence the literal.
const MIGRATIONS: &[(i64, &[&str], &str)] = &[
    (1, sql::VERSION_1, "PRAGMA application_id = 1396916556; PRAGMA user_version = 1"),
    (2, sql::VERSION_2, "PRAGMA application_id = 1396916556; PRAGMA user_version = 2"),
];

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ledger) enum Found {
    /// Nothing was ever written there.
    Empty,
    /// A log of this version or an earlier one.
    Log(i64),
}

/// All that tells what a file is, in one statement: another process may be making it a log at this moment.
const INSPECT: &str = "SELECT application_id, user_version, (SELECT COUNT(*) FROM sqlite_master)
    FROM pragma_application_id, pragma_user_version";

/// Looks at the file without changing it.
pub(in crate::ledger) async fn inspect(conn: &mut SqliteConnection) -> Result<Found, Fault> {
    let row = sqlx::query(INSPECT).fetch_one(&mut *conn).await?;
    let (application, version, tables): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    match (application, version, tables) {
        (0, 0, 0) => Ok(Found::Empty),
        (APPLICATION_ID, 1..=VERSION, _) => Ok(Found::Log(version)),
        (APPLICATION_ID, _, _) => Err(Fault::Unfit(format!(
            "it was written by another release (layout {version}, this one knows up to {VERSION}); start that release, \
             or a later one"
        ))),
        _ => Err(Fault::Unfit("it is a database of another program; name another state directory".to_owned())),
    }
}

/// Makes an empty file a log, and an earlier version's log one of this version.
pub(in crate::ledger) async fn prepare(conn: &mut SqliteConnection) -> Result<(), Fault> {
    inspect(conn).await?;
    write_ahead(conn).await?;
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await?;
    // Another process may have been first.
    let from = match inspect(&mut transaction).await? {
        Found::Empty => 0,
        Found::Log(version) => version,
    };
    for (version, statements, mark) in MIGRATIONS {
        if *version <= from {
            continue;
        }
        for statement in *statements {
            sqlx::query(*statement).execute(&mut *transaction).await?;
        }
        sqlx::raw_sql(*mark).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Sets the journal mode in which readers and the writer do not wait for each other. It stays with the file.
async fn write_ahead(conn: &mut SqliteConnection) -> Result<(), Fault> {
    let started = Instant::now();
    let mode: String = loop {
        match sqlx::query("PRAGMA journal_mode = WAL").fetch_one(&mut *conn).await {
            // SQLite does not wait here by itself when two processes make the same file a log.
            Err(error) if is_busy(&error) && started.elapsed() < BUSY_LIMIT => tokio::time::sleep(BUSY_PAUSE).await,
            answer => break answer?.try_get(0)?,
        }
    };
    if mode != "wal" {
        return Err(Fault::Unfit(format!(
            "its file system cannot hold it (journal mode {mode}); put the state directory on a local disk"
        )));
    }
    Ok(())
}

/// Every version, for whoever compares.
#[cfg(test)]
pub(in crate::ledger) fn versions() -> Vec<u64> {
    MIGRATIONS.iter().filter_map(|(version, ..)| u64::try_from(*version).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_leaves_its_own_marks() {
        for (version, _, mark) in MIGRATIONS {
            assert_eq!(*mark, format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version}"));
        }
        assert_eq!(MIGRATIONS.last().map(|(version, ..)| *version), Some(VERSION));
    }
}
