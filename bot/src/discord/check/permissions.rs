//! What somebody may do in a channel, computed from roles and overwrites as Discord does it. The library can do that with
//! its own HTTP client only.

use std::collections::HashMap;

use serenity::all::{GuildChannel, GuildId, PermissionOverwriteType, Permissions, Role, RoleId, UserId};

/// What somebody with these roles may do in that channel. `user` is `None` for anybody who has them.
pub(crate) fn in_channel(
    guild: GuildId,
    all: &HashMap<RoleId, Role>,
    held: &[RoleId],
    user: Option<UserId>,
    channel: &GuildChannel,
) -> Permissions {
    let everyone = RoleId::new(guild.get());
    let mut may = Permissions::empty();
    for role in all.values().filter(|role| role.id == everyone || held.contains(&role.id)) {
        may |= role.permissions;
    }
    if may.contains(Permissions::ADMINISTRATOR) {
        return Permissions::all();
    }
    // First for everybody, then for all their roles together, then for themselves.
    let (mut allow, mut deny) = (Permissions::empty(), Permissions::empty());
    let mut own = None;
    for overwrite in &channel.permission_overwrites {
        match overwrite.kind {
            PermissionOverwriteType::Role(role) if role == everyone => may = (may - overwrite.deny) | overwrite.allow,
            PermissionOverwriteType::Role(role) if held.contains(&role) => {
                allow |= overwrite.allow;
                deny |= overwrite.deny;
            }
            PermissionOverwriteType::Member(member) if Some(member) == user => own = Some(overwrite),
            _ => {}
        }
    }
    may = (may - deny) | allow;
    if let Some(own) = own {
        may = (may - own.deny) | own.allow;
    }
    // Who does not see a channel can do nothing there.
    if may.contains(Permissions::VIEW_CHANNEL) { may } else { Permissions::empty() }
}

/// Permissions as Discord's settings call them.
pub(crate) fn names(permissions: Permissions) -> Vec<String> {
    let word = |word: &str| match word.split_at_checked(1) {
        Some(("I", "N")) => "in".to_owned(),
        Some((first, rest)) => format!("{first}{}", rest.to_lowercase()),
        None => String::new(),
    };
    let name = |name: &str| name.split('_').map(word).collect::<Vec<_>>().join(" ");
    permissions.iter_names().map(|(known, _)| name(known)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GUILD: GuildId = GuildId::new(10);
    const VIEW: Permissions = Permissions::VIEW_CHANNEL;
    const SEND: Permissions = Permissions::SEND_MESSAGES;
    const EMBED: Permissions = Permissions::EMBED_LINKS;

    fn roles() -> HashMap<RoleId, Role> {
        let role = |id: u64, permissions: Permissions| {
            let mut role = Role::default();
            (role.id, role.permissions) = (RoleId::new(id), permissions);
            (role.id, role)
        };
        [role(10, VIEW | SEND), role(41, EMBED), role(50, Permissions::ADMINISTRATOR)].into()
    }

    fn channel(overwrites: serde_json::Value) -> GuildChannel {
        let mut channel = GuildChannel::default();
        channel.permission_overwrites = serde_json::from_value(overwrites).unwrap();
        channel
    }

    fn may(held: &[u64], user: Option<u64>, overwrites: serde_json::Value) -> Vec<String> {
        let held: Vec<RoleId> = held.iter().map(|id| RoleId::new(*id)).collect();
        let may = in_channel(GUILD, &roles(), &held, user.map(UserId::new), &channel(overwrites));
        names(may & (VIEW | SEND | EMBED))
    }

    #[test]
    fn roles_add_up_and_a_channel_changes_them_in_discords_order() {
        assert_eq!(may(&[], None, json!([])), ["View Channel", "Send Messages"]);
        assert_eq!(may(&[41], None, json!([])), ["View Channel", "Send Messages", "Embed Links"]);
        let nobody_sends = json!({ "id": "10", "type": 0, "allow": "0", "deny": SEND });
        assert_eq!(may(&[], None, json!([nobody_sends])), ["View Channel"]);
        let but_41 = json!({ "id": "41", "type": 0, "allow": SEND, "deny": "0" });
        assert_eq!(may(&[41], None, json!([but_41, nobody_sends])), ["View Channel", "Send Messages", "Embed Links"]);
        let not_7 = json!({ "id": "7", "type": 1, "allow": "0", "deny": SEND });
        assert_eq!(may(&[41], Some(7), json!([but_41, not_7])), ["View Channel", "Embed Links"]);
        assert_eq!(may(&[41], Some(8), json!([but_41, not_7])), ["View Channel", "Send Messages", "Embed Links"]);
    }

    #[test]
    fn who_does_not_see_it_can_do_nothing_and_an_administrator_everything() {
        let hidden = json!([{ "id": "10", "type": 0, "allow": "0", "deny": VIEW }]);
        assert_eq!(may(&[41], None, hidden.clone()), <[&str; 0]>::default());
        assert_eq!(may(&[50], None, hidden), ["View Channel", "Send Messages", "Embed Links"]);
    }
}
