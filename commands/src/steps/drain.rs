//! Scaling down, step 2: drain an instance. Marked in the load balancer first, then its requests are waited for.

use std::time::Duration;

use async_trait::async_trait;
use futures::join;
use serde::{Deserialize, Serialize};

use super::body;
use super::guard::{self, Guard, Held, Others};
use crate::card;
use crate::checks;
use crate::context::Context;
use crate::event::Kind;
use crate::halt::SourceSays;
use crate::journal::{Acted, Body, Effect, Effected, Fence, Found, Heard, Interrupted, Journal, Recorded, Stop};
use crate::patience::{Stopwatch, within};
use crate::ports::{Draining, FleetState, InstanceState, PortError, RouteOrder, Routed, Slot, Work};
use crate::reading::Reading;
use crate::units::{InstanceId, Millis, Timestamp};

/// The body of `draining` and of `readmitting`: the intent to change whether an instance gets new requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Routing {
    /// The instance.
    pub instance: InstanceId,
    /// Whether new requests are to be sent to it.
    pub receives: bool,
    /// On the way back, which needs neither an approval nor the absence of a halt.
    pub way_back: bool,
    /// What each source of truth said about the halt; not asked on the way back.
    pub halt: Vec<SourceSays>,
    /// The approval under which it is done, by its request's digest; `None` where none is needed.
    pub approval: Option<String>,
}

impl Body for Routing {
    const VERSION: u32 = 1;
    fn kind(&self) -> Kind {
        if self.receives { Kind::Readmitting } else { Kind::Draining }
    }
}

/// The body of `drained`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Drained {
    /// The instance.
    pub instance: InstanceId,
    /// How the wait ended.
    pub ended: DrainEnded,
    /// Requests that were not answered yet at the end; `None` where the balancer does not tell.
    pub in_flight: Option<u32>,
    /// What it still worked on at the end, in words.
    pub work: Vec<String>,
    /// How long was waited.
    pub waited: Millis,
    /// What is wrong, in words; `None` when nothing is.
    pub problem: Option<String>,
}

body!(Drained, Drained, 1);

/// How the wait for an instance's last requests ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DrainEnded {
    /// It has answered all it had.
    Idle,
    /// Nothing tells; by policy a fixed time was waited instead.
    WaitedNotMeasured,
    /// It gets requests until it is told to end, and has a fixed time to answer its last ones then, which nothing tells.
    AsItEnds,
    /// It is gone, or was never ready: nothing is to be waited for.
    NothingToWaitFor,
    /// Requests or constitutional writes did not end in time.
    StillBusy,
    /// It cannot be told whether it has answered all.
    Unknown,
    /// Somebody else changed the fleet meanwhile.
    Interfered,
    /// Somebody asked for the operation to stop.
    Cancelled,
}

/// Sends an instance no new requests, or requests again.
pub(super) struct Route<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) instance: &'a InstanceId,
    pub(super) receives: bool,
    /// What must hold; `None` on the way back, which waits for no approval and for no end of a halt.
    pub(super) guard: Option<Guard<'a>>,
}

impl Route<'_> {
    /// Whoever is the last to get requests goes on getting them.
    async fn others_serve(&self) -> Result<(), Stop> {
        let limit = self.cx.policy.time.guard;
        let routed = self.cx.routed_within(limit).await.map_err(guard::unseen)?;
        if routed.iter().any(|routed| routed.instance != *self.instance && routed.receives) {
            return Ok(());
        }
        Err(Stop::OverLimit(format!("no instance but {} gets requests now", self.instance)))
    }

    /// Whoever is ending or gone is not sent requests again, whoever ends it.
    async fn can_serve(&self) -> Result<(), Stop> {
        let fleet = self.cx.fleet_within(self.cx.policy.time.guard).await.map_err(guard::unseen)?;
        let instance = fleet.instances.iter().find(|instance| instance.id == *self.instance);
        match instance.map(|instance| instance.state) {
            None => Err(Stop::Changed(format!("{} is gone", self.instance))),
            Some(InstanceState::Terminating | InstanceState::Failed) => {
                Err(Stop::Changed(format!("{} is ending or has failed", self.instance)))
            }
            Some(_) => Ok(()),
        }
    }
}

