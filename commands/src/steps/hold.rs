//! Who else steers the count is held still for the time of the operation, where policy lets the bot do that, and is put back
//! in whatever way the operation ends. What could not be put back is named, with the command that does it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use futures::join;
use serde::{Deserialize, Serialize};

use super::document::FollowUp;
use super::guard::{self, Guard};
use super::permit::{Permit, Rounds};
use super::precheck::Plan;
use super::{Ending, Outcome, body};
use crate::card::{in_lines, sentence};
use crate::context::Context;
use crate::event::{Event, Kind};
use crate::halt::SourceSays;
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Stop};
use crate::mutation::mutated;
use crate::patience::{Deadline, ask_until, within};
use crate::ports::{Held, Hold, HoldOrder, PortError, ReleaseOrder};
use crate::request::escaped;
use crate::units::Replicas;

/// The body of `holding`: the intent to hold somebody still who steers the count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Holding {
    /// Who, as the guard saw them, with all that is put back afterwards.
    pub hold: Hold,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The count that it may become.
    pub to: Replicas,
    /// What each source of truth said about the halt.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

body!(Holding, Holding, 1);

/// The body of `releasing`: the intent to put somebody back who was held still.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Releasing {
    /// Who, as the guard saw them.
    pub held: Held,
}

body!(Releasing, Releasing, 1);

/// How long whoever is to be put back is looked for, beyond what every effect does: an API server may start anew.
const FOUND_WITHIN: Duration = Duration::from_mins(2);

/// The longest text of the outside's that is shown, in characters.
const TEXT: usize = 300;

/// The longest command that is shown, in characters. One that is cut would do something else.
const COMMAND: usize = 4_000;

/// Holds one still.
struct HoldStill<'a> {
    guard: Guard<'a>,
    name: &'a str,
}

#[async_trait]
impl Effect for HoldStill<'_> {
    type Intent = Holding;

    fn answered(&self) -> Kind {
        Kind::HoldingAnswered
    }

    fn subject(&self) -> &str {
        self.name
    }

    fn can_wait(&self) -> bool {
        true
    }

    async fn guard(&self, heard: &Heard) -> Result<Holding, Stop> {
        let cx = self.guard.cx;
        let fleet = &cx.ports.target.fleet;
        let place = fleet.describe();
        let steered_by = within(&*cx.ports.world, cx.policy.time.guard, &place, fleet.steered_by());
        let (read, steered_by) = join!(self.guard.read(heard), steered_by);
        let guard::Held { fleet, halt, approval } = read?;
        let steered_by = steered_by.map_err(guard::unseen)?;
        let hold = steered_by.into_iter().filter_map(|one| one.hold).find(|hold| hold.name == self.name);
        let Some(hold) = hold else {
            let name = escaped(self.name, TEXT);
            return Err(Stop::Changed(format!("{name} steers the count no more, or cannot be held any more")));
        };
        Ok(Holding { hold, from: fleet.wanted, to: self.guard.plan.to, halt, approval })
    }

    async fn act(&self, intent: &Holding, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.guard.cx;
        let order =
            HoldOrder { hold: intent.hold.clone(), from: intent.from, to: intent.to, operation: cx.operation.clone() };
        let fleet = &cx.ports.target.fleet;
        let limit = cx.policy.time.look;
        let answer = within(&*cx.ports.world, limit, &fleet.describe(), fleet.hold(&order, fence)).await?;
        Ok(answer.into())
    }

    async fn find(&self, _: &Holding) -> Result<Found, PortError> {
        let held = held(self.guard.cx, self.name).await?;
        Ok(if held.is_some() { Found::Done } else { Found::Untouched })
    }
}

/// Puts one back.
struct Release<'a> {
    cx: &'a Context<'a>,
    name: &'a str,
}

