//! What is counted and timed as events are appended: how operations end, what checks and approvals come to, how long each
//! step takes. Every label is of a list that the program knows beforehand; an operation's name is none.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scalebot_commands::capacity::finished_of;
use scalebot_commands::checks::Status;
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::ports::World;
use scalebot_commands::steps::Outcome;
use scalebot_commands::units::OperationId;
use serde::Deserialize;

use crate::measures::{Histogram, Measured};

/// The buckets of steps in seconds, from a look to an hour's waiting.
const STEP_BOUNDS: [f64; 14] =
    [0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0];

/// How many operations are followed at most; one is under way on each fleet.
const FOLLOWED: usize = 1_000;

/// Every check by its name, and its label. What another version calls otherwise is counted as `other`.
const CHECKS: [(&str, &str); 19] = [
    ("instance count", "instance_count"),
    ("latency", "latency"),
    ("errors", "errors"),
    ("CPU", "cpu"),
    ("memory", "memory"),
    ("busy share", "busy_share"),
    ("halt state", "halt_state"),
    ("complexity budget", "complexity_budget"),
    ("rationale", "rationale"),
    ("early warnings", "early_warnings"),
    ("database connections", "database_connections"),
    ("Redis connections", "redis_connections"),
    ("load balancer", "load_balancer"),
    ("room", "room"),
    ("who else steers", "who_else_steers"),
    ("declared count", "declared_count"),
    ("long-running work", "long_running_work"),
    ("disruption budget", "disruption_budget"),
    ("drain", "drain"),
];

/// The label of a check that this version does not know.
const OTHER: &str = "other";

/// What a check comes to, and its label.
const STATUSES: [(Status, &str); 5] = [
    (Status::Pass, "pass"),
    (Status::Warn, "warn"),
    (Status::Fail, "fail"),
    (Status::Unknown, "unknown"),
    (Status::NotConfigured, "not_configured"),
];

/// What an approval comes to, and its label.
const APPROVALS: [(Kind, &str); 4] = [
    (Kind::Approved, "approved"),
    (Kind::Overridden, "overridden"),
    (Kind::Rejected, "rejected"),
    (Kind::Expired, "expired"),
];

/// The events that end a step, and the step's label. Those of an effect end with the answer to its intent.
const STEPS: [(Kind, &str); 28] = [
    (Kind::Assessed, "assess"),
    (Kind::Rationale, "ask_why"),
    (Kind::Attested, "attest_keys"),
    (Kind::Prechecked, "precheck"),
    (Kind::Approved, "approve"),
    (Kind::Rejected, "approve"),
    (Kind::Expired, "approve"),
    (Kind::Overridden, "approve"),
    (Kind::HoldingAnswered, "hold_others_still"),
    (Kind::ReleasingAnswered, "put_others_back"),
    (Kind::ScalingAnswered, "scale"),
    (Kind::Scaled, "wait_until_ready"),
    (Kind::NotReady, "wait_until_ready"),
    (Kind::Quiesced, "wait_until_free"),
    (Kind::Reassessed, "reassess"),
    (Kind::DrainingAnswered, "stop_routing"),
    (Kind::Drained, "drain"),
    (Kind::ReadmittingAnswered, "readmit"),
    (Kind::TerminatingAnswered, "terminate"),
    (Kind::Terminated, "wait_until_gone"),
    (Kind::WayBack, "decide_way_back"),
    (Kind::LogsSaved, "save_logs"),
    (Kind::RollingBackAnswered, "roll_back"),
    (Kind::RolledBack, "wait_until_back"),
    (Kind::HaltingAnswered, "halt"),
    (Kind::Verified, "verify"),
    (Kind::Monitored, "monitor"),
    (Kind::Documented, "document"),
];

/// What people and the world say while a step runs, and what is told beside it: a step begins with none of these.
const BESIDE: [Kind; 16] = [
    Kind::VoteCast,
    Kind::VoteWithdrawn,
    Kind::VoteRefused,
    Kind::ReasonGiven,
    Kind::AttestationGiven,
    Kind::CancelRequested,
    Kind::HaltOffered,
    Kind::HaltAnswered,
    Kind::Escalated,
    Kind::Reescalated,
    Kind::Acknowledged,
    Kind::Interference,
    Kind::FollowUp,
    Kind::FollowUpClosed,
    Kind::ClockJump,
    Kind::WitnessGap,
];

/// Every way in which an operation ends.
const OUTCOMES: [Outcome; 7] = [
    Outcome::Completed,
    Outcome::Refused,
    Outcome::Rejected,
    Outcome::Expired,
    Outcome::Cancelled,
    Outcome::RolledBack,
    Outcome::Failed,
];

/// An outcome as it stands in the log.
fn label(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Completed => "completed",
        Outcome::Refused => "refused",
        Outcome::Rejected => "rejected",
        Outcome::Expired => "expired",
        Outcome::Cancelled => "cancelled",
        Outcome::RolledBack => "rolled_back",
        Outcome::Failed => "failed",
    }
}

