//! How fast a bot may ask, and what becomes of one that does not wait.

use std::time::Duration;

use scalebot_tests::discord::{Discord, Failure, GLOBAL};
use serde_json::json;

use crate::client::Api;

const SEND: &str = "POST /channels/{channel_id}/messages";

#[tokio::test]
async fn a_bucket_says_what_is_left_and_turns_away_what_is_too_much() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}/messages", discord.channel_id("ops"));
    let post = async |path: &str| api.post(path, json!({ "content": "x" })).await;
    for left in (0..5).rev() {
        let got = post(&ops).await;
        assert_eq!((got.status, got.header("x-ratelimit-limit")), (200, "5"));
        assert_eq!(got.header("x-ratelimit-remaining"), left.to_string());
        assert!(got.header("x-ratelimit-reset-after").parse::<f64>().unwrap() <= 5.0);
    }
    let too_much = post(&ops).await;
    assert_eq!(too_much.status, 429);
    assert_eq!(too_much.body["global"], false);
    let wait = too_much.body["retry_after"].as_f64().unwrap();
    assert!((0.1..=5.0).contains(&wait), "{wait}");
    assert_eq!(too_much.header("x-ratelimit-scope"), "user");
    assert!(too_much.header("retry-after").parse::<u32>().unwrap() >= 1);

    let governance = format!("/channels/{}/messages", discord.channel_id("governance"));
    let elsewhere = post(&governance).await;
    assert_eq!(elsewhere.status, 200, "each channel has a bucket of its own");
    assert_eq!(elsewhere.header("x-ratelimit-bucket"), too_much.header("x-ratelimit-bucket"));
    discord.advance(Duration::from_secs_f64(wait));
    assert_eq!(post(&ops).await.status, 200);
    assert_eq!(discord.violations(), [""; 0]);
}

#[tokio::test]
async fn who_does_not_wait_is_noted() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}/messages", discord.channel_id("ops"));
    discord.allow(SEND, 1, Duration::from_mins(1));
    api.post(&ops, json!({ "content": "x" })).await.ok();
    assert_eq!(api.post(&ops, json!({ "content": "x" })).await.status, 429);
    assert_eq!(discord.violations(), [""; 0], "who is told for the first time could not know");
    assert_eq!(api.post(&ops, json!({ "content": "x" })).await.status, 429);
    let noted = discord.violations();
    assert!(noted.len() == 1 && noted[0].contains("before the time"), "{noted:?}");
    assert_eq!(discord.invalid_requests(), 2);
}

#[tokio::test]
async fn fifty_requests_a_second_are_all_there_are_whatever_the_route() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let guild = discord.guild();
    discord.allow("GET /guilds/{guild_id}", 1000, Duration::from_secs(1));
    let asks = (0..GLOBAL + 10).map(|_| async { api.get(&format!("/guilds/{guild}")).await });
    let answers = futures::future::join_all(asks).await;
    let refused: Vec<_> = answers.iter().filter(|got| got.status == 429).collect();
    assert!(!refused.is_empty(), "sixty at once");
    for got in refused {
        assert_eq!(got.body["global"], true);
        assert_eq!((got.header("x-ratelimit-global"), got.header("x-ratelimit-scope")), ("true", "global"));
    }
    discord.advance(Duration::from_secs(1));
    assert_eq!(api.get("/users/@me").await.status, 200);
    discord.violations();
}

#[tokio::test]
async fn a_test_can_have_any_request_fail_so_often() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}/messages", discord.channel_id("ops"));
    let post = async || api.post(&ops, json!({ "content": "x" })).await;
    discord.fail_next(2, SEND, Failure::Status(500));
    assert_eq!(api.get("/users/@me").await.status, 200, "only the route that was named");
    assert_eq!((post().await.status, post().await.status, post().await.status), (500, 500, 200));

    discord.fail_next(1, SEND, Failure::RouteLimit(Duration::from_secs(3)));
    let limited = post().await;
    assert_eq!(
        (limited.status, &limited.body["retry_after"], &limited.body["global"]),
        (429, &json!(3.0), &json!(false))
    );
    discord.advance(Duration::from_secs(3));
    assert_eq!(post().await.status, 200);

    discord.fail_next_of_any(1, Failure::GlobalLimit(Duration::from_secs(2)));
    assert_eq!(api.get("/users/@me").await.body["global"], true);
    assert_eq!(post().await.status, 200);
    let noted = discord.violations();
    assert!(noted.len() == 1 && noted[0].contains("before the time"), "another route has to wait too: {noted:?}");

    discord.advance(Duration::from_secs(2));
    let before = discord.channel("ops").messages().len();
    discord.fail_next(1, SEND, Failure::AnswerLost);
    assert_eq!(post().await.status, 502);
    assert_eq!(discord.channel("ops").messages().len(), before + 1, "it was done all the same");
}

#[tokio::test]
async fn an_address_with_too_many_invalid_requests_is_banned_for_a_while() {
    let discord = Discord::ready_made();
    discord.ban_after(3);
    let (nobody, bot) = (Api::with_token(&discord, "wrong"), Api::of(&discord));
    for _ in 0..3 {
        assert_eq!(nobody.get("/users/@me").await.status, 401);
    }
    let banned = bot.get("/users/@me").await;
    assert_eq!((banned.status, &banned.body), (429, &serde_json::Value::Null), "what bans is not the API");
    assert!(discord.violations()[0].contains("banned"));
    discord.advance(Duration::from_mins(10));
    assert_eq!(bot.get("/users/@me").await.status, 200);
}
