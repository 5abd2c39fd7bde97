//! An engine and a Compose that play one project: containers are files in a folder, which the engine shows and Compose makes
//! and takes away. What either does otherwise, a test says.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path as Segment, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use scalebot_commands::ports::{Fleet as _, FleetState, OrderAnswer, PortError, ScaleOrder};
use scalebot_commands::units::{Epoch, InstanceId, OperationId, Replicas};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Compose, ComposeSettings};
use crate::docker::container::tests::recorded;
use crate::http::testing::Server;

/// It does what Compose does with the highest numbers, and whatever a test has written into `does` before that.
const COMPOSE: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "$@" >>"$here/asked"
env >"$here/environment"
case "$*" in
*" config "*) cat "$here/config"; exit ;;
version*) cat "$here/version"; exit ;;
esac
make() {
    sed -e "s/NUMBER/$1/g" -e "s/IDENTITY/id-$1-$$/g" "$here/template" >"$here/containers/$1.json"
}
wanted=${*##*--scale api=}
wanted=${wanted%% *}
count() { ls "$here/containers" | wc -l; }
highest() { ls "$here/containers" | sort -n | tail -n 1; }
[ ! -e "$here/does" ] || . "$here/does"
while [ "$(count)" -gt "$wanted" ]; do rm "$here/containers/$(highest)"; done
while [ "$(count)" -lt "$wanted" ]; do number=$(highest); make $((${number%.json} + 1)); done
"#;

/// The project's file.
pub(super) const FILE: &str = "services:\n  api:\n    image: conclave:1\n    mem_limit: 128m\n";

/// One project.
pub(super) struct Project {
    folder: TempDir,
    /// The fleet, as the bot has it.
    pub(super) fleet: Compose,
    settings: ComposeSettings,
    _engine: Server,
}

impl Project {
    /// One with so many containers.
    pub(super) async fn of(count: u32) -> Self {
        Self::with(count, |_| ()).await
    }

    /// The same, with settings that are changed.
    pub(super) async fn with(count: u32, change: impl FnOnce(&mut ComposeSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("containers")).unwrap();
        std::fs::write(at("compose"), COMPOSE).unwrap();
        std::fs::set_permissions(at("compose"), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::write(at("version"), "1.29.2\n").unwrap();
        std::fs::write(at("config"), "api 34a8e2\n").unwrap();
        std::fs::write(at("compose.yaml"), FILE).unwrap();
        let mut template = recorded();
        template["Id"] = json!("IDENTITY");
        template["Name"] = json!("/conclave_api_NUMBER");
        template["Config"]["Labels"]["com.docker.compose.container-number"] = json!("NUMBER");
        template["HostConfig"]["PortBindings"] = Value::Null;
        std::fs::write(at("template"), template.to_string()).unwrap();
        let engine = Server::start(engine(folder.path().to_owned())).await;
        let mut settings: ComposeSettings = serde_json::from_value(json!({
            "project": "conclave", "service": "api", "files": [at("compose.yaml")],
            "socket": format!("tcp:{}", engine.address()), "command": [at("compose")],
            "time_out": "10s",
        }))
        .unwrap();
        change(&mut settings);
        let fleet = Compose::new(&settings, &at("orders")).unwrap();
        let project = Self { folder, fleet, settings, _engine: engine };
        for number in 1..=count {
            project.somebody_makes(number);
        }
        project
    }

    /// A bot that knows nothing but what is kept.
    pub(super) fn started_again(&self) -> Compose {
        Compose::new(&self.settings, &self.at("orders")).unwrap()
    }

    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    /// Somebody else makes a container.
    pub(super) fn somebody_makes(&self, number: u32) {
        let template = std::fs::read_to_string(self.at("template")).unwrap();
        let text = template.replace("NUMBER", &number.to_string()).replace("IDENTITY", &format!("old-{number}"));
        self.write(&format!("containers/{number}.json"), &text);
    }

    /// Somebody else takes one away.
    pub(super) fn somebody_ends(&self, number: u32) {
        std::fs::remove_file(self.at(&format!("containers/{number}.json"))).unwrap();
    }

    /// What Compose was asked, without what the tests' folders are called.
    pub(super) fn asked(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.at("asked")).unwrap_or_default();
        let text = text.replace(&*self.folder.path().to_string_lossy(), "/srv");
        text.lines().filter(|line| line.contains(" up ")).map(ToOwned::to_owned).collect()
    }

    pub(super) async fn now(&self) -> FleetState {
        self.fleet.observe().await.unwrap()
    }

    /// The order that a guard gives which has just looked.
    pub(super) async fn order(&self, to: u32) -> ScaleOrder {
        let FleetState { identity, wanted, version, .. } = self.now().await;
        ScaleOrder { identity, from: wanted, to: Replicas(to), version, operation: operation() }
    }

    /// Carries it out.
    pub(super) async fn goes(&self, to: u32, named: Option<&[&str]>) -> Result<OrderAnswer, PortError> {
        let order = self.order(to).await;
        let named = named.map(|named| named.iter().map(|name| InstanceId::new(*name)).collect::<Vec<_>>());
        self.fleet.inner.carry_out(&order, named.as_deref(), Epoch(3)).await
    }
}

pub(super) fn operation() -> OperationId {
    OperationId::new("018f")
}

/// The names of a fleet's instances.
pub(super) fn names(fleet: &FleetState) -> Vec<&str> {
    fleet.instances.iter().map(|instance| instance.id.as_str()).collect()
}

fn containers(folder: &Path) -> Vec<Value> {
    let files = std::fs::read_dir(folder.join("containers")).unwrap().flatten();
    files.filter_map(|file| serde_json::from_slice(&std::fs::read(file.path()).ok()?).ok()).collect()
}

fn engine(folder: PathBuf) -> Router {
    async fn list(State(folder): State<Arc<PathBuf>>) -> Response {
        axum::Json(containers(&folder)).into_response()
    }
    async fn one(State(folder): State<Arc<PathBuf>>, Segment(id): Segment<String>) -> Response {
        let found = containers(&folder).into_iter().find(|container| container["Id"] == id.as_str());
        let gone = || (StatusCode::NOT_FOUND, axum::Json(json!({ "message": format!("No such container: {id}") })));
        found.map_or_else(|| gone().into_response(), |container| axum::Json(container).into_response())
    }
    async fn logs() -> Vec<u8> {
        b"\x02\0\0\0\0\0\0\x06error\n".to_vec()
    }
    async fn info() -> axum::Json<Value> {
        axum::Json(json!({
            "ID": "JZA6:MJTK", "Name": "vm", "ServerVersion": "20.10.24", "MemTotal": 2_u64 << 30, "NCPU": 2,
        }))
    }
    Router::new()
        .route("/info", get(info))
        .route("/containers/json", get(list))
        .route("/containers/{id}/json", get(one))
        .route("/containers/{id}/logs", get(logs))
        .with_state(Arc::new(folder))
}
