//! Whose servers a backend has: what whoever runs the instances tells their load balancer, as a controller of
//! Kubernetes or a service catalogue does. It is for the one who starts and ends instances; an operation only stops and
//! resumes sending requests.

use std::collections::BTreeSet;

use scalebot_commands::ports::{OrderAnswer, PortError};
use scalebot_commands::units::InstanceId;

use super::backend::Backend;
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

    fn done(&self, answer: OrderAnswer) -> Result<(), PortError> {
        let detail = match answer {
            OrderAnswer::Done => return Ok(()),
            OrderAnswer::Refused { detail } | OrderAnswer::Conflict { detail } => detail,
        };
        Err(PortError::Refused { what: self.0.to_string(), detail })
    }
}
