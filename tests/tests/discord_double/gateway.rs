//! The gateway: who is let in, what is told to whom, and what is told again.

use std::time::Duration;

use scalebot_tests::discord::{Discord, IDENTIFIES_A_DAY, RESUMABLE, Scene, intents};
use serde_json::{Value, json};

use crate::client::{Api, INTENTS, Link};

#[tokio::test]
async fn who_identifies_is_told_of_itself_and_of_the_server() {
    let discord = Discord::ready_made();
    let mut link = Link::open(&discord).await;
    link.identify(&discord.token(), INTENTS).await;

    let ready = link.event("READY").await;
    assert_eq!(ready["user"]["id"], discord.bot().to_string());
    assert_eq!(ready["application"]["id"], discord.application().to_string());
    assert_eq!(ready["guilds"], json!([{ "id": discord.guild().to_string(), "unavailable": true }]));
    assert!(ready["resume_gateway_url"].as_str().unwrap().starts_with("ws://127.0.0.1:"));
    assert_eq!(link.sequence, 1);

    let guild = link.event("GUILD_CREATE").await;
    let names: Vec<&str> =
        guild["channels"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["ops", "governance", "scaling-log", "elsewhere"]);
    assert_eq!(guild["members"].as_array().unwrap().len(), 1, "without the privileged intent only the bot itself");
    assert_eq!(discord.identifies()[0].intents, INTENTS);
}

#[tokio::test]
async fn without_the_intent_for_servers_there_is_no_guild_create() {
    let discord = Discord::ready_made();
    let mut link = Link::ready(&discord, 1 << 10).await;
    link.send(json!({ "op": 1, "d": 1 })).await;
    assert_eq!(link.next().await["op"], 11);
}

#[tokio::test]
async fn a_wrong_token_is_closed_with_4004_and_costs_an_identify() {
    let discord = Discord::ready_made();
    let mut link = Link::open(&discord).await;
    link.identify("wrong", INTENTS).await;
    assert_eq!(link.closing().await, Some(4004));
    assert_eq!(discord.identifies().len(), 1);
    let gateway = Api::of(&discord).get("/gateway/bot").await.ok();
    assert_eq!(gateway["session_start_limit"]["remaining"], IDENTIFIES_A_DAY - 1);
}

#[tokio::test]
async fn what_was_not_granted_is_closed_with_4014_and_what_does_not_exist_with_4013() {
    let discord = Discord::ready_made();
    for (asked, code) in [(INTENTS | 1 << 15, 4014), (INTENTS | 1 << 1, 4014), (1 << 40, 4013)] {
        let mut link = Link::open(&discord).await;
        link.identify(&discord.token(), asked).await;
        assert_eq!(link.closing().await, Some(code), "{asked:b}");
    }
    let granted = Discord::start(Scene::ready_made().privileged(intents::MESSAGE_CONTENT));
    Link::ready(&granted, INTENTS | 1 << 15).await;
}