#[async_trait]
impl Effect for Release<'_> {
    type Intent = Releasing;

    fn answered(&self) -> Kind {
        Kind::ReleasingAnswered
    }

    fn subject(&self) -> &str {
        self.name
    }

    /// Neither a halt nor a cancellation keeps anybody from being put back.
    async fn guard(&self, _: &Heard) -> Result<Releasing, Stop> {
        match held(self.cx, self.name).await {
            // Only whoever is not held at all is gone here: the fleet is not looked at.
            Ok(None) => Err(Stop::Gone("nobody of that name is held still".to_owned())),
            Ok(Some(Held { changed: Some(changed), .. })) => {
                Err(Stop::Changed(format!("somebody changed it meanwhile ({})", escaped(&changed, TEXT))))
            }
            Ok(Some(held)) => Ok(Releasing { held }),
            Err(error) => Err(Stop::Unknown(error.to_string())),
        }
    }

    async fn act(&self, intent: &Releasing, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.cx;
        let order = ReleaseOrder { held: intent.held.clone(), operation: cx.operation.clone() };
        let fleet = &cx.ports.target.fleet;
        let limit = cx.policy.time.look;
        let answer = within(&*cx.ports.world, limit, &fleet.describe(), fleet.release(&order, fence)).await?;
        Ok(answer.into())
    }

    async fn find(&self, _: &Releasing) -> Result<Found, PortError> {
        let held = held(self.cx, self.name).await?;
        Ok(if held.is_some() { Found::Untouched } else { Found::Done })
    }
}

/// Who of that name is held under this operation's mark.
async fn held(cx: &Context<'_>, name: &str) -> Result<Option<Held>, PortError> {
    let fleet = &cx.ports.target.fleet;
    let all = fleet.held_by(cx.operation);
    let all = within(&*cx.ports.world, cx.policy.time.guard, &fleet.describe(), all).await?;
    Ok(all.into_iter().find(|held| held.name == name))
}

/// Holds everybody still whom the plan names, under the permit of that round. `None` where what stopped that is a matter for
/// governance, which may be asked again.
///
/// # Errors
/// The inner one: how the operation ends instead. The end that comes in is passed on.
pub async fn others_still(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    permitted: Result<(Plan, Permit), Ending>,
    rounds: &mut Rounds,
) -> Result<Option<Result<(Plan, Permit), Ending>>, Interrupted> {
    let (plan, permit) = match permitted {
        Ok(permitted) => permitted,
        Err(ending) => return Ok(Some(Err(ending))),
    };
    for name in &plan.holds {
        let still = HoldStill {
            guard: Guard { cx, plan: &plan, permit: &permit, removed: &[], ending: 0, begun: false },
            name,
        };
        match journal.effect(&format!("{}hold/{name}", rounds.prefix()), &still).await? {
            Effected::Done(..) => {}
            Effected::Stopped(stop) if rounds.may_ask_again(&stop) => return Ok(None),
            otherwise => return Ok(Some(Err(not_held(otherwise, name, &plan)))),
        }
    }
    Ok(Some(Ok((plan, permit))))
}

/// How an operation ends that could not hold somebody still.
fn not_held(effected: Effected<Holding>, name: &str, plan: &Plan) -> Ending {
    let why = match effected {
        // A guard's words, which are the same for every effect.
        Effected::Stopped(stop) => return Ending::not_scaled(Effected::<Holding>::Stopped(stop), plan),
        otherwise => otherwise.why_not().unwrap_or_default(),
    };
    let name = escaped(name, TEXT);
    let reason = in_lines([
        &*format!("{name} steers the count as well and could not be held still: {why}"),
        "Nothing was changed.",
        "Settle that by hand, then ask again. /scale plan names how.",
    ]);
    Ending::before_any_change(Outcome::Failed, Some(plan.clone()), reason)
}

/// Puts everybody back who was held still, in whatever way the operation ends. What could not be put back is said, and a
/// follow-up stays open until somebody has.
pub async fn put_back(cx: &Context<'_>, journal: &mut Journal<'_>, mut ending: Ending) -> Result<Ending, Interrupted> {
    for Announced { hold, certain } in announced(journal.events()) {
        let name = &*hold.name;
        let key = format!("release/{name}");
        if journal.may_take(&key).is_none() {
            let world = &*cx.ports.world;
            let deadline = Deadline::after(world, world.now(), FOUND_WITHIN);
            // Whatever this says, the guard reads it again.
            let _ = ask_until(world, deadline, cx.policy.time.poll, || held(cx, name)).await;
        }
        if mutated!(LeaveHeld) {
            continue;
        }
        let who = escaped(&hold.who, TEXT);
        let why = match journal.effect(&key, &Release { cx, name }).await? {
            Effected::Done(..) => {
                ending.afterwards.push(format!("{who} steers the count again."));
                continue;
            }
            Effected::Stopped(Stop::Gone(_)) if certain => {
                ending.afterwards.push(format!("{who} was put back by somebody else."));
                continue;
            }
            Effected::Stopped(Stop::Gone(_)) if may_come(journal, &hold) => {
                "a request to hold it still may yet arrive".to_owned()
            }
            Effected::Stopped(Stop::Gone(_)) => continue,
            Effected::Stopped(Stop::Changed(why)) => format!("{why}, so it was left as it is"),
            otherwise => otherwise.why_not().unwrap_or_default(),
        };
        let what = undo(&hold, certain);
        ending.afterwards.push(sentence(&format!("{who} was not put back: {why}")));
        ending.afterwards.push(what.clone());
        let follow_up = FollowUp { what, because: sentence(&format!("It was held still for a scaling: {why}")) };
        journal.step(&format!("release/{name}/follow-up"), |_| async { follow_up }).await?;
    }
    Ok(ending)
}

