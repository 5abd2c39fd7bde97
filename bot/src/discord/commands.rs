//! The one slash command, `/scale`, with a subcommand for each word of the grammar. What somebody fills in is put
//! together as the text that they would have typed and read by the same grammar, so that there is only one.

use scalebot_commands::request::{
    self, MAX_HISTORY, MAX_REASON, MAX_REPLICAS, MAX_TARGET, NoCommand, Rate, Request, Word,
};
use scalebot_commands::units::TargetName;
use serde_json::{Value, json};
use serenity::all::{
    ApplicationId, AutocompleteChoice, Command, CommandData, CommandDataOption, CommandDataOptionValue as Given,
    CommandOptionType as Kind, CommandType, CreateAutocompleteResponse, CreateCommand, CreateCommandOption, GuildId,
    Permissions,
};

use super::drawing::limits::{CHOICE, CHOICES};
use super::rest::{Fault, Rest};

/// The command's name, and what it does.
const NAME: &str = "scale";
const DOES: &str = "Scale a fleet by its runbook: checked, approved, verified, watched, and taken back if need be";

/// Whoever may use commands at all sees it: who may do what is asked of their roles each time. A server's owner can
/// narrow it down further, by role and channel.
const SEEN_BY: Permissions = Permissions::USE_APPLICATION_COMMANDS;

/// Registers `/scale` in the server, unless exactly that is registered already. Whether anything was done.
///
/// # Errors
/// When Discord refuses or cannot be reached.
pub(crate) async fn register(rest: &Rest, application: ApplicationId, guild: GuildId) -> Result<bool, Fault> {
    if is_registered(&rest.commands(application, guild).await?) {
        return Ok(false);
    }
    rest.register(application, guild, &definition()).await?;
    Ok(true)
}

/// Whether exactly that is registered.
pub(crate) fn is_registered(found: &[Command]) -> bool {
    matches!(found, [only] if is_same(only))
}

/// The command as it is registered.
pub(crate) fn definition() -> CreateCommand {
    CreateCommand::new(NAME)
        .kind(CommandType::ChatInput)
        .description(DOES)
        .default_member_permissions(SEEN_BY)
        .set_options(subcommands())
}

fn subcommands() -> Vec<CreateCommandOption> {
    Word::ALL.map(subcommand).into()
}

fn subcommand(word: Word) -> CreateCommandOption {
    let mut options = match word {
        Word::Up | Word::Down | Word::Plan => {
            vec![whole("count", "How many instances there are to be in all", MAX_REPLICAS).required(true)]
        }
        Word::History => vec![whole("count", "How many operations to show", MAX_HISTORY)],
        Word::Capacity => {
            let load =
                CreateCommandOption::new(Kind::Number, "load", "Requests per second; left out, the present load");
            vec![load.min_number_value(0.01).max_number_value(Rate::MAX.into())]
        }
        Word::Followups => vec![whole("close", "The number of one that is done", i32::MAX as u32)],
        Word::Rollback | Word::Cancel | Word::Status | Word::Help => vec![],
    };
    if matches!(word, Word::Up | Word::Down | Word::Rollback | Word::Followups) {
        options.push(text("reason", "Why, for the record", MAX_REASON));
    }
    if word != Word::Help {
        options.push(text("target", "Which fleet; left out, the first one", MAX_TARGET).set_autocomplete(true));
    }
    CreateCommandOption::new(Kind::SubCommand, word.as_str(), does(word)).set_sub_options(options)
}

/// A whole number from 1.
fn whole(name: &str, description: &str, most: u32) -> CreateCommandOption {
    CreateCommandOption::new(Kind::Integer, name, description).min_int_value(1).max_int_value(most.into())
}

fn text(name: &str, description: &str, most: usize) -> CreateCommandOption {
    CreateCommandOption::new(Kind::String, name, description).max_length(most as u16)
}

