use serde_json::{Value, json};

use super::*;
use crate::kubernetes::cluster::{self, Api, deployment, failure, owner, pod, replica_set};

fn observed(given: &Value) -> Observed {
    from_deployment(cluster::read(given)).unwrap()
}

fn held_by(entries: &Value) -> Option<SetBy> {
    let mut given = deployment(4);
    given["metadata"]["managedFields"] = entries.clone();
    observed(&given).set_by()
}

fn holds(manager: &str, subresource: &str, at: &str) -> Value {
    json!({
        "manager": manager, "operation": "Update", "subresource": subresource, "time": at,
        "fieldsType": "FieldsV1", "fieldsV1": { "f:spec": { "f:replicas": {} } },
    })
}

#[test]
fn a_count_that_we_set_is_known_by_its_operation() {
    let by = held_by(&json!([
        { "manager": "kubectl", "fieldsV1": { "f:spec": { "f:template": {} } }, "time": "2026-01-08T03:00:00Z" },
        holds("scalebot-019ac3-7f00", "scale", "2026-01-08T02:00:00Z"),
    ]))
    .unwrap();
    assert_eq!(by.operation(), Some("019ac3-7f00"));
    assert_eq!(by.at, Some("2026-01-08T02:00:00Z".parse().unwrap()));
}

#[test]
fn a_count_that_somebody_else_set_is_known_by_who_that_was() {
    let by = held_by(&json!([holds("kubectl-scale", "scale", "2026-01-08T02:00:00Z")])).unwrap();
    assert_eq!((by.manager.as_str(), by.operation()), ("kubectl-scale", None));
    assert_eq!(held_by(&json!([])), None);
}

#[test]
fn whoever_applies_the_count_that_we_set_only_shares_it() {
    let by = held_by(&json!([
        holds("scalebot-op", "scale", "2026-01-08T02:00:00Z"),
        holds("argocd-controller", "", "2026-01-08T03:00:00Z"),
    ]));
    assert_eq!(by.unwrap().operation(), Some("op"));
}

#[test]
fn an_absent_count_means_one() {
    let mut given = deployment(4);
    given["spec"]["replicas"] = Value::Null;
    assert_eq!(observed(&given).wanted(), Replicas(1));
}

#[test]
fn a_selector_is_asked_for_as_a_query() {
    let mut given = deployment(4);
    given["spec"]["selector"] = json!({
        "matchLabels": { "app": "api" },
        "matchExpressions": [
            { "key": "tier", "operator": "In", "values": ["a", "b"] },
            { "key": "old", "operator": "DoesNotExist" },
            { "key": "zone", "operator": "NotIn", "values": ["x"] },
            { "key": "kept", "operator": "Exists" },
        ],
    });
    assert_eq!(observed(&given).selector(), "app=api,tier in (a,b),!old,zone notin (x),kept");
}

#[test]
fn a_workload_that_selects_everything_or_lacks_its_version_is_none() {
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut given = deployment(4);
        change(&mut given);
        from_deployment(cluster::read(&given)).unwrap_err()
    };
    assert_eq!(wrong(&|given| given["spec"]["selector"] = json!({})), "has a selector that selects nothing");
    assert_eq!(wrong(&|given| given["spec"]["replicas"] = json!(-1)), "wants fewer than no pods");
    for key in ["uid", "resourceVersion", "generation"] {
        assert_eq!(wrong(&|given| given["metadata"][key] = Value::Null), "has no uid, version or generation");
    }
}

#[test]
fn a_change_of_the_count_alone_is_no_rollout() {
    let mut given = deployment(6);
    given["status"]["replicas"] = json!(4);
    given["status"]["updatedReplicas"] = json!(4);
    assert_eq!(observed(&given).rollout_under_way(), None);
}

