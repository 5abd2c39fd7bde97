//! Who may do what in a channel: roles first, then the channel's overwrites, in the order that Discord documents.

use super::id::Snowflake;
use super::world::{Channel, World};

macro_rules! permissions {
    ($($name:ident = $bit:literal, $word:literal;)*) => {
        $(#[doc = $word] pub const $name: Permissions = Permissions(1 << $bit);)*

        /// Each permission with the name that Discord's settings show.
        const NAMES: &[(Permissions, &str)] = &[$(($name, $word)),*];
    };
}

/// A set of permissions, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions(pub u64);

permissions! {
    ADMINISTRATOR = 3, "Administrator";
    MANAGE_CHANNELS = 4, "Manage Channels";
    MANAGE_GUILD = 5, "Manage Server";
    ADD_REACTIONS = 6, "Add Reactions";
    VIEW_CHANNEL = 10, "View Channel";
    SEND_MESSAGES = 11, "Send Messages";
    MANAGE_MESSAGES = 13, "Manage Messages";
    EMBED_LINKS = 14, "Embed Links";
    ATTACH_FILES = 15, "Attach Files";
    READ_MESSAGE_HISTORY = 16, "Read Message History";
    MENTION_EVERYONE = 17, "Mention Everyone";
    MANAGE_ROLES = 28, "Manage Roles";
    USE_APPLICATION_COMMANDS = 31, "Use Application Commands";
    MANAGE_THREADS = 34, "Manage Threads";
    CREATE_PUBLIC_THREADS = 35, "Create Public Threads";
    SEND_MESSAGES_IN_THREADS = 38, "Send Messages in Threads";
}

/// What Discord gives @everyone in a new server, as far as it matters here.
pub const USUAL: Permissions = Permissions(
    ADD_REACTIONS.0
        | VIEW_CHANNEL.0
        | SEND_MESSAGES.0
        | EMBED_LINKS.0
        | ATTACH_FILES.0
        | READ_MESSAGE_HISTORY.0
        | USE_APPLICATION_COMMANDS.0
        | CREATE_PUBLIC_THREADS.0
        | SEND_MESSAGES_IN_THREADS.0,
);

impl Permissions {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Every one there is.
    pub const ALL: Self = Self((1 << 51) - 1);

    /// Whether all of `these` are among them.
    pub const fn has(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }

    /// These and those.
    pub const fn and(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// These without those.
    pub const fn without(self, those: Self) -> Self {
        Self(self.0 & !those.0)
    }

    /// What people call them.
    pub fn names(self) -> Vec<&'static str> {
        NAMES.iter().filter(|(one, _)| self.has(*one)).map(|(_, name)| *name).collect()
    }
}

/// What a channel says otherwise than the roles do, for one role or one person.
#[derive(Clone, Copy, Debug)]
pub struct Overwrite {
    /// The role or the person.
    pub id: Snowflake,
    /// Whether it is a role.
    pub role: bool,
    /// What is given here.
    pub allow: Permissions,
    /// What is taken here.
    pub deny: Permissions,
}

/// What `user` may do in the server as a whole. None at all for who is not in it.
pub(crate) fn in_guild(world: &World, user: Snowflake) -> Permissions {
    let Some(member) = world.guild.members.get(&user) else { return Permissions::NONE };
    if world.guild.owner == user {
        return Permissions::ALL;
    }
    let everyone = world.guild.roles.get(&world.guild.id).map_or(Permissions::NONE, |role| role.permissions);
    let all = member
        .roles
        .iter()
        .filter_map(|role| world.guild.roles.get(role))
        .fold(everyone, |sum, role| sum.and(role.permissions));
    if all.has(ADMINISTRATOR) { Permissions::ALL } else { all }
}

/// What `user` may do in `channel`; for a thread that is what they may in its parent.
pub(crate) fn in_channel(world: &World, user: Snowflake, channel: &Channel) -> Permissions {
    if let Some(recipient) = channel.recipient {
        let bot = world.application.bot;
        return if user == recipient || user == bot { USUAL } else { Permissions::NONE };
    }
    let place = channel.parent.and_then(|parent| world.channels.get(&parent)).unwrap_or(channel);
    let base = in_guild(world, user);
    if base == Permissions::ALL {
        return base;
    }
    let Some(member) = world.guild.members.get(&user) else { return Permissions::NONE };

    let changed = |sum: Permissions, by: &Overwrite| sum.without(by.deny).and(by.allow);
    let everyone = place.overwrites.iter().filter(|one| one.id == world.guild.id);
    let mut may = everyone.fold(base, changed);
    let (mut allow, mut deny) = (Permissions::NONE, Permissions::NONE);
    for one in place.overwrites.iter().filter(|one| one.role && one.id != world.guild.id) {
        if member.roles.contains(&one.id) {
            allow = allow.and(one.allow);
            deny = deny.and(one.deny);
        }
    }
    may = may.without(deny).and(allow);
    may = place.overwrites.iter().filter(|one| !one.role && one.id == user).fold(may, changed);

    // What is implied: who does not see a channel does nothing there, who does not write attaches nothing.
    if !may.has(VIEW_CHANNEL) {
        return Permissions::NONE;
    }
    let writes = if channel.parent.is_some() { SEND_MESSAGES_IN_THREADS } else { SEND_MESSAGES };
    if !may.has(writes) {
        may = may.without(MENTION_EVERYONE.and(EMBED_LINKS).and(ATTACH_FILES));
    }
    may
}
