//! The scale subresource: the count and nothing else.

use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::managed::Author;
use super::super::merge::merge;
use super::super::selector::Labels;
use super::super::state::State;
use super::super::store::Part;
use super::path::Target;
use super::write::{is_merge, json_body};
use super::{Answer, Asked, admit, found};

pub(super) fn answer(state: &mut State, asked: &Asked<'_>, target: &Target<'_>, verb: &str) -> Result<Answer, Failure> {
    let (key, object) = found(state, target)?;
    let now = scale_of(&object);
    let mut wanted = match verb {
        "get" => return Ok(Answer::Object(200, now)),
        "update" => json_body(asked)?,
        _ => {
            is_merge(asked)?;
            let mut wanted = now.clone();
            merge(&mut wanted, &json_body(asked)?);
            wanted
        }
    };
    let name = &key.name;
    if wanted["metadata"]["name"].as_str().is_some_and(|other| other != name) {
        let message = format!(
            "the name of the object ({}) does not match the name on the URL ({name})",
            wanted["metadata"]["name"]
        );
        return Err(Failure::bad_request(message));
    }
    let replicas = match &wanted["spec"]["replicas"] {
        // A count that is not said is none.
        Value::Null => 0,
        Value::Number(number) => number.as_i64().filter(|count| i32::try_from(*count).is_ok()).ok_or_else(|| {
            Failure::bad_request(format!(
                "json: cannot unmarshal number {number} into Go struct field ScaleSpec.spec.replicas of type int32"
            ))
        })?,
        _ => {
            return Err(Failure::bad_request(
                "json: cannot unmarshal string into Go struct field ScaleSpec.spec.replicas of type int32",
            ));
        }
    };
    if replicas < 0 {
        let why = format!("Invalid value: {replicas}: must be greater than or equal to 0");
        return Err(Failure::invalid("Scale.autoscaling", name, "spec.replicas", &why));
    }
    let mut new = object.clone();
    new["spec"]["replicas"] = replicas.into();
    new["metadata"]["resourceVersion"] = wanted["metadata"]["resourceVersion"].take();
    new["metadata"]["uid"] = wanted["metadata"]["uid"].take();
    // A patch without a version is one of what is there now.
    admit(state, asked, target, Some(&object), &new, "UPDATE")?;
    let author = Author { manager: &asked.manager, subresource: Some("scale") };
    let done = if asked.query.contains_key("dryRun") {
        new
    } else {
        state.store.update(target.resource, &key, new, Part::Main, author)?
    };
    Ok(Answer::Object(200, scale_of(&done)))
}

fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let selector = Labels::of(&object["spec"]["selector"]).map(|labels| labels.text()).unwrap_or_default();
    json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": { "replicas": object["spec"]["replicas"].as_i64().unwrap_or(0) },
        "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector },
    })
}
