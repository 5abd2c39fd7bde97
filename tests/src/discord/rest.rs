//! The REST API: its routes, and the steps that every request goes through. Who asks, whether they may ask so often,
//! whether what they ask has the form; then the route itself; then it is recorded.

pub(crate) mod commands;
pub(crate) mod guild;
pub(crate) mod interactions;
pub(crate) mod messages;
pub(crate) mod reactions;
mod routes;

use axum::extract::Query;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::body::Body;
use super::buckets::{Drawn, Wait, wait_headers};
use super::controls::{Away, Failure};
use super::id::Snowflake;
use super::permissions::{Permissions, VIEW_CHANNEL};
use super::record::Request;
use super::refusal::{
    METHOD_NOT_ALLOWED, MISSING_ACCESS, MISSING_PERMISSIONS, NOT_FOUND, Refusal, UNAUTHORIZED, UNKNOWN_CHANNEL, invalid,
};
use super::server::nothing;
use super::world::World;
pub(crate) use routes::is_route;
use routes::{Proof, Route, fits, routes};

/// What a route answers.
pub(crate) type Outcome = Result<Answer, Refusal>;

/// An answer that is no refusal. A null body is none at all.
pub(crate) struct Answer {
    status: StatusCode,
    body: Value,
}

#[expect(clippy::unnecessary_wraps, reason = "every route ends in one of these or in a refusal")]
impl Answer {
    pub(crate) fn ok(body: Value) -> Outcome {
        Ok(Self { status: StatusCode::OK, body })
    }

    pub(crate) fn created(body: Value) -> Outcome {
        Ok(Self { status: StatusCode::CREATED, body })
    }

    pub(crate) fn nothing() -> Outcome {
        Ok(Self { status: StatusCode::NO_CONTENT, body: Value::Null })
    }
}

/// A request as its route sees it.
pub(crate) struct Call<'a> {
    route: &'static str,
    segments: &'a [String],
    query: &'a [(String, String)],
    pub(crate) body: &'a Body,
}

impl Call<'_> {
    /// The part of the path that stands where the route has `{name}`.
    pub(crate) fn part(&self, name: &str) -> &str {
        let wanted = |segment: &str| segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) == Some(name);
        let place = self.route.split('/').skip(1).position(wanted);
        place.and_then(|place| self.segments.get(place)).map_or("", String::as_str)
    }

    /// An identifier in the path; whether it is one was looked at before.
    pub(crate) fn id(&self, name: &str) -> Snowflake {
        self.part(name).parse().unwrap_or_default()
    }

    pub(crate) fn asked(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A parameter that is an identifier.
    pub(crate) fn asked_id(&self, name: &str) -> Result<Option<Snowflake>, Refusal> {
        self.asked(name).map(|text| text.parse().map_err(|()| no_snowflake(name, text))).transpose()
    }

    /// How many of a list are wanted: 1 to 100.
    pub(crate) fn limit(&self, otherwise: usize) -> Result<usize, Refusal> {
        let Some(text) = self.asked("limit") else { return Ok(otherwise) };
        let most = "int value should be less than or equal to 100.";
        let least = "int value should be greater than or equal to 1.";
        match text.parse::<i64>() {
            Ok(wanted @ 1..=100) => Ok(usize::try_from(wanted).unwrap_or(otherwise)),
            Ok(wanted) if wanted > 100 => Err(invalid("limit", "NUMBER_TYPE_MAX", most)),
            Ok(_) => Err(invalid("limit", "NUMBER_TYPE_MIN", least)),
            Err(_) => Err(invalid("limit", "NUMBER_TYPE_COERCE", format!("Value \"{text}\" is not int."))),
        }
    }
}

fn no_snowflake(name: &str, text: &str) -> Refusal {
    invalid(name, "NUMBER_TYPE_COERCE", format!("Value \"{text}\" is not snowflake."))
}

