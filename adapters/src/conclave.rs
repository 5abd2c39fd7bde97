//! One backend instance, asked over HTTP for its own word: is it up, ready, halted, does it hold the same chain.
//!
//! Every path and every field name is configuration; the defaults are the Archon 72 Conclave Backend's. What is not
//! served, or not answered in full, is an error: this module never turns silence into "healthy" or "not halted".

mod answer;
mod budget;
mod config;
mod governance;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use scalebot_commands::ports::{
    ChainLink, EarlyWarning, HaltReading, Instance, NamedCheck, PortError, Probe, Readiness, Work, World,
};
use serde_json::Value;

use self::answer::Object;
pub(crate) use self::answer::time;
use self::budget::Budget;
pub use self::config::{Config, Fields, HaltCall, KeyProbe, Paths};
pub use self::governance::ConclaveGovernance;
use crate::http::{Answer, Http, Reach};

/// The most named checks or warnings that one instance is believed to have.
const MOST: usize = 1_000;

/// Any instance of the backend, asked directly. Every clone shares the budget of observer requests.
#[derive(Clone)]
pub struct Conclave {
    http: Http,
    config: Config,
    budget: Arc<Budget>,
}

impl Conclave {
    /// A prober; `limit` bounds each question, its answer included.
    ///
    /// # Errors
    /// When the system offers no HTTP client.
    pub fn new(world: Arc<dyn World>, limit: Duration, config: Config) -> Result<Self, PortError> {
        Self::reaching(world, limit, config, &Reach::Address)
    }

    /// The same, whose instances are reached that way.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn reaching(world: Arc<dyn World>, limit: Duration, config: Config, reach: &Reach) -> Result<Self, PortError> {
        let http = Http::to_instances("the backend", limit, reach)?;
        let budget = Arc::new(Budget::new(world, config.observer_requests_per_minute));
        Ok(Self { http, config, budget })
    }

    /// A client that names this instance in its errors, and its address.
    fn of(&self, instance: &Instance) -> Result<(Http, String), PortError> {
        let http = self.http.named(&format!("instance {}", instance.id));
        let address = http.address_of(instance)?;
        Ok((http, address))
    }

    async fn ask(&self, instance: &Instance, path: &str) -> Result<(Asked, Answer), PortError> {
        let (http, address) = self.of(instance)?;
        let url = http.url(&address, path)?;
        let answer = http.get(&url).await?;
        Ok((Asked { http, url }, answer))
    }
}

/// A question that was answered: what is needed to read the answer and to say what is wrong with it.
struct Asked {
    http: Http,
    url: String,
}

impl Asked {
    /// The answer as JSON if its status is a success.
    fn success(&self, answer: &Answer) -> Result<Value, PortError> {
        self.http.accept(&self.url, answer)?;
        self.body(answer)
    }

    /// The answer as JSON, whatever its status.
    fn body(&self, answer: &Answer) -> Result<Value, PortError> {
        self.http.parse(&self.url, answer)
    }

    /// The backend says "… not configured" with a 503 where a 404 would do: neither is an answer, nor a fault.
    fn configured(&self, answer: &Answer) -> Result<(), PortError> {
        let says_so = answer.status == StatusCode::SERVICE_UNAVAILABLE
            && answer::detail(&answer.body)
                .is_some_and(|detail| detail.trim_end_matches('.').ends_with("not configured"));
        if says_so { Err(self.http.not_served(&self.url, "answered that it is not configured")) } else { Ok(()) }
    }

    fn object<'a>(&'a self, value: &'a Value) -> Result<Object<'a>, PortError> {
        Object::new(self, value)
    }
}

#[async_trait]
impl Probe for Conclave {
    async fn healthy(&self, instance: &Instance) -> Result<bool, PortError> {
        let (asked, answer) = self.ask(instance, &self.config.paths.health).await?;
        match answer.status {
            StatusCode::OK => Ok(true),
            status if status.is_server_error() => Ok(false),
            status => {
                asked.http.accept(&asked.url, &answer)?;
                Err(asked.http.unreadable(format!("{} answered {status}, not 200", self.config.paths.health)))
            }
        }
    }

    async fn ready(&self, instance: &Instance) -> Result<Readiness, PortError> {
        let (asked, answer) = self.ask(instance, &self.config.paths.ready).await?;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE {
            asked.http.accept(&asked.url, &answer)?;
        }
        let fields = &self.config.fields;
        let body = asked.body(&answer)?;
        let object = asked.object(&body)?;
        let says_ready = object.text(&fields.ready_status)? == fields.ready_value;
        let checks = match &fields.ready_checks {
            Some(name) => answer::checks(&asked, object.object(name)?, fields)?,
            None => Vec::new(),
        };
        Ok(Readiness { ready: answer.status == StatusCode::OK && says_ready, checks })
    }

