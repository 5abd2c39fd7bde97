//! Where the scheduler could put one pod after the other, until no node takes the next.
//!
//! Counted are resources, pods per node, ports of the node, required affinity and anti-affinity between pods (both ways
//! round), and spreads that may not be broken. Not counted are preferences, which refuse nobody, and volumes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm, PodSpec, TopologySpreadConstraint};
use scalebot_commands::request::quoted;

use super::Tight;
use super::demand::Demand;
use super::nodes::{HostPort, Place, bound, host_ports};
use crate::kubernetes::quantity::Amount;
use crate::kubernetes::selection::{Labels, selects};

/// The pod that is to be placed, again and again.
pub(super) struct Newcomer<'a> {
    pub(super) namespace: &'a str,
    pub(super) labels: &'a Labels,
    pub(super) spec: &'a PodSpec,
    pub(super) demand: &'a Demand,
}

/// A part of the cluster: a node's label and its value there.
type Domain = (String, String);

/// Why a node does not take the next pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Full {
    Resource(String),
    Pods,
    Ports,
    Apart,
    Together,
    Spread,
}

/// How many such pods find a place, at most that many, and what is in the way of the next.
///
/// # Errors
/// In words, when something cannot be understood.
pub(super) fn placed(places: &[Place], pods: &[Pod], newcomer: &Newcomer<'_>, most: u32) -> Result<Tight, String> {
    let mut room = Room::new(places, pods, newcomer)?;
    for fits in 0..most {
        if !room.place_one() {
            return Ok(Tight { fits, runs_out: room.in_the_way() });
        }
    }
    Ok(Tight { fits: most, runs_out: String::new() })
}

struct Room<'a> {
    places: Vec<Place>,
    needs: Vec<(&'a str, Amount)>,
    ports: BTreeSet<HostPort>,
    /// Where anti-affinity lets no such pod in.
    apart: BTreeSet<Domain>,
    /// The labels of nodes at which such pods keep away from each other.
    keeps_apart: Vec<String>,
    /// The labels of nodes at which it must be together with others, and where these are.
    together: Vec<String>,
    company: BTreeSet<Domain>,
    /// Whether one such pod is company for the next.
    is_company: bool,
    spreads: Vec<Spread>,
}

struct Spread {
    key: String,
    most: u64,
    least_domains: usize,
    /// Whether such a pod counts itself.
    counts_itself: bool,
    /// How many pods there are in each part.
    parts: BTreeMap<String, u64>,
    /// Whether each node is counted.
    counted: Vec<bool>,
}

impl Spread {
    fn least(&self) -> u64 {
        if self.parts.len() < self.least_domains { 0 } else { self.parts.values().copied().min().unwrap_or(0) }
    }

    fn takes(&self, place: &Place) -> bool {
        let Some(part) = place.labels.get(&self.key) else { return false };
        let there = self.parts.get(part).copied().unwrap_or(0) + u64::from(self.counts_itself);
        there.saturating_sub(self.least()) <= self.most
    }
}

