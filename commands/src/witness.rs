//! What the log channel says of a log that is about to be written to. A post that this log lacks means that an older
//! log was put back, or that another one is told there: whoever went on would do again what was done already. Only a
//! person can tell which, so that nothing is carried out until one has.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::event::{Claim, Draft, Event, Hash, Kind};
use crate::ports::{Announced, AppendError, Ledger, LedgerError, LogChannel, PortError, World};
use crate::units::{Epoch, Person};

/// The body of `witness_gap`: a person has put on record that events are lost which the log channel was told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WitnessGap {
    /// The newest post that this log lacks. It and what stands before it in the channel is told no more.
    pub newest: Lacking,
    /// Who.
    pub by: Person,
    /// Why nothing is lost by it, or what is, in their words.
    pub reason: String,
}

/// A post that this log lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Lacking {
    /// The first event that it names.
    pub first: u64,
    /// The last event that it names.
    pub last: u64,
    /// That one's hash, as posted: 64 hexadecimal digits.
    pub hash: String,
}

impl Lacking {
    /// Whether it is that post.
    pub fn is(&self, post: &Announced) -> bool {
        (self.first, self.last) == (post.first, post.last) && self.hash == post.hash.to_string()
    }
}

/// What does not fit: what the channel was told last, and where this log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The newest post.
    pub newest: Lacking,
    /// The log's event of that number; `None` where it ends before.
    found: Option<Hash>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lacking { last, .. } = self.newest;
        match self.found {
            None => write!(f, "the log channel was told of events up to {last}, and this log ends before that"),
            Some(_) => write!(f, "the log channel was told of another event {last} than the one in this log"),
        }
    }
}

/// Why it could not be found out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotCompared {
    /// The log channel cannot be read.
    #[error(transparent)]
    Channel(#[from] PortError),
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Holds the newest post against the log; `None` where they agree, or where nothing was posted yet.
pub async fn compare(ledger: &dyn Ledger, channel: &dyn LogChannel) -> Result<Option<Gap>, NotCompared> {
    let Some(Announced { first, last, hash, .. }) = channel.newest().await? else { return Ok(None) };
    let newest = Lacking { first, last, hash: hash.to_string() };
    let event = ledger.events_after(last.saturating_sub(1), 1).await?.into_iter().find(|event| event.seq == last);
    let found = event.map(|event| event.hash);
    if found == Some(hash) || is_accepted(ledger, &newest).await? {
        return Ok(None);
    }
    Ok(Some(Gap { newest, found }))
}

async fn is_accepted(ledger: &dyn Ledger, newest: &Lacking) -> Result<bool, LedgerError> {
    let accepted = ledger.latest(Kind::WitnessGap.as_str(), 1).await?;
    Ok(accepted.first().and_then(of).is_some_and(|gap| gap.newest == *newest))
}

/// What such an event says; `None` for another kind.
pub fn of(event: &Event) -> Option<WitnessGap> {
    if event.kind != Kind::WitnessGap.as_str() {
        return None;
    }
    serde_json::from_str(&event.body).ok()
}

/// Puts on record that a person has seen to it.
pub async fn accept(
    ledger: &dyn Ledger,
    world: &dyn World,
    epoch: Epoch,
    gap: &WitnessGap,
) -> Result<Event, AppendError> {
    let body = serde_json::to_string(gap).map_err(|error| LedgerError(format!("it cannot be written ({error})")))?;
    let draft =
        Draft { operation: None, op_seq: 0, epoch, at: world.now(), kind: Kind::WitnessGap, body, claim: Claim::Keep };
    ledger.append(draft).await
}
