//! Storage that fails beneath a running bot, or is not usable when it begins: what becomes of the operation, and what
//! whoever looks after the bot reads.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use scalebot_tests::binary::{ends_within, kill, kinds, only, program, told_once};
use scalebot_tests::changes::until;
use scalebot_tests::run::{Service, Serving};
use sqlx::{Connection as _, SqliteConnection};

use super::{EASY, done};

/// On a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// From now on no file of that process becomes larger than that, as on a disk that is full; `None` for as large as it
/// likes.
fn may_write(serving: &Serving, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(serving.pid()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

#[test]
fn while_nothing_can_be_written_nothing_is_done_and_it_goes_on_once_there_is_room() {
    let service = Service::with(&["api"], &format!("halted = true\n{EASY}"));
    let mut serving = service.start_where_writing_may_fail();
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("approval_requested", 1);
    // What is appended goes to the end of the one file that is larger than all others.
    let written = std::fs::metadata(service.state().join("ledger.db-wal")).unwrap().len();
    may_write(&serving, Some(written));
    serving.types("lead> approve: we need it");
    serving.until_it_says("look at the disk's space and health");
    // It cannot be recorded, so it counts for nothing: the fleet is as it was.
    assert_eq!(service.processes("drill-instance").len(), 4);
    let kinds = kinds(&service.events());
    assert!(!kinds.contains(&"vote_cast".to_owned()) && !kinds.contains(&"scaling".to_owned()), "{kinds:?}");
    let figures = service.http("/metrics").unwrap();
    assert!(!figures.contains("scalebot_append_failures_total 0"), "{figures}");

    may_write(&serving, None);
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(done(&events, "scaling_answered"), 1);
    // What was said while nothing could be written was not lost.
    only(&events, "vote_cast");
    assert_eq!(serving.stop(), Some(0));
    let events = service.proved();
    told_once(&service.state(), events.len());
}

#[tokio::test]
async fn while_another_program_has_the_log_locked_nothing_is_done_and_the_text_says_who_to_look_for() {
    let service = Service::with(&["api"], EASY);
    let mut serving = service.start_ready();
    let url = format!("sqlite:{}", service.state().join("ledger.db").display());
    let mut other = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    serving.types("/scale up 5 reason:\"campaign\"");
    serving.until_it_says("is locked by another program");
    serving.until_it_says("close what has it open, such as a database browser or a backup");
    serving.until_it_says("Nothing was done, since it could not be recorded. Ask again once that is put right.");
    assert_eq!(service.processes("drill-instance").len(), 4);
    assert_eq!(service.events().len(), 0);
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    // What was refused is not done later by itself.
    serving.types("/scale up 6 reason:\"campaign\"");
    let events = service.until("finished", 1);
    assert_eq!((only(&events, "requested")["to"].clone(), done(&events, "scaling_answered")), (6.into(), 1));
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

/// What a service says that cannot begin.
fn refuses_to_begin(service: &Service) -> String {
    let mut command = as_somebody();
    command.args(["run", "--config"]).arg(service.config()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(service.processes("drill-world").is_empty(), "nothing was begun");
    said
}

/// The program, run by somebody whom a file's rights keep out: root may write everywhere.
fn as_somebody() -> Command {
    if !rustix::process::geteuid().is_root() {
        return Command::new(program());
    }
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-all", "--bounding-set=-dac_override,-dac_read_search", "--"]).arg(program());
    command
}

fn allow(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_service_that_cannot_write_its_log_begins_nothing_and_says_what_to_do() {
    let service = Service::with(&["api"], EASY);
    let serving = service.start_ready();
    assert_eq!(serving.stop(), Some(0));
    for world in service.processes("drill-world") {
        kill(world, "KILL");
        assert!(ends_within(world, PATIENCE));
    }
    let file = service.state().join("ledger.db");
    let before = std::fs::read(&file).unwrap();

    allow(&file, 0o444);
    let said = refuses_to_begin(&service);
    assert!(said.contains("give the bot's user the right to write the file and its directory"), "{said}");
    allow(&file, 0o644);
    assert_eq!(std::fs::read(&file).unwrap(), before);

    let mut damaged = before.clone();
    damaged[..16].copy_from_slice(b"SQLite format 9\0");
    std::fs::write(&file, &damaged).unwrap();
    let said = refuses_to_begin(&service);
    assert!(said.contains("is damaged"), "{said}");
    assert!(said.contains("keep a copy of it for the audit, then restore it from a backup"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "it is left as it is");

    // What was read of it stays as it was: put right, the service begins.
    std::fs::write(&file, &before).unwrap();
    assert_eq!(service.start_ready().stop(), Some(0));
}

#[test]
fn a_log_whose_last_writes_are_gone_is_noticed_and_nothing_is_carried_out_on_it() {
    let service = Service::with(&["api"], EASY);
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    let events = service.until("verified", 1).len();
    let told = format!("compared with the log channel up to seq {events}");
    let told = until(&service.state(), PATIENCE, || {
        service.on_the_host(&["ledger", "verify"]).1.contains(&told).then_some(())
    });
    assert!(told.is_some(), "{}", serving.said());
    serving.kill();

    // The disk has lost the second half of what was written last.
    let files = ["ledger.db", "ledger.db-wal"].map(|name| service.state().join(name));
    let left = files.each_ref().map(|file| std::fs::read(file).unwrap());
    std::fs::write(&files[1], &left[1][..left[1].len() / 2]).unwrap();
    let serving = service.start();
    serving.until_it_says("Nothing is carried out: the log channel was told of events up to");
    serving.until_it_says("put the newer log back");
    assert_eq!(service.processes("drill-instance").len(), 6);
    assert_eq!(serving.stop(), Some(0));

    // It was only mislaid.
    for (file, bytes) in files.iter().zip(left) {
        std::fs::write(file, bytes).unwrap();
    }
    let serving = service.start_ready();
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(done(&events, "scaling_answered"), 1);
    assert_eq!(serving.stop(), Some(0));
    let events = service.proved();
    told_once(&service.state(), events.len());
}
