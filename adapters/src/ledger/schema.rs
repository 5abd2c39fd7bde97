//! Which file is a log of ours, of which version, and how one becomes one. What is not ours is left as it is.

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::fault::Fault;
use super::sql;

/// Marks a SQLite file as an operational log: "SCAL".
const APPLICATION_ID: i64 = 0x5343_414C;

/// The version that this program reads and writes.
const VERSION: i64 = 1;

/// The steps from one version to the next. SQLite's pragmas take no parameters, hence the literal.
const MIGRATIONS: &[(i64, &[&str], &str)] =
    &[(1, sql::VERSION_1, "PRAGMA application_id = 1396916556; PRAGMA user_version = 1")];

/// What a file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever written there.
    Empty,
    /// A log of this version or an earlier one.
    Log(i64),
}

/// Looks at the file without changing it.
pub(super) async fn inspect(conn: &mut SqliteConnection) -> Result<Found, Fault> {
    let application = pragma(conn, "PRAGMA application_id").await?;
    let version = pragma(conn, "PRAGMA user_version").await?;
    let tables = pragma(conn, "SELECT COUNT(*) FROM sqlite_master").await?;
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
pub(super) async fn prepare(conn: &mut SqliteConnection) -> Result<(), Fault> {
    inspect(conn).await?;
    let mode: String = sqlx::query("PRAGMA journal_mode = WAL").fetch_one(&mut *conn).await?.try_get(0)?;
    if mode != "wal" {
        return Err(Fault::Unfit(format!(
            "its file system cannot hold it (journal mode {mode}); put the state directory on a local disk"
        )));
    }
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

async fn pragma(conn: &mut SqliteConnection, question: &'static str) -> Result<i64, Fault> {
    Ok(sqlx::query(question).fetch_one(&mut *conn).await?.try_get(0)?)
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
