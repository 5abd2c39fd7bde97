//! Kubernetes: a Deployment or `StatefulSet` as the fleet, by the API server alone.
//!
//! What is asked of it is one file a question. `workload` reads the workload and finds the pods that are its own, `pods` and
//! `missing` say what they are as instances, `watch` follows them, `scale` and `remove` change the count, `endpoints` says
//! who is sent requests, `reach` is the way to an instance. Nothing is asked twice by itself: a failure is the runbook's to
//! deal with.

mod choice;
#[cfg(test)]
mod cluster;
mod declared;
mod disruption;
mod doctor;
mod endpoints;
#[cfg(any(test, feature = "hostile"))]
pub(crate) mod hostile;
mod logs;
mod missing;
#[cfg(test)]
mod named;
mod objects;
mod observe;
mod pods;
mod quantity;
mod reach;
mod remove;
mod room;
mod scale;
mod selection;
mod server;
pub mod settings;
#[cfg(test)]
mod stand_in;
mod steering;
mod watch;
mod workload;

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Declared, DisruptionBudget, Fleet, FleetState, Headroom, Held, HoldOrder, OrderAnswer, PortError, Precondition,
    ReleaseOrder, RemoveOrder, ScaleOrder, Steering,
};
use scalebot_commands::units::{InstanceId, OperationId, Replicas};

use self::server::Server;
pub use self::settings::Settings;
use self::settings::Workload;
use self::watch::Watch;
use crate::settings::Unusable;

/// One workload of one cluster. Cheap to clone; all clones share what they know.
#[derive(Clone)]
pub struct Kubernetes {
    inner: Arc<Inner>,
}

struct Inner {
    server: Server,
    settings: Settings,
    watch: Watch,
}

impl Kubernetes {
    /// The workload that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, Unusable> {
        settings.workload()?;
        let server = Server::new(settings)?;
        let watch = Watch::new(&server, &settings.namespace);
        Ok(Self { inner: Arc::new(Inner { server, settings: settings.clone(), watch }) })
    }
}

#[async_trait]
impl Fleet for Kubernetes {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let Inner { server, settings, watch } = &*self.inner;
        observe::fleet(server, settings, watch).await
    }

    async fn scale(&self, order: &ScaleOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        scale::count(server, settings, order).await
    }

    async fn remove(&self, order: &RemoveOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        remove::exactly(server, settings, order).await
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        logs::end_of(server, settings, instance, most).await
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        let workload = workload::read(server, settings).await?;
        disruption::allowed(server, settings, &workload).await
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        let workload = workload::read(server, settings).await?;
        room::headroom(server, settings, &workload, wanted).await
    }

    fn precondition(&self) -> Precondition {
        // The API server compares the version and changes the count in one step.
        Precondition::Enforced
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        let workload = workload::read(server, settings).await?;
        steering::steered_by(server, settings, &workload).await
    }

    async fn hold(&self, order: &HoldOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        steering::hold(server, settings, order).await
    }

    async fn held_by(&self, operation: &OperationId) -> Result<Vec<Held>, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        steering::held_by(server, settings, operation).await
    }

    async fn release(&self, order: &ReleaseOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        steering::release(server, settings, order).await
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        let Inner { server, settings, .. } = &*self.inner;
        let workload = workload::read(server, settings).await?;
        declared::declared(server, settings, &workload).await
    }

    fn describe(&self) -> String {
        match self.inner.settings.workload() {
            Ok(Workload::Deployment(name)) => format!("Deployment {name}"),
            Ok(Workload::StatefulSet(name)) => format!("StatefulSet {name}"),
            // Not constructed with these.
            Err(unusable) => unusable.to_string(),
        }
    }
}
