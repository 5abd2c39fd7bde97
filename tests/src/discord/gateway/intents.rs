//! What a connection asks to be told, as bits.

/// A set of intents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Intents(pub u64);

/// The server, its roles, channels and threads.
pub const GUILDS: Intents = Intents(1);
/// People who come, go and change roles. Privileged.
pub const GUILD_MEMBERS: Intents = Intents(1 << 1);
/// Who is online. Privileged.
pub const GUILD_PRESENCES: Intents = Intents(1 << 8);
/// Messages in channels.
pub const GUILD_MESSAGES: Intents = Intents(1 << 9);
/// Reactions in channels.
pub const GUILD_MESSAGE_REACTIONS: Intents = Intents(1 << 10);
/// Messages in direct conversations.
pub const DIRECT_MESSAGES: Intents = Intents(1 << 12);
/// Reactions in direct conversations.
pub const DIRECT_MESSAGE_REACTIONS: Intents = Intents(1 << 13);
/// What messages of others say. Privileged.
pub const MESSAGE_CONTENT: Intents = Intents(1 << 15);

/// What the application has to be granted first.
pub(crate) const PRIVILEGED: Intents = Intents(GUILD_MEMBERS.0 | GUILD_PRESENCES.0 | MESSAGE_CONTENT.0);
/// Every bit that means something.
pub(crate) const KNOWN: Intents = Intents(0x1FFFF | (0b11 << 20) | (0b11 << 24));

impl Intents {
    /// Nothing beyond what needs no asking.
    pub const NONE: Self = Self(0);

    /// Whether all of `these` are among them.
    pub const fn has(self, these: Self) -> bool {
        self.0 & these.0 == these.0
    }

    /// Those that are not among `these`.
    pub(crate) const fn beyond(self, these: Self) -> Self {
        Self(self.0 & !these.0)
    }
}
