//! How an instance is reached: by a connection of our own, or by somebody who carries requests there.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt as _};
use http::HeaderMap;
use reqwest::{Request, Response, StatusCode};
use scalebot_commands::ports::{Instance, PortError};

use super::Unanswered;

/// How instances are reached.
#[derive(Clone, Debug, Default)]
pub enum Reach {
    /// At their own address.
    #[default]
    Address,
    /// By somebody who carries requests to them.
    Carried(Arc<dyn Carrier>),
}

/// Carries requests to instances that cannot be connected to.
#[async_trait]
pub trait Carrier: fmt::Debug + Send + Sync {
    /// The instance's name to the carrier, written as a host and a port; `None` until it has one.
    fn address_of(&self, instance: &Instance) -> Option<String>;

    /// Carries a request there, once. What arrives is the instance's own answer; the carrier's is none. `what` is the
    /// instance in words; `limit` bounds all of it, the answer's body included.
    ///
    /// # Errors
    /// By whether the instance may have heard it.
    async fn carry(&self, what: &str, request: Request, limit: Duration) -> Result<Arriving, Unanswered>;
}

/// An answer whose body is still on its way.
pub struct Arriving {
    /// Its status.
    pub(super) status: StatusCode,
    /// Its headers.
    pub(super) headers: HeaderMap,
    chunks: BoxStream<'static, Result<Bytes, PortError>>,
}

impl Arriving {
    /// An answer, and its body as it comes.
    pub fn new(
        status: StatusCode,
        headers: HeaderMap,
        chunks: impl Stream<Item = Result<Bytes, PortError>> + Send + 'static,
    ) -> Self {
        Self { status, headers, chunks: chunks.boxed() }
    }

    /// The answer of a connection of our own.
    pub(super) fn of(response: Response, failed: impl Fn(reqwest::Error) -> PortError + Send + Sync + 'static) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let chunks = stream::unfold((response, failed), |(mut response, failed)| async move {
            let chunk = response.chunk().await.transpose()?;
            Some((chunk.map_err(&failed), (response, failed)))
        });
        Self::new(status, headers, chunks)
    }

    /// The next part of its body; `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, PortError> {
        self.chunks.next().await.transpose()
    }
}
