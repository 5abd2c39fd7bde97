//! What the bot may do, computed from roles and overwrites, and in which words it is told that it may not.

use std::time::Duration;

use reqwest::Method;
use scalebot_tests::discord::permissions::{
    ADD_REACTIONS, ATTACH_FILES, CREATE_PUBLIC_THREADS, EMBED_LINKS, Permissions, READ_MESSAGE_HISTORY, SEND_MESSAGES,
    SEND_MESSAGES_IN_THREADS, VIEW_CHANNEL,
};
use scalebot_tests::discord::scene::{BOT, Whose};
use scalebot_tests::discord::{Discord, Scene};
use serde_json::{Value, json};

use crate::client::{Api, Got};

#[tokio::test]
async fn each_permission_that_is_missing_is_missed_where_it_is_needed() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = format!("/channels/{}", discord.channel_id("ops"));
    let messages = format!("{ops}/messages");
    let card = api.post(&messages, json!({ "content": "card" })).await.ok();
    let card = format!("{messages}/{}", card["id"].as_str().unwrap());
    let (yes, threads) = (format!("{card}/reactions/%E2%9C%85/@me"), format!("{card}/threads"));
    let without = async |what: Permissions, ask: &dyn AsyncAsk| -> (u16, i64) {
        discord.advance(Duration::from_secs(6));
        discord.take_from_bot("ops", what);
        let got = ask.ask(&api).await;
        discord.give_to_bot("ops", what);
        got.refusal()
    };
    let plain = Ask(Method::POST, messages.clone(), json!({ "content": "x" }));
    let embed = Ask(Method::POST, messages.clone(), json!({ "embeds": [{ "title": "x" }] }));
    let read = Ask(Method::GET, card.clone(), Value::Null);
    let react = Ask(Method::PUT, yes, Value::Null);
    let thread = Ask(Method::POST, threads, json!({ "name": "x" }));
    let channel = Ask(Method::GET, ops.clone(), Value::Null);
    assert_eq!(without(VIEW_CHANNEL, &plain).await, (403, 50001));
    assert_eq!(without(VIEW_CHANNEL, &channel).await, (403, 50001));
    assert_eq!(without(SEND_MESSAGES, &plain).await, (403, 50013));
    assert_eq!(without(EMBED_LINKS, &embed).await, (403, 50013));
    assert_eq!(without(ATTACH_FILES, &Upload(messages.clone())).await, (403, 50013));
    assert_eq!(without(READ_MESSAGE_HISTORY, &read).await, (403, 50013));
    assert_eq!(without(READ_MESSAGE_HISTORY, &react).await, (403, 50013));
    assert_eq!(without(ADD_REACTIONS, &react).await, (403, 50013));
    assert_eq!(without(CREATE_PUBLIC_THREADS, &thread).await, (403, 50013));

    // Given back, all of it goes.
    for ask in [&plain, &embed, &read, &react, &thread, &channel] {
        discord.advance(Duration::from_secs(6));
        let got = ask.ask(&api).await;
        assert!(got.status < 300, "{} {}", got.status, got.body);
    }
    let inside = format!("/channels/{}/messages", card.rsplit('/').next().unwrap());
    discord.take_from_bot("ops", SEND_MESSAGES_IN_THREADS);
    assert_eq!(api.post(&inside, json!({ "content": "x" })).await.refusal(), (403, 50013));
}

#[tokio::test]
async fn without_the_history_a_channel_reads_as_empty() {
    let discord = Discord::ready_made();
    let (api, messages) = (Api::of(&discord), format!("/channels/{}/messages", discord.channel_id("ops")));
    api.post(&messages, json!({ "content": "x" })).await.ok();
    discord.take_from_bot("ops", READ_MESSAGE_HISTORY);
    assert_eq!(api.get(&messages).await.ok(), json!([]));
}

