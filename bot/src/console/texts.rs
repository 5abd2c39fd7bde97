//! Every card that the bot can show, as people read it: the real runbook plays on a stage, and what it shows is held
//! still. Read these as somebody tired would, on a phone.

mod asked;

use std::time::Duration;

use scalebot_commands::approval::Mark;
use scalebot_commands::card::{self, Card};
use scalebot_commands::context::Context;
use scalebot_commands::journal::{CancelRequested, Signal};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{
    Declared, EarlyWarning, FleetState, Headroom, InstanceState, OrderAnswer, PoolBudget, PortError, Slot, Steering,
};
use scalebot_commands::request::{Direction, Requested};
use scalebot_commands::steps::precheck::Plan;
use scalebot_commands::units::{InstanceId, OperationId, Person, Replicas, TargetName};

use super::style::{Colour, Style};
use super::text::text;
use crate::testing::{Ill, Manner, Script, Stage, halted, instance, load, unreachable};

const DESK: Style = Style { colour: Colour::Plain, unicode: true, width: 80 };
const PHONE: Style = Style { width: 40, ..DESK };

fn shown(card: &Card) -> String {
    text(card, DESK)
}

/// The same without its table, where that was shown before.
fn said(card: &Card) -> String {
    shown(&Card { rows: vec![], ..card.clone() })
}

/// The card of that place after the command was carried out on the stage.
async fn after(command: &str, slot: Slot, set_up: impl FnOnce(&mut Script)) -> Card {
    Stage::with(set_up).play(command).await.card(slot)
}

async fn precheck(command: &str, set_up: impl FnOnce(&mut Script)) -> Card {
    after(command, Slot::Precheck, set_up).await
}

mod prechecks {
    use super::*;

