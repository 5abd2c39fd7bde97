//! A fleet that is a service of Docker Swarm, on the real engine that `./tests/run engine` starts as a swarm of one node: tasks
//! of the program that plays the backend's instances, reached at their host-mode ports, a real HAProxy before them, PostgreSQL
//! and Redis as sources of truth.

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

/// How long a task has to end, in seconds.
pub const GRACE: u64 = 20;

/// A scene.
pub struct Scene {
    /// How many tasks it begins with.
    pub instances: u32,
    /// Whether tasks that come later crash.
    pub later_ones_crash: bool,
    /// Whether it is taken that a balancer resolves the service's name, in place of an HAProxy that is told.
    pub by_name: bool,
    /// What share of the node's memory each reserves; `None` for a little.
    pub reserves: Option<u64>,
}

impl Scene {
    /// So many tasks, with which nothing is wrong.
    pub fn of(instances: u32) -> Self {
        Self { instances, later_ones_crash: false, by_name: false, reserves: None }
    }
}

/// A service, and its fleet in a swarm.
pub struct Swarmed {
    /// The service. It ends before what is around it.
    pub service: Service,
    /// Where it is asked.
    pub discord: Discord,
    /// The name of the service in the swarm.
    pub name: String,
    /// The engine.
    pub engine: Engine,
    load: Load,
    folder: TempDir,
    haproxy: Haproxy,
    halt: (Postgres, Redis),
}

