//! Reading and writing objects.

use reqwest::Method;
use scalebot_tests::kubernetes::{Cluster, Setup};
use serde_json::{Value, json};

use super::asking::{Client, DEPLOYMENT, PODS};

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_count_is_set_by_the_scale_subresource_at_the_version_that_was_read() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let (status, before) = client.get(DEPLOYMENT).await;
    assert_eq!(status, 200);
    assert_eq!((&before["spec"]["replicas"], &before["status"]["readyReplicas"]), (&json!(4), &json!(4)), "{before:#}");
    let (_, scale) = client.get(&format!("{DEPLOYMENT}/scale")).await;
    assert_eq!(
        (&scale["kind"], &scale["apiVersion"], &scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!("Scale"), &json!("autoscaling/v1"), &json!(4), &json!("app.kubernetes.io/name=api"))
    );

    let order = json!({
        "metadata": { "resourceVersion": version(&before), "uid": before["metadata"]["uid"] },
        "spec": { "replicas": 6 },
    });
    let path = format!("{DEPLOYMENT}/scale?fieldManager=scalebot-7");
    let (status, scaled) = client.patch(&path, &order).await;
    assert_eq!((status, &scaled["spec"]["replicas"]), (200, &json!(6)), "{scaled:#}");

    // The version moved with it: the same order once more comes too late.
    let (status, late) = client.patch(&path, &order).await;
    assert_eq!((status, &late["reason"]), (409, &json!("Conflict")));
    assert_eq!(
        late["message"],
        "Operation cannot be fulfilled on deployments.apps \"api\": the object has been modified; please apply your \
         changes to the latest version and try again"
    );

    let (_, after) = client.get(DEPLOYMENT).await;
    let generation = |object: &Value| object["metadata"]["generation"].as_u64().unwrap();
    assert_eq!(generation(&after), generation(&before) + 1);
    let owner = after["metadata"]["managedFields"].as_array().unwrap().iter();
    let owner: Vec<_> = owner.filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null()).collect();
    assert_eq!(owner.len(), 1, "{owner:?}");
    assert_eq!(
        (&owner[0]["manager"], &owner[0]["operation"], &owner[0]["subresource"]),
        (&json!("scalebot-7"), &json!("Update"), &json!("scale"))
    );
    cluster.until_ready(6).await;
    let ready = cluster.object("Deployment", "api");
    assert_eq!(ready["status"]["observedGeneration"], after["metadata"]["generation"]);
}

#[tokio::test]
async fn an_order_for_another_object_of_the_same_name_is_refused() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let order = json!({ "metadata": { "uid": "an-earlier-one" }, "spec": { "replicas": 6 } });
    let (status, refused) = client.patch(&format!("{DEPLOYMENT}/scale"), &order).await;
    assert_eq!((status, &refused["reason"]), (409, &json!("Conflict")));
    assert!(refused["message"].as_str().unwrap().contains("UID in precondition: an-earlier-one"), "{refused}");
    assert_eq!(cluster.object("Deployment", "api")["spec"]["replicas"], 4);
}

#[tokio::test]
async fn what_changes_nothing_moves_nothing() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let (_, before) = client.get(DEPLOYMENT).await;
    let (status, after) = client.patch(DEPLOYMENT, &json!({ "spec": { "replicas": 4 } })).await;
    assert_eq!((status, version(&after)), (200, version(&before)));
    // A label moves the version and not the generation.
    let (_, labelled) = client.patch(DEPLOYMENT, &json!({ "metadata": { "labels": { "team": "ops" } } })).await;
    assert_ne!(version(&labelled), version(&before));
    assert_eq!(labelled["metadata"]["generation"], before["metadata"]["generation"]);
    // An update with the old version is refused, one with the latest is taken.
    let mut edited = before.clone();
    edited["spec"]["replicas"] = 5.into();
    assert_eq!(client.put(DEPLOYMENT, &edited).await.0, 409);
    edited["metadata"]["resourceVersion"] = version(&cluster.object("Deployment", "api")).into();
    assert_eq!(client.put(DEPLOYMENT, &edited).await.0, 200);
    cluster.until_ready(5).await;
}

#[tokio::test]
async fn a_list_goes_on_where_it_stopped_and_shows_what_was_then() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let (_, first) = client.get(&format!("{PODS}?limit=3")).await;
    assert_eq!((first["items"].as_array().unwrap().len(), &first["metadata"]["remainingItemCount"]), (3, &json!(1)));
    let token = first["metadata"]["continue"].as_str().unwrap().to_owned();
    cluster.kubectl_scale(6);
    cluster.until_ready(6).await;
    let (_, second) = client.get(&format!("{PODS}?limit=3&continue={token}")).await;
    assert_eq!(second["items"].as_array().unwrap().len(), 1, "{second:#}");
    assert!(second["metadata"]["continue"].is_null());
    assert_eq!(first["metadata"]["resourceVersion"], second["metadata"]["resourceVersion"]);
    // Too late, what was then is no longer known.
    cluster.compact();
    let (status, expired) = client.get(&format!("{PODS}?limit=3&continue={token}")).await;
    assert_eq!((status, &expired["reason"]), (410, &json!("Expired")));
}

#[tokio::test]
async fn selectors_choose_and_what_cannot_be_chosen_by_is_refused() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let count =
        async |query: &str| client.get(&format!("{PODS}?{query}")).await.1["items"].as_array().map_or(0, Vec::len);
    assert_eq!(count("labelSelector=app.kubernetes.io%2Fname%3Dapi").await, 4);
    assert_eq!(count("labelSelector=app.kubernetes.io%2Fname%21%3Dapi").await, 0);
    let name = &cluster.pods()[0];
    assert_eq!(count(&format!("fieldSelector=metadata.name%3D{name}")).await, 1);
    assert_eq!(count("fieldSelector=status.phase%3DPending").await, 0);
    let (status, refused) = client.get(&format!("{PODS}?fieldSelector=spec.image%3Dx")).await;
    assert_eq!((status, &refused["reason"]), (400, &json!("BadRequest")));
}

#[tokio::test]
async fn what_cannot_be_is_refused_in_the_servers_words() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    let scale = format!("{DEPLOYMENT}/scale");
    let (status, refused) = client.patch(&scale, &json!({ "spec": { "replicas": -1 } })).await;
    assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")));
    assert_eq!(
        refused["message"],
        "Scale.autoscaling \"api\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    );
    let (status, refused) = client.patch("/apis/apps/v1/namespaces/conclave/deployments/web/scale", &json!({})).await;
    assert_eq!((status, &refused["message"]), (404, &json!("deployments.apps \"web\" not found")));
    let (status, _) = client.get("/apis/keda.sh/v1alpha1/namespaces/conclave/scaledobjects").await;
    assert_eq!(status, 404);
    let unknown = client.send(Method::PATCH, &scale, "application/json", &json!({})).await.unwrap();
    assert_eq!(unknown.status(), 415);
    // A pod's command cannot be changed, its annotation can.
    let pod = format!("{PODS}/{}", cluster.pods()[0]);
    let (status, refused) = client.patch(&pod, &json!({ "spec": { "nodeName": "elsewhere" } })).await;
    assert_eq!((status, &refused["reason"]), (422, &json!("Invalid")));
    let cost = json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-1" } } });
    assert_eq!(client.patch(&pod, &cost).await.0, 200);
    let (status, _) = client.post(PODS, &json!({ "metadata": {}, "spec": { "containers": [] } })).await;
    assert_eq!(status, 422);
}
