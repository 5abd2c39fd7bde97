//! What becomes of an operation when something happens in the middle: the process dies and minutes pass, the clock is set
//! back, a lead thinks better of it, instances do not answer. The real runbook, played on the stage.

use std::time::Duration;

use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::event::Event;
use scalebot_commands::journal::Signal;
use scalebot_commands::ports::{Instance, InstanceState, PoolBudget};
use scalebot_commands::units::{InstanceId, Person};
use serde_json::Value;

use crate::testing::{Ill, Script, Stage, halted, unreachable};

const UP: &str = "/scale up 6";

fn body(event: &Event) -> Value {
    serde_json::from_str(&event.body).unwrap()
}

/// The steps that are on record, in order.
fn steps(stage: &Stage) -> Vec<String> {
    let script = stage.script();
    script.events.iter().filter_map(|event| body(event)["step"].as_str().map(str::to_owned)).collect()
}

/// How often something of that kind is on record.
fn times(stage: &Stage, kind: &str) -> usize {
    stage.script().events.iter().filter(|event| event.kind == kind).count()
}

/// The last event of that kind.
fn last(stage: &Stage, kind: &str) -> Value {
    let script = stage.script();
    script.events.iter().rfind(|event| event.kind == kind).map(body).unwrap_or_default()
}

fn ended(stage: &Stage) -> (String, String) {
    let finished = last(stage, "finished");
    let text = |name: &str| finished[name].as_str().unwrap_or_default().to_owned();
    (text("outcome"), text("reason"))
}

fn passes(stage: &Stage, seconds: u64) {
    stage.script().clock += Duration::from_secs(seconds);
}

fn both_halted(script: &mut Script) {
    script.halt = [Ok(halted(true)), Ok(halted(true))];
}

fn the_lead_approves(script: &mut Script) {
    both_halted(script);
    script.on_show = |script, _, card| script.vote(card, "lead", Mark::Approve);
}

/// The lead takes the mark on the last request back.
fn the_lead_withdraws(script: &Script) {
    let asked = script.events.iter().rfind(|event| event.kind == "approval_requested").map(body).unwrap();
    let request = asked["digest"].as_str().unwrap().to_owned();
    script.signal(Signal::Withdrawn(Ballot { by: Person::new("lead"), mark: Mark::Approve, request, reason: None }));
}

/// Others take so many connections of the database that two more instances do not fit.
fn the_database_fills(script: &mut Script) {
    script.pools[0] =
        Ok(PoolBudget { limit: 100, reserved: 3, others: 20, per_instance: 15, surge: 0, limit_of: None });
}

mod cut;
mod ending;
mod fleet;
mod held;
mod killed;
mod people;
mod unnamed;
mod upgrade;

mod checks_have_an_age {
    use super::*;

    #[tokio::test]
    async fn what_was_checked_more_than_a_minute_ago_is_checked_anew_before_anything_is_changed() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 61);
        stage.resume().await;
        assert_eq!(steps(&stage)[..4], ["assess", "precheck", "precheck/1/anew-2", "scale"]);
        assert_eq!(ended(&stage).0, "completed");
    }

    #[tokio::test]
    async fn what_was_checked_a_minute_ago_still_holds() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 60);
        stage.resume().await;
        assert_eq!(steps(&stage)[..3], ["assess", "precheck", "scale"]);
    }

    #[tokio::test]
    async fn what_got_worse_meanwhile_stops_it() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 61);
        the_database_fills(&mut stage.script());
        stage.resume().await;
        let (outcome, reason) = ended(&stage);
        assert!(outcome == "refused" && reason.contains("110 needed"), "{outcome}: {reason}");
        assert_eq!(times(&stage, "scaling"), 0);
    }

    #[tokio::test]
    async fn a_halt_that_began_meanwhile_is_put_to_governance() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 61);
        both_halted(&mut stage.script());
        stage.resume().await;
        assert_eq!(steps(&stage)[2..4], ["precheck/1/anew-2", "approve/1/ask"]);
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("expired", 0));
    }

    #[tokio::test]
    async fn checks_that_were_made_anew_grow_old_as_well_and_are_read_again_as_they_were_recorded() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 61);
        stage.resume_until("prechecked").await;
        passes(&stage, 61);
        stage.resume_until("scaled").await;
        passes(&stage, 61);
        stage.resume().await;
        let all = steps(&stage);
        assert_eq!(all[..5], ["assess", "precheck", "precheck/1/anew-2", "precheck/1/anew-3", "scale"]);
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "parked")), ("completed", 0));
    }

    #[tokio::test]
    async fn what_was_checked_before_the_clock_went_back_is_of_an_age_that_nobody_knows() {
        let stage = Stage::new();
        stage.play_until(UP, "prechecked").await;
        passes(&stage, 7_200);
        stage.script().set_back = Duration::from_hours(3);
        the_database_fills(&mut stage.script());
        stage.resume().await;
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("refused", 0));
    }

    #[tokio::test]
    async fn under_an_approval_they_are_made_anew_too_and_what_got_worse_stops_it() {
        let approved = async || {
            let stage = Stage::with(the_lead_approves);
            stage.play_until(UP, "approved").await;
            stage.resume_until("prechecked").await;
            passes(&stage, 61);
            stage
        };
        let stage = approved().await;
        stage.resume().await;
        assert!(steps(&stage).contains(&"approve/1/again/anew-2".to_owned()), "{:?}", steps(&stage));
        assert_eq!(ended(&stage).0, "completed");

        let stage = approved().await;
        the_database_fills(&mut stage.script());
        stage.resume().await;
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("refused", 0));
    }
}

