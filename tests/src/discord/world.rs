//! What there is in Discord: one server with its people and channels, everything said there, and the application. All
//! that happens goes through here, so that whoever is connected hears of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::body::File;
use super::buckets::Limits;
use super::clock::{Clock, iso8601};
use super::controls::Faults;
use super::gateway::Gateway;
use super::gateway::intents::{self, Intents};
use super::id::Snowflake;
use super::permissions::{self, Overwrite, Permissions};
use super::record::Record;
use super::shape;

/// How long a nonce is remembered.
pub const NONCE_WINDOW: Duration = Duration::from_mins(3);
/// How long an interaction waits for its acknowledgement.
pub const ACKNOWLEDGE_WITHIN: Duration = Duration::from_secs(3);
/// How long an interaction's token lives.
pub const TOKEN_LIFE: Duration = Duration::from_mins(15);

pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) address: String,
    pub(crate) application: Application,
    pub(crate) guild: Guild,
    pub(crate) users: BTreeMap<Snowflake, User>,
    pub(crate) channels: BTreeMap<Snowflake, Channel>,
    pub(crate) commands: BTreeMap<Snowflake, Value>,
    /// Which roles the server's settings let use a command, by its name.
    pub(crate) command_grants: BTreeMap<String, Vec<Snowflake>>,
    pub(crate) interactions: BTreeMap<Snowflake, Interaction>,
    pub(crate) tokens: HashMap<String, Snowflake>,
    pub(crate) gateway: Gateway,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) record: Record,
    pub(crate) last_id: u64,
}

/// The bot's registration.
pub(crate) struct Application {
    pub(crate) id: Snowflake,
    pub(crate) bot: Snowflake,
    pub(crate) name: String,
    /// `None` after it was reset: nothing is accepted then.
    pub(crate) token: Option<String>,
    /// What it may listen to beyond the unprivileged.
    pub(crate) privileged: Intents,
}

impl Application {
    /// The application's flags, which tell of the privileged intents that were granted.
    pub(crate) fn flags(&self) -> u64 {
        let granted = [
            (intents::GUILD_PRESENCES, 1 << 13),
            (intents::GUILD_MEMBERS, 1 << 15),
            (intents::MESSAGE_CONTENT, 1 << 19),
        ];
        granted.into_iter().filter(|(intent, _)| self.privileged.has(*intent)).map(|(_, flag)| flag).sum()
    }
}

pub(crate) struct Guild {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) owner: Snowflake,
    pub(crate) roles: BTreeMap<Snowflake, Role>,
    pub(crate) members: BTreeMap<Snowflake, Member>,
}

pub(crate) struct Role {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) mentionable: bool,
    pub(crate) of_bot: Option<Snowflake>,
}

pub(crate) struct Member {
    pub(crate) roles: Vec<Snowflake>,
    pub(crate) joined: Timestamp,
}

pub(crate) struct User {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) bot: bool,
    pub(crate) takes_direct_messages: bool,
}

/// A text channel, a thread in one, or a conversation with one person.
#[derive(Default)]
pub(crate) struct Channel {
    pub(crate) id: Snowflake,
    pub(crate) name: String,
    pub(crate) overwrites: Vec<Overwrite>,
    /// Of a thread: the channel that it is in.
    pub(crate) parent: Option<Snowflake>,
    pub(crate) thread: Option<Thread>,
    /// Of a direct conversation: with whom.
    pub(crate) recipient: Option<Snowflake>,
    pub(crate) messages: BTreeMap<Snowflake, Message>,
}

pub(crate) struct Thread {
    pub(crate) owner: Snowflake,
    pub(crate) archived: bool,
    pub(crate) locked: bool,
    pub(crate) auto_archive: u64,
    pub(crate) created: Timestamp,
}

#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) id: Snowflake,
    pub(crate) channel: Snowflake,
    pub(crate) author: Snowflake,
    pub(crate) content: String,
    pub(crate) embeds: Vec<Value>,
    pub(crate) components: Vec<Value>,
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) reactions: Vec<Reaction>,
    pub(crate) created: Timestamp,
    pub(crate) edited: Option<Timestamp>,
    pub(crate) flags: u64,
    pub(crate) nonce: Option<Value>,
    pub(crate) pinged: Pinged,
    pub(crate) reply_to: Option<Snowflake>,
    /// What asked for it.
    pub(crate) interaction: Option<Snowflake>,
    /// Who alone sees it.
    pub(crate) only_for: Option<Snowflake>,
    pub(crate) history: Vec<Revision>,
}

/// What a message said before it was edited.
#[derive(Clone, Debug)]
pub struct Revision {
    /// The plain text.
    pub content: String,
    /// The embeds, as they were asked for.
    pub embeds: Vec<Value>,
    /// The rows of components.
    pub components: Vec<Value>,
}

