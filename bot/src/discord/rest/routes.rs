//! What is asked of Discord, one function a route.

use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use serenity::all::{
    ApplicationId, AutoArchiveDuration, BotGateway, ChannelId, Command, CreateCommand, CreateInteractionResponse,
    CreateThread, CurrentApplicationInfo, CurrentUser, EditMessage, GuildChannel, GuildId, InteractionId, Member,
    MessageId, PartialGuild, PrivateChannel, RoleId, User, UserId,
};

use super::limits::Route;
use super::posted::{self, Posted};
use super::{ACKNOWLEDGE, Body, Call, Fault, PATIENCE, Rest, code};
use crate::discord::wire::{Plain, ReadBack};

/// A channel with what people call it, so that an error can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: ChannelId,
    /// "the ops channel".
    pub(crate) called: &'static str,
}

/// What the bot needs where it posts.
const POST: &str = "View Channel, Send Messages, Embed Links, Attach Files, Read Message History";

/// What the bot needs where it reads.
const READ: &str = "View Channel, Read Message History";

/// How many of anything a page holds.
const PAGE: usize = 100;

fn call(
    method: Method,
    pattern: &'static str,
    major: impl std::fmt::Display,
    path: String,
    doing: impl Into<String>,
) -> Call {
    let repeatable = method != Method::POST;
    let route = Route { pattern, major: major.to_string(), urgent: false };
    let (body, needs, as_bot) = (Body::Nothing, "", true);
    Call { method, path, route, body, doing: doing.into(), needs, repeatable, as_bot, patience: PATIENCE }
}

fn get(pattern: &'static str, major: impl std::fmt::Display, path: String, doing: impl Into<String>) -> Call {
    call(Method::GET, pattern, major, path, doing)
}

impl Place {
    pub(crate) fn new(id: ChannelId, called: &'static str) -> Self {
        Self { id, called }
    }
}

/// What knows the bot and its server.
impl Rest {
    /// Where the gateway is, and how often may be identified.
    pub(crate) async fn gateway(&self) -> Result<BotGateway, Fault> {
        self.json(get("GET gateway/bot", "", "gateway/bot".to_owned(), "find the gateway")).await
    }

    /// The bot itself.
    pub(crate) async fn me(&self) -> Result<CurrentUser, Fault> {
        let Plain(me) = self.json(get("GET users/@me", "", "users/@me".to_owned(), "read who the bot is")).await?;
        Ok(me)
    }

    /// The bot as an application.
    pub(crate) async fn application(&self) -> Result<CurrentApplicationInfo, Fault> {
        let doing = "read the bot's application";
        self.json(get("GET applications/@me", "", "applications/@me".to_owned(), doing)).await
    }

    /// The server, with its roles.
    pub(crate) async fn guild(&self, guild: GuildId) -> Result<PartialGuild, Fault> {
        self.json(get("GET guilds/*", guild, format!("guilds/{guild}"), "read the server")).await
    }

    /// How many hold each role, without the list of members.
    pub(crate) async fn role_counts(&self, guild: GuildId) -> Result<Vec<(RoleId, u64)>, Fault> {
        let path = format!("guilds/{guild}/roles/member-counts");
        let doing = "count who holds a role";
        let counts: serde_json::Map<String, Value> =
            self.json(get("GET guilds/*/roles/member-counts", guild, path, doing)).await?;
        let count = |(role, count): (String, Value)| Some((role.parse().ok()?, count.as_u64()?));
        Ok(counts.into_iter().filter_map(count).collect())
    }

