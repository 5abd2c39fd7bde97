//! A stream of halt signals of a rehearsal's own: under a key of its own, written as the backend writes its own, and gone
//! with the rehearsal. Nothing else in the server is touched.

use std::sync::Arc;
use std::time::Duration;

use ::redis::cmd;
use async_trait::async_trait;
use scalebot_commands::ports::PortError;
use secrecy::SecretString;

use super::connection::{About, Asking, Question, Server};
use super::failure::Failure;
use super::settings::{ConnectionSettings, FleetSettings, HaltSettings, Settings};
use crate::process::wire::HaltSignal;
use crate::settings::Unusable;

/// How long writing may take.
const LIMIT: Duration = Duration::from_secs(5);

/// How many connections one instance of a rehearsal is taken to open at most; it opens none.
const PER_INSTANCE: u32 = 20;

/// The halt signals of one rehearsal.
#[derive(Clone, Debug)]
pub struct RehearsedHaltStream {
    server: Arc<Server>,
    about: About,
    stream: String,
}

/// What is asked of a Redis in the rehearsal that goes by that name: its halt signals, and the server's connections.
/// Instances of a rehearsal open none, so that all that are there are others'.
pub fn rehearsed(url: SecretString, name: &str) -> Settings {
    let halt = HaltSettings { stream: stream(name), ..HaltSettings::default() };
    let fleet = FleetSettings { names: vec![name.to_owned()], ..FleetSettings::default() };
    let connections = ConnectionSettings { per_instance: PER_INSTANCE, surge: 0, fleet };
    Settings { halt: Some(halt), connections: Some(connections), ..Settings::new(url) }
}

fn stream(name: &str) -> String {
    format!("{name}:halt:signals")
}

impl RehearsedHaltStream {
    /// Nothing is written yet.
    ///
    /// # Errors
    /// When the URL cannot be used.
    pub fn new(url: SecretString, name: &str) -> Result<Self, Unusable> {
        let server = Arc::new(Server::new(&Settings { time_out: LIMIT, ..rehearsed(url, name) })?);
        let stream = stream(name);
        let about = About { what: "the rehearsal's halt signals".to_owned(), rights: format!("~{stream} +del +xadd") };
        Ok(Self { server, about, stream })
    }

    /// Makes the stream's entries these.
    ///
    /// # Errors
    /// When it is not known whether they are.
    pub async fn show(&self, entries: &[HaltSignal]) -> Result<(), PortError> {
        self.server.ask(&self.about, &Entries { stream: &self.stream, entries }).await
    }

    /// Removes the stream.
    ///
    /// # Errors
    /// When it is not known whether it is gone.
    pub async fn end(&self) -> Result<(), PortError> {
        self.show(&[]).await
    }
}

/// "Be these."
struct Entries<'a> {
    stream: &'a str,
    entries: &'a [HaltSignal],
}

#[async_trait]
impl Question for Entries<'_> {
    type Answer = ();

    async fn put(&self, asking: &mut Asking) -> Result<(), Failure> {
        asking.must_lead().await?;
        // Between the two nobody reads "not halted": all of it is one transaction.
        let mut change = ::redis::pipe();
        change.atomic().add_command(cmd("DEL").arg(self.stream).clone()).ignore();
        for entry in self.entries {
            let HaltSignal { id, reason, crisis_event_id, timestamp, source_service } = entry;
            let fields = [
                ("reason", reason),
                ("crisis_event_id", crisis_event_id),
                ("timestamp", timestamp),
                ("source_service", source_service),
            ];
            let mut add = cmd("XADD");
            add.arg(self.stream).arg(id);
            for (name, value) in fields {
                add.arg(name).arg(value);
            }
            change.add_command(add).ignore();
        }
        asking.change(&change).await
    }
}
