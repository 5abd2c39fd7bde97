//! The observer's routes: the chain of events as this instance sees it, at most 60 requests a minute for each client.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use scalebot_commands::ports::PortError;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{App, Held, refuse};
use crate::drill::chain::{self, StoredEvent};

/// How many requests a client may send in how long.
const ALLOWED: usize = 60;
const PER: Duration = Duration::from_mins(1);

/// How many clients are told apart; from there on the idle ones are forgotten.
const CLIENTS: usize = 1_000;

/// The most events in one answer.
const EVENTS: u64 = 1_000;

/// How far before the head another history begins.
const FORK_BEFORE_HEAD: u64 = 5;

/// What this instance makes of the chain.
pub(super) struct Observer {
    diverged: bool,
    fork: OnceCell<u64>,
    limiter: Mutex<Limiter>,
}

impl Observer {
    /// One that sees the store's chain, or another history of its last events.
    pub(super) fn new(diverged: bool) -> Self {
        Self { diverged, fork: OnceCell::new(), limiter: Mutex::default() }
    }
}

/// `/v1/observer`.
pub(super) fn router(app: &Arc<App>) -> Router<Arc<App>> {
    Router::new()
        .route("/events", get(list))
        .route("/events/sequence/{n}", get(one))
        .route("/verify-chain", get(verify))
        .layer(middleware::from_fn_with_state(Arc::clone(app), limit))
}

/// Who asked how often, in the last minute.
#[derive(Default)]
struct Limiter {
    clients: HashMap<IpAddr, VecDeque<Instant>>,
}

impl Limiter {
    /// Whether that client may ask now; if so, it has.
    fn allows(&mut self, client: IpAddr, now: Instant) -> bool {
        if self.clients.len() >= CLIENTS {
            self.clients.retain(|_, asked| asked.back().is_some_and(|last| now.duration_since(*last) < PER));
        }
        let asked = self.clients.entry(client).or_default();
        while asked.front().is_some_and(|first| now.duration_since(*first) >= PER) {
            asked.pop_front();
        }
        let allowed = asked.len() < ALLOWED;
        if allowed {
            asked.push_back(now);
        }
        allowed
    }
}

async fn limit(
    State(app): Held,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let allowed = {
        let mut limiter = app.observer.limiter.lock().unwrap_or_else(PoisonError::into_inner);
        limiter.allows(client.ip(), Instant::now())
    };
    if allowed {
        return next.run(request).await;
    }
    let mut response = refuse(StatusCode::TOO_MANY_REQUESTS, "Rate limit exceeded: 60 per 1 minute");
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("60"));
    response
}

/// The events from `start` to `end` as this instance sees them, and the one before them.
async fn seen(app: &App, start: u64, end: u64) -> Result<(Option<StoredEvent>, Vec<StoredEvent>), PortError> {
    // One more at either end is read than a fork needs to be followed from.
    let stored = app.store.events(start.saturating_sub(2), end).await?;
    let at = |sequence: u64| stored.iter().find(|event| event.sequence == sequence);
    let fork =
        if app.observer.diverged { app.observer.fork.get_or_try_init(|| fork(app)).await.copied()? } else { u64::MAX };
    let mine = |event: &StoredEvent| {
        if event.sequence < fork {
            event.clone()
        } else {
            chain::forked(event, at(event.sequence.wrapping_sub(1)), fork)
        }
    };
    let before = at(start.wrapping_sub(1)).map(mine);
    Ok((before, stored.iter().filter(|event| event.sequence >= start).map(mine).collect()))
}

/// Where the other history begins: shortly before the head that there was when this was first asked for.
async fn fork(app: &App) -> Result<u64, PortError> {
    let head = app.store.head().await?.unwrap_or(0);
    Ok(head.saturating_sub(FORK_BEFORE_HEAD).max(1))
}

fn unavailable(error: &PortError) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
}

async fn one(State(app): Held, Path(sequence): Path<u64>) -> Response {
    match seen(&app, sequence, sequence).await {
        Ok((_, events)) => match events.into_iter().next() {
            Some(event) => Json(event).into_response(),
            None => refuse(StatusCode::NOT_FOUND, "Event not found"),
        },
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct Page {
    limit: Option<u64>,
    offset: Option<u64>,
}

async fn list(State(app): Held, Query(page): Query<Page>) -> Response {
    let (limit, offset) = (page.limit.unwrap_or(100), page.offset.unwrap_or(0));
    if !(1..=EVENTS).contains(&limit) {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "limit must be between 1 and 1000");
    }
    let read = async {
        let head = app.store.head().await?.unwrap_or(0);
        let (_, events) = seen(&app, offset.saturating_add(1), offset.saturating_add(limit).min(head)).await?;
        Ok((head, events))
    };
    match read.await {
        Ok((head, events)) => {
            let has_more = offset.saturating_add(limit) < head;
            let pagination = json!({ "total_count": head, "offset": offset, "limit": limit, "has_more": has_more });
            Json(json!({ "events": events, "pagination": pagination })).into_response()
        }
        Err(error) => unavailable(&error),
    }
}

#[derive(Deserialize)]
struct Range {
    start: u64,
    end: u64,
}

/// As the backend does: valid on an empty store and past the head, because it looks only at what there is.
async fn verify(State(app): Held, Query(Range { start, end }): Query<Range>) -> Response {
    if start == 0 || end < start || end - start >= EVENTS {
        return refuse(StatusCode::UNPROCESSABLE_ENTITY, "start must be at least 1, and end at most 999 beyond it");
    }
    match seen(&app, start, end).await {
        Ok((before, events)) => {
            let first_invalid = chain::first_invalid(before.as_ref(), &events);
            let verified = events.iter().take_while(|event| Some(event.sequence) != first_invalid).count();
            Json(json!({
                "start_sequence": start,
                "end_sequence": end,
                "is_valid": first_invalid.is_none(),
                "first_invalid_sequence": first_invalid,
                "error_message": first_invalid.map(|sequence| format!("Hash chain broken at sequence {sequence}")),
                "verified_count": verified,
            }))
            .into_response()
        }
        Err(error) => unavailable(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixty_first_request_in_a_minute_is_refused_and_other_clients_are_not() {
        let (one, other): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let mut limiter = Limiter::default();
        let now = Instant::now();
        assert!((0..60).all(|_| limiter.allows(one, now)));
        assert!(!limiter.allows(one, now + Duration::from_secs(59)));
        assert!(limiter.allows(other, now));
        assert!(limiter.allows(one, now + Duration::from_mins(1)));
    }
}
