//! Parking and abandoning with everything outside in memory, and what the commands say.

use std::time::Duration;

use scalebot_commands::break_glass::{self, NotDone};
use scalebot_commands::desk::{Abandoned, Received};
use scalebot_commands::event::{Claim, Draft, Event, Kind};
use scalebot_commands::journal::Inbox;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::Slot;
use scalebot_commands::steps::Outcome;
use scalebot_commands::supervisor::{self, Ended};
use scalebot_commands::units::{Epoch, OperationId, Person};

use super::record::{Holder, Operation, Overview, Sought};
use super::words;
use crate::control::{Busy, Cancelled};
use crate::state_dir::StateDir;
use crate::testing::Stage;

fn policy() -> Policy {
    Policy::rehearsal(Duration::from_mins(1))
}

async fn begun(stage: &Stage) -> OperationId {
    match stage.take("/scale up 6", &policy()).await {
        Received::Opened(operation) => operation,
        Received::Refused(why) => panic!("{why}"),
        Received::Question => panic!("it is no question"),
    }
}

/// Enters the operation as the process of that epoch does.
async fn entered(stage: &Stage, operation: &OperationId, epoch: u64) -> Ended {
    let (_signals, mut inbox) = Inbox::new();
    supervisor::carry_out(&stage.ports(), &policy(), operation, Epoch(epoch), &mut inbox).await
}

/// Writes what nobody but another version would.
async fn written(stage: &Stage, operation: &OperationId, kind: Kind, body: &str) {
    let op_seq = stage.script().events.len() as u64 + 1;
    let at = stage.script().now();
    let operation = Some(operation.clone());
    let draft = Draft { operation, op_seq, epoch: Epoch(1), at, kind, body: body.to_owned(), claim: Claim::Keep };
    stage.ports().ledger.append(draft).await.unwrap();
}

async fn abandon(stage: &Stage, operation: &OperationId, reason: &str) -> Result<Outcome, NotDone> {
    let ports = stage.ports();
    let abandoned = Abandoned { by: Person::new("host:dana"), reason: reason.to_owned() };
    let done = break_glass::abandon(&*ports.ledger, &*ports.world, Epoch(9), operation, &abandoned).await;
    done.map(|finished| finished.outcome)
}

fn kinds(stage: &Stage) -> Vec<String> {
    stage.script().events.iter().map(|event| event.kind.clone()).collect()
}

