//! Who of the hosts gets requests: as the HAProxy before them says. That one is to get none is written down as well, so that
//! a host which has not entered yet does not, and so that an HAProxy which was restarted is not told to send it any.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Draining, OrderAnswer, PortError, RouteOrder, Routed, Traffic};
use scalebot_commands::units::InstanceId;

use super::Inner;
use super::state::Phase;
use crate::haproxy::Haproxy;

/// The HAProxy before these hosts.
pub(super) struct HostsTraffic {
    inner: Arc<Inner>,
    haproxy: Haproxy,
}

impl HostsTraffic {
    pub(super) fn new(inner: Arc<Inner>, haproxy: Haproxy) -> Self {
        Self { inner, haproxy }
    }
}

#[async_trait]
impl Traffic for HostsTraffic {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let mut routed = self.haproxy.routed().await?;
        let state = self.inner.state()?;
        for host in state.hosts.iter().filter(|host| host.phase < Phase::Serving) {
            let instance = InstanceId::new(&*host.name);
            if !routed.iter().any(|one| one.instance == instance) {
                let (requests, in_flight) = (Some(0), Some(0));
                routed.push(Routed { instance, receives: false, drained: host.barred, requests, in_flight });
            }
        }
        Ok(routed)
    }

    async fn route(&self, order: &RouteOrder, fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let name = order.instance.as_str();
        let inner = &self.inner;
        // First what is to be, so that nobody enters it meanwhile.
        let noted = inner
            .order(&fence, |state, _| match state.host_mut(name) {
                Some(host) => {
                    host.barred = !order.receives;
                    OrderAnswer::Done
                }
                None => OrderAnswer::Refused { detail: format!("it knows no host {}", super::quote(name)) },
            })
            .await?;
        if noted != OrderAnswer::Done {
            return Ok(noted);
        }
        let host = inner.state()?.host(name).cloned();
        // One that has not entered is known to no HAProxy. Had it just entered, it is.
        if let Some(host) = host.filter(|host| host.phase < Phase::Serving) {
            let known = match host.address.as_deref() {
                Some(address) => inner.registry.knows(&order.instance, &inner.instance_at(address)).await?,
                None => false,
            };
            if !known {
                return Ok(OrderAnswer::Done);
            }
        }
        self.haproxy.route(order, fence).await
    }

    async fn draining(&self) -> Result<Draining, PortError> {
        self.haproxy.draining().await
    }

    fn describe(&self) -> String {
        self.haproxy.describe()
    }
}
