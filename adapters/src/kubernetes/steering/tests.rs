use serde_json::{Value, json};

use super::*;
use crate::kubernetes::stand_in::{Cluster, KEDA, SCALERS, holds_count};

const EARLIER: &str = "2026-11-25T11:00:00Z";
const LATER: &str = "2026-11-25T12:00:00Z";

async fn asked(cluster: Cluster) -> Result<Vec<Steering>, PortError> {
    let running = cluster.run().await;
    steered_by(&running.server(), &running.settings, &running.workload().await).await
}

/// The one who was found, as the precheck words it, and what settles it.
async fn only(cluster: Cluster) -> (String, String) {
    let mut found = asked(cluster).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    let Steering { by, effect, settled_by, hold } = found.remove(0);
    // Where policy says nothing else, everybody is left alone.
    assert_eq!(hold, None);
    (format!("{by} {effect}"), settled_by)
}

async fn nobody(cluster: Cluster) {
    assert_eq!(asked(cluster).await.unwrap(), []);
}

fn scaler(least: u32, most: u32, target: &str) -> Value {
    json!({
        "metadata": {"name": "api-hpa"},
        "spec": {
            "minReplicas": least, "maxReplicas": most,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
        },
    })
}

fn scalers(scaler: Value) -> Cluster {
    Cluster::new().holds(SCALERS, json!([scaler]))
}

fn scaled_object(annotations: Value) -> Cluster {
    Cluster::new().holds(
        KEDA,
        json!([{
            "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
            "metadata": {"name": "api-so", "annotations": annotations},
            "spec": {"scaleTargetRef": {"name": "api"}, "minReplicaCount": 2, "maxReplicaCount": 9},
        }]),
    )
}

fn with(metadata: Value) -> Cluster {
    Cluster::new().deployed(json!({"metadata": metadata}))
}

/// The patch in a command, as it would be sent.
fn patch_in(command: &str) -> Value {
    serde_json::from_str(command.split('\'').nth(1).unwrap()).unwrap()
}

#[tokio::test]
async fn where_nobody_steers_nobody_is_named_and_a_cluster_without_keda_is_one_of_these() {
    nobody(Cluster::new()).await;
    nobody(scalers(scaler(2, 10, "web"))).await;
}

#[tokio::test]
async fn an_autoscaler_is_named_with_its_bounds_and_the_patch_after_which_it_is_not_named_any_more() {
    let (said, settled_by) = only(scalers(scaler(2, 10, "api"))).await;
    assert_eq!(
        said,
        "HorizontalPodAutoscaler api-hpa keeps 2 to 10 instances by its own measure and would change our count within a minute"
    );
    assert!(settled_by.starts_with("kubectl -n conclave patch hpa api-hpa --type=merge -p '"), "{settled_by}");
    let mut settled = scaler(2, 10, "api");
    settled["spec"]["behavior"] = patch_in(&settled_by)["spec"]["behavior"].clone();
    nobody(scalers(settled.clone())).await;
    // Its bounds count all the same.
    settled["spec"]["maxReplicas"] = json!(3);
    assert_eq!(
        only(scalers(settled)).await.0,
        "HorizontalPodAutoscaler api-hpa sets the count back into its bounds, 2 to 3 instances"
    );
}

#[tokio::test]
async fn a_scaled_object_is_named_once_and_not_when_it_is_paused() {
    let mut of_keda = scaler(2, 9, "api");
    of_keda["metadata"]["ownerReferences"] = json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "api-so", "uid": "so", "controller": true}]);
    let (said, settled_by) = only(scaled_object(json!({})).holds(SCALERS, json!([of_keda]))).await;
    assert_eq!(said, "KEDA ScaledObject api-so keeps 2 to 9 instances by its triggers and would change our count");
    assert_eq!(
        settled_by,
        "kubectl -n conclave annotate scaledobject api-so --overwrite autoscaling.keda.sh/paused=true"
    );
    nobody(scaled_object(json!({"autoscaling.keda.sh/paused": "true"}))).await;
    let (said, settled_by) = only(scaled_object(json!({"autoscaling.keda.sh/paused-replicas": "4"}))).await;
    assert_eq!(said, "KEDA ScaledObject api-so holds the count at 4");
    assert!(
        settled_by.ends_with("autoscaling.keda.sh/paused=true autoscaling.keda.sh/paused-replicas-"),
        "{settled_by}"
    );
}

#[tokio::test]
async fn a_keda_that_may_not_be_looked_at_is_not_known_to_be_none() {
    let refused = asked(Cluster::new().forbids(KEDA, "scaledobjects.keda.sh is forbidden")).await.unwrap_err();
    assert!(matches!(refused, PortError::Refused { .. }), "{refused}");
}

