//! How the PostgreSQL is reached that holds the log, and how it is settled which of several processes leads.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::postgres::SslMode;
use crate::settings::{Unusable, length, optional_secret, secret};

/// The longest name that PostgreSQL keeps, in bytes.
const LONGEST_NAME: usize = 63;

/// The shortest and the longest lease.
const LEASE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));

/// How often at least a lease is renewed within its length: one lost answer loses no lease.
const RENEWALS: u32 = 3;

/// How long one statement may take at most. A change of the fleet waits for it.
const TIME_OUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_mins(1));

/// A PostgreSQL that holds the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `postgres://scalebot_ledger@db.example:5432/scalebot`. It may hold the password, and is never shown.
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
    /// The schema that holds the log, and nothing else.
    #[serde(default = "schema")]
    pub schema: String,
    /// How long one statement may take, and a connection to come about.
    #[serde(default = "time_out", with = "length")]
    pub time_out: Duration,
    /// How long a process leads without saying so again.
    #[serde(default = "lease", with = "length")]
    pub lease: Duration,
    /// How often it says so again.
    #[serde(default = "renew", with = "length")]
    pub renew: Duration,
}

impl Settings {
    /// That server, with everything else as it is by default.
    pub fn new(url: SecretString) -> Self {
        Self {
            url,
            password: None,
            password_file: None,
            sslmode: None,
            ca_file: None,
            schema: schema(),
            time_out: time_out(),
            lease: lease(),
            renew: renew(),
        }
    }

    /// Holds the values against each other.
    ///
    /// # Errors
    /// Which key cannot be used, and why.
    pub fn usable(&self) -> Result<(), Unusable> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let named = self.schema.starts_with(|c: char| c.is_ascii_lowercase()) && self.schema.chars().all(plain);
        if !named || self.schema.len() > LONGEST_NAME || self.schema.starts_with("pg_") {
            let why = format!(
                "a schema's name begins with a lower-case letter and has lower-case letters, digits and _, at most \
                 {LONGEST_NAME}, and does not begin with pg_"
            );
            return Err(Unusable::new("schema", why));
        }
        within("time_out", self.time_out, TIME_OUT)?;
        within("lease", self.lease, LEASE)?;
        within("renew", self.renew, (Duration::from_millis(100), self.lease / RENEWALS))
    }
}

fn within(key: &str, length: Duration, (least, most): (Duration, Duration)) -> Result<(), Unusable> {
    if (least..=most).contains(&length) {
        return Ok(());
    }
    let [length, least, most] = [length, least, most].map(|length| length.as_secs_f64());
    Err(Unusable::new(key, format!("it is {length} s, and must be from {least} s to {most} s")))
}

fn schema() -> String {
    "scalebot".to_owned()
}

fn time_out() -> Duration {
    Duration::from_secs(5)
}

fn lease() -> Duration {
    Duration::from_secs(30)
}

fn renew() -> Duration {
    Duration::from_secs(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(change: impl Fn(&mut Settings)) -> Result<(), Unusable> {
        let mut settings = Settings::new(SecretString::from("postgres://scalebot:hidden@db.example/scalebot"));
        change(&mut settings);
        settings.usable()
    }

    #[test]
    fn the_defaults_can_be_used_and_a_lease_outlives_a_lost_renewal() {
        assert_eq!(with(|_| {}), Ok(()));
        assert_eq!(with(|settings| settings.renew = settings.lease / 2).unwrap_err().key, "renew");
        assert_eq!(with(|settings| settings.lease = Duration::from_secs(2)).unwrap_err().key, "lease");
        assert_eq!(with(|settings| settings.time_out = Duration::ZERO).unwrap_err().key, "time_out");
    }

    #[test]
    fn a_schema_is_a_plain_name_of_its_own() {
        for wrong in ["", "Scalebot", "a b", "a\"b", "pg_catalog", "1a", &"x".repeat(64)] {
            assert_eq!(with(|settings| settings.schema = wrong.to_owned()).unwrap_err().key, "schema", "{wrong}");
        }
    }
}
