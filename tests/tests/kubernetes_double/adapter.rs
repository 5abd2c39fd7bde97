//! The bot's own adapter on the double, by the shipped rights alone.

use std::path::Path;

use async_trait::async_trait;
use scalebot_adapters::kubernetes::{Kubernetes, Settings};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Fleet as _, FleetState, HoldOrder, InstanceState, OrderAnswer, PortError, ReleaseOrder, ScaleOrder, Traffic as _,
};
use scalebot_commands::units::{OperationId, Replicas};
use scalebot_tests::kubernetes::{Cluster, Fate, Setup};
use scalebot_tests::services::orders::{Order, given};
use serde_json::json;

async fn cluster() -> (Cluster, Kubernetes) {
    with(&["observe-and-scale.yaml", "victims.yaml", "nodes.yaml"], "leave").await
}

async fn with(rights: &[&str], autoscaler: &str) -> (Cluster, Kubernetes) {
    let cluster = Cluster::start(Setup::default()).await;
    for file in rights {
        cluster.apply_file(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes/rbac").join(file));
    }
    let settings = json!({
        "namespace": "conclave", "deployment": "api", "service": "api",
        "kubeconfig": cluster.kubeconfig("scalebot/scalebot"), "time_out": "20s",
        "autoscaler": autoscaler,
    });
    let settings: Settings = serde_json::from_value(settings).unwrap();
    let fleet = Kubernetes::new(&settings).unwrap();
    (cluster, fleet)
}

struct Scaling<'a>(&'a Kubernetes, ScaleOrder);

#[async_trait]
impl Order for Scaling<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.0.scale(&self.1, fence).await
    }
}

async fn scale(fleet: &Kubernetes, seen: &FleetState, to: u32) -> Result<OrderAnswer, PortError> {
    let order = ScaleOrder {
        identity: seen.identity.clone(),
        from: seen.wanted,
        to: Replicas(to),
        version: seen.version.clone(),
        operation: OperationId::new("op-7"),
    };
    given(&Scaling(fleet, order)).await
}

#[tokio::test]
async fn the_fleet_is_seen_scaled_under_its_mark_and_a_stale_order_is_a_conflict() {
    let (cluster, fleet) = cluster().await;
    let seen = fleet.observe().await.unwrap();
    assert_eq!((seen.wanted, seen.instances.len()), (Replicas(4), 4));
    assert!(seen.instances.iter().all(|one| one.state == InstanceState::Ready), "{seen:?}");
    assert_eq!(scale(&fleet, &seen, 6).await.unwrap(), OrderAnswer::Done);
    cluster.until_ready(6).await;
    let after = fleet.observe().await.unwrap();
    assert_eq!((after.wanted, after.changed_by.as_deref()), (Replicas(6), Some("op-7")));
    assert_eq!(after.generation, seen.generation + 1);
    assert!(matches!(scale(&fleet, &seen, 7).await.unwrap(), OrderAnswer::Conflict { .. }));
    assert_eq!(cluster.object("Deployment", "api")["spec"]["replicas"], 6);
    assert_eq!(fleet.traffic().routed().await.unwrap().iter().filter(|one| one.receives).count(), 6);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_the_order_unknown_and_done() {
    let (cluster, fleet) = cluster().await;
    let seen = fleet.observe().await.unwrap();
    cluster.loses_next_answer("/scale");
    assert!(scale(&fleet, &seen, 5).await.is_err());
    cluster.until_ready(5).await;
    assert_eq!(fleet.observe().await.unwrap().changed_by.as_deref(), Some("op-7"));
    // It was sent once.
    assert_eq!(cluster.requests().iter().filter(|one| one.method == "PATCH").count(), 1);
}

#[tokio::test]
async fn room_quotas_and_who_else_steers_are_read() {
    let (cluster, fleet) = cluster().await;
    assert!(fleet.steered_by().await.unwrap().is_empty());
    // Three nodes of sixteen, four of these used.
    assert_eq!(fleet.headroom(Replicas(100)).await.unwrap().fits, Replicas(44));
    cluster.quota("pods", &json!({ "pods": "6" }));
    cluster.until("ResourceQuota", "pods", |quota| quota["status"]["used"]["pods"] == "4").await;
    assert_eq!(fleet.headroom(Replicas(10)).await.unwrap().fits, Replicas(2));
    cluster.install_hpa(2, 5);
    assert_eq!(fleet.steered_by().await.unwrap().len(), 1);
    assert_eq!(fleet.declared().await.unwrap().map(|declared| declared.count), Some(Replicas(4)));
    cluster.budget(3);
    cluster.until("PodDisruptionBudget", "api", |one| one["status"]["disruptionsAllowed"] == 1).await;
    assert_eq!(fleet.disruptions_allowed().await.unwrap().map(|budget| budget.allowed), Some(Replicas(1)));
}

#[tokio::test]
async fn a_crash_is_told_in_words() {
    let (cluster, fleet) = cluster().await;
    let name = cluster.pods()[0].clone();
    cluster.pod(&name, Fate::Crashes(137, "OOMKilled"));
    cluster.until("Deployment", "api", |one| one["status"]["readyReplicas"] == 3).await;
    let seen = fleet.observe().await.unwrap();
    let crashed = seen.instances.iter().find(|one| one.id.as_str() == name).unwrap();
    assert_ne!(crashed.state, InstanceState::Ready);
    let said = crashed.detail.clone().unwrap_or_default();
    assert!(said.contains("137") && said.contains("memory"), "{said}");
}

struct Holding<'a>(&'a Kubernetes, HoldOrder);

