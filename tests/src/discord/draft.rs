//! The form that a message comes in: what is read of it, and each field that Discord would refuse, by its path.

mod components;
mod embeds;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::body::{Body, File};
use super::id::Snowflake;
use super::limits::{ALLOWED_MENTIONS, ATTACHMENT_DESCRIPTION, CONTENT, FILE_BYTES, FILES, NONCE, SETTABLE};
use super::refusal::{EMPTY_MESSAGE, Form, Refusal, TOO_LARGE, TOO_MANY_FILES};
use super::world::{Attachment, Message};
use components::components;
use embeds::embeds;

/// Who a message may ping.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) everyone: bool,
    pub(crate) all_users: bool,
    pub(crate) all_roles: bool,
    pub(crate) users: BTreeSet<Snowflake>,
    pub(crate) roles: BTreeSet<Snowflake>,
}

impl Allowed {
    /// Where a message says nothing about it: everybody it names.
    pub(crate) fn all() -> Self {
        Self { everyone: true, all_users: true, all_roles: true, ..Self::default() }
    }
}

/// A message as asked for. What is `None` was not mentioned, so that an edit leaves it as it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Draft {
    pub(crate) content: Option<String>,
    pub(crate) embeds: Option<Vec<Value>>,
    pub(crate) components: Option<Vec<Value>>,
    /// Files to keep from before, each with its new alternative text where one is given.
    pub(crate) keep: Option<Vec<(Snowflake, Option<String>)>>,
    pub(crate) files: Vec<Upload>,
    pub(crate) allowed: Option<Allowed>,
    pub(crate) flags: u64,
    pub(crate) nonce: Option<Value>,
    pub(crate) enforce_nonce: bool,
    pub(crate) reply_to: Option<Snowflake>,
}

/// A file that comes with a message.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) file: File,
    pub(crate) description: Option<String>,
}

/// Reads a message's form, refusing what Discord refuses. `prefix` is where it stands in the body (`data.` in an
/// interaction's callback), `before` the message that is edited.
pub(crate) fn message(
    fields: &Map<String, Value>,
    body: &Body,
    prefix: &str,
    before: Option<&Message>,
) -> Result<Draft, Refusal> {
    let mut form = Form::default();
    let at = |name: &str| format!("{prefix}{name}");
    let draft = Draft {
        content: fields.get("content").map(|value| text(&mut form, &at("content"), value, CONTENT).unwrap_or_default()),
        embeds: fields.get("embeds").map(|value| embeds(&mut form, &at("embeds"), value)),
        components: fields.get("components").map(|value| components(&mut form, &at("components"), value)),
        allowed: fields.get("allowed_mentions").and_then(|value| allowed(&mut form, &at("allowed_mentions"), value)),
        flags: fields.get("flags").and_then(Value::as_u64).unwrap_or(0) & SETTABLE,
        nonce: nonce(&mut form, &at("nonce"), fields.get("nonce")),
        enforce_nonce: fields.get("enforce_nonce").and_then(Value::as_bool).unwrap_or(false),
        reply_to: fields
            .get("message_reference")
            .and_then(|to| to["message_id"].as_str())
            .and_then(|id| id.parse().ok()),
        ..Draft::default()
    };
    let before_files = before.map_or(&[][..], |message| &message.attachments);
    let (keep, uploads) = files(&mut form, &at("attachments"), fields.get("attachments"), body, before_files)?;
    form.verdict()?;

    let draft = Draft { keep, files: uploads, ..draft };
    if draft.would_be_empty(before) {
        return Err(EMPTY_MESSAGE);
    }
    Ok(draft)
}

impl Draft {
    fn would_be_empty(&self, before: Option<&Message>) -> bool {
        let no_text = match (&self.content, before) {
            (Some(content), _) => content.is_empty(),
            (None, Some(before)) => before.content.is_empty(),
            (None, None) => true,
        };
        let none_of = |given: &Option<Vec<Value>>, had: Option<&Vec<Value>>| match (given, had) {
            (Some(given), _) => given.is_empty(),
            (None, Some(had)) => had.is_empty(),
            (None, None) => true,
        };
        let no_files = self.files.is_empty()
            && match (&self.keep, before) {
                (Some(keep), _) => keep.is_empty(),
                (None, Some(before)) => before.attachments.is_empty(),
                (None, None) => true,
            };
        no_text
            && no_files
            && none_of(&self.embeds, before.map(|before| &before.embeds))
            && none_of(&self.components, before.map(|before| &before.components))
    }
}

/// A text of at most `most` characters, the blanks around it taken off.
pub(crate) fn text(form: &mut Form, path: &str, value: &Value, most: usize) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => {
            let text = text.trim();
            if text.chars().count() > most {
                form.refuse(path, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
            }
            Some(text.to_owned())
        }
        other => {
            form.refuse(path, "STRING_TYPE_CONVERT", format!("Could not interpret \"{other}\" as string."));
            None
        }
    }
}

