//! What an interaction is answered with: the one callback within three seconds, and everything after it for fifteen
//! minutes with the interaction's token.

use serde_json::{Map, Value, json};

use super::{Answer, Call, Outcome};
use crate::discord::clock::between;
use crate::discord::draft::{self, Draft, required};
use crate::discord::id::Snowflake;
use crate::discord::limits::{self, EPHEMERAL, LOADING};
use crate::discord::refusal::{
    ALREADY_ACKNOWLEDGED, Form, INVALID_WEBHOOK_TOKEN, Refusal, UNKNOWN_INTERACTION, UNKNOWN_MESSAGE, UNKNOWN_WEBHOOK,
    invalid,
};
use crate::discord::shape;
use crate::discord::world::{ACKNOWLEDGE_WITHIN, Acknowledged, Interaction, TOKEN_LIFE, World};

/// The types of callback.
pub(crate) mod callback_type {
    /// A message.
    pub(crate) const MESSAGE: u8 = 4;
    /// "Is thinking…", a message later.
    pub(crate) const DEFERRED_MESSAGE: u8 = 5;
    /// Nothing to be seen, an edit of the component's message later.
    pub(crate) const DEFERRED_UPDATE: u8 = 6;
    /// An edit of the component's message.
    pub(crate) const UPDATE: u8 = 7;
    /// Proposals for an option.
    pub(crate) const CHOICES: u8 = 8;
    /// A form to fill in.
    pub(crate) const MODAL: u8 = 9;
}
use callback_type::{CHOICES, DEFERRED_MESSAGE, DEFERRED_UPDATE, MESSAGE, MODAL, UPDATE};

pub(super) fn callback(world: &mut World, call: &Call<'_>) -> Outcome {
    let token = call.part("interaction_token");
    let known = world.interactions.get(&call.id("interaction_id")).filter(|known| known.token == token);
    let Some(interaction) = known else { return Err(UNKNOWN_INTERACTION) };
    if interaction.acknowledged.is_some() {
        return Err(ALREADY_ACKNOWLEDGED);
    }
    if between(interaction.created, world.now()) >= ACKNOWLEDGE_WITHIN {
        return Err(UNKNOWN_INTERACTION);
    }
    let id = interaction.id;
    let kind = form_of(interaction, &call.body.json)?;
    let data = call.body.json.get("data").cloned().unwrap_or_default();
    let fields = data.as_object().cloned().unwrap_or_default();
    let used = interaction.message;

    match kind {
        MESSAGE => {
            let draft = draft::message(&fields, call.body, "data.", None)?;
            acknowledge(world, id, kind, data);
            let message = say(world, id, draft);
            remember_original(world, id, message);
        }
        DEFERRED_MESSAGE => {
            let flags = fields.get("flags").and_then(Value::as_u64).unwrap_or(0) & EPHEMERAL;
            acknowledge(world, id, kind, data);
            let message = say(world, id, Draft { flags: flags | LOADING, ..Draft::default() });
            remember_original(world, id, message);
        }
        UPDATE => {
            let Some(used) = used.filter(|used| world.message(*used).is_some()) else { return Err(UNKNOWN_MESSAGE) };
            let draft = draft::message(&fields, call.body, "data.", world.message(used))?;
            acknowledge(world, id, kind, data);
            world.edit(used, draft);
            remember_original(world, id, used);
        }
        DEFERRED_UPDATE => {
            acknowledge(world, id, kind, data);
            if let Some(used) = used {
                remember_original(world, id, used);
            }
        }
        CHOICES => {
            choices(&data)?;
            acknowledge(world, id, kind, data);
        }
        _ => {
            modal(&data)?;
            acknowledge(world, id, kind, data);
        }
    }
    if call.asked("with_response") == Some("true") { with_response(world, id, kind) } else { Answer::nothing() }
}

/// The callback's type, where it is one that fits what was asked.
fn form_of(interaction: &Interaction, body: &Value) -> Result<u8, Refusal> {
    let kind = body["type"].as_u64().and_then(|kind| u8::try_from(kind).ok()).unwrap_or(0);
    let fitting: &[u8] = match interaction.kind {
        4 => &[CHOICES],
        3 => &[MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, MODAL],
        5 if interaction.message.is_some() => &[MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE],
        5 => &[MESSAGE, DEFERRED_MESSAGE],
        _ => &[MESSAGE, DEFERRED_MESSAGE, MODAL],
    };
    if fitting.contains(&kind) {
        return Ok(kind);
    }
    Err(invalid("type", "INTERACTION_TYPE_INVALID", "Response type is invalid for this interaction"))
}

