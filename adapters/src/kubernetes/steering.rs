//! Who else changes the count: autoscalers, tools that put back what a repository says, a controller that owns the
//! workload; and what stands in the way of a change, a pause or a rollout. Each with what it would do, and with the exact
//! command that settles it.
//!
//! A person's own change is not among them, nor is whoever applies by hand: that one is named by the declared count.

mod autoscaler;
mod gitops;
mod hold;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use kube::core::{ApiResource, DynamicObject};
use scalebot_commands::ports::{PortError, Steering};
use scalebot_commands::request::quoted;

pub(super) use self::hold::{held_by, hold, release};
use super::objects::Which;
use super::server::{Refusal, Server, unreadable};
use super::settings::{Autoscaler, Settings};
use super::workload::Observed;

/// Everybody and everything that was found.
///
/// # Errors
/// When it cannot be read; also when it may not be read whether there is a KEDA, which is not the same as none.
pub(super) async fn steered_by(
    server: &Server,
    settings: &Settings,
    workload: &Observed,
) -> Result<Vec<Steering>, PortError> {
    let (scalers, objects) = everybody(server, settings).await?;
    let at = At {
        namespace: &settings.namespace,
        kind: workload.kind(),
        name: workload.name(),
        autoscaler: settings.autoscaler,
    };
    let mut found = autoscaler::keda(&objects, &at);
    found.extend(autoscaler::horizontal(&scalers, &at, workload.wanted()));
    found.extend(gitops::from_a_repository(workload, &at).map_err(|why| unreadable(&why))?);
    found.extend(gitops::by_a_controller(workload, &at));
    found.extend(owner(workload, &at));
    found.extend(in_the_way(workload, &at));
    Ok(found)
}

/// Every autoscaler of the namespace, whatever it steers: Kubernetes' own and KEDA's.
async fn everybody(
    server: &Server,
    settings: &Settings,
) -> Result<(Vec<HorizontalPodAutoscaler>, Vec<DynamicObject>), PortError> {
    let here = Which { namespace: Some(&settings.namespace), ..Which::default() };
    let keda = keda();
    let (scalers, objects) =
        futures::try_join!(server.list::<HorizontalPodAutoscaler>(&here), server.list_of(&keda, &here))?;
    let (scalers, _) = scalers.map_err(Refusal::error)?;
    let objects = match objects {
        Ok((objects, _)) => objects,
        // The type is not served: there is no KEDA in this cluster.
        Err(refusal) if refusal.is_not_found() => Vec::new(),
        Err(refusal) => return Err(refusal.error()),
    };
    Ok((scalers, objects))
}

/// KEDA's type, which this program knows by its name only.
pub(super) fn keda() -> ApiResource {
    ApiResource {
        group: "keda.sh".to_owned(),
        version: "v1alpha1".to_owned(),
        api_version: "keda.sh/v1alpha1".to_owned(),
        kind: "ScaledObject".to_owned(),
        plural: "scaledobjects".to_owned(),
    }
}

/// Where the workload is, for commands that people copy.
struct At<'a> {
    namespace: &'a str,
    kind: &'static str,
    name: &'a str,
    /// What becomes of an autoscaler.
    autoscaler: Autoscaler,
}

impl At<'_> {
    /// `kubectl -n conclave …`
    fn kubectl(&self, rest: &str) -> String {
        format!("kubectl -n {} {rest}", quoted(self.namespace))
    }

    /// `deployment/api`
    fn object(&self) -> String {
        format!("{}/{}", self.kind.to_lowercase(), quoted(self.name))
    }
}

/// What controls the workload as a whole: it makes the count what its own object says.
fn owner(workload: &Observed, at: &At<'_>) -> Option<Steering> {
    let owners = workload.meta().owner_references.as_deref().unwrap_or_default();
    let owner = owners.iter().find(|owner| owner.controller == Some(true))?;
    let (kind, name) = (quoted(&owner.kind), quoted(&owner.name));
    let group = owner.api_version.split_once('/').map(|(group, _)| format!(".{}", quoted(group))).unwrap_or_default();
    Some(Steering {
        by: format!("{kind} {name}"),
        effect: format!("owns {} and sets its count to what {kind} {name} says", at.object()),
        settled_by: at.kubectl(&format!("edit {}{group}/{name}", kind.to_lowercase())) + ", and change the count there",
        hold: None,
    })
}

/// What has to end before the count changes.
fn in_the_way(workload: &Observed, at: &At<'_>) -> Option<Steering> {
    let by = format!("{} {}", at.kind, quoted(at.name));
    if workload.paused() {
        let effect = "is paused: new pods may be of an earlier version than its template says".to_owned();
        return Some(Steering {
            by,
            effect,
            settled_by: at.kubectl(&format!("rollout resume {}", at.object())),
            hold: None,
        });
    }
    let under_way = workload.rollout_under_way()?;
    Some(Steering {
        by: format!("a rollout of {by}"),
        effect: format!("is under way ({under_way})"),
        settled_by: at.kubectl(&format!("rollout status {}", at.object())) + ", which waits until it is through",
        hold: None,
    })
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
mod tests;
