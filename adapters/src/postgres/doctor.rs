//! What the doctor says about a PostgreSQL: reached, its version, each right that is needed, and those that should not
//! be there.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::ports::{Chain as _, HaltSource as _, PortError};
use sqlx::postgres::PgConnection;

use super::connection::{About, Protection, Question, Server};
use super::{DatabaseConnections, EventTable, HaltTable, Postgres};
use crate::doctor::Finding;

/// Whether the role may do everything, whether it may write a table, and whether it sees only some of its rows.
const RIGHTS: &str = "\
SELECT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
       coalesce(bool_or(pg_catalog.has_table_privilege(named, 'INSERT, UPDATE, DELETE, TRUNCATE')
                     OR pg_catalog.has_any_column_privilege(named, 'INSERT, UPDATE')), false),
       coalesce(bool_or(pg_catalog.row_security_active(named)), false)
FROM unnest($1) AS given, pg_catalog.to_regclass(given) AS named
WHERE named IS NOT NULL";

/// "Which version are you?"
struct Version;

#[async_trait]
impl Question for Version {
    type Answer = String;

    async fn put(&self, connection: &mut PgConnection) -> Result<String, sqlx::Error> {
        sqlx::query_scalar("SELECT pg_catalog.current_setting('server_version')").fetch_one(connection).await
    }
}

/// "What may this role do with these tables, besides reading them?"
struct Rights(Vec<String>);

/// More than the bot needs, or less than it must see.
struct Excess {
    everything: bool,
    writes: bool,
    hidden: bool,
}

#[async_trait]
impl Question for Rights {
    type Answer = Excess;

    async fn put(&self, connection: &mut PgConnection) -> Result<Excess, sqlx::Error> {
        let (everything, writes, hidden) = sqlx::query_as(RIGHTS).bind(&self.0).fetch_one(connection).await?;
        Ok(Excess { everything, writes, hidden })
    }
}

impl Postgres {
    /// The doctor's lines. Nothing is changed; each question has its own time-out and all are asked at once.
    pub async fn check(&self) -> Vec<Finding> {
        let (server, halt, chain, connections) =
            futures::join!(self.check_server(), self.check_halt(), self.check_chain(), self.check_connections());
        server.into_iter().chain([halt, chain, connections]).collect()
    }

    async fn check_server(&self) -> Vec<Finding> {
        let system = self.describe();
        let role = self.server.role();
        let about = About { what: system.clone(), grant: String::new() };
        let mut found = match self.server.ask(&about, &Version).await {
            Ok(version) => vec![Finding::ok(&system, format!("reached, version {version}, as {role}"))],
            Err(error) => return vec![Finding::unanswered(system, &error)],
        };
        let halt = self.settings.halt.as_ref().map(|halt| halt.table.quoted());
        let chain = self.settings.chain.as_ref().map(|chain| chain.table.quoted());
        let tables = halt.into_iter().chain(chain).collect();
        // Where the tables cannot even be looked up, their own lines say so.
        if let Ok(excess) = self.server.ask(&about, &Rights(tables)).await {
            found.extend(too_much(&system, role, &excess));
        }
        found.extend(unprotected(&self.server));
        found
    }

    async fn check_halt(&self) -> Finding {
        let system = self.part(HaltTable::NAME);
        let Some(table) = self.halt_table() else { return Finding::not_configured(system, "not asked") };
        match table.read().await {
            Ok(reading) if reading.halted => Finding::ok(system, "readable: halted now"),
            Ok(_) => Finding::ok(system, "readable: not halted"),
            Err(error) => Finding::unanswered(system, &error),
        }
    }

    async fn check_chain(&self) -> Finding {
        let system = self.part(EventTable::NAME);
        let Some(chain) = self.chain() else { return Finding::not_configured(system, "not asked") };
        match chain.head().await {
            Ok(Some(head)) => Finding::ok(system, format!("readable: the last event is number {head}")),
            Ok(None) => Finding::warn(
                system,
                "readable, without any event",
                "Nothing to do if no event was written yet; else correct the table's name.",
            ),
            Err(error) => Finding::unanswered(system, &error),
        }
    }

    async fn check_connections(&self) -> Finding {
        let system = self.part(DatabaseConnections::NAME);
        let Some(connections) = self.connections() else { return Finding::not_configured(system, "not counted") };
        let limits = match connections.limits().await {
            Ok(limits) => limits,
            Err(error) => return Finding::unanswered(system, &error),
        };
        let Some(tightest) = limits.first() else {
            let error = PortError::Unreadable { what: system.clone(), detail: "it tells no limit".to_owned() };
            return Finding::unanswered(system, &error);
        };
        let text = format!(
            "{} for the fleet: {} allows {}, {} reserved, {} held by others",
            tightest.room().max(0),
            tightest.holder,
            tightest.allowed,
            tightest.reserved,
            tightest.others
        );
        Finding::ok(system, text)
    }

    fn part(&self, of: &str) -> String {
        format!("{}, {of}", self.describe())
    }
}

fn too_much(system: &str, role: &str, excess: &Excess) -> Vec<Finding> {
    let other_role = "Connect as the role of deploy/postgres/grant.sql.";
    let mut found = Vec::new();
    if excess.everything {
        found.push(Finding::warn(system, format!("{role} is a superuser, though the bot only reads"), other_role));
    } else if excess.writes {
        found.push(Finding::warn(system, format!("{role} may write to tables that the bot only reads"), other_role));
    }
    if excess.hidden {
        let text = format!("row security may hide rows of a table from {role}, and a halt with them");
        found.push(Finding::warn(system, text, format!("Write a policy that lets {role} read every row.")));
    }
    found
}

fn unprotected(server: &Arc<Server>) -> Option<Finding> {
    (server.protection() == Protection::None).then(|| {
        Finding::warn(
            server.describe(),
            "anybody on the way there may answer in its place",
            "Set sslmode to verify-full, and ca_file where its certificate is of your own authority.",
        )
    })
}
