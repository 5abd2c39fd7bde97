//! The one slash command, `/scale`, with a subcommand for each word of the grammar. What somebody fills in is put
//! together as the text that they would have typed and read by the same grammar, so that there is only one.

use scalebot_commands::request::{
    self, MAX_HISTORY, MAX_REASON, MAX_REPLICAS, MAX_TARGET, NoCommand, Rate, Request, Word,
};
use scalebot_commands::units::TargetName;
use serde_json::{Map, Value, json};

use super::drawing::limits::{CHOICE, CHOICES};
use super::id::{ApplicationId, GuildId};
use super::rest::{Fault, Rest};
use super::wire::{CommandOption, InteractionData, Registered};

/// The command's name.
pub(crate) const NAME: &str = "scale";

/// Whoever may use commands at all sees it: who may do what is asked of their roles each time. A server's owner can
/// narrow it down further, by role and channel. (Discord's permission "Use Application Commands".)
const SEEN_BY: &str = "2147483648";

/// Discord's numbers for what an option is.
const SUBCOMMAND: u8 = 1;
const STRING: u8 = 3;
const INTEGER: u8 = 4;
const NUMBER: u8 = 10;

/// Registers `/scale` in the server, unless exactly that is registered already. Whether anything was done.
///
/// # Errors
/// When Discord refuses or cannot be reached.
pub(crate) async fn register(rest: &Rest, application: ApplicationId, guild: GuildId) -> Result<bool, Fault> {
    let wanted = definition();
    if is_registered(&rest.commands(application, guild).await?) {
        return Ok(false);
    }
    rest.register(application, guild, json!([wanted])).await?;
    Ok(true)
}

/// Whether exactly that is registered.
pub(crate) fn is_registered(found: &[Registered]) -> bool {
    matches!(found, [only] if is_same(&definition(), only))
}

/// The command as it is registered.
pub(crate) fn definition() -> Value {
    json!({
        "name": NAME,
        "type": 1,
        "description": "Scale a fleet by its runbook: checked, approved, verified, watched, and taken back if need be",
        "default_member_permissions": SEEN_BY,
        "options": Word::ALL.map(subcommand),
    })
}

fn subcommand(word: Word) -> Value {
    let mut options = match word {
        Word::Up | Word::Down | Word::Plan => {
            vec![whole("count", "How many instances there are to be in all", 1, MAX_REPLICAS, true)]
        }
        Word::History => vec![whole("count", "How many operations to show", 1, MAX_HISTORY, false)],
        Word::Capacity => vec![json!({
            "type": NUMBER,
            "name": "load",
            "description": "Requests per second; left out, the present load",
            "min_value": 0.01,
            "max_value": Rate::MAX,
        })],
        Word::Followups => vec![whole("close", "The number of one that is done", 1, i32::MAX as u32, false)],
        Word::Rollback | Word::Cancel | Word::Status | Word::Help => vec![],
    };
    if matches!(word, Word::Up | Word::Down | Word::Rollback | Word::Followups) {
        options.push(json!({
            "type": STRING,
            "name": "reason",
            "description": "Why, for the record",
            "max_length": MAX_REASON,
        }));
    }
    if word != Word::Help {
        options.push(json!({
            "type": STRING,
            "name": "target",
            "description": "Which fleet; left out, the first one",
            "max_length": MAX_TARGET,
            "autocomplete": true,
        }));
    }
    json!({ "type": SUBCOMMAND, "name": word.as_str(), "description": does(word), "options": options })
}

fn whole(name: &str, description: &str, least: u32, most: u32, required: bool) -> Value {
    json!({
        "type": INTEGER,
        "name": name,
        "description": description,
        "min_value": least,
        "max_value": most,
        "required": required,
    })
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
pub(crate) fn request(data: &InteractionData) -> Result<Request, NoCommand> {
    let Some(subcommand) = data.options.first() else { return request::parse("/scale") };
    let mut text = format!("/scale {}", subcommand.name);
    let given = |name: &str| subcommand.options.iter().find(|option| option.name == name).and_then(shown);
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

fn shown(option: &CommandOption) -> Option<String> {
    match option.value.as_ref()? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64().filter(|_| !number.is_u64() && !number.is_i64()) {
            Some(number) => number.to_string(),
            None => number.to_string(),
        }),
        _ => None,
    }
}

