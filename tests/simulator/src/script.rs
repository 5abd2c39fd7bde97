//! The script of a run: what happens in the world, drawn from the seed, and what people do about what they see.

use std::time::Duration;

use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::{CancelRequested, PersonsAnswer, Signal};
use scalebot_commands::ports::{HaltReading, InstanceState};
use scalebot_commands::request::{Direction, Request};
use scalebot_commands::units::{OperationId, Person, Replicas};

use super::model::{Happening, Model, Word};
use super::ports::is;

pub(super) fn cancel() -> Signal {
    Signal::Cancel(CancelRequested { by: Person::new("operator") })
}

impl Model {
    /// Writes the whole script into the agenda.
    pub(super) fn draw_script(&mut self) {
        self.at(Duration::ZERO, Happening::Start(0));
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
            // One of them leads as well, and may not approve what they ask for.
            let by = if self.dice.u8(..3) == 0 { "chief" } else { "operator" };
            self.at(at, Happening::Say(Word::Command(request, Person::new(by))));
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
        rare(self, 100, Happening::LetIn);
        for lead in ["lead", "lead2", "chief"] {
            rare(self, 80, Happening::Roles(lead, false));
            rare(self, 80, Happening::Roles(lead, true));
        }
        for _ in 0..2 {
            let long = self.between(1_000, 90_000);
            rare(self, 150, Happening::Deaf(long));
            let jump = self.a_jump();
            rare(self, 100, jump);
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
            halt.says(now, HaltReading { halted, since: halted.then_some(wall), reason: None, cleared_at });
        }
    }

    /// A wall clock is set, forwards or back, by seconds or by hours.
    pub(super) fn a_jump(&mut self) -> Happening {
        let longest = [3_000, 60_000, 600_000, 7_200_000][self.dice.usize(..4)];
        let by = self.dice.i64(1..longest);
        Happening::Jump(self.dice.usize(..4) / 3, if self.dice.u8(..3) == 0 { by } else { -by })
    }

    /// A mark on what is asked just now, or one that is taken back, by anybody.
    pub(super) fn what_people_say(&mut self) -> Option<Happening> {
        let withdrawn = self.dice.u8(..3) == 0;
        if withdrawn && !self.people.marks.is_empty() {
            let (operation, ballot) = self.people.marks[self.dice.usize(..self.people.marks.len())].clone();
            return Some(Happening::Signal(Some(operation), Signal::Withdrawn(ballot)));
        }
        // Mostly what is asked now; sometimes what was asked before.
        let newest = self.people.asked.len().checked_sub(1)?;
        let which = if self.dice.u8(..4) == 0 { self.dice.usize(..=newest) } else { newest };
        let (operation, request) = self.people.asked[which].clone();
        let by = ["lead", "lead2", "chief", "operator", "viewer", "robot"][self.dice.usize(..6)];
        let mark = if self.dice.u8(..4) == 0 { Mark::Reject } else { Mark::Approve };
        let reason = self.a_reason();
        Some(self.marks(operation, Ballot { by: Person::new(by), mark, request, reason }))
    }

    fn a_reason(&mut self) -> Option<String> {
        self.dice.bool().then(|| "it has to be".to_owned())
    }

    fn marks(&mut self, operation: OperationId, ballot: Ballot) -> Happening {
        self.people.marks.push((operation.clone(), ballot.clone()));
        Happening::Signal(Some(operation), Signal::Cast(ballot))
    }

    /// People see an event, in the channel or on a card, and some of them do something.
    pub(super) fn people_react(&mut self, event: &Event) {
        if is(event, Kind::Proposed) {
            let at = self.between(0, 60_000);
            let by = Person::new(if self.dice.u8(..5) == 0 { "viewer" } else { "operator" });
            match self.dice.u8(..4) {
                0 => self.after(at, Happening::Say(Word::Dismiss(by))),
                1 => self.after(at, Happening::Say(Word::Start(by))),
                _ => {}
            }
        }
        if self.does_duty && (is(event, Kind::Escalated) || is(event, Kind::Reescalated)) && self.chance(200) {
            let at = self.between(0, 240_000);
            let by = ["lead", "lead2", "chief", "operator", "architect"][self.dice.usize(..5)];
            self.after(at, Happening::Say(Word::Acknowledge(Person::new(by))));
        }
        let Some(operation) = event.operation.clone() else { return };
        let asks = [Kind::ApprovalRequested, Kind::WayBackAsked, Kind::HaltOffered];
        if asks.iter().any(|kind| is(event, *kind)) {
            self.people_decide(event, &operation);
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

    fn people_decide(&mut self, event: &Event, operation: &OperationId) {
        let body: serde_json::Value = serde_json::from_str(&event.body).unwrap_or_default();
        let request = body["digest"].as_str().unwrap_or_default().to_owned();
        self.people.asked.push((operation.clone(), request.clone()));
        // Whoever is offered to halt is mostly quick.
        let quick = is(event, Kind::HaltOffered);
        for (in_a_thousand, by, mark) in [
            (if quick { 900 } else { 600 }, "lead", Mark::Approve),
            (if quick { 0 } else { 400 }, "chief", Mark::Approve),
            (100, "lead2", Mark::Reject),
            (300, "lead2", Mark::Approve),
            (150, "operator", Mark::Approve),
            (100, "viewer", Mark::Approve),
            (50, "robot", Mark::Approve),
        ] {
            if !self.chance(in_a_thousand) {
                continue;
            }
            let longest = if quick { 40_000 } else { [30_000, 240_000][self.dice.usize(..2)] };
            // Some come at the last moment, or just after it.
            let shortest = if longest > 200_000 && self.dice.bool() { 160_000 } else { 0 };
            let (at, later) = (self.between(shortest, longest), self.between(0, 60_000));
            let ballot = Ballot { by: Person::new(by), mark, request: request.clone(), reason: self.a_reason() };
            let (cast, taken_back) = (self.marks(operation.clone(), ballot.clone()), Signal::Withdrawn(ballot));
            self.after(at, cast);
            if self.chance(100) {
                // Taken back, and heard of in any order.
                let when = if self.chance(200) { at.saturating_sub(later) } else { at + later };
                self.after(when, Happening::Signal(Some(operation.clone()), taken_back));
            }
        }
    }
}
