//! The way to the API server: one time-out, bounded answers, nothing sent twice, and its own words in every failure.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt as _;
use http::response::Parts;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use kube::client::{Body, Client};
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use kube::core::Status;
use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use super::settings::Settings;
use crate::http::Unanswered;
use crate::settings::Unusable;

/// The largest answer that is read, in bytes: some thousand pods.
const MAX_BODY: usize = 32 << 20;

/// How much of the server's own words is repeated, in characters.
const QUOTED: usize = 300;

/// The longest wait that the server is believed to ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);

/// How people know it.
pub(super) const WHAT: &str = "the Kubernetes API";

/// The API server of one cluster.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    address: String,
    limit: Duration,
    /// Until when it asked not to be asked.
    closed_until: Arc<Mutex<Option<Instant>>>,
}

/// A successful answer, or the server's own reason why there is none.
pub(super) type Answered<T> = Result<T, Refusal>;

/// An answer other than success, as the server words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its status.
    pub(super) status: StatusCode,
    /// One word: `Forbidden`, `Conflict`, `NotFound`, `Expired`; empty where it gave none.
    pub(super) reason: String,
    /// Its sentence, escaped and bounded.
    pub(super) message: String,
}

impl Server {
    /// The cluster that the settings name. Nothing is asked yet.
    ///
    /// # Errors
    /// When the credentials cannot be read or used.
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        let (key, config) = match &settings.kubeconfig {
            None => ("kubeconfig", in_cluster()?),
            Some(file) => ("kubeconfig", from_file(settings, file)?),
        };
        let mut config = config;
        config.connect_timeout = Some(settings.time_out);
        config.read_timeout = None;
        config.write_timeout = Some(settings.time_out);
        // It would repeat orders as well: what became of the first one is not known then.
        config.default_retry = false;
        // No request goes elsewhere than to the server.
        config.proxy_url = None;
        let address = config.cluster_url.to_string();
        let client = Client::try_from(config)
            .map_err(|error| Unusable::new(key, format!("it cannot be used: {}", quote(&error.to_string()))))?;
        Ok(Self { client, address, limit: settings.time_out, closed_until: Arc::default() })
    }

    /// A server to which that client speaks.
    #[cfg(any(test, feature = "hostile"))]
    pub(super) fn by(client: Client, limit: Duration) -> Self {
        Self { client, address: "http://localhost/".to_owned(), limit, closed_until: Arc::default() }
    }

    /// Where it is.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a request, once, and reads a successful answer as JSON.
    ///
    /// # Errors
    /// When no answer came, or none that can be understood; of an order it is not known then what became of it.
    pub(super) async fn send<T: DeserializeOwned>(&self, request: Request<Vec<u8>>) -> Result<Answered<T>, PortError> {
        Ok(match self.bytes(request).await? {
            Ok(body) => Ok(serde_json::from_slice(&body).map_err(|error| unreadable(&error.to_string()))?),
            Err(refusal) => Err(refusal),
        })
    }

    /// Sends a request, once, and reads a successful answer as it is.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn bytes(&self, request: Request<Vec<u8>>) -> Result<Answered<Vec<u8>>, PortError> {
        self.unless_closed()?;
        let answer = timeout(self.limit, async {
            let response = self.client.send(request.map(Body::from)).await.map_err(|error| failed(&error))?;
            whole(response).await
        });
        let (head, body) = answer.await.map_err(|_| self.late())??;
        Ok(if head.status.is_success() { Ok(body) } else { Err(self.refusal(&head, &body)) })
    }

    /// Sends a request whose successful answer has no end, and hands over what comes of it as it comes. Only its
    /// beginning is awaited under the time-out.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub(super) async fn open(&self, request: Request<Vec<u8>>) -> Result<Answered<Body>, PortError> {
        self.unless_closed()?;
        let answer = timeout(self.limit, async {
            let response = self.client.send(request.map(Body::from)).await.map_err(|error| failed(&error))?;
            if response.status().is_success() {
                return Ok(Ok(response.into_body()));
            }
            let (head, body) = whole(response).await?;
            Ok(Err(self.refusal(&head, &body)))
        });
        answer.await.map_err(|_| self.late())?
    }

    fn unless_closed(&self) -> Result<(), PortError> {
        let Some(wait) = self.closed_for() else { return Ok(()) };
        let detail = format!("it asked to be left alone for {} s more", wait.as_secs().max(1));
        Err(PortError::Unreachable { what: WHAT.to_owned(), detail })
    }

    fn late(&self) -> PortError {
        PortError::TimedOut { what: WHAT.to_owned(), limit: self.limit }
    }

    /// What an answer other than success says, its wish to be left alone included.
    fn refusal(&self, head: &Parts, body: &[u8]) -> Refusal {
        let said: Option<Status> = serde_json::from_slice(body).ok();
        let asked = head
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(Duration::from_secs);
        if let (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, Some(wait)) = (head.status, asked) {
            self.close_for(wait.min(MAX_RETRY_AFTER));
        }
        match said {
            Some(said) => Refusal { status: head.status, reason: quote(&said.reason), message: quote(&said.message) },
            None => Refusal {
                status: head.status,
                reason: String::new(),
                message: quote(&String::from_utf8_lossy(&body[..body.len().min(QUOTED * 4)])),
            },
        }
    }

    /// Sends a request that it passes on, once, and hands over the answer as it arrives, whoever gave it. Its status says
    /// nothing about the server.
    ///
    /// # Errors
    /// When no answer came, by whether the request may have been passed on.
    pub(super) async fn pass_on(&self, request: Request<Vec<u8>>) -> Result<http::Response<Body>, Unanswered> {
        if let Some(wait) = self.closed_for() {
            let detail = format!("it asked to be left alone for {} s more", wait.as_secs().max(1));
            return Err(Unanswered::Unheard(PortError::Unreachable { what: WHAT.to_owned(), detail }));
        }
        self.client.send(request.map(Body::from)).await.map_err(|error| match &error {
            kube::Error::Auth(_) => Unanswered::Unheard(failed(&error)),
            _ => Unanswered::Unknown(failed(&error)),
        })
    }

    /// How much longer it asked to be left alone.
    fn closed_for(&self) -> Option<Duration> {
        let closed = *self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        closed.and_then(|until| until.checked_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }

    fn close_for(&self, wait: Duration) {
        let until = Instant::now() + wait;
        let mut closed = self.closed_until.lock().unwrap_or_else(PoisonError::into_inner);
        *closed = Some(closed.map_or(until, |earlier| earlier.max(until)));
    }
}

