//! Discord's identifiers, each kind a type of its own, so that a message is never taken for the channel it stands in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Milliseconds since 1970 at which Discord's identifiers begin to count.
const EPOCH_MS: u64 = 1_420_070_400_000;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub(crate) u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, NoId> {
                let digits = !text.is_empty() && text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_digit());
                let number = if digits { text.parse().ok() } else { None };
                number.filter(|number| *number > 0).map(Self).ok_or(NoId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(Digits).and_then(|text| text.parse().map_err(de::Error::custom))
            }
        }
    };
}

id!(
    /// A server.
    GuildId
);
id!(
    /// A channel, or a thread.
    ChannelId
);
id!(
    /// A message.
    MessageId
);
id!(
    /// A person or a bot.
    UserId
);
id!(
    /// A role in a server. The role that everybody has bears the server's own number.
    RoleId
);
id!(
    /// The bot as an application.
    ApplicationId
);
id!(
    /// A registered command.
    CommandId
);
id!(
    /// Something that somebody did and that wants an answer.
    InteractionId
);

/// A text that is no identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("that is no Discord identifier; it is a number of 17 to 20 digits: turn on developer mode, then Copy ID")]
pub(crate) struct NoId;

impl MessageId {
    /// When it was made, in milliseconds since 1970.
    pub(crate) fn made_at_ms(self) -> u64 {
        (self.0 >> 22) + EPOCH_MS
    }
}

/// Identifiers are texts in JSON. A person may write a number in TOML.
struct Digits;

impl de::Visitor<'_> for Digits {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Discord identifier")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_read_as_a_text_or_a_number_and_written_as_a_text() {
        let read = |json: &str| serde_json::from_str::<ChannelId>(json);
        assert_eq!(read("\"80351110224678912\"").unwrap(), ChannelId(80_351_110_224_678_912));
        assert_eq!(read("80351110224678912").unwrap(), ChannelId(80_351_110_224_678_912));
        assert_eq!(serde_json::to_string(&ChannelId(7)).unwrap(), "\"7\"");
        for wrong in ["\"\"", "\"ops\"", "\"0\"", "-3", "\"+7\"", "\"99999999999999999999\"", "null"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_message_tells_when_it_was_made() {
        assert_eq!(MessageId(175_928_847_299_117_063).made_at_ms(), 1_462_015_105_796);
    }
}
