//! What can be asked without changing anything: each question reads the ports and is answered with a card. No operation
//! begins and nothing is recorded, except that a follow-up is closed when somebody says so, or is seen to be settled.

mod answer;
pub mod cancel;
mod capacity;
mod follow_ups;
mod history;
mod plan;
pub mod progress;
mod status;

pub use self::answer::{Answer, answer};
pub use self::capacity::CapacitySeen;
pub use self::history::Past;
pub use self::status::{OpenEscalation, StatusSeen, UnderWay};
use crate::desk::Desk;
use crate::ports::Ports;
use crate::request::{Direction, Requested};
use crate::runbook;
use crate::units::{OperationId, Person, Replicas, TargetName};

/// How many events of a kind a question looks back on. More follow-ups and escalations than that are never open at once
/// in a service that somebody looks after; that there may be more is said.
const LOOKED_AT: u32 = 200;

/// Who asks about which fleet.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who.
    pub by: &'a Person,
    /// Which fleet.
    pub target: &'a TargetName,
}

impl Asker<'_> {
    /// What stands at the foot of the answer.
    pub fn footer(&self) -> String {
        format!("{} · asked by {}", self.target, crate::request::quoted(self.by.as_str()))
    }
}

/// What every question is given.
struct Question<'a> {
    ports: &'a Ports,
    desk: &'a Desk<'a>,
    asker: Asker<'a>,
}

impl Question<'_> {
    /// What would be requested, for whatever looks at the fleet as an operation would. It is never recorded.
    fn as_if_requested(&self, command: String, direction: Direction, to: Replicas) -> Requested {
        Requested {
            runbook: runbook::VERSION,
            command,
            by: self.asker.by.clone(),
            target: self.asker.target.clone(),
            direction,
            to,
            reason: None,
            undoes: None,
            policy: self.desk.policy.digest().to_string(),
            monitor: self.desk.policy.time.monitor.into(),
        }
    }
}

/// The mark of what is no operation.
fn no_operation() -> OperationId {
    OperationId::new("none")
}
