//! Holding an autoscaler still for the time of an operation, and putting it back.
//!
//! A `HorizontalPodAutoscaler` is held by disabling its policies both ways, with its bounds widened to both counts where these
//! lie outside: within its bounds it then leaves the count alone. Raising its minimum only would make the autoscaler itself
//! set the count, in its own name and without the guard of an operation. KEDA's object is paused, which keeps the count.
//!
//! Whose operation holds it, and all that is put back, stands in annotations of the object itself, changed by the same patch
//! that holds it: nobody's memory is needed to put it back. Somebody else's change of the same fields is left alone.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::DynamicObject;
use scalebot_commands::ports::{Bounds, Held, Hold, HoldOrder, OrderAnswer, PortError, ReleaseOrder};
use scalebot_commands::request::quoted;
use scalebot_commands::units::{OperationId, Replicas};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::autoscaler::{PAUSED, PAUSED_AT};
use super::{At, everybody, keda as keda_type};
use crate::kubernetes::scale::{declined, manager};
use crate::kubernetes::server::{Server, unreadable};
use crate::kubernetes::settings::{Autoscaler, Settings};

/// Whose operation holds the object.
const HELD_BY: &str = "scalebot/held-by";

/// What is put back, and what it was changed to.
const HELD_BEFORE: &str = "scalebot/held-before";

/// The most that is kept of what it was before, in bytes. One with more is not held: it could not be put back exactly.
const MAX_BEFORE: usize = 4_096;

const HPA: &str = "hpa";
const SCALED_OBJECT: &str = "scaledobject";
const DISABLED: &str = "Disabled";
const DIRECTIONS: [&str; 2] = ["scaleUp", "scaleDown"];

/// What stands in the annotation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// The fields as they were, a missing one as null.
    before: Map<String, Value>,
    /// Those of them whose value depends on the operation, as it set them.
    held: Map<String, Value>,
}

/// How an HPA can be held; `None` where policy leaves it alone, or it cannot be put back exactly.
pub(super) fn of_horizontal(scaler: &HorizontalPodAutoscaler, at: &At<'_>) -> Option<Hold> {
    let spec = spec(scaler)?;
    let field = |key: &str| (key.to_owned(), spec.get(key).cloned().unwrap_or_default());
    let before: Map<String, Value> = ["minReplicas", "maxReplicas", "behavior"].map(field).into_iter().collect();
    let bound = |key: &str| before.get(key).and_then(count);
    let bounds = Bounds { least: bound("minReplicas").unwrap_or(Replicas(1)), most: bound("maxReplicas")? };
    let how = "its policies are disabled both ways, and its bounds include both counts";
    as_it_is(&scaler.metadata, (HPA, "HorizontalPodAutoscaler"), Some(bounds), (&before, how), at)
}

/// How a KEDA object can be held; `None` as above.
pub(super) fn of_keda(object: &DynamicObject, at: &At<'_>) -> Option<Hold> {
    let annotations = object.metadata.annotations.as_ref();
    let field = |key: &str| (key.to_owned(), json!(annotations.and_then(|all| all.get(key))));
    let before = [PAUSED, PAUSED_AT].map(field).into_iter().collect();
    let bound = |key: &str| count(object.data.get("spec")?.get(key)?);
    let bounds = Bounds {
        least: bound("minReplicaCount").unwrap_or(Replicas(0)),
        most: bound("maxReplicaCount").unwrap_or(Replicas(100)),
    };
    as_it_is(&object.metadata, (SCALED_OBJECT, "KEDA ScaledObject"), Some(bounds), (&before, "it is paused"), at)
}

fn as_it_is(
    meta: &ObjectMeta,
    (kind, said): (&str, &str),
    bounds: Option<Bounds>,
    (before, how): (&Map<String, Value>, &str),
    at: &At<'_>,
) -> Option<Hold> {
    // One that is held already, by whomever, is not taken over: what it was before would be lost.
    if at.autoscaler == Autoscaler::Leave || holder(meta).is_some() {
        return None;
    }
    let name = meta.name.as_deref()?;
    let text = Value::from(before.clone()).to_string();
    (text.len() <= MAX_BEFORE).then_some(())?;
    Some(Hold {
        name: format!("{kind}/{name}"),
        who: format!("{said} {}", quoted(name)),
        identity: meta.uid.clone()?,
        version: meta.resource_version.clone()?,
        bounds,
        before: text,
        how: how.to_owned(),
        undone_by: by_hand(kind, name, before, at),
    })
}

/// The command that puts back what an operation, whose mark the object bears, has held still; `None` where nothing does, or
/// what it was before cannot be read.
pub(super) fn left_behind(meta: &ObjectMeta, kind: &str, at: &At<'_>) -> Option<String> {
    holder(meta)?;
    Some(by_hand(kind, meta.name.as_deref()?, &kept(meta)?.before, at))
}

