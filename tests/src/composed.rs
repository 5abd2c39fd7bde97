//! A fleet that is a service of a Docker Compose project, on the real engine that `./tests/run engine` starts: containers of
//! the program that plays the backend's instances, a real HAProxy before them, PostgreSQL and Redis as sources of truth.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::discord::Discord;
use crate::engine::{Around, Engine, IMAGE, Load, in_query, looked_until};
use crate::operator::Operator;
use crate::run::Service;
use crate::services::haproxy::Haproxy;
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::surrounded::halt_sources;

/// A scene.
pub struct Scene {
    /// How many containers it begins with.
    pub instances: u32,
    /// Whether containers that come later crash.
    pub later_ones_crash: bool,
    /// Whether it is taken that a balancer resolves the service's name, in place of an HAProxy that is told.
    pub by_name: bool,
    /// More lines of the fleet's section.
    pub fleet: &'static str,
}

impl Scene {
    /// So many containers, with which nothing is wrong.
    pub fn of(instances: u32) -> Self {
        Self { instances, later_ones_crash: false, by_name: false, fleet: "" }
    }
}

/// A service, and its fleet in a project.
pub struct Composed {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where it is asked.
    pub discord: Discord,
    /// The project's name.
    pub project: String,
    /// The engine.
    pub engine: Engine,
    /// Requests that were not answered well, and all of them.
    load: Load,
    folder: TempDir,
    haproxy: Haproxy,
    halt: (Postgres, Redis),
}

impl Composed {
    /// Everything is there; the service does not run yet.
    pub async fn with(scene: Scene) -> Self {
        let engine = Engine::started();
        let halt = halt_sources().await;
        let folder = tempfile::Builder::new().prefix("compose").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("fault")).unwrap();
        let haproxy = Haproxy::before(&["option httpchk GET /v1/ready".to_owned(), "option redispatch".to_owned()]);
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "");
        let load = Load::to_fronts(vec![haproxy.url()]);
        let project = format!("conclave{:08x}", fastrand::u32(..));
        let composed = Self { service, discord, project, engine, load, folder, haproxy, halt };
        composed.write_file();
        composed.somebody_scales(scene.instances);
        composed.until_healthy(scene.instances).await;
        if scene.by_name {
            // Whoever resolves the name knows them all.
            composed.load.to(composed.addresses().await);
        }
        if scene.later_ones_crash {
            std::fs::write(composed.folder.path().join("fault/crash"), "whoever comes now").unwrap();
        }
        composed.configure(&scene);
        composed
    }

    fn write_file(&self) {
        let folder = self.folder.path().display();
        let text = format!(
            "version: \"2.4\"\nservices:\n  api:\n    image: {IMAGE}\n    command: [\"/bin/scalebot\", \"drill-instance\", \
             \"--name\", \"api\", \"--alone\", \"0.0.0.0:8000\", \"--fault\", \"crash\", \"--fault-if\", \"/fault/crash\"]\n    \
             mem_limit: 128m\n    stop_grace_period: 20s\n    volumes: [\"{folder}/fault:/fault:ro\"]\n    healthcheck:\n      \
             test: [\"CMD\", \"/bin/curl\", \"-fsS\", \"-o\", \"/dev/null\", \"http://127.0.0.1:8000/v1/ready\"]\n      \
             interval: 2s\n      timeout: 10s\n      retries: 5\n"
        );
        std::fs::write(self.file(), text).unwrap();
    }

    /// The project's file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("compose.yaml")
    }

    fn compose(&self, arguments: &[&str]) {
        let output = Command::new("docker-compose")
            .env("DOCKER_HOST", format!("unix://{}", self.engine.socket.display()))
            .args(["--ansi", "never", "--project-name", &self.project, "--file"])
            .arg(self.file())
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Somebody sets the count with Compose.
    pub fn somebody_scales(&self, count: u32) {
        self.compose(&["up", "-d", "--no-recreate", "--scale", &format!("api={count}"), "api"]);
    }

    /// The project's containers, those that have ended included.
    pub async fn containers(&self) -> Vec<Value> {
        let filters = json!({ "label": [format!("com.docker.compose.project={}", self.project)] }).to_string();
        let all = self.engine.says(&format!("/containers/json?all=1&filters={}", in_query(&filters))).await;
        let mut all = all.as_array().unwrap().clone();
        all.sort_by_key(|one| one["Names"][0].as_str().map(ToOwned::to_owned));
        all
    }

    /// Their names.
    pub async fn names(&self) -> Vec<String> {
        let name = |one: &Value| one["Names"][0].as_str().unwrap().trim_start_matches('/').to_owned();
        self.containers().await.iter().map(name).collect()
    }

    /// Where each is asked.
    async fn addresses(&self) -> Vec<String> {
        let address = |one: &Value| {
            let networks = one["NetworkSettings"]["Networks"].as_object().unwrap();
            let network = networks.values().next().unwrap();
            format!("http://{}:8000/", network["IPAddress"].as_str().unwrap())
        };
        self.containers().await.iter().map(address).collect()
    }

    /// Waits until so many are healthy.
    async fn until_healthy(&self, count: u32) {
        looked_until(
            || self.containers(),
            |all| {
                let healthy = all.iter().filter(|one| one["Status"].as_str().unwrap().contains("(healthy)"));
                healthy.count() == count as usize
            },
        )
        .await;
    }

    /// What was lost of the requests that were sent while that was done.
    pub async fn lost_during<T>(&self, what: impl Future<Output = T>) -> (T, u64, u64) {
        self.load.lost_during(what).await
    }

    fn configure(&self, scene: &Scene) {
        // With it, nobody counts the last requests.
        let (traffic, register, unmeasured) =
            if scene.by_name { ("compose", false, "unmeasured = \"2s\"\n") } else { ("haproxy", true, "") };
        let fleet = format!(
            "kind = \"compose\"\nproject = \"{project}\"\nservice = \"api\"\nfiles = [\"{file}\"]\nport = 8000\n\
             register = {register}\n{more}",
            project = self.project,
            file = self.file().display(),
            more = scene.fleet,
        );
        Around { service: &self.service, engine: &self.engine, haproxy: &self.haproxy, halt: &self.halt }
            .configure(traffic, unmeasured, &fleet);
    }

    /// The service runs, and can be asked.
    pub async fn served(&self) -> Operator<'_> {
        let serving = self.service.start_ready();
        self.discord.until_registered("scale").await;
        let project = self.project.clone();
        Operator::new(&self.service, &self.discord, move || format!("project {project}"), serving)
    }
}

impl Drop for Composed {
    /// All of the project goes, however the scene ended.
    fn drop(&mut self) {
        let down = Command::new("docker-compose")
            .env("DOCKER_HOST", format!("unix://{}", self.engine.socket.display()))
            .args(["--project-name", &self.project, "--file"])
            .arg(self.file())
            .args(["down", "--timeout", "0", "--volumes"])
            .output();
        if !down.is_ok_and(|down| down.status.success()) {
            println!("project {} may still be there", self.project);
        }
    }
}
