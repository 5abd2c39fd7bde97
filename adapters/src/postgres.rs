//! The backend's PostgreSQL: the halt table, the head of the hash chain, and the budget of connections.
//!
//! Everything is read, in transactions that can only read, by at most two connections whose name is `scalebot`. A server
//! that follows another one may lag behind it, and is no source of truth. What is needed of it stands in
//! `deploy/postgres/grant.sql`.

mod budget;
mod chain;
mod connection;
mod doctor;
mod failure;
mod halt;
mod rehearsal;
mod settings;

use std::sync::Arc;

pub use self::budget::DatabaseConnections;
pub use self::chain::EventTable;
use self::connection::Server;
pub(crate) use self::connection::{Address, Protection, Reached};
pub use self::halt::HaltTable;
pub use self::rehearsal::{RehearsedHaltTable, rehearsed};
pub use self::settings::{
    ChainSettings, ConnectionSettings, FleetSettings, HaltSettings, Name, Settings, SslMode, Table,
};
use crate::settings::Unusable;

/// One PostgreSQL, with what is asked of it.
#[derive(Clone, Debug)]
pub struct Postgres {
    server: Arc<Server>,
    settings: Settings,
}

impl Postgres {
    /// Nothing is connected yet: that happens with the first question, and again whenever the connection was lost.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        let fleet = settings.connections.as_ref().map(|connections| &connections.fleet);
        if fleet.is_some_and(|fleet| fleet.users.is_empty()) {
            let why = "it is empty; name the roles that the instances connect as";
            return Err(Unusable::new("connections.fleet.users", why));
        }
        Ok(Self { server: Arc::new(Server::new(settings)?), settings: settings.clone() })
    }

    /// The halt table, where it is configured.
    pub fn halt_table(&self) -> Option<HaltTable> {
        let settings = self.settings.halt.as_ref()?;
        Some(HaltTable::new(self.server.clone(), settings))
    }

    /// The hash chain's source of truth, where it is configured.
    pub fn chain(&self) -> Option<EventTable> {
        let settings = self.settings.chain.as_ref()?;
        Some(EventTable::new(self.server.clone(), settings))
    }

    /// The budget of connections, where it is configured.
    pub fn connections(&self) -> Option<DatabaseConnections> {
        let settings = self.settings.connections.as_ref()?;
        Some(DatabaseConnections::new(self.server.clone(), settings))
    }

    /// Where it is, as people are told: "PostgreSQL at db.example:5432". No credentials.
    pub fn describe(&self) -> String {
        self.server.describe()
    }
}
