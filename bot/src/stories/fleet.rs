//! What becomes of an operation when the fleet, or what it carries, changes in the middle.

use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::ports::{DisruptionBudget, Slot};
use scalebot_commands::units::Replicas;

use super::*;
use crate::testing::Manner;

/// Nothing in the load speaks against going down.
pub(super) fn easy() -> Policy {
    let mut policy = Policy::rehearsal(Duration::from_mins(1));
    (policy.load.busy, policy.load.cpu, policy.load.p99_ms) = (9.0, 9.0, 9_999.0);
    policy.load.error_share = 1.0;
    policy
}

fn somebody_sets_nine(script: &mut Script) {
    let fleet = script.fleet.as_mut().unwrap();
    (fleet.wanted, fleet.generation) = (Replicas(9), fleet.generation + 1);
    fleet.changed_by = Some("dana".to_owned());
}

fn names_who(stage: &Stage) -> bool {
    last(stage, "interference")["what"].as_str().is_some_and(|what| what.contains("ana set the count to 9"))
}

mod somebody_else_sets_the_count {
    use super::*;

    async fn after(kind: &'static str, command: &str, set_up: impl FnOnce(&mut Script)) -> Stage {
        let stage = Stage::with(set_up);
        stage.play_under_until(command, &easy(), kind).await;
        somebody_sets_nine(&mut stage.script());
        stage.resume_under(&easy()).await;
        stage
    }

    #[tokio::test]
    async fn while_governance_is_asked_so_that_nobody_is_asked_any_more() {
        let stage = after("approval_requested", UP, both_halted).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "refused", "{outcome}: {reason}");
        assert_eq!(last(&stage, "expired")["decision"], "interfered");
        // Long before the time to decide was over.
        assert!(stage.script().clock < Duration::from_mins(2), "{:?}", stage.script().clock);
    }

    #[tokio::test]
    async fn while_it_is_waited_until_instances_are_free() {
        let stage = after("assessed", "/scale down 3 reason:\"night\"", |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "refused", "{outcome}: {reason}");
        assert_eq!(times(&stage, "prechecked"), 0);
    }

    #[tokio::test]
    async fn while_instances_are_verified() {
        let stage = after("scaled", UP, |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "failed", "{outcome}: {reason}");
        assert_eq!((times(&stage, "verified"), times(&stage, "monitored")), (1, 0));
        assert_eq!(times(&stage, "rolling_back"), 0, "who stops does not fight");
    }

    #[tokio::test]
    async fn while_an_instance_answers_its_last_requests_and_it_gets_new_ones_again() {
        let stage = after("draining_answered", "/scale down 3 reason:\"night\"", |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "refused", "{outcome}: {reason}");
        assert_eq!(last(&stage, "drained")["ended"], "interfered");
        assert_eq!((times(&stage, "terminating"), stage.script().drained.len()), (0, 0));
    }

    #[tokio::test]
    async fn while_an_instance_ends_and_no_further_one_is_ended() {
        let stage = after("terminating_answered", "/scale down 2 reason:\"night\"", |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "failed", "{outcome}: {reason}");
        assert!(reason.contains("api-4 was ended before that"), "{reason}");
        assert_eq!((times(&stage, "terminated"), times(&stage, "draining")), (1, 1));
        assert_eq!(times(&stage, "escalated"), 1, "the fleet is neither as it was nor as it was to be");
    }

    #[tokio::test]
    async fn while_it_is_asked_whether_to_go_back() {
        let mut policy = easy();
        policy.back.rule = TakeBack::Ask;
        let stage = Stage::with(|script| {
            script.attended = true;
            script.ill.insert("api-6", Ill::NoKeys);
            script.on_event = |script, event| {
                if event.kind == "way_back_asked" {
                    somebody_sets_nine(script);
                }
            };
        });
        stage.play_under(UP, &policy).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "failed", "{outcome}: {reason}");
        assert_eq!(last(&stage, "way_back")["decided"], "interfered");
        assert_eq!(times(&stage, "draining"), 0);
    }

    #[tokio::test]
    async fn while_somebodys_word_on_the_keys_is_awaited() {
        let stage = Stage::with(|script| {
            (script.attended, script.keys) = (true, false);
            script.on_show = |script, slot, _| {
                if slot == Slot::Question && script.events.iter().any(|event| event.kind == "verified") {
                    somebody_sets_nine(script);
                }
            };
        });
        stage.play_under("/scale up 6 reason:\"peak\"", &easy()).await;
        let (outcome, reason) = ended(&stage);
        assert!(names_who(&stage) && outcome == "failed", "{outcome}: {reason}");
        assert!(last(&stage, "attested")["interference"].is_string());
    }

    #[tokio::test]
    async fn while_the_fleet_is_brought_back_and_nobody_is_ended() {
        let stage = after("logs_saved", UP, |script| {
            script.ill.insert("api-6", Ill::OtherChain);
        })
        .await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), times(&stage, "rolling_back")), ("failed", 0), "{reason}");
        assert!(reason.contains("could not be finished: dana set the count to 9 meanwhile"), "{reason}");
    }
}

mod between_two_instances {
    use super::*;

