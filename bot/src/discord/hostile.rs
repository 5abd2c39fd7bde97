//! What Discord might tell that means harm or has lost its way, read by the way that everything it tells goes, and what has
//! to hold of it: nothing panics, no token shows, no text acts, and what is answered fits.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reqwest::Url;
use scalebot_adapters::hostile::{Choices, Read, answer, may_be_shown};
use scalebot_commands::request;
use scalebot_commands::units::TargetName;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use serenity::all::{Interaction, Reaction, Ready};
use tokio::sync::watch;

use super::drawing::press::Press;
use super::drawing::text::Names;
use super::gateway::{Events, Gateway};
use super::rest::Rest;
use super::wire::{Did, ReadBack, name};
use super::{commands, drawing, interactions};

/// The most units of a message's text.
const CONTENT: usize = 2_000;

/// The interactions' token.
const TOKEN: &str = "dG9rZW4tdGhhdC1tdXN0LW5vdC1zaG93";

/// Looks at everything that is told.
#[derive(Default)]
struct Looks(Mutex<usize>);

impl Looks {
    fn count(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }
}

impl Events for Looks {
    fn ready(&self, _: Ready) {
        self.count();
    }

    fn resumed(&self) {
        self.count();
    }

    fn interaction(&self, did: Did) {
        self.count();
        look(&did);
    }

    fn reaction(&self, _: Reaction, _: bool) {
        self.count();
    }

    fn reactions_cleared(&self) {
        self.count();
    }
}

/// Somebody did something.
fn look(did: &Did) {
    let shown = format!("{did:?}");
    let token = did.token.expose_secret();
    // One that is short stands in other words as well.
    assert!(token.len() < 16 || !shown.contains(token), "the token shows");
    if let Some(member) = did.member() {
        let mut names = Names::default();
        names.learn(member.user.id, name(member));
        names.of(member.user.id).into_iter().for_each(may_be_shown);
    }
    did.is_of_ones_own();
    match &*did.what {
        Interaction::Command(command) | Interaction::Autocomplete(command) => {
            let targets = [TargetName::new("api"), TargetName::new("web")];
            let proposed = json!(commands::completions(&command.data, &targets));
            assert!(proposed["choices"].as_array().is_none_or(|choices| choices.len() <= 25), "{proposed}");
            match commands::request(&command.data) {
                Ok(request) => {
                    let again = request.to_string();
                    may_be_shown(&again);
                    assert_eq!(request::parse(&again), Ok(request), "what is recorded is another command");
                }
                Err(no_command) => answered(&no_command.to_string()),
            }
        }
        Interaction::Component(pressed) => {
            let press = Press::read(&pressed.data.custom_id);
            assert!(press.is_some() || interactions::form(&pressed.data.custom_id).is_none());
        }
        Interaction::Modal(form) => interactions::text_of(&form.data).iter().for_each(|text| answered(text)),
        _ => {}
    }
}

/// Somebody is answered with that.
fn answered(text: &str) {
    may_be_shown(text);
    let said = drawing::say(text, &[]).json();
    let content = said["content"].as_str().unwrap_or_default();
    assert!(content.encode_utf16().count() <= CONTENT, "it does not fit: {said}");
    assert_eq!(said["allowed_mentions"], json!({ "parse": [], "users": [], "roles": [] }));
    for mention in ["@everyone", "@here", "<@&", "<#"] {
        let at = content.match_indices(mention).map(|(at, _)| at);
        for at in at {
            assert!(at > 0 && content[..at].ends_with('\\'), "{mention} acts: {said}");
        }
    }
}

fn person() -> Value {
    let user = json!({ "id": "80351110224678913", "username": "lea", "global_name": "Lea", "avatar": null });
    json!({ "user": user, "nick": "Lea", "roles": ["42"], "deaf": false, "mute": false, "flags": 0 })
}

