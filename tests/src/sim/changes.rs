//! The invariants of going down and back: who is ended was announced, is out of the balancer and has nothing under way;
//! nobody who was there before is ended on the way back; and a way back is never left half done without being named.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_commands::approval::BoundHalt;
use scalebot_commands::event::Kind;
use scalebot_commands::halt::SourceSays;
use scalebot_commands::journal::{Fence, GUARD_LIMIT};
use scalebot_commands::ports::{InstanceState, RemoveOrder};
use scalebot_commands::units::{Epoch, InstanceId, OperationId};
use serde_json::Value;

use super::fleet::SimFleet;
use super::model::{Model, Ordered, SimHalt};
use super::steering::SeenSteering;

/// What has been seen of one operation's changes, apart from setting the count on the way up.
#[derive(Default)]
pub(super) struct Changes {
    /// Everybody that any plan has named to be taken away.
    victims: Vec<String>,
    /// Of every plan, the count and who was there.
    plans: Vec<(u64, Vec<String>)>,
    /// What was intended last, by what it is about.
    intents: BTreeMap<(Kind, String), Intent>,
    /// Whether the way back was begun, and whether it was recorded how it ended.
    way_back: Option<bool>,
    /// What became of the way back, in words, where it was not finished.
    not_back: Option<String>,
    /// Who else steers.
    pub(super) steering: SeenSteering,
}

struct Intent {
    body: Value,
    process: usize,
    epoch: Epoch,
    read_at: Option<Duration>,
    acted: bool,
}

/// What is known of the world when an order leaves.
pub(super) struct Known<'a, 'f> {
    pub(super) now: Duration,
    pub(super) halts: &'a [SimHalt],
    pub(super) fence: &'a Fence<'f>,
    pub(super) cancelled: bool,
    pub(super) approved: &'a [String],
    pub(super) asked: &'a BTreeMap<String, Vec<BoundHalt>>,
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect()
}

