//! Who else changes the service: a rolling update that is under way or was stopped half-way, and the autoscalers that are
//! told by a label which services are theirs.

use scalebot_commands::ports::Steering;
use scalebot_commands::request::escaped;

use super::cluster::Service;

/// Labels by which an autoscaler knows its services, and its name.
const AUTOSCALERS: [(&str, &str); 2] = [("swarm.autoscaler", "the docker-swarm-autoscaler"), ("orbiter", "Orbiter")];

/// Everything that was found.
pub(super) fn found(service: &Service, name: &str) -> Vec<Steering> {
    let mut found: Vec<Steering> = rolling(service, name).into_iter().collect();
    for (label, who) in AUTOSCALERS {
        if service.label(label).is_some_and(|value| value != "false") {
            found.push(Steering {
                by: format!("{who}, by the label {label}"),
                effect: "sets the count by its own measure".to_owned(),
                settled_by: format!("docker service update --label-rm {label} {name}"),
                hold: None,
            });
        }
    }
    found
}

fn rolling(service: &Service, name: &str) -> Option<Steering> {
    let status = service.update_status.as_ref()?;
    let (what, effect, settled_by) = match status.state.as_str() {
        // It is over.
        "" | "completed" | "rollback_completed" => return None,
        "updating" => {
            ("a rolling update", "is under way", format!("wait until it has ended: docker service ps {name}"))
        }
        "rollback_started" => {
            ("a rollback", "is under way", format!("wait until it has ended: docker service ps {name}"))
        }
        "paused" => (
            "a rolling update",
            "was stopped half-way, so that tasks are of two versions",
            format!("docker service update {name} goes on with it, docker service rollback {name} takes it back"),
        ),
        "rollback_paused" => (
            "a rollback",
            "was stopped half-way, so that tasks are of two versions",
            format!("docker service update {name} goes on with what it says now"),
        ),
        _ => (
            "an update that this bot does not know",
            "is under way",
            format!("look at it: docker service inspect --pretty {name}"),
        ),
    };
    let said = escaped(&status.message, 120);
    let effect = if said.is_empty() { effect.to_owned() } else { format!("{effect} ({said})") };
    Some(Steering { by: format!("{what} of {name}"), effect, settled_by, hold: None })
}
