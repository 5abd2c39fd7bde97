//! The API server away, too busy, or with an answer that gets lost.

use scalebot_tests::binary::only;
use scalebot_tests::clustered::{Clustered, Scene};
use serde_json::{Value, json};

fn watched(events: &[Value], at: u32) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("cancelled"), &json!(at)), "{finished:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_or_too_busy_is_waited_for_and_a_lost_answer_is_found() {
    let around = Clustered::with(Scene::of(4, 6.0)).await;
    let cluster = &around.cluster;
    let mut operator = around.served().await;

    // Set, and nobody says so: it is found to be done.
    cluster.loses_next_answer("/scale");
    operator.up(5);
    watched(&operator.watched_long_enough(), 5);
    assert_eq!(around.counts_sent(), 1);

    // Away while it waits, and busy once it is back.
    cluster.hold("replica sets");
    operator.up(6);
    operator.until("scaling_answered", 1);
    cluster.api_server_goes_away();
    cluster.until_turned_away(10).await;
    let deployment = "/deployments/api";
    cluster.too_busy_for(deployment, 2);
    cluster.api_server_is_back();
    let busy = cluster.until_asked(|one| one.status == 429).await;
    cluster.release("replica sets");
    watched(&operator.watched_long_enough(), 6);
    assert_eq!(around.counts_sent(), 2);
    // It is left alone for as long as it asked: one question may have been on its way already.
    let over = busy.at + jiff::SignedDuration::from_secs(2);
    let all = cluster.requests();
    let too_early =
        all.iter().filter(|one| one.at > busy.at && one.at < over && one.path.ends_with(deployment)).count();
    assert!(too_early <= 1, "it was asked {too_early} times in the two seconds for which it asked to be left alone");
    around.lost_no_request();
    operator.leaves().await;
}
