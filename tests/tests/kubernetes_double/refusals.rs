//! Who may not, and when nobody can.

use scalebot_tests::kubernetes::{Cluster, Setup};
use serde_json::{Value, json};

use super::asking::{Client, DEPLOYMENT, PODS};

const ROLES: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: observe }
rules:
  - { apiGroups: [apps], resources: [deployments], verbs: [get, list] }
  - { apiGroups: [''], resources: [pods], verbs: [get, list, patch] }
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: observe }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: observe }
subjects: [{ kind: ServiceAccount, name: scalebot }]
";

/// Only two keys of a pod's metadata may be changed.
const POLICY: &str = "\
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: { name: victims }
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
      - { apiGroups: [''], apiVersions: [v1], operations: [UPDATE], resources: [pods] }
  matchConditions:
    - name: the-bot
      expression: request.userInfo.username == 'system:serviceaccount:conclave:scalebot'
  validations:
    - expression: object.spec == oldObject.spec
      message: only the deletion cost may be changed
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: { name: victims }
spec: { policyName: victims, validationActions: [Deny] }
";

#[tokio::test]
async fn a_verb_that_the_role_has_not_is_refused_by_name() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.apply(ROLES);
    let client = Client::of(&cluster, "scalebot");
    assert_eq!(client.get(DEPLOYMENT).await.0, 200);
    let (status, refused) = client.patch(&format!("{DEPLOYMENT}/scale"), &json!({ "spec": { "replicas": 6 } })).await;
    assert_eq!((status, &refused["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        refused["message"],
        "deployments.apps \"api\" is forbidden: User \"system:serviceaccount:conclave:scalebot\" cannot patch resource \
         \"deployments/scale\" in API group \"apps\" in the namespace \"conclave\""
    );
    let (status, refused) = client.get("/api/v1/nodes").await;
    assert_eq!(
        (status, &refused["message"]),
        (
            403,
            &json!(
                "nodes is forbidden: User \"system:serviceaccount:conclave:scalebot\" cannot list resource \"nodes\" in \
                 API group \"\" at the cluster scope"
            )
        )
    );
    assert_eq!(client.get(&format!("{PODS}?watch=1")).await.0, 403);

    // Everybody is told what they may.
    let review = async |verb: &str, subresource: &str| {
        let attributes = json!({
            "namespace": "conclave", "verb": verb, "group": "apps", "resource": "deployments", "subresource": subresource,
        });
        let question = json!({ "spec": { "resourceAttributes": attributes } });
        client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", &question).await
    };
    assert_eq!(review("get", "").await.1["status"]["allowed"], true);
    assert_eq!(review("patch", "scale").await.1["status"]["allowed"], false);
    let record = cluster.requests();
    let forbidden = record.iter().find(|one| one.method == "PATCH").unwrap();
    assert_eq!((forbidden.status, forbidden.user.as_str()), (403, "system:serviceaccount:conclave:scalebot"));
}

#[tokio::test]
async fn who_is_unknown_is_told_nothing() {
    let cluster = Cluster::start(Setup::default()).await;
    let known = Client::of(&cluster, "administrator");
    assert_eq!(known.get("/version").await.1["minor"], "33");
    let response = reqwest::Client::builder().no_proxy().danger_accept_invalid_certs(true).build().unwrap();
    let response = response.get(format!("{}{DEPLOYMENT}", cluster.address())).send().await.unwrap();
    let (status, body) = (response.status(), response.json::<Value>().await.unwrap());
    assert_eq!((status.as_u16(), &body["reason"]), (401, &json!("Unauthorized")));
}

#[tokio::test]
async fn a_policy_refuses_what_the_role_allows() {
    let cluster = Cluster::start(Setup::default()).await;
    cluster.apply(ROLES);
    cluster.apply(POLICY);
    let client = Client::of(&cluster, "scalebot");
    let pod = format!("{PODS}/{}", cluster.pods()[0]);
    let cost = json!({ "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-1" } } });
    let (status, answer) = client.patch(&pod, &cost).await;
    assert_eq!(status, 200, "{answer}");
    let image = json!({ "spec": { "containers": [{ "name": "api", "image": "evil" }] } });
    let kind = "application/strategic-merge-patch+json";
    let refused = client.send(reqwest::Method::PATCH, &pod, kind, &image).await.unwrap();
    let (status, refused) = (refused.status(), refused.json::<Value>().await.unwrap());
    assert_eq!(status.as_u16(), 422, "{refused}");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("ValidatingAdmissionPolicy 'victims' with binding 'victims' denied request"), "{message}");
    assert!(message.ends_with("only the deletion cost may be changed"), "{message}");
    // For anybody else it does not hold.
    let administrator = Client::of(&cluster, "administrator");
    assert_eq!(administrator.send(reqwest::Method::PATCH, &pod, kind, &image).await.unwrap().status(), 200);
}

#[tokio::test]
async fn the_server_goes_away_is_too_busy_and_loses_answers() {
    let cluster = Cluster::start(Setup::default()).await;
    let client = Client::of(&cluster, "administrator");
    cluster.too_busy_for("/deployments/api", 3);
    let busy = client.send(reqwest::Method::GET, DEPLOYMENT, "application/json", &Value::Null).await.unwrap();
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].to_str().unwrap()), (429, "3"));
    assert_eq!(client.get(DEPLOYMENT).await.0, 200);

    cluster.loses_next_answer("/scale");
    let order = json!({ "spec": { "replicas": 5 } });
    let kind = "application/merge-patch+json";
    let lost = client.send(reqwest::Method::PATCH, &format!("{DEPLOYMENT}/scale"), kind, &order).await;
    assert!(lost.is_err(), "{lost:?}");
    // It is done all the same.
    cluster.until_ready(5).await;

    cluster.api_server_goes_away();
    assert!(client.send(reqwest::Method::GET, DEPLOYMENT, kind, &Value::Null).await.is_err());
    cluster.api_server_is_back();
    assert_eq!(client.get(DEPLOYMENT).await.0, 200);
}