#[derive(Clone)]
pub(crate) struct Attachment {
    pub(crate) id: Snowflake,
    pub(crate) file: File,
    pub(crate) description: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Reaction {
    pub(crate) emoji: String,
    /// In the order in which they came.
    pub(crate) users: Vec<Snowflake>,
}

/// Who was pinged by a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pinged {
    pub(crate) users: BTreeSet<Snowflake>,
    pub(crate) roles: BTreeSet<Snowflake>,
    pub(crate) everyone: bool,
}

/// Something that a person asked of the bot.
pub(crate) struct Interaction {
    pub(crate) id: Snowflake,
    pub(crate) token: String,
    /// 2 a command, 3 a component, 4 completion of an option, 5 a form.
    pub(crate) kind: u8,
    pub(crate) user: Snowflake,
    pub(crate) channel: Snowflake,
    pub(crate) created: Timestamp,
    /// The same in real time, for those who measure.
    pub(crate) made: std::time::Instant,
    /// The message whose component was used.
    pub(crate) message: Option<Snowflake>,
    pub(crate) acknowledged: Option<Acknowledged>,
    pub(crate) original: Option<Snowflake>,
    /// Everything that the bot said with its token, the first answer included.
    pub(crate) answers: Vec<Snowflake>,
}

#[derive(Clone, Debug)]
pub(crate) struct Acknowledged {
    /// The type of the callback.
    pub(crate) kind: u8,
    pub(crate) data: Value,
    /// How long it took in real time.
    pub(crate) after: Duration,
}

impl World {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// An identifier of its own, later than every one before.
    pub(crate) fn next_id(&mut self) -> Snowflake {
        self.last_id = (self.last_id + 1).max(Snowflake::first_of(self.now()).0);
        Snowflake(self.last_id)
    }

    pub(crate) fn may(&self, user: Snowflake, channel: Snowflake) -> Permissions {
        self.channels.get(&channel).map_or(Permissions::NONE, |channel| permissions::in_channel(self, user, channel))
    }

    pub(crate) fn name_of(&self, user: Snowflake) -> String {
        self.users.get(&user).map_or_else(|| user.to_string(), |user| user.name.clone())
    }

    pub(crate) fn message(&self, id: Snowflake) -> Option<&Message> {
        self.channels.values().find_map(|channel| channel.messages.get(&id))
    }

    /// Whether the bot may know what a message says: its own, what pings it, what is said to it directly, or everything
    /// where the privileged intent was granted.
    pub(crate) fn bot_reads(&self, message: &Message) -> bool {
        let bot = self.application.bot;
        message.author == bot
            || message.pinged.users.contains(&bot)
            || self.application.privileged.has(intents::MESSAGE_CONTENT)
            || self.channels.get(&message.channel).is_some_and(|channel| channel.recipient.is_some())
    }

    /// What happened lately, for a test that waited in vain.
    pub(crate) fn transcript(&self) -> String {
        let mut lines = vec![format!("at {} by Discord's clock:", iso8601(self.now()))];
        for channel in self.channels.values().filter(|channel| !channel.messages.is_empty()) {
            lines.push(format!("#{}", channel.name));
            lines.extend(channel.messages.values().map(|message| {
                let only =
                    message.only_for.map_or_else(String::new, |user| format!(" (only for {})", self.name_of(user)));
                let edits = message.history.len();
                let text = shape::all_text(message).replace('\n', "\n      ");
                format!("  {}{only}, edited {edits} times: {text}", self.name_of(message.author))
            }));
        }
        for interaction in self.interactions.values() {
            let how = interaction
                .acknowledged
                .as_ref()
                .map_or_else(|| "not acknowledged".into(), |how| format!("answered with {}", how.kind));
            lines.push(format!("interaction {} by {}: {how}", interaction.id, self.name_of(interaction.user)));
        }
        lines.push(self.gateway.summary());
        lines.push("the last requests:".into());
        lines.extend(self.record.last(25).map(|request| format!("  {request}")));
        lines.join("\n")
    }
}

/// An interaction as a person makes it.
pub(crate) struct Asking {
    pub(crate) kind: u8,
    pub(crate) user: Snowflake,
    pub(crate) channel: Snowflake,
    pub(crate) data: Value,
    pub(crate) message: Option<Snowflake>,
    pub(crate) whence: Whence,
}

/// Where a person stands when they use the application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Whence {
    /// In the server, by the application that the server has installed.
    #[default]
    Server,
    /// In the server, by the application that the person has installed for themselves.
    OwnInstallation,
    /// In the conversation with the bot.
    DirectMessage,
    /// In another server that has the bot as well.
    AnotherServer,
}
