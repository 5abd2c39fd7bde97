//! The doctor's lines for Discord: everything that the front needs there, found out without changing anything.

pub(crate) mod permissions;

use scalebot_adapters::doctor::Finding;
use scalebot_commands::ports::{PortError, Role};
use serenity::all::{
    ChannelType, GuildChannel, Member, PartialGuild, PermissionOverwrite, PermissionOverwriteType, Permissions,
    Role as Found, RoleId, UserId,
};

use self::permissions::in_channel;
use super::commands;
use super::rest::{Fault, Place, Rest, code};
use super::settings::Settings;

/// How many sessions have to be left today.
const SESSIONS: u64 = 100;

/// What is needed where. Whether roles can be notified is looked at apart.
const IN_LOG: Permissions = Permissions::VIEW_CHANNEL
    .union(Permissions::SEND_MESSAGES)
    .union(Permissions::ATTACH_FILES)
    .union(Permissions::READ_MESSAGE_HISTORY);
const IN_GOVERNANCE: Permissions = IN_LOG.union(Permissions::EMBED_LINKS).union(Permissions::ADD_REACTIONS);
const IN_OPS: Permissions = IN_LOG
    .union(Permissions::EMBED_LINKS)
    .union(Permissions::CREATE_PUBLIC_THREADS)
    .union(Permissions::SEND_MESSAGES_IN_THREADS);

/// What lets somebody write: by themselves, or by making a webhook that does.
const WRITES: Permissions = Permissions::SEND_MESSAGES.union(Permissions::MANAGE_WEBHOOKS);

/// Everything about Discord, a line each. `quorum` is how many leads have to approve.
pub(crate) async fn check(settings: &Settings, quorum: u32) -> Vec<Finding> {
    let rest = match rest(settings) {
        Ok(rest) => rest,
        Err(finding) => return vec![finding],
    };
    let me = match rest.me().await {
        Ok(me) => me,
        Err(Fault::TokenRefused) => {
            return vec![Finding::failed(
                "Discord, token",
                "Discord does not accept it.",
                "Copy the bot's token anew from Discord's developer portal, under Bot, to where the configuration says.",
            )];
        }
        Err(fault) => return vec![Finding::unanswered("Discord", &PortError::from(fault))],
    };
    let mut findings = vec![Finding::ok("Discord, token", format!("It is that of {}.", shown(&me.name)))];
    let (gateway, mut application, guild) =
        tokio::join!(gateway(&rest), application(&rest, settings), rest.guild(settings.guild));
    findings.push(gateway);
    if guild.is_err() {
        // The commands are the server's, and the fault is said once.
        application.truncate(1);
    }
    findings.extend(application);
    let guild = match guild {
        Ok(guild) => guild,
        Err(fault) => {
            findings.push(no_guild(Some(fault)));
            return findings;
        }
    };
    let member = match rest.member(settings.guild, me.id).await {
        Ok(Some(member)) => member,
        Ok(None) => {
            findings.push(no_guild(None));
            return findings;
        }
        Err(fault) => {
            findings.push(Finding::unanswered("Discord, server", &PortError::from(fault)));
            return findings;
        }
    };
    findings.push(Finding::ok("Discord, server", format!("The bot is in {}.", shown(&guild.name))));
    let seen = Seen { settings, guild: &guild, me: me.id, member: &member };
    findings.extend(channels(&rest, &seen).await);
    findings.extend(roles(&seen));
    findings.push(gate(&rest, &seen, quorum).await);
    findings
}

/// What the rest is judged by.
struct Seen<'a> {
    settings: &'a Settings,
    guild: &'a PartialGuild,
    me: UserId,
    member: &'a Member,
}

