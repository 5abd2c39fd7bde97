//! What each instance writes to its standard error, kept in files that its owner alone can read: the last of it, also
//! after the instance has ended.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use scalebot_commands::units::InstanceId;
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How long one of an instance's two files grows, in bytes. When the newer one is full it becomes the older one, so
/// that at least this much is kept and at most twice as much.
const FILE: u64 = 512 << 10;

/// The directory with the logs.
#[derive(Debug)]
pub(super) struct Logs {
    directory: PathBuf,
    /// Held while files are written or read, so that nobody reads while one becomes the other.
    held: Mutex<()>,
}

impl Logs {
    /// An empty directory: what an earlier world's instances wrote goes, for the names begin anew.
    pub(super) fn begin(directory: &Path) -> io::Result<Self> {
        match std::fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        DirBuilder::new().mode(0o700).create(directory)?;
        Ok(Self { directory: directory.to_owned(), held: Mutex::default() })
    }

    /// Keeps what comes, until it ends.
    pub(super) async fn keep(&self, id: &InstanceId, mut output: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut log = Log::open(self.place(id), FILE)?;
        let mut chunk = vec![0; 8 << 10];
        loop {
            match output.read(&mut chunk).await? {
                0 => return Ok(()),
                // A few lines to a local file: shorter than handing them to another thread.
                read => {
                    let _held = self.hold();
                    log.write(&chunk[..read])?;
                }
            }
        }
    }

    /// The last `most` bytes of it, from the beginning of a character. Nothing for an instance that wrote nothing.
    pub(super) fn last(&self, id: &InstanceId, most: usize) -> io::Result<String> {
        let _held = self.hold();
        let place = self.place(id);
        let newer = end_of(&place, most)?;
        let mut bytes = end_of(&older(&place), most - newer.len())?;
        bytes.extend(newer);
        let cut = bytes.iter().take(3).take_while(|byte| **byte & 0b1100_0000 == 0b1000_0000).count();
        let mut text = String::from_utf8_lossy(&bytes[cut..]).into_owned();
        // What was no UTF-8 has become longer than it was.
        while text.len() > most {
            let first = text.chars().next().map_or(0, char::len_utf8);
            text.drain(..first);
        }
        Ok(text)
    }

    fn hold(&self) -> MutexGuard<'_, ()> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, id: &InstanceId) -> PathBuf {
        self.directory.join(format!("{id}.log"))
    }
}

fn older(place: &Path) -> PathBuf {
    place.with_extension("log.1")
}

/// The last `most` bytes of a file; none when there is no such file.
fn end_of(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let length = file.metadata()?.len();
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// One instance's log while it is written.
struct Log {
    place: PathBuf,
    file: File,
    length: u64,
    limit: u64,
}

impl Log {
    fn open(place: PathBuf, limit: u64) -> io::Result<Self> {
        Ok(Self { file: create(&place)?, place, length: 0, limit })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.length >= self.limit {
            std::fs::rename(&self.place, older(&self.place))?;
            self.file = create(&self.place)?;
            self.length = 0;
        }
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn id() -> InstanceId {
        InstanceId::new("api-1")
    }

    #[tokio::test]
    async fn the_last_of_what_was_written_is_told_in_whole_characters() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::begin(&directory.path().join("logs")).unwrap();
        assert_eq!(logs.last(&id(), 100).unwrap(), "");
        logs.keep(&id(), "one\nzwölf\n".as_bytes()).await.unwrap();
        assert_eq!(logs.last(&id(), 100).unwrap(), "one\nzwölf\n");
        // Four bytes would begin in the middle of the "ö".
        assert_eq!(logs.last(&id(), 4).unwrap(), "lf\n");
        assert_eq!(logs.last(&id(), 5).unwrap(), "ölf\n");
        assert_eq!(logs.last(&id(), 0).unwrap(), "");
        let mode = std::fs::metadata(logs.place(&id())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        logs.keep(&id(), &b"\xff\xfe\xfd odd\n"[..]).await.unwrap();
        let odd = logs.last(&id(), 8).unwrap();
        assert!(odd.ends_with(" odd\n") && odd.len() <= 8, "{odd:?}");
        // The next world's instances bear the same names.
        let next = Logs::begin(&directory.path().join("logs")).unwrap();
        assert_eq!(next.last(&id(), 100).unwrap(), "");
    }

    #[test]
    fn a_log_that_grows_keeps_its_end_and_a_bounded_length() {
        let directory = tempfile::tempdir().unwrap();
        let logs = Logs::begin(&directory.path().join("logs")).unwrap();
        let mut log = Log::open(logs.place(&id()), 100).unwrap();
        let mut all = String::new();
        for number in 0..200 {
            let line = format!("line {number}\n");
            log.write(line.as_bytes()).unwrap();
            all.push_str(&line);
            let kept = logs.last(&id(), usize::MAX).unwrap();
            assert!(all.ends_with(&kept) && kept.len() >= all.len().min(100) && kept.len() < 250, "{kept}");
        }
        assert_eq!(logs.last(&id(), 60).unwrap(), all[all.len() - 60..]);
    }
}
