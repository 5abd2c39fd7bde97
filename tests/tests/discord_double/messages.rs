//! Messages: sending, reading, editing, deleting, files, threads, nonces.

use reqwest::Method;
use scalebot_tests::discord::{Discord, NONCE_WINDOW};
use serde_json::{Value, json};

use crate::client::Api;

/// The beginning of a PNG of 640 by 320 pixels.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\x40\x08\x06\0\0\0";

fn messages(discord: &Discord, channel: &str) -> String {
    format!("/channels/{}/messages", discord.channel_id(channel))
}

fn contents(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["content"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_message_is_seen_read_edited_and_deleted() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let embed = json!({ "title": "Precheck", "fields": [{ "name": "CPU", "value": "41 %" }], "color": 29362 });
    let sent = api.post(&ops, json!({ "content": "  card  ", "embeds": [embed] })).await.ok();
    assert_eq!((&sent["content"], &sent["edited_timestamp"]), (&json!("card"), &Value::Null));
    assert_eq!(sent["embeds"][0]["fields"][0], json!({ "name": "CPU", "value": "41 %", "inline": false }));
    let card = format!("{ops}/{}", sent["id"].as_str().unwrap());

    let seen = discord.channel("ops").message_with("41 %").await;
    assert_eq!((seen.author.as_str(), seen.edits), ("scalebot", 0));
    let edited = api.patch(&card, json!({ "content": "card, later" })).await.ok();
    assert!(edited["edited_timestamp"].is_string());
    assert_eq!(edited["embeds"][0]["title"], "Precheck", "what an edit does not mention stays");
    let seen = seen.until(|seen| seen.edits == 1).await;
    assert_eq!(seen.text, "card, later\nPrecheck\nCPU\n41 %");
    assert_eq!(seen.history[0].content, "card");
    assert_eq!(api.get(&card).await.ok(), edited);

    assert_eq!(api.delete(&card).await.status, 204);
    assert_eq!(api.get(&card).await.refusal(), (404, 10008));
    assert_eq!(api.patch(&card, json!({ "content": "x" })).await.refusal(), (404, 10008));
    assert!(seen.now().is_none() && discord.channel("ops").messages().is_empty());
}

#[tokio::test]
async fn a_channel_is_read_page_by_page_the_newest_first() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let operator = discord.person("operator");
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(operator.writes(&n.to_string()).id);
    }
    let get = async |query: &str| {
        discord.advance(std::time::Duration::from_secs(5));
        api.get(&format!("{ops}{query}")).await
    };
    let list =
        |got: crate::client::Got| got.ok().as_array().unwrap().iter().map(|one| one["id"].clone()).collect::<Vec<_>>();
    let those = |places: &[usize]| places.iter().map(|place| json!(ids[*place])).collect::<Vec<_>>();
    assert_eq!(list(get("").await), those(&[4, 3, 2, 1, 0]));
    assert_eq!(list(get("?limit=2").await), those(&[4, 3]));
    assert_eq!(list(get(&format!("?limit=2&before={}", ids[3])).await), those(&[2, 1]));
    assert_eq!(list(get(&format!("?limit=2&after={}", ids[1])).await), those(&[3, 2]));
    assert_eq!(list(get(&format!("?limit=3&around={}", ids[2])).await), those(&[3, 2, 1]));
    assert_eq!(list(get("?after=0&limit=2").await), those(&[1, 0]));
    assert_eq!(get("?limit=101").await.wrong_at("limit"), "NUMBER_TYPE_MAX");
    assert_eq!(get("?limit=0").await.wrong_at("limit"), "NUMBER_TYPE_MIN");
    assert_eq!(get("?before=yesterday").await.wrong_at("before"), "NUMBER_TYPE_COERCE");
}

