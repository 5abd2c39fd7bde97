//! The invariants of time: while a process lives its clock never goes back, whatever becomes of the wall clock; across a restart
//! one that went back is on record; and no wait is cut short.

use std::time::Duration;

use scalebot_commands::event::{Event, Kind};
use scalebot_commands::policy::Policy;
use scalebot_commands::units::{Epoch, Timestamp};
use serde_json::Value;

use super::approvals::Written;
use super::effects::Intent;

/// When an operation's last event was written.
#[derive(Default)]
pub(crate) struct Times {
    last: Option<(Timestamp, Epoch, String)>,
}

/// How much shorter a wait may look from here: what begins and ends it is a while on its way to the log.
const ON_ITS_WAY: Duration = Duration::from_secs(7);

impl Times {
    pub(crate) fn appended(
        &mut self,
        (kind, event, body): (Kind, &Event, &Value),
        now: Written,
        (asked, intent): (Option<(Written, Duration)>, Option<&Intent>),
        policy: &Policy,
    ) -> Option<String> {
        let at = event.time()?;
        let before = self.last.replace((at, event.epoch, event.kind.clone()));
        if let Some((last, epoch, last_kind)) = before {
            // A command is taken at the desk, by the wall clock; from there on the operation has a clock of its own.
            let restarted = epoch != event.epoch || last_kind == Kind::Requested.as_str();
            if at < last && !restarted {
                return Some(format!("{kind} is written earlier than {last_kind}, and nothing was started anew"));
            }
            if at < last && kind != Kind::ClockJump {
                return Some(format!("{kind} is written earlier than {last_kind}, and no clock jump is recorded"));
            }
        }
        let reason = body["reason"].as_str().unwrap_or_default();
        match kind {
            Kind::Expired if reason.contains("decided within") => {
                // Time counts from when it was written, and whoever stood still before it arrived has lost some of it.
                let at_once =
                    |asked: &Written| asked.at.saturating_sub(asked.thawed) > ON_ITS_WAY || asked.thawed.is_zero();
                let (asked, within) = asked.filter(|(asked, _)| asked.process == now.process && at_once(asked))?;
                let waited = now.at.saturating_sub(asked.at) + ON_ITS_WAY;
                (waited < within).then(|| format!("it expires {} s after it was asked", waited.as_secs()))
            }
            Kind::NotReady if body["ended"] == "too_late" => {
                let intent = intent.filter(|intent| intent.process == now.process && intent.kind == Kind::Scaling)?;
                let waited = now.at.saturating_sub(intent.at) + ON_ITS_WAY;
                let early = waited < policy.time.ready_within;
                early.then(|| format!("it gives up on readiness after {} s", waited.as_secs()))
            }
            _ => None,
        }
    }
}