    async fn halt(&self, instance: &Instance) -> Result<HaltReading, PortError> {
        let (asked, answer) = self.ask(instance, &self.config.paths.halt).await?;
        let fields = &self.config.fields;
        let body = asked.success(&answer)?;
        let object = asked.object(&body)?;
        let reason = object.optional_text(&fields.halt_reason)?;
        let message = object.optional_text(&fields.halt_message)?;
        Ok(HaltReading {
            halted: object.flag(&fields.halted)?,
            since: object.optional_time(&fields.halted_at)?,
            reason: match (reason, message) {
                (Some(reason), Some(message)) => Some(format!("{reason}: {message}")),
                (reason, message) => reason.or(message),
            },
            cleared_at: match &fields.halt_cleared_at {
                Some(name) => object.optional_time(name)?,
                None => None,
            },
        })
    }

    /// A 404 is "no event there" only when its `detail` is the sentence of [`Fields::event_absent`]; any other 404 is
    /// what a path that is not served answers. Neither is ever agreement.
    async fn link(&self, instance: &Instance, sequence: u64) -> Result<Option<ChainLink>, PortError> {
        let number = |text: &str| text.replace("{sequence}", &sequence.to_string());
        let (http, address) = self.of(instance)?;
        self.budget.take(&http, &address)?;
        let (asked, answer) = self.ask(instance, &number(&self.config.paths.event)).await?;
        let fields = &self.config.fields;
        if answer.status == StatusCode::TOO_MANY_REQUESTS {
            self.budget.exhausted(&address, answer.retry_after);
        }
        if answer.status == StatusCode::NOT_FOUND
            && answer::detail(&answer.body)
                .is_some_and(|detail| detail.trim().eq_ignore_ascii_case(&number(&fields.event_absent)))
        {
            return Ok(None);
        }
        let body = asked.success(&answer)?;
        let object = asked.object(&body)?;
        let found = object.count(&fields.event_sequence)?;
        if found != sequence {
            return Err(asked.http.unreadable(format!("asked for event {sequence}, it answered with event {found}")));
        }
        Ok(Some(ChainLink {
            content_hash: object.hash(&fields.event_content_hash)?,
            prev_hash: object.hash(&fields.event_prev_hash)?,
        }))
    }

    async fn keys(&self, instance: &Instance) -> Result<Option<NamedCheck>, PortError> {
        match &self.config.keys {
            KeyProbe::None => Ok(None),
            KeyProbe::ReadinessCheck(name) => {
                let check = self.ready(instance).await?.checks.into_iter().find(|check| check.name == *name);
                let (http, address) = self.of(instance)?;
                let url = http.url(&address, &self.config.paths.ready)?;
                check.map(Some).ok_or_else(|| http.not_served(&url, &format!("names no check \"{name}\"")))
            }
            KeyProbe::Path { path, field } => {
                let (asked, answer) = self.ask(instance, path).await?;
                if answer.status != StatusCode::SERVICE_UNAVAILABLE {
                    asked.http.accept(&asked.url, &answer)?;
                }
                let body = asked.body(&answer)?;
                let reached = asked.object(&body)?.flag(field)?;
                let healthy = reached && answer.status == StatusCode::OK;
                let error = (!healthy).then(|| format!("{path} answered {} with {field} {reached}", answer.status));
                Ok(Some(NamedCheck { name: "keys".into(), healthy, error }))
            }
        }
    }

    async fn work(&self, instance: &Instance) -> Result<Vec<Work>, PortError> {
        let Some(path) = &self.config.paths.work else {
            return Err(self
                .http
                .named(&format!("instance {}", instance.id))
                .not_served("what it works on", "no path is configured that tells"));
        };
        let (asked, answer) = self.ask(instance, path).await?;
        let body = asked.success(&answer)?;
        answer::work(&asked, &body)
    }

    async fn warnings(&self, instance: &Instance) -> Result<Vec<EarlyWarning>, PortError> {
        let (asked, answer) = self.ask(instance, &self.config.paths.warnings).await?;
        asked.configured(&answer)?;
        let body = asked.success(&answer)?;
        answer::warnings(&asked, &body, &self.config.fields)
    }
}