mod readiness_has_a_deadline {
    use super::*;

    /// What was waited for, and how many seconds after the count was set that was said.
    fn waited(stage: &Stage) -> (String, String, u64) {
        let kind = if times(stage, "scaled") == 1 { "scaled" } else { "not_ready" };
        let said = last(stage, kind);
        let problem = said["problem"].as_str().unwrap_or_default().to_owned();
        (said["ended"].as_str().unwrap().to_owned(), problem, said["took"].as_u64().unwrap() / 1000)
    }

    fn arrive(script: &mut Script, state: InstanceState) {
        for instance in &mut script.fleet.as_mut().unwrap().instances {
            if ["api-5", "api-6"].contains(&instance.id.as_str()) {
                instance.state = state;
            }
        }
    }

    async fn set(becomes: InstanceState) -> Stage {
        let stage = Stage::with(|script| script.arrive = (becomes, None));
        stage.play_until(UP, "scaling_answered").await;
        stage
    }

    #[tokio::test]
    async fn it_is_where_the_log_says_and_a_restart_does_not_move_it() {
        let stage = set(InstanceState::Starting).await;
        passes(&stage, 20);
        let (ended, problem, after) = waited(stage.resume().await);
        assert_eq!((ended.as_str(), after), ("too_late", 30));
        assert!(problem.contains("api-5") && problem.contains("api-6"), "{problem}");
    }

    #[tokio::test]
    async fn who_comes_back_after_it_says_so_at_the_first_look_where_one_is_not_ready() {
        let stage = set(InstanceState::Starting).await;
        passes(&stage, 600);
        stage.script().on_look = |script| {
            // Just too late.
            if script.clock > Duration::from_millis(600_200) {
                arrive(script, InstanceState::Ready);
            }
        };
        let (ended, _, after) = waited(stage.resume().await);
        assert_eq!((ended.as_str(), after), ("too_late", 600));
    }

    #[tokio::test]
    async fn who_comes_back_after_it_looks_for_long_enough_to_tell_that_they_stay_ready() {
        let stage = set(InstanceState::Ready).await;
        passes(&stage, 600);
        let (ended, _, after) = waited(stage.resume().await);
        assert_eq!((ended.as_str(), after), ("ready", 603));
    }

    #[tokio::test]
    async fn one_that_is_not_ready_for_a_moment_has_no_second_grace() {
        let stage = set(InstanceState::Ready).await;
        passes(&stage, 600);
        stage.script().on_look = |script| {
            let away = script.clock == Duration::from_secs(602);
            arrive(script, if away { InstanceState::NotReady } else { InstanceState::Ready });
        };
        let (ended, _, after) = waited(stage.resume().await);
        assert_eq!((ended.as_str(), after), ("too_late", 602));
    }

    #[tokio::test]
    async fn for_who_was_there_all_the_time_it_is_not_moved_by_one_that_is_ready_at_last() {
        let stage = Stage::with(|script| {
            script.arrive = (InstanceState::Starting, None);
            script.on_look = |script| {
                if script.clock == Duration::from_secs(28) {
                    arrive(script, InstanceState::Ready);
                }
            };
        });
        let (ended, _, after) = waited(stage.play(UP).await);
        assert_eq!((ended.as_str(), after), ("too_late", 30));
    }
}

mod a_clock_that_was_set_back {
    use super::*;

    fn goes_back(stage: &Stage) {
        stage.script().set_back = Duration::from_hours(1);
    }

