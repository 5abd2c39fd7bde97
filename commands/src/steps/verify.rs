//! Step 4: verify every instance, operationally and constitutionally, the old ones too.
//!
//! Agreement on the hash chain is proved only by comparing the same sequence numbers on every instance: each alone
//! calls its own side of a fork valid. What may still arrive (a lag, a connection not yet open) is asked again within a
//! bound; what contradicts is final at once.

mod chain;
mod instance;

use std::collections::BTreeSet;

use futures::join;
use serde::{Deserialize, Serialize};

use super::escalate::Condition;
use super::finish::Trouble;
use super::{Ending, Outcome, body, guard};
use crate::card;
use crate::checks::Status;
use crate::context::Context;
use crate::halt;
use crate::journal::{Interrupted, Journal, Recorded};
use crate::judge::{Consistency, Inconsistency};
use crate::patience::{Deadline, Stopwatch, ask_all};
use crate::ports::{Instance, InstanceState, Routed, Slot};
use crate::reading::Reading;
use crate::steps::precheck::Plan;
use crate::units::{InstanceId, Millis};

/// The body of `verified`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// What it comes to.
    pub result: Verification,
    /// Every instance with what was found.
    pub instances: Vec<Examined>,
    /// The sequence numbers at which the hash chain was compared.
    pub pinned: Vec<u64>,
    /// What is wrong or could not be told, one sentence each.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Millis,
    /// What somebody else did to the fleet since it was changed; `None` where nobody did anything.
    pub interference: Option<String>,
}

body!(Verified, Verified, 1);

/// What verification comes to, gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Verification {
    /// Everything that is configured was found as it should be.
    Passed,
    /// Something could not be told.
    Inconclusive,
    /// An instance does not do its work.
    Failing,
    /// Instances contradict each other, or the source of truth.
    Inconsistent,
}

/// One instance's findings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Examined {
    /// The instance.
    pub instance: InstanceId,
    /// Whether the plan did not find it there.
    pub new: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
}

/// One thing looked at on one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// What: "health", "ready", "routed", "keys", "halt", "chain".
    pub name: String,
    /// Whether it is a constitutional matter.
    pub constitutional: bool,
    /// What it comes to.
    pub status: Status,
    /// What was found, in words.
    pub text: String,
}

impl Finding {
    fn new(name: &str, constitutional: bool, status: Status, text: impl Into<String>) -> Self {
        Self { name: name.to_owned(), constitutional, status, text: text.into() }
    }

    fn of<T>(
        name: &str,
        constitutional: bool,
        reading: &Reading<T>,
        judge: impl FnOnce(&T) -> (Status, String),
    ) -> Self {
        let (status, text) = match reading {
            Reading::Known(value) => judge(value),
            Reading::Unknown { why, .. } if reading.is_not_served() => (Status::NotConfigured, why.clone()),
            Reading::Unknown { why, .. } => (Status::Unknown, why.clone()),
        };
        Self::new(name, constitutional, status, text)
    }

    /// An instance that was out of service before and still is: that it does not work is no news.
    fn of_one_out_of_service(&mut self) {
        if self.status == Status::Unknown || (self.status == Status::Fail && !self.constitutional) {
            self.status = Status::Warn;
        }
    }

    fn is_settled(&self) -> bool {
        matches!(self.status, Status::Pass | Status::Warn | Status::NotConfigured)
    }

    fn comes_to(&self) -> Verification {
        match self.status {
            Status::Pass | Status::Warn | Status::NotConfigured => Verification::Passed,
            Status::Unknown => Verification::Inconclusive,
            // Keys that cannot be reached are no contradiction between instances, but the instance fails its duty.
            Status::Fail if self.constitutional && self.name != "keys" => Verification::Inconsistent,
            Status::Fail => Verification::Failing,
        }
    }
}

/// Examines the fleet, asking again what may still come, until everything is settled, somebody else changes the fleet, or
/// the time for it is over. Of those that were in service when the plan was made, whoever is in `may_be_gone` may be.
pub async fn every_instance(
    cx: &Context<'_>,
    journal: &mut Journal<'_>,
    key: &str,
    slot: Slot,
    plan: &Plan,
    may_be_gone: &[InstanceId],
) -> Result<Recorded<Verified>, Interrupted> {
    let verified = journal.step(key, |_| examine(cx, plan, may_be_gone)).await?;
    cx.show(slot, card::verification(cx, &verified.body)).await;
    Ok(verified)
}

