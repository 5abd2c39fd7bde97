//! Why PostgreSQL gave no answer, by what a person would do about it.

use std::time::Duration;

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
    Sql(sqlx::Error),
    /// It follows another server.
    Follower,
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

/// Whether the connection itself is gone, so that a new one may well answer.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25P03")
        }
        _ => false,
    }
}

/// In the words of those who read it.
pub(super) fn explained(failure: &Failure, about: &About, server: &Server, limit: Duration) -> PortError {
    let what = about.what.clone();
    let at = server.describe();
    let error = match failure {
        Failure::Sql(error) => error,
        Failure::Follower => {
            return PortError::Refused {
                what,
                detail: format!("{at} follows another server and may lag behind it; give the address of the primary"),
            };
        }
    };
    let said = |text: &str| escaped(text, QUOTED);
    match error {
        sqlx::Error::Database(error) => {
            let words = said(error.message());
            let code = error.code().unwrap_or_default();
            let detail = format!("{at}: {words}");
            match &*code {
                // Also a rule of pg_hba.conf, which the server's own words name.
                "28P01" | "28000" => PortError::Refused {
                    what,
                    detail: format!("{detail}. Correct the user or the password of {}", server.role()),
                },
                "42501" => PortError::Refused { what, detail: format!("{detail}. It takes: {}", about.grant) },
                "42P01" | "42703" | "3F000" | "3D000" => PortError::NotServed { what, detail },
                // Cancelled by the server's own time-out, or by the one for locks.
                "57014" | "55P03" => PortError::TimedOut { what, limit },
                // Starting, stopping, no connection left: it may pass.
                code if ["57P", "53", "08"].iter().any(|class| code.starts_with(class)) => {
                    PortError::Unreachable { what, detail }
                }
                code => PortError::Unreadable { what, detail: format!("{detail}; SQLSTATE {}", said(code)) },
            }
        }
        sqlx::Error::Io(error) => PortError::Unreachable { what, detail: format!("{at}: {}", lost::words(error)) },
        sqlx::Error::Tls(error) => {
            PortError::Unreachable { what, detail: format!("{at}: {}", said(&error.to_string())) }
        }
        sqlx::Error::Protocol(words) => {
            PortError::Unreadable { what, detail: format!("{at} does not speak as PostgreSQL does: {}", said(words)) }
        }
        other => PortError::Unreadable { what, detail: format!("{at}: {}", said(&other.to_string())) },
    }
}
