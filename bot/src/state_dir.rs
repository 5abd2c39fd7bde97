//! Where things lie in a rehearsal's state directory. The names are defined here and nowhere else.

use std::path::{Path, PathBuf};

use scalebot_adapters::documents;

/// A rehearsal's state directory.
#[derive(Clone, Debug)]
pub(crate) struct StateDir(PathBuf);

// Not every name is asked for by every command.
#[allow(dead_code)]
impl StateDir {
    /// The state in this directory, which need not exist.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self(directory.into())
    }

    /// The directory itself; the documents lie in it.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The operational log.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.0.join("ledger.db")
    }

    /// The log channel as a text.
    pub(crate) fn transcript(&self) -> PathBuf {
        self.0.join("log-channel.txt")
    }

    /// The capacity document.
    pub(crate) fn capacity(&self) -> PathBuf {
        self.0.join(documents::CAPACITY)
    }

    /// Held by the world while it lives.
    pub(crate) fn world_lock(&self) -> PathBuf {
        self.0.join("world.lock")
    }

    /// Where the world is spoken to.
    pub(crate) fn world_socket(&self) -> PathBuf {
        self.0.join("world.sock")
    }

    /// Held by the drill while it lives.
    pub(crate) fn drill_lock(&self) -> PathBuf {
        self.0.join("drill.lock")
    }

    /// The directory of the charts.
    pub(crate) fn charts(&self) -> PathBuf {
        self.0.join("charts")
    }

    /// The directory of the instances' logs.
    pub(crate) fn logs(&self) -> PathBuf {
        self.0.join("logs")
    }
}
