//! Temporary: limits only. The statistics are on their way in a branch of their own.

use serde::{Deserialize, Serialize};

use crate::figures::{Load, Percentiles};
use crate::policy::LoadLimits;
use crate::units::InstanceId;

/// What monitoring found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Better.
    Improved,
    /// Within limits.
    Stable,
    /// Still over the limits.
    NotImproved,
    /// The new instances make it worse.
    Regressed,
    /// Instances contradict each other.
    Inconsistent,
    /// It cannot be told.
    Inconclusive,
}

impl Verdict {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Improved => "improved",
            Self::Stable => "stable",
            Self::NotImproved => "not improved",
            Self::Regressed => "regressed",
            Self::Inconsistent => "inconsistent",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// What is judged.
pub struct Evidence<'a> {
    /// Before the change.
    pub before: Option<&'a Load>,
    /// Since.
    pub samples: &'a [Load],
    /// The new instances.
    pub newcomers: &'a [InstanceId],
    /// The limits.
    pub limits: &'a LoadLimits,
}

/// The judgement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Vec<String>,
    /// Over all instances.
    pub latency: Option<Percentiles>,
}

/// Judges.
pub fn judge(evidence: &Evidence<'_>) -> Judgement {
    let whole = Load::over(evidence.samples);
    let latency = whole.as_ref().and_then(Load::percentiles);
    let before = evidence.before.and_then(Load::percentiles);
    let (verdict, reason) = match (latency, before) {
        (None, _) => (Verdict::Inconclusive, "no figures".to_owned()),
        (Some(now), _) if now.p99_ms > evidence.limits.p99_ms => {
            (Verdict::NotImproved, format!("p99 {:.0} ms, limit {:.0} ms", now.p99_ms, evidence.limits.p99_ms))
        }
        (Some(now), Some(before)) if now.p99_ms < before.p99_ms => {
            (Verdict::Improved, format!("p99 {:.0} ms, before {:.0} ms", now.p99_ms, before.p99_ms))
        }
        (Some(now), _) => (Verdict::Stable, format!("p99 {:.0} ms", now.p99_ms)),
    };
    Judgement { verdict, reasons: vec![reason], latency }
}
