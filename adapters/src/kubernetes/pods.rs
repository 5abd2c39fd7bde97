//! A pod as an instance: where it is in its life, where it is reached, and in words why it is not ready.
//!
//! What is called failed ends a wait at once and takes the change back, so that is only what will not come back by itself
//! within the time there is: a pod that has ended, an image or a configuration that has been wrong for some tries, a
//! container that keeps crashing. A pod for which no node has room is starting: an autoscaler may add a node, another pod
//! may end; the limit on the time to become ready is what ends that.

use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{
    Container, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, Pod, PodCondition,
};
use scalebot_commands::ports::{Instance, InstanceState};
use scalebot_commands::request::escaped;
use scalebot_commands::units::{InstanceId, Timestamp};

use super::settings::{Reach, Settings};

/// How long what is said of one instance may be, in characters.
const DETAIL: usize = 200;

/// A container that was started so often again is not expected to stay up, unless it had been up for long.
const TOO_MANY_RESTARTS: i32 = 3;

/// The kubelet begins to count its pauses anew after a container was up for so long.
const UP_FOR_LONG: Duration = Duration::from_mins(10);

/// How long something that a person would have to put right may stay wrong: the kubelet has tried it three times by then.
const SOME_TRIES: Duration = Duration::from_secs(30);

/// How long a registry may not answer: tries are further and further apart.
const MORE_TRIES: Duration = Duration::from_secs(120);

/// Names the container that is the instance, where a pod has several (what `kubectl logs` takes).
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// What a pod is as an instance, at that moment.
pub(super) fn instance(pod: &Pod, settings: &Settings, now: Timestamp) -> Instance {
    let (state, detail) = state(pod, settings, now);
    let detail = detail.map(|detail| escaped(&detail, DETAIL));
    Instance {
        id: InstanceId::new(name(pod)),
        address: address(pod, settings),
        started_at: started_at(pod).unwrap_or(now),
        state,
        detail,
        restarts: statuses(pod).map(|(_, status)| u32::try_from(status.restart_count).unwrap_or(0)).sum(),
    }
}

/// Its name.
pub(super) fn name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

/// Whether it was told to end.
pub(super) fn is_ending(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// Whether it has ended, and is only still listed.
pub(super) fn has_ended(pod: &Pod) -> bool {
    matches!(phase(pod), "Failed" | "Succeeded")
}

/// Whether its controller counts it.
pub(super) fn is_counted(pod: &Pod) -> bool {
    !is_ending(pod) && !has_ended(pod)
}

/// Whether it says that it is ready.
pub(super) fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|ready| ready.status == "True")
}

/// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
pub(super) fn phase(pod: &Pod) -> &str {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()).unwrap_or_default()
}

/// The container that is the instance: the one that is configured, the pod's only one, or the one that it names itself.
/// `None` where several could be.
pub(super) fn container<'a>(pod: &'a Pod, settings: &Settings) -> Option<&'a Container> {
    let containers = pod.spec.as_ref()?.containers.as_slice();
    let named = |name: &str| containers.iter().find(|container| container.name == name);
    match (&settings.container, containers) {
        (Some(name), _) => named(name),
        (None, [only]) => Some(only),
        (None, _) => named(pod.metadata.annotations.as_ref()?.get(DEFAULT_CONTAINER)?),
    }
}

/// When it was started: when its node took it, or when it was made.
fn started_at(pod: &Pod) -> Option<Timestamp> {
    let taken = pod.status.as_ref().and_then(|status| status.start_time.as_ref());
    taken.or(pod.metadata.creation_timestamp.as_ref()).map(|time| time.0)
}

fn address(pod: &Pod, settings: &Settings) -> Option<String> {
    let ip = pod.status.as_ref()?.pod_ip.as_deref().filter(|ip| !ip.is_empty())?;
    let port = settings.port.or_else(|| only_port(pod, settings))?;
    Some(match settings.reach {
        Reach::Proxy => format!("{}:{port}", name(pod)),
        Reach::Address if ip.contains(':') => format!("[{ip}]:{port}"),
        Reach::Address => format!("{ip}:{port}"),
    })
}

fn only_port(pod: &Pod, settings: &Settings) -> Option<u16> {
    let ports = container(pod, settings)?.ports.as_deref().unwrap_or_default();
    let mut tcp = ports.iter().filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
    let only = tcp.next()?;
    if tcp.next().is_some() {
        return None;
    }
    u16::try_from(only.container_port).ok()
}

