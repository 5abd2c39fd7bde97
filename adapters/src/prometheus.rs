//! The fleet's load from a Prometheus that scrapes it: the same figures as by scraping it oneself, and of the past too.
//!
//! Counters are asked for as they stood at moments at most one scrape apart, and subtracted here, restarts taken out.
//! Prometheus' own `increase` estimates by extrapolation: a request could be counted in two answers, or in none. The
//! past is there whoever was away meanwhile: asking again with the end of the last answer fills a gap of the bot's own.

mod answer;
mod client;
mod doctor;
mod figures;
mod query;
mod settings;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{TryFutureExt as _, try_join};
use scalebot_commands::figures::Load;
use scalebot_commands::ports::{Fleet, Instance, Metrics, PortError, World};
use scalebot_commands::units::{InstanceId, Millis, Timestamp};
use tokio::time::timeout;

use self::answer::Kind;
use self::client::{Server, When};
use self::figures::{Answer, Counters};
use self::query::{Questions, Template};
pub use self::settings::{Instances, Queries, Settings};
use self::window::{LOOK_BACK, NoWindow, Scrapes, Window};
use crate::scrape::{History, Said};
use crate::settings::Unusable;

/// CPU is a mean over so many scrapes at least: a rate takes two, and one may be missing.
const RATED: i64 = 4;

/// A fleet's load, by its Prometheus.
#[derive(Clone)]
pub struct Prometheus {
    server: Server,
    questions: Questions,
    settings: Settings,
    fleet: Arc<dyn Fleet>,
    world: Arc<dyn World>,
}

/// By what a series is known to be an instance's.
type Known = HashMap<String, InstanceId>;

impl Prometheus {
    /// Nothing is asked yet.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings, fleet: Arc<dyn Fleet>, world: Arc<dyn World>) -> Result<Self, Unusable> {
        let (server, questions) = (Server::new(settings)?, Questions::new(settings)?);
        Ok(Self { server, questions, settings: settings.clone(), fleet, world })
    }

    async fn instances(&self) -> Result<Vec<Instance>, PortError> {
        let limit = self.settings.time_out;
        let late = |_| PortError::TimedOut { what: self.fleet.describe(), limit };
        let instances = timeout(limit, self.fleet.observe()).await.map_err(late)??.instances;
        if instances.is_empty() {
            let (what, detail) = (self.fleet.describe(), "the fleet has no instances".to_owned());
            return Err(PortError::Unreadable { what, detail });
        }
        Ok(instances)
    }

    fn known(&self, instances: &[Instance]) -> Known {
        let label = |instance: &Instance| match self.settings.instances {
            Instances::ByAddress => instance.address.clone(),
            Instances::ByName => Some(instance.id.to_string()),
        };
        instances.iter().filter_map(|instance| Some((label(instance)?, instance.id.clone()))).collect()
    }

    /// When each instance was read between those moments.
    async fn scrapes(&self, since: i64, now: i64, known: &Known) -> Result<Scrapes, PortError> {
        let query = format!("{}[{}ms]", self.questions.scraped, now - since + LOOK_BACK);
        let answer = self.asked(query, When::At(now), Kind::Matrix, None, known).await?;
        let read = |points: &[(i64, f64)]| points.iter().filter(|(_, value)| *value > 0.0).map(|(at, _)| *at).collect();
        Ok(Scrapes(answer.points().map(|(instance, points)| (instance.clone(), read(points))).collect()))
    }

    async fn asked(
        &self,
        query: String,
        when: When,
        kind: Kind,
        apart: Option<&str>,
        known: &Known,
    ) -> Result<Answer, PortError> {
        let series = self.server.ask(&query, when, kind).await?;
        let label = &self.settings.instance;
        Answer::sorted(query, series, label, apart, known).map_err(|why| self.server.unreadable(why))
    }

    /// What was counted at every moment of a window.
    async fn counters(&self, window: Window, known: &Known) -> Result<Counters, PortError> {
        let range = When::Range { start: window.start, end: window.until, step: window.step };
        let needed =
            |template: &Template, apart| self.asked(template.over(window.length()), range, Kind::Matrix, apart, known);
        let optional = async |template: &Option<Template>| match template {
            None => Ok(None),
            Some(template) => needed(template, None).map_ok(Some).await,
        };
        let questions = &self.questions;
        let (requests, halt_refusals, buckets, duration, started, slots_busy, slots) = try_join!(
            needed(&questions.requests, Some(&self.settings.status)),
            optional(&questions.halt_refusals),
            needed(&questions.buckets, Some("le")),
            needed(&questions.duration, None),
            optional(&questions.started),
            optional(&questions.slots_busy),
            optional(&questions.slots),
        )?;
        for (template, answer) in [(&questions.requests, &requests), (&questions.buckets, &buckets)] {
            if answer.is_empty() {
                self.is_there(template, window.until).await?;
            }
        }
        Ok(Counters { requests, halt_refusals, buckets, duration, started, slots_busy, slots })
    }

    /// Nothing was found of any instance: that is no request, if there are series of those that are left out, and else
    /// not known.
    async fn is_there(&self, template: &Template, moment: i64) -> Result<(), PortError> {
        let query = template.unfiltered();
        if self.server.ask(&query, When::At(moment), Kind::Vector).await?.is_empty() {
            return Err(self.server.unreadable(format!("nothing was found; asked: {query}")));
        }
        Ok(())
    }

    /// A gauge at the window's end.
    async fn gauge(
        &self,
        template: Option<&Template>,
        window: Window,
        known: &Known,
    ) -> Result<Option<Answer>, PortError> {
        let Some(template) = template else { return Ok(None) };
        let query = template.over(window.length().max(RATED * self.interval()));
        self.asked(query, When::At(window.until), Kind::Vector, None, known).await.map(Some)
    }

    fn interval(&self) -> i64 {
        milliseconds(self.settings.interval)
    }

    fn no_window(&self, why: NoWindow) -> PortError {
        let asked = &self.questions.scraped;
        self.server.unreadable(match why {
            NoWindow::Never => format!("none of the fleet's instances is found; asked: {asked}"),
            NoWindow::Stale { age, limit } => {
                let (age, limit) = (Millis(age.unsigned_abs()), Millis(limit.unsigned_abs()));
                format!("its newest figures of the fleet are {age} old, the limit is {limit}; asked: {asked}")
            }
            NoWindow::NotYet => "nothing to compare with yet; ask again in a few seconds".to_owned(),
        })
    }
}

