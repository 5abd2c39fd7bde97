//! What is on record of operations, read beside whoever writes it; and who holds the state.

use std::io::Read as _;

use scalebot_adapters::ledger::Storage;
use scalebot_adapters::process;
use scalebot_commands::break_glass::is_cancelled;
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::Parked;
use scalebot_commands::ports::{ClaimHeld, LedgerError};
use scalebot_commands::request::{escaped, quoted};
use scalebot_commands::supervisor::parked;
use scalebot_commands::units::OperationId;
use serde::Deserialize;

use crate::control::{self, Busy};
use crate::state_dir::StateDir;
use crate::storage;

/// How often a log is opened again that was written to while it was read without locks.
const ATTEMPTS: usize = 5;

/// How many operations that have ended are listed.
const ENDED: u32 = 10;

/// How many escalations and acknowledgements are looked through.
const ESCALATIONS: u32 = 500;

/// How many operations are looked through for one that is named by its end.
const SOUGHT: u32 = 100_000;

/// The most of a command that is shown, in characters.
const COMMAND: usize = 200;

/// One operation.
#[derive(Clone, Debug)]
pub(super) struct Operation {
    pub(super) id: OperationId,
    /// All that is on record of it.
    pub(super) events: Vec<Event>,
    /// What it holds; `None` when it has ended.
    pub(super) held: Option<ClaimHeld>,
}

/// Everything that is unfinished, and what ended last.
#[derive(Clone, Debug)]
pub(super) struct Overview {
    pub(super) unfinished: Vec<Operation>,
    /// Latest first.
    pub(super) ended: Vec<Operation>,
    /// Escalations that nobody has acknowledged, latest first.
    pub(super) escalations: Vec<Event>,
}

/// Who holds the state.
#[derive(Clone, Debug)]
pub(super) enum Holder {
    /// No process does.
    Nobody,
    /// A process does.
    Process {
        /// Which, in words.
        who: String,
        /// What it says that it does; `None` when it does not say.
        busy: Option<Busy>,
    },
}

/// What an operation's name turned out to mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sought {
    /// This one.
    Found(OperationId),
    /// None.
    Nothing,
    /// More than one.
    Several(Vec<OperationId>),
}

/// What of a request is shown, whatever version wrote it.
#[derive(Default, Deserialize)]
struct Asked {
    command: Option<String>,
    by: Option<String>,
}

impl Operation {
    /// Reads it; `None` where there is none of that name.
    pub(super) async fn read(dir: &StateDir, id: &OperationId) -> Result<Option<Self>, String> {
        let read = read(dir, async |ledger| {
            let held = ledger.claims().await?.into_iter().find(|held| held.operation == *id);
            Self::of(ledger, id.clone(), held).await
        });
        Ok(read.await?.filter(|one| !one.events.is_empty()))
    }

    async fn of(ledger: &dyn Storage, id: OperationId, held: Option<ClaimHeld>) -> Result<Self, LedgerError> {
        Ok(Self { events: ledger.events_of(&id).await?, id, held })
    }

    /// What was asked for, and by whom.
    pub(super) fn asked(&self) -> String {
        let first = self.events.first();
        let Asked { command, by } = first.and_then(|first| serde_json::from_str(&first.body).ok()).unwrap_or_default();
        let shown = |text: Option<String>, otherwise: &str| {
            text.map_or_else(|| otherwise.to_owned(), |text| escaped(&text, COMMAND))
        };
        format!("{} by {}", shown(command, "a request that cannot be read"), shown(by, "somebody"))
    }

    /// Why it cannot go on by itself, where it cannot.
    pub(super) fn parked(&self) -> Option<Parked> {
        parked(&self.events).filter(|_| self.held.is_some())
    }

    /// Whether somebody has asked for it to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        is_cancelled(&self.events)
    }
}