impl<'a> Room<'a> {
    fn new(places: &[Place], pods: &[Pod], newcomer: &Newcomer<'a>) -> Result<Self, String> {
        let terms = Terms::of(newcomer.spec);
        let by_name: BTreeMap<&str, &Place> = places.iter().map(|place| (place.name.as_str(), place)).collect();
        let there: Vec<(&Place, &Pod)> =
            bound(pods).filter_map(|(node, pod)| Some((*by_name.get(node)?, pod))).collect();
        let (mut apart, mut company) = (BTreeSet::new(), BTreeSet::new());
        for (place, pod) in &there {
            let (namespace, labels) = identity(pod);
            for term in terms.apart {
                if means(term, (newcomer.namespace, newcomer.labels), (namespace, &labels), true)? {
                    apart.extend(domain(place, &term.topology_key));
                }
            }
            // Those that are there keep newcomers away as well.
            for term in pod.spec.as_ref().map(|spec| Terms::of(spec).apart).unwrap_or_default() {
                if means(term, (namespace, &labels), (newcomer.namespace, newcomer.labels), true)? {
                    apart.extend(domain(place, &term.topology_key));
                }
            }
            if is_company(terms.together, newcomer, (namespace, &labels))? {
                company.extend(terms.together.iter().filter_map(|term| domain(place, &term.topology_key)));
            }
        }
        let itself = (newcomer.namespace, newcomer.labels);
        let mut keeps_apart = Vec::new();
        for term in terms.apart {
            if means(term, itself, itself, true)? {
                keeps_apart.push(term.topology_key.clone());
            }
        }
        Ok(Self {
            needs: newcomer.demand.requests.iter().map(|(name, amount)| (name.as_str(), *amount)).collect(),
            ports: host_ports(newcomer.spec).collect(),
            apart,
            keeps_apart,
            together: terms.together.iter().map(|term| term.topology_key.clone()).collect(),
            company,
            is_company: is_company(terms.together, newcomer, itself)?,
            spreads: spreads(places, &there, newcomer)?,
            places: places.to_vec(),
        })
    }

    /// Puts one pod where the spread wants it most, and of these where most is left.
    fn place_one(&mut self) -> bool {
        let open = (0..self.places.len()).filter(|index| self.full(&self.places[*index]).is_none());
        let best = open.filter(|index| self.places[*index].may_be_used()).min_by_key(|index| {
            let place = &self.places[*index];
            let there: Vec<u64> = self.spreads.iter().map(|spread| part_of(spread, place)).collect();
            (there, Reverse(self.times(place)))
        });
        let Some(index) = best else { return false };
        for spread in &mut self.spreads {
            let part = self.places[index].labels.get(&spread.key).filter(|_| spread.counted[index]);
            if let Some(count) = part.and_then(|part| spread.parts.get_mut(part)) {
                *count += u64::from(spread.counts_itself);
            }
        }
        let place = &self.places[index];
        self.apart.extend(self.keeps_apart.iter().filter_map(|key| domain(place, key)));
        if self.is_company {
            self.company.extend(self.together.iter().filter_map(|key| domain(place, key)));
        }
        let place = &mut self.places[index];
        for (resource, amount) in &self.needs {
            if let Some(free) = place.free.get_mut(*resource) {
                *free = free.less(*amount);
            }
        }
        place.pods -= 1;
        place.ports.extend(self.ports.iter().cloned());
        true
    }

    /// Why a node does not take the next pod; `None` when it does.
    fn full(&self, place: &Place) -> Option<Full> {
        let lacks = |(resource, amount): &&(&str, Amount)| {
            !amount.is_zero() && place.free.get(*resource).copied().unwrap_or_default() < *amount
        };
        if let Some((resource, _)) = self.needs.iter().find(lacks) {
            return Some(Full::Resource((*resource).to_owned()));
        }
        if place.pods == 0 {
            return Some(Full::Pods);
        }
        if self.ports.iter().any(|port| place.ports.contains(port)) {
            return Some(Full::Ports);
        }
        if place.labels.iter().any(|(key, value)| self.apart.contains(&(key.clone(), value.clone()))) {
            return Some(Full::Apart);
        }
        let has_all = self.together.iter().all(|key| place.labels.contains_key(key));
        let has_company =
            self.together.iter().all(|key| domain(place, key).is_some_and(|domain| self.company.contains(&domain)));
        // The first of those that want to be together with each other goes anywhere.
        if !has_all || !(has_company || (self.company.is_empty() && self.is_company)) {
            return Some(Full::Together);
        }
        (!self.spreads.iter().all(|spread| spread.takes(place))).then_some(Full::Spread)
    }

    /// How many such pods a node has resources for.
    fn times(&self, place: &Place) -> u32 {
        let needs = self.needs.iter().filter(|(_, amount)| !amount.is_zero());
        let each = needs.map(|(name, amount)| place.free.get(*name).copied().unwrap_or_default().times(*amount));
        each.chain([place.pods]).min().unwrap_or(0)
    }

