//! The instance's connection to the store that all instances share; or, where it is alone, a store of its own. Of these
//! every one holds the same chain of events, so that instances in the pods of a cluster agree.
//!
//! What readiness and the halt are answered from is read at most every 200 ms. A part of the store that cannot be read
//! is an error of that part, never an older reading.

use std::path::Path;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;
use scalebot_adapters::http::Http;
use scalebot_adapters::process::wire::{ChainHead, HaltRow, HaltSignal, HaltSignalEntries, HaltTableRows};
use scalebot_commands::ports::PortError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::drill::chain::StoredEvent;
use crate::drill::settings::{FleetKind, Settings};
use crate::drill::world::{Complexity, Sources, Store};

/// How old a reading may be.
const FRESH: Duration = Duration::from_millis(200);

/// How long the store may take to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The store, as one instance reaches it.
pub(super) struct StoreClient {
    place: Place,
    seen: Mutex<Option<Seen>>,
}

/// Where the store is.
enum Place {
    World(Http),
    Own(std::sync::Mutex<Store>),
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
    pub(super) fn of_a_world(socket: &Path) -> Result<Self, PortError> {
        Ok(Self { place: Place::World(Http::on_socket("the store", socket, LIMIT)?), seen: Mutex::new(None) })
    }

    /// A store of its own.
    pub(super) fn alone() -> Self {
        let settings =
            Settings { instances: 1, load: 0.0, seed: 0, halted: false, fault: None, fleet: FleetKind::Process };
        let store = Store::new(&settings, Timestamp::now());
        Self { place: Place::Own(std::sync::Mutex::new(store)), seen: Mutex::new(None) }
    }

    /// Reads from the store of its own, or asks the world's for `path`.
    async fn read<T: DeserializeOwned>(&self, path: &str, own: impl FnOnce(&mut Store) -> T) -> Result<T, PortError> {
        match &self.place {
            Place::World(http) => http.get_json(path).await,
            Place::Own(store) => Ok(own(&mut store.lock().unwrap_or_else(PoisonError::into_inner))),
        }
    }

    /// What the store holds, at most 200 ms ago. Whoever asks meanwhile waits for the same reading.
    pub(super) async fn look(&self) -> Seen {
        let mut seen = self.seen.lock().await;
        if let Some(seen) = seen.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return seen.clone();
        }
        let at = Instant::now();
        let (table, signals, head) = tokio::join!(
            self.read("/store/halt-table", |store| HaltTableRows { rows: store.halt_table.clone() }),
            self.read("/store/halt-signals", |store| HaltSignalEntries { entries: store.halt_signals.clone() }),
            self.head(),
        );
        let new = Seen {
            at,
            took: at.elapsed(),
            halt_table: table.map(|table| table.rows),
            halt_signals: signals.map(|signals| signals.entries),
            head,
        };
        seen.insert(new).clone()
    }

    /// The events from `start` to `end`, both included, as far as there are any.
    pub(super) async fn events(&self, start: u64, end: u64) -> Result<Vec<StoredEvent>, PortError> {
        let between = |store: &mut Store| {
            let events = store.events.iter().filter(|event| (start..=end).contains(&event.sequence));
            events.cloned().collect()
        };
        self.read(&format!("/store/events?start={start}&end={end}"), between).await
    }

    /// The head of the chain at this moment.
    pub(super) async fn head(&self) -> Result<Option<u64>, PortError> {
        let last = |store: &mut Store| ChainHead { head: store.events.last().map(|event| event.sequence) };
        let ChainHead { head } = self.read("/store/chain/head", last).await?;
        Ok(head)
    }

    /// The use of the complexity budget.
    pub(super) async fn complexity(&self) -> Result<Complexity, PortError> {
        self.read("/store/complexity", |store| store.complexity).await
    }

    /// The early warnings.
    pub(super) async fn warnings(&self) -> Result<Vec<Value>, PortError> {
        self.read("/store/warnings", |store| store.warnings.clone()).await
    }

    /// Halts the system by both sources of truth, and returns since when.
    pub(super) async fn halt(&self, reason: &str) -> Result<Value, PortError> {
        let halted = match &self.place {
            Place::World(http) => http.post_json("/store/halt", &json!({ "sources": "both", "reason": reason })).await,
            Place::Own(store) => {
                let now = Timestamp::now();
                store.lock().unwrap_or_else(PoisonError::into_inner).halt(Sources::Both, reason, now);
                Ok(json!({ "halted_at": now }))
            }
        };
        // What was read before is no longer so.
        *self.seen.lock().await = None;
        halted
    }
}
