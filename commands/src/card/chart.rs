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
    /// What happened when.
    pub marks: Vec<ChartMark>,
    /// The verdict, as a person reads it.
    pub verdict: String,
}

/// A moment worth a mark.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChartMark {
    /// When.
    pub at: Timestamp,
    /// What: "scaled", "verified".
    pub what: String,
}
