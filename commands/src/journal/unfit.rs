//! What stands in the log and does not fit this version, in words for who has to decide what becomes of the operation.

use std::fmt::Display;

use super::Interrupted;
use crate::event::Event;
use crate::request::escaped;

/// What can be done about whatever another version wrote.
pub(crate) const BY_ITS_OWN: &str = "the version of scalebot that wrote it can carry the operation on";

/// The longest account of what is wrong that is repeated, in characters.
const DETAIL: usize = 200;

/// The longest name of something unknown that is repeated, in characters.
const NAME: usize = 60;

/// Its content is not what this version expects.
pub(crate) fn unreadable(event: &Event, error: &serde_json::Error) -> Interrupted {
    let text = error.to_string();
    match unknown(&text) {
        Some(name) => newer(event, &format!("it holds \"{}\", which this one does not know", escaped(name, NAME))),
        None => damaged(event, &error),
    }
}

/// Its content is of another version than the one that this program knows, which is 1 or more.
pub(super) fn of_another_version(event: &Event, written: Option<u64>, known: u32) -> Interrupted {
    match written {
        Some(written) => newer(
            event,
            &format!("it is version {written} of {}, known is version {known}", escaped(&event.kind, NAME)),
        ),
        None => damaged(event, &"it does not say of which version it is"),
    }
}

/// Its kind is one that this version does not have.
pub(super) fn of_unknown_kind(event: &Event) -> Interrupted {
    newer(event, &format!("this one does not know what {} is", escaped(&event.kind, NAME)))
}

/// It is not what any version writes.
pub(super) fn damaged(event: &Event, detail: &dyn Display) -> Interrupted {
    // A reader's words repeat what it found, which may be anything.
    let detail = escaped(&detail.to_string(), DETAIL);
    Interrupted::Parked { reason: format!("event {} cannot be read by this version ({detail})", event.seq) }
}

fn newer(event: &Event, detail: &str) -> Interrupted {
    let reason = format!("event {} cannot be read by this version ({detail}); {BY_ITS_OWN}", event.seq);
    Interrupted::Parked { reason }
}

/// The name that a reader stumbled over because nothing of that name was known when it was written.
fn unknown(error: &str) -> Option<&str> {
    let named = ["unknown field `", "unknown variant `"].iter().find_map(|words| error.split_once(words))?.1;
    named.split_once('`').map(|(name, _)| name)
}
