//! What the API, the controllers and the kubelet of the double share, and how each waits for the others.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use super::failure::Failure;
use super::kubelet::Pods;
use super::rbac::{Rbac, User};
use super::resource::{EVENTS, PODS};
use super::store::Store;

/// One request and what was answered.
#[derive(Clone, Debug)]
pub struct Request {
    /// When, by the cluster's clock.
    pub at: Timestamp,
    /// `GET`, `PATCH`, …
    pub method: String,
    /// The path, without what was asked for behind it.
    pub path: String,
    /// What was asked for behind the path.
    pub query: BTreeMap<String, String>,
    /// Who; empty for somebody unknown.
    pub user: String,
    /// The JSON that was sent; null where none was.
    pub body: Value,
    /// The answer's status; 0 where it was cut off.
    pub status: u16,
    /// The sentence of a refusal; empty otherwise.
    pub refusal: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} -> {} {}", self.user, self.method, self.path, self.status, self.refusal)
    }
}

/// Everything of a cluster but its connections.
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) rbac: Rbac,
    pub(crate) tokens: BTreeMap<String, User>,
    pub(crate) requests: Vec<Request>,
    /// Whether somebody has installed KEDA.
    pub(crate) has_keda: bool,
    /// What the server answers next instead of an answer, by a part of the path.
    pub(crate) instead: VecDeque<(String, Failure)>,
    /// Of which requests the next answer is lost, though what they ask for is done.
    pub(crate) lost: Vec<String>,
    /// Of which requests the next answer does not come.
    pub(crate) withheld: Vec<String>,
    /// What a colleague's count becomes in the very moment before the next change with this in its path is done.
    pub(crate) overtaken: Vec<(String, u32)>,
    /// How many connections found nobody.
    pub(crate) turned_away: u64,
    /// What stands still: the names of controllers.
    pub(crate) held: BTreeSet<&'static str>,
    /// The counts that autoscalers find needed, by namespace and name; within their bounds where they find none.
    pub(crate) needed: BTreeMap<String, u32>,
    pub(crate) policies: super::admission::Policies,
    pub(crate) pods: Pods,
    /// How often every watch was given a bookmark.
    pub(crate) bookmarks: u64,
    /// How often every watch was ended as too old.
    pub(crate) expiries: u64,
}

impl State {
    pub(crate) fn new() -> Self {
        Self {
            store: Store::new(),
            rbac: Rbac::default(),
            tokens: BTreeMap::new(),
            requests: Vec::new(),
            has_keda: false,
            instead: VecDeque::new(),
            lost: Vec::new(),
            withheld: Vec::new(),
            overtaken: Vec::new(),
            turned_away: 0,
            held: BTreeSet::new(),
            needed: BTreeMap::new(),
            policies: super::admission::Policies::default(),
            pods: Pods::default(),
            bookmarks: 0,
            expiries: 0,
        }
    }

    /// What happened lately, in words.
    pub(crate) fn transcript(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for (key, pod) in self.store.all(&PODS) {
            lines.push(format!("pod {}: {} {}", key.name, pod["spec"]["nodeName"], pod["status"]));
        }
        for (_, event) in self.store.all(&EVENTS) {
            let (name, reason, message) = (&event["involvedObject"]["name"], &event["reason"], &event["message"]);
            lines.push(format!("event {name} {reason}: {message}"));
        }
        let last = self.requests.len().saturating_sub(30);
        lines.extend(self.requests[last..].iter().map(ToString::to_string));
        lines.join("\n")
    }
}

/// What the tests and the server both hold.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) changed: watch::Sender<u64>,
    /// Counts up each time that every connection is cut.
    pub(crate) cut: watch::Sender<u64>,
    /// Whether new connections are refused.
    pub(crate) away: watch::Sender<bool>,
    patience: Mutex<Duration>,
    /// How pods are reached through the API server. Made once: it reads all of a machine's certificates.
    pub(crate) proxy: reqwest::Client,
}

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(0),
            cut: watch::Sender::new(0),
            away: watch::Sender::new(false),
            patience: Mutex::new(Duration::from_mins(1)),
            proxy: super::server::to_pods(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test that failed while it looked has changed nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the cluster.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&State) -> T) -> T {
        see(&self.state())
    }

    /// Changes the cluster, and wakes whoever waits for something to happen in it.
    pub(crate) fn change<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let result = act(&mut self.state());
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// Changes the cluster; who waits is woken where that was something.
    pub(crate) fn change_if(&self, act: impl FnOnce(&mut State) -> bool) -> bool {
        let changed = act(&mut self.state());
        if changed {
            self.changed.send_modify(|count| *count += 1);
        }
        changed
    }

    pub(crate) fn patience(&self, patience: Duration) {
        *self.patience.lock().unwrap_or_else(PoisonError::into_inner) = patience;
    }

    /// Waits until `see` finds something.
    ///
    /// # Panics
    /// Where that takes longer than the double's patience, with what was to be seen instead.
    pub(crate) async fn until<T>(&self, what: &str, mut see: impl FnMut(&State) -> Option<T>) -> T {
        let mut changes = self.changed.subscribe();
        let patience = *self.patience.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tokio::time::timeout(patience, async {
            loop {
                changes.borrow_and_update();
                if let Some(found) = self.look(&mut see) {
                    return found;
                }
                // The sender lives as long as this does.
                let _ = changes.changed().await;
            }
        });
        let Ok(found) = found.await else {
            panic!("{what}: not within {patience:?}.\n{}", self.look(State::transcript))
        };
        found
    }
}
