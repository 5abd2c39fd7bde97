//! One backend by its runtime API: its servers, and what can be told about one of them.

use std::fmt;

use scalebot_commands::ports::{OrderAnswer, PortError};
use scalebot_commands::units::InstanceId;

use super::servers::{self, INSTANCE, Mapping, Server};
use super::settings::Settings;
use super::socket::{Ending, Socket};
use super::{quote, unnameable};
use crate::settings::Unusable;

/// What is missing where it says so.
const LEVEL: &str = "the socket takes `level admin` on its `stats socket` line";

/// A backend, and how it is reached.
#[derive(Clone, Debug)]
pub(super) struct Backend {
    pub(super) socket: Socket,
    pub(super) settings: Settings,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, backend {}", self.socket, self.settings.backend)
    }
}

impl Backend {
    /// # Errors
    /// When the settings cannot be used.
    pub(super) fn new(settings: &Settings) -> Result<Self, Unusable> {
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
        Ok(Self { socket: Socket::new(&settings.socket, settings.time_out)?, settings: settings.clone() })
    }

    /// The servers as they are now.
    pub(super) async fn servers(&self) -> Result<Vec<Server>, PortError> {
        let backend = &self.settings.backend;
        // One line, so that both tables are of one moment.
        let commands = format!("show servers state {backend};show stat {backend} 4 -1");
        let answer = self.socket.ask(&commands, Ending::EmptyLine).await?;
        let unreadable = |detail: String| PortError::Unreadable { what: self.to_string(), detail };
        match answer.trim_end_matches('\n').split_once("\n\n") {
            Some((states, figures)) if states.starts_with("1\n") => servers::read(states, figures).map_err(unreadable),
            _ => Err(self.unanswered(&answer)),
        }
    }

    /// The name that an instance's server is given; `None` where the instance's cannot be part of one.
    pub(super) fn server_named(&self, instance: &InstanceId) -> Option<String> {
        is_name(instance.as_str()).then(|| self.settings.server.replace(INSTANCE, instance.as_str()))
    }

    /// Which server is which instance, by their names.
    pub(super) fn by_name(&self) -> Mapping {
        let (before, after) = self.settings.server.split_once(INSTANCE).unwrap_or_default();
        Mapping::Name { before: before.to_owned(), after: after.to_owned() }
    }

    /// One more server, in maintenance.
    pub(super) async fn add(&self, instance: &InstanceId, address: &str) -> Result<OrderAnswer, PortError> {
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

    /// Takes that server out for good.
    pub(super) async fn remove(&self, server: &str) -> Result<OrderAnswer, PortError> {
        let place = format!("{}/{server}", self.settings.backend);
        let answer = self.socket.ask(&format!("del server {place}"), Ending::Line).await?;
        match answer.trim() {
            "Server deleted." | "No such server." => Ok(OrderAnswer::Done),
            _ => Ok(self.refused(&answer)),
        }
    }

    /// Tells that server to be `ready`, to `drain`, or to be in `maint`.
    pub(super) async fn set_state(&self, server: &str, state: &str) -> Result<OrderAnswer, PortError> {
        let command = format!("set server {}/{server} state {state}", self.settings.backend);
        let said = self.socket.ask(&command, Ending::EmptyLine).await?;
        Ok(if said == "\n" { OrderAnswer::Done } else { self.refused(&said) })
    }

    /// Why a question was not answered, by HAProxy's own words.
    pub(super) fn unanswered(&self, answer: &str) -> PortError {
        let what = self.to_string();
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

/// Whether it can stand in a command: HAProxy's own rule for names, which keeps out spaces and what ends a command.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}
