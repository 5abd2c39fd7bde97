//! What is refused though the role allows it: quotas, limits, and the policies that a team installs.

use cel::{Context, Program, Value as Cel};
use serde_json::{Value, json};

use super::failure::Failure;
use super::quantity::{of, requested, written};
use super::rbac::User;
use super::resource::{DEPLOYMENTS, LIMIT_RANGES, PODS, QUOTAS, Resource, STATEFUL_SETS};
use super::store::Store;

/// What a quota can limit, and what of it one more pod uses.
pub(crate) fn uses(pod: &Value, what: &str) -> Option<i128> {
    Some(match what {
        "pods" | "count/pods" => 1_000,
        "cpu" | "requests.cpu" => requested(pod, "requests", "cpu"),
        "memory" | "requests.memory" => requested(pod, "requests", "memory"),
        "limits.cpu" => requested(pod, "limits", "cpu"),
        "limits.memory" => requested(pod, "limits", "memory"),
        _ => return None,
    })
}

/// How much of a quota is used: pods that have ended use none but of `count/pods`.
pub(crate) fn used(store: &Store, namespace: &str, what: &str) -> i128 {
    let pods = store.all(&PODS).filter(|(key, _)| key.namespace == namespace).map(|(_, pod)| pod);
    let ended = |pod: &Value| ["Failed", "Succeeded"].iter().any(|phase| pod["status"]["phase"] == *phase);
    match what {
        "count/deployments.apps" => {
            store.all(&DEPLOYMENTS).filter(|(key, _)| key.namespace == namespace).count() as i128 * 1_000
        }
        "count/statefulsets.apps" => {
            store.all(&STATEFUL_SETS).filter(|(key, _)| key.namespace == namespace).count() as i128 * 1_000
        }
        _ => pods.filter(|pod| what == "count/pods" || !ended(pod)).filter_map(|pod| uses(pod, what)).sum(),
    }
}

/// Whether a quota is about such a pod.
fn covers(quota: &Value, pod: &Value) -> bool {
    let best_effort = pod["spec"]["containers"].as_array().into_iter().flatten().all(|one| {
        ["requests", "limits"]
            .iter()
            .all(|kind| one["resources"][*kind].as_object().is_none_or(serde_json::Map::is_empty))
    });
    let ends = pod["spec"]["activeDeadlineSeconds"].is_number();
    quota["spec"]["scopes"].as_array().into_iter().flatten().all(|scope| match scope.as_str() {
        Some("BestEffort") => best_effort,
        Some("NotBestEffort") => !best_effort,
        Some("Terminating") => ends,
        Some("NotTerminating") => !ends,
        _ => false,
    })
}

/// Whether one more pod is within every quota of its namespace.
pub(crate) fn quotas(store: &Store, pod: &Value) -> Result<(), Failure> {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let named = pod["metadata"]["name"].as_str().or_else(|| pod["metadata"]["generateName"].as_str());
    let name = named.unwrap_or_default().to_owned();
    for quota in store.within(&QUOTAS, namespace).iter().filter(|quota| covers(quota, pod)) {
        let quota_name = quota["metadata"]["name"].as_str().unwrap_or_default();
        let limits = quota["spec"]["hard"].as_object().cloned().unwrap_or_default();
        let missing: Vec<&str> = limits
            .keys()
            .filter(|what| {
                let says = |kind: &str, what: &str| {
                    let mut all = pod["spec"]["containers"].as_array().into_iter().flatten();
                    all.all(|one| !one["resources"][kind][what].is_null())
                };
                match what.as_str() {
                    "cpu" | "requests.cpu" => !says("requests", "cpu"),
                    "memory" | "requests.memory" => !says("requests", "memory"),
                    "limits.cpu" => !says("limits", "cpu"),
                    "limits.memory" => !says("limits", "memory"),
                    _ => false,
                }
            })
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            let containers: Vec<&str> = pod["spec"]["containers"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|one| one["name"].as_str())
                .collect();
            let each: Vec<String> =
                missing.iter().map(|what| format!("{what} for: {}", containers.join(","))).collect();
            let why = format!("failed quota: {quota_name}: must specify {}", each.join("; "));
            return Err(Failure::admission(&PODS, &name, &why));
        }
        let mut over: Vec<(String, String, String, String)> = Vec::new();
        for (what, limit) in &limits {
            let Some(wants) = uses(pod, what) else { continue };
            let (is, limit) = (used(store, namespace, what), of(limit));
            if is + wants > limit && wants > 0 {
                over.push((what.clone(), written(wants, what), written(is, what), written(limit, what)));
            }
        }
        if !over.is_empty() {
            let told = |of: fn(&(String, String, String, String)) -> &String| {
                over.iter().map(|one| format!("{}={}", one.0, of(one))).collect::<Vec<_>>().join(",")
            };
            let why = format!(
                "exceeded quota: {quota_name}, requested: {}, used: {}, limited: {}",
                told(|one| &one.1),
                told(|one| &one.2),
                told(|one| &one.3)
            );
            return Err(Failure::admission(&PODS, &name, &why));
        }
    }
    Ok(())
}