/// The double takes any place; the real log refuses a wrong one.
fn assert_in_its_places(stage: &Stage) {
    let places: Vec<u64> = stage.script().events.iter().map(|event| event.op_seq).collect();
    assert_eq!(places, (1..=places.len() as u64).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_cannot_even_be_read_is_parked_on_record_and_an_operator_is_told_once() {
    let stage = Stage::new();
    let operation = begun(&stage).await;
    written(&stage, &operation, Kind::VoteCast, r#"{"by":"lead","weight":2}"#).await;
    for epoch in [1, 1, 2] {
        let Ended::Parked(why) = entered(&stage, &operation, epoch).await else { panic!("it went on") };
        assert!(why.contains("event 2 cannot be read by this version"), "{why}");
    }
    assert_eq!(kinds(&stage), ["requested", "vote_cast", "parked", "escalated"]);
    assert_in_its_places(&stage);
    let card = stage.card(Slot::Escalation);
    assert_eq!(card.title, "HIGH for the operator: an operation cannot go on by itself");
    assert!(card.lines.iter().any(|line| line.contains("scalebot operation abandon")), "{:?}", card.lines);
}

#[tokio::test]
async fn a_process_killed_between_parking_and_telling_is_made_up_for_and_a_further_parking_is_told_again() {
    let stage = Stage::new();
    let operation = begun(&stage).await;
    written(&stage, &operation, Kind::Assessed, r#"{"step":"assess","v":99}"#).await;
    entered(&stage, &operation, 1).await;
    // Killed before anybody was told.
    stage.script().events.pop();
    entered(&stage, &operation, 2).await;
    assert_eq!(kinds(&stage), ["requested", "assessed", "parked", "resumed", "escalated"]);
    // It went on, and came to something else that does not fit.
    written(&stage, &operation, Kind::Prechecked, r#"{"step":"precheck","v":99}"#).await;
    entered(&stage, &operation, 2).await;
    assert_eq!(kinds(&stage)[5..], ["prechecked", "resumed", "parked", "escalated"]);
    assert_in_its_places(&stage);
}

#[tokio::test]
async fn a_version_that_can_carry_a_parked_operation_on_goes_on_as_if_it_had_never_been_parked() {
    let stage = Stage::new();
    let operation = begun(&stage).await;
    // Another version parked it.
    written(&stage, &operation, Kind::Parked, r#"{"reason":"of another version"}"#).await;
    let told = r#"{"step":"parked","v":1,"condition":"parked","to":"operator","severity":"high","acknowledge_within":900000,"because":"x"}"#;
    written(&stage, &operation, Kind::Escalated, told).await;
    let Ended::Finished(finished) = entered(&stage, &operation, 2).await else { panic!("parked again") };
    assert_eq!(finished.outcome, Outcome::Completed);
    let once_more = entered(&stage, &operation, 3).await;
    assert_eq!(once_more, Ended::Finished(finished));
}

#[tokio::test]
async fn an_operation_abandoned_by_a_process_that_was_killed_is_ended_and_never_carried_on() {
    for readable in [true, false] {
        let stage = Stage::new();
        let operation = begun(&stage).await;
        if !readable {
            written(&stage, &operation, Kind::VoteCast, "{}").await;
        }
        assert_eq!(abandon(&stage, &operation, "it hangs").await, Ok(Outcome::Failed));
        // Killed before its end was on record.
        stage.script().events.pop();
        let ended = entered(&stage, &operation, 10).await;
        let Ended::Finished(finished) = ended else { panic!("{ended:?}") };
        assert_eq!(finished.outcome, Outcome::Failed);
        assert!(finished.reason.starts_with("Abandoned by host:dana: it hangs."), "{}", finished.reason);
        assert_eq!(stage.script().fleet.as_ref().unwrap().generation, 1, "the fleet was changed");
        assert_eq!(kinds(&stage).last().map(String::as_str), Some("finished"));
        assert_in_its_places(&stage);
    }
}

#[tokio::test]
async fn abandoning_again_ends_it_on_the_word_of_who_abandoned_it_first_and_what_has_ended_is_refused() {
    let stage = Stage::new();
    let operation = begun(&stage).await;
    assert_eq!(abandon(&stage, &operation, "first").await, Ok(Outcome::Failed));
    stage.script().events.pop();
    assert_eq!(abandon(&stage, &operation, "second").await, Ok(Outcome::Failed));
    assert_eq!(kinds(&stage), ["requested", "abandoned", "finished"]);
    assert!(stage.script().events[2].body.contains("first") && !stage.script().events[2].body.contains("second"));
    assert_eq!(abandon(&stage, &operation, "third").await, Err(NotDone::Ended(operation.clone(), Outcome::Failed)));
    let unknown = OperationId::new("unknown");
    assert_eq!(abandon(&stage, &unknown, "x").await, Err(NotDone::Unknown(unknown)));
    assert_eq!(stage.ports().ledger.claims().await.unwrap(), []);
    assert!(matches!(stage.take("/scale up 6", &policy()).await, Received::Opened(_)));
}

#[tokio::test]
async fn a_cancel_on_record_ends_the_operation_when_it_is_carried_on() {
    let stage = Stage::new();
    let operation = begun(&stage).await;
    let ports = stage.ports();
    for now in [true, false] {
        let by = Person::new("host:dana");
        let told = break_glass::cancel(&*ports.ledger, &*ports.world, Epoch(2), &operation, by).await;
        assert_eq!(told, Ok(now));
    }
    let Ended::Finished(finished) = entered(&stage, &operation, 3).await else { panic!("it did not end") };
    assert_eq!(finished.outcome, Outcome::Cancelled);
    assert!(finished.reason.contains("host:dana"), "{}", finished.reason);
}

#[tokio::test]
async fn a_clock_that_went_back_is_recorded_before_a_cancel() {
    let stage = Stage::with(|script| script.clock = Duration::from_mins(5));
    let operation = begun(&stage).await;
    stage.script().clock = Duration::ZERO;
    let ports = stage.ports();
    let by = Person::new("host:dana");
    break_glass::cancel(&*ports.ledger, &*ports.world, Epoch(2), &operation, by).await.unwrap();
    assert_eq!(kinds(&stage), ["requested", "clock_jump", "cancel_requested"]);
    assert_in_its_places(&stage);
}

async fn operation(stage: &Stage, id: &OperationId) -> Operation {
    let ledger = stage.ports().ledger;
    let held = ledger.claims().await.unwrap().into_iter().find(|held| held.operation == *id);
    Operation { id: id.clone(), events: ledger.events_of(id).await.unwrap(), held }
}

fn escalations(stage: &Stage) -> Vec<Event> {
    stage.script().events.iter().rev().filter(|event| event.kind == "escalated").cloned().collect()
}

fn dir() -> StateDir {
    StateDir::new("/srv/my drill")
}

fn held_by(operation: Option<&OperationId>) -> Holder {
    Holder::Process {
        who: "process 4711".to_owned(),
        busy: Some(Busy { process: 4711, operation: operation.cloned() }),
    }
}

#[tokio::test]
async fn what_is_said_of_a_parked_operation() {
    let stage = Stage::new();
    let id = begun(&stage).await;
    written(&stage, &id, Kind::VoteCast, "{}").await;
    entered(&stage, &id, 1).await;
    let one = operation(&stage, &id).await;
    let escalations = escalations(&stage);
    let overview = Overview { unfinished: vec![one.clone()], ended: vec![], escalations };
    insta::assert_snapshot!(words::list(&dir(), Some(&overview)), @r"
    Unfinished:
      7f3a01  /scale up 6 by operator
        Holds api since 2026-01-08 03:12:00 UTC.
        Last on record: 2026-01-08 03:12:00 UTC  vote cast
        It cannot go on by itself: event 2 cannot be read by this version (missing field `by` at line 1 column 2).
        Look at it: scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(words::show(&dir(), &one, &Holder::Nobody), @r#"
    Operation 019b9b3a-7f3a01
    /scale up 6 by operator

    2026-01-08 03:12:00 UTC  requested  api up to 6 by operator
    2026-01-08 03:12:00 UTC  vote cast
    2026-01-08 03:12:00 UTC  parked  waits for a person: event 2 cannot be read by this version (missing field `by` at line 1 column 2)
    2026-01-08 03:12:00 UTC  escalated  HIGH to the operator: an operation cannot go on by itself. event 2 cannot be read by this version (missing field `by` at line 1 column 2)

    No process holds this state, so nothing is carried out now.
    When the cause is gone, carry it on:
      scalebot operation resume 7f3a01 --state '/srv/my drill'
    To give it up and free the fleet, as it is then:
      scalebot operation abandon 7f3a01 --reason "…" --state '/srv/my drill'
    "#);
    insta::assert_snapshot!(words::status(&dir(), Some(&overview), &held_by(None)), @r#"
    Operation 7f3a01 is unfinished: /scale up 6 by operator
    Holds api since 2026-01-08 03:12:00 UTC.
    Last on record: 2026-01-08 03:12:00 UTC  vote cast
    It cannot go on by itself: event 2 cannot be read by this version (missing field `by` at line 1 column 2).
    This state is held by process 4711, which carries nothing out now.

    It waits for a person, and process 4711 still holds this state: leave that one first.
    When the cause is gone, carry it on:
      scalebot operation resume 7f3a01 --state '/srv/my drill'
    To give it up and free the fleet, as it is then:
      scalebot operation abandon 7f3a01 --reason "…" --state '/srv/my drill'

    Escalations that nobody has acknowledged (1):
      2026-01-08 03:12:00 UTC  escalated  HIGH to the operator: an operation cannot go on by itself. event 2 cannot be read by this version (missing field `by` at line 1 column 2)
    "#);
    insta::assert_snapshot!(words::cancel_on_record(&dir(), &one, true), @r#"
    No process carries operation 7f3a01 out now. That it is to stop is on record.
    It cannot go on by itself, so it cannot end by itself either: event 2 cannot be read by this version (missing field `by` at line 1 column 2).
    To give it up and free the fleet, as it is, type:
      scalebot operation abandon 7f3a01 --reason "…" --state '/srv/my drill'
    "#);
    insta::assert_snapshot!(words::holder_is_idle(&dir(), "process 4711", Some(&overview)), @r"
    Nothing was cancelled: process 4711 holds this state, and carries nothing out now.
    Operation 7f3a01 cannot go on by itself: event 2 cannot be read by this version (missing field `by` at line 1 column 2).
    Look at it: scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(crate::drill::command::parked(dir().path(), &id, "event 2 cannot be read"), @r#"
    Operation 7f3a01 cannot go on by itself: event 2 cannot be read.
    Nothing further is done to the fleet, and nothing else can be done to it meanwhile.
    To see what is on record, type:
      scalebot operation show 7f3a01 --state '/srv/my drill'
    To give it up and free the fleet, leave this drill and type:
      scalebot operation abandon 7f3a01 --reason "…" --state '/srv/my drill'
    "#);
}

#[tokio::test]
async fn what_is_said_of_an_operation_under_way_or_left_behind() {
    let stage = Stage::new();
    let id = begun(&stage).await;
    let one = operation(&stage, &id).await;
    let overview = Overview { unfinished: vec![one.clone()], ended: vec![], escalations: vec![] };
    insta::assert_snapshot!(words::status(&dir(), Some(&overview), &held_by(Some(&id))), @r"
    Operation 7f3a01 is unfinished: /scale up 6 by operator
    Holds api since 2026-01-08 03:12:00 UTC.
    Last on record: 2026-01-08 03:12:00 UTC  requested  api up to 6 by operator
    It is carried out by process 4711 (operation 7f3a01).

    To ask it to stop, type:
      scalebot cancel --state '/srv/my drill'

    No escalation waits for somebody.
    ");
    insta::assert_snapshot!(words::status(&dir(), Some(&overview), &Holder::Nobody), @r#"
    Operation 7f3a01 is unfinished: /scale up 6 by operator
    Holds api since 2026-01-08 03:12:00 UTC.
    Last on record: 2026-01-08 03:12:00 UTC  requested  api up to 6 by operator
    No process holds this state, so nothing is carried out now.

    To carry it on, type:
      scalebot operation resume 7f3a01 --state '/srv/my drill'
    To have it end when it is carried on, first type:
      scalebot cancel --state '/srv/my drill'
    To give it up and leave the fleet as it is, type:
      scalebot operation abandon 7f3a01 --reason "…" --state '/srv/my drill'

    No escalation waits for somebody.
    "#);
    insta::assert_snapshot!(words::cancel_on_record(&dir(), &one, false), @r"
    That operation 7f3a01 is to stop was on record before; nothing was added.
    It ends when it is carried on; until then it holds its fleet. Type:
      scalebot operation resume 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(words::cancel_answered(&dir(), &id, &Cancelled::Recorded(id.clone())), @r"
    Operation 7f3a01 was asked to stop, and that is on record.
    It ends at the next point where it can be left.
    Before the count is set, nothing is changed.
    After it, its summary says how many instances there are then.
    See how it ends:
      scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(words::cancel_answered(&dir(), &id, &Cancelled::GoingBack(id.clone())), @"
    Operation 7f3a01 was not told.
    Going back is not interrupted: it goes on until the fleet is at the count before, or says why it cannot.
    See how it ends:
      scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(words::cancel_answered(&dir(), &id, &Cancelled::TooLate(id.clone())), @r"
    Operation 7f3a01 had ended before it could be stopped.
    See how it ended:
      scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
    insta::assert_snapshot!(words::held(&dir(), "process 4711"), @r"
    Nothing was abandoned: process 4711 holds this state, and may be changing the fleet now.
    Ask it to stop:
      scalebot cancel --state '/srv/my drill'
    Or stop that process first; what it carries out stays as it is then.
    ");
    insta::assert_snapshot!(words::deaf(&dir(), "process 4711", "nothing listens there"), @r"
    It is not cancelled: process 4711 holds this state and does not answer (nothing listens there).
    Interrupt that process, as Ctrl-C would; then type this once more:
      scalebot cancel --state '/srv/my drill'
    ");
}

#[tokio::test]
async fn what_is_said_of_an_operation_that_has_ended() {
    let stage = Stage::new();
    let id = begun(&stage).await;
    abandon(&stage, &id, "it hangs").await.unwrap();
    let one = operation(&stage, &id).await;
    let overview = Overview { unfinished: vec![], ended: vec![one.clone()], escalations: vec![] };
    insta::assert_snapshot!(words::list(&dir(), Some(&overview)), @r"
    Nothing is unfinished.
    Ended, latest first:
      7f3a01  /scale up 6 by operator
        2026-01-08 03:12:00 UTC  failed: ? → 6, ? now. Abandoned by host:dana: it hangs. What was last recorded before that is event 1 (requested): api up to 6 by operator. Look at the fleet before anything else is asked for.
    ");
    insta::assert_snapshot!(words::show(&dir(), &one, &Holder::Nobody), @r"
    Operation 019b9b3a-7f3a01
    /scale up 6 by operator

    2026-01-08 03:12:00 UTC  requested  api up to 6 by operator
    2026-01-08 03:12:00 UTC  abandoned  by host:dana: it hangs
    2026-01-08 03:12:00 UTC  finished  failed: ? → 6, ? now. Abandoned by host:dana: it hangs. What was last recorded before that is event 1 (requested): api up to 6 by operator. Look at the fleet before anything else is asked for.

    It has ended. Nothing is left to be done about it.
    ");
    insta::assert_snapshot!(words::status(&dir(), Some(&overview), &Holder::Nobody), @r"
    Nothing is under way.
    No process holds this state, so nothing is carried out now.

    No escalation waits for somebody.
    ");
    insta::assert_snapshot!(words::ended_already(&one), @r"
    Operation 7f3a01 is not unfinished, so there is nothing to carry on.
    2026-01-08 03:12:00 UTC  finished  failed: ? → 6, ? now. Abandoned by host:dana: it hangs. What was last recorded before that is event 1 (requested): api up to 6 by operator. Look at the fleet before anything else is asked for.
    ");
    insta::assert_snapshot!(words::not_found("3a01", &Sought::Nothing), @r"
    There is no operation 3a01 here.
    scalebot operation list shows what there is.
    ");
    insta::assert_snapshot!(words::not_found("3a01", &Sought::Several(vec![id.clone(), OperationId::new("b-3a01")])), @r"
    3a01 may mean 2 operations. Write more of it:
      019b9b3a-7f3a01
      b-3a01
    ");
}

#[tokio::test]
async fn who_an_abandoned_operation_left_without_requests_is_named_with_what_to_do() {
    let mut policy = policy();
    (policy.load.busy, policy.load.cpu, policy.load.p99_ms, policy.load.error_share) = (9.0, 9.0, 9_999.0, 1.0);
    let stage = Stage::new();
    stage.play_under_until("/scale down 3 reason:\"night\"", &policy, "drained").await;
    let operation = stage.script().events[0].operation.clone().unwrap();
    let ports = stage.ports();
    let abandoned = Abandoned { by: Person::new("host:dana"), reason: "it hangs".to_owned() };
    let done = break_glass::abandon(&*ports.ledger, &*ports.world, Epoch(9), &operation, &abandoned).await.unwrap();
    let put_back = "api-4 gets no requests: put api-4 back into the balancer.";
    assert!(done.reason.lines().any(|line| line == put_back), "{}", done.reason);
    let left = break_glass::out_of_service(&stage.script().events);
    let said = words::abandoned(&dir(), &operation, &done, Some(&left));
    assert!(said.lines().any(|line| line == put_back), "{said}");
    let untold = words::abandoned(&dir(), &operation, &done, None);
    assert!(untold.contains("Who gets no requests cannot be told: look at the balancer."), "{untold}");
    let nobody = words::abandoned(&dir(), &operation, &done, Some(&[]));
    assert!(!nobody.contains("requests"), "{nobody}");
}

#[tokio::test]
async fn what_a_cancel_from_the_host_meets_that_comes_too_late_or_is_not_the_hosts_to_give() {
    let id = OperationId::new("0000007f3a01");
    let said = [Cancelled::Over(id.clone()), Cancelled::Offered(id.clone()), Cancelled::NotHeard(id.clone())]
        .map(|answer| words::cancel_answered(&dir(), &id, &answer));
    insta::assert_snapshot!(said.join("\n\n"), @"
    Operation 7f3a01 was not told.
    It is over: nothing is left to stop, and the summary follows.
    If what was found is taken back, the next card says so; that is not interrupted.
    See how it ends:
      scalebot operation show 7f3a01 --state '/srv/my drill'

    Operation 7f3a01 was not told.
    All else is done; what is left is the offer to halt the system.
    Only a governance lead can answer or end it. It lapses by itself.
    See how it ends:
      scalebot operation show 7f3a01 --state '/srv/my drill'

    Operation 7f3a01 was not told.
    Too much is said at once, so this was not heard.
    Say it again in a moment.
    See how it ends:
      scalebot operation show 7f3a01 --state '/srv/my drill'
    ");
}
