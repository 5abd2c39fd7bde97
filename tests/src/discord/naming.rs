//! The same text in every run: identifiers by the names of what they stand for, and moments by dots.

use serde_json::Value;

use super::Discord;

impl Discord {
    /// What was sent or seen, with every identifier of the scene written as a name (`{lead}`, `{#ops}`, `{@operator}`),
    /// those of messages in the order of their making (`{message 1}`), and every moment as `…`. For snapshots.
    pub fn named(&self, value: &Value) -> Value {
        let names = self.names();
        rewritten(value, &|text| in_words(text, &names, &self.address))
    }

    fn names(&self) -> Vec<(String, String)> {
        self.shared.look(|world| {
            let mut names = vec![
                (world.guild.id.to_string(), "{server}".to_owned()),
                (world.application.id.to_string(), "{application}".to_owned()),
            ];
            names.extend(world.users.values().map(|user| (user.id.to_string(), format!("{{{}}}", user.name))));
            let roles = world.guild.roles.values().filter(|role| role.id != world.guild.id);
            names.extend(roles.map(|role| (role.id.to_string(), format!("{{@{}}}", role.name))));
            let channels = world.channels.values().filter(|channel| channel.thread.is_none());
            names.extend(channels.map(|channel| (channel.id.to_string(), format!("{{#{}}}", channel.name))));
            let mut messages: Vec<_> = world.channels.values().flat_map(|channel| channel.messages.values()).collect();
            messages.sort_by_key(|message| message.id);
            for (n, message) in messages.into_iter().enumerate() {
                names.push((message.id.to_string(), format!("{{message {}}}", n + 1)));
                let files = message.attachments.iter();
                names.extend(files.map(|file| (file.id.to_string(), format!("{{file {}}}", file.file.name))));
            }
            let interactions = world.interactions.values().enumerate();
            for (n, interaction) in interactions {
                names.push((interaction.token.clone(), format!("{{token {}}}", n + 1)));
                names.push((interaction.id.to_string(), format!("{{interaction {}}}", n + 1)));
            }
            names
        })
    }
}

fn rewritten(value: &Value, rewrite: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(rewrite(text)),
        Value::Array(list) => list.iter().map(|one| rewritten(one, rewrite)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (rewrite(name), rewritten(value, rewrite))).collect()
        }
        other => other.clone(),
    }
}

fn in_words(text: &str, names: &[(String, String)], address: &str) -> String {
    if text.parse::<jiff::Timestamp>().is_ok() {
        return "…".to_owned();
    }
    let text = names.iter().fold(text.replace(address, "{discord}"), |text, (id, name)| text.replace(id, name));
    // <t:1769860800:R>
    let mut parts = text.split("<t:");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let digits = part.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(part.len());
        whole.push_str("<t:…");
        whole.push_str(&part[digits..]);
    }
    whole
}
