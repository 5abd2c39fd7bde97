//! A check that a message is within every limit of Discord's.

use serde_json::Value;
use serenity::constants;

use super::*;

const EMBEDS: usize = constants::EMBED_MAX_COUNT;
const FIELDS: usize = 25;
const FIELD_NAME: usize = 256;
const FIELD_VALUE: usize = 1_024;
pub(crate) const CUSTOM_ID: usize = 100;
const NONCE: usize = 25;

/// Where a message is beyond a limit of Discord's: each place with its length and the limit.
pub(crate) fn beyond(message: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut at_most = |what: &str, length: usize, limit: usize| {
        if length > limit {
            wrong.push(format!("{what}: {length} of at most {limit}"));
        }
    };
    let of = |value: &Value| value.as_str().map_or(0, length);
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    at_most("content", of(&message["content"]), CONTENT);
    at_most("nonce", of(&message["nonce"]), NONCE);
    let embeds = list(&message["embeds"]);
    at_most("embeds", embeds.len(), EMBEDS);
    let mut all = 0;
    for embed in &embeds {
        let fields = list(&embed["fields"]);
        at_most("fields", fields.len(), FIELDS);
        let mut texts = vec![
            ("title", of(&embed["title"]), TITLE),
            ("description", of(&embed["description"]), DESCRIPTION),
            ("footer", of(&embed["footer"]["text"]), FOOTER),
        ];
        for field in &fields {
            texts.push(("field name", of(&field["name"]), FIELD_NAME));
            texts.push(("field value", of(&field["value"]), FIELD_VALUE));
        }
        for (what, length, limit) in texts {
            at_most(what, length, limit);
            all += length;
        }
    }
    at_most("all embeds", all, ALL_EMBEDS);
    let rows = list(&message["components"]);
    at_most("rows", rows.len(), ROWS);
    for row in &rows {
        let buttons = list(&row["components"]);
        at_most("buttons in a row", buttons.len(), BUTTONS_IN_A_ROW);
        for button in &buttons {
            at_most("label", of(&button["label"]), LABEL);
            at_most("custom_id", of(&button["custom_id"]), CUSTOM_ID);
        }
    }
    let files = list(&message["attachments"]);
    at_most("files", files.len(), FILES);
    for file in &files {
        at_most("alt text", of(&file["description"]), ALT_TEXT);
    }
    let has = |name: &str| message[name].as_array().is_some_and(|list| !list.is_empty());
    if of(&message["content"]) == 0 && !has("embeds") && !has("attachments") {
        wrong.push("the message is empty".to_owned());
    }
    wrong
}
