//! Which nodes a pod may use, and what is left on them: allocatable minus what is set aside for every pod that is bound
//! there and has not ended, whoever's it is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Node, NodeSelectorRequirement, NodeSelectorTerm, Pod, PodSpec, Taint, Toleration};
use scalebot_commands::request::quoted;

use super::demand::Demand;
use crate::kubernetes::quantity::{Amount, Amounts, add, amounts};
use crate::kubernetes::selection::{Labels, compares};

/// A port of the node itself: its protocol and number.
pub(super) type HostPort = (String, i32);

/// A node, as far as pods of one template are concerned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Place {
    /// Its name.
    pub(super) name: String,
    /// Its labels.
    pub(super) labels: Labels,
    /// What is left of each resource.
    pub(super) free: Amounts,
    /// How many more pods it takes.
    pub(super) pods: u32,
    /// Its ports that are taken.
    pub(super) ports: BTreeSet<HostPort>,
    /// Whether the pods' node selector and affinity mean it.
    pub(super) is_meant: bool,
    /// Why no new pod goes there although it is meant.
    pub(super) closed: Option<String>,
}

impl Place {
    /// Whether a new pod may go there, room or not.
    pub(super) fn may_be_used(&self) -> bool {
        self.is_meant && self.closed.is_none()
    }
}

/// All nodes with what is left on them, for pods of that template.
///
/// # Errors
/// In words, when something cannot be understood.
pub(super) fn places(nodes: &[Node], pods: &[Pod], spec: &PodSpec) -> Result<Vec<Place>, String> {
    let mut taken: BTreeMap<&str, (Amounts, u32, BTreeSet<HostPort>)> = BTreeMap::new();
    for (node, pod) in bound(pods) {
        let (requests, count, ports) = taken.entry(node).or_default();
        let name = || quoted(pod.metadata.name.as_deref().unwrap_or_default());
        add(requests, &Demand::of_running(pod).map_err(|why| format!("pod {}: {why}", name()))?);
        *count += 1;
        ports.extend(pod.spec.iter().flat_map(host_ports));
    }
    let place = |node: &Node| {
        let name = node.metadata.name.clone().unwrap_or_default();
        let of_this = |why: String| format!("node {}: {why}", quoted(&name));
        let (requests, count, ports) = taken.remove(&*name).unwrap_or_default();
        let status = node.status.as_ref();
        let mut free = amounts(status.and_then(|status| status.allocatable.as_ref())).map_err(of_this)?;
        for (resource, amount) in &mut free {
            *amount = amount.less(requests.get(resource).copied().unwrap_or_default());
        }
        let most = free.get("pods").copied().unwrap_or_default().times(Amount::units(1));
        let labels = node.metadata.labels.clone().unwrap_or_default();
        let is_meant = is_meant(&name, &labels, spec).map_err(of_this)?;
        let closed = closed(node, spec.tolerations.as_deref().unwrap_or_default());
        Ok(Place { name, labels, free, pods: most.saturating_sub(count), ports, is_meant, closed })
    };
    nodes.iter().map(place).collect()
}

/// The pods that are bound to a node and have not ended, with that node.
pub(super) fn bound(pods: &[Pod]) -> impl Iterator<Item = (&str, &Pod)> {
    pods.iter().filter(|pod| !has_ended(pod)).filter_map(|pod| {
        let node = pod.spec.as_ref()?.node_name.as_deref()?;
        (!node.is_empty()).then_some((node, pod))
    })
}

/// Whether a pod holds nothing any more.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// The ports of its node that such a pod takes.
pub(super) fn host_ports(spec: &PodSpec) -> impl Iterator<Item = HostPort> + '_ {
    let on_host = spec.host_network == Some(true);
    let ports = spec.containers.iter().flat_map(|container| container.ports.iter().flatten());
    ports.filter_map(move |port| {
        let number = port.host_port.or(on_host.then_some(port.container_port)).filter(|number| *number > 0)?;
        Some((port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()), number))
    })
}

