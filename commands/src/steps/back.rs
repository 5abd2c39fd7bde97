//! Rollback: back to the count that is known to be good, when what was done turns out badly.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::assess::{self, Assessed};
use super::drain::{self, DrainEnded, PutBack, Route};
use super::escalate::{self, Condition};
use super::finish::Trouble;
use super::permit::{self, Votes};
use super::precheck::Plan;
use super::scale::count_found;
use super::verify::{self, Verification, Verified};
use super::{Ending, Outcome, body, guard};
use crate::approval::Tally;
use crate::authority::Action;
use crate::card::{self, in_lines, instances};
use crate::checks;
use crate::context::Context;
use crate::event::{Event, Hash, Kind};
use crate::journal::{Acted, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::mutation::mutated;
use crate::patience::{Deadline, Stopwatch, ask_all, ask_until, within};
use crate::policy::TakeBack;
use crate::ports::{Draining, FleetState, Instance, InstanceState, PortError, RemoveOrder, ScaleOrder, Slot};
use crate::units::{InstanceId, Millis, OperationId, Person, Replicas, Timestamp};

/// The body of `way_back`: what was found, and whether the fleet is brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WayBack {
    /// Whether it is.
    pub decided: WayBackDecided,
    /// Who decided it, where somebody was asked.
    pub by: Option<Person>,
    /// What was found.
    pub because: String,
    /// The instances that are the cause.
    pub culprits: Vec<InstanceId>,
    /// The instances that the plan did not find there.
    pub newcomers: Vec<InstanceId>,
    /// Which of them have no process any more: they need not be taken out of the balancer.
    pub ended: Vec<InstanceId>,
    /// The known-good count.
    pub to: Replicas,
    /// What somebody else did to the fleet while it was asked; `None` where nobody did anything.
    pub interference: Option<String>,
}

body!(WayBack, WayBack, 1);

/// The body of `way_back_asked`: somebody is asked whether the fleet is brought back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct WayBackAsked {
    /// Names the question: what a mark on it carries.
    pub digest: String,
    /// What was found.
    pub because: String,
    /// The known-good count.
    pub to: Replicas,
    /// How long there is to answer.
    pub within: Millis,
}

body!(WayBackAsked, WayBackAsked, 1);

/// Whether the fleet is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WayBackDecided {
    /// Yes, as policy says.
    Automatic,
    /// Yes, as somebody said who was asked.
    Agreed,
    /// No, as somebody said who was asked.
    Declined,
    /// No: nobody answered in time.
    Unanswered,
    /// No: somebody else changed the fleet while it was asked.
    Interfered,
    /// No, as policy says.
    Never,
}

/// The body of `logs_saved`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogsSaved {
    /// Where each instance's is.
    pub kept: Vec<KeptLog>,
    /// What could not be kept, and why.
    pub problems: Vec<String>,
}

body!(LogsSaved, LogsSaved, 1);

/// What one instance wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeptLog {
    /// The instance.
    pub instance: InstanceId,
    /// Where it is kept.
    pub place: String,
}

/// The body of `rolling_back`: the intent to bring the count back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RollingBack {
    /// Which fleet.
    pub identity: String,
    /// The count that the guard saw.
    pub from: Replicas,
    /// The known-good count.
    pub to: Replicas,
    /// The generation that the guard saw.
    pub generation: u64,
    /// The version that the guard saw.
    pub version: String,
    /// Who is ended; empty where instances are added, and where the orchestrator itself chooses.
    pub instances: Vec<InstanceId>,
}

body!(RollingBack, RollingBack, 1);

/// The body of `rolled_back`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct RolledBack {
    /// Whether the fleet is at the known-good count, with every instance in service that was before.
    pub done: bool,
    /// The known-good count.
    pub to: Replicas,
    /// The count at the end; `None` when it could not be seen.
    pub wanted: Option<Replicas>,
    /// How many were ready at the end.
    pub ready: Option<Replicas>,
    /// How long it took.
    pub waited: Millis,
    /// In what state things are, where it is not done.
    pub problem: Option<String>,
    /// Who ended, where the orchestrator itself chose. Missing in what an earlier version wrote.
    #[serde(default)]
    pub chosen: Vec<InstanceId>,
}

body!(RolledBack, RolledBack, 1);

