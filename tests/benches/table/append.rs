//! Appending an event decides who may write, what is next and whose target it is, and links it to the chain. It should
//! still cost little more than writing one row as safely does.

use std::path::Path;

use scalebot_adapters::ledger::postgres::Settings;
use scalebot_adapters::ledger::{PostgresLedger, SqliteLedger, Storage as _, Taken};
use scalebot_commands::event::{Claim, Draft, Event, Hash, Kind};
use scalebot_commands::ports::Ledger;
use scalebot_commands::units::{Epoch, OperationId, TargetName, Timestamp};
use scalebot_tests::services::postgres::Postgres;
use secrecy::SecretString;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Database, Encode, PgConnection, SqliteConnection, Type};

use super::measure::in_turns;
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 150;
/// In each round. Few, so that both meet the disk in the same mood.
const EVENTS: u32 = 10;

/// About as long as an `assessed` of a small fleet.
pub(crate) fn body(number: u64) -> String {
    format!(
        r#"{{"version":1,"fleet":{{"identity":"world","wanted":4,"generation":{number},"instances":["api-1","api-2","api-3","api-4"]}},"load":{{"requests":11400,"errors":0,"p50_ms":240.5,"p99_ms":1246.0}},"reason":"planned campaign"}}"#
    )
}

pub(crate) async fn measure(table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    // The very same table, with its indexes.
    let same = directory.path().join("same.sqlite");
    SqliteLedger::open(&same).await.unwrap().close().await;
    let mut same = connection(&same).await;
    measured(table, directory.path(), &mut same, "one INSERT of the same row in a transaction of its own").await;
    same.close().await.unwrap();

    let mut plain = connection(&directory.path().join("plain.sqlite")).await;
    sqlx::raw_sql(
        "CREATE TABLE event (seq BIGINT PRIMARY KEY, at TEXT, operation TEXT, op_seq BIGINT, epoch BIGINT, kind TEXT, \
         body TEXT, prev TEXT, hash TEXT)",
    )
    .execute(&mut plain)
    .await
    .unwrap();
    measured(table, directory.path(), &mut plain, "the same into a table without further indexes").await;
    plain.close().await.unwrap();
    on_a_server(table).await;
}

/// The same on PostgreSQL, where the lease is looked after as well.
async fn on_a_server(table: &mut Table) {
    let server = Postgres::new();
    let ledger = PostgresLedger::open(&Settings::new(SecretString::from(server.administrator()))).await.unwrap();
    let Taken::Ours(epoch) = ledger.lead("the bench").await.unwrap() else { panic!("somebody else leads") };
    let mut bare = PgConnection::connect(&server.administrator()).await.unwrap();
    sqlx::raw_sql(BARE).execute(&mut bare).await.unwrap();
    let compared = "one INSERT of the same row in a transaction of its own";
    compare(table, ("appending one event on PostgreSQL", compared), &ledger, epoch, async |event| {
        let mut transaction = bare.begin().await.unwrap();
        bound(sqlx::query(INSERT), event).execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    })
    .await;
    ledger.close().await;
}

/// The log's own table and indexes, and nothing that looks after them.
const BARE: &str = "CREATE SCHEMA bare;
    CREATE TABLE bare.event (seq BIGINT PRIMARY KEY, at TEXT NOT NULL, operation TEXT, op_seq BIGINT NOT NULL,
        epoch BIGINT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE UNIQUE INDEX ON bare.event (operation, op_seq);
    CREATE INDEX ON bare.event (kind, seq);
    SET search_path = bare";

/// On SQLite, beside that connection.
async fn measured(table: &mut Table, directory: &Path, bare: &mut SqliteConnection, compared: &str) {
    let directory = tempfile::tempdir_in(directory).unwrap();
    let ledger = SqliteLedger::open(&directory.path().join("ledger.sqlite")).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    compare(table, ("appending one event", compared), &ledger, epoch, async |event| insert(bare, event).await).await;
    ledger.close().await;
}

/// Appends events and inserts the same ones, in turns.
async fn compare(
    table: &mut Table,
    (measure, compared): (&str, &str),
    ledger: &impl Ledger,
    epoch: Epoch,
    mut insert: impl AsyncFnMut(&Event),
) {
    let (mut appended, mut inserted, mut prev) = (0, 0, Hash::GENESIS);
    let pair = in_turns(
        ROUNDS,
        async || {
            for _ in 0..EVENTS {
                appended += 1;
                let event = ledger.append(draft(appended, epoch)).await.unwrap();
                assert_eq!(event.seq, appended);
            }
        },
        async || {
            for _ in 0..EVENTS {
                inserted += 1;
                let event = Event::place(&draft(inserted, epoch), inserted, prev);
                prev = event.hash;
                insert(&event).await;
            }
        },
    )
    .await
    .each(EVENTS);
    table.add(Row {
        measure: measure.to_owned(),
        figure: time(pair.ours),
        compared: format!("{compared}: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::Ratio(1.5),
    });
}

fn draft(op_seq: u64, epoch: Epoch) -> Draft {
    let (kind, claim) = match op_seq {
        1 => (Kind::Requested, Claim::Take(TargetName::new("api"))),
        _ => (Kind::Assessed, Claim::Keep),
    };
    let operation = Some(OperationId::new("019ac3c1-7f00-7000-8000-00abcdef0123"));
    Draft { operation, op_seq, epoch, at: Timestamp::now(), kind, body: body(op_seq), claim }
}

/// As durable as the ledger's own.
async fn connection(file: &Path) -> SqliteConnection {
    let mut conn = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql("PRAGMA journal_mode = WAL").execute(&mut conn).await.unwrap();
    conn
}

async fn insert(conn: &mut SqliteConnection, event: &Event) {
    let mut transaction = conn.begin_with("BEGIN IMMEDIATE").await.unwrap();
    bound(sqlx::query(INSERT), event).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
}

const INSERT: &str = "INSERT INTO event (seq, at, operation, op_seq, epoch, kind, body, prev, hash) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The statement with the event's values.
fn bound<'q, D: Database>(statement: Query<'q, D, D::Arguments>, event: &Event) -> Query<'q, D, D::Arguments>
where
    i64: Encode<'q, D> + Type<D>,
    String: Encode<'q, D> + Type<D>,
    Option<String>: Encode<'q, D>,
{
    statement
        .bind(i64::try_from(event.seq).unwrap())
        .bind(event.at.clone())
        .bind(event.operation.as_ref().map(ToString::to_string))
        .bind(i64::try_from(event.op_seq).unwrap())
        .bind(i64::try_from(event.epoch.0).unwrap())
        .bind(event.kind.clone())
        .bind(event.body.clone())
        .bind(event.prev.to_string())
        .bind(event.hash.to_string())
}
