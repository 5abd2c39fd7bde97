//! Who else steers the count and can be held still: held from the permit on, before anything of the fleet is changed, and put
//! back in whatever way the operation ends, whenever the process dies in between.

use scalebot_commands::break_glass;
use scalebot_commands::desk::Abandoned;
use scalebot_commands::journal::CancelRequested;
use scalebot_commands::ports::{Bounds, Hold, OrderAnswer, Slot, Steering};
use scalebot_commands::units::{Epoch, Replicas};

use super::fleet::easy;
use super::*;
use crate::testing::Manner;

const DOWN: &str = "/scale down 3 reason:\"night\"";
const WHO: &str = "HorizontalPodAutoscaler api";
const COMMAND: &str = "kubectl -n conclave patch hpa api --type=merge -p '{\"spec\":{\"behavior\":null}}'";

fn autoscaler() -> Steering {
    Steering {
        by: WHO.to_owned(),
        effect: "keeps 2 to 10 instances by its own measure".to_owned(),
        settled_by: "kubectl edit hpa api".to_owned(),
        hold: Some(Hold {
            name: "hpa/api".to_owned(),
            who: WHO.to_owned(),
            identity: "h1".to_owned(),
            version: "70".to_owned(),
            bounds: Some(Bounds { least: Replicas(2), most: Replicas(10) }),
            before: "{}".to_owned(),
            how: "its policies are disabled both ways".to_owned(),
            undone_by: COMMAND.to_owned(),
        }),
    }
}

fn steered(script: &mut Script) {
    script.steered_by = Ok(vec![autoscaler()]);
}

/// The kinds on record, in order, that change something outside.
fn changes(stage: &Stage) -> Vec<String> {
    let script = stage.script();
    let intents =
        ["holding", "scaling", "draining", "terminating", "rolling_back", "releasing", "documented", "finished"];
    script.events.iter().map(|event| event.kind.clone()).filter(|kind| intents.contains(&&**kind)).collect()
}

fn is_put_back(stage: &Stage) {
    let script = stage.script();
    assert_eq!((script.held.as_ref().unwrap().len(), script.steered_by.as_ref().unwrap().len()), (0, 1));
}

/// The row of the plan's checks about it.
fn row(stage: &Stage) -> Value {
    let checks = last(stage, "prechecked")["checks"].as_array().cloned().unwrap();
    checks.into_iter().find(|check| check["name"] == "who else steers").unwrap()
}

#[tokio::test]
async fn is_held_before_the_count_is_set_and_put_back_before_the_end() {
    let stage = Stage::with(steered);
    stage.play(UP).await;
    assert_eq!(changes(&stage), ["holding", "scaling", "releasing", "documented", "finished"]);
    is_put_back(&stage);
    let (outcome, reason) = ended(&stage);
    assert_eq!(outcome, "completed", "{reason}");
    assert!(reason.lines().any(|line| line == "HorizontalPodAutoscaler api steers the count again."), "{reason}");
    assert_eq!((row(&stage)["status"].as_str(), row(&stage)["follows"].as_str()), (Some("warn"), Some("nothing")));
    assert_eq!(
        row(&stage)["advice"],
        "HorizontalPodAutoscaler api is held still for the operation (its policies are disabled both ways), and put back afterwards. Then it may change the count again."
    );
    let holding = last(&stage, "holding");
    assert_eq!((&holding["from"], &holding["to"], &holding["step"]), (&4.into(), &6.into(), &"hold/hpa/api".into()));
    assert_eq!(times(&stage, "follow_up"), 1, "only the one of every reactive scaling");
}

#[tokio::test]
async fn is_told_of_beforehand_where_its_bounds_do_not_let_the_count_last() {
    let stage = Stage::with(|script| {
        let mut steering = autoscaler();
        steering.hold.as_mut().unwrap().bounds = Some(Bounds { least: Replicas(2), most: Replicas(5) });
        script.steered_by = Ok(vec![steering]);
    });
    stage.play(UP).await;
    let advice = row(&stage)["advice"].to_string();
    assert!(advice.contains("Then it keeps 2 to 5 again, and 6 does not last: change its bounds first."), "{advice}");
}

