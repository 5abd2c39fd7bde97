//! Where a log is in these tests: a file, or a schema of its own in one PostgreSQL that all of them share.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use futures::TryStreamExt as _;
use scalebot_adapters::ledger::postgres::Settings;
use scalebot_adapters::ledger::{PostgresLedger, SqliteLedger, Storage, Taken};
use scalebot_commands::event::{Claim, Draft, Event, Hash, Kind, Proof};
use scalebot_commands::units::{Epoch, OperationId, TargetName};
use scalebot_tests::services::postgres::Postgres;
use secrecy::SecretString;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

/// Long enough for a machine that is busy with others; no test waits for its end.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Where a log is.
pub(crate) enum Place {
    /// A file in a directory of its own.
    File(TempDir),
    /// A schema of its own, in which a lease has run out as soon as it is taken: whoever wants to lead does.
    Server(Settings),
}

/// The server that the tests of one process share; it ends with the process.
fn shared() -> &'static str {
    static SERVER: OnceLock<(Mutex<Postgres>, String)> = OnceLock::new();
    // Many tests at once, each with a few connections.
    let started = || {
        let server = Postgres::with(&["max_connections=400"]);
        let url = server.administrator();
        (Mutex::new(server), url)
    };
    &SERVER.get_or_init(started).1
}

/// A schema that nobody else has, in the server that all share.
pub(crate) fn schema() -> Settings {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let schema = format!("log_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    Settings { schema, ..settings(shared()) }
}

/// The log in that server.
pub(crate) fn at(server: &Postgres) -> Settings {
    settings(&server.administrator())
}

fn settings(url: &str) -> Settings {
    Settings { time_out: PATIENCE, lease: Duration::ZERO, ..Settings::new(SecretString::from(url)) }
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(crate) fn server() -> Self {
        Self::Server(schema())
    }

    /// The file's path.
    pub(crate) fn path(&self) -> PathBuf {
        match self {
            Self::File(directory) => directory.path().join("ledger.db"),
            Self::Server(settings) => panic!("{settings:?} is no file"),
        }
    }

    /// A handle that does not lead.
    pub(crate) async fn opened(&self) -> Arc<dyn Storage> {
        self.opened_by(|_| {}).await
    }

    /// A handle that tells of each event that it appends.
    pub(crate) async fn opened_by(&self, hook: impl Fn(&Event) + Send + Sync + 'static) -> Arc<dyn Storage> {
        match self {
            Self::File(_) => Arc::new(SqliteLedger::open(&self.path()).await.unwrap().on_append(hook)),
            Self::Server(settings) => Arc::new(PostgresLedger::open(settings).await.unwrap().on_append(hook)),
        }
    }

    /// A handle that leads.
    pub(crate) async fn led(&self) -> (Arc<dyn Storage>, Epoch) {
        let ledger = self.opened().await;
        let epoch = lead(&ledger).await;
        (ledger, epoch)
    }

    /// A handle that only reads.
    pub(crate) async fn read(&self) -> Option<Arc<dyn Storage>> {
        match self {
            Self::File(_) => {
                let opened = SqliteLedger::open_existing_read_only(&self.path()).await.unwrap();
                opened.map(|ledger| Arc::new(ledger) as _)
            }
            Self::Server(settings) => {
                let opened = PostgresLedger::open_existing_read_only(settings).await.unwrap();
                opened.map(|ledger| Arc::new(ledger) as _)
            }
        }
    }

    /// Carries a statement out beside the log, without any of its rules.
    pub(crate) async fn runs(&self, statement: &str) {
        match self {
            Self::File(_) => {
                let url = format!("sqlite:{}", self.path().display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            Self::Server(settings) => {
                let statements = format!("SET search_path = {}; {statement}", settings.schema);
                let mut connection = PgConnection::connect(shared()).await.unwrap();
                sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
        }
    }
}

/// Makes that handle the one that writes.
pub(crate) async fn lead(ledger: &Arc<dyn Storage>) -> Epoch {
    match ledger.lead("a process of a test").await.unwrap() {
        Taken::Ours(epoch) => epoch,
        Taken::Led(led) => panic!("{led:?}"),
    }
}

pub(crate) fn draft(operation: &str, op_seq: u64, epoch: Epoch) -> Draft {
    Draft {
        operation: Some(OperationId::new(operation)),
        op_seq,
        epoch,
        at: "2026-01-08T03:00:00Z".parse().unwrap(),
        kind: Kind::Assessed,
        body: "{}".to_owned(),
        claim: Claim::Keep,
    }
}

pub(crate) fn api() -> TargetName {
    TargetName::new("api")
}

pub(crate) fn requested(operation: &str, epoch: Epoch) -> Draft {
    Draft { kind: Kind::Requested, claim: Claim::Take(api()), ..draft(operation, 1, epoch) }
}

pub(crate) fn note(epoch: Epoch) -> Draft {
    Draft { operation: None, kind: Kind::CommandRefused, ..draft("", 0, epoch) }
}

pub(crate) async fn whole(ledger: &Arc<dyn Storage>) -> Vec<Event> {
    ledger.events().try_collect().await.unwrap()
}

pub(crate) fn prove(events: &[Event]) -> (u64, Hash) {
    let mut proof = Proof::default();
    for event in events {
        proof.take(event).unwrap();
    }
    proof.head()
}
