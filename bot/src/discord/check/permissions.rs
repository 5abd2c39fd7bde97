//! What somebody may do in a channel, computed from roles and overwrites as Discord does it.

use crate::discord::id::{GuildId, RoleId, UserId};
use crate::discord::wire::{Channel, RoleFound};

/// Permissions, by Discord's bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permissions(pub(crate) u64);

/// One permission with the name that it has in Discord's settings.
pub(crate) type Named = (u64, &'static str);

pub(crate) const ADMINISTRATOR: u64 = 1 << 3;
pub(crate) const ADD_REACTIONS: Named = (1 << 6, "Add Reactions");
pub(crate) const VIEW: Named = (1 << 10, "View Channel");
pub(crate) const SEND: Named = (1 << 11, "Send Messages");
pub(crate) const MANAGE_MESSAGES: Named = (1 << 13, "Manage Messages");
pub(crate) const EMBED: Named = (1 << 14, "Embed Links");
pub(crate) const ATTACH: Named = (1 << 15, "Attach Files");
pub(crate) const HISTORY: Named = (1 << 16, "Read Message History");
pub(crate) const MENTION: Named = (1 << 17, "Mention @everyone, @here, and All Roles");
pub(crate) const WEBHOOKS: Named = (1 << 29, "Manage Webhooks");
pub(crate) const THREADS: Named = (1 << 35, "Create Public Threads");
pub(crate) const IN_THREADS: Named = (1 << 38, "Send Messages in Threads");

impl Permissions {
    /// What somebody with these roles may do in that channel. `user` is `None` for anybody who has them.
    pub(crate) fn in_channel(
        guild: GuildId,
        all: &[RoleFound],
        held: &[RoleId],
        user: Option<UserId>,
        channel: &Channel,
    ) -> Self {
        let everyone = RoleId(guild.0);
        let has = |role: RoleId| role == everyone || held.contains(&role);
        let base = all.iter().filter(|role| has(role.id)).fold(0, |bits, role| bits | bits_of(&role.permissions));
        if base & ADMINISTRATOR != 0 {
            return Self(u64::MAX);
        }
        let mut bits = base;
        let (mut allow, mut deny) = (0, 0);
        for overwrite in channel.permission_overwrites.iter().filter(|overwrite| overwrite.kind == 0) {
            let Ok(role) = overwrite.id.parse::<RoleId>() else { continue };
            let (allowed, denied) = (bits_of(&overwrite.allow), bits_of(&overwrite.deny));
            if role == everyone {
                bits = bits & !denied | allowed;
            } else if has(role) {
                (allow, deny) = (allow | allowed, deny | denied);
            }
        }
        bits = bits & !deny | allow;
        let own = channel
            .permission_overwrites
            .iter()
            .find(|overwrite| overwrite.kind == 1 && user.is_some_and(|user| overwrite.id == user.to_string()));
        if let Some(own) = own {
            bits = bits & !bits_of(&own.deny) | bits_of(&own.allow);
        }
        // Who does not see a channel can do nothing there.
        Self(if bits & VIEW.0 == 0 { 0 } else { bits })
    }

    /// Whether it is one of them.
    pub(crate) fn has(self, (bit, _): Named) -> bool {
        self.0 & bit != 0
    }

    /// The names of those that are missing.
    pub(crate) fn missing(self, needed: &[Named]) -> Vec<&'static str> {
        needed.iter().filter(|named| !self.has(**named)).map(|(_, name)| *name).collect()
    }
}

/// Permissions as Discord writes them: a decimal number in a text.
pub(crate) fn bits_of(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GUILD: GuildId = GuildId(10);

    fn roles() -> Vec<RoleFound> {
        let role = |id: &str, bits: u64| json!({ "id": id, "name": id, "permissions": bits.to_string() });
        serde_json::from_value(json!([role("10", VIEW.0 | SEND.0), role("41", EMBED.0), role("50", ADMINISTRATOR)]))
            .unwrap()
    }

    #[allow(clippy::needless_pass_by_value, reason = "JSON is written where it is handed over")]
    fn channel(overwrites: serde_json::Value) -> Channel {
        serde_json::from_value(json!({ "id": "20", "permission_overwrites": overwrites })).unwrap()
    }

    fn may(held: &[u64], user: Option<u64>, overwrites: serde_json::Value) -> Vec<&'static str> {
        let held: Vec<RoleId> = held.iter().map(|id| RoleId(*id)).collect();
        let permissions = Permissions::in_channel(GUILD, &roles(), &held, user.map(UserId), &channel(overwrites));
        let all = [VIEW, SEND, EMBED];
        all.into_iter().filter(|named| permissions.has(*named)).map(|(_, name)| name).collect()
    }

    #[test]
    fn roles_add_up_and_a_channel_changes_them_in_discords_order() {
        assert_eq!(may(&[], None, json!([])), ["View Channel", "Send Messages"]);
        assert_eq!(may(&[41], None, json!([])), ["View Channel", "Send Messages", "Embed Links"]);
        let nobody_sends = json!({ "id": "10", "type": 0, "allow": "0", "deny": SEND.0.to_string() });
        assert_eq!(may(&[], None, json!([nobody_sends])), ["View Channel"]);
        let but_41 = json!({ "id": "41", "type": 0, "allow": SEND.0.to_string(), "deny": "0" });
        assert_eq!(may(&[41], None, json!([but_41, nobody_sends])), ["View Channel", "Send Messages", "Embed Links"]);
        let not_7 = json!({ "id": "7", "type": 1, "allow": "0", "deny": SEND.0.to_string() });
        assert_eq!(may(&[41], Some(7), json!([but_41, not_7])), ["View Channel", "Embed Links"]);
        assert_eq!(may(&[41], Some(8), json!([but_41, not_7])), ["View Channel", "Send Messages", "Embed Links"]);
    }

    #[test]
    fn who_does_not_see_it_can_do_nothing_and_an_administrator_everything() {
        let hidden = json!([{ "id": "10", "type": 0, "allow": "0", "deny": VIEW.0.to_string() }]);
        assert_eq!(may(&[41], None, hidden.clone()), <[&str; 0]>::default());
        assert_eq!(may(&[50], None, hidden), ["View Channel", "Send Messages", "Embed Links"]);
    }
}
