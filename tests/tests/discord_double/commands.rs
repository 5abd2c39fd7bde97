//! Registering commands: what comes back, what stays the same, and every bound of the form.

use std::time::Duration;

use scalebot_tests::discord::Discord;
use serde_json::{Value, json};

use crate::client::{Api, Got};

struct Registry {
    discord: Discord,
    api: Api,
    path: String,
}

impl Registry {
    fn new() -> Self {
        let discord = Discord::ready_made();
        let path = format!("/applications/{}/guilds/{}/commands", discord.application(), discord.guild());
        Self { api: Api::of(&discord), discord, path }
    }

    async fn put(&self, commands: Value) -> Got {
        self.discord.advance(Duration::from_secs(20));
        self.api.put(&self.path, Some(commands)).await
    }

    /// Where a single command with these options is refused, and why.
    async fn refused(&self, options: Value, path: &str) -> String {
        self.put(json!([{ "name": "scale", "description": "d", "options": options }])).await.wrong_at(path)
    }
}

pub(crate) fn scale() -> Value {
    json!({
        "name": "scale", "description": "Scales the fleet", "type": 1, "default_member_permissions": "0",
        "options": [
            { "type": 1, "name": "up", "description": "More instances", "options": [
                { "type": 4, "name": "count", "description": "How many in all", "required": true, "min_value": 1, "max_value": 500 },
                { "type": 3, "name": "target", "description": "Which fleet", "autocomplete": true },
                { "type": 3, "name": "reason", "description": "Why", "max_length": 300 },
            ] },
            { "type": 1, "name": "status", "description": "How it is", "options": [] },
        ],
    })
}

#[tokio::test]
async fn a_command_comes_back_as_registered_and_stays_the_same_while_nothing_changes() {
    let registry = Registry::new();
    let first = registry.put(json!([scale()])).await.ok();
    assert_eq!(first[0]["default_member_permissions"], "0");
    assert_eq!(first[0]["options"][0]["options"][0]["max_value"], 500);
    assert!(first[0]["options"][1].get("options").is_none(), "what is empty is left out");
    assert_eq!(registry.put(json!([scale()])).await.ok(), first);
    assert_eq!(registry.api.get(&registry.path).await.ok(), first);

    let mut other = scale();
    other["description"] = json!("Scales the fleet by the runbook");
    let changed = registry.put(json!([other])).await.ok();
    assert_eq!(changed[0]["id"], first[0]["id"]);
    assert_ne!(changed[0]["version"], first[0]["version"]);

    let one = format!("{}/{}", registry.path, first[0]["id"].as_str().unwrap());
    let patched = registry.api.patch(&one, json!({ "description": "Scales" })).await.ok();
    assert_eq!((&patched["description"], &patched["options"]), (&json!("Scales"), &changed[0]["options"]));
    let created = registry.api.post(&registry.path, json!({ "name": "ping", "description": "p" })).await;
    assert_eq!(created.status, 201);
    assert_eq!(registry.api.post(&registry.path, json!({ "name": "ping", "description": "q" })).await.status, 200);
    assert_eq!(registry.api.delete(&one).await.status, 204);
    assert_eq!(registry.api.get(&one).await.refusal(), (404, 10063));
    assert_eq!(registry.discord.commands().len(), 1);
    let elsewhere = registry.path.replace(&registry.discord.guild().to_string(), "1");
    assert_eq!(registry.api.get(&elsewhere).await.refusal(), (404, 10004));
}

#[tokio::test]
async fn the_form_of_a_command_is_bounded() {
    let registry = Registry::new();
    let named =
        async |name: &str, description: &str| registry.put(json!([{ "name": name, "description": description }])).await;
    assert_eq!(named(&"n".repeat(32), &"d".repeat(100)).await.status, 200);
    assert_eq!(named(&"n".repeat(33), "d").await.wrong_at("0.name"), "BASE_TYPE_BAD_LENGTH");
    assert_eq!(named("n", &"d".repeat(101)).await.wrong_at("0.description"), "BASE_TYPE_BAD_LENGTH");
    assert_eq!(named("n", "").await.wrong_at("0.description"), "BASE_TYPE_REQUIRED");
    for odd in ["Scale", "scale up", "scale!"] {
        assert_eq!(named(odd, "d").await.wrong_at("0.name"), "APPLICATION_COMMAND_INVALID_NAME", "{odd}");
    }
    let twice = registry.put(json!([{ "name": "a", "description": "d" }, { "name": "a", "description": "e" }])).await;
    assert_eq!(twice.wrong_at("1"), "APPLICATION_COMMANDS_DUPLICATE_NAME");
    let bits = registry.put(json!([{ "name": "a", "description": "d", "default_member_permissions": "many" }])).await;
    assert_eq!(bits.wrong_at("0.default_member_permissions"), "BITFIELD_TYPE_INVALID");
    let many: Vec<Value> = (0..101).map(|n| json!({ "name": format!("c{n}"), "description": "d" })).collect();
    assert_eq!(registry.put(json!(many)).await.refusal(), (400, 30032));
}

