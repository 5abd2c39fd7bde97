//! `/scale history [n]`: the last operations, newest first.

use super::{LOOKED_AT, Question, status};
use crate::capacity::finished_of;
use crate::card::{self, Card};
use crate::desk::requested_of;
use crate::event::Kind;
use crate::ports::LedgerError;
use crate::steps::Finished;
use crate::units::{OperationId, Person, Timestamp};

/// An operation that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Which.
    pub operation: OperationId,
    /// When it ended; `None` when that cannot be read.
    pub at: Option<Timestamp>,
    /// The command, and who gave it; `None` when it cannot be read.
    pub asked: Option<(String, Person)>,
    /// How it ended.
    pub finished: Finished,
}

pub(super) async fn answer(question: &Question<'_>, count: u32) -> Result<Card, LedgerError> {
    let ledger = &question.ports.ledger;
    // With several fleets some of them are others'.
    let finished = ledger.latest(Kind::Finished.as_str(), LOOKED_AT.max(count)).await?;
    let mut past = Vec::new();
    for event in finished {
        if past.len() == count as usize {
            break;
        }
        let (Some(operation), Some(finished)) = (event.operation.clone(), finished_of(&event)) else {
            return Err(LedgerError(format!("event {} cannot be read by this version", event.seq)));
        };
        if finished.target != *question.asker.target {
            continue;
        }
        let asked = requested_of(&ledger.events_of(&operation).await?);
        let asked = asked.map(|requested| (requested.command, requested.by));
        past.push(Past { operation, at: event.time(), asked, finished });
    }
    let under_way = status::under_way(question).await?;
    let command = under_way.and_then(|one| one.asked).map(|(command, _)| command);
    Ok(card::history(&question.asker, &past, count, command.as_deref()))
}