    /// What is in the way of the next pod on most of the nodes that it may use.
    fn in_the_way(&self) -> String {
        let usable: Vec<&Place> = self.places.iter().filter(|place| place.may_be_used()).collect();
        if usable.is_empty() {
            return format!("the room on nodes that such a pod may use ({})", self.unusable());
        }
        let mut counted: BTreeMap<Full, usize> = BTreeMap::new();
        for full in usable.iter().filter_map(|place| self.full(place)) {
            *counted.entry(full).or_default() += 1;
        }
        let most = counted.into_iter().max_by_key(|(full, count)| (*count, Reverse(full.clone())));
        let nodes = match usable.len() {
            1 => "the one node that such a pod may use".to_owned(),
            count => format!("the {count} nodes that such a pod may use"),
        };
        match most.map(|(full, _)| full) {
            Some(Full::Resource(resource)) => {
                let needed = self.needs.iter().find(|(name, _)| *name == resource);
                let needed = needed.map(|(_, amount)| *amount).unwrap_or_default();
                let free = usable.iter().filter_map(|place| place.free.get(&resource).copied()).max();
                let free = free.unwrap_or_default();
                let name = if resource == "cpu" { "CPU".to_owned() } else { quoted(&resource) };
                let (needed, free) = (needed.of(&resource), free.of(&resource));
                format!("{name} on {nodes} (a pod takes {needed}; the most that is free on one is {free})")
            }
            Some(Full::Pods) => format!("the number of pods on {nodes}"),
            Some(Full::Ports) => {
                let ports: Vec<String> = self.ports.iter().map(|(_, number)| number.to_string()).collect();
                format!("the host port {} on {nodes}", ports.join(", "))
            }
            Some(Full::Apart) => format!("the room that anti-affinity between pods leaves on {nodes}"),
            Some(Full::Together) => format!("the room on {nodes} beside the pods that they must be with (affinity)"),
            Some(Full::Spread) | None => format!("the room that the pods' even spread leaves on {nodes}"),
        }
    }

    /// How many nodes there are, and why none of them is meant.
    fn unusable(&self) -> String {
        let mut why: BTreeMap<&str, usize> = BTreeMap::new();
        for place in &self.places {
            let reason = if place.is_meant { place.closed.as_deref().unwrap_or_default() } else { "not selected" };
            *why.entry(reason).or_default() += 1;
        }
        let mut why: Vec<_> = why.into_iter().collect();
        why.sort_by_key(|(_, count)| Reverse(*count));
        let why: Vec<String> = why.iter().take(3).map(|(reason, count)| format!("{count} {reason}")).collect();
        match self.places.len() {
            0 => "there are no nodes".to_owned(),
            1 => format!("the only node: {}", why.join(", ")),
            nodes => format!("none of {nodes}: {}", why.join(", ")),
        }
    }
}

/// What a pod requires of those around it.
struct Terms<'a> {
    apart: &'a [PodAffinityTerm],
    together: &'a [PodAffinityTerm],
}

impl<'a> Terms<'a> {
    fn of(spec: &'a PodSpec) -> Self {
        let affinity = spec.affinity.as_ref();
        let apart = affinity.and_then(|affinity| affinity.pod_anti_affinity.as_ref());
        let together = affinity.and_then(|affinity| affinity.pod_affinity.as_ref());
        let apart = apart.and_then(|terms| terms.required_during_scheduling_ignored_during_execution.as_deref());
        let together = together.and_then(|terms| terms.required_during_scheduling_ignored_during_execution.as_deref());
        Self { apart: apart.unwrap_or_default(), together: together.unwrap_or_default() }
    }
}

