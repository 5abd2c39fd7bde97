//! Tools that put back what a repository says, and other programs that hold the count, by the traces that they leave on
//! the workload: labels, annotations, managed fields.
//!
//! Whether the repository says a count at all can be told from these in part only. Where it cannot be told, the tool is
//! named.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use scalebot_commands::ports::Steering;
use scalebot_commands::request::quoted;

use super::At;
use crate::kubernetes::declared::{LastApplied, holds_count, last_applied};
use crate::kubernetes::workload::{MANAGER, Observed};

const ARGO: &str = "argocd-controller";
const KUSTOMIZE: &str = "kustomize-controller";
const HELM: &str = "helm-controller";

/// Programs whose own object was looked at already, or is looked at by its owner.
const KNOWN_OTHERWISE: [&str; 5] = ["kube-controller-manager", "keda-operator", ARGO, KUSTOMIZE, HELM];

/// The tool that deploys from a repository.
///
/// # Errors
/// In words, when the workload's traces cannot be understood.
pub(super) fn from_a_repository(workload: &Observed, at: &At<'_>) -> Result<Option<Steering>, String> {
    let none = BTreeMap::new();
    let labels = workload.meta().labels.as_ref().unwrap_or(&none);
    let annotations = workload.meta().annotations.as_ref().unwrap_or(&none);
    let trace = Trace::of(workload)?;
    let tracked = annotations.get("argocd.argoproj.io/tracking-id").map(|id| id.split(':').next().unwrap_or_default());
    let application = tracked.or(labels.get("argocd.argoproj.io/instance").map(String::as_str));
    if application.is_some() || trace.holds(ARGO) {
        let name = application.map(|name| format!(" {}", quoted(name))).unwrap_or_default();
        return Ok(trace.effect(ARGO).map(|effect| Steering {
            by: format!(
                "Argo CD{}",
                application.map(|name| format!(" application {}", quoted(name))).unwrap_or_default()
            ),
            effect,
            settled_by: format!("take spec.replicas out of the manifest that it applies, then: argocd app sync{name}"),
            hold: None,
        }));
    }
    let off = |key: &str| annotations.get(key).is_some_and(|value| value.eq_ignore_ascii_case("disabled"));
    let flux = |tool: &str| labels.get(&format!("{tool}.toolkit.fluxcd.io/name"));
    let release = flux("helm");
    if release.is_some() || trace.holds(HELM) {
        let key = "helm.toolkit.fluxcd.io/driftDetection";
        return Ok(trace.effect(HELM).filter(|_| !off(key)).map(|effect| Steering {
            by: named("Flux HelmRelease", release),
            effect,
            settled_by: at.kubectl(&format!("annotate {} {key}=disabled", at.object())),
            hold: None,
        }));
    }
    let kustomization = flux("kustomize");
    if kustomization.is_some() || trace.holds(KUSTOMIZE) {
        let key = "kustomize.toolkit.fluxcd.io/reconcile";
        return Ok(trace.effect(KUSTOMIZE).filter(|_| !off(key)).map(|effect| Steering {
            by: named("Flux Kustomization", kustomization),
            effect,
            settled_by: at.kubectl(&format!("annotate {} {key}=disabled", at.object())),
            hold: None,
        }));
    }
    Ok(None)
}

/// A program of another kind that holds the count, by its name: an operator.
pub(super) fn by_a_controller(workload: &Observed, at: &At<'_>) -> Vec<Steering> {
    let holders = workload.meta().managed_fields.iter().flatten().filter(|entry| holds_count(entry));
    let names = holders.filter_map(|entry| entry.manager.as_deref()).filter(|name| {
        let is_program = ["operator", "controller", "autoscaler", "manager"].iter().any(|word| name.ends_with(word));
        is_program && !name.starts_with(MANAGER) && !KNOWN_OTHERWISE.contains(name)
    });
    let one = |name: &str| Steering {
        by: quoted(name),
        effect: "set the count last and may set it again".to_owned(),
        settled_by: format!(
            "stop it from doing so, then set the count once by hand: {}",
            at.kubectl(&format!("scale {} --replicas=N", at.object()))
        ),
        hold: None,
    };
    names.map(one).collect()
}

fn named(kind: &str, name: Option<&String>) -> String {
    name.map_or_else(|| kind.to_owned(), |name| format!("{kind} {}", quoted(name)))
}

/// Who holds the count, and what the configuration applied last says of it.
struct Trace<'a> {
    entries: Vec<&'a ManagedFieldsEntry>,
    applied: LastApplied,
}

impl<'a> Trace<'a> {
    fn of(workload: &'a Observed) -> Result<Self, String> {
        let entries = workload.meta().managed_fields.iter().flatten().collect();
        Ok(Self { entries, applied: last_applied(workload)? })
    }

    /// Whether that manager holds the count as it is.
    fn holds(&self, manager: &str) -> bool {
        self.entries.iter().any(|entry| entry.manager.as_deref() == Some(manager) && holds_count(entry))
    }

    /// What a tool that is at work here does to a count; `None` when its own traces show that it says none.
    fn effect(&self, manager: &str) -> Option<String> {
        if self.holds(manager) {
            return Some("set the count as it is, and would set it back".to_owned());
        }
        match self.applied {
            LastApplied::Count(count) if manager == ARGO => {
                return Some(format!("applies {count} instances, and would set the count back to that"));
            }
            LastApplied::NoCount if manager == ARGO => return None,
            _ => {}
        }
        // What it applies it takes over by force. Applied after the count was last set, and not taken: it says none.
        let last_set = self.entries.iter().filter(|entry| holds_count(entry)).map(|entry| &entry.time).max();
        let applied = self
            .entries
            .iter()
            .filter(|entry| entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply"))
            .map(|entry| &entry.time)
            .max();
        let says_none = match (applied, last_set) {
            (Some(applied), Some(set)) => applied.is_some() && applied > set,
            // Nobody was ever noted to have set it: it is the default of a manifest without a count.
            (Some(_), None) => true,
            (None, _) => false,
        };
        (!says_none).then(|| "deploys this from a repository, and may set the count back".to_owned())
    }
}