/// What answers in front of the API: nothing while all is well.
pub(crate) fn before_the_api(world: &mut World) -> Option<Response> {
    if world.faults.away == Some(Away::Unavailable) {
        let words = "upstream connect error or disconnect/reset before headers";
        return Some((StatusCode::SERVICE_UNAVAILABLE, words).into_response());
    }
    let now = world.now();
    if world.limits.invalid(now) >= world.limits.invalid_allowed {
        let mut answer = (StatusCode::TOO_MANY_REQUESTS, "error code: 1015").into_response();
        answer.headers_mut().insert("retry-after", HeaderValue::from_static("600"));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=UTF-8"));
        let what = "the address is banned: too many invalid requests, and still it asks".to_owned();
        if !world.record.violations.contains(&what) {
            world.record.violations.push(what);
        }
        return Some(answer);
    }
    None
}

/// Answers a request, whatever it is.
pub(crate) fn answer(world: &mut World, parts: &Parts, body: Result<Body, Refusal>) -> Response {
    let path = parts.uri.path();
    if let Some(file) = path.strip_prefix("/attachments/") {
        return attachment(world, file);
    }
    let query = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map(|query| query.0).unwrap_or_default();
    let below = path.strip_prefix("/api/v10").unwrap_or_default();
    let segments: Vec<String> = below.split('/').skip(1).map(decoded).collect();
    let of_path: Vec<&Route> = routes().iter().filter(|route| fits(route.path, &segments)).collect();
    let route = of_path.iter().copied().find(|route| route.method == parts.method);

    let mut headers = HeaderMap::new();
    let given = body.as_ref().cloned().unwrap_or_default();
    let (outcome, out_of_service) = if let Some(route) = route {
        step_by_step(world, route, &segments, &query, parts, body, &mut headers)
    } else {
        world.record.violations.push(format!("the double has no {} {path}", parts.method));
        (Err(if of_path.is_empty() { NOT_FOUND } else { METHOD_NOT_ALLOWED }.into()), false)
    };
    let (status, answered) = match &outcome {
        Ok(answer) => (answer.status, answer.body.clone()),
        Err(no) => no.shown(),
    };
    let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    if !agent.starts_with("DiscordBot (") {
        let what = format!("the user agent is {agent:?}, not \"DiscordBot (link, version)\": Discord may block it");
        if !world.record.violations.contains(&what) {
            world.record.violations.push(what);
        }
    }
    if matches!(status.as_u16(), 401 | 403 | 429) {
        let now = world.now();
        world.limits.count_invalid(now);
    }
    let at = world.now();
    world.record.requests.push(Request {
        at,
        method: parts.method.clone(),
        path: below.to_owned(),
        query,
        route: route.map(|route| route.path),
        body: given.json,
        files: given.files.into_values().collect(),
        status: status.as_u16(),
        answer: answered.clone(),
        media: given.media,
        out_of_service,
    });
    let mut response =
        if answered.is_null() { nothing(status) } else { (status, axum::Json(answered)).into_response() };
    response.headers_mut().extend(headers);
    response
}

/// Why a request does not come as far as its route's answer.
enum No {
    Refused(Refusal),
    Wait(Wait),
    Broken(u16),
}

impl From<Refusal> for No {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl No {
    fn shown(&self) -> (StatusCode, Value) {
        match self {
            Self::Refused(refusal) => (refusal.status, refusal.body()),
            Self::Wait(wait) => {
                let seconds = (wait.retry_after.as_secs_f64() * 1000.0).ceil() / 1000.0;
                let body = json!({
                    "message": "You are being rate limited.",
                    "retry_after": seconds,
                    "global": wait.global,
                    "code": 0,
                });
                (StatusCode::TOO_MANY_REQUESTS, body)
            }
            Self::Broken(status) => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                (
                    status,
                    json!({ "message": format!("{}: {}", status.as_u16(), status.canonical_reason().unwrap_or("")), "code": 0 }),
                )
            }
        }
    }
}

