//! What a scaling is proposed on beside latency, and what it is not proposed on. Through the real program, on real
//! processes.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::process::Stdio;

use scalebot_tests::binary::{Drill, last_finished, of_kind, only};
use serde_json::json;

/// A limit that no latency here comes near: a rehearsal's instances take their time also where there is little to do.
const SLOW: &str = "10s";

#[test]
fn an_early_warning_brings_a_proposal_with_its_figures_and_the_limit() {
    let drill = Drill::new();
    let mut running = drill.start_with_input(&["--load", "19", "--propose"], Stdio::piped());
    running.until_it_warms_up();
    let warning = json!([{
        "warning_id": "w-1", "mode_id": "VAL-1", "metric_name": "queue_depth", "current_value": 91.0, "threshold": 90.0,
        "threshold_type": "critical", "recommended_action": "add capacity", "timestamp": "2026-01-08T03:00:00Z",
        "is_acknowledged": false
    }]);
    drill.happen("warnings", &warning);
    let proposed = running.until("proposed")["body"].clone();
    assert_eq!((&proposed["trigger"], &proposed["from"]), (&json!("early_warning"), &json!(4)), "{proposed}");
    assert!(proposed["to"].as_u64().unwrap() > 4, "{proposed}");
    let because = proposed["because"].as_str().unwrap();
    for words in ["VAL-1", "critical", "queue_depth", "91", "90"] {
        assert!(because.contains(words), "{words}: {because}");
    }
    running.hangs_up();
    let ended = running.end();
    assert_eq!(ended.code, Some(0), "{}", ended.said);
    assert!(ended.said.contains("Proposed: 4 → "), "{}", ended.said);
    drill.proved(&ended.events);
}

#[test]
fn a_fleet_with_more_than_it_needs_brings_a_proposal_down_and_start_carries_it_through() {
    let drill = Drill::new();
    let flags = ["--load", "8", "--propose", "--monitor", "10s", "--p99-limit", SLOW];
    let mut running = drill.start_with_input(&flags, Stdio::piped());
    let proposed = running.until("proposed")["body"].clone();
    assert_eq!((&proposed["trigger"], &proposed["from"]), (&json!("idle"), &json!(4)), "{proposed}");
    assert!(proposed["to"].as_u64().unwrap() < 4, "{proposed}");
    running.types("start");
    running.until("finished");
    running.hangs_up();
    let ended = running.end();
    let requested = ended.only("requested");
    assert_eq!((&requested["direction"], &requested["to"]), (&json!("down"), &proposed["to"]));
    assert_eq!(requested["reason"], proposed["because"]);
    let end = last_finished(&ended.events);
    assert_eq!((&end["outcome"], &end["ended_at"]), (&json!("completed"), &proposed["to"]), "{end}");
    drill.proved(&ended.events);
}

#[test]
fn while_one_instance_tells_nothing_going_down_is_never_proposed() {
    let drill = Drill::new();
    let flags = "--load 8 --propose --fault database-full --acknowledge-within 3s --p99-limit";
    let flags: Vec<&str> = flags.split(' ').chain([SLOW]).collect();
    let mut running = drill.start_with_input(&flags, Stdio::piped());
    running.until_it_warms_up();
    let silent = drill.stops("api-1");
    running.types("/scale up 6 reason:\"try\"");
    running.until("finished");
    // What goes on being said shows that the fleet is looked at again and again.
    for _ in 0..5 {
        running.until("reescalated");
    }
    assert!(of_kind(&drill.exported(), "proposed").is_empty());
    running.types("operator> acknowledge");
    drop(silent);
    let proposed = running.until("proposed")["body"].clone();
    assert_eq!(proposed["trigger"], "idle", "{proposed}");
    running.hangs_up();
    let ended = running.end();
    only(&ended.events, "proposed");
    drill.proved(&ended.events);
}
