//! The instances as tasks of a service, on this very node: its files are theirs.

use std::time::Duration;

use serde_json::json;

use super::{Engine, GRACE, LABEL, Recipe};
use crate::drill::containers::PORT;
use crate::drill::settings::Fault;

/// How much memory is kept free for one, in bytes.
const RESERVED: u64 = 64 << 20;

/// How often Swarm starts a task again that has ended: not for ever, where nobody clears away.
const STARTED_AGAIN: u32 = 5;

/// Makes the service, and the network that its tasks are in.
pub(super) async fn make(engine: &Engine, recipe: &Recipe, node: &str) -> anyhow::Result<()> {
    let name = &engine.containers.name;
    let labels = json!({ LABEL: engine.label() });
    let network = json!({ "Name": name, "Driver": "overlay", "Labels": labels });
    engine.api.make("/networks/create", &network).await?;
    let nanoseconds = |length: Duration| u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    // None: as many as there is memory for. What others run here is not to be left without.
    let most = if engine.settings.fault == Some(Fault::NoRoom) { engine.settings.instances } else { 0 };
    let mounts = recipe.mounts.iter().map(
        |mount| json!({ "Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only }),
    );
    let service = json!({
        "Name": name,
        "Labels": labels,
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": recipe.image,
                "Command": recipe.words,
                "Labels": labels,
                "Mounts": mounts.collect::<Vec<_>>(),
                "StopGracePeriod": nanoseconds(GRACE),
                "Healthcheck": {
                    "Test": recipe.health,
                    "Interval": nanoseconds(Duration::from_secs(1)),
                    "Timeout": nanoseconds(Duration::from_secs(10)),
                    "Retries": 3,
                },
            },
            "Resources": {
                "Limits": { "MemoryBytes": recipe.memory },
                "Reservations": { "MemoryBytes": RESERVED },
            },
            "RestartPolicy": {
                "Condition": "any",
                "Delay": nanoseconds(Duration::from_secs(1)),
                "MaxAttempts": STARTED_AGAIN,
            },
            "Placement": { "Constraints": [format!("node.id=={node}")], "MaxReplicas": most },
            "Networks": [{ "Target": name }],
        },
        "Mode": { "Replicated": { "Replicas": engine.settings.instances } },
        "EndpointSpec": {
            "Mode": "dnsrr",
            "Ports": [{ "Protocol": "tcp", "TargetPort": PORT, "PublishMode": "host" }],
        },
    });
    engine.api.make("/services/create", &service).await
}
