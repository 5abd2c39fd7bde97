//! What becomes of a scaling that turned out badly: who is asked whether it is taken back, what is said where it cannot
//! be, and the halt that a governance lead is offered. Through the real program, on real processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;
use std::time::{Duration, Instant};

use scalebot_tests::binary::{Drill, Running, last_finished, of_kind, only};
use scalebot_tests::terminal::Terminal;
use serde_json::{Value, json};

const HALT_STATUS: &str = "/v1/governance/halt/status";
const RUNBOOK: &str = "https://runbooks.example/incident";

/// Somebody types that command.
fn talk(drill: &Drill, arguments: &[&str], command: &str) -> Running {
    let all: Vec<&str> = ["--monitor", "20s"].iter().chain(arguments).copied().collect();
    let mut running = drill.start_with_input(&all, Stdio::piped());
    running.types(command);
    running
}

/// Whether each instance says that the system is halted, by name.
fn halted(drill: &Drill) -> Vec<(String, bool)> {
    let says = drill.each_instance_says(HALT_STATUS);
    says.into_iter().map(|(name, said)| (name, said["is_halted"].as_bool().unwrap())).collect()
}

/// One instance is told, and the others learn of it from it.
fn all_halt(drill: &Drill) {
    let asked = Instant::now();
    while halted(drill) != every_one_of_four(true) {
        assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", halted(drill));
    }
}

fn every_one_of_four(halted: bool) -> Vec<(String, bool)> {
    (1..=4).map(|number| (format!("api-{number}"), halted)).collect()
}

/// The words, however the lines were broken for the screen.
fn unbroken(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn assert_says(text: &str, words: &[&str]) {
    let said = unbroken(text);
    for words in words {
        assert!(said.contains(words), "{words}:\n{text}");
    }
}

#[test]
fn a_diverged_chain_is_taken_back_and_the_system_is_halted_where_a_lead_takes_up_the_offer() {
    let drill = Drill::new();
    let mut running = talk(&drill, &["--fault", "diverged-chain"], "operator> /scale up 6");
    let offered = running.until("halt_offered")["body"].clone();
    assert!(offered["because"].as_str().unwrap().contains("chain: "), "{offered}");
    assert_eq!(halted(&drill).iter().filter(|(_, halted)| *halted).count(), 0);
    // Nothing waits for the answer, so both are said while it goes back. Whoever is no lead is not heard.
    running.types("operator> no halt");
    running.types("lead> halt");
    running.until("finished");
    all_halt(&drill);
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_eq!(ended.only("vote_refused")["by"], "operator");
    let answered = ended.only("halt_answered");
    assert_eq!((&answered["halt"], &answered["by"]), (&json!(true), &json!(["lead"])));
    assert_eq!(ended.only("halting_answered")["result"], "done");
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("rolled_back"), &json!(4)), "{end}");
    assert_eq!(ended.only("rolled_back")["done"], true);
    assert_says(&ended.said, &["The system was halted on the word of lead.", "Taken back: 4 instances as before"]);
    drill.proved(&ended.events);
}

#[test]
fn a_diverged_chain_is_taken_back_and_nothing_is_halted_where_a_lead_declines() {
    let drill = Drill::new();
    let mut running = talk(&drill, &["--fault", "diverged-chain"], "operator> /scale up 6");
    running.until("halt_offered");
    running.types("lead> no halt");
    running.until("finished");
    assert_eq!(halted(&drill), every_one_of_four(false));
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let answered = ended.only("halt_answered");
    assert_eq!((&answered["halt"], &answered["by"]), (&json!(false), &json!(["lead"])));
    assert!(of_kind(&ended.events, "halting").is_empty());
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("rolled_back"), &json!(4)), "{end}");
    assert_says(&ended.said, &["No halt, as lead said"]);
    drill.proved(&ended.events);
}

/// At a terminal, new instances crash and it is asked whether to go back.
fn asked(drill: &Drill, arguments: &str) -> Terminal {
    let all = format!("--monitor 20s --fault crash --take-back ask --incident-runbook {RUNBOOK} {arguments}");
    let mut terminal = Terminal::drill(drill, &all);
    terminal.until("operator> ");
    terminal.types("/scale up 6");
    terminal.until("Go back to 4 instances?");
    terminal
}

/// The last word, and what was recorded.
fn leave(drill: &Drill, mut terminal: Terminal, code: i32) -> Vec<Value> {
    terminal.until("operator> ");
    terminal.types("quit");
    assert_eq!(terminal.end(), Some(code));
    let events = drill.exported();
    drill.proved(&events);
    events
}

