//! What configuration says of Discord.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use scalebot_adapters::settings::{Unusable, given, length, optional_secret};
use scalebot_commands::ports::Role;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, de};
use serenity::all::{ChannelId, GuildId, RoleId};

/// Where Discord itself is.
const DISCORD: &str = "https://discord.com/api/v10";

/// The version of the interface that this front speaks.
const VERSION: &str = "/api/v10";

/// `[discord]`: the server that the bot serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// The bot's token: from the environment, never in the file. Default: none; then `token_file` names a file that
    /// holds it.
    #[serde(default, deserialize_with = "optional_secret", skip_serializing)]
    pub(crate) token: Option<SecretString>,
    /// A file that holds the token. Default: none.
    #[serde(default)]
    pub(crate) token_file: Option<PathBuf>,
    /// Where Discord is reached. Default: `https://discord.com/api/v10`. No request goes anywhere else. Without
    /// encryption only this machine itself may be named.
    #[serde(default = "discord")]
    pub(crate) api_base: String,
    /// The server, by its identifier. Commands from anywhere else are answered privately, with what is missing.
    #[serde(deserialize_with = "numbered")]
    pub(crate) guild: GuildId,
    /// Where what is said.
    pub(crate) channels: Channels,
    /// Who is what. People without any of these can do what a viewer can.
    pub(crate) roles: Roles,
    /// What becomes of operations while Discord cannot be reached. Default: `go_on`.
    #[serde(default)]
    pub(crate) while_away: WhileAway,
    /// Whether what instances wrote is attached to the summary of a scaling that was taken back. It may hold anything.
    /// Default: `false`; it is kept on the bot's machine either way.
    #[serde(default)]
    pub(crate) attach_instance_logs: bool,
    /// How often one message is edited at most. Default: `5s`.
    #[serde(default = "edit_every", with = "length")]
    pub(crate) edit_every: Duration,
}

/// `[discord.channels]`: where what is said, by the channels' identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Channels {
    /// Where commands are given and operations are shown, at least one. The first one also gets what belongs to no
    /// command: proposals, and escalations of operations from before a restart.
    #[serde(deserialize_with = "numbered")]
    pub(crate) ops: Vec<ChannelId>,
    /// Where a governance lead is asked to approve, and is offered to halt the system.
    #[serde(deserialize_with = "numbered")]
    pub(crate) governance: ChannelId,
    /// Where every event is posted. Nobody but the bot may write there.
    #[serde(deserialize_with = "numbered")]
    pub(crate) log: ChannelId,
}

/// `[discord.roles]`: who is what, by the roles' identifiers. Whoever holds one of several roles is that. Of several the
/// first one is notified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Roles {
    /// Who may look. Default: empty, which means everybody who sees the channel.
    #[serde(default, deserialize_with = "numbered")]
    pub(crate) viewer: Vec<RoleId>,
    /// Who may scale, at least one role.
    #[serde(deserialize_with = "numbered")]
    pub(crate) operator: Vec<RoleId>,
    /// Who approves, rejects and lifts limits, at least one role.
    #[serde(deserialize_with = "numbered")]
    pub(crate) governance_lead: Vec<RoleId>,
    /// Who sees to the limits of the infrastructure. Default: empty; then operators are told in their stead.
    #[serde(default, deserialize_with = "numbered")]
    pub(crate) infrastructure_team: Vec<RoleId>,
    /// Who sees to inconsistencies, and to what does not improve. Default: empty; then operators are told in their
    /// stead.
    #[serde(default, deserialize_with = "numbered")]
    pub(crate) system_architect: Vec<RoleId>,
}

/// What becomes of operations while Discord cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhileAway {
    /// They go on, and what is to be said is said afterwards.
    #[default]
    GoOn,
    /// They wait before the next change, until Discord is back.
    Pause,
}

impl Settings {
    /// The token, from where the settings say that it is.
    ///
    /// # Errors
    /// When there is none, two, or it cannot be read.
    pub(crate) fn token(&self) -> Result<SecretString, Unusable> {
        given("discord.token", self.token.as_ref(), self.token_file.as_deref())?.ok_or_else(|| {
            Unusable::new(
                "discord.token",
                "no token is given; set discord.token in the environment (SCALEBOT_DISCORD__TOKEN) or name its file \
                 in discord.token_file",
            )
        })
    }

