//! Every bound of a message, and the form that a message comes in: what is read of it, and each field that Discord would
//! refuse, by its path. Lengths are counted in Unicode code points, after the blanks around have been taken off.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::body::{Body, File};
use super::id::Snowflake;
use super::refusal::{EMPTY_MESSAGE, Form, Refusal, TOO_LARGE, TOO_MANY_FILES};
use super::world::{Attachment, Message};

/// Characters in a message.
pub const CONTENT: usize = 2000;
/// Embeds in a message.
pub const EMBEDS: usize = 10;
/// Characters in an embed's title.
pub const EMBED_TITLE: usize = 256;
/// Characters in an embed's description.
pub const EMBED_DESCRIPTION: usize = 4096;
/// Fields of an embed.
pub const EMBED_FIELDS: usize = 25;
/// Characters in a field's name.
pub const FIELD_NAME: usize = 256;
/// Characters in a field's value.
pub const FIELD_VALUE: usize = 1024;
/// Characters in a footer.
pub const EMBED_FOOTER: usize = 2048;
/// Characters in an author's name.
pub const EMBED_AUTHOR: usize = 256;
/// Characters over all embeds of a message.
pub const EMBED_TOTAL: usize = 6000;
/// Characters in a link.
pub const URL: usize = 2048;
/// Rows of buttons, and buttons in a row.
pub const ROWS: usize = 5;
/// Characters in a component's own identifier.
pub const CUSTOM_ID: usize = 100;
/// Characters on a button.
pub const BUTTON_LABEL: usize = 80;
/// Choices of a select menu.
pub const SELECT_OPTIONS: usize = 25;
/// Characters in a choice's label, value, description.
pub const SELECT_TEXT: usize = 100;
/// Characters in a placeholder of a select menu.
pub const SELECT_PLACEHOLDER: usize = 150;
/// Characters of an attachment's alternative text.
pub const ATTACHMENT_DESCRIPTION: usize = 1024;
/// Files in a message.
pub const FILES: usize = 10;
/// Bytes of one file, in a server that nobody boosts.
pub const FILE_BYTES: usize = 10 * 1024 * 1024;
/// Characters in a nonce.
pub const NONCE: usize = 25;
/// Distinct reactions on a message.
pub const REACTIONS: usize = 20;
/// Roles or people that may be named as mentionable.
pub const ALLOWED_MENTIONS: usize = 100;

/// Flag of a message: only the person who asked sees it.
pub const EPHEMERAL: u64 = 1 << 6;
/// Flag of a message: "is thinking…".
pub const LOADING: u64 = 1 << 7;
/// Flag of a message: a thread was started from it.
pub const HAS_THREAD: u64 = 1 << 5;
/// Flags that a sender may set.
const SETTABLE: u64 = (1 << 2) | EPHEMERAL | (1 << 12);

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

fn embeds(form: &mut Form, path: &str, value: &Value) -> Vec<Value> {
    let mut total = 0;
    let list = bounded_list(form, path, value, EMBEDS);
    let read: Vec<Value> =
        list.iter().enumerate().map(|(n, one)| embed(form, &format!("{path}.{n}"), one, &mut total)).collect();
    if total > EMBED_TOTAL {
        let message = format!("Embed size exceeds maximum size of {EMBED_TOTAL}");
        form.refuse(path, "MAX_EMBED_SIZE_EXCEEDED", message);
    }
    read
}