fn is_meant(name: &str, labels: &Labels, spec: &PodSpec) -> Result<bool, String> {
    let named = spec.node_name.as_deref().is_none_or(|wanted| wanted == name);
    let selected = spec.node_selector.iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required = affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = required else { return Ok(named && selected) };
    let mut fits = false;
    for term in &required.node_selector_terms {
        fits |= fits_term(name, labels, term)?;
    }
    Ok(named && selected && fits)
}

/// All that a term asks for must hold; an empty one means no node at all.
fn fits_term(name: &str, labels: &Labels, term: &NodeSelectorTerm) -> Result<bool, String> {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let mut fits = !expressions.is_empty() || !fields.is_empty();
    for NodeSelectorRequirement { key, operator, values } in expressions {
        fits &= compares(operator, labels.get(key).map(String::as_str), values.as_deref().unwrap_or_default())?;
    }
    for NodeSelectorRequirement { key, operator, values } in fields {
        let value = (key == "metadata.name").then_some(name);
        fits &= compares(operator, value, values.as_deref().unwrap_or_default())?;
    }
    Ok(fits)
}

/// Why a node takes no new pod that tolerates so much.
fn closed(node: &Node, tolerations: &[Toleration]) -> Option<String> {
    let spec = node.spec.as_ref();
    let cordon = Taint {
        key: "node.kubernetes.io/unschedulable".to_owned(),
        effect: "NoSchedule".to_owned(),
        ..Taint::default()
    };
    if spec.and_then(|spec| spec.unschedulable) == Some(true) && !is_tolerated(&cordon, tolerations) {
        return Some("cordoned".to_owned());
    }
    let ready = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready = ready.into_iter().flatten().find(|condition| condition.type_ == "Ready");
    // The taint that says so follows some seconds later.
    if ready.is_some_and(|ready| ready.status != "True") {
        return Some("not ready".to_owned());
    }
    let taints = spec.and_then(|spec| spec.taints.as_ref());
    let taint = taints
        .into_iter()
        .flatten()
        .find(|taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute") && !is_tolerated(taint, tolerations))?;
    Some(format!("tainted {}", quoted(&taint.key)))
}

fn is_tolerated(taint: &Taint, tolerations: &[Toleration]) -> bool {
    tolerations.iter().any(|toleration| {
        let given = |text: &Option<String>| text.clone().unwrap_or_default();
        let (key, effect) = (given(&toleration.key), given(&toleration.effect));
        let value = match &*given(&toleration.operator) {
            "Exists" => true,
            // An empty key means every taint, but only where it is asked whether there is one.
            "" | "Equal" => !key.is_empty() && given(&toleration.value) == given(&taint.value),
            _ => false,
        };
        value && (key.is_empty() || key == taint.key) && (effect.is_empty() || effect == taint.effect)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, labels: Value, spec: Value) -> Value {
        let allocatable = json!({"cpu": "4", "memory": "8Gi", "pods": "10"});
        json!({"metadata": {"name": name, "labels": labels}, "spec": spec, "status": {"allocatable": allocatable}})
    }

    fn of(node: Value, pods: Value, spec: Value) -> Place {
        let mut spec = spec;
        spec["containers"] = spec.get("containers").cloned().unwrap_or(json!([]));
        let spec = serde_json::from_value(spec).unwrap();
        let pods = serde_json::from_value::<Vec<Pod>>(pods).unwrap();
        places(&[serde_json::from_value(node).unwrap()], &pods, &spec).unwrap().remove(0)
    }

    fn may(node: Value, spec: Value) -> bool {
        of(node, json!([]), spec).may_be_used()
    }

    #[test]
    fn what_is_left_is_allocatable_minus_the_requests_of_every_pod_there_that_has_not_ended() {
        let pod = |node: &str, phase: &str| {
            json!({
                "spec": {"nodeName": node, "containers": [{"name": "c", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]},
                "status": {"phase": phase},
            })
        };
        let pods = json!([
            pod("n1", "Running"),
            pod("n1", "Pending"),
            pod("n1", "Succeeded"),
            pod("n1", "Failed"),
            pod("n2", "Running"),
            pod("", "Pending"),
        ]);
        let place = of(node("n1", json!({}), json!({})), pods, json!({}));
        assert_eq!(place.free.get("cpu"), Some(&Amount::units(2)));
        assert_eq!(place.free.get("memory").map(|free| free.of("memory").to_string()).as_deref(), Some("6 GiB"));
        assert_eq!(place.pods, 8);
    }

    #[test]
    fn a_taint_closes_a_node_to_pods_that_do_not_tolerate_it() {
        let tainted =
            |effect: &str| node("n", json!({}), json!({"taints": [{"key": "team", "value": "a", "effect": effect}]}));
        let tolerating = |toleration: Value| json!({"tolerations": [toleration]});
        for (toleration, is_open) in [
            (json!({"key": "team", "value": "a", "effect": "NoSchedule"}), true),
            (json!({"key": "team", "operator": "Exists"}), true),
            (json!({"operator": "Exists"}), true),
            (json!({"key": "team", "value": "b"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"key": "team", "value": "a", "effect": "NoExecute"}), false),
            (json!({"key": "team", "operator": "Lt", "value": "a"}), false),
        ] {
            assert_eq!(may(tainted("NoSchedule"), tolerating(toleration.clone())), is_open, "{toleration}");
        }
        assert!(!may(tainted("NoExecute"), json!({})));
        assert!(may(tainted("PreferNoSchedule"), json!({})));
        assert_eq!(of(tainted("NoSchedule"), json!([]), json!({})).closed.as_deref(), Some("tainted team"));
    }

    #[test]
    fn a_cordoned_node_and_one_that_is_not_ready_take_no_new_pods() {
        let cordoned = node("n", json!({}), json!({"unschedulable": true}));
        assert_eq!(of(cordoned, json!([]), json!({})).closed.as_deref(), Some("cordoned"));
        let mut unready = node("n", json!({}), json!({}));
        unready["status"]["conditions"] = json!([{"type": "Ready", "status": "Unknown"}]);
        assert_eq!(of(unready, json!([]), json!({})).closed.as_deref(), Some("not ready"));
    }

    #[test]
    fn a_node_selector_and_a_required_affinity_must_both_mean_it() {
        let ssd = || node("n1", json!({"disk": "ssd", "cores": "8"}), json!({}));
        let affinity = |terms: Value| {
            json!({"affinity": {"nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms},
            }}})
        };
        assert!(may(ssd(), json!({"nodeSelector": {"disk": "ssd"}})));
        assert!(!may(ssd(), json!({"nodeSelector": {"disk": "hdd"}})));
        let more = |cores: &str| json!({"key": "cores", "operator": "Gt", "values": [cores]});
        assert!(may(ssd(), affinity(json!([{"matchExpressions": [more("9")]}, {"matchExpressions": [more("4")]}]))));
        assert!(!may(
            ssd(),
            affinity(json!([{"matchExpressions": [more("4"), {"key": "gpu", "operator": "Exists"}]}]))
        ));
        assert!(!may(ssd(), affinity(json!([{}]))));
        let named = |name: &str| json!({"key": "metadata.name", "operator": "In", "values": [name]});
        assert!(may(ssd(), affinity(json!([{"matchFields": [named("n1")]}]))));
        assert!(!may(ssd(), affinity(json!([{"matchFields": [named("n2")]}]))));
        let mut both = affinity(json!([{"matchFields": [named("n1")]}]));
        both["nodeSelector"] = json!({"disk": "hdd"});
        assert!(!may(ssd(), both));
    }

    #[test]
    fn a_port_of_the_node_is_taken_by_whoever_is_on_its_network() {
        let ports = json!([{"containerPort": 80, "hostPort": 8080}, {"containerPort": 9000}]);
        let pod = |on_host: bool| json!([{"spec": {"nodeName": "n", "hostNetwork": on_host, "containers": [{"name": "c", "ports": ports}]}}]);
        let taken = |on_host| of(node("n", json!({}), json!({})), pod(on_host), json!({})).ports;
        assert_eq!(taken(false), BTreeSet::from([("TCP".to_owned(), 8080)]));
        assert_eq!(taken(true), BTreeSet::from([("TCP".to_owned(), 8080), ("TCP".to_owned(), 9000)]));
    }
}
