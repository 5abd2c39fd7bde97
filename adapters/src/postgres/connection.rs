//! The few connections to the server: made when they are needed, made again when they were lost, given up at once when
//! an answer does not come in time.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use scalebot_commands::ports::PortError;
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::failure::{self, Failure};
use super::settings::{Settings, SslMode};
use crate::settings::{Unusable, contents, given};

/// The most connections that the bot opens.
const CONNECTIONS: usize = 2;

/// What the bot's sessions are called. The backend's own guard on the halt table is off for names that contain "test".
const APPLICATION: &str = "scalebot";

/// What may stand behind the question mark of the URL.
const PARAMETERS: [&str; 2] = ["sslmode", "host"];

/// One question to the server.
#[async_trait]
pub(super) trait Question: Sync {
    /// What it answers.
    type Answer: Send;

    /// Asks it, within a transaction that can only read.
    async fn put(&self, connection: &mut PgConnection) -> Result<Self::Answer, sqlx::Error>;
}

/// What a question is about, for those who read that it was not answered.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// As a card says it: "halt table".
    pub(super) what: String,
    /// Which rights it needs, and how they are granted.
    pub(super) grant: String,
}

/// A server.
pub(super) struct Server {
    options: PgConnectOptions,
    address: String,
    protection: Protection,
    limit: Duration,
    permits: Semaphore,
    idle: Mutex<Vec<PgConnection>>,
}

/// How the way to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protection {
    /// It does not leave this machine.
    Local,
    /// Encrypted, to a server that proved who it is.
    Verified,
    /// Anybody on the way may read it or answer instead.
    None,
}

/// Where a server is, and as whom it is spoken to, as an operator writes it down.
pub(crate) struct Address<'a> {
    /// May hold the password.
    pub(crate) url: &'a SecretString,
    pub(crate) password: Option<&'a SecretString>,
    pub(crate) password_file: Option<&'a Path>,
    pub(crate) sslmode: Option<SslMode>,
    pub(crate) ca_file: Option<&'a Path>,
    /// How such a URL is written.
    pub(crate) example: &'static str,
}

/// The way to a server.
pub(crate) struct Reached {
    pub(crate) options: PgConnectOptions,
    /// "db.example:5432".
    pub(crate) address: String,
    pub(crate) protection: Protection,
}

