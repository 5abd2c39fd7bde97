//! The committed schemas are what the code writes: derived from it, and held against what it wrote, field by field.
//!
//! After a change of an event, `SCALEBOT_WRITE_SCHEMAS=1 cargo test -p scalebot-tests --test schemas` writes them anew.

// Whatever a test meets and did not expect should stop it right there.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use scalebot_commands::event::Kind;
use scalebot_simulator as sim;
use scalebot_tests::schemas::{derived, folder, validate};
use serde_json::{Value, json};

#[test]
fn the_committed_schemas_are_what_the_code_derives_now() {
    let derived: BTreeMap<String, String> = derived()
        .into_iter()
        .map(|(name, schema)| (name, serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"))
        .collect();
    if std::env::var_os("SCALEBOT_WRITE_SCHEMAS").is_some() {
        std::fs::create_dir_all(folder()).expect("the folder can be made");
        for (name, text) in &derived {
            std::fs::write(folder().join(name), text).expect("a schema can be written");
        }
    }
    let files = std::fs::read_dir(folder()).expect("the folder is there");
    let committed: BTreeMap<String, String> = files
        .map(|file| {
            let file = file.expect("the folder can be read");
            let text = std::fs::read_to_string(file.path()).expect("a schema can be read");
            (file.file_name().into_string().expect("a plain name"), text)
        })
        .collect();
    let names = |of: &BTreeMap<String, String>| of.keys().cloned().collect::<BTreeSet<_>>();
    let how = "SCALEBOT_WRITE_SCHEMAS=1 cargo test -p scalebot-tests --test schemas";
    assert_eq!(names(&committed), names(&derived), "write them anew: {how}; and delete those of no kind");
    for (name, text) in derived {
        assert!(committed[&name] == text, "{name} is not what the code derives now. Write it anew: {how}");
    }
}

/// What no simulated bot comes to: it is changed by nobody, and what goes on beside its operations is rare.
const BY_HAND: [Kind; 8] = [
    Kind::Parked,
    Kind::Abandoned,
    Kind::WitnessGap,
    Kind::Acknowledged,
    Kind::Reescalated,
    Kind::Proposed,
    Kind::FollowUpClosed,
    Kind::Dismissed,
];

/// Lines of every kind, as the code itself wrote them.
fn lines() -> BTreeMap<String, Vec<Value>> {
    const OF_EACH: usize = 12;
    const AT_LEAST: u64 = 500;
    const AT_MOST: u64 = 5_000;
    let mut missing: BTreeSet<&str> =
        Kind::ALL.iter().filter(|kind| !BY_HAND.contains(kind)).map(|kind| kind.as_str()).collect();
    let mut lines: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for seed in 0..AT_MOST {
        if seed >= AT_LEAST && missing.is_empty() {
            break;
        }
        for event in sim::run(seed).events {
            missing.remove(event.kind.as_str());
            let of_kind = lines.entry(event.kind.clone()).or_default();
            if of_kind.len() < OF_EACH {
                of_kind.push(serde_json::from_str(&event.line()).expect("a line is JSON"));
            }
        }
    }
    let example = lines["resumed"][0].clone();
    for (kind, body) in [
        (Kind::Parked, json!({ "reason": "event 3 cannot be read by this version" })),
        (Kind::Abandoned, json!({ "by": "host:dana", "reason": "it hangs" })),
    ] {
        let mut line = example.clone();
        line["kind"] = kind.as_str().into();
        line["body"] = body;
        lines.insert(kind.as_str().to_owned(), vec![line]);
    }
    // What goes on beside operations belongs to none.
    for (kind, body) in [
        (
            Kind::WitnessGap,
            json!({
                "newest": { "first": 8, "last": 9, "hash": "0".repeat(64) },
                "by": "host:dana",
                "reason": "the disk is gone",
            }),
        ),
        (Kind::Acknowledged, json!({ "escalation": 7, "operation": "op-1", "by": "architect" })),
        (Kind::Reescalated, json!({ "escalation": 7, "operation": "op-1", "hop": 2, "to": "system_architect" })),
        (
            Kind::Proposed,
            json!({
                "proposal": "p-1", "target": "api", "trigger": "latency", "because": "p99 912 ms, limit 500 ms",
                "from": 4, "to": 6
            }),
        ),
        (Kind::FollowUpClosed, json!({ "follow_up": 9, "by": "operator", "because": "Done." })),
        (Kind::Dismissed, json!({ "proposal": "p-1", "trigger": "latency", "by": "operator" })),
    ] {
        let mut line = example.clone();
        (line["kind"], line["body"]) = (kind.as_str().into(), body);
        (line["operation"], line["op_seq"]) = (Value::Null, 0.into());
        lines.insert(kind.as_str().to_owned(), vec![line]);
    }
    lines
}

/// Every place in a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                places(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

/// The line with `change` made at that place.
fn changed(line: &Value, place: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut line = line.clone();
    change(line.pointer_mut(place).expect("a place of that line"));
    line
}

#[test]
fn every_kind_is_accepted_as_written_and_refused_with_any_field_more_less_or_of_another_type() {
    let lines = lines();
    let missing: Vec<&str> =
        Kind::ALL.iter().map(|kind| kind.as_str()).filter(|kind| !lines.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "no simulated scenario comes to {missing:?}");
    for (kind, line) in lines.iter().flat_map(|(kind, lines)| lines.iter().map(move |line| (kind, line))) {
        assert_eq!(validate(line), Ok(()), "{line}");
        let mut all = Vec::new();
        places(line, "", &mut all);
        for place in all {
            let refused = |what: &str, line: &Value| {
                assert!(validate(line).is_err(), "{kind}: {what} at \"{place}\" is accepted: {line}");
            };
            let value = line.pointer(&place).expect("a place of that line");
            // A map takes any name, and so does what it holds; it is told by its values.
            let is_map = place.ends_with("/statuses");
            if let Value::Object(fields) = value {
                refused("a field that is not there", &changed(line, &place, |value| value["unheard_of"] = json!(1)));
                for name in fields.keys().filter(|_| !is_map) {
                    let less = changed(line, &place, |value| {
                        value.as_object_mut().and_then(|fields| fields.remove(name));
                    });
                    refused(&format!("a missing {name}"), &less);
                }
            }
            let other = match value {
                Value::String(_) | Value::Null => json!({ "unheard_of": 1 }),
                Value::Number(_) | Value::Bool(_) | Value::Array(_) => json!("words"),
                Value::Object(_) => json!([1]),
            };
            refused("another type", &changed(line, &place, |value| *value = other));
            if value.is_u64() {
                refused("a number below zero", &changed(line, &place, |value| *value = json!(-1)));
            }
        }
    }
}

#[test]
fn a_line_that_is_no_event_is_refused_with_where() {
    let line = &lines()["finished"][0];
    for (field, wrong) in [
        ("at", json!("yesterday")),
        ("at", json!("2026-01-08T03:00:00+01:00")),
        ("hash", json!("ABC")),
        ("kind", json!("unheard_of")),
        ("seq", json!(0)),
        ("op_seq", json!(0)),
        ("operation", Value::Null),
        ("body", Value::Null),
    ] {
        let mut line = line.clone();
        line[field] = wrong;
        let why = validate(&line).expect_err(field);
        assert!(why.contains(field), "{field}: {why}");
    }
    for no_line in [json!(null), json!([]), json!({}), json!("finished")] {
        assert!(validate(&no_line).is_err(), "{no_line}");
    }
}
