//! What the controllers make of a count.

use scalebot_tests::kubernetes::{Cluster, Fate, NAME, Setup};
use serde_json::{Value, json};

use super::asking::{Client, PODS};

fn condition(object: &Value, kind: &str) -> Value {
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["type"] == kind).unwrap_or_default()
}

fn reason(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
}

#[tokio::test]
async fn a_quota_lets_the_count_be_set_and_the_pods_not_be_made() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.quota("pods", &json!({ "pods": "5" }));
    cluster.kubectl_scale(6);
    let failing = cluster.until("Deployment", NAME, |one| !condition(one, "ReplicaFailure").is_null()).await;
    let failure = condition(&failing, "ReplicaFailure");
    assert_eq!((&failure["status"], &failure["reason"]), (&json!("True"), &json!("FailedCreate")));
    let message = failure["message"].as_str().unwrap();
    assert!(
        message.starts_with("pods \"api-") && message.contains("\" is forbidden: exceeded quota: pods, "),
        "{message}"
    );
    assert!(message.ends_with("requested: pods=1, used: pods=5, limited: pods=5"), "{message}");
    cluster.until("Deployment", NAME, |one| one["status"]["readyReplicas"] == 5).await;
    cluster.until("ResourceQuota", "pods", |quota| quota["status"]["used"]["pods"] == "5").await;
    let events = cluster.objects("Event");
    assert!(
        events.iter().any(|event| event["reason"] == "FailedCreate" && event["involvedObject"]["kind"] == "ReplicaSet")
    );
}

#[tokio::test]
async fn a_quota_on_what_the_pod_does_not_say_refuses_every_pod() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.quota("limits", &json!({ "limits.cpu": "100" }));
    cluster.kubectl_scale(5);
    let failing = cluster.until("Deployment", NAME, |one| !condition(one, "ReplicaFailure").is_null()).await;
    let message = condition(&failing, "ReplicaFailure")["message"].as_str().unwrap().to_owned();
    assert!(message.ends_with("failed quota: limits: must specify limits.cpu for: api"), "{message}");
}

#[tokio::test]
async fn a_pod_for_which_no_node_has_room_says_why() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.cordon("node-1", true);
    cluster.taint("node-2", "dedicated", "db", "NoSchedule");
    cluster.cordon("node-3", true);
    cluster.kubectl_scale(5);
    let pods = cluster
        .until_pods(|pods| pods.iter().any(|pod| condition(pod, "PodScheduled")["reason"] == "Unschedulable"))
        .await;
    let pending = pods.iter().find(|pod| pod["spec"]["nodeName"].is_null()).unwrap();
    assert_eq!(
        condition(pending, "PodScheduled")["message"],
        "0/3 nodes are available: 1 node(s) had untolerated taint {dedicated: db}, 2 node(s) were unschedulable. \
         preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    );
    cluster.cordon("node-1", false);
    cluster.until_ready(5).await;
}

#[tokio::test]
async fn a_node_is_full_when_what_is_requested_is_used_up() {
    let cluster = Cluster::start(Setup::default()).await;
    // Three nodes of 4 CPU, 250m each: sixteen to a node.
    cluster.kubectl_scale(50);
    let pods = cluster
        .until_pods(|pods| {
            pods.iter().filter(|pod| condition(pod, "PodScheduled")["reason"] == "Unschedulable").count() == 2
        })
        .await;
    assert_eq!(pods.len(), 50);
    let pending = pods.iter().find(|pod| pod["spec"]["nodeName"].is_null()).unwrap();
    let message = condition(pending, "PodScheduled")["message"].as_str().unwrap().to_owned();
    assert!(
        message.starts_with("0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No"),
        "{message}"
    );
}

