//! A double of Discord: its REST API and its gateway in version 10, over real HTTP and websocket on 127.0.0.1. It
//! refuses what Discord refuses, forgets what Discord forgets, and a test can act in it as people do, see what they see,
//! and make it fail.
//!
//! What a bot does there and should not is gathered: requests that Discord's own description does not know, requests
//! before the time that a 429 named, files that are shown and not there. A double that still holds such violations when
//! it is dropped fails its test; `violations` takes them.
//!
//! Not there: Components V2, polls, stickers, embeds of links, voice, the compression of the gateway, shards beyond the
//! first, application commands outside the server.

mod asked;
mod body;
mod buckets;
mod clock;
pub mod controls;
mod draft;
mod gateway;
mod happenings;
mod id;
pub mod limits;
mod naming;
mod openapi;
pub mod permissions;
pub mod person;
pub mod record;
mod refusal;
mod rest;
pub mod scene;
mod server;
mod shape;
mod view;
mod world;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::oneshot;

use crate::secrets;

pub use asked::{Answer, Asked};
pub use body::File;
pub use buckets::{GLOBAL, INVALID_REQUESTS};
pub use controls::{Away, Failure};
pub use gateway::intents::{self, Intents};
pub use gateway::{IDENTIFIES_A_DAY, Identify, RESUMABLE};
pub use id::Snowflake;
pub use openapi::is_validated;
pub use person::Person;
pub use record::Request;
pub use scene::Scene;
pub use view::{ChannelView, Seen, SeenFile};
pub use world::{ACKNOWLEDGE_WITHIN, NONCE_WINDOW, Revision, TOKEN_LIFE, Whence};

use server::Shared;

/// A running double. It has a thread and a runtime of its own, so that nothing a test does to its own runtime (blocking
/// it, pausing its clock) touches it.
pub struct Discord {
    pub(crate) shared: Arc<Shared>,
    address: String,
    end: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Discord {
    /// Starts the double with this scene.
    ///
    /// # Panics
    /// Where no socket can be had.
    pub fn start(scene: Scene) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket on this machine");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let address = format!("http://{}", listener.local_addr().expect("the socket's address"));
        let shared = Arc::new(Shared::new(scene.build(address.clone())));
        let (end, ended) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("discord".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                tokio::select! {
                    () = server::serve(served, listener) => {}
                    _ = ended => {}
                }
            });
        });
        Self { shared, address, end: Some(end), thread: Some(thread.expect("a thread")) }
    }

    /// Starts the double with the server that the tests share.
    ///
    /// # Panics
    /// As `start`.
    pub fn ready_made() -> Self {
        Self::start(Scene::ready_made())
    }

    /// Where it listens: `http://127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The base of its API: `http://127.0.0.1:PORT/api/v10`.
    pub fn api_base(&self) -> String {
        format!("{}/api/v10", self.address)
    }

    /// The bot's token; after a reset one that nobody is told.
    pub fn token(&self) -> String {
        self.shared.look(|world| world.application.token.clone()).unwrap_or_default()
    }

    /// How long every wait lasts at most; 20 s otherwise.
    pub fn patience(&self, patience: Duration) {
        *self.shared.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    /// Sets the double's clock forward: tokens die, nonces are forgotten, buckets fill.
    pub fn advance(&self, by: Duration) {
        self.shared.change(|world| world.clock.advance(by));
    }

    /// The server's identifier.
    pub fn guild(&self) -> Snowflake {
        self.shared.look(|world| world.guild.id)
    }

    /// The application's identifier.
    pub fn application(&self) -> Snowflake {
        self.shared.look(|world| world.application.id)
    }

    /// The bot's own user.
    pub fn bot(&self) -> Snowflake {
        self.shared.look(|world| world.application.bot)
    }

    /// The role of this name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn role(&self, name: &str) -> Snowflake {
        self.shared.look(|world| scene::role_named(world, name))
    }

    /// The user of this name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn user(&self, name: &str) -> Snowflake {
        self.shared.look(|world| scene::user_named(world, name))
    }

    /// The channel of this name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn channel_id(&self, name: &str) -> Snowflake {
        self.shared.look(|world| scene::channel_named(world, name))
    }

    /// The person of this name, in `ops`.
    ///
    /// # Panics
    /// Where there is none.
    pub fn person(&self, name: &str) -> Person {
        Person::new(Arc::clone(&self.shared), self.user(name))
    }

    /// What is to be seen in the channel of this name.
    ///
    /// # Panics
    /// Where there is none.
    pub fn channel(&self, name: &str) -> ChannelView {
        ChannelView { shared: Arc::clone(&self.shared), id: self.channel_id(name) }
    }

    /// The commands that are registered in the server, as Discord gives them back.
    pub fn commands(&self) -> Vec<Value> {
        self.shared.look(|world| world.commands.values().cloned().collect())
    }

    /// Waits until a command of this name is registered.
    ///
    /// # Panics
    /// Where that does not happen in time.
    pub async fn until_registered(&self, name: &str) -> Value {
        let registered = |world: &world::World| world.commands.values().find(|one| one["name"] == name).cloned();
        self.shared.until(&format!("/{name} to be registered"), registered).await
    }

    /// Every request so far, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.look(|world| world.record.requests.clone())
    }

    /// Waits for a request that is as asked, the first such.
    ///
    /// # Panics
    /// Where none comes in time.
    pub async fn request_where(&self, is: impl Fn(&Request) -> bool) -> Request {
        let all = |world: &world::World| world.record.requests.clone();
        self.shared.until_chosen("a request as asked for", all, |all| all.into_iter().find(|one| is(one))).await
    }

    /// What happened lately, in words.
    pub fn transcript(&self) -> String {
        self.shared.look(world::World::transcript)
    }

    /// What a bot did and should not have done, and where request or answer do not fit Discord's own description. They
    /// are taken: the next call tells what is new.
    pub fn violations(&self) -> Vec<String> {
        let unchecked = self.shared.change(|world| {
            let record = &mut world.record;
            let from = std::mem::replace(&mut record.checked, record.requests.len());
            record.requests[from..].to_vec()
        });
        let mut all = self.shared.change(|world| std::mem::take(&mut world.record.violations));
        all.extend(unchecked.iter().flat_map(openapi::mismatches));
        let leaks = unchecked.iter().filter(|one| one.says(secrets::PLANTED));
        all.extend(leaks.map(|one| format!("{one} says a secret: {}", one.body)));
        all
    }
}

impl Drop for Discord {
    fn drop(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        if !std::thread::panicking() {
            let violations = self.violations();
            assert!(violations.is_empty(), "what a bot should not do:\n{}", violations.join("\n"));
        }
    }
}
