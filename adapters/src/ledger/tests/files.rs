//! The file itself: opened, refused, full, damaged, left behind.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn processes_that_open_a_new_log_at_once_share_it() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let file = at(&directory);
        let opening = (0..4).map(|_| {
            let file = file.clone();
            tokio::spawn(async move { SqliteLedger::open(&file).await.unwrap().take_over().await.unwrap() })
        });
        let mut epochs: Vec<u64> =
            futures::future::join_all(opening).await.into_iter().map(|epoch| epoch.unwrap().0).collect();
        epochs.sort_unstable();
        assert_eq!(epochs, [1, 2, 3, 4]);
    }
}

#[tokio::test]
async fn opening_for_reading_makes_no_file_and_changes_none() {
    let directory = tempfile::tempdir().unwrap();
    assert!(SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().is_none());
    std::fs::write(at(&directory), "").unwrap();
    assert!(SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().is_none());
    assert_eq!(names(&directory), ["ledger.db"]);

    let ledger = SqliteLedger::open(&at(&directory)).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    ledger.close().await;
    let before = std::fs::read(at(&directory)).unwrap();
    let read_only = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
    assert_eq!(whole(&read_only).await.len(), 1);
    assert!(!read_only.has_moved_on());
    for refused in [
        read_only.append(draft("op-a", 2, epoch)).await.map(|_| ()).unwrap_err().to_string(),
        read_only.take_over().await.unwrap_err().to_string(),
    ] {
        assert!(refused.contains("opened for reading only"), "{refused}");
    }

    // Somebody begins to write: what was opened without locks no longer vouches for what it reads.
    let writer = SqliteLedger::open(&at(&directory)).await.unwrap();
    writer.append(draft("op-a", 2, epoch)).await.unwrap();
    assert!(read_only.has_moved_on());
    read_only.close().await;
    let living = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
    assert_eq!(whole(&living).await.len(), 2);
    living.close().await;
    assert_eq!(std::fs::read(at(&directory)).unwrap(), before, "what was appended lies beside it until a checkpoint");
}

#[tokio::test]
async fn a_log_left_by_a_killed_process_is_read_as_it_lies_there() {
    let (directory, ledger, epoch) = opened().await;
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    // The files as a killed process leaves them: nothing was closed.
    let copy = tempfile::tempdir().unwrap();
    for name in names(&directory) {
        std::fs::copy(directory.path().join(&name), copy.path().join(&name)).unwrap();
    }
    let before: Vec<_> =
        ["ledger.db", "ledger.db-wal"].map(|name| std::fs::read(copy.path().join(name)).unwrap()).into();
    let read_only = SqliteLedger::open_existing_read_only(&at(&copy)).await.unwrap().unwrap();
    assert_eq!(whole(&read_only).await.len(), 1);
    read_only.close().await;
    let after: Vec<_> =
        ["ledger.db", "ledger.db-wal"].map(|name| std::fs::read(copy.path().join(name)).unwrap()).into();
    assert_eq!(before, after);
    assert_eq!(names(&copy), names(&directory));
}

#[tokio::test]
async fn what_is_not_a_log_of_this_release_is_refused_and_left_as_it_is() {
    let (directory, ledger, _) = opened().await;
    ledger.close().await;
    let mut conn = raw(&directory).await;
    sqlx::query("PRAGMA user_version = 7").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let foreign = tempfile::tempdir().unwrap();
    let mut conn = SqliteConnectOptions::new().filename(at(&foreign)).create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE recipes (name TEXT)").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let text = tempfile::tempdir().unwrap();
    std::fs::write(
        at(&text),
        "not a database, but long enough to be taken for one, were it not looked into\n".repeat(20),
    )
    .unwrap();

    for (directory, wanted) in [
        (&directory, "written by another release (layout 7, this one knows up to 2)"),
        (&foreign, "a database of another program"),
        (&text, "damaged"),
    ] {
        let before = std::fs::read(at(directory)).unwrap();
        let refused = SqliteLedger::open(&at(directory)).await.err().unwrap().to_string();
        assert!(refused.contains(wanted) && refused.contains("ledger.db"), "{refused}");
        let refused = SqliteLedger::open_existing_read_only(&at(directory)).await.err().unwrap().to_string();
        assert!(refused.contains(wanted), "{refused}");
        assert_eq!(std::fs::read(at(directory)).unwrap(), before);
        assert_eq!(names(directory), ["ledger.db"]);
    }
}