/// Which operation holds it.
pub(super) fn holder(meta: &ObjectMeta) -> Option<&str> {
    meta.annotations.as_ref()?.get(HELD_BY).map(String::as_str)
}

fn by_hand(kind: &str, name: &str, before: &Map<String, Value>, at: &At<'_>) -> String {
    at.kubectl(&format!("patch {kind} {} --type=merge -p '{}'", quoted(name), undo(kind, before)))
}

fn kept(meta: &ObjectMeta) -> Option<Kept> {
    serde_json::from_str(meta.annotations.as_ref()?.get(HELD_BEFORE)?).ok()
}

fn spec(scaler: &HorizontalPodAutoscaler) -> Option<Map<String, Value>> {
    match serde_json::to_value(scaler.spec.as_ref()?) {
        Ok(Value::Object(spec)) => Some(spec),
        _ => None,
    }
}

fn count(value: &Value) -> Option<Replicas> {
    value.as_u64().and_then(|count| u32::try_from(count).ok()).map(Replicas)
}

/// The merge patch after which it is what it was.
fn undo(kind: &str, before: &Map<String, Value>) -> Value {
    let mut annotations: Map<String, Value> =
        [HELD_BY, HELD_BEFORE].into_iter().map(|key| (key.to_owned(), Value::Null)).collect();
    if kind == SCALED_OBJECT {
        annotations.extend(before.clone());
        return json!({ "metadata": { "annotations": annotations } });
    }
    let mut spec = before.clone();
    // Of what the server has filled in nothing is lost: only what was set is set back.
    if let Some(Value::Object(behavior)) = spec.get_mut("behavior") {
        let back = |direction: &str| {
            let rules = behavior.get(direction).filter(|rules| rules.is_object());
            let back = rules.map_or(Value::Null, |rules| json!({ "selectPolicy": rules.get("selectPolicy") }));
            (direction.to_owned(), back)
        };
        let back: Map<String, Value> = DIRECTIONS.map(back).into_iter().collect();
        *behavior = back;
    }
    json!({ "metadata": { "annotations": annotations }, "spec": spec })
}

/// Holds it still.
///
/// # Errors
/// When it is not known whether it is held.
pub(in crate::kubernetes) async fn hold(
    server: &Server,
    settings: &Settings,
    order: &HoldOrder,
) -> Result<OrderAnswer, PortError> {
    let HoldOrder { hold, from, to, operation } = order;
    let before: Map<String, Value> = serde_json::from_str(&hold.before)
        .map_err(|error| unreadable(&format!("what {} was before ({error})", quoted(&hold.name))))?;
    let kind = hold.name.split('/').next().unwrap_or_default();
    let mut annotations = Map::new();
    let (held, spec) = if kind == SCALED_OBJECT {
        annotations.insert(PAUSED.to_owned(), json!("true"));
        annotations.insert(PAUSED_AT.to_owned(), Value::Null);
        (Map::new(), None)
    } else {
        let held = widened(&before, *from, *to);
        let mut spec = held.clone();
        let disabled = json!({ "selectPolicy": DISABLED });
        spec.insert("behavior".to_owned(), json!({ "scaleUp": disabled, "scaleDown": disabled }));
        (held, Some(spec))
    };
    let kept = Kept { before, held };
    let kept = serde_json::to_string(&kept).map_err(|error| unreadable(&error.to_string()))?;
    annotations.insert(HELD_BY.to_owned(), json!(operation.as_str()));
    annotations.insert(HELD_BEFORE.to_owned(), json!(kept));
    let mut patch = json!({ "metadata": { "annotations": annotations } });
    if let Some(spec) = spec {
        patch["spec"] = Value::Object(spec);
    }
    send(server, settings, operation, (&hold.name, &hold.identity, &hold.version), patch).await
}

/// Its bounds with both counts within.
fn widened(before: &Map<String, Value>, from: Replicas, to: Replicas) -> Map<String, Value> {
    let bound = |key: &str| before.get(key).and_then(count);
    // An HPA has no minimum of none, unless the cluster was told to let it have one.
    let least = bound("minReplicas").unwrap_or(Replicas(1)).min(from.min(to).max(Replicas(1)));
    let most = bound("maxReplicas").unwrap_or(Replicas(1)).max(from).max(to);
    let bounds = [("minReplicas", least), ("maxReplicas", most)];
    bounds.into_iter().map(|(key, count)| (key.to_owned(), json!(count.0))).collect()
}

/// Puts it back.
///
/// # Errors
/// When it is not known whether it is.
pub(in crate::kubernetes) async fn release(
    server: &Server,
    settings: &Settings,
    order: &ReleaseOrder,
) -> Result<OrderAnswer, PortError> {
    let ReleaseOrder { held, operation } = order;
    let patch = serde_json::from_str(&held.undo).ok().filter(Value::is_object);
    let patch = patch.ok_or_else(|| unreadable(&format!("what puts {} back", quoted(&held.name))))?;
    send(server, settings, operation, (&held.name, &held.identity, &held.version), patch).await
}