fn step_by_step(
    world: &mut World,
    route: &'static Route,
    segments: &[String],
    query: &[(String, String)],
    parts: &Parts,
    body: Result<Body, Refusal>,
    headers: &mut HeaderMap,
) -> (Result<Answer, No>, bool) {
    let empty = Body::default();
    let call = Call { route: route.path, segments, query, body: body.as_ref().unwrap_or(&empty) };
    let name = format!("{} {}", route.method, route.path);
    let place =
        ["channel_id", "guild_id", "webhook_token", "interaction_token"].into_iter().map(|major| call.part(major));
    let place = place.collect::<Vec<_>>().join("/");
    let drawn =
        Drawn { route: &name, family: route.family, place: &place, counts_globally: route.proof != Proof::Path };

    let now = world.now();
    if let Some(early) = world.limits.too_early(&drawn, now) {
        world.record.violations.push(format!("{name} came {early:.0?} before the time it was told to wait for"));
    }
    let failure = world.faults.next_for(&name, call.part("channel_id").parse().unwrap_or_default());
    if let Some(failure) = failure.filter(|failure| *failure != Failure::AnswerLost) {
        let no = match failure {
            Failure::GlobalLimit(retry_after) => No::Wait(Wait { retry_after, global: true }),
            Failure::RouteLimit(retry_after) => No::Wait(Wait { retry_after, global: false }),
            Failure::Status(status) => No::Broken(status),
            Failure::AnswerLost => No::Broken(502),
        };
        if let No::Wait(wait) = no {
            world.limits.told(&drawn, wait, now);
            wait_headers(headers, wait);
        }
        let out_of_service = matches!(no, No::Broken(_));
        return (Err(no), out_of_service);
    }

    if route.proof == Proof::Bot && !is_the_bot(world, parts) {
        return (Err(UNAUTHORIZED.into()), false);
    }
    if let Err(wait) = world.limits.draw(&drawn, now) {
        headers.extend(world.limits.headers(&drawn, now));
        wait_headers(headers, wait);
        return (Err(No::Wait(wait)), false);
    }
    headers.extend(world.limits.headers(&drawn, now));

    if let Err(refusal) = body {
        return (Err(refusal.into()), false);
    }
    let ids = route.path.split('/').skip(1).zip(segments).filter(|(part, _)| part.ends_with("_id}"));
    for (part, segment) in ids {
        if segment.parse::<Snowflake>().is_err() {
            return (Err(no_snowflake(part.trim_matches(['{', '}']), segment).into()), false);
        }
    }
    let outcome = (route.act)(world, &call);
    if failure == Some(Failure::AnswerLost) {
        return (Err(No::Broken(502)), true);
    }
    (outcome.map_err(Into::into), false)
}

fn is_the_bot(world: &World, parts: &Parts) -> bool {
    let shown = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|shown| shown.strip_prefix("Bot "));
    token.is_some() && token == world.application.token.as_deref()
}

/// A file of a message, as Discord's own file server gives it.
fn attachment(world: &World, path: &str) -> Response {
    let mut parts = path.split('/');
    let channel = parts.next().and_then(|id| id.parse().ok()).and_then(|id: Snowflake| world.channels.get(&id));
    let id = parts.next().and_then(|id| id.parse::<Snowflake>().ok());
    let files =
        channel.into_iter().flat_map(|channel| channel.messages.values()).flat_map(|message| &message.attachments);
    match files.into_iter().find(|file| Some(file.id) == id) {
        Some(file) => {
            let kind = HeaderValue::from_str(&file.file.content_type).unwrap_or(HeaderValue::from_static("text/plain"));
            ([(CONTENT_TYPE, kind)], file.file.bytes.clone()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "This content is no longer available.").into_response(),
    }
}

/// A part of a path without its percent signs.
fn decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = hex.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok());
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The channel in the path, where the bot sees it and may do `what` there.
pub(crate) fn channel_for(world: &World, call: &Call<'_>, what: Permissions) -> Result<Snowflake, Refusal> {
    let id = call.id("channel_id");
    if !world.channels.contains_key(&id) {
        return Err(UNKNOWN_CHANNEL);
    }
    let may = world.may(world.application.bot, id);
    if !may.has(VIEW_CHANNEL) {
        return Err(MISSING_ACCESS);
    }
    if may.has(what) { Ok(id) } else { Err(MISSING_PERMISSIONS) }
}