#[tokio::test]
async fn a_log_of_the_first_layout_is_read_as_it_is_and_carried_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut conn =
        SqliteConnectOptions::new().filename(at(&directory)).create_if_missing(true).connect().await.unwrap();
    for statement in sql::VERSION_1 {
        sqlx::query(*statement).execute(&mut conn).await.unwrap();
    }
    sqlx::raw_sql("PRAGMA application_id = 1396916556; PRAGMA user_version = 1").execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let read_only = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
    assert_eq!(whole(&read_only).await, []);
    let ledger = SqliteLedger::open(&at(&directory)).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
}

#[tokio::test]
async fn a_log_that_was_put_back_to_an_older_state_beneath_its_writer_takes_nothing_more() {
    let (directory, ledger, epoch) = opened().await;
    for op_seq in 1..=3 {
        ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
    }
    let mut other = raw(&directory).await;
    sqlx::query("DELETE FROM event WHERE seq = 3").execute(&mut other).await.unwrap();
    let refused = ledger.append(draft("op-a", 3, epoch)).await.unwrap_err();
    assert!(matches!(&refused, AppendError::Fenced { detail } if detail.contains("event 3 is not there")), "{refused}");
}

#[tokio::test]
async fn a_full_disk_loses_nothing_and_is_recovered_from() {
    let (_directory, ledger, epoch) = opened().await;
    let pages = |limit: &'static str| {
        let writer = Arc::clone(ledger.writer.as_ref().unwrap());
        async move {
            let mut writer = writer.lock().await;
            sqlx::query(limit).execute(writer.connection().unwrap()).await.unwrap();
        }
    };
    // SQLite takes a limit below its present size to be its present size.
    pages("PRAGMA max_page_count = 1").await;
    let body = format!(r#"{{"text":"{}"}}"#, "x".repeat(3_000));
    let mut written = 0;
    let full = loop {
        match ledger.append(Draft { body: body.clone(), ..draft("op-a", written + 1, epoch) }).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "it never was full");
    };
    assert!(full.to_string().contains("is full; free some space"), "{full}");
    let again = ledger.append(Draft { body: body.clone(), ..draft("op-a", written + 1, epoch) }).await;
    if again.is_ok() {
        // The connection was thrown away, and with it this test's limit.
        written += 1;
    } else {
        pages("PRAGMA max_page_count = 100000").await;
    }
    ledger.append(Draft { body, ..draft("op-a", written + 1, epoch) }).await.unwrap();
    assert_eq!(prove(&whole(&ledger).await).0, written + 1);
}

#[tokio::test]
async fn a_connection_that_broke_within_a_transaction_is_replaced() {
    let (_directory, ledger, epoch) = opened().await;
    let broken = ledger
        .write(
            |conn: &mut SqliteConnection| {
                Box::pin(async move {
                    // As SQLite itself does on a full disk: the transaction is gone before we can end it.
                    sqlx::query("ROLLBACK").execute(conn).await?;
                    Err::<(), _>(Fault::Unfit("the disk is full".to_owned()))
                })
            },
            |()| {},
        )
        .await;
    assert!(broken.is_err());
    assert!(ledger.writer.as_ref().unwrap().lock().await.connection().is_none());
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
}

#[tokio::test]
async fn a_log_that_is_deleted_or_replaced_in_use_is_not_written_into_the_void() {
    let (directory, ledger, epoch) = opened().await;
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    let aside = directory.path().join("aside.db");
    std::fs::rename(at(&directory), &aside).unwrap();
    let refused = ledger.append(draft("op-a", 2, epoch)).await.unwrap_err();
    assert!(refused.to_string().contains("moved, deleted or replaced while in use"), "{refused}");
    std::fs::copy(&aside, at(&directory)).unwrap();
    ledger.append(draft("op-a", 2, epoch)).await.unwrap_err();
    std::fs::rename(&aside, at(&directory)).unwrap();
    ledger.append(draft("op-a", 2, epoch)).await.unwrap();
}