impl Refusal {
    /// Whether what was named is not there.
    pub(super) fn is_not_found(&self) -> bool {
        self.status == StatusCode::NOT_FOUND
    }

    /// What it means where nothing but success will do.
    pub(super) fn error(self) -> PortError {
        let (what, detail) = (WHAT.to_owned(), self.sentence());
        match self.status {
            StatusCode::NOT_FOUND => PortError::NotServed { what, detail },
            // A list that went on too long, a proxy in between, a server that starts: another time it may be answered.
            StatusCode::GONE | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT => {
                PortError::Unreadable { what, detail }
            }
            status if status.is_client_error() => PortError::Refused { what, detail },
            _ => PortError::Unreadable { what, detail },
        }
    }

    /// The server's sentence, or what stands for it.
    pub(super) fn sentence(&self) -> String {
        if self.message.is_empty() { format!("it answered {}", self.status) } else { self.message.clone() }
    }
}

/// An answer with all of its body.
async fn whole(response: Response<Body>) -> Result<(Parts, Vec<u8>), PortError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        unreadable(&format!("its answer broke off, or is larger than {} MiB: {error}", MAX_BODY >> 20))
    })?;
    Ok((head, body.to_bytes().to_vec()))
}

fn in_cluster() -> Result<Config, Unusable> {
    Config::incluster().map_err(|error| {
        let why = format!("name a kubeconfig file, or run the bot as a pod with a service account ({error})");
        Unusable::new("kubeconfig", quote(&why))
    })
}

/// The file is read here and not by the library, which would also take what the environment names.
fn from_file(settings: &Settings, file: &std::path::Path) -> Result<Config, Unusable> {
    let unusable = |why: String| Unusable::new("kubeconfig", quote(&format!("{}: {why}", file.display())));
    let kubeconfig = Kubeconfig::read_from(file).map_err(|error| unusable(error.to_string()))?;
    let options = KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
    // Nothing in it waits: files are read at once.
    let made = Config::from_custom_kubeconfig(kubeconfig, &options).now_or_never();
    made.ok_or_else(|| unusable("it cannot be read at once".to_owned()))?.map_err(|error| unusable(error.to_string()))
}

pub(super) fn failed(error: &kube::Error) -> PortError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let detail = quote(&cause.to_string());
    match error {
        kube::Error::Auth(_) => PortError::Refused { what: WHAT.to_owned(), detail },
        _ => PortError::Unreachable { what: WHAT.to_owned(), detail },
    }
}

pub(super) fn unreadable(detail: &str) -> PortError {
    PortError::Unreadable { what: WHAT.to_owned(), detail: quote(detail) }
}

pub(super) fn quote(text: &str) -> String {
    escaped(text, QUOTED)
}