/// Whether a term of one pod means another. A selector of namespaces by their labels cannot be looked up here: whether it
/// means one is then what is `assumed`.
fn means(
    term: &PodAffinityTerm,
    (own_namespace, own): (&str, &Labels),
    (namespace, labels): (&str, &Labels),
    assumed: bool,
) -> Result<bool, String> {
    let named = term.namespaces.as_deref().unwrap_or_default();
    let in_namespace = match &term.namespace_selector {
        None if named.is_empty() => namespace == own_namespace,
        None => named.iter().any(|name| name == namespace),
        Some(selector) if *selector == Default::default() => true,
        Some(_) => assumed || named.iter().any(|name| name == namespace),
    };
    let Some(selector) = term.label_selector.as_ref().filter(|_| in_namespace) else { return Ok(false) };
    let same = |key: &String| own.get(key).is_none_or(|value| labels.get(key) == Some(value));
    let other = |key: &String| own.get(key).is_none_or(|value| labels.get(key) != Some(value));
    Ok(selects(selector, labels)?
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(other))
}

/// Whether a pod is one of those that the newcomer must be together with: all its terms must mean it.
fn is_company(terms: &[PodAffinityTerm], of: &Newcomer<'_>, pod: (&str, &Labels)) -> Result<bool, String> {
    let mut all = !terms.is_empty();
    for term in terms {
        all &= means(term, (of.namespace, of.labels), pod, false)?;
    }
    Ok(all)
}

fn spreads(places: &[Place], there: &[(&Place, &Pod)], newcomer: &Newcomer<'_>) -> Result<Vec<Spread>, String> {
    let constraints = newcomer.spec.topology_spread_constraints.as_deref().unwrap_or_default();
    let hard: Vec<&TopologySpreadConstraint> =
        constraints.iter().filter(|constraint| constraint.when_unsatisfiable == "DoNotSchedule").collect();
    let has_all = |place: &Place| hard.iter().all(|constraint| place.labels.contains_key(&constraint.topology_key));
    let mut spreads = Vec::new();
    for constraint in &hard {
        let by_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
        let by_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
        let is_counted = |place: &Place| {
            has_all(place) && (place.is_meant || !by_affinity) && (place.closed.is_none() || !by_taints)
        };
        let counted: Vec<bool> = places.iter().map(is_counted).collect();
        let mut parts = BTreeMap::new();
        for (place, _) in places.iter().zip(&counted).filter(|(_, counted)| **counted) {
            if let Some(part) = place.labels.get(&constraint.topology_key) {
                parts.insert(part.clone(), 0);
            }
        }
        let means = |labels: &Labels| -> Result<bool, String> {
            let Some(selector) = &constraint.label_selector else { return Ok(false) };
            let same = |key: &String| newcomer.labels.get(key).is_none_or(|value| labels.get(key) == Some(value));
            Ok(selects(selector, labels)? && constraint.match_label_keys.iter().flatten().all(same))
        };
        for (place, pod) in there {
            let (namespace, labels) = identity(pod);
            let leaves = pod.metadata.deletion_timestamp.is_some();
            if namespace != newcomer.namespace || leaves || !is_counted(place) || !means(&labels)? {
                continue;
            }
            if let Some(count) = place.labels.get(&constraint.topology_key).and_then(|part| parts.get_mut(part)) {
                *count += 1;
            }
        }
        spreads.push(Spread {
            key: constraint.topology_key.clone(),
            most: u64::try_from(constraint.max_skew).unwrap_or(0),
            least_domains: constraint.min_domains.and_then(|least| usize::try_from(least).ok()).unwrap_or(1),
            counts_itself: means(newcomer.labels)?,
            parts,
            counted,
        });
    }
    Ok(spreads)
}

fn part_of(spread: &Spread, place: &Place) -> u64 {
    place.labels.get(&spread.key).and_then(|part| spread.parts.get(part)).copied().unwrap_or(0)
}

fn domain(place: &Place, key: &str) -> Option<Domain> {
    place.labels.get(key).map(|value| (key.to_owned(), value.clone()))
}

fn identity(pod: &Pod) -> (&str, Labels) {
    (pod.metadata.namespace.as_deref().unwrap_or_default(), pod.metadata.labels.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests;
