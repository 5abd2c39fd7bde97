//! Which objects a request means: by labels, by fields.

use serde_json::Value;

use super::failure::Failure;
use super::resource::Resource;

/// One requirement on a label.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// A selector of labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels(Vec<Requirement>);

impl Labels {
    /// Reads `app=api,tier in (a, b),!canary`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let unusable = || Failure::bad_request(format!("unable to parse requirement: found '{text}'"));
        let mut requirements = Vec::new();
        for part in split(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            requirements.push(if let Some((key, values)) = part.split_once(" notin ") {
                Requirement::NotIn(key.trim().to_owned(), set(values).ok_or_else(unusable)?)
            } else if let Some((key, values)) = part.split_once(" in ") {
                Requirement::In(key.trim().to_owned(), set(values).ok_or_else(unusable)?)
            } else if let Some((key, value)) = part.split_once("!=") {
                Requirement::NotIn(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some((key, value)) = part.split_once('=') {
                let value = value.strip_prefix('=').unwrap_or(value);
                Requirement::In(key.trim().to_owned(), vec![value.trim().to_owned()])
            } else if let Some(key) = part.strip_prefix('!') {
                Requirement::Absent(key.trim().to_owned())
            } else if part.contains([' ', '(', ')']) {
                return Err(unusable());
            } else {
                Requirement::Exists(part.to_owned())
            });
        }
        Ok(Self(requirements))
    }

    /// Reads a `LabelSelector` object. One that is absent selects nothing, an empty one everything.
    pub(crate) fn of(selector: &Value) -> Option<Self> {
        let selector = selector.as_object()?;
        let mut requirements = Vec::new();
        for (key, value) in selector.get("matchLabels").and_then(Value::as_object).into_iter().flatten() {
            requirements.push(Requirement::In(key.clone(), vec![value.as_str()?.to_owned()]));
        }
        for one in selector.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = one["key"].as_str()?.to_owned();
            let values = || {
                let values = one["values"].as_array().into_iter().flatten();
                values.filter_map(|value| Some(value.as_str()?.to_owned())).collect()
            };
            requirements.push(match one["operator"].as_str()? {
                "In" => Requirement::In(key, values()),
                "NotIn" => Requirement::NotIn(key, values()),
                "Exists" => Requirement::Exists(key),
                "DoesNotExist" => Requirement::Absent(key),
                _ => return None,
            });
        }
        Some(Self(requirements))
    }

    /// Whether it selects an object.
    pub(crate) fn selects(&self, object: &Value) -> bool {
        self.fits(&object["metadata"]["labels"])
    }

    /// Whether it selects something with these labels.
    pub(crate) fn fits(&self, labels: &Value) -> bool {
        let label = |key: &str| labels.get(key).and_then(Value::as_str);
        self.0.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|is| values.iter().any(|value| value == is)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|is| values.iter().all(|value| value != is)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        })
    }

    /// As a scale subresource tells it.
    pub(crate) fn text(&self) -> String {
        let told = self.0.iter().map(|requirement| match requirement {
            Requirement::In(key, values) if values.len() == 1 => format!("{key}={}", values[0]),
            Requirement::In(key, values) => format!("{key} in ({})", values.join(",")),
            Requirement::NotIn(key, values) => format!("{key} notin ({})", values.join(",")),
            Requirement::Exists(key) => key.clone(),
            Requirement::Absent(key) => format!("!{key}"),
        });
        told.collect::<Vec<_>>().join(",")
    }
}

/// Commas inside brackets separate values, not requirements.
fn split(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn set(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    Some(inside.split(',').map(|value| value.trim().to_owned()).collect())
}

/// A selector of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fields(Vec<(Vec<String>, bool, String)>);

impl Fields {
    /// Reads `metadata.name=api,status.phase!=Running`; a field by which this type cannot be selected is refused.
    pub(crate) fn parse(resource: &Resource, text: &str) -> Result<Self, Failure> {
        let mut requirements = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (field, equal, value) = if let Some((field, value)) = part.split_once("!=") {
                (field, false, value)
            } else if let Some((field, value)) = part.split_once('=') {
                (field, true, value.strip_prefix('=').unwrap_or(value))
            } else {
                let message = format!("invalid selector: '{text}'; can't understand '{part}'");
                return Err(Failure::bad_request(message));
            };
            if !known(resource).contains(&field) && !["metadata.name", "metadata.namespace"].contains(&field) {
                let message = format!(
                    "Unable to find \"{}\" that match label selector \"\", field selector \"{text}\": field label \
                     not supported: {field}",
                    resource.api_version()
                );
                return Err(Failure::bad_request(message));
            }
            requirements.push((field.split('.').map(ToOwned::to_owned).collect(), equal, value.to_owned()));
        }
        Ok(Self(requirements))
    }

    pub(crate) fn selects(&self, object: &Value) -> bool {
        self.0.iter().all(|(path, equal, wanted)| {
            let field = path.iter().fold(object, |at, step| &at[step.as_str()]);
            let is = match field {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (is == *wanted) == *equal
        })
    }
}

/// By which fields, besides its name and namespace, a type can be selected.
fn known(resource: &Resource) -> &'static [&'static str] {
    match resource.plural {
        "pods" => &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.nominatedNodeName",
        ],
        "events" => &[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        "replicasets" => &["status.replicas"],
        "nodes" => &["spec.unschedulable"],
        "namespaces" => &["status.phase"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn labels_are_selected_as_written() {
        let pod = json!({ "metadata": { "labels": { "app": "api", "tier": "back" } } });
        let selects = |text: &str| Labels::parse(text).unwrap().selects(&pod);
        assert!(selects("") && selects("app=api") && selects("app==api,tier in (front, back)") && selects("app"));
        assert!(selects("!canary,tier notin (front),canary!=yes"));
        assert!(!selects("app=web") && !selects("canary") && !selects("!app") && !selects("tier notin (back)"));
        assert_eq!(Labels::parse("app within (a)").unwrap_err().code, 400);
        let object =
            json!({ "matchLabels": { "app": "api" }, "matchExpressions": [{ "key": "x", "operator": "Exists" }] });
        assert_eq!(Labels::of(&object).unwrap().text(), "app=api,x");
        assert_eq!(Labels::of(&Value::Null), None);
    }

    #[test]
    fn a_field_that_nobody_can_select_by_is_refused() {
        let fields = Fields::parse(&super::super::resource::PODS, "spec.nodeName=one,status.phase!=Failed").unwrap();
        assert!(fields.selects(&json!({ "spec": { "nodeName": "one" }, "status": { "phase": "Running" } })));
        assert!(!fields.selects(&json!({ "spec": { "nodeName": "one" }, "status": { "phase": "Failed" } })));
        let refused = Fields::parse(&super::super::resource::PODS, "spec.image=x").unwrap_err();
        assert!(refused.message.contains("field label not supported: spec.image"), "{}", refused.message);
    }
}
