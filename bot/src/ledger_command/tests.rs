use std::path::{Path, PathBuf};

use scalebot_adapters::ledger::SqliteLedger;
use scalebot_adapters::transcript::Transcript;
use scalebot_commands::event::{Claim, Draft, Hash, Kind};
use scalebot_commands::ports::{Ledger as _, LogChannel as _, Post};
use scalebot_commands::units::{Epoch, OperationId, TargetName};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use super::*;
use crate::cli::StateArgs;

/// What a command came to.
struct Ran {
    code: u8,
    out: String,
    err: String,
}

async fn run_it(command: fn(StateArgs) -> LedgerCommand, directory: &Path) -> Ran {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code =
        execute(&command(StateArgs { state: Some(directory.to_owned()), config: None }), &mut out, &mut err).await;
    Ran { code, out: String::from_utf8(out).unwrap(), err: String::from_utf8(err).unwrap() }
}

async fn verified(directory: &TempDir) -> Ran {
    run_it(LedgerCommand::Verify, directory.path()).await
}

async fn exported(directory: &TempDir) -> Ran {
    run_it(LedgerCommand::Export, directory.path()).await
}

/// A writer whose reader goes away after a number of bytes.
struct Pipe {
    left: usize,
    ending: ErrorKind,
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(self.ending.into());
        }
        let taken = bytes.len().min(self.left);
        self.left -= taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An operation from its request to its end, and a refused command in between: six events.
