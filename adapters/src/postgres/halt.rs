//! The halt table. Exactly one row answers, and only when it is not NULL.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::ports::{HaltReading, HaltSource, PortError};
use scalebot_commands::units::Timestamp;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Column as _, Row as _, TypeInfo as _};

use super::connection::{About, Question, Server};
use super::settings::{HaltSettings, Name};

/// The longest reason that is read, in characters.
const LONGEST_REASON: u32 = 500;

/// The halt table of a PostgreSQL.
#[derive(Clone, Debug)]
pub struct HaltTable {
    server: Arc<Server>,
    about: About,
    statement: String,
    names: HaltSettings,
}

/// The table's row, as far as it was asked for.
pub(super) struct Row {
    halted: Option<bool>,
    reason: Option<String>,
    /// In microseconds since 1970, as is the next one.
    halted_at: Option<i64>,
    cleared_at: Option<i64>,
}

/// What the table answered.
pub(super) enum Answer {
    Rows(Vec<Row>),
    /// The column that says whether it is halted is of this type.
    NoBoolean(String),
}

impl HaltTable {
    /// As a card says it.
    pub const NAME: &str = "halt table";

    pub(super) fn new(server: Arc<Server>, settings: &HaltSettings) -> Self {
        let HaltSettings { table, is_halted, reason, halted_at, cleared_at } = settings;
        let moment = |name: &Option<Name>| match name {
            Some(name) => format!("(extract(epoch FROM {}) * 1000000)::bigint", name.quoted()),
            None => "NULL::bigint".to_owned(),
        };
        let why = match reason {
            Some(name) => format!("pg_catalog.left({}::text, {LONGEST_REASON})", name.quoted()),
            None => "NULL::text".to_owned(),
        };
        // Two rows are enough to know that there is not exactly one.
        let statement = format!(
            "SELECT {}, {why}, {}, {} FROM {} LIMIT 2",
            is_halted.quoted(),
            moment(halted_at),
            moment(cleared_at),
            table.quoted()
        );
        let columns = [Some(is_halted), reason.as_ref(), halted_at.as_ref(), cleared_at.as_ref()];
        let columns: Vec<String> = columns.into_iter().flatten().map(Name::quoted).collect();
        let grant = format!(
            "GRANT USAGE ON SCHEMA {schema} TO {role}; GRANT SELECT ({columns}) ON {table} TO {role};",
            schema = table.schema.quoted(),
            columns = columns.join(", "),
            table = table.quoted(),
            role = server.role(),
        );
        let about = About { what: Self::NAME.to_owned(), grant };
        Self { server, about, statement, names: settings.clone() }
    }

    fn says(&self, answer: Answer) -> Result<HaltReading, String> {
        let HaltSettings { table, is_halted, .. } = &self.names;
        let mut rows = match answer {
            Answer::Rows(rows) => rows,
            Answer::NoBoolean(kind) => return Err(format!("{is_halted} in {table} is of type {kind}, not boolean")),
        };
        let Some(row) = rows.pop() else {
            return Err(format!("{table} has no row that this role may see, so it does not say whether it is halted"));
        };
        if !rows.is_empty() {
            return Err(format!("{table} has more than the one row that there may be"));
        }
        let halted = row
            .halted
            .ok_or_else(|| format!("{is_halted} in {table} is NULL, so it does not say whether it is halted"))?;
        let moment = |microseconds: Option<i64>| {
            let moment = microseconds.map(Timestamp::from_microsecond).transpose();
            moment.map_err(|_| format!("a time in {table} is beyond every calendar"))
        };
        let (halted_at, cleared_at) = (moment(row.halted_at)?, moment(row.cleared_at)?);
        Ok(HaltReading {
            halted,
            // `halted_at` survives a clear: then it tells of a halt that is over.
            since: halted_at.filter(|_| halted),
            reason: row.reason.filter(|reason| halted && !reason.is_empty()),
            cleared_at,
        })
    }
}

#[async_trait]
impl Question for HaltTable {
    type Answer = Answer;

    async fn put(&self, connection: &mut PgConnection) -> Result<Answer, sqlx::Error> {
        let rows = sqlx::query(AssertSqlSafe(self.statement.clone())).fetch_all(connection).await?;
        if let Some(column) = rows.first().and_then(|row| row.columns().first())
            && column.type_info().name() != "BOOL"
        {
            return Ok(Answer::NoBoolean(column.type_info().name().to_lowercase()));
        }
        let row = |row: PgRow| {
            Ok(Row {
                halted: row.try_get(0)?,
                reason: row.try_get(1)?,
                halted_at: row.try_get(2)?,
                cleared_at: row.try_get(3)?,
            })
        };
        rows.into_iter().map(row).collect::<Result<_, sqlx::Error>>().map(Answer::Rows)
    }
}

#[async_trait]
impl HaltSource for HaltTable {
    async fn read(&self) -> Result<HaltReading, PortError> {
        let answer = self.server.ask(&self.about, self).await?;
        self.says(answer).map_err(|detail| PortError::Unreadable { what: self.name(), detail })
    }

    fn name(&self) -> String {
        Self::NAME.to_owned()
    }
}