async fn send(
    server: &Server,
    settings: &Settings,
    operation: &OperationId,
    (name, identity, version): (&str, &str, &str),
    mut patch: Value,
) -> Result<OrderAnswer, PortError> {
    patch["metadata"]["uid"] = json!(identity);
    patch["metadata"]["resourceVersion"] = json!(version);
    let (namespace, manager) = (Some(&*settings.namespace), manager(operation));
    let answer = match name.split_once('/') {
        Some((HPA, name)) => {
            let answer = server
                .patch::<HorizontalPodAutoscaler, HorizontalPodAutoscaler>(namespace, name, None, &manager, &patch);
            answer.await?.map(|_| ())
        }
        Some((SCALED_OBJECT, name)) => {
            server.patch_of(&keda_type(), namespace, name, &manager, &patch).await?.map(|_| ())
        }
        _ => return Ok(OrderAnswer::Refused { detail: format!("{} is no autoscaler", quoted(name)) }),
    };
    match answer {
        Ok(()) => Ok(OrderAnswer::Done),
        Err(refusal) => declined(refusal),
    }
}

/// Everything that bears the mark of that operation.
///
/// # Errors
/// When it cannot be read.
pub(in crate::kubernetes) async fn held_by(
    server: &Server,
    settings: &Settings,
    operation: &OperationId,
) -> Result<Vec<Held>, PortError> {
    let (scalers, objects) = everybody(server, settings).await?;
    let is_ours = |meta: &ObjectMeta| holder(meta) == Some(operation.as_str());
    let scalers = scalers.iter().filter(|scaler| is_ours(&scaler.metadata));
    let mut held: Vec<Held> = scalers
        .map(|scaler| one_held(&scaler.metadata, HPA, |kept| differs(&spec(scaler).unwrap_or_default(), kept)))
        .collect();
    let objects = objects.iter().filter(|object| is_ours(&object.metadata));
    held.extend(objects.map(|object| {
        let none = BTreeMap::new();
        let annotations = object.metadata.annotations.as_ref().unwrap_or(&none);
        one_held(&object.metadata, SCALED_OBJECT, |kept| differs_in_pause(annotations, kept))
    }));
    Ok(held)
}

fn one_held(meta: &ObjectMeta, kind: &str, differs: impl FnOnce(&Kept) -> Option<String>) -> Held {
    let kept = kept(meta);
    let changed = kept.as_ref().map_or_else(|| Some("what it was before cannot be read".to_owned()), differs);
    Held {
        name: format!("{kind}/{}", meta.name.as_deref().unwrap_or_default()),
        identity: meta.uid.clone().unwrap_or_default(),
        version: meta.resource_version.clone().unwrap_or_default(),
        undo: kept.map(|kept| undo(kind, &kept.before).to_string()).unwrap_or_default(),
        changed,
    }
}

/// What somebody has changed of an HPA since it is held. Nothing, where they have put all of it back.
fn differs(spec: &Map<String, Value>, kept: &Kept) -> Option<String> {
    let of = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or_default();
    let bounds = ["minReplicas", "maxReplicas"];
    let (now, before) = (of(spec, "behavior"), of(&kept.before, "behavior"));
    if bounds.iter().all(|key| of(spec, key) == of(&kept.before, key)) && now == before {
        return None;
    }
    if let Some(key) = bounds.into_iter().find(|key| of(spec, key) != of(&kept.held, key)) {
        return Some(format!("{key} is {}", quoted(&of(spec, key).to_string())));
    }
    DIRECTIONS.into_iter().find_map(|direction| {
        let (mut now, before) = (now[direction].clone(), &before[direction]);
        if now["selectPolicy"] != DISABLED {
            return Some(format!("the policies of {direction} are not disabled"));
        }
        // Where it had no rules before, they are the server's own.
        let rules = before.as_object()?;
        match rules.get("selectPolicy") {
            Some(policy) => now["selectPolicy"] = policy.clone(),
            None => drop(now.as_object_mut().map(|now| now.remove("selectPolicy"))),
        }
        (now != *before).then(|| format!("the rules of {direction} are others"))
    })
}

/// The same, of a KEDA object.
fn differs_in_pause(annotations: &BTreeMap<String, String>, kept: &Kept) -> Option<String> {
    let is_as_before = [PAUSED, PAUSED_AT]
        .iter()
        .all(|key| json!(annotations.get(*key)) == *kept.before.get(*key).unwrap_or(&Value::Null));
    let is_paused = annotations.get(PAUSED).is_some_and(|paused| paused == "true");
    match annotations.get(PAUSED_AT) {
        _ if is_as_before => None,
        Some(count) => Some(format!("{PAUSED_AT} is {}", quoted(count))),
        None if is_paused => None,
        None => Some("it is not paused any more".to_owned()),
    }
}

#[cfg(test)]
mod tests;
