//! What the server says of itself: its version, its groups, its types.

use serde_json::{Value, json};

use super::super::resource::{RESOURCES, Resource};
use super::super::state::State;
use super::Answer;

/// The version that it says it is: that of the types it is built with.
const VERSION: &str = "v1.33.4";

/// `None` for every path that is about objects.
pub(crate) fn answer(state: &State, path: &str) -> Option<Answer> {
    let object = |value: Value| Some(Answer::Object(200, value));
    let steps: Vec<&str> = path.trim_matches('/').split('/').collect();
    match &steps[..] {
        ["version"] => object(json!({
            "major": "1", "minor": "33", "gitVersion": VERSION, "gitCommit": "0000000000000000000000000000000000000000",
            "gitTreeState": "clean", "buildDate": "2025-08-13T00:00:00Z", "goVersion": "go1.24.5", "compiler": "gc",
            "platform": "linux/amd64", "emulationMajor": "1", "emulationMinor": "33", "minCompatibilityMajor": "1",
            "minCompatibilityMinor": "32",
        })),
        ["livez" | "readyz" | "healthz"] => Some(Answer::Text(200, "text/plain; charset=utf-8", b"ok".to_vec())),
        ["api"] => object(json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] })),
        ["apis"] => {
            let groups: Vec<Value> = groups(state).into_iter().map(|name| group(state, name)).collect();
            object(json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups }))
        }
        ["apis", name] => groups(state).contains(name).then(|| {
            let mut group = group(state, name);
            group["kind"] = "APIGroup".into();
            group["apiVersion"] = "v1".into();
            Answer::Object(200, group)
        }),
        ["api", version] => types(state, "", version).and_then(object),
        ["apis", name, version] => types(state, name, version).and_then(object),
        _ => None,
    }
}

fn served(state: &State) -> impl Iterator<Item = &'static Resource> {
    let has_keda = state.has_keda;
    RESOURCES.iter().copied().filter(move |resource| has_keda || !resource.custom)
}

fn groups(state: &State) -> Vec<&'static str> {
    let mut groups: Vec<&str> = served(state).map(|one| one.group).filter(|group| !group.is_empty()).collect();
    groups.dedup();
    groups
}

fn group(state: &State, name: &str) -> Value {
    let version = served(state).find(|one| one.group == name).map_or("v1", |one| one.version);
    let version = json!({ "groupVersion": format!("{name}/{version}"), "version": version });
    json!({ "name": name, "versions": [version], "preferredVersion": version })
}

fn types(state: &State, group: &str, version: &str) -> Option<Value> {
    let mut types = Vec::new();
    for one in served(state).filter(|one| one.group == group && one.version == version) {
        let verbs = match one.plural {
            "selfsubjectaccessreviews" | "selfsubjectreviews" => json!(["create"]),
            _ => json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]),
        };
        types.push(json!({
            "name": one.plural, "singularName": one.singular, "namespaced": one.namespaced, "kind": one.kind,
            "verbs": verbs, "shortNames": one.short,
            "categories": if ["pods", "services", "deployments", "replicasets", "statefulsets"].contains(&one.plural) {
                json!(["all"])
            } else {
                json!([])
            },
        }));
        for subresource in one.subresources {
            let mut described = json!({
                "name": format!("{}/{subresource}", one.plural), "singularName": "", "namespaced": one.namespaced,
                "kind": one.kind, "verbs": ["get", "patch", "update"],
            });
            match *subresource {
                "scale" => {
                    described["group"] = "autoscaling".into();
                    described["version"] = "v1".into();
                    described["kind"] = "Scale".into();
                }
                "log" => described["verbs"] = json!(["get"]),
                "proxy" => {
                    described["kind"] = "PodProxyOptions".into();
                    described["verbs"] = json!(["create", "delete", "get", "patch", "update"]);
                }
                _ => {}
            }
            types.push(described);
        }
    }
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let is_served = !types.is_empty();
    is_served.then(
        || json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": types }),
    )
}
