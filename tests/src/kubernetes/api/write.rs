//! Making, changing and deleting objects.

use serde_json::Value;

use super::super::admission;
use super::super::failure::Failure;
use super::super::managed::Author;
use super::super::merge::{merge, strategic};
use super::super::resource::{NAMESPACES, PODS};
use super::super::state::State;
use super::super::store::{Key, Part, Which};
use super::path::Target;
use super::{Answer, Asked, admit, found};

pub(super) fn json_body(asked: &Asked<'_>) -> Result<Value, Failure> {
    // Of the encodings of the real server, the double knows the two that people read.
    if asked.content_type.contains("protobuf") {
        return Err(unsupported());
    }
    let text = String::from_utf8_lossy(&asked.body);
    if asked.content_type.contains("yaml") {
        return serde_saphyr::from_str(&text).map_err(|error| Failure::bad_request(error.to_string()));
    }
    serde_json::from_str(&text)
        .map_err(|error| Failure::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

/// Only a merge patch, of either kind, is one that a scale understands.
pub(super) fn is_merge(asked: &Asked<'_>) -> Result<(), Failure> {
    match asked.content_type.split(';').next().unwrap_or_default().trim() {
        "application/merge-patch+json" | "application/strategic-merge-patch+json" => Ok(()),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> Failure {
    let message = "the body of the request was in an unknown format - accepted media types include: \
                   application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
    Failure::new(415, "UnsupportedMediaType", message)
}

pub(super) fn create(state: &mut State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let mut object = json_body(asked)?;
    let resource = target.resource;
    if object["kind"].as_str().is_some_and(|kind| kind != resource.kind) {
        let message =
            format!("the API version in the data ({}) does not match the expected API version", object["kind"]);
        return Err(Failure::bad_request(message));
    }
    if resource.namespaced {
        if object["metadata"]["namespace"].as_str().is_some_and(|other| other != target.namespace) {
            return Err(Failure::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        object["metadata"]["namespace"] = target.namespace.into();
        if state.store.get(&Key::new(&NAMESPACES, "", target.namespace)).is_none() {
            return Err(Failure::not_found(&NAMESPACES, target.namespace));
        }
    }
    if *resource == PODS {
        admission::limit_ranges(&state.store, &mut object);
    }
    admit(state, asked, target, None, &object, "CREATE")?;
    if *resource == PODS {
        admission::quotas(&state.store, &object)?;
    }
    let author = Author { manager: &asked.manager, subresource: None };
    Ok(Answer::Object(201, state.store.create(resource, object, author)?))
}

pub(super) fn change(state: &mut State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let (key, old) = found(state, target)?;
    let resource = target.resource;
    let body = json_body(asked)?;
    let new = if asked.method == axum::http::Method::PUT {
        if body["metadata"]["name"].as_str() != Some(&key.name) {
            let message = format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                body["metadata"]["name"].as_str().unwrap_or_default(),
                key.name
            );
            return Err(Failure::bad_request(message));
        }
        body
    } else {
        let mut patched = old.clone();
        // What a patch does not say about versions is whatever is there.
        let wanted = &body["metadata"]["resourceVersion"];
        if !wanted.is_null() && *wanted != old["metadata"]["resourceVersion"] {
            return Err(Failure::stale(resource, &key.name));
        }
        match asked.content_type.split(';').next().unwrap_or_default().trim() {
            "application/merge-patch+json" => merge(&mut patched, &body),
            "application/strategic-merge-patch+json" if !resource.custom => {
                strategic(&mut patched, &body, &mut Vec::new());
            }
            _ => return Err(unsupported()),
        }
        patched
    };
    let part = if target.subresource == Some("status") { Part::Status } else { Part::Main };
    if part == Part::Main {
        unchangeable(resource.kind, &key, &old, &new)?;
    }
    admit(state, asked, target, Some(&old), &new, "UPDATE")?;
    let author = Author { manager: &asked.manager, subresource: (part == Part::Status).then_some("status") };
    if asked.query.contains_key("dryRun") {
        return Ok(Answer::Object(200, new));
    }
    Ok(Answer::Object(200, state.store.update(resource, &key, new, part, author)?))
}

/// What nobody can change in an object that there is, and what no object can have.
fn unchangeable(kind: &str, key: &Key, old: &Value, new: &Value) -> Result<(), Failure> {
    let resource = key.type_of();
    let refuse = |field: &str, why: &str| Err(Failure::invalid(&resource.qualified_kind(), &key.name, field, why));
    match kind {
        "Deployment" | "ReplicaSet" | "StatefulSet" => {
            if let Some(count) = new["spec"]["replicas"].as_i64().filter(|count| *count < 0) {
                let why = format!("Invalid value: {count}: must be greater than or equal to 0");
                return refuse("spec.replicas", &why);
            }
            if old["spec"]["selector"] != new["spec"]["selector"] {
                return refuse("spec.selector", "Invalid value: field is immutable");
            }
            let selector = super::super::selector::Labels::of(&new["spec"]["selector"]).unwrap_or_default();
            if !selector.selects(&new["spec"]["template"]) {
                let why = "Invalid value: `selector` does not match template `labels`";
                return refuse("spec.template.metadata.labels", why);
            }
        }
        "Pod" => {
            let bare = |pod: &Value| {
                let mut spec = pod["spec"].clone();
                for container in spec["containers"].as_array_mut().into_iter().flatten() {
                    container["image"] = Value::Null;
                }
                for field in ["activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds"] {
                    spec[field] = Value::Null;
                }
                spec
            };
            if bare(old) != bare(new) {
                let why = "Forbidden: pod updates may not change fields other than \
                           `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,\
                           `spec.tolerations` (only additions to existing tolerations),\
                           `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
                return refuse("spec", why);
            }
        }
        "HorizontalPodAutoscaler" => {
            let (least, most) = (&new["spec"]["minReplicas"], &new["spec"]["maxReplicas"]);
            if least.as_i64() > most.as_i64() {
                let why = format!("Invalid value: {most}: must be greater than or equal to `minReplicas`");
                return refuse("spec.maxReplicas", &why);
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn delete(state: &mut State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let (key, object) = found(state, target)?;
    let options: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    for (field, wrong) in [("uid", "UID"), ("resourceVersion", "ResourceVersion")] {
        let (wanted, is) = (&options["preconditions"][field], &object["metadata"][field]);
        if !wanted.is_null() && wanted != is {
            let (wanted, is) = (wanted.as_str().unwrap_or_default(), is.as_str().unwrap_or_default());
            let why = format!(
                "the {wrong} in the precondition ({wanted}) does not match the {wrong} in record ({is}). The object might have been deleted and then recreated"
            );
            return Err(Failure::conflict(target.resource, &key.name, &why));
        }
    }
    admit(state, asked, target, Some(&object), &Value::Null, "DELETE")?;
    let grace = options["gracePeriodSeconds"].as_u64();
    let grace = grace.or_else(|| asked.query.get("gracePeriodSeconds").and_then(|text| text.parse().ok()));
    Ok(Answer::Object(200, state.store.delete(target.resource, &key, grace)?))
}

pub(super) fn delete_all(state: &mut State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let text = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let which = Which {
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.to_owned()),
        labels: super::super::selector::Labels::parse(text("labelSelector"))?,
        fields: super::super::selector::Fields::parse(target.resource, text("fieldSelector"))?,
    };
    let all: Vec<Key> = state
        .store
        .all(target.resource)
        .filter(|(key, object)| which.selects(key, object))
        .map(|(key, _)| key.clone())
        .collect();
    for key in all {
        state.store.delete(target.resource, &key, None)?;
    }
    Ok(Answer::Object(
        200,
        serde_json::json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success" }),
    ))
}
