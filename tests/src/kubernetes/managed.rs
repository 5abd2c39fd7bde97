//! Who owns which field: `metadata.managedFields`, as the API server keeps it for updates and patches.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::merge::list_key;

type Paths = BTreeSet<Vec<String>>;

/// Who writes, and which part of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Author<'a> {
    pub(crate) manager: &'a str,
    pub(crate) subresource: Option<&'static str>,
}

/// Of the metadata, only these are anybody's.
const OWNED_METADATA: [&str; 4] = ["labels", "annotations", "ownerReferences", "finalizers"];

/// Writes into `new` who owns what, after `author` has made it of `old`.
pub(crate) fn note(old: Option<&Value>, new: &mut Value, author: Author<'_>, at: &str, api_version: &str) {
    let (before, after) = (old.map(leaves).unwrap_or_default(), leaves(new));
    let had = old.map_or(&Value::Null, |old| &old["metadata"]["managedFields"]);
    let changed: Paths = after
        .iter()
        .filter(|path| old.is_none_or(|old| !before.contains(*path) || value_at(old, path) != value_at(new, path)))
        .cloned()
        .collect();
    let mut entries = Vec::new();
    let mut own = Paths::new();
    let mut own_time = at.to_owned();
    for entry in had.as_array().into_iter().flatten() {
        let mut paths = flatten(&entry["fieldsV1"]);
        paths.retain(|path| after.contains(path));
        let is_own = entry["manager"] == author.manager
            && entry["operation"] == "Update"
            && entry["subresource"].as_str() == author.subresource;
        if is_own {
            own = paths;
            if changed.is_empty() {
                entry["time"].as_str().unwrap_or(at).clone_into(&mut own_time);
            }
            continue;
        }
        paths.retain(|path| !changed.contains(path));
        if !paths.is_empty() {
            let mut entry = entry.clone();
            entry["fieldsV1"] = nest(&paths);
            entries.push(entry);
        }
    }
    own.extend(changed);
    if !own.is_empty() {
        let mut entry = json!({
            "manager": author.manager, "operation": "Update", "apiVersion": api_version, "time": own_time,
            "fieldsType": "FieldsV1", "fieldsV1": nest(&own),
        });
        if let Some(subresource) = author.subresource {
            entry["subresource"] = subresource.into();
        }
        entries.push(entry);
    }
    entries.sort_by_key(|entry| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        (text("operation"), text("time"), text("manager"), text("subresource"))
    });
    new["metadata"]["managedFields"] = entries.into();
}

/// Every field that somebody can own.
fn leaves(object: &Value) -> Paths {
    let mut paths = Paths::new();
    for (key, value) in object.as_object().into_iter().flatten() {
        match key.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => {
                for (key, value) in value.as_object().into_iter().flatten() {
                    if OWNED_METADATA.contains(&key.as_str()) {
                        let names = &mut vec!["metadata".to_owned(), key.clone()];
                        let own = vec!["f:metadata".to_owned(), format!("f:{key}")];
                        descend(value, names, own, &mut paths);
                    }
                }
            }
            _ => descend(value, &mut vec![key.clone()], vec![format!("f:{key}")], &mut paths),
        }
    }
    paths
}

fn descend(value: &Value, names: &mut Vec<String>, path: Vec<String>, paths: &mut Paths) {
    match value {
        Value::Object(fields) if !fields.is_empty() && !is_atomic(names) => {
            if names.len() > 1 && path.len() > 1 {
                paths.insert([&path[..], &[".".to_owned()]].concat());
            }
            for (key, value) in fields {
                names.push(key.clone());
                descend(value, names, [&path[..], &[format!("f:{key}")]].concat(), paths);
                names.pop();
            }
        }
        Value::Array(elements) if list_key(names).is_some() => {
            for element in elements {
                let key = list_key(names).unwrap_or_default();
                let element_path = [&path[..], &[format!("k:{}", json!({ key: element[key] }))]].concat();
                paths.insert([&element_path[..], &[".".to_owned()]].concat());
                for (field, value) in element.as_object().into_iter().flatten() {
                    names.push(field.clone());
                    descend(value, names, [&element_path[..], &[format!("f:{field}")]].concat(), paths);
                    names.pop();
                }
            }
        }
        _ => {
            paths.insert(path);
        }
    }
}

/// A selector belongs to one as a whole.
fn is_atomic(names: &[String]) -> bool {
    matches!(names.last().map(String::as_str), Some("selector" | "nodeSelector" | "resourceFieldRef"))
}

fn value_at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    let mut at = object;
    for step in path {
        if step == "." {
            // That it is there is all there is to say.
            return Some(&Value::Null);
        }
        if let Some(field) = step.strip_prefix("f:") {
            at = at.get(field)?;
        } else {
            let key: Map<String, Value> = serde_json::from_str(step.strip_prefix("k:")?).ok()?;
            let (name, value) = key.iter().next()?;
            at = at.as_array()?.iter().find(|element| element.get(name) == Some(value))?;
        }
    }
    Some(at)
}

fn nest(paths: &Paths) -> Value {
    let mut root = Value::Object(Map::new());
    for path in paths {
        let mut at = &mut root;
        for step in path {
            let Value::Object(fields) = at else { break };
            at = fields.entry(step.clone()).or_insert_with(|| Value::Object(Map::new()));
        }
    }
    root
}

fn flatten(nested: &Value) -> Paths {
    fn walk(at: &Value, path: &mut Vec<String>, paths: &mut Paths) {
        let Some(fields) = at.as_object().filter(|fields| !fields.is_empty()) else {
            if !path.is_empty() {
                paths.insert(path.clone());
            }
            return;
        };
        for (step, below) in fields {
            path.push(step.clone());
            walk(below, path, paths);
            path.pop();
        }
    }
    let mut paths = Paths::new();
    walk(nested, &mut Vec::new(), &mut paths);
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner_of_replicas(object: &Value) -> Vec<String> {
        let entries = object["metadata"]["managedFields"].as_array().unwrap().iter();
        let owning = entries.filter(|entry| !entry["fieldsV1"]["f:spec"]["f:replicas"].is_null());
        owning.map(|entry| format!("{} {}", entry["manager"], entry["subresource"])).collect()
    }

    #[test]
    fn who_changed_the_count_last_owns_it_alone() {
        let mut first = json!({ "metadata": { "name": "api", "labels": { "a": "b" } }, "spec": { "replicas": 4 } });
        note(None, &mut first, Author { manager: "kubectl-create", subresource: None }, "t1", "apps/v1");
        assert_eq!(owner_of_replicas(&first), ["\"kubectl-create\" null"]);
        let mut second = first.clone();
        second["spec"]["replicas"] = 6.into();
        note(Some(&first), &mut second, Author { manager: "scalebot-1", subresource: Some("scale") }, "t2", "apps/v1");
        assert_eq!(owner_of_replicas(&second), ["\"scalebot-1\" \"scale\""]);
        // The rest stays with whoever made it.
        let fields = &second["metadata"]["managedFields"][0];
        assert_eq!((&fields["manager"], &fields["time"]), (&json!("kubectl-create"), &json!("t1")));
        assert!(!fields["fieldsV1"]["f:metadata"]["f:labels"]["f:a"].is_null());
    }
}
