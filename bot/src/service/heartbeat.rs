//! A dead man's switch: an address that is requested every so often for as long as the bot is ready. Whoever is there
//! raises an alarm when the requests stop, also where the whole machine is gone with everything that would tell of it.
//!
//! Nothing hangs on the answer: a request that fails is a line in the program's log and a figure, and the next one comes in
//! time. The address is a secret, since whoever knows it can say that the bot lives.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt as _};
use reqwest::{Client, Url, redirect};
use scalebot_adapters::settings::{Unusable, given, length, optional_secret};
use scalebot_commands::request::escaped;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::watch::Watch;
use crate::measures::Beats;

/// How long one request may take.
const LIMIT: Duration = Duration::from_secs(10);

/// Between two looks at a bot that is not ready.
const LOOK: Duration = Duration::from_secs(5);

/// How often it may be requested.
const EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(10)..=Duration::from_hours(1);

/// The longest host that is shown, in characters.
const SHOWN: usize = 100;

/// `[heartbeat]`: who is told that the bot is ready.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The address: from the environment, never in the file. Default: none; then `url_file` names a file that holds it.
    #[serde(default, deserialize_with = "optional_secret")]
    url: Option<SecretString>,
    /// A file that holds the address. Default: none.
    #[serde(default)]
    url_file: Option<PathBuf>,
    /// How often it is requested. Default: `1m`. From 10 s to 1 h.
    #[serde(default = "every", with = "length")]
    pub(crate) every: Duration,
}

fn every() -> Duration {
    Duration::from_mins(1)
}

impl Settings {
    /// What cannot be used although it can be read.
    ///
    /// # Errors
    /// The first thing that is wrong. The address is not repeated.
    pub(crate) fn usable(&self) -> Result<(), Unusable> {
        if self.url.is_none() && self.url_file.is_none() {
            let why = "no address is given; set heartbeat.url in the environment (SCALEBOT_HEARTBEAT__URL) or name its \
                       file in heartbeat.url_file";
            return Err(Unusable::new("heartbeat", why));
        }
        if !EVERY.contains(&self.every) {
            return Err(Unusable::new("heartbeat.every", "it must be from 10s to 1h"));
        }
        // A file is read where it is used: whoever only looks at the configuration may not be allowed to.
        if self.url_file.is_none() { self.address().map(|_| ()) } else { Ok(()) }
    }

    /// The address.
    ///
    /// # Errors
    /// When it cannot be read, or is none. It is not repeated.
    pub(crate) fn address(&self) -> Result<Address, Unusable> {
        const KEY: &str = "heartbeat.url";
        let wrong = |why: &str| Unusable::new(KEY, why);
        let url = given(KEY, self.url.as_ref(), self.url_file.as_deref())?.ok_or_else(|| wrong("it is missing"))?;
        let parsed = Url::parse(url.expose_secret().trim()).map_err(|_| wrong("it is no address"))?;
        if !matches!(parsed.scheme(), "https" | "http") {
            return Err(wrong("it must begin with https:// or http://"));
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }
        Ok(Address(url))
    }
}

/// An address that was looked at and can be requested.
#[derive(Clone, Debug)]
pub(crate) struct Address(SecretString);

impl Address {
    fn url(&self) -> Option<Url> {
        Url::parse(self.0.expose_secret().trim()).ok()
    }

    /// Host and port, which may be shown.
    pub(crate) fn host(&self) -> (String, u16) {
        let url = self.url();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default();
        let port = url.as_ref().and_then(Url::port_or_known_default).unwrap_or_default();
        (escaped(host.trim_matches(['[', ']']), SHOWN), port)
    }

    /// Whether others on the way could read it.
    pub(crate) fn is_readable_on_its_way(&self) -> bool {
        let (host, _) = self.host();
        let stays_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
        self.url().is_none_or(|url| url.scheme() == "http") && !stays_here
    }
}

/// The heartbeat of one process.
pub(crate) struct Heartbeat {
    client: Client,
    address: Address,
    every: Duration,
    beats: Arc<Beats>,
}

impl Heartbeat {
    /// Nothing is requested yet.
    ///
    /// # Errors
    /// In words, when the settings cannot be used.
    pub(crate) fn new(settings: &Settings, beats: Arc<Beats>) -> Result<Self, String> {
        let address = settings.address().map_err(|error| error.to_string())?;
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(LIMIT)
            .user_agent(concat!("scalebot/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| format!("heartbeat: the system offers no way to ask for it ({}).", reason(&error)))?;
        Ok(Self { client, address, every: settings.every, beats })
    }

    /// Requests it for as long as the process lives, whenever the bot is ready.
    pub(crate) async fn beat(self, watch: Watch) {
        while_ready(self.every, || watch.is_ready().boxed(), || self.once().boxed()).await;
    }

    async fn once(&self) {
        let came = self.request().await;
        self.beats.came_to(came.is_ok());
        if let Err(why) = came {
            tracing::warn!(%why, "the heartbeat was not taken: whoever waits for it may raise an alarm");
        }
    }

    /// The answer's body is not read: nothing in it counts.
    async fn request(&self) -> Result<(), String> {
        let url = self.address.url().ok_or("it is no address")?;
        let response = self.client.get(url).send().await.map_err(|error| reason(&error))?;
        let status = response.status();
        if status.is_success() { Ok(()) } else { Err(format!("the answer was {}", status.as_u16())) }
    }
}

/// Makes the request every so often while it is ready; while it is not, it is looked sooner.
async fn while_ready<'a>(
    every: Duration,
    is_ready: impl Fn() -> BoxFuture<'a, bool>,
    request: impl Fn() -> BoxFuture<'a, ()>,
) {
    loop {
        let began = Instant::now();
        let pause = if is_ready().await {
            request().await;
            every
        } else {
            LOOK.min(every)
        };
        sleep_until(began + pause).await;
    }
}

/// The innermost cause in words; the outer ones repeat the address.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("there was no answer within {} s", LIMIT.as_secs());
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let says_more = cause.downcast_ref::<reqwest::Error>().is_none();
    if says_more { escaped(&cause.to_string(), 200) } else { "there was no usable answer".to_owned() }
}

#[cfg(test)]
mod tests;
