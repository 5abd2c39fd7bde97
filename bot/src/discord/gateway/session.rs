//! A session with the gateway, and what follows from how a connection ended.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use serenity::all::{Opcode, close_codes};

/// A message. The library's own reads every event whole, also those that nobody asks for, and takes an event that it
/// cannot read for one of another kind. Here its number counts in any case, and only what is asked for is read further.
///
/// It cannot be shown: it may hold an interaction's token.
#[derive(Deserialize)]
pub(super) struct Frame {
    pub(super) op: Opcode,
    #[serde(default)]
    d: Option<Box<RawValue>>,
    /// How many events there were in the session.
    #[serde(default)]
    pub(super) s: Option<u64>,
    /// Which event.
    #[serde(default)]
    pub(super) t: Option<String>,
}

impl Frame {
    /// What it holds.
    pub(super) fn read<T: DeserializeOwned>(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.d.as_deref().map_or("null", RawValue::get))
    }
}

/// What Discord says first.
#[derive(Debug, Deserialize)]
pub(super) struct Hello {
    /// Milliseconds.
    pub(super) heartbeat_interval: u64,
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
        json!({ "op": Opcode::Resume, "d": { "token": token, "session_id": self.id, "seq": self.seq } })
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

/// Codes that the library does not name.
const SESSION_GONE: u16 = 4_006;
const INVALID_VERSION: u16 = 4_012;

/// What follows when Discord closes the connection with that code.
pub(super) fn after_close(code: Option<u16>) -> After {
    let never = |text: &str| After::Never(text.to_owned());
    match code {
        Some(close_codes::AUTHENTICATION_FAILED) => After::Never(super::token_refused().0),
        Some(close_codes::INVALID_SHARD | close_codes::SHARDING_REQUIRED) => {
            never("Discord says that this bot is in too many servers for one connection. It is made for one server.")
        }
        Some(INVALID_VERSION) => {
            never("Discord no longer speaks the version of the gateway that this bot does. Update the bot.")
        }
        Some(close_codes::INVALID_GATEWAY_INTENTS) => {
            never("Discord does not know what this bot asks to hear of. Update the bot.")
        }
        Some(close_codes::DISALLOWED_GATEWAY_INTENTS) => never(
            "Discord does not let this bot hear of what it asks for. It asks for nothing that needs leave, so look at the \
             application in Discord's developer portal, under Bot.",
        ),
        Some(
            code @ (close_codes::NOT_AUTHENTICATED
            | SESSION_GONE
            | close_codes::INVALID_SEQUENCE
            | close_codes::SESSION_TIMEOUT),
        ) => After::Anew(format!("closed by Discord with {code}")),
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
