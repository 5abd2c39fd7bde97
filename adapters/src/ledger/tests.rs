//! What only a file has. What holds for every database stands in the crate `tests`, where there is a PostgreSQL as well.

use std::path::PathBuf;
use std::time::Duration;

use futures::TryStreamExt as _;
use scalebot_commands::event::{Claim, Hash, Kind, Proof};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};
use tempfile::TempDir;

use super::sqlite::options;
use super::*;

mod backup;
mod damage;
mod files;

fn draft(operation: &str, op_seq: u64, epoch: Epoch) -> Draft {
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

fn at(directory: &TempDir) -> PathBuf {
    directory.path().join("ledger.db")
}

/// A log that this process has taken over.
async fn opened() -> (TempDir, SqliteLedger, Epoch) {
    let directory = tempfile::tempdir().unwrap();
    let ledger = SqliteLedger::open(&at(&directory)).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    (directory, ledger, epoch)
}

/// A connection without any of our rules.
async fn raw(directory: &TempDir) -> SqliteConnection {
    SqliteConnectOptions::new().filename(at(directory)).connect().await.unwrap()
}

fn names(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn whole(ledger: &SqliteLedger) -> Vec<Event> {
    ledger.events().try_collect().await.unwrap()
}

fn prove(events: &[Event]) -> (u64, Hash) {
    let mut proof = Proof::default();
    for event in events {
        proof.take(event).unwrap();
    }
    proof.head()
}

#[tokio::test]
async fn reading_waits_for_no_writer() {
    let (directory, ledger, epoch) = opened().await;
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    let mut other = raw(&directory).await;
    let writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();

    assert_eq!(ledger.events_after(0, 10).await.unwrap().len(), 1);
    assert_eq!(whole(&ledger).await.len(), 1);
    let read_only = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
    assert_eq!(whole(&read_only).await.len(), 1);
    writing.rollback().await.unwrap();

    // And the other way round: a reader in the middle of the log does not hold up an append.
    let mut reading = ledger.events();
    assert!(reading.try_next().await.unwrap().is_some());
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();
    assert!(reading.try_next().await.unwrap().is_none(), "it sees the log as it was when it began");
}
