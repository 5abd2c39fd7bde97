//! The gateway's sessions: who listens to what, what each was told and in which order, and what is told again to a
//! connection that resumes.

pub mod intents;
pub(crate) mod socket;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use super::clock::between;
use intents::Intents;

/// IDENTIFYs that a token may make in a day; one more, and Discord resets the token.
pub const IDENTIFIES_A_DAY: u32 = 1000;
const DAY: Duration = Duration::from_hours(24);
/// How long a session outlives its connection.
pub const RESUMABLE: Duration = Duration::from_mins(3);
/// Events kept for a connection that resumes.
const KEPT: usize = 10_000;
/// IDENTIFYs are counted against the concurrency in windows of this length.
const CONCURRENCY_WINDOW: Duration = Duration::from_secs(5);

/// What is sent down a connection.
#[derive(Debug)]
pub(crate) enum Out {
    Text(String),
    Close(u16, &'static str),
}

pub(crate) struct Gateway {
    /// By the session's identifier.
    pub(crate) sessions: BTreeMap<String, Session>,
    /// Connections that were made, also those that never identified.
    pub(crate) connections: u64,
    pub(crate) identifies: Vec<Identify>,
    pub(crate) resumes: u64,
    pub(crate) heartbeats: u64,
    pub(crate) heartbeat_every: Duration,
    pub(crate) concurrency: u32,
    pub(crate) acking: bool,
    pub(crate) refusing: bool,
    /// Events that were dispatched to nobody, because none was connected or had asked for them.
    pub(crate) unheard: u64,
}

/// An IDENTIFY as it came.
#[derive(Clone, Debug)]
pub struct Identify {
    /// When, by the double's clock.
    pub at: Timestamp,
    /// What it asked for, as bits.
    pub intents: u64,
    /// The client, as it names itself.
    pub properties: Value,
}

pub(crate) struct Session {
    pub(crate) intents: Intents,
    pub(crate) sequence: u64,
    pub(crate) events: VecDeque<(u64, String)>,
    /// The connection that it is served by.
    pub(crate) connection: Option<(u64, UnboundedSender<Out>)>,
    /// Since when it has no connection.
    pub(crate) lost: Option<Timestamp>,
}

impl Gateway {
    pub(crate) fn new(heartbeat_every: Duration, concurrency: u32) -> Self {
        Self {
            sessions: BTreeMap::new(),
            connections: 0,
            identifies: Vec::new(),
            resumes: 0,
            heartbeats: 0,
            heartbeat_every,
            concurrency,
            acking: true,
            refusing: false,
            unheard: 0,
        }
    }

    /// IDENTIFYs that are left today, and how long until there are more.
    pub(crate) fn start_limit(&self, now: Timestamp) -> (u32, Duration) {
        let mut today = self.identifies.iter().filter(|one| between(one.at, now) < DAY);
        let first = today.next();
        let used = first.map_or(0, |_| 1 + u32::try_from(today.count()).unwrap_or(u32::MAX - 1));
        let resets = first.map_or(Duration::ZERO, |one| DAY.saturating_sub(between(one.at, now)));
        (IDENTIFIES_A_DAY.saturating_sub(used), resets)
    }

    /// Whether one more IDENTIFY would be too many at once.
    pub(crate) fn is_crowded(&self, now: Timestamp) -> bool {
        let lately = self.identifies.iter().rev().take_while(|one| between(one.at, now) < CONCURRENCY_WINDOW).count();
        lately >= self.concurrency as usize
    }

    pub(crate) fn dispatch(&mut self, now: Timestamp, intent: Option<Intents>, event: &str, body: &Value) {
        self.sessions.retain(|_, session| session.lost.is_none_or(|since| between(since, now) < RESUMABLE));
        let mut heard = false;
        for session in self.sessions.values_mut() {
            if intent.is_none_or(|intent| session.intents.has(intent)) {
                heard |= session.connection.is_some();
                session.tell(event, body);
            }
        }
        self.unheard += u64::from(!heard);
    }

    pub(crate) fn connected(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values().filter(|session| session.connection.is_some())
    }

    /// Sends the same to every connection that has a session.
    pub(crate) fn to_all(&self, out: impl Fn() -> Out) {
        for (_, connection) in self.connected().filter_map(|session| session.connection.as_ref()) {
            // A connection that has just ended needs nothing any more.
            let _ = connection.send(out());
        }
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "gateway: {} sessions, {} connected; {} IDENTIFY, {} RESUME, {} heartbeats",
            self.sessions.len(),
            self.connected().count(),
            self.identifies.len(),
            self.resumes,
            self.heartbeats
        )
    }
}

impl Session {
    pub(crate) fn tell(&mut self, event: &str, body: &Value) {
        self.sequence += 1;
        let text = json!({ "op": 0, "s": self.sequence, "t": event, "d": body }).to_string();
        if let Some((_, connection)) = &self.connection {
            let _ = connection.send(Out::Text(text.clone()));
        }
        self.events.push_back((self.sequence, text));
        if self.events.len() > KEPT {
            self.events.pop_front();
        }
    }
}
