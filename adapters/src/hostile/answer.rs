//! An answer in JSON: a good one that somebody has changed in a few places, or no JSON at all.

use serde_json::{Value, json};

use super::Choices;

/// The most changes to one answer.
const CHANGES: usize = 4;

/// How deep a bomb goes. The JSON reader refuses it before that.
const DEPTH: usize = 200;

/// Makes an answer of a good one.
pub fn answer(good: &Value, choices: &mut Choices<'_>) -> Vec<u8> {
    match choices.one_of(16) {
        // Whatever it is, it is all that there is.
        0 => return choices.rest().to_vec(),
        1 => return format!("{}1{}", "[".repeat(DEPTH), "]".repeat(DEPTH)).into_bytes(),
        _ => {}
    }
    let mut value = good.clone();
    for _ in 0..choices.one_of(CHANGES + 1) {
        change(&mut value, choices);
    }
    let mut bytes = serde_json::to_vec(&value).unwrap_or_default();
    if choices.one_of(16) == 1 {
        bytes.truncate(bytes.len() / 2);
    }
    bytes
}

/// Changes it somewhere.
pub(super) fn change(value: &mut Value, choices: &mut Choices<'_>) {
    let goes_on = choices.one_of(8) > 0;
    match value {
        Value::Object(fields) if goes_on && !fields.is_empty() => {
            let at = choices.one_of(fields.len());
            let Some(name) = fields.keys().nth(at).cloned() else { return };
            match choices.one_of(12) {
                1 => {
                    fields.remove(&name);
                }
                2 => {
                    let moved = fields.remove(&name).unwrap_or_default();
                    fields.insert(choices.text(), moved);
                }
                _ => {
                    if let Some(below) = fields.get_mut(&name) {
                        change(below, choices);
                    }
                }
            }
        }
        Value::Array(all) if goes_on && !all.is_empty() => {
            let at = choices.one_of(all.len());
            match choices.one_of(12) {
                1 => {
                    all.remove(at);
                }
                2 => {
                    let again = all.get(at).cloned().unwrap_or_default();
                    all.extend(std::iter::repeat_n(again, 64));
                }
                _ => {
                    if let Some(below) = all.get_mut(at) {
                        change(below, choices);
                    }
                }
            }
        }
        other => *other = something(choices),
    }
}

fn something(choices: &mut Choices<'_>) -> Value {
    match choices.one_of(10) {
        0 => Value::Null,
        1 => json!(choices.one_of(2) == 1),
        2 => json!(choices.number()),
        3 => json!(i64::MIN),
        4 => json!(u64::MAX),
        5 => json!([]),
        6 => json!({}),
        _ => json!(choices.text()),
    }
}
