use k8s_openapi::api::core::v1::Node;
use serde_json::{Value, json};

use super::super::nodes::places;
use super::*;

/// A node of four cores and 8 GiB for ten pods.
fn node(name: &str, labels: Value) -> Value {
    let mut labels = labels;
    labels["kubernetes.io/hostname"] = json!(name);
    json!({
        "metadata": {"name": name, "labels": labels},
        "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "10"}},
    })
}

fn zone(name: &str, zone: &str) -> Value {
    node(name, json!({"zone": zone}))
}

/// A pod that is there.
fn there(node: &str, labels: Value, spec: Value) -> Value {
    let mut spec = spec;
    spec["nodeName"] = json!(node);
    spec["containers"] = json!([]);
    json!({"metadata": {"name": "other", "namespace": "conclave", "labels": labels}, "spec": spec})
}

/// The spec of a pod that asks for so much.
fn asks(cpu: &str, memory: &str, more: Value) -> Value {
    let mut spec = more;
    spec["containers"] = json!([{"name": "api", "resources": {"requests": {"cpu": cpu, "memory": memory}}}]);
    spec
}

fn fit(nodes: Value, pods: Value, spec: Value) -> (u32, String) {
    let (nodes, pods): (Vec<Node>, Vec<Pod>) =
        (serde_json::from_value(nodes).unwrap(), serde_json::from_value(pods).unwrap());
    let spec: PodSpec = serde_json::from_value(spec).unwrap();
    let demand = Demand::of_new(&spec, &[]).unwrap();
    let labels = Labels::from([("app".to_owned(), "api".to_owned()), ("hash".to_owned(), "new".to_owned())]);
    let newcomer = Newcomer { namespace: "conclave", labels: &labels, spec: &spec, demand: &demand };
    let Tight { fits, runs_out } = placed(&places(&nodes, &pods, &spec).unwrap(), &pods, &newcomer, 40).unwrap();
    (fits, runs_out)
}

fn count(nodes: Value, pods: Value, spec: Value) -> u32 {
    fit(nodes, pods, spec).0
}

fn anti_affinity(key: &str) -> Value {
    terms("podAntiAffinity", json!([{"topologyKey": key, "labelSelector": {"matchLabels": {"app": "api"}}}]))
}

fn terms(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn spread(key: &str, skew: u32, more: Value) -> Value {
    let mut constraint = json!({
        "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "api"}},
    });
    constraint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"topologySpreadConstraints": [constraint]})
}

#[test]
fn pods_fill_the_nodes_to_the_last_byte_and_what_runs_out_is_named() {
    let nodes = json!([node("a", json!({})), node("b", json!({}))]);
    assert_eq!(
        fit(nodes.clone(), json!([]), asks("500m", "2Gi", json!({}))),
        (8, "memory on the 2 nodes that such a pod may use (a pod takes 2 GiB; the most that is free on one is 0 bytes)".to_owned())
    );
    assert_eq!(
        fit(nodes.clone(), json!([]), asks("1500m", "1", json!({}))),
        (4, "CPU on the 2 nodes that such a pod may use (a pod takes 1.5 cores; the most that is free on one is 1 core)".to_owned())
    );
    assert_eq!(
        fit(nodes, json!([]), asks("0", "0", json!({}))),
        (20, "the number of pods on the 2 nodes that such a pod may use".to_owned())
    );
}

#[test]
fn a_fragment_on_each_of_two_nodes_is_no_room_for_one_pod() {
    let nodes = json!([node("a", json!({})), node("b", json!({}))]);
    assert_eq!(count(nodes, json!([]), asks("2500m", "1", json!({}))), 2);
}

#[test]
fn without_a_node_that_may_be_used_it_is_said_why() {
    let mut cordoned = node("a", json!({}));
    cordoned["spec"] = json!({"unschedulable": true});
    let nodes = json!([cordoned, node("b", json!({})), node("c", json!({}))]);
    assert_eq!(
        fit(nodes, json!([]), asks("1", "1", json!({"nodeSelector": {"kubernetes.io/hostname": "a"}}))),
        (0, "the room on nodes that such a pod may use (none of 3: 2 not selected, 1 cordoned)".to_owned())
    );
    assert_eq!(
        fit(json!([]), json!([]), asks("1", "1", json!({}))).1,
        "the room on nodes that such a pod may use (there are no nodes)"
    );
}

#[test]
fn a_device_that_a_node_has_not_is_no_room() {
    let mut spec = asks("1", "1", json!({}));
    spec["containers"][0]["resources"]["limits"] = json!({"example.com/gpu": "1"});
    let mut with = node("a", json!({}));
    with["status"]["allocatable"]["example.com/gpu"] = json!("2");
    assert_eq!(count(json!([with, node("b", json!({}))]), json!([]), spec), 2);
}

#[test]
fn pods_that_keep_apart_by_host_get_one_node_each() {
    let nodes = json!([node("a", json!({})), node("b", json!({})), node("c", json!({}))]);
    let one_there = json!([there("b", json!({"app": "api"}), json!({}))]);
    assert_eq!(
        fit(nodes.clone(), one_there, asks("1", "1", anti_affinity("kubernetes.io/hostname"))),
        (2, "the room that anti-affinity between pods leaves on the 3 nodes that such a pod may use".to_owned())
    );
    let elsewhere = json!([{"metadata": {"namespace": "other", "labels": {"app": "api"}}, "spec": {"nodeName": "b", "containers": []}}]);
    assert_eq!(count(nodes, elsewhere, asks("1", "1", anti_affinity("kubernetes.io/hostname"))), 3);
}