    #[tokio::test]
    async fn voids_a_request_that_is_open_whoever_approves_it() {
        let stage = Stage::with(both_halted);
        stage.play_until(UP, "approval_requested").await;
        goes_back(&stage);
        stage.script().on_show = |script, _, card| script.vote(card, "lead", Mark::Approve);
        stage.resume().await;
        let (outcome, reason) = ended(&stage);
        assert!(outcome == "expired" && reason.contains("clock went back"), "{outcome}: {reason}");
        assert_eq!((times(&stage, "clock_jump"), times(&stage, "approved"), times(&stage, "scaling")), (1, 0, 0));
    }

    #[tokio::test]
    async fn voids_an_approval_that_was_given_and_governance_is_asked_again() {
        let stage = Stage::with(the_lead_approves);
        stage.play_until(UP, "approved").await;
        goes_back(&stage);
        stage.script().on_show = |_, _, _| ();
        stage.resume().await;
        let again = last(&stage, "approval_requested");
        assert!(again["changed"].to_string().contains("clock went back"), "{again}");
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("expired", 0));
    }

    #[tokio::test]
    async fn by_a_moment_only_does_so_too_and_the_mark_from_before_answers_no_later_request() {
        let stage = Stage::with(the_lead_approves);
        stage.play_until(UP, "approved").await;
        stage.script().set_back = Duration::from_secs(5);
        stage.script().on_show = |_, _, _| ();
        stage.resume().await;
        assert_eq!((times(&stage, "approval_requested"), times(&stage, "approved")), (2, 1));
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("expired", 0));
    }

    #[tokio::test]
    async fn does_not_void_what_is_asked_afterwards() {
        let stage = Stage::with(the_lead_approves);
        stage.play_until(UP, "approved").await;
        goes_back(&stage);
        stage.resume().await;
        assert_eq!((times(&stage, "approval_requested"), times(&stage, "scaling")), (2, 1));
        assert_eq!(ended(&stage).0, "completed");
    }
}

mod an_approval_that_is_taken_back {
    use super::*;

    fn nothing_was_done(stage: &Stage) {
        assert_eq!((times(stage, "approved"), times(stage, "vote_withdrawn"), times(stage, "scaling")), (1, 1, 0));
        let again = last(stage, "approval_requested");
        assert!(again["changed"].to_string().contains("withdrawn"), "{again}");
        assert_eq!(ended(stage).0, "expired");
    }

    /// Approves the first request only.
    fn approves_once(script: &mut Script) {
        both_halted(script);
        script.on_show = |script, _, card| {
            if !script.events.iter().any(|event| event.kind == "approved") {
                script.vote(card, "lead", Mark::Approve);
            }
        };
    }

    #[tokio::test]
    async fn right_after_it_was_given_counts() {
        let stage = Stage::with(|script| {
            approves_once(script);
            script.on_event = |script, event| {
                if event.kind == "approved" {
                    the_lead_withdraws(script);
                }
            };
        });
        nothing_was_done(stage.play(UP).await);
    }

    #[tokio::test]
    async fn while_the_guard_reads_for_the_last_time_counts() {
        let stage = Stage::with(|script| {
            approves_once(script);
            script.on_look = |script| {
                let checks = script.events.iter().filter(|event| event.kind == "prechecked").count();
                let at_the_guard = script.events.last().is_some_and(|event| event.kind == "prechecked") && checks == 2;
                if at_the_guard {
                    the_lead_withdraws(script);
                }
            };
        });
        nothing_was_done(stage.play(UP).await);
    }

    #[tokio::test]
    async fn by_a_mark_against_it_counts_also_where_the_first_mark_stands() {
        let stage = Stage::with(|script| {
            approves_once(script);
            script.on_event = |script, event| {
                if event.kind == "approved" {
                    let request = body(event)["request"].as_str().unwrap().to_owned();
                    script.signal(Signal::Cast(Ballot {
                        by: Person::new("lead"),
                        mark: Mark::Reject,
                        request,
                        reason: None,
                    }));
                }
            };
        });
        stage.play(UP).await;
        let again = last(&stage, "approval_requested");
        assert!(again["changed"].to_string().contains("lead has rejected it since"), "{again}");
        // The very same is asked again, and a rejection of it stands.
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("rejected", 0));
    }

    #[tokio::test]
    async fn once_the_change_is_announced_comes_too_late() {
        let stage = Stage::with(|script| {
            approves_once(script);
            script.on_event = |script, event| {
                if event.kind == "scaling" {
                    the_lead_withdraws(script);
                }
            };
        });
        stage.play(UP).await;
        assert_eq!((times(&stage, "vote_withdrawn"), ended(&stage).0.as_str()), (1, "completed"));
    }
}