fn state(pod: &Pod, settings: &Settings, now: Timestamp) -> (InstanceState, Option<String>) {
    let status = pod.status.as_ref();
    if is_ending(pod) {
        let lost = status.and_then(|status| status.reason.as_deref()) == Some("NodeLost");
        return (InstanceState::Terminating, lost.then(|| format!("{} does not answer, so it cannot end", node(pod))));
    }
    if has_ended(pod) {
        return (InstanceState::Failed, Some(how_it_ended(pod)));
    }
    if is_ready(pod) {
        return (InstanceState::Ready, None);
    }
    if phase(pod) == "Unknown" {
        return (InstanceState::NotReady, Some(format!("{} does not answer", node(pod))));
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|scheduled| scheduled.status == "False") {
        return (InstanceState::Starting, Some(not_scheduled(scheduled)));
    }
    let age = started_at(pod).map_or(SignedDuration::ZERO, |started| now.duration_since(started));
    let troubled = statuses(pod).filter_map(|(kind, status)| {
        let (state, words) = trouble(status, kind, age)?;
        Some((state, format!("{}{words}", whose(pod, settings, kind, status))))
    });
    // What has failed says more than what is only waiting for it.
    if let Some((state, words)) = troubled.min_by_key(|(state, _)| *state != InstanceState::Failed) {
        return (state, Some(words));
    }
    not_ready_yet(pod, settings)
}

fn how_it_ended(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    let message = one_line(status.and_then(|status| status.message.as_deref()).unwrap_or_default());
    match status.and_then(|status| status.reason.as_deref()) {
        Some("Evicted") => followed_by("evicted", &message),
        Some(reason) if !reason.is_empty() => followed_by(&format!("ended ({reason})"), &message),
        _ => {
            let last = statuses(pod).find_map(|(_, status)| status.state.as_ref()?.terminated.as_ref());
            last.map_or_else(|| "ended".to_owned(), |last| format!("ended: {}", exit(last)))
        }
    }
}

fn not_scheduled(condition: &PodCondition) -> String {
    let message = one_line(condition.message.as_deref().unwrap_or_default());
    match condition.reason.as_deref() {
        Some("Unschedulable") => followed_by("no node has room", &message),
        Some("SchedulingGated") => followed_by("held back from every node", &message),
        _ => followed_by("on no node yet", &message),
    }
}

/// Which of its containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One that must end before the others start.
    Init,
    /// One that serves.
    Main,
}

fn statuses(pod: &Pod) -> impl Iterator<Item = (Kind, &ContainerStatus)> {
    let status = pod.status.as_ref();
    let init = status.and_then(|status| status.init_container_statuses.as_deref()).unwrap_or_default();
    let main = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    init.iter().map(|status| (Kind::Init, status)).chain(main.iter().map(|status| (Kind::Main, status)))
}

fn whose(pod: &Pod, settings: &Settings, kind: Kind, status: &ContainerStatus) -> String {
    let instance = container(pod, settings).is_some_and(|container| container.name == status.name);
    match kind {
        Kind::Init => format!("init container {}: ", status.name),
        Kind::Main if instance => String::new(),
        Kind::Main => format!("container {}: ", status.name),
    }
}

/// What is wrong with a container, where something is.
fn trouble(status: &ContainerStatus, kind: Kind, age: SignedDuration) -> Option<(InstanceState, String)> {
    let state = status.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        return stuck(status, waiting, age);
    }
    match &state.terminated {
        Some(ended) if kind == Kind::Init && ended.exit_code == 0 => None,
        Some(ended) => Some(crashed(status, ended)),
        None if status.ready || status.restart_count == 0 => None,
        // Up again: the reason for which it was not ready before is worth more than that a probe has not passed yet.
        None => {
            let last = status.last_state.as_ref()?.terminated.as_ref()?;
            let words = format!("up again after {}, last {}", restarts(status), exit(last));
            Some((InstanceState::NotReady, words))
        }
    }
}

fn stuck(
    status: &ContainerStatus,
    waiting: &ContainerStateWaiting,
    age: SignedDuration,
) -> Option<(InstanceState, String)> {
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let message = one_line(waiting.message.as_deref().unwrap_or_default());
    let patience = match reason {
        "CrashLoopBackOff" => {
            let last = status.last_state.as_ref().and_then(|last| last.terminated.as_ref());
            return Some(last.map_or_else(
                || (InstanceState::NotReady, format!("crashes, {}", restarts(status))),
                |last| crashed(status, last),
            ));
        }
        "InvalidImageName" | "ErrImageNeverPull" => Duration::ZERO,
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => {
            if is_the_registrys_no(&message) {
                SOME_TRIES
            } else {
                MORE_TRIES
            }
        }
        "CreateContainerConfigError"
        | "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => SOME_TRIES,
        // "ContainerCreating", "PodInitializing": nothing is wrong.
        _ => return None,
    };
    let words = match reason {
        "CreateContainerConfigError" => followed_by("its configuration cannot be used", &message),
        "CreateContainerError"
        | "RunContainerError"
        | "PreCreateHookError"
        | "PreStartHookError"
        | "PostStartHookError" => followed_by(&format!("it cannot be started ({reason})"), &message),
        _ => followed_by(&format!("image cannot be pulled ({reason})"), &message),
    };
    let tried = age >= SignedDuration::try_from(patience).unwrap_or(SignedDuration::MAX);
    Some((if tried { InstanceState::Failed } else { InstanceState::Starting }, words))
}

