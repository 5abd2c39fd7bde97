//! What the API server answers: who asks, whether they may, which object they mean, and what becomes of it.

mod discovery;
mod lists;
mod path;
mod scale;
mod write;

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{Method, header};
use serde_json::{Value, json};

use self::path::{Target, parse};
use super::admission;
use super::failure::Failure;
use super::rbac::{Ask, User, forbidden};
use super::resource::{ACCESS_REVIEWS, Resource, SELF_REVIEWS};
use super::state::{Request, State};
use super::store::{Key, Which};

/// What is answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// An object.
    Object(u16, Value),
    /// Something of another kind.
    Text(u16, &'static str, Vec<u8>),
    /// Changes, as they come.
    Watch(Watching),
    /// What a pod itself answers.
    Proxy(Proxied),
    /// What a pod wrote.
    Log(Logged),
    /// It is done, and nobody hears of it.
    Lost,
    /// It is done, and whoever asked waits for the answer.
    Withheld,
}

/// A watch: what it has told, and what it goes on with.
#[derive(Debug)]
pub(crate) struct Watching {
    pub(crate) resource: &'static Resource,
    pub(crate) which: Which,
    pub(crate) from: u64,
    /// What there was when it began, where it was not told from which version to go on.
    pub(crate) first: Vec<Value>,
    pub(crate) bookmarks: bool,
    pub(crate) seconds: u64,
}

/// A request for a pod.
#[derive(Debug)]
pub(crate) struct Proxied {
    pub(crate) method: Method,
    pub(crate) address: String,
    pub(crate) path: String,
    pub(crate) content_type: Option<String>,
    pub(crate) body: Bytes,
}

/// A request for a pod's log.
#[derive(Debug)]
pub(crate) struct Logged {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) previous: bool,
    pub(crate) tail: Option<usize>,
    pub(crate) limit: Option<usize>,
}

/// Everything about one request.
pub(crate) struct Asked<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: BTreeMap<String, String>,
    pub(crate) content_type: String,
    pub(crate) user: User,
    pub(crate) body: Bytes,
    pub(crate) manager: String,
}

