//! Somebody's `kubectl scale` in the middle of an operation.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::clustered::{Clustered, Scene};
use serde_json::{Value, json};

/// The operation stopped at that count, named who it was, and did nothing further.
fn stopped(around: &Clustered, events: &[Value], at: u32, sent: usize) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("failed"), &json!(at)), "{finished:#}");
    let what = only(events, "interference")["what"].as_str().unwrap();
    assert!(what.contains("kubectl"), "{what}");
    assert!(finished["reason"].as_str().unwrap().to_lowercase().contains("kubectl set the count to"), "{finished:#}");
    assert!(of_kind(events, "rolling_back").is_empty());
    assert_eq!(around.counts_sent(), sent);
    assert_eq!(around.count(), at);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleagues_count_that_arrives_between_the_look_and_the_order_stays() {
    let around = Clustered::with(Scene::of(4, 6.0)).await;
    let mut operator = around.served().await;
    around.cluster.is_overtaken_at("/scale", 5);
    operator.up(6);
    let events = operator.ended();
    let finished = only(&events, "finished");
    assert_ne!(finished["outcome"], "completed", "{finished:#}");
    assert!(of_kind(&events, "rolling_back").is_empty());
    // It was asked for once, refused by the API server, and not asked for again.
    let answered = of_kind(&events, "scaling_answered");
    assert!(answered.iter().all(|one| one["result"] != "done"), "{answered:#?}");
    assert_eq!((around.counts_sent(), around.count()), (1, json!(5)));
    around.cluster.until_ready(5).await;
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleagues_kubectl_scale_stops_the_wait_and_the_watch_and_is_named() {
    let around = Clustered::with(Scene::of(4, 6.0)).await;
    let cluster = &around.cluster;
    let mut operator = around.served().await;

    cluster.hold("replica sets");
    operator.up(6);
    operator.until("scaling_answered", 1);
    cluster.kubectl_scale(5);
    let events = operator.ended();
    assert_eq!(only(&events, "not_ready")["ended"], "interfered");
    cluster.release("replica sets");
    stopped(&around, &events, 5, 1);
    cluster.until_ready(5).await;

    operator.up(6);
    operator.until("verified", 1);
    cluster.kubectl_scale(7);
    let events = operator.ended();
    assert_eq!(only(&events, "monitored")["ended"], "interfered");
    stopped(&around, &events, 7, 2);
    operator.leaves().await;
}
