//! The checks before a scaling: what is looked at, what its limit is, and what follows (runbook steps 1 and 2).
//!
//! A check never decides by itself: it says what it found and what follows from it, and [`Round::decide`] reads all of them.
//! To add one: a function here below that returns a [`Check`], called in [`round`].

mod budget;
mod count;
mod governance;
mod halt;
mod load;
mod place;
mod predict;
mod work;

use futures::join;
use serde::{Deserialize, Serialize};

pub(crate) use self::predict::on as predicted;
pub use self::work::Victim;
pub(crate) use self::work::{Told, ask as ask_work, candidates, not_all_free, of as work_of, who_is_busy};
use crate::context::Context;
use crate::figures::Load;
use crate::halt::SourceSays;
use crate::ports::{FleetState, Hold};
use crate::reading::Reading;
use crate::request::Direction;
use crate::units::{Millis, elapsed};

/// One check's finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What was looked at: "latency", "database connections".
    pub name: String,
    /// The line of the runbook that asks for it.
    pub runbook: String,
    /// What it comes to.
    pub status: Status,
    /// What was found, with units; or why nothing could be.
    pub figure: String,
    /// How old that is, where it is not of this moment; for a figure over a window, the window.
    pub age: Option<Millis>,
    /// What it is held against.
    pub limit: Option<String>,
    /// Where it was looked up.
    pub source: String,
    /// What follows.
    pub follows: Follows,
    /// What a person can do about it; `None` where there is nothing to do.
    pub advice: Option<String>,
}

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// As it should be.
    Pass,
    /// Goes on, but somebody should know.
    Warn,
    /// Over its limit.
    Fail,
    /// Could not be told.
    Unknown,
    /// Nothing is configured that could tell.
    NotConfigured,
}

impl Status {
    /// As a person reads it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
            Self::NotConfigured => "not configured",
        }
    }
}

/// What follows from a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// Nothing.
    Nothing,
    /// It is a reason to scale (the runbook's trigger conditions).
    Trigger,
    /// A governance lead has to approve.
    Approval,
    /// The operation is refused, unless a governance lead lifts that with a reason.
    Override,
    /// The operation is refused.
    Refusal,
    /// The fleet no longer exists: the operation has failed.
    Failure,
}

/// What all checks together come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may be done.
    Proceed,
    /// It may be done once a governance lead has approved it.
    Approval,
    /// It is not done.
    Refused,
    /// The fleet no longer exists.
    Failed,
}

impl Check {
    /// A check that found nothing amiss so far.
    fn passed(name: &str, runbook: &str, source: impl Into<String>, figure: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            runbook: runbook.to_owned(),
            status: Status::Pass,
            figure: figure.into(),
            age: None,
            limit: None,
            source: source.into(),
            follows: Follows::Nothing,
            advice: None,
        }
    }

    /// A check that could not be answered.
    fn unknown(name: &str, runbook: &str, source: impl Into<String>, why: impl Into<String>, follows: Follows) -> Self {
        Self::passed(name, runbook, source, why).came_to(Status::Unknown, follows)
    }

    /// A check that nothing is configured for.
    fn not_configured(name: &str, runbook: &str, what: impl Into<String>) -> Self {
        Self::passed(name, runbook, "configuration", what).came_to(Status::NotConfigured, Follows::Nothing)
    }

    fn came_to(mut self, status: Status, follows: Follows) -> Self {
        self.status = status;
        self.follows = follows;
        self
    }

    fn limit(mut self, limit: impl Into<String>) -> Self {
        self.limit = Some(limit.into());
        self
    }

    fn over(mut self, window: Millis) -> Self {
        self.age = Some(window);
        self
    }

    fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// What one round of checks found.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// Every check, in the runbook's order.
    pub checks: Vec<Check>,
    /// The fleet as it was seen in this round.
    pub fleet: Reading<FleetState>,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// On the way down: who may be taken away, the first ones first.
    pub candidates: Vec<Victim>,
    /// Who else steers the count and can be held still meanwhile.
    pub holds: Vec<Hold>,
}

