//! Reactions: the bot's own, and who else gave one.

use serde_json::json;

use super::messages::found;
use super::{Answer, Call, Outcome, channel_for};
use crate::discord::id::Snowflake;
use crate::discord::limits::REACTIONS;
use crate::discord::permissions::{ADD_REACTIONS, MANAGE_MESSAGES, READ_MESSAGE_HISTORY};
use crate::discord::refusal::{MISSING_PERMISSIONS, Refusal, TOO_MANY_REACTIONS, UNKNOWN_EMOJI};
use crate::discord::shape;
use crate::discord::world::World;

/// An emoji as Discord knows it: a few signs outside the letters, or a server's own as `name:id`, of which the double's
/// server has none.
pub(crate) fn is_emoji(text: &str) -> bool {
    !text.is_empty()
        && text.chars().count() <= 10
        && text.chars().any(|sign| sign as u32 >= 0x203C)
        && !text.contains(':')
}

fn emoji(call: &Call<'_>) -> Result<String, Refusal> {
    let emoji = call.part("emoji_name");
    if is_emoji(emoji) { Ok(emoji.to_owned()) } else { Err(UNKNOWN_EMOJI) }
}

pub(super) fn add(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, READ_MESSAGE_HISTORY)?;
    let message = found(world, channel, call.id("message_id"))?;
    let emoji = emoji(call)?;
    let is_new = !message.reactions.iter().any(|one| one.emoji == emoji);
    if is_new && !world.may(world.application.bot, channel).has(ADD_REACTIONS) {
        return Err(MISSING_PERMISSIONS);
    }
    if is_new && message.reactions.len() >= REACTIONS {
        return Err(TOO_MANY_REACTIONS);
    }
    let id = message.id;
    world.react(channel, id, world.application.bot, &emoji);
    Answer::nothing()
}

fn remove(world: &mut World, call: &Call<'_>, channel: Snowflake, of: Snowflake) -> Outcome {
    let message = found(world, channel, call.id("message_id"))?.id;
    let emoji = emoji(call)?;
    if world.unreact(channel, message, of, &emoji) { Answer::nothing() } else { Err(UNKNOWN_EMOJI) }
}

pub(super) fn remove_own(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, READ_MESSAGE_HISTORY)?;
    remove(world, call, channel, world.application.bot)
}

pub(super) fn remove_of(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, MANAGE_MESSAGES)?;
    remove(world, call, channel, call.id("user_id"))
}

pub(super) fn clear(world: &mut World, call: &Call<'_>) -> Outcome {
    clear_those(world, call, None)
}

pub(super) fn clear_one(world: &mut World, call: &Call<'_>) -> Outcome {
    let emoji = emoji(call)?;
    clear_those(world, call, Some(&emoji))
}

fn clear_those(world: &mut World, call: &Call<'_>, only: Option<&str>) -> Outcome {
    let channel = channel_for(world, call, MANAGE_MESSAGES)?;
    let message = found(world, channel, call.id("message_id"))?.id;
    world.clear_reactions(channel, message, only);
    Answer::nothing()
}

pub(super) fn users(world: &mut World, call: &Call<'_>) -> Outcome {
    let channel = channel_for(world, call, READ_MESSAGE_HISTORY)?;
    let message = found(world, channel, call.id("message_id"))?;
    let emoji = emoji(call)?;
    let (after, limit) = (call.asked_id("after")?, call.limit(25)?);
    let given = message.reactions.iter().find(|one| one.emoji == emoji);
    let mut users: Vec<Snowflake> = given.map_or_else(Vec::new, |one| one.users.clone());
    users.sort_unstable();
    let page = users.into_iter().filter(|user| after.is_none_or(|after| *user > after)).take(limit);
    Answer::ok(json!(page.map(|user| shape::user(world, user)).collect::<Vec<_>>()))
}
