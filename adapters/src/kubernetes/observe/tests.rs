use scalebot_commands::ports::{Fleet as _, InstanceState, PortError};
use scalebot_commands::units::Replicas;
use serde_json::json;

use crate::kubernetes::cluster::{Api, UID, failure, pod, unschedulable};

#[tokio::test]
async fn the_fleet_is_what_the_workload_and_its_pods_say() {
    let mut waiting = unschedulable("api-3", "0/1 nodes are available");
    waiting["metadata"]["creationTimestamp"] = json!("2026-01-08T03:30:00Z");
    let api = Api::of(vec![waiting, pod("api-2"), pod("api-1")], |_, _| None).await;
    api.cluster().deployment["metadata"]["managedFields"] = json!([{
        "manager": "scalebot-op-7", "subresource": "scale", "time": "2026-01-08T03:20:00Z",
        "fieldsV1": { "f:spec": { "f:replicas": {} } },
    }]);
    let seen = api.fleet().observe().await.unwrap();
    assert_eq!((seen.identity.as_str(), seen.version.as_str()), (UID, "1000"));
    assert_eq!((seen.wanted, seen.generation), (Replicas(3), 3));
    assert_eq!(seen.changed_by.as_deref(), Some("op-7"));
    assert_eq!(seen.changed_at, Some("2026-01-08T03:20:00Z".parse().unwrap()));
    let instances: Vec<_> = seen.instances.iter().map(|one| (one.id.as_str(), one.state)).collect();
    // Oldest first.
    assert_eq!(
        instances,
        [("api-1", InstanceState::Ready), ("api-2", InstanceState::Ready), ("api-3", InstanceState::Starting),]
    );
}

#[tokio::test]
async fn a_manager_whose_name_acts_on_a_screen_is_told_without_that() {
    for manager in ["\u{1b}[2Jsomebody", "scalebot-\u{1b}[2Jsomebody"] {
        let api = Api::of(vec![pod("api-1")], |_, _| None).await;
        api.cluster().deployment["metadata"]["managedFields"] =
            json!([{ "manager": manager, "fieldsV1": { "f:spec": { "f:replicas": {} } } }]);
        let seen = api.fleet().observe().await.unwrap();
        assert_eq!(seen.changed_by.as_deref(), Some("\\u{1b}[2Jsomebody"));
    }
}

#[tokio::test]
async fn a_fleet_of_which_a_part_cannot_be_seen_is_not_seen() {
    for path in ["replicasets", "pods"] {
        let api = Api::of(vec![pod("api-1")], move |asked, _| {
            (asked.path == path).then(|| failure(403, "Forbidden", "you may not list this"))
        })
        .await;
        let error = api.fleet().observe().await.unwrap_err();
        assert!(matches!(error, PortError::Refused { .. }), "{error:?}");
    }
}
