//! The complexity budget, asked of whichever ready instance answers first: no single instance owns it.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    ComplexityBudget, ComplexityDimension, Fleet, Governance, HaltOrder, Instance, InstanceState, OrderAnswer,
    PortError,
};

use super::Conclave;

/// How many instances are asked at once, so that two that hang do not use up the time there is.
const AT_ONCE: usize = 3;

/// The governance functions of a fleet of backend instances.
#[derive(Clone)]
pub struct ConclaveGovernance {
    conclave: Conclave,
    fleet: Arc<dyn Fleet>,
}

impl ConclaveGovernance {
    /// Asks the instances of `fleet` as `conclave` asks them.
    pub fn new(conclave: Conclave, fleet: Arc<dyn Fleet>) -> Self {
        Self { conclave, fleet }
    }

    async fn ask(&self, instance: &Instance) -> Result<ComplexityBudget, PortError> {
        let config = &self.conclave.config;
        let (asked, answer) = self.conclave.ask(instance, &config.paths.complexity).await?;
        asked.configured(&answer)?;
        let body = asked.success(&answer)?;
        let object = asked.object(&body)?;
        let fields = &config.fields;
        let dimension = |name: &str, (used, limit): &(String, String)| {
            let figure = |field: &str| {
                let count = object.count(field)?;
                u32::try_from(count).map_err(|_| asked.http.unreadable(format!("{field} is {count}")))
            };
            Ok(ComplexityDimension { name: name.to_owned(), used: figure(used)?, limit: figure(limit)? })
        };
        Ok(ComplexityBudget {
            dimensions: vec![
                dimension("ADRs", &fields.complexity_adrs)?,
                dimension("ceremony types", &fields.complexity_ceremonies)?,
                dimension("cross-component dependencies", &fields.complexity_dependencies)?,
            ],
            overall: object.text(&fields.complexity_overall)?,
        })
    }
}

#[async_trait]
impl Governance for ConclaveGovernance {
    /// The first answer of a ready instance. Without any: that it is not served, if every one of them says so, else
    /// what kept the first of the others from answering.
    async fn complexity(&self) -> Result<ComplexityBudget, PortError> {
        let state = self.fleet.observe().await?;
        let ready = state.instances.into_iter().filter(|instance| instance.state == InstanceState::Ready);
        let mut answers =
            stream::iter(ready).map(|instance| async move { self.ask(&instance).await }).buffer_unordered(AT_ONCE);
        let mut failed: Option<PortError> = None;
        while let Some(answer) = answers.next().await {
            let error = match answer {
                Ok(budget) => return Ok(budget),
                Err(error) => error,
            };
            if failed.as_ref().is_none_or(|known| matches!(known, PortError::NotServed { .. })) {
                failed = Some(error);
            }
        }
        Err(failed.unwrap_or_else(|| PortError::Unreachable {
            what: "the complexity budget".into(),
            detail: "no instance is ready to be asked".into(),
        }))
    }

    async fn halt(&self, _order: &HaltOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Err(self.conclave.http.not_served(&self.conclave.config.paths.trigger_halt, "is not wired yet"))
    }
}
