//! The commands of the application in the server: registering them, and every bound of their form.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Answer, Call, Outcome};
use crate::discord::draft::required;
use crate::discord::id::Snowflake;
use crate::discord::refusal::{
    Form, Refusal, TOO_MANY_COMMANDS, UNKNOWN_APPLICATION, UNKNOWN_COMMAND, UNKNOWN_COMMAND_PERMISSIONS, UNKNOWN_GUILD,
};
use crate::discord::shape;
use crate::discord::world::World;

/// Commands in a server.
pub(crate) const COMMANDS: usize = 100;
/// Characters in the name of a command or an option.
pub(crate) const NAME: usize = 32;
/// Characters in a description.
pub(crate) const DESCRIPTION: usize = 100;
/// Options of a command, choices of an option.
pub(crate) const OPTIONS: usize = 25;
/// Characters in all names, descriptions and values of a command together.
pub(crate) const COMMAND_TOTAL: usize = 8000;

const SUBCOMMAND: u64 = 1;
const GROUP: u64 = 2;
const STRING: u64 = 3;
const INTEGER: u64 = 4;
const NUMBER: u64 = 10;

fn own(world: &World, call: &Call<'_>) -> Result<(), Refusal> {
    if call.id("application_id") != world.application.id {
        return Err(UNKNOWN_APPLICATION);
    }
    if call.id("guild_id") == world.guild.id { Ok(()) } else { Err(UNKNOWN_GUILD) }
}

pub(super) fn list(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    Answer::ok(world.commands.values().cloned().collect())
}

pub(super) fn one(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    world.commands.get(&call.id("command_id")).cloned().ok_or(UNKNOWN_COMMAND).and_then(Answer::ok)
}

pub(super) fn create(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    let mut form = Form::default();
    command(&mut form, "", &call.body.json);
    form.verdict()?;
    let known = by_name(world, &call.body.json["name"]);
    if known.is_none() && world.commands.len() >= COMMANDS {
        return Err(TOO_MANY_COMMANDS);
    }
    let shown = register(world, &call.body.json);
    if known.is_some() { Answer::ok(shown) } else { Answer::created(shown) }
}

