//! The server, its roles, members and channels; the bot itself; and where the gateway is.

use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome, channel_for};
use crate::discord::draft::required;
use crate::discord::id::Snowflake;
use crate::discord::permissions::{MANAGE_CHANNELS, MANAGE_THREADS, Permissions};
use crate::discord::refusal::{
    Form, MISSING_PERMISSIONS, Refusal, UNKNOWN_GUILD, UNKNOWN_MEMBER, UNKNOWN_ROLE, UNKNOWN_USER, invalid,
};
use crate::discord::shape;
use crate::discord::world::{Channel, World};

fn known_guild(world: &World, call: &Call<'_>) -> Result<(), Refusal> {
    let inside = world.guild.members.contains_key(&world.application.bot);
    if call.id("guild_id") == world.guild.id && inside { Ok(()) } else { Err(UNKNOWN_GUILD) }
}

fn gateway_url(world: &World) -> String {
    world.faults.gateway.clone().unwrap_or_else(|| world.address.replacen("http", "ws", 1))
}

pub(super) fn gateway(world: &mut World, _: &Call<'_>) -> Outcome {
    Answer::ok(json!({ "url": gateway_url(world) }))
}

pub(super) fn gateway_for_bots(world: &mut World, _: &Call<'_>) -> Outcome {
    let (left, resets) = world.gateway.start_limit(world.now());
    Answer::ok(json!({
        "url": gateway_url(world),
        "shards": 1,
        "session_start_limit": {
            "total": crate::discord::gateway::IDENTIFIES_A_DAY,
            "remaining": left,
            "reset_after": u64::try_from(resets.as_millis()).unwrap_or(u64::MAX),
            "max_concurrency": world.gateway.concurrency,
        },
    }))
}

pub(super) fn me(world: &mut World, _: &Call<'_>) -> Outcome {
    let mut me = shape::user(world, world.application.bot);
    me["mfa_enabled"] = json!(true);
    me["locale"] = json!("en-US");
    me["premium_type"] = json!(0);
    me["email"] = Value::Null;
    me["verified"] = json!(true);
    Answer::ok(me)
}

pub(super) fn application(world: &mut World, _: &Call<'_>) -> Outcome {
    let application = &world.application;
    let flags = application.flags();
    Answer::ok(json!({
        "id": application.id, "name": application.name, "icon": null, "description": "", "type": null,
        "bot": shape::user(world, application.bot), "bot_public": false, "bot_require_code_grant": false,
        "verify_key": "00", "flags": flags, "flags_new": flags.to_string(), "redirect_uris": [],
        "interactions_endpoint_url": null, "role_connections_verification_url": null,
        "owner": shape::user(world, world.guild.owner), "approximate_guild_count": 1,
        "approximate_user_install_count": 0, "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0, "team": null, "eligible_oauth2_scopes": ["bot", "applications.commands"],
    }))
}

pub(super) fn guild(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    let mut guild = shape::guild(world);
    if call.asked("with_counts") == Some("true") {
        guild["approximate_member_count"] = json!(world.guild.members.len());
        guild["approximate_presence_count"] = json!(1);
    }
    Answer::ok(guild)
}

pub(super) fn channels(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    let channels = world.channels.values().filter(|one| one.thread.is_none() && one.recipient.is_none());
    Answer::ok(channels.map(|one| shape::channel(world, one.id)).collect())
}

pub(super) fn roles(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    Answer::ok(shape::roles(world))
}

pub(super) fn role(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    shape::role(world, call.id("role_id")).ok_or(UNKNOWN_ROLE).and_then(Answer::ok)
}

/// How many hold each role; @everyone is not counted.
pub(super) fn member_counts(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    let holders = |role: &Snowflake| world.guild.members.values().filter(|member| member.roles.contains(role)).count();
    let roles = world.guild.roles.keys().filter(|role| **role != world.guild.id);
    let counts: Map<String, Value> = roles.map(|role| (role.to_string(), json!(holders(role)))).collect();
    Answer::ok(Value::Object(counts))
}

pub(super) fn member(world: &mut World, call: &Call<'_>) -> Outcome {
    known_guild(world, call)?;
    let user = call.id("user_id");
    if !world.users.contains_key(&user) {
        return Err(UNKNOWN_USER);
    }
    shape::member(world, user).ok_or(UNKNOWN_MEMBER).and_then(Answer::ok)
}

pub(super) fn channel(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, Permissions::NONE)?;
    Answer::ok(shape::channel(world, channel))
}

/// Renaming, and for a thread archiving it.
pub(super) fn change_channel(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = channel_for(world, call, Permissions::NONE)?;
    let bot = world.application.bot;
    let may = world.may(bot, id);
    let thread = world.channels.get(&id).and_then(|channel| channel.thread.as_ref());
    let allowed = match thread {
        Some(thread) => thread.owner == bot || may.has(MANAGE_THREADS),
        None => may.has(MANAGE_CHANNELS),
    };
    if !allowed {
        return Err(MISSING_PERMISSIONS);
    }
    let mut form = Form::default();
    let asked = &call.body.json;
    let name = asked.get("name").and_then(|name| required(&mut form, "name", Some(name), 100));
    form.verdict()?;
    let Some(channel) = world.channels.get_mut(&id) else { return Err(UNKNOWN_GUILD) };
    channel.name = name.unwrap_or_else(|| channel.name.clone());
    if let Some(thread) = &mut channel.thread {
        thread.archived = asked["archived"].as_bool().unwrap_or(thread.archived);
        thread.locked = asked["locked"].as_bool().unwrap_or(thread.locked);
        thread.auto_archive = asked["auto_archive_duration"].as_u64().unwrap_or(thread.auto_archive);
    }
    let event = if channel.thread.is_some() { "THREAD_UPDATE" } else { "CHANNEL_UPDATE" };
    world.tell_in(id, crate::discord::gateway::intents::GUILDS, event, |world| shape::channel(world, id));
    Answer::ok(shape::channel(world, id))
}

/// Opens the conversation with one person, or finds it open.
pub(super) fn open_direct(world: &mut World, call: &Call<'_>) -> Outcome {
    let asked = call.body.json["recipient_id"].as_str().and_then(|id| id.parse().ok());
    let Some(user) = asked.filter(|user| world.users.contains_key(user)) else {
        return Err(invalid("recipient_id", "BASE_TYPE_REQUIRED", "This field is required"));
    };
    let id = world.direct_channel(user);
    Answer::ok(shape::channel(world, id))
}

impl World {
    /// The conversation between the bot and `user`.
    pub(crate) fn direct_channel(&mut self, user: Snowflake) -> Snowflake {
        if let Some(known) = self.channels.values().find(|channel| channel.recipient == Some(user)) {
            return known.id;
        }
        let id = self.next_id();
        let name = format!("with {}", self.name_of(user));
        self.channels.insert(id, Channel { id, name, recipient: Some(user), ..Channel::default() });
        id
    }
}