#[tokio::test]
async fn the_options_of_a_command_are_bounded() {
    let registry = Registry::new();
    let option = |n: usize| json!({ "type": 3, "name": format!("o{n}"), "description": "d" });
    let many: Vec<Value> = (0..26).map(option).collect();
    assert_eq!(registry.put(json!([{ "name": "n", "description": "d", "options": many[..25] }])).await.status, 200);
    assert_eq!(registry.refused(json!(many), "0.options").await, "BASE_TYPE_MAX_LENGTH");
    let mut late = option(2);
    late["required"] = json!(true);
    assert_eq!(
        registry.refused(json!([option(1), late]), "0.options.1").await,
        "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID"
    );
    assert_eq!(
        registry.refused(json!([option(1), option(1)]), "0.options.1.name").await,
        "APPLICATION_COMMAND_OPTIONS_NAME_ALREADY_EXISTS"
    );
    let sub = json!({ "type": 1, "name": "sub", "description": "d" });
    assert_eq!(
        registry.refused(json!([sub, option(1)]), "0.options").await,
        "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID"
    );
    let both = json!({ "type": 3, "name": "n", "description": "d", "autocomplete": true, "choices": [{ "name": "a", "value": "a" }] });
    assert_eq!(
        registry.refused(json!([both]), "0.options.0").await,
        "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_CHOICES"
    );
    let wrong = json!({ "type": 4, "name": "n", "description": "d", "choices": [{ "name": "a", "value": "a" }] });
    assert_eq!(
        registry.refused(json!([wrong]), "0.options.0.choices.0.value").await,
        "APPLICATION_COMMAND_OPTIONS_CHOICE_VALUE"
    );
    let upside = json!({ "type": 4, "name": "n", "description": "d", "min_value": 9, "max_value": 3 });
    assert_eq!(registry.refused(json!([upside]), "0.options.0.min_value").await, "APPLICATION_COMMAND_OPTIONS_MIN_MAX");
    let nothing = json!({ "type": 99, "name": "n", "description": "d" });
    assert_eq!(registry.refused(json!([nothing]), "0.options.0.type").await, "UNION_TYPE_CHOICES");
    let choices: Vec<Value> =
        (0..25).map(|n| json!({ "name": "c".repeat(100), "value": format!("{n:0>100}") })).collect();
    let big: Vec<Value> =
        (0..2).map(|n| json!({ "type": 3, "name": format!("o{n}"), "description": "d", "choices": choices })).collect();
    assert_eq!(registry.refused(json!(big), "0").await, "APPLICATION_COMMAND_TOO_LARGE");
}

#[tokio::test]
async fn a_hidden_command_is_offered_to_administrators_and_to_whom_it_was_granted() {
    let registry = Registry::new();
    let discord = &registry.discord;
    registry.put(json!([scale()])).await.ok();
    assert!(discord.person("operator").sees_command("scale"));
    assert!(discord.person("admin").sees_command("scale"), "an administrator sees everything");
    assert!(!discord.person("former lead").sees_command("scale"));
    assert!(!discord.person("operator").in_channel("governance").sees_command("scale"), "who does not see the channel");
    discord.grant_command("scale", &[]);
    assert!(!discord.person("operator").sees_command("scale"));
    let id = discord.commands()[0]["id"].as_str().unwrap().to_owned();
    let none = registry.api.get(&format!("{}/{id}/permissions", registry.path)).await;
    assert_eq!(none.refusal(), (404, 10066));
    discord.grant_command("scale", &["viewer"]);
    let granted = registry.api.get(&format!("{}/permissions", registry.path)).await.ok();
    assert_eq!(granted[0]["permissions"], json!([{ "id": discord.role("viewer"), "type": 1, "permission": true }]));
}
