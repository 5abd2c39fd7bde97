//! An operator in Discord's double, and what the service has on record of what was asked.

use serde_json::{Value, json};

use crate::binary::{kinds, of_kind};
use crate::changes::until;
use crate::discord::Discord;
use crate::run::{PATIENCE, Service, Serving};

/// The check of that name in the latest precheck: its figure and its advice.
///
/// # Panics
/// When there is none.
pub fn check(events: &[Value], name: &str) -> (Value, String) {
    let prechecked = of_kind(events, "prechecked").into_iter().last().expect("a precheck");
    let checks = prechecked["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {checks:#?}"));
    let text = |field: &str| check[field].as_str().unwrap_or_default().to_owned();
    (check["status"].clone(), format!("{} {}", text("figure"), text("advice")))
}

/// Who was ended, in order.
///
/// # Panics
/// When an end does not name them.
pub fn terminated(events: &[Value]) -> Vec<&str> {
    let ends = of_kind(events, "terminated").into_iter();
    let instances = ends.flat_map(|end| end["instances"].as_array().expect("whom it ended"));
    instances.map(|instance| instance.as_str().expect("a name")).collect()
}

/// An operator asks in Discord, each time once the operation before has ended.
pub struct Operator<'a> {
    service: &'a Service,
    discord: &'a Discord,
    /// What happened lately around the fleet, in words.
    transcript: Box<dyn Fn() -> String + 'a>,
    serving: Option<Serving>,
    asked: usize,
}

impl<'a> Operator<'a> {
    /// Of a service that runs.
    pub(crate) fn new(
        service: &'a Service,
        discord: &'a Discord,
        transcript: impl Fn() -> String + 'a,
        serving: Serving,
    ) -> Self {
        Self { service, discord, transcript: Box::new(transcript), serving: Some(serving), asked: 0 }
    }

    /// Asks for that many, more than there are.
    pub fn up(&mut self, count: u32) {
        self.asks("up", count, "campaign");
    }

    /// Asks for that many, fewer than there are.
    pub fn down(&mut self, count: u32) {
        self.asks("down", count, "night");
    }

    fn asks(&mut self, command: &str, count: u32, reason: &str) {
        self.discord.person("operator").command(command, &[("count", json!(count)), ("reason", json!(reason))]);
        self.asked += 1;
    }

    /// The events of the latest operation that was asked for.
    pub fn events(&self) -> Vec<Value> {
        let all = self.service.events();
        let mut requested = all.iter().filter(|event| event["kind"] == "requested");
        let Some(operation) = requested.nth(self.asked - 1).map(|event| event["operation"].clone()) else {
            return Vec::new();
        };
        all.into_iter().filter(|event| event["operation"] == operation).collect()
    }

    /// Waits until that many events of that kind are on record, of the latest operation.
    ///
    /// # Panics
    /// When they do not come, or it ends without them.
    pub fn until(&self, kind: &str, count: usize) -> Vec<Value> {
        let of_kind = |events: &[Value], kind: &str| events.iter().filter(|event| event["kind"] == kind).count();
        let mut seen = Vec::new();
        let found = until(&self.service.state(), PATIENCE, || {
            seen = self.events();
            (of_kind(&seen, kind) >= count || of_kind(&seen, "finished") > 0).then_some(())
        });
        assert!(
            found.is_some() && of_kind(&seen, kind) >= count,
            "no {kind}: {:?}\n{}\n{}",
            kinds(&seen),
            seen.last().unwrap_or(&Value::Null),
            (self.transcript)()
        );
        seen
    }

    /// Everything of the latest operation, once it has ended.
    pub fn ended(&self) -> Vec<Value> {
        self.until("finished", 1)
    }

    /// Ends the watch, which lasts 15 min in a cluster: the fleet stays as it is.
    pub fn watched_long_enough(&self) -> Vec<Value> {
        self.until("verified", 1);
        self.discord.person("operator").ask("cancel");
        self.ended()
    }

    /// The bot is killed as by a power failure, and Discord has noticed.
    ///
    /// # Panics
    /// When it is down already.
    pub async fn kills_the_bot(&mut self) {
        self.serving.take().expect("it runs").kill();
        self.discord.until_the_bot_is_gone().await;
    }

    /// Once that many events of that kind are on record, the bot is killed and started again.
    pub async fn killed_at(&mut self, kind: &str, count: usize) {
        self.until(kind, count);
        self.kills_the_bot().await;
        self.starts_the_bot();
    }

    /// It is started again.
    pub fn starts_the_bot(&mut self) {
        self.serving = Some(self.service.start_ready());
    }

    /// Stops the service: every event is as it should be and was told in the log channel.
    ///
    /// # Panics
    /// When something is not.
    pub async fn leaves(mut self) -> Vec<Value> {
        let (service, discord) = (self.service, self.discord);
        // Discord takes only so many posts at a time, and who is told to stop does not wait for all of them.
        let last = service.events().len();
        discord.channel("scaling-log").message_with(&format!(" to {last}, hash ")).await;
        let serving = self.serving.take().expect("it runs");
        assert_eq!(serving.stop(), Some(0));
        service.proved()
    }
}
