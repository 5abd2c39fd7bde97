//! A service of Docker Swarm as the fleet.
//!
//! Swarm keeps the count, compares the version of the service with every change, and hands the work to tasks: each of the
//! service's slots is an instance, and the task that is in it at the moment is its process. What Swarm does not do is let
//! anybody choose: with a lower count it ends whom it likes, so the plan, the wait and the way back know that.

mod cluster;
mod doctor;
mod instances;
mod order;
mod placing;
mod room;
mod settings;
mod steering;
mod traffic;

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Choice, Declared, DisruptionBudget, Fleet, FleetState, Headroom, OrderAnswer, PortError, Precondition, RemoveOrder,
    ScaleOrder, Steering, Traffic,
};
use scalebot_commands::units::{InstanceId, Replicas};

use self::cluster::{Node, Service, Task};
pub use self::settings::Settings as SwarmSettings;
use self::traffic::{BehindBalancer, ByName};
use super::declared;
use super::engine::{Engine, Place};
use super::logs::{self, Writer};
use crate::settings::Unusable;

/// Why nobody can name who is ended, as a card says it.
const ITSELF: &str = "Docker Swarm itself chooses whom it ends, by what is on its nodes";

/// One service of a swarm. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Swarm {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Who is asked.
    engine: Engine,
    /// Who is told.
    orders: Engine,
    settings: SwarmSettings,
}

/// What was seen at one moment.
#[derive(Clone, Debug)]
struct Seen {
    service: Service,
    /// How many are wanted.
    wanted: Replicas,
    /// The service's tasks, those that have ended included.
    tasks: Vec<Task>,
    nodes: Vec<Node>,
}

impl Swarm {
    /// The service that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &SwarmSettings) -> Result<Self, Unusable> {
        settings.usable()?;
        let engine = |key: &str, text: &str| {
            let place = Place::read(key, text)?;
            Engine::new(&place, settings.time_out).map_err(|error| Unusable::new(key, error.to_string()))
        };
        let orders = settings.order_socket.as_ref().unwrap_or(&settings.socket);
        let inner = Inner {
            engine: engine("socket", &settings.socket)?,
            orders: engine("order_socket", orders)?,
            settings: settings.clone(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whoever resolves the service's name.
    pub fn by_name(&self) -> Arc<dyn Traffic> {
        Arc::new(ByName::new(Arc::clone(&self.inner)))
    }

    /// The balancer before its tasks. It is not told whom to send nothing, since nobody knows who that would be.
    pub fn behind(&self, balancer: Arc<dyn Traffic>) -> Arc<dyn Traffic> {
        Arc::new(BehindBalancer::new(Arc::clone(&self.inner), balancer))
    }
}

impl Inner {
    async fn seen(&self) -> Result<Seen, PortError> {
        let service = self.service().await?;
        let wanted = self.wanted(&service)?;
        let (tasks, nodes) = futures::try_join!(self.engine.tasks_of(&service.id), self.engine.nodes())?;
        Ok(Seen { service, wanted, tasks, nodes })
    }

    async fn service(&self) -> Result<Service, PortError> {
        let found = self.engine.service(&self.settings.service).await?;
        found.ok_or_else(|| PortError::Gone { what: self.describe(), detail: "there is none of that name".to_owned() })
    }

    /// How many are wanted, where that is a number that can be set.
    fn wanted(&self, service: &Service) -> Result<Replicas, PortError> {
        service.replicas().map_err(|why| PortError::Refused { what: self.describe(), detail: why })
    }

    fn describe(&self) -> String {
        format!("Swarm service {}", self.settings.service)
    }
}

#[async_trait]
impl Fleet for Swarm {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let seen = self.inner.seen().await?;
        Ok(seen.fleet(&self.inner.settings))
    }

    async fn scale(&self, order: &ScaleOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.inner.carry_out(order).await
    }

    async fn remove(&self, _order: &RemoveOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: ITSELF.to_owned() })
    }

    fn choice(&self, _fleet: &FleetState) -> Choice {
        Choice::Unnamed { why: ITSELF.to_owned() }
    }

    async fn logs(&self, instance: &InstanceId, most: usize) -> Result<String, PortError> {
        let inner = &*self.inner;
        let seen = inner.seen().await?;
        let task = instances::who_wrote(&seen.tasks, instance, &inner.settings.service);
        let task = task.ok_or_else(|| PortError::NotServed {
            what: inner.describe(),
            detail: format!("it has no task of {instance} any more, or none that ever ran"),
        })?;
        logs::end_of(&inner.engine, Writer::Task(&task.id), seen.service.has_terminal(), most).await
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        // Swarm has no such rule.
        Ok(None)
    }

    async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        self.inner.headroom(wanted).await
    }

    fn precondition(&self) -> Precondition {
        Precondition::Enforced
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        Ok(steering::found(&self.inner.service().await?, &self.inner.settings.service))
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        let Inner { settings, .. } = &*self.inner;
        if settings.files.is_empty() {
            return Ok(None);
        }
        let service = self.inner.service().await?;
        let name = service.name_in_its_stack(&settings.service);
        declared::declared(&settings.files, name).await.map(Some)
    }

    fn describe(&self) -> String {
        self.inner.describe()
    }
}

#[cfg(test)]
mod stand_in;
#[cfg(test)]
mod tests;
