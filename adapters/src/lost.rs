//! Why a connection failed, in words for people.

use std::io::{Error, ErrorKind};

use scalebot_commands::request::escaped;

/// How much of a library's words is repeated, in characters.
const QUOTED: usize = 200;

/// In words, without an address: the caller knows it better.
pub(crate) fn words(error: &Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            "the connection was closed before the answer was complete".to_owned()
        }
        _ => certificate(&error.to_string()),
    }
}

/// What is wrong with a certificate, and what to do, where these words are about one; else the words themselves.
pub(crate) fn certificate(words: &str) -> String {
    let shown = escaped(words, QUOTED);
    match words {
        words if words.contains("UnknownIssuer") => {
            format!("its certificate is not of an authority that is trusted; set ca_file to that authority's ({shown})")
        }
        words if words.contains("not valid for name") => format!("its certificate is another server's ({shown})"),
        words if words.contains("Expired") => format!("its certificate has expired ({shown})"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_connection_is_told_as_people_say_it() {
        assert_eq!(words(&ErrorKind::ConnectionRefused.into()), "connection refused");
        assert!(words(&ErrorKind::UnexpectedEof.into()).contains("before the answer was complete"));
        let unknown = Error::new(ErrorKind::InvalidData, "invalid peer certificate: UnknownIssuer");
        assert!(words(&unknown).contains("set ca_file"));
        assert_eq!(words(&Error::other("line\nfeed")), "line\\u{a}feed");
    }
}
