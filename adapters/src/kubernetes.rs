//! Kubernetes: a Deployment or `StatefulSet` as the fleet, by the API server alone.

mod endpoints;
mod objects;
mod reach;
mod server;
pub mod settings;
#[cfg(test)]
mod testing;
mod workload;

use std::sync::Arc;

use self::server::Server;
pub use self::settings::Settings;
use crate::settings::Unusable;

/// One workload of one cluster. Cheap to clone; all clones share what they know.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    settings: Settings,
}

impl Kubernetes {
    /// The workload that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        settings.workload()?;
        Ok(Self { inner: Arc::new(Inner { server: Server::new(settings)?, settings: settings.clone() }) })
    }
}
