//! Step 5: watch the fleet after the change, for as long as was promised, and judge what was seen.
//!
//! Every sample is kept beside the log as it is taken, so that a restart goes on with what there is: only observed time
//! counts, and a gap makes the watch longer, to twice its length at most.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Ending, Outcome, body};
use crate::card;
use crate::context::Context;
use crate::event::Hash;
use crate::figures::Load;
use crate::halt::{self, SourceSays};
use crate::journal::{Heard, Interrupted, Journal};
use crate::judge::{self, Consistency, Evidence, Judgement, Verdict};
use crate::patience::Stopwatch;
use crate::ports::{FleetState, InstanceState, PortError, Slot};
use crate::request::Direction;
use crate::steps::assess::Assessed;
use crate::steps::escalate::Condition;
use crate::steps::finish::Trouble;
use crate::steps::guard;
use crate::steps::precheck::Plan;
use crate::steps::verify;
use crate::steps::wait::left_after_cancel;
use crate::units::{InstanceId, Millis, Timestamp};

/// The body of `monitored`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Monitored {
    /// Why the watch ended.
    pub ended: MonitorEnded,
    /// What was found.
    pub judgement: Judgement,
    /// How much was to be observed.
    pub window: Millis,
    /// How much was.
    pub observed: Millis,
    /// How many samples there are.
    pub samples: u64,
    /// SHA-256 over the samples as they are kept beside the log, in hexadecimal.
    pub samples_digest: String,
    /// What ended the watch early, in words.
    pub problem: Option<String>,
    /// The new instances that are the cause of what is wrong.
    pub culprits: Vec<InstanceId>,
    /// Who says that a halt began while it was watched; `None` when nobody does.
    pub halted: Option<String>,
}

body!(Monitored, Monitored, 1);

/// Why a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MonitorEnded {
    /// The window was observed, or its extension is over.
    Watched,
    /// Instances were found to contradict each other.
    Inconsistent,
    /// A new instance has ended by itself.
    Failing,
    /// Somebody else changed the count, or an instance ended that was there before.
    Interfered,
    /// Somebody asked for the operation to stop.
    Cancelled,
    /// The fleet no longer exists.
    Gone,
}

/// What was watched, with what a summary shows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Watched {
    /// What was found.
    pub monitored: Monitored,
    /// The load before the change.
    pub before: Option<Load>,
    /// The instances that are new.
    pub newcomers: Vec<InstanceId>,
    /// When every instance was ready.
    pub scaled_at: Timestamp,
    /// When they were verified.
    pub verified_at: Timestamp,
}

impl Watched {
    /// What the operation comes to.
    pub fn ending(self, cx: &Context<'_>, plan: &Plan) -> Ending {
        let mut ending = self.monitored.ending(cx, plan).constitutional_if(self.monitored.is_inconsistent());
        if let Some(because) = self.monitored.taken_back_because(cx) {
            ending = ending.taken_back(Trouble {
                plan: plan.clone(),
                newcomers: self.newcomers.clone(),
                culprits: self.monitored.culprits.clone(),
                because,
                asked_for: false,
                left_by: cx.operation.clone(),
            });
        }
        Ending { watched: Some(Box::new(self)), ..ending }
    }
}

impl Monitored {
    fn is_inconsistent(&self) -> bool {
        self.ended == MonitorEnded::Inconsistent
            || (self.ended == MonitorEnded::Watched && self.judgement.verdict == Verdict::Inconsistent)
    }

    /// Why it is to be taken back; `None` when it is not. Up: only where new instances are the cause. Down: where those
    /// that stay are over a limit.
    fn taken_back_because(&self, cx: &Context<'_>) -> Option<String> {
        let regressed = self.ended == MonitorEnded::Watched && self.judgement.verdict == Verdict::Regressed;
        let wanted = match cx.request.direction {
            Direction::Up => {
                let found = regressed || self.is_inconsistent() || self.ended == MonitorEnded::Failing;
                found && !self.culprits.is_empty()
            }
            Direction::Down => regressed,
        };
        wanted.then(|| self.problem.clone().unwrap_or_else(|| self.judgement.decisive()))
    }

