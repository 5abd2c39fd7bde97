//! The duty on a stage: what it says and proposes, what it keeps to itself, and what a restart or a lost answer of the
//! log changes of that, which is nothing.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use scalebot_commands::event::{Draft, Event, Kind};
use scalebot_commands::policy::Planned;
use scalebot_commands::ports::{AppendError, ClaimHeld, Ledger, LedgerError};
use scalebot_commands::units::Replicas;

use super::*;
use crate::console::text;
use crate::testing::{Manner, Stage, unreachable};

const LIMIT: Duration = Duration::from_mins(1);
const WELL: Manner = Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 };
const SLOW: Manner = Manner { old_ms: 900.0, new_ms: 900.0, failing: 0 };

fn policy() -> Policy {
    Policy::rehearsal(LIMIT)
}

/// A process that has just begun, and what it begins by itself.
fn process(stage: &Stage, policy: &Policy) -> (Duty, mpsc::UnboundedReceiver<Begin>) {
    Duty::new(stage.ports(), policy.clone(), Epoch(1), true)
}

fn on_duty(stage: &Stage) -> Duty {
    process(stage, &policy()).0
}

fn passes(stage: &Stage, length: Duration) {
    stage.script().clock += length;
}

fn count(stage: &Stage, kind: Kind) -> usize {
    stage.script().events.iter().filter(|event| event.kind == kind.as_str()).count()
}

fn titles(stage: &Stage) -> Vec<String> {
    let titles = stage.script().shown.iter().map(|(_, card)| card.title.clone()).collect();
    stage.script().shown.clear();
    titles
}

fn operator() -> Person {
    Person::new("operator")
}

#[tokio::test]
async fn what_holds_is_proposed_once_and_stays_so_over_a_restart() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    for _ in 0..5 {
        duty.tick().await.unwrap();
        passes(&stage, Duration::from_secs(5));
    }
    assert_eq!(titles(&stage), ["Proposed: 4 → 5 (1 more)"]);
    let again = on_duty(&stage);
    again.tick().await.unwrap();
    assert_eq!(titles(&stage), ["Proposed: 4 → 5 (1 more)"]);
    assert_eq!(count(&stage, Kind::Proposed), 1);
    let because = "p99 990 ms, limit 500 ms, over 5 min";
    let command = format!("/scale up 5 target:api reason:\"{because}\"");
    assert_eq!(again.start(&operator()).await, Ok(Start::Command(command)));
    assert_eq!(again.start(&operator()).await, Ok(Start::Refused("Nothing is proposed now.".to_owned())));
}

#[tokio::test]
async fn a_proposal_that_could_not_be_shown_is_shown_with_the_next_look() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    stage.script().refuses_cards = 2;
    for _ in 0..4 {
        duty.tick().await.unwrap();
        passes(&stage, Duration::from_secs(5));
    }
    assert_eq!(titles(&stage), ["Proposed: 4 → 5 (1 more)"]);
    assert_eq!(count(&stage, Kind::Proposed), 1);
}

#[tokio::test]
async fn what_was_dismissed_stays_quiet_for_its_time_over_a_restart_too() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    duty.tick().await.unwrap();
    let viewer = duty.dismiss(&Person::new("viewer")).await.unwrap();
    assert!(matches!(viewer, Answer::Refused(why) if why.contains("Only an operator may dismiss what was proposed")));
    assert_eq!((count(&stage, Kind::CommandRefused), count(&stage, Kind::Dismissed)), (1, 0));
    assert!(matches!(duty.dismiss(&operator()).await, Ok(Answer::Done(_))));
    assert!(matches!(duty.dismiss(&operator()).await, Ok(Answer::Refused(_))));
    titles(&stage);
    duty.tick().await.unwrap();
    passes(&stage, Duration::from_secs(30 * 60 - 1));
    duty.tick().await.unwrap();
    on_duty(&stage).tick().await.unwrap();
    assert_eq!((titles(&stage), count(&stage, Kind::Proposed)), (vec![], 1));
    passes(&stage, Duration::from_secs(1));
    duty.tick().await.unwrap();
    assert_eq!((titles(&stage).len(), count(&stage, Kind::Proposed)), (1, 2));
}

