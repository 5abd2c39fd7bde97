//! What a person asked of the bot, and what they see for it.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::clock::between;
use super::id::Snowflake;
use super::rest::interactions::callback_type;
use super::server::Shared;
use super::view::Seen;
use super::world::{ACKNOWLEDGE_WITHIN, Message, World};

/// What a person asked of the bot, and what they got for it.
#[derive(Clone)]
pub struct Asked {
    pub(crate) shared: Arc<Shared>,
    /// The interaction's identifier.
    pub id: Snowflake,
}

/// What a person sees as the outcome of what they asked.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A message, for everybody or for them alone.
    Message(Box<Seen>),
    /// Nothing new: the message of the button was edited, or nothing is to be seen.
    Nothing,
    /// A form to fill in, as the bot asked for it.
    Form(Value),
    /// Proposals for what they are typing: what is shown, and what it stands for.
    Choices(Vec<(String, Value)>),
    /// "The application did not respond."
    NotInTime,
}

impl Asked {
    /// Waits for what they see as the outcome: no longer "is thinking…".
    ///
    /// # Panics
    /// Where nothing is to be seen in time, not even that the application did not respond.
    pub async fn answer(&self) -> Answer {
        self.shared.until("an answer to what was asked", |world| self.outcome(world)).await
    }

    fn outcome(&self, world: &World) -> Option<Answer> {
        let interaction = world.interactions.get(&self.id)?;
        let Some(how) = &interaction.acknowledged else {
            let late = between(interaction.created, world.now()) >= ACKNOWLEDGE_WITHIN;
            return late.then_some(Answer::NotInTime);
        };
        match how.kind {
            callback_type::CHOICES => {
                let choices = how.data["choices"].as_array().into_iter().flatten();
                let read = |one: &Value| (one["name"].as_str().unwrap_or_default().to_owned(), one["value"].clone());
                Some(Answer::Choices(choices.map(read).collect()))
            }
            callback_type::MODAL => Some(Answer::Form(how.data.clone())),
            callback_type::UPDATE | callback_type::DEFERRED_UPDATE => Some(Answer::Nothing),
            _ => {
                let seen = interaction.original.and_then(|id| world.message(id));
                let seen = seen.map(|message| Seen::of(&self.shared, world, message));
                // "Is thinking…" that was deleted leaves nothing behind.
                seen.map_or(Some(Answer::Nothing), |seen| (!seen.thinking).then(|| Answer::Message(Box::new(seen))))
            }
        }
    }

    /// Waits for the answer as a message.
    ///
    /// # Panics
    /// Where it is anything else, or none in time.
    pub async fn message(&self) -> Seen {
        match self.answer().await {
            Answer::Message(seen) => *seen,
            other => panic!("instead of a message: {other:?}"),
        }
    }

    /// Waits until the bot has acknowledged it in any way. Returns how long that took in real time, from the moment that
    /// the interaction was made.
    ///
    /// # Panics
    /// Where that does not happen in time.
    pub async fn acknowledged(&self) -> Duration {
        let after = |world: &World| world.interactions.get(&self.id)?.acknowledged.as_ref().map(|how| how.after);
        self.shared.until("an acknowledgement", after).await
    }

    /// Waits for a message that was said in answer, the first one or a later one, only to them or to all, and is as
    /// asked.
    ///
    /// # Panics
    /// Where none is in time.
    pub async fn said_where(&self, is: impl Fn(&Seen) -> bool) -> Seen {
        let choose = |all: Vec<Seen>| all.into_iter().rev().find(|seen| is(seen));
        self.shared.until_chosen("something said in answer", |world| self.all_said(world), choose).await
    }

    /// Everything that was said in answer so far.
    pub fn said(&self) -> Vec<Seen> {
        self.shared.look(|world| self.all_said(world))
    }

    fn all_said(&self, world: &World) -> Vec<Seen> {
        let Some(interaction) = world.interactions.get(&self.id) else { return Vec::new() };
        let messages = interaction.answers.iter().filter_map(|id| world.message(*id));
        messages.map(|message: &Message| Seen::of(&self.shared, world, message)).collect()
    }

    /// The interaction's token.
    pub fn token(&self) -> String {
        self.shared.look(|world| world.interactions.get(&self.id).map(|one| one.token.clone()).unwrap_or_default())
    }
}
