//! What is there before anything happens: a server, its roles, people and channels, and the bot in it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::buckets::Limits;
use super::clock::Clock;
use super::controls::Faults;
use super::gateway::Gateway;
use super::gateway::intents::Intents;
use super::id::Snowflake;
use super::permissions::{
    ADD_REACTIONS, ADMINISTRATOR, ATTACH_FILES, CREATE_PUBLIC_THREADS, EMBED_LINKS, Overwrite, Permissions,
    READ_MESSAGE_HISTORY, SEND_MESSAGES, SEND_MESSAGES_IN_THREADS, USUAL, VIEW_CHANNEL,
};
use super::record::Record;
use super::world::{Application, Channel, Guild, Member, Role, User, World};

/// A server to be. Everything is named; the identifiers are Discord's to give.
#[derive(Clone, Debug)]
pub struct Scene {
    guild: String,
    bot: String,
    token: String,
    bot_permissions: Permissions,
    roles: Vec<RoleToBe>,
    people: Vec<PersonToBe>,
    channels: Vec<ChannelToBe>,
    grants: BTreeMap<String, Vec<String>>,
    privileged: Intents,
    heartbeat_every: Duration,
    concurrency: u32,
    unlimited: bool,
}

#[derive(Clone, Debug)]
struct RoleToBe {
    name: String,
    permissions: Permissions,
    mentionable: bool,
}

#[derive(Clone, Debug)]
struct PersonToBe {
    name: String,
    roles: Vec<String>,
    bot: bool,
    takes_direct_messages: bool,
}

#[derive(Clone, Debug)]
struct ChannelToBe {
    name: String,
    overwrites: Vec<(Whose, Permissions, Permissions)>,
}

/// Whom an overwrite of a channel is for.
#[derive(Clone, Debug)]
pub enum Whose {
    /// Everybody in the server.
    Everyone,
    /// The bot itself.
    Bot,
    /// Who holds the role of this name.
    Role(String),
    /// The person of this name.
    Person(String),
}

/// What the bot needs in a channel, and no more.
pub const BOT: Permissions = Permissions(
    VIEW_CHANNEL.0
        | SEND_MESSAGES.0
        | SEND_MESSAGES_IN_THREADS.0
        | CREATE_PUBLIC_THREADS.0
        | EMBED_LINKS.0
        | ATTACH_FILES.0
        | READ_MESSAGE_HISTORY.0
        | ADD_REACTIONS.0,
);

impl Scene {
    /// A server with its owner and the bot, and nothing else.
    pub fn empty() -> Self {
        Self {
            guild: "Archon 72".to_owned(),
            bot: "scalebot".to_owned(),
            token: "MTA0MjQyNDI0MjQyNDI0MjQyNA.hidden-in-discord.of-a-token-that-nobody-has".to_owned(),
            bot_permissions: BOT,
            roles: Vec::new(),
            people: Vec::new(),
            channels: Vec::new(),
            grants: BTreeMap::new(),
            privileged: Intents::NONE,
            heartbeat_every: Duration::from_millis(41_250),
            concurrency: 16,
            unlimited: false,
        }
        .person("owner", &[])
    }

    /// The server of the tests. Channels `ops`, `governance` (only for leads), `scaling-log` (only the bot writes). For
    /// each role that the bot knows one person of that name or its first word; two operators and two leads; a former
    /// lead; an administrator without any of the roles; a bot that is a lead.
    pub fn ready_made() -> Self {
        let roles = ["operator", "viewer", "governance lead", "infrastructure team", "system architect"];
        let silent = SEND_MESSAGES.and(SEND_MESSAGES_IN_THREADS).and(CREATE_PUBLIC_THREADS).and(ADD_REACTIONS);
        roles
            .into_iter()
            .fold(Self::empty(), Self::mentionable_role)
            .role("administrator", ADMINISTRATOR)
            .person("operator", &["operator"])
            .person("operator2", &["operator"])
            .person("lead", &["governance lead"])
            .person("lead2", &["governance lead"])
            .person("architect", &["system architect"])
            .person("infra", &["infrastructure team"])
            .person("viewer", &["viewer"])
            .person("former lead", &[])
            .person("admin", &["administrator"])
            .bot("voting bot", &["governance lead"])
            .channel("ops")
            .channel("governance")
            .overwrite(Whose::Everyone, Permissions::NONE, VIEW_CHANNEL)
            .overwrite(Whose::Role("governance lead".to_owned()), VIEW_CHANNEL, Permissions::NONE)
            .overwrite(Whose::Bot, BOT, Permissions::NONE)
            .channel("scaling-log")
            .overwrite(Whose::Everyone, Permissions::NONE, silent)
            .overwrite(Whose::Bot, BOT, Permissions::NONE)
            .channel("elsewhere")
            .grant("scale", &roles)
    }

