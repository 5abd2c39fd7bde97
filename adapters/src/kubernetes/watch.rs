//! The pods as they change: listed once, then followed, so that looking every few seconds costs the API server little.
//!
//! A watch that has fallen silent looks exactly like a fleet in which nothing happens, and a connection can be dead for
//! minutes before anybody notices. So what is known by it never stands for the present by itself. It is used only where all
//! of this holds, and else the pods are listed:
//! - it was heard from within [`SILENCE`] (the server sends a bookmark about every minute, whether anything happens or not);
//! - it is at least as new as the workload's own version, read afresh: whatever made the controller write is in it;
//! - it agrees with what the controller counts there, for the workload's present generation.
//!
//! Where `watch` is not permitted there is none, and the pods are listed each time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http_body_util::BodyExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::client::Body;
use kube::core::params::WatchParams;
use kube::core::{Request, WatchEvent};
use scalebot_commands::ports::PortError;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout};

use super::objects::Which;
use super::pods;
use super::server::{Refusal, Server, unreadable};
use super::workload::{Observed, Owners, owned};

/// For how long nothing may be heard of a watch that is in order.
pub(super) const SILENCE: Duration = Duration::from_secs(90);

/// After how long the server ends a watch, in seconds. It is taken up again where it ended.
const WATCHED: u32 = 240;

/// The largest event that is read, in bytes. A pod has at most half of that.
const MAX_EVENT: usize = 4 << 20;

/// The longest pause before pods are listed anew.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The pods that a watch knows. Its task ends with this value.
pub(super) struct Watch {
    server: Server,
    namespace: String,
    known: Arc<watch::Sender<Known>>,
    /// The selector by which pods are followed, and the task that does it.
    task: Mutex<Option<(String, AbortHandle)>>,
}

/// What is known of the pods.
#[derive(Debug, Default)]
pub(super) enum Known {
    /// Nothing, or nothing any more.
    #[default]
    Nothing,
    /// All of them.
    All(All),
    /// Following them is not permitted.
    Forbidden,
}

/// All pods, as they were at a version.
#[derive(Debug)]
pub(super) struct All {
    pods: BTreeMap<String, Pod>,
    version: String,
    heard: Instant,
}

impl Watch {
    /// Nothing is watched yet.
    pub(super) fn new(server: &Server, namespace: &str) -> Self {
        Self { server: server.clone(), namespace: namespace.to_owned(), known: Arc::default(), task: Mutex::default() }
    }

    /// Follows the workload's pods from now on, unless that is done already.
    pub(super) fn follow(&self, of: &Observed) {
        let selector = of.selector();
        let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((followed, handle)) = &*task {
            if *followed == selector {
                return;
            }
            // Another workload under the same name.
            handle.abort();
            self.known.send_replace(Known::Nothing);
        }
        let (server, namespace) = (self.server.clone(), self.namespace.clone());
        let followed = Followed { server, namespace, selector: selector.clone(), known: self.known.clone() };
        *task = Some((selector, tokio::spawn(followed.for_good()).abort_handle()));
    }

    /// Whether it is worth asking [`Self::present`].
    pub(super) fn may_serve(&self, of: &Observed) -> bool {
        matches!(&*self.known.borrow(), Known::All(all) if all.is_new_enough(of))
    }

    /// The workload's own pods, where what is known of them can stand for the present.
    pub(super) fn present(&self, of: &Observed, owners: &Owners) -> Option<Vec<Pod>> {
        let known = self.known.borrow();
        let Known::All(all) = &*known else { return None };
        if !all.is_new_enough(of) {
            return None;
        }
        let pods = owned(all.pods.values().cloned().collect(), owners);
        agrees(of, &pods).then_some(pods)
    }

    /// What is known, as it changes.
    #[cfg(test)]
    pub(super) fn changes(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some((_, handle)) = &*self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.abort();
        }
    }
}

impl All {
    fn is_new_enough(&self, of: &Observed) -> bool {
        self.heard.elapsed() <= SILENCE && is_as_new_as(&self.version, of.version())
    }
}

/// Whether a version is that one or a later one. Versions of one cluster are numbers that grow; what is no number is not
/// compared, and not as new.
fn is_as_new_as(version: &str, other: &str) -> bool {
    matches!((version.parse::<u64>(), other.parse::<u64>()), (Ok(version), Ok(other)) if version >= other)
}

/// Whether the pods are as many, and as many of them ready, as the controller counts for the workload as it is now.
fn agrees(of: &Observed, pods: &[Pod]) -> bool {
    let counts = of.counts();
    let counted = pods.iter().filter(|pod| pods::is_counted(pod));
    let (there, ready) =
        counted.fold((0, 0), |(there, ready), pod| (there + 1, ready + i32::from(pods::is_ready(pod))));
    of.is_seen_by_its_controller() && (counts.replicas, counts.ready) == (there, ready)
}

/// Why following ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// It broke, or what it continued is too long ago: all pods must be listed anew.
    Broke(String),
    /// It is not permitted.
    Forbidden(String),
}

impl From<PortError> for Ended {
    fn from(error: PortError) -> Self {
        Self::Broke(error.to_string())
    }
}

