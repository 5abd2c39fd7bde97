//! The duty: what a process does beside its operations, for as long as it lives. Escalations that nobody acknowledges are
//! said again, and a scaling is proposed when a trigger condition holds and nothing is under way.
//!
//! Everything that it knows it reads from the log anew each time, so a restart changes nothing. What is said is appended
//! first and shown then: a hop that stands in the log is never said again, whoever wrote it, and one that a fenced
//! process wanted to say is not said at all. Between the two a crash may cost a card, never the record: the log channel
//! tells every event, and the next hop comes in time.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt as _;
use futures::channel::mpsc;
use futures::future::BoxFuture;
use futures::join;
use futures::lock::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::authority::{self, Action, Refusal};
use crate::capacity::finished_of;
use crate::card::{self, Card};
use crate::desk::CommandRefused;
use crate::escalation::{Acknowledged, Meant, Open, Watch, meant, open};
use crate::event::{Claim, Draft, Event, Kind};
use crate::patience::{Deadline, ask_all, within};
use crate::policy::{Policy, Trigger};
use crate::ports::{
    AppendError, EarlyWarning, FleetState, Instance, InstanceState, LedgerError, PortError, Ports, Role, Slot,
};
use crate::request::Requested;
use crate::trigger::{Dismissed, Holds, Proposed, Seen, Warnings, differs, evaluate, is_told, window};
use crate::units::{Epoch, Millis, OperationId, Person};

/// How many escalations are looked at, the last ones.
const ESCALATIONS: u32 = 200;

/// How many of what became of them: several for each of those.
const AFTERWARDS: u32 = 1_000;

/// How many proposals, and of what became of them.
const PROPOSALS: u32 = 50;

/// How many looks in a row have to find that a condition no longer holds. One alone may be chance.
const LAPSES_AFTER: u32 = 3;

/// How long what somebody started may take to be at the desk.
const STARTS_WITHIN: Duration = Duration::from_secs(5);

/// How long an event whose appending was not answered may still be on its way to the log. Until then it is not appended
/// again: it would stand there twice.
const ON_ITS_WAY: Duration = Duration::from_secs(15);

/// No look comes sooner after another.
const SHORTEST: Duration = Duration::from_millis(200);

/// The duty of one process.
pub struct Duty {
    /// Everything outside.
    ports: Ports,
    /// The limits in force.
    policy: Policy,
    /// The fencing epoch of this process.
    epoch: Epoch,
    /// Whether scalings are proposed: somebody is there who could decide.
    proposes: bool,
    /// Whether escalations are said again: by one duty of a process, however many fleets it has.
    escalates: bool,
    /// Where a scaling is put that is begun by itself.
    begins: mpsc::UnboundedSender<Begin>,
    /// One at a time: a hop is not appended while somebody acknowledges.
    state: Mutex<State>,
}

/// A scaling that is to be begun without being asked. Whoever carries operations out takes it to the desk
/// ([`crate::desk::Desk::take_by_itself`]). That it may be begun is policy's word, given by there being one: nobody but the
/// duty can make it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    command: String,
}

impl Begin {
    /// The command.
    pub fn command(&self) -> &str {
        &self.command
    }
}

/// What became of something that a person said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done(String),
    /// It is not, and why.
    Refused(String),
}

/// What became of "start".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is to be taken to the desk like this command, typed by whoever said so.
    Command(String),
    /// It is not, and why.
    Refused(String),
}

/// Why the duty could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DutyError {
    /// Another process has taken over: this one stops.
    #[error("another process has taken over ({0})")]
    Fenced(String),
    /// The log cannot be used; it is tried again.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

#[derive(Default)]
struct State {
    watch: Watch,
    /// Hops that this process wanted to append and has not shown yet, and when it did.
    unshown: BTreeMap<(u64, u32), Duration>,
    /// The proposal that people have before them.
    offer: Option<Offer>,
    /// Until when a condition is quiet, by the event that made it so.
    quiet: BTreeMap<u64, Deadline>,
    /// What was begun by itself, until it may be again.
    begun: BTreeMap<Trigger, Deadline>,
    /// Until when nothing is proposed, because somebody has just started what was.
    starting: Option<Deadline>,
}

