//! The rehearsal's fleet of real local processes, and everything around it, as its world tells over a Unix socket.
//!
//! The world holds the instances, the forwarder before them and the store that they share. Here is only the asking.
//! A world that has died does not come back: when its socket does not answer and its lock is free, every question is
//! answered with [`PortError::Gone`], so that an operation ends instead of waiting.

mod fleet;
mod store;
pub mod wire;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use scalebot_commands::ports::PortError;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::fleet::{ForwarderTraffic, ProcessFleet};
pub use self::store::{ConnectionPool, EventChain, HaltSignalStream, HaltTable};
use crate::http::{Answer, Http};

/// How people know the world.
const WORLD: &str = "the rehearsal's world";

/// The world, by its socket and its lock.
#[derive(Clone, Debug)]
pub struct WorldClient {
    http: Http,
    lock: PathBuf,
}

/// Whether a process holds a world's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Some process does: it lives, or is about to.
    Living,
    /// None does, or there is no such file.
    Nobody,
}

impl Holder {
    /// Looks at the lock file, without keeping it.
    ///
    /// # Errors
    /// When the file is there and cannot be looked at.
    pub fn of(lock: &Path) -> io::Result<Self> {
        let file = match File::open(lock) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Nobody),
            Err(error) => return Err(error),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(Self::Nobody),
            Err(TryLockError::WouldBlock) => Ok(Self::Living),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl WorldClient {
    /// The world that listens on `socket` and holds `lock`; each question takes at most `limit`.
    ///
    /// # Errors
    /// When the system offers no way to ask.
    pub fn new(socket: &Path, lock: &Path, limit: Duration) -> Result<Self, PortError> {
        Ok(Self { http: Http::on_socket(WORLD, socket, limit)?, lock: lock.to_owned() })
    }

    /// Asks, and reads a successful answer as JSON.
    ///
    /// # Errors
    /// As [`Http::get_json`]; [`PortError::Gone`] when there is no world any more.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, PortError> {
        self.http.get_json(path).await.map_err(|error| self.explain(error))
    }

    /// Tells or orders, and returns the answer whatever its status.
    ///
    /// # Errors
    /// When no answer came; [`PortError::Gone`] when there is no world any more.
    pub async fn post<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<Answer, PortError> {
        self.http.post(path, body).await.map_err(|error| self.explain(error))
    }

    /// Tells or orders, and accepts nothing but success.
    ///
    /// # Errors
    /// As [`Self::post`], and a status other than success.
    pub async fn tell<B: Serialize + Sync>(&self, path: &str, body: &B) -> Result<(), PortError> {
        let answer = self.post(path, body).await?;
        self.http.accept(path, &answer)
    }

    /// The same world, naming the part of it that is asked about.
    fn named(&self, what: &str) -> Self {
        Self { http: self.http.named(what), lock: self.lock.clone() }
    }

    /// Tells a world that does not answer now from one that never will again.
    fn explain(&self, error: PortError) -> PortError {
        match (&error, Holder::of(&self.lock)) {
            (PortError::Unreachable { detail, .. }, Ok(Holder::Nobody)) => PortError::Gone {
                what: WORLD.to_owned(),
                detail: format!("its socket does not answer: {detail}; and no process holds its lock"),
            },
            _ => error,
        }
    }
}

#[cfg(test)]
mod tests;
