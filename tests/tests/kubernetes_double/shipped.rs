//! What is shipped for a cluster, on the double: the rights and the policy as their files say them, the recommended layout.

use std::path::{Path, PathBuf};

use reqwest::Method;
use scalebot_tests::kubernetes::{Cluster, Setup};
use serde_json::{Value, json};

use super::asking::{Client, DEPLOYMENT, PODS};

const BOT: &str = "scalebot/scalebot";

fn shipped(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").join(file)
}

#[tokio::test]
async fn by_the_shipped_role_the_bot_scales_and_changes_nothing_else() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.apply_file(&shipped("rbac/observe-and-scale.yaml"));
    let bot = Client::of(&cluster, BOT);
    for path in [DEPLOYMENT, PODS, "/apis/discovery.k8s.io/v1/namespaces/conclave/endpointslices"] {
        assert_eq!(bot.get(path).await.0, 200, "{path}");
    }
    let (status, _) = bot.patch(&format!("{DEPLOYMENT}/scale"), &json!({ "spec": { "replicas": 5 } })).await;
    assert_eq!(status, 200);
    cluster.until_ready(5).await;
    for (path, patch) in [
        (DEPLOYMENT.to_owned(), json!({ "spec": { "replicas": 9 } })),
        (format!("{PODS}/{}", cluster.pods()[0]), json!({ "metadata": { "labels": { "x": "y" } } })),
    ] {
        let (status, refused) = bot.patch(&path, &patch).await;
        assert_eq!((status, &refused["reason"]), (403, &json!("Forbidden")), "{path}");
    }
    assert_eq!(bot.get("/api/v1/nodes").await.0, 403);
    cluster.apply_file(&shipped("rbac/nodes.yaml"));
    assert_eq!(bot.get("/api/v1/nodes").await.0, 200);
}

#[tokio::test]
async fn of_a_pod_the_shipped_policy_lets_the_bot_change_two_keys() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.apply_file(&shipped("rbac/observe-and-scale.yaml"));
    cluster.apply_file(&shipped("rbac/victims.yaml"));
    let bot = Client::of(&cluster, BOT);
    let pod = format!("{PODS}/{}", cluster.pods()[0]);
    let labels = |labels: Value| json!({ "metadata": { "labels": labels } });
    let annotations = |annotations: Value| json!({ "metadata": { "annotations": annotations } });
    for allowed in [
        annotations(json!({ "controller.kubernetes.io/pod-deletion-cost": "-10" })),
        annotations(json!({ "controller.kubernetes.io/pod-deletion-cost": null })),
        labels(json!({ "receives-requests": "false" })),
        labels(json!({ "receives-requests": null })),
        labels(json!({ "receives-requests": "true" })),
    ] {
        let (status, answer) = bot.patch(&pod, &allowed).await;
        assert_eq!(status, 200, "{allowed}: {answer}");
    }
    for (refused, why) in [
        (labels(json!({ "app.kubernetes.io/name": "other" })), "of a pod's labels"),
        (labels(json!({ "app.kubernetes.io/name": null })), "of a pod's labels"),
        (labels(json!({ "new": "one" })), "of a pod's labels"),
        (annotations(json!({ "sidecar.istio.io/inject": "true" })), "of a pod's annotations"),
        (json!({ "metadata": { "ownerReferences": null } }), "whose a pod is"),
    ] {
        let (status, answer) = bot.patch(&pod, &refused).await;
        assert_eq!(status, 422, "{refused}: {answer}");
        assert!(answer["message"].as_str().unwrap().contains(why), "{answer}");
    }
    let image = json!({ "spec": { "containers": [{ "name": "api", "image": "evil" }] } });
    let answer = bot.send(Method::PATCH, &pod, "application/strategic-merge-patch+json", &image).await.unwrap();
    assert_eq!(answer.status(), 422);
}

#[tokio::test]
async fn in_the_recommended_layout_a_pod_leaves_the_service_and_stays_the_deployments() {
    let layout = std::fs::read_to_string(shipped("example/application.yaml")).unwrap();
    let cluster = Cluster::start(Setup { manifest: Some(layout), ..Setup::default() }).await;
    let client = Client::of(&cluster, "administrator");
    let name = cluster.pods()[0].clone();
    let drained = json!({ "metadata": { "labels": { "receives-requests": null } } });
    assert_eq!(client.patch(&format!("{PODS}/{name}"), &drained).await.0, 200);
    let slice = cluster.objects("EndpointSlice")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster
        .until("EndpointSlice", &slice, |slice| slice["endpoints"].as_array().is_some_and(|all| all.len() == 3))
        .await;
    assert!(cluster.object("Pod", &name)["metadata"]["ownerReferences"].is_array());
    assert_eq!(cluster.pods().len(), 4);
    assert_eq!(cluster.object("PodDisruptionBudget", "api")["status"]["disruptionsAllowed"], 1);
}
