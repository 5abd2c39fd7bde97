//! Which schema holds a log of ours, of which version, and how one becomes one. What is not ours is left as it is.

use sqlx::AssertSqlSafe;

use super::session::Session;
use crate::ledger::fault::Fault;
use crate::ledger::way::{Columns as _, Statements as _, Value};
use crate::ledger::{rows, sql};

/// What says whose the schema is.
const APPLICATION: &str = "scalebot";

/// The version that this program reads and writes.
const VERSION: u64 = 2;

/// What only PostgreSQL has: who leads, by the database's own clock.
const LEASE: &[&str] = &["CREATE TABLE lease (
        one BIGINT PRIMARY KEY CHECK (one = 1),
        token TEXT NOT NULL,
        holder TEXT NOT NULL,
        until TIMESTAMPTZ NOT NULL
    )"];

const LAYOUT: &[&str] = &[
    "CREATE TABLE layout (one BIGINT PRIMARY KEY CHECK (one = 1), application TEXT NOT NULL, version BIGINT NOT NULL)",
    "INSERT INTO layout (one, application, version) VALUES (1, 'scalebot', 0)",
];

/// The steps from one version to the next; the same numbers as in a file.
const MIGRATIONS: &[(u64, &[&[&str]])] = &[(1, &[LAYOUT, sql::VERSION_1]), (2, &[sql::VERSION_2, LEASE])];

/// What a schema turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// There is none of that name.
    Missing,
    /// There is one, and nothing in it.
    Empty,
    /// A log of this version or an earlier one.
    Log(u64),
}

/// All that tells what a schema is, and what the database keeps texts as.
const INSPECT: &str = "SELECT pg_catalog.getdatabaseencoding()::text AS encoding,
    (SELECT COUNT(*) FROM pg_catalog.pg_namespace WHERE nspname = $1) AS schemas,
    (SELECT COUNT(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1) AS relations,
    (SELECT COUNT(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'layout' AND c.relkind = 'r') AS marked";

/// Looks at the schema without changing anything.
pub(super) async fn inspect(session: &mut Session, schema: &str) -> Result<Found, Fault> {
    let found = session.rows(INSPECT, &[Value::Text(schema)]).await?;
    let row = found.first().ok_or_else(|| Fault::Unreadable("nothing is known of the schema".to_owned()))?;
    let encoding = rows::text(row, "encoding")?;
    if encoding != "UTF8" {
        return Err(Fault::Unfit(format!(
            "the database keeps texts as {encoding}, which cannot hold every text; name one that was created with encoding UTF8"
        )));
    }
    let count = |column| rows::number(row, column);
    match (count("schemas")?, count("relations")?, count("marked")?) {
        (0, ..) => Ok(Found::Missing),
        (_, 0, _) => Ok(Found::Empty),
        (_, _, 0) => Err(foreign()),
        _ => version(session).await,
    }
}

async fn version(session: &mut Session) -> Result<Found, Fault> {
    let found = session.rows("SELECT application, version FROM layout WHERE one = 1", &[]).await?;
    let row = found.first().ok_or_else(foreign)?;
    if row.maybe_text("application")? != Some(APPLICATION) {
        return Err(foreign());
    }
    match rows::number(row, "version")? {
        version @ 1..=VERSION => Ok(Found::Log(version)),
        version => Err(Fault::Unfit(format!(
            "it was written by another release (layout {version}, this one knows up to {VERSION}); start that release, or \
             a later one"
        ))),
    }
}

fn foreign() -> Fault {
    Fault::Unfit("the schema is another program's; name another one: ledger.schema".to_owned())
}

/// Makes an empty schema a log, and an earlier version's log one of this version.
pub(super) async fn prepare(session: &mut Session, schema: &str) -> Result<(), Fault> {
    if inspect(session, schema).await? == Found::Log(VERSION) {
        return Ok(());
    }
    session.control("BEGIN").await?;
    let made = make(session, schema).await;
    let ended = if made.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = session.control(ended).await;
    made?;
    Ok(ended?)
}

async fn make(session: &mut Session, schema: &str) -> Result<(), Fault> {
    // Processes that begin at once make it one after the other.
    session
        .rows(
            "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended($1, 0))::text AS locked",
            &[Value::Text(schema)],
        )
        .await?;
    let from = match inspect(session, schema).await? {
        Found::Missing => {
            // A plain name, as the settings make sure.
            session.once(AssertSqlSafe(format!("CREATE SCHEMA \"{schema}\""))).await?;
            0
        }
        Found::Empty => 0,
        Found::Log(version) => version,
    };
    for (version, parts) in MIGRATIONS {
        if *version <= from {
            continue;
        }
        for part in *parts {
            for statement in *part {
                session.execute(statement, &[]).await?;
            }
        }
        let version = [Value::Number(rows::stored(*version, "layout")?)];
        session.execute("UPDATE layout SET version = $1 WHERE one = 1", &version).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_know_the_same_versions() {
        let versions: Vec<u64> = MIGRATIONS.iter().map(|(version, _)| *version).collect();
        assert_eq!(versions.last(), Some(&VERSION));
        assert_eq!(versions, crate::ledger::sqlite::schema::versions());
        assert!(LAYOUT[1].contains(&format!("'{APPLICATION}'")));
    }
}
