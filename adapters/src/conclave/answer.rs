//! Reads an instance's JSON: a field that is missing, or of another type than it should be, is named and refused.

use scalebot_commands::ports::{EarlyWarning, NamedCheck, PortError, Work};
use scalebot_commands::request::escaped;
use scalebot_commands::units::Timestamp;
use serde_json::{Map, Value};

use super::{Asked, Fields, MOST};
use crate::http::Answer;

/// How much of a text of the backend's is kept, in characters.
const TEXT: usize = 300;

/// The longest hash that is believed to be one, in bytes.
const HASH: usize = 256;

/// A JSON object in an answer.
#[derive(Clone, Copy)]
pub(super) struct Object<'a> {
    asked: &'a Asked,
    value: &'a Value,
}

impl<'a> Object<'a> {
    pub(super) fn new(asked: &'a Asked, value: &'a Value) -> Result<Self, PortError> {
        let object = Self { asked, value };
        if value.is_object() { Ok(object) } else { Err(object.wrong("the answer", "an object")) }
    }

    /// A boolean.
    pub(super) fn flag(&self, name: &str) -> Result<bool, PortError> {
        self.get(name).and_then(Value::as_bool).ok_or_else(|| self.wrong(name, "true or false"))
    }

    /// A whole number, not negative.
    pub(super) fn count(&self, name: &str) -> Result<u64, PortError> {
        self.get(name).and_then(Value::as_u64).ok_or_else(|| self.wrong(name, "a whole number from 0"))
    }

    /// A number.
    fn number(&self, name: &str) -> Result<f64, PortError> {
        self.get(name)
            .and_then(Value::as_f64)
            .filter(|number| number.is_finite())
            .ok_or_else(|| self.wrong(name, "a number"))
    }

    /// A text, safe to show and not too long.
    pub(super) fn text(&self, name: &str) -> Result<String, PortError> {
        let text = self.get(name).and_then(Value::as_str).ok_or_else(|| self.wrong(name, "a text"))?;
        Ok(escaped(text, TEXT))
    }

    /// A text; missing, null and empty are none.
    pub(super) fn optional_text(&self, name: &str) -> Result<Option<String>, PortError> {
        if self.absent(name) {
            Ok(None)
        } else {
            self.text(name).map(|text| Some(text).filter(|text| !text.is_empty()))
        }
    }

    /// A moment; missing and null are none.
    pub(super) fn optional_time(&self, name: &str) -> Result<Option<Timestamp>, PortError> {
        if self.absent(name) {
            return Ok(None);
        }
        let text = self.get(name).and_then(Value::as_str);
        text.and_then(time).map(Some).ok_or_else(|| self.wrong(name, "a time (RFC 3339)"))
    }

    /// A hash, to be compared to the letter: so it is taken whole or not at all.
    pub(super) fn hash(&self, name: &str) -> Result<String, PortError> {
        self.get(name)
            .and_then(Value::as_str)
            .filter(|hash| !hash.is_empty() && hash.len() <= HASH && hash.bytes().all(|byte| byte.is_ascii_graphic()))
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(name, "a hash"))
    }

    /// An object.
    pub(super) fn object(&self, name: &str) -> Result<&'a Map<String, Value>, PortError> {
        self.get(name).and_then(Value::as_object).ok_or_else(|| self.wrong(name, "an object"))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        if name.starts_with('/') { self.value.pointer(name) } else { self.value.get(name) }
    }

    fn absent(&self, name: &str) -> bool {
        self.get(name).is_none_or(Value::is_null)
    }

    fn wrong(&self, name: &str, wanted: &str) -> PortError {
        let missing = if self.get(name).is_none() && self.value.is_object() { ", and is missing" } else { "" };
        self.asked.http.unreadable(format!("{name} should be {wanted}{missing}"))
    }
}

/// The `detail` of a refusal, where there is one and it is a text.
pub(super) fn detail(body: &[u8]) -> Option<String> {
    serde_json::from_slice::<Value>(body).ok()?.get("detail")?.as_str().map(str::to_owned)
}

