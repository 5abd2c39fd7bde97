//! HAProxy, by its runtime API: who is sent requests, how many, and telling it to stop or to go on.
//!
//! A server that was drained by the runtime API is sent requests again after a restart of HAProxy, unless its state is
//! loaded from a file; so who is drained is read each time and never remembered. Counts begin anew then as well.

mod doctor;
mod servers;
mod settings;
mod socket;
mod table;

use std::sync::Arc;

use async_trait::async_trait;
use scalebot_commands::journal::Fence;
use scalebot_commands::ports::{Fleet, OrderAnswer, PortError, RouteOrder, Routed, Traffic};
use scalebot_commands::request::escaped;
use scalebot_commands::units::InstanceId;
use tokio::time::timeout;

use self::servers::{INSTANCE, Mapping, Server, Told};
pub use self::settings::{Out, Servers, Settings};
use self::socket::{Ending, Socket};
use crate::settings::Unusable;

/// How much of HAProxy's own words is repeated, in characters.
const QUOTED: usize = 200;

/// What is missing where it says so.
const LEVEL: &str = "the socket takes `level admin` on its `stats socket` line";

/// One backend of an HAProxy.
#[derive(Clone)]
pub struct Haproxy {
    socket: Socket,
    settings: Settings,
    fleet: Arc<dyn Fleet>,
}

impl Haproxy {
    /// Nothing is connected yet: each question has a connection of its own. The fleet says which address is whose.
    ///
    /// # Errors
    /// When the settings cannot be used.
    pub fn new(settings: &Settings, fleet: Arc<dyn Fleet>) -> Result<Self, Unusable> {
        if !is_name(&settings.backend) {
            return Err(Unusable::new("backend", "write the backend's name as haproxy.cfg has it"));
        }
        let fixed: Vec<&str> = settings.server.split(INSTANCE).collect();
        if fixed.len() != 2 || !fixed.iter().all(|part| part.is_empty() || is_name(part)) {
            return Err(Unusable::new("server", "write a server's name with {instance} once in it, as srv-{instance}"));
        }
        let is_plain = |character: char| character == ' ' || character.is_ascii_graphic() && character != ';';
        if !settings.added_with.chars().all(is_plain) {
            return Err(Unusable::new("added_with", "write keywords of a server's line, as check inter 2s"));
        }
        let socket = Socket::new(&settings.socket, settings.time_out)?;
        Ok(Self { socket, settings: settings.clone(), fleet })
    }

