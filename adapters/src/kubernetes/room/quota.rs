//! How many pods a namespace's quotas still let in. A quota never refuses the change of the count itself: it is accepted,
//! and the pods do not come. So it is reckoned before.

use k8s_openapi::api::core::v1::{PodSpec, ResourceQuota, ScopedResourceSelectorRequirement};
use scalebot_commands::request::quoted;

use super::Tight;
use super::demand::{Demand, Part};
use crate::kubernetes::quantity::{Amount, amounts};
use crate::kubernetes::selection::compares;

/// The resources that every container must say something about where a quota counts them.
const ASKED_OF_EACH: [&str; 6] = ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

/// The tightest of the quotas that count such a pod; `None` where none does.
///
/// # Errors
/// In words, when a quota does not say what is used, or something else that cannot be understood.
pub(super) fn tightest(
    quotas: &[ResourceQuota],
    spec: &PodSpec,
    priority_class: Option<&str>,
    demand: &Demand,
) -> Result<Option<Tight>, String> {
    let mut tightest: Option<Tight> = None;
    for quota in quotas {
        if !counts(quota, spec, priority_class, demand)? {
            continue;
        }
        for tight in of_one(quota, demand)? {
            if tightest.as_ref().is_none_or(|other| tight.fits < other.fits) {
                tightest = Some(tight);
            }
        }
    }
    Ok(tightest)
}

/// What each line of a quota lets in.
fn of_one(quota: &ResourceQuota, demand: &Demand) -> Result<Vec<Tight>, String> {
    let name = quoted(quota.metadata.name.as_deref().unwrap_or_default());
    let of_this = |why: String| format!("quota {name}: {why}");
    let wanted = quota.spec.as_ref().and_then(|spec| spec.hard.as_ref());
    let status = quota.status.as_ref();
    let wanted = amounts(wanted).map_err(of_this)?;
    let hard = amounts(status.and_then(|status| status.hard.as_ref())).map_err(of_this)?;
    let used = amounts(status.and_then(|status| status.used.as_ref())).map_err(of_this)?;
    let mut found = Vec::new();
    for (resource, limit) in &wanted {
        let Some(each) = each(resource, demand) else { continue };
        if let Some(without) = silent(resource, demand) {
            let why = format!("what quota {name} admits (container {} says no {})", quoted(without), quoted(resource));
            found.push(Tight { fits: 0, runs_out: why });
            continue;
        }
        if each.is_zero() {
            continue;
        }
        // The controller has not reckoned yet: until then the API server refuses every pod.
        let (Some(hard), Some(used)) = (hard.get(resource), used.get(resource)) else {
            return Err(of_this(format!("it does not say yet how much {} is used", quoted(resource))));
        };
        let limit = (*limit).min(*hard);
        let (of_used, of_limit, of_each) = (used.of(resource), limit.of(resource), each.of(resource));
        let runs_out = match resource.as_str() {
            "pods" | "count/pods" => format!("quota {name} on pods ({of_used} of {of_limit} there)"),
            _ => format!("quota {name} on {} ({of_used} of {of_limit} taken, a pod takes {of_each})", quoted(resource)),
        };
        found.push(Tight { fits: limit.less(*used).times(each), runs_out });
    }
    Ok(found)
}

/// How much of that line one pod takes; `None` where it is not about pods.
fn each(resource: &str, demand: &Demand) -> Option<Amount> {
    let request = |name: &str| Some(demand.requests.get(name).copied().unwrap_or_default());
    match resource {
        "pods" | "count/pods" => Some(Amount::units(1)),
        "cpu" | "memory" | "ephemeral-storage" => request(resource),
        // What volumes take is counted with their claims.
        "requests.storage" => None,
        _ if resource.starts_with("hugepages-") => request(resource),
        _ => match resource.split_once('.') {
            Some(("requests", name)) => request(name),
            Some(("limits", name)) => Some(demand.limits.get(name).copied().unwrap_or_default()),
            _ => None,
        },
    }
}

/// The container that says nothing about a resource of which a quota asks every container.
fn silent<'a>(resource: &str, demand: &'a Demand) -> Option<&'a str> {
    if !ASKED_OF_EACH.contains(&resource) {
        return None;
    }
    let says = |part: &Part| match resource.split_once('.') {
        Some(("limits", name)) => part.limits.contains_key(name),
        Some((_, name)) => part.requests.contains_key(name),
        None => part.requests.contains_key(resource),
    };
    if says(&demand.whole) {
        return None;
    }
    demand.containers.iter().find(|part| !says(part)).map(|part| part.name.as_str())
}

