//! Pods that are real instances: the rehearsal's world holds the processes, and is told for each pod that comes or goes.
//!
//! Each pod has an address of its own, at which a small relay passes on to its instance. Who is in no slice as ready is
//! left out by the world's forwarder, so that its load goes where the Service would send it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use scalebot_adapters::process::WorldClient;
use scalebot_adapters::process::wire::InstanceLog;
use scalebot_commands::ports::{FleetState, Instance, InstanceState};
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::super::controllers::is_ready;
use super::super::resource::{ENDPOINT_SLICES, PODS, SERVICES};
use super::super::selector::Labels;
use super::super::state::{Shared, State};
use super::super::store::Key;
use super::{Container, Exit, Seen, back_off, back_off_seconds, last_exit, status, uid, without_image};

/// Between two looks at the world.
const LOOK: Duration = Duration::from_millis(100);

/// How long one question to the world may take.
const ASK: Duration = Duration::from_secs(10);

/// So often the world is told that somebody still needs it.
const PING: Duration = Duration::from_mins(1);

/// How much of an instance's log is asked for, in bytes.
const LOG: usize = 1 << 20;

/// What is known of the instances behind the pods, by the pods' uids.
#[derive(Debug)]
pub(crate) struct Machine {
    world: WorldClient,
    instances: BTreeMap<String, String>,
    /// The instance before the present one.
    earlier: BTreeMap<String, String>,
}

impl Machine {
    /// The world that lives in that directory.
    pub(crate) fn new(directory: &Path) -> Self {
        let (socket, lock): (PathBuf, PathBuf) = (directory.join("world.sock"), directory.join("world.lock"));
        let world = WorldClient::new(&socket, &lock, ASK).unwrap();
        Self { world, instances: BTreeMap::new(), earlier: BTreeMap::new() }
    }

    pub(crate) fn instance_of(&self, uid: &str, previous: bool) -> Option<(WorldClient, String)> {
        let instances = if previous { &self.earlier } else { &self.instances };
        Some((self.world.clone(), instances.get(uid)?.clone()))
    }
}

pub(crate) async fn log_of(world: &WorldClient, instance: &str) -> String {
    let log: Result<InstanceLog, _> = world.get(&format!("/fleet/logs/{instance}?most={LOG}")).await;
    log.map(|log| log.text).unwrap_or_default()
}

/// What the kubelets do at one look, decided from what is.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tasks {
    /// One more instance is needed.
    start: bool,
    /// These are told to end, in their own time.
    stop: Vec<String>,
    /// These are ended at once.
    kill: Vec<String>,
    /// Whether each gets requests.
    routed: Vec<(String, bool)>,
    /// Where each pod is reached: its address and its instance's.
    relays: BTreeMap<String, String>,
}

/// What is remembered between two looks.
#[derive(Default)]
struct Memory {
    /// Since when a pod is on its way out.
    leaving: BTreeMap<String, Instant>,
    /// Who was told to end.
    stopped: BTreeSet<String>,
    /// When a container that ended is started again.
    again: BTreeMap<String, Instant>,
    restarts: BTreeMap<String, u32>,
    drained: BTreeMap<String, bool>,
    /// The address that each relay listens at, what it leads to, and itself.
    relays: BTreeMap<String, (String, JoinHandle<()>)>,
    orders: u64,
    /// Whether each of the first instances has found its pod.
    begun: bool,
    /// Whether of every one it is known who sends it requests: until then the world sends them as it began.
    routed: bool,
    pinged: Option<Instant>,
}

/// Runs until the runtime ends; nothing where the pods are played.
pub(crate) async fn run(shared: Arc<Shared>) {
    let world = shared.look(|state| state.pods.real.as_ref().map(|machine| machine.world.clone()));
    let Some(world) = world else { return std::future::pending().await };
    let mut memory = Memory::default();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        let fleet: Result<FleetState, _> = world.get("/fleet").await;
        // A world that does not answer now is asked again.
        let Ok(fleet) = fleet else { continue };
        let mut tasks = Tasks::default();
        shared.change_if(|state| look(state, &mut memory, &fleet, &mut tasks));
        carry_out(&world, &mut memory, &fleet, tasks).await;
        if memory.pinged.is_none_or(|at| at.elapsed() > PING) {
            memory.pinged = Some(Instant::now());
            let _ = world.tell("/ping", &Value::Null).await;
        }
    }
}

