//! A message with all that hangs on it, as Discord writes it.

use serde_json::{Value, json};

use super::{channel, user};
use crate::discord::clock::iso8601;
use crate::discord::world::{Attachment, Message, Reaction, World};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A message as the bot gets it. `fresh` is the answer to its sender and the event of its creation, which alone carry
/// the nonce.
pub(crate) fn message(world: &World, message: &Message, fresh: bool) -> Value {
    let readable = world.bot_reads(message);
    let kind = match (message.interaction, message.reply_to) {
        (Some(id), _) if world.interactions.get(&id).is_some_and(|one| one.kind == 2) => 20,
        (None, Some(_)) => 19,
        _ => 0,
    };
    let shown_inside: Vec<String> = message.embeds.iter().flat_map(files_shown).collect();
    let outside = message.attachments.iter().filter(|file| !shown_inside.contains(&file.file.name));
    let attachments: Vec<Value> = outside.map(|file| attachment(world, message, file)).collect();
    let embeds: Vec<Value> = message.embeds.iter().map(|one| embed(world, message, one)).collect();
    let unless_hidden = |value: Value, hidden: Value| if readable { value } else { hidden };
    let users: Vec<Value> = message.pinged.users.iter().map(|id| user(world, *id)).collect();
    let mut shown = json!({
        "type": kind,
        "id": message.id,
        "channel_id": message.channel,
        "author": user(world, message.author),
        "content": unless_hidden(json!(message.content), json!("")),
        "embeds": unless_hidden(embeds.into(), json!([])),
        "components": unless_hidden(message.components.clone().into(), json!([])),
        "attachments": unless_hidden(attachments.into(), json!([])),
        "timestamp": iso8601(message.created),
        "edited_timestamp": message.edited.map(iso8601),
        "flags": message.flags,
        "mentions": users,
        "mention_roles": message.pinged.roles,
        "mention_everyone": message.pinged.everyone,
        "pinned": false,
        "tts": false,
    });
    if !message.reactions.is_empty() {
        let bot = world.application.bot;
        let reaction = |one: &Reaction| {
            json!({
                "emoji": { "id": null, "name": one.emoji },
                "count": one.users.len(),
                "count_details": { "burst": 0, "normal": one.users.len() },
                "burst_colors": [],
                "me_burst": false,
                "me": one.users.contains(&bot),
            })
        };
        shown["reactions"] = message.reactions.iter().map(reaction).collect();
    }
    if fresh && let Some(nonce) = &message.nonce {
        shown["nonce"] = nonce.clone();
    }
    if world.channels.get(&message.id).is_some_and(|channel| channel.thread.is_some()) {
        shown["thread"] = channel(world, message.id);
    }
    if let Some(to) = message.reply_to {
        shown["message_reference"] = json!({
            "type": 0, "channel_id": message.channel, "message_id": to, "guild_id": world.guild.id,
        });
    }
    if let Some(interaction) = message.interaction.and_then(|id| world.interactions.get(&id)) {
        shown["application_id"] = json!(world.application.id);
        shown["webhook_id"] = json!(world.application.id);
        let mut metadata = json!({
            "id": interaction.id,
            "type": interaction.kind,
            "user": user(world, interaction.user),
            "authorizing_integration_owners": { "0": world.guild.id },
        });
        if let Some(used) = interaction.message.filter(|_| interaction.kind == 3) {
            metadata["interacted_message_id"] = json!(used);
        }
        // A form's metadata would have to carry those of what opened it.
        if interaction.kind != 5 {
            shown["interaction_metadata"] = metadata;
        }
    }
    shown
}

/// The names of the files that an embed shows.
pub(crate) fn files_shown(embed: &Value) -> Vec<String> {
    let links = [
        &embed["image"]["url"],
        &embed["thumbnail"]["url"],
        &embed["footer"]["icon_url"],
        &embed["author"]["icon_url"],
    ];
    links.into_iter().filter_map(|link| link.as_str()?.strip_prefix("attachment://")).map(ToOwned::to_owned).collect()
}

fn link_of(world: &World, message: &Message, file: &Attachment) -> String {
    format!("{}/attachments/{}/{}/{}", world.address, message.channel, file.id, file.file.name)
}

fn embed(world: &World, message: &Message, asked: &Value) -> Value {
    let mut shown = asked.clone();
    shown["type"] = json!("rich");
    let found = |link: &str| {
        let name = link.strip_prefix("attachment://")?;
        message.attachments.iter().rev().find(|file| file.file.name == name)
    };
    for picture in ["image", "thumbnail"] {
        let Some(link) = asked[picture]["url"].as_str() else { continue };
        let mut picture_shown = json!({ "url": link, "proxy_url": link, "flags": 0 });
        if let Some(file) = found(link) {
            let link = link_of(world, message, file);
            picture_shown =
                json!({ "url": link, "proxy_url": link, "content_type": file.file.content_type, "flags": 0 });
            if let Some((width, height)) = size_of(&file.file.bytes) {
                picture_shown["width"] = json!(width);
                picture_shown["height"] = json!(height);
            }
            if let Some(description) = &file.description {
                picture_shown["description"] = json!(description);
            }
        }
        shown[picture] = picture_shown;
    }
    for holder in ["footer", "author"] {
        if let Some(file) = asked[holder]["icon_url"].as_str().and_then(found) {
            shown[holder]["icon_url"] = json!(link_of(world, message, file));
        }
    }
    shown
}

fn attachment(world: &World, message: &Message, file: &Attachment) -> Value {
    let link = link_of(world, message, file);
    let mut shown = json!({
        "id": file.id, "filename": file.file.name, "size": file.file.bytes.len(), "url": link, "proxy_url": link,
        "content_type": file.file.content_type,
    });
    if let Some(description) = &file.description {
        shown["description"] = json!(description);
    }
    if let Some((width, height)) = size_of(&file.file.bytes) {
        shown["width"] = json!(width);
        shown["height"] = json!(height);
    }
    if message.only_for.is_some() {
        shown["ephemeral"] = json!(true);
    }
    shown
}

/// Width and height in pixels, where it is a PNG.
fn size_of(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(PNG)?.get(8..16)?;
    let number = |from: usize| Some(u32::from_be_bytes(header.get(from..from + 4)?.try_into().ok()?));
    Some((number(0)?, number(4)?))
}

/// Everything that a person reads in a message, a line each.
pub(crate) fn all_text(message: &Message) -> String {
    let mut lines = vec![message.content.clone()];
    for embed in &message.embeds {
        let words = |value: &Value| value.as_str().map(ToOwned::to_owned);
        lines.extend(words(&embed["author"]["name"]));
        lines.extend(words(&embed["title"]));
        lines.extend(words(&embed["description"]));
        for field in embed["fields"].as_array().into_iter().flatten() {
            lines.extend(words(&field["name"]));
            lines.extend(words(&field["value"]));
        }
        lines.extend(words(&embed["footer"]["text"]));
    }
    let rows = message.components.iter().filter_map(|row| row["components"].as_array());
    lines.extend(rows.flatten().filter_map(|one| one["label"].as_str()).map(|label| format!("[{label}]")));
    lines.extend(message.attachments.iter().map(|file| format!("<{}>", file.file.name)));
    lines.retain(|line| !line.is_empty());
    lines.join("\n")
}
