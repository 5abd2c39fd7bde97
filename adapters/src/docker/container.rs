//! A container as an instance: where it is in its life, where it is reached, and in words why it is not ready.
//!
//! What is called failed ends a wait at once and takes the change back, so that is only what will not come back by itself:
//! a container that has ended (the engine starts again what is to be started again, and says so), one that could not be
//! started, and one that keeps ending.

use scalebot_commands::ports::{Instance, InstanceState};
use scalebot_commands::request::escaped;
use scalebot_commands::units::{InstanceId, Timestamp};

use super::engine::{Binding, Inspected, State};

/// How long what is said of one instance may be, in characters.
const DETAIL: usize = 200;

/// One that was started so often again is not expected to stay up.
const TOO_MANY_RESTARTS: u32 = 3;

/// Where instances are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    /// The container's port; `None` for the only one.
    pub(super) port: Option<u16>,
    /// The network in which it has its address; `None` for the only one.
    pub(super) network: Option<&'a str>,
    /// Whether it is asked at the machine's port.
    pub(super) published: bool,
}

/// What a container is as an instance.
pub(super) fn instance(container: &Inspected, asked: &Asked<'_>) -> Instance {
    let (state, detail) = state(container);
    Instance {
        id: InstanceId::new(name(container)),
        address: address(container, asked),
        started_at: started_at(&container.state).unwrap_or(container.created),
        state,
        detail: detail.map(|detail| escaped(&detail, DETAIL)),
        restarts: container.restart_count,
    }
}

/// Its name, as people know it.
pub(super) fn name(container: &Inspected) -> &str {
    container.name.trim_start_matches('/')
}

/// Whether it runs, whatever it says of its health.
pub(super) fn runs(container: &Inspected) -> bool {
    container.state.status == "running"
}

/// Go's zero time is that of one that was never started.
fn started_at(state: &State) -> Option<Timestamp> {
    let text = state.started_at.as_deref().filter(|text| !text.starts_with("0001-"))?;
    text.parse().ok()
}

fn state(container: &Inspected) -> (InstanceState, Option<String>) {
    let state = &container.state;
    let again = container.restart_count;
    match state.status.as_str() {
        "removing" => (InstanceState::Terminating, None),
        "created" if state.error.is_empty() => (InstanceState::Starting, Some("made, not started yet".to_owned())),
        "created" => (InstanceState::Failed, Some(format!("it could not be started: {}", state.error))),
        "running" => of_its_health(state),
        "paused" => (InstanceState::NotReady, Some("it is paused (docker unpause)".to_owned())),
        "restarting" => {
            let why = format!("{}; it was started again {again} times", ending(state));
            let hopeless = again >= TOO_MANY_RESTARTS;
            (if hopeless { InstanceState::Failed } else { InstanceState::NotReady }, Some(why))
        }
        "exited" | "dead" => (InstanceState::Failed, Some(ending(state))),
        other => (InstanceState::NotReady, Some(format!("the engine says that it is {other}"))),
    }
}

/// Without a health check, one that runs is ready as far as an engine can tell; whether it says so itself, verification asks.
fn of_its_health(state: &State) -> (InstanceState, Option<String>) {
    let Some(health) = &state.health else { return (InstanceState::Ready, None) };
    let said = health.log.last().map(|last| last.output.trim()).filter(|said| !said.is_empty());
    match health.status.as_str() {
        "healthy" | "none" => (InstanceState::Ready, None),
        "starting" => {
            let said = said.map(|said| format!("; it says: {said}")).unwrap_or_default();
            (InstanceState::Starting, Some(format!("its health check has not passed yet{said}")))
        }
        _ => {
            let said = said.map(|said| format!(": {said}")).unwrap_or_default();
            (InstanceState::NotReady, Some(format!("its health check fails{said}")))
        }
    }
}

/// How it ended, in words.
fn ending(state: &State) -> String {
    if !state.error.is_empty() {
        return format!("it could not be started: {}", state.error);
    }
    if state.oom_killed {
        return "it was killed because it used more memory than it may".to_owned();
    }
    exit(state.exit_code)
}

