//! A private HAProxy, and small backends behind it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::{Launch, Running, free_port, on_free_port, program};

/// The backend that every one has.
pub const BACKEND: &str = "conclave";

/// An HAProxy before some servers.
#[derive(Debug)]
pub struct Haproxy {
    folder: TempDir,
    api: u16,
    front: u16,
    level: &'static str,
    backends: String,
    server: Option<Running>,
}

impl Haproxy {
    /// Starts one whose backend has these lines, as `server api-1 127.0.0.1:8000`.
    pub fn before(lines: &[String]) -> Self {
        Self::build("admin", lines)
    }

    /// Starts one whose runtime API over TCP may do no more than that.
    pub fn with_level(level: &'static str, lines: &[String]) -> Self {
        Self::build(level, lines)
    }

    fn build(level: &'static str, lines: &[String]) -> Self {
        let backends = format!("backend {BACKEND}\n  balance roundrobin\n  {}\n", lines.join("\n  "));
        let folder = TempDir::new().unwrap();
        let mut haproxy = Self { folder, api: 0, front: 0, level, backends, server: None };
        let (api, front, server) = on_free_port("HAProxy", |api| {
            let front = free_port();
            haproxy.launch(api, front).start().map(|server| (api, front, server))
        });
        (haproxy.api, haproxy.front, haproxy.server) = (api, front, Some(server));
        haproxy
    }

    fn launch(&self, api: u16, front: u16) -> Launch {
        let (level, backends, socket) = (self.level, &self.backends, self.socket());
        let file = self.folder.path().join("haproxy.cfg");
        let text = format!(
            "global\n  stats socket {socket} mode 600 level admin\n  \
             stats socket ipv4@127.0.0.1:{api} level {level}\n\
             defaults\n  mode http\n  timeout connect 5s\n  timeout client 1m\n  timeout server 1m\n\
             frontend front\n  bind 127.0.0.1:{front}\n  default_backend {BACKEND}\n{backends}",
            socket = socket.display(),
        );
        std::fs::write(&file, text).unwrap();
        Launch {
            program: program("haproxy", "haproxy", &[]),
            arguments: vec!["-db".into(), "-f".into(), file.into()],
            ended_by: "TERM",
            says: None,
            listens: SocketAddr::from(([127, 0, 0, 1], front)),
            user: None,
        }
    }

    /// The Unix socket of its runtime API, on which everything may be done.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    /// Its runtime API over TCP.
    pub fn api(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.api))
    }

    /// The names of the servers that it sends requests to, in order.
    pub fn servers_up(&self) -> Vec<String> {
        let mut stream = TcpStream::connect(self.api()).unwrap();
        stream.write_all(format!("show stat {BACKEND} 4 -1\n").as_bytes()).unwrap();
        let mut table = String::new();
        stream.read_to_string(&mut table).unwrap();
        let rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let up = rows.filter(|row| row.get(17).is_some_and(|status| status.starts_with("UP") || *status == "no check"));
        let mut names: Vec<String> = up.map(|row| row[1].to_owned()).collect();
        names.sort();
        names
    }

    /// Where it takes requests.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.front)
    }

    /// Its process, to be stopped and continued.
    ///
    /// # Panics
    /// When it was stopped.
    pub fn server(&self) -> &Running {
        self.server.as_ref().expect("it was stopped")
    }

    /// Ends it.
    pub fn stop(&mut self) {
        if let Some(server) = self.server.take() {
            server.end_by("TERM");
        }
    }

    /// Starts it again where it was, with nothing that it was told since.
    pub fn start_again(&mut self) {
        self.stop();
        self.server = Some(self.launch(self.api, self.front).start().unwrap_or_else(|why| panic!("HAProxy: {why}")));
    }
}

/// A backend that says its name, counts what it was asked, and can hold answers back.
#[derive(Debug)]
pub struct Backend {
    address: SocketAddr,
    door: Arc<Door>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Door {
    name: String,
    served: AtomicU64,
    inside: watch::Sender<u64>,
    open: Semaphore,
}

impl Backend {
    /// Starts one of that name, which answers at once.
    pub async fn start(name: &str) -> Self {
        let backend = Self::holding(name).await;
        backend.door.open.add_permits(Semaphore::MAX_PERMITS / 2);
        backend
    }

    /// Starts one that answers as often as it is let.
    pub async fn holding(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inside = watch::Sender::new(0);
        let door = Door { name: name.to_owned(), served: AtomicU64::new(0), inside, open: Semaphore::new(0) };
        let door = Arc::new(door);
        let router = Router::new().fallback(get(answer)).with_state(door.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, door, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The line of a backend that names it so.
    pub fn as_server(&self, name: &str) -> String {
        format!("server {name} {}", self.address)
    }

    /// How many requests have reached it.
    pub fn served(&self) -> u64 {
        self.door.served.load(Ordering::SeqCst)
    }

    /// Lets so many requests be answered.
    pub fn lets_go(&self, requests: usize) {
        self.door.open.add_permits(requests);
    }

    /// Returns once so many requests have reached it.
    ///
    /// # Panics
    /// When it has ended.
    pub async fn has(&self, requests: u64) {
        self.door.inside.subscribe().wait_for(|inside| *inside >= requests).await.unwrap();
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(door): State<Arc<Door>>) -> String {
    door.served.fetch_add(1, Ordering::SeqCst);
    door.inside.send_modify(|inside| *inside += 1);
    if let Ok(permit) = door.open.acquire().await {
        permit.forget();
    }
    door.name.clone()
}
