//! Instances through the API server's pod proxy, for a bot that has no way to the pods themselves.
//!
//! The API server passes a request on as it is, and the answer back as it is. What it says itself has the form of its own
//! errors, whatever the status: that is no word of the instance's, and is never taken for one.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream;
use http::StatusCode;
use http_body_util::{BodyExt as _, Limited};
use kube::core::Status;
use reqwest::Request;
use scalebot_commands::ports::{Instance, PortError};
use tokio::time::{Instant, timeout_at};

use super::Kubernetes;
use super::server::{Server, WHAT, failed, quote};
use super::settings;
use crate::http::{Arriving, Carrier, MAX_BODY, Reach, Unanswered};

/// What it answers, without the form of its errors, to more requests than it takes.
const TOO_MANY: &[u8] = b"Too many requests, please try again later.";

/// The pods of one namespace, as the API server reaches them.
struct PodProxy {
    server: Server,
    namespace: String,
}

impl Kubernetes {
    /// How the fleet's instances are reached, as the settings say.
    pub fn reach(&self) -> Reach {
        let settings = &self.inner.settings;
        match settings.reach {
            settings::Reach::Address => Reach::Address,
            settings::Reach::Proxy => Reach::Carried(Arc::new(PodProxy {
                server: self.inner.server.clone(),
                namespace: settings.namespace.clone(),
            })),
        }
    }
}

impl fmt::Debug for PodProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PodProxy").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

#[async_trait]
impl Carrier for PodProxy {
    /// The pod's name in place of its address.
    fn address_of(&self, instance: &Instance) -> Option<String> {
        let (_, port) = instance.address.as_deref()?.rsplit_once(':')?;
        Some(format!("{}:{port}", instance.id))
    }

    async fn carry(&self, what: &str, request: Request, limit: Duration) -> Result<Arriving, Unanswered> {
        let deadline = Instant::now() + limit;
        let late = PortError::TimedOut { what: what.to_owned(), limit };
        let request = self.passed_on(what, &request).map_err(Unanswered::Unheard)?;
        let passed = timeout_at(deadline, self.server.pass_on(request));
        let answer = passed.await.map_err(|_| Unanswered::Unknown(late.clone()))??;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            let chunks = stream::unfold(Some(body.into_data_stream()), move |body| {
                let late = late.clone();
                async move {
                    let mut body = body?;
                    match timeout_at(deadline, futures::StreamExt::next(&mut body)).await {
                        Err(_) => Some((Err(late), None)),
                        Ok(None) => None,
                        Ok(Some(Err(error))) => Some((Err(failed(&error)), None)),
                        Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(body))),
                    }
                }
            });
            return Ok(Arriving::new(head.status, head.headers, chunks));
        }
        let body = timeout_at(deadline, Limited::new(body, MAX_BODY).collect()).await;
        let body = body.map_err(|_| Unanswered::Unknown(late))?.map_err(|error| {
            let detail = quote(&format!("its answer broke off, or is larger than {} MiB: {error}", MAX_BODY >> 20));
            Unanswered::Unknown(PortError::Unreadable { what: what.to_owned(), detail })
        })?;
        let body = body.to_bytes();
        match own_word(head.status, &body) {
            Some(said) => Err(unanswered(what, head.status, &said)),
            None => Ok(Arriving::new(head.status, head.headers, stream::iter([Ok::<Bytes, PortError>(body)]))),
        }
    }
}

impl PodProxy {
    /// The same request, to the API server.
    fn passed_on(&self, what: &str, request: &Request) -> Result<http::Request<Vec<u8>>, PortError> {
        let wrong = |detail: &str| PortError::Unreadable { what: what.to_owned(), detail: detail.to_owned() };
        let url = request.url();
        let (Some(pod), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong("it has no name and port to be asked by"));
        };
        let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = url.path();
        // The API server would take the rest of such a path for one of its own.
        if path
            .split('/')
            .any(|part| matches!(&*part.to_ascii_lowercase(), "." | ".." | "%2e" | "%2e%2e" | ".%2e" | "%2e."))
        {
            return Err(wrong("a path with .. is not asked through the API server"));
        }
        let namespace = &self.namespace;
        let mut passed = http::Request::builder()
            .method(request.method())
            .uri(format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}{query}"));
        for (name, value) in request.headers() {
            passed = passed.header(name, value);
        }
        let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec();
        passed.body(body).map_err(|error| wrong(&quote(&error.to_string())))
    }
}

/// What the API server itself says; `None` where it is the instance that speaks.
fn own_word(status: StatusCode, body: &[u8]) -> Option<String> {
    if status == StatusCode::TOO_MANY_REQUESTS && body.trim_ascii() == TOO_MANY {
        return Some("it gets too many requests".to_owned());
    }
    let said: serde_json::Value = serde_json::from_slice(body).ok()?;
    if said.get("kind")? != "Status" || said.get("apiVersion")? != "v1" || said.get("status")? != "Failure" {
        return None;
    }
    let said: Status = serde_json::from_value(said).ok()?;
    (said.code == status.as_u16()).then(|| quote(&said.message))
}

/// The failure that the API server's own word is, by whether the instance may have heard the request.
fn unanswered(what: &str, status: StatusCode, said: &str) -> Unanswered {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return Unanswered::Unheard(PortError::Refused { what: WHAT.to_owned(), detail: said.to_owned() });
    }
    let error = PortError::Unreachable { what: what.to_owned(), detail: format!("{WHAT} says: {said}") };
    // It dials before it sends; what it refuses itself it passes on to nobody.
    let unheard = status.is_client_error() || said.contains(": dial ");
    if unheard { Unanswered::Unheard(error) } else { Unanswered::Unknown(error) }
}