fn rest(settings: &Settings) -> Result<Rest, Finding> {
    let unusable = |error: scalebot_adapters::settings::Unusable| {
        Finding::failed("Discord, configuration", error.to_string(), "Correct it in the configuration.")
    };
    settings.usable().map_err(unusable)?;
    let token = settings.token().map_err(unusable)?;
    let base = settings.base().map_err(unusable)?;
    Rest::new(base, &token).map_err(|fault| Finding::unanswered("Discord", &PortError::from(fault)))
}

async fn gateway(rest: &Rest) -> Finding {
    const WHAT: &str = "Discord, gateway";
    let found = match rest.gateway().await {
        Ok(found) => found,
        Err(fault) => return Finding::unanswered(WHAT, &PortError::from(fault)),
    };
    if let Err(why) = super::gateway::address(&found.url, rest.host()) {
        return Finding::failed(WHAT, format!("{why}."), "Correct discord.api_base, or what answers there.");
    }
    let limit = found.session_start_limit;
    let left = format!("{} of {} sessions are left today.", limit.remaining, limit.total);
    if limit.remaining < SESSIONS.min(limit.total / 10) {
        let to_do = "Something begins them again and again: see whether another process uses the token.";
        return Finding::warn(WHAT, left, to_do);
    }
    Finding::ok(WHAT, format!("It is there; {left} No intent is asked for that needs leave."))
}

async fn application(rest: &Rest, settings: &Settings) -> Vec<Finding> {
    const WHAT: &str = "Discord, application";
    const COMMANDS: &str = "Discord, commands";
    let found = match rest.application().await {
        Ok(found) => found,
        Err(fault) => return vec![Finding::unanswered(WHAT, &PortError::from(fault))],
    };
    let mut findings = vec![if found.bot_public {
        Finding::warn(
            WHAT,
            "Anybody may add the bot to a server of theirs.",
            "Turn Public Bot off in Discord's developer portal, under Bot.",
        )
    } else {
        Finding::ok(WHAT, format!("{} can be added by its owner alone.", shown(&found.name)))
    }];
    findings.push(match rest.commands(found.id, settings.guild).await {
        Ok(registered) if commands::is_registered(&registered) => Finding::ok(COMMANDS, "/scale is registered."),
        Ok(_) => Finding::ok(COMMANDS, "/scale is not registered as it is now; that is done when the bot runs."),
        Err(fault) => Finding::failed(
            COMMANDS,
            format!("{}.", PortError::from(fault)),
            "Invite the bot anew, with the scopes bot and applications.commands.",
        ),
    });
    findings
}

/// `None` where it is there, and the bot is not in it.
fn no_guild(fault: Option<Fault>) -> Finding {
    let said = match fault.filter(|fault| !fault.is_gone() && fault.code() != Some(code::MISSING_ACCESS)) {
        None => "The bot is not in the configured server.".to_owned(),
        Some(fault) => format!("The configured server cannot be read: {}.", PortError::from(fault)),
    };
    Finding::failed("Discord, server", said, "Invite the bot to that server, or correct discord.guild.")
}

async fn channels(rest: &Rest, seen: &Seen<'_>) -> Vec<Finding> {
    let channels = &seen.settings.channels;
    let mut asked: Vec<(Place, Permissions)> =
        channels.ops.iter().map(|id| (Place::new(*id, "the ops channel"), IN_OPS)).collect();
    asked.push((Place::new(channels.governance, "the governance channel"), IN_GOVERNANCE));
    asked.push((Place::new(channels.log, "the log channel"), IN_LOG));
    let mut findings = Vec::new();
    for (place, needed) in asked {
        let what = format!("Discord, {}", place.called);
        let channel = match rest.channel(&place).await {
            Ok(channel) => channel,
            Err(fault) if fault.is_gone() => {
                findings.push(Finding::failed(
                    what,
                    format!("There is no channel {}.", place.id),
                    "Correct discord.channels in the configuration, or make the channel anew and name it there.",
                ));
                continue;
            }
            Err(fault) => {
                findings.push(Finding::unanswered(what, &PortError::from(fault)));
                continue;
            }
        };
        findings.push(seen.channel(&what, &channel, needed));
        let notified: &[Role] = match place.called {
            "the ops channel" => &[Role::Operator, Role::InfrastructureTeam, Role::SystemArchitect],
            "the governance channel" => &[Role::GovernanceLead],
            _ => &[],
        };
        findings.extend(seen.notifies(&what, &channel, notified));
        if channel.id == channels.log {
            findings.push(seen.writers(&what, &channel));
        }
    }
    findings
}