#[test]
fn a_rollout_is_seen_by_what_its_controller_writes() {
    let words = |change: &dyn Fn(&mut Value)| {
        let mut given = deployment(4);
        change(&mut given);
        observed(&given).rollout_under_way()
    };
    let progressing = |reason: &str, message: &str| json!([{ "type": "Progressing", "status": "True", "reason": reason, "message": message }]);
    assert_eq!(words(&|_| ()), None);
    assert_eq!(
        words(&|given| given["metadata"]["generation"] = json!(4)).as_deref(),
        Some("its controller has not acted on the latest change yet")
    );
    assert_eq!(
        words(&|given| {
            given["status"]["updatedReplicas"] = json!(1);
            given["status"]["conditions"] = progressing("ReplicaSetUpdated", "");
        })
        .as_deref(),
        Some("3 of 4 pods are still of an earlier version")
    );
    // "Recreate": all of the earlier version are gone before the first of the new one is there.
    assert_eq!(
        words(&|given| {
            given["status"]["replicas"] = json!(0);
            given["status"]["updatedReplicas"] = json!(0);
            given["status"]["conditions"] = progressing("NewReplicaSetCreated", "");
        })
        .as_deref(),
        Some("its first pods, or those of a new version, are not all available yet")
    );
    let stuck = progressing("ProgressDeadlineExceeded", "ReplicaSet \"api-8\" has timed out progressing.");
    assert_eq!(
        words(&|given| given["status"]["conditions"] = stuck.clone()).as_deref(),
        Some("a rollout that is stuck: ReplicaSet \"api-8\" has timed out progressing.")
    );
}

#[test]
fn a_stateful_set_between_two_revisions_is_rolled_out() {
    let given = |updated: &str| {
        json!({
            "metadata": { "name": "api", "uid": "s1", "resourceVersion": "7", "generation": 2 },
            "spec": {
                "replicas": 3, "serviceName": "api", "selector": { "matchLabels": { "app": "api" } },
                "template": { "spec": { "containers": [] } }, "ordinals": { "start": 5 },
            },
            "status": {
                "replicas": 3, "readyReplicas": 3, "updatedReplicas": 1, "observedGeneration": 2,
                "currentRevision": "api-1", "updateRevision": updated,
            },
        })
    };
    let read = |updated| from_stateful_set(cluster::read(&given(updated))).unwrap();
    assert_eq!(read("api-1").rollout_under_way(), None);
    assert_eq!(read("api-2").rollout_under_way().as_deref(), Some("2 of 3 pods are still of an earlier version"));
    assert_eq!((read("api-1").kind(), read("api-1").first_ordinal()), ("StatefulSet", 5));
}

#[tokio::test]
async fn pods_of_another_workload_with_the_same_labels_are_not_ours() {
    let mut stranger = pod("stranger");
    stranger["metadata"]["ownerReferences"] = json!([owner("ReplicaSet", "canary-1", "canary-1")]);
    let mut orphan = pod("orphan");
    orphan["metadata"]["ownerReferences"] = Value::Null;
    let api = Api::of(vec![pod("api-1"), stranger, orphan], |_, _| None).await;
    let mut canary = replica_set("canary-1", 1);
    canary["metadata"]["ownerReferences"] = json!([owner("Deployment", "canary", "d2")]);
    api.cluster().replica_sets.push(canary);
    let of = read(&api.server(), &api.settings()).await.unwrap();
    let pods = pods(&api.server(), &api.settings(), &of).await.unwrap();
    let names: Vec<_> = pods.iter().map(crate::kubernetes::pods::name).collect();
    assert_eq!(names, ["api-1"]);
}

#[tokio::test]
async fn a_workload_that_was_deleted_is_gone_and_a_page_that_is_not_found_is_not() {
    let gone = |answer: (u16, Value)| async move {
        let api = Api::of(Vec::new(), move |_, _| Some(answer.clone())).await;
        read(&api.server(), &api.settings()).await.unwrap_err()
    };
    assert_eq!(
        gone(failure(404, "NotFound", "deployments.apps \"api\" not found")).await,
        PortError::Gone { what: "Deployment api".to_owned(), detail: "deployments.apps \"api\" not found".to_owned() }
    );
    let elsewhere = gone((404, Value::String("404 page not found".to_owned()))).await;
    assert!(matches!(elsewhere, PortError::NotServed { .. }), "{elsewhere:?}");
}

#[tokio::test]
async fn what_may_not_be_read_is_refused_in_the_servers_own_words() {
    let sentence = "deployments.apps \"api\" is forbidden: User \"bot\" cannot get resource \"deployments\"";
    let api = Api::of(Vec::new(), move |_, _| Some(failure(403, "Forbidden", sentence))).await;
    let error = read(&api.server(), &api.settings()).await.unwrap_err();
    let what = "the Kubernetes API".to_owned();
    assert_eq!(error, PortError::Refused { what, detail: sentence.to_owned() });
}