/// Answers a request, and writes it down.
pub(crate) fn answer(state: &mut State, parts: &Parts, body: Bytes) -> Answer {
    let path = parts.uri.path();
    let query = pairs(parts.uri.query().unwrap_or_default());
    let text = |name: header::HeaderName| {
        parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let token = text(header::AUTHORIZATION);
    let token = token.strip_prefix("Bearer ").unwrap_or_default();
    let user = state.tokens.get(token).cloned();
    let agent = text(header::USER_AGENT);
    // Who names no manager is known by the program's name.
    let manager = query.get("fieldManager").filter(|name| !name.is_empty()).cloned();
    let manager = manager.unwrap_or_else(|| agent.split('/').next().unwrap_or_default().to_owned());
    let content_type = text(header::CONTENT_TYPE);
    let record = Request {
        at: state.store.now(),
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: query.clone(),
        user: user.as_ref().map_or_else(String::new, |user| user.name.clone()),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
        status: 0,
        refusal: String::new(),
    };
    if parts.method != Method::GET
        && let Some(at) = state.overtaken.iter().position(|(part, _)| path.contains(part.as_str()))
    {
        let (_, replicas) = state.overtaken.remove(at);
        super::hands::set_by_a_colleague(state, &super::resource::DEPLOYMENTS, replicas);
    }
    let instead = state.instead.iter().position(|(part, _)| path.contains(part.as_str()));
    let done = if let Some(at) = instead {
        let failure = state.instead.remove(at).map(|(_, failure)| failure);
        Err(failure.unwrap_or_else(Failure::no_such_path))
    } else {
        match user {
            None => Err(Failure::unauthorized()),
            Some(user) => {
                let asked = Asked { method: &parts.method, path, query, content_type, user, body, manager };
                dispatch(state, &asked)
            }
        }
    };
    let lost = state.lost.iter().position(|part| path.contains(part.as_str()));
    let withheld = state.withheld.iter().position(|part| path.contains(part.as_str()));
    let mut record = record;
    let answer = match done {
        _ if withheld.is_some() => {
            state.withheld.remove(withheld.unwrap_or_default());
            Answer::Withheld
        }
        _ if lost.is_some() => {
            state.lost.remove(lost.unwrap_or_default());
            Answer::Lost
        }
        Ok(answer) => {
            record.status = match &answer {
                Answer::Object(status, _) | Answer::Text(status, ..) => *status,
                _ => 200,
            };
            answer
        }
        Err(failure) => {
            record.status = failure.code;
            record.refusal.clone_from(&failure.message);
            Answer::Object(failure.code, failure.status())
        }
    };
    state.requests.push(record);
    answer
}

fn dispatch(state: &mut State, asked: &Asked<'_>) -> Result<Answer, Failure> {
    if let Some(answer) = discovery::answer(state, asked.path) {
        return if *asked.method == Method::GET { Ok(answer) } else { Err(Failure::method_not_allowed()) };
    }
    let target = parse(asked.path).ok_or_else(Failure::no_such_path)?;
    if target.resource.custom && !state.has_keda {
        return Err(Failure::no_such_path());
    }
    let verb = verb(asked, &target)?;
    let with_subresource = match target.subresource {
        Some(subresource) => format!("{}/{subresource}", target.resource.plural),
        None => target.resource.plural.to_owned(),
    };
    let ask = Ask {
        verb,
        group: target.resource.group,
        resource: &with_subresource,
        // A port behind a pod's name is none of the name.
        name: target.pod_name(),
        namespace: target.namespace,
    };
    if !state.rbac.allows(&asked.user, &ask) {
        return Err(forbidden(&asked.user, &ask, target.resource));
    }
    match (verb, target.subresource) {
        ("get", None | Some("status")) => get(state, &target),
        ("list" | "watch", None) => lists::answer(state, asked, &target, verb == "watch"),
        ("create", None) if *target.resource == ACCESS_REVIEWS => review(state, asked),
        ("create", None) if *target.resource == SELF_REVIEWS => Ok(who(asked)),
        ("create", None) => write::create(state, asked, &target),
        ("update" | "patch", None | Some("status")) => write::change(state, asked, &target),
        ("delete", None) => write::delete(state, asked, &target),
        ("deletecollection", None) => write::delete_all(state, asked, &target),
        ("get" | "update" | "patch", Some("scale")) => scale::answer(state, asked, &target, verb),
        ("get", Some("log")) => log(state, asked, &target),
        (_, Some("proxy")) => proxy(state, asked, &target),
        _ => Err(Failure::method_not_allowed()),
    }
}

fn verb(asked: &Asked<'_>, target: &Target<'_>) -> Result<&'static str, Failure> {
    let named = !target.name.is_empty();
    let watches = asked.query.get("watch").is_some_and(|watch| watch == "1" || watch == "true");
    Ok(match (asked.method.as_str(), named) {
        ("GET", true) => "get",
        ("GET", false) if watches => "watch",
        ("GET", false) => "list",
        ("POST", false) => "create",
        ("POST", true) if target.subresource == Some("proxy") => "create",
        ("PUT", true) => "update",
        ("PATCH", true) => "patch",
        ("DELETE", true) => "delete",
        ("DELETE", false) => "deletecollection",
        _ => return Err(Failure::method_not_allowed()),
    })
}

/// The object that is meant.
pub(crate) fn found(state: &State, target: &Target<'_>) -> Result<(Key, Value), Failure> {
    let key = Key::new(target.resource, target.namespace, target.pod_name());
    let object = state.store.get(&key).cloned();
    object.map(|object| (key, object)).ok_or_else(|| Failure::not_found(target.resource, target.pod_name()))
}

fn get(state: &State, target: &Target<'_>) -> Result<Answer, Failure> {
    Ok(Answer::Object(200, found(state, target)?.1))
}

/// Who is this? That is answered to everybody, about themselves.
fn who(asked: &Asked<'_>) -> Answer {
    let review = json!({
        "kind": SELF_REVIEWS.kind, "apiVersion": SELF_REVIEWS.api_version(), "metadata": { "creationTimestamp": null },
        "status": { "userInfo": { "username": asked.user.name, "groups": ["system:authenticated"] } },
    });
    Answer::Object(201, review)
}

