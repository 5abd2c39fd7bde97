//! What is refused before anything is changed: where there is no room, where that cannot be known, and where somebody else
//! steers.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::clustered::{Clustered, Operator, Scene, check, shipped};
use scalebot_tests::kubernetes::{Node, Setup};
use serde_json::{Value, json};

/// It is refused because of that check, and what the check says.
fn refused(operator: &mut Operator<'_>, command: &str, name: &str) -> String {
    operator.asks(command);
    let events = operator.ended();
    let finished = only(&events, "finished");
    assert_eq!((&finished["outcome"], &finished["ended_at"]), (&json!("refused"), &json!(4)), "{finished:#}");
    assert!(of_kind(&events, "scaling").is_empty());
    let (status, said) = check(&events, name);
    assert!(status == "fail" || status == "unknown", "{name} is {status}: {said}");
    // Nothing else was in the way.
    for other in only(&events, "prechecked")["checks"].as_array().unwrap() {
        let is_in_the_way = other["follows"] == "refusal" && other["status"] != "pass";
        assert!(!is_in_the_way || other["name"] == name, "{other:#}");
    }
    said
}

fn says(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "no {words}: {said}");
    }
}

const UP: &str = "/scale up 6 reason:\"campaign\"";

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_and_what_others_steer_is_refused_and_named() {
    let node = |name: &str| Node { name: name.to_owned(), room: ("500m", "8Gi", 110) };
    let usual = Scene::of(4, 6.0);
    let setup = Setup { nodes: ["node-1", "node-2", "node-3"].map(node).into(), ..usual.setup };
    let rights = vec!["observe-and-scale.yaml", "victims.yaml"];
    let around = Clustered::with(Scene { setup, rights, ..usual }).await;
    let cluster = &around.cluster;
    let mut operator = around.served();

    // How much room there is may not be asked.
    let said = refused(&mut operator, UP, "room");
    says(&said, &["cannot list resource \"nodes\"", "system:serviceaccount:scalebot:scalebot"]);
    cluster.apply(&shipped("rbac/nodes.yaml"));

    // Two pods take what a node has, and three nodes are there.
    let said = refused(&mut operator, "/scale up 7 reason:\"campaign\"", "room");
    says(&said, &["2 more fit, 3 wanted", "CPU", "0.25 cores"]);
    cluster.cordon("node-1", true);
    cluster.cordon("node-3", true);
    cluster.cordon("node-2", true);
    let said = refused(&mut operator, UP, "room");
    says(&said, &["0 more fit, 2 wanted", "none of 3 nodes", "cordoned"]);
    for node in ["node-1", "node-2", "node-3"] {
        cluster.cordon(node, false);
    }

    // Quotas.
    cluster.quota("team-pods", &json!({ "pods": "5" }));
    cluster.until("ResourceQuota", "team-pods", |quota| quota["status"]["used"]["pods"] == "4").await;
    let said = refused(&mut operator, UP, "room");
    says(&said, &["1 more fits, 2 wanted", "quota team-pods"]);
    cluster.delete("ResourceQuota", "team-pods");

    // Autoscalers, and what settles it does.
    cluster.install_hpa(2, 8);
    let said = refused(&mut operator, UP, "who else steers");
    let patch = "kubectl -n conclave patch hpa api --type=merge -p \
                 '{\"spec\":{\"behavior\":{\"scaleUp\":{\"selectPolicy\":\"Disabled\"},\"scaleDown\":{\"selectPolicy\":\
                 \"Disabled\"}}}}'";
    says(&said, &["HorizontalPodAutoscaler api", patch]);
    cluster.delete("HorizontalPodAutoscaler", "api");
    cluster.install_keda();
    cluster.scaled_object(2, 8);
    let said = refused(&mut operator, UP, "who else steers");
    let annotate = "kubectl -n conclave annotate scaledobject api --overwrite autoscaling.keda.sh/paused=true";
    says(&said, &["KEDA ScaledObject api", annotate]);
    if settles(&around, annotate) {
        operator.asks("/scale plan 6");
    }

    assert!(around.changes().is_empty(), "{:?}", around.changes());
    assert_eq!(around.count(), 4);
    operator.leaves();
}

/// An administrator types what the card says, where there is a `kubectl`.
fn settles(around: &Clustered, command: &str) -> bool {
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let Some(said) = around.cluster.kubectl("administrator", &words) else { return false };
    assert_eq!(said.code, Some(0), "{}{}", said.text, said.errors);
    let annotations: Value = around.cluster.object("ScaledObject", "api")["metadata"]["annotations"].clone();
    assert_eq!(annotations["autoscaling.keda.sh/paused"], "true");
    true
}
