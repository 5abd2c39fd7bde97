//! Where it is written down: a file that is replaced as a whole, and two locks beside it.
//!
//! `state.lock` is held for the instant of a change. `work.lock` is held for as long as somebody works on the hosts: by the
//! process, and by every program that it started, which has it as its standard input. So it is free only once all of them
//! have ended, also after the process was killed.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use scalebot_commands::ports::PortError;
use scalebot_commands::units::Epoch;

use super::state::State;

/// The largest file that is read, in bytes.
const MAX_BYTES: u64 = 4 << 20;

/// How often a lock that somebody holds for an instant is tried, and how long it is waited in between.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(20);

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotChanged {
    /// A later process tends these hosts.
    #[error("a later process tends these hosts")]
    Fenced,
    /// It could not be read or written.
    #[error(transparent)]
    Port(#[from] PortError),
}

/// The directory of one fleet.
#[derive(Clone, Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

impl Store {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// What is written down; `None` before anything is.
    ///
    /// # Errors
    /// When it cannot be read, or is not what this version writes.
    pub(super) fn read(&self) -> Result<Option<State>, PortError> {
        let path = self.directory.join("state.json");
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.unreachable(&error)),
            Ok(_) => {}
        }
        let unreadable = |detail| PortError::Unreadable { what: self.what(), detail };
        if bytes.len() as u64 > MAX_BYTES {
            return Err(unreadable("it is too large".to_owned()));
        }
        State::read(&bytes).map(Some).map_err(unreadable)
    }

    /// Changes it in one step, as the process of that epoch.
    ///
    /// # Errors
    /// When nothing was changed. Only for [`PortError`] from the writing itself is that not known.
    pub(super) async fn change<T>(&self, epoch: Epoch, change: impl FnOnce(&mut State) -> T) -> Result<T, NotChanged> {
        let _held = self.hold().await?;
        let mut state = self.read()?.ok_or_else(|| self.absent())?;
        if state.epoch > epoch.0 {
            return Err(NotChanged::Fenced);
        }
        let before = state.clone();
        state.epoch = epoch.0;
        let answer = change(&mut state);
        if state != before {
            self.write(&state)?;
        }
        Ok(answer)
    }

    /// Writes down what was found, where nothing is written yet.
    ///
    /// # Errors
    /// As [`Self::change`].
    pub(super) async fn begin(&self, found: &State) -> Result<(), NotChanged> {
        let _held = self.hold().await?;
        if self.read()?.is_none() {
            self.write(found)?;
        }
        Ok(())
    }

    /// The lock of whoever works on the hosts; `None` while somebody else holds it.
    ///
    /// # Errors
    /// When there can be none.
    pub(super) fn work_lock(&self) -> Result<Option<File>, PortError> {
        self.make()?;
        let file = self.lock_file("work.lock")?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(self.unreachable(&error)),
        }
    }

    /// That nobody has looked yet which services run.
    pub(super) fn absent(&self) -> PortError {
        let detail = "it is not taken down yet which hosts run the service; the service does that as it starts";
        PortError::Unreachable { what: self.what(), detail: detail.to_owned() }
    }

    async fn hold(&self) -> Result<File, PortError> {
        self.make()?;
        let file = self.lock_file("state.lock")?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => tokio::time::sleep(PAUSE).await,
                Err(TryLockError::Error(error)) => return Err(self.unreachable(&error)),
            }
        }
        Err(PortError::TimedOut { what: self.what(), limit: PAUSE * TRIES })
    }

    fn make(&self) -> Result<(), PortError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        made.map_err(|error| self.unreachable(&error))
    }

    fn lock_file(&self, name: &str) -> Result<File, PortError> {
        let opened = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.directory.join(name));
        opened.map_err(|error| self.unreachable(&error))
    }

    /// A reader sees the one or the other as a whole, also after a power failure.
    fn write(&self, state: &State) -> Result<(), PortError> {
        let written = || -> io::Result<()> {
            let new = self.directory.join("state.json.new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(state)?)?;
            file.sync_all()?;
            fs::rename(&new, self.directory.join("state.json"))?;
            File::open(&self.directory)?.sync_all()
        };
        written().map_err(|error| self.unreachable(&error))
    }

    fn what(&self) -> String {
        format!("what is written down in {}", self.directory.display())
    }

    fn unreachable(&self, error: &io::Error) -> PortError {
        PortError::Unreachable { what: self.what(), detail: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("hosts"));
        (folder, store)
    }

    fn state(epoch: u64) -> State {
        State::found("fleet".into(), epoch, Vec::new())
    }

    #[tokio::test]
    async fn whoever_came_later_is_obeyed_and_an_earlier_one_changes_nothing_any_more() {
        let (_folder, store) = store();
        assert_eq!(store.read(), Ok(None));
        assert!(matches!(store.change(Epoch(1), |_| ()).await, Err(NotChanged::Port(_))));
        store.begin(&state(2)).await.unwrap();
        // What is there stays.
        store.begin(&State { generation: 9, ..state(3) }).await.unwrap();
        store.change(Epoch(3), |state| state.generation += 1).await.unwrap();
        assert_eq!(store.change(Epoch(2), |state| state.generation = 77).await, Err(NotChanged::Fenced));
        let now = store.read().unwrap().unwrap();
        assert_eq!((now.epoch, now.generation), (3, 2));
    }

    #[tokio::test]
    async fn the_work_is_somebody_elses_until_all_that_they_started_has_ended() {
        let (_folder, store) = store();
        let ours = store.work_lock().unwrap().expect("nobody works");
        assert!(store.work_lock().unwrap().is_none());
        // A program that outlives whoever started it.
        let mut child = std::process::Command::new("cat")
            .stdin(ours.try_clone().unwrap())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let mut sleeper = std::process::Command::new("sleep").arg("30").stdin(ours).spawn().unwrap();
        child.wait().unwrap();
        assert!(store.work_lock().unwrap().is_none());
        sleeper.kill().unwrap();
        sleeper.wait().unwrap();
        assert!(store.work_lock().unwrap().is_some());
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_never_written_over() {
        let (folder, store) = store();
        store.begin(&state(1)).await.unwrap();
        let file = folder.path().join("hosts/state.json");
        fs::write(&file, "{").unwrap();
        assert!(matches!(store.read(), Err(PortError::Unreadable { .. })));
        assert!(store.change(Epoch(9), |state| state.generation = 5).await.is_err());
        assert!(store.begin(&state(1)).await.is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "{");
    }
}
