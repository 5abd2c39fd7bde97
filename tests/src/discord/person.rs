//! A person at Discord: types commands, presses buttons, gives reactions, writes. Whatever a person could not do there
//! (a button that is not on the message, a command that they do not see) fails the test at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};

use super::asked::{Answer, Asked};
use super::draft::Draft;
use super::id::Snowflake;
use super::limits::REACTIONS;
use super::permissions::{
    self, ADD_REACTIONS, ADMINISTRATOR, Permissions, SEND_MESSAGES, USE_APPLICATION_COMMANDS, VIEW_CHANNEL,
};
use super::rest::interactions::input_of;
use super::scene::channel_named;
use super::server::Shared;
use super::view::{ChannelView, Seen};
use super::world::{Asking, Whence, World};

/// One person, and where they are.
#[derive(Clone)]
pub struct Person {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: Snowflake,
    channel: String,
    whence: Whence,
}

impl Person {
    pub(crate) fn new(shared: Arc<Shared>, id: Snowflake) -> Self {
        Self { shared, id, channel: "ops".to_owned(), whence: Whence::Server }
    }

    /// Their identifier.
    pub fn id(&self) -> Snowflake {
        self.id
    }

    /// The same person in another channel than `ops`.
    pub fn in_channel(&self, name: &str) -> Self {
        Self { channel: name.to_owned(), ..self.clone() }
    }

    /// The same person coming from elsewhere.
    pub fn from(&self, whence: Whence) -> Self {
        Self { whence, ..self.clone() }
    }

    fn here(&self) -> Snowflake {
        if self.whence == Whence::DirectMessage {
            return self.shared.change(|world| world.direct_channel(self.id));
        }
        self.shared.look(|world| channel_named(world, &self.channel))
    }

    fn need(&self, channel: Snowflake, what: Permissions) {
        let may = self.shared.look(|world| world.may(self.id, channel));
        let names = what.without(may).names();
        assert!(names.is_empty(), "{} lacks {names:?} in #{}", self.name(), self.channel);
    }

    fn name(&self) -> String {
        self.shared.look(|world| world.name_of(self.id))
    }

    /// Whether a command is offered to them here.
    pub fn sees_command(&self, name: &str) -> bool {
        let here = self.here();
        self.shared
            .look(|world| world.commands.values().any(|one| one["name"] == name && self.is_offered(world, one, here)))
    }

    fn is_offered(&self, world: &World, command: &Value, channel: Snowflake) -> bool {
        if self.whence != Whence::Server {
            return true;
        }
        let all = permissions::in_guild(world, self.id);
        if all.has(ADMINISTRATOR) {
            return true;
        }
        if !world.may(self.id, channel).has(VIEW_CHANNEL.and(USE_APPLICATION_COMMANDS)) {
            return false;
        }
        let granted = command["name"].as_str().and_then(|name| world.command_grants.get(name));
        let held = world.guild.members.get(&self.id).map(|member| &member.roles);
        if granted.is_some_and(|granted| granted.iter().any(|role| held.is_some_and(|held| held.contains(role)))) {
            return true;
        }
        match command["default_member_permissions"].as_str().map(|bits| bits.parse::<u64>().unwrap_or(u64::MAX)) {
            None => true,
            // With no bit set it is for administrators alone.
            Some(0) => false,
            Some(bits) => all.has(Permissions(bits)),
        }
    }

    /// Types a command without options: `status` for `/scale status`.
    ///
    /// # Panics
    /// As `command`.
    pub fn ask(&self, name: &str) -> Asked {
        self.command::<i64>(name, &[])
    }