#[tokio::test]
async fn overwrites_count_in_their_order_and_an_administrator_stands_above_them() {
    let role = |name: &str| Whose::Role(name.to_owned());
    let scene = Scene::empty()
        .mentionable_role("in")
        .mentionable_role("out")
        .role("administrator", scalebot_tests::discord::permissions::ADMINISTRATOR)
        .person("both", &["in", "out"])
        .person("out", &["out"])
        .person("plain", &[])
        .person("invited", &["out"])
        .person("admin", &["administrator"])
        .channel("ops")
        .overwrite(Whose::Everyone, Permissions::NONE, SEND_MESSAGES)
        .overwrite(role("in"), SEND_MESSAGES, Permissions::NONE)
        .overwrite(role("out"), Permissions::NONE, SEND_MESSAGES)
        .overwrite(Whose::Person("invited".to_owned()), SEND_MESSAGES, Permissions::NONE);
    let discord = Discord::start(scene);
    let may = |name: &str| {
        let person = discord.person(name);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| person.writes("x"))).is_ok()
    };
    assert!(may("both"), "what one role gives another does not take");
    assert!(!may("out") && !may("plain"));
    assert!(may("invited"), "what is said of a person counts last");
    assert!(may("admin") && may("owner"));
    assert_eq!(discord.channel("ops").messages().len(), 4);
}

#[tokio::test]
async fn the_server_tells_what_a_doctor_needs_to_know() {
    let discord = Discord::ready_made();
    let (api, guild) = (Api::of(&discord), discord.guild());
    let roles = api.get(&format!("/guilds/{guild}/roles")).await.ok();
    let own =
        roles.as_array().unwrap().iter().find(|role| role["tags"]["bot_id"] == discord.bot().to_string()).unwrap();
    assert_eq!(own["permissions"], BOT.0.to_string());
    let counts = api.get(&format!("/guilds/{guild}/roles/member-counts")).await.ok();
    assert_eq!(counts[discord.role("governance lead").to_string()], 3);
    assert!(counts.get(guild.to_string()).is_none(), "everybody is not counted");
    let channels = api.get(&format!("/guilds/{guild}/channels")).await.ok();
    let log = channels.as_array().unwrap().iter().find(|one| one["name"] == "scaling-log").unwrap();
    let everyone = &log["permission_overwrites"][0];
    assert_eq!((&everyone["id"], &everyone["type"]), (&json!(guild), &json!(0)));
    assert!(Permissions(everyone["deny"].as_str().unwrap().parse().unwrap()).has(SEND_MESSAGES));

    let member = async |id: String| api.get(&format!("/guilds/{guild}/members/{id}")).await;
    assert_eq!(member(discord.user("lead").to_string()).await.ok()["user"]["username"], "lead");
    assert_eq!(member("1".to_owned()).await.refusal(), (404, 10013));
    discord.leave("former lead");
    assert_eq!(member(discord.user("former lead").to_string()).await.refusal(), (404, 10007));
    assert_eq!(api.get("/guilds/1").await.refusal(), (404, 10004));
    assert_eq!(api.get(&format!("/guilds/{guild}?with_counts=true")).await.ok()["approximate_member_count"], 11);
    let me = api.get("/users/@me").await.ok();
    assert_eq!((&me["id"], &me["bot"]), (&json!(discord.bot()), &json!(true)));
    let application = api.get("/applications/@me").await.ok();
    assert_eq!((&application["id"], &application["flags"]), (&json!(discord.application()), &json!(0)));
    discord.delete_channel("elsewhere");
    assert_eq!(api.get(&format!("/guilds/{guild}/channels")).await.ok().as_array().unwrap().len(), 3);
}

/// Something to ask, again and again.
trait AsyncAsk {
    fn ask<'a>(&'a self, api: &'a Api) -> std::pin::Pin<Box<dyn Future<Output = Got> + 'a>>;
}

struct Ask(Method, String, Value);

impl AsyncAsk for Ask {
    fn ask<'a>(&'a self, api: &'a Api) -> std::pin::Pin<Box<dyn Future<Output = Got> + 'a>> {
        Box::pin(async move {
            match self.0 {
                Method::GET => api.get(&self.1).await,
                Method::PUT => api.put(&self.1, None).await,
                _ => api.post(&self.1, self.2.clone()).await,
            }
        })
    }
}

struct Upload(String);

impl AsyncAsk for Upload {
    fn ask<'a>(&'a self, api: &'a Api) -> std::pin::Pin<Box<dyn Future<Output = Got> + 'a>> {
        Box::pin(api.upload(Method::POST, &self.0, json!({}), &[("a.txt", b"a")]))
    }
}
