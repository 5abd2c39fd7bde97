//! Where the figures are read, which series they are, and how often and for how long back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::length;

/// How a fleet is scraped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where each instance answers with its figures.
    pub path: String,
    /// Between two scrapes of the background task.
    #[serde(with = "length")]
    pub interval: Duration,
    /// How far back can be looked.
    #[serde(with = "length")]
    pub keep: Duration,
    /// How long one instance may take.
    #[serde(with = "length")]
    pub limit: Duration,
    /// How long all of them may take together; those that have not answered by then are missing.
    #[serde(with = "length")]
    pub round: Duration,
    /// The series.
    pub series: Series,
    /// Requests that say nothing about the load: probes, long polls, and what the bot itself asks. Each a path from
    /// `/` that stands for itself and everything below it; `*` stands for any one part.
    pub leave_out: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let leave_out = [
            "/v1/health",
            "/v1/ready",
            "/v1/metrics",
            "/health",
            "/ready",
            "/metrics",
            // Answers after up to 30 s, by design.
            "/v1/petition-submissions/*/status",
            // Asked by the bot: an instance that nobody else asks must not look as if it were in use.
            "/v1/governance/halt/status",
            "/v1/observer/events/sequence",
            "/v1/failure-prevention/warnings",
            "/v1/complexity/dashboard",
        ];
        Self {
            path: "/v1/metrics".into(),
            interval: Duration::from_secs(2),
            keep: Duration::from_mins(20),
            limit: Duration::from_millis(1_500),
            round: Duration::from_secs(2),
            series: Series::default(),
            leave_out: leave_out.map(str::to_owned).into(),
        }
    }
}

impl Config {
    /// Whether requests to this path are left out.
    pub(super) fn leaves_out(&self, path: &str) -> bool {
        self.leave_out.iter().any(|pattern| {
            let mut parts = path.split('/');
            pattern.split('/').all(|wanted| parts.next().is_some_and(|part| wanted == "*" || wanted == part))
        })
    }
}

/// The names of series and labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Series {
    /// A counter of requests, by status.
    pub requests: String,
    /// A histogram of latencies, in seconds.
    pub duration: String,
    /// The label of both that holds the path.
    pub endpoint: String,
    /// The label of the counter that holds the status.
    pub status: String,
    /// A counter of CPU time in seconds; may be absent.
    pub cpu: String,
    /// A gauge of resident memory in bytes; may be absent.
    pub memory: String,
    /// A gauge of when the process started, in seconds since 1970; may be absent.
    pub started: String,
    /// A counter of the seconds that all worker slots together were busy; may be absent.
    pub slots_busy: String,
    /// A gauge of how many worker slots there are; may be absent.
    pub slots: String,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            requests: "http_requests_total".into(),
            duration: "http_request_duration_seconds".into(),
            endpoint: "endpoint".into(),
            status: "status".into(),
            cpu: "process_cpu_seconds_total".into(),
            memory: "process_resident_memory_bytes".into(),
            started: "process_start_time_seconds".into(),
            slots_busy: "worker_slots_busy_seconds_total".into(),
            slots: "worker_slots".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_and_long_polls_are_left_out_and_their_like_are_not() {
        let config = Config::default();
        for path in ["/v1/health", "/v1/health/live", "/ready", "/v1/petition-submissions/0b/status"] {
            assert!(config.leaves_out(path), "{path}");
        }
        for path in ["/", "", "/v1", "/v1/healthy", "/v1/petition-submissions/0b", "/v1/observer/events", "/x/v1/ready"]
        {
            assert!(!config.leaves_out(path), "{path}");
        }
    }
}
