//! The documents that the bot keeps, as files in a directory. A reader sees the old text or the new one, never half of
//! either, whenever the machine stops.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use scalebot_commands::ports::{Documents, PortError};
use scalebot_commands::units::{InstanceId, OperationId};

/// The capacity document's name in its directory.
pub const CAPACITY: &str = "capacity.md";

/// The most that is kept of one instance's log, in bytes: its end.
const LOG: usize = 1 << 20;

/// Who may read a file: everybody who may read its directory, or its owner alone. An instance's log may hold anything.
const PUBLIC: u32 = 0o644;
const OWNERS: u32 = 0o600;

/// A directory with the bot's documents.
#[derive(Clone, Debug)]
pub struct Folder {
    directory: PathBuf,
}

impl Folder {
    /// Documents in this directory, which must exist.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }
}

#[async_trait]
impl Documents for Folder {
    async fn write_capacity(&self, text: &str) -> Result<String, PortError> {
        let path = self.directory.join(CAPACITY);
        let what = format!("the capacity document {}", path.display());
        let (directory, text, place) = (self.directory.clone(), text.to_owned(), path.clone());
        let written = tokio::task::spawn_blocking(move || replace(&directory, &place, text.as_bytes(), PUBLIC)).await;
        match written {
            Ok(Ok(())) => Ok(path.display().to_string()),
            Ok(Err(error)) => Err(failed(what, &error)),
            Err(error) => Err(PortError::Unreachable { what, detail: error.to_string() }),
        }
    }

    async fn keep_logs(&self, operation: &OperationId, instance: &InstanceId, text: &str) -> Result<String, PortError> {
        let folder = self.directory.join("logs").join(file_name(operation.as_str()));
        let path = folder.join(format!("{}.log", file_name(instance.as_str())));
        let what = format!("the logs of {instance}");
        let (text, place) = (end_of(text, LOG).to_owned(), path.clone());
        let written = tokio::task::spawn_blocking(move || {
            DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            replace(&folder, &place, text.as_bytes(), OWNERS)
        });
        match written.await {
            Ok(Ok(())) => Ok(path.display().to_string()),
            Ok(Err(error)) => Err(failed(what, &error)),
            Err(error) => Err(PortError::Unreachable { what, detail: error.to_string() }),
        }
    }
}

/// The last `most` bytes of a text, from the beginning of a character.
fn end_of(text: &str, most: usize) -> &str {
    let from = text.len().saturating_sub(most);
    let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    &text[from..]
}

/// A name from outside as a file's: it cannot lead elsewhere.
fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    name.chars().take(100).map(plain).collect()
}

/// Writes the file as a whole: beside it first, on disk, then in its place.
fn replace(directory: &Path, path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    // What a killed process left behind goes; what is there must be ours, not a link to somewhere else.
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()
    });
    if let Err(error) = written.and_then(|()| std::fs::rename(&beside, path)) {
        std::fs::remove_file(&beside).ok();
        return Err(error);
    }
    // The name is on disk only when the directory is.
    File::open(directory)?.sync_all()
}

/// A file system's refusal in the words of the ports.
pub(crate) fn failed(what: String, error: &io::Error) -> PortError {
    let detail = error.to_string();
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => PortError::Refused { what, detail },
        _ => PortError::Unreachable { what, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn the_document_is_replaced_as_a_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path());
        std::fs::write(directory.path().join("capacity.md.new"), "left by a killed process").unwrap();

        let path = folder.write_capacity("# Capacity\n\nsix, a long line of it\n").await.unwrap();
        folder.write_capacity("# Capacity\n\nfour\n").await.unwrap();

        assert_eq!(Path::new(&path), directory.path().join("capacity.md"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "# Capacity\n\nfour\n");
        assert_eq!(names(directory.path()), ["capacity.md"]);
    }

    #[tokio::test]
    async fn a_link_left_in_the_way_is_not_written_through() {
        let directory = tempfile::tempdir().unwrap();
        let elsewhere = directory.path().join("elsewhere");
        std::fs::write(&elsewhere, "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, directory.path().join("capacity.md.new")).unwrap();

        Folder::new(directory.path()).write_capacity("six").await.unwrap();

        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(directory.path().join("capacity.md")).unwrap(), "six");
    }

    #[tokio::test]
    async fn where_it_cannot_be_written_is_said_and_the_old_text_stays() {
        let directory = tempfile::tempdir().unwrap();
        let error = Folder::new(directory.path().join("missing")).write_capacity("six").await.unwrap_err();
        assert!(
            matches!(&error, PortError::Unreachable { what, .. } if what.contains("missing/capacity.md")),
            "{error}"
        );

        // A directory stands where the document belongs: the rename fails, and what was written beside it goes.
        std::fs::create_dir(directory.path().join("capacity.md")).unwrap();
        Folder::new(directory.path()).write_capacity("six").await.unwrap_err();
        assert_eq!(names(directory.path()), ["capacity.md"]);
    }

    async fn kept(folder: &Folder, operation: &str, instance: &str, text: &str) -> PathBuf {
        let kept = folder.keep_logs(&OperationId::new(operation), &InstanceId::new(instance), text).await;
        PathBuf::from(kept.unwrap())
    }

    fn mode(path: &Path) -> u32 {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_log_is_for_its_owner_alone_and_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let folder = Folder::new(directory.path());
        let path = kept(&folder, "op-1", "api-5", "a long text that is there first\n").await;
        assert_eq!(kept(&folder, "op-1", "api-5", "ready\n").await, path);
        assert_eq!(path, directory.path().join("logs/op-1/api-5.log"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ready\n");
        assert_eq!(names(path.parent().unwrap()), ["api-5.log"]);
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        // Another operation's, and another instance's, stand beside it.
        assert_ne!(kept(&folder, "op-2", "api-5", "x").await, path);
        assert_ne!(kept(&folder, "op-1", "api-6", "x").await, path);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "ready\n");
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_directory() {
        let outer = tempfile::tempdir().unwrap();
        let directory = outer.path().join("state");
        std::fs::create_dir(&directory).unwrap();
        let folder = Folder::new(&directory);
        for (operation, instance) in
            [("..", ".."), ("../..", "../../../x"), ("/etc", "/etc/passwd"), ("", ""), ("a\0b", "a\nb"), ("ä", "日本")]
        {
            let path = kept(&folder, operation, instance, "x").await;
            let under = path.canonicalize().unwrap();
            assert!(under.starts_with(directory.join("logs").canonicalize().unwrap()), "{}", under.display());
        }
        let long = "n".repeat(5_000);
        kept(&folder, &long, &long, "x").await;
        assert_eq!(names(outer.path()), ["state"]);
        assert_eq!(names(&directory), ["logs"]);
    }

    #[tokio::test]
    async fn of_a_log_that_is_too_long_the_end_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!("{}the end\n", "ä".repeat(LOG));
        let path = kept(&Folder::new(directory.path()), "op-1", "api-5", &text).await;
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written.len() <= LOG && written.len() > LOG - 4 && text.ends_with(&written));
    }
}
