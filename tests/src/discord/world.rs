//! What there is in Discord: one server with its people and channels, everything said there, and the application. All
//! that happens goes through here, so that whoever is connected hears of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::body::File;
use super::buckets::Limits;
use super::clock::{Clock, between, iso8601};
use super::controls::Faults;
use super::gateway::Gateway;
use super::gateway::intents::{self, Intents};
use super::id::Snowflake;
use super::limits::{Allowed, Draft, HAS_THREAD, LOADING};
use super::permissions::{self, MENTION_EVERYONE, Overwrite, Permissions, VIEW_CHANNEL};
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

    /// Posts a message. Where a nonce is to be enforced and a message of the same author and nonce is young enough,
    /// that one is what comes back.
    pub(crate) fn post(
        &mut self,
        channel: Snowflake,
        author: Snowflake,
        draft: Draft,
        interaction: Option<Snowflake>,
        only_for: Option<Snowflake>,
    ) -> Snowflake {
        if let Some(earlier) = self.same_nonce(channel, author, &draft) {
            return earlier;
        }
        let id = self.next_id();
        let now = self.now();
        let content = draft.content.unwrap_or_default();
        let allowed = draft.allowed.unwrap_or_else(Allowed::all);
        let pinged = self.pinged(channel, author, &content, &allowed);
        let attachments = draft.files.into_iter().map(|upload| self.attach(upload)).collect();
        let message = Message {
            id,
            channel,
            author,
            content,
            embeds: draft.embeds.unwrap_or_default(),
            components: draft.components.unwrap_or_default(),
            attachments,
            reactions: Vec::new(),
            created: now,
            edited: None,
            flags: draft.flags,
            nonce: draft.nonce,
            pinged,
            reply_to: draft.reply_to,
            interaction,
            only_for,
            history: Vec::new(),
        };
        self.note_dangling(&message);
        if let Some(channel) = self.channels.get_mut(&channel) {
            channel.messages.insert(id, message);
            if let Some(thread) = &mut channel.thread {
                thread.archived = false;
            }
        }
        self.tell_of_message("MESSAGE_CREATE", id);
        id
    }

    fn same_nonce(&self, channel: Snowflake, author: Snowflake, draft: &Draft) -> Option<Snowflake> {
        let nonce = draft.nonce.as_ref().filter(|_| draft.enforce_nonce)?;
        let now = self.now();
        let messages = &self.channels.get(&channel)?.messages;
        let young = |message: &&Message| between(message.created, now) < NONCE_WINDOW;
        let same = |message: &&Message| message.author == author && message.nonce.as_ref() == Some(nonce);
        messages.values().rev().take_while(young).find(same).map(|message| message.id)
    }

    /// Changes a message as an edit does: what the draft does not mention stays.
    pub(crate) fn edit(&mut self, id: Snowflake, draft: Draft) {
        let now = self.now();
        let uploads: Vec<Attachment> = draft.files.into_iter().map(|upload| self.attach(upload)).collect();
        let Some(message) = self.channels.values_mut().find_map(|channel| channel.messages.get_mut(&id)) else {
            return;
        };
        let before = Revision {
            content: message.content.clone(),
            embeds: message.embeds.clone(),
            components: message.components.clone(),
        };
        let was_loading = message.flags & LOADING != 0;
        message.flags &= !LOADING;
        if let Some(content) = draft.content {
            message.content = content;
        }
        if let Some(embeds) = draft.embeds {
            message.embeds = embeds;
        }
        if let Some(components) = draft.components {
            message.components = components;
        }
        if let Some(keep) = draft.keep {
            message.attachments.retain(|file| keep.iter().any(|(id, _)| *id == file.id));
            for (id, description) in keep {
                let file = message.attachments.iter_mut().find(|file| file.id == id);
                if let (Some(file), Some(description)) = (file, description) {
                    file.description = Some(description);
                }
            }
        }
        message.attachments.extend(uploads);
        // "Is thinking…" becoming the answer is no edit to the eye.
        if !was_loading {
            message.history.push(before);
            message.edited = Some(now);
        }
        let message = message.clone();
        self.note_dangling(&message);
        self.tell_of_message("MESSAGE_UPDATE", id);
    }

    pub(crate) fn delete_message(&mut self, channel: Snowflake, id: Snowflake) {
        let Some(message) = self.channels.get_mut(&channel).and_then(|channel| channel.messages.remove(&id)) else {
            return;
        };
        if message.only_for.is_none() {
            let intent = self.message_intent(channel);
            self.tell_in(channel, intent, "MESSAGE_DELETE", |world| shape::deleted(world, channel, id));
        }
    }

    fn attach(&mut self, upload: super::limits::Upload) -> Attachment {
        Attachment { id: self.next_id(), file: upload.file, description: upload.description }
    }

    /// An embed that shows a file which the message does not have is a mistake that Discord does not refuse: people see
    /// a broken picture.
    fn note_dangling(&mut self, message: &Message) {
        for name in message.embeds.iter().flat_map(shape::files_shown) {
            if !message.attachments.iter().any(|file| file.file.name == name) {
                self.record.violations.push(format!("an embed shows {name}, which is not attached to the message"));
            }
        }
    }

    /// Adds a reaction; nothing happens where it is there already.
    pub(crate) fn react(&mut self, channel: Snowflake, message: Snowflake, user: Snowflake, emoji: &str) {
        let Some(found) = self.channels.get_mut(&channel).and_then(|channel| channel.messages.get_mut(&message)) else {
            return;
        };
        let place = found.reactions.iter().position(|one| one.emoji == emoji).unwrap_or_else(|| {
            found.reactions.push(Reaction { emoji: emoji.to_owned(), users: Vec::new() });
            found.reactions.len() - 1
        });
        let users = &mut found.reactions[place].users;
        if users.contains(&user) {
            return;
        }
        users.push(user);
        self.tell_of_reaction("MESSAGE_REACTION_ADD", channel, message, user, emoji);
    }

    /// Takes a reaction back. Returns whether it was there.
    pub(crate) fn unreact(&mut self, channel: Snowflake, message: Snowflake, user: Snowflake, emoji: &str) -> bool {
        let Some(found) = self.channels.get_mut(&channel).and_then(|channel| channel.messages.get_mut(&message)) else {
            return false;
        };
        let mut was_there = false;
        for one in found.reactions.iter_mut().filter(|one| one.emoji == emoji) {
            was_there |= one.users.contains(&user);
            one.users.retain(|other| *other != user);
        }
        found.reactions.retain(|one| !one.users.is_empty());
        if was_there {
            self.tell_of_reaction("MESSAGE_REACTION_REMOVE", channel, message, user, emoji);
        }
        was_there
    }

    /// Takes away every reaction of a message, or every one with `only` this emoji.
    pub(crate) fn clear_reactions(&mut self, channel: Snowflake, message: Snowflake, only: Option<&str>) {
        let Some(found) = self.channels.get_mut(&channel).and_then(|channel| channel.messages.get_mut(&message)) else {
            return;
        };
        found.reactions.retain(|one| only.is_some_and(|only| one.emoji != only));
        let event = if only.is_some() { "MESSAGE_REACTION_REMOVE_EMOJI" } else { "MESSAGE_REACTION_REMOVE_ALL" };
        self.tell_in(channel, intents::GUILD_MESSAGE_REACTIONS, event, |world| {
            let mut body = json!({ "channel_id": channel, "message_id": message, "guild_id": world.guild.id });
            if let Some(emoji) = only {
                body["emoji"] = json!({ "id": null, "name": emoji });
            }
            body
        });
    }

    /// Gives the application another token: whoever holds the old one is nobody any more.
    pub(crate) fn reset_token(&mut self) {
        self.application.token = None;
        self.gateway.to_all(|| super::gateway::Out::Close(4004, "Authentication failed."));
    }

    /// Starts a thread at a message; it gets the message's identifier.
    pub(crate) fn start_thread(
        &mut self,
        channel: Snowflake,
        message: Snowflake,
        owner: Snowflake,
        name: String,
        auto_archive: u64,
    ) {
        let created = self.now();
        let thread = Thread { owner, archived: false, locked: false, auto_archive, created };
        let thread = Channel { id: message, name, parent: Some(channel), thread: Some(thread), ..Channel::default() };
        self.channels.insert(message, thread);
        if let Some(start) = self.channels.get_mut(&channel).and_then(|channel| channel.messages.get_mut(&message)) {
            start.flags |= HAS_THREAD;
        }
        self.tell_in(message, intents::GUILDS, "THREAD_CREATE", |world| {
            let mut thread = shape::channel(world, message);
            thread["newly_created"] = json!(true);
            thread
        });
    }

    /// Who is pinged by a text: whom it names, whom its sender allows, and what Discord allows the sender.
    fn pinged(&self, channel: Snowflake, author: Snowflake, content: &str, allowed: &Allowed) -> Pinged {
        let names_all = self.may(author, channel).has(MENTION_EVERYONE);
        let mut pinged = Pinged::default();
        for piece in content.split('<').skip(1) {
            let Some((inner, _)) = piece.split_once('>') else { continue };
            if let Some(id) = inner.strip_prefix("@&").and_then(|id| id.parse().ok()) {
                let open = self.guild.roles.get(&id).is_some_and(|role| role.mentionable || names_all);
                if open && (allowed.all_roles || allowed.roles.contains(&id)) {
                    pinged.roles.insert(id);
                }
            } else if let Some(id) = inner.strip_prefix('@').and_then(|id| id.trim_start_matches('!').parse().ok())
                && self.users.contains_key(&id)
                && (allowed.all_users || allowed.users.contains(&id))
            {
                pinged.users.insert(id);
            }
        }
        pinged.everyone = allowed.everyone && names_all && (content.contains("@everyone") || content.contains("@here"));
        pinged
    }

    fn message_intent(&self, channel: Snowflake) -> Intents {
        let direct = self.channels.get(&channel).is_some_and(|channel| channel.recipient.is_some());
        if direct { intents::DIRECT_MESSAGES } else { intents::GUILD_MESSAGES }
    }

    fn tell_of_message(&mut self, event: &str, id: Snowflake) {
        let Some(message) = self.message(id).cloned() else { return };
        if message.only_for.is_some() {
            return;
        }
        let intent = self.message_intent(message.channel);
        self.tell_in(message.channel, intent, event, |world| {
            let mut shown = shape::message(world, &message, event == "MESSAGE_CREATE");
            if let Some(member) = shape::partial_member(world, message.author) {
                shown["member"] = member;
                shown["guild_id"] = json!(world.guild.id);
            }
            shown
        });
    }

    fn tell_of_reaction(&mut self, event: &str, channel: Snowflake, message: Snowflake, user: Snowflake, emoji: &str) {
        let direct = self.channels.get(&channel).is_some_and(|channel| channel.recipient.is_some());
        let intent = if direct { intents::DIRECT_MESSAGE_REACTIONS } else { intents::GUILD_MESSAGE_REACTIONS };
        let stale = self.faults.stale_roles.get(&user).cloned();
        self.tell_in(channel, intent, event, |world| {
            let mut body = json!({
                "user_id": user,
                "channel_id": channel,
                "message_id": message,
                "emoji": { "id": null, "name": emoji },
                "burst": false,
                "type": 0,
            });
            if !direct {
                body["guild_id"] = json!(world.guild.id);
            }
            if event == "MESSAGE_REACTION_ADD" {
                body["message_author_id"] = json!(world.message(message).map(|message| message.author));
                body["burst_colors"] = json!([]);
                if let Some(mut member) = shape::member(world, user).filter(|_| !direct) {
                    if let Some(roles) = &stale {
                        member["roles"] = json!(roles);
                    }
                    body["member"] = member;
                }
            }
            body
        });
    }

    /// Tells every session that asked for it and whose bot sees the channel.
    pub(crate) fn tell_in(
        &mut self,
        channel: Snowflake,
        intent: Intents,
        event: &str,
        body: impl FnOnce(&Self) -> Value,
    ) {
        if self.may(self.application.bot, channel).has(VIEW_CHANNEL) {
            let body = body(self);
            self.tell(Some(intent), event, &body);
        }
    }

    /// Tells every session that asked for `intent`; all of them where it is `None`.
    pub(crate) fn tell(&mut self, intent: Option<Intents>, event: &str, body: &Value) {
        let now = self.now();
        self.gateway.dispatch(now, intent, event, body);
    }

    /// Changes what somebody holds, and says so to who may listen to members.
    pub(crate) fn set_roles(&mut self, user: Snowflake, roles: Vec<Snowflake>) {
        let Some(member) = self.guild.members.get_mut(&user) else { return };
        member.roles = roles;
        let mut body = shape::member(self, user).unwrap_or_default();
        body["guild_id"] = json!(self.guild.id);
        // A bot hears of its own member without the privilege.
        let intent = if user == self.application.bot { None } else { Some(intents::GUILD_MEMBERS) };
        self.tell(intent, "GUILD_MEMBER_UPDATE", &body);
    }

    /// Puts an interaction before whoever is connected.
    pub(crate) fn ask(&mut self, asked: Asking) -> Snowflake {
        let id = self.next_id();
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(120).collect();
        let token = format!("aW50ZXJhY3Rpb246{id}{random}");
        let mut body = shape::interaction(self, id, &token, &asked);
        body["data"] = asked.data;
        let interaction = Interaction {
            id,
            token: token.clone(),
            kind: asked.kind,
            user: asked.user,
            channel: asked.channel,
            created: self.now(),
            message: asked.message,
            acknowledged: None,
            original: None,
            answers: Vec::new(),
        };
        self.tokens.insert(token, id);
        self.interactions.insert(id, interaction);
        self.tell(None, "INTERACTION_CREATE", &body);
        id
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
