//! Autoscalers: Kubernetes' own, and KEDA, which makes one of Kubernetes' own for each of its objects.

use k8s_openapi::api::autoscaling::v2::{CrossVersionObjectReference, HorizontalPodAutoscaler};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use scalebot_commands::ports::Steering;
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;

use super::{At, hold};

/// KEDA's annotation that stops an object of its.
pub(super) const PAUSED: &str = "autoscaling.keda.sh/paused";

/// The one that holds the count at a number.
pub(super) const PAUSED_AT: &str = "autoscaling.keda.sh/paused-replicas";

/// The patch after which an autoscaler leaves a count within its bounds alone.
const DISABLED: &str =
    r#"{"spec":{"behavior":{"scaleUp":{"selectPolicy":"Disabled"},"scaleDown":{"selectPolicy":"Disabled"}}}}"#;

/// The autoscalers that steer this workload, those of KEDA's making left out.
pub(super) fn horizontal(scalers: &[HorizontalPodAutoscaler], at: &At<'_>, count: Replicas) -> Vec<Steering> {
    let ours = scalers.iter().filter(|scaler| {
        scaler.spec.as_ref().is_some_and(|spec| is_target(&spec.scale_target_ref, at)) && !is_of_keda(scaler)
    });
    ours.filter_map(|scaler| one(scaler, at, count)).collect()
}

fn one(scaler: &HorizontalPodAutoscaler, at: &At<'_>, count: Replicas) -> Option<Steering> {
    let spec = scaler.spec.as_ref()?;
    let name = quoted(scaler.metadata.name.as_deref().unwrap_or_default());
    let (least, most) = (spec.min_replicas.unwrap_or(1), spec.max_replicas);
    let policies = spec.behavior.as_ref().map(|behavior| (&behavior.scale_up, &behavior.scale_down));
    let is_disabled = policies.is_some_and(|(up, down)| {
        [up, down]
            .iter()
            .all(|rules| rules.as_ref().and_then(|rules| rules.select_policy.as_deref()) == Some("Disabled"))
    });
    let is_within = (i64::from(least)..=i64::from(most)).contains(&i64::from(count.0));
    // Its bounds count even then: a count beyond them is set back.
    if is_disabled && is_within {
        return None;
    }
    let by = format!("HorizontalPodAutoscaler {name}");
    let bounds = format!("{least} to {most} instances");
    if is_disabled {
        let effect = format!("sets the count back into its bounds, {bounds}");
        let settled_by = at.kubectl(&format!("edit hpa {name}")) + ", and change minReplicas or maxReplicas";
        let settled_by = settled(&scaler.metadata, "hpa", settled_by, at);
        return Some(Steering { by, effect, settled_by, hold: hold::of_horizontal(scaler, at) });
    }
    let effect = if least == most {
        format!("keeps the count at {least} and would put ours back within a minute")
    } else {
        format!("keeps {bounds} by its own measure and would change our count within a minute")
    };
    let patch = at.kubectl(&format!("patch hpa {name} --type=merge -p '{DISABLED}'"));
    let settled_by =
        format!("{patch}; for a count outside {least} to {most} change minReplicas or maxReplicas as well");
    let settled_by = settled(&scaler.metadata, "hpa", settled_by, at);
    Some(Steering { by, effect, settled_by, hold: hold::of_horizontal(scaler, at) })
}

/// What settles it. Of one that an operation has held still and that steers all the same, what it was is put back first.
fn settled(meta: &ObjectMeta, kind: &str, settled_by: String, at: &At<'_>) -> String {
    let Some(operation) = hold::holder(meta) else { return settled_by };
    let operation = quoted(operation);
    match hold::left_behind(meta, kind, at) {
        Some(command) => format!("{command}, which puts back what operation {operation} held still; then {settled_by}"),
        None => format!("look at what operation {operation} held still of it; then {settled_by}"),
    }
}

/// KEDA's objects that steer this workload.
pub(super) fn keda(objects: &[DynamicObject], at: &At<'_>) -> Vec<Steering> {
    objects.iter().filter(|object| scales(object, at)).filter_map(|object| of_keda(object, at)).collect()
}

fn of_keda(object: &DynamicObject, at: &At<'_>) -> Option<Steering> {
    let name = quoted(object.metadata.name.as_deref().unwrap_or_default());
    let annotation = |key: &str| object.metadata.annotations.as_ref()?.get(key).map(String::as_str);
    let by = format!("KEDA ScaledObject {name}");
    if let Some(held) = annotation(PAUSED_AT) {
        let effect = format!("holds the count at {}", quoted(held));
        let annotate = format!("annotate scaledobject {name} --overwrite {PAUSED}=true {PAUSED_AT}-");
        let settled_by = settled(&object.metadata, "scaledobject", at.kubectl(&annotate), at);
        return Some(Steering { by, effect, settled_by, hold: hold::of_keda(object, at) });
    }
    // Anything that is not a clear yes leaves it at work.
    if annotation(PAUSED).is_some_and(|paused| paused.eq_ignore_ascii_case("true")) {
        return None;
    }
    let bound = |key: &str| object.data.get("spec")?.get(key)?.as_u64();
    let bounds = format!("{} to {}", bound("minReplicaCount").unwrap_or(0), bound("maxReplicaCount").unwrap_or(100));
    Some(Steering {
        by,
        effect: format!("keeps {bounds} instances by its triggers and would change our count"),
        settled_by: settled(
            &object.metadata,
            "scaledobject",
            at.kubectl(&format!("annotate scaledobject {name} --overwrite {PAUSED}=true")),
            at,
        ),
        hold: hold::of_keda(object, at),
    })
}

fn scales(object: &DynamicObject, at: &At<'_>) -> bool {
    let target = |key: &str| object.data.get("spec")?.get("scaleTargetRef")?.get(key)?.as_str();
    let reference = CrossVersionObjectReference {
        api_version: target("apiVersion").map(ToOwned::to_owned),
        kind: target("kind").unwrap_or("Deployment").to_owned(),
        name: target("name").unwrap_or_default().to_owned(),
    };
    is_target(&reference, at)
}

/// Whatever the version: the group alone makes another kind of it.
fn is_target(reference: &CrossVersionObjectReference, at: &At<'_>) -> bool {
    let group = reference.api_version.as_deref().map(|version| version.split_once('/').map_or("", |(group, _)| group));
    reference.kind == at.kind && reference.name == at.name && matches!(group, None | Some("apps" | "extensions" | ""))
}

fn is_of_keda(scaler: &HorizontalPodAutoscaler) -> bool {
    let owners = scaler.metadata.owner_references.as_deref().unwrap_or_default();
    owners.iter().any(|owner| owner.kind == "ScaledObject" && owner.api_version.starts_with("keda.sh/"))
}