/// Whether the quota counts such a pod.
fn counts(
    quota: &ResourceQuota,
    spec: &PodSpec,
    priority_class: Option<&str>,
    demand: &Demand,
) -> Result<bool, String> {
    let Some(of) = &quota.spec else { return Ok(false) };
    let scoped = of.scope_selector.iter().filter_map(|selector| selector.match_expressions.as_ref()).flatten();
    for scope in of.scopes.iter().flatten() {
        if !is_in(scope, spec, demand) {
            return Ok(false);
        }
    }
    for ScopedResourceSelectorRequirement { operator, scope_name, values } in scoped {
        let fits = match scope_name.as_str() {
            "PriorityClass" => compares(operator, priority_class, values.as_deref().unwrap_or_default())?,
            scope => is_in(scope, spec, demand),
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a pod is in a scope. One that is not known counts: it may.
fn is_in(scope: &str, spec: &PodSpec, demand: &Demand) -> bool {
    match scope {
        "Terminating" => spec.active_deadline_seconds.is_some(),
        "NotTerminating" => spec.active_deadline_seconds.is_none(),
        "BestEffort" => demand.is_best_effort(),
        "NotBestEffort" => !demand.is_best_effort(),
        // It is about volumes, never about pods.
        "VolumeAttributesClass" => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn spec(resources: Value) -> PodSpec {
        serde_json::from_value(json!({"containers": [{"name": "api", "resources": resources}]})).unwrap()
    }

    fn quota(name: &str, hard: Value, used: Value, spec: Value) -> Value {
        let mut spec = spec;
        spec["hard"] = hard.clone();
        json!({"metadata": {"name": name}, "spec": spec, "status": {"hard": hard, "used": used}})
    }

    fn of(quotas: &[Value], resources: Value) -> Result<Option<(u32, String)>, String> {
        of_class(quotas, resources, None)
    }

    fn of_class(quotas: &[Value], resources: Value, class: Option<&str>) -> Result<Option<(u32, String)>, String> {
        let quotas: Vec<ResourceQuota> = serde_json::from_value(quotas.into()).unwrap();
        let spec = spec(resources);
        let demand = Demand::of_new(&spec, &[]).unwrap();
        let tight = tightest(&quotas, &spec, class, &demand)?;
        Ok(tight.map(|Tight { fits, runs_out }| (fits, runs_out)))
    }

    #[test]
    fn the_tightest_of_all_quotas_counts() {
        let quotas = [
            quota("pods", json!({"pods": "10", "services": "0"}), json!({"pods": "4", "services": "0"}), json!({})),
            quota("memory", json!({"requests.memory": "2Gi"}), json!({"requests.memory": "1Gi"}), json!({})),
        ];
        assert_eq!(
            of(&quotas, json!({"requests": {"memory": "300Mi"}})),
            Ok(Some((3, "quota memory on requests.memory (1 GiB of 2 GiB taken, a pod takes 300 MiB)".to_owned())))
        );
        assert_eq!(
            of(&quotas, json!({"requests": {"memory": "64Mi"}})),
            Ok(Some((6, "quota pods on pods (4 of 10 there)".to_owned())))
        );
    }

    #[test]
    fn a_quota_on_what_a_container_says_nothing_about_lets_no_pod_in() {
        let quotas = [quota("cpu", json!({"limits.cpu": "100"}), json!({"limits.cpu": "0"}), json!({}))];
        assert_eq!(
            of(&quotas, json!({"requests": {"cpu": "1"}})),
            Ok(Some((0, "what quota cpu admits (container api says no limits.cpu)".to_owned())))
        );
    }

    #[test]
    fn a_quota_counts_only_the_pods_in_its_scope() {
        let full = |scope: Value| [quota("full", json!({"pods": "4"}), json!({"pods": "4"}), scope)];
        let scoped = |scope: &str| full(json!({"scopes": [scope]}));
        let some = json!({"requests": {"cpu": "1"}});
        for (scope, resources, is_counted) in [
            ("Terminating", json!({}), false),
            ("NotTerminating", json!({}), true),
            ("BestEffort", json!({}), true),
            ("BestEffort", some.clone(), false),
            ("NotBestEffort", some.clone(), true),
            ("SomethingNew", json!({}), true),
        ] {
            assert_eq!(of(&scoped(scope), resources).unwrap().is_some(), is_counted, "{scope}");
        }
        let high = full(json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
        ]}}));
        assert_eq!(of_class(&high, json!({}), Some("high")).unwrap().map(|(fits, _)| fits), Some(0));
        assert_eq!(of_class(&high, json!({}), Some("low")), Ok(None));
        assert_eq!(of_class(&high, json!({}), None), Ok(None));
    }

    #[test]
    fn a_device_is_counted_and_what_a_pod_does_not_ask_for_is_not() {
        let quotas = [quota(
            "gpu",
            json!({"requests.example.com/gpu": "3", "requests.ephemeral-storage": "1Gi", "requests.storage": "1"}),
            json!({"requests.example.com/gpu": "1", "requests.ephemeral-storage": "1Gi", "requests.storage": "1"}),
            json!({}),
        )];
        let fits = |resources: Value| of(&quotas, resources).unwrap().map(|(fits, _)| fits);
        assert_eq!(fits(json!({"limits": {"example.com/gpu": "1"}})), Some(2));
        assert_eq!(fits(json!({})), None);
    }

    #[test]
    fn a_quota_that_does_not_say_what_is_used_is_not_known() {
        let mut unreckoned = quota("new", json!({"pods": "4"}), json!({}), json!({}));
        assert_eq!(
            of(std::slice::from_ref(&unreckoned), json!({})).unwrap_err(),
            "quota new: it does not say yet how much pods is used"
        );
        unreckoned["status"] = Value::Null;
        assert!(of(&[unreckoned], json!({})).is_err());
    }

    #[test]
    fn a_quota_that_was_lowered_counts_with_the_lower_limit_and_more_used_than_allowed_is_no_room() {
        let mut lowered = quota("lowered", json!({"pods": "10"}), json!({"pods": "4"}), json!({}));
        lowered["spec"]["hard"]["pods"] = json!("5");
        assert_eq!(of(std::slice::from_ref(&lowered), json!({})).unwrap().map(|(fits, _)| fits), Some(1));
        lowered["spec"]["hard"]["pods"] = json!("2");
        assert_eq!(of(&[lowered], json!({})).unwrap().map(|(fits, _)| fits), Some(0));
    }
}
