//! Scaling down, step 1: ensure that no instance is handling critical long-running operations.

use serde::{Deserialize, Serialize};

use super::assess::Assessed;
use super::guard::{Guard, Others};
use super::remove::Turn;
use super::{Ending, Outcome, body, guard};
use crate::card;
use crate::checks::{self, Told};
use crate::context::Context;
use crate::journal::{Heard, Interrupted, Journal, Recorded, Stop};
use crate::patience::{Deadline, Stopwatch};
use crate::ports::{FleetState, Slot, Work};
use crate::reading::Reading;
use crate::units::{InstanceId, Millis, Person};

/// The body of `quiesced`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Quiesced {
    /// How the wait ended.
    pub ended: QuietEnded,
    /// Who works on something that must not be cut off, and on what.
    pub busy: Vec<Busy>,
    /// Who does not tell what they work on.
    pub untold: Vec<InstanceId>,
    /// How long was waited.
    pub waited: Millis,
    /// Who asked for the operation to stop, where that ended it.
    pub cancelled_by: Option<Person>,
    /// What somebody else did to the fleet meanwhile; `None` where nobody did anything.
    pub interference: Option<String>,
}

body!(Quiesced, Quiesced, 1);

/// How the wait for long-running work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum QuietEnded {
    /// Enough instances work on nothing that must not be cut off.
    Quiet,
    /// Too few do, and the time for it is over.
    Busy,
    /// Instances do not tell, and policy has no fixed time to wait instead.
    Untold,
    /// The fleet cannot be seen, so that nobody can be asked.
    Unseen,
    /// Somebody else changed the fleet meanwhile.
    Interfered,
    /// Somebody asked for the operation to stop.
    Cancelled,
}

/// An instance and what it works on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// The instance.
    pub instance: InstanceId,
    /// What must not be cut off.
    pub work: Vec<Work>,
}

/// Waits until as many instances as are to be taken away work on nothing that must not be cut off.
pub async fn until_enough_are_free(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    assessed: &Assessed,
) -> Result<Recorded<Quiesced>, Interrupted> {
    let before = assessed.fleet.known();
    let others = |fleet: &FleetState| before.and_then(|before| changed_since(fleet, before));
    // The checks that follow look again, and refuse what cannot be seen.
    journal.step("quiet", |heard| wait(cx, heard, &others, Unseen::EndsIt)).await
}

/// Waits, before one is ended whom nobody has named, until none works on anything that must not be cut off.
pub async fn until_all_are_free(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    turn: &Turn,
) -> Result<Recorded<Quiesced>, Interrupted> {
    let others = |fleet: &FleetState| guard.interference(fleet);
    let key = format!("{prefix}quiet/{}", turn.key());
    journal.step(&key, |heard| wait(guard.cx, heard, &others, Unseen::IsWaitedFor)).await
}

/// What a fleet means that cannot be seen.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unseen {
    /// Nobody can be asked, so that there is nothing to wait for.
    EndsIt,
    /// It may be seen in a moment.
    IsWaitedFor,
}