#[tokio::test]
async fn what_others_wrote_is_there_and_not_to_be_read() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    discord.person("operator").writes("a secret");
    discord.person("operator").writes(&format!("hello <@{}>", discord.bot()));
    assert_eq!(contents(&api.get(&ops).await.ok())[1], "");
    assert!(contents(&api.get(&ops).await.ok())[0].starts_with("hello"), "who names the bot speaks to it");

    let granted = Discord::start(
        scalebot_tests::discord::Scene::ready_made().privileged(scalebot_tests::discord::intents::MESSAGE_CONTENT),
    );
    granted.person("operator").writes("no secret");
    assert_eq!(contents(&Api::of(&granted).get(&messages(&granted, "ops")).await.ok()), ["no secret"]);
}

#[tokio::test]
async fn for_a_snapshot_everything_has_its_name() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let text = format!("<@&{}> until <t:1769860800:R> in <#{}>", discord.role("operator"), discord.channel_id("ops"));
    let sent = api.post(&ops, json!({ "content": text })).await.ok();
    let named = discord.named(&sent);
    assert_eq!(named["content"], "<@&{@operator}> until <t:…:R> in <#{#ops}>");
    assert_eq!((&named["id"], &named["timestamp"]), (&json!("{message 1}"), &json!("…")));
    assert_eq!(named["author"]["id"], "{scalebot}");
    let request = discord.requests().pop().unwrap();
    assert_eq!(discord.named(&json!(request.path)), "/channels/{#ops}/messages");
}

#[tokio::test]
async fn only_its_author_edits_a_message() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let of_a_person = discord.person("operator").writes("mine");
    let path = format!("{ops}/{}", of_a_person.id);
    assert_eq!(api.patch(&path, json!({ "content": "yours" })).await.refusal(), (403, 50005));
    assert_eq!(api.delete(&path).await.refusal(), (403, 50013));
    discord.give_to_bot("ops", scalebot_tests::discord::permissions::MANAGE_MESSAGES);
    assert_eq!(api.delete(&path).await.status, 204);
}

#[tokio::test]
async fn a_nonce_that_is_enforced_gives_the_first_message_again_for_some_minutes() {
    let discord = Discord::ready_made();
    let (api, log) = (Api::of(&discord), messages(&discord, "scaling-log"));
    let post = json!({ "content": "seq 1", "nonce": "a1b2c3", "enforce_nonce": true });
    let first = api.post(&log, post.clone()).await.ok();
    assert_eq!(first["nonce"], "a1b2c3");
    discord.advance(NONCE_WINDOW.saturating_sub(std::time::Duration::from_secs(10)));
    assert_eq!(api.post(&log, post.clone()).await.ok()["id"], first["id"]);
    assert_eq!(discord.channel("scaling-log").messages().len(), 1);
    let other = json!({ "content": "seq 2", "nonce": "d4e5f6", "enforce_nonce": true });
    assert_ne!(api.post(&log, other).await.ok()["id"], first["id"]);
    let not_enforced = json!({ "content": "seq 1", "nonce": "a1b2c3" });
    assert_ne!(api.post(&log, not_enforced).await.ok()["id"], first["id"]);

    discord.advance(NONCE_WINDOW + std::time::Duration::from_secs(10));
    assert_ne!(api.post(&log, post).await.ok()["id"], first["id"], "forgotten: it is posted again");
    assert_eq!(discord.channel("scaling-log").messages().len(), 4);
    let read = api.get(&log).await.ok();
    assert!(read[0].get("nonce").is_none(), "only the answer to its sender carries it");
}

