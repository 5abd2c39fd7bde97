//! What every adapter that speaks HTTP shares: bounded bodies, no redirects, and one translation of failures.

mod carrier;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode, header, redirect};
use scalebot_commands::ports::{Instance, PortError};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::carrier::{Arriving, Carrier, Reach};

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// The longest line that is read, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// How much of an answer's text is quoted in an error, in characters.
const QUOTED: usize = 200;

/// The longest wait that a server is believed to ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// A client for one outside system, by the name that people know it by.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    what: String,
    base: String,
    limit: Duration,
    /// Who carries its requests; `None` for connections of its own.
    carrier: Option<Arc<dyn Carrier>>,
}

/// An answer, read as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
    /// How long it asks to wait before asking again, where it says so in whole seconds.
    pub retry_after: Option<Duration>,
}

/// Why an order got no answer, by what is known of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unanswered {
    /// No connection came about, so nobody has heard it: it may be given to another.
    #[error(transparent)]
    Unheard(PortError),
    /// It may have been heard, and carried out.
    #[error(transparent)]
    Unknown(PortError),
}

impl Unanswered {
    /// Why there is no answer, for whoever only asked.
    pub fn error(self) -> PortError {
        match self {
            Self::Unheard(error) | Self::Unknown(error) => error,
        }
    }
}

impl Http {
    /// A client for requests to full URLs, over plain HTTP; each call takes at most `limit`, its body included.
    ///
    /// # Errors
    /// When the system offers no way to make one.
    pub fn new(what: &str, limit: Duration) -> Result<Self, PortError> {
        Self::build(what, String::new(), limit, builder(limit))
    }

    /// A client for a server on a Unix socket; paths are given from `/`.
    ///
    /// # Errors
    /// When the system offers no way to make one.
    pub fn on_socket(what: &str, socket: &Path, limit: Duration) -> Result<Self, PortError> {
        Self::build(what, "http://localhost".to_owned(), limit, builder(limit).unix_socket(socket))
    }

    /// A client for a server at a host and port, over plain HTTP; paths are given from `/`.
    ///
    /// # Errors
    /// When the system offers no way to make one.
    pub fn at(what: &str, address: &str, limit: Duration) -> Result<Self, PortError> {
        Self::build(what, format!("http://{address}"), limit, builder(limit))
    }

    /// A client for requests to instances, which are reached that way; each call takes at most `limit`.
    ///
    /// # Errors
    /// When the system offers no way to make one.
    pub fn to_instances(what: &str, limit: Duration, reach: &Reach) -> Result<Self, PortError> {
        let http = Self::new(what, limit)?;
        Ok(match reach {
            Reach::Address => http,
            Reach::Carried(carrier) => Self { carrier: Some(Arc::clone(carrier)), ..http },
        })
    }

    fn build(what: &str, base: String, limit: Duration, builder: reqwest::ClientBuilder) -> Result<Self, PortError> {
        let client = builder
            .build()
            .map_err(|error| PortError::Unreachable { what: what.to_owned(), detail: reason(&error) })?;
        Ok(Self { client, what: what.to_owned(), base, limit, carrier: None })
    }

    /// The same client, naming what it speaks to otherwise.
    #[must_use]
    pub fn named(&self, what: &str) -> Self {
        Self { what: what.to_owned(), ..self.clone() }
    }

    /// The host and port at which an instance is asked.
    ///
    /// # Errors
    /// When it has none yet.
    pub fn address_of(&self, instance: &Instance) -> Result<String, PortError> {
        let address = match &self.carrier {
            None => instance.address.clone(),
            Some(carrier) => carrier.address_of(instance),
        };
        address.ok_or_else(|| PortError::Unreachable {
            what: self.what.clone(),
            detail: "it has no address yet".to_owned(),
        })
    }