    /// Somebody in the server now; `None` when they are not in it.
    pub(crate) async fn member(&self, guild: GuildId, user: UserId) -> Result<Option<Member>, Fault> {
        let path = format!("guilds/{guild}/members/{user}");
        match self.json(get("GET guilds/*/members/*", guild, path, "look up who somebody is")).await {
            Ok(Plain(member)) => Ok(Some(member)),
            Err(fault) if matches!(fault.code(), Some(code::UNKNOWN_MEMBER | code::UNKNOWN_USER)) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// A channel.
    pub(crate) async fn channel(&self, place: &Place) -> Result<GuildChannel, Fault> {
        let Place { id, called } = place;
        let mut call = get("GET channels/*", id, format!("channels/{id}"), format!("look at {called}"));
        call.needs = "View Channel";
        self.json(call).await
    }
}

/// Messages.
impl Rest {
    /// Posts a message. Its `nonce` makes a repetition the same message for some minutes, so that it may be repeated.
    pub(crate) async fn post(&self, place: &Place, message: Posted) -> Result<ReadBack, Fault> {
        let Place { id, called } = place;
        let path = format!("channels/{id}/messages");
        let mut call = call(Method::POST, "POST channels/*/messages", id, path, format!("post in {called}"));
        call.repeatable = message.nonce.is_some();
        (call.body, call.needs) = (message.new_message()?, POST);
        self.json(call).await
    }

    /// Changes a message of the bot's own, with its files.
    pub(crate) async fn edit(&self, place: &Place, message: MessageId, to: Posted) -> Result<(), Fault> {
        self.change(place, message, to.edit()?).await
    }

    /// Takes the buttons away from under a message of the bot's own, and leaves the rest as it is.
    pub(crate) async fn take_buttons(&self, place: &Place, message: MessageId) -> Result<(), Fault> {
        self.change(place, message, posted::body(&EditMessage::new().components(vec![]))?).await
    }

    async fn change(&self, place: &Place, message: MessageId, body: Body) -> Result<(), Fault> {
        let Place { id, called } = place;
        let path = format!("channels/{id}/messages/{message}");
        let mut call = call(Method::PATCH, "PATCH channels/*/messages/*", id, path, format!("edit in {called}"));
        (call.body, call.needs) = (body, POST);
        self.call(call).await.map(drop)
    }

    /// The newest messages before that one, newest first, a page of them.
    pub(crate) async fn messages(&self, place: &Place, before: Option<MessageId>) -> Result<Vec<ReadBack>, Fault> {
        let before = before.map_or_else(String::new, |before| format!("&before={before}"));
        self.page(place, &before).await
    }

    /// The oldest messages after that one, or of all, newest first, a page of them.
    pub(crate) async fn messages_after(&self, place: &Place, after: Option<MessageId>) -> Result<Vec<ReadBack>, Fault> {
        self.page(place, &format!("&after={}", after.map_or(0, MessageId::get))).await
    }

    async fn page(&self, place: &Place, where_from: &str) -> Result<Vec<ReadBack>, Fault> {
        let Place { id, called } = place;
        let path = format!("channels/{id}/messages?limit={PAGE}{where_from}");
        let mut call = get("GET channels/*/messages", id, path, format!("read {called}"));
        call.needs = READ;
        self.json(call).await
    }

    /// Puts one of the bot's own marks under a message. `emoji` as it stands in a URL.
    pub(crate) async fn mark(&self, place: &Place, message: MessageId, emoji: &str) -> Result<(), Fault> {
        let Place { id, called } = place;
        let path = format!("channels/{id}/messages/{message}/reactions/{emoji}/@me");
        let pattern = "PUT channels/*/messages/*/reactions";
        let mut call = call(Method::PUT, pattern, id, path, format!("put a mark in {called}"));
        call.needs = "View Channel, Read Message History, Add Reactions";
        self.call(call).await.map(drop)
    }

    /// Who has put that mark under a message, at most `most` people.
    ///
    /// # Errors
    /// Also when there are more.
    pub(crate) async fn marked_by(
        &self,
        place: &Place,
        message: MessageId,
        emoji: &str,
        most: usize,
    ) -> Result<Vec<User>, Fault> {
        let Place { id, called } = place;
        let mut found: Vec<User> = Vec::new();
        loop {
            let after = found.last().map_or_else(String::new, |last| format!("&after={}", last.id));
            let path = format!("channels/{id}/messages/{message}/reactions/{emoji}?limit={PAGE}{after}");
            let mut call = get("GET channels/*/messages/*/reactions", id, path, format!("read the marks in {called}"));
            call.needs = READ;
            let Plain(page): Plain<Vec<User>> = self.json(call).await?;
            let is_last = page.len() < PAGE;
            found.extend(page);
            if is_last {
                return Ok(found);
            }
            if found.len() >= most {
                return Err(Fault::Unreadable(format!("more than {most} marks under one message")));
            }
        }
    }

    /// Begins a thread at a message; the thread's identifier is the message's.
    pub(crate) async fn begin_thread(&self, place: &Place, message: MessageId, name: &str) -> Result<(), Fault> {
        let Place { id, called } = place;
        let path = format!("channels/{id}/messages/{message}/threads");
        let pattern = "POST channels/*/messages/*/threads";
        let mut call = call(Method::POST, pattern, id, path, format!("begin a thread in {called}"));
        call.needs = "Create Public Threads, Send Messages in Threads";
        let thread = CreateThread::new(name).auto_archive_duration(AutoArchiveDuration::OneDay);
        call.body = posted::body(&thread)?;
        self.call(call).await.map(drop)
    }

    /// The channel in which the bot speaks to one person alone.
    pub(crate) async fn private_channel(&self, user: UserId) -> Result<PrivateChannel, Fault> {
        let path = "users/@me/channels".to_owned();
        let mut call = call(Method::POST, "POST users/@me/channels", "", path, "speak to somebody alone");
        call.body = Body::Json(json!({ "recipient_id": user }));
        // Asked for again, it is the same channel.
        call.repeatable = true;
        self.json(call).await
    }
}

/// Commands and what people do with them.
impl Rest {
    /// The commands that are registered in the server.
    pub(crate) async fn commands(&self, app: ApplicationId, guild: GuildId) -> Result<Vec<Command>, Fault> {
        let path = format!("applications/{app}/guilds/{guild}/commands?with_localizations=false");
        let mut call = get("GET applications/*/guilds/*/commands", guild, path, "read the registered commands");
        call.needs = "the scope applications.commands, by inviting the bot anew";
        self.json(call).await
    }

    /// Registers exactly that command in the server, and no other.
    pub(crate) async fn register(&self, app: ApplicationId, guild: GuildId, only: &CreateCommand) -> Result<(), Fault> {
        let path = format!("applications/{app}/guilds/{guild}/commands");
        let pattern = "PUT applications/*/guilds/*/commands";
        let mut call = call(Method::PUT, pattern, guild, path, "register the command /scale");
        call.needs = "the scope applications.commands, by inviting the bot anew";
        call.body = posted::body(&[only])?;
        self.call(call).await.map(drop)
    }

    /// Acknowledges what somebody did, with whatever answer goes with it.
    pub(crate) async fn acknowledge(
        &self,
        interaction: InteractionId,
        token: &SecretString,
        answer: &CreateInteractionResponse,
    ) -> Result<(), Fault> {
        let path = format!("interactions/{interaction}/{}/callback", in_path(token)?);
        let pattern = "POST interactions/*/*/callback";
        let mut call = call(Method::POST, pattern, interaction, path, "acknowledge what somebody did");
        call.route.urgent = true;
        (call.as_bot, call.patience, call.body) = (false, ACKNOWLEDGE, posted::body(answer)?);
        self.call(call).await.map(drop)
    }

    /// Replaces what was said first to what somebody did.
    pub(crate) async fn answer(&self, app: ApplicationId, token: &SecretString, answer: Posted) -> Result<(), Fault> {
        let path = format!("webhooks/{app}/{}/messages/@original", in_path(token)?);
        let pattern = "PATCH webhooks/*/*/messages/@original";
        let mut call = call(Method::PATCH, pattern, token.expose_secret(), path, "answer somebody");
        (call.as_bot, call.body) = (false, answer.answer()?);
        self.call(call).await.map(drop)
    }

    /// Says something further to whoever did that, which nobody else sees.
    pub(crate) async fn follow_up(&self, app: ApplicationId, token: &SecretString, say: Posted) -> Result<(), Fault> {
        let path = format!("webhooks/{app}/{}", in_path(token)?);
        let mut call = call(Method::POST, "POST webhooks/*/*", token.expose_secret(), path, "answer somebody");
        (call.as_bot, call.body) = (false, say.follow_up()?);
        self.call(call).await.map(drop)
    }
}

/// An interaction's token as part of a path, into which nothing else may get.
fn in_path(token: &SecretString) -> Result<&str, Fault> {
    let token = token.expose_secret();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b':');
    let usable = !token.is_empty() && token.len() <= 1_000 && token.bytes().all(plain) && token != "." && token != "..";
    if usable { Ok(token) } else { Err(Fault::Unreadable("an interaction's token is none".to_owned())) }
}
