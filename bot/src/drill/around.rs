//! The real systems around a world: which there are, and how the world is told. It keeps them as the backend, and
//! whoever runs one, would: the load balancer knows its instances, a Prometheus finds them, the halt is written where the
//! backend writes it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use scalebot_adapters::haproxy;
use scalebot_adapters::settings::optional_secret;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// By which environment variable a world is told; secrets may be in it, so that it is no argument, which everybody on
/// the machine could read.
pub(crate) const AROUND: &str = "SCALEBOT_DRILL_AROUND";

/// What is around a world. Nothing, as a rule: it brings its own of everything.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Around {
    /// Who balances the load instead of the world's forwarder.
    pub(crate) balancer: Option<Balancer>,
    /// Where a Prometheus finds the instances.
    pub(crate) scraped: Option<Scraped>,
    /// What the rehearsal is called there, and what it began with.
    pub(crate) known: Option<Known>,
    /// The PostgreSQL that holds the halt table, by its URL.
    #[serde(serialize_with = "exposed", deserialize_with = "optional_secret")]
    pub(crate) postgres: Option<SecretString>,
    /// The Redis that holds the halt signals, by its URL.
    #[serde(serialize_with = "exposed", deserialize_with = "optional_secret")]
    pub(crate) redis: Option<SecretString>,
}

/// What a rehearsal is called in the systems that others use too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Known {
    /// A schema, the beginning of a key, the value of a label: nobody else's.
    pub(crate) mark: String,
    /// The systems, by the names that the command line has for them.
    pub(crate) systems: Vec<String>,
}

/// From one process to its own child, by its environment.
#[expect(clippy::ref_option, reason = "what serde hands over")]
fn exposed<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(SecretString::expose_secret).serialize(serializer)
}

/// A load balancer whose servers the world adds and takes out, and through which its load goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Balancer {
    /// The backend, which holds this fleet and nobody else.
    pub(crate) haproxy: haproxy::Settings,
    /// Where it takes requests, a URL without a path.
    pub(crate) through: String,
}

/// A file in the form of `file_sd_configs`, which is kept up to date.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scraped {
    /// The file.
    pub(crate) file: PathBuf,
    /// What all series of this fleet get besides.
    pub(crate) labels: BTreeMap<String, String>,
}

impl Around {
    /// What a world is told; `None` where nothing is around it.
    pub(crate) fn told(&self) -> Option<String> {
        let Self { balancer, scraped, known, postgres, redis } = self;
        let is_alone =
            balancer.is_none() && scraped.is_none() && known.is_none() && postgres.is_none() && redis.is_none();
        // Nothing in it can fail to be written.
        (!is_alone).then(|| serde_json::to_string(self).unwrap_or_default())
    }

    /// What this process was told.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read() -> Result<Self, serde_json::Error> {
        std::env::var(AROUND).map_or_else(|_| Ok(Self::default()), |text| serde_json::from_str(&text))
    }
}