/// What a subcommand does, where the number is not typed yet.
fn does(word: Word) -> &'static str {
    match word {
        Word::Up => "Have more instances than now",
        Word::Down => "Have fewer instances than now",
        Word::Rollback => "Undo the latest operation",
        Word::Cancel => "Stop the operation under way",
        Word::Plan => "Make every check for a count; nothing is done",
        Word::Status => "How the fleet is, and what is under way",
        Word::History => "The last operations",
        Word::Capacity => "How many instances carry a load",
        Word::Followups => "What has to be seen to later",
        Word::Help => "What can be asked, and who may",
    }
}

/// What somebody asked for.
///
/// # Errors
/// Why it is no command, in words for them.
pub(crate) fn request(data: &CommandData) -> Result<Request, NoCommand> {
    let Some((subcommand, options)) = subcommand_of(data) else { return request::parse("/scale") };
    let mut text = format!("/scale {subcommand}");
    let given = |name: &str| options.iter().find(|option| option.name == name).and_then(shown);
    if let Some(count) = given("count").or_else(|| given("load")) {
        text.push_str(&format!(" {count}"));
    }
    if let Some(number) = given("close") {
        text.push_str(&format!(" close {number}"));
    }
    for name in ["target", "reason"] {
        if let Some(value) = given(name) {
            // The grammar's quotation marks cannot stand within quotation marks.
            text.push_str(&format!(" {name}:\"{}\"", value.replace('"', "'")));
        }
    }
    request::parse(&text)
}

fn subcommand_of(data: &CommandData) -> Option<(&str, &[CommandDataOption])> {
    let subcommand = data.options.first()?;
    let Given::SubCommand(options) = &subcommand.value else { return None };
    Some((&subcommand.name, options))
}