async fn record(ledger: &SqliteLedger, epoch: Epoch) -> Vec<Event> {
    let operation = Some(OperationId::new("019ac3-abcdef"));
    let steps = [
        (Kind::Requested, 1, r#"{"from":4,"to":6,"by":"dana"}"#),
        (Kind::Assessed, 2, r#"{"step":"assess","v":1,"b":1.0,"a":1e3}"#),
        (Kind::CommandRefused, 0, r#"{"why":"busy"}"#),
        (Kind::Scaling, 3, r#"{"step":"scale","v":1}"#),
        (Kind::ScalingAnswered, 4, r#"{"step":"scale","v":1,"result":"done"}"#),
        (Kind::Finished, 5, r#"{"step":"finish","v":1,"outcome":"completed"}"#),
    ];
    let mut events = Vec::new();
    for (kind, op_seq, body) in steps {
        let draft = Draft {
            operation: operation.clone().filter(|_| op_seq > 0),
            op_seq,
            epoch,
            at: "2026-01-08T03:00:00Z".parse().unwrap(),
            kind,
            body: body.to_owned(),
            claim: match kind {
                Kind::Requested => Claim::Take(TargetName::new("api")),
                Kind::Finished => Claim::Release,
                _ => Claim::Keep,
            },
        };
        events.push(ledger.append(draft).await.unwrap());
    }
    events
}

async fn opened(directory: &TempDir) -> (SqliteLedger, Epoch) {
    let ledger = SqliteLedger::open(&StateDir::new(directory.path()).ledger()).await.unwrap();
    let epoch = ledger.take_over().await.unwrap();
    (ledger, epoch)
}

/// A state directory after one operation, with events 1 to 2 and 3 to `posted` in the log channel.
async fn used(posted: u64) -> (TempDir, Vec<Event>) {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, epoch) = opened(&directory).await;
    let events = record(&ledger, epoch).await;
    ledger.close().await;
    let transcript = Transcript::new(StateDir::new(directory.path()).transcript());
    for (first, last) in [(1, 2), (3, posted)].into_iter().filter(|(first, last)| first <= last && *last <= posted) {
        let hash = events[usize::try_from(last).unwrap() - 1].hash;
        transcript.post(&Post { first, last, hash, text: "what people read".to_owned() }).await.unwrap();
    }
    (directory, events)
}

/// Does what nobody may.
async fn tamper(directory: &TempDir, statements: &str) {
    let file = StateDir::new(directory.path()).ledger();
    let mut conn = SqliteConnectOptions::new().filename(file).connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(&mut conn).await.unwrap();
    conn.close().await.unwrap();
}

/// Gives every event from this place on the hash that its content has now.
async fn rehash(directory: &TempDir, from: u64) {
    let ledger =
        SqliteLedger::open_existing_read_only(&StateDir::new(directory.path()).ledger()).await.unwrap().unwrap();
    let mut events = ledger.events_after(0, 100).await.unwrap();
    ledger.close().await;
    let mut prev = Hash::GENESIS;
    let mut statements = Vec::new();
    for event in &mut events {
        if event.seq >= from {
            event.prev = prev;
            event.hash = event.computed_hash();
            let Event { seq, prev, hash, .. } = event;
            statements.push(format!("UPDATE event SET prev = '{prev}', hash = '{hash}' WHERE seq = {seq};"));
        }
        prev = event.hash;
    }
    tamper(directory, &statements.concat()).await;
}

fn names(directory: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_directory_never_used_has_nothing_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let ran = exported(&directory).await;
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (0, "", ""));
    let ran = run_it(LedgerCommand::Show, directory.path()).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, ""));
    let ran = verified(&directory).await;
    assert_eq!(ran.code, 0);
    assert!(ran.out.contains("Nothing has been recorded") && ran.out.contains("not compared with a witness"));
    assert_eq!(names(&directory), Vec::<String>::new());
}

#[tokio::test]
async fn a_directory_that_does_not_exist_is_no_directory_never_used() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("mistyped");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    for command in [LedgerCommand::Verify, LedgerCommand::Show, LedgerCommand::Export] {
        for (place, wanted) in [(&missing, "mistyped does not exist"), (&file, "file is not a directory")] {
            let ran = run_it(command, place).await;
            assert_eq!((ran.code, ran.out.as_str()), (2, ""));
            assert!(ran.err.contains(wanted) && ran.err.contains("name the state directory"), "{}", ran.err);
        }
    }
    assert_eq!(names(&directory), ["file"]);
}

#[tokio::test]
async fn an_export_has_the_bytes_that_were_written_and_changes_nothing() {
    let (directory, events) = used(6).await;
    let before = std::fs::read(StateDir::new(directory.path()).ledger()).unwrap();
    let ran = exported(&directory).await;
    let wanted: String = events.iter().map(|event| event.line() + "\n").collect();
    assert_eq!((ran.code, ran.out), (0, wanted));
    assert!(events[1].line().contains(r#""b":1.0,"a":1e3}"#));
    verified(&directory).await;
    assert_eq!(std::fs::read(StateDir::new(directory.path()).ledger()).unwrap(), before);
    assert_eq!(names(&directory), ["ledger.db", "log-channel.txt"]);
}

#[tokio::test]
async fn people_are_shown_a_line_an_event() {
    let (directory, _) = used(0).await;
    let ran = run_it(LedgerCommand::Show, directory.path()).await;
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!((ran.code, lines.len()), (0, 6));
    assert_eq!(lines[0], r#"    1  2026-01-08 03:00:00Z  abcdef  requested           from=4  to=6  by="dana""#);
    assert_eq!(lines[2], r#"    3  2026-01-08 03:00:00Z  -       command_refused     why="busy""#);
}

#[tokio::test]
async fn an_untouched_log_is_proved_with_and_without_its_witness() {
    let (directory, events) = used(6).await;
    let ran = verified(&directory).await;
    assert_eq!(
        (ran.code, ran.out),
        (
            0,
            format!(
                "The operational log is in order: 6 events, the last with hash {}.\n\
                 It was compared with the log channel up to seq 6.\n",
                events[5].hash
            )
        )
    );
    let (directory, _) = used(4).await;
    let ran = verified(&directory).await;
    assert!(
        ran.code == 0 && ran.out.contains("compared with the log channel up to seq 4.\nNot posted yet: events 5 to 6.")
    );
    let (directory, _) = used(0).await;
    let ran = verified(&directory).await;
    assert!(ran.code == 0 && ran.out.contains("not compared with a witness"), "{}", ran.out);
}

#[tokio::test]
async fn a_log_in_use_is_proved_and_exported_while_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    let (ledger, epoch) = opened(&directory).await;
    record(&ledger, epoch).await;
    assert_eq!(verified(&directory).await.code, 0);
    assert_eq!(exported(&directory).await.out.lines().count(), 6);
    let next = Draft {
        operation: None,
        op_seq: 0,
        epoch,
        at: "2026-01-08T04:00:00Z".parse().unwrap(),
        kind: Kind::CommandRefused,
        body: "{}".to_owned(),
        claim: Claim::Keep,
    };
    ledger.append(next).await.unwrap();
    assert_eq!(exported(&directory).await.out.lines().count(), 7);
    ledger.close().await;
}

#[tokio::test]
async fn every_tampering_with_the_file_is_found_and_its_first_event_named() {
    let cases = [
        (
            "UPDATE event SET body = '{\"outcome\":\"refused\"}' WHERE seq = 4",
            "event 4 was changed after it was written",
        ),
        ("UPDATE event SET at = '2026-01-08T03:00:01Z' WHERE seq = 1", "event 1 was changed"),
        ("UPDATE event SET operation = NULL, op_seq = 0 WHERE seq = 2", "event 2 was changed"),
        ("DELETE FROM event WHERE seq = 3", "event 3 is missing: event 4 stands in its place"),
        ("DELETE FROM event WHERE seq = 1", "event 1 is missing"),
        (
            "UPDATE event SET seq = 99 WHERE seq = 4; UPDATE event SET seq = 4 WHERE seq = 3; UPDATE event SET seq = 3 WHERE seq = 99",
            "event 3 does not continue event 2",
        ),
        (
            "INSERT INTO event SELECT 7, at, operation, 6, epoch, kind, body, prev, hash FROM event WHERE seq = 6",
            "event 7 does not continue event 6",
        ),
        (
            "INSERT INTO event SELECT 0, at, NULL, 0, epoch, kind, body, prev, hash FROM event WHERE seq = 6",
            "event 1 is missing: event 0 stands in its place",
        ),
        (
            "INSERT INTO event SELECT -1, at, NULL, 0, epoch, kind, body, prev, hash FROM event WHERE seq = 6",
            "at the first event",
        ),
        ("UPDATE event SET hash = 'no hash' WHERE seq = 2", "after event 1"),
        (
            "DELETE FROM event WHERE seq > 4",
            "event 5 is missing: the log ends with event 4, and events up to 6 were posted",
        ),
        ("DELETE FROM event", "event 1 is missing: the log ends with event 0"),
        ("DROP TABLE event", "is not built as it was"),
    ];
    for (statements, wanted) in cases {
        let (directory, _) = used(6).await;
        tamper(&directory, statements).await;
        let ran = verified(&directory).await;
        assert_eq!(ran.code, 1, "{statements}: {}", ran.out);
        assert!(ran.out.contains("NOT in order") && ran.out.contains(wanted), "{statements}: {}", ran.out);
        assert!(ran.out.contains("compared with the log channel up to seq"), "{}", ran.out);
    }
}

#[tokio::test]
async fn a_log_forged_with_hashes_that_fit_is_found_by_what_was_posted() {
    let (directory, _) = used(6).await;
    tamper(&directory, "UPDATE event SET body = '{\"by\":\"nobody\"}' WHERE seq = 1").await;
    rehash(&directory, 1).await;
    let ran = verified(&directory).await;
    assert!(ran.code == 1 && ran.out.contains("event 2 is not the one that was posted"), "{}", ran.out);

    // Without the witness nobody can tell, and that is said.
    std::fs::remove_file(StateDir::new(directory.path()).transcript()).unwrap();
    let ran = verified(&directory).await;
    assert!(ran.code == 0 && ran.out.contains("not compared with a witness"), "{}", ran.out);
}

#[tokio::test]
async fn a_chain_that_fits_and_tells_the_impossible_is_found() {
    let cases = [
        ("UPDATE event SET op_seq = 9 WHERE seq = 6", 6, "event 6 says to be number 9"),
        ("UPDATE event SET epoch = 7 WHERE seq = 3", 3, "event 4 was written under epoch 1, after epoch 7"),
        ("UPDATE event SET kind = 'assessed' WHERE seq = 1", 1, "event 1 (assessed) is the first"),
        (
            "UPDATE event SET kind = 'finished' WHERE seq = 4",
            4,
            "event 5 belongs to operation abcdef, which was finished with event 4",
        ),
    ];
    for (statements, from, wanted) in cases {
        let (directory, _) = used(0).await;
        tamper(&directory, statements).await;
        rehash(&directory, from).await;
        let ran = verified(&directory).await;
        assert!(ran.code == 1 && ran.out.contains(wanted), "{statements}: {}", ran.out);
    }
}

#[tokio::test]
async fn a_log_that_is_gone_or_emptied_is_missed_by_what_was_posted() {
    for way in ["deleted", "emptied"] {
        let (directory, _) = used(6).await;
        let file = StateDir::new(directory.path()).ledger();
        match way {
            "deleted" => std::fs::remove_file(&file).unwrap(),
            _ => std::fs::write(&file, "").unwrap(),
        }
        let ran = verified(&directory).await;
        assert!(ran.code == 1 && ran.out.contains("it is gone"), "{way}: {}", ran.out);
        let ran = exported(&directory).await;
        assert!(ran.code == 1 && ran.out.is_empty() && ran.err.contains("it is gone"), "{way}: {}", ran.err);
    }
    // A transcript without a whole post is no witness.
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(StateDir::new(directory.path()).transcript(), "post 1: events 1 to").unwrap();
    assert_eq!(verified(&directory).await.code, 0);
}

#[tokio::test]
async fn a_file_overwritten_or_of_another_release_is_said() {
    let (directory, _) = used(6).await;
    let file = StateDir::new(directory.path()).ledger();
    let mut bytes = std::fs::read(&file).unwrap();
    let length = bytes.len();
    bytes[4_096..length].fill(0x5a);
    std::fs::write(&file, &bytes).unwrap();
    let ran = verified(&directory).await;
    assert!(ran.code == 1 && ran.out.contains("NOT in order") && ran.out.contains("damaged"), "{}", ran.out);
    std::fs::write(&file, "no database at all, though of some length\n".repeat(200)).unwrap();
    assert_eq!(verified(&directory).await.code, 1);

    let (directory, _) = used(6).await;
    tamper(&directory, "PRAGMA user_version = 99").await;
    for command in [LedgerCommand::Verify, LedgerCommand::Show, LedgerCommand::Export] {
        let ran = run_it(command, directory.path()).await;
        assert!(ran.code == 2 && ran.err.contains("written by another release"), "{}", ran.err);
    }
}

#[tokio::test]
async fn a_changed_witness_is_found() {
    let (directory, events) = used(6).await;
    let file = StateDir::new(directory.path()).transcript();
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace(&events[1].hash.to_string(), &"0".repeat(64))).unwrap();
    let ran = verified(&directory).await;
    assert!(ran.code == 1 && ran.out.contains("event 2 is not the one that was posted"), "{}", ran.out);

    // A post removed there accuses nobody of the log, but is not passed over.
    let second = text.find("post 2:").unwrap();
    std::fs::write(&file, &text[second..]).unwrap();
    let ran = verified(&directory).await;
    assert!(ran.code == 0 && ran.out.contains("no post of events 1 to 2: it was removed there"), "{}", ran.out);

    // One that cannot be read is not one that agrees.
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let ran = verified(&directory).await;
    assert_eq!((ran.code, ran.out.as_str()), (2, ""));
    assert!(ran.err.contains("log-channel.txt"), "{}", ran.err);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_error_and_a_disk_that_is_full_is_one() {
    let (directory, _) = used(6).await;
    let args = || StateArgs { state: Some(PathBuf::from(directory.path())), config: None };
    for left in [0, 1, 300] {
        for command in [LedgerCommand::Export(args()), LedgerCommand::Show(args()), LedgerCommand::Verify(args())] {
            let mut err = Vec::new();
            let code = execute(&command, &mut Pipe { left, ending: ErrorKind::BrokenPipe }, &mut err).await;
            assert_eq!((code, err.len()), (0, 0), "{command:?}");
        }
        let mut err = Vec::new();
        let mut full = BufWriter::new(Pipe { left, ending: ErrorKind::StorageFull });
        let code = execute(&LedgerCommand::Export(args()), &mut full, &mut err).await;
        assert_eq!(code, 1);
        assert!(String::from_utf8(err).unwrap().contains("the output could not be written"));
    }
    // What was found stands, whether or not somebody reads it.
    tamper(&directory, "DELETE FROM event WHERE seq = 3").await;
    let mut gone = Pipe { left: 0, ending: ErrorKind::BrokenPipe };
    assert_eq!(execute(&LedgerCommand::Verify(args()), &mut gone, &mut gone_too()).await, 1);
}

fn gone_too() -> Pipe {
    Pipe { left: 0, ending: ErrorKind::BrokenPipe }
}

#[tokio::test]
async fn an_export_of_a_damaged_log_prints_what_comes_before_the_damage_and_fails() {
    let (directory, events) = used(6).await;
    tamper(&directory, "UPDATE event SET op_seq = 'x' WHERE seq = 3").await;
    let ran = exported(&directory).await;
    assert_eq!((ran.code, ran.out), (1, format!("{}\n{}\n", events[0].line(), events[1].line())));
    assert!(ran.err.contains("after event 2"), "{}", ran.err);
}
