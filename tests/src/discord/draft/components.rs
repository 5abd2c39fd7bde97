//! Rows of buttons and select menus.

use std::collections::BTreeSet;

use serde_json::Value;

use super::embeds::link;
use super::{bounded_list, required, text};
use crate::discord::limits::{BUTTON_LABEL, CUSTOM_ID, ROWS, SELECT_OPTIONS, SELECT_PLACEHOLDER, SELECT_TEXT};
use crate::discord::refusal::Form;

pub(super) fn components(form: &mut Form, path: &str, value: &Value) -> Vec<Value> {
    let rows: &[Value] = match value {
        Value::Null => &[],
        Value::Array(rows) => rows,
        _ => bounded_list(form, path, value, ROWS),
    };
    if rows.len() > ROWS {
        form.refuse(path, "BASE_TYPE_BAD_LENGTH", format!("Must be between 1 and {ROWS} in length."));
    }
    let mut known = BTreeSet::new();
    // Discord numbers components itself where the sender does not.
    let mut number = 0;
    let mut next = || {
        number += 1;
        number
    };
    rows.iter()
        .enumerate()
        .map(|(n, row)| {
            let path = format!("{path}.{n}");
            if row["type"] != 1 {
                form.refuse(
                    &format!("{path}.type"),
                    "UNION_TYPE_CHOICES",
                    "Value of field \"type\" must be one of (1,).",
                );
            }
            let id = next();
            let inner = row["components"].as_array().map_or(&[][..], Vec::as_slice);
            if inner.is_empty() || inner.len() > ROWS {
                let message = format!("Must be between 1 and {ROWS} in length.");
                form.refuse(&format!("{path}.components"), "BASE_TYPE_BAD_LENGTH", message);
            }
            let inner: Vec<Value> = inner
                .iter()
                .enumerate()
                .map(|(n, one)| component(form, &format!("{path}.components.{n}"), one, next(), &mut known))
                .collect();
            serde_json::json!({ "type": 1, "id": id, "components": inner })
        })
        .collect()
}

fn component(form: &mut Form, path: &str, value: &Value, id: u32, known: &mut BTreeSet<String>) -> Value {
    let mut component = value.as_object().cloned().unwrap_or_default();
    component.retain(|_, value| !value.is_null());
    component.insert("id".into(), id.into());
    let kind = value["type"].as_u64().unwrap_or(0);
    let style = value["style"].as_u64().unwrap_or(0);
    if kind == 2 {
        if !(1..=5).contains(&style) {
            form.refuse(&format!("{path}.style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2, 3, 4, 5, 6}.");
        }
        let label = text(form, &format!("{path}.label"), &value["label"], BUTTON_LABEL).unwrap_or_default();
        if label.is_empty() && value["emoji"].is_null() {
            form.refuse(&format!("{path}.label"), "BASE_TYPE_REQUIRED", "This field is required");
        }
        if style == 5 {
            let words = required(form, &format!("{path}.url"), value.get("url"), 512);
            if words.is_some() {
                link(form, &format!("{path}.url"), &value["url"], false);
            }
            if !value["custom_id"].is_null() {
                let message = "A custom id and url cannot both be specified";
                form.refuse(path, "BUTTON_COMPONENT_CUSTOM_ID_URL_MUTUALLY_EXCLUSIVE", message);
            }
            return Value::Object(component);
        }
    } else if (3..=8).contains(&kind) && kind != 4 {
        text(form, &format!("{path}.placeholder"), &value["placeholder"], SELECT_PLACEHOLDER);
        component.entry("min_values").or_insert(1.into());
        component.entry("max_values").or_insert(1.into());
        if kind == 3 {
            choices(form, &format!("{path}.options"), &value["options"]);
        }
    } else {
        let message = "Value of field \"type\" must be one of (2, 3, 5, 6, 7, 8).";
        form.refuse(&format!("{path}.type"), "UNION_TYPE_CHOICES", message);
        return Value::Object(component);
    }
    if let Some(custom_id) = required(form, &format!("{path}.custom_id"), value.get("custom_id"), CUSTOM_ID)
        && !known.insert(custom_id)
    {
        let message = "Component custom id cannot be duplicated";
        form.refuse(&format!("{path}.custom_id"), "COMPONENT_CUSTOM_ID_DUPLICATED", message);
    }
    Value::Object(component)
}

fn choices(form: &mut Form, path: &str, value: &Value) {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    if list.is_empty() || list.len() > SELECT_OPTIONS {
        form.refuse(path, "BASE_TYPE_BAD_LENGTH", format!("Must be between 1 and {SELECT_OPTIONS} in length."));
    }
    let mut known = BTreeSet::new();
    for (n, one) in list.iter().enumerate() {
        required(form, &format!("{path}.{n}.label"), one.get("label"), SELECT_TEXT);
        text(form, &format!("{path}.{n}.description"), &one["description"], SELECT_TEXT);
        if let Some(value) = required(form, &format!("{path}.{n}.value"), one.get("value"), SELECT_TEXT)
            && !known.insert(value)
        {
            let message = "The specified option value is already used";
            form.refuse(&format!("{path}.{n}.value"), "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message);
        }
    }
}