/// A text that has to be there, `least` to `most` characters long.
pub(crate) fn required(form: &mut Form, path: &str, value: Option<&Value>, most: usize) -> Option<String> {
    let Some(Value::String(text)) = value else {
        form.refuse(path, "BASE_TYPE_REQUIRED", "This field is required");
        return None;
    };
    let text = text.trim();
    if text.is_empty() {
        form.refuse(path, "BASE_TYPE_REQUIRED", "This field is required");
    } else if text.chars().count() > most {
        form.refuse(path, "BASE_TYPE_BAD_LENGTH", format!("Must be between 1 and {most} in length."));
    }
    Some(text.to_owned())
}

fn bounded_list<'a>(form: &mut Form, path: &str, value: &'a Value, most: usize) -> &'a [Value] {
    match value {
        Value::Null => &[],
        Value::Array(list) => {
            if list.len() > most {
                form.refuse(path, "BASE_TYPE_MAX_LENGTH", format!("Must be {most} or fewer in length."));
            }
            list
        }
        _ => {
            form.refuse(path, "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
            &[]
        }
    }
}

fn put(into: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        into.insert(name.to_owned(), value.into());
    }
}

fn allowed(form: &mut Form, path: &str, value: &Value) -> Option<Allowed> {
    let fields = value.as_object()?;
    let parse: Vec<&str> =
        fields.get("parse").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut listed = |name: &str| -> BTreeSet<Snowflake> {
        let list =
            bounded_list(form, &format!("{path}.{name}"), fields.get(name).unwrap_or(&Value::Null), ALLOWED_MENTIONS);
        if !list.is_empty() && parse.contains(&name) {
            let message = format!("parse:[\"{name}\"] and {name}: [ids...] are mutually exclusive.");
            form.refuse(path, "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE", message);
        }
        list.iter().filter_map(Value::as_str).filter_map(|id| id.parse().ok()).collect()
    };
    let (users, roles) = (listed("users"), listed("roles"));
    for (n, one) in parse.iter().enumerate() {
        if !matches!(*one, "users" | "roles" | "everyone") {
            let message = "Value must be one of ('users', 'roles', 'everyone').";
            form.refuse(&format!("{path}.parse.{n}"), "BASE_TYPE_CHOICES", message);
        }
    }
    Some(Allowed {
        everyone: parse.contains(&"everyone"),
        all_users: parse.contains(&"users"),
        all_roles: parse.contains(&"roles"),
        users,
        roles,
    })
}

fn nonce(form: &mut Form, path: &str, value: Option<&Value>) -> Option<Value> {
    let value = value.filter(|value| !value.is_null())?;
    let length = match value {
        Value::String(text) => text.chars().count(),
        Value::Number(number) if number.is_i64() || number.is_u64() => 0,
        _ => {
            form.refuse(path, "NONCE_TYPE_INVALID", "Value must be an integer or a string.");
            0
        }
    };
    if length > NONCE {
        form.refuse(path, "NONCE_TYPE_TOO_LONG", format!("Must be {NONCE} or fewer in length."));
    }
    Some(value.clone())
}

type Files = (Option<Vec<(Snowflake, Option<String>)>>, Vec<Upload>);

fn files(
    form: &mut Form,
    path: &str,
    listed: Option<&Value>,
    body: &Body,
    before: &[Attachment],
) -> Result<Files, Refusal> {
    if body.files.values().any(|file| file.bytes.len() > FILE_BYTES) {
        return Err(TOO_LARGE);
    }
    let mut keep = Vec::new();
    let mut described = std::collections::BTreeMap::new();
    for (n, one) in listed.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let path = format!("{path}.{n}");
        let id = one["id"].as_str().and_then(|id| id.parse::<u64>().ok()).or_else(|| one["id"].as_u64());
        let Some(id) = id else {
            form.refuse(
                &format!("{path}.id"),
                "NUMBER_TYPE_COERCE",
                format!("Value \"{}\" is not snowflake.", one["id"]),
            );
            continue;
        };
        let description = text(form, &format!("{path}.description"), &one["description"], ATTACHMENT_DESCRIPTION);
        if before.iter().any(|file| file.id.0 == id) {
            keep.push((Snowflake(id), description));
        } else if let Ok(n) = u32::try_from(id)
            && body.files.contains_key(&n)
        {
            described.insert(n, (description, one["filename"].as_str().map(ToOwned::to_owned)));
        } else {
            form.refuse(&format!("{path}.id"), "ATTACHMENT_NOT_FOUND", "Attachment not found.");
        }
    }
    let mut uploads = Vec::new();
    for (n, file) in &body.files {
        let (description, name) = described.remove(n).unwrap_or_default();
        let mut file = file.clone();
        file.name = name.map_or(file.name, |name| super::body::plain_name(&name));
        uploads.push(Upload { file, description: description.filter(|text| !text.is_empty()) });
    }
    let keep = listed.filter(|value| !value.is_null()).map(|_| keep);
    let kept = keep.as_ref().map_or(before.len(), Vec::len);
    if kept + uploads.len() > FILES {
        return Err(TOO_MANY_FILES);
    }
    Ok((keep, uploads))
}