/// May this user? That is answered to everybody, about themselves.
fn review(state: &State, asked: &Asked<'_>) -> Result<Answer, Failure> {
    let mut review = write::json_body(asked)?;
    let about = &review["spec"]["resourceAttributes"];
    let text = |field: &str| about[field].as_str().unwrap_or_default();
    let resource = match text("subresource") {
        "" => text("resource").to_owned(),
        subresource => format!("{}/{subresource}", text("resource")),
    };
    let ask = Ask {
        verb: text("verb"),
        group: text("group"),
        resource: &resource,
        name: text("name"),
        namespace: text("namespace"),
    };
    let allowed = state.rbac.allows(&asked.user, &ask);
    review["status"] = json!({ "allowed": allowed });
    review["metadata"] = json!({});
    review["kind"] = ACCESS_REVIEWS.kind.into();
    review["apiVersion"] = ACCESS_REVIEWS.api_version().into();
    Ok(Answer::Object(201, review))
}

fn log(state: &State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let (key, pod) = found(state, target)?;
    let containers = pod["spec"]["containers"].as_array().map_or(&[][..], Vec::as_slice);
    let names: Vec<&str> = containers.iter().filter_map(|one| one["name"].as_str()).collect();
    let container = match asked.query.get("container") {
        Some(container) if names.contains(&container.as_str()) => container.as_str(),
        Some(container) => {
            return Err(Failure::bad_request(format!("container {container} is not valid for pod {}", key.name)));
        }
        None if names.len() > 1 => {
            let message = format!(
                "a container name must be specified for pod {}, choose one of: [{}]",
                key.name,
                names.join(" ")
            );
            return Err(Failure::bad_request(message));
        }
        None => names.first().copied().unwrap_or_default(),
    };
    let previous = asked.query.get("previous").is_some_and(|previous| previous == "true");
    let status = pod["status"]["containerStatuses"].as_array().and_then(|all| all.first().cloned()).unwrap_or_default();
    if previous && status["lastState"]["terminated"].is_null() {
        let message = format!("previous terminated container \"{container}\" in pod \"{}\" not found", key.name);
        return Err(Failure::bad_request(message));
    }
    if !previous
        && let Some(reason) = status["state"]["waiting"]["reason"]
            .as_str()
            .filter(|_| status["lastState"] == json!({}) || status["lastState"].is_null())
    {
        let message = format!(
            "container \"{container}\" in pod \"{}\" is waiting to start: {}",
            key.name,
            match reason {
                "ErrImagePull" => "image can't be pulled",
                "ImagePullBackOff" => "trying and failing to pull image",
                other => other,
            }
        );
        return Err(Failure::bad_request(message));
    }
    let number = |name: &str| asked.query.get(name).and_then(|text| text.parse().ok());
    Ok(Answer::Log(Logged {
        namespace: key.namespace,
        pod: key.name,
        previous,
        tail: number("tailLines"),
        limit: number("limitBytes"),
    }))
}

fn proxy(state: &State, asked: &Asked<'_>, target: &Target<'_>) -> Result<Answer, Failure> {
    let (key, pod) = found(state, target)?;
    let port = match target.port() {
        Some("") | None => pod["spec"]["containers"][0]["ports"][0]["containerPort"].to_string(),
        Some(port) => port.to_owned(),
    };
    let Some(address) = pod["status"]["podIP"].as_str() else {
        let why = format!("address not allowed: pod {} has no address", key.name);
        return Err(Failure::unavailable(format!("error trying to reach service: {why}")));
    };
    let query: Vec<String> = asked.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let path = if query.is_empty() { target.rest.clone() } else { format!("{}?{}", target.rest, query.join("&")) };
    Ok(Answer::Proxy(Proxied {
        method: asked.method.clone(),
        address: format!("{address}:{port}"),
        path,
        content_type: (!asked.content_type.is_empty()).then(|| asked.content_type.clone()),
        body: asked.body.clone(),
    }))
}

/// What admission has to say, for writes.
pub(crate) fn admit(
    state: &State,
    asked: &Asked<'_>,
    target: &Target<'_>,
    old: Option<&Value>,
    new: &Value,
    operation: &str,
) -> Result<(), Failure> {
    let subresource = target.subresource.unwrap_or_default();
    let write = admission::Write { user: &asked.user, resource: target.resource, subresource, operation };
    admission::policies(&state.policies, &write, old, new)
}

fn pairs(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decoded(name), decoded(value)))
        .collect()
}

/// `%2F` and `+` as they were meant.
pub(crate) fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next().unwrap_or(b'0'), rest.next().unwrap_or(b'0')];
                let digits = std::str::from_utf8(&digits).unwrap_or("3F");
                bytes.push(u8::from_str_radix(digits, 16).unwrap_or(b'?'));
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
