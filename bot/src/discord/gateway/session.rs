//! A session with the gateway, and what follows from how a connection ended.

use serde::Deserialize;
use serde_json::{Value, json};

/// What the gateway's messages are, by their numbers.
pub(super) mod op {
    pub(in super::super) const DISPATCH: u8 = 0;
    pub(in super::super) const HEARTBEAT: u8 = 1;
    pub(in super::super) const IDENTIFY: u8 = 2;
    pub(in super::super) const RESUME: u8 = 6;
    pub(in super::super) const RECONNECT: u8 = 7;
    pub(in super::super) const INVALID_SESSION: u8 = 9;
    pub(in super::super) const HELLO: u8 = 10;
    pub(in super::super) const HEARTBEAT_ACK: u8 = 11;
}

/// A message.
#[derive(Debug, Deserialize)]
pub(super) struct Frame {
    pub(super) op: u8,
    #[serde(default)]
    pub(super) d: Value,
    /// How many events there were in the session.
    #[serde(default)]
    pub(super) s: Option<u64>,
    /// Which event.
    #[serde(default)]
    pub(super) t: Option<String>,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) id: String,
    /// The last event that was heard.
    pub(super) seq: u64,
}

impl Session {
    /// What has it go on.
    pub(super) fn resume(&self, token: &str) -> Value {
        json!({ "op": op::RESUME, "d": { "token": token, "session_id": self.id, "seq": self.seq } })
    }
}

/// What follows from how a connection ended, and why it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// The session goes on.
    Resume(String),
    /// A new session is begun.
    Anew(String),
    /// It cannot get better by itself, in words for whoever runs the bot.
    Never(String),
}

/// What follows when Discord closes the connection with that code.
pub(super) fn after_close(code: Option<u16>) -> After {
    let never = |text: &str| After::Never(text.to_owned());
    match code {
        Some(4_004) => After::Never(super::token_refused().0),
        Some(4_010 | 4_011) => {
            never("Discord says that this bot is in too many servers for one connection. It is made for one server.")
        }
        Some(4_012) => never("Discord no longer speaks the version of the gateway that this bot does. Update the bot."),
        Some(4_013) => never("Discord does not know what this bot asks to hear of. Update the bot."),
        Some(4_014) => never(
            "Discord does not let this bot hear of what it asks for. It asks for nothing that needs leave, so look at the \
             application in Discord's developer portal, under Bot.",
        ),
        Some(code @ (4_003 | 4_006 | 4_007 | 4_009)) => After::Anew(format!("closed by Discord with {code}")),
        Some(code) => After::Resume(format!("closed by Discord with {code}")),
        None => After::Resume("closed by Discord".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_get_better_by_itself_ends_it_and_the_rest_goes_on() {
        for code in [4_004, 4_010, 4_011, 4_012, 4_013, 4_014] {
            assert!(matches!(after_close(Some(code)), After::Never(_)), "{code}");
        }
        for code in [4_007, 4_009] {
            assert!(matches!(after_close(Some(code)), After::Anew(_)), "{code}");
        }
        for code in [1_000, 1_001, 1_006, 4_000, 4_001, 4_002, 4_005, 4_008] {
            assert!(matches!(after_close(Some(code)), After::Resume(_)), "{code}");
        }
        assert!(matches!(after_close(None), After::Resume(_)));
    }
}
