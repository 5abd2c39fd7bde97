//! Why Discord did not do what it was asked, and what somebody can do about it.

use std::time::Duration;

use scalebot_commands::ports::PortError;
use serde::Deserialize;

/// How Discord is called in errors.
const DISCORD: &str = "Discord";

/// Why a request came to nothing.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Discord answered that it does not do it.
    Refused(Refusal),
    /// The token is no longer accepted; nothing is sent any more.
    TokenRefused,
    /// It has to wait, for longer than it may.
    Busy(Duration),
    /// No connection came about, or it broke off.
    Unreachable(String),
    /// There was no answer in time.
    TimedOut(Duration),
    /// What came is no answer.
    Unreadable(String),
}

/// A refusal, as Discord words it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    /// HTTP's status.
    pub(crate) status: u16,
    /// Discord's own code; 0 for none.
    pub(crate) code: u32,
    /// Discord's words, escaped.
    pub(crate) message: String,
    /// What was to be done where: "post in the ops channel".
    pub(crate) doing: String,
    /// The permissions that it takes, as Discord's settings call them.
    pub(crate) needs: &'static str,
}

/// The codes that are told apart.
pub(crate) mod code {
    pub(crate) const UNKNOWN_CHANNEL: u32 = 10_003;
    pub(crate) const UNKNOWN_MEMBER: u32 = 10_007;
    pub(crate) const UNKNOWN_MESSAGE: u32 = 10_008;
    pub(crate) const UNKNOWN_USER: u32 = 10_013;
    pub(crate) const MISSING_ACCESS: u32 = 50_001;
    pub(crate) const MISSING_PERMISSIONS: u32 = 50_013;
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    code: u32,
    #[serde(default)]
    message: String,
    #[serde(default)]
    errors: serde_json::Value,
}

impl Refusal {
    /// What a refusal's body says. One that is not Discord's JSON is quoted.
    pub(crate) fn read(status: u16, body: &[u8], doing: &str, needs: &'static str) -> Self {
        let (code, message) = match serde_json::from_slice::<Body>(body) {
            Ok(body) => {
                let fields = fields(&body.errors);
                let fields = if fields.is_empty() { String::new() } else { format!(": {}", fields.join("; ")) };
                (body.code, format!("{}{fields}", body.message))
            }
            Err(_) => (0, String::from_utf8_lossy(&body[..body.len().min(800)]).into_owned()),
        };
        let message = scalebot_commands::request::escaped(&message, 200);
        Self { status, code, message, doing: doing.to_owned(), needs }
    }
}

/// What is wrong with which field, at most a few.
fn fields(errors: &serde_json::Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), errors)];
    while let Some((path, value)) = open.pop() {
        let Some(object) = value.as_object() else { continue };
        for (key, value) in object {
            match (key.as_str(), value.as_array()) {
                ("_errors", Some(errors)) => {
                    let first = errors.first().and_then(|error| error["message"].as_str()).unwrap_or("not accepted");
                    found.push(format!("{}: {first}", path.trim_start_matches('.')));
                }
                _ => open.push((format!("{path}.{key}"), value)),
            }
        }
        if found.len() >= 3 {
            break;
        }
    }
    found
}

impl Fault {
    /// The code that Discord refused with.
    pub(crate) fn code(&self) -> Option<u32> {
        match self {
            Self::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    /// What was spoken to is not there any more.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.status == 404)
    }

    /// Whether asking again a moment later may be answered otherwise.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Busy(_) | Self::Unreachable(_) | Self::TimedOut(_) | Self::Unreadable(_) => true,
            Self::Refused(refusal) => refusal.status >= 500,
            Self::TokenRefused => false,
        }
    }
}