#[tokio::test]
async fn what_is_no_payload_has_a_code_of_its_own() {
    let discord = Discord::ready_made();
    let cases = [("no json", 4002), (r#"{"op":99,"d":null}"#, 4001), (r#"{"op":3,"d":{}}"#, 4003)];
    for (text, code) in cases {
        let mut link = Link::open(&discord).await;
        link.send_text(text).await;
        assert_eq!(link.closing().await, Some(code), "{text}");
    }
    let mut twice = Link::ready(&discord, INTENTS).await;
    twice.identify(&discord.token(), INTENTS).await;
    assert_eq!(twice.closing().await, Some(4005));

    let mut chatty = Link::ready(&discord, INTENTS).await;
    for _ in 0..120 {
        chatty.send(json!({ "op": 1, "d": null })).await;
    }
    assert_eq!(chatty.closing().await, Some(4008));

    let (mut old, _) =
        tokio_tungstenite::connect_async(discord.address().replacen("http", "ws", 1) + "/?v=6").await.unwrap();
    let closed = futures::StreamExt::next(&mut old).await.unwrap().unwrap();
    assert!(
        matches!(closed, tokio_tungstenite::tungstenite::Message::Close(Some(frame)) if u16::from(frame.code) == 4012)
    );
}

#[tokio::test]
async fn who_resumes_is_told_what_happened_meanwhile_and_nothing_else() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let ops = discord.channel_id("ops");
    let card = api.post(&format!("/channels/{ops}/messages"), json!({ "content": "card" })).await.ok();
    let mut link = Link::ready(&discord, INTENTS).await;
    let (session, seen) = (link.session.clone(), link.sequence);

    discord.drop_connections();
    assert_eq!(link.closing().await, None, "a connection that is cut says nothing");
    discord.until_sessions(0).await;
    let card = discord.channel("ops").message_where(|seen| seen.id.to_string() == card["id"]).await;
    discord.person("lead").react(&card, "✅");
    discord.person("lead2").react(&card, "❌");

    let mut again = Link::open(&discord).await;
    again.resume(&discord.token(), &session, seen).await;
    let lead = again.event("MESSAGE_REACTION_ADD").await;
    assert_eq!((&lead["user_id"], &lead["emoji"]["name"]), (&json!(discord.user("lead")), &json!("✅")));
    assert_eq!(again.event("MESSAGE_REACTION_ADD").await["user_id"], discord.user("lead2").to_string());
    again.event("RESUMED").await;
    assert_eq!(again.sequence, seen + 3);
    assert_eq!((discord.identifies().len(), discord.resumes()), (1, 1));

    let (latest, mut third) = (again.sequence, Link::open(&discord).await);
    third.resume(&discord.token(), &session, latest).await;
    third.event("RESUMED").await;
    assert_eq!(again.closing().await, Some(4000), "a session has one connection");
}

#[tokio::test]
async fn a_session_that_is_too_old_unknown_or_another_s_is_not_resumed() {
    let discord = Discord::ready_made();
    let link = Link::ready(&discord, INTENTS).await;
    let (session, seen) = (link.session.clone(), link.sequence);

    let mut ahead = Link::open(&discord).await;
    ahead.resume(&discord.token(), &session, seen + 100).await;
    assert_eq!(ahead.closing().await, Some(4007));

    discord.drop_connections();
    discord.until_sessions(0).await;
    discord.advance(RESUMABLE);
    let mut late = Link::open(&discord).await;
    late.resume(&discord.token(), &session, seen).await;
    assert_eq!(late.next().await, json!({ "op": 9, "d": false }));
    // The connection goes on: the client identifies anew.
    late.identify(&discord.token(), INTENTS).await;
    late.event("READY").await;

    let mut unknown = Link::open(&discord).await;
    unknown.resume(&discord.token(), "no such session", 1).await;
    assert_eq!(unknown.next().await, json!({ "op": 9, "d": false }));
    let mut thief = Link::open(&discord).await;
    thief.resume("wrong", &session, 1).await;
    assert_eq!(thief.closing().await, Some(4004));
}

#[tokio::test]
async fn who_says_goodbye_with_1000_cannot_resume_and_with_4000_can() {
    let discord = Discord::ready_made();
    for (code, resumes) in [(1000, false), (4000, true)] {
        let link = Link::ready(&discord, INTENTS).await;
        let (session, seen) = (link.session.clone(), link.sequence);
        link.close(code).await;
        discord.until_sessions(0).await;
        let mut again = Link::open(&discord).await;
        again.resume(&discord.token(), &session, seen).await;
        let answer = again.next().await;
        assert_eq!(answer["t"] == "RESUMED", resumes, "{code}: {answer}");
        again.close(1000).await;
        discord.until_sessions(0).await;
    }
}

#[tokio::test]
async fn reconnect_and_invalid_sessions_are_said() {
    let discord = Discord::ready_made();
    let mut link = Link::ready(&discord, INTENTS).await;
    discord.send_reconnect();
    assert_eq!(link.next().await["op"], 7);
    discord.invalidate_session(true);
    assert_eq!(link.next().await, json!({ "op": 9, "d": true }));

    let (session, seen) = (link.session.clone(), link.sequence);
    link.close(4000).await;
    discord.until_sessions(0).await;
    let mut link = Link::open(&discord).await;
    link.resume(&discord.token(), &session, seen).await;
    link.event("RESUMED").await;

    discord.invalidate_session(false);
    assert_eq!(link.next().await, json!({ "op": 9, "d": false }));
    let mut again = Link::open(&discord).await;
    again.resume(&discord.token(), &session, seen).await;
    assert_eq!(again.next().await, json!({ "op": 9, "d": false }));
    discord.close_gateway(4000, "Unknown error.");
}

#[tokio::test]
async fn a_heartbeat_is_acknowledged_unless_the_line_is_dead_and_a_silent_client_is_closed() {
    let discord = Discord::start(Scene::ready_made().heartbeat_every(Duration::from_millis(400)));
    let mut link = Link::ready(&discord, INTENTS).await;
    link.send(json!({ "op": 1, "d": link.sequence })).await;
    assert_eq!(link.next().await["op"], 11);

    discord.stop_acking();
    link.send(json!({ "op": 1, "d": link.sequence })).await;
    discord.send_reconnect();
    assert_eq!(link.next().await["op"], 7, "no acknowledgement came before");
    assert_eq!(link.closing().await, Some(4009));
    discord.go_on_acking();
    let mut link = Link::ready(&discord, INTENTS).await;
    link.send(json!({ "op": 1, "d": link.sequence })).await;
    assert_eq!(link.next().await["op"], 11);
}

#[tokio::test]
async fn more_identifies_than_may_be_at_once_are_turned_back() {
    let discord = Discord::start(Scene::ready_made().identify_concurrency(1));
    let api = Api::of(&discord);
    assert_eq!(api.get("/gateway/bot").await.ok()["session_start_limit"]["max_concurrency"], 1);
    Link::ready(&discord, INTENTS).await;
    let mut second = Link::open(&discord).await;
    second.identify(&discord.token(), INTENTS).await;
    assert_eq!(second.next().await, json!({ "op": 9, "d": false }));
    discord.advance(Duration::from_secs(5));
    second.identify(&discord.token(), INTENTS).await;
    second.event("READY").await;
}

#[tokio::test]
async fn one_identify_too_many_in_a_day_resets_the_token() {
    let discord = Discord::start(Scene::ready_made().identify_concurrency(u32::MAX));
    let token = discord.token();
    let mut link = Link::ready(&discord, INTENTS).await;
    for _ in 1..IDENTIFIES_A_DAY {
        let mut one = Link::open(&discord).await;
        one.identify("wrong", INTENTS).await;
    }
    discord.until_identifies(IDENTIFIES_A_DAY as usize).await;
    let mut last = Link::open(&discord).await;
    last.identify(&token, INTENTS).await;
    assert_eq!(last.closing().await, Some(4004));
    assert_eq!(link.closing().await, Some(4004), "who was connected is out as well");
    assert_eq!(Api::with_token(&discord, &token).get("/users/@me").await.refusal(), (401, 0));
}

#[tokio::test]
async fn only_what_was_asked_for_and_can_be_seen_is_told() {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let mut few = Link::ready(&discord, INTENTS).await;
    let mut more = Link::ready(&discord, INTENTS | 1 << 9).await;
    discord.person("operator").writes("what is said here stays unread");
    let card =
        api.post(&format!("/channels/{}/messages", discord.channel_id("ops")), json!({ "content": "card" })).await;
    let card: Value = card.ok();
    let seen = discord.channel("ops").message_with("card").await;
    discord.person("lead").react(&seen, "✅");

    assert_eq!(few.event("MESSAGE_REACTION_ADD").await["message_id"], card["id"]);
    let of_others = more.event("MESSAGE_CREATE").await;
    assert_eq!(of_others["content"], "", "what others say is privileged");
    assert_eq!(more.event("MESSAGE_CREATE").await["content"], "card");
    more.event("MESSAGE_REACTION_ADD").await;

    discord.take_from_bot("ops", scalebot_tests::discord::permissions::VIEW_CHANNEL);
    discord.person("lead").unreact(&seen, "✅");
    discord.send_reconnect();
    assert_eq!(few.next().await["op"], 7, "nothing of a channel that the bot does not see");
}
