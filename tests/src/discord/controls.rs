//! How a test makes Discord fail: away, slow to answer, refusing, closing, or saying that it heard too much.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::Discord;
use super::buckets::Allowance;
use super::gateway::{Identify, Out};
use super::id::Snowflake;
use super::permissions::{Overwrite, Permissions};

/// In what way Discord is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Every request is answered with 503, and the gateway takes no connection.
    Unavailable,
    /// Every connection is cut, and each new one as soon as it is made.
    Unreachable,
}

/// What a request gets instead of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// 429 for everything, until so much time has passed.
    GlobalLimit(Duration),
    /// 429 for this bucket, until so much time has passed.
    RouteLimit(Duration),
    /// An answer with this status.
    Status(u16),
    /// What was asked for is done, and the answer is lost on its way: 502 comes instead.
    AnswerLost,
}

#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) away: Option<Away>,
    forced: VecDeque<Forced>,
    /// Roles that reaction events still show, although they have been changed.
    pub(crate) stale_roles: HashMap<Snowflake, Vec<Snowflake>>,
    /// What is given as the gateway's address, where that is not its own.
    pub(crate) gateway: Option<String>,
}

struct Forced {
    /// Only requests of this route (`POST /channels/{channel_id}/messages`).
    route: Option<String>,
    /// Only requests for this channel.
    channel: Option<Snowflake>,
    failure: Failure,
    times: usize,
}

impl Faults {
    /// The failure that is due for a request of `route`, in `channel` where it is for one, used up.
    pub(crate) fn next_for(&mut self, route: &str, channel: Snowflake) -> Option<Failure> {
        let due = |forced: &Forced| {
            forced.route.as_deref().is_none_or(|only| only == route)
                && forced.channel.is_none_or(|only| only == channel)
        };
        let place = self.forced.iter().position(due)?;
        let forced = self.forced.get_mut(place)?;
        let failure = forced.failure;
        forced.times -= 1;
        if forced.times == 0 {
            self.forced.remove(place);
        }
        Some(failure)
    }
}

impl Discord {
    /// The next `times` requests of `route` (`POST /channels/{channel_id}/messages`) fail so.
    ///
    /// # Panics
    /// Where there is no such route.
    pub fn fail_next(&self, times: usize, route: &str, failure: Failure) {
        assert!(
            super::rest::is_route(route),
            "{route} is no route; one is PATCH /channels/{{channel_id}}/messages/{{message_id}}"
        );
        self.force(times, Some(route), None, failure);
    }

    /// The next `times` requests of `route` for the channel of this name fail so.
    ///
    /// # Panics
    /// Where there is no such route or channel.
    pub fn fail_next_in(&self, channel: &str, times: usize, route: &str, failure: Failure) {
        assert!(super::rest::is_route(route), "{route} is no route");
        self.force(times, Some(route), Some(self.channel_id(channel)), failure);
    }

    /// Nothing fails any more that was to fail.
    pub fn stop_failing(&self) {
        self.shared.change(|world| world.faults.forced.clear());
    }

    /// The next `times` requests, of whatever route, fail so.
    pub fn fail_next_of_any(&self, times: usize, failure: Failure) {
        self.force(times, None, None, failure);
    }

    fn force(&self, times: usize, route: Option<&str>, channel: Option<Snowflake>, failure: Failure) {
        if times > 0 {
            let forced = Forced { route: route.map(ToOwned::to_owned), channel, failure, times };
            self.shared.change(|world| world.faults.forced.push_back(forced));
        }
    }

    /// Discord is away, until it is brought back.
    pub fn take_away(&self, how: Away) {
        self.shared.change(|world| {
            world.faults.away = Some(how);
            world.gateway.refusing = true;
        });
        self.shared.unreachable.send_replace(how == Away::Unreachable);
        self.drop_connections();
    }

    /// Discord is there again.
    pub fn bring_back(&self) {
        self.shared.unreachable.send_replace(false);
        self.shared.change(|world| {
            world.faults.away = None;
            world.gateway.refusing = false;
        });
    }

    /// Cuts every connection, REST and gateway, without a word.
    pub fn drop_connections(&self) {
        self.shared.cut.send_modify(|count| *count += 1);
    }

    /// Whether the gateway takes no new connection.
    pub fn refuse_gateway(&self, refuse: bool) {
        self.shared.change(|world| world.gateway.refusing = refuse);
    }

