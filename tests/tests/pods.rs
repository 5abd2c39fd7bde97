//! The runbook on a fleet in the pods of a cluster, seen and changed through its API server alone: of the double, or of a
//! real cluster where `SCALEBOT_TEST_KUBECONFIG` names one.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::operator::{Operator, check, terminated};
use scalebot_tests::pods::{Pods, Scene};
use serde_json::{Value, json};

/// Who changes who goes first.
const COST: &str = "controller.kubernetes.io/pod-deletion-cost";

fn ended(events: &[Value], outcome: &str, at: u32) {
    let finished = only(events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!(outcome), &json!(at)), "{finished:#}");
}

/// It is refused because of that check, nothing was changed, and what the check says.
async fn refused(pods: &Pods, operator: &mut Operator<'_>, to: u32, name: &str) -> String {
    let before = pods.changed().await;
    operator.up(to);
    let events = operator.ended();
    assert_eq!(only(&events, "finished")["outcome"], "refused", "{:#}", only(&events, "finished"));
    assert!(of_kind(&events, "scaling").is_empty());
    let (status, said) = check(&events, name);
    assert!(status == "fail" || status == "unknown", "{name} is {status}: {said}");
    assert_eq!(pods.changed().await, before);
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn four_pods_become_six_by_one_change_of_the_count() {
    let pods = Pods::with(Scene::of(4)).await;
    let mut operator = pods.served().await;
    let (generation, _) = pods.changed().await;
    operator.up(6);
    operator.until("verified", 1);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 6);
    assert_eq!(pods.changed().await, (generation + 1, 6));
    assert_eq!(pods.names().await.len(), 6);
    let operation = events[0]["operation"].as_str().unwrap();
    let workload = pods.object("Deployment", "api").await;
    let fields = workload["metadata"]["managedFields"].as_array().unwrap();
    let ours: Vec<&Value> =
        fields.iter().filter(|entry| entry["manager"] == format!("scalebot-{operation}").as_str()).collect();
    let [ours] = ours.as_slice() else { panic!("{fields:#?}") };
    assert_eq!(
        (&ours["subresource"], &ours["fieldsV1"]),
        (&json!("scale"), &json!({ "f:spec": { "f:replicas": {} } }))
    );
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_room_and_where_others_steer_nothing_is_changed() {
    // On each node there is room for one.
    let one_a_node = |workload: &mut Value| {
        workload["spec"]["template"]["spec"]["affinity"] = json!({
            "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [{
                "labelSelector": { "matchLabels": { "app.kubernetes.io/name": "api" } },
                "topologyKey": "kubernetes.io/hostname",
            }] },
        });
    };
    let pods = Pods::with(Scene { change: one_a_node, ..Scene::of(1) }).await;
    let mut operator = pods.served().await;
    let nodes = pods.nodes().await;
    let said = refused(&pods, &mut operator, nodes + 1, "room").await;
    assert!(said.contains(&format!("{} more fit, {nodes} wanted", nodes - 1)), "{said}");

    let quota = json!({ "kind": "ResourceQuota", "metadata": { "name": "team" }, "spec": { "hard": { "pods": "1" } } });
    pods.create(quota).await;
    pods.until("ResourceQuota", "team", |quota| quota["status"]["used"]["pods"] == "1").await;
    let said = refused(&pods, &mut operator, 2, "room").await;
    assert!(said.contains("quota team"), "{said}");
    pods.delete("ResourceQuota", "team").await;

    let cpu = json!([{ "type": "Resource", "resource": {
        "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 80 },
    } }]);
    let spec = json!({
        "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "api" },
        "minReplicas": 1, "maxReplicas": 2, "metrics": cpu,
    });
    pods.create(json!({ "kind": "HorizontalPodAutoscaler", "metadata": { "name": "api" }, "spec": spec })).await;
    let said = refused(&pods, &mut operator, 2, "who else steers").await;
    assert!(said.contains("HorizontalPodAutoscaler api"), "{said}");
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebodys_kubectl_ends_the_watch_and_is_named() {
    let pods = Pods::with(Scene::of(4)).await;
    let mut operator = pods.served().await;
    operator.up(5);
    operator.until("verified", 1);
    let (generation, _) = pods.changed().await;
    pods.kubectl_scale(6).await;
    let events = operator.ended();
    ended(&events, "failed", 6);
    assert_eq!(only(&events, "monitored")["ended"], "interfered");
    let what = only(&events, "interference")["what"].as_str().unwrap();
    assert!(what.contains("kubectl"), "{what}");
    // Nobody fights about it.
    assert_eq!(pods.changed().await, (generation + 1, 6));
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pods_that_crash_are_taken_back_and_the_old_ones_stay() {
    let pods = Pods::with(Scene { later_ones_crash: true, ..Scene::of(4) }).await;
    let before = pods.names().await;
    let mut operator = pods.served().await;
    operator.up(6);
    let events = operator.ended();
    ended(&events, "rolled_back", 4);
    assert_eq!(only(&events, "not_ready")["ended"], "hopeless");
    assert_eq!(only(&events, "rolled_back")["done"], true);
    let kept = only(&events, "logs_saved");
    assert!(!kept["kept"].as_array().unwrap().is_empty(), "{kept}");
    pods.until_ready(4).await;
    assert_eq!(pods.names().await, before);
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn going_down_exactly_the_chosen_pods_go_and_what_chose_them_is_taken_away() {
    let pods = Pods::with(Scene::of(6)).await;
    let before = pods.names().await;
    let mut operator = pods.served().await;
    operator.down(4);
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 4);
    let gone = terminated(&events);
    assert_eq!(gone.len(), 2, "{gone:?}");
    let stayed: Vec<String> = before.into_iter().filter(|pod| !gone.contains(&pod.as_str())).collect();
    assert_eq!(pods.names().await, stayed);
    for pod in pods.pods().await {
        assert_eq!(pod["metadata"]["annotations"][COST], Value::Null, "{}", pod["metadata"]);
        assert_eq!(pod["metadata"]["labels"]["receives-requests"], "true", "{}", pod["metadata"]);
    }
    operator.leaves().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_each_effect_it_goes_on_and_changes_the_count_once_for_each() {
    let pods = Pods::with(Scene::of(4)).await;
    let mut operator = pods.served().await;
    let (generation, _) = pods.changed().await;
    for (to, effect) in [(5, "scaling"), (6, "scaling_answered")] {
        operator.up(to);
        operator.killed_at(effect, 1).await;
        ended(&operator.watched_long_enough(), "cancelled", to);
    }
    assert_eq!(pods.changed().await, (generation + 2, 6));

    let before = pods.names().await;
    operator.down(4);
    for (effect, times) in [("draining", 1), ("terminating", 1), ("terminating", 2)] {
        operator.killed_at(effect, times).await;
    }
    let events = operator.watched_long_enough();
    ended(&events, "cancelled", 4);
    assert_eq!(pods.changed().await, (generation + 4, 4));
    let gone = terminated(&events);
    let stayed: Vec<String> = before.into_iter().filter(|pod| !gone.contains(&pod.as_str())).collect();
    assert_eq!((gone.len(), pods.names().await), (2, stayed));
    operator.leaves().await;
}
