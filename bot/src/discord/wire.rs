//! What Discord tells, where the library's own types do not do, and why. Everything else is read as they are.

use secrecy::SecretString;
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use serenity::all::{
    AuthorizingIntegrationOwner, ChannelId, CommandOptionType, EmbedFooter, Interaction, Member, Message, MessageId,
    UserId, WebhookId,
};

/// Something that somebody did and that wants an answer.
///
/// The library keeps the token, by which it is answered for 15 minutes, as a text that shows wherever the interaction
/// does. Here it is taken out as soon as it is read. And it refuses the whole for one thing in it that it does not know,
/// and somebody's button would do nothing; so what nobody here looks at is taken out before.
#[derive(Clone, Debug)]
pub(crate) struct Did {
    pub(crate) token: SecretString,
    pub(crate) what: Box<Interaction>,
}

impl<'de> Deserialize<'de> for Did {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Plain(mut told) = Plain::<Value>::deserialize(deserializer)?;
        // Under which message a button stands is not needed: the button says all.
        if let Some(message) = told.get_mut("message") {
            *message = json!(Message::default());
        }
        // Discord may leave the options out where none was given.
        if let Some(first) = told.pointer_mut("/data/options/0")
            && first["type"] == json!(CommandOptionType::SubCommand)
            && first.get("options").is_none()
        {
            first["options"] = json!([]);
        }
        let mut what = Box::new(Interaction::deserialize(told).map_err(D::Error::custom)?);
        let token = match &mut *what {
            Interaction::Command(command) | Interaction::Autocomplete(command) => &mut command.token,
            Interaction::Component(press) => &mut press.token,
            Interaction::Modal(form) => &mut form.token,
            _ => return Err(D::Error::custom("it is of a kind that is not asked for")),
        };
        let token = SecretString::from(std::mem::take(token));
        Ok(Self { token, what })
    }
}

impl Did {
    /// Who did it, as somebody in a server; `None` anywhere else.
    pub(crate) fn member(&self) -> Option<&Member> {
        match &*self.what {
            Interaction::Command(command) | Interaction::Autocomplete(command) => command.member.as_deref(),
            Interaction::Component(press) => press.member.as_ref(),
            Interaction::Modal(form) => form.member.as_ref(),
            _ => None,
        }
    }

    /// Whether it comes from a bot that a person added for themselves. A form does not tell; the button that asked for it
    /// did.
    pub(crate) fn is_of_ones_own(&self) -> bool {
        let owners = match &*self.what {
            Interaction::Command(command) | Interaction::Autocomplete(command) => {
                &command.authorizing_integration_owners.0
            }
            Interaction::Component(press) => &press.authorizing_integration_owners.0,
            _ => return false,
        };
        !owners.is_empty() && !owners.iter().any(|owner| matches!(owner, AuthorizingIntegrationOwner::GuildInstall(_)))
    }
}

/// Something without what adorns people, which the library reads more strictly than Discord writes it: a decoration of a
/// new form, and a lead could not approve.
#[derive(Clone, Debug)]
pub(crate) struct Plain<T>(pub(crate) T);

impl<'de, T: DeserializeOwned> Deserialize<'de> for Plain<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut told = Value::deserialize(deserializer)?;
        take_adornments(&mut told);
        T::deserialize(told).map(Self).map_err(D::Error::custom)
    }
}

fn take_adornments(told: &mut Value) {
    const ADORN: [&str; 5] = ["avatar", "banner", "avatar_decoration_data", "collectibles", "primary_guild"];
    match told {
        Value::Object(fields) => {
            fields.retain(|name, _| !ADORN.contains(&name.as_str()));
            fields.values_mut().for_each(take_adornments);
        }
        Value::Array(values) => values.iter_mut().for_each(take_adornments),
        _ => {}
    }
}

/// What people call somebody in the server.
pub(crate) fn name(member: &Member) -> &str {
    let user = &member.user;
    member.nick.as_deref().or(user.global_name.as_deref()).unwrap_or(&user.name)
}

/// A message as it is read back from a channel.
///
/// A page holds what anybody wrote. The library's message refuses the whole page for one thing in it that it does not
/// know, and the log could no longer be read; so only what is needed is read, of the bot's own new message too.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReadBack {
    pub(crate) id: MessageId,
    pub(crate) channel_id: ChannelId,
    pub(crate) author: Numbered<UserId>,
    #[serde(default)]
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) edited_timestamp: Option<IgnoredAny>,
    #[serde(default)]
    pub(crate) embeds: Vec<ReadEmbed>,
    #[serde(default)]
    pub(crate) thread: Option<Numbered<ChannelId>>,
    /// Written by a webhook: its author is no account.
    #[serde(default)]
    pub(crate) webhook_id: Option<WebhookId>,
}