#[test]
fn where_policy_asks_an_operator_says_at_the_prompt_that_it_is_taken_back() {
    let drill = Drill::new();
    let mut terminal = asked(&drill, "");
    // Somebody who may not is told so, and what they said counts for nothing.
    terminal.types("viewer> approve");
    terminal.until("may decide");
    terminal.types("operator> approve");
    terminal.until("Decided by operator.");
    let summary = terminal.until("The fleet has 4 instances, as before.");
    assert_says(&summary, &["Taken back: 4 instances as before, all of them verified", RUNBOOK]);
    let events = leave(&drill, terminal, 1);

    assert_eq!(only(&events, "way_back_asked")["to"], 4);
    assert_eq!(only(&events, "vote_refused")["by"], "viewer");
    let decided = only(&events, "way_back");
    assert_eq!((&decided["decided"], &decided["by"]), (&json!("agreed"), &json!("operator")));
    let end = last_finished(&events);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("rolled_back"), &json!(4)), "{end}");
}

#[test]
fn where_policy_asks_and_the_answer_is_no_it_is_left_and_what_is_said_to_type_brings_it_back() {
    let drill = Drill::new();
    let mut terminal = asked(&drill, "");
    terminal.types("operator> reject");
    terminal.until("Not going back to 4 instances");
    let summary = terminal.until("The fleet has 6 instances now.");
    let wanted = ["The fleet is left as it is, as was said.", "/scale rollback brings it back to 4", RUNBOOK];
    assert_says(&summary, &wanted);
    terminal.until("operator> ");
    terminal.types("/scale rollback");
    terminal.until("The fleet has 4 instances now.");
    let events = leave(&drill, terminal, 1);

    let decided = of_kind(&events, "way_back")[0];
    assert_eq!((&decided["decided"], &decided["by"]), (&json!("declined"), &json!("operator")));
    let ends = of_kind(&events, "finished");
    assert_eq!((&ends[0]["outcome"], &ends[0]["ended_at"]), (&json!("failed"), &json!(6)), "{}", ends[0]);
    assert_eq!((&ends[1]["outcome"], &ends[1]["ended_at"]), (&json!("completed"), &json!(4)), "{}", ends[1]);
}

#[test]
fn where_policy_asks_and_nobody_answers_in_time_it_is_left_as_it_is() {
    let drill = Drill::new();
    let mut terminal = asked(&drill, "--approval-timeout 2s");
    terminal.until("Nobody answered.");
    let summary = terminal.until("The fleet has 6 instances now.");
    assert_says(&summary, &["nobody said that it is to be taken back", "/scale rollback brings it back to 4", RUNBOOK]);
    let events = leave(&drill, terminal, 1);

    let decided = only(&events, "way_back");
    assert_eq!((&decided["decided"], &decided["by"]), (&json!("unanswered"), &Value::Null));
    assert!(of_kind(&events, "rolling_back").is_empty());
    let end = last_finished(&events);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(6)), "{end}");
}

#[test]
fn where_policy_asks_and_nobody_is_there_nobody_is_waited_for_and_it_is_left_as_it_is() {
    let drill = Drill::new();
    let ended = drill.run(&["--fault", "crash", "--take-back", "ask", "--monitor", "20s", "/scale up 6"]);
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert!(of_kind(&ended.events, "way_back_asked").is_empty());
    assert_eq!(ended.only("way_back")["decided"], "unanswered");
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(6)), "{end}");
    assert_says(&ended.said, &["nobody said that it is to be taken back", "/scale rollback brings it back to 4"]);
    drill.proved(&ended.events);
}

#[test]
fn where_policy_says_never_it_is_left_and_what_is_said_to_type_brings_it_back() {
    let drill = Drill::new();
    let arguments = ["--fault", "no-keys", "--take-back", "never", "--incident-runbook", RUNBOOK];
    let mut running = talk(&drill, &arguments, "operator> /scale up 6");
    let end = running.until("finished")["body"].clone();
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(6)), "{end}");
    let wanted = [
        "api-5, api-6, keys: ",
        "The fleet is left as it is, as policy says.",
        "/scale rollback brings it back to 4",
        RUNBOOK,
    ];
    assert_says(end["reason"].as_str().unwrap(), &wanted);
    running.types("operator> /scale rollback");
    let back = running.until("finished")["body"].clone();
    assert_eq!((&back["outcome"], &back["ended_at"]), (&json!("completed"), &json!(4)), "{back}");
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1));
    assert_eq!(of_kind(&ended.events, "way_back")[0]["decided"], "never");
    assert_eq!(of_kind(&ended.events, "escalated")[0]["condition"], "consistency");
    assert_says(&ended.said, &wanted);
    drill.proved(&ended.events);
}

