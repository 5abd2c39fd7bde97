//! Which message shows which card, so that a card is changed in place, and a mark is known for what it answers, after
//! any restart.
//!
//! It is kept as one small JSON file in the state directory, written anew as a whole whenever a message is added: a few
//! times an operation. It is no table of the log's, because it may be lost: then the messages are found again by their
//! small print, and the worst that happens is a card posted twice.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use scalebot_commands::approval::Mark;
use scalebot_commands::units::OperationId;
use serde::{Deserialize, Serialize};
use serenity::all::{ChannelId, MessageId, UserId};

/// How many messages are remembered; the oldest go first.
const REMEMBERED: usize = 1_000;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 8 << 20;

/// Keeps what is known of messages beyond this process's life.
pub(crate) trait Placed: Send + Sync {
    /// Everything that was kept, oldest first; nothing when nothing ever was.
    fn load(&self) -> io::Result<Vec<Entry>>;

    /// Keeps exactly this.
    fn keep(&self, all: &[Entry]) -> io::Result<()>;
}

/// One message that shows a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) operation: OperationId,
    /// The card's place, by its word.
    pub(crate) slot: String,
    /// Which of several in that place.
    pub(crate) part: String,
    pub(crate) channel: ChannelId,
    pub(crate) message: MessageId,
    /// How many messages there were before it for the same.
    #[serde(default)]
    pub(crate) before: u32,
    /// The thread that began at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thread: Option<ChannelId>,
    /// What it asks people to mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ask: Option<Ask>,
    /// Whether something can be pressed under it.
    #[serde(default)]
    pub(crate) pressable: bool,
    /// What was said anew in its place by now, each by its hash: said again after a restart, it notifies nobody again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) said: Vec<String>,
}

/// What a message asks people to mark.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ask {
    /// The request's digest.
    pub(crate) digest: String,
    /// How far it is.
    pub(crate) state: AskState,
    /// The marks that were passed on so far.
    #[serde(default)]
    pub(crate) marks: BTreeSet<(UserId, Passed)>,
}

/// How far something is that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AskState {
    /// Not decided.
    Open,
    /// Approved, which can be taken back.
    Approved,
    /// Over.
    Over,
}

/// A mark that was passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Passed {
    /// ✅
    Approve,
    /// ❌
    Reject,
}

impl From<Mark> for Passed {
    fn from(mark: Mark) -> Self {
        match mark {
            Mark::Approve => Self::Approve,
            Mark::Reject => Self::Reject,
        }
    }
}

impl From<Passed> for Mark {
    fn from(passed: Passed) -> Self {
        match passed {
            Passed::Approve => Self::Approve,
            Passed::Reject => Self::Reject,
        }
    }
}

/// What is known of messages.
#[derive(Clone)]
pub(crate) struct Board {
    entries: Arc<Mutex<Vec<Entry>>>,
    placed: Arc<dyn Placed>,
    /// One writer at a time, and in order.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Board {
    /// With what was kept. What cannot be read is said and begun anew: the messages are found again.
    pub(crate) fn load(placed: Arc<dyn Placed>) -> Self {
        let entries = placed.load().unwrap_or_else(|error| {
            tracing::warn!(%error, "which messages show which cards cannot be read; they are looked for again");
            Vec::new()
        });
        Self { entries: Arc::new(Mutex::new(entries)), placed, writing: Arc::default() }
    }

    /// The newest message for that part of that place.
    pub(crate) fn find(&self, operation: &OperationId, slot: &str, part: &str) -> Option<Entry> {
        self.newest(|entry| entry.operation == *operation && entry.slot == slot && entry.part == part)
    }

    /// The newest message in that place.
    pub(crate) fn latest(&self, operation: &OperationId, slot: &str) -> Option<Entry> {
        self.newest(|entry| entry.operation == *operation && entry.slot == slot)
    }

    /// What that message shows.
    pub(crate) fn of_message(&self, message: MessageId) -> Option<Entry> {
        self.newest(|entry| entry.message == message)
    }

    /// Every message of an operation, oldest first.
    pub(crate) fn of_operation(&self, operation: &OperationId) -> Vec<Entry> {
        self.entries().iter().filter(|entry| entry.operation == *operation).cloned().collect()
    }

    /// Every message whose marks still mean something, oldest first.
    pub(crate) fn asking(&self) -> Vec<Entry> {
        let asks = |entry: &&Entry| entry.ask.as_ref().is_some_and(|ask| ask.state != AskState::Over);
        self.entries().iter().filter(asks).cloned().collect()
    }

    /// A message was posted. Another one for the same is forgotten.
    pub(crate) async fn add(&self, entry: Entry) {
        {
            let mut entries = self.entries();
            entries.retain(|known| !known.is_for_the_same(&entry));
            if entries.len() >= REMEMBERED {
                entries.remove(0);
            }
            entries.push(entry);
        }
        self.write().await;
    }

