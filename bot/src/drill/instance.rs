//! One instance of the rehearsal's fleet: a real process that speaks the backend's interface over real HTTP.
//!
//! It lives by its standard input: when that ends, its world is gone or wants it gone, and it ends at once. In a container
//! there is none, and it lives by the world's socket. On SIGTERM it ends in order. Where it listens is the one line on its
//! standard output, and its log is its standard error. What it knows of the halt and of the chain of events it reads from the
//! world's store; alone, as in a pod of a cluster, from one of its own.

mod exposition;
mod halt;
mod health;
mod log;
mod observer;
mod operations;
mod requests;
mod shutdown;
mod slots;
mod store;

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use jiff::Timestamp;
use scalebot_adapters::http::Http;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, sleep_until};

use self::exposition::Exposition;
use self::health::Told;
use self::observer::Observer;
use self::operations::Operations;
pub(super) use self::operations::{BEGIN_WORK, WorkToDo};
use self::requests::Requests;
use self::slots::Slots;
use self::store::StoreClient;
use super::settings::Fault;
use crate::cli::{InstanceArgs, ReadyArgs};

/// How long after it was first ready an instance with [`Fault::Crash`] exits.
const CRASH_AFTER: Duration = Duration::from_secs(1);

/// How often a contained instance looks whether its world is there, and after how many looks in vain it is gone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const GONE_AFTER: u32 = 5;

/// How long an instance may take to say whether it is ready.
const LOOK: Duration = Duration::from_secs(4);

/// Where a request takes as long as it says. The backend has no such route; some of its requests are like that.
pub(super) const LONG: &str = "/happen/wait";

/// The longest such request, in seconds.
const LONGEST: u64 = 600;

/// What one instance is made of.
pub(super) struct App {
    name: String,
    fault: Option<Fault>,
    ready_at: Instant,
    told: Told,
    requests: Requests,
    operations: Operations,
    slots: Slots,
    store: StoreClient,
    observer: Observer,
    exposition: Exposition,
}

type Held = State<Arc<App>>;

/// Another number in every container: all of them are started with the same words.
fn of_this_container() -> u64 {
    let name = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    name.iter().fold(0, |number: u64, byte| number.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

impl App {
    fn new(args: InstanceArgs) -> Result<Self, String> {
        let own = if args.contained.is_some() { of_this_container() } else { 0 };
        let mut random = fastrand::Rng::with_seed(args.seed ^ own);
        let starting = Duration::from_millis(random.u64(1_000..2_000));
        let fault = args.fault.filter(|_| args.fault_if.as_deref().is_none_or(std::path::Path::exists));
        Ok(Self {
            store: match &args.store {
                Some(socket) => StoreClient::of_a_world(socket).map_err(|error| error.to_string())?,
                None => StoreClient::alone(),
            },
            name: args.name,
            fault,
            ready_at: Instant::now() + starting,
            told: Told::default(),
            requests: Requests::default(),
            operations: Operations::default(),
            slots: Slots::new(random, if fault == Some(Fault::Slow) { 5 } else { 1 }),
            observer: Observer::new(fault == Some(Fault::DivergedChain)),
            exposition: Exposition::new(),
        })
    }
}

/// Runs an instance until it is told to end, or its standard input ends where it has a world.
pub(crate) async fn run(args: InstanceArgs) -> ExitCode {
    match (&args.alone, &args.contained, &args.store) {
        (Some(_), ..) => {}
        (None, Some(_), Some(world)) => live_by(world.clone()),
        (None, ..) => live_by_standard_input(),
    }
    match serve(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error(error);
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

/// Ends the process when nobody has listened on the world's socket for a while.
fn live_by(world: PathBuf) {
    std::thread::spawn(move || {
        let mut silent = 0;
        while silent < GONE_AFTER {
            std::thread::sleep(LOOK_EVERY);
            silent = if std::os::unix::net::UnixStream::connect(&world).is_ok() { 0 } else { silent + 1 };
        }
        log::error("the world that this instance belongs to is gone");
        std::process::exit(0);
    });
}

/// Whether the instance there is ready, as an exit code.
pub(crate) async fn tell_ready(args: ReadyArgs) -> ExitCode {
    let asked = Http::new("the instance", LOOK).map(|http| (http, format!("http://{}/v1/ready", args.address)));
    let ready = match asked {
        Ok((http, url)) => http.get(&url).await.and_then(|answer| http.accept(&url, &answer)),
        Err(error) => Err(error),
    };
    match ready {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: InstanceArgs) -> Result<(), String> {
    let listen = args.alone.or(args.contained).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    let app = Arc::new(App::new(args)?);
    let terminate = shutdown::listen()?;
    let listener = TcpListener::bind(listen).await.map_err(|error| error.to_string())?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    log::info(format_args!("{} started (process {}), listening on {address}", app.name, std::process::id()));
    log_fault(app.fault);
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{address}").and_then(|()| stdout.flush()).map_err(|error| error.to_string())?;

    if app.fault == Some(Fault::Crash) {
        let crash_at = app.ready_at + CRASH_AFTER;
        tokio::spawn(async move {
            sleep_until(crash_at).await;
            log::error("unhandled exception in the event loop; the process ends with status 1");
            std::process::exit(1);
        });
    }
    shutdown::serve(Arc::clone(&app), listener, router(app), terminate).await
}

/// What a backend that is so would say about itself. One that is merely slow notices with its requests only.
fn log_fault(fault: Option<Fault>) {
    match fault {
        Some(Fault::DivergedChain) => log::warning("events are read from a local replica, not from the event store"),
        Some(Fault::DivergedHalt) => log::warning("the halt state is read from a local cache, not from its sources"),
        Some(Fault::NoKeys) => log::error("signing keys: the HSM refused the session"),
        _ => {}
    }
}

fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/v1/health", get(health::health))
        .route("/v1/ready", get(health::ready))
        .route("/v1/keys/status", get(health::keys))
        .route("/v1/metrics", get(exposition::metrics))
        .route("/v1/governance/halt/status", get(halt::status))
        .route("/v1/governance/halt", post(halt::trigger))
        .route("/v1/operations", get(operations::list))
        .route("/v1/failure-prevention/warnings", get(warnings))
        .route("/v1/complexity/dashboard", get(health::complexity))
        .route("/v1/petitions/{id}", get(petition))
        .nest("/v1/observer", observer::router(&app))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), exposition::record))
        // Not of the backend, so not in its metrics.
        .route(BEGIN_WORK, post(operations::begin))
        .route(LONG, get(long))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), requests::follow))
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

#[derive(Deserialize)]
struct Length {
    seconds: u64,
}

async fn long(Query(Length { seconds }): Query<Length>) {
    sleep(Duration::from_secs(seconds.min(LONGEST))).await;
}

async fn warnings(State(app): Held) -> Response {
    match app.store.warnings().await {
        Ok(warnings) => Json(warnings).into_response(),
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}

#[cfg(test)]
mod tests;
