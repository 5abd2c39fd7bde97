//! What the doctor says about a fleet on Compose: the engine reached, the service found, Compose and its files usable, the
//! place for orders, and what the socket means. Nothing is changed.

use scalebot_commands::ports::{Fleet as _, PortError};
use scalebot_commands::request::quoted;

use super::Compose;
use crate::docker::container;
use crate::doctor::Finding;

impl Compose {
    /// The doctor's lines. Each question has its own time-out, and all are asked at once.
    pub async fn check(&self) -> Vec<Finding> {
        let inner = &*self.inner;
        let engine = inner.engine.what().to_owned();
        let info = match inner.engine.info().await {
            Ok(info) => info,
            Err(error) => return vec![Finding::unanswered(engine, &error)],
        };
        let asked_apart = inner.settings.order_socket.is_some();
        let means = if asked_apart { "" } else { "; whoever may use this socket is root on that machine" };
        let reached = Finding::ok(
            &engine,
            format!("reached, version {} on {}{means}", quoted(&info.version), quoted(&info.name)),
        );
        let (service, program, files) = futures::join!(self.check_service(), self.check_program(), self.check_files());
        vec![reached, service, program, files, self.check_orders()]
    }

    async fn check_service(&self) -> Finding {
        let system = self.describe();
        match self.inner.seen().await {
            Ok(seen) if seen.containers.is_empty() => Finding::failed(
                system,
                "it has no container on this engine",
                "Correct project and service (docker ps --format '{{.Label \"com.docker.compose.project\"}}'), or start it.",
            ),
            Ok(seen) => {
                if seen.containers.iter().any(|container| container.state.health.is_none()) {
                    return Finding::warn(
                        system,
                        "found; it has no health check, so that an instance gets requests as soon as it runs",
                        "Give the service a healthcheck, as deploy/docker/compose.yaml does.",
                    );
                }
                let running = seen.containers.iter().filter(|container| container::runs(container)).count();
                Finding::ok(system, format!("found; {running} of {} containers run", seen.containers.len()))
            }
            Err(error) => Finding::unanswered(system, &error),
        }
    }

    async fn check_program(&self) -> Finding {
        match self.inner.program.found().await {
            Ok(found) if !found.ends_the_highest() => {
                let to_do = "Until then going down is refused: install a later docker-compose-plugin.";
                Finding::warn("Compose", found.too_old_to_end().to_string(), to_do)
            }
            Ok(found) => {
                let text = format!("{}, version {}", found.words.join(" "), quoted(&found.version));
                Finding::ok("Compose", text)
            }
            Err(error) => Finding::failed(
                "Compose",
                error.to_string(),
                "Install docker-compose-plugin, or name the program in fleet.command.",
            ),
        }
    }

    async fn check_files(&self) -> Finding {
        let system = format!("Compose files {}", self.inner.files());
        match self.inner.program.configuration().await {
            Ok(Some(_)) => Finding::ok(system, "usable; a change that no container has yet would be seen"),
            Ok(None) => Finding::ok(
                system,
                "usable; whether containers were made with what they say now is only seen by the containers",
            ),
            Err(error @ PortError::Refused { .. }) => Finding::failed(
                system,
                error.to_string(),
                "Correct what it names, so that the user of the bot can read it.",
            ),
            Err(error) => Finding::unanswered(system, &error),
        }
    }

    fn check_orders(&self) -> Finding {
        let orders = &self.inner.orders;
        let system = format!("orders in {}", orders.folder().display());
        match orders.last() {
            Ok(None) => Finding::ok(system, "none was given yet"),
            Ok(Some(last)) => Finding::ok(system, format!("the last one was to {} at {}", last.to, last.at)),
            Err(error) => Finding::failed(
                system,
                format!("the record cannot be read: {error}"),
                "Restore it, or move order.json away when no operation is under way.",
            ),
        }
    }
}