    const DOWN: &str = "/scale down 2 reason:\"night\"";

    fn one_went(stage: &Stage) {
        let (outcome, reason) = ended(stage);
        assert_eq!((outcome.as_str(), times(stage, "terminated")), ("failed", 1), "{reason}");
        assert!(reason.contains("api-4 was ended before that. /scale rollback starts as many again"), "{reason}");
        let script = stage.script();
        assert!(script.drained.is_empty(), "{:?}", script.drained);
        let told = script.events.iter().filter(|event| event.kind == "escalated").map(body);
        assert_eq!(told.map(|told| told["to"].clone()).collect::<Vec<_>>(), ["infrastructure_team"]);
    }

    #[tokio::test]
    async fn the_load_is_looked_at_again_and_too_much_of_it_stops_there() {
        let stage = Stage::with(|script| {
            script.on_event = |script, event| {
                if event.kind == "terminated" {
                    script.after = Some(Manner { old_ms: 99_000.0, new_ms: 99_000.0, failing: 0 });
                }
            };
        });
        stage.play_under(DOWN, &easy()).await;
        assert!(ended(&stage).1.contains("api-3 is not taken away: latency"), "{:?}", ended(&stage));
        one_went(&stage);
    }

    #[tokio::test]
    async fn figures_that_can_no_longer_be_had_stop_there_too() {
        let stage = Stage::with(|script| {
            script.on_event = |script, event| {
                if event.kind == "terminated" {
                    script.after = None;
                }
            };
        });
        stage.play_under(DOWN, &easy()).await;
        one_went(&stage);
    }

    #[tokio::test]
    async fn a_disruption_budget_that_is_used_up_by_then_stops_there() {
        let stage = Stage::with(|script| {
            let budget = |allowed| DisruptionBudget { allowed: Replicas(allowed), source: "budget api".to_owned() };
            script.disruptions = Ok(Some(budget(1)));
            script.on_event = |script, event| {
                if event.kind == "terminated" {
                    let none = DisruptionBudget { allowed: Replicas(0), source: "budget api".to_owned() };
                    script.disruptions = Ok(Some(none));
                }
            };
        });
        stage.play_under(DOWN, &easy()).await;
        assert!(ended(&stage).1.contains("Budget api allows no instance to be taken away now"), "{:?}", ended(&stage));
        one_went(&stage);
    }
}

#[tokio::test]
async fn a_budget_that_allows_nobody_for_a_moment_is_waited_for() {
    let stage = Stage::with(|script| {
        script.on_event = |script, event| {
            if event.kind == "drained" {
                let none = DisruptionBudget { allowed: Replicas(0), source: "budget api".to_owned() };
                script.disruptions = Ok(Some(none));
                script.on_look = |script| {
                    let over = script.clock;
                    if over > Duration::from_secs(3) {
                        script.disruptions = Ok(None);
                    }
                };
            }
        };
    });
    stage.play_under("/scale down 3 reason:\"night\"", &easy()).await;
    assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
}

#[tokio::test]
async fn the_last_instance_that_gets_requests_goes_on_getting_them() {
    let stage = Stage::with(|script| {
        script.ill = ["api-1", "api-2", "api-3"].map(|one| (one, Ill::Unrouted)).into();
    });
    stage.play_under("/scale down 3 reason:\"night\"", &easy()).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "draining")), ("refused", 0), "{reason}");
    assert!(reason.contains("No instance but api-4 gets requests now"), "{reason}");
}

#[tokio::test]
async fn who_has_failed_carries_nothing_and_taking_it_away_takes_nothing_from_the_others() {
    let stage = Stage::with(|script| {
        script.fleet.as_mut().unwrap().instances[1].state = InstanceState::Failed;
    });
    stage.play_under_until("/scale down 3 reason:\"night\"", &easy(), "prechecked").await;
    let checked = last(&stage, "prechecked");
    assert_eq!(checked["plan"]["victims"][0]["instance"], "api-2");
    let busy =
        checked["checks"].as_array().unwrap().iter().find(|check| check["name"] == "busy share").unwrap().clone();
    assert_eq!((&busy["status"], &checked["decision"]), (&"pass".into(), &"proceed".into()), "{busy}");
    let figure = busy["figure"].as_str().unwrap();
    let (now, then) = figure.strip_prefix("mean ").and_then(|rest| rest.split_once(" % now, ")).unwrap();
    assert!(then.starts_with(&format!("{now} % for each of 3")), "{figure}");
}

#[tokio::test]
async fn figures_of_a_moment_do_not_tell_whether_fewer_can_carry_the_load() {
    let mut policy = easy();
    policy.load.baseline = Duration::from_mins(10);
    let stage = Stage::new();
    stage.play_under("/scale down 3 reason:\"night\"", &policy).await;
    let (outcome, reason) = ended(&stage);
    assert_eq!((outcome.as_str(), times(&stage, "draining")), ("refused", 0), "{reason}");
    let latency =
        last(&stage, "prechecked")["checks"].as_array().unwrap().iter().find(|one| one["name"] == "latency").cloned();
    assert!(latency.as_ref().unwrap()["advice"].as_str().unwrap().contains("which is less than 10 min"), "{latency:?}");
}
