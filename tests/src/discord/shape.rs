//! Things of the world as Discord writes them.

use serde_json::{Map, Value, json};

use super::clock::iso8601;
use super::id::Snowflake;
use super::permissions;
use super::world::{Asking, Message, Whence, World};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

pub(crate) fn user(world: &World, id: Snowflake) -> Value {
    let Some(user) = world.users.get(&id) else { return Value::Null };
    json!({
        "id": user.id,
        "username": user.name.replace(' ', "_"),
        "global_name": if user.bot { Value::Null } else { json!(user.name) },
        "avatar": null,
        "discriminator": if user.bot { "4242" } else { "0" },
        "public_flags": 0,
        "flags": 0,
        "bot": user.bot,
        "banner": null,
        "accent_color": null,
        "avatar_decoration_data": null,
        "collectibles": null,
        "primary_guild": null,
    })
}

pub(crate) fn partial_member(world: &World, id: Snowflake) -> Option<Value> {
    let mut member = member(world, id)?;
    member.as_object_mut()?.remove("user");
    Some(member)
}

pub(crate) fn member(world: &World, id: Snowflake) -> Option<Value> {
    let member = world.guild.members.get(&id)?;
    Some(json!({
        "user": user(world, id),
        "nick": null,
        "avatar": null,
        "banner": null,
        "communication_disabled_until": null,
        "flags": 0,
        "joined_at": iso8601(member.joined),
        "pending": false,
        "premium_since": null,
        "roles": member.roles,
        "mute": false,
        "deaf": false,
    }))
}

pub(crate) fn role(world: &World, id: Snowflake) -> Option<Value> {
    let role = world.guild.roles.get(&id)?;
    let position = world.guild.roles.keys().position(|other| *other == id);
    let mut shown = json!({
        "id": role.id,
        "name": role.name,
        "permissions": role.permissions.0.to_string(),
        "position": position,
        "color": 0,
        "colors": { "primary_color": 0, "secondary_color": null, "tertiary_color": null },
        "hoist": false,
        "managed": role.of_bot.is_some(),
        "mentionable": role.mentionable,
        "icon": null,
        "unicode_emoji": null,
        "flags": 0,
    });
    if let Some(bot) = role.of_bot {
        shown["tags"] = json!({ "bot_id": bot });
    }
    Some(shown)
}

pub(crate) fn roles(world: &World) -> Value {
    world.guild.roles.keys().filter_map(|id| role(world, *id)).collect()
}

pub(crate) fn guild(world: &World) -> Value {
    let guild = &world.guild;
    json!({
        "id": guild.id, "name": guild.name, "icon": null, "description": null, "home_header": null, "splash": null,
        "discovery_splash": null, "features": [], "banner": null, "owner_id": guild.owner, "application_id": null,
        "region": "deprecated", "afk_channel_id": null, "afk_timeout": 300, "system_channel_id": null,
        "system_channel_flags": 0, "widget_enabled": false, "widget_channel_id": null, "verification_level": 0,
        "roles": roles(world), "default_message_notifications": 1, "mfa_level": 0, "explicit_content_filter": 0,
        "max_presences": null, "max_members": 25_000_000, "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25, "vanity_url_code": null, "premium_tier": 0, "premium_subscription_count": 0,
        "preferred_locale": "en-US", "rules_channel_id": null, "safety_alerts_channel_id": null,
        "public_updates_channel_id": null, "premium_progress_bar_enabled": false, "nsfw": false, "nsfw_level": 0,
        "emojis": [], "stickers": [], "incidents_data": null,
    })
}

/// What `GUILD_CREATE` holds: without the privileged intent, of the members only the bot itself.
pub(crate) fn guild_create(world: &World) -> Value {
    let mut shown = guild(world);
    let sees = |id: &&Snowflake| world.may(world.application.bot, **id).has(permissions::VIEW_CHANNEL);
    let of = |threads: bool| -> Vec<Value> {
        let those = world.channels.values().filter(|one| one.recipient.is_none() && one.thread.is_some() == threads);
        those.map(|one| &one.id).filter(sees).map(|id| channel(world, *id)).collect()
    };
    let bot = world.application.bot;
    shown["joined_at"] = json!(world.guild.members.get(&bot).map(|bot| iso8601(bot.joined)));
    shown["large"] = json!(false);
    shown["unavailable"] = json!(false);
    shown["member_count"] = json!(world.guild.members.len());
    shown["voice_states"] = json!([]);
    shown["members"] = member(world, bot).into_iter().collect();
    shown["channels"] = of(false).into();
    shown["threads"] = of(true).into();
    shown["presences"] = json!([]);
    shown["stage_instances"] = json!([]);
    shown["guild_scheduled_events"] = json!([]);
    shown["soundboard_sounds"] = json!([]);
    shown
}

