//! Every route there is.

use axum::http::Method;

use super::{Call, Outcome, commands, guild, interactions, messages, reactions};
use crate::discord::world::World;

/// How somebody who asks shows who they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// By the bot's token in the header.
    Bot,
    /// By an interaction's token in the path.
    Path,
    /// Not at all.
    None,
}

pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// What shares its allowance.
    pub(super) family: &'static str,
    pub(super) proof: Proof,
    pub(super) act: fn(&mut World, &Call<'_>) -> Outcome,
}

/// Every route, the literal ones before those with a parameter in the same place.
pub(super) fn routes() -> &'static [Route] {
    static ROUTES: std::sync::OnceLock<Vec<Route>> = std::sync::OnceLock::new();
    ROUTES.get_or_init(|| {
        let route = |method, path, family, proof, act| Route { method, path, family, proof, act };
        let by_bot = |method, path, family, act| route(method, path, family, Proof::Bot, act);
        let by_path = |method, path, act| route(method, path, "webhook", Proof::Path, act);
        let (get, post, put, patch, delete) = (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
        vec![
            route(get.clone(), "/gateway", "gateway", Proof::None, guild::gateway),
            by_bot(get.clone(), "/gateway/bot", "gateway", guild::gateway_for_bots),
            by_bot(get.clone(), "/users/@me", "me", guild::me),
            by_bot(post.clone(), "/users/@me/channels", "direct", guild::open_direct),
            by_bot(get.clone(), "/applications/@me", "application", guild::application),
            by_bot(get.clone(), "/guilds/{guild_id}", "guild", guild::guild),
            by_bot(get.clone(), "/guilds/{guild_id}/channels", "guild channels", guild::channels),
            by_bot(get.clone(), "/guilds/{guild_id}/roles", "roles", guild::roles),
            by_bot(get.clone(), "/guilds/{guild_id}/roles/member-counts", "counts", guild::member_counts),
            by_bot(get.clone(), "/guilds/{guild_id}/roles/{role_id}", "roles", guild::role),
            by_bot(get.clone(), "/guilds/{guild_id}/members/{user_id}", "members", guild::member),
            by_bot(
                get.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands",
                "commands",
                commands::list,
            ),
            by_bot(
                put.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands",
                "commands",
                commands::replace,
            ),
            by_bot(
                post.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands",
                "commands",
                commands::create,
            ),
            by_bot(
                get.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands/permissions",
                "commands",
                commands::all_permissions,
            ),
            by_bot(
                get.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
                "commands",
                commands::one,
            ),
            by_bot(
                patch.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
                "commands",
                commands::change,
            ),
            by_bot(
                delete.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
                "commands",
                commands::delete,
            ),
            by_bot(
                get.clone(),
                "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}/permissions",
                "commands",
                commands::permissions,
            ),
            by_bot(get.clone(), "/channels/{channel_id}", "channel", guild::channel),
            by_bot(patch.clone(), "/channels/{channel_id}", "channel", guild::change_channel),
            by_bot(get.clone(), "/channels/{channel_id}/messages", "read", messages::list),
            by_bot(post.clone(), "/channels/{channel_id}/messages", "send", messages::create),
            by_bot(get.clone(), "/channels/{channel_id}/messages/{message_id}", "read", messages::one),
            by_bot(patch.clone(), "/channels/{channel_id}/messages/{message_id}", "edit", messages::edit),
            by_bot(delete.clone(), "/channels/{channel_id}/messages/{message_id}", "delete", messages::delete),
            by_bot(
                post.clone(),
                "/channels/{channel_id}/messages/{message_id}/threads",
                "threads",
                messages::start_thread,
            ),
            by_bot(post.clone(), "/channels/{channel_id}/typing", "typing", messages::typing),
            by_bot(delete.clone(), "/channels/{channel_id}/messages/{message_id}/reactions", "react", reactions::clear),
            by_bot(
                get.clone(),
                "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}",
                "reactions",
                reactions::users,
            ),
            by_bot(
                delete.clone(),
                "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}",
                "react",
                reactions::clear_one,
            ),
            by_bot(
                put.clone(),
                "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me",
                "react",
                reactions::add,
            ),
            by_bot(
                delete.clone(),
                "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me",
                "react",
                reactions::remove_own,
            ),
            by_bot(
                delete.clone(),
                "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/{user_id}",
                "react",
                reactions::remove_of,
            ),
            by_path(
                post.clone(),
                "/interactions/{interaction_id}/{interaction_token}/callback",
                interactions::callback,
            ),
            by_path(post, "/webhooks/{webhook_id}/{webhook_token}", interactions::follow_up),
            by_path(get.clone(), "/webhooks/{webhook_id}/{webhook_token}/messages/@original", interactions::original),
            by_path(
                patch.clone(),
                "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
                interactions::edit_original,
            ),
            by_path(
                delete.clone(),
                "/webhooks/{webhook_id}/{webhook_token}/messages/@original",
                interactions::delete_original,
            ),
            by_path(get, "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", interactions::one),
            by_path(patch, "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", interactions::edit),
            by_path(delete, "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", interactions::delete),
        ]
    })
}

pub(super) fn fits(path: &str, segments: &[String]) -> bool {
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    parts.len() == segments.len()
        && parts.iter().zip(segments).all(|(part, segment)| part == segment || part.starts_with('{'))
}

/// Whether a test names a route that there is.
pub(crate) fn is_route(name: &str) -> bool {
    routes().iter().any(|route| format!("{} {}", route.method, route.path) == name)
}