/// With what it ended, in words.
pub(super) fn exit(code: i64) -> String {
    match code {
        0 => "it ended by itself, with status 0".to_owned(),
        137 => "it was killed (signal 9)".to_owned(),
        143 => "it was told to end (signal 15)".to_owned(),
        code @ 129..=192 => format!("it was ended by signal {}", code - 128),
        code => format!("it ended with status {code}"),
    }
}

fn address(container: &Inspected, asked: &Asked<'_>) -> Option<String> {
    let port = asked.port.or_else(|| only_port(container))?;
    if asked.published {
        let bound = container.network_settings.ports.get(&format!("{port}/tcp"))?.as_ref()?;
        return bound.iter().find_map(published);
    }
    let networks = &container.network_settings.networks;
    let attached = match asked.network {
        Some(name) => networks.get(name)?.as_ref()?,
        None if networks.len() == 1 => networks.values().next()?.as_ref()?,
        None => return None,
    };
    let address = Some(attached.address.as_str()).filter(|address| !address.is_empty())?;
    Some(host_and_port(address, port))
}

/// An address that stands for all of a machine's is reached at its own.
fn published(binding: &Binding) -> Option<String> {
    let port = binding.host_port.parse().ok()?;
    Some(match binding.host_ip.as_str() {
        "" | "0.0.0.0" => host_and_port("127.0.0.1", port),
        "::" => host_and_port("::1", port),
        address => host_and_port(address, port),
    })
}