#[tokio::test]
async fn another_condition_is_not_quiet_with_the_one_that_was_dismissed() {
    let stage = Stage::new();
    let mut policy = policy();
    let now = stage.script().now();
    let plan = Planned { from: now, until: now + Duration::from_hours(1), instances: Replicas(5), why: "sale".into() };
    policy.triggers.planned = vec![plan];
    let (duty, _begun) = process(&stage, &policy);
    duty.tick().await.unwrap();
    duty.dismiss(&operator()).await.unwrap();
    duty.tick().await.unwrap();
    let command =
        "/scale up 5 target:api reason:\"planned: 5 from 2026-01-08 03:12:00 UTC until 2026-01-08 04:12:00 UTC, sale\"";
    assert_eq!(duty.start(&operator()).await, Ok(Start::Command(command.to_owned())));
}

#[tokio::test]
async fn a_proposal_lapses_when_its_condition_has_ceased_for_three_looks_and_comes_back_as_the_same() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    duty.tick().await.unwrap();
    titles(&stage);
    stage.script().before = Some(WELL);
    duty.tick().await.unwrap();
    duty.tick().await.unwrap();
    stage.script().before = Some(SLOW);
    duty.tick().await.unwrap();
    assert_eq!(titles(&stage), Vec::<String>::new());
    stage.script().before = Some(WELL);
    for _ in 0..3 {
        duty.tick().await.unwrap();
    }
    assert_eq!(titles(&stage), ["No longer proposed: 4 → 5 (1 more)"]);
    assert!(matches!(duty.start(&operator()).await, Ok(Start::Refused(_))));
    stage.script().before = Some(SLOW);
    duty.tick().await.unwrap();
    assert_eq!((titles(&stage).len(), count(&stage, Kind::Proposed)), (1, 1));
}

#[tokio::test]
async fn what_cannot_be_seen_has_not_become_well() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    duty.tick().await.unwrap();
    let fleet = stage.script().fleet.clone();
    stage.script().before = None;
    for _ in 0..5 {
        duty.tick().await.unwrap();
    }
    stage.script().fleet = unreachable("the fleet");
    for _ in 0..5 {
        duty.tick().await.unwrap();
    }
    stage.script().fleet = fleet;
    assert_eq!(titles(&stage), ["Proposed: 4 → 5 (1 more)"]);
    assert!(matches!(duty.start(&operator()).await, Ok(Start::Command(_))));
}

#[tokio::test]
async fn while_something_is_under_way_nothing_is_proposed_and_what_was_is_taken_back() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    duty.tick().await.unwrap();
    stage.take("/scale up 6", &policy()).await;
    duty.tick().await.unwrap();
    assert!(matches!(duty.start(&operator()).await, Ok(Start::Refused(_))));
    on_duty(&stage).tick().await.unwrap();
    assert_eq!((titles(&stage).len(), count(&stage, Kind::Proposed)), (1, 1));
}

#[tokio::test]
async fn what_was_started_and_holds_still_afterwards_is_proposed_anew() {
    let stage = Stage::new();
    let duty = on_duty(&stage);
    duty.tick().await.unwrap();
    // Refused, so that the fleet is as before.
    stage.play("/scale up 4").await;
    duty.tick().await.unwrap();
    duty.tick().await.unwrap();
    assert_eq!(count(&stage, Kind::Proposed), 1, "it stays as it is while people have it before them");
    on_duty(&stage).tick().await.unwrap();
    assert_eq!(count(&stage, Kind::Proposed), 2);
}

#[tokio::test]
async fn while_the_fleet_cools_down_nothing_is_proposed_that_would_be_refused() {
    let stage = Stage::with(|script| script.after = script.before);
    let mut policy = policy();
    policy.count.cool_down = Duration::from_mins(5);
    stage.play("/scale up 5 reason:\"p99\"").await;
    let (duty, _begun) = process(&stage, &policy);
    duty.tick().await.unwrap();
    assert_eq!(count(&stage, Kind::Proposed), 0);
    passes(&stage, Duration::from_mins(5));
    duty.tick().await.unwrap();
    assert_eq!(count(&stage, Kind::Proposed), 1);
}

#[tokio::test]
async fn a_scaling_is_begun_by_itself_for_exactly_that_condition_and_once_in_a_while() {
    let stage = Stage::new();
    let mut policy = policy();
    policy.triggers.by_itself = vec![Trigger::Cpu, Trigger::Planned];
    let (duty, mut begun) = process(&stage, &policy);
    duty.tick().await.unwrap();
    assert!(begun.try_recv().is_err());
    policy.triggers.by_itself = vec![Trigger::Latency];
    let stage = Stage::new();
    let (duty, mut begun) = process(&stage, &policy);
    duty.tick().await.unwrap();
    let first = begun.try_recv().unwrap();
    let because = "begun by itself, as policy says: p99 990 ms, limit 500 ms, over 5 min";
    assert_eq!(first.command(), format!("/scale up 5 target:api reason:\"{because}\""));
    // Whatever became of it, it is not tried again and again: a person is asked.
    for _ in 0..3 {
        duty.tick().await.unwrap();
    }
    assert!(begun.try_recv().is_err());
    assert!(matches!(duty.start(&operator()).await, Ok(Start::Command(_))));
    passes(&stage, Duration::from_mins(31));
    let (later, mut begun) = process(&stage, &policy);
    later.tick().await.unwrap();
    assert!(begun.try_recv().is_ok());
}