#[tokio::test]
async fn is_held_before_the_first_instance_is_taken_out_of_service() {
    let stage = Stage::with(steered);
    stage.play_under(DOWN, &easy()).await;
    assert_eq!(changes(&stage), ["holding", "draining", "terminating", "releasing", "documented", "finished"]);
    assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
    is_put_back(&stage);
}

#[tokio::test]
async fn beside_somebody_who_cannot_be_held_is_left_alone_and_it_is_refused_as_ever() {
    let stage = Stage::with(|script| {
        let settled_by = "argocd app sync shop".to_owned();
        let argo = Steering { by: "Argo CD".into(), effect: "sets it back".into(), settled_by, hold: None };
        script.steered_by = Ok(vec![autoscaler(), argo]);
    });
    stage.play(UP).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "holding")), ("refused", 0));
    assert_eq!(row(&stage)["advice"], "What settles it: argocd app sync shop (then ask again)");
    assert_eq!(stage.script().touched.iter().filter(|what| **what == "hold").count(), 0);
}

#[tokio::test]
async fn is_part_of_what_governance_approves() {
    let stage = Stage::with(|script| {
        the_lead_approves(script);
        steered(script);
    });
    stage.play(UP).await;
    assert_eq!(last(&stage, "approval_requested")["bound"]["holds"], serde_json::json!(["hpa/api"]));
    assert_eq!(last(&stage, "holding")["approval"], last(&stage, "approved")["request"]);
    assert_eq!(ended(&stage).0, "completed");
    is_put_back(&stage);
    let stage = Stage::with(the_lead_approves);
    stage.play(UP).await;
    assert_eq!(last(&stage, "approval_requested")["bound"]["holds"], serde_json::json!([]));
}

#[tokio::test]
async fn is_left_alone_while_the_system_is_halted_and_nobody_approves() {
    let stage = Stage::with(steered);
    stage.script().on_event = |script, event| {
        if event.kind == "prechecked" {
            both_halted(script);
        }
    };
    stage.play(UP).await;
    assert_eq!(
        (ended(&stage).0.as_str(), times(&stage, "holding"), times(&stage, "approval_requested")),
        ("expired", 0, 1)
    );
    assert!(!stage.script().touched.contains(&"hold"));
}

#[tokio::test]
async fn who_steers_no_more_when_the_time_comes_is_a_change_that_ends_it() {
    let stage = Stage::with(steered);
    stage.script().on_event = |script, event| {
        if event.kind == "prechecked" {
            script.steered_by = Ok(vec![]);
        }
    };
    stage.play(UP).await;
    let (outcome, reason) = ended(&stage);
    assert!(outcome == "refused" && reason.contains("hpa/api steers the count no more"), "{outcome}: {reason}");
    assert_eq!((times(&stage, "holding"), times(&stage, "scaling")), (0, 0));
}

#[tokio::test]
async fn who_cannot_be_held_keeps_the_fleet_as_it_is() {
    for down in [false, true] {
        let stage = Stage::with(steered);
        stage.script().hold = Ok(OrderAnswer::Refused { detail: "the bot may not patch it".into() });
        if down {
            stage.play_under(DOWN, &easy()).await
        } else {
            stage.play_under(UP, &easy()).await
        };
        let (outcome, reason) = ended(&stage);
        assert_eq!(outcome, "failed");
        assert_eq!(
            reason,
            "hpa/api steers the count as well and could not be held still: it was refused: the bot may not patch it.\nNothing was changed.\nSettle that by hand, then ask again. /scale plan names how."
        );
        assert_eq!(changes(&stage), ["holding", "finished"]);
    }
}

