//! Whose word counts, and for how long: what becomes of a mark or a word when it is made by somebody who may not, when it
//! cannot be told who made it, when it is taken back, and when it comes too late. The real runbook, played on the stage.

use scalebot_commands::journal::{CancelRequested, PersonsAnswer};
use scalebot_commands::policy::{Policy, TakeBack};
use scalebot_commands::ports::Slot;

use super::*;
use crate::testing::Manner;

fn reason(stage: &Stage) -> String {
    last(stage, "finished")["reason"].as_str().unwrap_or_default().to_owned()
}

/// What was told to that person only.
fn told(stage: &Stage, whom: &str) -> Vec<String> {
    let script = stage.script();
    script.told.iter().filter(|(person, _)| person == whom).map(|(_, text)| text.clone()).collect()
}

fn cancelled_by(script: &Script, by: &str) {
    script.signal(Signal::Cancel(CancelRequested { by: Person::new(by) }));
}

fn policy(rule: TakeBack) -> Policy {
    let mut policy = Policy::rehearsal(Duration::from_mins(1));
    policy.back.rule = rule;
    policy
}

/// Somebody is there, a new instance contradicts the others, and that is set up besides.
async fn contradicted(rule: TakeBack, set_up: impl FnOnce(&mut Script)) -> Stage {
    let stage = Stage::with(|script| {
        script.attended = true;
        script.ill = [("api-6", Ill::OtherChain)].into();
        set_up(script);
    });
    stage.play_under(UP, &policy(rule)).await;
    stage
}

/// The lead takes up the offer to halt as soon as it is made.
fn the_lead_halts(script: &mut Script) {
    script.on_show = |script, slot, card| {
        if slot == Slot::HaltOffer {
            script.vote(card, "lead", Mark::Approve);
        }
    };
}

mod of_whom_nothing_can_be_told {
    use super::*;

    /// The operator says that the fleet is to be brought back.
    fn the_operator_agrees(script: &mut Script) {
        script.on_show = |script, slot, card| {
            if slot == Slot::Approval {
                script.vote(card, "operator", Mark::Approve);
            }
        };
    }

    #[tokio::test]
    async fn a_mark_on_going_back_is_kept_and_counts_once_it_can_be_told() {
        let stage = contradicted(TakeBack::Ask, |script| {
            the_operator_agrees(script);
            script.on_event = |script, event| {
                if event.kind == "way_back_asked" {
                    script.untold = [("operator", script.clock + Duration::from_mins(2))].into();
                }
            };
        })
        .await;
        let decided = last(&stage, "way_back");
        assert_eq!((&decided["decided"], &decided["by"]), (&"agreed".into(), &"operator".into()), "{decided}");
        assert_eq!((times(&stage, "vote_refused"), told(&stage, "operator")), (0, vec![]));
    }

    #[tokio::test]
    async fn it_is_kept_until_the_deadline_and_no_longer() {
        let stage = contradicted(TakeBack::Ask, |script| {
            the_operator_agrees(script);
            script.on_event = |script, event| {
                if event.kind == "way_back_asked" {
                    script.untold = [("operator", script.clock + Duration::from_hours(1))].into();
                }
            };
        })
        .await;
        assert_eq!(last(&stage, "way_back")["decided"], "unanswered");
        assert_eq!((times(&stage, "vote_refused"), told(&stage, "operator")), (0, vec![]));
    }

    #[tokio::test]
    async fn a_word_on_the_keys_is_kept_and_counts_once_it_can_be_told() {
        let stage = Stage::with(|script| {
            script.attended = true;
            script.keys = false;
            script.on_event = |script, event| {
                if event.kind == "verified" {
                    let until = script.clock + Duration::from_secs(30);
                    script.untold = [("operator", until)].into();
                    script
                        .signal(Signal::Attest(PersonsAnswer { by: Person::new("operator"), text: "I looked".into() }));
                }
            };
        });
        stage.play(UP).await;
        assert_eq!(last(&stage, "attested")["by"], "operator", "{}", reason(&stage));
        assert_eq!(told(&stage, "operator"), Vec::<String>::new());
    }
}

mod why_it_is_done {
    use super::*;