/// The words of a refusal, safe to show: its `detail` where there is one, else whatever it says.
pub(super) fn refusal(answer: &Answer) -> String {
    let said = match serde_json::from_slice::<Value>(&answer.body) {
        Ok(Value::Object(object)) => match object.get("detail") {
            Some(Value::String(detail)) => detail.clone(),
            // A list of what is wrong with which field.
            Some(detail) => detail.to_string(),
            None => Value::Object(object).to_string(),
        },
        Ok(other) => other.to_string(),
        Err(_) => String::from_utf8_lossy(&answer.body).into_owned(),
    };
    let said = escaped(said.trim(), TEXT);
    if said.is_empty() { format!("it answered {}", answer.status) } else { format!("{} ({})", said, answer.status) }
}

/// The named checks of readiness, an object of objects.
pub(super) fn checks(
    asked: &Asked,
    checks: &Map<String, Value>,
    fields: &Fields,
) -> Result<Vec<NamedCheck>, PortError> {
    if checks.len() > MOST {
        return Err(asked.http.unreadable("too many checks"));
    }
    let check = |(name, value): (&String, &Value)| {
        let object = Object::new(asked, value)?;
        Ok(NamedCheck {
            name: escaped(name, TEXT),
            healthy: object.flag(&fields.check_healthy)?,
            error: object.optional_text(&fields.check_error)?,
        })
    };
    checks.iter().map(check).collect()
}

/// The early warnings that nobody has acknowledged, of an array of all.
pub(super) fn warnings(asked: &Asked, body: &Value, fields: &Fields) -> Result<Vec<EarlyWarning>, PortError> {
    let all = body.as_array().ok_or_else(|| asked.http.unreadable("the answer should be a list"))?;
    if all.len() > MOST {
        return Err(asked.http.unreadable("too many warnings"));
    }
    let mut open = Vec::new();
    for value in all {
        let object = Object::new(asked, value)?;
        if object.flag(&fields.warning_acknowledged)? {
            continue;
        }
        open.push(EarlyWarning {
            mode: object.text(&fields.warning_mode)?,
            metric: object.text(&fields.warning_metric)?,
            value: object.number(&fields.warning_value)?,
            threshold: object.number(&fields.warning_threshold)?,
            critical: match object.text(&fields.warning_severity)?.as_str() {
                "critical" => true,
                "warning" => false,
                _ => return Err(object.wrong(&fields.warning_severity, "\"warning\" or \"critical\"")),
            },
            recommended: object.text(&fields.warning_recommended)?,
        });
    }
    Ok(open)
}

/// What an instance works on: an array of `{"what", "constitutional", "since"}`.
pub(super) fn work(asked: &Asked, body: &Value) -> Result<Vec<Work>, PortError> {
    let all = body.as_array().ok_or_else(|| asked.http.unreadable("the answer should be a list"))?;
    if all.len() > MOST {
        return Err(asked.http.unreadable("too much work"));
    }
    let work = |value| {
        let object = Object::new(asked, value)?;
        Ok(Work {
            what: object.text("what")?,
            constitutional: object.flag("constitutional")?,
            since: object.optional_time("since")?,
        })
    };
    all.iter().map(work).collect()
}

/// A moment in RFC 3339, or with the backend's own ending `+00:00Z`. The parser below takes more than RFC 3339, so its
/// shape is looked at first: a moment without an offset would be a guess.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix('Z').filter(|rest| rest.ends_with("+00:00")).unwrap_or(text);
    let bytes = text.as_bytes();
    let offset = matches!(bytes, [.., b'Z' | b'z'] | [.., b'+' | b'-', _, _, b':', _, _]);
    let shaped = bytes.get(10).is_some_and(|byte| matches!(byte, b'T' | b't')) && offset && bytes.len() <= 40;
    if shaped { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_ends_as_the_backend_ends_it() {
        let wanted: Timestamp = "2026-01-08T03:00:00.5Z".parse().unwrap();
        for text in ["2026-01-08T03:00:00.5Z", "2026-01-08T03:00:00.500000+00:00Z", "2026-01-08T04:00:00.5+01:00"] {
            assert_eq!(time(text), Some(wanted), "{text}");
        }
        for text in [
            "",
            "Z",
            "yesterday",
            "2026-01-08T03:00:00",
            "2026-01-08 03:00:00Z",
            "2026-01-08T03:00:00+01:00Z",
            "2026-01-08T03:00:00+00:00ZZ",
            "2026-01-08T03:00:00+00:00[UTC]",
            "2026-13-08T03:00:00Z",
            "1767841200",
        ] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
