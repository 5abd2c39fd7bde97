//! A scaling down with chosen instances, in the recommended layout and under load.

use scalebot_tests::binary::only;
use scalebot_tests::clustered::{Clustered, Scene, shipped};
use scalebot_tests::operator::terminated;
use serde_json::{Value, json};

/// Who changes who goes first.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

#[tokio::test(flavor = "multi_thread")]
async fn six_become_four_by_those_that_were_chosen_and_no_request_is_lost() {
    let mut scene = Scene::of(6, 12.0);
    let layout = shipped("example/application.yaml");
    let six = layout.replace("replicas: 4", "replicas: 6");
    assert_ne!(six, layout);
    scene.setup.manifest = Some(six);
    let around = Clustered::with(scene).await;
    let before = around.cluster.pods();
    let mut operator = around.served().await;
    operator.down(4);
    let events = operator.watched_long_enough();
    let finished = only(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("cancelled"), &json!(4)), "{finished:#}");

    // Each was first out of the Service, by its label, and then told to end.
    let victims = terminated(&events);
    assert_eq!(victims.len(), 2, "{victims:?}");
    let changes = around.changes();
    for victim in &victims {
        let of_it: Vec<String> = changes
            .iter()
            .filter(|one| one.path.ends_with(&format!("/pods/{victim}")))
            .map(|one| one.body["metadata"].to_string())
            .collect();
        assert!(of_it.first().is_some_and(|first| first.contains("receives-requests")), "{of_it:?}");
        assert!(of_it.iter().any(|one| one.contains(COST)), "{of_it:?}");
    }
    // Exactly these went, one at a time, and nothing is left of what chose them.
    let stayed: Vec<String> = before.into_iter().filter(|pod| !victims.contains(&pod.as_str())).collect();
    assert_eq!(around.cluster.pods(), stayed);
    assert_eq!(around.counts_sent(), 2);
    for pod in around.cluster.objects("Pod") {
        assert_eq!(pod["metadata"]["annotations"][COST], Value::Null, "{}", pod["metadata"]);
        assert_eq!(pod["metadata"]["labels"]["receives-requests"], "true", "{}", pod["metadata"]);
    }
    around.lost_no_request();
    operator.leaves().await;
}
