//! The limits an operation is held to. The runbook's values are the defaults; a service configures others.

use std::time::Duration;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::event::Hash;
use crate::ports::Role;
use crate::units::{Replicas, Timestamp};

/// Everything that decides, apart from what is observed. Its digest stands in every `requested`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Policy {
    /// How many instances there may be.
    pub count: CountLimits,
    /// When the fleet counts as too busy.
    pub load: LoadLimits,
    /// Who decides, and how long they have.
    pub approval: ApprovalRules,
    /// How long things may take.
    pub time: Times,
    /// How an instance is taken out of service.
    pub drain: DrainRules,
    /// What is done when a scaling turns out badly.
    pub back: BackRules,
    /// Who is told after whom, and when.
    pub escalation: EscalationRules,
    /// When a scaling is proposed.
    pub triggers: TriggerRules,
}

/// How an instance is taken out of service (the backend's shutdown order).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DrainRules {
    /// How long requests that are under way may take to end.
    pub in_flight: Duration,
    /// How long constitutional writes may take to end.
    pub constitutional: Duration,
    /// How long an instance may take to be gone, once it is told to end.
    pub exit: Duration,
    /// How long is waited, before anything is done, for work that must not be cut off.
    pub quiet: Duration,
    /// Where instances do not tell what they work on: how long to wait instead, shown as "waited, not measured". `None`
    /// refuses it.
    pub unmeasured: Option<Duration>,
}

/// What is done when a scaling turns out badly.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BackRules {
    /// Whether the fleet is brought back to the count before.
    pub rule: TakeBack,
    /// The most that is kept of what an instance wrote, in bytes.
    pub log_bytes: usize,
    /// What to follow then, as configured: the address of the incident runbook.
    pub incident_runbook: Option<String>,
}

/// Whether a fleet is brought back to the count before when what was done turns out badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeBack {
    /// By itself.
    Automatic,
    /// Once the operator or a governance lead says so; otherwise it is left as it is.
    Ask,
    /// Never: it is left as it is.
    Never,
}

/// Who is told after whom, and when (the runbook's table of escalation).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EscalationRules {
    /// How long the first role has to acknowledge what is HIGH.
    pub high: Duration,
    /// The same for what is MEDIUM.
    pub medium: Duration,
    /// How often what is CRITICAL is said again.
    pub critical_again: Duration,
    /// Who is told after that role; nobody configured means the same role again.
    pub next: Vec<(Role, Role)>,
}

/// When a scaling is proposed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TriggerRules {
    /// Between two looks.
    pub every: Duration,
    /// How long a dismissed proposal stays quiet.
    pub quiet: Duration,
    /// The conditions on which a scaling is begun without being asked, with every check and approval all the same.
    pub by_itself: Vec<Trigger>,
    /// Load that is expected.
    pub planned: Vec<Planned>,
}

/// A reason to scale (the runbook's trigger conditions).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The 99th percentile of latency is over its limit.
    Latency,
    /// CPU is over its limit.
    Cpu,
    /// Memory is over its limit.
    Memory,
    /// Load is expected that needs more instances.
    Planned,
    /// The failure prevention system warns.
    EarlyWarning,
    /// So much is free that fewer instances would do.
    Idle,
}

/// Load that is expected.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Planned {
    /// From when on the instances are needed.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// How many are needed in all.
    pub instances: Replicas,
    /// Why, as a card says it.
    pub why: String,
}

/// How governance approves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ApprovalRules {
    /// How long there is to decide.
    pub decide_within: Duration,
    /// How long after the decision it may be carried out.
    pub execute_within: Duration,
    /// How many approvals are needed.
    pub quorum: u32,
    /// Whether who asked may approve.
    pub requester_may: bool,
}

/// How many instances there may be, and how fast that may change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CountLimits {
    /// Never fewer.
    pub minimum: Replicas,
    /// Never more, where there is such a limit.
    pub maximum: Option<Replicas>,
    /// The largest change in one operation, in percent of the present count.
    pub largest_step_percent: u32,
    /// How long after an operation's end the next may begin.
    pub cool_down: Duration,
    /// When nothing may be changed.
    pub freeze: Vec<FreezeWindow>,
}

/// A time in which nothing may be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FreezeWindow {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end.
    pub until: Timestamp,
    /// Why, as a card says it.
    pub why: String,
}

