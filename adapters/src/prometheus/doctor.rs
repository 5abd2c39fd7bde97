//! What the doctor says about a Prometheus: reached, its version, whether it knows the fleet, and what each question
//! finds.

use scalebot_commands::ports::PortError;
use scalebot_commands::units::{InstanceId, Millis};

use super::answer::Kind;
use super::client::When;
use super::query::Template;
use super::window::{LOOK_BACK, Scrapes};
use super::{Known, Prometheus, RATED, milliseconds};
use crate::doctor::Finding;

/// How many names a line holds.
const NAMED: usize = 10;

/// How far the real interval may be from the configured one, as a share of it.
const TOLERANCE: f64 = 0.2;

impl Prometheus {
    /// The doctor's lines. Nothing is changed; each question has its own time-out.
    pub async fn check(&self) -> Vec<Finding> {
        let system = self.server.to_string();
        let mut found = match self.check_server().await {
            Ok(found) => found,
            Err(unanswered) => return vec![unanswered],
        };
        let scraping = format!("{system}, scraping of the fleet");
        found.extend(
            self.check_scrapes(&scraping).await.unwrap_or_else(|error| vec![Finding::unanswered(scraping, &error)]),
        );
        found.push(self.check_question("requests", Some(&self.questions.requests), true).await);
        found.push(self.check_question("latency", Some(&self.questions.buckets), true).await);
        found.push(self.check_question("CPU", self.questions.cpu.as_ref(), false).await);
        found.push(self.check_question("memory", self.questions.memory.as_ref(), false).await);
        found
    }

    /// The same where the fleet is not there yet: only whether it is reached.
    pub async fn check_without_fleet(&self) -> Vec<Finding> {
        self.check_server().await.unwrap_or_else(|unanswered| vec![unanswered])
    }

    async fn check_server(&self) -> Result<Vec<Finding>, Finding> {
        let system = self.server.to_string();
        let version = self.server.version().await.map_err(|error| Finding::unanswered(&system, &error))?;
        let mut found = vec![Finding::ok(&system, format!("reached, version {version}"))];
        if self.server.is_read_along() {
            let text = "anybody on the way there may read the credentials and answer in its place";
            let to_do =
                "Let the url begin with https://, and set ca_file where its certificate is of your own authority.";
            found.push(Finding::warn(&system, text, to_do));
        }
        Ok(found)
    }

    async fn check_scrapes(&self, system: &str) -> Result<Vec<Finding>, PortError> {
        let instances = self.instances().await?;
        let known: Known = self.known(&instances);
        let now = self.world.now().as_millisecond();
        let interval = self.interval();
        let scrapes = self.scrapes(now - LOOK_BACK, now, &known).await?;
        let fresh = |id| scrapes.is_fresh(id, now, interval);
        let away: Vec<&str> =
            instances.iter().map(|one| &one.id).filter(|id| !fresh(id)).map(InstanceId::as_str).collect();
        let total = instances.len();
        if !away.is_empty() {
            let names = away.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
            let text = format!(
                "{} of {total} instances were not read within {}: {names}; asked: {}",
                away.len(),
                Millis((3 * interval).unsigned_abs()),
                self.questions.scraped,
            );
            let to_do = "Scrape them, or correct selector, instance, instances or interval.";
            return Ok(vec![Finding::failed(system, text, to_do)]);
        }
        let mut found = vec![Finding::ok(system, format!("each of the fleet's {total} instances is read"))];
        if let Some(real) = usual_interval(&scrapes).filter(|real| (real / interval as f64 - 1.0).abs() > TOLERANCE) {
            let real = Millis(real as u64);
            let text = format!("read every {real}, configured are {}", Millis(interval.unsigned_abs()));
            found.push(Finding::warn(system, text, format!("Set interval to {real}.")));
        }
        Ok(found)
    }

    async fn check_question(&self, name: &str, template: Option<&Template>, is_needed: bool) -> Finding {
        let system = format!("{}, {name}", self.server);
        let Some(template) = template else { return Finding::not_configured(system, "not asked") };
        let now = self.world.now().as_millisecond();
        let query =
            if is_needed { template.unfiltered() } else { template.over(RATED * milliseconds(self.settings.interval)) };
        match self.server.ask(&query, When::At(now), Kind::Vector).await {
            Err(error) => Finding::unanswered(system, &error),
            Ok(series) if !series.is_empty() => Finding::ok(system, "found"),
            Ok(_) if is_needed => {
                let to_do = "Correct the selector, or the query, until Prometheus finds the fleet's series by it.";
                Finding::failed(system, format!("nothing was found; asked: {query}"), to_do)
            }
            Ok(_) => {
                let text = format!("nothing was found, so it is not known; asked: {query}");
                Finding::warn(system, text, "Set a query that finds it, or an empty one where nothing tells.")
            }
        }
    }
}

/// The median of what lies between two readings, in milliseconds; `None` before there are two.
fn usual_interval(scrapes: &Scrapes) -> Option<f64> {
    let mut between: Vec<i64> =
        scrapes.0.values().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0])).collect();
    between.sort_unstable();
    between.get(between.len() / 2).map(|median| *median as f64)
}
