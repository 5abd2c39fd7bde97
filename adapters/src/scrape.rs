//! The fleet's load, read from every instance's own metrics (Prometheus text), for fleets without a Prometheus.
//!
//! A background task reads them every few seconds, so that there is something to compare with; each question reads them
//! once more, so that the answer reaches up to now. An instance that cannot be read, or whose figures cannot be, is
//! missing: never idle.
//!
//! Only instances that the fleet still has are in an answer; what one did that has left it since is in none.

mod config;
mod exposition;
mod figures;
mod history;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use futures::{StreamExt, stream};
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{Fleet, Instance, Metrics, PortError, World};
use scalebot_commands::units::Timestamp;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

pub use self::config::{Config, Series};
pub use self::exposition::{Line, Malformed, Sample, parse};
pub(crate) use self::figures::Figures;
use self::figures::Page;
pub(crate) use self::history::{History, Said};
use crate::http::{Http, Reach};

/// How many instances are read at once.
const AT_ONCE: usize = 64;

/// The largest page that is read, in bytes. The backend has a dozen lines for every path that was ever asked for.
const MAX_PAGE: usize = 64 << 20;

/// Reads a fleet's load from its instances. The background task ends with this value.
pub struct Scrape {
    reader: Arc<Reader>,
    task: JoinHandle<()>,
}

struct Reader {
    http: Http,
    fleet: Arc<dyn Fleet>,
    world: Arc<dyn World>,
    config: Config,
    /// How many scrapes were begun.
    begun: AtomicU64,
    past: Mutex<Past>,
}

/// Held while scraping: one scrape at a time, so that an instance's readings are in the order in which it gave them.
struct Past {
    history: History,
    /// The number of the last scrape that came to its end.
    last: u64,
}

impl Scrape {
    /// Begins to read, at once and then every [`Config::interval`]. Needs a tokio runtime.
    ///
    /// # Errors
    /// When the system offers no HTTP client.
    pub fn start(fleet: Arc<dyn Fleet>, world: Arc<dyn World>, config: Config) -> Result<Self, PortError> {
        Self::reaching(fleet, world, config, &Reach::Address)
    }

    /// The same, whose instances are reached that way.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn reaching(
        fleet: Arc<dyn Fleet>,
        world: Arc<dyn World>,
        config: Config,
        reach: &Reach,
    ) -> Result<Self, PortError> {
        let past = Mutex::new(Past { history: History::new(config.keep), last: 0 });
        let http = Http::to_instances("an instance", config.limit, reach)?;
        let reader = Arc::new(Reader { http, fleet, world, config, begun: AtomicU64::new(0), past });
        let task = tokio::spawn({
            let reader = reader.clone();
            async move {
                loop {
                    let read = reader.scrape(&mut *reader.past.lock().await).await;
                    if let Err(error) = read {
                        tracing::debug!(%error, "metrics were not read");
                    }
                    reader.world.sleep(reader.config.interval).await;
                }
            }
        });
        Ok(Self { reader, task })
    }
}

impl Drop for Scrape {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Metrics for Scrape {
    /// # Errors
    /// Also "nothing to compare with yet" when there is no scrape between `since` and now, as just after the start.
    async fn load(&self, since: Timestamp) -> Result<Load, PortError> {
        let begun = self.reader.begun.load(Ordering::SeqCst);
        let mut past = self.reader.past.lock().await;
        // One that somebody else began meanwhile is as fresh.
        if past.last <= begun {
            self.reader.scrape(&mut past).await?;
        }
        past.history.load(since)
    }

    fn describe(&self) -> String {
        format!("each instance's {}", self.reader.config.path)
    }
}

impl Reader {
    /// Reads every instance of the fleet.
    async fn scrape(&self, past: &mut Past) -> Result<(), PortError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let mut over = self.world.sleep(self.config.round);
        let instances = match select(self.fleet.observe(), &mut over).await {
            Either::Left((observed, _)) => observed?.instances,
            Either::Right(_) => {
                return Err(PortError::TimedOut { what: self.fleet.describe(), limit: self.config.round });
            }
        };
        let mut said: Vec<Option<Result<_, PortError>>> = vec![None; instances.len()];
        {
            let numbered = stream::iter(instances.iter().cloned().enumerate());
            let reading = numbered.map(|(at, instance)| async move { (at, self.read(&instance).await) });
            let mut answers = pin!(reading.buffer_unordered(AT_ONCE));
            while let Either::Left((Some((at, answer)), _)) = select(answers.next(), &mut over).await {
                if let Some(place) = said.get_mut(at) {
                    *place = Some(answer);
                }
            }
        }
        let late = |instance: &Instance| PortError::TimedOut {
            what: format!("instance {}", instance.id),
            limit: self.config.round,
        };
        let said = instances.into_iter().zip(said).map(|(instance, answer)| Said {
            figures: answer.unwrap_or_else(|| Err(late(&instance))),
            started_at: instance.started_at,
            instance: instance.id,
        });
        past.history.add(self.world.now(), self.world.monotonic(), said.collect());
        past.last = number;
        Ok(())
    }

    /// Reads one instance; its figures with the moment at which it gave them.
    async fn read(&self, instance: &Instance) -> Result<(Duration, Figures), PortError> {
        let http = self.http.named(&format!("instance {}", instance.id));
        let url = http.url(&http.address_of(instance)?, &self.config.path)?;
        let mut page = Page::new(&self.config);
        http.lines(&url, MAX_PAGE, |line| page.take(line)).await?;
        let figures = page.finish().map_err(|wrong| http.unreadable(format!("{}: {wrong}", self.config.path)))?;
        Ok((self.world.monotonic(), figures))
    }
}

/// Reads a whole page, and returns what is wrong with it.
#[cfg(any(test, feature = "hostile"))]
pub(crate) fn read_page(page: &str) -> Result<(), String> {
    let config = Config::default();
    let mut read = Page::new(&config);
    page.lines().try_for_each(|line| read.take(line))?;
    read.finish().map(|_| ())
}
