//! Discord as the service's front.

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::ports::{LogChannel, PortError, Role, Room, Slot, World};
use scalebot_commands::units::{OperationId, Person};

use super::front::{Front, Left};
use crate::discord::{self, Files, Settings};
use crate::reception::Reception;
use crate::state_dir::StateDir;

/// One Discord server.
pub(super) struct DiscordFront(Arc<discord::Front>);

impl DiscordFront {
    /// Nothing is asked of Discord yet.
    ///
    /// # Errors
    /// In words, when the settings cannot be used.
    pub(super) fn new(settings: &Settings, dir: &StateDir, clock: &Arc<dyn World>) -> Result<Self, String> {
        let logs = settings.attach_instance_logs.then(|| dir.logs());
        let files = Files { messages: dir.messages(), logs };
        Ok(Self(Arc::new(discord::Front::new(settings.clone(), files, Arc::clone(clock))?)))
    }
}

#[async_trait]
impl Front for DiscordFront {
    fn room(&self) -> Arc<dyn Room> {
        Arc::new(Holding { room: self.0.room(), front: Arc::clone(&self.0) })
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
}

/// The room, which holds changes back while people are not reached, where the configuration wants that.
struct Holding {
    room: Arc<dyn Room>,
    front: Arc<discord::Front>,
}

#[async_trait]
impl Room for Holding {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        self.room.show(operation, slot, card).await
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        self.room.standing(person, role).await
    }

    fn attended(&self) -> bool {
        self.room.attended()
    }

    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError> {
        self.room.answer(person, text).await
    }

    async fn reply(&self, person: &Person, card: &Card) -> Result<(), PortError> {
        self.room.reply(person, card).await
    }

    fn holds_back(&self) -> Option<String> {
        self.front.pauses()
    }

    fn hears(&self) -> bool {
        self.front.hears()
    }
}
