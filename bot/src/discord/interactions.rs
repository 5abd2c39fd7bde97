//! What people do with commands, buttons and forms. Each is acknowledged before anything else is done: whatever a check,
//! the log or another request is busy with, Discord has its answer. Where Discord does not take the acknowledgement,
//! what was done belongs to another process, or is too old, and nothing more is done with it.
//!
//! Every answer is private to who asked: what an operation does is shown by its cards, for everybody.

use std::sync::Arc;

use scalebot_commands::approval::{Ballot, Mark};
use scalebot_commands::journal::{PersonsAnswer, Signal};
use scalebot_commands::ports::World;
use scalebot_commands::request::{MAX_REASON, Request as Command, escaped};
use scalebot_commands::units::Person;
use serenity::all::{
    ActionRowComponent, ChannelId, CommandInteraction, CreateActionRow, CreateAllowedMentions, CreateInputText,
    CreateInteractionResponse as First, CreateInteractionResponseMessage, CreateModal, InputTextStyle, Interaction,
    ModalInteractionData,
};

use super::commands;
use super::drawing::limits::{FORM_HINT, FORM_LABEL, FORM_TITLE};
use super::drawing::press::{Press, Request};
use super::drawing::{self, View};
use super::people::{People, person};
use super::rest::Rest;
use super::room::texts_of;
use super::settings::Settings;
use super::wire::Did;
use crate::reception::{Reception, Reply};

/// What answers people.
pub(crate) struct Interactions {
    pub(crate) rest: Rest,
    pub(crate) settings: Settings,
    pub(crate) people: Arc<People>,
    pub(crate) reception: Arc<dyn Reception>,
    pub(crate) world: Arc<dyn World>,
}

/// The name of the one field in a form.
const TEXT: &str = "text";

impl Interactions {
    /// Answers what somebody did.
    pub(crate) async fn answer(&self, did: &Did) {
        let first = self.first(did);
        if let Err(fault) = self.rest.acknowledge(did.what.id(), &did.token, &first).await {
            // Another process on the same token was faster, or the three seconds are over. People can try again; doing it
            // here too might do it twice.
            tracing::info!(?fault, "what somebody did could not be acknowledged, so it is left to whoever could");
            return;
        }
        if !matches!(first, First::Defer(_)) {
            return;
        }
        let channel = did.what.as_command().and_then(|command| self.ops_channel(command));
        self.people.heard(did, channel);
        let said = self.done(did).await;
        let names = match &said {
            Said::Card(card) => self.people.names_in(texts_of(card)).await,
            Said::Text(_) => Arc::default(),
        };
        let drawn = match &said {
            Said::Card(card) => drawing::card(card, &View::new(&names, self.world.now())),
            Said::Text(text) => drawing::say(text, &drawing::choices(text)),
        };
        if let Err(fault) = self.rest.answer(did.what.application_id(), &did.token, drawn).await {
            let error = scalebot_commands::ports::PortError::from(fault);
            tracing::warn!(%error, "somebody could not be answered");
        }
    }

    /// What is answered at once. Everything that it takes is at hand: nothing is asked of anybody.
    fn first(&self, did: &Did) -> First {
        match (self.misplaced(did), &*did.what) {
            (misplaced, Interaction::Autocomplete(typed)) => {
                let targets = if misplaced.is_none() { self.reception.targets() } else { vec![] };
                First::Autocomplete(commands::completions(&typed.data, &targets))
            }
            (Some(why), _) => private(&why),
            (None, Interaction::Component(pressed)) if let Some(form) = form(&pressed.data.custom_id) => {
                First::Modal(form)
            }
            (None, _) => First::Defer(CreateInteractionResponseMessage::new().ephemeral(true)),
        }
    }

    /// Why it cannot be done from where it comes: what is missing, in words for who tried.
    fn misplaced(&self, did: &Did) -> Option<String> {
        if did.is_of_ones_own() {
            return Some(
                "This bot was added to your own account, where nobody has a role. Nothing was done.\nUse it in the \
                 server that it serves."
                    .to_owned(),
            );
        }
        let Some(guild) = did.what.guild_id() else {
            return Some(
                "In private messages nobody has a role, so nothing can be asked here. Nothing was done.\nUse the ops \
                 channel of the server."
                    .to_owned(),
            );
        };
        if guild != self.settings.guild {
            return Some("This bot serves another server. Nothing was done.".to_owned());
        }
        let Some(member) = did.member() else {
            return Some("Discord did not say who you are here. Nothing was done. Try again.".to_owned());
        };
        // Buttons stand under the bot's own messages, wherever these are.
        if let Interaction::Command(command) | Interaction::Autocomplete(command) = &*did.what
            && self.ops_channel(command).is_none()
        {
            let ops: Vec<String> = self.settings.channels.ops.iter().map(|channel| format!("<#{channel}>")).collect();
            return Some(format!("Commands are not taken here. Nothing was done.\nUse {}.", ops.join(" or ")));
        }
        // By Discord's own word with what they did. What beyond looking they may do is asked anew each time.
        if !self.settings.roles.may_look(&member.roles) {
            let roles: Vec<String> = self.settings.roles.viewer.iter().map(|role| format!("<@&{role}>")).collect();
            return Some(format!(
                "You hold none of this bot's roles. Nothing was done.\nAsk for {}.",
                roles.join(" or ")
            ));
        }
        None
    }