    /// A role with these permissions, beyond those of everybody.
    pub fn role(mut self, name: &str, permissions: Permissions) -> Self {
        self.roles.push(RoleToBe { name: name.to_owned(), permissions, mentionable: false });
        self
    }

    /// A role that anybody may ping.
    pub fn mentionable_role(mut self, name: &str) -> Self {
        self.roles.push(RoleToBe { name: name.to_owned(), permissions: Permissions::NONE, mentionable: true });
        self
    }

    /// Roles can no longer be pinged by anybody.
    pub fn nobody_pings_roles(mut self) -> Self {
        self.roles.iter_mut().for_each(|role| role.mentionable = false);
        self
    }

    /// A person with the roles of these names.
    pub fn person(mut self, name: &str, roles: &[&str]) -> Self {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        self.people.push(PersonToBe { name: name.to_owned(), roles, bot: false, takes_direct_messages: true });
        self
    }

    /// Another bot with the roles of these names.
    pub fn bot(mut self, name: &str, roles: &[&str]) -> Self {
        self = self.person(name, roles);
        if let Some(bot) = self.people.last_mut() {
            bot.bot = true;
        }
        self
    }

    /// The person mentioned last takes no direct messages.
    pub fn without_direct_messages(mut self) -> Self {
        if let Some(person) = self.people.last_mut() {
            person.takes_direct_messages = false;
        }
        self
    }

    /// A text channel.
    pub fn channel(mut self, name: &str) -> Self {
        self.channels.push(ChannelToBe { name: name.to_owned(), overwrites: Vec::new() });
        self
    }

    /// In the channel mentioned last, something is otherwise for `whose`.
    pub fn overwrite(mut self, whose: Whose, allow: Permissions, deny: Permissions) -> Self {
        if let Some(channel) = self.channels.last_mut() {
            channel.overwrites.push((whose, allow, deny));
        }
        self
    }

    /// Lets these roles use a command that is hidden otherwise.
    pub fn grant(mut self, command: &str, roles: &[&str]) -> Self {
        self.grants.insert(command.to_owned(), roles.iter().map(|role| (*role).to_owned()).collect());
        self
    }

    /// What the bot's own role gives it everywhere.
    pub fn bot_permissions(mut self, permissions: Permissions) -> Self {
        self.bot_permissions = permissions;
        self
    }

    /// Privileged intents that the application was granted.
    pub fn privileged(mut self, intents: Intents) -> Self {
        self.privileged = intents;
        self
    }

    /// How often the gateway wants a heartbeat; Discord's 41.25 s otherwise.
    pub fn heartbeat_every(mut self, every: Duration) -> Self {
        self.heartbeat_every = every;
        self
    }

    /// IDENTIFYs within 5 s; 16 otherwise.
    pub fn identify_concurrency(mut self, at_once: u32) -> Self {
        self.concurrency = at_once;
        self
    }

    /// No request is limited, as a measurement needs it.
    pub fn unlimited(mut self) -> Self {
        self.unlimited = true;
        self
    }

    /// The bot's token.
    pub fn token(mut self, token: &str) -> Self {
        token.clone_into(&mut self.token);
        self
    }