#[async_trait]
impl Metrics for Prometheus {
    /// # Errors
    /// Also "nothing to compare with yet" while not every instance was read again since.
    async fn load(&self, since: Timestamp) -> Result<Load, PortError> {
        let instances = self.instances().await?;
        let known = self.known(&instances);
        let now = self.world.now().as_millisecond();
        let since = rounded_up(since).max(now - milliseconds(self.settings.reach));
        let scrapes = self.scrapes(since, now, &known).await?;
        let window = scrapes.window(since, now, self.interval()).map_err(|why| self.no_window(why))?;
        let (counters, cpu, memory) = try_join!(
            self.counters(window, &known),
            self.gauge(self.questions.cpu.as_ref(), window, &known),
            self.gauge(self.questions.memory.as_ref(), window, &known),
        )?;

        let mut history = History::whole(self.settings.reach + Duration::from_millis(LOOK_BACK.unsigned_abs()) * 2);
        for moment in window.moments() {
            let at = self.timestamp(moment)?;
            let said = instances.iter().map(|instance| Said {
                instance: instance.id.clone(),
                started_at: instance.started_at,
                figures: self.figures(instance, moment, &scrapes, &counters),
            });
            history.add(at, since_1970(moment), said.collect());
        }
        let mut load = history.load(self.timestamp(window.from)?)?;
        for one in &mut load.instances {
            let gauge = |answer: &Option<Answer>| answer.as_ref()?.gauge(&one.instance, window.until);
            let (cpu, memory) = (gauge(&cpu), gauge(&memory));
            (one.cpu, one.memory_bytes) = (cpu, memory.map(|bytes| bytes as u64));
        }
        Ok(load)
    }

    fn describe(&self) -> String {
        self.server.to_string()
    }
}

impl Prometheus {
    /// An instance's figures at that moment, with when it was read.
    fn figures(
        &self,
        instance: &Instance,
        moment: i64,
        scrapes: &Scrapes,
        counters: &Counters,
    ) -> Result<(Duration, crate::scrape::Figures), PortError> {
        let unreadable = |why: String| self.server.unreadable(format!("{}: {why}", instance.id));
        let read =
            scrapes.last_of(&instance.id, moment).filter(|_| scrapes.is_fresh(&instance.id, moment, self.interval()));
        let read = read.ok_or_else(|| unreadable(format!("it was not read; asked: {}", self.questions.scraped)))?;
        Ok((since_1970(read), counters.of(&instance.id, moment).map_err(unreadable)?))
    }

    fn timestamp(&self, moment: i64) -> Result<Timestamp, PortError> {
        Timestamp::from_millisecond(moment).map_err(|_| self.server.unreadable("its time is out of all bounds"))
    }
}

fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4)
}

fn since_1970(moment: i64) -> Duration {
    Duration::from_millis(u64::try_from(moment).unwrap_or(0))
}

/// Whole milliseconds, as Prometheus counts; never earlier than what is asked about.
fn rounded_up(moment: Timestamp) -> i64 {
    let whole = moment.as_millisecond();
    let is_whole = Timestamp::from_millisecond(whole).is_ok_and(|floor| floor >= moment);
    if is_whole { whole } else { whole.saturating_add(1) }
}

/// Reads an answer, puts the known instances' figures together, and returns everything that is said about it.
#[cfg(any(test, feature = "hostile"))]
pub(crate) fn read_hostile(
    body: &[u8],
    many: bool,
    known: &std::collections::HashMap<String, scalebot_commands::units::InstanceId>,
) -> Vec<String> {
    let kind = if many { answer::Kind::Matrix } else { answer::Kind::Vector };
    let mut said: Vec<String> = answer::words(body).into_iter().collect();
    let series = match answer::read(body, kind) {
        Ok(series) => series,
        Err(wrong) => {
            said.push(wrong);
            return said;
        }
    };
    let moments: Vec<i64> = series.iter().flat_map(|one| one.points.iter().map(|(at, _)| *at)).take(16).collect();
    let sorted = |series: &[answer::Series], apart| {
        figures::Answer::sorted("q".to_owned(), series.to_vec(), "instance", apart, known)
    };
    let first = series.get(..1).unwrap_or_default();
    let all = (sorted(&series, Some("status")), sorted(&series, Some("le")), sorted(first, None));
    let (Ok(requests), Ok(buckets), Ok(duration)) = all else {
        said.extend([all.0.err(), all.1.err(), all.2.err()].into_iter().flatten());
        return said;
    };
    let counters = figures::Counters {
        requests,
        halt_refusals: None,
        buckets,
        duration,
        started: None,
        slots_busy: None,
        slots: None,
    };
    for instance in known.values() {
        said.extend(moments.iter().filter_map(|moment| counters.of(instance, *moment).err()));
    }
    said
}
