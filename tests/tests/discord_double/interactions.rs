//! Interactions: what the bot is told, the one answer it has three seconds for, and what it may say afterwards.

use std::time::Duration;

use scalebot_tests::discord::{ACKNOWLEDGE_WITHIN, Answer, Asked, Discord, Seen, TOKEN_LIFE, Whence};
use serde_json::{Value, json};

use crate::client::{Api, Got, INTENTS, Link};
use crate::commands::scale;

/// A bot in the tests' hands: its API and its connection, with `/scale` registered.
struct Bot {
    discord: Discord,
    api: Api,
    link: Link,
}

impl Bot {
    async fn ready() -> Self {
        let discord = Discord::ready_made();
        let api = Api::of(&discord);
        let path = format!("/applications/{}/guilds/{}/commands", discord.application(), discord.guild());
        api.put(&path, Some(json!([scale()]))).await.ok();
        let link = Link::ready(&discord, INTENTS).await;
        Self { discord, api, link }
    }

    async fn asked(&mut self) -> Value {
        self.link.event("INTERACTION_CREATE").await
    }

    async fn callback(&self, interaction: &Value, body: Value) -> Got {
        self.api.post(&callback(interaction), body).await
    }

    fn webhook(&self, interaction: &Value) -> String {
        format!("/webhooks/{}/{}", self.discord.application(), interaction["token"].as_str().unwrap())
    }

    /// A message with these buttons, as the bot posts it.
    async fn card(&self, channel: &str, labels: &[&str]) -> Seen {
        let buttons: Vec<Value> = labels
            .iter()
            .map(|label| json!({ "type": 2, "style": 1, "label": label, "custom_id": format!("id:{label}") }))
            .collect();
        let body = json!({ "content": "card", "components": [{ "type": 1, "components": buttons }] });
        let path = format!("/channels/{}/messages", self.discord.channel_id(channel));
        let sent = self.api.post(&path, body).await.ok();
        self.discord.channel(channel).message_where(|seen| sent["id"] == seen.id.to_string()).await
    }
}

fn callback(interaction: &Value) -> String {
    format!("/interactions/{}/{}/callback", interaction["id"].as_str().unwrap(), interaction["token"].as_str().unwrap())
}

fn message(text: &str) -> Value {
    json!({ "type": 4, "data": { "content": text } })
}

#[tokio::test]
async fn a_command_is_told_with_who_typed_it_where_and_what_and_its_answer_is_seen() {
    let mut bot = Bot::ready().await;
    let asked = bot.discord.person("operator").command("up", &[("count", json!(6)), ("reason", json!("load"))]);
    let told = bot.asked().await;
    assert_eq!((&told["type"], &told["id"]), (&json!(2), &json!(asked.id)));
    assert_eq!(told["member"]["user"]["id"], bot.discord.user("operator").to_string());
    assert_eq!(told["member"]["roles"], json!([bot.discord.role("operator")]));
    assert_eq!(
        (&told["guild_id"], &told["channel_id"]),
        (&json!(bot.discord.guild()), &json!(bot.discord.channel_id("ops")))
    );
    let up = &told["data"]["options"][0];
    assert_eq!((&told["data"]["name"], &up["name"]), (&json!("scale"), &json!("up")));
    assert_eq!(up["options"][0], json!({ "name": "count", "type": 4, "value": 6 }));
    assert_eq!(up["options"][1], json!({ "name": "reason", "type": 3, "value": "load" }));

    assert_eq!(bot.callback(&told, message("Taken.")).await.status, 204);
    let answer = asked.message().await;
    assert_eq!((answer.content.as_str(), answer.ephemeral), ("Taken.", false));
    assert_eq!(bot.discord.channel("ops").messages().len(), 1);
    assert_eq!(bot.callback(&told, message("Again.")).await.refusal(), (400, 40060));
}

#[tokio::test]
async fn a_private_answer_is_seen_by_who_asked_and_by_nobody_else() {
    let mut bot = Bot::ready().await;
    let asked = bot.discord.person("viewer").ask("status");
    let told = bot.asked().await;
    let private = json!({ "type": 4, "data": { "content": "only you", "flags": 64 } });
    let got = bot.api.post(&(callback(&told) + "?with_response=true"), private).await.ok();
    assert_eq!(got["interaction"]["response_message_ephemeral"], true);
    let answer = asked.message().await;
    assert!(answer.ephemeral);
    assert!(bot.discord.channel("ops").messages().is_empty());
    let path = format!("/channels/{}/messages/{}", bot.discord.channel_id("ops"), answer.id);
    assert_eq!(bot.api.get(&path).await.refusal(), (404, 10008), "the bot's own token does not reach it");
    assert_eq!(bot.api.patch(&path, json!({ "content": "x" })).await.refusal(), (404, 10008));
    let original = format!("{}/messages/@original", bot.webhook(&told));
    bot.api.patch(&original, json!({ "content": "only you, later" })).await.ok();
    assert_eq!(answer.now().unwrap().content, "only you, later");
    assert_eq!(bot.api.delete(&original).await.status, 204);
    assert!(asked.said().is_empty());
}