/// When the fleet counts as too busy (the runbook's trigger conditions).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadLimits {
    /// The 99th percentile of request latency, in milliseconds.
    pub p99_ms: f64,
    /// The share of requests that fail.
    pub error_share: f64,
    /// CPU time over wall time and core.
    pub cpu: f64,
    /// Memory over the instance's limit.
    pub memory: f64,
    /// The share of its worker slots that an instance may have busy, predicted for those that stay.
    pub busy: f64,
    /// What one instance may use, in bytes; `None` when nobody said.
    pub memory_limit_bytes: Option<u64>,
    /// Over how long a figure must hold to count.
    pub sustained: Duration,
    /// The least to look back on before a change, so that there is something to compare with afterwards.
    pub baseline: Duration,
    /// For how long after a halt was cleared caution is advised.
    pub halt_caution: Duration,
}

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// One look at one outside system.
    pub look: Duration,
    /// One look of a guard, an instant before an effect.
    pub guard: Duration,
    /// One round of all checks.
    pub round: Duration,
    /// How long the first observation of the fleet is tried.
    pub assess: Duration,
    /// Every new instance must be ready by then.
    pub ready_within: Duration,
    /// An instance counts as ready once it has been so for this long on end.
    pub ready_for: Duration,
    /// Between two looks at the fleet while waiting.
    pub poll: Duration,
    /// How long verification asks again where an answer may still come.
    pub verify: Duration,
    /// Between two rounds of verification.
    pub verify_pause: Duration,
    /// How long the fleet is watched.
    pub monitor: Duration,
}

impl Times {
    /// Between two samples while monitoring.
    pub fn sample_interval(&self) -> Duration {
        (self.monitor / 20).min(Duration::from_secs(15))
    }

    /// The first part of monitoring, left out of the figures because new instances are still warming up.
    pub fn warm_up(&self) -> Duration {
        (self.monitor / 5).min(Duration::from_mins(1))
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            count: CountLimits {
                minimum: Replicas(1),
                maximum: None,
                largest_step_percent: 100,
                cool_down: Duration::from_mins(5),
                freeze: Vec::new(),
            },
            load: LoadLimits {
                p99_ms: 500.0,
                error_share: 0.01,
                cpu: 0.70,
                memory: 0.80,
                busy: 0.75,
                memory_limit_bytes: None,
                sustained: Duration::from_mins(5),
                baseline: Duration::from_secs(8),
                halt_caution: Duration::from_hours(48),
            },
            approval: ApprovalRules {
                decide_within: Duration::from_mins(15),
                execute_within: Duration::from_mins(10),
                quorum: 1,
                requester_may: false,
            },
            time: Times {
                look: Duration::from_secs(5),
                guard: Duration::from_millis(1_500),
                round: Duration::from_secs(10),
                assess: Duration::from_secs(30),
                ready_within: Duration::from_mins(10),
                ready_for: Duration::from_secs(3),
                poll: Duration::from_millis(500),
                verify: Duration::from_secs(30),
                verify_pause: Duration::from_secs(2),
                monitor: Duration::from_mins(15),
            },
            drain: DrainRules {
                in_flight: Duration::from_secs(30),
                constitutional: Duration::from_mins(1),
                exit: Duration::from_secs(30),
                quiet: Duration::from_mins(1),
                unmeasured: None,
            },
            back: BackRules { rule: TakeBack::Automatic, log_bytes: 1 << 20, incident_runbook: None },
            escalation: EscalationRules {
                high: Duration::from_mins(15),
                medium: Duration::from_hours(1),
                critical_again: Duration::from_mins(15),
                next: Vec::new(),
            },
            triggers: TriggerRules {
                every: Duration::from_secs(15),
                quiet: Duration::from_mins(30),
                by_itself: Vec::new(),
                planned: Vec::new(),
            },
        }
    }
}

impl Policy {
    /// What a rehearsal changes: shorter waits, no cool-down, and a known memory limit of the rehearsal's instances.
    pub fn rehearsal(monitor: Duration) -> Self {
        let mut policy = Self::default();
        policy.count.cool_down = Duration::ZERO;
        policy.load.memory_limit_bytes = Some(256 << 20);
        policy.time.ready_within = Duration::from_secs(30);
        policy.time.verify = Duration::from_secs(10);
        policy.time.assess = Duration::from_secs(10);
        policy.time.monitor = monitor;
        policy.drain.quiet = Duration::from_secs(20);
        policy.triggers.every = Duration::from_secs(5);
        policy.escalation.next =
            vec![(Role::InfrastructureTeam, Role::SystemArchitect), (Role::SystemArchitect, Role::GovernanceLead)];
        policy
    }

    /// SHA-256 over its values, so that the record shows which policy was in force.
    pub fn digest(&self) -> Hash {
        let mut hasher = Sha256::new();
        // A struct of plain values always serialises; were that ever to change, the digest would still differ.
        hasher.update(serde_json::to_vec(self).unwrap_or_default());
        Hash(hasher.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_limit_changes_the_digest() {
        let mut other = Policy::default();
        assert_eq!(other.digest(), Policy::default().digest());
        other.load.p99_ms = 501.0;
        assert_ne!(other.digest(), Policy::default().digest());
    }

    #[test]
    fn samples_come_every_fifteen_seconds_in_service_and_twenty_times_in_a_short_rehearsal() {
        assert_eq!(Policy::default().time.sample_interval(), Duration::from_secs(15));
        assert_eq!(Policy::rehearsal(Duration::from_mins(1)).time.sample_interval(), Duration::from_secs(3));
        assert_eq!(Policy::default().time.warm_up(), Duration::from_mins(1));
    }
}
