//! Questions to Prometheus over HTTP: bounded, authenticated, each failure told by what to do about it.

use std::fmt;
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, StatusCode, Url};
use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use secrecy::{ExposeSecret as _, SecretString};

use super::answer::{self, Kind, Series};
use super::settings::Settings;
use crate::lost;
use crate::settings::{Unusable, contents, given};

/// The largest answer that is read, in bytes: the buckets of 500 instances over an hour.
const MAX_BODY: usize = 48 << 20;

/// How much of a question, and of an answer that cannot be read, is repeated, in characters.
const QUOTED: usize = 300;

/// One Prometheus.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    base: Url,
    limit: Duration,
    credentials: Credentials,
}

/// By what it is known who asks.
#[derive(Clone)]
enum Credentials {
    None,
    Basic { user: String, password: SecretString },
    Bearer(SecretString),
}

/// When a question is about, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// A moment; the question itself says how far it looks back.
    At(i64),
    /// Every `step` milliseconds from `start` to `end`.
    Range { start: i64, end: i64, step: i64 },
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        let wrong = || Unusable::new("url", "write it as https://prometheus.example, without credentials");
        let base: Url = settings.url.parse().map_err(|_| wrong())?;
        let is_plain = base.username().is_empty() && base.password().is_none() && base.query().is_none();
        if !["http", "https"].contains(&base.scheme()) || base.host_str().is_none() || !is_plain {
            return Err(wrong());
        }
        let mut builder = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            // A connection kept since before a restart of Prometheus would answer as if it were away.
            .pool_max_idle_per_host(0)
            .timeout(settings.time_out)
            .connect_timeout(settings.time_out);
        if let Some(path) = &settings.ca_file {
            let wrong = || Unusable::new("ca_file", format!("{} holds no certificate (PEM)", path.display()));
            let certificates = Certificate::from_pem_bundle(&contents("ca_file", path)?).map_err(|_| wrong())?;
            if base.scheme() != "https" {
                return Err(Unusable::new("ca_file", "the url is not encrypted; let it begin with https://"));
            }
            if certificates.is_empty() {
                return Err(wrong());
            }
            builder = builder.tls_built_in_root_certs(false);
            for certificate in certificates {
                builder = builder.add_root_certificate(certificate);
            }
        }
        let client = builder.build().map_err(|_| Unusable::new("ca_file", "its certificates cannot be used"))?;
        Ok(Self { client, base, limit: settings.time_out, credentials: Credentials::of(settings)? })
    }

    /// Whether whoever is on the way there may read the credentials, or answer in its place.
    pub(super) fn is_read_along(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let is_local = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|host| host.is_loopback());
        !matches!(self.credentials, Credentials::None) && self.base.scheme() != "https" && !is_local
    }

    /// What a query finds.
    ///
    /// # Errors
    /// With the query, by what a person would do about it. It never takes longer than its time-out.
    pub(super) async fn ask(&self, query: &str, when: When, kind: Kind) -> Result<Vec<Series>, PortError> {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1_000), ms.rem_euclid(1_000));
        let limit = ("timeout", format!("{}ms", self.limit.as_millis()));
        let query_is = ("query", query.to_owned());
        let (path, parameters) = match when {
            When::At(at) => ("query", vec![query_is, ("time", seconds(at)), limit]),
            When::Range { start, end, step } => {
                let range = [("start", seconds(start)), ("end", seconds(end)), ("step", seconds(step))];
                ("query_range", [vec![query_is, limit], range.into()].concat())
            }
        };
        let asked = || format!("asked: {}", quote(query.as_bytes()));
        let (status, body) = self.get(path, &parameters).await?;
        self.accept(path, status, &body, &asked())?;
        answer::read(&body, kind).map_err(|why| self.unreadable(format!("{why}; {}", asked())))
    }

    /// Its version.
    pub(super) async fn version(&self) -> Result<String, PortError> {
        let (status, body) = self.get("status/buildinfo", &[]).await?;
        self.accept("status/buildinfo", status, &body, "asked for its version")?;
        let read: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
        let version = read.as_ref().and_then(|answer| answer.pointer("/data/version")?.as_str());
        let version = version.ok_or_else(|| self.unreadable(format!("no version: {}", quote(&body))))?;
        Ok(escaped(version, 40))
    }

    async fn get(&self, path: &str, parameters: &[(&str, String)]) -> Result<(StatusCode, Vec<u8>), PortError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/api/v1/{path}", self.base.path().trim_end_matches('/')));
        if !parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(parameters);
        }
        let request = self.credentials.shown(self.client.get(url));
        let mut response = request.send().await.map_err(|error| self.failed(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(self.unreadable(format!("more than {} MiB", MAX_BODY >> 20)));
            }
            body.extend_from_slice(&chunk);
        }
        Ok((status, body))
    }

    fn accept(&self, path: &str, status: StatusCode, body: &[u8], asked: &str) -> Result<(), PortError> {
        let what = self.to_string();
        let said = || answer::words(body).unwrap_or_else(|| quote(body));
        match status {
            StatusCode::OK => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let to_do = match self.credentials {
                    Credentials::None => "it takes credentials: set user and password, or token",
                    Credentials::Basic { .. } => "correct the user or the password",
                    Credentials::Bearer(_) => "correct the token",
                };
                Err(PortError::Refused { what, detail: format!("{status}; {to_do}") })
            }
            StatusCode::NOT_FOUND => {
                let detail = format!("/api/v1/{path} answered 404; see the path in the url");
                Err(PortError::NotServed { what, detail })
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
                Err(PortError::Unreachable { what, detail: format!("{status}: {}", said()) })
            }
            status if status.is_redirection() => {
                Err(self.unreadable(format!("{status}: it sends elsewhere; set the url to where it really is")))
            }
            status => Err(self.unreadable(format!("{status}: {}; {asked}", said()))),
        }
    }

    /// An answer that cannot be relied on.
    pub(super) fn unreadable(&self, detail: impl Into<String>) -> PortError {
        PortError::Unreadable { what: self.to_string(), detail: detail.into() }
    }

    fn failed(&self, error: &reqwest::Error) -> PortError {
        let what = self.to_string();
        if error.is_timeout() {
            return PortError::TimedOut { what, limit: self.limit };
        }
        // The outer causes repeat the URL; the innermost says what happened.
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        let words = cause.downcast_ref().map_or_else(|| lost::certificate(&cause.to_string()), lost::words);
        if words.starts_with("invalid HTTP") {
            return PortError::Unreadable { what, detail: format!("it does not speak HTTP: {words}") };
        }
        PortError::Unreachable { what, detail: words }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prometheus at ")?;
        f.write_str(self.base.host_str().unwrap_or_default())?;
        self.base.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for Server {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("at", &self.to_string()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl Credentials {
    fn of(settings: &Settings) -> Result<Self, Unusable> {
        let password = given("password", settings.password.as_ref(), settings.password_file.as_deref())?;
        let token = given("token", settings.token.as_ref(), settings.token_file.as_deref())?;
        match (settings.user.clone(), password, token) {
            (None, None, None) => Ok(Self::None),
            (None, None, Some(token)) => {
                let can_be_sent = token.expose_secret().bytes().all(|byte| byte.is_ascii_graphic());
                let wrong = || Unusable::new("token", "it has characters that cannot be sent");
                can_be_sent.then_some(Self::Bearer(token)).ok_or_else(wrong)
            }
            (Some(user), Some(_), None) if user.contains(':') => {
                Err(Unusable::new("user", "it has a colon, which ends a user's name"))
            }
            (Some(user), Some(password), None) => Ok(Self::Basic { user, password }),
            (_, _, Some(_)) => Err(Unusable::new("token", "set either a token, or a user and a password")),
            (None, Some(_), None) => Err(Unusable::new("user", "there is a password; set the user that it is of")),
            (Some(_), None, None) => Err(Unusable::new("password", "there is a user; set the password")),
        }
    }

    fn shown(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::None => request,
            Self::Basic { user, password } => request.basic_auth(user, Some(password.expose_secret())),
            Self::Bearer(token) => request.bearer_auth(token.expose_secret()),
        }
    }
}

fn quote(body: &[u8]) -> String {
    escaped(&String::from_utf8_lossy(&body[..body.len().min(QUOTED * 4)]), QUOTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Settings {
        Settings::new("https://prometheus.example:9090/prefix", "job=\"j\"")
    }

    fn secret(text: &str) -> SecretString {
        SecretString::from(text)
    }

    #[test]
    fn credentials_are_written_as_they_are_sent_and_shown_nowhere() {
        for (with, wanted) in [
            (
                Settings { user: Some("scalebot".into()), password: Some(secret("hidden")), ..settings() },
                "Basic c2NhbGVib3Q6aGlkZGVu",
            ),
            (Settings { token: Some(secret("hidden")), ..settings() }, "Bearer hidden"),
        ] {
            let server = Server::new(&with).unwrap();
            let request = server.credentials.shown(server.client.get(server.base.clone())).build().unwrap();
            assert_eq!(request.headers()["authorization"], wanted);
            assert_eq!(server.to_string(), "Prometheus at prometheus.example:9090");
            assert!(!format!("{server:?} {with:?} {request:?}").contains("hidden"));
        }
    }

    #[test]
    fn what_is_said_by_halves_or_twice_is_refused() {
        let refused = |settings: Settings| Server::new(&settings).unwrap_err().key;
        assert_eq!(refused(Settings { user: Some("scalebot".into()), ..settings() }), "password");
        assert_eq!(refused(Settings { password: Some(secret("hidden")), ..settings() }), "user");
        let both =
            Settings { user: Some("s".into()), password: Some(secret("p")), token: Some(secret("t")), ..settings() };
        assert_eq!(refused(both), "token");
        assert_eq!(refused(Settings { token: Some(secret("line\nfeed")), ..settings() }), "token");
        for url in ["prometheus:9090", "ftp://prometheus", "http://user:hidden@prometheus", "http://", "x"] {
            let why = Server::new(&Settings { url: url.into(), ..settings() }).unwrap_err();
            assert!(why.key == "url" && !why.to_string().contains("hidden"), "{url}");
        }
        let plain = Settings { url: "http://p".into(), ca_file: Some("/dev/null".into()), ..settings() };
        assert_eq!(refused(plain), "ca_file");
        assert_eq!(refused(Settings { ca_file: Some("/dev/null".into()), ..settings() }), "ca_file");
    }

    #[test]
    fn a_way_on_which_credentials_can_be_read_is_known_as_such() {
        let open = |url: &str| {
            let with = Settings { url: url.into(), token: Some(secret("hidden")), ..settings() };
            Server::new(&with).unwrap().is_read_along()
        };
        assert!(open("http://prometheus.example"));
        assert!(!open("https://prometheus.example") && !open("http://127.0.0.1:9090") && !open("http://[::1]:9090"));
        assert!(
            !Server::new(&Settings { url: "http://prometheus.example".into(), ..settings() }).unwrap().is_read_along()
        );
    }
}
