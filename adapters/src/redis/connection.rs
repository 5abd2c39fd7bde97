//! The connection to the server: made when it is needed, made again when it was lost, given up at once when an answer
//! does not come in time.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo as _, Pipeline,
    RedisConnectionInfo, RedisError, TlsCertificates, cmd, parse_redis_url,
};
use async_trait::async_trait;
use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::failure::{self, Failure};
use super::settings::Settings;
use crate::settings::{Unusable, contents, given};

/// One question to the server, of one command or a few.
#[async_trait]
pub(super) trait Question: Sync {
    /// What it answers.
    type Answer: Send;

    /// Asks it.
    async fn put(&self, asking: &mut Asking) -> Result<Self::Answer, Failure>;
}

/// What a question is about, for those who read that it was not answered.
#[derive(Clone, Debug)]
pub(super) struct About {
    /// As a card says it: "halt signals".
    pub(super) what: String,
    /// Which rights it needs, as an ACL says it.
    pub(super) rights: String,
}

/// The connection, in the hands of one question.
pub(super) struct Asking(MultiplexedConnection);

impl Asking {
    /// Asks one command.
    pub(super) async fn command<T: FromRedisValue>(&mut self, command: &Cmd) -> Result<T, Failure> {
        Ok(command.query_async(&mut self.0).await?)
    }

    /// Has several commands carried out as one.
    pub(super) async fn change(&mut self, change: &Pipeline) -> Result<(), Failure> {
        Ok(change.exec_async(&mut self.0).await?)
    }

    /// Asks for one section of what the server tells about itself.
    pub(super) async fn info(&mut self, section: &str) -> Result<Info, Failure> {
        Ok(Info(self.command(cmd("INFO").arg(section)).await?))
    }

    /// Goes on only where the server follows no other. Asked with every reading: a server may be made to follow another
    /// one without its connections noticing.
    pub(super) async fn must_lead(&mut self) -> Result<(), Failure> {
        match self.info("replication").await?.text("role")? {
            "master" => Ok(()),
            _ => Err(Failure::Follower),
        }
    }
}

/// One section of what the server tells about itself: a line a figure.
pub(super) struct Info(String);

impl Info {
    /// That figure as it stands.
    pub(super) fn text(&self, name: &str) -> Result<&str, Failure> {
        self.find(name).ok_or_else(|| Failure::Unreadable(format!("it does not tell its {name} (INFO)")))
    }

    /// That figure as a count.
    pub(super) fn count(&self, name: &str) -> Result<u32, Failure> {
        let text = self.text(name)?;
        text.parse().map_err(|_| Failure::Unreadable(format!("its {name} is no count: {}", escaped(text, 40))))
    }

    /// Whether it tells that figure.
    pub(super) fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    fn find(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.split_once(':').filter(|(key, _)| *key == name).map(|(_, value)| value))
    }
}

/// A server.
pub(super) struct Server {
    /// Knows the address and no credentials: those are given by [`Server::connect`], where the library would keep the
    /// server's words about them to itself.
    client: Client,
    user: Option<String>,
    password: Option<SecretString>,
    /// The number of the database; every connection begins in 0.
    database: i64,
    protection: Protection,
    limit: Duration,
    /// Empty while nobody is connected. Held by whoever asks: one question at a time.
    connection: Mutex<Option<MultiplexedConnection>>,
}

/// How the way to the server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protection {
    /// It does not leave this machine.
    Local,
    /// Encrypted, to a server that proved who it is.
    Verified,
    /// Anybody on the way may read it or answer instead.
    None,
}