/// Whether the fleet is brought back: as policy says, or as somebody says who is asked.
pub async fn decide(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
) -> Result<Recorded<WayBack>, Interrupted> {
    const KEY: &str = "back";
    let asked = ask(cx, journal, trouble).await?;
    if let Some(decided) = journal.replay(KEY)? {
        return Ok(decided);
    }
    let mut interference = None;
    let (decided, by) = match (asked, cx.policy.back.rule) {
        _ if trouble.asked_for => (WayBackDecided::Agreed, Some(cx.request.by.clone())),
        (Some(asked), _) => answer(cx, journal, trouble, &asked, &mut interference).await?,
        (None, TakeBack::Automatic) => (WayBackDecided::Automatic, None),
        (None, TakeBack::Never) => (WayBackDecided::Never, None),
        (None, TakeBack::Ask) => (WayBackDecided::Unanswered, None),
    };
    let (newcomers, ended) = newcomers(cx, trouble).await;
    let way_back = WayBack {
        decided,
        by,
        because: trouble.because.clone(),
        culprits: trouble.culprits.clone(),
        newcomers,
        ended,
        to: trouble.plan.rollback_to,
        interference,
    };
    let draining = cx.draining().await.unwrap_or(Draining::ByOrder);
    cx.show(Slot::WayBack, card::way_back(cx, trouble, &way_back, &draining)).await;
    journal.record_step(KEY, way_back).await
}

/// Asks an operator or a governance lead, where policy says so and somebody is there.
async fn ask(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
) -> Result<Option<Recorded<WayBackAsked>>, Interrupted> {
    const KEY: &str = "back/ask";
    // Whether it was asked is told by the log where it goes on, not by the limits in force now.
    let is_asked = journal
        .may_take(KEY)
        .unwrap_or_else(|| cx.policy.back.rule == TakeBack::Ask && !trouble.asked_for && cx.ports.room.attended());
    if !is_asked {
        return Ok(None);
    }
    let asked = WayBackAsked {
        digest: digest(cx, WAY_BACK),
        because: trouble.because.clone(),
        to: trouble.plan.rollback_to,
        within: cx.policy.approval.decide_within.into(),
    };
    journal.step(KEY, |_| async { asked }).await.map(Some)
}

/// Waits for the answer. A mark of somebody who cannot be looked up at the moment is kept, and they are asked for again.
async fn answer(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    asked: &Recorded<WayBackAsked>,
    interference: &mut Option<String>,
) -> Result<(WayBackDecided, Option<Person>), Interrupted> {
    let world = &*cx.ports.world;
    let within = asked.body.within.duration();
    let deadline = Deadline::after(world, asked.at, within);
    let votes = Votes {
        action: &Action::DecideWayBack,
        digest: &asked.body.digest,
        asked_at: asked.op_seq,
        // It undoes what they asked for, and lifts nothing.
        requester_may: true,
        quorum: 1,
        needs_reason: false,
        decide_by: asked.at + within,
    };
    cx.show(Slot::Approval, card::ask_back(cx, trouble, &asked.body.digest, deadline.left(world))).await;
    loop {
        journal.signals().await?;
        let (tally, unknown) = permit::count(cx, journal, &votes, cx.policy.time.look).await?;
        match tally {
            Tally::Approved(by) => return Ok((WayBackDecided::Agreed, by.into_iter().next())),
            Tally::Rejected(by) => return Ok((WayBackDecided::Declined, Some(by))),
            Tally::Open => {}
        }
        let cancelled = !journal.heard().cancels_after(asked.op_seq).is_empty();
        if cancelled || deadline.is_over(world) || !cx.ports.room.attended() {
            return Ok((WayBackDecided::Unanswered, None));
        }
        let longest = if unknown { permit::STANDING_PAUSE } else { cx.policy.time.sample_interval() };
        journal.listen(longest.min(deadline.left(world))).await?;
        // A look that failed says nothing about the fleet; before anything is done it is looked at again.
        if let Ok(fleet) = cx.fleet().await
            && let Some(what) = changed_since(trouble, &fleet)
        {
            *interference = Some(what);
            return Ok((WayBackDecided::Interfered, None));
        }
    }
}

/// The question whether the fleet is brought back.
pub(super) const WAY_BACK: &str = "way back";

/// What a mark on a question of this operation carries.
pub(super) fn digest(cx: &Context<'_>, question: &str) -> String {
    Hash(Sha256::digest(format!("{question} {}", cx.operation)).into()).to_string()
}

impl WayBack {
    /// Whether the fleet is brought back.
    pub fn is_taken(&self) -> bool {
        matches!(self.decided, WayBackDecided::Automatic | WayBackDecided::Agreed)
    }
}

