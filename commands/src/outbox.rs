//! Tells the log channel of every event, in order, each in exactly one post: weighty ones alone, routine ones gathered.
//!
//! What a post holds is fixed in the ledger before it is sent for the first time, so that after a crash the same post
//! is looked for in the channel, and sent only if it is not there.

mod gist;

use std::fmt::Write as _;
use std::future::Future;
use std::time::Duration;

pub use self::gist::gist;
use crate::card::clock;
use crate::event::{Event, Hash, Kind, Weight};
use crate::mutation::mutated;
use crate::patience::within;
use crate::ports::{Ledger, LedgerError, LogChannel, PortError, Post, Posts, World};
use crate::request::escaped;
use crate::units::OperationId;

/// The most routine events that are gathered in one post.
const GATHERED: u32 = 20;

/// How long routine events wait for company before they are posted anyway.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// How long the channel has to answer. What came later is found there next time.
const LIMIT: Duration = Duration::from_secs(10);

/// Why posting stopped for now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The log cannot be read.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The channel does not take it now; what is planned stays planned.
    #[error(transparent)]
    Channel(#[from] PortError),
}

/// The outbox of one process.
pub struct Outbox<'a> {
    /// The operational log.
    pub ledger: &'a dyn Ledger,
    /// What was posted.
    pub posts: &'a dyn Posts,
    /// Where it is posted.
    pub channel: &'a dyn LogChannel,
    /// Time.
    pub world: &'a dyn World,
}

impl Outbox<'_> {
    /// Posts what is due; with `all`, routine events that still wait for company too. Returns when nothing is left.
    pub async fn flush(&self, all: bool) -> Result<(), OutboxError> {
        loop {
            let (posted, planned) = self.posts.position().await?;
            let post = match planned {
                Some(planned) => {
                    // It may have been sent already, with the answer lost: by an earlier process, or a moment ago.
                    if let Some(message) = self.bounded(self.channel.find(&planned)).await? {
                        self.posts.confirm(&planned, &message).await?;
                        continue;
                    }
                    planned
                }
                None => match self.next(posted, all).await? {
                    Some(post) => {
                        if !mutated!(PostUnplanned) {
                            self.posts.plan(&post).await?;
                        }
                        post
                    }
                    None => return Ok(()),
                },
            };
            let message = self.bounded(self.channel.post(&post)).await?;
            self.posts.confirm(&post, &message).await?;
        }
    }

    /// A channel that hangs must not stop the posting for good.
    async fn bounded<T>(&self, asked: impl Future<Output = Result<T, PortError>>) -> Result<T, PortError> {
        within(self.world, LIMIT, "the log channel", asked).await
    }

    /// The next post after event `posted`; `None` when nothing is due.
    async fn next(&self, posted: u64, all: bool) -> Result<Option<Post>, LedgerError> {
        let events = self.ledger.events_after(posted, GATHERED).await?;
        let routine = events.iter().take_while(|event| weight(event) == Weight::Routine).count();
        let (due, rest) = events.split_at(routine);
        Ok(match (due, rest) {
            ([], []) => None,
            ([], [weighty, ..]) => Some(post(std::slice::from_ref(weighty))),
            (due, []) if !all && due.len() < GATHERED as usize => None,
            (due, _) => Some(post(due)),
        })
    }
}

fn weight(event: &Event) -> Weight {
    // What a later version wrote is told by itself, since nobody here knows how much it weighs.
    Kind::parse(&event.kind).map_or(Weight::Weighty, Kind::weight)
}

fn post(events: &[Event]) -> Post {
    let first = events.first().map_or(0, |event| event.seq);
    let (last, hash) = events.last().map_or((0, Hash::GENESIS), |event| (event.seq, event.hash));
    let mut text = String::new();
    for event in events {
        let operation = event.operation.as_ref().map_or("-", OperationId::short);
        let at = event.time().map_or_else(|| escaped(&event.at, 40), clock);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{at}  {operation}  {}  {}", escaped(&event.kind, 40).replace('_', " "), gist(event));
    }
    Post { first, last, hash, text: text.trim_end().to_owned() }
}

#[cfg(test)]
mod tests;
