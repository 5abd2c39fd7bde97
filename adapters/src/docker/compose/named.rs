//! A balancer that resolves the service's name, as Docker's own name server answers it: every container that runs is one of
//! its addresses. Nobody can be told to send a container no requests, so one gets them until it ends.

use std::time::Duration;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Draining, OrderAnswer, PortError, RouteOrder, Routed, Traffic};
use scalebot_commands::units::InstanceId;

use super::Compose;
use crate::docker::container;

/// How long a container has to end where its file does not say.
const USUAL_GRACE: Duration = Duration::from_secs(10);

/// The service by its name.
#[derive(Clone, Debug)]
pub struct NamedService {
    fleet: Compose,
}

impl Compose {
    /// Whoever resolves the service's name.
    pub fn by_name(&self) -> NamedService {
        NamedService { fleet: self.for_onlookers() }
    }
}

#[async_trait]
impl Traffic for NamedService {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let seen = self.fleet.inner.seen().await?;
        let routed = seen.containers.iter().map(|container| Routed {
            instance: InstanceId::new(container::name(container)),
            receives: container::runs(container),
            drained: false,
            requests: None,
            in_flight: None,
        });
        Ok(routed.collect())
    }

    async fn route(&self, _order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let detail = "whoever resolves the service's name takes no orders".to_owned();
        Ok(OrderAnswer::Refused { detail })
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        let seen = self.fleet.inner.seen().await?;
        let grace = seen.containers.iter().map(|container| container.config.stop_timeout.map(Duration::from_secs));
        let grace = grace.map(|grace| grace.unwrap_or(USUAL_GRACE)).min().unwrap_or(USUAL_GRACE);
        let how = "its name is resolved to every container that runs; stop_grace_period is its time for the last ones";
        Ok(Draining::AsItEnds { grace, how: how.to_owned() })
    }

    fn describe(&self) -> String {
        format!("whoever resolves {}", self.fleet.inner.settings.service)
    }
}
