//! What no single instance owns: the complexity budget, asked of whichever ready instance answers first, and the halt,
//! ordered of one.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use reqwest::StatusCode;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    ComplexityBudget, ComplexityDimension, Fleet, Governance, HaltOrder, Instance, InstanceState, OrderAnswer,
    PortError,
};
use scalebot_commands::units::OperationId;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Asked, Conclave, Config, answer};
use crate::http::Unanswered;

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

    async fn halt(&self, order: &HaltOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        self.order_halt(order).await
    }
}

/// What became of the order to halt at one instance.
enum Halting {
    /// That is what became of it.
    Answered(OrderAnswer),
    /// It was not heard there, or is not served: another may be told.
    NotThere(PortError),
}

impl ConclaveGovernance {
    /// Tells one ready instance after the other to halt the system, until one has heard it. From then on what that one
    /// answers is what is known, whatever it is.
    pub(super) async fn order_halt(&self, order: &HaltOrder) -> Result<OrderAnswer, PortError> {
        let state = self.fleet.observe().await?;
        let mut failed: Option<PortError> = None;
        for instance in state.instances.iter().filter(|instance| instance.state == InstanceState::Ready) {
            match self.halt_at(instance, order).await? {
                Halting::Answered(answer) => return Ok(answer),
                Halting::NotThere(error) => {
                    if failed.as_ref().is_none_or(|known| matches!(known, PortError::NotServed { .. })) {
                        failed = Some(error);
                    }
                }
            }
        }
        Err(failed.unwrap_or_else(|| PortError::Unreachable {
            what: "the halt".into(),
            detail: "no instance is ready to be told".into(),
        }))
    }

    async fn halt_at(&self, instance: &Instance, order: &HaltOrder) -> Result<Halting, PortError> {
        let Config { paths, halt_call, .. } = &self.conclave.config;
        let (http, url) = match self.conclave.of(instance) {
            Ok((http, address)) => {
                let url = http.url(&address, &paths.trigger_halt)?;
                (http, url)
            }
            Err(no_address) => return Ok(Halting::NotThere(no_address)),
        };
        let operator = halt_call.operator_id.unwrap_or_else(|| operator_of(&order.operation)).to_string();
        let body = json!({ "reason": halt_call.reason, "message": message(&order.message) });
        let answer = match http.order(&url, &[("X-Operator-Id", &operator)], &body).await {
            Ok(answer) => answer,
            Err(Unanswered::Unheard(error)) => return Ok(Halting::NotThere(error)),
            Err(Unanswered::Unknown(error)) => return Err(error),
        };
        let asked = Asked { http, url };
        match answer.status {
            StatusCode::OK => {
                let body = asked.body(&answer)?;
                if asked.object(&body)?.flag("success")? {
                    Ok(Halting::Answered(OrderAnswer::Done))
                } else {
                    Err(asked.http.unreadable("the halt was answered with 200 and success false"))
                }
            }
            StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::UNPROCESSABLE_ENTITY => {
                Ok(Halting::Answered(OrderAnswer::Refused { detail: answer::refusal(&answer) }))
            }
            StatusCode::NOT_FOUND => Ok(Halting::NotThere(asked.http.not_served(&asked.url, "answered 404"))),
            status => {
                if let Err(not_served) = asked.configured(&answer) {
                    return Ok(Halting::NotThere(not_served));
                }
                asked.http.accept(&asked.url, &answer)?;
                Err(asked.http.unreadable(format!("the halt was answered with {status}, not 200")))
            }
        }
    }
}

/// The backend's longest message, in characters.
const MESSAGE: usize = 1_000;

fn message(text: &str) -> String {
    text.chars().take(MESSAGE).collect()
}

/// An operator's identifier for an operation: its own if that is a UUID, else one made of it.
fn operator_of(operation: &OperationId) -> Uuid {
    let operation = operation.as_str();
    Uuid::try_parse(operation).unwrap_or_else(|_| {
        let digest = Sha256::digest(operation.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    })
}