/// Who is new, and who of them has no process. A fleet that cannot be seen is looked for; then what was seen before has
/// to do, and nobody else is ended.
async fn newcomers(cx: &Context<'_>, trouble: &Trouble) -> (Vec<InstanceId>, Vec<InstanceId>) {
    let world = &*cx.ports.world;
    let deadline = Deadline::after(world, world.now(), cx.policy.time.assess);
    let Ok(fleet) = ask_until(world, deadline, cx.policy.time.poll, || cx.fleet()).await else {
        return (trouble.newcomers.clone(), Vec::new());
    };
    let plan = &trouble.plan;
    let too_many = fleet.wanted.0.saturating_sub(plan.rollback_to.0) as usize;
    let left = fleet.identity == plan.identity
        && fleet.wanted == plan.to
        && fleet.changed_by.as_deref() == Some(trouble.left_by.as_str());
    let new = || fleet.instances.iter().filter(|instance| !trouble.plan.present.contains(&instance.id));
    // A fleet that somebody changed since, or whose new instances are not as many as are too many: nobody is touched, and
    // the guard of the change says why.
    // Where nobody is ended by name, it does not matter who of them has come about.
    let others = trouble.plan.unnamed.is_none() && new().count() != too_many;
    if !left || too_many == 0 || others {
        return (Vec::new(), Vec::new());
    }
    let ids = |some: &mut dyn Iterator<Item = &Instance>| some.map(|instance| instance.id.clone()).collect();
    (ids(&mut new()), ids(&mut new().filter(|instance| instance.state == InstanceState::Failed)))
}

/// Who is to get no new requests any more, and who does not.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stopping {
    /// Who gets none: taken out, without a process, or as soon as it ends.
    out: Vec<InstanceId>,
    /// Who gets requests until it is told to end, because nobody can be taken out before.
    until_ended: Vec<InstanceId>,
    /// Who was taken out.
    taken: Vec<InstanceId>,
    /// Whether they were told to end, and what became of that is not known.
    may_be_ending: bool,
    since: Option<Timestamp>,
    /// Why somebody could not be taken out of the balancer.
    problem: Option<String>,
}

/// Rollback 1: the instances that are the cause get no new requests.
pub async fn stop_routing(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    way_back: &WayBack,
) -> Result<Stopping, Interrupted> {
    let mut stopping = Stopping { out: way_back.ended.clone(), ..Stopping::default() };
    for instance in way_back.newcomers.iter().filter(|instance| trouble.culprits.contains(instance)) {
        out(cx, journal, instance, &mut stopping).await?;
    }
    Ok(stopping)
}

/// Takes an instance out of the balancer, unless it is out or another could not be.
async fn out(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    instance: &InstanceId,
    stopping: &mut Stopping,
) -> Result<(), Interrupted> {
    if stopping.out.contains(instance) {
        return Ok(());
    }
    let key = drain::key("back/", instance);
    if !drain::is_by_order(cx, journal, &key, instance).await {
        stopping.out.push(instance.clone());
        stopping.until_ended.push(instance.clone());
        return Ok(());
    }
    let route = Route { cx, instance, receives: false, guard: None };
    match journal.effect(&key, &route).await? {
        Effected::Done(_, at) => {
            stopping.since.get_or_insert(at);
            stopping.out.push(instance.clone());
            stopping.taken.push(instance.clone());
        }
        otherwise => {
            let why = otherwise.why_not().unwrap_or_default();
            stopping.problem = Some(format!("{instance} could not be taken out of the balancer: {why}"));
        }
    }
    Ok(())
}

/// Rollback 2: what the new instances wrote is kept, for whoever looks into it.
pub async fn save_logs(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    way_back: &WayBack,
) -> Result<Recorded<LogsSaved>, Interrupted> {
    journal.step("back/logs", |_| keep_logs(cx, &way_back.newcomers)).await
}

async fn keep_logs(cx: &Context<'_>, newcomers: &[InstanceId]) -> LogsSaved {
    let most = cx.policy.back.log_bytes;
    let saved = ask_all(newcomers.iter().map(|instance| async move {
        let (world, limit) = (&*cx.ports.world, cx.policy.time.look);
        let what = format!("the logs of {instance}");
        let text = within(world, limit, &what, cx.ports.target.fleet.logs(instance, most)).await?;
        let place = within(world, limit, &what, cx.ports.documents.keep_logs(cx.operation, instance, &text)).await?;
        Ok::<_, PortError>(KeptLog { instance: instance.clone(), place })
    }))
    .await;
    let mut logs = LogsSaved { kept: Vec::new(), problems: Vec::new() };
    for (instance, saved) in newcomers.iter().zip(saved) {
        match saved {
            Ok(kept) => logs.kept.push(kept),
            Err(error) => logs.problems.push(format!("the logs of {instance} could not be kept: {error}")),
        }
    }
    logs
}

/// What somebody else did to the fleet since the operation that is to be undone left it.
fn changed_since(trouble: &Trouble, fleet: &FleetState) -> Option<String> {
    if fleet.identity != trouble.plan.identity {
        return Some("the fleet was replaced by another of the same name".to_owned());
    }
    let ours = fleet.wanted == trouble.plan.to && fleet.changed_by.as_deref() == Some(trouble.left_by.as_str());
    (!ours).then(|| format!("{} meanwhile", guard::who_set_the_count(fleet)))
}

