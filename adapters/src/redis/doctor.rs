//! What the doctor says about a Redis: reached, its version, each right that is needed.

use async_trait::async_trait;
use scalebot_commands::ports::{HaltSource as _, Pool as _};
use scalebot_commands::request::escaped;

use super::connection::{About, Asking, Protection, Question};
use super::failure::Failure;
use super::{HaltStream, Redis, RedisConnections};
use crate::doctor::Finding;

/// "Which version are you?"
struct Version;

#[async_trait]
impl Question for Version {
    type Answer = String;

    async fn put(&self, asking: &mut Asking) -> Result<String, Failure> {
        Ok(escaped(asking.info("server").await?.text("redis_version")?, 20))
    }
}

impl Redis {
    /// The doctor's lines. Nothing is changed; each question has its own time-out.
    pub async fn check(&self) -> Vec<Finding> {
        let (server, halt, connections) =
            futures::join!(self.check_server(), self.check_halt(), self.check_connections());
        server.into_iter().chain([halt, connections]).collect()
    }

    async fn check_server(&self) -> Vec<Finding> {
        let system = self.describe();
        let about = About { what: system.clone(), rights: "+info".to_owned() };
        let user = self.server.user();
        let mut found = match self.server.ask(&about, &Version).await {
            Ok(version) => vec![Finding::ok(&system, format!("reached, version {version}, as {user}"))],
            Err(error) => return vec![Finding::unanswered(system, &error)],
        };
        if user == "default" {
            let text = "the default user may usually do everything, though the bot only reads";
            found.push(Finding::warn(&system, text, "Connect as the user of deploy/redis/users.acl."));
        }
        if self.server.protection() == Protection::None {
            let text = "anybody on the way there may read the password and answer in its place";
            found.push(Finding::warn(
                &system,
                text,
                "Let the URL begin with rediss://, and set ca_file where its certificate is of your own authority.",
            ));
        }
        found
    }

    async fn check_halt(&self) -> Finding {
        let system = format!("{}, {}", self.describe(), HaltStream::NAME);
        let Some(stream) = self.halt_stream() else { return Finding::not_configured(system, "not asked") };
        match stream.read().await {
            Ok(reading) if reading.halted => Finding::ok(system, "readable: halted now"),
            // How a system looks that was never halted; a wrong key looks the same.
            Ok(_) => {
                let key = stream.key();
                Finding::ok(system, format!("readable: not halted, since {key} is empty. Is that the key?"))
            }
            Err(error) => Finding::unanswered(system, &error),
        }
    }

    async fn check_connections(&self) -> Finding {
        let system = format!("{}, {}", self.describe(), RedisConnections::NAME);
        let Some(connections) = self.connections() else { return Finding::not_configured(system, "not counted") };
        match connections.budget().await {
            Ok(budget) => {
                let room = budget.limit.saturating_sub(budget.others);
                let text = format!(
                    "{room} for the fleet: the server allows {}, {} held by others",
                    budget.limit, budget.others
                );
                Finding::ok(system, text)
            }
            Err(error) => Finding::unanswered(system, &error),
        }
    }
}
