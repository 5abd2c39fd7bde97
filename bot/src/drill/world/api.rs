//! What the world answers on its socket: the fleet and its count, the forwarder, the shared store, its own life; and,
//! under `/happen`, what tests use to make things happen.

mod happen;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use scalebot_adapters::process::wire::{
    ChainHead, DeclaredFile, Drain, Forwarded, HaltSignalEntries, HaltTableRows, InstanceLog, Remove, Room, Scale,
    ScaleResult, Scaled,
};
use scalebot_commands::ports::FleetState;
use scalebot_commands::units::{InstanceId, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::World;
use super::book::{Changed, Declined};
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
        .route("/fleet/remove", post(remove))
        .route("/fleet/logs/{instance}", get(logs))
        .route("/fleet/room", get(async |State(world): Held| -> Json<Room> { Json(world.book().room()) }))
        .route("/fleet/declared", get(declared))
        .route("/traffic", get(async |State(world): Held| -> Json<Vec<Forwarded>> { Json(world.routes().tell()) }))
        .route("/traffic/drain", post(drain))
        .route("/load", get(load))
        .nest("/store", store())
        .nest("/happen", happen::router())
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

/// A refusal in words.
fn refuse(status: StatusCode, words: impl Into<String>) -> Response {
    (status, Json(json!({ "detail": words.into() }))).into_response()
}

fn no_such(instance: &InstanceId) -> Response {
    refuse(StatusCode::NOT_FOUND, format!("There is no instance {instance}."))
}

/// Answers once every instance is gone.
async fn end(State(world): Held) -> Json<Value> {
    world.end().await;
    Json(json!({ "ended": true }))
}

async fn scale(State(world): Held, Json(order): Json<Scale>) -> Response {
    let result = world.write(|book| book.scale(&order, Timestamp::now()));
    carried_out(&world, result)
}

async fn remove(State(world): Held, Json(order): Json<Remove>) -> Response {
    let result = world.write(|book| book.end_exactly(&order, Timestamp::now()));
    carried_out(&world, result)
}

/// Does what an order leaves to do, and answers it.
fn carried_out(world: &Arc<World>, result: Result<Changed, Declined>) -> Response {
    let (status, result, detail) = match result {
        Ok(Changed { starting, taken_out }) => {
            world.start(starting, true);
            for id in &taken_out {
                world.routes().forget(id);
            }
            (StatusCode::OK, ScaleResult::Done, String::new())
        }
        Err(Declined::Conflict(detail)) => (StatusCode::CONFLICT, ScaleResult::Conflict, detail),
        Err(Declined::Refused(detail)) => (StatusCode::UNPROCESSABLE_ENTITY, ScaleResult::Refused, detail),
    };
    (status, Json(Scaled { result, detail })).into_response()
}

#[derive(Deserialize)]
struct Last {
    most: usize,
}

async fn logs(State(world): Held, Path(instance): Path<InstanceId>, Query(Last { most }): Query<Last>) -> Response {
    if !world.book().knew(&instance) {
        return no_such(&instance);
    }
    let read = tokio::task::spawn_blocking(move || world.logs.last(&instance, most)).await;
    match read.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        Ok(text) => Json(InstanceLog { text }).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("Its log cannot be read: {error}.")),
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

async fn drain(State(world): Held, Json(Drain { instance, drained }): Json<Drain>) -> Response {
    if world.routes().drain(&instance, drained) { StatusCode::OK.into_response() } else { no_such(&instance) }
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
    let now = Timestamp::now();
    {
        let mut store = world.store();
        if store.is_down(Part::Database) || store.is_down(Part::Redis) {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "The store is down.");
        }
        store.halt(sources, &reason, now);
    }
    halt_told(&world, json!({ "halted_at": now })).await
}

/// The answer to whoever has changed the halt, once everybody around was told.
async fn halt_told(world: &World, answer: Value) -> Response {
    match world.surroundings.tell_halt(world).await {
        Ok(()) => Json(answer).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
