//! What the doctor says about an HAProxy: reached, its version, what the socket may do, and whether every instance has
//! its server.

use std::collections::BTreeSet;

use scalebot_commands::ports::{FleetState, PortError, Traffic as _};
use tokio::time::timeout;

use super::servers::{Mapping, Server};
use super::socket::Ending;
use super::table::Table;
use super::{Haproxy, Out, Servers, quote};
use crate::doctor::Finding;

/// How many names a line holds.
const NAMED: usize = 10;

impl Haproxy {
    /// The doctor's lines. Nothing is changed; each question has its own time-out.
    pub async fn check(&self) -> Vec<Finding> {
        let mut found = match self.check_socket().await {
            Ok(found) => found,
            Err(error) => return vec![self.unreached(&error)],
        };
        found.extend(
            self.check_backend().await.unwrap_or_else(|error| vec![Finding::unanswered(self.describe(), &error)]),
        );
        found
    }

    /// The same of a backend whose fleet is not there yet: only whether it is reached, and what may be done.
    pub async fn check_without_fleet(&self) -> Vec<Finding> {
        match futures::join!(self.check_socket(), self.backend.servers()) {
            (Ok(mut found), Ok(servers)) => {
                found.push(Finding::ok(
                    self.describe(),
                    format!("{} servers, before the fleet is there", servers.len()),
                ));
                found
            }
            (Ok(mut found), Err(error)) => {
                found.push(Finding::unanswered(self.describe(), &error));
                found
            }
            (Err(error), _) => vec![self.unreached(&error)],
        }
    }

    fn unreached(&self, error: &PortError) -> Finding {
        Finding::unanswered(self.backend.socket.to_string(), error)
    }

    async fn check_socket(&self) -> Result<Vec<Finding>, PortError> {
        let system = self.backend.socket.to_string();
        let answer = self.backend.socket.ask("show info;show cli level", Ending::EmptyLine).await?;
        let said = answer.trim_end_matches('\n').rsplit_once("\n\n").and_then(|(info, level)| {
            let version = info.lines().find_map(|line| line.strip_prefix("Version: "))?;
            info.starts_with("Name: HAProxy").then_some((quote(version), quote(level.trim())))
        });
        let (version, level) = said.ok_or_else(|| self.backend.unanswered(&answer))?;
        let reached = format!("reached, version {version}, level {level}");
        let mut found = vec![if level == "admin" {
            Finding::ok(&system, reached)
        } else {
            let text = format!("{reached}: it may not stop sending requests to anybody");
            Finding::failed(&system, text, "Write `level admin` on the `stats socket` line in haproxy.cfg.")
        }];
        if self.backend.socket.is_open() {
            let text = "whoever reaches this port can steer HAProxy: it asks nobody who they are";
            let to_do = "Bind it to a Unix socket or to 127.0.0.1, beside the bot, or let only the bot reach it.";
            found.push(Finding::warn(&system, text, to_do));
        }
        Ok(found)
    }

    async fn check_backend(&self) -> Result<Vec<Finding>, PortError> {
        let system = self.describe();
        let servers = self.backend.servers().await?;
        let limit = self.backend.settings.time_out;
        let late = || PortError::TimedOut { what: self.fleet.describe(), limit };
        let fleet = timeout(limit, self.fleet.observe()).await.map_err(|_| late())??;
        let mapping = match self.backend.settings.servers {
            Servers::ByAddress => Mapping::by_address(&fleet.instances),
            Servers::ByName => self.backend.by_name(),
        };
        let mut found = vec![instances(&system, &mapping, &servers, &fleet)];
        if self.backend.settings.out == Out::Drain && servers.iter().any(|server| server.has_cookie) {
            let text = "cookies bind clients to servers: one that drains still gets the requests of those bound to it";
            found.push(Finding::warn(&system, text, "Set out = \"maint\", which stops these too."));
        }
        let elsewhere = self.elsewhere(&servers).await?;
        if !elsewhere.is_empty() {
            let text = format!("the same addresses get requests from other backends too: {}", named(&elsewhere));
            let to_do = "Let their servers `track` this backend's, so that one that drains here drains there.";
            found.push(Finding::warn(&system, text, to_do));
        }
        Ok(found)
    }

    /// Other backends with a server at the address of one of these that does not follow this backend's.
    async fn elsewhere(&self, servers: &[Server]) -> Result<BTreeSet<String>, PortError> {
        let unreadable = |detail: String| PortError::Unreadable { what: self.describe(), detail };
        let answer = self.backend.socket.ask("show servers state;show stat -1 4 -1", Ending::EmptyLine).await?;
        let tables =
            answer.trim_end_matches('\n').split_once("\n\n").ok_or_else(|| self.backend.unanswered(&answer))?;
        let states = Table::of_states(tables.0).map_err(unreadable)?;
        let figures = Table::of_figures(tables.1).map_err(unreadable)?;
        let mut followers = BTreeSet::new();
        for row in figures.rows() {
            let tracked = row.text("tracked").map_err(unreadable)?;
            if tracked.starts_with(&format!("{}/", self.backend.settings.backend)) {
                followers.insert((row.text("pxname").map_err(unreadable)?, row.text("svname").map_err(unreadable)?));
            }
        }
        let mut elsewhere = BTreeSet::new();
        for row in states.rows() {
            let (backend, name) = (row.text("be_name").map_err(unreadable)?, row.text("srv_name").map_err(unreadable)?);
            let (host, port) = (row.text("srv_addr").map_err(unreadable)?, row.number("srv_port").map_err(unreadable)?);
            let address = super::servers::address(host, port);
            let is_other = backend != self.backend.settings.backend && !followers.contains(&(backend, name));
            if is_other && servers.iter().any(|server| server.address == address) {
                elsewhere.insert(backend.to_owned());
            }
        }
        Ok(elsewhere)
    }
}

fn instances(system: &str, mapping: &Mapping, servers: &[Server], fleet: &FleetState) -> Finding {
    let without: BTreeSet<String> = fleet
        .instances
        .iter()
        .filter(|instance| mapping.servers_of(&instance.id, servers).is_empty())
        .map(|instance| instance.id.to_string())
        .collect();
    let total = fleet.instances.len();
    if without.is_empty() {
        return Finding::ok(
            system,
            format!("{} servers; each of the fleet's {total} instances has one", servers.len()),
        );
    }
    let text = format!("{} of {total} instances have no server: {}", without.len(), named(&without));
    let to_do = "Add the servers to the backend, or correct by what they are known (servers, server).";
    Finding::failed(system, text, to_do)
}

fn named(names: &BTreeSet<String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let shown: Vec<String> = names.iter().take(NAMED).map(|name| quote(name)).collect();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