impl Round {
    /// What follows from all of it: the gravest of what follows from each.
    pub fn decide(&self) -> Decision {
        match self.checks.iter().map(|check| check.follows).max() {
            None | Some(Follows::Nothing | Follows::Trigger) => Decision::Proceed,
            Some(Follows::Approval | Follows::Override) => Decision::Approval,
            Some(Follows::Refusal) => Decision::Refused,
            Some(Follows::Failure) => Decision::Failed,
        }
    }
}

/// Looks at everything at once. Each look has its own time-out, so a round costs what its slowest look costs.
/// `known` is the fleet as the assessment found it: whom to ask, and since when its count has been so.
pub async fn round(cx: &Context<'_>, known: &FleetState) -> Round {
    let (fleet, load, (halt, sources), complexity, warnings, ways, routing, (steering, holds), declared, last) = join!(
        count::observe(cx),
        carried(cx, known),
        halt::check(cx, known),
        governance::complexity(cx),
        governance::warnings(cx, known),
        of_the_way(cx, known),
        place::routing(cx, known),
        place::steering(cx),
        place::declared(cx, known),
        count::last_change(cx),
    );
    let OneWay { before, after, candidates } = ways;
    let mut checks = vec![count::check(cx, known, &fleet, &last)];
    let rationale = governance::rationale(cx, &load);
    checks.extend(load);
    checks.push(halt);
    checks.push(complexity);
    checks.push(rationale);
    checks.push(warnings);
    checks.extend(before);
    checks.push(routing);
    checks.extend(after);
    checks.push(steering);
    checks.push(declared);
    Round { checks, fleet, halt: sources, candidates, holds }
}

/// The load: a reason to go up; going down, what those that stay will have to carry.
async fn carried(cx: &Context<'_>, known: &FleetState) -> Vec<Check> {
    match cx.request.direction {
        Direction::Up => load::checks(cx, known).await,
        Direction::Down => predict::checks(cx, known).await,
    }
}

/// The checks of one direction, by where they stand among the others.
struct OneWay {
    before: Vec<Check>,
    after: Vec<Check>,
    candidates: Vec<Victim>,
}

/// What is asked in one direction only: up, whether more find room and connections; down, whether some can be missed.
async fn of_the_way(cx: &Context<'_>, known: &FleetState) -> OneWay {
    match cx.request.direction {
        Direction::Up => {
            let (before, room, draining) = join!(budget::checks(cx), place::room(cx, known), cx.draining());
            let after = [room].into_iter().chain(work::choice(cx, known, &draining)).collect();
            OneWay { before, after, candidates: Vec::new() }
        }
        Direction::Down => {
            let (told, routed, disruption, draining) =
                join!(ask_work(cx, known), cx.routed(), work::disruption(cx, known), cx.draining());
            // Who is routed to has a check of its own; here it only says whom nobody would miss.
            let routed = routed.unwrap_or_default();
            let candidates = candidates(cx, known, &told, &routed);
            let chosen = work::choice(cx, known, &draining);
            let draining = work::draining(cx, &draining, &routed);
            let before = [work::check(cx, known, &told, &candidates), disruption];
            let before = before.into_iter().chain(draining).chain(chosen).collect();
            OneWay { before, after: Vec::new(), candidates }
        }
    }
}

/// The load's figures against their limits, and nothing else.
pub async fn figures(cx: &Context<'_>, known: &FleetState) -> Vec<Check> {
    load::checks(cx, known).await
}

/// Whether any of the load's trigger conditions holds.
pub fn is_triggered(cx: &Context<'_>, load: &Load) -> bool {
    load::of(cx, load, "").iter().any(|check| check.follows == Follows::Trigger)
}

/// How long the fleet has been as it is, at most the window over which a figure must hold.
pub(crate) fn sustained_since(cx: &Context<'_>, known: &FleetState) -> crate::units::Timestamp {
    let now = cx.ports.world.now();
    let longest = cx.policy.load.sustained;
    let since_change = known.changed_at.map_or(longest, |changed| elapsed(changed, now).min(longest));
    now - since_change
}