    /// Types a command with its options: `command("up", &[("count", 6)])` for `/scale up count:6`.
    ///
    /// # Panics
    /// Where no such command is registered, it is not offered to them here, or an option is not one that Discord would
    /// let them fill in so.
    pub fn command<V: Into<Value> + Clone>(&self, name: &str, options: &[(&str, V)]) -> Asked {
        let options: Vec<(&str, Value)> = options.iter().map(|(name, value)| (*name, value.clone().into())).collect();
        let here = self.here();
        let command = self.registered(name, here);
        let definition = Self::definition(&command, name);
        for (option, value) in &options {
            let known = definition["options"].as_array().into_iter().flatten().find(|one| one["name"] == *option);
            let Some(known) = known else { panic!("/{name} has no option called {option}: {definition:#}") };
            if let Err(why) = fits(known, value) {
                panic!("Discord would not let {option} be {value}: {why}");
            }
        }
        for known in definition["options"].as_array().into_iter().flatten().filter(|one| one["required"] == true) {
            let given = options.iter().any(|(option, _)| known["name"] == *option);
            assert!(given, "/{name} needs its option {}", known["name"]);
        }
        let data = filled_in(&command, &definition, &options, None);
        self.make(2, here, data, None)
    }

    /// Has typed `typed` into an option so far, the others being filled in, and looks at what is proposed.
    ///
    /// # Panics
    /// Where the option proposes nothing.
    pub async fn proposals(&self, name: &str, option: &str, typed: &str) -> Vec<(String, Value)> {
        let here = self.here();
        let command = self.registered(name, here);
        let definition = Self::definition(&command, name);
        let known = definition["options"].as_array().into_iter().flatten().find(|one| one["name"] == option);
        assert!(known.is_some_and(|one| one["autocomplete"] == true), "{option} of /{name} proposes nothing");
        let data = filled_in(&command, &definition, &[(option, json!(typed))], Some(option));
        match self.make(4, here, data, None).answer().await {
            Answer::Choices(choices) => choices,
            other => panic!("instead of proposals: {other:?}"),
        }
    }

    /// The registered command that is called so, or that has a subcommand called so.
    fn registered(&self, name: &str, channel: Snowflake) -> Value {
        let who = self.name();
        self.shared.look(|world| {
            let has_sub = |command: &&Value| {
                let options = command["options"].as_array();
                options.into_iter().flatten().any(|one| one["type"] == 1 && one["name"] == name)
            };
            let command = world
                .commands
                .values()
                .find(|one| one["name"] == name)
                .or_else(|| world.commands.values().find(has_sub));
            let Some(command) = command else { panic!("no command {name} is registered: {:?}", world.commands) };
            let offered = self.is_offered(world, command, channel);
            assert!(offered, "{who} is not offered /{} in #{}", command["name"], self.channel);
            command.clone()
        })
    }

    fn definition(command: &Value, name: &str) -> Value {
        let mut subs = command["options"].as_array().into_iter().flatten();
        subs.find(|one| one["type"] == 1 && one["name"] == name).unwrap_or(command).clone()
    }

    fn make(&self, kind: u8, channel: Snowflake, data: Value, message: Option<Snowflake>) -> Asked {
        let whence = self.whence;
        let asking = Asking { kind, user: self.id, channel, data, message, whence };
        let id = self.shared.change(|world| world.ask(asking));
        Asked { shared: Arc::clone(&self.shared), id }
    }

    /// Presses the button of this label.
    ///
    /// # Panics
    /// Where the message has none now, it cannot be pressed, or they do not see the message.
    pub fn press(&self, message: &Seen, label: &str) -> Asked {
        let Some(now) = message.now() else { panic!("the message is deleted: {message:?}") };
        self.need(now.channel, VIEW_CHANNEL);
        let own = self.shared.look(|world| world.message(now.id).and_then(|message| message.only_for));
        assert!(own.is_none_or(|only| only == self.id), "{} does not see that message", self.name());
        let is_it = |one: &&Value| one["type"] == 2 && (one["label"] == label || one["emoji"]["name"] == label);
        let Some(button) = now.all_components().find(is_it) else {
            panic!("no button {label:?} on the message, only {:?}", now.buttons());
        };
        assert!(button["disabled"] != true, "the button {label:?} cannot be pressed");
        let Some(custom_id) = button["custom_id"].as_str() else { panic!("the button {label:?} is a link") };
        let data = json!({ "custom_id": custom_id, "component_type": 2, "id": button["id"] });
        self.make(3, now.channel, data, Some(now.id))
    }

