//! The fleet's book: how many instances are wanted, which there are, and the one rule by which that changes: compare
//! and swap. Nothing here starts or ends a process; it says which ones to. Who gets requests is none of its business.

mod member;

use scalebot_adapters::process::wire::{Remove, Room, Scale};
use scalebot_commands::ports::{FleetState, Instance, InstanceState};
use scalebot_commands::units::{InstanceId, OperationId, Replicas, Timestamp};

pub(super) use self::member::{Member, Order, Starting};

/// Why an order changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// Something is not as the order says.
    Conflict(String),
    /// The world will not.
    Refused(String),
}

/// What carrying out an order leaves to do.
#[derive(Debug, Default)]
pub(super) struct Changed {
    /// To be started.
    pub(super) starting: Vec<Starting>,
    /// Taken out at once: there was no process behind these any more.
    pub(super) taken_out: Vec<InstanceId>,
}

/// An order that changes the count.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    Scale(Scale),
    Remove(Remove),
}

impl Change {
    fn operation(&self) -> &OperationId {
        match self {
            Self::Scale(order) => &order.operation,
            Self::Remove(order) => &order.operation,
        }
    }

    /// What it says about the fleet that it was made for: which one, how many are wanted, and the version.
    fn made_for(&self) -> (&str, Replicas, &str) {
        match self {
            Self::Scale(order) => (&order.identity, order.from, &order.version),
            Self::Remove(order) => (&order.identity, order.from, &order.version),
        }
    }
}

/// The fleet as wanted and as it is.
#[derive(Debug)]
pub(super) struct Book {
    identity: String,
    wanted: u32,
    generation: u64,
    revision: u64,
    last: Option<Change>,
    changed_at: Timestamp,
    room: u32,
    started: u32,
    closed: bool,
    members: Vec<Member>,
}

impl Book {
    /// A fleet of no instance yet, in a place that holds `room` of them.
    pub(super) fn new(identity: String, room: u32, now: Timestamp) -> Self {
        Self {
            identity,
            wanted: 0,
            generation: 0,
            revision: 0,
            last: None,
            changed_at: now,
            room,
            started: 0,
            closed: false,
            members: Vec::new(),
        }
    }

    /// The first instances, before anybody can order anything.
    pub(super) fn begin(&mut self, instances: u32, now: Timestamp) -> Vec<Starting> {
        self.wanted = instances;
        self.generation += 1;
        self.start(instances, now)
    }

    /// The fleet at this moment.
    pub(super) fn state(&self) -> FleetState {
        FleetState {
            identity: self.identity.clone(),
            wanted: Replicas(self.wanted),
            generation: self.generation,
            version: self.version(),
            changed_by: self.last.as_ref().map(|order| order.operation().as_str().to_owned()),
            changed_at: Some(self.changed_at),
            instances: self.members.iter().map(|member| member.seen.clone()).collect(),
        }
    }

    /// Changes the count, if everything is still as the order says. What is too many is told to stop, newest first.
    pub(super) fn scale(&mut self, order: &Scale, now: Timestamp) -> Result<Changed, Declined> {
        let (from, to) = (order.from.0, order.to.0);
        let order = Change::Scale(order.clone());
        if self.is_done(&order)? {
            return Ok(Changed::default());
        }
        if to == 0 {
            return Err(serves_nobody());
        }
        if to > from && to > self.room {
            return Err(Declined::Refused(format!("{} is used up", self.room().limit)));
        }
        self.set(to, order, now);
        if to >= from {
            return Ok(Changed { starting: self.start(to - from, now), taken_out: Vec::new() });
        }
        let leaving = self.members.iter_mut().rev().filter(|member| !member.is_leaving()).take((from - to) as usize);
        leaving.for_each(|member| member.leave("the count was lowered"));
        Ok(Changed { starting: Vec::new(), taken_out: self.take_out_the_dead() })
    }

    /// Ends exactly the named instances, if everything is still as the order says.
    pub(super) fn end_exactly(&mut self, order: &Remove, now: Timestamp) -> Result<Changed, Declined> {
        let named = &order.instances;
        let change = Change::Remove(order.clone());
        if self.is_done(&change)? {
            return Ok(Changed::default());
        }
        let fewer = u32::try_from(named.len()).ok().and_then(|fewer| order.from.0.checked_sub(fewer));
        let twice = named.iter().enumerate().any(|(at, id)| named[..at].contains(id));
        if named.is_empty() || twice || fewer != Some(order.to.0) {
            let detail = format!("The order names {} instances and wants {} of {}.", named.len(), order.to, order.from);
            return Err(Declined::Refused(detail));
        }
        if order.to == Replicas(0) {
            return Err(serves_nobody());
        }
        for id in named {
            match self.member(id) {
                None => return Err(Declined::Conflict(format!("There is no instance {id}."))),
                Some(member) if member.is_leaving() => {
                    return Err(Declined::Conflict(format!("Instance {id} is on its way out already.")));
                }
                Some(_) => {}
            }
        }
        self.set(order.to.0, change, now);
        let leaving = self.members.iter_mut().filter(|member| named.contains(&member.seen.id));
        leaving.for_each(|member| member.leave("it was told to end"));
        Ok(Changed { starting: Vec::new(), taken_out: self.take_out_the_dead() })
    }

