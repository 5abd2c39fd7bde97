//! Which service of which project is the fleet, and how its instances are reached.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Place;
use crate::settings::{TIME_OUT, Unusable, length, memory};

/// One service of a Compose project.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The project's name, as its containers' labels have it.
    pub project: String,
    /// The service in it that is the fleet.
    pub service: String,
    /// The project's files, in the order in which Compose is given them. Absolute paths.
    pub files: Vec<PathBuf>,
    /// The project's directory. `None`: that of the first file.
    #[serde(default)]
    pub directory: Option<PathBuf>,
    /// The socket at which the engine is asked.
    #[serde(default = "socket")]
    pub socket: String,
    /// The socket at which Compose gives its orders. `None`: the same.
    #[serde(default)]
    pub order_socket: Option<String>,
    /// The program that Compose is, and its first arguments. `None`: `docker compose` where it is, else `docker-compose`.
    #[serde(default)]
    pub command: Option<Vec<String>>,
    /// How an instance is reached.
    #[serde(default)]
    pub reach: Reach,
    /// The container's port at which it is asked. `None`: the only one that it exposes.
    #[serde(default)]
    pub port: Option<u16>,
    /// The network in which it is asked, where it is in several. `None`: its only one.
    #[serde(default)]
    pub network: Option<String>,
    /// Whether the bot makes instances that are ready servers of the HAProxy before the fleet, and takes out those that are
    /// gone. Not where that HAProxy resolves the service's name itself.
    #[serde(default)]
    pub register: bool,
    /// How much memory one more instance takes, in bytes. `None`: the limit that its file sets.
    #[serde(default, deserialize_with = "memory::optional")]
    pub memory: Option<u64>,
    /// How much memory of the machine is kept for itself, in bytes.
    #[serde(default = "keep_free", deserialize_with = "memory::deserialize")]
    pub keep_free: u64,
    /// Where the lock and the record of orders are kept, an absolute path: the same for every bot of this machine. `None`:
    /// in the state directory.
    #[serde(default)]
    pub orders: Option<PathBuf>,
    /// How long Compose may take for one order, the ending of instances included.
    #[serde(default = "order_limit", with = "length")]
    pub order_limit: Duration,
    /// How long one question to the engine may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
}

/// How an instance is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// At its own address in its network, from the engine's machine or from a container in the same network.
    #[default]
    Address,
    /// At the port of the machine that it is published at.
    Published,
}

fn socket() -> String {
    "unix:/var/run/docker.sock".to_owned()
}

fn keep_free() -> u64 {
    256 << 20
}

fn order_limit() -> Duration {
    Duration::from_mins(2)
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
        for (key, name) in [("project", &self.project), ("service", &self.service)] {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            // What begins with a dash would be an option.
            if !name.bytes().all(plain) || !name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Unusable::new(key, "it is no name in Compose: letters, digits, -, _ and . within"));
            }
        }
        if self.files.is_empty() {
            return Err(Unusable::new("files", "name the project's files"));
        }
        let one = |path: &Option<PathBuf>| path.iter().cloned().collect::<Vec<_>>();
        let paths = [("files", self.files.clone()), ("directory", one(&self.directory)), ("orders", one(&self.orders))];
        for (key, paths) in paths {
            if paths.iter().any(|path| !path.is_absolute()) {
                return Err(Unusable::new(key, "it must be an absolute path"));
            }
        }
        Place::read("socket", &self.socket)?;
        self.order_socket.as_deref().map(|text| Place::read("order_socket", text)).transpose()?;
        if self.command.as_ref().is_some_and(|words| words.first().is_none_or(String::is_empty)) {
            return Err(Unusable::new("command", "name the program, as [\"docker\", \"compose\"]"));
        }
        if self.port == Some(0) {
            return Err(Unusable::new("port", "it must be from 1 to 65535"));
        }
        if self.network.is_some() && self.reach == Reach::Published {
            return Err(Unusable::new("network", "it says nothing with reach = \"published\": leave it out"));
        }
        Ok(())
    }

    /// The project's directory.
    pub(super) fn directory(&self) -> &Path {
        let of_the_first = || self.files.first().and_then(|file| file.parent());
        self.directory.as_deref().or_else(of_the_first).unwrap_or(Path::new("/"))
    }
}