#[async_trait]
impl Effect for Route<'_> {
    type Intent = Routing;

    fn answered(&self) -> Kind {
        if self.receives { Kind::ReadmittingAnswered } else { Kind::DrainingAnswered }
    }

    fn subject(&self) -> &str {
        self.instance.as_str()
    }

    fn can_wait(&self) -> bool {
        self.guard.is_some() && !self.receives
    }

    async fn guard(&self, heard: &Heard) -> Result<Routing, Stop> {
        let (halt, approval) = if let Some(guard) = &self.guard {
            let Held { halt, approval, .. } = guard.read(heard).await?;
            if !self.receives {
                self.others_serve().await?;
            }
            (halt, approval)
        } else {
            if self.receives {
                self.can_serve().await?;
            }
            (Vec::new(), None)
        };
        Ok(Routing {
            instance: self.instance.clone(),
            receives: self.receives,
            way_back: self.guard.is_none(),
            halt,
            approval,
        })
    }

    async fn act(&self, intent: &Routing, fence: Fence<'_>) -> Result<Acted, PortError> {
        let cx = self.cx;
        let order = RouteOrder {
            instance: intent.instance.clone(),
            receives: intent.receives,
            operation: cx.operation.clone(),
        };
        let traffic = &cx.ports.target.traffic;
        let limit = cx.policy.time.look;
        let answer = within(&*cx.ports.world, limit, &traffic.describe(), traffic.route(&order, fence)).await?;
        Ok(answer.into())
    }

    async fn find(&self, intent: &Routing) -> Result<Found, PortError> {
        let routed = self.cx.routed().await?;
        let known = routed.iter().find(|routed| routed.instance == intent.instance);
        Ok(match known {
            Some(known) if known.drained != intent.receives => Found::Done,
            // Who is not known yet may be in a moment, and then gets requests.
            Some(_) | None => Found::Untouched,
        })
    }
}

/// Whether new requests to an instance are stopped by an order, which is the effect of that key. Where the log goes on it
/// tells; else the balancer. What cannot be told is tried by order, which fails where there is none.
pub(super) async fn is_by_order(cx: &Context<'_>, journal: &Journal<'_>, key: &str, instance: &InstanceId) -> bool {
    match journal.may_take(key) {
        // A guard may have stopped it before anything was announced; and then an order of an earlier round, whose answer was
        // lost, may have been found to be done.
        Some(was_taken) => {
            was_taken
                || journal.may_take(&format!("{key}/stopped")) == Some(true)
                || journal.goes_on_with_found(Kind::DrainingAnswered, instance.as_str())
        }
        // Whom nobody can name, nobody takes out.
        None => cx.unnamed().is_none() && !matches!(cx.draining().await, Ok(Draining::AsItEnds { .. })),
    }
}

/// The effect that sends the instance no new requests.
pub(super) fn key(prefix: &str, instance: &InstanceId) -> String {
    format!("{prefix}drain/{instance}")
}

/// Sends the instance no new requests, as the plan says.
pub async fn out_of_the_balancer(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
) -> Result<Effected<Routing>, Interrupted> {
    let route = Route { cx: guard.cx, instance, receives: false, guard: Some(guard) };
    journal.effect(&key(prefix, instance), &route).await
}

/// What became of sending an instance requests again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PutBack {
    /// It gets requests again.
    Done,
    /// It can serve nobody any more, and gets none: how that was seen.
    Gone(String),
    /// It may get none although it could serve, and why.
    Unknown(String),
}

/// Sends the instance requests again, because it stays after all.
pub async fn put_back(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    prefix: &str,
    instance: &InstanceId,
) -> Result<PutBack, Interrupted> {
    let route = Route { cx, instance, receives: true, guard: None };
    let effected = journal.effect(&format!("{prefix}readmit/{instance}"), &route).await?;
    Ok(match effected {
        Effected::Done(..) => PutBack::Done,
        Effected::Stopped(Stop::Changed(how)) => PutBack::Gone(how),
        otherwise => PutBack::Unknown(otherwise.why_not().unwrap_or_default()),
    })
}

/// Waits until the instance has answered all it had: requests within one bound, constitutional writes within another.
pub async fn last_requests(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
    since: Timestamp,
) -> Result<Recorded<Drained>, Interrupted> {
    let key = format!("{prefix}drain/{instance}/wait");
    let others = |fleet: &FleetState| guard.interference(fleet);
    journal.step(&key, |heard| watch(guard.cx, Some(heard), &others, instance, since)).await
}

/// Waits until an instance that gets requests until its end works on nothing that must not be cut off.
pub async fn until_free(
    journal: &mut Journal<'_>,
    prefix: &str,
    guard: Guard<'_>,
    instance: &InstanceId,
) -> Result<Recorded<Drained>, Interrupted> {
    let key = format!("{prefix}drain/{instance}/wait");
    let others = |fleet: &FleetState| guard.interference(fleet);
    journal.step(&key, |heard| watch_work(guard.cx, Some(heard), &others, instance)).await
}

