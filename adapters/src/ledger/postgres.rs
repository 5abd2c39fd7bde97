//! The log in PostgreSQL, for several bots of which one leads.
//!
//! It lives in a schema of its own. Whoever writes holds the row of the fencing epoch from the first statement to the
//! commit, so that appends follow each other and a new leader's epoch comes after the last of the old one's. Every
//! statement has a limit, on the server too: a process that stands still in the middle of a transaction holds nobody up
//! for longer.

mod doctor;
mod lease;
mod schema;
mod session;
mod settings;
mod words;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use scalebot_commands::event::Event;
use scalebot_commands::ports::LedgerError;
use scalebot_commands::request::escaped;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow, Postgres};
use tokio::time::{Instant, sleep, timeout};

pub use self::doctor::check;
use self::lease::Lead;
use self::schema::Found;
pub use self::session::Session;
pub use self::settings::Settings;
use super::fault::{Fault, StorageError};
use super::storage::{Storage, Taken};
use super::way::{Statements as _, Value, Way, bound};
use super::writer::Writer;
use super::{PostgresLedger, Store, rows};
use crate::postgres::{Address, Protection, Reached};
use crate::settings::Unusable;

/// How many read at once.
const READERS: u32 = 4;

/// How many events are read at a time.
const PAGE: i64 = 1_000;

/// How the URL is written.
const EXAMPLE: &str = "postgres://scalebot_ledger@db.example:5432/scalebot";

/// The most of a process's name that is shown, in characters.
const NAME: usize = 200;

/// Between two tries to say again that this process leads, when the last one failed.
const AGAIN: Duration = Duration::from_secs(1);

/// One row, without any table.
const LAST: &str = "SELECT MAX(seq) AS last FROM event";

/// A page of every row there is, whatever it says its place is.
const EVERY_EVENT: &str = "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event
    WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT $3";

/// A schema in a PostgreSQL.
pub struct Server {
    options: PgConnectOptions,
    place: String,
    schema: String,
    protection: Protection,
    limit: Duration,
    lease: Duration,
    renew: Duration,
    /// What this handle's lease is told from another's by.
    token: String,
}

impl fmt::Debug for Server {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("place", &self.place).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Server {
    fn new(settings: &Settings) -> Result<Self, Unusable> {
        let address = Address {
            url: &settings.url,
            password: settings.password.as_ref(),
            password_file: settings.password_file.as_deref(),
            sslmode: settings.sslmode,
            ca_file: settings.ca_file.as_deref(),
            example: EXAMPLE,
        };
        let Reached { options, address, protection } = address.reach()?;
        let limit = format!("{}ms", settings.time_out.as_millis().max(1));
        let path = format!("\"{}\"", settings.schema);
        let database = options.get_database().unwrap_or_default();
        let place = format!("PostgreSQL at {address}, database {database}, schema {}", settings.schema);
        let options = options.options([
            ("search_path", path.as_str()),
            // What is told to be on record is on disk, whatever the role's own setting says.
            ("synchronous_commit", "on"),
            ("default_transaction_isolation", "read committed"),
            ("statement_timeout", &limit),
            ("lock_timeout", &limit),
            ("idle_in_transaction_session_timeout", &limit),
        ]);
        Ok(Self {
            options,
            place: escaped(&place, NAME),
            schema: settings.schema.clone(),
            protection,
            limit: settings.time_out,
            lease: settings.lease,
            renew: settings.renew,
            token: uuid::Uuid::now_v7().to_string(),
        })
    }

    fn of(settings: &Settings) -> Result<Self, StorageError> {
        Self::new(settings).map_err(|Unusable { key, why }| StorageError::Unusable(format!("ledger.{key}: {why}")))
    }

    fn pool(&self) -> PgPool {
        // What only reads neither writes by mistake nor waits for whoever writes.
        let options = self.options.clone().options([("default_transaction_read_only", "on")]);
        PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(self.limit)
            .after_connect(|conn, _| {
                Box::pin(async move {
                    if session::follows(conn).await? {
                        return Err(sqlx::Error::Configuration(session::FOLLOWER.into()));
                    }
                    Ok(())
                })
            })
            .connect_lazy_with(options)
    }

