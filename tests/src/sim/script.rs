//! The script of a run: what happens in the world, drawn from the seed, and what people do about what they see.

use std::time::Duration;

use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::{CancelRequested, PersonsAnswer, Signal};
use scalebot_commands::ports::{HaltReading, InstanceState};
use scalebot_commands::request::{Direction, Request};
use scalebot_commands::units::{Person, Replicas};

use super::model::{Happening, Model};
use super::ports::is;

pub(super) fn cancel() -> Signal {
    Signal::Cancel(CancelRequested { by: Person::new("operator") })
}

impl Model {
    /// Writes the whole script into the agenda.
    pub(super) fn draw_script(&mut self) {
        self.at(Duration::ZERO, Happening::Start);
        let calm = self.between(20_000, 200_000);
        self.at(calm, Happening::Calm);
        let longest = calm.as_millis() as u64;
        for number in 0..self.dice.u64(1..=3) {
            let at = if number == 0 { self.between(100, 3_000) } else { self.between(0, longest) };
            let reason = self.dice.bool().then(|| "expected load".to_owned());
            let count = self.fleet.wanted;
            let change = |direction, to| Request::Change { direction, to: Replicas(to), target: None, reason };
            let request = match self.dice.u32(..100) {
                0..5 => change(Direction::Up, count),
                5..45 => change(Direction::Up, count + self.dice.u32(1..=count)),
                45..80 => change(Direction::Down, self.dice.u32(1..count)),
                _ => Request::Rollback { target: None, reason: None },
            };
            self.at(at, Happening::Command(request, Person::new("operator")));
        }
        let rare = |model: &mut Self, in_a_thousand: u32, happening: Happening| {
            if model.chance(in_a_thousand) {
                let at = model.between(0, longest);
                model.at(at, happening);
            }
        };
        for source in 0..2 {
            rare(self, 150, Happening::Halt(source, true));
            rare(self, 150, Happening::Halt(source, false));
        }
        if self.chance(150) {
            // Halted from the beginning, as every source says.
            let at = self.between(0, 500);
            for source in 0..2 {
                self.at(at, Happening::Halt(source, true));
            }
        }
        rare(self, 200, Happening::Others(1));
        rare(self, 200, Happening::Others(-1));
        rare(self, 30, Happening::Replace);
        for number in 1..=self.fleet.wanted {
            rare(self, 60, Happening::Instance(format!("i{number}"), InstanceState::Failed));
            rare(self, 120, Happening::Work(format!("i{number}"), true));
            rare(self, 120, Happening::Work(format!("i{number}"), false));
        }
        rare(self, 200, Happening::Signal(None, cancel()));
        rare(self, 200, Happening::Kill);
        rare(self, 250, Happening::Usurp);
        self.draw_steering(longest);
    }

    pub(super) fn halt(&mut self, source: usize, halted: bool) {
        let (now, wall) = (self.now, self.wall());
        let Some(halt) = self.halts.get_mut(source) else { return };
        if halt.reading.halted != halted {
            let cleared_at = if halted { halt.reading.cleared_at } else { Some(wall) };
            halt.reading = HaltReading { halted, since: halted.then_some(wall), reason: None, cleared_at };
            halt.since = now;
        }
    }

    /// People see an event, in the channel or on a card, and some of them do something.
    pub(super) fn people_react(&mut self, event: &Event) {
        let Some(operation) = event.operation.clone() else { return };
        let asks = [Kind::ApprovalRequested, Kind::WayBackAsked, Kind::HaltOffered];
        if asks.iter().any(|kind| is(event, *kind)) {
            let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
            let request = body["digest"].as_str().unwrap_or_default().to_owned();
            let reason = self.dice.bool().then(|| "it has to be".to_owned());
            let vote =
                |by: &str, mark| Ballot { by: Person::new(by), mark, request: request.clone(), reason: reason.clone() };
            for (in_a_thousand, by, mark) in [
                // Whoever is offered to halt is mostly quick.
                (if is(event, Kind::HaltOffered) { 900 } else { 600 }, "lead", Mark::Approve),
                (100, "lead2", Mark::Reject),
                (150, "operator", Mark::Approve),
                (150, "viewer", Mark::Approve),
            ] {
                if self.chance(in_a_thousand) {
                    let longest = if is(event, Kind::HaltOffered) { 40_000 } else { 240_000 };
                    let (at, later) = (self.between(0, longest), self.between(0, 60_000));
                    let operation = Some(operation.clone());
                    self.after(at, Happening::Signal(operation.clone(), Signal::Cast(vote(by, mark))));
                    if self.chance(100) {
                        self.after(at + later, Happening::Signal(operation, Signal::Withdrawn(vote(by, mark))));
                    }
                }
            }
        }
        if is(event, Kind::Verified) && self.people.attended && self.chance(700) {
            let at = self.between(0, 180_000);
            let answer = PersonsAnswer { by: Person::new("operator"), text: "I looked".to_owned() };
            self.after(at, Happening::Signal(Some(operation), Signal::Attest(answer)));
        } else if is(event, Kind::Assessed) && self.people.attended && self.chance(500) {
            let at = self.between(0, 180_000);
            let answer = PersonsAnswer { by: Person::new("operator"), text: "noon".to_owned() };
            self.after(at, Happening::Signal(Some(operation), Signal::Reason(answer)));
        }
    }
}