/// The change of the count on the way back. It waits for no approval and for no end of a halt, and nobody cancels it.
struct Return<'a> {
    cx: &'a Context<'a>,
    trouble: &'a Trouble,
    /// Who gets no requests, and who of them because they were taken out: nobody else is ended.
    stopping: &'a Stopping,
}

impl Return<'_> {
    /// Whether the orchestrator itself chooses who is ended.
    fn is_unnamed(&self) -> bool {
        self.trouble.orchestrator_chooses()
    }

    /// Of those that were there before none may be cut off from what takes long, since it may be any that ends.
    async fn old_ones_are_free(&self, fleet: &FleetState) -> Result<(), Stop> {
        let cx = self.cx;
        let old = fleet.instances.iter().filter(|instance| self.trouble.plan.present.contains(&instance.id));
        let old = FleetState { instances: old.cloned().collect(), ..fleet.clone() };
        let asked = async { Ok(checks::ask_work(cx, &old).await) };
        let told = within(&*cx.ports.world, cx.policy.time.guard, "what instances work on", asked).await;
        let told = told.map_err(guard::unseen)?;
        if checks::candidates(cx, &old, &told, &[]).is_empty() && !mutated!(EndBusy) {
            return Err(Stop::OverLimit(checks::not_all_free(&old, &told)));
        }
        Ok(())
    }

    /// Who is ended: those that the plan did not find there, the cause first, then the newest.
    fn to_end(&self, fleet: &FleetState) -> Vec<InstanceId> {
        let too_many = fleet.wanted.0.saturating_sub(self.trouble.plan.rollback_to.0) as usize;
        let mut new: Vec<&Instance> = fleet
            .instances
            .iter()
            .rev()
            .filter(|instance| instance.state != InstanceState::Terminating)
            .filter(|instance| mutated!(EndOld) || !self.trouble.plan.present.contains(&instance.id))
            .collect();
        if mutated!(EndOld) {
            new.reverse();
        }
        new.sort_by_key(|instance| !self.trouble.culprits.contains(&instance.id));
        new.into_iter().take(too_many).map(|instance| instance.id.clone()).collect()
    }

    /// Nobody of them was let have requests again since they were taken out. Who lags behind gets some all the same, and has
    /// been waited for.
    async fn still_out(&self, instances: &[InstanceId]) -> Result<(), Stop> {
        let taken = |instance: &InstanceId| instances.contains(instance) && self.stopping.taken.contains(instance);
        if !instances.iter().any(taken) {
            return Ok(());
        }
        let routed = self.cx.routed_within(self.cx.policy.time.guard).await.map_err(guard::unseen)?;
        match routed.iter().find(|routed| routed.receives && !routed.drained && taken(&routed.instance)) {
            None => Ok(()),
            Some(again) => Err(Stop::Changed(format!("somebody else lets {} have requests again", again.instance))),
        }
    }
}

#[async_trait]
impl Effect for Return<'_> {
    type Intent = RollingBack;

    fn answered(&self) -> Kind {
        Kind::RollingBackAnswered
    }

    async fn guard(&self, _: &Heard) -> Result<RollingBack, Stop> {
        let plan = &self.trouble.plan;
        let fleet = self.cx.fleet_within(self.cx.policy.time.guard).await.map_err(guard::unseen)?;
        if let Some(what) = changed_since(self.trouble, &fleet) {
            return Err(Stop::Changed(what));
        }
        let from_more = fleet.wanted > plan.rollback_to;
        if self.is_unnamed() && from_more {
            self.old_ones_are_free(&fleet).await?;
        }
        let instances = if self.is_unnamed() { Vec::new() } else { self.to_end(&fleet) };
        if !self.is_unnamed() && instances.len() < fleet.wanted.0.saturating_sub(plan.rollback_to.0) as usize {
            let what = "there are fewer new instances than the count is too high by, and no old one is ended";
            return Err(Stop::Changed(what.to_owned()));
        }
        if let Some(late) =
            instances.iter().find(|instance| !self.stopping.out.contains(instance)).filter(|_| !mutated!(EndOld))
        {
            return Err(Stop::Changed(format!("{late} is new since, and may get requests")));
        }
        self.still_out(&instances).await?;
        Ok(RollingBack {
            identity: fleet.identity,
            from: fleet.wanted,
            to: Replicas(plan.rollback_to.0 + u32::from(mutated!(WrongWayBack))),
            generation: fleet.generation,
            version: fleet.version,
            instances,
        })
    }

    async fn act(&self, intent: &RollingBack, fence: Fence<'_>) -> Result<Acted, PortError> {
        let RollingBack { identity, from, to, version, instances, .. } = intent.clone();
        let operation = self.cx.operation.clone();
        let fleet = &self.cx.ports.target.fleet;
        let (world, limit, place) = (&*self.cx.ports.world, self.cx.order_limit(), fleet.describe());
        let answer = if instances.is_empty() {
            let order = ScaleOrder { identity, from, to, version, operation };
            within(world, limit, &place, fleet.scale(&order, fence)).await?
        } else {
            let order = RemoveOrder { identity, from, to, version, instances, operation };
            within(world, limit, &place, fleet.remove(&order, fence)).await?
        };
        Ok(answer.into())
    }

    async fn find(&self, intent: &RollingBack) -> Result<Found, PortError> {
        let now = self.cx.fleet().await?;
        Ok(count_found(self.cx, &now, &intent.identity, (intent.from, intent.to), intent.generation))
    }
}

