//! What is gathered against a bot, and that a test does not get by with it.

use scalebot_tests::discord::{Discord, is_validated};
use serde_json::json;

use crate::client::Api;

#[tokio::test]
async fn what_discord_s_own_description_does_not_know_is_a_violation() {
    if !is_validated() {
        return;
    }
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}/messages", discord.channel_id("ops"));
    api.post(&ops, json!({ "content": "fine", "tts": false })).await.ok();
    assert_eq!(discord.violations(), [""; 0]);
    // The double takes both; the description does not.
    api.post(&ops, json!({ "content": "x", "tts": "yes" })).await.ok();
    api.get(&format!("{ops}?limit=5&sorted=true")).await.ok();
    let noted = discord.violations();
    assert_eq!(noted.len(), 2, "{noted:?}");
    assert!(noted[0].contains("/tts") && noted[1].contains("no parameter is called sorted"), "{noted:?}");
    assert_eq!(discord.violations(), [""; 0], "they are told once");
}

#[tokio::test]
async fn a_picture_that_is_not_there_is_a_violation() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}/messages", discord.channel_id("ops"));
    let body = json!({ "embeds": [{ "title": "x", "image": { "url": "attachment://chart.png" } }] });
    api.post(&ops, body).await.ok();
    assert!(discord.violations()[0].contains("chart.png, which is not attached"));
}

#[tokio::test]
async fn a_client_that_does_not_say_what_it_is_is_a_violation() {
    let discord = Discord::ready_made();
    reqwest::get(format!("{}/gateway", discord.api_base())).await.unwrap();
    assert!(discord.violations()[0].contains("user agent"));
}

#[tokio::test]
#[should_panic(expected = "the double has no GET /api/v9/users/@me")]
async fn a_test_that_ends_with_violations_fails() {
    let discord = Discord::ready_made();
    let client = reqwest::Client::builder().user_agent("DiscordBot (https://example.org, 1)").build().unwrap();
    client.get(format!("{}/api/v9/users/@me", discord.address())).send().await.unwrap();
}
