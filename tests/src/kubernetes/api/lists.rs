//! Lists, page by page, and the beginning of a watch.

use serde_json::{Value, json};

use super::super::failure::Failure;
use super::super::selector::{Fields, Labels};
use super::super::state::State;
use super::super::store::Which;
use super::path::Target;
use super::{Answer, Asked, Watching};

/// How long a watch lasts that says nothing about it, in seconds.
const WATCH: u64 = 1_800;

pub(super) fn answer(
    state: &mut State,
    asked: &Asked<'_>,
    target: &Target<'_>,
    watches: bool,
) -> Result<Answer, Failure> {
    let text = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let which = Which {
        namespace: (!target.namespace.is_empty()).then(|| target.namespace.to_owned()),
        labels: Labels::parse(text("labelSelector"))?,
        fields: Fields::parse(target.resource, text("fieldSelector"))?,
    };
    if watches { watch(state, asked, target, which) } else { list(state, asked, target, &which) }
}

fn watch(state: &mut State, asked: &Asked<'_>, target: &Target<'_>, which: Which) -> Result<Answer, Failure> {
    let text = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    let (mut first, mut from) = (Vec::new(), state.store.version());
    match text("resourceVersion") {
        "" | "0" => {
            let there = state.store.all(target.resource).filter(|(key, object)| which.selects(key, object));
            first.extend(there.map(|(_, object)| json!({ "type": "ADDED", "object": object })));
        }
        version => {
            from = version.parse().map_err(|_| {
                Failure::bad_request(format!("Invalid value: \"{version}\": strconv.ParseUint: invalid syntax"))
            })?;
            if from < state.store.compacted() {
                let message = format!("too old resource version: {from} ({})", state.store.compacted());
                first.push(json!({ "type": "ERROR", "object": Failure::expired(message).status() }));
            }
        }
    }
    if text("sendInitialEvents") == "true" {
        let why = "Forbidden: sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled";
        return Err(Failure::invalid("ListOptions.meta.k8s.io", "", "sendInitialEvents", why));
    }
    Ok(Answer::Watch(Watching {
        resource: target.resource,
        which,
        from,
        first,
        bookmarks: text("allowWatchBookmarks") == "true",
        seconds: text("timeoutSeconds").parse().unwrap_or(WATCH),
    }))
}

fn list(state: &mut State, asked: &Asked<'_>, target: &Target<'_>, which: &Which) -> Result<Answer, Failure> {
    let text = |name: &str| asked.query.get(name).map(String::as_str).unwrap_or_default();
    // `VERSION/after namespace/after name`: the list goes on as it was, which is possible as long as that is known.
    let continued = match text("continue") {
        "" => None,
        token => {
            let mut parts = token.splitn(3, '/');
            let version = parts.next().and_then(|version| version.parse::<u64>().ok());
            let after = parts.next().zip(parts.next());
            let (Some(version), Some((namespace, name))) = (version, after) else {
                return Err(Failure::bad_request("continue key is not valid: incorrect encoded start resourceVersion"));
            };
            if version < state.store.compacted() {
                let message = "The provided continue parameter is too old to display a consistent list result. You \
                               can start a new list without the continue parameter, or use the continue token in this \
                               response to retrieve the remainder of the results. Continuing with the provided token \
                               results in an inconsistent list - objects that were created, modified, or deleted \
                               between the time the first chunk was returned and now may show up in the list.";
                return Err(Failure::expired(message));
            }
            Some((version, namespace.to_owned(), name.to_owned()))
        }
    };
    let version = continued.as_ref().map_or(state.store.version(), |(version, ..)| *version);
    let after = |namespace: &str, name: &str| {
        let last = continued.as_ref().map(|(_, namespace, name)| (namespace.as_str(), name.as_str()));
        last.is_none_or(|last| (namespace, name) > last)
    };
    let all = as_of(state, target, version);
    let mut left: Vec<_> = all
        .into_iter()
        .filter(|(key, object)| after(&key.namespace, &key.name) && which.selects(key, object))
        .collect();
    let limit = text("limit").parse::<usize>().ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
    let mut metadata = json!({ "resourceVersion": version.to_string() });
    if left.len() > limit {
        let remaining = left.len() - limit;
        left.truncate(limit);
        if let Some((key, _)) = left.last() {
            metadata["continue"] = format!("{version}/{}/{}", key.namespace, key.name).into();
        }
        // With a selector, nobody has counted the rest.
        if text("labelSelector").is_empty() && text("fieldSelector").is_empty() {
            metadata["remainingItemCount"] = remaining.into();
        }
    }
    let items: Vec<Value> = left
        .into_iter()
        .map(|(_, mut object)| {
            // What a typed list holds does not say its type; what a custom one holds does.
            if let Some(object) = object.as_object_mut().filter(|_| !target.resource.custom) {
                object.remove("kind");
                object.remove("apiVersion");
            }
            object
        })
        .collect();
    Ok(Answer::Object(
        200,
        json!({
            "kind": format!("{}List", target.resource.kind), "apiVersion": target.resource.api_version(),
            "metadata": metadata, "items": items,
        }),
    ))
}

/// All of a type as they were at that version.
fn as_of(
    state: &State,
    target: &Target<'_>,
    version: u64,
) -> std::collections::BTreeMap<super::super::store::Key, Value> {
    let qualified = target.resource.qualified();
    let mut all: std::collections::BTreeMap<_, _> =
        state.store.all(target.resource).map(|(key, object)| (key.clone(), object.clone())).collect();
    let since: Vec<_> = state.store.since(version).filter(|one| one.key.resource == qualified).collect();
    for happened in since.into_iter().rev() {
        match &happened.before {
            Some(before) => all.insert(happened.key.clone(), before.clone()),
            None => all.remove(&happened.key),
        };
    }
    all
}
