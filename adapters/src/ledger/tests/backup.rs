//! A copy that is made while the log is written to.

use super::*;

async fn read(directory: &TempDir) -> SqliteLedger {
    SqliteLedger::open_existing_read_only(&at(directory)).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_copied_while_it_is_written_to_is_whole_and_can_be_gone_on_with() {
    let (directory, ledger, epoch) = opened().await;
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    let ledger = Arc::new(ledger);
    let writing = tokio::spawn({
        let ledger = Arc::clone(&ledger);
        async move {
            for op_seq in 2..=60 {
                ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
            }
        }
    });
    let copies = tempfile::tempdir().unwrap();
    let mut number = 0;
    while !writing.is_finished() || number == 0 {
        let file = copies.path().join(format!("{number}.db"));
        let other = read(&directory).await;
        let made = other.back_up(&file).await.unwrap();
        let copy = SqliteLedger::open_existing_read_only(&file).await.unwrap().unwrap();
        assert_eq!(prove(&whole(&copy).await), (made.events, made.head));
        number += 1;
    }
    writing.await.unwrap();
    let events = whole(&ledger).await;
    assert_eq!(events.len(), 60, "nobody who wrote was held up");

    // Put back, it is a log like any other.
    let restored = SqliteLedger::open(&copies.path().join("0.db")).await.unwrap();
    let epoch = restored.take_over().await.unwrap();
    let next = restored.append(Draft { operation: None, op_seq: 0, ..draft("", 0, epoch) }).await.unwrap();
    assert_eq!(whole(&restored).await[..next.seq as usize - 1], events[..next.seq as usize - 1]);
}

#[tokio::test]
async fn nothing_that_exists_is_written_over_and_nothing_is_left_of_what_failed() {
    let (directory, ledger, epoch) = opened().await;
    for op_seq in 1..=3 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    ledger.close().await;
    let copies = tempfile::tempdir().unwrap();
    let file = copies.path().join("copy.db");
    std::fs::write(&file, "a letter").unwrap();
    let refused = read(&directory).await.back_up(&file).await.unwrap_err();
    assert!(matches!(&refused, NotBackedUp::Unusable(why) if why.contains("exists already")), "{refused}");
    assert_eq!(std::fs::read(&file).unwrap(), b"a letter");
    std::fs::remove_file(&file).unwrap();

    let mut conn = raw(&directory).await;
    sqlx::query("UPDATE event SET body = '{\"a\":1}' WHERE seq = 2").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let refused = read(&directory).await.back_up(&file).await.unwrap_err();
    assert!(matches!(&refused, NotBackedUp::Damaged(why) if why.contains("is not in order")), "{refused}");
    assert_eq!(names(&copies), [""; 0]);
}
