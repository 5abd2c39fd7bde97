//! What the tests of the HTTP adapters share: servers on this machine, a clock that is turned by hand, and a fleet that
//! is whatever the test says it is.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use futures::future::BoxFuture;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{
    Declared, DisruptionBudget, Fleet, FleetState, Headroom, Instance, InstanceState, OrderAnswer, PortError,
    Precondition, RemoveOrder, ScaleOrder, Steering, World,
};
use scalebot_commands::units::{InstanceId, Replicas, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server on this machine; it ends with this value.
pub(crate) struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves what the router says.
    pub(crate) async fn start(router: Router) -> Self {
        let (listener, address) = bound().await;
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, task }
    }

    /// Answers every connection with these bytes, whatever was asked, and closes it.
    pub(crate) async fn raw(answer: &'static [u8]) -> Self {
        let (listener, address) = bound().await;
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4096];
                let _ = stream.read(&mut asked).await;
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { address, task }
    }

    /// Takes connections and never answers.
    pub(crate) async fn silent() -> Self {
        let (listener, address) = bound().await;
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { address, task }
    }

    /// Its host and port.
    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn bound() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address at which nothing answers.
pub(crate) async fn nobody() -> String {
    let (listener, address) = bound().await;
    drop(listener);
    address.to_string()
}

/// A ready instance at that address.
pub(crate) fn instance(id: &str, address: &str) -> Instance {
    Instance {
        id: InstanceId::new(id),
        address: Some(address.to_owned()),
        started_at: epoch(),
        state: InstanceState::Ready,
        detail: None,
        restarts: 0,
    }
}

/// The moment at which a [`ManualWorld`] begins.
pub(crate) fn epoch() -> Timestamp {
    "2026-01-08T03:00:00Z".parse().unwrap()
}

/// A clock that stands still until the test turns it.
pub(crate) struct ManualWorld {
    wall: Mutex<Timestamp>,
    turned: watch::Sender<Duration>,
    sleeps: watch::Sender<Vec<Duration>>,
}

impl ManualWorld {
    pub(crate) fn new() -> Self {
        Self { wall: Mutex::new(epoch()), turned: watch::Sender::new(Duration::ZERO), sleeps: watch::Sender::default() }
    }

    /// Lets time pass, on both clocks.
    pub(crate) fn advance(&self, length: Duration) {
        *self.wall.lock().unwrap() += length;
        self.turned.send_modify(|now| *now += length);
    }

    /// Returns once a sleep of that length was begun so many times.
    pub(crate) async fn slept(&self, length: Duration, times: usize) {
        let enough = |sleeps: &Vec<Duration>| sleeps.iter().filter(|slept| **slept == length).count() >= times;
        self.sleeps.subscribe().wait_for(enough).await.unwrap();
    }
}

impl World for ManualWorld {
    fn now(&self) -> Timestamp {
        *self.wall.lock().unwrap()
    }

    fn monotonic(&self) -> Duration {
        *self.turned.borrow()
    }

    fn sleep(&self, length: Duration) -> BoxFuture<'static, ()> {
        let mut turned = self.turned.subscribe();
        let until = *turned.borrow() + length;
        self.sleeps.send_modify(|sleeps| sleeps.push(length));
        Box::pin(async move {
            // An error means that the world is gone; nobody waits for that.
            let _ = turned.wait_for(|now| *now >= until).await;
        })
    }

    fn unique_id(&self) -> String {
        "id".into()
    }

    fn random(&self) -> u64 {
        4
    }
}

/// A fleet that is what the test says it is, and cannot be scaled.
pub(crate) struct Crew(Mutex<Result<Vec<Instance>, PortError>>);

impl Crew {
    pub(crate) fn of(instances: impl IntoIterator<Item = Instance>) -> Self {
        Self(Mutex::new(Ok(instances.into_iter().collect())))
    }

    pub(crate) fn becomes(&self, instances: Result<Vec<Instance>, PortError>) {
        *self.0.lock().unwrap() = instances;
    }
}

#[async_trait]
impl Fleet for Crew {
    async fn observe(&self) -> Result<FleetState, PortError> {
        let instances = self.0.lock().unwrap().clone()?;
        Ok(FleetState {
            identity: "crew".into(),
            wanted: Replicas(u32::try_from(instances.len()).unwrap()),
            generation: 1,
            version: "1".into(),
            changed_by: None,
            changed_at: None,
            instances,
        })
    }

    async fn scale(&self, _: &ScaleOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "this fleet is only looked at".into() })
    }

    async fn remove(&self, _: &RemoveOrder, _: Fence<'_>) -> Result<OrderAnswer, PortError> {
        Ok(OrderAnswer::Refused { detail: "this fleet is only looked at".into() })
    }

    async fn logs(&self, _: &InstanceId, _: usize) -> Result<String, PortError> {
        Ok(String::new())
    }

    async fn disruptions_allowed(&self) -> Result<Option<DisruptionBudget>, PortError> {
        Ok(None)
    }

    async fn headroom(&self, _: Replicas) -> Result<Headroom, PortError> {
        Ok(Headroom { fits: Replicas(0), runs_out: None, source: self.describe() })
    }

    fn precondition(&self) -> Precondition {
        Precondition::Enforced
    }

    async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        Ok(Vec::new())
    }

    async fn declared(&self) -> Result<Option<Declared>, PortError> {
        Ok(None)
    }

    fn describe(&self) -> String {
        "the crew".into()
    }
}