#[tokio::test]
async fn is_put_back_by_whoever_carries_the_operation_on_whenever_the_process_died() {
    let moments = [
        "holding",
        "holding_answered",
        "scaling",
        "scaling_answered",
        "scaled",
        "verified",
        "monitored",
        "releasing",
        "releasing_answered",
        "documented",
    ];
    for moment in moments {
        let stage = Stage::with(steered);
        stage.play_until(UP, moment).await;
        stage.resume().await;
        assert_eq!(ended(&stage).0, "completed", "{moment}: {:?}", ended(&stage));
        is_put_back(&stage);
        let often = |what: &str| stage.script().touched.iter().filter(|touched| **touched == what).count();
        assert_eq!((often("hold"), often("release"), times(&stage, "parked")), (1, 1, 0), "{moment}");
    }
}

#[tokio::test]
async fn stays_held_on_the_way_back_and_is_put_back_after_it() {
    let stage = Stage::with(steered);
    stage.script().after = Some(Manner { old_ms: 400.0, new_ms: 4_000.0, failing: 0 });
    stage.play(UP).await;
    assert_eq!(ended(&stage).0, "rolled_back", "{:?}", ended(&stage));
    let changes = changes(&stage);
    let at = |kind: &str| changes.iter().position(|one| one == kind).unwrap();
    assert!(at("rolling_back") < at("releasing"), "{changes:?}");
    is_put_back(&stage);
}

#[tokio::test]
async fn is_put_back_where_it_is_cancelled_after_that() {
    let stage = Stage::with(steered);
    stage.script().on_event = |script, event| {
        if event.kind == "holding_answered" {
            script.signal(Signal::Cancel(CancelRequested { by: Person::new("operator") }));
        }
    };
    stage.play(UP).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("cancelled", 0));
    is_put_back(&stage);
}

#[tokio::test]
async fn is_put_back_where_somebody_else_changed_the_fleet_and_during_a_halt() {
    let stage = Stage::with(steered);
    stage.script().on_event = |script, event| {
        if event.kind == "holding_answered" {
            both_halted(script);
            let fleet = script.fleet.as_mut().unwrap();
            (fleet.wanted, fleet.generation, fleet.changed_by) = (Replicas(7), 2, Some("dana".into()));
        }
    };
    stage.play(UP).await;
    assert_eq!(times(&stage, "scaling"), 0);
    is_put_back(&stage);
}

/// What is said of it at the end, and the follow-up that stays open.
fn named(stage: &Stage) -> (String, Value) {
    let follow_ups: Vec<Value> = {
        let script = stage.script();
        let all = script.events.iter().filter(|event| event.kind == "follow_up").map(body);
        all.filter(|follow_up| follow_up["step"] == "release/hpa/api/follow-up").collect()
    };
    assert_eq!(follow_ups.len(), 1, "{follow_ups:?}");
    let summary = stage.card(Slot::Summary);
    assert!(format!("{summary:?}").contains("kubectl -n conclave patch hpa api"), "{summary:?}");
    (ended(stage).1, follow_ups[0].clone())
}

#[tokio::test]
async fn that_cannot_be_put_back_is_named_with_the_command_and_a_follow_up_stays_open() {
    let stage = Stage::with(steered);
    stage.script().release = Ok(OrderAnswer::Refused { detail: "the bot may not patch it".into() });
    stage.play(UP).await;
    let (reason, follow_up) = named(&stage);
    let said = format!("{WHO} was not put back: it was refused: the bot may not patch it.\nPut {WHO} back: {COMMAND}");
    assert!(reason.contains(&said), "{reason}");
    assert_eq!(follow_up["what"], format!("Put {WHO} back: {COMMAND}"));
    assert_eq!(follow_up["because"], "It was held still for a scaling: it was refused: the bot may not patch it.");
    // What was asked for is done all the same.
    assert_eq!(ended(&stage).0, "completed");
}

#[tokio::test]
async fn that_cannot_be_looked_at_is_looked_for_and_then_named() {
    let stage = Stage::with(steered);
    stage.play_until(UP, "monitored").await;
    stage.script().held = unreachable("the Kubernetes API");
    let before = stage.script().clock;
    stage.resume().await;
    let waited = stage.script().clock.checked_sub(before).unwrap();
    assert!((120..200).contains(&waited.as_secs()), "{waited:?}");
    let (reason, _) = named(&stage);
    assert!(reason.contains("HorizontalPodAutoscaler api was not put back: "), "{reason}");
    assert!(reason.contains("connection refused"), "{reason}");
}

