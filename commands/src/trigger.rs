//! The runbook's trigger conditions, looked at while nothing is under way. When one holds, a scaling is proposed; it is
//! begun by itself only where policy says so for exactly that condition.
//!
//! [`evaluate`] decides from what was seen, and from nothing else. A figure that is over its limit counts also where
//! others are missing; what is missing never counts as "little enough to do with fewer".

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::capacity::Capacity;
use crate::card::clock;
use crate::figures::{InstanceLoad, Load};
use crate::policy::{CountLimits, Planned, Policy, Trigger};
use crate::ports::{EarlyWarning, FleetState, InstanceState};
use crate::reading::Reading;
use crate::request::{MAX_REASON, escaped, quoted};
use crate::units::{InstanceId, Person, Replicas, TargetName, Timestamp, elapsed};

/// The body of `proposed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Proposed {
    /// Names the proposal.
    pub proposal: String,
    /// The fleet.
    pub target: TargetName,
    /// The condition.
    pub trigger: Trigger,
    /// The figures, in words with their limits.
    pub because: String,
    /// The count now.
    pub from: Replicas,
    /// The count that is suggested.
    pub to: Replicas,
}

/// The body of `dismissed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dismissed {
    /// The proposal.
    pub proposal: String,
    /// The condition that stays quiet for a time.
    pub trigger: Trigger,
    /// Who.
    pub by: Person,
}

/// How much of a limit those that stay may be predicted to use: whoever has just taken an instance away should not be
/// told to add one.
const MARGIN: f64 = 0.9;

/// How much of the window that a figure should hold over must be covered, as a share: looks come in steps.
const COVERED: f64 = 0.8;

/// What was seen of a fleet at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// The fleet.
    pub fleet: FleetState,
    /// Its load over [`window`].
    pub load: Reading<Load>,
    /// Its early warnings.
    pub warnings: Warnings,
}

/// The early warnings of all instances.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Warnings {
    /// Those that are active, each once.
    pub active: Vec<EarlyWarning>,
    /// Whether an instance that should tell did not.
    pub untold: bool,
}

/// A condition that holds, and what would be done about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Holds {
    /// Which.
    pub trigger: Trigger,
    /// The figures, in words with their limits.
    pub because: String,
    /// The count now.
    pub from: Replicas,
    /// The count that is suggested, within what policy lets one step do.
    pub to: Replicas,
    /// What the suggestion rests on.
    pub basis: Basis,
}

/// What a suggested count rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Basis {
    /// What an instance was measured to carry.
    Measured(Capacity),
    /// The figures of the condition itself.
    Figures,
    /// Nothing: what an instance carries is not measured, so it is one more.
    OneMore,
    /// The plan.
    Plan,
}

impl Trigger {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Latency => "latency over its limit",
            Self::Cpu => "CPU over its limit",
            Self::Memory => "memory over its limit",
            Self::Planned => "planned load",
            Self::EarlyWarning => "early warning",
            Self::Idle => "more capacity than needed",
        }
    }
}

impl Holds {
    /// The command that does it, as a person would type it.
    pub fn command(&self, target: &TargetName) -> String {
        command(target, self.from, self.to, &self.because)
    }
}

impl Proposed {
    /// The command that does it, as a person would type it.
    pub fn command(&self) -> String {
        command(&self.target, self.from, self.to, &self.because)
    }
}

fn command(target: &TargetName, from: Replicas, to: Replicas, because: &str) -> String {
    let way = if to > from { "up" } else { "down" };
    let reason = shortened(because);
    let name = target.as_str();
    let target = if name.contains(' ') { format!("\"{name}\"") } else { name.to_owned() };
    format!("/scale {way} {to} target:{target} reason:\"{reason}\"")
}

/// Over how long a figure has to hold: the policy's window, or since the count last changed.
pub fn window(policy: &Policy, fleet: &FleetState, now: Timestamp) -> Duration {
    let longest = policy.load.sustained;
    fleet.changed_at.map_or(longest, |changed| elapsed(changed, now).min(longest))
}

/// The load, where it covers enough of that window to say something.
fn covering<'a>(policy: &Policy, seen: &'a Seen, now: Timestamp) -> Option<&'a Load> {
    let load = seen.load.known()?;
    let enough = window(policy, &seen.fleet, now).mul_f64(COVERED).max(policy.load.baseline);
    (load.window.duration() >= enough).then_some(load)
}

/// Every condition that holds and for which something could be done, in the runbook's order.
pub fn evaluate(policy: &Policy, seen: &Seen, now: Timestamp) -> Vec<Holds> {
    let load = covering(policy, seen, now);
    let from = seen.fleet.wanted;
    let (needed, basis) = needed(policy, load, from);
    let more = |trigger: Trigger, because: String| {
        let to = within(&policy.count, from, needed);
        (to > from).then_some(Holds { trigger, because: shortened(&because), from, to, basis })
    };
    let over = load.map(|load| Over { policy, load, fleet: &seen.fleet });
    let mut holds: Vec<Holds> = [
        over.as_ref().and_then(Over::latency).and_then(|because| more(Trigger::Latency, because)),
        over.as_ref().and_then(Over::cpu).and_then(|because| more(Trigger::Cpu, because)),
        over.as_ref().and_then(Over::memory).and_then(|because| more(Trigger::Memory, because)),
        planned(policy, from, now),
        warned(&seen.warnings).and_then(|because| more(Trigger::EarlyWarning, because)),
    ]
    .into_iter()
    .flatten()
    .collect();
    if holds.is_empty() {
        holds.extend(load.and_then(|load| idle(policy, seen, load, now)));
    }
    holds
}

