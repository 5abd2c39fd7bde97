//! Going down, and back, where the orchestrator ends whom it likes: nobody can be announced, and nobody drained before.

use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{Choice, Draining, OrderAnswer, Slot, Work};
use scalebot_commands::units::{InstanceId, Replicas};
use serde_json::json;

use super::fleet::easy;
use super::*;

const DOWN: &str = "/scale down 2 reason:\"night\"";

/// Twenty seconds are to be given to requests that nobody measures.
pub(super) fn policy() -> Policy {
    let mut policy = easy();
    policy.drain.unmeasured = Some(Duration::from_secs(20));
    policy
}

/// It ends these first.
pub(super) fn chooses(script: &mut Script, first: &[&str]) {
    script.choice = Choice::Unnamed { why: "Docker Swarm itself chooses whom it ends".to_owned() };
    let grace = Duration::from_secs(30);
    script.draining =
        Ok(Draining::AsItEnds { grace, how: "stop_grace_period is its time for the last ones".to_owned() });
    script.chooses = first.iter().map(|id| InstanceId::new(*id)).collect();
}

fn works(script: &mut Script, instance: &str) {
    let work = Work { what: "ceremony 12".to_owned(), constitutional: true, since: None };
    script.work = vec![(InstanceId::new(instance), work)];
}

/// Who was seen to go, in order.
fn gone(stage: &Stage) -> Vec<Value> {
    let events = stage.script().events.clone();
    let bodies = events.iter().filter(|event| event.kind == "terminated").map(body);
    bodies.map(|body| body["instances"].clone()).collect()
}

fn there(stage: &Stage) -> Vec<String> {
    stage.script().fleet.as_ref().unwrap().instances.iter().map(|one| one.id.to_string()).collect()
}

fn check(stage: &Stage, name: &str) -> Value {
    let checks = last(stage, "prechecked")["checks"].as_array().cloned().unwrap();
    checks.into_iter().find(|check| check["name"] == name).unwrap_or_default()
}

fn shown(stage: &Stage, slot: Slot, text: &str) -> bool {
    stage.cards(slot).iter().any(|card| format!("{card:?}").contains(text))
}

#[tokio::test]
async fn one_after_the_other_is_ended_unnamed_and_it_is_recorded_who_that_was() {
    let stage = Stage::with(|script| chooses(script, &["api-2", "api-4"]));
    stage.play_under(DOWN, &policy()).await;
    assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
    assert_eq!(gone(&stage), [json!(["api-2"]), json!(["api-4"])]);
    assert_eq!(there(&stage), ["api-1", "api-3"]);
    assert_eq!((times(&stage, "terminating"), last(&stage, "terminating")["instances"].clone()), (2, json!([])));
    assert_eq!((times(&stage, "draining"), times(&stage, "reassessed")), (0, 1));
    assert!(!stage.script().touched.contains(&"route") && !stage.script().touched.contains(&"remove"));
    let plan = last(&stage, "prechecked")["plan"].clone();
    assert_eq!((&plan["victims"], &plan["unnamed"]), (&json!([]), &json!("Docker Swarm itself chooses whom it ends")));
    // Before it is begun it is said, where everybody looks.
    let which = "which 2 of 4 end is not known before";
    assert!(check(&stage, "who is ended")["figure"].as_str().unwrap().contains(which));
    assert!(shown(&stage, Slot::Precheck, which));
}

#[tokio::test]
async fn all_have_to_be_free_since_it_may_be_any_of_them() {
    let stage = Stage::with(|script| {
        chooses(script, &[]);
        works(script, "api-3");
    });
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("refused", 0), "{reason}");
    assert!(reason.contains("api-3 works on ceremony 12"), "{reason}");
}

#[tokio::test]
async fn what_is_begun_between_two_keeps_all_of_them() {
    for when in ["reassessed", "quiesced"] {
        let stage = Stage::with(|script| {
            chooses(script, &[]);
            script.on_event = match when {
                "reassessed" => |script, event| {
                    if event.kind == "reassessed" {
                        works(script, "api-4");
                    }
                },
                // After it was waited for, and before the guard of the second one looks.
                _ => |script, event| {
                    let ended = script.events.iter().any(|event| event.kind == "terminated");
                    if event.kind == "quiesced" && ended {
                        works(script, "api-4");
                    }
                },
            };
        });
        stage.play_under(DOWN, &policy()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), times(&stage, "terminated")), ("failed", 1), "{when}: {reason}");
        assert!(reason.contains("api-4 works on ceremony 12") && reason.contains("api-1 was ended before"), "{reason}");
        assert_eq!(there(&stage), ["api-2", "api-3", "api-4"]);
    }
}

#[tokio::test]
async fn one_more_that_ends_is_somebody_elses_doing() {
    let stage = Stage::with(|script| {
        chooses(script, &["api-2"]);
        script.on_event = |script, event| {
            if event.kind == "terminating_answered" {
                script.fleet.as_mut().unwrap().instances.retain(|one| one.id.as_str() != "api-4");
            }
        };
    });
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("failed", 1), "{reason}");
    assert!(reason.contains("1 was told to end") && reason.contains("api-4 is gone"), "{reason}");
}