    /// The URL of a path on `address`, a host and port; anything more than these is refused, for it would send the
    /// question elsewhere.
    pub fn url(&self, address: &str, path: &str) -> Result<String, PortError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        if address.is_empty() || !address.bytes().all(plain) || !path.starts_with('/') {
            return Err(self.unreadable(format!("{} is no host and port with a path", quote(address.as_bytes()))));
        }
        Ok(format!("http://{address}{path}"))
    }

    /// Asks, and returns the answer whatever its status.
    pub async fn get(&self, url: &str) -> Result<Answer, PortError> {
        self.send(self.request(Method::GET, url)).await
    }

    /// Asks for JSON and accepts nothing but success.
    pub async fn get_json<T: DeserializeOwned>(&self, url: &str) -> Result<T, PortError> {
        let answer = self.get(url).await?;
        self.json(url, &answer)
    }

    /// Sends JSON, and returns the answer whatever its status.
    pub async fn post<B: Serialize + Sync>(&self, url: &str, body: &B) -> Result<Answer, PortError> {
        self.send(self.request(Method::POST, url).json(body)).await
    }

    /// Gives an order that is to be carried out once, with these headers, and returns the answer whatever its status.
    ///
    /// # Errors
    /// By whether it may have been heard.
    pub async fn order<B: Serialize + Sync>(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: &B,
    ) -> Result<Answer, Unanswered> {
        let request = self.request(Method::POST, url).json(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let arriving = self.dispatch(request).await?;
        self.read(arriving).await.map_err(Unanswered::Unknown)
    }

    /// Sends JSON, and reads a successful answer as JSON.
    pub async fn post_json<B: Serialize + Sync, T: DeserializeOwned>(
        &self,
        url: &str,
        body: &B,
    ) -> Result<T, PortError> {
        let answer = self.post(url, body).await?;
        self.json(url, &answer)
    }

    /// Reads an answer as JSON; a status other than success becomes the error it stands for.
    pub fn json<T: DeserializeOwned>(&self, url: &str, answer: &Answer) -> Result<T, PortError> {
        self.accept(url, answer)?;
        self.parse(url, answer)
    }

    /// Reads an answer's body as JSON, whatever its status.
    pub fn parse<T: DeserializeOwned>(&self, url: &str, answer: &Answer) -> Result<T, PortError> {
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.unreadable(format!("{}: {}", path_of(url), quote(error.to_string().as_bytes()))))
    }

    /// Asks, and hands over a successful answer line by line as it arrives, so that a long one never has to be held as
    /// a whole. `take` ends the reading by saying what is wrong with a line.
    ///
    /// # Errors
    /// Those of [`Http::get`] and [`Http::accept`]; more than `most` bytes, a line over [`MAX_LINE`], text that is not
    /// UTF-8, and a last line without its line feed, which is half an answer.
    pub async fn lines(
        &self,
        url: &str,
        most: usize,
        mut take: impl FnMut(&str) -> Result<(), String> + Send,
    ) -> Result<(), PortError> {
        let path = path_of(url);
        let mut arriving = self.dispatch(self.request(Method::GET, url)).await.map_err(Unanswered::error)?;
        if !arriving.status.is_success() {
            let answer = self.read(arriving).await?;
            return self.accept(url, &answer);
        }
        let (mut total, mut number) = (0_usize, 0_usize);
        let mut rest: Vec<u8> = Vec::new();
        while let Some(chunk) = arriving.chunk().await? {
            total = total.saturating_add(chunk.len());
            if total > most {
                return Err(self.unreadable(format!("{path}: more than {} MiB", most >> 20)));
            }
            for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
                if rest.len() + piece.len() > MAX_LINE {
                    return Err(self.unreadable(format!("{path}: line {} is too long", number + 1)));
                }
                rest.extend_from_slice(piece);
                if let Some(line) = rest.strip_suffix(b"\n") {
                    number += 1;
                    let taken = std::str::from_utf8(line).map_err(|_| "no UTF-8".to_owned()).and_then(&mut take);
                    taken.map_err(|wrong| self.unreadable(format!("{path}: line {number}: {wrong}")))?;
                    rest.clear();
                }
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(self.unreadable(format!("{path}: ends in the middle of a line"))) }
    }

    /// Refuses every status but success.
    pub fn accept(&self, url: &str, answer: &Answer) -> Result<(), PortError> {
        let what = self.what.clone();
        let path = path_of(url);
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(self.not_served(url, "answered 404")),
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                Err(PortError::Refused { what, detail: format!("{path} answered {status}: {}", quote(&answer.body)) })
            }
            status => {
                let wait = answer.retry_after.map(|wait| format!("; ask again in {} s", wait.as_secs()));
                let wait = wait.unwrap_or_default();
                Err(self.unreadable(format!("{path} answered {status}: {}{wait}", quote(&answer.body))))
            }
        }
    }

    /// What was asked for is not there.
    pub fn not_served(&self, url: &str, why: &str) -> PortError {
        PortError::NotServed { what: self.what.clone(), detail: format!("{} {why}", path_of(url)) }
    }

    /// An answer that cannot be understood.
    pub fn unreadable(&self, detail: impl Into<String>) -> PortError {
        PortError::Unreadable { what: self.what.clone(), detail: detail.into() }
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{url}", self.base))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, PortError> {
        let arriving = self.dispatch(request).await.map_err(Unanswered::error)?;
        self.read(arriving).await
    }

    /// Sends a request, once.
    async fn dispatch(&self, request: RequestBuilder) -> Result<Arriving, Unanswered> {
        if let Some(carrier) = &self.carrier {
            let request = request.build().map_err(|error| Unanswered::Unheard(self.failed(&error)))?;
            return carrier.carry(&self.what, request, self.limit).await;
        }
        let response = request.send().await.map_err(|error| {
            // A request that could not be built, or for which no connection came about, was never sent.
            let unheard = error.is_connect() || error.is_builder();
            let failed = self.failed(&error);
            if unheard { Unanswered::Unheard(failed) } else { Unanswered::Unknown(failed) }
        })?;
        let http = self.clone();
        Ok(Arriving::of(response, move |error| http.failed(&error)))
    }

    async fn read(&self, mut arriving: Arriving) -> Result<Answer, PortError> {
        let status = arriving.status;
        let retry_after = arriving
            .headers
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds| Duration::from_secs(seconds).min(MAX_RETRY_AFTER));
        let mut body = Vec::new();
        while let Some(chunk) = arriving.chunk().await? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.unreadable(format!("more than {} MiB", MAX_BODY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, retry_after })
    }

    fn failed(&self, error: &reqwest::Error) -> PortError {
        let what = self.what.clone();
        if error.is_timeout() {
            PortError::TimedOut { what, limit: self.limit }
        } else {
            PortError::Unreachable { what, detail: reason(error) }
        }
    }
}

fn builder(limit: Duration) -> reqwest::ClientBuilder {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(limit).connect_timeout(limit)
}

/// The innermost cause in words; the outer ones repeat the URL, which may hold more than people should see.
fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn path_of(url: &str) -> &str {
    let after_scheme = url.find("://").map_or(0, |at| at + 3);
    let path = url[after_scheme..].find('/').map_or("/", |at| &url[after_scheme + at..]);
    path.split('?').next().unwrap_or(path)
}

fn quote(body: &[u8]) -> String {
    scalebot_commands::request::escaped(&String::from_utf8_lossy(&body[..body.len().min(QUOTED * 4)]), QUOTED)
}
