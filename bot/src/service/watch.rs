//! How a monitoring system sees the bot: `/health`, whether the process does its work; `/ready`, whether it can be asked
//! for something now; `/metrics`, the figures that an alert is raised on. Nothing here names a person or holds a secret.

mod observed;
mod page;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use scalebot_adapters::ledger::Storage;
use scalebot_commands::escalation;
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{ClaimHeld, LedgerError, World};
use scalebot_commands::supervisor::parked;
use scalebot_commands::units::{TargetName, Timestamp, elapsed};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use self::observed::Observed;
use self::page::{LogFigures, Page, UnderWay};
use super::front::Front;
use super::{Carried, Service};
use crate::measures::Beats;

/// How long the log may take for one look.
const LOOK: Duration = Duration::from_secs(2);

/// How many escalations are looked at, the last ones, and how many events of what became of them.
const ESCALATIONS: u32 = 200;
const AFTERWARDS: u32 = 1_000;

/// How long the task that carries operations out may show no sign of life.
const SIGN_WITHIN: Duration = Duration::from_secs(30);

/// How much longer than the longest step an operation may be silent until it counts as stalled.
const SLACK: Duration = Duration::from_mins(5);

/// What is looked at when somebody asks.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Watched>);

struct Watched {
    ledger: Arc<dyn Storage>,
    clock: Arc<dyn World>,
    front: Arc<dyn Front>,
    carried: Carried,
    policies: Vec<(TargetName, Policy)>,
    observed: Arc<Observed>,
    beats: Arc<Beats>,
    /// Why nothing is carried out although the process lives.
    held: Mutex<Option<String>>,
    /// When the task that carries operations out last showed a sign of life, by the monotonic clock, in milliseconds.
    sign: AtomicU64,
}

impl Watch {
    /// Nothing is served yet.
    pub(crate) fn new(service: &Service, front: &Arc<dyn Front>, carried: &Carried, observed: Arc<Observed>) -> Self {
        let policies = service.fleets().iter().map(|fleet| (fleet.ports.target.name.clone(), fleet.policy.clone()));
        let log = service.log();
        let watch = Self(Arc::new(Watched {
            ledger: Arc::clone(&log.ledger),
            clock: Arc::clone(&log.clock),
            front: Arc::clone(front),
            carried: carried.clone(),
            policies: policies.collect(),
            observed,
            beats: Arc::default(),
            held: Mutex::default(),
            sign: AtomicU64::new(0),
        }));
        watch.sign();
        watch
    }

    /// Nothing is carried out for that reason; `None` when it is again.
    pub(crate) fn hold(&self, why: Option<String>) {
        *self.0.held.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Whether something can be asked for now.
    pub(crate) async fn is_ready(&self) -> bool {
        self.0.unready().await.is_empty()
    }

    /// Where heartbeats are counted.
    pub(crate) fn beats(&self) -> Arc<Beats> {
        Arc::clone(&self.0.beats)
    }

    /// The task that carries operations out is alive.
    pub(crate) fn sign(&self) {
        self.0.sign.store(self.0.now(), Ordering::Relaxed);
    }
}

/// Where whoever asks is answered from, also before there is anything to look at.
#[derive(Clone, Default)]
pub(crate) struct Seat(Arc<Seated>);

#[derive(Default)]
struct Seated {
    watch: OnceLock<Watch>,
    waits: Mutex<String>,
}

impl Seat {
    /// The process waits until it leads, for that reason.
    pub(crate) fn waits(&self, why: String) {
        *self.0.waits.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// It leads: from now on, that is looked at.
    pub(crate) fn taken(&self, watch: Watch) {
        // There is one watch in the life of a process.
        let _ = self.0.watch.set(watch);
    }
}

impl Seated {
    fn waiting(&self) -> String {
        let why = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if why.is_empty() { "it is just beginning".to_owned() } else { why }
    }
}

/// Serves it.
///
/// # Errors
/// In words, when the address cannot be listened on.
pub(crate) async fn serve(seat: Seat, listen: SocketAddr) -> Result<JoinHandle<()>, String> {
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        format!("http.listen: {listen} cannot be listened on ({error}).\nName another address, or write enabled = false below [http].")
    })?;
    let router = router(seat);
    Ok(tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!(%error, "the bot's health is not served any more");
        }
    }))
}

fn router(seat: Seat) -> Router {
    Router::new()
        .route("/health", get(seat_health))
        .route("/ready", get(seat_ready))
        .route("/metrics", get(seat_metrics))
        .with_state(seat.0)
}

async fn seat_health(State(seat): State<Arc<Seated>>) -> Response {
    match seat.watch.get() {
        Some(watch) => health(&watch.0).into_response(),
        // Whoever waits is well: to end it would gain nothing.
        None => Json(json!({ "status": "healthy", "role": "standby", "version": env!("CARGO_PKG_VERSION") }))
            .into_response(),
    }
}

async fn seat_ready(State(seat): State<Arc<Seated>>) -> Response {
    if let Some(watch) = seat.watch.get() {
        ready(State(Arc::clone(&watch.0))).await.into_response()
    } else {
        let body = json!({ "ready": false, "role": "standby", "because": [seat.waiting()] });
        (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
    }
}

async fn seat_metrics(State(seat): State<Arc<Seated>>) -> Response {
    match seat.watch.get() {
        Some(watch) => metrics(State(Arc::clone(&watch.0))).await.into_response(),
        None => plain(page::waiting()).into_response(),
    }
}

fn plain(text: String) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}

