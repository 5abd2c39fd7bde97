//! Steps 1 and 2: every check at once, what follows from them, and the plan that an approval would be bound to.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::body;
use crate::card;
use crate::checks::{self, Check, Decision, Follows, Round, Victim};
use crate::context::Context;
use crate::halt::SourceSays;
use crate::journal::{Interrupted, Journal, Recorded};
use crate::patience::within;
use crate::ports::{FleetState, InstanceState, Precondition, Slot};
use crate::reading::Reading;
use crate::steps::assess::Assessed;
use crate::units::{InstanceId, Replicas, elapsed};

/// What will be done, and what is gone back to if that makes things worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Which fleet, beyond its name.
    pub identity: String,
    /// The generation of its count.
    pub generation: u64,
    /// The count now.
    pub from: Replicas,
    /// The count afterwards.
    pub to: Replicas,
    /// The known-good count to go back to.
    pub rollback_to: Replicas,
    /// Who was there before.
    pub present: Vec<InstanceId>,
    /// Which of them were ready. What was out of service before is not this operation's to wait for.
    pub ready: Vec<InstanceId>,
    /// Who holds to the precondition.
    pub precondition: Precondition,
    /// The trigger conditions that held; none for a planned change.
    pub triggers: Vec<String>,
    /// On the way down, who is taken away, in this order. None where nobody can name them.
    pub victims: Vec<Victim>,
    /// Why nobody can name who is ended, on the way down and on the way back; `None` where the plan does. Missing in what an
    /// earlier version wrote.
    #[serde(default)]
    pub unnamed: Option<String>,
    /// Who else steers the count and is held still meanwhile, by name. Missing in what an earlier version wrote.
    #[serde(default)]
    pub holds: Vec<String>,
}

impl Plan {
    /// Whether the operation answers for that instance: it is new, or was in service before and stays.
    pub fn answers_for(&self, instance: &InstanceId) -> bool {
        !self.takes_away(instance) && (!self.present.contains(instance) || self.ready.contains(instance))
    }

    /// Whether that instance is taken away.
    pub fn takes_away(&self, instance: &InstanceId) -> bool {
        self.victims.iter().any(|victim| victim.instance == *instance)
    }

    /// How many instances are taken away.
    pub fn fewer(&self) -> usize {
        match self.unnamed {
            Some(_) => self.from.0.saturating_sub(self.to.0) as usize,
            None => self.victims.len(),
        }
    }

    /// The same plan, now that it is known whom the orchestrator has chosen.
    pub fn with_who_went(self, gone: &[InstanceId]) -> Self {
        let Some(why) = &self.unnamed else { return self };
        let victims = gone.iter().map(|instance| Victim { instance: instance.clone(), why: why.clone() }).collect();
        Self { victims, ..self }
    }

    /// How many instances the operation answers for, once the count is set.
    pub fn in_service_afterwards(&self) -> usize {
        let stay = self.ready.iter().filter(|instance| !self.takes_away(instance)).count();
        stay + self.to.0.saturating_sub(self.from.0) as usize
    }
}

/// The body of `prechecked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Prechecked {
    /// What follows from the checks together.
    pub decision: Decision,
    /// Why, where it is not simply to go on: one sentence each.
    pub reasons: Vec<String>,
    /// The checks that refuse it unless a governance lead lifts them, by name.
    pub lifts: Vec<String>,
    /// SHA-256 of the limits that these checks were held to, in hexadecimal.
    pub policy: String,
    /// Every check.
    pub checks: Vec<Check>,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// What will be done; `None` where the fleet could not be seen.
    pub plan: Option<Plan>,
}

body!(Prechecked, Prechecked, 1);

impl Prechecked {
    /// Whether what refuses it is a limit of the infrastructure.
    pub fn infrastructure_limits(&self) -> bool {
        self.checks.iter().any(|check| check.follows == Follows::Refusal && check.runbook.starts_with("2:"))
    }
}

/// Runs every check once more, before an approval is used.
pub async fn again(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    round: u32,
) -> Result<Recorded<Prechecked>, Interrupted> {
    let key = format!("approve/{round}/again");
    let checked = journal.step(&key, |_| afresh(cx)).await?;
    while_stale(cx, journal, &key, checked).await
}

/// Checks that were made long ago, because the process or the log was away since, are made anew: nothing is changed on
/// the strength of what was so then.
async fn while_stale(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    key: &str,
    mut checked: Recorded<Prechecked>,
) -> Result<Recorded<Prechecked>, Interrupted> {
    for number in 2.. {
        let key = format!("{key}/anew-{number}");
        // After the clock went back their age cannot be told.
        let age = || elapsed(checked.at, cx.ports.world.now());
        let stale = || journal.heard().clock_jumped_after(checked.op_seq) || age() > STALE_AFTER;
        // What was decided then stands further on in the log; only where it ends is it decided now.
        if !journal.may_take(&key).unwrap_or_else(stale) {
            break;
        }
        checked = journal.step(&key, |_| afresh(cx)).await?;
    }
    Ok(checked)
}