impl From<Fault> for PortError {
    fn from(fault: Fault) -> Self {
        let what = DISCORD.to_owned();
        match fault {
            Fault::Unreachable(detail) => Self::Unreachable { what, detail },
            Fault::TimedOut(limit) => Self::TimedOut { what, limit },
            Fault::Unreadable(detail) => Self::Unreadable { what, detail },
            Fault::Busy(wait) => Self::Unreachable {
                what,
                detail: format!("it asks to wait {} s before anything more is sent", wait.as_secs_f64().ceil()),
            },
            Fault::TokenRefused => Self::Refused {
                what,
                detail:
                    "the bot's token is not accepted; put the current one where the configuration says, then start \
                         the bot again"
                        .to_owned(),
            },
            Fault::Refused(refusal) => refused(what, refusal),
        }
    }
}

fn refused(what: String, refusal: Refusal) -> PortError {
    let Refusal { status, code, message, doing, needs } = refusal;
    match (status, code) {
        (404, code::UNKNOWN_CHANNEL) => PortError::Gone {
            what: "a channel in Discord".to_owned(),
            detail: format!("it is needed to {doing}; make it again and name it in the configuration"),
        },
        (404, code::UNKNOWN_MESSAGE) => PortError::Gone {
            what: "a message in Discord".to_owned(),
            detail: format!("it is needed to {doing}; somebody has deleted it"),
        },
        (404, _) => PortError::Gone { what: format!("what it takes to {doing} in Discord"), detail: message },
        (_, code::MISSING_ACCESS | code::MISSING_PERMISSIONS) => PortError::Refused {
            what,
            detail: format!("the bot may not {doing}; in that channel's settings, give the bot's role: {needs}"),
        },
        (500.., _) => PortError::Unreadable { what, detail: format!("{status} to the request to {doing}: {message}") },
        _ => PortError::Refused { what, detail: format!("it will not {doing}: {message} ({status}, code {code})") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, body: &str) -> String {
        let doing = "post in the ops channel";
        let refusal = Refusal::read(status, body.as_bytes(), doing, "View Channel, Send Messages");
        PortError::from(Fault::Refused(refusal)).to_string()
    }

    #[test]
    fn a_refusal_says_what_happened_where_and_what_to_do() {
        insta::assert_snapshot!(said(403, r#"{"code": 50013, "message": "Missing Permissions"}"#), @"Discord refused: the bot may not post in the ops channel; in that channel's settings, give the bot's role: View Channel, Send Messages");
        insta::assert_snapshot!(said(403, r#"{"code": 50001, "message": "Missing Access"}"#), @"Discord refused: the bot may not post in the ops channel; in that channel's settings, give the bot's role: View Channel, Send Messages");
        insta::assert_snapshot!(said(404, r#"{"code": 10003, "message": "Unknown Channel"}"#), @"a channel in Discord no longer exists (it is needed to post in the ops channel; make it again and name it in the configuration)");
        insta::assert_snapshot!(said(404, r#"{"code": 10008, "message": "Unknown Message"}"#), @"a message in Discord no longer exists (it is needed to post in the ops channel; somebody has deleted it)");
        insta::assert_snapshot!(said(503, "upstream\u{1b}[2J"), @r"Discord answered something unexpected (503 to the request to post in the ops channel: upstream\u{1b}[2J)");
        let form = r#"{"code": 50035, "message": "Invalid Form Body",
            "errors": {"embeds": {"0": {"title": {"_errors": [{"code": "X", "message": "Must be 256 or fewer."}]}}}}}"#;
        insta::assert_snapshot!(said(400, form), @"Discord refused: it will not post in the ops channel: Invalid Form Body: embeds.0.title: Must be 256 or fewer. (400, code 50035)");
        insta::assert_snapshot!(PortError::from(Fault::TokenRefused), @"Discord refused: the bot's token is not accepted; put the current one where the configuration says, then start the bot again");
        insta::assert_snapshot!(PortError::from(Fault::Busy(Duration::from_millis(4_200))), @"Discord cannot be reached (it asks to wait 5 s before anything more is sent)");
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        let refused = |status| Fault::Refused(Refusal::read(status, b"{}", "post", ""));
        assert!(refused(502).may_pass() && !refused(403).may_pass());
        assert!(refused(404).is_gone() && !refused(403).is_gone());
        assert!(Fault::Busy(Duration::ZERO).may_pass() && !Fault::TokenRefused.may_pass());
    }
}