impl From<Refusal> for Ended {
    fn from(refusal: Refusal) -> Self {
        if refusal.status == StatusCode::FORBIDDEN {
            Self::Forbidden(refusal.sentence())
        } else {
            Self::Broke(refusal.sentence())
        }
    }
}

struct Followed {
    server: Server,
    namespace: String,
    selector: String,
    known: Arc<watch::Sender<Known>>,
}

impl Followed {
    async fn for_good(self) {
        let mut pause = Duration::ZERO;
        loop {
            let began = Instant::now();
            match self.once().await {
                Ended::Forbidden(why) => {
                    tracing::info!(why, "pods cannot be watched, they are listed each time");
                    self.known.send_replace(Known::Forbidden);
                    return;
                }
                Ended::Broke(why) => tracing::debug!(why, "the watch of the pods broke"),
            }
            self.known.send_replace(Known::Nothing);
            // One that held for long is listed anew at once; one that breaks again and again, ever more seldom.
            if began.elapsed() >= MAX_PAUSE {
                pause = Duration::ZERO;
            }
            sleep(pause).await;
            pause = (pause * 2).clamp(Duration::from_secs(1), MAX_PAUSE);
        }
    }

    /// Lists the pods and follows them until that ends.
    async fn once(&self) -> Ended {
        if let Err(error) = self.list().await {
            return error;
        }
        loop {
            match self.continued().await {
                // The server ends each watch after a while; by then it has sent a bookmark at least.
                Ok(events) if events > 0 => {}
                Ok(_) => return Ended::Broke("it ended with nothing said".to_owned()),
                Err(ended) => return ended,
            }
        }
    }

    async fn list(&self) -> Result<(), Ended> {
        let which = Which { namespace: Some(&self.namespace), labels: Some(&self.selector), fields: None };
        let asked = Instant::now();
        let (pods, version) = self.server.list::<Pod>(&which).await??;
        let pods = pods.into_iter().map(|pod| (pods::name(&pod).to_owned(), pod)).collect();
        self.known.send_replace(Known::All(All { pods, version, heard: asked }));
        Ok(())
    }

    /// Follows them from the version that is known, until the server ends it. How many events there were.
    async fn continued(&self) -> Result<usize, Ended> {
        let version = match &*self.known.borrow() {
            Known::All(all) => all.version.clone(),
            _ => String::new(),
        };
        let mut events = Events { body: self.open(&version).await?, read: Vec::new() };
        let mut count = 0;
        while let Some(event) = events.next().await? {
            self.took(event)?;
            count += 1;
        }
        Ok(count)
    }

    async fn open(&self, version: &str) -> Result<Body, Ended> {
        let path = <Pod as kube::Resource>::url_path(&(), Some(&self.namespace));
        let params = WatchParams {
            label_selector: Some(self.selector.clone()),
            timeout: Some(WATCHED),
            bookmarks: true,
            ..WatchParams::default()
        };
        let request = Request::new(path).watch(&params, version).map_err(|error| unreadable(&error.to_string()))?;
        Ok(self.server.open(request).await??)
    }

    fn took(&self, event: WatchEvent<Pod>) -> Result<(), Ended> {
        let (pod, gone) = match event {
            WatchEvent::Added(pod) | WatchEvent::Modified(pod) => (pod, false),
            WatchEvent::Deleted(pod) => (pod, true),
            WatchEvent::Bookmark(bookmark) => {
                self.heard(bookmark.metadata.resource_version, |_| ());
                return Ok(());
            }
            // 410 where the version is too old to be continued; whatever else it is, only a list is certain.
            WatchEvent::Error(status) => return Err(Ended::Broke(status.message)),
        };
        let Some(version) = pod.metadata.resource_version.clone() else {
            return Err(Ended::Broke("a pod without a version".to_owned()));
        };
        let name = pods::name(&pod).to_owned();
        self.heard(version, |pods| {
            if gone {
                pods.remove(&name);
            } else {
                pods.insert(name, pod);
            }
        });
        Ok(())
    }

    fn heard(&self, version: String, change: impl FnOnce(&mut BTreeMap<String, Pod>)) {
        self.known.send_modify(|known| {
            if let Known::All(all) = known {
                change(&mut all.pods);
                all.version = version;
                all.heard = Instant::now();
            }
        });
    }
}

/// Events, one a line.
struct Events {
    body: Body,
    read: Vec<u8>,
}

impl Events {
    /// The next one; `None` when the server ended it.
    async fn next(&mut self) -> Result<Option<WatchEvent<Pod>>, Ended> {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let event = serde_json::from_slice(&line).map_err(|error| unreadable(&error.to_string()))?;
                return Ok(Some(event));
            }
            if self.read.len() > MAX_EVENT {
                return Err(Ended::Broke(format!("an event of more than {} MiB", MAX_EVENT >> 20)));
            }
            match timeout(SILENCE, self.body.frame()).await {
                Err(_) => return Err(Ended::Broke(format!("nothing was heard for {} s", SILENCE.as_secs()))),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(Ended::Broke(error.to_string())),
                Ok(Some(Ok(frame))) => self.read.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            }
        }
    }
}

#[cfg(test)]
mod tests;