/// Rollback 4: back to the known-good count. Nobody is ended who may get requests. Whoever is ended is drained first, each
/// within the same bound; that it is not idle by then does not keep an instance that is the cause.
pub async fn to_known_good(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    way_back: &WayBack,
    mut stopping: Stopping,
) -> Result<Recorded<RolledBack>, Interrupted> {
    for instance in &way_back.newcomers {
        if stopping.problem.is_none() {
            out(cx, journal, instance, &mut stopping).await?;
        }
    }
    if let Some(problem) = &stopping.problem {
        return not_back(cx, journal, trouble, &stopping, problem).await;
    }
    let since = stopping.since.unwrap_or_else(|| cx.ports.world.now());
    // Where the orchestrator chooses, an old one may be ended as well.
    let old: &[InstanceId] = if trouble.orchestrator_chooses() { &trouble.plan.present } else { &[] };
    for instance in way_back.newcomers.iter().chain(old) {
        let key = format!("back/drain/{instance}/wait");
        let others = |fleet: &FleetState| changed_since(trouble, fleet);
        let is_old = old.contains(instance);
        let as_it_ends = is_old || stopping.until_ended.contains(instance);
        let drained = journal.step(&key, |_| async {
            if as_it_ends {
                drain::watch_work(cx, None, &others, instance).await
            } else {
                drain::watch(cx, None, &others, instance, since).await
            }
        });
        let drained = drained.await?.body;
        // Who is in good health is not cut off from what takes long; when only asked for, from nothing at all.
        let healthy = !trouble.culprits.contains(instance);
        let others = drained.ended == DrainEnded::Interfered;
        let kept = trouble.asked_for || others || is_old || (healthy && !drained.work.is_empty());
        if let Some(why) = drained.objection().filter(|_| kept) {
            return not_back(cx, journal, trouble, &stopping, &why).await;
        }
    }
    match journal.effect("back/scale", &Return { cx, trouble, stopping: &stopping }).await? {
        Effected::Done(intent, at) => journal.step("back/wait", |_| until_back(cx, trouble, &intent, at)).await,
        otherwise => {
            stopping.may_be_ending = matches!(otherwise, Effected::Unknown(_));
            not_back(cx, journal, trouble, &stopping, &otherwise.why_not().unwrap_or_default()).await
        }
    }
}

/// A way back that cannot be finished: those that are in good health get requests again, and exactly what state things
/// are in is said.
async fn not_back(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    stopping: &Stopping,
    why: &str,
) -> Result<Recorded<RolledBack>, Interrupted> {
    let mut without: Vec<&str> = trouble.culprits.iter().map(InstanceId::as_str).collect();
    let mut stuck: Vec<&str> = Vec::new();
    // A request to end them whose answer was lost may still arrive: then nobody may be sent requests.
    let ending = stopping.may_be_ending || journal.may_still_arrive(&Return { cx, trouble, stopping });
    for instance in stopping.taken.iter().filter(|instance| !trouble.culprits.contains(instance)) {
        if ending {
            without.push(instance.as_str());
        } else if let PutBack::Unknown(_) = drain::put_back(cx, journal, "back/", instance).await? {
            stuck.push(instance.as_str());
        }
    }
    journal.step("back/wait", |_| state_of(cx, trouble, why, &without, &stuck)).await
}

/// In what state things are where the way back was not finished. `without` should get no requests, `stuck` should.
async fn state_of(cx: &Context<'_>, trouble: &Trouble, why: &str, without: &[&str], stuck: &[&str]) -> RolledBack {
    let fleet = cx.fleet().await;
    let to = trouble.plan.rollback_to;
    let mut lines = vec![format!("the way back to {to} could not be finished: {why}")];
    lines.extend(standing(to, fleet.as_ref()));
    if !without.is_empty() {
        lines.push(format!("{} should get no requests; see that it is so", without.join(", ")));
    }
    if !stuck.is_empty() {
        lines.push(format!("{} may get no requests and could serve: put it back into the balancer", stuck.join(", ")));
    }
    RolledBack {
        done: false,
        to,
        wanted: fleet.as_ref().ok().map(|fleet| fleet.wanted),
        ready: fleet.as_ref().ok().map(FleetState::ready),
        waited: Millis(0),
        problem: Some(in_lines(lines)),
        chosen: Vec::new(),
    }
}

