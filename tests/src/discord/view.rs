//! What a person sees: the messages of a channel with all that hangs on them, and a way to wait for one.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use serde_json::Value;

use super::id::Snowflake;
use super::limits::LOADING;
use super::server::Shared;
use super::shape;
use super::world::{Message, Revision, World};

/// A channel, a thread or a direct conversation.
#[derive(Clone)]
pub struct ChannelView {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Snowflake,
}

/// A message as it stands at the moment of looking.
#[derive(Clone)]
pub struct Seen {
    pub(crate) shared: Arc<Shared>,
    /// Its identifier.
    pub id: Snowflake,
    /// Where it stands.
    pub channel: Snowflake,
    /// Who wrote it.
    pub author: String,
    /// The plain text.
    pub content: String,
    /// Everything that is to be read in it, a line each: text, embeds, `[buttons]`, `<files>`.
    pub text: String,
    /// The embeds, as they were asked for.
    pub embeds: Vec<Value>,
    /// The rows of components.
    pub components: Vec<Value>,
    /// Files, those that an embed shows included.
    pub attachments: Vec<SeenFile>,
    /// Who gave which reaction, in the order in which they came.
    pub reactions: BTreeMap<String, Vec<String>>,
    /// How often it was edited.
    pub edits: usize,
    /// What it said before each edit.
    pub history: Vec<Revision>,
    /// Names of the roles and people that were pinged by it.
    pub pinged: Vec<String>,
    /// Only who asked sees it.
    pub ephemeral: bool,
    /// It says "is thinking…" as yet.
    pub thinking: bool,
    /// Whether a thread was started at it.
    pub has_thread: bool,
    /// As the API gives it to the bot.
    pub json: Value,
}

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    /// Its name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// What a screen reader says of it.
    pub description: Option<String>,
    /// What is in it.
    pub bytes: Bytes,
    /// Whether an embed shows it, so that it is not listed below the message.
    pub shown_in_embed: bool,
}

impl ChannelView {
    /// Its identifier.
    pub fn id(&self) -> Snowflake {
        self.id
    }

    /// The messages that everybody here sees, the oldest first.
    pub fn messages(&self) -> Vec<Seen> {
        self.shared.look(|world| self.all(world))
    }

    fn all(&self, world: &World) -> Vec<Seen> {
        let Some(channel) = world.channels.get(&self.id) else { return Vec::new() };
        let open = channel.messages.values().filter(|message| message.only_for.is_none());
        open.map(|message| Seen::of(&self.shared, world, message)).collect()
    }

    /// Waits for a message that is as asked: one that is there, comes, or becomes so by an edit. The newest such.
    ///
    /// # Panics
    /// Where none is in time, with everything that was to be seen.
    pub async fn message_where(&self, is: impl Fn(&Seen) -> bool) -> Seen {
        self.newest("a message as asked for", is).await
    }

    /// Waits for a message in which these words stand.
    ///
    /// # Panics
    /// As `message_where`.
    pub async fn message_with(&self, words: &str) -> Seen {
        self.newest(&format!("a message with {words:?}"), |seen| seen.text.contains(words)).await
    }

    async fn newest(&self, what: &str, is: impl Fn(&Seen) -> bool) -> Seen {
        self.shared.until_chosen(what, |world| self.all(world), |all| all.into_iter().rev().find(|seen| is(seen))).await
    }

    /// Waits until there are at least so many messages.
    ///
    /// # Panics
    /// As `message_where`.
    pub async fn at_least(&self, how_many: usize) -> Vec<Seen> {
        let what = format!("{how_many} messages");
        self.shared.until(&what, |world| Some(self.all(world)).filter(|all| all.len() >= how_many)).await
    }

