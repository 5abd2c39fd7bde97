//! The shutdown order, as the backend's: on SIGTERM the listener closes at once, what is in flight may end, then what
//! is constitutional; and then the process ends by itself. Readiness never turns false first, so that a balancer that
//! was not told sends requests to nobody.

use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::{App, log};

/// How long requests in flight may take.
const IN_FLIGHT: Duration = Duration::from_secs(30);

/// How long constitutional work may take after these.
const CONSTITUTIONAL: Duration = Duration::from_mins(1);

/// From now on SIGTERM no longer ends this process by itself.
pub(super) fn listen() -> Result<Signal, String> {
    signal(SignalKind::terminate()).map_err(|error| format!("SIGTERM cannot be listened to: {error}"))
}

/// Serves until it is told to end, and ends in order.
pub(super) async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    router: Router,
    mut terminate: Signal,
) -> Result<(), String> {
    let (close, closed) = oneshot::channel::<()>();
    let listener = listener.tap_io(|connection| {
        // Only slower without it.
        let _ = connection.set_nodelay(true);
    });
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    let serving = axum::serve(listener, service).with_graceful_shutdown(async {
        let _ = closed.await;
    });
    let mut serving = std::pin::pin!(serving.into_future());
    tokio::select! {
        ended = &mut serving => return ended.map_err(|error| error.to_string()),
        _ = terminate.recv() => {}
    }
    let began = Instant::now();
    let requests = || app.requests.under_way();
    log::info(format_args!("SIGTERM: no new connections; requests in flight: {}", requests()));
    let _ = close.send(());
    if timeout(IN_FLIGHT, &mut serving).await.is_ok() {
        log::info(format_args!("nothing in flight any more after {:.1} s", began.elapsed().as_secs_f64()));
    } else {
        log::warning(format_args!("cut off after {} s; requests in flight: {}", IN_FLIGHT.as_secs(), requests()));
    }
    app.operations.finish(CONSTITUTIONAL).await;
    log::info("ended");
    Ok(())
}
