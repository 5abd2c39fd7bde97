use scalebot_commands::units::Replicas;
use serde_json::Value;

use super::*;
use crate::kubernetes::cluster::{Api, UID, failure};

fn order() -> ScaleOrder {
    ScaleOrder {
        identity: UID.to_owned(),
        from: Replicas(4),
        to: Replicas(6),
        version: "1000".to_owned(),
        operation: OperationId::new("op-1"),
    }
}

async fn answered(answer: (u16, Value)) -> (Result<OrderAnswer, PortError>, usize) {
    let api = Api::of(Vec::new(), move |_, _| Some(answer.clone())).await;
    let answer = count(&api.server(), &api.settings(), &order()).await;
    (answer, api.asked().len())
}

#[tokio::test]
async fn the_count_is_set_where_the_fleet_is_still_what_the_guard_saw() {
    let api = Api::of(Vec::new(), |_, _| None).await;
    assert_eq!(count(&api.server(), &api.settings(), &order()).await, Ok(OrderAnswer::Done));
    let cluster = api.cluster();
    let [asked] = &*cluster.asked else { panic!("{:?}", cluster.asked) };
    assert_eq!(asked.line(), "PATCH deployments/api/scale");
    assert_eq!(asked.query.get("fieldManager").map(String::as_str), Some("scalebot-op-1"));
    assert_eq!(asked.body, json!({ "metadata": { "uid": UID, "resourceVersion": "1000" }, "spec": { "replicas": 6 } }));
}

#[tokio::test]
async fn a_fleet_that_changed_meanwhile_is_a_conflict_and_asked_once() {
    let words = "Operation cannot be fulfilled on deployments.apps \"api\": the object has been modified";
    let conflict = OrderAnswer::Conflict { detail: words.to_owned() };
    assert_eq!(answered(failure(409, "Conflict", words)).await, (Ok(conflict), 1));
}

#[tokio::test]
async fn what_the_server_will_not_do_is_told_in_its_words() {
    let words = "deployments.apps \"api\" is forbidden: User \"bot\" cannot patch resource \"deployments/scale\"";
    for (code, reason) in [(403, "Forbidden"), (404, "NotFound"), (422, "Invalid")] {
        let refused = OrderAnswer::Refused { detail: words.to_owned() };
        assert_eq!(answered(failure(code, reason, words)).await, (Ok(refused), 1));
    }
}

#[tokio::test]
async fn a_server_that_fails_may_have_done_it_and_is_not_asked_again() {
    for code in [429, 500, 502, 503, 504] {
        let (answer, times) = answered(failure(code, "InternalError", "etcdserver: request timed out")).await;
        assert!(matches!(answer, Err(PortError::Unreadable { .. })), "{answer:?}");
        assert_eq!(times, 1);
    }
}

#[tokio::test]
async fn an_answer_with_another_count_is_not_taken_for_done() {
    let (answer, _) = answered((200, json!({ "spec": { "replicas": 5 } }))).await;
    let words = "it was asked for 6 and says that the count is 5 now".to_owned();
    assert_eq!(answer, Err(PortError::Unreadable { what: "the Kubernetes API".to_owned(), detail: words }));
    assert!(answered((200, json!({}))).await.0.is_err());
    assert!(answered((200, Value::String("<html>".to_owned()))).await.0.is_err());
}
