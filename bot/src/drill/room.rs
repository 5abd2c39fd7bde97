//! The room of a rehearsal: cards go to the console, and whoever looks at it can see which request is open.

use async_trait::async_trait;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Role, Room, Slot};
use scalebot_commands::units::{OperationId, Person};
use tokio::sync::watch;

use super::persona;
use crate::console::Console;

/// The console, with the people of the rehearsal around it.
pub(crate) struct RehearsalRoom {
    console: Console,
    open: watch::Sender<Option<String>>,
    /// Whether somebody types at a terminal.
    attended: bool,
}

impl RehearsalRoom {
    pub(crate) fn new(console: Console, attended: bool) -> Self {
        Self { console, open: watch::Sender::new(None), attended }
    }

    /// The approval request that is open, by its digest.
    pub(crate) fn open_request(&self) -> watch::Receiver<Option<String>> {
        self.open.subscribe()
    }

    /// A line of text that belongs to no card.
    pub(crate) fn say(&self, text: &str) {
        for line in text.lines() {
            if let Err(error) = self.console.say(line) {
                tracing::warn!(%error, "the console cannot be written to");
            }
        }
    }
}

#[async_trait]
impl Room for RehearsalRoom {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        let shown = self.console.show(operation, slot, card).await;
        if slot == Slot::Approval {
            self.open.send_replace(card.ask.clone());
        }
        shown
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        Ok(persona::standing(person, role))
    }

    fn attended(&self) -> bool {
        self.attended
    }

    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError> {
        self.say(&format!("(to {person} only) {text}"));
        Ok(())
    }
}
