//! A scaling up.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::clustered::{Clustered, Scene};
use serde_json::{Value, json};

/// The workload without its count and what follows from it.
fn but_its_count(workload: &Value) -> Value {
    let mut rest = workload.clone();
    rest["spec"]["replicas"] = Value::Null;
    rest["status"] = Value::Null;
    for field in ["generation", "resourceVersion", "managedFields"] {
        rest["metadata"][field] = Value::Null;
    }
    rest
}

/// From 4 to 6 and into the watch: only the count was changed, once, under the operation's mark.
async fn goes_up(around: &Clustered) {
    let before = around.cluster.object("Deployment", "api");
    let mut operator = around.served().await;
    operator.up(6);
    operator.until("verified", 1);
    let sent = around.changes();
    assert_eq!(sent.len(), 1, "{sent:?}");
    let after = around.cluster.object("Deployment", "api");
    let whole = std::env::var_os("SCALEBOT_TEST_WHOLE_WATCH").is_some();
    let events = if whole { operator.ended() } else { operator.watched_long_enough() };
    let finished = only(&events, "finished");
    let outcome = if whole { "completed" } else { "cancelled" };
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!(outcome), &json!(6)), "{finished:#}");

    assert_eq!(but_its_count(&before), but_its_count(&after));
    assert_eq!(after["spec"]["replicas"], 6);
    let operation = events[0]["operation"].as_str().unwrap();
    let fields = after["metadata"]["managedFields"].as_array().unwrap();
    let ours: Vec<&Value> =
        fields.iter().filter(|entry| entry["manager"].as_str().unwrap().starts_with("scalebot")).collect();
    let [ours] = ours.as_slice() else { panic!("{fields:#?}") };
    assert_eq!((&ours["manager"], &ours["subresource"]), (&json!(format!("scalebot-{operation}")), &json!("scale")));
    assert_eq!(ours["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
    assert_eq!(only(&events, "scaling_answered")["result"], "done");
    assert_eq!(of_kind(&events, "verified").len(), 1);
    around.lost_no_request();
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_become_six_asked_at_their_pods_own_addresses() {
    goes_up(&Clustered::with(Scene::of(4, 8.0)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_become_six_asked_through_the_api_server() {
    let around = Clustered::with(Scene { fleet: "reach = \"proxy\"\n", ..Scene::of(4, 8.0) }).await;
    goes_up(&around).await;
    let through = around.cluster.requests().iter().filter(|one| one.path.contains("/proxy/v1/")).count();
    assert!(through > 0, "nobody was asked through it");
}
