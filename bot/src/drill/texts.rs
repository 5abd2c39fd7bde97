//! What the drill itself says, and what the desk answers, as the person at the console reads it.

use std::path::Path;
use std::time::Duration;

use scalebot_commands::desk::{Desk, Received};
use scalebot_commands::policy::Policy;
use scalebot_commands::request::{Direction, Request, Requested};
use scalebot_commands::units::{Epoch, OperationId, Person, Replicas, TargetName};

use super::command::{in_use, interrupted};
use super::persona;
use super::state::{Locked, State};
use crate::testing::Stage;

#[test]
fn help() {
    insta::assert_snapshot!(persona::HELP, @r"
    At this console, too:
    lead> approve           decide, as a governance lead; also: reject, withdraw
    lead> override: TEXT    approve, and say why; also: approve: TEXT, reject: TEXT
    lead> halt              answer the offer to halt the system; also: no halt
    operator> cancel        stop the operation under way
    operator> reason: TEXT  say why it is done, when asked
    operator> attest: TEXT  give your word that keys are reached, when asked
    operator> acknowledge   see to an escalation; with its number if several
    operator> start         begin what was proposed; also: dismiss
    quit                    leave
    People: operator, operator2, lead, lead2, architect, infra, viewer.
    A line without a name is the operator's. /scale may be left out of a question.
    ");
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

#[tokio::test]
async fn who_may_not_is_told_whom_to_ask_and_it_is_on_record() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    let stage = Stage::new();
    for command in ["/scale up 6", "/scale down 3", "/scale rollback"] {
        let Received::Refused(why) = stage.take_of("viewer", command, &policy).await else { panic!() };
        assert!(why.starts_with("Only an operator may") && why.contains("Ask an operator."), "{why}");
    }
    let script = stage.script();
    assert_eq!(script.events.iter().map(|event| &*event.kind).collect::<Vec<_>>(), ["command_refused"; 3]);
    assert!(script.events[1].body.contains(r#""command":"/scale down 3","by":"viewer""#), "{}", script.events[1].body);
}

/// The first event of the operation that the desk opened.
fn requested(stage: &Stage, received: &Received) -> Requested {
    let Received::Opened(operation) = received else { panic!("{received:?}") };
    let script = stage.script();
    let event = script.events.iter().find(|event| event.operation.as_ref() == Some(operation)).unwrap();
    serde_json::from_str(&event.body).unwrap()
}

#[tokio::test]
async fn a_change_goes_either_way() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    let (up, down) = (Stage::new(), Stage::new());
    let asked = requested(&up, &up.take("/scale up 6", &policy).await);
    assert_eq!((asked.direction, asked.to, asked.undoes), (Direction::Up, Replicas(6), None));
    let asked = requested(&down, &down.take("/scale down 2 reason:\"night\"", &policy).await);
    assert_eq!((asked.direction, asked.to, asked.reason.as_deref()), (Direction::Down, Replicas(2), Some("night")));
}

#[tokio::test]
async fn a_rollback_undoes_the_latest_operation_and_names_it() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    let stage = Stage::new();
    let Received::Refused(why) = stage.take("/scale rollback", &policy).await else { panic!() };
    assert_eq!(why, "No operation has changed api yet, so there is nothing to undo.");

    stage.play_under("/scale up 6", &policy).await;
    // A later one that was refused changed nothing, and is looked past.
    stage.play_under("/scale up 6", &policy).await;
    let asked = requested(&stage, &stage.take("/scale rollback reason:\"worse\"", &policy).await);
    assert_eq!((asked.direction, asked.to), (Direction::Down, Replicas(4)));
    assert_eq!(asked.undoes, Some(OperationId::new("019b9b3a-7f3a01")));
    assert_eq!((asked.command.as_str(), asked.reason.as_deref()), ("/scale rollback reason:\"worse\"", Some("worse")));

    // While it is under way, another one waits.
    let Received::Refused(busy) = stage.take("/scale rollback", &policy).await else { panic!() };
    assert!(busy.contains("is under way on api since"), "{busy}");
}

#[tokio::test]
async fn an_operation_is_cancelled_by_who_asked_for_it_or_by_a_lead_and_by_nobody_else() {
    let policy = Policy::rehearsal(Duration::from_mins(1));
    let stage = Stage::new();
    let Received::Opened(operation) = stage.take("/scale up 6", &policy).await else { panic!() };
    let ports = stage.ports();
    let targets = [TargetName::new("api")];
    let (ledger, world, room) = (&*ports.ledger, &*ports.world, &*ports.room);
    let desk = Desk { ledger, world, room, policy: &policy, epoch: Epoch(1), targets: &targets };
    let cancel = Request::Cancel { target: None };
    let may = async |by: &str| desk.may_cancel(&cancel, &operation, &Person::new(by)).await.unwrap();
    assert_eq!((may("operator").await, may("lead2").await), (Ok(()), Ok(())));
    assert!(may("viewer").await.unwrap_err().starts_with("Only a governance lead may cancel what somebody else"));
    let refused = stage.script().events.iter().filter(|event| event.kind == "command_refused").count();
    assert_eq!(refused, 1);
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