/// Whether a request to hold it, whose answer was lost, may still arrive.
fn may_come(journal: &Journal<'_>, hold: &Hold) -> bool {
    journal.may_be_on_its_way(Kind::HoldingAnswered, &hold.name)
}

/// What a person does about somebody who is held, or may be.
fn undo(hold: &Hold, certain: bool) -> String {
    let (who, command) = (escaped(&hold.who, TEXT), escaped(&hold.undone_by, COMMAND));
    if certain {
        format!("Put {who} back: {command}")
    } else {
        format!("See whether {who} is held still, and put it back: {command}")
    }
}

/// Somebody whom an operation held still, or may have.
struct Announced {
    hold: Hold,
    /// Whether it is on record that they were.
    certain: bool,
}

/// Everybody whom the operation held still, or may have, by its log.
fn announced(events: &[Event]) -> Vec<Announced> {
    #[derive(Deserialize)]
    struct Intent {
        hold: Hold,
    }
    let mut held: BTreeMap<String, Announced> = BTreeMap::new();
    // The last intent that nothing has answered, or that was answered last.
    let mut last: Option<Hold> = None;
    let mut open = false;
    for event in events {
        if event.kind == Kind::Holding.as_str() {
            // What this version cannot read it cannot put back either; it never comes here: the journal parks it.
            last = serde_json::from_str::<Intent>(&event.body).ok().map(|intent| intent.hold);
            open = true;
        } else if event.kind == Kind::HoldingAnswered.as_str()
            && let Some(hold) = &last
        {
            let answer: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
            note(&mut held, hold, answer.get("result").and_then(serde_json::Value::as_str));
            open = false;
        }
    }
    if let Some(hold) = last.filter(|_| open) {
        note(&mut held, &hold, None);
    }
    held.into_values().collect()
}

/// What an answer means for whoever it is about; no answer, that it is not known.
fn note(known: &mut BTreeMap<String, Announced>, hold: &Hold, result: Option<&str>) {
    let certain = match result {
        Some("done") => true,
        // An earlier request of which nothing was known may have arrived all the same.
        Some("conflict" | "late" | "refused" | "stopped") => return,
        _ => false,
    };
    let before = known.get(&hold.name).is_some_and(|before| before.certain);
    known.insert(hold.name.clone(), Announced { hold: hold.clone(), certain: certain || before });
}

/// What is to be done about each whom an operation that is given up left held still, a sentence each, by its log alone; none
/// where it left nobody so.
pub fn still_held(events: &[Event]) -> Vec<String> {
    let left = announced(events).into_iter().filter(|one| !is_released(events, &one.hold.name));
    left.map(|Announced { hold, certain }| {
        let who = escaped(&hold.who, TEXT);
        let is = if certain { "is" } else { "may be" };
        format!("{who} {is} still held for it. {}", undo(&hold, certain))
    })
    .collect()
}

/// Whether it is on record that whoever has that name was put back, or is not held any more.
fn is_released(events: &[Event], name: &str) -> bool {
    let of_it = events.iter().filter(|event| event.kind == Kind::ReleasingAnswered.as_str());
    of_it.filter_map(|event| serde_json::from_str::<serde_json::Value>(&event.body).ok()).any(|answer| {
        let step = answer["step"].as_str().unwrap_or_default();
        let is_its = step.strip_prefix("release/").and_then(|step| step.strip_prefix(name));
        is_its.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            && (answer["result"] == "done" || !answer["stop"]["gone"].is_null())
    })
}