impl Address<'_> {
    /// The way there. Nothing is connected.
    ///
    /// # Errors
    /// Which key cannot be used, and why; never what it holds.
    pub(crate) fn reach(&self) -> Result<Reached, Unusable> {
        let url = self.url.expose_secret();
        // What the parsers say may repeat the URL, and with it the password.
        let wrong = |why: &str| Unusable::new("url", why);
        let parsed = Url::parse(url).map_err(|_| wrong(&format!("no URL; write it as {}", self.example)))?;
        if !matches!(parsed.scheme(), "postgres" | "postgresql") {
            return Err(wrong("it does not begin with postgres://"));
        }
        if parsed.username().is_empty() || parsed.path().len() < 2 {
            return Err(wrong(&format!("it names no user or no database; write it as {}", self.example)));
        }
        if let Some((key, _)) = parsed.query_pairs().find(|(key, _)| !PARAMETERS.contains(&&**key)) {
            let known = PARAMETERS.join(" and ");
            return Err(Unusable::new("url", format!("the parameter {key:?} is not known; {known} are")));
        }
        let password = given("password", self.password, self.password_file)?;
        if parsed.password().is_some() && password.is_some() {
            return Err(Unusable::new("password", "the URL holds one already; keep one of them"));
        }
        let mut options = PgConnectOptions::from_str(url).map_err(|_| wrong("it cannot be understood"))?;
        if let Some(password) = &password {
            options = options.password(password.expose_secret());
        }
        if let Some(path) = self.ca_file {
            options = options.ssl_root_cert_from_pem(contents("ca_file", path)?);
        }
        let local = is_local(&options);
        let mode = mode(self.sslmode, &parsed, local)?;
        let protection = match mode {
            _ if local => Protection::Local,
            PgSslMode::VerifyCa | PgSslMode::VerifyFull => Protection::Verified,
            _ => Protection::None,
        };
        let options = options.ssl_mode(mode).application_name(APPLICATION).disable_statement_logging();
        let address = match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        };
        Ok(Reached { options, address, protection })
    }
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        let address = Address {
            url: &settings.url,
            password: settings.password.as_ref(),
            password_file: settings.password_file.as_deref(),
            sslmode: settings.sslmode,
            ca_file: settings.ca_file.as_deref(),
            example: "postgres://scalebot@db.example:5432/conclave",
        };
        let Reached { options, address, protection } = address.reach()?;
        let limit = format!("{}ms", settings.time_out.as_millis().max(1));
        let options = options
            .options([
                ("default_transaction_read_only", "on"),
                ("statement_timeout", &limit),
                ("lock_timeout", &limit),
                ("idle_in_transaction_session_timeout", &limit),
            ])
            // A statement that is kept prepared fails once its table was changed.
            .statement_cache_capacity(0);
        Ok(Self {
            address,
            options,
            protection,
            limit: settings.time_out,
            permits: Semaphore::new(CONNECTIONS),
            idle: Mutex::default(),
        })
    }

    /// "PostgreSQL at db.example:5432".
    pub(super) fn describe(&self) -> String {
        format!("PostgreSQL at {}", self.address)
    }

    /// The role that the bot connects as.
    pub(super) fn role(&self) -> &str {
        self.options.get_username()
    }

    /// The database that it connects to.
    pub(super) fn database(&self) -> &str {
        self.options.get_database().unwrap_or_default()
    }

    /// How the way there is protected.
    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    /// Asks one question in a transaction that can only read.
    ///
    /// # Errors
    /// By what a person would do about it. It never takes longer than its time-out.
    pub(super) async fn ask<Q: Question>(&self, about: &About, question: &Q) -> Result<Q::Answer, PortError> {
        match timeout(self.limit, self.attempt(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(failure::explained(&failure, about, self, self.limit)),
            // The connection was dropped with the question: an answer that comes late must not answer the next one.
            Err(_) => Err(PortError::TimedOut { what: about.what.clone(), limit: self.limit }),
        }
    }

    async fn attempt<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Failure> {
        // Never closed.
        let _permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        if let Some(known) = self.take() {
            match self.asked(known, question).await {
                // The server was restarted since, or something between cut the connection: a new one can tell.
                Err(error) if failure::is_lost(&error) => {}
                answer => return Ok(answer?),
            }
        }
        let new = self.connect().await?;
        Ok(self.asked(new, question).await?)
    }

    async fn asked<Q: Question>(&self, mut connection: PgConnection, question: &Q) -> Result<Q::Answer, sqlx::Error> {
        let mut transaction = connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let answer = question.put(&mut transaction).await?;
        transaction.commit().await?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(answer)
    }

    /// A connection to a server that follows no other.
    pub(super) async fn connect(&self) -> Result<PgConnection, Failure> {
        let mut connection = self.options.connect().await?;
        let follows: bool =
            sqlx::query_scalar("SELECT pg_catalog.pg_is_in_recovery()").fetch_one(&mut connection).await?;
        if follows { Err(Failure::Follower) } else { Ok(connection) }
    }

    fn take(&self) -> Option<PgConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

impl fmt::Debug for Server {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Whether the way to the server does not leave this machine.
fn is_local(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn mode(configured: Option<SslMode>, url: &Url, local: bool) -> Result<PgSslMode, Unusable> {
    let in_url = url.query_pairs().find(|(key, _)| key == "sslmode").map(|(_, value)| value.into_owned());
    let mode = match (configured, in_url.as_deref()) {
        (Some(_), Some(_)) => return Err(Unusable::new("sslmode", "the URL says one already; keep one of them")),
        (Some(mode), None) => mode,
        (None, Some("disable")) => SslMode::Disable,
        (None, Some("require")) => SslMode::Require,
        (None, Some("verify-ca")) => SslMode::VerifyCa,
        (None, Some("verify-full")) => SslMode::VerifyFull,
        (None, Some(_)) => {
            let why = "its sslmode is none of disable, require, verify-ca, verify-full; any other falls back to plain \
                       text without a word";
            return Err(Unusable::new("url", why));
        }
        // On this machine nobody is in between, and asking first finds out whether it is a PostgreSQL at all.
        (None, None) if local => return Ok(PgSslMode::Prefer),
        (None, None) => SslMode::VerifyFull,
    };
    Ok(match mode {
        SslMode::Disable => PgSslMode::Disable,
        SslMode::Require => PgSslMode::Require,
        SslMode::VerifyCa => PgSslMode::VerifyCa,
        SslMode::VerifyFull => PgSslMode::VerifyFull,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Server, Unusable> {
        Server::new(&Settings::new(SecretString::from(url)))
    }

    #[test]
    fn what_leaves_this_machine_is_verified_unless_somebody_says_otherwise() {
        let protection = |url: &str| server(url).unwrap().protection();
        assert_eq!(protection("postgres://scalebot@db.example/conclave"), Protection::Verified);
        assert_eq!(protection("postgres://scalebot@db.example/conclave?sslmode=verify-ca"), Protection::Verified);
        assert_eq!(protection("postgres://scalebot@db.example/conclave?sslmode=require"), Protection::None);
        assert_eq!(protection("postgres://scalebot@127.0.0.1:5433/conclave"), Protection::Local);
        assert_eq!(protection("postgres://scalebot@localhost/conclave?host=/var/run/postgresql"), Protection::Local);
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
        for (url, says) in [
            ("db.example/hidden", "no URL"),
            ("mysql://scalebot:hidden@db.example/conclave", "postgres://"),
            ("postgres://:hidden@db.example/conclave", "no user"),
            ("postgres://scalebot:hidden@db.example", "no database"),
            ("postgres://scalebot:hidden@db.example/conclave?sslmode=prefer", "plain text"),
            ("postgres://scalebot@db.example/conclave?password=hidden", "password"),
        ] {
            let refused = server(url).unwrap_err().to_string();
            assert!(refused.contains(says) && !refused.contains("hidden"), "{refused}");
        }
    }

    #[test]
    fn what_is_said_twice_is_refused() {
        let twice = Settings {
            password: Some(SecretString::from("hidden")),
            ..Settings::new(SecretString::from("postgres://scalebot:hidden@db.example/conclave"))
        };
        assert_eq!(Server::new(&twice).unwrap_err().key, "password");
        let twice = Settings {
            sslmode: Some(SslMode::Require),
            ..Settings::new(SecretString::from("postgres://scalebot@db.example/conclave?sslmode=require"))
        };
        assert_eq!(Server::new(&twice).unwrap_err().key, "sslmode");
    }

    #[test]
    fn a_server_is_named_without_its_credentials() {
        let server = server("postgres://scalebot:hidden@db.example:5433/conclave").unwrap();
        assert_eq!(server.describe(), "PostgreSQL at db.example:5433");
        assert!(!format!("{server:?}").contains("hidden"));
    }
}
