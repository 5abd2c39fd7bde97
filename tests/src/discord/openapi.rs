//! Discord's own description of its API, against which each request of a bot and each answer of the double is held. It
//! is not part of this project: it is read from beside the checkout, or from where `SCALEBOT_DISCORD_OPENAPI` says.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use serde_json::{Value, json};

use super::record::Request;

/// Routes of Discord that the description, cut down as it is, does not have.
const NOT_DESCRIBED: &[&str] = &["/users/@me/channels"];

struct Description {
    document: Value,
    validators: Mutex<HashMap<String, Arc<Validator>>>,
}

fn place() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/discord/openapi.json");
    std::env::var_os("SCALEBOT_DISCORD_OPENAPI").map_or(beside, PathBuf::from)
}

fn description() -> Option<&'static Description> {
    static DESCRIPTION: OnceLock<Option<Description>> = OnceLock::new();
    let demanded = || {
        let named = std::env::var_os("SCALEBOT_DISCORD_OPENAPI").is_some();
        named || std::env::var("CI").is_ok_and(|ci| ci == "true")
    };
    DESCRIPTION.get_or_init(|| read(&place(), demanded())).as_ref()
}

/// Reads the description. Where it is not demanded and not there, that is said once.
fn read(place: &Path, demanded: bool) -> Option<Description> {
    let text = match std::fs::read_to_string(place) {
        Ok(text) => text,
        Err(error) => {
            assert!(!demanded, "Discord's description is needed at {}: {error}", place.display());
            // Not by a macro: what those print is kept from people while tests pass.
            let _ = writeln!(
                std::io::stderr(),
                "Not validated against Discord's own description: there is none at {}. \
                 SCALEBOT_DISCORD_OPENAPI says where it is.",
                place.display()
            );
            return None;
        }
    };
    let document = serde_json::from_str(&text).expect("Discord's description is JSON");
    Some(Description { document, validators: Mutex::new(HashMap::new()) })
}

/// Whether requests are held against the description in this run.
pub fn is_validated() -> bool {
    description().is_some()
}

/// What is wrong about a request and its answer, in words; nothing where there is no description.
pub(crate) fn mismatches(request: &Request) -> Vec<String> {
    let Some(description) = description() else { return Vec::new() };
    let Some(route) = request.route else { return Vec::new() };
    if NOT_DESCRIBED.contains(&route) || request.out_of_service {
        return Vec::new();
    }
    let method = request.method.as_str().to_ascii_lowercase();
    let operation = &description.document["paths"][route][&method];
    if operation.is_null() {
        return vec![format!("{}: not in Discord's description", request.name())];
    }
    // What Discord refused is described by the refusal.
    let accepted = (200..300).contains(&request.status);
    let mut wrong = if accepted { description.of_request(request, operation) } else { Vec::new() };
    wrong.extend(description.of_answer(request, operation));
    wrong.into_iter().map(|what| format!("{}: {what}", request.name())).collect()
}

impl Description {
    fn of_request(&self, request: &Request, operation: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
        for (name, value) in &request.query {
            let Some(known) = parameters.iter().find(|one| one["in"] == "query" && one["name"] == name.as_str()) else {
                wrong.push(format!("no parameter is called {name}"));
                continue;
            };
            // A parameter is text; whether it is a number or a yes or no is said by its schema.
            let read: Value = serde_json::from_str(value).unwrap_or_else(|_| json!(value));
            let key = format!("{}?{name}", request.name());
            let either = [json!(value), read].iter().any(|value| self.faults(&key, &known["schema"], value).is_empty());
            if !either {
                wrong.push(format!("{name}={value} is not what the parameter takes"));
            }
        }
        let content = &operation["requestBody"]["content"];
        match request.media.name() {
            None if operation["requestBody"]["required"] == true => wrong.push("a body is missing".to_owned()),
            None => {}
            Some(media) if content[media].is_null() => wrong.push(format!("a body of {media} is not taken")),
            Some(media) => {
                let key = format!("{} {media}", request.name());
                let sent = as_described(&request.body);
                wrong.extend(self.faults(&key, &content[media]["schema"], &sent));
            }
        }
        wrong
    }

    fn of_answer(&self, request: &Request, operation: &Value) -> Vec<String> {
        let responses = &operation["responses"];
        let exact = request.status.to_string();
        let class = format!("{}XX", request.status / 100);
        let Some((name, response)) = [exact, class]
            .into_iter()
            .map(|name| (name.clone(), &responses[name.as_str()]))
            .find(|(_, one)| !one.is_null())
        else {
            return vec![format!("status {} is not described", request.status)];
        };
        let response = match response["$ref"].as_str() {
            Some(path) => self.document.pointer(path.trim_start_matches('#')).unwrap_or(&Value::Null),
            None => response,
        };
        let schema = &response["content"]["application/json"]["schema"];
        if schema.is_null() {
            let silent = request.answer.is_null();
            return if silent { Vec::new() } else { vec![format!("an answer with status {name} has no body")] };
        }
        let key = format!("{} -> {name}", request.name());
        self.faults(&key, schema, &with_numbered_errors(&request.answer))
            .into_iter()
            .map(|what| format!("answered {name}: {what}"))
            .collect()
    }

    fn faults(&self, key: &str, schema: &Value, value: &Value) -> Vec<String> {
        let validator = self.validator(key, schema);
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }

    /// The validator of a schema inside the document, compiled once.
    fn validator(&self, key: &str, schema: &Value) -> Arc<Validator> {
        let mut known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        let compiled = known.entry(key.to_owned()).or_insert_with(|| {
            let whole = json!({
                "$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": self.document["components"],
                "allOf": [schema],
            });
            let built = jsonschema::options().should_validate_formats(true).build(&whole);
            Arc::new(built.expect("a schema of Discord's description is a schema"))
        });
        Arc::clone(compiled)
    }
}

/// The description has the codes inside `errors` as numbers where Discord writes words (`BASE_TYPE_REQUIRED`).
fn with_numbered_errors(answer: &Value) -> Value {
    fn numbered(errors: &mut Value) {
        match errors {
            Value::Array(list) => list.iter_mut().for_each(|one| one["code"] = json!(0)),
            Value::Object(fields) => fields.values_mut().for_each(numbered),
            _ => {}
        }
    }
    let mut answer = answer.clone();
    if let Some(errors) = answer.get_mut("errors").filter(|errors| errors.is_object()) {
        numbered(errors);
    }
    answer
}

/// The description has permissions as numbers where Discord's documentation has them as text and takes both.
fn as_described(body: &Value) -> Value {
    match body {
        Value::Array(list) => list.iter().map(as_described).collect(),
        Value::Object(fields) => {
            let mut fields = fields.clone();
            if let Some(needed) = fields.get_mut("default_member_permissions")
                && let Some(number) = needed.as_str().and_then(|text| text.parse::<u64>().ok())
            {
                *needed = json!(number);
            }
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_description_nothing_is_validated() {
        assert!(read(Path::new("/nowhere/openapi.json"), false).is_none());
    }

    #[test]
    #[should_panic(expected = "Discord's description is needed at /nowhere/openapi.json")]
    fn where_it_is_demanded_its_absence_fails() {
        read(Path::new("/nowhere/openapi.json"), true);
    }
}
