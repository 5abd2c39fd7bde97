//! Whoever starts and ends instances tells the load balancer who they are. Where Compose or Swarm does that, nobody else would:
//! so the bot keeps an HAProxy's servers as the fleet is, for as long as it serves it. An operation only stops and resumes
//! requests.

use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::haproxy::{self, Registry};
use scalebot_commands::ports::{Fleet, Instance, InstanceState};
use scalebot_commands::units::{InstanceId, TargetName};
use tokio::time::{MissedTickBehavior, interval};

/// Between two looks whether the load balancer still knows the fleet as it is.
const AGREE_EVERY: Duration = Duration::from_secs(1);

/// Keeps one HAProxy's servers as one fleet is.
pub(crate) struct Registrar {
    registry: Registry,
    fleet: Arc<dyn Fleet>,
    name: TargetName,
    known: Known,
}

impl Registrar {
    /// Nothing is told yet.
    ///
    /// # Errors
    /// In words, when the settings cannot be used.
    pub(crate) fn new(settings: &haproxy::Settings, fleet: Arc<dyn Fleet>, name: &TargetName) -> Result<Self, String> {
        let registry = Registry::new(settings).map_err(|error| format!("targets.{name}.haproxy.{error}."))?;
        Ok(Self { registry, fleet, name: name.clone(), known: Known::default() })
    }

    /// Tells it, again and again.
    pub(crate) async fn keep(mut self) {
        let mut turns = interval(AGREE_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut said = None;
        loop {
            turns.tick().await;
            let told = async {
                let fleet = self.fleet.observe().await?;
                self.registry.agree(&self.known.there(&fleet.instances)).await
            };
            // Once, not every second.
            let why = told.await.err().map(|error| error.to_string());
            if why != said {
                if let Some(why) = &why {
                    tracing::error!(fleet = %self.name, %why, "the load balancer cannot be told who is there");
                } else {
                    tracing::info!(fleet = %self.name, "the load balancer is told who is there");
                }
                said = why;
            }
        }
    }
}

/// Whom the load balancer knows: everybody who was ready once, until they have ended. Whether they still are ready, it finds
/// out by itself.
#[derive(Default)]
struct Known(Vec<InstanceId>);

impl Known {
    fn there(&mut self, instances: &[Instance]) -> Vec<(InstanceId, String)> {
        let is_there = |instance: &&Instance| match instance.state {
            InstanceState::Ready => true,
            InstanceState::Failed => false,
            InstanceState::Starting | InstanceState::NotReady | InstanceState::Terminating => {
                self.0.contains(&instance.id)
            }
        };
        let there: Vec<(InstanceId, String)> = instances
            .iter()
            .filter(is_there)
            .filter_map(|instance| Some((instance.id.clone(), instance.address.clone()?)))
            .collect();
        self.0 = there.iter().map(|(id, _)| id.clone()).collect();
        there
    }
}

#[cfg(test)]
mod tests {
    use scalebot_commands::units::Timestamp;

    use super::*;

    #[test]
    fn whoever_was_ready_once_stays_known_until_they_end() {
        let instance = |state| Instance {
            id: InstanceId::new("api-1"),
            address: Some("10.0.0.2:8000".to_owned()),
            started_at: Timestamp::UNIX_EPOCH,
            state,
            detail: None,
            restarts: 0,
        };
        let mut known = Known::default();
        let mut count = |state| known.there(&[instance(state)]).len();
        assert_eq!(count(InstanceState::Starting), 0);
        assert_eq!(count(InstanceState::Ready), 1);
        assert_eq!(count(InstanceState::NotReady), 1);
        assert_eq!(count(InstanceState::Failed), 0);
        assert_eq!(count(InstanceState::Starting), 0);
        let mut unreachable = instance(InstanceState::Ready);
        unreachable.address = None;
        assert!(known.there(&[unreachable]).is_empty());
    }
}
