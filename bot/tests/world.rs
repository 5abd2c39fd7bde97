//! The rehearsal's world as the real program runs it: real instance processes, a real socket, real deaths.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect should stop right there")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use scalebot_adapters::process::wire::Scale;
use scalebot_adapters::process::{Holder, ProcessFleet, WorldClient};
use scalebot_commands::ports::{Fleet as _, FleetState, InstanceState};
use scalebot_commands::units::{OperationId, Replicas};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{interval, timeout};

/// A machine that is busy with other tests is slow to start processes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running world in a directory of its own.
struct World {
    state: TempDir,
    process: Child,
    client: WorldClient,
}

/// A connection to each instance. It ends when the process behind it does.
struct Watched(Vec<TcpStream>);

impl World {
    async fn start(arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().unwrap();
        let process = Self::begin(state.path(), arguments).await;
        let path = |name| state.path().join(name);
        let client = WorldClient::new(&path("world.sock"), &path("world.lock"), Duration::from_secs(5)).unwrap();
        Self { state, process, client }
    }

    /// Starts a world in that directory, and waits for its word that it is ready.
    async fn begin(state: &Path, arguments: &[&str]) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_scalebot"));
        command.arg("drill-world").arg("--state").arg(state).args(["--load", "5"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        assert_eq!(line.as_deref(), Some("ready"));
        process
    }

    async fn fleet(&self) -> FleetState {
        ProcessFleet::new(&self.client).observe().await.unwrap()
    }

    /// Looks until the fleet is as wanted.
    async fn until(&self, wanted: impl Fn(&FleetState) -> bool) -> FleetState {
        let mut looks = interval(Duration::from_millis(50));
        let looking = async {
            loop {
                looks.tick().await;
                let fleet = self.fleet().await;
                if wanted(&fleet) {
                    return fleet;
                }
            }
        };
        timeout(PATIENCE, looking).await.unwrap()
    }

    /// What status the order gets.
    async fn order(&self, order: &Scale) -> u16 {
        self.client.post("/fleet/scale", order).await.unwrap().status.as_u16()
    }

    async fn watch(&self) -> Watched {
        let mut connections = Vec::new();
        for instance in self.fleet().await.instances {
            connections.push(TcpStream::connect(instance.address.unwrap()).await.unwrap());
        }
        Watched(connections)
    }
}

impl Watched {
    /// Waits until every process is gone, for at most a second.
    async fn all_gone(mut self) {
        let gone = async {
            for connection in &mut self.0 {
                // An end or a reset: either way nobody is there any more.
                let read = connection.read(&mut [0]).await;
                assert!(matches!(read, Ok(0) | Err(_)), "an instance sent something unasked");
            }
        };
        timeout(Duration::from_secs(1), gone).await.expect("an instance outlived its world");
    }
}

fn order(fleet: &FleetState, to: u32) -> Scale {
    Scale {
        identity: fleet.identity.clone(),
        from: fleet.wanted,
        to: Replicas(to),
        version: fleet.version.clone(),
        operation: OperationId::new("op-1"),
    }
}

#[tokio::test]
async fn a_fleet_grows_once_for_an_order_said_twice_shrinks_again_and_leaves_nothing() {
    let mut world = World::start(&["--instances", "2"]).await;
    let up = order(&world.fleet().await, 3);
    assert_eq!(world.order(&up).await, 200);
    assert_eq!(world.order(&up).await, 200);
    assert_eq!(world.order(&Scale { operation: OperationId::new("op-2"), ..up }).await, 409);
    let grown = world.until(|fleet| fleet.ready() == Replicas(3)).await;
    assert_eq!((grown.instances.len(), grown.generation, grown.changed_by.as_deref()), (3, 2, Some("op-1")));

    assert_eq!(world.order(&order(&grown, 2)).await, 200);
    let shrunk = world.until(|fleet| fleet.instances.len() == 2).await;
    let names: Vec<&str> = shrunk.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(names, ["api-1", "api-2"]);

    let watched = world.watch().await;
    world.client.tell("/end", &json!({})).await.unwrap();
    watched.all_gone().await;
    let status = timeout(PATIENCE, world.process.wait()).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));
    assert!(!world.state.path().join("world.sock").exists());
}

#[tokio::test]
async fn a_world_that_is_killed_takes_every_instance_with_it_and_another_may_begin() {
    let mut world = World::start(&["--instances", "2"]).await;
    let first = world.fleet().await.identity;
    let watched = world.watch().await;
    world.process.kill().await.unwrap();
    watched.all_gone().await;
    assert_eq!(Holder::of(&world.state.path().join("world.lock")).unwrap(), Holder::Nobody);

    // The socket that it left is no obstacle.
    world.process = World::begin(world.state.path(), &["--instances", "1"]).await;
    assert_ne!(world.fleet().await.identity, first);
    world.client.tell("/end", &json!({})).await.unwrap();
}

#[tokio::test]
async fn only_what_is_added_has_the_fault() {
    let world = World::start(&["--instances", "1", "--fault", "crash"]).await;
    let up = order(&world.fleet().await, 2);
    assert_eq!(world.order(&up).await, 200);
    let states = |fleet: &FleetState| -> Vec<InstanceState> { fleet.instances.iter().map(|one| one.state).collect() };
    let crashed = world.until(|fleet| states(fleet).contains(&InstanceState::Failed)).await;
    assert_eq!(states(&crashed), [InstanceState::Ready, InstanceState::Failed]);
    assert_eq!(crashed.instances[1].detail.as_deref(), Some("its process ended (exit status: 1)"));

    world.client.tell("/happen/kill", &json!({ "instance": "api-1" })).await.unwrap();
    let killed = world.until(|fleet| states(fleet) == [InstanceState::Failed; 2]).await;
    assert_eq!(killed.instances[0].detail.as_deref(), Some("its process ended (signal: 9 (SIGKILL))"));
    world.client.tell("/end", &json!({})).await.unwrap();
}
