//! What one pod asks for, as the scheduler and the quotas count it.

use k8s_openapi::api::core::v1::{Container, LimitRange, LimitRangeItem, Pod, PodSpec, ResourceRequirements};
use scalebot_commands::request::quoted;

use crate::kubernetes::quantity::{Amounts, add, amounts, raise};

/// What a pod asks for at least, and may use at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// What is set aside for it: CPU, memory, devices.
    pub(super) requests: Amounts,
    /// What it may use at most.
    pub(super) limits: Amounts,
    /// Each container's part, init containers among them.
    pub(super) containers: Vec<Part>,
    /// What is said for the pod as a whole.
    pub(super) whole: Part,
}

/// One container's demand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) requests: Amounts,
    pub(super) limits: Amounts,
    stage: Stage,
}

/// When a container runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// As long as the pod.
    #[default]
    Main,
    /// Before the others, and to its end.
    Init,
    /// Begins among the init containers, and stays.
    Sidecar,
}

impl Demand {
    /// What a new pod of that template asks for, with the defaults that the namespace's limit ranges give it.
    ///
    /// # Errors
    /// In words, when an amount cannot be read.
    pub(super) fn of_new(spec: &PodSpec, ranges: &[LimitRange]) -> Result<Self, String> {
        let mut containers = parts(spec)?;
        for part in &mut containers {
            // The API server does so with every new pod, before the limit ranges are looked at.
            for (resource, limit) in &part.limits {
                part.requests.entry(resource.clone()).or_insert(*limit);
            }
            let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
            for item in items(ranges, "Container") {
                // Of several ranges it is not said which one counts: the larger default is the careful one.
                raise(&mut requests, &amounts(item.default_request.as_ref())?);
                raise(&mut limits, &amounts(item.default.as_ref())?);
            }
            for (resource, amount) in requests {
                part.requests.entry(resource).or_insert(amount);
            }
            for (resource, amount) in limits {
                part.limits.entry(resource).or_insert(amount);
            }
        }
        Self::of_parts(spec, containers)
    }

    /// What is set aside for a pod that is there.
    ///
    /// # Errors
    /// In words, when an amount cannot be read.
    pub(super) fn of_running(pod: &Pod) -> Result<Amounts, String> {
        let Some(spec) = &pod.spec else { return Ok(Amounts::new()) };
        let mut containers = parts(spec)?;
        let status = pod.status.as_ref();
        let held = status.and_then(|status| status.container_statuses.as_ref());
        let held_first = status.and_then(|status| status.init_container_statuses.as_ref());
        for status in held.into_iter().chain(held_first).flatten() {
            // While a pod is being resized it counts with the larger of what it has and what it shall have.
            if let Some(part) = containers.iter_mut().find(|part| part.name == status.name) {
                raise(&mut part.requests, &amounts(status.allocated_resources.as_ref())?);
                let actual = status.resources.as_ref().and_then(|resources| resources.requests.as_ref());
                raise(&mut part.requests, &amounts(actual)?);
            }
        }
        Ok(Self::of_parts(spec, containers)?.requests)
    }

    /// Whether nothing at all is asked for: such a pod is the first one to go where memory is short.
    pub(super) fn is_best_effort(&self) -> bool {
        let all = self.containers.iter().chain([&self.whole]);
        all.flat_map(|part| part.requests.iter().chain(&part.limits))
            .all(|(resource, amount)| !matches!(resource.as_str(), "cpu" | "memory") || amount.is_zero())
    }

    /// Which limit range lets no such pod in, and why.
    ///
    /// # Errors
    /// In words, when an amount cannot be read.
    pub(super) fn refused_by(&self, ranges: &[LimitRange]) -> Result<Option<String>, String> {
        for range in ranges {
            let range = std::slice::from_ref(range);
            for item in items(range, "Container") {
                for part in &self.containers {
                    let about = format!("container {}", quoted(&part.name));
                    if let Some(why) = outside(item, &part.requests, &part.limits, &about)? {
                        return Ok(Some(refusal(&range[0], &why)));
                    }
                }
            }
            for item in items(range, "Pod") {
                if let Some(why) = outside(item, &self.requests, &self.limits, "a pod")? {
                    return Ok(Some(refusal(&range[0], &why)));
                }
            }
        }
        Ok(None)
    }

