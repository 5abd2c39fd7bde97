//! What becomes of a command: it opens an operation, is answered, is passed on to the operation that it is for, or is
//! refused. Whoever took it shows that to the person in their own way.

use scalebot_commands::asked::{self, Answer, cancel};
use scalebot_commands::desk::Received;
use scalebot_commands::duty::Begin;
use scalebot_commands::journal::{CancelRequested, NotHeard, Signal};
use scalebot_commands::ports::{ClaimHeld, LedgerError};
use scalebot_commands::request::{self, Request};
use scalebot_commands::units::Person;

use super::{Fleet, Service, UnderWay};
use crate::reception::Reply;

/// What became of a command.
#[derive(Debug)]
pub(crate) struct Took {
    /// What whoever gave it is answered.
    pub(crate) reply: Reply,
    /// The log gave no answer: an operation may be on record, now or in a while, that is not in the reply.
    pub(crate) is_unsure: bool,
}

impl From<Reply> for Took {
    fn from(reply: Reply) -> Self {
        Self { reply, is_unsure: false }
    }
}

impl Service {
    /// Takes a command from a person. `under_way` is what this process carries out now.
    pub(crate) async fn take(&self, request: &Request, by: &Person, under_way: &[UnderWay]) -> Took {
        let Some(fleet) = self.meant(request) else { return none_configured() };
        let received = self.desk(fleet).take(request, by).await;
        self.taken(fleet, request, by, under_way, received).await
    }

    /// Takes what policy lets begin by itself.
    pub(crate) async fn take_by_itself(&self, begin: &Begin, under_way: &[UnderWay]) -> Took {
        let request = match request::parse(begin.command()) {
            Ok(request) => request,
            Err(error) => return Reply::Refused(error.to_string()).into(),
        };
        let Some(fleet) = self.meant(&request) else { return none_configured() };
        let received = self.desk(fleet).take_by_itself(begin).await;
        self.taken(fleet, &request, &Person::itself(), under_way, received).await
    }

    /// The fleet that is meant; the first where the name is nobody's, since the desk says so.
    fn meant(&self, request: &Request) -> Option<&Fleet> {
        request.target().and_then(|name| self.fleet(name)).or_else(|| self.fleets.first())
    }

    async fn taken(
        &self,
        fleet: &Fleet,
        request: &Request,
        by: &Person,
        under_way: &[UnderWay],
        received: Result<Received, LedgerError>,
    ) -> Took {
        let reply = match received {
            Ok(Received::Opened(operation)) => {
                let text = format!("{request} by {by}: looking. Operation {}.", operation.short());
                Ok(Reply::Opened { operation, text })
            }
            Ok(Received::Refused(reason)) => Ok(Reply::Refused(reason)),
            Ok(Received::Question) => match request {
                Request::Cancel { .. } => self.cancel(fleet, request, by, under_way).await,
                _ => self.answer(fleet, request, by).await,
            },
            Err(error) => {
                let reply = self.opened_after_all(fleet, &error, under_way).await;
                return Took { reply, is_unsure: true };
            }
        };
        reply.unwrap_or_else(|error| Reply::Refused(error.to_string())).into()
    }

    /// The log gave no answer. It may be on record all the same, and then somebody has to carry it out.
    async fn opened_after_all(&self, fleet: &Fleet, error: &LedgerError, under_way: &[UnderWay]) -> Reply {
        let Ok(mut claims) = self.log.writer.claims().await else {
            return Reply::Refused(format!(
                "{error}.\nWhether it was recorded is not known. If it was, it is carried out once the log answers.\n\
                 Look at /scale status before you ask again."
            ));
        };
        claims.retain(|held| held.target == fleet.ports.target.name);
        let is_carried = |held: &ClaimHeld| under_way.iter().any(|ours| ours.operation == held.operation);
        match claims.into_iter().find(|held| !is_carried(held)) {
            Some(ClaimHeld { operation, .. }) => {
                let text = format!("{error}\nOperation {} is on record and is carried out.", operation.short());
                Reply::Opened { operation, text }
            }
            None => Reply::Refused(format!(
                "{error}.\nNothing was done, since it could not be recorded. Ask again once that is put right."
            )),
        }
    }

    async fn answer(&self, fleet: &Fleet, request: &Request, by: &Person) -> Result<Reply, LedgerError> {
        Ok(match asked::answer(&self.desk(fleet), &fleet.ports, request, by).await? {
            Some(Answer::Card(card)) => Reply::Card(card),
            Some(Answer::Refused(reason)) => Reply::Refused(reason),
            None => Reply::Refused("That is no question.".to_owned()),
        })
    }

    /// Asks the operation under way to stop, if the person may, and says what that means where it is.
    async fn cancel(
        &self,
        fleet: &Fleet,
        request: &Request,
        by: &Person,
        under_way: &[UnderWay],
    ) -> Result<Reply, LedgerError> {
        let desk = self.desk(fleet);
        if let Err(reason) = desk.target(request.target()) {
            desk.refuse(request, by, reason.clone()).await?;
            return Ok(Reply::Refused(reason));
        }
        let on_it = under_way.iter().find(|under_way| under_way.target == fleet.ports.target.name);
        let Some(UnderWay { operation, signals, .. }) = on_it else {
            return Ok(Reply::Refused("Nothing is under way that could be cancelled.".to_owned()));
        };
        if let Err(reason) = desk.may_cancel(request, operation, by).await? {
            return Ok(Reply::Refused(reason));
        }
        let point = cancel::point_of(&self.log.ledger.events_of(operation).await?);
        if !point.can_stop() {
            desk.refuse(request, by, point.means().to_owned()).await?;
            return Ok(Reply::Refused(point.means().to_owned()));
        }
        Ok(match signals.send(Signal::Cancel(CancelRequested { by: by.clone() })) {
            Ok(()) => Reply::Taken(point.means().to_owned()),
            Err(NotHeard::Ended) => Reply::Refused(cancel::Point::Ended.means().to_owned()),
            Err(why @ NotHeard::TooMany) => Reply::Refused(why.to_string()),
        })
    }
}

fn none_configured() -> Took {
    Reply::Refused("No fleet is configured.".to_owned()).into()
}
