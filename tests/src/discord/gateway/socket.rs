//! One connection to the gateway, from HELLO to its closing code.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::time::Instant;

use super::intents::{Intents, KNOWN, PRIVILEGED};
use super::{Identify, Out, RESUMABLE, Session};
use crate::discord::clock::between;
use crate::discord::server::Shared;
use crate::discord::shape;
use crate::discord::world::World;

/// Bytes in a payload from the client.
const PAYLOAD: usize = 4096;
/// Payloads that a client may send in a minute.
const PAYLOADS_A_MINUTE: usize = 120;

/// The closing codes, with the words that come with them.
mod closing {
    pub(super) const UNKNOWN_OPCODE: (u16, &str) = (4001, "Unknown opcode.");
    pub(super) const DECODE_ERROR: (u16, &str) = (4002, "Error while decoding payload.");
    pub(super) const NOT_AUTHENTICATED: (u16, &str) = (4003, "Not authenticated.");
    pub(super) const AUTHENTICATION_FAILED: (u16, &str) = (4004, "Authentication failed.");
    pub(super) const ALREADY_AUTHENTICATED: (u16, &str) = (4005, "Already authenticated.");
    pub(super) const INVALID_SEQUENCE: (u16, &str) = (4007, "Invalid seq.");
    pub(super) const RATE_LIMITED: (u16, &str) = (4008, "Rate limited.");
    pub(super) const TIMED_OUT: (u16, &str) = (4009, "Session timed out.");
    pub(super) const INVALID_SHARD: (u16, &str) = (4010, "Invalid shard.");
    pub(super) const INVALID_VERSION: (u16, &str) = (4012, "Invalid API version.");
    pub(super) const INVALID_INTENTS: (u16, &str) = (4013, "Invalid intent(s).");
    pub(super) const DISALLOWED_INTENTS: (u16, &str) = (4014, "Disallowed intent(s).");
}

