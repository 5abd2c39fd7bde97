//! `scalebot check` on a cluster: with the shipped rights everything is well; a right that is missing is named with the file
//! that grants it.

use scalebot_tests::clustered::{Clustered, Scene, shipped};

/// A right, as its file grants it, and the file without it.
const WITHOUT: [(&str, &str, &str, &str); 4] = [
    (
        "observe-and-scale.yaml",
        "resources: [deployments/scale, statefulsets/scale]\n  verbs: [patch]",
        "resources: [deployments/scale, statefulsets/scale]\n  verbs: [get]",
        "may not patch deployments/scale",
    ),
    (
        "observe-and-scale.yaml",
        "resources: [endpointslices]\n  verbs: [list]",
        "resources: [endpointslices]\n  verbs: [get]",
        "may not list endpointslices",
    ),
    ("victims.yaml", "resources: [pods]\n  verbs: [patch]", "resources: [pods]\n  verbs: [get]", "may not patch pods"),
    (
        "nodes.yaml",
        "resources: [nodes, pods]\n  verbs: [list]",
        "resources: [pods]\n  verbs: [list]",
        "may not list nodes",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn check_finds_everything_granted_and_names_what_is_not_with_its_file() {
    let around = Clustered::with(Scene::of(2, 0.0)).await;
    let check = || around.service.on_the_host(&["check"]);
    let (code, said) = check();
    assert_eq!(code, Some(0), "{said}");
    for words in ["rights that are needed are granted", "system:serviceaccount:scalebot:scalebot", "3 nodes"] {
        assert!(said.contains(words), "no {words}: {said}");
    }
    for (file, granted, not, named) in WITHOUT {
        let whole = shipped(&format!("rbac/{file}"));
        let less = whole.replace(granted, not);
        assert_ne!(whole, less, "{file} does not grant it in these words any more");
        around.cluster.apply(&less);
        let (code, said) = check();
        assert_eq!(code, Some(1), "{named}: {said}");
        assert!(said.contains(named), "no {named}: {said}");
        assert!(said.contains(&format!("kubectl apply -f deploy/kubernetes/rbac/{file}")), "no {file}: {said}");
        around.cluster.apply(&whole);
    }
    assert_eq!(check().0, Some(0));
    assert!(around.changes().is_empty(), "{:?}", around.changes());
}