    #[tokio::test]
    async fn passed() {
        let card = precheck("/scale up 6 reason:\"planned campaign\"", |_| ()).await;
        insta::assert_snapshot!(shown(&card), @r"
        ✔ pass  Precheck passed: 4 → 6 (2 more)

          ✔ pass  instance count        4 now, 4 ready; asked for 6 (limit: at least 1,
                                        no maximum, step at most 100 %)
          ▲ warn  latency               p50 500 ms, p95 950 ms, p99 990 ms (limit: p99
                                        500 ms; over 5 min; a reason to scale up)
          ✔ pass  errors                0 %, 0 of 11400 requests (limit: 1 %; over
                                        5 min)
          ✔ pass  CPU                   mean 34 %, worst 34 % (limit: 70 %, each and
                                        mean; over 5 min)
          ✔ pass  memory                mean 24 %, worst 24 % (limit: 80 %, each and
                                        mean; over 5 min)
          ✔ pass  halt state            not halted: halt table, halt signals and all 4
                                        instances
          ✔ pass  complexity budget     ADRs 12 of 50, ceremony types 4 of 10
          ✔ pass  rationale             planned campaign
          ✔ pass  early warnings        none is active
          ✔ pass  database connections  97 needed: 6 × 15 + 7 of others (limit: 97 = 100
                                        − 3 reserved)
          ✔ pass  Redis connections     132 needed: 6 × 20 + 12 of others (limit: 10000)
          ✔ pass  load balancer         sends requests to 4 of 4 ready instances
          ✔ pass  room                  2 more fit, 2 wanted
          ✔ pass  who else steers       nobody else changes the count
          · info  declared count        no place of the declared count is configured

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(text(&card, PHONE), @r"
        ✔ pass  Precheck passed: 4 → 6 (2 more)

          ✔ pass  instance count
                  4 now, 4 ready; asked for 6
                  (limit: at least 1, no
                  maximum, step at most 100 %)
          ▲ warn  latency
                  p50 500 ms, p95 950 ms, p99
                  990 ms (limit: p99 500 ms;
                  over 5 min; a reason to scale
                  up)
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
                  not halted: halt table, halt
                  signals and all 4 instances
          ✔ pass  complexity budget
                  ADRs 12 of 50, ceremony types
                  4 of 10
          ✔ pass  rationale
                  planned campaign
          ✔ pass  early warnings
                  none is active
          ✔ pass  database connections
                  97 needed: 6 × 15 + 7 of
                  others (limit: 97 = 100 − 3
                  reserved)
          ✔ pass  Redis connections
                  132 needed: 6 × 20 + 12 of
                  others (limit: 10000)
          ✔ pass  load balancer
                  sends requests to 4 of 4 ready
                  instances
          ✔ pass  room
                  2 more fit, 2 wanted
          ✔ pass  who else steers
                  nobody else changes the count
          · info  declared count
                  no place of the declared count
                  is configured

          api · asked by operator · operation
          7f3a01
        ");
    }

    #[tokio::test]
    async fn passed_with_remarks() {
        let card = precheck("/scale up 6", |script| {
            script.before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
            script.ill.insert("api-3", Ill::Unrouted);
            script.complexity.as_mut().unwrap().dimensions[1].used = 9;
            script.declared = Ok(Some(Declared {
                count: Replicas(3),
                place: "deploy/api.yaml:14".into(),
                line: "replicas: 3".into(),
            }));
            script.halt[0].as_mut().unwrap().cleared_at = Some("2026-01-07T21:12:00Z".parse().unwrap());
            script.steered_by =
                Err(PortError::Refused { what: "the cluster".into(), detail: "may not list HPAs".into() });
            script.warnings = vec![EarlyWarning {
                mode: "pool_exhaustion".into(),
                metric: "db_pool_used".into(),
                value: 0.92,
                threshold: 0.9,
                critical: false,
                recommended: "scale".into(),
            }];
        });
        insta::assert_snapshot!(shown(&card.await), @r#"
        ✔ pass  Precheck passed, with remarks: 4 → 6 (2 more)
          Halt state: The last halt was cleared 6 h ago; for 48 h after that, take
            care.
          Complexity budget: Close to the limit. Scaling adds operational complexity.
          Rationale: No limit is known to be exceeded, and no reason was given. Next
            time add: reason:"…"
          Early warnings: Look at what they name as well; they count as a reason for
            this scaling.
          Load balancer: Some ready instances get no requests. That may be all that is
            wrong.
          Who else steers: If an autoscaler or a deployment tool changes the count as
            well, it may take this change back.
          Declared count: Whoever deploys next puts back 3. Change "replicas: 3" in
            deploy/api.yaml:14.

          ✔ pass     instance count        4 now, 4 ready; asked for 6 (limit: at least
                                           1, no maximum, step at most 100 %)
          ✔ pass     latency               p50 212 ms, p95 467 ms, p99 493 ms (limit:
                                           p99 500 ms; over 5 min)
          ✔ pass     errors                0 %, 0 of 11400 requests (limit: 1 %; over
                                           5 min)
          ✔ pass     CPU                   mean 34 %, worst 34 % (limit: 70 %, each and
                                           mean; over 5 min)
          ✔ pass     memory                mean 24 %, worst 24 % (limit: 80 %, each and
                                           mean; over 5 min)
          ▲ warn     halt state            not halted: halt table, halt signals and all
                                           4 instances
          ▲ warn     complexity budget     ADRs 12 of 50, ceremony types 9 of 10
          ▲ warn     rationale             no reason given
          ▲ warn     early warnings        pool_exhaustion (warning): db_pool_used 0.92
                                           beyond 0.9 (a reason to scale up)
          ✔ pass     database connections  97 needed: 6 × 15 + 7 of others (limit: 97 =
                                           100 − 3 reserved)
          ✔ pass     Redis connections     132 needed: 6 × 20 + 12 of others (limit:
                                           10000)
          ▲ warn     load balancer         sends requests to 3 of 4 ready instances
          ✔ pass     room                  2 more fit, 2 wanted
          ? unknown  who else steers       the cluster refused: may not list HPAs
          ▲ warn     declared count        3 declared, 4 live

          api · asked by operator · operation 7f3a01
        "#);
    }

    #[tokio::test]
    async fn passed_though_nothing_is_known_of_the_load() {
        insta::assert_snapshot!(said(&precheck("/scale up 6", |script| script.before = None).await), @r#"
        ✔ pass  Precheck passed, with remarks: 4 → 6 (2 more)
          Latency, errors, CPU, memory: It can go on without, but whether it helps may
            not be known afterwards.
          Rationale: No limit is known to be exceeded, and no reason was given. Next
            time add: reason:"…"
          api · asked by operator · operation 7f3a01
        "#);
    }

    #[tokio::test]
    async fn refused_because_of_the_count() {
        let refused = |command: &'static str| async move { said(&precheck(command, |_| ()).await) };
        insta::assert_snapshot!(refused("/scale up 4").await, @r"
        ✖ fail  Refused: 4 → 4 (no change)
          Instance count: 4 now, 4 ready; asked for 4.
          The fleet has 4 already. Nothing is to be done.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(refused("/scale up 3").await, @r"
        ✖ fail  Refused: 4 → 3 (1 fewer)
          Instance count: 4 now, 4 ready; asked for 3.
          3 is fewer than the 4 there are. For 3 more: /scale up 7. For fewer: /scale
            down 3.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(refused("/scale up 9").await, @r"
        ✖ fail  Refused: 4 → 9 (5 more)
          Instance count: 4 now, 4 ready; asked for 9.
          One step may change the count by at most 100 %: ask for 8 first, then again.
            Whoever keeps the configuration can lift that limit.
          Database connections: 142 needed: 9 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn refused_during_the_cool_down_and_beyond_the_maximum() {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        policy.count.cool_down = Duration::from_mins(5);
        policy.count.maximum = Some(Replicas(8));
        let stage = Stage::new();
        stage.play_under("/scale up 6", &policy).await;
        stage.script().clock += Duration::from_millis(72_400);
        stage.play_under("/scale up 8", &policy).await;
        insta::assert_snapshot!(said(&stage.card(Slot::Precheck)), @"
        ✖ fail  Refused: 6 → 8 (2 more)
          Instance count: 6 now, 6 ready; asked for 8.
          The last scaling ended 72 s ago; 5 min have to pass. Ask again in 3 min
            48 s. Whoever keeps the configuration can lift that limit.
          Database connections: 127 needed: 8 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nothing was changed.
          api · asked by operator · operation 7f3a02
        ");
        stage.script().clock += Duration::from_mins(5);
        stage.play_under("/scale up 9", &policy).await;
        insta::assert_snapshot!(said(&stage.card(Slot::Precheck)), @r"
        ✖ fail  Refused: 6 → 9 (3 more)
          Instance count: 6 now, 6 ready; asked for 9.
          The fleet must not go beyond 8. Whoever keeps the configuration can lift
            that limit.
          Database connections: 142 needed: 9 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nothing was changed.
          api · asked by operator · operation 7f3a03
        ");
    }

    #[tokio::test]
    async fn refused_because_the_database_is_full() {
        insta::assert_snapshot!(shown(&precheck("/scale up 7", |_| ()).await), @r"
        ✖ fail  Refused: 4 → 7 (3 more)
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Nothing was changed.

          ✔ pass  instance count        4 now, 4 ready; asked for 7 (limit: at least 1,
                                        no maximum, step at most 100 %)
          ▲ warn  latency               p50 500 ms, p95 950 ms, p99 990 ms (limit: p99
                                        500 ms; over 5 min; a reason to scale up)
          ✔ pass  errors                0 %, 0 of 11400 requests (limit: 1 %; over
                                        5 min)
          ✔ pass  CPU                   mean 34 %, worst 34 % (limit: 70 %, each and
                                        mean; over 5 min)
          ✔ pass  memory                mean 24 %, worst 24 % (limit: 80 %, each and
                                        mean; over 5 min)
          ✔ pass  halt state            not halted: halt table, halt signals and all 4
                                        instances
          ✔ pass  complexity budget     ADRs 12 of 50, ceremony types 4 of 10
          ✔ pass  rationale             over the limit: latency
          ✔ pass  early warnings        none is active
          ✖ fail  database connections  112 needed: 7 × 15 + 7 of others (limit: 97 =
                                        100 − 3 reserved)
          ✔ pass  Redis connections     152 needed: 7 × 20 + 12 of others (limit: 10000)
          ✔ pass  load balancer         sends requests to 4 of 4 ready instances
          ✔ pass  room                  3 more fit, 3 wanted
          ✔ pass  who else steers       nobody else changes the count
          · info  declared count        no place of the declared count is configured

          api · asked by operator · operation 7f3a01
        ");
        let full = precheck("/scale up 5", |script| {
            script.pools[0] =
                Ok(PoolBudget { limit: 100, reserved: 3, others: 90, per_instance: 15, surge: 10, limit_of: None });
        });
        insta::assert_snapshot!(said(&full.await), @r"
        ✖ fail  Refused: 4 → 5 (1 more)
          Database connections: 175 needed: 5 × 15 + 90 of others + 10 while rolling
            out.
          Beside the connections of others not one instance fits. Raise the server's
            limit or make each pool smaller, then ask again.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn refused_because_there_is_no_room() {
        let with_room = |fits| {
            precheck("/scale up 6", move |script| {
                let runs_out = Some("the rehearsal's room for 4 instances".to_owned());
                script.headroom = Ok(Headroom { fits: Replicas(fits), runs_out, source: "the world".into() });
            })
        };
        insta::assert_snapshot!(said(&with_room(0).await), @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Room: 0 more fit, 2 wanted: the rehearsal's room for 4 instances is used up.
          Make room first, then ask again. The infrastructure team can.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(said(&with_room(1).await), @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Room: 1 more fit, 2 wanted: the rehearsal's room for 4 instances is used up.
          Ask for 5 at most, or make room first.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn refused_because_of_the_load_balancer() {
        let absent = precheck("/scale up 6", |script| {
            let what = "the load balancer".to_owned();
            script.routing = Err(PortError::NotServed { what, detail: "no backend api".to_owned() });
        });
        insta::assert_snapshot!(said(&absent.await), @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Load balancer: the load balancer does not serve this (no backend api).
          New instances might get no requests. See that it is there and can be asked,
            then ask again.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
        let others = precheck("/scale up 6", |script| {
            script.ill = ["api-1", "api-2", "api-3", "api-4"].map(|id| (id, Ill::Unrouted)).into();
        });
        insta::assert_snapshot!(said(&others.await), @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Load balancer: sends requests to 0 of 4 ready instances.
          It knows none of this fleet's instances, so new ones would not help. Check
            what it selects.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn refused_because_an_autoscaler_steers() {
        let steered = precheck("/scale up 6", |script| {
            script.steered_by = Ok(vec![Steering {
                by: "HorizontalPodAutoscaler archon72-api".into(),
                effect: "would set the count back to at most 4".into(),
                settled_by: "kubectl patch hpa archon72-api -p '{\"spec\":{\"maxReplicas\":6}}'".into(),
                hold: None,
            }]);
        });
        insta::assert_snapshot!(said(&steered.await), @r#"
        ✖ fail  Refused: 4 → 6 (2 more)
          Who else steers: HorizontalPodAutoscaler archon72-api would set the count
            back to at most 4.
          What settles it: kubectl patch hpa archon72-api -p
            '{"spec":{"maxReplicas":6}}' (then ask again).
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        "#);
    }

    #[tokio::test]
    async fn refused_because_it_cannot_be_told() {
        let unknown = precheck("/scale up 6", |script| {
            script.pools = [unreachable("the database"), unreachable("Redis")];
            script.routing = unreachable("the load balancer");
            script.headroom = Err(PortError::TimedOut { what: "the quota".into(), limit: Duration::from_secs(5) });
        });
        insta::assert_snapshot!(shown(&unknown.await), @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Database connections: the database cannot be reached (connection refused).
          New instances may take the last connections. See that the server can be
            asked, then ask again.
          Redis connections: Redis cannot be reached (connection refused).
          Load balancer: the load balancer cannot be reached (connection refused).
          New instances might get no requests. See that it is there and can be asked,
            then ask again.
          Room: the quota did not answer within 5 s.
          It cannot be told whether more instances find room. See that it can be
            asked, then ask again.
          Nothing was changed.

          ✔ pass     instance count        4 now, 4 ready; asked for 6 (limit: at least
                                           1, no maximum, step at most 100 %)
          ▲ warn     latency               p50 500 ms, p95 950 ms, p99 990 ms (limit:
                                           p99 500 ms; over 5 min; a reason to scale up)
          ✔ pass     errors                0 %, 0 of 11400 requests (limit: 1 %; over
                                           5 min)
          ✔ pass     CPU                   mean 34 %, worst 34 % (limit: 70 %, each and
                                           mean; over 5 min)
          ✔ pass     memory                mean 24 %, worst 24 % (limit: 80 %, each and
                                           mean; over 5 min)
          ✔ pass     halt state            not halted: halt table, halt signals and all
                                           4 instances
          ✔ pass     complexity budget     ADRs 12 of 50, ceremony types 4 of 10
          ✔ pass     rationale             over the limit: latency
          ✔ pass     early warnings        none is active
          ? unknown  database connections  the database cannot be reached (connection
                                           refused)
          ? unknown  Redis connections     Redis cannot be reached (connection refused)
          ? unknown  load balancer         the load balancer cannot be reached
                                           (connection refused)
          ? unknown  room                  the quota did not answer within 5 s
          ✔ pass     who else steers       nobody else changes the count
          · info     declared count        no place of the declared count is configured

          api · asked by operator · operation 7f3a01
        ");
        let unseen = precheck("/scale up 6", |script| script.fleet = unreachable("the rehearsal's world"));
        insta::assert_snapshot!(shown(&unseen.await), @r"
        ✖ fail  Refused: ? → 6
          The rehearsal's world cannot be reached (connection refused).
          Nothing is done to a fleet that cannot be seen. Ask again when it can be.
          Nothing was changed.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn approval_needed() {
        let told = |set_up: fn(&mut Script)| async move { said(&precheck("/scale up 6", set_up).await) };
        insta::assert_snapshot!(told(|script| script.halt = [Ok(halted(true)), Ok(halted(true))]).await, @r"
        ▲ warn  Approval needed: 4 → 6 (2 more)
          Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00
            UTC (consensus_failure).
          Scaling during a halt needs a governance lead's approval.
          Nothing is changed until a governance lead has approved it.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(told(|script| script.halt[1] = Ok(halted(true))).await, @r"
        ▲ warn  Approval needed: 4 → 6 (2 more)
          Halt state: halt signals says halted since 2026-01-08 02:41:00 UTC
            (consensus_failure), but halt table says not halted.
          Sources that disagree count as halted, so a governance lead has to approve.
            Bring them to agree, too.
          Nothing is changed until a governance lead has approved it.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(told(|script| script.halt[1] = unreachable("halt signals")).await, @r"
        ▲ warn  Approval needed: 4 → 6 (2 more)
          Halt state: it cannot be told whether the system is halted: halt signals
            cannot be reached (connection refused).
          Without proof that there is no halt, a governance lead has to approve.
          Nothing is changed until a governance lead has approved it.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(told(|script| _ = script.ill.insert("api-2", Ill::Halted)).await, @r"
        ▲ warn  Approval needed: 4 → 6 (2 more)
          Halt state: instance api-2 says halted, the sources of truth say not halted.
          An instance that disagrees counts as halted, so a governance lead has to
            approve. Look at it first.
          Nothing is changed until a governance lead has approved it.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(told(|script| script.complexity.as_mut().unwrap().dimensions[0].used = 51).await, @r"
        ▲ warn  Approval needed: 4 → 6 (2 more)
          Complexity budget: ADRs 51 of 50, ceremony types 4 of 10.
          Over its limit: ADRs. A governance lead has to approve.
          Nothing is changed until a governance lead has approved it.
          api · asked by operator · operation 7f3a01
        ");
    }
}

mod approvals {
    use super::*;

    fn both_halted(script: &mut Script) {
        script.halt = [Ok(halted(true)), Ok(halted(true))];
    }

    #[tokio::test]
    async fn asking() {
        let stage = Stage::with(both_halted);
        stage.play("/scale up 6 reason:\"planned campaign\"").await;
        let first = &stage.cards(Slot::Approval)[0];
        insta::assert_snapshot!(shown(first), @"
        ▲ warn  A governance lead has to decide: 4 → 6 (2 more)
          Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00
            UTC (consensus_failure).
          Scaling during a halt needs a governance lead's approval.
          The count to go back to, should it make things worse: 4.
          Decide within 15 min: one ✅ approves it, one ❌ rejects it.
          operator asked for it, so somebody else has to approve.

          ✖ fail  halt table    halted since 2026-01-08 02:41:00 UTC
          ✖ fail  halt signals  halted since 2026-01-08 02:41:00 UTC
          · info  reason        planned campaign

          api · asked by operator · operation 7f3a01 · request e7de0f83
        ");
        insta::assert_snapshot!(text(first, PHONE), @"
        ▲ warn  A governance lead has to decide:
                4 → 6 (2 more)
          Halt state: halt table and halt
            signals say halted since 2026-01-08
            02:41:00 UTC (consensus_failure).
          Scaling during a halt needs a
            governance lead's approval.
          The count to go back to, should it
            make things worse: 4.
          Decide within 15 min: one ✅
            approves it, one ❌ rejects it.
          operator asked for it, so somebody
            else has to approve.

          ✖ fail  halt table
                  halted since 2026-01-08
                  02:41:00 UTC
          ✖ fail  halt signals
                  halted since 2026-01-08
                  02:41:00 UTC
          · info  reason
                  planned campaign

          api · asked by operator · operation
          7f3a01 · request e7de0f83
        ");
    }

    #[tokio::test]
    async fn asking_again_after_what_was_approved_has_changed() {
        let stage = Stage::with(|script| {
            both_halted(script);
            script.complexity.as_mut().unwrap().dimensions[0].used = 51;
            script.on_show = |script, _, card| {
                if card.ask.is_some() && script.halt[1].as_ref().is_ok_and(|says| says.halted) {
                    script.halt[1] = Ok(halted(false));
                    script.complexity.as_mut().unwrap().dimensions[0].used = 12;
                    script.vote(card, "lead", Mark::Approve);
                }
            };
        });
        stage.play("/scale up 6").await;
        let again = stage.cards(Slot::Approval).into_iter().rfind(|card| card.ask.is_some()).unwrap();
        insta::assert_snapshot!(shown(&again), @"
        ▲ warn  A governance lead has to decide: 4 → 6 (2 more)
          Halt state: halt table says halted since 2026-01-08 02:41:00 UTC
            (consensus_failure), but halt signals says not halted.
          Sources that disagree count as halted, so a governance lead has to approve.
            Bring them to agree, too.
          What was asked before is void. Changed since:
          Complexity budget: fail before, pass now.
          Halt signals: halted since 2026-01-08 02:41:00 UTC before, not halted now.
          The count to go back to, should it make things worse: 4.
          Decide within 15 min: one ✅ approves it, one ❌ rejects it.
          operator asked for it, so somebody else has to approve.

          ✖ fail  halt table    halted since 2026-01-08 02:41:00 UTC
          ✔ pass  halt signals  not halted
          · info  reason        none given

          api · asked by operator · operation 7f3a01 · request cfdc561b
        ");
    }

    #[tokio::test]
    async fn asking_several() {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        policy.approval.quorum = 2;
        policy.approval.requester_may = true;
        let stage = Stage::with(both_halted);
        stage.play_under("/scale up 6", &policy).await;
        insta::assert_snapshot!(said(&stage.cards(Slot::Approval)[0]), @"
        ▲ warn  A governance lead has to decide: 4 → 6 (2 more)
          Halt state: halt table and halt signals say halted since 2026-01-08 02:41:00
            UTC (consensus_failure).
          Scaling during a halt needs a governance lead's approval.
          The count to go back to, should it make things worse: 4.
          Decide within 15 min: 2 ✅ approve it, one ❌ rejects it.
          api · asked by operator · operation 7f3a01 · request 261a2c91
        ");
    }

    #[tokio::test]
    async fn decided() {
        let decided = |on_show: fn(&mut Script, Slot, &Card)| async move {
            let stage = Stage::with(|script| {
                both_halted(script);
                script.on_show = on_show;
            });
            shown(&stage.play("/scale up 6").await.card(Slot::Approval))
        };
        insta::assert_snapshot!(decided(|script, _, card| script.vote(card, "lead", Mark::Approve)).await, @"
        ✔ pass  Approved: 4 → 6 (2 more)
          Approved by lead.
          It holds for 10 min, and for exactly this.
          Everything is checked once more just before; what has changed makes it void.
          api · asked by operator · operation 7f3a01 · request e7de0f83
        ");
        insta::assert_snapshot!(decided(|script, _, card| script.vote(card, "lead", Mark::Reject)).await, @"
        ✖ fail  Rejected: 4 → 6 (2 more)
          Rejected by lead.
          Nothing was changed.
          api · asked by operator · operation 7f3a01 · request e7de0f83
        ");
        insta::assert_snapshot!(decided(|_, _, _| ()).await, @"
        ✖ fail  Expired: 4 → 6 (2 more)
          No governance lead decided within 15 min.
          Nothing was changed. Ask again.
          api · asked by operator · operation 7f3a01 · request e7de0f83
        ");
        let cancelled = decided(|script, _, card| {
            if card.ask.is_some() {
                script.signal(Signal::Cancel(CancelRequested { by: Person::new("operator") }));
            }
        });
        insta::assert_snapshot!(cancelled.await, @"
        ▲ warn  Cancelled: 4 → 6 (2 more)
          Cancelled by operator.
          Nothing was changed.
          api · asked by operator · operation 7f3a01 · request e7de0f83
        ");
    }
}

mod escalations {
    use super::*;

    #[tokio::test]
    async fn infrastructure_limits() {
        insta::assert_snapshot!(shown(&after("/scale up 7", Slot::Escalation, |_| ()).await), @r"
        ✖ fail  HIGH for the infrastructure team: cannot scale due to infrastructure
                limits
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          Remove what is in the way; then the operator asks again.
          Acknowledge it within 15 min. Type: acknowledge
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn scaling_during_a_halt() {
        let card = after("/scale up 6", Slot::Escalation, |script| script.halt[1] = Ok(halted(true))).await;
        insta::assert_snapshot!(shown(&card), @r"
        ✖ fail  CRITICAL for the governance lead: scaling during halt
          Halt state: halt signals says halted since 2026-01-08 02:41:00 UTC
            (consensus_failure), but halt table says not halted.
          Sources that disagree count as halted, so a governance lead has to approve.
            Bring them to agree, too.
          The request to decide on follows.
          Acknowledge it at once. Type: acknowledge
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn inconsistent_instances() {
        let card = after("/scale up 6", Slot::Escalation, |script| {
            script.ill.insert("api-5", Ill::OtherChain);
            script.ill.insert("api-6", Ill::Halted);
        });
        insta::assert_snapshot!(shown(&card.await), @"
        ✖ fail  CRITICAL for the system architect: consistency issues after scaling
          api-5, chain: another event than the rest of the fleet at sequence 18.
          api-6, halt: says halted, the source of truth says not halted.
          Look at the instances named before anything else is changed.
          Acknowledge it at once. Type: acknowledge
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn no_improvement() {
        let card = after("/scale up 6", Slot::Escalation, |script| script.after = script.before).await;
        insta::assert_snapshot!(shown(&card), @"
        ▲ warn  MEDIUM for the system architect: performance not improving after scaling
          p99 latency 988 ms, limit 500 ms (16 samples).
          Look at the figures, and at what else may be slow.
          Acknowledge it within 1 h. Type: acknowledge
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(text(&card, PHONE), @"
        ▲ warn  MEDIUM for the system architect:
                performance not improving after
                scaling
          p99 latency 988 ms, limit 500 ms (16
            samples).
          Look at the figures, and at what
            else may be slow.
          Acknowledge it within 1 h. Type:
            acknowledge
          api · asked by operator · operation
          7f3a01
        ");
    }
}

mod progress {
    use super::*;

    /// Makes a card in the surroundings of an operation under way.
    fn under_way(draw: impl FnOnce(&Context<'_>) -> Card) -> Card {
        let ports = Stage::new().ports();
        let policy = Policy::default();
        let operation = OperationId::new("019b9b3a-7f3a01");
        let request = Requested {
            runbook: 1,
            command: "/scale up 6".into(),
            by: Person::new("operator"),
            target: TargetName::new("api"),
            direction: Direction::Up,
            to: Replicas(6),
            reason: None,
            undoes: None,
            policy: policy.digest().to_string(),
            monitor: policy.time.monitor.into(),
        };
        let (ports, policy, operation, request) = (&ports, &policy, &operation, &request);
        draw(&Context { ports, policy, operation, request, reason: None })
    }

    #[test]
    fn waiting() {
        let plan = Plan {
            identity: "world-1".into(),
            generation: 1,
            from: Replicas(1),
            to: Replicas(6),
            rollback_to: Replicas(1),
            present: vec![InstanceId::new("api-1")],
            ready: vec![InstanceId::new("api-1")],
            precondition: scalebot_commands::ports::Precondition::Enforced,
            triggers: vec![],
            victims: vec![],
            unnamed: None,
            holds: vec![],
        };
        let fleet = FleetState {
            instances: vec![
                instance("api-1", InstanceState::Ready, None),
                instance("api-2", InstanceState::Ready, None),
                instance("api-3", InstanceState::Starting, None),
                instance("api-4", InstanceState::NotReady, Some("answers 503: database")),
                instance("api-5", InstanceState::Failed, Some("exit status 1")),
                instance("api-6", InstanceState::Terminating, None),
            ],
            ..FleetState::unseen(Replicas(6))
        };
        let (spent, left) = (Duration::from_millis(12_700), Duration::from_millis(587_300));
        insta::assert_snapshot!(shown(&under_way(|cx| card::waiting(cx, &plan, &fleet, spent, left))), @r"
        · info  Scaling: 2 of 6 instances ready
          12 s so far; 9 min 47 s more to become ready.

          ✔ pass  api-2  ready
          · info  api-3  starting
          ▲ warn  api-4  not ready: answers 503: database
          ✖ fail  api-5  failed: exit status 1
          ▲ warn  api-6  on its way out

          █████████████░░░░░░░░░░░░░░░░░░░░░░░░░░░  33 %

          api · asked by operator · operation 7f3a01
        ");
    }

    #[test]
    fn monitoring() {
        let window = Duration::from_mins(15);
        let new: Vec<InstanceId> = ["api-5", "api-6"].map(InstanceId::new).into();
        let at = |latest: Option<&_>, seconds| {
            shown(&under_way(|cx| card::monitoring(cx, latest, &new, Duration::from_secs(seconds), window)))
        };
        insta::assert_snapshot!(at(None, 0), @r"
        · info  Monitoring: 15 min left
          No figures yet.

          ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░   0 %

          api · asked by operator · operation 7f3a01
        ");
        let names = ["api-1", "api-2", "api-3", "api-4", "api-5", "api-6"]
            .map(|name| (name, new.iter().any(|id| id.as_str() == name)));
        let manner = Manner { old_ms: 400.0, new_ms: 400.0, failing: 2 };
        let sample = load("2026-01-08T03:17:00Z".parse().unwrap(), Duration::from_secs(15), manner, &names);
        insta::assert_snapshot!(at(Some(&sample), 315), @r"
        · info  Monitoring: 9 min 45 s left
          Latency: p50 211 ms, p95 466 ms, p99 493 ms (limit 500 ms).
          Errors: 2.11 % (limit 1 %), 12 of 570 requests.
          Requests: api-1 17 %, api-2 17 %, api-3 17 %, api-4 17 %, api-5 (new) 17 %,
            api-6 (new) 17 %.

          ██████████████░░░░░░░░░░░░░░░░░░░░░░░░░░  35 %

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(at(Some(&sample), 900), @r"
        · info  Monitoring: 0 s left
          Latency: p50 211 ms, p95 466 ms, p99 493 ms (limit 500 ms).
          Errors: 2.11 % (limit 1 %), 12 of 570 requests.
          Requests: api-1 17 %, api-2 17 %, api-3 17 %, api-4 17 %, api-5 (new) 17 %,
            api-6 (new) 17 %.

          ████████████████████████████████████████ 100 %

          api · asked by operator · operation 7f3a01
        ");
    }

    #[test]
    fn the_time_that_passes_is_said_as_people_say_it() {
        let left = |seconds| {
            let window = Duration::from_secs(seconds);
            under_way(|cx| card::monitoring(cx, None, &[], Duration::ZERO, window)).title
        };
        let said = [0, 59, 900, 3_600, 3_700].map(left);
        let wanted = ["0 s", "59 s", "15 min", "1 h", "1 h 1 min"].map(|left| format!("Monitoring: {left} left"));
        assert_eq!(said, wanted);
    }
}

mod verifications {
    use super::*;

    async fn verified(set_up: impl FnOnce(&mut Script)) -> String {
        shown(&after("/scale up 6", Slot::Verification, set_up).await)
    }

    #[tokio::test]
    async fn passed() {
        insta::assert_snapshot!(verified(|_| ()).await, @r"
        ✔ pass  Verified: 6 instances consistent, 2 of them new

          ✔ pass  api-1        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-2        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-3        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-4        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-5 (new)  ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-6 (new)  ok: health, ready, routed, keys, halt, chain

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(verified(|script| script.keys = false).await, @r"
        ✔ pass  Verified: 6 instances consistent, 2 of them new

          ✔ pass  api-1        ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys
          ✔ pass  api-2        ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys
          ✔ pass  api-3        ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys
          ✔ pass  api-4        ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys
          ✔ pass  api-5 (new)  ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys
          ✔ pass  api-6 (new)  ok: health, ready, routed, halt, chain; cannot be asked
                               here: keys

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn failing() {
        let found = verified(|script| {
            script.ill = [("api-4", Ill::Unrouted), ("api-5", Ill::Unready), ("api-6", Ill::NoKeys)].into();
        });
        insta::assert_snapshot!(found.await, @"
        ✖ fail  Verification failed: an instance does not do its work
          api-4, routed: the load balancer knows it but sends it nothing.
          api-5, ready: not ready: database (too many connections).
          api-6, keys: does not reach its keys: HSM slot 3: session refused.

          ✔ pass  api-1        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-2        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-3        ok: health, ready, routed, keys, halt, chain
          ✖ fail  api-4        fails: routed; ok: health, ready, keys, halt, chain
          ✖ fail  api-5 (new)  fails: ready; ok: health, routed, keys, halt, chain
          ✖ fail  api-6 (new)  fails: keys; ok: health, ready, routed, halt, chain

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(verified(|script| _ = script.ill.insert("api-6", Ill::Down)).await, @"
        ✖ fail  Verification failed: an instance does not do its work
          api-6, health: not healthy.

          ✔ pass  api-1        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-2        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-3        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-4        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-5 (new)  ok: health, ready, routed, keys, halt, chain
          ✖ fail  api-6 (new)  fails: health; ok: ready, routed, keys, halt, chain

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn inconsistent() {
        let found = verified(|script| script.ill = [("api-5", Ill::OtherChain), ("api-6", Ill::Halted)].into());
        insta::assert_snapshot!(found.await, @"
        ✖ fail  Verification failed: instances contradict each other
          api-5, chain: another event than the rest of the fleet at sequence 18.
          api-6, halt: says halted, the source of truth says not halted.

          ✔ pass  api-1        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-2        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-3        ok: health, ready, routed, keys, halt, chain
          ✔ pass  api-4        ok: health, ready, routed, keys, halt, chain
          ✖ fail  api-5 (new)  fails: chain; ok: health, ready, routed, keys, halt
          ✖ fail  api-6 (new)  fails: halt; ok: health, ready, routed, keys, chain

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn inconclusive() {
        let found = verified(|script| script.ill = [("api-5", Ill::Behind), ("api-6", Ill::Unknown)].into());
        insta::assert_snapshot!(found.await, @r"
        ? unknown  Verification inconclusive: not everything could be told
          api-5, chain: no event at sequence 18 yet.
          api-6, health, ready, keys, halt, chain: instance api-6 cannot be reached
            (connection refused).

          ✔ pass     api-1        ok: health, ready, routed, keys, halt, chain
          ✔ pass     api-2        ok: health, ready, routed, keys, halt, chain
          ✔ pass     api-3        ok: health, ready, routed, keys, halt, chain
          ✔ pass     api-4        ok: health, ready, routed, keys, halt, chain
          ? unknown  api-5 (new)  not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-6 (new)  not known: health, ready, keys, halt, chain; ok:
                                  routed

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(verified(|script| script.head = Ok(None)).await, @r"
        ? unknown  Verification inconclusive: not everything could be told
          api-1, api-2, api-3, api-4, api-5, api-6, chain: the hash chain has no
            events, so nothing can be compared.

          ? unknown  api-1        not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-2        not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-3        not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-4        not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-5 (new)  not known: chain; ok: health, ready, routed, keys,
                                  halt
          ? unknown  api-6 (new)  not known: chain; ok: health, ready, routed, keys,
                                  halt

          api · asked by operator · operation 7f3a01
        ");
    }
}

mod questions {
    use super::*;

    #[tokio::test]
    async fn why_is_it_done() {
        let card = after("/scale up 6", Slot::Question, |script| {
            script.before = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
            script.attended = true;
        });
        insta::assert_snapshot!(shown(&card.await), @r#"
        · info  Why is this done?
          No limit is known to be exceeded, and no reason was given.
          operator: answer within 2 min, for the record. Type "reason: TEXT".
          It goes on either way.
          api · asked by operator · operation 7f3a01
        "#);
    }

    #[tokio::test]
    async fn do_they_reach_their_keys() {
        let card = after("/scale up 6", Slot::Question, |script| (script.keys, script.attended) = (false, true)).await;
        insta::assert_snapshot!(shown(&card), @r#"
        ▲ warn  Do the new instances reach their signing keys?
          Nothing is configured that could tell for api-5, api-6.
          An operator who has looked says so within 2 min. Type "attest: TEXT".
          Without an operator's word the verification is inconclusive.
          api · asked by operator · operation 7f3a01
        "#);
    }
}

mod summaries {
    use super::*;

    async fn summary(command: &str, set_up: impl FnOnce(&mut Script)) -> String {
        shown(&after(command, Slot::Summary, set_up).await)
    }

    const FAST: Option<Manner> = Some(Manner { old_ms: 400.0, new_ms: 400.0, failing: 0 });
    const FAILING: Option<Manner> = Some(Manner { old_ms: 900.0, new_ms: 900.0, failing: 4 });
    const NEW_ONES_SLOW: Option<Manner> = Some(Manner { old_ms: 300.0, new_ms: 1_400.0, failing: 0 });

    fn cancel(script: &Script) {
        script.signal(Signal::Cancel(CancelRequested { by: Person::new("operator") }));
    }

    #[tokio::test]
    async fn done_and_improved() {
        let card = after("/scale up 6", Slot::Summary, |_| ()).await;
        insta::assert_snapshot!(shown(&card), @r"
        ✔ pass  Done, improved: 4 → 6 (2 more)
          p99 latency 492 ms, before 990 ms, more than chance explains (16 samples).
          All instances agree on halt and hash chain.
          Mean latency of the new instances was 214 ms, of the others at the same time
            214 ms (16 samples).
          0 % of the requests failed on the new instances, 0 % on the others at the
            same time (16 samples).
          The fleet has 6 instances now.

          · info  p50       500 ms → 198 ms
          · info  p95       950 ms → 460 ms
          ✔ pass  p99       990 ms → 492 ms (limit 500 ms)
          ✔ pass  errors    0 % → 0 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ✔ pass  observed  60 s of 60 s, 20 samples

          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(text(&card, PHONE), @r"
        ✔ pass  Done, improved: 4 → 6 (2 more)
          p99 latency 492 ms, before 990 ms,
            more than chance explains (16
            samples).
          All instances agree on halt and hash
            chain.
          Mean latency of the new instances
            was 214 ms, of the others at the
            same time 214 ms (16 samples).
          0 % of the requests failed on the
            new instances, 0 % on the others at
            the same time (16 samples).
          The fleet has 6 instances now.

          · info  p50
                  500 ms → 198 ms
          · info  p95
                  950 ms → 460 ms
          ✔ pass  p99
                  990 ms → 492 ms (limit 500 ms)
          ✔ pass  errors
                  0 % → 0 % (limit 1 %)
          · info  load
                  38.0 requests/s → 38.0
                  requests/s
          ✔ pass  CPU
                  34 % (limit 70 %)
          ✔ pass  memory
                  23.8 % (limit 80 %)
          ✔ pass  observed
                  60 s of 60 s, 20 samples

          api · asked by operator · operation
          7f3a01
        ");
        let chart = card.chart.unwrap();
        assert_eq!((chart.title.as_str(), chart.verdict.as_str()), ("api 4 → 6", "improved"));
    }

    #[tokio::test]
    async fn done_and_stable() {
        insta::assert_snapshot!(summary("/scale up 6", |script| script.before = FAST).await, @r"
        ✔ pass  Done, stable: 4 → 6 (2 more)
          All instances agree on halt and hash chain.
          Mean latency of the new instances was 214 ms, of the others at the same time
            214 ms (16 samples).
          0 % of the requests failed on the new instances, 0 % on the others at the
            same time (16 samples).
          The fleet has 6 instances now.

          · info  p50       212 ms → 198 ms
          · info  p95       467 ms → 460 ms
          ✔ pass  p99       493 ms → 492 ms (limit 500 ms)
          ✔ pass  errors    0 % → 0 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ✔ pass  observed  60 s of 60 s, 20 samples

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn done_and_not_improved() {
        insta::assert_snapshot!(summary("/scale up 6", |script| script.after = FAILING).await, @r"
        ▲ warn  Done, not improved: 4 → 6 (2 more)
          p99 latency 988 ms, limit 500 ms (16 samples).
          5.26 % of the requests failed, limit 1 % (16 samples).
          All instances agree on halt and hash chain.
          Mean latency of the new instances was 481 ms, of the others at the same time
            481 ms (16 samples).
          5.26 % of the requests failed on the new instances, 5.26 % on the others at
            the same time (16 samples).
          The fleet has 6 instances now.
          They stay, but more instances alone do not help. The system architect is
            told.

          · info  p50       500 ms → 453 ms
          · info  p95       950 ms → 941 ms
          ✖ fail  p99       990 ms → 988 ms (limit 500 ms)
          ✖ fail  errors    0 % → 5.26 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ✔ pass  observed  60 s of 60 s, 20 samples

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn done_and_inconclusive() {
        insta::assert_snapshot!(summary("/scale up 6", |script| script.after = None).await, @r"
        ? unknown  Done, inconclusive: 4 → 6 (2 more)
          0 % of the window was observed; at least 80 % is needed.
          Only 0 % of the readings could be had; at least 80 % is needed.
          Only 0 % of the readings (api-5) could be had; at least 80 % is needed.
          Only 0 % of the readings (api-6) could be had; at least 80 % is needed.
          0 requests; at least 20 are needed to judge.
          5 more reasons are in the log.
          The fleet has 6 instances now.
          They stay. Whether they help could not be told: look at the figures
            yourself.

          ? unknown  p50       500 ms → not known
          ? unknown  p95       950 ms → not known
          ? unknown  p99       990 ms → not known (limit 500 ms)
          ? unknown  errors    0 % → not known (limit 1 %)
          ? unknown  load      38.0 requests/s → not known
          ▲ warn     observed  0 s of 60 s, 0 samples

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn done_and_regressed() {
        insta::assert_snapshot!(summary("/scale up 6", |script| script.after = NEW_ONES_SLOW).await, @"
        ✖ fail  Taken back, regressed: 4 → 6 (2 more)
          Mean latency of the new instances (api-5 and api-6) was 748 ms, of the
            others at the same time 160 ms, more than chance explains (16 samples).
          p99 latency 2286 ms, limit 500 ms (16 samples).
          p99 latency 2286 ms, before 990 ms, more than chance explains (16 samples).
          All instances agree on halt and hash chain.
          0 % of the requests failed on the new instances, 0 % on the others at the
            same time (16 samples).
          Taken back: 4 instances as before, all of them verified.
          Logs of api-5: logs/api-5.log.
          Logs of api-6: logs/api-6.log.
          The fleet has 4 instances, as before.

          · info  p50       500 ms → 209 ms
          · info  p95       950 ms → 1431 ms
          ✖ fail  p99       990 ms → 2286 ms (limit 500 ms)
          ✔ pass  errors    0 % → 0 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ✔ pass  observed  60 s of 60 s, 20 samples

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn done_and_inconsistent() {
        let card = summary("/scale up 6", |script| {
            script.on_show = |script, slot, _| {
                if slot == Slot::Verification {
                    script.ill.insert("api-5", Ill::OtherChain);
                }
            };
        });
        insta::assert_snapshot!(card.await, @"
        ✖ fail  Taken back, inconsistent: 4 → 6 (2 more)
          The instances contradict one another (api-5): another event than the rest of
            the fleet at sequence 18.
          Mean latency of the new instances was 214 ms, of the others at the same time
            214 ms (16 samples).
          0 % of the requests failed on the new instances, 0 % on the others at the
            same time (16 samples).
          p99 latency 492 ms, before 990 ms, more than chance explains (16 samples).
          Taken back: 4 instances as before, all of them verified.
          Logs of api-5: logs/api-5.log.
          Logs of api-6: logs/api-6.log.
          The fleet has 4 instances, as before.

          · info  p50       500 ms → 198 ms
          · info  p95       950 ms → 460 ms
          ✔ pass  p99       990 ms → 492 ms (limit 500 ms)
          ✔ pass  errors    0 % → 0 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ✔ pass  observed  60 s of 60 s, 20 samples

          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn failed_on_the_way() {
        let never =
            summary("/scale up 6", |script| script.arrive = (InstanceState::NotReady, Some("answers 503".into())));
        insta::assert_snapshot!(never.await, @"
        ✖ fail  Taken back: 4 → 6 (2 more)
          Not ready: api-5 (answers 503), api-6 (answers 503).
          Taken back: 4 instances as before, all of them verified.
          Logs of api-5: logs/api-5.log.
          Logs of api-6: logs/api-6.log.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let failed =
            summary("/scale up 6", |script| script.arrive = (InstanceState::Failed, Some("exit status 1".into())));
        insta::assert_snapshot!(failed.await, @"
        ✖ fail  Taken back: 4 → 6 (2 more)
          Instance api-5 has failed: exit status 1.
          Taken back: 4 instances as before, all of them verified.
          Logs of api-5: logs/api-5.log.
          Logs of api-6: logs/api-6.log.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let unready =
            summary("/scale up 6", |script| script.ill = [("api-5", Ill::NoKeys), ("api-6", Ill::Unready)].into());
        insta::assert_snapshot!(unready.await, @"
        ✖ fail  Taken back: 4 → 6 (2 more)
          api-5, keys: does not reach its keys: HSM slot 3: session refused.
          api-6, ready: not ready: database (too many connections).
          Taken back: 4 instances as before, all of them verified.
          Logs of api-5: logs/api-5.log.
          Logs of api-6: logs/api-6.log.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let refused = summary("/scale up 6", |script| {
            script.scale =
                Ok(OrderAnswer::Refused { detail: "the rehearsal's room for 4 instances is used up".into() });
        });
        insta::assert_snapshot!(refused.await, @r"
        ✖ fail  Failed: 4 → 6 (2 more)
          The orchestrator refused: the rehearsal's room for 4 instances is used up.
          Nothing was changed.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let gone = summary("/scale up 6", |script| {
            let (what, detail) = ("the rehearsal's world".into(), "its process has ended".into());
            script.fleet = Err(PortError::Gone { what, detail });
        });
        insta::assert_snapshot!(gone.await, @r"
        ✖ fail  Failed: ? → 6
          The rehearsal's world no longer exists (its process has ended).
          How many instances the fleet has now could not be seen.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn refused() {
        insta::assert_snapshot!(summary("/scale up 7", |_| ()).await, @r"
        ✖ fail  Refused: 4 → 7 (3 more)
          Database connections: 112 needed: 7 × 15 + 7 of others.
          The largest count that fits is 6. Raise the server's limit or make each pool
            smaller, then ask again.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let halted_since = summary("/scale up 6", |script| {
            script.on_show = |script, slot, _| {
                if slot == Slot::Precheck {
                    script.fleet.as_mut().unwrap().generation = 7;
                }
            };
        });
        insta::assert_snapshot!(halted_since.await, @r"
        ✖ fail  Refused: 4 → 6 (2 more)
          Somebody else set the count to 4 meanwhile.
          Nothing was changed.
          Ask again if it is still wanted.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn not_approved() {
        let ended = |on_show: fn(&mut Script, Slot, &Card)| {
            summary("/scale up 6", move |script| {
                script.halt = [Ok(halted(true)), Ok(halted(true))];
                script.on_show = on_show;
            })
        };
        insta::assert_snapshot!(ended(|script, _, card| script.vote(card, "lead", Mark::Reject)).await, @r"
        ✖ fail  Rejected: 4 → 6 (2 more)
          Rejected by lead.
          Nothing was changed.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        insta::assert_snapshot!(ended(|_, _, _| ()).await, @r"
        ✖ fail  Expired: 4 → 6 (2 more)
          No governance lead decided within 15 min.
          Nothing was changed. Ask again.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
    }

    #[tokio::test]
    async fn cancelled() {
        let cancelled = |at: fn(&mut Script, Slot, &Card)| summary("/scale up 6", move |script| script.on_show = at);
        let before = cancelled(|script, slot, _| {
            if slot == Slot::Precheck {
                cancel(script);
            }
        });
        insta::assert_snapshot!(before.await, @r"
        ▲ warn  Cancelled: 4 → 6 (2 more)
          Cancelled by operator.
          Nothing was changed.
          The fleet has 4 instances, as before.
          api · asked by operator · operation 7f3a01
        ");
        let while_watching = cancelled(|script, slot, card| {
            if slot == Slot::Progress && card.title.starts_with("Monitoring: 30 s") {
                cancel(script);
            }
        });
        insta::assert_snapshot!(while_watching.await, @"
        ▲ warn  Cancelled: 4 → 6 (2 more)
          Cancelled by operator.
          The fleet stays at 6; /scale rollback brings it back to 4.
          The fleet has 6 instances now.

          · info  p50       500 ms → 198 ms
          · info  p95       950 ms → 460 ms
          ✔ pass  p99       990 ms → 492 ms (limit 500 ms)
          ✔ pass  errors    0 % → 0 % (limit 1 %)
          · info  load      38.0 requests/s → 38.0 requests/s
          ✔ pass  CPU       34 % (limit 70 %)
          ✔ pass  memory    23.8 % (limit 80 %)
          ▲ warn  observed  33 s of 60 s, 11 samples

          api · asked by operator · operation 7f3a01
        ");
    }
}
