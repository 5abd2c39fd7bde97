//! The messages of one operation: which card is in which, and what becomes of one that is not there any more.

use std::sync::Arc;

use scalebot_commands::card::Card;
use scalebot_commands::ports::{PortError, Slot};
use scalebot_commands::units::OperationId;
use serenity::all::{ChannelId, MessageId};

use super::placed::{Ask, AskState, Entry};
use super::spot::{self, Spot, Where};
use super::{Shared, drawn};
use crate::discord::drawing::limits::THREAD_NAME;
use crate::discord::drawing::text;
use crate::discord::marks::{APPROVE, REJECT};
use crate::discord::people::user;
use crate::discord::rest::{Fault, Place, Posted, code};

/// The messages of one operation.
pub(super) struct Messages {
    shared: Arc<Shared>,
    operation: OperationId,
    /// A thread cannot be had; said once.
    threadless: bool,
    looked_back: bool,
}

impl Messages {
    pub(super) fn new(shared: Arc<Shared>, operation: OperationId) -> Self {
        Self { shared, operation, threadless: false, looked_back: false }
    }

    /// Puts a card where it belongs: into its message, or into a new one.
    pub(super) async fn put(&mut self, slot: Slot, card: &Card, to: &Spot) -> Result<(), Fault> {
        self.look_back().await?;
        let word = spot::word(slot);
        let board = &self.shared.board;
        // What became of a request is shown where it was asked.
        let known = if asks(slot) && card.ask.is_none() {
            board.latest(&self.operation, word)
        } else {
            board.find(&self.operation, word, &to.part)
        };
        if to.anew && known.as_ref().is_some_and(|known| known.said.contains(&drawn::hash(card))) {
            return Ok(());
        }
        let reopened = card.ask.is_some()
            && known.as_ref().and_then(|known| known.ask.as_ref()).is_some_and(|ask| ask.state != AskState::Open);
        let edited = match known.as_ref().filter(|_| !to.anew && !reopened) {
            Some(known) => self.edit(known, slot, card).await?,
            None => false,
        };
        if !edited {
            self.post(known.as_ref(), slot, card, to).await?;
        }
        if matches!(slot, Slot::WayBack | Slot::Summary) {
            self.close(slot == Slot::Summary).await;
        }
        Ok(())
    }

    /// Changes a message. Whether it was still there.
    async fn edit(&self, known: &Entry, slot: Slot, card: &Card) -> Result<bool, Fault> {
        let board = &self.shared.board;
        let request = known.ask.as_ref().map(|ask| ask.digest.as_str());
        let mut drawn = drawn::card(&self.shared, &self.operation, slot, &known.part, card, request, None).await;
        // An edit notifies nobody, and what was said when it was posted is no longer so.
        drawn.content = Some(String::new());
        let pressable = !drawn.rows.is_empty();
        let place = Place::new(known.channel, "the channel of an earlier card");
        match self.shared.rest.edit(&place, known.message, drawn).await {
            Ok(()) => {}
            Err(fault) if matches!(fault.code(), Some(code::UNKNOWN_MESSAGE | code::UNKNOWN_CHANNEL)) => {
                board.forget(known.message).await;
                return Ok(false);
            }
            Err(fault) => return Err(fault),
        }
        let ask = card.ask.clone();
        let approved = asks(slot) && card.tone == scalebot_commands::card::Tone::Good;
        board
            .change(known.message, |entry| {
                entry.pressable = pressable;
                match (&mut entry.ask, ask) {
                    (Some(known), Some(digest)) if known.digest == digest => known.state = AskState::Open,
                    (ours, Some(digest)) => {
                        *ours = Some(Ask { digest, state: AskState::Open, marks: std::collections::BTreeSet::new() });
                    }
                    (Some(known), None) => known.state = if approved { AskState::Approved } else { AskState::Over },
                    (None, None) => {}
                }
            })
            .await;
        Ok(true)
    }