#[tokio::test]
async fn a_pod_says_what_is_wrong_with_its_image_its_probe_and_its_process() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.lose_image(true);
    cluster.kubectl_scale(5);
    let pods = cluster.until_pods(|pods| pods.iter().any(|pod| reason(pod) == "ImagePullBackOff")).await;
    let stuck = pods.iter().find(|pod| reason(pod) == "ImagePullBackOff").unwrap();
    assert_eq!(stuck["status"]["phase"], "Pending");
    cluster.lose_image(false);
    cluster.until_ready(5).await;

    cluster.new_pods(Fate::NotReady("HTTP probe failed with statuscode: 503".to_owned()));
    cluster.kubectl_scale(6);
    let one_waits = |one: &Value| one["status"]["updatedReplicas"] == 6 && one["status"]["readyReplicas"] == 5;
    let waiting = cluster.until("Deployment", NAME, one_waits).await;
    assert_eq!(waiting["status"]["unavailableReplicas"], 1);
    let slow = cluster.objects("Pod").into_iter().find(|pod| condition(pod, "Ready")["status"] == "False").unwrap();
    assert_eq!(
        (&condition(&slow, "Ready")["reason"], &condition(&slow, "Ready")["message"]),
        (&json!("ContainersNotReady"), &json!("containers with unready status: [api]"))
    );

    let name = slow["metadata"]["name"].as_str().unwrap();
    cluster.pod(name, Fate::Crashes(137, "OOMKilled"));
    let crashed = cluster.until("Pod", name, |pod| reason(pod) == "CrashLoopBackOff").await;
    let container = &crashed["status"]["containerStatuses"][0];
    assert_eq!((&container["restartCount"], &container["ready"]), (&json!(1), &json!(false)));
    assert_eq!(
        (&container["lastState"]["terminated"]["exitCode"], &container["lastState"]["terminated"]["reason"]),
        (&json!(137), &json!("OOMKilled"))
    );
    let message = container["state"]["waiting"]["message"].as_str().unwrap();
    assert!(message.starts_with("back-off 10s restarting failed container=api pod=api-"), "{message}");

    cluster.pod_wrote(name, "now\n", "one\ntwo\nthree\n");
    let client = Client::of(&cluster, "administrator");
    let path = format!("{PODS}/{name}/log?previous=true&tailLines=2");
    let log = client.send(reqwest::Method::GET, &path, "", &Value::Null).await.unwrap().text().await.unwrap();
    assert_eq!(log, "two\nthree\n");
    let path = format!("{PODS}/{}/log?previous=true", cluster.pods().iter().find(|other| *other != name).unwrap());
    let (status, refused) = client.get(&path).await;
    assert_eq!(status, 400);
    assert!(refused["message"].as_str().unwrap().starts_with("previous terminated container \"api\""), "{refused}");
}

#[tokio::test]
async fn the_cheapest_goes_first_but_never_before_one_that_is_not_ready() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let names = cluster.pods();
    let cost =
        |cost: &str| json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": cost } } });
    assert_eq!(client.patch(&format!("{PODS}/{}", names[2]), &cost("-10")).await.0, 200);
    cluster.kubectl_scale(3);
    cluster.until_ready(3).await;
    assert!(!cluster.pods().contains(&names[2]), "{names:?} {:?}", cluster.pods());

    let left = cluster.pods();
    assert_eq!(client.patch(&format!("{PODS}/{}", left[0]), &cost("-10")).await.0, 200);
    cluster.pod(&left[1], Fate::NotReady("no".to_owned()));
    cluster.until("Pod", &left[1], |pod| condition(pod, "Ready")["status"] == "False").await;
    cluster.kubectl_scale(2);
    cluster.until_ready(2).await;
    assert_eq!(cluster.pods(), [left[0].clone(), left[2].clone()]);
}

#[tokio::test]
async fn one_on_its_way_out_leaves_the_slices_before_it_is_gone() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.pods_linger(true);
    cluster.kubectl_scale(3);
    let slice = cluster.objects("EndpointSlice")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    let leaving = |slice: &Value| {
        slice["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["conditions"] == json!({ "ready": false, "serving": true, "terminating": true }))
    };
    cluster.until("EndpointSlice", &slice, leaving).await;
    cluster.until("Deployment", NAME, |one| one["status"]["replicas"] == 3).await;
    assert_eq!(cluster.objects("Pod").len(), 4);
    cluster.pods_linger(false);
    cluster.until_ready(3).await;
    cluster
        .until("EndpointSlice", &slice, |slice| slice["endpoints"].as_array().is_some_and(|all| all.len() == 3))
        .await;
}