/// What is seen of an instance that is being drained.
struct Seen {
    in_flight: Reading<Option<u32>>,
    /// Whether it was told to get none and gets some all the same: not everybody who sends them knows yet.
    lags: bool,
    work: Reading<Vec<Work>>,
    /// Whether it is gone, or never was in service.
    is_nothing: bool,
    /// What somebody else did to the fleet.
    interference: Option<String>,
}

async fn look(cx: &Context<'_>, others: Others<'_>, id: &InstanceId) -> Seen {
    let (fleet, routed) = join!(cx.fleet(), cx.routed());
    let interference = fleet.as_ref().ok().and_then(others);
    // A balancer that does not know an instance in service does not tell what it still has of it.
    let in_service = fleet.as_ref().is_ok_and(|fleet| {
        fleet.instances.iter().any(|instance| instance.id == *id && instance.state == InstanceState::Ready)
    });
    let unlisted = if in_service { None } else { Some(0) };
    let (is_nothing, work) = match &fleet {
        Err(error) => (false, Err::<Vec<Work>, PortError>(error.clone()).into()),
        Ok(fleet) => match fleet.instances.iter().find(|instance| instance.id == *id) {
            None => (true, Reading::Known(Vec::new())),
            Some(instance) => (instance.state == InstanceState::Failed, checks::work_of(cx, instance).await),
        },
    };
    let ours = |routed: &&Routed| routed.instance == *id;
    let lags = routed.iter().flatten().find(ours).is_some_and(|routed| routed.drained && routed.receives);
    let in_flight = routed.map(|routed| {
        routed.into_iter().find(|routed| routed.instance == *id).map_or(unlisted, |routed| routed.in_flight)
    });
    Seen { in_flight: in_flight.into(), lags, work, is_nothing, interference }
}

/// The bounds count from `since`. On the way back (`heard` is `None`) nobody is asked whether to go on.
pub(super) async fn watch(
    cx: &Context<'_>,
    heard: Option<Heard>,
    others: Others<'_>,
    instance: &InstanceId,
    since: Timestamp,
) -> Drained {
    let world = &*cx.ports.world;
    let rules = &cx.policy.drain;
    let began = Stopwatch::since(world, since);
    // Since when nobody sends it any.
    let mut quiet = Stopwatch::since(world, since);
    let (mut in_flight, mut work, mut problem);
    let ended = loop {
        let seen = look(cx, others, instance).await;
        if seen.lags {
            quiet = Stopwatch::since(world, world.now());
        }
        let spent = if seen.lags { began.spent(world) } else { quiet.spent(world) };
        in_flight = seen.in_flight.known().copied().flatten();
        work = seen.work.known().cloned().unwrap_or_default();
        problem =
            seen.in_flight.why().or_else(|| seen.work.why().filter(|_| !seen.work.is_not_served())).map(str::to_owned);
        if let Some(what) = seen.interference {
            problem = Some(what);
            break DrainEnded::Interfered;
        }
        if seen.is_nothing {
            break DrainEnded::NothingToWaitFor;
        }
        // Who does not tell is given a fixed time, where policy has one; on the way back requests are all that counts.
        let untold = in_flight.is_none() || (heard.is_some() && seen.work.is_not_served());
        if seen.lags && problem.is_none() {
            problem = Some("it was taken out and is still sent requests".to_owned());
        }
        let told = problem.is_none() && (!untold || rules.unmeasured.is_some());
        let waited_enough = !untold || rules.unmeasured.is_some_and(|wait| spent >= wait);
        if told && waited_enough && in_flight.unwrap_or(0) == 0 && work.is_empty() {
            break if untold { DrainEnded::WaitedNotMeasured } else { DrainEnded::Idle };
        }
        cx.show(Slot::Progress, card::draining(cx, instance, in_flight, &work, spent)).await;
        if let Some(by) = heard.as_ref().and_then(Heard::cancelled_by) {
            problem = Some(format!("cancelled by {by}"));
            break DrainEnded::Cancelled;
        }
        let limit = if work.iter().any(|work| work.constitutional) { rules.constitutional } else { rules.in_flight };
        if spent >= limit.max(rules.unmeasured.filter(|_| untold).unwrap_or_default()) {
            break if told { DrainEnded::StillBusy } else { DrainEnded::Unknown };
        }
        world.sleep(cx.policy.time.poll).await;
    };
    if ended == DrainEnded::Unknown && problem.is_none() {
        problem = Some("nothing tells what it still works on".to_owned());
    }
    Drained {
        instance: instance.clone(),
        ended,
        in_flight,
        work: work.iter().map(|work| crate::request::quoted(&work.what)).collect(),
        waited: began.spent(world).into(),
        problem,
    }
}