/// Something of which only the number is needed.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Numbered<Id> {
    pub(crate) id: Id,
}

/// An embed, as it is read back.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReadEmbed {
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) footer: Option<EmbedFooter>,
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serenity::all::CommandDataOptionValue;

    use super::*;
    use crate::discord::gateway::tests::command;
    use crate::discord::testing::{member, message};

    fn did(otherwise: Value) -> Result<Did, String> {
        serde_json::from_value(command(otherwise)).map_err(|error| error.to_string())
    }

    /// A command, a completion, a button and a form.
    fn every_kind(owners: &Value) -> Vec<Did> {
        let button = json!({ "custom_id": "x", "component_type": 2 });
        let form = json!({ "custom_id": "x", "components": [] });
        let all = [
            json!({ "type": 2 }),
            json!({ "type": 4 }),
            json!({ "type": 3, "data": button, "message": message("800", "20") }),
            json!({ "type": 5, "data": form }),
        ];
        let owned = |mut otherwise: Value| {
            otherwise["authorizing_integration_owners"] = owners.clone();
            did(otherwise).unwrap()
        };
        all.into_iter().map(owned).collect()
    }

    #[test]
    fn the_token_is_taken_out_and_never_shown() {
        for did in every_kind(&json!({ "0": "10" })) {
            assert_eq!(did.token.expose_secret(), "dG9rZW4");
            let shown = format!("{did:?} {}", json!(*did.what));
            assert!(!shown.contains("dG9rZW4"), "{shown}");
            assert_eq!(did.member().map(name), Some("Lea"));
        }
    }

    #[test]
    fn a_bot_that_somebody_added_for_themselves_is_told_from_the_servers() {
        let own = |owners: Value| every_kind(&owners).iter().map(Did::is_of_ones_own).collect::<Vec<_>>();
        assert_eq!(own(json!({ "1": "5" })), [true, true, true, false]);
        assert_eq!(own(json!({ "0": "10" })), [false; 4]);
        assert_eq!(own(json!({ "0": "10", "1": "5" })), [false; 4]);
        assert_eq!(own(json!({})), [false; 4]);
    }

    #[test]
    fn a_button_is_read_whatever_the_message_holds_under_which_it_stands() {
        let strange = json!({ "id": "800", "reactions": [{ "emoji": { "name": "✅" }, "count": 2 }], "type": "new" });
        let button = json!({ "custom_id": "x", "component_type": 2 });
        did(json!({ "type": 3, "data": button, "message": strange })).unwrap();
    }

    #[test]
    fn people_are_read_however_they_are_adorned() {
        let adorned = json!({
            "id": "5", "username": "lea", "avatar": "new", "primary_guild": 7, "collectibles": [],
            "avatar_decoration_data": { "asset": "v9_a_7acf", "sku_id": "none" },
        });
        let mut member = member(&adorned, &["42"]);
        member["banner"] = json!(1);
        assert_eq!(did(json!({ "member": member.clone() })).unwrap().member().unwrap().user.id, 5);
        assert!(serde_json::from_value::<Member>(member.clone()).is_err(), "the library refuses it");
        let Plain(read) = serde_json::from_value::<Plain<Member>>(member).unwrap();
        assert_eq!((read.user.name.as_str(), read.roles.as_slice()), ("lea", &[42.into()][..]));
    }

    #[test]
    fn a_subcommand_to_which_nothing_was_given_is_read() {
        let data = json!({ "id": "901", "name": "scale", "type": 1, "options": [{ "name": "status", "type": 1 }] });
        let did = did(json!({ "data": data })).unwrap();
        let options = &did.what.as_command().unwrap().data.options;
        assert_eq!(options[0].value, CommandDataOptionValue::SubCommand(vec![]));
    }

    #[test]
    fn of_a_kind_that_nobody_asks_for_it_is_not_read() {
        assert!(did(json!({ "type": 1 })).is_err() && did(json!({ "type": 99 })).is_err());
    }

    #[test]
    fn people_are_called_what_they_are_called_in_the_server() {
        let called = |user: Value, nick: Value| {
            let member = json!({ "user": user, "nick": nick, "roles": [], "deaf": false, "mute": false, "flags": 0 });
            name(&serde_json::from_value(member).unwrap()).to_owned()
        };
        let user = json!({ "id": "5", "username": "lea42", "global_name": "Lea" });
        assert_eq!(called(user.clone(), json!("Lead Lea")), "Lead Lea");
        assert_eq!(called(user, Value::Null), "Lea");
        assert_eq!(called(json!({ "id": "5", "username": "lea42" }), Value::Null), "lea42");
    }
}