impl Seen<'_> {
    fn ours(&self, channel: &GuildChannel) -> Permissions {
        in_channel(self.settings.guild, &self.guild.roles, &self.member.roles, Some(self.me), channel)
    }

    fn channel(&self, what: &str, channel: &GuildChannel, needed: Permissions) -> Finding {
        let name = shown(&channel.name);
        if channel.guild_id != self.settings.guild {
            return Finding::failed(what, format!("#{name} is in another server."), "Name a channel of discord.guild.");
        }
        if !matches!(channel.kind, ChannelType::Text | ChannelType::News) {
            return Finding::failed(what, format!("#{name} is no text channel."), "Name a text channel.");
        }
        match permissions::names(needed - self.ours(channel)).as_slice() {
            [] => Finding::ok(what, format!("#{name}: the bot may do there what it has to.")),
            missing => Finding::failed(
                what,
                format!("#{name}: the bot lacks {}.", missing.join(", ")),
                "Grant that to the bot's role in the channel's settings, under Permissions.",
            ),
        }
    }

    /// Whether the roles that are told something in that channel are notified.
    fn notifies(&self, what: &str, channel: &GuildChannel, roles: &[Role]) -> Option<Finding> {
        if self.ours(channel).contains(Permissions::MENTION_EVERYONE) {
            return None;
        }
        let unheard = |role: &Role| {
            let id = self.settings.roles.notified(*role)?;
            let found = self.guild.roles.get(&id)?;
            (!found.mentionable).then(|| shown(&found.name))
        };
        let mut unheard: Vec<String> = roles.iter().filter_map(unheard).collect();
        unheard.dedup();
        (!unheard.is_empty()).then(|| {
            Finding::failed(
                what,
                format!("Nobody would be notified there: {} cannot be mentioned by the bot.", unheard.join(", ")),
                "In the role's settings, turn on: Allow anyone to @mention this role. Or grant the bot's role \
                 \"Mention @everyone, @here, and All Roles\" in that channel.",
            )
        })
    }

    /// Whether anybody but the bot may write there.
    fn writers(&self, what: &str, channel: &GuildChannel) -> Finding {
        let everyone = RoleId::new(self.settings.guild.get());
        let mut others: Vec<&Found> =
            self.guild.roles.values().filter(|role| !self.member.roles.contains(&role.id)).collect();
        others.sort_by_key(|role| role.id);
        let may = |role: &Found, any: Permissions| {
            in_channel(self.settings.guild, &self.guild.roles, &[role.id], None, channel).intersects(any)
        };
        let (mut writers, mut admins, mut removers) = (Vec::new(), Vec::new(), Vec::new());
        let everybody_writes = self.guild.roles.get(&everyone).is_some_and(|role| may(role, WRITES));
        // Where everybody may, each role may as well.
        for role in others.into_iter().filter(|role| !everybody_writes || role.id == everyone) {
            let name = if role.id == everyone { "everybody".to_owned() } else { shown(&role.name) };
            match role {
                role if role.permissions.administrator() => admins.push(name),
                role if may(role, WRITES) => writers.push(name),
                role if may(role, Permissions::MANAGE_MESSAGES) => removers.push(name),
                _ => {}
            }
        }
        let person = |overwrite: &PermissionOverwrite| match overwrite.kind {
            PermissionOverwriteType::Member(person) if person != self.me && overwrite.allow.intersects(WRITES) => {
                Some(format!("the person {person}"))
            }
            _ => None,
        };
        writers.extend(channel.permission_overwrites.iter().filter_map(person));
        if !writers.is_empty() {
            return Finding::failed(
                what,
                format!("Others than the bot may write there: {}.", writers.join(", ")),
                "Take Send Messages and Manage Webhooks from them in that channel, so that it is a witness.",
            );
        }
        if !removers.is_empty() {
            return Finding::warn(
                what,
                format!("Others may take posts away there: {}.", removers.join(", ")),
                "Take Manage Messages from them in that channel. Posts that are missing are seen by ledger verify.",
            );
        }
        match admins.as_slice() {
            [] => Finding::ok(what, "Nobody but the bot and the server's owner may write there."),
            admins => Finding::warn(
                what,
                format!("Administrators may write anywhere, there too: {}.", admins.join(", ")),
                "Give Administrator to as few as can be. A post that is not the bot's is seen by ledger verify.",
            ),
        }
    }
}

