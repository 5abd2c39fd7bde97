//! What the world answers on its socket: the fleet and its count, the forwarder, the shared store, its own life; and,
//! under `/happen`, what tests use to make things happen.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scalebot_adapters::process::wire::{
    ChainHead, Connections, DeclaredFile, Drain, Forwarded, HaltSignalEntries, HaltTableRows, Room, Scale, ScaleResult,
    Scaled,
};
use scalebot_commands::ports::FleetState;
use scalebot_commands::units::{InstanceId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::World;
use super::book::{Declined, Order};
use super::load::Told;
use super::store::{Complexity, Part, Sources, Store};
use crate::drill::chain::StoredEvent;
use crate::drill::settings::WorldInfo;

type Held = State<Arc<World>>;

/// At most so many events in one answer.
const EVENTS: usize = 2_000;

/// All routes.
pub(super) fn router(world: &Arc<World>) -> Router {
    Router::new()
        .route("/world", get(async |State(world): Held| -> Json<WorldInfo> { Json(world.info()) }))
        .route("/ping", post(async |State(world): Held| world.ping()))
        .route("/end", post(end))
        .route("/fleet", get(async |State(world): Held| -> Json<FleetState> { Json(world.book().state()) }))
        .route("/fleet/scale", post(scale))
        .route("/fleet/room", get(async |State(world): Held| -> Json<Room> { Json(world.book().room()) }))
        .route("/fleet/declared", get(declared))
        .route("/traffic", get(traffic))
        .route("/traffic/drain", post(drain))
        .route("/load", get(load))
        .nest("/store", store())
        .nest("/happen", happen())
        .with_state(Arc::clone(world))
}

fn store() -> Router<Arc<World>> {
    Router::new()
        .route("/halt-table", get(halt_table))
        .route("/halt-signals", get(halt_signals))
        .route("/halt", post(halt))
        .route("/database", get(database))
        .route("/redis", get(redis))
        .route("/chain/head", get(head))
        .route("/events", get(events))
        .route("/complexity", get(async |State(world): Held| -> Json<Complexity> { Json(world.store().complexity) }))
        .route(
            "/warnings",
            get(async |State(world): Held| -> Json<Vec<Value>> { Json(world.store().warnings.clone()) }),
        )
}

fn happen() -> Router<Arc<World>> {
    Router::new()
        .route("/halt", post(halt))
        .route("/clear", post(clear))
        .route("/halt-table", post(set_halt_table))
        .route("/event", post(add_event))
        .route("/kill", post(kill))
        .route("/outage", post(outage))
        .route("/load", post(set_load))
        .route("/connections", post(set_connections))
        .route("/complexity", post(set_complexity))
        .route("/warnings", post(set_warnings))
}

/// A refusal in words.
fn refuse(status: StatusCode, words: impl Into<String>) -> Response {
    (status, Json(json!({ "detail": words.into() }))).into_response()
}

/// Answers once every instance is gone.
async fn end(State(world): Held) -> Json<Value> {
    world.end().await;
    Json(json!({ "ended": true }))
}

async fn scale(State(world): Held, Json(order): Json<Scale>) -> Response {
    let told = |result, detail| Scaled { result, detail };
    match world.write(|book| book.scale(&order, Timestamp::now())) {
        Ok(starting) => {
            world.start(starting, true);
            (StatusCode::OK, Json(told(ScaleResult::Done, String::new()))).into_response()
        }
        Err(Declined::Conflict(detail)) => {
            (StatusCode::CONFLICT, Json(told(ScaleResult::Conflict, detail))).into_response()
        }
        Err(Declined::Refused(detail)) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(told(ScaleResult::Refused, detail))).into_response()
        }
    }
}

async fn declared(State(world): Held) -> Response {
    match tokio::fs::read_to_string(&world.declared).await {
        Ok(text) => Json(DeclaredFile { path: world.declared.display().to_string(), text }).into_response(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            refuse(StatusCode::NOT_FOUND, format!("There is no {}.", world.declared.display()))
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("{}: {error}", world.declared.display())),
    }
}

async fn traffic(State(world): Held) -> Json<Vec<Forwarded>> {
    let book = world.book();
    let forwarded = book.members().iter().map(|member| Forwarded {
        instance: member.seen.id.clone(),
        receives: member.receives(),
        drained: member.drained,
        requests: member.requests,
        in_flight: member.in_flight,
    });
    Json(forwarded.collect())
}