    async fn post(&mut self, known: Option<&Entry>, slot: Slot, card: &Card, to: &Spot) -> Result<(), Fault> {
        let place = match to.room {
            Where::Ops => self.ops(card),
            Where::Governance => self.shared.governance(),
            Where::Thread => self.thread(card).await?,
        };
        let notifies = to.notifies.and_then(|role| self.shared.settings.roles.notified(role));
        let mut drawn = drawn::card(&self.shared, &self.operation, slot, &to.part, card, None, notifies).await;
        let before = known.map_or(0, |known| known.before + 1);
        let word = spot::word(slot);
        drawn.nonce = Some(drawn::nonce(&[self.operation.as_str(), word, &to.part, &before.to_string()]));
        let pressable = !drawn.rows.is_empty();
        let (place, message) = match self.shared.rest.post(&place, drawn.clone()).await {
            Err(fault) if to.room != Where::Ops && !fault.may_pass() && fault != Fault::TokenRefused => {
                let ops = self.ops(card);
                let drawn = self.for_ops(to.room, drawn, fault).await;
                let message = self.shared.rest.post(&ops, drawn).await?;
                (ops, message)
            }
            posted => (place, posted?),
        };
        let digest = card.ask.clone();
        let ask = digest.map(|digest| Ask { digest, state: AskState::Open, marks: std::collections::BTreeSet::new() });
        let asked = ask.is_some();
        let mut said = known.map(|known| known.said.clone()).unwrap_or_default();
        said.extend(to.anew.then(|| drawn::hash(card)));
        self.shared
            .board
            .add(Entry {
                operation: self.operation.clone(),
                slot: word.to_owned(),
                part: to.part.clone(),
                channel: message.channel_id,
                message: message.id,
                before,
                thread: message.thread.map(|thread| thread.id),
                ask,
                pressable,
                said,
            })
            .await;
        if asked {
            self.put_marks(place, message.id);
        }
        Ok(())
    }

    /// What did not get where it belongs, for the ops channel instead: a thread may be deleted, or governance's channel
    /// closed to the bot. That nobody there can decide is said, with what to do about it.
    async fn for_ops(&mut self, belongs: Where, mut drawn: Posted, fault: Fault) -> Posted {
        let error = PortError::from(fault);
        tracing::warn!(operation = %self.operation, %error, "a card goes to the ops channel instead");
        if belongs == Where::Thread {
            self.forget_thread().await;
            self.threadless = true;
            return drawn;
        }
        let why = format!("This belongs in the governance channel, where it cannot be posted. {error}.");
        let before = drawn.content.map(|content| content + "\n").unwrap_or_default();
        drawn.content = Some(before + &text::marked(&why, 800));
        drawn
    }

    /// Puts ✅ and ❌ under a request, for people to press. Nothing waits for it: the buttons do the same.
    fn put_marks(&self, place: Place, message: MessageId) {
        let (rest, operation) = (self.shared.rest.clone(), self.operation.clone());
        tokio::spawn(async move {
            for emoji in [APPROVE, REJECT] {
                if let Err(fault) = rest.mark(&place, message, emoji.in_url).await {
                    let error = PortError::from(fault);
                    tracing::warn!(%operation, %error, "no marks could be put under a request; its buttons do the same");
                    return;
                }
            }
        });
    }

    /// Takes the buttons away from what was asked and is over: whether to go back, with the way back; with the summary
    /// everything but escalations, which outlive their operation.
    async fn close(&self, everything: bool) {
        for entry in self.shared.board.of_operation(&self.operation) {
            let is_over = match spot::slot(&entry.slot) {
                Some(Slot::Approval) => everything || self.shared.settings.channels.ops.contains(&entry.channel),
                Some(Slot::HaltOffer | Slot::Question) => everything,
                _ => false,
            };
            let is_open = entry.pressable || entry.ask.as_ref().is_some_and(|ask| ask.state != AskState::Over);
            if !is_over || !is_open {
                continue;
            }
            let place = Place::new(entry.channel, "the channel of an earlier card");
            if entry.pressable
                && let Err(fault) = self.shared.rest.take_buttons(&place, entry.message).await
            {
                // Pressed, it is answered that nothing is asked any more.
                tracing::debug!(operation = %self.operation, ?fault, "buttons stay under what is over");
            }
            let over = |entry: &mut Entry| {
                entry.pressable = false;
                if let Some(ask) = &mut entry.ask {
                    ask.state = AskState::Over;
                }
            };
            self.shared.board.change(entry.message, over).await;
        }
    }

