//! The rehearsal's world as the real program runs it: real instance processes, a real socket, real deaths.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test that meets what it did not expect should stop right there")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use scalebot_adapters::process::wire::{Forwarded, Remove, Scale};
use scalebot_adapters::process::{Holder, ProcessFleet, WorldClient};
use scalebot_commands::ports::{Fleet as _, FleetState, InstanceState, PortError};
use scalebot_commands::units::{InstanceId, OperationId, Replicas};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, timeout};

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
        self.until_told("/fleet", wanted).await
    }

    /// Asks until the answer is as wanted.
    async fn until_told<T: for<'a> Deserialize<'a>>(&self, path: &str, wanted: impl Fn(&T) -> bool) -> T {
        let mut looks = interval(Duration::from_millis(50));
        let looking = async {
            loop {
                looks.tick().await;
                let told = self.client.get(path).await.unwrap();
                if wanted(&told) {
                    return told;
                }
            }
        };
        timeout(PATIENCE, looking).await.unwrap()
    }

    async fn happen(&self, what: &str, body: Value) {
        self.client.tell(&format!("/happen/{what}"), &body).await.unwrap();
    }

    /// Takes an instance out of the forwarder, and waits until it says that nothing is under way there.
    async fn drain(&self, id: &str) {
        self.client.tell("/traffic/drain", &json!({ "instance": id, "drained": true })).await.unwrap();
        let idle = |one: &Forwarded| one.instance.as_str() == id && one.drained && one.in_flight == 0;
        self.until_told("/traffic", |all: &Vec<Forwarded>| all.iter().any(idle)).await;
    }

    /// Ends exactly that instance. The fleet may change at any moment by itself, so that the first try may be too late.
    async fn remove(&self, id: &str) {
        let mut tries = interval(Duration::from_millis(50));
        let removing = async {
            loop {
                tries.tick().await;
                let order = removal(&self.fleet().await, &[id]);
                match self.client.post("/fleet/remove", &order).await.unwrap().status.as_u16() {
                    200 => return,
                    status => assert_eq!(status, 409),
                }
            }
        };
        timeout(PATIENCE, removing).await.unwrap();
    }

    /// Waits until so many more requests were sent.
    async fn sent_more(&self, more: u64) {
        let before: Count = self.client.get("/load").await.unwrap();
        self.until_told("/load", |now: &Count| now.sent >= before.sent + more).await;
    }

    /// How many requests were lost until now, by the load generator's own count. It sends nothing meanwhile.
    async fn lost(&self, rate: f64) -> u64 {
        self.happen("load", json!({ "rate": 0.0 })).await;
        let all = self.until_told("/load", |now: &Count| now.ok + now.failed == now.sent).await;
        self.happen("load", json!({ "rate": rate })).await;
        all.failed + all.dropped
    }

    async fn log(&self, id: &str) -> String {
        ProcessFleet::new(&self.client).logs(&InstanceId::new(id), 100_000).await.unwrap()
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

/// The load generator's count.
#[derive(Deserialize)]
struct Count {
    sent: u64,
    ok: u64,
    failed: u64,
    dropped: u64,
}

fn removal(fleet: &FleetState, ids: &[&str]) -> Remove {
    Remove {
        identity: fleet.identity.clone(),
        from: fleet.wanted,
        to: Replicas(fleet.wanted.0 - u32::try_from(ids.len()).unwrap()),
        version: fleet.version.clone(),
        instances: ids.iter().map(|id| InstanceId::new(*id)).collect(),
        operation: OperationId::new("op-1"),
    }
}

fn names(fleet: &FleetState) -> Vec<&str> {
    fleet.instances.iter().map(|instance| instance.id.as_str()).collect()
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
    assert_eq!(names(&shrunk), ["api-1", "api-2"]);

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

#[tokio::test]
async fn exactly_the_named_ends_in_order_and_its_log_stays() {
    let world = World::start(&["--instances", "3"]).await;
    let fleet = world.fleet().await;
    let down = removal(&fleet, &["api-2"]);
    let status = async |order: &Remove| world.client.post("/fleet/remove", order).await.unwrap().status.as_u16();
    assert_eq!(status(&down).await, 200);
    assert_eq!(status(&down).await, 200, "it is one change");
    assert_eq!(status(&Remove { operation: OperationId::new("op-2"), ..down }).await, 409);
    let left = world.until(|fleet| fleet.instances.len() == 2).await;
    assert_eq!((names(&left), left.wanted, left.ready()), (vec!["api-1", "api-3"], Replicas(2), Replicas(2)));

    let log = world.log("api-2").await;
    let lines: Vec<&str> = log.lines().filter_map(|line| line.split_once(' ')).map(|(_, said)| said).collect();
    assert!(lines.first().is_some_and(|line| line.starts_with("INFO api-2 started")), "{log}");
    assert!(lines.contains(&"INFO ready"), "{log}");
    assert!(lines.iter().any(|line| line.starts_with("INFO SIGTERM: no new connections")), "{log}");
    assert_eq!(lines.last(), Some(&"INFO ended"), "{log}");
    let unknown = ProcessFleet::new(&world.client).logs(&InstanceId::new("../world"), 10).await;
    assert!(matches!(unknown, Err(PortError::NotServed { .. })), "{unknown:?}");
    world.client.tell("/end", &json!({})).await.unwrap();
}

#[tokio::test]
async fn what_was_drained_loses_not_one_request_and_what_was_not_does() {
    const RATE: f64 = 30.0;
    let world = World::start(&["--instances", "6"]).await;
    let gone = async |left: usize| {
        world.until(|fleet| fleet.instances.len() == left).await;
        // The forwarder forgets it when it has found nobody there.
        world.until_told("/traffic", |all: &Vec<Forwarded>| all.len() == left).await;
    };
    world.happen("load", json!({ "rate": RATE })).await;
    world.sent_more(30).await;
    world.drain("api-2").await;
    world.remove("api-2").await;
    gone(5).await;
    world.sent_more(30).await;
    assert_eq!(world.lost(RATE).await, 0);

    // The forwarder is not told that it ends, so that it sends requests to nobody until its looks find nobody there.
    world.sent_more(30).await;
    world.remove("api-3").await;
    gone(4).await;
    let undrained = world.lost(RATE).await;
    assert!(undrained > 0);

    // Nor does it help that a forwarder says that it has drained one.
    world.happen("lying-balancer", json!({ "lies": true })).await;
    world.sent_more(30).await;
    world.drain("api-4").await;
    world.remove("api-4").await;
    gone(3).await;
    assert!(world.lost(0.0).await > undrained);
    world.client.tell("/end", &json!({})).await.unwrap();
}

#[tokio::test]
async fn an_instance_takes_nothing_new_finishes_what_it_has_and_is_cut_short_only_with_its_world() {
    let mut world = World::start(&["--instances", "3"]).await;
    let address = world.fleet().await.instances[1].address.clone().unwrap();
    world.happen("long-request", json!({ "instance": "api-2", "seconds": 1 })).await;
    let began = Instant::now();
    let work = |instance: &str, seconds: u64| json!({ "instance": instance, "what": "ratification", "constitutional": true, "seconds": seconds });
    world.happen("work", work("api-2", 4)).await;
    let busy = |all: &Vec<Forwarded>| all.iter().any(|one| one.instance.as_str() == "api-2" && one.in_flight > 0);
    world.until_told("/traffic", busy).await;
    world.remove("api-2").await;

    // Its door closes at once, and it is there until its work has ended.
    let closed = async { while TcpStream::connect(&address).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    let ending = world.fleet().await;
    assert_eq!(names(&ending), ["api-1", "api-2", "api-3"]);
    assert_eq!(ending.instances[1].state, InstanceState::Terminating);
    world.until(|fleet| fleet.instances.len() == 2).await;
    assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    let log = world.log("api-2").await;
    assert!(log.contains("nothing in flight any more") && log.contains("constitutional work has ended"), "{log}");

    world.happen("work", work("api-1", 600)).await;
    world.remove("api-1").await;
    let watched =
        Watched(vec![TcpStream::connect(world.fleet().await.instances[1].address.clone().unwrap()).await.unwrap()]);
    let ended = Instant::now();
    world.client.tell("/end", &json!({})).await.unwrap();
    watched.all_gone().await;
    timeout(PATIENCE, world.process.wait()).await.unwrap().unwrap();
    assert!(ended.elapsed() < Duration::from_secs(10), "{:?}", ended.elapsed());
}