    /// Asks every connection to come again (op 7).
    pub fn send_reconnect(&self) {
        self.shared.change(|world| world.gateway.to_all(|| Out::Text(r#"{"op":7,"d":null}"#.to_owned())));
    }

    /// Ends every session (op 9). Where it is `resumable`, the session itself lives on.
    pub fn invalidate_session(&self, resumable: bool) {
        self.shared.change(|world| {
            world.gateway.to_all(|| Out::Text(format!(r#"{{"op":9,"d":{resumable}}}"#)));
            if !resumable {
                world.gateway.sessions.clear();
            }
        });
    }

    /// Closes every connection with this code.
    pub fn close_gateway(&self, code: u16, reason: &'static str) {
        self.shared.change(|world| world.gateway.to_all(|| Out::Close(code, reason)));
    }

    /// Heartbeats are no longer answered, so that a client must take its connection for dead.
    pub fn stop_acking(&self) {
        self.shared.change(|world| world.gateway.acking = false);
    }

    /// Heartbeats are answered again.
    pub fn go_on_acking(&self) {
        self.shared.change(|world| world.gateway.acking = true);
    }

    /// Gives the application another token, as its owner can.
    pub fn reset_token(&self) {
        self.shared.change(super::world::World::reset_token);
    }

    /// Gives this as the gateway's address; `None` for its own.
    pub fn say_the_gateway_is_at(&self, url: Option<&str>) {
        self.shared.change(|world| world.faults.gateway = url.map(ToOwned::to_owned));
    }

    /// Somebody has made so many IDENTIFYs with the token already, a day ago but for `left`: then Discord forgets them.
    pub fn identified_already(&self, how_many: usize, left: Duration) {
        self.shared.change(|world| {
            let day = Duration::from_hours(24).saturating_sub(left);
            let Ok(at) = world.now().checked_sub(day) else { return };
            let before = Identify { at, intents: 0, properties: serde_json::json!({}) };
            world.gateway.identifies.splice(0..0, std::iter::repeat_n(before, how_many));
        });
    }

    /// IDENTIFYs so far, refused ones too.
    pub fn identifies(&self) -> Vec<Identify> {
        self.shared.look(|world| world.gateway.identifies.clone())
    }

    /// Waits until a bot that was ended is gone. The next process with its token was told nothing of what this one was: it
    /// may ask before the time, once, and is refused as Discord would.
    pub async fn until_the_bot_is_gone(&self) {
        self.until_sessions(0).await;
        self.shared.change(|world| world.limits.nobody_was_told());
    }

    /// RESUMEs so far.
    pub fn resumes(&self) -> u64 {
        self.shared.look(|world| world.gateway.resumes)
    }

    /// Connections to the gateway so far, also those that said nothing.
    pub fn gateway_connections(&self) -> u64 {
        self.shared.look(|world| world.gateway.connections)
    }

    /// Sessions that are connected now.
    pub fn sessions(&self) -> usize {
        self.shared.look(|world| world.gateway.connected().count())
    }

    /// Waits until so many sessions are connected.
    pub async fn until_sessions(&self, how_many: usize) {
        let what = format!("{how_many} sessions");
        self.shared.until(&what, |world| (world.gateway.connected().count() == how_many).then_some(())).await;
    }

    /// Waits until there have been so many IDENTIFYs in all.
    pub async fn until_identifies(&self, how_many: usize) {
        let what = format!("{how_many} IDENTIFYs");
        self.shared.until(&what, |world| (world.gateway.identifies.len() >= how_many).then_some(())).await;
    }

    /// Waits until there have been so many RESUMEs in all.
    pub async fn until_resumes(&self, how_many: u64) {
        let what = format!("{how_many} RESUMEs");
        self.shared.until(&what, |world| (world.gateway.resumes >= how_many).then_some(())).await;
    }

    /// Sets a route's allowance (`POST /channels/{channel_id}/messages`), in each place.
    pub fn allow(&self, route: &str, requests: u32, every: Duration) {
        assert!(super::rest::is_route(route), "{route} is no route");
        self.shared.change(|world| world.limits.set.insert(route.to_owned(), Allowance { requests, every }));
    }

    /// Requests of the last ten minutes that were answered with 401, 403 or 429.
    pub fn invalid_requests(&self) -> usize {
        self.shared.change(|world| {
            let now = world.now();
            world.limits.invalid(now)
        })
    }

    /// Bans the address after so many invalid requests, instead of after 10,000.
    pub fn ban_after(&self, invalid: usize) {
        self.shared.change(|world| world.limits.invalid_allowed = invalid);
    }

    /// Changes what somebody holds, by the roles' names.
    pub fn set_roles(&self, person: &str, roles: &[&str]) {
        let (user, roles) = (self.user(person), roles.iter().map(|role| self.role(role)).collect());
        self.shared.change(|world| world.set_roles(user, roles));
    }

    /// Changes what somebody holds, while reaction events go on showing what they held before.
    pub fn set_roles_unnoticed(&self, person: &str, roles: &[&str]) {
        let user = self.user(person);
        self.shared.change(|world| {
            let before = world.guild.members.get(&user).map(|member| member.roles.clone()).unwrap_or_default();
            world.faults.stale_roles.insert(user, before);
        });
        self.set_roles(person, roles);
    }

    /// Somebody leaves the server; the bot itself is thrown out of it.
    pub fn leave(&self, person: &str) {
        let user = self.user(person);
        self.shared.change(|world| {
            world.guild.members.remove(&user);
            if user == world.application.bot {
                let gone = serde_json::json!({ "id": world.guild.id });
                world.tell(Some(super::gateway::intents::GUILDS), "GUILD_DELETE", &gone);
                return;
            }
            let body = serde_json::json!({ "guild_id": world.guild.id, "user": super::shape::user(world, user) });
            world.tell(Some(super::gateway::intents::GUILD_MEMBERS), "GUILD_MEMBER_REMOVE", &body);
        });
    }

    /// Takes permissions from the bot in one channel, as an overwrite for it.
    pub fn take_from_bot(&self, channel: &str, what: Permissions) {
        self.overwrite_for_bot(channel, |one| {
            one.allow = one.allow.without(what);
            one.deny = one.deny.and(what);
        });
    }

    /// Gives the bot permissions in one channel, as an overwrite for it.
    pub fn give_to_bot(&self, channel: &str, what: Permissions) {
        self.overwrite_for_bot(channel, |one| {
            one.allow = one.allow.and(what);
            one.deny = one.deny.without(what);
        });
    }

    fn overwrite_for_bot(&self, channel: &str, change: impl FnOnce(&mut Overwrite)) {
        let id = self.channel_id(channel);
        self.shared.change(|world| {
            let bot = world.application.bot;
            let fresh = Overwrite { id: bot, role: false, allow: Permissions::NONE, deny: Permissions::NONE };
            if let Some(channel) = world.channels.get_mut(&id) {
                let mut one = channel.overwrites.iter().find(|one| one.id == bot).copied().unwrap_or(fresh);
                change(&mut one);
                channel.overwrites.retain(|one| one.id != bot);
                channel.overwrites.push(one);
            }
            world.tell_in(id, super::gateway::intents::GUILDS, "CHANNEL_UPDATE", |world| {
                super::shape::channel(world, id)
            });
        });
    }

    /// Lets those who hold these roles use a command, as the server's settings do.
    pub fn grant_command(&self, command: &str, roles: &[&str]) {
        let roles = roles.iter().map(|role| self.role(role)).collect();
        self.shared.change(|world| world.command_grants.insert(command.to_owned(), roles));
    }

    /// Deletes a channel with everything in it.
    pub fn delete_channel(&self, channel: &str) {
        let id = self.channel_id(channel);
        self.shared.change(|world| {
            let intent = super::gateway::intents::GUILDS;
            world.tell_in(id, intent, "CHANNEL_DELETE", |world| super::shape::channel(world, id));
            world.channels.retain(|_, one| one.id != id && one.parent != Some(id));
        });
    }

    /// Changes the text of a message of the bot, as whoever else holds its token can.
    pub fn edit_with_the_token(&self, message: Snowflake, content: &str) {
        let draft = super::draft::Draft { content: Some(content.to_owned()), ..super::draft::Draft::default() };
        self.shared.change(|world| world.edit(message, draft));
    }

    /// Deletes a message, as who may manage messages does.
    pub fn delete_message(&self, message: Snowflake) {
        self.shared.change(|world| {
            if let Some(channel) = world.message(message).map(|message| message.channel) {
                world.delete_message(channel, message);
            }
        });
    }
}