    /// The channel in which a command was given, where that is one that takes commands: ops or governance, or a thread
    /// of one.
    fn ops_channel(&self, command: &CommandInteraction) -> Option<ChannelId> {
        let channels = &self.settings.channels;
        let takes = |channel: &ChannelId| channels.ops.contains(channel) || *channel == channels.governance;
        let parent = command.channel.as_ref().and_then(|channel| channel.parent_id);
        [command.channel_id].into_iter().chain(parent).find(takes)
    }

    async fn done(&self, did: &Did) -> Said {
        let Some(member) = did.member() else { return Said::text("Discord did not say who you are. Try again.") };
        let by = person(member.user.id);
        let (id, text) = match &*did.what {
            Interaction::Command(command) => {
                return match commands::request(&command.data) {
                    Ok(request) => said(self.reception.command(request, by).await, ""),
                    Err(no_command) => Said::Text(no_command.to_string()),
                };
            }
            Interaction::Component(pressed) => (&*pressed.data.custom_id, None),
            Interaction::Modal(form) => (&*form.data.custom_id, text_of(&form.data)),
            _ => ("", None),
        };
        match Press::read(id) {
            Some(press) => self.pressed(press, by, text).await,
            None => {
                Said::text("That button is of another version of this bot. Nothing was done.\nUse the newest card.")
            }
        }
    }

    async fn pressed(&self, press: Press, by: Person, text: Option<String>) -> Said {
        let ballot = |request: Request, by: Person, mark: Mark, reason: Option<String>| {
            (request.operation, Ballot { by, mark, request: request.digest, reason })
        };
        let (operation, signal, taken) = match press {
            Press::Approve(request) => {
                let (operation, ballot) = ballot(request, by, Mark::Approve, None);
                (operation, Signal::Cast(ballot), "Your ✅ is on record. The card shows what comes of it.")
            }
            Press::ApproveWithReason(request) => {
                let (operation, ballot) = ballot(request, by, Mark::Approve, text);
                (operation, Signal::Cast(ballot), "Your ✅ is on record, with why. The card shows what comes of it.")
            }
            Press::Reject(request) => {
                let (operation, ballot) = ballot(request, by, Mark::Reject, None);
                (operation, Signal::Cast(ballot), "Your ❌ is on record. The card shows what comes of it.")
            }
            Press::Withdraw(request) => {
                let (operation, ballot) = ballot(request, by, Mark::Approve, None);
                (operation, Signal::Withdrawn(ballot), "Your ✅ is taken back, as long as the change is not begun yet.")
            }
            Press::Reason(operation) => {
                let answer = PersonsAnswer { by, text: text.unwrap_or_default() };
                (operation, Signal::Reason(answer), "That is on record.")
            }
            Press::Attest(operation) => {
                let answer = PersonsAnswer { by, text: text.unwrap_or_default() };
                (operation, Signal::Attest(answer), "Your word is on record.")
            }
            Press::Acknowledge(number) => {
                return said(self.reception.acknowledge(number, by).await, "You see to it. Nobody further is told.");
            }
            Press::Start => return said(self.reception.start_proposed(by).await, "It is begun."),
            Press::Dismiss => return said(self.reception.dismiss_proposed(by).await, "It is dismissed."),
            Press::Cancel(target) => {
                let cancel = Command::Cancel { target };
                return said(self.reception.command(cancel, by).await, "It stops.");
            }
        };
        said(self.reception.signal(&operation, signal).await, taken)
    }
}

/// What somebody is answered; `taken` where there is nothing else to say.
fn said(reply: Reply, taken: &str) -> Said {
    match reply {
        Reply::Card(card) => Said::Card(card),
        Reply::Opened { text, .. } | Reply::Taken(text) | Reply::Refused(text) => {
            let text = if text.is_empty() { taken } else { &text };
            Said::text(if text.is_empty() { "Done." } else { text })
        }
    }
}

/// What somebody is answered.
enum Said {
    Card(Box<scalebot_commands::card::Card>),
    Text(String),
}

impl Said {
    fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

/// A text for one person, at once. It is ours alone, so its mentions of channels and roles are shown as such.
fn private(text: &str) -> First {
    let message = CreateInteractionResponseMessage::new().content(text).ephemeral(true);
    First::Message(message.allowed_mentions(CreateAllowedMentions::new()))
}

/// The form that a button asks for.
pub(super) fn form(button: &str) -> Option<CreateModal> {
    let (title, label, hint) = match Press::read(button)? {
        Press::ApproveWithReason(_) => {
            ("Approve, and say why", "Why it may be done", "It stands in the log, under your name")
        }
        Press::Reason(_) => ("Why is this done?", "For the record", "For example: planned campaign at noon"),
        Press::Attest(_) => {
            ("Do they reach their signing keys?", "What you have looked at", "Your word stands in the log")
        }
        _ => return None,
    };
    debug_assert!(title.len() <= FORM_TITLE && label.len() <= FORM_LABEL && hint.len() <= FORM_HINT);
    let field = CreateInputText::new(InputTextStyle::Paragraph, label, TEXT)
        .placeholder(hint)
        .min_length(1)
        .max_length(MAX_REASON as u16);
    Some(CreateModal::new(button, title).components(vec![CreateActionRow::InputText(field)]))
}

/// What somebody wrote into a form, as it is kept: in one line, bounded, with nothing in it that acts.
pub(super) fn text_of(form: &ModalInteractionData) -> Option<String> {
    let text = form.components.iter().flat_map(|row| &row.components).find_map(|field| match field {
        ActionRowComponent::InputText(field) if field.custom_id == TEXT => field.value.as_deref(),
        _ => None,
    })?;
    let text = escaped(&text.split_whitespace().collect::<Vec<_>>().join(" "), MAX_REASON);
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
pub(super) mod tests;