#[tokio::test]
async fn who_is_thinking_has_fifteen_minutes_and_no_longer() {
    let mut bot = Bot::ready().await;
    let asked = bot.discord.person("operator").ask("status");
    let told = bot.asked().await;
    assert_eq!(bot.callback(&told, json!({ "type": 5 })).await.status, 204);
    asked.acknowledged().await;
    assert!(asked.said()[0].thinking);

    bot.discord.advance(TOKEN_LIFE.saturating_sub(Duration::from_mins(1)));
    let first = bot.api.post(&bot.webhook(&told), json!({ "content": "first" })).await.ok();
    let answer = asked.message().await;
    assert_eq!(answer.id.to_string(), first["id"], "what is said first takes the place of the thinking");
    let second = bot.api.post(&bot.webhook(&told), json!({ "content": "second" })).await.ok();
    let path = format!("{}/messages/{}", bot.webhook(&told), second["id"].as_str().unwrap());
    bot.api.patch(&path, json!({ "content": "second, later" })).await.ok();
    assert_eq!(bot.api.get(&path).await.ok()["content"], "second, later");
    assert_eq!(asked.said_where(|seen| seen.content.contains("later")).await.id.to_string(), second["id"]);

    bot.discord.advance(Duration::from_mins(1));
    assert_eq!(bot.api.post(&bot.webhook(&told), json!({ "content": "third" })).await.refusal(), (401, 50027));
    assert_eq!(bot.api.patch(&path, json!({ "content": "x" })).await.refusal(), (401, 50027));
    let by_token = format!("/channels/{}/messages/{}", bot.discord.channel_id("ops"), second["id"].as_str().unwrap());
    bot.api.patch(&by_token, json!({ "content": "the bot's own token still does" })).await.ok();
}

#[tokio::test]
async fn an_answer_after_three_seconds_is_too_late_and_seen_as_none() {
    let mut bot = Bot::ready().await;
    let asked = bot.discord.person("operator").ask("status");
    let told = bot.asked().await;
    assert_eq!(bot.api.post(&bot.webhook(&told), json!({ "content": "x" })).await.refusal(), (404, 10015));
    bot.discord.advance(ACKNOWLEDGE_WITHIN);
    assert!(matches!(asked.answer().await, Answer::NotInTime));
    assert_eq!(bot.callback(&told, message("late")).await.refusal(), (404, 10062));
    let mut foreign = told.clone();
    foreign["token"] = json!("another");
    assert_eq!(bot.callback(&foreign, message("x")).await.refusal(), (404, 10062));
}

#[tokio::test]
async fn two_processes_on_one_token_are_both_told_and_one_is_heard() {
    let mut bot = Bot::ready().await;
    let mut other = Link::ready(&bot.discord, INTENTS).await;
    let asked = bot.discord.person("operator").ask("status");
    let (told, also) = (bot.asked().await, other.event("INTERACTION_CREATE").await);
    assert_eq!(told, also);
    assert_eq!(bot.callback(&told, message("from one")).await.status, 204);
    assert_eq!(bot.callback(&also, message("from the other")).await.refusal(), (400, 40060));
    assert_eq!(asked.message().await.content, "from one");
}

#[tokio::test]
async fn a_button_is_told_with_its_message_and_can_change_it() {
    let mut bot = Bot::ready().await;
    let card = bot.card("governance", &["Approve", "Reject"]).await;
    assert_eq!(card.buttons(), ["Approve", "Reject"]);
    let pressed = bot.discord.person("lead").press(&card, "Approve");
    let told = bot.asked().await;
    assert_eq!((&told["type"], &told["data"]["custom_id"]), (&json!(3), &json!("id:Approve")));
    assert_eq!(told["message"]["id"], card.id.to_string());
    bot.callback(&told, json!({ "type": 7, "data": { "content": "approved", "components": [] } })).await;
    assert!(matches!(pressed.answer().await, Answer::Nothing));
    let now = card.now().unwrap();
    assert_eq!((now.content.as_str(), now.buttons().len(), now.edits), ("approved", 0, 1));

    let card = bot.card("governance", &["Approve"]).await;
    bot.discord.person("lead2").press(&card, "Approve");
    let told = bot.asked().await;
    assert_eq!(bot.callback(&told, json!({ "type": 6 })).await.status, 204);
    bot.api.patch(&format!("{}/messages/@original", bot.webhook(&told)), json!({ "content": "seen" })).await.ok();
    assert_eq!(card.now().unwrap().content, "seen");
    let private = json!({ "content": "you are the requester", "flags": 64 });
    bot.api.post(&bot.webhook(&told), private).await.ok();
    assert_eq!(bot.discord.channel("governance").messages().len(), 2);
}

