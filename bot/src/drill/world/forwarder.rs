//! The load balancer before the instances: one request to each ready one in turn. A request is sent once; a failure is
//! passed on and counted, never hidden by trying another instance. Where nobody can be taken out beforehand, as in a swarm,
//! one that nobody answered goes to another, as it does with a balancer that is set up for that.

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
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::net::TcpListener;

use super::World;
use crate::drill::instance::LONG;
use crate::drill::settings::FleetKind;

/// How long one request may take at an instance.
const LIMIT: Duration = Duration::from_secs(30);

/// How many instances a request goes to at most, where one may find nobody listening.
const TRIES: u32 = 3;

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
struct UnderWay {
    world: Arc<World>,
    id: InstanceId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.world.routes().answered(&self.id);
    }
}

/// Sends one request to that very instance, counted as any other, that takes so long there. `false` when the instance
/// is not known or has no address.
pub(super) fn send_long(world: &Arc<World>, id: &InstanceId, length: Duration) -> anyhow::Result<bool> {
    let client = Client::builder().no_proxy().timeout(length + LIMIT).build().context("Preparing the request")?;
    let Some((id, address)) = world.routes().choose(id) else { return Ok(false) };
    let under_way = UnderWay { world: Arc::clone(world), id };
    let url = format!("http://{address}{LONG}?seconds={}", length.as_secs());
    tokio::spawn(async move {
        let answer = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
        if let Err(error) = answer {
            eprintln!("{} a long request to {} was lost: {error}", Timestamp::now(), under_way.id);
        }
        drop(under_way);
    });
    Ok(true)
}

async fn forward(
    State(forwarder): State<Arc<Forwarder>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let mut tries = if forwarder.world.settings.fleet == FleetKind::Swarm { TRIES } else { 1 };
    loop {
        tries -= 1;
        let Some((id, address)) = forwarder.world.routes().next() else {
            return (StatusCode::SERVICE_UNAVAILABLE, "no instance is ready\n").into_response();
        };
        let under_way = UnderWay { world: Arc::clone(&forwarder.world), id };
        let mut request =
            forwarder.client.request(method.clone(), format!("http://{address}{path}")).body(body.clone());
        if let Some(kind) = headers.get(header::CONTENT_TYPE) {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let mut response = match pass_on(request).await {
            Ok(response) => response,
            // Nobody has heard it, or whoever did has ended; then it may go to another where nothing follows from it.
            Err(error) if tries > 0 && (error.is_connect() || method.is_safe() && !error.is_timeout()) => continue,
            Err(error) if error.is_timeout() => {
                (StatusCode::GATEWAY_TIMEOUT, "the instance is too slow\n").into_response()
            }
            Err(_) => (StatusCode::BAD_GATEWAY, "the instance did not answer\n").into_response(),
        };
        if let Ok(name) = HeaderValue::from_str(under_way.id.as_str()) {
            response.headers_mut().insert(SERVED_BY, name);
        }
        return response;
    }
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
