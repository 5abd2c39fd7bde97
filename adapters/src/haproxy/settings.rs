//! How an HAProxy is reached, and which of its servers is which instance.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::{TIME_OUT, length};

/// One HAProxy, and the backend that holds the fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Its runtime API: `unix:/run/haproxy/admin.sock`, or `tcp:127.0.0.1:9999`. It takes `level admin`.
    pub socket: String,
    /// The backend whose servers are the fleet's instances. One whose servers are in several backends needs requests
    /// stopped in each: name the one that all others `track`.
    pub backend: String,
    /// Which of its servers is which instance.
    #[serde(default)]
    pub servers: Servers,
    /// The server's name where it goes by the name; `{instance}` stands for the instance's.
    #[serde(default = "same_name")]
    pub server: String,
    /// How a server is taken out of the rotation.
    #[serde(default)]
    pub out: Out,
    /// What `add server` is told besides name and address, as `check inter 2s`.
    #[serde(default)]
    pub added_with: String,
    /// How long one question or order may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
}

impl Settings {
    /// That backend there, whose servers are called as the instances are.
    pub fn new(socket: impl Into<String>, backend: impl Into<String>) -> Self {
        Self {
            socket: socket.into(),
            backend: backend.into(),
            servers: Servers::default(),
            server: same_name(),
            out: Out::default(),
            added_with: String::new(),
            time_out: TIME_OUT,
        }
    }
}

fn same_name() -> String {
    super::servers::INSTANCE.to_owned()
}

fn time_out() -> Duration {
    TIME_OUT
}

/// By what a server is known to be an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Servers {
    /// By its name.
    #[default]
    ByName,
    /// By its address and port, which are the instance's.
    ByAddress,
}

/// How a server is taken out of the rotation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Out {
    /// `drain`: it gets none of the requests that are balanced. Those that a cookie or a stick table binds to it go on.
    #[default]
    Drain,
    /// `maint`: nobody new gets there by any way, and its health is not looked at meanwhile.
    Maint,
}

impl Out {
    /// As HAProxy calls it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}
