//! Pods that are real processes.

use std::time::Duration;

use scalebot_adapters::process::{ForwarderTraffic, WorldClient};
use scalebot_commands::ports::{Routed, Traffic as _};
use scalebot_tests::binary::world_says;
use scalebot_tests::kubernetes::{Cluster, Machines, Real, Setup};
use serde_json::{Value, json};

use super::asking::{Client, PODS};

async fn forwarded(cluster: &Cluster) -> Vec<Routed> {
    let (socket, lock) = (cluster.world().join("world.sock"), cluster.world().join("world.lock"));
    let world = WorldClient::new(&socket, &lock, Duration::from_secs(20)).unwrap();
    ForwarderTraffic::new(&world).routed().await.unwrap()
}

/// Asks again until so many are as asked: the world tells nobody by itself.
async fn until(cluster: &Cluster, many: usize, is: impl Fn(&Routed) -> bool) {
    let so = async {
        while forwarded(cluster).await.iter().filter(|one| is(one)).count() != many {
            tokio::task::yield_now().await;
        }
    };
    let came = tokio::time::timeout(Duration::from_mins(1), so).await;
    assert!(came.is_ok(), "{:?}\n{}", forwarded(cluster).await, cluster.transcript());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_a_process_with_an_address_of_its_own() {
    let cluster = Cluster::start(Setup::real(2, 0.0)).await;
    let pods = cluster.objects("Pod");
    let addresses: Vec<&str> = pods.iter().map(|pod| pod["status"]["podIP"].as_str().unwrap()).collect();
    assert!(addresses[0] != addresses[1] && addresses.iter().all(|address| address.starts_with("127.")));
    for address in &addresses {
        let direct = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = direct.get(format!("http://{address}:8000/v1/ready")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    // The same through the API server.
    let client = Client::of(&cluster, "administrator");
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let (status, health) = client.get(&format!("{PODS}/{name}:8000/proxy/v1/ready")).await;
    assert_eq!(status, 200, "{health}");
    let log =
        client.send(reqwest::Method::GET, &format!("{PODS}/{name}/log?tailLines=5"), "", &Value::Null).await.unwrap();
    assert_eq!(log.status(), 200);

    // Up: a process more. Down: the very one whose pod went.
    cluster.kubectl_scale(3);
    cluster.until_ready(3).await;
    until(&cluster, 3, |one| one.receives).await;
    cluster.kubectl_scale(2);
    cluster.until_ready(2).await;
    until(&cluster, 2, |one| one.receives).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_is_started_again_in_the_same_pod() {
    let cluster = Cluster::start(Setup::real(2, 0.0)).await;
    let instance = forwarded(&cluster).await[0].instance.to_string();
    world_says(cluster.world(), "POST", "/happen/kill", &json!({ "instance": instance }));
    let pods = cluster
        .until_pods(|pods| pods.iter().any(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1))
        .await;
    assert_eq!(pods.len(), 2);
    cluster.until_ready(2).await;
    let all = cluster.objects("Pod");
    let again = all.iter().find(|pod| pod["status"]["containerStatuses"][0]["restartCount"] == 1).unwrap();
    assert_eq!(again["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 137);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_pods_that_crash_are_seen_to_crash_and_get_nothing() {
    let real = Real { fault: Some("crash"), ..Real::default() };
    let cluster = Cluster::start(Setup { instances: 2, machines: Machines::Real(real), ..Setup::default() }).await;
    cluster.kubectl_scale(3);
    let looping = |pod: &Value| {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"
            && pod["status"]["containerStatuses"][0]["restartCount"] == 1
    };
    let pods = cluster.until_pods(|pods| pods.iter().any(looping)).await;
    assert_eq!(pods.iter().filter(|pod| looping(pod)).count(), 1);
    cluster.kubectl_scale(2);
    cluster.until_ready(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_leaves_the_slices_gets_no_more_requests() {
    let cluster = Cluster::start(Setup::real(2, 20.0)).await;
    until(&cluster, 2, |one| one.receives).await;
    let client = Client::of(&cluster, "administrator");
    let name = cluster.pods()[0].clone();
    let drained = json!({ "metadata": { "labels": { "receives-requests": "false" } } });
    assert_eq!(client.patch(&format!("{PODS}/{name}"), &drained).await.0, 200);
    until(&cluster, 1, |one| one.drained).await;
    assert_eq!(cluster.pods().len(), 2);
}
