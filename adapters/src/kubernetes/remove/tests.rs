use scalebot_commands::units::{OperationId, Replicas};

use super::*;
use crate::kubernetes::cluster::{Api, Asked, Cluster, UID, ending, failure, pod, unready};

const SCALE: &str = "deployments/api/scale";

fn order(from: u32, names: &[&str]) -> RemoveOrder {
    RemoveOrder {
        identity: UID.to_owned(),
        from: Replicas(from),
        to: Replicas(from - u32::try_from(names.len()).unwrap()),
        version: "1000".to_owned(),
        instances: names.iter().map(|name| InstanceId::new(*name)).collect(),
        operation: OperationId::new("op-1"),
    }
}

fn three() -> Vec<Value> {
    (1..=3).map(|number| pod(&format!("api-{number}"))).collect()
}

/// What the controllers do once the count is lowered: these pods are told to end.
fn ends(names: &'static [&'static str]) -> impl Fn(&Asked, &mut Cluster) -> Option<(u16, Value)> {
    move |asked, cluster| {
        if asked.path == SCALE {
            for pod in &mut cluster.pods {
                if names.iter().any(|name| pod["metadata"]["name"] == *name) {
                    *pod = ending(pod.clone());
                }
            }
        }
        None
    }
}

async fn ordered(api: &Api, order: &RemoveOrder) -> Result<OrderAnswer, PortError> {
    exactly(&api.server(), &api.settings(), order).await
}

fn costs(api: &Api) -> Vec<Value> {
    api.cluster().pods.iter().map(|pod| pod["metadata"]["annotations"][COST].clone()).collect()
}

fn conflict(detail: &str) -> Result<OrderAnswer, PortError> {
    Ok(OrderAnswer::Conflict { detail: detail.to_owned() })
}

#[tokio::test]
async fn the_named_pod_is_made_the_first_to_go_before_the_count_is_lowered() {
    let api = Api::of(three(), ends(&["api-2"])).await;
    assert_eq!(ordered(&api, &order(3, &["api-2"])).await, Ok(OrderAnswer::Done));
    let orders: Vec<String> = api.asked().into_iter().filter(|asked| !asked.starts_with("GET")).collect();
    assert_eq!(orders, ["PATCH pods/api-2", "PATCH deployments/api/scale"]);
    let cluster = api.cluster();
    let mark = cluster.asked.iter().find(|asked| asked.path == "pods/api-2").unwrap();
    assert_eq!(mark.query.get("fieldManager").map(String::as_str), Some("scalebot-op-1"));
    assert_eq!(mark.body, json!({ "metadata": { "uid": "uid-api-2", "annotations": { COST: "-2147483648" } } }));
}

#[tokio::test]
async fn another_pod_that_goes_is_named() {
    let api = Api::of(three(), ends(&["api-1"])).await;
    let Err(PortError::Unreadable { detail, .. }) = ordered(&api, &order(3, &["api-2"])).await else { panic!() };
    assert_eq!(detail, "api-1 ends instead of api-2; the count is 2");

    let api = Api::of(three(), ends(&["api-1", "api-2"])).await;
    let Err(PortError::Unreadable { detail, .. }) = ordered(&api, &order(3, &["api-2"])).await else { panic!() };
    assert_eq!(detail, "api-1 ends as well, which nobody named; the count is 2");
}

#[tokio::test]
async fn a_controller_that_takes_its_time_is_not_waited_for_without_end() {
    let api = Api::of(three(), |_, _| None).await;
    let order = order(3, &["api-2"]);
    let answer = looked_at(&api.server(), &api.settings(), &order, Instant::now()).await;
    assert_eq!(answer, Ok(OrderAnswer::Done));
}

#[tokio::test]
async fn where_the_count_is_refused_the_pod_has_its_own_cost_again() {
    for code in [409, 403] {
        let mut given = three();
        given[1]["metadata"]["annotations"] = json!({ COST: "7" });
        let api = Api::of(given, move |asked, _| (asked.path == SCALE).then(|| failure(code, "", "no"))).await;
        let answer = ordered(&api, &order(3, &["api-2", "api-3"])).await.unwrap();
        assert_ne!(answer, OrderAnswer::Done);
        assert_eq!(costs(&api), [Value::Null, json!("7"), Value::Null]);
    }
}

#[tokio::test]
async fn where_it_is_not_known_whether_the_count_was_lowered_the_mark_stays() {
    let api = Api::of(three(), |asked, _| (asked.path == SCALE).then(|| failure(500, "", "no"))).await;
    assert!(ordered(&api, &order(3, &["api-2"])).await.is_err());
    assert_eq!(costs(&api)[1], json!("-2147483648"));
}