    /// Where Discord is reached, as it is used: without a slash at its end, with the interface's version.
    ///
    /// # Errors
    /// When it is no such address, or would carry the token in the clear over a network.
    pub(crate) fn base(&self) -> Result<Url, Unusable> {
        let unusable = |why: &str| Unusable::new("discord.api_base", format!("{why}; the default is {DISCORD}"));
        let text = self.api_base.trim_end_matches('/');
        let text = if text.ends_with(VERSION) { text.to_owned() } else { format!("{text}{VERSION}") };
        let url = Url::parse(&text).map_err(|error| unusable(&format!("that is no address ({error})")))?;
        let host = url.host_str().ok_or_else(|| unusable("that address names no host"))?;
        if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() || url.password().is_some() {
            return Err(unusable("it must be a plain address, without a user, a ? or a #"));
        }
        match url.scheme() {
            "https" => Ok(url),
            "http" if is_this_machine(host) => Ok(url),
            "http" => Err(unusable("without encryption the token could be read on its way; use https")),
            _ => Err(unusable("it must begin with https://")),
        }
    }

    /// What cannot be used although it can be read.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub(crate) fn usable(&self) -> Result<(), Unusable> {
        self.base()?;
        let missing = |key: &str| Err(Unusable::new(key, "it is empty; name at least one identifier"));
        let Channels { ops, governance, log } = &self.channels;
        if ops.is_empty() {
            return missing("discord.channels.ops");
        }
        if ops.contains(log) || governance == log {
            let why = "it is also another channel here; the log channel is for the bot's posts alone";
            return Err(Unusable::new("discord.channels.log", why));
        }
        if self.roles.operator.is_empty() {
            return missing("discord.roles.operator");
        }
        if self.roles.governance_lead.is_empty() {
            return missing("discord.roles.governance_lead");
        }
        let everyone = RoleId::new(self.guild.get());
        for (key, roles) in self.roles.named() {
            if roles.contains(&everyone) {
                return Err(Unusable::new(key, "that is the role that everybody has; name another one"));
            }
        }
        if self.edit_every < Duration::from_secs(1) || self.edit_every > Duration::from_mins(1) {
            return Err(Unusable::new("discord.edit_every", "it must be from 1s to 60s"));
        }
        Ok(())
    }
}

impl Roles {
    /// The roles in Discord that make somebody that.
    pub(crate) fn of(&self, role: Role) -> &[RoleId] {
        match role {
            Role::Operator => &self.operator,
            Role::GovernanceLead => &self.governance_lead,
            Role::InfrastructureTeam => &self.infrastructure_team,
            Role::SystemArchitect => &self.system_architect,
        }
    }

    /// The role that is notified when that one is told something: the first one; where nobody is that, the operators.
    pub(crate) fn notified(&self, role: Role) -> Option<RoleId> {
        self.of(role).first().or_else(|| self.operator.first()).copied()
    }

    /// Each list with its key.
    pub(crate) fn named(&self) -> [(&'static str, &[RoleId]); 5] {
        [
            ("discord.roles.viewer", &self.viewer),
            ("discord.roles.operator", &self.operator),
            ("discord.roles.governance_lead", &self.governance_lead),
            ("discord.roles.infrastructure_team", &self.infrastructure_team),
            ("discord.roles.system_architect", &self.system_architect),
        ]
    }

    /// Whether somebody with these roles may look at all.
    pub(crate) fn may_look(&self, held: &[RoleId]) -> bool {
        self.viewer.is_empty() || self.named().iter().any(|(_, roles)| roles.iter().any(|role| held.contains(role)))
    }
}

/// Whether a host is this machine by its very name or address.
pub(super) fn is_this_machine(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Reads an identifier, or several; where that is none, says what one is.
fn numbered<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::deserialize(deserializer).map_err(|error| {
        de::Error::custom(format!(
            "{error}; a Discord identifier is a number of 17 to 20 digits: turn on developer mode, then Copy ID"
        ))
    })
}

fn discord() -> String {
    DISCORD.to_owned()
}

fn edit_every() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
pub(super) mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::{Value, json};

