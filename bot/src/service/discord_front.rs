//! Discord as the service's front.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::ports::{LogChannel, Room, World};

use super::front::{Front, Left};
use crate::discord::{self, Files, Settings};
use crate::measures::Requests;
use crate::reception::Reception;
use crate::state_dir::StateDir;

/// One Discord server.
pub(super) struct DiscordFront(discord::Front);

impl DiscordFront {
    /// Nothing is asked of Discord yet.
    ///
    /// # Errors
    /// In words, when the settings cannot be used.
    pub(super) fn new(settings: &Settings, dir: &StateDir, clock: &Arc<dyn World>) -> Result<Self, String> {
        let logs = settings.attach_instance_logs.then(|| dir.targets());
        let files = Files { messages: dir.messages(), logs };
        Ok(Self(discord::Front::new(settings.clone(), files, Arc::clone(clock))?))
    }
}

#[async_trait]
impl Front for DiscordFront {
    fn room(&self) -> Arc<dyn Room> {
        self.0.room()
    }

    fn log_channel(&self) -> Arc<dyn LogChannel> {
        self.0.log_channel()
    }

    async fn serve(&self, reception: Arc<dyn Reception>) -> Left {
        Left::Failed(self.0.serve(reception).await)
    }

    fn is_reached(&self) -> Result<(), String> {
        self.0.is_reached()
    }

    fn requests(&self) -> Option<Arc<Requests>> {
        Some(self.0.requests())
    }
}
