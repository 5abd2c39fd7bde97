//! A Unix socket that only its owner can reach, from the instant at which it appears.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use tokio::net::UnixListener;

/// Opens the socket in place of whatever was left there; the caller holds the lock that says that nobody listens on it.
/// It is made in the directory `hidden` beside it, which nobody else can enter, and appears under its name at once
/// ready. With `hidden` shorter than the socket's name by two bytes, what fits the system's limit for the one fits for
/// the other.
pub(crate) fn listen(socket: &Path, hidden: &Path) -> io::Result<UnixListener> {
    let made = hidden.join("s");
    for left in [socket, &made] {
        absent_is_fine(std::fs::remove_file(left))?;
    }
    absent_is_fine(std::fs::remove_dir(hidden))?;
    DirBuilder::new().mode(0o700).create(hidden)?;
    let listener = UnixListener::bind(&made)?;
    std::fs::set_permissions(&made, Permissions::from_mode(0o600))?;
    std::fs::rename(&made, socket)?;
    std::fs::remove_dir(hidden)?;
    Ok(listener)
}

/// What is to be removed may be gone already.
pub(crate) fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
