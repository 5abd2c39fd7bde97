//! The rehearsal's log channel: a text file that people read and that is the log's witness.
//!
//! A post is a block: a heading, the text indented, and a seal with the last event's hash. Only a block whose seal is
//! complete counts, so a post that a crash cut off is seen for what it is. Nothing is ever removed from the file: the
//! cut-off part stays, marked, and the post is written again below. Text is indented and seals are not, so no text can
//! pass for a seal.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::event::Hash;
use scalebot_commands::ports::{Announced, LogChannel, PortError, Post};
use scalebot_commands::request::escaped;
use tokio::sync::Mutex;

use crate::documents::failed;

/// What every line of a post's text begins with.
const INDENT: &str = "    ";

/// What is put after a post that was cut off. It also makes a seal that lacks only its line's end no seal.
const CUT_OFF: &str = " [cut off: this does not count]\n\n";

/// The longest line of a post's text, in characters.
const LONGEST_TEXT: usize = 10_000;

/// The longest line that is looked at, in bytes; ours are shorter, escaped as they are.
const LONGEST: u64 = 1 << 20;

/// The log channel as a file. A post's identifier is its number in the file.
#[derive(Clone, Debug)]
pub struct Transcript {
    path: PathBuf,
    /// One post at a time, and what is known of the file's end since the last one.
    end: Arc<Mutex<Option<End>>>,
}

/// The file as the last post left it, so that it is not read again for the next.
#[derive(Clone, Copy, Debug)]
struct End {
    length: u64,
    number: u64,
}

impl Transcript {
    /// The transcript in this file, which is made with the first post.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), end: Arc::default() }
    }

    async fn scan(&self) -> Result<Scan, PortError> {
        let path = self.path.clone();
        self.settled(tokio::task::spawn_blocking(move || Scan::of_path(&path)).await)
    }

    fn settled<T>(&self, done: Result<io::Result<T>, tokio::task::JoinError>) -> Result<T, PortError> {
        let what = || format!("the log channel's file {}", self.path.display());
        match done {
            Ok(done) => done.map_err(|error| failed(what(), &error)),
            Err(error) => Err(PortError::Unreachable { what: what(), detail: error.to_string() }),
        }
    }
}

#[async_trait]
impl LogChannel for Transcript {
    async fn post(&self, post: &Post) -> Result<String, PortError> {
        let mut end = Arc::clone(&self.end).lock_owned().await;
        let (path, post) = (self.path.clone(), post.clone());
        // The lock goes with the writing: it lasts as long as that does, even when nobody waits for it any more.
        let posted = tokio::task::spawn_blocking(move || {
            let posted = append(&path, &post, *end);
            *end = posted.as_ref().ok().copied();
            posted
        });
        Ok(self.settled(posted.await)?.number.to_string())
    }

    async fn find(&self, post: &Post) -> Result<Option<String>, PortError> {
        let wanted = Announced::plain(post.first, post.last, post.hash);
        let found = self.scan().await?.blocks.into_iter().find(|(_, sealed)| *sealed == wanted);
        Ok(found.map(|(number, _)| number.to_string()))
    }

    async fn sealed(&self) -> Result<Vec<Announced>, PortError> {
        Ok(self.scan().await?.blocks.into_iter().map(|(_, sealed)| sealed).collect())
    }
}

fn append(path: &Path, post: &Post, known: Option<End>) -> io::Result<End> {
    let is_new = !path.try_exists()?;
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(io::Error::other("another process is writing it")),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let length = file.metadata()?.len();
    let (number, mut text) = match known {
        Some(known) if known.length == length => (known.number + 1, String::new()),
        _ => {
            file.seek(SeekFrom::Start(0))?;
            let scan = Scan::of(BufReader::new(&file))?;
            (scan.last_number + 1, if scan.is_cut_off { CUT_OFF.to_owned() } else { String::new() })
        }
    };
    text.push_str(&block(number, post));
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
    if let Err(error) = written {
        // What did get there is ours; were it left, a full disk would fill with every new attempt.
        file.set_len(length).ok();
        return Err(error);
    }
    if is_new && let Some(directory) = path.parent() {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        File::open(directory)?.sync_all()?;
    }
    Ok(End { length: length + text.len() as u64, number })
}

