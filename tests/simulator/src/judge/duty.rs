//! The invariants of what a process does beside operations: an escalation is said again in order, once, in time and not after
//! somebody has seen it; and nothing is begun by itself that was not proposed.

use std::collections::BTreeMap;
use std::time::Duration;

use scalebot_commands::event::{Event, Kind};
use scalebot_commands::policy::{EscalationRules, Policy};
use serde_json::Value;

use crate::model::Model;

/// What has been seen of it.
#[derive(Default)]
pub(crate) struct SeenDuty {
    escalations: BTreeMap<u64, Escalation>,
    /// Whether something was proposed that nothing was begun on yet.
    proposed: bool,
}

struct Escalation {
    severity: String,
    hop: u64,
    said: Duration,
    acknowledged: bool,
}

impl Escalation {
    fn interval(&self, rules: &EscalationRules) -> Duration {
        match self.severity.as_str() {
            "critical" => rules.critical_again,
            "high" => rules.high,
            _ => rules.medium,
        }
    }
}

/// Within this time after it is due it is said again, by whoever leads.
const LATE: Duration = Duration::from_mins(3);

impl SeenDuty {
    /// An event. `steady` says whether no clock was set and no process began since a moment; the wall clock decides else.
    pub(crate) fn appended(
        &mut self,
        (kind, event, body): (Kind, &Event, &Value),
        now: Duration,
        policy: &Policy,
        steady: impl Fn(Duration) -> bool,
    ) -> Option<String> {
        let number = body["escalation"].as_u64().unwrap_or_default();
        match kind {
            Kind::Escalated => {
                let severity = body["severity"].as_str().unwrap_or_default().to_owned();
                self.escalations.insert(event.seq, Escalation { severity, hop: 1, said: now, acknowledged: false });
                None
            }
            Kind::Reescalated => {
                let Some(known) = self.escalations.get_mut(&number) else {
                    return Some(format!("escalation {number} is said again, and never was"));
                };
                let hop = body["hop"].as_u64().unwrap_or_default();
                let (before, said) = (known.hop, known.said);
                (known.hop, known.said) = (hop, now);
                let early = steady(said)
                    && now.saturating_sub(said) + Duration::from_secs(10) < known.interval(&policy.escalation);
                if known.acknowledged {
                    Some(format!("escalation {number} is said again after somebody has seen it"))
                } else if hop != before + 1 {
                    Some(format!("escalation {number} is said the time no. {hop} after no. {before}"))
                } else {
                    early.then(|| format!("escalation {number} is said again too early"))
                }
            }
            Kind::Acknowledged => {
                let known = self.escalations.get_mut(&number).filter(|known| !known.acknowledged);
                let wrong = known.is_none().then(|| format!("escalation {number} is acknowledged, and is not open"));
                if let Some(known) = known {
                    known.acknowledged = true;
                }
                wrong
            }
            Kind::Proposed => {
                self.proposed = true;
                None
            }
            Kind::Requested if body["by"] == "scalebot" => {
                let begun = std::mem::take(&mut self.proposed);
                let may = begun && !policy.triggers.by_itself.is_empty();
                (!may).then(|| "it is begun by itself, and that was not proposed or is not allowed".to_owned())
            }
            _ => None,
        }
    }

    /// What is wrong when everything else is at rest, of whoever leads undisturbed since that moment.
    pub(crate) fn at_rest(&self, now: Duration, since: Duration, rules: &EscalationRules) -> Option<String> {
        let open = self.escalations.iter().filter(|(_, known)| !known.acknowledged);
        let silent = |known: &Escalation| now.saturating_sub(known.said.max(since)) > known.interval(rules) + LATE;
        open.into_iter()
            .find(|(_, known)| silent(known))
            .map(|(number, _)| format!("escalation {number} was not said again in time"))
    }
}

impl Model {
    /// An event that tells of the duty.
    pub(super) fn judge_duty(&mut self, kind: Kind, event: &Event, body: &Value) {
        let (now, last) = (self.now, self.last_disturbed);
        let wrong = self.judge.duty.appended((kind, event, body), now, &self.policy, |since| last < since);
        self.judge.violations.extend(wrong);
    }
}
