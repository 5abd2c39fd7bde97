//! How many more containers of the service there can be: what its file leaves room for, and the machine's memory.

use scalebot_commands::ports::{Headroom, PortError};
use scalebot_commands::request::quoted;
use scalebot_commands::units::Replicas;

use super::Inner;
use super::seen::Seen;
use super::settings::Settings;
use crate::docker::engine::Inspected;
use crate::docker::{container, memory};
use crate::yaml;

/// Whatever holds the number of containers down, and how many there can be in all.
struct Bound {
    all: u32,
    why: String,
}

impl Inner {
    /// How many more fit, and what runs out first.
    ///
    /// # Errors
    /// When that cannot be told; also when Compose cannot use the files, since then nothing can be added.
    pub(super) async fn headroom(&self, wanted: Replicas) -> Result<Headroom, PortError> {
        let (seen, left, fixed, _) = futures::try_join!(
            self.seen(),
            memory::left(&self.engine, self.settings.keep_free),
            fixed_name(&self.settings),
            self.program.configuration(),
        )?;
        let there = u32::try_from(seen.containers.len()).unwrap_or(u32::MAX);
        let mut fits = (wanted.0, None);
        let mut bounded = |more: u32, why: String| {
            if more < fits.0 {
                fits = (more, Some(why));
            }
        };
        for Bound { all, why } in
            [fixed.or_else(|| named_by_hand(&seen, &self.settings)), ports(&seen, &self.settings).await?]
                .into_iter()
                .flatten()
        {
            bounded(all.saturating_sub(there), why);
        }
        let each = self.each(&seen)?;
        let mebibytes = |bytes: u64| bytes >> 20;
        let why = format!(
            "memory of the machine (one takes {} MiB; {} of {} MiB are left)",
            mebibytes(each),
            mebibytes(left.bytes),
            mebibytes(left.total)
        );
        bounded(left.fits(each), why);
        let source = format!("{}, {}", self.engine.what(), self.files());
        Ok(Headroom { fits: Replicas(fits.0), runs_out: fits.1, source })
    }

    /// How much memory one more may use, in bytes.
    fn each(&self, seen: &Seen) -> Result<u64, PortError> {
        let limits = seen.containers.iter().map(|container| container.host_config.memory).filter(|limit| *limit > 0);
        self.settings.memory.or_else(|| limits.max()).ok_or_else(|| PortError::NotServed {
            what: self.service(),
            detail: "it has no limit of memory, so that nobody can tell how many fit: set mem_limit in its file, or \
                     fleet.memory in the bot's configuration"
                .to_owned(),
        })
    }

    pub(super) fn files(&self) -> String {
        self.settings.files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
    }
}

/// The line that gives all containers one name, in the last file that has it.
async fn fixed_name(settings: &Settings) -> Result<Option<Bound>, PortError> {
    let found = line_of(settings, "container_name").await?;
    Ok(found.map(|(place, line)| Bound {
        all: 1,
        why: format!(
            "the one place of a container with a fixed name ({place}: \"{}\"; take that line out)",
            line.trim()
        ),
    }))
}

/// A name that Compose did not give, where no line of a file says so.
fn named_by_hand(seen: &Seen, settings: &Settings) -> Option<Bound> {
    let Settings { project, service, .. } = settings;
    let usual = [format!("{project}_{service}_"), format!("{project}-{service}-")];
    let is_usual = |container: &&Inspected| usual.iter().any(|usual| container::name(container).starts_with(usual));
    let odd = seen.containers.iter().find(|container| !is_usual(container))?;
    let why = format!(
        "the one place of a container with a name of its own ({}; take container_name out of the service)",
        quoted(container::name(odd))
    );
    Some(Bound { all: 1, why })
}

/// The machine's ports that it is published at: a fixed one is there for one container, a range for as many as it has.
async fn ports(seen: &Seen, settings: &Settings) -> Result<Option<Bound>, PortError> {
    let Some(newest) = seen.containers.iter().max_by_key(|container| container.created) else { return Ok(None) };
    let bindings = newest.host_config.port_bindings.values().flatten().flatten();
    let narrow = bindings.filter_map(|binding| Some((ports_in(&binding.host_port)?, &binding.host_port)));
    let Some((all, port)) = narrow.min_by_key(|(all, _)| *all) else { return Ok(None) };
    let place = line_of(settings, "ports").await.ok().flatten().map(|(place, _)| format!("{place}: "));
    let (port, place) = (quoted(port), place.unwrap_or_default());
    let why = if all == 1 {
        format!("the machine's port {port} ({place}it can be published once; leave it out, or write a range)")
    } else {
        format!(
            "what the machine's ports {port} are enough for ({place}they are {all}; write a wider range, or leave them out)"
        )
    };
    Ok(Some(Bound { all, why }))
}

/// How many ports that is; `None` for any that is free.
fn ports_in(text: &str) -> Option<u32> {
    match text.split_once('-') {
        _ if text.is_empty() || text == "0" => None,
        None => Some(1),
        Some((first, last)) => {
            let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
            Some((last + 1).saturating_sub(first))
        }
    }
}

/// Where the service has that key, in the last file that has it.
async fn line_of(settings: &Settings, key: &str) -> Result<Option<(String, String)>, PortError> {
    let mut found = None;
    for file in &settings.files {
        let what = file.display().to_string();
        let wrong = |detail: String| PortError::Unreadable { what: what.clone(), detail };
        let text = yaml::contents(file).await.map_err(wrong)?;
        let lines = yaml::standing(&text, &["services", &settings.service, key]).map_err(wrong)?;
        found = lines.into_iter().last().map(|(number, line)| (format!("{what}, line {number}"), line)).or(found);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_there_once_and_a_range_as_often_as_it_is_wide() {
        assert_eq!(["", "0", "8000", "8000-8009"].map(ports_in), [None, None, Some(1), Some(10)]);
    }
}
