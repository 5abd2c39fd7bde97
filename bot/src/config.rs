//! What an operator writes down: one TOML file, with the environment over it. Each adapter's settings are the adapter's
//! own type; this only puts them together, refuses what is not known, and holds the whole against itself.

mod policy;
mod review;
mod source;
pub(crate) mod target;
mod units;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use scalebot_adapters::ledger::postgres;
use scalebot_commands::policy::Policy;
use scalebot_commands::units::TargetName;
use serde::Deserialize;

use self::policy::PolicySettings;
use self::source::Source;
pub(crate) use self::source::Wrong;
use self::target::TargetSettings;
use crate::discord;
use crate::service::heartbeat;

/// Everything that is configured, and held against itself.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The file that it was read from.
    pub(crate) file: PathBuf,
    /// What the sections say.
    pub(crate) sections: Sections,
    /// The limits of each fleet: `[policy]`, and what the fleet's own section says over it.
    policies: BTreeMap<String, Policy>,
}

/// The sections of the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sections {
    /// The fleet that is meant where none is named; may be left out where there is only one.
    #[serde(default)]
    default_target: Option<String>,
    /// Where everything is kept.
    pub(crate) state: StateSettings,
    /// The PostgreSQL that holds the operational log; without it, a file in the state directory does.
    #[serde(default)]
    pub(crate) ledger: Option<postgres::Settings>,
    /// What the program says about itself.
    #[serde(default)]
    pub(crate) log: LogSettings,
    /// Where it tells a monitoring system how it is.
    #[serde(default)]
    pub(crate) http: HttpSettings,
    /// Who is told that the bot is ready; nobody without it.
    #[serde(default)]
    pub(crate) heartbeat: Option<heartbeat::Settings>,
    /// The server that is served; without it, whoever types on standard input.
    #[serde(default)]
    pub(crate) discord: Option<discord::Settings>,
    /// The limits of every fleet.
    #[serde(default)]
    #[expect(dead_code, reason = "it is read once more, with what a fleet's own section says over it")]
    policy: PolicySettings,
    /// The fleets.
    targets: BTreeMap<String, TargetSettings>,
}

/// `[state]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StateSettings {
    /// The directory, an absolute path.
    pub(crate) directory: PathBuf,
}

/// `[log]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSettings {
    /// How a line is written.
    pub(crate) format: LogFormat,
    /// From which weight on: `info`, or several as `RUST_LOG` writes them.
    pub(crate) level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// How a line of the program's own log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// `[http]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpSettings {
    /// Whether it is served at all.
    pub(crate) enabled: bool,
    /// Where.
    pub(crate) listen: SocketAddr,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { enabled: true, listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)) }
    }
}

impl Config {
    /// Reads the file, with the variables `SCALEBOT_SECTION__KEY` of this process over it.
    ///
    /// # Errors
    /// What is wrong, where, and what would be right.
    pub(crate) fn load(file: &Path) -> Result<Self, Wrong> {
        // A variable that is no text is none of ours.
        let environment =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self::of(file, &Source::read(file, environment)?)
    }

    fn of(file: &Path, source: &Source) -> Result<Self, Wrong> {
        let sections: Sections = source.extract()?;
        let mut policies = BTreeMap::new();
        for name in sections.targets.keys() {
            let over = source.figment.focus(&format!("targets.{name}.policy"));
            // Each was read by itself before, so that what is wrong was said with its own line.
            let whole = source.figment.focus("policy").merge(over).extract::<PolicySettings>();
            policies.insert(name.clone(), whole.map_err(|error| source.wrong("policy", error.kind.to_string()))?.0);
        }
        review::whole(source, &sections, &policies)?;
        Ok(Self { file: file.to_owned(), sections, policies })
    }

    /// The fleets with their limits; the one that is meant where none is named comes first.
    pub(crate) fn targets(&self) -> Vec<(TargetName, &TargetSettings, &Policy)> {
        let all =
            self.sections.targets.iter().filter_map(|(name, settings)| {
                Some((TargetName::new(name.clone()), settings, self.policies.get(name)?))
            });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|(name, ..)| Some(name.as_str()) != self.sections.default_target.as_deref());
        all
    }
}
