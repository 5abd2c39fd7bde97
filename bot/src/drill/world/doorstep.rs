//! How a world becomes the only one in its state directory: first the lock, then the socket.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UnixListener;
use tokio::time::{Instant, sleep};

use crate::drill::files;
use crate::private_socket::{self, absent_is_fine};

/// How long a lock that is held is tried again: somebody who only looks at it holds it for an instant.
const LOOKED_AT: Duration = Duration::from_secs(1);

/// Where the socket is made, unseen by others, before it appears under its name.
const HIDDEN: &str = ".w";

/// The lock, and what it entitles to.
#[derive(Debug)]
pub(super) struct Doorstep {
    state: PathBuf,
    socket: PathBuf,
    // Released by the system when the process ends, however it ends.
    _lock: File,
}

impl Doorstep {
    /// Takes the lock of the state directory.
    ///
    /// # Errors
    /// When another world holds it, or the socket's path would be too long.
    pub(super) async fn take(state: &Path) -> anyhow::Result<Self> {
        let socket = files::socket_in(state).map_err(anyhow::Error::msg)?;
        let path = state.join(files::WORLD_LOCK);
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("Opening {}", path.display()))?;
        let began = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if began.elapsed() < LOOKED_AT => sleep(LOOKED_AT / 20).await,
                Err(TryLockError::WouldBlock) => {
                    let holder = std::fs::read_to_string(&path).unwrap_or_default();
                    anyhow::bail!("Another world lives in {} ({}).", state.display(), holder.trim());
                }
                Err(TryLockError::Error(error)) => {
                    return Err(error).with_context(|| format!("Locking {}", path.display()));
                }
            }
        }
        lock.set_len(0)?;
        writeln!(lock, "process {}", std::process::id())?;
        Ok(Self { state: state.to_owned(), socket, _lock: lock })
    }

    /// Opens the socket, which appears at once ready and readable by its owner only.
    pub(super) fn listen(&mut self) -> anyhow::Result<UnixListener> {
        private_socket::listen(&self.socket, &self.state.join(HIDDEN))
            .with_context(|| format!("Opening the socket {}", self.socket.display()))
    }

    /// The socket's path.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Removes the socket, then gives the lock back.
    pub(super) fn leave(self) {
        if let Err(error) = absent_is_fine(std::fs::remove_file(&self.socket)) {
            eprintln!("The socket {} could not be removed: {error}", self.socket.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use scalebot_adapters::process::Holder;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_second_world_is_refused_and_the_first_ones_socket_stays() {
        let state = tempfile::tempdir().unwrap();
        let lock = state.path().join(files::WORLD_LOCK);
        assert_eq!(Holder::of(&lock).unwrap(), Holder::Nobody);
        let mut first = Doorstep::take(state.path()).await.unwrap();
        let listener = first.listen().unwrap();
        assert_eq!(Holder::of(&lock).unwrap(), Holder::Living);
        let mode = std::fs::metadata(first.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let said = Doorstep::take(state.path()).await.unwrap_err().to_string();
        assert!(said.contains(&format!("(process {})", std::process::id())), "{said}");
        UnixStream::connect(first.socket()).await.unwrap();

        drop(listener);
        first.leave();
        assert!(!state.path().join(files::WORLD_SOCKET).exists());
        assert_eq!(Holder::of(&lock).unwrap(), Holder::Nobody);
    }

    #[tokio::test]
    async fn what_a_killed_world_left_is_no_obstacle() {
        let state = tempfile::tempdir().unwrap();
        let socket = state.path().join(files::WORLD_SOCKET);
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        std::fs::create_dir(state.path().join(HIDDEN)).unwrap();
        drop(std::os::unix::net::UnixListener::bind(state.path().join(HIDDEN).join("s")).unwrap());

        let mut next = Doorstep::take(state.path()).await.unwrap();
        let _listener = next.listen().unwrap();
        UnixStream::connect(&socket).await.unwrap();
        assert!(!state.path().join(HIDDEN).exists());
    }
}
