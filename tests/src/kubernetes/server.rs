//! The API server's connections: HTTPS on 127.0.0.1, each cut when a test cuts it, and the answers that are no plain
//! objects: watches, what pods answer, what pods wrote.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{Request, Response, StatusCode, header};
use futures::stream;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;

use super::api::{self, Answer, Logged, Proxied, Watching};
use super::failure::Failure;
use super::kubelet;
use super::state::{Shared, State};
use super::store::{Fate, Happened};

/// The largest request, in bytes.
const REQUEST: usize = 3 << 20;

/// How long a pod may take to answer through the proxy.
const PROXY: Duration = Duration::from_secs(30);

/// Serves until the runtime ends.
pub(crate) async fn serve(shared: Arc<Shared>, listener: std::net::TcpListener, tls: TlsAcceptor) {
    let Ok(listener) = TcpListener::from_std(listener) else { return };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // What fails here (no descriptors left) passes.
            tokio::task::yield_now().await;
            continue;
        };
        if *shared.away.borrow() {
            shared.change(|state| state.turned_away += 1);
            continue;
        }
        let _ = stream.set_nodelay(true);
        let (shared, tls) = (Arc::clone(&shared), tls.clone());
        let mut cuts = shared.cut.subscribe();
        cuts.borrow_and_update();
        tokio::spawn(async move {
            let serving = async {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(|request| take(Arc::clone(&shared), request));
                let connection =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A client that goes away is none of the server's business.
                let _ = connection.await;
            };
            tokio::select! {
                () = serving => {}
                _ = cuts.changed() => {}
            }
        });
    }
}

/// An error ends the connection without an answer.
async fn take(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(Body::new(body), REQUEST).await else {
        let failure = Failure::new(413, "RequestEntityTooLarge", "limit is 3145728");
        return Ok(object(413, &failure.status(), None));
    };
    match shared.change(|state| api::answer(state, &parts, body)) {
        Answer::Object(status, value) => {
            let retry_after = value["details"]["retryAfterSeconds"].as_u64();
            Ok(object(status, &value, retry_after))
        }
        Answer::Text(status, kind, text) => Ok(answered(status, kind, Body::from(text))),
        Answer::Watch(watching) => Ok(answered(200, "application/json", watch(shared, watching))),
        Answer::Proxy(proxied) => Ok(proxy(&shared.proxy, proxied).await),
        Answer::Log(logged) => Ok(log(&shared, logged).await),
        Answer::Withheld => std::future::pending().await,
        Answer::Lost => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

fn answered(status: u16, kind: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Ok(kind) = kind.parse() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn object(status: u16, value: &Value, retry_after: Option<u64>) -> Response<Body> {
    let mut response = answered(status, "application/json", Body::from(value.to_string()));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn refused(failure: &Failure) -> Response<Body> {
    object(failure.code, &failure.status(), None)
}

/// A watch under way.
struct Going {
    shared: Arc<Shared>,
    watching: Watching,
    ends: Instant,
    bookmarks: u64,
    expiries: u64,
    changed: tokio::sync::watch::Receiver<u64>,
    over: bool,
}

fn watch(shared: Arc<Shared>, watching: Watching) -> Body {
    let ends = Instant::now() + Duration::from_secs(watching.seconds);
    let changed = shared.changed.subscribe();
    let (bookmarks, expiries) = shared.look(|state| (state.bookmarks, state.expiries));
    let going = Going { shared, watching, ends, bookmarks, expiries, changed, over: false };
    Body::from_stream(stream::unfold(going, |mut going| async move {
        let lines = going.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(lines)), going))
    }))
}

impl Going {
    /// The next lines; `None` when it is over.
    async fn next(&mut self) -> Option<String> {
        loop {
            if self.over {
                return None;
            }
            self.changed.borrow_and_update();
            let mut lines: Vec<Value> = std::mem::take(&mut self.watching.first);
            self.over = lines.iter().any(|line| line["type"] == "ERROR");
            if !self.over {
                let shared = Arc::clone(&self.shared);
                shared.look(|state| self.read(state, &mut lines));
            }
            if !lines.is_empty() {
                return Some(lines.iter().flat_map(|line| [line.to_string(), "\n".to_owned()]).collect());
            }
            if timeout_at(self.ends, self.changed.changed()).await.is_err() {
                self.over = true;
                let version = self.shared.look(|state| state.store.version());
                return self.watching.bookmarks.then(|| format!("{}\n", self.bookmark(version)));
            }
        }
    }

    fn read(&mut self, state: &State, lines: &mut Vec<Value>) {
        if self.watching.from < state.store.compacted() || self.expiries != state.expiries {
            let message = format!("too old resource version: {} ({})", self.watching.from, state.store.version());
            lines.push(json!({ "type": "ERROR", "object": Failure::expired(message).status() }));
            self.over = true;
            return;
        }
        let qualified = self.watching.resource.qualified();
        for happened in state.store.since(self.watching.from).filter(|one| one.key.resource == qualified) {
            lines.extend(told(&self.watching, happened));
        }
        self.watching.from = state.store.version();
        if self.bookmarks != state.bookmarks {
            self.bookmarks = state.bookmarks;
            if self.watching.bookmarks {
                lines.push(self.bookmark(state.store.version()));
            }
        }
    }

    fn bookmark(&self, version: u64) -> Value {
        let resource = self.watching.resource;
        json!({ "type": "BOOKMARK", "object": {
            "kind": resource.kind, "apiVersion": resource.api_version(),
            "metadata": { "resourceVersion": version.to_string(), "creationTimestamp": null },
        } })
    }
}

/// What a watch learns of a change: one that begins to be selected is added, one that no longer is has been deleted.
fn told(watching: &Watching, happened: &Happened) -> Option<Value> {
    let selects = |object: &Value| watching.which.selects(&happened.key, object);
    let is = happened.fate != Fate::Deleted && selects(&happened.object);
    let was = happened.before.as_ref().is_some_and(selects);
    let fate = match (was, is) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({ "type": fate, "object": happened.object }))
}

