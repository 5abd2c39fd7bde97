use super::*;
use crate::doctor::Status;
use crate::http::testing::nobody;
use crate::kubernetes::settings::{Autoscaler, Reach};
use crate::kubernetes::stand_in::{Cluster, DEPLOYMENT, NODES, SERVICE, fleet_at};

async fn lines(cluster: Cluster) -> Vec<Finding> {
    cluster.run().await.kubernetes().check().await
}

fn texts(found: &[Finding], status: Status) -> Vec<&str> {
    found.iter().filter(|finding| finding.status == status).map(|finding| finding.text.as_str()).collect()
}

#[tokio::test]
async fn where_all_is_well_each_part_has_one_line_that_says_so() {
    let found = lines(Cluster::new()).await;
    assert_eq!(
        texts(&found, Status::Ok),
        [
            "reached, version v1.33.2, as system:serviceaccount:scalebot:scalebot",
            "found; 4 of 4 instances ready",
            "found; 4 of 4 instances get requests",
            "one instance can be taken out of it, by a label of its own",
            "all 17 rights that are needed are granted",
            "2 nodes, 2 of them not cordoned",
        ]
    );
    assert_eq!(found.len(), 6);
}

#[tokio::test]
async fn each_right_that_is_missing_has_a_line_with_the_file_that_grants_it() {
    let denied = Cluster::new().denies("list nodes everywhere").denies("patch pods").denies("patch deployments/scale");
    let found = lines(denied.forbids(NODES, "nodes is forbidden")).await;
    assert_eq!(
        texts(&found, Status::Failed),
        [
            "the bot may not patch deployments/scale.apps: the count cannot be changed",
            "the bot may not patch pods: nobody can be chosen to go, and every scaling down will be refused",
            "the bot may not list nodes in the whole cluster: how much room there is stays unknown, and every scaling up will be refused",
        ]
    );
    let to_do: Vec<_> = found.iter().filter_map(|finding| finding.to_do.as_deref()).collect();
    assert_eq!(
        to_do,
        ["observe-and-scale", "victims", "nodes"]
            .map(|file| format!("kubectl apply -f deploy/kubernetes/rbac/{file}.yaml"))
    );
    assert!(texts(&found, Status::Ok).contains(&"14 of the 17 rights that are needed are granted"));
}

#[tokio::test]
async fn without_the_right_to_watch_it_works_and_is_said() {
    let found = lines(Cluster::new().denies("watch pods")).await;
    assert_eq!(
        texts(&found, Status::Warn),
        ["the bot may not watch pods: every look at the fleet costs a list of its pods"]
    );
}

#[tokio::test]
async fn a_service_without_a_label_of_its_own_is_said_with_where_one_is_shown() {
    let service = serde_json::json!({"metadata": {"name": "api"}, "spec": {"selector": {"app": "api"}}});
    let found = lines(Cluster::new().object(SERVICE, service)).await;
    let warning = found.iter().find(|finding| finding.status == Status::Warn).unwrap();
    assert!(warning.text.starts_with("an instance leaves it only as it ends"), "{}", warning.text);
    assert!(warning.to_do.as_deref().unwrap().contains(LAYOUT));
}

#[tokio::test]
async fn a_workload_or_service_that_is_not_there_is_a_failure() {
    for path in [DEPLOYMENT, SERVICE] {
        let found = lines(Cluster::new().forbids(path, "it is forbidden")).await;
        assert!(texts(&found, Status::Failed).iter().any(|text| text.contains("it is forbidden")), "{found:?}");
    }
}

#[tokio::test]
async fn an_api_server_that_is_not_reached_is_the_only_line() {
    let (_folder, settings) = fleet_at(&nobody().await);
    let found = Kubernetes::new(&settings).unwrap().check().await;
    assert_eq!((found.len(), found[0].status), (1, Status::Failed));
    assert!(found[0].text.contains("cannot be reached"), "{}", found[0].text);
}

#[tokio::test]
async fn only_what_the_settings_need_is_asked_for() {
    let mut settings = Cluster::new().run().await.settings.clone();
    let needed = |settings: &_| -> Vec<String> {
        ALL.iter().filter(|right| right.is_needed(settings)).map(ToString::to_string).collect()
    };
    assert!(!needed(&settings).iter().any(|right| right.contains("proxy") || right.contains("statefulsets")));
    settings.reach = Reach::Proxy;
    settings.autoscaler = Autoscaler::Hold;
    let more = needed(&settings);
    for right in ["get pods/proxy", "create pods/proxy", "patch horizontalpodautoscalers.autoscaling"] {
        assert!(more.iter().any(|needed| needed == right), "{right}");
    }
    (settings.deployment, settings.stateful_set) = (None, Some("api".to_owned()));
    assert!(needed(&settings).contains(&"patch statefulsets/scale.apps".to_owned()));
}
