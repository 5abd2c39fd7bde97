//! Marks under requests: ✅ and ❌, made and taken away, while the bot looks and while it does not. What a mark means is
//! decided by the commands; here it is only told which request it is on, and passed on once.

use std::collections::BTreeSet;
use std::sync::Arc;

use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::journal::Signal;
use scalebot_commands::ports::PortError;
use serenity::all::{Reaction, ReactionType, UserId};

use super::drawing;
use super::people::{People, person};
use super::rest::{Fault, Place, Rest};
use super::room::placed::{Ask, Board, Entry, Passed};
use crate::reception::{Reception, Reply};

/// A mark as Discord writes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MarkAs {
    pub(crate) character: &'static str,
    pub(crate) in_url: &'static str,
}

/// ✅
pub(crate) const APPROVE: MarkAs = MarkAs { character: "\u{2705}", in_url: "%E2%9C%85" };

/// ❌
pub(crate) const REJECT: MarkAs = MarkAs { character: "\u{274c}", in_url: "%E2%9D%8C" };

/// How many people's marks under one message are believed.
const MARKS: usize = 1_000;

/// What watches over marks.
pub(crate) struct Marks {
    pub(crate) rest: Rest,
    pub(crate) board: Board,
    pub(crate) people: Arc<People>,
    pub(crate) reception: Arc<dyn Reception>,
    /// One reading of marks at a time, and none while a mark is passed on: each is passed on once.
    pub(crate) in_turn: tokio::sync::Mutex<()>,
}

impl Marks {
    /// Somebody made a mark, or took it away.
    pub(crate) async fn seen(&self, reaction: &Reaction, made: bool) {
        let Some(mark) = mark_of(&reaction.emoji) else { return };
        let asks = |entry: &Entry| entry.ask.is_some() && entry.channel == reaction.channel_id;
        if !self.board.of_message(reaction.message_id).is_some_and(|entry| asks(&entry)) {
            return;
        }
        let Some(user) = reaction.user_id else { return };
        // Its own marks are there to be pressed. Who the bot is was asked when it connected.
        if !matches!(self.rest.my_id().await, Ok(me) if me != user) {
            return;
        }
        let _in_turn = self.in_turn.lock().await;
        let Some(entry) = self.board.of_message(reaction.message_id) else { return };
        if asks(&entry) {
            self.pass_on(&entry, user, mark, made, None).await;
        }
    }

    /// Reads the marks of every request that is open, because nobody tells of those that were made or taken away while
    /// the bot was not connected. They are passed on as read now.
    ///
    /// # Errors
    /// A reason why the marks of one could not be read, one that may pass before any other; those of the others are passed
    /// on all the same.
    pub(crate) async fn read_all(&self) -> Result<(), PortError> {
        let _in_turn = self.in_turn.lock().await;
        let mut failed = None;
        for entry in self.board.asking() {
            match self.read(&entry).await {
                Ok(()) => {}
                Err(fault) if fault.is_gone() => {
                    // Marks on a message that is gone are gone; the next card is a new message.
                    tracing::warn!(operation = %entry.operation, "the message of an open request is gone");
                    self.board.forget(entry.message).await;
                }
                Err(fault) => failed = failed.filter(Fault::may_pass).or(Some(fault)),
            }
        }
        failed.map_or(Ok(()), |fault| Err(fault.into()))
    }

    async fn read(&self, entry: &Entry) -> Result<(), Fault> {
        let place = Place::new(entry.channel, "the channel of a request");
        let me = self.rest.my_id().await?;
        let mut found: BTreeSet<(UserId, Passed)> = BTreeSet::new();
        // ❌ first: who has made both means no, and must not be taken at their ✅ in between.
        for (emoji, mark) in [(REJECT, Passed::Reject), (APPROVE, Passed::Approve)] {
            let by = self.rest.marked_by(&place, entry.message, emoji.in_url, MARKS).await?;
            found.extend(by.into_iter().filter(|user| user.id != me).map(|user| (user.id, mark)));
        }
        let known = entry.ask.as_ref().map(|ask| ask.marks.clone()).unwrap_or_default();
        let mut new: Vec<_> = found.difference(&known).copied().collect();
        new.sort_by_key(|(_, mark)| *mark == Passed::Approve);
        for (user, mark) in known.difference(&found) {
            self.pass_on(entry, *user, (*mark).into(), false, None).await;
        }
        for (user, mark) in new {
            self.pass_on(entry, user, mark.into(), true, None).await;
        }
        Ok(())
    }

    /// Passes a mark on, and tells who made it what there is to say.
    async fn pass_on(&self, entry: &Entry, user: UserId, mark: Mark, made: bool, reason: Option<String>) {
        let Some(Ask { digest, marks, .. }) = &entry.ask else { return };
        let passed = (user, Passed::from(mark));
        // Told twice, or taken away though it never was passed on.
        if marks.contains(&passed) == made {
            return;
        }
        let ballot = Ballot { by: person(user), mark, request: digest.clone(), reason };
        let signal = if made { Signal::Cast(ballot) } else { Signal::Withdrawn(ballot) };
        let reply = self.reception.signal(&entry.operation, signal).await;
        let remember = |entry: &mut Entry| {
            if let Some(ask) = &mut entry.ask {
                if made {
                    ask.marks.insert(passed)
                } else {
                    ask.marks.remove(&passed)
                };
            }
        };
        self.board.change(entry.message, remember).await;
        let (Reply::Taken(text) | Reply::Refused(text) | Reply::Opened { text, .. }) = reply else { return };
        if text.is_empty() {
            return;
        }
        let said = drawing::say(&text, &drawing::choices(&text));
        if let Err(error) = self.people.tell(&person(user), said).await {
            tracing::warn!(operation = %entry.operation, %error, "somebody could not be told what became of their mark");
        }
    }
}

/// What a mark means; `None` for any other, and for the server's own ones, which may bear any name.
fn mark_of(emoji: &ReactionType) -> Option<Mark> {
    match emoji {
        ReactionType::Unicode(name) if name == APPROVE.character => Some(Mark::Approve),
        ReactionType::Unicode(name) if name == REJECT.character => Some(Mark::Reject),
        _ => None,
    }
}