pub(super) fn host_and_port(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// The only TCP port that its image or its file names.
fn only_port(container: &Inspected) -> Option<u16> {
    let mut ports = container.config.exposed_ports.keys().filter_map(|port| match port.split_once('/') {
        Some((port, "tcp")) => port.parse().ok(),
        _ => None,
    });
    let only = ports.next()?;
    ports.next().is_none().then_some(only)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What engine 20.10 answers of a container that Compose 1.29 made, shortened by what nothing follows from.
    pub(in super::super) fn recorded() -> Value {
        json!({
            "Id": "02a1e24855f516258b7850f0e38d0bfdfdfd52abf1912450ed7528dfb44e2158",
            "Created": "2026-11-30T03:32:47.109489938Z", "Path": "/bin/scalebot",
            "State": {
                "Status": "running", "Running": true, "Paused": false, "Restarting": false, "OOMKilled": false,
                "Dead": false, "Pid": 15707, "ExitCode": 0, "Error": "",
                "StartedAt": "2026-11-30T03:32:48.379245729Z", "FinishedAt": "0001-01-01T00:00:00Z",
            },
            "Image": "sha256:8faa37", "Name": "/conclave_api_1", "RestartCount": 0,
            "HostConfig": {
                "Memory": 134_217_728, "NanoCpus": 0, "RestartPolicy": { "Name": "", "MaximumRetryCount": 0 },
                "PortBindings": { "8000/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "18000-18010" }] },
            },
            "Config": {
                "ExposedPorts": { "8000/tcp": {} }, "Tty": false, "Env": null, "StopTimeout": 20,
                "Labels": {
                    "com.docker.compose.config-hash": "34a8e2", "com.docker.compose.container-number": "1",
                    "com.docker.compose.oneoff": "False", "com.docker.compose.project": "conclave",
                    "com.docker.compose.project.config_files": "/srv/compose.yaml",
                    "com.docker.compose.project.working_dir": "/srv", "com.docker.compose.service": "api",
                    "com.docker.compose.version": "1.29.2",
                },
            },
            "NetworkSettings": {
                "Ports": { "8000/tcp": [{ "HostIp": "127.0.0.1", "HostPort": "18000" }] },
                "Networks": { "conclave_default": { "IPAMConfig": null, "IPAddress": "10.224.0.2", "IPPrefixLen": 24 } },
            },
        })
    }

    fn seen(change: impl FnOnce(&mut Value)) -> (InstanceState, String) {
        let mut container = recorded();
        change(&mut container);
        let container: Inspected = serde_json::from_value(container).unwrap();
        let asked = Asked { port: None, network: None, published: false };
        let instance = instance(&container, &asked);
        (instance.state, instance.detail.unwrap_or_default())
    }

    #[test]
    fn a_container_that_runs_is_ready_unless_its_health_check_says_otherwise() {
        use InstanceState::{NotReady, Ready, Starting};
        let health = |status: &str, output: &str| {
            let health = json!({ "Status": status, "FailingStreak": 0, "Log": [{ "ExitCode": 1, "Output": output }] });
            seen(|container| container["State"]["Health"] = health)
        };
        assert_eq!(seen(|_| ()), (Ready, String::new()));
        assert_eq!(health("healthy", "ok"), (Ready, String::new()));
        let text = "its health check has not passed yet; it says: refused".to_owned();
        assert_eq!(health("starting", "refused\n"), (Starting, text));
        assert_eq!(health("unhealthy", "no database"), (NotReady, "its health check fails: no database".to_owned()));
        let none_yet = json!({ "Status": "starting", "Log": null });
        let text = "its health check has not passed yet".to_owned();
        assert_eq!(seen(|container| container["State"]["Health"] = none_yet), (Starting, text));
    }

    #[test]
    fn how_a_container_ended_is_said_in_words() {
        use InstanceState::{Failed, NotReady, Starting, Terminating};
        let state = |status: &str, code: i64, error: &str, oom: bool| {
            seen(|container| {
                let state = &mut container["State"];
                (state["Status"], state["ExitCode"]) = (json!(status), json!(code));
                (state["Error"], state["OOMKilled"]) = (json!(error), json!(oom));
            })
        };
        assert_eq!(state("exited", 1, "", false), (Failed, "it ended with status 1".to_owned()));
        assert_eq!(state("exited", 139, "", false), (Failed, "it was ended by signal 11".to_owned()));
        let memory = "it was killed because it used more memory than it may".to_owned();
        assert_eq!(state("exited", 137, "", true), (Failed, memory));
        let taken = "it could not be started: port is already allocated".to_owned();
        assert_eq!(state("created", 128, "port is already allocated", false), (Failed, taken));
        assert_eq!(state("created", 0, "", false), (Starting, "made, not started yet".to_owned()));
        assert_eq!(state("removing", 0, "", false), (Terminating, String::new()));
        let paused = "it is paused (docker unpause)".to_owned();
        assert_eq!(state("paused", 0, "", false), (NotReady, paused));
        let new = "the engine says that it is hibernating".to_owned();
        assert_eq!(state("hibernating", 0, "", false), (NotReady, new));
        let again = |times: u32| {
            seen(|container| {
                container["RestartCount"] = json!(times);
                (container["State"]["Status"], container["State"]["ExitCode"]) = (json!("restarting"), json!(3));
            })
        };
        assert_eq!(again(1), (NotReady, "it ended with status 3; it was started again 1 times".to_owned()));
        assert_eq!(again(3).0, Failed);
    }

    #[test]
    fn it_is_asked_in_its_network_or_at_its_machines_port() {
        let at = |asked: &Asked<'_>, change: fn(&mut Value)| {
            let mut container = recorded();
            change(&mut container);
            address(&serde_json::from_value(container).unwrap(), asked)
        };
        let usual = Asked { port: None, network: None, published: false };
        assert_eq!(at(&usual, |_| ()).as_deref(), Some("10.224.0.2:8000"));
        let published = Asked { published: true, ..usual.clone() };
        assert_eq!(at(&published, |_| ()).as_deref(), Some("127.0.0.1:18000"));
        let anywhere: fn(&mut Value) =
            |container| container["NetworkSettings"]["Ports"]["8000/tcp"][0]["HostIp"] = json!("0.0.0.0");
        assert_eq!(at(&published, anywhere).as_deref(), Some("127.0.0.1:18000"));
        assert_eq!(at(&Asked { port: Some(9000), ..published }, |_| ()), None);
        // Which of two networks is meant is not guessed.
        let second: fn(&mut Value) =
            |container| container["NetworkSettings"]["Networks"]["db"] = json!({ "IPAddress": "10.9.0.2" });
        assert_eq!(at(&usual, second), None);
        let named = Asked { network: Some("db"), ..usual.clone() };
        assert_eq!(at(&named, second).as_deref(), Some("10.9.0.2:8000"));
        let ended: fn(&mut Value) =
            |container| container["NetworkSettings"]["Networks"]["conclave_default"]["IPAddress"] = json!("");
        assert_eq!(at(&usual, ended), None);
    }
}