pub(super) async fn examine(cx: &Context<'_>, plan: &Plan, may_be_gone: &[InstanceId]) -> Verified {
    let world = &*cx.ports.world;
    let stopwatch = Stopwatch::since(world, world.now());
    let deadline = Deadline::after(world, world.now(), cx.policy.time.verify);
    let mut verified = look(cx, plan, may_be_gone).await;
    while verified.interference.is_none() && may_still_settle(&verified) && !deadline.is_over(world) {
        world.sleep(cx.policy.time.verify_pause.min(deadline.left(world))).await;
        verified = look(cx, plan, may_be_gone).await;
    }
    verified.took = stopwatch.spent(world).into();
    verified
}

/// Whether asking again may help: something is open, and nothing contradicts on the chain.
fn may_still_settle(verified: &Verified) -> bool {
    let mut findings = verified.instances.iter().flat_map(|examined| &examined.findings);
    let open = verified.instances.is_empty()
        || verified.instances.iter().flat_map(|one| &one.findings).any(|one| !one.is_settled());
    open && !findings.any(|finding| finding.name == chain::NAME && finding.status == Status::Fail)
}

/// One look at everything: what it finds, without asking again and without recording it.
pub async fn look(cx: &Context<'_>, plan: &Plan, may_be_gone: &[InstanceId]) -> Verified {
    let (fleet, routed, sources, pinned) = join!(
        cx.fleet(),
        cx.routed(),
        halt::ask(&*cx.ports.world, &cx.ports.target.halt, cx.policy.time.look),
        chain::pinned(cx),
    );
    let fleet = match fleet {
        Ok(fleet) => fleet,
        Err(error) => return Verified::nothing_seen(error.to_string()),
    };
    let routed: Reading<Vec<Routed>> = routed.into();
    let halted = halt::conclude(&sources);
    let sequences: &[u64] = pinned.known().map_or(&[], Vec::as_slice);
    let asked = ask_all(fleet.instances.iter().map(|instance| instance::ask(cx, instance, sequences))).await;
    let agreed = chain::agreed(&fleet.instances, &asked, plan);
    let mut instances: Vec<Examined> = fleet
        .instances
        .iter()
        .zip(&asked)
        .map(|(one, answers)| {
            let mut findings = instance::findings(one, answers, &routed, &halted);
            findings.push(chain::finding(answers, &pinned, &agreed));
            if !plan.answers_for(&one.id) && one.state != InstanceState::Ready {
                findings.iter_mut().for_each(Finding::of_one_out_of_service);
            }
            Examined { instance: one.id.clone(), new: is_new(plan, one), findings }
        })
        .collect();
    where_others_serve_it(&mut instances);
    Verified {
        interference: guard::changed_by_others(&fleet, plan, plan.to, may_be_gone),
        ..Verified::conclude(instances, pinned.known().cloned().unwrap_or_default(), plan)
    }
}

/// What one instance does not serve while others do is not "not configured": it is not known of that one.
fn where_others_serve_it(instances: &mut [Examined]) {
    let served: BTreeSet<String> = instances
        .iter()
        .flat_map(|examined| &examined.findings)
        .filter(|finding| finding.status != Status::NotConfigured)
        .map(|finding| finding.name.clone())
        .collect();
    for finding in instances.iter_mut().flat_map(|examined| &mut examined.findings) {
        if finding.status == Status::NotConfigured && served.contains(&finding.name) {
            finding.status = Status::Unknown;
        }
    }
}

fn is_new(plan: &Plan, instance: &Instance) -> bool {
    !plan.present.contains(&instance.id)
}

/// What is wrong or could not be told: what, at which instances, in which findings. What is the same is said once.
fn problems(instances: &[Examined]) -> Vec<String> {
    let mut at_each: Vec<(Vec<&str>, Vec<&str>, &str)> = Vec::new();
    for examined in instances {
        let mut here: Vec<(Vec<&str>, &str)> = Vec::new();
        for finding in examined.findings.iter().filter(|finding| finding.comes_to() != Verification::Passed) {
            match here.iter_mut().find(|(_, text)| *text == finding.text) {
                Some((names, _)) => names.push(&finding.name),
                None => here.push((vec![&finding.name], &finding.text)),
            }
        }
        for (names, text) in here {
            match at_each.iter_mut().find(|(_, known, said)| *known == names && *said == text) {
                Some((where_, ..)) => where_.push(examined.instance.as_str()),
                None => at_each.push((vec![examined.instance.as_str()], names, text)),
            }
        }
    }
    let said = |(where_, names, text): &(Vec<&str>, Vec<&str>, &str)| {
        format!("{}, {}: {text}", where_.join(", "), names.join(", "))
    };
    at_each.iter().map(said).collect()
}

