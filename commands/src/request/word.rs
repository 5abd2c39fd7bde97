//! The words that may follow `/scale`, and what each of them is like.

use std::fmt;

/// The word after `/scale`: which command it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// More instances.
    Up,
    /// Fewer instances.
    Down,
    /// Undo the latest operation.
    Rollback,
    /// Stop the operation under way.
    Cancel,
    /// Every check, and nothing done.
    Plan,
    /// How the fleet is.
    Status,
    /// The last operations.
    History,
    /// What an instance carries.
    Capacity,
    /// What has to be seen to later.
    Followups,
    /// What can be asked.
    Help,
}

impl Word {
    /// All of them, in the order in which help shows them.
    pub const ALL: [Self; 10] = [
        Self::Up,
        Self::Down,
        Self::Rollback,
        Self::Cancel,
        Self::Plan,
        Self::Status,
        Self::History,
        Self::Capacity,
        Self::Followups,
        Self::Help,
    ];

    /// As it is typed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Rollback => "rollback",
            Self::Cancel => "cancel",
            Self::Plan => "plan",
            Self::Status => "status",
            Self::History => "history",
            Self::Capacity => "capacity",
            Self::Followups => "followups",
            Self::Help => "help",
        }
    }

    /// Reads it.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|word| word.as_str() == text)
    }

    /// The right form of the command, as an example that can be typed.
    pub fn form(self) -> &'static str {
        match self {
            Self::Up => "/scale up 6",
            Self::Down => "/scale down 4",
            Self::Rollback => "/scale rollback",
            Self::Cancel => "/scale cancel",
            Self::Plan => "/scale plan 6",
            Self::Status => "/scale status",
            Self::History => "/scale history 10",
            Self::Capacity => "/scale capacity 120",
            Self::Followups => "/scale followups",
            Self::Help => "/scale help",
        }
    }

    /// What the command does, as help says it.
    pub fn does(self) -> &'static str {
        match self {
            Self::Up => "have 6 instances in all, more than now",
            Self::Down => "have 4 instances in all, fewer than now",
            Self::Rollback => "undo the latest operation",
            Self::Cancel => "stop the operation under way",
            Self::Plan => "every check for 6 instances; nothing is done",
            Self::Status => "how the fleet is, and what is under way",
            Self::History => "the last 10 operations",
            Self::Capacity => "how many instances carry 120 requests/s; without a number, the present load",
            Self::Followups => "what has to be seen to later; close 41: number 41 is done",
            Self::Help => "this list",
        }
    }

    /// Whether a reason may be given.
    pub(super) fn takes_reason(self) -> bool {
        matches!(self, Self::Up | Self::Down | Self::Rollback | Self::Followups)
    }

    /// What may follow, in a sentence.
    pub(super) fn rest(self) -> &'static str {
        match self {
            Self::Up | Self::Down => "After the count come only target:NAME and reason:\"why it is done\", each once.",
            Self::Rollback => "Only target:NAME and reason:\"why it is done\" may follow, each once.",
            Self::Plan => "After the count comes only target:NAME.",
            Self::Cancel | Self::Status => "Only target:NAME may follow.",
            Self::History => "Only a number of operations and target:NAME may follow, each once.",
            Self::Capacity => "Only a number of requests per second and target:NAME may follow, each once.",
            Self::Followups => "Only close NUMBER, target:NAME and reason:\"why it is closed\" may follow, each once.",
            Self::Help => "Nothing follows it.",
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
