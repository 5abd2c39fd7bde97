//! What is deployed, held against what the bot does: the roles grant what it needs and nothing else, and its own pod may do
//! no more than it must.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rights::{ALL, Grant};
use crate::kubernetes::choice::COST;

const GRANTS: [Grant; 4] = [Grant::ObserveAndScale, Grant::Victims, Grant::Nodes, Grant::Autoscalers];

/// The label by which the example's Service sends requests, and nothing else.
const OWN_LABEL: &str = "receives-requests";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The documents of a file, by their path from the project's root.
fn documents(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Every YAML file beneath a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn deployed() -> PathBuf {
    root().join("deploy/kubernetes")
}

/// The one object of that kind in a file.
fn one<K: DeserializeOwned>(file: &str, kind: &str) -> K {
    let found = documents(&root().join(file)).into_iter().find(|document| document["kind"] == kind);
    serde_json::from_value(found.unwrap_or_else(|| panic!("{file} has no {kind}"))).unwrap()
}

/// Whatever of a document its type does not know. Kubernetes would leave that out, with or without a word.
fn unknown<K: DeserializeOwned + Serialize>(document: &Value) -> Vec<String> {
    let known: K = serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("{error} in {document}"));
    let known = serde_json::to_value(known).unwrap();
    let mut missing = Vec::new();
    compare("", document, &known, &mut missing);
    missing
}

fn compare(at: &str, given: &Value, known: &Value, missing: &mut Vec<String>) {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => {
            for (key, value) in given {
                let at = format!("{at}/{key}");
                match known.get(key) {
                    Some(known) => compare(&at, value, known, missing),
                    None => missing.push(at),
                }
            }
        }
        (Value::Array(given), Value::Array(known)) => {
            for (index, (given, known)) in given.iter().zip(known).enumerate() {
                compare(&format!("{at}/{index}"), given, known, missing);
            }
        }
        _ => {}
    }
}

#[test]
fn every_object_is_one_that_kubernetes_knows_key_by_key() {
    let mut kinds = BTreeSet::new();
    for file in files(&deployed()) {
        if file.ends_with("kustomization.yaml") {
            continue;
        }
        for document in documents(&file) {
            let kind = document["kind"].as_str().unwrap().to_owned();
            let missing = match &*kind {
                "ClusterRole" => unknown::<ClusterRole>(&document),
                "ClusterRoleBinding" => unknown::<ClusterRoleBinding>(&document),
                "Deployment" => unknown::<Deployment>(&document),
                "Namespace" => unknown::<Namespace>(&document),
                "NetworkPolicy" => unknown::<NetworkPolicy>(&document),
                "PersistentVolumeClaim" => unknown::<PersistentVolumeClaim>(&document),
                "PodDisruptionBudget" => unknown::<PodDisruptionBudget>(&document),
                "Role" => unknown::<Role>(&document),
                "RoleBinding" => unknown::<RoleBinding>(&document),
                "Service" => unknown::<Service>(&document),
                "ServiceAccount" => unknown::<ServiceAccount>(&document),
                "ValidatingAdmissionPolicy" => unknown::<ValidatingAdmissionPolicy>(&document),
                "ValidatingAdmissionPolicyBinding" => unknown::<ValidatingAdmissionPolicyBinding>(&document),
                other => panic!("{}: {other} is looked at by nobody", file.display()),
            };
            assert_eq!(missing, Vec::<String>::new(), "{} in {}", kind, file.display());
            kinds.insert(kind);
        }
    }
    assert_eq!(kinds.len(), 13, "{kinds:?}");
}

#[test]
fn everything_is_installed_but_the_example_and_what_holds_autoscalers() {
    let kustomization = documents(&deployed().join("kustomization.yaml")).remove(0);
    let listed: BTreeSet<PathBuf> = kustomization["resources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| deployed().join(file.as_str().unwrap()))
        .collect();
    let apart =
        ["kustomization.yaml", "rbac/autoscalers.yaml", "example/application.yaml"].map(|file| deployed().join(file));
    let there: BTreeSet<PathBuf> = files(&deployed()).into_iter().filter(|file| !apart.contains(file)).collect();
    assert_eq!(listed, there);
}

/// Every verb on every resource that the rules grant.
fn granted(rules: Vec<PolicyRule>) -> BTreeSet<(String, String, String)> {
    let mut all = BTreeSet::new();
    for rule in rules {
        assert_eq!(rule.non_resource_urls, None);
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    assert!(all.insert((group.clone(), resource.clone(), verb.clone())), "twice: {verb} {resource}");
                }
            }
        }
    }
    all
}

#[test]
fn each_file_grants_exactly_what_the_doctor_asks_for() {
    for grant in GRANTS {
        let rules = match grant {
            Grant::Nodes => one::<ClusterRole>(grant.file(), "ClusterRole").rules,
            _ => one::<Role>(grant.file(), "Role").rules,
        };
        let needed: BTreeSet<_> = ALL
            .iter()
            .filter(|right| right.grant == grant)
            .map(|right| (right.group.to_owned(), right.resource.to_owned(), right.verb.to_owned()))
            .collect();
        assert_eq!(granted(rules.unwrap()), needed, "{}", grant.file());
    }
}

