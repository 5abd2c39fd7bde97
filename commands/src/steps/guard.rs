//! What must hold an instant before an effect of a plan, read fresh: nobody cancelled, the halt permits it or an approval
//! covers it, and the fleet is what the plan, or the effect before this one, left.

use std::time::Duration;

use futures::join;

use crate::approval::BoundHalt;
use crate::context::Context;
use crate::halt::{self, SourceSays};
use crate::journal::{Heard, Stop};
use crate::mutation::mutated;
use crate::ports::{FleetState, InstanceState, PortError};
use crate::steps::permit::{Doubt, Permit};
use crate::steps::precheck::Plan;
use crate::units::{InstanceId, Replicas};

/// Under what an effect of a plan may happen.
#[derive(Clone, Copy)]
pub struct Guard<'a> {
    /// The operation's surroundings.
    pub cx: &'a Context<'a>,
    /// What is carried out.
    pub plan: &'a Plan,
    /// Under what.
    pub permit: &'a Permit,
    /// Who was taken away under this plan by now.
    pub removed: &'a [InstanceId],
    /// How many more were told to end whom nobody has named, and who are not seen to be gone yet.
    pub ending: u32,
    /// Whether an effect of this plan was begun before. An approval is used up by the first one, and covers the others
    /// as long as each finds what the one before it left.
    pub begun: bool,
}

/// What a guard found, where it lets the effect happen.
pub(super) struct Held {
    pub(super) fleet: FleetState,
    pub(super) halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest.
    pub(super) approval: Option<String>,
}

impl Guard<'_> {
    /// Reads everything at once.
    pub(super) async fn read(&self, heard: &Heard) -> Result<Held, Stop> {
        if let Some(by) = heard.cancelled_by().filter(|_| !mutated!(CancelUnheard)) {
            return Err(Stop::Cancelled(format!("cancelled by {by}")));
        }
        let world = &*self.cx.ports.world;
        let target = &self.cx.ports.target;
        let limit = self.cx.policy.time.guard;
        let (halt, fleet, approved) = join!(
            halt::ask(world, &target.halt, limit),
            self.cx.fleet_within(limit),
            self.approval_stands(heard, limit),
        );
        let fleet = fleet.map_err(unseen)?;
        if !mutated!(HaltUnread) {
            self.halt_permits(&halt)?;
        }
        approved?;
        self.is_as_left(&fleet)?;
        let approval = match self.permit {
            Permit::NotNeeded => None,
            Permit::Approved(approval) => Some(approval.asked.digest.clone()),
        };
        Ok(Held { fleet, halt, approval })
    }

    /// The count as the plan, or the effect before this one, left it.
    pub(super) fn wanted(&self) -> Replicas {
        let fewer = u32::try_from(self.removed.len()).unwrap_or(u32::MAX).saturating_add(self.ending);
        Replicas(self.plan.from.0.saturating_sub(fewer))
    }

    /// Nobody else has changed the fleet, and nobody who was in service has ended.
    fn is_as_left(&self, fleet: &FleetState) -> Result<(), Stop> {
        match self.interference(fleet) {
            Some(what) => Err(Stop::Changed(what)),
            None => Ok(()),
        }
    }

    /// What somebody else did to the fleet since the plan was made, or since the effect before this one.
    pub(super) fn interference(&self, fleet: &FleetState) -> Option<String> {
        let ours = if self.removed.is_empty() && self.ending == 0 {
            fleet.generation == self.plan.generation
        } else {
            fleet.changed_by.as_deref() == Some(self.cx.operation.as_str())
        };
        changed_while_some_end(fleet, self.plan, self.wanted(), self.removed, self.ending)
            .or_else(|| (!ours).then(|| set_meanwhile(fleet)))
    }

    /// What the permit says to what the halt sources say at this moment.
    fn halt_permits(&self, halt: &[SourceSays]) -> Result<(), Stop> {
        match self.permit {
            Permit::NotNeeded => match halt::conclude(halt).why() {
                Some(why) => Err(Stop::Halted(why.to_owned())),
                None => Ok(()),
            },
            Permit::Approved(approval) if approval.asked.bound.halt == BoundHalt::of(halt) || mutated!(AnotherHalt) => {
                Ok(())
            }
            Permit::Approved(_) => {
                let conclusion = halt::conclude(halt);
                let why = conclusion.why().unwrap_or("not halted any more");
                Err(Stop::Void(format!("the halt state is another than the one approved: {why}")))
            }
        }
    }

    async fn approval_stands(&self, heard: &Heard, limit: Duration) -> Result<(), Stop> {
        let Permit::Approved(approval) = self.permit else { return Ok(()) };
        if self.begun {
            return Ok(());
        }
        approval.still_stands(self.cx, heard, limit).await.map_err(|doubt| match doubt {
            Doubt::Void(why) => Stop::Void(why),
            Doubt::Unknown(why) => Stop::Unknown(why),
        })
    }
}