    /// Changes what is known of a message, where it is known.
    pub(crate) async fn change(&self, message: MessageId, change: impl FnOnce(&mut Entry)) {
        let changed = {
            let mut entries = self.entries();
            match entries.iter_mut().find(|entry| entry.message == message) {
                Some(entry) => {
                    let before = entry.clone();
                    change(entry);
                    *entry != before
                }
                None => false,
            }
        };
        if changed {
            self.write().await;
        }
    }

    /// A message is no longer there.
    pub(crate) async fn forget(&self, message: MessageId) {
        self.entries().retain(|entry| entry.message != message);
        self.write().await;
    }

    async fn write(&self) {
        let _in_turn = self.writing.lock().await;
        let (all, placed) = (self.entries().clone(), Arc::clone(&self.placed));
        let written = tokio::task::spawn_blocking(move || placed.keep(&all)).await;
        let error = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(error, "which messages show which cards cannot be kept; after a restart they are looked for");
    }

    fn newest(&self, which: impl Fn(&Entry) -> bool) -> Option<Entry> {
        self.entries().iter().rev().find(|entry| which(entry)).cloned()
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_for_the_same(&self, other: &Self) -> bool {
        (&self.operation, &self.slot, &self.part) == (&other.operation, &other.slot, &other.part)
    }
}

/// As a file.
#[derive(Clone, Debug)]
pub(crate) struct PlacedFile {
    path: PathBuf,
}

impl PlacedFile {
    /// This file, which is made with the first message. Its directory must exist.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl Placed for PlacedFile {
    fn load(&self) -> io::Result<Vec<Entry>> {
        let length = match std::fs::metadata(&self.path) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        if length > LARGEST {
            return Err(io::Error::other(format!("{} is too large", self.path.display())));
        }
        serde_json::from_slice(&std::fs::read(&self.path)?).map_err(io::Error::other)
    }

    fn keep(&self, all: &[Entry]) -> io::Result<()> {
        let text = serde_json::to_vec(all).map_err(io::Error::other)?;
        let beside = self.path.with_extension("new");
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// In memory.
    #[derive(Default)]
    pub(crate) struct InMemory(pub(crate) Mutex<Vec<Entry>>);

    impl Placed for InMemory {
        fn load(&self) -> io::Result<Vec<Entry>> {
            Ok(self.0.lock().unwrap().clone())
        }

        fn keep(&self, all: &[Entry]) -> io::Result<()> {
            *self.0.lock().unwrap() = all.to_vec();
            Ok(())
        }
    }

    fn entry(operation: &str, part: &str, message: u64) -> Entry {
        Entry {
            operation: OperationId::new(operation),
            slot: "approval".into(),
            part: part.into(),
            channel: ChannelId::new(21),
            message: MessageId::new(message),
            before: 0,
            thread: None,
            ask: Some(Ask {
                digest: "d".into(),
                state: AskState::Open,
                marks: [(UserId::new(5), Passed::Approve)].into(),
            }),
            pressable: true,
            said: vec![],
        }
    }

    #[tokio::test]
    async fn what_is_known_survives_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = PlacedFile::new(folder.path().join("discord-messages.json"));
        let board = Board::load(Arc::new(file.clone()));
        board.add(entry("a", "1", 100)).await;
        board.add(entry("a", "2", 101)).await;
        board.change(MessageId::new(100), |entry| entry.ask.as_mut().unwrap().state = AskState::Over).await;

        let board = Board::load(Arc::new(file));
        let operation = OperationId::new("a");
        assert_eq!(board.latest(&operation, "approval").unwrap().message, MessageId::new(101));
        assert_eq!(board.find(&operation, "approval", "1").unwrap().message, MessageId::new(100));
        assert_eq!(board.of_message(MessageId::new(101)), Some(entry("a", "2", 101)));
        assert_eq!(board.asking(), [entry("a", "2", 101)]);
        board.forget(MessageId::new(101)).await;
        assert_eq!(board.of_operation(&operation).len(), 1);
    }

    #[tokio::test]
    async fn a_new_message_for_the_same_takes_the_old_ones_place_and_the_oldest_goes() {
        let board = Board::load(Arc::new(InMemory::default()));
        board.add(entry("a", "1", 100)).await;
        board.add(entry("a", "1", 101)).await;
        assert_eq!(board.of_message(MessageId::new(100)), None);
        for number in 0..REMEMBERED as u64 {
            board.add(entry("b", &number.to_string(), 1_000 + number)).await;
        }
        assert_eq!(board.of_message(MessageId::new(101)), None);
        assert!(board.of_message(MessageId::new(1_000)).is_some());
    }

    #[test]
    fn a_file_that_cannot_be_read_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("discord-messages.json");
        std::fs::write(&path, "{ half").unwrap();
        assert!(PlacedFile::new(&path).load().is_err());
        assert_eq!(Board::load(Arc::new(PlacedFile::new(&path))).asking(), []);
    }
}
