//! What is read of Discord's answers and events: only what is used, and everything that may be absent is optional, so
//! that a field that Discord adds or drops elsewhere changes nothing here.

use serde::Deserialize;

use super::id::{ApplicationId, ChannelId, CommandId, GuildId, InteractionId, MessageId, RoleId, UserId};

/// A person or a bot.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct User {
    pub(crate) id: UserId,
    #[serde(default)]
    pub(crate) username: String,
    #[serde(default)]
    pub(crate) global_name: Option<String>,
    #[serde(default)]
    pub(crate) bot: bool,
}

/// Somebody in the server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Member {
    #[serde(default)]
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) nick: Option<String>,
    #[serde(default)]
    pub(crate) roles: Vec<RoleId>,
}

impl Member {
    /// What people call them here.
    pub(crate) fn name(&self) -> Option<&str> {
        let user = self.user.as_ref();
        self.nick
            .as_deref()
            .or_else(|| user?.global_name.as_deref())
            .or_else(|| user.map(|user| user.username.as_str()))
            .filter(|name| !name.is_empty())
    }
}

/// A message, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Message {
    pub(crate) id: MessageId,
    pub(crate) channel_id: ChannelId,
    pub(crate) author: User,
    #[serde(default)]
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) edited_timestamp: Option<String>,
    #[serde(default)]
    pub(crate) embeds: Vec<ReadEmbed>,
    #[serde(default)]
    pub(crate) thread: Option<Channel>,
    /// Written by a webhook: its author is no account.
    #[serde(default)]
    pub(crate) webhook_id: Option<String>,
}

/// An embed, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ReadEmbed {
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) footer: Option<ReadFooter>,
}

/// An embed's small print, as it is read back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ReadFooter {
    #[serde(default)]
    pub(crate) text: String,
}

/// A channel or a thread.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Channel {
    pub(crate) id: ChannelId,
    #[serde(rename = "type", default)]
    pub(crate) kind: u8,
    #[serde(default)]
    pub(crate) guild_id: Option<GuildId>,
    #[serde(default)]
    pub(crate) parent_id: Option<ChannelId>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) permission_overwrites: Vec<Overwrite>,
}

/// What a role or a person may do otherwise in one channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Overwrite {
    /// A role or a person.
    pub(crate) id: String,
    /// 0 for a role, 1 for a person.
    #[serde(rename = "type", default)]
    pub(crate) kind: u8,
    #[serde(default)]
    pub(crate) allow: String,
    #[serde(default)]
    pub(crate) deny: String,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct RoleFound {
    pub(crate) id: RoleId,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) permissions: String,
    #[serde(default)]
    pub(crate) mentionable: bool,
    /// Belongs to a bot or an integration: no person holds it.
    #[serde(default)]
    pub(crate) managed: bool,
}

/// A server.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Guild {
    pub(crate) id: GuildId,
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) owner_id: UserId,
    #[serde(default)]
    pub(crate) roles: Vec<RoleFound>,
}

/// The bot as an application.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Application {
    pub(crate) id: ApplicationId,
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) bot_public: bool,
}

/// Where the gateway is, and how often may be identified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct GatewayBot {
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) session_start_limit: Option<SessionStartLimit>,
}

/// How often may be identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct SessionStartLimit {
    pub(crate) total: u32,
    pub(crate) remaining: u32,
    /// Milliseconds until there are as many again.
    pub(crate) reset_after: u64,
}

/// A registered command, as far as it is needed to replace it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Registered {
    pub(crate) id: CommandId,
    pub(crate) name: String,
    /// Everything that was registered, and what Discord adds.
    #[serde(flatten)]
    pub(crate) rest: serde_json::Map<String, serde_json::Value>,
}

/// Something that somebody did and that wants an answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Interaction {
    pub(crate) id: InteractionId,
    pub(crate) application_id: ApplicationId,
    /// 2 a command, 3 a button, 4 a completion, 5 a filled-in form.
    #[serde(rename = "type")]
    pub(crate) kind: u8,
    /// By which it is answered, for 15 minutes.
    #[serde(deserialize_with = "scalebot_adapters::settings::secret")]
    pub(crate) token: secrecy::SecretString,
    #[serde(default)]
    pub(crate) guild_id: Option<GuildId>,
    #[serde(default)]
    pub(crate) channel_id: Option<ChannelId>,
    #[serde(default)]
    pub(crate) channel: Option<Channel>,
    #[serde(default)]
    pub(crate) member: Option<Member>,
    /// Outside of a server.
    #[serde(default)]
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) message: Option<Message>,
    #[serde(default)]
    pub(crate) data: Option<InteractionData>,
    /// How the bot was installed: "0" in a server, "1" by a person for themselves.
    #[serde(default)]
    pub(crate) authorizing_integration_owners: Option<serde_json::Map<String, serde_json::Value>>,
}

/// What exactly somebody did.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct InteractionData {
    /// A command's name.
    #[serde(default)]
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) options: Vec<CommandOption>,
    /// A button's or a form's.
    #[serde(default)]
    pub(crate) custom_id: String,
    /// A form's rows.
    #[serde(default)]
    pub(crate) components: Vec<FormRow>,
}

/// What was given to a command: a subcommand with its own, or a value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct CommandOption {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) value: Option<serde_json::Value>,
    #[serde(default)]
    pub(crate) options: Vec<CommandOption>,
    /// Being typed at the moment.
    #[serde(default)]
    pub(crate) focused: bool,
}

/// One row of a form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct FormRow {
    #[serde(default)]
    pub(crate) components: Vec<FormField>,
}

/// One field of a form.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct FormField {
    #[serde(default)]
    pub(crate) custom_id: String,
    #[serde(default)]
    pub(crate) value: String,
}

/// A mark under a message, made or taken away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Reaction {
    pub(crate) user_id: UserId,
    pub(crate) channel_id: ChannelId,
    pub(crate) message_id: MessageId,
    pub(crate) emoji: Emoji,
}

/// A mark.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Emoji {
    /// Of the server's own ones.
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// The bot is connected.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Ready {
    pub(crate) user: User,
    pub(crate) session_id: String,
    pub(crate) application: ReadyApplication,
}

/// The bot as an application, as far as READY tells.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ReadyApplication {
    pub(crate) id: ApplicationId,
}

impl Interaction {
    /// Who did it.
    pub(crate) fn user(&self) -> Option<&User> {
        self.member.as_ref().and_then(|member| member.user.as_ref()).or(self.user.as_ref())
    }
}