    fn ending(&self, cx: &Context<'_>, plan: &Plan) -> Ending {
        let reasons = self.judgement.decisive();
        let because = self.problem.clone().unwrap_or_else(|| reasons.clone());
        let outcome = match (self.ended, self.judgement.verdict) {
            (MonitorEnded::Watched, Verdict::Regressed | Verdict::Inconsistent) => Outcome::Failed,
            (MonitorEnded::Watched, _) => Outcome::Completed,
            (MonitorEnded::Cancelled, _) => Outcome::Cancelled,
            (MonitorEnded::Inconsistent | MonitorEnded::Failing | MonitorEnded::Interfered | MonitorEnded::Gone, _) => {
                Outcome::Failed
            }
        };
        tracing::debug!(operation = %cx.operation, ended = ?self.ended, "the watch is over");
        let ending = Ending::after_the_change(outcome, plan, because.clone());
        match (self.ended, self.judgement.verdict) {
            (MonitorEnded::Inconsistent, _) | (MonitorEnded::Watched, Verdict::Inconsistent) => {
                ending.with_verdict(Verdict::Inconsistent).escalated(Condition::Consistency)
            }
            (MonitorEnded::Watched, verdict @ (Verdict::Improved | Verdict::Stable)) => ending.with_verdict(verdict),
            (MonitorEnded::Watched, verdict) => ending.with_verdict(verdict).escalated(Condition::NotImproving),
            (MonitorEnded::Failing, _) => ending.with_verdict(Verdict::Regressed).escalated(Condition::NotImproving),
            (MonitorEnded::Interfered, _) => ending.because_of_others(because),
            (MonitorEnded::Cancelled | MonitorEnded::Gone, _) => ending,
        }
    }
}

/// How often every instance's halt state and chain are read again.
const CONSISTENCY_EVERY: Duration = Duration::from_mins(1);

/// What is watched: what the change left, since when, and on what it was made.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// The instances that are new.
    pub newcomers: Vec<InstanceId>,
    /// Since when the fleet is as it was to be.
    pub since: Timestamp,
    /// What the sources of truth said about the halt when it was changed.
    pub halt_then: Vec<SourceSays>,
}

/// Watches from when the fleet was as it was to be.
pub async fn watch(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    plan: &Plan,
    assessed: &Assessed,
    changed: &Changed,
    verified_at: Timestamp,
) -> Result<Watched, Interrupted> {
    let Changed { newcomers, since, halt_then } = changed;
    let watch = |heard| Watch { cx, plan, halt_then, newcomers, since: *since, heard }.run(assessed);
    let monitored = journal.try_step("monitor", watch).await?.body;
    let (before, newcomers) = (assessed.load.known().cloned(), newcomers.clone());
    Ok(Watched { monitored, before, newcomers, scaled_at: *since, verified_at })
}

/// What was read again of every instance, beside the figures.
struct Reading {
    read_at: Duration,
    consistency: Consistency,
    problem: String,
    culprits: Vec<InstanceId>,
    halted: Option<String>,
}

impl Reading {
    fn new(now: Duration) -> Self {
        let consistency = Consistency::Unknown("it was not read again yet".to_owned());
        Self { read_at: now, consistency, problem: String::new(), culprits: Vec::new(), halted: None }
    }
}

struct Watch<'a> {
    cx: &'a Context<'a>,
    plan: &'a Plan,
    halt_then: &'a [SourceSays],
    newcomers: &'a [InstanceId],
    since: Timestamp,
    heard: Heard,
}

