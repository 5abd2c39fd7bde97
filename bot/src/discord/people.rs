//! Who somebody is, and how they are spoken to alone. Roles are asked of Discord each time; what is remembered is only
//! what people are called, and by which token each of them can be answered for a quarter of an hour.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use scalebot_commands::approval::Standing;
use scalebot_commands::ports::{PortError, Role};
use scalebot_commands::units::Person;
use secrecy::SecretString;
use serenity::all::{ApplicationId, ChannelId, GuildId, UserId};
use tokio::time::Instant;

use super::drawing::text::{Names, people};
use super::rest::{Fault, Place, Posted, Rest};
use super::settings::Roles;
use super::wire::{Did, name};

/// How long a token is used: Discord's 15 minutes, less what an answer may take.
const TOKEN_LIVES: Duration = Duration::from_secs(14 * 60 + 30);

/// How many people are remembered at a time.
const REMEMBERED: usize = 1_000;

/// How many unknown names are looked up for one card.
const LOOKED_UP: usize = 5;

/// The people of one server.
pub(crate) struct People {
    rest: Rest,
    guild: GuildId,
    roles: Roles,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    names: Arc<Names>,
    /// Who is not in the server, or could not be looked up, so that it is not tried with every card.
    nameless: VecDeque<UserId>,
    reached: HashMap<UserId, Reached>,
}

/// How somebody was last heard of.
#[derive(Clone)]
struct Reached {
    application: ApplicationId,
    token: SecretString,
    at: Instant,
    channel: Option<ChannelId>,
}

/// Somebody as the commands know them.
pub(crate) fn person(user: UserId) -> Person {
    Person::new(user.to_string())
}

/// Somebody as Discord knows them; `None` for who is from elsewhere.
pub(crate) fn user(person: &Person) -> Option<UserId> {
    person.as_str().parse().ok()
}

impl People {
    pub(crate) fn new(rest: Rest, guild: GuildId, roles: Roles) -> Self {
        Self { rest, guild, roles, known: Mutex::default() }
    }

    /// Somebody has done something, by which they can be answered; `channel` is where a command was given.
    pub(crate) fn heard(&self, did: &Did, channel: Option<ChannelId>) {
        let Some(member) = did.member() else { return };
        let user = &member.user;
        let mut known = self.known();
        let before = known.reached.remove(&user.id);
        if known.reached.len() >= REMEMBERED {
            known.reached.retain(|_, reached| reached.at.elapsed() < TOKEN_LIVES);
            if known.reached.len() >= REMEMBERED {
                known.reached.clear();
            }
        }
        let reached = Reached {
            application: did.what.application_id(),
            token: did.token.clone(),
            at: Instant::now(),
            channel: channel.or(before.and_then(|before| before.channel)),
        };
        known.reached.insert(user.id, reached);
        known.learn(user.id, name(member));
    }

    /// Where somebody last gave a command.
    pub(crate) fn channel_of(&self, user: UserId) -> Option<ChannelId> {
        self.known().reached.get(&user)?.channel
    }

    /// Who somebody is now, by Discord's own word.
    ///
    /// # Errors
    /// When Discord does not tell. Somebody who is not in the server holds nothing.
    pub(crate) async fn standing(&self, person: &Person, role: Role) -> Result<Standing, PortError> {
        let Some(user) = user(person) else {
            // Not from here: the bot itself, or somebody of a rehearsal.
            return Ok(Standing { is_person: false, holds_role: false });
        };
        let Some(member) = self.rest.member(self.guild, user).await? else {
            return Ok(Standing { is_person: true, holds_role: false });
        };
        if member.user.id != user {
            return Err(Fault::Unreadable("somebody was looked up, and another was answered".to_owned()).into());
        }
        self.known().learn(user, name(&member));
        let held = self.roles.of(role);
        Ok(Standing { is_person: !member.user.bot, holds_role: member.roles.iter().any(|role| held.contains(role)) })
    }

    /// What people are called, with the unknown ones in these texts looked up as far as that is quickly done.
    pub(crate) async fn names_in<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> Arc<Names> {
        let mut unknown: Vec<UserId> = Vec::new();
        {
            let known = self.known();
            for user in texts.into_iter().flat_map(people) {
                let is_known = known.names.of(user).is_some() || known.nameless.contains(&user);
                if !is_known && !unknown.contains(&user) && unknown.len() < LOOKED_UP {
                    unknown.push(user);
                }
            }
        }
        for user in unknown {
            let found = self.rest.member(self.guild, user).await;
            let mut known = self.known();
            match &found {
                Ok(Some(member)) => known.learn(user, name(member)),
                Ok(None) => known.is_nameless(user),
                // A number is shown instead; the next card tries again.
                Err(_) => break,
            }
        }
        Arc::clone(&self.known().names)
    }

    /// Says something to one person that nobody else sees: as an answer to what they did last, else in a conversation of
    /// its own; who takes none is not told.
    ///
    /// # Errors
    /// When Discord cannot be reached.
    pub(crate) async fn tell(&self, person: &Person, say: Posted) -> Result<(), PortError> {
        let Some(user) = user(person) else {
            tracing::info!(%person, "this person cannot be answered in Discord");
            return Ok(());
        };
        let reached = self.known().reached.get(&user).filter(|reached| reached.at.elapsed() < TOKEN_LIVES).cloned();
        if let Some(Reached { application, token, .. }) = reached {
            match self.rest.follow_up(application, &token, say.clone()).await {
                Ok(()) => return Ok(()),
                Err(fault) if fault.may_pass() => return Err(fault.into()),
                // The token is over before its time, or was another process's.
                Err(_) => _ = self.known().reached.remove(&user),
            }
        }
        match self.alone(user, say).await {
            Ok(()) => Ok(()),
            Err(fault) if fault.may_pass() || fault == Fault::TokenRefused => Err(fault.into()),
            Err(fault) => {
                // Many people take no messages from strangers. What was to be said stands in the log.
                tracing::info!(%person, ?fault, "this person takes no messages, so they were not answered");
                Ok(())
            }
        }
    }

    async fn alone(&self, user: UserId, say: Posted) -> Result<(), Fault> {
        let channel = self.rest.private_channel(user).await?;
        self.rest.post(&Place::new(channel.id, "a conversation with one person"), say).await.map(drop)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn learn(&mut self, user: UserId, name: &str) {
        if self.names.of(user) == Some(name) {
            return;
        }
        if self.names.len() >= REMEMBERED {
            self.names = Arc::default();
        }
        Arc::make_mut(&mut self.names).learn(user, name);
    }

    fn is_nameless(&mut self, user: UserId) {
        if self.nameless.len() >= REMEMBERED {
            self.nameless.pop_front();
        }
        self.nameless.push_back(user);
    }
}
