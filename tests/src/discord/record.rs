//! Every request that came, with its answer: what a test looks at, and what is held against Discord's own description.

use std::fmt;

use axum::http::Method;
use jiff::Timestamp;
use serde_json::Value;

use super::body::{File, Media};
use crate::secrets;

/// One request and what was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// When, by the double's clock.
    pub at: Timestamp,
    /// The method.
    pub method: Method,
    /// The path below the API's version, as it was asked for.
    pub path: String,
    /// The parameters behind the path.
    pub query: Vec<(String, String)>,
    /// The path with its parameters' names, as Discord describes it; `None` where there is no such route.
    pub route: Option<&'static str>,
    /// The JSON that was sent; null where none was.
    pub body: Value,
    /// The files that were sent.
    pub files: Vec<File>,
    /// The answer's status.
    pub status: u16,
    /// The JSON that was answered; null where none was.
    pub answer: Value,
    pub(crate) media: Media,
    /// The answer is not Discord's API's: it was away, or something before it answered.
    pub(crate) out_of_service: bool,
}

impl Request {
    /// The method and the route, as a test names them: `PUT /guilds/{guild_id}`.
    pub fn name(&self) -> String {
        format!("{} {}", self.method, self.route.unwrap_or(&self.path))
    }

    /// Whether that word was sent: in the JSON, in a file, or behind the path.
    pub fn says(&self, word: &str) -> bool {
        let parameters = self.query.iter().any(|(_, value)| value.contains(word));
        let files = self.files.iter().any(|file| secrets::says(&file.bytes, word));
        parameters || files || self.body.to_string().contains(word)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.method, self.path, self.status)?;
        if self.status >= 400 {
            write!(f, " {}", self.answer)?;
        }
        Ok(())
    }
}

#[derive(Default)]
pub(crate) struct Record {
    pub(crate) requests: Vec<Request>,
    /// What a bot should not have done, in words.
    pub(crate) violations: Vec<String>,
    /// How many of the requests have been held against the description.
    pub(crate) checked: usize,
}

impl Record {
    pub(crate) fn last(&self, how_many: usize) -> impl Iterator<Item = &Request> {
        self.requests.iter().skip(self.requests.len().saturating_sub(how_many))
    }
}
