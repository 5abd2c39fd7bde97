//! Proving a long log: it should cost little more than reading it and hashing it, and no memory that grows with it.

use std::path::Path;
use std::process::Command;

use futures::{StreamExt as _, TryStreamExt as _};
use scalebot_adapters::ledger::SqliteLedger;
use scalebot_commands::audit::{Audit, Audited};
use scalebot_commands::event::{Claim, Draft, Event, Hash, Kind};
use scalebot_commands::units::{Epoch, OperationId, Timestamp};
use sha2::{Digest as _, Sha256};
use sqlx::sqlite::{SqliteConnectOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, QueryBuilder, Row as _, SqliteConnection};

use super::append::body;
use super::measure::in_turns;
use super::program::{Memory, mib};
use super::table::{Aim, Row, Table, time};

const ROUNDS: usize = 5;
const EVENTS: u64 = 1_000_000;
/// From here on memory should not grow any more.
const SETTLED: u64 = 100_000;
/// In one operation.
const STEPS: u64 = 12;
/// In one statement.
const BATCH: u64 = 500;

/// Runs only the audit of the file that is named next, and prints how its memory went.
pub(crate) const ALONE: &str = "--audit";

pub(crate) async fn measure(table: &mut Table) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ledger.sqlite");
    let head = generate(&file, EVENTS).await;
    let pair = in_turns(
        ROUNDS,
        async || {
            let audited = audit(&file, |_| {}).await;
            assert_eq!((audited.events, audited.head), (EVENTS, head));
        },
        async || assert_eq!(read_and_hash(&file).await, head),
    )
    .await;
    table.add(Row {
        measure: "proving 1,000,000 events".to_owned(),
        figure: time(pair.ours),
        compared: format!("reading the same rows and hashing them: {}", time(pair.yardstick)),
        ratio: Some(pair.ratio),
        aim: Aim::Ratio(1.3),
    });

    let output = Command::new(std::env::current_exe().unwrap()).arg(ALONE).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let kib: Vec<u64> = said.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let [early, late] = kib[..] else { panic!("{said}") };
    table.add(Row {
        measure: "peak memory of that proof".to_owned(),
        figure: format!("{}, {} of it after the first 100,000 events", mib(late), mib(late - early)),
        compared: format!("its peak after the first 100,000 events: {}", mib(early)),
        ratio: Some(late as f64 / early as f64),
        aim: Aim::None,
    });
}

/// Proves the file and prints the process' peak memory in KiB, after the first events and at the end.
pub(crate) async fn alone(file: &Path) {
    let peak = || Memory::of(std::process::id()).unwrap().peak;
    let mut early = 0;
    audit(file, |seq| {
        if seq == SETTLED {
            early = peak();
        }
    })
    .await;
    println!("{early} {}", peak());
}

/// As `scalebot ledger verify` does it.
async fn audit(file: &Path, mut taken: impl FnMut(u64)) -> Audited {
    let ledger = SqliteLedger::open_existing_read_only(file).await.unwrap().unwrap();
    let mut audit = Audit::against(Vec::new());
    let mut events = ledger.events();
    while let Some(event) = events.next().await {
        let event = event.unwrap();
        audit.take(&event).unwrap();
        taken(event.seq);
    }
    drop(events);
    ledger.close().await;
    audit.finish().unwrap()
}

/// The last event's hash, computed over the same bytes in the same order, with nothing compared.
async fn read_and_hash(file: &Path) -> Hash {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).immutable(true);
    let mut conn = options.disable_statement_logging().connect().await.unwrap();
    let sql = "SELECT seq, at, operation, op_seq, epoch, kind, body, prev, hash FROM event ORDER BY seq";
    let mut rows = sqlx::query(sql).fetch(&mut conn);
    let mut last = Hash::GENESIS;
    while let Some(row) = rows.try_next().await.unwrap() {
        let number = |index: usize| row.get::<i64, _>(index).to_be_bytes();
        let mut hasher = Sha256::new();
        let mut field = |bytes: &[u8]| {
            hasher.update((bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        field(b"scalebot/1");
        field(&number(0));
        field(row.get::<&str, _>(1).as_bytes());
        field(row.get::<Option<&str>, _>(2).unwrap_or_default().as_bytes());
        field(&number(3));
        field(&number(4));
        field(row.get::<&str, _>(5).as_bytes());
        field(row.get::<&str, _>(6).as_bytes());
        field(&last.0);
        last = Hash(hasher.finalize().into());
    }
    last
}

/// Writes so many events straight into the file; returns the last one's hash.
pub(crate) async fn generate(file: &Path, events: u64) -> Hash {
    let ledger = SqliteLedger::open(file).await.unwrap();
    ledger.take_over().await.unwrap();
    ledger.close().await;
    // What is generated can be generated again: nothing waits for the disk here.
    let options = SqliteConnectOptions::new().filename(file).synchronous(SqliteSynchronous::Off);
    let mut conn = options.disable_statement_logging().connect().await.unwrap();
    let (mut prev, at) = (Hash::GENESIS, Timestamp::now());
    for first in (1..=events).step_by(usize::try_from(BATCH).unwrap()) {
        let mut placed = Vec::new();
        for seq in first..(first + BATCH).min(events + 1) {
            let event = Event::place(&draft(seq, at), seq, prev);
            prev = event.hash;
            placed.push(event);
        }
        insert(&mut conn, &placed).await;
    }
    conn.close().await.unwrap();
    prev
}

fn draft(seq: u64, at: Timestamp) -> Draft {
    let (operation, step) = ((seq - 1) / STEPS, (seq - 1) % STEPS);
    let kind = match step {
        0 => Kind::Requested,
        step if step == STEPS - 1 => Kind::Finished,
        _ => Kind::Assessed,
    };
    let operation = Some(OperationId::new(format!("019ac3c1-7f00-7000-8000-{operation:012x}")));
    Draft { operation, op_seq: step + 1, epoch: Epoch(1), at, kind, body: body(seq), claim: Claim::Keep }
}

async fn insert(conn: &mut SqliteConnection, events: &[Event]) {
    let mut statement =
        QueryBuilder::new("INSERT INTO event (seq, at, operation, op_seq, epoch, kind, body, prev, hash) ");
    let stored = |number: u64| i64::try_from(number).unwrap();
    statement.push_values(events, |mut row, event| {
        row.push_bind(stored(event.seq))
            .push_bind(&event.at)
            .push_bind(event.operation.as_ref().map(OperationId::as_str))
            .push_bind(stored(event.op_seq))
            .push_bind(stored(event.epoch.0))
            .push_bind(&event.kind)
            .push_bind(&event.body)
            .push_bind(event.prev.to_string())
            .push_bind(event.hash.to_string());
    });
    statement.build().execute(conn).await.unwrap();
}
