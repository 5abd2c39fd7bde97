//! A halt table of a rehearsal's own: in a schema of its own, written as the backend writes its own, and gone with the
//! rehearsal. Nothing else in the database is touched.

use std::sync::Arc;
use std::time::Duration;

use scalebot_commands::ports::PortError;
use secrecy::SecretString;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};
use tokio::time::timeout;

use super::connection::{About, Server};
use super::failure::{self, Failure};
use super::settings::{ConnectionSettings, FleetSettings, HaltSettings, Name, Settings, Table};
use crate::process::wire::HaltRow;
use crate::settings::Unusable;

/// How long writing may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How many connections one instance of a rehearsal is taken to open at most; it opens none.
const PER_INSTANCE: u32 = 15;

/// The table.
const TABLE: &str = "halt_state";

/// The halt table of one rehearsal.
#[derive(Clone, Debug)]
pub struct RehearsedHaltTable {
    server: Arc<Server>,
    about: About,
    schema: String,
}

/// What is asked of a PostgreSQL in the rehearsal that goes by that name: its halt table, and the server's connections.
/// Instances of a rehearsal open none, so that all that are there are others'.
///
/// # Errors
/// When the URL cannot be used, and when the name cannot be a schema's.
pub fn rehearsed(url: SecretString, name: &str) -> Result<Settings, Unusable> {
    let schema = Name::parse(name).map_err(|why| Unusable::new("schema", why))?;
    let halt = HaltSettings { table: Table { schema, name: Name::fixed(TABLE) }, ..HaltSettings::default() };
    let settings = Settings { halt: Some(halt), chain: None, ..Settings::new(url) };
    let role = Server::new(&settings)?.role().to_owned();
    let fleet = FleetSettings { users: vec![role], applications: vec![name.to_owned()], addresses: Vec::new() };
    Ok(Settings { connections: Some(ConnectionSettings { per_instance: PER_INSTANCE, surge: 0, fleet }), ..settings })
}

impl RehearsedHaltTable {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: SecretString, name: &str) -> Result<Self, Unusable> {
        let settings = Settings { time_out: LIMIT, ..rehearsed(url, name)? };
        let schema = Name::parse(name).map_err(|why| Unusable::new("schema", why))?.quoted();
        let server = Arc::new(Server::new(&settings)?);
        let grant = format!("GRANT CREATE ON DATABASE \"{}\" TO {};", server.database(), server.role());
        let about = About { what: "the rehearsal's halt table".to_owned(), grant };
        Ok(Self { server, about, schema })
    }

    /// Makes the schema and the table.
    ///
    /// # Errors
    /// By what a person would do about it.
    pub async fn begin(&self) -> Result<(), PortError> {
        let Self { schema, .. } = self;
        self.run(format!(
            "CREATE SCHEMA {schema}; CREATE TABLE {schema}.{TABLE} (id bigint PRIMARY KEY, is_halted boolean, reason \
             text, crisis_event_id text, halted_at timestamptz, updated_at timestamptz, ceremony_id text, \
             clear_reason text, cleared_at timestamptz)"
        ))
        .await
    }

    /// Makes the table's rows these.
    ///
    /// # Errors
    /// When it is not known whether they are.
    pub async fn show(&self, rows: &[HaltRow]) -> Result<(), PortError> {
        self.within(async {
            let mut connection = self.server.connect().await?;
            let mut transaction = connection.begin_with("BEGIN READ WRITE").await?;
            self.write(&mut transaction, rows).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    /// Removes the schema with everything in it.
    ///
    /// # Errors
    /// When it is not known whether it is gone.
    pub async fn end(&self) -> Result<(), PortError> {
        self.run(format!("DROP SCHEMA IF EXISTS {} CASCADE", self.schema)).await
    }

    async fn write(&self, connection: &mut PgConnection, rows: &[HaltRow]) -> Result<(), sqlx::Error> {
        let Self { schema, .. } = self;
        sqlx::raw_sql(AssertSqlSafe(format!("DELETE FROM {schema}.{TABLE}"))).execute(&mut *connection).await?;
        let insert = format!(
            "INSERT INTO {schema}.{TABLE} VALUES ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz, $7, $8, \
             $9::timestamptz)"
        );
        for (at, row) in (1_i64..).zip(rows) {
            let HaltRow { is_halted, reason, crisis_event_id, halted_at, updated_at, .. } = row;
            let moment = |moment: &Option<scalebot_commands::units::Timestamp>| moment.map(|moment| moment.to_string());
            sqlx::query(AssertSqlSafe(insert.clone()))
                .bind(at)
                .bind(is_halted)
                .bind(reason)
                .bind(crisis_event_id)
                .bind(moment(halted_at))
                .bind(moment(updated_at))
                .bind(&row.ceremony_id)
                .bind(&row.clear_reason)
                .bind(moment(&row.cleared_at))
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    async fn run(&self, statements: String) -> Result<(), PortError> {
        self.within(async {
            let mut connection = self.server.connect().await?;
            let mut transaction = connection.begin_with("BEGIN READ WRITE").await?;
            sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *transaction).await?;
            Ok(transaction.commit().await?)
        })
        .await
    }

    async fn within(&self, written: impl Future<Output = Result<(), Failure>>) -> Result<(), PortError> {
        match timeout(LIMIT, written).await {
            Ok(written) => written.map_err(|failure| failure::explained(&failure, &self.about, &self.server, LIMIT)),
            Err(_) => Err(PortError::TimedOut { what: self.about.what.clone(), limit: LIMIT }),
        }
    }
}
