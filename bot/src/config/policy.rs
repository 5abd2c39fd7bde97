//! The limits, as they are written down. Every default is the runbook's own: it stands in [`Policy::default`] and nowhere
//! else. A value that the policy gains does not compile until it can be configured.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_adapters::settings::length;
use scalebot_commands::policy::{
    ApprovalRules, BackRules, CountLimits, DrainRules, EscalationRules, FreezeWindow, LoadLimits, Planned, Policy,
    TakeBack, Times, Trigger, TriggerRules,
};
use scalebot_commands::ports::Role;
use scalebot_commands::units::{Replicas, Timestamp};
use serde::{Deserialize, Deserializer};

use super::units::{milliseconds, optional_bytes, optional_length, share, size, step};

/// `[policy]`.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct PolicySettings(#[serde(with = "Whole")] pub(crate) Policy);

#[derive(Deserialize)]
#[serde(remote = "Policy", default = "Policy::default", deny_unknown_fields)]
struct Whole {
    #[serde(with = "Count")]
    count: CountLimits,
    #[serde(with = "Load")]
    load: LoadLimits,
    #[serde(with = "Approval")]
    approval: ApprovalRules,
    #[serde(with = "Time")]
    time: Times,
    #[serde(with = "Drain")]
    drain: DrainRules,
    #[serde(with = "Back")]
    back: BackRules,
    #[serde(with = "Escalation")]
    escalation: EscalationRules,
    #[serde(with = "Triggers")]
    triggers: TriggerRules,
}

fn count() -> CountLimits {
    Policy::default().count
}

#[derive(Deserialize)]
#[serde(remote = "CountLimits", default = "count", deny_unknown_fields)]
struct Count {
    minimum: Replicas,
    maximum: Option<Replicas>,
    #[serde(rename = "largest_step", with = "step")]
    largest_step_percent: u32,
    #[serde(with = "length")]
    cool_down: Duration,
    #[serde(deserialize_with = "freeze")]
    freeze: Vec<FreezeWindow>,
}

fn freeze<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<FreezeWindow>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Freeze {
        from: Timestamp,
        until: Timestamp,
        why: String,
    }
    let windows = Vec::<Freeze>::deserialize(from)?.into_iter();
    Ok(windows.map(|Freeze { from, until, why }| FreezeWindow { from, until, why }).collect())
}

fn load() -> LoadLimits {
    Policy::default().load
}

#[derive(Deserialize)]
#[serde(remote = "LoadLimits", default = "load", deny_unknown_fields)]
struct Load {
    #[serde(rename = "p99", with = "milliseconds")]
    p99_ms: f64,
    #[serde(rename = "errors", with = "share")]
    error_share: f64,
    #[serde(with = "share")]
    cpu: f64,
    #[serde(with = "share")]
    memory: f64,
    #[serde(with = "share")]
    busy: f64,
    #[serde(rename = "memory_limit", with = "optional_bytes")]
    memory_limit_bytes: Option<u64>,
    #[serde(with = "length")]
    sustained: Duration,
    #[serde(with = "length")]
    baseline: Duration,
    #[serde(with = "length")]
    halt_caution: Duration,
}

fn approval() -> ApprovalRules {
    Policy::default().approval
}

#[derive(Deserialize)]
#[serde(remote = "ApprovalRules", default = "approval", deny_unknown_fields)]
struct Approval {
    #[serde(with = "length")]
    decide_within: Duration,
    #[serde(with = "length")]
    execute_within: Duration,
    quorum: u32,
    requester_may: bool,
}

fn time() -> Times {
    Policy::default().time
}

#[derive(Deserialize)]
#[serde(remote = "Times", default = "time", deny_unknown_fields)]
struct Time {
    #[serde(with = "length")]
    look: Duration,
    #[serde(with = "length")]
    guard: Duration,
    #[serde(with = "length")]
    round: Duration,
    #[serde(with = "length")]
    assess: Duration,
    #[serde(with = "length")]
    ready_within: Duration,
    #[serde(with = "length")]
    ready_for: Duration,
    #[serde(with = "length")]
    poll: Duration,
    #[serde(with = "length")]
    verify: Duration,
    #[serde(with = "length")]
    verify_pause: Duration,
    #[serde(with = "length")]
    monitor: Duration,
}

fn drain() -> DrainRules {
    Policy::default().drain
}

#[derive(Deserialize)]
#[serde(remote = "DrainRules", default = "drain", deny_unknown_fields)]
struct Drain {
    #[serde(with = "length")]
    in_flight: Duration,
    #[serde(with = "length")]
    constitutional: Duration,
    #[serde(with = "length")]
    exit: Duration,
    #[serde(with = "length")]
    quiet: Duration,
    #[serde(with = "optional_length")]
    unmeasured: Option<Duration>,
}

fn back() -> BackRules {
    Policy::default().back
}

#[derive(Deserialize)]
#[serde(remote = "BackRules", default = "back", deny_unknown_fields)]
struct Back {
    #[serde(with = "Rule")]
    rule: TakeBack,
    #[serde(rename = "log_size", with = "size")]
    log_bytes: usize,
    incident_runbook: Option<String>,
}

#[derive(Deserialize)]
#[serde(remote = "TakeBack", rename_all = "snake_case")]
enum Rule {
    Automatic,
    Ask,
    Never,
}

fn escalation() -> EscalationRules {
    Policy::default().escalation
}

#[derive(Deserialize)]
#[serde(remote = "EscalationRules", default = "escalation", deny_unknown_fields)]
struct Escalation {
    #[serde(with = "length")]
    high: Duration,
    #[serde(with = "length")]
    medium: Duration,
    #[serde(with = "length")]
    critical_again: Duration,
    #[serde(deserialize_with = "next")]
    next: Vec<(Role, Role)>,
}

fn next<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(Role, Role)>, D::Error> {
    Ok(BTreeMap::<Role, Role>::deserialize(from)?.into_iter().collect())
}

fn triggers() -> TriggerRules {
    Policy::default().triggers
}

#[derive(Deserialize)]
#[serde(remote = "TriggerRules", default = "triggers", deny_unknown_fields)]
struct Triggers {
    #[serde(with = "length")]
    every: Duration,
    #[serde(with = "length")]
    quiet: Duration,
    by_itself: Vec<Trigger>,
    #[serde(deserialize_with = "planned")]
    planned: Vec<Planned>,
}

fn planned<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Planned>, D::Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Expected {
        from: Timestamp,
        until: Timestamp,
        instances: Replicas,
        why: String,
    }
    let planned = Vec::<Expected>::deserialize(from)?.into_iter();
    Ok(planned.map(|Expected { from, until, instances, why }| Planned { from, until, instances, why }).collect())
}