/// Whether a registry answered, and said no: there is no such image, or not for us.
fn is_the_registrys_no(message: &str) -> bool {
    let message = message.to_lowercase();
    ["not found", "notfound", "manifest unknown", "denied", "unauthorized", "forbidden", "does not exist"]
        .iter()
        .any(|no| message.contains(no))
}

fn crashed(status: &ContainerStatus, ended: &ContainerStateTerminated) -> (InstanceState, String) {
    let up =
        ended.finished_at.as_ref().zip(ended.started_at.as_ref()).map(|(end, start)| end.0.duration_since(start.0));
    let was_up_for_long =
        up.is_some_and(|up| up >= SignedDuration::try_from(UP_FOR_LONG).unwrap_or(SignedDuration::MAX));
    let keeps_crashing = status.restart_count >= TOO_MANY_RESTARTS && !was_up_for_long;
    let state = if keeps_crashing { InstanceState::Failed } else { InstanceState::NotReady };
    (state, format!("crashes: {}, {}", exit(ended), restarts(status)))
}

fn restarts(status: &ContainerStatus) -> String {
    match status.restart_count {
        1 => "1 restart".to_owned(),
        count => format!("{count} restarts"),
    }
}

/// "exit 137 (out of memory)".
fn exit(ended: &ContainerStateTerminated) -> String {
    let code = ended.exit_code;
    let signal = ended.signal.unwrap_or_else(|| code.saturating_sub(128));
    match (ended.reason.as_deref(), signal) {
        (Some("OOMKilled"), _) => format!("exit {code} (out of memory)"),
        // The runtime's own words: the program was never run.
        (Some(reason @ ("ContainerCannotRun" | "StartError")), _) => followed_by(
            &format!("exit {code} ({reason})"),
            &escaped(&one_line(ended.message.as_deref().unwrap_or_default()), 120),
        ),
        (_, 6) => format!("exit {code} (aborted)"),
        (_, 9) => format!("exit {code} (killed)"),
        (_, 11) => format!("exit {code} (segmentation fault)"),
        (_, 15) => format!("exit {code} (told to end)"),
        (_, signal @ 1..=64) => format!("exit {code} (signal {signal})"),
        _ => format!("exit {code}"),
    }
}

/// Its containers run, or are being made, and it is not ready.
fn not_ready_yet(pod: &Pod, settings: &Settings) -> (InstanceState, Option<String>) {
    let mut main = statuses(pod).filter(|(kind, _)| *kind == Kind::Main).map(|(_, status)| status).peekable();
    let any = main.peek().is_some();
    let unready = main.find(|status| !status.ready);
    let Some(status) = unready else {
        let gates = pod.spec.as_ref().and_then(|spec| spec.readiness_gates.as_deref()).unwrap_or_default();
        let passed = |gate: &str| condition(pod, gate).is_some_and(|passed| passed.status == "True");
        let closed = gates.iter().find(|gate| !passed(&gate.condition_type));
        return match closed {
            Some(gate) => (InstanceState::Starting, Some(format!("not ready: waits for {}", gate.condition_type))),
            // Its containers were ready when last heard of: whoever calls the pod unready has not heard of it since.
            None if any && condition(pod, "Ready").is_some() => {
                (InstanceState::NotReady, Some(format!("{} does not answer", node(pod))))
            }
            None => (InstanceState::Starting, None),
        };
    };
    let Some(running) = status.state.as_ref().and_then(|state| state.running.as_ref()) else {
        return (InstanceState::Starting, None);
    };
    let whose = whose(pod, settings, Kind::Main, status);
    let containers = pod.spec.as_ref().map(|spec| spec.containers.as_slice()).unwrap_or_default();
    let spec = containers.iter().find(|container| container.name == status.name);
    if status.started == Some(false) && spec.is_some_and(|spec| spec.startup_probe.is_some()) {
        return (InstanceState::Starting, Some(format!("{whose}not ready: its startup probe has not passed yet")));
    }
    // The pod is called unready before its container runs; later than that, it was ready in between.
    let since = condition(pod, "Ready").and_then(|ready| ready.last_transition_time.as_ref());
    let began = running.started_at.as_ref();
    let was_ready = matches!((since, began), (Some(since), Some(began)) if since.0 > began.0);
    if was_ready {
        (InstanceState::NotReady, Some(format!("{whose}not ready: its readiness probe fails")))
    } else {
        (InstanceState::Starting, Some(format!("{whose}not ready: its readiness probe has not passed yet")))
    }
}

fn condition<'a>(pod: &'a Pod, about: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == about)
}

fn node(pod: &Pod) -> String {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node.map_or_else(|| "its node".to_owned(), |node| format!("its node {node}"))
}

/// The cluster's own words follow ours, where it has any.
fn followed_by(words: &str, message: &str) -> String {
    if message.is_empty() { words.to_owned() } else { format!("{words}: {message}") }
}

/// Text of several lines as one.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
