//! What a chart of an operation shows. The bot draws it; here is only what is on it.

use serde::Serialize;

use crate::figures::Load;
use crate::units::{InstanceId, Timestamp};

/// An operation's chart: latency, requests by instance and errors over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chart {
    /// One line: what was done, and the verdict.
    pub title: String,
    /// The load before the change, as the assessment found it.
    pub before: Option<Load>,
    /// The load since, a sample each, in order. A gap between two samples is a gap in the chart.
    pub samples: Vec<Load>,
    /// The instances that are new.
    pub newcomers: Vec<InstanceId>,
    /// The limit of the 99th percentile, in milliseconds.
    pub limit_ms: f64,
    /// The limit of the share of requests that fail, from 0 to 1.
    pub error_limit: f64,
    /// What happened when.
    pub marks: Vec<ChartMark>,
    /// The verdict, as a person reads it.
    pub verdict: String,
}

/// Something that happened at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChartMark {
    /// When.
    pub at: Timestamp,
    /// What.
    pub what: Milestone,
}

/// What is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// The wanted count was reached and all were ready.
    Scaled,
    /// Every new instance was verified.
    Verified,
    /// The change was taken back.
    RolledBack,
}

impl Milestone {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Scaled => "scaled",
            Self::Verified => "verified",
            Self::RolledBack => "rolled back",
        }
    }
}