/// The count, how many are ready, and what to type.
fn standing(to: Replicas, fleet: Result<&FleetState, &PortError>) -> [String; 2] {
    let seen = match fleet {
        Ok(fleet) => format!("the count is {}, {} ready", fleet.wanted, fleet.ready()),
        Err(error) => format!("the fleet cannot be seen: {error}"),
    };
    let word = match fleet {
        Ok(fleet) if fleet.wanted > to => format!("Look at the fleet; then type: /scale down {to}"),
        Ok(fleet) if fleet.wanted < to => format!("Look at the fleet; then type: /scale up {to}"),
        _ => "Look at the fleet before anything else. /scale status shows it".to_owned(),
    };
    [seen, word]
}

/// Waits until nobody is there any more who was to be ended, and whoever was in service before is again.
async fn until_back(cx: &Context<'_>, trouble: &Trouble, intent: &RollingBack, at: Timestamp) -> RolledBack {
    let world = &*cx.ports.world;
    let began = Stopwatch::since(world, at);
    let deadline = Deadline::after(world, at, cx.policy.time.ready_within + cx.policy.drain.exit);
    let to = trouble.plan.rollback_to;
    let enough = trouble.plan.ready.len().min(to.0 as usize);
    loop {
        let seen = cx.fleet().await;
        let lines = standing(to, seen.as_ref());
        let (fleet, open) = match seen {
            Err(error) => (None, Some(format!("the fleet cannot be seen: {error}"))),
            Ok(fleet) => {
                let too_many = fleet.instances.len() > to.0 as usize && trouble.orchestrator_chooses();
                let leaves = |instance: &&Instance| {
                    let chosen = too_many && instance.state == InstanceState::Terminating;
                    chosen || intent.instances.contains(&instance.id)
                };
                let still: Vec<&str> =
                    fleet.instances.iter().filter(leaves).map(|instance| instance.id.as_str()).collect();
                let open = if fleet.wanted != to {
                    Some(guard::who_set_the_count(&fleet))
                } else if !still.is_empty() {
                    Some(format!("still there: {}", still.join(", ")))
                } else if too_many {
                    Some(format!("{} are there, and none of them ends", fleet.instances.len()))
                } else if (fleet.ready().0 as usize) < enough {
                    Some(format!("{} of {enough} that were in service are ready", fleet.ready()))
                } else {
                    None
                };
                (Some(fleet), open)
            }
        };
        let others = fleet.as_ref().is_some_and(|fleet| fleet.wanted != to);
        if open.is_none() || others || deadline.is_over(world) {
            let (chosen, kept) = fleet.as_ref().map(|fleet| chosen(trouble, fleet)).unwrap_or_default();
            let open = kept.or(open);
            let problem = open.map(|open| {
                let what = format!("the count was set to {to}, and the fleet is not as it was: {open}");
                in_lines(std::iter::once(what).chain(lines))
            });
            return RolledBack {
                done: problem.is_none(),
                to,
                wanted: fleet.as_ref().map(|fleet| fleet.wanted),
                ready: fleet.as_ref().map(FleetState::ready),
                waited: began.spent(world).into(),
                problem,
                chosen,
            };
        }
        if let Some(fleet) = &fleet {
            cx.show(Slot::Progress, card::going_back(cx, trouble, fleet, began.spent(world))).await;
        }
        world.sleep(cx.policy.time.poll).await;
    }
}

/// Where the orchestrator itself chose: who ended, and what is wrong where that is not who is the cause.
fn chosen(trouble: &Trouble, fleet: &FleetState) -> (Vec<InstanceId>, Option<String>) {
    let Some(why) = trouble.plan.unnamed.as_ref().filter(|_| trouble.orchestrator_chooses()) else {
        return (Vec::new(), None);
    };
    let there = |id: &&InstanceId| fleet.instances.iter().any(|one| one.id == **id);
    let all = trouble.plan.present.iter().chain(&trouble.newcomers);
    let gone: Vec<InstanceId> = all.filter(|id| !there(id)).cloned().collect();
    let kept: Vec<&str> = trouble.culprits.iter().filter(there).map(InstanceId::as_str).collect();
    let kept = (!kept.is_empty()).then(|| {
        let ended = gone.iter().map(InstanceId::as_str).collect::<Vec<_>>().join(", ");
        format!("{why}, and kept {}, which is the cause; ended: {ended}", kept.join(", "))
    });
    (gone, kept)
}