/// Brings pods and instances together, and writes down what is to be seen.
fn look(state: &mut State, memory: &mut Memory, fleet: &FleetState, tasks: &mut Tasks) -> bool {
    let mut changed = false;
    let pods: Vec<(Key, Value)> = state
        .store
        .all(&PODS)
        .filter(|(_, pod)| pod["spec"]["nodeName"].is_string())
        .map(|(key, pod)| (key.clone(), pod.clone()))
        .collect();
    let alive: BTreeSet<String> = pods.iter().map(|(_, pod)| uid(pod)).collect();
    let by_name: BTreeMap<&str, &Instance> = fleet.instances.iter().map(|one| (one.id.as_str(), one)).collect();
    let Some(machine) = state.pods.real.as_mut() else { return false };
    // Whose pod was removed by force is ended with it.
    let orphaned: Vec<String> = machine.instances.keys().filter(|uid| !alive.contains(*uid)).cloned().collect();
    for uid in orphaned {
        if let Some(instance) = machine.instances.remove(&uid) {
            tasks.stop.push(instance);
        }
    }
    let taken: BTreeSet<String> = machine.instances.values().cloned().collect();
    let mut free: Vec<String> = fleet
        .instances
        .iter()
        .filter(|one| !taken.contains(one.id.as_str()) && !memory.stopped.contains(one.id.as_str()))
        .filter(|one| !matches!(one.state, InstanceState::Terminating | InstanceState::Failed))
        .map(|one| one.id.as_str().to_owned())
        .collect();
    for (key, pod) in &pods {
        changed |= follow(state, memory, &by_name, &mut free, tasks, key, pod);
    }
    // One that was ordered for a pod that has gone since serves nobody. At first, the pods are still to come.
    memory.begun |= free.is_empty() && !fleet.instances.is_empty();
    if memory.begun {
        tasks.stop.append(&mut free);
    }
    routes(state, memory, tasks);
    changed
}

/// One pod.
fn follow(
    state: &mut State,
    memory: &mut Memory,
    fleet: &BTreeMap<&str, &Instance>,
    free: &mut Vec<String>,
    tasks: &mut Tasks,
    key: &Key,
    pod: &Value,
) -> bool {
    let uid = uid(pod);
    let own = state.pods.real.as_ref().and_then(|machine| machine.instances.get(&uid).cloned());
    let instance = own.as_ref().and_then(|name| fleet.get(name.as_str()).copied());
    let address = state.pods.address(&uid);
    if let Some(reached) = instance.and_then(|one| one.address.as_deref()) {
        let port = pod["spec"]["containers"][0]["ports"][0]["containerPort"].as_u64().unwrap_or(8000);
        let reached = reached.strip_prefix("http://").unwrap_or(reached).to_owned();
        tasks.relays.insert(format!("{address}:{port}"), reached);
    }
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return leave(state, memory, tasks, key, pod, own.as_ref(), instance);
    }
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    if own.is_none()
        && let Some(why) = state.pods.cannot_pull(image)
    {
        return without_image(state, key, pod, &why);
    }
    let restarts = memory.restarts.get(&uid).copied().unwrap_or(0);
    let waits = memory.again.get(&uid).is_some_and(|at| *at > Instant::now());
    let Some(own) = own else {
        if waits {
            return false;
        }
        let Some(machine) = state.pods.real.as_mut() else { return false };
        if free.is_empty() {
            tasks.start = true;
        } else {
            machine.instances.insert(uid.clone(), free.remove(0));
            if memory.again.remove(&uid).is_some() {
                memory.restarts.insert(uid, restarts + 1);
                return false;
            }
        }
        if restarts > 0 || memory.again.contains_key(&uid) {
            return false;
        }
        let container = Container::Waiting("ContainerCreating", String::new());
        return status::write(state, key, &Seen { container, ready: false, restarts, last: None, address });
    };
    // Not to be seen for a moment: it was ordered just now.
    let Some(instance) = instance else { return false };
    let running =
        |ready| Seen { container: Container::Running, ready, restarts, last: last_exit(pod), address: address.clone() };
    match instance.state {
        InstanceState::Ready => {
            let changed = status::write(state, key, &running(true));
            if changed {
                state.store.tell("kubelet", pod, "Normal", "Started", "Started container");
            }
            changed
        }
        InstanceState::Starting | InstanceState::NotReady | InstanceState::Terminating => {
            let changed = status::write(state, key, &running(false));
            let why = instance.detail.as_deref().unwrap_or("HTTP probe failed with statuscode: 503");
            if changed && instance.state == InstanceState::NotReady {
                state.store.tell("kubelet", pod, "Warning", "Unhealthy", &format!("Readiness probe failed: {why}"));
            }
            changed
        }
        InstanceState::Failed => {
            tasks.stop.push(own.clone());
            if let Some(machine) = state.pods.real.as_mut() {
                machine.instances.remove(&uid);
                machine.earlier.insert(uid.clone(), own);
            }
            // The first time it is started again at once, then ever later.
            let wait = if restarts == 0 { 0 } else { back_off_seconds(restarts) };
            memory.again.insert(uid, Instant::now() + Duration::from_secs(wait));
            let (code, reason) = exit_of(instance.detail.as_deref().unwrap_or_default());
            let exit = Exit::now(state, code, reason);
            let (container, last) = if restarts == 0 {
                (Container::Ended(exit), None)
            } else {
                (Container::Waiting("CrashLoopBackOff", back_off(pod, key, restarts)), Some(exit))
            };
            let seen = Seen { container, ready: false, restarts, last, address };
            let message = format!("Back-off restarting failed container in pod {}", key.name);
            state.store.tell("kubelet", pod, "Warning", "BackOff", &message);
            status::write(state, key, &seen)
        }
    }
}

