//! One engine, and what it is asked. Its answers have hundreds of fields; here are those that something follows from. What
//! is missing of them is an unreadable answer, unless an older engine or a container in its first moments may lack it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use scalebot_commands::ports::PortError;
use scalebot_commands::units::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::logs::Writer;
use crate::http::Http;
use crate::settings::Unusable;

/// One engine.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) http: Http,
    /// Where it is, as people know it.
    what: String,
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On a Unix socket.
    Socket(PathBuf),
    /// At a host and port, over plain HTTP: a filter on this machine or on the network of its containers.
    Address(String),
}

impl Place {
    /// Reads `unix:/run/docker.sock` or `tcp:127.0.0.1:2375`.
    ///
    /// # Errors
    /// When it is neither.
    pub(super) fn read(key: &str, text: &str) -> Result<Self, Unusable> {
        let wrong = || Unusable::new(key, "write it as unix:/run/docker.sock or tcp:127.0.0.1:2375");
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.starts_with('/') { Ok(Self::Socket(path.into())) } else { Err(wrong()) };
        }
        let address = text.strip_prefix("tcp:").ok_or_else(wrong)?;
        let address = address.strip_prefix("//").unwrap_or(address);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if has_port && address.bytes().all(plain) { Ok(Self::Address(address.to_owned())) } else { Err(wrong()) }
    }

    /// As Docker's own programs take it (`DOCKER_HOST`).
    pub(super) fn as_docker_host(&self) -> String {
        match self {
            Self::Socket(path) => format!("unix://{}", path.display()),
            Self::Address(address) => format!("tcp://{address}"),
        }
    }
}

impl Engine {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the system offers no way to ask.
    pub(super) fn new(place: &Place, limit: Duration) -> Result<Self, PortError> {
        Ok(match place {
            Place::Socket(path) => {
                let what = format!("the Docker engine at {}", path.display());
                Self { http: Http::on_socket(&what, path, limit)?, what }
            }
            Place::Address(address) => {
                let what = format!("the Docker engine at {address}");
                Self { http: Http::at(&what, address, limit)?, what }
            }
        })
    }

    /// Where it is, as people know it.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// Which engine it is, and what its machine has.
    pub(super) async fn info(&self) -> Result<Info, PortError> {
        self.http.get_json("/info").await
    }

    /// Every container with all these labels, those that have ended included.
    pub(super) async fn labelled(&self, labels: &[String]) -> Result<Vec<Listed>, PortError> {
        let filters = serde_json::json!({ "label": labels }).to_string();
        self.http.get_json(&format!("/containers/json?all=1&filters={}", in_query(&filters))).await
    }

    /// Every container that runs.
    pub(super) async fn running(&self) -> Result<Vec<Listed>, PortError> {
        self.http.get_json("/containers/json").await
    }

    /// All about one container; `None` when there is none of that name or identifier any more.
    pub(super) async fn inspect(&self, id: &str) -> Result<Option<Inspected>, PortError> {
        self.unless_gone(&format!("/containers/{}/json", in_path(id))).await
    }

    /// How much memory one container uses, in bytes without what is only cached; `None` when it has ended.
    pub(super) async fn memory_of(&self, id: &str) -> Result<Option<u64>, PortError> {
        let path = format!("/containers/{}/stats?stream=false&one-shot=true", in_path(id));
        let stats: Option<Stats> = self.unless_gone(&path).await?;
        Ok(stats.and_then(|stats| {
            let memory = stats.memory_stats;
            let cached = memory.stats.get("total_inactive_file").or_else(|| memory.stats.get("inactive_file"));
            memory.usage.map(|usage| usage.saturating_sub(cached.copied().unwrap_or(0)))
        }))
    }

    /// What somebody wrote, so many lines of it, as the engine frames it.
    pub(super) async fn written(&self, writer: Writer<'_>, lines: u32) -> Result<Vec<u8>, PortError> {
        let (kind, id) = match writer {
            Writer::Container(id) => ("containers", id),
            Writer::Task(id) => ("tasks", id),
        };
        let path = format!("/{kind}/{}/logs?stdout=1&stderr=1&tail={lines}", in_path(id));
        let answer = self.http.get(&path).await?;
        self.http.accept(&path, &answer)?;
        Ok(answer.body)
    }

    /// An answer that cannot be understood.
    pub(super) fn unreadable(&self, detail: impl Into<String>) -> PortError {
        self.http.unreadable(detail)
    }