/// Gives a pod what its namespace's limit ranges give to containers that say nothing.
pub(crate) fn limit_ranges(store: &Store, pod: &mut Value) {
    let namespace = pod["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
    for range in store.within(&LIMIT_RANGES, &namespace) {
        for limit in range["spec"]["limits"].as_array().into_iter().flatten().filter(|one| one["type"] == "Container") {
            for container in pod["spec"]["containers"].as_array_mut().into_iter().flatten() {
                for (kind, given) in [("limits", "default"), ("requests", "defaultRequest")] {
                    for (what, amount) in limit[given].as_object().into_iter().flatten() {
                        let own_limit = container["resources"]["limits"][what].clone();
                        let resources = &mut container["resources"];
                        if resources[kind].is_null() {
                            resources[kind] = json!({});
                        }
                        if resources[kind][what].is_null() {
                            // Whose own limit is said requests that much.
                            let own =
                                kind == "requests" && own_limit.is_string() && limit["default"][what] != own_limit;
                            resources[kind][what] = if own { own_limit } else { amount.clone() };
                        }
                    }
                }
            }
        }
    }
    super::types::without_null(pod);
}

/// `ValidatingAdmissionPolicies` and their bindings, as files hold them.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    policies: Vec<Value>,
    bindings: Vec<Value>,
}

impl Policies {
    /// Takes one in; `false` for anything else. An expression that cannot be read is refused at once, as the real
    /// server refuses it.
    ///
    /// # Errors
    /// When an expression in it cannot be read.
    pub(crate) fn take(&mut self, object: &Value) -> Result<bool, String> {
        match object["kind"].as_str() {
            Some("ValidatingAdmissionPolicy") => {
                for list in ["matchConditions", "variables", "validations"] {
                    for one in object["spec"][list].as_array().into_iter().flatten() {
                        let expression = one["expression"].as_str().unwrap_or_default();
                        Program::compile(expression).map_err(|error| format!("{expression}: {error}"))?;
                    }
                }
                self.policies.push(object.clone());
            }
            Some("ValidatingAdmissionPolicyBinding") => self.bindings.push(object.clone()),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// A write that somebody asks for.
pub(crate) struct Write<'a> {
    pub(crate) user: &'a User,
    pub(crate) resource: &'a Resource,
    pub(crate) subresource: &'a str,
    /// `CREATE`, `UPDATE` or `DELETE`.
    pub(crate) operation: &'a str,
}

/// What the policies say to a write. One that cannot be evaluated refuses, unless it says otherwise.
pub(crate) fn policies(all: &Policies, write: &Write<'_>, old: Option<&Value>, new: &Value) -> Result<(), Failure> {
    let Write { user, resource, subresource, operation } = write;
    for policy in &all.policies {
        let name = &policy["metadata"]["name"];
        let Some(binding) = all.bindings.iter().find(|binding| binding["spec"]["policyName"] == *name) else {
            continue;
        };
        let denies = binding["spec"]["validationActions"].as_array().into_iter().flatten().any(|one| one == "Deny");
        if !denies || !constrains(policy, write) {
            continue;
        }
        let about = old.unwrap_or(new);
        let request = json!({
            "operation": operation, "name": about["metadata"]["name"], "namespace": about["metadata"]["namespace"],
            "userInfo": { "username": user.name, "groups": ["system:authenticated"] },
            "kind": { "group": resource.group, "version": resource.version, "kind": resource.kind },
            "resource": { "group": resource.group, "version": resource.version, "resource": resource.plural },
            "subResource": subresource,
        });
        if let Err(why) = evaluate(policy, &request, old, new) {
            let (name, binding) =
                (name.as_str().unwrap_or_default(), binding["metadata"]["name"].as_str().unwrap_or_default());
            let object = about["metadata"]["name"].as_str().unwrap_or_default();
            let why = format!("ValidatingAdmissionPolicy '{name}' with binding '{binding}' denied request: {why}");
            let mut failure = Failure::admission(resource, object, &why);
            failure.code = 422;
            failure.reason = "Invalid";
            return Err(failure);
        }
    }
    Ok(())
}

fn constrains(policy: &Value, write: &Write<'_>) -> bool {
    let has = |rule: &Value, field: &str, wanted: &str| {
        rule[field].as_array().into_iter().flatten().any(|one| one == "*" || one == wanted)
    };
    let resource = match write.subresource {
        "" => write.resource.plural.to_owned(),
        subresource => format!("{}/{subresource}", write.resource.plural),
    };
    policy["spec"]["matchConstraints"]["resourceRules"].as_array().into_iter().flatten().any(|rule| {
        has(rule, "apiGroups", write.resource.group)
            && has(rule, "resources", &resource)
            && has(rule, "operations", write.operation)
    })
}

fn evaluate(policy: &Value, request: &Value, old: Option<&Value>, new: &Value) -> Result<(), String> {
    let mut context = Context::default();
    let given = [("request", request), ("object", new), ("oldObject", old.unwrap_or(&Value::Null))];
    for (name, value) in given {
        context.add_variable(name, value).map_err(|error| format!("{name}: {error}"))?;
    }
    let run = |context: &Context<'_, '_>, expression: &Value| {
        let expression = expression.as_str().unwrap_or_default();
        let program = Program::compile(expression).map_err(|error| error.to_string())?;
        program.execute(context).map_err(|error| format!("expression '{expression}' resulted in error: {error}"))
    };
    for condition in policy["spec"]["matchConditions"].as_array().into_iter().flatten() {
        if run(&context, &condition["expression"])? == Cel::Bool(false) {
            return Ok(());
        }
    }
    let mut variables = std::collections::HashMap::new();
    for variable in policy["spec"]["variables"].as_array().into_iter().flatten() {
        let value = run(&context, &variable["expression"])?;
        variables.insert(variable["name"].as_str().unwrap_or_default().to_owned(), value);
        context.add_variable_from_value("variables", variables.clone());
    }
    for validation in policy["spec"]["validations"].as_array().into_iter().flatten() {
        if run(&context, &validation["expression"])? != Cel::Bool(true) {
            let message = validation["message"].as_str().map(ToOwned::to_owned);
            return Err(message.unwrap_or_else(|| format!("failed expression: {}", validation["expression"])));
        }
    }
    Ok(())
}