/// One that was told to go: what stands before its end, then its end, and at the latest its last second.
fn leave(
    state: &mut State,
    memory: &mut Memory,
    tasks: &mut Tasks,
    key: &Key,
    pod: &Value,
    own: Option<&String>,
    instance: Option<&Instance>,
) -> bool {
    let uid = uid(pod);
    let since = *memory.leaving.entry(uid.clone()).or_insert_with(Instant::now);
    let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
    let over = since.elapsed() >= Duration::from_secs(grace);
    if let (Some(own), Some(_)) = (own, instance.filter(|one| one.state != InstanceState::Failed)) {
        if over {
            tasks.kill.push(own.clone());
        }
        if over || since.elapsed() >= before_stop(pod) {
            tasks.stop.push(own.clone());
        }
        return false;
    }
    if let Some(machine) = state.pods.real.as_mut() {
        machine.instances.remove(&uid);
    }
    memory.leaving.remove(&uid);
    state.pods.forget(&uid);
    state.store.remove(key).is_some()
}

/// How long a container waits before it is told to end: `preStop` with `sleep`, in either form.
fn before_stop(pod: &Value) -> Duration {
    let hook = &pod["spec"]["containers"][0]["lifecycle"]["preStop"];
    let command = || {
        let words = hook["exec"]["command"].as_array()?;
        let text: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        text.join(" ").split("sleep ").nth(1)?.split_whitespace().next()?.parse().ok()
    };
    Duration::from_secs(hook["sleep"]["seconds"].as_u64().or_else(command).unwrap_or(0))
}

/// The code and the reason that a container's end is told with.
fn exit_of(detail: &str) -> (i32, &'static str) {
    let number = |after: &str| {
        let rest = detail.split(after).nth(1)?;
        rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<i32>().ok()
    };
    match (number("exit status: "), number("signal: ")) {
        (Some(0), _) => (0, "Completed"),
        (Some(code), _) => (code, "Error"),
        (None, Some(signal)) => (128 + signal, "Error"),
        (None, None) => (1, "Error"),
    }
}

