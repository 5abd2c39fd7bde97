//! Whether an exported event is what its schema says: the envelope, and the body by its kind.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use jsonschema::Validator;
use scalebot_commands::event::Kind;
use scalebot_commands::schema;
use serde_json::Value;

/// Where the schemas are committed: `<kind>.json` for each kind's body, `event.json` for the line around it.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../commands/schemas")
}

/// Every schema as the code derives it now, by its file's name.
pub fn derived() -> BTreeMap<String, Value> {
    let bodies = Kind::ALL.iter().map(|kind| (format!("{kind}.json"), schema::of(*kind).to_value()));
    bodies.chain([("event.json".to_owned(), schema::envelope().to_value())]).collect()
}

fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).expect("a derived schema is a schema")
}

static ENVELOPE: LazyLock<Validator> = LazyLock::new(|| validator(&schema::envelope().to_value()));

static BODIES: LazyLock<BTreeMap<&'static str, Validator>> =
    LazyLock::new(|| Kind::ALL.iter().map(|kind| (kind.as_str(), validator(&schema::of(*kind).to_value()))).collect());

/// Whether one line of an export, parsed, is an event as the schemas describe it.
///
/// # Errors
/// Everything that is wrong about it, each with where it stands.
pub fn validate(event_line: &Value) -> Result<(), String> {
    holds(&ENVELOPE, event_line, "")?;
    let kind = event_line["kind"].as_str().unwrap_or_default();
    if (event_line["operation"].is_null()) != (event_line["op_seq"] == 0) {
        return Err(format!("{kind}: op_seq is 0 exactly where there is no operation"));
    }
    let body = BODIES.get(kind).ok_or_else(|| format!("{kind} is no known kind"))?;
    holds(body, &event_line["body"], kind)
}

fn holds(validator: &Validator, value: &Value, kind: &str) -> Result<(), String> {
    let wrong: Vec<String> =
        validator.iter_errors(value).map(|error| format!("{kind}{}: {error}", error.instance_path())).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("; ")) }
}
