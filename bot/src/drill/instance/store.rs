//! The instance's connection to the store that all instances share.
//!
//! What readiness and the halt are answered from is read at most every 200 ms. A part of the store that cannot be read
//! is an error of that part, never an older reading.

use std::path::Path;
use std::time::Duration;

use scalebot_adapters::http::Http;
use scalebot_adapters::process::wire::{ChainHead, HaltRow, HaltSignal, HaltSignalEntries, HaltTableRows};
use scalebot_commands::ports::PortError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::drill::chain::StoredEvent;
use crate::drill::world::Complexity;

/// How old a reading may be.
const FRESH: Duration = Duration::from_millis(200);

/// How long the store may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The store, as one instance reaches it.
pub(super) struct StoreClient {
    http: Http,
    seen: Mutex<Option<Seen>>,
}

/// What was read together, each part with its own failure.
#[derive(Clone)]
pub(super) struct Seen {
    at: Instant,
    /// How long that took.
    pub(super) took: Duration,
    /// The rows of the halt table: the database's word.
    pub(super) halt_table: Result<Vec<HaltRow>, PortError>,
    /// The entries of the halt stream: Redis' word.
    pub(super) halt_signals: Result<Vec<HaltSignal>, PortError>,
    /// The head of the chain: the event store's word.
    pub(super) head: Result<Option<u64>, PortError>,
}

impl StoreClient {
    /// The store behind that socket.
    pub(super) fn new(socket: &Path) -> Result<Self, PortError> {
        Ok(Self { http: Http::on_socket("the store", socket, LIMIT)?, seen: Mutex::new(None) })
    }

    /// What the store holds, at most 200 ms ago. Whoever asks meanwhile waits for the same reading.
    pub(super) async fn look(&self) -> Seen {
        let mut seen = self.seen.lock().await;
        if let Some(seen) = seen.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return seen.clone();
        }
        let at = Instant::now();
        let (table, signals, head) = tokio::join!(
            self.get::<HaltTableRows>("/store/halt-table"),
            self.get::<HaltSignalEntries>("/store/halt-signals"),
            self.get::<ChainHead>("/store/chain/head"),
        );
        let new = Seen {
            at,
            took: at.elapsed(),
            halt_table: table.map(|table| table.rows),
            halt_signals: signals.map(|signals| signals.entries),
            head: head.map(|head| head.head),
        };
        seen.insert(new).clone()
    }

    /// The events from `start` to `end`, both included, as far as there are any.
    pub(super) async fn events(&self, start: u64, end: u64) -> Result<Vec<StoredEvent>, PortError> {
        self.get(&format!("/store/events?start={start}&end={end}")).await
    }

    /// The head of the chain at this moment.
    pub(super) async fn head(&self) -> Result<Option<u64>, PortError> {
        let ChainHead { head } = self.get("/store/chain/head").await?;
        Ok(head)
    }

    /// The use of the complexity budget.
    pub(super) async fn complexity(&self) -> Result<Complexity, PortError> {
        self.get("/store/complexity").await
    }

    /// The early warnings.
    pub(super) async fn warnings(&self) -> Result<Vec<Value>, PortError> {
        self.get("/store/warnings").await
    }

    /// Halts the system by both sources of truth, and returns since when.
    pub(super) async fn halt(&self, reason: &str) -> Result<Value, PortError> {
        let halted = self.http.post_json("/store/halt", &json!({ "sources": "both", "reason": reason })).await;
        // What was read before is no longer so.
        *self.seen.lock().await = None;
        halted
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PortError> {
        self.http.get_json(path).await
    }
}
