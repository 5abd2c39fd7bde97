//! One instance of the rehearsal's fleet: a real process that speaks the backend's interface over real HTTP.
//!
//! It lives by its standard input: when that ends, its world is gone or wants it gone, and it ends at once. Where it
//! listens is the one line on its standard output. What it knows of the halt and of the chain of events it reads from
//! the world's store.

mod exposition;
mod halt;
mod health;
mod observer;
mod slots;
mod store;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::ListenerExt as _;
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};

use self::exposition::Exposition;
use self::observer::Observer;
use self::slots::Slots;
use self::store::StoreClient;
use super::settings::Fault;
use crate::cli::InstanceArgs;

/// How long after it was first ready an instance with [`Fault::Crash`] exits.
const CRASH_AFTER: Duration = Duration::from_secs(1);

/// What one instance is made of.
pub(super) struct App {
    name: String,
    fault: Option<Fault>,
    ready_at: Instant,
    slots: Slots,
    store: StoreClient,
    observer: Observer,
    exposition: Exposition,
}

type Held = State<Arc<App>>;

impl App {
    fn new(args: InstanceArgs) -> Result<Self, String> {
        let mut random = fastrand::Rng::with_seed(args.seed);
        let starting = Duration::from_millis(random.u64(1_000..2_000));
        Ok(Self {
            store: StoreClient::new(&args.store).map_err(|error| error.to_string())?,
            name: args.name,
            fault: args.fault,
            ready_at: Instant::now() + starting,
            slots: Slots::new(random, if args.fault == Some(Fault::Slow) { 5 } else { 1 }),
            observer: Observer::new(args.fault == Some(Fault::DivergedChain)),
            exposition: Exposition::new(),
        })
    }
}

/// Runs an instance until its standard input ends.
pub(crate) async fn run(args: InstanceArgs) -> ExitCode {
    live_by_standard_input();
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Ends the process when its standard input does: on a thread of its own, so that nothing else can hold it up.
fn live_by_standard_input() {
    std::thread::spawn(|| {
        let mut heard = [0_u8; 64];
        while matches!(std::io::stdin().read(&mut heard), Ok(1..)) {}
        std::process::exit(0);
    });
}

async fn serve(args: InstanceArgs) -> Result<(), String> {
    let app = Arc::new(App::new(args)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}").and_then(|()| stdout.flush()).map_err(|error| error.to_string())?;

    if app.fault == Some(Fault::Crash) {
        let crash_at = app.ready_at + CRASH_AFTER;
        tokio::spawn(async move {
            sleep_until(crash_at).await;
            std::process::exit(1);
        });
    }
    let listener = listener.tap_io(|connection| {
        // Only slower without it.
        let _ = connection.set_nodelay(true);
    });
    let router = router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).await.map_err(|error| error.to_string())
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/health", get(health::health))
        .route("/v1/ready", get(health::ready))
        .route("/v1/keys/status", get(health::keys))
        .route("/v1/metrics", get(exposition::metrics))
        .route("/v1/governance/halt/status", get(halt::status))
        .route("/v1/governance/halt", axum::routing::post(halt::trigger))
        .route("/v1/failure-prevention/warnings", get(warnings))
        .route("/v1/complexity/dashboard", get(health::complexity))
        .route("/v1/petitions/{id}", get(petition))
        .nest("/v1/observer", observer::router(&app))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), exposition::record))
        .with_state(app)
}

/// A refusal as the backend words one.
fn refuse(status: StatusCode, detail: impl Into<String>) -> Response {
    (status, Json(json!({ "detail": detail.into() }))).into_response()
}

/// The work: waits for a slot, and then takes its time.
async fn petition(State(app): Held, Path(id): Path<String>) -> Json<Value> {
    let done_at = app.slots.occupy(Instant::now());
    sleep_until(done_at).await;
    Json(json!({ "petition_id": id, "state": "acknowledged", "as_of": Timestamp::now(), "served_by": app.name }))
}

async fn warnings(State(app): Held) -> Response {
    match app.store.warnings().await {
        Ok(warnings) => Json(warnings).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
