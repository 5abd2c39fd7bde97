//! What the doctor says about the log in PostgreSQL: reached, what may be done there, how well it is kept, who leads.
//! Nothing is changed.

use scalebot_commands::ports::Ledger as _;

use super::{Found, Server, Settings, schema};
use crate::doctor::Finding;
use crate::ledger::fault::Fault;
use crate::ledger::storage::Storage as _;
use crate::ledger::way::{Columns as _, Statements as _, Value, Way as _};
use crate::ledger::{PostgresLedger, append, rows};
use crate::postgres::Protection;

/// What the doctor's lines are about.
const LOG: &str = "operational log";

/// What is said of the role, of the server, and of the rights to make what is not there yet.
const LOOK: &str = "SELECT pg_catalog.current_setting('server_version') AS version, current_user::text AS role,
    (SELECT rolsuper::int::bigint FROM pg_catalog.pg_roles WHERE rolname = current_user) AS superuser,
    pg_catalog.current_setting('fsync') AS fsync,
    pg_catalog.current_setting('full_page_writes') AS full_page_writes,
    pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')::int::bigint AS may_make_schema,
    (SELECT pg_catalog.has_schema_privilege(oid, 'CREATE')::int::bigint FROM pg_catalog.pg_namespace
        WHERE nspname = $1) AS may_make_tables";

/// What has to be allowed.
const RIGHTS: [(&str, &str); 7] = [
    ("event", "SELECT, INSERT"),
    ("claim", "SELECT, INSERT, DELETE"),
    ("epoch", "SELECT, UPDATE"),
    ("post", "SELECT, INSERT, UPDATE"),
    ("sample", "SELECT, INSERT, UPDATE"),
    ("lease", "SELECT, INSERT, UPDATE"),
    ("moved", "SELECT"),
];

/// How many of the rights in a list a role has on a table; a table that is not there has none.
const HAS: &str = "SELECT COUNT(*) AS has FROM pg_catalog.unnest(pg_catalog.string_to_array($2, ', ')) AS wanted
    WHERE pg_catalog.has_table_privilege(pg_catalog.to_regclass($1), wanted)";

/// What is run to be allowed what the log needs.
const GRANT: &str = "As an administrator, run deploy/postgres/ledger.sql there.";

/// The doctor's lines.
pub async fn check(settings: &Settings) -> Vec<Finding> {
    let server = match Server::of(settings) {
        Ok(server) => server,
        Err(error) => return vec![Finding::failed(LOG, error.to_string(), "Correct it in the configuration.")],
    };
    match look(&server, settings).await {
        Ok(found) => found,
        Err(fault) => {
            let to_do = "Do what it says; as long as it stays so, nothing is carried out.";
            vec![Finding::failed(LOG, fault.about(&server).to_string(), to_do)]
        }
    }
}

async fn look(server: &Server, settings: &Settings) -> Result<Vec<Finding>, Fault> {
    let mut session = server.connect().await?;
    let looked = session.rows(LOOK, &[Value::Text(&server.schema)]).await?;
    let row = looked.first().ok_or_else(|| Fault::Unreadable("nothing is known of the server".to_owned()))?;
    let is = |column: &str| Ok::<_, Fault>(row.maybe_number(column)? == Some(1));
    let (version, role) = (rows::text(row, "version")?, rows::text(row, "role")?);
    let mut found = vec![Finding::ok(LOG, format!("{}: reached, version {version}, as {role}", server.place))];
    if server.protection == Protection::None {
        let to_do =
            "Set ledger.sslmode to verify-full, and ledger.ca_file where its certificate is of your own authority.";
        found.push(Finding::warn(LOG, "anybody on the way there may read it or answer in its place", to_do));
    }
    if is("superuser")? {
        let to_do = "Connect as the role of deploy/postgres/ledger.sql.";
        found.push(Finding::warn(LOG, format!("{role} is a superuser, though the log needs one schema only"), to_do));
    }
    if rows::text(row, "fsync")? != "on" || rows::text(row, "full_page_writes")? != "on" {
        let to_do = "Set fsync and full_page_writes to on.";
        found.push(Finding::warn(LOG, "a power failure of the server may lose events that were on record", to_do));
    }
    found.push(match schema::inspect(&mut session, &server.schema).await? {
        Found::Missing if is("may_make_schema")? => {
            Finding::ok(LOG, "nothing was recorded yet; the service makes its schema")
        }
        Found::Empty if is("may_make_tables")? => {
            Finding::ok(LOG, "nothing was recorded yet; the service makes its tables")
        }
        Found::Missing | Found::Empty => {
            Finding::failed(LOG, format!("nothing was recorded yet, and {role} may not make what is needed"), GRANT)
        }
        Found::Log(_) => {
            if let Some(lacking) = lacking(&mut session).await? {
                Finding::failed(LOG, format!("{role} lacks the right to {lacking}"), GRANT)
            } else if let Some(moved) = append::moved(&mut session).await? {
                let text = format!("it was moved to {} on {}", moved.destination, moved.at);
                Finding::failed(LOG, text, "Configure where it was moved to; nothing is added to it here any more.")
            } else {
                leader(settings).await
            }
        }
    });
    session.shut().await;
    Ok(found)
}

/// A right that is needed and not there.
async fn lacking(session: &mut super::Session) -> Result<Option<String>, Fault> {
    for (table, rights) in RIGHTS {
        let has = session.rows(HAS, &[Value::Text(table), Value::Text(rights)]).await?;
        let has = has.first().map(|row| rows::number(row, "has")).transpose()?.unwrap_or(0);
        if has != rights.split(", ").count() as u64 {
            return Ok(Some(format!("{rights} on {table}")));
        }
    }
    Ok(None)
}

async fn leader(settings: &Settings) -> Finding {
    let said = async {
        let Some(ledger) = PostgresLedger::open_existing_read_only(settings).await? else { return Ok(None) };
        let found = (ledger.leader().await, ledger.claims().await);
        ledger.close().await;
        Ok::<_, super::StorageError>(Some((found.0?, found.1?.len())))
    };
    match said.await {
        Ok(Some((Some(leader), unfinished))) => {
            Finding::ok(LOG, format!("can be read; {leader} leads; unfinished operations: {unfinished}"))
        }
        Ok(Some((None, unfinished))) => {
            Finding::ok(LOG, format!("can be read; no process leads; unfinished operations: {unfinished}"))
        }
        Ok(None) => Finding::ok(LOG, "nothing was recorded yet"),
        Err(error) => Finding::failed(LOG, error.to_string(), "Try again; if it stays so: scalebot ledger verify."),
    }
}
