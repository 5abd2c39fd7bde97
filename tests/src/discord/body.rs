//! What a request carries: JSON, or a form of several parts with the JSON in `payload_json` and files beside it.

use std::collections::BTreeMap;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{DefaultBodyLimit, FromRequest as _, Multipart, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use serde_json::Value;

use super::refusal::{FILES_NOT_NUMBERED, INVALID_JSON, Refusal, UNSUPPORTED_FORM};

/// Bytes in a request, files included.
pub(crate) const REQUEST: usize = 32 * 1024 * 1024;

/// A file as it was sent.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// Its name, in the letters that Discord leaves a name.
    pub name: String,
    /// Its media type, as the sender says or as its name ends.
    pub content_type: String,
    /// What is in it.
    pub bytes: Bytes,
}

impl std::fmt::Debug for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}, {} bytes)", self.name, self.content_type, self.bytes.len())
    }
}

/// The body of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    /// Null where there was none.
    pub(crate) json: Value,
    pub(crate) files: BTreeMap<u32, File>,
    pub(crate) media: Media,
}

/// The form in which a body came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Media {
    #[default]
    None,
    Json,
    Multipart,
}

impl Media {
    /// As the description of the API names it.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json => Some("application/json"),
            Self::Multipart => Some("multipart/form-data"),
        }
    }
}

impl Body {
    pub(crate) async fn read(headers: &HeaderMap, bytes: Bytes) -> Result<Self, Refusal> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/form-data") {
            return Self::parts(headers, bytes).await;
        }
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        if !kind.starts_with("application/json") {
            return Err(UNSUPPORTED_FORM);
        }
        let json = serde_json::from_slice(&bytes).map_err(|_| INVALID_JSON)?;
        Ok(Self { json, media: Media::Json, ..Self::default() })
    }

    async fn parts(headers: &HeaderMap, bytes: Bytes) -> Result<Self, Refusal> {
        let mut request = Request::new(HttpBody::from(bytes));
        *request.headers_mut() = headers.clone();
        // How much it may be was looked at before.
        DefaultBodyLimit::disable().apply(&mut request);
        let mut parts = Multipart::from_request(request, &()).await.map_err(|_| UNSUPPORTED_FORM)?;
        let mut body = Self { media: Media::Multipart, ..Self::default() };
        while let Some(part) = parts.next_field().await.map_err(|_| UNSUPPORTED_FORM)? {
            let field = part.name().unwrap_or_default().to_owned();
            let file = part.file_name().map(ToOwned::to_owned);
            let kind = part.content_type().map(ToOwned::to_owned);
            let bytes = part.bytes().await.map_err(|_| UNSUPPORTED_FORM)?;
            if field == "payload_json" {
                body.json = serde_json::from_slice(&bytes).map_err(|_| INVALID_JSON)?;
            } else if let Some(file) = file {
                let number = field.strip_prefix("files[").and_then(|rest| rest.strip_suffix(']'));
                let number = number.and_then(|number| number.parse().ok()).ok_or(FILES_NOT_NUMBERED)?;
                let name = plain_name(&file);
                let content_type = kind.unwrap_or_else(|| by_ending(&name).to_owned());
                body.files.insert(number, File { name, content_type, bytes });
            }
        }
        Ok(body)
    }
}

/// Discord leaves of a file's name only what a link bears.
pub(crate) fn plain_name(name: &str) -> String {
    let keeps = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-');
    name.chars().map(|letter| if keeps(letter) { letter } else { '_' }).collect()
}

fn by_ending(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("png") => "image/png",
        Some("txt" | "md" | "log") => "text/plain; charset=utf-8",
        Some("json") => "application/json; charset=utf-8",
        _ => "application/octet-stream",
    }
}