impl Changes {
    pub(super) fn planned(&mut self, body: &Value) {
        let plan = &body["plan"];
        self.steering.planned(plan);
        let victims = plan["victims"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.victims.extend(victims.iter().filter_map(|one| one["instance"].as_str().map(ToOwned::to_owned)));
        if let Some(from) = plan["from"].as_u64() {
            self.plans.push((from, texts(&plan["present"])));
        }
    }

    /// What an event of the operation says; what is wrong about it, and what it counts as.
    pub(super) fn appended(
        &mut self,
        kind: Kind,
        body: &Value,
        (process, epoch, _, read_at): (usize, Epoch, Duration, Option<Duration>),
        fleet: &SimFleet,
    ) -> (Option<String>, Option<&'static str>) {
        let about = match kind {
            Kind::Draining | Kind::Readmitting => body["instance"].as_str().unwrap_or_default().to_owned(),
            Kind::Terminating | Kind::RollingBack => "count".to_owned(),
            Kind::Holding => body["hold"]["name"].as_str().unwrap_or_default().to_owned(),
            Kind::Releasing => body["held"]["name"].as_str().unwrap_or_default().to_owned(),
            Kind::Drained => return (None, Some(drained(body))),
            Kind::Terminated => {
                let there = |id: &String| fleet.instances.iter().any(|one| one.shown.id.as_str() == id);
                let all = texts(&body["instances"]);
                let late = texts(&body["still_there"]);
                let wrong = all.iter().find(|id| there(id) && !late.contains(id));
                let wrong = wrong.map(|id| format!("{id} is said to be gone, and is there"));
                return (wrong, Some("terminated"));
            }
            Kind::WayBack => {
                let taken = matches!(body["decided"].as_str(), Some("automatic" | "agreed"));
                self.way_back = taken.then_some(false);
                return (None, None);
            }
            Kind::RolledBack => {
                self.way_back = Some(true);
                let done = body["done"] == true;
                self.not_back = (!done).then(|| body["problem"].as_str().unwrap_or_default().to_owned());
                return (None, Some(if done { "rolled back" } else { "not rolled back" }));
            }
            Kind::HoldingAnswered | Kind::ReleasingAnswered => return (None, self.steering.appended(kind, body)),
            Kind::HaltAnswered => return (None, Some("halt answered")),
            Kind::HaltingAnswered => return (None, Some("halted by a lead")),
            Kind::Overridden => return (None, Some("overridden")),
            Kind::Interference => return (None, Some("interference")),
            Kind::TerminatingAnswered if body["result"] == "done" && body["adopted"] == true => {
                return (None, Some("termination adopted"));
            }
            Kind::ReadmittingAnswered if body["result"] == "done" => return (None, Some("put back")),
            _ => return (None, None),
        };
        let intent = Intent { body: body.clone(), process, epoch, read_at, acted: false };
        self.intents.insert((kind, about), intent);
        (None, None)
    }

    fn intent_of(&mut self, process: usize, order: &Ordered) -> Option<(Kind, &mut Intent)> {
        let keys: Vec<(Kind, String)> = match order {
            Ordered::Route(order) => {
                let kind = if order.receives { Kind::Readmitting } else { Kind::Draining };
                vec![(kind, order.instance.as_str().to_owned())]
            }
            Ordered::Remove(_) => {
                vec![(Kind::RollingBack, "count".to_owned()), (Kind::Terminating, "count".to_owned())]
            }
            Ordered::Hold(order) => vec![(Kind::Holding, order.hold.name.clone())],
            Ordered::Release(order) => vec![(Kind::Releasing, order.held.name.clone())],
            Ordered::Scale(_) => vec![(Kind::RollingBack, "count".to_owned())],
        };
        let key = keys.into_iter().find(|key| self.intents.get(key).is_some_and(|intent| intent.process == process))?;
        let kind = key.0;
        self.intents.get_mut(&key).map(|intent| (kind, intent))
    }

    /// Whether an order follows from one of these intents.
    pub(super) fn is_theirs(&mut self, process: usize, order: &Ordered) -> bool {
        self.intent_of(process, order).is_some()
    }

    /// An order leaves. What is wrong about that.
    pub(super) fn acts(&mut self, process: usize, order: &Ordered, known: &Known<'_, '_>) -> Vec<String> {
        let (victims, plans) = (self.victims.clone(), self.plans.clone());
        let may_change = self.steering.may_change();
        let Some((kind, intent)) = self.intent_of(process, order) else {
            return vec![format!("{order} leaves, and no intent names it")];
        };
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{order}: {what}"));
            }
        };
        must(!intent.acted, "one intent is acted on twice");
        intent.acted = true;
        must(intent.epoch == known.fence.epoch(), "the fence is of another epoch than the intent");
        let body = &intent.body;
        if let Ordered::Remove(order) = order {
            let named: Vec<&str> = order.instances.iter().map(InstanceId::as_str).collect();
            must(texts(&body["instances"]) == named, "others are ended than the intent names");
            if kind == Kind::Terminating {
                must(named.iter().all(|id| victims.iter().any(|victim| victim == id)), "was not announced");
            } else {
                let new = |present: &[String]| !named.iter().any(|id| present.iter().any(|there| there == id));
                let known = |(from, present): &(u64, Vec<String>)| body["to"] == *from && new(present);
                must(plans.is_empty() || plans.iter().any(known), "was there before, or leads to another count");
            }
        } else if kind == Kind::RollingBack {
            let known = plans.is_empty() || plans.iter().any(|(from, _)| body["to"] == *from);
            must(known, "the way back leads to another count than planned");
        }
        must(may_change || order.is_steering(), "somebody steers who was to be held still before");
        let on_the_way_back = matches!(kind, Kind::RollingBack | Kind::Releasing) || body["way_back"] == true;
        if on_the_way_back {
            return wrong;
        }
        must(!known.cancelled, "it acts although it was cancelled");
        let age = intent.read_at.map(|read_at| known.now - read_at);
        must(age.is_some_and(|age| age <= GUARD_LIMIT), "the guard's reading of the halt is too old");
        let halt: Vec<SourceSays> = serde_json::from_value(body["halt"].clone()).unwrap_or_default();
        match body["approval"].as_str() {
            None => {
                must(
                    !halt.iter().any(|says| says.says.known().is_none_or(|says| says.halted)),
                    "the guard read a halt",
                );
                let halted = known.halts.iter().any(|halt| halt.reading.halted && known.now - halt.since > GUARD_LIMIT);
                must(!halted, "it acts during a halt of more than 2 s, without approval");
            }
            Some(digest) => {
                must(known.approved.iter().any(|approved| approved == digest), "its approval was not given");
                must(known.asked.get(digest) == Some(&BoundHalt::of(&halt)), "the halt is not the one approved");
            }
        }
        wrong
    }

    /// What is wrong when the operation has ended.
    pub(super) fn ended(&self, operation: &OperationId, body: &Value, fleet: &SimFleet) -> Vec<String> {
        let mut wrong = Vec::new();
        let reason = body["reason"].as_str().unwrap_or_default();
        match (self.way_back, &self.not_back) {
            (Some(false), _) => wrong.push("a way back was begun, and how it ended is not recorded".to_owned()),
            (Some(true), Some(problem)) if !reason.contains(problem.as_str()) => {
                wrong.push(format!("a way back was not finished, and its end does not say so: {reason}"));
            }
            _ => {}
        }
        if body["outcome"] == "rolled_back" && (self.way_back != Some(true) || self.not_back.is_some()) {
            wrong.push("it is said to be taken back, and it was not".to_owned());
        }
        let ours = fleet.instances.iter().filter(|one| one.drained && one.routed_by.as_ref() == Some(operation));
        for one in ours.filter(|one| !reason.contains(one.shown.id.as_str())) {
            wrong.push(format!("{} gets no requests because of it, and its end does not say so", one.shown.id));
        }
        wrong
    }

    pub(super) fn was_present(&self, id: &str) -> bool {
        self.plans.iter().any(|(_, present)| present.iter().any(|there| there == id))
    }
}

fn drained(body: &Value) -> &'static str {
    match body["ended"].as_str() {
        Some("idle") => "drained",
        Some("still_busy") => "not drained in time",
        Some("cancelled") => "drain cancelled",
        _ => "drained otherwise",
    }
}

impl Model {
    /// Instances are ended on our order, at this moment: nobody who gets requests, and on the way down nobody with any.
    pub(super) fn judge_removal(&mut self, order: &RemoveOrder) {
        let mut wrong = Vec::new();
        for one in self.fleet.instances.iter().filter(|one| order.instances.contains(&one.shown.id)) {
            let alive = one.shown.state != InstanceState::Failed;
            if alive && !one.drained {
                wrong.push(format!("{} is ended while it gets requests", one.shown.id));
            }
            let before =
                self.judge.changes(&order.operation).is_some_and(|seen| seen.was_present(one.shown.id.as_str()));
            if alive && before && (one.in_flight > 0 || !one.work.is_empty()) {
                wrong.push(format!("{} is ended with requests under way", one.shown.id));
            }
        }
        self.judge.violations.extend(wrong);
    }
}
