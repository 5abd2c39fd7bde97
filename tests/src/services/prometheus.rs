//! A private Prometheus, and small targets that it scrapes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use scalebot_commands::figures::Histogram;
use scalebot_commands::units::Timestamp;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::certificates::Certificate;
use super::{Launch, Running, give, on_free_port, program};

/// The job that scrapes the targets.
pub const JOB: &str = "archon72";

/// The password that one with credentials takes.
pub const PASSWORD: &str = "hidden-in-prometheus";

/// That password as Prometheus keeps it.
const BCRYPT: &str = "$2b$04$YHgBVp1lYxi/3d1e6o8XeeQkFilxdqDVe8Ydmi.ZznBLftRCzCf9.";

/// Whoever the Debian package brings.
const USER: &str = "prometheus";

/// A Prometheus that scrapes its targets every second.
#[derive(Debug)]
pub struct Prometheus {
    folder: TempDir,
    port: u16,
    server: Option<Running>,
}

impl Prometheus {
    /// Starts one that scrapes these.
    pub fn scraping(targets: &[&Target]) -> Self {
        Self::build(targets, &[JOB], "")
    }

    /// Starts one that scrapes each of them by two jobs.
    pub fn scraping_twice(targets: &[&Target]) -> Self {
        Self::build(targets, &[JOB, "another"], "")
    }

    /// Starts one that answers only the user `scalebot` with the [`PASSWORD`].
    pub fn with_credentials(targets: &[&Target]) -> Self {
        Self::build(targets, &[JOB], &format!("basic_auth_users:\n  scalebot: {BCRYPT}\n"))
    }

    /// Starts one that takes encrypted connections only.
    pub fn with_certificate(targets: &[&Target], certificate: &Certificate) -> Self {
        let folder = TempDir::new().unwrap();
        let copied = certificate.copied_to(folder.path());
        let (certificate, key) = (copied.certificate.display(), copied.key.display());
        let web = format!("tls_server_config:\n  cert_file: {certificate}\n  key_file: {key}\n");
        Self::within(folder, targets, &[JOB], &web)
    }

    fn build(targets: &[&Target], jobs: &[&str], web: &str) -> Self {
        Self::within(TempDir::new().unwrap(), targets, jobs, web)
    }

    fn within(folder: TempDir, targets: &[&Target], jobs: &[&str], web: &str) -> Self {
        let file = |name: &str| folder.path().join(name);
        let scraped = file("targets.json");
        let job = |job: &&str| {
            format!(
                "- job_name: {job}\n  metrics_path: /v1/metrics\n  \
                 file_sd_configs: [{{ files: ['{}'], refresh_interval: 1s }}]\n",
                scraped.display()
            )
        };
        let jobs: String = jobs.iter().map(job).collect();
        let text = format!("global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\nscrape_configs:\n{jobs}");
        std::fs::write(file("prometheus.yml"), text).unwrap();
        std::fs::write(file("web.yml"), web).unwrap();
        let mut prometheus = Self { folder, port: 0, server: None };
        prometheus.scrapes(targets);
        give(prometheus.folder.path(), USER);
        let (port, server) =
            on_free_port("Prometheus", |port| prometheus.launch(port).start().map(|server| (port, server)));
        (prometheus.port, prometheus.server) = (port, Some(server));
        prometheus
    }