#[async_trait]
impl Order for Holding<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.0.hold(&self.1, fence).await
    }
}

struct Releasing<'a>(&'a Kubernetes, ReleaseOrder);

#[async_trait]
impl Order for Releasing<'_> {
    async fn give(&self, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.0.release(&self.1, fence).await
    }
}

/// Holds the only autoscaler, for a change from four to eight. What an autoscaler writes of itself makes a version stale
/// like any other change: then it is looked at again, as the guard of an operation does.
async fn hold(fleet: &Kubernetes) -> OrderAnswer {
    loop {
        let hold = fleet.steered_by().await.unwrap().remove(0).hold.unwrap();
        let order = HoldOrder { hold, from: Replicas(4), to: Replicas(8), operation: OperationId::new("op-7") };
        let answer = given(&Holding(fleet, order)).await.unwrap();
        if !matches!(answer, OrderAnswer::Conflict { .. }) {
            return answer;
        }
    }
}

/// Puts it back, looking again as above.
async fn release(fleet: &Kubernetes) -> OrderAnswer {
    let operation = OperationId::new("op-7");
    loop {
        let held = fleet.held_by(&operation).await.unwrap().remove(0);
        assert_eq!(held.changed, None);
        let order = ReleaseOrder { held, operation: operation.clone() };
        let answer = given(&Releasing(fleet, order)).await.unwrap();
        if !matches!(answer, OrderAnswer::Conflict { .. }) {
            return answer;
        }
    }
}

#[tokio::test]
async fn an_autoscaler_is_held_still_while_the_count_changes_and_sets_it_again_once_it_is_put_back() {
    let rights = ["observe-and-scale.yaml", "victims.yaml", "nodes.yaml", "autoscalers.yaml"];
    let (cluster, fleet) = with(&rights, "hold").await;
    cluster.install_hpa(2, 5);
    let before = cluster.object("HorizontalPodAutoscaler", "api")["spec"].clone();
    assert_eq!(hold(&fleet).await, OrderAnswer::Done);
    assert!(fleet.steered_by().await.unwrap().is_empty());
    // It finds that fewer are needed, and does nothing about it.
    cluster.hpa_needs(3);
    let seen = fleet.observe().await.unwrap();
    assert_eq!(scale(&fleet, &seen, 8).await.unwrap(), OrderAnswer::Done);
    cluster.until_ready(8).await;
    assert_eq!(fleet.observe().await.unwrap().changed_by.as_deref(), Some("op-7"));
    assert_eq!(release(&fleet).await, OrderAnswer::Done);
    assert_eq!(cluster.object("HorizontalPodAutoscaler", "api")["spec"], before);
    assert!(fleet.held_by(&OperationId::new("op-7")).await.unwrap().is_empty());
    cluster.until_ready(3).await;
}

#[tokio::test]
async fn without_the_right_to_it_nobody_is_held() {
    let (cluster, fleet) = with(&["observe-and-scale.yaml", "victims.yaml", "nodes.yaml"], "hold").await;
    cluster.install_hpa(2, 5);
    let OrderAnswer::Refused { detail } = hold(&fleet).await else { panic!("it was held") };
    assert!(detail.contains("horizontalpodautoscalers"), "{detail}");
}
