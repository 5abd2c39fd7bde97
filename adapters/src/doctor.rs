//! What the doctor says about one outside system: whether it was reached, what may be done there, and what to do where
//! something is wrong. Nothing is changed to find out.

use scalebot_commands::ports::PortError;

/// One line of the doctor's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which system, and what of it, in words: "PostgreSQL at db.example:5432, halt table".
    pub system: String,
    /// What it comes to.
    pub status: Status,
    /// What was found, in a sentence or two. Never a secret.
    pub text: String,
    /// What to do about it; `None` when nothing is to be done.
    pub to_do: Option<String>,
}

/// What a finding comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Ok,
    /// Nothing is configured there.
    NotConfigured,
    /// It works, and should be otherwise.
    Warn,
    /// Something that is needed does not work.
    Failed,
}

impl Finding {
    /// All is well.
    pub fn ok(system: impl Into<String>, text: impl Into<String>) -> Self {
        Self { system: system.into(), status: Status::Ok, text: text.into(), to_do: None }
    }

    /// Nothing is configured.
    pub fn not_configured(system: impl Into<String>, text: impl Into<String>) -> Self {
        Self { status: Status::NotConfigured, ..Self::ok(system, text) }
    }

    /// It works, and should be otherwise.
    pub fn warn(system: impl Into<String>, text: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { status: Status::Warn, to_do: Some(to_do.into()), ..Self::ok(system, text) }
    }

    /// It does not work.
    pub fn failed(system: impl Into<String>, text: impl Into<String>, to_do: impl Into<String>) -> Self {
        Self { status: Status::Failed, ..Self::warn(system, text, to_do) }
    }

    /// It gave no answer; what to do follows from why.
    pub fn unanswered(system: impl Into<String>, error: &PortError) -> Self {
        let to_do = match error {
            PortError::Unreachable { .. } => "See that it runs and that the address in the configuration is its own.",
            PortError::TimedOut { .. } => "See why it is slow or hangs, and what lies between it and the bot.",
            PortError::Refused { .. } => "Grant what it names, or correct the credentials in the configuration.",
            PortError::Unreadable { .. } => "See that it is the system, and the version, that is meant.",
            PortError::NotServed { .. } => "Correct the name in the configuration, or create what is missing.",
            PortError::Gone { .. } => "Take it out of the configuration, or bring it back.",
        };
        Self::failed(system, error.to_string(), to_do)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_giving_no_answer_is_a_failure_with_something_to_do() {
        let (what, detail) = ("halt table".to_owned(), "why".to_owned());
        let errors = [
            PortError::Unreachable { what: what.clone(), detail: detail.clone() },
            PortError::TimedOut { what: what.clone(), limit: std::time::Duration::from_secs(1) },
            PortError::Refused { what: what.clone(), detail: detail.clone() },
            PortError::Unreadable { what: what.clone(), detail: detail.clone() },
            PortError::NotServed { what: what.clone(), detail: detail.clone() },
            PortError::Gone { what, detail },
        ];
        let found = errors.map(|error| Finding::unanswered("PostgreSQL", &error));
        assert!(found.iter().all(|finding| finding.status == Status::Failed && finding.text.contains("halt table")));
        let mut to_do: Vec<_> = found.iter().filter_map(|finding| finding.to_do.as_deref()).collect();
        to_do.dedup();
        assert_eq!(to_do.len(), found.len());
    }
}