    /// Scrapes these from now on.
    pub fn scrapes(&self, targets: &[&Target]) {
        let addresses: Vec<String> = targets.iter().map(|target| target.address().to_string()).collect();
        let text = serde_json::json!([{ "targets": addresses }]).to_string();
        // Never half a file: it is read whenever it changes.
        let (new, file) = (self.folder.path().join("targets.new"), self.folder.path().join("targets.json"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// The file by which it finds whom to scrape.
    pub fn scraped(&self) -> std::path::PathBuf {
        self.folder.path().join("targets.json")
    }

    fn launch(&self, port: u16) -> Launch {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let arguments = [
            format!("--config.file={}", file("prometheus.yml")),
            format!("--web.config.file={}", file("web.yml")),
            format!("--storage.tsdb.path={}", file("data")),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ];
        Launch {
            program: program("prometheus", "prometheus", &[]),
            arguments: arguments.map(Into::into).into(),
            ended_by: "KILL",
            says: Some("Server is ready to receive web requests"),
            listens: SocketAddr::from(([127, 0, 0, 1], port)),
            user: Some(USER),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its process, to be stopped and continued.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn server(&self) -> &Running {
        self.server.as_ref().expect("it was stopped")
    }

    /// Ends it, keeping what it has scraped.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end_by("TERM");
        }
    }

    /// Starts it again where it was, with what it has scraped.
    pub fn start_again(&mut self) {
        self.stop();
        self.server = Some(self.launch(self.port).start().unwrap_or_else(|why| panic!("Prometheus: {why}")));
    }
}

/// An instance of the backend as Prometheus sees it: figures that the test makes up.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    process: Arc<Mutex<Process>>,
    task: JoinHandle<()>,
}

/// What a process has counted since it started.
#[derive(Debug)]
struct Process {
    started: f64,
    by_status: BTreeMap<u16, u64>,
    latency: Histogram,
    scraped: u64,
    /// What it answers instead of figures.
    fails: Option<StatusCode>,
    /// A value of its counters that can be none.
    odd: Option<&'static str>,
}

impl Process {
    fn started_now() -> Self {
        Self {
            started: Timestamp::now().as_millisecond() as f64 / 1_000.0,
            by_status: BTreeMap::new(),
            latency: Histogram::empty(&scalebot_commands::figures::BACKEND_BOUNDS_MS),
            scraped: 0,
            fails: None,
            odd: None,
        }
    }

    /// Its page, as the backend gives it, with a probe's requests among them.
    fn page(&self) -> String {
        let labels = |endpoint: &str| format!("service=\"api\",method=\"GET\",endpoint=\"{endpoint}\"");
        let mut page = format!(
            "# TYPE http_requests_total counter\n# TYPE http_request_duration_seconds histogram\n\
             process_start_time_seconds {}\nprocess_cpu_seconds_total {}\nprocess_resident_memory_bytes 5.24288e+07\n\
             http_requests_total{{{},status=\"503\"}} {}\n",
            self.started,
            self.scraped as f64 * 0.25,
            labels("/v1/ready"),
            1_000 + self.scraped,
        );
        let mut histogram = |endpoint: &str, latency: &Histogram| {
            let (labels, mut below) = (labels(endpoint), 0);
            for (at, count) in latency.counts.iter().enumerate() {
                below += count;
                let le = latency.bounds_ms.get(at).map_or("+Inf".to_owned(), |bound| (bound / 1_000.0).to_string());
                page += &format!("http_request_duration_seconds_bucket{{{labels},le=\"{le}\"}} {below}\n");
            }
            page += &format!("http_request_duration_seconds_sum{{{labels}}} {}\n", latency.sum_ms / 1_000.0);
        };
        let mut probed = Histogram::empty(&self.latency.bounds_ms);
        probed.record(1.0);
        histogram("/v1/ready", &probed);
        if self.latency.total() > 0 {
            histogram("/v1/events/7", &self.latency);
        }
        for (status, count) in &self.by_status {
            let count = self.odd.map_or(count.to_string(), str::to_owned);
            page += &format!("http_requests_total{{{},status=\"{status}\"}} {count}\n", labels("/v1/events/7"));
        }
        page
    }
}

impl Target {
    /// Starts one that has served nobody yet.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let process = Arc::new(Mutex::new(Process::started_now()));
        let router = Router::new().route("/v1/metrics", get(page)).with_state(process.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, process, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Counts so many requests, each answered with that status after so many milliseconds.
    pub fn serves(&self, requests: u64, status: u16, latency_ms: f64) {
        let mut process = self.process.lock().unwrap();
        *process.by_status.entry(status).or_default() += requests;
        for _ in 0..requests {
            process.latency.record(latency_ms);
        }
    }

    /// Counts from nothing again, as a new process does.
    pub fn restarts(&self) {
        *self.process.lock().unwrap() = Process::started_now();
    }

    /// Answers with that status instead of figures from now on; `None` for figures again.
    pub fn fails(&self, status: Option<StatusCode>) {
        self.process.lock().unwrap().fails = status;
    }

    /// Gives that for every count from now on.
    pub fn is_odd(&self, value: Option<&'static str>) {
        self.process.lock().unwrap().odd = value;
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn page(State(process): State<Arc<Mutex<Process>>>) -> (StatusCode, String) {
    let mut process = process.lock().unwrap();
    process.scraped += 1;
    match process.fails {
        Some(status) => (status, String::new()),
        None => (StatusCode::OK, process.page()),
    }
}
