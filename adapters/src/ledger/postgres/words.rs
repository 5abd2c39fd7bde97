//! PostgreSQL's errors in words: what happened, where, and what to do.

use scalebot_commands::request::escaped;

use crate::ledger::fault::StorageError;
use crate::lost;

/// How much of the server's own words is repeated, in characters.
const QUOTED: usize = 200;

/// What is run to be allowed what the log needs.
const GRANT: &str = "as an administrator, run deploy/postgres/ledger.sql there";

pub(super) fn explain(error: &sqlx::Error, place: &str) -> StorageError {
    let said = |text: &str| escaped(text, QUOTED);
    let away = |why: String| StorageError::Away(format!("{place} {why}"));
    let unusable = |why: String| StorageError::Unusable(format!("{place} {why}"));
    let damaged = |why: String| {
        StorageError::Damaged(format!("{place} {why}; keep a copy of it for the audit, then restore it from a backup"))
    };
    let database = match error {
        sqlx::Error::Database(database) => database,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            return damaged(format!("holds something that does not belong there ({})", said(&error.to_string())));
        }
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            return away(format!("did not answer in time ({error}); it is overloaded, hangs, or is not reached"));
        }
        // What does not fit is no better in a moment: a certificate, or something that is no PostgreSQL.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            return unusable(format!("cannot be used ({})", lost::words(error)));
        }
        sqlx::Error::Io(error) => {
            return away(format!(
                "cannot be reached ({}); see that it runs and that the address is its own",
                lost::words(error)
            ));
        }
        sqlx::Error::PoolTimedOut => {
            return away("did not answer in time; it is overloaded, hangs, or is not reached".to_owned());
        }
        sqlx::Error::Tls(error) => {
            let why = said(&error.to_string());
            return unusable(format!(
                "cannot be trusted ({why}); set ledger.ca_file where its certificate is of your own authority"
            ));
        }
        other => return unusable(format!("cannot be used ({})", said(&other.to_string()))),
    };
    let words = said(database.message());
    match &*database.code().unwrap_or_default() {
        "28P01" | "28000" => unusable(format!("refused: {words}. Correct the user or the password")),
        "3D000" => unusable(format!("refused: {words}. Create the database, or correct its name")),
        "42501" => unusable(format!("refused: {words}. To be allowed it: {GRANT}")),
        "53100" => unusable(format!("has no room left ({words}); free some space and it goes on")),
        "53300" => away(format!("has no connection left ({words}); allow it more, or end those that need none")),
        "25006" => away(format!("takes no changes ({words}); give the address of the primary")),
        "57014" | "55P03" => away(format!("did not answer in time ({words}); see what holds it up")),
        "XX001" | "XX002" => damaged(format!("is damaged ({words})")),
        // Our own statements are right: what they do not find was taken away.
        "42P01" | "42703" | "3F000" => damaged(format!("is not built as it was ({words})")),
        code if ["57P", "53", "08", "25P03", "40"].iter().any(|class| code.starts_with(class)) => {
            away(format!("cannot be used now ({words})"))
        }
        code => unusable(format!("cannot be used ({words}; SQLSTATE {})", said(code))),
    }
}

/// Whether the transaction is undone, and may well come to its end when it is begun again at once.
pub(super) fn may_be_repeated(error: &sqlx::Error) -> bool {
    match error {
        // Out of time once is out of time.
        sqlx::Error::Io(error) => error.kind() != std::io::ErrorKind::TimedOut,
        // Somebody else was first with the next place in the log, or in each other's way.
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            matches!(&*code, "40001" | "40P01" | "23505") || is_cut(&code)
        }
        _ => false,
    }
}

/// The server ended the session.
fn is_cut(code: &str) -> bool {
    code.starts_with("57P01") || code.starts_with("08") || code == "25P03"
}
