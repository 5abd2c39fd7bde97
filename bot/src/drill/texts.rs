//! What the drill itself says, and what the desk answers, as the person at the console reads it.

use std::path::Path;
use std::time::Duration;

use scalebot_commands::desk::Received;
use scalebot_commands::policy::Policy;

use super::command::{in_use, interrupted};
use super::persona;
use super::state::{Locked, State};
use crate::testing::Stage;

#[test]
fn help() {
    insta::assert_snapshot!(persona::HELP, @r#"
    /scale up 6             have six instances in all; add reason:"…" to say why
    lead> approve           decide, as a governance lead; also: reject, withdraw
    operator> cancel        stop the operation under way
    operator> reason: TEXT  say why it is done, when asked
    operator> attest: TEXT  give your word that keys are reached, when asked
    architect> acknowledge  see to an escalation; with its number where several are
    operator> start         do what is proposed; or: dismiss
    help                    show this
    quit                    leave
    People: operator, lead, lead2, architect, infra, viewer.
    A line without a name is the operator's.
    "#);
    assert!(persona::HELP.lines().all(|line| line.chars().count() <= 80));
}

#[tokio::test]
async fn the_desks_refusals() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    let stage = Stage::new();
    let Received::Refused(unknown) = stage.take("/scale up 6 target:web", &policy).await else { panic!() };
    insta::assert_snapshot!(unknown, @r#"
    There is no target "web". There is: api.
    Leave target: out to mean the first.
    "#);
    assert!(matches!(stage.take("/scale up 6 reason:\"planned campaign\"", &policy).await, Received::Opened(_)));
    let Received::Refused(busy) = stage.take("/scale up 7", &policy).await else { panic!() };
    insta::assert_snapshot!(busy, @r#"
    /scale up 6 reason:"planned campaign" by operator is under way on api since 2026-01-08 03:12:00 UTC (operation 7f3a01).
    One at a time: wait until it ends, or cancel it.
    "#);
}

#[test]
fn interruption() {
    insta::assert_snapshot!(interrupted(Path::new("/tmp/scalebot-drill-x")), @r"
    Interrupted. Nothing is lost, and the fleet goes on for 10 min.
    To take it up again, type:
      scalebot drill --state /tmp/scalebot-drill-x
    ");
    insta::assert_snapshot!(interrupted(Path::new("/tmp/my drill's")), @r"
    Interrupted. Nothing is lost, and the fleet goes on for 10 min.
    To take it up again, type:
      scalebot drill --state '/tmp/my drill'\''s'
    ");
}

#[test]
fn a_directory_in_use() {
    insta::assert_snapshot!(in_use(Path::new("/var/lib/drill"), "process 4711"), @r"
    /var/lib/drill is in use by another drill (process 4711).
    Wait until it ends, or choose another --state directory.
    ");
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (State::open(Some(dir.path())).unwrap(), State::open(Some(dir.path())).unwrap());
    let _held = first.lock().unwrap();
    assert!(
        matches!(second.lock().unwrap(), Locked::Held(holder) if holder == format!("process {}", std::process::id()))
    );
}

#[test]
fn what_becomes_of_the_directory() {
    let closed = |fine| {
        let state = State::open(None).unwrap();
        let path = state.dir.path().to_owned();
        let said = state.close(fine).unwrap();
        assert_eq!(path.exists(), !fine);
        if !fine {
            std::fs::remove_dir(&path).unwrap();
        }
        said.replace(&path.display().to_string(), "/tmp/scalebot-drill-x")
    };
    insta::assert_snapshot!(closed(true), @r"
    All went well, so /tmp/scalebot-drill-x was removed.
    To keep the log and the charts next time, name a directory with --state.
    ");
    insta::assert_snapshot!(closed(false), @r"
    Not all went well. The log and the charts are kept in:
      /tmp/scalebot-drill-x
    ");
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(State::open(Some(dir.path())).unwrap().close(false), None);
}
