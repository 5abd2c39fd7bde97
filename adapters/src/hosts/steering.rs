//! Who else has a hand in it: a service that somebody started on a spare host, a host that the tool made or lost without an
//! order, one that could not be brought to its end. And where the count is written down besides.

use std::fs::File;
use std::io::Read as _;

use scalebot_commands::ports::{Declared, PortError, Steering};
use scalebot_commands::units::Replicas;

use super::Inner;
use super::observe::{services, spare};
use super::settings::{DeclaredIn, Settings};
use super::ssh::{Order, Status, of};
use super::state::Phase;

/// The longest file that is looked through, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Everybody else who was found, with what settles it.
pub(super) async fn steered_by(inner: &Inner) -> Result<Vec<Steering>, PortError> {
    let state = inner.state()?;
    let mut found = Vec::new();
    let trouble = inner.seen().trouble.clone();
    found.extend(trouble.map(|trouble| Steering {
        by: "what keeps the bot from its hosts".to_owned(),
        effect: format!("would hold a change up: {trouble}"),
        settled_by: format!(
            "settle that first; who works on the hosts holds {}/work.lock (fuser names the process)",
            inner.store.directory().display()
        ),
        hold: None,
    }));
    for (host, address) in Inner::reached(&state).filter(|(host, _)| !host.phase.is_wanted()) {
        let Some(why) = inner.seen().troubles.get(&host.name).cloned() else { continue };
        let settled_by = match (&inner.tool, host.phase) {
            (Some(tool), Phase::Releasing) => tool.by_hand(&format!("set … \"…\" {}", host.name)),
            (_, Phase::Stopping) => inner.ssh.by_hand(Order::Stop, &host.name, address),
            _ => format!("take {} out of the load balancer", host.name),
        };
        let by = of(&host.name, address);
        found.push(Steering { by, effect: format!("is not given back yet: {why}"), settled_by, hold: None });
    }
    if let Some(tool) = &inner.tool {
        let answer = tool.list().await?;
        for host in answer.hosts.iter().filter(|host| state.host(&host.name).is_none() && state.provisioning.is_none())
        {
            found.push(Steering {
                by: of(&host.name, &host.address),
                effect: "is there and is none of the fleet's: nobody asked for it here".to_owned(),
                settled_by: format!(
                    "give it back by the tool: {}",
                    tool.by_hand(&format!("set … \"…\" {}", host.name))
                ),
                hold: None,
            });
        }
        for (host, address) in Inner::reached(&state).filter(|(host, _)| host.phase.is_wanted()) {
            if !answer.hosts.iter().any(|listed| listed.name == host.name) {
                found.push(Steering {
                    by: "the provisioning command".to_owned(),
                    effect: format!("lists {} no more", of(&host.name, address)),
                    settled_by: format!("have the tool list {} again", host.name),
                    hold: None,
                });
            }
        }
    } else {
        for (host, status) in services(inner, spare(inner, &state)).await {
            // One that cannot be asked is no instance; the check of room says that it cannot be used.
            if status != Ok(Status::Runs) {
                continue;
            }
            found.push(Steering {
                by: of(&host.name, &host.address),
                effect: format!("runs the service {} and is none of the fleet's", inner.settings.service),
                settled_by: inner.ssh.by_hand(Order::Stop, &host.name, &host.address),
                hold: None,
            });
        }
    }
    Ok(found)
}

/// The count as the file has it that configuration names.
pub(super) fn declared(settings: &Settings) -> Result<Option<Declared>, PortError> {
    let Some(DeclaredIn { file, key }) = &settings.declared else { return Ok(None) };
    let what = file.display().to_string();
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(MAX_FILE + 1).read_to_string(&mut text));
    read.map_err(|error| PortError::Unreachable { what: what.clone(), detail: error.to_string() })?;
    in_text(&what, &text, key).map(Some).map_err(|detail| PortError::Unreadable { what, detail })
}

fn in_text(place: &str, text: &str, key: &str) -> Result<Declared, String> {
    let mut found = text.lines().enumerate().filter_map(|(index, line)| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then_some((index + 1, line, value))
    });
    let (number, line, value) = found.next().ok_or_else(|| format!("it has no line \"{key} = …\""))?;
    if let Some((second, ..)) = found.next() {
        return Err(format!("lines {number} and {second} both say {key}"));
    }
    let value = value.split('#').next().unwrap_or_default().trim();
    let count = value.parse().map_err(|_| format!("line {number} does not say a number"))?;
    Ok(Declared { count: Replicas(count), place: format!("{place}, line {number}"), line: line.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_declared_count_is_one_line_or_it_is_not_known() {
        let text = "# hosts = 9\nregion = \"x\"\n  hosts = 4 # see the runbook\n";
        let declared = in_text("prod.tfvars", text, "hosts").unwrap();
        assert_eq!((declared.count, declared.place.as_str()), (Replicas(4), "prod.tfvars, line 3"));
        assert_eq!(in_text("f", "a = 1\na = 2\n", "a").unwrap_err(), "lines 1 and 2 both say a");
        assert_eq!(in_text("f", "a = four\n", "a").unwrap_err(), "line 1 does not say a number");
        assert_eq!(in_text("f", "", "a").unwrap_err(), "it has no line \"a = …\"");
    }
}
