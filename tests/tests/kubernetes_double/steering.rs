//! Who else sets the count.

use scalebot_tests::kubernetes::{Cluster, NAME, Setup};
use serde_json::{Value, json};

use super::asking::Client;

fn owner(deployment: &Value) -> String {
    let entries = deployment["metadata"]["managedFields"].as_array().unwrap().iter();
    let mut owning = entries.filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null());
    owning.next().unwrap()["manager"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_autoscaler_sets_the_count_back_into_its_bounds() {
    let cluster = Cluster::start(Setup::default()).await;
    assert_eq!(owner(&cluster.object("Deployment", NAME)), "kubectl-client-side-apply");
    cluster.install_hpa(2, 5);
    cluster.kubectl_scale(8);
    let back = cluster.until("Deployment", NAME, |one| one["spec"]["replicas"] == 5).await;
    assert_eq!(owner(&back), "kube-controller-manager");
    cluster.until_ready(5).await;
    cluster.hpa_needs(3);
    cluster.until_ready(3).await;
    let autoscaler = cluster.object("HorizontalPodAutoscaler", NAME);
    assert_eq!(autoscaler["status"]["desiredReplicas"], 3);
}

#[tokio::test]
async fn keda_steers_until_it_is_paused() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let path = "/apis/keda.sh/v1alpha1/namespaces/conclave/scaledobjects";
    assert_eq!(client.get(path).await.0, 404);
    cluster.install_keda();
    cluster.scaled_object(2, 5);
    assert_eq!(client.get(path).await.1["items"][0]["kind"], "ScaledObject");
    let made = cluster.until("HorizontalPodAutoscaler", "keda-hpa-api", |_| true).await;
    assert_eq!((&made["spec"]["minReplicas"], &made["spec"]["maxReplicas"]), (&json!(2), &json!(5)));
    let pause = json!({ "metadata": { "annotations": { "autoscaling.keda.sh/paused": "true" } } });
    assert_eq!(client.patch(&format!("{path}/api"), &pause).await.0, 200);
    cluster.until("ScaledObject", NAME, |one| one["status"]["conditions"][0]["status"] == "True").await;
    while !cluster.object("HorizontalPodAutoscaler", "keda-hpa-api").is_null() {
        tokio::task::yield_now().await;
    }
    cluster.kubectl_scale(8);
    cluster.until_ready(8).await;
}

#[tokio::test]
async fn a_pause_holds_a_new_version_back_and_not_the_count() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.pause_rollout(true);
    let paused = |one: &Value| {
        one["status"]["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|condition| condition["reason"] == "DeploymentPaused")
    };
    cluster.until("Deployment", NAME, paused).await;
    cluster.set_image("registry.example/conclave/api:1.5.0");
    cluster.kubectl_scale(5);
    cluster.until("Deployment", NAME, |one| one["status"]["readyReplicas"] == 5).await;
    assert_eq!(cluster.objects("ReplicaSet").len(), 1);
    cluster.pause_rollout(false);
    cluster
        .until("Deployment", NAME, |one| one["status"]["updatedReplicas"] == 5 && one["status"]["readyReplicas"] == 5)
        .await;
    assert_eq!(cluster.objects("ReplicaSet").len(), 2);
}

#[tokio::test]
async fn somebody_else_who_sets_the_count_owns_it() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.changed_by("argocd-controller", &json!({ "spec": { "replicas": 5 } }));
    cluster.until_ready(5).await;
    assert_eq!(owner(&cluster.object("Deployment", NAME)), "argocd-controller");
}
