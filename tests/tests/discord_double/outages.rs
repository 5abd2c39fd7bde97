//! Discord away, and back.

use scalebot_tests::discord::{Away, Discord};
use serde_json::json;

use crate::client::{Api, INTENTS, Link};

#[tokio::test]
async fn unavailable_is_503_for_every_request_and_a_closed_gateway() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let mut link = Link::ready(&discord, INTENTS).await;
    discord.take_away(Away::Unavailable);
    assert_eq!(link.closing().await, None);
    assert_eq!(api.get("/users/@me").await.status, 503);
    let refused = tokio_tungstenite::connect_async(discord.address().replacen("http", "ws", 1) + "/?v=10").await;
    assert!(refused.is_err());
    discord.bring_back();
    assert_eq!(api.get("/users/@me").await.status, 200);
    Link::ready(&discord, INTENTS).await;
}

#[tokio::test]
async fn unreachable_is_no_connection_at_all() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let mut link = Link::ready(&discord, INTENTS).await;
    assert!(api.reaches().await);
    discord.take_away(Away::Unreachable);
    assert!(!api.reaches().await);
    assert_eq!(link.closing().await, None);
    discord.bring_back();
    assert!(api.reaches().await);
}

#[tokio::test]
async fn a_gateway_alone_can_be_closed_while_rest_goes_on() {
    let discord = Discord::ready_made();
    discord.refuse_gateway(true);
    let refused = tokio_tungstenite::connect_async(discord.address().replacen("http", "ws", 1) + "/?v=10").await;
    assert!(refused.is_err());
    assert_eq!(Api::of(&discord).get("/gateway/bot").await.status, 200);
    discord.refuse_gateway(false);
    Link::ready(&discord, INTENTS).await;
}

#[tokio::test]
async fn a_channel_that_is_deleted_is_unknown_from_then_on() {
    let discord = Discord::ready_made();
    let mut link = Link::ready(&discord, INTENTS).await;
    let log = discord.channel_id("scaling-log");
    discord.delete_channel("scaling-log");
    assert_eq!(link.event("CHANNEL_DELETE").await["id"], log.to_string());
    let post = Api::of(&discord).post(&format!("/channels/{log}/messages"), json!({ "content": "x" })).await;
    assert_eq!(post.refusal(), (404, 10003));
}

#[tokio::test]
async fn a_bot_that_is_thrown_out_knows_nothing_of_the_server_any_more() {
    let discord = Discord::ready_made();
    let (api, mut link) = (Api::of(&discord), Link::ready(&discord, INTENTS).await);
    discord.leave("scalebot");
    assert_eq!(link.event("GUILD_DELETE").await["id"], discord.guild().to_string());
    assert_eq!(api.get(&format!("/guilds/{}", discord.guild())).await.refusal(), (404, 10004));
    assert_eq!(api.get(&format!("/channels/{}", discord.channel_id("ops"))).await.refusal(), (403, 50001));
}

#[tokio::test]
async fn a_token_that_was_reset_is_good_for_nothing() {
    let discord = Discord::ready_made();
    let (api, token) = (Api::of(&discord), discord.token());
    let mut link = Link::ready(&discord, INTENTS).await;
    discord.reset_token();
    assert_eq!(link.closing().await, Some(4004));
    assert_eq!(api.get("/users/@me").await.refusal(), (401, 0));
    let mut again = Link::open(&discord).await;
    again.identify(&token, INTENTS).await;
    assert_eq!(again.closing().await, Some(4004));
}