#[tokio::test]
async fn what_a_person_cannot_do_fails_the_test() {
    let mut bot = Bot::ready().await;
    let card = bot.card("governance", &["Approve"]).await;
    let fails = |act: &dyn Fn() -> Asked| std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).is_err();
    let (lead, operator) = (bot.discord.person("lead"), bot.discord.person("operator"));
    assert!(fails(&|| lead.press(&card, "Reject")), "no such button");
    assert!(fails(&|| operator.press(&card, "Approve")), "they do not see that channel");
    assert!(fails(&|| operator.ask("sideways")), "no such command");
    assert!(fails(&|| operator.ask("up")), "an option is missing");
    assert!(fails(&|| operator.command("up", &[("count", 0)])), "beyond its bounds");
    assert!(fails(&|| operator.command("up", &[("count", "six")])), "no number");
    assert!(fails(&|| operator.command("up", &[("count", 6), ("speed", 1)])), "no such option");
    assert!(fails(&|| bot.discord.person("former lead").ask("status")), "not offered to them");
    operator.ask("status");
    bot.asked().await;
}

#[tokio::test]
async fn proposals_are_shown_while_somebody_types() {
    let mut bot = Bot::ready().await;
    let operator = bot.discord.person("operator");
    let typing = operator.proposals("up", "target", "con");
    let answering = async {
        let told = bot.link.event("INTERACTION_CREATE").await;
        let focused = &told["data"]["options"][0]["options"][0];
        assert_eq!((&told["type"], &focused["value"], &focused["focused"]), (&json!(4), &json!("con"), &json!(true)));
        let wrong = bot.api.post(&callback(&told), message("x")).await;
        assert_eq!(wrong.wrong_at("type"), "INTERACTION_TYPE_INVALID");
        let many: Vec<Value> = (0..26).map(|n| json!({ "name": n.to_string(), "value": n.to_string() })).collect();
        let too_many = bot.api.post(&callback(&told), json!({ "type": 8, "data": { "choices": many } })).await;
        assert_eq!(too_many.wrong_at("data.choices"), "BASE_TYPE_MAX_LENGTH");
        let choices = json!([{ "name": "Conclave", "value": "conclave" }]);
        bot.api.post(&callback(&told), json!({ "type": 8, "data": { "choices": choices } })).await.status
    };
    let (proposals, status) = tokio::join!(typing, answering);
    assert_eq!((proposals, status), (vec![("Conclave".to_owned(), json!("conclave"))], 204));
}

#[tokio::test]
async fn a_form_comes_up_is_filled_in_and_told() {
    let mut bot = Bot::ready().await;
    let asked = bot.discord.person("operator").command("up", &[("count", 6)]);
    let told = bot.asked().await;
    let form = json!({ "type": 9, "data": { "custom_id": "why:42", "title": "Why?", "components": [
        { "type": 1, "components": [{ "type": 4, "custom_id": "reason", "label": "Reason", "style": 2, "max_length": 300 }] },
    ] } });
    let mut untitled = form.clone();
    untitled["data"]["title"] = json!("");
    assert_eq!(bot.callback(&told, untitled).await.wrong_at("data.title"), "BASE_TYPE_REQUIRED");
    assert_eq!(bot.callback(&told, form).await.status, 204);
    let sent = bot.discord.person("operator").fill_in(&asked, &[("Reason", "load")]).await;
    let told = bot.asked().await;
    assert_eq!((&told["type"], &told["data"]["custom_id"]), (&json!(5), &json!("why:42")));
    assert_eq!(told["data"]["components"][0]["components"][0]["value"], "load");
    bot.callback(&told, message("thank you")).await;
    assert_eq!(sent.message().await.content, "thank you");
}

#[tokio::test]
async fn an_answer_is_bounded_like_any_message() {
    let mut bot = Bot::ready().await;
    bot.discord.person("operator").ask("status");
    let told = bot.asked().await;
    let long = bot.callback(&told, message(&"x".repeat(2001))).await;
    assert_eq!(long.wrong_at("data.content"), "BASE_TYPE_MAX_LENGTH");
    assert_eq!(bot.callback(&told, json!({ "type": 4, "data": {} })).await.refusal(), (400, 50006));
    assert_eq!(
        bot.callback(&told, json!({ "type": 7, "data": {} })).await.wrong_at("type"),
        "INTERACTION_TYPE_INVALID"
    );
    assert_eq!(bot.callback(&told, message("short")).await.status, 204);
}

#[tokio::test]
async fn who_comes_from_elsewhere_is_told_apart() {
    let mut bot = Bot::ready().await;
    let operator = bot.discord.person("operator");
    operator.from(Whence::OwnInstallation).ask("status");
    let own = bot.asked().await;
    assert_eq!(own["authorizing_integration_owners"], json!({ "1": bot.discord.user("operator") }));
    operator.from(Whence::DirectMessage).ask("status");
    let direct = bot.asked().await;
    assert!(direct.get("guild_id").is_none() && direct.get("member").is_none());
    assert_eq!((&direct["user"]["id"], &direct["context"]), (&json!(bot.discord.user("operator")), &json!(1)));
    operator.from(Whence::AnotherServer).ask("status");
    let other = bot.asked().await;
    assert_ne!(other["guild_id"], bot.discord.guild().to_string());
    assert_ne!(other["channel_id"], bot.discord.channel_id("ops").to_string());
}
