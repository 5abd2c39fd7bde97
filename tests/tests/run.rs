//! `scalebot run`, `check`, and the host's commands with a configuration: the real program, from its start to its end.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, kinds, only};
use scalebot_tests::run::{Service, on_the_host};
use serde_json::Value;

fn figure(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// Of a kind, the fleets or whatever field, sorted.
fn fields(events: &[Value], kind: &str, field: &str) -> Vec<String> {
    let mut found: Vec<String> =
        events.iter().filter(|event| event["kind"] == kind).map(|event| event["body"][field].to_string()).collect();
    found.sort();
    found
}

#[test]
fn a_scaling_is_carried_through_and_seen_from_every_side() {
    let service = Service::with(&["api"], "");
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("no processes run in") && said.contains("the service makes it"), "{said}");

    let mut serving = service.start_ready();
    serving.types("operator> /scale up 6 reason:\"campaign\"");
    service.until("verified", 1);
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    for wanted in ["the service runs", "6 of 6 say that they are ready", "halt table: readable: not halted", "is ready"]
    {
        assert!(said.contains(wanted), "no {wanted}: {said}");
    }
    let page = service.http("/metrics").unwrap();
    assert_eq!(figure(&page, "scalebot_operations_under_way{target=\"api\"}"), Some(1.0), "{page}");
    assert_eq!(figure(&page, "scalebot_operation_stalled{target=\"api\"}"), Some(0.0), "{page}");
    let (code, said) = service.on_the_host(&["status"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&format!("carried out by process {}", serving.pid())), "{said}");
    assert!(said.contains("scalebot cancel --config "), "{said}");

    service.until("finished", 1);
    let page = service.http("/metrics").unwrap();
    assert_eq!(figure(&page, "scalebot_operations_total{outcome=\"completed\"}"), Some(1.0), "{page}");
    assert_eq!(figure(&page, "scalebot_operations_under_way{target=\"api\"}"), Some(0.0), "{page}");
    serving.types("quit");
    let said = serving.said();
    assert_eq!(serving.end(), Some(0));
    // Each line of the program's log is one JSON object, and an operation's names it.
    let line = said.lines().find(|line| line.contains("carried out from here on")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["span"]["fleet"], "api", "{line}");

    let events = service.proved();
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(only(&events, "finished")["ended_at"], 6);
    // The fleet outlives the service.
    assert_eq!(service.processes("drill-instance").len(), 6);
}

