//! Where things lie in a rehearsal's state directory. The names are defined here and nowhere else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use scalebot_adapters::documents;
use scalebot_commands::units::TargetName;

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

    /// Where the process that holds the drill's lock is spoken to.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.0.join("control.sock")
    }

    /// A name that was mistyped must not pass for a state in which nothing ever happened.
    ///
    /// # Errors
    /// In words, when there is no such directory.
    pub(crate) fn must_exist(&self) -> Result<(), String> {
        let refused = |why: &str| Err(format!("{} {why}; name the state directory of a rehearsal", self.0.display()));
        match std::fs::metadata(&self.0) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => refused("is not a directory"),
            Err(error) if error.kind() == ErrorKind::NotFound => refused("does not exist"),
            Err(error) => refused(&format!("cannot be looked into ({error})")),
        }
    }

    /// The directory as it is typed in a shell.
    pub(crate) fn as_typed(&self) -> String {
        let text = self.0.display().to_string();
        let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@%,".contains(c));
        if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
    }

    /// The directory of what a service keeps of one fleet.
    pub(crate) fn of_target(&self, name: &TargetName) -> PathBuf {
        self.0.join("targets").join(name.as_str())
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
