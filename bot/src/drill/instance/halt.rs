//! The halt as this instance holds it, and the call that halts the system.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::store::Seen;
use super::{Held, refuse};
use crate::drill::settings::Fault;

/// The reasons that the backend takes.
const REASONS: [&str; 5] =
    ["operator", "system_fault", "integrity_violation", "consensus_failure", "constitutional_breach"];

/// The longest message, in characters.
const MESSAGE: usize = 1_000;

/// What the sources of truth come to.
#[derive(Debug, PartialEq, Eq)]
struct Halt {
    halted: bool,
    at: Option<String>,
    reason: Option<String>,
}

/// `GET /v1/governance/halt/status`.
pub(super) async fn status(State(app): Held) -> Response {
    let mut halt = match read(app.store.look().await) {
        Ok(halt) => halt,
        Err(detail) => return refuse(StatusCode::SERVICE_UNAVAILABLE, detail),
    };
    if app.fault == Some(Fault::DivergedHalt) {
        halt = Halt { halted: !halt.halted, at: None, reason: None };
    }
    Json(json!({
        "is_halted": halt.halted,
        "halted_at": halt.at,
        "reason": halt.reason,
        "message": halt.reason,
        "operator_id": null,
    }))
    .into_response()
}

/// Either source says so: halted. Not halted only when both can be read.
fn read(seen: Seen) -> Result<Halt, String> {
    let rows = seen.halt_table.map_err(|error| error.to_string())?;
    let entries = seen.halt_signals.map_err(|error| error.to_string())?;
    let [row] = rows.as_slice() else { return Err(format!("halt_state has {} rows", rows.len())) };
    let table = row.is_halted.ok_or("halt_state.is_halted is NULL")?;
    let oldest = entries.first();
    Ok(Halt {
        halted: table || oldest.is_some(),
        at: row
            .halted_at
            .filter(|_| table)
            .map(|at| at.to_string())
            .or_else(|| oldest.map(|entry| entry.timestamp.clone())),
        reason: row.reason.clone().filter(|_| table).or_else(|| oldest.map(|entry| entry.reason.clone())),
    })
}

/// The body of the halt call.
#[derive(Deserialize)]
pub(super) struct Call {
    reason: String,
    message: String,
}

/// `POST /v1/governance/halt`.
pub(super) async fn trigger(State(app): Held, headers: HeaderMap, call: Result<Json<Call>, JsonRejection>) -> Response {
    let operator = headers.get("x-operator-id").and_then(|value| value.to_str().ok());
    if operator.and_then(|id| id.parse::<uuid::Uuid>().ok()).is_none() {
        return refuse(StatusCode::UNAUTHORIZED, "X-Operator-Id names no operator: a UUID is needed");
    }
    let Json(Call { reason, message }) = match call {
        Ok(call) => call,
        Err(error) => return refuse(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
    };
    if !REASONS.contains(&reason.as_str()) {
        let detail = format!("reason must be one of: {}", REASONS.join(", "));
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, detail);
    }
    let message = message.trim();
    if message.is_empty() || message.chars().count() > MESSAGE {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "message must have between 1 and 1000 characters");
    }
    let began = Instant::now();
    match app.store.halt(&format!("{reason}: {message}")).await {
        Ok(halted) => Json(json!({
            "success": true,
            "halted_at": halted.get("halted_at"),
            "execution_ms": began.elapsed().as_secs_f64() * 1_000.0,
            "channels_reached": ["halt_state", "halt:signals"],
            "reason": reason,
            "message": message,
        }))
        .into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