impl Swarmed {
    /// Everything is there; the service does not run yet.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn with(scene: Scene) -> Self {
        let engine = Engine::started();
        let halt = halt_sources().await;
        let folder = tempfile::Builder::new().prefix("swarm").tempdir().unwrap();
        std::fs::create_dir(folder.path().join("fault")).unwrap();
        // A request that met one which was just ending is sent to another: nobody can take it out before.
        let lines = [
            "option httpchk GET /v1/ready",
            "option redispatch 1",
            "retries 3",
            "retry-on conn-failure empty-response",
        ];
        let haproxy = Haproxy::before(&lines.map(str::to_owned));
        let discord = Discord::ready_made();
        let service = Service::in_discord(&discord, "", "");
        let load = Load::to_fronts(vec![haproxy.url()]);
        let name = format!("conclave{:08x}", fastrand::u32(..));
        let swarmed = Self { service, discord, name, engine, load, folder, haproxy, halt };
        swarmed.make(&scene).await;
        swarmed.until_running(scene.instances).await;
        if scene.by_name {
            // Whoever resolves the name knows them all.
            swarmed.load.to(swarmed.addresses().await);
        }
        if scene.later_ones_crash {
            std::fs::write(swarmed.folder.path().join("fault/crash"), "whoever comes now").unwrap();
        }
        swarmed.configure(&scene);
        swarmed
    }

    async fn make(&self, scene: &Scene) {
        let network = json!({ "Name": self.name, "Driver": "overlay", "Attachable": true });
        self.engine.does("/networks/create", &network).await;
        let seconds = |seconds: u64| seconds * 1_000_000_000;
        let memory = self.engine.says("/info").await["MemTotal"].as_u64().unwrap();
        let reserved = scene.reserves.map_or(64 << 20, |share| memory / share);
        let arguments = [
            "drill-instance",
            "--name",
            "api",
            "--alone",
            "0.0.0.0:8000",
            "--fault",
            "crash",
            "--fault-if",
            "/fault/crash",
        ];
        self.engine
            .does(
                "/services/create",
                &json!({
                    "Name": self.name, "Labels": { "somebody's": "own" },
                    "TaskTemplate": {
                        "ContainerSpec": {
                            "Image": IMAGE, "Command": ["/bin/scalebot"], "Args": arguments,
                            "StopGracePeriod": seconds(GRACE),
                            "Mounts": [{
                                "Type": "bind", "Source": self.folder.path().join("fault"), "Target": "/fault", "ReadOnly": true,
                            }],
                            "Healthcheck": {
                                "Test": ["CMD", "/bin/curl", "-fsS", "-o", "/dev/null", "http://127.0.0.1:8000/v1/ready"],
                                "Interval": seconds(2), "Timeout": seconds(10), "Retries": 5,
                            },
                        },
                        "Resources": { "Reservations": { "MemoryBytes": reserved } },
                        "RestartPolicy": { "Condition": "any", "Delay": seconds(1) },
                        "Networks": [{ "Target": self.name }],
                    },
                    "Mode": { "Replicated": { "Replicas": scene.instances } },
                    "EndpointSpec": {
                        "Mode": "dnsrr", "Ports": [{ "Protocol": "tcp", "TargetPort": 8000, "PublishMode": "host" }],
                    },
                }),
            )
            .await;
    }

    /// The service as the engine has it.
    pub async fn inspected(&self) -> Value {
        self.engine.says(&format!("/services/{}", self.name)).await
    }

    /// Somebody changes its specification, as their tool does.
    pub async fn somebody_changes(&self, change: impl FnOnce(&mut Value)) {
        let mut service = self.inspected().await;
        change(&mut service["Spec"]);
        let path = format!("/services/{}/update?version={}", self.name, service["Version"]["Index"]);
        self.engine.does(&path, &service["Spec"]).await;
    }

    /// The tasks that are to run.
    pub async fn tasks(&self) -> Vec<Value> {
        let filters = json!({ "service": [self.name], "desired-state": ["running"] }).to_string();
        let tasks = self.engine.says(&format!("/tasks?filters={}", in_query(&filters))).await;
        let mut tasks = tasks.as_array().unwrap().clone();
        tasks.sort_by_key(|task| task["Slot"].as_u64());
        tasks
    }

    /// As the fleet has them, with the task that is in each place.
    pub async fn instances(&self) -> Vec<(String, String)> {
        let name = |task: &Value| (format!("{}.{}", self.name, task["Slot"]), task["ID"].as_str().unwrap().to_owned());
        self.tasks().await.iter().map(name).collect()
    }

    /// Where each is asked.
    async fn addresses(&self) -> Vec<String> {
        let port = |task: &Value| task["Status"]["PortStatus"]["Ports"][0]["PublishedPort"].clone();
        self.tasks().await.iter().map(|task| format!("http://127.0.0.1:{}/", port(task))).collect()
    }

    async fn until_running(&self, count: u32) {
        looked_until(
            || self.tasks(),
            |all| all.iter().filter(|task| task["Status"]["State"] == "running").count() == count as usize,
        )
        .await;
    }

    /// What was lost of the requests that were sent while that was done.
    pub async fn lost_during<T>(&self, what: impl Future<Output = T>) -> (T, u64, u64) {
        self.load.lost_during(what).await
    }

    fn configure(&self, scene: &Scene) {
        let (traffic, register) = if scene.by_name { ("swarm", false) } else { ("haproxy", true) };
        let fleet =
            format!("kind = \"swarm\"\nservice = \"{}\"\nreach = \"published\"\nregister = {register}\n", self.name);
        Around { service: &self.service, engine: &self.engine, haproxy: &self.haproxy, halt: &self.halt }.configure(
            traffic,
            "unmeasured = \"10s\"\n",
            &fleet,
        );
    }

    /// The service runs, and can be asked.
    pub async fn served(&self) -> Operator<'_> {
        let serving = self.service.start_ready();
        self.discord.until_registered("scale").await;
        let name = self.name.clone();
        Operator::new(&self.service, &self.discord, move || format!("service {name}"), serving)
    }
}

impl Drop for Swarmed {
    /// The service goes, however the scene ended.
    fn drop(&mut self) {
        let gone = Command::new("curl")
            .args(["--silent", "--fail", "--request", "DELETE", "--unix-socket"])
            .arg(&self.engine.socket)
            .arg(format!("http://localhost/services/{}", self.name))
            .output();
        if !gone.is_ok_and(|gone| gone.status.success()) {
            println!("service {} may still be there", self.name);
        }
    }
}
