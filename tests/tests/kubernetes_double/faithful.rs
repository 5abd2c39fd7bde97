//! Every object that the double hands out is one of the typed API: read by its type, and written again the same.

use scalebot_tests::kubernetes::{Cluster, Fate, Setup, reread};
use serde_json::json;

use super::asking::Client;

#[tokio::test]
async fn every_object_is_read_by_its_type_and_written_again_the_same() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.quota("pods", &json!({ "pods": "6", "requests.cpu": "10" }));
    cluster.budget(2);
    cluster.install_hpa(1, 8);
    cluster.new_pods(Fate::Crashes(1, "Error"));
    cluster.kubectl_scale(8);
    cluster.until("Deployment", "api", |one| one["status"]["unavailableReplicas"].as_u64() > Some(1)).await;
    cluster.lose_image(true);
    let client = Client::of(&cluster, "administrator");
    let paths = [
        ("/api/v1", "pods"),
        ("/api/v1", "services"),
        ("/api/v1", "events"),
        ("/api/v1", "nodes"),
        ("/api/v1", "namespaces"),
        ("/api/v1", "resourcequotas"),
        ("/apis/apps/v1", "deployments"),
        ("/apis/apps/v1", "replicasets"),
        ("/apis/discovery.k8s.io/v1", "endpointslices"),
        ("/apis/policy/v1", "poddisruptionbudgets"),
        ("/apis/autoscaling/v2", "horizontalpodautoscalers"),
    ];
    for (group, plural) in paths {
        let (status, list) = client.get(&format!("{group}/{plural}")).await;
        assert_eq!(status, 200, "{plural}");
        let kind = list["kind"].as_str().unwrap().strip_suffix("List").unwrap().to_owned();
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{plural}");
        for item in items {
            let mut item = item.clone();
            item["kind"] = kind.as_str().into();
            item["apiVersion"] = list["apiVersion"].clone();
            assert_eq!(reread(&kind, &item), Ok(item.clone()), "{item:#}");
        }
    }
    let (_, scale) = client.get("/apis/apps/v1/namespaces/conclave/deployments/api/scale").await;
    assert_eq!(reread("Scale", &scale), Ok(scale.clone()));
}

#[test]
fn what_its_type_does_not_know_is_noticed() {
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": { "containers": [], "invented": 1 } });
    assert_ne!(reread("Pod", &pod), Ok(pod.clone()));
    assert!(reread("Pod", &json!({ "kind": "Pod", "spec": { "containers": 7 } })).is_err());
}