fn roles(seen: &Seen<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (key, ids) in seen.settings.roles.named() {
        let what = format!("Discord, {key}");
        let mut names = Vec::new();
        for id in ids {
            match seen.guild.roles.get(id) {
                None => findings.push(Finding::failed(
                    &what,
                    format!("There is no role {id} in the server."),
                    "Correct the configuration, or make the role anew.",
                )),
                Some(role) if role.managed => findings.push(Finding::failed(
                    &what,
                    format!("{} belongs to a bot or a service, and no person can hold it.", shown(&role.name)),
                    "Name a role that people hold.",
                )),
                Some(role) => names.push(shown(&role.name)),
            }
        }
        if !names.is_empty() {
            findings.push(Finding::ok(&what, format!("{}.", names.join(", "))));
        }
    }
    findings
}

/// Whether an approval can be had at all, whoever asks.
async fn gate(rest: &Rest, seen: &Seen<'_>, quorum: u32) -> Finding {
    const WHAT: &str = "Discord, approval";
    let counts = match rest.role_counts(seen.settings.guild).await {
        Ok(counts) => counts,
        Err(fault) => return Finding::unanswered(WHAT, &PortError::from(fault)),
    };
    let leads = &seen.settings.roles.governance_lead;
    // The bot itself approves nothing, whatever it holds.
    let ours = |lead: &RoleId| u64::from(seen.member.roles.contains(lead));
    let count = |lead: &RoleId| {
        counts.iter().find(|(role, _)| role == lead).map_or(0, |(_, count)| count.saturating_sub(ours(lead)))
    };
    // Who holds two of the roles is counted once at least: the largest is certain, the sum is not. Who of them is a bot,
    // which can approve nothing, Discord tells only those whom it lets read every member.
    let certain = leads.iter().map(count).max().unwrap_or(0);
    let quorum = u64::from(quorum.max(1));
    let leads = match certain {
        1 => "1 governance lead".to_owned(),
        several => format!("{several} governance leads"),
    };
    let needed = if quorum == 1 { "1 has to approve".to_owned() } else { format!("{quorum} have to approve") };
    let to_do = "Give the role of governance lead to more people.";
    match certain {
        certain if certain < quorum => {
            Finding::failed(WHAT, format!("No approval can be had: {leads}, of whom {needed}."), to_do)
        }
        certain if certain == quorum => Finding::warn(
            WHAT,
            format!(
                "{leads}, of whom {needed}. Nobody can approve what one of them asks for: the gate cannot be satisfied then."
            ),
            to_do,
        ),
        _ => Finding::ok(
            WHAT,
            format!("{leads}, of whom {needed}. A bot that holds the role counts among them, and approves nothing."),
        ),
    }
}

/// A name from Discord as it may be shown.
fn shown(name: &str) -> String {
    scalebot_commands::request::quoted(name)
}

#[cfg(test)]
mod tests;