fn embed(form: &mut Form, path: &str, value: &Value, total: &mut usize) -> Value {
    let mut embed = Map::new();
    let mut counted = |text: Option<String>| {
        let text = text.filter(|text| !text.is_empty())?;
        *total += text.chars().count();
        Some(text)
    };
    put(&mut embed, "title", counted(text(form, &format!("{path}.title"), &value["title"], EMBED_TITLE)));
    let description = text(form, &format!("{path}.description"), &value["description"], EMBED_DESCRIPTION);
    put(&mut embed, "description", counted(description));
    put(&mut embed, "url", link(form, &format!("{path}.url"), &value["url"], false));
    if let Some(color) = value.get("color").filter(|color| !color.is_null()) {
        match color.as_u64() {
            Some(color) if color <= 0x00FF_FFFF => put(&mut embed, "color", Some(color)),
            _ => form.refuse(
                &format!("{path}.color"),
                "NUMBER_TYPE_MAX",
                "int value should be less than or equal to 16777215.",
            ),
        }
    }
    if let Some(at) = value["timestamp"].as_str() {
        match at.parse::<Timestamp>() {
            Ok(at) => put(&mut embed, "timestamp", Some(super::clock::iso8601(at))),
            Err(_) => form.refuse(
                &format!("{path}.timestamp"),
                "DATE_TIME_TYPE_PARSE",
                format!("Could not parse {at}. Should be ISO8601."),
            ),
        }
    }
    if value["footer"].is_object() {
        let path = format!("{path}.footer");
        let mut footer = Map::new();
        let words = required(form, &format!("{path}.text"), value["footer"].get("text"), EMBED_FOOTER);
        put(&mut footer, "text", counted(words));
        put(&mut footer, "icon_url", link(form, &format!("{path}.icon_url"), &value["footer"]["icon_url"], true));
        embed.insert("footer".into(), footer.into());
    }
    if value["author"].is_object() {
        let path = format!("{path}.author");
        let mut author = Map::new();
        let name = required(form, &format!("{path}.name"), value["author"].get("name"), EMBED_AUTHOR);
        put(&mut author, "name", counted(name));
        put(&mut author, "url", link(form, &format!("{path}.url"), &value["author"]["url"], false));
        put(&mut author, "icon_url", link(form, &format!("{path}.icon_url"), &value["author"]["icon_url"], true));
        embed.insert("author".into(), author.into());
    }
    for picture in ["image", "thumbnail"] {
        if value[picture].is_object() {
            let url = link(form, &format!("{path}.{picture}.url"), &value[picture]["url"], true);
            put(&mut embed, picture, url.map(|url| serde_json::json!({ "url": url })));
        }
    }
    let fields = bounded_list(form, &format!("{path}.fields"), &value["fields"], EMBED_FIELDS);
    let mut read = Vec::new();
    for (n, field) in fields.iter().enumerate() {
        let path = format!("{path}.fields.{n}");
        let name = counted(required(form, &format!("{path}.name"), field.get("name"), FIELD_NAME));
        let words = counted(required(form, &format!("{path}.value"), field.get("value"), FIELD_VALUE));
        let inline = field["inline"].as_bool().unwrap_or(false);
        read.push(serde_json::json!({ "name": name, "value": words, "inline": inline }));
    }
    if !read.is_empty() {
        embed.insert("fields".into(), read.into());
    }
    if !["title", "description", "fields", "image", "thumbnail", "author", "footer"]
        .iter()
        .any(|part| embed.contains_key(*part))
    {
        form.refuse(&format!("{path}.description"), "BASE_TYPE_REQUIRED", "This field is required");
    }
    Value::Object(embed)
}

/// A link: to the web, or where `files` is set to a file of the same message.
fn link(form: &mut Form, path: &str, value: &Value, files: bool) -> Option<String> {
    let url = text(form, path, value, URL).filter(|url| !url.is_empty())?;
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    let known = matches!(scheme, "http" | "https") || (files && scheme == "attachment");
    if scheme.is_empty() || rest.is_empty() || rest.contains(' ') {
        form.refuse(path, "URL_TYPE_INVALID_URL", "Not a well formed URL.");
    } else if !known {
        let message = format!("Scheme \"{scheme}\" must be one of ('http', 'https').");
        form.refuse(path, "URL_TYPE_INVALID_SCHEME", message);
    }
    Some(url)
}

fn components(form: &mut Form, path: &str, value: &Value) -> Vec<Value> {
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