mod an_approval_that_is_too_old {
    use super::*;

    async fn approved_eleven_minutes_ago() -> Stage {
        let stage = Stage::with(the_lead_approves);
        stage.play_until(UP, "approved").await;
        passes(&stage, 660);
        stage
    }

    #[tokio::test]
    async fn is_void_and_its_mark_answers_no_later_request() {
        let stage = approved_eleven_minutes_ago().await;
        stage.script().on_show = |_, _, _| ();
        stage.resume().await;
        assert_eq!((times(&stage, "approval_requested"), times(&stage, "approved")), (2, 1));
        assert_eq!((ended(&stage).0.as_str(), times(&stage, "scaling")), ("expired", 0));
    }

    #[tokio::test]
    async fn is_replaced_by_a_new_one() {
        let stage = approved_eleven_minutes_ago().await;
        stage.resume().await;
        assert_eq!((times(&stage, "approval_requested"), times(&stage, "approved")), (2, 2));
        assert_eq!(ended(&stage).0, "completed");
    }
}

mod verification {
    use super::*;

    /// Nothing that could not be told is a pass: it stops there, and says that.
    fn is_inconclusive(stage: &Stage, because: &str) {
        let verified = last(stage, "verified");
        assert_eq!(verified["result"], "inconclusive", "{verified}");
        assert!(verified["problems"].to_string().contains(because), "{verified}");
        assert_eq!((ended(stage).0.as_str(), times(stage, "monitored")), ("failed", 0));
    }

    /// That happens to the fleet once every instance is ready.
    async fn after(happens: fn(&mut Script, &Event)) -> Stage {
        let stage = Stage::with(|script| script.on_event = happens);
        stage.play(UP).await;
        stage
    }

    #[tokio::test]
    async fn of_a_fleet_that_cannot_be_seen_is_no_pass() {
        let stage = after(|script, event| {
            if event.kind == "scaled" {
                script.fleet = unreachable("the rehearsal's world");
            }
        });
        is_inconclusive(&stage.await, "the rehearsal's world cannot be reached");
    }

    #[tokio::test]
    async fn of_no_instance_at_all_is_no_pass() {
        let stage = after(|script, event| {
            if event.kind == "scaled" {
                script.fleet.as_mut().unwrap().instances.clear();
            }
        });
        is_inconclusive(&stage.await, "Only 0 of 6 instances were seen.");
    }

    #[tokio::test]
    async fn of_fewer_than_there_are_to_be_is_no_pass_however_well_they_do() {
        let stage = after(|script, event| {
            if event.kind == "scaled" {
                script.fleet.as_mut().unwrap().instances.truncate(5);
            }
        });
        is_inconclusive(&stage.await, "Only 5 of 6 instances were seen.");
    }

    #[tokio::test]
    async fn one_that_does_not_say_what_the_others_say_is_not_known_and_never_not_configured() {
        let stage = Stage::with(|script| _ = script.ill.insert("api-6", Ill::Older));
        is_inconclusive(stage.play(UP).await, "api-6, keys");
        is_inconclusive(&stage, "api-6, halt");
    }
}

mod taking_back {
    use scalebot_commands::policy::{Policy, TakeBack};
    use scalebot_commands::ports::Slot;

    use super::*;

    async fn under(rule: TakeBack, set_up: impl FnOnce(&mut Script)) -> Stage {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        policy.back.rule = rule;
        policy.back.incident_runbook = Some("https://runbooks.example/incident-response".to_owned());
        let stage = Stage::with(|script| {
            script.ill = [("api-6", Ill::NoKeys)].into();
            set_up(script);
        });
        stage.play_under(UP, &policy).await;
        stage
    }

    fn count(stage: &Stage) -> u32 {
        stage.script().fleet.as_ref().unwrap().wanted.0
    }