fn acknowledge(world: &mut World, id: Snowflake, kind: u8, data: Value) {
    if let Some(interaction) = world.interactions.get_mut(&id) {
        interaction.acknowledged = Some(Acknowledged { kind, data, after: interaction.made.elapsed() });
    }
}

fn remember_original(world: &mut World, id: Snowflake, message: Snowflake) {
    if let Some(interaction) = world.interactions.get_mut(&id) {
        interaction.original = Some(message);
    }
}

/// Says something in answer to an interaction, to everybody or to who asked alone.
fn say(world: &mut World, id: Snowflake, draft: Draft) -> Snowflake {
    let Some(interaction) = world.interactions.get(&id) else { return Snowflake::default() };
    let (channel, user) = (interaction.channel, interaction.user);
    let only_for = (draft.flags & EPHEMERAL != 0).then_some(user);
    let message = world.post(channel, world.application.bot, draft, Some(id), only_for);
    if let Some(interaction) = world.interactions.get_mut(&id)
        && !interaction.answers.contains(&message)
    {
        interaction.answers.push(message);
    }
    message
}

fn choices(data: &Value) -> Result<(), Refusal> {
    let mut form = Form::default();
    let list = data["choices"].as_array().map_or(&[][..], Vec::as_slice);
    if list.len() > limits::SELECT_OPTIONS {
        let words = format!("Must be {} or fewer in length.", limits::SELECT_OPTIONS);
        form.refuse("data.choices", "BASE_TYPE_MAX_LENGTH", words);
    }
    for (n, one) in list.iter().enumerate() {
        required(&mut form, &format!("data.choices.{n}.name"), one.get("name"), limits::SELECT_TEXT);
        let long = one["value"].as_str().is_some_and(|text| text.chars().count() > limits::SELECT_TEXT);
        if one["value"].is_null() || long {
            let words = "Must be between 1 and 100 in length.";
            form.refuse(&format!("data.choices.{n}.value"), "BASE_TYPE_BAD_LENGTH", words);
        }
    }
    form.verdict()
}

fn modal(data: &Value) -> Result<(), Refusal> {
    let mut form = Form::default();
    required(&mut form, "data.custom_id", data.get("custom_id"), limits::CUSTOM_ID);
    required(&mut form, "data.title", data.get("title"), 45);
    let rows = data["components"].as_array().map_or(&[][..], Vec::as_slice);
    if rows.is_empty() || rows.len() > limits::ROWS {
        form.refuse("data.components", "BASE_TYPE_BAD_LENGTH", "Must be between 1 and 5 in length.");
    }
    for (n, row) in rows.iter().enumerate() {
        let (input, path) = input_of(row, n);
        required(&mut form, &format!("{path}.custom_id"), input.get("custom_id"), limits::CUSTOM_ID);
        let (label, path_of_label) = if row["type"] == 18 {
            (row.get("label"), format!("data.components.{n}.label"))
        } else {
            (input.get("label"), format!("{path}.label"))
        };
        required(&mut form, &path_of_label, label, 45);
        if !matches!(input["style"].as_u64(), Some(1 | 2)) {
            form.refuse(&format!("{path}.style"), "BASE_TYPE_CHOICES", "Value must be one of {1, 2}.");
        }
        draft::text(&mut form, &format!("{path}.placeholder"), &input["placeholder"], 100);
        draft::text(&mut form, &format!("{path}.value"), &input["value"], 4000);
    }
    form.verdict()
}

/// The text field in a row of a form, with its path.
pub(crate) fn input_of(row: &Value, n: usize) -> (&Value, String) {
    if row["type"] == 18 {
        (&row["component"], format!("data.components.{n}.component"))
    } else {
        (&row["components"][0], format!("data.components.{n}.components.0"))
    }
}

