//! The budget of connections: what the server, the database and each of the fleet's roles allow, less what others hold.
//! The one that leaves the fleet the least is the budget.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::ports::{Pool, PoolBudget, PortError};
use sqlx::postgres::PgConnection;

use super::connection::{About, Question, Server};
use super::settings::ConnectionSettings;

/// What the server and the database allow, and how many connections others hold. Whoever may not see all sessions would
/// count too few of them, so that it is asked first whether the role may.
///
/// Sessions that are not of a client (replication, workers) have places of their own. One that has not named its user
/// yet holds a place already.
const SERVER: &str = "\
SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
       pg_catalog.current_setting('max_connections')::bigint,
       pg_catalog.current_setting('superuser_reserved_connections')::bigint
           + coalesce(pg_catalog.current_setting('reserved_connections', true)::bigint, 0),
       (SELECT datconnlimit::bigint FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()),
       count(*) FILTER (WHERE NOT ours),
       count(*) FILTER (WHERE NOT ours AND datname = pg_catalog.current_database())
FROM (SELECT datname, coalesce(usename::text = ANY ($1)
                           AND (cardinality($2) = 0 OR application_name = ANY ($2))
                           AND (cardinality($3) = 0 OR client_addr <<= ANY ($3::inet[])), false) AS ours
      FROM pg_catalog.pg_stat_activity
      WHERE coalesce(backend_type, 'client backend') = 'client backend') AS session";

/// What each of the fleet's roles is allowed, and how many connections of it are not the fleet's.
const ROLES: &str = "\
SELECT wanted, (SELECT rolconnlimit::bigint FROM pg_catalog.pg_roles WHERE rolname = wanted),
       (SELECT count(*) FROM pg_catalog.pg_stat_activity
        WHERE coalesce(backend_type, 'client backend') = 'client backend' AND usename = wanted
              AND NOT coalesce((cardinality($2) = 0 OR application_name = ANY ($2))
                           AND (cardinality($3) = 0 OR client_addr <<= ANY ($3::inet[])), false))
FROM unnest($1) AS wanted";

/// The connections of a PostgreSQL.
#[derive(Clone, Debug)]
pub struct DatabaseConnections {
    server: Arc<Server>,
    about: About,
    settings: ConnectionSettings,
}

/// Whose limit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    Server,
    Database(String),
    Role(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("the server"),
            Self::Database(name) => write!(f, "the database {name}"),
            Self::Role(name) => write!(f, "the role {name}"),
        }
    }
}

/// One limit, with what is gone of it already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) holder: Holder,
    pub(super) allowed: u32,
    pub(super) reserved: u32,
    pub(super) others: u32,
}

impl Limit {
    /// What it leaves the fleet.
    pub(super) fn room(&self) -> i64 {
        i64::from(self.allowed) - i64::from(self.reserved) - i64::from(self.others)
    }
}

/// The server's answer as it came.
pub(super) type Counted = ((bool, i64, i64, i64, i64, i64), Vec<(String, Option<i64>, i64)>);

impl DatabaseConnections {
    /// As a card says it.
    pub const NAME: &str = "database connections";

    pub(super) fn new(server: Arc<Server>, settings: &ConnectionSettings) -> Self {
        let grant = format!("GRANT pg_read_all_stats TO {};", server.role());
        Self { server, about: About { what: Self::NAME.to_owned(), grant }, settings: settings.clone() }
    }

    /// Every limit that there is, the one that leaves the least first.
    pub(super) async fn limits(&self) -> Result<Vec<Limit>, PortError> {
        let counted = self.server.ask(&self.about, self).await?;
        self.judged(counted)
    }

    fn judged(&self, counted: Counted) -> Result<Vec<Limit>, PortError> {
        let what = || Self::NAME.to_owned();
        let ((sees_all, maximum, reserved, in_database, others, others_in_database), roles) = counted;
        if !sees_all {
            let detail = format!(
                "{} may not see the sessions of others, so they cannot be counted. It takes: {}",
                self.server.role(),
                self.about.grant
            );
            return Err(PortError::Refused { what: what(), detail });
        }
        let count = |count: i64| {
            let detail = || format!("{count} is no count of connections");
            u32::try_from(count).map_err(|_| PortError::Unreadable { what: what(), detail: detail() })
        };
        let mut limits = vec![Limit {
            holder: Holder::Server,
            allowed: count(maximum)?,
            reserved: count(reserved)?,
            others: count(others)?,
        }];
        // -1 is no limit.
        if in_database != -1 {
            limits.push(Limit {
                holder: Holder::Database(self.server.database().to_owned()),
                allowed: count(in_database)?,
                reserved: 0,
                others: count(others_in_database)?,
            });
        }
        for (role, limit, others) in roles {
            let Some(limit) = limit else {
                let detail = format!("there is no role {role}, which connections.fleet.users names");
                return Err(PortError::NotServed { what: what(), detail });
            };
            if limit != -1 {
                let (allowed, others) = (count(limit)?, count(others)?);
                limits.push(Limit { holder: Holder::Role(role), allowed, reserved: 0, others });
            }
        }
        limits.sort_by_key(Limit::room);
        Ok(limits)
    }
}

#[async_trait]
impl Question for DatabaseConnections {
    type Answer = Counted;

    async fn put(&self, connection: &mut PgConnection) -> Result<Counted, sqlx::Error> {
        let fleet = &self.settings.fleet;
        let addresses: Vec<String> = fleet.addresses.iter().map(ToString::to_string).collect();
        let server = sqlx::query_as(SERVER)
            .bind(&fleet.users)
            .bind(&fleet.applications)
            .bind(&addresses)
            .fetch_one(&mut *connection)
            .await?;
        let roles = sqlx::query_as(ROLES)
            .bind(&fleet.users)
            .bind(&fleet.applications)
            .bind(&addresses)
            .fetch_all(&mut *connection)
            .await?;
        Ok((server, roles))
    }
}

#[async_trait]
impl Pool for DatabaseConnections {
    async fn budget(&self) -> Result<PoolBudget, PortError> {
        let limits = self.limits().await?;
        let tightest = limits.into_iter().next().ok_or_else(|| PortError::Unreadable {
            what: Self::NAME.to_owned(),
            detail: "the server tells no limit".to_owned(),
        })?;
        let Limit { holder, allowed, reserved, others } = tightest;
        let ConnectionSettings { per_instance, surge, .. } = self.settings;
        Ok(PoolBudget { limit: allowed, reserved, others, per_instance, surge, limit_of: Some(holder.to_string()) })
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}
