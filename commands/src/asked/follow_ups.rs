//! `/scale followups`: what somebody has to see to later, and `close`, which says that one of it is done.

use futures::join;

use super::{LOOKED_AT, Question, status};
use crate::card::{self, Card};
use crate::event::Kind;
use crate::follow_up::{self, FollowUpClosed, OpenFollowUp};
use crate::patience::within;
use crate::ports::{LedgerError, PortError};

/// Lists the open ones. One that asks for the declared count to be changed is closed when the counts agree.
pub(super) async fn answer(question: &Question<'_>) -> Result<Card, LedgerError> {
    let (mut open, mut remarks) = open(question).await?;
    let mut settled = Vec::new();
    if open.iter().any(|follow_up| follow_up.is_declared_count) {
        match counts_agree(question).await {
            Ok(true) => {
                let (done, rest) = open.into_iter().partition(|follow_up| follow_up.is_declared_count);
                (settled, open) = (done, rest);
            }
            Ok(false) => {}
            Err(error) => remarks.push(format!("whether the declared count is settled could not be told: {error}")),
        }
    }
    for follow_up in &settled {
        record(question, follow_up, false, "The declared count and the live count agree.").await?;
    }
    Ok(card::follow_ups(&question.asker, question.ports.world.now(), &open, &settled, &remarks))
}

/// Closes one, because somebody says that it is done.
pub(super) async fn close(
    question: &Question<'_>,
    number: u64,
    reason: Option<&str>,
) -> Result<Result<Card, String>, LedgerError> {
    let (open, _) = open(question).await?;
    let Some(follow_up) = open.iter().find(|follow_up| follow_up.number == number) else {
        return Ok(Err(format!(
            "No follow-up with the number {number} is open. Nothing was done.\nTo see which are: /scale followups"
        )));
    };
    record(question, follow_up, true, reason.unwrap_or("No reason was given.")).await?;
    Ok(Ok(card::closed_follow_up(&question.asker, follow_up, open.len() - 1)))
}

/// Those that nobody has closed, and what may be missing from them.
pub(super) async fn open(question: &Question<'_>) -> Result<(Vec<OpenFollowUp>, Vec<String>), LedgerError> {
    let ledger = &question.ports.ledger;
    // First those that were left, so that one that is closed in between is looked for among those closed after.
    let left = ledger.latest(Kind::FollowUp.as_str(), LOOKED_AT).await?;
    let closed = ledger.latest(Kind::FollowUpClosed.as_str(), LOOKED_AT).await?;
    let mut remarks = Vec::new();
    if left.len() == LOOKED_AT as usize {
        remarks.push(format!("only the last {LOOKED_AT} were looked at; the log may hold older ones"));
    }
    let mut open = Vec::new();
    for follow_up in follow_up::open(&left, &closed) {
        if status::of_target(question, follow_up.operation.as_ref(), question.asker.target).await? {
            open.push(follow_up);
        }
    }
    Ok((open, remarks))
}

/// Whether the count that is written down is the one that is live. Nothing written down is no agreement.
async fn counts_agree(question: &Question<'_>) -> Result<bool, PortError> {
    let (world, limit) = (&*question.ports.world, question.desk.policy.time.look);
    let fleet = &question.ports.target.fleet;
    let place = fleet.describe();
    let (declared, live) =
        join!(within(world, limit, &place, fleet.declared()), within(world, limit, &place, fleet.observe()));
    let (declared, live) = (declared?, live?);
    Ok(declared.is_some_and(|declared| declared.count == live.wanted))
}

async fn record(
    question: &Question<'_>,
    follow_up: &OpenFollowUp,
    by_somebody: bool,
    because: &str,
) -> Result<(), LedgerError> {
    let closed = FollowUpClosed {
        follow_up: follow_up.number,
        by: by_somebody.then(|| question.asker.by.clone()),
        because: because.to_owned(),
    };
    question.desk.note(Kind::FollowUpClosed, &closed).await?;
    Ok(())
}
