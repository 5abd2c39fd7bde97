//! The bot is killed right after it began something, and started again: it goes on, and nothing is done twice.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::clustered::{Clustered, Scene};
use scalebot_tests::operator::terminated;
use serde_json::{Value, json};

fn watched(events: &[Value], at: u32) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("cancelled"), &json!(at)), "{finished:#}");
    assert!(!of_kind(events, "resumed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_effect_it_goes_on_and_sets_each_count_once() {
    let around = Clustered::with(Scene::of(4, 6.0)).await;
    let cluster = &around.cluster;
    let mut operator = around.served().await;

    // The count is set, and the answer still on its way.
    cluster.holds_next_answer("/scale");
    operator.up(6);
    operator.killed_at("scaling", 1).await;
    watched(&operator.watched_long_enough(), 6);
    assert_eq!((around.counts_sent(), around.count()), (1, json!(6)));

    operator.up(7);
    operator.killed_at("scaling_answered", 1).await;
    watched(&operator.watched_long_enough(), 7);
    assert_eq!((around.counts_sent(), around.count()), (2, json!(7)));

    let before = cluster.pods();
    operator.down(5);
    operator.until("draining", 1);
    operator.kills_the_bot().await;
    cluster.holds_next_answer("/scale");
    operator.starts_the_bot();
    operator.killed_at("terminating", 1).await;
    let events = operator.watched_long_enough();
    watched(&events, 5);
    assert_eq!((around.counts_sent(), around.count()), (4, json!(5)));
    let gone = terminated(&events);
    let stayed: Vec<String> = before.into_iter().filter(|pod| !gone.contains(&pod.as_str())).collect();
    assert_eq!((gone.len(), cluster.pods()), (2, stayed));
    for pod in cluster.objects("Pod") {
        assert_eq!(pod["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"], Value::Null);
    }
    around.lost_no_request();
    operator.leaves().await;
}