/// What is counted as it is appended.
pub(crate) struct Observed {
    clock: Arc<dyn World>,
    counts: Mutex<Counts>,
    steps: BTreeMap<&'static str, Histogram>,
    /// When the last event was appended, in milliseconds since 1970; 0 for never.
    last: AtomicU64,
    failures: AtomicU64,
}

struct Counts {
    appended: u64,
    ended: BTreeMap<&'static str, u64>,
    checks: BTreeMap<(&'static str, &'static str), u64>,
    approvals: BTreeMap<&'static str, u64>,
    /// Since when the present step of an operation runs, by the monotonic clock.
    began: HashMap<OperationId, Duration>,
}

/// Everything that was counted, at one moment. Every label that there can be is there, so that its first rise is seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) appended: u64,
    /// In milliseconds since 1970.
    pub(super) last_append: Option<u64>,
    /// Appends that the log could not take.
    pub(super) failures: u64,
    /// Operations, by how they ended.
    pub(super) ended: BTreeMap<&'static str, u64>,
    /// Checks, by which and by what they came to.
    pub(super) checks: BTreeMap<(&'static str, &'static str), u64>,
    /// Approvals, by what they came to.
    pub(super) approvals: BTreeMap<&'static str, u64>,
    /// How long each step took.
    pub(super) steps: BTreeMap<&'static str, Measured>,
}

/// The part of `prechecked` that is counted. It reads what a later version adds something to as well.
#[derive(Deserialize)]
struct Prechecked {
    checks: Vec<Checked>,
}

#[derive(Deserialize)]
struct Checked {
    name: String,
    status: Status,
}

impl Observed {
    /// Nothing was appended yet.
    pub(crate) fn new(clock: Arc<dyn World>) -> Self {
        let checks = CHECKS.iter().map(|(_, label)| *label).chain([OTHER]);
        let counts = Counts {
            appended: 0,
            ended: OUTCOMES.map(|outcome| (label(outcome), 0)).into(),
            checks: checks.flat_map(|check| STATUSES.map(|(_, status)| ((check, status), 0))).collect(),
            approvals: APPROVALS.map(|(_, label)| (label, 0)).into(),
            began: HashMap::new(),
        };
        Self {
            clock,
            counts: Mutex::new(counts),
            steps: STEPS.iter().map(|(_, step)| (*step, Histogram::new(&STEP_BOUNDS))).collect(),
            last: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// An event was appended.
    pub(crate) fn see(&self, event: &Event) {
        self.last.store(u64::try_from(self.clock.now().as_millisecond()).unwrap_or(0), Ordering::Relaxed);
        let mut counts = self.counts();
        counts.appended += 1;
        let Some(kind) = Kind::parse(&event.kind) else { return };
        match kind {
            Kind::Finished => {
                if let Some(finished) = finished_of(event) {
                    *counts.ended.entry(label(finished.outcome)).or_default() += 1;
                }
            }
            Kind::Prechecked => {
                let checks = serde_json::from_str::<Prechecked>(&event.body).map(|body| body.checks);
                for Checked { name, status } in checks.unwrap_or_default() {
                    let check = CHECKS.iter().find(|(known, _)| *known == name).map_or(OTHER, |(_, label)| label);
                    let status = STATUSES.iter().find(|(known, _)| *known == status).map_or(OTHER, |(_, label)| label);
                    *counts.checks.entry((check, status)).or_default() += 1;
                }
            }
            _ => {}
        }
        if let Some((_, result)) = APPROVALS.iter().find(|(known, _)| *known == kind) {
            *counts.approvals.entry(result).or_default() += 1;
        }
        if let Some(operation) = &event.operation {
            self.time(&mut counts, operation, kind);
        }
    }

    /// The log could not take an event.
    pub(crate) fn could_not_append(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything until now.
    pub(super) fn counted(&self) -> Counted {
        let last = self.last.load(Ordering::Relaxed);
        let counts = self.counts();
        Counted {
            appended: counts.appended,
            last_append: (last > 0).then_some(last),
            failures: self.failures.load(Ordering::Relaxed),
            ended: counts.ended.clone(),
            checks: counts.checks.clone(),
            approvals: counts.approvals.clone(),
            steps: self.steps.iter().map(|(step, histogram)| (*step, histogram.measured())).collect(),
        }
    }

    /// A step runs from the event before it to its own. One that a process took up again is not timed: when it began is
    /// not known here.
    fn time(&self, counts: &mut Counts, operation: &OperationId, kind: Kind) {
        if BESIDE.contains(&kind) {
            return;
        }
        let now = self.clock.monotonic();
        let began = counts.began.remove(operation);
        if let Some(began) = began
            && let Some((_, step)) = STEPS.iter().find(|(known, _)| *known == kind)
            && let Some(histogram) = self.steps.get(step)
        {
            histogram.took(now.saturating_sub(began));
        }
        let goes_on = !matches!(kind, Kind::Finished | Kind::Abandoned | Kind::Parked | Kind::Resumed);
        if goes_on && counts.began.len() < FOLLOWED {
            counts.began.insert(operation.clone(), now);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