    /// Where the command was given.
    fn ops(&self, card: &Card) -> Place {
        let board = &self.shared.board;
        let ops = &self.shared.settings.channels.ops;
        let earlier = board.of_operation(&self.operation).into_iter().find(|entry| ops.contains(&entry.channel));
        let asked_in = || {
            let (_, by) = card.footer.split_once("asked by ")?;
            let by = scalebot_commands::units::Person::new(by.split(' ').next()?);
            self.shared.people.channel_of(user(&by)?)
        };
        self.shared.ops_channel(earlier.map(|entry| entry.channel).or_else(asked_in))
    }

    /// The operation's thread, begun at its first card; without one the channel.
    async fn thread(&mut self, card: &Card) -> Result<Place, Fault> {
        let board = &self.shared.board;
        let Some(anchor) = board.latest(&self.operation, spot::word(Slot::Precheck)).filter(|_| !self.threadless)
        else {
            return Ok(self.ops(card));
        };
        if let Some(thread) = anchor.thread {
            return Ok(Place::new(thread, "the operation's thread"));
        }
        let place = Place::new(anchor.channel, "the ops channel");
        let name = text::plain(&format!("Operation {}", self.operation.short()), &text::Names::default(), THREAD_NAME);
        // It bears the message's number, also where it is there already and nothing was kept of it.
        let thread = ChannelId::new(anchor.message.get());
        match self.shared.rest.begin_thread(&place, anchor.message, &name).await {
            Ok(()) => {}
            Err(fault) if fault.code() == Some(THREAD_EXISTS) => {}
            Err(fault) if fault.may_pass() || fault == Fault::TokenRefused => return Err(fault),
            Err(fault) => {
                self.threadless = true;
                let error = PortError::from(fault);
                tracing::warn!(operation = %self.operation, %error, "there is no thread; the channel gets the detail too");
                return Ok(self.ops(card));
            }
        }
        board.change(anchor.message, |entry| entry.thread = Some(thread)).await;
        Ok(Place::new(thread, "the operation's thread"))
    }

    async fn forget_thread(&self) {
        let board = &self.shared.board;
        if let Some(anchor) = board.latest(&self.operation, spot::word(Slot::Precheck)) {
            board.change(anchor.message, |entry| entry.thread = None).await;
        }
    }

    /// Looks once for messages of an operation of which nothing is known: they may be from before the file was lost.
    async fn look_back(&mut self) -> Result<(), Fault> {
        let is_new = drawn::began(&self.operation).is_some_and(|began| began >= self.shared.began);
        if self.looked_back || is_new || !self.shared.board.of_operation(&self.operation).is_empty() {
            return Ok(());
        }
        let mut places = vec![self.shared.governance()];
        places.extend(self.shared.settings.channels.ops.iter().map(|id| Place::new(*id, "the ops channel")));
        let me = self.shared.rest.my_id().await?;
        let mark = format!("operation {} · ", self.operation.short());
        for place in places {
            let messages = match self.shared.rest.messages(&place, None).await {
                Ok(messages) => messages,
                Err(fault) if fault.may_pass() || fault == Fault::TokenRefused => return Err(fault),
                // A channel that cannot be read can be posted in all the same.
                Err(_) => continue,
            };
            // Oldest first, so that the newest of several for the same stays.
            for message in messages.into_iter().rev().filter(|message| message.author.id == me) {
                if let Some(entry) = drawn::found_again(&self.operation, &mark, &message) {
                    self.shared.board.add(entry).await;
                }
            }
        }
        self.looked_back = true;
        Ok(())
    }
}

/// Discord's code for a message that has a thread already.
const THREAD_EXISTS: u32 = 160_004;

/// Whether cards in that place ask people to mark something.
pub(super) fn asks(slot: Slot) -> bool {
    matches!(slot, Slot::Approval | Slot::HaltOffer)
}
