//! What the settings of adapters share: lengths of time as people write them, secrets that are never shown, and networks.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, de};

/// The longest secret or certificate file that is read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Settings that cannot be used: which key, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {why}")]
pub struct Unusable {
    /// The key, within its section.
    pub key: String,
    /// What is wrong and what would be right. Never the value of a secret.
    pub why: String,
}

impl Unusable {
    /// That key, for that reason.
    pub fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self { key: key.into(), why: why.into() }
    }
}

/// A length of time as people write it: `1500ms`, `2s`, `15m`, `1h 30m`. For `#[serde(with = "…")]`.
pub mod length {
    use std::time::Duration;

    use jiff::SignedDuration;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    /// Writes it.
    pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        let length = SignedDuration::try_from(*length).map_err(serde::ser::Error::custom)?;
        serializer.collect_str(&format_args!("{length:#}"))
    }

    /// Reads it; nothing below zero.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse::<SignedDuration>().ok().and_then(|length| Duration::try_from(length).ok()).ok_or_else(|| {
            de::Error::custom(format_args!("{text:?} is no length of time; write it as 1500ms, 2s or 15m"))
        })
    }
}

/// An amount of memory as people write it: `512MiB`, `2GiB`. For `#[serde(with = "…")]`.
pub mod memory {
    use serde::{Deserialize as _, Deserializer, de};

    /// Reads it, in bytes; more than nothing.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];
        let found = units.into_iter().find_map(|(unit, shift)| {
            let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
            number.checked_mul(1 << shift)
        });
        found.filter(|bytes| *bytes > 0).ok_or_else(|| {
            de::Error::custom(format_args!("{text:?} is no amount of memory; write it as 512MiB or 2GiB"))
        })
    }

    /// Reads one that may be left out.
    pub fn optional<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        deserialize(deserializer).map(Some)
    }
}

/// Reads an optional secret. For `#[serde(deserialize_with = "…")]`.
pub fn optional_secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SecretString>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.map(SecretString::from))
}

/// Reads a secret. For `#[serde(deserialize_with = "…")]`.
pub fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SecretString, D::Error> {
    String::deserialize(deserializer).map(SecretString::from)
}

/// The secret that a key holds, or the file that the key with `_file` names; of both keys one at most may be set.
///
/// # Errors
/// When both are set, when the file cannot be read, and when there is nothing in it.
pub fn given(key: &str, value: Option<&SecretString>, file: Option<&Path>) -> Result<Option<SecretString>, Unusable> {
    let secret = match (value, file) {
        (Some(_), Some(_)) => {
            return Err(Unusable::new(key, format!("set either {key} or {key}_file, not both")));
        }
        (None, None) => return Ok(None),
        (Some(value), None) => value.clone(),
        (None, Some(path)) => {
            let key = format!("{key}_file");
            let bytes = contents(&key, path)?;
            let text =
                String::from_utf8(bytes).map_err(|_| Unusable::new(&key, format!("{} is no text", path.display())))?;
            // Editors and `echo` end a file with a line feed that is no part of the secret.
            SecretString::from(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    };
    if secret.expose_secret().is_empty() {
        return Err(Unusable::new(key, "it is empty"));
    }
    Ok(Some(secret))
}

/// A small file as a whole.
///
/// # Errors
/// When it cannot be read, and when it is larger than any secret or certificate.
pub fn contents(key: &str, path: &Path) -> Result<Vec<u8>, Unusable> {
    let unreadable = |error: std::io::Error| Unusable::new(key, format!("{}: {error}", path.display()));
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Unusable::new(key, format!("{} is larger than {} MiB", path.display(), MAX_FILE >> 20)));
    }
    Ok(bytes)
}

/// An address, or all that begin with the same bits: `10.1.2.3`, `10.1.0.0/16`, `fd00::/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct Network {
    address: IpAddr,
    /// How many bits must be the same.
    bits: u8,
}

impl Network {
    /// Whether that address is one of these. An IPv4 address that is written as an IPv6 one is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                let shift = 32 - u32::from(self.bits);
                u32::from(ours).checked_shr(shift) == u32::from(theirs).checked_shr(shift)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                let shift = 128 - u32::from(self.bits);
                u128::from(ours).checked_shr(shift) == u128::from(theirs).checked_shr(shift)
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("{text:?} is no address; write it as 10.1.2.3 or 10.1.0.0/16");
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| wrong())?;
        if bits > all { Err(wrong()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// How long a question may take where nothing else is configured: less than the guard of an effect waits.
pub(crate) const TIME_OUT: Duration = Duration::from_millis(1_200);

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize, Serialize)]
    struct Wait {
        #[serde(with = "length")]
        wait: Duration,
    }

    #[test]
    fn a_length_of_time_is_read_as_people_write_it() {
        for (text, wanted) in [("1500ms", 1_500), ("2s", 2_000), ("15m", 900_000), ("1m 30s", 90_000)] {
            let read: Wait = serde_json::from_value(serde_json::json!({ "wait": text })).unwrap();
            assert_eq!(read.wait, Duration::from_millis(wanted));
            let written = serde_json::to_value(&read).unwrap();
            assert_eq!(serde_json::from_value::<Wait>(written).unwrap(), read);
        }
        for text in ["-2s", "2", "soon", ""] {
            let refused = serde_json::from_value::<Wait>(serde_json::json!({ "wait": text })).unwrap_err();
            assert!(refused.to_string().contains("write it as"), "{text}: {refused}");
        }
    }

    #[test]
    fn a_secret_comes_from_one_place_only_and_is_never_empty() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "from a file\n").unwrap();
        let value = SecretString::from("from the environment");

        let read = given("password", None, Some(&file)).unwrap().unwrap();
        assert_eq!(read.expose_secret(), "from a file");
        let read = given("password", Some(&value), None).unwrap().unwrap();
        assert_eq!(read.expose_secret(), "from the environment");
        assert!(given("password", None, None).unwrap().is_none());

        let both = given("password", Some(&value), Some(&file)).unwrap_err();
        assert_eq!(both.to_string(), "password: set either password or password_file, not both");
        std::fs::write(&file, "\n").unwrap();
        assert!(given("password", None, Some(&file)).is_err());
        let absent = given("password", None, Some(&folder.path().join("absent"))).unwrap_err();
        assert_eq!(absent.key, "password_file");
    }

    #[test]
    fn a_network_contains_the_addresses_that_begin_like_it() {
        let contains =
            |network: &str, address: &str| network.parse::<Network>().unwrap().contains(address.parse().unwrap());
        assert!(contains("10.1.0.0/16", "10.1.255.3") && !contains("10.1.0.0/16", "10.2.0.1"));
        assert!(contains("10.1.2.3", "10.1.2.3") && !contains("10.1.2.3", "10.1.2.4"));
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "2001:db8::1"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("fd00::/8", "fd12::1") && !contains("fd00::/8", "fe80::1"));
        for text in ["10.1.2", "10.1.2.3/33", "10.1.2.3/", "db.example", ""] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
