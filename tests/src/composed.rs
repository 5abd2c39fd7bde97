//! A fleet that is a service of a Docker Compose project, on the real engine that `./tests/run engine` starts: containers of
//! the program that plays the backend's instances, a real HAProxy before them, PostgreSQL and Redis as sources of truth.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::discord::Discord;
use crate::operator::Operator;
use crate::run::{PATIENCE, Service};
use crate::services::haproxy::{BACKEND, Haproxy};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::surrounded::{SECRETS, halt_sources};

/// The image that the engine has.
const IMAGE: &str = "conclave:test";

/// How many requests a second there are.
const LOAD: u64 = 8;

/// The engine that was started for the tests.
pub struct Engine {
    client: reqwest::Client,
    /// Its socket.
    pub socket: PathBuf,
}

impl Engine {
    /// The one that there is.
    ///
    /// # Panics
    /// Where none was started.
    pub fn started() -> Self {
        let socket = std::env::var_os("SCALEBOT_TEST_DOCKER").expect("an engine was started (./tests/run engine)");
        let socket = PathBuf::from(socket);
        let client = reqwest::Client::builder().unix_socket(socket.clone()).timeout(PATIENCE).build().unwrap();
        Self { client, socket }
    }

    /// What it answers.
    pub async fn says(&self, path: &str) -> Value {
        let answer = self.client.get(format!("http://localhost{path}")).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Tells it to do something.
    pub async fn does(&self, path: &str, body: &Value) -> Value {
        let answer = self.client.post(format!("http://localhost{path}")).json(body).send().await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{path}: {said}");
        serde_json::from_str(&said).unwrap_or(Value::Null)
    }
}

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
    load: Arc<Load>,
    loading: JoinHandle<()>,
    folder: TempDir,
    haproxy: Haproxy,
    halt: (Postgres, Redis),
}

#[derive(Default)]
struct Load {
    /// To whom requests are sent, one after the other.
    fronts: Mutex<Vec<String>>,
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Load {
    fn to(&self, fronts: Vec<String>) {
        *self.fronts.lock().unwrap() = fronts;
    }
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
        let load = Arc::new(Load::default());
        load.to(vec![haproxy.url()]);
        let loading = tokio::spawn(loads(Arc::clone(&load)));
        let project = format!("conclave{:08x}", fastrand::u32(..));
        let composed = Self { service, discord, project, engine, load, loading, folder, haproxy, halt };
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
        let mut query = String::new();
        for byte in filters.bytes() {
            write!(query, "%{byte:02X}").unwrap();
        }
        let all = self.engine.says(&format!("/containers/json?all=1&filters={query}")).await;
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
        let mut last = Vec::new();
        // The engine's own health checks come once a second.
        for _ in 0..PATIENCE.as_secs() * 4 {
            last = self.containers().await;
            let healthy = last.iter().filter(|one| one["Status"].as_str().unwrap().contains("(healthy)"));
            if healthy.count() == count as usize {
                return;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("they do not become healthy: {last:#?}");
    }

    /// What was lost of the requests that were sent while that was done.
    pub async fn lost_during<T>(&self, what: impl Future<Output = T>) -> (T, u64, u64) {
        let count = || (self.load.sent.load(Ordering::SeqCst), self.load.lost.load(Ordering::SeqCst));
        let (sent, lost) = count();
        let done = what.await;
        let (sent_then, lost_then) = count();
        (done, sent_then - sent, lost_then - lost)
    }

    fn configure(&self, scene: &Scene) {
        let fleet = scene.fleet;
        // With it, nobody counts the last requests.
        let (traffic, register, unmeasured) =
            if scene.by_name { ("compose", false, "unmeasured = \"2s\"\n") } else { ("haproxy", true, "") };
        let usual = std::fs::read_to_string(self.service.config()).unwrap();
        let chat = &usual[usual.find("[discord]").expect("its section")..];
        let [for_postgres, for_redis, _] = SECRETS;
        let (postgres, redis) = &self.halt;
        let text = format!(
            "default_target = \"api\"\n[state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{listen}\"\n\
             [log]\nformat = \"json\"\n\
             [policy.time]\nguard = \"2s\"\nlook = \"20s\"\nround = \"40s\"\nready_within = \"2m\"\n\
             [policy.count]\ncool_down = \"0s\"\nmaximum = 500\nlargest_step = \"1000%\"\n\
             [policy.load]\nmemory_limit = \"512MiB\"\nsustained = \"10s\"\np99 = \"20s\"\nbusy = \"100%\"\ncpu = \"100%\"\n\
             [policy.drain]\nexit = \"90s\"\n{unmeasured}\
             [policy.triggers]\nevery = \"1h\"\n\
             [targets.api]\nhalt.sources = [\"postgres\", \"redis\"]\ninstance_time_out = \"8s\"\ntraffic = \"{traffic}\"\n\
             [targets.api.backend]\npaths.work = \"/v1/operations\"\n\
             keys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
             [targets.api.fleet]\nkind = \"compose\"\nproject = \"{project}\"\nservice = \"api\"\nfiles = [\"{file}\"]\n\
             socket = \"unix:{socket}\"\nport = 8000\nregister = {register}\ntime_out = \"8s\"\n{fleet}\
             [targets.api.haproxy]\nsocket = \"unix:{haproxy}\"\nbackend = \"{BACKEND}\"\ntime_out = \"3s\"\n\
             added_with = \"check inter 500ms fall 2 rise 1\"\n\
             [targets.api.metrics]\nkind = \"scrape\"\nlimit = \"8s\"\nround = \"8s\"\n\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\n\
             time_out = \"8s\"\n[targets.api.postgres.halt]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\n\
             time_out = \"8s\"\n[targets.api.redis.halt]\n{chat}",
            state = self.service.state().display(),
            listen = self.service.listen,
            project = self.project,
            file = self.file().display(),
            socket = self.engine.socket.display(),
            haproxy = self.haproxy.socket().display(),
            database = postgres.address(),
            cache = redis.address(),
        );
        std::fs::write(self.service.config(), text).unwrap();
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
        self.loading.abort();
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

/// Requests for work.
async fn loads(load: Arc<Load>) {
    let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let mut ticks = tokio::time::interval(Duration::from_millis(1_000 / LOAD));
    for number in 0_u64.. {
        ticks.tick().await;
        let (client, load) = (client.clone(), Arc::clone(&load));
        let url = {
            let fronts = load.fronts.lock().unwrap();
            let front = &fronts[usize::try_from(number).unwrap() % fronts.len()];
            format!("{front}v1/petitions/{number}")
        };
        tokio::spawn(async move {
            let answered = client.get(url).send().await.is_ok_and(|answer| answer.status().is_success());
            load.sent.fetch_add(1, Ordering::SeqCst);
            if !answered {
                load.lost.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
}
