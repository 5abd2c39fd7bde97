//! The room: every card an operation has is one message, posted by the bot's own token and changed in place, so that it
//! works as long as the operation does. Where which card goes stands in [`spot`].
//!
//! Each operation has a task of its own that delivers its cards in order, so that a channel that is slow or gone holds
//! nothing else up, and a card whose caller does not wait any longer still arrives. A card that is changed again before
//! it went out is replaced by the newer one. Progress is edited once in a few seconds; everything else at once. While
//! Discord is away the newest card of each message is kept, and delivered when it is back.

mod attached;
mod delivery;
mod drawn;
mod messages;
pub(crate) mod placed;
pub(crate) mod spot;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use scalebot_commands::approval::Standing;
use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Role, Room, Slot, World};
use scalebot_commands::units::{OperationId, Person, Timestamp};
use serenity::all::ChannelId;
use tokio::sync::{mpsc, oneshot};

use self::delivery::{Delivery, Job};
pub(crate) use self::drawn::nonce;
use self::placed::Board;
use super::drawing::{self, View};
use super::people::People;
use super::reach::Reach;
use super::rest::{Place, Rest};
use super::settings::Settings;

/// How many cards of one operation may wait to be looked at. What waits to be delivered is one a message.
const WAITING: usize = 256;

/// The Discord room.
pub(crate) struct DiscordRoom {
    shared: Arc<Shared>,
    deliveries: Mutex<HashMap<OperationId, mpsc::Sender<Job>>>,
}

/// What every delivery needs.
pub(crate) struct Shared {
    pub(crate) reach: Arc<Reach>,
    pub(crate) rest: Rest,
    pub(crate) settings: Settings,
    pub(crate) people: Arc<People>,
    pub(crate) board: Board,
    pub(crate) world: Arc<dyn World>,
    /// When this process began: of operations from before it messages may be there of which nothing is known.
    pub(crate) began: Timestamp,
    /// Where what instances wrote is kept, a folder a fleet; `None` where it is not attached.
    pub(crate) logs: Option<PathBuf>,
}

impl Shared {
    /// One of the channels where commands are given; the first where none is named.
    pub(crate) fn ops_channel(&self, channel: Option<ChannelId>) -> Place {
        let ops = &self.settings.channels.ops;
        let channel = channel.filter(|channel| ops.contains(channel)).or_else(|| ops.first().copied());
        // Settings without one are refused at the start.
        Place::new(channel.unwrap_or(self.settings.channels.governance), "the ops channel")
    }

    /// The channel where governance is asked.
    pub(crate) fn governance(&self) -> Place {
        Place::new(self.settings.channels.governance, "the governance channel")
    }
}

impl DiscordRoom {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, deliveries: Mutex::default() }
    }

    /// Which messages show which cards.
    pub(crate) fn board(&self) -> &Board {
        &self.shared.board
    }

    /// Hands a card to its operation's task, which is begun where there is none.
    fn hand_over(&self, operation: &OperationId, job: Job) -> Result<(), PortError> {
        let mut deliveries = self.deliveries.lock().unwrap_or_else(PoisonError::into_inner);
        deliveries.retain(|_, sender| !sender.is_closed());
        let sender = deliveries.entry(operation.clone()).or_insert_with(|| {
            let (sender, jobs) = mpsc::channel(WAITING);
            let delivery = Delivery::new(Arc::clone(&self.shared), operation.clone(), jobs);
            tokio::spawn(delivery.run());
            sender
        });
        sender.try_send(job).map_err(|_| PortError::Unreachable {
            what: "Discord".to_owned(),
            detail: format!("more than {WAITING} cards of one operation wait already"),
        })
    }
}

#[async_trait]
impl Room for DiscordRoom {
    async fn show(&self, operation: &OperationId, slot: Slot, card: &Card) -> Result<(), PortError> {
        let (done, delivered) = oneshot::channel();
        self.hand_over(operation, Job { slot, card: card.clone(), done: Some(done) })?;
        if slot == Slot::Progress {
            // The next one comes soon, and nobody waits for this.
            return Ok(());
        }
        // Where the task has ended in this very moment, the card is lost, and that is said.
        delivered.await.unwrap_or_else(|_| {
            let detail = "the bot is ending".to_owned();
            Err(PortError::Unreachable { what: "Discord".to_owned(), detail })
        })
    }

    async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        self.shared.people.standing(person, role).await
    }

    fn attended(&self) -> bool {
        true
    }

    async fn answer(&self, person: &Person, text: &str) -> Result<(), PortError> {
        self.shared.people.tell(person, drawing::say(text, &drawing::choices(text))).await
    }

    async fn reply(&self, person: &Person, card: &Card) -> Result<(), PortError> {
        let names = self.shared.people.names_in(texts_of(card)).await;
        let drawn = drawing::card(card, &View::new(&names, self.shared.world.now()));
        self.shared.people.tell(person, drawn).await
    }

    fn holds_back(&self) -> Option<String> {
        self.shared.reach.holds_back()
    }

    fn hears(&self) -> bool {
        self.shared.reach.hears()
    }
}

/// Every text on a card, for finding whom it names.
pub(crate) fn texts_of(card: &Card) -> impl Iterator<Item = &str> {
    let rows = card.rows.iter().flat_map(|row| [row.name.as_str(), row.text.as_str()]);
    [card.title.as_str(), card.footer.as_str()].into_iter().chain(card.lines.iter().map(String::as_str)).chain(rows)
}