    /// Chooses from the select menu of this placeholder.
    ///
    /// # Panics
    /// Where there is no such menu or no such choice.
    pub fn choose(&self, message: &Seen, placeholder: &str, label: &str) -> Asked {
        let Some(now) = message.now() else { panic!("the message is deleted: {message:?}") };
        self.need(now.channel, VIEW_CHANNEL);
        let Some(menu) = now.all_components().find(|one| one["type"] == 3 && one["placeholder"] == placeholder) else {
            panic!("no menu {placeholder:?} on the message: {:?}", now.components);
        };
        let option = menu["options"].as_array().into_iter().flatten().find(|one| one["label"] == label);
        let Some(option) = option else { panic!("no choice {label:?} in {menu:#}") };
        let data = json!({
            "custom_id": menu["custom_id"], "component_type": 3, "id": menu["id"], "values": [option["value"]],
        });
        self.make(3, now.channel, data, Some(now.id))
    }

    /// Fills in the form that `asked` brought up, by the fields' labels, and sends it.
    ///
    /// # Panics
    /// Where it brought up none, or the form has no such field.
    pub async fn fill_in(&self, asked: &Asked, answers: &[(&str, &str)]) -> Asked {
        let form = match asked.answer().await {
            Answer::Form(form) => form,
            other => panic!("instead of a form: {other:?}"),
        };
        let rows = form["components"].as_array().cloned().unwrap_or_default();
        let mut used = BTreeSet::new();
        let filled: Vec<Value> = rows
            .iter()
            .enumerate()
            .map(|(n, row)| {
                let (input, _) = input_of(row, n);
                let label = if row["type"] == 18 { &row["label"] } else { &input["label"] };
                let given = answers.iter().find(|(name, _)| label == name);
                used.extend(given.map(|(name, _)| *name));
                let value = given.map_or_else(|| input["value"].as_str().unwrap_or_default(), |(_, value)| *value);
                let length = value.chars().count() as u64;
                let (least, most) =
                    (input["min_length"].as_u64().unwrap_or(0), input["max_length"].as_u64().unwrap_or(4000));
                let needed = input["required"].as_bool().unwrap_or(true);
                let fine = (length == 0 && !needed) || (length >= least.max(u64::from(needed)) && length <= most);
                assert!(fine, "Discord would not let {label} be {value:?}");
                let field = json!({ "type": 4, "id": 2 * n + 2, "custom_id": input["custom_id"], "value": value });
                if row["type"] == 18 {
                    json!({ "type": 18, "id": 2 * n + 1, "component": field })
                } else {
                    json!({ "type": 1, "id": 2 * n + 1, "components": [field] })
                }
            })
            .collect();
        for (name, _) in answers {
            assert!(used.contains(name), "the form has no field {name:?}: {form:#}");
        }
        let (channel, message) = self.shared.look(|world| {
            let opened = &world.interactions[&asked.id];
            (opened.channel, opened.message)
        });
        let data = json!({ "custom_id": form["custom_id"], "components": filled });
        self.make(5, channel, data, message)
    }

    /// Gives a reaction.
    ///
    /// # Panics
    /// Where the message is gone, they do not see it, or it would be one too many.
    pub fn react(&self, message: &Seen, emoji: &str) {
        let now = self.reachable(message);
        if !now.reactions.contains_key(emoji) {
            self.need(now.channel, ADD_REACTIONS);
            assert!(now.reactions.len() < REACTIONS, "a message bears {REACTIONS} kinds of reaction");
        }
        self.shared.change(|world| world.react(now.channel, now.id, self.id, emoji));
    }

    /// Takes a reaction of theirs back.
    ///
    /// # Panics
    /// Where they gave none, or the message is gone.
    pub fn unreact(&self, message: &Seen, emoji: &str) {
        let now = self.reachable(message);
        let was_there = self.shared.change(|world| world.unreact(now.channel, now.id, self.id, emoji));
        assert!(was_there, "{} gave no {emoji}", self.name());
    }