fn with_response(world: &World, id: Snowflake, kind: u8) -> Outcome {
    let Some(interaction) = world.interactions.get(&id) else { return Err(UNKNOWN_INTERACTION) };
    let mut body = json!({ "interaction": {
        "id": id, "type": interaction.kind, "channel_id": interaction.channel, "guild_id": world.guild.id,
    }});
    if let Some(message) = interaction.original.and_then(|message| world.message(message)) {
        let shown = shape::message(world, message, true);
        body["interaction"]["response_message_id"] = json!(message.id);
        body["interaction"]["response_message_loading"] = json!(message.flags & LOADING != 0);
        body["interaction"]["response_message_ephemeral"] = json!(message.only_for.is_some());
        if matches!(kind, MESSAGE | UPDATE) {
            body["resource"] = json!({ "type": kind, "message": shown });
        }
    }
    Answer::ok(body)
}

/// The interaction whose token stands in the path, where it still lives.
fn alive(world: &World, call: &Call<'_>) -> Result<Snowflake, Refusal> {
    if call.id("webhook_id") != world.application.id {
        return Err(UNKNOWN_WEBHOOK);
    }
    let known = world.tokens.get(call.part("webhook_token")).and_then(|id| world.interactions.get(id));
    let Some(interaction) = known else { return Err(INVALID_WEBHOOK_TOKEN) };
    if between(interaction.created, world.now()) >= TOKEN_LIFE {
        return Err(INVALID_WEBHOOK_TOKEN);
    }
    if interaction.acknowledged.is_none() {
        return Err(UNKNOWN_WEBHOOK);
    }
    Ok(interaction.id)
}

fn fields(call: &Call<'_>) -> Map<String, Value> {
    call.body.json.as_object().cloned().unwrap_or_default()
}

pub(super) fn follow_up(world: &mut World, call: &Call<'_>) -> Outcome {
    let id = alive(world, call)?;
    let draft = draft::message(&fields(call), call.body, "", None)?;
    let original = world.interactions.get(&id).and_then(|interaction| interaction.original);
    let loading =
        original.filter(|original| world.message(*original).is_some_and(|message| message.flags & LOADING != 0));
    // The first that is said after "is thinking…" takes its place.
    let message = match loading {
        Some(loading) => {
            world.edit(loading, draft);
            loading
        }
        None => say(world, id, draft),
    };
    shown(world, message)
}

fn shown(world: &World, message: Snowflake) -> Outcome {
    let message = world.message(message).ok_or(UNKNOWN_MESSAGE)?;
    Answer::ok(shape::message(world, message, false))
}

fn edit_that(world: &mut World, call: &Call<'_>, message: Snowflake) -> Outcome {
    let before = world.message(message).ok_or(UNKNOWN_MESSAGE)?;
    let draft = draft::message(&fields(call), call.body, "", Some(before))?;
    world.edit(message, draft);
    shown(world, message)
}

fn delete_that(world: &mut World, message: Snowflake) -> Outcome {
    let channel = world.message(message).ok_or(UNKNOWN_MESSAGE)?.channel;
    world.delete_message(channel, message);
    Answer::nothing()
}

fn original_of(world: &World, call: &Call<'_>) -> Result<Snowflake, Refusal> {
    let id = alive(world, call)?;
    let original = world.interactions.get(&id).and_then(|interaction| interaction.original);
    original.filter(|original| world.message(*original).is_some()).ok_or(UNKNOWN_MESSAGE)
}

/// A message that this interaction's token was used for.
fn own(world: &World, call: &Call<'_>) -> Result<Snowflake, Refusal> {
    let id = alive(world, call)?;
    let message = call.id("message_id");
    let interaction = world.interactions.get(&id);
    let own = interaction.is_some_and(|one| one.answers.contains(&message) || one.original == Some(message));
    if own && world.message(message).is_some() { Ok(message) } else { Err(UNKNOWN_MESSAGE) }
}

pub(super) fn original(world: &mut World, call: &Call<'_>) -> Outcome {
    shown(world, original_of(world, call)?)
}

pub(super) fn edit_original(world: &mut World, call: &Call<'_>) -> Outcome {
    let message = original_of(world, call)?;
    edit_that(world, call, message)
}

pub(super) fn delete_original(world: &mut World, call: &Call<'_>) -> Outcome {
    let message = original_of(world, call)?;
    delete_that(world, message)
}

pub(super) fn one(world: &mut World, call: &Call<'_>) -> Outcome {
    shown(world, own(world, call)?)
}

pub(super) fn edit(world: &mut World, call: &Call<'_>) -> Outcome {
    let message = own(world, call)?;
    edit_that(world, call, message)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    let message = own(world, call)?;
    delete_that(world, message)
}