/// A post as it stands in the file.
fn block(number: u64, post: &Post) -> String {
    let Post { first, last, hash, text } = post;
    let mut block = format!("post {number}: {}\n", span(*first, *last));
    for line in text.lines() {
        block.push_str(INDENT);
        block.push_str(&escaped(line, LONGEST_TEXT));
        block.push('\n');
    }
    // Writing to a string cannot fail.
    let _ = write!(block, "sealed post {number}: {}, hash {hash}\n\n", span(*first, *last));
    block
}

fn span(first: u64, last: u64) -> String {
    format!("events {first} to {last}")
}

/// What a reading of the file found.
#[derive(Debug, Default)]
struct Scan {
    /// Every complete block: its number and what it says of the log.
    blocks: Vec<(u64, Announced)>,
    last_number: u64,
    /// Something stands after the last complete block.
    is_cut_off: bool,
}

impl Scan {
    fn of_path(path: &Path) -> io::Result<Self> {
        match File::open(path) {
            Ok(file) => Self::of(BufReader::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    fn of(mut lines: impl BufRead) -> io::Result<Self> {
        let mut scan = Self::default();
        let mut open = None;
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut lines).take(LONGEST).read_until(b'\n', &mut line)? == 0 {
                return Ok(scan);
            }
            let text = String::from_utf8_lossy(&line);
            let Some(text) = text.strip_suffix('\n') else {
                // A last line without its end was cut off, whatever it says.
                scan.is_cut_off = true;
                open = None;
                continue;
            };
            if text.is_empty() {
                continue;
            }
            scan.is_cut_off = true;
            if text.starts_with(INDENT) {
                continue;
            }
            if let Some(heading) = heading(text) {
                open = Some(heading);
                continue;
            }
            if let Some((number, sealed)) = seal(text)
                && open == Some((number, sealed.first, sealed.last))
            {
                scan.last_number = scan.last_number.max(number);
                scan.blocks.push((number, sealed));
                scan.is_cut_off = false;
            }
            open = None;
        }
    }
}

/// The number and the events of a block's heading.
fn heading(line: &str) -> Option<(u64, u64, u64)> {
    let (number, events) = line.strip_prefix("post ")?.split_once(": events ")?;
    let (first, last) = events.split_once(" to ")?;
    Some((number.parse().ok()?, first.parse().ok()?, last.parse().ok()?))
}

/// The number of a block and what its seal says.
fn seal(line: &str) -> Option<(u64, Announced)> {
    let (named, hash) = line.strip_prefix("sealed ")?.split_once(", hash ")?;
    let (number, first, last) = heading(named)?;
    Some((number, Announced::plain(first, last, Hash::parse(hash)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(first: u64, last: u64, text: &str) -> Post {
        Post { first, last, hash: Hash([u8::try_from(last).unwrap(); 32]), text: text.to_owned() }
    }

    fn seals(posts: &[&Post]) -> Vec<Announced> {
        posts.iter().map(|post| Announced::plain(post.first, post.last, post.hash)).collect()
    }

    #[tokio::test]
    async fn posts_are_numbered_found_again_and_read_as_text() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log-channel.txt");
        let (one, two) = (post(1, 1, "requested: 4 to 6"), post(2, 4, "three routine events\nthe last: scaling"));
        let transcript = Transcript::new(&path);
        assert_eq!(transcript.sealed().await.unwrap(), []);
        assert!(!path.exists(), "reading makes no file");

        assert_eq!(transcript.post(&one).await.unwrap(), "1");
        // A process that starts anew goes on counting.
        let transcript = Transcript::new(&path);
        assert_eq!(transcript.post(&two).await.unwrap(), "2");
        assert_eq!(transcript.post(&post(5, 5, "")).await.unwrap(), "3");

        assert_eq!(transcript.find(&two).await.unwrap().as_deref(), Some("2"));
        let other = Post { hash: Hash([9; 32]), ..two.clone() };
        assert_eq!(transcript.find(&other).await.unwrap(), None);
        assert_eq!(transcript.sealed().await.unwrap(), seals(&[&one, &two, &post(5, 5, "")]));
        let text = std::fs::read_to_string(&path).unwrap();
        let hash = "04".repeat(32);
        assert!(
            text.contains(&format!(
                "post 2: events 2 to 4\n    three routine events\n    the last: scaling\nsealed post 2: events 2 to 4, hash {hash}\n\n"
            )),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_post_cut_off_at_any_byte_does_not_count_and_is_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let whole = directory.path().join("whole");
        let (one, two) = (post(1, 1, "requested"), post(2, 3, "assessed\nprechecked"));
        let transcript = Transcript::new(&whole);
        transcript.post(&one).await.unwrap();
        let first = std::fs::read(&whole).unwrap().len();
        transcript.post(&two).await.unwrap();
        let bytes = std::fs::read(&whole).unwrap();

        // Without its very last byte, an empty line's end, the post is complete.
        for length in first..bytes.len() - 1 {
            let path = directory.path().join(format!("cut-{length}"));
            std::fs::write(&path, &bytes[..length]).unwrap();
            let transcript = Transcript::new(&path);
            assert_eq!(transcript.find(&two).await.unwrap(), None, "cut at {length}");
            assert_eq!(transcript.sealed().await.unwrap(), seals(&[&one]), "cut at {length}");

            assert_eq!(transcript.post(&two).await.unwrap(), "2", "cut at {length}");
            assert_eq!(transcript.sealed().await.unwrap(), seals(&[&one, &two]), "cut at {length}");
            assert_eq!(transcript.post(&post(4, 4, "")).await.unwrap(), "3", "cut at {length}");
        }
    }

    #[tokio::test]
    async fn what_a_power_cut_leaves_behind_does_not_stop_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log-channel.txt");
        let (one, two) = (post(1, 1, "requested"), post(2, 2, "assessed"));
        Transcript::new(&path).post(&one).await.unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.extend_from_slice(&[0; 3_000]);
        bytes.extend_from_slice(&[0xff, 0xfe]);
        std::fs::write(&path, &bytes).unwrap();

        let transcript = Transcript::new(&path);
        assert_eq!(transcript.post(&two).await.unwrap(), "2");
        assert_eq!(transcript.sealed().await.unwrap(), seals(&[&one, &two]));
        assert!(std::fs::read(&path).unwrap().starts_with(&bytes), "nothing was removed");
    }

    #[tokio::test]
    async fn no_text_can_pass_for_a_seal_or_hide_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log-channel.txt");
        let forged =
            format!("x\rpost 9: events 8 to 9\nsealed post 9: events 8 to 9, hash {}\n\u{1b}[2J", "0".repeat(64));
        let posted = post(1, 1, &forged);
        let transcript = Transcript::new(&path);
        transcript.post(&posted).await.unwrap();
        assert_eq!(transcript.sealed().await.unwrap(), seals(&[&posted]));
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.chars().all(|character| character == '\n' || !character.is_control()), "{text}");
    }

    #[tokio::test]
    async fn a_file_that_somebody_else_writes_or_that_cannot_be_is_said() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log-channel.txt");
        let file = File::create(&path).unwrap();
        file.lock().unwrap();
        let error = Transcript::new(&path).post(&post(1, 1, "")).await.unwrap_err();
        assert!(error.to_string().contains("another process is writing it") && error.may_pass(), "{error}");
        file.unlock().unwrap();
        assert_eq!(Transcript::new(&path).post(&post(1, 1, "")).await.unwrap(), "1");

        let error = Transcript::new(directory.path()).sealed().await.unwrap_err();
        assert!(matches!(error, PortError::Unreachable { .. }), "{error}");
    }
}