pub(super) fn replace(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    let mut form = Form::default();
    let Some(list) = call.body.json.as_array() else {
        form.refuse("_", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType");
        return Err(form.verdict().err().unwrap_or(UNKNOWN_COMMAND));
    };
    if list.len() > COMMANDS {
        return Err(TOO_MANY_COMMANDS);
    }
    let mut names = BTreeSet::new();
    for (n, one) in list.iter().enumerate() {
        command(&mut form, &format!("{n}."), one);
        if !names.insert(one["name"].as_str().unwrap_or_default()) {
            let words = "Application command names must be unique";
            form.refuse(&n.to_string(), "APPLICATION_COMMANDS_DUPLICATE_NAME", words);
        }
    }
    form.verdict()?;
    world.commands.retain(|_, known| names.contains(known["name"].as_str().unwrap_or_default()));
    let shown = list.iter().map(|one| register(world, one)).collect();
    Answer::ok(shown)
}

pub(super) fn change(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    let id = call.id("command_id");
    let mut whole = world.commands.get(&id).cloned().ok_or(UNKNOWN_COMMAND)?;
    for (name, value) in call.body.json.as_object().into_iter().flatten() {
        whole[name] = value.clone();
    }
    let mut form = Form::default();
    command(&mut form, "", &whole);
    form.verdict()?;
    let version = world.next_id();
    let shown = shape::command(world, id, version, &whole);
    world.commands.insert(id, shown.clone());
    Answer::ok(shown)
}

pub(super) fn delete(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    world.commands.remove(&call.id("command_id")).ok_or(UNKNOWN_COMMAND)?;
    Answer::nothing()
}

fn granted(world: &World, command: &Value) -> Option<Value> {
    let roles = world.command_grants.get(command["name"].as_str()?).filter(|roles| !roles.is_empty())?;
    let permissions: Vec<Value> =
        roles.iter().map(|role| json!({ "id": role, "type": 1, "permission": true })).collect();
    Some(json!({
        "id": command["id"], "application_id": world.application.id, "guild_id": world.guild.id,
        "permissions": permissions,
    }))
}

pub(super) fn all_permissions(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    Answer::ok(world.commands.values().filter_map(|command| granted(world, command)).collect())
}

pub(super) fn permissions(world: &mut World, call: &Call<'_>) -> Outcome {
    own(world, call)?;
    let command = world.commands.get(&call.id("command_id")).ok_or(UNKNOWN_COMMAND)?;
    granted(world, command).ok_or(UNKNOWN_COMMAND_PERMISSIONS).and_then(Answer::ok)
}

fn by_name(world: &World, name: &Value) -> Option<Snowflake> {
    world.commands.iter().find(|(_, known)| known["name"] == *name).map(|(id, _)| *id)
}

/// Registers a command. One of the same name keeps its identifier, and its version where nothing is new.
fn register(world: &mut World, asked: &Value) -> Value {
    let known = by_name(world, &asked["name"]);
    let id = known.unwrap_or_else(|| world.next_id());
    let version = world.next_id();
    let mut shown = shape::command(world, id, version, asked);
    if let Some(before) = known.and_then(|id| world.commands.get(&id)) {
        let same = {
            let mut before = before.clone();
            before["version"] = shown["version"].clone();
            before == shown
        };
        if same {
            shown["version"] = before["version"].clone();
        }
    }
    world.commands.insert(id, shown.clone());
    shown
}

fn command(form: &mut Form, at: &str, value: &Value) {
    let mut total = 0;
    let kind = value["type"].as_u64().unwrap_or(1);
    name(form, &format!("{at}name"), value.get("name"), &mut total);
    if kind == 1 {
        description(form, &format!("{at}description"), value.get("description"), &mut total);
    }
    match &value["default_member_permissions"] {
        Value::Null | Value::Number(_) => {}
        Value::String(bits) if bits.parse::<u64>().is_ok_and(|bits| bits < 1 << 54) => {}
        other => {
            let words = format!("{other} is not a valid bitwise flag.");
            form.refuse(&format!("{at}default_member_permissions"), "BITFIELD_TYPE_INVALID", words);
        }
    }
    options(form, &format!("{at}options"), &value["options"], 0, &mut total);
    if total > COMMAND_TOTAL {
        let words = format!("Command exceeds maximum size ({COMMAND_TOTAL})");
        form.refuse(at.trim_end_matches('.'), "APPLICATION_COMMAND_TOO_LARGE", words);
    }
}

fn name(form: &mut Form, path: &str, value: Option<&Value>, total: &mut usize) {
    let Some(name) = required(form, path, value, NAME) else { return };
    *total += name.chars().count();
    let fine = |letter: char| letter.is_alphanumeric() || matches!(letter, '-' | '_' | '\'');
    if !name.is_empty() && (!name.chars().all(fine) || name != name.to_lowercase()) {
        form.refuse(path, "APPLICATION_COMMAND_INVALID_NAME", "Command name is invalid");
    }
}

fn description(form: &mut Form, path: &str, value: Option<&Value>, total: &mut usize) {
    if let Some(text) = required(form, path, value, DESCRIPTION) {
        *total += text.chars().count();
    }
}

fn options(form: &mut Form, path: &str, value: &Value, depth: u8, total: &mut usize) {
    let list = value.as_array().map_or(&[][..], Vec::as_slice);
    if list.len() > OPTIONS {
        form.refuse(path, "BASE_TYPE_MAX_LENGTH", format!("Must be {OPTIONS} or fewer in length."));
    }
    let is_sub = |one: &Value| matches!(one["type"].as_u64(), Some(SUBCOMMAND | GROUP));
    if list.iter().any(is_sub) && !list.iter().all(is_sub) {
        let words = "Sub-command and sub-command group option types are mutually exclusive to all other types";
        form.refuse(path, "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID", words);
    }
    let mut names = BTreeSet::new();
    let mut optional_before = false;
    for (n, one) in list.iter().enumerate() {
        let path = format!("{path}.{n}");
        let kind = one["type"].as_u64().unwrap_or(0);
        name(form, &format!("{path}.name"), one.get("name"), total);
        description(form, &format!("{path}.description"), one.get("description"), total);
        if !names.insert(one["name"].as_str().unwrap_or_default()) {
            let words = "Option name must be unique";
            form.refuse(&format!("{path}.name"), "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS", words);
        }
        let required = one["required"] == true;
        if required && optional_before {
            let words = "Required options must be placed before non-required options";
            form.refuse(&path, "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID", words);
        }
        optional_before |= !required;
        match kind {
            GROUP if depth == 0 => options(form, &format!("{path}.options"), &one["options"], 1, total),
            SUBCOMMAND if depth < 2 => options(form, &format!("{path}.options"), &one["options"], 2, total),
            3..=11 => bounds(form, &path, one, kind, total),
            _ => {
                let words = "Value of field \"type\" must be one of (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11).";
                form.refuse(&format!("{path}.type"), "UNION_TYPE_CHOICES", words);
            }
        }
    }
}

fn bounds(form: &mut Form, path: &str, option: &Value, kind: u64, total: &mut usize) {
    let choices = option["choices"].as_array().map_or(&[][..], Vec::as_slice);
    if choices.len() > OPTIONS {
        form.refuse(
            &format!("{path}.choices"),
            "BASE_TYPE_MAX_LENGTH",
            format!("Must be {OPTIONS} or fewer in length."),
        );
    }
    if option["autocomplete"] == true {
        if !choices.is_empty() {
            let words = "Autocomplete and choices are mutually exclusive";
            form.refuse(path, "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES", words);
        }
        if !matches!(kind, STRING | INTEGER | NUMBER) {
            let words = "Autocomplete is not available for this option type";
            form.refuse(path, "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_TYPE", words);
        }
    }
    for (n, choice) in choices.iter().enumerate() {
        let path = format!("{path}.choices.{n}");
        if let Some(name) = required(form, &format!("{path}.name"), choice.get("name"), DESCRIPTION) {
            *total += name.chars().count();
        }
        let fits = match kind {
            STRING => choice["value"].as_str().is_some_and(|text| text.chars().count() <= DESCRIPTION),
            INTEGER => choice["value"].is_i64() || choice["value"].is_u64(),
            NUMBER => choice["value"].is_number(),
            _ => false,
        };
        if !fits {
            form.refuse(
                &format!("{path}.value"),
                "APPLICATION_COMMAND_OPTIONS_CHOICE_VALUE",
                "Value does not fit the option's type",
            );
        }
        *total += choice["value"].as_str().map_or(0, |text| text.chars().count());
    }
    let number = |name: &str| option[name].as_f64();
    for (least, most) in [("min_value", "max_value"), ("min_length", "max_length")] {
        if let (Some(low), Some(high)) = (number(least), number(most))
            && low > high
        {
            form.refuse(
                &format!("{path}.{least}"),
                "APPLICATION_COMMAND_OPTIONS_MIN_MAX",
                "Minimum is greater than maximum",
            );
        }
    }
    let lengths = [("min_length", 0), ("max_length", 1)];
    for (name, least) in lengths {
        if let Some(length) = option[name].as_i64()
            && !(least..=6000).contains(&length)
        {
            form.refuse(
                &format!("{path}.{name}"),
                "NUMBER_TYPE_MAX",
                "int value should be less than or equal to 6000.",
            );
        }
    }
}
