use serde_json::{Value, json};

use super::*;
use crate::kubernetes::stand_in::{Cluster, EVERY_POD, NODES, PODS, QUOTAS, pod};

async fn asked(cluster: Cluster, wanted: u32) -> Result<Headroom, PortError> {
    let running = cluster.run().await;
    let workload = running.workload().await;
    headroom(&running.server(), &running.settings, &workload, Replicas(wanted)).await
}

fn quota(hard: &str, used: &str) -> Value {
    let amounts = |pods: &str| json!({"pods": pods});
    json!([{"metadata": {"name": "team"}, "spec": {"hard": amounts(hard)}, "status": {"hard": amounts(hard), "used": amounts(used)}}])
}

#[tokio::test]
async fn what_fits_is_what_quotas_and_nodes_let_in() {
    let room = asked(Cluster::new(), 2).await.unwrap();
    assert_eq!((room.fits, room.runs_out), (Replicas(2), None));
    assert_eq!(room.source, "quotas of namespace conclave and 2 nodes");
    // Two of the four pods are on each node: six of its eight half cores are left, and six of its 8 GiB.
    let room = asked(Cluster::new(), 20).await.unwrap();
    assert_eq!(room.fits, Replicas(12));
    assert_eq!(
        room.runs_out.unwrap(),
        "CPU on the 2 nodes that such a pod may use (a pod takes 0.5 cores; the most that is free on one is 0 cores)"
    );
}

#[tokio::test]
async fn a_quota_that_is_tighter_than_the_nodes_is_named() {
    let room = asked(Cluster::new().holds(QUOTAS, quota("5", "4")), 2).await.unwrap();
    assert_eq!(room.fits, Replicas(1));
    assert_eq!(room.runs_out.as_deref(), Some("quota team on pods (4 of 5 there)"));
}

#[tokio::test]
async fn without_the_right_to_list_nodes_it_is_not_known() {
    let sentence =
        "nodes is forbidden: User \"bot\" cannot list resource \"nodes\" in API group \"\" at the cluster scope";
    let refused = asked(Cluster::new().forbids(NODES, sentence), 1).await.unwrap_err();
    assert!(
        matches!(&refused, PortError::Refused { detail, .. } if detail.contains("cannot list resource")),
        "{refused}"
    );
}

#[tokio::test]
async fn pods_that_are_wanted_already_take_their_room_first() {
    let mut pending = pod(4);
    pending["spec"]["nodeName"] = Value::Null;
    pending["status"]["phase"] = json!("Pending");
    let pods = json!([pod(1), pod(2), pod(3), pending]);
    let cluster = Cluster::new().holds(PODS, pods.clone()).holds(EVERY_POD, pods);
    assert_eq!(asked(cluster, 20).await.unwrap().fits, Replicas(12));
    let missing = json!([pod(1), pod(2), pod(3)]);
    let cluster = Cluster::new().holds(PODS, missing.clone()).holds(EVERY_POD, missing).holds(QUOTAS, quota("5", "3"));
    assert_eq!(asked(cluster, 20).await.unwrap().fits, Replicas(1));
}

#[tokio::test]
async fn devices_that_are_claimed_cannot_be_counted_and_so_it_is_not_known() {
    let claims = json!({"spec": {"template": {"spec": {"resourceClaims": [{"name": "gpu"}]}}}});
    let refused = asked(Cluster::new().deployed(claims), 1).await.unwrap_err();
    assert!(
        refused.to_string().contains("its pods claim devices (resourceClaims), which cannot be counted"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_cluster_s_default_priority_class_is_seen_on_a_pod() {
    let mut pods = vec![pod(1), pod(2), pod(3), pod(4)];
    for pod in &mut pods {
        pod["spec"]["priorityClassName"] = json!("standard");
    }
    let mut scoped = quota("4", "4");
    scoped[0]["spec"]["scopeSelector"] =
        json!({"matchExpressions": [{"scopeName": "PriorityClass", "operator": "In", "values": ["standard"]}]});
    let cluster = Cluster::new().holds(QUOTAS, scoped.clone());
    assert_eq!(asked(cluster, 1).await.unwrap().fits, Replicas(1));
    let cluster = Cluster::new().holds(QUOTAS, scoped).holds(PODS, json!(pods));
    assert_eq!(asked(cluster, 1).await.unwrap().fits, Replicas(0));
}
