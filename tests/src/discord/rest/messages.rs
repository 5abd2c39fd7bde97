//! Messages of a channel: reading, sending, editing, deleting, and the thread that starts at one.

use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome, channel_for};
use crate::discord::draft::{self, Draft, required};
use crate::discord::id::Snowflake;
use crate::discord::limits;
use crate::discord::permissions::{
    ATTACH_FILES, CREATE_PUBLIC_THREADS, EMBED_LINKS, MANAGE_MESSAGES, Permissions, READ_MESSAGE_HISTORY,
    SEND_MESSAGES, SEND_MESSAGES_IN_THREADS,
};
use crate::discord::refusal::{
    CANNOT_SEND_TO_USER, Form, MISSING_PERMISSIONS, NOT_THE_AUTHOR, Refusal, THREAD_ARCHIVED, THREAD_EXISTS,
    UNKNOWN_MESSAGE, invalid,
};
use crate::discord::shape;
use crate::discord::world::{Message, World};

/// Characters in a thread's name.
const THREAD_NAME: usize = 100;

/// A message that is there for everybody.
pub(super) fn found(world: &World, channel: Snowflake, message: Snowflake) -> Result<&Message, Refusal> {
    let found = world.channels.get(&channel).and_then(|channel| channel.messages.get(&message));
    found.filter(|message| message.only_for.is_none()).ok_or(UNKNOWN_MESSAGE)
}

fn fields(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, Permissions::NONE)?;
    let limit = call.limit(50)?;
    let (before, after, around) = (call.asked_id("before")?, call.asked_id("after")?, call.asked_id("around")?);
    if [before, after, around].iter().flatten().count() > 1 {
        return Err(invalid("before", "CHANNEL_MESSAGES_ONE_OF", "Only one of before, after, around may be given."));
    }
    if !world.may(world.application.bot, channel).has(READ_MESSAGE_HISTORY) {
        return Answer::ok(json!([]));
    }
    let all: Vec<&Message> = world.channels.get(&channel).map_or_else(Vec::new, |channel| {
        channel.messages.values().filter(|message| message.only_for.is_none()).collect()
    });
    let chosen: Vec<&Message> = if let Some(after) = after {
        all.into_iter().filter(|message| message.id > after).take(limit).collect()
    } else if let Some(around) = around {
        let middle = all.iter().position(|message| message.id >= around).unwrap_or(all.len());
        all.into_iter().skip(middle.saturating_sub(limit / 2)).take(limit).collect()
    } else {
        let earlier: Vec<&Message> =
            all.into_iter().filter(|message| before.is_none_or(|before| message.id < before)).collect();
        earlier[earlier.len().saturating_sub(limit)..].to_vec()
    };
    // The newest comes first, whatever was asked for.
    Answer::ok(chosen.into_iter().rev().map(|message| shape::message(world, message, false)).collect())
}

pub(super) fn one(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, READ_MESSAGE_HISTORY)?;
    let message = found(world, channel, call.id("message_id"))?;
    Answer::ok(shape::message(world, message, false))
}

/// Refuses what a draft brings and its sender may not.
fn may_bring(world: &World, channel: Snowflake, draft: &Draft) -> Result<(), Refusal> {
    let may = world.may(world.application.bot, channel);
    let embeds = draft.embeds.as_ref().is_some_and(|embeds| !embeds.is_empty());
    if (embeds && !may.has(EMBED_LINKS)) || (!draft.files.is_empty() && !may.has(ATTACH_FILES)) {
        return Err(MISSING_PERMISSIONS);
    }
    Ok(())
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = call.id("channel_id");
    let thread = world.channels.get(&id).and_then(|channel| channel.thread.as_ref());
    let send = if thread.is_some() { SEND_MESSAGES_IN_THREADS } else { SEND_MESSAGES };
    let locked = thread.is_some_and(|thread| thread.locked && thread.archived);
    let channel = channel_for(world, call, send)?;
    if locked {
        return Err(THREAD_ARCHIVED);
    }
    let recipient = world.channels.get(&channel).and_then(|channel| channel.recipient);
    if recipient.and_then(|user| world.users.get(&user)).is_some_and(|user| !user.takes_direct_messages) {
        return Err(CANNOT_SEND_TO_USER);
    }
    let draft = draft::message(&fields(&call.body.json), call.body, "", None)?;
    may_bring(world, channel, &draft)?;
    if let Some(to) = draft.reply_to
        && found(world, channel, to).is_err()
    {
        return Err(invalid("message_reference", "REPLIES_UNKNOWN_MESSAGE", "Unknown message"));
    }
    // Only who answers an interaction can speak to one person alone.
    let draft = Draft { flags: draft.flags & !limits::EPHEMERAL, ..draft };
    let id = world.post(channel, world.application.bot, draft, None, None);
    let message = found(world, channel, id)?;
    Answer::ok(shape::message(world, message, true))
}

pub(super) fn edit(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, Permissions::NONE)?;
    let message = found(world, channel, call.id("message_id"))?;
    if message.author != world.application.bot {
        return Err(NOT_THE_AUTHOR);
    }
    let thread = world.channels.get(&channel).and_then(|channel| channel.thread.as_ref());
    if thread.is_some_and(|thread| thread.archived) {
        return Err(THREAD_ARCHIVED);
    }
    let draft = draft::message(&fields(&call.body.json), call.body, "", Some(message))?;
    may_bring(world, channel, &draft)?;
    let id = message.id;
    world.edit(id, draft);
    let message = found(world, channel, id)?;
    Answer::ok(shape::message(world, message, false))
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, Permissions::NONE)?;
    let message = found(world, channel, call.id("message_id"))?;
    let (id, own) = (message.id, message.author == world.application.bot);
    if !own && !world.may(world.application.bot, channel).has(MANAGE_MESSAGES) {
        return Err(MISSING_PERMISSIONS);
    }
    world.delete_message(channel, id);
    Answer::nothing()
}

pub(super) fn start_thread(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, CREATE_PUBLIC_THREADS)?;
    let message = found(world, channel, call.id("message_id"))?.id;
    let mut form = Form::default();
    let name = required(&mut form, "name", call.body.json.get("name"), THREAD_NAME);
    let archive = call.body.json["auto_archive_duration"].as_u64().unwrap_or(4320);
    if !matches!(archive, 60 | 1440 | 4320 | 10080) {
        let words = "Value must be one of (60, 1440, 4320, 10080).";
        form.refuse("auto_archive_duration", "BASE_TYPE_CHOICES", words);
    }
    form.verdict()?;
    if world.channels.contains_key(&message) {
        return Err(THREAD_EXISTS);
    }
    world.start_thread(channel, message, world.application.bot, name.unwrap_or_default(), archive);
    Answer::created(shape::channel(world, message))
}

pub(super) fn typing(world: &mut World, call: &Call<'_>) -> Outcome {
    channel_for(world, call, SEND_MESSAGES)?;
    Answer::nothing()
}