    /// Makes the world of it, reachable at `address`.
    ///
    /// # Panics
    /// Where a role or a person is named that the scene does not have.
    pub(crate) fn build(self, address: String) -> World {
        let clock = Clock::new();
        let now = clock.now();
        let nobody = Snowflake::default();
        let guild =
            Guild { id: nobody, name: self.guild, owner: nobody, roles: BTreeMap::new(), members: BTreeMap::new() };
        let application = Application {
            id: nobody,
            bot: nobody,
            name: self.bot.clone(),
            token: Some(self.token),
            privileged: self.privileged,
        };
        let mut world = World {
            clock,
            address,
            application,
            guild,
            users: BTreeMap::new(),
            channels: BTreeMap::new(),
            commands: BTreeMap::new(),
            command_grants: BTreeMap::new(),
            interactions: BTreeMap::new(),
            tokens: std::collections::HashMap::new(),
            gateway: Gateway::new(self.heartbeat_every, self.concurrency),
            limits: Limits::new(),
            faults: Faults::default(),
            record: Record::default(),
            last_id: 0,
        };
        world.limits.off = self.unlimited;
        world.guild.id = world.next_id();
        let everyone = world.guild.id;
        world.application.id = world.next_id();
        world.application.bot = world.next_id();
        let bot = world.application.bot;

        let role = |world: &mut World, id, name: &str, permissions, mentionable, of_bot| {
            world.guild.roles.insert(id, Role { id, name: name.to_owned(), permissions, mentionable, of_bot });
        };
        role(&mut world, everyone, "@everyone", USUAL, false, None);
        let bots = world.next_id();
        role(&mut world, bots, &self.bot, self.bot_permissions, false, Some(bot));
        for one in &self.roles {
            let id = world.next_id();
            role(&mut world, id, &one.name, one.permissions, one.mentionable, None);
        }

        let user = User { id: bot, name: self.bot.clone(), bot: true, takes_direct_messages: false };
        world.users.insert(bot, user);
        world.guild.members.insert(bot, Member { roles: vec![bots], joined: now });
        for one in self.people {
            let id = world.next_id();
            let roles = one.roles.iter().map(|name| role_named(&world, name)).collect();
            let takes_direct_messages = one.takes_direct_messages;
            world.users.insert(id, User { id, name: one.name, bot: one.bot, takes_direct_messages });
            world.guild.members.insert(id, Member { roles, joined: now });
        }
        world.guild.owner = user_named(&world, "owner");

        for one in self.channels {
            let id = world.next_id();
            let overwrites = one
                .overwrites
                .into_iter()
                .map(|(whose, allow, deny)| {
                    let (id, role) = match whose {
                        Whose::Everyone => (everyone, true),
                        Whose::Bot => (bot, false),
                        Whose::Role(name) => (role_named(&world, &name), true),
                        Whose::Person(name) => (user_named(&world, &name), false),
                    };
                    Overwrite { id, role, allow, deny }
                })
                .collect();
            world.channels.insert(id, Channel { id, name: one.name, overwrites, ..Channel::default() });
        }
        for (command, roles) in self.grants {
            let roles = roles.iter().map(|name| role_named(&world, name)).collect();
            world.command_grants.insert(command, roles);
        }
        world
    }
}

pub(crate) fn role_named(world: &World, name: &str) -> Snowflake {
    let found = world.guild.roles.values().find(|role| role.name == name).map(|role| role.id);
    found.unwrap_or_else(|| panic!("there is no role called {name}"))
}

pub(crate) fn user_named(world: &World, name: &str) -> Snowflake {
    let found = world.users.values().find(|user| user.name == name).map(|user| user.id);
    found.unwrap_or_else(|| panic!("there is nobody called {name}"))
}

pub(crate) fn channel_named(world: &World, name: &str) -> Snowflake {
    let found = world.channels.values().find(|channel| channel.name == name).map(|channel| channel.id);
    found.unwrap_or_else(|| panic!("there is no channel called {name}"))
}
