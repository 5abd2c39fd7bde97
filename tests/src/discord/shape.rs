//! Things of the world as Discord writes them.

mod message;

use serde_json::{Map, Value, json};

use super::clock::iso8601;
use super::id::Snowflake;
use super::permissions;
use super::world::{Asking, Whence, World};
pub(crate) use message::{all_text, files_shown, message};

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