/// The way to pods.
pub(crate) fn to_pods() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(PROXY)
        .build()
        .unwrap()
}

async fn proxy(client: &reqwest::Client, proxied: Proxied) -> Response<Body> {
    let unreachable = |why: &str| {
        let message = format!("error trying to reach service: dial tcp {}: {why}", proxied.address);
        refused(&Failure::unavailable(message))
    };
    let url = format!("http://{}{}", proxied.address, proxied.path);
    let mut request = client.request(proxied.method.clone(), url).body(proxied.body.clone());
    if let Some(kind) = &proxied.content_type {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let Ok(answer) = request.send().await else { return unreachable("connect: connection refused") };
    let (status, kind) = (answer.status().as_u16(), answer.headers().get(header::CONTENT_TYPE).cloned());
    let Ok(body) = answer.bytes().await else { return unreachable("read: connection reset by peer") };
    let mut response = answered(status, "text/plain", Body::from(body));
    match kind {
        Some(kind) => response.headers_mut().insert(header::CONTENT_TYPE, kind),
        None => response.headers_mut().remove(header::CONTENT_TYPE),
    };
    response
}

async fn log(shared: &Shared, logged: Logged) -> Response<Body> {
    let text = kubelet::log(shared, &logged.namespace, &logged.pod, logged.previous).await;
    let lines: Vec<&str> = text.lines().collect();
    let from = logged.tail.map_or(0, |tail| lines.len().saturating_sub(tail));
    let mut text = lines[from..].join("\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let mut bytes = text.into_bytes();
    bytes.truncate(logged.limit.unwrap_or(usize::MAX));
    answered(200, "text/plain", Body::from(bytes))
}
