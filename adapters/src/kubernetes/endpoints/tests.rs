//! The Service as its slices have it, and the label by which a pod leaves it.

use std::sync::Mutex;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::{HeaderMap, Uri};
use axum::response::IntoResponse;
use axum::routing::{get, patch};
use axum::{Json, Router};
use scalebot_commands::units::OperationId;
use serde_json::Value;

use super::*;
use crate::http::testing::Server as Listening;
use crate::kubernetes::named::Named;

/// What the cluster holds, and what it was told.
#[derive(Default)]
struct Cluster {
    service: Value,
    workload: Value,
    slices: Value,
    pods: Vec<Value>,
    /// What an order is answered with, where that is no success.
    refuses: Option<(u16, Value)>,
    told: Vec<(String, String, Value)>,
}

type Held = Arc<Mutex<Cluster>>;

fn pod(name: &str, labels: &Value) -> Value {
    let owner =
        json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "api-7c9f", "uid": "rs", "controller": true });
    json!({
        "metadata": { "name": name, "namespace": "conclave", "uid": format!("uid-{name}"), "labels": labels, "ownerReferences": [owner] },
        "status": { "podIP": format!("10.0.0.{}", &name[4..]) },
    })
}

fn ready(name: &str, conditions: &Value) -> Value {
    json!({
        "addresses": [format!("10.0.0.{}", &name[4..])], "conditions": conditions,
        "targetRef": { "kind": "Pod", "name": name },
    })
}

fn slice(endpoints: &Value) -> Value {
    json!({ "metadata": { "name": "api-abc" }, "addressType": "IPv4", "endpoints": endpoints })
}

/// Two pods behind a Service that selects by a label of its own, or not.
fn cluster(own: bool) -> Cluster {
    let mut labels = json!({ "app": "api" });
    if own {
        labels["in-service"] = json!("yes");
    }
    Cluster {
        service: json!({ "metadata": { "name": "api" }, "spec": { "selector": labels.clone() } }),
        workload: json!({
            "metadata": { "name": "api", "uid": "d", "resourceVersion": "7", "generation": 1 },
            "spec": {
                "replicas": 2, "selector": { "matchLabels": { "app": "api" } },
                "template": {
                    "metadata": { "labels": labels.clone() },
                    "spec": { "containers": [{ "name": "api" }], "terminationGracePeriodSeconds": 45 },
                },
            },
        }),
        slices: json!([slice(&json!([
            ready("api-1", &json!({ "ready": true })),
            ready("api-2", &json!({ "ready": true }))
        ]))]),
        pods: vec![pod("api-1", &labels), pod("api-2", &labels)],
        ..Cluster::default()
    }
}

async fn serve(cluster: Cluster) -> (Listening, Named, Endpoints, Held) {
    let held = Arc::new(Mutex::new(cluster));
    let of = |held: &Held, read: fn(&Cluster) -> Value| {
        let held = Arc::clone(held);
        get(move || async move { Json(read(&held.lock().unwrap())) })
    };
    let pods = Arc::clone(&held);
    let one = async move |Path(name): Path<String>| {
        let found = pods.lock().unwrap().pods.iter().find(|pod| pod["metadata"]["name"] == *name).cloned();
        let absent = || (axum::http::StatusCode::NOT_FOUND, Json(json!({ "kind": "Status", "reason": "NotFound" })));
        found.map(Json).ok_or_else(absent)
    };
    let orders = Arc::clone(&held);
    let order = async move |uri: Uri, headers: HeaderMap, body: Bytes| {
        let mut held = orders.lock().unwrap();
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        held.told.push((uri.to_string(), kind, serde_json::from_slice(&body).unwrap()));
        let (status, answer) = held.refuses.clone().unwrap_or_else(|| (200, held.pods[0].clone()));
        (axum::http::StatusCode::from_u16(status).unwrap(), Json(answer)).into_response()
    };
    let list = |items: Value| json!({ "metadata": { "resourceVersion": "9" }, "items": items });
    let sets = move || async move {
        let owner =
            json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "api", "uid": "d", "controller": true });
        Json(list(json!([{ "metadata": { "name": "api-7c9f", "uid": "rs", "ownerReferences": [owner] } }])))
    };
    let v1 = "/api/v1/namespaces/conclave";
    let router = Router::new()
        .route(&format!("{v1}/services/api"), of(&held, |it| it.service.clone()))
        .route(&format!("{v1}/pods"), of(&held, |it| json!({ "metadata": {}, "items": it.pods })))
        .route(&format!("{v1}/pods/{{name}}"), get(one).merge(patch(order)))
        .route("/apis/apps/v1/namespaces/conclave/deployments/api", of(&held, |it| it.workload.clone()))
        .route("/apis/apps/v1/namespaces/conclave/replicasets", get(sets))
        .route(
            "/apis/discovery.k8s.io/v1/namespaces/conclave/endpointslices",
            of(&held, |it| json!({ "metadata": {}, "items": it.slices })),
        );
    let listening = Listening::start(router).await;
    let named = Named::at(&listening.address());
    let endpoints = named.kubernetes().traffic();
    (listening, named, endpoints, held)
}

