//! A rehearsal's instances as containers: where its engine is, what they are called there, and the adapters to them. The
//! world makes them and the bot scales them, each by its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::docker::{Compose, ComposeSettings, Swarm, SwarmSettings};
use scalebot_adapters::settings::Unusable;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{Fleet, Traffic};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// What of the environment a world is given that has Compose make its containers.
pub(crate) const PASSED_ON: [&str; 5] = ["PATH", "HOME", "LANG", "DOCKER_CONFIG", "XDG_CONFIG_HOME"];

/// The service in the project.
pub(crate) const SERVICE: &str = "api";

/// Where an instance listens in its container.
pub(crate) const PORT: u16 = 8_000;

/// Where an engine listens unless it is said otherwise.
const USUAL: &str = "/var/run/docker.sock";

/// The engine's socket, as Docker's own programs find it.
///
/// # Errors
/// In words, when `DOCKER_HOST` names no socket: an engine elsewhere cannot have this machine's files in its containers.
pub(crate) fn socket() -> Result<PathBuf, String> {
    let named = std::env::var("DOCKER_HOST").ok().filter(|named| !named.is_empty());
    of_host(named.as_deref())
}

fn of_host(named: Option<&str>) -> Result<PathBuf, String> {
    let Some(named) = named else { return Ok(USUAL.into()) };
    let path = named.strip_prefix("unix://").filter(|path| path.starts_with('/')).map(PathBuf::from);
    path.ok_or_else(|| {
        "DOCKER_HOST names an engine elsewhere. A rehearsal needs one on this machine: unset it, or set it to \
         unix:///var/run/docker.sock."
            .to_owned()
    })
}

/// What a fleet of containers is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Containers {
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// The project, or the service of the swarm.
    pub(crate) name: String,
    /// The project's file; `None` in a swarm.
    pub(crate) file: Option<PathBuf>,
}

/// The adapters to such a fleet.
pub(crate) enum Kept {
    /// By Docker Compose.
    Compose(Compose),
    /// By Docker Swarm.
    Swarm(Swarm),
}

impl Containers {
    /// The adapters to it. `orders` is where orders to Compose are kept.
    ///
    /// # Errors
    /// In words, when it cannot be called so.
    pub(crate) fn kept(&self, orders: &Path) -> Result<Kept, String> {
        let in_words = |error: Unusable| format!("The rehearsal's containers: {}: {}.", error.key, error.why);
        let unreadable = |error: serde_json::Error| format!("The rehearsal's containers: {error}.");
        let socket = format!("unix:{}", self.socket.display());
        if let Some(file) = &self.file {
            let settings: ComposeSettings = serde_json::from_value(json!({
                "project": self.name, "service": SERVICE, "files": [file], "socket": socket, "port": PORT,
            }))
            .map_err(unreadable)?;
            return Ok(Kept::Compose(Compose::new(&settings, orders).map_err(in_words)?));
        }
        let settings: SwarmSettings = serde_json::from_value(json!({
            "service": self.name, "socket": socket, "reach": "published", "port": PORT,
        }))
        .map_err(unreadable)?;
        Ok(Kept::Swarm(Swarm::new(&settings).map_err(in_words)?))
    }
}

impl Kept {
    /// The fleet, for whoever changes it.
    pub(crate) fn fleet(&self) -> Arc<dyn Fleet> {
        match self {
            Self::Compose(compose) => Arc::new(compose.clone()),
            Self::Swarm(swarm) => Arc::new(swarm.clone()),
        }
    }

    /// The fleet, for whoever only follows its instances.
    pub(crate) fn onlookers(&self) -> Arc<dyn Fleet> {
        match self {
            Self::Compose(compose) => Arc::new(compose.for_onlookers()),
            Self::Swarm(swarm) => Arc::new(swarm.clone()),
        }
    }

    /// Puts the limits that such a fleet needs in the place of a rehearsal's own.
    pub(crate) fn set(&self, policy: &mut Policy) {
        // Its files are asked about by a program that takes a while to start.
        policy.time.look = Duration::from_secs(20);
        policy.time.round = Duration::from_secs(40);
        if matches!(self, Self::Swarm(_)) {
            // Nobody can take out beforehand whom it ends.
            policy.drain.unmeasured = Some(Duration::from_secs(10));
        }
    }

    /// What sends it requests, where that is this balancer.
    pub(crate) fn behind(&self, balancer: Arc<dyn Traffic>) -> Arc<dyn Traffic> {
        match self {
            Self::Compose(_) => balancer,
            Self::Swarm(swarm) => swarm.behind(balancer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_where_docker_finds_it_and_never_on_another_machine() {
        assert_eq!(of_host(None), Ok(PathBuf::from("/var/run/docker.sock")));
        assert_eq!(of_host(Some("unix:///run/user/1000/docker.sock")), Ok("/run/user/1000/docker.sock".into()));
        for elsewhere in ["tcp://10.0.0.4:2375", "ssh://build", "unix://docker.sock", "/var/run/docker.sock"] {
            assert!(of_host(Some(elsewhere)).unwrap_err().contains("unset it"), "{elsewhere}");
        }
    }

    #[test]
    fn both_keepers_take_what_a_world_calls_its_containers() {
        let file = Some(PathBuf::from("/tmp/drill/compose.yaml"));
        let composed = Containers { socket: USUAL.into(), name: "scalebot-drill-0a1b2c3d".to_owned(), file };
        let swarmed = Containers { file: None, ..composed.clone() };
        let orders = Path::new("/tmp/drill/orders");
        assert_eq!(
            [composed, swarmed].map(|containers| containers.kept(orders).unwrap().fleet().describe()),
            ["Compose service api of project scalebot-drill-0a1b2c3d", "Swarm service scalebot-drill-0a1b2c3d"]
        );
    }
}
