//! A fleet in Kubernetes at an API server that answers whatever it is given, without a network between.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use kube::client::{Body, Client};
use tower_service::Service;

use super::server::Server;
use super::watch::Watch;
use super::{Inner, Kubernetes, Settings};

/// The answers by path; whatever is asked besides is not found.
#[derive(Clone, Debug)]
pub(crate) struct Answers(pub(crate) Arc<BTreeMap<&'static str, Vec<u8>>>);

impl Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let found = self.0.get(request.uri().path());
        let mut response = Response::new(Body::from(found.cloned().unwrap_or_else(|| b"{}".to_vec())));
        if found.is_none() {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        ready(Ok(response))
    }
}

/// The fleet that these settings name, there. To be called within a runtime.
pub(crate) fn fleet(answers: Answers, settings: &Settings) -> Kubernetes {
    let server = Server::by(Client::new(answers, settings.namespace.clone()), Duration::from_secs(5));
    let watch = Watch::new(&server, &settings.namespace);
    Kubernetes { inner: Arc::new(Inner { server, settings: settings.clone(), watch }) }
}
