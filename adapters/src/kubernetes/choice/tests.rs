use scalebot_commands::units::OperationId;
use serde_json::{Value, json};

use super::*;
use crate::kubernetes::cluster::{self, ending, owner, pod, unready, unschedulable};
use crate::kubernetes::workload::from_stateful_set;

fn with_cost(name: &str, cost: &str) -> Value {
    let mut pod = pod(name);
    pod["metadata"]["annotations"] = json!({ COST: cost });
    pod
}

/// What is answered to an order that names these of the pods, and leaves so many.
fn answer(given: &[Value], named: &[&str], to: u32) -> Result<(), String> {
    let pods = cluster::pods(given);
    let named: Vec<&Pod> = pods.iter().filter(|pod| named.contains(&pods::name(pod))).collect();
    would_be(&pods, &named, Replicas(to)).map_err(|answer| match answer {
        OrderAnswer::Refused { detail } => detail,
        otherwise => panic!("{otherwise:?}"),
    })
}

#[test]
fn among_ready_pods_the_named_one_goes() {
    assert_eq!(answer(&[pod("api-1"), pod("api-2"), pod("api-3")], &["api-2"], 2), Ok(()));
    assert_eq!(answer(&[with_cost("api-1", "-5"), pod("api-2")], &["api-2"], 1), Ok(()));
}

#[test]
fn a_pod_that_would_go_before_the_named_one_is_named() {
    let running = json!({ "running": { "startedAt": "2026-01-08T03:00:10Z" } });
    let mut pending = pod("api-1");
    pending["status"]["phase"] = json!("Pending");
    let mut unknown = pod("api-1");
    unknown["status"]["phase"] = json!("Unknown");
    let earlier = [
        (unschedulable("api-1", ""), "it is on no node yet"),
        (pending, "it has not started yet"),
        (unknown, "its node does not answer"),
        (unready("api-1", 0, &running, &Value::Null), "it is not ready"),
        (
            with_cost("api-1", "-2147483648"),
            "its annotation controller.kubernetes.io/pod-deletion-cost is as low as can be",
        ),
    ];
    for (other, why) in earlier {
        let said = answer(&[other, pod("api-2")], &["api-2"], 1);
        assert_eq!(said, Err(format!("api-1 would end before api-2: {why}")));
    }
}

#[test]
fn a_pod_that_is_not_ready_goes_before_others_when_it_is_the_one_that_is_named() {
    let crashed = unready("api-1", 4, &json!({}), &Value::Null);
    assert_eq!(answer(&[crashed.clone(), pod("api-2")], &["api-1"], 1), Ok(()));
    // Beside it, one that is ready: the second of the two to go would be either.
    let third = unready("api-3", 0, &json!({}), &Value::Null);
    let said = answer(&[crashed, pod("api-2"), third], &["api-1", "api-2"], 1);
    assert_eq!(said, Err("api-3 would end before api-1, api-2: it is not ready".to_owned()));
}

#[test]
fn pods_that_have_ended_or_are_ending_are_nobodys_choice() {
    let mut evicted = pod("api-old");
    evicted["status"]["phase"] = json!("Failed");
    let given = [pod("api-1"), pod("api-2"), evicted, ending(pod("api-0"))];
    assert_eq!(answer(&given, &["api-2"], 1), Ok(()));
}

#[test]
fn where_a_pod_is_missing_lowering_the_count_would_end_nobody() {
    let said = answer(&[pod("api-1"), pod("api-2")], &["api-2"], 2);
    assert_eq!(said, Err("2 pods are there: at a count of 2, 0 of them would end, and 1 are named".to_owned()));
    let said = answer(&[pod("api-1"), pod("api-2"), pod("api-3")], &["api-2"], 1);
    assert_eq!(said, Err("3 pods are there: at a count of 1, 2 of them would end, and 1 are named".to_owned()));
}

#[test]
fn during_a_rollout_nobody_can_be_chosen() {
    let mut newer = pod("api-2");
    newer["metadata"]["ownerReferences"] = json!([owner("ReplicaSet", "api-8", "api-8")]);
    let said = answer(&[pod("api-1"), newer], &["api-2"], 1);
    let words = "a rollout is under way: pods of 2 versions run. Wait until it is over, or undo it";
    assert_eq!(said, Err(words.to_owned()));
}

#[test]
fn a_mark_is_ours_by_who_wrote_it() {
    let mut given = with_cost("api-1", &OURS.to_string());
    let marked = |given: &Value| is_marked(&cluster::read(given));
    assert!(!marked(&given));
    let fields = json!({ "f:metadata": { "f:annotations": { format!("f:{COST}"): {} } } });
    given["metadata"]["managedFields"] = json!([{ "manager": "scalebot-op-0", "fieldsV1": fields }]);
    assert!(marked(&given));
    given["metadata"]["managedFields"][0]["manager"] = json!("descheduler");
    assert!(!marked(&given));
}

fn stateful_set_order(names: &[&str]) -> Result<(), OrderAnswer> {
    let of = from_stateful_set(cluster::read(&json!({
        "metadata": { "name": "api", "uid": "s1", "resourceVersion": "7", "generation": 2 },
        "spec": {
            "replicas": 4, "serviceName": "api", "selector": { "matchLabels": { "app": "api" } },
            "template": { "spec": { "containers": [] } },
        },
    })))
    .unwrap();
    let mut given: Vec<Value> = (0..4).map(|number| pod(&format!("api-{number}"))).collect();
    given[2] = ending(given[2].clone());
    let order = RemoveOrder {
        identity: "s1".to_owned(),
        from: Replicas(4),
        to: Replicas(4 - u32::try_from(names.len()).unwrap()),
        version: "7".to_owned(),
        instances: names.iter().map(|name| InstanceId::new(*name)).collect(),
        operation: OperationId::new("op-1"),
    };
    highest(&of, &cluster::pods(&given), &order)
}

#[test]
fn a_stateful_set_ends_its_highest_numbers_and_no_others() {
    assert_eq!(stateful_set_order(&["api-3"]), Ok(()));
    let detail = "a StatefulSet ends the highest numbers first: api-3 would end, not api-1".to_owned();
    assert_eq!(stateful_set_order(&["api-1"]), Err(OrderAnswer::Refused { detail }));
    let detail = "api-2 is on its way out already".to_owned();
    assert_eq!(stateful_set_order(&["api-3", "api-2"]), Err(OrderAnswer::Conflict { detail }));
}
