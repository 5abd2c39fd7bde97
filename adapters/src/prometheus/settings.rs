//! How a Prometheus is reached, which of its series are the fleet's, and what it is asked.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::scrape::Config;
use crate::settings::{length, optional_secret};

/// How long one question may take where nothing else is configured. Two follow each other for one answer.
const TIME_OUT: Duration = Duration::from_secs(2);

/// One Prometheus, and the fleet's series in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `https://prometheus.example`, with the path before `/api/v1` where there is one. No credentials.
    pub url: String,
    /// The user of its basic authentication.
    #[serde(default)]
    pub user: Option<String>,
    /// The password of that user.
    #[serde(default, deserialize_with = "optional_secret", skip_serializing)]
    pub password: Option<SecretString>,
    /// A file that holds the password, where `password` does not.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A bearer token, where it takes one instead.
    #[serde(default, deserialize_with = "optional_secret", skip_serializing)]
    pub token: Option<SecretString>,
    /// A file that holds the token, where `token` does not.
    #[serde(default)]
    pub token_file: Option<PathBuf>,
    /// Certificates (PEM) of the authorities that are trusted instead of those that this machine trusts.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// What all series of the fleet have in common and no others have, as `job="archon72"`. Where a target is scraped
    /// by two jobs, it must name one.
    pub selector: String,
    /// The label that tells the instances apart.
    #[serde(default = "instance_label")]
    pub instance: String,
    /// What that label holds.
    #[serde(default)]
    pub instances: Instances,
    /// The label that holds a request's status.
    #[serde(default = "status_label")]
    pub status: String,
    /// The label that holds a request's path.
    #[serde(default = "endpoint_label")]
    pub endpoint: String,
    /// Requests that say nothing about the load: probes, long polls, and what the bot itself asks. Each a path from
    /// `/` that stands for itself and everything below it; `*` stands for any one part.
    #[serde(default = "leave_out")]
    pub leave_out: Vec<String>,
    /// How often Prometheus scrapes the fleet. Figures older than three times that are stale.
    #[serde(default = "interval", with = "length")]
    pub interval: Duration,
    /// How far back is looked at most.
    #[serde(default = "reach", with = "length")]
    pub reach: Duration,
    /// How long one question may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
    /// What is asked.
    #[serde(default)]
    pub queries: Queries,
}

impl Settings {
    /// That Prometheus, asked for the series of the Archon 72 Conclave Backend that have that in common.
    pub fn new(url: impl Into<String>, selector: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: None,
            password_file: None,
            token: None,
            token_file: None,
            ca_file: None,
            selector: selector.into(),
            instance: instance_label(),
            instances: Instances::default(),
            status: status_label(),
            endpoint: endpoint_label(),
            leave_out: leave_out(),
            interval: interval(),
            reach: reach(),
            time_out: TIME_OUT,
            queries: Queries::default(),
        }
    }
}

fn instance_label() -> String {
    "instance".to_owned()
}

fn status_label() -> String {
    "status".to_owned()
}

fn endpoint_label() -> String {
    "endpoint".to_owned()
}

fn leave_out() -> Vec<String> {
    Config::default().leave_out
}

fn interval() -> Duration {
    Duration::from_secs(15)
}

fn reach() -> Duration {
    Duration::from_hours(1)
}

fn time_out() -> Duration {
    TIME_OUT
}

/// What the label of an instance holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Instances {
    /// Its host and port.
    #[default]
    ByAddress,
    /// Its name.
    ByName,
}

/// What is asked, in PromQL. `$selector`, `$instance`, `$status` and `$leave_out` stand for what is configured (the
/// last one for a matcher that keeps the paths of `leave_out` out), `$window` for the length of time that is looked at.
/// An empty query is not asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queries {
    /// A series a target, above zero whenever its figures were read. A selector alone.
    pub scraped: String,
    /// Requests answered so far, by instance and status.
    pub requests: String,
    /// Of the answers 5xx so far, those by which a halted system refuses, by instance. The backend's own labels do not
    /// tell them apart: with no query, they count as errors.
    pub halt_refusals: String,
    /// The buckets of the histogram of latencies in seconds, by instance and `le`.
    pub buckets: String,
    /// The seconds that all requests took so far, by instance.
    pub duration: String,
    /// Cores in use, the mean over `$window`, by instance.
    pub cpu: String,
    /// Bytes in use, by instance.
    pub memory: String,
    /// When the process started, in seconds since 1970, by instance.
    pub started: String,
    /// The seconds that all worker slots together were busy so far, by instance.
    pub slots_busy: String,
    /// How many worker slots there are, by instance.
    pub slots: String,
}

impl Default for Queries {
    fn default() -> Self {
        let query = str::to_owned;
        Self {
            scraped: query("up{$selector}"),
            requests: query("sum by ($instance, $status) (http_requests_total{$selector, $leave_out})"),
            halt_refusals: String::new(),
            buckets: query("sum by ($instance, le) (http_request_duration_seconds_bucket{$selector, $leave_out})"),
            duration: query("sum by ($instance) (http_request_duration_seconds_sum{$selector, $leave_out})"),
            cpu: query("sum by ($instance) (rate(process_cpu_seconds_total{$selector}[$window]))"),
            memory: query("sum by ($instance) (process_resident_memory_bytes{$selector})"),
            started: query("max by ($instance) (process_start_time_seconds{$selector})"),
            slots_busy: query("sum by ($instance) (worker_slots_busy_seconds_total{$selector})"),
            slots: query("sum by ($instance) (worker_slots{$selector})"),
        }
    }
}
