//! Files as a broken machine leaves them: cut anywhere, changed anywhere. What is read is a part of what was written, in
//! its order, or is called damaged; it is never something else.

use super::*;

/// The files as they lie there, the log open.
async fn left_open() -> (TempDir, Vec<Event>) {
    let (directory, ledger, epoch) = opened().await;
    for op_seq in 1..=6 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    let events = whole(&ledger).await;
    let copy = tempfile::tempdir().unwrap();
    for name in ["ledger.db", "ledger.db-wal"] {
        std::fs::copy(directory.path().join(name), copy.path().join(name)).unwrap();
    }
    (copy, events)
}

/// The files as they lie there, the log closed.
async fn left_closed() -> (TempDir, Vec<Event>) {
    let (directory, ledger, epoch) = opened().await;
    for op_seq in 1..=6 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    let events = whole(&ledger).await;
    ledger.close().await;
    assert_eq!(names(&directory), ["ledger.db"]);
    (directory, events)
}

/// What a new process finds, and whether it may go on from there.
async fn found(directory: &TempDir) -> Result<Vec<Event>, String> {
    let ledger = SqliteLedger::open(&at(directory)).await.map_err(|error| error.to_string())?;
    let events: Result<Vec<Event>, StorageError> = ledger.events().try_collect().await;
    let events = events.map_err(|error| error.to_string())?;
    let mut proof = Proof::default();
    for event in &events {
        proof.take(event).map_err(|broken| broken.to_string())?;
    }
    let epoch = ledger.take_over().await.map_err(|error| error.to_string())?;
    let next = Draft { operation: None, op_seq: 0, kind: Kind::CommandRefused, ..draft("", 0, epoch) };
    let appended = ledger.append(next).await.map_err(|error| error.to_string())?;
    assert_eq!(appended.seq, events.len() as u64 + 1);
    ledger.close().await;
    Ok(events)
}

#[tokio::test]
async fn a_write_ahead_file_that_is_cut_anywhere_leaves_the_events_before_that_whole() {
    let (left, written) = left_open().await;
    let wal = std::fs::read(left.path().join("ledger.db-wal")).unwrap();
    let page = 4_096 + 24;
    // Around the end of each page of it, where a write may have stopped, and here and there in between.
    let cuts = (0..wal.len()).filter(|cut| {
        let beyond = cut.saturating_sub(32) % page;
        beyond <= 1 || beyond == 24 || beyond == page - 1 || cut % 1_531 == 0
    });
    let mut seen = std::collections::BTreeSet::new();
    for cut in cuts.chain([wal.len()]) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::copy(at(&left), at(&directory)).unwrap();
        std::fs::write(directory.path().join("ledger.db-wal"), &wal[..cut]).unwrap();
        let found = found(&directory).await.unwrap_or_else(|why| panic!("cut at {cut}: {why}"));
        assert_eq!(found, written[..found.len()], "cut at {cut}");
        seen.insert(found.len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..=written.len()).collect::<Vec<_>>());

    // And where there is none at all: nothing was carried over from it yet.
    let directory = tempfile::tempdir().unwrap();
    std::fs::copy(at(&left), at(&directory)).unwrap();
    assert_eq!(found(&directory).await.unwrap(), []);
}

#[tokio::test]
async fn a_file_that_is_changed_or_cut_anywhere_reads_as_it_was_or_is_called_damaged() {
    let (left, written) = left_closed().await;
    let bytes = std::fs::read(at(&left)).unwrap();
    let (mut as_it_was, mut damaged) = (0, 0);
    let changed = (0..bytes.len()).step_by(389).chain(0..100).map(|place| {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x55;
        (format!("byte {place} changed"), bytes)
    });
    let cut = (0..bytes.len()).step_by(2_048).skip(1).map(|end| (format!("cut at {end}"), bytes[..end].to_vec()));
    for (case, bytes) in changed.chain(cut) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(at(&directory), &bytes).unwrap();
        match found(&directory).await {
            Ok(found) => {
                assert_eq!(found, written, "{case}");
                as_it_was += 1;
            }
            Err(why) => {
                assert!(!why.is_empty(), "{case}");
                damaged += 1;
            }
        }
    }
    // Much of a file is empty space; what is not must not pass.
    assert!(as_it_was > 10 && damaged > 20, "{as_it_was} as it was, {damaged} damaged");
}