#[tokio::test]
async fn an_argo_cd_application_is_named_unless_its_manifest_says_no_count() {
    let tracked = |more: Value| {
        let mut metadata =
            json!({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:conclave/api"}});
        metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        metadata
    };
    let (said, settled_by) = only(with(tracked(json!({})))).await;
    assert_eq!(said, "Argo CD application shop deploys this from a repository, and may set the count back");
    assert_eq!(settled_by, "take spec.replicas out of the manifest that it applies, then: argocd app sync shop");
    let (said, _) = only(with(json!({"managedFields": [holds_count("argocd-controller", "Apply", LATER)]}))).await;
    assert_eq!(said, "Argo CD set the count as it is, and would set it back");
    let mut applied = tracked(json!({}));
    applied["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(r#"{"spec": {"replicas": 3}}"#);
    let (said, _) = only(with(applied.clone())).await;
    assert_eq!(said, "Argo CD application shop applies 3 instances, and would set the count back to that");
    applied["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(r#"{"spec": {}}"#);
    nobody(with(applied)).await;
}

#[tokio::test]
async fn a_flux_kustomization_is_named_until_it_is_told_to_leave_the_workload_alone_or_shows_that_it_says_no_count() {
    let mut applied = holds_count("kustomize-controller", "Apply", LATER);
    applied["fieldsV1"] = json!({"f:spec": {"f:template": {}}});
    let labels = json!({"kustomize.toolkit.fluxcd.io/name": "apps"});
    let entries = |mine: &Value, set: &str| json!({"labels": labels, "managedFields": [mine, holds_count("scalebot-1", "Update", set)]});
    let (said, settled_by) = only(with(json!({"labels": labels}))).await;
    assert_eq!(said, "Flux Kustomization apps deploys this from a repository, and may set the count back");
    assert_eq!(
        settled_by,
        "kubectl -n conclave annotate deployment/api kustomize.toolkit.fluxcd.io/reconcile=disabled"
    );
    nobody(with(json!({"labels": labels, "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}}))).await;
    // It applied after the count was set, and left it.
    nobody(with(entries(&applied, EARLIER))).await;
    // It has not applied since: it may yet take it back.
    applied["time"] = json!(EARLIER);
    assert!(only(with(entries(&applied, LATER))).await.0.contains("may set the count back"));
}

#[tokio::test]
async fn a_flux_release_is_named_by_its_name() {
    let (said, settled_by) = only(with(json!({
        "labels": {"helm.toolkit.fluxcd.io/name": "conclave"},
        "managedFields": [holds_count("helm-controller", "Apply", LATER)],
    })))
    .await;
    assert_eq!(said, "Flux HelmRelease conclave set the count as it is, and would set it back");
    assert!(settled_by.ends_with("helm.toolkit.fluxcd.io/driftDetection=disabled"), "{settled_by}");
}

#[tokio::test]
async fn people_and_the_bot_itself_steer_nothing() {
    for manager in ["kubectl", "kubectl-edit", "kubectl-client-side-apply", "helm", "scalebot-018f", "k9s"] {
        nobody(with(json!({"managedFields": [holds_count(manager, "Update", LATER)]}))).await;
    }
}

#[tokio::test]
async fn a_program_that_set_the_count_is_named() {
    let (said, _) = only(with(json!({"managedFields": [holds_count("shop-operator", "Update", LATER)]}))).await;
    assert_eq!(said, "shop-operator set the count last and may set it again");
}

#[tokio::test]
async fn what_owns_the_workload_is_scaled_in_its_place() {
    let owner = json!([{"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "api", "uid": "r", "controller": true}]);
    let (said, settled_by) = only(with(json!({"ownerReferences": owner}))).await;
    assert_eq!(said, "Rollout api owns deployment/api and sets its count to what Rollout api says");
    assert_eq!(settled_by, "kubectl -n conclave edit rollout.argoproj.io/api, and change the count there");
}

#[tokio::test]
async fn a_pause_and_a_rollout_stand_in_the_way() {
    let (said, settled_by) = only(Cluster::new().deployed(json!({"spec": {"paused": true}}))).await;
    assert_eq!(said, "Deployment api is paused: new pods may be of an earlier version than its template says");
    assert_eq!(settled_by, "kubectl -n conclave rollout resume deployment/api");
    let (said, settled_by) = only(Cluster::new().deployed(json!({"status": {"updatedReplicas": 1}}))).await;
    assert_eq!(said, "a rollout of Deployment api is under way (3 of 4 pods are still of an earlier version)");
    assert_eq!(settled_by, "kubectl -n conclave rollout status deployment/api, which waits until it is through");
}
