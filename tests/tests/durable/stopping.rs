//! SIGTERM in the middle of each kind of wait. How long that may take at most is the product's; here it is that it leaves
//! by itself, that what it wrote is whole, and that whoever starts it again finds it going on.

use std::time::Duration;

use scalebot_tests::binary::{Drill, ends_within, kill, only, world_says};
use scalebot_tests::changes::until;
use scalebot_tests::run::{Service, Serving};
use serde_json::json;
use sqlx::{Connection as _, SqliteConnection};

use super::{EASY, done, each};

/// On a machine that is busy with others.
const PATIENCE: Duration = Duration::from_mins(1);

/// It leaves in peace, and nothing is appended after that.
fn leaves(service: &Service, serving: Serving) {
    assert_eq!(serving.stop(), Some(0));
    if !service.events().is_empty() {
        service.proved();
    }
}

#[test]
fn a_service_leaves_while_its_fleet_comes_while_it_is_idle_while_it_asks_and_while_it_watches() {
    let service = Service::with(&["api"], "halted = true\n[policy.triggers]\nevery = \"1h\"\n");
    // Its fleet is not there yet, and the log is.
    let serving = service.start();
    let has_begun = until(service.home.path(), PATIENCE, || service.state().join("ledger.db").exists().then_some(()));
    assert!(has_begun.is_some(), "{}", serving.said());
    leaves(&service, serving);

    let serving = service.start_ready();
    leaves(&service, serving);

    // Nobody has decided.
    let mut serving = service.start_ready();
    // Its fleet was interrupted as it came.
    service.until_check_says("4 of 4 are sent requests");
    serving.types("/scale up 6 reason:\"campaign\"");
    service.until("approval_requested", 1);
    leaves(&service, serving);
    let mut serving = service.start_ready();
    service.until("resumed", 1);
    serving.types("lead> approve: we need it");

    // It watches.
    service.until("verified", 1);
    leaves(&service, serving);
    let serving = service.start_ready();
    let events = service.until("finished", 1);
    assert_eq!(only(&events, "finished")["outcome"], "completed");
    assert_eq!(done(&events, "scaling_answered"), 1);
    leaves(&service, serving);
}

#[test]
fn a_service_leaves_while_it_waits_for_last_requests_and_while_the_log_is_locked() {
    let service = Service::with(&["api"], EASY);
    let mut serving = service.start_ready();
    // The newest one is busy for longer than this test takes until it leaves.
    world_says(&service.world(), "POST", "/happen/long-request", &json!({ "instance": "api-4", "seconds": 20 }));
    serving.types("/scale down 3 reason:\"night\"");
    service.until("draining_answered", 1);
    leaves(&service, serving);
    assert_eq!(service.processes("drill-instance").len(), 4);
    let mut serving = service.start_ready();
    let events = service.until("finished", 1);
    assert_eq!(
        (&only(&events, "finished")["outcome"], done(&events, "terminating_answered")),
        (&json!("completed"), 1)
    );

    // Somebody else has the log's file, and what was asked for waits to be recorded.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let url = format!("sqlite:{}", service.state().join("ledger.db").display());
    let mut other = runtime.block_on(SqliteConnection::connect(&url)).unwrap();
    runtime.block_on(async { sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut other).await }).unwrap();
    serving.types("/scale up 5 reason:\"noon\"");
    assert_eq!(serving.stop(), Some(0));
    runtime.block_on(async { sqlx::raw_sql("ROLLBACK").execute(&mut other).await }).unwrap();
    runtime.block_on(other.close()).unwrap();
    // It was recorded or not, and is one or the other as a whole.
    let serving = service.start_ready();
    if each(&service.events(), "requested", "target").len() == 2 {
        service.until("finished", 2);
    }
    leaves(&service, serving);
}

#[test]
fn a_rehearsal_leaves_before_its_first_command_while_it_asks_and_while_instances_come() {
    let drill = Drill::new();
    let first = drill.start(&["/scale up 6", "--halted", "--monitor", "20s"]);
    first.until_it_warms_up();
    let leaves = |mut running: scalebot_tests::binary::Running, moment: Option<&str>| {
        if let Some(moment) = moment {
            running.until(moment);
        }
        kill(running.pid(), "TERM");
        assert!(ends_within(running.pid(), PATIENCE), "{}", running.said_so_far());
        let ended = running.end();
        assert_eq!(ended.code, Some(130), "{}", ended.said);
        assert!(ended.said.contains("Nothing is lost"), "{}", ended.said);
        // What it said was appended is there, to the last event.
        assert!(drill.exported().ends_with(&ended.events), "{:?}", ended.events);
        assert_eq!(drill.ledger("verify").0, Some(0));
    };
    leaves(first, None);
    assert_eq!(drill.instances().len(), 4);
    leaves(drill.start(&["/scale up 6", "--monitor", "20s"]), Some("approval_requested"));
    leaves(drill.start(&["--approve"]), Some("scaling_answered"));
    let ended = drill.run(&[]);
    let events = drill.exported();
    assert_eq!(only(&events, "finished")["ended_at"], 6, "{}", ended.said);
    assert_eq!(done(&events, "scaling_answered"), 1);
    drill.proved(&events);
}
