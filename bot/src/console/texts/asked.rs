//! The answers to questions: each as somebody reads it who asks in the middle of the night.

use scalebot_commands::asked::Answer;
use scalebot_commands::desk::Received;
use scalebot_commands::figures::InstanceLoad;

use super::*;

async fn answer(stage: &Stage, question: &str) -> Card {
    match stage.ask("operator", question).await {
        Answer::Card(card) => *card,
        Answer::Refused(why) => panic!("{why}"),
    }
}

async fn refused(stage: &Stage, by: &str, question: &str) -> String {
    match stage.ask(by, question).await {
        Answer::Refused(why) => why,
        Answer::Card(card) => panic!("{}", card.title),
    }
}

fn rehearsed() -> Policy {
    Policy::rehearsal(Duration::from_mins(1))
}

/// A declared count that is not the live one after a scaling to six.
fn declares(count: u32) -> Declared {
    let line = format!("replicas: {count}");
    Declared { count: Replicas(count), place: "deploy/api.yaml:14".into(), line }
}

/// The names of the ports' methods that change something, of what was called since.
fn touched(stage: &Stage) -> Vec<&'static str> {
    std::mem::take(&mut stage.script().touched)
}

#[tokio::test]
async fn help() {
    let card = answer(&Stage::new(), "/scale help").await;
    insta::assert_snapshot!(shown(&card), @r#"
    · info  What can be asked
      The number after up, down and plan is how many instances there are to be in
        all.
      To up, down and rollback add reason:"…" to say why. With several fleets add
        target:NAME.

      · info  /scale up 6          have 6 instances in all, more than now (an
                                   operator)
      · info  /scale down 4        have 4 instances in all, fewer than now (an
                                   operator)
      · info  /scale rollback      undo the latest operation (an operator)
      · info  /scale cancel        stop the operation under way (who asked for it,
                                   or a governance lead)
      · info  /scale plan 6        every check for 6 instances; nothing is done
                                   (everybody)
      · info  /scale status        how the fleet is, and what is under way
                                   (everybody)
      · info  /scale history 10    the last 10 operations (everybody)
      · info  /scale capacity 120  how many instances carry 120 requests/s; without
                                   a number, the present load (everybody)
      · info  /scale followups     what has to be seen to later; close 41: number 41
                                   is done (an operator)
      · info  /scale help          this list (everybody)

      scalebot
    "#);
    insta::assert_snapshot!(text(&card, PHONE), @r#"
    · info  What can be asked
      The number after up, down and plan
        is how many instances there are to
        be in all.
      To up, down and rollback add
        reason:"…" to say why. With several
        fleets add target:NAME.

      · info  /scale up 6
              have 6 instances in all, more
              than now (an operator)
      · info  /scale down 4
              have 4 instances in all, fewer
              than now (an operator)
      · info  /scale rollback
              undo the latest operation (an
              operator)
      · info  /scale cancel
              stop the operation under way
              (who asked for it, or a
              governance lead)
      · info  /scale plan 6
              every check for 6 instances;
              nothing is done (everybody)
      · info  /scale status
              how the fleet is, and what is
              under way (everybody)
      · info  /scale history 10
              the last 10 operations
              (everybody)
      · info  /scale capacity 120
              how many instances carry 120
              requests/s; without a number,
              the present load (everybody)
      · info  /scale followups
              what has to be seen to later;
              close 41: number 41 is done
              (an operator)
      · info  /scale help
              this list (everybody)

      scalebot
    "#);
}

mod plans {
    use super::*;

    #[tokio::test]
    async fn that_may_be_done() {
        let card = answer(&Stage::new(), "/scale plan 6").await;
        assert!(card.rows.iter().any(|row| row.name == "database connections"));
        insta::assert_snapshot!(said(&card), @r"
        ✔ pass  Plan: 4 → 6 (2 more) may be done
          To do it: /scale up 6
          This is a plan: nothing was done, and nobody was asked.
          api · asked by operator · no operation
        ");
    }

    #[tokio::test]
    async fn that_would_be_refused_or_needs_approval() {
        insta::assert_snapshot!(said(&answer(&Stage::new(), "/scale plan 7").await), @r"
        ✖ fail  Plan: 4 → 7 (3 more) would be refused
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          This is a plan: nothing was done, and nobody was asked.
          api · asked by operator · no operation
        ");
        let stage = Stage::with(|script| script.halt = [Ok(halted(true)), Ok(halted(true))]);
        insta::assert_snapshot!(said(&answer(&stage, "/scale plan 6").await), @r"
        ▲ warn  Plan: 4 → 6 (2 more) needs approval
          Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00
            UTC (consensus_failure).
          Scaling during a halt needs a governance lead's approval.
          To ask a governance lead for it: /scale up 6
          This is a plan: nothing was done, and nobody was asked.
          api · asked by operator · no operation
        ");
    }

    #[tokio::test]
    async fn whose_count_is_lower_is_a_plan_to_go_down() {
        let card = answer(&Stage::new(), "/scale plan 3").await;
        assert!(card.title.starts_with("Plan: 4 → 3 (1 fewer)"), "{}", card.title);
        let count = card.rows.iter().find(|row| row.name == "instance count").unwrap();
        assert_ne!(count.tone, scalebot_commands::card::Tone::Bad, "{count:?}");
    }

    #[tokio::test]
    async fn touch_nothing_and_ask_nobody() {
        let stage = Stage::new();
        for to in 1..=12 {
            answer(&stage, &format!("/scale plan {to}")).await;
        }
        stage.script().fleet = unreachable("the world");
        answer(&stage, "/scale plan 6").await;
        assert_eq!(touched(&stage), Vec::<&str>::new());
        // What does touch something is seen to: a plan that was carried out would not have gone unnoticed.
        stage.script().fleet = Stage::new().script().fleet.clone();
        stage.play("/scale up 6").await;
        let seen = touched(&stage);
        for what in ["append", "scale", "show", "keep", "write_capacity"] {
            assert!(seen.contains(&what), "{what}: {seen:?}");
        }
    }
}

mod statuses {
    use super::*;

    #[tokio::test]
    async fn when_all_is_well() {
        let stage = Stage::with(|script| script.before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 }));
        let card = answer(&stage, "/scale status").await;
        insta::assert_snapshot!(shown(&card), @r"
        ✔ pass  api: 4 of 4 instances ready

          ✔ pass  instances    4 wanted, 4 ready
          ✔ pass  latency      p50 212 ms, p95 467 ms, p99 493 ms (limit: p99 500 ms;
                               over 5 min)
          ✔ pass  errors       0 %, 0 of 11400 requests (limit: 1 %; over 5 min)
          ✔ pass  CPU          mean 34 %, worst 34 % (limit: 70 %, each and mean; over
                               5 min)
          ✔ pass  memory       mean 24 %, worst 24 % (limit: 80 %, each and mean; over
                               5 min)
          ✔ pass  halt state   not halted, as every source says
          ✔ pass  under way    nothing
          ✔ pass  escalations  none is open
          ✔ pass  follow-ups   none is open

          api · asked by operator
        ");
        assert!(shown(&card).lines().count() <= 20);
        insta::assert_snapshot!(text(&card, PHONE), @r"
        ✔ pass  api: 4 of 4 instances ready

          ✔ pass  instances
                  4 wanted, 4 ready
          ✔ pass  latency
                  p50 212 ms, p95 467 ms, p99
                  493 ms (limit: p99 500 ms;
                  over 5 min)
          ✔ pass  errors
                  0 %, 0 of 11400 requests
                  (limit: 1 %; over 5 min)
          ✔ pass  CPU
                  mean 34 %, worst 34 % (limit:
                  70 %, each and mean; over
                  5 min)
          ✔ pass  memory
                  mean 24 %, worst 24 % (limit:
                  80 %, each and mean; over
                  5 min)
          ✔ pass  halt state
                  not halted, as every source
                  says
          ✔ pass  under way
                  nothing
          ✔ pass  escalations
                  none is open
          ✔ pass  follow-ups
                  none is open

          api · asked by operator
        ");
        assert_eq!(touched(&stage), Vec::<&str>::new());
    }

    fn much_goes_wrong(script: &mut Script) {
        let fleet = script.fleet.as_mut().unwrap();
        fleet.wanted = Replicas(9);
        for (at, state) in
            [InstanceState::Failed, InstanceState::NotReady, InstanceState::Starting, InstanceState::Terminating]
                .into_iter()
                .enumerate()
        {
            fleet.instances[at].state = state;
        }
        fleet.instances[0].detail = Some("exited with status 1".into());
        script.halt[1] = Ok(halted(true));
    }

    #[tokio::test]
    async fn while_an_operation_is_under_way_and_much_is_wrong() {
        let stage = Stage::new();
        stage.script().pools[0] = unreachable("the database");
        stage.play("/scale up 6").await;
        assert!(matches!(stage.take("/scale up 8", &rehearsed()).await, Received::Opened(_)));
        much_goes_wrong(&mut stage.script());
        let card = answer(&stage, "/scale status").await;
        insta::assert_snapshot!(shown(&card), @r"
        ✖ fail  api: 0 of 9 instances ready

          ▲ warn  instances     9 wanted, 0 ready
          ✖ fail  api-1         failed: exited with status 1
          ▲ warn  api-2         not ready
          · info  api-3         starting
          ▲ warn  not ready     and 1 more
          ▲ warn  missing       5 are not there at all
          ▲ warn  latency       p50 500 ms, p95 950 ms, p99 990 ms (limit: p99 500 ms;
                                over 5 min; a reason to scale up)
          ✔ pass  errors        0 %, 0 of 11400 requests (limit: 1 %; over 5 min)
          ✔ pass  CPU           mean 34 %, worst 34 % (limit: 70 %, each and mean; over
                                5 min)
          ✔ pass  memory        mean 24 %, worst 24 % (limit: 80 %, each and mean; over
                                5 min)
          ✖ fail  halt state    halt signals says halted since 2026-01-08 02:41:00 UTC
                                (consensus_failure), but halt table says not halted
                                (this counts as halted)
          · info  under way     /scale up 8 by operator since 2026-01-08 03:12:00 UTC:
                                looking at the fleet (7f3a02)
          ✖ fail  escalation 4  HIGH to the infrastructure team since 2026-01-08
                                03:12:00 UTC: cannot scale due to infrastructure limits
          ✔ pass  follow-ups    none is open

          api · asked by operator
        ");
        assert!(card.rows.len() + 2 <= 20);
    }

    #[tokio::test]
    async fn when_nothing_can_be_told() {
        let stage = Stage::with(|script| {
            script.fleet = unreachable("the world");
            script.before = None;
            script.halt = [unreachable("the halt table"), Ok(halted(false))];
        });
        insta::assert_snapshot!(shown(&answer(&stage, "/scale status").await), @r"
        ? unknown  api: the fleet cannot be seen

          ? unknown  instances    the world cannot be reached (connection refused)
          ? unknown  halt state   it cannot be told whether the system is halted: the
                                  halt table cannot be reached (connection refused)
          ✔ pass     under way    nothing
          ✔ pass     escalations  none is open
          ✔ pass     follow-ups   none is open

          api · asked by operator
        ");
    }
}

mod histories {
    use super::*;

    #[tokio::test]
    async fn of_nothing_and_of_all_sorts() {
        let stage = Stage::new();
        insta::assert_snapshot!(shown(&answer(&stage, "/scale history").await), @r"
        · info  No operation has ended yet
          api · asked by operator
        ");
        stage.play("/scale up 6").await;
        stage.play("/scale up 6").await;
        stage.script().arrive = (InstanceState::Failed, Some("exited with status 1".into()));
        stage.script().pools[0] =
            Ok(PoolBudget { limit: 1000, reserved: 3, others: 7, per_instance: 15, surge: 0, limit_of: None });
        stage.play("/scale up 8 reason:\"planned campaign\"").await;
        assert!(matches!(stage.take("/scale up 9", &rehearsed()).await, Received::Opened(_)));
        touched(&stage);
        insta::assert_snapshot!(shown(&answer(&stage, "/scale history").await), @r#"
        · info  The last 3 operations
          /scale up 9 is under way and not listed. See /scale status.
          There are no more.

          ▲ warn  2026-01-08 03:13 UTC  /scale up 8 reason:"planned campaign" by
                                        operator: taken back; still 6 (7f3a03)
          ▲ warn  2026-01-08 03:13 UTC  /scale up 6 by operator: refused; still 6
                                        (7f3a02)
          ✔ pass  2026-01-08 03:13 UTC  /scale up 6 by operator: done, improved; 4 → 6
                                        (7f3a01)

          api · asked by operator
        "#);
        let two = answer(&stage, "/scale history 2").await;
        assert_eq!((two.rows.len(), two.title.as_str()), (2, "The last 2 operations"));
        insta::assert_snapshot!(text(&answer(&stage, "/scale history 1").await, PHONE), @r#"
        · info  The last operation
          /scale up 9 is under way and not
            listed. See /scale status.

          ▲ warn  2026-01-08 03:13 UTC
                  /scale up 8 reason:"planned
                  campaign" by operator: taken
                  back; still 6 (7f3a03)

          api · asked by operator
        "#);
        assert_eq!(touched(&stage), Vec::<&str>::new());
    }
}

mod capacities {
    use super::*;

    #[tokio::test]
    async fn of_the_present_load_and_of_one_that_is_expected() {
        let stage = Stage::new();
        insta::assert_snapshot!(shown(&answer(&stage, "/scale capacity").await), @r"
        ✔ pass  38.0 requests/s, the present load: 3 instances needed
          There are 4, so 1 could go.
          To see whether that can be done: /scale plan 3
          Reckoned from how busy the instances are; latency is not predicted.

          · info  now           4 instances
          · info  one instance  17.8 requests/s at 75 % busy, which is the limit; 23.8
                                at most
          · info  load          38.0 requests/s over 5 min
          ✔ pass  free          60 % of what 4 instances could carry

          api · asked by operator
        ");
        insta::assert_snapshot!(shown(&answer(&stage, "/scale capacity 120.5").await), @r"
        ▲ warn  120.5 requests/s: 7 instances needed
          That is 3 more than there are.
          To see whether that can be done: /scale plan 7
          Reckoned from how busy the instances are; latency is not predicted.

          · info  now           4 instances
          · info  one instance  17.8 requests/s at 75 % busy, which is the limit; 23.8
                                at most
          · info  load          38.0 requests/s over 5 min
          ✔ pass  free          60 % of what 4 instances could carry

          api · asked by operator
        ");
        insta::assert_snapshot!(said(&answer(&stage, "/scale capacity 71").await), @r"
        ✔ pass  71 requests/s: 4 instances needed
          That is what there is.
          Reckoned from how busy the instances are; latency is not predicted.
          api · asked by operator
        ");
        insta::assert_snapshot!(said(&answer(&stage, "/scale capacity 999999").await), @r"
        ▲ warn  999999 requests/s: more than can be asked for
          Reckoned from how busy the instances are; latency is not predicted.
          api · asked by operator
        ");
        assert_eq!(touched(&stage), Vec::<&str>::new());
    }

    #[tokio::test]
    async fn beyond_the_maximum() {
        let mut policy = rehearsed();
        policy.count.maximum = Some(Replicas(5));
        let Answer::Card(card) = Stage::new().ask_under("viewer", "/scale capacity 120", &policy).await else {
            panic!()
        };
        insta::assert_snapshot!(said(&card), @r"
        ▲ warn  120 requests/s: 7 instances needed
          The fleet must not go beyond 5. Whoever keeps the configuration can lift
            that limit.
          Reckoned from how busy the instances are; latency is not predicted.
          api · asked by viewer
        ");
    }

    #[tokio::test]
    async fn that_could_not_be_measured() {
        let stage = Stage::with(|script| {
            script.before = None;
            script.after = None;
        });
        insta::assert_snapshot!(shown(&answer(&stage, "/scale capacity 120").await), @r"
        ? unknown  Capacity: not measured
          The metrics cannot be reached (connection refused).
          How many instances a load needs cannot be told without it.

          · info  now  4 instances

          api · asked by operator
        ");
        let idle = InstanceLoad {
            instance: InstanceId::new("api-1"),
            requests: 0,
            errors: 0,
            latency: scalebot_commands::figures::Histogram::default(),
            cpu: None,
            memory_bytes: None,
            saturation: None,
        };
        let silent = scalebot_commands::figures::Load {
            until: stage.script().now(),
            window: scalebot_commands::units::Millis(60_000),
            instances: vec![idle],
            missing: vec![],
        };
        assert_eq!(scalebot_commands::capacity::Capacity::measure(&silent), None);
    }
}

mod follow_ups {
    use super::*;

    #[tokio::test]
    async fn are_listed_and_closed_by_number_once() {
        let stage = Stage::with(|script| script.declared = Ok(Some(declares(4))));
        insta::assert_snapshot!(shown(&answer(&stage, "/scale followups").await), @r"
        ✔ pass  No follow-up is open
          api · asked by operator
        ");
        stage.play("/scale up 6").await;
        stage.script().clock += Duration::from_mins(90);
        let card = answer(&stage, "/scale followups").await;
        insta::assert_snapshot!(shown(&card), @r#"
        ▲ warn  2 follow-ups are open
          When one is done, say so: /scale followups close 10

          ▲ warn  10  Plan capacity, so that the next rise in load does not need a
                      scaling in a hurry. This scaling was reactive: over the limit:
                      latency. (7f3a01, 1 h 30 min old)
          ▲ warn  11  In deploy/api.yaml:14, change "replicas: 4" so that it says 6.
                      Whoever deploys next puts the declared count back. (7f3a01, 1 h
                      30 min old)

          api · asked by operator
        "#);
        assert!(!stage.script().events.iter().any(|event| event.kind == "follow_up_closed"));

        let number = &card.rows[0].name;
        let close = format!("/scale followups close {number} reason:\"budget is asked for\"");
        insta::assert_snapshot!(shown(&answer(&stage, &close).await), @r"
        ✔ pass  Follow-up 10 is closed
          Plan capacity, so that the next rise in load does not need a scaling in a
            hurry.
          1 is still open: /scale followups
          api · asked by operator
        ");
        let closed = stage.script().events.last().unwrap().clone();
        assert_eq!((closed.kind.as_str(), closed.operation), ("follow_up_closed", None));
        assert_eq!(closed.body, format!(r#"{{"follow_up":{number},"by":"operator","because":"budget is asked for"}}"#));
        insta::assert_snapshot!(refused(&stage, "operator", &close).await, @r"
        No follow-up with the number 10 is open. Nothing was done.
        To see which are: /scale followups
        ");
        assert_eq!(answer(&stage, "/scale followups").await.rows.len(), 1);
    }

    #[tokio::test]
    async fn about_the_declared_count_are_settled_once_it_agrees_and_only_then() {
        let stage = Stage::with(|script| script.declared = Ok(Some(declares(4))));
        stage.play("/scale up 6").await;
        stage.script().declared = unreachable("the repository");
        let untold = answer(&stage, "/scale followups").await;
        insta::assert_snapshot!(said(&untold), @r"
        ▲ warn  2 follow-ups are open
          When one is done, say so: /scale followups close 10
          Whether the declared count is settled could not be told: the repository
            cannot be reached (connection refused).
          api · asked by operator
        ");
        assert_eq!(untold.rows.len(), 2);
        stage.script().declared = Ok(None);
        assert_eq!(answer(&stage, "/scale followups").await.rows.len(), 2);

        stage.script().declared = Ok(Some(declares(6)));
        insta::assert_snapshot!(shown(&answer(&stage, "/scale followups").await), @r#"
        ▲ warn  1 follow-up is open
          When one is done, say so: /scale followups close 10

          ▲ warn  10  Plan capacity, so that the next rise in load does not need a
                      scaling in a hurry. This scaling was reactive: over the limit:
                      latency. (7f3a01, 0 s old)
          ✔ pass  11  settled, and closed just now: In deploy/api.yaml:14, change
                      "replicas: 4" so that it says 6. Whoever deploys next puts the
                      declared count back. (7f3a01, 0 s old)

          api · asked by operator
        "#);
        let closed = stage.script().events.last().unwrap().clone();
        assert!(closed.body.contains(r#""by":null"#), "{}", closed.body);
        assert_eq!(answer(&stage, "/scale followups").await.rows.len(), 1);
        assert_eq!(stage.script().events.iter().filter(|event| event.kind == "follow_up_closed").count(), 1);
    }

    #[tokio::test]
    async fn are_for_operators_and_a_refusal_is_on_record() {
        let stage = Stage::new();
        insta::assert_snapshot!(refused(&stage, "viewer", "/scale followups").await, @r"
        Only an operator may see the follow-ups. Nothing was done.
        Ask an operator.
        ");
        insta::assert_snapshot!(refused(&stage, "viewer", "/scale followups close 4").await, @r"
        Only an operator may close a follow-up. Nothing was done.
        Ask an operator.
        ");
        insta::assert_snapshot!(refused(&stage, "viewer", "/scale status target:web").await, @r#"
        There is no target "web". There is: api.
        Leave target: out to mean the first.
        "#);
        let kinds: Vec<String> = stage.script().events.iter().map(|event| event.kind.clone()).collect();
        assert_eq!(kinds, ["command_refused"; 3]);
    }
}