fn shown(option: &CommandDataOption) -> Option<String> {
    match &option.value {
        Given::String(text) => Some(text.clone()),
        Given::Integer(number) => Some(number.to_string()),
        Given::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What completes what is being typed.
pub(crate) fn completions(data: &CommandData, targets: &[TargetName]) -> CreateAutocompleteResponse {
    let options = subcommand_of(data).map_or(&[][..], |(_, options)| options);
    let typed = options.iter().find_map(|option| match &option.value {
        Given::Autocomplete { value, .. } if option.name == "target" => Some(value.trim().to_lowercase()),
        _ => None,
    });
    let Some(typed) = typed else { return CreateAutocompleteResponse::new() };
    let fits = |name: &&str| name.len() <= CHOICE && !name.is_empty() && name.to_lowercase().contains(&typed);
    let names = targets.iter().map(TargetName::as_str).filter(fits).take(CHOICES);
    CreateAutocompleteResponse::new().set_choices(names.map(AutocompleteChoice::from).collect())
}

/// Whether what is registered is exactly what is wanted, apart from what Discord adds.
fn is_same(found: &Command) -> bool {
    found.name == NAME
        && found.kind == CommandType::ChatInput
        && found.description == DOES
        && found.default_member_permissions == Some(SEEN_BY)
        && plain(json!(found.options)) == plain(json!(subcommands()))
}

/// In one form: Discord gives whole numbers back as others.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        Value::Array(values) => values.into_iter().map(plain).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use scalebot_commands::request::Direction;
    use scalebot_commands::units::Replicas;

    use super::*;
    use crate::discord::drawing::limits::length;

    #[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
    fn filled_in(word: &str, options: Value) -> CommandData {
        let kind = |value: &Value| match value {
            Value::Number(number) if number.is_f64() => Kind::Number,
            Value::Number(_) => Kind::Integer,
            _ => Kind::String,
        };
        let options: Vec<Value> = options
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value, "type": kind(value) }))
            .collect();
        with(json!([{ "name": word, "type": 1, "options": options }]))
    }

    #[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
    fn with(options: Value) -> CommandData {
        serde_json::from_value(json!({ "id": "900", "name": "scale", "type": 1, "options": options })).unwrap()
    }

    fn read(word: &str, options: Value) -> String {
        match request(&filled_in(word, options)) {
            Ok(request) => request.to_string(),
            Err(why) => format!("{why}"),
        }
    }

    #[test]
    fn what_is_filled_in_is_what_would_have_been_typed() {
        assert_eq!(
            request(&filled_in("up", json!({ "count": 6, "reason": "planned campaign", "target": "api" }))),
            Ok(Request::Change {
                direction: Direction::Up,
                to: Replicas(6),
                target: Some(TargetName::new("api")),
                reason: Some("planned campaign".into()),
            })
        );
        assert_eq!(read("down", json!({ "count": 4 })), "/scale down 4");
        assert_eq!(read("capacity", json!({ "load": 120.5 })), "/scale capacity 120.5");
        assert_eq!(read("capacity", json!({ "load": 120 })), "/scale capacity 120");
        assert_eq!(read("capacity", json!({})), "/scale capacity");
        assert_eq!(read("history", json!({ "count": 5 })), "/scale history 5");
        assert_eq!(
            read("followups", json!({ "close": 41, "reason": "done" })),
            "/scale followups close 41 reason:\"done\""
        );
        for word in ["rollback", "cancel", "status", "help"] {
            assert_eq!(read(word, json!({})), format!("/scale {word}"));
        }
        assert_eq!(
            read("up", json!({ "count": 6, "reason": "say \"now\" target:web" })),
            "/scale up 6 reason:\"say 'now' target:web\""
        );
    }

    #[test]
    fn what_the_grammar_refuses_is_refused_in_its_words() {
        assert!(read("up", json!({})).contains("How many instances"));
        assert!(read("up", json!({ "count": 0 })).contains("cannot be asked for"));
        assert!(read("explode", json!({})).contains("I do not know"));
        assert!(request(&with(json!([]))).is_err());
    }

    #[test]
    fn the_definition_is_within_discords_limits_and_covers_the_grammar() {
        let definition = json!(definition());
        let subcommands = definition["options"].as_array().unwrap();
        assert_eq!(subcommands.len(), Word::ALL.len());
        let mut all = 0;
        let mut open = vec![&definition];
        while let Some(one) = open.pop() {
            let text = |name: &str| one[name].as_str().unwrap();
            assert!(
                (1..=32).contains(&text("name").len()) && (1..=100).contains(&length(text("description"))),
                "{one}"
            );
            all += text("name").len() + length(text("description"));
            let options = one["options"].as_array().map(Vec::as_slice).unwrap_or_default();
            assert!(options.len() <= 25);
            // What is required comes first.
            let required: Vec<bool> = options.iter().map(|option| option["required"] == true).collect();
            assert!(required.is_sorted_by(|one, next| one >= next), "{one}");
            open.extend(options);
        }
        assert!(all <= 8_000);
    }

    #[test]
    fn it_is_registered_anew_only_when_it_differs() {
        let registered = |change: fn(&mut Value)| {
            // As Discord gives it back: with what it adds, and nothing that is false or empty.
            let mut found = json!(definition());
            found["id"] = json!("900");
            found["application_id"] = json!("7");
            found["version"] = json!("901");
            found["nsfw"] = json!(false);
            found["contexts"] = Value::Null;
            found["options"][0]["options"][0]["min_value"] = json!(1.0);
            found["options"][9].as_object_mut().unwrap().remove("options");
            change(&mut found);
            is_registered(&[serde_json::from_value(found).unwrap()])
        };
        assert!(registered(|_| ()));
        assert!(!registered(|found| found["options"][0]["options"][0]["max_value"] = json!(20)));
        assert!(!registered(|found| found["default_member_permissions"] = Value::Null));
        assert!(!registered(|found| found["description"] = json!("old")));
        assert!(!registered(|found| _ = found["options"].as_array_mut().unwrap().pop()));
    }

    #[test]
    fn a_target_is_completed_while_it_is_typed() {
        let targets: Vec<TargetName> = (0..40).map(|number| TargetName::new(format!("api-{number}"))).collect();
        let complete = |name: &str, typed: &str| {
            let focused = json!({ "name": name, "type": 3, "value": typed, "focused": true });
            let data = with(json!([{ "name": "status", "type": 1, "options": [focused] }]));
            json!(completions(&data, &targets))["choices"].take()
        };
        assert_eq!(complete("target", "API-3 ")[0], json!({ "name": "api-3", "value": "api-3" }));
        assert_eq!(complete("target", "").as_array().unwrap().len(), CHOICES);
        assert_eq!(complete("reason", "api"), json!([]));
    }
}
