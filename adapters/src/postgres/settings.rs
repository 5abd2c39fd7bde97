//! How the backend's PostgreSQL is reached, and what its tables and columns are called.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::settings::{Network, TIME_OUT, length, optional_secret, secret};

/// The most bytes that a name has in PostgreSQL.
const LONGEST_NAME: usize = 63;

/// One PostgreSQL and what is asked of it. Whatever is left out is not asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `postgres://scalebot@db.example:5432/conclave`. It may hold the password, and is never shown.
    #[serde(deserialize_with = "secret", skip_serializing)]
    pub url: SecretString,
    /// The password, where the URL holds none.
    #[serde(default, deserialize_with = "optional_secret", skip_serializing)]
    pub password: Option<SecretString>,
    /// A file that holds the password, where neither the URL nor `password` does.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// How the connection is protected, where the URL does not say it. By default the certificate and its name are
    /// verified, except on this machine.
    #[serde(default)]
    pub sslmode: Option<SslMode>,
    /// Certificates (PEM) of authorities that are trusted besides the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How long one question may take, the connection included.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
    /// The halt table.
    #[serde(default)]
    pub halt: Option<HaltSettings>,
    /// The hash chain's table.
    #[serde(default)]
    pub chain: Option<ChainSettings>,
    /// The budget of connections.
    #[serde(default)]
    pub connections: Option<ConnectionSettings>,
}

impl Settings {
    /// That server, asked for the halt table and the hash chain of the Archon 72 Conclave Backend.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            password: None,
            password_file: None,
            sslmode: None,
            ca_file: None,
            time_out: TIME_OUT,
            halt: Some(HaltSettings::default()),
            chain: Some(ChainSettings::default()),
            connections: None,
        }
    }
}

fn time_out() -> Duration {
    TIME_OUT
}

/// How the connection is protected. What falls back to plain text by itself is not offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Plain text.
    Disable,
    /// Encrypted; anybody may be at the other end.
    Require,
    /// Encrypted, by a certificate of an authority that is trusted, for whatever name.
    VerifyCa,
    /// Encrypted, by a certificate of an authority that is trusted for the server's own name.
    VerifyFull,
}

/// The halt table: one row, which says whether the system is halted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HaltSettings {
    /// The table.
    pub table: Table,
    /// A boolean: whether the system is halted.
    pub is_halted: Name,
    /// A text: why. Empty for a table that has none.
    #[serde(with = "optional")]
    pub reason: Option<Name>,
    /// A time: since when. Empty for a table that has none.
    #[serde(with = "optional")]
    pub halted_at: Option<Name>,
    /// A time: when the last halt was cleared. Empty for a table that has none; then no caution follows a clear.
    #[serde(with = "optional")]
    pub cleared_at: Option<Name>,
}

impl Default for HaltSettings {
    fn default() -> Self {
        Self {
            table: Table::fixed("public", "halt_state"),
            is_halted: Name::fixed("is_halted"),
            reason: Some(Name::fixed("reason")),
            halted_at: Some(Name::fixed("halted_at")),
            cleared_at: Some(Name::fixed("cleared_at")),
        }
    }
}

/// The hash chain's table: a row an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChainSettings {
    /// The table.
    pub table: Table,
    /// A whole number: the event's sequence number.
    pub sequence: Name,
}

impl Default for ChainSettings {
    fn default() -> Self {
        Self { table: Table::fixed("public", "events"), sequence: Name::fixed("sequence") }
    }
}

/// The budget of connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSettings {
    /// How many connections one instance may open at most: its pool and what may overflow it.
    #[serde(default = "per_instance")]
    pub per_instance: u32,
    /// How many more a rollout may open for a while.
    #[serde(default)]
    pub surge: u32,
    /// By what the fleet's own connections are known. They are not counted as others'.
    pub fleet: FleetSettings,
}

fn per_instance() -> u32 {
    15
}

/// By what the fleet's own connections are known: those of these users, and from these applications and addresses where
/// any are named. Where something else uses the same user, name applications or addresses too: what is taken for the
/// fleet's is not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    /// The roles that the instances connect as. Each one's own limit holds, too.
    pub users: Vec<String>,
    /// What the instances call themselves (`application_name`).
    #[serde(default)]
    pub applications: Vec<String>,
    /// Where the instances connect from: `10.1.2.3`, `10.1.0.0/16`.
    #[serde(default)]
    pub addresses: Vec<Network>,
}