#[tokio::test]
async fn somebody_else_who_sets_the_count_between_two_is_not_fought() {
    let stage = Stage::with(|script| {
        chooses(script, &[]);
        script.on_event = |script, event| {
            if event.kind == "terminated" {
                let fleet = script.fleet.as_mut().unwrap();
                (fleet.wanted.0, fleet.generation) = (9, fleet.generation + 1);
                fleet.changed_by = Some("dana".to_owned());
            }
        };
    });
    stage.play_under(DOWN, &policy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("failed", 1), "{reason}");
    assert!(reason.contains("ana set the count to 9"), "{reason}");
}

#[tokio::test]
async fn nobody_is_ended_with_less_time_than_policy_gives_or_who_would_have_to_be_taken_out() {
    let too_short: fn(&mut Script) = |script| {
        let how = "5 s".to_owned();
        script.draining = Ok(Draining::AsItEnds { grace: Duration::from_secs(5), how });
    };
    for (wrong, says) in
        [(too_short, "20 s are wanted"), (|script: &mut Script| script.draining = Ok(Draining::ByOrder), "whose")]
    {
        let stage = Stage::with(|script| {
            chooses(script, &[]);
            wrong(script);
        });
        stage.play_under(DOWN, &policy()).await;
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "terminating")), ("refused", 0));
        let row = check(&stage, "drain");
        assert!(row["status"] == "fail" && row["limit"].as_str().unwrap().contains(says), "{row}");
    }
}

#[tokio::test]
async fn an_order_whose_answer_is_lost_is_given_once_and_found_again() {
    let stage = Stage::with(|script| {
        chooses(script, &[]);
        script.on_event = |script, event| {
            let before = script.events.iter().filter(|event| event.kind == "terminating").count();
            if event.kind == "terminating" && before == 1 {
                // It is done, and the answer is lost.
                let operation = event.operation.clone().unwrap();
                script.set_count(Replicas(3), &operation);
                script.scale = unreachable("the orchestrator");
            } else {
                script.scale = Ok(OrderAnswer::Done);
            }
        };
    });
    stage.play_under(DOWN, &policy()).await;
    assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
    assert_eq!((times(&stage, "terminating"), gone(&stage).len()), (2, 2));
    assert!(stage.script().ordered_again.is_empty());
}

mod the_way_back {
    use super::*;

    /// Two more, which fail; and who is ended when that is taken back.
    async fn of(chosen: &[&str]) -> Stage {
        let stage = Stage::with(|script| {
            chooses(script, chosen);
            script.arrive = (InstanceState::Failed, Some("exit code 1".to_owned()));
        });
        stage.play_under(UP, &policy()).await;
        stage
    }

    #[tokio::test]
    async fn ends_who_is_new_where_the_orchestrator_does() {
        let stage = of(&["api-6", "api-5"]).await;
        assert_eq!(ended(&stage).0, "rolled_back", "{:?}", ended(&stage));
        assert_eq!(there(&stage), ["api-1", "api-2", "api-3", "api-4"]);
        assert_eq!(last(&stage, "rolling_back")["instances"], json!([]));
        assert_eq!(last(&stage, "rolled_back")["chosen"], json!(["api-5", "api-6"]));
        let may = "an old instance may end in place of a new one";
        assert!(shown(&stage, Slot::Precheck, may) && shown(&stage, Slot::WayBack, may));
    }

    #[tokio::test]
    async fn says_whom_it_ended_and_who_stays_where_that_is_the_cause() {
        let stage = of(&["api-1", "api-5"]).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!(
            (outcome.as_str(), last(&stage, "rolled_back")["done"].clone()),
            ("failed", json!(false)),
            "{reason}"
        );
        assert!(reason.contains("kept api-6, which is the cause; ended: api-1, api-5"), "{reason}");
        let told = last(&stage, "escalated")["because"].to_string();
        assert!(told.contains("kept api-6"), "{told}");
    }

    #[tokio::test]
    async fn is_not_taken_while_an_old_one_works_on_something() {
        let stage = Stage::with(|script| {
            chooses(script, &[]);
            script.arrive = (InstanceState::Failed, Some("exit code 1".to_owned()));
            script.on_event = |script, event| {
                if event.kind == "not_ready" {
                    works(script, "api-2");
                }
            };
        });
        stage.play_under(UP, &policy()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), times(&stage, "rolling_back")), ("failed", 0), "{reason}");
        assert!(reason.contains("ceremony 12") && there(&stage).len() == 6, "{reason}");
    }

    #[tokio::test]
    async fn that_was_asked_for_leaves_whoever_is_left_verified() {
        let stage = Stage::with(|script| chooses(script, &["api-1", "api-2"]));
        stage.play_under(UP, &policy()).await;
        assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
        stage.play_under("/scale rollback", &policy()).await;
        assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
        assert_eq!(there(&stage), ["api-3", "api-4", "api-5", "api-6"]);
        assert_eq!(last(&stage, "rolled_back")["chosen"], json!(["api-1", "api-2"]));
    }
}
