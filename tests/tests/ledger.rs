//! The operational log under tampering, as `scalebot ledger verify` sees it.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use scalebot_tests::binary::Drill;
use sqlx::{Connection as _, SqliteConnection};

/// A log with a whole operation in it.
fn used() -> Drill {
    let drill = Drill::new();
    let ended = drill.run(&["/scale up 4"]);
    assert_eq!((ended.code, ended.events.len()), (Some(1), 4), "{}", ended.said);
    assert_eq!(drill.ledger("verify").0, Some(0));
    drill
}

async fn tamper(drill: &Drill, statements: &[&'static str]) {
    let path = drill.state().join("ledger.db");
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    for statement in statements {
        assert!(sqlx::query(*statement).execute(&mut connection).await.unwrap().rows_affected() > 0, "{statement}");
    }
    connection.close().await.unwrap();
}

async fn found_after(statements: &[&'static str]) -> String {
    let drill = used();
    tamper(&drill, statements).await;
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(1), "{statements:?}: {said}");
    said
}

#[tokio::test]
async fn a_changed_event_is_named() {
    let said = found_after(&["UPDATE event SET body = replace(body, 'refused', 'completed') WHERE seq = 4"]).await;
    assert!(said.contains("event 4"), "{said}");
}

#[tokio::test]
async fn a_deleted_event_is_named() {
    let said = found_after(&["DELETE FROM event WHERE seq = 2"]).await;
    assert!(said.contains("event 2"), "{said}");
}

#[tokio::test]
async fn swapped_events_are_named() {
    let said = found_after(&[
        "UPDATE event SET seq = 99 WHERE seq = 2",
        "UPDATE event SET seq = 2 WHERE seq = 3",
        "UPDATE event SET seq = 3 WHERE seq = 99",
    ])
    .await;
    assert!(said.contains("event 2"), "{said}");
}

#[tokio::test]
async fn an_inserted_event_is_named() {
    let said = found_after(&[
        "UPDATE event SET seq = seq + 100 WHERE seq > 2",
        "INSERT INTO event (seq, at, operation, op_seq, epoch, kind, body, prev, hash) \
         SELECT 3, at, operation, op_seq + 1000, epoch, kind, body, prev, hash FROM event WHERE seq = 2",
        "UPDATE event SET seq = seq - 99 WHERE seq > 100",
    ])
    .await;
    assert!(said.contains("event 3"), "{said}");
}

#[tokio::test]
async fn a_cut_tail_is_found_by_the_log_channel() {
    let said = found_after(&["DELETE FROM event WHERE seq = 4"]).await;
    assert!(said.contains('4'), "{said}");
}

#[test]
fn a_log_that_is_gone_while_the_channel_remembers_it_is_found() {
    let drill = used();
    for name in ["ledger.db", "ledger.db-wal", "ledger.db-shm"] {
        let _ = std::fs::remove_file(drill.state().join(name));
    }
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn a_directory_never_used_has_nothing_to_prove() {
    let drill = Drill::new();
    let (code, said) = drill.ledger("verify");
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(drill.exported().len(), 0);
}
