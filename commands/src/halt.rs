//! Whether the system is halted, as everybody who can know says it. Sources that disagree mean halted; a source that
//! cannot be read means that it cannot be told; neither is ever taken for "not halted".

use std::time::Duration;

use futures::future::join_all;
use serde::{Deserialize, Serialize};

use crate::mutation::mutated;
use crate::patience::within;
use crate::ports::{HaltReading, HaltSource, World};
use crate::reading::Reading;
use crate::request::quoted;

/// What one source of truth says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SourceSays {
    /// The source's name, as a card says it.
    pub source: String,
    /// What it says.
    pub says: Reading<HaltReading>,
}

/// What follows from all of them together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Nothing is configured that could say: that the system is not halted, nobody knows.
    NotConfigured,
    /// Every source says: not halted.
    NotHalted,
    /// Every source says: halted.
    Halted(String),
    /// They do not say the same, which counts as halted.
    Disagree(String),
    /// At least one cannot be read and none says halted.
    Unknown(String),
}

impl Conclusion {
    /// Whether an effect may happen without a governance lead's approval.
    pub fn permits(&self) -> bool {
        matches!(self, Self::NotHalted)
    }

    /// Whether somebody who could say so has not said that it is not halted.
    pub fn may_be_halted(&self) -> bool {
        !matches!(self, Self::NotHalted | Self::NotConfigured)
    }

    /// In words; `None` when it permits.
    pub fn why(&self) -> Option<&str> {
        match self {
            Self::NotHalted => None,
            Self::NotConfigured => Some("nothing is configured that could say whether the system is halted"),
            Self::Halted(why) | Self::Disagree(why) | Self::Unknown(why) => Some(why),
        }
    }
}

/// Asks every source of truth at once, each within `limit`.
pub async fn ask(world: &dyn World, sources: &[std::sync::Arc<dyn HaltSource>], limit: Duration) -> Vec<SourceSays> {
    join_all(sources.iter().map(|source| async move {
        let name = source.name();
        let says = within(world, limit, &name, source.read()).await.into();
        SourceSays { source: name, says }
    }))
    .await
}

/// Why the system counts as halted now, if that began since the sources said `then`. An effect that was done under an
/// approval, or before the halt, is not undone by it; governance has to know.
pub async fn began_since(
    world: &dyn World,
    sources: &[std::sync::Arc<dyn HaltSource>],
    limit: Duration,
    then: &[SourceSays],
) -> Option<String> {
    let now = ask(world, sources, limit).await;
    let began = now.iter().any(|source| {
        let halted = |says: &SourceSays| says.says.known().is_some_and(|reading| reading.halted);
        halted(source) && !then.iter().any(|before| before.source == source.source && halted(before))
    });
    if began { conclude(&now).why().map(ToOwned::to_owned) } else { None }
}

/// What follows from what the sources say.
pub fn conclude(sources: &[SourceSays]) -> Conclusion {
    let mut halted = Vec::new();
    let mut clear = Vec::new();
    let mut unknown = Vec::new();
    for source in sources {
        match &source.says {
            Reading::Known(reading) if reading.halted => halted.push((source.source.as_str(), reading)),
            Reading::Known(_) => clear.push(source.source.clone()),
            Reading::Unknown { .. } if mutated!(UnknownIsClear) => clear.push(source.source.clone()),
            Reading::Unknown { why, .. } => unknown.push(why.clone()),
        }
    }
    let halted = say_halted(&halted);
    match (halted.is_empty(), clear.is_empty(), unknown.is_empty()) {
        (true, true, true) => Conclusion::NotConfigured,
        (true, _, false) => {
            Conclusion::Unknown(format!("it cannot be told whether the system is halted: {}", unknown.join("; ")))
        }
        (true, false, true) => Conclusion::NotHalted,
        (false, true, true) => Conclusion::Halted(halted),
        (false, ..) => {
            let others: Vec<String> =
                clear.iter().map(|name| format!("{name} says not halted")).chain(unknown).collect();
            Conclusion::Disagree(format!("{halted}, but {}", others.join("; ")))
        }
    }
}

/// Who says so. Those that say the very same are named together.
fn say_halted(sources: &[(&str, &HaltReading)]) -> String {
    let mut said: Vec<(Vec<&str>, String)> = Vec::new();
    for (source, reading) in sources {
        let since = reading.since.map_or_else(String::new, |since| format!(" since {}", crate::card::clock(since)));
        let reason = reading.reason.as_deref();
        let what = format!("{since}{}", reason.map_or_else(String::new, |why| format!(" ({})", quoted(why))));
        match said.iter_mut().find(|(_, known)| *known == what) {
            Some((names, _)) => names.push(source),
            None => said.push((vec![source], what)),
        }
    }
    let said: Vec<String> = said
        .iter()
        .map(|(names, what)| match names.as_slice() {
            [one] => format!("{one} says halted{what}"),
            names => format!("{} say halted{what}", names.join(" and ")),
        })
        .collect();
    said.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::Absence;

    fn says(source: &str, halted: Option<bool>) -> SourceSays {
        let says = match halted {
            Some(halted) => Reading::Known(HaltReading { halted, since: None, reason: None, cleared_at: None }),
            None => Reading::Unknown { why: format!("{source} cannot be reached"), absence: Absence::Unanswered },
        };
        SourceSays { source: source.to_owned(), says }
    }

    #[test]
    fn only_sources_that_all_say_not_halted_permit_an_effect() {
        let cases = [
            (vec![says("table", Some(false)), says("signals", Some(false))], true),
            (vec![says("table", Some(true)), says("signals", Some(true))], false),
            (vec![says("table", Some(false)), says("signals", Some(true))], false),
            (vec![says("table", Some(true)), says("signals", None)], false),
            (vec![says("table", Some(false)), says("signals", None)], false),
            (vec![says("table", None)], false),
            (vec![], false),
        ];
        for (sources, permitted) in cases {
            assert_eq!(conclude(&sources).permits(), permitted, "{sources:?}");
        }
    }

    #[test]
    fn sources_that_say_the_very_same_are_named_together() {
        let found = conclude(&[says("halt table", Some(true)), says("halt signals", Some(true))]);
        assert_eq!(found, Conclusion::Halted("halt table and halt signals say halted".to_owned()));
    }

    #[test]
    fn a_disagreement_says_which_source_said_what() {
        let found = conclude(&[says("halt table", Some(false)), says("halt signals", Some(true))]);
        assert_eq!(found, Conclusion::Disagree("halt signals says halted, but halt table says not halted".to_owned()));
    }
}
