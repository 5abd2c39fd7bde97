//! Whose servers a backend has: what whoever runs the instances tells their load balancer, as a controller of
//! Kubernetes or a service catalogue does. It is for the one who starts and ends instances; an operation only stops and
//! resumes sending requests.

use std::collections::BTreeSet;

use scalebot_commands::ports::{OrderAnswer, PortError};
use scalebot_commands::units::InstanceId;

use super::backend::Backend;
use super::servers::{Server, Told};
use super::settings::Settings;
use crate::settings::Unusable;

/// A backend that holds one fleet and nobody else.
#[derive(Clone, Debug)]
pub struct Registry(Backend);

impl Registry {
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        Ok(Self(Backend::new(settings)?))
    }

    /// Makes the backend's servers those instances at their addresses: who is missing is added and gets requests, who
    /// is there no more is taken out once its last connection has ended. What somebody told a server to do stays so.
    /// Returns how many servers are left that should not be there.
    ///
    /// # Errors
    /// When it cannot be asked, and when it refuses; the rest was done as far as it went. Ask again.
    pub async fn agree(&self, there: &[(InstanceId, String)]) -> Result<usize, PortError> {
        let Self(backend) = self;
        let servers = backend.servers().await?;
        let mut wanted = BTreeSet::new();
        let mut missing = Vec::new();
        for (instance, address) in there {
            let Some(name) = backend.server_named(instance) else { continue };
            let found = servers.iter().find(|server| server.name == name);
            if found.is_some_and(|server| server.address == *address) {
                wanted.insert(name);
            } else {
                missing.push((instance, address, name));
            }
        }
        let mut left = 0;
        // First those that go: a name may be needed anew, at another address.
        for server in servers.iter().filter(|server| !wanted.contains(&server.name)) {
            self.done(backend.set_state(&server.name, "maint").await?)?;
            // Refused while connections are left; then at the next time.
            left += usize::from(backend.remove(&server.name).await? != OrderAnswer::Done);
        }
        for (instance, address, name) in missing {
            self.done(backend.add(instance, address).await?)?;
            self.done(backend.set_state(&name, "ready").await?)?;
        }
        Ok(left)
    }

    /// Makes sure that each of these has a server at its address, and that it gets requests from then on. Servers of
    /// others, and what somebody told one that is there, stay as they are.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub async fn keep(&self, there: &[(InstanceId, String)]) -> Result<(), PortError> {
        let Self(backend) = self;
        let servers = backend.servers().await?;
        for (instance, address) in there {
            if !servers.iter().any(|server| server.address == *address) {
                self.add(&servers, instance, address).await?;
            }
        }
        Ok(())
    }

    /// Has one get requests that never got any: the same, and a server of it that is in maintenance leaves that.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub async fn enter(&self, instance: &InstanceId, address: &str) -> Result<(), PortError> {
        let Self(backend) = self;
        let servers = backend.servers().await?;
        let ours: Vec<&Server> = servers.iter().filter(|server| server.address == address).collect();
        if ours.is_empty() {
            return self.add(&servers, instance, address).await;
        }
        for server in ours {
            if server.told == Told::Maintenance {
                self.done(backend.set_state(&server.name, "ready").await?)?;
            }
        }
        Ok(())
    }

    /// Whether it has a server.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub async fn knows(&self, instance: &InstanceId, address: &str) -> Result<bool, PortError> {
        Ok(!self.servers_of(instance, address).await?.is_empty())
    }

    /// Sends it no requests at all any more.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub async fn bar(&self, instance: &InstanceId, address: &str) -> Result<(), PortError> {
        for server in self.servers_of(instance, address).await? {
            self.done(self.0.set_state(&server, "maint").await?)?;
        }
        Ok(())
    }

    /// Takes it out for good. Returns whether it is gone: it is not while connections are left. Ask again then.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub async fn leave(&self, instance: &InstanceId, address: &str) -> Result<bool, PortError> {
        let mut gone = true;
        for server in self.servers_of(instance, address).await? {
            self.done(self.0.set_state(&server, "maint").await?)?;
            gone &= self.0.remove(&server).await? == OrderAnswer::Done;
        }
        Ok(gone)
    }

    /// The names of an instance's servers, by its address, and by its name at whatever address.
    async fn servers_of(&self, instance: &InstanceId, address: &str) -> Result<Vec<String>, PortError> {
        let name = self.0.server_named(instance);
        let servers = self.0.servers().await?.into_iter();
        let ours = servers.filter(|server| server.address == address || Some(&server.name) == name.as_ref());
        Ok(ours.map(|server| server.name).collect())
    }

    async fn add(&self, servers: &[Server], instance: &InstanceId, address: &str) -> Result<(), PortError> {
        let Self(backend) = self;
        let Some(name) = backend.server_named(instance) else {
            return self.done(super::unnameable(instance));
        };
        if servers.iter().any(|server| server.name == name) {
            // Its host has another address now.
            self.done(backend.set_state(&name, "maint").await?)?;
            self.done(backend.remove(&name).await?)?;
        }
        self.done(backend.add(instance, address).await?)?;
        self.done(backend.set_state(&name, "ready").await?)
    }

    fn done(&self, answer: OrderAnswer) -> Result<(), PortError> {
        let detail = match answer {
            OrderAnswer::Done => return Ok(()),
            OrderAnswer::Refused { detail } | OrderAnswer::Conflict { detail } => detail,
        };
        Err(PortError::Refused { what: self.0.to_string(), detail })
    }
}
