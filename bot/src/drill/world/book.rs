//! The fleet's book: how many instances are wanted, which there are, and the one rule by which the count changes:
//! compare and swap. Nothing here starts or ends a process; it says which ones to.

use scalebot_adapters::process::wire::{Room, Scale};
use scalebot_commands::ports::{FleetState, Instance, InstanceState};
use scalebot_commands::units::{InstanceId, Replicas, Timestamp};
use tokio::sync::mpsc;

/// What the process behind an instance can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// End it once its last request is answered.
    Stop,
    /// End it at once, as a crash would.
    Kill,
}

/// One instance.
#[derive(Debug)]
pub(super) struct Member {
    /// As the fleet sees it.
    pub(super) seen: Instance,
    /// Whether the forwarder was told to leave it out.
    pub(super) drained: bool,
    /// Requests sent to it.
    pub(super) requests: u64,
    /// Of these, not answered yet.
    pub(super) in_flight: u32,
    orders: mpsc::UnboundedSender<Order>,
}

impl Member {
    /// Whether new requests go to it.
    pub(super) fn receives(&self) -> bool {
        self.seen.state == InstanceState::Ready && !self.drained && self.seen.address.is_some()
    }

    fn is_leaving(&self) -> bool {
        self.seen.state == InstanceState::Terminating
    }
}

/// An instance that is to be started.
#[derive(Debug)]
pub(super) struct Starting {
    /// Its name.
    pub(super) id: InstanceId,
    /// Its place in the order of all instances of this world, from 1.
    pub(super) number: u32,
    /// What its process is told.
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
}

/// Why an order changed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// Something is not as the order says.
    Conflict(String),
    /// The world will not.
    Refused(String),
}

