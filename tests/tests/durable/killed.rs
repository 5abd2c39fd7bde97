//! `kill -9`, nine times: three on the way up, three on the way back, three on the way down. A rehearsal that is killed is
//! in `drill.rs` and `scale_down.rs`; here it is a service, and one log.

use scalebot_tests::binary::told_once;
use scalebot_tests::run::Service;
use serde_json::json;

use super::{EASY, done, each};

#[test]
fn killed_nine_times_up_back_and_down_it_ends_where_it_was_asked_to_and_does_nothing_twice() {
    let service = Service::with(&["api"], EASY);
    let mut serving = service.start_ready();
    let way: [(&str, [&str; 3], usize); 3] = [
        ("/scale up 6 reason:\"noon\"", ["scaling", "scaled", "verified"], 6),
        ("/scale rollback", ["requested", "draining", "rolling_back"], 4),
        ("/scale down 3 reason:\"night\"", ["draining", "terminating", "verified"], 3),
    ];
    for (command, moments, instances) in way {
        let before = service.events();
        let count = |kind: &str| before.iter().filter(|event| event["kind"] == kind).count();
        serving.types(command);
        for moment in moments {
            service.until(moment, count(moment) + 1);
            serving.kill();
            serving = service.start_ready();
        }
        service.until("finished", count("finished") + 1);
        assert_eq!(service.processes("drill-instance").len(), instances, "{command}");
    }
    assert_eq!(serving.stop(), Some(0));

    let events = service.proved();
    assert_eq!(each(&events, "finished", "outcome"), [json!("completed"), json!("completed"), json!("completed")]);
    assert_eq!(each(&events, "finished", "ended_at"), [json!(6), json!(4), json!(3)]);
    assert_eq!((done(&events, "scaling_answered"), done(&events, "terminating_answered")), (1, 1));
    let mut back: Vec<String> = each(&events, "rolling_back", "instances").iter().map(ToString::to_string).collect();
    back.dedup();
    assert_eq!(back.len(), 1, "{back:?}");
    // Of nine who took it over at least some found something under way.
    assert!(!each(&events, "resumed", "epoch").is_empty());
    told_once(&service.state(), events.len());
}