    /// The threads that were started here.
    pub fn threads(&self) -> Vec<ChannelView> {
        self.shared.look(|world| {
            let here = world.channels.values().filter(|channel| channel.parent == Some(self.id));
            here.map(|channel| ChannelView { shared: Arc::clone(&self.shared), id: channel.id }).collect()
        })
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.shared.look(|world| world.channels.get(&self.id).map(|channel| channel.name.clone()).unwrap_or_default())
    }

    /// Whether it is a thread that was archived.
    pub fn is_archived(&self) -> bool {
        self.shared.look(|world| {
            let channel = world.channels.get(&self.id);
            channel.and_then(|channel| channel.thread.as_ref()).is_some_and(|thread| thread.archived)
        })
    }
}

impl Seen {
    pub(crate) fn of(shared: &Arc<Shared>, world: &World, message: &Message) -> Self {
        let inside: Vec<String> = message.embeds.iter().flat_map(shape::files_shown).collect();
        let file = |file: &super::world::Attachment| SeenFile {
            name: file.file.name.clone(),
            content_type: file.file.content_type.clone(),
            description: file.description.clone(),
            bytes: file.file.bytes.clone(),
            shown_in_embed: inside.contains(&file.file.name),
        };
        let names = |users: &[Snowflake]| users.iter().map(|user| world.name_of(*user)).collect();
        let roles = message.pinged.roles.iter().filter_map(|id| world.guild.roles.get(id));
        let mut pinged: Vec<String> = roles.map(|role| format!("@{}", role.name)).collect();
        pinged.extend(message.pinged.users.iter().map(|user| format!("@{}", world.name_of(*user))));
        if message.pinged.everyone {
            pinged.push("@everyone".to_owned());
        }
        Self {
            shared: Arc::clone(shared),
            id: message.id,
            channel: message.channel,
            author: world.name_of(message.author),
            content: message.content.clone(),
            text: shape::all_text(message),
            embeds: message.embeds.clone(),
            components: message.components.clone(),
            attachments: message.attachments.iter().map(file).collect(),
            reactions: message.reactions.iter().map(|one| (one.emoji.clone(), names(&one.users))).collect(),
            edits: message.history.len(),
            history: message.history.clone(),
            pinged,
            ephemeral: message.only_for.is_some(),
            thinking: message.flags & LOADING != 0,
            has_thread: world.channels.get(&message.id).is_some_and(|channel| channel.thread.is_some()),
            json: shape::message(world, message, false),
        }
    }

    /// The same message as it stands now; `None` where it was deleted.
    pub fn now(&self) -> Option<Self> {
        self.shared.look(|world| world.message(self.id).map(|message| Self::of(&self.shared, world, message)))
    }

    /// Waits until it is as asked.
    ///
    /// # Panics
    /// Where it does not become so in time, with everything that was to be seen.
    pub async fn until(&self, is: impl Fn(&Self) -> bool) -> Self {
        let look = |world: &World| world.message(self.id).map(|message| Self::of(&self.shared, world, message));
        let what = "the message to become as asked for";
        self.shared.until_chosen(what, look, |seen| seen.filter(|seen| is(seen))).await
    }

    /// The thread that was started at it.
    pub fn thread(&self) -> Option<ChannelView> {
        self.has_thread.then(|| ChannelView { shared: Arc::clone(&self.shared), id: self.id })
    }

    /// The labels of its buttons; those that cannot be pressed in round brackets.
    pub fn buttons(&self) -> Vec<String> {
        let label = |button: &Value| {
            let label = button["label"].as_str().or_else(|| button["emoji"]["name"].as_str()).unwrap_or_default();
            if button["disabled"] == true { format!("({label})") } else { label.to_owned() }
        };
        self.all_components().filter(|one| one["type"] == 2).map(label).collect()
    }

    pub(crate) fn all_components(&self) -> impl Iterator<Item = &Value> {
        self.components.iter().filter_map(|row| row["components"].as_array()).flatten()
    }
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by {}, edited {} times:\n{}", self.id, self.author, self.edits, self.text)
    }
}