    /// Nothing is over its limit, so it is asked.
    async fn answered(by: &[&str]) -> Stage {
        let stage = Stage::with(|script| {
            script.attended = true;
            script.before = Some(Manner { old_ms: 300.0, new_ms: 300.0, failing: 0 });
            script.on_show = match by {
                ["viewer", "operator2"] => |script, slot, _| {
                    if slot == Slot::Question {
                        says_why(script, "viewer");
                        says_why(script, "operator2");
                    }
                },
                ["lead"] => |script, slot, _| {
                    if slot == Slot::Question {
                        says_why(script, "lead");
                    }
                },
                _ => |script, slot, _| {
                    if slot == Slot::Question {
                        script.untold = [("operator", script.clock + Duration::from_secs(30))].into();
                        says_why(script, "operator");
                    }
                },
            };
        });
        stage.play(UP).await;
        stage
    }

    fn says_why(script: &Script, by: &str) {
        let text = format!("{by} says so");
        script.signal(Signal::Reason(PersonsAnswer { by: Person::new(by), text }));
    }

    #[tokio::test]
    async fn is_not_a_viewers_to_say_and_another_operators_is_taken() {
        let stage = answered(&["viewer", "operator2"]).await;
        assert_eq!(last(&stage, "rationale")["by"], "operator2");
        let private = told(&stage, "viewer");
        assert_eq!(private.len(), 1, "{private:?}");
        assert!(private[0].contains("Only an operator or a governance lead may say why it is done"), "{private:?}");
    }

    #[tokio::test]
    async fn may_be_said_by_a_lead() {
        assert_eq!(last(&answered(&["lead"]).await, "rationale")["reason"], "lead says so");
    }

    #[tokio::test]
    async fn is_kept_until_it_can_be_told_who_said_it() {
        let stage = answered(&["operator"]).await;
        assert_eq!((last(&stage, "rationale")["by"].clone(), told(&stage, "operator")), ("operator".into(), vec![]));
    }
}

mod the_word_to_halt {
    use super::*;

    /// The lead says so, and that happens when that is on record.
    async fn said(then: fn(&mut Script, &Event)) -> Stage {
        contradicted(TakeBack::Automatic, |script| {
            the_lead_halts(script);
            script.on_event = then;
        })
        .await
    }

    fn is_halted(stage: &Stage) -> bool {
        let called = stage.script().touched.contains(&"halt");
        assert_eq!(times(stage, "halting"), usize::from(called));
        called
    }

    fn was_not_halted(stage: &Stage, why: &str) {
        assert!(!is_halted(stage), "{}", reason(stage));
        assert!(reason(stage).contains("wanted the system halted") && reason(stage).contains(why), "{}", reason(stage));
        // Whatever became of that, the fleet is back.
        assert_eq!(
            (times(stage, "rolled_back"), last(stage, "finished")["outcome"].clone()),
            (1, "rolled_back".into())
        );
    }

    fn was_halted(stage: &Stage) {
        assert!(is_halted(stage), "{}", reason(stage));
        assert!(reason(stage).contains("The system was halted on the word of lead"), "{}", reason(stage));
    }

    #[tokio::test]
    async fn counts_where_it_stands() {
        was_halted(&said(|_, _| ()).await);
    }

    #[tokio::test]
    async fn taken_back_before_it_is_acted_on_means_no_halt() {
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                let offered = script.events.iter().find(|event| event.kind == "halt_offered").map(body).unwrap();
                let request = offered["digest"].as_str().unwrap().to_owned();
                let ballot = Ballot { by: Person::new("lead"), mark: Mark::Approve, request, reason: None };
                script.signal(Signal::Withdrawn(ballot));
            }
        });
        was_not_halted(&stage.await, "it was taken back");
    }

    #[tokio::test]
    async fn of_somebody_who_is_no_lead_any_more_means_no_halt() {
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                script.dismissed.push("lead");
            }
        });
        was_not_halted(&stage.await, "no longer holds the role");
    }

    #[tokio::test]
    async fn is_stopped_by_a_leads_cancel_and_not_by_an_operators() {
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                cancelled_by(script, "lead2");
            }
        });
        was_not_halted(&stage.await, "lead2 has asked to stop since");
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                cancelled_by(script, "operator");
            }
        });
        was_halted(&stage.await);
    }

    #[tokio::test]
    async fn that_was_said_too_long_ago_means_no_halt() {
        for (seconds, counts) in [(590, true), (601, false)] {
            let stage = Stage::with(|script| {
                script.attended = true;
                script.ill = [("api-6", Ill::OtherChain)].into();
                the_lead_halts(script);
            });
            stage.play_until(UP, "halt_answered").await;
            stage.script().clock += Duration::from_secs(seconds);
            stage.resume().await;
            if counts { was_halted(&stage) } else { was_not_halted(&stage, "more than 10 min ago") }
        }
    }

    #[tokio::test]
    async fn of_whom_nothing_can_be_told_is_waited_for_a_moment_and_then_is_no_halt() {
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                script.untold = [("lead", script.clock + Duration::from_secs(5))].into();
            }
        });
        was_halted(&stage.await);
        let stage = said(|script, event| {
            if event.kind == "halt_answered" {
                script.untold = [("lead", script.clock + Duration::from_hours(1))].into();
            }
        });
        was_not_halted(&stage.await, "Halt it by hand");
    }
}

