//! The workload itself, a Deployment or a `StatefulSet`, and the pods that are its own. A selector alone does not say whose
//! a pod is: another workload's pods may carry the same labels. So ownership is followed, by uid.

use futures::try_join;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentStatus, ReplicaSet, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};
use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use scalebot_commands::units::{Replicas, Timestamp};

use super::objects::Which;
use super::server::{Refusal, Server, unreadable};
use super::settings::{Settings, Workload};

/// How the field manager of every change of ours begins; the operation follows.
pub(super) const MANAGER: &str = "scalebot-";

/// How much of a controller's own words is repeated, in characters.
const QUOTED: usize = 200;

/// The workload as it was read just now.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Observed {
    kind: &'static str,
    metadata: ObjectMeta,
    wanted: Replicas,
    selector: String,
    template: PodTemplateSpec,
    paused: bool,
    /// The number of a StatefulSet's first pod.
    first: u32,
    counts: Counts,
    conditions: Vec<Condition>,
}

/// What its controller says that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Of which generation the controller speaks.
    pub(super) generation: i64,
    /// Pods that have not ended and are not on their way out.
    pub(super) replicas: i32,
    /// Of these, ready.
    pub(super) ready: i32,
    /// Of these, made from the present template.
    pub(super) updated: i32,
}

/// A condition as a controller writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// What it is about: `Progressing`, `ReplicaFailure`.
    pub(super) about: String,
    /// `True`, `False` or `Unknown`.
    pub(super) status: String,
    /// One word.
    pub(super) reason: String,
    /// The controller's sentence, as it wrote it.
    pub(super) message: String,
    /// Since when it is so.
    pub(super) since: Option<Timestamp>,
}

/// Who set the count, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetBy {
    /// The field manager.
    pub(super) manager: String,
    /// When, to the second.
    pub(super) at: Option<Timestamp>,
}

impl SetBy {
    /// Which operation of ours that was; `None` when it was somebody else.
    pub(super) fn operation(&self) -> Option<&str> {
        self.manager.strip_prefix(MANAGER)
    }
}

impl Observed {
    /// Its name, uid, versions and managed fields.
    pub(super) fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// How many pods are wanted.
    pub(super) fn wanted(&self) -> Replicas {
        self.wanted
    }

    /// The label selector of its pods, as a query has it.
    pub(super) fn selector(&self) -> String {
        self.selector.clone()
    }

    /// From what its pods are made.
    pub(super) fn template(&self) -> &PodTemplateSpec {
        &self.template
    }

    /// `Deployment` or `StatefulSet`.
    pub(super) fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether its rollouts are stopped by a person.
    pub(super) fn paused(&self) -> bool {
        self.paused
    }

    /// The number that the first pod of a `StatefulSet` has in its name.
    pub(super) fn first_ordinal(&self) -> u32 {
        self.first
    }

    /// What its controller counts.
    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    /// That condition, where it holds.
    pub(super) fn holds(&self, about: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.about == about && condition.status == "True")
    }

    /// Its uid: another workload under the same name has another.
    pub(super) fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Changes with every change of anything.
    pub(super) fn version(&self) -> &str {
        self.metadata.resource_version.as_deref().unwrap_or_default()
    }

    /// Whether its controller speaks of the workload as it is now.
    pub(super) fn is_seen_by_its_controller(&self) -> bool {
        self.metadata.generation.is_some_and(|generation| self.counts.generation >= generation)
    }

    /// In words, the rollout that is under way; `None` when there is none. A change of the count alone is none, except for
    /// the moment that the controller needs to see it.
    pub(super) fn rollout_under_way(&self) -> Option<String> {
        if !self.is_seen_by_its_controller() {
            return Some("its controller has not acted on the latest change yet".to_owned());
        }
        let Counts { replicas, updated, .. } = self.counts;
        let progress = self.conditions.iter().find(|condition| condition.about == "Progressing");
        match progress {
            // Stays so while the count changes, and from the end of one rollout to the start of the next.
            Some(condition) if condition.reason == "NewReplicaSetAvailable" => None,
            Some(condition) if condition.reason == "ProgressDeadlineExceeded" => {
                Some(format!("a rollout that is stuck: {}", escaped(&condition.message, QUOTED)))
            }
            _ if replicas > updated => {
                Some(format!("{} of {replicas} pods are still of an earlier version", replicas - updated))
            }
            Some(condition) if matches!(&*condition.reason, "NewReplicaSetCreated" | "ReplicaSetUpdated") => {
                Some("its first pods, or those of a new version, are not all available yet".to_owned())
            }
            _ => None,
        }
    }

    /// Who set the count as it is. Where ours and another manager both hold it, ours set it: a count that is set to what it
    /// is already, by an apply, is only shared.
    pub(super) fn set_by(&self) -> Option<SetBy> {
        let mut holders: Vec<SetBy> = self
            .metadata
            .managed_fields
            .iter()
            .flatten()
            .filter_map(|entry| {
                let fields = entry.fields_v1.as_ref()?;
                fields.0.get("f:spec")?.get("f:replicas")?;
                Some(SetBy { manager: entry.manager.clone()?, at: entry.time.as_ref().map(|time| time.0) })
            })
            .collect();
        holders.sort_by_key(|holder| (holder.operation().is_some(), holder.at));
        holders.pop()
    }
}