    async fn page(&self, readers: &PgPool, after: i64, top: Option<i64>) -> Result<(Vec<PgRow>, i64), Fault> {
        let top = if let Some(top) = top {
            top
        } else {
            let last = self.read(readers, LAST, &[]).await?;
            last.first()
                .and_then(|row| rows::maybe_number(row, "last").transpose())
                .transpose()?
                .map_or(Ok(0), |last| rows::stored(last, "event"))?
        };
        let values = [Value::Number(after), Value::Number(top), Value::Number(PAGE)];
        Ok((self.read(readers, EVERY_EVENT, &values).await?, top))
    }
}

impl PostgresLedger {
    /// Opens the log for reading and writing; makes it where there is none. Whoever wants to append leads first.
    ///
    /// # Errors
    /// When the database cannot be used; when the schema belongs to a later release or another program, it is left as it
    /// is.
    pub async fn open(settings: &Settings) -> Result<Self, StorageError> {
        let server = Server::of(settings)?;
        let mut session = server.connect().await.map_err(|fault| fault.about(&server))?;
        let prepared = schema::prepare(&mut session, &server.schema).await;
        if let Err(fault) = prepared {
            session.shut().await;
            return Err(fault.about(&server));
        }
        let readers = server.pool();
        Ok(Store::writing(server, readers, Some(session)))
    }

    /// Opens a log for reading only; `None` where nothing was ever recorded. Makes nothing and changes nothing.
    ///
    /// # Errors
    /// When there is a schema that is no log, or one that cannot be read.
    pub async fn open_existing_read_only(settings: &Settings) -> Result<Option<Self>, StorageError> {
        let server = Server::of(settings)?;
        let found = async {
            let mut session = server.connect().await?;
            let found = schema::inspect(&mut session, &server.schema).await;
            session.shut().await;
            found
        };
        match found.await.map_err(|fault| fault.about(&server))? {
            Found::Missing | Found::Empty => return Ok(None),
            Found::Log(_) => {}
        }
        let readers = server.pool();
        Ok(Some(Store::reading(server, readers)))
    }
}

#[async_trait]
impl Storage for PostgresLedger {
    async fn lead(&self, who: &str) -> Result<Taken, StorageError> {
        let (server, who) = (Arc::clone(&self.way), escaped(who, NAME));
        let taken = self.write(
            move |session| {
                let (server, who) = (Arc::clone(&server), who.clone());
                Box::pin(async move { lease::take(session, &server.token, &who, server.lease).await })
            },
            |_| {},
        );
        match taken.await.map_err(|fault| fault.about(&*self.way))? {
            Lead::Ours(epoch, head) => {
                self.leads(epoch, head);
                Ok(Taken::Ours(epoch))
            }
            Lead::Led(led) => Ok(Taken::Led(led)),
        }
    }

    async fn until_lost(&self) -> String {
        let mut renewals = Writer::new(Arc::clone(&self.way), None);
        let mut held_until = Instant::now() + self.way.lease;
        let mut pause = self.way.renew;
        loop {
            sleep(pause).await;
            let (asked, known, server) = (Instant::now(), self.known(), Arc::clone(&self.way));
            let renewed = renewals.transact(move |session| {
                let server = Arc::clone(&server);
                Box::pin(async move { lease::renew(session, &server.token, server.lease, known).await })
            });
            let left = held_until.saturating_duration_since(asked).max(AGAIN);
            let why = match timeout(left, renewed).await {
                Ok(Ok(true)) => {
                    (held_until, pause) = (asked + self.way.lease, self.way.renew);
                    continue;
                }
                Ok(Ok(false)) => {
                    let leader = self.leader().await.ok().flatten();
                    return leader.unwrap_or_else(|| "another process".to_owned()) + " has taken the lead";
                }
                Ok(Err(Fault::Refused(error))) => return error.to_string(),
                Ok(Err(fault)) => fault.about(&*self.way).to_string(),
                Err(_) => session::out_of_time(left).to_string(),
            };
            if Instant::now() >= held_until {
                let lease = self.way.lease.as_secs_f64();
                return format!(
                    "for {lease} s it could not be said that this process leads, so another one may: {why}"
                );
            }
            tracing::warn!(%why, "it could not be said that this process leads; it is tried again");
            pause = AGAIN.min(self.way.renew);
        }
    }

