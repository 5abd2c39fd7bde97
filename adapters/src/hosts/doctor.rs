//! What `scalebot check` says of the hosts. Nothing is changed to find out: of a command that needs `sudo` it is asked
//! whether it is allowed.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use futures::{FutureExt as _, StreamExt as _, stream};

use super::observe::named;
use super::settings::Listed;
use super::ssh::Status;
use super::{Hosts, Inner};
use crate::doctor::Finding;

/// Whatever others than its owner may do.
const OTHERS: u32 = 0o077;

impl Hosts {
    /// The files, the tool, every host, and the rights there.
    pub async fn check(&self) -> Vec<Finding> {
        let inner = &*self.inner;
        let mut found = vec![key(inner), known_hosts(inner), written(inner)];
        let mut hosts = inner.settings.hosts.clone();
        if let Some(tool) = &inner.tool {
            match tool.list().await {
                Ok(answer) => {
                    let room = tool.room(&answer);
                    hosts = answer.hosts;
                    found.push(match room {
                        Ok(room) => {
                            Finding::ok(tool.what(), format!("it lists {} hosts, and {room} more fit", hosts.len()))
                        }
                        Err(error) => Finding::warn(
                            tool.what(),
                            error.to_string(),
                            "Set provision.most, or have it print \"room\": without either going up is refused.",
                        ),
                    });
                }
                Err(error) => found.push(Finding::unanswered(tool.what(), &error)),
            }
        }
        let looked = super::observe::services(inner, hosts).await;
        let running = looked.iter().filter(|(_, status)| *status == Ok(Status::Runs)).count();
        let away: Vec<String> =
            looked.iter().filter_map(|(_, status)| status.as_ref().err().map(ToString::to_string)).collect();
        let text = format!("{} of {} hosts answer, {running} run the service", looked.len() - away.len(), looked.len());
        let system = "hosts by SSH";
        found.push(if away.is_empty() {
            Finding::ok(system, text)
        } else {
            let to_do =
                "See that they run, that the bot's key is let in there, and that known_hosts has their host keys.";
            Finding::failed(system, format!("{text}: {}", named(&away)), to_do)
        });
        let reached =
            looked.into_iter().filter(|(_, status)| status.is_ok()).map(|(host, _)| refused(inner, host).boxed());
        let asked: Vec<_> = reached.collect();
        let answers: Vec<Option<String>> = stream::iter(asked).buffered(inner.settings.limits.at_once).collect().await;
        let refused: Vec<String> = answers.into_iter().flatten().collect();
        let system = "rights on the hosts";
        found.push(if refused.is_empty() {
            Finding::ok(system, inner.ssh.tried())
        } else {
            Finding::failed(system, named(&refused), "Allow exactly these commands there: deploy/hosts/sudoers.")
        });
        found
    }
}

/// What is not allowed there, in words.
async fn refused(inner: &Inner, host: Listed) -> Option<String> {
    inner.ssh.may(&host.name, &host.address).await.err().map(|why| format!("{}: {why}", host.name))
}

fn key(inner: &Inner) -> Finding {
    let file = &inner.settings.ssh.key_file;
    let system = format!("SSH key {}", file.display());
    match fs::metadata(file) {
        Err(error) => {
            Finding::failed(system, error.to_string(), "Make a key for the bot alone: ssh-keygen -t ed25519.")
        }
        Ok(kept) if kept.mode() & OTHERS != 0 => {
            let text = format!("others can read it (mode {:o})", kept.mode() & 0o777);
            Finding::failed(system, text, "Take that right away: chmod 600.")
        }
        Ok(_) => Finding::ok(system, "only its owner can read it"),
    }
}

fn known_hosts(inner: &Inner) -> Finding {
    let file = &inner.settings.ssh.known_hosts;
    let system = format!("host keys {}", file.display());
    match fs::read_to_string(file) {
        Ok(text) if text.lines().any(|line| !line.trim().is_empty() && !line.starts_with('#')) => {
            Finding::ok(system, "readable")
        }
        Ok(_) => Finding::failed(system, "no host's key is in it", "Add each host's key, by a way that you trust."),
        Err(error) => Finding::failed(system, error.to_string(), "Make the file, with each host's key in it."),
    }
}

fn written(inner: &Inner) -> Finding {
    let system = format!("what is remembered in {}", inner.store.directory().display());
    match inner.store.read() {
        Ok(Some(state)) => Finding::ok(system, format!("{} instances wanted", state.wanted)),
        Ok(None) => Finding::ok(system, "nothing yet: the service takes down which hosts run as it starts"),
        Err(error) => Finding::failed(
            system,
            error.to_string(),
            "Put the file back, or take it away: then the service takes down anew which hosts run.",
        ),
    }
}