impl Server {
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
        // What the parsers say may repeat the URL, and with it the password.
        let wrong = |why: &str| Unusable::new("url", why);
        let parsed = parse_redis_url(settings.url.expose_secret())
            .ok_or_else(|| wrong("no URL of a Redis; write it as redis://scalebot@cache.example:6379"))?;
        if parsed.fragment().is_some() {
            return Err(wrong("it ends in #…, which would leave the certificate unverified; set ca_file instead"));
        }
        let known: &[&str] = if parsed.scheme().ends_with("unix") { &["db", "user"] } else { &[] };
        if let Some((key, _)) = parsed.query_pairs().find(|(key, _)| !known.contains(&&**key)) {
            return Err(Unusable::new("url", format!("the parameter {key:?} is not known")));
        }
        let password = given("password", settings.password.as_ref(), settings.password_file.as_deref())?;
        if parsed.password().is_some() && password.is_some() {
            return Err(Unusable::new("password", "the URL holds one already; keep one of them"));
        }
        let info = parsed.into_connection_info().map_err(|_| wrong("it cannot be understood"))?;
        let access = info.redis_settings();
        let user = access.username().map(str::to_owned);
        let password = password.or_else(|| access.password().map(SecretString::from));
        let database = access.db();
        if user.is_some() && password.is_none() {
            return Err(Unusable::new(
                "password",
                "the URL names a user; set password_file to the file of its password",
            ));
        }
        // The library would name itself to the server, too, which takes a right that nothing else needs.
        let info = info.set_redis_settings(RedisConnectionInfo::default().set_skip_set_lib_name());
        let protection = match info.addr() {
            ConnectionAddr::TcpTls { .. } => Protection::Verified,
            ConnectionAddr::Tcp(host, _) if !is_local(host) => Protection::None,
            _ => Protection::Local,
        };
        let client = match &settings.ca_file {
            None => Client::open(info).map_err(|_| wrong("it cannot be used"))?,
            Some(_) if protection != Protection::Verified => {
                return Err(Unusable::new("ca_file", "the URL does not begin with rediss://, so nothing is verified"));
            }
            Some(path) => {
                let root_cert = Some(contents("ca_file", path)?);
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert })
                    .map_err(|_| Unusable::new("ca_file", format!("{} holds no certificate (PEM)", path.display())))?
            }
        };
        Ok(Self {
            client,
            user,
            password,
            database,
            protection,
            limit: settings.time_out,
            connection: Mutex::default(),
        })
    }

    /// "Redis at cache.example:6379".
    pub(super) fn describe(&self) -> String {
        format!("Redis at {}", self.client.get_connection_info().addr())
    }

    /// The user that the bot connects as.
    pub(super) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("default")
    }

    /// The number of the database.
    pub(super) fn database(&self) -> i64 {
        self.database
    }

    /// How the way there is protected.
    pub(super) fn protection(&self) -> Protection {
        self.protection
    }

    /// Asks one question.
    ///
    /// # Errors
    /// By what a person would do about it. It never takes longer than its time-out.
    pub(super) async fn ask<Q: Question>(&self, about: &About, question: &Q) -> Result<Q::Answer, PortError> {
        match timeout(self.limit, self.attempt(question)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(failure)) => Err(failure::explained(&failure, about, self)),
            // The connection was dropped with the question: an answer that comes late must not answer the next one.
            Err(_) => Err(PortError::TimedOut { what: about.what.clone(), limit: self.limit }),
        }
    }

    async fn attempt<Q: Question>(&self, question: &Q) -> Result<Q::Answer, Failure> {
        let mut place = self.connection.lock().await;
        if let Some(known) = place.take() {
            let mut asking = Asking(known);
            match question.put(&mut asking).await {
                Ok(answer) => {
                    *place = Some(asking.0);
                    return Ok(answer);
                }
                // The server was restarted since, or something between cut the connection: a new one can tell.
                Err(failure) if failure::is_lost(&failure) => {}
                Err(failure) => return Err(failure),
            }
        }
        let mut asking = Asking(self.connect().await?);
        let answer = question.put(&mut asking).await?;
        *place = Some(asking.0);
        Ok(answer)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        // The question has a time-out of its own, which this is part of.
        let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        if let Some(password) = &self.password {
            let mut auth = cmd("AUTH");
            if let Some(user) = &self.user {
                auth.arg(user);
            }
            auth.arg(password.expose_secret()).exec_async(&mut connection).await?;
        }
        if self.database != 0 {
            cmd("SELECT").arg(self.database).exec_async(&mut connection).await?;
        }
        Ok(connection)
    }
}

impl fmt::Debug for Server {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("at", &self.describe()).field("limit", &self.limit).finish_non_exhaustive()
    }
}

fn is_local(host: &str) -> bool {
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Result<Server, Unusable> {
        Server::new(&Settings::new(SecretString::from(url)))
    }

    #[test]
    fn what_leaves_this_machine_in_plain_text_is_known_as_such() {
        let protection = |url: &str| server(url).unwrap().protection();
        assert_eq!(protection("rediss://scalebot:hidden@cache.example"), Protection::Verified);
        assert_eq!(protection("redis://scalebot:hidden@cache.example"), Protection::None);
        assert_eq!(protection("redis://scalebot:hidden@127.0.0.1:6380"), Protection::Local);
        assert_eq!(protection("redis+unix:///run/redis.sock"), Protection::Local);
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_being_repeated() {
        for (url, says) in [
            ("cache.example/hidden", "no URL"),
            ("http://scalebot:hidden@cache.example", "no URL"),
            ("rediss://scalebot:hidden@cache.example/#insecure", "unverified"),
            ("redis://scalebot@cache.example?password=hidden", "password"),
            ("redis://scalebot:hidden@cache.example/first", "cannot be understood"),
        ] {
            let refused = server(url).unwrap_err().to_string();
            assert!(refused.contains(says) && !refused.contains("hidden"), "{refused}");
        }
    }

    #[test]
    fn what_is_said_twice_or_in_vain_is_refused() {
        let hidden = |url: &str| Settings::new(SecretString::from(url));
        let twice = Settings {
            password: Some(SecretString::from("hidden")),
            ..hidden("redis://scalebot:hidden@cache.example")
        };
        assert_eq!(Server::new(&twice).unwrap_err().key, "password");
        let plain = Settings { ca_file: Some("ca.pem".into()), ..hidden("redis://scalebot:hidden@cache.example") };
        assert_eq!(Server::new(&plain).unwrap_err().key, "ca_file");
        assert_eq!(server("redis://scalebot@cache.example").unwrap_err().key, "password");
    }

    #[test]
    fn a_server_is_named_without_its_credentials() {
        let server = server("redis://scalebot:hidden@cache.example:6380/2").unwrap();
        assert_eq!((server.describe().as_str(), server.user()), ("Redis at cache.example:6380", "scalebot"));
        assert!(!format!("{server:?}").contains("hidden"));
    }
}
