//! The connection against a small gateway that says what it is told to.

use std::sync::Mutex;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message as Said, WebSocket, WebSocketUpgrade};
use axum::routing::get;
use tokio::sync::mpsc;

use super::*;
use crate::discord::testing::{self, Fake, me, with};

/// What happened, in words, for whoever waits for it.
struct Heard(mpsc::UnboundedSender<String>);

impl Events for Heard {
    fn ready(&self, ready: Ready) {
        let _ = self.0.send(format!("ready {}", ready.session_id));
    }

    fn resumed(&self) {
        let _ = self.0.send("resumed".to_owned());
    }

    fn interaction(&self, did: Did) {
        let _ = self.0.send(format!("interaction {}", did.what.id()));
    }

    fn reaction(&self, reaction: Reaction, made: bool) {
        let _ = self.0.send(format!("mark by {} {made}", reaction.user_id.unwrap()));
    }

    fn reactions_cleared(&self) {
        let _ = self.0.send("cleared".to_owned());
    }
}

/// What a connection is told, in order, before it is left open.
pub(crate) type Lines = Vec<Line>;

#[derive(Clone)]
pub(crate) enum Line {
    Say(Value),
    Close(u16),
    /// The other end must have said that many things by now.
    Hear(usize),
    Drop,
}

struct Scene {
    fake: Fake,
    /// What the bot said, a connection after the other.
    said: AllSaid,
    heard: mpsc::UnboundedReceiver<String>,
    ended: tokio::task::JoinHandle<Ended>,
    connected: watch::Receiver<bool>,
}

/// Everything that the bot said, a connection after the other.
type AllSaid = Arc<Mutex<Vec<Vec<Value>>>>;

async fn scene(beat: u64, connections: Vec<Lines>) -> Scene {
    let fake = Fake::start().await;
    let said = listen(&fake, beat, connections).await;
    begin(fake, said)
}

