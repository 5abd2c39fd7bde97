//! A small Discord for unit tests: it keeps messages, marks, members and what it was asked, and fails as it is told. The
//! faithful double is elsewhere; this one is only as good as the module at hand needs.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest as _, Multipart, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use reqwest::Url;
use secrecy::SecretString;
use serde::Serialize;
use serde_json::{Value, json};
use serenity::all::{GuildChannel, Message, Role};
use tokio::sync::Notify;

use super::rest::Rest;
use super::settings::Settings;

/// What is known of this Discord.
#[derive(Default)]
pub(crate) struct State {
    next: u64,
    /// Oldest first, with the channel.
    pub(crate) messages: Vec<(String, Value)>,
    /// Who has put which mark under which message.
    pub(crate) marks: BTreeMap<(String, String), Vec<String>>,
    pub(crate) members: BTreeMap<String, Value>,
    /// `METHOD /path`, without the base.
    pub(crate) asked: Vec<String>,
    /// Bodies of what is answered elsewhere than in a channel: callbacks, follow-ups, registrations.
    pub(crate) said: Vec<(String, Value)>,
    /// What requests whose `METHOD /path` begins so are answered instead, once each.
    pub(crate) fails: VecDeque<(String, u16, u32)>,
    /// What is answered to a GET of that path.
    pub(crate) found: BTreeMap<String, Value>,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Fake {
    state: Arc<Mutex<State>>,
    asked: Arc<Notify>,
    pub(crate) base: String,
}

impl Fake {
    pub(crate) async fn start() -> Self {
        let found = [("users/@me".to_owned(), me())].into();
        let state = Arc::new(Mutex::new(State { next: 1_000, found, ..State::default() }));
        let asked = Arc::new(Notify::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { state, asked, base };
        let serving = fake.clone();
        let router = Router::new().fallback(move |request: Request| {
            let fake = serving.clone();
            async move { fake.answer(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        fake
    }

    pub(crate) fn rest(&self) -> Rest {
        Rest::new(Url::parse(&format!("{}/api/v10", self.base)).unwrap(), &SecretString::from("token")).unwrap()
    }

    pub(crate) fn settings(&self) -> Settings {
        super::settings::tests::settings(&self.base)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A person in the server with these roles.
    pub(crate) fn member(&self, id: &str, name: &str, roles: &[&str]) {
        self.state().members.insert(id.to_owned(), member(&user(id, name), roles));
    }

    /// The next request that begins so fails.
    pub(crate) fn fail(&self, begins: &str, status: u16, code: u32) {
        self.state().fails.push_back((begins.to_owned(), status, code));
    }

    /// Everything in a channel, oldest first.
    pub(crate) fn channel(&self, channel: &str) -> Vec<Value> {
        self.state().messages.iter().filter(|(place, _)| place == channel).map(|(_, message)| message.clone()).collect()
    }

    /// The titles of everything in a channel.
    pub(crate) fn titles(&self, channel: &str) -> Vec<String> {
        let title = |message: Value| message["embeds"][0]["title"].as_str().unwrap_or_default().to_owned();
        self.channel(channel).into_iter().map(title).collect()
    }

    /// How many requests begin so.
    pub(crate) fn times(&self, begins: &str) -> usize {
        self.state().asked.iter().filter(|asked| asked.starts_with(begins)).count()
    }

    /// Waits until so many requests begin so.
    pub(crate) async fn until(&self, begins: &str, times: usize) {
        loop {
            let asked = self.asked.notified();
            if self.times(begins) >= times {
                return;
            }
            asked.await;
        }
    }

    /// A message by somebody.
    pub(crate) fn write(&self, channel: &str, author: &str, content: &str) -> u64 {
        let mut state = self.state();
        state.next += 1;
        let id = state.next;
        let message = json!({
            "id": id.to_string(), "channel_id": channel, "content": content, "author": { "id": author },
        });
        state.messages.push((channel.to_owned(), message));
        id
    }

    async fn answer(&self, request: Request) -> Response {
        let method = request.method().clone();
        let uri = request.uri().clone();
        let path = uri.path().trim_start_matches("/api/v10/").to_owned();
        let query = uri.query().unwrap_or_default().to_owned();
        let body = read(request).await;
        let line = format!("{method} /{path}");
        let (status, answer) = {
            let mut state = self.state();
            let failing = state.fails.iter().position(|(begins, ..)| line.starts_with(begins));
            match failing.and_then(|at| state.fails.remove(at)) {
                Some((_, status, code)) => (status, json!({ "code": code, "message": "as told", "retry_after": 0.01 })),
                None => state.answer(&method, &path, &query, body),
            }
        };
        // Counted when it is done, so that who waits for it sees what it did.
        self.state().asked.push(line);
        self.asked.notify_waiters();
        (StatusCode::from_u16(status).unwrap(), answer.to_string()).into_response()
    }
}

/// The bot.
pub(crate) fn me() -> Value {
    json!({ "id": "7", "username": "scalebot", "bot": true })
}

/// A person.
pub(crate) fn user(id: &str, name: &str) -> Value {
    json!({ "id": id, "username": name, "global_name": name })
}

/// Somebody in the server.
pub(crate) fn member(user: &Value, roles: &[&str]) -> Value {
    json!({ "user": user, "roles": roles, "deaf": false, "mute": false, "flags": 0 })
}

/// A role with these permissions.
pub(crate) fn role(id: &str, name: &str, permissions: impl Serialize) -> Value {
    with(json!(Role::default()), json!({ "id": id, "name": name, "permissions": permissions, "mentionable": true }))
}

/// A text channel with these overwrites.
pub(crate) fn channel(id: &str, name: &str, overwrites: impl Serialize) -> Value {
    let told = json!({ "id": id, "type": 0, "guild_id": "10", "name": name, "permission_overwrites": overwrites });
    with(json!(GuildChannel::default()), told)
}

/// A message by the bot, as it is answered.
pub(crate) fn message(id: &str, channel: &str) -> Value {
    with(json!(Message::default()), json!({ "id": id, "channel_id": channel, "author": me() }))
}

/// What the gateway is told to be at an address, with that many sessions left today.
pub(crate) fn gateway(url: &str, remaining: u64) -> Value {
    let limit = json!({ "total": 1000, "remaining": remaining, "reset_after": 3_600_000, "max_concurrency": 1 });
    json!({ "url": url, "shards": 1, "session_start_limit": limit })
}

/// The one with what the other says otherwise.
pub(crate) fn with(mut one: Value, otherwise: Value) -> Value {
    let Value::Object(otherwise) = otherwise else { panic!("{otherwise}") };
    one.as_object_mut().unwrap().extend(otherwise);
    one
}

/// The body as JSON; of a form its `payload_json`, with the files' texts beside.
async fn read(request: Request) -> Value {
    let kind = request.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned()).unwrap_or_default();
    if !kind.starts_with("multipart/") {
        let bytes: Bytes = to_bytes(request.into_body(), 1 << 22).await.unwrap();
        return serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    }
    let request = request.map(Body::new);
    let mut form = Multipart::from_request(request, &()).await.unwrap();
    let (mut json, mut files) = (Value::Null, Vec::new());
    while let Some(field) = form.next_field().await.unwrap() {
        match field.name() {
            Some("payload_json") => json = serde_json::from_str(&field.text().await.unwrap()).unwrap(),
            _ => files.push(String::from_utf8_lossy(&field.bytes().await.unwrap()).into_owned()),
        }
    }
    json["files"] = json!(files);
    json
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if let Some(found) = self.found.get(path).filter(|_| method == Method::GET) {
            return (200, found.clone());
        }
        let parts: Vec<&str> = path.split('/').collect();
        match (method.as_str(), parts.as_slice()) {
            ("POST", ["channels", channel, "messages"]) => {
                let posted = self.post(channel, body);
                (200, message(posted["id"].as_str().unwrap(), channel))
            }
            ("GET", ["channels", channel, "messages"]) => (200, self.page(channel, query)),
            ("PATCH", ["channels", channel, "messages", id]) => {
                let known = self.messages.iter_mut().find(|(place, message)| place == channel && message["id"] == **id);
                let Some((_, message)) = known else {
                    return (404, json!({ "code": 10_008, "message": "Unknown Message" }));
                };
                for (name, value) in body.as_object().unwrap() {
                    message[name] = value.clone();
                }
                message["edits"] = json!(message["edits"].as_u64().unwrap_or(0) + 1);
                (200, message.clone())
            }
            ("POST", ["channels", _, "messages", id, "threads"]) => (201, json!({ "id": id, "type": 11 })),
            ("PUT", ["channels", _, "messages", id, "reactions", emoji, "@me"]) => {
                self.mark(id, emoji, "7");
                (204, Value::Null)
            }
            ("GET", ["channels", _, "messages", id, "reactions", emoji]) => {
                let by = self.marks.get(&((*id).to_owned(), (*emoji).to_owned())).cloned().unwrap_or_default();
                (200, by.into_iter().map(|id| user(&id, "somebody")).collect())
            }
            ("GET", ["guilds", _, "members", id]) => match self.members.get(*id) {
                Some(member) => (200, member.clone()),
                None => (404, json!({ "code": 10_007, "message": "Unknown Member" })),
            },
            ("POST", ["users", "@me", "channels"]) => {
                let to = body["recipient_id"].as_str().unwrap();
                (200, json!({ "id": format!("77{to}"), "type": 1, "recipients": [user(to, "somebody")] }))
            }
            ("POST" | "PATCH" | "PUT", ["interactions" | "webhooks" | "applications", ..]) => {
                self.said.push((path.to_owned(), body));
                (200, json!({}))
            }
            _ => (404, json!({ "code": 0, "message": format!("no such route: {method} {path}") })),
        }
    }

    fn post(&mut self, channel: &str, body: Value) -> Value {
        let nonce = &body["nonce"];
        if !nonce.is_null() && body["enforce_nonce"] == true {
            let same = self.messages.iter().find(|(place, known)| place == channel && known["nonce"] == *nonce);
            if let Some((_, known)) = same {
                return known.clone();
            }
        }
        self.next += 1;
        let mut message = body;
        message["id"] = json!(self.next.to_string());
        message["channel_id"] = json!(channel);
        message["author"] = me();
        self.messages.push((channel.to_owned(), message.clone()));
        message
    }

    /// Newest first, as Discord has it.
    fn page(&self, channel: &str, query: &str) -> Value {
        let given = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
                .and_then(|id| id.parse::<u64>().ok())
        };
        let id = |message: &Value| message["id"].as_str().unwrap().parse::<u64>().unwrap();
        let (before, after) = (given("before"), given("after"));
        let mut found: Vec<Value> = self
            .messages
            .iter()
            .filter(|(place, message)| {
                place == channel
                    && before.is_none_or(|before| id(message) < before)
                    && after.is_none_or(|after| id(message) > after)
            })
            .map(|(_, message)| message.clone())
            .collect();
        let limit = given("limit").unwrap_or(50) as usize;
        // After a message the oldest are given, else the newest; newest first either way.
        if after.is_none() {
            found.drain(..found.len().saturating_sub(limit));
        } else {
            found.truncate(limit);
        }
        found.reverse();
        Value::from(found)
    }

    /// Somebody puts a mark under a message.
    pub(crate) fn mark(&mut self, message: &str, emoji: &str, by: &str) {
        self.marks.entry((message.to_owned(), emoji.to_owned())).or_default().push(by.to_owned());
    }
}
