//! The world's instances as containers of this machine's engine. What they run is this very program, which they see with its
//! libraries as it lies here, so that nothing is built and nothing is pulled. They are made and kept by Compose or by Swarm
//! themselves, reach the world's store by its socket, and end once nobody answers there.
//!
//! Everything of them carries a label that names the state directory: by that is found what an earlier world left behind.

mod api;
mod compose;
mod program;
mod swarm;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum as _;
use scalebot_commands::ports::{Instance, InstanceState};
use scalebot_commands::units::{InstanceId, Timestamp};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use self::api::{Api, Info};
use self::program::Mount;
use super::World;
use super::looks::Looks;
use crate::drill::containers::{Containers, Kept, PORT};
use crate::drill::files;
use crate::drill::settings::{Fault, FleetKind, Settings};

/// What everything of a world is labelled with; its value is the state directory.
const LABEL: &str = "scalebot.drill";

/// Between two looks at who is there.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// How long an instance that is told to end has for what it works on.
const GRACE: Duration = Duration::from_secs(30);

/// The most memory that one may use, in bytes.
const MEMORY: u64 = 256 << 20;

/// Where an instance finds the world's socket, and the sign that whatever starts from then on is faulty.
const STORE: &str = "/world.sock";
const FAULTY: &str = "/fault/now";

/// The engine, and what runs on it for this world.
pub(super) struct Engine {
    api: Api,
    containers: Containers,
    kept: Kept,
    settings: Settings,
    state: PathBuf,
    store: PathBuf,
}

/// One container, in the words that both keepers need.
struct Recipe {
    image: String,
    /// The program and its arguments.
    words: Vec<String>,
    /// How it is asked whether it is ready.
    health: Vec<String>,
    mounts: Vec<Mount>,
    /// The most memory that it may use, in bytes.
    memory: u64,
}

/// What the containers of that world are called; `None` where its instances are processes.
pub(super) fn named(settings: &Settings, engine: Option<&Path>, identity: &str, state: &Path) -> Option<Containers> {
    // A UUID begins with the time, and ends with what is random.
    let name = format!("scalebot-drill-{}", &identity[identity.len().saturating_sub(8)..]);
    let socket = engine?.to_owned();
    match settings.fleet {
        FleetKind::Process => None,
        FleetKind::Compose => Some(Containers { socket, name, file: Some(state.join(files::COMPOSE)) }),
        FleetKind::Swarm => Some(Containers { socket, name, file: None }),
    }
}