#[test]
fn each_role_is_bound_to_the_bot_s_own_account() {
    let account: ServiceAccount = one("deploy/kubernetes/service-account.yaml", "ServiceAccount");
    let (name, namespace) = (account.metadata.name.unwrap(), account.metadata.namespace.unwrap());
    for grant in GRANTS {
        let (role, bound, subjects): (String, String, Vec<Subject>) = if grant == Grant::Nodes {
            let binding: ClusterRoleBinding = one(grant.file(), "ClusterRoleBinding");
            let role: ClusterRole = one(grant.file(), "ClusterRole");
            (role.metadata.name.unwrap(), binding.role_ref.name, binding.subjects.unwrap())
        } else {
            let binding: RoleBinding = one(grant.file(), "RoleBinding");
            let role: Role = one(grant.file(), "Role");
            assert_eq!(role.metadata.namespace, binding.metadata.namespace);
            (role.metadata.name.unwrap(), binding.role_ref.name, binding.subjects.unwrap())
        };
        assert_eq!(bound, role);
        let [subject] = &subjects[..] else { panic!("{}: one account is meant", grant.file()) };
        assert_eq!(
            (&*subject.kind, &subject.name, subject.namespace.as_ref()),
            ("ServiceAccount", &name, Some(&namespace))
        );
    }
    let policy: ValidatingAdmissionPolicy = one(Grant::Victims.file(), "ValidatingAdmissionPolicy");
    let conditions = policy.spec.unwrap().match_conditions.unwrap();
    assert_eq!(
        conditions[0].expression,
        format!("request.userInfo.username == 'system:serviceaccount:{namespace}:{name}'")
    );
}

#[test]
fn the_policy_lets_the_bot_change_the_two_keys_that_it_changes_and_the_example_has_one_of_them() {
    let policy: ValidatingAdmissionPolicy = one(Grant::Victims.file(), "ValidatingAdmissionPolicy");
    let spec = policy.spec.unwrap();
    assert_eq!(spec.failure_policy.as_deref(), Some("Fail"));
    let named: BTreeSet<String> = spec
        .validations
        .unwrap()
        .iter()
        .flat_map(|rule| rule.expression.split('\'').skip(1).step_by(2).map(ToOwned::to_owned).collect::<Vec<_>>())
        .collect();
    assert_eq!(named, BTreeSet::from([COST.to_owned(), OWN_LABEL.to_owned()]));
    let example = "deploy/kubernetes/example/application.yaml";
    let workload = one::<Deployment>(example, "Deployment").spec.unwrap();
    let service = one::<Service>(example, "Service").spec.unwrap().selector.unwrap();
    let own: BTreeMap<_, _> = workload.template.metadata.unwrap().labels.unwrap();
    let selected = workload.selector.match_labels.unwrap();
    assert!(selected.iter().all(|(key, value)| own.get(key) == Some(value)), "the Deployment means its own pods");
    assert!(service.iter().all(|(key, value)| own.get(key) == Some(value)), "the Service means the pods");
    let services_own: Vec<_> = service.keys().filter(|key| !selected.contains_key(*key)).collect();
    assert_eq!(services_own, [OWN_LABEL]);
}

#[test]
fn the_bot_s_own_pod_may_do_no_more_than_it_must_and_is_the_only_one() {
    let deployment: Deployment = one("deploy/kubernetes/deployment.yaml", "Deployment");
    let spec = deployment.spec.unwrap();
    assert_eq!((spec.replicas, spec.strategy.unwrap().type_.as_deref()), (Some(1), Some("Recreate")));
    let pod = spec.template.spec.unwrap();
    let security = pod.security_context.unwrap();
    assert_eq!(security.run_as_non_root, Some(true));
    assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
    let [container] = &pod.containers[..] else { panic!("one container") };
    let security = container.security_context.as_ref().unwrap();
    assert_eq!(security.allow_privilege_escalation, Some(false));
    assert_eq!(security.read_only_root_filesystem, Some(true));
    assert_eq!(security.capabilities.as_ref().unwrap().drop.as_deref(), Some(&["ALL".to_owned()][..]));
    let resources = container.resources.as_ref().unwrap();
    for amounts in [&resources.requests, &resources.limits] {
        assert!(["cpu", "memory"].iter().all(|resource| amounts.as_ref().unwrap().contains_key(*resource)));
    }
    let probes = [&container.startup_probe, &container.liveness_probe, &container.readiness_probe];
    let paths = probes.map(|probe| probe.as_ref().unwrap().http_get.as_ref().unwrap().path.as_deref().unwrap());
    assert_eq!(paths, ["/health", "/health", "/ready"]);
    let volumes = pod.volumes.unwrap();
    let mounts = container.volume_mounts.as_ref().unwrap();
    assert!(mounts.iter().all(|mount| volumes.iter().any(|volume| volume.name == mount.name)));
    assert!(
        volumes.iter().any(|volume| volume.secret.is_some())
            && volumes.iter().any(|volume| volume.config_map.is_some())
    );
}