#[tokio::test]
async fn a_file_that_an_embed_shows_is_shown_there_with_its_alternative_text() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let body = json!({
        "embeds": [{ "title": "Chart", "image": { "url": "attachment://chart.png" } }],
        "attachments": [{ "id": "0", "description": "Improved: p99 0.4 s" }, { "id": "1" }],
    });
    let sent = api.upload(Method::POST, &ops, body, &[("chart.png", PNG), ("full table.txt", b"rows")]).await.ok();
    let image = &sent["embeds"][0]["image"];
    assert_eq!((&image["width"], &image["height"]), (&json!(640), &json!(320)));
    assert_eq!(image["description"], "Improved: p99 0.4 s");
    let listed = sent["attachments"].as_array().unwrap();
    assert_eq!(listed.len(), 1, "what an embed shows is not listed as well");
    assert_eq!((&listed[0]["filename"], &listed[0]["size"]), (&json!("full_table.txt"), &json!(4)));

    let seen = discord.channel("ops").message_with("Chart").await;
    let chart = &seen.attachments[0];
    assert!(chart.shown_in_embed && chart.bytes == PNG && chart.content_type == "image/png");
    assert_eq!(chart.description.as_deref(), Some("Improved: p99 0.4 s"));
    let link = image["url"].as_str().unwrap();
    assert_eq!(reqwest::get(link).await.unwrap().bytes().await.unwrap(), PNG);
}

#[tokio::test]
async fn an_edit_keeps_the_files_unless_it_says_which_to_keep() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let sent =
        api.upload(Method::POST, &ops, json!({ "content": "files" }), &[("a.txt", b"a"), ("b.txt", b"b")]).await.ok();
    let path = format!("{ops}/{}", sent["id"].as_str().unwrap());
    let names = |message: &Value| -> Vec<String> {
        let files = message["attachments"].as_array().unwrap();
        files.iter().map(|file| file["filename"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&api.patch(&path, json!({ "content": "later" })).await.ok()), ["a.txt", "b.txt"]);
    let added = api.upload(Method::PATCH, &path, json!({}), &[("c.txt", b"c")]).await.ok();
    assert_eq!(names(&added), ["a.txt", "b.txt", "c.txt"]);
    let keep = json!({ "attachments": [{ "id": sent["attachments"][1]["id"] }, { "id": "0", "filename": "d.txt" }] });
    assert_eq!(names(&api.upload(Method::PATCH, &path, keep, &[("x", b"d")]).await.ok()), ["b.txt", "d.txt"]);
    assert!(names(&api.patch(&path, json!({ "attachments": [] })).await.ok()).is_empty());
    let unknown = api.patch(&path, json!({ "attachments": [{ "id": "4242" }] })).await;
    assert_eq!(unknown.wrong_at("attachments.0.id"), "ATTACHMENT_NOT_FOUND");
}

#[tokio::test]
async fn a_message_pings_whom_it_names_its_sender_allows_and_discord_lets_it() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let (role, admins) = (discord.role("governance lead"), discord.role("administrator"));
    let text = format!("<@&{role}> <@&{admins}> <@{}> @everyone", discord.user("operator"));
    let pinged = async |body: Value| {
        let sent = api.post(&ops, body).await.ok();
        discord.channel("ops").message_where(|seen| sent["id"] == seen.id.to_string()).await.pinged
    };
    let all = pinged(json!({ "content": text })).await;
    assert_eq!(
        all,
        ["@governance lead", "@operator"],
        "a role that is not for pinging, and everybody, need a permission"
    );
    let none = json!({ "content": text, "allowed_mentions": { "parse": [] } });
    assert!(pinged(none).await.is_empty());
    let one = json!({ "content": text, "allowed_mentions": { "parse": [], "roles": [role] } });
    assert_eq!(pinged(one).await, ["@governance lead"]);
    discord.give_to_bot("ops", scalebot_tests::discord::permissions::MENTION_EVERYONE);
    let all = pinged(json!({ "content": text })).await;
    assert_eq!(all, ["@governance lead", "@administrator", "@operator", "@everyone"]);

    let both = json!({ "content": "x", "allowed_mentions": { "parse": ["roles"], "roles": [role] } });
    let both = api.post(&ops, both).await;
    assert_eq!(both.wrong_at("allowed_mentions"), "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE");
}

