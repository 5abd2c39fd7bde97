//! Where things lie in the state directory of a rehearsal or a service. The names are defined here and nowhere else.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use scalebot_adapters::documents;
use scalebot_commands::units::TargetName;

use crate::cli::StateArgs;
use crate::config::Config;

/// A state directory.
#[derive(Clone, Debug)]
pub(crate) struct StateDir {
    directory: PathBuf,
    /// What configures the service whose it is; `None` for a rehearsal's.
    config: Option<Arc<Config>>,
}

// Not every name is asked for by every command.
#[allow(dead_code)]
impl StateDir {
    /// The state of a rehearsal in this directory, which need not exist.
    pub(crate) fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), config: None }
    }

    /// The state of a service.
    pub(crate) fn of_service(config: Arc<Config>) -> Self {
        Self { directory: config.sections.state.directory.clone(), config: Some(config) }
    }

    /// The state that a command line means.
    ///
    /// # Errors
    /// In words, when its configuration cannot be used.
    pub(crate) fn named(args: &StateArgs) -> Result<Self, String> {
        match (&args.config, &args.state) {
            (Some(file), _) => Ok(Self::of_service(Arc::new(Config::load(file)?))),
            (None, Some(directory)) => Ok(Self::new(directory)),
            (None, None) => Err("Name the state with --state DIR or --config FILE.".to_owned()),
        }
    }

    /// What configures the service whose it is; `None` for a rehearsal's.
    pub(crate) fn config(&self) -> Option<&Arc<Config>> {
        self.config.as_ref()
    }

    /// How it is named on a command line.
    pub(crate) fn option(&self) -> String {
        match &self.config {
            Some(config) => format!("--config {}", typed(&config.file)),
            None => format!("--state {}", self.as_typed()),
        }
    }

    /// Says whose the directory is, so that no rehearsal ever takes a service's operations up.
    pub(crate) fn mark(&self) -> PathBuf {
        self.directory.join("service")
    }

    /// The directory itself; the documents lie in it.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// The operational log.
    pub(crate) fn ledger(&self) -> PathBuf {
        self.directory.join("ledger.db")
    }

    /// The log channel as a text.
    pub(crate) fn transcript(&self) -> PathBuf {
        self.directory.join("log-channel.txt")
    }

    /// Which messages in the chat show which cards.
    pub(crate) fn messages(&self) -> PathBuf {
        self.directory.join("messages.json")
    }

    /// The capacity document.
    pub(crate) fn capacity(&self) -> PathBuf {
        self.directory.join(documents::CAPACITY)
    }

    /// Held by the world while it lives.
    pub(crate) fn world_lock(&self) -> PathBuf {
        self.directory.join("world.lock")
    }

    /// Where the world is spoken to.
    pub(crate) fn world_socket(&self) -> PathBuf {
        self.directory.join("world.sock")
    }

    /// Held by the drill while it lives.
    pub(crate) fn drill_lock(&self) -> PathBuf {
        self.directory.join("drill.lock")
    }

    /// Where the process that holds the drill's lock is spoken to.
    pub(crate) fn control_socket(&self) -> PathBuf {
        self.directory.join("control.sock")
    }

    /// A name that was mistyped must not pass for a state in which nothing ever happened.
    ///
    /// # Errors
    /// In words, when there is no such directory.
    pub(crate) fn must_exist(&self) -> Result<(), String> {
        let instead = match &self.config {
            // What is looked for lies elsewhere; the directory may be on another machine.
            Some(config) if config.sections.ledger.is_some() => return Ok(()),
            Some(_) => "the service makes it when it begins",
            None => "name the state directory of a rehearsal",
        };
        let refused = |why: &str| Err(format!("{} {why}; {instead}", self.directory.display()));
        match std::fs::metadata(&self.directory) {
            Ok(found) if found.is_dir() => Ok(()),
            Ok(_) => refused("is not a directory"),
            Err(error) if error.kind() == ErrorKind::NotFound => refused("does not exist"),
            Err(error) => refused(&format!("cannot be looked into ({error})")),
        }
    }

    /// The directory as it is typed in a shell.
    pub(crate) fn as_typed(&self) -> String {
        typed(&self.directory)
    }

    /// The directory of what a service keeps of one fleet.
    pub(crate) fn of_target(&self, name: &TargetName) -> PathBuf {
        self.targets().join(name.as_str())
    }

    /// The directory of what a service keeps of its fleets, each in one of its name.
    pub(crate) fn targets(&self) -> PathBuf {
        self.directory.join("targets")
    }

    /// The directory of the charts.
    pub(crate) fn charts(&self) -> PathBuf {
        self.directory.join("charts")
    }
}

/// A path as it is typed in a shell.
fn typed(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+=:@%,".contains(c));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