#[tokio::test]
async fn a_new_version_comes_pod_by_pod_and_one_without_an_image_takes_nobodys_place() {
    let cluster = Cluster::start(Setup::default()).await;
    let before = cluster.pods();
    cluster.set_image("registry.example/conclave/api:1.5.0");
    cluster
        .until_pods(|pods| {
            pods.len() == 4
                && pods.iter().all(|pod| {
                    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
                    !before.iter().any(|old| old == name) && condition(pod, "Ready")["status"] == "True"
                })
        })
        .await;
    cluster.until("Deployment", NAME, |one| condition(one, "Progressing")["reason"] == "NewReplicaSetAvailable").await;

    cluster.break_image();
    cluster.until_pods(|pods| pods.iter().any(|pod| reason(pod) == "ImagePullBackOff")).await;
    let stuck = cluster.until("Deployment", NAME, |one| one["status"]["updatedReplicas"] == 2).await;
    // A quarter of four may be missing, none more.
    assert_eq!(stuck["status"]["readyReplicas"], 3, "{stuck:#}");
    assert_eq!(condition(&stuck, "Available")["status"], "True");
    cluster.advance(std::time::Duration::from_secs(700));
    cluster
        .until("Deployment", NAME, |one| condition(one, "Progressing")["reason"] == "ProgressDeadlineExceeded")
        .await;
}

#[tokio::test]
async fn a_stateful_set_comes_and_goes_in_order() {
    let setup = Setup { kind: "StatefulSet", instances: 3, ..Setup::default() };
    let cluster = Cluster::start(setup).await;
    assert_eq!(cluster.pods(), ["api-0", "api-1", "api-2"]);
    cluster.new_pods(Fate::NotReady("not yet".to_owned()));
    cluster.kubectl_scale(5);
    cluster
        .until("StatefulSet", NAME, |one| one["status"]["replicas"] == 4 && one["status"]["readyReplicas"] == 3)
        .await;
    // The fifth waits for the fourth.
    assert_eq!(cluster.pods(), ["api-0", "api-1", "api-2", "api-3"]);
    cluster.new_pods(Fate::Ready);
    cluster.pod("api-3", Fate::Ready);
    cluster.until_ready(5).await;
    cluster.kubectl_scale(2);
    cluster.until_ready(2).await;
    assert_eq!(cluster.pods(), ["api-0", "api-1"]);
}

#[tokio::test]
async fn a_budget_says_how_many_may_be_taken_away() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.budget(3);
    let budget = cluster.until("PodDisruptionBudget", NAME, |one| one["status"]["disruptionsAllowed"] == 1).await;
    let status = &budget["status"];
    assert_eq!(
        (&status["currentHealthy"], &status["desiredHealthy"], &status["expectedPods"]),
        (&json!(4), &json!(3), &json!(4))
    );
    cluster.pod(&cluster.pods()[0], Fate::NotReady("no".to_owned()));
    cluster.until("PodDisruptionBudget", NAME, |one| one["status"]["disruptionsAllowed"] == 0).await;
}

#[tokio::test]
async fn a_limit_range_gives_a_pod_what_a_quota_asks_for() {
    let before = "apiVersion: v1\nkind: LimitRange\nmetadata: { name: usual }\n\
                  spec: { limits: [{ type: Container, default: { cpu: 500m }, defaultRequest: { cpu: 100m } }] }\n";
    let cluster = Cluster::start(Setup { before: before.to_owned(), ..Setup::default() }).await;
    cluster.quota("limits", &json!({ "limits.cpu": "2500m" }));
    cluster.kubectl_scale(6);
    cluster.until("Deployment", NAME, |one| !condition(one, "ReplicaFailure").is_null()).await;
    let pods = cluster.objects("Pod");
    assert_eq!(pods.len(), 5);
    let resources = &pods[0]["spec"]["containers"][0]["resources"];
    // What the pod says itself stays.
    assert_eq!(
        resources,
        &json!({ "limits": { "cpu": "500m", "memory": "512Mi" }, "requests": { "cpu": "250m", "memory": "256Mi" } })
    );
    cluster.until("ResourceQuota", "limits", |quota| quota["status"]["used"]["limits.cpu"] == "2500m").await;
}
