//! The load balancer before the instances: one request to each ready one in turn. A request is sent once; a failure is
//! passed on and counted, never hidden by trying another instance.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use axum::serve::ListenerExt as _;
use reqwest::Client;
use scalebot_commands::units::InstanceId;
use tokio::net::TcpListener;

use super::World;

/// How long one request may take at an instance.
const LIMIT: Duration = Duration::from_secs(30);

/// The answer's own headers; the others belong to one connection.
const PASSED_ON: [header::HeaderName; 2] = [header::CONTENT_TYPE, header::RETRY_AFTER];

/// Which instance answered, for people and tests who look.
const SERVED_BY: &str = "x-served-by";

struct Forwarder {
    world: Arc<World>,
    client: Client,
}

/// Serves on that port for as long as the world lives.
pub(super) fn serve(world: Arc<World>, front: TcpListener) -> anyhow::Result<impl Future<Output = ()>> {
    // Without idle connections none can be found closed, which the client would hide by sending a request again.
    let client = Client::builder()
        .no_proxy()
        .pool_max_idle_per_host(0)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .context("Preparing the forwarder")?;
    let router = Router::new().fallback(forward).with_state(Arc::new(Forwarder { world, client }));
    let front = front.tap_io(|connection| {
        // Only slower without it.
        let _ = connection.set_nodelay(true);
    });
    Ok(async move {
        if let Err(error) = axum::serve(front, router).await {
            eprintln!("The forwarder has ended: {error}");
        }
    })
}

/// Counts a request as ended however it ends, also when the client has gone away.
struct UnderWay<'a> {
    world: &'a World,
    id: InstanceId,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.world.write(|book| book.answered(&self.id));
    }
}

async fn forward(
    State(forwarder): State<Arc<Forwarder>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let Some((id, address)) = forwarder.world.book().next() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "no instance is ready\n").into_response();
    };
    let under_way = UnderWay { world: &forwarder.world, id };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut request = forwarder.client.request(method, format!("http://{address}{path}")).body(body);
    if let Some(kind) = headers.get(header::CONTENT_TYPE) {
        request = request.header(header::CONTENT_TYPE, kind);
    }
    let mut response = match pass_on(request).await {
        Ok(response) => response,
        Err(error) if error.is_timeout() => (StatusCode::GATEWAY_TIMEOUT, "the instance is too slow\n").into_response(),
        Err(_) => (StatusCode::BAD_GATEWAY, "the instance did not answer\n").into_response(),
    };
    if let Ok(name) = HeaderValue::from_str(under_way.id.as_str()) {
        response.headers_mut().insert(SERVED_BY, name);
    }
    response
}

async fn pass_on(request: reqwest::RequestBuilder) -> reqwest::Result<Response> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut response = (status, Body::from(answer.bytes().await?)).into_response();
    for name in PASSED_ON {
        if let Some(value) = headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    Ok(response)
}
