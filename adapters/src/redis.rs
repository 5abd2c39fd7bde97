//! The backend's Redis: the stream of halt signals, and the budget of connections.
//!
//! One connection asks one question after the other, with the few commands of `deploy/redis/users.acl`, none of which
//! writes. A server that follows another one may lag behind it, and is no source of truth.

mod budget;
mod connection;
mod doctor;
mod failure;
mod halt;
mod rehearsal;
mod settings;

use std::sync::Arc;

pub use self::budget::RedisConnections;
use self::connection::Server;
pub use self::halt::HaltStream;
pub use self::rehearsal::{RehearsedHaltStream, rehearsed};
pub use self::settings::{ConnectionSettings, FleetSettings, HaltSettings, Settings};
use crate::settings::Unusable;

/// One Redis, with what is asked of it.
#[derive(Clone, Debug)]
pub struct Redis {
    server: Arc<Server>,
    settings: Settings,
}

impl Redis {
    /// Nothing is connected yet: that happens with the first question, and again whenever the connection was lost.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        let fleet = settings.connections.as_ref().map(|connections| &connections.fleet);
        if fleet.is_some_and(|fleet| *fleet == FleetSettings::default()) {
            let why = "it is empty; name the users, names or addresses by which the fleet's connections are known";
            return Err(Unusable::new("connections.fleet", why));
        }
        Ok(Self { server: Arc::new(Server::new(settings)?), settings: settings.clone() })
    }

    /// The stream of halt signals, where it is configured.
    pub fn halt_stream(&self) -> Option<HaltStream> {
        let settings = self.settings.halt.as_ref()?;
        Some(HaltStream::new(self.server.clone(), settings))
    }

    /// The budget of connections, where it is configured.
    pub fn connections(&self) -> Option<RedisConnections> {
        let settings = self.settings.connections.as_ref()?;
        Some(RedisConnections::new(self.server.clone(), settings))
    }

    /// Where it is, as people are told: "Redis at cache.example:6379". No credentials.
    pub fn describe(&self) -> String {
        self.server.describe()
    }
}