/// A log that does something else with the next append than to write it and say so.
struct Unreliable {
    stage: Arc<dyn Ledger>,
    /// How many appends are written without an answer, and after them how many are refused to a fenced process.
    unanswered: AtomicU32,
    fenced: AtomicU32,
}

#[async_trait]
impl Ledger for Unreliable {
    async fn append(&self, draft: Draft) -> Result<Event, AppendError> {
        let next =
            |left: &AtomicU32| left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if next(&self.fenced) {
            return Err(AppendError::Fenced { detail: "epoch 2 is in force".to_owned() });
        }
        let appended = self.stage.append(draft).await;
        if next(&self.unanswered) { Err(LedgerError("no answer".to_owned()).into()) } else { appended }
    }

    async fn events_of(&self, operation: &OperationId) -> Result<Vec<Event>, LedgerError> {
        self.stage.events_of(operation).await
    }

    async fn events_after(&self, after: u64, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.stage.events_after(after, limit).await
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, LedgerError> {
        self.stage.claims().await
    }

    async fn latest(&self, kind: &str, limit: u32) -> Result<Vec<Event>, LedgerError> {
        self.stage.latest(kind, limit).await
    }
}

/// An escalation to the infrastructure team that nobody has acknowledged, and a process on duty over that log.
async fn escalated(unanswered: u32, fenced: u32) -> (Stage, Duty) {
    let stage = Stage::new();
    stage.play("/scale up 7").await;
    titles(&stage);
    let ledger = Unreliable { stage: stage.ports().ledger, unanswered: unanswered.into(), fenced: fenced.into() };
    let ports = Ports { ledger: Arc::new(ledger), ..stage.ports() };
    let (duty, _begun) = Duty::new(ports, policy(), Epoch(1), false);
    // It is there when the escalation is said: the time counts from then on.
    duty.tick().await.unwrap();
    (stage, duty)
}

#[tokio::test]
async fn a_hop_whose_recording_was_not_answered_is_said_once_all_the_same() {
    let (stage, duty) = escalated(1, 0).await;
    passes(&stage, Duration::from_mins(15));
    assert!(matches!(duty.tick().await, Err(DutyError::Ledger(_))));
    assert_eq!((count(&stage, Kind::Reescalated), titles(&stage).len()), (1, 0));
    duty.tick().await.unwrap();
    duty.tick().await.unwrap();
    let said = titles(&stage);
    assert_eq!(count(&stage, Kind::Reescalated), 1);
    assert_eq!(said, ["HIGH for the system architect: cannot scale due to infrastructure limits"]);
}

#[tokio::test]
async fn a_process_that_was_overtaken_says_nothing_and_stops() {
    let (stage, duty) = escalated(0, 1).await;
    passes(&stage, Duration::from_mins(15));
    // On this stage time costs nothing: whoever goes on for a minute goes on for ever.
    let why = tokio::time::timeout(LIMIT, duty.run()).await.unwrap();
    assert!(why.contains("epoch 2 is in force"), "{why}");
    assert_eq!((count(&stage, Kind::Reescalated), titles(&stage).len()), (0, 0));
}

#[tokio::test]
async fn who_was_told_before_may_still_acknowledge_and_nobody_else() {
    let (stage, duty) = escalated(0, 0).await;
    let mut says = Vec::new();
    for by in ["viewer", "lead", "operator", "operator"] {
        says.push(duty.acknowledge(None, &Person::new(by)).await.unwrap());
    }
    // Who leads holds a role, but none that was told.
    let refused = |answer: &Answer| matches!(answer, Answer::Refused(_));
    assert_eq!(says.iter().map(refused).collect::<Vec<_>>(), [true, true, false, true]);
    assert_eq!((count(&stage, Kind::CommandRefused), count(&stage, Kind::Acknowledged)), (2, 1));
    let unknown = duty.acknowledge(Some(999), &operator()).await.unwrap();
    let text = "There is no open escalation 999. Nothing is open that could be acknowledged.";
    assert_eq!(unknown, Answer::Refused(text.to_owned()));
    passes(&stage, Duration::from_hours(5));
    duty.tick().await.unwrap();
    assert_eq!(count(&stage, Kind::Reescalated), 0);
}

#[tokio::test]
async fn where_several_are_open_they_are_named_as_they_are_to_be_typed() {
    let (stage, duty) = escalated(0, 0).await;
    stage.play("/scale up 7").await;
    let answer = duty.acknowledge(None, &operator()).await.unwrap();
    let Answer::Refused(text) = answer else { panic!("{answer:?}") };
    insta::assert_snapshot!(text, @r"
    2 escalations are open. Say which:
    acknowledge 4: HIGH, cannot scale due to infrastructure limits, operation 7f3a01
    acknowledge 9: HIGH, cannot scale due to infrastructure limits, operation 7f3a02
    ");
}

mod cards {
    use super::*;
    use crate::console::Style;

    fn shown(stage: &Stage, slot: Slot) -> String {
        let utf8 = |name: &str| (name == "LANG").then(|| "C.UTF-8".to_owned());
        text(&stage.card(slot), Style::detect(false, Some(80), utf8))
    }

    #[tokio::test]
    async fn escalations() {
        let (stage, duty) = escalated(0, 0).await;
        passes(&stage, Duration::from_mins(15));
        duty.tick().await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Escalation), @r"
        ✖ fail  HIGH for the system architect: cannot scale due to infrastructure limits
          Nobody has acknowledged it since 2026-01-08 03:12:00 UTC.
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          It went to the infrastructure team before, and goes to the system architect
            now.
          Acknowledge it within 15 min. Type: acknowledge 4
          That stops the reminders. It changes nothing else.
          said 2 times, told: infrastructure team, system architect · escalation 4 ·
          operation 7f3a01
        ");
        passes(&stage, Duration::from_mins(15));
        duty.tick().await.unwrap();
        passes(&stage, Duration::from_mins(15));
        duty.tick().await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Escalation), @r"
        ✖ fail  HIGH for the governance lead: cannot scale due to infrastructure limits
          Nobody has acknowledged it since 2026-01-08 03:12:00 UTC.
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nobody is configured to be told after the governance lead, so they are told
            again.
          Acknowledge it within 15 min. Type: acknowledge 4
          That stops the reminders. It changes nothing else.
          said 4 times, told: infrastructure team, system architect, governance lead ·
          escalation 4 · operation 7f3a01
        ");
        duty.acknowledge(None, &Person::new("lead")).await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Escalation), @r"
        ✔ pass  lead sees to it: cannot scale due to infrastructure limits
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nobody further is told.
          escalation 4 · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn proposals() {
        let stage = Stage::new();
        let duty = on_duty(&stage);
        duty.tick().await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Question), @r"
        ▲ warn  Proposed: 4 → 5 (1 more)
          Latency over its limit: p99 990 ms, limit 500 ms, over 5 min.
          38.0 requests/s come in; one instance carries 23.8 when it is never idle
            (measured).
          Nothing is done until an operator says so. All checks are made then.
          Type: start. Or type: dismiss, and this stays quiet for 30 min.
          api · proposal 7f3a01
        ");
        duty.dismiss(&operator()).await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Question), @r"
        · info  Dismissed by operator: 4 → 5 (1 more)
          Latency over its limit is not proposed for 30 min.
          Nothing was changed.
          api · proposal 7f3a01
        ");
    }

    #[tokio::test]
    async fn begun_and_lapsed() {
        let stage = Stage::new();
        let mut policy = policy();
        policy.triggers.by_itself = vec![Trigger::Latency];
        let (duty, _begun) = process(&stage, &policy);
        duty.tick().await.unwrap();
        insta::assert_snapshot!(shown(&stage, Slot::Question), @r"
        ▲ warn  Begun by itself: 4 → 5 (1 more)
          Latency over its limit: p99 990 ms, limit 500 ms, over 5 min.
          The configuration says to do that for this condition, with every check and
            approval.
          To stop it, type: cancel
          api · proposal 7f3a01
        ");
        duty.tick().await.unwrap();
        stage.script().before = Some(WELL);
        for _ in 0..3 {
            duty.tick().await.unwrap();
        }
        insta::assert_snapshot!(shown(&stage, Slot::Question), @r"
        ✔ pass  No longer proposed: 4 → 5 (1 more)
          It no longer holds: latency over its limit.
          Nothing is to be done.
          api · proposal 7f3a01
        ");
    }
}