/// Of one that cannot be taken out of the balancer: its requests are answered as it ends, so only what takes longer is
/// waited for. On the way back (`heard` is `None`) nobody is asked whether to go on.
pub(super) async fn watch_work(
    cx: &Context<'_>,
    heard: Option<Heard>,
    others: Others<'_>,
    instance: &InstanceId,
) -> Drained {
    let world = &*cx.ports.world;
    let rules = &cx.policy.drain;
    let began = Stopwatch::since(world, world.now());
    let (mut work, mut problem);
    let ended = loop {
        let (seen, draining) = join!(look(cx, others, instance), cx.draining());
        let spent = began.spent(world);
        work = seen.work.known().cloned().unwrap_or_default();
        let untold = seen.work.is_not_served() && rules.unmeasured.is_some();
        let unsure = seen.work.why().filter(|_| !untold).map(str::to_owned);
        let fits = |it: Draining| if cx.unnamed().is_some() { unfit(cx, &it) } else { too_short(cx, &it) };
        problem = unsure.or_else(|| draining.map_or_else(|error| Some(error.to_string()), fits));
        if let Some(what) = seen.interference {
            problem = Some(what);
            break DrainEnded::Interfered;
        }
        if seen.is_nothing {
            break DrainEnded::NothingToWaitFor;
        }
        if problem.is_none() && work.is_empty() {
            break DrainEnded::AsItEnds;
        }
        cx.show(Slot::Progress, card::until_free(cx, instance, &work, spent)).await;
        if let Some(by) = heard.as_ref().and_then(Heard::cancelled_by) {
            problem = Some(format!("cancelled by {by}"));
            break DrainEnded::Cancelled;
        }
        let limit = if work.iter().any(|work| work.constitutional) { rules.constitutional } else { rules.in_flight };
        if spent >= limit {
            break if problem.is_none() { DrainEnded::StillBusy } else { DrainEnded::Unknown };
        }
        world.sleep(cx.policy.time.poll).await;
    };
    Drained {
        instance: instance.clone(),
        ended,
        in_flight: None,
        work: work.iter().map(|work| crate::request::quoted(&work.what)).collect(),
        waited: began.spent(world).into(),
        problem,
    }
}

/// Why nobody may be ended whom the orchestrator chooses; `None` where whoever it is has the time for its last requests.
pub(crate) fn unfit(cx: &Context<'_>, draining: &Draining) -> Option<String> {
    match draining {
        Draining::AsItEnds { .. } => too_short(cx, draining),
        Draining::ByOrder => Some("it is not known whose requests would have to be stopped before it ends".to_owned()),
    }
}

/// Why an instance that answers its last requests as it ends must not be ended; `None` when it has the time for it that
/// policy wants where nothing is measured.
pub(crate) fn too_short(cx: &Context<'_>, draining: &Draining) -> Option<String> {
    let Draining::AsItEnds { grace, .. } = draining else { return None };
    match cx.policy.drain.unmeasured {
        None => Some("nothing tells when its last requests are answered".to_owned()),
        Some(wanted) if *grace < wanted => Some(format!(
            "it has {} for its last requests, and {} are wanted where nothing is measured",
            Millis::from(*grace),
            Millis::from(wanted)
        )),
        Some(_) => None,
    }
}

impl Drained {
    /// Why the instance must not be ended; `None` when it may be.
    pub fn objection(&self) -> Option<String> {
        let instance = &self.instance;
        let waited = Millis::from(Duration::from_secs(self.waited.duration().as_secs()));
        match self.ended {
            DrainEnded::Idle | DrainEnded::WaitedNotMeasured | DrainEnded::AsItEnds | DrainEnded::NothingToWaitFor => {
                None
            }
            DrainEnded::Cancelled | DrainEnded::Interfered => {
                Some(self.problem.clone().unwrap_or_else(|| "it was told to stop".to_owned()))
            }
            DrainEnded::StillBusy => {
                let requests = match self.in_flight {
                    Some(count @ 1..) => vec![format!("{count} requests under way")],
                    _ => Vec::new(),
                };
                let still: Vec<String> = requests.into_iter().chain(self.work.iter().cloned()).collect();
                Some(format!("{instance} is not idle after {waited}: {}", still.join(", ")))
            }
            DrainEnded::Unknown => {
                let why = self.problem.as_deref().unwrap_or("no reason is known");
                Some(format!("it cannot be told whether {instance} is idle: {why}"))
            }
        }
    }
}