impl Watch<'_> {
    async fn run(self, assessed: &Assessed) -> Result<Monitored, Interrupted> {
        let mut samples = self.cx.ports.samples.kept(self.cx.operation).await?;
        let world = &*self.cx.ports.world;
        let window = self.cx.policy.time.monitor;
        let interval = self.cx.policy.time.sample_interval();
        let stopwatch = Stopwatch::since(world, self.since);
        let mut reading = Reading::new(world.monotonic());
        let (ended, problem) = loop {
            let observed = observed_of(&samples);
            let over = observed >= window || stopwatch.spent(world) >= window * 2;
            self.show(&samples, observed).await;
            // Again every minute, and in any case before the end.
            if over || world.monotonic().saturating_sub(reading.read_at) >= CONSISTENCY_EVERY {
                self.read_again(&mut reading).await;
                if matches!(reading.consistency, Consistency::Inconsistent(_)) {
                    break (MonitorEnded::Inconsistent, Some(std::mem::take(&mut reading.problem)));
                }
            }
            if over {
                break (MonitorEnded::Watched, None);
            }
            if let Some(by) = self.heard.cancelled_by() {
                break (
                    MonitorEnded::Cancelled,
                    Some(card::in_lines([format!("cancelled by {by}"), left_after_cancel(self.plan)])),
                );
            }
            world.sleep(interval).await;
            self.sample(&mut samples).await?;
            if let Some((ended, problem, failed)) = self.interference().await {
                reading.culprits.extend(failed);
                break (ended, Some(problem));
            }
        };
        Ok(self.conclude(assessed, &samples, reading, ended, problem))
    }

    /// Reads every instance's halt state and chain again, and the halt's sources of truth.
    async fn read_again(&self, reading: &mut Reading) {
        let world = &*self.cx.ports.world;
        let found = verify::examine(self.cx, self.plan, &[]).await;
        reading.consistency = found.consistency();
        reading.problem = card::in_lines(&found.problems);
        reading.culprits = found.culprits();
        if reading.halted.is_none() {
            let (sources, limit) = (&self.cx.ports.target.halt, self.cx.policy.time.look);
            reading.halted = halt::began_since(world, sources, limit, self.halt_then).await;
            if let Some(why) = &reading.halted {
                self.cx.show(Slot::Escalation, card::halt_began(self.cx, why)).await;
            }
        }
        reading.read_at = world.monotonic();
    }

    /// Takes the next sample and keeps it. What cannot be read is a gap, which counts as not observed.
    async fn sample(&self, samples: &mut Vec<Load>) -> Result<(), Interrupted> {
        let since = samples.last().map_or(self.since, |last| last.until);
        match self.cx.load(since).await {
            Ok(load) => {
                self.cx.ports.samples.keep(self.cx.operation, samples.len() as u64, &load).await?;
                samples.push(load);
            }
            Err(error) => tracing::warn!(operation = %self.cx.operation, %error, "a sample is missing"),
        }
        Ok(())
    }

    /// Whether the fleet is still what the operation left.
    async fn interference(&self) -> Option<(MonitorEnded, String, Vec<InstanceId>)> {
        let interfered = |problem| Some((MonitorEnded::Interfered, problem, Vec::new()));
        match self.cx.fleet().await {
            Err(error @ PortError::Gone { .. }) => Some((MonitorEnded::Gone, error.to_string(), Vec::new())),
            Ok(state) => {
                if let Some(what) = guard::changed_by_others(&state, self.plan, self.plan.to, &[]) {
                    return interfered(what);
                }
                let failed = self.failed(&state);
                if failed.is_empty() {
                    return None;
                }
                let names = failed.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
                Some((MonitorEnded::Failing, format!("new and ended while the fleet was watched: {names}"), failed))
            }
            // A look that failed says nothing about the fleet; the next one may.
            Err(_) => None,
        }
    }

    /// The new instances that are gone or will not come back.
    fn failed(&self, state: &FleetState) -> Vec<InstanceId> {
        let has_failed = |id: &&InstanceId| {
            let now = state.instances.iter().find(|instance| instance.id == **id);
            now.is_none_or(|instance| instance.state == InstanceState::Failed)
        };
        self.newcomers.iter().filter(has_failed).cloned().collect()
    }

    async fn show(&self, samples: &[Load], observed: Duration) {
        let card = card::monitoring(self.cx, samples.last(), self.newcomers, observed, self.cx.policy.time.monitor);
        self.cx.show(Slot::Progress, card).await;
    }

    fn conclude(
        &self,
        assessed: &Assessed,
        samples: &[Load],
        reading: Reading,
        ended: MonitorEnded,
        problem: Option<String>,
    ) -> Monitored {
        let judgement = judge::judge(&Evidence {
            direction: self.cx.request.direction,
            before: assessed.load.known(),
            since: self.since,
            samples,
            newcomers: self.newcomers,
            window: self.cx.policy.time.monitor,
            warm_up: self.cx.policy.time.warm_up(),
            limits: &self.cx.policy.load,
            consistency: &reading.consistency,
        });
        let mut culprits = judgement.culprits.clone();
        if ended != MonitorEnded::Watched || judgement.verdict == Verdict::Inconsistent {
            culprits.extend(reading.culprits);
        }
        culprits.retain(|one| self.newcomers.contains(one));
        culprits.sort();
        culprits.dedup();
        Monitored {
            ended,
            judgement,
            culprits,
            window: self.cx.policy.time.monitor.into(),
            observed: observed_of(samples).into(),
            samples: samples.len() as u64,
            samples_digest: digest(samples).to_string(),
            problem,
            halted: reading.halted,
        }
    }
}

fn observed_of(samples: &[Load]) -> Duration {
    samples.iter().map(|sample| sample.window.duration()).sum()
}

/// SHA-256 over the samples' JSON, each preceded by its length.
fn digest(samples: &[Load]) -> Hash {
    let mut hasher = Sha256::new();
    for sample in samples {
        // A struct of plain values always serialises; were that ever to change, the digest would still differ.
        let json = serde_json::to_vec(sample).unwrap_or_default();
        hasher.update((json.len() as u64).to_be_bytes());
        hasher.update(json);
    }
    Hash(hasher.finalize().into())
}
