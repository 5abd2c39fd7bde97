//! What tests use to make things happen in a world: halts, deaths, outages, another load, work that takes long.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use scalebot_adapters::http::Http;
use scalebot_adapters::process::wire::{ChainHead, Connections, HaltTableRows};
use scalebot_commands::ports::PortError;
use scalebot_commands::units::{InstanceId, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::{Halt, Held, halt_told, no_such, refuse};
use crate::drill::instance::{BEGIN_WORK, WorkToDo};
use crate::drill::world::World;
use crate::drill::world::book::Order;
use crate::drill::world::forwarder;
use crate::drill::world::store::{Complexity, Part};

/// How long an instance may take to answer that it has begun a piece of work.
const BEGINS: Duration = Duration::from_secs(5);

/// The longest request that can be asked for.
const LONGEST: u64 = 600;

/// `/happen`.
pub(super) fn router() -> Router<Arc<World>> {
    Router::new()
        .route("/halt", post(super::halt))
        .route("/clear", post(clear))
        .route("/halt-table", post(set_halt_table))
        .route("/event", post(add_event))
        .route("/kill", post(kill))
        .route("/outage", post(outage))
        .route("/load", post(set_load))
        .route("/connections", post(set_connections))
        .route("/complexity", post(set_complexity))
        .route("/warnings", post(set_warnings))
        .route("/work", post(work))
        .route("/long-request", post(long_request))
        .route("/lying-balancer", post(lying_balancer))
}

async fn clear(State(world): Held, Json(Halt { sources, reason }): Json<Halt>) -> Response {
    world.store().clear(sources, &reason, Timestamp::now());
    halt_told(&world, Value::Null).await
}

/// Sets the table's rows as they are given: none, several, or with NULL.
async fn set_halt_table(State(world): Held, Json(HaltTableRows { rows }): Json<HaltTableRows>) -> Response {
    world.store().halt_table = rows;
    halt_told(&world, Value::Null).await
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

/// A piece of work for an instance, which it is told of over HTTP as it would be by its users.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Work {
    instance: InstanceId,
    what: String,
    constitutional: bool,
    seconds: u64,
}

async fn work(State(world): Held, Json(work): Json<Work>) -> Response {
    let Work { instance, what, constitutional, seconds } = work;
    let address = world.book().member(&instance).and_then(|member| member.seen.address.clone());
    let Some(address) = address else { return no_such(&instance) };
    match begin_work(&address, &WorkToDo { what, constitutional, seconds }).await {
        Ok(status) => status.into_response(),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

async fn begin_work(address: &str, work: &WorkToDo) -> Result<StatusCode, PortError> {
    let http = Http::new("the instance", BEGINS)?;
    Ok(http.post(&http.url(address, BEGIN_WORK)?, work).await?.status)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LongRequest {
    instance: InstanceId,
    seconds: u64,
}

/// Answers once it is counted as under way.
async fn long_request(State(world): Held, Json(LongRequest { instance, seconds }): Json<LongRequest>) -> Response {
    match forwarder::send_long(&world, &instance, Duration::from_secs(seconds.min(LONGEST))) {
        Ok(true) => StatusCode::OK.into_response(),
        Ok(false) => no_such(&instance),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lies {
    lies: bool,
}

async fn lying_balancer(State(world): Held, Json(Lies { lies }): Json<Lies>) {
    world.routes().lie(lies);
}
