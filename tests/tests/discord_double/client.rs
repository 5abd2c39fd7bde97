//! A plain client: HTTP as anybody would speak it, and one websocket.

use futures::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use reqwest::header::HeaderMap;
use reqwest::multipart::{Form, Part};
use scalebot_tests::discord::Discord;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// An answer: status, headers, body.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Got {
    /// The body of an answer that is no refusal.
    pub(crate) fn ok(self) -> Value {
        assert!((200..300).contains(&self.status), "{} {}", self.status, self.body);
        self.body
    }

    /// Status and Discord's own code of a refusal.
    pub(crate) fn refusal(&self) -> (u16, i64) {
        (self.status, self.body["code"].as_i64().unwrap())
    }

    /// The code at a field's path in an invalid form: `embeds.0.title`.
    pub(crate) fn wrong_at(&self, path: &str) -> String {
        assert_eq!(self.refusal(), (400, 50035), "{}", self.body);
        let place = path.split('.').fold(&self.body["errors"], |place, step| &place[step]);
        let code = place["_errors"][0]["code"].as_str();
        code.unwrap_or_else(|| panic!("nothing at {path}: {:#}", self.body)).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).to_str().unwrap()
    }
}

pub(crate) struct Api {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Api {
    pub(crate) fn of(discord: &Discord) -> Self {
        Self::with_token(discord, &discord.token())
    }

    pub(crate) fn with_token(discord: &Discord, token: &str) -> Self {
        let client = reqwest::Client::builder().user_agent("DiscordBot (https://example.org, 1)").build().unwrap();
        Self { client, base: discord.api_base(), token: token.to_owned() }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.base));
        if self.token.is_empty() { request } else { request.header("authorization", format!("Bot {}", self.token)) }
    }

    async fn sent(request: reqwest::RequestBuilder) -> Got {
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null);
        Got { status, headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        Self::sent(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Got {
        Self::sent(self.request(Method::POST, path).json(&body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: Value) -> Got {
        Self::sent(self.request(Method::PATCH, path).json(&body)).await
    }

    pub(crate) async fn put(&self, path: &str, body: Option<Value>) -> Got {
        let request = self.request(Method::PUT, path);
        let request = if let Some(body) = body { request.json(&body) } else { request.header("content-length", "0") };
        Self::sent(request).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        Self::sent(self.request(Method::DELETE, path)).await
    }

    /// A body that is not JSON, although it says so.
    pub(crate) async fn post_text(&self, path: &str, text: &'static str) -> Got {
        Self::sent(self.request(Method::POST, path).header("content-type", "application/json").body(text)).await
    }

    /// A form of several parts with its files, each a name and its bytes.
    pub(crate) async fn upload(&self, method: Method, path: &str, body: Value, files: &[(&str, &[u8])]) -> Got {
        let form = Form::new().text("payload_json", body.to_string());
        let form = files.iter().enumerate().fold(form, |form, (n, (name, bytes))| {
            form.part(format!("files[{n}]"), Part::bytes(bytes.to_vec()).file_name((*name).to_owned()))
        });
        Self::sent(self.request(method, path).multipart(form)).await
    }

    /// Whether a connection comes about and is answered.
    pub(crate) async fn reaches(&self) -> bool {
        self.request(Method::GET, "/users/@me").send().await.is_ok()
    }
}

/// One connection to the gateway.
pub(crate) struct Link {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) session: String,
    /// The highest sequence number so far.
    pub(crate) sequence: u64,
}

/// The server, and reactions in it.
pub(crate) const INTENTS: u64 = 1 | 1 << 10;

impl Link {
    /// Connects and takes HELLO.
    pub(crate) async fn open(discord: &Discord) -> Self {
        Self::open_at(&format!("{}/?v=10&encoding=json", discord.address().replacen("http", "ws", 1))).await
    }

    pub(crate) async fn open_at(url: &str) -> Self {
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut link = Self { socket, session: String::new(), sequence: 0 };
        let hello = link.next().await;
        assert_eq!(hello["op"], 10);
        assert!(hello["d"]["heartbeat_interval"].as_u64().unwrap() > 0);
        link
    }

    pub(crate) async fn send(&mut self, payload: Value) {
        self.socket.send(Message::text(payload.to_string())).await.unwrap();
    }

    pub(crate) async fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text.to_owned())).await.unwrap();
    }

    pub(crate) async fn identify(&mut self, token: &str, intents: u64) {
        let properties = json!({ "os": "linux", "browser": "test", "device": "test" });
        self.send(json!({ "op": 2, "d": { "token": token, "intents": intents, "properties": properties } })).await;
    }

    pub(crate) async fn resume(&mut self, token: &str, session: &str, sequence: u64) {
        self.send(json!({ "op": 6, "d": { "token": token, "session_id": session, "seq": sequence } })).await;
    }

    /// Connects and identifies; what comes first is taken.
    pub(crate) async fn ready(discord: &Discord, intents: u64) -> Self {
        let mut link = Self::open(discord).await;
        link.identify(&discord.token(), intents).await;
        let ready = link.event("READY").await;
        link.session = ready["session_id"].as_str().unwrap().to_owned();
        if intents & 1 == 1 {
            link.event("GUILD_CREATE").await;
        }
        link
    }

    /// The next payload.
    pub(crate) async fn next(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => {
                let payload: Value = serde_json::from_str(&text).unwrap();
                self.sequence = payload["s"].as_u64().unwrap_or(self.sequence);
                payload
            }
            other => panic!("instead of a payload: {other:?}"),
        }
    }

    /// The next payload, which is an event of this name.
    pub(crate) async fn event(&mut self, name: &str) -> Value {
        let payload = self.next().await;
        assert_eq!(payload["t"], name, "{payload:#}");
        payload["d"].clone()
    }

    /// The code that the connection is closed with; `None` where it just ends.
    pub(crate) async fn closing(&mut self) -> Option<u16> {
        loop {
            match self.frame().await {
                Some(Message::Close(frame)) => return frame.map(|frame| frame.code.into()),
                Some(_) => {}
                None => return None,
            }
        }
    }

    /// Ends the connection with this code.
    pub(crate) async fn close(mut self, code: u16) {
        let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame { code: code.into(), reason: "".into() };
        self.socket.close(Some(frame)).await.unwrap();
        self.closing().await;
    }

    async fn frame(&mut self) -> Option<Message> {
        let next = tokio::time::timeout(std::time::Duration::from_secs(20), self.socket.next());
        next.await.expect("something from the gateway within 20 s")?.ok()
    }
}