    #[tokio::test]
    async fn by_itself_it_says_what_happened_and_links_the_incident_runbook() {
        let stage = under(TakeBack::Automatic, |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), count(&stage)), ("rolled_back", 4), "{reason}");
        assert!(reason.contains("Incident runbook: https://runbooks.example/incident-response"), "{reason}");
        assert!(reason.contains("Logs of api-6"), "{reason}");
    }

    #[tokio::test]
    async fn nobody_is_ended_whom_somebody_lets_have_requests_again_after_they_were_drained() {
        let stage = under(TakeBack::Automatic, |script| {
            script.on_event = |script, event| {
                if event.kind == "drained" {
                    script.drained.clear();
                }
            };
        })
        .await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), count(&stage), times(&stage, "rolling_back")), ("failed", 6, 0), "{reason}");
        assert!(reason.contains("have requests again"), "{reason}");
    }

    #[tokio::test]
    async fn who_was_told_to_end_and_never_does_is_still_there() {
        let stage = under(TakeBack::Automatic, |script| {
            script.on_event = |script, event| {
                if event.kind == "rolling_back_answered" {
                    let fleet = script.fleet.as_mut().unwrap();
                    let (id, state) = (InstanceId::new("api-6"), InstanceState::Terminating);
                    fleet.instances.push(Instance { id, state, ..fleet.instances[0].clone() });
                }
            };
        })
        .await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), &last(&stage, "rolled_back")["done"]), ("failed", &false.into()), "{reason}");
        assert!(reason.contains("the fleet is not as it was: still there: api-6"), "{reason}");
    }

    #[tokio::test]
    async fn where_policy_says_never_it_is_left_and_how_to_bring_it_back_is_said() {
        let stage = under(TakeBack::Never, |_| ()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), count(&stage)), ("failed", 6), "{reason}");
        assert!(reason.contains("/scale rollback brings it back to 4"), "{reason}");
        assert_eq!(times(&stage, "rolling_back"), 0);
    }

    #[tokio::test]
    async fn where_it_is_asked_an_operator_decides_and_a_viewer_does_not() {
        for (mark, outcome, left) in [(Mark::Approve, "rolled_back", 4), (Mark::Reject, "failed", 6)] {
            let stage = under(TakeBack::Ask, |script| {
                script.attended = true;
                script.keys = true;
                let opposite: fn(&mut Script, Slot, &scalebot_commands::card::Card) = match mark {
                    Mark::Approve => |script, _, card| {
                        script.vote(card, "viewer", Mark::Reject);
                        script.vote(card, "operator", Mark::Approve);
                    },
                    Mark::Reject => |script, _, card| {
                        script.vote(card, "viewer", Mark::Approve);
                        script.vote(card, "operator", Mark::Reject);
                    },
                };
                script.on_show = opposite;
            })
            .await;
            assert_eq!((ended(&stage).0.as_str(), count(&stage)), (outcome, left), "{}", ended(&stage).1);
            assert_eq!(last(&stage, "way_back")["by"], "operator");
        }
    }

    #[tokio::test]
    async fn a_lead_who_takes_up_the_offer_halts_the_system_and_the_fleet_is_back_before_that() {
        let stage = under(TakeBack::Automatic, |script| {
            script.attended = true;
            script.ill = [("api-6", Ill::OtherChain)].into();
            script.on_show = |script, slot, card| {
                if slot == Slot::HaltOffer {
                    script.vote(card, "lead", Mark::Approve);
                }
            };
        })
        .await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), count(&stage)), ("rolled_back", 4), "{reason}");
        assert!(reason.contains("The system was halted on the word of lead"), "{reason}");
        let kinds: Vec<String> = stage.script().events.iter().map(|event| event.kind.clone()).collect();
        let place = |kind: &str| kinds.iter().position(|one| one == kind).unwrap();
        assert!(place("rolled_back") < place("halting"), "{kinds:?}");
    }
}

mod every_command_at_every_state {
    use scalebot_commands::desk::Received;
    use scalebot_commands::policy::Policy;
    use scalebot_commands::request::Word;

    use super::*;

    /// An operation is at each of these when its process dies.
    const STATES: [&str; 10] = [
        "requested",
        "assessed",
        "prechecked",
        "scaling",
        "scaling_answered",
        "scaled",
        "verified",
        "way_back",
        "rolling_back",
        "rolled_back",
    ];

    #[tokio::test]
    async fn a_change_is_refused_by_name_a_question_is_answered_and_nothing_is_opened_twice() {
        let policy = Policy::rehearsal(Duration::from_mins(1));
        for state in STATES {
            let stage = Stage::with(|script| {
                if ["way_back", "rolling_back", "rolled_back"].contains(&state) {
                    script.ill = [("api-6", Ill::NoKeys)].into();
                }
            });
            stage.play_until(UP, state).await;
            let begun = times(&stage, "requested");
            for word in Word::ALL {
                let before = times(&stage, "command_refused");
                let received = stage.take_of("operator", word.form(), &policy).await;
                match word {
                    Word::Up | Word::Down | Word::Rollback => {
                        let Received::Refused(why) = received else { panic!("{state}: {word:?}: {received:?}") };
                        assert!(why.contains("/scale up 6 by operator is under way"), "{state}: {word:?}: {why}");
                        assert_eq!(times(&stage, "command_refused"), before + 1, "{state}: {word:?}");
                    }
                    _ => assert_eq!(received, Received::Question, "{state}: {word:?}"),
                }
                if !matches!(word, Word::Up | Word::Down | Word::Rollback | Word::Cancel) {
                    let length = stage.script().events.len();
                    stage.ask("operator", word.form()).await;
                    assert_eq!(stage.script().events.len(), length, "{state}: {word:?} is only a question");
                }
            }
            assert_eq!(times(&stage, "requested"), begun, "{state}");
        }
    }
}

