//! What an instance writes to its standard error, a line at a time, as a backend would.

use std::fmt::Display;
use std::io::Write as _;

use jiff::Timestamp;

/// Something that is as it should be.
pub(super) fn info(text: impl Display) {
    write("INFO", &text);
}

/// Something to look at.
pub(super) fn warning(text: impl Display) {
    write("WARNING", &text);
}

/// Something that is wrong.
pub(super) fn error(text: impl Display) {
    write("ERROR", &text);
}

fn write(level: &str, text: &dyn Display) {
    // As one piece, so that lines of several threads do not mix. Nobody to read it is no reason to end.
    let line = format!("{:.3} {level} {text}\n", Timestamp::now());
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}
