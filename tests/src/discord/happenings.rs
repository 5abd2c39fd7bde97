//! What happens: a message is posted, edited, deleted, reacted to, an interaction is made. Whoever is connected hears of it.

use serde_json::{Value, json};

use super::clock::between;
use super::draft::{Allowed, Draft, Upload};
use super::gateway::Out;
use super::gateway::intents::{self, Intents};
use super::id::Snowflake;
use super::limits::{HAS_THREAD, LOADING};
use super::permissions::{MENTION_EVERYONE, VIEW_CHANNEL};
use super::shape;
use super::world::{
    Asking, Attachment, Channel, Interaction, Message, NONCE_WINDOW, Pinged, Reaction, Revision, Thread, World,
};
use crate::secrets::PLANTED;

impl World {
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

    fn attach(&mut self, upload: Upload) -> Attachment {
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
        self.gateway.to_all(|| Out::Close(4004, "Authentication failed."));
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
        let token = format!("aW50ZXJhY3Rpb246{PLANTED}{id}{random}");
        let mut body = shape::interaction(self, id, &token, &asked);
        body["data"] = asked.data;
        let interaction = Interaction {
            id,
            token: token.clone(),
            kind: asked.kind,
            user: asked.user,
            channel: asked.channel,
            created: self.now(),
            made: std::time::Instant::now(),
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
}