#[tokio::test]
async fn a_pod_that_may_not_be_marked_keeps_the_count_as_it_is() {
    let words = "pods \"api-3\" is forbidden: User \"bot\" cannot patch resource \"pods\"";
    let api = Api::of(three(), move |asked, _| {
        let is_mark = !asked.body["metadata"]["annotations"][COST].is_null();
        (asked.path == "pods/api-3" && is_mark).then(|| failure(403, "Forbidden", words))
    })
    .await;
    let answer = ordered(&api, &order(3, &["api-2", "api-3"])).await;
    assert_eq!(answer, Ok(OrderAnswer::Refused { detail: words.to_owned() }));
    assert_eq!(api.times("PATCH deployments/api/scale"), 0);
    assert_eq!(costs(&api), [Value::Null, Value::Null, Value::Null]);
}

#[tokio::test]
async fn a_mark_that_an_earlier_order_left_is_taken_away_first() {
    let mut given = three();
    given[0]["metadata"]["annotations"] = json!({ COST: OURS.to_string() });
    let fields = json!({ "f:metadata": { "f:annotations": { format!("f:{COST}"): {} } } });
    given[0]["metadata"]["managedFields"] = json!([{ "manager": "scalebot-op-0", "fieldsV1": fields }]);
    let api = Api::of(given.clone(), ends(&["api-2"])).await;
    assert_eq!(ordered(&api, &order(3, &["api-2"])).await, Ok(OrderAnswer::Done));
    assert_eq!(costs(&api)[0], Value::Null);

    // One that cannot be taken away: its pod would go as well as the named one.
    let api = Api::of(given, |asked, _| (asked.path == "pods/api-1").then(|| failure(500, "", "no"))).await;
    let Ok(OrderAnswer::Refused { detail }) = ordered(&api, &order(3, &["api-2"])).await else { panic!() };
    assert!(detail.starts_with("api-1 would end before api-2: "), "{detail}");
}

#[tokio::test]
async fn nothing_is_touched_where_the_fleet_is_not_what_the_guard_saw() {
    let api = Api::of(three(), |_, _| None).await;
    let ordered = |order: RemoveOrder| {
        let api = &api;
        async move { ordered(api, &order).await }
    };
    let good = order(3, &["api-2"]);
    assert_eq!(
        ordered(RemoveOrder { identity: "d0".to_owned(), ..good.clone() }).await,
        conflict("Deployment api was replaced by another of the same name")
    );
    assert_eq!(ordered(order(4, &["api-2"])).await, conflict("the count is 3 and not 4"));
    assert_eq!(
        ordered(RemoveOrder { version: "999".to_owned(), ..good.clone() }).await,
        conflict("Deployment api has changed since it was looked at")
    );
    assert_eq!(
        ordered(RemoveOrder { to: Replicas(1), ..good }).await,
        conflict("1 instances are named for a change from 3 to 1")
    );
    assert_eq!(ordered(order(3, &["api-9"])).await, conflict("there is no api-9 any more"));
    api.cluster().pods[1] = ending(pod("api-2"));
    assert_eq!(ordered(order(3, &["api-2"])).await, conflict("api-2 is on its way out already"));
    assert!(api.asked().iter().all(|asked| asked.starts_with("GET")), "{:?}", api.asked());
}

#[tokio::test]
async fn where_another_one_would_be_chosen_nothing_is_touched() {
    let mut given = three();
    given[0] = unready("api-1", 0, &json!({}), &Value::Null);
    let api = Api::of(given, |_, _| None).await;
    let detail = "api-1 would end before api-2: it is not ready".to_owned();
    assert_eq!(ordered(&api, &order(3, &["api-2"])).await, Ok(OrderAnswer::Refused { detail }));
    assert!(api.asked().iter().all(|asked| asked.starts_with("GET")), "{:?}", api.asked());
}

#[tokio::test]
async fn a_place_that_a_quota_kept_empty_is_given_up_and_nobody_ends() {
    let api = Api::of(three(), |_, _| None).await;
    api.cluster().deployment["spec"]["replicas"] = json!(5);
    api.cluster().replica_sets[0]["status"]["conditions"] = json!([{
        "type": "ReplicaFailure", "status": "True", "message": "pods \"x\" is forbidden: exceeded quota: q",
    }]);
    let places = ["api-7c9f-missing-4-of-5", "api-7c9f-missing-5-of-5"];
    assert_eq!(ordered(&api, &order(5, &places)).await, Ok(OrderAnswer::Done));
    let orders: Vec<String> = api.asked().into_iter().filter(|asked| !asked.starts_with("GET")).collect();
    assert_eq!(orders, ["PATCH deployments/api/scale"]);
}

#[tokio::test]
async fn pods_that_cannot_be_looked_at_are_not_ended() {
    let api = Api::of(three(), |asked, _| (asked.path == "pods").then(|| failure(500, "", "etcd is away"))).await;
    let Ok(OrderAnswer::Conflict { detail }) = ordered(&api, &order(3, &["api-2"])).await else { panic!() };
    assert_eq!(detail, "nothing was changed: the Kubernetes API answered something unexpected (etcd is away)");
    let api = Api::of(three(), |asked, _| (asked.path == "pods").then(|| failure(403, "Forbidden", "no"))).await;
    let Ok(OrderAnswer::Refused { detail }) = ordered(&api, &order(3, &["api-2"])).await else { panic!() };
    assert_eq!(detail, "the Kubernetes API refused: no");
}
