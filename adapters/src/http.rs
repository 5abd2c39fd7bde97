//! What every adapter that speaks HTTP shares: bounded bodies, no redirects, and one translation of failures.

use std::path::Path;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, redirect};
use scalebot_commands::ports::PortError;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 4 << 20;

/// How much of an answer's text is quoted in an error, in characters.
const QUOTED: usize = 200;

/// A client for one outside system, by the name that people know it by.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client,
    what: String,
    base: String,
    limit: Duration,
}

/// An answer, read as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Vec<u8>,
}

impl Http {
    /// A client for requests to full URLs; each call takes at most `limit`, its body included.
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

    fn build(what: &str, base: String, limit: Duration, builder: reqwest::ClientBuilder) -> Result<Self, PortError> {
        let client = builder
            .build()
            .map_err(|error| PortError::Unreachable { what: what.to_owned(), detail: reason(&error) })?;
        Ok(Self { client, what: what.to_owned(), base, limit })
    }

    /// The same client, naming what it speaks to otherwise.
    #[must_use]
    pub fn named(&self, what: &str) -> Self {
        Self { what: what.to_owned(), ..self.clone() }
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
        serde_json::from_slice(&answer.body).map_err(|error| self.unreadable(format!("{}: {error}", path_of(url))))
    }

    /// Refuses every status but success.
    pub fn accept(&self, url: &str, answer: &Answer) -> Result<(), PortError> {
        let what = self.what.clone();
        let path = path_of(url);
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(PortError::NotServed { what, detail: format!("{path} answered 404") }),
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                Err(PortError::Refused { what, detail: format!("{path} answered {status}: {}", quote(&answer.body)) })
            }
            status => Err(self.unreadable(format!("{path} answered {status}: {}", quote(&answer.body)))),
        }
    }

    /// An answer that cannot be understood.
    pub fn unreadable(&self, detail: impl Into<String>) -> PortError {
        PortError::Unreadable { what: self.what.clone(), detail: detail.into() }
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{url}", self.base))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Answer, PortError> {
        let response = request.send().await.map_err(|error| self.failed(&error))?;
        self.read(response).await
    }

    async fn read(&self, mut response: Response) -> Result<Answer, PortError> {
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.unreadable(format!("more than {} MiB", MAX_BODY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body })
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
