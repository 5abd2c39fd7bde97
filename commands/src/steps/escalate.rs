//! Escalation: the role that has to know is told, by the runbook's table, and so is the log.

use serde::{Deserialize, Serialize};

use super::body;
use crate::card;
use crate::context::Context;
use crate::journal::{Interrupted, Journal};
use crate::ports::{Role, Slot};
use crate::units::Millis;

/// What is escalated (the runbook's table).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Cannot scale due to infrastructure limits.
    InfrastructureLimits,
    /// Scaling during halt state.
    ScalingDuringHalt,
    /// Consistency issues after scaling.
    Consistency,
    /// Performance not improving after scaling.
    NotImproving,
    /// An operation cannot go on by itself. Not of the runbook's table: this is about the program.
    Parked,
}

/// How soon somebody has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// At once.
    Critical,
    /// Within 15 min.
    High,
    /// Within an hour.
    Medium,
}

/// The body of `escalated`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Escalated {
    /// What is wrong.
    pub condition: Condition,
    /// Who is told.
    pub to: Role,
    /// How soon somebody has to act.
    pub severity: Severity,
    /// Within what time it has to be acknowledged; zero is at once.
    pub acknowledge_within: Millis,
    /// What was found.
    pub because: String,
}

body!(Escalated, Escalated, 1);

impl Condition {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::InfrastructureLimits => "cannot scale due to infrastructure limits",
            Self::ScalingDuringHalt => "scaling during halt",
            Self::Consistency => "consistency issues after scaling",
            Self::NotImproving => "performance not improving after scaling",
            Self::Parked => "an operation cannot go on by itself",
        }
    }

    fn table(self) -> (Role, Severity, Millis) {
        match self {
            Self::InfrastructureLimits => (Role::InfrastructureTeam, Severity::High, Millis(15 * 60_000)),
            Self::ScalingDuringHalt => (Role::GovernanceLead, Severity::Critical, Millis(0)),
            Self::Consistency => (Role::SystemArchitect, Severity::Critical, Millis(0)),
            Self::NotImproving => (Role::SystemArchitect, Severity::Medium, Millis(60 * 60_000)),
            Self::Parked => (Role::Operator, Severity::High, Millis(15 * 60_000)),
        }
    }
}

impl Escalated {
    /// What is said of that condition, to whom and how soon, by the table.
    pub(crate) fn of(condition: Condition, because: &str) -> Self {
        let (to, severity, acknowledge_within) = condition.table();
        Self { condition, to, severity, acknowledge_within, because: because.to_owned() }
    }
}

impl Severity {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Critical => "CRITICAL",
            Self::High => "HIGH",
            Self::Medium => "MEDIUM",
        }
    }
}

/// Tells the role that the runbook names for this. `key` is the step's name: where in the runbook it was found.
pub async fn to_role(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    key: &str,
    condition: Condition,
    because: &str,
) -> Result<(), Interrupted> {
    let mut escalated = Escalated::of(condition, because);
    escalated.acknowledge_within = match escalated.severity {
        Severity::Critical => Millis(0),
        Severity::High => cx.policy.escalation.high.into(),
        Severity::Medium => cx.policy.escalation.medium.into(),
    };
    let escalated = journal.step(key, |_| async { escalated }).await?;
    cx.show(Slot::Escalation, card::escalated(cx, &escalated.body)).await;
    Ok(())
}

/// Tells governance of a halt that began after the count was set, where one did. Nothing is undone by it.
pub async fn halt_that_began(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    key: &str,
    halted: Option<&str>,
) -> Result<(), Interrupted> {
    match halted {
        Some(why) => to_role(cx, journal, key, Condition::ScalingDuringHalt, why).await,
        None => Ok(()),
    }
}