/// Who gets requests: whose address is in a slice as ready.
fn routes(state: &State, memory: &mut Memory, tasks: &mut Tasks) {
    let ready: BTreeSet<String> = state
        .store
        .all(&ENDPOINT_SLICES)
        .flat_map(|(_, slice)| slice["endpoints"].as_array().cloned().unwrap_or_default())
        .filter(|endpoint| endpoint["conditions"]["ready"] == true)
        .filter_map(|endpoint| endpoint["targetRef"]["uid"].as_str().map(ToOwned::to_owned))
        .collect();
    let Some(machine) = &state.pods.real else { return };
    let left_out: BTreeSet<String> = state
        .store
        .all(&PODS)
        .filter(|(_, pod)| is_ready(pod) && !is_selected(state, pod))
        .map(|(_, pod)| uid(pod))
        .collect();
    let settled = |uid: &String| ready.contains(uid) || left_out.contains(uid);
    memory.routed |= memory.begun && machine.instances.keys().all(settled);
    if !memory.routed {
        return;
    }
    tasks.routed.extend(machine.instances.iter().map(|(uid, instance)| (instance.clone(), ready.contains(uid))));
}

/// Whether a Service sends its requests there.
fn is_selected(state: &State, pod: &Value) -> bool {
    let selector = |service: &Value| Labels::of(&json!({ "matchLabels": service["spec"]["selector"] }));
    state.store.all(&SERVICES).filter_map(|(_, service)| selector(service)).any(|selector| selector.selects(pod))
}

async fn carry_out(world: &WorldClient, memory: &mut Memory, fleet: &FleetState, tasks: Tasks) {
    for (instance, receives) in tasks.routed {
        if memory.drained.get(&instance) != Some(&!receives) {
            let order = json!({ "instance": instance, "drained": !receives });
            if world.tell("/traffic/drain", &order).await.is_ok() {
                memory.drained.insert(instance, !receives);
            }
        }
    }
    relay(memory, tasks.relays).await;
    for instance in tasks.kill {
        let _ = world.tell("/happen/kill", &json!({ "instance": instance })).await;
    }
    let stop = tasks.stop.into_iter().find(|instance| !memory.stopped.contains(instance));
    let wanted = fleet.wanted.0;
    // One order a look: each changes the version that the next one has to name.
    if let Some(instance) = stop {
        if wanted <= 1 {
            // The world keeps one; the last is ended as a crash would end it.
            let _ = world.tell("/happen/kill", &json!({ "instance": instance })).await;
            memory.stopped.insert(instance);
            return;
        }
        let order = order(memory, fleet, wanted - 1, Some(&instance));
        if world.post("/fleet/remove", &order).await.is_ok_and(|answer| answer.status.is_success()) {
            memory.stopped.insert(instance);
        }
    } else if tasks.start {
        let order = order(memory, fleet, wanted + 1, None);
        let _ = world.post("/fleet/scale", &order).await;
    }
}

fn order(memory: &mut Memory, fleet: &FleetState, to: u32, instance: Option<&str>) -> Value {
    memory.orders += 1;
    let mut order = json!({
        "identity": fleet.identity, "from": fleet.wanted, "to": to, "version": fleet.version,
        "operation": format!("kubelet-{}", memory.orders),
    });
    if let Some(instance) = instance {
        order["instances"] = json!([instance]);
    }
    order
}

/// Has a relay at each address, and none anywhere else.
async fn relay(memory: &mut Memory, wanted: BTreeMap<String, String>) {
    memory.relays.retain(|at, (to, task)| {
        let keep = wanted.get(at) == Some(to);
        if !keep {
            task.abort();
        }
        keep
    });
    for (at, to) in wanted {
        if memory.relays.contains_key(&at) {
            continue;
        }
        // An address that is still being let go of is free at the next look.
        let Ok(listener) = TcpListener::bind(&at).await else { continue };
        let instance = to.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let instance = instance.clone();
                tokio::spawn(async move {
                    let Ok(mut behind) = TcpStream::connect(&instance).await else { return };
                    let _ = (stream.set_nodelay(true), behind.set_nodelay(true));
                    let _ = copy_bidirectional(&mut stream, &mut behind).await;
                });
            }
        });
        memory.relays.insert(at, (to, task));
    }
}
