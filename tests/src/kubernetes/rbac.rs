//! Who may do what: Roles, `ClusterRoles` and their bindings, as files hold them.

use serde_json::Value;

use super::failure::Failure;
use super::resource::Resource;

/// A user of the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct User {
    /// `system:serviceaccount:NAMESPACE:NAME`, or a person's name.
    pub(crate) name: String,
    /// Whether everything is allowed: the group `system:masters`.
    pub(crate) may_do_all: bool,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    /// `deployments`, with the subresource: `deployments/scale`.
    pub(crate) resource: &'a str,
    /// Empty where no one object is meant.
    pub(crate) name: &'a str,
    /// Empty for the cluster as a whole.
    pub(crate) namespace: &'a str,
}

/// The roles and bindings of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Rbac {
    roles: Vec<Value>,
    bindings: Vec<Value>,
}

impl Rbac {
    /// Takes in what is about roles in a YAML file of one or more documents; `namespace` stands where one says none.
    /// Whatever is not about roles is returned.
    ///
    /// # Errors
    /// When it is not YAML.
    pub(crate) fn take(&mut self, yaml: &str, namespace: &str) -> Result<Vec<Value>, String> {
        let documents: Vec<Value> = serde_saphyr::from_multiple(yaml).map_err(|error| error.to_string())?;
        let mut others = Vec::new();
        for mut document in documents.into_iter().filter(|document| !document.is_null()) {
            let kind = document["kind"].as_str().unwrap_or_default().to_owned();
            let namespaced = ["Role", "RoleBinding"].contains(&kind.as_str());
            if namespaced && document["metadata"]["namespace"].is_null() {
                document["metadata"]["namespace"] = namespace.into();
            }
            for subject in document["subjects"].as_array_mut().into_iter().flatten() {
                if subject["kind"] == "ServiceAccount" && subject["namespace"].is_null() {
                    subject["namespace"] = namespace.into();
                }
            }
            match kind.as_str() {
                "Role" | "ClusterRole" => put(&mut self.roles, document),
                "RoleBinding" | "ClusterRoleBinding" => put(&mut self.bindings, document),
                _ => others.push(document),
            }
        }
        Ok(others)
    }

    /// Whether that user may.
    pub(crate) fn allows(&self, user: &User, ask: &Ask<'_>) -> bool {
        user.may_do_all || everybody_may(ask) || self.rules_of(user, ask.namespace).any(|rule| grants(rule, ask))
    }

    /// The rules that hold for that user there.
    fn rules_of<'a>(&'a self, user: &'a User, namespace: &'a str) -> impl Iterator<Item = &'a Value> {
        let bound = self.bindings.iter().filter(move |binding| {
            let everywhere = binding["kind"] == "ClusterRoleBinding";
            let here = everywhere || binding["metadata"]["namespace"] == namespace;
            here && binding["subjects"].as_array().into_iter().flatten().any(|subject| is(subject, user))
        });
        let roles = bound.filter_map(move |binding| {
            let (kind, name) = (&binding["roleRef"]["kind"], &binding["roleRef"]["name"]);
            self.roles.iter().find(|role| {
                let there =
                    role["kind"] == "ClusterRole" || role["metadata"]["namespace"] == binding["metadata"]["namespace"];
                role["kind"] == *kind && role["metadata"]["name"] == *name && there
            })
        });
        roles.flat_map(|role| role["rules"].as_array().into_iter().flatten())
    }
}

/// In the place of the one of the same name.
fn put(all: &mut Vec<Value>, new: Value) {
    let name =
        |one: &Value| (one["kind"].clone(), one["metadata"]["namespace"].clone(), one["metadata"]["name"].clone());
    all.retain(|one| name(one) != name(&new));
    all.push(new);
}

/// What is granted to whoever is known at all.
fn everybody_may(ask: &Ask<'_>) -> bool {
    let about_themselves =
        [("authorization.k8s.io", "selfsubjectaccessreviews"), ("authentication.k8s.io", "selfsubjectreviews")];
    ask.verb == "create" && about_themselves.contains(&(ask.group, ask.resource))
}