/// What completes what is being typed.
pub(crate) fn completions(data: &InteractionData, targets: &[TargetName]) -> Value {
    let focused = data.options.iter().flat_map(|subcommand| &subcommand.options).find(|option| option.focused);
    let typed = match focused {
        Some(option) if option.name == "target" => option.value.as_ref().and_then(Value::as_str).unwrap_or_default(),
        _ => return json!([]),
    };
    let typed = typed.trim().to_lowercase();
    let fits = |name: &&TargetName| {
        let name = name.as_str();
        name.len() <= CHOICE && !name.is_empty() && name.to_lowercase().contains(&typed)
    };
    let choice = |name: &TargetName| json!({ "name": name.as_str(), "value": name.as_str() });
    targets.iter().filter(fits).take(CHOICES).map(choice).collect()
}

/// Whether what is registered is exactly what is wanted, apart from what Discord adds.
fn is_same(wanted: &Value, found: &Registered) -> bool {
    let mut rest = found.rest.clone();
    rest.insert("name".to_owned(), json!(found.name));
    plain(wanted) == plain(&Value::Object(rest))
}

/// What of a definition is ours to say, in one form: what is left out and what is empty are the same.
fn plain(value: &Value) -> Value {
    const OURS: [&str; 12] = [
        "name",
        "type",
        "description",
        "default_member_permissions",
        "options",
        "required",
        "min_value",
        "max_value",
        "max_length",
        "min_length",
        "autocomplete",
        "choices",
    ];
    match value {
        Value::Object(fields) => {
            let ours = fields.iter().filter(|(name, _)| OURS.contains(&name.as_str()));
            let plain = ours.map(|(name, value)| (name.clone(), plain(value)));
            Value::Object(plain.filter(|(_, value)| !is_nothing(value)).collect::<Map<_, _>>())
        }
        Value::Array(values) => values.iter().map(plain).collect(),
        Value::Number(number) => json!(number.as_f64()),
        other => other.clone(),
    }
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use scalebot_commands::request::Direction;
    use scalebot_commands::units::Replicas;

    use super::*;
    use crate::discord::drawing::limits::length;

    #[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
    fn filled_in(word: &str, options: Value) -> InteractionData {
        let options: Vec<Value> = options
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value, "type": 3 }))
            .collect();
        serde_json::from_value(json!({ "name": "scale", "options": [{ "name": word, "type": 1, "options": options }] }))
            .unwrap()
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
        assert!(request(&InteractionData::default()).is_err());
    }

    #[test]
    fn the_definition_is_within_discords_limits_and_covers_the_grammar() {
        let definition = definition();
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
            let mut found = definition();
            found["id"] = json!("900");
            found["application_id"] = json!("7");
            found["version"] = json!("901");
            found["nsfw"] = json!(false);
            found["contexts"] = Value::Null;
            found["options"][0]["options"][0]["min_value"] = json!(1.0);
            found["options"][9].as_object_mut().unwrap().remove("options");
            change(&mut found);
            is_same(&definition(), &serde_json::from_value(found).unwrap())
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
            let mut data = filled_in("status", json!({ name: typed }));
            data.options[0].options[0].focused = true;
            completions(&data, &targets)
        };
        assert_eq!(complete("target", "API-3 ")[0], json!({ "name": "api-3", "value": "api-3" }));
        assert_eq!(complete("target", "").as_array().unwrap().len(), CHOICES);
        assert_eq!(complete("reason", "api"), json!([]));
        assert_eq!(completions(&InteractionData::default(), &targets), json!([]));
    }
}
