//! What the doctor says about a fleet on Swarm: a manager reached, the service found and what can be told of it, the order
//! that would be taken, and what the socket means. Nothing is changed.

use scalebot_commands::ports::{Fleet as _, InstanceState, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Millis;

use super::{ITSELF, Swarm};
use crate::doctor::Finding;

/// So many tasks that have ended are to be kept for each slot, that one which keeps ending is told from one that does not.
const KEPT_TASKS: u64 = 4;

impl Swarm {
    /// The doctor's lines. Each question has its own time-out.
    pub async fn check(&self) -> Vec<Finding> {
        let inner = &*self.inner;
        let engine = inner.engine.what().to_owned();
        let place = match inner.engine.place_in_swarm().await {
            Ok(place) => place,
            Err(error) => return vec![Finding::unanswered(engine, &error)],
        };
        let asked_apart = inner.settings.order_socket.is_some();
        let means = if asked_apart { "" } else { "; whoever may use this socket is root on every node" };
        let named = format!("version {} on {}", quoted(&place.server_version), quoted(&place.name));
        if !place.swarm.control_available {
            let state = quoted(&place.swarm.local_node_state);
            let text = format!("reached, {named}, and it is no manager of a swarm (it is {state} in one)");
            return vec![Finding::failed(engine, text, "Name the socket of a manager (docker node ls on it answers).")];
        }
        let mut found = vec![Finding::ok(&engine, format!("reached, a manager, {named}{means}"))];
        if let Some(kept) = place.swarm.kept_tasks().filter(|kept| *kept < KEPT_TASKS) {
            found.push(Finding::warn(
                "tasks that have ended",
                format!(
                    "the swarm keeps {kept} of each slot, so that one that keeps crashing looks like one that starts"
                ),
                format!("docker swarm update --task-history-limit {} or more.", KEPT_TASKS + 1),
            ));
        }
        found.extend(self.check_service().await);
        found
    }

    async fn check_service(&self) -> Vec<Finding> {
        let inner = &*self.inner;
        let system = self.describe();
        let seen = match inner.seen().await {
            Ok(seen) => seen,
            Err(error @ PortError::Refused { .. }) => {
                let to_do = "Do what it says, or name another service.";
                return vec![Finding::failed(system, error.to_string(), to_do)];
            }
            Err(error) => return vec![Finding::unanswered(system, &error)],
        };
        let fleet = seen.fleet(&inner.settings);
        let service = &seen.service;
        let mut found = vec![if service.has_health_check() {
            Finding::ok(&system, format!("found; {} of {} tasks run", fleet.ready(), fleet.wanted))
        } else {
            Finding::warn(
                &system,
                "found; it has no health check, so that an instance gets requests as soon as it runs",
                "Give the service a healthcheck, as deploy/docker/stack.yaml does.",
            )
        }];
        let grace = Millis::from(service.grace());
        found.push(Finding::ok(
            format!("{system}, going down"),
            format!("{ITSELF}; whoever it is has {grace} for its last requests (stop_grace_period)"),
        ));
        let each = service.reserves();
        if each.cpu == 0 && each.memory == 0 {
            found.push(Finding::warn(
                format!("{system}, room"),
                "it reserves neither CPU nor memory, so that Swarm places any number of it on any node",
                "Write deploy.resources.reservations, as deploy/docker/stack.yaml does.",
            ));
        }
        if let Some(one) = fleet.instances.iter().find(|one| one.address.is_none() && one.state == InstanceState::Ready)
        {
            found.push(Finding::failed(
                format!("{system}, how instances are reached"),
                format!("{} runs, and has no address of the kind that fleet.reach names", one.id),
                "Publish its port in host mode for \"published\", or name fleet.network for \"address\".",
            ));
        }
        let orders = format!("{system}, orders");
        found.push(match inner.would_take_an_order(service).await {
            Ok(()) => {
                Finding::ok(orders, "one with an old version was refused as such, so that a new one would be taken")
            }
            Err(error) => Finding::unanswered(orders, &error),
        });
        found
    }
}
