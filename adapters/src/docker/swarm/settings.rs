//! Which service of the swarm is the fleet, and how its instances are reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use crate::docker::Reach;
use crate::docker::engine::Place;
use crate::settings::{TIME_OUT, Unusable, length};

/// One service of a swarm.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service's name in the swarm: that of a stack has the stack's before it.
    pub service: String,
    /// The socket at which a manager's engine is asked.
    #[serde(default = "socket")]
    pub socket: String,
    /// The socket at which a manager's engine is told. `None`: the same.
    #[serde(default)]
    pub order_socket: Option<String>,
    /// How an instance is reached.
    #[serde(default)]
    pub reach: Reach,
    /// The container's port at which it is asked. `None`: the only one that is published in host mode.
    #[serde(default)]
    pub port: Option<u16>,
    /// The network in which it is asked, where it is in several. `None`: its only one.
    #[serde(default)]
    pub network: Option<String>,
    /// The stack's files, in the order in which `docker stack deploy` is given them, to be told which count they say. Absolute
    /// paths. Empty: nothing is known of any.
    #[serde(default)]
    pub files: Vec<PathBuf>,
    /// Whether the bot makes instances that are ready servers of the HAProxy before the fleet, and takes out those that are
    /// gone. Not where that HAProxy resolves the service's name itself.
    #[serde(default)]
    pub register: bool,
    /// How long one question to the engine may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
}

fn socket() -> String {
    "unix:/var/run/docker.sock".to_owned()
}

fn time_out() -> Duration {
    TIME_OUT
}

impl Settings {
    /// Whether the keys can be used, as far as that can be told without an engine.
    ///
    /// # Errors
    /// Which one cannot, and what would be right.
    pub fn usable(&self) -> Result<(), Unusable> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let begins_well = self.service.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if !begins_well || !self.service.bytes().all(plain) {
            return Err(Unusable::new("service", "it is no name in Docker: letters, digits, -, _ and . within"));
        }
        if self.files.iter().any(|path| !path.is_absolute()) {
            return Err(Unusable::new("files", "it must be an absolute path"));
        }
        Place::read("socket", &self.socket)?;
        self.order_socket.as_deref().map(|text| Place::read("order_socket", text)).transpose()?;
        if self.port == Some(0) {
            return Err(Unusable::new("port", "it must be from 1 to 65535"));
        }
        if self.port.is_none() && self.reach == Reach::Address {
            return Err(Unusable::new("port", "name the container's port, which nothing tells of a task's address"));
        }
        if self.network.is_some() && self.reach == Reach::Published {
            return Err(Unusable::new("network", "it says nothing with reach = \"published\": leave it out"));
        }
        Ok(())
    }
}
