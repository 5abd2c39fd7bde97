//! A service of a Docker Compose project as the fleet.
//!
//! Compose keeps no count: there are as many instances wanted as the service has containers, those that have ended included,
//! since Compose counts them and starts them with its next order. Who they are, the engine tells by their labels, which both
//! lines of Compose write alike. The count is changed by Compose itself, because only it knows the file: by a child process,
//! under a lock that it holds (`orders`). It ends the highest numbers first, so those are the ones that an operation drains.

mod carry;
mod doctor;
mod named;
mod orders;
mod program;
mod room;
mod seen;
mod settings;
mod steering;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Choice, Declared, DisruptionBudget, Fleet, FleetState, Headroom, OrderAnswer, PortError, Precondition, RemoveOrder,
    ScaleOrder, Steering,
};
use scalebot_commands::units::{InstanceId, Replicas};

pub use self::named::NamedService;
use self::orders::Orders;
use self::program::Program;
use self::seen::Seen;
pub use self::settings::{Reach, Settings as ComposeSettings};
use super::declared;
use super::engine::{Engine, Place};
use super::logs::{self, Writer};
use crate::settings::Unusable;

/// How long after its own limit an order may still be looked after.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// One service of one project. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Compose {
    inner: Arc<Inner>,
    /// Whether what is observed waits for an order that is still carried out.
    waits: bool,
}

#[derive(Debug)]
struct Inner {
    engine: Engine,
    settings: ComposeSettings,
    program: Program,
    orders: Orders,
}

impl Compose {
    /// The service that the settings name. `folder` is where its orders are kept, unless the settings name another; it is
    /// made with the first one. Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &ComposeSettings, folder: &Path) -> Result<Self, Unusable> {
        settings.usable()?;
        let place = Place::read("socket", &settings.socket)?;
        let orders = match &settings.order_socket {
            Some(text) => Place::read("order_socket", text)?,
            None => place.clone(),
        };
        let engine =
            Engine::new(&place, settings.time_out).map_err(|error| Unusable::new("socket", error.to_string()))?;
        let program = Program::new(settings, &orders);
        let orders = Orders::at(settings.orders.as_deref().unwrap_or(folder));
        let inner = Inner { engine, settings: settings.clone(), program, orders };
        Ok(Self { inner: Arc::new(inner), waits: true })
    }

    /// The same fleet for whoever only follows its instances, and is told of them also while an order is carried out.
    #[must_use]
    pub fn for_onlookers(&self) -> Self {
        Self { waits: false, ..self.clone() }
    }

    /// Returns once no order of this bot, nor of one that was killed, is still carried out.
    ///
    /// # Errors
    /// When one still is after the time that an order may take.
    pub async fn until_orders_end(&self) -> Result<(), PortError> {
        let Inner { orders, settings, .. } = &*self.inner;
        orders.free(settings.order_limit).await
    }
}

impl Inner {
    async fn seen(&self) -> Result<Seen, PortError> {
        seen::containers(&self.engine, &self.settings).await
    }

    fn service(&self) -> String {
        format!("Compose service {} of project {}", self.settings.service, self.settings.project)
    }
}

#[async_trait]
impl Fleet for Compose {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let inner = &*self.inner;
        let last = if self.waits {
            // What is half done is no state to decide on.
            inner.orders.free(inner.settings.order_limit).await?;
            inner.orders.last().map_err(|why| inner.orders.unreadable(&why))?
        } else {
            // Onlookers are told of those that are there, whoever made them.
            None
        };
        Ok(inner.seen().await?.fleet(&inner.settings, last.as_ref()))
    }

    async fn scale(&self, order: &ScaleOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.inner.carry_out(order, None, fence.epoch()).await
    }

    async fn remove(&self, order: &RemoveOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let RemoveOrder { identity, from, to, version, instances, operation } = order.clone();
        let order = ScaleOrder { identity, from, to, version, operation };
        self.inner.carry_out(&order, Some(&instances), fence.epoch()).await
    }

    fn choice(&self, fleet: &FleetState) -> Choice {
        seen::choice(fleet)
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError> {
        let inner = &*self.inner;
        let seen = inner.seen().await?;
        match seen.of(instance) {
            Some(container) => {
                let writer = Writer::Container(&container.id);
                logs::end_of(&inner.engine, writer, container.config.tty, most).await
            }
            // One that never came about wrote nothing; what is known of it is what Compose said.
            None if seen::is_missing(instance) => Ok(inner.orders.said()),
            None => Err(PortError::NotServed {
                what: inner.service(),
                detail: format!("it has no container {instance} any more"),
            }),
        }
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        // Compose has no such rule. Where it cannot be told whom it ends, nobody may be taken away at all.
        let found = self.inner.program.found().await?;
        if found.ends_the_highest() { Ok(None) } else { Err(found.too_old_to_end()) }
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        self.inner.headroom(wanted).await
    }

    fn order_takes(&self) -> Option<Duration> {
        Some(self.inner.settings.order_limit + AFTERWARDS)
    }

    fn precondition(&self) -> Precondition {
        // Compose compares nothing. We look under our own lock right before, which nobody else takes.
        Precondition::Advisory
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        self.inner.steered_by().await
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        declared::declared(&self.inner.settings.files, &self.inner.settings.service).await.map(Some)
    }

    fn describe(&self) -> String {
        self.inner.service()
    }
}

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;