#[tokio::test]
async fn that_somebody_changed_since_is_left_alone_and_named() {
    let stage = Stage::with(steered);
    stage.script().held_changed = Some("maxReplicas is 20".into());
    stage.play(UP).await;
    let (reason, _) = named(&stage);
    let said = "was not put back: somebody changed it meanwhile (maxReplicas is 20), so it was left as it is.";
    assert!(reason.contains(said), "{reason}");
    assert!(!stage.script().touched.contains(&"release"));
}

#[tokio::test]
async fn that_somebody_has_put_back_is_said_and_leaves_nothing_to_do() {
    let stage = Stage::with(steered);
    stage.script().on_event = |script, event| {
        if event.kind == "monitored" {
            script.held = Ok(vec![]);
        }
    };
    stage.play(UP).await;
    let (_, reason) = ended(&stage);
    assert!(reason.contains("HorizontalPodAutoscaler api was put back by somebody else."), "{reason}");
    assert!(!reason.contains("kubectl"), "{reason}");
}

#[tokio::test]
async fn whose_answer_is_lost_and_who_may_yet_be_held_is_named() {
    let stage = Stage::with(steered);
    stage.script().hold = unreachable("the Kubernetes API");
    stage.play(UP).await;
    assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("failed", 0));
    let (reason, _) = named(&stage);
    assert!(reason.contains("was not put back: a request to hold it still may yet arrive."), "{reason}");
    assert!(reason.contains("See whether HorizontalPodAutoscaler api is held still, and put it back: "), "{reason}");
}

#[tokio::test]
async fn by_an_operation_that_is_given_up_is_named_with_what_to_do() {
    let left = async |moment: &'static str| {
        let stage = Stage::with(steered);
        stage.play_until(UP, moment).await;
        let operation = stage.script().events[0].operation.clone().unwrap();
        let ports = stage.ports();
        let abandoned = Abandoned { by: Person::new("host:dana"), reason: "it hangs".to_owned() };
        let done = break_glass::abandon(&*ports.ledger, &*ports.world, Epoch(9), &operation, &abandoned).await.unwrap();
        done.reason
    };
    let sure = format!("{WHO} is still held for it. Put {WHO} back: {COMMAND}");
    let unsure = format!("{WHO} may be still held for it. See whether {WHO} is held still, and put it back: {COMMAND}");
    for moment in ["holding_answered", "scaled", "releasing"] {
        let reason = left(moment).await;
        assert!(reason.contains(&sure), "{moment}: {reason}");
    }
    let reason = left("holding").await;
    assert!(reason.contains(&unsure), "{reason}");
    for moment in ["prechecked", "releasing_answered"] {
        let reason = left(moment).await;
        assert!(!reason.contains("held"), "{moment}: {reason}");
    }
}

#[tokio::test]
async fn a_request_to_set_the_count_that_may_be_on_its_way_is_said_at_the_end_and_seen_where_it_arrived() {
    let stage = Stage::with(steered);
    stage.script().scale = unreachable("the Kubernetes API");
    stage.play(UP).await;
    let (_, reason) = ended(&stage);
    assert!(reason.contains("A request to set the count to 6 may still arrive.\nLook at the fleet"), "{reason}");
    assert!(!reason.contains("Nothing was changed"), "{reason}");

    let stage = Stage::with(steered);
    stage.script().scale = unreachable("the Kubernetes API");
    // It comes when nobody looks for it any more: who steers is just put back.
    stage.script().on_event = |script, event| {
        if event.kind == "releasing" {
            let operation = event.operation.clone().unwrap();
            script.set_count(Replicas(6), &operation);
        }
    };
    stage.play(UP).await;
    let (outcome, reason) = ended(&stage);
    assert!(reason.contains("6 are wanted now: a request to set the count to 6 may have arrived since."), "{reason}");
    assert!(!reason.contains("Nothing was changed"), "{reason}");
    assert_eq!((outcome.as_str(), &last(&stage, "finished")["ended_at"]), ("failed", &6.into()));
}