fn is(subject: &Value, user: &User) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str() {
        Some("ServiceAccount") => {
            let namespace = subject["namespace"].as_str().unwrap_or_default();
            user.name == format!("system:serviceaccount:{namespace}:{name}")
        }
        Some("User") => user.name == name,
        Some("Group") => {
            let accounts = user.name.strip_prefix("system:serviceaccount:");
            let own = accounts.and_then(|rest| rest.split_once(':')).map(|(namespace, _)| namespace);
            name == "system:authenticated"
                || (name == "system:serviceaccounts" && accounts.is_some())
                || own.is_some_and(|own| name == format!("system:serviceaccounts:{own}"))
        }
        _ => false,
    }
}

fn grants(rule: &Value, ask: &Ask<'_>) -> bool {
    let has =
        |field: &str, wanted: &str| rule[field].as_array().into_iter().flatten().any(|one| one == "*" || one == wanted);
    let resource = has("resources", ask.resource)
        || ask.resource.split_once('/').is_some_and(|(_, subresource)| {
            let any = format!("*/{subresource}");
            rule["resources"].as_array().into_iter().flatten().any(|one| *one == any.as_str())
        });
    let names = rule["resourceNames"].as_array().filter(|names| !names.is_empty());
    has("verbs", ask.verb)
        && has("apiGroups", ask.group)
        && resource
        && names.is_none_or(|names| names.iter().any(|name| !ask.name.is_empty() && *name == ask.name))
}

/// The very sentence of the API server.
pub(crate) fn forbidden(user: &User, ask: &Ask<'_>, resource: &Resource) -> Failure {
    let named = if ask.name.is_empty() { String::new() } else { format!(" \"{}\"", ask.name) };
    let place = if ask.namespace.is_empty() {
        "at the cluster scope".to_owned()
    } else {
        format!("in the namespace \"{}\"", ask.namespace)
    };
    let message = format!(
        "{}{named} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" {place}",
        resource.qualified(),
        user.name,
        ask.verb,
        ask.resource,
        ask.group,
    );
    let mut failure = Failure::new(403, "Forbidden", message);
    failure.details = serde_json::json!({ "kind": resource.plural });
    if !ask.group.is_empty() {
        failure.details["group"] = ask.group.into();
    }
    if !ask.name.is_empty() {
        failure.details["name"] = ask.name.into();
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: { name: scale }
rules:
  - apiGroups: [apps]
    resources: [deployments/scale]
    resourceNames: [api]
    verbs: [patch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: { name: scale }
roleRef: { apiGroup: rbac.authorization.k8s.io, kind: Role, name: scale }
subjects: [{ kind: ServiceAccount, name: scalebot }]
";

    #[test]
    fn a_role_grants_its_verb_on_its_resource_by_name_and_nothing_beside() {
        let mut rbac = Rbac::default();
        assert!(rbac.take(FILE, "conclave").unwrap().is_empty());
        let user = User { name: "system:serviceaccount:conclave:scalebot".to_owned(), may_do_all: false };
        let right =
            Ask { verb: "patch", group: "apps", resource: "deployments/scale", name: "api", namespace: "conclave" };
        assert!(rbac.allows(&user, &right));
        for wrong in [
            Ask { verb: "get", ..right.clone() },
            Ask { group: "", ..right.clone() },
            Ask { resource: "deployments", ..right.clone() },
            Ask { name: "web", ..right.clone() },
            Ask { name: "", ..right.clone() },
            Ask { namespace: "other", ..right.clone() },
            Ask { namespace: "", ..right.clone() },
        ] {
            assert!(!rbac.allows(&user, &wrong), "{wrong:?}");
        }
        let other = User { name: "system:serviceaccount:conclave:other".to_owned(), may_do_all: false };
        assert!(!rbac.allows(&other, &right));
        assert_eq!(
            forbidden(&user, &right, &super::super::resource::DEPLOYMENTS).message,
            "deployments.apps \"api\" is forbidden: User \"system:serviceaccount:conclave:scalebot\" cannot patch \
             resource \"deployments/scale\" in API group \"apps\" in the namespace \"conclave\""
        );
    }
}
