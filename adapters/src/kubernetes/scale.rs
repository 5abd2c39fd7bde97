//! Changing the count, once, through the `scale` subresource. The patch names the version and the uid that the guard saw, so
//! that the API server itself refuses it where anything has changed since.

use http::StatusCode;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::autoscaling::v1::Scale;
use scalebot_commands::ports::{OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::units::OperationId;
use serde_json::json;

use super::server::{Refusal, Server, unreadable};
use super::settings::{Settings, Workload};
use super::workload::MANAGER;

/// Sets the count.
///
/// # Errors
/// When it is not known whether it was set.
pub(super) async fn count(server: &Server, settings: &Settings, order: &ScaleOrder) -> Result<OrderAnswer, PortError> {
    let workload = settings.workload().map_err(|unusable| unreadable(&unusable.to_string()))?;
    let patch = json!({
        "metadata": { "uid": order.identity, "resourceVersion": order.version },
        "spec": { "replicas": order.to.0 },
    });
    let (namespace, manager) = (Some(&*settings.namespace), manager(&order.operation));
    let answer = match workload {
        Workload::Deployment(name) => {
            server.patch::<Deployment, Scale>(namespace, name, Some("scale"), &manager, &patch).await?
        }
        Workload::StatefulSet(name) => {
            server.patch::<StatefulSet, Scale>(namespace, name, Some("scale"), &manager, &patch).await?
        }
    };
    let scale = match answer {
        Ok(scale) => scale,
        Err(refusal) => return declined(refusal),
    };
    let set = scale.spec.and_then(|spec| spec.replicas).unwrap_or_default();
    if u32::try_from(set) != Ok(order.to.0) {
        return Err(unreadable(&format!("it was asked for {} and says that the count is {set} now", order.to)));
    }
    Ok(OrderAnswer::Done)
}

/// The mark by which a change of an operation is known again.
pub(super) fn manager(operation: &OperationId) -> String {
    format!("{MANAGER}{operation}")
}

/// What it means that an order was not carried out.
///
/// # Errors
/// When that does not tell whether it was.
pub(super) fn declined(refusal: Refusal) -> Result<OrderAnswer, PortError> {
    match refusal.status {
        StatusCode::CONFLICT => Ok(OrderAnswer::Conflict { detail: refusal.sentence() }),
        StatusCode::BAD_REQUEST
        | StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => Ok(OrderAnswer::Refused { detail: refusal.sentence() }),
        // A server that fails, or something in between, may have passed it on.
        _ => Err(refusal.error()),
    }
}

#[cfg(test)]
mod tests;