impl Engine {
    /// Nothing is asked yet.
    pub(super) fn of(containers: &Containers, settings: Settings, state: &Path, store: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            api: Api::at(&containers.socket)?,
            kept: containers.kept(&state.join(files::ORDERS)).map_err(anyhow::Error::msg)?,
            containers: containers.clone(),
            settings,
            state: state.to_owned(),
            store: store.to_owned(),
        })
    }

    /// Clears away what an earlier world left, and has the first instances made.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        let Info { swarm, .. } = self.api.info().await?;
        anyhow::ensure!(
            swarm.manages || self.settings.fleet != FleetKind::Swarm,
            "The Docker engine at {} manages no swarm. `docker swarm init` makes one of this machine.",
            self.containers.socket.display()
        );
        self.clear().await.context("What an earlier rehearsal left on the engine could not be removed.")?;
        let fault = self.fault_folder();
        // What is struck is what comes later.
        let _ = std::fs::remove_file(fault.join("now"));
        std::fs::create_dir_all(&fault).with_context(|| format!("Making {}", fault.display()))?;
        let recipe = self.recipe().await?;
        self.api.empty_image(&self.containers.name, (LABEL, &self.label())).await?;
        match &self.containers.file {
            Some(file) => compose::make(self, file, &recipe).await,
            None => swarm::make(self, &recipe, &swarm.node).await,
        }
    }

    /// Whatever is made from now on has the fault that the rehearsal asks for.
    pub(super) fn strike(&self) -> anyhow::Result<()> {
        if self.settings.fault.is_some_and(Fault::strikes_instances) {
            let file = self.fault_folder().join("now");
            std::fs::write(&file, "").with_context(|| format!("Writing {}", file.display()))?;
        }
        Ok(())
    }

    fn fault_folder(&self) -> PathBuf {
        self.state.join("fault")
    }

    async fn recipe(&self) -> anyhow::Result<Recipe> {
        const PROGRAM: &str = "/scalebot";
        let mut mounts = program::mounts(PROGRAM).await?;
        mounts.push(Mount { source: self.store.clone(), target: STORE.into(), read_only: false });
        mounts.push(Mount { source: self.fault_folder(), target: "/fault".into(), read_only: true });
        let seed = self.settings.seed.to_string();
        let address = format!("0.0.0.0:{PORT}");
        let mut words: Vec<String> =
            [PROGRAM, "drill-instance", "--name", "api", "--store", STORE, "--contained", &address, "--seed", &seed]
                .map(str::to_owned)
                .to_vec();
        let fault = self.settings.fault.filter(|fault| fault.strikes_instances());
        if let Some(fault) = fault.and_then(|fault| fault.to_possible_value()) {
            words.extend(["--fault", fault.get_name(), "--fault-if", FAULTY].map(str::to_owned));
        }
        let health = ["CMD", PROGRAM, "drill-ready", &format!("127.0.0.1:{PORT}")].map(str::to_owned).to_vec();
        // Compose knows no other limit: where there is to be no room, those that are there may have all of it.
        let memory = match (self.settings.fault, self.settings.fleet) {
            (Some(Fault::NoRoom), FleetKind::Compose) => {
                self.api.info().await?.memory / u64::from(self.settings.instances)
            }
            _ => MEMORY,
        };
        Ok(Recipe { image: self.image(), words, health, mounts, memory })
    }

    fn image(&self) -> String {
        format!("{}:{}", api::REPOSITORY, self.containers.name)
    }

    fn label(&self) -> String {
        self.state.display().to_string()
    }

    /// Shows the world, its forwarder and whoever is around who is there, until the world is told to end.
    pub(super) async fn follow(self: Arc<Self>, world: Arc<World>) {
        let fleet = self.kept.onlookers();
        let mut followed = Followed::default();
        let mut said = None;
        let mut turns = interval(FOLLOW_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = world.told_to_end() => return,
            }
            let why = match fleet.observe().await {
                Ok(seen) => {
                    followed.enter(&world, &seen.instances);
                    world.write(|book| book.mirror(seen.instances));
                    None
                }
                Err(error) => Some(error.to_string()),
            };
            // Once, not three times a second.
            if why != said {
                if let Some(why) = &why {
                    eprintln!("{} who is there cannot be told: {why}", Timestamp::now());
                }
                said = why;
            }
        }
    }

    /// Removes everything of this world, and of earlier ones in the same directory.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        self.api.clear(&format!("{LABEL}={}", self.label())).await
    }
}

/// Those that the forwarder knows, and who looks at each.
#[derive(Default)]
struct Followed(BTreeMap<InstanceId, One>);

struct One {
    address: String,
    looking: JoinHandle<()>,
}

impl Drop for One {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

impl Followed {
    /// Enters who is there now. One that is gone is known until the forwarder has found that out by itself; one that Swarm
    /// ends is sent nothing more, since it takes it out as it tells it so.
    fn enter(&mut self, world: &Arc<World>, there: &[Instance]) {
        let is_told = world.settings.fleet == FleetKind::Swarm;
        for instance in there {
            let leaves = is_told && instance.state == InstanceState::Terminating;
            match &instance.address {
                Some(address) if !leaves => self.reached_at(world, &instance.id, address),
                _ => {}
            }
        }
        self.0.retain(|id, _| {
            let found = there.iter().find(|instance| instance.id == *id);
            let stays = match found {
                Some(instance) => !(is_told && instance.state == InstanceState::Terminating),
                None => world.routes().chooses(id),
            };
            if !stays {
                world.routes().forget(id);
            }
            stays
        });
    }

    fn reached_at(&mut self, world: &Arc<World>, id: &InstanceId, address: &str) {
        match self.0.get(id) {
            Some(one) if one.address == address => return,
            // Another container has its place.
            Some(_) => world.routes().see(id, false),
            None => world.routes().add(id.clone()),
        }
        world.routes().reached_at(id, address.to_owned());
        let mut looks = match Looks::at(address) {
            Ok(looks) => looks,
            Err(error) => {
                eprintln!("{} {id} cannot be looked at: {error}", Timestamp::now());
                return;
            }
        };
        let (of, world) = (id.clone(), Arc::clone(world));
        let looking = tokio::spawn(async move {
            loop {
                looks.show_the_forwarder(&world, &of).await;
            }
        });
        self.0.insert(id.clone(), One { address: address.to_owned(), looking });
    }
}
