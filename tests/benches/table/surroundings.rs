//! What an operation on the fleet in memory is given.

use scalebot_commands::context::Context;
use scalebot_commands::policy::Policy;
use scalebot_commands::ports::{FleetState, Ports, Precondition};
use scalebot_commands::request::{Direction, Requested};
use scalebot_commands::steps::precheck::Plan;
use scalebot_commands::units::{Millis, OperationId, Person, Replicas, TargetName};

/// An operation and its limits.
pub(crate) struct Surroundings {
    pub(crate) ports: Ports,
    policy: Policy,
    operation: OperationId,
    request: Requested,
}

impl Surroundings {
    /// Of an operation that asks for so many.
    pub(crate) fn new(ports: Ports, to: Replicas) -> Self {
        let mut policy = Policy::default();
        policy.load.memory_limit_bytes = Some(256 << 20);
        let request = Requested {
            runbook: 1,
            command: format!("/scale up {to}"),
            by: Person::new("olga"),
            target: TargetName::new("api"),
            direction: Direction::Up,
            to,
            reason: Some("planned campaign".to_owned()),
            undoes: None,
            policy: policy.digest().to_string(),
            monitor: Millis(900_000),
        };
        Self { ports, policy, operation: OperationId::new("019ac3-7f00-abcdef"), request }
    }

    pub(crate) fn context(&self) -> Context<'_> {
        Context {
            ports: &self.ports,
            policy: &self.policy,
            operation: &self.operation,
            request: &self.request,
            reason: self.request.reason.as_deref(),
        }
    }

    /// What would be done: the first `from` of the fleet are the old ones.
    pub(crate) fn plan(&self, fleet: &FleetState, from: Replicas) -> Plan {
        Plan {
            identity: fleet.identity.clone(),
            generation: fleet.generation,
            from,
            to: self.request.to,
            rollback_to: from,
            present: fleet.instances.iter().take(from.0 as usize).map(|one| one.id.clone()).collect(),
            ready: fleet.instances.iter().take(from.0 as usize).map(|one| one.id.clone()).collect(),
            precondition: Precondition::Enforced,
            triggers: Vec::new(),
            victims: Vec::new(),
            unnamed: None,
            holds: Vec::new(),
        }
    }
}
