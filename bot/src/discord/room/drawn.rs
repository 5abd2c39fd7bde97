//! Cards of an operation as messages, with the chart, with what instances wrote, and with what they are found again by.

use scalebot_commands::card::Card;
use scalebot_commands::event::Hash;
use scalebot_commands::ports::Slot;
use scalebot_commands::units::{OperationId, Timestamp};
use serenity::all::RoleId;
use sha2::{Digest as _, Sha256};

use super::placed::Entry;
use super::{Shared, attached, spot, texts_of};
use crate::chart;
use crate::discord::drawing::{self, Picture, View};
use crate::discord::rest::Posted;
use crate::discord::wire::ReadBack;

/// Draws a card of an operation. `request` is the digest of what was asked there before, `notify` the role that is told.
pub(super) async fn card(
    shared: &Shared,
    operation: &OperationId,
    slot: Slot,
    part: &str,
    card: &Card,
    request: Option<&str>,
    notify: Option<RoleId>,
) -> Posted {
    let names = shared.people.names_in(texts_of(card)).await;
    let picture = picture(card).await;
    let tag = tag(slot, part, &card.footer);
    let presses = drawing::buttons(card, slot, operation, request);
    let now = shared.world.now();
    let view = View { names: &names, now, tag: Some(&tag), presses, notify, picture: picture.as_ref() };
    let mut drawn = drawing::card(card, &view);
    if slot == Slot::Summary && shared.settings.attach_instance_logs {
        let files = attached::logs(shared.logs.as_deref(), operation).await;
        drawing::attach(&mut drawn, files);
    }
    drawn
}

/// When an operation began, as its identifier tells.
pub(super) fn began(operation: &OperationId) -> Option<Timestamp> {
    let (seconds, nanos) = uuid::Uuid::parse_str(operation.as_str()).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanos).ok()?).ok()
}

/// What stands at the end of the small print, by which a message is found again. A request that is named there already
/// is not named twice, and an escalation's part is its title.
fn tag(slot: Slot, part: &str, footer: &str) -> String {
    let word = spot::word(slot);
    let is_named = footer.ends_with(&format!("{REQUEST}{part}"));
    if part.is_empty() || slot == Slot::Escalation || is_named { word.to_owned() } else { format!("{word} {part}") }
}

/// How the small print of a request names it.
const REQUEST: &str = " · request ";

/// What a message of the bot's own shows, by its small print.
pub(super) fn found_again(operation: &OperationId, mark: &str, message: &ReadBack) -> Option<Entry> {
    let embed = message.embeds.first()?;
    let footer = &embed.footer.as_ref()?.text;
    if !footer.contains(mark) {
        return None;
    }
    let (before, tag) = footer.rsplit_once(" · ")?;
    let (slot, part) = match spot::slot(tag) {
        Some(Slot::Escalation) => (Slot::Escalation, spot::condition(embed.title.as_deref()?)),
        Some(slot) => (slot, before.rsplit_once(REQUEST).map_or("", |(_, request)| request)),
        None => {
            let (word, part) = tag.rsplit_once(' ')?;
            (spot::slot(word)?, part)
        }
    };
    Some(Entry {
        operation: operation.clone(),
        slot: spot::word(slot).to_owned(),
        part: part.to_owned(),
        channel: message.channel_id,
        message: message.id,
        before: 0,
        thread: message.thread.map(|thread| thread.id),
        ask: None,
        pressable: false,
        said: vec![],
    })
}

/// The same for what is said in the same words.
pub(super) fn hash(card: &Card) -> String {
    let lines = card.lines.iter().map(String::as_str);
    nonce(&[card.title.as_str(), card.footer.as_str()].into_iter().chain(lines).collect::<Vec<_>>())
}

/// The same for the same message, after a restart too; at most 25 characters.
pub(crate) fn nonce(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Hash(hash.finalize().into()).to_string().chars().take(24).collect()
}

/// Draws the chart. Without a picture the card still says everything.
async fn picture(card: &Card) -> Option<Picture> {
    let shown = chart::Chart::of(card.chart.as_ref()?, card.tone);
    let drawn = tokio::task::spawn_blocking(move || {
        chart::draw(&shown)
            .map(|png| Picture { png, alt_text: chart::alt_text(&shown) })
            .map_err(|error| error.to_string())
    });
    match drawn.await.map_err(|error| error.to_string()).and_then(|drawn| drawn) {
        Ok(picture) => Some(picture),
        Err(error) => {
            tracing::warn!(error, "a chart could not be drawn");
            None
        }
    }
}