impl Trouble {
    /// Whether the way back is from more instances, and the orchestrator itself chooses who ends.
    fn orchestrator_chooses(&self) -> bool {
        self.plan.unnamed.is_some() && self.plan.to > self.plan.rollback_to
    }

    /// The fleet as it is once it is back: what it was before, and nothing new; where the orchestrator itself chose, whoever
    /// it left.
    pub fn plan_back(&self, returned: &RolledBack) -> Plan {
        let to = self.plan.rollback_to;
        let plan = Plan { from: to, to, victims: Vec::new(), ..self.plan.clone() };
        if returned.chosen.is_empty() {
            return plan;
        }
        let left = |before: &[InstanceId]| {
            before.iter().chain(&self.newcomers).filter(|id| !returned.chosen.contains(id)).cloned().collect()
        };
        Plan { present: left(&plan.present), ready: left(&plan.ready), ..plan }
    }
}

/// Verifies the fleet that is back, as any other is verified.
pub async fn verify(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    trouble: &Trouble,
    returned: &RolledBack,
) -> Result<Option<Verified>, Interrupted> {
    if !returned.done {
        return Ok(None);
    }
    let plan = trouble.plan_back(returned);
    let verified = verify::every_instance(cx, journal, "back/verify", Slot::WayBack, &plan, &plan.ready).await?;
    Ok(Some(verified.body))
}

/// Whether the fleet is back, and all is well with it.
fn is_sound(returned: &RolledBack, verified: Option<&Verified>) -> bool {
    let as_it_was = |verified: &Verified| verified.result == Verification::Passed && verified.interference.is_none();
    returned.done && verified.is_some_and(as_it_was)
}

/// A way back that was not finished, or to a fleet that is not well, is somebody's to see to at once.
pub async fn escalate_unless_sound(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    returned: &RolledBack,
    verified: Option<&Verified>,
) -> Result<(), Interrupted> {
    if is_sound(returned, verified) {
        return Ok(());
    }
    let because = match (&returned.problem, verified) {
        (Some(problem), _) => problem.clone(),
        (None, Some(verified)) => in_lines(verified.interference.iter().chain(&verified.problems)),
        (None, None) => in_lines(["the fleet is back and was not verified"]),
    };
    escalate::to_role(cx, journal, "back/escalate", Condition::Consistency, &because).await
}

/// What the way back came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// How far the count was brought back.
    pub returned: RolledBack,
    /// What verification found then; `None` when it did not come to that.
    pub verified: Option<Verified>,
    /// What was kept of the new instances' logs.
    pub logs: LogsSaved,
}

/// What the operation comes to after the way back.
pub fn ending(cx: &Context<'_>, trouble: &Trouble, before: Ending, course: Course) -> Ending {
    let Course { returned, verified, logs } = course;
    let mut lines: Vec<String> = Vec::new();
    let to = instances(returned.to);
    let sound = is_sound(&returned, verified.as_ref());
    let found = verified.as_ref().filter(|verified| verified.is_constitutional());
    let constitutional = before.constitutional.clone().or_else(|| Some(in_lines(&found?.problems)));
    match (&returned.problem, verified) {
        (Some(problem), _) => lines.extend(problem.lines().map(ToOwned::to_owned)),
        (None, _) if sound && trouble.asked_for => lines.push(format!("{to} as before, all of them verified")),
        (None, _) if sound => lines.push(format!("Taken back: {to} as before, all of them verified")),
        (None, verified) => {
            lines.push(format!("{to} as before, and not all is well with them:"));
            lines.extend(verified.into_iter().flat_map(|found| found.interference.into_iter().chain(found.problems)));
        }
    }
    if !returned.chosen.is_empty() {
        let chosen: Vec<&str> = returned.chosen.iter().map(InstanceId::as_str).collect();
        lines.push(format!("Ended, as the orchestrator chose: {}", chosen.join(", ")));
    }
    lines.extend(logs.kept.iter().map(|kept| format!("Logs of {}: {}", kept.instance, kept.place)));
    lines.extend(logs.problems);
    if !trouble.asked_for {
        lines.extend(incident_runbook(cx));
    }
    let outcome = match (sound, trouble.asked_for) {
        (true, true) => Outcome::Completed,
        (true, false) => Outcome::RolledBack,
        (false, _) => Outcome::Failed,
    };
    Ending { outcome, afterwards: lines, changed_the_fleet: true, constitutional, ..before }
}