/// Whether what was seen can deny that condition: one that cannot be looked at has not ceased to hold.
pub fn is_told(policy: &Policy, seen: &Seen, trigger: Trigger, now: Timestamp) -> bool {
    let load = covering(policy, seen, now);
    match trigger {
        // A plan is always known. Fewer are never proposed on what is not known, and are no longer either.
        Trigger::Planned | Trigger::Idle => true,
        Trigger::EarlyWarning => !seen.warnings.untold,
        Trigger::Latency => load.is_some_and(|load| load.missing.is_empty() && load.percentiles().is_some()),
        Trigger::Cpu => load.is_some_and(|load| load.missing.is_empty() && all(load, cpu).is_some()),
        Trigger::Memory => load.is_some_and(|load| load.missing.is_empty() && all(load, memory).is_some()),
    }
}

/// How many instances it takes, so that each is busy no longer than the policy lets it be; always more than there are.
fn needed(policy: &Policy, load: Option<&Load>, from: Replicas) -> (Replicas, Basis) {
    let one_more = Replicas(from.0.saturating_add(1));
    let Some(capacity) = load.and_then(Capacity::measure) else { return (one_more, Basis::OneMore) };
    let each = capacity.per_instance * policy.load.busy;
    let needed = capacity.load / each;
    if !(needed.is_finite() && each > 0.0) {
        return (one_more, Basis::OneMore);
    }
    // A float that is too large for it becomes the largest count, which policy then cuts.
    (Replicas(needed.ceil() as u32).max(one_more), Basis::Measured(capacity))
}

/// The count nearest to the wanted one that one step may reach.
fn within(limits: &CountLimits, from: Replicas, wanted: Replicas) -> Replicas {
    let step = u64::from(from.0) * u64::from(limits.largest_step_percent) / 100;
    let step = u32::try_from(step).unwrap_or(u32::MAX);
    let most = from.0.saturating_add(step).min(limits.maximum.map_or(u32::MAX, |maximum| maximum.0));
    let least = from.0.saturating_sub(step).max(limits.minimum.0);
    // A fleet beyond a limit is not brought back within it by the wrong direction.
    if wanted >= from { Replicas(wanted.0.min(most).max(from.0)) } else { Replicas(wanted.0.max(least).min(from.0)) }
}

/// The limits of the load, as far as they are exceeded.
struct Over<'a> {
    policy: &'a Policy,
    load: &'a Load,
    fleet: &'a FleetState,
}

impl Over<'_> {
    fn latency(&self) -> Option<String> {
        let (p99, limit) = (self.load.percentiles()?.p99_ms, self.policy.load.p99_ms);
        (p99 > limit).then(|| format!("p99 {p99:.0} ms, limit {limit:.0} ms, over {}", self.load.window))
    }

    fn cpu(&self) -> Option<String> {
        self.share("CPU", self.policy.load.cpu, cpu)
    }

    fn memory(&self) -> Option<String> {
        let whole = self.policy.load.memory_limit_bytes? as f64;
        self.share("memory", self.policy.load.memory, |one| memory(one).map(|bytes| bytes / whole))
    }

    /// Each instance and the mean count; the worst is never better than the mean.
    fn share(&self, what: &str, limit: f64, share: impl Fn(&InstanceLoad) -> Option<f64>) -> Option<String> {
        let known: Vec<(&InstanceId, f64)> =
            self.load.instances.iter().filter_map(|one| Some((&one.instance, share(one)?))).collect();
        let (worst, most) = known.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1))?;
        if most.is_nan() || most <= limit {
            return None;
        }
        let mean = known.iter().map(|(_, share)| share).sum::<f64>() / known.len() as f64;
        let of = if known.len() < self.fleet.instances.len() { " of those that tell" } else { "" };
        Some(format!(
            "{what} mean {:.0} %{of}, {worst} {:.0} %, limit {:.0} %, over {}",
            mean * 100.0,
            most * 100.0,
            limit * 100.0,
            self.load.window
        ))
    }
}

fn cpu(one: &InstanceLoad) -> Option<f64> {
    one.cpu
}

fn memory(one: &InstanceLoad) -> Option<f64> {
    one.memory_bytes.map(|bytes| bytes as f64)
}

/// That figure of every instance; `None` when any of them does not tell, or tells no number.
fn all(load: &Load, figure: impl Fn(&InstanceLoad) -> Option<f64>) -> Option<Vec<f64>> {
    let all: Option<Vec<f64>> =
        load.instances.iter().map(|one| figure(one).filter(|it| it.is_finite() && *it >= 0.0)).collect();
    all.filter(|all| !all.is_empty())
}