mod going_down {
    use scalebot_commands::policy::{FreezeWindow, Policy};
    use scalebot_commands::ports::{Choice, Precondition, Slot, Work};
    use scalebot_commands::units::{InstanceId, OperationId, Replicas};

    use super::*;

    const DOWN: &str = "/scale down 3 reason:\"night\"";

    /// Sets one limit of the policy.
    type Limit = fn(&mut Policy, &FreezeWindow);

    fn policy() -> Policy {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        // The stage's instances are busy; here it is about whom, not about how much.
        (policy.load.busy, policy.load.cpu, policy.load.p99_ms) = (9.0, 9.0, 9_999.0);
        policy.load.error_share = 1.0;
        policy
    }

    fn works(instance: &str) -> (InstanceId, Work) {
        let work = Work { what: "ceremony 12".to_owned(), constitutional: true, since: None };
        (InstanceId::new(instance), work)
    }

    fn victims(stage: &Stage) -> Vec<String> {
        let plan = last(stage, "prechecked")["plan"]["victims"].clone();
        plan.as_array().unwrap().iter().map(|one| one["instance"].as_str().unwrap().to_owned()).collect()
    }

    #[tokio::test]
    async fn the_newest_goes_unless_it_works_on_something_or_another_gets_no_requests_anyway() {
        let cases: [(&[&str], &[&str], &str); 3] =
            [(&[], &[], "api-4"), (&["api-4", "api-3"], &[], "api-2"), (&[], &["api-1"], "api-1")];
        for (working, drained, victim) in cases {
            let stage = Stage::with(|script| {
                script.work = working.iter().map(|one| works(one)).collect();
                script.drained = drained.iter().map(|one| InstanceId::new(*one)).collect();
            });
            stage.play_under(DOWN, &policy()).await;
            assert_eq!(victims(&stage), [victim], "{:?}", ended(&stage));
            assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
            assert!(!stage.script().fleet.as_ref().unwrap().instances.iter().any(|one| one.id.as_str() == victim));
        }
    }

