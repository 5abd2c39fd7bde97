//! How many instances may go now without breaking what was promised to others. Nothing else holds to it when a count is
//! lowered: a `PodDisruptionBudget` binds evictions only.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use scalebot_commands::ports::{DisruptionBudget, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;

use super::objects::Which;
use super::selection::{Labels, selects};
use super::server::{Refusal, Server, unreadable};
use super::settings::Settings;
use super::workload::{Observed, pods};

/// The strictest of the budgets that mean one of the workload's pods; `None` where none does.
///
/// # Errors
/// When it cannot be read, and when a budget was changed and not reckoned yet: its figure is of before.
pub(super) async fn allowed(
    server: &Server,
    settings: &Settings,
    workload: &Observed,
) -> Result<Option<DisruptionBudget>, PortError> {
    let here = Which { namespace: Some(&settings.namespace), ..Which::default() };
    let (budgets, pods) =
        futures::try_join!(server.list::<PodDisruptionBudget>(&here), pods(server, settings, workload))?;
    let (budgets, _) = budgets.map_err(Refusal::error)?;
    let of_template = workload.template().metadata.as_ref().and_then(|meta| meta.labels.clone());
    let mut labels: Vec<Labels> = pods.into_iter().filter_map(|pod| pod.metadata.labels).collect();
    labels.extend(of_template);
    strictest(&budgets, &labels).map_err(|why| unreadable(&why))
}

fn strictest(budgets: &[PodDisruptionBudget], pods: &[Labels]) -> Result<Option<DisruptionBudget>, String> {
    let mut strictest: Option<DisruptionBudget> = None;
    for budget in budgets {
        let name = quoted(budget.metadata.name.as_deref().unwrap_or_default());
        if !means_one(budget, pods).map_err(|why| format!("PodDisruptionBudget {name}: {why}"))? {
            continue;
        }
        let reckoned = budget.status.as_ref().filter(|status| {
            budget.metadata.generation.is_none_or(|generation| status.observed_generation >= Some(generation))
        });
        let allowed = reckoned.and_then(|status| u32::try_from(status.disruptions_allowed).ok()).ok_or_else(|| {
            format!("PodDisruptionBudget {name} was changed, and how many pods it lets go is not reckoned yet")
        })?;
        if strictest.as_ref().is_none_or(|other| allowed < other.allowed.0) {
            let source = format!("PodDisruptionBudget {name}");
            strictest = Some(DisruptionBudget { allowed: Replicas(allowed), source });
        }
    }
    Ok(strictest)
}

/// Whether a budget means one of the pods. One without a selector means none, one with an empty selector all.
fn means_one(budget: &PodDisruptionBudget, pods: &[Labels]) -> Result<bool, String> {
    let Some(selector) = budget.spec.as_ref().and_then(|spec| spec.selector.as_ref()) else { return Ok(false) };
    let mut means = false;
    for labels in pods {
        means |= selects(selector, labels)?;
    }
    Ok(means)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn budget(name: &str, selector: Value, allowed: i32) -> Value {
        json!({
            "metadata": {"name": name, "generation": 2},
            "spec": {"selector": selector},
            "status": {
                "observedGeneration": 2, "disruptionsAllowed": allowed,
                "currentHealthy": 4, "desiredHealthy": 3, "expectedPods": 4,
            },
        })
    }

    fn of(budgets: Value) -> Result<Option<(u32, String)>, String> {
        let budgets: Vec<PodDisruptionBudget> = serde_json::from_value(budgets).unwrap();
        let pods =
            [("app", "api"), ("app", "api")].map(|(key, value)| Labels::from([(key.to_owned(), value.to_owned())]));
        Ok(strictest(&budgets, &pods)?.map(|budget| (budget.allowed.0, budget.source)))
    }

    #[test]
    fn the_strictest_budget_that_means_the_pods_counts() {
        let ours = json!({"matchLabels": {"app": "api"}});
        let others = json!({"matchLabels": {"app": "web"}});
        assert_eq!(
            of(json!([budget("loose", ours.clone(), 2), budget("tight", json!({}), 1), budget("web", others, 0)])),
            Ok(Some((1, "PodDisruptionBudget tight".to_owned())))
        );
    }

    #[test]
    fn without_a_budget_there_is_none_and_one_without_a_selector_means_nobody() {
        assert_eq!(of(json!([])), Ok(None));
        assert_eq!(of(json!([budget("null", Value::Null, 0)])), Ok(None));
    }

    #[test]
    fn a_budget_that_was_changed_and_not_reckoned_yet_gives_no_figure() {
        let mut stale = budget("stale", json!({}), 3);
        stale["metadata"]["generation"] = json!(3);
        let said = "PodDisruptionBudget stale was changed, and how many pods it lets go is not reckoned yet";
        assert_eq!(of(json!([stale])).unwrap_err(), said);
        stale["status"] = Value::Null;
        assert_eq!(of(json!([stale])).unwrap_err(), said);
        assert!(of(json!([budget("negative", json!({}), -1)])).is_err());
    }
}