    /// Whether this very order was the last one: then it is said once more, because the answer was lost, and is done
    /// already. Otherwise everything must still be as it says.
    fn is_done(&self, order: &Change) -> Result<bool, Declined> {
        if self.closed {
            return Err(Declined::Refused("The rehearsal's world is ending.".to_owned()));
        }
        let conflict = |detail: String| Err(Declined::Conflict(detail));
        let (identity, from, version) = order.made_for();
        if identity != self.identity {
            return conflict(format!("This is another world: {}, not {identity}.", self.identity));
        }
        if self.last.as_ref() == Some(order) {
            return Ok(true);
        }
        if from.0 != self.wanted {
            let by = self.last.as_ref().map_or_else(String::new, |last| format!(", set by {}", last.operation()));
            return conflict(format!("The count is {}{by}, not {from}.", self.wanted));
        }
        if version != self.version() {
            return conflict(format!("The fleet is at version {}, not {version}.", self.version()));
        }
        Ok(false)
    }

    fn set(&mut self, to: u32, order: Change, now: Timestamp) {
        self.wanted = to;
        self.generation += 1;
        self.revision += 1;
        self.changed_at = now;
        self.last = Some(order);
    }

    fn version(&self) -> String {
        format!("{}.{}", self.generation, self.revision)
    }

    fn start(&mut self, count: u32, now: Timestamp) -> Vec<Starting> {
        let started = (0..count).map(|_| {
            self.started += 1;
            let (member, starting) = Member::new(self.started, now);
            self.members.push(member);
            starting
        });
        started.collect()
    }

    /// Takes out those on their way out behind which there is no process: nobody else will.
    fn take_out_the_dead(&mut self) -> Vec<InstanceId> {
        let dead = |member: &Member| member.is_leaving() && !member.has_process();
        let taken = self.members.iter().filter(|member| dead(member)).map(|member| member.seen.id.clone()).collect();
        self.members.retain(|member| !dead(member));
        taken
    }

    /// How many more instances fit.
    pub(super) fn room(&self) -> Room {
        let held = u32::try_from(self.members.len()).unwrap_or(u32::MAX).max(self.wanted);
        Room {
            free: Replicas(self.room.saturating_sub(held)),
            limit: format!("the rehearsal's room for {} instances", self.room),
        }
    }

    /// The instance of that name.
    pub(super) fn member(&self, id: &InstanceId) -> Option<&Member> {
        self.members.iter().find(|member| member.seen.id == *id)
    }

    /// Every instance.
    pub(super) fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Whether there is an instance of that name, or was one.
    pub(super) fn knew(&self, id: &InstanceId) -> bool {
        (1..=self.started).any(|number| id.as_str() == format!("api-{number}"))
    }

    /// Enters what is seen of an instance. One on its way out stays so, whatever is seen.
    pub(super) fn see(&mut self, id: &InstanceId, state: InstanceState, detail: Option<String>) {
        let Some(member) = self.members.iter_mut().find(|member| member.seen.id == *id) else { return };
        if member.is_leaving() || (member.seen.state, &member.seen.detail) == (state, &detail) {
            return;
        }
        // Words alone are no change that an order would have to know of.
        self.revision += u64::from(member.seen.state != state);
        member.seen.state = state;
        member.seen.detail = detail;
    }

    /// Enters who is there where somebody else keeps the fleet.
    pub(super) fn mirror(&mut self, instances: Vec<Instance>) {
        self.members = instances.into_iter().map(Member::elsewhere).collect();
    }

    /// Enters where an instance is reached.
    pub(super) fn reached_at(&mut self, id: &InstanceId, address: String) {
        if let Some(member) = self.members.iter_mut().find(|member| member.seen.id == *id) {
            member.seen.address = Some(address);
            self.revision += 1;
        }
    }

    /// Takes an instance out, its process being gone on our order.
    pub(super) fn remove(&mut self, id: &InstanceId) {
        self.members.retain(|member| member.seen.id != *id);
        self.revision += 1;
    }

    /// Tells the process behind an instance; `false` when there is no such process.
    pub(super) fn tell(&self, id: &InstanceId, order: Order) -> bool {
        self.member(id).is_some_and(|member| member.tell(order))
    }

    /// Lets nobody change the count any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether any instance still has a process.
    pub(super) fn has_processes(&self) -> bool {
        self.members.iter().any(Member::has_process)
    }
}

fn serves_nobody() -> Declined {
    Declined::Refused("A fleet of no instance serves nobody.".to_owned())
}

#[cfg(test)]
mod tests;
