//! Who else changes the count, and what stands in its way. Nothing in Compose steers by itself: whoever runs it does, and is
//! seen by the containers. What is in the way is a file that is another than the one the containers were made with, since
//! then new instances would be of another version than old ones.

use std::collections::BTreeSet;

use scalebot_commands::ports::{PortError, Steering};

use super::Inner;
use super::seen::CONFIG_HASH;

impl Inner {
    /// Everything that was found.
    ///
    /// # Errors
    /// When it cannot be told.
    pub(super) async fn steered_by(&self) -> Result<Vec<Steering>, PortError> {
        let (seen, in_files) = futures::try_join!(self.seen(), self.program.configuration())?;
        let hashes = seen.containers.iter().map(|container| container.config.labels.get(CONFIG_HASH));
        let hashes: BTreeSet<&str> = hashes.flatten().map(String::as_str).collect();
        let service = &self.settings.service;
        let settled_by = || {
            let files = self.settings.files.iter().map(|file| format!("--file {} ", file.display()));
            let project = &self.settings.project;
            format!("docker compose --project-name {project} {}up -d {service}", files.collect::<String>())
        };
        if hashes.len() > 1 {
            return Ok(vec![Steering {
                by: format!("a rollout of {}", self.service()),
                effect: format!("is half done: its containers were made with {} configurations", hashes.len()),
                settled_by: settled_by() + " makes them all alike",
                hold: None,
            }]);
        }
        let differs = in_files.is_some_and(|hash| hashes.first().is_some_and(|made_with| *made_with != hash));
        Ok(if differs {
            vec![Steering {
                by: format!("{}, which was changed", self.files()),
                effect: "new instances would be of another version than those that run".to_owned(),
                settled_by: settled_by() + " brings the change to all of them; or take the change back",
                hold: None,
            }]
        } else {
            Vec::new()
        })
    }
}
