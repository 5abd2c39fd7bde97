//! One event as a line for people: when, which operation, what, and the gist of its content.

use std::fmt;

use scalebot_commands::event::Event;
use scalebot_commands::request::escaped;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// How much of one text is shown, in characters.
const TEXT: usize = 60;

/// How much of a content is shown, in characters.
const GIST: usize = 200;

/// The event as a line. Whatever stands in it, it is one line and moves no cursor.
pub(super) fn line(event: &Event) -> String {
    let at = event.time().map_or_else(|| escaped(&event.at, TEXT), |at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string());
    let operation = event.operation.as_ref().map_or_else(|| "-".to_owned(), |id| escaped(id.short(), TEXT));
    let kind = escaped(&event.kind, TEXT);
    let line = format!("{:>5}  {at}  {operation:<6}  {kind:<18}  {}", event.seq, gist(&event.body));
    line.trim_end().to_owned()
}

/// The plain fields of a content, in their order; what is nested is left to the export.
fn gist(body: &str) -> String {
    let Ok(Fields(fields)) = serde_json::from_str(body) else {
        return format!("(no JSON object: {})", escaped(body, TEXT));
    };
    let mut gist = String::new();
    // What the machine needs to read it again says nothing to people.
    for (name, value) in fields.iter().filter(|(name, _)| name != "v") {
        let Some(value) = plain(value) else { continue };
        if !gist.is_empty() {
            gist.push_str("  ");
        }
        gist.push_str(&escaped(name, TEXT));
        gist.push('=');
        gist.push_str(&value);
        if gist.chars().count() > GIST {
            return gist.chars().take(GIST).chain("…".chars()).collect();
        }
    }
    gist
}

/// A plain value as people read it; `None` for what is nested or null.
fn plain(value: &RawValue) -> Option<String> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'{' | b'[' | b'n' => None,
        b'"' => Some(format!("\"{}\"", escaped(&serde_json::from_str::<String>(text).ok()?.replace('\n', " "), TEXT))),
        _ => Some(escaped(text, TEXT)),
    }
}

/// A JSON object's fields in the order in which they were written.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use scalebot_commands::event::{Claim, Draft, Hash, Kind};
    use scalebot_commands::units::{Epoch, OperationId};

    use super::*;

    fn event(body: &str) -> Event {
        let draft = Draft {
            operation: Some(OperationId::new("019ac3-abcdef")),
            op_seq: 1,
            epoch: Epoch(1),
            at: "2026-01-08T03:00:00.5Z".parse().unwrap(),
            kind: Kind::Requested,
            body: body.to_owned(),
            claim: Claim::Keep,
        };
        Event::place(&draft, 7, Hash::GENESIS)
    }

    #[test]
    fn a_line_has_the_plain_fields_in_their_order() {
        let body = r#"{"step":"request","v":1,"to":6,"from":4,"by":"dana","instances":[{"id":"a"}],"reason":null,"dry":false}"#;
        assert_eq!(
            line(&event(body)),
            r#"    7  2026-01-08 03:00:00Z  abcdef  requested           step="request"  to=6  from=4  by="dana"  dry=false"#
        );
    }

    #[test]
    fn an_event_without_an_operation_or_content_ends_with_its_kind() {
        let bare = Event { operation: None, ..event("{}") };
        assert_eq!(line(&bare), "    7  2026-01-08 03:00:00Z  -       requested");
    }

    #[test]
    fn nothing_in_an_event_can_move_the_cursor_or_fill_the_screen() {
        let hostile = Event {
            at: "\u{1b}[2J".into(),
            kind: "x\ny".into(),
            operation: Some(OperationId::new("a\u{202e}b")),
            ..event(&format!(
                r#"{{"reason":"\u001b[31m{0}","{0}":"{0}","a":"{0}","b":"{0}","c":"{0}"}}"#,
                "w".repeat(500)
            ))
        };
        let shown = line(&hostile);
        assert!(shown.chars().all(|character| !character.is_control() && character != '\u{202e}'), "{shown}");
        assert!(shown.chars().count() < 330, "{shown}");
        assert!(line(&event("\n\u{7}no json")).contains(r"(no JSON object: \u{a}\u{7}no json)"));
    }
}