/// Reads the workload afresh.
///
/// # Errors
/// [`PortError::Gone`] when there is none of that name (any more).
pub(super) async fn read(server: &Server, settings: &Settings) -> Result<Observed, PortError> {
    let namespace = Some(&*settings.namespace);
    let workload = settings.workload().map_err(|unusable| unreadable(&unusable.to_string()))?;
    match workload {
        Workload::Deployment(name) => {
            let found =
                server.get::<Deployment>(namespace, name).await?.map_err(|no| absent(no, "Deployment", name))?;
            from_deployment(found).map_err(|what| nonsense("Deployment", name, what))
        }
        Workload::StatefulSet(name) => {
            let found =
                server.get::<StatefulSet>(namespace, name).await?.map_err(|no| absent(no, "StatefulSet", name))?;
            from_stateful_set(found).map_err(|what| nonsense("StatefulSet", name, what))
        }
    }
}

/// The pods that are its own, whatever state they are in.
pub(super) async fn pods(server: &Server, settings: &Settings, of: &Observed) -> Result<Vec<Pod>, PortError> {
    let (owners, pods) = try_join!(owners(server, settings, of), labelled(server, settings, of))?;
    Ok(owned(pods.0, &owners))
}

/// Every pod that carries its labels, and the version at which that was so.
pub(super) async fn labelled(
    server: &Server,
    settings: &Settings,
    of: &Observed,
) -> Result<(Vec<Pod>, String), PortError> {
    let selector = of.selector();
    let which = Which { namespace: Some(&settings.namespace), labels: Some(&selector), fields: None };
    server.list::<Pod>(&which).await?.map_err(Refusal::error)
}

/// What controls its pods on its behalf.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Owners {
    /// The uids of those that a pod of its own has as its controller.
    pub(super) uids: Vec<String>,
    /// A Deployment's `ReplicaSet`s, those without pods included.
    pub(super) replica_sets: Vec<ReplicaSet>,
}

/// What controls its pods: a Deployment's `ReplicaSet`s, or the `StatefulSet` itself.
pub(super) async fn owners(server: &Server, settings: &Settings, of: &Observed) -> Result<Owners, PortError> {
    if of.kind() == "StatefulSet" {
        return Ok(Owners { uids: vec![of.uid().to_owned()], replica_sets: Vec::new() });
    }
    let selector = of.selector();
    let which = Which { namespace: Some(&settings.namespace), labels: Some(&selector), fields: None };
    let (mut replica_sets, _) = server.list::<ReplicaSet>(&which).await?.map_err(Refusal::error)?;
    replica_sets.retain(|set| controller(&set.metadata) == Some(of.uid()));
    let uids = replica_sets.iter().filter_map(|set| set.metadata.uid.clone()).collect();
    Ok(Owners { uids, replica_sets })
}

/// Those of the pods that one of the owners controls.
pub(super) fn owned(mut pods: Vec<Pod>, owners: &Owners) -> Vec<Pod> {
    pods.retain(|pod| controller(&pod.metadata).is_some_and(|uid| owners.uids.iter().any(|owner| owner == uid)));
    pods
}

/// The uid of what controls an object.
pub(super) fn controller(of: &ObjectMeta) -> Option<&str> {
    let owners = of.owner_references.as_deref().unwrap_or_default();
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| &*owner.uid)
}