    fn reachable(&self, message: &Seen) -> Seen {
        let Some(now) = message.now() else { panic!("the message is deleted: {message:?}") };
        assert!(!now.ephemeral, "nobody reacts to what only one person sees");
        self.need(now.channel, VIEW_CHANNEL);
        now
    }

    /// Writes in the channel.
    ///
    /// # Panics
    /// Where they may not.
    pub fn writes(&self, text: &str) -> Seen {
        let here = self.here();
        self.need(here, VIEW_CHANNEL.and(SEND_MESSAGES));
        let draft = Draft { content: Some(text.to_owned()), ..Draft::default() };
        let id = self.shared.change(|world| world.post(here, self.id, draft, None, None));
        self.seen(id)
    }

    /// Edits a message of their own.
    ///
    /// # Panics
    /// Where it is not theirs.
    pub fn edits(&self, message: &Seen, text: &str) -> Seen {
        assert_eq!(message.author, self.name(), "only its author edits a message");
        let draft = Draft { content: Some(text.to_owned()), ..Draft::default() };
        self.shared.change(|world| world.edit(message.id, draft));
        self.seen(message.id)
    }

    fn seen(&self, id: Snowflake) -> Seen {
        let found = self.shared.look(|world| world.message(id).map(|message| Seen::of(&self.shared, world, message)));
        found.unwrap_or_else(|| panic!("message {id} is gone"))
    }

    /// What the bot wrote to them alone.
    pub fn direct_messages(&self) -> ChannelView {
        let id = self.shared.change(|world| world.direct_channel(self.id));
        ChannelView { shared: Arc::clone(&self.shared), id }
    }
}

/// Whether Discord's client would take a value for an option.
fn fits(option: &Value, value: &Value) -> Result<(), String> {
    let kind = option["type"].as_u64().unwrap_or(0);
    let right = match kind {
        3 => value.is_string(),
        4 => value.is_i64() || value.is_u64(),
        5 => value.is_boolean(),
        10 => value.is_number(),
        _ => true,
    };
    if !right {
        return Err(format!("it is of type {kind}"));
    }
    if let Some(choices) = option["choices"].as_array().filter(|choices| !choices.is_empty()) {
        return if choices.iter().any(|one| one["value"] == *value) { Ok(()) } else { Err("it is not offered".into()) };
    }
    let measure = value.as_f64().or_else(|| value.as_str().map(|text| text.chars().count() as f64));
    let (least, most) = if kind == 3 { ("min_length", "max_length") } else { ("min_value", "max_value") };
    let bound = |name: &str| option[name].as_f64();
    match measure {
        Some(measure) if bound(least).is_some_and(|least| measure < least) => {
            Err(format!("{least} is {}", option[least]))
        }
        Some(measure) if bound(most).is_some_and(|most| measure > most) => Err(format!("{most} is {}", option[most])),
        Some(measure) if kind == 3 && measure > 6000.0 => Err("a text has at most 6000 characters".into()),
        _ => Ok(()),
    }
}

/// A command's data: the command itself, and its options or its subcommand with them.
fn filled_in(command: &Value, definition: &Value, options: &[(&str, Value)], focused: Option<&str>) -> Value {
    let given: Vec<Value> = options
        .iter()
        .map(|(name, value)| {
            let known = definition["options"].as_array().into_iter().flatten().find(|one| one["name"] == *name);
            let mut option = json!({ "name": name, "type": known.map(|one| &one["type"]), "value": value });
            if focused == Some(*name) {
                option["focused"] = json!(true);
            }
            option
        })
        .collect();
    let mut data = json!({
        "id": command["id"], "name": command["name"], "type": command["type"], "guild_id": command["guild_id"],
    });
    let is_sub = definition["type"] == 1 && definition.get("id").is_none();
    if is_sub {
        let mut sub = json!({ "name": definition["name"], "type": 1 });
        sub["options"] = given.into();
        data["options"] = json!([sub]);
    } else if !given.is_empty() {
        data["options"] = given.into();
    }
    data
}
