//! Why Redis gave no answer, by what a person would do about it.

use ::redis::ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, NoPerm, TryAgain};
use ::redis::{ErrorKind, RedisError};
use scalebot_commands::ports::PortError;
use scalebot_commands::request::escaped;

use super::connection::{About, Server};
use crate::lost;

/// How much of the server's own words is repeated, in characters.
const QUOTED: usize = 200;

/// Why a question was not answered.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client or the server says why.
    Redis(RedisError),
    /// It follows another server.
    Follower,
    /// Its answer cannot be understood, for this reason.
    Unreadable(String),
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        Self::Redis(error)
    }
}

/// Whether the connection itself is gone, so that a new one may well answer.
pub(super) fn is_lost(failure: &Failure) -> bool {
    matches!(failure, Failure::Redis(error) if error.is_io_error() || error.kind() == ErrorKind::Parse)
}

/// In the words of those who read it.
pub(super) fn explained(failure: &Failure, about: &About, server: &Server) -> PortError {
    let what = about.what.clone();
    let at = server.describe();
    let error = match failure {
        Failure::Redis(error) => error,
        Failure::Follower => {
            let detail = format!("{at} follows another server and may lag behind it; give the address of the primary");
            return PortError::Refused { what, detail };
        }
        Failure::Unreadable(why) => return PortError::Unreadable { what, detail: format!("{at}: {why}") },
    };
    let detail = format!("{at}: {}", words(error));
    let user = server.user();
    match (error.kind(), error.code()) {
        (_, Some("WRONGPASS" | "NOAUTH")) => {
            PortError::Refused { what, detail: format!("{detail}. Correct the user or the password of {user}") }
        }
        (ErrorKind::Server(NoPerm), _) => {
            let select = if server.database() == 0 { "" } else { " +select" };
            PortError::Refused {
                what,
                detail: format!("{detail}. It takes: ACL SETUSER {user} {}{select}", about.rights),
            }
        }
        // Starting, without its primary, or full: it may pass.
        (ErrorKind::Io | ErrorKind::Server(BusyLoading | MasterDown | TryAgain), _) => {
            PortError::Unreachable { what, detail }
        }
        _ if detail.contains("max number of clients") => PortError::Unreachable { what, detail },
        (ErrorKind::Server(Moved | Ask | ClusterDown), _) => {
            let detail = format!("{detail}. It is a node of a cluster that does not hold this key");
            PortError::Unreadable { what, detail }
        }
        (ErrorKind::Parse, _) if is_cut(error) => PortError::Unreachable { what, detail },
        (ErrorKind::Parse, _) => {
            let said = words(error);
            PortError::Unreadable { what, detail: format!("{at} does not speak as Redis does: {said}") }
        }
        _ => PortError::Unreadable { what, detail },
    }
}

fn words(error: &RedisError) -> String {
    if error.is_connection_refusal() {
        "connection refused".to_owned()
    } else if error.is_connection_dropped() || is_cut(error) {
        "the connection was closed before the answer was complete".to_owned()
    } else {
        match (error.code(), error.detail()) {
            (Some(code), Some(detail)) => escaped(&format!("{code} {detail}"), QUOTED),
            _ => lost::certificate(&error.to_string()),
        }
    }
}

/// Whether the answer ended in the middle.
fn is_cut(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Parse && error.to_string().contains("Unexpected end of input")
}
