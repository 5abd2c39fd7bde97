//! Which question it is, whether it may be asked, and its answer.

use super::{Asker, Question, capacity, follow_ups, history, plan, status};
use crate::authority::Action;
use crate::card::{self, Card};
use crate::desk::{Desk, Received};
use crate::ports::{LedgerError, Ports};
use crate::request::Request;
use crate::units::Person;

/// What somebody is answered who asked something.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// A card.
    Card(Box<Card>),
    /// Why they are not answered, or why it is not done.
    Refused(String),
}

impl From<Card> for Answer {
    fn from(card: Card) -> Self {
        Self::Card(Box::new(card))
    }
}

/// Answers a question; `None` when the request is none. `ports` are those of the fleet that is meant.
///
/// # Errors
/// When the log cannot be used.
pub async fn answer(
    desk: &Desk<'_>,
    ports: &Ports,
    request: &Request,
    by: &Person,
) -> Result<Option<Answer>, LedgerError> {
    if matches!(request, Request::Change { .. } | Request::Rollback { .. } | Request::Cancel { .. }) {
        return Ok(None);
    }
    if let Err(refusal) = desk.may(by, Action::of(request)).await {
        return refused(desk, request, by, refusal.to_string()).await;
    }
    let target = match desk.target(request.target()) {
        Ok(target) => target,
        Err(reason) => return refused(desk, request, by, reason).await,
    };
    let question = Question { ports, desk, asker: Asker { by, target } };
    Ok(match request {
        Request::Change { .. } | Request::Rollback { .. } | Request::Cancel { .. } => None,
        Request::Plan { to, .. } => Some(plan::answer(&question, request, *to).await.into()),
        Request::Status { .. } => Some(status::answer(&question).await.into()),
        Request::History { count, .. } => Some(history::answer(&question, *count).await?.into()),
        Request::Capacity { load, .. } => Some(capacity::answer(&question, *load).await.into()),
        Request::Followups { close: None, .. } => Some(follow_ups::answer(&question).await?.into()),
        Request::Followups { close: Some(number), reason, .. } => {
            match follow_ups::close(&question, *number, reason.as_deref()).await? {
                Ok(card) => Some(card.into()),
                Err(reason) => return refused(desk, request, by, reason).await,
            }
        }
        Request::Help => Some(card::help().into()),
    })
}

async fn refused(
    desk: &Desk<'_>,
    request: &Request,
    by: &Person,
    reason: String,
) -> Result<Option<Answer>, LedgerError> {
    match desk.refuse(request, by, reason).await? {
        Received::Refused(reason) => Ok(Some(Answer::Refused(reason))),
        Received::Opened(_) | Received::Question => Ok(None),
    }
}
