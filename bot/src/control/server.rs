//! The end of the control socket that the process holds.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Json, Router};
use scalebot_commands::asked::cancel::{self, Point};
use scalebot_commands::break_glass::is_cancelled;
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::{CancelRequested, NotHeard, Signal, Signals};
use scalebot_commands::ports::Ledger;
use scalebot_commands::units::OperationId;
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::{Busy, Cancelled, caller};
use crate::private_socket::{self, absent_is_fine};

/// Where the socket is made, unseen by others.
const HIDDEN: &str = ".c";

/// The largest question that is read, in bytes.
const LARGEST: usize = 1 << 10;

/// How long a cancel may take until it is on record.
const RECORDED_WITHIN: Duration = Duration::from_secs(5);

/// Between two looks whether it is.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The control socket, open while this lives.
pub(crate) struct Control {
    socket: PathBuf,
    listening: Arc<Listening>,
    serving: JoinHandle<()>,
}

/// What those who ask are answered from.
struct Listening {
    ledger: Arc<dyn Ledger>,
    carried: Mutex<Option<(OperationId, Signals)>>,
}

/// An operation that can be cancelled through the socket, as long as this lives.
pub(crate) struct Carried<'a>(&'a Listening);

/// Who is at the other end of a connection, by their number.
#[derive(Clone, Copy, Debug)]
struct Caller(Option<u32>);

impl Connected<IncomingStream<'_, UnixListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        Self(stream.io().peer_cred().ok().map(|credentials| credentials.uid()))
    }
}

impl Control {
    /// Opens the socket in a state directory whose lock this process holds.
    ///
    /// # Errors
    /// In words: without it the process can still be interrupted, and cancelled then.
    pub(crate) fn open(socket: &Path, ledger: Arc<dyn Ledger>) -> Result<Self, String> {
        let hidden = socket.with_file_name(HIDDEN);
        let listener = private_socket::listen(socket, &hidden)
            .map_err(|error| format!("The control socket {} cannot be opened: {error}.", socket.display()))?;
        let listening = Arc::new(Listening { ledger, carried: Mutex::new(None) });
        let router = Router::new()
            .route("/status", get(status))
            .route("/cancel", post(stop))
            .layer(DefaultBodyLimit::max(LARGEST))
            .with_state(Arc::clone(&listening))
            .into_make_service_with_connect_info::<Caller>();
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the control socket is closed");
            }
        });
        Ok(Self { socket: socket.to_owned(), listening, serving })
    }

    /// From now on that is what is cancelled.
    pub(crate) fn carries(&self, operation: &OperationId, signals: Signals) -> Carried<'_> {
        self.listening.set(Some((operation.clone(), signals)));
        Carried(&self.listening)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
        if let Err(error) = absent_is_fine(std::fs::remove_file(&self.socket)) {
            tracing::warn!(%error, socket = %self.socket.display(), "the control socket could not be removed");
        }
    }
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Listening {
    fn set(&self, carried: Option<(OperationId, Signals)>) {
        *self.carried.lock().unwrap_or_else(PoisonError::into_inner) = carried;
    }

    fn get(&self) -> Option<(OperationId, Signals)> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The operation's events; none while the log cannot be read.
    async fn events(&self, operation: &OperationId) -> Vec<Event> {
        self.ledger.events_of(operation).await.unwrap_or_default()
    }
}

async fn status(State(listening): State<Arc<Listening>>) -> Json<Busy> {
    Json(Busy { process: std::process::id(), operation: listening.get().map(|(operation, _)| operation) })
}

async fn stop(
    State(listening): State<Arc<Listening>>,
    ConnectInfo(Caller(uid)): ConnectInfo<Caller>,
) -> Json<Cancelled> {
    let Some((operation, signals)) = listening.get() else { return Json(Cancelled::NothingUnderWay) };
    let before = listening.events(&operation).await;
    if is_cancelled(&before) {
        return Json(Cancelled::Already(operation));
    }
    match cancel::point_of(&before) {
        Point::GoingBack => return Json(Cancelled::GoingBack(operation)),
        Point::Over => return Json(Cancelled::Over(operation)),
        Point::Offered => return Json(Cancelled::Offered(operation)),
        Point::Ended => return Json(Cancelled::TooLate(operation)),
        Point::Before | Point::Changed | Point::Draining | Point::AskedBack | Point::Parked => {}
    }
    let told = signals.send(Signal::Cancel(CancelRequested { by: caller::person(uid) }));
    if told == Err(NotHeard::TooMany) {
        return Json(Cancelled::NotHeard(operation));
    }
    // It was taken only when it is on record.
    let asked = Instant::now();
    loop {
        let events = listening.events(&operation).await;
        if is_cancelled(&events) {
            return Json(Cancelled::Recorded(operation));
        }
        if told.is_err() || events.iter().any(|event| event.kind == Kind::Finished.as_str()) {
            return Json(Cancelled::TooLate(operation));
        }
        if asked.elapsed() > RECORDED_WITHIN {
            return Json(Cancelled::PassedOn(operation));
        }
        sleep(LOOK_EVERY).await;
    }
}