#[test]
fn told_to_stop_it_leaves_the_fleet_and_carries_the_operation_on_when_it_is_back() {
    let service = Service::with(&["api"], "[policy.triggers]\nevery = \"1h\"\n");
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("verified", 1);
    assert_eq!(serving.stop(), Some(0));
    assert_eq!(service.processes("drill-instance").len(), 6);
    let events = service.proved();
    assert_eq!(events.last().unwrap()["kind"], "verified", "{:?}", kinds(&events));

    // Killed, too, it loses nothing.
    let serving = service.start_ready();
    service.until("resumed", 1);
    serving.kill();
    let serving = service.start_ready();
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    only(&events, "scaling");
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

#[test]
fn an_operation_whose_fleet_is_gone_ends_and_the_next_has_a_new_fleet() {
    let service = Service::with(&["api"], "");
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("verified", 1);
    serving.kill();
    for world in service.processes("drill-world") {
        scalebot_tests::binary::kill(world, "KILL");
    }
    let mut serving = service.start();
    let events = service.until("finished", 1);
    assert_ne!(only(&events, "finished")["outcome"], "completed");
    // Its fleet is there once it can be planned for.
    service.until_check_says("4 of 4 say that they are ready");
    serving.types("/scale up 5 reason:\"campaign\"");
    let events = service.until("finished", 2);
    assert!(fields(&events, "finished", "outcome").contains(&"\"completed\"".to_owned()), "{events:?}");
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn two_fleets_are_scaled_at_the_same_time_and_the_hosts_cancel_stops_both() {
    let service = Service::with(&["api", "web"], "[targets.web.policy.count]\nmaximum = 5\n");
    let mut serving = service.start_ready();
    serving.types("/scale up 6 target:web reason:\"campaign\"");
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "refused", "its own limit holds");

    serving.types("/scale up 6 reason:\"campaign\"");
    serving.types("/scale up 5 target:web reason:\"campaign\"");
    service.until("requested", 3);
    serving.types("/scale up 7 target:web reason:\"one more\"");
    let events = service.until("command_refused", 1);
    assert!(only(&events, "command_refused")["reason"].as_str().unwrap().contains("is under way on web"));
    service.until("verified", 2);
    let (_, said) = service.on_the_host(&["status"]);
    assert!(said.contains("They are carried out by process"), "{said}");
    let (code, said) = service.on_the_host(&["cancel"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("was asked to stop, and that is on record").count(), 2, "{said}");
    let events = service.until("finished", 3);
    assert_eq!(fields(&events, "finished", "outcome"), ["\"cancelled\"", "\"cancelled\"", "\"refused\""]);
    assert_eq!(fields(&events, "finished", "target"), ["\"api\"", "\"web\"", "\"web\""]);
    assert_eq!(serving.stop(), Some(0));
    service.proved();
}

#[test]
fn a_halt_is_decided_by_whoever_holds_the_role() {
    let service = Service::with(&["api"], "halted = true\n");
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("approval_requested", 1);
    serving.types("operator> approve");
    service.until("vote_refused", 1);
    serving.types("lead> approve: we need it");
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(only(&events, "vote_refused")["by"], "operator");
    only(&events, "approved");
    assert_eq!(serving.stop(), Some(0));
}

#[test]
fn an_operation_is_carried_on_from_the_host_without_any_chat() {
    let service = Service::with(&["api"], "");
    let mut serving = service.start_ready();
    serving.types("/scale up 6 reason:\"campaign\"");
    let events = service.until("verified", 1);
    serving.kill();
    let id = only_operation(&events);
    let (code, said) = service.on_the_host(&["operation", "resume", &id]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("Done"), "{said}");
    let events = service.proved();
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    let (code, said) = service.on_the_host(&["operation", "resume", &id]);
    assert_eq!(code, Some(1), "{said}");
}

fn only_operation(events: &[Value]) -> String {
    let requested = events.iter().find(|event| event["kind"] == "requested").unwrap();
    let id = requested["operation"].as_str().unwrap();
    id[id.len() - 6..].to_owned()
}

#[test]
fn a_service_and_a_rehearsal_never_share_a_state() {
    let service = Service::with(&["api"], "");
    let serving = service.start_ready();
    let (code, said) = on_the_host(&["run"], "--config", &service.config());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains(&format!("is in use by another process (process {}", serving.pid())), "{said}");
    assert_eq!(serving.stop(), Some(0));
    let (code, said) = on_the_host(&["drill", "/scale up 6"], "--state", &service.state());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("is the state of a service"), "{said}");

    let drill = Drill::new();
    assert_eq!(drill.run(&["/scale up 400"]).code, Some(1));
    let text = std::fs::read_to_string(service.config()).unwrap();
    let elsewhere = text.replace(&service.state().display().to_string(), &drill.state().display().to_string());
    std::fs::write(service.config(), elsewhere).unwrap();
    let (code, said) = service.on_the_host(&["run"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("holds the log of a rehearsal"), "{said}");
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(1), "{said}");
}

#[test]
fn what_cannot_be_used_is_said_before_anything_is_begun() {
    let service = Service::with(&["api"], "[targets.api.halts]\n");
    for command in [&["run"][..], &["check"], &["status"], &["ledger", "verify"]] {
        let (code, said) = service.on_the_host(command);
        assert_eq!(code, Some(2), "{command:?}: {said}");
        assert!(said.contains("targets.api.halts is not known. Did you mean halt?"), "{said}");
    }
    assert!(!service.state().exists());

    let service = Service::with(&["api"], "");
    let taken = std::net::TcpListener::bind(service.listen).unwrap();
    let (code, said) = service.on_the_host(&["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("FAILED  health and metrics"), "{said}");
    let (code, said) = service.on_the_host(&["run"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("http.listen"), "{said}");
    drop(taken);

    let without = std::process::Command::new(scalebot_tests::binary::program())
        .arg("status")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(without.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&without.stderr).contains("--config"));
}
