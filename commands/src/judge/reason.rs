//! Why a verdict is what it is: each reason a figure beside its limit, and a plain sentence.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::InstanceId;

/// One finding that bears on the verdict. It prints as one sentence with figures and units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// What was looked at.
    pub statistic: Statistic,
    /// What it came to.
    pub finding: Finding,
    /// The instances that it is about; empty when it is about the fleet.
    pub instances: Vec<InstanceId>,
    /// What was found, in the statistic's unit; `None` when there is no figure.
    pub value: Option<f64>,
    /// What it is held against: the limit, or for a comparison the figure of the other side.
    pub against: Option<f64>,
    /// The chance, from 0 to 1, of a difference like this one if there were none; `None` where nothing was compared.
    pub chance: Option<f64>,
    /// How many samples it rests on.
    pub samples: u64,
    /// What is to be said beyond the figures; `None` for most.
    pub detail: Option<String>,
}

/// What a finding came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Clearly better than it was.
    Better,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// Could not be told.
    Unknown,
}

/// What was looked at, with the unit of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// Halt state and hash chain of all instances, read again while watching. No figure.
    Consistency,
    /// The share of the window that was observed, from 0 to 1.
    ObservedShare,
    /// How many samples were usable.
    UsableSamples,
    /// The share of instances' readings that could be had, from 0 to 1.
    Readings,
    /// Requests answered.
    Requests,
    /// The share of requests that have a latency, from 0 to 1.
    Latencies,
    /// Requests a new instance answered, against an even share of them.
    NewcomerRequests,
    /// The mean latency of new instances against that of the others in the same samples, in milliseconds.
    NewcomerLatency,
    /// The share of requests of new instances that failed, against that of the others in the same samples, from 0 to 1.
    NewcomerErrors,
    /// The fleet's 99th percentile of latency against its limit, in milliseconds.
    P99,
    /// The share of the fleet's requests that failed against its limit, from 0 to 1.
    ErrorShare,
    /// The fleet's CPU use against its limit, 1.0 being one core.
    Cpu,
    /// Memory in use against its limit, as a share of what an instance may use.
    Memory,
    /// The fleet's 99th percentile of latency against that before the scaling, in milliseconds.
    P99Before,
    /// The share of the fleet's requests that failed against that before the scaling, from 0 to 1.
    ErrorShareBefore,
    /// The fleet's CPU use against that before the scaling, 1.0 being one core.
    CpuBefore,
    /// Memory in use against that before the scaling, as a share of what an instance may use.
    MemoryBefore,
}

impl Reason {
    pub(super) fn new(statistic: Statistic, finding: Finding, samples: usize) -> Self {
        Self {
            statistic,
            finding,
            instances: Vec::new(),
            value: None,
            against: None,
            chance: None,
            samples: samples as u64,
            detail: None,
        }
    }

    pub(super) fn value(mut self, value: f64) -> Self {
        self.value = value.is_finite().then_some(value);
        self
    }

    pub(super) fn against(mut self, against: f64) -> Self {
        self.against = against.is_finite().then_some(against);
        self
    }

    pub(super) fn chance(mut self, chance: f64) -> Self {
        self.chance = Some(chance.clamp(0.0, 1.0));
        self
    }