    async fn unless_gone<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, PortError> {
        let answer = self.http.get(path).await?;
        if answer.status == reqwest::StatusCode::NOT_FOUND {
            // A filter that knows no such path says so as well, but not in the engine's words.
            let said: Result<Refusal, _> = serde_json::from_slice(&answer.body);
            return match said {
                Ok(refusal) if refusal.message.to_lowercase().contains("no such container") => Ok(None),
                _ => Err(self.http.not_served(path, "answered 404")),
            };
        }
        self.http.json(path, &answer).map(Some)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Refusal {
    pub(super) message: String,
}

/// A text as a value in a query.
pub(super) fn in_query(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).into() } else { format!("%{byte:02X}") })
        .collect()
}

/// A container's name or identifier as one segment of a path, so that nothing in it leads elsewhere. None of Docker's own
/// has anything else in it than this leaves as it is, and none is made of dots alone.
pub(super) fn in_path(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let segment: String =
        name.bytes().map(|byte| if plain(byte) { char::from(byte).into() } else { format!("%{byte:02X}") }).collect();
    if name.bytes().all(|byte| byte == b'.') { "none".to_owned() } else { segment }
}

/// Which engine it is, and what its machine has.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Info {
    /// Made once with its data folder.
    #[serde(rename = "ID")]
    pub(super) id: String,
    /// Its machine's name.
    #[serde(rename = "Name")]
    pub(super) name: String,
    #[serde(rename = "ServerVersion")]
    pub(super) version: String,
    /// How much memory its machine has, in bytes.
    #[serde(rename = "MemTotal")]
    pub(super) memory: u64,
}

/// A container as it is listed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Listed {
    pub(super) id: String,
}

/// All about one container that something follows from.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: String,
    /// With a slash before it.
    pub(super) name: String,
    pub(super) created: Timestamp,
    #[serde(default)]
    pub(super) restart_count: u32,
    pub(super) state: State,
    pub(super) config: Config,
    pub(super) host_config: HostConfig,
    pub(super) network_settings: NetworkSettings,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    /// `created`, `running`, `paused`, `restarting`, `removing`, `exited` or `dead`.
    pub(super) status: String,
    #[serde(rename = "OOMKilled", default)]
    pub(super) oom_killed: bool,
    #[serde(default)]
    pub(super) exit_code: i64,
    /// Why it could not be started.
    #[serde(default)]
    pub(super) error: String,
    #[serde(default)]
    pub(super) started_at: Option<String>,
    /// `None` without a health check.
    #[serde(default)]
    pub(super) health: Option<Health>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Health {
    /// `none`, `starting`, `healthy` or `unhealthy`.
    pub(super) status: String,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) log: Vec<Checked>,
}

/// One health check.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Checked {
    #[serde(default)]
    pub(super) output: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(default, deserialize_with = "or_none")]
    pub(super) labels: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) tty: bool,
    /// In seconds; `None` for the engine's own.
    #[serde(default)]
    pub(super) stop_timeout: Option<u64>,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) exposed_ports: BTreeMap<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HostConfig {
    /// The most that it may use, in bytes; 0 without a limit.
    #[serde(default)]
    pub(super) memory: u64,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) port_bindings: BTreeMap<String, Option<Vec<Binding>>>,
}

/// A port of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Binding {
    #[serde(default)]
    pub(super) host_ip: String,
    /// A number, a range (`8000-8010`), or nothing for any that is free.
    #[serde(default)]
    pub(super) host_port: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    #[serde(default, deserialize_with = "or_none")]
    pub(super) networks: BTreeMap<String, Option<Attached>>,
    #[serde(default, deserialize_with = "or_none")]
    pub(super) ports: BTreeMap<String, Option<Vec<Binding>>>,
}

/// A container in a network.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Attached {
    #[serde(rename = "IPAddress", default)]
    pub(super) address: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Stats {
    #[serde(default)]
    memory_stats: MemoryStats,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct MemoryStats {
    #[serde(default)]
    usage: Option<u64>,
    #[serde(default)]
    stats: BTreeMap<String, u64>,
}

/// Go writes what is empty as `null`.
pub(super) fn or_none<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_socket_or_a_host_with_its_port() {
        let place = |text| Place::read("socket", text);
        assert_eq!(place("unix:/run/docker.sock").unwrap().as_docker_host(), "unix:///run/docker.sock");
        assert_eq!(place("unix:///run/docker.sock").unwrap().as_docker_host(), "unix:///run/docker.sock");
        assert_eq!(place("tcp:127.0.0.1:2375").unwrap().as_docker_host(), "tcp://127.0.0.1:2375");
        for wrong in ["/run/docker.sock", "unix:docker.sock", "tcp:127.0.0.1", "tcp:h/x:1", "http://h:1", ""] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_name_in_a_path_leads_nowhere_else() {
        assert_eq!(in_path("conclave_api_1"), "conclave_api_1");
        assert_eq!(in_path("../x?y"), "..%2Fx%3Fy");
        assert_eq!(in_path(".."), "none");
    }
}
