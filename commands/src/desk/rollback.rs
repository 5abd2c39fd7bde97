//! `/scale rollback`: which operation it undoes, and what that comes to. Only the latest on a target can be undone;
//! whether the fleet is still where it left it is for the runbook to see.

use super::{Order, requested_of};
use crate::capacity::finished_of;
use crate::card::instances;
use crate::event::{Event, Kind};
use crate::ports::{Ledger, LedgerError};
use crate::request::{Direction, Request, Requested};
use crate::steps::{Finished, Outcome};
use crate::units::{OperationId, Replicas, TargetName};

/// How many operations are looked back on, over all targets.
const LOOKED_AT: u32 = 200;

/// What undoes the latest operation on that target, or why nothing does.
pub(super) async fn order(
    ledger: &dyn Ledger,
    request: &Request,
    target: &TargetName,
) -> Result<Result<Order, String>, LedgerError> {
    let Some((operation, finished)) = latest(ledger, target).await? else {
        return Ok(Err(format!("No operation has changed {target} yet, so there is nothing to undo.")));
    };
    let requested = requested_of(&ledger.events_of(&operation).await?);
    let undoing = undoing(&operation, &finished, requested.as_ref());
    Ok(undoing.map(|(direction, to)| Order {
        direction,
        to,
        reason: request.reason().map(ToOwned::to_owned),
        undoes: Some(operation),
    }))
}

/// The latest operation on that target that may have changed it.
async fn latest(ledger: &dyn Ledger, target: &TargetName) -> Result<Option<(OperationId, Finished)>, LedgerError> {
    let finished = ledger.latest(Kind::Finished.as_str(), LOOKED_AT).await?;
    let read = |event: &Event| Some((event.operation.clone()?, finished_of(event)?));
    for event in &finished {
        // What cannot be read may have been anything, and is not looked past.
        let (operation, ended) = read(event).ok_or_else(|| {
            LedgerError(format!("event {} cannot be read by this version, so it is not known what to undo", event.seq))
        })?;
        if ended.target == *target && ended.outcome.may_have_changed_the_fleet() {
            return Ok(Some((operation, ended)));
        }
    }
    Ok(None)
}

/// Which way, and to what count, that operation is undone.
///
/// # Errors
/// Why it is not, in words for who asked.
fn undoing(
    operation: &OperationId,
    finished: &Finished,
    requested: Option<&Requested>,
) -> Result<(Direction, Replicas), String> {
    let what = format!("the latest operation on {}", finished.target);
    let id = operation.short();
    let Some(requested) = requested else {
        return Err(format!("{} ({id}) cannot be read by this version.\n{INSTEAD}", capitalised(&what)));
    };
    let what = format!("{what}, {} (operation {id}),", requested.command);
    if requested.undoes.is_some() {
        return Err(format!("{} was a rollback itself. Nothing was done.\n{INSTEAD}", capitalised(&what)));
    }
    let Some(from) = finished.from else {
        return Err(format!("{} ended before the fleet was seen. There is nothing to undo.", capitalised(&what)));
    };
    if finished.outcome == Outcome::RolledBack {
        return Err(format!(
            "{} was taken back already: to {}. There is nothing to undo.",
            capitalised(&what),
            instances(from)
        ));
    }
    match finished.ended_at {
        None => Err(format!(
            "What {what} left behind could not be seen then, so it is not undone by itself.\nThere were {from} before. {INSTEAD}",
        )),
        Some(ended_at) if ended_at == from => Err(format!(
            "{} changed nothing: there were {} before and after. There is nothing to undo.",
            capitalised(&what),
            instances(from)
        )),
        Some(ended_at) => Ok((Direction::of(ended_at, from), from)),
    }
}

/// What to do where a rollback does not.
const INSTEAD: &str = "Say the count that is wanted: /scale status shows the present one.";

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::{Millis, Person};

    fn requested(undoes: Option<&str>) -> Requested {
        Requested {
            runbook: 1,
            command: "/scale up 6".into(),
            by: Person::new("mara"),
            target: TargetName::new("api"),
            direction: Direction::Up,
            to: Replicas(6),
            reason: None,
            undoes: undoes.map(OperationId::new),
            policy: String::new(),
            monitor: Millis(0),
        }
    }

    fn ended(outcome: Outcome, from: Option<u32>, ended_at: Option<u32>) -> Finished {
        Finished {
            target: TargetName::new("api"),
            outcome,
            from: from.map(Replicas),
            to: Replicas(6),
            ended_at: ended_at.map(Replicas),
            verdict: None,
            reason: String::new(),
        }
    }

    fn undo(finished: &Finished, requested: Option<&Requested>) -> Result<(Direction, u32), String> {
        undoing(&OperationId::new("019b-7f3a01"), finished, requested).map(|(way, to)| (way, to.0))
    }

    #[test]
    fn it_goes_back_to_the_count_before_whichever_way_that_is() {
        let asked = requested(None);
        let undone = |outcome, from, ended_at| undo(&ended(outcome, Some(from), Some(ended_at)), Some(&asked));
        assert_eq!(undone(Outcome::Completed, 4, 6), Ok((Direction::Down, 4)));
        assert_eq!(undone(Outcome::Completed, 6, 4), Ok((Direction::Up, 6)));
        assert_eq!(undone(Outcome::Failed, 4, 5), Ok((Direction::Down, 4)));
        assert_eq!(undone(Outcome::Cancelled, 4, 6), Ok((Direction::Down, 4)));
    }

    #[test]
    fn what_cannot_be_undone_is_refused_with_why_and_what_to_do_instead() {
        let (own, rollback) = (requested(None), requested(Some("019b-7f3a00")));
        let refusals = [
            undo(&ended(Outcome::RolledBack, Some(4), Some(4)), Some(&own)),
            undo(&ended(Outcome::Cancelled, Some(4), Some(4)), Some(&own)),
            undo(&ended(Outcome::Failed, Some(4), None), Some(&own)),
            undo(&ended(Outcome::Failed, None, None), Some(&own)),
            undo(&ended(Outcome::Completed, Some(6), Some(4)), Some(&rollback)),
            undo(&ended(Outcome::Completed, Some(4), Some(6)), None),
        ];
        let said = refusals.map(|refusal| format!("{}\n\n", refusal.unwrap_err())).concat();
        insta::assert_snapshot!(said, @r"
        The latest operation on api, /scale up 6 (operation 7f3a01), was taken back already: to 4 instances. There is nothing to undo.

        The latest operation on api, /scale up 6 (operation 7f3a01), changed nothing: there were 4 instances before and after. There is nothing to undo.

        What the latest operation on api, /scale up 6 (operation 7f3a01), left behind could not be seen then, so it is not undone by itself.
        There were 4 before. Say the count that is wanted: /scale status shows the present one.

        The latest operation on api, /scale up 6 (operation 7f3a01), ended before the fleet was seen. There is nothing to undo.

        The latest operation on api, /scale up 6 (operation 7f3a01), was a rollback itself. Nothing was done.
        Say the count that is wanted: /scale status shows the present one.

        The latest operation on api (7f3a01) cannot be read by this version.
        Say the count that is wanted: /scale status shows the present one.
        ");
    }
}
