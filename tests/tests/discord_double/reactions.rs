//! Reactions: what the bot gives, what it hears, and what it finds afterwards.

use std::time::Duration;

use scalebot_tests::discord::{Discord, limits};
use serde_json::{Value, json};

use crate::client::{Api, INTENTS, Link};

const YES: &str = "%E2%9C%85";

struct Vote {
    discord: Discord,
    api: Api,
    path: String,
    card: scalebot_tests::discord::Seen,
}

async fn vote() -> Vote {
    let discord = Discord::ready_made();
    let api = Api::of(&discord);
    let path = format!("/channels/{}/messages", discord.channel_id("governance"));
    let sent = api.post(&path, json!({ "content": "Approve?" })).await.ok();
    let card = discord.channel("governance").message_with("Approve?").await;
    Vote { path: format!("{path}/{}", sent["id"].as_str().unwrap()), discord, api, card }
}

#[tokio::test]
async fn a_reaction_is_told_with_who_gave_it_and_what_they_hold() {
    let vote = vote().await;
    let mut link = Link::ready(&vote.discord, INTENTS).await;
    assert_eq!(vote.api.put(&format!("{}/reactions/{YES}/@me", vote.path), None).await.status, 204);
    assert_eq!(link.event("MESSAGE_REACTION_ADD").await["user_id"], vote.discord.bot().to_string());

    vote.discord.person("lead").react(&vote.card, "✅");
    let added = link.event("MESSAGE_REACTION_ADD").await;
    assert_eq!(added["member"]["roles"], json!([vote.discord.role("governance lead")]));
    assert_eq!((&added["message_id"], &added["guild_id"]), (&json!(vote.card.id), &json!(vote.discord.guild())));
    assert_eq!(added["message_author_id"], vote.discord.bot().to_string());
    vote.discord.person("lead").react(&vote.card, "✅");
    vote.discord.person("lead").unreact(&vote.card, "✅");
    let removed = link.event("MESSAGE_REACTION_REMOVE").await;
    assert!(removed.get("member").is_none(), "who takes it back comes without what they hold");

    let read = vote.api.get(&vote.path).await.ok();
    assert_eq!(read["reactions"][0]["count"], 1);
    assert_eq!(read["reactions"][0]["me"], true);
}

#[tokio::test]
async fn what_an_event_says_somebody_holds_can_be_stale_and_rest_is_not() {
    let vote = vote().await;
    let mut link = Link::ready(&vote.discord, INTENTS).await;
    vote.discord.set_roles_unnoticed("lead", &[]);
    vote.discord.person("admin").react(&vote.card, "👀");
    link.event("MESSAGE_REACTION_ADD").await;
    vote.discord.set_roles("lead", &["governance lead"]);
    vote.discord.set_roles_unnoticed("lead", &["governance lead", "viewer"]);
    vote.discord.person("lead").react(&vote.card, "✅");
    let told = link.event("MESSAGE_REACTION_ADD").await;
    let read =
        vote.api.get(&format!("/guilds/{}/members/{}", vote.discord.guild(), vote.discord.user("lead"))).await.ok();
    assert_ne!(told["member"]["roles"], read["roles"]);
    assert_eq!(read["roles"], json!([vote.discord.role("governance lead"), vote.discord.role("viewer")]));
}

#[tokio::test]
async fn who_reacted_is_read_page_by_page() {
    let vote = vote().await;
    for name in ["lead", "lead2", "admin"] {
        vote.discord.person(name).react(&vote.card, "✅");
    }
    let names = |users: &Value| -> Vec<String> {
        users.as_array().unwrap().iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    };
    let reactions = format!("{}/reactions/{YES}", vote.path);
    let first = vote.api.get(&format!("{reactions}?limit=2")).await.ok();
    assert_eq!(names(&first), ["lead", "lead2"]);
    let after = first[1]["id"].as_str().unwrap();
    assert_eq!(names(&vote.api.get(&format!("{reactions}?limit=2&after={after}")).await.ok()), ["admin"]);
    assert_eq!(names(&vote.api.get(&format!("{}/reactions/%E2%9D%8C", vote.path)).await.ok()), [""; 0]);
}

#[tokio::test]
async fn a_message_bears_twenty_kinds_of_reaction() {
    let vote = vote().await;
    let emoji = |n: usize| char::from_u32(0x1F600 + u32::try_from(n).unwrap()).unwrap();
    let add = async |n: usize| {
        vote.discord.advance(Duration::from_millis(250));
        vote.api.put(&format!("{}/reactions/{}/@me", vote.path, emoji(n)), None).await
    };
    for n in 0..limits::REACTIONS {
        assert_eq!(add(n).await.status, 204);
    }
    assert_eq!(add(limits::REACTIONS).await.refusal(), (400, 30010));
    assert_eq!(add(0).await.status, 204, "one that is there already is none more");
    vote.discord.advance(Duration::from_secs(1));
    assert_eq!(vote.api.put(&format!("{}/reactions/nonsense/@me", vote.path), None).await.refusal(), (400, 10014));
}

#[tokio::test]
async fn the_bot_takes_its_own_back_and_those_of_others_only_where_it_may() {
    let vote = vote().await;
    let mine = format!("{}/reactions/{YES}/@me", vote.path);
    vote.api.put(&mine, None).await;
    vote.discord.person("lead").react(&vote.card, "✅");
    vote.discord.advance(Duration::from_secs(1));
    assert_eq!(vote.api.delete(&mine).await.status, 204);
    let theirs = format!("{}/reactions/{YES}/{}", vote.path, vote.discord.user("lead"));
    vote.discord.advance(Duration::from_secs(1));
    assert_eq!(vote.api.delete(&theirs).await.refusal(), (403, 50013));
    vote.discord.advance(Duration::from_secs(1));
    assert_eq!(vote.api.delete(&format!("{}/reactions", vote.path)).await.refusal(), (403, 50013));
    vote.discord.give_to_bot("governance", scalebot_tests::discord::permissions::MANAGE_MESSAGES);
    vote.discord.advance(Duration::from_secs(1));
    assert_eq!(vote.api.delete(&theirs).await.status, 204);
    assert!(vote.card.now().unwrap().reactions.is_empty());
}

#[tokio::test]
async fn a_message_that_is_gone_has_no_reactions() {
    let vote = vote().await;
    vote.discord.delete_message(vote.card.id);
    assert_eq!(vote.api.put(&format!("{}/reactions/{YES}/@me", vote.path), None).await.refusal(), (404, 10008));
    assert_eq!(vote.api.get(&format!("{}/reactions/{YES}", vote.path)).await.refusal(), (404, 10008));
}
