//! The simulated autoscaler: in some seeds one steers the count, and can be held still. And its invariants: nothing of the
//! fleet is changed before whoever the plan names is held, and whoever is held is put back or named when the operation has ended.

use std::time::Duration;

use scalebot_commands::event::Kind;
use scalebot_commands::ports::{Bounds, Held, Hold, HoldOrder, OrderAnswer, ReleaseOrder, Steering};
use scalebot_commands::units::{OperationId, Replicas};
use serde_json::Value;

use super::model::{Happening, Model};

const NAME: &str = "hpa/api";
const WHO: &str = "the simulated autoscaler";
const COMMAND: &str = "put it back by hand";

/// The autoscaler, where there is one.
pub(super) struct SimSteering {
    is_there: bool,
    holder: Option<OperationId>,
    /// Somebody has changed it since it is held.
    changed: bool,
    version: u64,
    /// Who steered from which moment on, in order.
    past: Vec<(Duration, Vec<Steering>)>,
    /// Its own, so that a seed without one is the run that it was.
    dice: fastrand::Rng,
}

impl SimSteering {
    pub(super) fn draw(seed: u64) -> Self {
        let mut dice = fastrand::Rng::with_seed(seed ^ 0x5EED_0A07_05CA_1E12);
        let is_there = dice.u8(..4) == 0;
        let mut drawn = Self { is_there, holder: None, changed: false, version: 0, past: Vec::new(), dice };
        drawn.touched(Duration::ZERO);
        drawn
    }

    /// Anything of it has changed just now: its status, mostly.
    pub(super) fn touched(&mut self, now: Duration) {
        self.version += 1;
        self.past.push((now, self.steers()));
    }

    /// Who steered then.
    pub(super) fn steered_by(&self, moment: Duration) -> Vec<Steering> {
        self.past.iter().rev().find(|(from, _)| *from <= moment).map(|(_, steers)| steers.clone()).unwrap_or_default()
    }

    fn steers(&self) -> Vec<Steering> {
        if !self.is_there || self.holder.is_some() {
            return Vec::new();
        }
        let hold = Hold {
            name: NAME.to_owned(),
            who: WHO.to_owned(),
            identity: "1".to_owned(),
            version: self.version.to_string(),
            bounds: Some(Bounds { least: Replicas(1), most: Replicas(20) }),
            before: "as it was".to_owned(),
            how: "it is paused".to_owned(),
            undone_by: COMMAND.to_owned(),
        };
        let (effect, settled_by) = ("steers the count".to_owned(), "pause it".to_owned());
        vec![Steering { by: WHO.to_owned(), effect, settled_by, hold: Some(hold) }]
    }

    pub(super) fn held_by(&self, operation: &OperationId) -> Vec<Held> {
        let held = Held {
            name: NAME.to_owned(),
            identity: "1".to_owned(),
            version: self.version.to_string(),
            undo: "as it was".to_owned(),
            changed: self.changed.then(|| "its bounds are others".to_owned()),
        };
        if self.holder.as_ref() == Some(operation) { vec![held] } else { Vec::new() }
    }
}

impl Model {
    /// What becomes of the autoscaler in this seed, whatever the bot does.
    pub(super) fn draw_steering(&mut self, longest: u64) {
        if !self.steering.is_there {
            return;
        }
        for puts_back in [true, false] {
            if self.steering.dice.u8(..20) == 0 {
                let at = Duration::from_millis(self.steering.dice.u64(..longest));
                self.at(at, Happening::Meddle(puts_back));
            }
        }
    }

    /// Somebody puts the autoscaler back by hand, or changes it, while it is held.
    pub(super) fn meddle(&mut self, puts_back: bool) {
        if self.steering.holder.is_none() {
            return;
        }
        if puts_back {
            self.count("put back by hand");
            (self.steering.holder, self.steering.changed) = (None, false);
        } else {
            self.count("changed while it is held");
            self.steering.changed = true;
        }
        self.steering.touched(self.now);
    }

    pub(super) fn land_hold(&mut self, order: &HoldOrder) -> OrderAnswer {
        if order.hold.version != self.steering.version.to_string() || self.steering.holder.is_some() {
            return OrderAnswer::Conflict { detail: format!("version {} is in force", self.steering.version) };
        }
        if !self.calm && self.steering.dice.u8(..40) == 0 {
            return OrderAnswer::Refused { detail: "may not".to_owned() };
        }
        self.steering.holder = Some(order.operation.clone());
        self.steering.touched(self.now);
        OrderAnswer::Done
    }

    pub(super) fn land_release(&mut self, order: &ReleaseOrder) -> OrderAnswer {
        if order.held.version != self.steering.version.to_string() {
            return OrderAnswer::Conflict { detail: format!("version {} is in force", self.steering.version) };
        }
        if self.steering.holder.as_ref() != Some(&order.operation) || self.steering.changed {
            self.judge.violations.push(format!("operation {} puts back what is not its to", order.operation));
        }
        if !self.calm && self.steering.dice.u8(..40) == 0 {
            return OrderAnswer::Refused { detail: "may not".to_owned() };
        }
        self.steering.holder = None;
        self.steering.touched(self.now);
        OrderAnswer::Done
    }

    /// What is wrong when an operation has ended, or everything has come to rest: somebody is held, and nobody was told.
    pub(super) fn judge_held(&self, operation: &OperationId) -> Option<String> {
        let is_held = self.steering.holder.as_ref() == Some(operation);
        let said = self.judge.changes(operation).is_some_and(|changes| changes.steering.named);
        (is_held && !said).then(|| format!("{WHO} is held for {operation}, and its end does not say so"))
    }

    /// Whose operation holds it now.
    pub(super) fn holder(&self) -> Option<&OperationId> {
        self.steering.holder.as_ref()
    }
}

/// What has been seen of one operation about it.
#[derive(Default)]
pub(super) struct SeenSteering {
    /// Whether the last plan names it.
    planned: bool,
    held: bool,
    /// Whether the operation's end names it as not put back.
    named: bool,
}

impl SeenSteering {
    pub(super) fn planned(&mut self, plan: &Value) {
        self.planned = plan["holds"].as_array().is_some_and(|holds| holds.contains(&NAME.into()));
    }

    /// An event of the operation; what it counts as.
    pub(super) fn appended(&mut self, kind: Kind, body: &Value) -> Option<&'static str> {
        let done = body["result"] == "done";
        match kind {
            Kind::HoldingAnswered if done => {
                self.held = true;
                Some(if body["adopted"] == true { "held, as was seen" } else { "held" })
            }
            Kind::ReleasingAnswered if done => Some("released"),
            Kind::ReleasingAnswered => Some("not released"),
            Kind::Finished => {
                let reason = body["reason"].as_str().unwrap_or_default().to_lowercase();
                self.named = reason.contains(&format!("{WHO} was not put back")) && reason.contains(COMMAND);
                self.named.then_some("held to the end, and named")
            }
            _ => None,
        }
    }

    /// Whether the fleet may be changed.
    pub(super) fn may_change(&self) -> bool {
        self.held || !self.planned
    }
}
