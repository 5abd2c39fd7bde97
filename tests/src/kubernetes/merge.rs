//! The patches that the API server understands: JSON merge patch (RFC 7396) and the strategic one.

use serde_json::{Map, Value};

/// By which key the elements of a list are known, where they are known by one.
pub(crate) fn list_key(path: &[String]) -> Option<&'static str> {
    let field = path.last()?.as_str();
    let parent = path.len().checked_sub(2).map_or("", |at| path[at].as_str());
    Some(match field {
        "containers"
        | "initContainers"
        | "ephemeralContainers"
        | "env"
        | "volumes"
        | "imagePullSecrets"
        | "containerStatuses" => "name",
        "volumeMounts" => "mountPath",
        "conditions" => "type",
        "ownerReferences" => "uid",
        "podIPs" | "hostIPs" => "ip",
        "topologySpreadConstraints" => "topologyKey",
        "ports" if parent == "spec" => "port",
        "ports" => "containerPort",
        _ => return None,
    })
}

/// RFC 7396.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    let target = as_object(target);
    for (key, value) in patch {
        if value.is_null() {
            target.remove(key);
        } else {
            merge(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// The strategic merge: as RFC 7396, but lists whose elements have a key are merged element by element.
pub(crate) fn strategic(target: &mut Value, patch: &Value, at: &mut Vec<String>) {
    match patch {
        Value::Object(patch) => {
            if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
                *target = patch.clone().into();
                as_object(target).remove("$patch");
                return;
            }
            let target = as_object(target);
            for (key, value) in patch {
                if key.starts_with('$') {
                    // The order and the deletion of plain elements: nothing here depends on either.
                    continue;
                }
                if value.is_null() {
                    target.remove(key);
                    continue;
                }
                at.push(key.clone());
                strategic(target.entry(key.clone()).or_insert(Value::Null), value, at);
                at.pop();
            }
        }
        Value::Array(elements) => match list_key(at) {
            Some(key) if target.is_array() => {
                let Value::Array(into) = target else { return };
                for element in elements {
                    let same = |one: &Value| !element[key].is_null() && one[key] == element[key];
                    let place = into.iter().position(same);
                    if element["$patch"] == "delete" {
                        if let Some(place) = place {
                            into.remove(place);
                        }
                    } else if let Some(place) = place {
                        strategic(&mut into[place], element, at);
                    } else {
                        into.push(element.clone());
                    }
                }
            }
            _ => *target = patch.clone(),
        },
        _ => *target = patch.clone(),
    }
}

fn as_object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_merge_patch_is_as_the_rfc_says() {
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, result, "{target} {patch}");
        }
    }

    #[test]
    fn a_strategic_patch_changes_the_one_container() {
        let mut target =
            json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "1" }] } });
        let patch =
            json!({ "spec": { "$setElementOrder/containers": [], "containers": [{ "name": "b", "image": "2" }] } });
        strategic(&mut target, &patch, &mut Vec::new());
        let wanted =
            json!({ "spec": { "containers": [{ "name": "a", "image": "1" }, { "name": "b", "image": "2" }] } });
        assert_eq!(target, wanted);
    }
}