    fn of_parts(spec: &PodSpec, containers: Vec<Part>) -> Result<Self, String> {
        let mut whole = part("", spec.resources.as_ref(), Stage::Main)?;
        for (resource, limit) in &whole.limits {
            whole.requests.entry(resource.clone()).or_insert(*limit);
        }
        let mut requests = total(&containers, |part| &part.requests);
        let mut limits = total(&containers, |part| &part.limits);
        requests.extend(whole.requests.clone());
        limits.extend(whole.limits.clone());
        let overhead = amounts(spec.overhead.as_ref())?;
        add(&mut requests, &overhead);
        // A resource without a limit stays without one.
        for (resource, amount) in overhead {
            if let Some(limit) = limits.get_mut(&resource) {
                *limit = limit.plus(amount);
            }
        }
        for (resource, amount) in &mut requests {
            *amount = amount.rounded_up(resource);
        }
        Ok(Self { requests, limits, containers, whole })
    }
}

fn refusal(range: &LimitRange, why: &str) -> String {
    format!("what the limit range {} admits ({why})", quoted(range.metadata.name.as_deref().unwrap_or_default()))
}

/// What is above or below an item's bounds.
fn outside(item: &LimitRangeItem, requests: &Amounts, limits: &Amounts, about: &str) -> Result<Option<String>, String> {
    for (resource, most) in amounts(item.max.as_ref())? {
        let amount = limits.get(&resource).or(requests.get(&resource)).copied().unwrap_or_default();
        if amount > most || requests.get(&resource).is_some_and(|request| *request > most) {
            let (amount, most) = (amount.of(&resource), most.of(&resource));
            return Ok(Some(format!("{about} has {amount} of {}, {most} are allowed", quoted(&resource))));
        }
    }
    for (resource, least) in amounts(item.min.as_ref())? {
        let amount = requests.get(&resource).copied().unwrap_or_default();
        if amount < least {
            let (amount, least) = (amount.of(&resource), least.of(&resource));
            return Ok(Some(format!(
                "{about} asks for {amount} of {}, at least {least} are needed",
                quoted(&resource)
            )));
        }
    }
    Ok(None)
}

fn items<'a>(ranges: &'a [LimitRange], kind: &'a str) -> impl Iterator<Item = &'a LimitRangeItem> {
    let specs = ranges.iter().filter_map(|range| range.spec.as_ref());
    specs.flat_map(|spec| &spec.limits).filter(move |item| item.type_ == kind)
}

fn parts(spec: &PodSpec) -> Result<Vec<Part>, String> {
    let stage = |container: &Container| match container.restart_policy.as_deref() {
        Some("Always") => Stage::Sidecar,
        _ => Stage::Init,
    };
    let first = spec.init_containers.iter().flatten().map(|container| (container, stage(container)));
    let main = spec.containers.iter().map(|container| (container, Stage::Main));
    first.chain(main).map(|(container, stage)| part(&container.name, container.resources.as_ref(), stage)).collect()
}

fn part(name: &str, resources: Option<&ResourceRequirements>, stage: Stage) -> Result<Part, String> {
    let requests = amounts(resources.and_then(|resources| resources.requests.as_ref()))?;
    let limits = amounts(resources.and_then(|resources| resources.limits.as_ref()))?;
    Ok(Part { name: name.to_owned(), requests, limits, stage })
}

