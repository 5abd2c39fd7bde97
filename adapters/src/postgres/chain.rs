//! The table of events: its last sequence number is the head of the hash chain.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::ports::{Chain, PortError};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::connection::{About, Question, Server};
use super::settings::ChainSettings;

/// The table of events of a PostgreSQL.
#[derive(Clone, Debug)]
pub struct EventTable {
    server: Arc<Server>,
    about: About,
    statement: String,
}

impl EventTable {
    /// As a card says it.
    pub const NAME: &str = "event table";

    pub(super) fn new(server: Arc<Server>, settings: &ChainSettings) -> Self {
        let ChainSettings { table, sequence } = settings;
        let statement = format!("SELECT max({})::bigint FROM {}", sequence.quoted(), table.quoted());
        let grant = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ({column}) ON {table} TO {role};",
            schema = table.schema.quoted(),
            column = sequence.quoted(),
            table = table.quoted(),
            role = server.role(),
        );
        Self { server, about: About { what: Self::NAME.to_owned(), grant }, statement }
    }
}

#[async_trait]
impl Question for EventTable {
    type Answer = Option<i64>;

    async fn put(&self, connection: &mut PgConnection) -> Result<Option<i64>, sqlx::Error> {
        sqlx::query_scalar(AssertSqlSafe(self.statement.clone())).fetch_one(connection).await
    }
}

#[async_trait]
impl Chain for EventTable {
    async fn head(&self) -> Result<Option<u64>, PortError> {
        let head = self.server.ask(&self.about, self).await?;
        let unsigned = |head: i64| {
            let detail = format!("its last sequence number is {head}, below zero");
            u64::try_from(head).map_err(|_| PortError::Unreadable { what: Self::NAME.to_owned(), detail })
        };
        head.map(unsigned).transpose()
    }
}