    async fn resign(&self) {
        let server = Arc::clone(&self.way);
        let given_back = self.write(
            move |session| {
                let server = Arc::clone(&server);
                Box::pin(async move { Ok(session.execute(lease::RELEASE, &[Value::Text(&server.token)]).await?) })
            },
            |_| {},
        );
        if let Err(fault) = given_back.await {
            let why = fault.about(&*self.way);
            tracing::warn!(%why, "the lead could not be given back; another process may take it once the lease has run out");
        }
    }

    async fn leader(&self) -> Result<Option<String>, LedgerError> {
        let held = self.read(lease::HELD, &[]).await?;
        let led = held.first().map(lease::led).transpose().map_err(|fault| self.say(fault))?;
        Ok(led.map(|led| escaped(&led.by, NAME)))
    }

    async fn moved_to(&self) -> Result<Option<String>, LedgerError> {
        self.moved().await
    }

    async fn latest_place(&self) -> Result<u64, LedgerError> {
        self.last_place().await
    }

    fn events(&self) -> BoxStream<'_, Result<Event, StorageError>> {
        Store::events(self)
    }

    fn has_moved_on(&self) -> bool {
        false
    }

    fn place(&self) -> String {
        self.way().place()
    }

    async fn close(&self) {
        Store::close(self).await;
    }
}

#[async_trait]
impl Way for Server {
    type Database = Postgres;
    type Connection = Session;

    const BEGIN: &'static str = "BEGIN";
    // A statement of its own: the next one sees what whoever was waited for has left.
    const HOLD: Option<&'static str> = Some("SELECT epoch FROM epoch WHERE one = 1 FOR UPDATE");

    fn is_there(&self) -> Result<(), Fault> {
        Ok(())
    }

    async fn connect(&self) -> Result<Session, Fault> {
        Session::begin(&self.options, self.limit).await
    }

    fn may_be_repeated(&self, error: &sqlx::Error) -> bool {
        words::may_be_repeated(error)
    }

    async fn read<'r>(
        &'r self,
        readers: &'r PgPool,
        sql: &'static str,
        values: &'r [Value<'r>],
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let asked = bound::<Postgres>(sql, values).fetch_all(readers);
        timeout(self.limit * 2, asked).await.unwrap_or_else(|_| Err(session::out_of_time(self.limit * 2)))
    }

    /// In pages, since no statement may take as long as a long log. What is appended meanwhile is not among them.
    fn every_event<'r>(&'r self, readers: &'r PgPool) -> BoxStream<'r, Result<Event, Fault>> {
        let pages = stream::try_unfold(Some((i64::MIN, None)), move |next| async move {
            let Some((after, top)) = next else { return Ok(None) };
            let (page, top) = self.page(readers, after, top).await?;
            let last = page.last().map(|row| sqlx::Row::try_get(row, "seq")).transpose()?;
            Ok::<_, Fault>(Some((page, last.map(|last| (last, Some(top))))))
        });
        let rows = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok::<_, Fault>))).try_flatten();
        Box::pin(rows.map(|row| rows::event(&row?)))
    }

    async fn led(session: &mut Session) -> Result<Option<String>, Fault> {
        let held = session.rows(lease::HELD, &[]).await?;
        Ok(held.first().map(lease::led).transpose()?.map(|led| escaped(&led.by, NAME)))
    }

    fn explain(&self, error: &sqlx::Error) -> StorageError {
        words::explain(error, &self.place)
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}
