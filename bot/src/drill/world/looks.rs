//! Looks at an instance's readiness: what the fleet and the forwarder go by.

use std::time::Duration;

use reqwest::StatusCode;
use scalebot_adapters::http::Http;
use scalebot_commands::ports::InstanceState;
use scalebot_commands::units::InstanceId;
use serde::Deserialize;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::World;

/// Between two looks at an instance's readiness, and how long one may take.
const LOOK_EVERY: Duration = Duration::from_millis(300);
const LOOK: Duration = Duration::from_secs(1);

/// So many looks in a row without an answer, and an instance that was ready counts as not ready. One that answers that
/// it is not ready counts so at once.
const SILENT_LOOKS: u32 = 3;

/// Looks at an instance again and again, for the fleet as long as there is a process, and for the forwarder.
pub(super) struct Looks {
    turns: Interval,
    readiness: Readiness,
}

impl Looks {
    /// At the instance that is reached there.
    pub(super) fn at(address: &str) -> Result<Self, String> {
        let mut turns = interval(LOOK_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { turns, readiness: Readiness::new(address)? })
    }

    /// What follows from the next look; `None` when nothing follows yet.
    pub(super) async fn next(&mut self) -> Option<(InstanceState, Option<String>)> {
        self.turns.tick().await;
        self.readiness.look().await
    }

    /// Goes on after the process has ended, of which nobody tells a balancer: it chooses an instance that was not
    /// drained until it finds nobody there.
    pub(super) async fn until_silent(&mut self, world: &World, id: &InstanceId) {
        while world.routes().chooses(id) {
            self.show_the_forwarder(world, id).await;
        }
    }

    /// Tells the forwarder alone what follows from the next look.
    pub(super) async fn show_the_forwarder(&mut self, world: &World, id: &InstanceId) {
        if let Some((state, _)) = self.next().await {
            world.routes().see(id, state == InstanceState::Ready);
        }
    }
}

/// What the forwarder goes by: the instance's own word, asked again and again.
struct Readiness {
    http: Http,
    url: String,
    was_ready: bool,
    silent: u32,
}

/// What is read of an instance's answer.
#[derive(Deserialize)]
struct Checks {
    checks: std::collections::BTreeMap<String, Check>,
}

#[derive(Deserialize)]
struct Check {
    healthy: bool,
    error: Option<String>,
}

impl Readiness {
    fn new(address: &str) -> Result<Self, String> {
        let http = Http::new("the instance", LOOK).map_err(|error| error.to_string())?;
        Ok(Self { http, url: format!("http://{address}/v1/ready"), was_ready: false, silent: 0 })
    }

    /// The state that follows from one look; `None` when nothing follows yet.
    async fn look(&mut self) -> Option<(InstanceState, Option<String>)> {
        let waiting = if self.was_ready { InstanceState::NotReady } else { InstanceState::Starting };
        match self.http.get(&self.url).await {
            Ok(answer) if answer.status == StatusCode::OK => {
                self.silent = 0;
                self.was_ready = true;
                Some((InstanceState::Ready, None))
            }
            Ok(answer) => {
                self.silent = 0;
                let failing = serde_json::from_slice::<Checks>(&answer.body)
                    .map_or_else(|_| format!("it answered {}", answer.status), |checks| failing(&checks));
                Some((waiting, Some(failing)))
            }
            Err(error) => {
                self.silent += 1;
                (self.silent >= SILENT_LOOKS).then(|| (waiting, Some(error.to_string())))
            }
        }
    }
}

/// The failing checks in words: "database (the pool is exhausted)".
fn failing(checks: &Checks) -> String {
    let failing: Vec<String> = checks
        .checks
        .iter()
        .filter(|(_, check)| !check.healthy)
        .map(|(name, check)| format!("{name} ({})", check.error.as_deref().unwrap_or("not healthy")))
        .collect();
    if failing.is_empty() { "it says that it is not ready".to_owned() } else { failing.join(", ") }
}
