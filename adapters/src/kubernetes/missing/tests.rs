use serde_json::{Value, json};

use super::*;
use crate::kubernetes::cluster::{deployment, ending, now, pod, pods, read, replica_set, settings};
use crate::kubernetes::workload::from_deployment;

const QUOTA: &str = "pods \"api-7c9f-x2x\" is forbidden: exceeded quota: conclave, requested: pods=1, used: pods=4, \
                     limited: pods=4";

fn failing(message: &str) -> Value {
    let mut set = replica_set("api-7c9f", 6);
    set["status"]["conditions"] = json!([{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message,
        "lastTransitionTime": "2026-01-08T03:58:00Z",
    }]);
    set
}

/// What a fleet that wants six is with these pods.
fn seen(set: &Value, given: &[Value]) -> Vec<Instance> {
    let of = from_deployment(read(&deployment(6))).unwrap();
    let owners = Owners { uids: vec!["api-7c9f".to_owned()], replica_sets: vec![read(set)] };
    instances(&of, &owners, &pods(given), &settings(), now())
}

fn four() -> Vec<Value> {
    (1..=4).map(|number| pod(&format!("api-{number}"))).collect()
}

fn names(instances: &[Instance]) -> Vec<&str> {
    instances.iter().map(|instance| instance.id.as_str()).collect()
}

#[test]
fn each_pod_that_a_quota_keeps_away_has_failed_and_says_why() {
    let seen = seen(&failing(QUOTA), &four());
    assert_eq!(
        names(&seen),
        ["api-1", "api-2", "api-3", "api-4", "api-7c9f-missing-5-of-6", "api-7c9f-missing-6-of-6"]
    );
    assert_eq!(seen[5].state, InstanceState::Failed);
    assert_eq!(
        seen[5].detail.as_deref(),
        Some(
            "not created, the quota is used up: exceeded quota: conclave, requested: pods=1, used: pods=4, \
             limited: pods=4"
        )
    );
    assert_eq!((seen[5].address.as_deref(), seen[5].started_at.to_string().as_str()), (None, "2026-01-08T03:58:00Z"));
}

#[test]
fn a_place_keeps_its_name_while_another_one_is_filled() {
    let mut five = four();
    five.push(pod("api-5"));
    assert_eq!(names(&seen(&failing(QUOTA), &five)).last(), Some(&"api-7c9f-missing-6-of-6"));
}

#[test]
fn pods_that_are_not_there_yet_for_no_reason_are_not_shown() {
    assert_eq!(names(&seen(&replica_set("api-7c9f", 6), &four())), ["api-1", "api-2", "api-3", "api-4"]);
}

#[test]
fn a_pod_on_its_way_out_frees_its_part_of_the_quota() {
    let mut given = four();
    given.push(ending(pod("api-5")));
    let seen = seen(&failing(QUOTA), &given);
    assert_eq!(seen[5].state, InstanceState::Starting);
    assert!(seen[5].detail.as_deref().unwrap().starts_with("not created yet, the quota is used up: "));
}

#[test]
fn a_webhook_that_refuses_stays_and_one_that_cannot_be_reached_does_not() {
    let refused = seen(&failing("admission webhook \"policy\" denied the request: no latest tag"), &four());
    assert_eq!(refused[4].state, InstanceState::Failed);
    assert_eq!(
        refused[4].detail.as_deref(),
        Some("not created, the cluster refuses it: admission webhook \"policy\" denied the request: no latest tag")
    );
    let unreached = seen(&failing("Internal error occurred: failed calling webhook \"policy\": timeout"), &four());
    assert_eq!(unreached[4].state, InstanceState::Starting);
}

#[test]
fn what_was_said_of_an_earlier_count_is_not_said_of_this_one() {
    let mut set = failing(QUOTA);
    set["metadata"]["generation"] = json!(3);
    assert_eq!(seen(&set, &four()).len(), 4);
}

#[test]
fn the_deployments_own_word_serves_where_its_replica_set_says_nothing() {
    let mut given = deployment(6);
    given["status"]["conditions"] =
        json!([{ "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": QUOTA }]);
    let owners = Owners { uids: vec!["api-7c9f".to_owned()], replica_sets: vec![read(&replica_set("api-7c9f", 6))] };
    let of = from_deployment(read(&given)).unwrap();
    let seen = instances(&of, &owners, &pods(&four()), &settings(), now());
    assert_eq!(names(&seen)[4..], ["api-7c9f-missing-5-of-6", "api-7c9f-missing-6-of-6"]);
}

#[test]
fn a_pod_that_has_ended_is_shown_until_another_takes_its_place() {
    let ended = |name: &str, at: &str| {
        let mut pod = pod(name);
        pod["status"] = json!({ "phase": "Failed", "reason": "Evicted" });
        pod["metadata"]["creationTimestamp"] = json!(at);
        pod
    };
    let mut given = four();
    given.push(pod("api-5"));
    given.push(ended("api-old", "2026-01-07T03:00:00Z"));
    given.push(ended("api-new", "2026-01-08T03:40:00Z"));
    let none = replica_set("api-7c9f", 6);
    assert_eq!(names(&seen(&none, &given)), ["api-1", "api-2", "api-3", "api-4", "api-5", "api-new"]);
    given.push(pod("api-6"));
    assert_eq!(names(&seen(&none, &given)), ["api-1", "api-2", "api-3", "api-4", "api-5", "api-6"]);
}
