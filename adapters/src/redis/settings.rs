//! How the backend's Redis is reached, and what its stream is called.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::settings::{Network, TIME_OUT, length, optional_secret, secret};

/// One Redis and what is asked of it. Whatever is left out is not asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `redis://scalebot@cache.example:6379`, `rediss://…` for an encrypted connection, `redis+unix:///path` for a
    /// socket; the number of a database may follow. It may hold the password, and is never shown.
    #[serde(deserialize_with = "secret", skip_serializing)]
    pub url: SecretString,
    /// The password, where the URL holds none.
    #[serde(default, deserialize_with = "optional_secret", skip_serializing)]
    pub password: Option<SecretString>,
    /// A file that holds the password, where neither the URL nor `password` does.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that are trusted instead of those that this machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one question may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
    /// The stream of halt signals.
    #[serde(default)]
    pub halt: Option<HaltSettings>,
    /// The budget of connections.
    #[serde(default)]
    pub connections: Option<ConnectionSettings>,
}

impl Settings {
    /// That server, asked for the halt signals of the Archon 72 Conclave Backend.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            password: None,
            password_file: None,
            ca_file: None,
            time_out: TIME_OUT,
            halt: Some(HaltSettings::default()),
            connections: None,
        }
    }
}

fn time_out() -> Duration {
    TIME_OUT
}

/// The stream of halt signals: any entry is a halt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HaltSettings {
    /// The stream's key.
    pub stream: String,
    /// Of an entry: why.
    pub reason: String,
    /// Of an entry: since when, RFC 3339. Where an entry has none, the time in its identifier counts.
    pub timestamp: String,
}

impl Default for HaltSettings {
    fn default() -> Self {
        Self { stream: "halt:signals".into(), reason: "reason".into(), timestamp: "timestamp".into() }
    }
}

/// The budget of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSettings {
    /// How many connections one instance may open at most.
    pub per_instance: u32,
    /// How many more a rollout may open for a while.
    #[serde(default)]
    pub surge: u32,
    /// By what the fleet's own connections are known. They are not counted as others'.
    pub fleet: FleetSettings,
}

/// By what the fleet's own connections are known: by everything that is named here at once, and at least one thing must
/// be. Where something else uses the same user, name names or addresses too: what is taken for the fleet's is not
/// counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FleetSettings {
    /// The users that the instances connect as.
    pub users: Vec<String>,
    /// What the instances call themselves (`CLIENT SETNAME`).
    pub names: Vec<String>,
    /// Where the instances connect from: `10.1.2.3`, `10.1.0.0/16`.
    pub addresses: Vec<Network>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn neither_the_url_nor_the_password_is_ever_shown() {
        let settings: Settings = serde_json::from_value(json!({
            "url": "redis://scalebot:hidden@cache.example", "password": "hidden", "halt": {}
        }))
        .unwrap();
        assert_eq!(settings.halt, Some(HaltSettings::default()));
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused() {
        assert!(serde_json::from_value::<Settings>(json!({ "url": "redis://cache.example", "tls": true })).is_err());
        assert!(serde_json::from_value::<HaltSettings>(json!({ "key": "halt:signals" })).is_err());
        assert!(serde_json::from_value::<ConnectionSettings>(json!({ "fleet": { "users": ["conclave"] } })).is_err());
    }
}