    /// Makes the backend send requests to one more server, at that host and port, once it is sent requests by an
    /// order: HAProxy adds servers in maintenance. Takes HAProxy 2.5 or later.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    pub async fn add(&self, instance: &InstanceId, address: &str, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Some(server) = self.server_named(instance) else { return Ok(unnameable(instance)) };
        let is_address = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        if address.is_empty() || !address.bytes().all(is_address) {
            return Ok(OrderAnswer::Refused { detail: format!("{} is no host and port", quote(address)) });
        }
        let (place, with) = (format!("{}/{server}", self.settings.backend), self.settings.added_with.trim());
        let answer =
            self.socket.ask(format!("add server {place} {address} {with}").trim_end(), Ending::EmptyLine).await?;
        if answer.trim() != "New server registered." {
            return Ok(self.refused(&answer));
        }
        // The checks of a server that was added this way are off until they are asked for.
        if with.split(' ').any(|word| word == "check") {
            let answer = self.socket.ask(&format!("enable health {place}"), Ending::EmptyLine).await?;
            if answer != "\n" {
                return Ok(self.refused(&answer));
            }
        }
        Ok(OrderAnswer::Done)
    }

    /// Takes a server out of the backend for good. It must be in maintenance, with no connection left.
    ///
    /// # Errors
    /// When it is not known whether it was done.
    pub async fn remove(&self, instance: &InstanceId, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let Some(server) = self.server_named(instance) else { return Ok(unnameable(instance)) };
        let place = format!("{}/{server}", self.settings.backend);
        let answer = self.socket.ask(&format!("del server {place}"), Ending::Line).await?;
        match answer.trim() {
            "Server deleted." | "No such server." => Ok(OrderAnswer::Done),
            _ => Ok(self.refused(&answer)),
        }
    }

    /// The name that an instance's server is given; `None` where the instance's cannot be part of one.
    fn server_named(&self, instance: &InstanceId) -> Option<String> {
        is_name(instance.as_str()).then(|| self.settings.server.replace(INSTANCE, instance.as_str()))
    }

    /// The backend's servers as they are now.
    async fn servers(&self) -> Result<Vec<Server>, PortError> {
        let backend = &self.settings.backend;
        // One line, so that both tables are of one moment.
        let commands = format!("show servers state {backend};show stat {backend} 4 -1");
        let answer = self.socket.ask(&commands, Ending::EmptyLine).await?;
        let unreadable = |detail: String| PortError::Unreadable { what: self.describe(), detail };
        match answer.trim_end_matches('\n').split_once("\n\n") {
            Some((states, figures)) if states.starts_with("1\n") => servers::read(states, figures).map_err(unreadable),
            _ => Err(self.unanswered(&answer)),
        }
    }

    async fn mapping(&self) -> Result<Mapping, PortError> {
        match self.settings.servers {
            Servers::ByName => {
                let (before, after) = self.settings.server.split_once(INSTANCE).unwrap_or_default();
                Ok(Mapping::Name { before: before.to_owned(), after: after.to_owned() })
            }
            Servers::ByAddress => {
                let limit = self.settings.time_out;
                let observed = timeout(limit, self.fleet.observe()).await;
                let late = || PortError::TimedOut { what: self.fleet.describe(), limit };
                Ok(Mapping::by_address(&observed.map_err(|_| late())??.instances))
            }
        }
    }

    /// Why a question was not answered, by HAProxy's own words.
    fn unanswered(&self, answer: &str) -> PortError {
        let what = self.describe();
        // Of several commands that were refused, the first says it.
        let said = quote(answer.trim().split("\n\n").next().unwrap_or_default());
        if answer.starts_with("Permission denied") {
            PortError::Refused { what, detail: format!("{said}; {LEVEL}") }
        } else if ["Can't find backend", "No such backend", "No such proxy"].iter().any(|no| answer.starts_with(no)) {
            let backend = &self.settings.backend;
            PortError::NotServed { what, detail: format!("it has no backend {backend}: {said}") }
        } else {
            PortError::Unreadable { what, detail: format!("it is none of HAProxy's tables: {said}") }
        }
    }

    /// An order that was answered otherwise than by an empty line was not carried out.
    fn refused(&self, answer: &str) -> OrderAnswer {
        let said = quote(answer.trim());
        let detail = match answer.trim() {
            "Permission denied" => format!("{said}; {LEVEL}"),
            "No such backend." => format!("it has no backend {}: {said}", self.settings.backend),
            _ => said,
        };
        OrderAnswer::Refused { detail }
    }
}

#[async_trait]
impl Traffic for Haproxy {
    async fn routed(&self) -> Result<Vec<Routed>, PortError> {
        let (mapping, servers) = futures::try_join!(self.mapping(), self.servers())?;
        Ok(mapping.routed(&servers))
    }

    async fn route(&self, order: &RouteOrder, _fence: Fence<'_>) -> Result<OrderAnswer, PortError> {
        let (mapping, servers) = futures::try_join!(self.mapping(), self.servers())?;
        let found = mapping.servers_of(&order.instance, &servers);
        if found.is_empty() {
            let (backend, instance) = (&self.settings.backend, &order.instance);
            let detail = format!("backend {backend} has no server for {instance}; add one to it");
            return Ok(OrderAnswer::Refused { detail });
        }
        let state = if order.receives { "ready" } else { self.settings.out.word() };
        let mut answer = OrderAnswer::Done;
        for server in found {
            // To drain what somebody has put in maintenance would be to open it a little.
            if !order.receives && server.told == Told::Maintenance {
                continue;
            }
            let command = format!("set server {}/{} state {state}", self.settings.backend, server.name);
            let said = self.socket.ask(&command, Ending::EmptyLine).await?;
            if said != "\n" {
                answer = self.refused(&said);
            }
        }
        Ok(answer)
    }

    fn describe(&self) -> String {
        format!("{}, backend {}", self.socket, self.settings.backend)
    }
}

/// Whether it can stand in a command: HAProxy's own rule for names, which keeps out spaces and what ends a command.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

fn unnameable(instance: &InstanceId) -> OrderAnswer {
    let detail = format!("{} cannot be a server's name", quote(instance.as_str()));
    OrderAnswer::Refused { detail }
}

fn quote(text: &str) -> String {
    escaped(text, QUOTED)
}
