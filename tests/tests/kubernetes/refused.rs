//! What is refused before anything is changed: where there is no room, where that cannot be known, and where somebody else
//! steers.

use scalebot_tests::binary::{of_kind, only};
use scalebot_tests::clustered::{Clustered, Scene, shipped};
use scalebot_tests::kubernetes::{Node, Setup};
use scalebot_tests::operator::{Operator, check};
use serde_json::json;

/// It is refused because of that check, and what the check says.
fn refused(operator: &mut Operator<'_>, to: u32, name: &str) -> String {
    operator.up(to);
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

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_room_and_what_others_steer_is_refused_and_named() {
    let node = |name: &str| Node { name: name.to_owned(), room: ("500m", "8Gi", 110) };
    let usual = Scene::of(4, 6.0);
    let setup = Setup { nodes: ["node-1", "node-2", "node-3"].map(node).into(), ..usual.setup };
    let rights = vec!["observe-and-scale.yaml", "victims.yaml"];
    let around = Clustered::with(Scene { setup, rights, ..usual }).await;
    let cluster = &around.cluster;
    let mut operator = around.served().await;

    // How much room there is may not be asked: neither for the nodes nor for who is on them.
    let said = refused(&mut operator, 6, "room");
    says(&said, &["User \"system:serviceaccount:scalebot:scalebot\" cannot list resource", "at the cluster scope"]);
    cluster.apply(&shipped("rbac/nodes.yaml"));

    // Two pods take what a node has, and three nodes are there.
    let said = refused(&mut operator, 7, "room");
    says(&said, &["2 more fit, 3 wanted", "CPU", "0.25 cores"]);
    cluster.cordon("node-1", true);
    cluster.cordon("node-3", true);
    cluster.cordon("node-2", true);
    let said = refused(&mut operator, 6, "room");
    says(&said, &["0 more fit, 2 wanted", "none of 3: 3 cordoned"]);
    for node in ["node-1", "node-2", "node-3"] {
        cluster.cordon(node, false);
    }

    // Quotas.
    cluster.quota("team-pods", &json!({ "pods": "5" }));
    cluster.until("ResourceQuota", "team-pods", |quota| quota["status"]["used"]["pods"] == "4").await;
    let said = refused(&mut operator, 6, "room");
    says(&said, &["1 more fit, 2 wanted", "quota team-pods"]);
    cluster.delete("ResourceQuota", "team-pods");

    // Autoscalers, and what settles it does.
    cluster.install_hpa(2, 8);
    let said = refused(&mut operator, 6, "who else steers");
    let patch = "kubectl -n conclave patch hpa api --type=merge -p \
                 '{\"spec\":{\"behavior\":{\"scaleUp\":{\"selectPolicy\":\"Disabled\"},\"scaleDown\":{\"selectPolicy\":\
                 \"Disabled\"}}}}'";
    says(&said, &["HorizontalPodAutoscaler api", patch]);
    settles(&around, patch);
    cluster.delete("HorizontalPodAutoscaler", "api");
    cluster.install_keda();
    cluster.scaled_object(2, 8);
    let said = refused(&mut operator, 6, "who else steers");
    let annotate = "kubectl -n conclave annotate scaledobject api --overwrite autoscaling.keda.sh/paused=true";
    says(&said, &["KEDA ScaledObject api", annotate]);
    settles(&around, annotate);

    assert!(around.changes().is_empty(), "{:?}", around.changes());
    assert_eq!(around.count(), 4);
    operator.leaves().await;
}

/// An administrator types what the card says, where there is a `kubectl`; then nobody is in the way any more.
fn settles(around: &Clustered, command: &str) {
    // The one word that a shell would take the quotes from stands last.
    let (words, quoted) =
        command.split_once(" '").map_or((command, None), |(words, rest)| (words, rest.strip_suffix('\'')));
    let words: Vec<&str> = words.split_whitespace().skip(1).chain(quoted).collect();
    let Some(said) = around.cluster.kubectl("administrator", &words) else {
        println!("kubectl is not on the PATH: whether the command settles it is not tested here");
        return;
    };
    assert_eq!(said.code, Some(0), "{}{}", said.text, said.errors);
    let (_, said) = around.service.on_the_host(&["check"]);
    assert!(said.contains("who else steers: nobody was found"), "{said}");
}
