use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::Response;
use scalebot_commands::ports::{Fleet as _, InstanceState};
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::Kubernetes;
use crate::kubernetes::cluster::{self, Api, deployment, events, pod, replica_set};
use crate::kubernetes::workload::from_deployment;

const LIST: &str = "GET pods";
const WATCH: &str = "WATCH pods";

fn two() -> Vec<Value> {
    vec![pod("api-1"), pod("api-2")]
}

/// A watch whose answers are these, one after the other; the last one again and again.
async fn with(answers: Vec<fn() -> Response>) -> Api {
    let next = AtomicUsize::new(0);
    Api::watched(
        two(),
        |_, _| None,
        move |_| {
            let place = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
            answers[place]()
        },
    )
    .await
}

fn silent() -> Response {
    events(&[])
}

fn at_version(mut pod: Value, version: &str) -> Value {
    pod["metadata"]["resourceVersion"] = json!(version);
    pod
}

fn unready_at_1001() -> Response {
    let mut pod = at_version(pod("api-2"), "1001");
    pod["status"]["conditions"][1]["status"] = json!("False");
    events(&[json!({ "type": "MODIFIED", "object": pod })])
}

/// The fleet, seen once, when that is known of it.
async fn followed(api: &Api, until: impl FnMut(&Known) -> bool) -> Kubernetes {
    let fleet = api.fleet();
    fleet.observe().await.unwrap();
    fleet.inner.watch.changes().wait_for(until).await.unwrap();
    fleet
}

fn all(known: &Known) -> bool {
    matches!(known, Known::All(_))
}

fn version(wanted: &'static str) -> impl FnMut(&Known) -> bool {
    move |known| matches!(known, Known::All(all) if all.version == wanted)
}

/// How often the pods were listed to see the fleet once more.
async fn lists(api: &Api, fleet: &Kubernetes) -> usize {
    let before = api.times(LIST);
    fleet.observe().await.unwrap();
    api.times(LIST) - before
}

#[tokio::test]
async fn a_fleet_in_which_nothing_happens_is_not_listed_again() {
    let api = with(vec![silent]).await;
    let fleet = followed(&api, all).await;
    assert_eq!(lists(&api, &fleet).await, 0);
    let seen = fleet.observe().await.unwrap();
    let names: Vec<&str> = seen.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(names, ["api-1", "api-2"]);
    assert_eq!(api.times("GET deployments/api"), 3);
    // Followed from the version of the list, with bookmarks, and by the same labels.
    let cluster = api.cluster();
    let asked = cluster.asked.iter().find(|asked| asked.query.contains_key("watch")).unwrap();
    let said = |key: &str| asked.query.get(key).map(String::as_str);
    assert_eq!(said("resourceVersion"), Some("1000"));
    assert_eq!(said("allowWatchBookmarks"), Some("true"));
    assert_eq!(said("labelSelector"), Some("app%3Dapi"));
}

#[tokio::test]
async fn what_the_watch_tells_is_seen_once_the_controller_says_the_same() {
    let api = with(vec![unready_at_1001]).await;
    let fleet = followed(&api, version("1001")).await;
    // The controller still counts two that are ready: one of both is wrong, and a list tells.
    assert_eq!(lists(&api, &fleet).await, 1);
    {
        let mut cluster = api.cluster();
        cluster.deployment["metadata"]["resourceVersion"] = json!("1001");
        cluster.deployment["status"]["readyReplicas"] = json!(1);
    }
    assert_eq!(lists(&api, &fleet).await, 0);
    let seen = fleet.observe().await.unwrap();
    assert_eq!(seen.instances[1].state, InstanceState::NotReady);
}

#[tokio::test]
async fn a_watch_that_lags_behind_the_workload_is_not_asked() {
    let api = with(vec![silent]).await;
    let fleet = followed(&api, all).await;
    // A pod went and another came: the counts are the same, and the controller has written meanwhile.
    {
        let mut cluster = api.cluster();
        cluster.deployment["metadata"]["resourceVersion"] = json!("1005");
        cluster.pods[1] = pod("api-3");
    }
    let seen = fleet.observe().await.unwrap();
    let names: Vec<&str> = seen.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(names, ["api-1", "api-3"]);
}

#[tokio::test]
async fn a_controller_that_has_not_seen_the_workload_yet_confirms_nothing() {
    let api = with(vec![silent]).await;
    let fleet = followed(&api, all).await;
    api.cluster().deployment["metadata"]["generation"] = json!(4);
    assert_eq!(lists(&api, &fleet).await, 1);
}

#[tokio::test]
async fn a_bookmark_keeps_a_quiet_watch_new() {
    let api = with(vec![|| {
        let metadata = json!({ "resourceVersion": "1007" });
        events(&[json!({ "type": "BOOKMARK", "object": { "kind": "Pod", "apiVersion": "v1", "metadata": metadata } })])
    }])
    .await;
    let fleet = followed(&api, version("1007")).await;
    api.cluster().deployment["metadata"]["resourceVersion"] = json!("1006");
    assert_eq!(lists(&api, &fleet).await, 0);
}

