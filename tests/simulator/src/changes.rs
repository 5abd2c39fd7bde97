//! The invariants of going down and back: who is ended was announced, is out of the balancer and has nothing under way;
//! nobody who was there before is ended on the way back; and a way back is never left half done without being named.
//! Where the orchestrator ends whom it likes: no more are ended than was announced, and none that was there before is cut off.

use std::time::Duration;

use scalebot_commands::event::Kind;
use scalebot_commands::journal::GUARD_LIMIT;
use scalebot_commands::ports::{InstanceState, RemoveOrder, ScaleOrder};
use scalebot_commands::units::{InstanceId, OperationId};
use serde_json::Value;

use super::fleet::SimFleet;
use super::model::Model;
use super::steering::SeenSteering;

/// What has been seen of one operation's changes, apart from setting the count on the way up.
#[derive(Default)]
pub(super) struct Changes {
    /// Everybody that any plan has named to be taken away.
    victims: Vec<String>,
    /// Whether it is planned that nobody can be named.
    unnamed: bool,
    /// Of every plan, the count to go back to and who was there.
    plans: Vec<(u64, Vec<String>)>,
    /// Whether the way back was begun, and whether it was recorded how it ended.
    way_back: Option<bool>,
    /// What became of the way back, in words, where it was not finished.
    not_back: Option<String>,
    /// Who else steers.
    pub(super) steering: SeenSteering,
}

fn texts(value: &Value) -> Vec<String> {
    let all = value.as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|text| text.as_str().map(ToOwned::to_owned)).collect()
}

impl Changes {
    pub(super) fn planned(&mut self, body: &Value) {
        let plan = &body["plan"];
        self.steering.planned(plan);
        self.unnamed |= plan["unnamed"].is_string();
        let victims = plan["victims"].as_array().map(Vec::as_slice).unwrap_or_default();
        self.victims.extend(victims.iter().filter_map(|one| one["instance"].as_str().map(ToOwned::to_owned)));
        if let Some(to) = plan["rollback_to"].as_u64() {
            self.plans.push((to, texts(&plan["present"])));
        }
    }

    /// What an event of the operation says; what is wrong about it, and what it counts as.
    pub(super) fn appended(
        &mut self,
        kind: Kind,
        body: &Value,
        fleet: &SimFleet,
    ) -> (Option<String>, Option<&'static str>) {
        let tally = match kind {
            Kind::Drained => drained(body),
            Kind::Terminated => {
                let there = |id: &String| fleet.instances.iter().any(|one| one.shown.id.as_str() == id);
                let all = texts(&body["instances"]);
                let late = texts(&body["still_there"]);
                if all.len() > 1 && body["interference"].is_null() {
                    return (Some(format!("one was to end, and these have: {all:?}")), None);
                }
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
            Kind::HaltAnswered => "halt answered",
            Kind::HaltingAnswered => "halted by a lead",
            Kind::Overridden => "overridden",
            Kind::Interference => "interference",
            Kind::WayBackAsked => "asked for the way back",
            Kind::TerminatingAnswered if body["result"] == "done" && body["adopted"] == true => "termination adopted",
            Kind::ReadmittingAnswered if body["result"] == "done" => "put back",
            Kind::DrainingAnswered if body["adopted"] == true => "draining adopted",
            _ => return (None, None),
        };
        (None, Some(tally))
    }

    /// An order leaves that follows from such an intent. What is wrong about whom it is about, and where it leads.
    pub(super) fn acts(&self, kind: Kind, body: &Value) -> Option<String> {
        let named = texts(&body["instances"]);
        let announced = named.iter().all(|id| self.victims.contains(id));
        if kind == Kind::Terminating && !announced {
            return Some("somebody is ended who was not announced".to_owned());
        }
        let fewer = body["from"].as_u64().zip(body["to"].as_u64()).map(|(from, to)| from.saturating_sub(to));
        if kind == Kind::Terminating && named.is_empty() && !(self.unnamed && fewer == Some(1)) {
            return Some("more than one is ended at a time, or nobody was named where somebody could be".to_owned());
        }
        if kind != Kind::RollingBack || self.plans.is_empty() {
            return None;
        }
        if !self.plans.iter().any(|(to, _)| body["to"] == *to) {
            return Some("the way back leads to another count than planned".to_owned());
        }
        let new = |(_, present): &(u64, Vec<String>)| !named.iter().any(|id| present.contains(id));
        (!self.plans.iter().any(new)).then(|| "somebody is ended on the way back who was there before".to_owned())
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
    /// Instances are ended on our order, which left then, at this moment: nobody who gets requests, and on the way down nobody
    /// with any. A load balancer's order has no "only if it is still so": who was let in by somebody since is not our fault.
    pub(super) fn judge_removal(&mut self, order: &RemoveOrder, left: Duration) {
        let mut wrong = Vec::new();
        for one in self.fleet.instances.iter().filter(|one| order.instances.contains(&one.shown.id)) {
            if one.let_in.is_some_and(|let_in| let_in + GUARD_LIMIT > left) {
                continue;
            }
            let alive = one.shown.state != InstanceState::Failed;
            if one.shown.state == InstanceState::Ready && !one.drained {
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

    /// Those ended on an order which left then and named nobody, each with since when it worked on something. Whoever was
    /// there before is not cut off from what the guard was to see.
    pub(super) fn judge_chosen(
        &mut self,
        order: &ScaleOrder,
        left: Duration,
        ended: Vec<(InstanceId, Option<Duration>)>,
    ) {
        let mut wrong = Vec::new();
        if ended.len() > order.from.0.saturating_sub(order.to.0) as usize {
            wrong.push(format!("{} are ended by an order from {} to {}", ended.len(), order.from, order.to));
        }
        for (id, since) in ended {
            let before = self.judge.changes(&order.operation).is_some_and(|seen| seen.was_present(id.as_str()));
            if before && since.is_some_and(|since| since + GUARD_LIMIT <= left) {
                wrong.push(format!("{id} may be ended while it works on something"));
            }
        }
        self.judge.violations.extend(wrong);
    }
}
