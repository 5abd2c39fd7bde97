//! The real Docker engine that `./tests/run engine` starts, what sends the containers on it requests, and what the service is
//! told of everything around them.

use std::fmt::{Debug, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinHandle;

use crate::run::{PATIENCE, Service};
use crate::services::haproxy::{BACKEND, Haproxy};
use crate::services::postgres::Postgres;
use crate::services::redis::Redis;
use crate::surrounded::SECRETS;

/// The image that the engine has.
pub const IMAGE: &str = "conclave:test";

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

/// Looks again and again, since an engine tells of nobody's health, until it is as wanted.
///
/// # Panics
/// When that does not come.
pub async fn looked_until<T: Debug, L: Future<Output = T>>(look: impl Fn() -> L, is_wanted: impl Fn(&T) -> bool) -> T {
    let mut last = look().await;
    for _ in 0..PATIENCE.as_secs() * 4 {
        if is_wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        last = look().await;
    }
    panic!("it does not come: {last:#?}");
}

/// Requests for work, again and again.
pub struct Load {
    counted: Arc<Counted>,
    sending: JoinHandle<()>,
}

#[derive(Default)]
struct Counted {
    /// To whom requests are sent, one after the other.
    fronts: Mutex<Vec<String>>,
    sent: AtomicU64,
    lost: AtomicU64,
}

impl Load {
    /// It begins, to these.
    pub fn to_fronts(fronts: Vec<String>) -> Self {
        let counted = Arc::new(Counted { fronts: Mutex::new(fronts), ..Counted::default() });
        let sending = tokio::spawn(loads(Arc::clone(&counted)));
        Self { counted, sending }
    }

    /// It goes on to others.
    ///
    /// # Panics
    /// When a request panicked.
    pub fn to(&self, fronts: Vec<String>) {
        *self.counted.fronts.lock().unwrap() = fronts;
    }

    /// What was lost of the requests that were sent while that was done.
    pub async fn lost_during<T>(&self, what: impl Future<Output = T>) -> (T, u64, u64) {
        let count = || (self.counted.sent.load(Ordering::SeqCst), self.counted.lost.load(Ordering::SeqCst));
        let (sent, lost) = count();
        let done = what.await;
        let (sent_then, lost_then) = count();
        (done, sent_then - sent, lost_then - lost)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.sending.abort();
    }
}

/// What the service is told of.
pub struct Around<'a> {
    /// The service.
    pub service: &'a Service,
    /// Where its fleet runs.
    pub engine: &'a Engine,
    /// What is before it.
    pub haproxy: &'a Haproxy,
    /// The sources of truth about the halt.
    pub halt: &'a (Postgres, Redis),
}

impl Around<'_> {
    /// Writes the service's configuration. `drain` is more of that section, `fleet` what only this fleet has.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn configure(&self, traffic: &str, drain: &str, fleet: &str) {
        let usual = std::fs::read_to_string(self.service.config()).unwrap();
        let chat = &usual[usual.find("[discord]").expect("its section")..];
        let [for_postgres, for_redis, _] = SECRETS;
        let (postgres, redis) = self.halt;
        let text = format!(
            "default_target = \"api\"\n[state]\ndirectory = \"{state}\"\n[http]\nlisten = \"{listen}\"\n\
             [log]\nformat = \"json\"\n\
             [policy.time]\nguard = \"2s\"\nlook = \"20s\"\nround = \"40s\"\nready_within = \"2m\"\n\
             [policy.count]\ncool_down = \"0s\"\nmaximum = 500\nlargest_step = \"1000%\"\n\
             [policy.load]\nmemory_limit = \"512MiB\"\nsustained = \"10s\"\np99 = \"20s\"\nbusy = \"100%\"\ncpu = \"100%\"\n\
             [policy.drain]\nexit = \"90s\"\n{drain}\
             [policy.triggers]\nevery = \"1h\"\n\
             [targets.api]\nhalt.sources = [\"postgres\", \"redis\"]\ninstance_time_out = \"8s\"\ntraffic = \"{traffic}\"\n\
             [targets.api.backend]\npaths.work = \"/v1/operations\"\n\
             keys = {{ path = {{ path = \"/v1/keys/status\", field = \"reachable\" }} }}\n\
             [targets.api.fleet]\nsocket = \"unix:{socket}\"\ntime_out = \"8s\"\n{fleet}\
             [targets.api.haproxy]\nsocket = \"unix:{haproxy}\"\nbackend = \"{BACKEND}\"\ntime_out = \"3s\"\n\
             added_with = \"check inter 500ms fall 2 rise 1\"\n\
             [targets.api.metrics]\nkind = \"scrape\"\nlimit = \"8s\"\nround = \"8s\"\n\
             [targets.api.postgres]\nurl = \"postgres://scalebot:{for_postgres}@{database}/postgres\"\n\
             time_out = \"8s\"\n[targets.api.postgres.halt]\n\
             [targets.api.redis]\nurl = \"redis://scalebot@{cache}\"\npassword = \"{for_redis}\"\n\
             time_out = \"8s\"\n[targets.api.redis.halt]\n{chat}",
            state = self.service.state().display(),
            listen = self.service.listen,
            socket = self.engine.socket.display(),
            haproxy = self.haproxy.socket().display(),
            database = postgres.address(),
            cache = redis.address(),
        );
        std::fs::write(self.service.config(), text).unwrap();
    }
}

/// A text as a value in a query.
///
/// # Panics
/// Never: a string takes what is written to it.
pub fn in_query(text: &str) -> String {
    let mut query = String::new();
    for byte in text.bytes() {
        write!(query, "%{byte:02X}").unwrap();
    }
    query
}

/// Requests for work.
async fn loads(load: Arc<Counted>) {
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