/// How old checks may be when they are acted on.
const STALE_AFTER: Duration = Duration::from_mins(1);

/// Runs every check and shows the results. In a later `round` the fleet is looked at anew.
pub async fn validate(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    round: u32,
    assessed: &Assessed,
) -> Result<Recorded<Prechecked>, Interrupted> {
    let prechecked = match round {
        1 => journal.step("precheck", |_| examine(cx, &assessed.fleet)).await?,
        round => journal.step(&format!("precheck/{round}"), |_| afresh(cx)).await?,
    };
    let prechecked = while_stale(cx, journal, &format!("precheck/{round}"), prechecked).await?;
    cx.show(Slot::Precheck, card::precheck(cx, &prechecked.body)).await;
    Ok(prechecked)
}

async fn afresh(cx: &Context<'_>) -> Prechecked {
    examine(cx, &cx.fleet().await.into()).await
}

/// Every check at once on the fleet as it was found, and what follows from them.
pub async fn examine(cx: &Context<'_>, fleet: &Reading<FleetState>) -> Prechecked {
    let known = match fleet {
        Reading::Known(known) => known,
        Reading::Unknown { why, .. } => {
            let mut reasons = vec![card::sentence(why)];
            let decision = if fleet.is_gone() {
                Decision::Failed
            } else {
                reasons.push("Nothing is done to a fleet that cannot be seen. Ask again when it can be.".to_owned());
                Decision::Refused
            };
            return Prechecked {
                decision,
                reasons,
                lifts: vec![],
                policy: digest(cx),
                checks: vec![],
                halt: vec![],
                plan: None,
            };
        }
    };
    // Each look is bounded; the round is bounded as well, so that a clock or a port that misbehaves cannot stretch it.
    let whole = within(&*cx.ports.world, cx.policy.time.round, "the round of checks", async {
        Ok(checks::round(cx, known).await)
    });
    match whole.await {
        Ok(round) => concluded(cx, round),
        Err(error) => Prechecked {
            decision: Decision::Refused,
            reasons: vec![error.to_string()],
            lifts: vec![],
            policy: digest(cx),
            checks: vec![],
            halt: vec![],
            plan: None,
        },
    }
}

fn concluded(cx: &Context<'_>, round: Round) -> Prechecked {
    let decision = round.decide();
    let grave: &[Follows] = match decision {
        Decision::Proceed => &[],
        Decision::Approval => &[Follows::Approval, Follows::Override],
        Decision::Refused => &[Follows::Refusal],
        Decision::Failed => &[Follows::Failure],
    };
    let mut reasons: Vec<String> = Vec::new();
    for check in round.checks.iter().filter(|check| grave.contains(&check.follows)) {
        let found = format!("{}: {}", check.name, check.figure);
        for reason in std::iter::once(&found).chain(&check.advice).map(|text| card::sentence(text)) {
            // Two checks may have the same advice.
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        }
    }
    let unnamed = cx.unnamed();
    let fewer = |fleet: &FleetState| match unnamed {
        Some(_) => 0,
        None => fleet.wanted.0.saturating_sub(cx.request.to.0) as usize,
    };
    let plan = round.fleet.known().map(|fleet| Plan {
        identity: fleet.identity.clone(),
        generation: fleet.generation,
        from: fleet.wanted,
        to: cx.request.to,
        rollback_to: fleet.wanted,
        present: fleet.instances.iter().map(|instance| instance.id.clone()).collect(),
        ready: fleet
            .instances
            .iter()
            .filter(|instance| instance.state == InstanceState::Ready)
            .map(|instance| instance.id.clone())
            .collect(),
        precondition: cx.ports.target.fleet.precondition(),
        triggers: round
            .checks
            .iter()
            .filter(|check| check.follows == Follows::Trigger)
            .map(|check| check.name.clone())
            .collect(),
        victims: round.candidates.iter().take(fewer(fleet)).cloned().collect(),
        unnamed: unnamed.clone(),
        holds: round.holds.iter().map(|hold| hold.name.clone()).collect(),
    });
    let lifted = |check: &&Check| decision == Decision::Approval && check.follows == Follows::Override;
    let lifts = round.checks.iter().filter(lifted).map(|check| check.name.clone()).collect();
    Prechecked { decision, reasons, lifts, policy: digest(cx), checks: round.checks, halt: round.halt, plan }
}

fn digest(cx: &Context<'_>) -> String {
    cx.policy.digest().to_string()
}
