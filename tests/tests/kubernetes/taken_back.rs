//! A scaling up that turned out badly, taken back: exactly the new ones go.

use scalebot_tests::binary::only;
use scalebot_tests::clustered::{Clustered, Scene};
use scalebot_tests::kubernetes::{Machines, Real};
use scalebot_tests::operator::Operator;
use serde_json::{Value, json};

/// It ended early, for that reason, and the fleet is who it was before.
async fn taken_back(around: &Clustered, operator: &Operator<'_>, before: &[String], why: &[&str]) -> Vec<Value> {
    let events = operator.ended();
    assert_eq!(only(&events, "not_ready")["ended"], "hopeless", "{}", only(&events, "not_ready"));
    let finished = only(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("rolled_back"), &json!(4)), "{finished:#}");
    let reason = finished["reason"].as_str().unwrap();
    for words in why {
        assert!(reason.contains(words), "no {words}: {reason}");
    }
    around.cluster.until_ready(4).await;
    let mut after = around.cluster.pods();
    after.sort();
    assert_eq!(after, before);
    assert_eq!(only(&events, "rolled_back")["done"], true);
    // There and back.
    assert_eq!(around.counts_sent(), 2);
    events
}

fn sorted(mut pods: Vec<String>) -> Vec<String> {
    pods.sort();
    pods
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_appears_after_the_checks_ends_the_wait_with_its_sentence() {
    let around = Clustered::with(Scene::of(4, 6.0)).await;
    let cluster = &around.cluster;
    let before = sorted(cluster.pods());
    let mut operator = around.served().await;
    cluster.hold("replica sets");
    operator.up(6);
    operator.until("scaling_answered", 1);
    cluster.quota("late", &json!({ "pods": "5" }));
    cluster.until("ResourceQuota", "late", |quota| quota["status"]["used"]["pods"] == "4").await;
    cluster.release("replica sets");
    taken_back(&around, &operator, &before, &["exceeded quota: late", "limited: pods=5"]).await;
    around.lost_no_request();
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_instances_that_crash_go_again_and_what_they_wrote_is_kept() {
    let mut scene = Scene::of(4, 6.0);
    scene.setup.machines = Machines::Real(Real { load: 6.0, fault: Some("crash"), ..Real::default() });
    let around = Clustered::with(scene).await;
    let before = sorted(around.cluster.pods());
    let mut operator = around.served().await;
    operator.up(6);
    let events = taken_back(&around, &operator, &before, &["crash"]).await;

    let failed = only(&events, "not_ready");
    assert_eq!(failed["newcomers"].as_array().unwrap().len(), 2, "{failed}");
    let kept = only(&events, "logs_saved");
    assert_eq!(kept["problems"], json!([]), "{kept}");
    let culprits = failed["culprits"].as_array().unwrap();
    let of_culprits: Vec<&Value> =
        kept["kept"].as_array().unwrap().iter().filter(|log| culprits.contains(&log["instance"])).collect();
    assert!(!of_culprits.is_empty(), "{kept}");
    let of_one = |log: &&Value| {
        let text = std::fs::read_to_string(log["place"].as_str().unwrap()).unwrap();
        assert!(!text.is_empty(), "{log}");
        text
    };
    // Why the container before ended stands there, although another runs in its place by now.
    let logs: Vec<String> = of_culprits.iter().map(of_one).collect();
    let before = |log: &String| {
        let (before, _) = log.split_once("--- the container that runs now ---")?;
        before.contains("the process ends with status 1").then_some(())
    };
    assert!(logs.iter().any(|log| before(log).is_some()), "{logs:?}");
    operator.leaves().await;
}