    #[tokio::test]
    async fn where_it_is_not_known_whether_one_was_ended_nobody_is_told_that_none_was() {
        let stage = Stage::with(|script| {
            script.on_event = |script, event| {
                if event.kind == "terminating" {
                    // It is ended, the answer is lost, and somebody sets the count before anybody looks.
                    script.scale = unreachable("the orchestrator");
                    script.end(&[InstanceId::new("api-4")], Replicas(3), &OperationId::new("ours"));
                    script.set_count(Replicas(5), &OperationId::new("a colleague"));
                }
            };
        });
        stage.play_under(DOWN, &policy()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), times(&stage, "documented")), ("failed", 1), "{reason}");
        assert!(reason.contains("not known whether api-4") && !reason.contains("No instance was ended"), "{reason}");
    }

    #[tokio::test]
    async fn where_the_orchestrator_has_an_order_of_its_own_nobody_else_is_ended() {
        let ordered = |script: &mut Script| {
            let order = ["api-3", "api-4"].map(InstanceId::new).to_vec();
            script.choice = Choice::InOrder { order, why: "the highest number goes first".to_owned() };
        };
        let stage = Stage::with(ordered);
        stage.play_under(DOWN, &policy()).await;
        assert_eq!((victims(&stage), ended(&stage).0.as_str()), (vec!["api-3".to_owned()], "completed"));
        // Nobody is passed over for one that gets no requests anyway.
        let stage = Stage::with(|script| {
            ordered(script);
            script.drained = vec![InstanceId::new("api-1")];
        });
        stage.play_under(DOWN, &policy()).await;
        assert_eq!(victims(&stage), ["api-3"]);
        assert_eq!(last(&stage, "prechecked")["plan"]["victims"][0]["why"], "the highest number goes first");
        // And nobody for one whose turn it is and who must not be cut off.
        let stage = Stage::with(|script| {
            ordered(script);
            script.work = vec![works("api-3")];
        });
        stage.play_under(DOWN, &policy()).await;
        let (outcome, reason) = ended(&stage);
        assert!(outcome == "refused" && reason.contains("api-3 works on ceremony 12"), "{outcome}: {reason}");
    }

    #[tokio::test]
    async fn where_nobody_compares_and_changes_in_one_step_who_asks_and_who_decides_are_told() {
        let said =
            |stage: &Stage, slot| stage.cards(slot).iter().any(|card| format!("{card:?}").contains("in that second"));
        let stage = Stage::with(|script| script.halt = [Ok(halted(true)), Ok(halted(true))]);
        stage.play(UP).await;
        assert!(!said(&stage, Slot::Precheck) && !said(&stage, Slot::Approval));
        let stage = Stage::with(|script| {
            script.halt = [Ok(halted(true)), Ok(halted(true))];
            script.precondition = Precondition::Advisory;
        });
        stage.play(UP).await;
        assert!(said(&stage, Slot::Precheck) && said(&stage, Slot::Approval));
    }

    #[tokio::test]
    async fn one_that_somebody_else_ends_while_it_is_drained_is_not_sent_requests_again() {
        for (state, said) in
            [(Some(InstanceState::Terminating), "api-4 is ending or has failed"), (None, "api-4 is gone")]
        {
            let stage = Stage::with(|script| {
                script.on_event = match state {
                    Some(_) => |script, event| {
                        if event.kind == "drained" {
                            let fleet = script.fleet.as_mut().unwrap();
                            (fleet.wanted.0, fleet.generation) = (3, fleet.generation + 1);
                            fleet.instances[3].state = InstanceState::Terminating;
                        }
                    },
                    None => |script, event| {
                        if event.kind == "drained" {
                            let fleet = script.fleet.as_mut().unwrap();
                            (fleet.wanted.0, fleet.generation) = (3, fleet.generation + 1);
                            fleet.instances.truncate(3);
                        }
                    },
                };
            });
            stage.play_under(DOWN, &policy()).await;
            let (outcome, reason) = ended(&stage);
            assert_eq!((outcome.as_str(), times(&stage, "terminating")), ("refused", 0), "{reason}");
            assert!(reason.contains(said) && reason.contains("so it gets no requests"), "{reason}");
            assert_eq!(times(&stage, "interference"), 1, "{reason}");
        }
    }

    #[tokio::test]
    async fn where_everybody_works_on_something_nobody_is_ended() {
        let stage = Stage::with(|script| {
            script.work = ["api-1", "api-2", "api-3", "api-4"].iter().map(|one| works(one)).collect();
        });
        stage.play_under(DOWN, &policy()).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!(outcome, "refused");
        assert!(reason.contains("api-4 works on ceremony 12") && reason.contains("must not be cut off"), "{reason}");
    }

    #[tokio::test]
    async fn over_a_limit_it_is_refused_where_nobody_lifts_it() {
        let mut strict = policy();
        strict.load.busy = 0.01;
        let stage = Stage::new();
        stage.play_under(DOWN, &strict).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!(outcome, "refused");
        assert!(reason.contains("Busy share") && reason.contains("for each of 3"), "{reason}");
        assert!(reason.contains("A governance lead may lift this, with a reason"), "{reason}");
    }

    #[tokio::test]
    async fn each_limit_of_the_count_names_itself_and_who_may_lift_it() {
        let now = Stage::new().script().now();
        let freeze =
            FreezeWindow { from: now, until: now + Duration::from_hours(2), why: "end of the quarter".to_owned() };
        let limits: [(Limit, &str, &str); 3] = [
            (
                |policy, freeze| policy.count.freeze = vec![freeze.clone()],
                "end of the quarter",
                "governance lead may lift",
            ),
            (|policy, _| policy.count.largest_step_percent = 20, "at most 20 %", "keeps the configuration"),
            (
                |policy, _| policy.count.minimum = scalebot_commands::units::Replicas(4),
                "below 4",
                "keeps the configuration",
            ),
        ];
        for (limit, rule, who) in limits {
            let mut policy = policy();
            limit(&mut policy, &freeze);
            let stage = Stage::new();
            stage.play_under(DOWN, &policy).await;
            let (outcome, reason) = ended(&stage);
            assert_eq!(outcome, "refused", "{rule}");
            assert!(reason.contains(rule) && reason.contains(who), "{reason}");
        }
    }

    #[tokio::test]
    async fn soon_after_the_last_one_it_has_to_wait_and_is_told_how_long() {
        let mut policy = policy();
        policy.count.cool_down = Duration::from_mins(5);
        let stage = Stage::new();
        stage.play_under(DOWN, &policy).await;
        assert_eq!(ended(&stage).0, "completed", "{:?}", ended(&stage));
        passes(&stage, 60);
        stage.play_under("/scale down 2 reason:\"night\"", &policy).await;
        let (outcome, reason) = ended(&stage);
        assert_eq!(outcome, "refused");
        assert!(reason.contains("5 min have to pass. Ask again in"), "{reason}");
    }
}