/// A gateway whose connections are told these lines, the first first; later ones stay silent after HELLO.
pub(crate) async fn listen(fake: &Fake, beat: u64, connections: Vec<Lines>) -> AllSaid {
    let said: AllSaid = Arc::default();
    let lines = Arc::new(Mutex::new(connections.into_iter()));
    let shared = Arc::clone(&said);
    let router = Router::new().route(
        "/",
        get(move |upgrade: WebSocketUpgrade| {
            let (said, lines) = (Arc::clone(&shared), lines.lock().unwrap().next().unwrap_or_default());
            async move { upgrade.on_upgrade(move |socket| serve(socket, beat, lines, said)) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    fake.state().found.insert("gateway/bot".into(), testing::gateway(&url, 990));
    said
}

fn begin(fake: Fake, said: AllSaid) -> Scene {
    let (sender, heard) = mpsc::unbounded_channel();
    let (connected, stands) = watch::channel(false);
    let no_pause = Pace { first: Duration::from_millis(1), most: Duration::from_millis(5), anew: Default::default() };
    let gateway = Gateway {
        pace: no_pause,
        ..Gateway::new(fake.rest(), SecretString::from("token"), Arc::new(Heard(sender)), connected)
    };
    let ended = tokio::spawn(async move { gateway.run().await });
    Scene { fake, said, heard, ended, connected: stands }
}

async fn serve(mut socket: WebSocket, beat: u64, lines: Lines, said: AllSaid) {
    let number = {
        let mut said = said.lock().unwrap();
        said.push(vec![]);
        said.len() - 1
    };
    let text = |value: &Value| Said::Text(value.to_string().into());
    let hello = json!({ "op": 10, "d": { "heartbeat_interval": beat } });
    if socket.send(text(&hello)).await.is_err() {
        return;
    }
    let mut lines = lines.into_iter().peekable();
    loop {
        let count = said.lock().unwrap()[number].len();
        match lines.peek().cloned() {
            // Who a session is with is known once something was said.
            Some(Line::Say(value)) if count > 0 => _ = (lines.next(), socket.send(text(&value)).await),
            Some(Line::Close(code)) if count > 0 => {
                let frame = CloseFrame { code, reason: "".into() };
                let _ = socket.send(Said::Close(Some(frame))).await;
                return;
            }
            Some(Line::Drop) if count > 0 => return,
            Some(Line::Hear(wanted)) if count >= wanted => _ = lines.next(),
            _ => match socket.recv().await {
                Some(Ok(Said::Text(text))) => {
                    let value = serde_json::from_str(&text).unwrap();
                    said.lock().unwrap()[number].push(value);
                }
                Some(Ok(Said::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
}

/// A mark in the governance channel under message 900, made or taken away.
pub(crate) fn mark(by: &str, otherwise: Value) -> Value {
    let mark = json!({
        "user_id": by, "channel_id": "21", "message_id": "900", "guild_id": "10", "emoji": { "id": null, "name": "✅" },
        "burst": false, "type": 0,
    });
    with(mark, otherwise)
}

/// `/scale up 6` by somebody who holds role 42.
pub(crate) fn command(otherwise: Value) -> Value {
    let count = json!({ "name": "count", "type": 4, "value": 6 });
    let data = json!({ "id": "901", "name": "scale", "type": 1, "options": [
        { "name": "up", "type": 1, "options": [count] }
    ] });
    let by = testing::member(&testing::user("80351110224678913", "Lea"), &["42"]);
    let did = json!({
        "id": "500", "application_id": "7", "type": 2, "token": "dG9rZW4", "version": 1, "guild_id": "10",
        "channel_id": "20", "channel": { "id": "20", "type": 0 }, "member": by, "data": data, "locale": "en-GB",
        "entitlements": [], "authorizing_integration_owners": { "0": "10" }, "attachment_size_limit": 10_485_760,
    });
    with(did, otherwise)
}

#[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
pub(crate) fn event(seq: u64, kind: &str, d: Value) -> Line {
    Line::Say(json!({ "op": 0, "s": seq, "t": kind, "d": d }))
}

pub(crate) fn ready(session: &str) -> Line {
    event(
        1,
        "READY",
        json!({
            "v": 10, "user": me(), "guilds": [], "session_id": session, "application": { "id": "7", "flags": 0 },
            "resume_gateway_url": "wss://elsewhere.example",
        }),
    )
}

fn resumed() -> Line {
    event(9, "RESUMED", json!({}))
}

impl Scene {
    async fn hears(&mut self) -> String {
        tokio::time::timeout(Duration::from_secs(20), self.heard.recv()).await.expect("nothing was heard").unwrap()
    }

    /// The first thing that each connection was told.
    fn begins(&self) -> Vec<u64> {
        self.said.lock().unwrap().iter().filter_map(|said| said.first()?["op"].as_u64()).collect()
    }
}

const IDENTIFY: u64 = 2;
const RESUME: u64 = 6;

#[tokio::test]
async fn it_identifies_with_two_intents_and_tells_what_happens() {
    let mark = mark("5", json!({}));
    let lines = vec![
        ready("s1"),
        event(2, "INTERACTION_CREATE", command(json!({}))),
        event(3, "MESSAGE_REACTION_ADD", mark.clone()),
        event(4, "MESSAGE_REACTION_REMOVE", mark),
        event(5, "MESSAGE_REACTION_REMOVE_ALL", json!({})),
        event(6, "SOMETHING_NEW", json!({ "x": 1 })),
        event(7, "INTERACTION_CREATE", command(json!({ "member": "not of this form" }))),
        event(8, "MESSAGE_REACTION_ADD", json!("a mark")),
        event(9, "INTERACTION_CREATE", command(json!({ "id": "501" }))),
    ];
    let mut scene = scene(60_000, vec![lines]).await;
    for wanted in ["ready s1", "interaction 500", "mark by 5 true", "mark by 5 false", "cleared", "interaction 501"] {
        assert_eq!(scene.hears().await, wanted);
    }
    assert!(*scene.connected.borrow());
    let said = scene.said.lock().unwrap()[0][0].clone();
    assert_eq!((&said["op"], &said["d"]["intents"], &said["d"]["token"]), (&json!(2), &json!(1_025), &json!("token")));
}

#[test]
fn nothing_of_what_cannot_be_read_is_repeated() {
    let mistaken = command(json!({ "member": "dG9rZW4" }));
    let error = serde_json::from_str::<Did>(&mistaken.to_string()).unwrap_err();
    assert!(error.to_string().contains("dG9rZW4"), "a parser quotes: {error}");
    assert_eq!(misread(&error), "it is of another form (column 0)");
    let error = serde_json::from_str::<Did>("dG9rZW4").unwrap_err();
    assert!(misread(&error).starts_with("it is no JSON"), "{}", misread(&error));
}

#[tokio::test]
async fn a_connection_that_breaks_off_is_resumed_where_it_was() {
    let event = event(4, "SOMETHING", json!({}));
    let mut scene = scene(60_000, vec![vec![ready("s1"), event, Line::Drop], vec![resumed()]]).await;
    assert_eq!(scene.hears().await, "ready s1");
    assert_eq!(scene.hears().await, "resumed");
    let said = scene.said.lock().unwrap()[1][0].clone();
    assert_eq!(said, json!({ "op": 6, "d": { "token": "token", "session_id": "s1", "seq": 4 } }));
    assert_eq!(scene.fake.times("GET /gateway/bot"), 1, "a session goes on where it began");
}

#[tokio::test]
async fn discord_may_ask_to_connect_anew_or_end_the_session() {
    let reconnect = Line::Say(json!({ "op": 7, "d": null }));
    let resume = Line::Say(json!({ "op": 9, "d": true }));
    let anew = Line::Say(json!({ "op": 9, "d": false }));
    let connections = vec![
        vec![ready("s1"), reconnect],
        vec![resumed(), resume],
        vec![anew],
        vec![ready("s2"), Line::Close(4_009)],
        vec![ready("s3"), Line::Close(4_000)],
        vec![resumed()],
    ];
    let mut scene = scene(60_000, connections).await;
    for wanted in ["ready s1", "resumed", "ready s2", "ready s3", "resumed"] {
        assert_eq!(scene.hears().await, wanted);
    }
    assert_eq!(scene.begins(), [IDENTIFY, RESUME, RESUME, IDENTIFY, IDENTIFY, RESUME]);
}

#[tokio::test]
async fn a_connection_on_which_nobody_answers_any_more_is_given_up() {
    // Its heartbeats are heard and never acknowledged.
    let mut scene = scene(30, vec![vec![ready("s1")], vec![resumed()]]).await;
    assert_eq!(scene.hears().await, "ready s1");
    assert_eq!(scene.hears().await, "resumed");
    let said = scene.said.lock().unwrap()[0].clone();
    assert_eq!(said[1], json!({ "op": 1, "d": 1 }));
}

#[tokio::test]
async fn a_heartbeat_that_is_asked_for_is_given() {
    let ack = || Line::Say(json!({ "op": 11 }));
    let asked = Line::Say(json!({ "op": 1, "d": null }));
    let lines = vec![ready("s1"), asked, Line::Hear(2), ack(), resumed()];
    let mut scene = scene(60_000, vec![lines]).await;
    assert_eq!(scene.hears().await, "ready s1");
    assert_eq!(scene.hears().await, "resumed");
    assert_eq!(scene.begins(), [IDENTIFY]);
}

#[tokio::test]
async fn a_refused_token_or_intent_ends_it_with_a_reason() {
    for (code, word) in [(4_004, "token"), (4_014, "developer portal")] {
        let scene = scene(60_000, vec![vec![Line::Close(code)]]).await;
        let Ended(why) = scene.ended.await.unwrap();
        assert!(why.contains(word), "{why}");
        assert_eq!(scene.said.lock().unwrap().len(), 1, "it is not tried again");
    }
    let fake = Fake::start().await;
    fake.fail("GET /gateway/bot", 401, 0);
    let scene = begin(fake, Arc::default());
    let Ended(why) = scene.ended.await.unwrap();
    assert!(why.contains("token_file"), "{why}");
}

#[tokio::test]
async fn it_never_connects_to_anywhere_that_the_base_does_not_stand_for() {
    let at = |url: &str, base: &str| address(url, base).map(|url| url.to_string());
    assert_eq!(at("wss://gateway.discord.gg", "discord.com").unwrap(), "wss://gateway.discord.gg/");
    assert_eq!(at("ws://127.0.0.1:9000", "127.0.0.1").unwrap(), "ws://127.0.0.1:9000/");
    for (url, base) in [
        ("wss://gateway.discord.gg", "127.0.0.1"),
        ("wss://evil.example", "discord.com"),
        ("wss://evildiscord.gg", "discord.com"),
        ("ws://gateway.discord.gg", "discord.com"),
        ("ws://proxy.example", "proxy.example"),
        ("https://gateway.discord.gg", "discord.com"),
        ("nonsense", "discord.com"),
    ] {
        assert!(at(url, base).is_err(), "{url} at {base}");
    }
    let fake = Fake::start().await;
    fake.state().found.insert("gateway/bot".into(), testing::gateway("wss://gateway.discord.gg", 990));
    let scene = begin(fake, Arc::default());
    scene.fake.until("GET /gateway/bot", 3).await;
    assert!(!scene.ended.is_finished(), "it waits until the base says something better");
    scene.ended.abort();
}

#[tokio::test]
async fn with_the_days_budget_nearly_gone_no_session_is_begun() {
    let fake = Fake::start().await;
    fake.state().found.insert("gateway/bot".into(), testing::gateway("ws://127.0.0.1:1", 3));
    let mut budget = Budget::new(Duration::ZERO, Duration::ZERO);
    let (sender, _) = mpsc::unbounded_channel();
    let gateway =
        Gateway::new(fake.rest(), SecretString::from("token"), Arc::new(Heard(sender)), watch::Sender::new(false));
    assert!(matches!(gateway.find(&mut budget).await, Ok(Found::NotYet(wait)) if wait > Duration::from_mins(20)));
}
