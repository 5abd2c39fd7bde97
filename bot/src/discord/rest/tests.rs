//! The HTTP layer against small servers that answer as Discord does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::IntoResponse as _;
use serde_json::json;
use serenity::all::{
    ChannelId, CreateInteractionResponse, CreateInteractionResponseMessage, GuildId, InteractionId, MessageId,
};

use super::*;
use crate::discord::testing;

/// A status, headers and a body.
type Answer = (StatusCode, Vec<(&'static str, String)>, Value);

/// What the server was asked, and what it answers next.
#[derive(Default)]
struct Script {
    asked: Vec<(Method, String, HeaderMap, Vec<u8>)>,
    answers: VecDeque<Answer>,
}

/// A server that answers what it was told to, in order; nothing left: `200 {}`.
pub(crate) struct Server {
    script: Arc<Mutex<Script>>,
    base: Url,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = Arc::clone(&script);
        let answer = move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let mut script = shared.lock().unwrap();
            script.asked.push((method, uri.to_string(), headers, body.to_vec()));
            let (status, told, json) = script.answers.pop_front().unwrap_or((StatusCode::OK, vec![], json!({})));
            let mut response = (status, json.to_string()).into_response();
            for (name, value) in told {
                response.headers_mut().insert(name, HeaderValue::from_str(&value).unwrap());
            }
            async move { response }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = Url::parse(&format!("http://{}/api/v10", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        Self { script, base }
    }

    fn rest(&self) -> Rest {
        Rest::new(self.base.clone(), &SecretString::from("secret-token")).unwrap()
    }

    fn answers(&self, status: u16, told: &[(&'static str, &str)], json: Value) {
        let told = told.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.script.lock().unwrap().answers.push_back((StatusCode::from_u16(status).unwrap(), told, json));
    }

    fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.iter().map(|(method, uri, ..)| format!("{method} {uri}")).collect()
    }
}

const OPS: Place = Place { id: ChannelId::new(20), called: "the ops channel" };

fn message() -> Value {
    testing::message("900", "20")
}

fn posted(nonce: bool) -> Posted {
    Posted { content: Some("x".to_owned()), nonce: nonce.then(|| "n".to_owned()), ..Posted::default() }
}

/// An acknowledgement.
fn later() -> CreateInteractionResponse {
    CreateInteractionResponse::Defer(CreateInteractionResponseMessage::new())
}

#[tokio::test]
async fn requests_are_counted_by_attempt_and_by_what_became_of_each() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(429, &[], json!({ "message": "slow down", "retry_after": 0.01, "global": false }));
    server.answers(200, &[], message());
    rest.post(&OPS, posted(true)).await.unwrap();
    server.answers(403, &[], json!({ "code": 50_013, "message": "Missing Permissions" }));
    rest.post(&OPS, posted(true)).await.unwrap_err();
    assert_eq!(rest.requests().counts(), [("done", 1), ("refused", 1), ("rate_limited", 1), ("failed", 0)]);
    assert_eq!(rest.requests().latency().count, 3);
}

#[tokio::test]
async fn a_request_carries_the_token_and_goes_to_the_configured_base() {
    let server = Server::start().await;
    server.answers(200, &[], testing::me());
    assert!(server.rest().me().await.unwrap().bot);
    let (_, uri, headers, _) = server.script.lock().unwrap().asked.remove(0);
    assert_eq!(uri, "/api/v10/users/@me");
    assert_eq!(headers["authorization"], "Bot secret-token");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("DiscordBot ("));
}

#[tokio::test]
async fn a_429_is_waited_out_and_the_request_sent_once_more() {
    let server = Server::start().await;
    server.answers(429, &[], json!({ "message": "slow down", "retry_after": 0.15, "global": false }));
    server.answers(200, &[], message());
    server.rest().post(&OPS, posted(false)).await.unwrap();
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn a_global_429_holds_every_route_up() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(429, &[("x-ratelimit-scope", "global")], json!({ "retry_after": 3600.0, "global": true }));
    assert!(matches!(rest.me().await, Err(Fault::Busy(wait)) if wait > Duration::from_secs(3_500)));
    assert!(matches!(rest.post(&OPS, posted(true)).await, Err(Fault::Busy(_))));
    let token = SecretString::from("aW50ZXJhY3Rpb24");
    assert!(matches!(rest.acknowledge(InteractionId::new(1), &token, &later()).await, Err(Fault::Busy(_))));
    assert_eq!(server.asked().len(), 1, "nothing was sent into the wait");
}

#[tokio::test]
async fn a_429_of_what_stands_before_discord_is_meant_for_everything() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(429, &[("retry-after", "600")], json!("error code: 1015"));
    assert!(matches!(rest.me().await, Err(Fault::Busy(_))));
    assert!(matches!(rest.gateway().await, Err(Fault::Busy(_))));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_bucket_that_is_used_up_is_not_asked_again_before_its_time() {
    let server = Server::start().await;
    let rest = server.rest();
    let told = [
        ("x-ratelimit-bucket", "b"),
        ("x-ratelimit-limit", "5"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset-after", "3600"),
    ];
    server.answers(200, &told, message());
    rest.post(&OPS, posted(false)).await.unwrap();
    assert!(matches!(rest.post(&OPS, posted(false)).await, Err(Fault::Busy(_))));
    server.answers(200, &[], message());
    let elsewhere = Place { id: ChannelId::new(21), called: "the governance channel" };
    rest.post(&elsewhere, posted(false)).await.unwrap();
    assert_eq!(server.asked(), ["POST /api/v10/channels/20/messages", "POST /api/v10/channels/21/messages"]);
}

#[tokio::test]
async fn after_a_5xx_only_what_may_be_repeated_is_repeated() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(502, &[], json!({}));
    server.answers(200, &[], message());
    rest.post(&OPS, posted(true)).await.unwrap();
    assert_eq!(server.asked().len(), 2, "a nonce makes it the same message");
    server.answers(502, &[], json!({}));
    let fault = rest.post(&OPS, posted(false)).await.unwrap_err();
    assert!(fault.may_pass());
    assert_eq!(server.asked().len(), 3, "without one it might be posted twice");
    assert!(!*rest.reachable().borrow());
    server.answers(200, &[], message());
    rest.post(&OPS, posted(false)).await.unwrap();
    assert!(*rest.reachable().borrow());
}

#[tokio::test]
async fn a_token_that_is_not_accepted_is_used_no_more() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(401, &[], json!({ "message": "401: Unauthorized", "code": 0 }));
    assert_eq!(rest.me().await.unwrap_err(), Fault::TokenRefused);
    assert_eq!(rest.gateway().await.unwrap_err(), Fault::TokenRefused);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_refused_acknowledgement_says_nothing_about_the_token() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(401, &[], json!({ "message": "401: Unauthorized", "code": 0 }));
    let token = SecretString::from("aW50ZXJhY3Rpb24");
    let fault = rest.acknowledge(InteractionId::new(1), &token, &later()).await.unwrap_err();
    assert!(!fault.may_pass());
    server.answers(200, &[], testing::me());
    rest.me().await.unwrap();
    let headers = server.script.lock().unwrap().asked[0].2.clone();
    assert!(!headers.contains_key("authorization"), "what is answered by its own token carries no other");
}

#[tokio::test]
async fn no_error_holds_a_token_or_where_the_request_went() {
    let token = SecretString::from("aW50ZXJhY3Rpb24");
    // Nobody listens there.
    let rest = Rest::new(Url::parse("http://127.0.0.1:1/api/v10").unwrap(), &SecretString::from("secret-token"));
    let fault = rest.unwrap().acknowledge(InteractionId::new(1), &token, &later()).await.unwrap_err();
    let said = format!("{fault:?}");
    assert!(!said.contains("aW50") && !said.contains("secret") && !said.contains("127.0.0.1"), "{said}");
    let elsewhere = SecretString::from("../../users/@me");
    let server = Server::start().await;
    server.rest().acknowledge(InteractionId::new(1), &elsewhere, &later()).await.unwrap_err();
    assert_eq!(server.asked(), <[String; 0]>::default());
}

#[tokio::test]
async fn somebody_who_is_not_there_is_told_from_one_of_whom_nothing_is_known() {
    let server = Server::start().await;
    let rest = server.rest();
    server.answers(404, &[], json!({ "message": "Unknown Member", "code": 10007 }));
    assert!(rest.member(GuildId::new(10), UserId::new(5)).await.unwrap().is_none());
    server.answers(404, &[], json!({ "message": "Unknown Guild", "code": 10004 }));
    assert!(rest.member(GuildId::new(10), UserId::new(5)).await.is_err());
}

#[tokio::test]
async fn marks_are_read_to_their_end() {
    let server = Server::start().await;
    let rest = server.rest();
    let page = |from: u64, to: u64| (from..to).map(|id| testing::user(&id.to_string(), "somebody")).collect::<Value>();
    server.answers(200, &[], page(1, 101));
    server.answers(200, &[], page(101, 103));
    let found = rest.marked_by(&OPS, MessageId::new(900), "%E2%9C%85", 1_000).await.unwrap();
    assert_eq!(found.len(), 102);
    assert_eq!(server.asked()[1], "GET /api/v10/channels/20/messages/900/reactions/%E2%9C%85?limit=100&after=100");
    server.answers(200, &[], page(1, 101));
    assert!(rest.marked_by(&OPS, MessageId::new(900), "%E2%9C%85", 100).await.is_err(), "too many to be believed");
}

#[tokio::test]
async fn an_edit_says_all_of_a_message_and_taking_buttons_away_nothing_else() {
    let server = Server::start().await;
    let (rest, message) = (server.rest(), MessageId::new(900));
    rest.edit(&OPS, message, posted(false)).await.unwrap();
    rest.take_buttons(&OPS, message).await.unwrap();
    let said: Vec<Value> =
        server.script.lock().unwrap().asked.iter().map(|(.., body)| serde_json::from_slice(body).unwrap()).collect();
    let nobody = json!({ "parse": [], "users": [], "roles": [] });
    assert_eq!(said[0], json!({ "content": "x", "components": [], "attachments": [], "allowed_mentions": nobody }));
    assert_eq!(said[1], json!({ "components": [] }), "its files stay");
}

#[tokio::test]
async fn a_file_goes_with_its_message() {
    let server = Server::start().await;
    server.answers(200, &[], message());
    let file = |name: &str, bytes: &[u8]| CreateAttachment::bytes(bytes, name).description("what it shows");
    let message =
        Posted { files: vec![file("chart.png", b"\x89PNG of it"), file("all.txt", b"of it")], ..posted(false) };
    server.rest().post(&OPS, message).await.unwrap();
    let (_, _, headers, body) = server.script.lock().unwrap().asked.remove(0);
    assert!(headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary="));
    let body = String::from_utf8_lossy(&body).into_owned();
    let json = r#""attachments":[{"description":"what it shows","filename":"chart.png","id":"0"},{"description":"what it shows","filename":"all.txt","id":"1"}]"#;
    assert!(body.contains("name=\"payload_json\"") && body.contains(json), "{body}");
    assert!(body.contains("name=\"files[0]\"; filename=\"chart.png\"\r\nContent-Type: image/png"), "{body}");
    assert!(body.contains("name=\"files[1]\"; filename=\"all.txt\"\r\nContent-Type: text/plain"), "{body}");
    assert!(body.contains("of it"), "{body}");
}
