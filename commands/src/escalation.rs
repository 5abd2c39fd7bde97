//! Escalations after they were raised: acknowledged by a person, or passed on in time. They outlive the operation that
//! raised them, so they are kept by the process and not by a journal; every hop is an event without an operation.
//!
//! What is open follows from the log alone ([`open`]), so that a restart changes nothing. When it is due is counted by
//! the monotonic clock while the process lives ([`Watch`]): a wall clock that jumps makes nobody's phone ring all night,
//! and none fall silent.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::event::{Event, Kind};
use crate::mutation::mutated;
use crate::patience::Deadline;
use crate::policy::EscalationRules;
use crate::ports::{Role, World};
use crate::steps::escalate::{Condition, Severity};
use crate::units::{Epoch, OperationId, Person, Timestamp};

/// The body of `acknowledged`: somebody has seen an escalation and sees to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Acknowledged {
    /// The `seq` of the `escalated` event.
    pub escalation: u64,
    /// The operation that raised it.
    pub operation: OperationId,
    /// Who.
    pub by: Person,
}

/// The body of `reescalated`: nobody acknowledged in time, so it is said again or to the next role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reescalated {
    /// The `seq` of the `escalated` event.
    pub escalation: u64,
    /// The operation that raised it.
    pub operation: OperationId,
    /// The how-many-th time it is said, from 2.
    pub hop: u32,
    /// Who is told now.
    pub to: Role,
}

/// An escalation that nobody has acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The `seq` of the `escalated` event: how people name it.
    pub escalation: u64,
    /// The operation that raised it.
    pub operation: OperationId,
    /// What is wrong.
    pub condition: Condition,
    /// How soon somebody has to act.
    pub severity: Severity,
    /// What was found.
    pub because: String,
    /// Every role that was told so far, in order, each once.
    pub told: Vec<Role>,
    /// Who is told now.
    pub to: Role,
    /// How often it was said.
    pub hop: u32,
    /// When it was first said.
    pub since: Timestamp,
    /// When it was last said.
    pub said_at: Timestamp,
    /// The epoch of the process that said it last.
    pub said_in: Epoch,
}

impl Open {
    /// How long whoever is told now has.
    pub fn interval(&self, rules: &EscalationRules) -> Duration {
        match self.severity {
            Severity::Critical => rules.critical_again,
            Severity::High => rules.high,
            Severity::Medium => rules.medium,
        }
    }

    /// Who is told next: what is CRITICAL is said to the same role until somebody acknowledges it; the rest goes to the
    /// role that is configured to be next, and where there is none to the same again.
    pub fn next(&self, rules: &EscalationRules) -> Role {
        match self.severity {
            Severity::Critical => self.to,
            Severity::High | Severity::Medium => next_after(rules, self.to).unwrap_or(self.to),
        }
    }

    /// The next hop, as it is recorded.
    pub fn again(&self, rules: &EscalationRules) -> Reescalated {
        Reescalated {
            escalation: self.escalation,
            operation: self.operation.clone(),
            hop: self.hop.saturating_add(1),
            to: self.next(rules),
        }
    }

    /// The same after that hop.
    pub fn after(mut self, hop: &Reescalated, at: Timestamp) -> Self {
        self.hop = hop.hop;
        self.to = hop.to;
        self.said_at = at;
        if !self.told.contains(&hop.to) {
            self.told.push(hop.to);
        }
        self
    }
}

fn next_after(rules: &EscalationRules, role: Role) -> Option<Role> {
    rules.next.iter().find(|(from, _)| *from == role).map(|(_, to)| *to)
}

/// The part of `escalated` that is needed here. It reads what a later version adds something to as well: an escalation
/// that is not understood to the last field still has to be said.
#[derive(Deserialize)]
struct Raised {
    condition: Condition,
    to: Role,
    severity: Severity,
    because: String,
}

