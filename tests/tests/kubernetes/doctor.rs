//! `scalebot check` on a cluster: with the shipped rights everything is well; a right that is missing is named with the file
//! that grants it.

use scalebot_tests::clustered::{Clustered, Scene, shipped};
use scalebot_tests::operator::check;

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

/// The configuration that `kubectl apply -k` installs, with identifiers of this Discord, and a kubeconfig in the place of
/// what a pod is given.
fn installed(around: &Clustered) -> String {
    let mut text = shipped("scalebot.toml");
    let mut put = |shipped: &str, ours: String| {
        assert_eq!(text.matches(shipped).count(), 1, "{shipped}");
        text = text.replace(shipped, &ours);
    };
    let (service, discord) = (&around.service, &around.discord);
    let token = service.state().with_file_name("discord.token");
    put("/var/lib/scalebot/state", service.state().display().to_string());
    put("0.0.0.0:9464", service.listen.to_string());
    let front = format!("[discord]\ntoken_file = \"{}\"\napi_base = \"{}\"\n", token.display(), discord.api_base());
    put("[discord]\n", front);
    put("100000000000000001", discord.guild().to_string());
    put("100000000000000002", discord.channel_id("ops").to_string());
    put("100000000000000003", discord.channel_id("governance").to_string());
    put("100000000000000004", discord.channel_id("scaling-log").to_string());
    put("100000000000000005", discord.role("operator").to_string());
    put("100000000000000006", discord.role("governance lead").to_string());
    let kubeconfig = around.cluster.kubeconfig(scalebot_tests::clustered::BOT);
    put("kind = \"kubernetes\"\n", format!("kind = \"kubernetes\"\nkubeconfig = \"{}\"\n", kubeconfig.display()));
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_installed_with_kustomize_is_found_well_and_asks_governance_where_no_halt_source_is_named() {
    let around = Clustered::with(Scene::of(2, 0.0)).await;
    std::fs::write(around.service.config(), installed(&around)).unwrap();
    let (code, said) = around.service.on_the_host(&["check"]);
    assert_eq!(code, Some(0), "{said}");
    let mut operator = around.served().await;
    operator.up(3);
    let events = operator.until("approval_requested", 1);
    let (status, said) = check(&events, "halt state");
    assert!(status != "pass", "{status}: {said}");
    assert_eq!(around.counts_sent(), 0);
}
