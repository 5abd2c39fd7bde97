//! The store that all instances share: the halt table, the halt signals, the hash chain of events, the connection
//! budgets, and what tests may do to each of them.

use scalebot_adapters::process::wire::{Connections, HaltRow, HaltSignal};
use scalebot_commands::units::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::drill::chain::{self, StoredEvent};
use crate::drill::settings::{Fault, Settings};

/// How many events there are at the start.
const FIRST_EVENTS: u64 = 20;

/// A part of the store that can be made to fail by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// The database: the halt table and the connections.
    Database,
    /// Redis: the halt signals and the connections.
    Redis,
    /// The events.
    EventStore,
}

/// Which sources of truth about the halt are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::drill) enum Sources {
    /// The table.
    Table,
    /// The signals.
    Signals,
    /// Both of them.
    Both,
}

impl Sources {
    fn table(self) -> bool {
        self != Self::Signals
    }

    fn signals(self) -> bool {
        self != Self::Table
    }
}

/// The use of the complexity budget (CT-14). The limits are the backend's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Complexity {
    /// Architecture decision records, of 15.
    pub(crate) adr_count: u32,
    /// Ceremony types, of 10.
    pub(crate) ceremony_types: u32,
    /// Dependencies across components, of 20.
    pub(crate) cross_component_deps: u32,
}

/// Everything that instances share.
#[derive(Debug)]
pub(in crate::drill) struct Store {
    /// The rows of the halt table.
    pub(in crate::drill) halt_table: Vec<HaltRow>,
    /// The entries of the halt stream, oldest first.
    pub(in crate::drill) halt_signals: Vec<HaltSignal>,
    /// The events, the one with sequence number 1 first.
    pub(in crate::drill) events: Vec<StoredEvent>,
    /// The database's connections.
    pub(super) database: Connections,
    /// Redis' connections.
    pub(super) redis: Connections,
    /// The use of the complexity budget.
    pub(in crate::drill) complexity: Complexity,
    /// Early warnings, in the backend's words.
    pub(in crate::drill) warnings: Vec<Value>,
    down: Vec<Part>,
}

impl Store {
    /// The store of a new world.
    pub(in crate::drill) fn new(settings: &Settings, now: Timestamp) -> Self {
        let full = settings.fault == Some(Fault::DatabaseFull);
        let mut store = Self {
            halt_table: vec![HaltRow { id: 1, is_halted: Some(false), updated_at: Some(now), ..HaltRow::default() }],
            halt_signals: Vec::new(),
            events: Vec::new(),
            database: Connections { limit: 100, reserved: 3, others: if full { 90 } else { 7 }, per_instance: 15 },
            redis: Connections { limit: 10_000, reserved: 0, others: 12, per_instance: 20 },
            complexity: Complexity { adr_count: 9, ceremony_types: 6, cross_component_deps: 11 },
            warnings: Vec::new(),
            down: Vec::new(),
        };
        for _ in 0..FIRST_EVENTS {
            store.add_event(now);
        }
        if settings.halted {
            store.halt(Sources::Both, "the rehearsal began halted", now);
        }
        store
    }

    /// Adds an event at the head of the chain, and returns its sequence number.
    pub(super) fn add_event(&mut self, now: Timestamp) -> u64 {
        let sequence = self.events.len() as u64 + 1;
        let payload = json!({ "petition": sequence * 7 % 50, "decision": "acknowledged", "position": sequence });
        let event = chain::next(self.events.last(), "petition.acknowledged", payload, now);
        self.events.push(event);
        sequence
    }

    /// Halts, by the sources named.
    pub(in crate::drill) fn halt(&mut self, sources: Sources, reason: &str, now: Timestamp) {
        let crisis_event_id = self.events.last().map(|event| event.event_id.clone()).unwrap_or_default();
        if sources.table() {
            let row = HaltRow {
                id: 1,
                is_halted: Some(true),
                reason: Some(reason.to_owned()),
                crisis_event_id: Some(crisis_event_id.clone()),
                halted_at: Some(now),
                updated_at: Some(now),
                ..HaltRow::default()
            };
            self.halt_table = vec![row];
        }
        if sources.signals() {
            self.halt_signals.push(HaltSignal {
                id: format!("{}-{}", now.as_millisecond(), self.halt_signals.len()),
                reason: reason.to_owned(),
                crisis_event_id,
                timestamp: now.to_string(),
                source_service: "archon72-api".to_owned(),
            });
        }
    }

    /// Clears the halt, by the sources named. In the backend a ceremony clears the table only.
    pub(super) fn clear(&mut self, sources: Sources, reason: &str, now: Timestamp) {
        if sources.table() {
            let row = self.halt_table.first().cloned().unwrap_or_default();
            self.halt_table = vec![HaltRow {
                id: 1,
                is_halted: Some(false),
                updated_at: Some(now),
                ceremony_id: Some(format!("ceremony-{}", now.as_second())),
                clear_reason: Some(reason.to_owned()),
                cleared_at: Some(now),
                ..row
            }];
        }
        if sources.signals() {
            self.halt_signals.clear();
        }
    }

    /// Lets a part fail, or work again.
    pub(super) fn set_down(&mut self, part: Part, down: bool) {
        self.down.retain(|known| *known != part);
        if down {
            self.down.push(part);
        }
    }

    /// Whether a part fails at the moment.
    pub(super) fn is_down(&self, part: Part) -> bool {
        self.down.contains(&part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::settings::FleetKind;

    fn store(fault: Option<Fault>) -> Store {
        let settings = Settings { instances: 4, load: 38.0, seed: 1, halted: false, fault, fleet: FleetKind::Process };
        Store::new(&settings, "2026-01-08T03:00:00Z".parse().unwrap())
    }

    #[test]
    fn the_database_bears_six_instances_and_no_seventh_or_none_at_all_when_full() {
        let fit = |fault| {
            let Connections { limit, reserved, others, per_instance } = store(fault).database;
            (limit - reserved - others) / per_instance
        };
        assert_eq!(fit(None), 6);
        assert_eq!(fit(Some(Fault::DatabaseFull)), 0);
    }

    #[test]
    fn a_ceremony_clears_the_table_and_leaves_the_signals() {
        let now = "2026-01-08T03:10:00Z".parse().unwrap();
        let mut store = store(None);
        store.halt(Sources::Both, "consensus_failure", now);
        store.clear(Sources::Table, "resolved", now);
        let row = &store.halt_table[0];
        assert_eq!((row.is_halted, row.halted_at, row.cleared_at), (Some(false), Some(now), Some(now)));
        assert_eq!(store.halt_signals.len(), 1);
    }

    #[test]
    fn the_chain_holds_from_its_first_event_on() {
        let mut store = store(None);
        assert_eq!(store.add_event(Timestamp::UNIX_EPOCH), 21);
        assert_eq!(chain::first_invalid(None, &store.events), None);
    }
}