/// What is open, oldest first. The events are those of the kinds `escalated`, `reescalated` and `acknowledged`, in any
/// order; others are passed over.
pub fn open<'a>(events: impl IntoIterator<Item = &'a Event>) -> Vec<Open> {
    let mut open: BTreeMap<u64, Open> = BTreeMap::new();
    let mut later = Vec::new();
    for event in events {
        match Kind::parse(&event.kind) {
            Some(Kind::Escalated) => open.extend(raised(event).map(|open| (event.seq, open))),
            Some(Kind::Reescalated | Kind::Acknowledged) => later.push(event),
            _ => {}
        }
    }
    later.sort_unstable_by_key(|event| event.seq);
    for event in later {
        if let Ok(Acknowledged { escalation, .. }) = serde_json::from_str(&event.body) {
            open.remove(&escalation);
        } else if let Ok(hop) = serde_json::from_str::<Reescalated>(&event.body)
            && let Some(known) = open.remove(&hop.escalation)
        {
            let at = event.time().unwrap_or(known.said_at);
            open.insert(hop.escalation, Open { said_in: event.epoch, ..known.after(&hop, at) });
        }
    }
    open.into_values().collect()
}

fn raised(event: &Event) -> Option<Open> {
    let raised = serde_json::from_str::<Raised>(&event.body);
    let Raised { condition, to, severity, because } = raised
        .inspect_err(|error| tracing::warn!(seq = event.seq, %error, "an escalation cannot be read by this version"))
        .ok()?;
    // A time that is no time can only come from tampering; then it is due, rather than never.
    let since = event.time().unwrap_or(Timestamp::UNIX_EPOCH);
    Some(Open {
        escalation: event.seq,
        operation: event.operation.clone()?,
        condition,
        severity,
        because,
        told: vec![to],
        to,
        hop: 1,
        since,
        said_at: since,
        said_in: event.epoch,
    })
}

/// When what is open is due. Counted by the monotonic clock from the moment that this process first saw a hop; of one that an
/// earlier process said, with what had passed before by the wall clock. What this process said itself it saw at once.
#[derive(Debug, Default)]
pub struct Watch {
    ends: BTreeMap<(u64, u32), Deadline>,
    own: Option<Epoch>,
}

impl Watch {
    /// Of the process of that epoch.
    pub fn of(own: Epoch) -> Self {
        Self { ends: BTreeMap::new(), own: Some(own) }
    }

    /// What is due now.
    pub fn due(&mut self, world: &dyn World, rules: &EscalationRules, open: &[Open]) -> Vec<Open> {
        self.see(world, rules, open);
        let is_due = |one: &&Open| {
            mutated!(SaidAgainAtOnce) || self.ends.get(&key(one)).is_some_and(|deadline| deadline.is_over(world))
        };
        open.iter().filter(is_due).cloned().collect()
    }

    /// Takes note of what is open, and forgets what no longer is.
    pub fn see(&mut self, world: &dyn World, rules: &EscalationRules, open: &[Open]) {
        self.ends.retain(|known, _| open.iter().any(|one| key(one) == *known));
        for one in open {
            let since = if self.own == Some(one.said_in) { world.now() } else { one.said_at };
            let ends = || Deadline::after(world, since, one.interval(rules));
            self.ends.entry(key(one)).or_insert_with(ends);
        }
    }

    /// How long until the next is due; `None` when nothing is open.
    pub fn next(&self, world: &dyn World) -> Option<Duration> {
        self.ends.values().map(|deadline| deadline.left(world)).min()
    }
}

fn key(open: &Open) -> (u64, u32) {
    (open.escalation, open.hop)
}

/// Which escalation somebody means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meant<'a> {
    /// This one.
    One(&'a Open),
    /// None is open.
    Nothing,
    /// Several are, and they named none.
    Several,
    /// The one they named is not among them.
    NotOpen(u64),
}

/// Which one is meant by that number, or by none.
pub fn meant(open: &[Open], number: Option<u64>) -> Meant<'_> {
    match (number, open) {
        (Some(number), _) => {
            open.iter().find(|one| one.escalation == number).map_or(Meant::NotOpen(number), Meant::One)
        }
        (None, []) => Meant::Nothing,
        (None, [one]) => Meant::One(one),
        (None, _) => Meant::Several,
    }
}

#[cfg(test)]
mod tests;