/// The name of a column as PostgreSQL stores it: in lower case, unless it was created in quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(String);

impl Name {
    pub(super) fn fixed(name: &str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plain = |character: char| character.is_alphanumeric() || matches!(character, '_' | '$' | '-' | ' ');
        match text {
            "" => Err("a name is empty".to_owned()),
            text if text.len() > LONGEST_NAME => Err(format!("{text:?} is longer than {LONGEST_NAME} bytes")),
            text if text.chars().all(plain) => Ok(Self(text.to_owned())),
            text => Err(format!("{text:?} is no name; letters, digits, _, $, - and spaces make one")),
        }
    }

    /// As it stands in a statement.
    pub(super) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// A table with its schema: `public.halt_state`. Without one, it is in `public`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    pub(super) schema: Name,
    pub(super) name: Name,
}

impl Table {
    fn fixed(schema: &str, name: &str) -> Self {
        Self { schema: Name::fixed(schema), name: Name::fixed(name) }
    }

    /// As it stands in a statement.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", self.schema.quoted(), self.name.quoted())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

impl Serialize for Table {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let (schema, name) = text.split_once('.').unwrap_or(("public", &text));
        let parse = |part: &str| Name::parse(part).map_err(de::Error::custom);
        Ok(Self { schema: parse(schema)?, name: parse(name)? })
    }
}

/// A name, or an empty text for none: TOML has no null.
mod optional {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use super::Name;

    #[expect(clippy::ref_option, reason = "what serde hands over")]
    pub(super) fn serialize<S: Serializer>(name: &Option<Name>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(name.as_ref().map_or("", |name| &name.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Name>, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "" => Ok(None),
            text => Name::parse(text).map(Some).map_err(de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_that_could_be_more_than_a_name_is_refused() {
        for name in ["", "a\"b", "halt;drop", "a\nb", &"x".repeat(64), "a.b"] {
            assert!(serde_json::from_value::<Name>(json!(name)).is_err(), "{name:?}");
        }
        for table in ["", ".", "public.", ".halt", "a.b.c", "public.halt\"state"] {
            assert!(serde_json::from_value::<Table>(json!(table)).is_err(), "{table:?}");
        }
        let table: Table = serde_json::from_value(json!("halt_state")).unwrap();
        assert_eq!(table.quoted(), "\"public\".\"halt_state\"");
        let table: Table = serde_json::from_value(json!("Ops.Halt State")).unwrap();
        assert_eq!((table.quoted(), table.to_string()), ("\"Ops\".\"Halt State\"".into(), "Ops.Halt State".into()));
    }

    #[test]
    fn neither_the_url_nor_the_password_is_ever_shown() {
        let settings: Settings = serde_json::from_value(json!({
            "url": "postgres://scalebot:hidden@db.example/conclave", "password": "hidden", "halt": {}
        }))
        .unwrap();
        let shown = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
        assert!(!shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn what_is_written_without_a_value_is_the_backends() {
        let settings: Settings =
            serde_json::from_value(json!({ "url": "postgres://db.example/conclave", "halt": {}, "chain": {} }))
                .unwrap();
        assert_eq!((settings.halt, settings.chain), (Some(HaltSettings::default()), Some(ChainSettings::default())));
        assert!(settings.connections.is_none());

        let without: HaltSettings = serde_json::from_value(json!({ "cleared_at": "" })).unwrap();
        assert_eq!(without, HaltSettings { cleared_at: None, ..HaltSettings::default() });
        let written = serde_json::to_value(&without).unwrap();
        assert_eq!(serde_json::from_value::<HaltSettings>(written).unwrap(), without);
    }

    #[test]
    fn a_key_that_nobody_knows_is_refused() {
        let unknown = json!({ "url": "postgres://db.example/conclave", "passwd": "x" });
        assert!(serde_json::from_value::<Settings>(unknown).is_err());
        assert!(serde_json::from_value::<HaltSettings>(json!({ "tabel": "halt_state" })).is_err());
        assert!(serde_json::from_value::<ConnectionSettings>(json!({ "per_instance": 15 })).is_err());
    }
}
