//! What an operation announced, and what it did: every order that leaves is what an intent named that stands in the log,
//! once, and every intent is answered before the next one and before the end.

use std::time::Duration;

use scalebot_commands::event::{Event, Kind};
use scalebot_commands::journal::Fence;
use scalebot_commands::units::Epoch;
use serde::Serialize;
use serde_json::{Value, json};

use super::HaltRead;
use crate::model::Ordered;

/// An intent as it stands in the log, with what whoever wrote it had read of the halt by then.
pub(crate) struct Intent {
    pub(crate) kind: Kind,
    pub(crate) body: Value,
    pub(crate) process: usize,
    pub(crate) epoch: Epoch,
    pub(crate) op_seq: u64,
    pub(crate) at: Duration,
    /// Of each source, the last that was read.
    pub(crate) halt: Vec<Option<HaltRead>>,
    pub(crate) acted: bool,
    answered: bool,
}

/// Every intent of one operation, oldest first.
#[derive(Default)]
pub(crate) struct Effects(Vec<Intent>);

fn answered_by(intent: Kind) -> Option<Kind> {
    Some(match intent {
        Kind::Scaling => Kind::ScalingAnswered,
        Kind::Draining => Kind::DrainingAnswered,
        Kind::Readmitting => Kind::ReadmittingAnswered,
        Kind::Terminating => Kind::TerminatingAnswered,
        Kind::RollingBack => Kind::RollingBackAnswered,
        Kind::Holding => Kind::HoldingAnswered,
        Kind::Releasing => Kind::ReleasingAnswered,
        Kind::Halting => Kind::HaltingAnswered,
        _ => return None,
    })
}

/// Whether events of that kind say what became of an intent.
pub(crate) fn is_answer(kind: Kind) -> bool {
    kind.as_str().ends_with("ing_answered") || matches!(kind, Kind::RollingBackAnswered)
}

impl Intent {
    /// Whether it needs the absence of a halt, or an approval: everything but what puts something right.
    pub(crate) fn is_guarded(&self) -> bool {
        match self.kind {
            Kind::Scaling | Kind::Holding | Kind::Terminating => true,
            Kind::Draining | Kind::Readmitting => self.body["way_back"] != true,
            _ => false,
        }
    }

    /// Whether that order is exactly what it names.
    fn names(&self, order: &Ordered) -> bool {
        fn same(named: &Value, ordered: &impl Serialize) -> bool {
            serde_json::to_value(ordered).is_ok_and(|ordered| ordered == *named)
        }
        let body = &self.body;
        let counts = |identity: &str, from: u32, to: u32, version: &str| {
            body["identity"] == identity && body["from"] == from && body["to"] == to && body["version"] == version
        };
        match (order, self.kind) {
            (Ordered::Scale(order), Kind::Scaling | Kind::Terminating | Kind::RollingBack) => {
                counts(&order.identity, order.from.0, order.to.0, &order.version)
                    && body["instances"].as_array().is_none_or(Vec::is_empty)
            }
            (Ordered::Remove(order), Kind::Terminating | Kind::RollingBack) => {
                counts(&order.identity, order.from.0, order.to.0, &order.version)
                    && same(&body["instances"], &order.instances)
            }
            (Ordered::Route(order), Kind::Draining | Kind::Readmitting) => {
                body["instance"] == order.instance.as_str()
                    && body["receives"] == order.receives
                    && order.receives == (self.kind == Kind::Readmitting)
            }
            (Ordered::Hold(order), Kind::Holding) => same(&body["hold"], &order.hold),
            (Ordered::Release(order), Kind::Releasing) => same(&body["held"], &order.held),
            (Ordered::Halt(order), Kind::Halting) => body["message"] == json!(order.message),
            _ => false,
        }
    }
}

impl Effects {
    /// An event of the operation. What is wrong about it.
    pub(crate) fn appended(
        &mut self,
        (kind, event, body): (Kind, &Event, &Value),
        process: usize,
        at: Duration,
        halt: impl FnOnce() -> Vec<Option<HaltRead>>,
    ) -> Option<String> {
        let open = self.open().map(|intent| intent.kind);
        if answered_by(kind).is_some() {
            self.0.push(Intent {
                kind,
                body: body.clone(),
                process,
                epoch: event.epoch,
                op_seq: event.op_seq,
                at,
                halt: halt(),
                acted: false,
                answered: false,
            });
            return open.map(|before| format!("an intent ({kind}) follows one that was not answered ({before})"));
        }
        if kind == Kind::Finished {
            return open.map(|open| format!("it ends, and an intent was not answered ({open})"));
        }
        if !is_answer(kind) || body["result"] == "stopped" {
            return None;
        }
        if body["step"].as_str().is_some_and(|step| step.ends_with("/found")) {
            let known = self.0.iter().any(|intent| answered_by(intent.kind) == Some(kind));
            return (!known).then(|| format!("{kind} was found, and no intent was before it"));
        }
        match self.0.last_mut().filter(|last| !last.answered && answered_by(last.kind) == Some(kind)) {
            Some(intent) => {
                intent.answered = true;
                None
            }
            None => Some(format!("{kind}, and no intent waits for it")),
        }
    }

    /// The intent that nothing has answered yet.
    pub(crate) fn open(&self) -> Option<&Intent> {
        self.0.last().filter(|last| !last.answered)
    }

    /// The last one.
    pub(crate) fn last(&self) -> Option<&Intent> {
        self.0.last()
    }

    /// An order leaves: the intent that it follows from, and what is wrong about that.
    pub(crate) fn acts(
        &mut self,
        process: usize,
        order: &Ordered,
        fence: &Fence<'_>,
    ) -> Result<(&Intent, Vec<String>), String> {
        // A process that was overtaken a moment ago may still act on what it announced before.
        let intent = self.0.iter_mut().rev().find(|intent| intent.process == process);
        let intent = intent.ok_or("an act without an intent")?;
        if !intent.names(order) {
            return Err(format!("an act that no intent names: the last one is {} {}", intent.kind, intent.body));
        }
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(what.to_owned());
            }
        };
        must(!intent.acted, "one intent is acted on twice");
        must(!intent.answered, "it acts on an intent that was answered");
        must(intent.epoch == fence.epoch(), "the fence is of another epoch than the intent");
        must(fence.operation() == order.operation(), "the fence is another operation's");
        intent.acted = true;
        Ok((intent, wrong))
    }
}