async fn wait(cx: &Context<'_>, heard: Heard, others: Others<'_>, unseen_means: Unseen) -> Quiesced {
    let world = &*cx.ports.world;
    let began = Stopwatch::since(world, world.now());
    let deadline = Deadline::after(world, world.now(), cx.policy.drain.quiet);
    loop {
        let mut interference = None;
        let seen = match cx.fleet().await {
            Ok(fleet) => {
                interference = others(&fleet);
                let told = checks::ask_work(cx, &fleet).await;
                let enough = are_free(cx, &fleet, &told);
                Some((told, enough))
            }
            Err(_) => None,
        };
        let unseen = seen.is_none();
        let (told, enough) = seen.unwrap_or_default();
        let ended = if interference.is_some() {
            Some(QuietEnded::Interfered)
        } else if unseen && (unseen_means == Unseen::EndsIt || deadline.is_over(world)) {
            Some(QuietEnded::Unseen)
        } else if enough {
            Some(QuietEnded::Quiet)
        } else if told.iter().any(|(_, work)| work.is_not_served()) {
            // They will not tell a moment later either.
            Some(QuietEnded::Untold)
        } else if heard.cancelled_by().is_some() {
            Some(QuietEnded::Cancelled)
        } else if deadline.is_over(world) {
            Some(QuietEnded::Busy)
        } else {
            None
        };
        if let Some(ended) = ended {
            let waited = began.spent(world).into();
            let cancelled_by = heard.cancelled_by().filter(|_| ended == QuietEnded::Cancelled);
            return Quiesced { ended, busy: busy(&told), untold: untold(&told), waited, cancelled_by, interference };
        }
        cx.show(Slot::Progress, card::waiting_for_work(cx, &checks::who_is_busy(&told), deadline.left(world))).await;
        world.sleep(cx.policy.time.poll.min(deadline.left(world))).await;
    }
}

/// What somebody else did to the fleet since it was assessed.
fn changed_since(fleet: &FleetState, before: &FleetState) -> Option<String> {
    let same = fleet.identity == before.identity && fleet.generation == before.generation;
    (!same || fleet.wanted != before.wanted).then(|| format!("{} meanwhile", guard::who_set_the_count(fleet)))
}

fn are_free(cx: &Context<'_>, fleet: &FleetState, told: &[Told]) -> bool {
    let wanted = fleet.wanted.0.saturating_sub(cx.request.to.0) as usize;
    checks::candidates(cx, fleet, told, &[]).len() >= wanted
}

fn busy(told: &[Told]) -> Vec<Busy> {
    told.iter()
        .filter_map(|(instance, work)| {
            let work = work.known().filter(|work| !work.is_empty())?;
            Some(Busy { instance: instance.clone(), work: work.clone() })
        })
        .collect()
}

fn untold(told: &[Told]) -> Vec<InstanceId> {
    told.iter().filter(|(_, work)| matches!(work, Reading::Unknown { .. })).map(|(id, _)| id.clone()).collect()
}

impl Quiesced {
    /// Why nobody may be ended; `None` where that may be.
    pub fn objection(&self) -> Option<Stop> {
        let waited = self.waited;
        Some(match self.ended {
            QuietEnded::Quiet => return None,
            QuietEnded::Interfered => {
                Stop::Changed(self.interference.clone().unwrap_or_else(|| "somebody else changed the fleet".to_owned()))
            }
            QuietEnded::Cancelled => {
                let by = self.cancelled_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
                Stop::Cancelled(format!("cancelled{by}"))
            }
            QuietEnded::Busy => {
                let busy = self.busy.iter().map(|one| {
                    let what: Vec<String> = one.work.iter().map(|work| crate::request::quoted(&work.what)).collect();
                    format!("{} works on {}", one.instance, what.join(", "))
                });
                let busy: Vec<String> = busy.collect();
                Stop::OverLimit(format!(
                    "not all are free after {waited}, and it may be any that ends: {}",
                    busy.join("; ")
                ))
            }
            QuietEnded::Untold => Stop::Unknown("instances do not tell what they work on".to_owned()),
            QuietEnded::Unseen => Stop::Unknown(format!("the fleet could not be seen for {waited}")),
        })
    }

    /// How the operation ends here; `None` when it goes on. What refuses it is said by the checks, with everything else.
    pub fn ending(&self) -> Option<Ending> {
        if let Some(what) = &self.interference {
            let reason = card::in_lines([&**what, "Nothing was changed.", "Ask again if it is still wanted."]);
            return Some(Ending::before_any_change(Outcome::Refused, None, reason).because_of_others(what));
        }
        (self.ended == QuietEnded::Cancelled).then(|| {
            let by = self.cancelled_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
            let reason = format!("Cancelled{by}.\nNothing was changed.");
            Ending::before_any_change(Outcome::Cancelled, None, reason)
        })
    }
}