type Close = (u16, &'static str);

/// Serves a connection until either side ends it.
pub(crate) async fn serve(shared: Arc<Shared>, mut socket: WebSocket, version: Option<String>) {
    let (sender, mut outgoing) = mpsc::unbounded_channel();
    let (number, heartbeat_every) = shared.change(|world| {
        world.gateway.connections += 1;
        (world.gateway.connections, world.gateway.heartbeat_every)
    });
    let mut connection = Connection { shared, number, sender, session: None, payloads: Vec::new() };
    let mut left_cleanly = false;
    // A client may be late by a network's delay, but not by half an interval.
    let patience = heartbeat_every + heartbeat_every / 2;
    let mut silent_until = Instant::now() + patience;

    let hello = json!({ "op": 10, "s": null, "t": null, "d": {
        "heartbeat_interval": u64::try_from(heartbeat_every.as_millis()).unwrap_or(u64::MAX), "_trace": [],
    }});
    let mut closing = (version.as_deref() != Some("10")).then_some(closing::INVALID_VERSION);
    if closing.is_none() && socket.send(Message::Text(hello.to_string().into())).await.is_err() {
        return;
    }
    while closing.is_none() {
        tokio::select! {
            biased;
            out = outgoing.recv() => match out {
                Some(Out::Text(text)) => {
                    if socket.send(Message::Text(text.into())).await.is_err() {
                        break;
                    }
                }
                Some(Out::Close(code, reason)) => closing = Some((code, reason)),
                None => break,
            },
            came = socket.recv() => match came {
                Some(Ok(Message::Text(text))) => {
                    let heard = connection.take(&text);
                    if matches!(heard, Ok(true)) {
                        silent_until = Instant::now() + patience;
                    }
                    closing = heard.err();
                }
                Some(Ok(Message::Binary(_))) => closing = Some(closing::DECODE_ERROR),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => {
                    // Who says goodbye with these has no intention of coming back.
                    left_cleanly = frame.is_some_and(|frame| matches!(frame.code, 1000 | 1001));
                    break;
                }
                Some(Err(_)) | None => break,
            },
            () = tokio::time::sleep_until(silent_until) => closing = Some(closing::TIMED_OUT),
        }
    }
    connection.leave(left_cleanly, closing);
    if let Some((code, reason)) = closing {
        let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        // The other side answers the closing, within reason.
        let _ = tokio::time::timeout(Duration::from_secs(1), async { while let Some(Ok(_)) = socket.recv().await {} })
            .await;
    }
}

struct Connection {
    shared: Arc<Shared>,
    number: u64,
    sender: UnboundedSender<Out>,
    session: Option<String>,
    /// When payloads came, for the limit on them.
    payloads: Vec<Instant>,
}

impl Connection {
    /// Takes a payload. Returns whether it was a heartbeat.
    fn take(&mut self, text: &str) -> Result<bool, Close> {
        let now = Instant::now();
        self.payloads.retain(|at| now.duration_since(*at) < Duration::from_mins(1));
        self.payloads.push(now);
        if self.payloads.len() > PAYLOADS_A_MINUTE {
            return Err(closing::RATE_LIMITED);
        }
        let payload: Value = serde_json::from_str(text).map_err(|_| closing::DECODE_ERROR)?;
        if text.len() > PAYLOAD {
            return Err(closing::DECODE_ERROR);
        }
        let shared = Arc::clone(&self.shared);
        let body = &payload["d"];
        match payload["op"].as_u64() {
            Some(1) => {
                shared.change(|world| {
                    world.gateway.heartbeats += 1;
                    if world.gateway.acking {
                        self.send(&json!({ "op": 11 }));
                    }
                });
                return Ok(true);
            }
            Some(2 | 6) if self.session.is_some() => return Err(closing::ALREADY_AUTHENTICATED),
            Some(2) => shared.change(|world| self.identify(world, body))?,
            Some(6) => shared.change(|world| self.resume(world, body))?,
            // Presence and the rest are listened to and change nothing here.
            Some(3 | 4 | 8 | 31) if self.session.is_some() => {}
            Some(3 | 4 | 8 | 31) => return Err(closing::NOT_AUTHENTICATED),
            _ => return Err(closing::UNKNOWN_OPCODE),
        }
        Ok(false)
    }

    fn send(&self, payload: &Value) {
        let _ = self.sender.send(Out::Text(payload.to_string()));
    }

    fn identify(&mut self, world: &mut World, body: &Value) -> Result<(), Close> {
        let now = world.now();
        let intents = Intents(body["intents"].as_u64().unwrap_or(0));
        let crowded = world.gateway.is_crowded(now);
        let (left, _) = world.gateway.start_limit(now);
        world.gateway.identifies.push(Identify { at: now, intents: intents.0, properties: body["properties"].clone() });
        if left == 0 {
            world.reset_token();
        }
        if body["token"].as_str().map(without_scheme) != world.application.token.as_deref() {
            return Err(closing::AUTHENTICATION_FAILED);
        }
        if !body["properties"].is_object() {
            return Err(closing::DECODE_ERROR);
        }
        let (shard, shards) = (body["shard"][0].as_u64(), body["shard"][1].as_u64());
        if !body["shard"].is_null() && (shard.is_none() || shards.is_none() || shard >= shards) {
            return Err(closing::INVALID_SHARD);
        }
        if !body["intents"].is_u64() || intents.beyond(KNOWN) != Intents::NONE {
            return Err(closing::INVALID_INTENTS);
        }
        let privileged = Intents(intents.0 & PRIVILEGED.0);
        if privileged.beyond(world.application.privileged) != Intents::NONE {
            return Err(closing::DISALLOWED_INTENTS);
        }
        if crowded {
            self.send(&json!({ "op": 9, "d": false }));
            return Ok(());
        }

        let id: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
        let connection = Some((self.number, self.sender.clone()));
        let mut session =
            Session { intents, sequence: 0, events: std::collections::VecDeque::new(), connection, lost: None };
        let mut ready = json!({
            "v": 10,
            "user": me(world),
            "user_settings": {},
            "session_type": "normal",
            "session_id": id,
            "resume_gateway_url": world.address.replacen("http", "ws", 1) + "/resume",
            "relationships": [],
            "private_channels": [],
            "presences": [],
            "guilds": [{ "id": world.guild.id, "unavailable": true }],
            "guild_join_requests": [],
            "geo_ordered_rtc_regions": [],
            "application": { "id": world.application.id, "flags": 0 },
            "_trace": [],
        });
        if !body["shard"].is_null() {
            ready["shard"] = body["shard"].clone();
        }
        session.tell("READY", &ready);
        if intents.has(super::intents::GUILDS) {
            session.tell("GUILD_CREATE", &shape::guild_create(world));
        }
        world.gateway.sessions.insert(id.clone(), session);
        self.session = Some(id);
        Ok(())
    }

    fn resume(&mut self, world: &mut World, body: &Value) -> Result<(), Close> {
        let now = world.now();
        world.gateway.resumes += 1;
        if body["token"].as_str().map(without_scheme) != world.application.token.as_deref() {
            return Err(closing::AUTHENTICATION_FAILED);
        }
        let id = body["session_id"].as_str().unwrap_or_default();
        let alive = |session: &&mut Session| session.lost.is_none_or(|since| between(since, now) < RESUMABLE);
        let Some(session) = world.gateway.sessions.get_mut(id).filter(alive) else {
            self.send(&json!({ "op": 9, "d": false }));
            return Ok(());
        };
        let Some(seen) = body["seq"].as_u64().filter(|seen| *seen <= session.sequence) else {
            return Err(closing::INVALID_SEQUENCE);
        };
        if let Some((_, other)) = session.connection.take() {
            let _ = other.send(Out::Close(4000, "Unknown error."));
        }
        for (_, text) in session.events.iter().filter(|(sequence, _)| *sequence > seen) {
            let _ = self.sender.send(Out::Text(text.clone()));
        }
        session.connection = Some((self.number, self.sender.clone()));
        session.lost = None;
        session.tell("RESUMED", &json!({ "_trace": [] }));
        self.session = Some(id.to_owned());
        Ok(())
    }

    fn leave(&self, cleanly: bool, closing: Option<Close>) {
        let Some(id) = &self.session else { return };
        // After these the session is gone as well.
        let ended = cleanly || closing.is_some_and(|(code, _)| matches!(code, 4003..=4005 | 4007 | 4009..=4014));
        self.shared.change(|world| {
            let now = world.now();
            let Some(session) = world.gateway.sessions.get_mut(id) else { return };
            if session.connection.as_ref().is_some_and(|(number, _)| *number == self.number) {
                session.connection = None;
                session.lost = Some(now);
                if ended {
                    world.gateway.sessions.remove(id);
                }
            }
        });
    }
}

fn without_scheme(token: &str) -> &str {
    token.strip_prefix("Bot ").unwrap_or(token)
}

/// The bot's own user, as only itself sees it.
fn me(world: &World) -> Value {
    let mut me = shape::user(world, world.application.bot);
    me["mfa_enabled"] = json!(true);
    me["verified"] = json!(true);
    me["email"] = Value::Null;
    me
}