    pub(super) fn about(mut self, instances: Vec<InstanceId>) -> Self {
        self.instances = instances;
        self
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.statistic.unit();
        let value = unit.say(self.value);
        let against = unit.say(self.against);
        let who = names(&self.instances);
        match (self.statistic, self.finding) {
            (Statistic::Consistency, Finding::Bad) => write!(f, "The instances contradict one another{who}"),
            (Statistic::Consistency, Finding::Unknown) => {
                f.write_str("Whether all instances agree on halt and hash chain could not be told")
            }
            (Statistic::Consistency, _) => f.write_str("All instances agree on halt and hash chain"),
            (Statistic::ObservedShare, _) => {
                write!(f, "{value} of the window was observed; at least {against} is needed")
            }
            (Statistic::UsableSamples, _) => write!(f, "{value} samples were usable; at least {against} are needed"),
            (Statistic::Readings, _) => {
                write!(f, "Only {value} of the readings{who} could be had; at least {against} is needed")
            }
            (Statistic::Requests, _) => write!(f, "{value} requests{who}; at least {against} are needed to judge"),
            (Statistic::Latencies, _) => {
                write!(f, "Only {value} of the requests have a latency; at least {against} is needed")
            }
            (Statistic::NewcomerRequests, _) => {
                write!(f, "{value} requests{who}, while an even share would have been {against}")
            }
            (Statistic::NewcomerLatency | Statistic::NewcomerErrors, Finding::Unknown) => {
                f.write_str("The new instances could not be compared with the others")
            }
            (Statistic::NewcomerLatency, _) => {
                write!(
                    f,
                    "Mean latency of the new instances{who} was {value}, of the others at the same time {against}"
                )
            }
            (Statistic::NewcomerErrors, _) => {
                write!(
                    f,
                    "{value} of the requests failed on the new instances{who}, {against} on the others at the same time"
                )
            }
            (Statistic::P99, _) => write!(f, "p99 latency {value}, limit {against}"),
            (Statistic::ErrorShare, _) => write!(f, "{value} of the requests failed, limit {against}"),
            (Statistic::Cpu, _) => write!(f, "CPU {value}, limit {against}"),
            (Statistic::Memory, _) => write!(f, "Memory {value}, limit {against}"),
            (Statistic::P99Before, _) => write!(f, "p99 latency {value}, before {against}"),
            (Statistic::ErrorShareBefore, _) => write!(f, "{value} of the requests failed, before {against}"),
            (Statistic::CpuBefore, _) => write!(f, "CPU {value}, before {against}"),
            (Statistic::MemoryBefore, _) => write!(f, "Memory {value}, before {against}"),
        }?;
        if let Some(detail) = &self.detail {
            write!(f, ": {detail}")?;
        }
        if let Some(chance) = self.chance {
            match self.finding {
                Finding::Good if chance > 0.01 => f.write_str(", no more than chance explains")?,
                Finding::Bad | Finding::Better => f.write_str(", more than chance explains")?,
                Finding::Good | Finding::Unknown => {}
            }
        }
        if self.samples > 0 && self.statistic.rests_on_samples() {
            write!(f, " ({} samples)", self.samples)?;
        }
        f.write_str(".")
    }
}

fn names(instances: &[InstanceId]) -> String {
    match instances {
        [] => String::new(),
        [one] => format!(" ({one})"),
        [one, two] => format!(" ({one} and {two})"),
        [one, two, three] => format!(" ({one}, {two} and {three})"),
        [one, two, rest @ ..] => format!(" ({one}, {two} and {} more)", rest.len()),
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Milliseconds,
    Share,
    Count,
}

impl Unit {
    fn say(self, value: Option<f64>) -> String {
        let Some(value) = value else { return "unknown".into() };
        match self {
            Self::Milliseconds if value >= 1_000.0 => format!("{:.2} s", value / 1_000.0),
            Self::Milliseconds if value < 10.0 => format!("{value:.1} ms"),
            Self::Milliseconds => format!("{value:.0} ms"),
            Self::Share if value > 0.0 && value < 0.1 => format!("{:.2} %", value * 100.0),
            Self::Share if (value * 100.0).fract().abs() < 0.05 => format!("{:.0} %", value * 100.0),
            Self::Share => format!("{:.1} %", value * 100.0),
            Self::Count => format!("{value:.0}"),
        }
    }
}

impl Statistic {
    fn unit(self) -> Unit {
        match self {
            Self::NewcomerLatency | Self::P99 | Self::P99Before => Unit::Milliseconds,
            Self::UsableSamples | Self::Requests | Self::NewcomerRequests => Unit::Count,
            Self::Consistency
            | Self::ObservedShare
            | Self::Readings
            | Self::Latencies
            | Self::NewcomerErrors
            | Self::ErrorShare
            | Self::ErrorShareBefore
            | Self::Cpu
            | Self::CpuBefore
            | Self::Memory
            | Self::MemoryBefore => Unit::Share,
        }
    }

    fn rests_on_samples(self) -> bool {
        !matches!(self, Self::Consistency | Self::ObservedShare | Self::UsableSamples)
    }
}