#[tokio::test]
async fn storage_failures_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let missing = SqliteLedger::open(&directory.path().join("missing/ledger.db")).await.err().unwrap();
    assert!(missing.to_string().contains("its directory must exist"), "{missing}");
    let not_a_file = SqliteLedger::open_existing_read_only(directory.path()).await.err().unwrap();
    assert!(matches!(&not_a_file, StorageError::Unusable(text) if text.contains("is not a file")), "{not_a_file}");

    // A file that may not be written, whoever runs this test: the connection itself is for reading only.
    let (directory, ledger, _) = opened().await;
    let mut conn = options(&at(&directory)).read_only(true).connect().await.unwrap();
    let error = append::take_over::<sqlite::File>(&mut conn).await.unwrap_err().about(ledger.way());
    assert!(matches!(&error, StorageError::Unusable(text) if text.contains("the right to write")), "{error}");

    let mut other = raw(&directory).await;
    let _writing = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut impatient = options(&at(&directory)).busy_timeout(Duration::ZERO).connect().await.unwrap();
    let error = Fault::from(impatient.begin_with("BEGIN IMMEDIATE").await.unwrap_err()).about(ledger.way());
    assert!(matches!(&error, StorageError::Unusable(text) if text.contains("locked by another program")), "{error}");
    drop(ledger);
}

#[tokio::test]
async fn a_directory_that_may_only_be_read_can_be_read() {
    use std::os::unix::fs::PermissionsExt as _;

    let (directory, ledger, epoch) = opened().await;
    ledger.append(draft("op-a", 1, epoch)).await.unwrap();
    ledger.close().await;
    let allow = |file: u32, folder: u32| {
        std::fs::set_permissions(at(&directory), std::fs::Permissions::from_mode(file)).unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(folder)).unwrap();
    };
    allow(0o444, 0o555);
    let read_only = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
    assert_eq!(whole(&read_only).await.len(), 1);
    // Root may write everywhere; for everybody else opening it for writing is refused with a reason.
    let is_refused = std::fs::write(directory.path().join("probe"), "").is_err();
    let opened = SqliteLedger::open(&at(&directory)).await;
    assert_eq!(opened.is_err(), is_refused);
    if let Err(error) = opened {
        assert!(error.to_string().contains("right to write") || error.to_string().contains("allowed"), "{error}");
    }
    allow(0o644, 0o755);
}

#[tokio::test]
async fn a_row_that_holds_no_event_is_named_and_never_guessed() {
    let changes = [
        ("UPDATE event SET hash = 'ABC' WHERE seq = 2", "after event 1"),
        ("UPDATE event SET body = x'ff00' WHERE seq = 2", "after event 1"),
        ("UPDATE event SET op_seq = 'two' WHERE seq = 2", "after event 1"),
        ("UPDATE event SET operation = '' WHERE seq = 2", "after event 1"),
        ("UPDATE event SET seq = -2 WHERE seq = 2", "at the first event"),
        ("DROP TABLE event", "is not built as it was"),
    ];
    for (change, wanted) in changes {
        let (directory, ledger, epoch) = opened().await;
        for op_seq in 1..=3 {
            ledger.append(draft("op-a", op_seq, epoch)).await.unwrap();
        }
        ledger.close().await;
        let mut conn = raw(&directory).await;
        sqlx::query(change).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        let read_only = SqliteLedger::open_existing_read_only(&at(&directory)).await.unwrap().unwrap();
        let found: Result<Vec<Event>, StorageError> = read_only.events().try_collect().await;
        let Err(StorageError::Damaged(text)) = found else { panic!("{change}: {found:?}") };
        assert!(text.contains(wanted), "{change}: {text}");
    }
}
