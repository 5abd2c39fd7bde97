//! Embeds, each by itself and all together.

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::{bounded_list, put, required, text};
use crate::discord::clock::iso8601;
use crate::discord::limits::{
    EMBED_AUTHOR, EMBED_DESCRIPTION, EMBED_FIELDS, EMBED_FOOTER, EMBED_TITLE, EMBED_TOTAL, EMBEDS, FIELD_NAME,
    FIELD_VALUE, URL,
};
use crate::discord::refusal::Form;

pub(super) fn embeds(form: &mut Form, path: &str, value: &Value) -> Vec<Value> {
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
            Ok(at) => put(&mut embed, "timestamp", Some(iso8601(at))),
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
pub(super) fn link(form: &mut Form, path: &str, value: &Value, files: bool) -> Option<String> {
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