/// What somebody else did to the fleet, as whoever waits sees it.
pub(super) type Others<'a> = &'a (dyn Fn(&FleetState) -> Option<String> + Sync);

/// Why a guard cannot go on without the fleet.
pub(super) fn unseen(error: PortError) -> Stop {
    match error {
        PortError::Gone { .. } => Stop::Gone(error.to_string()),
        error => Stop::Unknown(error.to_string()),
    }
}

/// "a colleague set the count to 7".
pub(super) fn who_set_the_count(fleet: &FleetState) -> String {
    let who = fleet.changed_by.as_deref().map_or_else(|| "somebody else".to_owned(), crate::request::quoted);
    format!("{who} set the count to {}", fleet.wanted)
}

/// What somebody else did to the fleet: replaced it, set another count than is `wanted`, or ended one that was to stay.
pub(super) fn changed_by_others(
    fleet: &FleetState,
    plan: &Plan,
    wanted: Replicas,
    removed: &[InstanceId],
) -> Option<String> {
    changed_while_some_end(fleet, plan, wanted, removed, 0)
}

/// The same while so many are `ending` whom the orchestrator has chosen: that many may be gone, and nobody more.
fn changed_while_some_end(
    fleet: &FleetState,
    plan: &Plan,
    wanted: Replicas,
    removed: &[InstanceId],
    ending: u32,
) -> Option<String> {
    if fleet.identity != plan.identity {
        return Some("the fleet was replaced by another of the same name".to_owned());
    }
    if fleet.wanted != wanted {
        return Some(set_meanwhile(fleet));
    }
    let ended: Vec<String> = ended(fleet, plan, removed).collect();
    if ended.len() <= ending as usize {
        return None;
    }
    Some(if ending == 0 {
        ended.into_iter().next()?
    } else {
        format!("{ending} was told to end, and {}", ended.join("; "))
    })
}

fn set_meanwhile(fleet: &FleetState) -> String {
    format!("{} meanwhile", who_set_the_count(fleet))
}

/// Which instances that were in service when the plan was made, and were to stay, have ended since: nobody of this operation
/// has done that. An instance that is only not ready for a moment has not ended.
fn ended<'a>(
    fleet: &'a FleetState,
    plan: &'a Plan,
    removed: &'a [InstanceId],
) -> impl Iterator<Item = String> + use<'a> {
    let was_ours_to_keep = |id: &&InstanceId| !removed.contains(id) && !plan.takes_away(id);
    plan.ready.iter().filter(was_ours_to_keep).filter_map(|id| {
        let instance = fleet.instances.iter().find(|instance| instance.id == *id);
        match instance {
            None => Some(format!("instance {id} is gone, and this operation did not end it")),
            Some(instance) if instance.state == InstanceState::Failed => {
                let why = instance
                    .detail
                    .as_deref()
                    .map_or_else(String::new, |why| format!(": {}", crate::request::escaped(why, 120)));
                Some(format!("instance {id}, which was in service before, has ended{why}"))
            }
            Some(instance) if instance.state == InstanceState::Terminating => {
                Some(format!("somebody else ends instance {id}"))
            }
            Some(_) => None,
        }
    })
}