#[tokio::test]
async fn a_thread_starts_at_a_message_once_and_is_written_in_like_a_channel() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    let card = api.post(&ops, json!({ "content": "card" })).await.ok();
    let start = format!("{ops}/{}/threads", card["id"].as_str().unwrap());
    let thread = api.post(&start, json!({ "name": "up to 6", "auto_archive_duration": 1440 })).await;
    assert_eq!((thread.status, &thread.body["id"], &thread.body["type"]), (201, &card["id"], &json!(11)));
    let thread = thread.ok();
    assert_eq!(api.post(&start, json!({ "name": "again" })).await.refusal(), (400, 160_004));
    let odd = api.post(&start, json!({ "name": "", "auto_archive_duration": 7 })).await;
    assert_eq!(odd.wrong_at("auto_archive_duration"), "BASE_TYPE_CHOICES");
    assert_eq!(odd.wrong_at("name"), "BASE_TYPE_REQUIRED");

    let inside = format!("/channels/{}/messages", thread["id"].as_str().unwrap());
    let detail = api.post(&inside, json!({ "content": "detail" })).await.ok();
    let seen = discord.channel("ops").message_with("card").await;
    assert_eq!(seen.thread().unwrap().message_with("detail").await.id.to_string(), detail["id"]);
    assert_eq!(seen.thread().unwrap().name(), "up to 6");
    assert_eq!(api.get(&format!("{ops}/{}", card["id"].as_str().unwrap())).await.ok()["thread"]["id"], thread["id"]);

    let path = format!("/channels/{}", thread["id"].as_str().unwrap());
    assert_eq!(api.patch(&path, json!({ "archived": true })).await.ok()["thread_metadata"]["archived"], true);
    let edit = format!("{inside}/{}", detail["id"].as_str().unwrap());
    assert_eq!(api.patch(&edit, json!({ "content": "x" })).await.refusal(), (400, 50083));
    api.post(&inside, json!({ "content": "writing opens it again" })).await.ok();
    assert!(!seen.thread().unwrap().is_archived());
}

#[tokio::test]
async fn a_person_is_written_to_directly_unless_they_do_not_want_it() {
    let discord = Discord::start(
        scalebot_tests::discord::Scene::ready_made().person("hermit", &["operator"]).without_direct_messages(),
    );
    let api = Api::of(&discord);
    let open = async |name: &str| {
        api.post("/users/@me/channels", json!({ "recipient_id": discord.user(name) })).await.ok()["id"].clone()
    };
    let direct = open("lead").await;
    assert_eq!(open("lead").await, direct);
    let path = format!("/channels/{}/messages", direct.as_str().unwrap());
    api.post(&path, json!({ "content": "only for you" })).await.ok();
    assert_eq!(discord.person("lead").direct_messages().messages()[0].content, "only for you");
    let closed = format!("/channels/{}/messages", open("hermit").await.as_str().unwrap());
    assert_eq!(api.post(&closed, json!({ "content": "x" })).await.refusal(), (403, 50007));
}

#[tokio::test]
async fn what_is_no_json_no_form_or_no_route_is_said_to_be_none() {
    let discord = Discord::ready_made();
    let (api, ops) = (Api::of(&discord), messages(&discord, "ops"));
    assert_eq!(api.post_text(&ops, "{").await.refusal(), (400, 50109));
    assert_eq!(api.post("/channels/ops/messages", json!({})).await.wrong_at("channel_id"), "NUMBER_TYPE_COERCE");
    assert_eq!(api.get("/channels/1").await.refusal(), (404, 10003));
    assert_eq!(api.get("/no/such/route").await.refusal(), (404, 0));
    assert_eq!(api.put(&ops, None).await.refusal(), (405, 0));
    let unknown = discord.violations();
    assert!(unknown.iter().any(|one| one.contains("/no/such/route")), "{unknown:?}");
    assert_eq!(Api::with_token(&discord, "").get("/users/@me").await.refusal(), (401, 0));
    assert_eq!(Api::with_token(&discord, "wrong").get("/users/@me").await.refusal(), (401, 0));
}