fn warned(warnings: &Warnings) -> Option<String> {
    let first = warnings.active.iter().find(|one| one.critical).or(warnings.active.first())?;
    let degree = if first.critical { "critical" } else { "warning" };
    let others = match warnings.active.len() - 1 {
        0 => String::new(),
        others => format!(", and {others} more"),
    };
    Some(format!(
        "early warning {} ({degree}): {} {} beyond {}{others}",
        quoted(&first.mode),
        quoted(&first.metric),
        first.value,
        first.threshold
    ))
}

/// The plan in force that needs the most. Instances that are needed from a moment on have to be ready by then, so that
/// it counts from as much earlier as they may take.
fn in_force<'a>(policy: &'a Policy, now: Timestamp) -> Option<&'a Planned> {
    let from = |plan: &Planned| {
        plan.from.checked_sub(jiff::SignedDuration::try_from(policy.time.ready_within).unwrap_or_default())
    };
    let in_force = |plan: &&'a Planned| from(plan).is_ok_and(|from| from <= now) && now < plan.until;
    policy.triggers.planned.iter().filter(in_force).max_by_key(|plan| plan.instances)
}

fn planned(policy: &Policy, from: Replicas, now: Timestamp) -> Option<Holds> {
    let plan = in_force(policy, now).filter(|plan| plan.instances > from)?;
    let to = within(&policy.count, from, plan.instances);
    let because =
        format!("planned: {} from {} until {}, {}", plan.instances, clock(plan.from), clock(plan.until), plan.why);
    (to > from).then(|| Holds { trigger: Trigger::Planned, because: shortened(&because), from, to, basis: Basis::Plan })
}

/// Whether fewer would do: everything that decides it is known, of every instance, and those that stay would be well
/// within every limit.
fn idle(policy: &Policy, seen: &Seen, load: &Load, now: Timestamp) -> Option<Holds> {
    let (fleet, limits) = (&seen.fleet, &policy.load);
    let from = fleet.wanted;
    let count = usize::try_from(from.0).ok()?;
    let settled = fleet.instances.len() == count && fleet.instances.iter().all(|one| one.state == InstanceState::Ready);
    let measured = load.missing.is_empty()
        && load.instances.len() == count
        && fleet.instances.iter().all(|one| load.instances.iter().any(|known| known.instance == one.id));
    if !settled || !measured || seen.warnings.untold || !seen.warnings.active.is_empty() {
        return None;
    }
    let (p99, errors) = (load.percentiles()?.p99_ms, load.error_share()?);
    if p99.is_nan() || p99 > limits.p99_ms * MARGIN || errors > limits.error_share {
        return None;
    }
    let total = |figure: &dyn Fn(&InstanceLoad) -> Option<f64>| all(load, figure).map(|all| all.iter().sum::<f64>());
    let (busy, cpu) = (total(&|one| one.saturation)?, total(&cpu)?);
    // What an instance needs to live does not go away with another; shared out it is the most that can come of it.
    let memory = match limits.memory_limit_bytes {
        Some(whole) => Some(total(&memory)? / whole as f64),
        None => None,
    };
    let fits = |total: f64, limit: f64, stay: u32| total / f64::from(stay) <= limit * MARGIN;
    let carry = |stay: &u32| {
        fits(busy, limits.busy, *stay)
            && fits(cpu, limits.cpu, *stay)
            && memory.is_none_or(|memory| fits(memory, limits.memory, *stay))
    };
    let least =
        within(&policy.count, from, Replicas(1)).max(in_force(policy, now).map_or(Replicas(1), |plan| plan.instances));
    let to = (least.0.max(1)..from.0).find(carry)?;
    let because = format!(
        "{to} would be busy {:.0} % (limit {:.0} %) and use {:.0} % CPU (limit {:.0} %); p99 {p99:.0} ms, limit {:.0} ms, over {}",
        busy / f64::from(to) * 100.0,
        limits.busy * 100.0,
        cpu / f64::from(to) * 100.0,
        limits.cpu * 100.0,
        limits.p99_ms,
        load.window
    );
    let (because, to) = (shortened(&because), Replicas(to));
    Some(Holds { trigger: Trigger::Idle, because, from, to, basis: Basis::Figures })
}

/// At most what fits into a reason, with nothing in it that would end the quotation.
fn shortened(because: &str) -> String {
    let safe = escaped(&because.replace('"', "'"), MAX_REASON);
    if safe.chars().count() <= MAX_REASON { safe } else { safe.chars().take(MAX_REASON - 1).chain(['…']).collect() }
}

/// Whether that suggestion is another than the one that people have before them: it starts from another count, or ends
/// at one that differs by more than a quarter.
pub fn differs(open: &Proposed, now: &Holds) -> bool {
    open.from != now.from || u64::from(open.to.0.abs_diff(now.to.0)) * 4 > u64::from(open.to.0)
}

#[cfg(test)]
mod tests;
