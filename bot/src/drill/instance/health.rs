//! Health, readiness with its named checks, signing keys and the complexity dashboard.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Held, log, refuse};
use crate::drill::chain::backend_time;
use crate::drill::settings::Fault;
use crate::drill::world::Complexity;

/// `GET /v1/health`. The backend's `uptime_seconds` is always 0.
pub(super) async fn health() -> Json<Value> {
    Json(json!({ "status": "healthy", "uptime_seconds": 0.0 }))
}

#[derive(Serialize)]
struct Check {
    name: &'static str,
    healthy: bool,
    latency_ms: f64,
    error: Option<String>,
}

/// What was last said about being ready, so that only changes are logged.
#[derive(Default)]
pub(super) struct Told(Mutex<Option<bool>>);

impl Told {
    /// Whether that is news.
    fn is_news(&self, ready: bool) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace(ready) != Some(ready)
    }
}

/// `GET /v1/ready`.
pub(super) async fn ready(State(app): Held) -> Response {
    let seen = app.store.look().await;
    let latency_ms = seen.took.as_secs_f64() * 1_000.0;
    let starting = (Instant::now() < app.ready_at).then(|| "still replaying events".to_owned());
    let never = (app.fault == Some(Fault::NeverReady)).then(|| "no connection from the pool within 5 s".to_owned());
    let failing = [
        ("database", never.or_else(|| seen.halt_table.err().map(|error| error.to_string()))),
        ("redis", seen.halt_signals.err().map(|error| error.to_string())),
        ("event_store", seen.head.err().map(|error| error.to_string()).or(starting)),
    ];
    let checks: BTreeMap<&str, Check> = failing
        .into_iter()
        .map(|(name, error)| (name, Check { name, healthy: error.is_none(), latency_ms, error }))
        .collect();
    let ready = checks.values().all(|check| check.healthy);
    if app.told.is_news(ready) {
        if ready {
            log::info("ready");
        } else {
            let failing =
                checks.values().filter_map(|check| Some(format!("{}: {}", check.name, check.error.as_ref()?)));
            log::warning(format_args!("not ready ({})", failing.collect::<Vec<_>>().join("; ")));
        }
    }
    let (status, word) = if ready { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "not-ready") };
    (status, Json(json!({ "status": word, "checks": checks, "health_type": "operational" }))).into_response()
}

/// `GET /v1/keys/status`: a probe of the rehearsal's own, because the backend has none.
pub(super) async fn keys(State(app): Held) -> Json<Value> {
    if app.fault == Some(Fault::NoKeys) {
        Json(json!({ "reachable": false, "error": "the HSM refused the session" }))
    } else {
        Json(json!({ "reachable": true }))
    }
}

/// `GET /v1/complexity/dashboard`.
pub(super) async fn complexity(State(app): Held) -> Response {
    match app.store.complexity().await {
        Ok(used) => Json(dashboard(used, Timestamp::now())).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

fn dashboard(used: Complexity, now: Timestamp) -> Value {
    let Complexity { adr_count, ceremony_types, cross_component_deps } = used;
    let dimensions = [(adr_count, 15), (ceremony_types, 10), (cross_component_deps, 20)];
    let utilization = |(used, limit): (u32, u32)| f64::from(used) / f64::from(limit) * 100.0;
    let rank = |dimension| match utilization(dimension) {
        breached if breached > 100.0 => 2,
        warning if warning >= 80.0 => 1,
        _ => 0,
    };
    let status = |rank: usize| ["within_budget", "warning", "breached"][rank];
    let [adr, ceremonies, deps] = dimensions;
    let worst = dimensions.into_iter().map(rank).max().unwrap_or(0);
    json!({
        "adr_count": adr.0,
        "adr_limit": adr.1,
        "adr_utilization": utilization(adr),
        "adr_status": status(rank(adr)),
        "ceremony_types": ceremonies.0,
        "ceremony_type_limit": ceremonies.1,
        "ceremony_type_utilization": utilization(ceremonies),
        "ceremony_type_status": status(rank(ceremonies)),
        "cross_component_deps": deps.0,
        "cross_component_dep_limit": deps.1,
        "cross_component_dep_utilization": utilization(deps),
        "cross_component_dep_status": status(rank(deps)),
        "overall_status": status(worst),
        "active_breaches": dimensions.into_iter().filter(|dimension| rank(*dimension) == 2).count(),
        "pending_escalations": 0,
        "last_updated": backend_time(now),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_is_as_bad_as_its_worst_dimension() {
        let told = |adr_count, ceremony_types, cross_component_deps| {
            let used = Complexity { adr_count, ceremony_types, cross_component_deps };
            let told = dashboard(used, Timestamp::UNIX_EPOCH);
            (told["overall_status"].clone(), told["active_breaches"].clone())
        };
        assert_eq!(told(9, 6, 11), (json!("within_budget"), json!(0)));
        assert_eq!(told(12, 6, 11), (json!("warning"), json!(0)));
        assert_eq!(told(9, 10, 11), (json!("warning"), json!(0)));
        assert_eq!(told(12, 11, 21), (json!("breached"), json!(2)));
    }
}