#[test]
fn a_pod_that_is_there_keeps_newcomers_away_though_they_say_nothing() {
    let hermit = there("a", json!({"app": "hermit"}), anti_affinity("kubernetes.io/hostname"));
    let nodes = json!([node("a", json!({})), node("b", json!({}))]);
    assert_eq!(count(nodes, json!([hermit]), asks("4", "1", json!({}))), 1);
}

#[test]
fn namespaces_chosen_by_their_labels_cannot_be_looked_up_and_are_taken_for_the_worse() {
    let selector = json!({"matchLabels": {"team": "x"}});
    let term = json!([{"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": selector}]);
    let other = json!([{"metadata": {"namespace": "other"}, "spec": {"nodeName": "a", "containers": []}}]);
    let nodes = json!([zone("a", "1"), zone("b", "2")]);
    assert_eq!(count(nodes.clone(), other.clone(), asks("2", "1", terms("podAntiAffinity", term.clone()))), 1);
    assert_eq!(count(nodes, other, asks("2", "1", terms("podAffinity", term))), 0);
}

#[test]
fn pods_that_must_be_with_others_go_only_where_these_are_and_the_first_of_its_kind_anywhere() {
    let with = |app: &str| {
        terms("podAffinity", json!([{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": app}}}]))
    };
    let nodes = json!([zone("a", "1"), zone("b", "1"), zone("c", "2"), node("d", json!({}))]);
    let cache = json!([there("c", json!({"app": "cache"}), json!({}))]);
    assert_eq!(count(nodes.clone(), cache, asks("2", "1", with("cache"))), 2);
    assert_eq!(
        fit(nodes.clone(), json!([]), asks("2", "1", with("cache"))),
        (
            0,
            "the room on the 4 nodes that such a pod may use beside the pods that they must be with (affinity)"
                .to_owned()
        )
    );
    // All go to the zone of the first one.
    assert_eq!(count(nodes, json!([]), asks("2", "1", with("api"))), 4);
}

#[test]
fn an_even_spread_over_zones_ends_where_the_smallest_zone_is_full() {
    let nodes = json!([zone("a", "1"), zone("b", "1"), zone("c", "2")]);
    assert_eq!(count(nodes.clone(), json!([]), asks("2", "1", spread("zone", 1, json!({})))), 5);
    assert_eq!(count(nodes.clone(), json!([]), asks("2", "1", spread("zone", 2, json!({})))), 6);
    let two_there = json!([there("a", json!({"app": "api"}), json!({})), there("b", json!({"app": "api"}), json!({}))]);
    assert_eq!(count(nodes, two_there, asks("2", "1", spread("zone", 1, json!({})))), 3);
}

#[test]
fn a_zone_that_no_pod_may_enter_holds_the_others_back_where_its_taint_is_not_honoured() {
    let mut tainted = zone("c", "2");
    tainted["spec"] = json!({"taints": [{"key": "team", "effect": "NoSchedule"}]});
    let nodes = json!([zone("a", "1"), tainted]);
    assert_eq!(
        fit(nodes.clone(), json!([]), asks("1", "1", spread("zone", 1, json!({})))),
        (1, "the room that the pods' even spread leaves on the one node that such a pod may use".to_owned())
    );
    assert_eq!(
        count(nodes.clone(), json!([]), asks("1", "1", spread("zone", 1, json!({"nodeTaintsPolicy": "Honor"})))),
        4
    );
    let mut selecting = spread("zone", 1, json!({}));
    selecting["nodeSelector"] = json!({"zone": "1"});
    assert_eq!(count(nodes.clone(), json!([]), asks("1", "1", selecting.clone())), 4);
    selecting["topologySpreadConstraints"][0]["nodeAffinityPolicy"] = json!("Ignore");
    assert_eq!(count(nodes, json!([]), asks("1", "1", selecting)), 1);
}

#[test]
fn fewer_domains_than_are_asked_for_take_no_more_than_the_skew() {
    let nodes = json!([zone("a", "1"), zone("b", "2")]);
    assert_eq!(count(nodes, json!([]), asks("1", "1", spread("zone", 1, json!({"minDomains": 3})))), 2);
}

#[test]
fn pods_of_an_earlier_version_and_those_on_their_way_out_do_not_count_in_the_spread() {
    let nodes = json!([zone("a", "1"), zone("b", "2")]);
    let by_version = spread("zone", 1, json!({"matchLabelKeys": ["hash"]}));
    let earlier = |hash: &str| {
        json!([
            there("a", json!({"app": "api", "hash": hash}), json!({})),
            there("a", json!({"app": "api", "hash": hash}), json!({})),
        ])
    };
    let big = |more: Value| asks("4", "1", more);
    assert_eq!(count(nodes.clone(), earlier("old"), big(by_version.clone())), 2);
    assert_eq!(count(nodes.clone(), earlier("new"), big(by_version.clone())), 1);
    let mut leaving = earlier("new");
    for pod in leaving.as_array_mut().unwrap() {
        pod["metadata"]["deletionTimestamp"] = json!("2026-11-25T12:00:00Z");
    }
    assert_eq!(count(nodes, leaving, big(by_version)), 2);
}

#[test]
fn a_host_port_is_had_once_on_each_node() {
    let mut spec = asks("1", "1", json!({}));
    spec["containers"][0]["ports"] = json!([{"containerPort": 80, "hostPort": 8080}]);
    assert_eq!(
        fit(json!([node("a", json!({})), node("b", json!({}))]), json!([]), spec),
        (2, "the host port 8080 on the 2 nodes that such a pod may use".to_owned())
    );
}