pub(crate) fn channel(world: &World, id: Snowflake) -> Value {
    let Some(channel) = world.channels.get(&id) else { return Value::Null };
    let seen = channel.messages.values().rev().find(|message| message.only_for.is_none());
    let last = seen.map(|message| message.id);
    if let Some(recipient) = channel.recipient {
        return json!({
            "id": id, "type": 1, "flags": 0, "last_message_id": last, "recipients": [user(world, recipient)],
        });
    }
    if let Some(thread) = &channel.thread {
        let messages = channel.messages.values().filter(|message| message.only_for.is_none()).count();
        return json!({
            "id": id, "type": 11, "flags": 0, "guild_id": world.guild.id, "name": channel.name,
            "last_message_id": last, "parent_id": channel.parent, "owner_id": thread.owner, "rate_limit_per_user": 0,
            "message_count": messages, "member_count": 1, "total_message_sent": messages,
            "thread_metadata": {
                "archived": thread.archived, "archive_timestamp": iso8601(thread.created),
                "auto_archive_duration": thread.auto_archive, "locked": thread.locked,
                "create_timestamp": iso8601(thread.created),
            },
        });
    }
    let overwrites: Vec<Value> = channel
        .overwrites
        .iter()
        .map(|one| {
            let kind = i32::from(!one.role);
            json!({ "id": one.id, "type": kind, "allow": one.allow.0.to_string(), "deny": one.deny.0.to_string() })
        })
        .collect();
    let text_channels = world.channels.values().filter(|one| one.thread.is_none() && one.recipient.is_none());
    let position = text_channels.map(|one| one.id).position(|other| other == id);
    json!({
        "id": id, "type": 0, "flags": 0, "guild_id": world.guild.id, "name": channel.name, "position": position,
        "last_message_id": last, "parent_id": null, "topic": null, "nsfw": false, "rate_limit_per_user": 0,
        "permission_overwrites": overwrites,
    })
}

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
        let reaction = |one: &super::world::Reaction| {
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

fn link_of(world: &World, message: &Message, file: &super::world::Attachment) -> String {
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

fn attachment(world: &World, message: &Message, file: &super::world::Attachment) -> Value {
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

pub(crate) fn deleted(world: &World, channel: Snowflake, id: Snowflake) -> Value {
    let mut body = json!({ "id": id, "channel_id": channel });
    if world.channels.get(&channel).is_none_or(|channel| channel.recipient.is_none()) {
        body["guild_id"] = json!(world.guild.id);
    }
    body
}

/// What a command in the guild looks like once it is registered.
pub(crate) fn command(world: &World, id: Snowflake, version: Snowflake, asked: &Value) -> Value {
    let mut shown = Map::new();
    shown.insert("id".into(), json!(id));
    shown.insert("application_id".into(), json!(world.application.id));
    shown.insert("guild_id".into(), json!(world.guild.id));
    shown.insert("version".into(), json!(version));
    shown.insert("type".into(), asked.get("type").filter(|kind| !kind.is_null()).cloned().unwrap_or(json!(1)));
    shown.insert("name".into(), asked["name"].clone());
    shown.insert("name_localizations".into(), Value::Null);
    shown.insert("description".into(), json!(asked["description"].as_str().unwrap_or_default()));
    shown.insert("description_localizations".into(), Value::Null);
    shown.insert("nsfw".into(), json!(asked["nsfw"].as_bool().unwrap_or(false)));
    let needed = match &asked["default_member_permissions"] {
        Value::Number(bits) => json!(bits.to_string()),
        other => other.clone(),
    };
    shown.insert("default_member_permissions".into(), needed);
    if let Some(options) = asked["options"].as_array().filter(|options| !options.is_empty()) {
        shown.insert("options".into(), options.iter().map(option).collect());
    }
    Value::Object(shown)
}

/// An option as it comes back: what is at its default is left out.
fn option(asked: &Value) -> Value {
    let mut shown = asked.as_object().cloned().unwrap_or_default();
    let keep = |name: &str, value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::Array(list) => !(list.is_empty() && matches!(name, "options" | "choices")),
        Value::Object(entries) => !entries.is_empty(),
        _ => true,
    };
    shown.retain(|name, value| keep(name, value));
    if let Some(options) = shown.get_mut("options").and_then(Value::as_array_mut) {
        *options = options.iter().map(option).collect();
    }
    Value::Object(shown)
}

pub(crate) fn interaction(world: &World, id: Snowflake, token: &str, asked: &Asking) -> Value {
    let direct = asked.whence == Whence::DirectMessage;
    let elsewhere = Snowflake(world.guild.id.0 + 1);
    let guild = if asked.whence == Whence::AnotherServer { elsewhere } else { world.guild.id };
    let owners = match asked.whence {
        Whence::OwnInstallation => json!({ "1": asked.user }),
        Whence::DirectMessage => json!({ "0": "0" }),
        Whence::Server | Whence::AnotherServer => json!({ "0": guild }),
    };
    let mut channel = channel(world, asked.channel);
    channel["permissions"] = json!(world.may(asked.user, asked.channel).0.to_string());
    let mut body = json!({
        "id": id,
        "application_id": world.application.id,
        "type": asked.kind,
        "token": token,
        "version": 1,
        "channel": channel,
        "channel_id": asked.channel,
        "locale": "en-US",
        "app_permissions": world.may(world.application.bot, asked.channel).0.to_string(),
        "entitlements": [],
        "authorizing_integration_owners": owners,
        "context": i32::from(direct),
        "attachment_size_limit": super::limits::FILE_BYTES,
    });
    if direct {
        body["user"] = user(world, asked.user);
    } else {
        let mut member = member(world, asked.user).unwrap_or_else(|| json!({ "user": user(world, asked.user) }));
        member["permissions"] = json!(world.may(asked.user, asked.channel).0.to_string());
        body["member"] = member;
        body["guild_id"] = json!(guild);
        body["guild_locale"] = json!("en-US");
        body["guild"] = json!({ "id": guild, "locale": "en-US", "features": [] });
    }
    if asked.whence == Whence::AnotherServer {
        body["channel_id"] = json!(Snowflake(asked.channel.0 + 1));
        body["channel"]["id"] = body["channel_id"].clone();
        body["channel"]["guild_id"] = json!(guild);
    }
    if let Some(used) = asked.message.and_then(|used| world.message(used)) {
        body["message"] = message(world, used, false);
    }
    body
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