struct Offer {
    proposed: Proposed,
    /// Whether its card was taken by the chat system. One that was not is shown again with the next look.
    shown: bool,
    /// How many looks in a row found that it no longer holds.
    missed: u32,
}

/// What the log holds about proposals for one target.
struct Past {
    proposed: Vec<(Event, Proposed)>,
    dismissed: Vec<(Event, Dismissed)>,
    requested: Vec<(Event, Requested)>,
}

impl Past {
    fn holds(&self, seq: u64) -> bool {
        let proposed = self.proposed.iter().map(|(event, _)| event.seq);
        let dismissed = self.dismissed.iter().map(|(event, _)| event.seq);
        let requested = self.requested.iter().map(|(event, _)| event.seq);
        proposed.chain(dismissed).chain(requested).any(|known| known == seq)
    }
}

impl Duty {
    /// The duty of a process, and where it puts what is begun by itself. `proposes` says whether somebody is there who
    /// could decide on a proposal.
    pub fn new(ports: Ports, policy: Policy, epoch: Epoch, proposes: bool) -> (Self, mpsc::UnboundedReceiver<Begin>) {
        let (begins, begun) = mpsc::unbounded();
        let state = Mutex::new(State { watch: Watch::of(epoch), ..State::default() });
        (Self { ports, policy, epoch, proposes, escalates: true, begins, state }, begun)
    }

    /// The same for a further fleet of the process: escalations are of the process and not of a fleet, so that only the
    /// first fleet's duty says them again.
    #[must_use]
    pub fn of_a_further_fleet(self) -> Self {
        Self { escalates: false, ..self }
    }

    /// Whether people have a proposal before them.
    pub async fn offers(&self) -> bool {
        self.offered().await.is_some()
    }

    /// Does it, until another process takes over: why, in words. May be dropped at any instant.
    pub async fn run(&self) -> String {
        loop {
            match self.tick().await {
                Ok(()) => {}
                Err(DutyError::Fenced(why)) => return why,
                Err(DutyError::Ledger(error)) => {
                    tracing::warn!(%error, "the duty could not be done; it is tried again");
                }
            }
            self.ports.world.sleep(self.pause().await).await;
        }
    }

    /// Says what is due, and proposes what is to be proposed.
    ///
    /// # Errors
    /// When the log cannot be used, or another process has taken it over. What could not be done is done by the next.
    pub async fn tick(&self) -> Result<(), DutyError> {
        if self.escalates {
            self.say_due().await?;
        }
        if self.proposes { self.propose().await } else { Ok(()) }
    }

    /// Until the next look: the policy's interval, or less where something is due earlier.
    async fn pause(&self) -> Duration {
        let rules = &self.policy.escalation;
        // What is raised in between is seen in time, however short the intervals are.
        let shortest = rules.high.min(rules.medium).min(rules.critical_again);
        let due = self.state.lock().await.watch.next(&*self.ports.world);
        self.policy.triggers.every.min(shortest).min(due.unwrap_or(Duration::MAX)).max(SHORTEST)
    }