    use super::*;

    /// Settings of a server with every channel and role, reached at `base`.
    pub(crate) fn settings(base: &str) -> Settings {
        let mut all = plain();
        all["api_base"] = json!(base);
        all["edit_every"] = json!("1s");
        all["roles"]["infrastructure_team"] = json!(["43"]);
        all["roles"]["system_architect"] = json!(["44"]);
        serde_json::from_value(all).unwrap()
    }

    fn plain() -> Value {
        json!({
            "token": "hidden",
            "guild": "10",
            "channels": { "ops": ["20"], "governance": "21", "log": "22" },
            "roles": { "operator": ["41"], "governance_lead": ["42"] },
        })
    }

    fn read(change: impl FnOnce(&mut Value)) -> Result<Settings, String> {
        let mut all = plain();
        change(&mut all);
        let settings: Settings = serde_json::from_value(all).map_err(|error| error.to_string())?;
        settings.usable().map_err(|error| error.to_string())?;
        Ok(settings)
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let settings = read(|_| ()).unwrap();
        assert_eq!(settings.base().unwrap().as_str(), "https://discord.com/api/v10");
        assert_eq!(settings.while_away, WhileAway::GoOn);
        assert_eq!((settings.attach_instance_logs, settings.edit_every), (false, Duration::from_secs(5)));
        assert!(settings.roles.may_look(&[]));
        assert_eq!(settings.roles.notified(Role::SystemArchitect), Some(RoleId::new(41)));
    }

    #[test]
    fn the_token_is_never_shown_and_comes_from_one_place() {
        let settings = read(|_| ()).unwrap();
        assert_eq!(settings.token().unwrap().expose_secret(), "hidden");
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
        let none = read(|all| _ = all.as_object_mut().unwrap().remove("token")).unwrap();
        assert!(none.token().unwrap_err().to_string().contains("SCALEBOT_DISCORD__TOKEN"));
    }

    #[test]
    fn the_base_is_an_encrypted_address_or_this_machine() {
        let base = |base: &str| read(|all| all["api_base"] = json!(base)).map(|all| all.base().unwrap().to_string());
        assert_eq!(base("https://discord.com/").unwrap(), "https://discord.com/api/v10");
        assert_eq!(base("http://127.0.0.1:4000").unwrap(), "http://127.0.0.1:4000/api/v10");
        assert_eq!(base("http://[::1]:4000/api/v10/").unwrap(), "http://[::1]:4000/api/v10");
        assert!(base("http://proxy.example:3000").unwrap_err().contains("use https"));
        for wrong in ["discord.com", "ftp://127.0.0.1", "https://a:b@discord.com", "https://discord.com/?x", ""] {
            assert!(base(wrong).unwrap_err().contains("discord.api_base"), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_key() {
        let why = |change: fn(&mut Value)| read(change).unwrap_err();
        assert!(why(|all| all["channels"]["ops"] = json!([])).contains("discord.channels.ops"));
        assert!(why(|all| all["channels"]["log"] = json!("20")).contains("discord.channels.log"));
        assert!(why(|all| all["roles"]["operator"] = json!([])).contains("discord.roles.operator"));
        assert!(why(|all| all["roles"]["governance_lead"] = json!(["10"])).contains("everybody has"));
        assert!(why(|all| all["edit_every"] = json!("100ms")).contains("discord.edit_every"));
        assert!(why(|all| all["chanels"] = json!({})).contains("unknown field"));
        assert!(why(|all| all["while_away"] = json!("stop")).contains("unknown variant"));
        assert!(why(|all| all["guild"] = json!("my server")).contains("developer mode"));
    }

    #[test]
    fn with_a_viewer_role_only_who_holds_one_of_the_roles_may_look() {
        let settings = read(|all| all["roles"]["viewer"] = json!(["40"])).unwrap();
        let may = |held: &[u64]| settings.roles.may_look(&held.iter().map(|id| RoleId::new(*id)).collect::<Vec<_>>());
        assert!(may(&[40]) && may(&[41]) && may(&[9, 42]));
        assert!(!may(&[]) && !may(&[9]));
    }
}
