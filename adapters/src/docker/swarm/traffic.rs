//! Who sends the tasks their requests. Whoever it is, nobody can tell it beforehand whom Swarm will end, so an instance gets
//! requests until it ends, and answers its last ones within its stop grace period.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Draining, OrderAnswer, PortError, RouteOrder, Routed, Traffic};

use super::{ITSELF, Inner, instances};

/// Whoever resolves the service's name, as Swarm's own name server answers it: its virtual address, or every task's.
#[derive(Debug)]
pub(super) struct ByName {
    inner: Arc<Inner>,
}

impl ByName {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self { inner }
    }
}

fn takes_no_orders() -> OrderAnswer {
    OrderAnswer::Refused { detail: format!("nobody is taken out of the balancer before it ends: {ITSELF}") }
}

async fn until_it_ends(inner: &Inner, how: &str) -> Result<Draining, PortError> {
    let grace = inner.service().await?.grace();
    Ok(Draining::AsItEnds { grace, how: how.to_owned() })
}

#[async_trait]
impl Traffic for ByName {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let seen = self.inner.seen().await?;
        let routed = instances::in_service(&seen.tasks, &self.inner.settings.service);
        let routed = routed.into_iter().map(|(instance, task)| Routed {
            instance,
            receives: instances::is_resolved(task),
            drained: false,
            requests: None,
            in_flight: None,
        });
        Ok(routed.collect())
    }

    async fn route(&self, _order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(takes_no_orders())
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        let how = "Swarm takes it out of the service's name as it tells it to end; stop_grace_period is its time for the \
                   last ones";
        until_it_ends(&self.inner, how).await
    }

    fn describe(&self) -> String {
        format!("whoever resolves {}", self.inner.settings.service)
    }
}

/// A balancer before the tasks that asks each for its health.
pub(super) struct BehindBalancer {
    inner: Arc<Inner>,
    balancer: Arc<dyn Traffic>,
}

impl BehindBalancer {
    pub(super) fn new(inner: Arc<Inner>, balancer: Arc<dyn Traffic>) -> Self {
        Self { inner, balancer }
    }
}

#[async_trait]
impl Traffic for BehindBalancer {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        self.balancer.routed().await
    }

    async fn route(&self, _order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(takes_no_orders())
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        let how = format!(
            "{} finds out by its health check that it ends; stop_grace_period is its time for the last ones",
            self.balancer.describe()
        );
        until_it_ends(&self.inner, &how).await
    }

    fn describe(&self) -> String {
        self.balancer.describe()
    }
}