/// The most that is needed at once: by the containers that run together, or by an init container beside those that
/// began before it and stay.
fn total(parts: &[Part], of: impl Fn(&Part) -> &Amounts) -> Amounts {
    let (mut together, mut staying, mut at_first) = (Amounts::new(), Amounts::new(), Amounts::new());
    for part in parts {
        match part.stage {
            Stage::Main => add(&mut together, of(part)),
            Stage::Sidecar => {
                add(&mut together, of(part));
                add(&mut staying, of(part));
                raise(&mut at_first, &staying);
            }
            Stage::Init => {
                let mut now = staying.clone();
                add(&mut now, of(part));
                raise(&mut at_first, &now);
            }
        }
    }
    raise(&mut together, &at_first);
    together
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::quantity::Amount;

    fn amount(text: &str) -> Option<Amount> {
        Some(Amount::read(text).unwrap())
    }

    fn new(spec: Value, ranges: Value) -> Demand {
        Demand::of_new(&serde_json::from_value(spec).unwrap(), &serde_json::from_value::<Vec<_>>(ranges).unwrap())
            .unwrap()
    }

    fn container(name: &str, cpu: &str, memory: &str) -> Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_that_run_together_add_up_and_overhead_comes_on_top() {
        let demand = new(
            json!({
                "containers": [container("api", "250m", "256Mi"), container("proxy", "50m", "64Mi")],
                "overhead": {"memory": "32Mi"},
            }),
            json!([]),
        );
        assert_eq!(demand.requests.get("cpu").copied(), amount("300m"));
        assert_eq!(demand.requests.get("memory").copied(), amount("352Mi"));
    }

    #[test]
    fn an_init_container_counts_where_it_needs_more_than_all_that_follow_and_beside_the_sidecars_before_it() {
        let mut sidecar = container("mesh", "100m", "100Mi");
        sidecar["restartPolicy"] = json!("Always");
        let demand = new(
            json!({
                "initContainers": [container("early", "400m", "1Mi"), sidecar, container("migrate", "10m", "1Gi")],
                "containers": [container("api", "250m", "256Mi")],
            }),
            json!([]),
        );
        assert_eq!(demand.requests.get("cpu").copied(), amount("400m"));
        assert_eq!(demand.requests.get("memory").copied(), amount("1124Mi"));
    }

    #[test]
    fn a_limit_stands_for_a_missing_request_and_a_limit_range_for_what_is_missing_still() {
        let ranges = json!([{"metadata": {"name": "defaults"}, "spec": {"limits": [
            {"type": "Container", "default": {"memory": "512Mi", "cpu": "1"}, "defaultRequest": {"memory": "128Mi", "cpu": "200m"}},
        ]}}]);
        let demand = new(json!({"containers": [{"name": "api", "resources": {"limits": {"cpu": "500m"}}}]}), ranges);
        assert_eq!(demand.requests.get("cpu").copied(), amount("500m"));
        assert_eq!(demand.requests.get("memory").copied(), amount("128Mi"));
        assert_eq!(demand.limits.get("cpu").copied(), amount("500m"));
        assert_eq!(demand.limits.get("memory").copied(), amount("512Mi"));
    }

    #[test]
    fn what_is_said_for_the_pod_as_a_whole_counts_instead_of_its_containers() {
        let spec = json!({
            "containers": [container("api", "250m", "256Mi")],
            "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
        });
        let demand = new(spec, json!([]));
        assert_eq!(demand.requests.get("cpu").copied(), amount("1"));
        assert_eq!(demand.requests.get("memory").copied(), amount("1Gi"));
    }

    #[test]
    fn a_pod_that_is_being_resized_counts_with_the_larger_amount() {
        let pod = json!({
            "spec": {"containers": [container("api", "250m", "256Mi")]},
            "status": {"containerStatuses": [{
                "name": "api", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": {"cpu": "500m", "memory": "128Mi"},
            }]},
        });
        let requests = Demand::of_running(&serde_json::from_value(pod).unwrap()).unwrap();
        assert_eq!(requests.get("cpu").copied(), amount("500m"));
        assert_eq!(requests.get("memory").copied(), amount("256Mi"));
    }

    #[test]
    fn a_limit_range_that_lets_no_such_pod_in_is_named() {
        let ranges: Vec<LimitRange> =
            serde_json::from_value(json!([{"metadata": {"name": "small"}, "spec": {"limits": [
                {"type": "Container", "max": {"memory": "128Mi"}},
            ]}}]))
            .unwrap();
        let demand = new(json!({"containers": [container("api", "1", "256Mi")]}), json!([]));
        assert_eq!(
            demand.refused_by(&ranges).unwrap().unwrap(),
            "what the limit range small admits (container api has 256 MiB of memory, 128 MiB are allowed)"
        );
        assert_eq!(
            new(json!({"containers": [container("api", "1", "64Mi")]}), json!([])).refused_by(&ranges),
            Ok(None)
        );
    }

    #[test]
    fn an_amount_that_cannot_be_read_is_never_nothing() {
        let spec = serde_json::from_value(json!({"containers": [container("api", "lots", "1")]})).unwrap();
        assert_eq!(Demand::of_new(&spec, &[]).unwrap_err(), "cpu: lots is no amount");
    }

    #[test]
    fn a_pod_that_asks_for_neither_cpu_nor_memory_is_best_effort() {
        assert!(new(json!({"containers": [{"name": "api"}]}), json!([])).is_best_effort());
        assert!(!new(json!({"containers": [container("api", "1m", "0")]}), json!([])).is_best_effort());
    }
}
