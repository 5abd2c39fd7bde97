//! A double of a Kubernetes cluster: an API server over HTTPS that refuses what the real one refuses, with the
//! controllers, the scheduler and the kubelets behind it.
//!
//! It runs on a thread of its own, so that nothing a test does to its runtime touches it. Pods are played as a test has
//! them, or are real instances of the rehearsal's world. In one thing it differs from a real cluster: pods have
//! addresses of the loopback network, which the real API server would not take into an `EndpointSlice`.

mod admission;
mod api;
mod clock;
mod controllers;
mod failure;
mod hands;
mod kubelet;
mod managed;
mod merge;
mod quantity;
mod rbac;
mod resource;
mod selector;
mod server;
mod setup;
mod state;
mod store;
mod types;
mod world;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

pub use self::hands::Said;
pub use self::kubelet::Fate;
pub use self::setup::{Machines, Node, Real, Setup};
pub use self::state::Request;
use self::state::{Shared, State};
pub use self::types::reread;
use self::world::World;
use crate::secrets::{self, PLANTED};
use crate::services::certificates::Authority;

/// The namespace that every scene is in.
pub const NAMESPACE: &str = "conclave";

/// The workload of every scene, its Service and its container.
pub const NAME: &str = "api";

/// The token of who may do everything.
const ADMINISTRATOR: &str = "administrator";

/// A cluster.
pub struct Cluster {
    shared: Arc<Shared>,
    folder: TempDir,
    // Its certificate is read by whoever asks.
    authority: Authority,
    port: u16,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    // It ends last: until then its instances are behind the pods.
    world: Option<World>,
}

impl Cluster {
    /// Starts a cluster; it returns once the first pods are as they will be.
    ///
    /// # Panics
    /// Where no socket can be had, or the world does not begin.
    pub async fn start(setup: Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("k8s").tempdir().unwrap();
        let mut state = State::new();
        let world = match &setup.machines {
            Machines::Played => None,
            Machines::Real(real) => {
                let world = World::start(&folder.path().join("w"), setup.instances, real);
                state.pods.played = false;
                state.pods.real = Some(kubelet::Machine::new(world.directory()));
                Some(world)
            }
        };
        let authority = Authority::new();
        let tls = setup::tls(&authority.certifies("IP:127.0.0.1"));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let port = listener.local_addr().unwrap().port();
        state.tokens.insert(ADMINISTRATOR.to_owned(), setup::administrator());
        let shared = Shared::new(state);
        let (end, ended) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("kubernetes".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = server::serve(Arc::clone(&served), listener, tls) => {}
                    () = controllers::run(Arc::clone(&served)) => {}
                    () = kubelet::run(Arc::clone(&served)) => {}
                    _ = ended => {}
                }
            });
        });
        let thread = Some(thread.unwrap());
        let cluster = Self { shared, folder, authority, port, end: Some(end), thread, world };
        setup::furnish(&cluster, &setup);
        if setup.waits {
            cluster.until_ready(setup.instances).await;
        }
        cluster
    }

    /// Where its API is.
    pub fn address(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A kubeconfig file for that user: a token of its own, and the certificate to trust. `administrator` may do
    /// everything; any other name is the service account of that name in the scene's namespace (`NAMESPACE/NAME`: in
    /// another one), which may do what the applied roles say.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        let token = self.token(user);
        let file = self.folder.path().join(format!("{}.kubeconfig", user.replace('/', "-")));
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             clusters:\n- name: test\n  cluster: {{ server: \"{}\", certificate-authority: \"{}\" }}\n\
             users:\n- name: \"{user}\"\n  user: {{ token: \"{token}\" }}\n\
             contexts:\n- name: test\n  context: {{ cluster: test, user: \"{user}\", namespace: {NAMESPACE} }}\n",
            self.address(),
            self.authority.certificate().display(),
        );
        std::fs::write(&file, text).unwrap();
        file
    }

    /// The token of that user, named as for `kubeconfig`.
    pub fn token(&self, user: &str) -> String {
        if user == ADMINISTRATOR {
            return ADMINISTRATOR.to_owned();
        }
        let token = format!("{PLANTED}token-of-{user}");
        let (namespace, account) = user.split_once('/').unwrap_or((NAMESPACE, user));
        let name = format!("system:serviceaccount:{namespace}:{account}");
        self.shared.change(|state| {
            let account = rbac::User { name, may_do_all: false };
            state.tokens.insert(token.clone(), account);
        });
        token
    }

    /// The certificate of who signed the server's.
    pub fn authority(&self) -> PathBuf {
        self.authority.certificate()
    }

    /// The directory of the world behind the pods, where they are real.
    ///
    /// # Panics
    /// Where they are played.
    pub fn world(&self) -> &std::path::Path {
        self.world.as_ref().expect("the pods are real").directory()
    }

    /// How long every wait lasts at most; 60 s otherwise.
    pub fn patience(&self, patience: Duration) {
        self.shared.patience(patience);
    }

    /// Every request so far, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.look(|state| state.requests.clone())
    }

    /// What happened lately, in words.
    pub fn transcript(&self) -> String {
        self.shared.look(State::transcript)
    }

    /// The object of that kind and name, as it is now; null where there is none.
    ///
    /// # Panics
    /// Where there is no such kind.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let resource = resource::RESOURCES.iter().find(|one| one.kind == kind).expect("such a kind");
        let key = store::Key::new(resource, NAMESPACE, name);
        self.shared.look(|state| state.store.get(&key).cloned().unwrap_or_default())
    }

    /// All objects of that kind in the scene's namespace, or in none.
    ///
    /// # Panics
    /// Where there is no such kind.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let resource = resource::RESOURCES.iter().copied().find(|one| one.kind == kind).expect("such a kind");
        let namespace = if resource.namespaced { NAMESPACE } else { "" };
        self.shared.look(|state| state.store.within(resource, namespace))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        drop(self.world.take());
        if !std::thread::panicking() {
            let said = |one: &&Request| secrets::says_one(format!("{:?} {}", one.query, one.body));
            let leaks = self.requests().iter().filter(said).map(ToString::to_string).collect::<Vec<_>>();
            assert!(leaks.is_empty(), "a secret was sent in:\n{}", leaks.join("\n"));
        }
    }
}