#[test]
fn a_way_back_on_which_a_colleague_sets_the_count_says_where_things_are_and_what_to_type() {
    let drill = Drill::new();
    let arguments = ["--fault", "no-keys", "--monitor", "20s", "--incident-runbook", RUNBOOK, "/scale up 6"];
    let mut running = drill.start(&arguments);
    running.until("scaled");
    // So that it is waited for while it goes back.
    drill.happen("long-request", &json!({ "instance": "api-5", "seconds": 25 }));
    running.until("logs_saved");
    drill.a_colleague_sets(6, 7);
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let back = ended.only("rolled_back");
    assert_eq!((&back["done"], &back["to"], &back["wanted"]), (&json!(false), &json!(4), &json!(7)), "{back}");
    assert!(of_kind(&ended.events, "rolling_back").is_empty());
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(7)), "{end}");
    let wanted = [
        "he way back to 4 could not be finished: a colleague set the count to 7 meanwhile",
        "he count is 7, ",
        "Look at the fleet; then type: /scale down 4",
        "api-5, api-6 should get no requests; see that it is so",
        RUNBOOK,
    ];
    assert_says(end["reason"].as_str().unwrap(), &wanted);
    assert_says(&ended.said, &wanted);
    let told = of_kind(&ended.events, "escalated");
    let last = told.last().unwrap();
    assert_eq!((&last["to"], &last["severity"]), (&json!("system_architect"), &json!("critical")), "{last}");
    assert!(last["because"].as_str().unwrap().contains("could not be finished"), "{last}");
    drill.proved(&ended.events);
}

#[test]
fn going_down_whose_rest_is_then_over_the_limit_is_taken_back_up() {
    let drill = Drill::new();
    let arguments = ["--instances", "6", "--load", "19", "--monitor", "20s", "/scale down 4 reason:\"night\""];
    let mut running = drill.start(&arguments);
    running.until("verified");
    // More than four instances carry, and less than six do.
    drill.happen("load", &json!({ "rate": 52 }));
    running.until("monitored");
    drill.happen("load", &json!({ "rate": 19 }));
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let end = ended.only("finished");
    assert_eq!(
        (&end["outcome"], &end["ended_at"], &end["verdict"]),
        (&json!("rolled_back"), &json!(6), &json!("regressed")),
        "{end}"
    );
    assert_says(end["reason"].as_str().unwrap(), &["limit 500 ms", "Taken back: 6 instances as before"]);
    let back = ended.only("rolling_back");
    assert_eq!((&back["from"], &back["to"], &back["instances"]), (&json!(4), &json!(6), &json!([])));
    assert_eq!(ended.only("rolled_back")["ready"], 6);
    let again = of_kind(&ended.events, "verified").pop().unwrap();
    assert_eq!((&again["step"], &again["result"]), (&json!("back/verify"), &json!("passed")));
    assert_eq!(ended.only("escalated")["to"], "system_architect");
    drill.proved(&ended.events);
}

#[test]
fn a_way_back_on_which_a_culprit_will_not_end_says_who_is_still_there_and_what_to_type() {
    let drill = Drill::new();
    let mut running = drill.start(&["--fault", "no-keys", "--monitor", "20s", "/scale up 6"]);
    running.until("logs_saved");
    // It hears nothing any more, that it is to end included.
    let _stopped = drill.stops("api-5");
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    let back = ended.only("rolled_back");
    assert_eq!((&back["done"], &back["wanted"]), (&json!(false), &json!(4)), "{back}");
    let end = ended.only("finished");
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("failed"), &json!(4)), "{end}");
    let wanted = [
        "he count was set to 4, and the fleet is not as it was: still there: api-5",
        "Look at the fleet before anything else. /scale status shows it",
    ];
    assert_says(end["reason"].as_str().unwrap(), &wanted);
    assert_says(&ended.said, &wanted);
    let last = of_kind(&ended.events, "escalated").pop().unwrap();
    assert_eq!((&last["to"], &last["severity"]), (&json!("system_architect"), &json!("critical")), "{last}");
    assert!(last["because"].as_str().unwrap().contains("still there: api-5"), "{last}");
    drill.proved(&ended.events);
}
