//! Where the backend answers, and by which names: the Archon 72 Conclave Backend's by default, all replaceable.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Everything about a backend that may differ from one to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where it answers.
    pub paths: Paths,
    /// What its answers' fields are called.
    pub fields: Fields,
    /// How an instance's access to its signing keys is asked about.
    pub keys: KeyProbe,
    /// How the system is halted.
    pub halt_call: HaltCall,
    /// How many observer requests an instance allows from one address in any minute.
    pub observer_requests_per_minute: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            paths: Paths::default(),
            fields: Fields::default(),
            keys: KeyProbe::default(),
            halt_call: HaltCall::default(),
            observer_requests_per_minute: 60,
        }
    }
}

/// Where the backend answers; each path begins with `/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// 200 when the process is up.
    pub health: String,
    /// 200 or 503, with named checks.
    pub ready: String,
    /// What the instance holds the halt state to be.
    pub halt: String,
    /// One event of the chain; `{sequence}` stands for its number.
    pub event: String,
    /// What the instance works on that takes long; `None` for a backend that does not tell, as the shipped one.
    pub work: Option<String>,
    /// Where the system is halted.
    pub trigger_halt: String,
    /// The early warnings.
    pub warnings: String,
    /// The complexity budget.
    pub complexity: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            health: "/v1/health".into(),
            ready: "/v1/ready".into(),
            halt: "/v1/governance/halt/status".into(),
            event: "/v1/observer/events/sequence/{sequence}".into(),
            work: None,
            trigger_halt: "/v1/governance/halt".into(),
            warnings: "/v1/failure-prevention/warnings".into(),
            complexity: "/v1/complexity/dashboard".into(),
        }
    }
}

/// What is said besides the message when the system is halted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HaltCall {
    /// Who is named as the operator; without one, an identifier that is made of the operation's own, always the same
    /// for the same.
    pub operator_id: Option<Uuid>,
    /// The reason, one of those that the backend knows.
    pub reason: String,
}

impl Default for HaltCall {
    fn default() -> Self {
        Self { operator_id: None, reason: "constitutional_breach".into() }
    }
}

/// How an instance's access to its HSM or signing keys is asked about. The backend has no endpoint for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum KeyProbe {
    /// It is not: a person attests it.
    #[default]
    None,
    /// A path that answers with a boolean.
    Path {
        /// The path.
        path: String,
        /// The boolean's name, as in [`Fields`].
        field: String,
    },
    /// One of the readiness checks, by its name.
    ReadinessCheck(String),
}

/// The names of fields in the backend's answers. One that begins with `/` is a JSON Pointer (RFC 6901), any other the
/// name of a field at the top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// Of readiness: the instance's conclusion, a text.
    pub ready_status: String,
    /// What that text is when it is ready.
    pub ready_value: String,
    /// Of readiness: the named checks, an object of objects; `None` for a backend that names none.
    pub ready_checks: Option<String>,
    /// Of a named check: a boolean.
    pub check_healthy: String,
    /// Of a named check: what is wrong, a text or null.
    pub check_error: String,
    /// Of the halt: a boolean.
    pub halted: String,
    /// Of the halt: since when, RFC 3339 or null.
    pub halted_at: String,
    /// Of the halt: why, a text or null.
    pub halt_reason: String,
    /// Of the halt: why in a sentence, a text or null.
    pub halt_message: String,
    /// Of the halt: when the last one was cleared; `None` for a backend that does not say.
    pub halt_cleared_at: Option<String>,
    /// Of an event: its sequence number.
    pub event_sequence: String,
    /// Of an event: a text.
    pub event_content_hash: String,
    /// Of an event: a text.
    pub event_prev_hash: String,
    /// The `detail` of the 404 that means "no event with this number"; `{sequence}` stands for the number.
    pub event_absent: String,
    /// Of an early warning: a text.
    pub warning_mode: String,
    /// Of an early warning: a text.
    pub warning_metric: String,
    /// Of an early warning: a number.
    pub warning_value: String,
    /// Of an early warning: a number.
    pub warning_threshold: String,
    /// Of an early warning: `warning` or `critical`.
    pub warning_severity: String,
    /// Of an early warning: a text.
    pub warning_recommended: String,
    /// Of an early warning: a boolean.
    pub warning_acknowledged: String,
    /// Of the complexity budget: the backend's conclusion, a text.
    pub complexity_overall: String,
    /// Of the complexity budget: use and limit of ADRs.
    pub complexity_adrs: (String, String),
    /// Of the complexity budget: use and limit of ceremony types.
    pub complexity_ceremonies: (String, String),
    /// Of the complexity budget: use and limit of cross-component dependencies.
    pub complexity_dependencies: (String, String),
}

impl Default for Fields {
    fn default() -> Self {
        let pair = |used: &str, limit: &str| (used.to_owned(), limit.to_owned());
        Self {
            ready_status: "status".into(),
            ready_value: "ready".into(),
            ready_checks: Some("checks".into()),
            check_healthy: "healthy".into(),
            check_error: "error".into(),
            halted: "is_halted".into(),
            halted_at: "halted_at".into(),
            halt_reason: "reason".into(),
            halt_message: "message".into(),
            halt_cleared_at: None,
            event_sequence: "sequence".into(),
            event_content_hash: "content_hash".into(),
            event_prev_hash: "prev_hash".into(),
            event_absent: "Event with sequence {sequence} not found".into(),
            warning_mode: "mode_id".into(),
            warning_metric: "metric_name".into(),
            warning_value: "current_value".into(),
            warning_threshold: "threshold".into(),
            warning_severity: "threshold_type".into(),
            warning_recommended: "recommended_action".into(),
            warning_acknowledged: "is_acknowledged".into(),
            complexity_overall: "overall_status".into(),
            complexity_adrs: pair("adr_count", "adr_limit"),
            complexity_ceremonies: pair("ceremony_types", "ceremony_type_limit"),
            complexity_dependencies: pair("cross_component_deps", "cross_component_dep_limit"),
        }
    }
}