fn health(watched: &Watched) -> impl IntoResponse + use<> {
    let silent = watched.silent_for();
    let alive = silent <= SIGN_WITHIN;
    let status = if alive { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({
        "status": if alive { "healthy" } else { "stuck" },
        "role": "leader",
        "version": env!("CARGO_PKG_VERSION"),
        "silent_seconds": silent.as_secs(),
    });
    (status, Json(body))
}

async fn ready(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    let because = watched.unready().await;
    let status = if because.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(json!({ "ready": because.is_empty(), "because": because })))
}

async fn metrics(State(watched): State<Arc<Watched>>) -> impl IntoResponse {
    plain(watched.page().await.text())
}

impl Watched {
    fn now(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn silent_for(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.sign.load(Ordering::Relaxed)))
    }

    async fn claims(&self) -> Result<Vec<ClaimHeld>, String> {
        bounded(self.ledger.claims()).await
    }

    /// Why nothing can be asked for now; empty where something can.
    async fn unready(&self) -> Vec<String> {
        let mut because = Vec::new();
        if self.silent_for() > SIGN_WITHIN {
            because.push("the task that carries operations out shows no sign of life".to_owned());
        }
        because.extend(self.held.lock().unwrap_or_else(PoisonError::into_inner).clone());
        because.extend(self.claims().await.err());
        because.extend(self.front.is_reached().err());
        because
    }

    async fn page(&self) -> Page {
        let claims = self.claims().await;
        let mut targets: BTreeMap<_, _> = self.policies.iter().map(|(name, _)| (name.clone(), None)).collect();
        match &claims {
            Ok(claims) => {
                for held in claims {
                    targets.insert(held.target.clone(), Some(self.under_way(held).await));
                }
            }
            Err(_) => targets.clear(),
        }
        let mut log = LogFigures { readable: claims.is_ok(), ..LogFigures::default() };
        if log.readable {
            log.head = bounded(self.ledger.latest_place()).await.ok();
            let posted = bounded(self.ledger.position()).await.ok().map(|(posted, _)| posted);
            log.unposted = log.head.zip(posted).map(|(head, posted)| head.saturating_sub(posted));
            log.unposted_oldest = match posted {
                Some(posted) => bounded(self.oldest_after(posted)).await.ok(),
                None => None,
            };
            log.escalations = bounded(self.open_escalations()).await.ok();
        }
        Page {
            counted: self.observed.counted(),
            log,
            front_reached: self.front.is_reached().is_ok(),
            requests: self.front.requests(),
            beats: Arc::clone(&self.beats),
            targets,
        }
    }

    async fn under_way(&self, held: &ClaimHeld) -> UnderWay {
        let now = self.clock.now();
        let events = bounded(self.ledger.events_of(&held.operation)).await.unwrap_or_default();
        let last = events.last().and_then(Event::time).unwrap_or(held.since);
        let silent = elapsed(last, now);
        let is_carried = self.carried.all().iter().any(|ours| ours.operation == held.operation);
        let policy = self.policies.iter().find(|(name, _)| *name == held.target).map(|(_, policy)| policy);
        let may_be_silent = policy.map_or(Duration::ZERO, longest_step) + SLACK;
        let stalled = !is_carried || events.is_empty() || parked(&events).is_some() || silent > may_be_silent;
        UnderWay { silent, stalled }
    }

    /// How old the oldest event after that one is; zero where there is none.
    async fn oldest_after(&self, posted: u64) -> Result<Duration, LedgerError> {
        let oldest = self.ledger.events_after(posted, 1).await?;
        let at = oldest.first().map(|event| event.time().unwrap_or(Timestamp::UNIX_EPOCH));
        Ok(at.map_or(Duration::ZERO, |at| elapsed(at, self.clock.now())))
    }

    async fn open_escalations(&self) -> Result<usize, LedgerError> {
        let mut events = Vec::new();
        for (kind, limit) in
            [(Kind::Escalated, ESCALATIONS), (Kind::Reescalated, AFTERWARDS), (Kind::Acknowledged, AFTERWARDS)]
        {
            events.extend(self.ledger.latest(kind.as_str(), limit).await?);
        }
        Ok(escalation::open(&events).len())
    }
}

async fn bounded<T>(look: impl Future<Output = Result<T, LedgerError>>) -> Result<T, String> {
    match timeout(LOOK, look).await {
        Ok(looked) => looked.map_err(|error| error.to_string()),
        Err(_) => Err(format!("the operational log did not answer within {} s", LOOK.as_secs())),
    }
}

/// The longest that a step may take without an event.
fn longest_step(policy: &Policy) -> Duration {
    let Policy { approval, time, drain, .. } = policy;
    let drained = drain.in_flight + drain.constitutional + drain.exit;
    // Watching is extended to twice its length at most, where there are gaps.
    [time.monitor * 2, approval.decide_within, time.ready_within, drained, drain.quiet]
        .into_iter()
        .max()
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
