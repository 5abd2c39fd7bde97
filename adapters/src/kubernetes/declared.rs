//! The count that the next deployment will set, where it is written down: in a file that the configuration names, else in
//! what the cluster keeps of whoever applied the workload last.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use scalebot_commands::ports::{Declared, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;
use serde_json::Value;

use super::server::{Server, unreadable};
use super::settings::{DeclaredIn, Settings};
use super::workload::Observed;
use crate::yaml;

/// Where `kubectl apply` keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Who sets what a file or a chart says, by its field manager, when an order of an apply does not say so itself.
const APPLIERS: [&str; 5] = ["kubectl-client-side-apply", "kubectl-create", "kubectl-replace", "helm", "Helm"];

/// The count that is written down, and where; `None` where nobody keeps it.
///
/// # Errors
/// When the file that is configured cannot be read, or does not say it for certain.
pub(super) async fn declared(
    _server: &Server,
    settings: &Settings,
    workload: &Observed,
) -> Result<Option<Declared>, PortError> {
    match &settings.declared {
        Some(place) => in_file(place, workload).await.map(Some),
        None => in_cluster(workload).map_err(|why| unreadable(&why)),
    }
}

async fn in_file(place: &DeclaredIn, workload: &Observed) -> Result<Declared, PortError> {
    let what = place.file.display().to_string();
    let wrong = |detail: String| PortError::Unreadable { what: what.clone(), detail };
    let text = yaml::contents(&place.file).await.map_err(wrong)?;
    let yaml::Line { number, text, count } =
        yaml::line(&text, &place.key, workload.kind(), workload.name()).map_err(wrong)?;
    Ok(Declared { count: Replicas(count), place: format!("{what}, line {number}"), line: text })
}

/// What the cluster keeps: the configuration applied last, else the manager that applied the count as it is.
fn in_cluster(workload: &Observed) -> Result<Option<Declared>, String> {
    let (kind, name) = (workload.kind(), quoted(workload.name()));
    if let LastApplied::Count(count) = last_applied(workload)? {
        return Ok(Some(Declared {
            count: Replicas(count),
            place: format!("the last-applied configuration of {kind} {name}"),
            line: format!("replicas: {count}"),
        }));
    }
    let entries = workload.meta().managed_fields.iter().flatten();
    let applier = entries.filter(|entry| holds_count(entry)).find_map(applier);
    Ok(applier.map(|manager| Declared {
        count: workload.wanted(),
        place: format!("what {} applied to {kind} {name}", quoted(manager)),
        line: format!("replicas: {}", workload.wanted()),
    }))
}

/// What the configuration that was applied last says of the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastApplied {
    /// No such configuration is kept.
    NotKept,
    /// It says no count.
    NoCount,
    /// It says this count.
    Count(u32),
}

/// The configuration applied last, as far as the count is concerned.
///
/// # Errors
/// In words, when it cannot be understood.
pub(super) fn last_applied(workload: &Observed) -> Result<LastApplied, String> {
    let Some(text) = workload.meta().annotations.as_ref().and_then(|annotations| annotations.get(LAST_APPLIED)) else {
        return Ok(LastApplied::NotKept);
    };
    let wrong = || format!("the last-applied configuration of {} cannot be understood", quoted(workload.name()));
    let applied: Value = serde_json::from_str(text).map_err(|_| wrong())?;
    match applied.pointer("/spec/replicas") {
        None | Some(Value::Null) => Ok(LastApplied::NoCount),
        Some(count) => {
            let count = count.as_u64().and_then(|count| u32::try_from(count).ok());
            count.map(LastApplied::Count).ok_or_else(wrong)
        }
    }
}

/// Whether a manager holds the wanted count.
pub(super) fn holds_count(entry: &ManagedFieldsEntry) -> bool {
    entry.fields_v1.as_ref().is_some_and(|fields| fields.0.pointer("/f:spec/f:replicas").is_some())
}

/// The manager of an entry, when it is one that sets what is written down elsewhere.
fn applier(entry: &ManagedFieldsEntry) -> Option<&str> {
    let manager = entry.manager.as_deref()?;
    let applies = entry.operation.as_deref() == Some("Apply") || APPLIERS.contains(&manager);
    (applies && entry.subresource.as_deref().unwrap_or_default().is_empty()).then_some(manager)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
mod tests;