fn absent(refusal: Refusal, kind: &str, name: &str) -> PortError {
    // A 404 in other words than the API server's own comes from something in between, which knows nothing of the workload.
    if refusal.is_not_found() && refusal.reason == "NotFound" {
        return PortError::Gone { what: format!("{kind} {name}"), detail: refusal.sentence() };
    }
    refusal.error()
}

fn nonsense(kind: &str, name: &str, what: &str) -> PortError {
    unreadable(&format!("{kind} {name} {what}"))
}

pub(super) fn from_deployment(found: Deployment) -> Result<Observed, &'static str> {
    let Deployment { metadata, spec, status } = found;
    let spec = spec.ok_or("has no spec")?;
    let DeploymentStatus { conditions, observed_generation, ready_replicas, replicas, updated_replicas, .. } =
        status.unwrap_or_default();
    let conditions = conditions.unwrap_or_default().into_iter().map(|condition| Condition {
        about: condition.type_,
        status: condition.status,
        reason: condition.reason.unwrap_or_default(),
        message: condition.message.unwrap_or_default(),
        since: condition.last_transition_time.map(|time| time.0),
    });
    whole(Observed {
        kind: "Deployment",
        metadata,
        wanted: wanted(spec.replicas)?,
        selector: query(&spec.selector)?,
        template: spec.template,
        paused: spec.paused == Some(true),
        first: 0,
        counts: Counts {
            generation: observed_generation.unwrap_or_default(),
            replicas: replicas.unwrap_or_default(),
            ready: ready_replicas.unwrap_or_default(),
            updated: updated_replicas.unwrap_or_default(),
        },
        conditions: conditions.collect(),
    })
}

pub(super) fn from_stateful_set(found: StatefulSet) -> Result<Observed, &'static str> {
    let StatefulSet { metadata, spec, status } = found;
    let spec = spec.ok_or("has no spec")?;
    let StatefulSetStatus {
        conditions,
        current_revision,
        observed_generation,
        ready_replicas,
        replicas,
        update_revision,
        updated_replicas,
        ..
    } = status.unwrap_or_default();
    let conditions = conditions.unwrap_or_default().into_iter().map(|condition| Condition {
        about: condition.type_,
        status: condition.status,
        reason: condition.reason.unwrap_or_default(),
        message: condition.message.unwrap_or_default(),
        since: condition.last_transition_time.map(|time| time.0),
    });
    // Between rollouts both revisions are one, and all pods are of it, whatever the count of updated ones says.
    let settled = current_revision == update_revision;
    whole(Observed {
        kind: "StatefulSet",
        metadata,
        wanted: wanted(spec.replicas)?,
        selector: query(&spec.selector)?,
        template: spec.template,
        paused: false,
        first: spec.ordinals.and_then(|ordinals| u32::try_from(ordinals.start?).ok()).unwrap_or_default(),
        counts: Counts {
            generation: observed_generation.unwrap_or_default(),
            replicas,
            ready: ready_replicas.unwrap_or_default(),
            updated: if settled { replicas } else { updated_replicas.unwrap_or_default() },
        },
        conditions: conditions.collect(),
    })
}

/// What is compared later must be there now: two that are both absent would be equal.
fn whole(observed: Observed) -> Result<Observed, &'static str> {
    let metadata = &observed.metadata;
    let there = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if there(&metadata.uid) && there(&metadata.resource_version) && metadata.generation.is_some() {
        Ok(observed)
    } else {
        Err("has no uid, version or generation")
    }
}

fn wanted(replicas: Option<i32>) -> Result<Replicas, &'static str> {
    // The API server fills it in; one that does not means its default.
    u32::try_from(replicas.unwrap_or(1)).map(Replicas).map_err(|_| "wants fewer than no pods")
}

/// A label selector as a query has it.
fn query(selector: &LabelSelector) -> Result<String, &'static str> {
    let labels = selector.match_labels.iter().flatten().map(|(key, value)| format!("{key}={value}"));
    let mut terms: Vec<String> = labels.collect();
    for LabelSelectorRequirement { key, operator, values } in selector.match_expressions.iter().flatten() {
        let values = values.as_deref().unwrap_or_default().join(",");
        terms.push(match &**operator {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.clone(),
            "DoesNotExist" => format!("!{key}"),
            _ => return Err("has a selector that this program does not know"),
        });
    }
    // An empty selector would mean every pod of the namespace.
    if terms.is_empty() { Err("has a selector that selects nothing") } else { Ok(terms.join(",")) }
}

#[cfg(test)]
mod tests;
