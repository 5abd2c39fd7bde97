//! The real `kubectl` against the double: what it takes for a cluster is one.

use scalebot_tests::kubernetes::{Cluster, Said, Setup};

/// What `kubectl` says; where it is not installed, that is said and nothing else is proved.
fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Option<Said> {
    let said = cluster.kubectl("administrator", arguments);
    match &said {
        None => println!("kubectl is not on the PATH: what it makes of the double is not tested here"),
        Some(said) => assert_eq!(said.code, Some(0), "kubectl {arguments:?}: {}{}", said.text, said.errors),
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_gets_scales_patches_describes_and_waits() {
    let cluster = Cluster::start(Setup::default()).await;
    let Some(said) = kubectl(&cluster, &["get", "deployment,pods,endpointslices,nodes"]) else { return };
    assert_eq!(said.text.matches("pod/api-").count(), 4, "{}", said.text);
    kubectl(&cluster, &["scale", "deployment/api", "--replicas=6"]);
    let said = kubectl(&cluster, &["rollout", "status", "deployment/api", "--timeout=60s"]).unwrap();
    assert!(said.text.contains("successfully rolled out"), "{}", said.text);
    cluster.until_ready(6).await;
    let owner = cluster.object("Deployment", "api")["metadata"]["managedFields"].to_string();
    assert!(owner.contains("\"manager\":\"kubectl\"") && owner.contains("\"subresource\":\"scale\""), "{owner}");

    let said = kubectl(&cluster, &["describe", "deployment", "api"]).unwrap();
    assert!(said.text.contains("6 desired | 6 updated | 6 total | 6 available"), "{}", said.text);
    assert!(said.text.contains("ScalingReplicaSet"), "{}", said.text);
    let pod = cluster.pods()[0].clone();
    let said = kubectl(&cluster, &["describe", "pod", &pod]).unwrap();
    assert!(said.text.contains("Successfully assigned"), "{}", said.text);
    kubectl(&cluster, &["patch", "deployment", "api", "-p", "{\"spec\":{\"paused\":true}}"]);
    assert_eq!(cluster.object("Deployment", "api")["spec"]["paused"], true);
    kubectl(&cluster, &["annotate", "pod", &pod, "controller.kubernetes.io/pod-deletion-cost=-5"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_shows_the_very_sentence_of_a_refusal() {
    let cluster = Cluster::start(Setup::default()).await;
    let Some(said) = cluster.kubectl("nobody", &["scale", "deployment/api", "--replicas=6"]) else {
        println!("kubectl is not on the PATH: what it makes of the double is not tested here");
        return;
    };
    assert_eq!(said.code, Some(1));
    let sentence = "deployments.apps \"api\" is forbidden: User \
                    \"system:serviceaccount:conclave:nobody\" cannot get resource \"deployments\" in API group \"apps\" in \
                    the namespace \"conclave\"";
    assert!(said.errors.contains(sentence), "{}", said.errors);
}