mod the_offer_to_halt {
    use super::*;

    /// It is made once, before anything else is done about what was found; and nothing but the end waits for its answer.
    fn is_made_and_waited_for_by_nothing(stage: &Stage) {
        let kinds: Vec<String> = stage.script().events.iter().map(|event| event.kind.clone()).collect();
        let place =
            |kind: &str| kinds.iter().position(|one| one == kind).unwrap_or_else(|| panic!("{kind}: {kinds:?}"));
        assert_eq!(times(stage, "halt_offered"), 1, "{kinds:?}");
        assert!(place("documented") < place("halt_answered"), "{kinds:?}");
        if times(stage, "way_back") > 0 {
            assert!(place("halt_offered") < place("way_back"), "{kinds:?}");
        }
        assert!(reason(stage).contains("The system was halted on the word of lead"), "{}", reason(stage));
    }

    #[tokio::test]
    async fn is_made_where_policy_never_goes_back() {
        let stage = contradicted(TakeBack::Never, the_lead_halts).await;
        is_made_and_waited_for_by_nothing(&stage);
        assert_eq!(last(&stage, "way_back")["decided"], "never");
    }

    #[tokio::test]
    async fn is_made_while_it_is_asked_whether_to_go_back_and_is_another_question() {
        let stage = contradicted(TakeBack::Ask, |script| {
            script.on_show = |script, slot, card| match slot {
                Slot::HaltOffer => script.vote(card, "lead", Mark::Approve),
                Slot::Approval => script.vote(card, "operator", Mark::Reject),
                _ => {}
            };
        })
        .await;
        is_made_and_waited_for_by_nothing(&stage);
        assert_eq!(last(&stage, "way_back")["decided"], "declined");
        // Neither mark is taken for one on the other question.
        let private = stage.script().told.clone();
        assert_eq!((times(&stage, "vote_refused"), private), (0, vec![]));
    }

    #[tokio::test]
    async fn is_made_where_nobody_answers_whether_to_go_back() {
        let stage = contradicted(TakeBack::Ask, the_lead_halts).await;
        is_made_and_waited_for_by_nothing(&stage);
        assert_eq!(last(&stage, "way_back")["decided"], "unanswered");
    }

    #[tokio::test]
    async fn is_made_where_an_old_instance_is_the_one() {
        let stage = contradicted(TakeBack::Automatic, |script| {
            the_lead_halts(script);
            script.ill = [("api-2", Ill::OtherChain)].into();
        })
        .await;
        is_made_and_waited_for_by_nothing(&stage);
        assert_eq!(times(&stage, "way_back"), 0);
    }

    #[tokio::test]
    async fn is_made_on_the_way_down_and_where_only_the_watch_finds_it() {
        let mut policy = policy(TakeBack::Automatic);
        (policy.load.busy, policy.load.cpu, policy.load.p99_ms, policy.load.error_share) = (9.0, 9.0, 9_999.0, 1.0);
        for found_by in ["terminated", "verified"] {
            let stage = Stage::with(|script| {
                script.attended = true;
                the_lead_halts(script);
                script.on_event = match found_by {
                    "terminated" => |script, event| {
                        if event.kind == "terminated" {
                            script.ill = [("api-2", Ill::OtherChain)].into();
                        }
                    },
                    _ => |script, event| {
                        if event.kind == "verified" {
                            script.ill = [("api-2", Ill::OtherChain)].into();
                        }
                    },
                };
            });
            stage.play_under("/scale down 3 reason:\"night\"", &policy).await;
            is_made_and_waited_for_by_nothing(&stage);
            assert_eq!(times(&stage, "way_back"), 0, "{found_by}");
        }
    }

    #[tokio::test]
    async fn is_not_made_where_what_is_wrong_is_no_constitutional_matter() {
        let stage = contradicted(TakeBack::Automatic, |script| script.ill = [("api-6", Ill::Down)].into()).await;
        assert_eq!((times(&stage, "rolled_back"), times(&stage, "halt_offered")), (1, 0), "{}", reason(&stage));
    }