async fn drain(State(world): Held, Json(Drain { instance, drained }): Json<Drain>) -> Response {
    if world.write(|book| book.drain(&instance, drained)) {
        StatusCode::OK.into_response()
    } else {
        refuse(StatusCode::NOT_FOUND, format!("There is no instance {instance}."))
    }
}

#[derive(Deserialize)]
struct Window {
    seconds: Option<u32>,
}

async fn load(State(world): Held, Query(Window { seconds }): Query<Window>) -> Json<Told> {
    Json(world.load.tell(Duration::from_secs(u64::from(seconds.unwrap_or(60)))))
}

/// Reads from a part of the store, unless that part is down.
fn read<T: serde::Serialize>(world: &World, part: Part, read: impl FnOnce(&Store) -> T) -> Response {
    let store = world.store();
    if store.is_down(part) {
        let name = match part {
            Part::Database => "The database",
            Part::Redis => "Redis",
            Part::EventStore => "The event store",
        };
        return refuse(StatusCode::SERVICE_UNAVAILABLE, format!("{name} is down."));
    }
    Json(read(&store)).into_response()
}

async fn halt_table(State(world): Held) -> Response {
    read(&world, Part::Database, |store| HaltTableRows { rows: store.halt_table.clone() })
}

async fn halt_signals(State(world): Held) -> Response {
    read(&world, Part::Redis, |store| HaltSignalEntries { entries: store.halt_signals.clone() })
}

async fn database(State(world): Held) -> Response {
    read(&world, Part::Database, |store| store.database)
}

async fn redis(State(world): Held) -> Response {
    read(&world, Part::Redis, |store| store.redis)
}

async fn head(State(world): Held) -> Response {
    read(&world, Part::EventStore, |store| ChainHead { head: store.events.last().map(|event| event.sequence) })
}

#[derive(Deserialize)]
struct Range {
    start: u64,
    end: u64,
}

/// The events from `start` to `end`, both included, as far as there are any.
async fn events(State(world): Held, Query(Range { start, end }): Query<Range>) -> Response {
    read(&world, Part::EventStore, |store| -> Vec<StoredEvent> {
        let wanted = store.events.iter().filter(|event| (start..=end).contains(&event.sequence));
        wanted.take(EVENTS).cloned().collect()
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Halt {
    sources: Sources,
    reason: String,
}

async fn halt(State(world): Held, Json(Halt { sources, reason }): Json<Halt>) -> Response {
    let mut store = world.store();
    if store.is_down(Part::Database) || store.is_down(Part::Redis) {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "The store is down.");
    }
    let now = Timestamp::now();
    store.halt(sources, &reason, now);
    Json(json!({ "halted_at": now })).into_response()
}

async fn clear(State(world): Held, Json(Halt { sources, reason }): Json<Halt>) {
    world.store().clear(sources, &reason, Timestamp::now());
}

/// Sets the table's rows as they are given: none, several, or with NULL.
async fn set_halt_table(State(world): Held, Json(HaltTableRows { rows }): Json<HaltTableRows>) {
    world.store().halt_table = rows;
}

async fn add_event(State(world): Held) -> Json<ChainHead> {
    Json(ChainHead { head: Some(world.store().add_event(Timestamp::now())) })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Kill {
    instance: InstanceId,
}

async fn kill(State(world): Held, Json(Kill { instance }): Json<Kill>) -> Response {
    if world.book().tell(&instance, Order::Kill) {
        StatusCode::OK.into_response()
    } else {
        refuse(StatusCode::NOT_FOUND, format!("Instance {instance} has no process."))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outage {
    part: Part,
    down: bool,
}

async fn outage(State(world): Held, Json(Outage { part, down }): Json<Outage>) {
    world.store().set_down(part, down);
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rate {
    rate: f64,
}

async fn set_load(State(world): Held, Json(Rate { rate }): Json<Rate>) -> Response {
    if !(rate.is_finite() && rate >= 0.0) {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "The load is a number of requests per second.");
    }
    world.load.set_rate(rate);
    StatusCode::OK.into_response()
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Server {
    Database(Connections),
    Redis(Connections),
}

async fn set_connections(State(world): Held, Json(server): Json<Server>) {
    let mut store = world.store();
    match server {
        Server::Database(connections) => store.database = connections,
        Server::Redis(connections) => store.redis = connections,
    }
}

async fn set_complexity(State(world): Held, Json(complexity): Json<Complexity>) {
    world.store().complexity = complexity;
}

async fn set_warnings(State(world): Held, Json(warnings): Json<Vec<Value>>) {
    world.store().warnings = warnings;
}

#[cfg(test)]
mod tests;