/// The fleet as wanted and as it is.
#[derive(Debug)]
pub(super) struct Book {
    identity: String,
    wanted: u32,
    generation: u64,
    revision: u64,
    last: Option<Scale>,
    changed_at: Timestamp,
    room: u32,
    started: u32,
    turn: usize,
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
            turn: 0,
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
            changed_by: self.last.as_ref().map(|order| order.operation.as_str().to_owned()),
            changed_at: Some(self.changed_at),
            instances: self.members.iter().map(|member| member.seen.clone()).collect(),
        }
    }

    /// Changes the count, if everything is still as the order says. What it adds is returned, to be started; what is
    /// too many is told to stop.
    pub(super) fn scale(&mut self, order: &Scale, now: Timestamp) -> Result<Vec<Starting>, Declined> {
        if self.closed {
            return Err(Declined::Refused("The rehearsal's world is ending.".to_owned()));
        }
        self.compare(order)?;
        if self.last.as_ref() == Some(order) {
            // Said once more, because the answer was lost: it is done already, and nobody has changed it since.
            return Ok(Vec::new());
        }
        let (from, to) = (order.from.0, order.to.0);
        if to == 0 {
            return Err(Declined::Refused("A fleet of no instance serves nobody.".to_owned()));
        }
        if to > from && to > self.room {
            return Err(Declined::Refused(format!("{} is used up", self.room().limit)));
        }
        self.wanted = to;
        self.generation += 1;
        self.revision += 1;
        self.changed_at = now;
        self.last = Some(order.clone());
        if to >= from {
            return Ok(self.start(to - from, now));
        }
        self.stop_newest(from - to);
        Ok(Vec::new())
    }

    fn compare(&self, order: &Scale) -> Result<(), Declined> {
        let conflict = |detail: String| Err(Declined::Conflict(detail));
        if order.identity != self.identity {
            return conflict(format!("This is another world: {}, not {}.", self.identity, order.identity));
        }
        if self.last.as_ref() == Some(order) {
            return Ok(());
        }
        if order.from.0 != self.wanted {
            let by = self.last.as_ref().map_or_else(String::new, |last| format!(", set by {}", last.operation));
            return conflict(format!("The count is {}{by}, not {}.", self.wanted, order.from));
        }
        if order.version != self.version() {
            return conflict(format!("The fleet is at version {}, not {}.", self.version(), order.version));
        }
        Ok(())
    }

    fn version(&self) -> String {
        format!("{}.{}", self.generation, self.revision)
    }

    fn start(&mut self, count: u32, now: Timestamp) -> Vec<Starting> {
        (0..count)
            .map(|_| {
                self.started += 1;
                let id = InstanceId::new(format!("api-{}", self.started));
                let (sender, orders) = mpsc::unbounded_channel();
                self.members.push(Member {
                    seen: Instance {
                        id: id.clone(),
                        address: None,
                        started_at: now,
                        state: InstanceState::Starting,
                        detail: Some("its process is starting".to_owned()),
                        restarts: 0,
                    },
                    drained: false,
                    requests: 0,
                    in_flight: 0,
                    orders: sender,
                });
                Starting { id, number: self.started, orders }
            })
            .collect()
    }

    fn stop_newest(&mut self, count: u32) {
        let staying = self.members.iter_mut().rev().filter(|member| !member.is_leaving());
        for member in staying.take(count as usize) {
            member.seen.state = InstanceState::Terminating;
            member.seen.detail = Some("the count was lowered".to_owned());
            // Its task may have ended already, with its process: then it takes the member out itself.
            let _ = member.orders.send(Order::Stop);
        }
        self.members.retain(|member| !(member.is_leaving() && member.orders.is_closed()));
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
    pub(super) fn members(&self) -> &[Member] {
        &self.members
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
        self.member(id).is_some_and(|member| member.orders.send(order).is_ok())
    }

    /// Tells the forwarder to leave an instance out, or to take it in again; `false` when there is none of that name.
    pub(super) fn drain(&mut self, id: &InstanceId, drained: bool) -> bool {
        let member = self.members.iter_mut().find(|member| member.seen.id == *id);
        member.map(|member| member.drained = drained).is_some()
    }

    /// The next instance in turn, counted as having got one request more; `None` when none receives.
    pub(super) fn next(&mut self) -> Option<(InstanceId, String)> {
        let count = self.members.len();
        for step in 0..count {
            let at = (self.turn + step) % count;
            let Some(member) = self.members.get_mut(at).filter(|member| member.receives()) else { continue };
            let Some(address) = member.seen.address.clone() else { continue };
            member.requests += 1;
            member.in_flight += 1;
            self.turn = (at + 1) % count;
            return Some((member.seen.id.clone(), address));
        }
        None
    }

    /// One request to that instance has ended.
    pub(super) fn answered(&mut self, id: &InstanceId) {
        if let Some(member) = self.members.iter_mut().find(|member| member.seen.id == *id) {
            member.in_flight = member.in_flight.saturating_sub(1);
        }
    }

    /// Lets nobody change the count any more.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether any instance still has a process.
    pub(super) fn has_processes(&self) -> bool {
        self.members.iter().any(|member| !member.orders.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scalebot_commands::units::OperationId;

    fn now() -> Timestamp {
        "2026-01-08T03:00:00Z".parse().unwrap()
    }

    /// A world with four ready instances, and what their processes are told.
    fn four() -> (Book, Vec<Starting>) {
        let mut book = Book::new("boot-1".to_owned(), 8, now());
        let started = book.begin(4, now());
        for (port, Starting { id, .. }) in (9001..).zip(&started) {
            book.reached_at(id, format!("127.0.0.1:{port}"));
            book.see(id, InstanceState::Ready, None);
        }
        (book, started)
    }

    fn order(book: &Book, from: u32, to: u32, operation: &str) -> Scale {
        Scale {
            identity: "boot-1".to_owned(),
            from: Replicas(from),
            to: Replicas(to),
            version: book.state().version,
            operation: OperationId::new(operation),
        }
    }

    fn names(book: &Book) -> Vec<String> {
        book.members().iter().map(|member| member.seen.id.to_string()).collect()
    }

    #[test]
    fn the_same_order_twice_is_one_change() {
        let (mut book, _started) = four();
        let up = order(&book, 4, 6, "op-1");
        assert_eq!(book.scale(&up, now()).unwrap().len(), 2);
        let after = book.state();
        assert_eq!((after.wanted, after.generation, after.changed_by.as_deref()), (Replicas(6), 2, Some("op-1")));

        assert!(book.scale(&up, now()).unwrap().is_empty());
        assert_eq!(book.state(), after);
    }

    #[test]
    fn an_order_repeated_after_somebody_elses_is_a_conflict() {
        let (mut book, _started) = four();
        let mine = order(&book, 4, 6, "op-1");
        let mut running = book.scale(&mine, now()).unwrap();
        let theirs = order(&book, 6, 5, "op-2");
        running.extend(book.scale(&theirs, now()).unwrap());
        assert_eq!(
            book.scale(&mine, now()).unwrap_err(),
            Declined::Conflict("The count is 5, set by op-2, not 4.".to_owned())
        );
        assert_eq!(book.state().wanted, Replicas(5));
    }

    #[test]
    fn whatever_differs_from_the_order_is_a_conflict_and_changes_nothing() {
        let (mut book, started) = four();
        let good = order(&book, 4, 6, "op-1");
        let before = book.state();
        for wrong in [
            Scale { identity: "boot-0".to_owned(), ..good.clone() },
            Scale { from: Replicas(3), ..good.clone() },
            Scale { version: "0.0".to_owned(), ..good.clone() },
        ] {
            assert!(matches!(book.scale(&wrong, now()), Err(Declined::Conflict(_))), "{wrong:?}");
        }
        assert_eq!(book.state(), before);

        // An instance that is no longer ready is a change of something.
        book.see(&started[0].id, InstanceState::NotReady, None);
        assert!(matches!(book.scale(&good, now()), Err(Declined::Conflict(_))));
    }

    #[test]
    fn there_is_no_room_beyond_the_limit_and_no_fleet_of_none() {
        let (mut book, _started) = four();
        assert_eq!(book.room().free, Replicas(4));
        let declined = |book: &mut Book, to| {
            let order = order(book, 4, to, "op-1");
            book.scale(&order, now()).unwrap_err()
        };
        assert_eq!(
            declined(&mut book, 9),
            Declined::Refused("the rehearsal's room for 8 instances is used up".to_owned())
        );
        assert!(matches!(declined(&mut book, 0), Declined::Refused(_)));
        book.close();
        assert!(matches!(declined(&mut book, 5), Declined::Refused(_)));
    }

    #[test]
    fn lowering_the_count_ends_the_newest_and_takes_the_dead_ones_out_at_once() {
        let (mut book, mut started) = four();
        // The fourth one's process has died.
        let fourth = started.pop().unwrap();
        drop(fourth.orders);
        book.see(&fourth.id, InstanceState::Failed, Some("exited".to_owned()));

        let down = order(&book, 4, 2, "op-1");
        book.scale(&down, now()).unwrap();
        assert_eq!(names(&book), ["api-1", "api-2", "api-3"]);
        assert_eq!(book.members()[2].seen.state, InstanceState::Terminating);
        assert_eq!(started[2].orders.try_recv(), Ok(Order::Stop));
        assert!(started[1].orders.try_recv().is_err());
        // What is leaving gets no request, and does not become ready again.
        book.see(&started[2].id, InstanceState::Ready, None);
        assert!(!book.members()[2].receives());
    }

    #[test]
    fn requests_go_round_the_ready_ones_that_are_not_drained() {
        let (mut book, started) = four();
        book.drain(&started[1].id, true);
        book.see(&started[3].id, InstanceState::NotReady, None);
        let turns: Vec<String> = (0..4).filter_map(|_| book.next()).map(|(id, _)| id.to_string()).collect();
        assert_eq!(turns, ["api-1", "api-3", "api-1", "api-3"]);
        assert_eq!(book.member(&started[0].id).map(|member| (member.requests, member.in_flight)), Some((2, 2)));
        book.answered(&started[0].id);
        assert_eq!(book.member(&started[0].id).map(|member| (member.requests, member.in_flight)), Some((2, 1)));

        book.drain(&started[0].id, true);
        book.drain(&started[2].id, true);
        assert_eq!(book.next(), None);
    }
}