    /// What nobody has acknowledged, oldest first.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn open(&self) -> Result<Vec<Open>, LedgerError> {
        let ledger = &self.ports.ledger;
        let (escalated, again, acknowledged) = join!(
            ledger.latest(Kind::Escalated.as_str(), ESCALATIONS),
            ledger.latest(Kind::Reescalated.as_str(), AFTERWARDS),
            ledger.latest(Kind::Acknowledged.as_str(), AFTERWARDS),
        );
        let (escalated, again, acknowledged) = (escalated?, again?, acknowledged?);
        Ok(open(escalated.iter().chain(&again).chain(&acknowledged)))
    }

    /// Says what nobody has acknowledged in time.
    async fn say_due(&self) -> Result<(), DutyError> {
        let world = &*self.ports.world;
        let rules = &self.policy.escalation;
        let mut state = self.state.lock().await;
        let known = self.open().await?;
        let due = state.watch.due(world, rules, &known);
        // A hop whose appending was not answered, and that stands in the log after all.
        let late: Vec<Open> =
            known.iter().filter(|one| state.unshown.contains_key(&(one.escalation, one.hop))).cloned().collect();
        let now = world.monotonic();
        let is_late = |key: &(u64, u32)| late.iter().any(|one| (one.escalation, one.hop) == *key);
        state.unshown.retain(|key, tried| !is_late(key) && now.saturating_sub(*tried) < ON_ITS_WAY);
        for one in late {
            let before = one.told.iter().rev().find(|role| **role != one.to).copied().unwrap_or(one.to);
            self.show_hop(&one, before).await;
        }
        if due.is_empty() {
            return Ok(());
        }
        for one in due {
            let hop = one.again(rules);
            if state.unshown.contains_key(&(hop.escalation, hop.hop)) {
                continue;
            }
            state.unshown.insert((hop.escalation, hop.hop), world.monotonic());
            let at = self.append(Kind::Reescalated, &hop).await?.time().unwrap_or_else(|| world.now());
            let before = one.to;
            let one = one.after(&hop, at);
            self.show_hop(&one, before).await;
            state.unshown.remove(&(hop.escalation, hop.hop));
        }
        let known = self.open().await?;
        state.watch.see(world, rules, &known);
        Ok(())
    }

    async fn show_hop(&self, open: &Open, before: Role) {
        let card = card::duty::said_again(open, before, &self.policy.escalation);
        self.show(&open.operation, Slot::Escalation, card).await;
    }

    /// Somebody sees to an escalation: the one of that number, or the only one that is open.
    ///
    /// # Errors
    /// When the log cannot be used. It may stand in the log all the same; saying it again does no harm.
    pub async fn acknowledge(&self, number: Option<u64>, by: &Person) -> Result<Answer, DutyError> {
        let known = self.open().await?;
        let one = match meant(&known, number) {
            Meant::One(one) => one,
            Meant::Nothing => return Ok(Answer::Refused("Nothing is open that could be acknowledged.".to_owned())),
            Meant::Several => {
                let text = format!("{} escalations are open. Say which:\n{}", known.len(), listed(&known));
                return Ok(Answer::Refused(text));
            }
            Meant::NotOpen(number) => return Ok(Answer::Refused(self.not_open(number, &known).await?)),
        };
        let action = Action::Acknowledge { told: one.told.clone() };
        if let Err(refusal) = self.may(by, action).await {
            return self.refuse(format!("acknowledge {}", one.escalation), by, refusal).await.map(Answer::Refused);
        }
        // From here on no hop is appended in between.
        let _state = self.state.lock().await;
        let known = self.open().await?;
        let Meant::One(one) = meant(&known, Some(one.escalation)) else {
            return Ok(Answer::Refused(self.not_open(one.escalation, &known).await?));
        };
        let body = Acknowledged { escalation: one.escalation, operation: one.operation.clone(), by: by.clone() };
        self.append(Kind::Acknowledged, &body).await?;
        self.show(&one.operation, Slot::Escalation, card::duty::acknowledged(one, by)).await;
        Ok(Answer::Done(format!("{by} sees to escalation {}: {}.", one.escalation, one.condition.words())))
    }

    /// Why that number names nothing that is open.
    async fn not_open(&self, number: u64, known: &[Open]) -> Result<String, LedgerError> {
        let acknowledged: Vec<(Event, Acknowledged)> = self.latest(Kind::Acknowledged, AFTERWARDS).await?;
        if let Some((_, done)) = acknowledged.iter().find(|(_, done)| done.escalation == number) {
            return Ok(format!("Escalation {number} is acknowledged already: {} sees to it.", done.by));
        }
        let open = match known {
            [] => "Nothing is open that could be acknowledged.".to_owned(),
            known => format!("Open are:\n{}", listed(known)),
        };
        Ok(format!("There is no open escalation {number}. {open}"))
    }

    /// Takes the open proposal at its word.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn start(&self, by: &Person) -> Result<Start, DutyError> {
        let Some(proposed) = self.offered().await else { return Ok(Start::Refused(NOTHING_PROPOSED.to_owned())) };
        if let Err(refusal) = self.may(by, Action::StartProposal).await {
            return self.refuse("start".to_owned(), by, refusal).await.map(Start::Refused);
        }
        let mut state = self.state.lock().await;
        match state.offer.take() {
            // Were the desk to refuse it, the next look would find that it still holds, and show it again.
            Some(offer) if offer.proposed == proposed => {
                let world = &*self.ports.world;
                state.starting = Some(Deadline::after(world, world.now(), STARTS_WITHIN));
                Ok(Start::Command(proposed.command()))
            }
            other => {
                state.offer = other;
                Ok(Start::Refused("The proposal has changed in this moment. Look at the new one.".to_owned()))
            }
        }
    }

    /// Dismisses the open proposal: its condition stays quiet for a time.
    ///
    /// # Errors
    /// When the log cannot be used.
    pub async fn dismiss(&self, by: &Person) -> Result<Answer, DutyError> {
        let Some(proposed) = self.offered().await else { return Ok(Answer::Refused(NOTHING_PROPOSED.to_owned())) };
        if let Err(refusal) = self.may(by, Action::DismissProposal).await {
            return self.refuse("dismiss".to_owned(), by, refusal).await.map(Answer::Refused);
        }
        let mut state = self.state.lock().await;
        let same = state.offer.as_ref().is_some_and(|offer| offer.proposed == proposed);
        if !same {
            return Ok(Answer::Refused("The proposal has changed in this moment. Look at the new one.".to_owned()));
        }
        let Proposed { proposal, trigger, .. } = &proposed;
        let body = Dismissed { proposal: proposal.clone(), trigger: *trigger, by: by.clone() };
        self.append(Kind::Dismissed, &body).await?;
        state.offer = None;
        let quiet = self.policy.triggers.quiet;
        self.show(&place(&proposed), Slot::Question, card::duty::dismissed(&proposed, by, quiet)).await;
        Ok(Answer::Done(format!("Dismissed. It stays quiet for {}: {}.", Millis::from(quiet), trigger.words())))
    }

    /// The proposal that people have before them.
    async fn offered(&self) -> Option<Proposed> {
        self.state.lock().await.offer.as_ref().map(|offer| offer.proposed.clone())
    }

    /// Proposes a scaling when a condition holds and nothing is under way.
    async fn propose(&self) -> Result<(), DutyError> {
        if self.is_busy().await? {
            // Whatever was proposed, something is done now.
            self.state.lock().await.offer = None;
            return Ok(());
        }
        if self.cools_down().await? {
            return Ok(());
        }
        let seen = match self.look().await {
            Ok(seen) => seen,
            Err(error) => {
                // What was proposed stays: a fleet that cannot be seen has not become well.
                tracing::debug!(%error, "the fleet cannot be seen, so nothing is proposed");
                return Ok(());
            }
        };
        let now = self.ports.world.now();
        let holds = evaluate(&self.policy, &seen, now);
        let mut state = self.state.lock().await;
        if state.starting.is_some_and(|until| !until.is_over(&*self.ports.world)) {
            return Ok(());
        }
        if let Some(offer) = &mut state.offer {
            match holds.iter().find(|holds| holds.trigger == offer.proposed.trigger) {
                Some(holds) if !differs(&offer.proposed, holds) => {
                    offer.missed = 0;
                    if !offer.shown {
                        offer.shown = self.show_offer(&offer.proposed, holds).await;
                    }
                    return Ok(());
                }
                Some(_) => {}
                None => {
                    offer.missed += u32::from(is_told(&self.policy, &seen, offer.proposed.trigger, now));
                    if offer.missed < LAPSES_AFTER {
                        return Ok(());
                    }
                    let lapsed = offer.proposed.clone();
                    state.offer = None;
                    self.show(&place(&lapsed), Slot::Question, card::duty::lapsed(&lapsed)).await;
                }
            }
        }
        let past = self.past().await?;
        state.quiet.retain(|seq, _| past.holds(*seq));
        let audible: Vec<&Holds> =
            holds.iter().filter(|holds| !self.is_quiet(&mut state, &past, holds.trigger)).collect();
        // The one that needs the most; of equals the first in the runbook's order.
        let most = audible.iter().map(|holds| holds.to).max();
        let Some(holds) = audible.into_iter().find(|holds| Some(holds.to) == most) else { return Ok(()) };
        if self.may_begin(&mut state, &past, holds.trigger) {
            return self.begin(&mut state, holds).await;
        }
        self.offer(&mut state, &past, holds).await
    }

    /// Puts it before people: as the proposal that was made before, where that is the same still.
    async fn offer(&self, state: &mut State, past: &Past, holds: &Holds) -> Result<(), DutyError> {
        let proposed = match self.made_before(state, past, holds) {
            Some(proposed) => proposed,
            None => self.record(holds).await?,
        };
        let shown = self.show_offer(&proposed, holds).await;
        state.offer = Some(Offer { proposed, shown, missed: 0 });
        Ok(())
    }

    /// Whether it is before people now.
    async fn show_offer(&self, proposed: &Proposed, holds: &Holds) -> bool {
        let card = card::duty::proposed(proposed, holds, self.policy.triggers.quiet);
        self.show(&place(proposed), Slot::Question, card).await
    }

    async fn record(&self, holds: &Holds) -> Result<Proposed, DutyError> {
        let proposed = Proposed {
            proposal: self.ports.world.unique_id(),
            target: self.ports.target.name.clone(),
            trigger: holds.trigger,
            because: holds.because.clone(),
            from: holds.from,
            to: holds.to,
        };
        self.append(Kind::Proposed, &proposed).await?;
        Ok(proposed)
    }

    /// Begins it without being asked.
    async fn begin(&self, state: &mut State, holds: &Holds) -> Result<(), DutyError> {
        let until = self.within_quiet(self.ports.world.now());
        // Whatever becomes of it: it is tried once in a while, and never in a row.
        state.begun.insert(holds.trigger, until);
        let proposed = self.record(holds).await?;
        state.offer = None;
        self.show(&place(&proposed), Slot::Question, card::duty::begun(&proposed)).await;
        let because = format!("begun by itself, as policy says: {}", holds.because);
        let command = Proposed { because, ..proposed }.command();
        if self.begins.unbounded_send(Begin { command }).is_err() {
            tracing::warn!("nobody carries out what is begun by itself");
        }
        Ok(())
    }

    /// Whether policy lets that condition begin a scaling now: exactly that one, and none begun so a short while ago.
    fn may_begin(&self, state: &mut State, past: &Past, trigger: Trigger) -> bool {
        if !self.policy.triggers.by_itself.contains(&trigger) {
            return false;
        }
        let world = &*self.ports.world;
        let lately = state.begun.get(&trigger).is_some_and(|until| !until.is_over(world));
        let by_itself = past.requested.iter().find(|(_, requested)| requested.by.is_itself());
        !lately && by_itself.is_none_or(|(event, _)| self.is_past_quiet(state, event))
    }

    /// The same proposal as it was made a while ago, and that nobody has answered: nothing is recorded twice because a
    /// process was restarted, or a figure hovers about its limit.
    fn made_before(&self, state: &mut State, past: &Past, holds: &Holds) -> Option<Proposed> {
        let (event, proposed) = past.proposed.iter().find(|(_, proposed)| proposed.trigger == holds.trigger)?;
        let answered = past.dismissed.iter().any(|(_, dismissed)| dismissed.proposal == proposed.proposal)
            || past.requested.iter().any(|(request, _)| request.seq > event.seq);
        let fresh = !self.is_past_quiet(state, event);
        (!answered && fresh && !differs(proposed, holds)).then(|| proposed.clone())
    }

    fn is_quiet(&self, state: &mut State, past: &Past, trigger: Trigger) -> bool {
        let dismissed = past.dismissed.iter().find(|(_, dismissed)| dismissed.trigger == trigger);
        dismissed.is_some_and(|(event, _)| !self.is_past_quiet(state, event))
    }

    /// Whether the time for which a dismissed proposal stays quiet has passed since that event. Counted by the monotonic
    /// clock from when this process first saw it.
    fn is_past_quiet(&self, state: &mut State, event: &Event) -> bool {
        let at = event.time().unwrap_or_else(|| self.ports.world.now());
        let until = *state.quiet.entry(event.seq).or_insert_with(|| self.within_quiet(at));
        until.is_over(&*self.ports.world)
    }

    fn within_quiet(&self, since: crate::units::Timestamp) -> Deadline {
        Deadline::after(&*self.ports.world, since, self.policy.triggers.quiet)
    }

    /// What the log holds about proposals for this target, newest first.
    async fn past(&self) -> Result<Past, LedgerError> {
        let (proposed, dismissed, requested) = join!(
            self.latest::<Proposed>(Kind::Proposed, PROPOSALS),
            self.latest::<Dismissed>(Kind::Dismissed, PROPOSALS),
            self.latest::<Requested>(Kind::Requested, PROPOSALS),
        );
        let target = &self.ports.target.name;
        let (mut proposed, mut dismissed, mut requested) = (proposed?, dismissed?, requested?);
        let others: Vec<String> = proposed
            .iter()
            .filter(|(_, proposed)| proposed.target != *target)
            .map(|(_, proposed)| proposed.proposal.clone())
            .collect();
        dismissed.retain(|(_, dismissed)| !others.contains(&dismissed.proposal));
        proposed.retain(|(_, proposed)| proposed.target == *target);
        requested.retain(|(_, requested)| requested.target == *target);
        Ok(Past { proposed, dismissed, requested })
    }

    /// Whether an operation holds the target.
    async fn is_busy(&self) -> Result<bool, LedgerError> {
        let claims = self.ports.ledger.claims().await?;
        Ok(claims.iter().any(|held| held.target == self.ports.target.name))
    }

    /// Whether the next scaling would be refused, because the last ended only just now.
    async fn cools_down(&self) -> Result<bool, LedgerError> {
        let length = self.policy.count.cool_down;
        if length.is_zero() {
            return Ok(false);
        }
        let world = &*self.ports.world;
        let finished = self.ports.ledger.latest(Kind::Finished.as_str(), PROPOSALS).await?;
        let last = finished.iter().find_map(|event| {
            let ended = finished_of(event)?;
            (ended.target == self.ports.target.name && ended.outcome.may_have_changed_the_fleet())
                .then(|| event.time())?
        });
        Ok(last.is_some_and(|last| !Deadline::after(world, last, length).is_over(world)))
    }

    /// Looks at the fleet, its load and its warnings, each within the limit of one look.
    async fn look(&self) -> Result<Seen, PortError> {
        let (world, limit) = (&*self.ports.world, self.policy.time.look);
        let (fleet, metrics) = (&self.ports.target.fleet, &self.ports.target.metrics);
        let fleet = within(world, limit, &fleet.describe(), fleet.observe()).await?;
        let now = world.now();
        let since = now - window(&self.policy, &fleet, now);
        let what = metrics.describe();
        let (load, warnings) = join!(within(world, limit, &what, metrics.load(since)), self.warnings(&fleet));
        Ok(Seen { fleet, load: load.into(), warnings })
    }

    async fn warnings(&self, fleet: &FleetState) -> Warnings {
        let ready = fleet.instances.iter().filter(|instance| instance.state == InstanceState::Ready);
        let questions: Vec<BoxFuture<'_, _>> = ready.map(|instance| self.warnings_of(instance).boxed()).collect();
        let answers = ask_all(questions).boxed().await;
        let mut warnings = Warnings::default();
        for answer in answers {
            match answer {
                Ok(found) => {
                    for warning in found {
                        if !warnings.active.contains(&warning) {
                            warnings.active.push(warning);
                        }
                    }
                }
                // Where nobody serves them there are none to be had.
                Err(PortError::NotServed { .. }) => {}
                Err(_) => warnings.untold = true,
            }
        }
        warnings
    }

    async fn warnings_of(&self, instance: &Instance) -> Result<Vec<EarlyWarning>, PortError> {
        let what = format!("instance {}", instance.id);
        let asked = self.ports.target.probe.warnings(instance);
        within(&*self.ports.world, self.policy.time.look, &what, asked).await
    }

    /// Whether somebody may do that, as the chat system says now.
    async fn may(&self, by: &Person, action: Action) -> Result<(), Refusal> {
        authority::ask(&*self.ports.room, &*self.ports.world, self.policy.time.look, by, action).await
    }

    /// Records that somebody may not, and returns what they are told.
    async fn refuse(&self, command: String, by: &Person, refusal: Refusal) -> Result<String, DutyError> {
        let reason = refusal.to_string();
        let body = CommandRefused { command, by: by.clone(), reason: reason.clone() };
        self.append(Kind::CommandRefused, &body).await?;
        Ok(reason)
    }

    async fn latest<T: DeserializeOwned>(&self, kind: Kind, limit: u32) -> Result<Vec<(Event, T)>, LedgerError> {
        let events = self.ports.ledger.latest(kind.as_str(), limit).await?;
        // What a later version wrote otherwise says nothing to this one.
        Ok(events
            .into_iter()
            .filter_map(|event| {
                let body = serde_json::from_str(&event.body).ok()?;
                Some((event, body))
            })
            .collect())
    }

    async fn append<T: Serialize>(&self, kind: Kind, body: &T) -> Result<Event, DutyError> {
        let body = serde_json::to_string(body)
            .map_err(|error| LedgerError(format!("the event {kind} cannot be written as JSON: {error}")))?;
        let at = self.ports.world.now();
        let draft = Draft { operation: None, op_seq: 0, epoch: self.epoch, at, kind, body, claim: Claim::Keep };
        self.ports.ledger.append(draft).await.map_err(|error| match error {
            AppendError::Unavailable(error) => DutyError::Ledger(error),
            error => DutyError::Fenced(error.to_string()),
        })
    }

    /// Shows a card: whether it was taken. What cannot be shown is logged, and the log channel tells it anyway.
    async fn show(&self, operation: &OperationId, slot: Slot, card: Card) -> bool {
        let shown = self.ports.room.show(operation, slot, &card);
        let shown = within(&*self.ports.world, self.policy.time.look, "the chat system", shown).await;
        if let Err(error) = &shown {
            tracing::warn!(%operation, %error, "a card could not be shown");
        }
        shown.is_ok()
    }
}

const NOTHING_PROPOSED: &str = "Nothing is proposed now.";

/// Where a proposal's card is: it belongs to no operation, and has its own name.
fn place(proposed: &Proposed) -> OperationId {
    OperationId::new(&*proposed.proposal)
}

/// What is open, a line each, as it is typed to acknowledge it.
fn listed(open: &[Open]) -> String {
    let line = |one: &Open| {
        let (severity, condition) = (one.severity.words(), one.condition.words());
        format!("acknowledge {}: {severity}, {condition}, operation {}", one.escalation, one.operation.short())
    };
    open.iter().map(line).collect::<Vec<_>>().join("\n")
}