#[tokio::test]
async fn a_pod_that_is_gone_is_not_seen_any_more() {
    let api = with(vec![|| events(&[json!({ "type": "DELETED", "object": at_version(pod("api-2"), "1002") })])]).await;
    let fleet = followed(&api, version("1002")).await;
    {
        let mut cluster = api.cluster();
        cluster.deployment["spec"]["replicas"] = json!(1);
        cluster.deployment["status"]["replicas"] = json!(1);
        cluster.deployment["status"]["readyReplicas"] = json!(1);
    }
    assert_eq!(lists(&api, &fleet).await, 0);
    assert_eq!(fleet.observe().await.unwrap().instances.len(), 1);
}

fn too_old() -> Response {
    let status =
        json!({ "kind": "Status", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old" });
    events(&[json!({ "type": "ERROR", "object": status })])
}

fn broken() -> Response {
    use axum::response::IntoResponse as _;
    axum::body::Body::from("{\"type\":\"MODI\n").into_response()
}

#[tokio::test]
async fn a_version_that_is_too_old_is_listed_anew() {
    for answer in [too_old as fn() -> Response, broken] {
        let api = with(vec![answer, unready_at_1001]).await;
        let fleet = api.fleet();
        let mut changes = fleet.inner.watch.changes();
        fleet.observe().await.unwrap();
        changes.wait_for(version("1001")).await.unwrap();
        assert_eq!((api.times(WATCH), api.times(LIST)), (2, 3), "{:?}", api.asked());
    }
}

#[tokio::test]
async fn a_watch_that_the_server_ends_is_taken_up_where_it_ended() {
    let first = || {
        use axum::response::IntoResponse as _;
        let event = json!({ "type": "MODIFIED", "object": at_version(pod("api-1"), "1003") });
        axum::body::Body::from(format!("{event}\n")).into_response()
    };
    let api =
        with(vec![first, || events(&[json!({ "type": "ADDED", "object": at_version(pod("api-3"), "1004") })])]).await;
    let _fleet = followed(&api, version("1004")).await;
    let versions: Vec<String> = api
        .cluster()
        .asked
        .iter()
        .filter(|asked| asked.query.contains_key("watch"))
        .map(|asked| asked.query["resourceVersion"].clone())
        .collect();
    assert_eq!(versions, ["1000", "1003"]);
    // Once to see the fleet, and once to follow it.
    assert_eq!(api.times(LIST), 2);
}

#[tokio::test]
async fn where_watching_is_not_permitted_the_pods_are_listed_each_time() {
    let api = Api::of(two(), |_, _| None).await;
    let fleet = followed(&api, |known| matches!(known, Known::Forbidden)).await;
    assert_eq!([lists(&api, &fleet).await, lists(&api, &fleet).await], [1, 1]);
    assert_eq!(api.times(WATCH), 1);
}

#[tokio::test]
async fn following_ends_with_the_last_that_could_ask() {
    let api = with(vec![silent]).await;
    let fleet = followed(&api, all).await;
    let mut changes = fleet.inner.watch.changes();
    let other = fleet.clone();
    drop(fleet);
    assert!(other.inner.watch.task.lock().unwrap().as_ref().is_some_and(|(_, task)| !task.is_finished()));
    drop(other);
    // Nobody holds it any more, the task included.
    while changes.changed().await.is_ok() {}
}

#[tokio::test]
async fn a_watch_that_has_fallen_silent_does_not_stand_for_the_present() {
    let of = from_deployment(cluster::read(&deployment(2))).unwrap();
    let owners =
        Owners { uids: vec!["api-7c9f".to_owned()], replica_sets: vec![cluster::read(&replica_set("api-7c9f", 2))] };
    let api = Api::of(two(), |_, _| None).await;
    let watch = Watch::new(&api.server(), "conclave");
    let pods: BTreeMap<_, _> =
        cluster::pods(&two()).into_iter().map(|pod| (pods::name(&pod).to_owned(), pod)).collect();
    let heard_before = |silence: Duration| {
        let pods = pods.clone();
        let heard = Instant::now().checked_sub(silence).unwrap();
        watch.known.send_replace(Known::All(All { pods, version: "1000".to_owned(), heard }));
        watch.present(&of, &owners).map(|pods| pods.len())
    };
    assert_eq!(heard_before(SILENCE / 2), Some(2));
    assert_eq!(heard_before(SILENCE + Duration::from_secs(1)), None);
}

#[test]
fn versions_that_are_no_numbers_are_not_compared() {
    assert!(is_as_new_as("1000", "999") && is_as_new_as("1000", "1000"));
    assert!(!is_as_new_as("999", "1000"));
    assert!(!is_as_new_as("b", "a") && !is_as_new_as("", "") && !is_as_new_as("5", "x"));
}