mod other_limits_after_a_restart {
    use scalebot_commands::policy::Policy;

    use super::*;

    fn others() -> Policy {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        policy.approval.decide_within = Duration::from_mins(2);
        policy.load.p99_ms = 1.0;
        policy
    }

    #[tokio::test]
    async fn an_operation_that_was_approved_goes_on_where_its_log_says() {
        let stage = Stage::with(the_lead_approves);
        stage.play_until(UP, "scaled").await;
        stage.resume_under(&others()).await;
        assert_eq!(times(&stage, "parked"), 0, "{:?}", steps(&stage));
        assert_eq!((times(&stage, "scaling"), times(&stage, "finished")), (1, 1), "{:?}", steps(&stage));
    }

    #[tokio::test]
    async fn whether_it_was_asked_why_is_told_by_the_log() {
        let stage = Stage::new();
        stage.play_until(UP, "scaled").await;
        stage.resume_under(&others()).await;
        assert_eq!((times(&stage, "parked"), times(&stage, "finished")), (0, 1), "{:?}", steps(&stage));
    }
}

mod a_rollback {
    use scalebot_commands::policy::Policy;

    use super::*;
    use crate::testing::instance;

    fn drained(stage: &Stage) -> Vec<String> {
        stage.script().drained.iter().map(ToString::to_string).collect()
    }

    fn names(stage: &Stage) -> Vec<String> {
        let script = stage.script();
        script.fleet.as_ref().unwrap().instances.iter().map(|one| one.id.to_string()).collect()
    }

    /// Somebody replaces an old instance; count and mark stay as they are.
    fn replace_an_old_one(stage: &Stage) {
        let mut script = stage.script();
        let fleet = script.fleet.as_mut().unwrap();
        fleet.instances.retain(|one| one.id.as_str() != "api-2");
        fleet.instances.push(instance("api-9", InstanceState::Ready, None));
    }

    #[tokio::test]
    async fn touches_nobody_where_who_is_new_is_not_who_was_added() {
        let stage = Stage::new();
        stage.play(UP).await;
        replace_an_old_one(&stage);
        stage.play("/scale rollback").await;
        let (outcome, reason) = ended(&stage);
        assert_eq!((outcome.as_str(), names(&stage).len()), ("failed", 6), "{reason}");
        assert_eq!((drained(&stage), times(&stage, "draining")), (vec![], 0), "{reason}");
        assert!(reason.contains("The count is 6") && reason.contains("/scale down 4"), "{reason}");
    }

    #[tokio::test]
    async fn of_going_down_takes_nobody_out_of_the_balancer() {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        (policy.load.busy, policy.load.cpu, policy.load.p99_ms, policy.load.error_share) = (9.0, 9.0, 9_999.0, 1.0);
        let stage = Stage::new();
        stage.play_under("/scale down 3 reason:\"night\"", &policy).await;
        stage.play_under("/scale rollback", &policy).await;
        assert_eq!((ended(&stage).0.as_str(), names(&stage).len()), ("completed", 4), "{:?}", ended(&stage));
        assert_eq!(times(&stage, "draining"), 1, "only the one that went down was drained");
    }

    #[tokio::test]
    async fn undoes_what_was_done_of_an_operation_that_was_cancelled_half_way() {
        let mut policy = Policy::rehearsal(Duration::from_mins(1));
        (policy.load.busy, policy.load.cpu, policy.load.p99_ms, policy.load.error_share) = (9.0, 9.0, 9_999.0, 1.0);
        let stage = Stage::with(|script| {
            script.on_event = |script, event| {
                if event.kind == "terminated" {
                    let by = Person::new("operator");
                    script.signal(Signal::Cancel(scalebot_commands::journal::CancelRequested { by }));
                }
            };
        });
        stage.play_under("/scale down 2 reason:\"night\"", &policy).await;
        assert_eq!((ended(&stage).0.as_str(), names(&stage).len()), ("cancelled", 3), "{:?}", ended(&stage));
        stage.script().on_event = |_, _| ();
        stage.play_under("/scale rollback", &policy).await;
        assert_eq!((ended(&stage).0.as_str(), names(&stage).len()), ("completed", 4), "{:?}", ended(&stage));
    }
}