fn order(instance: &str, receives: bool) -> RouteOrder {
    RouteOrder { instance: InstanceId::new(instance), receives, operation: OperationId::new("op-7f3a01") }
}

fn told(routed: &[Routed]) -> Vec<(&str, bool, bool)> {
    routed.iter().map(|one| (one.instance.as_str(), one.receives, one.drained)).collect()
}

#[tokio::test]
async fn a_pod_gets_requests_once_a_slice_says_that_it_is_ready_and_until_it_ends() {
    let (_listening, _named, endpoints, held) = serve(cluster(false)).await;
    assert_eq!(told(&endpoints.routed().await.unwrap()), [("api-1", true, false), ("api-2", true, false)]);
    for (conditions, receives) in [
        (json!({}), true),
        (json!({ "ready": false }), false),
        (json!({ "ready": false, "serving": true, "terminating": true }), false),
        // A Service that publishes those that are not ready calls them ready as they end.
        (json!({ "ready": true, "terminating": true }), false),
    ] {
        held.lock().unwrap().slices = json!([slice(&json!([ready("api-1", &conditions)]))]);
        assert_eq!(told(&endpoints.routed().await.unwrap()), [("api-1", receives, false)], "{conditions}");
    }
    // In two slices, as it is with two families of addresses.
    let (one, other) = (ready("api-1", &json!({ "ready": false })), ready("api-1", &json!({ "ready": true })));
    held.lock().unwrap().slices = json!([slice(&json!([one])), slice(&json!([other]))]);
    assert_eq!(told(&endpoints.routed().await.unwrap()), [("api-1", true, false)]);
    // By address where no pod is named; a stranger stays visible.
    let nameless = |ip: &str| json!({ "addresses": [ip], "conditions": {} });
    held.lock().unwrap().slices =
        json!([slice(&json!([nameless("10.0.0.2"), nameless("192.0.2.7")])), slice(&Value::Null)]);
    assert_eq!(told(&endpoints.routed().await.unwrap()), [("192.0.2.7", true, false), ("api-2", true, false)]);
    // Neither is counted.
    assert!(endpoints.routed().await.unwrap().iter().all(|one| one.requests.is_none() && one.in_flight.is_none()));
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named() {
    let (_listening, mut named, ..) = serve(cluster(false)).await;
    named.settings.service = "apy".to_owned();
    let error = named.kubernetes().traffic().routed().await.unwrap_err();
    assert!(matches!(&error, PortError::NotServed { what, .. } if what == "Service apy"), "{error:?}");
}

#[tokio::test]
async fn a_pod_is_taken_out_by_the_services_own_label_and_let_in_again() {
    let (_listening, _named, endpoints, held) = serve(cluster(true)).await;
    assert_eq!(endpoints.draining().await, Ok(Draining::ByOrder));
    assert_eq!(endpoints.order(&order("api-1", false)).await, Ok(OrderAnswer::Done));
    let (uri, kind, patch) = held.lock().unwrap().told.remove(0);
    assert_eq!(uri, "/api/v1/namespaces/conclave/pods/api-1?&fieldManager=scalebot-op-7f3a01");
    assert_eq!(kind, "application/merge-patch+json");
    assert_eq!(patch, json!({ "metadata": { "uid": "uid-api-1", "labels": { "in-service": "out-of-service" } } }));

    held.lock().unwrap().pods[0]["metadata"]["labels"]["in-service"] = json!("out-of-service");
    // The slices lag behind: it is out, and may still get some.
    assert_eq!(told(&endpoints.routed().await.unwrap()), [("api-1", true, true), ("api-2", true, false)]);
    held.lock().unwrap().slices = json!([slice(&json!([ready("api-2", &json!({}))]))]);
    assert_eq!(told(&endpoints.routed().await.unwrap()), [("api-1", false, true), ("api-2", true, false)]);

    assert_eq!(endpoints.order(&order("api-1", false)).await, Ok(OrderAnswer::Done));
    assert!(held.lock().unwrap().told.is_empty(), "what is so already needs no order");
    assert_eq!(endpoints.order(&order("api-1", true)).await, Ok(OrderAnswer::Done));
    let (.., patch) = held.lock().unwrap().told.remove(0);
    assert_eq!(patch["metadata"]["labels"], json!({ "in-service": "yes" }));
}

#[tokio::test]
async fn what_the_server_says_to_an_order_is_kept_apart_from_not_knowing() {
    let (_listening, _named, endpoints, held) = serve(cluster(true)).await;
    let answer = async |status: u16| {
        let said = json!({ "kind": "Status", "status": "Failure", "message": "its own words", "code": status });
        held.lock().unwrap().refuses = Some((status, said));
        endpoints.order(&order("api-1", false)).await
    };
    let detail = "its own words".to_owned();
    assert_eq!(answer(409).await, Ok(OrderAnswer::Conflict { detail: detail.clone() }));
    for status in [403, 404, 422] {
        assert_eq!(answer(status).await, Ok(OrderAnswer::Refused { detail: detail.clone() }), "{status}");
    }
    for status in [500, 504] {
        assert!(answer(status).await.is_err(), "{status}");
    }
    let gone = endpoints.order(&order("api-9", false)).await;
    assert_eq!(gone, Ok(OrderAnswer::Refused { detail: "there is no pod api-9".to_owned() }));
}

#[tokio::test]
async fn without_a_label_of_the_services_own_no_pod_is_touched() {
    let (_listening, _named, endpoints, held) = serve(cluster(false)).await;
    let answer = endpoints.order(&order("api-1", false)).await;
    let Ok(OrderAnswer::Refused { detail }) = answer else { panic!("{answer:?}") };
    assert_eq!(detail, "Service api selects by no label of its own: Deployment api has every one of them");
    assert!(held.lock().unwrap().told.is_empty());

    let Ok(Draining::AsItEnds { grace, how }) = endpoints.draining().await else { panic!() };
    assert_eq!(grace, Duration::from_secs(45));
    assert!(
        how.starts_with("45 s for its last ones, without a preStop hook, so some may be lost. Service api "),
        "{how}"
    );
    held.lock().unwrap().workload["spec"]["template"]["spec"]["containers"][0]["lifecycle"] =
        json!({ "preStop": { "sleep": { "seconds": 10 } } });
    let Ok(Draining::AsItEnds { how, .. }) = endpoints.draining().await else { panic!() };
    assert!(how.contains("by its preStop hook"), "{how}");
}

#[tokio::test]
async fn a_label_counts_as_the_services_own_only_where_no_controller_tells_its_pods_by_it() {
    let (_listening, _named, endpoints, held) = serve(cluster(true)).await;
    let by_order = async || matches!(endpoints.draining().await, Ok(Draining::ByOrder));
    assert!(by_order().await);
    // The workload selects by it as well, by an expression.
    held.lock().unwrap().workload["spec"]["selector"]["matchExpressions"] =
        json!([{ "key": "in-service", "operator": "In", "values": ["yes", "no"] }]);
    assert!(!by_order().await);
    held.lock().unwrap().workload["spec"]["selector"]["matchExpressions"] =
        json!([{ "key": "in-service-too", "operator": "Exists" }]);
    assert!(by_order().await);
    // New pods would not have it, so none of them would be in the Service.
    held.lock().unwrap().workload["spec"]["template"]["metadata"]["labels"]["in-service"] = json!("no");
    assert!(!by_order().await);
    let hash = json!({ "app": "api", "pod-template-hash": "7c9f" });
    held.lock().unwrap().workload["spec"]["template"]["metadata"]["labels"] = hash.clone();
    held.lock().unwrap().service["spec"]["selector"] = hash;
    assert!(!by_order().await);
}
