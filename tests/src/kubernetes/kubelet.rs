//! What runs on the nodes: the containers of the pods, and what is said of them.
//!
//! Either it is played, each pod as a test has it, or the pods are real instances of the rehearsal's world.

mod real;
mod status;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

pub(crate) use self::real::{Machine, run};
pub(crate) use self::status::{Container, Exit, Seen};
use super::resource::PODS;
use super::state::{Shared, State};
use super::store::Key;

/// Under which name the kubelets write.
pub(crate) const MANAGER: &str = "kubelet";

/// What becomes of a pod whose containers are played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It becomes ready at once.
    Ready,
    /// It runs, and its readiness probe fails with this.
    NotReady(String),
    /// It ends again and again: with which code, and why (`Error`, `OOMKilled`).
    Crashes(i32, &'static str),
}

/// The pods, as the nodes have them. They are known by their uid.
#[derive(Debug)]
pub(crate) struct Pods {
    /// Whether they are played.
    pub(crate) played: bool,
    /// What becomes of the next ones.
    pub(crate) new: Fate,
    pub(crate) fates: BTreeMap<String, Fate>,
    /// Whether those that are told to go stay until they are let go.
    pub(crate) linger: bool,
    /// Images that no registry has.
    pub(crate) missing_images: BTreeSet<String>,
    pub(crate) addresses: BTreeMap<String, String>,
    /// The second and third number of every pod's address.
    pub(crate) network: (u8, u8),
    pub(crate) next_address: u8,
    /// What a played pod wrote, and what its container before that did, by the pod's name.
    pub(crate) written: BTreeMap<String, (String, String)>,
    pub(crate) restarts: BTreeMap<String, u32>,
    pub(crate) real: Option<Machine>,
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            played: true,
            new: Fate::Ready,
            fates: BTreeMap::new(),
            linger: false,
            missing_images: BTreeSet::new(),
            addresses: BTreeMap::new(),
            network: (fastrand::u8(64..), fastrand::u8(..)),
            next_address: 2,
            written: BTreeMap::new(),
            restarts: BTreeMap::new(),
            real: None,
        }
    }
}

impl Pods {
    /// A pod's own address, which it keeps.
    pub(crate) fn address(&mut self, uid: &str) -> String {
        if let Some(address) = self.addresses.get(uid) {
            return address.clone();
        }
        let taken: BTreeSet<&String> = self.addresses.values().collect();
        let (second, third) = self.network;
        let at = |last: u8| format!("127.{second}.{third}.{last}");
        let mut address = at(self.next_address);
        while taken.contains(&address) {
            self.next_address = self.next_address.checked_add(1).filter(|next| *next < 255).unwrap_or(2);
            address = at(self.next_address);
        }
        self.next_address = self.next_address.checked_add(1).filter(|next| *next < 255).unwrap_or(2);
        self.addresses.insert(uid.to_owned(), address.clone());
        address
    }

    fn forget(&mut self, uid: &str) {
        self.fates.remove(uid);
        self.addresses.remove(uid);
        self.restarts.remove(uid);
    }

    /// Why an image cannot be had.
    pub(crate) fn cannot_pull(&self, image: &str) -> Option<String> {
        self.missing_images.contains(image).then(|| {
            format!(
                "failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
            )
        })
    }
}

pub(crate) fn uid(pod: &Value) -> String {
    pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned()
}

/// What is said of a pod whose image cannot be had: first the error, then that it is tried again later.
pub(crate) fn without_image(state: &mut State, key: &Key, pod: &Value, why: &str) -> bool {
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    let container = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
    let error = format!("rpc error: code = NotFound desc = {why}");
    let (reason, message) = if *container == "ErrImagePull" || *container == "ImagePullBackOff" {
        ("ImagePullBackOff", format!("Back-off pulling image \"{image}\": ErrImagePull: {error}"))
    } else {
        ("ErrImagePull", error.clone())
    };
    let address = state.pods.address(&uid(pod));
    let seen = Seen { container: Container::Waiting(reason, message), ready: false, restarts: 0, last: None, address };
    let changed = status::write(state, key, &seen);
    if changed && reason == "ErrImagePull" {
        state.store.tell("kubelet", pod, "Warning", "Failed", &format!("Failed to pull image \"{image}\": {error}"));
        state.store.tell("kubelet", pod, "Warning", "Failed", "Error: ErrImagePull");
    } else if changed {
        state.store.tell("kubelet", pod, "Normal", "BackOff", &format!("Back-off pulling image \"{image}\""));
        state.store.tell("kubelet", pod, "Warning", "Failed", "Error: ImagePullBackOff");
    }
    changed
}