    #[tokio::test]
    async fn is_not_an_operators_to_end() {
        let stage = contradicted(TakeBack::Automatic, |script| {
            script.on_event = |script, event| match event.kind.as_str() {
                "documented" => cancelled_by(script, "operator"),
                "cancel_requested" => {
                    let offered = script.events.iter().find(|event| event.kind == "halt_offered").map(body).unwrap();
                    let request = offered["digest"].as_str().unwrap().to_owned();
                    script.clock += Duration::from_mins(1);
                    let ballot = Ballot { by: Person::new("lead"), mark: Mark::Approve, request, reason: None };
                    script.signal(Signal::Cast(ballot));
                }
                _ => {}
            };
        })
        .await;
        is_made_and_waited_for_by_nothing(&stage);
        let private = told(&stage, "operator");
        assert_eq!(private.len(), 1, "{private:?}");
        assert!(private[0].contains("Only a governance lead may answer the offer to halt the system"), "{private:?}");
    }

    #[tokio::test]
    async fn is_a_leads_to_end() {
        let stage = contradicted(TakeBack::Automatic, |script| {
            script.on_event = |script, event| {
                if event.kind == "documented" {
                    cancelled_by(script, "lead");
                }
            };
        })
        .await;
        let answered = last(&stage, "halt_answered");
        assert_eq!((&answered["halt"], &answered["by"][0]), (&Value::Null, &"lead".into()));
        assert_eq!(stage.card(Slot::HaltOffer).title, "No halt: lead ended the wait");
        assert!(stage.script().clock < Duration::from_mins(10), "nobody waited for the rest of the time");
    }

    #[tokio::test]
    async fn is_refused_at_the_desk_to_an_operator_who_would_end_it() {
        let stage = Stage::with(|script| {
            script.attended = true;
            script.ill = [("api-6", Ill::OtherChain)].into();
        });
        stage.play_until(UP, "documented").await;
        let why = stage.may_cancel("operator").await.unwrap_err();
        assert!(
            why.starts_with("All else is done; what is left is the offer to halt.\nOnly a governance lead"),
            "{why}"
        );
        assert_eq!(stage.may_cancel("lead").await, Ok(()));
    }
}

mod the_question_of_going_back {
    use super::*;

    #[tokio::test]
    async fn does_not_lapse_on_a_cancel_from_before_it_was_asked() {
        let stage = contradicted(TakeBack::Ask, |script| {
            script.on_event = |script, event| {
                if event.kind == "scaled" {
                    cancelled_by(script, "operator");
                }
            };
            script.on_show = |script, slot, card| {
                if slot == Slot::Approval {
                    // The answer takes a while.
                    script.untold = [("lead", script.clock + Duration::from_secs(30))].into();
                    script.vote(card, "lead", Mark::Approve);
                }
            };
        })
        .await;
        let kinds: Vec<String> = stage.script().events.iter().map(|event| event.kind.clone()).collect();
        let place = |kind: &str| kinds.iter().position(|one| one == kind).unwrap();
        assert!(place("cancel_requested") < place("way_back_asked"), "{kinds:?}");
        assert_eq!(last(&stage, "way_back")["decided"], "agreed");
    }

    #[tokio::test]
    async fn lapses_on_a_cancel_after_it_was_asked() {
        let stage = contradicted(TakeBack::Ask, |script| {
            script.on_show = |script, slot, _| {
                if slot == Slot::Approval {
                    cancelled_by(script, "operator");
                }
            };
        })
        .await;
        assert_eq!(last(&stage, "way_back")["decided"], "unanswered");
        let (asked, decided) = (at(&stage, "way_back_asked"), at(&stage, "way_back"));
        assert!(decided - asked < Duration::from_mins(1).as_secs(), "nobody waited for the rest of the time");
    }

    #[tokio::test]
    async fn is_not_open_longer_because_the_process_died_meanwhile() {
        let stage = Stage::with(|script| {
            script.attended = true;
            script.ill = [("api-6", Ill::OtherChain)].into();
        });
        let policy = policy(TakeBack::Ask);
        stage.play_under_until(UP, &policy, "way_back_asked").await;
        stage.script().clock += Duration::from_mins(14);
        stage.resume_under(&policy).await;
        assert_eq!(last(&stage, "way_back")["decided"], "unanswered");
        assert_eq!(at(&stage, "way_back") - at(&stage, "way_back_asked"), 15 * 60);
    }

    /// When the last event of that kind was written, in seconds.
    fn at(stage: &Stage, kind: &str) -> u64 {
        let script = stage.script();
        let event = script.events.iter().rfind(|event| event.kind == kind).unwrap();
        u64::try_from(event.time().unwrap().as_second()).unwrap()
    }
}
