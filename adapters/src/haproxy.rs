//! HAProxy, by its runtime API: who is sent requests, how many, and telling it to stop or to go on.
//!
//! A server that was drained by the runtime API is sent requests again after a restart of HAProxy, unless its state is
//! loaded from a file; so who is drained is read each time and never remembered. Counts begin anew then as well.

mod backend;
mod doctor;
mod registry;
mod servers;
mod settings;
mod socket;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Fleet, OrderAnswer, PortError, RouteOrder, Routed, Traffic};
use scalebot_commands::request::escaped;
use scalebot_commands::units::InstanceId;
use tokio::time::timeout;

use self::backend::Backend;
pub use self::registry::Registry;
use self::servers::{Mapping, Told};
pub use self::settings::{Out, Servers, Settings};
use crate::settings::Unusable;

/// How much of HAProxy's own words is repeated, in characters.
const QUOTED: usize = 200;

/// One backend of an HAProxy.
#[derive(Clone)]
pub struct Haproxy {
    backend: Backend,
    fleet: Arc<dyn Fleet>,
}

impl Haproxy {
    /// Nothing is connected yet: each question has a connection of its own. The fleet says which address is whose.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings, fleet: Arc<dyn Fleet>) -> Result<Self, Unusable> {
        Ok(Self { backend: Backend::new(settings)?, fleet })
    }

    /// Makes the backend send requests to one more server, at that host and port, once it is sent requests by an
    /// order: HAProxy adds servers in maintenance. Takes HAProxy 2.5 or later.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    pub async fn add(&self, instance: &InstanceId, address: &str, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.backend.add(instance, address).await
    }

    /// Takes a server out of the backend for good. It must be in maintenance, with no connection left.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    pub async fn remove(&self, instance: &InstanceId, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        match self.backend.server_named(instance) {
            Some(server) => self.backend.remove(&server).await,
            None => Ok(unnameable(instance)),
        }
    }

    async fn mapping(&self) -> Result<Mapping, PortError> {
        let settings = &self.backend.settings;
        match settings.servers {
            Servers::ByName => Ok(self.backend.by_name()),
            Servers::ByAddress => {
                let limit = settings.time_out;
                let observed = timeout(limit, self.fleet.observe()).await;
                let late = || PortError::TimedOut { what: self.fleet.describe(), limit };
                Ok(Mapping::by_address(&observed.map_err(|_| late())??.instances))
            }
        }
    }
}

#[async_trait]
impl Traffic for Haproxy {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let (mapping, servers) = futures::try_join!(self.mapping(), self.backend.servers())?;
        Ok(mapping.routed(&servers))
    }

    async fn route(&self, order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let (mapping, servers) = futures::try_join!(self.mapping(), self.backend.servers())?;
        let found = mapping.servers_of(&order.instance, &servers);
        if found.is_empty() {
            let (backend, instance) = (&self.backend.settings.backend, &order.instance);
            let detail = format!("backend {backend} has no server for {instance}; add one to it");
            return Ok(OrderAnswer::Refused { detail });
        }
        let state = if order.receives { "ready" } else { self.backend.settings.out.word() };
        let mut answer = OrderAnswer::Done;
        for server in found {
            // To drain what somebody has put in maintenance would be to open it a little.
            if !order.receives && server.told == Told::Maintenance {
                continue;
            }
            match self.backend.set_state(&server.name, state).await? {
                OrderAnswer::Done => {}
                refused => answer = refused,
            }
        }
        Ok(answer)
    }

    fn describe(&self) -> String {
        self.backend.to_string()
    }
}

fn unnameable(instance: &InstanceId) -> OrderAnswer {
    let detail = format!("{} cannot be a server's name", quote(instance.as_str()));
    OrderAnswer::Refused { detail }
}

fn quote(text: &str) -> String {
    escaped(text, QUOTED)
}

/// Reads both tables, and returns what is wrong with them.
#[cfg(any(test, feature = "hostile"))]
pub(crate) fn read_hostile(states: &str, figures: &str) -> Result<(), String> {
    let servers = servers::read(states, figures)?;
    let by_name = Mapping::Name { before: "srv-".to_owned(), after: String::new() };
    let routed = by_name.routed(&servers).len().max(Mapping::Address(Vec::new()).routed(&servers).len());
    if routed > servers.len() { Err("more instances than servers".to_owned()) } else { Ok(()) }
}