/// One step of the played kubelets.
pub(crate) fn played(state: &mut State) -> bool {
    if !state.pods.played {
        return false;
    }
    let mut changed = false;
    let all: Vec<(Key, Value)> = state.store.all(&PODS).map(|(key, pod)| (key.clone(), pod.clone())).collect();
    for (key, pod) in all.into_iter().filter(|(_, pod)| pod["spec"]["nodeName"].is_string()) {
        changed |= play(state, &key, &pod);
    }
    changed
}

fn play(state: &mut State, key: &Key, pod: &Value) -> bool {
    let uid = uid(pod);
    if pod["metadata"]["deletionTimestamp"].is_string() {
        if state.pods.linger {
            return false;
        }
        state.pods.forget(&uid);
        return state.store.remove(key).is_some();
    }
    let image = pod["spec"]["containers"][0]["image"].as_str().unwrap_or_default();
    if let Some(why) = state.pods.cannot_pull(image) {
        return without_image(state, key, pod, &why);
    }
    let new = state.pods.new.clone();
    let fate = state.pods.fates.entry(uid.clone()).or_insert(new).clone();
    let address = state.pods.address(&uid);
    let restarts = state.pods.restarts.get(&uid).copied().unwrap_or(0);
    let last = last_exit(pod);
    let seen = match fate {
        Fate::Ready => Seen { container: Container::Running, ready: true, restarts, last, address },
        Fate::NotReady(_) => Seen { container: Container::Running, ready: false, restarts, last, address },
        Fate::Crashes(code, reason) => {
            let restarts = restarts.max(1);
            state.pods.restarts.insert(uid.clone(), restarts);
            let container = Container::Waiting("CrashLoopBackOff", back_off(pod, key, restarts));
            Seen { container, ready: false, restarts, last: Some(Exit::now(state, code, reason)), address }
        }
    };
    let changed = status::write(state, key, &seen);
    if changed {
        tell_of(state, pod, &seen, &fate);
    }
    changed
}

fn tell_of(state: &mut State, pod: &Value, seen: &Seen, fate: &Fate) {
    let name = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
    match (&seen.container, fate) {
        (Container::Running, Fate::NotReady(why)) => {
            state.store.tell("kubelet", pod, "Warning", "Unhealthy", &format!("Readiness probe failed: {why}"));
        }
        (Container::Running, _) => {
            state.store.tell("kubelet", pod, "Normal", "Started", &format!("Started container {name}"));
        }
        (Container::Waiting(..) | Container::Ended(_), _) => {
            let (pod_name, namespace) = (&pod["metadata"]["name"], &pod["metadata"]["namespace"]);
            let message = format!(
                "Back-off restarting failed container {name} in pod {}_{}({})",
                pod_name.as_str().unwrap_or_default(),
                namespace.as_str().unwrap_or_default(),
                uid(pod)
            );
            state.store.tell("kubelet", pod, "Warning", "BackOff", &message);
        }
    }
}

/// How long a container is left alone that ended so often: 10 s, 20 s, … 5 min.
pub(crate) fn back_off_seconds(restarts: u32) -> u64 {
    10_u64.checked_shl(restarts.saturating_sub(1)).unwrap_or(300).min(300)
}

pub(crate) fn back_off(pod: &Value, key: &Key, restarts: u32) -> String {
    let seconds = back_off_seconds(restarts);
    let length = if seconds >= 60 { format!("{}m{}s", seconds / 60, seconds % 60) } else { format!("{seconds}s") };
    let container = pod["spec"]["containers"][0]["name"].as_str().unwrap_or_default();
    format!(
        "back-off {length} restarting failed container={container} pod={}_{}({})",
        key.name,
        key.namespace,
        uid(pod)
    )
}

/// How the container before the present one ended, as the pod says it.
pub(crate) fn last_exit(pod: &Value) -> Option<Exit> {
    let container = &pod["status"]["containerStatuses"][0];
    let just_now = &container["state"]["terminated"];
    let last = if just_now.is_null() { &container["lastState"]["terminated"] } else { just_now };
    let text = |field: &str| last[field].as_str().map(ToOwned::to_owned);
    Some(Exit {
        code: i32::try_from(last["exitCode"].as_i64()?).ok()?,
        reason: text("reason")?,
        started: text("startedAt")?,
        finished: text("finishedAt")?,
    })
}

/// What a pod wrote.
pub(crate) async fn log(shared: &Shared, namespace: &str, pod: &str, previous: bool) -> String {
    let asked = shared.look(|state| {
        let key = Key::new(&PODS, namespace, pod);
        let uid = state.store.get(&key).map(uid)?;
        state.pods.real.as_ref()?.instance_of(&uid, previous)
    });
    if let Some((world, instance)) = asked {
        return real::log_of(&world, &instance).await;
    }
    shared.look(|state| {
        let written = state.pods.written.get(pod).cloned().unwrap_or_default();
        if previous { written.1 } else { written.0 }
    })
}