impl Overview {
    /// Reads it; `None` where nothing was ever recorded.
    pub(super) async fn read(dir: &StateDir) -> Result<Option<Self>, String> {
        read(dir, async |ledger| {
            let mut unfinished = Vec::new();
            for held in ledger.claims().await? {
                unfinished.push(Operation::of(ledger, held.operation.clone(), Some(held)).await?);
            }
            let mut ended = Vec::new();
            for event in ledger.latest(Kind::Finished.as_str(), ENDED).await? {
                if let Some(id) = event.operation {
                    ended.push(Operation::of(ledger, id, None).await?);
                }
            }
            let mut escalations = ledger.latest(Kind::Escalated.as_str(), ESCALATIONS).await?;
            let acknowledged = ledger.latest(Kind::Acknowledged.as_str(), ESCALATIONS).await?;
            escalations
                .retain(|escalated| !acknowledged.iter().any(|event| acknowledges(event) == Some(escalated.seq)));
            Ok(Self { unfinished, ended, escalations })
        })
        .await
    }
}

/// Which escalation an acknowledgement is of.
fn acknowledges(event: &Event) -> Option<u64> {
    #[derive(Deserialize)]
    struct Of {
        escalation: u64,
    }
    serde_json::from_str::<Of>(&event.body).ok().map(|of| of.escalation)
}

impl Holder {
    /// Looks, without disturbing whoever holds it.
    pub(super) async fn of(dir: &StateDir) -> Result<Self, String> {
        let path = dir.drill_lock();
        let cannot = |error: std::io::Error| format!("{} cannot be looked at: {error}.", path.display());
        // A directory that was never used here is held by nobody.
        if !dir.path().exists() || process::Holder::of(&path).map_err(cannot)? == process::Holder::Nobody {
            return Ok(match leader(dir).await? {
                Some(who) => Self::Process { who, busy: None },
                None => Self::Nobody,
            });
        }
        let mut who = String::new();
        // Without it, the process is still there.
        let _ = std::fs::File::open(&path).and_then(|file| file.take(200).read_to_string(&mut who));
        let who = if who.trim().is_empty() { "another process".to_owned() } else { quoted(who.trim()) };
        Ok(Self::Process { who, busy: control::status(&dir.control_socket()).await.ok() })
    }
}

/// Which process leads, where several may, on whichever machine.
pub(super) async fn leader(dir: &StateDir) -> Result<Option<String>, String> {
    Ok(read(dir, async |ledger| ledger.leader().await).await?.flatten())
}

/// Finds the operation that is meant by its identifier or the end of it.
pub(super) async fn seek(dir: &StateDir, given: &str) -> Result<Sought, String> {
    let found = read(dir, async |ledger| {
        let whole = OperationId::new(given);
        if !ledger.events_of(&whole).await?.is_empty() {
            return Ok(Sought::Found(whole));
        }
        let requested = ledger.latest(Kind::Requested.as_str(), SOUGHT).await?;
        let mut found: Vec<OperationId> = requested.into_iter().filter_map(|event| event.operation).collect();
        // One whose request cannot be read still holds its target.
        found.extend(ledger.claims().await?.into_iter().map(|held| held.operation));
        found.retain(|operation| operation.as_str().ends_with(given));
        found.sort();
        found.dedup();
        Ok(match found.len() {
            0 => Sought::Nothing,
            1 => Sought::Found(found.remove(0)),
            _ => Sought::Several(found),
        })
    });
    Ok(found.await?.unwrap_or(Sought::Nothing))
}

/// Reads something of the log; `None` where nothing was ever recorded. Makes no file and changes none.
async fn read<T>(
    dir: &StateDir,
    look: impl AsyncFn(&dyn Storage) -> Result<T, LedgerError>,
) -> Result<Option<T>, String> {
    dir.must_exist()?;
    for _ in 0..ATTEMPTS {
        let opened = storage::open_to_read(dir).await.map_err(|error| error.to_string())?;
        let Some(ledger) = opened else { return Ok(None) };
        let found = look(&*ledger).await;
        let moved_on = ledger.has_moved_on();
        ledger.close().await;
        if !moved_on {
            return found.map(Some).map_err(|error| error.to_string());
        }
    }
    Err(format!("{} changed each time while it was read; try again", storage::place(dir)))
}