/// The same end where the fleet is not brought back.
pub fn left_as_it_is(cx: &Context<'_>, way_back: &WayBack, before: Ending) -> Ending {
    let why = match way_back.decided {
        WayBackDecided::Never => "The fleet is left as it is, as policy says.",
        WayBackDecided::Declined => "The fleet is left as it is, as was said.",
        WayBackDecided::Interfered => {
            let what = way_back.interference.as_deref().unwrap_or("somebody else changed the fleet");
            let afterwards =
                vec![card::sentence(what), "It is left as it is. Look at it before you ask for more.".to_owned()];
            return Ending { afterwards, ..before };
        }
        _ => "The fleet is left as it is: nobody said that it is to be taken back.",
    };
    let mut afterwards = vec![why.to_owned(), format!("/scale rollback brings it back to {}", way_back.to)];
    afterwards.extend(incident_runbook(cx));
    Ending { afterwards, ..before }
}

/// What to follow, as configured, where something turned out badly.
fn incident_runbook(cx: &Context<'_>) -> Option<String> {
    cx.policy.back.incident_runbook.as_ref().map(|runbook| format!("Incident runbook: {runbook}"))
}

/// What a command to go back is to undo: what that operation did, if the fleet is still where it left it.
///
/// # Errors
/// The inner one: how the operation ends instead.
pub async fn undo(cx: &Context<'_>, journal: &mut Journal<'_>, undone: &OperationId) -> Result<Ending, Interrupted> {
    let events = cx.ports.ledger.events_of(undone).await?;
    let assessed = assess::current_state(cx, journal).await?.body;
    let found = undoable(cx, undone, &events, &assessed);
    Ok(match found {
        Err(why) => {
            let reason = in_lines([&*why, "Nothing was changed."]);
            Ending::before_any_change(Outcome::Refused, None, reason)
        }
        Ok(trouble) => {
            let plan = Plan { from: trouble.plan.to, to: trouble.plan.rollback_to, ..trouble.plan.clone() };
            let ending = Ending::after_the_change(Outcome::Completed, &plan, "");
            Ending { changed_the_fleet: false, ..ending }.taken_back(trouble)
        }
    })
}

fn undoable(cx: &Context<'_>, undone: &OperationId, events: &[Event], assessed: &Assessed) -> Result<Trouble, String> {
    #[derive(Deserialize)]
    struct Planned {
        plan: Option<Plan>,
    }
    #[derive(Deserialize)]
    struct Left {
        from: Option<Replicas>,
        ended_at: Option<Replicas>,
    }
    #[derive(Deserialize)]
    struct Newcomers {
        newcomers: Vec<InstanceId>,
    }
    let last = |kind: Kind| events.iter().rev().find(|event| event.kind == kind.as_str());
    let unreadable = |_| "What that operation did cannot be read by this version.".to_owned();
    let planned: Option<Planned> =
        last(Kind::Prechecked).map(|event| serde_json::from_str(&event.body)).transpose().map_err(unreadable)?;
    let plan =
        planned.and_then(|planned| planned.plan).ok_or("That operation had no plan, so there is nothing to undo.")?;
    // Where that operation left the fleet, and the count from before it: a part of its plan may be done.
    let left: Option<Left> =
        last(Kind::Finished).map(|event| serde_json::from_str(&event.body)).transpose().map_err(unreadable)?;
    let (Some(from), Some(ended_at)) = left.map_or((None, None), |left| (left.from, left.ended_at)) else {
        return Err("It is not known where that operation left the fleet.".to_owned());
    };
    let plan = Plan { to: ended_at, rollback_to: from, ..plan };
    let waited: Option<Newcomers> = last(Kind::Scaled)
        .or_else(|| last(Kind::NotReady))
        .map(|event| serde_json::from_str(&event.body))
        .transpose()
        .map_err(unreadable)?;
    let fleet = assessed
        .fleet
        .known()
        .ok_or_else(|| format!("The fleet cannot be seen: {}", assessed.fleet.why().unwrap_or("no reason is known")))?;
    let again = format!(
        "Ask for what you want: /scale up N, /scale down N. Before that operation it had {}.",
        plan.rollback_to
    );
    if fleet.identity != plan.identity {
        return Err(format!("The fleet was replaced by another of the same name since.\n{again}"));
    }
    if fleet.wanted != plan.to || fleet.changed_by.as_deref() != Some(undone.as_str()) {
        return Err(format!("{} since.\n{again}", guard::who_set_the_count(fleet)));
    }
    let newcomers = waited.map(|waited| waited.newcomers).unwrap_or_default();
    let there = |id: &InstanceId| fleet.instances.iter().any(|instance| instance.id == *id);
    Ok(Trouble {
        newcomers: newcomers.into_iter().filter(there).collect(),
        culprits: Vec::new(),
        because: format!("asked for by {}", cx.request.by),
        asked_for: true,
        left_by: undone.clone(),
        plan,
    })
}
