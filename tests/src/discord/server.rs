//! The double's own process: a thread that listens on 127.0.0.1, takes each request through the same steps as Discord
//! does, and can be made to fail.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts as _, Query, Request as HttpRequest, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::body::{Body, REQUEST};
use super::gateway::socket;
use super::refusal::TOO_LARGE;
use super::rest;
use super::world::World;

/// What the tests and the server both hold.
pub(crate) struct Shared {
    world: Mutex<World>,
    changed: watch::Sender<u64>,
    /// Counts up each time that every connection is cut.
    pub(crate) cut: watch::Sender<u64>,
    /// Whether new connections are cut at once.
    pub(crate) unreachable: watch::Sender<bool>,
    pub(crate) patience: Mutex<Duration>,
}

impl Shared {
    pub(crate) fn new(world: World) -> Self {
        Self {
            world: Mutex::new(world),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            unreachable: watch::Sender::new(false),
            patience: Mutex::new(Duration::from_secs(20)),
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A test that failed while it looked has changed nothing.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the world.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&World) -> T) -> T {
        see(&self.world())
    }

    /// Changes the world, and wakes whoever waits for something to happen in it.
    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let result = act(&mut self.world());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Waits until `see` finds something.
    ///
    /// # Panics
    /// Where that takes longer than the double's patience, with what was to be seen instead.
    pub(crate) async fn until<T>(&self, what: &str, see: impl FnMut(&World) -> Option<T>) -> T {
        self.until_chosen(what, see, |found| found).await
    }

    /// Waits until `choose` finds something in what is to be seen. It is a test's own, and may look at the world.
    ///
    /// # Panics
    /// As `until`.
    pub(crate) async fn until_chosen<S, T>(
        &self,
        what: &str,
        mut see: impl FnMut(&World) -> S,
        choose: impl Fn(S) -> Option<T>,
    ) -> T {
        let mut changes = self.changed.subscribe();
        let patience = *self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tokio::time::timeout(patience, async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = choose(self.look(&mut see)) {
                    return found;
                }
                // The sender lives as long as this does.
                let _ = changes.changed().await;
            }
        });
        let Ok(found) = found.await else {
            panic!("{what}: not within {patience:?}.\n{}", self.look(World::transcript))
        };
        found
    }
}

/// Serves until the runtime ends.
pub(crate) async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    let line = Lines { listener, shared: Arc::clone(&shared) };
    let router = axum::Router::new().fallback(take).with_state(shared);
    let _ = axum::serve(line, router).await;
}

async fn take(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response {
    if request.headers().contains_key("upgrade") {
        return upgrade(shared, request).await;
    }
    if let Some(answer) = shared.change(rest::before_the_api) {
        return answer;
    }
    let (parts, body) = request.into_parts();
    let body = match to_bytes(body, REQUEST).await {
        Ok(bytes) => Body::read(&parts.headers, bytes).await,
        Err(_) => Err(TOO_LARGE),
    };
    shared.change(|world| rest::answer(world, &parts, body))
}

async fn upgrade(shared: Arc<Shared>, request: HttpRequest) -> Response {
    let (mut parts, _) = request.into_parts();
    if shared.look(|world| world.gateway.refusing) {
        return (StatusCode::SERVICE_UNAVAILABLE, "upstream connect error").into_response();
    }
    let query = Query::<Vec<(String, String)>>::from_request_parts(&mut parts, &()).await.unwrap_or_default();
    let version = query.0.into_iter().find(|(name, _)| name == "v").map(|(_, version)| version);
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) => upgrade.on_upgrade(move |socket| socket::serve(shared, socket, version)),
        Err(_) => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The listener, whose connections can all be cut.
struct Lines {
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Listener for Lines {
    type Io = Line;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Line, Self::Addr) {
        loop {
            let Ok((stream, address)) = self.listener.accept().await else {
                // What fails here (no descriptors left) passes.
                tokio::task::yield_now().await;
                continue;
            };
            if *self.shared.unreachable.borrow() {
                continue;
            }
            // Without this, small answers wait for the other side's acknowledgement.
            let _ = stream.set_nodelay(true);
            let mut cuts = self.shared.cut.subscribe();
            cuts.borrow_and_update();
            let cut = Box::pin(async move {
                let _ = cuts.changed().await;
            });
            return (Line { stream, cut: Some(cut) }, address);
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

/// One connection, which ends for both sides when it is cut.
struct Line {
    stream: TcpStream,
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Line {
    fn is_cut(&mut self, cx: &mut Context<'_>) -> bool {
        if self.cut.as_mut().is_some_and(|cut| cut.as_mut().poll(cx).is_ready()) {
            self.cut = None;
        }
        self.cut.is_none()
    }
}

impl AsyncRead for Line {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Line {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_cut(cx) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer without a body.
pub(crate) fn nothing(status: StatusCode) -> Response {
    (status, HttpBody::empty()).into_response()
}
