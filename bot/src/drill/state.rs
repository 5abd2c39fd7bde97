//! The state directory of a drill: a given one, or a temporary one that is kept when something went wrong.

use std::cell::RefCell;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::time::Duration;

use crate::state_dir::StateDir;

/// How often, and how far apart, a lock that is held is tried again.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// The directory, and whether it goes with the drill.
pub(crate) struct State {
    /// The names in it.
    pub(crate) dir: StateDir,
    temporary: RefCell<Option<tempfile::TempDir>>,
}

/// Whose the directory is.
pub(crate) enum Locked {
    /// Ours while the file lives.
    Ours(File),
    /// Another drill's: who, in words.
    Held(String),
}

impl State {
    /// The given directory, made where it is missing; without one, a temporary one.
    pub(crate) fn open(given: Option<&Path>) -> Result<Self, String> {
        if let Some(path) = given {
            std::fs::create_dir_all(path)
                .map_err(|error| format!("The state directory {} cannot be made: {error}.", path.display()))?;
            return Ok(Self { dir: StateDir::new(path), temporary: RefCell::new(None) });
        }
        let temporary = tempfile::Builder::new()
            .prefix("scalebot-drill-")
            .tempdir()
            .map_err(|error| format!("A temporary directory cannot be made: {error}. Name one with --state."))?;
        Ok(Self { dir: StateDir::new(temporary.path()), temporary: RefCell::new(Some(temporary)) })
    }

    /// Takes the directory for this drill.
    pub(crate) fn lock(&self) -> Result<Locked, String> {
        let path = self.dir.drill_lock();
        let cannot = |error: std::io::Error| format!("{} cannot be used: {error}.", path.display());
        let mut file =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(cannot)?;
        // Somebody who only looks whether it is held holds it for an instant.
        let mut looks = 0;
        let locked = loop {
            match file.try_lock() {
                Err(TryLockError::WouldBlock) if looks < LOOKS => std::thread::sleep(BETWEEN_LOOKS),
                locked => break locked,
            }
            looks += 1;
        };
        match locked {
            Ok(()) => {
                file.set_len(0).map_err(cannot)?;
                file.rewind().map_err(cannot)?;
                write!(file, "process {}", std::process::id()).map_err(cannot)?;
                Ok(Locked::Ours(file))
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.take(200).read_to_string(&mut holder);
                Ok(Locked::Held(scalebot_commands::request::quoted(holder.trim())))
            }
            Err(TryLockError::Error(error)) => Err(cannot(error)),
        }
    }

    /// Leaves the directory where it is.
    pub(crate) fn keep(&self) {
        if let Some(temporary) = self.temporary.borrow_mut().take() {
            let _ = temporary.keep();
        }
    }

    /// Ends with it: a temporary directory is removed when everything went well, and kept otherwise.
    pub(crate) fn close(self, fine: bool) -> Option<String> {
        match self.temporary.borrow_mut().take() {
            Some(temporary) if fine => {
                let path = temporary.path().display().to_string();
                let _ = temporary.close();
                Some(format!(
                    "All went well, so {path} was removed.\nTo keep the log and the charts next time, name a directory with --state."
                ))
            }
            Some(temporary) => {
                let kept = temporary.keep();
                Some(format!("Not all went well. The log and the charts are kept in:\n  {}", kept.display()))
            }
            None => None,
        }
    }
}