/// An interaction of each kind.
fn interaction(kind: usize) -> Value {
    let options = json!([
        { "name": "count", "type": 4, "value": 6 },
        { "name": "reason", "type": 3, "value": "campaign" },
        { "name": "target", "type": 3, "value": "api", "focused": true },
    ]);
    let command = json!({ "id": "901", "name": "scale", "type": 1, "options": [{ "name": "up", "type": 1, "options": options }] });
    let (kind, data) = match kind {
        0 => (2, command),
        1 => (4, command),
        2 => (3, json!({ "custom_id": "acknowledge:7", "component_type": 2 })),
        _ => {
            let field = json!({ "type": 4, "custom_id": "text", "value": "I have looked" });
            (5, json!({ "custom_id": "reason:op-1", "components": [{ "type": 1, "components": [field] }] }))
        }
    };
    json!({
        "id": "500", "application_id": "7", "type": kind, "token": TOKEN, "version": 1, "guild_id": "10",
        "channel_id": "20", "channel": { "id": "20", "type": 0 }, "member": person(), "data": data, "locale": "en-GB",
        "message": { "id": "800" }, "entitlements": [], "authorizing_integration_owners": { "0": "10" },
        "attachment_size_limit": 10_485_760,
    })
}

fn told(kind: usize) -> Value {
    let event = |kind: &str, d: Value| json!({ "op": 0, "s": 7, "t": kind, "d": d });
    match kind {
        0..=3 => event("INTERACTION_CREATE", interaction(kind)),
        4 => event(
            "MESSAGE_REACTION_ADD",
            json!({
                "user_id": "5", "channel_id": "20", "message_id": "900", "guild_id": "10", "member": person(), "type": 0,
                "emoji": { "id": null, "name": "✅" }, "burst": false, "burst_colors": [],
            }),
        ),
        _ => event(
            "READY",
            json!({
                "v": 10, "user": { "id": "7", "username": "bot", "bot": true, "discriminator": "0" }, "guilds": [],
                "session_id": "s", "application": { "id": "7", "flags": 0 },
                "resume_gateway_url": "wss://elsewhere.example",
            }),
        ),
    }
}

/// The connection, made once, and what looks at what it tells.
fn connection() -> &'static (Gateway, Arc<Looks>) {
    static CONNECTION: OnceLock<(Gateway, Arc<Looks>)> = OnceLock::new();
    CONNECTION.get_or_init(|| {
        let token = SecretString::from("token");
        let base = Url::parse("http://127.0.0.1:9/api/v10").map_err(|error| error.to_string());
        let rest = base.and_then(|base| Rest::new(base, &token).map_err(|fault| format!("{fault:?}")));
        let looks = Arc::new(Looks::default());
        match rest {
            Ok(rest) => {
                let events = Arc::clone(&looks) as Arc<dyn Events>;
                (Gateway::new(rest, token, events, watch::Sender::new(false)), looks)
            }
            Err(why) => panic!("{why}"),
        }
    })
}

/// The gateway tells that, or a request is answered with that. How much of it was understood.
///
/// # Panics
/// When something does not hold.
pub fn discord(bytes: &[u8]) -> Read {
    // One at a time, so that what is counted is of one line.
    static TURN: Mutex<()> = Mutex::new(());
    let mut choices = Choices::of(bytes);
    let kind = choices.one_of(8);
    if kind < 6 {
        let line = answer(&told(kind), &mut choices);
        let (gateway, looks) = connection();
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *looks.0.lock().unwrap_or_else(PoisonError::into_inner);
        gateway.hears(&line);
        let after = *looks.0.lock().unwrap_or_else(PoisonError::into_inner);
        return Read(after - before);
    }
    if kind == 6 {
        let field = json!({ "_errors": [{ "code": "X", "message": "Must be 2000 or fewer in length." }] });
        let refusal = json!({ "code": 50_035, "message": "Invalid Form Body", "errors": { "content": field } });
        may_be_shown(&super::rest::refused_with(400, &answer(&refusal, &mut choices)));
        return Read(1);
    }
    let page = json!([{
        "id": "900", "channel_id": "20", "author": { "id": "7" }, "content": "x", "edited_timestamp": null,
        "embeds": [{ "title": "t", "footer": { "text": "f" } }], "thread": { "id": "901" }, "webhook_id": null,
    }]);
    Read(usize::from(serde_json::from_slice::<Vec<ReadBack>>(&answer(&page, &mut choices)).is_ok()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_nobody_changed_is_understood() {
        for kind in 0..8 {
            assert_eq!(discord(&[kind, 2]), Read(1), "{kind}");
        }
    }

    proptest! {
        #[test]
        fn whatever_discord_tells_is_read_or_lost_and_nothing_else_is(bytes in prop::collection::vec(any::<u8>(), 0..96)) {
            discord(&bytes);
        }
    }
}
