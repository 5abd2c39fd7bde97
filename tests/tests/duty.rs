//! What outlives an operation: escalations until somebody sees to them, and scalings that are proposed.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, only};
use scalebot_tests::schemas::validate;
use scalebot_tests::terminal::Terminal;
use serde_json::Value;

fn assert_valid(events: &[Value]) {
    for event in events {
        validate(event).unwrap_or_else(|error| panic!("{error}: {event}"));
    }
}

/// Each time that an escalation was said again: to whom.
fn hops(events: &[Value], escalation: &Value) -> Vec<(u64, String)> {
    let again = events.iter().filter(|event| event["kind"] == "reescalated");
    let of_it = again.filter(|event| event["body"]["escalation"] == *escalation);
    let told = of_it.map(|event| {
        assert_eq!((&event["operation"], &event["op_seq"]), (&Value::Null, &0.into()));
        (event["body"]["hop"].as_u64().unwrap(), event["body"]["to"].as_str().unwrap().to_owned())
    });
    told.collect()
}

#[test]
fn an_escalation_is_passed_on_until_somebody_who_may_acknowledges_it_and_then_no_more() {
    let drill = Drill::new();
    let flags = ["--fault", "database-full", "--acknowledge-within", "3s"];
    let mut running = drill.start_with_input(&flags, Stdio::piped());
    running.types("/scale up 6");
    let first = running.until("escalated");
    assert_eq!((&first["body"]["to"], &first["body"]["severity"]), (&"infrastructure_team".into(), &"high".into()));
    let first = first["seq"].clone();
    assert_eq!(running.until("reescalated")["body"]["to"], "system_architect");
    assert_eq!(running.until("reescalated")["body"]["to"], "governance_lead");
    running.types("viewer> acknowledge");
    assert_eq!(running.until("command_refused")["body"]["by"], "viewer");
    running.types("architect> acknowledge");
    assert_eq!(running.until("acknowledged")["body"]["escalation"], first);

    // Another one is due three seconds later, and the first would have been as well.
    running.types("/scale up 6");
    let second = running.until("escalated")["seq"].clone();
    assert_eq!(running.until("reescalated")["body"]["escalation"], second);
    assert_eq!(running.until("reescalated")["body"]["escalation"], second);
    running.types(&format!("acknowledge {first}"));
    running.types(&format!("infra> acknowledge {second}"));
    running.until("acknowledged");
    running.types("acknowledge");
    running.hangs_up();
    let ended = running.end();

    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_valid(&ended.events);
    let told = hops(&ended.events, &first);
    assert_eq!(told[..2], [(2, "system_architect".to_owned()), (3, "governance_lead".to_owned())]);
    let acknowledged = ended.events.iter().position(|event| event["kind"] == "acknowledged").unwrap();
    assert_eq!(hops(&ended.events[acknowledged..], &first), []);
    for said in [
        "HIGH for the system architect: cannot scale due to infrastructure limits",
        "Only an operator, somebody of the infrastructure team, a system architect",
        &format!("Escalation {first} is acknowledged already: architect sees to it."),
        "Nothing is open that could be acknowledged.",
    ] {
        assert!(ended.said.contains(said), "{said}: {}", ended.said);
    }
    assert!(!ended.said.contains("is not acknowledged"), "{}", ended.said);
}

#[test]
fn an_escalation_outlives_the_process_and_the_next_one_says_it_once_when_it_is_due() {
    let drill = Drill::new();
    let mut first = drill.start(&["/scale up 6", "--fault", "database-full"]);
    let escalation = first.until("escalated")["seq"].clone();
    let ended = first.end();
    let open = format!("Escalation {escalation} is not acknowledged: HIGH");
    assert!(ended.said.contains(&open), "{}", ended.said);

    let mut second = drill.start_with_input(&["--acknowledge-within", "8s"], Stdio::piped());
    let said = second.until("reescalated");
    assert_eq!((&said["body"]["escalation"], &said["body"]["hop"]), (&escalation, &2.into()));
    second.types("operator> acknowledge");
    second.until("acknowledged");
    second.hangs_up();
    let ended = second.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);

    let all = drill.exported();
    assert_valid(&all);
    assert_eq!(hops(&all, &escalation), [(2, "system_architect".to_owned())]);
    assert_eq!(drill.ledger("verify").0, Some(0));
}

#[test]
fn a_fleet_that_is_too_slow_brings_a_proposal_to_the_prompt_and_start_carries_it_through() {
    let drill = Drill::new();
    let mut terminal = Terminal::drill(&drill, "--monitor 20s");
    terminal.until("operator> ");
    terminal.until("Proposed: 4 → ");
    terminal.until("Type: start.");
    terminal.until("operator> ");
    terminal.types("start");
    terminal.until("Verified");
    terminal.until("Done, ");
    terminal.until("operator> ");
    terminal.types("quit");
    assert_eq!(terminal.end(), Some(0));

    let all = drill.exported();
    assert_valid(&all);
    let proposed = &all.iter().find(|event| event["kind"] == "proposed").unwrap()["body"];
    let requested = only(&all, "requested");
    assert_eq!((&requested["by"], &requested["to"]), (&"operator".into(), &proposed["to"]));
    assert_eq!((&proposed["trigger"], &requested["reason"]), (&"latency".into(), &proposed["because"]));
    assert_eq!(only(&all, "finished")["outcome"], "completed");
}

#[test]
fn a_dismissed_proposal_stays_quiet_while_its_condition_still_holds() {
    let drill = Drill::new();
    let flags = ["--propose", "--fault", "database-full", "--acknowledge-within", "3s"];
    let mut running = drill.start_with_input(&flags, Stdio::piped());
    running.until("proposed");
    running.types("viewer> dismiss");
    assert_eq!(running.until("command_refused")["body"]["command"], "dismiss");
    running.types("dismiss");
    assert_eq!(running.until("dismissed")["body"]["by"], "operator");
    // What goes on being said shows that the fleet is looked at again and again.
    running.types("/scale up 6");
    for _ in 0..5 {
        running.until("reescalated");
    }
    running.types("start");
    running.types("acknowledge");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{}", ended.said);
    assert_valid(&ended.events);
    assert_eq!(only(&ended.events, "proposed")["trigger"], "latency");
    assert!(ended.said.contains("Nothing is proposed now."), "{}", ended.said);
}

#[test]
fn a_scaling_is_begun_by_itself_only_where_policy_says_so_and_by_no_person() {
    let drill = Drill::new();
    let flags = ["--propose", "--by-itself", "--monitor", "20s"];
    let mut running = drill.start_with_input(&flags, Stdio::piped());
    let requested = running.until("requested")["body"].clone();
    running.until("finished");
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert_valid(&ended.events);
    assert_eq!(requested["by"], "scalebot");
    let reason = requested["reason"].as_str().unwrap();
    assert!(reason.starts_with("begun by itself, as policy says: p99 "), "{reason}");
    assert_eq!(only(&ended.events, "finished")["outcome"], "completed");
}

#[test]
fn in_a_drill_that_nobody_watches_nothing_is_proposed() {
    let drill = Drill::new();
    let ended = drill.run(&["/scale up 6", "--monitor", "20s"]);
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(!ended.kinds().contains(&"proposed".to_owned()));
}