impl Verified {
    fn nothing_seen(why: String) -> Self {
        Self {
            result: Verification::Inconclusive,
            instances: vec![],
            pinned: vec![],
            problems: vec![why],
            took: Millis(0),
            interference: None,
        }
    }

    fn conclude(instances: Vec<Examined>, pinned: Vec<u64>, plan: &Plan) -> Self {
        let findings = instances.iter().flat_map(|examined| &examined.findings);
        let mut result = findings.map(Finding::comes_to).max().unwrap_or(Verification::Inconclusive);
        let mut problems = problems(&instances);
        // Whoever was not seen was not verified.
        if instances.len() < plan.to.0 as usize {
            result = result.max(Verification::Inconclusive);
            problems.push(format!("Only {} of {} instances were seen.", instances.len(), plan.to));
        }
        Self { result, instances, pinned, problems, took: Millis(0), interference: None }
    }

    /// How the operation ends here; `None` when it goes on. It is taken back only where new instances are the cause.
    pub fn ending(&self, cx: &Context<'_>, plan: &Plan, newcomers: &[InstanceId]) -> Option<Ending> {
        if let Some(what) = &self.interference {
            // What was found does not answer for a fleet that somebody else has changed meanwhile.
            let mut lines = vec![what.clone()];
            lines.extend(self.problems.iter().cloned());
            let ending = Ending::after_the_change(Outcome::Failed, plan, card::in_lines(lines)).because_of_others(what);
            let contradict = self.result == Verification::Inconsistent;
            return Some(if contradict { ending.escalated(Condition::Consistency) } else { ending });
        }
        if self.result == Verification::Passed {
            return None;
        }
        let because = card::in_lines(&self.problems);
        let ending = Ending::after_the_change(Outcome::Failed, plan, because.clone())
            .escalated(Condition::Consistency)
            .constitutional_if(self.is_constitutional());
        let culprits: Vec<InstanceId> = self.culprits().into_iter().filter(|one| newcomers.contains(one)).collect();
        if culprits.is_empty() {
            return Some(ending);
        }
        Some(ending.taken_back(Trouble {
            plan: plan.clone(),
            newcomers: newcomers.to_vec(),
            culprits,
            because,
            asked_for: false,
            left_by: cx.operation.clone(),
        }))
    }

    /// Whether what is wrong is a constitutional matter.
    pub fn is_constitutional(&self) -> bool {
        let wrong = |one: &Finding| one.constitutional && one.comes_to() >= Verification::Failing;
        self.instances.iter().flat_map(|examined| &examined.findings).any(wrong)
    }

    /// Whether the instances agree, with each other and with the sources of truth.
    pub fn consistency(&self) -> Consistency {
        let findings = || {
            self.instances
                .iter()
                .flat_map(|examined| examined.findings.iter().map(move |one| (&examined.instance, one)))
        };
        let contradictions: Vec<Inconsistency> = findings()
            .filter(|(_, one)| one.comes_to() == Verification::Inconsistent)
            .map(|(instance, one)| Inconsistency { instance: Some(instance.clone()), words: one.text.clone() })
            .collect();
        if !contradictions.is_empty() {
            return Consistency::Inconsistent(contradictions);
        }
        if self.instances.is_empty() {
            return Consistency::Unknown(self.problems.join("; "));
        }
        match findings().find(|(_, one)| one.constitutional && one.status == Status::Unknown) {
            Some((instance, one)) => Consistency::Unknown(format!("{instance}: {}", one.text)),
            None => Consistency::Consistent,
        }
    }

    /// The instances at which something is wrong.
    pub fn culprits(&self) -> Vec<InstanceId> {
        let wrong = |examined: &&Examined| examined.findings.iter().any(|one| one.comes_to() >= Verification::Failing);
        self.instances.iter().filter(wrong).map(|examined| examined.instance.clone()).collect()
    }
}
